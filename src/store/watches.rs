//! Table `cluster_watches`: a lease for each active cluster, held by the server that maintains the rights in it.

use super::{Error, NewClusterEvent, Store};

/// Claims up to `limit` active clusters that have no lease at `now_ms`, until `lease_until_ms`; returns their IDs.
pub async fn claim(
    store: &Store,
    holder: &str,
    now_ms: i64,
    lease_until_ms: i64,
    limit: u32,
) -> Result<Vec<String>, Error> {
    // A second server that claims the same cluster waits for the first one, and then sees its lease.
    let sql = "insert into cluster_watches (cluster_id, holder, lease_until_ms)
               select id, $1, $2 from clusters where activated_ms is not null and removing_ms is null and not exists
               (select 1 from cluster_watches w where w.cluster_id = clusters.id and w.lease_until_ms > $3)
               order by id limit $4
               on conflict (cluster_id) do update set holder = excluded.holder, lease_until_ms = excluded.lease_until_ms
               where cluster_watches.lease_until_ms <= $3
               returning cluster_id";
    store.execute_returning(sql, args![holder, lease_until_ms, now_ms, limit]).await
}

/// Extends all leases of `holder`, except those of clusters that are being deleted; returns the IDs of the clusters that it
/// still holds.
pub async fn renew(store: &Store, holder: &str, lease_until_ms: i64) -> Result<Vec<String>, Error> {
    let sql = "update cluster_watches set lease_until_ms = $2 where holder = $1 and exists
               (select 1 from clusters c where c.id = cluster_watches.cluster_id and c.removing_ms is null)
               returning cluster_id";
    store.execute_returning(sql, args![holder, lease_until_ms]).await
}

/// Releases all leases of `holder`, so that other servers need not wait until they expire; returns their number.
pub async fn release(store: &Store, holder: &str) -> Result<u64, Error> {
    let sql = "update cluster_watches set lease_until_ms = 0 where holder = $1 and lease_until_ms <> 0";
    store.execute(sql, args![holder]).await
}

/// Releases all leases, for a server that runs alone; returns their number.
pub async fn release_all(store: &Store) -> Result<u64, Error> {
    store.execute("update cluster_watches set lease_until_ms = 0 where lease_until_ms <> 0", args![]).await
}

/// Records that the change of members' rights was announced, and adds the event of the announcement. False, without writing
/// anything, if the change was already announced, or the cluster was never watched.
pub async fn announce(
    store: &Store,
    cluster_id: &str,
    now_ms: i64,
    event: &NewClusterEvent,
) -> Result<bool, Error> {
    let sql = "update cluster_watches set announced_ms = $2 where cluster_id = $1 and announced_ms is null";
    let mut transaction = store.begin().await?;
    let is_first = transaction.lock_cluster(cluster_id).await?
        && transaction.execute(sql, args![cluster_id, now_ms]).await? > 0;
    if is_first {
        transaction.add_cluster_events(cluster_id, std::slice::from_ref(event)).await?;
        transaction.commit().await?;
    }
    Ok(is_first)
}
