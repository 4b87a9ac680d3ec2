//! Requests that only Rancher can answer are forwarded to it unchanged, and its responses are returned unchanged. Requests
//! over plain HTTP or in a loop are not forwarded.

use axum::body::Body;
use http::Request;

use super::app::BesideApp;
use super::rancher::{FakeRancher, RecordedRequest, response};
use super::rancher_state::{CREDENTIAL, OTHER, OWNER, RancherState};
use crate::support::call::{LOOPBACK, exchange};

/// A JSON Web Token, as Rancher's identity provider issues them.
const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1LW93bmVyIn0.c2lnbmF0dXJl";

fn versions_path() -> String {
    format!("/meta/aksVersions?cloudCredentialId={CREDENTIAL}&region=eastus")
}

async fn app() -> BesideApp {
    let state = RancherState::new();
    state.add_user("owner", JWT);
    BesideApp::with_state(&state).await
}

/// Asserts that Rancher received only the forwarded request; returns it.
#[track_caller]
fn assert_forwarded(app: &BesideApp, path: &str) -> RecordedRequest {
    let request = app.only_request();
    assert_eq!(request.path, path);
    assert_eq!(request.header_values("via"), ["1.1 norman-aks"]);
    assert_eq!(request.header_values("x-forwarded-proto"), ["https"]);
    request
}

#[tokio::test]
async fn impersonation_is_forwarded_with_headers_and_body() {
    let app = app().await;
    let call = app.post(&versions_path(), OWNER);
    let call = call.header("impersonate-user", "u-1").header("impersonate-group", "a");
    let call = call.header("impersonate-group", "b").header("impersonate-extra-scopes", "x");
    let call = call.header("user-agent", "Mozilla/5.0").header("content-type", "application/json");
    let call =
        call.header("connection", "x-hop, keep-alive").header("x-hop", "1").header("accept-encoding", "gzip");
    let response = call.body("{\"region\":\"eastus\"}").send().await;
    assert_eq!((response.status.as_u16(), response.header("x-norman-aks-via")), (200, "rancher"));
    assert_eq!(response.json()["answeredBy"], "Rancher");
    assert_eq!(response.header("set-cookie"), "CSRF=of-rancher", "Rancher's headers are returned too");
    let request = assert_forwarded(&app, &versions_path());
    assert_eq!(request.method, "POST");
    assert_eq!(request.body, "{\"region\":\"eastus\"}");
    for (name, expected) in [
        ("impersonate-user", vec!["u-1"]),
        ("impersonate-group", vec!["a", "b"]),
        ("impersonate-extra-scopes", vec!["x"]),
        ("user-agent", vec!["Mozilla/5.0"]),
        ("content-type", vec!["application/json"]),
        ("accept-encoding", vec!["gzip"]),
        ("x-hop", vec![]),
        ("x-forwarded-for", vec!["127.0.0.1"]),
        ("x-forwarded-host", vec!["norman.test"]),
    ] {
        assert_eq!(request.header_values(name), expected, "{name}");
    }
    assert_eq!(request.header_values("authorization"), [format!("Bearer {OWNER}")]);
}

#[tokio::test]
async fn json_web_tokens_are_forwarded() {
    let app = app().await;
    for call in [
        app.get(&versions_path(), JWT),
        app.get(&versions_path(), "").anonymous().header("cookie", &format!("R_SESS={JWT}")),
    ] {
        app.rancher.take_requests();
        let response = call.send().await;
        assert_eq!(response.header("x-norman-aks-via"), "rancher");
        assert_forwarded(&app, &versions_path());
    }
}

#[tokio::test]
async fn two_authorization_headers_are_forwarded() {
    let app = app().await;
    let response =
        app.get(&versions_path(), OTHER).header("authorization", &format!("Bearer {OWNER}")).send().await;
    assert_eq!(response.header("x-norman-aks-via"), "rancher");
    let request = assert_forwarded(&app, &versions_path());
    assert_eq!(
        request.header_values("authorization"),
        [format!("Bearer {OWNER}"), format!("Bearer {OTHER}")]
    );
}

