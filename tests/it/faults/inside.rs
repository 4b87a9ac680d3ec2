//! Faults of the cluster's own API: they are shown, retried with delays, and cleared after a success.

use std::time::Duration;

use azure_sandbox::{Effect, Fault, Operation, Refusal};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Base, Stage};
use crate::support::app::TestApp;

on_both!(
    cluster_with_a_failing_api_is_not_active,
    silent_cluster_does_not_delay_others,
    active_cluster_that_stops_responding_is_not_ready,
    invalid_kubeconfig_is_shown,
);

fn answers(status: u16) -> Effect {
    Effect::Status(Refusal {
        status: Some(status),
        message: Some(format!("no {status}")),
        ..Refusal::default()
    })
}

fn condition<'a>(cluster: &'a serde_json::Value, kind: &str) -> &'a serde_json::Value {
    let conditions = cluster["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == kind).unwrap_or(&serde_json::Value::Null)
}

async fn cluster_with_a_failing_api_is_not_active(base: Base) {
    let scene = Stage::set(base).await;
    for (effect, words) in [
        (answers(401), "401"),
        (answers(403), "403"),
        (answers(500), "500"),
        (answers(503), "503"),
        (Effect::CutBeforeAnswer, "cannot be reached"),
        (Effect::RefuseConnections, "cannot be reached"),
    ] {
        scene.app.control.clear_kubernetes_faults();
        scene.app.control.add_kubernetes_fault(Fault { effect: Some(effect.clone()), ..Fault::default() });
        let failing = |cluster: &serde_json::Value| super::told(cluster).2.contains(words);
        let cluster = scene.until(&format!("{effect:?}"), failing).await;
        let (state, transitioning, message) = super::told(&cluster);
        let context = format!("{effect:?}: {message}");
        assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "error"), "{context}");
        assert!(message.starts_with("failed to communicate with cluster: "), "{context}");
        if words == "403" {
            assert!(message.contains("Azure Kubernetes Service RBAC Cluster Admin"), "{context}");
        } else {
            assert_eq!(condition(&cluster, "Ready")["status"], "False", "{context}");
        }
    }
    scene.app.control.clear_requests();
    scene.pass(900).await;
    assert_eq!(scene.told().await.0, "provisioning");
    let tried = scene.asked(Operation::AdminCredential, "POST");
    assert!((2..=5).contains(&tried), "with delays, {tried} times in 15 minutes");
    scene.app.control.clear_kubernetes_faults();
    let cluster = scene.becomes_active().await;
    assert_eq!(condition(&cluster, "Ready")["status"], "True");
    assert_eq!(condition(&cluster, "Connected")["status"], "True");
    assert_eq!(scene.sent(), Vec::<String>::new(), "no request is sent to Azure for it");
}

async fn silent_cluster_does_not_delay_others(base: Base) {
    // The first attempt takes as long as a step may, with the limits of every server.
    let scene = Stage::set(base).await;
    scene.until("the PUT", |cluster| super::told(cluster).2.contains("is being made")).await;
    let never = Fault { latency_ms: 3_600_000, ..Fault::default() };
    scene.app.control.add_kubernetes_fault(Fault { times: Some(1), ..never });
    let stop = CancellationToken::new();
    let running = tokio::spawn(scene.app.app.worker.clone().run(stop.clone()));
    let hangs = || !scene.app.control.kubernetes_requests().is_empty();
    for _ in 0..3_000 {
        if hangs() {
            break;
        }
        scene.app.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(hangs(), "{}", scene.seen().await);
    let other = super::made(&scene.app, &super::small("two", &scene.credential)).await;
    let mut state = String::new();
    for _ in 0..2_000 {
        state = super::told(&super::seen(&scene.app, &other).await).0;
        if state == "active" {
            break;
        }
        scene.app.clock.advance(Duration::from_millis(500));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (first, transitioning, message) = scene.told().await;
    assert_eq!(state, "active", "the other one goes its way");
    assert_eq!(
        (first.as_str(), transitioning.as_str()),
        ("provisioning", "yes"),
        "the step is not over: {message}"
    );
    running.abort();

    let limits = cluster_access::Options {
        facts_limit: Duration::from_secs(1),
        account_limit: Duration::from_secs(1),
        ..cluster_access::Options::default()
    };
    let scene = Stage::set_with(base, TestApp::with().clusters(limits), |_| ()).await;
    let never = Fault { latency_ms: 3_600_000, ..Fault::default() };
    scene.app.control.add_kubernetes_fault(never);
    let cluster = scene.until("the failure", |cluster| cluster["transitioning"] == "error").await;
    let (state, _, message) = super::told(&cluster);
    assert_eq!(state, "provisioning");
    assert!(message.contains("no answer from") && message.contains("within 1 s"), "{message}");
    assert!(cluster["aksStatus"].get("privateRequiresTunnel").is_none(), "it is not private: {cluster}");
    scene.app.control.clear_kubernetes_faults();
    scene.becomes_active().await;
}

async fn active_cluster_that_stops_responding_is_not_ready(base: Base) {
    let scene = Stage::active(base).await;
    scene.app.control.add_kubernetes_fault(Fault { effect: Some(answers(500)), ..Fault::default() });
    scene.pass(700).await;
    let cluster = scene.seen().await;
    assert_eq!(super::told(&cluster), ("active".to_owned(), "no".to_owned(), String::new()));
    assert_eq!(condition(&cluster, "Ready")["status"], "False");
    assert!(condition(&cluster, "Ready")["message"].as_str().unwrap().contains("500"), "{cluster}");
    // Changes in Azure do not wait for the cluster's API.
    scene.put(json!({"tags": {"a": "b"}})).await;
    let cluster = scene.becomes_active().await;
    assert_eq!(condition(&cluster, "Ready")["status"], "False");
    scene.app.control.clear_kubernetes_faults();
    scene.pass(700).await;
    let cluster = scene.seen().await;
    assert_eq!(condition(&cluster, "Ready")["status"], "True");
    assert_eq!(scene.sent(), ["PATCH cluster"]);
}

async fn invalid_kubeconfig_is_shown(base: Base) {
    let scene = Stage::set(base).await;
    let body = json!({"kubeconfigs": [{"name": "clusterAdmin", "value": "bm90aGluZw=="}],
        "properties": {"kubeConfig": "bm90aGluZw=="}});
    let rubbish = Refusal { status: Some(200), body: Some(body.to_string()), ..Refusal::default() };
    scene.fault(Operation::AdminCredential, "POST", Effect::Status(rubbish));
    let cluster = scene.until("the failure", |cluster| cluster["transitioning"] == "error").await;
    let (state, _, message) = super::told(&cluster);
    assert_eq!(state, "provisioning");
    assert!(
        message.starts_with("failed to communicate with cluster: error getting kube config: "),
        "{message}"
    );
    scene.app.control.clear_faults();
    scene.becomes_active().await;
}
