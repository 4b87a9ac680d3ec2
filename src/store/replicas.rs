//! Table `replicas`: the servers that share the database, the encryption keys that each of them knows, and what each can do.

use super::rows::{Columns, Fields, json_text, without_nul};
use super::{Error, Store};

/// A running server, or one that ended without saying so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaRow {
    /// Chosen anew at each start; begins with the name of the machine where there is one.
    pub id: String,
    /// Milliseconds since 1970.
    pub started_ms: i64,
    /// The last sign of life, milliseconds since 1970.
    pub seen_ms: i64,
    /// The ids of the keys in its key file.
    pub key_ids: Vec<String>,
    /// What it can do that earlier versions could not; empty for those.
    pub capabilities: Vec<String>,
}

fn row(row: &impl Columns) -> Result<ReplicaRow, Error> {
    let fields = Fields::of(row, "replicas", "id")?;
    Ok(ReplicaRow {
        id: fields.key(),
        started_ms: fields.number("started_ms")?,
        seen_ms: fields.number("seen_ms")?,
        key_ids: fields.json("key_ids")?,
        capabilities: fields.json("capabilities")?,
    })
}

/// Writes a server's sign of life.
pub async fn put(store: &Store, replica: &ReplicaRow) -> Result<(), Error> {
    without_nul([("id", Some(replica.id.as_str()))])?;
    let sql =
        "insert into replicas (id, started_ms, seen_ms, key_ids, capabilities) values ($1, $2, $3, $4, $5)
               on conflict (id) do update set seen_ms = excluded.seen_ms, key_ids = excluded.key_ids,
               capabilities = excluded.capabilities";
    write!(store, |pool| sqlx::query(sql)
        .bind(&replica.id)
        .bind(replica.started_ms)
        .bind(replica.seen_ms)
        .bind(json_text(&replica.key_ids))
        .bind(json_text(&replica.capabilities))
        .execute(pool)
        .await?
        .rows_affected());
    Ok(())
}

/// The servers that were seen at `since_ms` or later, by id.
pub async fn seen_since(store: &Store, since_ms: i64) -> Result<Vec<ReplicaRow>, Error> {
    let sql =
        "select id, started_ms, seen_ms, key_ids, capabilities from replicas where seen_ms >= $1 order by id";
    read!(store, |pool| sqlx::query(sql).bind(since_ms).fetch_all(pool).await?.iter().map(row).collect())
}

/// Removes a server that stops.
pub async fn delete(store: &Store, id: &str) -> Result<bool, Error> {
    let sql = "delete from replicas where id = $1";
    Ok(write!(store, |pool| sqlx::query(sql).bind(id).execute(pool).await?.rows_affected()) > 0)
}

/// Removes servers that were last seen before `before_ms`; returns how many.
pub async fn prune(store: &Store, before_ms: i64) -> Result<u64, Error> {
    let sql = "delete from replicas where seen_ms < $1";
    Ok(write!(store, |pool| sqlx::query(sql).bind(before_ms).execute(pool).await?.rows_affected()))
}
