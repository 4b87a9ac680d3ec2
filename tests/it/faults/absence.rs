//! Only Azure's 404 about the cluster means that it does not exist. Any other response stops the step: nothing is created or
//! deleted, and the object remains.

use std::time::Duration;

use azure_sandbox::{Effect, Fault, Operation, Refusal, Timing};
use serde_json::{Value, json};

use super::{Base, Stage, fault, refusal};
use crate::support::app::TestApp;

on_both!(
    unreadable_cluster_is_never_created,
    unreadable_cluster_is_never_changed_or_forgotten,
    running_creation_is_not_repeated_if_unreadable,
    missing_response_is_no_absence,
    absent_cluster_is_shown_and_not_recreated,
);

/// The responses instead of the cluster.
fn answers() -> Vec<(Effect, &'static str)> {
    let bare = |status, body: &str| {
        Effect::Status(Refusal { status: Some(status), body: Some(body.to_owned()), ..Refusal::default() })
    };
    vec![
        (
            refusal(403, "AuthorizationFailed", "The client does not have authorization."),
            "AuthorizationFailed",
        ),
        (
            refusal(401, "InvalidAuthenticationToken", "The access token is invalid."),
            "InvalidAuthenticationToken",
        ),
        (refusal(500, "InternalServerError", "Azure stumbled"), "Azure stumbled"),
        (
            refusal(404, "SubscriptionNotFound", "The subscription could not be found."),
            "SubscriptionNotFound",
        ),
        (refusal(404, "InvalidResourceType", "The type could not be found."), "InvalidResourceType"),
        // A proxy responds instead of Azure.
        (bare(404, "<html>not found</html>"), "404"),
        (bare(404, ""), "404"),
        (bare(410, "{}"), "410"),
        (Effect::CutBeforeAnswer, "the connection was cut"),
        (Effect::CutInBody, "the connection was cut"),
        (Effect::InvalidJson, ""),
        (Effect::TruncatedBody, ""),
    ]
}

async fn unreadable_cluster_is_never_created(base: Base) {
    let scene = Stage::set(base).await;
    for (effect, words) in answers() {
        scene.app.control.clear_faults();
        scene.app.control.clear_requests();
        scene.fault(Operation::ManagedCluster, "GET", effect.clone());
        // The response for a missing cluster is an error, and so is half of it.
        let words = if words.is_empty() { "404" } else { words };
        let failing = |cluster: &Value| {
            cluster["transitioning"] == "error"
                && super::told(cluster).2.contains(words)
                && scene.looked() > 1
        };
        let cluster = scene.until(&format!("{effect:?}"), failing).await;
        assert_eq!(cluster["state"], "provisioning", "{effect:?}");
        assert_eq!(scene.sent(), Vec::<String>::new(), "{effect:?}");
    }
    scene.app.control.clear_faults();
    scene.becomes_active().await;
    assert_eq!(scene.sent(), ["PUT group", "PUT cluster"]);
}

impl Stage {
    /// The number of reads of the cluster.
    fn looked(&self) -> usize {
        self.asked(Operation::ManagedCluster, "GET")
    }
}

async fn unreadable_cluster_is_never_changed_or_forgotten(base: Base) {
    let scene = Stage::active(base).await;
    for (number, (effect, words)) in answers().into_iter().enumerate() {
        scene.app.control.clear_requests();
        scene.fault(Operation::ManagedCluster, "GET", effect.clone());
        scene.put(json!({"tags": {"number": number.to_string()}})).await;
        scene.pass(20).await;
        let (state, transitioning, message) = scene.told().await;
        let context = format!("{effect:?}: {message}");
        assert_eq!((state.as_str(), transitioning.as_str()), ("updating", "error"), "{context}");
        assert!(message.contains(words), "{context}");
        assert_eq!(scene.sent(), Vec::<String>::new(), "{context}");
        scene.app.control.clear_faults();
        scene.becomes_active().await;
        assert_eq!(scene.sent(), ["PATCH cluster"], "{context}");
    }
    // A failed refresh is shown in a condition, and changes nothing.
    scene.app.control.clear_requests();
    scene.fault(Operation::ManagedCluster, "GET", answers()[0].0.clone());
    scene.pass(700).await;
    let cluster = scene.seen().await;
    assert_eq!(super::told(&cluster), ("active".to_owned(), "no".to_owned(), String::new()));
    let updated =
        cluster["conditions"].as_array().unwrap().iter().find(|it| it["type"] == "Updated").unwrap();
    assert_eq!(updated["status"], "False");
    let message = updated["message"].as_str().unwrap();
    assert!(message.starts_with("[Syncing error: syncing failed] AuthorizationFailed"), "{message}");
    scene.app.control.clear_faults();
    scene.pass(700).await;
    let cluster = scene.seen().await;
    let updated =
        cluster["conditions"].as_array().unwrap().iter().find(|it| it["type"] == "Updated").unwrap();
    assert_eq!(updated["status"], "True", "{updated}");
    assert_eq!(scene.sent(), Vec::<String>::new());

    for (effect, _) in answers() {
        scene.fault(Operation::ManagedCluster, "GET", effect.clone());
        scene.app.control.clear_requests();
        if scene.told().await.0 != "removing" {
            scene.delete().await;
        }
        scene.until("a read", |_| scene.looked() > 0).await;
        let (state, transitioning, message) = scene.told().await;
        assert_eq!((state.as_str(), transitioning.as_str()), ("removing", "error"), "{effect:?}: {message}");
        assert_eq!(scene.sent(), Vec::<String>::new(), "{effect:?}");
        scene.app.control.clear_faults();
    }
    scene.is_gone().await;
    assert_eq!(scene.taken(), ["DELETE cluster"]);
}

