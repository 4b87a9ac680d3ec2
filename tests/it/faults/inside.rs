//! Failures of the cluster's own API: users see them, requests are retried with delays, and a success clears the error.

use std::time::Duration;

use azure_sandbox::{Effect, ErrorResponse, Fault, Operation};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Database, Progress, TestCluster, condition};
use crate::support::app::TestApp;
use crate::support::fault;

on_both_databases!(
    cluster_with_a_failing_api_is_not_active,
    silent_cluster_does_not_delay_others,
    active_cluster_that_stops_responding_is_not_ready,
    invalid_kubeconfig_is_shown,
);

fn error_response(status: u16) -> Effect {
    Effect::Status(ErrorResponse {
        status: Some(status),
        message: Some(format!("no {status}")),
        ..ErrorResponse::default()
    })
}

async fn cluster_with_a_failing_api_is_not_active(database: Database) {
    let cluster = TestCluster::create(database).await;
    for (effect, expected) in [
        (error_response(401), "401"),
        (error_response(403), "403"),
        (error_response(500), "500"),
        (error_response(503), "503"),
        (Effect::CutBeforeAnswer, "cannot be reached"),
        (Effect::RefuseConnections, "cannot be reached"),
    ] {
        cluster.app.control.clear_kubernetes_faults();
        cluster.app.control.add_kubernetes_fault(fault::for_all(effect.clone()));
        let has_message = |object: &serde_json::Value| super::progress_of(object).message.contains(expected);
        let object = cluster.wait_until(&format!("{effect:?}"), has_message).await;
        let Progress { state, transitioning, message } = super::progress_of(&object);
        let context = format!("{effect:?}: {message}");
        assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "error"), "{context}");
        assert!(message.starts_with("failed to communicate with cluster: "), "{context}");
        if expected == "403" {
            assert!(message.contains("Azure Kubernetes Service RBAC Cluster Admin"), "{context}");
        } else {
            assert_eq!(condition(&object, "Ready")["status"], "False", "{context}");
        }
    }
    cluster.app.control.clear_requests();
    cluster.advance_secs(900).await;
    assert_eq!(cluster.progress().await.state, "provisioning");
    let attempts = cluster.request_count(Operation::AdminCredential, "POST");
    assert!((2..=5).contains(&attempts), "with delays, {attempts} times in 15 minutes");
    cluster.app.control.clear_kubernetes_faults();
    let object = cluster.wait_until_active().await;
    assert_eq!(condition(&object, "Ready")["status"], "True");
    assert_eq!(condition(&object, "Connected")["status"], "True");
    assert_eq!(cluster.sent_writes(), Vec::<String>::new(), "nothing is changed in Azure");
}

async fn silent_cluster_does_not_delay_others(database: Database) {
    // With the default timeouts, the step of the silent cluster is still running when the other cluster is active.
    let cluster = TestCluster::create(database).await;
    cluster
        .wait_until("the PUT", |object| super::progress_of(object).message.contains("creating cluster"))
        .await;
    let no_response = Fault { latency_ms: 3_600_000, ..Fault::default() };
    cluster.app.control.add_kubernetes_fault(Fault { times: Some(1), ..no_response });
    let stop = CancellationToken::new();
    let running = tokio::spawn(cluster.app.server.worker.clone().run(stop.clone()));
    let is_hanging = || !cluster.app.control.kubernetes_requests().is_empty();
    for _ in 0..3_000 {
        if is_hanging() {
            break;
        }
        cluster.app.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(is_hanging(), "{}", cluster.object().await);
    let other_path =
        super::create_object(&cluster.app, &super::small_cluster("two", &cluster.credential)).await;
    let mut other_state = String::new();
    for _ in 0..2_000 {
        other_state = super::progress_of(&super::get_object(&cluster.app, &other_path).await).state;
        if other_state == "active" {
            break;
        }
        cluster.app.clock.advance(Duration::from_millis(500));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let Progress { state: silent_state, transitioning, message } = cluster.progress().await;
    assert_eq!(other_state, "active", "the other cluster is not delayed");
    assert_eq!(
        (silent_state.as_str(), transitioning.as_str()),
        ("provisioning", "yes"),
        "the step is not over: {message}"
    );
    running.abort();

    let short_timeouts = cluster_access::Options {
        info_timeout: Duration::from_secs(1),
        setup_timeout: Duration::from_secs(1),
        ..cluster_access::Options::default()
    };
    let cluster =
        TestCluster::create_with(database, TestApp::builder().cluster_access(short_timeouts), |_| ()).await;
    let no_response = Fault { latency_ms: 3_600_000, ..Fault::default() };
    cluster.app.control.add_kubernetes_fault(no_response);
    let object = cluster.wait_until("the failure", |object| object["transitioning"] == "error").await;
    let Progress { state, message, .. } = super::progress_of(&object);
    assert_eq!(state, "provisioning");
    assert!(message.contains("no response from") && message.contains("within 1 s"), "{message}");
    assert!(
        object["aksStatus"].get("privateRequiresTunnel").is_none(),
        "the cluster is not private: {object}"
    );
    cluster.app.control.clear_kubernetes_faults();
    cluster.wait_until_active().await;
}

async fn active_cluster_that_stops_responding_is_not_ready(database: Database) {
    let cluster = TestCluster::create_active(database).await;
    cluster.app.control.add_kubernetes_fault(fault::for_all(error_response(500)));
    cluster.advance_secs(700).await;
    let object = cluster.object().await;
    assert_eq!(super::progress_of(&object), Progress::active());
    assert_eq!(condition(&object, "Ready")["status"], "False");
    assert!(condition(&object, "Ready")["message"].as_str().unwrap().contains("500"), "{object}");
    // Changes in Azure do not wait for the cluster's API.
    cluster.update(json!({"tags": {"a": "b"}})).await;
    let object = cluster.wait_until_active().await;
    assert_eq!(condition(&object, "Ready")["status"], "False");
    cluster.app.control.clear_kubernetes_faults();
    cluster.advance_secs(700).await;
    let object = cluster.object().await;
    assert_eq!(condition(&object, "Ready")["status"], "True");
    assert_eq!(cluster.sent_writes(), ["PATCH cluster"]);
}

async fn invalid_kubeconfig_is_shown(database: Database) {
    let cluster = TestCluster::create(database).await;
    let body = json!({"kubeconfigs": [{"name": "clusterAdmin", "value": "bm90aGluZw=="}],
        "properties": {"kubeConfig": "bm90aGluZw=="}});
    cluster.add_fault(Operation::AdminCredential, "POST", fault::body(200, &body.to_string()));
    let object = cluster.wait_until("the failure", |object| object["transitioning"] == "error").await;
    let Progress { state, message, .. } = super::progress_of(&object);
    assert_eq!(state, "provisioning");
    assert!(
        message.starts_with("failed to communicate with cluster: error getting kube config: "),
        "{message}"
    );
    cluster.app.control.clear_faults();
    cluster.wait_until_active().await;
}
