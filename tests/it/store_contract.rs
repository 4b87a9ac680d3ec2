//! Every function of the store, by the same test on SQLite and on PostgreSQL.

use std::collections::BTreeMap;

use norman_aks::store::clusters::{Records, RemovalRecords};
use norman_aks::store::credentials::{Deletion, Erasure, PendingRow, UsingCluster};
use norman_aks::store::events::{Count, Filter};
use norman_aks::store::members::MemberUpdate;
use norman_aks::store::users::{Ensured, Removal};
use norman_aks::store::{
    AuditRow, ClusterEventRow, ClusterRow, CredentialRow, Error, Kind, MemberRow, NameScope, NewClusterEvent,
    Options, RegistrationTokenRow, ReplicaRow, RevocationRow, SealedColumns, SettingRow, Stamp, Store,
    TokenRow, Unique, UserRow, Wake, WorkColumns, cluster_events, cluster_secrets, clusters, credentials,
    events, instance, members, registration_tokens, replicas, revocations, settings, tokens, users, watches,
};

use crate::support::databases::{self, TestDb};

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            use super::databases;
            $(#[tokio::test] async fn $name() {
                let db = databases::sqlite().await;
                super::add_owners(&db).await;
                super::$name(&db).await;
            })*
        }
        mod postgres {
            use super::databases;
            $(#[tokio::test] async fn $name() {
                if let Some(db) = databases::postgres().await {
                    super::add_owners(&db).await;
                    super::$name(&db).await;
                }
            })*
        }
    };
}

/// Users of every database here, who own what the tests put into it; the second one is an administrator. They have no audit
/// records.
const OWNER: &str = "owner-a";
const OTHER_OWNER: &str = "owner-b";

async fn add_owners(db: &TestDb) {
    let sql = "insert into users (id, name, admin, created_ms) values ('owner-a', 'owner-a', false, 1), \
               ('owner-b', 'owner-b', true, 1)";
    databases::execute_on(&db.url, sql).await;
}

on_both!(
    migrating_again_changes_nothing_and_a_newer_schema_is_refused,
    many_servers_may_migrate_at_once,
    a_database_belongs_to_one_kind_of_server,
    the_first_value_of_the_instance_is_kept,
    space_is_probed_without_leaving_anything,
    users_are_made_once_per_name,
    tokens_come_with_their_users,
    a_token_can_be_set_anew,
    expired_tokens_are_removed,
    credentials_come_back_as_they_were_put,
    a_credential_is_only_changed_from_its_latest_version,
    deleted_credential_is_kept_for_its_clusters,
    erased_credential_is_taken_from_its_clusters,
    last_uses_that_end_together_erase_once,
    secrets_are_rewrapped_one_by_one,
    clusters_come_back_as_they_were_put,
    an_aks_cluster_is_only_registered_once,
    a_proved_claim_takes_an_aks_cluster_from_one_that_is_not,
    what_was_acted_on_keeps_its_claim_without_a_mark,
    the_worker_claims_under_its_lease_and_the_version_that_it_read,
    migration_4_drops_claims_that_nothing_was_made_with,
    a_cluster_is_only_changed_from_its_latest_version,
    due_clusters_are_claimed_once_and_recorded_under_their_claim,
    claims_of_the_dead_can_be_ended,
    a_users_change_and_the_work_do_not_overwrite_each_other,
    members_see_a_cluster_and_go_with_it,
    strongest_role_of_a_member_counts,
    watch_of_an_active_cluster_is_leased_to_one_holder,
    rights_are_announced_once_with_their_event,
    lost_roles_leave_marks_until_they_are_searched_twice,
    administrators_who_lose_their_rights_are_marked_everywhere,
    deleted_cluster_leaves_no_marks,
    secrets_of_clusters_are_put_rewrapped_and_go_with_them,
    registration_tokens_are_kept_once_per_name,
    events_of_clusters_come_with_the_row_and_are_listed_behind_an_id,
    settings_are_put_listed_and_removed,
    events_are_listed_newest_first_by_filter_and_page,
    count_of_an_event_is_brought_up_to_date,
    an_event_with_nul_does_not_cost_the_batch,
    old_events_are_pruned_in_portions,
    replicas_show_signs_of_life,
    texts_with_nul_are_refused_and_never_found,
    damaged_values_say_where_they_lie,
    writers_at_once_lose_nothing,
    a_closed_database_counts_as_unavailable,
    a_change_is_written_with_its_audit_record,
    what_changes_nothing_leaves_no_audit_record,
    a_change_whose_record_fails_is_not_made,
    of_clusters_with_one_name_at_once_one_is_made,
    a_credential_does_not_move_while_a_cluster_is_being_made,
    writes_change_the_version,
);

#[expect(clippy::unnecessary_wraps, reason = "optional columns are what it is for")]
fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn user(id: &str, name: &str) -> UserRow {
    UserRow { id: id.to_owned(), name: name.to_owned(), admin: false, enabled: true, created_ms: 1 }
}

/// Removes a user who owns nothing; false when there is none of that id.
async fn remove_user(store: &Store, id: &str, record: &AuditRow) -> Result<bool, Error> {
    let removal = users::remove(store, id, None, |_| vec![record.clone()]).await?;
    Ok(matches!(removal, Removal::Done(_)))
}

fn token(name: &str, user_id: &str) -> TokenRow {
    TokenRow {
        name: name.to_owned(),
        user_id: user_id.to_owned(),
        hash: vec![0, 255, 7],
        created_ms: 10,
        expires_ms: None,
        last_used_ms: None,
        description: "d".to_owned(),
        cluster_id: None,
        labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        annotations: BTreeMap::from([("c".to_owned(), "d".to_owned())]),
    }
}

fn sealed(key_id: &str) -> SealedColumns {
    SealedColumns { key_id: key_id.to_owned(), wrapped_key: vec![0, 1, 255], ciphertext: vec![9; 40] }
}

fn credential(id: &str) -> CredentialRow {
    CredentialRow {
        id: id.to_owned(),
        uuid: format!("uuid-{id}"),
        owner: OWNER.to_owned(),
        name: "my azure 'ü' \"x\"".to_owned(),
        description: text(""),
        labels: BTreeMap::from([("cattle.io/creator".to_owned(), "norman".to_owned())]),
        annotations: BTreeMap::new(),
        tenant_id: None,
        subscription_id: text("s"),
        client_id: text("c"),
        environment: text("AzurePublicCloud"),
        secret: Some(sealed("k1")),
        created_ms: 1_787_220_672_000,
        updated_ms: 1_787_220_672_001,
        deleted_ms: None,
        version: 1,
    }
}

fn cluster(id: &str) -> ClusterRow {
    ClusterRow {
        id: id.to_owned(),
        uuid: format!("uuid-{id}"),
        owner: OWNER.to_owned(),
        name: "c".to_owned(),
        spec: r#"{"aksConfig":{"zones":["2","1"],"b":1,"a":2}}"#.to_owned(),
        credential_id: None,
        aks_identity: None,
        identity_proved: false,
        created_ms: 5,
        updated_ms: 6,
        version: 1,
        generation: 1,
        removing_ms: None,
        review: None,
        work: WorkColumns { phase: "new".to_owned(), status: "{}".to_owned(), ..WorkColumns::default() },
    }
}

fn event(id: &str, at_ms: i64) -> AuditRow {
    AuditRow {
        id: id.to_owned(),
        at_ms,
        user_id: "user-a".to_owned(),
        user_name: "ann".to_owned(),
        token_name: "token-a".to_owned(),
        action: "create".to_owned(),
        object_type: "cloudCredential".to_owned(),
        object_id: "cc-a".to_owned(),
        outcome: "done".to_owned(),
        request_id: "r".to_owned(),
        remote: "127.0.0.1".to_owned(),
        detail: "d \"'".to_owned(),
        counted: None,
    }
}

fn member(id: &str, cluster_id: &str, user_id: &str) -> MemberRow {
    MemberRow {
        id: id.to_owned(),
        uuid: "u".to_owned(),
        cluster_id: cluster_id.to_owned(),
        user_id: user_id.to_owned(),
        role: "read-only".to_owned(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        created_ms: 3,
    }
}

fn registration(cluster_id: &str, name: &str) -> RegistrationTokenRow {
    RegistrationTokenRow {
        cluster_id: cluster_id.to_owned(),
        name: name.to_owned(),
        uuid: "u".to_owned(),
        hash: vec![0, 9],
        created_ms: 4,
    }
}

/// The record of a change.
fn audit() -> AuditRow {
    event(&uuid::Uuid::now_v7().to_string(), 1)
}

/// A statement beside the store's functions, to damage what they would not.
async fn execute(db: &TestDb, statement: &'static str) {
    match db.store.kind() {
        Kind::Sqlite => {
            let pool = sqlx::SqlitePool::connect(&db.url).await.expect("open");
            sqlx::query(statement).execute(&pool).await.expect(statement);
        }
        Kind::Postgres => {
            let pool = sqlx::PgPool::connect(&db.url).await.expect("open");
            sqlx::query(statement).execute(&pool).await.expect(statement);
            pool.close().await;
        }
    }
}

async fn migrating_again_changes_nothing_and_a_newer_schema_is_refused(db: &TestDb) {
    let store = &db.store;
    store.ping().await.expect("ping");
    assert!(store.pending_migrations().await.expect("pending").is_empty());
    assert!(store.migrate().await.expect("again").applied.is_empty());
    execute(
        db,
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                 select 9999, 'x', success, checksum, 0 from _sqlx_migrations where version = 1",
    )
    .await;
    assert!(matches!(store.migrate().await, Err(Error::Newer(9999))));
    assert!(store.pending_migrations().await.expect("pending").is_empty(), "a running older server goes on");
    assert!(matches!(store.reject_newer_schema().await, Err(Error::Newer(9999))));
    execute(db, "delete from _sqlx_migrations where version = 9999").await;
    store.migrate().await.expect("a refused run holds no lock");
    store.reject_newer_schema().await.expect("no newer migration");
    execute(db, "update _sqlx_migrations set checksum = '' where version = 1").await;
    assert!(matches!(store.migrate().await, Err(Error::Migration(_))));
    execute(db, "drop table _sqlx_migrations").await;
    assert_eq!(store.pending_migrations().await.expect("pending"), all_migrations());
}

/// The migrations in the order in which they are applied: the files that there are.
fn all_migrations() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite");
    let files = std::fs::read_dir(folder).expect("migrations");
    let names = files.map(|file| file.expect("file").file_name().into_string().expect("name"));
    let mut names: Vec<_> = names.map(|name| name.trim_end_matches(".sql").to_owned()).collect();
    names.sort_unstable();
    names
}

async fn many_servers_may_migrate_at_once(db: &TestDb) {
    for table in [
        "cluster_events",
        "cluster_members",
        "cluster_revocations",
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
        let drop: &'static str = format!("drop table {table}").leak();
        execute(db, drop).await;
    }
    execute(db, "drop table _sqlx_migrations").await;
    let mut servers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let url = db.url.clone();
        servers.spawn(async move {
            let store = Store::connect(&url, &Options::default()).await.expect("open");
            store.migrate().await.map(|_| store)
        });
    }
    for outcome in servers.join_all().await {
        outcome.expect("migrate").close().await;
    }
    assert!(db.store.pending_migrations().await.expect("pending").is_empty());
    assert!(users::list(&db.store).await.expect("list").is_empty());
}

async fn a_database_belongs_to_one_kind_of_server(db: &TestDb) {
    db.store.stamp(Stamp::Sandbox).await.expect("new");
    db.store.stamp(Stamp::Sandbox).await.expect("again");
    let error = db.store.stamp(Stamp::Azure).await.expect_err("the other kind");
    assert!(
        matches!(&error, Error::WrongKind { found, expected: Stamp::Azure } if found == "sandbox"),
        "{error}"
    );
    db.store.stamp(Stamp::Sandbox).await.expect("unchanged");
}

