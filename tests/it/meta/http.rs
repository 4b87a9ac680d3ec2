//! HTTP of all actions: authentication, methods, headers, requests from pages of other sites.

use base64::Engine;
use serde_json::Value;

use super::LISTINGS;
use crate::support::app::TestApp;

#[tokio::test]
async fn actions_without_token_return_ranchers_401() {
    // Each action has its own client IP, because responses to failed logins are delayed per client IP.
    let app = TestApp::builder().setting("NORMAN_AKS_TRUSTED_PROXIES", "127.0.0.1/32").start().await;
    let actions = LISTINGS.into_iter().chain(["aksCheckCredentials", "aksNothing"]);
    for (n, action) in actions.enumerate() {
        let client_ip = format!("192.0.2.{n}");
        for token in [None, Some("token-nnnnn:wrong"), Some("rubbish"), Some("")] {
            let call = app.post(&format!("/meta/{action}")).header("x-forwarded-for", &client_ip);
            let call = match token {
                Some(token) => call.token(token),
                None => call.anonymous(),
            };
            let response = call.send().await;
            assert_eq!(response.status, 401, "{action} {token:?}");
            assert_eq!(response.header("content-type"), "application/json");
            let expected = "{\"type\":\"error\",\"status\":\"401\",\"message\":\"Unauthorized 401: must authenticate\"}\n";
            assert_eq!(response.text(), expected);
        }
    }
}

#[tokio::test]
async fn token_is_accepted_as_bearer_basic_or_cookie() {
    let (app, id) = TestApp::builder().start_with_credential().await;
    let path = format!("/meta/aksLocations?cloudCredentialId={id}");
    let basic = base64::engine::general_purpose::STANDARD.encode(&app.admin);
    for (name, value) in [
        ("authorization", format!("bearer {}", app.admin)),
        ("authorization", format!("Basic {basic}")),
        ("cookie", format!("a=b; R_SESS={}; CSRF=x", app.admin)),
    ] {
        let response = app.get(&path).anonymous().header(name, &value).send().await;
        assert_eq!(response.status, 200, "{name}: {}", response.text());
    }
}

#[tokio::test]
async fn every_method_works_like_get() {
    let (app, id) = TestApp::builder().start_with_credential().await;
    let path = format!("/meta/aksLocations?cloudCredentialId={id}");
    let expected = app.get(&path).send().await.body;
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "POST"] {
        let response = app.call(method.parse().unwrap(), &path).send().await;
        assert_eq!((response.status.as_u16(), response.body == expected), (200, true), "{method}");
    }
    let head = app.call(http::Method::HEAD, &path).send().await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.header("content-type"), "application/json");
}

#[tokio::test]
async fn foreign_pages_are_rejected_unless_configured() {
    let (app, id) = TestApp::builder()
        .setting("NORMAN_AKS_CORS_ORIGINS", "https://ui.example")
        .start_with_credential()
        .await;
    let path = format!("/meta/aksLocations?cloudCredentialId={id}");
    let cookie = format!("R_SESS={}", app.admin);
    for (site, origin, status) in [
        ("cross-site", "https://evil.example", 403),
        ("cross-site", "https://ui.example", 200),
        ("same-origin", "https://evil.example", 200),
        ("none", "", 200),
    ] {
        let call = app.get(&path).anonymous().header("cookie", &cookie).header("sec-fetch-site", site);
        let response = call.header("origin", origin).send().await;
        assert_eq!(response.status, status, "{site} {origin}");
        let allowed = if origin == "https://ui.example" { origin } else { "" };
        assert_eq!(response.header("access-control-allow-origin"), allowed, "{site} {origin}");
    }
    let preflight = app.call(http::Method::OPTIONS, &path).anonymous().header("origin", "https://ui.example");
    let preflight = preflight.header("access-control-request-method", "GET").send().await;
    assert_eq!(preflight.status, 204, "a preflight has no credentials");
    assert_eq!(preflight.header("access-control-allow-origin"), "https://ui.example");
}

#[tokio::test]
async fn request_id_is_generated_unless_a_valid_one_is_sent() {
    let app = TestApp::start().await;
    let generated = app.get("/meta/aksLocations").send().await;
    assert_eq!(generated.header("x-request-id").len(), 36);
    assert_eq!(generated.json()["requestId"], generated.header("x-request-id"));
    assert_eq!(generated.header("x-content-type-options"), "nosniff");
    let accepted = app.get("/meta/aksLocations").header("x-request-id", "trace-12345678").send().await;
    assert_eq!(accepted.header("x-request-id"), "trace-12345678");
    let replaced = app.get("/meta/aksLocations").header("x-request-id", "a\"b<script>").send().await;
    assert_eq!(replaced.header("x-request-id").len(), 36);
}

#[tokio::test]
async fn action_names_are_matched_exactly() {
    let app = TestApp::start().await;
    for path in ["/meta/AKSRegions", "/meta/aksRegions/", "/meta/aksRegions/x", "/meta/", "/meta/gkeZones"] {
        let response = app.post(path).json(&app.credential(&Value::Null)).send().await;
        assert_eq!(response.status, 404, "{path}");
    }
}

#[tokio::test]
async fn public_paths_need_no_token() {
    let app = TestApp::start().await;
    assert_eq!(app.get("/ping").anonymous().send().await.text(), "pong");
    for path in ["/livez", "/healthz", "/readyz", "/openapi.json", "/docs/"] {
        assert_eq!(app.get(path).anonymous().send().await.status, 200, "{path}");
    }
    for path in ["/v3", "/v3/schemas", "/v3/clusters", "/v3/cloudcredentials"] {
        assert_eq!(app.get(path).anonymous().send().await.status, 401, "{path}");
    }
}
