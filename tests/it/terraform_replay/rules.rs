//! What the provider reads of each response, and what its next plan shows (`docs/contract/terraform.md#clean-plans`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Texts of a cluster that the provider reads, and writes again in every PUT.
pub(super) const READ_TEXTS: [&str; 5] = [
    "defaultPodSecurityAdmissionConfigurationTemplateName",
    "desiredAgentImage",
    "desiredAuthImage",
    "dockerRootDir",
    "fleetWorkspaceName",
];

/// What a value of the server means for an attribute that the configuration does not set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Silent {
    /// The server may choose.
    Free,
    /// Whatever is there is a difference.
    Difference,
}

/// The keys of `aksConfig` that are read. `imported` is read in another way.
const CONFIG: [(&str, Silent); 29] = [
    ("authBaseUrl", Silent::Difference),
    ("authorizedIpRanges", Silent::Difference),
    ("azureCredentialSecret", Silent::Difference),
    ("baseUrl", Silent::Difference),
    ("clusterName", Silent::Free),
    ("dnsPrefix", Silent::Difference),
    ("dnsServiceIp", Silent::Free),
    ("dockerBridgeCidr", Silent::Free),
    ("httpApplicationRouting", Silent::Free),
    ("kubernetesVersion", Silent::Difference),
    ("linuxAdminUsername", Silent::Free),
    ("loadBalancerSku", Silent::Free),
    ("logAnalyticsWorkspaceGroup", Silent::Free),
    ("logAnalyticsWorkspaceName", Silent::Free),
    ("monitoring", Silent::Free),
    ("networkPlugin", Silent::Difference),
    ("networkPolicy", Silent::Free),
    ("nodeResourceGroup", Silent::Free),
    ("outboundType", Silent::Difference),
    ("podCidr", Silent::Free),
    ("privateCluster", Silent::Free),
    ("resourceGroup", Silent::Difference),
    ("resourceLocation", Silent::Difference),
    ("serviceCidr", Silent::Free),
    ("sshPublicKey", Silent::Free),
    ("subnet", Silent::Free),
    ("tags", Silent::Free),
    ("virtualNetwork", Silent::Free),
    ("virtualNetworkResourceGroup", Silent::Free),
];

/// The keys that are read of a cluster that was there before.
const IMPORTED: [&str; 4] = ["azureCredentialSecret", "clusterName", "resourceGroup", "resourceLocation"];

/// The keys of a pool that are read.
const POOL: [(&str, Silent); 16] = [
    ("availabilityZones", Silent::Difference),
    ("count", Silent::Difference),
    ("enableAutoScaling", Silent::Difference),
    ("maxCount", Silent::Difference),
    ("maxPods", Silent::Difference),
    ("maxSurge", Silent::Difference),
    ("minCount", Silent::Difference),
    ("mode", Silent::Difference),
    ("name", Silent::Difference),
    ("nodeLabels", Silent::Free),
    ("nodeTaints", Silent::Free),
    ("orchestratorVersion", Silent::Difference),
    ("osDiskSizeGB", Silent::Difference),
    ("osDiskType", Silent::Difference),
    ("osType", Silent::Difference),
    ("vmSize", Silent::Free),
];

/// The fields of a cluster whose kinds the Go client checks: one of a wrong kind fails the whole answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "that it can be read is the test")]
struct GoCluster {
    actions: Option<BTreeMap<String, String>>,
    agent_env_vars: Option<Vec<Map<String, Value>>>,
    aks_config: GoConfig,
    aks_status: Option<Map<String, Value>>,
    annotations: Option<BTreeMap<String, Option<String>>>,
    api_endpoint: Option<String>,
    applied_spec: Option<Map<String, Value>>,
    ca_cert: Option<String>,
    conditions: Option<Vec<BTreeMap<String, Option<String>>>>,
    created: Option<String>,
    creator_id: Option<String>,
    description: Option<String>,
    driver: String,
    enable_network_policy: Option<bool>,
    id: String,
    internal: Option<bool>,
    istio_enabled: Option<bool>,
    labels: Option<BTreeMap<String, Option<String>>>,
    links: Option<BTreeMap<String, String>>,
    local_cluster_auth_endpoint: Option<Map<String, Value>>,
    name: String,
    node_count: Option<i64>,
    provider: Option<String>,
    state: String,
    transitioning: Option<String>,
    transitioning_message: Option<String>,
    r#type: String,
    uuid: Option<String>,
    version: Option<BTreeMap<String, Value>>,
    windows_prefered_cluster: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "that it can be read is the test")]