async fn the_first_value_of_the_instance_is_kept(db: &TestDb) {
    let store = &db.store;
    assert_eq!(instance::get(store, "a").await.expect("get"), None);
    assert_eq!(instance::keep(store, "a", "1").await.expect("keep"), "1");
    assert_eq!(instance::keep(store, "a", "2").await.expect("keep"), "1");
    instance::put(store, "a", "3").await.expect("put");
    assert_eq!(instance::get(store, "a").await.expect("get"), text("3"));
}

async fn users_are_made_once_per_name(db: &TestDb) {
    let store = &db.store;
    users::insert(store, &user("user-b", "bob"), &audit()).await.expect("insert");
    let taken = users::insert(store, &user("user-c", "bob"), &audit()).await.expect_err("name");
    assert!(matches!(taken, Error::Duplicate { what: Unique::UserName }), "{taken:?}");
    let taken = users::insert(store, &user("user-b", "bert"), &audit()).await.expect_err("id");
    assert!(matches!(taken, Error::Duplicate { what: Unique::UserId }), "{taken:?}");

    let ann = user("user-a", "ann");
    let ensured = users::ensure(store, &ann, None, |_| audit()).await.expect("new");
    assert_eq!(ensured, Ensured::Created(ann.clone()));
    let again = UserRow { admin: true, ..ann };
    for (admin, expected) in [
        (Some(true), Ensured::Changed(again.clone())),
        (Some(true), Ensured::Unchanged(again.clone())),
        (None, Ensured::Unchanged(again.clone())),
    ] {
        let ensured = users::ensure(store, &user("user-x", "ann"), admin, |_| audit()).await;
        assert_eq!(ensured.expect("there"), expected);
    }
    let taken = users::ensure(store, &user("user-a", "cid"), None, |_| audit()).await.expect_err("id");
    assert!(matches!(taken, Error::Duplicate { what: Unique::UserId }), "{taken:?}");
    let dan = UserRow { admin: true, ..user("user-d", "dan") };
    let ensured = users::ensure(store, &user("user-d", "dan"), Some(true), |_| audit()).await.expect("new");
    assert_eq!(ensured, Ensured::Created(dan.clone()));

    assert_eq!(users::get(store, "user-a").await.expect("get"), Some(again.clone()));
    assert_eq!(users::get(store, "user-z").await.expect("get"), None);
    let mut listed = users::list(store).await.expect("list");
    listed.retain(|user| user.id.starts_with("user-"));
    assert_eq!(listed, [again, user("user-b", "bob"), dan]);
    tokens::insert(store, &token("t", "user-b"), None, &audit()).await.expect("token");
    assert!(remove_user(store, "user-b", &audit()).await.expect("delete"));
    assert!(!remove_user(store, "user-b", &audit()).await.expect("delete"));
    assert_eq!(tokens::find(store, "t").await.expect("find"), None, "a user takes his tokens along");
}

async fn tokens_come_with_their_users(db: &TestDb) {
    let store = &db.store;
    let (ann, bob) = (user("user-a", "ann"), user("user-b", "bob"));
    users::insert(store, &ann, &audit()).await.expect("user");
    users::insert(store, &bob, &audit()).await.expect("user");
    let first = TokenRow { expires_ms: Some(99), last_used_ms: Some(11), ..token("token-1", "user-a") };
    let second = TokenRow { created_ms: 9, ..token("token-2", "user-b") };
    tokens::insert(store, &first, None, &audit()).await.expect("insert");
    tokens::insert(store, &second, None, &audit()).await.expect("insert");
    let taken = tokens::insert(store, &token("token-1", "user-b"), None, &audit()).await.expect_err("name");
    assert!(matches!(taken, Error::Duplicate { what: Unique::TokenName }), "{taken:?}");
    let dangling =
        tokens::insert(store, &token("token-3", "user-z"), None, &audit()).await.expect_err("user");
    assert!(matches!(&dangling, Error::Dangling { table: "tokens", id } if id == "token-3"), "{dangling:?}");

    assert_eq!(tokens::find(store, "token-1").await.expect("find"), Some((first.clone(), ann.clone())));
    assert_eq!(tokens::find(store, "token-9").await.expect("find"), None);
    let all = tokens::list(store, None).await.expect("list");
    assert_eq!(all, [(second.clone(), bob), (first.clone(), ann.clone())]);
    assert_eq!(tokens::list(store, Some("user-a")).await.expect("list"), [(first.clone(), ann.clone())]);
    assert!(tokens::list(store, Some("user-z")).await.expect("list").is_empty());

    for at_ms in [50, 40] {
        tokens::touch(store, "token-1", at_ms).await.expect("touch");
        let (row, _) = tokens::find(store, "token-1").await.expect("find").expect("row");
        assert_eq!(row.last_used_ms, Some(50), "an earlier use does not count");
    }
    tokens::touch(store, "token-2", 60).await.expect("the first use");
    tokens::touch(store, "token-9", 50).await.expect("nothing to touch");
    let (row, _) = tokens::find(store, "token-2").await.expect("find").expect("row");
    assert_eq!(row.last_used_ms, Some(60));
    assert!(tokens::delete(store, "token-1", &audit()).await.expect("delete"));
    assert!(!tokens::delete(store, "token-1", &audit()).await.expect("delete"));
}

async fn a_token_can_be_set_anew(db: &TestDb) {
    let store = &db.store;
    users::insert(store, &user("user-a", "ann"), &audit()).await.expect("user");
    users::insert(store, &user("user-b", "bob"), &audit()).await.expect("user");
    let row = async || tokens::find(store, "t").await.expect("find").expect("row").0;
    assert!(
        tokens::put(store, &TokenRow { expires_ms: Some(1), ..token("t", "user-a") }, &audit())
            .await
            .expect("new")
    );
    assert_eq!(row().await.expires_ms, Some(1));
    assert!(tokens::put(store, &token("t", "user-a"), &audit()).await.expect("without end"));
    assert_eq!(row().await, token("t", "user-a"));
    let later = TokenRow { created_ms: 77, ..token("t", "user-a") };
    assert!(!tokens::put(store, &later, &audit()).await.expect("the same"), "keeps its dates");
    assert_eq!(row().await.created_ms, 10);
    let other = TokenRow { hash: vec![1], created_ms: 78, ..token("t", "user-b") };
    assert!(tokens::put(store, &other, &audit()).await.expect("another secret and user"));
    assert_eq!(row().await, other);
    let dangling = tokens::put(store, &token("t", "user-z"), &audit()).await.expect_err("user");
    assert!(matches!(dangling, Error::Dangling { .. }), "{dangling:?}");
}

async fn expired_tokens_are_removed(db: &TestDb) {
    let store = &db.store;
    users::insert(store, &user("user-a", "ann"), &audit()).await.expect("user");
    for (name, expires_ms) in [("past", Some(99)), ("now", Some(100)), ("later", Some(101)), ("never", None)]
    {
        let row = TokenRow { expires_ms, ..token(name, "user-a") };
        tokens::insert(store, &row, None, &audit()).await.expect(name);
    }
    assert_eq!(tokens::delete_expired(store, 100).await.expect("delete"), 2);
    let left = tokens::list(store, None).await.expect("list");
    assert_eq!(left.iter().map(|(token, _)| token.name.as_str()).collect::<Vec<_>>(), ["later", "never"]);
}

async fn credentials_come_back_as_they_were_put(db: &TestDb) {
    let store = &db.store;
    let full = CredentialRow {
        annotations: BTreeMap::from([("a/b".to_owned(), "\u{1F980} \u{2028} <&> \\ \n".to_owned())]),
        tenant_id: text("t"),
        ..credential("cc-b")
    };
    let bare = CredentialRow {
        description: None,
        labels: BTreeMap::new(),
        subscription_id: None,
        client_id: None,
        environment: None,
        secret: None,
        owner: OTHER_OWNER.to_owned(),
        ..credential("cc-a")
    };
    let older = CredentialRow { created_ms: 1, ..credential("cc-z") };
    for row in [&full, &bare, &older] {
        credentials::insert(store, row, &audit()).await.expect("insert");
        assert_eq!(credentials::get(store, &row.id).await.expect("get").as_ref(), Some(row));
    }
    let taken = credentials::insert(store, &bare, &audit()).await.expect_err("id");
    assert!(matches!(taken, Error::Duplicate { what: Unique::CredentialId }), "{taken:?}");
    assert_eq!(credentials::get(store, "cc-x").await.expect("get"), None);
    let all = credentials::list(store, None).await.expect("list");
    assert_eq!(all, [older.clone(), bare.clone(), full.clone()], "oldest first, then by id");
    assert_eq!(credentials::list(store, Some(OWNER)).await.expect("list"), [older, full]);
    assert_eq!(delete_credential(store, "cc-a", 1).await, Some(Deletion::Erased));
    assert_eq!(delete_credential(store, "cc-a", 1).await, None);
    assert!(credentials::list(store, Some(OTHER_OWNER)).await.expect("list").is_empty());
}

async fn a_credential_is_only_changed_from_its_latest_version(db: &TestDb) {
    let store = &db.store;
    let row = credential("cc-a");
    credentials::insert(store, &row, &audit()).await.expect("insert");
    let changed = CredentialRow {
        name: "new".to_owned(),
        description: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        tenant_id: text("t2"),
        subscription_id: text("s2"),
        client_id: text("c2"),
        environment: text("AzureChinaCloud"),
        secret: Some(sealed("k2")),
        updated_ms: 99,
        ..row.clone()
    };
    assert_eq!(credentials::update(store, &changed, false, &audit()).await.expect("update"), 2);
    let read = credentials::get(store, "cc-a").await.expect("get").expect("row");
    assert_eq!(read, CredentialRow { version: 2, ..changed.clone() });
    let late = credentials::update(store, &row, false, &audit()).await.expect_err("from version 1");
    assert!(matches!(&late, Error::Conflict { table: "credentials", id } if id == "cc-a"), "{late:?}");
    let foreign =
        CredentialRow { uuid: "u".to_owned(), owner: "o".to_owned(), created_ms: 0, secret: None, ..read };
    assert_eq!(credentials::update(store, &foreign, false, &audit()).await.expect("update"), 3);
    let read = credentials::get(store, "cc-a").await.expect("get").expect("row");
    assert_eq!(read, CredentialRow { secret: None, version: 3, ..changed }, "id, uuid, owner and birth stay");
    let gone =
        credentials::update(store, &credential("cc-x"), false, &audit()).await.expect_err("no such row");
    assert!(matches!(gone, Error::Conflict { .. }), "{gone:?}");
}

/// Deletes a credential, with a plain audit record.
async fn delete_credential(store: &Store, id: &str, now_ms: i64) -> Option<Deletion> {
    credentials::delete(store, id, now_ms, |_| audit()).await.expect("delete")
}

fn erasure(credential_id: &str, record_id: &str) -> Erasure {
    let audit = AuditRow { id: record_id.to_owned(), action: "erase".to_owned(), ..audit() };
    Erasure { credential_id: credential_id.to_owned(), audit }
}

async fn erasures(store: &Store) -> Vec<String> {
    let filter = Filter { action: text("erase"), ..Filter::default() };
    events::list(store, 10, &filter).await.expect("list").into_iter().map(|row| row.id).collect()
}

