//! What Azure is asked, and how often: the promises of the README's "how fresh" in requests counted by the sandbox.

use std::time::Duration;

use norman_aks::sandbox::{Effect, Fault, Operation, Refusal};
use serde_json::json;

use crate::support::app::{Answer, TestApp};

async fn versions(app: &TestApp) -> Answer {
    app.post("/meta/aksVersions").json(&app.credential(&json!({"region": "eastus"}))).send().await
}

async fn fresh_versions(app: &TestApp) -> Answer {
    let body = app.credential(&json!({"region": "eastus"}));
    app.post("/meta/aksVersions").header("cache-control", "max-age=0, No-Cache").json(&body).send().await
}

fn status(status: u16) -> Fault {
    let refusal = Refusal { status: Some(status), ..Refusal::default() };
    Fault {
        operation: Some(Operation::KubernetesVersions),
        effect: Some(Effect::Status(refusal)),
        ..Fault::default()
    }
}

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_cold_call_asks_twice_the_next_list_once_and_a_known_one_never() {
    let app = TestApp::start().await;
    let cold = versions(&app).await;
    assert_eq!((cold.header("x-norman-aks-cache"), cold.header("age")), ("miss", "0"));
    assert_eq!(app.upstream().len(), 2, "a token and the list");
    let body = app.credential(&json!({"region": "eastus"}));
    assert_eq!(app.post("/meta/aksLocations").json(&body).send().await.status, 200);
    assert_eq!(app.upstream().len(), 1, "the list");
    app.clock.advance(Duration::from_secs(90));
    let warm = versions(&app).await;
    assert_eq!((warm.header("x-norman-aks-cache"), warm.header("age")), ("hit", "90"));
    assert_eq!(warm.header("cache-control"), "private, no-cache");
    assert_eq!(warm.header("vary"), "Authorization, Cookie");
    assert_eq!(warm.body, cold.body);
    assert_eq!(app.upstream(), Vec::<String>::new());
}

#[tokio::test]
async fn a_hundred_equal_cold_calls_make_one_login_and_one_list() {
    let app = TestApp::start().await;
    app.control.add_fault(Fault { latency_ms: 50, ..Fault::default() });
    let calls = (0..100).map(|_| versions(&app));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.status, 200);
    }
    let mut seen = app.upstream();
    seen.sort();
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[tokio::test]
async fn a_hundred_calls_with_a_bad_secret_make_one_login() {
    let app = TestApp::start().await;
    let mut body = app.credential(&json!({"region": "eastus"}));
    body["clientSecret"] = "wrong".into();
    app.control.add_fault(Fault { latency_ms: 50, ..Fault::default() });
    let actions = ["aksVersions", "aksLocations", "aksVMSizes", "aksClusters"];
    let calls = (0..100).map(|n| app.post(&format!("/meta/{}", actions[n % 4])).json(&body).send());
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json()["code"], "AADSTS7000215");
    }
    assert_eq!(app.upstream().len(), 1);
}

