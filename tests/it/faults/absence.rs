//! A cluster is absent only if Azure responds with 404 and `ResourceNotFound` or `ResourceGroupNotFound`. Any other response ends
//! the step with an error: nothing is created or deleted, and the cluster object remains.

use std::time::Duration;

use azure_sandbox::{Effect, Operation, Timing};
use serde_json::{Value, json};

use super::{Database, Progress, TestCluster, condition};
use crate::support::app::TestApp;
use crate::support::fault;

on_both_databases!(
    unreadable_cluster_is_never_created,
    unreadable_cluster_is_never_changed_or_deleted,
    running_creation_is_not_repeated_if_unreadable,
    timeout_does_not_mean_absence,
    absent_cluster_is_reported_and_not_recreated,
);

/// More than two intervals of the setting `aks-refresh`, which is 300 s.
const TWO_REFRESHES_SECS: u64 = 700;

/// Responses to a read of the cluster that do not mean that the cluster is absent. Each has a part of the message for the user,
/// or `""` if the message varies.
fn unreadable_responses() -> Vec<(Effect, &'static str)> {
    vec![
        (
            fault::error(403, "AuthorizationFailed", "The client does not have authorization."),
            "AuthorizationFailed",
        ),
        (
            fault::error(401, "InvalidAuthenticationToken", "The access token is invalid."),
            "InvalidAuthenticationToken",
        ),
        (fault::error(500, "InternalServerError", "Azure stumbled"), "Azure stumbled"),
        (
            fault::error(404, "SubscriptionNotFound", "The subscription could not be found."),
            "SubscriptionNotFound",
        ),
        (fault::error(404, "InvalidResourceType", "The type could not be found."), "InvalidResourceType"),
        // A proxy responds instead of Azure.
        (fault::body(404, "<html>not found</html>"), "404"),
        (fault::body(404, ""), "404"),
        (fault::body(410, "{}"), "410"),
        (Effect::CutBeforeAnswer, "the connection was closed early"),
        (Effect::CutInBody, "the connection was closed early"),
        (Effect::InvalidJson, ""),
        (Effect::TruncatedBody, ""),
    ]
}

impl TestCluster {
    /// The number of reads of the cluster.
    fn read_count(&self) -> usize {
        self.request_count(Operation::ManagedCluster, "GET")
    }
}

async fn unreadable_cluster_is_never_created(database: Database) {
    let cluster = TestCluster::create(database).await;
    for (effect, expected) in unreadable_responses() {
        cluster.app.control.clear_faults();
        cluster.app.control.clear_requests();
        cluster.add_fault(Operation::ManagedCluster, "GET", effect.clone());
        // The cluster does not exist yet, so these effects damage Azure's 404, and the message contains only its status.
        let expected = if expected.is_empty() { "404" } else { expected };
        let has_failed = |object: &Value| {
            object["transitioning"] == "error"
                && super::progress_of(object).message.contains(expected)
                // After the first read, the message could be the previous one.
                && cluster.read_count() > 1
        };
        let object = cluster.wait_until(&format!("{effect:?}"), has_failed).await;
        assert_eq!(object["state"], "provisioning", "{effect:?}");
        assert_eq!(cluster.sent_writes(), Vec::<String>::new(), "{effect:?}");
    }
    cluster.app.control.clear_faults();
    cluster.wait_until_active().await;
    assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster"]);
}

async fn unreadable_cluster_is_never_changed_or_deleted(database: Database) {
    let cluster = TestCluster::create_active(database).await;
    for (number, (effect, expected)) in unreadable_responses().into_iter().enumerate() {
        cluster.app.control.clear_requests();
        cluster.add_fault(Operation::ManagedCluster, "GET", effect.clone());
        cluster.update(json!({"tags": {"number": number.to_string()}})).await;
        cluster.advance_secs(20).await;
        let Progress { state, transitioning, message } = cluster.progress().await;
        let context = format!("{effect:?}: {message}");
        assert_eq!((state.as_str(), transitioning.as_str()), ("updating", "error"), "{context}");
        assert!(message.contains(expected), "{context}");
        assert_eq!(cluster.sent_writes(), Vec::<String>::new(), "{context}");
        cluster.app.control.clear_faults();
        cluster.wait_until_active().await;
        assert_eq!(cluster.sent_writes(), ["PATCH cluster"], "{context}");
    }
    // A failed refresh is shown in a condition, and changes nothing.
    cluster.app.control.clear_requests();
    cluster.add_fault(
        Operation::ManagedCluster,
        "GET",
        fault::error(403, "AuthorizationFailed", "The client does not have authorization."),
    );
    cluster.advance_secs(TWO_REFRESHES_SECS).await;
    let object = cluster.object().await;
    assert_eq!(super::progress_of(&object), Progress::active());
    let updated = condition(&object, "Updated");
    assert_eq!(updated["status"], "False");
    let message = updated["message"].as_str().unwrap();
    assert!(message.starts_with("[Syncing error: syncing failed] AuthorizationFailed"), "{message}");
    cluster.app.control.clear_faults();
    cluster.advance_secs(TWO_REFRESHES_SECS).await;
    let object = cluster.object().await;
    let updated = condition(&object, "Updated");
    assert_eq!(updated["status"], "True", "{updated}");
    assert_eq!(cluster.sent_writes(), Vec::<String>::new());

    for (effect, _) in unreadable_responses() {
        cluster.add_fault(Operation::ManagedCluster, "GET", effect.clone());
        cluster.app.control.clear_requests();
        // The first effect is met by the first attempt of the deletion, the others by its retries.
        if cluster.progress().await.state != "removing" {
            cluster.delete().await;
        }
        cluster.wait_until("a read", |_| cluster.read_count() > 0).await;
        let Progress { state, transitioning, message } = cluster.progress().await;
        assert_eq!((state.as_str(), transitioning.as_str()), ("removing", "error"), "{effect:?}: {message}");
        assert_eq!(cluster.sent_writes(), Vec::<String>::new(), "{effect:?}");
        cluster.app.control.clear_faults();
    }
    cluster.wait_until_deleted().await;
    assert_eq!(cluster.accepted_writes(), ["DELETE cluster"]);
}

