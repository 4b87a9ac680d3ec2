//! Table `agent_sessions`: the servers that have a usable session of a cluster's agent.

use super::{Error, Store};

/// A server with a session of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSessionRow {
    /// The cluster, `c-xxxxx`.
    pub cluster_id: String,
    /// The address for connections of other servers, `host:port`.
    pub address: String,
}

record!(AgentSessionRow, "agent_sessions", cluster_id, address);

/// Records that a server has a session of a cluster, if both still exist.
pub async fn put(store: &Store, cluster_id: &str, replica_id: &str) -> Result<(), Error> {
    let sql = "insert into agent_sessions (cluster_id, replica_id)
               select c.id, r.id from clusters c, replicas r where c.id = $1 and r.id = $2
               on conflict (cluster_id, replica_id) do nothing";
    store.execute(sql, args![cluster_id, replica_id]).await.map(drop)
}

/// Records that a server no longer has a session of a cluster.
pub async fn delete(store: &Store, cluster_id: &str, replica_id: &str) -> Result<(), Error> {
    let sql = "delete from agent_sessions where cluster_id = $1 and replica_id = $2";
    store.execute(sql, args![cluster_id, replica_id]).await.map(drop)
}

/// The sessions of reachable servers other than `replica_id` whose last heartbeat was at `since_ms` or later.
pub async fn list_others(
    store: &Store,
    replica_id: &str,
    since_ms: i64,
) -> Result<Vec<AgentSessionRow>, Error> {
    let sql = "select s.cluster_id, r.address from agent_sessions s join replicas r on r.id = s.replica_id
               where r.id <> $1 and r.seen_ms >= $2 and r.address is not null order by s.cluster_id, r.id";
    store.fetch_all(sql, args![replica_id, since_ms]).await
}
