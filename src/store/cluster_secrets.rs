//! Table `cluster_secrets`: what is secret about a cluster, by name. It lies here sealed; nothing here can open it.

use super::cluster_events::add;
use super::credentials::SealedColumns;
use super::rows::{Columns, Fields, without_nul};
use super::{Error, NewClusterEvent, Store};

fn sealed(row: &impl Columns) -> Result<SealedColumns, Error> {
    let fields = Fields::of(row, "cluster_secrets", "name")?;
    Ok(SealedColumns {
        key_id: fields.text("key_id")?,
        wrapped_key: fields.bytes("wrapped_key")?,
        ciphertext: fields.bytes("ciphertext")?,
    })
}

/// Puts a secret: cluster, name, the sealed columns, the moment.
pub(super) const PUT: &str = "insert into cluster_secrets
    (cluster_id, name, key_id, wrapped_key, ciphertext, created_ms)
    values ($1, $2, $3, $4, $5, $6)
    on conflict (cluster_id, name) do update set key_id = excluded.key_id,
    wrapped_key = excluded.wrapped_key, ciphertext = excluded.ciphertext, created_ms = excluded.created_ms";

/// Puts a secret of a cluster, in place of one of that name.
///
/// # Errors
/// [`Error::Dangling`] when there is no such cluster.
pub async fn put(
    store: &Store,
    cluster_id: &str,
    name: &str,
    secret: &SealedColumns,
    now_ms: i64,
) -> Result<(), Error> {
    without_nul([("cluster_id", Some(cluster_id)), ("name", Some(name))])?;
    let outcome = write!(store, |pool| sqlx::query(PUT)
        .bind(cluster_id)
        .bind(name)
        .bind(&secret.key_id)
        .bind(&secret.wrapped_key)
        .bind(&secret.ciphertext)
        .bind(now_ms)
        .execute(pool)
        .await
        .map(drop));
    outcome.map_err(|error| {
        let error = Error::from(error);
        if error.is_foreign_key() {
            return Error::Dangling { table: "cluster_secrets", id: cluster_id.to_owned() };
        }
        error
    })
}

/// The secret of that name.
pub async fn get(store: &Store, cluster_id: &str, name: &str) -> Result<Option<SealedColumns>, Error> {
    if cluster_id.contains('\0') || name.contains('\0') {
        return Ok(None);
    }
    let sql = "select name, key_id, wrapped_key, ciphertext from cluster_secrets where cluster_id = $1 and name = $2";
    read!(store, |pool| sqlx::query(sql)
        .bind(cluster_id)
        .bind(name)
        .fetch_optional(pool)
        .await?
        .as_ref()
        .map(sealed)
        .transpose())
}

/// Removes a secret; false when there was none of that name.
pub async fn delete(store: &Store, cluster_id: &str, name: &str) -> Result<bool, Error> {
    if cluster_id.contains('\0') || name.contains('\0') {
        return Ok(false);
    }
    let sql = "delete from cluster_secrets where cluster_id = $1 and name = $2";
    Ok(write!(store, |pool| sqlx::query(sql)
        .bind(cluster_id)
        .bind(name)
        .execute(pool)
        .await?
        .rows_affected())
        > 0)
}

/// Removes a secret and adds what happened, both or neither; false when there was none of that name.
pub async fn delete_with_event(
    store: &Store,
    cluster_id: &str,
    name: &str,
    event: &NewClusterEvent,
) -> Result<bool, Error> {
    if cluster_id.contains('\0') || name.contains('\0') {
        return Ok(false);
    }
    // Events are added only by those who hold the cluster's row.
    let hold = "update clusters set version = version where id = $1";
    let sql = "delete from cluster_secrets where cluster_id = $1 and name = $2";
    write!(store, |pool| {
        let mut transaction = pool.begin().await?;
        sqlx::query(hold).bind(cluster_id).execute(&mut *transaction).await?;
        let gone =
            sqlx::query(sql).bind(cluster_id).bind(name).execute(&mut *transaction).await?.rows_affected()
                > 0;
        if gone {
            add!(transaction, cluster_id, std::slice::from_ref(event));
        }
        transaction.commit().await?;
        Ok(gone)
    })
}

/// The encryption keys that stored secrets of clusters need, in order.
pub async fn key_ids(store: &Store) -> Result<Vec<String>, Error> {
    let sql = "select distinct key_id from cluster_secrets order by key_id";
    read!(store, |pool| Ok(sqlx::query_scalar(sql).fetch_all(pool).await?))
}

/// Up to `limit` secrets that are under `key_id`, as cluster, name and columns.
pub async fn sealed_by(
    store: &Store,
    key_id: &str,
    limit: u32,
) -> Result<Vec<(String, String, SealedColumns)>, Error> {
    let sql = "select cluster_id, name, key_id, wrapped_key, ciphertext from cluster_secrets
               where key_id = $1 order by cluster_id, name limit $2";
    read!(store, |pool| sqlx::query(sql)
        .bind(key_id)
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?
        .iter()
        .map(placed)
        .collect())
}

/// A secret with its cluster and name.
fn placed(row: &impl Columns) -> Result<(String, String, SealedColumns), Error> {
    let fields = Fields::of(row, "cluster_secrets", "name")?;
    Ok((fields.text("cluster_id")?, fields.key(), sealed(row)?))
}

/// Up to `limit` secrets that are not under `key_id`, as cluster, name and columns, behind `after` (cluster and name).
pub async fn not_under(
    store: &Store,
    key_id: &str,
    after: (&str, &str),
    limit: u32,
) -> Result<Vec<(String, String, SealedColumns)>, Error> {
    let sql = "select cluster_id, name, key_id, wrapped_key, ciphertext from cluster_secrets
               where key_id <> $1 and (cluster_id > $2 or (cluster_id = $2 and name > $3))
               order by cluster_id, name limit $4";
    read!(store, |pool| sqlx::query(sql)
        .bind(key_id)
        .bind(after.0)
        .bind(after.1)
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?
        .iter()
        .map(placed)
        .collect())
}

/// Puts the data key of a secret under another key, unless it changed since it was read; false then.
pub async fn rewrap(
    store: &Store,
    cluster_id: &str,
    name: &str,
    old: &SealedColumns,
    new: &SealedColumns,
) -> Result<bool, Error> {
    let sql = "update cluster_secrets set key_id = $4, wrapped_key = $5
               where cluster_id = $1 and name = $2 and wrapped_key = $3";
    Ok(write!(store, |pool| sqlx::query(sql)
        .bind(cluster_id)
        .bind(name)
        .bind(&old.wrapped_key)
        .bind(&new.key_id)
        .bind(&new.wrapped_key)
        .execute(pool)
        .await?
        .rows_affected())
        > 0)
}
