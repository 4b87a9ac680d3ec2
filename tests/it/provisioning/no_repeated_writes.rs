//! Once all steps are done, no more writes are sent, whatever the specification contains.

use serde_json::{Value, json};

use super::{ClusterSetup, lines, pool, pool_with, without_azure_values};

async fn expect_no_writes_after_creation(config: Value) {
    let setup = ClusterSetup::start().await;
    let body = setup.small_cluster_with(config);
    let id = setup.create_active(&body).await;
    setup.expect_no_writes(&id).await;
    let mut returned = setup.get(&id).await["aksConfig"].clone();
    returned.as_object_mut().unwrap().remove("type");
    for pool in returned["nodePools"].as_array_mut().unwrap() {
        pool.as_object_mut().unwrap().remove("type");
    }
    assert_eq!(without_azure_values(&returned, &body["aksConfig"]), body["aksConfig"], "the user's spelling");
}

#[tokio::test]
async fn minimal_spec_causes_no_writes() {
    expect_no_writes_after_creation(json!({})).await;
    // 50 refreshes are about four hours.
    let (setup, id) = ClusterSetup::start_active().await;
    setup.expect_no_writes_during_refreshes(&id, 50).await;
}

#[tokio::test]
async fn different_letter_case_causes_no_writes() {
    expect_no_writes_after_creation(json!({
        "resourceGroup": "Rancher", "clusterName": "One", "resourceLocation": "EastUS", "loadBalancerSku": "STANDARD",
        "outboundType": "LoadBalancer", "tags": {"Team": "Platform"},
        "nodePools": [pool_with("system", "system", json!({"vmSize": "standard_ds2_V2", "osType": "linux", "osDiskType": "managed"}))],
    }))
    .await;
}

#[tokio::test]
async fn empty_values_cause_no_writes() {
    expect_no_writes_after_creation(json!({
        "authorizedIpRanges": [], "tags": {}, "monitoring": false, "httpApplicationRouting": false, "privateCluster": false,
        "managedIdentity": false, "networkPolicy": "", "virtualNetwork": "", "subnet": "", "nodeResourceGroup": "",
        "nodePools": [pool_with("system", "System", json!({
            "nodeLabels": {}, "nodeTaints": [], "availabilityZones": [], "orchestratorVersion": "", "maxSurge": "", "vnetSubnetID": "",
            "enableAutoScaling": false, "osDiskSizeGB": 0,
        }))],
    }))
    .await;
}

#[tokio::test]
async fn different_order_causes_no_writes() {
    let setup = ClusterSetup::start().await;
    let system = json!({"availabilityZones": ["3", "1", "2"]});
    let work =
        json!({"nodeTaints": ["b=1:NoSchedule", "a=1:NoSchedule"], "nodeLabels": {"z": "1", "a": "2"}});
    let body = setup.small_cluster_with(json!({
        "authorizedIpRanges": ["20.2.0.0/16", "20.1.0.0/16", "20.3.4.5"],
        "nodePools": [pool_with("zeta", "User", work), pool_with("system", "System", system)],
    }));
    let id = setup.create_active(&body).await;
    // Azure returns lists in its own order, and an address as a range.
    let path = "/properties/apiServerAccessProfile/authorizedIPRanges";
    setup.set_in_azure("one", path, json!(["20.1.0.0/16", "20.2.0.0/16", "20.3.4.5/32"])).await;
    setup.put_pool_in_azure("one", "zeta", json!({"nodeTaints": ["a=1:NoSchedule", "b=1:NoSchedule"]})).await;
    setup.expect_no_writes(&id).await;
    let config = setup.get(&id).await["aksConfig"].clone();
    assert_eq!(config["authorizedIpRanges"], body["aksConfig"]["authorizedIpRanges"]);
    assert_eq!(config["nodePools"][0]["nodeTaints"], body["aksConfig"]["nodePools"][0]["nodeTaints"]);
    assert_eq!(config["nodePools"][1]["availabilityZones"], json!(["3", "1", "2"]));
}

