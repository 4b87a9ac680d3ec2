//! Azure's errors and timeouts, and the messages for users.

use std::time::Duration;

use azure_sandbox::{Effect, ErrorResponse, Operation};
use serde_json::{Value, json};

use super::{LISTINGS, account_body};
use crate::support::app::TestApp;
use crate::support::fault;

#[tokio::test]
async fn missing_role_hint_names_right_and_scope() {
    let app = TestApp::start().await;
    for (action, prefix) in [
        ("aksClusters", "failed to get cluster list: "),
        ("aksVirtualNetworks", "failed to get networks: "),
        ("aksVersions", "failed to get Kubernetes versions: "),
        ("aksVMSizes", "failed to get VM sizes: "),
        ("aksVMSizesV2", "failed to get VM sizes: "),
        ("aksLocations", "failed to get locations: "),
        ("aksRegions", "failed to get regions: "),
    ] {
        let body = account_body(&app, "no-role", &json!({"region": "eastus"}));
        let response = app.post(&format!("/meta/{action}")).json(&body).send().await;
        assert_eq!(response.status, 400, "{action}");
        let json = response.json();
        assert!(
            response.error().starts_with(&format!("{prefix}GET https://management.azure.com/subscriptions/"))
        );
        assert!(
            response.error().contains("\nRESPONSE 403: 403 Forbidden\nERROR CODE: AuthorizationFailed\n")
        );
        assert_eq!((&json["code"], &json["upstreamStatus"]), (&json!("AuthorizationFailed"), &json!(403)));
        let hint = json["hint"].as_str().unwrap();
        assert!(hint.contains("/subscriptions/") && hint.contains("Reader"), "{hint}");
        assert!(response.text().starts_with("{\"error\":"), "the message comes first");
    }
}

#[tokio::test]
async fn subscription_and_login_errors_have_hints() {
    let app = TestApp::start().await;
    for (name, action, code, hint) in [
        ("disabled-subscription", "aksClusters", "ReadOnlyDisabledSubscription", "enable it"),
        (
            "unregistered",
            "aksVersions",
            "MissingSubscriptionRegistration",
            "az provider register --namespace Microsoft.ContainerService",
        ),
        ("expired-secret", "aksVersions", "AADSTS7000222", "expired"),
    ] {
        let body = account_body(&app, name, &json!({"region": "eastus"}));
        let response = app.post(&format!("/meta/{action}")).json(&body).send().await;
        assert_eq!(
            (response.status.as_u16(), &response.json()["code"]),
            (400, &json!(code)),
            "{}",
            response.text()
        );
        assert!(response.json()["hint"].as_str().unwrap().contains(hint), "{}", response.text());
    }
    assert!(
        app.control
            .requests()
            .iter()
            .all(|request| request.method == "GET" || request.operation == Operation::Token),
        "a listing changes nothing"
    );
}

#[tokio::test]
async fn unknown_region_has_a_hint() {
    let app = TestApp::start().await;
    for action in ["aksVersions", "aksVMSizes"] {
        let response = app
            .post(&format!("/meta/{action}"))
            .json(&app.credential(&json!({"region": "atlantis"})))
            .send()
            .await;
        assert_eq!(response.status, 400, "{action}");
        assert!(response.json()["hint"].as_str().unwrap().contains("aksLocations"), "{}", response.text());
    }
}

#[tokio::test]
async fn transient_errors_have_own_statuses_and_retry_after() {
    let app = TestApp::start().await;
    let body = app.credential(&Value::Null);
    let error_with_retry_after = |status| {
        Effect::Status(ErrorResponse {
            status: Some(status),
            retry_after: Some("120".into()),
            ..ErrorResponse::default()
        })
    };
    for (effect, status, retry_after) in [
        (error_with_retry_after(429), 429, "120"),
        (error_with_retry_after(503), 503, "120"),
        (error_with_retry_after(408), 504, "120"),
        (Effect::CutBeforeAnswer, 503, "5"),
        (Effect::CutInBody, 503, "5"),
    ] {
        app.control.clear_faults();
        app.control.add_fault(fault::for_operation(Operation::Locations, effect.clone()));
        let response = app.post("/meta/aksLocations").json(&body).send().await;
        assert_eq!(
            (response.status.as_u16(), response.header("retry-after")),
            (status, retry_after),
            "{effect:?}: {}",
            response.text()
        );
        assert!(!response.json()["hint"].as_str().unwrap().is_empty());
        // After a 429, the server sends no more requests of this kind until `retry-after` has passed.
        app.clock.advance(Duration::from_mins(2));
    }
    for action in ["aksLocations", "aksRegions"] {
        let body = account_body(&app, "throttled-login", &Value::Null);
        let response = app.post(&format!("/meta/{action}")).json(&body).send().await;
        assert_eq!(
            (response.status.as_u16(), response.header("retry-after")),
            (429, "75"),
            "{}",
            response.text()
        );
    }
}

