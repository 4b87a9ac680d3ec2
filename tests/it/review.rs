//! The review of specifications, before a cluster is created or changed and on request.

use std::time::Duration;

use azure_sandbox::{Effect, Fault};
use http::{Method, StatusCode};
use norman_aks::store::{self, Store, sqlite_url};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::norman::{NO_CREDENTIAL, NormanError, norman_error};
use crate::support::advance_time;
use crate::support::app::{TestApp, TestResponse};
use crate::support::fault;

/// A cluster in the network `rancher-net`, as the Terraform provider sends it.
fn cluster(app: &TestApp, credential: &str) -> Value {
    let seed = &app.seed;
    let pool = |more: Value| {
        let mut pool = json!({"availabilityZones": [], "count": 1, "enableAutoScaling": false, "maxPods": 110, "osDiskSizeGB": 128,
            "osDiskType": "Managed", "osType": "Linux", "orchestratorVersion": seed.kubernetes_version});
        pool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        pool
    };
    let pools = json!([
        pool(
            json!({"name": "system", "mode": "System", "vmSize": "Standard_DS2_v2", "osDiskSizeGB": 64, "maxPods": 60, "maxSurge": "1",
                    "availabilityZones": ["1", "2", "3"]})
        ),
        pool(
            json!({"name": "user", "mode": "User", "vmSize": "Standard_D4s_v3", "count": 2, "enableAutoScaling": true, "minCount": 1,
                    "maxCount": 3, "availabilityZones": ["1"], "nodeTaints": ["dedicated=batch:NoSchedule"]})
        ),
    ]);
    json!({
        "links": null, "actions": null, "name": "shop", "description": "first", "driver": "AKS", "enableNetworkPolicy": false,
        "annotations": {"example.com/owner": "team-a"},
        "aksConfig": {
            "azureCredentialSecret": credential, "clusterName": "shop", "resourceGroup": seed.resource_group, "resourceLocation": seed.location,
            "dnsPrefix": "shop-dns", "kubernetesVersion": seed.kubernetes_version, "networkPlugin": "azure", "networkPolicy": "azure",
            "serviceCidr": "10.1.0.0/16", "dnsServiceIp": "10.1.0.10", "loadBalancerSku": "Standard", "outboundType": "loadBalancer",
            "authorizedIpRanges": ["203.0.113.0/24", "198.51.100.7/32"], "virtualNetwork": seed.virtual_network,
            "virtualNetworkResourceGroup": seed.resource_group, "subnet": seed.subnet, "nodeResourceGroup": "shop-nodes",
            "linuxAdminUsername": "azureuser", "sshPublicKey": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC0 test@example.invalid",
            "httpApplicationRouting": false, "monitoring": true, "logAnalyticsWorkspaceGroup": seed.resource_group,
            "logAnalyticsWorkspaceName": seed.log_workspace, "privateCluster": false, "tags": {"owner": "team-a"},
            "nodePools": pools,
        },
    })
}

/// Makes Azure respond with this status and body to requests whose path contains `path`.
fn respond(app: &TestApp, path: &str, status: u16, body: &Value) {
    app.control.add_fault(fault::for_path(path, fault::body(status, &body.to_string())));
}

/// Sets the network of the cluster; `subnet` has additional properties of its subnet.
fn set_network(app: &TestApp, subnet: Value) {
    let mut properties = json!({"addressPrefix": "10.40.0.0/20"});
    properties.as_object_mut().unwrap().extend(subnet.as_object().unwrap().clone());
    let network = json!({"name": "rancher-net", "location": "eastus", "properties": {"addressSpace": {"addressPrefixes": ["10.40.0.0/16"]},
        "subnets": [{"name": "nodes", "properties": properties}]}});
    respond(app, "/virtualNetworks/rancher-net", 200, &network);
}

/// Sets up Azure so that the review accepts the cluster: free addresses, enough quota, and no node resource group yet.
fn allow_creation(app: &TestApp) {
    set_network(app, json!({}));
    let usages = json!({"value": [{"name": {"value": "cores", "localizedValue": "Total Regional vCPUs"}, "currentValue": 4, "limit": 350}]});
    respond(app, "/locations/eastus/usages", 200, &usages);
    let not_found = json!({"error": {"code": "ResourceGroupNotFound", "message": "gone"}});
    respond(app, "resourcegroups/shop-nodes", 404, &not_found);
}

