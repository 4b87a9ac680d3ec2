//! Whole flows on PostgreSQL, and what holds between several servers of one database. Skipped without a server, with a
//! word on standard error.

use std::time::{Duration, Instant};

use clock::Clock;
use norman_aks::app;
use norman_aks::config::{Config, Flags};
use norman_aks::service::secrets::Secrets;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _};

use crate::support::app::TestApp;
use crate::support::databases::{self, TestDb};

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_else(|| panic!("{key}: {object}"))
}

fn cluster(name: &str, credential: &str) -> Value {
    json!({"name": name, "aksConfig": {"clusterName": name, "resourceGroup": "g", "resourceLocation": "eastus",
        "imported": true, "azureCredentialSecret": credential}})
}

/// Two servers of one database, with one time.
async fn pair(db: &TestDb) -> (TestApp, TestApp) {
    let one = TestApp::with().advise().on(db).start().await;
    let two = TestApp::with().advise().on(db).clock(&one.clock).start().await;
    (one, two)
}

/// What was written down, oldest first: who, what, of which type, how it ended.
async fn audit(db: &TestDb) -> Vec<[String; 4]> {
    let mut connection = sqlx::PgConnection::connect(&db.url).await.unwrap();
    let sql = "select user_name, action, object_type, outcome from events order by at_ms, id";
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| [0, 1, 2, 3].map(|column| row.get::<String, _>(column))).collect()
}

#[tokio::test]
async fn a_credential_lives_from_its_making_to_its_end_and_leaves_its_trail() {
    let Some(db) = databases::postgres().await else { return };
    let app = TestApp::with().advise().on(&db).start().await;
    let (ann, bob) = (app.token("ann").await, app.token("bob").await);
    let id = app.stored_credential(&ann).await;
    let path = format!("/v3/cloudcredentials/{id}");
    let used = format!("/meta/aksLocations?cloudCredentialId={id}");
    let list = app.get("/v3/cloudcredentials?name=azure").token(&ann).send().await.json();
    assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list}");
    let list = app.get("/v3/cloudcredentials").token(&bob).send().await.json();
    assert_eq!(list["data"], json!([]));
    assert_eq!(app.get(&used).token(&ann).send().await.status, 200);
    assert_eq!(app.get(&used).token(&bob).send().await.status, 422);

    // Without a secret the old one stays; with a wrong one Azure refuses; with the second it is good again.
    let rename = json!({"name": "renamed", "azurecredentialConfig": {"clientId": app.seed.client_id}});
    let renamed = app.put(&path).token(&ann).json(&rename).send().await;
    assert_eq!(
        (renamed.status.as_u16(), text(&renamed.json(), "name")),
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
        let answer = app.get(&used).token(&ann).header("cache-control", "no-cache").send().await;
        assert_eq!(answer.status, status, "{secret:?}: {}", answer.text());
    }

    let made = app.post("/v3/clusters").token(&ann).json(&cluster("one", &id)).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    let of_cluster = format!("/v3/clusters/{}", text(&made.json(), "id"));
    let deleted = app.delete(&path).token(&ann).send().await;
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    let warning = deleted.header("warning");
    assert!(warning.contains("one"), "the cluster is named: {warning}");
    let change = json!({"name": "one", "description": "changed", "aksConfig": {"tags": {"a": "b"}}});
    let changed = app.put(&of_cluster).token(&ann).json(&change).send().await;
    assert_eq!(changed.json()["aksConfig"]["tags"], json!({"a": "b"}), "{}", changed.text());
    assert_eq!(changed.json()["aksConfig"]["resourceGroup"], "g", "merged: {}", changed.text());
    assert_eq!(app.get(&of_cluster).token(&bob).send().await.status, 404);
    assert_eq!(app.delete(&of_cluster).token(&ann).send().await.status, 200);
    app.settle().await;
    assert_eq!(app.get(&path).token(&ann).send().await.status, 404);
    assert_eq!(app.get(&used).token(&ann).send().await.status, 422);

    app.app.stop().await;
    let trail = audit(&db).await;
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
    for event in expected {
        assert!(trail.iter().any(|row| *row == event), "{event:?} is missing in {trail:#?}");
    }
}

