//! Table `credentials`: stored cloud credentials with their encrypted secrets, which this module cannot decrypt. Deletion is in
//! `deletion`.

use std::collections::BTreeMap;
use std::fmt;

use super::rows::{DbRow, Field, Record, TableRow};
use super::{AuditRow, Error, Store};

mod deletion;

pub use deletion::{Deletion, Erasure, PendingRow, UsingCluster, delete, erase, erase_unused, pending};

/// A cloud credential of Azure. A field that the user has not set is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialRow {
    /// `cc-xxxxx`, without the namespace, which is always [`aks::ids::CREDENTIAL_NAMESPACE`].
    pub id: String,
    /// A UUID that is never reused.
    pub uuid: String,
    /// The ID of the owner.
    pub owner: String,
    /// The display name; need not be unique.
    pub name: String,
    /// The description.
    pub description: Option<String>,
    /// The user's labels and `cattle.io/creator`.
    pub labels: BTreeMap<String, String>,
    /// The user's annotations.
    pub annotations: BTreeMap<String, String>,
    /// The Entra tenant.
    pub tenant_id: Option<String>,
    /// The Azure subscription.
    pub subscription_id: Option<String>,
    /// The ID of the application (service principal).
    pub client_id: Option<String>,
    /// `AzurePublicCloud` and so on, as the user wrote it.
    pub environment: Option<String>,
    /// The encrypted client secret, if set.
    pub secret: Option<EncryptedColumns>,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// Milliseconds since 1970.
    pub updated_ms: i64,
    /// When its deletion was accepted while clusters used it, in milliseconds since 1970. After that, only these clusters may use
    /// it.
    pub deleted_ms: Option<i64>,
    /// Increases by one with every change; starts at 1.
    pub version: i64,
}

/// An encrypted secret, in three columns. `service::secrets` encrypts and decrypts it.
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptedColumns {
    /// The encryption key that wraps the data key.
    pub key_id: String,
    /// The wrapped data key.
    pub wrapped_key: Vec<u8>,
    /// The secret, encrypted with the data key.
    pub ciphertext: Vec<u8>,
}

impl fmt::Debug for EncryptedColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedColumns").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

record!(
    CredentialRow,
    "credentials",
    id,
    uuid,
    owner,
    name,
    description,
    labels,
    annotations,
    tenant_id,
    subscription_id,
    client_id,
    environment,
    secret,
    created_ms,
    updated_ms,
    deleted_ms,
    version,
);

part_of_record!(EncryptedColumns, key_id, wrapped_key, ciphertext);

impl Field for Option<EncryptedColumns> {
    fn read(row: TableRow<'_>, column: &'static str) -> Result<Self, Error> {
        let key_id: Option<String> = row.get("key_id")?;
        key_id.map(|_| row.get(column)).transpose()
    }
}

/// A secret with the ID and the version of its credential.
impl Record for (String, i64, EncryptedColumns) {
    fn read(row: DbRow<'_>) -> Result<Self, Error> {
        let row = row.in_table("credentials", "id");
        Ok((row.get("id")?, row.get("version")?, row.get("secret")?))
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, uuid, owner, name, description, labels, annotations, tenant_id, subscription_id, client_id, ",
            "environment, key_id, wrapped_key, ciphertext, created_ms, updated_ms, deleted_ms, version from credentials ",
            $rest
        )
    };
}

use select;

/// Adds a credential.
///
/// # Errors
/// [`Error::Duplicate`] if the ID is taken; [`Error::NoOwner`] if the owner is disabled or was deleted.
pub async fn insert(store: &Store, credential: &CredentialRow, audit: &AuditRow) -> Result<(), Error> {
    let sql = "insert into credentials (id, uuid, owner, name, description, labels, annotations, tenant_id,
               subscription_id, client_id, environment, key_id, wrapped_key, ciphertext, created_ms, updated_ms, version)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
    let secret = credential.secret.as_ref();
    let values = args![
        &credential.id,
        &credential.uuid,
        &credential.owner,
        &credential.name,
        &credential.description,
        &credential.labels,
        &credential.annotations,
        &credential.tenant_id,
        &credential.subscription_id,
        &credential.client_id,
        &credential.environment,
        secret.map(|sealed| sealed.key_id.as_str()),
        secret.map(|sealed| sealed.wrapped_key.as_slice()),
        secret.map(|sealed| sealed.ciphertext.as_slice()),
        credential.created_ms,
        credential.updated_ms,
        credential.version,
    ];
    let mut transaction = store.begin().await?;
    transaction.check_owner(&credential.owner).await?;
    transaction.execute(sql, values).await?;
    transaction.commit_with_audit(audit).await
}