#[tokio::test]
async fn other_paths_are_forwarded_even_without_a_token() {
    let app = app().await;
    for path in
        ["/meta/aksNothing", "/meta/aksVersions/", "/meta/aksVersions/x", "/meta//aksVersions", "/meta/gke"]
    {
        app.rancher.take_requests();
        let response = app.get(path, "").anonymous().send().await;
        assert_eq!(
            (response.status.as_u16(), response.header("x-norman-aks-via")),
            (401, "rancher"),
            "{path}"
        );
        assert_forwarded(&app, path);
    }
    app.rancher.take_requests();
    for path in ["/v3", "/v1/secrets/cattle-global-data/cc-aaaaa", "/"] {
        let response = app.get(path, OWNER).send().await;
        assert_eq!(response.status, 404, "{path}");
    }
    assert!(app.rancher.take_requests().is_empty(), "only the actions are served");
}

#[tokio::test]
async fn malformed_ids_are_forwarded() {
    let app = app().await;
    for id in
        ["cc-aaaaa", "a%2Fb", ":cc-aaaaa", "cattle-global-data:", "UPPER:CASE", "a:..%2Fb", "+a:b", "a:b:c"]
    {
        app.rancher.take_requests();
        let path = format!("/meta/aksVersions?cloudCredentialId={id}&region=eastus");
        let response = app.get(&path, OWNER).send().await;
        assert_eq!(response.header("x-norman-aks-via"), "rancher", "{id}");
        assert_forwarded(&app, &path);
    }
}

#[tokio::test]
async fn truncated_forwarded_body_fails_for_the_caller() {
    use http_body_util::BodyExt as _;
    let app = app().await;
    app.rancher.set_fault(super::rancher::Fault::CutBody);
    let request = Request::get(versions_path()).header("impersonate-user", "u").body(Body::empty()).unwrap();
    let response = exchange(&app.router(), request, LOOPBACK).await;
    assert_eq!(response.status(), 200, "the head was received");
    assert!(response.into_body().collect().await.is_err(), "a truncated response must not look complete");
}

#[tokio::test]
async fn plain_http_at_the_ingress_is_redirected_as_by_rancher() {
    let app = app().await;
    let request = |method: &str, extra_headers: &[(&str, &str)]| {
        let mut request = Request::builder().method(method).uri("/meta/aksVersions?a=1&b='x'");
        request =
            request.header("host", "rancher.test:80").header("authorization", format!("Bearer {OWNER}"));
        for (name, value) in extra_headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    };
    let response = app.send(request("GET", &[("x-forwarded-proto", "http")])).await.expect(302);
    assert_eq!(response.header("location"), "https://rancher.test/meta/aksVersions?a=1&b='x'");
    let body = "<a href=\"https://rancher.test/meta/aksVersions?a=1&amp;b=&#39;x&#39;\">Found</a>.\n\n";
    assert_eq!(response.text(), body, "escaped as by Go");
    assert!(!response.headers.contains_key("x-api-cattle-auth"), "as from Rancher's listener");
    let anonymous = Request::get("/meta/aksVersions").header("host", "rancher.test");
    let anonymous = anonymous.header("x-forwarded-proto", "http").body(Body::empty()).unwrap();
    let response = app.send(anonymous).await;
    assert_eq!((response.status.as_u16(), response.header("x-api-cattle-auth")), (302, "false"));
    let response = app.send(request("POST", &[("x-forwarded-proto", "http")])).await;
    assert_eq!((response.status.as_u16(), response.text().as_str()), (400, "Use HTTPS\n"));
    assert!(app.rancher.take_requests().is_empty(), "the token was not used");
    let response = app.send(request("GET", &[("x-forwarded-proto", "https")])).await;
    assert_eq!(response.status, 400, "no credential: {}", response.text());
}

#[tokio::test]
async fn untrusted_client_cannot_claim_plain_http() {
    let app = app().await;
    let call = app.get_versions(CREDENTIAL, OWNER).from("192.0.2.1:1".parse().unwrap());
    call.header("x-forwarded-proto", "http").send().await.expect(200);
}

