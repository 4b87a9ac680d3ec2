//! Only Azure's 404 about the cluster means that it does not exist. Any other response stops the step: nothing is created or
//! deleted, and the object remains.

use std::time::Duration;

use azure_sandbox::{Effect, Operation, Timing};
use serde_json::{Value, json};

use super::{Database, Progress, TestCluster, condition};
use crate::support::app::TestApp;
use crate::support::fault;

on_both_databases!(
    unreadable_cluster_is_never_created,
    unreadable_cluster_is_never_changed_or_forgotten,
    running_creation_is_not_repeated_if_unreadable,
    missing_response_is_no_absence,
    absent_cluster_is_shown_and_not_recreated,
);

/// The responses instead of the cluster.
fn answers() -> Vec<(Effect, &'static str)> {
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
        (Effect::CutBeforeAnswer, "the connection was cut"),
        (Effect::CutInBody, "the connection was cut"),
        (Effect::InvalidJson, ""),
        (Effect::TruncatedBody, ""),
    ]
}

async fn unreadable_cluster_is_never_created(database: Database) {
    let cluster = TestCluster::create(database).await;
    for (effect, words) in answers() {
        cluster.app.control.clear_faults();
        cluster.app.control.clear_requests();
        cluster.add_fault(Operation::ManagedCluster, "GET", effect.clone());
        // The response for a missing cluster is an error, and so is half of it.
        let words = if words.is_empty() { "404" } else { words };
        let failing = |object: &Value| {
            object["transitioning"] == "error"
                && super::progress_of(object).message.contains(words)
                && cluster.looked() > 1
        };
        let object = cluster.wait_until(&format!("{effect:?}"), failing).await;
        assert_eq!(object["state"], "provisioning", "{effect:?}");
        assert_eq!(cluster.sent_writes(), Vec::<String>::new(), "{effect:?}");
    }
    cluster.app.control.clear_faults();
    cluster.wait_until_active().await;
    assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster"]);
}

impl TestCluster {
    /// The number of reads of the cluster.
    fn looked(&self) -> usize {
        self.request_count(Operation::ManagedCluster, "GET")
    }
}

async fn unreadable_cluster_is_never_changed_or_forgotten(database: Database) {
    let cluster = TestCluster::create_active(database).await;
    for (number, (effect, words)) in answers().into_iter().enumerate() {
        cluster.app.control.clear_requests();
        cluster.add_fault(Operation::ManagedCluster, "GET", effect.clone());
        cluster.update(json!({"tags": {"number": number.to_string()}})).await;
        cluster.advance_secs(20).await;
        let Progress { state, transitioning, message } = cluster.progress().await;
        let context = format!("{effect:?}: {message}");
        assert_eq!((state.as_str(), transitioning.as_str()), ("updating", "error"), "{context}");
        assert!(message.contains(words), "{context}");
        assert_eq!(cluster.sent_writes(), Vec::<String>::new(), "{context}");
        cluster.app.control.clear_faults();
        cluster.wait_until_active().await;
        assert_eq!(cluster.sent_writes(), ["PATCH cluster"], "{context}");
    }
    // A failed refresh is shown in a condition, and changes nothing.
    cluster.app.control.clear_requests();
    cluster.add_fault(Operation::ManagedCluster, "GET", answers()[0].0.clone());
    cluster.advance_secs(700).await;
    let object = cluster.object().await;
    assert_eq!(super::progress_of(&object), Progress::active());
    let updated = condition(&object, "Updated");
    assert_eq!(updated["status"], "False");
    let message = updated["message"].as_str().unwrap();
    assert!(message.starts_with("[Syncing error: syncing failed] AuthorizationFailed"), "{message}");
    cluster.app.control.clear_faults();
    cluster.advance_secs(700).await;
    let object = cluster.object().await;
    let updated = condition(&object, "Updated");
    assert_eq!(updated["status"], "True", "{updated}");
    assert_eq!(cluster.sent_writes(), Vec::<String>::new());

    for (effect, _) in answers() {
        cluster.add_fault(Operation::ManagedCluster, "GET", effect.clone());
        cluster.app.control.clear_requests();
        if cluster.progress().await.state != "removing" {
            cluster.delete().await;
        }
        cluster.wait_until("a read", |_| cluster.looked() > 0).await;
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
    // From now on, only the cluster itself shows its state.
    cluster.add_fault_once(
        Operation::LongOperation,
        "GET",
        fault::error(404, "NotFound", "It was forgotten."),
    );
    cluster
        .wait_until("a read of the cluster", |object| {
            super::progress_of(object).message.contains("is Creating")
        })
        .await;
    for (effect, _) in answers() {
        cluster.app.control.clear_faults();
        cluster.add_fault(Operation::ManagedCluster, "GET", effect.clone());
        let before = cluster.looked();
        cluster.wait_until(&format!("{effect:?}"), |_| cluster.looked() > before).await;
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

async fn missing_response_is_no_absence(database: Database) {
    let builder = TestApp::builder().read_timeout(Duration::from_secs(1));
    let cluster = TestCluster::create_with(database, builder, |_| ()).await;
    let slow = fault::delay_request(Operation::ManagedCluster, "GET", 60_000);
    cluster.app.control.add_fault(slow);
    cluster.advance_secs(2).await;
    let Progress { state, transitioning, message } = cluster.progress().await;
    assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "error"));
    assert!(message.contains("no answer in time"), "{message}");
    assert_eq!(cluster.sent_writes(), Vec::<String>::new());
    cluster.app.control.clear_faults();
    cluster.wait_until_active().await;
    assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster"]);
}

async fn absent_cluster_is_shown_and_not_recreated(database: Database) {
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
