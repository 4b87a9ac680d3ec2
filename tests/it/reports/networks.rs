//! Address ranges, subnets and route tables: accepted if Azure accepts them, rejected if Azure rejects them.

use http::Method;
use serde_json::{Value, json};

use super::{azure_pool, findings};
use crate::provisioning::{ClusterSetup, lines, pool, pool_with};

/// Creates a network in the simulated Azure.
async fn create_network(setup: &ClusterSetup, name: &str, space: &str, subnets: Value) {
    let body = json!({"location": "eastus", "properties": {"addressSpace": {"addressPrefixes": [space]}, "subnets": subnets}});
    let path = format!("/resourceGroups/rancher/providers/Microsoft.Network/virtualNetworks/{name}");
    setup.change_in_azure(Method::PUT, &path, Some(&body)).await;
}

fn subnet(name: &str, range: &str) -> Value {
    json!({"name": name, "properties": {"addressPrefix": range}})
}

/// A cluster with that name, on Azure CNI, with additional keys.
fn azure_cni(setup: &ClusterSetup, name: &str, more: Value) -> Value {
    let mut body =
        setup.small_with(json!({"networkPlugin": "azure", "clusterName": name, "dnsPrefix": name}));
    body["name"] = json!(name);
    body["aksConfig"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body["aksConfig"]["nodePools"][0]["maxPods"] = json!(30);
    body
}

#[tokio::test]
async fn service_range_may_be_in_the_network_but_not_in_a_subnet() {
    let setup = ClusterSetup::start().await;
    create_network(
        &setup,
        "large",
        "10.0.0.0/8",
        json!([subnet("aks", "10.240.0.0/16"), subnet("other", "10.9.0.0/16")]),
    )
    .await;
    let network = json!({"virtualNetwork": "large", "subnet": "aks"});
    let with = |name: &str, more: Value| {
        let mut body = azure_cni(&setup, name, network.clone());
        body["aksConfig"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (name, more) in [
        ("tutorial", json!({"serviceCidr": "10.0.0.0/16", "dnsServiceIp": "10.0.0.10"})),
        ("default", json!({})),
        ("kubenet", json!({"networkPlugin": "kubenet"})),
    ] {
        let body = with(name, more);
        assert!(setup.review(&body).await.contains(&"network-space-apart warning".to_owned()), "{name}");
        setup.create_active(&body).await;
    }
    // The subnet of the nodes, another subnet, and a range that contains one.
    for (range, address, overlapping) in [
        ("10.240.8.0/24", "10.240.8.10", "10.240.0.0/16"),
        ("10.9.1.0/24", "10.9.1.10", "10.9.0.0/16"),
        ("10.8.0.0/13", "10.8.0.10", "10.9.0.0/16"),
    ] {
        let refused = with("refused", json!({"serviceCidr": range, "dnsServiceIp": address}));
        let (field, message) = setup.post_rejected(&refused).await;
        assert_eq!(field, "aksConfig.serviceCidr");
        assert!(message.contains(&format!("overlaps with the subnet {overlapping}")), "{message}");
    }
    let pods = with("pods", json!({"networkPlugin": "kubenet", "podCidr": "10.240.0.0/14"}));
    assert_eq!(setup.post_rejected(&pods).await.0, "aksConfig.podCidr");
}

#[tokio::test]
async fn overlay_pods_use_no_subnet_addresses() {
    let setup = ClusterSetup::start().await;
    setup.raise_quotas();
    create_network(&setup, "small", "10.33.0.0/16", json!([subnet("nodes", "10.33.1.0/26")])).await;
    let kubenet = json!({"networkPlugin": "kubenet", "virtualNetwork": "small", "subnet": "nodes"});
    let id = setup.create_active(&setup.small_with(kubenet)).await;
    setup.app.control.edit_cluster("one", |body| {
        let profile = &mut body["properties"]["networkProfile"];
        profile["networkPlugin"] = json!("azure");
        profile["networkPluginMode"] = json!("overlay");
    });
    setup.advance_refreshes(1).await;
    assert_eq!(setup.get(&id).await["aksConfig"]["networkPlugin"], "azure");
    let writes = setup
        .writes_of_update(&id, json!({"nodePools": [pool_with("system", "System", json!({"count": 4}))]}))
        .await;
    assert_eq!(
        (lines(&writes), writes[0].at("/properties/count")),
        (vec!["PUT rancher/one/system".to_owned()], json!(4))
    );
    let many = json!({"nodePools": [pool_with("system", "System", json!({"count": 90}))]});
    let (field, message) = setup.put_rejected(&id, many).await;
    assert!(field.starts_with("aksConfig.nodePools[0]") || field == "aksConfig.subnet", "{field}");
    assert!(message.contains("has 59 addresses left") && message.contains("may need 99"), "{message}");
}

#[tokio::test]
async fn pods_with_their_own_subnet_use_no_node_addresses() {
    let setup = ClusterSetup::start().await;
    setup.raise_quotas();
    create_network(
        &setup,
        "small",
        "10.34.0.0/16",
        json!([subnet("nodes", "10.34.1.0/26"), subnet("pods", "10.34.64.0/18")]),
    )
    .await;
    let id = |subnet: &str| {
        format!(
            "/subscriptions/{}/resourceGroups/rancher/providers/Microsoft.Network/virtualNetworks/small/subnets/{subnet}",
            setup.account.subscription_id
        )
    };
    let pools =
        json!([azure_pool(json!({"vnetSubnetID": id("nodes"), "podSubnetID": id("pods"), "maxPods": 110}))]);
    let import = setup.create_import("theirs", json!({"agentPoolProfiles": pools})).await;
    let mut pools = setup.get(&import).await["aksStatus"]["upstreamSpec"]["nodePools"].clone();
    pools[0]["count"] = json!(4);
    pools.as_array_mut().unwrap().push(pool("more", "User"));
    let writes = setup.writes_of_update(&import, json!({"nodePools": pools})).await;
    let new = writes.iter().find(|write| write.line.ends_with("/more")).unwrap();
    assert_eq!(
        (new.at("/properties/vnetSubnetID"), new.at("/properties/podSubnetID")),
        (json!(id("nodes")), json!(id("pods")))
    );
    pools[0]["count"] = json!(70);
    let response = setup.update(&import, json!({"nodePools": pools})).await;
    assert!(response.json()["aksStatus"]["review"].to_string().contains("may need"), "{}", response.text());
}

#[tokio::test]
async fn new_pool_of_an_import_gets_the_subnet_of_the_others() {
    let setup = ClusterSetup::start().await;
    let subnet = |name: &str| {
        format!(
            "/subscriptions/{}/resourceGroups/rancher/providers/Microsoft.Network/virtualNetworks/rancher-net/subnets/{name}",
            setup.account.subscription_id
        )
    };
    let pools = json!([
        azure_pool(json!({"name": "user", "mode": "User", "vnetSubnetID": subnet("pods")})),
        azure_pool(json!({"vnetSubnetID": subnet("nodes")})),
    ]);
    let id = setup.create_import("theirs", json!({"agentPoolProfiles": pools})).await;
    let mut pools = setup.get(&id).await["aksStatus"]["upstreamSpec"]["nodePools"].clone();
    let mut new = pool("new", "User");
    new["maxPods"] = json!(30);
    pools.as_array_mut().unwrap().push(new.clone());
    let writes = setup.writes_of_update(&id, json!({"nodePools": pools})).await;
    assert_eq!(lines(&writes), ["PUT rancher/theirs/new"]);
    assert_eq!(writes[0].at("/properties/vnetSubnetID"), subnet("nodes"), "the subnet of the System pool");
    // A subnet of another network is not possible.
    new["name"] = json!("far");
    new["vnetSubnetID"] =
        json!(subnet("nodes").replace("rancher-net", "dual-stack").replace("/nodes", "/both"));
    pools.as_array_mut().unwrap().push(new);
    let response = setup.update(&id, json!({"nodePools": pools})).await;
    let found = findings(&response.json()["aksStatus"]["review"]);
    assert!(found.contains(&"subnets-one-network warning".to_owned()), "{found:?}");
}

#[tokio::test]
async fn pool_with_subnet_is_rejected_in_azures_network() {
    let setup = ClusterSetup::start().await;
    let subnet = format!(
        "/subscriptions/{}/resourceGroups/rancher/providers/Microsoft.Network/virtualNetworks/rancher-net/subnets/nodes",
        setup.account.subscription_id
    );
    let id = setup.create_active(&setup.small()).await;
    let pool_with_subnet = pool_with("new", "User", json!({"vnetSubnetID": subnet}));
    let (field, message) =
        setup.put_rejected(&id, json!({"nodePools": [pool("system", "System"), pool_with_subnet]})).await;
    assert_eq!(field, "aksConfig.nodePools[1].vnetSubnetID");
    assert!(message.contains("all or none may have one"), "{message}");
    // Azure rejects it too.
    let body = json!({"properties": {"count": 1, "vmSize": "Standard_DS2_v2", "vnetSubnetID": subnet}});
    let path = format!("{}/agentPools/new", crate::provisioning::cluster("one"));
    assert_eq!(setup.azure(Method::PUT, &path, Some(&body)).await.0, 400);
    let mut mixed = setup.small();
    mixed["name"] = json!("two");
    mixed["aksConfig"]["clusterName"] = json!("two");
    mixed["aksConfig"]["nodePools"] = json!([pool("system", "System"), pool_with_subnet]);
    assert_eq!(setup.post_rejected(&mixed).await.0, "aksConfig.nodePools[1].vnetSubnetID");
}

#[tokio::test]
async fn kubenet_with_a_route_table_requires_a_user_identity() {
    let setup = ClusterSetup::start().await;
    let routed = |more: Value| {
        let mut body = setup.small_with(
            json!({"networkPlugin": "kubenet", "virtualNetwork": "rancher-net", "subnet": "routed"}),
        );
        body["aksConfig"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let (field, message) = setup.post_rejected(&routed(json!({}))).await;
    assert_eq!(field, "aksConfig.userAssignedIdentity");
    for words in [
        "managedIdentity",
        "userAssignedIdentity",
        "Network Contributor",
        "route table",
        "subnet",
        "rancher-routes",
    ] {
        assert!(message.contains(words), "{words}: {message}");
    }
    assert_eq!(
        setup.post_rejected(&routed(json!({"managedIdentity": true}))).await.0,
        "aksConfig.userAssignedIdentity"
    );
    let identity = format!(
        "/subscriptions/{}/resourceGroups/rancher/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mine",
        setup.account.subscription_id
    );
    let with_identity = routed(json!({"managedIdentity": true, "userAssignedIdentity": identity}));
    let has_no_finding =
        |found: Vec<String>| !found.iter().any(|item| item.starts_with("subnet-route-table"));
    assert!(has_no_finding(setup.review(&with_identity).await));
    assert!(has_no_finding(setup.review(&routed(json!({"subnet": "nodes"}))).await));
    assert!(
        has_no_finding(setup.review(&routed(json!({"networkPlugin": "azure"}))).await),
        "only kubenet adds routes"
    );
    setup.create_active(&with_identity).await;
    // The simulated Azure rejects the same as the review.
    let advised = setup
        .app
        .post("/v3/clusters")
        .json(&json!({"name": "two", "annotations": {"norman-aks.io/review": "advise"},
        "aksConfig": routed(json!({"clusterName": "two", "dnsPrefix": "two"}))["aksConfig"]}));
    let advised = advised.send().await.expect(201);
    setup.app.settle().await;
    let message = setup.get(advised.json()["id"].as_str().unwrap()).await["transitioningMessage"].to_string();
    assert!(message.contains("do not support bringing your own route table"), "{message}");
}

#[tokio::test]
async fn user_defined_routing_works_in_a_subnet_with_a_route_table() {
    let setup = ClusterSetup::start().await;
    let routed = |name: &str, subnet: &str| {
        azure_cni(
            &setup,
            name,
            json!({"outboundType": "userDefinedRouting", "virtualNetwork": "rancher-net", "subnet": subnet}),
        )
    };
    setup.create_active(&routed("routed", "routed")).await;
    let (field, message) = setup.post_rejected(&routed("unrouted", "nodes")).await;
    assert_eq!(field, "aksConfig.outboundType");
    assert!(message.contains("route table"), "{message}");
}

#[tokio::test]
async fn autoscaling_without_limits_names_limits_that_work() {
    let setup = ClusterSetup::start().await;
    for (limits, key) in [
        (json!({}), "minCount"),
        (json!({"minCount": 0, "maxCount": 0}), "maxCount"),
        (json!({"minCount": 1, "maxCount": 0}), "maxCount"),
        (json!({"minCount": 1}), "maxCount"),
    ] {
        let mut scaling = pool_with("system", "System", limits.clone());
        scaling["enableAutoScaling"] = json!(true);
        let (field, message) = setup.post_rejected(&setup.small_with(json!({"nodePools": [scaling]}))).await;
        assert_eq!(field, format!("aksConfig.nodePools[0].{key}"), "{limits}");
        assert!(message.contains("set minCount and maxCount, for example 1 and 3"), "{message}");
    }
}

#[tokio::test]
async fn imported_cilium_cluster_has_no_findings() {
    let setup = ClusterSetup::start().await;
    let cilium = json!({"networkProfile": {"networkPlugin": "azure", "networkPluginMode": "overlay", "networkPolicy": "cilium",
        "networkDataplane": "cilium", "podCidr": "10.244.0.0/16"}});
    let id = setup.create_import("cilium", cilium).await;
    let upstream = setup.get(&id).await["aksStatus"]["upstreamSpec"].clone();
    let mut pools = upstream["nodePools"].clone();
    pools[0]["count"] = json!(3);
    let config = json!({"nodePools": pools, "networkPlugin": upstream["networkPlugin"], "networkPolicy": upstream["networkPolicy"],
        "podCidr": upstream["podCidr"]});
    let writes = setup.writes_of_update(&id, config).await;
    assert_eq!(lines(&writes), ["PUT rancher/cilium/system"]);
    assert_eq!(findings(&setup.get(&id).await["aksStatus"]["review"]), [""; 0]);
}
