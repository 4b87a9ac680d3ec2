//! Table `replicas`: one row per server instance that uses the database, with the IDs of its encryption keys (not the keys) and
//! its capabilities.

use super::{Error, Store};

/// The row of a server instance that is running, or that ended without deleting its row (see [`prune`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaRow {
    /// An ID that is new at each start.
    pub id: String,
    /// Milliseconds since 1970.
    pub started_ms: i64,
    /// The last heartbeat, in milliseconds since 1970.
    pub seen_ms: i64,
    /// The IDs of the keys in its key file.
    pub key_ids: Vec<String>,
    /// The features of its version that other replicas must know about. Older versions store fewer: see
    /// `service::secrets::Secrets::older_replica`.
    pub capabilities: Vec<String>,
    /// `host:port` at which other replicas can reach this one; `None` if it does not accept their connections.
    pub address: Option<String>,
}

record!(ReplicaRow, "replicas", id, started_ms, seen_ms, key_ids, capabilities, address);

/// Inserts the row, or updates it with a new heartbeat.
pub async fn upsert_heartbeat(store: &Store, replica: &ReplicaRow) -> Result<(), Error> {
    let sql =
        "insert into replicas (id, started_ms, seen_ms, key_ids, capabilities, address) values ($1, $2, $3, $4, $5, $6)
               on conflict (id) do update set seen_ms = excluded.seen_ms, key_ids = excluded.key_ids,
               capabilities = excluded.capabilities, address = excluded.address";
    let ReplicaRow { id, started_ms, seen_ms, key_ids, capabilities, address } = replica;
    store.execute(sql, args![id, *started_ms, *seen_ms, key_ids, capabilities, address]).await.map(drop)
}

/// The replicas whose last heartbeat is `since_ms` or later, ordered by ID.
pub async fn seen_since(store: &Store, since_ms: i64) -> Result<Vec<ReplicaRow>, Error> {
    let sql = "select id, started_ms, seen_ms, key_ids, capabilities, address from replicas where seen_ms >= $1 order by id";
    store.fetch_all(sql, args![since_ms]).await
}

/// Deletes the row of a replica that shuts down; returns whether it existed.
pub async fn delete(store: &Store, id: &str) -> Result<bool, Error> {
    Ok(store.execute("delete from replicas where id = $1", args![id]).await? > 0)
}

/// Deletes rows whose last heartbeat was before `before_ms`; returns their number.
pub async fn prune(store: &Store, before_ms: i64) -> Result<u64, Error> {
    store.execute("delete from replicas where seen_ms < $1", args![before_ms]).await
}