/// Starts a server whose review accepts the returned body.
async fn start() -> (TestApp, Value) {
    let app = TestApp::start().await;
    allow_creation(&app);
    let id = app.store_credential(&app.admin).await;
    let body = cluster(&app, &id);
    app.take_azure_requests();
    (app, body)
}

async fn post(app: &TestApp, body: &Value) -> TestResponse {
    app.post("/v3/clusters").json(body).send().await
}

async fn create(app: &TestApp, body: &Value) -> Value {
    post(app, body).await.expect(201).json()
}

fn path_of(cluster: &Value) -> String {
    format!("/v3/clusters/{}", cluster["id"].as_str().unwrap())
}

/// The rules that have findings of this severity.
fn rules(review: &Value, severity: &str) -> Vec<String> {
    let findings = review["findings"].as_array().unwrap_or_else(|| panic!("{review}")).iter();
    let matching = findings.filter(|finding| finding["severity"] == severity);
    matching.map(|finding| finding["rule"].as_str().unwrap().to_owned()).collect()
}

/// The rules that could not be checked.
fn unchecked_rules(review: &Value) -> Vec<&str> {
    review["unchecked"].as_array().unwrap().iter().map(|entry| entry["rule"].as_str().unwrap()).collect()
}

fn assert_rejected(response: &TestResponse, field: &str, part: &str) {
    let NormanError { code, field: actual_field, message } = norman_error(response);
    assert_eq!(
        (response.status, code.as_str(), actual_field.as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, "InvalidOption", field),
        "{message}"
    );
    assert!(message.contains(part), "{message:?} should contain {part:?}");
    assert!(message.contains(": "), "{message:?} should say what to do");
}

#[tokio::test]
async fn client_specs_are_accepted_and_review_is_stored() {
    let (app, body) = start().await;
    let full = create(&app, &body).await;
    let review = &full["aksStatus"]["review"];
    assert_eq!((rules(review, "error"), rules(review, "warning")), (vec![], vec![]), "{review}");
    assert_eq!(unchecked_rules(review), [""; 0], "{review}");
    assert_eq!(rules(review, "advice"), ["advice-managed-identity", "advice-size"], "{review}");
    assert_eq!(&app.get(&path_of(&full)).send().await.json()["aksStatus"]["review"], review);

    let credential = &body["aksConfig"]["azureCredentialSecret"];
    let minimal = json!({"name": "mini", "driver": "AKS", "enableNetworkPolicy": false, "aksConfig": {
        "azureCredentialSecret": credential, "clusterName": "mini", "dnsPrefix": "mini", "httpApplicationRouting": false,
        "kubernetesVersion": "1.32.7", "monitoring": false, "networkPlugin": "kubenet", "outboundType": "loadBalancer",
        "privateCluster": false, "resourceGroup": "rancher", "resourceLocation": "eastus",
        "nodePools": [{"availabilityZones": [], "count": 1, "enableAutoScaling": false, "maxPods": 110, "mode": "System", "name": "agentpool",
            "orchestratorVersion": "", "osDiskSizeGB": 128, "osDiskType": "Managed", "osType": "Linux", "vmSize": "Standard_DS2_v2"}],
    }});
    let pools = json!([{"name": "agentpool", "count": 1, "maxPods": 110, "maxSurge": "1", "mode": "System", "osDiskSizeGB": 128,
            "osDiskType": "Managed", "osType": "Linux", "vmSize": "Standard_D2d_v4", "availabilityZones": ["1", "2", "3"],
            "enableAutoScaling": false, "nodeLabels": {}, "nodeTaints": [], "orchestratorVersion": "1.33.3",
            "_id": 1, "_isNewOrUnprovisioned": true, "_validation": {}}]);
    let dashboard = json!({"name": "board", "description": "", "labels": {}, "annotations": {}, "dockerRootDir": "/var/lib/docker",
    "enableNetworkPolicy": false, "enableClusterAlerting": false, "enableClusterMonitoring": false, "windowsPreferedCluster": false,
    "aksConfig": {
        "azureCredentialSecret": credential, "clusterName": "board", "dnsPrefix": "board-dns", "resourceGroup": "new-group",
        "resourceLocation": "eastus", "kubernetesVersion": "1.33.3", "imported": false, "linuxAdminUsername": "azureuser",
        "loadBalancerSku": "Standard", "networkPlugin": "kubenet", "outboundType": "LoadBalancer", "privateCluster": false,
        "serviceCidr": "10.0.0.0/16", "dnsServiceIp": "10.0.0.10", "dockerBridgeCidr": "172.17.0.1/16", "tags": {},
        "nodePools": pools,
    }});
    for body in [minimal, dashboard] {
        let review = &create(&app, &body).await["aksStatus"]["review"];
        assert_eq!((rules(review, "error"), rules(review, "warning")), (vec![], vec![]), "{review}");
    }
}