async fn deleted_credential_is_kept_for_its_clusters(db: &TestDb) {
    let store = &db.store;
    for id in ["cc-a", "cc-b", "cc-c"] {
        credentials::insert(store, &credential(id), &audit()).await.expect("insert");
    }
    let rows = ["c-a", "c-b", "c-c"].map(|id| ClusterRow { credential_id: text("cc-a"), ..cluster(id) });
    for row in &rows {
        clusters::insert(store, row, None, &audit()).await.expect("cluster");
    }
    let using = |id: &str| UsingCluster { id: id.to_owned(), name: "c".to_owned() };
    assert_eq!(
        delete_credential(store, "cc-a", 7).await,
        Some(Deletion::Pending(vec![using("c-a"), using("c-b"), using("c-c")]))
    );
    assert_eq!(delete_credential(store, "cc-b", 7).await, Some(Deletion::Erased));
    for gone in ["cc-a", "cc-b", "cc-x", "a\0b"] {
        assert_eq!(delete_credential(store, gone, 8).await, None, "{gone}");
    }
    let kept = CredentialRow { deleted_ms: Some(7), version: 2, ..credential("cc-a") };
    assert_eq!(credentials::get(store, "cc-a").await.expect("get"), Some(kept.clone()));
    assert_eq!(credentials::list(store, None).await.expect("list"), [credential("cc-c")]);
    assert_eq!(
        credentials::pending(store).await.expect("pending"),
        [PendingRow { credential: kept, clusters: vec![using("c-a"), using("c-b"), using("c-c")] }]
    );
    // Whatever uses it may change; nothing else begins to.
    let late = ClusterRow { credential_id: text("cc-a"), ..cluster("c-d") };
    let refused = clusters::insert(store, &late, None, &audit()).await.expect_err("deleted");
    assert!(matches!(refused, Error::Dangling { table: "clusters", .. }), "{refused:?}");
    let other = ClusterRow { credential_id: text("cc-c"), ..cluster("c-e") };
    clusters::insert(store, &other, None, &audit()).await.expect("cluster");
    let (record, freed) = (audit(), erasure("cc-c", "1"));
    let records = Records { change: &record, erasure: Some(&freed) };
    let moved = ClusterRow { credential_id: text("cc-a"), ..other };
    let refused = clusters::update(store, &moved, None, None, records).await.expect_err("deleted");
    assert!(matches!(refused, Error::Dangling { table: "clusters", .. }), "{refused:?}");
    let [first, second, third] = rows;
    assert_eq!(clusters::update(store, &first, None, None, &audit()).await.expect("update"), 2);
    // The uses end, in the three ways in which they can.
    let (record, freed) = (audit(), erasure("cc-a", "2"));
    let records = Records { change: &record, erasure: Some(&freed) };
    let first = ClusterRow { credential_id: text("cc-c"), version: 2, ..first };
    clusters::update(store, &first, None, None, records).await.expect("update");
    let removed = clusters::remove(store, &second.id, |_| RemovalRecords {
        event: NewClusterEvent::default(),
        change: audit(),
        erasure: Some(erasure("cc-a", "3")),
    });
    assert!(removed.await.expect("remove").is_some());
    assert!(!credentials::erase_unused(store, &erasure("cc-a", "4")).await.expect("still used"));
    assert!(credentials::get(store, "cc-a").await.expect("get").is_some());
    assert!(erasures(store).await.is_empty());
    let gone = clusters::delete_claimed(store, &third.id, 0, &[], Some(&erasure("cc-a", "5"))).await;
    assert!(gone.expect("delete"));
    assert_eq!(credentials::get(store, "cc-a").await.expect("get"), None);
    assert_eq!(erasures(store).await, ["5"]);
    assert!(credentials::pending(store).await.expect("pending").is_empty());
    // A credential that was not deleted stays when its last use ends.
    assert!(!credentials::erase_unused(store, &erasure("cc-c", "6")).await.expect("not deleted"));
    assert!(credentials::get(store, "cc-c").await.expect("get").is_some());
}

async fn erased_credential_is_taken_from_its_clusters(db: &TestDb) {
    let store = &db.store;
    credentials::insert(store, &credential("cc-a"), &audit()).await.expect("insert");
    let row = ClusterRow { credential_id: text("cc-a"), ..cluster("c-a") };
    clusters::insert(store, &row, None, &audit()).await.expect("insert");
    assert_eq!(clusters::using_credential(store, "cc-a").await.expect("list"), std::slice::from_ref(&row));
    assert!(clusters::using_credential(store, "cc-b").await.expect("list").is_empty());
    let missing = ClusterRow { credential_id: text("cc-x"), ..cluster("c-b") };
    let dangling = clusters::insert(store, &missing, None, &audit()).await.expect_err("no such credential");
    assert!(matches!(dangling, Error::Dangling { table: "clusters", .. }), "{dangling:?}");
    let missing = ClusterRow { credential_id: text("cc-x"), ..row.clone() };
    let dangling =
        clusters::update(store, &missing, None, None, &audit()).await.expect_err("no such credential");
    assert!(matches!(dangling, Error::Dangling { table: "clusters", .. }), "{dangling:?}");
    let erase = async |id: &str| credentials::erase(store, id, 9, |_| audit()).await.expect("erase");
    assert_eq!(erase("cc-a").await.map(|clusters| clusters.len()), Some(1));
    let left = clusters::get(store, "c-a").await.expect("get").expect("row");
    assert_eq!((left.credential_id, left.version, left.work.next_run_ms), (None, 2, Some(9)));
    assert_eq!(credentials::get(store, "cc-a").await.expect("get"), None);
    for gone in ["cc-a", "a\0b"] {
        assert_eq!(erase(gone).await, None);
    }
    // Also one whose deletion is pending, and one that nothing uses.
    credentials::insert(store, &credential("cc-b"), &audit()).await.expect("insert");
    let row = ClusterRow { credential_id: text("cc-b"), ..cluster("c-b") };
    clusters::insert(store, &row, None, &audit()).await.expect("insert");
    delete_credential(store, "cc-b", 1).await.expect("pending");
    assert_eq!(erase("cc-b").await.map(|clusters| clusters.len()), Some(1));
    credentials::insert(store, &credential("cc-c"), &audit()).await.expect("insert");
    assert_eq!(erase("cc-c").await, Some(Vec::new()));
}

async fn last_uses_that_end_together_erase_once(db: &TestDb) {
    let store = &db.store;
    for round in 0..5 {
        let (old, new) = (format!("cc-o{round}"), format!("cc-n{round}"));
        for id in [&old, &new] {
            credentials::insert(store, &credential(id), &audit()).await.expect("insert");
        }
        let rows: Vec<_> = (0..4)
            .map(|number| ClusterRow {
                credential_id: Some(old.clone()),
                ..cluster(&format!("c-{round}-{number}"))
            })
            .collect();
        for row in &rows {
            clusters::insert(store, row, None, &audit()).await.expect("cluster");
        }
        // The deletion races with the changes: whichever comes last erases.
        let moves = rows.into_iter().enumerate().map(|(number, row)| {
            let (old, new) = (old.clone(), new.clone());
            async move {
                let (record, freed) = (audit(), erasure(&old, &format!("{round}-{number}")));
                let records = Records { change: &record, erasure: Some(&freed) };
                let moved = ClusterRow { credential_id: Some(new), ..row };
                clusters::update(store, &moved, None, None, records).await.expect("update");
            }
        });
        tokio::join!(futures_util::future::join_all(moves), delete_credential(store, &old, 1));
        assert_eq!(credentials::get(store, &old).await.expect("get"), None, "round {round}");
    }
}

async fn secrets_are_rewrapped_one_by_one(db: &TestDb) {
    let store = &db.store;
    for (id, secret) in [
        ("cc-a", Some(sealed("k1"))),
        ("cc-b", None),
        ("cc-c", Some(sealed("k2"))),
        ("cc-d", Some(sealed("k0"))),
    ] {
        credentials::insert(store, &CredentialRow { secret, ..credential(id) }, &audit())
            .await
            .expect("insert");
    }
    assert_eq!(credentials::key_ids(store).await.expect("keys"), ["k0", "k1", "k2"]);
    let page = credentials::sealed_by_others(store, "k2", "", 1).await.expect("page");
    assert_eq!(page, [("cc-a".to_owned(), 1, sealed("k1"))]);
    let page = credentials::sealed_by_others(store, "k2", "cc-a", 10).await.expect("page");
    assert_eq!(page, [("cc-d".to_owned(), 1, sealed("k0"))]);
    let under = credentials::sealed_by(store, "k1", 10).await.expect("under");
    assert_eq!(under, [("cc-a".to_owned(), sealed("k1"))]);
    assert_eq!(credentials::sealed_by(store, "k9", 10).await.expect("none"), []);

    assert!(credentials::rewrap(store, "cc-a", 1, &sealed("k2")).await.expect("rewrap"));
    assert!(
        !credentials::rewrap(store, "cc-a", 1, &sealed("k3")).await.expect("rewrap"),
        "changed meanwhile"
    );
    let row = credentials::get(store, "cc-a").await.expect("get").expect("row");
    assert_eq!(row, CredentialRow { secret: Some(sealed("k2")), version: 2, ..credential("cc-a") });
    let late = credentials::update(store, &credential("cc-a"), false, &audit())
        .await
        .expect_err("would bring k1 back");
    assert!(matches!(late, Error::Conflict { .. }));
}

async fn clusters_come_back_as_they_were_put(db: &TestDb) {
    let store = &db.store;
    credentials::insert(store, &credential("cc-a"), &audit()).await.expect("insert");
    let full = ClusterRow {
        credential_id: text("cc-a"),
        aks_identity: text("s/g/n"),
        identity_proved: true,
        created_ms: 9,
        ..cluster("c-a")
    };
    let bare = ClusterRow { owner: OTHER_OWNER.to_owned(), ..cluster("c-b") };
    for row in [&full, &bare] {
        clusters::insert(store, row, None, &audit()).await.expect("insert");
        assert_eq!(clusters::get(store, &row.id).await.expect("get").as_ref(), Some(row));
    }
    assert_eq!(clusters::get(store, "c-x").await.expect("get"), None);
    assert_eq!(clusters::list(store, None).await.expect("list"), [bare.clone(), full.clone()]);
    assert_eq!(clusters::list(store, Some(OTHER_OWNER)).await.expect("list"), [bare]);
    assert_eq!(clusters::by_aks_identity(store, "s/g/n").await.expect("find"), Some(full));
    assert_eq!(clusters::by_aks_identity(store, "s/g").await.expect("find"), None);
    assert!(
        clusters::remove(store, "c-a", |_| (NewClusterEvent::default(), audit()))
            .await
            .expect("delete")
            .is_some()
    );
    assert!(
        clusters::remove(store, "c-a", |_| (NewClusterEvent::default(), audit()))
            .await
            .expect("delete")
            .is_none()
    );
}

async fn an_aks_cluster_is_only_registered_once(db: &TestDb) {
    let store = &db.store;
    let identity = |id: &str| ClusterRow { aks_identity: text("s/g/n"), ..cluster(id) };
    clusters::insert(store, &identity("c-a"), None, &audit()).await.expect("insert");
    let taken = clusters::insert(store, &identity("c-b"), None, &audit()).await.expect_err("identity");
    assert!(matches!(taken, Error::Duplicate { what: Unique::ClusterIdentity }), "{taken:?}");
    clusters::insert(store, &cluster("c-b"), None, &audit()).await.expect("none is no identity");
    clusters::insert(store, &cluster("c-c"), None, &audit()).await.expect("any number has none");
    let taken = clusters::update(store, &identity("c-b"), None, None, &audit()).await.expect_err("identity");
    assert!(matches!(taken, Error::Duplicate { what: Unique::ClusterIdentity }), "{taken:?}");
    let taken = clusters::insert(store, &cluster("c-b"), None, &audit()).await.expect_err("id");
    assert!(matches!(taken, Error::Duplicate { what: Unique::ClusterId }), "{taken:?}");
}

