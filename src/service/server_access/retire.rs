//! Removing the service account by which an earlier version entered a cluster.

use cluster_access::Access;

use super::{Error, ServerAccess};
use crate::service::secrets::SERVICE_ACCOUNT_TOKEN;
use crate::store::NewClusterEvent;

/// What became of the service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retired {
    /// There is none.
    Absent,
    /// A server of an earlier version is running and needs it; its name.
    StillUsed(String),
    /// It was removed.
    Removed,
}

impl ServerAccess {
    /// Removes the service account of a cluster, its token and its binding, and the copy of the token that is stored here;
    /// `event` tells of it. To be called with other access that has just worked. May be repeated.
    ///
    /// # Errors
    /// [`Error::Cluster`] and [`Error::Secret`]; what was not removed is tried again next time.
    pub async fn retire_service_account(
        &self,
        cluster_id: &str,
        access: &Access,
        event: &NewClusterEvent,
    ) -> Result<Retired, Error> {
        let inner = &self.inner;
        if !inner.secrets.has_cluster_secret(cluster_id, SERVICE_ACCOUNT_TOKEN).await? {
            return Ok(Retired::Absent);
        }
        if let Some(replica) = inner.secrets.older_replica().await? {
            return Ok(Retired::StillUsed(replica));
        }
        inner.cluster_access.remove_service_account(access).await.map_err(Error::Cluster)?;
        // The stored copy goes last: while it is there, the removal is tried again.
        let removed = inner.secrets.delete_cluster_secret(cluster_id, SERVICE_ACCOUNT_TOKEN, event).await?;
        Ok(if removed { Retired::Removed } else { Retired::Absent })
    }
}
