//! Replays the recorded exchanges of two real Ranchers to the server, and compares its responses with theirs.
//!
//! The recordings contain Rancher's responses, but not Azure's lists: the sandbox serves a list of versions that leads to
//! Rancher's response. The comparison of a 200 therefore proves who gets a list, and that its format is Rancher's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use azure_sandbox::{Login, Outcome, Page};
use http::{HeaderMap, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::app::{BesideApp, DECISION_TTL};
use super::rancher::{self, FakeRancher, RecordedRequest};
use crate::support::advance_time;
use crate::support::app::TestResponse;
use crate::support::fixtures;

/// The subscription of every recorded credential.
const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";

#[derive(Deserialize)]
struct Recording {
    cases: Vec<Value>,
}

/// A recorded exchange.
#[derive(Clone, Debug, Deserialize)]
struct Case {
    id: String,
    request: CaseRequest,
    #[serde(rename = "answer")]
    response: RecordedResponse,
}

#[derive(Clone, Debug, Deserialize)]
struct CaseRequest {
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
struct RecordedResponse {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, Value>,
    #[serde(default)]
    body: Value,
}

/// `Authorization` and the cookie `R_SESS`.
type Session = (Option<String>, Option<String>);

impl Case {
    fn session(&self) -> Session {
        // Whitespace at the end of a header is stripped on the way.
        let header = |name: &str| self.request.headers.get(name).map(|value| value.trim_end().to_owned());
        (header("Authorization"), header("Cookie").and_then(|cookies| r_sess(&cookies)))
    }

    /// Whether Rancher accepted the token.
    fn is_authenticated(&self) -> bool {
        self.response.header("X-Api-Cattle-Auth") == "true"
    }

    fn is_meta(&self) -> bool {
        self.request.path.starts_with("/meta")
    }

    /// The ID without its last part, which groups the cases about one caller or one ID.
    fn group(&self) -> &str {
        self.id.rsplit_once('/').map_or("", |(group, _)| group)
    }
}

impl RecordedResponse {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn body(&self) -> &str {
        self.body.as_str().unwrap_or_default()
    }

    fn to_response(&self) -> Response<Body> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(name, value.as_str().unwrap());
        }
        response.body(Body::from(self.body().to_owned())).unwrap()
    }
}

fn r_sess(cookies: &str) -> Option<String> {
    cookies.split("; ").find_map(|pair| pair.strip_prefix("R_SESS=")).map(str::to_owned)
}

fn session_of(headers: &HeaderMap) -> Session {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    (header("authorization"), header("cookie").and_then(|cookies| r_sess(&cookies)))
}

/// A Rancher that plays the recorded responses.
struct Player {
    cases: Vec<Case>,
    /// Credentials as Kubernetes Secrets: one with a tenant, and one whose tenant Rancher discovered.
    secret: Value,
    secret_no_tenant: Value,
    no_tenant_id: String,
    /// The index of the case whose requests are expected.
    current: Mutex<Option<usize>>,
}

impl Player {
    fn read(file: &str) -> Self {
        let recording: Recording = fixtures::json(file);
        let state: Value = fixtures::json::<Value>(file)["world"].clone();
        let object =
            |id: &str| recording.cases.iter().find(|case| case["id"] == id).unwrap()["kubernetes"].clone();
        Self {
            secret: object("objects/secret"),
            secret_no_tenant: object("objects/secret-no-tenant"),
            no_tenant_id: state["noTenant"].as_str().unwrap().to_owned(),
            cases: recording.cases.iter().filter_map(|case| Case::deserialize(case).ok()).collect(),
            current: Mutex::default(),
        }
    }

    fn case(&self, id: &str) -> &Case {
        self.cases.iter().find(|case| case.id == id).unwrap_or_else(|| panic!("{id} was not recorded"))
    }

    fn respond(&self, request: &RecordedRequest) -> Response<Body> {
        let case = &self.cases[self.current.lock().unwrap().expect("a case is current")];
        // Every request must have the session of the caller.
        if session_of(&request.headers) != case.session() {
            return rancher::text(599, false, "not the session of the caller");
        }
        let path = request.path.as_str();
        if path == "/rancherversion" {
            let who = if case.is_authenticated() { "owner" } else { "none" };
            return self.case(&format!("public/{who}/rancherversion")).response.to_response();
        }
        if path.starts_with("/v1/secrets/") {
            return self.secret_response(case, path);
        }
        let impersonated = case.request.headers.get("Impersonate-User").map_or("", String::as_str);
        let is_same = request.method == case.request.method.as_str()
            && path == case.request.path
            && request.header("impersonate-user") == impersonated;
        if is_same {
            case.response.to_response()
        } else {
            rancher::text(598, false, "not the request of the caller")
        }
    }

