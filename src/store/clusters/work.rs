//! The worker's functions: leases, and the state of the reconcile work. Each lease has a fencing token, which increases with
//! each claim. Writes of an earlier holder are rejected.

use super::{REMOVE_INVALID_CLAIMS, columns};
use crate::store::credentials::Erasure;
use crate::store::{ClusterRow, DatabaseKind, Error, NewClusterEvent, Store};

/// The columns that the worker writes under its lease. A user's update does not replace them; it can only schedule the next run
/// and reset the failures ([`NextRun`]). So the two do not conflict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReconcileColumns {
    /// The fencing token: increases by one with each claim. Writes with an older one are rejected.
    pub fence: i64,
    /// `new`, `creating`, `active` or `removing`.
    pub phase: String,
    /// Whether the creation in Azure was started; saved before the request is sent.
    pub claimed: bool,
    /// JSON: the status (conditions, aksStatus, …).
    pub status: String,
    /// The last applied generation; 0 for none.
    pub applied_generation: i64,
    /// JSON: `aksConfig` of that generation.
    pub applied_spec: Option<String>,
    /// JSON: the long-running operation in Azure.
    pub operation: Option<String>,
    /// When the cluster first became active, in milliseconds since 1970.
    pub activated_ms: Option<i64>,
    /// When Azure's state of the cluster was last read, in milliseconds since 1970.
    pub refreshed_ms: Option<i64>,
    /// The number of consecutive failures.
    pub attempts: i64,
    /// The worker's next run, in milliseconds since 1970; `None` if none is scheduled, 0 after a wake-up ([`wake`]).
    pub next_run_ms: Option<i64>,
}

/// The worker's next run after a user's change, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextRun(pub i64);

part_of_record!(
    ReconcileColumns,
    fence,
    phase,
    claimed,
    status,
    applied_generation,
    applied_spec,
    operation,
    activated_ms,
    refreshed_ms,
    attempts,
    next_run_ms,
);

/// Claims up to `limit` clusters that are due at `now_ms` and have no lease, for `holder` until `lease_until_ms`. Starts with
/// those that have been due for longest.
pub async fn claim(
    store: &Store,
    holder: &str,
    now_ms: i64,
    lease_until_ms: i64,
    limit: u32,
) -> Result<Vec<ClusterRow>, Error> {
    macro_rules! claim {
        ($lock:literal) => {
            concat!(
                "update clusters set lease_by = $1, lease_until_ms = $2, fence = fence + 1, ",
                "next_run_ms = case when next_run_ms = 0 then $3 else next_run_ms end where id in (",
                "select id from clusters where next_run_ms <= $3 and lease_until_ms <= $3 ",
                "order by next_run_ms, id limit $4",
                $lock,
                ") returning ",
                columns!()
            )
        };
    }
    // PostgreSQL skips rows that another server is claiming; SQLite has only one writer.
    let sql = match store.kind() {
        DatabaseKind::Sqlite => claim!(""),
        DatabaseKind::Postgres => claim!(" for update skip locked"),
    };
    store.execute_returning(sql, args![holder, lease_until_ms, now_ms, limit]).await
}

/// Stores the state of the work under the fencing token `work.fence`, and keeps the lease. `seen_generation` is the processed
/// generation: if the user has changed the spec since, or the cluster was woken, the release sets the next run to `now_ms`.
/// False if the lease was lost or the cluster was deleted; nothing is written then.
pub async fn record(
    store: &Store,
    id: &str,
    work: &ReconcileColumns,
    seen_generation: i64,
    now_ms: i64,
) -> Result<bool, Error> {
    write_work(store, id, work, seen_generation, now_ms, None, &[]).await
}

/// As [`record()`], and also releases the lease and adds events, in one transaction.
pub async fn release(
    store: &Store,
    id: &str,
    work: &ReconcileColumns,
    seen_generation: i64,
    now_ms: i64,
    events: &[NewClusterEvent],
) -> Result<bool, Error> {
    write_work(store, id, work, seen_generation, now_ms, Some(0), events).await
}

