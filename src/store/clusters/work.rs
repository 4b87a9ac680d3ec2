//! The side of the table that the worker has: claims, and where the work stands. A claim has a fence, a number that grows
//! with each claim: what an earlier holder still writes is refused.

use super::{RELEASE_UNPROVED, columns, row};
use crate::store::cluster_events::add;
use crate::store::credentials::{EraseUnused as _, Erasure};
use crate::store::rows::without_nul;
use crate::store::{ClusterRow, Error, Kind, NewClusterEvent, Store};

/// The columns that only the worker changes. A user's change never touches them, and the other way round, so that the two
/// do not get into each other's way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkColumns {
    /// Grows by one each time somebody claims the cluster; a record of an older claim is refused.
    pub fence: i64,
    /// `new`, `creating`, `active` or `removing`.
    pub phase: String,
    /// Whether the intent to make it in Azure was written down.
    pub claimed: bool,
    /// JSON: what we know about it (conditions, aksStatus, …).
    pub status: String,
    /// The generation that was last brought about; 0 for none.
    pub applied_generation: i64,
    /// JSON: `aksConfig` of that generation.
    pub applied_spec: Option<String>,
    /// JSON: the long operation that Azure works on.
    pub operation: Option<String>,
    /// When it was active for the first time, in milliseconds since 1970.
    pub activated_ms: Option<i64>,
    /// When Azure's view of it was last read, in milliseconds since 1970.
    pub refreshed_ms: Option<i64>,
    /// Failures in a row.
    pub attempts: i64,
    /// When the worker should look at it next, in milliseconds since 1970; `None` for never.
    pub next_run_ms: Option<i64>,
}

/// The moment at which the worker should look next, which a user's change may bring forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wake(pub i64);

/// Claims up to `limit` clusters that are due at `now_ms` and that nobody else holds: until `lease_until_ms` they are
/// `holder`'s. The longest due come first.
pub async fn claim(
    store: &Store,
    holder: &str,
    now_ms: i64,
    lease_until_ms: i64,
    limit: u32,
) -> Result<Vec<ClusterRow>, Error> {
    without_nul([("lease_by", Some(holder))])?;
    macro_rules! claim {
        ($lock:literal) => {
            concat!(
                "update clusters set lease_by = $1, lease_until_ms = $2, fence = fence + 1 where id in (",
                "select id from clusters where next_run_ms <= $3 and lease_until_ms <= $3 ",
                "order by next_run_ms, id limit $4",
                $lock,
                ") returning ",
                columns!()
            )
        };
    }
    // PostgreSQL passes over rows that another server is just claiming; SQLite has one writer anyway.
    let sql = match store.kind() {
        Kind::Sqlite => claim!(""),
        Kind::Postgres => claim!(" for update skip locked"),
    };
    write!(store, |pool| sqlx::query(sql)
        .bind(holder)
        .bind(lease_until_ms)
        .bind(now_ms)
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?
        .iter()
        .map(row)
        .collect())
}

/// Lengthens a claim; false when it is no longer the holder's.
pub async fn renew(store: &Store, id: &str, fence: i64, lease_until_ms: i64) -> Result<bool, Error> {
    let sql = "update clusters set lease_until_ms = $3 where id = $1 and fence = $2";
    Ok(write!(store, |pool| sqlx::query(sql)
        .bind(id)
        .bind(fence)
        .bind(lease_until_ms)
        .execute(pool)
        .await?
        .rows_affected())
        > 0)
}

/// Writes down where the work stands, under the claim `work.fence`, and keeps the claim. `seen_generation` is the
/// generation that was worked on: when the user changed something since, the next look is brought forward to `now_ms`.
/// False when the claim is no longer the holder's, or the cluster is gone: then nothing was written.
pub async fn record(
    store: &Store,
    id: &str,
    work: &WorkColumns,
    seen_generation: i64,
    now_ms: i64,
) -> Result<bool, Error> {
    write_work(store, id, work, (seen_generation, now_ms), None, &[]).await
}

/// As [`record`], gives the claim back and adds what happened: all of it or nothing.
pub async fn release(
    store: &Store,
    id: &str,
    work: &WorkColumns,
    seen_generation: i64,
    now_ms: i64,
    events: &[NewClusterEvent],
) -> Result<bool, Error> {
    write_work(store, id, work, (seen_generation, now_ms), Some(0), events).await
}

