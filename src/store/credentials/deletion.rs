//! Deletes credentials. A credential that clusters use is only marked as deleted; the transaction that ends its last use erases
//! it.
//!
//! Lock order on PostgreSQL: rows of clusters before the row of their credential, to prevent deadlocks. A transaction that adds
//! a cluster holds a key-share lock on the credential.

use std::collections::BTreeMap;

use super::{CredentialRow, select};
use crate::store::rows::{DbRow, Record};
use crate::store::transaction::Transaction;
use crate::store::{AuditRow, Error, Store};

/// A cluster that uses a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsingCluster {
    /// `c-xxxxx`
    pub id: String,
    /// The display name.
    pub name: String,
}

record!(UsingCluster, "clusters", id, name);

/// A cluster with the credential that it uses.
impl Record for (String, UsingCluster) {
    fn read(row: DbRow<'_>) -> Result<Self, Error> {
        Ok((row.in_table("clusters", "id").get("credential_id")?, UsingCluster::read(row)?))
    }
}

/// The result of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// No cluster used the credential; it is erased.
    Erased,
    /// These clusters use it, oldest first; it is erased after its last use.
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

/// A credential that a cluster no longer uses, and the audit record of its erasure. The credential is erased, and the record
/// written, only if its deletion is pending and no other cluster uses it.
#[derive(Clone, Debug)]
pub struct Erasure {
    /// `cc-xxxxx`
    pub credential_id: String,
    /// The record of the erasure.
    pub audit: AuditRow,
}

const USING: &str = "select id, name from clusters where credential_id = $1 order by created_ms, id";

const DELETE: &str = "delete from credentials where id = $1";

/// Deletes a credential: immediately if no cluster uses it, otherwise its deletion is pending. `None` if it does not exist or
/// its deletion is already pending. `audit` returns the audit record.
///
/// # Errors
/// [`Error::InUse`] if a cluster starts to use it concurrently.
pub async fn delete(
    store: &Store,
    id: &str,
    now_ms: i64,
    audit: impl FnOnce(&Deletion) -> AuditRow,
) -> Result<Option<Deletion>, Error> {
    let mut transaction = store.begin().await?;
    let lock = locking!("select id from credentials where id = $1 and deleted_ms is null", " for update");
    if transaction.lock_row::<String>(lock, id).await?.is_none() {
        return Ok(None);
    }
    let clusters: Vec<UsingCluster> = transaction.fetch_all(USING, args![id]).await?;
    let deletion = if clusters.is_empty() {
        let deleted = transaction.execute(DELETE, args![id]).await;
        deleted.map_err(|error| error.or_in_use("credentials", id))?;
        Deletion::Erased
    } else {
        let set_deleted = "update credentials set deleted_ms = $2, version = version + 1 where id = $1";
        transaction.execute(set_deleted, args![id, now_ms]).await?;
        Deletion::Pending(clusters)
    };
    transaction.commit_with_audit(&audit(&deletion)).await?;
    Ok(Some(deletion))
}

/// Erases a credential immediately, even if its deletion is pending. The clusters that use it then have no credential, and the
/// worker processes them immediately, or again after a running step. Returns these clusters; `None` if the credential does not
/// exist.
///
/// # Errors
/// [`Error::InUse`] if a cluster starts to use it concurrently.
pub async fn erase(
    store: &Store,
    id: &str,
    audit: impl FnOnce(&[UsingCluster]) -> AuditRow,
) -> Result<Option<Vec<UsingCluster>>, Error> {
    if id.contains('\0') {
        return Ok(None);
    }
    // A worker that is processing a cluster does not overwrite a next run of 0; see `clusters::wake`.
    let detach = "update clusters set credential_id = null, version = version + 1, next_run_ms = 0
                  where credential_id = $1 returning id, name";
    let mut transaction = store.begin().await?;
    let clusters: Vec<UsingCluster> = transaction.fetch_all(detach, args![id]).await?;
    let deleted = transaction.execute(DELETE, args![id]).await;
    if deleted.map_err(|error| error.or_in_use("credentials", id))? == 0 {
        return Ok(None);
    }
    transaction.commit_with_audit(&audit(&clusters)).await?;
    Ok(Some(clusters))
}

/// The credentials whose deletion is pending, by time of deletion.
pub async fn pending(store: &Store) -> Result<Vec<PendingRow>, Error> {
    let credentials: Vec<CredentialRow> =
        store.fetch_all(select!("where deleted_ms is not null order by deleted_ms, id"), args![]).await?;
    let clusters = "select id, name, credential_id from clusters where credential_id in
                    (select id from credentials where deleted_ms is not null) order by created_ms, id";
    let mut by_credential = BTreeMap::<String, Vec<UsingCluster>>::new();
    for (credential_id, cluster) in store.fetch_all(clusters, args![]).await? {
        by_credential.entry(credential_id).or_default().push(cluster);
    }
    let with_clusters = |credential: CredentialRow| {
        let clusters = by_credential.remove(&credential.id).unwrap_or_default();
        PendingRow { credential, clusters }
    };
    Ok(credentials.into_iter().map(with_clusters).collect())
}

/// Erases a credential whose deletion is pending if no cluster uses it; false otherwise. Needed after the last use was ended by
/// an older server during a rolling update.
pub async fn erase_unused(store: &Store, erasure: &Erasure) -> Result<bool, Error> {
    let mut transaction = store.begin().await?;
    let erased = transaction.erase_unused(erasure).await?;
    transaction.commit().await?;
    Ok(erased)
}

/// Erases credentials in the transaction that ends their use.
impl Transaction<'_> {
    /// Erases a credential whose deletion is pending, with its audit record, unless a cluster uses it; false if nothing was
    /// erased. Must be called after the change of the cluster.
    pub(in crate::store) async fn erase_unused(&mut self, erasure: &Erasure) -> Result<bool, Error> {
        let id = &erasure.credential_id;
        // Only one transaction at a time passes this lock: if two of them end the last two uses, the second sees that the first
        // use has ended. The lock does not block transactions that add uses, so clusters that swap credentials do not wait for
        // each other.
        let lock_erasures =
            locking!("select deleted_ms from credentials where id = $1", " for no key update");
        if self.lock_row::<Option<i64>>(lock_erasures, id).await?.flatten().is_none() {
            return Ok(false);
        }
        // After this lock, uses that were being added before the deletion are committed or rolled back.
        let lock_uses = locking!("select id from credentials where id = $1", " for update");
        self.lock_row::<String>(lock_uses, id).await?;
        let delete_unused = "delete from credentials where id = $1
                      and not exists (select 1 from clusters where credential_id = $1)";
        if self.execute(delete_unused, args![id]).await? == 0 {
            return Ok(false);
        }
        self.add_audit_record(&erasure.audit).await?;
        Ok(true)
    }

    /// Whether clusters may start to use a credential; prevents its erasure until the transaction ends.
    pub(in crate::store) async fn is_credential_usable(
        &mut self,
        credential_id: &str,
    ) -> Result<bool, Error> {
        let sql =
            locking!("select id from credentials where id = $1 and deleted_ms is null", " for key share");
        Ok(self.lock_row::<String>(sql, credential_id).await?.is_some())
    }
}
