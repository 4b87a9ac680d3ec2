//! `/v3/settings`: access, valid values, and the effect of a change.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clock::Clock;
use http::StatusCode;
use norman_aks::store::audit::{Filter, list};
use serde_json::{Value, json};

use crate::norman::{NormanError, norman_error};
use crate::support::app::{NOW_MS, TestApp};
use crate::support::databases;
use crate::support::test_clusters;

async fn setting_value(app: &TestApp, name: &str) -> String {
    let setting = app.get(&format!("/v3/settings/{name}")).send().await.expect(200);
    setting.json()["value"].as_str().unwrap().to_owned()
}

async fn change_setting(app: &TestApp, name: &str, value: &str) -> Value {
    let changed = app.put(&format!("/v3/settings/{name}")).json(&json!({"value": value})).send().await;
    assert_eq!(changed.status, StatusCode::OK, "{name}: {}", changed.text());
    changed.json()
}

/// The cluster's registration token, and its manifest.
async fn registration(app: &TestApp, cluster: &str) -> (Value, String) {
    let token = app.get(&format!("/v3/clusterregistrationtokens/{cluster}:default-token")).send().await;
    assert_eq!(token.status, StatusCode::OK, "{}", token.text());
    let path = format!("/v3/import/{}_{cluster}.yaml", token.json()["token"].as_str().unwrap());
    let manifest = app.get(&path).anonymous().send().await.expect(200);
    (token.json(), manifest.text())
}

/// Asserts that the manifest has the URL in the agent's environment and in its secret.
fn assert_agent_url(manifest: &str, url: &str) {
    for line in [format!("value: \"{url}\""), format!("url: \"{}\"", BASE64_STANDARD.encode(url))] {
        assert!(manifest.contains(&line), "no {line} in {manifest}");
    }
}

