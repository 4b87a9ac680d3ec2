//! What clients send and get, by operation. The credentials are those of the built-in Azure, so that a request of
//! the page works as it stands on `serve --sandbox`. What failures look like is in `failures`.

mod around;
mod users;

use serde_json::{Map, Value, json};

/// What is sent and what is answered.
#[derive(Debug, Default)]
pub(super) struct Examples {
    pub(super) request: Option<Value>,
    pub(super) answer: Option<Value>,
    /// The answer as server-sent events, where there is such a form.
    pub(super) stream: Option<Value>,
}

const CREDENTIAL: &str = "cattle-global-data:cc-q2w4x";
const CLUSTER: &str = "c-x7k9z";
const SERVER: &str = "https://norman.example.com";

/// The examples of the operation of that id.
pub(super) fn of(operation: &str) -> Examples {
    if let Some((sent, answer)) = action(operation) {
        let request = operation.starts_with("post").then_some(sent);
        return Examples { request, answer: Some(answer), stream: None };
    }
    let (request, answer) = object(operation);
    let stream = (operation == "listClusterEvents").then(|| json!(event_stream()));
    Examples { request, answer, stream }
}

/// What a POST of an action sends, and what the action answers whoever brings the credential.
fn action(operation: &str) -> Option<(Value, Value)> {
    let name = operation.strip_prefix("get").or_else(|| operation.strip_prefix("post"))?;
    let region = json!({"region": "eastus"});
    let examples = match name {
        // The answer is empty.
        "AksCheckCredentials" => (credential(&json!({})), Value::Null),
        "AksClusters" => (
            credential(&json!({})),
            json!([{"resourceGroup": "rancher", "clusterName": "made-elsewhere", "rbacEnabled": true, "location": "eastus"}]),
        ),
        "AksLocations" => (
            credential(&json!({})),
            json!([{"name": "eastus", "displayName": "East US"}, {"name": "westus", "displayName": "West US"}]),
        ),
        "AksRegions" => (
            credential(&json!({})),
            json!([
                {"name": "eastus", "displayName": "East US", "availabilityZones": true},
                {"name": "westus", "displayName": "West US", "availabilityZones": false},
            ]),
        ),
        "AksUpgrades" => (
            credential(&json!({"region": "eastus", "clusterId": CLUSTER})),
            json!({"currentVersion": "1.32.7", "upgrades": [
                {"version": "1.33.3", "enabled": true},
                {"version": "1.34.1", "enabled": false},
            ]}),
        ),
        "AksVersions" => (credential(&region), json!(["1.32.7", "1.33.3", "1.34.1"])),
        "AksVirtualNetworks" => (
            credential(&region),
            json!([
                {"name": "rancher-net", "resourceGroup": "rancher", "location": "eastus", "subnets": [
                    {"name": "nodes", "addressRange": "10.40.0.0/20"},
                ]},
                {"name": "nothing-cut-yet", "resourceGroup": "Connectivity", "location": "eastus", "subnets": null},
            ]),
        ),
        "AksVmSizes" => {
            (credential(&region), json!(["Standard_B2s", "Standard_D2s_v5", "Standard_E8bds_v5"]))
        }
        "AksVmSizesV2" => (
            credential(&region),
            json!([
                {"Name": "Standard_B2s", "AcceleratedNetworkingSupported": false, "AvailabilityZones": []},
                {"Name": "Standard_D2s_v5", "AcceleratedNetworkingSupported": true, "AvailabilityZones": ["1", "3", "2"]},
            ]),
        ),
        _ => return None,
    };
    Some(examples)
}

/// The ready account of the built-in Azure, and what else is sent with it.
fn credential(more: &Value) -> Value {
    let mut body = json!({
        "subscriptionId": "9d1f3c52-0d2b-4e6a-8c1e-000000000001",
        "clientId": "c0ffee00-0001-4000-8000-000000000001",
        "clientSecret": "Sandbox~first~secret~of~the~ready~app~0001",
    });
    if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
        body.extend(more.clone());
    }
    body
}