#[tokio::test]
async fn request_in_a_loop_gives_508_with_the_remedy() {
    let app = app().await;
    for via in ["1.1 norman-aks", "2.0 proxy, 1.1 norman-aks (x)", "1.1 a,1.1 norman-aks"] {
        let response = app.get_versions(CREDENTIAL, OWNER).header("via", via).send().await;
        assert_eq!(response.status, 508, "{via}");
        let hint = response.json()["hint"].as_str().unwrap().to_owned();
        assert!(hint.contains("rancher-url") && hint.contains("rancher-host"), "{hint}");
        assert_eq!(response.header("x-norman-aks-via"), "loop");
    }
    for via in ["1.1 traefik", "1.1 norman-aks-2", "norman-aks"] {
        let response = app.get_versions(CREDENTIAL, OWNER).header("via", via).send().await;
        assert_eq!(response.status, 200, "{via}");
    }
}

/// A server whose `rancher-url` leads, as through an ingress, to a second server alongside Rancher instead of Rancher.
async fn looping_app() -> BesideApp {
    use http_body_util::BodyExt as _;
    let state = RancherState::new();
    let second = BesideApp::with_state(&state).await;
    let router = second.router();
    let (sender, mut receiver) =
        tokio::sync::mpsc::unbounded_channel::<(RecordedRequest, tokio::sync::oneshot::Sender<_>)>();
    tokio::spawn(async move {
        let _second = second;
        while let Some((recorded, response_sender)) = receiver.recv().await {
            let mut request = Request::builder().method(recorded.method).uri(&recorded.path);
            *request.headers_mut().unwrap() = recorded.headers;
            let request = request.body(Body::from(recorded.body)).unwrap();
            let (head, body) = exchange(&router, request, LOOPBACK).await.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let _ = response_sender.send((head, body));
        }
    });
    let fake = FakeRancher::start_async(move |request| {
        let (sender, receiver) = (sender.clone(), tokio::sync::oneshot::channel());
        async move {
            sender.send((request, receiver.0)).unwrap();
            let (head, body): (http::response::Parts, bytes::Bytes) = receiver.1.await.unwrap();
            http::Response::from_parts(head, Body::from(body))
        }
    });
    BesideApp::builder(fake.await).start().await
}

#[tokio::test]
async fn ingress_that_leads_back_gives_508_for_every_request() {
    let app = looping_app().await;
    for call in [
        app.get_versions(CREDENTIAL, OWNER).header("impersonate-user", "u"),
        app.get_versions(CREDENTIAL, OWNER),
        app.post("/meta/aksCheckCredentials", OWNER).body("{}"),
    ] {
        let response = call.send().await.expect(508);
        assert!(response.json()["hint"].as_str().unwrap().contains("rancher-url"), "{}", response.text());
    }
}

#[tokio::test]
async fn probe_finds_a_loop_and_names_the_remedy() {
    let app = looping_app().await;
    let client = norman_aks::app::rancher_client(app.config.rancher.as_ref().unwrap()).unwrap();
    let error = client.probe().await.unwrap_err().to_string();
    assert!(error.contains("came back") && error.contains("set it to the Service"), "{error}");
}

#[tokio::test]
async fn probe_distinguishes_rancher_from_other_programs() {
    let (app, _) = BesideApp::start().await;
    let client = norman_aks::app::rancher_client(app.config.rancher.as_ref().unwrap()).unwrap();
    client.probe().await.unwrap();
    assert_eq!(app.only_request().path, "/meta/aksVersions");
    let other = BesideApp::builder(FakeRancher::start(|_| response(200, &[], "nginx")).await).start().await;
    let client = norman_aks::app::rancher_client(other.config.rancher.as_ref().unwrap()).unwrap();
    let error = client.probe().await.unwrap_err().to_string();
    assert_eq!(
        error,
        "a response with status 200 OK is not Rancher's; rancher-url must be the URL of Rancher's Service"
    );
}