#[tokio::test]
async fn invalid_specs_are_rejected_before_azure() {
    type Change = fn(&mut Value);
    let (app, body) = start().await;
    let cases: [(Change, &str, &str); 18] = [
        (
            |c| c["dnsPrefix"] = json!(""),
            "aksConfig.dnsPrefix",
            "field [dnsPrefix] must be provided for cluster [shop] config",
        ),
        (
            |c| drop(c.as_object_mut().unwrap().remove("kubernetesVersion")),
            "aksConfig.kubernetesVersion",
            "field [kubernetesVersion] must be provided",
        ),
        (
            |c| c["nodePools"][0]["mode"] = json!("User"),
            "aksConfig.nodePools",
            "at least one NodePool with mode System is required",
        ),
        (
            |c| c["nodePools"][1]["name"] = json!("system"),
            "aksConfig.nodePools[1].name",
            "nodePool names must be unique within the [shop] cluster",
        ),
        (
            |c| c["networkPlugin"] = json!("cilium"),
            "aksConfig.networkPlugin",
            "invalid network plugin value [cilium] for [shop] cluster config",
        ),
        (|c| c["nodePools"][1]["name"] = json!("NotThis"), "aksConfig.nodePools[1].name", "NotThis"),
        (|c| c["dnsServiceIp"] = json!("10.1.0.1"), "aksConfig.dnsServiceIp", "first address"),
        (|c| c["serviceCidr"] = json!("172.31.0.0/24"), "aksConfig.serviceCidr", "which AKS reserves"),
        (|c| c["nodePools"][1]["minCount"] = json!(5), "aksConfig.nodePools[1].minCount", "out of range"),
        (|c| c["privateCluster"] = json!(true), "aksConfig.authorizedIpRanges", "privateCluster"),
        (
            |c| c["kubernetesVersion"] = json!("1.32.99"),
            "aksConfig.kubernetesVersion",
            "is not offered in eastus: use 1.34.3, 1.33.6, 1.32.10",
        ),
        (
            |c| {
                c["kubernetesVersion"] = json!("1.31.13");
                c["nodePools"][0]["orchestratorVersion"] = json!("");
                c["nodePools"][1]["orchestratorVersion"] = json!("");
            },
            "aksConfig.kubernetesVersion",
            "long-term support",
        ),
        (
            |c| c["nodePools"][1]["vmSize"] = json!("Standard_D4s_v99"),
            "aksConfig.nodePools[1].vmSize",
            "not offered in eastus",
        ),
        (
            |c| c["nodePools"][1]["vmSize"] = json!("Standard_B1ms"),
            "aksConfig.nodePools[1].vmSize",
            "too small for AKS",
        ),
        (
            |c| c["nodePools"][1]["availabilityZones"] = json!(["4"]),
            "aksConfig.nodePools[1].availabilityZones",
            "use 1, 2, 3",
        ),
        (|c| c["resourceLocation"] = json!("middleearth"), "aksConfig.resourceLocation", "aksLocations"),
        (|c| c["subnet"] = json!("no-such-subnet"), "aksConfig.subnet", "does not exist"),
        (
            |c| {
                c["serviceCidr"] = json!("10.40.8.0/24");
                c["dnsServiceIp"] = json!("10.40.8.10");
            },
            "aksConfig.serviceCidr",
            "10.40.0.0/20",
        ),
    ];
    for (change, field, part) in cases {
        let mut body = body.clone();
        change(&mut body["aksConfig"]);
        assert_rejected(&post(&app, &body).await, field, part);
    }
    assert_eq!(app.get("/v3/clusters").send().await.json()["data"], json!([]), "nothing was saved");
}

