//! The audit log while the database is slow, away, or damaged: no event is lost and no request hangs on it.

use std::sync::Arc;
use std::time::Duration;

use norman_aks::clock::Clock;
use norman_aks::service::Caller;
use norman_aks::service::events::{Action, Event, Events, Options};
use norman_aks::store::events::Filter;
use norman_aks::store::{self, Kind, Store};
use sqlx::Connection as _;

use crate::support::databases::{self, TestDb};

fn event(object_id: &str) -> Event {
    let caller = Caller {
        user_id: "user-a".to_owned(),
        user_name: "ann".to_owned(),
        admin: false,
        token_name: "token-a".to_owned(),
        cluster_id: None,
    };
    Event::new(&Arc::new(caller), Action::Create, "cluster", object_id)
}

async fn ids(store: &Store) -> Vec<String> {
    let rows = store::events::list(store, 100, &Filter::default()).await.expect("list");
    rows.into_iter().map(|row| row.object_id).collect()
}

/// Holds the table of events as another process may.
enum Lock {
    Sqlite(sqlx::SqliteConnection),
    Postgres(sqlx::PgConnection),
}

impl Lock {
    async fn take(db: &TestDb) -> Self {
        match db.store.kind() {
            Kind::Sqlite => {
                let mut connection = sqlx::SqliteConnection::connect(&db.url).await.expect("connect");
                sqlx::raw_sql("begin immediate").execute(&mut connection).await.expect("lock");
                Self::Sqlite(connection)
            }
            Kind::Postgres => {
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

async fn a_request_waits_only_while_the_queue_is_full_and_nothing_is_lost(db: &TestDb) {
    let lock = Lock::take(db).await;
    let options = Options { queue: 2, ..Options::default() };
    let events = Events::start(db.store.clone(), Clock::manual(1_000), &options);
    events.record(event("1")).await;
    // The writing task takes the first and hangs; then the queue has room for two.
    tokio::time::sleep(Duration::from_millis(100)).await;
    for id in ["2", "3"] {
        let recorded = tokio::time::timeout(Duration::from_secs(2), events.record(event(id)));
        recorded.await.expect("there is room");
    }
    let waiting = tokio::time::timeout(Duration::from_millis(100), events.record(event("4"))).await;
    assert!(waiting.is_err(), "the queue is full");
    assert!(ids(&db.store).await.is_empty());
    lock.release().await;
    events.stop(Duration::from_secs(30)).await;
    assert_eq!(ids(&db.store).await, ["4", "3", "2", "1"], "also the one whose request went away");
}

#[tokio::test]
async fn on_sqlite_a_request_waits_only_while_the_queue_is_full_and_nothing_is_lost() {
    a_request_waits_only_while_the_queue_is_full_and_nothing_is_lost(&databases::sqlite().await).await;
}

#[tokio::test]
async fn on_postgres_a_request_waits_only_while_the_queue_is_full_and_nothing_is_lost() {
    if let Some(db) = databases::postgres().await {
        a_request_waits_only_while_the_queue_is_full_and_nothing_is_lost(&db).await;
    }
}

#[tokio::test]
async fn events_survive_connections_that_the_server_cuts() {
    let Some(db) = databases::postgres().await else { return };
    let events = Events::start(db.store.clone(), Clock::manual(1_000), &Options::default());
    let mut other = sqlx::PgConnection::connect(&db.url).await.expect("connect");
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity
               where datname = current_database() and pid <> pg_backend_pid()";
    for n in 0..20 {
        events.record(event(&format!("{n:02}"))).await;
        sqlx::query(cut).execute(&mut other).await.expect("cut");
    }
    events.stop(Duration::from_secs(30)).await;
    let mut ids = ids(&db.store).await;
    ids.reverse();
    assert_eq!(ids, (0..20).map(|n| format!("{n:02}")).collect::<Vec<_>>());
}
