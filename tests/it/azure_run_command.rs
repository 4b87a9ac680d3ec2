//! The Azure client: run commands inside clusters.

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use azure::run_command::{Command, Outcome, PendingResult, Status, archive, poll, start};
use azure::{Cloud, Error};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::azure_fake::{FakeAzure, SUBSCRIPTION, error_response, json_response, with_header};

const RESULT_URL: &str =
    "https://management.azure.com/subscriptions/s/commandResults/r?api-version=1&s=canary";

fn running(location: &str) -> Response {
    with_header(StatusCode::ACCEPTED.into_response(), "location", location)
}

fn finished(properties: &Value) -> Response {
    json_response(200, &json!({"id": "/r", "properties": properties}))
}

async fn start_command(fake: &FakeAzure, token: Option<&str>) -> Result<Status, Error> {
    let (context, token) = (archive(&[("agent.yaml", "kind: Namespace\n")]), token.map(SecretString::from));
    let command =
        Command { command: "kubectl apply -f agent.yaml", context: &context, cluster_token: token.as_ref() };
    start(&fake.arm(), "g", "n", &command).await
}

fn expect_pending(status: Status) -> PendingResult {
    match status {
        Status::Running(pending) => pending,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn command_is_started_and_polled_to_its_end() {
    let fake = FakeAzure::with_responses(vec![
        || with_header(running(RESULT_URL), "retry-after", "7"),
        || StatusCode::ACCEPTED.into_response(),
        || running("https://management.azure.com/subscriptions/s/commandResults/moved"),
        || finished(&json!({"provisioningState": "Succeeded", "exitCode": 0, "logs": "namespace/x created"})),
    ])
    .await;
    let first = expect_pending(start_command(&fake, None).await.unwrap());
    assert_eq!(first.retry_after(), Duration::from_secs(7));
    // The pending result is stored as text between two polls.
    let first = PendingResult::from_text(Cloud::Public, &first.to_text()).unwrap();
    let unmoved = expect_pending(poll(&fake.arm(), &first).await.unwrap());
    assert!(unmoved.to_text().ends_with(RESULT_URL), "the URL remains valid");
    let moved = expect_pending(poll(&fake.arm(), &unmoved).await.unwrap());
    assert!(moved.to_text().ends_with("/moved"));
    let status = poll(&fake.arm(), &moved).await.unwrap();
    assert_eq!(status, Status::Finished(Outcome::Succeeded));
    let paths: Vec<_> =
        fake.arm_requests().iter().map(|request| format!("{} {}", request.method, request.path)).collect();
    let post = format!(
        "POST /subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/n/runCommand"
    );
    let result = "GET /subscriptions/s/commandResults/r";
    assert_eq!(paths, [post.as_str(), result, result, "GET /subscriptions/s/commandResults/moved"]);
}

#[tokio::test]
async fn command_is_sent_with_its_files_and_the_token() {
    let fake = FakeAzure::with_responses(vec![|| running(RESULT_URL)]).await;
    for (token, expected) in [(None, ""), (Some("entra"), "entra")] {
        start_command(&fake, token).await.unwrap();
        let body: Value = serde_json::from_str(&fake.arm_requests().last().unwrap().body).unwrap();
        assert_eq!(body["command"], "kubectl apply -f agent.yaml");
        assert_eq!(body["clusterToken"], expected);
        let archive = BASE64_STANDARD.decode(body["context"].as_str().unwrap()).unwrap();
        // The archive is not compressed.
        let content = String::from_utf8_lossy(&archive);
        assert!(
            content.starts_with("PK\u{3}\u{4}") && content.contains("agent.yamlkind: Namespace\n"),
            "{content:?}"
        );
    }
}

#[tokio::test]
async fn result_may_be_immediate_or_unknown() {
    for (response, expected) in [
        (
            (|| finished(&json!({"provisioningState": "Succeeded", "exitCode": 1, "logs": "Forbidden"})))
                as fn() -> Response,
            Status::Finished(Outcome::Exited { code: 1, logs: "Forbidden".to_owned() }),
        ),
        (
            || finished(&json!({"provisioningState": "Failed", "reason": "no node"})),
            Status::Finished(Outcome::Failed { reason: "no node".to_owned() }),
        ),
        (|| StatusCode::ACCEPTED.into_response(), Status::Unknown),
        // A URL of another host is neither stored nor followed.
        (|| running("https://management.azure.com.evil.example/r"), Status::Unknown),
    ] {
        let fake = FakeAzure::with_responses(vec![response]).await;
        assert_eq!(start_command(&fake, None).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn denied_start_and_denied_result_are_errors() {
    let fake = FakeAzure::with_responses(vec![|| error_response(403, "AuthorizationFailed")]).await;
    let denied = start_command(&fake, None).await.unwrap_err();
    assert_eq!((denied.upstream_status(), denied.code()), (Some(403), Some("AuthorizationFailed")));
    let result = PendingResult::from_text(Cloud::Public, &format!("1 {RESULT_URL}")).unwrap();
    let denied = poll(&fake.arm(), &result).await.unwrap_err();
    assert!(denied.upstream_status() == Some(403) && !format!("{denied:?}").contains("canary"), "{denied:?}");
    let fake = FakeAzure::with_responses(vec![|| error_response(404, "NotFound")]).await;
    assert_eq!(poll(&fake.arm(), &result).await.unwrap(), Status::Unknown);
}

#[test]
fn context_is_not_in_debug_output() {
    let context = archive(&[("agent.yaml", "token")]);
    assert!(!format!("{context:?}").contains(context.expose_secret()));
}
