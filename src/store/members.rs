//! Table `cluster_members`: who else may use a cluster.

use super::rows::{Columns, Fields, without_nul};
use super::{AuditRow, Error, Store};

/// A user's part in a cluster that is not his own.
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
    /// Milliseconds since 1970.
    pub created_ms: i64,
}

macro_rules! select {
    ($rest:literal) => {
        concat!("select id, uuid, cluster_id, user_id, role, created_ms from cluster_members ", $rest)
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
        created_ms: fields.number("created_ms")?,
    })
}

/// Adds a member.
///
/// # Errors
/// [`Error::Duplicate`] when the id is taken or the user is a member already, [`Error::Dangling`] when there is no such
/// cluster or user.
pub async fn insert(store: &Store, member: &MemberRow, audit: &AuditRow) -> Result<(), Error> {
    without_nul([("id", Some(member.id.as_str())), ("cluster_id", Some(member.cluster_id.as_str()))])?;
    without_nul([("user_id", Some(member.user_id.as_str())), ("role", Some(member.role.as_str()))])?;
    let sql = "insert into cluster_members (id, uuid, cluster_id, user_id, role, created_ms)
               values ($1, $2, $3, $4, $5, $6)";
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
            .bind(member.created_ms);
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

/// The part of one user in one cluster.
pub async fn find(store: &Store, cluster_id: &str, user_id: &str) -> Result<Option<MemberRow>, Error> {
    if cluster_id.contains('\0') || user_id.contains('\0') {
        return Ok(None);
    }
    let sql = select!("where cluster_id = $1 and user_id = $2");
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

/// Gives a member another role; false when there is none of that id.
pub async fn set_role(store: &Store, id: &str, role: &str, audit: &AuditRow) -> Result<bool, Error> {
    without_nul([("id", Some(id)), ("role", Some(role))])?;
    let sql = "update cluster_members set role = $2 where id = $1";
    Ok(change_rows!(store, audit, sqlx::query(sql).bind(id).bind(role)).is_some())
}

/// Removes a member; false when there was none of that id.
pub async fn delete(store: &Store, id: &str, audit: &AuditRow) -> Result<bool, Error> {
    if id.contains('\0') {
        return Ok(false);
    }
    let sql = "delete from cluster_members where id = $1";
    Ok(change_rows!(store, audit, sqlx::query(sql).bind(id)).is_some())
}
