//! Throttling, conflicts, failures and cut connections at every kind of request of a creation, and of changes and removals.

use norman_aks::sandbox::{Effect, Operation, Refusal};
use serde_json::json;

use super::{Base, Stage, THROTTLED, pool, refusal};

on_both!(
    every_request_of_a_creation_may_be_throttled,
    every_request_of_a_creation_may_fail_for_a_while,
    a_conflict_is_waited_for_and_is_no_failure,
    changes_and_removals_get_over_throttling_and_failures,
    a_refused_creation_is_told_and_repaired_by_a_change,
    a_registration_is_asked_for_once,
);

/// Every kind of request that a creation makes.
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

/// The forms in which Azure says how long to wait: 40 seconds, or not at all.
fn forms() -> [Refusal; 4] {
    let plain = || Refusal {
        status: Some(429),
        code: Some("TooManyRequests".to_owned()),
        message: Some(THROTTLED.to_owned()),
        ..Refusal::default()
    };
    [
        Refusal { retry_after: Some("40".to_owned()), ..plain() },
        // The tests begin at 12:00:00.
        Refusal { retry_after: Some("Sun, 22 Nov 2026 12:01:30 GMT".to_owned()), ..plain() },
        Refusal { retry_after_ms: Some(40_000), ..plain() },
        plain(),
    ]
}

async fn every_request_of_a_creation_may_be_throttled(base: Base) {
    for (number, (operation, method)) in REQUESTS.into_iter().enumerate() {
        let refusal = forms()[number % 4].clone();
        let waits = refusal.retry_after.is_some() || refusal.retry_after_ms.is_some();
        let stage = Stage::set(base).await;
        stage.app.control.forget_tokens();
        stage.fault(operation, method, Effect::Status(refusal));
        let told = stage.until("throttled", |cluster| cluster["transitioning"] == "error").await;
        let asked = stage.asked(operation, method);
        stage.pass(20).await;
        let (state, transitioning, message) = super::told(&told);
        let context = format!("{method} of {operation:?}: {message}");
        assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "error"), "{context}");
        assert!(message.contains("throttles"), "{context}");
        if method != "HEAD" && operation != Operation::Token {
            assert!(message.contains("TooManyRequests") && message.contains(THROTTLED), "{context}");
        }
        if operation == Operation::LongOperation {
            assert!(message.contains("the cluster one is being made"), "{context}");
        }
        let again = stage.asked(operation, method);
        if waits && operation != Operation::Token {
            assert_eq!((asked, again), (1, 1), "Azure wants to be left alone for 40 s: {context}");
        } else if operation != Operation::Token {
            assert!(again > asked, "it is tried again: {context}");
        }
        stage.app.control.clear_faults();
        let cluster = stage.becomes_active().await;
        assert_eq!(
            (cluster["transitioning"].as_str(), cluster["transitioningMessage"].as_str()),
            (Some("no"), Some(""))
        );
        assert_eq!(stage.taken(), ["PUT group", "PUT cluster"], "{context}");
    }
}

async fn every_request_of_a_creation_may_fail_for_a_while(base: Base) {
    let failures = [
        (refusal(500, "InternalServerError", "Azure stumbled."), "Azure stumbled."),
        (Effect::CutBeforeAnswer, "the connection was cut"),
        (refusal(503, "ServerTimeout", "Azure was slow."), "Azure was slow."),
        (
            Effect::Status(Refusal {
                status: Some(502),
                body: Some("<html>".to_owned()),
                ..Refusal::default()
            }),
            "502",
        ),
    ];
    for (number, (operation, method)) in REQUESTS.into_iter().enumerate() {
        for (effect, words) in [&failures[number % 4], &failures[(number + 1) % 4]] {
            let stage = Stage::set(base).await;
            stage.app.control.forget_tokens();
            stage.fault(operation, method, effect.clone());
            let cluster = stage.until("failing", |cluster| cluster["transitioning"] == "error").await;
            let (state, _, message) = super::told(&cluster);
            let context = format!("{method} of {operation:?} met {effect:?}: {message}");
            assert_eq!(state, "provisioning", "{context}");
            let words_come_through = method != "HEAD" && operation != Operation::Token;
            assert!(!message.is_empty() && (!words_come_through || message.contains(words)), "{context}");
            stage.pass(60).await;
            assert_eq!(stage.told().await.0, "provisioning", "{context}");
            stage.app.control.clear_faults();
            stage.becomes_active().await;
            assert_eq!(stage.taken(), ["PUT group", "PUT cluster"], "{context}");
        }
    }
}

