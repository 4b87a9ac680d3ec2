//! Changes and deletions during an operation, and concurrent writes of the user and the worker.

use azure_sandbox::{Effect, Fault, Operation, RecordedRequest};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Base, Stage, fault, held, pool};

on_both!(
    change_during_creation_is_applied,
    change_during_a_change_is_applied,
    removal_during_creation_does_not_wait,
    removal_during_a_change_does_not_wait,
    change_during_a_step_is_not_lost,
    removal_during_the_creation_request_deletes_the_cluster,
    change_during_a_refresh_is_not_overwritten,
    removal_cannot_be_undone,
);

fn upstream(cluster: &Value) -> &Value {
    &cluster["aksStatus"]["upstreamSpec"]
}

fn system() -> Value {
    super::small("one", "")["aksConfig"]["nodePools"][0].clone()
}

async fn change_during_creation_is_applied(base: Base) {
    let scene = Stage::set(base).await;
    scene.until("the PUT", |cluster| super::told(cluster).2.contains("is being made")).await;
    let changed = scene.put(json!({"tags": {"a": "b"}, "nodePools": [system(), pool("more", 2)]})).await;
    assert_eq!(changed["state"], "provisioning", "until all of it is there");
    let cluster = scene.becomes_active().await;
    assert_eq!(scene.sent(), ["PUT group", "PUT cluster", "PATCH cluster", "PUT pool more"]);
    assert_eq!(upstream(&cluster)["tags"], json!({"a": "b"}));
    assert_eq!(upstream(&cluster)["nodePools"][1]["count"], 2);
}

async fn change_during_a_change_is_applied(base: Base) {
    let scene = Stage::active(base).await;
    scene.put(json!({"kubernetesVersion": "1.33.3"})).await;
    scene.until("the upgrade", |cluster| super::told(cluster).2.contains("is being changed")).await;
    scene.put(json!({"nodePools": [system(), pool("more", 1)]})).await;
    scene.put(json!({"nodePools": [system(), pool("more", 3)], "tags": {"a": "b"}})).await;
    assert_eq!(scene.told().await.0, "updating");
    let cluster = scene.becomes_active().await;
    assert_eq!(scene.sent(), ["PUT cluster", "PATCH cluster", "PUT pool more"]);
    assert_eq!(upstream(&cluster)["kubernetesVersion"], "1.33.3");
    assert_eq!(upstream(&cluster)["nodePools"][1]["count"], 3);
    assert_eq!(upstream(&cluster)["tags"], json!({"a": "b"}));
}

async fn removal_during_creation_does_not_wait(base: Base) {
    // Before any request was sent.
    let scene = Stage::set(base).await;
    scene.delete().await;
    scene.is_gone().await;
    assert_eq!(scene.sent(), Vec::<String>::new());
    // During the creation.
    let scene = Stage::set(base).await;
    scene.until("the PUT", |cluster| super::told(cluster).2.contains("is being made")).await;
    scene.delete().await;
    scene.pass(2).await;
    let (state, transitioning, message) = scene.told().await;
    assert_eq!((state.as_str(), transitioning.as_str()), ("removing", "yes"));
    assert!(message.contains("the cluster one is being removed"), "{message}");
    scene.is_gone().await;
    assert_eq!(scene.sent(), ["PUT group", "PUT cluster", "DELETE cluster"]);
}

async fn removal_during_a_change_does_not_wait(base: Base) {
    let scene = Stage::active(base).await;
    scene.put(json!({"nodePools": [system(), pool("more", 1)]})).await;
    scene.until("the pool", |cluster| super::told(cluster).2.contains("node pool more is being")).await;
    scene.delete().await;
    scene.is_gone().await;
    assert_eq!(scene.sent(), ["PUT pool more", "DELETE cluster"]);
}

/// Runs one step of the worker, which Azure delays at a request, and `meanwhile` during the delay.
async fn while_held<F: Future>(
    scene: &Stage,
    operation: Operation,
    method: &str,
    meanwhile: impl FnOnce() -> F,
) -> F::Output {
    scene.app.control.clear_requests();
    let slow = Fault {
        times: Some(1),
        effect: None,
        latency_ms: 600_000,
        ..fault(operation, method, Effect::CutInBody)
    };
    scene.app.control.add_fault(slow);
    let worker = scene.app.app.worker.clone();
    let step = tokio::spawn(async move { worker.run_due(&CancellationToken::new()).await.unwrap() });
    held(&scene.app, operation, method).await;
    let outcome = meanwhile().await;
    assert!(!step.is_finished(), "it happened during the step");
    scene.app.control.clear_faults();
    assert_eq!(step.await.unwrap(), 1);
    outcome
}

