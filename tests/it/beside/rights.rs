//! Permissions of callers: callers and credentials in combination, credentials in the body, and clusters.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::app::{BesideApp, seed};
use super::rancher::{FakeRancher, json as json_response};
use super::rancher_state::{CREDENTIAL, OTHER, OWNER, RancherState, UNAUTHORIZED};
use crate::support::app::seed_credential;

const SECOND_CREDENTIAL: &str = "cattle-global-data:cc-bbbbb";

fn inline_credential(overrides: &Value) -> Value {
    seed_credential(&seed(), overrides)
}

#[tokio::test]
async fn caller_may_use_only_credentials_that_rancher_shows_to_it() {
    let state = RancherState::new();
    state.put_credential(SECOND_CREDENTIAL, seed().client_secret, &["other"]);
    let app = BesideApp::with_state(&state).await;
    for _ in 0..2 {
        for (credential, token, status) in [
            (CREDENTIAL, OWNER, 200),
            (SECOND_CREDENTIAL, OWNER, 422),
            (CREDENTIAL, OTHER, 422),
            (SECOND_CREDENTIAL, OTHER, 200),
        ] {
            let response = app.get_versions(credential, token).send().await;
            assert_eq!(response.status, status, "{credential} {token}");
            assert_eq!(response.header("x-api-cattle-auth"), "true");
        }
    }
    assert_eq!(app.get_versions(CREDENTIAL, "token-none:unknown").send().await.text(), UNAUTHORIZED);
}

#[tokio::test]
async fn lists_and_errors_have_the_headers_and_keys_of_this_server() {
    let (app, _) = BesideApp::start().await;
    let response = app.get_versions(CREDENTIAL, OWNER).send().await;
    assert_eq!(response.header("cache-control"), "private, no-cache");
    assert_eq!(response.header("vary"), "Authorization, Cookie, Accept-Encoding");
    let response = app.get_versions(CREDENTIAL, OTHER).send().await;
    assert!(!response.headers.contains_key("cache-control"));
    let body = response.json();
    let keys: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["error", "hint", "requestId"]);
}

#[tokio::test]
async fn decisions_save_lookups_but_every_token_is_looked_up() {
    let (app, state) = BesideApp::start().await;
    for _ in 0..3 {
        assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.status, 200);
    }
    assert_eq!(app.rancher.take_requests().len(), 1);
    let tokens: Vec<String> = (0..1000).map(|n| format!("token-{n}:key-of-one-of-many")).collect();
    for (n, token) in tokens.iter().enumerate() {
        state.add_user(if n % 2 == 0 { "owner" } else { "other" }, token);
    }
    for batch in tokens.chunks(100) {
        let responses = join_all(batch.iter().map(|token| app.get_versions(CREDENTIAL, token).send())).await;
        for (n, response) in responses.iter().enumerate() {
            assert_eq!(response.status, if n % 2 == 0 { 200 } else { 422 }, "{}", batch[n]);
        }
    }
    assert_eq!(app.rancher.take_requests().len(), 1000);
    assert_eq!(app.take_version_list_count(), 1, "one list for all callers who may see it");
}

#[tokio::test]
async fn cookie_bearer_and_basic_are_the_same_user() {
    use base64::Engine as _;
    let (app, _) = BesideApp::start().await;
    let basic = base64::engine::general_purpose::STANDARD.encode(OWNER);
    let path = format!("/meta/aksVersions?cloudCredentialId={CREDENTIAL}&region=eastus");
    for (name, value) in [
        ("authorization", format!("Basic {basic}")),
        ("authorization", format!("bearer {OWNER}")),
        ("cookie", format!("CSRF=abc; R_SESS={OWNER}; other=1")),
    ] {
        let response = app.get(&path, "").anonymous().header(name, &value).send().await;
        assert_eq!(response.status, 200, "{name}");
        let request = app.rancher.requests().pop().unwrap();
        let expected = if name == "cookie" { format!("R_SESS={OWNER}") } else { value };
        assert_eq!(request.header_values(name), [expected], "forwarded unchanged, without other cookies");
        assert!(
            request.header("user-agent").starts_with("norman-aks/"),
            "Rancher requires a CSRF token only of browsers"
        );
        assert_eq!(request.header("x-forwarded-proto"), "https");
    }
}