async fn running_creation_is_not_repeated_if_unreadable(database: Database) {
    let cluster = TestCluster::create(database).await;
    cluster.app.control.set_timing(Timing { create_cluster: 3_000_000, ..Timing::default() }).unwrap();
    cluster
        .wait_until("the PUT", |object| super::progress_of(object).message.contains("creating cluster"))
        .await;
    // The URL of the operation returns 404 once; after that, the server reads the cluster instead.
    cluster.add_fault_once(
        Operation::LongOperation,
        "GET",
        fault::error(404, "NotFound", "The operation was not found."),
    );
    cluster
        .wait_until("a read of the cluster", |object| {
            super::progress_of(object).message.contains("is in state Creating")
        })
        .await;
    for (effect, _) in unreadable_responses() {
        cluster.app.control.clear_faults();
        cluster.add_fault(Operation::ManagedCluster, "GET", effect.clone());
        let before = cluster.read_count();
        cluster.wait_until(&format!("{effect:?}"), |_| cluster.read_count() > before).await;
        let Progress { state, transitioning, message } = cluster.progress().await;
        assert_eq!(
            (state.as_str(), transitioning.as_str()),
            ("provisioning", "error"),
            "{effect:?}: {message}"
        );
    }
    cluster.app.control.clear_faults();
    cluster.app.control.set_timing(Timing::default()).unwrap();
    cluster.wait_until_active().await;
    assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster"]);
}

async fn timeout_does_not_mean_absence(database: Database) {
    let builder = TestApp::builder().read_timeout(Duration::from_secs(1));
    let cluster = TestCluster::create_with(database, builder, |_| ()).await;
    let slow = fault::delay_request(Operation::ManagedCluster, "GET", 60_000);
    cluster.app.control.add_fault(slow);
    cluster.advance_secs(2).await;
    let Progress { state, transitioning, message } = cluster.progress().await;
    assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "error"));
    assert!(message.contains("no response in time"), "{message}");
    assert_eq!(cluster.sent_writes(), Vec::<String>::new());
    cluster.app.control.clear_faults();
    cluster.wait_until_active().await;
    assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster"]);
}

async fn absent_cluster_is_reported_and_not_recreated(database: Database) {
    let cluster = TestCluster::create_active(database).await;
    for code in ["ResourceNotFound", "ResourceGroupNotFound"] {
        cluster.app.control.clear_requests();
        cluster.add_fault(
            Operation::ManagedCluster,
            "GET",
            fault::error(404, code, "It could not be found."),
        );
        cluster.update(json!({"tags": {"code": code}})).await;
        cluster.advance_secs(60).await;
        let Progress { state, transitioning, message } = cluster.progress().await;
        assert_eq!((state.as_str(), transitioning.as_str()), ("updating", "error"), "{code}");
        assert!(message.contains("one no longer exists in Azure"), "{message}");
        assert_eq!(cluster.sent_writes(), Vec::<String>::new(), "{code}");
        cluster.app.control.clear_faults();
        cluster.wait_until_active().await;
    }
    cluster.add_fault(
        Operation::ManagedCluster,
        "GET",
        fault::error(404, "ResourceNotFound", "It could not be found."),
    );
    cluster.app.control.clear_requests();
    cluster.delete().await;
    cluster.wait_until_deleted().await;
    assert_eq!(cluster.sent_writes(), Vec::<String>::new());
}