async fn running_creation_is_not_repeated_if_unreadable(base: Base) {
    let scene = Stage::set(base).await;
    scene.app.control.set_timing(Timing { create_cluster: 3_000_000, ..Timing::default() }).unwrap();
    scene.until("the PUT", |cluster| super::told(cluster).2.contains("is being made")).await;
    // From now on, only the cluster itself shows its state.
    scene.fault_once(Operation::LongOperation, "GET", refusal(404, "NotFound", "It was forgotten."));
    scene.until("a read of the cluster", |cluster| super::told(cluster).2.contains("is Creating")).await;
    for (effect, _) in answers() {
        scene.app.control.clear_faults();
        scene.fault(Operation::ManagedCluster, "GET", effect.clone());
        let before = scene.looked();
        scene.until(&format!("{effect:?}"), |_| scene.looked() > before).await;
        let (state, transitioning, message) = scene.told().await;
        assert_eq!(
            (state.as_str(), transitioning.as_str()),
            ("provisioning", "error"),
            "{effect:?}: {message}"
        );
    }
    scene.app.control.clear_faults();
    scene.app.control.set_timing(Timing::default()).unwrap();
    scene.becomes_active().await;
    assert_eq!(scene.sent(), ["PUT group", "PUT cluster"]);
}

async fn missing_response_is_no_absence(base: Base) {
    let builder = TestApp::with().read_limit(Duration::from_secs(1));
    let scene = Stage::set_with(base, builder, |_| ()).await;
    let slow = Fault {
        effect: None,
        latency_ms: 60_000,
        ..fault(Operation::ManagedCluster, "GET", Effect::CutInBody)
    };
    scene.app.control.add_fault(slow);
    scene.pass(2).await;
    let (state, transitioning, message) = scene.told().await;
    assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "error"));
    assert!(message.contains("no answer in time"), "{message}");
    assert_eq!(scene.sent(), Vec::<String>::new());
    scene.app.control.clear_faults();
    scene.becomes_active().await;
    assert_eq!(scene.sent(), ["PUT group", "PUT cluster"]);
}

async fn absent_cluster_is_shown_and_not_recreated(base: Base) {
    let scene = Stage::active(base).await;
    for code in ["ResourceNotFound", "ResourceGroupNotFound"] {
        scene.app.control.clear_requests();
        scene.fault(Operation::ManagedCluster, "GET", refusal(404, code, "It could not be found."));
        scene.put(json!({"tags": {"code": code}})).await;
        scene.pass(60).await;
        let (state, transitioning, message) = scene.told().await;
        assert_eq!((state.as_str(), transitioning.as_str()), ("updating", "error"), "{code}");
        assert!(message.contains("one no longer exists in Azure"), "{message}");
        assert_eq!(scene.sent(), Vec::<String>::new(), "{code}");
        scene.app.control.clear_faults();
        scene.becomes_active().await;
    }
    scene.fault(Operation::ManagedCluster, "GET", refusal(404, "ResourceNotFound", "It could not be found."));
    scene.app.control.clear_requests();
    scene.delete().await;
    scene.is_gone().await;
    assert_eq!(scene.sent(), Vec::<String>::new());
}
