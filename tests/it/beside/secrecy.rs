//! No part of a session or a secret is in a log line, a metric, an error or a `Debug` representation.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use super::app::{BesideApp, seed};
use super::rancher::Fault;
use super::rancher_state::{self, RancherState};
use crate::support::advance_time;
use crate::support::app::TestResponse;

/// Values that must not appear anywhere.
const CANARIES: [&str; 6] = [
    "canary-key-of-a-session",
    "canary-key-of-a-cookie",
    "canary-secret-in-rancher",
    "canary-secret-in-a-body",
    "canary-json-web-token",
    // `canary-secret-in-rancher` in Base64.
    "Y2FuYXJ5LXNlY3JldC1pbi1yYW5jaGVy",
];
const TOKEN: &str = "token-aaaaa:canary-key-of-a-session";
const COOKIE: &str = "R_SESS=token-bbbbb:canary-key-of-a-cookie";
const CREDENTIAL: &str = "cattle-global-data:cc-canary";

#[derive(Clone, Default)]
struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for LogBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogBuffer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[track_caller]
fn assert_clean(what: &str, text: &str) {
    for canary in CANARIES {
        if let Some(start) = text.find(canary) {
            panic!(
                "{canary} is in {what}: …{}…",
                &text[start.saturating_sub(300)..(start + 60).min(text.len())]
            );
        }
    }
}

/// Sends requests of all kinds, with valid and invalid tokens; returns the responses.
async fn send_requests(app: &BesideApp) -> Vec<TestResponse> {
    let mut responses = Vec::new();
    let path = format!("/meta/aksVersions?cloudCredentialId={CREDENTIAL}&region=eastus");
    let mut body = json!({
        "tenantId": seed().tenant_id, "subscriptionId": seed().subscription_id, "clientId": seed().client_id,
        "clientSecret": "canary-secret-in-a-body",
    });
    for token in [
        TOKEN,
        "token-unknown:canary-key-of-a-session",
        "canary-json-web-token.a.b",
        "canary-key-of-a-session",
    ] {
        responses.push(app.get(&path, token).send().await);
        responses.push(app.get(&path, token).header("impersonate-user", "u").send().await);
        responses.push(app.post("/meta/aksCheckCredentials", token).json(&body).send().await);
        responses.push(app.post("/meta/aksLocations", token).json(&body).send().await);
        let upgrades = format!("/meta/aksUpgrades?cloudCredentialId={CREDENTIAL}&clusterId=c-a");
        responses.push(app.get(&upgrades, token).send().await);
    }
    body["subscriptionId"] = "".into();
    responses.push(app.post("/meta/aksLocations", TOKEN).json(&body).send().await);
    responses.push(app.get(&path, "").anonymous().header("cookie", COOKIE).send().await);
    responses.push(
        app.get(&path, TOKEN).header("cookie", COOKIE).header("x-forwarded-proto", "http").send().await,
    );
    responses.push(app.get(&path, TOKEN).header("via", "1.1 norman-aks").send().await);
    responses
}

#[tokio::test]
async fn tokens_and_secrets_are_in_no_log_metric_or_error() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _metrics = metrics::set_default_local_recorder(&recorder);
    let log_buffer = LogBuffer::default();
    let targets =
        Targets::new().with_default(LevelFilter::TRACE).with_target("azure_sandbox", LevelFilter::OFF);
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(log_buffer.clone());
    // With a single subscriber, events that another thread emits first would be disabled for all threads.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _log = tracing::subscriber::set_default(tracing_subscriber::registry().with(targets).with(layer));

    let state = RancherState::new();
    state.add_user("owner", TOKEN);
    state.add_user("owner", "token-bbbbb:canary-key-of-a-cookie");
    state.put_credential(CREDENTIAL, "canary-secret-in-rancher", &["owner"]);
    let app = BesideApp::with_state(&state).await;
    let mut responses = send_requests(&app).await;
    advance_time(super::app::DECISION_TTL).await;
    for fault in [
        Fault::Cut,
        Fault::Response(500, vec![("x-api-cattle-auth", "true")], "{}"),
        Fault::Response(
            200,
            vec![("x-api-cattle-auth", "true")],
            "{\"data\":{\"azurecredentialConfig-clientSecret\":\"%\"}}",
        ),
        Fault::Response(502, Vec::new(), "<html>"),
    ] {
        app.rancher.set_fault(fault);
        responses.extend(send_requests(&app).await);
        app.rancher.clear_fault();
        advance_time(std::time::Duration::from_secs(2)).await;
        app.get("/meta/aksLocations", TOKEN).send().await;
    }
    assert!(responses.len() > 100);
    for response in &responses {
        assert_clean("a response", &format!("{response:?} {}", response.text()));
    }
    assert!(responses.iter().any(|response| response.text().contains("AADSTS")), "Azure rejected the canary");
    let log = String::from_utf8(log_buffer.0.lock().unwrap().clone()).unwrap();
    for expected in ["TRACE", "action failed", "token-aaaaa", "norman_aks"] {
        assert!(log.contains(expected), "{expected} is not in the log");
    }
    assert_clean("the log", &log);
    let metrics = recorder.handle().render();
    assert!(metrics.contains("norman_aks_rancher_decisions_total{result=\"asked\"}"), "{metrics}");
    assert_clean("the metrics", &metrics);
}

#[tokio::test]
async fn client_shows_no_secret_in_debug() {
    let (app, _) = BesideApp::start().await;
    let client = norman_aks::app::rancher_client(app.config.rancher.as_ref().unwrap()).unwrap();
    app.get_versions(CREDENTIAL, TOKEN).send().await;
    assert_clean("the client", &format!("{client:?} {:?}", app.config));
}

#[tokio::test]
async fn nothing_is_written_to_the_data_directory() {
    let state = RancherState::new();
    state.add_user("owner", TOKEN);
    state.put_credential(CREDENTIAL, seed().client_secret, &["owner"]);
    let app = BesideApp::with_state(&state).await;
    assert_eq!(app.get_versions(CREDENTIAL, TOKEN).send().await.status, 200);
    let files: Vec<_> =
        std::fs::read_dir(app.data_dir()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(files.is_empty(), "{files:?}");
}

#[tokio::test]
async fn decisions_are_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _metrics = metrics::set_default_local_recorder(&recorder);
    let (app, _) = BesideApp::start().await;
    for _ in 0..3 {
        app.get_versions(rancher_state::CREDENTIAL, rancher_state::OWNER).send().await;
    }
    app.get_versions(rancher_state::CREDENTIAL, rancher_state::OTHER).send().await;
    app.get_versions(rancher_state::CREDENTIAL, "token-none:x").send().await;
    app.get_versions("cc-aaaaa", rancher_state::OWNER).send().await;
    app.get_versions(rancher_state::CREDENTIAL, rancher_state::OWNER)
        .header("impersonate-user", "u")
        .send()
        .await;
    app.rancher.set_fault(Fault::Cut);
    app.get_versions(rancher_state::CREDENTIAL, rancher_state::OTHER).send().await;
    let text = recorder.handle().render();
    for line in ["asked\"} 1", "cached\"} 2", "refused\"} 2", "forwarded\"} 2", "unavailable\"} 1"] {
        let line = format!("norman_aks_rancher_decisions_total{{result=\"{line}");
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    assert!(text.contains("norman_aks_rancher_up 0"), "{text}");
}