async fn a_cluster_is_only_changed_from_its_latest_version(db: &TestDb) {
    let store = &db.store;
    clusters::insert(store, &cluster("c-a"), None, &audit()).await.expect("insert");
    credentials::insert(store, &credential("cc-a"), &audit()).await.expect("insert");
    let changed = ClusterRow {
        name: "n".to_owned(),
        spec: r#"{"b":1, "a":2}"#.to_owned(),
        credential_id: text("cc-a"),
        aks_identity: text("s/g/n"),
        updated_ms: 9,
        ..cluster("c-a")
    };
    assert_eq!(clusters::update(store, &changed, None, None, &audit()).await.expect("update"), 2);
    let read = clusters::get(store, "c-a").await.expect("get").expect("row");
    assert_eq!(read, ClusterRow { version: 2, ..changed.clone() }, "JSON keeps its spelling");
    let late = clusters::update(store, &changed, None, None, &audit()).await.expect_err("from version 1");
    assert!(matches!(&late, Error::Conflict { table: "clusters", id } if id == "c-a"), "{late:?}");
}

async fn settings_are_put_listed_and_removed(db: &TestDb) {
    let store = &db.store;
    let setting = |name: &str, value: &str| SettingRow {
        name: name.to_owned(),
        value: value.to_owned(),
        updated_ms: 3,
    };
    assert_eq!(settings::get(store, "b").await.expect("get"), None);
    settings::put(store, &setting("b", "1"), &audit()).await.expect("put");
    settings::put(store, &setting("a", ""), &audit()).await.expect("put");
    settings::put(store, &SettingRow { updated_ms: 4, ..setting("b", "2") }, &audit()).await.expect("put");
    let b = SettingRow { updated_ms: 4, ..setting("b", "2") };
    assert_eq!(settings::get(store, "b").await.expect("get"), Some(b.clone()));
    assert_eq!(settings::list(store).await.expect("list"), [setting("a", ""), b]);
    assert!(settings::delete(store, "b", &audit()).await.expect("delete"));
    assert!(!settings::delete(store, "b", &audit()).await.expect("delete"));
}

async fn events_are_listed_newest_first_by_filter_and_page(db: &TestDb) {
    let store = &db.store;
    events::insert_many(store, &[]).await.expect("nothing");
    let rows = [
        event("1", 10),
        AuditRow { user_id: "user-b".to_owned(), ..event("2", 20) },
        AuditRow { object_type: "cluster".to_owned(), ..event("3", 20) },
        AuditRow { object_id: "cc-'ü\\\"\u{1F980}".to_owned(), action: String::new(), ..event("4", 30) },
    ];
    events::insert_many(store, &rows).await.expect("insert");
    let again = [AuditRow { outcome: "x".to_owned(), ..event("1", 10) }, event("5", i64::MAX)];
    events::insert_many(store, &again).await.expect("a repeated attempt");

    let all = events::Filter::default();
    let list = events::list(store, 100, &all).await.expect("list");
    let expected: Vec<AuditRow> = [&again[1]].into_iter().chain(rows.iter().rev()).cloned().collect();
    assert_eq!(list, expected);

    let ids = async |limit, filter: events::Filter| {
        let rows = events::list(store, limit, &filter).await.expect("list");
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>().join(",")
    };
    let before = |at_ms, id: &str| events::Filter { before: Some((at_ms, id.to_owned())), ..all.clone() };
    assert_eq!(ids(2, all.clone()).await, "5,4");
    assert_eq!(ids(2, before(30, "4")).await, "3,2");
    assert_eq!(ids(2, before(20, "3")).await, "2,1");
    assert_eq!(ids(2, before(10, "1")).await, "");
    assert_eq!(ids(9, events::Filter { user: text("user-b"), ..all.clone() }).await, "2");
    assert_eq!(ids(9, events::Filter { object_type: text("cluster"), ..all.clone() }).await, "3");
    assert_eq!(ids(9, events::Filter { object_id: text("cc-a"), ..all.clone() }).await, "5,3,2,1");
    assert_eq!(ids(9, events::Filter { action: text(""), ..all.clone() }).await, "4");
}

async fn count_of_an_event_is_brought_up_to_date(db: &TestDb) {
    let store = &db.store;
    let counted = |count, last_ms| AuditRow { counted: Some(Count { count, last_ms }), ..event("1", 10) };
    let single = event("2", 5);
    for row in [counted(1, 10), counted(3, 40)] {
        events::insert_many(store, &[row.clone(), single.clone()]).await.expect("insert");
        let list = events::list(store, 9, &Filter::default()).await.expect("list");
        assert_eq!(list, [row, single.clone()]);
    }
}

async fn an_event_with_nul_does_not_cost_the_batch(db: &TestDb) {
    let store = &db.store;
    let rows = [event("1", 1), AuditRow { object_id: "a\0b".to_owned(), ..event("2", 2) }];
    events::insert_many(store, &rows).await.expect("insert");
    let list = events::list(store, 9, &events::Filter::default()).await.expect("list");
    assert_eq!(list, [AuditRow { object_id: "a\u{fffd}b".to_owned(), ..event("2", 2) }, event("1", 1)]);
}

async fn old_events_are_pruned_in_portions(db: &TestDb) {
    let store = &db.store;
    let rows: Vec<AuditRow> = (0..1_000).map(|n| event(&format!("{n:04}"), n)).collect();
    events::insert_many(store, &rows).await.expect("a large batch");
    assert_eq!(events::prune(store, 600, 500).await.expect("prune"), 500);
    assert_eq!(events::prune(store, 600, 500).await.expect("prune"), 100);
    assert_eq!(events::prune(store, 600, 500).await.expect("prune"), 0);
    let left = events::list(store, 1_000, &events::Filter::default()).await.expect("list");
    assert_eq!((left.len(), left[399].at_ms), (400, 600));
}

async fn replicas_show_signs_of_life(db: &TestDb) {
    let store = &db.store;
    let replica = |id: &str, seen_ms, keys: &[&str]| ReplicaRow {
        id: id.to_owned(),
        started_ms: 1,
        seen_ms,
        key_ids: keys.iter().map(|key| (*key).to_owned()).collect(),
        capabilities: keys.iter().map(|key| format!("after-{key}")).collect(),
    };
    replicas::put(store, &replica("b", 10, &["k1"])).await.expect("put");
    replicas::put(store, &replica("a", 20, &[])).await.expect("put");
    replicas::put(store, &replica("b", 30, &["k2", "k1"])).await.expect("again");
    let all = replicas::seen_since(store, 0).await.expect("list");
    assert_eq!(all, [replica("a", 20, &[]), replica("b", 30, &["k2", "k1"])]);
    assert_eq!(replicas::seen_since(store, 21).await.expect("list"), [replica("b", 30, &["k2", "k1"])]);
    assert_eq!(replicas::prune(store, 30).await.expect("prune"), 1);
    assert!(replicas::delete(store, "b").await.expect("delete"));
    assert!(!replicas::delete(store, "b").await.expect("delete"));
}

async fn texts_with_nul_are_refused_and_never_found(db: &TestDb) {
    let store = &db.store;
    let nul = "a\0b";
    assert!(users::get(store, nul).await.expect("get").is_none());
    assert!(!remove_user(store, nul, &audit()).await.expect("delete"));
    assert!(tokens::find(store, nul).await.expect("find").is_none());
    assert!(!tokens::delete(store, nul, &audit()).await.expect("delete"));
    assert!(credentials::get(store, nul).await.expect("get").is_none());
    assert_eq!(delete_credential(store, nul, 1).await, None);
    assert!(revocations::list(store, nul, 1).await.expect("list").is_empty());
    assert!(watches::claim(store, nul, 1, 2, 3).await.is_err());
    assert!(clusters::get(store, nul).await.expect("get").is_none());
    assert!(clusters::by_aks_identity(store, nul).await.expect("get").is_none());
    assert!(clusters::using_credential(store, nul).await.expect("list").is_empty());
    assert!(
        clusters::remove(store, nul, |_| (NewClusterEvent::default(), audit()))
            .await
            .expect("delete")
            .is_none()
    );
    assert!(settings::get(store, nul).await.expect("get").is_none());
    assert!(!settings::delete(store, nul, &audit()).await.expect("delete"));
    let filter = events::Filter { object_id: text(nul), ..events::Filter::default() };
    assert!(events::list(store, 9, &filter).await.expect("list").is_empty());

    let refused =
        credentials::insert(store, &CredentialRow { name: nul.to_owned(), ..credential("cc-a") }, &audit())
            .await;
    assert!(matches!(refused, Err(Error::Nul { column: "name" })), "{refused:?}");
    let refused =
        clusters::insert(store, &ClusterRow { spec: nul.to_owned(), ..cluster("c-a") }, None, &audit()).await;
    assert!(matches!(refused, Err(Error::Nul { column: "spec" })), "{refused:?}");
    // In JSON columns NUL is written as an escape, which is ordinary text.
    let labels = BTreeMap::from([(nul.to_owned(), nul.to_owned())]);
    let row = CredentialRow { labels, ..credential("cc-a") };
    credentials::insert(store, &row, &audit()).await.expect("insert");
    assert_eq!(credentials::get(store, "cc-a").await.expect("get"), Some(row));
}

async fn damaged_values_say_where_they_lie(db: &TestDb) {
    let store = &db.store;
    credentials::insert(store, &credential("cc-a"), &audit()).await.expect("insert");
    execute(db, "update credentials set labels = '{canary'").await;
    let error = credentials::get(store, "cc-a").await.expect_err("damaged");
    assert!(
        matches!(&error, Error::Corrupt { table: "credentials", column: "labels", row, .. } if row == "cc-a"),
        "{error:?}"
    );
    assert!(!error.to_string().contains("canary"));
    assert!(!error.is_unavailable());
}