#[tokio::test]
async fn review_uses_existing_azure_resources() {
    let (app, body) = start().await;
    let expect_rejected =
        async |faults: &dyn Fn(&TestApp), change: fn(&mut Value), field: &str, part: &str| {
            app.control.clear_faults();
            faults(&app);
            allow_creation(&app);
            let mut body = body.clone();
            change(&mut body["aksConfig"]);
            assert_rejected(&post(&app, &body).await, field, part);
        };
    // One address too few: a /20 has 4,096, of which Azure reserves 5; the pools may need 2 nodes × 61 + 4 nodes × 111.
    let used = vec![json!({}); 4_096 - 5 - (2 * 61 + 4 * 111) + 1];
    expect_rejected(
        &|app| set_network(app, json!({"ipConfigurations": used})),
        |_| (),
        "aksConfig.subnet",
        "has 565 addresses left",
    )
    .await;
    let delegated = json!({"delegations": [{"properties": {"serviceName": "Microsoft.Web/serverFarms"}}]});
    expect_rejected(
        &|app| set_network(app, delegated.clone()),
        |_| (),
        "aksConfig.subnet",
        "delegated to Microsoft.Web/serverFarms",
    )
    .await;
    let routing: fn(&mut Value) = |config| config["outboundType"] = json!("userDefinedRouting");
    expect_rejected(&|_| (), routing, "aksConfig.outboundType", "route table").await;
    let group_exists = |app: &TestApp| respond(app, "resourcegroups/shop-nodes", 204, &json!(""));
    expect_rejected(&group_exists, |_| (), "aksConfig.nodeResourceGroup", "already exists").await;
    let existing_name: fn(&mut Value) = |config| config["clusterName"] = json!("Made-Elsewhere");
    expect_rejected(
        &|_| (),
        existing_name,
        "aksConfig.clusterName",
        "cluster [Made-Elsewhere] already exists in AKS. Update configuration or import",
    )
    .await;
}

#[tokio::test]
async fn quota_that_autoscaling_may_exceed_only_warns() {
    let (app, body) = start().await;
    app.control.clear_faults();
    let usages = |cores: u32| json!({"value": [{"name": {"value": "cores", "localizedValue": "Total Regional vCPUs"}, "currentValue": cores, "limit": 350}]});
    respond(&app, "/locations/eastus/usages", 200, &usages(339));
    allow_creation(&app);
    let review = &create(&app, &body).await["aksStatus"]["review"];
    assert_eq!(rules(review, "warning"), ["quota-of-autoscaling"], "{review}");
    let message = review["findings"][0]["message"].as_str().unwrap();
    assert_eq!(
        message,
        "nodePools may need 14 more vCPUs of the quota Total Regional vCPUs in eastus, of which 11 are left"
    );
}

#[tokio::test]
async fn static_rules_run_without_azure() {
    let (app, mut body) = start().await;
    body["aksConfig"]["dnsPrefix"] = json!("a_b");
    assert_rejected(&post(&app, &body).await, "aksConfig.dnsPrefix", "a_b");
    assert_eq!(app.take_azure_requests(), [""; 0]);
}

#[tokio::test]
async fn cluster_is_accepted_unchecked_without_azure() {
    let (app, mut body) = start().await;
    // Without Azure's list, the version cannot be checked.
    body["aksConfig"]["kubernetesVersion"] = json!("1.32.99");
    for (number, effect) in
        [Effect::CutBeforeAnswer, fault::status(503), Effect::InvalidJson].into_iter().enumerate()
    {
        app.control.clear_faults();
        app.control.add_fault(fault::for_host("management.azure.com", effect.clone()));
        body["name"] = json!(format!("shop{number}"));
        body["aksConfig"]["clusterName"] = body["name"].clone();
        let review = &create(&app, &body).await["aksStatus"]["review"];
        assert_eq!(rules(review, "error"), [""; 0], "{review}");
        for rule in [
            "version-offered",
            "size-exists",
            "zone-offered",
            "quota",
            "subnet-fits",
            "region-exists",
            "cluster-new",
        ] {
            assert!(unchecked_rules(review).contains(&rule), "{effect:?}: {rule} in {review}");
        }
        assert!(
            review["unchecked"][0]["reason"].as_str().is_some_and(|reason| reason.len() > 10),
            "{review}"
        );
    }
}