/// A credential by its ID (without namespace), even if its deletion is pending.
pub async fn get(store: &Store, id: &str) -> Result<Option<CredentialRow>, Error> {
    store.fetch_optional(select!("where id = $1"), args![id]).await
}

/// All credentials, or those of one owner (a user ID), without those whose deletion is pending; oldest first.
pub async fn list(store: &Store, owner: Option<&str>) -> Result<Vec<CredentialRow>, Error> {
    let sql = select!(
        "where deleted_ms is null and (cast($1 as text) is null or owner = $1) order by created_ms, id"
    );
    store.fetch_all(sql, args![owner]).await
}

/// Replaces a row that was read at version `credential.version` (ID, UUID, owner and creation time are unchanged); returns its
/// new version. With `only_unused`, fails while a cluster uses the credential.
///
/// # Errors
/// [`Error::Conflict`] if the stored version differs or the row was deleted; [`Error::InUse`] if a cluster uses it.
pub async fn update(
    store: &Store,
    credential: &CredentialRow,
    only_unused: bool,
    audit: &AuditRow,
) -> Result<i64, Error> {
    let id = &credential.id;
    let mut transaction = store.begin().await?;
    if only_unused {
        // A transaction that adds a cluster holds a weaker lock on its credential: the later of the two waits for the earlier.
        let lock = locking!("select id from credentials where id = $1", " for update");
        transaction.lock_row::<String>(lock, id).await?;
        if transaction.exists("select id from clusters where credential_id = $1 limit 1", args![id]).await? {
            return Err(Error::InUse { table: "credentials", id: id.clone() });
        }
    }
    let sql =
        "update credentials set name = $3, description = $4, labels = $5, annotations = $6, tenant_id = $7,
               subscription_id = $8, client_id = $9, environment = $10, key_id = $11, wrapped_key = $12,
               ciphertext = $13, updated_ms = $14, version = version + 1
               where id = $1 and version = $2";
    let secret = credential.secret.as_ref();
    let values = args![
        id,
        credential.version,
        &credential.name,
        &credential.description,
        &credential.labels,
        &credential.annotations,
        &credential.tenant_id,
        &credential.subscription_id,
        &credential.client_id,
        &credential.environment,
        secret.map(|sealed| sealed.key_id.as_str()),
        secret.map(|sealed| sealed.wrapped_key.as_slice()),
        secret.map(|sealed| sealed.ciphertext.as_slice()),
        credential.updated_ms,
    ];
    if transaction.execute(sql, values).await? == 0 {
        return Err(Error::Conflict { table: "credentials", id: id.clone() });
    }
    transaction.commit_with_audit(audit).await?;
    Ok(credential.version + 1)
}

/// The IDs of the encryption keys that stored secrets need, sorted.
pub async fn key_ids(store: &Store) -> Result<Vec<String>, Error> {
    let sql = "select distinct key_id from credentials where key_id is not null order by key_id";
    store.fetch_all(sql, args![]).await
}

/// Up to `limit` secrets that are encrypted with `key_id`: ID, version and columns.
pub async fn sealed_by(
    store: &Store,
    key_id: &str,
    limit: u32,
) -> Result<Vec<(String, i64, EncryptedColumns)>, Error> {
    let sql = "select id, version, key_id, wrapped_key, ciphertext from credentials
               where key_id = $1 order by id limit $2";
    store.fetch_all(sql, args![key_id, limit]).await
}

/// Up to `limit` secrets that are encrypted with a key other than `key_id`, after the ID `after` (`""` for the first): ID,
/// version and columns, by ID.
pub async fn sealed_by_others(
    store: &Store,
    key_id: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<(String, i64, EncryptedColumns)>, Error> {
    let sql = "select id, version, key_id, wrapped_key, ciphertext from credentials
               where key_id is not null and key_id <> $1 and id > $2 order by id limit $3";
    store.fetch_all(sql, args![key_id, after, limit]).await
}

/// Replaces only the encrypted columns of a row that was read at `version`, and increases the version, so that an update based
/// on the old row cannot restore the old key; false if the stored version differs.
pub async fn rewrap(store: &Store, id: &str, version: i64, sealed: &EncryptedColumns) -> Result<bool, Error> {
    let sql = "update credentials set key_id = $3, wrapped_key = $4, ciphertext = $5, version = version + 1
               where id = $1 and version = $2";
    let EncryptedColumns { key_id, wrapped_key, ciphertext } = sealed;
    Ok(store.execute(sql, args![id, version, key_id, wrapped_key, ciphertext]).await? > 0)
}