#[tokio::test]
async fn cookies_that_are_not_ascii_do_not_hide_the_session() {
    let (app, _) = BesideApp::start().await;
    let path = format!("/meta/aksVersions?cloudCredentialId={CREDENTIAL}&region=eastus");
    let cookies = format!("theme=größer; R_SESS={OWNER}");
    app.get(&path, "").anonymous().header("cookie", &cookies).send().await.expect(200);
}

#[tokio::test]
async fn empty_authorization_does_not_hide_the_cookie() {
    let (app, _) = BesideApp::start().await;
    let path = format!("/meta/aksVersions?cloudCredentialId={CREDENTIAL}&region=eastus");
    let call = |path: &str| {
        app.get(path, "").anonymous().header("authorization", "").header("cookie", &format!("R_SESS={OWNER}"))
    };
    let response = call(&path).send().await;
    assert_eq!((response.status.as_u16(), response.header("x-api-cattle-auth")), (200, "true"));
    let response = call("/meta/aksVersions?cloudCredentialId=cc-aaaaa").send().await;
    assert_eq!(response.header("x-norman-aks-via"), "rancher");
    assert_eq!(response.header("x-api-cattle-auth"), "true", "as Rancher reported");
}

#[tokio::test]
async fn requests_without_a_token_are_rejected_without_a_lookup() {
    let (app, _) = BesideApp::start().await;
    let path = format!("/meta/aksVersions?cloudCredentialId={CREDENTIAL}");
    for call in [
        app.get(&path, "").anonymous(),
        app.get(&path, "").anonymous().header("cookie", "CSRF=abc"),
        app.post("/meta/aksCheckCredentials", "").anonymous().json(&inline_credential(&json!({}))),
        app.post("/meta/aksLocations", "").anonymous().json(&inline_credential(&json!({}))),
    ] {
        let response = call.send().await;
        assert_eq!((response.status.as_u16(), response.text().as_str()), (401, UNAUTHORIZED));
        assert_eq!(response.header("x-api-cattle-auth"), "false");
    }
    assert!(app.rancher.take_requests().is_empty());
    assert_eq!(app.control.requests().len(), 0, "nothing reached Azure");
}

#[tokio::test]
async fn inline_credentials_need_a_valid_token() {
    let (app, _) = BesideApp::start().await;
    for path in ["/meta/aksCheckCredentials", "/meta/aksLocations"] {
        let response = app.post(path, "token-none:unknown").json(&inline_credential(&json!({}))).send().await;
        assert_eq!((response.status.as_u16(), response.text().as_str()), (401, UNAUTHORIZED), "{path}");
        assert_eq!(app.control.requests().len(), 0, "{path}");
        let response = app.post(path, OTHER).json(&inline_credential(&json!({}))).send().await;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        assert_eq!(response.header("x-api-cattle-auth"), "true");
        app.control.clear_requests();
    }
    let lookups = app.rancher.take_requests();
    assert!(
        lookups.iter().all(|request| request == "GET /rancherversion"),
        "the body is not forwarded: {lookups:?}"
    );
}

#[tokio::test]
async fn check_of_a_wrong_secret_is_401_with_a_valid_token() {
    let (app, _) = BesideApp::start().await;
    let wrong = inline_credential(&json!({"clientSecret": "wrong~secret"}));
    let response = app.post("/meta/aksCheckCredentials", OWNER).json(&wrong).send().await.expect(401);
    assert_eq!(response.header("x-api-cattle-auth"), "true");
    let response = app.get("/meta/aksCheckCredentials", OWNER).send().await;
    assert_eq!((response.status.as_u16(), response.error().as_str()), (405, "use POST for this endpoint"));
}

