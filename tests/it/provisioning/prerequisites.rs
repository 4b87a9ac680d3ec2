//! The prerequisites of a cluster: its resource group, network, workspace, and the resource provider.

use http::Method;
use serde_json::json;

use super::{ClusterSetup, lines, pool};

const WORKSPACES_PATH: &str = "/resourceGroups/rancher/providers/Microsoft.OperationalInsights/workspaces";
/// The request for the kubeconfig; recorded as a write because it is a POST.
const READ_KUBECONFIG: &str = "POST rancher/one/listClusterAdminCredential";

#[tokio::test]
async fn created_group_survives_cluster_deletion() {
    let setup = ClusterSetup::start().await;
    let id = setup.post_and_settle(&setup.small_cluster_with(json!({"resourceGroup": "quite-new"}))).await;
    setup.expect_active(&id).await;
    let writes = setup.take_writes();
    let kubeconfig = READ_KUBECONFIG.replace("rancher", "quite-new");
    assert_eq!(lines(&writes), ["PUT quite-new", "PUT quite-new/one", kubeconfig.as_str()]);
    assert_eq!(writes[0].body, json!({"location": "eastus", "name": "quite-new"}));
    setup.delete_and_settle(&id).await;
    assert_eq!(lines(&setup.take_writes()), ["DELETE quite-new/one"]);
    assert_eq!(setup.azure(Method::HEAD, "/resourceGroups/quite-new", None).await.0, 204);
}

