//! Table `credentials`: stored cloud credentials. Their secret is stored sealed; nothing here can open it. Deleting them is in
//! `deletion`.

use std::collections::BTreeMap;
use std::fmt;

use super::rows::{Columns, Fields, json_text, without_nul};
use super::users::UserRules as _;
use super::{AuditRow, Error, Kind, Store};

mod deletion;

pub(super) use deletion::EraseUnused;
pub use deletion::{Deletion, Erasure, PendingRow, UsingCluster, delete, erase, erase_unused, pending};

/// A cloud credential of Azure. A field that the user did not give is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRow {
    /// `cc-xxxxx`, without the namespace, which is always [`aks::ids::CREDENTIAL_NAMESPACE`].
    pub id: String,
    /// Never given to another object.
    pub uuid: String,
    /// The id of the user who made it.
    pub owner: String,
    /// The name that people see; need not be the only one.
    pub name: String,
    /// Words about it.
    pub description: Option<String>,
    /// The user's labels and `cattle.io/creator`.
    pub labels: BTreeMap<String, String>,
    /// The user's annotations.
    pub annotations: BTreeMap<String, String>,
    /// The Entra tenant.
    pub tenant_id: Option<String>,
    /// The Azure subscription.
    pub subscription_id: Option<String>,
    /// The application (service principal).
    pub client_id: Option<String>,
    /// `AzurePublicCloud` and so on, as given.
    pub environment: Option<String>,
    /// The sealed client secret; `None` when none was given.
    pub secret: Option<SealedColumns>,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// Milliseconds since 1970.
    pub updated_ms: i64,
    /// When its deletion was accepted while clusters use it, in milliseconds since 1970. From then on only these clusters may
    /// use it.
    pub deleted_ms: Option<i64>,
    /// Grows by one with every change; a new row has 1.
    pub version: i64,
}

/// A sealed secret as it lies in three columns. `service::secrets` makes and opens them.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedColumns {
    /// The encryption key that wraps the data key.
    pub key_id: String,
    /// The wrapped data key.
    pub wrapped_key: Vec<u8>,
    /// The secret under the data key.
    pub ciphertext: Vec<u8>,
}

impl fmt::Debug for SealedColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedColumns").field("key_id", &self.key_id).finish_non_exhaustive()
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

fn row(row: &impl Columns) -> Result<CredentialRow, Error> {
    let fields = Fields::of(row, "credentials", "id")?;
    Ok(CredentialRow {
        id: fields.key(),
        uuid: fields.text("uuid")?,
        owner: fields.text("owner")?,
        name: fields.text("name")?,
        description: fields.text_opt("description")?,
        labels: fields.json("labels")?,
        annotations: fields.json("annotations")?,
        tenant_id: fields.text_opt("tenant_id")?,
        subscription_id: fields.text_opt("subscription_id")?,
        client_id: fields.text_opt("client_id")?,
        environment: fields.text_opt("environment")?,
        secret: sealed(&fields)?,
        created_ms: fields.number("created_ms")?,
        updated_ms: fields.number("updated_ms")?,
        deleted_ms: fields.number_opt("deleted_ms")?,
        version: fields.number("version")?,
    })
}

fn sealed<R: Columns>(fields: &Fields<'_, R>) -> Result<Option<SealedColumns>, Error> {
    let Some(key_id) = fields.text_opt("key_id")? else { return Ok(None) };
    let wrapped_key = fields.bytes("wrapped_key")?;
    Ok(Some(SealedColumns { key_id, wrapped_key, ciphertext: fields.bytes("ciphertext")? }))
}

fn check(credential: &CredentialRow) -> Result<(), Error> {
    without_nul([
        ("id", Some(credential.id.as_str())),
        ("uuid", Some(credential.uuid.as_str())),
        ("owner", Some(credential.owner.as_str())),
        ("name", Some(credential.name.as_str())),
        ("description", credential.description.as_deref()),
        ("tenant_id", credential.tenant_id.as_deref()),
        ("subscription_id", credential.subscription_id.as_deref()),
        ("client_id", credential.client_id.as_deref()),
        ("environment", credential.environment.as_deref()),
    ])
}

