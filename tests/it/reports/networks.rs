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

/// The body of a cluster with Azure CNI; `more` has additional keys of `aksConfig`.
fn azure_cni(setup: &ClusterSetup, name: &str, more: Value) -> Value {
    let mut body =
        setup.small_cluster_with(json!({"networkPlugin": "azure", "clusterName": name, "dnsPrefix": name}));
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
    let in_large_network = |name: &str, more: Value| {
        let mut body = azure_cni(&setup, name, network.clone());
        body["aksConfig"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (name, more) in [
        ("tutorial", json!({"serviceCidr": "10.0.0.0/16", "dnsServiceIp": "10.0.0.10"})),
        ("default", json!({})),
        ("kubenet", json!({"networkPlugin": "kubenet"})),
    ] {
        let body = in_large_network(name, more);
        assert!(setup.review(&body).await.contains(&"network-space-apart warning".to_owned()), "{name}");
        setup.create_active(&body).await;
    }
    // A range in the subnet of the nodes, one in another subnet, and one that contains a subnet.
    for (range, address, overlapping) in [
        ("10.240.8.0/24", "10.240.8.10", "10.240.0.0/16"),
        ("10.9.1.0/24", "10.9.1.10", "10.9.0.0/16"),
        ("10.8.0.0/13", "10.8.0.10", "10.9.0.0/16"),
    ] {
        let rejected = in_large_network("refused", json!({"serviceCidr": range, "dnsServiceIp": address}));
        let (field, message) = setup.post_rejected(&rejected).await;
        assert_eq!(field, "aksConfig.serviceCidr");
        assert!(message.contains(&format!("overlaps with the subnet {overlapping}")), "{message}");
    }
    let pods = in_large_network("pods", json!({"networkPlugin": "kubenet", "podCidr": "10.240.0.0/14"}));
    assert_eq!(setup.post_rejected(&pods).await.0, "aksConfig.podCidr");
}

#[tokio::test]
async fn overlay_pods_use_no_subnet_addresses() {
    let setup = ClusterSetup::start().await;
    setup.raise_quotas();
    create_network(&setup, "small", "10.33.0.0/16", json!([subnet("nodes", "10.33.1.0/26")])).await;
    let kubenet = json!({"networkPlugin": "kubenet", "virtualNetwork": "small", "subnet": "nodes"});
    let id = setup.create_active(&setup.small_cluster_with(kubenet)).await;
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
    let subnet_id = |subnet: &str| {
        format!(
            "/subscriptions/{}/resourceGroups/rancher/providers/Microsoft.Network/virtualNetworks/small/subnets/{subnet}",
            setup.account.subscription_id
        )
    };
    let pools = json!([azure_pool(
        json!({"vnetSubnetID": subnet_id("nodes"), "podSubnetID": subnet_id("pods"), "maxPods": 110})
    )]);
    let import = setup.create_import("theirs", json!({"agentPoolProfiles": pools})).await;
    let mut pools = setup.get(&import).await["aksStatus"]["upstreamSpec"]["nodePools"].clone();
    pools[0]["count"] = json!(4);
    pools.as_array_mut().unwrap().push(pool("more", "User"));
    let writes = setup.writes_of_update(&import, json!({"nodePools": pools})).await;
    let new_pool = writes.iter().find(|write| write.line.ends_with("/more")).unwrap();
    assert_eq!(
        (new_pool.at("/properties/vnetSubnetID"), new_pool.at("/properties/podSubnetID")),
        (json!(subnet_id("nodes")), json!(subnet_id("pods")))
    );
    pools[0]["count"] = json!(70);
    let response = setup.update(&import, json!({"nodePools": pools})).await;
    assert!(response.json()["aksStatus"]["review"].to_string().contains("may need"), "{}", response.text());
}

#[tokio::test]
async fn new_pool_of_an_import_gets_the_subnet_of_the_others() {
    let setup = ClusterSetup::start().await;
    let subnet_id = |name: &str| {
        format!(
            "/subscriptions/{}/resourceGroups/rancher/providers/Microsoft.Network/virtualNetworks/rancher-net/subnets/{name}",
            setup.account.subscription_id
        )
    };
    let pools = json!([
        azure_pool(json!({"name": "user", "mode": "User", "vnetSubnetID": subnet_id("pods")})),
        azure_pool(json!({"vnetSubnetID": subnet_id("nodes")})),
    ]);
    let id = setup.create_import("theirs", json!({"agentPoolProfiles": pools})).await;
    let mut pools = setup.get(&id).await["aksStatus"]["upstreamSpec"]["nodePools"].clone();
    let mut new_pool = pool("new", "User");
    new_pool["maxPods"] = json!(30);
    pools.as_array_mut().unwrap().push(new_pool.clone());
    let writes = setup.writes_of_update(&id, json!({"nodePools": pools})).await;
    assert_eq!(lines(&writes), ["PUT rancher/theirs/new"]);
    assert_eq!(writes[0].at("/properties/vnetSubnetID"), subnet_id("nodes"), "the subnet of the System pool");
    // A subnet of another network causes a warning.
    new_pool["name"] = json!("far");
    new_pool["vnetSubnetID"] =
        json!(subnet_id("nodes").replace("rancher-net", "dual-stack").replace("/nodes", "/both"));
    pools.as_array_mut().unwrap().push(new_pool);
    let response = setup.update(&id, json!({"nodePools": pools})).await;
    let rules = findings(&response.json()["aksStatus"]["review"]);
    assert!(rules.contains(&"subnets-one-network warning".to_owned()), "{rules:?}");
}

#[tokio::test]
async fn pool_with_subnet_is_rejected_in_azures_network() {
    let setup = ClusterSetup::start().await;
    let subnet_id = format!(
        "/subscriptions/{}/resourceGroups/rancher/providers/Microsoft.Network/virtualNetworks/rancher-net/subnets/nodes",
        setup.account.subscription_id
    );
    let id = setup.create_active(&setup.small_cluster()).await;
    let pool_with_subnet = pool_with("new", "User", json!({"vnetSubnetID": subnet_id}));
    let (field, message) =
        setup.put_rejected(&id, json!({"nodePools": [pool("system", "System"), pool_with_subnet]})).await;
    assert_eq!(field, "aksConfig.nodePools[1].vnetSubnetID");
    assert!(message.contains("but Azure requires one for all or none"), "{message}");
    // Azure rejects the pool too.
    let body = json!({"properties": {"count": 1, "vmSize": "Standard_DS2_v2", "vnetSubnetID": subnet_id}});
    let path = format!("{}/agentPools/new", crate::provisioning::cluster_path("one"));
    assert_eq!(setup.azure(Method::PUT, &path, Some(&body)).await.0, 400);
    let mut new_cluster = setup.small_cluster();
    new_cluster["name"] = json!("two");
    new_cluster["aksConfig"]["clusterName"] = json!("two");
    new_cluster["aksConfig"]["nodePools"] = json!([pool("system", "System"), pool_with_subnet]);
    assert_eq!(setup.post_rejected(&new_cluster).await.0, "aksConfig.nodePools[1].vnetSubnetID");
}

#[tokio::test]
async fn kubenet_with_a_route_table_requires_a_user_identity() {
    let setup = ClusterSetup::start().await;
    let routed = |more: Value| {
        let mut body = setup.small_cluster_with(
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
    let has_no_route_table_finding =
        |findings: Vec<String>| !findings.iter().any(|finding| finding.starts_with("subnet-route-table"));
    assert!(has_no_route_table_finding(setup.review(&with_identity).await));
    assert!(has_no_route_table_finding(setup.review(&routed(json!({"subnet": "nodes"}))).await));
    assert!(
        has_no_route_table_finding(setup.review(&routed(json!({"networkPlugin": "azure"}))).await),
        "only kubenet adds routes"
    );
    setup.create_active(&with_identity).await;
    // The simulated Azure rejects what the review rejects.
    let request = setup
        .app
        .post("/v3/clusters")
        .json(&json!({"name": "two", "annotations": {"norman-aks.io/review": "advise"},
        "aksConfig": routed(json!({"clusterName": "two", "dnsPrefix": "two"}))["aksConfig"]}));
    let created = request.send().await.expect(201);
    setup.app.settle().await;
    let message = setup.get(created.json()["id"].as_str().unwrap()).await["transitioningMessage"].to_string();
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
async fn autoscaling_without_limits_suggests_limits() {
    let setup = ClusterSetup::start().await;
    for (limits, key) in [
        (json!({}), "minCount"),
        (json!({"minCount": 0, "maxCount": 0}), "maxCount"),
        (json!({"minCount": 1, "maxCount": 0}), "maxCount"),
        (json!({"minCount": 1}), "maxCount"),
    ] {
        let mut autoscaled_pool = pool_with("system", "System", limits.clone());
        autoscaled_pool["enableAutoScaling"] = json!(true);
        let (field, message) =
            setup.post_rejected(&setup.small_cluster_with(json!({"nodePools": [autoscaled_pool]}))).await;
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