#[tokio::test]
async fn pools_use_the_configured_subnet() {
    let setup = ClusterSetup::start().await;
    let network = json!({
        "networkPlugin": "azure", "networkPolicy": "calico", "virtualNetworkResourceGroup": "rancher", "virtualNetwork": "rancher-net",
        "subnet": "nodes", "serviceCidr": "10.100.0.0/16", "dnsServiceIp": "10.100.0.10", "dockerBridgeCidr": "172.17.0.1/16",
        "nodePools": [{
            "name": "system", "count": 1, "maxPods": 30, "vmSize": "Standard_DS2_v2", "osDiskSizeGB": 128, "osDiskType": "Managed",
            "osType": "Linux", "mode": "System",
        }],
    });
    let id = setup.post_and_settle(&setup.small_cluster_with(network)).await;
    setup.expect_active(&id).await;
    let writes = setup.take_writes();
    assert_eq!(lines(&writes), ["PUT rancher/one", READ_KUBECONFIG]);
    let subnet = format!(
        "/subscriptions/{}/resourceGroups/rancher/providers/Microsoft.Network/virtualNetworks/rancher-net/subnets/nodes",
        setup.account.subscription_id
    );
    assert_eq!(writes[0].at("/properties/agentPoolProfiles/0/vnetSubnetID"), json!(subnet));
    assert_eq!(
        writes[0].at("/properties/networkProfile"),
        json!({
            "networkPlugin": "azure", "networkPolicy": "calico", "outboundType": "loadBalancer", "loadBalancerSku": "Standard",
            "serviceCidr": "10.100.0.0/16", "dnsServiceIP": "10.100.0.10",
        })
    );
    // A pool that is added later is in the same subnet.
    let mut pools = setup.get(&id).await["aksConfig"]["nodePools"].clone();
    let mut new_pool = pool("work", "User");
    new_pool["maxPods"] = json!(30);
    pools.as_array_mut().unwrap().push(new_pool);
    let writes = setup.writes_of_update(&id, json!({"nodePools": pools})).await;
    assert_eq!(lines(&writes), ["PUT rancher/one/work"]);
    assert_eq!(writes[0].at("/properties/vnetSubnetID"), json!(subnet));
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn missing_subnet_is_named() {
    let setup = ClusterSetup::start().await;
    let mut body = setup.small_cluster_with(json!({
        "networkPlugin": "azure", "virtualNetworkResourceGroup": "Connectivity", "virtualNetwork": "nothing-cut-yet", "subnet": "gone",
        "serviceCidr": "10.100.0.0/16", "dnsServiceIp": "10.100.0.10",
    }));
    // Without this annotation, the review rejects the request, and the worker does not run.
    body["annotations"] = json!({"norman-aks.io/review": "advise"});
    let id = setup.post_and_settle(&body).await;
    let message = setup.expect_failure(&id, "provisioning").await;
    assert!(message.contains("nothing-cut-yet has no subnet gone"), "{message}");
    assert_eq!(lines(&setup.take_writes()), Vec::<String>::new());
}

#[tokio::test]
async fn monitoring_creates_a_workspace() {
    let setup = ClusterSetup::start().await;
    let id = setup.post_and_settle(&setup.small_cluster_with(json!({"monitoring": true}))).await;
    setup.expect_active(&id).await;
    let writes = setup.take_writes();
    assert_eq!(lines(&writes), ["PUT rancher/workspaces/rancher-EUS", "PUT rancher/one", READ_KUBECONFIG]);
    assert_eq!(writes[0].body, json!({"location": "eastus", "properties": {"sku": {"name": "Standalone"}}}));
    let workspace = writes[1].at("/properties/addonProfiles/omsAgent/config/logAnalyticsWorkspaceResourceID");
    let workspace = workspace.as_str().unwrap().to_lowercase();
    assert!(
        workspace.ends_with(
            "/resourcegroups/rancher/providers/microsoft.operationalinsights/workspaces/rancher-eus"
        ),
        "{workspace}"
    );
    let upstream = setup.get(&id).await["aksStatus"]["upstreamSpec"].clone();
    assert_eq!(
        (&upstream["monitoring"], &upstream["logAnalyticsWorkspaceName"]),
        (&json!(true), &json!("rancher-EUS"))
    );
    setup.expect_no_writes(&id).await;
    // The workspace is not deleted, because other clusters may use it.
    setup.delete(&id).await;
    setup.app.settle().await;
    assert_eq!(lines(&setup.take_writes()), ["DELETE rancher/one"]);
    assert_eq!(setup.azure(Method::GET, &format!("{WORKSPACES_PATH}/rancher-EUS"), None).await.0, 200);
}

#[tokio::test]
async fn existing_workspace_is_used() {
    let setup = ClusterSetup::start().await;
    let body = json!({"location": "eastus", "properties": {"sku": {"name": "PerGB2018"}}});
    setup.change_in_azure(Method::PUT, &format!("{WORKSPACES_PATH}/shared"), Some(&body)).await;
    let monitoring = json!({"monitoring": true, "logAnalyticsWorkspaceGroup": "rancher", "logAnalyticsWorkspaceName": "shared"});
    let id = setup.post_and_settle(&setup.small_cluster_with(monitoring)).await;
    setup.expect_active(&id).await;
    assert_eq!(lines(&setup.take_writes()), ["PUT rancher/one", READ_KUBECONFIG]);
    let cluster = setup.aks_cluster("one").await.unwrap();
    let config = &cluster["properties"]["addonProfiles"]["omsAgent"]["config"];
    assert!(
        config["logAnalyticsWorkspaceResourceID"].as_str().unwrap().ends_with("/workspaces/shared"),
        "{config}"
    );
}

#[tokio::test]
async fn missing_provider_is_registered() {
    // `fresh`: no resource provider is registered, and the application may register them.
    let setup = ClusterSetup::start_with_account("fresh").await;
    let id = setup.post(&setup.small_cluster_with(json!({"resourceGroup": "first"}))).await;
    let statuses = setup.record_statuses(&id, 60).await;
    let messages: Vec<&str> = statuses.iter().map(|status| &*status.message).collect();
    assert_eq!(
        messages,
        [
            "Azure: the resource provider Microsoft.ContainerService is being registered",
            "Azure: creating cluster one",
            ""
        ]
    );
    assert!(statuses.iter().all(|status| status.transitioning != "error"), "{statuses:?}");
    setup.expect_active(&id).await;
    let lines = lines(&setup.take_writes());
    let (registrations, others): (Vec<_>, Vec<_>) = lines.iter().partition(|line| *line == "POST register");
    assert_eq!(registrations.len(), 1, "registered once: {lines:?}");
    assert_eq!(others[0], "PUT first");
    assert_eq!(others[1], "PUT first/one");
}

#[tokio::test]
async fn missing_workspace_provider_is_registered() {
    // `fresh`: no resource provider is registered, and the application may register them.
    let setup = ClusterSetup::start_with_account("fresh").await;
    let id =
        setup.post(&setup.small_cluster_with(json!({"resourceGroup": "first", "monitoring": true}))).await;
    let statuses = setup.record_statuses(&id, 60).await;
    let registered: Vec<&str> = statuses
        .iter()
        .map(|status| &*status.message)
        .filter(|message| message.ends_with("is being registered"))
        .collect();
    assert_eq!(
        registered,
        [
            "Azure: the resource provider Microsoft.ContainerService is being registered",
            "Azure: the resource provider Microsoft.OperationalInsights is being registered",
        ]
    );
    setup.expect_active(&id).await;
    let written = lines(&setup.take_writes());
    assert_eq!(
        written[..4],
        ["POST register", "PUT first", "POST register", "PUT first/workspaces/first-EUS"]
    );
}

#[tokio::test]
async fn denied_provider_registration_is_shown() {
    // `unregistered`: a resource provider is not registered, and the application may not register it.
    let setup = ClusterSetup::start_with_account("unregistered").await;
    let mut body = setup.small_cluster_with(json!({"resourceGroup": "rancher"}));
    // Without this annotation, the review rejects the request, and the worker does not run.
    body["annotations"] = json!({"norman-aks.io/review": "advise"});
    let id = setup.post_and_settle(&body).await;
    let message = setup.expect_failure(&id, "provisioning").await;
    assert!(
        message.starts_with(
            "error registering the resource provider Microsoft.ContainerService: AuthorizationFailed: "
        ),
        "{message}"
    );
    setup.delete_and_settle(&id).await;
    let written: Vec<String> =
        lines(&setup.take_writes()).into_iter().filter(|line| line != "POST register").collect();
    assert_eq!(written, Vec::<String>::new());
    assert_eq!(setup.aks_cluster("one").await, None);
}
