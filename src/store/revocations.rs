//! Table `cluster_revocations`: users who lost rights in a cluster and may still have bindings in it. Triggers add the rows in
//! the transaction of the change: for one cluster if a member is removed or demoted, or its owner is replaced; for all clusters
//! of a user who is disabled; for every cluster in which an administrator who is disabled, demoted or deleted loses rights.

use super::{Error, Store};

/// A user whose bindings in a cluster must still be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationRow {
    /// The cluster, `c-xxxxx`.
    pub cluster_id: String,
    /// The user, who may have been deleted.
    pub user_id: String,
    /// When the cluster was first searched for this user's bindings, in milliseconds since 1970.
    pub scanned_ms: Option<i64>,
}

record!(RevocationRow, "cluster_revocations", user_id, cluster_id, scanned_ms);

/// The clusters that `holder` watches and that have revocations.
pub async fn pending_clusters(store: &Store, holder: &str) -> Result<Vec<String>, Error> {
    let sql = "select distinct r.cluster_id from cluster_revocations r
               join cluster_watches w on w.cluster_id = r.cluster_id where w.holder = $1 order by r.cluster_id";
    store.fetch_all(sql, args![holder]).await
}

/// Up to `limit` revocations of a cluster; those that have not been searched for come first.
pub async fn list(store: &Store, cluster_id: &str, limit: u32) -> Result<Vec<RevocationRow>, Error> {
    let sql = "select cluster_id, user_id, scanned_ms from cluster_revocations where cluster_id = $1
               order by scanned_ms is not null, scanned_ms, user_id limit $2";
    store.fetch_all(sql, args![cluster_id, limit]).await
}

/// The number of revocations in all clusters.
pub async fn count(store: &Store) -> Result<i64, Error> {
    store.fetch_one("select count(*) from cluster_revocations", args![]).await
}

/// Records the first search for a revocation; false if that was already recorded, or the revocation was deleted.
pub async fn set_scanned(store: &Store, revocation: &RevocationRow, now_ms: i64) -> Result<bool, Error> {
    let sql = "update cluster_revocations set scanned_ms = $3
               where cluster_id = $1 and user_id = $2 and scanned_ms is null";
    Ok(store.execute(sql, args![&revocation.cluster_id, &revocation.user_id, now_ms]).await? > 0)
}

/// Deletes a revocation after its last search; false if the user's rights were revoked again since `revocation` was read.
pub async fn delete(store: &Store, revocation: &RevocationRow) -> Result<bool, Error> {
    let sql = "delete from cluster_revocations where cluster_id = $1 and user_id = $2
               and scanned_ms = cast($3 as bigint)";
    Ok(store.execute(sql, args![&revocation.cluster_id, &revocation.user_id, revocation.scanned_ms]).await?
        > 0)
}
