//! Table `registration_tokens`: the tokens with which a cluster's agent may register. Their text lies sealed in
//! `cluster_secrets`, under [`secret_name`]; here is the hash by which one that is presented is found.

use super::cluster_secrets::PUT;
use super::credentials::SealedColumns;
use super::rows::{Columns, Fields, without_nul};
use super::{AuditRow, Error, Store};

/// A registration token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationTokenRow {
    /// The cluster, `c-xxxxx`.
    pub cluster_id: String,
    /// `default-token` and so on; the only one of this name in the cluster.
    pub name: String,
    /// Never given to another object.
    pub uuid: String,
    /// SHA-256 of the token.
    pub hash: Vec<u8>,
    /// Milliseconds since 1970.
    pub created_ms: i64,
}

/// Under which name the text of a token is kept among the secrets of its cluster.
pub fn secret_name(name: &str) -> String {
    format!("registrationToken/{name}")
}

macro_rules! select {
    ($rest:literal) => {
        concat!("select cluster_id, name, uuid, hash, created_ms from registration_tokens ", $rest)
    };
}

fn row(row: &impl Columns) -> Result<RegistrationTokenRow, Error> {
    let fields = Fields::of(row, "registration_tokens", "name")?;
    Ok(RegistrationTokenRow {
        cluster_id: fields.text("cluster_id")?,
        name: fields.key(),
        uuid: fields.text("uuid")?,
        hash: fields.bytes("hash")?,
        created_ms: fields.number("created_ms")?,
    })
}

/// Adds a token with its sealed text unless there is one of that name; whether it was added. Both or none are written.
///
/// # Errors
/// [`Error::Dangling`] when there is no such cluster.
pub async fn insert(
    store: &Store,
    token: &RegistrationTokenRow,
    sealed: &SealedColumns,
    audit: &AuditRow,
) -> Result<bool, Error> {
    without_nul([("cluster_id", Some(token.cluster_id.as_str())), ("name", Some(token.name.as_str()))])?;
    let sql = "insert into registration_tokens (cluster_id, name, uuid, hash, created_ms)
               values ($1, $2, $3, $4, $5) on conflict (cluster_id, name) do nothing";
    let dangling = |error: sqlx::Error| {
        let error = Error::from(error);
        if error.is_foreign_key() {
            return Error::Dangling { table: "registration_tokens", id: token.cluster_id.clone() };
        }
        error
    };
    let added = change!(store, audit, |transaction| {
        let added = sqlx::query(sql)
            .bind(&token.cluster_id)
            .bind(&token.name)
            .bind(&token.uuid)
            .bind(&token.hash)
            .bind(token.created_ms)
            .execute(&mut *transaction)
            .await
            .map_err(dangling)?
            .rows_affected();
        if added > 0 {
            sqlx::query(PUT)
                .bind(&token.cluster_id)
                .bind(secret_name(&token.name))
                .bind(&sealed.key_id)
                .bind(&sealed.wrapped_key)
                .bind(&sealed.ciphertext)
                .bind(token.created_ms)
                .execute(&mut *transaction)
                .await?;
        }
        (added > 0).then_some(())
    });
    Ok(added.is_some())
}

/// The token of that name in a cluster.
pub async fn get(store: &Store, cluster_id: &str, name: &str) -> Result<Option<RegistrationTokenRow>, Error> {
    if cluster_id.contains('\0') || name.contains('\0') {
        return Ok(None);
    }
    let sql = select!("where cluster_id = $1 and name = $2");
    read!(store, |pool| sqlx::query(sql)
        .bind(cluster_id)
        .bind(name)
        .fetch_optional(pool)
        .await?
        .as_ref()
        .map(row)
        .transpose())
}

/// The tokens of a cluster, oldest first.
pub async fn list(store: &Store, cluster_id: &str) -> Result<Vec<RegistrationTokenRow>, Error> {
    if cluster_id.contains('\0') {
        return Ok(Vec::new());
    }
    let sql = select!("where cluster_id = $1 order by created_ms, name");
    read!(store, |pool| sqlx::query(sql).bind(cluster_id).fetch_all(pool).await?.iter().map(row).collect())
}

/// Removes a token and its text; false when there was none of that name.
pub async fn delete(store: &Store, cluster_id: &str, name: &str, audit: &AuditRow) -> Result<bool, Error> {
    if cluster_id.contains('\0') || name.contains('\0') {
        return Ok(false);
    }
    let token = "delete from registration_tokens where cluster_id = $1 and name = $2";
    let text = "delete from cluster_secrets where cluster_id = $1 and name = $2";
    let removed = change!(store, audit, |transaction| {
        let removed = sqlx::query(token).bind(cluster_id).bind(name).execute(&mut *transaction).await?;
        sqlx::query(text).bind(cluster_id).bind(secret_name(name)).execute(&mut *transaction).await?;
        (removed.rows_affected() > 0).then_some(())
    });
    Ok(removed.is_some())
}
