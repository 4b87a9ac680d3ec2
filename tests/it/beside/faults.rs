//! A Rancher that is slow, disconnected, or replaced by a proxy's error page: callers get 503, never 401, and no request is
//! forwarded after a timeout.

use std::time::Duration;

use super::app::{BesideApp, DECISION_TTL};
use super::rancher::{Fault, response};
use super::rancher_state::{CREDENTIAL, OWNER, RancherState};
use crate::azure_fake::wait_until;
use crate::support::advance_time;
use crate::support::app::TestResponse;

const SIGN_IN_PAGE: Fault = Fault::Response(200, Vec::new(), "<!DOCTYPE html><title>Sign in</title>");

async fn app() -> BesideApp {
    let state = RancherState::new();
    BesideApp::builder(state.serve().await).without_decision_cache().start().await
}

/// Checks that the response asks for a retry, does not log the dashboard's user out, and does not come from Rancher.
#[track_caller]
fn assert_unavailable(response: &TestResponse) {
    assert_eq!(response.status, 503, "{}", response.text());
    assert_eq!(response.header("retry-after"), "2");
    assert!(!response.headers.contains_key("x-api-cattle-auth"), "the token was not checked");
    assert!(!response.headers.contains_key("x-norman-aks-via"));
    assert!(response.error().starts_with("Rancher does not respond"), "{}", response.text());
}

/// Sends `aksVersions` while Rancher fails; returns the response and what reached Rancher.
async fn versions_during(fault: Fault) -> (TestResponse, Vec<String>) {
    let app = app().await;
    app.rancher.set_fault(fault);
    let response = app.get_versions(CREDENTIAL, OWNER).send().await;
    (response, app.rancher.take_requests())
}

const LOOKUP: &str = "GET /v1/secrets/cattle-global-data/cc-aaaaa";

/// Advances the time by a timeout once Rancher has received this number of requests.
async fn time_out(app: &BesideApp, requests: usize, timeout_seconds: u64) {
    wait_until(|| app.rancher.requests().len() >= requests).await;
    advance_time(Duration::from_secs(timeout_seconds)).await;
}

#[tokio::test]
async fn slow_rancher_gives_503_after_3_s_and_nothing_is_forwarded() {
    let app = app().await;
    app.rancher.set_fault(Fault::Hang);
    let (response, ()) = tokio::join!(app.get_versions(CREDENTIAL, OWNER).send(), time_out(&app, 1, 3));
    assert_unavailable(&response);
    assert_eq!(app.rancher.take_requests(), [LOOKUP], "requested once, not forwarded");
    app.rancher.clear_fault();
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.status, 200);
}

#[tokio::test]
async fn slow_rancher_gives_503_for_inline_credentials_and_cookies() {
    let app = app().await;
    app.rancher.set_fault(Fault::Hang);
    let check = app.post("/meta/aksCheckCredentials", OWNER).body("{}");
    let (response, ()) = tokio::join!(check.send(), time_out(&app, 1, 3));
    assert_unavailable(&response);
    let path = format!("/meta/aksVersions?cloudCredentialId={CREDENTIAL}");
    let call = app.get(&path, OWNER).anonymous().header("cookie", &format!("R_SESS={OWNER}"));
    let (response, ()) = tokio::join!(call.send(), time_out(&app, 2, 3));
    assert_unavailable(&response);
    let path = format!("/meta/aksVersions?cloudCredentialId={CREDENTIAL}");
    let call = app.get(&path, OWNER).anonymous();
    let call = call.header("authorization", "").header("cookie", &format!("R_SESS={OWNER}"));
    let (response, ()) = tokio::join!(call.send(), time_out(&app, 3, 3));
    assert_unavailable(&response);
}

#[tokio::test]
async fn slow_rancher_ends_a_forwarded_request_with_503() {
    let app = app().await;
    app.rancher.set_fault(Fault::Hang);
    let call = app.get_versions(CREDENTIAL, OWNER).header("impersonate-user", "u-1");
    let (response, ()) = tokio::join!(call.send(), time_out(&app, 1, 55));
    assert_unavailable(&response);
    assert_eq!(app.rancher.take_requests().len(), 1, "sent once");
}

#[tokio::test]
async fn cut_connections_give_503() {
    for fault in [Fault::Cut, Fault::CutBody] {
        let (response, requests) = versions_during(fault.clone()).await;
        assert_unavailable(&response);
        assert!(requests.iter().all(|request| request == LOOKUP), "{fault:?}: {requests:?}");
    }
}

#[tokio::test]
async fn missing_listener_gives_503() {
    let state = RancherState::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let app = BesideApp::builder(state.serve().await).setting("NORMAN_AKS_RANCHER_URL", &url).start().await;
    assert_unavailable(&app.get_versions(CREDENTIAL, OWNER).send().await);
}

