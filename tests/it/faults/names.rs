//! Several concurrent requests for the same name: only one succeeds.

use futures_util::future::join_all;
use norman_aks::store::{self, DatabaseKind};
use serde_json::json;

use super::{Database, small_cluster};
use crate::support::app::{TestApp, TestResponse};
use crate::support::databases::TestDb;

on_both_databases!(only_one_of_concurrent_posts_gets_the_name, only_one_of_concurrent_renames_gets_the_name);

/// Starts the servers of a database: one on SQLite, two on PostgreSQL.
async fn start_servers(db: &TestDb) -> Vec<TestApp> {
    let first = TestApp::builder().database(db).start().await;
    if db.store.kind() == DatabaseKind::Sqlite {
        return vec![first];
    }
    let second = TestApp::builder().database(db).with_azure_of(&first).start().await;
    vec![first, second]
}

/// Expects exactly one response with this status; all others must reject the name.
fn assert_one_accepted(responses: &[TestResponse], status: u16) {
    let (accepted, rejected): (Vec<_>, Vec<_>) =
        responses.iter().partition(|response| response.status == status);
    for response in &rejected {
        assert_eq!(response.status, 422, "{}", response.text());
        let body = response.json();
        assert_eq!((&body["code"], &body["fieldName"]), (&json!("NotUnique"), &json!("Cluster name")));
    }
    assert_eq!(accepted.len(), 1, "{:?}", responses.iter().map(TestResponse::text).collect::<Vec<_>>());
}

async fn only_one_of_concurrent_posts_gets_the_name(database: Database) {
    let db = database.create().await;
    let apps = start_servers(&db).await;
    let credential = apps[0].store_credential(&apps[0].admin).await;
    let bodies: Vec<_> = (0..8)
        .map(|number| {
            let mut body = small_cluster(&format!("n{number}"), &credential);
            body["name"] = json!(if number % 2 == 0 { "the-name" } else { "The-Name" });
            body
        })
        .collect();
    let posts = bodies.iter().enumerate().map(|(number, body)| {
        let app = &apps[number % apps.len()];
        app.post("/v3/clusters").json(body).send()
    });
    assert_one_accepted(&join_all(posts).await, 201);
    assert_eq!(store::clusters::list(&db.store, None).await.unwrap().len(), 1);
    // One record is for the creation, the others are for the rejected requests.
    for app in apps {
        app.server.stop().await;
    }
    let filter =
        store::audit::Filter { object_type: Some("cluster".to_owned()), ..store::audit::Filter::default() };
    let rows = store::audit::list(&db.store, 100, &filter).await.unwrap();
    let done = rows.iter().filter(|row| row.outcome == "done").count();
    assert_eq!((rows.len(), done), (8, 1), "{rows:?}");
}

async fn only_one_of_concurrent_renames_gets_the_name(database: Database) {
    let db = database.create().await;
    let apps = start_servers(&db).await;
    let credential = apps[0].store_credential(&apps[0].admin).await;
    let mut paths = Vec::new();
    for number in 0..6 {
        paths.push(super::create_object(&apps[0], &small_cluster(&format!("n{number}"), &credential)).await);
    }
    let puts = paths.iter().enumerate().map(|(number, path)| {
        let app = &apps[number % apps.len()];
        app.put(path).json(&json!({"name": if number < 3 { "same" } else { "SAME" }})).send()
    });
    assert_one_accepted(&join_all(puts).await, 200);
    let rows = store::clusters::list(&db.store, None).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.name.eq_ignore_ascii_case("same")).count(), 1);
}