async fn write_work(
    store: &Store,
    id: &str,
    work: &WorkColumns,
    (seen_generation, now_ms): (i64, i64),
    lease_until_ms: Option<i64>,
    events: &[NewClusterEvent],
) -> Result<bool, Error> {
    without_nul([
        ("status", Some(work.status.as_str())),
        ("applied_spec", work.applied_spec.as_deref()),
        ("operation", work.operation.as_deref()),
    ])?;
    let sql = "update clusters set phase = $3, claimed = $4, status = $5, applied_generation = $6, applied_spec = $7,
               operation = $8, activated_ms = $9, refreshed_ms = $10, attempts = $11,
               next_run_ms = case when generation = $13 then cast($12 as bigint) else $14 end,
               lease_until_ms = coalesce(cast($15 as bigint), lease_until_ms)
               where id = $1 and fence = $2";
    write!(store, |pool| {
        let mut transaction = pool.begin().await?;
        let written = sqlx::query(sql)
            .bind(id)
            .bind(work.fence)
            .bind(&work.phase)
            .bind(work.claimed)
            .bind(&work.status)
            .bind(work.applied_generation)
            .bind(&work.applied_spec)
            .bind(&work.operation)
            .bind(work.activated_ms)
            .bind(work.refreshed_ms)
            .bind(work.attempts)
            .bind(work.next_run_ms)
            .bind(seen_generation)
            .bind(now_ms)
            .bind(lease_until_ms)
            .execute(&mut *transaction)
            .await?
            .rows_affected()
            > 0;
        if written {
            add!(transaction, id, events);
        }
        transaction.commit().await?;
        Ok(written)
    })
}

/// Claims the AKS cluster `identity` for an object, now that Azure answered with its credential, under the lease `fence` and
/// unless the row was changed since it was read as `version`; false then. A claim that does not count gives way.
///
/// # Errors
/// [`Error::Duplicate`] when another object has a claim that counts.
pub async fn claim_identity(
    store: &Store,
    id: &str,
    fence: i64,
    version: i64,
    identity: &str,
) -> Result<bool, Error> {
    without_nul([("aks_identity", Some(identity))])?;
    let sql = "update clusters set aks_identity = $4, identity_proved = $5, version = version + 1
               where id = $1 and fence = $2 and version = $3";
    Ok(transaction!(store, |transaction| {
        sqlx::query(RELEASE_UNPROVED).bind(identity).bind(id).execute(&mut *transaction).await?;
        let query = sqlx::query(sql).bind(id).bind(fence).bind(version).bind(identity).bind(true);
        query.execute(&mut *transaction).await?.rows_affected() > 0
    }))
}

/// Replaces the specification from the worker's side (what Azure says of managed keys), under the claim `fence`, unless
/// the row was changed since it was read as `version`; false then. The generation stays: nobody wants anything new.
pub async fn refresh_spec(
    store: &Store,
    id: &str,
    fence: i64,
    version: i64,
    spec: &str,
) -> Result<bool, Error> {
    without_nul([("spec", Some(spec))])?;
    let sql =
        "update clusters set spec = $4, version = version + 1 where id = $1 and fence = $2 and version = $3";
    Ok(write!(store, |pool| sqlx::query(sql)
        .bind(id)
        .bind(fence)
        .bind(version)
        .bind(spec)
        .execute(pool)
        .await?
        .rows_affected())
        > 0)
}

/// Ends every claim, for a server that knows that it is alone: those who held them are no more.
pub async fn free_all(store: &Store) -> Result<u64, Error> {
    let sql = "update clusters set lease_until_ms = 0 where lease_until_ms <> 0";
    Ok(write!(store, |pool| sqlx::query(sql).execute(pool).await?.rows_affected()))
}

/// Brings the worker's next look at a cluster forward to `at_ms`.
pub async fn wake(store: &Store, id: &str, at_ms: i64) -> Result<(), Error> {
    let sql = "update clusters set next_run_ms = $2
               where id = $1 and (next_run_ms is null or next_run_ms > cast($2 as bigint))";
    write!(store, |pool| sqlx::query(sql).bind(id).bind(at_ms).execute(pool).await?.rows_affected());
    Ok(())
}

/// Brings the next looks at all clusters forward that lie behind `at_ms`.
pub async fn wake_all(store: &Store, at_ms: i64) -> Result<(), Error> {
    let sql = "update clusters set next_run_ms = $1 where next_run_ms > $1";
    write!(store, |pool| sqlx::query(sql).bind(at_ms).execute(pool).await?.rows_affected());
    Ok(())
}

/// When the next cluster is due, in milliseconds since 1970, as far as nobody holds it.
pub async fn next_due_ms(store: &Store) -> Result<Option<i64>, Error> {
    let sql = "select min(case when lease_until_ms > next_run_ms then lease_until_ms else next_run_ms end) as due_ms
               from clusters where next_run_ms is not null";
    read!(store, |pool| Ok(sqlx::query_scalar(sql).fetch_one(pool).await?))
}

/// Removes a cluster that is claimed as `fence`, and adds what happened; false when the claim is no longer the holder's:
/// then nothing was written. `erasure` names the credential that the cluster used.
pub async fn delete_claimed(
    store: &Store,
    id: &str,
    fence: i64,
    events: &[NewClusterEvent],
    erasure: Option<&Erasure>,
) -> Result<bool, Error> {
    let sql = "delete from clusters where id = $1 and fence = $2";
    Ok(transaction!(store, |transaction| {
        let query = sqlx::query(sql).bind(id).bind(fence);
        let gone = query.execute(&mut *transaction).await?.rows_affected() > 0;
        if gone {
            add!(transaction, id, events);
            if let Some(erasure) = erasure {
                transaction.erase_unused(erasure).await?;
            }
        }
        gone
    }))
}