struct GoConfig {
    authorized_ip_ranges: Option<Vec<String>>,
    http_application_routing: Option<bool>,
    imported: Option<bool>,
    monitoring: Option<bool>,
    node_pools: Option<Vec<GoPool>>,
    private_cluster: Option<bool>,
    tags: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "that it can be read is the test")]
struct GoPool {
    availability_zones: Option<Vec<String>>,
    count: Option<i64>,
    enable_auto_scaling: Option<bool>,
    max_count: Option<i64>,
    max_pods: Option<i64>,
    max_surge: Option<String>,
    min_count: Option<i64>,
    node_labels: Option<BTreeMap<String, Option<String>>>,
    node_taints: Option<Vec<String>>,
    #[serde(rename = "osDiskSizeGB")]
    os_disk_size_gb: Option<i64>,
}

pub(super) fn same(what: &str, ours: &Value, expected: &Value) -> Vec<String> {
    if ours == expected { Vec::new() } else { vec![format!("{what} is {ours} instead of {expected}")] }
}

/// Absent, null and empty values say nothing.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn is_address(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with("https://"))
}

/// What is missing among keys that must say something.
fn missing(object: &Value, keys: &[&str]) -> Vec<String> {
    let silent = keys.iter().filter(|key| !says_something(&object[**key]));
    silent.map(|key| format!("nothing in {key}: {object}")).collect()
}

pub(super) fn root(header: &str, base: &str) -> Vec<String> {
    same("X-API-Schemas", &json!(header), &json!(format!("{base}/v3/schemas")))
}

/// Every type that the provider asks for, at the same address, with at least the same methods.
pub(super) fn schemas(ours: &Value, expected: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for wanted in expected["data"].as_array().unwrap() {
        let id = &wanted["id"];
        let Some(schema) = ours["data"].as_array().unwrap().iter().find(|schema| schema["id"] == *id) else {
            // Nothing is asked of these: they are named in actions only.
            if wanted["links"]["collection"].is_string() {
                wrong.push(format!("no schema {id}"));
            }
            continue;
        };
        wrong.extend(same(
            &format!("the collection of {id}"),
            &schema["links"]["collection"],
            &wanted["links"]["collection"],
        ));
        // The provider never changes or removes the others.
        let whole = id == "cluster" || id == "cloudCredential";
        let used = |kind: &str| match (kind, whole, id.as_str().unwrap()) {
            ("resourceMethods", true, _) => vec!["GET", "PUT", "DELETE"],
            ("collectionMethods", true, _)
            | ("collectionMethods", _, "token" | "clusterRegistrationToken") => {
                vec!["GET", "POST"]
            }
            _ => vec!["GET"],
        };
        for kind in ["resourceMethods", "collectionMethods"] {
            let offered = schema[kind].as_array().cloned().unwrap_or_default();
            for method in used(kind) {
                // Nodes and projects are only listed.
                let listed = kind == "resourceMethods" && (id == "node" || id == "project");
                let wanted = wanted[kind].as_array().is_some_and(|all| all.contains(&json!(method)));
                if wanted && !listed && !offered.contains(&json!(method)) {
                    wrong.push(format!("{id} has no {method} in {kind}"));
                }
            }
        }
    }
    wrong
}

pub(super) fn setting(ours: &Value, expected: &Value) -> Vec<String> {
    let mut wrong = same("id", &ours["id"], &expected["id"]);
    let Some(value) = ours["value"].as_str() else { return vec![format!("no text in value: {ours}")] };
    // Read with HashiCorp's go-version, and compared with 2.6.0.
    if ours["id"] == "server-version" {
        let numbers: Vec<&str> =
            value.trim_start_matches('v').split('-').next().unwrap().split('.').collect();
        if numbers.iter().any(|number| number.parse::<u32>().is_err()) {
            wrong.push(format!("{value:?} is no version"));
        }
    }
    wrong
}