#[tokio::test]
async fn autoscaled_pool_causes_no_writes() {
    let setup = ClusterSetup::start().await;
    let scaling = json!({"enableAutoScaling": true, "minCount": 1, "maxCount": 5, "count": 2});
    let id = setup
        .create_active(
            &setup.small_cluster_with(json!({"nodePools": [pool_with("system", "System", scaling)]})),
        )
        .await;
    setup.expect_no_writes(&id).await;
    setup
        .put_pool_in_azure(
            "one",
            "system",
            json!({"enableAutoScaling": true, "minCount": 1, "maxCount": 5, "count": 4}),
        )
        .await;
    setup.expect_no_writes(&id).await;
    let cluster = setup.get(&id).await;
    assert_eq!(cluster["aksConfig"]["nodePools"][0]["count"], 2);
    assert_eq!(setup.pool_in_azure("one", "system").await.unwrap()["count"], 4);
}

#[tokio::test]
async fn minor_version_matches_any_patch() {
    expect_no_writes_after_creation(json!({"kubernetesVersion": "1.32"})).await;
}

#[tokio::test]
async fn complete_spec_causes_no_writes() {
    expect_no_writes_after_creation(json!({
        "networkPlugin": "azure", "networkPolicy": "azure", "virtualNetworkResourceGroup": "rancher", "virtualNetwork": "rancher-net",
        "subnet": "nodes", "serviceCidr": "10.100.0.0/16", "dnsServiceIp": "10.100.0.10", "dockerBridgeCidr": "172.17.0.1/16",
        "nodeResourceGroup": "machines-of-one", "outboundType": "loadBalancer", "loadBalancerSku": "Standard",
        "linuxAdminUsername": "azureuser",
        "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl one@example.org",
        "tags": {"b": "2", "a": "1"}, "authorizedIpRanges": ["20.1.0.0/16"], "httpApplicationRouting": false, "monitoring": true,
        "logAnalyticsWorkspaceGroup": "rancher", "logAnalyticsWorkspaceName": "logs-of-one", "managedIdentity": true,
        "privateCluster": false,
        "nodePools": [
            pool_with("zeta", "System", json!({"maxPods": 30, "maxSurge": "1", "orchestratorVersion": "1.32.7", "availabilityZones": ["1", "2"]})),
            pool_with("alpha", "User", json!({"maxPods": 30, "nodeLabels": {"a": "b"}, "nodeTaints": ["c=d:NoSchedule"]})),
        ],
    }))
    .await;
}

