//! The schema, connections, and tables of the server as a whole.

use super::*;

on_both_databases!(
    migrate_is_idempotent_and_rejects_newer_schema,
    concurrent_migrations_succeed,
    stamp_rejects_other_kind_of_server,
    insert_if_absent_keeps_first_value,
    probe_space_leaves_no_row,
    replicas_store_heartbeats,
    settings_are_written_listed_and_deleted,
    strings_with_nul_are_rejected_and_never_found,
    corrupt_value_is_reported_with_row_and_column,
    concurrent_updates_are_not_lost,
    closed_database_is_unavailable,
    writes_change_the_version
);

async fn migrate_is_idempotent_and_rejects_newer_schema(db: &TestDb) {
    let store = &db.store;
    store.ping().await.unwrap();
    assert!(store.pending_migrations().await.unwrap().is_empty());
    assert!(store.migrate().await.unwrap().applied.is_empty());
    execute(
        db,
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                 select 9999, 'x', success, checksum, 0 from _sqlx_migrations where version = 1",
    )
    .await;
    assert!(matches!(store.migrate().await, Err(Error::Newer(9999))));
    assert!(store.pending_migrations().await.unwrap().is_empty(), "a running older server continues");
    assert!(matches!(store.reject_newer_schema().await, Err(Error::Newer(9999))));
    execute(db, "delete from _sqlx_migrations where version = 9999").await;
    store.migrate().await.unwrap();
    store.reject_newer_schema().await.unwrap();
    execute(db, "update _sqlx_migrations set checksum = '' where version = 1").await;
    assert!(matches!(store.migrate().await, Err(Error::Migration(_))));
    execute(db, "drop table _sqlx_migrations").await;
    assert_eq!(store.pending_migrations().await.unwrap(), all_migrations());
}

/// The names of all migrations, in the order in which they are applied.
fn all_migrations() -> Vec<String> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite");
    let files = std::fs::read_dir(directory).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.map(|name| name.trim_end_matches(".sql").to_owned()).collect();
    names.sort_unstable();
    names
}

async fn concurrent_migrations_succeed(db: &TestDb) {
    for table in [
        "cluster_events",
        "cluster_members",
        "cluster_revocations",
        "agent_sessions",
        "cluster_secrets",
        "cluster_watches",
        "registration_tokens",
        "tokens",
        "users",
        "clusters",
        "credentials",
        "instance",
        "settings",
        "events",
        "replicas",
    ] {
        let statement: &'static str = format!("drop table {table}").leak();
        execute(db, statement).await;
    }
    execute(db, "drop table _sqlx_migrations").await;
    let mut servers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let url = db.url.clone();
        servers.spawn(async move {
            let store = Store::connect(&url, &Options::default()).await.unwrap();
            store.migrate().await.map(|_| store)
        });
    }
    for outcome in servers.join_all().await {
        outcome.unwrap().close().await;
    }
    assert!(db.store.pending_migrations().await.unwrap().is_empty());
    assert!(users::list(&db.store).await.unwrap().is_empty());
}

async fn stamp_rejects_other_kind_of_server(db: &TestDb) {
    db.store.stamp(AzureBackend::Sandbox).await.unwrap();
    db.store.stamp(AzureBackend::Sandbox).await.unwrap();
    let error = db.store.stamp(AzureBackend::Azure).await.unwrap_err();
    assert!(
        matches!(&error, Error::WrongBackend { found, expected: AzureBackend::Azure } if found == "sandbox"),
        "{error}"
    );
    db.store.stamp(AzureBackend::Sandbox).await.unwrap();
}

async fn insert_if_absent_keeps_first_value(db: &TestDb) {
    let store = &db.store;
    assert_eq!(instance::get(store, "a").await.unwrap(), None);
    assert_eq!(instance::insert_if_absent(store, "a", "1").await.unwrap(), "1");
    assert_eq!(instance::insert_if_absent(store, "a", "2").await.unwrap(), "1");
    instance::put(store, "a", "3").await.unwrap();
    assert_eq!(instance::get(store, "a").await.unwrap(), some("3"));
}

