//! Changes that other users make in Azure: they are shown, adopted for managed keys, and never reverted.

use http::Method;
use serde_json::{Value, json};

use super::{Case, cluster, lines, pool, pool_with, without_azure_values};
use crate::support::condition;

const NOTHING: [&str; 0] = [];

#[tokio::test]
async fn managed_keys_adopt_changes_in_azure() {
    let case = Case::start().await;
    let managed = json!({
        "tags": {"a": "b"}, "authorizedIpRanges": ["20.1.0.0/16"],
        "nodePools": [pool("zeta", "User"), pool_with("system", "System", json!({"nodeLabels": {"x": "y"}}))],
    });
    let id = case.create_active(&case.small_with(managed)).await;
    case.set_in_azure("one", "/properties/kubernetesVersion", json!("1.33.3")).await;
    case.set_in_azure("one", "/properties/apiServerAccessProfile/authorizedIPRanges", json!(["20.9.0.0/16"]))
        .await;
    case.change_in_azure(Method::PATCH, &cluster("one"), Some(&json!({"tags": {"a": "c", "new": "tag"}})))
        .await;
    case.put_pool_in_azure("one", "zeta", json!({"count": 3})).await;
    case.put_pool_in_azure("one", "system", json!({"nodeLabels": {"x": "z"}})).await;
    case.advance_refreshes(1).await;
    let object = case.get(&id).await;
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
    case.expect_no_writes(&id).await;
}

#[tokio::test]
async fn pool_deleted_in_azure_is_not_recreated() {
    let (case, id) = Case::start_with_two_pools().await;
    case.change_in_azure(Method::DELETE, &format!("{}/agentPools/work", cluster("one")), None).await;
    case.advance_refreshes(1).await;
    assert_eq!(case.get(&id).await["aksConfig"]["nodePools"].as_array().unwrap().len(), 1);
    case.expect_no_writes(&id).await;
}

#[tokio::test]
async fn autoscaler_change_in_azure_includes_its_limits() {
    let case = Case::start().await;
    let autoscaled = json!({"enableAutoScaling": true, "minCount": 1, "maxCount": 5});
    let fixed = json!({"enableAutoScaling": false});
    let id = case
        .create_active(&case.small_with(json!({"nodePools": [pool_with("system", "System", autoscaled.clone()), pool_with("work", "User", fixed.clone())]})))
        .await;
    case.put_pool_in_azure("one", "system", json!({"enableAutoScaling": false, "count": 2})).await;
    case.put_pool_in_azure("one", "work", json!({"enableAutoScaling": true, "minCount": 1, "maxCount": 4}))
        .await;
    case.advance_refreshes(1).await;
    let pools = case.get(&id).await["aksConfig"]["nodePools"].clone();
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
    case.expect_no_writes(&id).await;
}

#[tokio::test]
async fn cluster_deleted_in_azure_is_not_recreated() {
    let (case, id) = Case::start_active().await;
    case.change_in_azure(Method::DELETE, &cluster("one"), None).await;
    case.advance_refreshes(20).await;
    let object = case.get(&id).await;
    assert_eq!(object["state"], "active");
    let message = "one no longer exists in Azure: remove the object, or restore the cluster";
    let updated = condition(&object, "Updated");
    assert_eq!(updated["status"], "False");
    assert_eq!(updated["message"], format!("[Syncing error: syncing failed] {message}"));
    assert_eq!(case.update(&id, json!({"tags": {"a": "b"}})).await.status.as_u16(), 200);
    case.app.settle().await;
    assert_eq!(case.expect_failure(&id, "updating").await, message);
    let changed = case.get(&id).await;
    let ready = condition(&changed, "Ready");
    assert_eq!(ready["status"], "False", "{ready}");
    assert!(ready["message"].as_str().unwrap().contains("no longer exists in Azure"), "{ready}");
    case.advance_refreshes(5).await;
    case.delete_and_settle(&id).await;
    assert_eq!(lines(&case.take_writes()), NOTHING);
    assert_eq!(case.aks_cluster("one").await, None);
}

#[tokio::test]
async fn refresh_interval_follows_the_setting() {
    let case = Case::start().await;
    let id = case.create_active(&case.small_with(json!({"tags": {"a": "b"}}))).await;
    let response = case.app.put("/v3/settings/aks-refresh").json(&json!({"value": "3600"})).send().await;
    assert_eq!(response.status.as_u16(), 200, "{}", response.text());
    case.app.clock.advance(std::time::Duration::from_secs(30));
    // One refresh is still due after the default interval.
    case.advance_refreshes(1).await;
    case.change_in_azure(Method::PATCH, &cluster("one"), Some(&json!({"tags": {"a": "c"}}))).await;
    // After 25 minutes, the next one is not due yet; after 65, it is.
    case.advance_refreshes(5).await;
    assert_eq!(case.get(&id).await["aksConfig"]["tags"], json!({"a": "b"}));
    case.advance_refreshes(8).await;
    assert_eq!(case.get(&id).await["aksConfig"]["tags"], json!({"a": "c"}));
}

#[tokio::test]
async fn user_change_overrides_concurrent_change_in_azure() {
    let case = Case::start().await;
    let id = case.create_active(&case.small_with(json!({"tags": {"a": "b"}}))).await;
    case.change_in_azure(Method::PATCH, &cluster("one"), Some(&json!({"tags": {"a": "azure"}}))).await;
    let writes = case.writes_of_update(&id, json!({"tags": {"a": "user"}})).await;
    assert_eq!(lines(&writes), ["PATCH rancher/one"]);
    case.advance_refreshes(1).await;
    assert_eq!(case.get(&id).await["aksConfig"]["tags"], json!({"a": "user"}));
}
