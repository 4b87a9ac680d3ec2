//! The audit log: administrators read it, and no record is lost while the database is locked or cuts connections.

use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use norman_aks::services::Caller;
use norman_aks::services::{Action, AuditEvent, AuditLog, Options, Sink};
use norman_aks::store::audit::Filter;
use norman_aks::store::{self, DatabaseKind, Store};
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::norman::norman_error;
use crate::support::app::{TestApp, TestResponse};
use crate::support::databases::{self, TestDb};

fn event(object_id: &str) -> AuditEvent {
    let caller = Caller {
        user_id: "user-a".to_owned(),
        user_name: "ann".to_owned(),
        admin: false,
        token_name: "token-a".to_owned(),
        cluster_id: None,
    };
    AuditEvent::new(&Arc::new(caller), Action::Create, "cluster", object_id)
}

async fn ids(store: &Store) -> Vec<String> {
    let rows = store::audit::list(store, 100, &Filter::default()).await.expect("list");
    rows.into_iter().map(|row| row.object_id).collect()
}

/// A lock of another connection that blocks writes of audit records.
enum Lock {
    Sqlite(sqlx::SqliteConnection),
    Postgres(sqlx::PgConnection),
}

impl Lock {
    async fn take(db: &TestDb) -> Self {
        match db.store.kind() {
            DatabaseKind::Sqlite => {
                let mut connection = sqlx::SqliteConnection::connect(&db.url).await.expect("connect");
                sqlx::raw_sql("begin immediate").execute(&mut connection).await.expect("lock");
                Self::Sqlite(connection)
            }
            DatabaseKind::Postgres => {
                let mut connection = sqlx::PgConnection::connect(&db.url).await.expect("connect");
                let lock = "begin; lock table events in exclusive mode";
                sqlx::raw_sql(lock).execute(&mut connection).await.expect("lock");
                Self::Postgres(connection)
            }
        }
    }

    async fn release(self) {
        match self {
            Self::Sqlite(connection) => connection.close().await.expect("close"),
            Self::Postgres(connection) => connection.close().await.expect("close"),
        }
    }
}

async fn full_queue_delays_requests_and_loses_no_record(db: &TestDb) {
    let lock = Lock::take(db).await;
    let options = Options { queue_capacity: 2, ..Options::default() };
    let audit_log = AuditLog::start(Sink::Database(db.store.clone()), Clock::manual(1_000), &options);
    audit_log.record(event("1")).await;
    // The writing task takes the first record and waits; then the queue has room for two.
    tokio::time::sleep(Duration::from_millis(100)).await;
    for id in ["2", "3"] {
        let recorded = tokio::time::timeout(Duration::from_secs(2), audit_log.record(event(id)));
        recorded.await.expect("the queue has space");
    }
    let waiting = tokio::time::timeout(Duration::from_millis(100), audit_log.record(event("4"))).await;
    assert!(waiting.is_err(), "the queue is full");
    assert!(ids(&db.store).await.is_empty());
    lock.release().await;
    audit_log.stop(Duration::from_secs(30)).await;
    assert_eq!(ids(&db.store).await, ["4", "3", "2", "1"], "also the record whose request was aborted");
}

#[tokio::test]
async fn full_queue_delays_requests_and_loses_no_record_on_sqlite() {
    full_queue_delays_requests_and_loses_no_record(&databases::sqlite().await).await;
}

#[tokio::test]
async fn full_queue_delays_requests_and_loses_no_record_on_postgres() {
    if let Some(db) = databases::postgres().await {
        full_queue_delays_requests_and_loses_no_record(&db).await;
    }
}

#[tokio::test]
async fn records_survive_connections_that_the_database_cuts() {
    let Some(db) = databases::postgres().await else { return };
    let audit_log =
        AuditLog::start(Sink::Database(db.store.clone()), Clock::manual(1_000), &Options::default());
    let mut admin_connection = sqlx::PgConnection::connect(&db.url).await.expect("connect");
    for n in 0..20 {
        audit_log.record(event(&format!("{n:02}"))).await;
        databases::cut_connections(&mut admin_connection).await;
    }
    audit_log.stop(Duration::from_secs(30)).await;
    let mut ids = ids(&db.store).await;
    ids.reverse();
    assert_eq!(ids, (0..20).map(|n| format!("{n:02}")).collect::<Vec<_>>());
}

/// Action, object type and outcome of the records of a page.
fn summaries(response: &TestResponse) -> Vec<String> {
    assert_eq!(response.status, 200, "{}", response.text());
    let body = response.json();
    let text = |record: &Value, key: &str| record[key].as_str().unwrap().to_owned();
    let line = |record: &Value| {
        [text(record, "action"), text(record, "objectType"), text(record, "outcome")].join(" ")
    };
    body["data"].as_array().unwrap().iter().map(line).collect()
}