async fn probe_space_leaves_no_row(db: &TestDb) {
    instance::probe_space(&db.store, &"x".repeat(40_000)).await.unwrap();
    instance::probe_space(&db.store, "again").await.unwrap();
    assert_eq!(instance::get(&db.store, "space-probe").await.unwrap(), None);
}

async fn replicas_store_heartbeats(db: &TestDb) {
    let store = &db.store;
    let replica = |id: &str, seen_ms, keys: &[&str]| ReplicaRow {
        id: id.to_owned(),
        started_ms: 1,
        seen_ms,
        key_ids: keys.iter().map(|key| (*key).to_owned()).collect(),
        capabilities: keys.iter().map(|key| format!("after-{key}")).collect(),
        address: keys.first().map(|key| format!("{key}:8445")),
    };
    replicas::upsert_heartbeat(store, &replica("b", 10, &["k1"])).await.unwrap();
    replicas::upsert_heartbeat(store, &replica("a", 20, &[])).await.unwrap();
    replicas::upsert_heartbeat(store, &replica("b", 30, &["k2", "k1"])).await.unwrap();
    let all = replicas::seen_since(store, 0).await.unwrap();
    assert_eq!(all, [replica("a", 20, &[]), replica("b", 30, &["k2", "k1"])]);
    assert_eq!(replicas::seen_since(store, 21).await.unwrap(), [replica("b", 30, &["k2", "k1"])]);
    assert_eq!(replicas::prune(store, 30).await.unwrap(), 1);
    assert!(replicas::delete(store, "b").await.unwrap());
    assert!(!replicas::delete(store, "b").await.unwrap());
}

async fn settings_are_written_listed_and_deleted(db: &TestDb) {
    let store = &db.store;
    let setting = |name: &str, value: &str| SettingRow {
        name: name.to_owned(),
        value: value.to_owned(),
        updated_ms: 3,
    };
    assert!(settings::list(store).await.unwrap().is_empty());
    settings::put(store, &setting("b", "1"), &audit()).await.unwrap();
    settings::put(store, &setting("a", ""), &audit()).await.unwrap();
    settings::put(store, &SettingRow { updated_ms: 4, ..setting("b", "2") }, &audit()).await.unwrap();
    let latest = SettingRow { updated_ms: 4, ..setting("b", "2") };
    assert_eq!(settings::list(store).await.unwrap(), [setting("a", ""), latest]);
    assert!(settings::delete(store, "b", &audit()).await.unwrap());
    assert!(!settings::delete(store, "b", &audit()).await.unwrap());
}

async fn strings_with_nul_are_rejected_and_never_found(db: &TestDb) {
    let store = &db.store;
    let nul = "a\0b";
    assert!(users::get(store, nul).await.unwrap().is_none());
    assert!(!remove_user(store, nul, &audit()).await.unwrap());
    assert!(tokens::find(store, nul).await.unwrap().is_none());
    assert!(!tokens::delete(store, nul, &audit()).await.unwrap());
    assert!(find_credential(store, nul).await.is_none());
    assert_eq!(delete_credential(store, nul, 1).await, None);
    assert!(revocations::list(store, nul, 1).await.unwrap().is_empty());
    assert!(watches::claim(store, nul, 1, 2, 3).await.is_err());
    assert!(clusters::get(store, nul).await.unwrap().is_none());
    assert!(clusters::by_aks_identity(store, nul).await.unwrap().is_none());
    assert!(clusters::using_credential(store, nul).await.unwrap().is_empty());
    assert!(!remove_cluster(store, nul).await);
    assert!(!settings::delete(store, nul, &audit()).await.unwrap());
    let filter = Filter { object_id: some(nul), ..Filter::default() };
    assert!(audit::list(store, 9, &filter).await.unwrap().is_empty());

    let rejected =
        credentials::insert(store, &CredentialRow { name: nul.to_owned(), ..credential("cc-a") }, &audit())
            .await;
    assert!(matches!(rejected, Err(Error::Nul)), "{rejected:?}");
    let rejected =
        clusters::insert(store, &ClusterRow { spec: nul.to_owned(), ..cluster("c-a") }, None, &audit()).await;
    assert!(matches!(rejected, Err(Error::Nul)), "{rejected:?}");
    // In JSON columns NUL is written as an escape, which is ordinary text.
    let labels = BTreeMap::from([(nul.to_owned(), nul.to_owned())]);
    let row = CredentialRow { labels, ..credential("cc-a") };
    add_credential(store, &row).await;
    assert_eq!(find_credential(store, "cc-a").await, Some(row));
}

