//! What the unmodified `rancher2` provider of Terraform sent, sent again in the recorded order, and every answer looked at with
//! the provider's eyes: `rules.rs` says what it reads, and what would be a difference in its next plan.

mod recorded;
mod rules;

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use kube::config::Kubeconfig;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::app::{Answer, TestApp};
use crate::support::fixtures;

/// How the recording writes the server's address, and how this server does.
const RECORDED_BASE: &str = "http://rancher.test";
const BASE: &str = "https://norman.test";

/// How long a create, an update or a delete may take.
const PATIENCE: Duration = Duration::from_mins(30);

/// The pause between two looks of the provider.
const PAUSE: Duration = Duration::from_secs(10);

#[derive(Clone, Deserialize)]
struct Exchange {
    scenario: String,
    step: String,
    n: u32,
    request: Asked,
    answer: Recorded,
}

#[derive(Clone, Deserialize)]
struct Asked {
    method: String,
    path: String,
    #[serde(default)]
    body: Value,
}

#[derive(Clone, Deserialize)]
struct Recorded {
    status: u16,
    #[serde(default)]
    body: Value,
}

/// The exchanges of a scenario, with every answer in full.
fn recorded(scenario: &str) -> Vec<Exchange> {
    let all: Vec<Exchange> = fixtures::json("terraform/terraform.json");
    let schemas = all.iter().find(|one| one.request.path == "/v3/schemas").unwrap().answer.body.clone();
    let mut mine: Vec<_> = all.into_iter().filter(|one| one.scenario == scenario).collect();
    for at in 0..mine.len() {
        let Some(reference) = mine[at].answer.body.as_str().filter(|text| text.starts_with("(as ")) else {
            continue;
        };
        let number = reference.strip_prefix("(as in n=").and_then(|rest| rest.split(' ').next());
        mine[at].answer.body = match number {
            Some(number) => {
                let earlier = mine.iter().find(|one| one.n.to_string() == number).unwrap();
                earlier.answer.body.clone()
            }
            None => schemas.clone(),
        };
    }
    assert!(!mine.is_empty(), "{scenario}");
    mine
}

/// What the provider waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Steady,
    Creating,
    Updating,
    Removing,
}

impl Phase {
    /// Whether the wait goes on, or ends well, with that state.
    fn takes(self, state: &str) -> bool {
        match self {
            Self::Steady => state == "active",
            Self::Creating => true,
            Self::Updating => ["updating", "upgrading", "active"].contains(&state),
            Self::Removing => state == "removing",
        }
    }
}

struct Replay {
    app: TestApp,
    /// Recorded texts, and what stands for them here.
    names: Vec<(String, String)>,
    /// What was written last, and what was read last, by the kind of object.
    written: BTreeMap<&'static str, Value>,
    read: BTreeMap<&'static str, Value>,
    kubeconfig_token: String,
    phase: Phase,
    wrong: Vec<String>,
}

impl Replay {
    async fn new() -> Self {
        let app = TestApp::with().setting("NORMAN_AKS_SERVER_URL", BASE).start().await;
        let seed = &app.seed;
        let names = [
            (RECORDED_BASE, BASE),
            ("11111111-1111-4111-8111-111111111111", seed.client_id),
            ("22222222-2222-4222-8222-222222222222", seed.subscription_id),
            ("33333333-3333-4333-8333-333333333333", seed.tenant_id),
            ("first-secret", seed.client_secret),
            ("second-secret", seed.client_secret_2),
            ("1.31.8", seed.kubernetes_version),
            ("1.32.5", seed.kubernetes_version_2),
            ("already-there", seed.imported_cluster_name),
            ("\"eastus\"", &format!("\"{}\"", seed.location)),
            ("\"tfs-group\"", &format!("\"{}\"", seed.resource_group)),
            ("\"tfs-vnet\"", &format!("\"{}\"", seed.virtual_network)),
            ("\"tfs-subnet\"", &format!("\"{}\"", seed.subnet)),
            ("\"tfs-logs\"", &format!("\"{}\"", seed.log_workspace)),
        ]
        .map(|(recorded, ours)| (recorded.to_owned(), ours.to_owned()));
        Self {
            names: names.into(),
            app,
            written: BTreeMap::new(),
            read: BTreeMap::new(),
            kubeconfig_token: String::new(),
            phase: Phase::Steady,
            wrong: Vec::new(),
        }
    }

    fn text(&self, recorded: &str) -> String {
        self.names.iter().fold(recorded.to_owned(), |text, (recorded, ours)| text.replace(recorded, ours))
    }

    fn value(&self, recorded: &Value) -> Value {
        serde_json::from_str(&self.text(&recorded.to_string())).unwrap()
    }