    /// The response to `/v1/secrets/<namespace>/<name>`: recorded, or derived. The recordings contain this path for few callers,
    /// but `/v3/cloudCredentials` for most, and Norman and Steve agree: both reject a token with 401; Steve shows every object
    /// that Norman shows; a 403 and Kubernetes' 404 are the same in both. For a Secret that is not a credential, only Norman
    /// returns 404. If neither was recorded, the response follows from that of `/meta`: 422 means that the Secret may not be read.
    fn secret_response(&self, case: &Case, path: &str) -> Response<Body> {
        let recorded = self.cases.iter().find(|other| {
            other.request.path == path && other.request.method == "GET" && other.session() == case.session()
        });
        let steve = |who: &str| self.case(&format!("fields/{who}/steve")).response.to_response();
        if !case.is_authenticated() {
            return steve("none");
        }
        if let Some(recorded) = recorded {
            return recorded.response.to_response();
        }
        let (namespace, name) = path.strip_prefix("/v1/secrets/").unwrap().split_once('/').unwrap();
        let norman_path = format!("/v3/cloudCredentials/{namespace}:{name}");
        let norman_case = self.cases.iter().find(|other| {
            other.request.path == norman_path
                && other.request.method == "GET"
                && other.group() == case.group()
                && other.session() == case.session()
        });
        match norman_case.map(|norman_case| (norman_case.response.status, norman_case.response.body())) {
            Some((200, _)) => self.credential_response(namespace, name),
            Some((404, body)) if !body.contains("\"secrets \\\"") => {
                let metadata = json!({"name": name, "namespace": namespace, "resourceVersion": "7"});
                rancher::json(200, true, &json!({"metadata": metadata, "data": {"password": "eA=="}}))
            }
            Some((404, _)) => rancher::text(404, true, ""),
            Some(_) => steve("other"),
            None if case.response.status == 422 => steve("other"),
            None => self.credential_response(namespace, name),
        }
    }

    fn credential_response(&self, namespace: &str, name: &str) -> Response<Body> {
        let is_no_tenant = self.no_tenant_id == format!("{namespace}:{name}");
        let mut object = if is_no_tenant { &self.secret_no_tenant } else { &self.secret }.clone();
        object["metadata"]["namespace"] = namespace.into();
        object["metadata"]["name"] = name.into();
        rancher::json(200, true, &object)
    }

    /// Whether a request is rejected that was allowed in an earlier case.
    fn is_revoked(&self, index: usize) -> bool {
        let case = &self.cases[index];
        let is_same = |other: &Case| {
            other.request.path == case.request.path && other.request.headers == case.request.headers
        };
        matches!(case.response.status, 401 | 422)
            && self.cases[..index].iter().any(|other| is_same(other) && other.response.status == 200)
    }
}

/// A page of Azure that leads to a recorded list of versions.
fn versions_page(list: &str) -> Page {
    let versions: Vec<String> = serde_json::from_str(list).unwrap();
    let mut minors: BTreeMap<&str, serde_json::Map<String, Value>> = BTreeMap::default();
    for version in &versions {
        let minor = version.rsplit_once('.').unwrap().0;
        minors.entry(minor).or_default().insert(version.clone(), json!({"upgrades": []}));
    }
    let values = minors.into_iter().map(|(minor, patches)| {
        json!({"version": minor, "capabilities": {"supportPlan": ["KubernetesOfficial"]}, "patchVersions": patches})
    });
    let body = json!({"values": values.collect::<Vec<_>>()});
    serde_json::from_value(json!({"status": 200, "body": body})).unwrap()
}

async fn app(player: &Arc<Player>, decision_seconds: &str) -> BesideApp {
    let fake = {
        let player = Arc::clone(player);
        FakeRancher::start(move |request| player.respond(request)).await
    };
    let builder = BesideApp::builder(fake).setting("NORMAN_AKS_RANCHER_DECISION_SECONDS", decision_seconds);
    let app = builder.start().await;
    let list = player.case("caller/owner-bearer/meta").response.body();
    app.control.play(SUBSCRIPTION, "kubernetesVersions", vec![versions_page(list)]).unwrap();
    let mut entra: BTreeMap<String, Page> = fixtures::json("meta/entra.json");
    let rejection = entra.remove("token, bad~secret").unwrap();
    let login = |secret: &str, outcome| Login { client_id: None, secret: secret.to_owned(), outcome };
    app.control.script_login(login("good~secret", Outcome::Token));
    app.control.script_login(login("bad~secret", Outcome::Answer(rejection)));
    app
}

