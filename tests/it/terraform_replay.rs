//! Replays recorded requests of the unmodified `rancher2` provider of Terraform, and checks each response as the provider
//! would. `checks.rs` checks the fields that the provider reads, and that its next plan would show no differences.

mod checks;
mod go_client;
mod recorded;
mod replacements;

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use kube::config::Kubeconfig;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};

use self::replacements::Replacements;
use crate::support::app::{TestApp, TestResponse};
use crate::support::fixtures;

/// The server's URL in the recording, and in this test.
const RECORDED_BASE: &str = "http://rancher.test";
const BASE: &str = "https://norman.test";

/// Timeout of creating, updating or deleting, on the clock of the server.
const TIMEOUT: Duration = Duration::from_mins(30);

/// Polling interval of the provider.
const POLL_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Clone, Deserialize)]
struct Exchange {
    scenario: String,
    step: String,
    n: u32,
    request: Request,
    #[serde(rename = "answer")]
    response: Response,
}

#[derive(Clone, Deserialize)]
struct Request {
    method: String,
    path: String,
    #[serde(default)]
    body: Value,
}

#[derive(Clone, Deserialize)]
struct Response {
    status: u16,
    #[serde(default)]
    body: Value,
}

/// The exchanges of a scenario, with references to equal responses resolved.
fn read_scenario(scenario: &str) -> Vec<Exchange> {
    let all: Vec<Exchange> = fixtures::json("terraform/terraform.json");
    let schemas =
        all.iter().find(|exchange| exchange.request.path == "/v3/schemas").unwrap().response.body.clone();
    let mut exchanges: Vec<_> = all.into_iter().filter(|exchange| exchange.scenario == scenario).collect();
    for index in 0..exchanges.len() {
        let Some(reference) = exchanges[index].response.body.as_str().filter(|text| text.starts_with("(as "))
        else {
            continue;
        };
        let earlier_number = reference.strip_prefix("(as in n=").and_then(|text| text.split(' ').next());
        // References without a number are to the schemas.
        exchanges[index].response.body = match earlier_number {
            Some(number) => {
                let earlier = exchanges.iter().find(|exchange| exchange.n.to_string() == number).unwrap();
                earlier.response.body.clone()
            }
            None => schemas.clone(),
        };
    }
    assert!(!exchanges.is_empty(), "{scenario}");
    exchanges
}

/// The state that the provider waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    NotWaiting,
    Creating,
    Updating,
    Removing,
}

impl Phase {
    /// Whether the state is valid while waiting, or ends the wait successfully.
    fn accepts(self, state: &str) -> bool {
        match self {
            Self::NotWaiting => state == "active",
            Self::Creating => true,
            Self::Updating => ["updating", "upgrading", "active"].contains(&state),
            Self::Removing => state == "removing",
        }
    }
}

struct Replay {
    app: TestApp,
    /// Recorded strings and their replacements.
    replacements: Replacements,
    /// The objects that the provider wrote last and read last, by kind.
    written: BTreeMap<&'static str, Value>,
    read: BTreeMap<&'static str, Value>,
    kubeconfig_token: String,
    phase: Phase,
    problems: Vec<String>,
}

impl Replay {
    async fn new() -> Self {
        let app = TestApp::builder().setting("NORMAN_AKS_SERVER_URL", BASE).start().await;
        let seed = &app.seed;
        let mut replacements = Replacements::default();
        for (recorded, ours) in [
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
        ] {
            replacements.add(recorded, ours);
        }
        Self {
            replacements,
            app,
            written: BTreeMap::new(),
            read: BTreeMap::new(),
            kubeconfig_token: String::new(),
            phase: Phase::NotWaiting,
            problems: Vec::new(),
        }
    }

    async fn run(mut self, exchanges: &[Exchange]) {
        for exchange in exchanges {
            let problems = self.exchange(exchange).await;
            let Exchange { step, n, request: Request { method, path, .. }, .. } = exchange;
            let request = format!("step {step}, n={n}, {method} {path}");
            self.problems.extend(problems.into_iter().map(|problem| format!("{request}: {problem}")));
            assert!(self.problems.len() < 20, "{}", self.problems.join("\n"));
        }
        assert!(self.problems.is_empty(), "{}", self.problems.join("\n"));
        let clusters = self.app.get("/v3/clusters").send().await.json();
        assert_eq!(clusters["data"], json!([]));
    }

