//! Azure's refusals and silences, and what a person reads of them.

use norman_aks::sandbox::{Effect, Fault, Operation, Refusal};
use serde_json::{Value, json};

use super::{LISTINGS, account};
use crate::support::app::TestApp;

#[tokio::test]
async fn a_missing_role_names_the_right_and_the_scope_to_give_it_on() {
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
        let body = account(&app, "no-role", &json!({"region": "eastus"}));
        let answer = app.post(&format!("/meta/{action}")).json(&body).send().await;
        assert_eq!(answer.status, 400, "{action}");
        let json = answer.json();
        assert!(
            answer.error().starts_with(&format!("{prefix}GET https://management.azure.com/subscriptions/"))
        );
        assert!(answer.error().contains("\nRESPONSE 403: 403 Forbidden\nERROR CODE: AuthorizationFailed\n"));
        assert_eq!((&json["code"], &json["upstreamStatus"]), (&json!("AuthorizationFailed"), &json!(403)));
        let hint = json["hint"].as_str().unwrap();
        assert!(hint.contains("/subscriptions/") && hint.contains("Reader"), "{hint}");
        assert!(answer.text().starts_with("{\"error\":"), "the text stands first");
    }
}

#[tokio::test]
async fn each_state_of_a_subscription_has_a_hint() {
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
        let body = account(&app, name, &json!({"region": "eastus"}));
        let answer = app.post(&format!("/meta/{action}")).json(&body).send().await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["code"]),
            (400, &json!(code)),
            "{}",
            answer.text()
        );
        assert!(answer.json()["hint"].as_str().unwrap().contains(hint), "{}", answer.text());
    }
    assert!(
        app.control.requests().iter().all(|seen| seen.method == "GET" || seen.operation == Operation::Token),
        "a listing changes nothing"
    );
}

#[tokio::test]
async fn an_unknown_region_is_refused_with_azures_words_and_a_hint() {
    let app = TestApp::start().await;
    for action in ["aksVersions", "aksVMSizes"] {
        let answer = app
            .post(&format!("/meta/{action}"))
            .json(&app.credential(&json!({"region": "atlantis"})))
            .send()
            .await;
        assert_eq!(answer.status, 400, "{action}");
        assert!(answer.json()["hint"].as_str().unwrap().contains("aksLocations"), "{}", answer.text());
    }
}

#[tokio::test]
async fn passing_failures_have_statuses_of_their_own_and_say_when_to_try_again() {
    let app = TestApp::start().await;
    let body = app.credential(&Value::Null);
    let refusal = |status| {
        Effect::Status(Refusal {
            status: Some(status),
            retry_after: Some("120".into()),
            ..Refusal::default()
        })
    };
    for (effect, status, after) in [
        (refusal(429), 429, "120"),
        (refusal(503), 503, "120"),
        (refusal(408), 504, "120"),
        (Effect::CutBeforeAnswer, 503, "5"),
        (Effect::CutInBody, 503, "5"),
    ] {
        app.control.clear_faults();
        app.control.add_fault(Fault {
            operation: Some(Operation::Locations),
            effect: Some(effect.clone()),
            ..Fault::default()
        });
        let answer = app.post("/meta/aksLocations").json(&body).send().await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("retry-after")),
            (status, after),
            "{effect:?}: {}",
            answer.text()
        );
        assert!(!answer.json()["hint"].as_str().unwrap().is_empty());
    }
    for after in ["aksLocations", "aksRegions"] {
        let body = account(&app, "throttled-login", &Value::Null);
        let answer = app.post(&format!("/meta/{after}")).json(&body).send().await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "75"), "{}", answer.text());
    }
}

#[tokio::test]
async fn answers_of_azure_that_are_no_answers_are_refused_and_never_half_shown() {
    let app = TestApp::start().await;
    for effect in
        [Effect::InvalidJson, Effect::TruncatedBody, Effect::ForeignNextLink("https://evil.example/x".into())]
    {
        for action in LISTINGS.into_iter().filter(|action| *action != "aksUpgrades") {
            app.control.clear_faults();
            app.control.add_fault(Fault {
                host: Some("management.azure.com".into()),
                effect: Some(effect.clone()),
                ..Fault::default()
            });
            let body = app.credential(&json!({"region": "eastus"}));
            let answer = app.post(&format!("/meta/{action}")).json(&body).send().await;
            assert!((400..600).contains(&answer.status.as_u16()), "{effect:?} {action}: {}", answer.text());
            assert!(!answer.error().is_empty());
        }
    }
    assert!(app.control.requests().iter().all(|seen| !seen.host.contains("evil")));
}