pub(super) fn node_driver(ours: &Value) -> Vec<String> {
    [same("id", &ours["id"], &json!("azure")), same("state", &ours["state"], &json!("active"))].concat()
}

pub(super) fn registration_token(ours: &Value, expected: &Value) -> Vec<String> {
    let mut wrong = missing(ours, &["command", "nodeCommand", "token", "manifestUrl", "insecureCommand"]);
    for key in ["id", "clusterId", "name", "state"] {
        wrong.extend(same(key, &ours[key], &expected[key]));
    }
    let (command, manifest) = (ours["command"].as_str().unwrap(), ours["manifestUrl"].as_str().unwrap());
    if !command.ends_with(manifest) || !is_address(&ours["manifestUrl"]) {
        wrong.push(format!("{command:?} does not apply {manifest:?}"));
    }
    wrong
}

/// The two projects that a cluster has are found by their labels.
pub(super) fn projects(ours: &Value, expected: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for label in ["authz.management.cattle.io/default-project", "authz.management.cattle.io/system-project"] {
        let of = |list: &Value| -> Vec<Value> {
            let all = list["data"].as_array().unwrap().iter();
            all.filter(|project| project["labels"][label] == "true").cloned().collect()
        };
        let (found, wanted) = (of(ours), of(expected));
        if found.len() != wanted.len() {
            wrong.push(format!("{} projects with {label}", found.len()));
        }
        for (found, wanted) in found.iter().zip(&wanted) {
            wrong.extend(same("clusterId", &found["clusterId"], &wanted["clusterId"]));
            wrong.extend(missing(found, &["id"]));
        }
    }
    if ours["pagination"]["partial"] == true {
        wrong.push("a second page, which nobody fetches".to_owned());
    }
    wrong
}

pub(super) fn token(ours: &Value, expected: &Value) -> Vec<String> {
    let keys = ["id", "enabled", "expired"];
    keys.iter().flat_map(|key| same(key, &ours[*key], &expected[*key])).collect()
}

pub(super) fn version(ours: &Value) -> Vec<String> {
    missing(ours, &["gitVersion", "major", "minor"])
}

/// Labels or annotations: what was written is there, and beside it only what the provider overlooks.
fn map(key: &str, ours: &Value, written: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let written = written[key].as_object().cloned().unwrap_or_default();
    for (name, value) in &written {
        wrong.extend(same(&format!("{key}.{name}"), &ours[key][name], value));
    }
    for name in ours[key].as_object().into_iter().flat_map(Map::keys) {
        if !is_of_the_server(name) && !written.contains_key(name) {
            wrong.push(format!("{key}.{name}, which nobody wrote"));
        }
    }
    wrong
}

/// Labels and annotations that never are a difference.
pub(super) fn is_of_the_server(key: &str) -> bool {
    key.contains("cattle.io/") || key.contains("rancher.io/")
}

pub(super) fn credential(ours: &Value, written: &Value) -> Vec<String> {
    let mut wrong = missing(ours, &["id", "name", "labels", "azurecredentialConfig"]);
    wrong.extend(same("type", &ours["type"], &json!("cloudCredential")));
    wrong.extend(same("name", &ours["name"], &written["name"]));
    let description = ours["description"].as_str().unwrap_or_default();
    if description != written["description"].as_str().unwrap_or_default() {
        wrong.push(format!("the description is {description:?}"));
    }
    if !ours["annotations"].is_object() {
        wrong.push("no annotations".to_owned());
    }
    if !is_address(&ours["links"]["self"]) {
        wrong.push("no address of its own".to_owned());
    }
    for key in ["labels", "annotations"] {
        wrong.extend(map(key, ours, written));
    }
    let (config, said) = (&ours["azurecredentialConfig"], &written["azurecredentialConfig"]);
    if config.get("clientSecret").is_some() {
        wrong.push("a secret".to_owned());
    }
    for key in ["clientId", "subscriptionId", "tenantId", "environment"] {
        if says_something(&said[key]) {
            wrong.extend(same(key, &config[key], &said[key]));
        }
    }
    wrong
}

