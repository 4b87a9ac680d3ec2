//! Throttling, conflicts, failures and aborted connections for every kind of request of a creation, and of updates and deletions.

use std::time::{Duration, UNIX_EPOCH};

use azure_sandbox::{Effect, ErrorResponse, Operation};
use serde_json::{Value, json};

use super::{Database, Progress, THROTTLED, TestCluster, condition, pool, progress_of, system_pool};
use crate::support::fault;

on_both_databases!(
    creation_survives_throttling_of_any_request,
    creation_survives_failures_of_any_request,
    conflict_is_not_a_failure,
    changes_and_removals_survive_throttling_and_failures,
    rejected_creation_is_explained_and_repaired,
    registration_is_requested_once,
);

/// Every kind of request that a creation sends.
const REQUESTS: [(Operation, &str); 8] = [
    (Operation::Token, "POST"),
    (Operation::ManagedCluster, "GET"),
    (Operation::Provider, "GET"),
    (Operation::ResourceGroup, "HEAD"),
    (Operation::ResourceGroup, "PUT"),
    (Operation::ManagedCluster, "PUT"),
    (Operation::LongOperation, "GET"),
    (Operation::AdminCredential, "POST"),
];

/// A throttling response. `number` selects the form in which Azure requests a delay of at least 40 s, or no delay.
fn throttling_response(cluster: &TestCluster, number: usize) -> ErrorResponse {
    let Effect::Status(plain) = fault::error(429, "TooManyRequests", THROTTLED) else { unreachable!() };
    // The date must be late enough: the request that gets this response is sent only after the previous delay.
    let retry_at_secs = cluster.app.clock.now_ms().unsigned_abs() / 1000 + 120;
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(retry_at_secs));
    match number % 4 {
        0 => ErrorResponse { retry_after: Some("40".to_owned()), ..plain },
        1 => ErrorResponse { retry_after: Some(date), ..plain },
        2 => ErrorResponse { retry_after_ms: Some(40_000), ..plain },
        _ => plain,
    }
}

/// Replaces the current fault.
fn replace_fault(cluster: &TestCluster, operation: Operation, method: &str, effect: Effect) {
    cluster.app.control.clear_faults();
    cluster.add_fault(operation, method, effect);
}

/// Advances time until the cluster's error contains `text`.
async fn wait_for_failure(cluster: &TestCluster, text: &str) -> Progress {
    let has_failed =
        |object: &Value| object["transitioning"] == "error" && progress_of(object).message.contains(text);
    progress_of(&cluster.wait_until(text, has_failed).await)
}

async fn creation_survives_throttling_of_any_request(database: Database) {
    let cluster = TestCluster::create(database).await;
    cluster.app.control.forget_tokens();
    // Each request fails in turn, in the order in which the creation sends them.
    for (number, (operation, method)) in REQUESTS.into_iter().enumerate() {
        let mut response = throttling_response(&cluster, number);
        let text = format!("{THROTTLED} ({number})");
        response.message = Some(text.clone());
        let has_delay = response.retry_after.is_some() || response.retry_after_ms.is_some();
        cluster.app.control.clear_requests();
        replace_fault(&cluster, operation, method, Effect::Status(response));
        // The response to a HEAD request has no message, and Entra's messages are different.
        let has_message = method != "HEAD" && operation != Operation::Token;
        let Progress { state, message, .. } =
            wait_for_failure(&cluster, if has_message { &text } else { "throttles" }).await;
        let before = cluster.request_count(operation, method);
        cluster.advance_secs(20).await;
        let after = cluster.request_count(operation, method);
        let context = format!("{method} of {operation:?}: {message}");
        assert_eq!(state, "provisioning", "{context}");
        assert!(message.contains("throttles"), "the remedy: {context}");
        assert!(!has_message || message.contains("TooManyRequests"), "{context}");
        if operation == Operation::LongOperation {
            assert!(message.contains("creating cluster one"), "the pending operation: {context}");
        }
        if has_delay && operation != Operation::Token {
            assert_eq!((before, after), (1, 1), "no request for 40 s: {context}");
        } else if operation != Operation::Token {
            assert!(after > before, "the request is retried: {context}");
        }
    }
    cluster.app.control.clear_faults();
    let object = cluster.wait_until_active().await;
    assert_eq!(progress_of(&object), Progress::active());
}

