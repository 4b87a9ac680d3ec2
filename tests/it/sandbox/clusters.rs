//! Clusters from creation to deletion: defaults, changes, upgrades, stop and abort, kubeconfigs.

use base64::Engine;
use http::Method;
use serde_json::{Value, json};

use super::{AKS, Azure, changed, cluster, pool, small, with};

fn decode_kubeconfig(encoded: &Value) -> String {
    let bytes = base64::prelude::BASE64_STANDARD.decode(encoded.as_str().unwrap()).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn cluster_is_created_and_deleted_by_operations() {
    let azure = Azure::start().await;
    let path = cluster("Mine");
    azure.get(&path).await.assert_error(404, "ResourceNotFound", "managedClusters/Mine");
    azure.delete(&path).await.expect(204);
    let created = azure.put(&path, &small()).await.expect(201);
    assert_eq!(
        (created.state(), created.header("location"), created.header("retry-after")),
        ("Creating".to_owned(), "", "1")
    );
    let id = format!("{}/resourcegroups/rancher/providers/{AKS}/Mine", azure.subscription());
    assert_eq!(created.at("/id"), id, "Azure returns the groups of clusters in lower case");
    let url = created.header("azure-asyncoperation");
    let url_start = format!(
        "https://management.azure.com{}/providers/Microsoft.ContainerService/locations/eastus/operations/",
        azure.subscription()
    );
    assert!(url.starts_with(&url_start) && url.contains("&s="), "{url}");
    let (status, body) = azure.status_of(&created).await;
    assert_eq!(status, "InProgress");
    assert!(body["startTime"].as_str().unwrap().starts_with("2026-09-21T") && body.get("endTime").is_none());
    let without_signature = azure.get(url.split("&t=").next().unwrap()).await;
    assert_eq!(without_signature.status, 400, "the URL is signed");
    assert_eq!(
        azure.post(&format!("{path}/listClusterAdminCredential")).await.error(),
        (404, "ControlPlaneNotFound".to_owned())
    );

    azure.advance_secs(7);
    assert_eq!(azure.get(&path).await.state(), "Creating");
    azure.advance_secs(1);
    let (status, body) = azure.status_of(&created).await;
    assert_eq!(status, "Succeeded");
    assert!(body["endTime"].as_str().unwrap() > body["startTime"].as_str().unwrap());
    let finished = azure.get(&path).await.expect(200);
    assert_eq!(finished.state(), "Succeeded");
    assert_eq!(finished.at("/properties/agentPoolProfiles/0/provisioningState"), "Succeeded");
    assert!(finished.at("/properties/identityProfile/kubeletidentity/clientId").is_string());
    for list in [format!("/providers/{AKS}"), format!("/resourceGroups/RANCHER/providers/{AKS}")] {
        let all = azure.get(&list).await.at("/value");
        assert!(all.as_array().unwrap().iter().any(|cluster| cluster["name"] == "Mine"), "{list}");
    }

    let deletion = azure.delete(&path).await.expect(202);
    assert!(deletion.header("location").contains("/operationresults/"));
    assert_eq!(azure.get(&path).await.state(), "Deleting");
    assert_eq!(azure.get(deletion.header("location")).await.expect(202).at("/status"), "InProgress");
    assert_eq!(azure.delete(&path).await.expect(202).header("location"), deletion.header("location"));
    azure.finish(&deletion).await;
    azure.get(deletion.header("location")).await.expect(204);
    azure.get(&path).await.assert_error(404, "ResourceNotFound", "");
    azure.delete(&path).await.expect(204);
}

#[tokio::test]
async fn defaults_are_set_and_secrets_removed() {
    let azure = Azure::start().await;
    let mut body = with(
        small(),
        "/properties/servicePrincipalProfile",
        json!({"clientId": "x", "secret": "canary~secret"}),
    );
    body = with(body, "/properties/kubernetesVersion", json!("1.32"));
    let created = azure.create_cluster("c", &body).await;
    assert!(!created.text.contains("canary"), "{}", created.text);
    for (pointer, expected) in [
        ("/type", json!("Microsoft.ContainerService/ManagedClusters")),
        ("/sku", json!({"name": "Base", "tier": "Free"})),
        ("/properties/kubernetesVersion", json!("1.32")),
        ("/properties/currentKubernetesVersion", json!("1.32.10")),
        ("/properties/nodeResourceGroup", json!("MC_rancher_c_eastus")),
        ("/properties/servicePrincipalProfile", json!({"clientId": "msi"})),
        ("/properties/powerState/code", json!("Running")),
        ("/properties/networkProfile/networkPlugin", json!("kubenet")),
        ("/properties/networkProfile/podCidr", json!("10.244.0.0/16")),
        ("/properties/networkProfile/serviceCidr", json!("10.0.0.0/16")),
        ("/properties/networkProfile/dnsServiceIP", json!("10.0.0.10")),
        ("/properties/networkProfile/loadBalancerSku", json!("standard")),
        ("/properties/networkProfile/outboundType", json!("loadBalancer")),
        ("/properties/agentPoolProfiles/0/orchestratorVersion", json!("1.32")),
        ("/properties/agentPoolProfiles/0/currentOrchestratorVersion", json!("1.32.10")),
        ("/properties/agentPoolProfiles/0/maxPods", json!(110)),
        ("/properties/agentPoolProfiles/0/osDiskSizeGB", json!(128)),
        ("/properties/agentPoolProfiles/0/osType", json!("Linux")),
        ("/properties/agentPoolProfiles/0/upgradeSettings/maxSurge", json!("10%")),
        ("/identity/tenantId", json!(azure.account.tenant_id)),
    ] {
        assert_eq!(created.at(pointer), expected, "{pointer}");
    }
    assert!(created.at("/identity/principalId").is_string());
    let host = created.at("/properties/fqdn").as_str().unwrap().to_owned();
    let unique_part = host.strip_prefix("small-").unwrap().strip_suffix(".hcp.eastus.azmk8s.io").unwrap();
    assert!(unique_part.len() == 8 && unique_part.bytes().all(|byte| byte.is_ascii_hexdigit()), "{host}");
    assert!(created.at("/eTag").is_null(), "this API version has none");
    let newer = azure.get(&format!("{}?api-version=2025-05-01", cluster("c"))).await;
    assert!(newer.at("/eTag").is_string());
}

#[tokio::test]
async fn host_names_depend_on_the_cloud() {
    for (account, region, suffix) in [
        ("china", "chinanorth3", ".hcp.chinanorth3.cx.prod.service.azk8s.cn"),
        ("us-government", "usgovvirginia", ".hcp.usgovvirginia.cx.aks.containerservice.azure.us"),
    ] {
        let azure = Azure::start_as(account).await;
        let body = with(small(), "/location", json!(region));
        let created =
            azure.create_cluster("c", &with(body, "/properties/kubernetesVersion", json!(""))).await;
        assert!(created.at("/properties/fqdn").as_str().unwrap().ends_with(suffix), "{}", created.text);
        let seeded = azure.get(&cluster("made-elsewhere")).await.at("/properties/fqdn");
        assert!(seeded.as_str().unwrap().ends_with(suffix), "{seeded}");
    }
}

#[tokio::test]
async fn private_cluster_has_a_private_host_name() {
    let azure = Azure::start().await;
    let access = json!({"enablePrivateCluster": true, "privateDNSZone": "System"});
    let created =
        azure.create_cluster("c", &with(small(), "/properties/apiServerAccessProfile", access)).await;
    let host = created.at("/properties/privateFQDN").as_str().unwrap().to_owned();
    assert!(host.starts_with("small-") && host.ends_with(".privatelink.eastus.azmk8s.io"), "{host}");
    assert_eq!(created.at("/properties/apiServerAccessProfile/privateDNSZone"), "system");
    assert!(created.at("/properties/privateLinkResources/0/privateLinkServiceID").is_string());
    let config = azure.post(&format!("{}/listClusterAdminCredential", cluster("c"))).await.expect(200);
    assert!(decode_kubeconfig(&config.at("/kubeconfigs/0/value")).contains(&host));
}

#[tokio::test]
async fn put_preserves_unknown_properties() {
    let azure = Azure::start().await;
    let addons = json!({"omsAgent": {"enabled": false}, "httpApplicationRouting": {"enabled": false}});
    let body = with(small(), "/properties/addonProfiles", addons);
    let created =
        azure.create_cluster("c", &with(body, "/properties/fromTheFuture", json!({"a": [1, null]}))).await;
    let body = changed(
        &created,
        "/properties/apiServerAccessProfile",
        json!({"authorizedIPRanges": ["203.0.113.0/24"]}),
    );
    let put = azure.put(&cluster("c"), &body).await.expect(200);
    assert_eq!(
        (put.state(), put.at("/properties/agentPoolProfiles/0/provisioningState")),
        ("Updating".to_owned(), json!("Updating"))
    );
    azure.finish(&put).await;
    let updated = azure.get(&cluster("c")).await;
    assert_eq!(
        updated.at("/properties/apiServerAccessProfile/authorizedIPRanges"),
        json!(["203.0.113.0/24"])
    );
    for pointer in [
        "/properties/fromTheFuture",
        "/properties/fqdn",
        "/identity/principalId",
        "/tags",
        "/properties/resourceUID",
    ] {
        assert_eq!(updated.at(pointer), created.at(pointer), "{pointer}");
    }
    // Keys and pools that a PUT omits are unchanged.
    let partial = json!({"location": "eastus", "tags": {"team": "tests"}, "properties": {"kubernetesVersion": "1.32.7"}});
    let put = azure.put(&cluster("c"), &partial).await.expect(200);
    azure.finish(&put).await;
    assert_eq!(azure.get(&cluster("c")).await.json(), updated.json());

    let workspace = "/resourceGroups/rancher/providers/Microsoft.OperationalInsights/workspaces/logs";
    let id = format!("{}{workspace}", azure.subscription());
    let enabled = json!({"enabled": true, "config": {"logAnalyticsWorkspaceResourceID": id}});
    let body = changed(&updated, "/properties/addonProfiles", json!({"omsagent": enabled}));
    azure.put(&cluster("c"), &body).await.assert_error(400, "InvalidParameter", "does not exist");
    azure.put(workspace, &json!({"location": "eastus"})).await.expect(201);
    let put = azure.put(&cluster("c"), &body).await.expect(200);
    azure.finish(&put).await;
    let addons = azure.get(&cluster("c")).await.at("/properties/addonProfiles");
    assert_eq!(addons["omsAgent"]["enabled"], true, "add-ons keep their first spelling: {addons}");
    assert_eq!(addons["httpApplicationRouting"]["enabled"], false);
    assert!(addons.get("omsagent").is_none());
}

#[tokio::test]
async fn patch_replaces_tags_only() {
    let azure = Azure::start().await;
    let created = azure.create_cluster("c", &small()).await;
    let patch =
        azure.send(Method::PATCH, &cluster("c"), Some(&json!({"tags": {"b": "2"}}))).await.expect(200);
    assert_eq!((patch.at("/tags"), patch.state()), (json!({"b": "2"}), "Updating".to_owned()));
    assert_eq!(patch.at("/properties/agentPoolProfiles/0/provisioningState"), "Succeeded");
    azure.finish(&patch).await;
    let updated = azure.get(&cluster("c")).await;
    assert_eq!(updated.at("/tags"), json!({"b": "2"}));
    assert_eq!(updated.at("/properties"), created.at("/properties"));
}

#[tokio::test]
async fn cluster_is_upgraded_before_its_pools() {
    let azure = Azure::start().await;
    let created = azure.create_cluster("c", &small()).await;
    let profile = azure.get(&format!("{}/upgradeProfiles/default", cluster("c"))).await.expect(200);
    let upgrades = profile.at("/properties/controlPlaneProfile/upgrades");
    assert!(upgrades.as_array().unwrap().iter().any(|upgrade| upgrade["kubernetesVersion"] == "1.33.3"));

    let body = |version: &str| changed(&created, "/properties/kubernetesVersion", json!(version));
    azure.put(&cluster("c"), &body("1.34.1")).await.assert_error(
        400,
        "OperationNotAllowed",
        "Available upgrades: [1.32.10",
    );
    azure.put(&cluster("c"), &body("1.77.0")).await.assert_error(400, "K8sVersionNotSupported", "1.77.0");
    azure.put(&cluster("c"), &body("1.32.1")).await.assert_error(400, "OperationNotAllowed", "1.32.1");
    let upgrade_to = |version: &str| json!({"properties": {"orchestratorVersion": version}});
    azure.put(&pool("c", "system"), &upgrade_to("1.33.3")).await.assert_error(
        400,
        "NodePoolMcVersionIncompatible",
        "version 33 is bigger",
    );

    let put = azure.put(&cluster("c"), &body("1.33.3")).await.expect(200);
    assert_eq!(
        (put.state(), put.at("/properties/currentKubernetesVersion")),
        ("Upgrading".to_owned(), json!("1.32.7"))
    );
    azure.finish(&put).await;
    let finished = azure.get(&cluster("c")).await;
    assert_eq!(finished.at("/properties/currentKubernetesVersion"), "1.33.3");
    assert_eq!(
        finished.at("/properties/agentPoolProfiles/0/currentOrchestratorVersion"),
        "1.32.7",
        "nodes are not upgraded"
    );
    let pool_profile =
        azure.get(&format!("{}/upgradeProfiles/default", pool("c", "system"))).await.expect(200);
    let targets = pool_profile.at("/properties/upgrades");
    assert!(targets.as_array().unwrap().contains(&json!({"kubernetesVersion": "1.33.3"})), "{targets}");
    assert!(!targets.as_array().unwrap().contains(&json!({"kubernetesVersion": "1.33.4"})), "{targets}");

    let put = azure.put(&pool("c", "system"), &upgrade_to("1.33.3")).await.expect(200);
    assert_eq!(
        (put.state(), put.at("/properties/currentOrchestratorVersion")),
        ("Upgrading".to_owned(), json!("1.32.7"))
    );
    azure.finish(&put).await;
    let upgraded_pool = azure.get(&pool("c", "system")).await;
    assert_eq!(
        (upgraded_pool.state(), upgraded_pool.at("/properties/currentOrchestratorVersion")),
        ("Succeeded".to_owned(), json!("1.33.3"))
    );
    azure.put(&pool("c", "system"), &upgrade_to("1.32.7")).await.assert_error(
        400,
        "OperationNotAllowed",
        "Downgrading",
    );
}

#[tokio::test]
async fn stopped_cluster_rejects_changes() {
    let azure = Azure::start().await;
    let created = azure.create_cluster("c", &small()).await;
    let stop = azure.post(&format!("{}/stop", cluster("c"))).await.expect(202);
    assert_eq!(azure.get(&cluster("c")).await.state(), "Stopping");
    azure.finish(&stop).await;
    azure.get(stop.header("location")).await.expect(204);
    let stopped = azure.get(&cluster("c")).await;
    assert_eq!(
        (stopped.state(), stopped.at("/properties/powerState/code")),
        ("Succeeded".to_owned(), json!("Stopped"))
    );
    azure.put(&cluster("c"), &created.json()).await.assert_error(409, "OperationNotAllowed", "stopped");
    let start = azure.post(&format!("{}/start", cluster("c"))).await.expect(202);
    azure.finish(&start).await;
    assert_eq!(azure.get(&cluster("c")).await.at("/properties/powerState/code"), "Running");
}

#[tokio::test]
async fn abort_cancels_the_running_operation() {
    let azure = Azure::start().await;
    let created = azure.put(&cluster("c"), &small()).await.expect(201);
    let abort = azure.post(&format!("{}/abort", cluster("c"))).await.expect(202);
    assert_eq!(azure.status_of(&created).await.0, "Canceled");
    azure.finish(&abort).await;
    assert_eq!(azure.get(&cluster("c")).await.state(), "Canceled");
    azure.post(&format!("{}/abort", cluster("c"))).await.assert_error(
        400,
        "OperationNotAllowed",
        "no operation",
    );
}

#[tokio::test]
async fn kubeconfigs_depend_on_local_accounts() {
    let azure = Azure::start().await;
    let host =
        azure.get(&cluster("made-elsewhere")).await.at("/properties/fqdn").as_str().unwrap().to_owned();
    let request_kubeconfig = async |cluster_name: &str, action: &str| {
        azure.post(&format!("{}/{action}", cluster(cluster_name))).await
    };
    let admin = request_kubeconfig("made-elsewhere", "listClusterAdminCredential").await.expect(200);
    assert_eq!(admin.at("/kubeconfigs/0/name"), "clusterAdmin");
    assert!(decode_kubeconfig(&admin.at("/kubeconfigs/0/value")).contains(&host));
    let legacy =
        request_kubeconfig("made-elsewhere", "accessProfiles/clusterAdmin/listCredential").await.expect(200);
    assert_eq!(legacy.at("/properties/kubeConfig"), admin.at("/kubeconfigs/0/value"));
    let user = request_kubeconfig("made-elsewhere", "listClusterUserCredential").await.expect(200);
    assert_eq!(user.at("/kubeconfigs/0/name"), "clusterUser");

    for action in ["listClusterAdminCredential", "accessProfiles/clusterAdmin/listCredential"] {
        let words = "Getting static credential is not allowed";
        request_kubeconfig("entra-only", action).await.assert_error(400, "BadRequest", words);
    }
    for format in ["", "?format=azure", "?format=exec"] {
        request_kubeconfig("entra-only", &format!("listClusterUserCredential{format}")).await.expect(200);
    }
    request_kubeconfig("entra-only", "listClusterUserCredential?format=xml").await.assert_error(
        400,
        "InvalidParameter",
        "xml",
    );
    request_kubeconfig("missing", "listClusterAdminCredential").await.assert_error(
        404,
        "ResourceNotFound",
        "missing",
    );
    let private = azure.get(&cluster("private-one")).await;
    assert!(private.at("/properties/privateFQDN").as_str().unwrap().contains(".privatelink."));
}

#[tokio::test]
async fn etags_are_checked() {
    let azure = Azure::start().await;
    let path = format!("{}?api-version=2025-05-01", cluster("c"));
    let created = azure.put(&path, &small()).await.expect(201);
    azure.finish(&created).await;
    let etag = azure.get(&path).await.at("/eTag").as_str().unwrap().to_owned();
    let put_with_header = async |header: &'static str, value: &str| {
        let request = azure.request(Method::PUT, &path, Some(&small())).header(header, value);
        super::read(request.send().await.unwrap()).await
    };
    put_with_header("if-match", "another").await.assert_error(412, "EtagMismatch", "");
    put_with_header("if-none-match", "*").await.assert_error(412, "EtagMismatch", "");
    let put = put_with_header("if-match", &format!("\"{etag}\"")).await.expect(200);
    azure.finish(&put).await;
    assert_ne!(azure.get(&path).await.at("/eTag"), etag);
}