async fn a_conflict_is_waited_for_and_is_no_failure(base: Base) {
    let words = "Operation is not allowed: Another operation is in progress.";
    for code in ["OperationNotAllowed", "Conflict", "AnotherOperationInProgress"] {
        // While it is made.
        let stage = Stage::set(base).await;
        stage.fault(Operation::ManagedCluster, "PUT", refusal(409, code, words));
        stage.pass(60).await;
        let (state, transitioning, message) = stage.told().await;
        assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "yes"), "{message}");
        assert!(message.contains(code) && message.contains(words), "{message}");
        let tried = stage.sent().iter().filter(|sent| *sent == "PUT cluster").count();
        assert!((2..=7).contains(&tried), "about every ten seconds: {tried}");
        stage.app.control.clear_faults();
        stage.becomes_active().await;
        assert_eq!(stage.taken(), ["PUT group", "PUT cluster"]);

        // While it is changed: the cluster, its tags, a pool.
        for (operation, method, change, taken) in [
            (Operation::ManagedCluster, "PUT", json!({"kubernetesVersion": "1.33.3"}), "PUT cluster"),
            (Operation::ManagedCluster, "PATCH", json!({"tags": {"a": code}}), "PATCH cluster"),
            (
                Operation::AgentPool,
                "PUT",
                json!({"nodePools": [small_pool(), pool("more", 1)]}),
                "PUT pool more",
            ),
            (Operation::AgentPool, "DELETE", json!({"nodePools": [small_pool()]}), "DELETE pool more"),
        ] {
            stage.app.control.clear_requests();
            stage.fault(operation, method, refusal(409, code, words));
            stage.put(change).await;
            stage.pass(40).await;
            let (state, transitioning, message) = stage.told().await;
            assert_eq!((state.as_str(), transitioning.as_str()), ("updating", "yes"), "{method}: {message}");
            assert!(message.contains(words), "{method}: {message}");
            stage.app.control.clear_faults();
            stage.becomes_active().await;
            assert_eq!(stage.taken(), [taken]);
        }

        // While it is removed.
        stage.app.control.clear_requests();
        stage.fault(Operation::ManagedCluster, "DELETE", refusal(409, code, words));
        stage.delete().await;
        stage.pass(40).await;
        let (state, transitioning, message) = stage.told().await;
        assert_eq!((state.as_str(), transitioning.as_str()), ("removing", "yes"), "{message}");
        assert!(message.contains(words), "{message}");
        stage.app.control.clear_faults();
        stage.is_gone().await;
        assert_eq!(stage.taken(), ["DELETE cluster"]);
    }
}

fn small_pool() -> serde_json::Value {
    super::small("one", "")["aksConfig"]["nodePools"][0].clone()
}

