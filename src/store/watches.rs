//! Table `cluster_watches`: the server that keeps the rights inside a cluster, one lease for each cluster.

use super::cluster_events::add;
use super::rows::without_nul;
use super::{Error, NewClusterEvent, Store};

/// Claims up to `limit` active clusters whose lease has expired at `now_ms`, until `lease_until_ms`; returns their IDs.
pub async fn claim(
    store: &Store,
    holder: &str,
    now_ms: i64,
    lease_until_ms: i64,
    limit: u32,
) -> Result<Vec<String>, Error> {
    without_nul([("holder", Some(holder))])?;
    // A second server that meant to claim the same cluster waits for the first, and then finds the lease taken.
    let sql = "insert into cluster_watches (cluster_id, holder, lease_until_ms)
               select id, $1, $2 from clusters where activated_ms is not null and removing_ms is null and not exists
               (select 1 from cluster_watches w where w.cluster_id = clusters.id and w.lease_until_ms > $3)
               order by id limit $4
               on conflict (cluster_id) do update set holder = excluded.holder, lease_until_ms = excluded.lease_until_ms
               where cluster_watches.lease_until_ms <= $3
               returning cluster_id";
    write!(store, |pool| Ok(sqlx::query_scalar(sql)
        .bind(holder)
        .bind(lease_until_ms)
        .bind(now_ms)
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?))
}

/// Extends all leases of `holder`, except those of clusters that are being removed; returns the IDs of the clusters that
/// it still holds.
pub async fn renew(store: &Store, holder: &str, lease_until_ms: i64) -> Result<Vec<String>, Error> {
    let sql = "update cluster_watches set lease_until_ms = $2 where holder = $1 and exists
               (select 1 from clusters c where c.id = cluster_watches.cluster_id and c.removing_ms is null)
               returning cluster_id";
    write!(store, |pool| Ok(sqlx::query_scalar(sql)
        .bind(holder)
        .bind(lease_until_ms)
        .fetch_all(pool)
        .await?))
}

/// Gives up all leases of `holder`, so that other servers need not wait for their end; returns how many.
pub async fn release(store: &Store, holder: &str) -> Result<u64, Error> {
    let sql = "update cluster_watches set lease_until_ms = 0 where holder = $1 and lease_until_ms <> 0";
    Ok(write!(store, |pool| sqlx::query(sql).bind(holder).execute(pool).await?.rows_affected()))
}

/// Ends every lease, for a server that knows that it is alone.
pub async fn release_all(store: &Store) -> Result<u64, Error> {
    let sql = "update cluster_watches set lease_until_ms = 0 where lease_until_ms <> 0";
    Ok(write!(store, |pool| sqlx::query(sql).execute(pool).await?.rows_affected()))
}

/// Records that the change of members' rights was announced, with the event that says so; false when it was announced
/// before, or the cluster has no lease: then nothing is written.
pub async fn announce(
    store: &Store,
    cluster_id: &str,
    now_ms: i64,
    event: &NewClusterEvent,
) -> Result<bool, Error> {
    if cluster_id.contains('\0') {
        return Ok(false);
    }
    let sql = "update cluster_watches set announced_ms = $2 where cluster_id = $1 and announced_ms is null";
    let lock = "update clusters set owner = owner where id = $1";
    write!(store, |pool| {
        let mut transaction = pool.begin().await?;
        let exists = sqlx::query(lock).bind(cluster_id).execute(&mut *transaction).await?.rows_affected() > 0;
        let first = exists
            && sqlx::query(sql)
                .bind(cluster_id)
                .bind(now_ms)
                .execute(&mut *transaction)
                .await?
                .rows_affected()
                > 0;
        if first {
            add!(transaction, cluster_id, std::slice::from_ref(event));
        }
        transaction.commit().await?;
        Ok(first)
    })
}
