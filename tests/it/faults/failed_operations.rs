//! Long-running operations that fail or are cancelled: Azure's message is shown and remains, no request is repeated
//! indefinitely, and a change by the user is a new attempt.

use azure_sandbox::{FinalStatus, Operation, OperationKind, ScriptedOutcome};
use serde_json::{Value, json};

use super::{Database, Progress, TestCluster, condition, pool, system_pool};
use crate::support::fault;

on_both_databases!(
    failed_creation_waits_for_an_update,
    failed_creation_can_be_removed,
    failed_change_is_repeated_on_request,
    failing_change_is_not_sent_forever,
    failure_is_found_without_operation_status,
    failed_removal_is_repeated,
);

/// The outcome `status` for the next `times` operations of a kind, or for all of them.
fn outcome(kind: OperationKind, status: FinalStatus, times: Option<u32>) -> ScriptedOutcome {
    let outcome = fault::outcome(kind, "AllocationFailed", "There is no room for these machines.");
    ScriptedOutcome { status, times, ..outcome }
}

fn accepted_count(cluster: &TestCluster, request: &str) -> usize {
    cluster.accepted_writes().iter().filter(|accepted| *accepted == request).count()
}

async fn failed_creation_waits_for_an_update(database: Database) {
    for status in [FinalStatus::Failed, FinalStatus::Canceled] {
        let cluster = TestCluster::create(database).await;
        cluster.app.control.add_outcome(outcome(OperationKind::CreateCluster, status, Some(1)));
        cluster.wait_until("the failure", |object| object["transitioning"] == "error").await;
        for seconds in [0, 10, 600] {
            cluster.advance_secs(seconds).await;
            let Progress { state, transitioning, message } = cluster.progress().await;
            assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "error"), "{status:?}");
            assert!(
                message.contains("AllocationFailed") && message.contains("no room"),
                "Azure's message remains, {seconds} s later: {message}"
            );
        }
        assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster"], "there is no automatic retry");
        // Any update is a new attempt, even one that changes nothing.
        let change = match status {
            FinalStatus::Canceled => json!({}),
            _ => json!({"tags": {"again": "1"}}),
        };
        cluster.update(change).await;
        let object = cluster.wait_until_active().await;
        assert_eq!(object["transitioningMessage"], "");
        assert_eq!(condition(&object, "Provisioned")["status"], "True");
        assert!(accepted_count(&cluster, "PUT cluster") <= 3, "{:?}", cluster.sent_writes());
    }
}

async fn failed_creation_can_be_removed(database: Database) {
    let cluster = TestCluster::create(database).await;
    cluster.app.control.add_outcome(outcome(OperationKind::CreateCluster, FinalStatus::Failed, None));
    cluster.wait_until("the failure", |object| object["transitioning"] == "error").await;
    cluster.advance_secs(30).await;
    cluster.delete().await;
    cluster.wait_until_deleted().await;
    assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster", "DELETE cluster"]);
}