#[tokio::test]
async fn what_one_server_changes_holds_in_the_other_within_two_seconds() {
    let Some(db) = databases::postgres().await else { return };
    let (one, two) = pair(&db).await;
    let ann = one.token("ann").await;
    assert_eq!(two.get("/v3").token(&ann).send().await.status, 200, "a token of one is good at the other");
    let id = one.stored_credential(&ann).await;
    let used = format!("/meta/aksLocations?cloudCredentialId={id}");
    assert_eq!(two.get(&used).token(&ann).send().await.status, 200, "both can open the secret");

    one.app.tokens.revoke(ann.split(':').next().unwrap()).await.unwrap();
    assert_eq!(one.get("/v3").token(&ann).send().await.status, 401, "here at once");
    one.clock.advance(Duration::from_millis(1_999));
    assert_eq!(two.get("/v3").token(&ann).send().await.status, 401);
    assert_eq!(two.get(&used).token(&ann).send().await.status, 401);

    let ann = two.token("ann").await;
    assert_eq!(one.delete(&format!("/v3/cloudcredentials/{id}")).token(&ann).send().await.status, 200);
    let deleted = Instant::now();
    let gone = loop {
        let response = two.get(&used).token(&ann).send().await;
        if response.status != 200 || deleted.elapsed() > Duration::from_secs(30) {
            break response;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((gone.status.as_u16(), gone.error().as_str()), (422, "cloud credential not found"));
}

#[tokio::test]
async fn of_two_servers_that_register_the_same_cluster_one_is_refused() {
    let Some(db) = databases::postgres().await else { return };
    let (one, two) = pair(&db).await;
    let id = one.stored_credential(&one.admin).await;
    for round in 0..10 {
        let body = cluster(&format!("same-{round}"), &id);
        let (first, second) = tokio::join!(
            one.post("/v3/clusters").json(&body).send(),
            two.post("/v3/clusters").json(&body).send()
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
    let list = two.get("/v3/clusters").send().await.json();
    assert_eq!(list["data"].as_array().unwrap().len(), 10, "{list}");
}

#[tokio::test]
async fn changes_of_one_credential_through_two_servers_never_fail_inside() {
    let Some(db) = databases::postgres().await else { return };
    let (one, two) = pair(&db).await;
    let path = format!("/v3/cloudcredentials/{}", one.stored_credential(&one.admin).await);
    let change = |server: &str, round: u32| json!({"name": format!("{server}-{round}"), "azurecredentialConfig": {"clientSecret": format!("{server}~{round}")}});
    let mut done = 0;
    for round in 0..20 {
        let (first, second) = (change("one", round), change("two", round));
        let (first, second) =
            tokio::join!(one.put(&path).json(&first).send(), two.put(&path).json(&second).send());
        for answer in [first, second] {
            assert!(matches!(answer.status.as_u16(), 200 | 409), "{}", answer.text());
            done += usize::from(answer.status == 200);
        }
    }
    assert!(done >= 20, "in every round at least one: {done}");
}

#[tokio::test]
async fn a_server_goes_on_when_the_database_cuts_its_connections() {
    let Some(db) = databases::postgres().await else { return };
    let app = TestApp::with().advise().on(&db).start().await;
    let id = app.stored_credential(&app.admin).await;
    let mut other = sqlx::PgConnection::connect(&db.url).await.unwrap();
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity
               where datname = current_database() and pid <> pg_backend_pid()";
    for _ in 0..5 {
        sqlx::query(cut).execute(&mut other).await.unwrap();
        app.clock.advance(Duration::from_secs(10));
        let answer = app.get(&format!("/v3/cloudcredentials/{id}")).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = app.get("/readyz").anonymous().send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

fn config(db: &TestDb, folder: &std::path::Path) -> Config {
    let settings = [
        ("NORMAN_AKS_DATABASE_URL".to_owned(), db.url.clone()),
        ("NORMAN_AKS_DATA_DIR".to_owned(), folder.display().to_string()),
    ];
    Config::load(&Flags::new(), &settings.into(), &|path| std::fs::read_to_string(path)).unwrap().0
}

#[tokio::test]
async fn no_server_makes_a_key_of_its_own_and_a_foreign_one_is_refused() {
    let Some(db) = databases::postgres().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = config(&db, folder.path());
    let refused = async || {
        let store = app::open_store(&config).await.unwrap();
        let opened = app::open_secrets(&config, &store, &Clock::system()).await;
        opened.err().expect("no usable key").to_string()
    };
    let said = refused().await;
    assert!(said.contains("encryption.keys"), "{said}");
    assert!(!config.encryption_key_file.exists());

    let app = TestApp::with().advise().on(&db).start().await;
    app.stored_credential(&app.admin).await;
    let id = db.keys.split(':').next().unwrap();
    let foreign = norman_aks::vault::KeyRing::generate();
    std::fs::write(&config.encryption_key_file, foreign.expose_secret()).unwrap();
    let said = refused().await;
    assert!(said.contains(&format!("need the encryption key {id}")), "{said}");
    std::fs::write(&config.encryption_key_file, format!("{}\n{}\n", foreign.expose_secret(), db.keys))
        .unwrap();
    let store = app::open_store(&config).await.unwrap();
    let secrets = app::open_secrets(&config, &store, &Clock::system()).await.unwrap();

    // The new key is active here, and the running server does not know it.
    app.app.secrets.heartbeat().await.unwrap();
    let later = Secrets::open(&config.encryption_key_file, false, store, app.clock.clone()).await.unwrap().0;
    let said = later.rotate().await.unwrap_err().to_string();
    assert!(said.contains("does not know the key"), "{said}");
    assert_eq!(secrets.key_ids().len(), 2);
}
