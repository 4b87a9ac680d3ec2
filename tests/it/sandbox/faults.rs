//! Faults, and the log of requests.

use std::time::Duration;

use azure_sandbox::{Effect, ErrorResponse, Fault, Operation};
use serde_json::Value;

use super::{Azure, PUBLIC, PUBLIC_SCOPE, azure_client, seed};
use crate::support::fault;

#[tokio::test]
async fn faults_apply_to_matching_requests() {
    let azure = Azure::start().await;
    let busy = ErrorResponse {
        status: Some(503),
        code: Some("ServerBusy".to_owned()),
        retry_after: Some("7".to_owned()),
        retry_after_ms: Some(6_500),
        ..ErrorResponse::default()
    };
    azure.control().add_fault(Fault {
        operation: Some(Operation::Subscription),
        times: Some(2),
        effect: Some(Effect::Status(busy)),
        ..Fault::default()
    });
    let path = "?api-version=2022-12-01";
    for _ in 0..2 {
        let response = azure.get(path).await;
        assert_eq!(response.error(), (503, "ServerBusy".to_owned()));
        assert_eq!(response.headers["retry-after"], "7");
        assert_eq!(response.headers["x-ms-retry-after-ms"], "6500");
        assert!(response.headers.contains_key("x-ms-request-id"));
    }
    assert_eq!(azure.get(path).await.status, 200);
    assert!(azure.control().faults().is_empty());

    azure.control().add_fault(Fault {
        latency_ms: 300,
        path: Some("?API-VERSION=2022".to_owned()),
        ..Fault::default()
    });
    let start = std::time::Instant::now();
    assert_eq!(azure.get(path).await.status, 200);
    assert!(start.elapsed() >= Duration::from_millis(300));
    azure.control().clear_faults();

    let effect = Some(fault::body(500, "<html>"));
    azure.control().add_fault(Fault { method: Some("POST".to_owned()), effect, ..Fault::default() });
    let seed = seed();
    let host = "login.microsoftonline.com";
    let response = azure.login(host, seed.tenant_id, seed.client_id, seed.client_secret, PUBLIC_SCOPE).await;
    assert_eq!((response.status.as_u16(), &*response.text), (500, "<html>"));
}

#[tokio::test]
async fn effects_work_over_both_http_versions() {
    let azure = Azure::start().await;
    let control = azure.control();
    let http_1_client = azure_client::builder(&azure.sandbox).http1_only().build().unwrap();
    let token = azure.token.clone();
    let url = format!(
        "{PUBLIC}/subscriptions/{}/providers/Microsoft.Network/virtualNetworks?api-version=2023-11-01",
        seed().subscription_id
    );
    let whole = azure.fetch(&url, Some(&token)).await.text;
    for client in [&azure.client, &http_1_client] {
        let send_with = |effect: Effect| {
            control.add_fault(Fault { effect: Some(effect), times: Some(1), ..Fault::default() });
            client.get(&url).bearer_auth(&token).send()
        };
        assert!(send_with(Effect::CutBeforeAnswer).await.is_err());
        assert_eq!(control.requests().last().unwrap().status, None);

        let mut response = send_with(Effect::CutInBody).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut received = Vec::new();
        let last_read = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => received.extend_from_slice(&chunk),
                other => break other,
            }
        };
        assert!(last_read.is_err(), "the body must not look complete");
        assert_eq!(received, &whole.as_bytes()[..whole.len() / 2]);

        let truncated = send_with(Effect::TruncatedBody).await.unwrap().text().await.unwrap();
        assert_eq!(truncated, &whole[..whole.len() / 2]);
        let invalid_json = send_with(Effect::InvalidJson).await.unwrap().text().await.unwrap();
        assert!(serde_json::from_str::<Value>(&invalid_json).is_err());

        let start = std::time::Instant::now();
        let slow = send_with(Effect::SlowBody(1_500)).await.unwrap();
        let time_to_head = start.elapsed();
        assert_eq!(slow.text().await.unwrap(), whole);
        assert!(time_to_head < Duration::from_secs(1) && start.elapsed() >= Duration::from_millis(1_500));

        let link = "https://evil.example/next".to_owned();
        let with_link = send_with(Effect::ForeignNextLink(link.clone())).await.unwrap().text().await.unwrap();
        let with_link: Value = serde_json::from_str(&with_link).unwrap();
        assert_eq!(
            (with_link["nextLink"].as_str(), with_link["value"].as_array().unwrap().len()),
            (Some(&*link), 7)
        );
    }
}

#[tokio::test]
async fn requests_are_logged_until_cleared() {
    let azure = Azure::start().await;
    azure.get("/locations?api-version=2022-12-01&x=y").await;
    let requests = azure.control().requests();
    let outcomes: Vec<_> = requests.iter().map(|request| (request.operation, request.status)).collect();
    assert_eq!(outcomes, [(Operation::Token, Some(200)), (Operation::Locations, Some(200))]);
    let last = requests.last().unwrap();
    assert_eq!((&*last.method, &*last.host), ("GET", "management.azure.com"));
    assert_eq!(last.path, format!("/subscriptions/{}/locations", seed().subscription_id));
    assert_eq!((&*last.query, last.at_ms), ("api-version=2022-12-01&x=y", azure.clock.now_ms()));
    azure.control().clear_requests();
    assert!(azure.control().requests().is_empty());
}