    /// Replays an exchange, and waits as the provider does; returns the problems.
    async fn exchange(&mut self, exchange: &Exchange) -> Vec<String> {
        let path = self.replacements.in_text(&exchange.request.path);
        let method: Method = exchange.request.method.parse().unwrap();
        let kind = kind_of(&path);
        let mut body = self.replacements.in_json(&exchange.request.body);
        if method == Method::PUT {
            self.repeat_state(kind, &mut body);
        }
        let expected = self.replacements.in_json(&exchange.response.body);
        let mut waited = Duration::ZERO;
        let response = loop {
            let response = self.send(&method, &path, &body).await;
            let ends_wait = exchange.response.status == 404 || expected["state"] == "active";
            let is_waiting =
                kind == "cluster" && method == Method::GET && self.phase != Phase::NotWaiting && ends_wait;
            if !is_waiting
                || response.status == exchange.response.status
                    && response.json()["state"] == expected["state"]
            {
                break response;
            }
            if response.status != 200 {
                return vec![format!("{} while waiting: {}", response.status, response.text())];
            }
            let cluster = response.json();
            if !self.phase.accepts(cluster["state"].as_str().unwrap_or_default()) {
                return vec![format!("{} ends a wait for {:?}", cluster["state"], self.phase)];
            }
            if waited >= TIMEOUT {
                return vec![format!("never {}: {}", expected["state"], cluster["transitioningMessage"])];
            }
            self.app.advance(POLL_INTERVAL).await;
            waited += POLL_INTERVAL;
        };
        if response.status != exchange.response.status {
            return vec![format!(
                "{} instead of {}: {}",
                response.status,
                exchange.response.status,
                response.text()
            )];
        }
        self.check(exchange, kind, &method, &path, body, &response)
    }

    async fn send(&self, method: &Method, path: &str, body: &Value) -> TestResponse {
        let call = self.app.call(method.clone(), path);
        let call = if path == "/ping" { call.anonymous() } else { call };
        let call = if path.starts_with("/k8s/") { call.token(&self.kubeconfig_token) } else { call };
        if body.is_null() { call.send().await } else { call.json(body).send().await }
    }

    /// Checks a response of the expected status.
    fn check(
        &mut self,
        exchange: &Exchange,
        kind: &'static str,
        method: &Method,
        path: &str,
        body: Value,
        response: &TestResponse,
    ) -> Vec<String> {
        if kind == "ping" {
            return checks::check_equal("the body", &json!(response.text()), &json!("pong"));
        }
        if exchange.response.status == 404 || method == Method::DELETE && kind == "cloudCredential" {
            self.phase = Phase::NotWaiting;
            return Vec::new();
        }
        let (ours, expected) = (response.json(), &exchange.response.body);
        if method == Method::POST || method == Method::PUT {
            self.learn_id(expected, &ours);
        }
        let expected = self.replacements.in_json(expected);
        let problems = match kind {
            "root" => checks::check_root(response.header("x-api-schemas"), BASE),
            "schemas" => checks::check_schemas(&ours, &expected),
            "setting" => checks::check_setting(&ours, &expected),
            "nodeDriver" => checks::check_node_driver(&ours),
            "clusterRegistrationToken" => checks::check_registration_token(&ours, &expected),
            "projects" => checks::check_projects(&ours, &expected),
            "token" => checks::check_token(&ours, &expected),
            "version" => checks::check_version(&ours),
            "kubeconfig" => self.check_kubeconfig(&ours, &expected),
            "cluster" | "cloudCredential" => self.check_object(kind, method, body, ours, &expected),
            other => panic!("{other}: unknown kind of {path}"),
        };
        problems.into_iter().collect()
    }

