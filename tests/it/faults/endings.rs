//! Long-running operations that fail or are cancelled: Azure's message is shown and remains, no request is repeated
//! indefinitely, and a change by the user is a new attempt.

use azure_sandbox::{FinalStatus, Operation, OperationKind, ScriptedOutcome};
use serde_json::{Value, json};

use super::{Database, Progress, TestCluster, condition, pool, system_pool};
use crate::support::fault;

on_both_databases!(
    failed_creation_is_explained_and_repaired,
    failed_creation_can_be_removed,
    failed_change_is_repeated_on_request,
    failing_change_is_not_sent_forever,
    unreported_failure_is_found_by_reading,
    failed_removal_is_repeated,
);

fn ending(deed: OperationKind, status: FinalStatus, times: Option<u32>) -> ScriptedOutcome {
    let outcome = fault::outcome(deed, "AllocationFailed", "There is no room for these machines.");
    ScriptedOutcome { status, times, ..outcome }
}

fn puts(cluster: &TestCluster, what: &str) -> usize {
    cluster.accepted_writes().iter().filter(|taken| *taken == what).count()
}

async fn failed_creation_is_explained_and_repaired(database: Database) {
    for status in [FinalStatus::Failed, FinalStatus::Canceled] {
        let cluster = TestCluster::create(database).await;
        cluster.app.control.add_outcome(ending(OperationKind::CreateCluster, status, Some(1)));
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
        // The same request without a change is a new attempt too.
        let change = match status {
            FinalStatus::Canceled => json!({}),
            _ => json!({"tags": {"again": "1"}}),
        };
        cluster.update(change).await;
        let object = cluster.wait_until_active().await;
        assert_eq!(object["transitioningMessage"], "");
        assert_eq!(condition(&object, "Provisioned")["status"], "True");
        assert!(puts(&cluster, "PUT cluster") <= 3, "{:?}", cluster.sent_writes());
    }
}

async fn failed_creation_can_be_removed(database: Database) {
    let cluster = TestCluster::create(database).await;
    cluster.app.control.add_outcome(ending(OperationKind::CreateCluster, FinalStatus::Failed, None));
    cluster.wait_until("the failure", |object| object["transitioning"] == "error").await;
    cluster.advance_secs(30).await;
    cluster.delete().await;
    cluster.wait_until_deleted().await;
    assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster", "DELETE cluster"]);
}

/// Changes, with their operations in Azure and the requests.
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
        for (deed, change, sent) in changes() {
            cluster.app.control.clear_requests();
            cluster.app.control.add_outcome(ending(deed, status, Some(1)));
            cluster.update(change.clone()).await;
            let object = cluster.wait_until("the failure", |object| object["transitioning"] == "error").await;
            let Progress { state, message, .. } = super::progress_of(&object);
            assert_eq!(state, "updating", "{deed:?}");
            assert!(message.contains("AllocationFailed: There is no room"), "{deed:?}: {message}");
            // A pool that still exists is deleted without another message.
            if deed != OperationKind::DeletePool {
                cluster.advance_secs(300).await;
                let Progress { state, transitioning, message: later } = cluster.progress().await;
                assert_eq!((state.as_str(), transitioning.as_str()), ("updating", "error"), "{deed:?}");
                assert!(
                    later.contains("AllocationFailed: There is no room"),
                    "the message remains, {deed:?}: {later}"
                );
                assert_eq!(cluster.sent_writes(), [sent]);
                cluster.update(change).await;
            }
            let object = cluster.wait_until_active().await;
            let upstream = &object["aksStatus"]["upstreamSpec"];
            match deed {
                OperationKind::UpgradeCluster => assert_eq!(upstream["kubernetesVersion"], "1.33.3"),
                OperationKind::TagCluster => assert_eq!(upstream["tags"], json!({"a": "b"})),
                OperationKind::CreatePool => assert_eq!(upstream["nodePools"].as_array().unwrap().len(), 2),
                OperationKind::ScalePool => assert_eq!(upstream["nodePools"][1]["count"], 2),
                _ => assert_eq!(upstream["nodePools"].as_array().unwrap().len(), 1),
            }
            let all = cluster.sent_writes();
            assert!(all[0] == sent && all.len() == 2, "{deed:?} {status:?}: {all:?}");
        }
    }
}

async fn failing_change_is_not_sent_forever(database: Database) {
    for (deed, change, sent) in changes() {
        let cluster = TestCluster::create_active(database).await;
        if deed == OperationKind::DeletePool || deed == OperationKind::ScalePool {
            let (_, more, _) = changes()[2].clone();
            cluster.update(more).await;
            cluster.wait_until_active().await;
            cluster.app.control.clear_requests();
        }
        cluster.app.control.add_outcome(ending(deed, FinalStatus::Failed, None));
        // The repair of the cluster fails too.
        cluster.app.control.add_outcome(ending(OperationKind::UpdateCluster, FinalStatus::Failed, None));
        cluster.update(change).await;
        cluster.advance_secs(1_200).await;
        let object = cluster.wait_until("a failure", |object| object["transitioning"] == "error").await;
        let Progress { state, message, .. } = super::progress_of(&object);
        assert_eq!(state, "updating", "{deed:?}: never falsely active");
        assert!(message.contains("There is no room"), "{deed:?}: {message}");
        let all = cluster.sent_writes();
        assert!(all[0] == sent && (1..=6).contains(&all.len()), "{deed:?} in twenty minutes: {all:?}");
    }
}

async fn unreported_failure_is_found_by_reading(database: Database) {
    let forgotten = || fault::error(404, "NotFound", "The entity was not found.");
    // A creation.
    let cluster = TestCluster::create(database).await;
    cluster.add_fault(Operation::LongOperation, "GET", forgotten());
    cluster.app.control.add_outcome(ending(OperationKind::CreateCluster, FinalStatus::Failed, None));
    cluster.app.control.add_outcome(ending(OperationKind::UpdateCluster, FinalStatus::Failed, None));
    cluster.advance_secs(600).await;
    let Progress { state, transitioning, message } = cluster.progress().await;
    assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "error"), "{message}");
    assert!(message.contains("creation for cluster [one") && message.contains("status: Failed"), "{message}");
    assert!(puts(&cluster, "PUT cluster") <= 2, "{:?}", cluster.sent_writes());

    // Changes that Azure returns as applied although they failed.
    for (deed, change, _) in changes().into_iter().take(3) {
        let cluster = TestCluster::create_active(database).await;
        cluster.add_fault(Operation::LongOperation, "GET", forgotten());
        cluster.app.control.add_outcome(ending(deed, FinalStatus::Failed, None));
        cluster.app.control.add_outcome(ending(OperationKind::UpdateCluster, FinalStatus::Failed, None));
        cluster.update(change).await;
        cluster.advance_secs(600).await;
        let Progress { state, message, .. } = cluster.progress().await;
        assert_eq!(state, "updating", "{deed:?} failed, and nobody told: {message}");
    }
}

async fn failed_removal_is_repeated(database: Database) {
    for status in [FinalStatus::Failed, FinalStatus::Canceled] {
        let cluster = TestCluster::create_active(database).await;
        cluster.app.control.add_outcome(ending(OperationKind::DeleteCluster, status, Some(2)));
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
