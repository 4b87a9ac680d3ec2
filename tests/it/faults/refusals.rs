//! Throttling, conflicts, failures and aborted connections for every kind of request of a creation, and of updates and deletions.

use std::time::{Duration, UNIX_EPOCH};

use azure_sandbox::{Effect, Operation, Refusal};
use serde_json::{Value, json};

use super::{Base, Stage, THROTTLED, pool, refusal, told};

on_both!(
    creation_survives_throttling_of_any_request,
    creation_survives_failures_of_any_request,
    conflict_is_no_failure,
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

/// The forms in which Azure returns a delay: at least 40 s, or none.
fn form(scene: &Stage, number: usize) -> Refusal {
    let plain = Refusal {
        status: Some(429),
        code: Some("TooManyRequests".to_owned()),
        message: Some(THROTTLED.to_owned()),
        ..Refusal::default()
    };
    // The fault occurs a while later, after the delay of the previous one.
    let seconds = scene.app.clock.now_ms().unsigned_abs() / 1000 + 120;
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
    match number % 4 {
        0 => Refusal { retry_after: Some("40".to_owned()), ..plain },
        1 => Refusal { retry_after: Some(date), ..plain },
        2 => Refusal { retry_after_ms: Some(40_000), ..plain },
        _ => plain,
    }
}

/// Replaces the current fault.
fn trouble(scene: &Stage, operation: Operation, method: &str, effect: Effect) {
    scene.app.control.clear_faults();
    scene.fault(operation, method, effect);
}

/// Advances time until the cluster fails with this message.
async fn fails(scene: &Stage, words: &str) -> (String, String, String) {
    let failing = |cluster: &Value| cluster["transitioning"] == "error" && told(cluster).2.contains(words);
    told(&scene.until(words, failing).await)
}

async fn creation_survives_throttling_of_any_request(base: Base) {
    let scene = Stage::set(base).await;
    scene.app.control.forget_tokens();
    // One after the other, in their order.
    for (number, (operation, method)) in REQUESTS.into_iter().enumerate() {
        let mut refusal = form(&scene, number);
        let words = format!("{THROTTLED} ({number})");
        refusal.message = Some(words.clone());
        let waits = refusal.retry_after.is_some() || refusal.retry_after_ms.is_some();
        scene.app.control.clear_requests();
        trouble(&scene, operation, method, Effect::Status(refusal));
        // The response to a HEAD request has no message, and Entra's messages are different.
        let has_words = method != "HEAD" && operation != Operation::Token;
        let (state, _, message) = fails(&scene, if has_words { &words } else { "throttles" }).await;
        let asked = scene.asked(operation, method);
        scene.pass(20).await;
        let again = scene.asked(operation, method);
        let context = format!("{method} of {operation:?}: {message}");
        assert_eq!(state, "provisioning", "{context}");
        assert!(message.contains("throttles"), "the remedy: {context}");
        assert!(!has_words || message.contains("TooManyRequests"), "{context}");
        if operation == Operation::LongOperation {
            assert!(message.contains("the cluster one is being made"), "the pending operation: {context}");
        }
        if waits && operation != Operation::Token {
            assert_eq!((asked, again), (1, 1), "no request for 40 s: {context}");
        } else if operation != Operation::Token {
            assert!(again > asked, "the request is retried: {context}");
        }
    }
    scene.app.control.clear_faults();
    let cluster = scene.becomes_active().await;
    assert_eq!(told(&cluster), ("active".to_owned(), "no".to_owned(), String::new()));
}

async fn creation_survives_failures_of_any_request(base: Base) {
    let failures = [
        (refusal(500, "InternalServerError", "Azure stumbled"), "Azure stumbled"),
        (Effect::CutBeforeAnswer, "the connection was cut"),
        (refusal(503, "ServerTimeout", "Azure was slow"), "Azure was slow"),
        (
            Effect::Status(Refusal {
                status: Some(502),
                body: Some("<html>".to_owned()),
                ..Refusal::default()
            }),
            "502",
        ),
    ];
    for shift in [0, 1] {
        let scene = Stage::set(base).await;
        scene.app.control.forget_tokens();
        for (number, (operation, method)) in REQUESTS.into_iter().enumerate() {
            let (effect, words) = &failures[(number + shift) % 4];
            trouble(&scene, operation, method, effect.clone());
            scene.app.control.clear_requests();
            let has_words = method != "HEAD" && operation != Operation::Token;
            let words = if has_words { words } else { "" };
            let met = |cluster: &Value| {
                let (_, transitioning, message) = told(cluster);
                transitioning == "error" && message.contains(words) && scene.asked(operation, method) > 0
            };
            let cluster = scene.until(&format!("{method} of {operation:?} met {effect:?}"), met).await;
            assert_eq!(told(&cluster).0, "provisioning", "{method} of {operation:?}");
            let past: &[&str] = match (operation, method) {
                (Operation::ManagedCluster, "PUT") => &["PUT group"],
                (Operation::LongOperation, _) => &["PUT cluster"],
                _ => &[],
            };
            assert_eq!(scene.taken(), past, "the steps before {method} of {operation:?}, once");
        }
        scene.app.control.clear_faults();
        scene.becomes_active().await;
        assert_eq!(scene.taken(), Vec::<String>::new(), "everything already existed");
    }
}

async fn conflict_is_no_failure(base: Base) {
    let words = "Operation is not allowed: Another operation is in progress.";
    let conflict = |number: usize| {
        let codes = ["OperationNotAllowed", "Conflict", "AnotherOperationInProgress"];
        refusal(409, codes[number % codes.len()], words)
    };
    // During the creation.
    let scene = Stage::set(base).await;
    scene.fault(Operation::ManagedCluster, "PUT", conflict(0));
    scene.pass(60).await;
    let (state, transitioning, message) = scene.told().await;
    assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "yes"), "{message}");
    assert!(message.contains("OperationNotAllowed") && message.contains(words), "{message}");
    let tried = scene.sent().iter().filter(|sent| *sent == "PUT cluster").count();
    assert!((2..=7).contains(&tried), "about every ten seconds: {tried}");
    scene.app.control.clear_faults();
    scene.becomes_active().await;
    assert_eq!(scene.taken(), ["PUT group", "PUT cluster"]);

    // During an update: of the cluster, its tags, a pool.
    for (number, (operation, method, change, taken)) in changes().into_iter().enumerate() {
        scene.app.control.clear_requests();
        scene.fault(operation, method, conflict(number));
        scene.put(change).await;
        scene.pass(40).await;
        let (state, transitioning, message) = scene.told().await;
        assert_eq!((state.as_str(), transitioning.as_str()), ("updating", "yes"), "{method}: {message}");
        assert!(message.contains(words), "{method}: {message}");
        scene.app.control.clear_faults();
        scene.becomes_active().await;
        assert_eq!(scene.taken(), [taken]);
    }

    // During the deletion.
    scene.app.control.clear_requests();
    scene.fault(Operation::ManagedCluster, "DELETE", conflict(1));
    scene.delete().await;
    scene.pass(40).await;
    let (state, transitioning, message) = scene.told().await;
    assert_eq!((state.as_str(), transitioning.as_str()), ("removing", "yes"), "{message}");
    assert!(message.contains(words), "{message}");
    scene.app.control.clear_faults();
    scene.is_gone().await;
    assert_eq!(scene.taken(), ["DELETE cluster"]);
}