#[tokio::test]
async fn review_times_out_after_ten_seconds() {
    let (app, body) = start().await;
    app.control.add_fault(Fault {
        host: Some("management.azure.com".to_owned()),
        latency_ms: 60_000,
        ..Fault::default()
    });
    let started = Instant::now();
    let expire = async {
        app.wait_until_azure_hangs().await;
        advance_time(Duration::from_secs(10)).await;
    };
    let (created, ()) = tokio::join!(create(&app, &body), expire);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let review = &created["aksStatus"]["review"];
    assert!(unchecked_rules(review).contains(&"version-offered"), "{review}");
}

#[tokio::test]
async fn partial_azure_failure_keeps_other_rules() {
    let (app, mut body) = start().await;
    app.control.clear_faults();
    app.control.add_fault(fault::for_path("/kubernetesVersions", fault::status(500)));
    allow_creation(&app);
    body["aksConfig"]["kubernetesVersion"] = json!("1.32.99");
    let review = &create(&app, &body).await["aksStatus"]["review"];
    assert_eq!(unchecked_rules(review), ["version-offered", "pool-version-offered", "version-preview"]);
    (body["name"], body["aksConfig"]["clusterName"]) = (json!("two"), json!("two"));
    body["aksConfig"]["nodePools"][0]["vmSize"] = json!("Standard_D4s_v99");
    assert_rejected(&post(&app, &body).await, "aksConfig.nodePools[0].vmSize", "not offered");
}

#[tokio::test]
async fn advise_annotation_downgrades_azure_findings() {
    let (app, mut body) = start().await;
    body["annotations"] = json!({"norman-aks.io/review": "advise"});
    body["aksConfig"]["nodePools"][1]["vmSize"] = json!("Standard_D4s_v99");
    let cluster = create(&app, &body).await;
    let review = &cluster["aksStatus"]["review"];
    assert_eq!(rules(review, "warning"), ["size-exists"], "{review}");
    let change = json!({"name": "shop", "aksConfig": {"dnsPrefix": "a_b"}});
    assert_rejected(&app.put(&path_of(&cluster)).json(&change).send().await, "aksConfig.dnsPrefix", "a_b");
    // Any other value has no effect.
    body["annotations"] = json!({"norman-aks.io/review": "off"});
    (body["name"], body["aksConfig"]["clusterName"]) = (json!("two"), json!("two"));
    assert_rejected(&post(&app, &body).await, "aksConfig.nodePools[1].vmSize", "not offered");
}

#[tokio::test]
async fn import_is_rejected_only_if_the_cluster_is_missing() {
    let (app, body) = start().await;
    let import = |name: &str, more: Value| {
        let mut config = json!({"azureCredentialSecret": body["aksConfig"]["azureCredentialSecret"], "clusterName": name, "imported": true,
            "resourceGroup": app.seed.resource_group, "resourceLocation": app.seed.location});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"name": name.to_lowercase(), "aksConfig": config})
    };
    let cluster = create(&app, &import(app.seed.imported_cluster_name, json!({}))).await;
    let review = &cluster["aksStatus"]["review"];
    assert_eq!((rules(review, "warning"), unchecked_rules(review)), (vec![], vec![]), "{review}");
    let requests = app.take_azure_requests();
    let requests: Vec<_> = requests.iter().filter(|request| request.contains("/subscriptions/")).collect();
    assert!(requests.iter().all(|request| request.starts_with("GET ")), "{requests:?}");
    assert_eq!(requests.len(), 2, "the cluster and the subscription: {requests:?}");
    let missing = import(
        "nowhere",
        json!({"dnsPrefix": "a_b", "kubernetesVersion": "x", "nodePools": [{"name": "P", "count": -1}]}),
    );
    assert_rejected(
        &post(&app, &missing).await,
        "aksConfig.clusterName",
        "nowhere does not exist in resourceGroup",
    );

    // Values set later are compared with those in Azure.
    let put = async |change: Value| {
        app.put(&path_of(&cluster)).json(&json!({"name": cluster["name"], "aksConfig": change})).send().await
    };
    assert_rejected(
        &put(json!({"dnsPrefix": "other"})).await,
        "aksConfig.dnsPrefix",
        "cannot become \"other\"",
    );
    assert_rejected(
        &put(json!({"networkPlugin": "kubenet"})).await,
        "aksConfig.networkPlugin",
        "Azure cannot change it",
    );
    let lowered = put(json!({"kubernetesVersion": "1.20.1"})).await.expect(200);
    assert!(
        rules(&lowered.json()["aksStatus"]["review"], "warning").contains(&"version-not-lowered".to_owned())
    );
}