#[tokio::test]
async fn contested_tags_are_not_written_forever() {
    let setup = ClusterSetup::start().await;
    let id = setup.create_active(&setup.small_cluster_with(json!({"tags": {"a": "b"}}))).await;
    let response = setup.update(&id, json!({"tags": {"a": "c"}})).await;
    assert_eq!(response.status.as_u16(), 200);
    // A policy adds a tag whenever tags are written.
    let mut all_writes = Vec::new();
    for _ in 0..40 {
        setup.run_due_steps().await;
        let writes = lines(&setup.take_writes());
        if writes.contains(&"PATCH rancher/one".to_owned()) {
            setup.app.clock.advance(std::time::Duration::from_secs(2));
            let mut tags = setup.aks_cluster("one").await.unwrap()["tags"].clone();
            tags["policy"] = json!("insists");
            setup
                .change_in_azure(
                    http::Method::PATCH,
                    &super::cluster_path("one"),
                    Some(&json!({"tags": tags})),
                )
                .await;
        }
        all_writes.extend(writes);
        setup.app.clock.advance(std::time::Duration::from_secs(2));
    }
    assert_eq!(all_writes, ["PATCH rancher/one"]);
    setup.expect_active(&id).await;
    assert_eq!(setup.aks_cluster("one").await.unwrap()["tags"]["policy"], "insists");
    setup.advance_refreshes(1).await;
    assert_eq!(setup.get(&id).await["aksConfig"]["tags"], json!({"a": "c", "policy": "insists"}));
    assert_eq!(lines(&setup.take_writes()), Vec::<String>::new());
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn reverted_count_is_not_written_forever() {
    let (setup, id) = ClusterSetup::start_with_two_pools().await;
    let pools = json!([pool("system", "System"), pool_with("work", "User", json!({"count": 3}))]);
    assert_eq!(setup.update(&id, json!({"nodePools": pools})).await.status.as_u16(), 200);
    let mut all_writes = Vec::new();
    for _ in 0..100 {
        setup.run_due_steps().await;
        let writes = lines(&setup.take_writes());
        if !writes.is_empty() {
            // Another client reverts the count immediately.
            setup.app.clock.advance(std::time::Duration::from_secs(4));
            setup.put_pool_in_azure("one", "work", json!({"count": 1})).await;
        }
        all_writes.extend(writes);
        setup.app.clock.advance(std::time::Duration::from_secs(5));
    }
    assert_eq!(all_writes, ["PUT rancher/one/work"; 3]);
    let message = setup.expect_failure(&id, "updating").await;
    assert!(message.starts_with("Azure accepted the change of the pool work 3 times but"), "{message}");
    // If the user accepts the state in Azure, the cluster becomes active.
    assert_eq!(
        lines(
            &setup
                .writes_of_update(&id, json!({"nodePools": [pool("system", "System"), pool("work", "User")]}))
                .await
        ),
        [""; 0]
    );
}

#[tokio::test]
async fn outbound_and_network_options_cause_no_writes() {
    expect_no_writes_after_creation(json!({
        "outboundType": "ManagedNATGateway", "loadBalancerSku": "standard", "networkPolicy": "calico",
    }))
    .await;
    expect_no_writes_after_creation(json!({
        "networkPlugin": "azure", "outboundType": "LoadBalancer", "loadBalancerSku": "Standard",
        "virtualNetworkResourceGroup": "RANCHER", "virtualNetwork": "Rancher-Net", "subnet": "Nodes", "serviceCidr": "10.100.0.0/16",
        "dnsServiceIp": "10.100.0.10", "nodePools": [pool_with("system", "System", json!({"maxPods": 30}))],
    }))
    .await;
}

#[tokio::test]
async fn owner_tag_of_the_user_causes_no_writes() {
    let setup = ClusterSetup::start().await;
    let id = setup
        .create_active(&setup.small_cluster_with(json!({"tags": {"Norman-AKS-Owner": "me", "a": "b"}})))
        .await;
    setup.expect_no_writes(&id).await;
    let tags = setup.aks_cluster("one").await.unwrap()["tags"].clone();
    assert!(tags["norman-aks-owner"].as_str().unwrap().ends_with(&id), "{tags}");
    assert_eq!(tags.as_object().unwrap().len(), 2, "{tags}");
    assert_eq!(setup.get(&id).await["aksStatus"]["upstreamSpec"]["tags"], json!({"a": "b"}));
}

#[tokio::test]
async fn changes_in_azure_cause_no_writes() {
    let (setup, id) = ClusterSetup::start_with_two_pools().await;
    let path = format!("{}/agentPools/work", super::cluster_path("one"));
    let scaled = json!({"properties": {"count": 3}});
    assert_eq!(setup.azure(http::Method::PUT, &path, Some(&scaled)).await.0, 200);
    // Refreshes run while an operation in Azure is in progress.
    let timing = setup.app.control.timing();
    setup.app.control.set_timing(azure_sandbox::Timing { scale: 1_000.0, ..timing.clone() }).unwrap();
    setup.advance_refreshes(2).await;
    assert_eq!(setup.pool_in_azure("one", "work").await.unwrap()["provisioningState"], "Scaling");
    setup.expect_active(&id).await;
    assert_eq!(
        setup.get(&id).await["aksConfig"]["nodePools"][1]["count"],
        1,
        "not adopted before the operation completes"
    );
    setup.app.control.set_timing(timing).unwrap();
    setup.advance_refreshes(2).await;
    assert_eq!(setup.get(&id).await["aksConfig"]["nodePools"][1]["count"], 3);
    setup.expect_no_writes(&id).await;
}
