//! Changes and deletions during an operation, and concurrent writes of the user and the worker.

use azure_sandbox::{Operation, RecordedRequest};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Database, Progress, TestCluster, pool, system_pool, wait_until_received};
use crate::support::{azure_client, fault};

on_both_databases!(
    change_during_creation_is_applied,
    change_during_a_change_is_applied,
    removal_during_creation_does_not_wait,
    removal_during_a_change_does_not_wait,
    change_during_a_step_is_not_lost,
    removal_during_the_creation_request_deletes_the_cluster,
    change_during_a_refresh_is_not_overwritten,
    removal_cannot_be_undone,
);

fn upstream(object: &Value) -> &Value {
    &object["aksStatus"]["upstreamSpec"]
}

async fn change_during_creation_is_applied(database: Database) {
    let cluster = TestCluster::create(database).await;
    cluster
        .wait_until("the PUT", |object| super::progress_of(object).message.contains("creating cluster"))
        .await;
    let changed =
        cluster.update(json!({"tags": {"a": "b"}, "nodePools": [system_pool(), pool("more", 2)]})).await;
    assert_eq!(changed["state"], "provisioning", "until all changes are applied");
    let object = cluster.wait_until_active().await;
    assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster", "PATCH cluster", "PUT pool more"]);
    assert_eq!(upstream(&object)["tags"], json!({"a": "b"}));
    assert_eq!(upstream(&object)["nodePools"][1]["count"], 2);
}

async fn change_during_a_change_is_applied(database: Database) {
    let cluster = TestCluster::create_active(database).await;
    cluster.update(json!({"kubernetesVersion": "1.33.3"})).await;
    cluster
        .wait_until("the upgrade", |object| super::progress_of(object).message.contains("is being changed"))
        .await;
    cluster.update(json!({"nodePools": [system_pool(), pool("more", 1)]})).await;
    cluster.update(json!({"nodePools": [system_pool(), pool("more", 3)], "tags": {"a": "b"}})).await;
    assert_eq!(cluster.progress().await.state, "updating");
    let object = cluster.wait_until_active().await;
    assert_eq!(cluster.sent_writes(), ["PUT cluster", "PATCH cluster", "PUT pool more"]);
    assert_eq!(upstream(&object)["kubernetesVersion"], "1.33.3");
    assert_eq!(upstream(&object)["nodePools"][1]["count"], 3);
    assert_eq!(upstream(&object)["tags"], json!({"a": "b"}));
}

async fn removal_during_creation_does_not_wait(database: Database) {
    // Before any request was sent.
    let cluster = TestCluster::create(database).await;
    cluster.delete().await;
    cluster.wait_until_deleted().await;
    assert_eq!(cluster.sent_writes(), Vec::<String>::new());
    // During the creation.
    let cluster = TestCluster::create(database).await;
    cluster
        .wait_until("the PUT", |object| super::progress_of(object).message.contains("creating cluster"))
        .await;
    cluster.delete().await;
    cluster.advance_secs(2).await;
    let Progress { state, transitioning, message } = cluster.progress().await;
    assert_eq!((state.as_str(), transitioning.as_str()), ("removing", "yes"));
    assert!(message.contains("the cluster one is being deleted"), "{message}");
    cluster.wait_until_deleted().await;
    assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster", "DELETE cluster"]);
}

async fn removal_during_a_change_does_not_wait(database: Database) {
    let cluster = TestCluster::create_active(database).await;
    cluster.update(json!({"nodePools": [system_pool(), pool("more", 1)]})).await;
    cluster
        .wait_until("the pool", |object| {
            super::progress_of(object).message.contains("node pool more is being")
        })
        .await;
    cluster.delete().await;
    cluster.wait_until_deleted().await;
    assert_eq!(cluster.sent_writes(), ["PUT pool more", "DELETE cluster"]);
}

/// Runs one step of the worker, delays its request of this kind in Azure, and calls `meanwhile` during the delay.
async fn during_delayed_request<F: Future>(
    cluster: &TestCluster,
    operation: Operation,
    method: &str,
    meanwhile: impl FnOnce() -> F,
) -> F::Output {
    cluster.app.control.clear_requests();
    let slow = fault::once(fault::delay_request(operation, method, 600_000));
    cluster.app.control.add_fault(slow);
    let worker = cluster.app.server.worker.clone();
    let step = tokio::spawn(async move { worker.run_due(&CancellationToken::new()).await.unwrap() });
    wait_until_received(&cluster.app, operation, method).await;
    let outcome = meanwhile().await;
    assert!(!step.is_finished(), "the step is still running");
    cluster.app.control.clear_faults();
    assert_eq!(step.await.unwrap(), 1);
    outcome
}

