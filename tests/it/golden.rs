//! Repeats every request that was recorded at Rancher's own handler, with the same responses of Azure, and compares our
//! responses with Rancher's.

use std::collections::BTreeMap;

use azure_sandbox::{Login, Outcome, Page};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::app::{TestApp, TestResponse};
use crate::support::fixtures;

#[derive(Deserialize)]
struct Case {
    id: String,
    request: Request,
    #[serde(rename = "answer")]
    response: RecordedResponse,
    ours: Option<IntendedResponse>,
    note: Option<String>,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    path: String,
    body: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordedResponse {
    status: u16,
    content_type: String,
    body: String,
}

/// Our response where it differs from Rancher's on purpose.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IntendedResponse {
    status: u16,
    body: Option<String>,
    error: Option<String>,
    error_starts_with: Option<String>,
    error_contains: Option<Vec<String>>,
}

/// Makes the sandbox respond with the recording.
fn play_azure(app: &TestApp) {
    let azure: BTreeMap<String, BTreeMap<String, Vec<Page>>> = fixtures::json("meta/azure.json");
    for (subscription, routes) in azure {
        for (route, pages) in routes {
            app.control.play(&subscription, &route, pages).unwrap();
        }
    }
    let mut entra: BTreeMap<String, Page> = fixtures::json("meta/entra.json");
    let rejection = entra.remove("token, bad~secret").unwrap();
    let client_id = Some("11111111-1111-1111-1111-111111111111".to_owned());
    let login =
        |secret: &str, outcome| Login { client_id: client_id.clone(), secret: secret.to_owned(), outcome };
    app.control.script_login(login("good~secret", Outcome::Token));
    app.control.script_login(login("bad~secret", Outcome::Answer(rejection)));
}

/// Creates the clusters in recorded requests of `aksUpgrades`; returns their IDs by the recorded IDs.
async fn create_clusters(app: &TestApp, cases: &[Case]) -> BTreeMap<String, String> {
    let credential = app.store_credential(&app.admin).await;
    let mut ids = BTreeMap::new();
    for case in cases {
        let Some((_, version)) =
            case.note.as_deref().and_then(|note| note.split_once("kubernetesVersion is "))
        else {
            continue;
        };
        let version = version.split(';').next().unwrap_or_default();
        let body: Value = serde_json::from_str(case.request.body.as_deref().unwrap()).unwrap();
        let recorded_id = body["clusterId"].as_str().unwrap().to_owned();
        let name = format!("golden-{}", version.replace('.', "-"));
        let created = app
            .post("/v3/clusters")
            .json(&json!({"name": name, "aksConfig": {
                "clusterName": name, "resourceGroup": "golden", "resourceLocation": "eastus", "imported": true,
                "azureCredentialSecret": credential, "kubernetesVersion": version,
            }}))
            .send()
            .await;
        assert_eq!(created.status, 201, "{}", created.text());
        ids.insert(recorded_id, created.id());
    }
    ids
}

/// The difference from the expected response, if any.
fn difference(case: &Case, response: &TestResponse) -> Option<String> {
    let ours = case.ours.as_ref();
    let status = ours.map_or(case.response.status, |ours| ours.status);
    if response.status != status {
        return Some(format!("status {} instead of {status}: {}", response.status, response.text()));
    }
    let content_type = response.header("content-type");
    if content_type != case.response.content_type {
        return Some(format!("content type {content_type:?}"));
    }
    let expected_body = ours.map_or(Some(case.response.body.as_str()), |ours| ours.body.as_deref());
    let recorded_error =
        serde_json::from_str::<Value>(&case.response.body).ok().and_then(|body| body.get("error").cloned());
    if let (Some(expected), true) = (expected_body, ours.is_some() || recorded_error.is_none()) {
        return (response.text() != expected).then(|| format!("{}\ninstead of\n{expected}", response.text()));
    }
    let error = response.error();
    let expected = match ours {
        None => recorded_error.as_ref().and_then(Value::as_str),
        Some(ours) => ours.error.as_deref(),
    };
    if expected.is_some_and(|expected| error != expected) {
        return Some(format!("{error}\ninstead of\n{}", expected.unwrap_or_default()));
    }
    let expected_start = ours.and_then(|ours| ours.error_starts_with.as_deref());
    if expected_start.is_some_and(|start| !error.starts_with(start)) {
        return Some(error);
    }
    let expected_parts = ours.and_then(|ours| ours.error_contains.as_deref()).unwrap_or_default();
    expected_parts
        .iter()
        .find(|part| !error.contains(*part))
        .map(|part| format!("{part:?} is not in {error}"))
}

#[tokio::test]
async fn recorded_responses_of_rancher_are_reproduced() {
    let cases: Vec<Case> = fixtures::json("meta/meta.json");
    assert!(cases.len() >= 133, "{} recorded responses", cases.len());
    let app = TestApp::with_advisory_review().await;
    play_azure(&app);
    let clusters = create_clusters(&app, &cases).await;
    assert!(!clusters.is_empty(), "no case names the version of its cluster");
    let mut differences = Vec::new();
    for case in &cases {
        let mut body = case.request.body.clone().unwrap_or_default();
        for (recorded_id, id) in &clusters {
            body = body.replace(&format!("\"{recorded_id}\""), &format!("\"{id}\""));
        }
        let method = case.request.method.parse().unwrap();
        let response = app.call(method, &case.request.path).body(body).send().await;
        if let Some(difference) = difference(case, &response) {
            differences.push(format!("{}: {difference}", case.id));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}