#[tokio::test]
async fn every_user_reads_all_settings_with_their_source() {
    let app = TestApp::builder()
        .advisory_review()
        .setting("NORMAN_AKS_SERVER_URL", "https://fixed.example.org")
        .start()
        .await;
    let ann = app.token("ann").await;
    let list = app.get("/v3/settings").token(&ann).send().await.json();
    let settings = list["data"].as_array().unwrap();
    let names: Vec<&str> = settings.iter().map(|setting| setting["id"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "agent",
            "agent-image",
            "aks-refresh",
            "cacerts",
            "cluster-review",
            "install-uuid",
            "k8s-version",
            "kev2-operators",
            "kubeconfig-default-token-ttl-minutes",
            "server-url",
            "server-version",
            "system-namespaces",
            "ui-k8s-default-version-range",
            "ui-k8s-supported-versions-range"
        ]
    );
    for setting in settings {
        let id = setting["id"].as_str().unwrap();
        assert_eq!(app.get(&format!("/v3/settings/{id}")).token(&ann).send().await.json(), *setting);
        assert_eq!((&setting["type"], &setting["name"]), (&json!("setting"), &json!(id)));
        assert!(setting["links"]["update"].is_null() && setting["links"]["remove"].is_null(), "{setting}");
        let (is_read_only, source) = match id {
            "server-url" | "install-uuid" | "cluster-review" => (true, "env"),
            "k8s-version" | "server-version" => (true, "default"),
            _ => (false, "default"),
        };
        assert_eq!(
            (&setting["readOnly"], &setting["source"]),
            (&json!(is_read_only), &json!(source)),
            "{id}"
        );
        assert_eq!(setting["customized"], false);
        let for_admin = app.get(&format!("/v3/settings/{id}")).send().await.json();
        assert_eq!(for_admin["links"]["update"].is_string(), !is_read_only, "{for_admin}");
    }
    assert_eq!(setting_value(&app, "server-url").await, "https://fixed.example.org");
    assert_eq!(setting_value(&app, "aks-refresh").await, "300");
    // Clients distinguish installations by this ID.
    assert!(uuid::Uuid::parse_str(&setting_value(&app, "install-uuid").await).is_ok());
    let unknown = app.get("/v3/settings/telemetry-opt").send().await;
    assert_eq!(
        (unknown.status, norman_error(&unknown).message),
        (StatusCode::NOT_FOUND, "telemetry-opt not found".into())
    );
    assert_eq!(app.get("/v3/settings").anonymous().send().await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn only_administrators_change_settings_that_are_not_read_only() {
    let app = TestApp::builder()
        .advisory_review()
        .setting("NORMAN_AKS_SERVER_URL", "https://fixed.example.org")
        .start()
        .await;
    let ann = app.token("ann").await;
    let expect_status = async |token: &str, name: &str, status: StatusCode| {
        for (method, query) in [(http::Method::PUT, ""), (http::Method::POST, "?_method=PUT")] {
            let call = app.call(method, &format!("/v3/settings/{name}{query}")).token(token);
            let response = call.json(&json!({"value": "600"})).send().await;
            assert_eq!(response.status, status, "{name}: {}", response.text());
        }
    };
    expect_status(&ann, "aks-refresh", StatusCode::FORBIDDEN).await;
    expect_status(&ann, "none", StatusCode::NOT_FOUND).await;
    for name in ["server-url", "install-uuid", "k8s-version", "server-version"] {
        let before = setting_value(&app, name).await;
        expect_status(&app.admin, name, StatusCode::FORBIDDEN).await;
        expect_status(&ann, name, StatusCode::FORBIDDEN).await;
        assert_eq!(setting_value(&app, name).await, before);
        // Terraform resets a setting before removing it from the state, and repeats unchanged values.
        for value in ["", before.as_str()] {
            let path = format!("/v3/settings/{name}");
            let response = app.put(&path).json(&json!({"value": value})).send().await;
            assert_eq!(
                (response.status, &response.json()["value"]),
                (StatusCode::OK, &json!(before)),
                "{name}"
            );
            let response = app.put(&path).token(&ann).json(&json!({"value": value})).send().await;
            assert_eq!(response.status, StatusCode::FORBIDDEN, "{name}");
        }
    }
    assert_eq!(setting_value(&app, "aks-refresh").await, "300");
    let delete = app.delete("/v3/settings/aks-refresh").send().await;
    assert_eq!(
        (delete.status, norman_error(&delete).code),
        (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllow".into())
    );
    app.post("/v3/settings").json(&json!({"name": "mine", "value": "x"})).send().await.expect(405);
    let action = app.post("/v3/settings/aks-refresh?action=reset").send().await;
    assert_eq!(
        (action.status, norman_error(&action).code),
        (StatusCode::NOT_FOUND, "ActionNotAvailable".into())
    );
}

#[tokio::test]
async fn change_is_immediate_and_empty_value_restores_the_default() {
    let app = TestApp::with_advisory_review().await;
    let before = app.get("/v3/settings/aks-refresh").send().await.json();
    let changed = change_setting(&app, "aks-refresh", "600").await;
    assert_eq!(app.get("/v3/settings/aks-refresh").send().await.json(), changed);
    let fields = ["value", "default", "customized", "source"].map(|key| changed[key].clone());
    assert_eq!(fields, [json!("600"), json!("300"), json!(true), json!("db")]);
    let list = app.get("/v3/settings?name=aks-refresh").send().await.json();
    assert_eq!(list["data"], json!([changed]));
    // Other fields that clients send back are ignored.
    let full_body = json!({"value": "700", "default": "1", "customized": false, "source": "env", "name": "server-url",
        "id": "x", "readOnly": true, "links": {}, "type": "setting"});
    let stored = app.put("/v3/settings/aks-refresh").json(&full_body).send().await.json();
    assert_eq!(
        (&stored["id"], &stored["value"], &stored["default"]),
        (&json!("aks-refresh"), &json!("700"), &json!("300"))
    );
    let unchanged = app.put("/v3/settings/aks-refresh").json(&json!({})).send().await;
    assert_eq!(unchanged.json(), stored);
    for value in ["0", "-1", "5m", "31536001"] {
        let rejected = app.put("/v3/settings/aks-refresh").json(&json!({"value": value})).send().await;
        assert_eq!(rejected.status, StatusCode::UNPROCESSABLE_ENTITY, "{value}");
        let NormanError { code, field, message } = norman_error(&rejected);
        assert_eq!((code.as_str(), field.as_str()), ("InvalidFormat", "value"));
        assert!(message.starts_with("aks-refresh must be a whole number"), "{message}");
    }
    assert_eq!(app.get("/v3/settings/aks-refresh").send().await.json(), stored, "nothing was stored");
    let reset = app.post("/v3/settings/aks-refresh?_method=PUT").json(&json!({"value": ""})).send().await;
    assert_eq!(reset.json(), before);
}

#[tokio::test]
async fn manifests_and_kubeconfigs_use_the_settings() {
    const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let app = TestApp::with_advisory_review().await;
    let cluster = test_clusters::import(&app, &app.admin, "one").await;
    let action = format!("/v3/clusters/{cluster}?action=generateKubeconfig");
    let empty = app.post(&action).send().await.json();
    assert_eq!(empty["config"], "", "clients send no token over plain HTTP");
    assert!(empty["message"].as_str().unwrap().contains("setting server-url"), "{empty}");

    change_setting(&app, "server-url", "https://aks.example.org/").await;
    change_setting(&app, "cacerts", PEM).await;
    change_setting(&app, "agent-image", "mine.example.org/agent:7").await;
    let (token, manifest) = registration(&app, &cluster).await;
    let url = token["manifestUrl"].as_str().unwrap();
    assert!(url.starts_with("https://aks.example.org/v3/import/"), "{url}");
    assert_eq!(token["command"], format!("kubectl apply -f {url}"));
    assert_eq!(token["insecureCommand"], format!("curl --insecure -sfL {url} | kubectl apply -f -"));
    // The link to the token itself has the host of the request, as in Rancher.
    assert!(token["links"]["self"].as_str().unwrap().starts_with("http://norman.test/v3/"), "{token}");
    assert!(!manifest.contains("norman.test"), "{manifest}");
    assert!(manifest.contains("mine.example.org/agent:7"), "{manifest}");
    assert_agent_url(&manifest, "https://aks.example.org");

    let config = app.post(&action).send().await.expect(200).json()["config"].as_str().unwrap().to_owned();
    assert!(config.contains(&format!("\"https://aks.example.org/k8s/clusters/{cluster}\"")), "{config}");
    assert!(config.contains(&BASE64_STANDARD.encode(PEM)), "{config}");
}

#[tokio::test]
async fn kubeconfig_tokens_have_the_configured_ttl() {
    let app = TestApp::builder()
        .advisory_review()
        .setting("NORMAN_AKS_SERVER_URL", "https://aks.example.org")
        .start()
        .await;
    let cluster = test_clusters::import(&app, &app.admin, "one").await;
    let new_token = async || {
        let action = format!("/v3/clusters/{cluster}?action=generateKubeconfig");
        let config = app.post(&action).send().await.json()["config"].as_str().unwrap().to_owned();
        let name = config.split("token: \"").nth(1).unwrap().split(':').next().unwrap().to_owned();
        app.get(&format!("/v3/tokens/{name}")).send().await.json()
    };
    assert_eq!(new_token().await["ttl"], 30 * 24 * 3_600_000_i64);
    change_setting(&app, "kubeconfig-default-token-ttl-minutes", "90").await;
    let token = new_token().await;
    assert_eq!((&token["ttl"], &token["expiresAt"]), (&json!(5_400_000), &json!("2026-11-22T13:30:00Z")));
    change_setting(&app, "kubeconfig-default-token-ttl-minutes", "0").await;
    let token = new_token().await;
    assert_eq!((&token["ttl"], &token["expiresAt"]), (&json!(0), &json!("")));
}

#[tokio::test]
async fn clusters_are_refreshed_at_the_configured_interval() {
    let app = TestApp::with_advisory_review().await;
    let cluster = test_clusters::import(&app, &app.admin, "one").await;
    app.settle().await;
    let imported = app.get(&format!("/v3/clusters/{cluster}")).send().await.json();
    assert_eq!(imported["state"], "active", "{}", imported["transitioningMessage"]);
    let count_reads = async |time: Duration| {
        app.take_azure_requests();
        app.advance(time).await;
        let name = format!("/managedClusters/{}", app.seed.imported_cluster_name);
        app.take_azure_requests()
            .iter()
            .filter(|request| request.starts_with("GET ") && request.ends_with(&name))
            .count()
    };
    let (twenty_minutes, five_minutes) = (Duration::from_mins(20), Duration::from_mins(5));
    assert_eq!(count_reads(twenty_minutes).await, 4);
    change_setting(&app, "aks-refresh", "30").await;
    let reads = count_reads(five_minutes).await;
    assert!((8..=10).contains(&reads), "{reads}");
    change_setting(&app, "aks-refresh", "86400").await;
    assert!(count_reads(twenty_minutes).await <= 1);
    // A shorter interval takes effect immediately, not only after a day.
    change_setting(&app, "aks-refresh", "").await;
    let reads = count_reads(twenty_minutes).await;
    assert!((3..=4).contains(&reads), "{reads}");
}

#[tokio::test]
async fn inactive_aks_driver_rejects_new_clusters() {
    let app = TestApp::with_advisory_review().await;
    let read_driver = async || app.get("/v3/kontainerdrivers/azurekubernetesservice").send().await.json();
    let driver = read_driver().await;
    assert_eq!((&driver["active"], &driver["state"]), (&json!(true), &json!("active")));
    change_setting(&app, "kev2-operators", r#"[{"name":"aks","active":false}]"#).await;
    let driver = read_driver().await;
    assert_eq!((&driver["active"], &driver["state"]), (&json!(false), &json!("inactive")));
    let credential = app.store_credential(&app.admin).await;
    let body = test_clusters::absent_body("one", &credential);
    let rejected = app.post("/v3/clusters").json(&body).send().await;
    assert_eq!(
        norman_error(&rejected).message,
        "aks operator is inactive: an administrator can activate it in the setting kev2-operators"
    );
    change_setting(&app, "kev2-operators", "").await;
    assert_eq!(app.post("/v3/clusters").json(&body).send().await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn changes_reach_other_servers_and_survive_a_restart() {
    let db = databases::sqlite().await;
    let clock = Clock::manual(NOW_MS);
    let first = TestApp::builder().advisory_review().database(&db).clock(&clock).start().await;
    let second = TestApp::builder().advisory_review().database(&db).clock(&clock).start().await;
    let refresh_setting = async |app: &TestApp| setting_value(app, "aks-refresh").await;
    assert_eq!(
        (refresh_setting(&first).await, refresh_setting(&second).await),
        ("300".to_owned(), "300".to_owned())
    );
    change_setting(&first, "aks-refresh", "900").await;
    clock.advance(Duration::from_secs(2));
    assert_eq!(refresh_setting(&second).await, "900");
    let id = setting_value(&first, "install-uuid").await;
    assert_eq!(setting_value(&second, "install-uuid").await, id);
    for app in [first, second] {
        app.server.stop().await;
    }
    let restarted = TestApp::builder().advisory_review().database(&db).clock(&clock).start().await;
    assert_eq!(
        (refresh_setting(&restarted).await, setting_value(&restarted, "install-uuid").await),
        ("900".to_owned(), id)
    );
}

#[tokio::test]
async fn every_attempt_to_change_a_setting_is_audited() {
    let db = databases::sqlite().await;
    let app = TestApp::builder().advisory_review().database(&db).start().await;
    let ann = app.token("ann").await;
    change_setting(&app, "aks-refresh", "900").await;
    for (token, name, value) in
        [(&app.admin, "aks-refresh", "0"), (&ann, "aks-refresh", "1"), (&ann, "none", "1")]
    {
        let path = format!("/v3/settings/{name}");
        let response = app.put(&path).token(token).json(&json!({"value": value})).send().await;
        assert!(response.status.is_client_error(), "{}", response.text());
    }
    app.get("/v3/settings").send().await;
    app.server.stop().await;
    let filter = Filter { object_type: Some("setting".to_owned()), ..Filter::default() };
    let mut rows = list(&db.store, 100, &filter).await.unwrap();
    rows.reverse();
    let records: Vec<_> = rows
        .iter()
        .map(|row| (row.user_name.as_str(), row.object_id.as_str(), row.outcome.as_str()))
        .collect();
    assert_eq!(
        records,
        [
            ("admin", "aks-refresh", "done"),
            ("admin", "aks-refresh", "refused"),
            ("ann", "aks-refresh", "refused"),
            ("ann", "none", "refused")
        ]
    );
}