#[tokio::test]
async fn pages_of_proxies_give_503() {
    for fault in [
        Fault::Response(502, vec![("content-type", "text/html")], "<html><h1>502 Bad Gateway</h1></html>"),
        Fault::Response(503, vec![("content-type", "text/html")], "<html><h1>503</h1></html>"),
        Fault::Response(401, vec![("content-type", "text/html")], "<html><h1>Login</h1></html>"),
        Fault::Response(403, vec![("content-type", "text/html")], "<html><h1>Forbidden</h1></html>"),
        Fault::Response(404, Vec::new(), "default backend - 404"),
        SIGN_IN_PAGE,
        Fault::Response(302, vec![("location", "https://login.example.org/")], ""),
    ] {
        let (response, requests) = versions_during(fault.clone()).await;
        assert_unavailable(&response);
        assert_eq!(requests, [LOOKUP], "{fault:?}: neither followed nor forwarded");
    }
}

#[tokio::test]
async fn pages_of_proxies_are_not_returned_for_forwarded_requests() {
    for fault in [
        Fault::Response(502, vec![("content-type", "text/html")], "<html><h1>502 Bad Gateway</h1></html>"),
        Fault::Response(401, vec![("content-type", "text/html")], "<html><h1>Login</h1></html>"),
        Fault::Response(302, vec![("location", "https://login.example.org/")], ""),
        SIGN_IN_PAGE,
    ] {
        let app = app().await;
        app.rancher.set_fault(fault);
        let response = app.get_versions(CREDENTIAL, OWNER).header("impersonate-user", "u-1").send().await;
        assert_unavailable(&response);
        assert_eq!(app.rancher.take_requests().len(), 1);
    }
}

#[tokio::test]
async fn request_is_forwarded_after_an_unexpected_rancher_response() {
    const BROKEN: &str = r#"{"type":"error","status":500,"message":"etcdserver: request timed out"}"#;
    for (status, body) in [(500, BROKEN), (429, BROKEN), (200, BROKEN), (200, "<html>"), (405, "")] {
        let headers = vec![("content-type", "application/json"), ("x-api-cattle-auth", "true")];
        let (response, requests) = versions_during(Fault::Response(status, headers, body)).await;
        assert_eq!(response.status, status, "Rancher's response to the action");
        assert_eq!((response.text().as_str(), response.header("x-norman-aks-via")), (body, "rancher"));
        assert_eq!(response.header("x-api-cattle-auth"), "true");
        let path = format!("GET /meta/aksVersions?cloudCredentialId={CREDENTIAL}&region=eastus");
        assert_eq!(requests, [LOOKUP, &path], "{status}");
    }
}

#[tokio::test]
async fn huge_response_gives_503() {
    let fake = super::rancher::FakeRancher::start(|_| {
        response(200, &[("x-api-cattle-auth", "true")], vec![b' '; 5 * 1024 * 1024])
    });
    let app = BesideApp::builder(fake.await).start().await;
    assert_unavailable(&app.get_versions(CREDENTIAL, OWNER).send().await);
}

#[tokio::test]
async fn decisions_are_valid_in_an_outage_until_they_expire() {
    let (app, _) = BesideApp::start().await;
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.status, 200);
    app.rancher.set_fault(Fault::Cut);
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.status, 200, "decided earlier");
    advance_time(DECISION_TTL).await;
    assert_unavailable(&app.get_versions(CREDENTIAL, OWNER).send().await);
}

#[tokio::test]
async fn failures_suspend_requests_until_rancher_responds_again() {
    let app = app().await;
    app.rancher.set_fault(Fault::Cut);
    for _ in 0..3 {
        assert_unavailable(&app.get_versions(CREDENTIAL, OWNER).send().await);
    }
    app.rancher.take_requests();
    app.rancher.clear_fault();
    // No task waits for a socket, so the time can be paused.
    tokio::time::pause();
    assert_unavailable(&app.get_versions(CREDENTIAL, OWNER).send().await);
    assert_unavailable(&app.get_versions(CREDENTIAL, OWNER).header("impersonate-user", "u").send().await);
    tokio::time::resume();
    assert!(app.rancher.take_requests().is_empty(), "suspended");
    advance_time(Duration::from_secs(2)).await;
    for _ in 0..3 {
        assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.status, 200, "requests are sent again");
    }
}

#[tokio::test]
async fn aborted_uploads_do_not_suspend_requests() {
    let app = app().await;
    for _ in 0..5 {
        let parts = [Ok("{"), Err(std::io::Error::other("the client went away"))];
        let body = axum::body::Body::from_stream(futures_util::stream::iter(parts));
        let call = app.post("/meta/aksVersions", OWNER).header("impersonate-user", "u").body(body);
        let response = call.send().await;
        let error = "cannot read request body: unexpected EOF";
        assert_eq!((response.status.as_u16(), response.error().as_str()), (400, error));
    }
    assert!(app.rancher.take_requests().is_empty(), "only complete requests are forwarded");
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.status, 200);
}
