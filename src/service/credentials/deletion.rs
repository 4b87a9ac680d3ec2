//! Deletes credentials. As in Rancher, a user may delete a credential that clusters use; Terraform does so before it assigns
//! another credential to the clusters. Callers no longer see the credential, but its clusters continue to use it. The
//! transaction that ends its last use, because a cluster is deleted or gets another credential, also erases the credential.

use super::id::full_id;
use super::{Credential, Credentials, MAX_ATTEMPTS, OBJECT_TYPE, from_store_error};
use crate::service::actor::Actor;
use crate::service::audit::Action;
use crate::service::error::AdministratorTask;
use crate::service::{Caller, Error, Result, name_list};
pub use crate::store::credentials::UsingCluster as ClusterName;
use crate::store::credentials::{Deletion, Erasure};
use crate::store::{self, ClusterRow};

/// The audit action of erasing a credential.
const ERASE: Action = Action::Call("erase");

/// The maximum number of clusters that a message lists.
const MAX_NAMED_CLUSTERS: usize = 10;

/// A deleted credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The credential before the deletion.
    pub credential: Credential,
    /// The clusters that still use it and that the caller may see.
    pub clusters: Vec<ClusterName>,
    /// The number of other clusters that still use it.
    pub others: usize,
}

/// A credential whose deletion is pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingDeletion {
    /// The credential.
    pub credential: Credential,
    /// The time at which its deletion was accepted, in milliseconds since 1970.
    pub deleted_ms: i64,
    /// The clusters that use it, oldest first.
    pub clusters: Vec<ClusterName>,
}

impl Credentials {
    /// Deletes a credential: immediately if no cluster uses it, otherwise after its last use.
    pub async fn delete(&self, by: &Actor, id: &str) -> Result<Deleted> {
        let result = self.delete_or_mark(by, id).await;
        self.invalidate_resolved();
        self.inner.audit_log.record_failure(by, Action::Delete, OBJECT_TYPE, id, result).await
    }

    async fn delete_or_mark(&self, by: &Actor, id: &str) -> Result<Deleted> {
        let now_ms = self.inner.clock.now_ms();
        for _ in 0..MAX_ATTEMPTS {
            let row = self.row(&by.caller, id).await?;
            let audit = |deletion: &Deletion| {
                let event = by.event(Action::Delete, OBJECT_TYPE, id, &Ok(()));
                match deletion {
                    Deletion::Erased => event.into_row_at(now_ms),
                    Deletion::Pending(clusters) => {
                        let detail = format!("pending: its secret is kept for {}", join_names(clusters));
                        event.detail(&detail).into_row_at(now_ms)
                    }
                }
            };
            let clusters = match store::credentials::delete(&self.inner.store, &row.id, now_ms, audit).await {
                // A cluster has started to use it.
                Err(store::Error::InUse { .. }) => continue,
                Err(error) => return Err(from_store_error(error)),
                Ok(None) => return Err(Error::NotFound { id: id.to_owned() }),
                Ok(Some(Deletion::Erased)) => Vec::new(),
                Ok(Some(Deletion::Pending(clusters))) => clusters,
            };
            let total = clusters.len();
            let clusters = self.retain_visible(&by.caller, clusters).await?;
            let others = total.saturating_sub(clusters.len());
            return Ok(Deleted { credential: row.into(), clusters, others });
        }
        Err(Error::Conflict { id: id.to_owned() })
    }

    /// Removes the clusters that the caller may not see.
    async fn retain_visible(&self, caller: &Caller, clusters: Vec<ClusterName>) -> Result<Vec<ClusterName>> {
        let mut visible = clusters;
        if !caller.admin && !visible.is_empty() {
            let rows = store::clusters::list(&self.inner.store, Some(&caller.user_id)).await?;
            visible.retain(|cluster| rows.iter().any(|row| row.id == cluster.id));
        }
        Ok(visible)
    }

    /// Erases a credential immediately, even if its deletion is pending or clusters use it: those clusters then have no
    /// credential.
    pub async fn erase(&self, by: &Actor, id: &str) -> Result<Credential> {
        let result = self.erase_now(by, id).await;
        self.invalidate_resolved();
        self.inner.audit_log.record_failure(by, ERASE, OBJECT_TYPE, id, result).await
    }

    async fn erase_now(&self, by: &Actor, id: &str) -> Result<Credential> {
        let row = self.row_including_pending(&by.caller, id).await?;
        let now_ms = self.inner.clock.now_ms();
        for _ in 0..MAX_ATTEMPTS {
            let audit = |clusters: &[ClusterName]| {
                let event = by.event(ERASE, OBJECT_TYPE, id, &Ok(()));
                let event = match clusters {
                    [] => event,
                    clusters => event.detail(&format!("removed from {}", join_names(clusters))),
                };
                event.into_row_at(now_ms)
            };
            match store::credentials::erase(&self.inner.store, &row.id, audit).await {
                // A cluster has started to use it.
                Err(store::Error::InUse { .. }) => {}
                Err(error) => return Err(from_store_error(error)),
                Ok(None) => return Err(Error::NotFound { id: id.to_owned() }),
                Ok(Some(_)) => return Ok(row.into()),
            }
        }
        Err(Error::Conflict { id: id.to_owned() })
    }

    /// The credentials whose deletion is pending, by time of deletion.
    ///
    /// # Errors
    /// [`Error::Forbidden`] unless the caller is an administrator.
    pub async fn pending(&self, caller: &Caller) -> Result<Vec<PendingDeletion>> {
        if !caller.admin {
            return Err(AdministratorTask::DeletedCredentials.into());
        }
        let rows = store::credentials::pending(&self.inner.store).await?;
        let pending = rows.into_iter().map(|row| PendingDeletion {
            deleted_ms: row.credential.deleted_ms.unwrap_or_default(),
            credential: row.credential.into(),
            clusters: row.clusters,
        });
        Ok(pending.collect())
    }

    /// Erases credentials whose deletion is pending and that no cluster uses. Returns their number. During a rolling update,
    /// older servers can end the last use of a credential without erasing it.
    pub async fn erase_unused(&self) -> Result<usize> {
        let mut erased = 0;
        for row in store::credentials::pending(&self.inner.store).await? {
            if row.clusters.is_empty() {
                let detail = "no cluster uses it any more";
                let erasure = erasure(&Actor::server(), row.credential.id, detail, self.inner.clock.now_ms());
                erased += usize::from(store::credentials::erase_unused(&self.inner.store, &erasure).await?);
            }
        }
        Ok(erased)
    }
}

/// The erasure of the credential of `before`, a cluster that is updated or deleted. The store applies it only if no other
/// cluster uses the credential.
pub fn last_use_erasure(by: &Actor, before: &ClusterRow, now_ms: i64) -> Option<Erasure> {
    let detail = format!("the cluster {} was the last that used it", before.id);
    Some(erasure(by, before.credential_id.clone()?, &detail, now_ms))
}

fn erasure(by: &Actor, credential_id: String, detail: &str, now_ms: i64) -> Erasure {
    let audit = by.audit_with_detail(ERASE, OBJECT_TYPE, &full_id(&credential_id), detail, now_ms);
    Erasure { credential_id, audit }
}

/// The names and IDs of clusters, truncated to [`MAX_NAMED_CLUSTERS`].
fn join_names(clusters: &[ClusterName]) -> String {
    let names: Vec<_> = clusters.iter().map(|cluster| format!("{} ({})", cluster.name, cluster.id)).collect();
    name_list::join(&names, MAX_NAMED_CLUSTERS)
}
