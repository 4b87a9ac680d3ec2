//! Table `registration_tokens`: hashes of the tokens with which a cluster's agent registers. The tokens themselves are
//! encrypted in `cluster_secrets`, under [`secret_name`].

use super::cluster_secrets;
use super::credentials::EncryptedColumns;
use super::{AuditRow, Error, Store};

/// A registration token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationTokenRow {
    /// The cluster, `c-xxxxx`.
    pub cluster_id: String,
    /// `default-token` and so on; unique in the cluster.
    pub name: String,
    /// A UUID that is never reused.
    pub uuid: String,
    /// SHA-256 of the token.
    pub hash: Vec<u8>,
    /// Milliseconds since 1970.
    pub created_ms: i64,
}

record!(RegistrationTokenRow, "registration_tokens", name, cluster_id, uuid, hash, created_ms);

/// The name of a token among the secrets of its cluster.
pub fn secret_name(name: &str) -> String {
    format!("registrationToken/{name}")
}

macro_rules! select {
    ($rest:literal) => {
        concat!("select cluster_id, name, uuid, hash, created_ms from registration_tokens ", $rest)
    };
}

/// Adds a token and its encrypted value in one transaction; false if the name exists.
///
/// # Errors
/// [`Error::Dangling`] if the cluster does not exist.
pub async fn insert(
    store: &Store,
    token: &RegistrationTokenRow,
    sealed: &EncryptedColumns,
    audit: &AuditRow,
) -> Result<bool, Error> {
    let sql = "insert into registration_tokens (cluster_id, name, uuid, hash, created_ms)
               values ($1, $2, $3, $4, $5) on conflict (cluster_id, name) do nothing";
    let RegistrationTokenRow { cluster_id, name, uuid, hash, created_ms } = token;
    let mut transaction = store.begin().await?;
    let added = transaction.execute(sql, args![cluster_id, name, uuid, hash, *created_ms]).await;
    let added = added.map_err(|error| error.or_dangling("registration_tokens", cluster_id))? > 0;
    if added {
        let secret = secret_name(name);
        let values = cluster_secrets::column_values(cluster_id, &secret, sealed, *created_ms);
        transaction.execute(cluster_secrets::UPSERT, &values).await?;
        transaction.commit_with_audit(audit).await?;
    }
    Ok(added)
}

/// A token by its name.
pub async fn get(store: &Store, cluster_id: &str, name: &str) -> Result<Option<RegistrationTokenRow>, Error> {
    store.fetch_optional(select!("where cluster_id = $1 and name = $2"), args![cluster_id, name]).await
}

/// The token of any cluster with this hash. The token has 256 random bits, so the timing of an index lookup reveals nothing
/// about other tokens.
pub async fn find(store: &Store, hash: &Vec<u8>) -> Result<Option<RegistrationTokenRow>, Error> {
    store.fetch_optional(select!("where hash = $1"), args![hash]).await
}

/// The hashes of all tokens.
pub async fn hashes(store: &Store) -> Result<Vec<Vec<u8>>, Error> {
    store.fetch_all("select hash from registration_tokens", args![]).await
}

/// The tokens of a cluster, oldest first.
pub async fn list(store: &Store, cluster_id: &str) -> Result<Vec<RegistrationTokenRow>, Error> {
    store.fetch_all(select!("where cluster_id = $1 order by created_ms, name"), args![cluster_id]).await
}

/// Deletes a token and its encrypted value; false if it does not exist.
pub async fn delete(store: &Store, cluster_id: &str, name: &str, audit: &AuditRow) -> Result<bool, Error> {
    let mut transaction = store.begin().await?;
    let delete_token = "delete from registration_tokens where cluster_id = $1 and name = $2";
    let deleted = transaction.execute(delete_token, args![cluster_id, name]).await? > 0;
    if deleted {
        let delete_secret = "delete from cluster_secrets where cluster_id = $1 and name = $2";
        transaction.execute(delete_secret, args![cluster_id, &secret_name(name)]).await?;
        transaction.commit_with_audit(audit).await?;
    }
    Ok(deleted)
}
