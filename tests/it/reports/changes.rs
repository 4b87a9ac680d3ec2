//! Options that cannot be changed once the cluster or the pool exists: rejected if a request changes them, and only then.

use http::StatusCode;
use serde_json::{Value, json};

use super::findings;
use crate::provisioning::{Case, lines, pool, pool_with};

#[tokio::test]
async fn options_that_come_too_late_are_refused_with_a_way_out() {
    let it = Case::start().await;
    it.in_azure("theirs", json!({"networkProfile": {"networkPlugin": "kubenet"}})).await;
    let own = it.active(&it.small()).await;
    let import = it.active(&it.import("theirs", json!({}))).await;
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
            let (field, message) = it.put_refused(id, json!({ key: value })).await;
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
            let (field, message) = it.put_refused(id, json!({ key: value })).await;
            assert_eq!(field, format!("aksConfig.{key}"), "{message}");
        }
        let zones = json!({"availabilityZones": ["1"]});
        let mut pools = it.get(id).await["aksStatus"]["upstreamSpec"]["nodePools"].clone();
        pools[0].as_object_mut().unwrap().extend(zones.as_object().unwrap().clone());
        let (field, message) = it.put_refused(id, json!({"nodePools": pools})).await;
        assert_eq!(field, "aksConfig.nodePools[0].availabilityZones");
        assert!(message.contains("add a pool with another name"), "{message}");
    }
}

#[tokio::test]
async fn what_azure_has_may_be_said_at_any_time() {
    let it = Case::start().await;
    let id = it
        .active(
            &it.with(json!({"networkPlugin": "azure", "virtualNetwork": "rancher-net", "subnet": "nodes"})),
        )
        .await;
    let upstream = it.get(&id).await["aksStatus"]["upstreamSpec"].clone();
    assert_eq!(upstream["networkPolicy"], "none", "as Azure answers where none is set");
    let mut said: serde_json::Map<String, Value> = serde_json::Map::new();
    for key in [
        "serviceCidr",
        "dnsServiceIp",
        "outboundType",
        "loadBalancerSku",
        "networkPolicy",
        "dnsPrefix",
        "managedIdentity",
    ] {
        said.insert(key.to_owned(), upstream[key].clone());
    }
    said.insert("nodeResourceGroup".to_owned(), json!("MC_rancher_one_eastus"));
    said.insert("virtualNetwork".to_owned(), json!("Rancher-Net"));
    let answer = it.put(&id, Value::Object(said)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(findings(&answer.json()["aksStatus"]["review"]), [""; 0]);
    it.app.settle().await;
    assert_eq!(lines(&it.writes()), [""; 0]);
}

#[tokio::test]
async fn a_stored_value_without_effect_warns_and_can_be_taken_back() {
    let it = Case::start().await;
    let id = it.active(&it.with(json!({"networkPolicy": "calico"}))).await;
    // Removed in Azure, which the refresh stores; a request that restores it is rejected.
    it.app
        .control
        .edit_cluster("one", |body| body["properties"]["networkProfile"]["networkPolicy"] = json!("none"));
    it.advance_refreshes(1).await;
    assert_eq!(it.get(&id).await["aksConfig"]["networkPolicy"], "none");
    assert_eq!(it.put_refused(&id, json!({"networkPolicy": "calico"})).await.0, "aksConfig.networkPolicy");
    let answer = it.put(&id, json!({"networkPolicy": "none", "tags": {"a": "b"}})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    // Values that are not read from Azure stay as stored.
    let zones = json!([pool_with("system", "System", json!({"availabilityZones": []}))]);
    assert_eq!(it.put(&id, json!({"nodePools": zones, "virtualNetwork": ""})).await.status, StatusCode::OK);
    it.app.settle().await;
    it.expect_active(&id).await;
}

#[tokio::test]
async fn rules_of_saving_name_field_and_remedy() {
    let it = Case::start().await;
    let id = it.active(&it.small()).await;
    for (config, field, words) in [
        (
            json!({"kubernetesVersion": ""}),
            "aksConfig.kubernetesVersion",
            "cluster kubernetes version cannot be empty string: set",
        ),
        (json!({"nodePools": []}), "aksConfig.nodePools", "must have at least one nodepool: give"),
        (
            json!({"nodePools": [pool("system", "System"), {"name": ""}]}),
            "aksConfig.nodePools[1].name",
            "nodePool Name cannot be an empty string: give",
        ),
        (
            json!({"clusterName": "two"}),
            "aksConfig.clusterName",
            "cannot be changed: make another cluster instead",
        ),
    ] {
        let (named, message) = it.put_refused(&id, config).await;
        assert_eq!(named, field);
        assert!(message.contains(words), "{message}");
    }
    let mut nowhere = it.with(json!({"clusterName": "two", "resourceLocation": ""}));
    nowhere["name"] = json!("two");
    assert_eq!(it.post_refused(&nowhere).await.0, "aksConfig.resourceLocation");
    let again = json!({"name": "again", "aksConfig": it.small()["aksConfig"]});
    let (field, message) = it.post_refused(&again).await;
    assert_eq!(field, "aksConfig.clusterName");
    assert!(
        message.starts_with("cluster already exists for AKS cluster [one] in region [eastus]: "),
        "{message}"
    );
}