async fn changes_and_removals_get_over_throttling_and_failures(base: Base) {
    let stage = Stage::active(base).await;
    let throttled = || Effect::Status(forms()[0].clone());
    for (operation, method, change, taken) in [
        (Operation::ManagedCluster, "PUT", json!({"kubernetesVersion": "1.33.3"}), "PUT cluster"),
        (Operation::ManagedCluster, "PATCH", json!({"tags": {"a": "b"}}), "PATCH cluster"),
        (Operation::AgentPool, "PUT", json!({"nodePools": [small_pool(), pool("more", 1)]}), "PUT pool more"),
        (
            Operation::LongOperation,
            "GET",
            json!({"nodePools": [small_pool(), pool("more", 2)]}),
            "PUT pool more",
        ),
        (Operation::AgentPool, "DELETE", json!({"nodePools": [small_pool()]}), "DELETE pool more"),
    ] {
        stage.app.control.clear_requests();
        stage.fault(operation, method, throttled());
        stage.put(change).await;
        let cluster = stage.until("throttled", |cluster| cluster["transitioning"] == "error").await;
        let (state, _, message) = super::told(&cluster);
        assert!(
            state == "updating" && message.contains(THROTTLED),
            "{method} {operation:?}: {state} {message}"
        );
        let updated =
            cluster["conditions"].as_array().unwrap().iter().find(|it| it["type"] == "Updated").unwrap();
        assert_eq!(updated["status"], "False", "{updated}");
        assert_eq!(stage.asked(operation, method), 1);
        stage.app.control.clear_faults();
        stage.fault(operation, method, refusal(500, "InternalServerError", "Azure stumbled."));
        stage.until("the next failure", |cluster| super::told(cluster).2.contains("Azure stumbled.")).await;
        stage.app.control.clear_faults();
        stage.becomes_active().await;
        assert_eq!(stage.taken(), [taken]);
    }
    for operation in [Operation::ManagedCluster, Operation::LongOperation] {
        let method = if operation == Operation::LongOperation { "GET" } else { "DELETE" };
        let stage = Stage::active(base).await;
        stage.fault(operation, method, throttled());
        stage.delete().await;
        let cluster = stage.until("throttled", |cluster| cluster["transitioning"] == "error").await;
        let (state, _, message) = super::told(&cluster);
        assert!(state == "removing" && message.contains(THROTTLED), "{operation:?}: {state} {message}");
        stage.app.control.clear_faults();
        stage.is_gone().await;
        assert_eq!(stage.taken(), ["DELETE cluster"]);
    }
}

async fn a_refused_creation_is_told_and_repaired_by_a_change(base: Base) {
    let stage = Stage::set(base).await;
    let words = "The VM size is not allowed in this region.";
    stage.fault(Operation::ManagedCluster, "PUT", refusal(400, "VMSizeNotAllowed", words));
    stage.pass(600).await;
    let (state, transitioning, message) = stage.told().await;
    assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "error"));
    assert!(
        message.contains("error failed to create cluster: VMSizeNotAllowed: ") && message.contains(words),
        "{message}"
    );
    let tried = stage.sent().iter().filter(|sent| *sent == "PUT cluster").count();
    assert!((2..=10).contains(&tried), "with growing pauses: {tried}");
    stage.app.control.clear_faults();
    // A change is worked on at once, whatever pause was left.
    stage.put(json!({"tags": {"again": "1"}})).await;
    stage.pass(4).await;
    assert_eq!(stage.taken(), ["PUT group", "PUT cluster"]);
    stage.becomes_active().await;
    assert_eq!(stage.taken(), ["PUT group", "PUT cluster"]);
}

async fn a_registration_is_asked_for_once(base: Base) {
    let stage = Stage::set(base).await;
    let fresh = stage.app.control.accounts().iter().find(|account| account.name == "fresh").unwrap().clone();
    let body = json!({"name": "fresh", "azurecredentialConfig": {
        "subscriptionId": fresh.subscription_id, "tenantId": fresh.tenant_id, "clientId": fresh.client_id,
        "clientSecret": fresh.secrets[0]}});
    let credential = stage.app.post("/v3/cloudcredentials").json(&body).send().await.json();
    let path = super::made(&stage.app, &super::small("fresh", credential["id"].as_str().unwrap())).await;
    let times = norman_aks::sandbox::Times { register: 90_000, ..stage.app.control.times() };
    stage.app.control.set_times(times).unwrap();
    stage.pass(60).await;
    let (state, transitioning, message) = super::told(&super::seen(&stage.app, &path).await);
    assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "yes"));
    assert!(message.contains("Microsoft.ContainerService is being registered"), "{message}");
    let registered = |stage: &Stage| stage.sent().iter().filter(|sent| *sent == "POST register").count();
    assert_eq!(registered(&stage), 1);
    stage.pass(200).await;
    assert_eq!(super::told(&super::seen(&stage.app, &path).await).0, "active");
    assert_eq!(registered(&stage), 1);
}
