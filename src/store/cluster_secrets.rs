//! Table `cluster_secrets`: secrets of clusters by name, encrypted. Nothing here can decrypt them.

use super::credentials::EncryptedColumns;
use super::rows::{DbRow, Record};
use super::statement::Value;
use super::{Error, NewClusterEvent, Store};

impl Record for EncryptedColumns {
    fn read(row: DbRow<'_>) -> Result<Self, Error> {
        row.in_table("cluster_secrets", "name").get("secret")
    }
}

/// A secret with its cluster and name.
impl Record for (String, String, EncryptedColumns) {
    fn read(row: DbRow<'_>) -> Result<Self, Error> {
        let row = row.in_table("cluster_secrets", "name");
        Ok((row.get("cluster_id")?, row.get("name")?, row.get("secret")?))
    }
}

/// Adds or replaces a secret, with the values of [`column_values`].
pub(super) const UPSERT: &str = "insert into cluster_secrets
    (cluster_id, name, key_id, wrapped_key, ciphertext, created_ms)
    values ($1, $2, $3, $4, $5, $6)
    on conflict (cluster_id, name) do update set key_id = excluded.key_id,
    wrapped_key = excluded.wrapped_key, ciphertext = excluded.ciphertext, created_ms = excluded.created_ms";

pub(super) fn column_values<'a>(
    cluster_id: &'a str,
    name: &'a str,
    secret: &'a EncryptedColumns,
    now_ms: i64,
) -> [Value<'a>; 6] {
    let EncryptedColumns { key_id, wrapped_key, ciphertext } = secret;
    [cluster_id.into(), name.into(), key_id.into(), wrapped_key.into(), ciphertext.into(), now_ms.into()]
}

/// Adds or replaces a secret of a cluster.
///
/// # Errors
/// [`Error::Dangling`] if the cluster does not exist.
pub async fn put(
    store: &Store,
    cluster_id: &str,
    name: &str,
    secret: &EncryptedColumns,
    now_ms: i64,
) -> Result<(), Error> {
    let result = store.execute(UPSERT, &column_values(cluster_id, name, secret, now_ms)).await;
    result.map(drop).map_err(|error| error.or_dangling("cluster_secrets", cluster_id))
}

/// A secret by its name.
pub async fn get(store: &Store, cluster_id: &str, name: &str) -> Result<Option<EncryptedColumns>, Error> {
    let sql = "select name, key_id, wrapped_key, ciphertext from cluster_secrets where cluster_id = $1 and name = $2";
    store.fetch_optional(sql, args![cluster_id, name]).await
}

/// Deletes a secret and adds an event, both or neither; false if the secret does not exist.
pub async fn delete_with_event(
    store: &Store,
    cluster_id: &str,
    name: &str,
    event: &NewClusterEvent,
) -> Result<bool, Error> {
    let sql = "delete from cluster_secrets where cluster_id = $1 and name = $2";
    let mut transaction = store.begin().await?;
    transaction.lock_cluster(cluster_id).await?;
    let deleted = transaction.execute(sql, args![cluster_id, name]).await? > 0;
    if deleted {
        transaction.add_cluster_events(cluster_id, std::slice::from_ref(event)).await?;
        transaction.commit().await?;
    }
    Ok(deleted)
}

/// The IDs of the encryption keys that secrets of clusters need, sorted.
pub async fn key_ids(store: &Store) -> Result<Vec<String>, Error> {
    store.fetch_all("select distinct key_id from cluster_secrets order by key_id", args![]).await
}

/// Up to `limit` secrets that are encrypted with `key_id`: cluster, name and columns.
pub async fn sealed_by(
    store: &Store,
    key_id: &str,
    limit: u32,
) -> Result<Vec<(String, String, EncryptedColumns)>, Error> {
    let sql = "select cluster_id, name, key_id, wrapped_key, ciphertext from cluster_secrets
               where key_id = $1 order by cluster_id, name limit $2";
    store.fetch_all(sql, args![key_id, limit]).await
}

/// Up to `limit` secrets that are encrypted with a key other than `key_id`: cluster, name and columns, after the cluster and
/// name `after`.
pub async fn sealed_by_others(
    store: &Store,
    key_id: &str,
    after: (&str, &str),
    limit: u32,
) -> Result<Vec<(String, String, EncryptedColumns)>, Error> {
    let sql = "select cluster_id, name, key_id, wrapped_key, ciphertext from cluster_secrets
               where key_id <> $1 and (cluster_id > $2 or (cluster_id = $2 and name > $3))
               order by cluster_id, name limit $4";
    store.fetch_all(sql, args![key_id, after.0, after.1, limit]).await
}

/// Replaces the wrapped data key of a secret; false, without a change, if the key is no longer that of `old`.
pub async fn rewrap(
    store: &Store,
    cluster_id: &str,
    name: &str,
    old: &EncryptedColumns,
    new: &EncryptedColumns,
) -> Result<bool, Error> {
    let sql = "update cluster_secrets set key_id = $4, wrapped_key = $5
               where cluster_id = $1 and name = $2 and wrapped_key = $3";
    let values = args![cluster_id, name, &old.wrapped_key, &new.key_id, &new.wrapped_key];
    Ok(store.execute(sql, values).await? > 0)
}
