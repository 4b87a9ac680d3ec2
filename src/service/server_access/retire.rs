//! Deletes the service account with which an earlier version accessed a cluster.

use cluster_access::Access;

use super::{Error, ServerAccess};
use crate::service::secrets::SERVICE_ACCOUNT_TOKEN_SECRET;
use crate::store::NewClusterEvent;

/// The result of deleting the service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retired {
    /// There is no service account.
    Absent,
    /// A running server of an earlier version, with this ID, needs the service account.
    StillUsed(String),
    /// The service account was deleted.
    Removed,
}

impl ServerAccess {
    /// Deletes the service account of a cluster with its token and its binding, and the stored copy of the token, and writes
    /// `event`. `access` must not use the service account, and must have just worked. Can be repeated.
    ///
    /// # Errors
    /// [`Error::Cluster`] and [`Error::Secret`]; the next call deletes the rest.
    pub async fn retire_service_account(
        &self,
        cluster_id: &str,
        access: &Access,
        event: &NewClusterEvent,
    ) -> Result<Retired, Error> {
        let inner = &self.inner;
        if !inner.secrets.has_cluster_secret(cluster_id, SERVICE_ACCOUNT_TOKEN_SECRET).await? {
            return Ok(Retired::Absent);
        }
        if let Some(replica) = inner.secrets.older_replica().await? {
            return Ok(Retired::StillUsed(replica));
        }
        inner.cluster_access.remove_service_account(access).await.map_err(Error::Cluster)?;
        // The stored copy is deleted last: while it exists, the deletion is retried.
        let is_removed =
            inner.secrets.delete_cluster_secret(cluster_id, SERVICE_ACCOUNT_TOKEN_SECRET, event).await?;
        Ok(if is_removed { Retired::Removed } else { Retired::Absent })
    }
}