async fn corrupt_value_is_reported_with_row_and_column(db: &TestDb) {
    let store = &db.store;
    add_credential(store, &credential("cc-a")).await;
    execute(db, "update credentials set labels = '{canary'").await;
    let error = credentials::get(store, "cc-a").await.unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt { table: "credentials", column: "labels", row, .. } if row == "cc-a"),
        "{error:?}"
    );
    assert!(!error.to_string().contains("canary"));
    assert!(!error.is_unavailable());
}

async fn concurrent_updates_are_not_lost(db: &TestDb) {
    add_credential(&db.store, &credential("cc-a")).await;
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = db.store.clone();
        writers.spawn(async move {
            let mut changes = 0;
            while changes < 10 {
                let row = credentials::get(&store, "cc-a").await.unwrap().unwrap();
                match credentials::update(&store, &row, false, &audit()).await {
                    Ok(_) => changes += 1,
                    Err(Error::Conflict { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
    }
    writers.join_all().await;
    let row = credentials::get(&db.store, "cc-a").await.unwrap().unwrap();
    assert_eq!(row.version, 81);
}

async fn closed_database_is_unavailable(db: &TestDb) {
    assert!(db.store.connections().0 > 0);
    db.store.close().await;
    let error = db.store.ping().await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(users::list(&db.store).await.unwrap_err().is_unavailable());
}

#[tokio::test]
async fn unreachable_server_is_unavailable() {
    let options = Options { acquire_timeout: std::time::Duration::from_millis(300), ..Options::default() };
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://user:canary@127.0.0.1:{port}/x");
    let error = Store::connect(&url, &options).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(!format!("{error:?}").contains("canary"));
}

#[tokio::test]
async fn postgres_uses_the_schema_of_the_url() {
    let Some(db) = databases::postgres().await else { return };
    execute(&db, "create schema tenant").await;
    let url = format!(
        "{}{}options=-c%20search_path%3Dtenant",
        db.url,
        if db.url.contains('?') { '&' } else { '?' }
    );
    let tenant = Store::connect(&url, &Options::default()).await.unwrap();
    assert_eq!(tenant.pending_migrations().await.unwrap(), all_migrations());
    assert_eq!(tenant.migrate().await.unwrap().applied, all_migrations());
    tenant.stamp(AzureBackend::Sandbox).await.unwrap();
    db.store.stamp(AzureBackend::Azure).await.unwrap();
    add_user(&tenant, &user("user-a", "ann")).await;
    assert!(users::list(&db.store).await.unwrap().is_empty());
    tenant.close().await;
}

async fn writes_change_the_version(db: &TestDb) {
    let store = &db.store;
    let other_store = Store::connect(&db.url, &Options::default()).await.unwrap();
    let mut version = store.version();
    add_user(store, &user("user-a", "a")).await;
    assert!(store.clone().version() > version, "clones share the version");
    version = store.version();
    users::list(store).await.unwrap();
    assert_eq!(store.version(), version, "reading does not change the version");
    assert!(users::ensure(store, &user("user-a", "b"), None, |_| audit()).await.is_err());
    assert!(store.version() > version, "a failed change may have been written");
    version = store.version();
    instance::put(store, "a", "b").await.unwrap();
    assert!(store.version() > version);
    version = store.version();
    add_user(&other_store, &user("user-b", "b")).await;
    assert_eq!(store.version(), version, "another server has its own version");
    other_store.close().await;
}