fn request(case: &Case) -> Request<Body> {
    let CaseRequest { method, path, headers, body } = &case.request;
    let mut request = Request::builder().method(method.as_str()).uri(path).header("host", "127.0.0.1:18443");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    // This request was recorded at Rancher's plain HTTP port; here, an ingress reports its scheme.
    if case.id == "path/plain-http" {
        request = request.header("x-forwarded-proto", "http");
    }
    let body = body.as_ref().map_or_else(Body::empty, |body| Body::from(body.to_string()));
    request.body(body).unwrap()
}

/// The difference from Rancher's response.
fn difference(case: &Case, response: &TestResponse) -> Option<String> {
    let recorded = &case.response;
    if response.status != recorded.status {
        return Some(format!(
            "status {} instead of {}: {}",
            response.status,
            recorded.status,
            response.text()
        ));
    }
    for name in ["X-Api-Cattle-Auth", "Content-Type", "Location"] {
        if response.header(name) != recorded.header(name) {
            return Some(format!(
                "{name}: {:?} instead of {:?}",
                response.header(name),
                recorded.header(name)
            ));
        }
    }
    let expected: Option<Value> = serde_json::from_str(recorded.body()).ok();
    let error = expected.as_ref().and_then(|body| body["error"].as_str());
    let Some(error) = error else {
        return (response.text() != recorded.body())
            .then(|| format!("{:?} instead of {:?}", response.text(), recorded.body()));
    };
    // Our first line ends with the response body of a rejected login; Rancher's does not.
    let our_error = response.error();
    let our_error = match (our_error.split_once(" Response body: "), our_error.split_once('\n')) {
        (Some((start, _)), Some((_, rest))) => format!("{start} \n{rest}"),
        _ => our_error,
    };
    (our_error != error).then(|| format!("{our_error:?}\ninstead of\n{error:?}"))
}

/// Sends all recorded `/meta` requests; returns how many were compared.
async fn compare(file: &str, decision_seconds: &str) -> usize {
    let player = Arc::new(Player::read(file));
    let app = app(&player, decision_seconds).await;
    let (mut compared, mut differences) = (0, Vec::new());
    for (index, case) in player.cases.iter().enumerate().filter(|(_, case)| case.is_meta()) {
        *player.current.lock().unwrap() = Some(index);
        if player.is_revoked(index) {
            advance_time(DECISION_TTL).await;
        }
        let response = app.send(request(case)).await;
        compared += 1;
        if let Some(difference) = difference(case, &response) {
            differences.push(format!("{}: {difference}", case.id));
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {compared} cases:\n{}",
        differences.len(),
        differences.join("\n\n")
    );
    println!("{file}: {compared} responses equal those of Rancher");
    compared
}

#[tokio::test]
async fn responses_equal_those_of_rancher_2_15() {
    assert!(compare("rancher-auth/rancher-auth.json", "0").await >= 118);
}

#[tokio::test]
async fn responses_equal_those_of_rancher_2_15_with_decision_cache() {
    assert!(compare("rancher-auth/rancher-auth.json", "60").await >= 118);
}

#[tokio::test]
async fn responses_equal_those_of_rancher_2_11() {
    assert!(compare("rancher-auth/rancher-auth-2.11.json", "0").await >= 115);
}

#[tokio::test]
async fn responses_equal_those_of_rancher_2_11_with_decision_cache() {
    assert!(compare("rancher-auth/rancher-auth-2.11.json", "60").await >= 115);
}

#[test]
fn recordings_have_the_expected_number_of_cases() {
    for (file, count, revoked) in
        [("rancher-auth/rancher-auth.json", 118, 6), ("rancher-auth/rancher-auth-2.11.json", 115, 5)]
    {
        let player = Player::read(file);
        assert_eq!(player.cases.iter().filter(|case| case.is_meta()).count(), count, "{file}");
        let revoked_cases = (0..player.cases.len())
            .filter(|&index| player.cases[index].is_meta() && player.is_revoked(index));
        let ids: Vec<_> = revoked_cases.map(|index| &player.cases[index].id).collect();
        assert_eq!(ids.len(), revoked, "{file}: {ids:?}");
    }
}
