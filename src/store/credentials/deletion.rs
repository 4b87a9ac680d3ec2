//! Deleting credentials. One that clusters use is marked as deleted and kept for them; the transaction that ends the last use
//! erases it.
//!
//! Locks on PostgreSQL: rows of clusters come before the row of their credential, so that no two transactions wait for each
//! other. Adding a cluster holds a key-share lock on the credential.

use std::collections::BTreeMap;

use sqlx::{PgConnection, SqliteConnection};

use super::super::events::{INSERT, bind_row};
use super::super::rows::{Columns, Fields};
use super::super::{AuditRow, Error, Kind, Store};
use super::{CredentialRow, row, select};

/// A cluster that uses a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsingCluster {
    /// `c-xxxxx`
    pub id: String,
    /// The name that people see.
    pub name: String,
}

fn using_cluster(row: &impl Columns) -> Result<UsingCluster, Error> {
    let fields = Fields::of(row, "clusters", "id")?;
    Ok(UsingCluster { id: fields.key(), name: fields.text("name")? })
}

/// The effect of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// No cluster used the credential; it is erased.
    Erased,
    /// These clusters use it, oldest first; it is erased after the last of them.
    Pending(Vec<UsingCluster>),
}

/// A credential whose deletion is pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingRow {
    /// The credential.
    pub credential: CredentialRow,
    /// The clusters that use it, oldest first.
    pub clusters: Vec<UsingCluster>,
}

/// A credential that a change of a cluster stops using, and the audit record of its erasure. The record is written only when
/// the credential's deletion is pending and no other cluster uses it.
#[derive(Clone, Debug)]
pub struct Erasure {
    /// `cc-xxxxx`
    pub credential_id: String,
    /// The record of the erasure.
    pub audit: AuditRow,
}

const USING: &str = "select id, name from clusters where credential_id = $1 order by created_ms, id";

/// Deletes a credential: at once when no cluster uses it, otherwise as pending. `None` when there is no such credential, or its
/// deletion is pending already. `audit` makes the record.
///
/// # Errors
/// [`Error::InUse`] when a cluster began to use it meanwhile.
pub async fn delete(
    store: &Store,
    id: &str,
    now_ms: i64,
    audit: impl FnOnce(&Deletion) -> AuditRow,
) -> Result<Option<Deletion>, Error> {
    if id.contains('\0') {
        return Ok(None);
    }
    let lock = match store.kind() {
        Kind::Sqlite => "select id from credentials where id = $1 and deleted_ms is null",
        Kind::Postgres => "select id from credentials where id = $1 and deleted_ms is null for update",
    };
    let mark = "update credentials set deleted_ms = $2, version = version + 1 where id = $1";
    Ok(change!(store, |deletion| &audit(deletion), |transaction| {
        if sqlx::query(lock).bind(id).fetch_optional(&mut *transaction).await?.is_none() {
            None
        } else {
            let clusters = sqlx::query(USING).bind(id).fetch_all(&mut *transaction).await?;
            let clusters = clusters.iter().map(using_cluster).collect::<Result<Vec<_>, Error>>()?;
            if clusters.is_empty() {
                let query = sqlx::query(DELETE).bind(id);
                query.execute(&mut *transaction).await.map_err(|error| in_use(error, id))?;
                Some(Deletion::Erased)
            } else {
                sqlx::query(mark).bind(id).bind(now_ms).execute(&mut *transaction).await?;
                Some(Deletion::Pending(clusters))
            }
        }
    }))
}

const DELETE: &str = "delete from credentials where id = $1";

fn in_use(error: sqlx::Error, id: &str) -> Error {
    match Error::from(error) {
        error if error.is_foreign_key() => Error::InUse { table: "credentials", id: id.to_owned() },
        error => error,
    }
}

/// Erases a credential at once, pending or not, and takes it from the clusters that use it: they have none from then on, and
/// the worker looks at them at `now_ms`. Returns these clusters; `None` when there is no such credential.
///
/// # Errors
/// [`Error::InUse`] when a cluster began to use it meanwhile.
pub async fn erase(
    store: &Store,
    id: &str,
    now_ms: i64,
    audit: impl FnOnce(&[UsingCluster]) -> AuditRow,
) -> Result<Option<Vec<UsingCluster>>, Error> {
    if id.contains('\0') {
        return Ok(None);
    }
    let detach = "update clusters set credential_id = null, version = version + 1, next_run_ms = $2
                  where credential_id = $1 returning id, name";
    Ok(change!(store, |clusters| &audit(clusters), |transaction| {
        let clusters = sqlx::query(detach).bind(id).bind(now_ms).fetch_all(&mut *transaction).await?;
        let clusters = clusters.iter().map(using_cluster).collect::<Result<Vec<_>, Error>>()?;
        let query = sqlx::query(DELETE).bind(id);
        let deleted = query.execute(&mut *transaction).await.map_err(|error| in_use(error, id))?;
        (deleted.rows_affected() > 0).then_some(clusters)
    }))
}