pub(super) fn cluster(ours: &Value, written: &Value) -> Vec<String> {
    let mut wrong = missing(ours, &["id", "name", "aksConfig"]);
    wrong.extend(serde_json::from_value::<GoCluster>(ours.clone()).err().map(|error| error.to_string()));
    wrong.extend(same("type", &ours["type"], &json!("cluster")));
    wrong.extend(same("driver", &ours["driver"], &json!("AKS")));
    wrong.extend(same("name", &ours["name"], &written["name"]));
    let description = ours["description"].as_str().unwrap_or_default();
    if description != written["description"].as_str().unwrap_or_default() {
        wrong.push(format!("the description is {description:?}"));
    }
    if !is_address(&ours["links"]["self"]) || !is_address(&ours["actions"]["generateKubeconfig"]) {
        wrong.push(format!("no addresses: {} {}", ours["links"], ours["actions"]));
    }
    for key in ["clusterAgentDeploymentCustomization", "fleetAgentDeploymentCustomization"] {
        wrong.extend(same(key, &ours[key], &Value::Null));
    }
    if says_something(&ours["agentEnvVars"]) || ours["windowsPreferedCluster"] == true {
        wrong.push("agentEnvVars or windowsPreferedCluster, which nobody wrote".to_owned());
    }
    for key in ["labels", "annotations"] {
        wrong.extend(map(key, ours, written));
    }
    wrong.extend(config(&ours["aksConfig"], &written["aksConfig"]));
    wrong
}

/// The keys that the provider takes from the answer although nobody configured them.
pub(super) fn filled_in(config: &Value) -> impl Iterator<Item = &'static str> {
    let free = CONFIG.iter().filter(|(key, silent)| *silent == Silent::Free && says_something(&config[*key]));
    free.map(|(key, _)| *key)
}

/// `aksConfig` as it was written, and nothing in it that the next plan would show.
fn config(ours: &Value, written: &Value) -> Vec<String> {
    let imported = |config: &Value| config["imported"].as_bool().unwrap_or_default();
    let mut wrong = same("imported", &json!(imported(ours)), &json!(imported(written)));
    if imported(written) {
        wrong.extend(IMPORTED.iter().flat_map(|key| same(key, &ours[*key], &written[*key])));
        return wrong;
    }
    wrong.extend(attributes("aksConfig", &CONFIG, ours, written));
    // Pools are compared by their place.
    let pools = |config: &Value| config["nodePools"].as_array().cloned().unwrap_or_default();
    let (ours, written) = (pools(ours), pools(written));
    if ours.len() != written.len() {
        wrong.push(format!("{} pools instead of {}", ours.len(), written.len()));
    }
    for (at, (ours, written)) in ours.iter().zip(&written).enumerate() {
        wrong.extend(attributes(&format!("pool {at}"), &POOL, ours, written));
    }
    wrong
}

/// What Azure has, once the server says that everything is done.
pub(super) fn applied(ours: &Value, written: &Value) -> Vec<String> {
    let (has, wanted) = (&ours["aksStatus"]["upstreamSpec"], &written["aksConfig"]);
    let mut wrong = same("Azure's name", &has["clusterName"], &wanted["clusterName"]);
    if wanted["imported"] == true {
        return wrong;
    }
    for key in ["kubernetesVersion", "networkPlugin", "authorizedIpRanges", "tags"] {
        if says_something(&wanted[key]) {
            wrong.extend(same(&format!("Azure's {key}"), &has[key], &wanted[key]));
        }
    }
    let pools = |config: &Value| -> BTreeMap<String, Value> {
        let all = config["nodePools"].as_array().cloned().unwrap_or_default().into_iter();
        all.map(|pool| (pool["name"].to_string(), pool)).collect()
    };
    let (has, wanted) = (pools(has), pools(wanted));
    wrong.extend(same(
        "Azure's pools",
        &json!(has.keys().collect::<Vec<_>>()),
        &json!(wanted.keys().collect::<Vec<_>>()),
    ));
    for (name, pool) in &wanted {
        for key in ["count", "maxCount", "vmSize", "orchestratorVersion", "nodeLabels", "nodeTaints"] {
            if let Some(has) = has.get(name).filter(|_| says_something(&pool[key])) {
                wrong.extend(same(&format!("Azure's {key} of {name}"), &has[key], &pool[key]));
            }
        }
    }
    wrong
}

