//! Signals while a request is running.

use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use super::{STEP_TIMEOUT, inject_fault, start_sandbox, str_at};
use crate::support::program::{Reply, Server, reply};

/// Starts a server with a sandbox, and a request that waits for Azure for `latency_ms`.
async fn start_slow_request(latency_ms: u64) -> (TempDir, Server, tokio::task::JoinHandle<Option<Reply>>) {
    let (directory, server, sandbox) = start_sandbox(&["--sandbox-control-listen=127.0.0.1:0"]);
    inject_fault(&server, &sandbox, &json!({"operation": "skus", "latency_ms": latency_ms})).await;
    let (id, region) = (str_at(&sandbox, "credential_id"), str_at(&sandbox, "location"));
    let url = format!("{}/meta/aksVMSizesV2?cloudCredentialId={id}&region={region}", server.url);
    let request = server.http.get(url).bearer_auth(str_at(&sandbox, "token_key"));
    let running = tokio::spawn(async {
        let response = request.send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Some(Reply { status, headers, text: response.text().await.ok()? })
    });
    let requests = format!("{}/requests", str_at(&sandbox, "control_url"));
    let deadline = Instant::now() + STEP_TIMEOUT;
    while !reply(server.http.get(&requests)).await.text.contains("\"skus\"") {
        assert!(Instant::now() < deadline, "the request did not reach Azure");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (directory, server, running)
}

#[tokio::test]
async fn stop_finishes_running_requests_and_rejects_new_ones() {
    let (_directory, server, running) = start_slow_request(2_000).await;
    server.signal("TERM");
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let deadline = Instant::now() + STEP_TIMEOUT;
    while http.get(format!("{}/ping", server.url)).send().await.is_ok() {
        assert!(Instant::now() < deadline, "new requests are still accepted");
    }
    let response = running.await.unwrap().expect("a response");
    assert_eq!(response.status, 200, "{}", response.text);
    assert!(response.json().as_array().unwrap().len() > 100);
    let (status, logged) = server.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{logged}");
    assert!(logged.contains("stopped"), "{logged}");
}

#[tokio::test]
async fn second_signal_exits_immediately() {
    let (_directory, mut server, running) = start_slow_request(40_000).await;
    server.signal("TERM");
    server.wait_for("the stop", |server| server.stderr().contains("stopping").then_some(()));
    server.signal("TERM");
    let (status, _) = server.wait_for_exit();
    // An exit, not an abort: a core file would contain the keys.
    assert_eq!(status.code(), Some(1));
    assert!(running.await.unwrap().is_none(), "the request was aborted");
}