/// The credentials whose deletion is pending, in the order of their deletion.
pub async fn pending(store: &Store) -> Result<Vec<PendingRow>, Error> {
    fn of_credential(row: &impl Columns) -> Result<(String, UsingCluster), Error> {
        let credential_id = Fields::of(row, "clusters", "id")?.text("credential_id")?;
        Ok((credential_id, using_cluster(row)?))
    }
    let credentials = select!("where deleted_ms is not null order by deleted_ms, id");
    let clusters = "select id, name, credential_id from clusters where credential_id in
                    (select id from credentials where deleted_ms is not null) order by created_ms, id";
    let (credentials, clusters) = read!(store, |pool| {
        let credentials = sqlx::query(credentials).fetch_all(pool).await?;
        let clusters = sqlx::query(clusters).fetch_all(pool).await?;
        Ok::<_, Error>((
            credentials.iter().map(row).collect::<Result<Vec<_>, Error>>()?,
            clusters.iter().map(of_credential).collect::<Result<Vec<_>, Error>>()?,
        ))
    })?;
    let mut by_credential = BTreeMap::<String, Vec<UsingCluster>>::new();
    for (credential_id, cluster) in clusters {
        by_credential.entry(credential_id).or_default().push(cluster);
    }
    let with_clusters = |credential: CredentialRow| {
        let clusters = by_credential.remove(&credential.id).unwrap_or_default();
        PendingRow { credential, clusters }
    };
    Ok(credentials.into_iter().map(with_clusters).collect())
}

/// Erases a credential whose deletion is pending if no cluster uses it; false otherwise. For last uses that an older server of a
/// roll-out ended.
pub async fn erase_unused(store: &Store, erasure: &Erasure) -> Result<bool, Error> {
    Ok(transaction!(store, |transaction| transaction.erase_unused(erasure).await?))
}

/// The erasure of credentials as part of the transaction that ends a use.
pub(in super::super) trait EraseUnused {
    /// Erases a credential whose deletion is pending unless a cluster uses it, with its audit record; false when nothing was
    /// erased. To be called after the change of the cluster.
    async fn erase_unused(&mut self, erasure: &Erasure) -> Result<bool, Error>;

    /// Whether clusters may begin to use a credential; keeps it from being erased until the transaction ends.
    async fn is_usable(&mut self, credential_id: &str) -> Result<bool, Error>;
}

macro_rules! erase_unused {
    ($connection:ty, $share:literal, $wait:literal, $lock:literal) => {
        impl EraseUnused for $connection {
            async fn erase_unused(&mut self, erasure: &Erasure) -> Result<bool, Error> {
                let id = &erasure.credential_id;
                // One transaction after the other gets here: the second of two last uses sees that the first has ended. This
                // lock lets others go on to add uses, so that clusters which swap credentials do not wait for each other.
                let wait = concat!("select deleted_ms from credentials where id = $1", $wait);
                let deleted: Option<Option<i64>> =
                    sqlx::query_scalar(wait).bind(id).fetch_optional(&mut *self).await?;
                if deleted.flatten().is_none() {
                    return Ok(false);
                }
                // Uses that were being added before the deletion are committed, or gone, behind this.
                let lock = concat!("select id from credentials where id = $1", $lock);
                sqlx::query(lock).bind(id).fetch_optional(&mut *self).await?;
                let unused = "delete from credentials where id = $1
                              and not exists (select 1 from clusters where credential_id = $1)";
                if sqlx::query(unused).bind(id).execute(&mut *self).await?.rows_affected() == 0 {
                    return Ok(false);
                }
                bind_row(sqlx::query(INSERT), &erasure.audit).execute(&mut *self).await?;
                Ok(true)
            }

            async fn is_usable(&mut self, credential_id: &str) -> Result<bool, Error> {
                let sql = concat!("select id from credentials where id = $1 and deleted_ms is null", $share);
                Ok(sqlx::query(sql).bind(credential_id).fetch_optional(self).await?.is_some())
            }
        }
    };
}

erase_unused!(SqliteConnection, "", "", "");
erase_unused!(PgConnection, " for key share", " for no key update", " for update");
