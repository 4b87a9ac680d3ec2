//! Flows on PostgreSQL, and consistency between servers that share a database. Skipped without PostgreSQL, with a message on
//! standard error.

use std::time::{Duration, Instant};

use clock::Clock;
use norman_aks::app;
use norman_aks::config::{Config, Flags};
use norman_aks::services::Secrets;
use secrecy::ExposeSecret as _;
use serde_json::json;
use sqlx::{Connection as _, Row as _};

use crate::support::app::TestApp;
use crate::support::call::string_at;
use crate::support::databases::{self, TestDb};
use crate::support::test_clusters;

/// Two servers that share a database and a clock.
async fn start_pair(db: &TestDb) -> (TestApp, TestApp) {
    let server_a = TestApp::builder().advisory_review().database(db).start().await;
    let server_b = TestApp::builder().advisory_review().database(db).clock(&server_a.clock).start().await;
    (server_a, server_b)
}

/// The audit log, oldest first: user, action, object type and outcome.
async fn audit(db: &TestDb) -> Vec<[String; 4]> {
    let mut connection = sqlx::PgConnection::connect(&db.url).await.unwrap();
    let sql = "select user_name, action, object_type, outcome from events order by at_ms, id";
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| [0, 1, 2, 3].map(|column| row.get::<String, _>(column))).collect()
}

#[tokio::test]
async fn credential_lifecycle_is_audited() {
    let Some(db) = databases::postgres().await else { return };
    let app = TestApp::builder().advisory_review().database(&db).start().await;
    let (ann, bob) = (app.token("ann").await, app.token("bob").await);
    let id = app.store_credential(&ann).await;
    let path = format!("/v3/cloudcredentials/{id}");
    let listing = format!("/meta/aksLocations?cloudCredentialId={id}");
    let list = app.get("/v3/cloudcredentials?name=azure").token(&ann).send().await.json();
    assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list}");
    let list = app.get("/v3/cloudcredentials").token(&bob).send().await.json();
    assert_eq!(list["data"], json!([]));
    assert_eq!(app.get(&listing).token(&ann).send().await.status, 200);
    assert_eq!(app.get(&listing).token(&bob).send().await.status, 422);

    // An update without a secret keeps the stored secret. Azure rejects a wrong secret and accepts the second valid one.
    let rename = json!({"name": "renamed", "azurecredentialConfig": {"clientId": app.seed.client_id}});
    let renamed = app.put(&path).token(&ann).json(&rename).send().await;
    assert_eq!(
        (renamed.status.as_u16(), &*string_at(&renamed.json(), "name")),
        (200, "renamed"),
        "{}",
        renamed.text()
    );
    for (secret, status) in
        [(None, 200), (Some("wrong~secret~of~the~ready~app"), 400), (Some(app.seed.client_secret_2), 200)]
    {
        if let Some(secret) = secret {
            let change = json!({"azurecredentialConfig": {"clientSecret": secret}});
            assert_eq!(app.put(&path).token(&ann).json(&change).send().await.status, 200);
        }
        let response = app.get(&listing).token(&ann).header("cache-control", "no-cache").send().await;
        assert_eq!(response.status, status, "{secret:?}: {}", response.text());
    }

    let cluster = test_clusters::import_absent(&app, &ann, "one", &id).await;
    let cluster_path = format!("/v3/clusters/{cluster}");
    let deleted = app.delete(&path).token(&ann).send().await.expect(200);
    let warning = deleted.header("warning");
    assert!(warning.contains("one"), "the warning names the cluster: {warning}");
    let change = json!({"name": "one", "description": "changed", "aksConfig": {"tags": {"a": "b"}}});
    let changed = app.put(&cluster_path).token(&ann).json(&change).send().await;
    assert_eq!(changed.json()["aksConfig"]["tags"], json!({"a": "b"}), "{}", changed.text());
    assert_eq!(changed.json()["aksConfig"]["resourceGroup"], "g", "merged: {}", changed.text());
    assert_eq!(app.get(&cluster_path).token(&bob).send().await.status, 404);
    assert_eq!(app.delete(&cluster_path).token(&ann).send().await.status, 200);
    app.settle().await;
    assert_eq!(app.get(&path).token(&ann).send().await.status, 404);
    assert_eq!(app.get(&listing).token(&ann).send().await.status, 422);

    app.server.stop().await;
    let records = audit(&db).await;
    let expected = [
        ["ann", "create", "cloudCredential", "done"],
        ["ann", "aksLocations", "cloudCredential", "done"],
        ["bob", "aksLocations", "cloudCredential", "refused"],
        ["ann", "update", "cloudCredential", "done"],
        ["ann", "create", "cluster", "done"],
        ["ann", "delete", "cluster", "done"],
        ["ann", "delete", "cloudCredential", "done"],
        ["ann", "aksLocations", "cloudCredential", "refused"],
    ];
    for record in expected {
        assert!(records.iter().any(|row| *row == record), "{record:?} is missing in {records:#?}");
    }
}

