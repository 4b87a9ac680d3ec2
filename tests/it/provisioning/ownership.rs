//! Resources that this server did not create are never changed or deleted.

use azure_sandbox::Operation;
use http::Method;
use serde_json::{Value, json};

use super::{ClusterSetup, azure_cluster_body, cluster_path, lines, pool, pool_with};
use crate::support::condition;
use crate::support::fault;

const NO_WRITES: [&str; 0] = [];

#[tokio::test]
async fn pools_created_in_azure_are_shown_but_not_managed() {
    let (setup, id) = ClusterSetup::start_with_two_pools().await;
    setup
        .put_pool_in_azure("one", "theirs", json!({"count": 2, "vmSize": "Standard_DS2_v2", "mode": "User"}))
        .await;
    setup.expect_no_writes(&id).await;
    let object = setup.get(&id).await;
    let names = |pools: &Value| -> Vec<String> {
        pools.as_array().unwrap().iter().map(|pool| pool["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&object["aksStatus"]["upstreamSpec"]["nodePools"]), ["system", "work", "theirs"]);
    assert_eq!(names(&object["aksConfig"]["nodePools"]), ["system", "work"]);
    let theirs = setup.pool_in_azure("one", "theirs").await.unwrap();
    let writes = setup
        .writes_of_update(&id, json!({"nodePools": [pool_with("system", "System", json!({"count": 2}))]}))
        .await;
    assert_eq!(lines(&writes), ["PUT rancher/one/system", "DELETE rancher/one/work"]);
    let writes =
        setup.writes_of_update(&id, json!({"kubernetesVersion": "1.33.3", "tags": {"a": "b"}})).await;
    assert_eq!(lines(&writes), ["PATCH rancher/one", "PUT rancher/one"]);
    assert_eq!(setup.pool_in_azure("one", "theirs").await.unwrap(), theirs);
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn pool_created_in_azure_is_managed_once_listed() {
    let (setup, id) = ClusterSetup::start_active().await;
    setup
        .put_pool_in_azure(
            "one",
            "theirs",
            json!({"count": 1, "vmSize": "Standard_DS2_v2", "mode": "User", "maxPods": 110}),
        )
        .await;
    let both_pools = json!({"nodePools": [pool("system", "System"), pool("theirs", "User")]});
    assert_eq!(lines(&setup.writes_of_update(&id, both_pools).await), NO_WRITES);
    let writes = setup.writes_of_update(&id, json!({"nodePools": [pool("system", "System")]})).await;
    assert_eq!(lines(&writes), ["DELETE rancher/one/theirs"]);
}

#[tokio::test]
async fn taken_name_is_rejected() {
    let setup = ClusterSetup::start().await;
    let response = setup
        .app
        .post("/v3/clusters")
        .json(&setup.small_cluster_with(json!({"clusterName": "made-elsewhere"})))
        .send()
        .await;
    assert_eq!(response.status.as_u16(), 422, "{}", response.text());
    assert!(
        response.text().contains("already exists in AKS. Update configuration or import the existing one"),
        "{}",
        response.text()
    );
}

#[tokio::test]
async fn foreign_cluster_with_the_name_is_untouched() {
    let setup = ClusterSetup::start().await;
    let id = setup.post(&setup.small_cluster()).await;
    setup
        .change_in_azure(
            Method::PUT,
            &cluster_path("one"),
            Some(&azure_cluster_body("theirs", json!({"whose": "theirs"}))),
        )
        .await;
    let theirs = setup.aks_cluster("one").await.unwrap();
    setup.app.settle().await;
    let message = setup.expect_failure(&id, "provisioning").await;
    assert_eq!(
        message,
        "cluster [one] already exists in AKS. Update configuration or import the existing one"
    );
    let response = setup.update(&id, json!({"tags": {"a": "b"}, "kubernetesVersion": "1.33.3"})).await;
    assert_eq!(response.status.as_u16(), 200, "{}", response.text());
    setup.advance_refreshes(5).await;
    setup.expect_failure(&id, "provisioning").await;
    setup.delete_and_settle(&id).await;
    assert_eq!(lines(&setup.take_writes()), NO_WRITES);
    assert_eq!(setup.aks_cluster("one").await.unwrap(), theirs);
}

#[tokio::test]
async fn name_taken_after_a_failure_is_untouched() {
    let setup = ClusterSetup::start().await;
    setup.app.control.add_fault(fault::once(fault::for_request(
        Operation::ManagedCluster,
        "PUT",
        fault::error(400, "BadRequest", "not today"),
    )));
    let id = setup.post(&setup.small_cluster()).await;
    setup.run_due_steps().await;
    assert!(setup.expect_failure(&id, "provisioning").await.contains("BadRequest: not today"));
    setup
        .change_in_azure(Method::PUT, &cluster_path("one"), Some(&azure_cluster_body("theirs", json!({}))))
        .await;
    let theirs = setup.aks_cluster("one").await.unwrap();
    setup.app.settle().await;
    assert!(setup.expect_failure(&id, "provisioning").await.contains("already exists in AKS"));
    setup.delete_and_settle(&id).await;
    assert_eq!(lines(&setup.take_writes()), ["PUT rancher/one"], "only the request that Azure rejected");
    assert_eq!(setup.aks_cluster("one").await.unwrap(), theirs);
}

#[tokio::test]
async fn replacement_of_our_cluster_is_untouched() {
    let setup = ClusterSetup::start().await;
    let id = setup.create_active(&setup.small_cluster_with(json!({"tags": {"a": "b"}}))).await;
    setup.change_in_azure(Method::DELETE, &cluster_path("one"), None).await;
    setup
        .change_in_azure(
            Method::PUT,
            &cluster_path("one"),
            Some(&azure_cluster_body("one", json!({"whose": "theirs"}))),
        )
        .await;
    let theirs = setup.aks_cluster("one").await.unwrap();
    setup.advance_refreshes(2).await;
    let object = setup.get(&id).await;
    assert_eq!(object["aksConfig"]["tags"], json!({"a": "b"}), "nothing is adopted from a foreign cluster");
    let updated = condition(&object, "Updated").clone();
    assert_eq!(updated["status"], "False");
    let explanation = "one in Azure is not the cluster that this server created, so it is left unchanged";
    assert!(updated["message"].as_str().unwrap().contains(explanation), "{updated}");
    assert_eq!(setup.update(&id, json!({"tags": {"a": "c"}})).await.status.as_u16(), 200);
    setup.app.settle().await;
    assert!(setup.expect_failure(&id, "updating").await.starts_with(explanation));
    setup.delete_and_settle(&id).await;
    assert_eq!(lines(&setup.take_writes()), NO_WRITES);
    assert_eq!(setup.aks_cluster("one").await.unwrap(), theirs);
}

#[tokio::test]
async fn ownership_survives_replaced_tags() {
    let setup = ClusterSetup::start().await;
    let id = setup.create_active(&setup.small_cluster_with(json!({"tags": {"a": "b"}}))).await;
    setup.change_in_azure(Method::PATCH, &cluster_path("one"), Some(&json!({"tags": {"a": "x"}}))).await;
    setup.advance_refreshes(1).await;
    assert_eq!(setup.get(&id).await["aksConfig"]["tags"], json!({"a": "x"}));
    setup.expect_active(&id).await;
    setup.app.control.clear_requests();
    setup.delete_and_settle(&id).await;
    assert_eq!(lines(&setup.take_writes()), ["DELETE rancher/one"]);
    assert_eq!(setup.aks_cluster("one").await, None);
}

#[tokio::test]
async fn owner_tag_alone_grants_no_ownership() {
    let (setup, _) = ClusterSetup::start_active().await;
    // Another user creates a cluster with a copy of all tags.
    let owner_tag = setup.aks_cluster("one").await.unwrap()["tags"]["norman-aks-owner"].clone();
    setup
        .change_in_azure(
            Method::PUT,
            &cluster_path("copy"),
            Some(&azure_cluster_body("copy", json!({"norman-aks-owner": owner_tag}))),
        )
        .await;
    let mut body = setup.small_cluster_with(json!({"clusterName": "copy", "dnsPrefix": "copy"}));
    (body["name"], body["annotations"]) = (json!("copy"), json!({"norman-aks.io/review": "advise"}));
    let id = setup.post_and_settle(&body).await;
    assert!(setup.expect_failure(&id, "provisioning").await.contains("already exists in AKS"));
    setup.delete(&id).await;
    setup.app.settle().await;
    assert_eq!(lines(&setup.take_writes()), NO_WRITES);
    assert!(setup.aks_cluster("copy").await.is_some());
}
