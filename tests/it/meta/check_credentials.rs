//! `aksCheckCredentials`: always asked of Azure, and a cut cable is no wrong password.

use norman_aks::sandbox::{Effect, Fault, Operation, Refusal};
use serde_json::Value;

use super::account;
use crate::support::app::TestApp;

const PATH: &str = "/meta/aksCheckCredentials";

#[tokio::test]
async fn a_good_credential_is_answered_with_an_empty_body_and_a_new_login_each_time() {
    let app = TestApp::start().await;
    for _ in 0..2 {
        let answer = app.post(PATH).json(&app.credential(&Value::Null)).send().await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, ""));
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(app.upstream().len(), 2, "a token and the subscription");
    }
}

#[tokio::test]
async fn only_post_is_allowed_and_what_is_missing_is_named() {
    let app = TestApp::start().await;
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = app.call(method.parse().unwrap(), PATH).send().await;
        assert_eq!(
            (answer.status.as_u16(), answer.error().as_str()),
            (405, "use POST for this endpoint"),
            "{method}"
        );
        assert_eq!(answer.header("allow"), "");
    }
    for (body, expected) in [
        ("null", "must provide subscriptionId"),
        (r#"{"subscriptionId":"s"}"#, "must provide clientId"),
        (r#"{"subscriptionId":"s","clientId":"c"}"#, "must provide clientSecret"),
        ("{", "cannot parse request body: unexpected end of JSON input"),
    ] {
        let answer = app.post(PATH).body(body).send().await;
        assert_eq!((answer.status.as_u16(), answer.error().as_str()), (400, expected), "{body}");
    }
}

#[tokio::test]
async fn each_way_to_be_refused_has_its_status_its_code_and_a_hint() {
    let app = TestApp::start().await;
    let mut wrong_secret = app.credential(&Value::Null);
    wrong_secret["clientSecret"] = "wrong".into();
    let mut unknown_client = app.credential(&Value::Null);
    unknown_client["clientId"] = "00000000-0000-4000-8000-00000000dead".into();
    let mut unknown_tenant = app.credential(&Value::Null);
    unknown_tenant["tenantId"] = "00000000-0000-4000-8000-00000000dead".into();
    for (body, code, hint) in [
        (wrong_secret, "AADSTS7000215", "not its id"),
        (account(&app, "expired-secret", &Value::Null), "AADSTS7000222", "expired"),
        (account(&app, "disabled-app", &Value::Null), "AADSTS7000112", "disabled"),
        (unknown_client, "AADSTS700016", "clientId"),
        (unknown_tenant, "AADSTS90002", "tenant"),
        (account(&app, "no-role", &Value::Null), "AuthorizationFailed", "Reader"),
    ] {
        let answer = app.post(PATH).json(&body).send().await;
        assert_eq!(answer.status, 401, "{code}: {}", answer.text());
        let json = answer.json();
        assert_eq!(json["code"], code, "{}", answer.text());
        assert!(json["hint"].as_str().unwrap().contains(hint), "{}", json["hint"]);
        assert!(answer.error().starts_with("invalid credentials: "), "{}", answer.error());
        assert_eq!(json["requestId"], answer.header("x-request-id"));
    }
}

#[tokio::test]
async fn the_dashboard_finds_what_a_refused_login_means_on_the_first_line() {
    let app = TestApp::start().await;
    let body = account(&app, "expired-secret", &Value::Null);
    let error = app.post(PATH).json(&body).send().await.error();
    let (_, json) = error.lines().next().unwrap().split_once("Response body: ").unwrap();
    let described: Value = serde_json::from_str(json).unwrap();
    assert!(described["error_description"].as_str().unwrap().starts_with("AADSTS7000222"), "{described}");
}

#[tokio::test]
async fn an_unknown_subscription_without_a_tenant_is_told_on_one_line() {
    let app = TestApp::start().await;
    let mut body = app.credential(&Value::Null);
    body.as_object_mut().unwrap().remove("tenantId");
    body["subscriptionId"] = "00000000-0000-4000-8000-00000000dead".into();
    let answer = app.post(PATH).json(&body).send().await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let error = answer.error();
    assert!(error.starts_with("could not find tenant ID for Azure environment AzurePublicCloud: Unexpected response from Get Subscription: "), "{error}");
    // The dashboard's first rule.
    assert!(!error.contains('\n') && error.contains("Message=\"") && error.ends_with('"'), "{error}");
}

#[tokio::test]
async fn what_passes_by_itself_is_no_wrong_password() {
    let app = TestApp::start().await;
    let throttled = app.post(PATH).json(&account(&app, "throttled-login", &Value::Null)).send().await;
    assert_eq!(
        (throttled.status.as_u16(), throttled.header("retry-after")),
        (429, "75"),
        "{}",
        throttled.text()
    );
    let throttled = app.post(PATH).json(&account(&app, "throttled", &Value::Null)).send().await;
    assert_eq!(
        (throttled.status.as_u16(), throttled.header("retry-after")),
        (429, "75"),
        "{}",
        throttled.text()
    );
    for (operation, effect, status) in [
        (Operation::Subscription, Effect::Status(Refusal { status: Some(503), ..Refusal::default() }), 503),
        (Operation::Subscription, Effect::CutBeforeAnswer, 503),
        (Operation::Token, Effect::Status(Refusal { status: Some(500), ..Refusal::default() }), 503),
        (Operation::Token, Effect::CutBeforeAnswer, 503),
    ] {
        app.control.clear_faults();
        app.control.add_fault(Fault {
            operation: Some(operation),
            effect: Some(effect.clone()),
            ..Fault::default()
        });
        let answer = app.post(PATH).json(&app.credential(&Value::Null)).send().await;
        assert_eq!(answer.status, status, "{effect:?}: {}", answer.text());
        assert!(answer.headers.contains_key("retry-after"));
    }
}

#[tokio::test]
async fn a_remembered_failure_does_not_answer_for_azure() {
    let app = TestApp::start().await;
    let refusal = Refusal { status: Some(401), ..Refusal::default() };
    let fault = Fault {
        operation: Some(Operation::Token),
        times: Some(1),
        effect: Some(Effect::Status(refusal)),
        ..Fault::default()
    };
    app.control.add_fault(fault);
    let body = app.credential(&Value::Null);
    assert_eq!(app.post(PATH).json(&body).send().await.status, 401);
    assert_eq!(app.post(PATH).json(&body).send().await.status, 200);
}