fn attributes(place: &str, keys: &[(&str, Silent)], ours: &Value, written: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, silent) in keys {
        let (ours, written) = (&ours[*key], &written[*key]);
        let what = format!("{place}.{key}");
        if says_something(written) {
            // Left out, it would be no difference; but then a change in Azure would not be seen either.
            wrong.extend(same(&what, ours, written));
        } else if says_something(ours) && *silent == Silent::Difference {
            wrong.push(format!("{what} is {ours}, which nobody wrote"));
        }
    }
    wrong
}

#[test]
fn a_difference_of_any_kind_is_seen() {
    let written = json!({
        "name": "one", "description": "words", "labels": {"team": "a"},
        "aksConfig": {
            "azureCredentialSecret": "cattle-global-data:cc-aaaaa", "clusterName": "one", "dnsPrefix": "one",
            "kubernetesVersion": "1.32.7", "networkPlugin": "azure", "outboundType": "loadBalancer", "monitoring": true,
            "resourceGroup": "Group", "resourceLocation": "eastus", "tags": {"a": "1"},
            "nodePools": [
                {"name": "b", "count": 1, "maxPods": 110, "mode": "System", "availabilityZones": ["1", "2"], "orchestratorVersion": ""},
                {"name": "a", "count": 2, "maxPods": 110, "mode": "User", "nodeLabels": {"x": "y"}},
            ],
        },
    });
    let mut answer = written.clone();
    let around = json!({"id": "c-aaaaa", "type": "cluster", "driver": "AKS", "state": "active",
        "links": {"self": "https://h/v3/clusters/c-aaaaa"}, "actions": {"generateKubeconfig": "https://h/x"}});
    answer.as_object_mut().unwrap().extend(around.as_object().unwrap().clone());
    answer["labels"]["cattle.io/creator"] = json!("norman");
    answer["aksConfig"]["podCidr"] = json!("10.244.0.0/16");
    answer["aksConfig"]["nodePools"][0]["vmSize"] = json!("Standard_DS2_v2");
    assert_eq!(cluster(&answer, &written), Vec::<String>::new());
    for (place, value) in [
        ("/actions", json!({})),
        ("/agentEnvVars", json!([{"name": "A", "value": "b"}])),
        ("/aksConfig/authorizedIpRanges", json!(["10.0.0.0/8"])),
        ("/aksConfig/dnsPrefix", json!("One")),
        ("/aksConfig/imported", json!(true)),
        ("/aksConfig/kubernetesVersion", json!("1.32")),
        ("/aksConfig/monitoring", Value::Null),
        ("/aksConfig/nodePools/0/availabilityZones", json!(["2", "1"])),
        ("/aksConfig/nodePools/0/count", json!(1.0)),
        ("/aksConfig/nodePools/0/count", json!(3)),
        ("/aksConfig/nodePools/0/maxSurge", json!("1")),
        ("/aksConfig/nodePools/0/orchestratorVersion", json!("1.32.7")),
        ("/aksConfig/nodePools/1/name", json!("A")),
        ("/aksConfig/nodePools/1/nodeLabels", json!({"x": "y", "z": "1"})),
        ("/aksConfig/nodePools/1", Value::Null),
        ("/aksConfig/nodePools", json!([written["aksConfig"]["nodePools"][0]])),
        ("/aksConfig/tags", json!({"a": "1", "norman-aks-owner": "me"})),
        ("/clusterAgentDeploymentCustomization", json!({})),
        ("/description", json!("")),
        ("/driver", Value::Null),
        ("/labels/provider.cattle.io", json!("aks")),
        ("/labels/team", json!("b")),
        ("/links/self", json!("/v3/clusters/c-aaaaa")),
        ("/name", json!("two")),
        ("/nodeCount", json!("3")),
        ("/type", Value::Null),
        ("/version", json!("v1.32.7")),
    ] {
        let mut changed = answer.clone();
        let (parent, key) = place.rsplit_once('/').unwrap();
        match changed.pointer_mut(parent).unwrap() {
            Value::Object(map) => drop(map.insert(key.to_owned(), value.clone())),
            Value::Array(list) => list[key.parse::<usize>().unwrap()] = value.clone(),
            other => panic!("{other}"),
        }
        assert!(!cluster(&changed, &written).is_empty(), "{value} at {place} is overlooked");
    }
}