async fn creation_survives_failures_of_any_request(database: Database) {
    let failures = [
        (fault::error(500, "InternalServerError", "Azure stumbled"), "Azure stumbled"),
        (Effect::CutBeforeAnswer, "the connection was closed early"),
        (fault::error(503, "ServerTimeout", "Azure was slow"), "Azure was slow"),
        (fault::body(502, "<html>"), "502"),
    ];
    // Two passes, so that each request meets two of the failures.
    for shift in [0, 1] {
        let cluster = TestCluster::create(database).await;
        cluster.app.control.forget_tokens();
        for (number, (operation, method)) in REQUESTS.into_iter().enumerate() {
            let (effect, text) = &failures[(number + shift) % 4];
            replace_fault(&cluster, operation, method, effect.clone());
            cluster.app.control.clear_requests();
            let has_message = method != "HEAD" && operation != Operation::Token;
            let text = if has_message { text } else { "" };
            let has_failed = |object: &Value| {
                let Progress { transitioning, message, .. } = progress_of(object);
                transitioning == "error"
                    && message.contains(text)
                    && cluster.request_count(operation, method) > 0
            };
            let object =
                cluster.wait_until(&format!("{method} of {operation:?} met {effect:?}"), has_failed).await;
            assert_eq!(progress_of(&object).state, "provisioning", "{method} of {operation:?}");
            let expected_writes: &[&str] = match (operation, method) {
                (Operation::ManagedCluster, "PUT") => &["PUT group"],
                (Operation::LongOperation, _) => &["PUT cluster"],
                _ => &[],
            };
            assert_eq!(
                cluster.accepted_writes(),
                expected_writes,
                "the steps before {method} of {operation:?}, once"
            );
        }
        cluster.app.control.clear_faults();
        cluster.wait_until_active().await;
        assert_eq!(cluster.accepted_writes(), Vec::<String>::new(), "everything already existed");
    }
}

async fn conflict_is_not_a_failure(database: Database) {
    let azure_message = "Operation is not allowed: Another operation is in progress.";
    let conflict = |number: usize| {
        let codes = ["OperationNotAllowed", "Conflict", "AnotherOperationInProgress"];
        fault::error(409, codes[number % codes.len()], azure_message)
    };
    // During the creation.
    let cluster = TestCluster::create(database).await;
    cluster.add_fault(Operation::ManagedCluster, "PUT", conflict(0));
    cluster.advance_secs(60).await;
    let Progress { state, transitioning, message } = cluster.progress().await;
    assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "yes"), "{message}");
    assert!(message.contains("OperationNotAllowed") && message.contains(azure_message), "{message}");
    let attempts = cluster.sent_writes().iter().filter(|sent| *sent == "PUT cluster").count();
    assert!((2..=7).contains(&attempts), "about every ten seconds: {attempts}");
    cluster.app.control.clear_faults();
    cluster.wait_until_active().await;
    assert_eq!(cluster.accepted_writes(), ["PUT group", "PUT cluster"]);

    // During updates.
    for (number, (operation, method, change, accepted)) in changes().into_iter().enumerate() {
        cluster.app.control.clear_requests();
        cluster.add_fault(operation, method, conflict(number));
        cluster.update(change).await;
        cluster.advance_secs(40).await;
        let Progress { state, transitioning, message } = cluster.progress().await;
        assert_eq!((state.as_str(), transitioning.as_str()), ("updating", "yes"), "{method}: {message}");
        assert!(message.contains(azure_message), "{method}: {message}");
        cluster.app.control.clear_faults();
        cluster.wait_until_active().await;
        assert_eq!(cluster.accepted_writes(), [accepted]);
    }

    // During the deletion.
    cluster.app.control.clear_requests();
    cluster.add_fault(Operation::ManagedCluster, "DELETE", conflict(1));
    cluster.delete().await;
    cluster.advance_secs(40).await;
    let Progress { state, transitioning, message } = cluster.progress().await;
    assert_eq!((state.as_str(), transitioning.as_str()), ("removing", "yes"), "{message}");
    assert!(message.contains(azure_message), "{message}");
    cluster.app.control.clear_faults();
    cluster.wait_until_deleted().await;
    assert_eq!(cluster.accepted_writes(), ["DELETE cluster"]);
}

/// The request of each change, the change itself, and the request as [`TestCluster::accepted_writes`] returns it.
fn changes() -> [(Operation, &'static str, Value, &'static str); 4] {
    let system = system_pool();
    [
        (Operation::ManagedCluster, "PUT", json!({"kubernetesVersion": "1.33.3"}), "PUT cluster"),
        (Operation::ManagedCluster, "PATCH", json!({"tags": {"a": "b"}}), "PATCH cluster"),
        (Operation::AgentPool, "PUT", json!({"nodePools": [system, pool("more", 1)]}), "PUT pool more"),
        (Operation::AgentPool, "DELETE", json!({"nodePools": [system]}), "DELETE pool more"),
    ]
}