async fn change_during_a_step_is_not_lost(base: Base) {
    let scene = Stage::active(base).await;
    // The worker reads Azure to complete the first change; the second change arrives during that request.
    scene.put(json!({"tags": {}})).await;
    while_held(&scene, Operation::ManagedCluster, "GET", || scene.put(json!({"tags": {"a": "b"}}))).await;
    let cluster = scene.seen().await;
    assert_eq!(cluster["state"], "updating", "the second change is not done");
    assert_eq!(cluster["aksConfig"]["tags"], json!({"a": "b"}), "it is not lost");
    // It is processed immediately, not after the interval of an idle cluster.
    scene.pass(2).await;
    assert_eq!(scene.sent(), ["PATCH cluster"]);
    let cluster = scene.becomes_active().await;
    assert_eq!(upstream(&cluster)["tags"], json!({"a": "b"}));
}

async fn removal_during_the_creation_request_deletes_the_cluster(base: Base) {
    let scene = Stage::set(base).await;
    // Up to the PUT of the cluster, which follows that of the group.
    let worker = scene.app.app.worker.clone();
    while !scene.sent().contains(&"PUT group".to_owned()) {
        worker.run_due(&CancellationToken::new()).await.unwrap();
    }
    scene.app.clock.advance(std::time::Duration::from_secs(2));
    while_held(&scene, Operation::ManagedCluster, "PUT", || scene.delete()).await;
    assert_eq!(scene.told().await.0, "removing");
    scene.is_gone().await;
    assert_eq!(scene.taken(), ["PUT cluster", "DELETE cluster"]);
    let is_there =
        |seen: &RecordedRequest| seen.operation == Operation::ManagedCluster && seen.method == "GET";
    let last = scene.app.control.requests().into_iter().rfind(is_there).unwrap();
    assert_eq!(last.status, Some(404), "nothing is left in Azure");
}

async fn change_during_a_refresh_is_not_overwritten(base: Base) {
    let scene = Stage::set_with(base, crate::support::app::TestApp::with(), |body| {
        body["aksConfig"]["tags"] = json!({"a": "made"});
    })
    .await;
    scene.becomes_active().await;
    scene.app.control.clear_requests();
    // Another client changes the tags in Azure; the user changes them too, before the refresh adopts the new ones.
    let theirs = scene.azure_tags(&json!({"a": "theirs"})).await;
    assert!(theirs, "Azure accepted it");
    scene.app.clock.advance(std::time::Duration::from_secs(301));
    while_held(&scene, Operation::ManagedCluster, "GET", || scene.put(json!({"tags": {"a": "mine"}}))).await;
    let cluster = scene.seen().await;
    assert_eq!(
        (cluster["aksConfig"]["tags"].clone(), cluster["state"].clone()),
        (json!({"a": "mine"}), json!("updating"))
    );
    let cluster = scene.becomes_active().await;
    assert_eq!(cluster["aksConfig"]["tags"], json!({"a": "mine"}));
    assert_eq!(upstream(&cluster)["tags"], json!({"a": "mine"}));
}

async fn removal_cannot_be_undone(base: Base) {
    let scene = Stage::active(base).await;
    scene.delete().await;
    scene.pass(2).await;
    let change = json!({"name": "one", "aksConfig": {"tags": {"a": "b"}}});
    let refused = scene.app.put(&scene.path).json(&change).send().await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    scene.delete().await;
    scene.is_gone().await;
    assert_eq!(scene.sent(), ["DELETE cluster"]);
}

impl Stage {
    /// Replaces the tags of the cluster in Azure, except the owner tag, as another client would.
    async fn azure_tags(&self, tags: &Value) -> bool {
        let azure = crate::faults::azure(&self.app);
        let token = crate::faults::log_in(&self.app, &azure).await;
        let seed = &self.app.seed;
        let url = format!(
            "https://management.azure.com/subscriptions/{}/resourceGroups/group-of-one/providers/Microsoft.ContainerService/\
             managedClusters/one?api-version=2024-02-01",
            seed.subscription_id
        );
        let found: Value = serde_json::from_str(
            &azure.get(&url).bearer_auth(&token).send().await.unwrap().text().await.unwrap(),
        )
        .unwrap();
        let mut all = found["tags"].clone();
        all.as_object_mut().unwrap().extend(tags.as_object().unwrap().clone());
        let body = json!({ "tags": all }).to_string();
        let request =
            azure.patch(&url).bearer_auth(&token).header("content-type", "application/json").body(body);
        let good = request.send().await.unwrap().status().is_success();
        self.app.clock.advance(std::time::Duration::from_secs(30));
        good
    }
}
