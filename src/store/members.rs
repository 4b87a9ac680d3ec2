//! Table `cluster_members`: the roles of users in other users' clusters. A user may have several roles in one cluster; the
//! strongest is effective.

use std::collections::BTreeMap;

use super::transaction::Transaction;
use super::{AuditRow, Error, Store};

/// A role of a user in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRow {
    /// `c-xxxxx:crtb-xxxxx`: the cluster and a name that is unique in it.
    pub id: String,
    /// A UUID that is never reused.
    pub uuid: String,
    /// The cluster, `c-xxxxx`.
    pub cluster_id: String,
    /// The user, `user-xxxxx`.
    pub user_id: String,
    /// `cluster-owner`, `cluster-member` or `read-only`.
    pub role: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The annotations.
    pub annotations: BTreeMap<String, String>,
    /// Milliseconds since 1970.
    pub created_ms: i64,
}

/// A change of a membership; `None` keeps the stored value.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemberUpdate<'a> {
    /// The role.
    pub role: Option<&'a str>,
    /// All labels.
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// All annotations.
    pub annotations: Option<&'a BTreeMap<String, String>>,
}

record!(MemberRow, "cluster_members", id, uuid, cluster_id, user_id, role, labels, annotations, created_ms);

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, uuid, cluster_id, user_id, role, labels, annotations, created_ms from cluster_members ",
            $rest
        )
    };
}

/// Adds a membership.
///
/// # Errors
/// [`Error::Duplicate`] if the ID is taken, [`Error::Dangling`] if the cluster or the user does not exist.
pub async fn insert(store: &Store, member: &MemberRow, audit: &AuditRow) -> Result<(), Error> {
    let sql =
        "insert into cluster_members (id, uuid, cluster_id, user_id, role, labels, annotations, created_ms)
               values ($1, $2, $3, $4, $5, $6, $7, $8)";
    let MemberRow { id, uuid, cluster_id, user_id, role, labels, annotations, created_ms } = member;
    let values = args![id, uuid, cluster_id, user_id, role, labels, annotations, *created_ms];
    let result = store.execute_audited(sql, values, audit).await;
    result.map(drop).map_err(|error| error.or_dangling("cluster_members", id))
}

/// A membership by its ID.
pub async fn get(store: &Store, id: &str) -> Result<Option<MemberRow>, Error> {
    store.fetch_optional(select!("where id = $1"), args![id]).await
}

/// The strongest role of one user in one cluster.
pub async fn find(store: &Store, cluster_id: &str, user_id: &str) -> Result<Option<MemberRow>, Error> {
    let sql = select!(
        "where cluster_id = $1 and user_id = $2
         order by case role when 'cluster-owner' then 0 when 'cluster-member' then 1 else 2 end, created_ms, id limit 1"
    );
    store.fetch_optional(sql, args![cluster_id, user_id]).await
}

/// All memberships, or those of one cluster, or of one user, or both; oldest first.
pub async fn list(
    store: &Store,
    cluster_id: Option<&str>,
    user_id: Option<&str>,
) -> Result<Vec<MemberRow>, Error> {
    let sql = select!(
        "where (cast($1 as text) is null or cluster_id = $1) and (cast($2 as text) is null or user_id = $2)
         order by created_ms, id"
    );
    store.fetch_all(sql, args![cluster_id, user_id]).await
}

/// Locks all memberships of the user of membership `id` until the transaction ends. Otherwise, if the user's last two
/// memberships in a cluster ended concurrently, each transaction would still see the other membership, and neither would add a
/// revocation.
async fn lock_memberships(transaction: &mut Transaction<'_>, id: &str) -> Result<(), Error> {
    let sql = "select user_id from cluster_members where id = $1";
    let user_id: Option<String> = transaction.fetch_optional(sql, args![id]).await?;
    transaction.lock_name(&format!("memberships of {}", user_id.unwrap_or_default())).await
}

/// Changes a membership; false if it does not exist.
pub async fn update(
    store: &Store,
    id: &str,
    member: MemberUpdate<'_>,
    audit: &AuditRow,
) -> Result<bool, Error> {
    let sql = "update cluster_members set role = coalesce($2, role), labels = coalesce($3, labels),
               annotations = coalesce($4, annotations) where id = $1";
    let mut transaction = store.begin().await?;
    lock_memberships(&mut transaction, id).await?;
    let values = args![id, member.role, member.labels, member.annotations];
    let changed = transaction.execute(sql, values).await? > 0;
    if changed {
        transaction.commit_with_audit(audit).await?;
    }
    Ok(changed)
}

/// Deletes a membership; false if it does not exist.
pub async fn delete(store: &Store, id: &str, audit: &AuditRow) -> Result<bool, Error> {
    let mut transaction = store.begin().await?;
    lock_memberships(&mut transaction, id).await?;
    let deleted = transaction.execute("delete from cluster_members where id = $1", args![id]).await? > 0;
    if deleted {
        transaction.commit_with_audit(audit).await?;
    }
    Ok(deleted)
}