async fn changes_and_removals_survive_throttling_and_failures(database: Database) {
    let cluster = TestCluster::create_active(database).await;
    let throttled = || Effect::Status(throttling_response(&cluster, 0));
    let change = json!({"nodePools": [system_pool(), pool("more", 1)]});
    let poll = (Operation::LongOperation, "GET", change, "PUT pool more");
    for (operation, method, change, accepted) in changes().into_iter().chain([poll]) {
        cluster.app.control.clear_requests();
        cluster.add_fault(operation, method, throttled());
        cluster.update(change).await;
        let object = cluster.wait_until("throttled", |object| object["transitioning"] == "error").await;
        let Progress { state, message, .. } = progress_of(&object);
        assert!(
            state == "updating" && message.contains(THROTTLED),
            "{method} {operation:?}: {state} {message}"
        );
        let updated = condition(&object, "Updated");
        assert_eq!(updated["status"], "False", "{updated}");
        assert_eq!(cluster.request_count(operation, method), 1);
        cluster.app.control.clear_faults();
        cluster.add_fault(operation, method, fault::error(500, "InternalServerError", "Azure stumbled"));
        cluster
            .wait_until("the next failure", |object| progress_of(object).message.contains("Azure stumbled"))
            .await;
        cluster.app.control.clear_faults();
        cluster.wait_until_active().await;
        assert_eq!(cluster.accepted_writes(), [accepted]);
    }
    for operation in [Operation::ManagedCluster, Operation::LongOperation] {
        let method = if operation == Operation::LongOperation { "GET" } else { "DELETE" };
        let cluster = TestCluster::create_active(database).await;
        cluster.add_fault(operation, method, throttled());
        cluster.delete().await;
        let object = cluster.wait_until("throttled", |object| object["transitioning"] == "error").await;
        let Progress { state, message, .. } = progress_of(&object);
        assert!(state == "removing" && message.contains(THROTTLED), "{operation:?}: {state} {message}");
        cluster.app.control.clear_faults();
        cluster.wait_until_deleted().await;
        assert_eq!(cluster.accepted_writes(), ["DELETE cluster"]);
    }
}

async fn rejected_creation_is_explained_and_repaired(database: Database) {
    let cluster = TestCluster::create(database).await;
    let azure_message = "The VM size is not allowed in this region.";
    cluster.add_fault(Operation::ManagedCluster, "PUT", fault::error(400, "VMSizeNotAllowed", azure_message));
    cluster.advance_secs(600).await;
    let Progress { state, transitioning, message } = cluster.progress().await;
    assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "error"));
    assert!(
        message.contains("error failed to create cluster: VMSizeNotAllowed: ")
            && message.contains(azure_message),
        "{message}"
    );
    let attempts = cluster.sent_writes().iter().filter(|sent| *sent == "PUT cluster").count();
    assert!((2..=10).contains(&attempts), "with increasing delays: {attempts}");
    cluster.app.control.clear_faults();
    // A change is processed immediately, regardless of the remaining delay.
    cluster.update(json!({"tags": {"again": "1"}})).await;
    cluster.advance_secs(4).await;
    assert_eq!(cluster.accepted_writes(), ["PUT group", "PUT cluster"]);
    cluster.wait_until_active().await;
    assert_eq!(cluster.accepted_writes(), ["PUT group", "PUT cluster"]);
}

async fn registration_is_requested_once(database: Database) {
    let cluster = TestCluster::create(database).await;
    let credential = cluster.app.store_credential_of("fresh").await;
    let path = super::create_object(&cluster.app, &super::small_cluster("fresh", &credential)).await;
    let timing = azure_sandbox::Timing { register: 90_000, ..cluster.app.control.timing() };
    cluster.app.control.set_timing(timing).unwrap();
    cluster.advance_secs(60).await;
    let Progress { state, transitioning, message } =
        progress_of(&super::get_object(&cluster.app, &path).await);
    assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "yes"));
    assert!(message.contains("Microsoft.ContainerService is being registered"), "{message}");
    let registration_count =
        |cluster: &TestCluster| cluster.sent_writes().iter().filter(|sent| *sent == "POST register").count();
    assert_eq!(registration_count(&cluster), 1);
    cluster.advance_secs(200).await;
    assert_eq!(progress_of(&super::get_object(&cluster.app, &path).await).state, "active");
    assert_eq!(registration_count(&cluster), 1);
}
