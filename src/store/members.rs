//! Table `cluster_members`: the roles of users in clusters of others. A user may have several in one cluster; the strongest
//! counts.

use std::collections::BTreeMap;

use super::change::Serialise as _;
use super::rows::{Columns, Fields, json_text, without_nul};
use super::{AuditRow, Error, Store};

/// A role of a user in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRow {
    /// `c-xxxxx:crtb-xxxxx`: the cluster and a name that is the only one in it.
    pub id: String,
    /// Never given to another object.
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

/// The change of a member; `None` keeps the stored value.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemberUpdate<'a> {
    /// The role.
    pub role: Option<&'a str>,
    /// All labels.
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// All annotations.
    pub annotations: Option<&'a BTreeMap<String, String>>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, uuid, cluster_id, user_id, role, labels, annotations, created_ms from cluster_members ",
            $rest
        )
    };
}

fn row(row: &impl Columns) -> Result<MemberRow, Error> {
    let fields = Fields::of(row, "cluster_members", "id")?;
    Ok(MemberRow {
        id: fields.key(),
        uuid: fields.text("uuid")?,
        cluster_id: fields.text("cluster_id")?,
        user_id: fields.text("user_id")?,
        role: fields.text("role")?,
        labels: fields.json("labels")?,
        annotations: fields.json("annotations")?,
        created_ms: fields.number("created_ms")?,
    })
}

/// Adds a member.
///
/// # Errors
/// [`Error::Duplicate`] when the id is taken, [`Error::Dangling`] when there is no such
/// cluster or user.
pub async fn insert(store: &Store, member: &MemberRow, audit: &AuditRow) -> Result<(), Error> {
    without_nul([("id", Some(member.id.as_str())), ("cluster_id", Some(member.cluster_id.as_str()))])?;
    without_nul([("user_id", Some(member.user_id.as_str())), ("role", Some(member.role.as_str()))])?;
    let sql =
        "insert into cluster_members (id, uuid, cluster_id, user_id, role, created_ms, labels, annotations)
               values ($1, $2, $3, $4, $5, $6, $7, $8)";
    let dangling = |error| match Error::from(error) {
        error if error.is_foreign_key() => {
            Error::Dangling { table: "cluster_members", id: member.id.clone() }
        }
        error => error,
    };
    change!(store, audit, |transaction| {
        let query = sqlx::query(sql)
            .bind(&member.id)
            .bind(&member.uuid)
            .bind(&member.cluster_id)
            .bind(&member.user_id)
            .bind(&member.role)
            .bind(member.created_ms)
            .bind(json_text(&member.labels))
            .bind(json_text(&member.annotations));
        Some(query.execute(&mut *transaction).await.map_err(dangling)?.rows_affected())
    });
    Ok(())
}

/// The membership of that id.
pub async fn get(store: &Store, id: &str) -> Result<Option<MemberRow>, Error> {
    if id.contains('\0') {
        return Ok(None);
    }
    let sql = select!("where id = $1");
    read!(store, |pool| sqlx::query(sql).bind(id).fetch_optional(pool).await?.as_ref().map(row).transpose())
}

/// The strongest role of one user in one cluster.
pub async fn find(store: &Store, cluster_id: &str, user_id: &str) -> Result<Option<MemberRow>, Error> {
    if cluster_id.contains('\0') || user_id.contains('\0') {
        return Ok(None);
    }
    let sql = select!(
        "where cluster_id = $1 and user_id = $2
         order by case role when 'cluster-owner' then 0 when 'cluster-member' then 1 else 2 end, created_ms, id limit 1"
    );
    read!(store, |pool| sqlx::query(sql)
        .bind(cluster_id)
        .bind(user_id)
        .fetch_optional(pool)
        .await?
        .as_ref()
        .map(row)
        .transpose())
}

/// All memberships, or those of one cluster, or of one user, or both; oldest first.
pub async fn list(
    store: &Store,
    cluster_id: Option<&str>,
    user_id: Option<&str>,
) -> Result<Vec<MemberRow>, Error> {
    without_nul([("cluster_id", cluster_id), ("user_id", user_id)])?;
    let sql = select!(
        "where (cast($1 as text) is null or cluster_id = $1) and (cast($2 as text) is null or user_id = $2)
         order by created_ms, id"
    );
    read!(store, |pool| sqlx::query(sql)
        .bind(cluster_id)
        .bind(user_id)
        .fetch_all(pool)
        .await?
        .iter()
        .map(row)
        .collect())
}

/// Locks the memberships of the user whom one of them names, until the transaction ends: of two that end together, the last one
/// leaves the mark of lost rights.
macro_rules! serialise_user {
    ($transaction:ident, $id:expr) => {
        let sql = "select user_id from cluster_members where id = $1";
        let user_id: Option<String> =
            sqlx::query_scalar(sql).bind($id).fetch_optional(&mut *$transaction).await?;
        $transaction.serialise(&format!("memberships of {}", user_id.unwrap_or_default())).await?;
    };
}

/// Changes a member; false when there is none of that id.
pub async fn update(
    store: &Store,
    id: &str,
    member: MemberUpdate<'_>,
    audit: &AuditRow,
) -> Result<bool, Error> {
    without_nul([("id", Some(id)), ("role", member.role)])?;
    let sql = "update cluster_members set role = coalesce($2, role), labels = coalesce($3, labels),
               annotations = coalesce($4, annotations) where id = $1";
    let changed = change!(store, audit, |transaction| {
        serialise_user!(transaction, id);
        let query = sqlx::query(sql)
            .bind(id)
            .bind(member.role)
            .bind(member.labels.map(json_text))
            .bind(member.annotations.map(json_text));
        let rows = query.execute(&mut *transaction).await?.rows_affected();
        (rows > 0).then_some(())
    });
    Ok(changed.is_some())
}

/// Removes a member; false when there was none of that id.
pub async fn delete(store: &Store, id: &str, audit: &AuditRow) -> Result<bool, Error> {
    if id.contains('\0') {
        return Ok(false);
    }
    let sql = "delete from cluster_members where id = $1";
    let deleted = change!(store, audit, |transaction| {
        serialise_user!(transaction, id);
        let rows = sqlx::query(sql).bind(id).execute(&mut *transaction).await?.rows_affected();
        (rows > 0).then_some(())
    });
    Ok(deleted.is_some())
}