/// What is sent to and answered by everything but the actions.
fn object(operation: &str) -> (Option<Value>, Option<Value>) {
    let (sent, answer) = match operation {
        _ if around::of(operation).is_some() => around::of(operation).unwrap_or_default(),
        "createCloudCredential" => (credential_input(), stored_credential()),
        "getCloudCredential" | "deleteCloudCredential" => (Value::Null, stored_credential()),
        "updateCloudCredential" | "postCloudCredential" => {
            (json!({"description": "for the production subscription"}), stored_credential())
        }
        "listCloudCredentials" => {
            (Value::Null, page("cloudCredential", "/v3/cloudcredentials", stored_credential()))
        }
        "createCluster" => (cluster_input(), cluster()),
        "getCluster" | "deleteCluster" => (Value::Null, cluster()),
        // A change must name the cluster again.
        "updateCluster" | "postCluster" => {
            (json!({"name": "shop", "description": "sells things"}), cluster())
        }
        "listClusters" => (Value::Null, page("cluster", "/v3/clusters", cluster())),
        "reviewCluster" => (review_question(), review_answer()),
        "listAudit" => (Value::Null, users::audit_page()),
        "listPendingCloudCredentials" => (Value::Null, users::pending_credentials()),
        "listUserAccounts" => (Value::Null, json!({"users": [users::account()]})),
        "getUserAccount" => (Value::Null, users::details()),
        "deleteUserAccount" => (Value::Null, users::removed()),
        "getClusterPlan" => (Value::Null, plan()),
        "listClusterEvents" => (Value::Null, json!({"events": [event()]})),
        "getApiRoot" => (Value::Null, root()),
        "getSchema" => (Value::Null, schema()),
        "listSchemas" => (Value::Null, page("schema", "/v3/schemas", schema())),
        "getPing" => (Value::Null, json!("pong")),
        "getRancherVersion" => (
            Value::Null,
            json!({"Version": "v2.12.1", "GitCommit": "norman-aks-0.1.0", "RancherPrime": "false"}),
        ),
        "getLivez" | "getHealthz" => (Value::Null, json!("ok")),
        "getReadyz" => (Value::Null, readiness(true)),
        _ => (Value::Null, Value::Null),
    };
    let some = |value: Value| Some(value).filter(|value| !value.is_null());
    (some(sent), some(answer))
}

/// What `/readyz` says.
pub(super) fn readiness(database: bool) -> Value {
    let check = |name: &str, ok: bool| json!({"name": name, "ok": ok});
    let checks = [
        check("database", database),
        check("migrations", true),
        check("encryption-key", true),
        check("disk", true),
        check("log", true),
    ];
    json!({"ready": database, "checks": checks})
}

fn credential_input() -> Value {
    json!({
        "name": "production",
        "azurecredentialConfig": {
            "subscriptionId": "9d1f3c52-0d2b-4e6a-8c1e-000000000001",
            "clientId": "c0ffee00-0001-4000-8000-000000000001",
            "clientSecret": "Sandbox~first~secret~of~the~ready~app~0001",
            "environment": "AzurePublicCloud",
        },
    })
}

fn stored_credential() -> Value {
    let fields = json!({
        "azurecredentialConfig": {
            "clientId": "c0ffee00-0001-4000-8000-000000000001",
            "environment": "AzurePublicCloud",
            "subscriptionId": "9d1f3c52-0d2b-4e6a-8c1e-000000000001",
        },
        "name": "production",
    });
    resource("cloudCredential", &format!("/v3/cloudCredentials/{CREDENTIAL}"), CREDENTIAL, fields)
}

fn aks_config() -> Value {
    json!({
        "azureCredentialSecret": CREDENTIAL,
        "clusterName": "made-elsewhere",
        "imported": true,
        "kubernetesVersion": "1.32.7",
        "resourceGroup": "rancher",
        "resourceLocation": "eastus",
    })
}

fn cluster_input() -> Value {
    json!({"name": "shop", "aksConfig": aks_config()})
}

fn cluster() -> Value {
    let mut config = aks_config();
    if let Some(config) = config.as_object_mut() {
        config.insert("type".to_owned(), json!("/v3/schemas/aksClusterConfigSpec"));
    }
    let fields = json!({
        "aksConfig": config,
        "aksStatus": {"type": "/v3/schemas/aksStatus"},
        "conditions": [],
        "dockerRootDir": "/var/lib/docker",
        "driver": "AKS",
        "enableNetworkPolicy": false,
        "internal": false,
        "name": "shop",
        "state": "provisioning",
        "transitioning": "yes",
        "transitioningMessage": "",
    });
    let mut cluster = resource("cluster", &format!("/v3/clusters/{CLUSTER}"), CLUSTER, fields);
    if let Some(cluster) = cluster.as_object_mut() {
        let action = format!("{SERVER}/v3/clusters/{CLUSTER}?action=generateKubeconfig");
        cluster.insert("actions".to_owned(), json!({"generateKubeconfig": action}));
    }
    cluster
}

fn resource(kind: &str, path: &str, id: &str, fields: Value) -> Value {
    let own = format!("{SERVER}{path}");
    let mut object = json!({
        "actions": {},
        "annotations": {},
        "baseType": kind,
        "created": "2026-11-23T20:00:54Z",
        "createdTS": 1_795_464_054_000_i64,
        "creatorId": "user-gxwms",
        "id": id,
        "labels": {"cattle.io/creator": "norman"},
        "links": {"remove": own, "self": own, "update": own},
        "type": kind,
        "uuid": "987e54f9-67a6-42db-9817-af77f10a5762",
    });
    if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), fields) {
        object.extend(fields);
    }
    object
}

