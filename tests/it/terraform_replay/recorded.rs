//! Replays scenarios that were recorded between the unmodified provider and this server (`tests/fixtures/terraform`), with
//! the fields of responses that the provider reads. Startup, kubeconfigs and related objects are in the other recordings.

use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::replacements::Replacements;
use super::{POLL_INTERVAL, TIMEOUT};
use crate::support::app::{TestApp, TestResponse};
use crate::support::fixtures;

#[derive(Deserialize)]
struct Exchange {
    step: String,
    method: String,
    path: String,
    #[serde(default)]
    body: Value,
    status: u16,
    /// The fields that the provider reads; absent if it reads only the status.
    #[serde(default, rename = "answer")]
    response: Value,
}

/// Whether our response has all fields of the recorded one; null means that no field is read.
fn includes(ours: &Value, recorded: &Value) -> bool {
    match (ours, recorded) {
        (_, Value::Null) => true,
        (Value::Array(ours), Value::Array(recorded)) => {
            ours.len() == recorded.len()
                && ours.iter().zip(recorded).all(|(ours, recorded)| includes(ours, recorded))
        }
        (Value::Object(ours), Value::Object(recorded)) => {
            recorded.iter().all(|(key, recorded)| ours.get(key).is_some_and(|ours| includes(ours, recorded)))
        }
        _ => ours == recorded,
    }
}

struct Replay {
    app: TestApp,
    ids: Replacements,
}

impl Replay {
    /// Maps the recorded ID of a created or listed object to ours.
    fn learn_id(&mut self, recorded: &Value, ours: &Value) {
        let [recorded, ours] =
            [recorded, ours].map(|response| response["data"].get(0).unwrap_or(response)["id"].as_str());
        if let (Some(recorded), Some(ours)) = (recorded, ours)
            && recorded != ours
        {
            self.ids.add(recorded, ours);
        }
    }

    async fn send(&self, exchange: &Exchange) -> TestResponse {
        let method: Method = exchange.method.parse().unwrap();
        let call = self.app.call(method, &self.ids.in_text(&exchange.path));
        if exchange.body.is_null() {
            return call.send().await;
        }
        call.json(&self.ids.in_json(&exchange.body)).send().await
    }

    async fn exchange(&mut self, exchange: &Exchange) {
        let reads_cluster = exchange.method == "GET" && exchange.path.starts_with("/v3/clusters/");
        let transitional = ["provisioning", "updating", "removing"];
        let mut waited = Duration::ZERO;
        loop {
            let response = self.send(exchange).await;
            let ours = if response.body.is_empty() { Value::Null } else { response.json() };
            let may_have_new_id = exchange.method != "GET" || exchange.path.contains('?');
            if response.status == exchange.status && may_have_new_id {
                self.learn_id(&exchange.response, &ours);
            }
            let expected = self.ids.in_json(&exchange.response);
            let state = ours["state"].as_str().unwrap_or_default();
            if response.status == exchange.status
                && (includes(&ours, &expected)
                    // The worker may be faster than in the recording.
                    || reads_cluster && transitional.contains(&expected["state"].as_str().unwrap_or_default()))
            {
                return;
            }
            let Exchange { step, method, path, status, .. } = exchange;
            assert!(
                reads_cluster && transitional.contains(&state) && waited < TIMEOUT,
                "step {step}, {method} {path}: {} instead of {status} {expected}: {}",
                response.status,
                response.text()
            );
            self.app.advance(POLL_INTERVAL).await;
            waited += POLL_INTERVAL;
        }
    }
}

async fn replay(scenario: &str) {
    let app = TestApp::builder().setting("NORMAN_AKS_SERVER_URL", super::BASE).start().await;
    app.token("ann").await;
    let mut replay = Replay { app, ids: Replacements::default() };
    let exchanges: Vec<Exchange> = fixtures::json(&format!("terraform/{scenario}.json"));
    for exchange in &exchanges {
        replay.exchange(exchange).await;
    }
    let clusters = replay.app.get("/v3/clusters").send().await.json();
    assert_eq!(clusters["data"], serde_json::json!([]));
    let pending = replay.app.get("/api/v1/cloudcredentials/pending").send().await.json();
    assert_eq!(pending["cloudCredentials"], serde_json::json!([]), "every secret is erased");
}

#[tokio::test]
async fn deleted_credential_is_replaced_in_one_apply() {
    replay("credential-switched").await;
}

#[tokio::test]
async fn members_are_created_changed_and_replaced() {
    replay("members").await;
}
