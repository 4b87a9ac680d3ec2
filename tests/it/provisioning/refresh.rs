//! Changes that other users make in Azure: they are shown, adopted for managed keys, and never reverted.

use http::Method;
use serde_json::{Value, json};

use super::{ClusterSetup, cluster_path, lines, pool, pool_with, without_azure_values};
use crate::support::condition;

const NO_WRITES: [&str; 0] = [];

#[tokio::test]
async fn managed_keys_adopt_changes_in_azure() {
    let setup = ClusterSetup::start().await;
    let managed = json!({
        "tags": {"a": "b"}, "authorizedIpRanges": ["20.1.0.0/16"],
        "nodePools": [pool("zeta", "User"), pool_with("system", "System", json!({"nodeLabels": {"x": "y"}}))],
    });
    let id = setup.create_active(&setup.small_cluster_with(managed)).await;
    setup.set_in_azure("one", "/properties/kubernetesVersion", json!("1.33.3")).await;
    setup
        .set_in_azure("one", "/properties/apiServerAccessProfile/authorizedIPRanges", json!(["20.9.0.0/16"]))
        .await;
    setup
        .change_in_azure(
            Method::PATCH,
            &cluster_path("one"),
            Some(&json!({"tags": {"a": "c", "new": "tag"}})),
        )
        .await;
    setup.put_pool_in_azure("one", "zeta", json!({"count": 3})).await;
    setup.put_pool_in_azure("one", "system", json!({"nodeLabels": {"x": "z"}})).await;
    setup.advance_refreshes(1).await;
    let object = setup.get(&id).await;
    let config = &object["aksConfig"];
    assert_eq!(
        (&config["kubernetesVersion"], &config["authorizedIpRanges"], &config["tags"]),
        (&json!("1.33.3"), &json!(["20.9.0.0/16"]), &json!({"a": "c", "new": "tag"}))
    );
    assert_eq!(
        (&config["nodePools"][0]["name"], &config["nodePools"][0]["count"]),
        (&json!("zeta"), &json!(3))
    );
    assert_eq!(config["nodePools"][1]["nodeLabels"], json!({"x": "z"}));
    assert!(
        config.get("monitoring").is_none() && config["nodePools"][0].get("maxSurge").is_none(),
        "not managed: {config}"
    );
    let applied = &object["appliedSpec"]["aksConfig"];
    assert_eq!(without_azure_values(config, applied), *applied, "the applied spec adopts the changes too");
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn pool_deleted_in_azure_is_not_recreated() {
    let (setup, id) = ClusterSetup::start_with_two_pools().await;
    setup.change_in_azure(Method::DELETE, &format!("{}/agentPools/work", cluster_path("one")), None).await;
    setup.advance_refreshes(1).await;
    assert_eq!(setup.get(&id).await["aksConfig"]["nodePools"].as_array().unwrap().len(), 1);
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn autoscaler_change_in_azure_includes_its_limits() {
    let setup = ClusterSetup::start().await;
    let autoscaled = json!({"enableAutoScaling": true, "minCount": 1, "maxCount": 5});
    let fixed = json!({"enableAutoScaling": false});
    let id = setup
        .create_active(&setup.small_cluster_with(json!({"nodePools": [pool_with("system", "System", autoscaled.clone()), pool_with("work", "User", fixed.clone())]})))
        .await;
    setup.put_pool_in_azure("one", "system", json!({"enableAutoScaling": false, "count": 2})).await;
    setup
        .put_pool_in_azure("one", "work", json!({"enableAutoScaling": true, "minCount": 1, "maxCount": 4}))
        .await;
    setup.advance_refreshes(1).await;
    let pools = setup.get(&id).await["aksConfig"]["nodePools"].clone();
    let scaling_of = |pool: &Value| {
        (
            pool["enableAutoScaling"].clone(),
            pool.get("minCount").cloned(),
            pool.get("maxCount").cloned(),
            pool["count"].clone(),
        )
    };
    assert_eq!(scaling_of(&pools[0]), (json!(false), None, None, json!(2)));
    assert_eq!(scaling_of(&pools[1]), (json!(true), Some(json!(1)), Some(json!(4)), json!(1)));
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn cluster_deleted_in_azure_is_not_recreated() {
    let (setup, id) = ClusterSetup::start_active().await;
    setup.change_in_azure(Method::DELETE, &cluster_path("one"), None).await;
    setup.advance_refreshes(20).await;
    let object = setup.get(&id).await;
    assert_eq!(object["state"], "active");
    let message = "one no longer exists in Azure: remove the object, or restore the cluster";
    let updated = condition(&object, "Updated");
    assert_eq!(updated["status"], "False");
    assert_eq!(updated["message"], format!("[Syncing error: syncing failed] {message}"));
    assert_eq!(setup.update(&id, json!({"tags": {"a": "b"}})).await.status.as_u16(), 200);
    setup.app.settle().await;
    assert_eq!(setup.expect_failure(&id, "updating").await, message);
    let object = setup.get(&id).await;
    let ready = condition(&object, "Ready");
    assert_eq!(ready["status"], "False", "{ready}");
    assert!(ready["message"].as_str().unwrap().contains("no longer exists in Azure"), "{ready}");
    setup.advance_refreshes(5).await;
    setup.delete_and_settle(&id).await;
    assert_eq!(lines(&setup.take_writes()), NO_WRITES);
    assert_eq!(setup.aks_cluster("one").await, None);
}

#[tokio::test]
async fn refresh_interval_follows_the_setting() {
    let setup = ClusterSetup::start().await;
    let id = setup.create_active(&setup.small_cluster_with(json!({"tags": {"a": "b"}}))).await;
    let response = setup.app.put("/v3/settings/aks-refresh").json(&json!({"value": "3600"})).send().await;
    assert_eq!(response.status.as_u16(), 200, "{}", response.text());
    setup.app.clock.advance(std::time::Duration::from_secs(30));
    // The refresh that is already scheduled still runs after the default interval.
    setup.advance_refreshes(1).await;
    setup.change_in_azure(Method::PATCH, &cluster_path("one"), Some(&json!({"tags": {"a": "c"}}))).await;
    // The next refresh runs after 60 minutes: not within 25 minutes, but within 65.
    setup.advance_refreshes(5).await;
    assert_eq!(setup.get(&id).await["aksConfig"]["tags"], json!({"a": "b"}));
    setup.advance_refreshes(8).await;
    assert_eq!(setup.get(&id).await["aksConfig"]["tags"], json!({"a": "c"}));
}

#[tokio::test]
async fn user_change_overrides_concurrent_change_in_azure() {
    let setup = ClusterSetup::start().await;
    let id = setup.create_active(&setup.small_cluster_with(json!({"tags": {"a": "b"}}))).await;
    setup.change_in_azure(Method::PATCH, &cluster_path("one"), Some(&json!({"tags": {"a": "azure"}}))).await;
    let writes = setup.writes_of_update(&id, json!({"tags": {"a": "user"}})).await;
    assert_eq!(lines(&writes), ["PATCH rancher/one"]);
    setup.advance_refreshes(1).await;
    assert_eq!(setup.get(&id).await["aksConfig"]["tags"], json!({"a": "user"}));
}