    async fn scenario(mut self, exchanges: &[Exchange]) {
        for exchange in exchanges {
            let wrong = self.exchange(exchange).await;
            let Exchange { step, n, request, .. } = exchange;
            let place = format!("step {step}, n={n}, {} {}", request.method, request.path);
            self.wrong.extend(wrong.into_iter().map(|what| format!("{place}: {what}")));
            assert!(self.wrong.len() < 20, "{}", self.wrong.join("\n"));
        }
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        let left = self.app.get("/v3/clusters").send().await.json();
        assert_eq!(left["data"], json!([]));
    }

    /// Sends one request, and waits as the provider does; what is wrong about the answer.
    async fn exchange(&mut self, exchange: &Exchange) -> Vec<String> {
        let path = self.text(&exchange.request.path);
        let method: Method = exchange.request.method.parse().unwrap();
        let kind = kind_of(&path);
        let mut body = self.value(&exchange.request.body);
        if method == Method::PUT {
            self.put_what_the_state_has(kind, &mut body);
        }
        let expected = self.value(&exchange.answer.body);
        let mut waited = Duration::ZERO;
        let answer = loop {
            let answer = self.send(&method, &path, &body).await;
            let ends = exchange.answer.status == 404 || expected["state"] == "active";
            let waits = kind == "cluster" && method == Method::GET && self.phase != Phase::Steady && ends;
            if !waits
                || answer.status == exchange.answer.status && answer.json()["state"] == expected["state"]
            {
                break answer;
            }
            if answer.status != 200 {
                return vec![format!("{} while waiting: {}", answer.status, answer.text())];
            }
            let now = answer.json();
            if !self.phase.takes(now["state"].as_str().unwrap_or_default()) {
                return vec![format!("{} ends a wait for {:?}", now["state"], self.phase)];
            }
            if waited >= PATIENCE {
                return vec![format!("never {}: {}", expected["state"], now["transitioningMessage"])];
            }
            self.app.pass(PAUSE).await;
            waited += PAUSE;
        };
        if answer.status != exchange.answer.status {
            return vec![format!(
                "{} instead of {}: {}",
                answer.status,
                exchange.answer.status,
                answer.text()
            )];
        }
        self.looked_at(exchange, kind, &method, &path, body, &answer)
    }

    async fn send(&self, method: &Method, path: &str, body: &Value) -> Answer {
        let call = self.app.call(method.clone(), path);
        let call = if path == "/ping" { call.anonymous() } else { call };
        let call = if path.starts_with("/k8s/") { call.token(&self.kubeconfig_token) } else { call };
        if body.is_null() { call.send().await } else { call.json(body).send().await }
    }

    /// What is wrong with an answer of the right status.
    fn looked_at(
        &mut self,
        exchange: &Exchange,
        kind: &'static str,
        method: &Method,
        path: &str,
        body: Value,
        answer: &Answer,
    ) -> Vec<String> {
        if kind == "ping" {
            return rules::same("the body", &json!(answer.text()), &json!("pong"));
        }
        if exchange.answer.status == 404 || method == Method::DELETE && kind == "cloudCredential" {
            self.phase = Phase::Steady;
            return Vec::new();
        }
        let (ours, expected) = (answer.json(), &exchange.answer.body);
        if method == Method::POST || method == Method::PUT {
            self.learn(expected, &ours);
        }
        let expected = self.value(expected);
        let wrong = match kind {
            "root" => rules::root(answer.header("x-api-schemas"), BASE),
            "schemas" => rules::schemas(&ours, &expected),
            "setting" => rules::setting(&ours, &expected),
            "nodeDriver" => rules::node_driver(&ours),
            "clusterRegistrationToken" => rules::registration_token(&ours, &expected),
            "projects" => rules::projects(&ours, &expected),
            "token" => rules::token(&ours, &expected),
            "version" => rules::version(&ours),
            "kubeconfig" => self.kubeconfig(&ours, &expected),
            "cluster" | "cloudCredential" => self.object(kind, method, body, ours, &expected),
            other => panic!("{other}: nobody knows what is read of {path}"),
        };
        wrong.into_iter().collect()
    }

    /// An answer about a cluster or a credential, against what was written last.
    fn object(
        &mut self,
        kind: &'static str,
        method: &Method,
        body: Value,
        ours: Value,
        expected: &Value,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        match *method {
            Method::POST | Method::PUT => {
                self.phase = if *method == Method::POST { Phase::Creating } else { Phase::Updating };
                self.written.insert(kind, body);
            }
            Method::DELETE => self.phase = Phase::Removing,
            _ => {}
        }
        let written = &self.written[kind];
        if kind == "cluster" {
            wrong.extend(rules::cluster(&ours, written));
            if *method == Method::GET {
                let state = ours["state"].as_str().unwrap_or_default();
                if !self.phase.takes(state) {
                    wrong.push(format!("{state:?} in a wait for {:?}", self.phase));
                }
                if state == "active" {
                    wrong.extend(rules::applied(&ours, written));
                    self.phase = Phase::Steady;
                }
            } else if ours["state"] != "active" || !rules::applied(&ours, written).is_empty() {
                // A PUT with nothing for Azure to do has nothing to wait for.
                wrong.extend(rules::same("state", &ours["state"], &expected["state"]));
            }
        } else {
            wrong.extend(rules::credential(&ours, written));
            self.phase = Phase::Steady;
        }
        wrong.extend(rules::same("id", &ours["id"], &expected["id"]));
        self.read.insert(kind, ours);
        wrong
    }

