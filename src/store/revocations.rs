//! Table `cluster_revocations`: users who lost rights in a cluster, until what they left inside it is gone. Triggers add
//! the rows: a removed or demoted member, an owner who handed the cluster over, and a disabled user are marked in the same
//! transaction; an administrator who is disabled, demoted or removed is marked in every cluster.

use super::rows::{Columns, Fields, without_nul};
use super::{Error, Store};

/// A user whose leftovers in a cluster are still to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationRow {
    /// The cluster, `c-xxxxx`.
    pub cluster_id: String,
    /// The user, who may be gone.
    pub user_id: String,
    /// When the cluster was first searched for this mark, in milliseconds since 1970.
    pub scanned_ms: Option<i64>,
}

fn row(row: &impl Columns) -> Result<RevocationRow, Error> {
    let fields = Fields::of(row, "cluster_revocations", "user_id")?;
    Ok(RevocationRow {
        user_id: fields.key(),
        cluster_id: fields.text("cluster_id")?,
        scanned_ms: fields.number_opt("scanned_ms")?,
    })
}

/// The clusters that `holder` watches and that have marks.
pub async fn pending_clusters(store: &Store, holder: &str) -> Result<Vec<String>, Error> {
    without_nul([("holder", Some(holder))])?;
    let sql = "select distinct r.cluster_id from cluster_revocations r
               join cluster_watches w on w.cluster_id = r.cluster_id where w.holder = $1 order by r.cluster_id";
    read!(store, |pool| Ok(sqlx::query_scalar(sql).bind(holder).fetch_all(pool).await?))
}

/// Up to `limit` marks of a cluster, those that were never searched for first.
pub async fn list(store: &Store, cluster_id: &str, limit: u32) -> Result<Vec<RevocationRow>, Error> {
    if cluster_id.contains('\0') {
        return Ok(Vec::new());
    }
    let sql = "select cluster_id, user_id, scanned_ms from cluster_revocations where cluster_id = $1
               order by scanned_ms is not null, scanned_ms, user_id limit $2";
    read!(store, |pool| sqlx::query(sql)
        .bind(cluster_id)
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?
        .iter()
        .map(row)
        .collect())
}

/// The number of marks in all clusters.
pub async fn count(store: &Store) -> Result<i64, Error> {
    let sql = "select count(*) from cluster_revocations";
    read!(store, |pool| Ok(sqlx::query_scalar(sql).fetch_one(pool).await?))
}

/// Records the first search for a mark; false when the user was marked again since `mark` was read.
pub async fn set_scanned(store: &Store, mark: &RevocationRow, now_ms: i64) -> Result<bool, Error> {
    without_nul([("cluster_id", Some(mark.cluster_id.as_str())), ("user_id", Some(mark.user_id.as_str()))])?;
    let sql = "update cluster_revocations set scanned_ms = $3
               where cluster_id = $1 and user_id = $2 and scanned_ms is null";
    Ok(write!(store, |pool| sqlx::query(sql)
        .bind(&mark.cluster_id)
        .bind(&mark.user_id)
        .bind(now_ms)
        .execute(pool)
        .await?
        .rows_affected())
        > 0)
}

/// Removes a mark that was searched for; false when the user was marked again since `mark` was read.
pub async fn delete(store: &Store, mark: &RevocationRow) -> Result<bool, Error> {
    without_nul([("cluster_id", Some(mark.cluster_id.as_str())), ("user_id", Some(mark.user_id.as_str()))])?;
    let sql = "delete from cluster_revocations where cluster_id = $1 and user_id = $2
               and scanned_ms = cast($3 as bigint)";
    Ok(write!(store, |pool| sqlx::query(sql)
        .bind(&mark.cluster_id)
        .bind(&mark.user_id)
        .bind(mark.scanned_ms)
        .execute(pool)
        .await?
        .rows_affected())
        > 0)
}
