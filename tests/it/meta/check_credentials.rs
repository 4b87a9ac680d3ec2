//! `aksCheckCredentials`: always sent to Azure; a failed connection is not reported as a wrong secret.

use azure_sandbox::{Effect, Operation};
use serde_json::{Value, json};

use super::account_body;
use crate::support::app::TestApp;
use crate::support::fault;

const PATH: &str = "/meta/aksCheckCredentials";

#[tokio::test]
async fn every_check_logs_in_and_returns_an_empty_body() {
    let app = TestApp::start().await;
    for _ in 0..2 {
        let response = app.post(PATH).json(&app.credential(&Value::Null)).send().await;
        assert_eq!((response.status.as_u16(), response.text().as_str()), (200, ""));
        assert_eq!(response.header("content-type"), "application/json");
        assert_eq!(app.take_azure_requests().len(), 2, "a token and the subscription");
    }
}

#[tokio::test]
async fn only_post_is_allowed_and_missing_fields_are_named() {
    let app = TestApp::start().await;
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let response = app.call(method.parse().unwrap(), PATH).send().await;
        assert_eq!(
            (response.status.as_u16(), response.error().as_str()),
            (405, "use POST for this endpoint"),
            "{method}"
        );
        assert_eq!(response.header("allow"), "");
    }
    for (body, expected) in [
        ("null", "must provide subscriptionId"),
        (r#"{"subscriptionId":"s"}"#, "must provide clientId"),
        (r#"{"subscriptionId":"s","clientId":"c"}"#, "must provide clientSecret"),
        ("{", "cannot parse request body: unexpected end of JSON input"),
    ] {
        let response = app.post(PATH).body(body).send().await;
        assert_eq!((response.status.as_u16(), response.error().as_str()), (400, expected), "{body}");
    }
}

#[tokio::test]
async fn rejected_credentials_have_azures_code_and_a_hint() {
    let app = TestApp::start().await;
    let mut wrong_secret = app.credential(&Value::Null);
    wrong_secret["clientSecret"] = "wrong".into();
    let mut unknown_client = app.credential(&Value::Null);
    unknown_client["clientId"] = "00000000-0000-4000-8000-00000000dead".into();
    let mut unknown_tenant = app.credential(&Value::Null);
    unknown_tenant["tenantId"] = "00000000-0000-4000-8000-00000000dead".into();
    for (body, code, hint) in [
        (wrong_secret, "AADSTS7000215", "not its ID"),
        (account_body(&app, "expired-secret", &Value::Null), "AADSTS7000222", "expired"),
        (account_body(&app, "disabled-app", &Value::Null), "AADSTS7000112", "disabled"),
        (unknown_client, "AADSTS700016", "clientId"),
        (unknown_tenant, "AADSTS90002", "tenant"),
        (account_body(&app, "no-role", &Value::Null), "AuthorizationFailed", "Reader"),
    ] {
        let response = app.post(PATH).json(&body).send().await;
        assert_eq!(response.status, 401, "{code}: {}", response.text());
        let json = response.json();
        assert_eq!(json["code"], code, "{}", response.text());
        assert!(json["hint"].as_str().unwrap().contains(hint), "{}", json["hint"]);
        assert!(response.error().starts_with("invalid credentials: "), "{}", response.error());
        assert_eq!(json["requestId"], response.header("x-request-id"));
    }
}

#[tokio::test]
async fn rejected_login_is_explained_on_the_first_line() {
    let app = TestApp::start().await;
    let body = account_body(&app, "expired-secret", &Value::Null);
    let error = app.post(PATH).json(&body).send().await.error();
    let (_, json) = error.lines().next().unwrap().split_once("Response body: ").unwrap();
    let entra_error: Value = serde_json::from_str(json).unwrap();
    assert!(entra_error["error_description"].as_str().unwrap().starts_with("AADSTS7000222"), "{entra_error}");
}

#[tokio::test]
async fn unknown_subscription_without_tenant_has_a_one_line_error() {
    let app = TestApp::start().await;
    let mut body = app.credential(&Value::Null);
    body.as_object_mut().unwrap().remove("tenantId");
    body["subscriptionId"] = "00000000-0000-4000-8000-00000000dead".into();
    let error = app.post(PATH).json(&body).send().await.expect(400).error();
    assert!(error.starts_with("could not find tenant ID for Azure environment AzurePublicCloud: Unexpected response from Get Subscription: "), "{error}");
    // The first pattern by which the dashboard finds a message: docs/contract/azure-errors.md.
    assert!(!error.contains('\n') && error.contains("Message=\"") && error.ends_with('"'), "{error}");
}

#[tokio::test]
async fn transient_error_is_not_a_rejected_credential() {
    let app = TestApp::start().await;
    let throttled = app.post(PATH).json(&account_body(&app, "throttled-login", &Value::Null)).send().await;
    assert_eq!(
        (throttled.status.as_u16(), throttled.header("retry-after")),
        (429, "75"),
        "{}",
        throttled.text()
    );
    let throttled = app.post(PATH).json(&account_body(&app, "throttled", &Value::Null)).send().await;
    assert_eq!(
        (throttled.status.as_u16(), throttled.header("retry-after")),
        (429, "75"),
        "{}",
        throttled.text()
    );
    for (operation, effect, status) in [
        (Operation::Subscription, fault::status(503), 503),
        (Operation::Subscription, Effect::CutBeforeAnswer, 503),
        (Operation::Token, fault::status(500), 503),
        (Operation::Token, Effect::CutBeforeAnswer, 503),
    ] {
        app.control.clear_faults();
        app.control.add_fault(fault::for_operation(operation, effect.clone()));
        let response = app.post(PATH).json(&app.credential(&Value::Null)).send().await;
        assert_eq!(response.status, status, "{effect:?}: {}", response.text());
        assert!(response.headers.contains_key("retry-after"));
    }
}

#[tokio::test]
async fn check_ignores_cached_login_failures() {
    let app = TestApp::start().await;
    app.control.add_fault(fault::once(fault::for_operation(Operation::Token, fault::status(401))));
    let body = app.credential(&Value::Null);
    assert_eq!(app.post(PATH).json(&body).send().await.status, 401);
    assert_eq!(app.post(PATH).json(&body).send().await.status, 200);
}

#[tokio::test]
async fn pasted_values_are_trimmed() {
    let app = TestApp::start().await;
    let valid = app.credential(&Value::Null);
    let affixes = [
        ("", "\n"),
        ("\u{a0}", ""),
        (" ", " "),
        ("\r\n", "\t"),
        ("\u{feff}", ""),
        ("", "\u{200b}"),
        ("{", "}"),
    ];
    for key in ["tenantId", "subscriptionId", "clientId", "clientSecret", "environment"] {
        for (before, after) in affixes {
            // Braces are removed only from IDs.
            if before == "{" && matches!(key, "clientSecret" | "environment") {
                continue;
            }
            let mut body = valid.clone();
            let value = valid[key].as_str().unwrap_or("AzurePublicCloud").to_owned();
            body[key] = format!("{before}{value}{after}").into();
            let response = app.post(PATH).json(&body).send().await;
            assert_eq!(response.status, 200, "{key} {before:?} {after:?}: {}", response.text());
        }
    }
    // A missing tenant is discovered from the subscription.
    let mut body = valid.clone();
    body.as_object_mut().unwrap().remove("tenantId");
    body["subscriptionId"] = format!("{{{}}}\n", valid["subscriptionId"].as_str().unwrap()).into();
    assert_eq!(app.post(PATH).json(&body).send().await.status, 200);
}

#[tokio::test]
async fn values_of_whitespace_alone_are_missing() {
    let app = TestApp::start().await;
    for (key, value) in [("subscriptionId", " "), ("clientId", "\u{a0}"), ("clientSecret", "\n")] {
        let mut body = app.credential(&Value::Null);
        body[key] = value.into();
        let response = app.post(PATH).json(&body).send().await;
        assert_eq!((response.status.as_u16(), response.error()), (400, format!("must provide {key}")));
    }
}

#[tokio::test]
async fn malformed_id_hint_shows_the_format() {
    let app = TestApp::start().await;
    for (key, value) in [("tenantId", "{contoso}"), ("tenantId", "a b"), ("subscriptionId", "{0000}")] {
        let mut body = app.credential(&Value::Null);
        body[key] = value.into();
        let response = app.post(PATH).json(&body).send().await;
        assert!(matches!(response.status.as_u16(), 400 | 401), "{}", response.text());
        let hint = response.json()["hint"].as_str().unwrap().to_owned();
        assert!(hint.contains("00000000-0000-0000-0000-000000000000"), "{key} {value}: {hint}");
    }
}

/// Makes logins with this secret fail with these AADSTS numbers.
fn fail_logins(app: &TestApp, secret: &str, numbers: &[u64]) {
    let messages =
        numbers.iter().map(|number| format!("AADSTS{number}: As Entra says it.")).collect::<Vec<_>>();
    let body =
        json!({"error": "invalid_request", "error_description": messages.join(" "), "error_codes": numbers});
    let page = json!({"status": 400, "body": body});
    let login = json!({"secret": secret, "outcome": {"answer": page}});
    app.control.script_login(serde_json::from_value(login).unwrap());
}

#[tokio::test]
async fn entra_codes_have_hints() {
    let app = TestApp::start().await;
    let cloud = "environment to AzureChinaCloud or AzureUSGovernmentCloud";
    for (numbers, expected) in [
        (&[900_382][..], cloud),
        (&[90_038], cloud),
        (&[900_432], cloud),
        (&[70_002, 50_012], "the client secret is wrong"),
        (&[50_012], "the client secret is wrong"),
        (&[7_000_218], "no client secret"),
        (&[500_014], "Azure Resource Manager is disabled"),
        (&[500_011], "does not know Azure Resource Manager"),
        (&[650_052], "az ad sp create --id 797f4846-ba00-4fd7-ba43-dac1f8f63013"),
        (&[50_128], "tenantId does not name a tenant"),
        (&[50_059], "tenantId does not name a tenant"),
        (&[530_035], "security defaults"),
        (&[530_004], "compliant device"),
        (&[53_003], "conditional access policy"),
        (&[50_057], "is disabled"),
        (&[7_000_112], "is disabled"),
        (&[500_021], "tenant restrictions"),
        (&[7_000_229], "az ad sp create --id 0"),
        (&[7_000_222], "az ad app credential reset --id 0"),
        // The first number has no hint, the second has one.
        (&[50_000, 900_023], "the tenant does not exist"),
    ] {
        fail_logins(&app, "scripted-secret", numbers);
        let mut body = app.credential(&Value::Null);
        body["clientSecret"] = "scripted-secret".into();
        body["clientId"] = "00000000-0000-4000-8000-0000000000c1".into();
        let response = app.post(PATH).json(&body).send().await;
        assert_eq!(response.status, 401, "{numbers:?}: {}", response.text());
        let json = response.json();
        assert_eq!(json["code"], format!("AADSTS{}", numbers[0]));
        let hint = json["hint"].as_str().unwrap_or_default();
        assert!(hint.contains(expected), "{numbers:?}: {hint}");
    }
}

#[tokio::test]
async fn other_cloud_hint_names_the_other_clouds() {
    let app = TestApp::start().await;
    fail_logins(&app, "scripted-secret", &[900_382]);
    let mut body = account_body(&app, "us-government", &Value::Null);
    body["clientSecret"] = "scripted-secret".into();
    let response = app.post(PATH).json(&body).send().await;
    let hint = response.json()["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("environment to AzurePublicCloud or AzureChinaCloud"), "{hint}");
}

#[tokio::test]
async fn proxy_page_is_not_a_rejected_credential() {
    let app = TestApp::start().await;
    for (status, content_type, body) in [
        (403, "text/html", "<html><title>Access Denied</title></html>"),
        (200, "text/html; charset=utf-8", "<!DOCTYPE html><p>Log in</p>"),
        (407, "text/plain", "authenticate"),
        (502, "text/html", "<html>"),
        (403, "text/plain", "blocked"),
    ] {
        let page = json!({"status": status, "headers": {"Content-Type": content_type}, "body": body});
        let login = json!({"secret": "scripted-secret", "outcome": {"answer": page}});
        app.control.script_login(serde_json::from_value(login).unwrap());
        let mut credential = app.credential(&Value::Null);
        credential["clientSecret"] = "scripted-secret".into();
        let response = app.post(PATH).json(&credential).send().await;
        assert_ne!(response.status, 401, "{status} {content_type}: {}", response.text());
        let hint = response.json()["hint"].as_str().unwrap_or_default().to_owned();
        assert!(hint.starts_with("this response is not from Azure ("), "{status} {content_type}: {hint}");
        assert!(hint.contains("HTTPS_PROXY") && hint.contains("SSL_CERT_FILE"), "{hint}");
        assert!(!hint.contains("role"), "{hint}");
    }
}