/// `lease_until_ms` is the new end of the lease; `None` keeps the lease.
async fn write_work(
    store: &Store,
    id: &str,
    work: &ReconcileColumns,
    seen_generation: i64,
    now_ms: i64,
    lease_until_ms: Option<i64>,
    events: &[NewClusterEvent],
) -> Result<bool, Error> {
    let sql = "update clusters set phase = $3, claimed = $4, status = $5, applied_generation = $6, applied_spec = $7,
               operation = $8, activated_ms = $9, refreshed_ms = $10, attempts = $11,
               next_run_ms = case when next_run_ms = 0 and cast($15 as bigint) is null then 0
                 when generation = $13 and coalesce(next_run_ms, 1) <> 0 then cast($12 as bigint) else $14 end,
               lease_until_ms = coalesce(cast($15 as bigint), lease_until_ms)
               where id = $1 and fence = $2";
    let values = args![
        id,
        work.fence,
        &work.phase,
        work.claimed,
        &work.status,
        work.applied_generation,
        &work.applied_spec,
        &work.operation,
        work.activated_ms,
        work.refreshed_ms,
        work.attempts,
        work.next_run_ms,
        seen_generation,
        now_ms,
        lease_until_ms,
    ];
    let mut transaction = store.begin().await?;
    let written = transaction.execute(sql, values).await? > 0;
    if written {
        transaction.add_cluster_events(id, events).await?;
        transaction.commit().await?;
    }
    Ok(written)
}

/// Claims the AKS cluster `identity` for an object, after Azure has responded to its credential. Replaces an invalid claim.
/// False if the lease `fence` was lost, or the row is no longer at `version`.
///
/// # Errors
/// [`Error::Duplicate`] if another object has a valid claim.
pub async fn claim_identity(
    store: &Store,
    id: &str,
    fence: i64,
    version: i64,
    identity: &str,
) -> Result<bool, Error> {
    let sql = "update clusters set aks_identity = $4, identity_proved = $5, version = version + 1
               where id = $1 and fence = $2 and version = $3";
    let mut transaction = store.begin().await?;
    transaction.execute(REMOVE_INVALID_CLAIMS, args![identity, id]).await?;
    let claimed = transaction.execute(sql, args![id, fence, version, identity, true]).await? > 0;
    transaction.commit().await?;
    Ok(claimed)
}

/// Replaces the specification with one that contains Azure's values of managed keys. The generation is unchanged, because the
/// user changed nothing. False if the lease `fence` was lost, or the row is no longer at `version`.
pub async fn refresh_spec(
    store: &Store,
    id: &str,
    fence: i64,
    version: i64,
    spec: &str,
) -> Result<bool, Error> {
    let sql =
        "update clusters set spec = $4, version = version + 1 where id = $1 and fence = $2 and version = $3";
    Ok(store.execute(sql, args![id, fence, version, spec]).await? > 0)
}

/// Releases all leases, for a server that runs alone; returns their number.
pub async fn release_all(store: &Store) -> Result<u64, Error> {
    store.execute("update clusters set lease_until_ms = 0 where lease_until_ms <> 0", args![]).await
}

/// Sets all next runs that are later than `at_ms` to `at_ms`.
pub async fn wake_all(store: &Store, at_ms: i64) -> Result<(), Error> {
    store.execute("update clusters set next_run_ms = $1 where next_run_ms > $1", args![at_ms]).await.map(drop)
}

/// Sets the next run of a cluster to now. If a worker is processing the cluster, another run follows immediately. False if the
/// cluster does not exist.
pub async fn wake(store: &Store, id: &str) -> Result<bool, Error> {
    // The current holder does not overwrite 0 before it releases the lease; the release sets the next run to the current time.
    Ok(store.execute("update clusters set next_run_ms = 0 where id = $1", args![id]).await? > 0)
}

/// Deletes a cluster under the lease `fence`, and adds events; false, without writing anything, if the lease was lost.
/// `erasure` names the credential that the cluster used.
pub async fn delete_claimed(
    store: &Store,
    id: &str,
    fence: i64,
    events: &[NewClusterEvent],
    erasure: Option<&Erasure>,
) -> Result<bool, Error> {
    let mut transaction = store.begin().await?;
    let sql = "delete from clusters where id = $1 and fence = $2";
    let deleted = transaction.execute(sql, args![id, fence]).await? > 0;
    if deleted {
        transaction.add_cluster_events(id, events).await?;
        if let Some(erasure) = erasure {
            transaction.erase_unused(erasure).await?;
        }
        transaction.commit().await?;
    }
    Ok(deleted)
}