/// A server on which Ann created, changed and deleted a credential, an hour apart, and tried to delete it again; and her token.
async fn app_with_records() -> (TestApp, String) {
    let app = TestApp::with_advisory_review().await;
    let ann = app.token("ann").await;
    let id = app.store_credential(&ann).await;
    let path = format!("/v3/cloudcredentials/{id}");
    app.clock.advance(Duration::from_hours(1));
    let change = json!({"name": "renamed"});
    app.put(&path).token(&ann).header("x-request-id", "request-17").json(&change).send().await.expect(200);
    app.clock.advance(Duration::from_hours(1));
    assert_eq!(app.delete(&path).token(&ann).send().await.status, 200);
    assert_eq!(app.delete(&path).token(&ann).send().await.status, 404);
    (app, ann)
}

#[tokio::test]
async fn administrators_read_the_audit_log_newest_first() {
    let (app, _) = app_with_records().await;
    let response = app.get("/api/v1/audit").send().await;
    assert_eq!(
        summaries(&response),
        [
            "delete cloudCredential refused",
            "delete cloudCredential done",
            "update cloudCredential done",
            "create cloudCredential done",
            "create token done",
            "create user done",
            "create token done",
            "create user done",
        ]
    );
    let body = response.json();
    assert_eq!(body["next"], Value::Null);
    let mut update = body["data"][2].clone();
    for key in ["id", "objectId", "tokenName", "userId"] {
        assert!(update[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {update}");
        update.as_object_mut().unwrap().remove(key);
    }
    let expected = json!({
        "time": "2026-11-22T13:00:00.000Z", "userName": "ann", "action": "update", "objectType": "cloudCredential",
        "outcome": "done", "requestId": "request-17", "clientIp": "127.0.0.1", "detail": "",
    });
    assert_eq!(update, expected);
    let token_record = &body["data"][4];
    assert_eq!(
        (&token_record["userName"], &token_record["userId"], &token_record["detail"]),
        (&json!("command line"), &json!(""), &json!("for the user ann"))
    );
}

#[tokio::test]
async fn query_filters_the_audit_log() {
    let (app, _) = app_with_records().await;
    let all = app.get("/api/v1/audit").send().await.json();
    let (user_id, credential_id) = (&all["data"][1]["userId"], &all["data"][1]["objectId"]);
    let (user_id, credential_id) = (user_id.as_str().unwrap(), credential_id.as_str().unwrap());
    for (query, expected) in [
        ("user=ann", 4),
        (&format!("user={user_id}"), 4),
        ("user=command+line", 4),
        ("user=nobody", 0),
        ("objectType=token", 2),
        (&format!("object={credential_id}&action=delete"), 2),
        ("action=create", 5),
        ("since=2026-11-22T13:00:00Z", 3),
        ("until=2026-11-22T13:00:00Z", 5),
        ("since=2026-11-22T13:00:00Z&until=2026-11-22T14:00:00.001%2B00:00", 3),
        ("user=&since=", 8),
    ] {
        let response = app.get(&format!("/api/v1/audit?{query}")).send().await;
        assert_eq!(summaries(&response).len(), expected, "{query}: {}", response.text());
    }
}

#[tokio::test]
async fn pages_of_the_audit_log_contain_all_records() {
    let (app, _) = app_with_records().await;
    let all = summaries(&app.get("/api/v1/audit?limit=1000&action=create").send().await);
    let mut next = Some("http://norman.test/api/v1/audit?action=create&limit=2".to_owned());
    let mut records = Vec::new();
    let mut pages = 0;
    while let Some(url) = next {
        let response = app.get(url.strip_prefix("http://norman.test").unwrap()).send().await;
        records.extend(summaries(&response));
        pages += 1;
        next = response.json()["next"].as_str().map(str::to_owned);
    }
    assert_eq!((records, pages), (all, 3));
    let full_page = app.get("/api/v1/audit?limit=5&action=create").send().await;
    assert_eq!(full_page.json()["next"], Value::Null, "the last page has no next page even if it is full");
}

#[tokio::test]
async fn audit_log_is_for_administrators_only() {
    let (app, ann) = app_with_records().await;
    let rejected = app.get("/api/v1/audit").token(&ann).send().await;
    assert_eq!(
        (rejected.status.as_u16(), norman_error(&rejected).code.as_str()),
        (403, "PermissionDenied"),
        "{}",
        rejected.text()
    );
    assert_eq!(app.get("/api/v1/audit").anonymous().send().await.status, 401);
    assert_eq!(app.delete("/api/v1/audit").send().await.status, 405);
}

#[tokio::test]
async fn invalid_audit_query_is_rejected_with_its_parameter() {
    let app = TestApp::with_advisory_review().await;
    for (query, field) in [
        ("since=yesterday", "since"),
        ("until=2026-11-22", "until"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("after=5", "after"),
        ("after=5.x", "after"),
        ("userId=ann", "userId"),
        ("objecttype=cluster", "objecttype"),
    ] {
        let rejected = app.get(&format!("/api/v1/audit?{query}")).send().await;
        assert_eq!(rejected.status.as_u16(), 422, "{query}: {}", rejected.text());
        assert_eq!(norman_error(&rejected).field, field, "{query}");
    }
}