/// A list with one element, or with none where that is `null`.
fn page(kind: &str, path: &str, element: Value) -> Value {
    let data = Vec::from_iter(Some(element).filter(|element| !element.is_null()));
    let own = format!("{SERVER}{path}");
    let create: Map<String, Value> =
        (kind != "schema").then(|| (kind.to_owned(), json!(own))).into_iter().collect();
    json!({
        "type": "collection",
        "links": {"self": own},
        "createTypes": create,
        "actions": {},
        "pagination": {"limit": 1000, "total": data.len()},
        "sort": {"order": "asc", "reverse": format!("{own}?order=desc"), "links": {}},
        "filters": {},
        "resourceType": kind,
        "data": data,
    })
}

fn review_question() -> Value {
    credential(&json!({"aksConfig": {
        "clusterName": "shop",
        "dnsPrefix": "shop",
        "kubernetesVersion": "1.32.7",
        "networkPlugin": "azure",
        "resourceGroup": "rancher",
        "resourceLocation": "eastus",
        "nodePools": [{
            "name": "system",
            "mode": "System",
            "count": 3,
            "maxPods": 60,
            "osDiskSizeGB": 128,
            "osDiskType": "Managed",
            "osType": "Linux",
            "vmSize": "Standard_D4s_v9",
        }],
    }}))
}

fn review_answer() -> Value {
    json!({
        "blocked": true,
        "findings": [{
            "severity": "error",
            "field": "aksConfig.nodePools[0].vmSize",
            "rule": "size-exists",
            "message": "vmSize Standard_D4s_v9 of node pool system is not offered in eastus",
            "remedy": "use a size that aksVMSizes lists for the region",
            "source": "Azure: List resource SKUs, https://learn.microsoft.com/rest/api/compute/resource-skus/list",
            "restsOnAzure": true,
        }],
        "unchecked": [],
    })
}

fn plan() -> Value {
    json!({
        "clusterId": CLUSTER,
        "at": "2026-11-23T20:01:07Z",
        "state": "updating",
        "phase": "active",
        "generation": 2,
        "step": "updateCluster",
        "summary": "change the cluster made-elsewhere: kubernetesVersion",
        "reason": "Azure has other values",
        "differences": [{"field": "aksConfig.kubernetesVersion", "wanted": "1.33.3", "found": "1.32.7"}],
        "azure": {"outcome": "asked"},
        "notLookedAt": [{"what": "workspace", "reason": "monitoring is not wanted"}],
        "managedFields": ["kubernetesVersion"],
        "nextLook": "2026-11-23T20:01:10Z",
    })
}

fn event() -> Value {
    json!({
        "id": "01a209ff-44e3-774a-94cd-94100ad0b89b",
        "clusterId": CLUSTER,
        "time": "2026-11-23T20:01:10Z",
        "kind": "step",
        "message": "changed kubernetesVersion",
        "state": "updating",
        "phase": "active",
        "generation": 2,
    })
}

fn event_stream() -> String {
    let (id, event) = ("01a209ff-44e3-774a-94cd-94100ad0b89b", event());
    format!("retry: 2000\n: the events of {CLUSTER}\n\nid: {id}\nevent: step\ndata: {event}\n\n")
}

fn version() -> Value {
    json!({"group": "management.cattle.io", "path": "/v3", "version": "v3"})
}

fn root() -> Value {
    json!({
        "apiVersion": version(),
        "baseType": "apiRoot",
        "links": {
            "cloudCredentials": format!("{SERVER}/v3/cloudcredentials"),
            "clusters": format!("{SERVER}/v3/clusters"),
            "root": format!("{SERVER}/v3"),
            "schemas": format!("{SERVER}/v3/schemas"),
            "self": format!("{SERVER}/v3"),
        },
        "type": "apiRoot",
    })
}

fn schema() -> Value {
    json!({
        "baseType": "schema",
        "collectionFilters": {},
        "collectionMethods": [],
        "id": "importedConfig",
        "links": {"self": format!("{SERVER}/v3/schemas/importedConfig")},
        "pluralName": "importedConfigs",
        "resourceActions": {},
        "resourceFields": {
            "privateRegistryURL": {
                "create": true,
                "description": "The registry.",
                "nullable": true,
                "required": false,
                "type": "string",
                "update": true,
            },
        },
        "resourceMethods": [],
        "type": "schema",
        "version": version(),
    })
}