/// Changes, with their requests and the requests that are finally accepted.
fn changes() -> [(Operation, &'static str, Value, &'static str); 4] {
    let system = small_pool();
    [
        (Operation::ManagedCluster, "PUT", json!({"kubernetesVersion": "1.33.3"}), "PUT cluster"),
        (Operation::ManagedCluster, "PATCH", json!({"tags": {"a": "b"}}), "PATCH cluster"),
        (Operation::AgentPool, "PUT", json!({"nodePools": [system, pool("more", 1)]}), "PUT pool more"),
        (Operation::AgentPool, "DELETE", json!({"nodePools": [system]}), "DELETE pool more"),
    ]
}

fn small_pool() -> Value {
    super::small("one", "")["aksConfig"]["nodePools"][0].clone()
}

async fn changes_and_removals_survive_throttling_and_failures(base: Base) {
    let scene = Stage::active(base).await;
    let throttled = || Effect::Status(form(&scene, 0));
    let polled = json!({"nodePools": [small_pool(), pool("more", 1)]});
    let polled = (Operation::LongOperation, "GET", polled, "PUT pool more");
    for (operation, method, change, taken) in changes().into_iter().chain([polled]) {
        scene.app.control.clear_requests();
        scene.fault(operation, method, throttled());
        scene.put(change).await;
        let cluster = scene.until("throttled", |cluster| cluster["transitioning"] == "error").await;
        let (state, _, message) = told(&cluster);
        assert!(
            state == "updating" && message.contains(THROTTLED),
            "{method} {operation:?}: {state} {message}"
        );
        let updated =
            cluster["conditions"].as_array().unwrap().iter().find(|it| it["type"] == "Updated").unwrap();
        assert_eq!(updated["status"], "False", "{updated}");
        assert_eq!(scene.asked(operation, method), 1);
        scene.app.control.clear_faults();
        scene.fault(operation, method, refusal(500, "InternalServerError", "Azure stumbled"));
        scene.until("the next failure", |cluster| told(cluster).2.contains("Azure stumbled")).await;
        scene.app.control.clear_faults();
        scene.becomes_active().await;
        assert_eq!(scene.taken(), [taken]);
    }
    for operation in [Operation::ManagedCluster, Operation::LongOperation] {
        let method = if operation == Operation::LongOperation { "GET" } else { "DELETE" };
        let scene = Stage::active(base).await;
        scene.fault(operation, method, throttled());
        scene.delete().await;
        let cluster = scene.until("throttled", |cluster| cluster["transitioning"] == "error").await;
        let (state, _, message) = told(&cluster);
        assert!(state == "removing" && message.contains(THROTTLED), "{operation:?}: {state} {message}");
        scene.app.control.clear_faults();
        scene.is_gone().await;
        assert_eq!(scene.taken(), ["DELETE cluster"]);
    }
}