#[tokio::test]
async fn changes_reach_other_servers_within_two_seconds() {
    let Some(db) = databases::postgres().await else { return };
    let (server_a, server_b) = start_pair(&db).await;
    let ann = server_a.token("ann").await;
    assert_eq!(server_b.get("/v3").token(&ann).send().await.status, 200, "both servers accept the token");
    let id = server_a.store_credential(&ann).await;
    let listing = format!("/meta/aksLocations?cloudCredentialId={id}");
    assert_eq!(
        server_b.get(&listing).token(&ann).send().await.status,
        200,
        "both servers decrypt the secret"
    );

    server_a.server.tokens.revoke(ann.split(':').next().unwrap()).await.unwrap();
    assert_eq!(server_a.get("/v3").token(&ann).send().await.status, 401, "immediately on the same server");
    server_a.clock.advance(Duration::from_millis(1_999));
    assert_eq!(server_b.get("/v3").token(&ann).send().await.status, 401);
    assert_eq!(server_b.get(&listing).token(&ann).send().await.status, 401);

    let ann = server_b.token("ann").await;
    assert_eq!(server_a.delete(&format!("/v3/cloudcredentials/{id}")).token(&ann).send().await.status, 200);
    let deadline = Instant::now() + Duration::from_secs(30);
    let rejected = loop {
        let response = server_b.get(&listing).token(&ann).send().await;
        if response.status != 200 || Instant::now() > deadline {
            break response;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((rejected.status.as_u16(), rejected.error().as_str()), (422, "cloud credential not found"));
}

#[tokio::test]
async fn concurrent_registrations_of_a_cluster_conflict() {
    let Some(db) = databases::postgres().await else { return };
    let (server_a, server_b) = start_pair(&db).await;
    let id = server_a.store_credential(&server_a.admin).await;
    for round in 0..10 {
        let body = test_clusters::absent_body(&format!("same-{round}"), &id);
        let (first, second) = tokio::join!(
            server_a.post("/v3/clusters").json(&body).send(),
            server_b.post("/v3/clusters").json(&body).send()
        );
        let mut statuses = [first.status.as_u16(), second.status.as_u16()];
        statuses.sort_unstable();
        assert!(
            statuses[0] == 201 && (400..500).contains(&statuses[1]),
            "{}\n{}",
            first.text(),
            second.text()
        );
    }
    let list = server_b.get("/v3/clusters").send().await.json();
    assert_eq!(list["data"].as_array().unwrap().len(), 10, "{list}");
}

#[tokio::test]
async fn concurrent_credential_changes_succeed_or_conflict() {
    let Some(db) = databases::postgres().await else { return };
    let (server_a, server_b) = start_pair(&db).await;
    let path = format!("/v3/cloudcredentials/{}", server_a.store_credential(&server_a.admin).await);
    let change = |server: &str, round: u32| json!({"name": format!("{server}-{round}"), "azurecredentialConfig": {"clientSecret": format!("{server}~{round}")}});
    let mut success_count = 0;
    for round in 0..20 {
        let (first, second) = (change("one", round), change("two", round));
        let (first, second) =
            tokio::join!(server_a.put(&path).json(&first).send(), server_b.put(&path).json(&second).send());
        for response in [first, second] {
            assert!(matches!(response.status.as_u16(), 200 | 409), "{}", response.text());
            success_count += usize::from(response.status == 200);
        }
    }
    assert!(success_count >= 20, "at least one in every round: {success_count}");
}

#[tokio::test]
async fn server_survives_terminated_database_connections() {
    let Some(db) = databases::postgres().await else { return };
    let (app, id) = TestApp::builder().advisory_review().database(&db).start_with_credential().await;
    let mut connection = sqlx::PgConnection::connect(&db.url).await.unwrap();
    for _ in 0..5 {
        databases::cut_connections(&mut connection).await;
        app.clock.advance(Duration::from_secs(10));
        app.get(&format!("/v3/cloudcredentials/{id}")).send().await.expect(200);
        app.get("/readyz").anonymous().send().await.expect(200);
    }
}

fn config(db: &TestDb, directory: &std::path::Path) -> Config {
    let settings = [
        ("NORMAN_AKS_DATABASE_URL".to_owned(), db.url.clone()),
        ("NORMAN_AKS_DATA_DIR".to_owned(), directory.display().to_string()),
    ];
    Config::load(&Flags::new(), &settings.into(), &|path| std::fs::read_to_string(path)).unwrap().0
}

#[tokio::test]
async fn missing_and_wrong_encryption_keys_are_rejected() {
    let Some(db) = databases::postgres().await else { return };
    let directory = tempfile::tempdir().unwrap();
    let config = config(&db, directory.path());
    let open_error = async || {
        let store = app::open_store(&config).await.unwrap();
        let opened = app::open_secrets(&config, &store, &Clock::system()).await;
        opened.err().expect("no usable key").to_string()
    };
    let error = open_error().await;
    assert!(error.contains("encryption.keys"), "{error}");
    assert!(!config.encryption_key_file.exists());

    let app = TestApp::builder().advisory_review().database(&db).start().await;
    app.store_credential(&app.admin).await;
    let key_id = db.keys.split(':').next().unwrap();
    let wrong_key = norman_aks::KeyRing::generate();
    std::fs::write(&config.encryption_key_file, wrong_key.expose_secret()).unwrap();
    let error = open_error().await;
    assert!(error.contains(&format!("need the encryption key {key_id}")), "{error}");
    std::fs::write(&config.encryption_key_file, format!("{}\n{}\n", wrong_key.expose_secret(), db.keys))
        .unwrap();
    let store = app::open_store(&config).await.unwrap();
    let secrets = app::open_secrets(&config, &store, &Clock::system()).await.unwrap();

    // The running server has not loaded the new active key.
    app.server.secrets.heartbeat().await.unwrap();
    let reopened =
        Secrets::open(&config.encryption_key_file, false, store, app.clock.clone()).await.unwrap().0;
    let error = reopened.rotate().await.unwrap_err().to_string();
    assert!(error.contains("does not have the key"), "{error}");
    assert_eq!(secrets.key_ids().len(), 2);
}
