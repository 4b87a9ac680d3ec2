//! Every function of the store: the same test runs on SQLite and on PostgreSQL.

use std::collections::BTreeMap;

use norman_aks::store::audit::{Count, Filter};
use norman_aks::store::clusters::{RemovalRecords, UpdateRecords};
use norman_aks::store::credentials::{Deletion, Erasure, PendingRow, UsingCluster};
use norman_aks::store::members::MemberUpdate;
use norman_aks::store::users::{Ensured, Removal};
use norman_aks::store::{
    AuditRow, AzureBackend, ClusterEventRow, ClusterRow, CredentialRow, DatabaseKind, EncryptedColumns,
    Error, MemberRow, NameScope, NewClusterEvent, NextRun, Options, ReconcileColumns, RegistrationTokenRow,
    ReplicaRow, RevocationRow, SettingRow, Store, TokenRow, UniqueConstraint, UserRow, agent_sessions, audit,
    cluster_events, cluster_secrets, clusters, credentials, instance, members, registration_tokens, replicas,
    revocations, settings, tokens, users, watches,
};

use crate::support::databases::{self, TestDb};

macro_rules! on_both_databases {
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

mod audit_log;
mod cloud_credentials;
mod cluster_changes;
mod memberships;
mod schema;
mod users_and_tokens;
mod work;

/// The users who own the objects of the tests. `OTHER_OWNER` is an administrator.
const OWNER: &str = "owner-a";
const OTHER_OWNER: &str = "owner-b";

/// Adds the owners without audit records.
async fn add_owners(db: &TestDb) {
    let sql = "insert into users (id, name, admin, created_ms) values ('owner-a', 'owner-a', false, 1), \
               ('owner-b', 'owner-b', true, 1)";
    databases::execute_on(&db.url, sql).await;
}

#[expect(clippy::unnecessary_wraps, reason = "for optional columns")]
fn some(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn user(id: &str, name: &str) -> UserRow {
    UserRow { id: id.to_owned(), name: name.to_owned(), admin: false, enabled: true, created_ms: 1 }
}

/// Removes a user who owns nothing; false if no such user exists.
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
        description: "d".to_owned(),
        labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        annotations: BTreeMap::from([("c".to_owned(), "d".to_owned())]),
        ..TokenRow::default()
    }
}

fn sealed(key_id: &str) -> EncryptedColumns {
    EncryptedColumns { key_id: key_id.to_owned(), wrapped_key: vec![0, 1, 255], ciphertext: vec![9; 40] }
}

fn credential(id: &str) -> CredentialRow {
    CredentialRow {
        id: id.to_owned(),
        uuid: format!("uuid-{id}"),
        owner: OWNER.to_owned(),
        name: "my azure 'ü' \"x\"".to_owned(),
        description: some(""),
        labels: BTreeMap::from([("cattle.io/creator".to_owned(), "norman".to_owned())]),
        subscription_id: some("s"),
        client_id: some("c"),
        environment: some("AzurePublicCloud"),
        secret: Some(sealed("k1")),
        created_ms: 1_787_220_672_000,
        updated_ms: 1_787_220_672_001,
        version: 1,
        ..CredentialRow::default()
    }
}

fn cluster(id: &str) -> ClusterRow {
    ClusterRow {
        id: id.to_owned(),
        uuid: format!("uuid-{id}"),
        owner: OWNER.to_owned(),
        name: "c".to_owned(),
        spec: r#"{"aksConfig":{"zones":["2","1"],"b":1,"a":2}}"#.to_owned(),
        created_ms: 5,
        updated_ms: 6,
        version: 1,
        generation: 1,
        work: ReconcileColumns {
            phase: "new".to_owned(),
            status: "{}".to_owned(),
            ..ReconcileColumns::default()
        },
        ..ClusterRow::default()
    }
}

fn audit_record(id: &str, at_ms: i64) -> AuditRow {
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

async fn add_user(store: &Store, row: &UserRow) {
    users::ensure(store, row, None, |_| audit()).await.unwrap();
}

async fn add_token(store: &Store, row: &TokenRow) {
    tokens::insert(store, row, None, &audit()).await.unwrap();
}

async fn add_credential(store: &Store, row: &CredentialRow) {
    credentials::insert(store, row, &audit()).await.unwrap();
}

async fn find_credential(store: &Store, id: &str) -> Option<CredentialRow> {
    credentials::get(store, id).await.unwrap()
}

async fn read_credential(store: &Store, id: &str) -> CredentialRow {
    find_credential(store, id).await.unwrap()
}

async fn add_cluster(store: &Store, row: &ClusterRow) {
    clusters::insert(store, row, None, &audit()).await.unwrap();
}

async fn add_scheduled_cluster(store: &Store, id: &str, next_run_ms: Option<i64>) {
    let work = ReconcileColumns { next_run_ms, ..cluster(id).work };
    add_cluster(store, &ClusterRow { work, ..cluster(id) }).await;
}

async fn read_cluster(store: &Store, id: &str) -> ClusterRow {
    clusters::get(store, id).await.unwrap().unwrap()
}

/// Removes a cluster; false if it does not exist.
async fn remove_cluster(store: &Store, id: &str) -> bool {
    clusters::remove(store, id, |_| (NewClusterEvent::default(), audit())).await.unwrap().is_some()
}

async fn add_member(store: &Store, row: &MemberRow) {
    members::insert(store, row, &audit()).await.unwrap();
}

async fn set_role(store: &Store, id: &str, role: &str, audit: &AuditRow) -> Result<bool, Error> {
    members::update(store, id, MemberUpdate { role: Some(role), ..MemberUpdate::default() }, audit).await
}

fn registration_token(cluster_id: &str, name: &str) -> RegistrationTokenRow {
    RegistrationTokenRow {
        cluster_id: cluster_id.to_owned(),
        name: name.to_owned(),
        uuid: "u".to_owned(),
        hash: vec![0, 9],
        created_ms: 4,
    }
}

/// An audit record with a unique ID, for a change.
fn audit() -> AuditRow {
    audit_record(&uuid::Uuid::now_v7().to_string(), 1)
}

/// Runs a statement on the database, for states that the store does not produce.
async fn execute(db: &TestDb, statement: &'static str) {
    databases::execute_on(&db.url, statement).await;
}

/// Deletes a credential, with a new audit record.
async fn delete_credential(store: &Store, id: &str, now_ms: i64) -> Option<Deletion> {
    credentials::delete(store, id, now_ms, |_| audit()).await.unwrap()
}