/// Binds every column in the order of `$1` to `$17`.
macro_rules! bind_all {
    ($sql:expr, $credential:expr) => {{
        let credential = $credential;
        let secret = credential.secret.as_ref();
        sqlx::query($sql)
            .bind(&credential.id)
            .bind(&credential.uuid)
            .bind(&credential.owner)
            .bind(&credential.name)
            .bind(&credential.description)
            .bind(json_text(&credential.labels))
            .bind(json_text(&credential.annotations))
            .bind(&credential.tenant_id)
            .bind(&credential.subscription_id)
            .bind(&credential.client_id)
            .bind(&credential.environment)
            .bind(secret.map(|sealed| sealed.key_id.as_str()))
            .bind(secret.map(|sealed| sealed.wrapped_key.as_slice()))
            .bind(secret.map(|sealed| sealed.ciphertext.as_slice()))
            .bind(credential.created_ms)
            .bind(credential.updated_ms)
            .bind(credential.version)
    }};
}

/// Adds a credential.
///
/// # Errors
/// [`Error::Duplicate`] when the id is taken, [`Error::NoOwner`] when the owner is disabled or removed.
pub async fn insert(store: &Store, credential: &CredentialRow, audit: &AuditRow) -> Result<(), Error> {
    check(credential)?;
    let sql = "insert into credentials (id, uuid, owner, name, description, labels, annotations, tenant_id,
               subscription_id, client_id, environment, key_id, wrapped_key, ciphertext, created_ms, updated_ms, version)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
    change!(store, audit, |transaction| {
        transaction.check_owner(&credential.owner).await?;
        Some(bind_all!(sql, credential).execute(&mut *transaction).await?.rows_affected())
    });
    Ok(())
}

/// The credential of that id (without namespace), also one whose deletion is pending.
pub async fn get(store: &Store, id: &str) -> Result<Option<CredentialRow>, Error> {
    if id.contains('\0') {
        return Ok(None);
    }
    let sql = select!("where id = $1");
    read!(store, |pool| sqlx::query(sql).bind(id).fetch_optional(pool).await?.as_ref().map(row).transpose())
}

/// All credentials but those whose deletion is pending, or those of one owner (a user id), oldest first.
pub async fn list(store: &Store, owner: Option<&str>) -> Result<Vec<CredentialRow>, Error> {
    without_nul([("owner", owner)])?;
    let sql = select!(
        "where deleted_ms is null and (cast($1 as text) is null or owner = $1) order by created_ms, id"
    );
    read!(store, |pool| sqlx::query(sql).bind(owner).fetch_all(pool).await?.iter().map(row).collect())
}

/// Replaces a row that was read as `credential.version` (id, uuid, owner and date of making stay); returns its new
/// version. `only_unused` refuses the change while a cluster uses the credential.
///
/// # Errors
/// [`Error::Conflict`] when the stored version is another one or the row is gone, [`Error::InUse`] as `only_unused` says.
pub async fn update(
    store: &Store,
    credential: &CredentialRow,
    only_unused: bool,
    audit: &AuditRow,
) -> Result<i64, Error> {
    check(credential)?;
    let secret = credential.secret.as_ref();
    let sql =
        "update credentials set name = $3, description = $4, labels = $5, annotations = $6, tenant_id = $7,
               subscription_id = $8, client_id = $9, environment = $10, key_id = $11, wrapped_key = $12,
               ciphertext = $13, updated_ms = $14, version = version + 1
               where id = $1 and version = $2";
    // A cluster that is being made holds a weaker lock on its credential: this one waits for it, and it for this one.
    let lock = match store.kind() {
        Kind::Sqlite => "select id from credentials where id = $1",
        Kind::Postgres => "select id from credentials where id = $1 for update",
    };
    let in_use = "select exists (select 1 from clusters where credential_id = $1)";
    change!(store, audit, |transaction| {
        if only_unused {
            sqlx::query(lock).bind(&credential.id).fetch_optional(&mut *transaction).await?;
            let used: bool =
                sqlx::query_scalar(in_use).bind(&credential.id).fetch_one(&mut *transaction).await?;
            if used {
                return Err(Error::InUse { table: "credentials", id: credential.id.clone() });
            }
        }
        let changed = sqlx::query(sql)
            .bind(&credential.id)
            .bind(credential.version)
            .bind(&credential.name)
            .bind(&credential.description)
            .bind(json_text(&credential.labels))
            .bind(json_text(&credential.annotations))
            .bind(&credential.tenant_id)
            .bind(&credential.subscription_id)
            .bind(&credential.client_id)
            .bind(&credential.environment)
            .bind(secret.map(|sealed| sealed.key_id.as_str()))
            .bind(secret.map(|sealed| sealed.wrapped_key.as_slice()))
            .bind(secret.map(|sealed| sealed.ciphertext.as_slice()))
            .bind(credential.updated_ms)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        (changed > 0).then_some(())
    })
    .map(|()| credential.version + 1)
    .ok_or_else(|| Error::Conflict { table: "credentials", id: credential.id.clone() })
}