async fn rejected_creation_is_explained_and_repaired(base: Base) {
    let scene = Stage::set(base).await;
    let words = "The VM size is not allowed in this region.";
    scene.fault(Operation::ManagedCluster, "PUT", refusal(400, "VMSizeNotAllowed", words));
    scene.pass(600).await;
    let (state, transitioning, message) = scene.told().await;
    assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "error"));
    assert!(
        message.contains("error failed to create cluster: VMSizeNotAllowed: ") && message.contains(words),
        "{message}"
    );
    let tried = scene.sent().iter().filter(|sent| *sent == "PUT cluster").count();
    assert!((2..=10).contains(&tried), "with increasing delays: {tried}");
    scene.app.control.clear_faults();
    // A change is processed immediately, regardless of the remaining delay.
    scene.put(json!({"tags": {"again": "1"}})).await;
    scene.pass(4).await;
    assert_eq!(scene.taken(), ["PUT group", "PUT cluster"]);
    scene.becomes_active().await;
    assert_eq!(scene.taken(), ["PUT group", "PUT cluster"]);
}

async fn registration_is_requested_once(base: Base) {
    let scene = Stage::set(base).await;
    let fresh = scene.app.control.accounts().iter().find(|account| account.name == "fresh").unwrap().clone();
    let body = json!({"name": "fresh", "azurecredentialConfig": {
        "subscriptionId": fresh.subscription_id, "tenantId": fresh.tenant_id, "clientId": fresh.client_id,
        "clientSecret": fresh.secrets[0]}});
    let credential = scene.app.post("/v3/cloudcredentials").json(&body).send().await.json();
    let path = super::made(&scene.app, &super::small("fresh", credential["id"].as_str().unwrap())).await;
    let times = azure_sandbox::Timing { register: 90_000, ..scene.app.control.timing() };
    scene.app.control.set_timing(times).unwrap();
    scene.pass(60).await;
    let (state, transitioning, message) = told(&super::seen(&scene.app, &path).await);
    assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "yes"));
    assert!(message.contains("Microsoft.ContainerService is being registered"), "{message}");
    let registered = |scene: &Stage| scene.sent().iter().filter(|sent| *sent == "POST register").count();
    assert_eq!(registered(&scene), 1);
    scene.pass(200).await;
    assert_eq!(told(&super::seen(&scene.app, &path).await).0, "active");
    assert_eq!(registered(&scene), 1);
}