async fn change_during_a_step_is_not_lost(database: Database) {
    let cluster = TestCluster::create_active(database).await;
    // The worker reads Azure to complete the first change; the second change arrives during that request.
    cluster.update(json!({"tags": {}})).await;
    during_delayed_request(&cluster, Operation::ManagedCluster, "GET", || {
        cluster.update(json!({"tags": {"a": "b"}}))
    })
    .await;
    let object = cluster.object().await;
    assert_eq!(object["state"], "updating", "the second change is not applied yet");
    assert_eq!(object["aksConfig"]["tags"], json!({"a": "b"}), "the second change is not lost");
    // The second change is processed immediately, not at the next refresh.
    cluster.advance_secs(2).await;
    assert_eq!(cluster.sent_writes(), ["PATCH cluster"]);
    let object = cluster.wait_until_active().await;
    assert_eq!(upstream(&object)["tags"], json!({"a": "b"}));
}

async fn removal_during_the_creation_request_deletes_the_cluster(database: Database) {
    let cluster = TestCluster::create(database).await;
    // Runs the worker up to the PUT of the group, which is followed by the PUT of the cluster.
    let worker = cluster.app.server.worker.clone();
    while !cluster.sent_writes().contains(&"PUT group".to_owned()) {
        worker.run_due(&CancellationToken::new()).await.unwrap();
    }
    cluster.app.clock.advance(std::time::Duration::from_secs(2));
    during_delayed_request(&cluster, Operation::ManagedCluster, "PUT", || cluster.delete()).await;
    assert_eq!(cluster.progress().await.state, "removing");
    cluster.wait_until_deleted().await;
    assert_eq!(cluster.accepted_writes(), ["PUT cluster", "DELETE cluster"]);
    let is_read =
        |request: &RecordedRequest| request.operation == Operation::ManagedCluster && request.method == "GET";
    let last_read = cluster.app.control.requests().into_iter().rfind(is_read).unwrap();
    assert_eq!(last_read.status, Some(404), "nothing is left in Azure");
}

async fn change_during_a_refresh_is_not_overwritten(database: Database) {
    let cluster = TestCluster::create_with(database, crate::support::app::TestApp::builder(), |body| {
        body["aksConfig"]["tags"] = json!({"a": "made"});
    })
    .await;
    cluster.wait_until_active().await;
    cluster.app.control.clear_requests();
    // Another client changes the tags in Azure; the user changes them too, before the refresh adopts the new ones.
    let is_accepted = cluster.change_tags_in_azure(&json!({"a": "theirs"})).await;
    assert!(is_accepted);
    cluster.app.clock.advance(std::time::Duration::from_secs(301));
    during_delayed_request(&cluster, Operation::ManagedCluster, "GET", || {
        cluster.update(json!({"tags": {"a": "mine"}}))
    })
    .await;
    let object = cluster.object().await;
    assert_eq!(
        (object["aksConfig"]["tags"].clone(), object["state"].clone()),
        (json!({"a": "mine"}), json!("updating"))
    );
    let object = cluster.wait_until_active().await;
    assert_eq!(object["aksConfig"]["tags"], json!({"a": "mine"}));
    assert_eq!(upstream(&object)["tags"], json!({"a": "mine"}));
}

async fn removal_cannot_be_undone(database: Database) {
    let cluster = TestCluster::create_active(database).await;
    cluster.delete().await;
    cluster.advance_secs(2).await;
    let change = json!({"name": "one", "aksConfig": {"tags": {"a": "b"}}});
    cluster.app.put(&cluster.path).json(&change).send().await.expect(422);
    cluster.delete().await;
    cluster.wait_until_deleted().await;
    assert_eq!(cluster.sent_writes(), ["DELETE cluster"]);
}

impl TestCluster {
    /// Changes tags of the cluster in Azure, as another client would; returns whether Azure accepted it.
    async fn change_tags_in_azure(&self, tags: &Value) -> bool {
        let azure = azure_client::builder(&self.app.sandbox).build().unwrap();
        let token = azure_client::log_in(&azure, &self.app.account("ready")).await;
        let seed = &self.app.seed;
        let url = format!(
            "https://management.azure.com/subscriptions/{}/resourceGroups/group-of-one/providers/Microsoft.ContainerService/\
             managedClusters/one?api-version=2024-02-01",
            seed.subscription_id
        );
        let current: Value = serde_json::from_str(
            &azure.get(&url).bearer_auth(&token).send().await.unwrap().text().await.unwrap(),
        )
        .unwrap();
        let mut merged_tags = current["tags"].clone();
        merged_tags.as_object_mut().unwrap().extend(tags.as_object().unwrap().clone());
        let body = json!({ "tags": merged_tags }).to_string();
        let request =
            azure.patch(&url).bearer_auth(&token).header("content-type", "application/json").body(body);
        let is_accepted = request.send().await.unwrap().status().is_success();
        self.app.clock.advance(std::time::Duration::from_secs(30));
        is_accepted
    }
}