/// Creates an object whose cluster already exists in Azure.
async fn create_for_existing(app: &TestApp, body: &Value) -> Value {
    let mut body = body.clone();
    // Without this annotation, the review rejects the body.
    body["annotations"] = json!({"norman-aks.io/review": "advise"});
    body["aksConfig"]["clusterName"] = json!(app.seed.imported_cluster_name);
    create(app, &body).await
}

#[tokio::test]
async fn immutable_field_changes_are_rejected() {
    let (app, body) = start().await;
    // Azure's cluster has the pools of the specification.
    let path = format!("/managedClusters/{}", app.seed.imported_cluster_name);
    let pools = body["aksConfig"]["nodePools"].clone();
    respond(
        &app,
        &path,
        200,
        &json!({"name": "x", "properties": {"kubernetesVersion": "1.32.7", "provisioningState": "Succeeded",
        "agentPoolProfiles": pools}}),
    );
    let cluster = create_for_existing(&app, &body).await;
    let put = async |change: &dyn Fn(&mut Value)| {
        let mut config = body["aksConfig"].clone();
        config["clusterName"] = json!("");
        change(&mut config);
        app.put(&path_of(&cluster)).json(&json!({"name": "shop", "aksConfig": config})).send().await
    };
    for (change, field, part) in [
        (json!({"dnsPrefix": "other"}), "aksConfig.dnsPrefix", "because Azure cannot change it"),
        (
            json!({"networkPolicy": "calico"}),
            "aksConfig.networkPolicy",
            "changing it is not supported by this server",
        ),
    ] {
        let response =
            put(&|config| config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone())).await;
        assert_rejected(&response, field, part);
    }
    let response = put(&|config| config["nodePools"][0]["availabilityZones"] = json!(["1", "2"])).await;
    let message =
        "changing availability zones for node pool [system] in cluster [made-elsewhere] is not permitted";
    assert_rejected(&response, "aksConfig.nodePools[0].availabilityZones", message);
    for network_policy in ["azure", ""] {
        let accepted = put(&|config| {
            config["dnsPrefix"] = json!("SHOP-DNS");
            config["networkPolicy"] = json!(network_policy);
            config["nodePools"][0]["vmSize"] = json!("standard_ds2_V2");
            config["nodePools"][0]["availabilityZones"] = json!(["3", "1", "2"]);
            config["nodePools"][1]["maxCount"] = json!(4);
            config["tags"] = json!({"a": "b"});
        })
        .await;
        assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.text());
    }
}

#[tokio::test]
async fn all_fields_are_mutable_before_creation() {
    let (app, body) = start().await;
    let cluster = create(&app, &body).await;
    let mut config = body["aksConfig"].clone();
    config["dnsPrefix"] = json!("other");
    config["nodePools"][1]["vmSize"] = json!("Standard_DS2_v2");
    app.put(&path_of(&cluster)).json(&json!({"name": "shop", "aksConfig": config})).send().await.expect(200);
}

#[tokio::test]
async fn metadata_changes_skip_azure() {
    let (app, body) = start().await;
    let cluster = create(&app, &body).await;
    app.take_azure_requests();
    let change = json!({"name": "shop", "description": "second", "labels": {"a": "b"}});
    let response = app.put(&path_of(&cluster)).json(&change).send().await.expect(200);
    assert_eq!(app.take_azure_requests(), [""; 0]);
    assert_eq!(
        response.json()["aksStatus"]["review"],
        cluster["aksStatus"]["review"],
        "the review is unchanged"
    );
}

const REVIEW_PATH: &str = "/api/v1/aks/review";

