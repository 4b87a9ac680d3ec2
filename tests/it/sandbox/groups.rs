//! Resource groups, networks, workspaces and resource providers.

use http::Method;
use serde_json::json;

use super::{Azure, cluster, small};

const NETWORK: &str = "/resourceGroups/rancher/providers/Microsoft.Network/virtualNetworks";
const WORKSPACE: &str =
    "/resourcegroups/rancher/providers/Microsoft.OperationalInsights/workspaces/rancher-logs";

#[tokio::test]
async fn resource_group_can_be_created_and_updated() {
    let azure = Azure::start().await;
    let path = "/resourcegroups/New_Group";
    assert_eq!(azure.send(Method::HEAD, path, None).await.status, 404);
    azure.get(path).await.assert_error(404, "ResourceGroupNotFound", "'New_Group'");
    let body = json!({"location": "West Europe", "name": "New_Group", "tags": {"a": "1"}});
    let created = azure.put(path, &body).await.expect(201);
    assert_eq!(created.at("/location"), "westeurope");
    assert_eq!(created.state(), "Succeeded");
    assert_eq!(created.at("/id"), format!("{}/resourceGroups/New_Group", azure.subscription()));
    let head = azure.send(Method::HEAD, "/resourceGroups/new_group", None).await;
    assert_eq!((head.status.as_u16(), &*head.text), (204, ""));
    let again = azure.put("/resourcegroups/new_group", &json!({"location": "westeurope"})).await.expect(200);
    assert_eq!(
        (again.at("/name"), again.at("/tags")),
        (json!("New_Group"), json!(null)),
        "tags are replaced"
    );
    let elsewhere = azure.put(path, &json!({"location": "eastus"})).await;
    elsewhere.assert_error(409, "InvalidResourceGroupLocation", "already exists in location 'westeurope'");
    let nowhere = azure.put("/resourcegroups/other", &json!({"location": "atlantis"})).await;
    nowhere.assert_error(400, "LocationNotAvailableForResourceType", "'atlantis'");
    azure.put("/resourcegroups/other", &json!({})).await.assert_error(400, "LocationRequired", "location");
    azure.put("/resourcegroups/bad.", &json!({"location": "eastus"})).await.assert_error(
        400,
        "InvalidResourceGroupName",
        "period",
    );
    let names = azure.get("/resourcegroups").await.expect(200).at("/value");
    let names: Vec<&str> =
        names.as_array().unwrap().iter().map(|group| group["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"New_Group") && names.contains(&"rancher") && names.contains(&"Legacy"));
    assert!(names.contains(&"MC_rancher_made-elsewhere_eastus"), "node resource groups are listed too");
}

#[tokio::test]
async fn resources_require_an_existing_group() {
    let azure = Azure::start().await;
    let base = "/resourceGroups/missing/providers";
    for path in [
        "Microsoft.ContainerService/managedClusters/c",
        "Microsoft.Network/virtualNetworks/v",
        "Microsoft.OperationalInsights/workspaces/work",
        "Microsoft.ContainerService/managedClusters/c/agentPools/p",
    ] {
        let path = format!("{base}/{path}");
        azure.put(&path, &small()).await.assert_error(404, "ResourceGroupNotFound", "'missing'");
        azure.get(&path).await.assert_error(404, "ResourceGroupNotFound", "'missing'");
    }
    azure.delete("/resourcegroups/missing").await.assert_error(404, "ResourceGroupNotFound", "'missing'");
}

#[tokio::test]
async fn deleting_a_group_deletes_its_resources() {
    let azure = Azure::start().await;
    let group = "/resourceGroups/short";
    azure.put(group, &json!({"location": "eastus"})).await.expect(201);
    let cluster = format!("{group}/providers/Microsoft.ContainerService/managedClusters/c");
    let created = azure.put(&cluster, &small()).await.expect(201);
    let workspace = format!("{group}/providers/Microsoft.OperationalInsights/workspaces/work");
    azure.put(&workspace, &json!({"location": "eastus"})).await.expect(201);

    let deleted = azure.delete("/resourcegroups/SHORT").await.expect(202);
    assert_eq!((&*deleted.text, deleted.header("azure-asyncoperation")), ("", ""));
    let location = deleted.header("location").to_owned();
    assert!(location.contains("/operationresults/"), "{location}");
    let poll = azure.get(&location).await.expect(202);
    assert_eq!((poll.header("location"), poll.header("retry-after")), (&*location, "1"));
    assert_eq!(azure.get(group).await.state(), "Deleting");
    assert_eq!(azure.get(&cluster).await.state(), "Deleting");
    let (status, body) = azure.status_of(&created).await;
    assert_eq!((&*status, &body["error"]["code"]), ("Failed", &json!("NotLatestOperation")));
    azure.put(&cluster, &small()).await.assert_error(409, "ResourceGroupBeingDeleted", "'short'");
    azure.put(group, &json!({"location": "eastus"})).await.assert_error(409, "ResourceGroupBeingDeleted", "");
    assert_eq!(azure.delete("/resourcegroups/short").await.expect(202).header("location"), location);

    azure.advance_secs(30);
    assert_eq!(azure.get(&location).await.expect(200).text, "");
    azure.get(group).await.assert_error(404, "ResourceGroupNotFound", "");
    azure.put(group, &json!({"location": "eastus"})).await.expect(201);
    azure.get(&cluster).await.assert_error(404, "ResourceNotFound", "managedClusters/c");
    azure.get(&workspace).await.assert_error(404, "ResourceNotFound", "workspaces/work");
    let groups = azure.get("/resourcegroups").await.text;
    assert!(!groups.contains("MC_short_c_eastus"), "the group of the nodes was deleted too");
}

#[tokio::test]
async fn network_and_subnets_can_be_created_and_deleted() {
    let azure = Azure::start().await;
    let path = format!("{NETWORK}/mine");
    azure.get(&path).await.assert_error(404, "ResourceNotFound", "virtualNetworks/mine");
    let subnet = |name: &str, range: &str| json!({"name": name, "properties": {"addressPrefix": range}});
    let body = |subnets: Vec<serde_json::Value>| {
        json!({"location": "eastus", "tags": {"a": "b"}, "properties": {
            "addressSpace": {"addressPrefixes": ["10.8.0.0/16", "fd00:8::/48"]}, "subnets": subnets,
        }})
    };
    let created = azure.put(&path, &body(vec![subnet("one", "10.8.0.0/24")])).await.expect(201);
    assert_eq!(created.state(), "Updating");
    assert!(
        created
            .header("azure-asyncoperation")
            .contains("/providers/Microsoft.Network/locations/eastus/operations/")
    );
    assert_eq!(azure.status_of(&created).await.1, json!({"status": "InProgress"}));
    azure.finish(&created).await;
    let network = azure.get(&path).await.expect(200);
    assert_eq!(
        (network.state(), network.at("/properties/addressSpace/addressPrefixes/1")),
        ("Succeeded".to_owned(), json!("fd00:8::/48"))
    );
    assert_eq!(network.at("/properties/subnets/0/properties/provisioningState"), "Succeeded");
    let networks = azure.get("/providers/Microsoft.Network/virtualNetworks").await.text;
    assert!(networks.contains("virtualNetworks/mine/subnets/one"));

    let range = json!({"properties": {"addressPrefix": "10.8.4.0/22"}});
    let second = azure.put(&format!("{path}/subnets/two"), &range).await.expect(201);
    assert_eq!(second.at("/type"), "Microsoft.Network/virtualNetworks/subnets");
    azure.finish(&second).await;
    assert_eq!(
        azure.get(&format!("{path}/Subnets/TWO")).await.expect(200).at("/properties/addressPrefix"),
        "10.8.4.0/22"
    );
    assert_eq!(azure.get(&format!("{path}/subnets")).await.at("/value").as_array().unwrap().len(), 2);
    for (range, code) in [
        ("10.9.0.0/24", "NetcfgInvalidSubnet"),
        ("10.8.5.0/24", "NetcfgSubnetRangesOverlap"),
        ("10.8.5.1/24", "InvalidCIDRNotation"),
        ("", "InvalidRequestFormat"),
    ] {
        let body = json!({"properties": {"addressPrefix": range}});
        azure.put(&format!("{path}/subnets/three"), &body).await.assert_error(400, code, "");
    }
    let elsewhere = json!({"location": "westus2", "properties": {"addressSpace": {"addressPrefixes": []}}});
    azure.put(&path, &elsewhere).await.assert_error(409, "InvalidResourceLocation", "'eastus'");
    azure.put(&format!("{NETWORK}/no/subnets/x"), &json!({})).await.assert_error(
        404,
        "ParentResourceNotFound",
        "'no'",
    );

    let deletion = azure.delete(&format!("{path}/subnets/one")).await.expect(202);
    azure.finish(&deletion).await;
    azure.get(&format!("{path}/subnets/one")).await.assert_error(404, "NotFound", "'one'");
    azure.delete(&format!("{path}/subnets/one")).await.expect(204);
    let deletion = azure.delete(&path).await.expect(202);
    assert!(deletion.header("location").contains("/operationResults/"));
    azure.get(deletion.header("location")).await.expect(202);
    azure.finish(&deletion).await;
    azure.get(deletion.header("location")).await.expect(204);
    azure.get(&path).await.expect(404);
    azure.delete(&path).await.expect(204);
}

#[tokio::test]
async fn subnet_in_use_cannot_be_deleted() {
    let azure = Azure::start().await;
    let path = format!("{NETWORK}/rancher-net");
    let nodes = azure.get(&format!("{path}/subnets/nodes")).await.expect(200);
    let addresses = nodes.at("/properties/ipConfigurations");
    // Five nodes, each with one address for itself and thirty for pods.
    assert_eq!(addresses.as_array().unwrap().len(), 5 * 31);
    assert!(
        addresses[0]["id"].as_str().unwrap().contains("/resourceGroups/MC_rancher_made-elsewhere_eastus/")
    );
    let of_network = azure.get(&path).await.at("/properties/subnets/0/properties/ipConfigurations");
    assert_eq!(of_network, addresses);
    azure.delete(&format!("{path}/subnets/nodes")).await.assert_error(
        400,
        "InUseSubnetCannotBeDeleted",
        "nodes",
    );
    azure.delete(&path).await.assert_error(400, "InUseSubnetCannotBeDeleted", "nodes");
    let without_subnets =
        json!({"location": "eastus", "properties": {"addressSpace": {"addressPrefixes": ["10.40.0.0/16"]}}});
    azure.put(&path, &without_subnets).await.assert_error(400, "InUseSubnetCannotBeDeleted", "nodes");
    assert_eq!(azure.get(&cluster("made-elsewhere")).await.state(), "Succeeded");
}

#[tokio::test]
async fn workspace_can_be_created_updated_and_deleted() {
    let azure = Azure::start().await;
    azure.get(WORKSPACE).await.assert_error(404, "ResourceNotFound", "workspaces/rancher-logs");
    let body = json!({"location": "eastus", "properties": {"sku": {"name": "standalone"}}});
    let created = azure.put(WORKSPACE, &body).await.expect(201);
    assert_eq!(
        (created.state(), created.at("/properties/sku/name")),
        ("Creating".to_owned(), json!("Standalone"))
    );
    assert_eq!((created.header("azure-asyncoperation"), created.header("retry-after")), ("", "1"));
    assert_eq!(azure.get(WORKSPACE).await.state(), "Creating");
    azure.advance_secs(5);
    let finished = azure.get(WORKSPACE).await.expect(200);
    assert_eq!((finished.state(), finished.header("retry-after")), ("Succeeded".to_owned(), ""));
    let changed =
        json!({"location": "eastus", "properties": {"sku": {"name": "PerGB2018"}, "retentionInDays": 90}});
    let again = azure.put(WORKSPACE, &changed).await.expect(200);
    assert_eq!(
        (again.at("/properties/retentionInDays"), again.at("/properties/customerId")),
        (json!(90), finished.at("/properties/customerId"))
    );
    let unknown_sku = json!({"location": "eastus", "properties": {"sku": {"name": "Gold"}}});
    azure.put(WORKSPACE, &unknown_sku).await.assert_error(400, "InvalidParameter", "Gold");
    azure.put(WORKSPACE, &json!({"location": "westus2"})).await.assert_error(
        409,
        "InvalidResourceLocation",
        "",
    );
    assert!(
        azure.get("/providers/Microsoft.OperationalInsights/workspaces").await.text.contains("rancher-logs")
    );
    azure.delete(WORKSPACE).await.expect(200);
    azure.delete(WORKSPACE).await.expect(204);
}

#[tokio::test]
async fn registering_provider_enables_cluster_creation() {
    let azure = Azure::start_as("fresh").await;
    let provider = "/providers/Microsoft.ContainerService";
    assert_eq!(azure.get(provider).await.expect(200).at("/registrationState"), "NotRegistered");
    azure.put("/resourceGroups/rancher", &json!({"location": "eastus"})).await.expect(201);
    let rejected = azure.put(&cluster("c"), &small()).await;
    rejected.assert_error(409, "MissingSubscriptionRegistration", "'Microsoft.ContainerService'");
    assert_eq!(rejected.at("/error/details/0/target"), "Microsoft.ContainerService");
    for _ in 0..2 {
        let registration = azure.post(&format!("{provider}/register")).await.expect(200);
        assert_eq!(registration.at("/registrationState"), "Registering");
    }
    assert_eq!(azure.put(&cluster("c"), &small()).await.status, 409, "not yet");
    azure.advance_secs(5);
    let registered = azure.get(provider).await;
    assert_eq!(registered.at("/registrationState"), "Registered");
    assert!(registered.text.contains("managedclusters"), "the types are listed");
    assert_eq!(azure.post(&format!("{provider}/register")).await.at("/registrationState"), "Registered");
    azure.put(&cluster("c"), &small()).await.expect(201);
    azure.get("/providers/Microsoft.Nothing").await.assert_error(404, "InvalidResourceNamespace", "");
    assert_eq!(
        azure.get("/providers/Microsoft.OperationalInsights").await.at("/registrationState"),
        "NotRegistered"
    );
    assert_eq!(azure.get("/providers/microsoft.network").await.at("/registrationState"), "Registered");
}