#[tokio::test]
async fn malformed_azure_responses_are_errors() {
    let app = TestApp::start().await;
    for effect in
        [Effect::InvalidJson, Effect::TruncatedBody, Effect::ForeignNextLink("https://evil.example/x".into())]
    {
        for action in LISTINGS.into_iter().filter(|action| *action != "aksUpgrades") {
            app.control.clear_faults();
            app.control.add_fault(fault::for_host("management.azure.com", effect.clone()));
            let body = app.credential(&json!({"region": "eastus"}));
            let response = app.post(&format!("/meta/{action}")).json(&body).send().await;
            assert!(
                (400..600).contains(&response.status.as_u16()),
                "{effect:?} {action}: {}",
                response.text()
            );
            assert!(!response.error().is_empty());
        }
    }
    assert!(app.control.requests().iter().all(|request| !request.host.contains("evil")));
}

/// Sets the response of Azure to the next listings of clusters.
fn play_clusters(app: &TestApp, status: u16, content_type: &str, body: &Value) {
    let page = json!({"status": status, "headers": {"Content-Type": content_type}, "body": body});
    let pages = vec![serde_json::from_value(page).unwrap()];
    app.control.play(app.seed.subscription_id, "managedClusters", pages).unwrap();
}

#[tokio::test]
async fn proxy_page_is_reported_for_every_status() {
    let app = TestApp::start().await;
    let body = app.credential(&Value::Null);
    let html = json!("<html><title>Access Denied</title></html>");
    for (status, content_type, page) in [
        (403, "text/html", &html),
        (200, "text/html", &html),
        (407, "text/html", &html),
        (502, "text/html", &html),
        (404, "TEXT/HTML; charset=iso-8859-1", &html),
        (401, "text/html", &html),
        (403, "application/json", &html),
        (403, "text/plain", &json!("blocked")),
        (407, "text/plain", &json!("")),
    ] {
        play_clusters(&app, status, content_type, page);
        let response = app.post("/meta/aksClusters").json(&body).send().await;
        let expected = if status == 502 { 503 } else { 400 };
        assert_eq!(response.status.as_u16(), expected, "{status} {content_type}: {}", response.text());
        let hint = super::hint(&response);
        assert!(hint.starts_with("this response is not from Azure ("), "{status} {content_type}: {hint}");
        assert!(hint.contains("HTTPS_PROXY") && hint.contains("SSL_CERT_FILE"), "{hint}");
        assert!(!hint.contains("role") && !hint.contains("internal problem"), "{hint}");
        assert_eq!(response.json()["upstreamStatus"], status);
    }
    // Azure's own 403 keeps its hint.
    let denied = json!({"error": {"code": "AuthorizationFailed", "message": "may not perform action 'a/read' over scope '/s'."}});
    play_clusters(&app, 403, "application/json; charset=utf-8", &denied);
    let response = app.post("/meta/aksClusters").json(&body).send().await;
    assert!(super::hint(&response).contains("a/read"), "{}", response.text());
}

#[tokio::test]
async fn proxy_page_does_not_evict_lists() {
    let app = TestApp::start().await;
    let body = app.credential(&Value::Null);
    assert_eq!(app.post("/meta/aksClusters").json(&body).send().await.status, 200);
    app.clock.advance(Duration::from_secs(31));
    play_clusters(&app, 403, "text/html", &json!("<html>"));
    let response = app.post("/meta/aksClusters").json(&body).send().await;
    assert_eq!(
        (response.status.as_u16(), response.header("x-norman-aks-cache")),
        (200, "stale"),
        "{}",
        response.text()
    );
}

#[tokio::test]
async fn linked_denial_names_right_and_scope() {
    let app = TestApp::start().await;
    let body = app.credential(&Value::Null);
    let join = "Microsoft.Network/virtualNetworks/subnets/join/action";
    let start = "The client 'a' with object id 'b' has permission to perform action \
                 'Microsoft.ContainerService/managedClusters/write' on scope 'A'; however, ";
    for denial in [
        format!(
            "it does not have permission to perform action '{join}' on the linked scope(s) 'B' or the linked scope(s) are invalid."
        ),
        format!(
            "it does not have permission to perform action(s) '{join}' on the linked scope(s) 'B' (respectively) or the linked scope(s) are invalid."
        ),
        format!(
            "it does not have permission to perform action(s) '{join}' on the linked scope(s) 'B (respectively) or the linked scope(s) are invalid."
        ),
    ] {
        let error =
            json!({"error": {"code": "LinkedAuthorizationFailed", "message": format!("{start}{denial}")}});
        play_clusters(&app, 403, "application/json", &error);
        let hint = super::hint(&app.post("/meta/aksClusters").json(&body).send().await);
        assert!(hint.contains(&format!("{join} on B: give it the role Network Contributor")), "{hint}");
        assert!(!hint.contains("managedClusters/write") && !hint.contains("role Contributor"), "{hint}");
    }
}