    /// The ids of what was made.
    fn learn(&mut self, recorded: &Value, ours: &Value) {
        let (Some(recorded), Some(ours)) = (recorded["id"].as_str(), ours["id"].as_str()) else { return };
        if !self.names.iter().any(|(known, _)| known == recorded) {
            self.names.push((recorded.to_owned(), ours.to_owned()));
        }
    }

    /// A kubeconfig, whose token is used from now on.
    fn kubeconfig(&mut self, ours: &Value, expected: &Value) -> Vec<String> {
        let server_and_token = |answer: &Value| {
            let config = Kubeconfig::from_yaml(answer["config"].as_str()?).ok()?;
            let name = config.current_context?;
            let context = config.contexts.into_iter().find(|context| context.name == name)?.context?;
            let cluster = config.clusters.into_iter().find(|one| one.name == context.cluster)?.cluster?;
            // The provider takes the first user, whatever its name.
            let user = config.auth_infos.into_iter().next()?.auth_info?;
            Some((cluster.server?, user.token?.expose_secret().to_owned()))
        };
        let (server, recorded) = server_and_token(expected).unwrap();
        let Some((our_server, token)) = server_and_token(ours) else {
            return vec![format!("no use as a kubeconfig: {ours}")];
        };
        let name = |token: &str| token.split_once(':').map(|(name, _)| name.to_owned());
        let Some(ours) = name(&token) else { return vec!["a token without a colon".to_owned()] };
        self.names.push((name(&recorded).unwrap(), ours));
        self.kubeconfig_token = token;
        rules::same("server", &json!(our_server), &json!(server))
    }

    /// In a PUT the provider repeats what it has read, also what this server says and the recorded one did not.
    fn put_what_the_state_has(&self, kind: &str, body: &mut Value) {
        let (read, written) = (&self.read[kind], body.as_object_mut().unwrap());
        for key in ["annotations", "labels"] {
            let map = written[key].as_object_mut().unwrap();
            map.retain(|key, _| !rules::is_of_the_server(key));
            let known = read[key].as_object().unwrap().iter().filter(|(key, _)| rules::is_of_the_server(key));
            map.extend(known.map(|(key, value)| (key.clone(), value.clone())));
        }
        for key in rules::READ_TEXTS {
            if written.contains_key(key) {
                written.insert(key.to_owned(), json!(read[key].as_str().unwrap_or_default()));
            }
        }
        if let Some(config) = written.get_mut("aksConfig").and_then(Value::as_object_mut)
            && config.get("imported").is_none()
        {
            for key in rules::filled_in(&read["aksConfig"]) {
                config.entry(key).or_insert_with(|| read["aksConfig"][key].clone());
            }
        }
    }
}

/// What kind of thing is asked for.
fn kind_of(path: &str) -> &'static str {
    let (bare, query) = path.split_once('?').unwrap_or((path, ""));
    let mut segments = bare.trim_start_matches('/').split('/');
    match (segments.next().unwrap(), segments.next(), query) {
        ("ping", ..) => "ping",
        ("k8s", ..) => "version",
        ("v3", None, _) => "root",
        ("v3", Some("schemas"), _) => "schemas",
        ("v3", Some("settings"), _) => "setting",
        ("v3", Some("nodedrivers"), _) => "nodeDriver",
        ("v3", Some("clusters"), "action=generateKubeconfig") => "kubeconfig",
        ("v3", Some("clusters"), _) => "cluster",
        ("v3", Some("cloudcredentials" | "cloudCredentials"), _) => "cloudCredential",
        ("v3", Some("clusterregistrationtokens"), _) => "clusterRegistrationToken",
        ("v3", Some("projects"), _) => "projects",
        ("v3", Some("tokens"), _) => "token",
        _ => panic!("{path} has never been seen"),
    }
}

async fn replayed(scenario: &str) {
    Replay::new().await.scenario(&recorded(scenario)).await;
}

#[tokio::test]
async fn a_credential_from_its_making_to_its_end() {
    replayed("credential").await;
}

#[tokio::test]
async fn a_small_cluster_from_its_making_to_its_end() {
    replayed("aks-minimal").await;
}

#[tokio::test]
async fn a_cluster_with_everything_from_its_making_to_its_end() {
    replayed("aks-full").await;
}

#[tokio::test]
async fn an_imported_cluster_from_its_making_to_its_end() {
    replayed("aks-imported").await;
}