    /// Compares a cluster or a credential with what was written last.
    fn check_object(
        &mut self,
        kind: &'static str,
        method: &Method,
        body: Value,
        ours: Value,
        expected: &Value,
    ) -> Vec<String> {
        let mut problems = Vec::new();
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
            problems.extend(checks::check_cluster(&ours, written));
            if *method == Method::GET {
                let state = ours["state"].as_str().unwrap_or_default();
                if !self.phase.accepts(state) {
                    problems.push(format!("{state:?} in a wait for {:?}", self.phase));
                }
                if state == "active" {
                    problems.extend(checks::check_applied(&ours, written));
                    self.phase = Phase::NotWaiting;
                }
            } else if ours["state"] != "active" || !checks::check_applied(&ours, written).is_empty() {
                // A PUT that changes nothing in Azure does not wait.
                problems.extend(checks::check_equal("state", &ours["state"], &expected["state"]));
            }
        } else {
            problems.extend(checks::check_credential(&ours, written));
            self.phase = Phase::NotWaiting;
        }
        problems.extend(checks::check_equal("id", &ours["id"], &expected["id"]));
        self.read.insert(kind, ours);
        problems
    }

    /// Maps the recorded ID of a new object to ours.
    fn learn_id(&mut self, recorded: &Value, ours: &Value) {
        let (Some(recorded), Some(ours)) = (recorded["id"].as_str(), ours["id"].as_str()) else { return };
        self.replacements.add(recorded, ours);
    }

    /// Checks a kubeconfig, and uses its token from now on.
    fn check_kubeconfig(&mut self, ours: &Value, expected: &Value) -> Vec<String> {
        let server_and_token = |response: &Value| {
            let config = Kubeconfig::from_yaml(response["config"].as_str()?).ok()?;
            let name = config.current_context?;
            let context = config.contexts.into_iter().find(|context| context.name == name)?.context?;
            let cluster =
                config.clusters.into_iter().find(|cluster| cluster.name == context.cluster)?.cluster?;
            // The provider uses the first user.
            let user = config.auth_infos.into_iter().next()?.auth_info?;
            Some((cluster.server?, user.token?.expose_secret().to_owned()))
        };
        let (server, recorded_token) = server_and_token(expected).unwrap();
        let Some((our_server, token)) = server_and_token(ours) else {
            return vec![format!("not a kubeconfig: {ours}")];
        };
        let token_name = |token: &str| token.split_once(':').map(|(name, _)| name.to_owned());
        let Some(our_name) = token_name(&token) else { return vec!["a token without a colon".to_owned()] };
        self.replacements.add(&token_name(&recorded_token).unwrap(), &our_name);
        self.kubeconfig_token = token;
        checks::check_equal("server", &json!(our_server), &json!(server))
    }

    /// Replaces the values that the provider repeats from its state by those that this server returned.
    fn repeat_state(&self, kind: &str, body: &mut Value) {
        let (read, written) = (&self.read[kind], body.as_object_mut().unwrap());
        for key in ["annotations", "labels"] {
            let entries = written[key].as_object_mut().unwrap();
            entries.retain(|key, _| !checks::is_ignored_key(key));
            let ignored =
                read[key].as_object().unwrap().iter().filter(|(key, _)| checks::is_ignored_key(key));
            entries.extend(ignored.map(|(key, value)| (key.clone(), value.clone())));
        }
        for key in checks::REPEATED_STRINGS {
            if written.contains_key(key) {
                written.insert(key.to_owned(), json!(read[key].as_str().unwrap_or_default()));
            }
        }
        if let Some(config) = written.get_mut("aksConfig").and_then(Value::as_object_mut)
            && config.get("imported").is_none()
        {
            for key in checks::computed_keys(&read["aksConfig"]) {
                config.entry(key).or_insert_with(|| read["aksConfig"][key].clone());
            }
        }
    }
}

/// The kind of object of a path.
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
        _ => panic!("unknown path {path}"),
    }
}

async fn replay(scenario: &str) {
    Replay::new().await.run(&read_scenario(scenario)).await;
}

#[tokio::test]
async fn provider_manages_a_credential() {
    replay("credential").await;
}

#[tokio::test]
async fn provider_manages_a_minimal_cluster() {
    replay("aks-minimal").await;
}

#[tokio::test]
async fn provider_manages_a_full_cluster() {
    replay("aks-full").await;
}

#[tokio::test]
async fn provider_manages_an_imported_cluster() {
    replay("aks-imported").await;
}
