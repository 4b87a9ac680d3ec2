//! Options that cannot be changed once the cluster or the pool exists: rejected if a request changes them, and only then.

use http::StatusCode;
use serde_json::{Value, json};

use super::findings;
use crate::provisioning::{ClusterSetup, lines, pool_with};

#[tokio::test]
async fn immutable_options_are_rejected_with_a_remedy() {
    let setup = ClusterSetup::start().await;
    setup.create_in_azure("theirs", json!({"networkProfile": {"networkPlugin": "kubenet"}})).await;
    let own = setup.create_active(&setup.small_cluster()).await;
    let import = setup.create_active(&setup.import_body("theirs", json!({}))).await;
    for id in [&own, &import] {
        for (key, value, remedy) in [
            ("virtualNetwork", json!("rancher-net"), "create another cluster with it"),
            ("subnet", json!("nodes"), "create another cluster with it"),
            ("networkPolicy", json!("calico"), "az aks update --network-policy"),
            (
                "sshPublicKey",
                json!("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC0 me"),
                "az aks update --ssh-key-value",
            ),
        ] {
            let (field, message) = setup.put_rejected(id, json!({ key: value })).await;
            assert_eq!(field, format!("aksConfig.{key}"));
            assert!(message.contains(remedy), "{message}");
        }
        for (key, value) in [
            ("serviceCidr", json!("10.7.0.0/16")),
            ("podCidr", json!("10.8.0.0/16")),
            ("nodeResourceGroup", json!("other")),
            ("outboundType", json!("userDefinedRouting")),
            ("networkPlugin", json!("azure")),
            ("privateCluster", json!(true)),
        ] {
            let (field, message) = setup.put_rejected(id, json!({ key: value })).await;
            assert_eq!(field, format!("aksConfig.{key}"), "{message}");
        }
        let zones = json!({"availabilityZones": ["1"]});
        let mut pools = setup.get(id).await["aksStatus"]["upstreamSpec"]["nodePools"].clone();
        pools[0].as_object_mut().unwrap().extend(zones.as_object().unwrap().clone());
        let (field, message) = setup.put_rejected(id, json!({"nodePools": pools})).await;
        assert_eq!(field, "aksConfig.nodePools[0].availabilityZones");
        assert!(message.contains("add a pool with another name"), "{message}");
    }
}

#[tokio::test]
async fn immutable_options_may_be_set_to_azures_values() {
    let setup = ClusterSetup::start().await;
    let id = setup
        .create_active(&setup.small_cluster_with(
            json!({"networkPlugin": "azure", "virtualNetwork": "rancher-net", "subnet": "nodes"}),
        ))
        .await;
    let upstream = setup.get(&id).await["aksStatus"]["upstreamSpec"].clone();
    assert_eq!(upstream["networkPolicy"], "none", "Azure's value for no policy");
    let mut config: serde_json::Map<String, Value> = serde_json::Map::new();
    for key in [
        "serviceCidr",
        "dnsServiceIp",
        "outboundType",
        "loadBalancerSku",
        "networkPolicy",
        "dnsPrefix",
        "managedIdentity",
    ] {
        config.insert(key.to_owned(), upstream[key].clone());
    }
    config.insert("nodeResourceGroup".to_owned(), json!("MC_rancher_one_eastus"));
    config.insert("virtualNetwork".to_owned(), json!("Rancher-Net"));
    let response = setup.update(&id, Value::Object(config)).await.expect(200);
    assert_eq!(findings(&response.json()["aksStatus"]["review"]), [""; 0]);
    setup.app.settle().await;
    assert_eq!(lines(&setup.take_writes()), [""; 0]);
}

#[tokio::test]
async fn network_policy_removed_in_azure_is_adopted() {
    let setup = ClusterSetup::start().await;
    let id = setup.create_active(&setup.small_cluster_with(json!({"networkPolicy": "calico"}))).await;
    // A refresh adopts the removal in Azure; then a request that restores the policy is rejected.
    setup
        .app
        .control
        .edit_cluster("one", |body| body["properties"]["networkProfile"]["networkPolicy"] = json!("none"));
    setup.advance_refreshes(1).await;
    assert_eq!(setup.get(&id).await["aksConfig"]["networkPolicy"], "none");
    assert_eq!(
        setup.put_rejected(&id, json!({"networkPolicy": "calico"})).await.0,
        "aksConfig.networkPolicy"
    );
    setup.update(&id, json!({"networkPolicy": "none", "tags": {"a": "b"}})).await.expect(200);
    // For other immutable options, an empty value is the same as an unset one.
    let pools = json!([pool_with("system", "System", json!({"availabilityZones": []}))]);
    assert_eq!(
        setup.update(&id, json!({"nodePools": pools, "virtualNetwork": ""})).await.status,
        StatusCode::OK
    );
    setup.app.settle().await;
    setup.expect_active(&id).await;
}