#[tokio::test]
async fn upgrades_of_a_visible_cluster_follow_its_version() {
    let (app, state) = BesideApp::start().await;
    let config = json!({"kubernetesVersion": "1.32.7", "resourceLocation": "eastus", "clusterName": "a"});
    state.put_cluster("c-aaaaa", &config, &["owner"]);
    let path = format!("/meta/aksUpgrades?cloudCredentialId={CREDENTIAL}");
    for query in ["&clusterId=c-aaaaa", "&clusterID=c-aaaaa"] {
        let response = app.get(&format!("{path}{query}"), OWNER).send().await;
        assert_eq!(response.status, 200, "{query}: {}", response.text());
        assert_eq!(response.json()["currentVersion"], "1.32.7");
    }
    let requests = app.rancher.requests();
    let cluster = requests.iter().find(|request| request.path.contains("clusters")).unwrap();
    assert_eq!(cluster.path, "/v1/management.cattle.io.clusters/c-aaaaa");
    assert_eq!(cluster.header("authorization"), format!("Bearer {OWNER}"), "as the caller");
}

#[tokio::test]
async fn upgrades_of_a_cluster_that_the_caller_does_not_see_are_400() {
    let (app, state) = BesideApp::start().await;
    let config = json!({"kubernetesVersion": "1.32.7", "resourceLocation": "eastus"});
    state.put_cluster("c-aaaaa", &config, &["other"]);
    for id in ["c-aaaaa", "c-zzzzz", "", "C-A", "..%2Fsecrets", "c-a%2Fb"] {
        let path = format!("/meta/aksUpgrades?cloudCredentialId={CREDENTIAL}&clusterId={id}");
        let response = app.get(&path, OWNER).send().await;
        assert_eq!(
            (response.status.as_u16(), response.error().as_str()),
            (400, "invalid cluster id"),
            "{id}"
        );
    }
    let lookups =
        app.rancher.take_requests().into_iter().filter(|request| request.contains("clusters")).count();
    assert_eq!(lookups, 2, "only for valid cluster names");
}

#[tokio::test]
async fn cluster_that_rancher_cannot_read_gives_503() {
    let state = RancherState::new();
    let fake = {
        let state = std::sync::Arc::clone(&state);
        FakeRancher::start(move |request| {
            let body = json!({"type": "error", "status": 500, "message": "etcdserver: request timed out"});
            if request.path.contains("clusters") {
                json_response(500, true, &body)
            } else {
                state.respond(request)
            }
        })
    };
    let app = BesideApp::builder(fake.await).start().await;
    let path = format!("/meta/aksUpgrades?cloudCredentialId={CREDENTIAL}&clusterId=c-aaaaa");
    let response = app.get(&path, OWNER).send().await;
    assert_eq!((response.status.as_u16(), response.header("retry-after")), (503, "2"), "{}", response.text());
}

#[tokio::test]
async fn cluster_gives_access_to_a_credential_only_through_rancher() {
    let (app, _) = BesideApp::start().await;
    let path = format!("/meta/aksVersions?cloudCredentialId={CREDENTIAL}&region=eastus");
    let response = app.get(&format!("{path}&clusterId=c-aaaaa"), OTHER).send().await;
    assert_eq!(response.status, 422, "the dashboard's spelling gives no access");
    let response = app.get(&format!("{path}&clusterID=c-aaaaa"), OTHER).send().await;
    assert_eq!((response.status.as_u16(), response.header("x-norman-aks-via")), (200, "rancher"));
    assert_eq!(response.json()["answeredBy"], "Rancher");
}

#[tokio::test]
async fn other_kinds_of_credentials_are_forwarded() {
    let (app, state) = BesideApp::start().await;
    state.put_secret(SECOND_CREDENTIAL, &json!({"amazonec2credentialConfig-accessKey": "eA=="}), &["owner"]);
    let response = app.get_versions(SECOND_CREDENTIAL, OWNER).send().await;
    assert_eq!(response.header("x-norman-aks-via"), "rancher");
    state.put_secret(SECOND_CREDENTIAL, &json!({"password": "eA=="}), &["owner"]);
    let response = app.get_versions(SECOND_CREDENTIAL, OWNER).send().await;
    assert_eq!((response.status.as_u16(), response.error().as_str()), (422, "cloud credential not found"));
}