#[tokio::test]
async fn past_its_time_a_list_is_served_once_more_while_a_new_one_is_loaded() {
    let app = TestApp::start().await;
    versions(&app).await;
    app.upstream();
    app.clock.advance(Duration::from_secs(15 * 60 + 1));
    let stale = versions(&app).await;
    assert_eq!((stale.header("x-norman-aks-cache"), stale.header("age")), ("stale", "901"));
    for _ in 0..200 {
        if versions(&app).await.header("x-norman-aks-cache") == "hit" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the list was not loaded anew");
}

#[tokio::test]
async fn networks_and_clusters_are_asked_anew_after_half_a_minute() {
    let app = TestApp::start().await;
    for action in ["aksVirtualNetworks", "aksClusters"] {
        let ask =
            async || app.post(&format!("/meta/{action}")).json(&app.credential(&json!({}))).send().await;
        ask().await;
        app.clock.advance(Duration::from_secs(30));
        assert_eq!(ask().await.header("x-norman-aks-cache"), "hit", "{action}");
        app.clock.advance(Duration::from_secs(1));
        assert_eq!(ask().await.header("x-norman-aks-cache"), "miss", "{action}");
    }
}

#[tokio::test]
async fn when_azure_fails_for_a_while_the_last_list_is_served_for_a_day() {
    let app = TestApp::start().await;
    let known = versions(&app).await;
    for fault in [
        status(503),
        status(429),
        status(408),
        Fault { effect: Some(Effect::CutBeforeAnswer), ..status(500) },
    ] {
        app.control.clear_faults();
        app.control.add_fault(fault);
        app.clock.advance(HOUR);
        let served = versions(&app).await;
        assert_eq!((served.status.as_u16(), served.header("x-norman-aks-cache")), (200, "stale"));
        assert_eq!(served.body, known.body);
        // Whoever wants a new list is told that there is none.
        assert_ne!(fresh_versions(&app).await.status, 200);
    }
    app.clock.advance(HOUR * 24);
    let too_old = versions(&app).await;
    assert_eq!(too_old.status, 503, "{}", too_old.text());
    assert!(too_old.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_list_that_azure_forbids_is_forgotten() {
    let app = TestApp::start().await;
    for refused in [403, 404] {
        assert_eq!(fresh_versions(&app).await.status, 200);
        app.control.add_fault(status(refused));
        assert_eq!(fresh_versions(&app).await.status, 400);
        app.control.clear_faults();
        assert_eq!(versions(&app).await.header("x-norman-aks-cache"), "miss", "{refused}");
    }
}

#[tokio::test]
async fn a_refused_login_takes_every_list_of_the_credential_away() {
    let app = TestApp::start().await;
    let body = app.credential(&json!({"region": "eastus"}));
    versions(&app).await;
    app.post("/meta/aksLocations").json(&body).send().await;
    app.control.forget_tokens();
    let refusal = Refusal { status: Some(401), ..Refusal::default() };
    app.control.add_fault(Fault {
        operation: Some(Operation::Token),
        effect: Some(Effect::Status(refusal)),
        ..Fault::default()
    });
    assert_eq!(fresh_versions(&app).await.status, 400);
    for action in ["aksVersions", "aksLocations"] {
        let answer = app.post(&format!("/meta/{action}")).json(&body).send().await;
        assert_eq!(answer.status, 400, "{action}: {}", answer.header("x-norman-aks-cache"));
    }
}

#[tokio::test]
async fn two_secrets_of_one_application_share_nothing() {
    let app = TestApp::start().await;
    versions(&app).await;
    let mut other = app.credential(&json!({"region": "eastus"}));
    other["clientSecret"] = app.seed.client_secret_2.into();
    app.upstream();
    let answer = app.post("/meta/aksVersions").json(&other).send().await;
    assert_eq!(answer.header("x-norman-aks-cache"), "miss");
    assert_eq!(app.upstream().len(), 2);
    other["clientSecret"] = "guessed".into();
    assert_eq!(app.post("/meta/aksVersions").json(&other).send().await.status, 400);
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_end_the_load_that_others_wait_for() {
    let app = TestApp::start().await;
    app.control.add_fault(Fault { latency_ms: 200, ..Fault::default() });
    let gone = tokio::time::timeout(Duration::from_millis(50), versions(&app)).await;
    assert!(gone.is_err());
    assert_eq!(versions(&app).await.status, 200);
    assert_eq!(app.upstream().len(), 2, "the load went on");
}

#[tokio::test]
async fn versions_and_upgrades_share_one_list() {
    let app = TestApp::start().await;
    let credential = app.stored_credential(&app.admin).await;
    let cluster = json!({"name": "c", "aksConfig": {"clusterName": "c", "resourceGroup": "g", "resourceLocation": "eastus",
        "imported": true, "azureCredentialSecret": credential, "kubernetesVersion": app.seed.kubernetes_version}});
    let id = app.post("/v3/clusters").json(&cluster).send().await.json()["id"].as_str().unwrap().to_owned();
    app.get(&format!("/meta/aksVersions?cloudCredentialId={credential}&region=eastus")).send().await;
    app.upstream();
    let upgrades =
        app.get(&format!("/meta/aksUpgrades?cloudCredentialId={credential}&clusterId={id}")).send().await;
    assert_eq!(upgrades.header("x-norman-aks-cache"), "hit", "{}", upgrades.text());
    assert_eq!(app.upstream(), Vec::<String>::new());
}