#[tokio::test]
async fn review_lists_all_findings_and_saves_nothing() {
    let (app, body) = start().await;
    let mut config = body["aksConfig"].clone();
    config["dnsPrefix"] = json!("a_b");
    config["kubernetesVersion"] = json!("1.32.99");
    config["nodePools"][1]["vmSize"] = json!("Standard_D4s_v99");
    config["httpApplicationRouting"] = json!("true");
    let review = app.post(REVIEW_PATH).json(&json!({"aksConfig": config})).send().await.expect(200).json();
    assert_eq!(review["blocked"], true);
    assert_eq!(rules(&review, "error"), ["dns-prefix", "version-offered", "size-exists"], "{review}");
    assert_eq!(rules(&review, "warning"), ["http-routing-retired"], "{review}");
    assert!(!rules(&review, "advice").is_empty());
    let first = &review["findings"][0];
    assert_eq!(
        first.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["field", "message", "remedy", "restsOnAzure", "rule", "severity", "source"]
    );
    assert_eq!(app.get("/v3/clusters").send().await.json()["data"], json!([]));

    let valid = app.post(REVIEW_PATH).json(&json!({"aksConfig": body["aksConfig"]})).send().await.json();
    assert_eq!((&valid["blocked"], rules(&valid, "error")), (&json!(false), vec![]), "{valid}");
    create(&app, &body).await;
    let after_creation =
        app.post(REVIEW_PATH).json(&json!({"aksConfig": body["aksConfig"]})).send().await.json();
    assert_eq!(rules(&after_creation, "error"), ["cluster-unique"], "{after_creation}");
}

