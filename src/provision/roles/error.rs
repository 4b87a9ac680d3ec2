//! Errors of maintaining rights.

use std::sync::Arc;

use crate::service::server_access;
use crate::store;

/// The rights inside a cluster cannot be maintained.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The cluster was deleted.
    #[error("the cluster is gone")]
    Gone,
    /// The row of the cluster cannot be read.
    #[error("the stored cluster cannot be read")]
    Corrupt(#[from] serde_json::Error),
    /// There is no access to the cluster.
    #[error(transparent)]
    Access(#[from] Arc<server_access::Error>),
    /// The cluster cannot be reached, or denies what this server does.
    #[error(transparent)]
    Cluster(#[from] cluster_access::Error),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The server is stopping.
    #[error("the watch is ending")]
    Ending,
}
