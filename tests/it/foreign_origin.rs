//! Requests that a page of another site makes a browser send. They are rejected by `Sec-Fetch-Site`, or by `Origin` if the
//! browser omits `Sec-Fetch-Site`, as it does over plain HTTP, unless the origin is configured.

use azure_sandbox::Sandbox;
use base64::Engine as _;
use http::Method;
use serde_json::json;

use crate::support::app::{Call, TestApp};

const CHANGING_METHODS: [Method; 4] = [Method::POST, Method::PUT, Method::DELETE, Method::PATCH];

/// Origins other than `http://norman.test`, the server's own origin in these tests.
const FOREIGN_ORIGINS: [&str; 6] = [
    "https://evil.example",
    "http://evil.example",
    "https://norman.test",
    "http://norman.test:8080",
    "http://norman.test.evil.example",
    "null",
];

async fn start() -> TestApp {
    TestApp::builder()
        .advisory_review()
        .setting("NORMAN_AKS_CORS_ORIGINS", "https://ui.example")
        .start()
        .await
}

/// A call with the credentials that a browser adds: Basic authentication, or a cookie with a CSRF token.
fn as_browser<'a>(call: Call<'a>, app: &TestApp, use_basic_auth: bool) -> Call<'a> {
    if use_basic_auth {
        let encoded = base64::engine::general_purpose::STANDARD.encode(&app.admin);
        return call.anonymous().header("authorization", &format!("Basic {encoded}"));
    }
    call.anonymous().header("cookie", &format!("R_SESS={}; CSRF=abc", app.admin)).header("x-api-csrf", "abc")
}

#[tokio::test]
async fn action_from_foreign_origin_is_rejected_before_azure_call() {
    let app = start().await;
    let id = app.store_credential(&app.admin).await;
    let listing = format!("/meta/aksLocations?cloudCredentialId={id}");
    app.take_azure_requests();
    for origin in FOREIGN_ORIGINS {
        for use_basic_auth in [false, true] {
            for (method, path) in [
                (Method::GET, listing.as_str()),
                (Method::POST, listing.as_str()),
                (Method::POST, "/meta/aksLocations"),
                (Method::POST, "/meta/aksCheckCredentials"),
            ] {
                let call =
                    as_browser(app.call(method.clone(), path), &app, use_basic_auth).header("origin", origin);
                let response = call.json(&app.credential(&json!({}))).send().await;
                assert_eq!(response.status, 403, "{method} {path} {origin}: {}", response.text());
                assert!(response.error().contains("cors-origins"), "{}", response.text());
            }
        }
    }
    assert_eq!(app.take_azure_requests(), [""; 0], "no request to Azure");
}

#[tokio::test]
async fn change_from_foreign_origin_is_rejected_despite_csrf_token() {
    let app = start().await;
    let id = app.store_credential(&app.admin).await;
    let path = format!("/v3/cloudcredentials/{id}");
    for origin in FOREIGN_ORIGINS {
        for method in CHANGING_METHODS {
            for use_basic_auth in [false, true] {
                let call = as_browser(app.call(method.clone(), &path), &app, use_basic_auth)
                    .header("origin", origin);
                let response = call.json(&json!({"name": "changed"})).send().await;
                assert_eq!(response.status, 403, "{method} {origin}: {}", response.text());
                assert_eq!(response.json()["code"], "PermissionDenied", "{}", response.text());
            }
        }
    }
    let stored = app.get(&path).send().await;
    assert_eq!((stored.status.as_u16(), &stored.json()["name"]), (200, &json!("azure")));
}

#[tokio::test]
async fn own_and_configured_origins_are_accepted() {
    let app = start().await;
    let id = app.store_credential(&app.admin).await;
    let path = format!("/v3/cloudcredentials/{id}");
    for origin in ["http://norman.test", "http://NORMAN.test", "http://norman.test:80", "https://ui.example"]
    {
        for use_basic_auth in [false, true] {
            let call = as_browser(app.put(&path), &app, use_basic_auth).header("origin", origin);
            let response = call.json(&json!({"name": "changed"})).send().await;
            assert_eq!(response.status, 200, "{origin}: {}", response.text());
            let listing = format!("/meta/aksLocations?cloudCredentialId={id}");
            let response =
                as_browser(app.get(&listing), &app, use_basic_auth).header("origin", origin).send().await;
            assert_eq!(response.status, 200, "{origin}: {}", response.text());
        }
    }
}

#[tokio::test]
async fn origin_of_server_url_is_accepted() {
    let app = TestApp::builder()
        .advisory_review()
        .setting("NORMAN_AKS_SERVER_URL", "https://aks.example/prefix")
        .start()
        .await;
    for (origin, expected) in [("https://aks.example", 201), ("http://aks.example", 403)] {
        let seed = Sandbox::seed();
        let body = json!({"name": "x", "azurecredentialConfig": {"clientId": seed.client_id}});
        let call = as_browser(app.post("/v3/cloudcredentials"), &app, false).header("origin", origin);
        let response = call.json(&body).send().await;
        assert_eq!(response.status, expected, "{origin}: {}", response.text());
    }
}

#[tokio::test]
async fn sec_fetch_site_is_overridden_only_by_configured_origins() {
    let app = start().await;
    let id = app.store_credential(&app.admin).await;
    let path = format!("/v3/cloudcredentials/{id}");
    for (site, origin, expected) in [
        // Behind an untrusted proxy that terminates TLS, the server cannot tell its own scheme; the browser can.
        ("same-origin", "https://norman.test", 200),
        ("same-site", "https://other.norman.test", 403),
        ("same-site", "", 403),
        ("cross-site", "https://evil.example", 403),
        ("cross-site", "https://ui.example", 200),
        ("same-site", "https://ui.example", 200),
    ] {
        let mut call = as_browser(app.put(&path), &app, false).header("sec-fetch-site", site);
        if !origin.is_empty() {
            call = call.header("origin", origin);
        }
        let response = call.json(&json!({"name": "changed"})).send().await;
        assert_eq!(response.status, expected, "{site} {origin}: {}", response.text());
    }
}

#[tokio::test]
async fn v3_reads_and_bearer_tokens_are_not_restricted() {
    let app = start().await;
    let read =
        as_browser(app.get("/v3/cloudcredentials"), &app, false).header("origin", "https://evil.example");
    assert_eq!(read.send().await.status, 200, "CORS prevents the page from reading it");
    let body = json!({"name": "x", "azurecredentialConfig": {"clientId": "c"}});
    let call = app.post("/v3/cloudcredentials").header("origin", "https://evil.example").json(&body);
    assert_eq!(call.send().await.status, 201, "a page cannot send a token without a preflight");
}
