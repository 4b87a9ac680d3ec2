//! Scenarios that were recorded between the unmodified provider and this server (`tests/fixtures/terraform`): the requests that
//! matter, sent again in their order, and the fields of the answers that the provider reads. Start-up, kubeconfigs and what is
//! read around clusters are in the other recordings.

use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::{PATIENCE, PAUSE};
use crate::support::app::{Answer, TestApp};
use crate::support::fixtures;

#[derive(Deserialize)]
struct Exchange {
    step: String,
    method: String,
    path: String,
    #[serde(default)]
    body: Value,
    status: u16,
    /// The fields that are read; absent when only the status counts.
    #[serde(default)]
    answer: Value,
}

/// The ids of one run, and what stands for them in the other.
#[derive(Default)]
struct Ids(Vec<(String, String)>);

impl Ids {
    fn in_text(&self, recorded: &str) -> String {
        self.0.iter().fold(recorded.to_owned(), |text, (recorded, ours)| text.replace(recorded, ours))
    }

    fn in_value(&self, recorded: &Value) -> Value {
        serde_json::from_str(&self.in_text(&recorded.to_string())).unwrap()
    }

    /// Learns the ids of objects that are new: of what was created, and of what a list shows.
    fn learn(&mut self, recorded: &Value, ours: &Value) {
        let first =
            |answer: &Value| answer["data"].get(0).unwrap_or(answer)["id"].as_str().map(str::to_owned);
        if let (Some(recorded), Some(ours)) = (first(recorded), first(ours))
            && self.in_text(&recorded) != ours
        {
            self.0.push((recorded, ours));
        }
    }
}

/// Whether our answer has everything that the recorded one has; null is an answer of which nothing is read.
fn includes(ours: &Value, recorded: &Value) -> bool {
    match (ours, recorded) {
        (_, Value::Null) => true,
        (Value::Array(ours), Value::Array(recorded)) => {
            ours.len() == recorded.len() && ours.iter().zip(recorded).all(|(ours, it)| includes(ours, it))
        }
        (Value::Object(ours), Value::Object(recorded)) => {
            recorded.iter().all(|(key, it)| ours.get(key).is_some_and(|ours| includes(ours, it)))
        }
        _ => ours == recorded,
    }
}

struct Replay {
    app: TestApp,
    ids: Ids,
}

impl Replay {
    async fn send(&self, exchange: &Exchange) -> Answer {
        let method: Method = exchange.method.parse().unwrap();
        let call = self.app.call(method, &self.ids.in_text(&exchange.path));
        if exchange.body.is_null() {
            return call.send().await;
        }
        call.json(&self.ids.in_value(&exchange.body)).send().await
    }

    async fn exchange(&mut self, exchange: &Exchange) {
        let is_cluster = exchange.method == "GET" && exchange.path.starts_with("/v3/clusters/");
        let passing = ["provisioning", "updating", "removing"];
        let mut waited = Duration::ZERO;
        loop {
            let answer = self.send(exchange).await;
            let ours = if answer.body.is_empty() { Value::Null } else { answer.json() };
            if answer.status == exchange.status && exchange.method != "GET" || exchange.path.contains('?') {
                self.ids.learn(&exchange.answer, &ours);
            }
            let expected = self.ids.in_value(&exchange.answer);
            let state = ours["state"].as_str().unwrap_or_default();
            if answer.status == exchange.status
                && (includes(&ours, &expected)
                    // The worker of a test has no hurry, and may be done already.
                    || is_cluster && passing.contains(&expected["state"].as_str().unwrap_or_default()))
            {
                return;
            }
            let Exchange { step, method, path, status, .. } = exchange;
            assert!(
                is_cluster && passing.contains(&state) && waited < PATIENCE,
                "step {step}, {method} {path}: {} instead of {status} {expected}: {}",
                answer.status,
                answer.text()
            );
            self.app.pass(PAUSE).await;
            waited += PAUSE;
        }
    }
}

async fn replayed(scenario: &str) {
    let app = TestApp::with().setting("NORMAN_AKS_SERVER_URL", super::BASE).start().await;
    app.token("ann").await;
    let mut replay = Replay { app, ids: Ids::default() };
    let exchanges: Vec<Exchange> = fixtures::json(&format!("terraform/{scenario}.json"));
    for exchange in &exchanges {
        replay.exchange(exchange).await;
    }
    let left = replay.app.get("/v3/clusters").send().await.json();
    assert_eq!(left["data"], serde_json::json!([]));
    let pending = replay.app.get("/api/v1/cloudcredentials/pending").send().await.json();
    assert_eq!(pending["cloudCredentials"], serde_json::json!([]), "every secret is erased");
}

#[tokio::test]
async fn deleted_credential_is_replaced_in_one_apply() {
    replayed("credential-switched").await;
}

#[tokio::test]
async fn members_are_created_changed_and_replaced() {
    replayed("members").await;
}