#[tokio::test]
async fn unknown_fields_are_reported() {
    let (app, mut body) = start().await;
    let findings_of = |review: &Value| -> Vec<Value> {
        let findings = review["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["rule"] == "unknown-field");
        findings
            .map(|finding| {
                json!([finding["severity"], finding["field"], finding["message"], finding["remedy"]])
            })
            .collect()
    };
    body["aksConfig"]["nodePools"][1]["maxcount"] = json!(5);
    body["aksConfig"]["colour"] = json!("red");
    let expected = [
        json!([
            "warning",
            "aksConfig.colour",
            "aksConfig has no field \"colour\", so the key has no effect",
            "remove it; /docs lists all fields"
        ]),
        json!([
            "warning",
            "aksConfig.nodePools[1].maxcount",
            "aksConfig.nodePools[1] has no field \"maxcount\", so the key has no effect",
            "did you mean maxCount?"
        ]),
    ];
    let review = app.post(REVIEW_PATH).json(&json!({"aksConfig": body["aksConfig"]})).send().await.json();
    assert_eq!(findings_of(&review), expected, "{review}");
    let cluster = create(&app, &body).await;
    assert_eq!(findings_of(&cluster["aksStatus"]["review"]), expected);
    let mut without_unknown = json!({"name": "shop", "aksConfig": cluster["aksConfig"]});
    let described = app
        .put(&path_of(&cluster))
        .json(&json!({"name": "shop", "description": "second"}))
        .send()
        .await
        .json();
    assert_eq!(findings_of(&described["aksStatus"]["review"]), expected, "the reviewed keys are unchanged");
    // Responses omit unknown fields, so a body that was copied from a response has none.
    without_unknown["aksConfig"]["tags"]["a"] = json!("b");
    let clean = app.put(&path_of(&cluster)).json(&without_unknown).send().await.json();
    assert!(findings_of(&clean["aksStatus"]["review"]).is_empty(), "{clean}");
    // A change that consists of an unknown field only is reported too.
    let unknown_only = json!({"name": "shop", "aksConfig": {"tgas": {"a": "c"}}});
    let changed = app.put(&path_of(&cluster)).json(&unknown_only).send().await.json();
    assert_eq!(findings_of(&changed["aksStatus"]["review"])[0][3], "did you mean tags?", "{changed}");
}

#[tokio::test]
async fn review_accepts_inline_credential() {
    let (app, body) = start().await;
    let mut config = body["aksConfig"].clone();
    config.as_object_mut().unwrap().remove("azureCredentialSecret");
    let request = app.credential(&json!({"aksConfig": config}));
    let review = app.post(REVIEW_PATH).json(&request).send().await;
    assert_eq!(
        (review.status, &review.json()["blocked"]),
        (StatusCode::OK, &json!(false)),
        "{}",
        review.text()
    );
    assert_eq!(unchecked_rules(&review.json()), [""; 0]);
    assert!(!review.text().contains(app.seed.client_secret));
    let without_credential = app.post(REVIEW_PATH).json(&json!({"aksConfig": config})).send().await.json();
    assert_eq!(rules(&without_credential, "error"), ["fields-given"]);
    assert!(unchecked_rules(&without_credential).contains(&"version-offered"), "{without_credential}");
    let mut wrong_request = request.clone();
    wrong_request["clientSecret"] = json!("wrong~secret~of~the~ready~app");
    let wrong = app.post(REVIEW_PATH).json(&wrong_request).send().await.json();
    assert_eq!(rules(&wrong, "error"), ["credential-refused"], "{wrong}");
    let mut incomplete = request;
    incomplete["clientSecret"] = json!("");
    let rejected = app.post(REVIEW_PATH).json(&incomplete).send().await;
    let NormanError { code, field, .. } = norman_error(&rejected);
    assert_eq!(
        (rejected.status, code.as_str(), field.as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, "MissingRequired", "clientSecret")
    );
}

#[tokio::test]
async fn review_of_a_change_merges_like_put() {
    let (app, body) = start().await;
    let cluster = create(&app, &body).await;
    let review_change = async |config: Value| {
        let response = app
            .post(REVIEW_PATH)
            .json(&json!({"clusterId": cluster["id"], "aksConfig": config}))
            .send()
            .await;
        assert_eq!(response.status, StatusCode::OK, "{}", response.text());
        response.json()
    };
    let valid = review_change(json!({"tags": {"a": "b"}})).await;
    assert_eq!((&valid["blocked"], rules(&valid, "error")), (&json!(false), vec![]), "{valid}");
    let invalid = review_change(json!({"clusterName": "other", "dnsPrefix": "a_b"})).await;
    assert_eq!(rules(&invalid, "error"), ["fixed-identity", "dns-prefix"], "{invalid}");
    assert_eq!(app.get(&path_of(&cluster)).send().await.json(), cluster);
}

#[tokio::test]
async fn review_requires_access_to_credential_and_cluster() {
    let (app, body) = start().await;
    let cluster = create(&app, &body).await;
    let ben = app.token("ben").await;
    let request = json!({"aksConfig": body["aksConfig"]});
    app.post(REVIEW_PATH).anonymous().json(&request).send().await.expect(401);
    let foreign = app.post(REVIEW_PATH).token(&ben).json(&request).send().await;
    assert_eq!(
        (foreign.status, norman_error(&foreign).message.as_str()),
        (StatusCode::NOT_FOUND, NO_CREDENTIAL)
    );
    let change = json!({"clusterId": cluster["id"], "aksConfig": {"tags": {}}});
    app.post(REVIEW_PATH).token(&ben).json(&change).send().await.expect(404);
    let empty = app.post(REVIEW_PATH).json(&json!({})).send().await;
    assert_eq!(
        (empty.status, norman_error(&empty).field.as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, "aksConfig")
    );
    assert_eq!(norman_error(&empty).message, "set aksConfig; it is required");
    let wrong_type =
        app.post(REVIEW_PATH).json(&json!({"aksConfig": {"nodePools": [{"count": "many"}]}})).send().await;
    assert_eq!(
        (wrong_type.status, norman_error(&wrong_type).field.as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, "count")
    );
    let wrong_method = app.call(Method::GET, REVIEW_PATH).send().await;
    assert_eq!(
        (wrong_method.status, norman_error(&wrong_method).code.as_str()),
        (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllow")
    );
}

#[tokio::test]
async fn use_of_a_stored_credential_is_audited() {
    let (app, body) = start().await;
    app.post(REVIEW_PATH)
        .header("x-request-id", "request-17")
        .json(&json!({"aksConfig": body["aksConfig"]}))
        .send()
        .await;
    create(&app, &body).await;
    let database = std::fs::read_dir(app.data_dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "db"))
        .expect("a database file");
    app.server.stop().await;
    let store = Store::connect(&sqlite_url(&database), &store::Options::default()).await.unwrap();
    let rows = store::audit::list(&store, 100, &store::audit::Filter::default()).await.unwrap();
    let row_of = |action: &str| {
        rows.iter().find(|row| row.action == action).unwrap_or_else(|| panic!("{action}: {rows:#?}"))
    };
    let reviewed = row_of("review");
    assert_eq!(
        (reviewed.object_type.as_str(), reviewed.object_id.as_str()),
        ("cloudCredential", body["aksConfig"]["azureCredentialSecret"].as_str().unwrap())
    );
    assert_eq!((reviewed.request_id.as_str(), reviewed.outcome.as_str()), ("request-17", "done"));
    assert_eq!(row_of("use").object_id, reviewed.object_id);
}