/// The encryption keys that stored secrets need, sorted.
pub async fn key_ids(store: &Store) -> Result<Vec<String>, Error> {
    let sql = "select distinct key_id from credentials where key_id is not null order by key_id";
    Ok(read!(store, |pool| sqlx::query_scalar(sql).fetch_all(pool).await?))
}

/// Up to `limit` secrets that are wrapped by `key_id`, as id and sealed columns.
pub async fn sealed_by(
    store: &Store,
    key_id: &str,
    limit: u32,
) -> Result<Vec<(String, SealedColumns)>, Error> {
    fn read_sealed(row: &impl Columns) -> Result<Option<(String, SealedColumns)>, Error> {
        let fields = Fields::of(row, "credentials", "id")?;
        Ok(sealed(&fields)?.map(|sealed| (fields.key(), sealed)))
    }
    let sql = "select id, key_id, wrapped_key, ciphertext from credentials
               where key_id = $1 order by id limit $2";
    read!(store, |pool| sqlx::query(sql)
        .bind(key_id)
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?
        .iter()
        .filter_map(|row| read_sealed(row).transpose())
        .collect())
}

/// Up to `limit` secrets that are wrapped by another key than `key_id`: id, version, sealed columns. They begin after
/// the id `after` (`""` for the first), in the order of ids.
pub async fn sealed_by_others(
    store: &Store,
    key_id: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<(String, i64, SealedColumns)>, Error> {
    fn read_sealed(row: &impl Columns) -> Result<Option<(String, i64, SealedColumns)>, Error> {
        let fields = Fields::of(row, "credentials", "id")?;
        let version = fields.number("version")?;
        Ok(sealed(&fields)?.map(|sealed| (fields.key(), version, sealed)))
    }
    let sql = "select id, version, key_id, wrapped_key, ciphertext from credentials
               where key_id is not null and key_id <> $1 and id > $2 order by id limit $3";
    read!(store, |pool| sqlx::query(sql)
        .bind(key_id)
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?
        .iter()
        .filter_map(|row| read_sealed(row).transpose())
        .collect())
}

/// Replaces only the sealed columns of a row that was read as `version`, and counts the version up, so that a change
/// made from the old row cannot bring the old wrapping back; false when the row is another one by now.
pub async fn rewrap(store: &Store, id: &str, version: i64, sealed: &SealedColumns) -> Result<bool, Error> {
    let sql = "update credentials set key_id = $3, wrapped_key = $4, ciphertext = $5, version = version + 1
               where id = $1 and version = $2";
    Ok(write!(store, |pool| sqlx::query(sql)
        .bind(id)
        .bind(version)
        .bind(&sealed.key_id)
        .bind(&sealed.wrapped_key)
        .bind(&sealed.ciphertext)
        .execute(pool)
        .await?
        .rows_affected())
        > 0)
}