/// Operations in Azure, the changes that cause them, and the requests. The last two require the pool that `CreatePool` creates.
fn changes() -> [(OperationKind, Value, &'static str); 5] {
    let system = system_pool();
    [
        (OperationKind::UpgradeCluster, json!({"kubernetesVersion": "1.33.3"}), "PUT cluster"),
        (OperationKind::TagCluster, json!({"tags": {"a": "b"}}), "PATCH cluster"),
        (OperationKind::CreatePool, json!({"nodePools": [system, pool("more", 1)]}), "PUT pool more"),
        (OperationKind::ScalePool, json!({"nodePools": [system, pool("more", 2)]}), "PUT pool more"),
        (OperationKind::DeletePool, json!({"nodePools": [system]}), "DELETE pool more"),
    ]
}

async fn failed_change_is_repeated_on_request(database: Database) {
    for status in [FinalStatus::Failed, FinalStatus::Canceled] {
        let cluster = TestCluster::create_active(database).await;
        for (kind, change, expected_request) in changes() {
            cluster.app.control.clear_requests();
            cluster.app.control.add_outcome(outcome(kind, status, Some(1)));
            cluster.update(change.clone()).await;
            let object = cluster.wait_until("the failure", |object| object["transitioning"] == "error").await;
            let Progress { state, message, .. } = super::progress_of(&object);
            assert_eq!(state, "updating", "{kind:?}");
            assert!(message.contains("AllocationFailed: There is no room"), "{kind:?}: {message}");
            // Only a failed deletion of a pool is repeated without another update by the user.
            if kind != OperationKind::DeletePool {
                cluster.advance_secs(300).await;
                let Progress { state, transitioning, message: later_message } = cluster.progress().await;
                assert_eq!((state.as_str(), transitioning.as_str()), ("updating", "error"), "{kind:?}");
                assert!(
                    later_message.contains("AllocationFailed: There is no room"),
                    "the message remains, {kind:?}: {later_message}"
                );
                assert_eq!(cluster.sent_writes(), [expected_request]);
                cluster.update(change).await;
            }
            let object = cluster.wait_until_active().await;
            let upstream = &object["aksStatus"]["upstreamSpec"];
            match kind {
                OperationKind::UpgradeCluster => assert_eq!(upstream["kubernetesVersion"], "1.33.3"),
                OperationKind::TagCluster => assert_eq!(upstream["tags"], json!({"a": "b"})),
                OperationKind::CreatePool => assert_eq!(upstream["nodePools"].as_array().unwrap().len(), 2),
                OperationKind::ScalePool => assert_eq!(upstream["nodePools"][1]["count"], 2),
                _ => assert_eq!(upstream["nodePools"].as_array().unwrap().len(), 1),
            }
            // The failed request, and its retry.
            let writes = cluster.sent_writes();
            assert!(writes[0] == expected_request && writes.len() == 2, "{kind:?} {status:?}: {writes:?}");
        }
    }
}

async fn failing_change_is_not_sent_forever(database: Database) {
    for (kind, change, expected_request) in changes() {
        let cluster = TestCluster::create_active(database).await;
        if kind == OperationKind::DeletePool || kind == OperationKind::ScalePool {
            let [_, _, (_, create_pool, _), ..] = changes();
            cluster.update(create_pool).await;
            cluster.wait_until_active().await;
            cluster.app.control.clear_requests();
        }
        cluster.app.control.add_outcome(outcome(kind, FinalStatus::Failed, None));
        // The PUT with which the server repairs a failed cluster fails too.
        cluster.app.control.add_outcome(outcome(OperationKind::UpdateCluster, FinalStatus::Failed, None));
        cluster.update(change).await;
        cluster.advance_secs(1_200).await;
        let object = cluster.wait_until("a failure", |object| object["transitioning"] == "error").await;
        let Progress { state, message, .. } = super::progress_of(&object);
        assert_eq!(state, "updating", "{kind:?}: never falsely active");
        assert!(message.contains("There is no room"), "{kind:?}: {message}");
        let writes = cluster.sent_writes();
        assert!(
            writes[0] == expected_request && (1..=6).contains(&writes.len()),
            "{kind:?} in twenty minutes: {writes:?}"
        );
    }
}

async fn failure_is_found_without_operation_status(database: Database) {
    let operation_not_found = || fault::error(404, "NotFound", "The entity was not found.");
    // A creation.
    let cluster = TestCluster::create(database).await;
    cluster.add_fault(Operation::LongOperation, "GET", operation_not_found());
    cluster.app.control.add_outcome(outcome(OperationKind::CreateCluster, FinalStatus::Failed, None));
    cluster.app.control.add_outcome(outcome(OperationKind::UpdateCluster, FinalStatus::Failed, None));
    cluster.advance_secs(600).await;
    let Progress { state, transitioning, message } = cluster.progress().await;
    assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "error"), "{message}");
    assert!(message.contains("creation for cluster [one") && message.contains("status: Failed"), "{message}");
    assert!(accepted_count(&cluster, "PUT cluster") <= 2, "{:?}", cluster.sent_writes());

    // Changes that failed, although Azure already returns the new values.
    for (kind, change, _) in changes().into_iter().take(3) {
        let cluster = TestCluster::create_active(database).await;
        cluster.add_fault(Operation::LongOperation, "GET", operation_not_found());
        cluster.app.control.add_outcome(outcome(kind, FinalStatus::Failed, None));
        cluster.app.control.add_outcome(outcome(OperationKind::UpdateCluster, FinalStatus::Failed, None));
        cluster.update(change).await;
        cluster.advance_secs(600).await;
        let Progress { state, message, .. } = cluster.progress().await;
        assert_eq!(state, "updating", "{kind:?} failed, which only the cluster shows: {message}");
    }
}

async fn failed_removal_is_repeated(database: Database) {
    for status in [FinalStatus::Failed, FinalStatus::Canceled] {
        let cluster = TestCluster::create_active(database).await;
        cluster.app.control.add_outcome(outcome(OperationKind::DeleteCluster, status, Some(2)));
        cluster.delete().await;
        let object = cluster.wait_until("the failure", |object| object["transitioning"] == "error").await;
        let Progress { state, message, .. } = super::progress_of(&object);
        assert_eq!(state, "removing");
        assert!(
            message.contains("error removing cluster [one] message AllocationFailed: There is no room"),
            "{message}"
        );
        cluster.wait_until_deleted().await;
        assert_eq!(cluster.sent_writes(), ["DELETE cluster"; 3]);
    }
}