async fn writers_at_once_lose_nothing(db: &TestDb) {
    credentials::insert(&db.store, &credential("cc-a"), &audit()).await.expect("insert");
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = db.store.clone();
        writers.spawn(async move {
            let mut changes = 0;
            while changes < 10 {
                let row = credentials::get(&store, "cc-a").await.expect("get").expect("row");
                match credentials::update(&store, &row, false, &audit()).await {
                    Ok(_) => changes += 1,
                    Err(Error::Conflict { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
    }
    writers.join_all().await;
    let row = credentials::get(&db.store, "cc-a").await.expect("get").expect("row");
    assert_eq!(row.version, 81);
}

async fn a_closed_database_counts_as_unavailable(db: &TestDb) {
    assert!(db.store.connections().0 > 0);
    db.store.close().await;
    let error = db.store.ping().await.expect_err("closed");
    assert!(error.is_unavailable(), "{error:?}");
    assert!(users::list(&db.store).await.expect_err("closed").is_unavailable());
}

#[tokio::test]
async fn a_server_that_does_not_answer_counts_as_unavailable() {
    let options = Options { acquire: std::time::Duration::from_millis(300), ..Options::default() };
    // A port that was free a moment ago.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port();
    let url = format!("postgres://user:canary@127.0.0.1:{port}/x");
    let error = Store::connect(&url, &options).await.expect_err("nobody listens");
    assert!(error.is_unavailable(), "{error:?}");
    assert!(!format!("{error:?}").contains("canary"));
}

#[tokio::test]
async fn on_postgres_everything_lies_in_the_schema_of_the_address() {
    let Some(db) = databases::postgres().await else { return };
    execute(&db, "create schema tenant").await;
    let url = format!(
        "{}{}options=-c%20search_path%3Dtenant",
        db.url,
        if db.url.contains('?') { '&' } else { '?' }
    );
    let tenant = Store::connect(&url, &Options::default()).await.expect("connect");
    assert_eq!(tenant.pending_migrations().await.expect("pending"), all_migrations());
    assert_eq!(tenant.migrate().await.expect("migrate").applied, all_migrations());
    tenant.stamp(Stamp::Sandbox).await.expect("stamp");
    db.store.stamp(Stamp::Azure).await.expect("the other schema has a stamp of its own");
    users::insert(&tenant, &user("user-a", "ann"), &audit()).await.expect("insert");
    assert!(users::list(&db.store).await.expect("list").is_empty());
    tenant.close().await;
}

async fn claims_of_the_dead_can_be_ended(db: &TestDb) {
    let store = &db.store;
    for id in ["c-1", "c-2"] {
        let work = WorkColumns { next_run_ms: Some(10), ..cluster(id).work };
        clusters::insert(store, &ClusterRow { work, ..cluster(id) }, None, &audit()).await.expect("insert");
    }
    let held = clusters::claim(store, "dead", 100, 1_000, 1).await.expect("claim");
    assert_eq!(clusters::free_all(store).await.expect("free"), 1, "of the one that was held");
    let claimed = clusters::claim(store, "new", 101, 1_000, 10).await.expect("claim");
    assert_eq!(claimed.len(), 2);
    let late = &held[0];
    assert!(!clusters::record(store, &late.id, &late.work, 1, 102).await.expect("record"), "the fence holds");
}

async fn due_clusters_are_claimed_once_and_recorded_under_their_claim(db: &TestDb) {
    let store = &db.store;
    for (id, next_run_ms) in
        [("c-late", Some(50)), ("c-first", Some(10)), ("c-idle", None), ("c-future", Some(101))]
    {
        let work = WorkColumns { next_run_ms, ..cluster(id).work };
        clusters::insert(store, &ClusterRow { work, ..cluster(id) }, None, &audit()).await.expect("insert");
    }
    assert_eq!(clusters::next_due_ms(store).await.expect("due"), Some(10));
    let claimed = clusters::claim(store, "a", 100, 200, 10).await.expect("claim");
    let mut ids: Vec<_> = claimed.iter().map(|row| row.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["c-first", "c-late"]);
    assert!(clusters::claim(store, "b", 100, 300, 10).await.expect("claim").is_empty(), "they are held");
    assert_eq!(clusters::next_due_ms(store).await.expect("due"), Some(101));
    clusters::wake_all(store, 95).await.expect("wake");
    let next = async |id| clusters::get(store, id).await.expect("get").expect("row").work.next_run_ms;
    assert_eq!(
        (next("c-future").await, next("c-late").await, next("c-idle").await),
        (Some(95), Some(50), None)
    );
    assert_eq!(clusters::next_due_ms(store).await.expect("due"), Some(95));

    let first = claimed.into_iter().find(|row| row.id == "c-first").expect("first");
    let work = WorkColumns {
        phase: "creating".to_owned(),
        claimed: true,
        status: r#"{"x":1}"#.to_owned(),
        operation: text("op"),
        attempts: 3,
        next_run_ms: Some(500),
        ..first.work.clone()
    };
    assert!(clusters::record(store, "c-first", &work, 1, 100).await.expect("record"));
    assert_eq!(clusters::get(store, "c-first").await.expect("get").expect("row").work, work);
    assert!(clusters::renew(store, "c-first", work.fence, 250).await.expect("renew"));
    assert!(
        clusters::claim(store, "b", 240, 300, 10).await.expect("claim").iter().all(|row| row.id != "c-first")
    );
    assert!(
        clusters::release(
            store,
            "c-first",
            &WorkColumns { next_run_ms: Some(240), ..work.clone() },
            1,
            100,
            &[]
        )
        .await
        .expect("release")
    );

    // Another one takes it over; what the first one still writes is refused.
    let taken = clusters::claim(store, "b", 241, 300, 10).await.expect("claim");
    let taken = taken.iter().find(|row| row.id == "c-first").expect("taken over");
    assert_eq!(taken.work.fence, work.fence + 1);
    assert!(!clusters::record(store, "c-first", &work, 1, 100).await.expect("record"));
    assert!(!clusters::renew(store, "c-first", work.fence, 999).await.expect("renew"));
    assert!(!clusters::delete_claimed(store, "c-first", work.fence, &[], None).await.expect("delete"));
    assert!(clusters::delete_claimed(store, "c-first", taken.work.fence, &[], None).await.expect("delete"));
    assert!(clusters::get(store, "c-first").await.expect("get").is_none());
}

async fn a_users_change_and_the_work_do_not_overwrite_each_other(db: &TestDb) {
    let store = &db.store;
    let work = WorkColumns { next_run_ms: Some(10), ..cluster("c-a").work };
    clusters::insert(store, &ClusterRow { work, ..cluster("c-a") }, None, &audit()).await.expect("insert");
    let held = clusters::claim(store, "a", 10, 100, 1).await.expect("claim").remove(0);
    let wanted =
        ClusterRow { spec: r#"{"new":1}"#.to_owned(), generation: 2, review: text("[]"), ..held.clone() };
    assert_eq!(clusters::update(store, &wanted, Some(Wake(20)), None, &audit()).await.expect("update"), 2);
    let work = WorkColumns {
        applied_generation: 1,
        applied_spec: text("{}"),
        activated_ms: Some(30),
        next_run_ms: Some(90_000),
        ..held.work.clone()
    };
    assert!(!clusters::refresh_spec(store, "c-a", held.work.fence, held.version, "{}").await.expect("stale"));
    assert!(clusters::release(store, "c-a", &work, held.generation, 31, &[]).await.expect("release"));
    let row = clusters::get(store, "c-a").await.expect("get").expect("row");
    assert_eq!((row.spec.as_str(), row.generation, row.work.applied_generation), (r#"{"new":1}"#, 2, 1));
    assert_eq!(row.work.next_run_ms, Some(31), "the change that came in between is looked at soon");
    clusters::wake(store, "c-a", 25).await.expect("wake");
    clusters::wake(store, "c-a", 99).await.expect("wake");
    assert_eq!(clusters::get(store, "c-a").await.expect("get").expect("row").work.next_run_ms, Some(25));
    assert!(
        clusters::refresh_spec(store, "c-a", row.work.fence, row.version, r#"{"b":1}"#)
            .await
            .expect("refresh")
    );
    let row = clusters::get(store, "c-a").await.expect("get").expect("row");
    assert_eq!((row.spec.as_str(), row.version, row.generation), (r#"{"b":1}"#, 3, 2));
}

/// A cluster that was active once, for which the worker has a claim.
async fn active_cluster(store: &Store, id: &str) {
    clusters::insert(store, &cluster(id), None, &audit()).await.expect("cluster");
    clusters::wake(store, id, 1).await.expect("wake");
    let claimed = clusters::claim(store, "worker", 1, 2, 10).await.expect("claim");
    let row = claimed.into_iter().find(|row| row.id == id).expect("claimed");
    let work = WorkColumns { activated_ms: Some(7), ..row.work };
    assert!(clusters::release(store, id, &work, 1, 1, &[]).await.expect("release"));
}

async fn set_role(store: &Store, id: &str, role: &str, audit: &AuditRow) -> Result<bool, Error> {
    members::update(store, id, MemberUpdate { role: Some(role), ..MemberUpdate::default() }, audit).await
}

fn member_with_role(cluster_id: &str, user_id: &str, role: &str) -> MemberRow {
    MemberRow {
        id: format!("{cluster_id}:{user_id}"),
        uuid: "u".to_owned(),
        cluster_id: cluster_id.to_owned(),
        user_id: user_id.to_owned(),
        role: role.to_owned(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        created_ms: 3,
    }
}

async fn watch_of_an_active_cluster_is_leased_to_one_holder(db: &TestDb) {
    let store = &db.store;
    clusters::insert(store, &cluster("c-new"), None, &audit()).await.expect("cluster");
    for id in ["c-a", "c-b"] {
        active_cluster(store, id).await;
    }
    assert_eq!(watches::claim(store, "one", 100, 200, 1).await.expect("claim"), ["c-a"]);
    assert_eq!(watches::claim(store, "two", 100, 200, 10).await.expect("claim"), ["c-b"]);
    assert!(watches::claim(store, "two", 199, 300, 10).await.expect("claim").is_empty());
    assert_eq!(watches::renew(store, "one", 400).await.expect("renew"), ["c-a"]);
    // The lease of the second one is over, that of the first one is not.
    assert_eq!(watches::claim(store, "one", 300, 500, 10).await.expect("claim"), ["c-b"]);
    assert!(watches::renew(store, "two", 900).await.expect("renew").is_empty());
    assert_eq!(watches::release(store, "one").await.expect("release"), 2);
    assert_eq!(watches::claim(store, "two", 1, 900, 10).await.expect("claim"), ["c-a", "c-b"]);
    assert_eq!(watches::release_all(store).await.expect("release"), 2);
    let row = clusters::get(store, "c-a").await.expect("get").expect("there");
    let removing = ClusterRow { removing_ms: Some(1), ..row };
    clusters::update(store, &removing, None, None, &audit()).await.expect("update");
    assert_eq!(watches::claim(store, "three", 1, 900, 10).await.expect("claim"), ["c-b"]);
    assert_eq!(watches::renew(store, "three", 901).await.expect("renew"), ["c-b"]);
}

async fn rights_are_announced_once_with_their_event(db: &TestDb) {
    let store = &db.store;
    active_cluster(store, "c-a").await;
    let event = NewClusterEvent {
        at_ms: 5,
        kind: "access".to_owned(),
        message: "members\0lose".to_owned(),
        data: "{}".to_owned(),
    };
    assert!(!watches::announce(store, "c-a", 5, &event).await.expect("announce"), "nobody watches");
    watches::claim(store, "one", 1, 2, 10).await.expect("claim");
    for (id, expected) in [("c-a", true), ("c-a", false), ("c-none", false), ("a\0b", false)] {
        assert_eq!(watches::announce(store, id, 5, &event).await.expect("announce"), expected, "{id:?}");
    }
    assert!(cluster_events::append(store, "c-a", &[event.clone(), event.clone()]).await.expect("append"));
    for id in ["c-none", "a\0b"] {
        assert!(!cluster_events::append(store, id, std::slice::from_ref(&event)).await.expect("append"));
    }
    let told = cluster_events::list(store, "c-a", "", 10).await.expect("list");
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|event| event.message == "members\u{fffd}lose"));
    assert!(told.is_sorted_by(|one, other| one.id < other.id));
}

async fn lost_roles_leave_marks_until_they_are_searched_twice(db: &TestDb) {
    let store = &db.store;
    for name in ["user-m", "user-o", "user-r", "user-up"] {
        users::insert(store, &user(name, name), &audit()).await.expect("user");
    }
    for id in ["c-a", "c-b"] {
        active_cluster(store, id).await;
    }
    for (id, role) in [("user-m", "cluster-member"), ("user-o", "cluster-owner"), ("user-r", "read-only")] {
        members::insert(store, &member_with_role("c-a", id, role), &audit()).await.expect("member");
        members::insert(store, &member_with_role("c-b", id, role), &audit()).await.expect("member");
    }
    members::insert(store, &member_with_role("c-a", "user-up", "read-only"), &audit()).await.expect("member");
    for role in ["cluster-member", "cluster-owner"] {
        assert!(set_role(store, "c-a:user-up", role, &audit()).await.expect("set"));
    }
    assert_eq!(revocations::count(store).await.expect("count"), 0, "more rights leave no mark");
    let marked = async |id: &str| -> Vec<String> {
        let marks = revocations::list(store, id, 10).await.expect("list");
        marks.into_iter().map(|mark| mark.user_id).collect()
    };
    assert!(set_role(store, "c-a:user-o", "cluster-member", &audit()).await.expect("set"));
    assert!(set_role(store, "c-a:user-m", "read-only", &audit()).await.expect("set"));
    assert!(set_role(store, "c-a:user-m", "read-only", &audit()).await.expect("set"));
    assert!(members::delete(store, "c-a:user-r", &audit()).await.expect("delete"));
    assert_eq!(marked("c-a").await, ["user-m", "user-o", "user-r"]);
    // A user who goes takes the memberships along.
    assert!(remove_user(store, "user-o", &audit()).await.expect("delete"));
    assert_eq!(marked("c-b").await, ["user-o"]);
    // One who is disabled keeps them, and loses the rights all the same.
    users::set_enabled(store, "user-m", false, |_| audit()).await.expect("disable");
    assert_eq!(marked("c-b").await, ["user-m", "user-o"]);
    users::set_enabled(store, OWNER, false, |_| audit()).await.expect("disable");
    assert_eq!(marked("c-b").await.len(), 3, "the owner of both");
    assert!(marked("c-b").await.contains(&OWNER.to_owned()));
    execute(db, "delete from cluster_revocations where cluster_id = 'c-a'").await;
    execute(db, "update clusters set owner = 'user-b' where id = 'c-a'").await;
    assert_eq!(marked("c-a").await, [OWNER], "the former owner");

    assert!(revocations::pending_clusters(store, "one").await.expect("pending").is_empty());
    watches::claim(store, "one", 1, 2, 10).await.expect("claim");
    assert_eq!(revocations::pending_clusters(store, "one").await.expect("pending"), ["c-a", "c-b"]);
    let first = revocations::list(store, "c-b", 1).await.expect("list").remove(0);
    assert!(!revocations::delete(store, &first).await.expect("delete"), "it was not searched for");
    assert!(revocations::set_scanned(store, &first, 50).await.expect("scan"));
    assert!(!revocations::set_scanned(store, &first, 60).await.expect("scan"));
    let scanned = RevocationRow { scanned_ms: Some(50), ..first.clone() };
    let last = revocations::list(store, "c-b", 10).await.expect("list").pop();
    assert_eq!(last, Some(scanned.clone()), "those that were never searched for come first");
    // Marked again in the meantime, so that it is searched twice more.
    users::set_enabled(store, &first.user_id, true, |_| audit()).await.expect("enable");
    users::set_enabled(store, &first.user_id, false, |_| audit()).await.expect("disable");
    assert!(!revocations::delete(store, &scanned).await.expect("delete"));
    assert!(revocations::set_scanned(store, &first, 70).await.expect("scan"));
    let scanned = RevocationRow { scanned_ms: Some(70), ..first };
    assert!(revocations::delete(store, &scanned).await.expect("delete"));
    assert!(!revocations::delete(store, &scanned).await.expect("delete"));
}

async fn administrators_who_lose_their_rights_are_marked_everywhere(db: &TestDb) {
    let store = &db.store;
    for id in ["c-a", "c-b", "c-c"] {
        active_cluster(store, id).await;
    }
    let marked = async |user: &str| -> Vec<&'static str> {
        let mut clusters = Vec::new();
        for id in ["c-a", "c-b", "c-c"] {
            let marks = revocations::list(store, id, 10).await.expect("list");
            clusters.extend(marks.iter().any(|mark| mark.user_id == user).then_some(id));
        }
        clusters
    };
    for name in ["user-x", "user-y", "user-z"] {
        let administrator = UserRow { admin: true, ..user(name, name) };
        users::insert(store, &administrator, &audit()).await.expect("user");
    }
    // One who stays an owner keeps its bindings there.
    members::insert(store, &member_with_role("c-b", "user-x", "cluster-owner"), &audit())
        .await
        .expect("member");
    members::insert(store, &member_with_role("c-c", "user-x", "cluster-member"), &audit())
        .await
        .expect("member");
    users::ensure(store, &user("user-x", "user-x"), Some(true), |_| audit()).await.expect("the same");
    assert!(marked("user-x").await.is_empty());
    users::ensure(store, &user("user-x", "user-x"), Some(false), |_| audit()).await.expect("demote");
    assert_eq!(marked("user-x").await, ["c-a", "c-c"]);
    users::set_enabled(store, "user-y", false, |_| audit()).await.expect("disable");
    assert_eq!(marked("user-y").await, ["c-a", "c-b", "c-c"]);
    assert!(remove_user(store, "user-z", &audit()).await.expect("remove"));
    assert_eq!(marked("user-z").await, ["c-a", "c-b", "c-c"]);
}

async fn deleted_cluster_leaves_no_marks(db: &TestDb) {
    let store = &db.store;
    users::insert(store, &user("user-m", "m"), &audit()).await.expect("user");
    active_cluster(store, "c-a").await;
    members::insert(store, &member_with_role("c-a", "user-m", "cluster-member"), &audit())
        .await
        .expect("member");
    watches::claim(store, "one", 1, 2, 10).await.expect("claim");
    users::set_enabled(store, "user-m", false, |_| audit()).await.expect("disable");
    assert_eq!(revocations::count(store).await.expect("count"), 1);
    let row = clusters::get(store, "c-a").await.expect("get").expect("there");
    assert!(clusters::delete_claimed(store, "c-a", row.work.fence, &[], None).await.expect("delete"));
    assert_eq!(revocations::count(store).await.expect("count"), 0);
    assert!(watches::renew(store, "one", 9).await.expect("renew").is_empty());
}

async fn members_see_a_cluster_and_go_with_it(db: &TestDb) {
    let store = &db.store;
    users::insert(store, &user("user-m", "member"), &audit()).await.expect("user");
    clusters::insert(store, &cluster("c-a"), None, &audit()).await.expect("cluster");
    clusters::insert(store, &cluster("c-b"), None, &audit()).await.expect("cluster");
    let member = member("crtb-1", "c-a", "user-m");
    members::insert(store, &member, &audit()).await.expect("insert");
    assert!(matches!(members::insert(store, &member, &audit()).await, Err(Error::Duplicate { .. })));
    let again = MemberRow { id: "crtb-2".to_owned(), ..member.clone() };
    let nobody = MemberRow { user_id: "user-none".to_owned(), ..again.clone() };
    assert!(matches!(members::insert(store, &nobody, &audit()).await, Err(Error::Dangling { .. })));
    let ids: Vec<_> =
        clusters::list(store, Some("user-m")).await.expect("list").into_iter().map(|row| row.id).collect();
    assert_eq!(ids, ["c-a"]);
    assert_eq!(members::find(store, "c-a", "user-m").await.expect("find"), Some(member.clone()));
    assert_eq!(members::list(store, Some("c-a"), None).await.expect("list"), std::slice::from_ref(&member));
    assert!(set_role(store, "crtb-1", "cluster-member", &audit()).await.expect("role"));
    assert_eq!(members::get(store, "crtb-1").await.expect("get").expect("row").role, "cluster-member");
    assert!(
        clusters::remove(store, "c-a", |_| (NewClusterEvent::default(), audit()))
            .await
            .expect("delete")
            .is_some()
    );
    assert!(members::get(store, "crtb-1").await.expect("get").is_none());
    assert!(!members::delete(store, "crtb-1", &audit()).await.expect("delete"));
    assert!(!set_role(store, "crtb-1", "read-only", &audit()).await.expect("role"));
}

async fn strongest_role_of_a_member_counts(db: &TestDb) {
    let store = &db.store;
    users::insert(store, &user("user-m", "m"), &audit()).await.expect("user");
    active_cluster(store, "c-a").await;
    let part = |id: &str, user_id: &str, role: &str| MemberRow {
        id: format!("c-a:{id}"),
        ..member_with_role("c-a", user_id, role)
    };
    for (id, role) in
        [("1", "read-only"), ("2", "cluster-owner"), ("3", "cluster-member"), ("4", "cluster-owner")]
    {
        members::insert(store, &part(id, "user-m", role), &audit()).await.expect("insert");
    }
    let strongest = async || members::find(store, "c-a", "user-m").await.expect("find").map(|row| row.role);
    let marks = async || {
        let marks = revocations::list(store, "c-a", 10).await.expect("list").len();
        execute(db, "delete from cluster_revocations").await;
        marks
    };
    assert_eq!(strongest().await.as_deref(), Some("cluster-owner"));
    // Rights end only with the last of the strongest.
    for (gone, left, marked) in
        [("1", "cluster-owner", 0), ("2", "cluster-owner", 0), ("4", "cluster-member", 1)]
    {
        assert!(members::delete(store, &format!("c-a:{gone}"), &audit()).await.expect("delete"));
        assert_eq!((strongest().await.as_deref(), marks().await), (Some(left), marked), "{gone}");
    }
    members::insert(store, &part("5", "user-m", "cluster-member"), &audit()).await.expect("insert");
    for (demoted, left, marked) in [("c-a:5", "cluster-member", 0), ("c-a:3", "read-only", 1)] {
        assert!(set_role(store, demoted, "read-only", &audit()).await.expect("demote"));
        assert_eq!((strongest().await.as_deref(), marks().await), (Some(left), marked), "{demoted}");
    }
    // Two that end together leave a mark all the same.
    let (one, other) = (audit(), audit());
    let (one, other) =
        tokio::join!(members::delete(store, "c-a:3", &one), members::delete(store, "c-a:5", &other));
    assert!(one.expect("delete") && other.expect("delete"));
    assert_eq!((strongest().await, marks().await), (None, 1));
    // The owner of the cluster loses nothing with another role in it.
    members::insert(store, &part("6", OWNER, "cluster-owner"), &audit()).await.expect("insert");
    assert!(members::delete(store, "c-a:6", &audit()).await.expect("delete"));
    assert_eq!(marks().await, 0);
    // Labels and annotations change without the role, and the other way round.
    members::insert(store, &part("7", "user-m", "read-only"), &audit()).await.expect("insert");
    let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let update = MemberUpdate { labels: Some(&labels), ..MemberUpdate::default() };
    assert!(members::update(store, "c-a:7", update, &audit()).await.expect("update"));
    assert!(set_role(store, "c-a:7", "cluster-member", &audit()).await.expect("update"));
    let annotations = BTreeMap::from([("c".to_owned(), "d".to_owned())]);
    let update = MemberUpdate { annotations: Some(&annotations), ..MemberUpdate::default() };
    assert!(members::update(store, "c-a:7", update, &audit()).await.expect("update"));
    let expected = MemberRow { labels, annotations, ..part("7", "user-m", "cluster-member") };
    assert_eq!(members::get(store, "c-a:7").await.expect("get"), Some(expected));
}

async fn secrets_of_clusters_are_put_rewrapped_and_go_with_them(db: &TestDb) {
    let store = &db.store;
    clusters::insert(store, &cluster("c-a"), None, &audit()).await.expect("cluster");
    let missing = cluster_secrets::put(store, "c-none", "n", &sealed("k1"), 1).await;
    assert!(matches!(missing, Err(Error::Dangling { .. })));
    cluster_secrets::put(store, "c-a", "token", &sealed("k0"), 1).await.expect("put");
    cluster_secrets::put(store, "c-a", "token", &sealed("k1"), 2).await.expect("put again");
    cluster_secrets::put(store, "c-a", "other", &sealed("k2"), 2).await.expect("put other");
    assert_eq!(cluster_secrets::get(store, "c-a", "token").await.expect("get"), Some(sealed("k1")));
    assert_eq!(cluster_secrets::key_ids(store).await.expect("keys"), ["k1", "k2"]);
    let old = cluster_secrets::not_under(store, "k2", ("", ""), 10).await.expect("old");
    assert_eq!(old, [("c-a".to_owned(), "token".to_owned(), sealed("k1"))]);
    assert_eq!(cluster_secrets::sealed_by(store, "k1", 10).await.expect("under"), old);
    assert_eq!(cluster_secrets::sealed_by(store, "k1", 0).await.expect("none"), []);
    let new = SealedColumns { wrapped_key: vec![7], ..sealed("k2") };
    assert!(cluster_secrets::rewrap(store, "c-a", "token", &sealed("k1"), &new).await.expect("rewrap"));
    assert!(
        !cluster_secrets::rewrap(store, "c-a", "token", &sealed("k1"), &new).await.expect("changed since")
    );
    assert!(cluster_secrets::delete(store, "c-a", "other").await.expect("delete"));
    assert!(!cluster_secrets::delete(store, "c-a", "other").await.expect("delete"));
    let told =
        NewClusterEvent { kind: "gone".to_owned(), data: "{}".to_owned(), ..NewClusterEvent::default() };
    for (removed, events) in [(true, 1), (false, 1)] {
        let outcome = cluster_secrets::delete_with_event(store, "c-a", "token", &told).await;
        assert_eq!(outcome.expect("delete with event"), removed);
        assert_eq!(cluster_events::list(store, "c-a", "", 9).await.expect("events").len(), events);
    }
    assert!(
        clusters::remove(store, "c-a", |_| (NewClusterEvent::default(), audit()))
            .await
            .expect("delete")
            .is_some()
    );
    assert_eq!(cluster_secrets::key_ids(store).await.expect("keys"), Vec::<String>::new());
}

async fn space_is_probed_without_leaving_anything(db: &TestDb) {
    instance::probe_space(&db.store, &"x".repeat(40_000)).await.expect("probe");
    instance::probe_space(&db.store, "again").await.expect("probe");
    assert_eq!(instance::get(&db.store, "space-probe").await.expect("get"), None);
}

async fn registration_tokens_are_kept_once_per_name(db: &TestDb) {
    let store = &db.store;
    clusters::insert(store, &cluster("c-a"), None, &audit()).await.expect("cluster");
    let row = registration("c-a", "default-token");
    let text = async || {
        let name = registration_tokens::secret_name("default-token");
        cluster_secrets::get(store, "c-a", &name).await.expect("text")
    };
    assert!(registration_tokens::insert(store, &row, &sealed("k1"), &audit()).await.expect("insert"));
    let other = RegistrationTokenRow { uuid: "v".to_owned(), ..row.clone() };
    assert!(!registration_tokens::insert(store, &other, &sealed("k2"), &audit()).await.expect("insert"));
    assert_eq!(text().await, Some(sealed("k1")), "the text of the one that is there");
    assert_eq!(
        registration_tokens::get(store, "c-a", "default-token").await.expect("get"),
        Some(row.clone())
    );
    assert_eq!(registration_tokens::list(store, "c-a").await.expect("list"), std::slice::from_ref(&row));
    let nowhere = RegistrationTokenRow { cluster_id: "c-none".to_owned(), ..row };
    let dangling = registration_tokens::insert(store, &nowhere, &sealed("k1"), &audit()).await;
    assert!(matches!(dangling, Err(Error::Dangling { .. })));
    assert!(registration_tokens::delete(store, "c-a", "default-token", &audit()).await.expect("delete"));
    assert!(!registration_tokens::delete(store, "c-a", "default-token", &audit()).await.expect("delete"));
    assert_eq!(text().await, None, "it goes with its token");
}

async fn events_of_clusters_come_with_the_row_and_are_listed_behind_an_id(db: &TestDb) {
    let store = &db.store;
    let happened = |at_ms| NewClusterEvent {
        at_ms,
        kind: "step".to_owned(),
        message: format!("at {at_ms}\0"),
        data: "{}".to_owned(),
    };
    let list = async |id: &str, after: &str, limit| {
        let rows = cluster_events::list(store, id, after, limit).await.expect("list");
        assert!(rows.is_sorted_by(|a, b| a.id < b.id), "{rows:?}");
        rows
    };
    let times = |rows: &[ClusterEventRow]| rows.iter().map(|row| row.at_ms).collect::<Vec<_>>();
    for id in ["c-a", "c-b"] {
        let work = WorkColumns { next_run_ms: Some(1), ..cluster(id).work };
        clusters::insert(store, &ClusterRow { work, ..cluster(id) }, None, &audit()).await.expect("insert");
    }
    let held = clusters::claim(store, "w", 1, 2, 10).await.expect("claim");
    let work = held.into_iter().find(|row| row.id == "c-a").expect("claimed").work;
    let stale = WorkColumns { fence: work.fence - 1, ..work.clone() };
    assert!(!clusters::release(store, "c-a", &stale, 1, 1, &[happened(0)]).await.expect("refused"));
    assert!(
        !clusters::delete_claimed(store, "c-a", stale.fence, &[happened(0)], None).await.expect("refused")
    );
    for at_ms in 1..=3 {
        let events = [happened(at_ms), happened(at_ms * 10)];
        assert!(clusters::release(store, "c-a", &work, 1, 1, &events).await.expect("release"));
    }
    let all = list("c-a", "", 10).await;
    assert_eq!(times(&all), [1, 10, 2, 20, 3, 30]);
    assert_eq!(all[0].message, "at 1\u{fffd}", "a NUL costs nothing");
    assert_eq!(list("c-a", &all[0].id, 2).await, all[1..3]);
    assert!(list("c-b", "", 10).await.is_empty());

    // Whoever works on it: the event tells of the last row.
    let told = |row: &ClusterRow| (NewClusterEvent { message: row.name.clone(), ..happened(4) }, audit());
    let gone = clusters::remove(store, "c-a", told).await.expect("remove").expect("the row");
    assert_eq!((gone.id.as_str(), gone.work.fence), ("c-a", work.fence));
    assert_eq!(list("c-a", &all[5].id, 10).await[0].message, gone.name);
    assert!(clusters::remove(store, "c-a", told).await.expect("remove").is_none());
    assert!(!clusters::release(store, "c-a", &work, 1, 1, &[happened(5)]).await.expect("gone"));
    assert_eq!(list("c-a", "", 10).await.len(), 7, "nothing comes behind the end");

    assert_eq!(cluster_events::prune(store, 3, 1).await.expect("prune"), 1);
    assert_eq!(cluster_events::prune(store, 3, 10).await.expect("prune"), 1);
    assert_eq!(times(&list("c-a", "", 10).await), [10, 20, 3, 30, 4]);
    assert_eq!(cluster_events::prune_to(store, 3, 1).await.expect("prune"), 1);
    assert_eq!(cluster_events::prune_to(store, 3, 10).await.expect("prune"), 1);
    assert_eq!(times(&list("c-a", "", 10).await), [3, 30, 4], "the newest stay");
    let work = WorkColumns { fence: 1, ..work };
    assert!(clusters::release(store, "c-b", &work, 1, 1, &[happened(6)]).await.expect("release"));
    for id in ["c-a", "c-b"] {
        cluster_events::forget(store, id).await.expect("forget");
    }
    assert!(list("c-a", "", 10).await.is_empty(), "nobody has this id now");
    assert_eq!(times(&list("c-b", "", 10).await), [6]);
}

/// The ids of all audit records, sorted.
async fn recorded(store: &Store) -> Vec<String> {
    let rows = events::list(store, 1_000, &events::Filter::default()).await.expect("list");
    let mut ids: Vec<String> = rows.into_iter().map(|row| row.id).collect();
    ids.sort_unstable();
    ids
}

async fn a_change_is_written_with_its_audit_record(db: &TestDb) {
    let store = &db.store;
    let record = |id: &str| event(id, 1);
    let (removed, member) = (NewClusterEvent::default(), member("c-a:m", "c-a", "user-b"));
    users::insert(store, &user("user-b", "bob"), &record("01")).await.expect("user");
    users::ensure(store, &user("user-c", "cid"), None, |_| record("02")).await.expect("new");
    users::ensure(store, &user("user-c", "cid"), Some(true), |_| record("03")).await.expect("changed");
    tokens::insert(store, &token("t", "user-b"), None, &record("04")).await.expect("token");
    tokens::put(store, &token("u", "user-b"), &record("05")).await.expect("put");
    tokens::delete(store, "u", &record("06")).await.expect("delete");
    credentials::insert(store, &credential("cc-a"), &record("07")).await.expect("credential");
    credentials::update(store, &credential("cc-a"), true, &record("08")).await.expect("update");
    clusters::insert(store, &cluster("c-a"), Some(NameScope::All), &record("09")).await.expect("cluster");
    let named = Some(NameScope::VisibleTo(OWNER));
    clusters::update(store, &cluster("c-a"), None, named, &record("10")).await.expect("update");
    members::insert(store, &member, &record("11")).await.expect("member");
    set_role(store, &member.id, "read-only", &record("12")).await.expect("role");
    members::delete(store, &member.id, &record("13")).await.expect("delete");
    let registration = registration("c-a", "x");
    registration_tokens::insert(store, &registration, &sealed("k1"), &record("14")).await.expect("insert");
    registration_tokens::delete(store, "c-a", "x", &record("15")).await.expect("delete");
    clusters::remove(store, "c-a", |_| (removed.clone(), record("16"))).await.expect("remove");
    credentials::delete(store, "cc-a", 1, |_| record("17")).await.expect("delete").expect("erased");
    let setting = SettingRow { name: "s".to_owned(), value: "1".to_owned(), updated_ms: 1 };
    settings::put(store, &setting, &record("18")).await.expect("put");
    settings::delete(store, "s", &record("19")).await.expect("delete");
    remove_user(store, "user-c", &record("20")).await.expect("delete");
    events::insert(store, &record("21")).await.expect("nothing to change");
    let all: Vec<String> = (1..=21).map(|number| format!("{number:02}")).collect();
    assert_eq!(recorded(store).await, all);
    let nul = AuditRow { request_id: "a\0b".to_owned(), ..record("22") };
    settings::put(store, &setting, &nul).await.expect("a NUL in the record does not cost the change");
    let filter = events::Filter { until_ms: Some(2), ..events::Filter::default() };
    let last = events::list(store, 1, &filter).await.expect("list").remove(0);
    assert_eq!(last, AuditRow { request_id: "a\u{fffd}b".to_owned(), ..record("22") });
}

async fn what_changes_nothing_leaves_no_audit_record(db: &TestDb) {
    let store = &db.store;
    users::insert(store, &user("user-b", "bob"), &audit()).await.expect("user");
    tokens::insert(store, &token("t", "user-b"), None, &audit()).await.expect("token");
    credentials::insert(store, &credential("cc-a"), &audit()).await.expect("credential");
    let used = ClusterRow { credential_id: text("cc-a"), ..cluster("c-a") };
    clusters::insert(store, &used, None, &audit()).await.expect("cluster");
    let before = recorded(store).await;
    users::insert(store, &user("user-b", "x"), &audit()).await.expect_err("taken");
    let same = users::ensure(store, &user("user-x", "bob"), Some(false), |_| audit()).await.expect("same");
    assert_eq!(same, Ensured::Unchanged(user("user-b", "bob")));
    assert!(!remove_user(store, "user-x", &audit()).await.expect("none"));
    assert!(!tokens::put(store, &token("t", "user-b"), &audit()).await.expect("same"));
    assert!(!tokens::delete(store, "x", &audit()).await.expect("none"));
    let ended = tokens::insert(store, &token("u", "user-b"), Some("x"), &audit()).await.expect_err("ended");
    assert!(matches!(ended, Error::Conflict { table: "tokens", .. }), "{ended:?}");
    let moved = CredentialRow { subscription_id: None, ..credential("cc-a") };
    let in_use = credentials::update(store, &moved, true, &audit()).await.expect_err("in use");
    assert!(matches!(in_use, Error::InUse { table: "credentials", .. }), "{in_use:?}");
    assert_eq!(delete_credential(store, "cc-x", 1).await, None);
    let erased = credentials::erase(store, "cc-x", 1, |_| audit()).await.expect("none");
    assert_eq!(erased, None);
    let old = CredentialRow { version: 9, ..credential("cc-a") };
    credentials::update(store, &old, false, &audit()).await.expect_err("another version");
    let old = ClusterRow { version: 9, ..used.clone() };
    clusters::update(store, &old, None, None, &audit()).await.expect_err("another version");
    let named = Some(NameScope::VisibleTo(OWNER));
    let taken = clusters::insert(store, &cluster("c-b"), named, &audit()).await.expect_err("the name");
    assert!(matches!(taken, Error::Duplicate { what: Unique::ClusterName }), "{taken:?}");
    assert!(
        clusters::remove(store, "c-x", |_| -> (NewClusterEvent, AuditRow) { unreachable!("there is none") })
            .await
            .expect("none")
            .is_none()
    );
    assert!(!set_role(store, "x", "read-only", &audit()).await.expect("none"));
    assert!(!members::delete(store, "x", &audit()).await.expect("none"));
    assert!(!registration_tokens::delete(store, "c-a", "x", &audit()).await.expect("none"));
    assert!(!settings::delete(store, "x", &audit()).await.expect("none"));
    assert_eq!(recorded(store).await, before);
}

async fn a_change_whose_record_fails_is_not_made(db: &TestDb) {
    let store = &db.store;
    let record = audit();
    users::insert(store, &user("user-b", "bob"), &record).await.expect("user");
    // A record of that id exists already.
    credentials::insert(store, &credential("cc-a"), &record).await.expect_err("the record");
    assert_eq!(credentials::get(store, "cc-a").await.expect("get"), None);
    remove_user(store, "user-b", &record).await.expect_err("the record");
    assert!(users::get(store, "user-b").await.expect("get").is_some());
    clusters::insert(store, &cluster("c-a"), None, &record).await.expect_err("the record");
    assert_eq!(clusters::get(store, "c-a").await.expect("get"), None);
}

async fn of_clusters_with_one_name_at_once_one_is_made(db: &TestDb) {
    // Another server of the database, too.
    let other = Store::connect(&db.url, &Options::default()).await.expect("open");
    for round in 0..4 {
        let mut writers = tokio::task::JoinSet::new();
        for number in 0..8 {
            let store = if number % 2 == 0 { db.store.clone() } else { other.clone() };
            writers.spawn(async move {
                let name = if number < 4 { format!("Näme{round}") } else { format!("nÄME{round}") };
                let row = ClusterRow { name, ..cluster(&format!("c-{round}-{number}")) };
                // An administrator sees all clusters, the owner its own.
                let scope = if number < 6 { NameScope::VisibleTo(OWNER) } else { NameScope::All };
                clusters::insert(&store, &row, Some(scope), &audit()).await
            });
        }
        let outcomes = writers.join_all().await;
        let refused = |outcome: &&Result<(), Error>| {
            matches!(outcome, Err(Error::Duplicate { what: Unique::ClusterName }))
        };
        assert_eq!(outcomes.iter().filter(refused).count(), 7, "{outcomes:?}");
    }
    let names: Vec<String> =
        clusters::list(&db.store, None).await.expect("list").into_iter().map(|row| row.name).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    // A user who sees none of them may use the name.
    let row = ClusterRow { owner: OTHER_OWNER.to_owned(), name: "näme0".to_owned(), ..cluster("c-z") };
    let scope = NameScope::VisibleTo(OTHER_OWNER);
    assert!(!clusters::is_name_taken(&db.store, "näme0", "", scope).await.expect("taken"));
    assert!(clusters::is_name_taken(&db.store, "näme0", "", NameScope::All).await.expect("taken"));
    clusters::insert(&db.store, &row, Some(scope), &audit()).await.expect("insert");
    assert!(!clusters::is_name_taken(&db.store, "NÄME0", "c-z", scope).await.expect("its own"));
}

async fn a_credential_does_not_move_while_a_cluster_is_being_made(db: &TestDb) {
    use sqlx::Connection as _;
    let store = &db.store;
    credentials::insert(store, &credential("cc-a"), &audit()).await.expect("credential");
    // A cluster that uses it is written, and its transaction not yet committed.
    let insert = "insert into clusters (id, uuid, owner, name, spec, status, credential_id, created_ms, updated_ms, version)
                  values ('c-a', 'u', 'o', 'n', '{}', '{}', 'cc-a', 1, 1, 1)";
    let moved = CredentialRow { subscription_id: text("other"), ..credential("cc-a") };
    let audit = audit();
    let update = credentials::update(store, &moved, true, &audit);
    macro_rules! race {
        ($connection:expr, $begin:literal) => {{
            let mut connection = $connection.expect("connect");
            sqlx::raw_sql($begin).execute(&mut connection).await.expect("begin");
            sqlx::raw_sql(insert).execute(&mut connection).await.expect("insert");
            let commit = async {
                // Long enough for the change to come to the lock; a change that does not wait fails the test.
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                sqlx::raw_sql("commit").execute(&mut connection).await.expect("commit");
            };
            tokio::join!(update, commit).0
        }};
    }
    let outcome = match store.kind() {
        Kind::Sqlite => race!(sqlx::SqliteConnection::connect(&db.url).await, "begin immediate"),
        Kind::Postgres => race!(sqlx::PgConnection::connect(&db.url).await, "begin"),
    };
    assert!(matches!(outcome, Err(Error::InUse { table: "credentials", .. })), "{outcome:?}");
}

/// A row that claims the AKS cluster `s/g/n`.
fn claiming(id: &str, identity_proved: bool) -> ClusterRow {
    ClusterRow { aks_identity: text("s/g/n"), identity_proved, ..cluster(id) }
}

async fn held(store: &Store, id: &str) -> (Option<String>, bool) {
    let row = clusters::get(store, id).await.expect("get").expect("row");
    (row.aks_identity, row.identity_proved)
}

fn assert_held(error: &Error) {
    assert!(matches!(error, Error::Duplicate { what: Unique::ClusterIdentity }), "{error:?}");
}

async fn a_proved_claim_takes_an_aks_cluster_from_one_that_is_not(db: &TestDb) {
    let store = &db.store;
    let holder = async || clusters::by_aks_identity(store, "s/g/n").await.expect("find").map(|row| row.id);
    // As servers write it that do not ask Azure: among themselves it is unique as ever.
    clusters::insert(store, &claiming("c-a", false), None, &audit()).await.expect("insert");
    let again = clusters::insert(store, &claiming("c-b", false), None, &audit()).await;
    assert_held(&again.expect_err("the same identity"));
    assert_eq!(holder().await, None, "it does not count");

    clusters::insert(store, &claiming("c-b", true), None, &audit()).await.expect("insert");
    assert_eq!((holder().await, held(store, "c-a").await), (text("c-b"), (None, false)));
    for proved in [false, true] {
        let late = clusters::insert(store, &claiming("c-c", proved), None, &audit()).await;
        assert_held(&late.expect_err("it is held"));
        let late = clusters::update(store, &claiming("c-a", proved), None, None, &audit()).await;
        assert_held(&late.expect_err("it is held"));
    }
    assert_held(&clusters::claim_identity(store, "c-a", 0, 1, "s/g/n").await.expect_err("it is held"));
    clusters::remove(store, "c-b", |_| (NewClusterEvent::default(), audit())).await.expect("remove");
    assert!(clusters::claim_identity(store, "c-a", 0, 1, "s/g/n").await.expect("free"));
    assert_eq!((holder().await, held(store, "c-a").await), (text("c-a"), (text("s/g/n"), true)));
}

async fn what_was_acted_on_keeps_its_claim_without_a_mark(db: &TestDb) {
    let store = &db.store;
    for statement in [
        "update clusters set claimed = (1 = 1) where id = 'c-a'",
        "update clusters set claimed = (1 = 0), activated_ms = 1 where id = 'c-a'",
    ] {
        if clusters::get(store, "c-a").await.expect("get").is_none() {
            clusters::insert(store, &claiming("c-a", false), None, &audit()).await.expect("insert");
        }
        execute(db, statement).await;
        let late = clusters::insert(store, &claiming("c-b", true), None, &audit()).await;
        assert_held(&late.expect_err("something was made with it"));
        let holder = clusters::by_aks_identity(store, "s/g/n").await.expect("find").expect("a holder");
        assert_eq!(holder.id, "c-a");
    }
}

async fn the_worker_claims_under_its_lease_and_the_version_that_it_read(db: &TestDb) {
    let store = &db.store;
    let work = WorkColumns { next_run_ms: Some(1), ..cluster("c-a").work };
    clusters::insert(store, &ClusterRow { work, ..cluster("c-a") }, None, &audit()).await.expect("insert");
    let row = clusters::claim(store, "w", 1, 9, 1).await.expect("claim").remove(0);
    let claim = async |fence, version| {
        clusters::claim_identity(store, "c-a", fence, version, "s/g/n").await.expect("claim")
    };
    assert!(!claim(row.work.fence + 1, row.version).await, "another lease");
    assert!(!claim(row.work.fence, row.version + 1).await, "another version");
    assert_eq!(held(store, "c-a").await, (None, false));
    assert!(claim(row.work.fence, row.version).await);
    assert_eq!(held(store, "c-a").await, (text("s/g/n"), true));
    // A change that was read before must not write the claim away.
    let conflict = clusters::update(store, &row, None, None, &audit()).await.expect_err("an old version");
    assert!(matches!(conflict, Error::Conflict { .. }), "{conflict:?}");
}

async fn migration_4_drops_claims_that_nothing_was_made_with(db: &TestDb) {
    execute(db, "alter table clusters drop column identity_proved").await;
    execute(db, "delete from _sqlx_migrations where version = 4").await;
    execute(
        db,
        "insert into clusters (id, uuid, owner, name, spec, status, aks_identity, created_ms, updated_ms, version,
         claimed, activated_ms)
         values ('c-new', 'u', 'o', 'n', '{}', '{}', 's/g/new', 1, 1, 1, (1 = 0), null),
         ('c-made', 'u', 'o', 'n', '{}', '{}', 's/g/made', 1, 1, 1, (1 = 1), null),
         ('c-active', 'u', 'o', 'n', '{}', '{}', 's/g/active', 1, 1, 1, (1 = 0), 1),
         ('c-none', 'u', 'o', 'n', '{}', '{}', null, 1, 1, 1, (1 = 0), 1)",
    )
    .await;
    let applied = db.store.migrate().await.expect("migrate").applied;
    assert_eq!(applied, ["0004_identity_proved"]);
    for (id, expected) in [
        ("c-new", (None, false)),
        ("c-made", (text("s/g/made"), true)),
        ("c-active", (text("s/g/active"), true)),
        ("c-none", (None, false)),
    ] {
        assert_eq!(held(&db.store, id).await, expected, "{id}");
    }
}

async fn writes_change_the_version(db: &TestDb) {
    let store = &db.store;
    let other = Store::connect(&db.url, &Options::default()).await.unwrap();
    let mut version = store.version();
    users::insert(store, &user("user-a", "a"), &event("01", 1)).await.unwrap();
    assert!(store.clone().version() > version, "clones share it");
    version = store.version();
    users::list(store).await.unwrap();
    assert_eq!(store.version(), version, "reading changes nothing");
    assert!(users::insert(store, &user("user-a", "a"), &event("02", 2)).await.is_err());
    assert!(store.version() > version, "nobody knows whether a failed one was written");
    version = store.version();
    instance::put(store, "a", "b").await.unwrap();
    assert!(store.version() > version);
    version = store.version();
    users::insert(&other, &user("user-b", "b"), &event("03", 3)).await.unwrap();
    assert_eq!(store.version(), version, "another server counts for itself");
    other.close().await;
}
