//! Errors of maintaining rights.

use std::sync::Arc;

use crate::service::server_access;
use crate::store;

/// The rights in a cluster cannot be maintained.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The cluster was deleted.
    #[error("the cluster was deleted")]
    Gone,
    /// The row of the cluster cannot be read.
    #[error("the stored cluster cannot be read")]
    Corrupt(#[from] serde_json::Error),
    /// No access to the cluster is available.
    #[error(transparent)]
    Access(#[from] Arc<server_access::Error>),
    /// The cluster cannot be reached, or denies a request.
    #[error(transparent)]
    Cluster(#[from] cluster_access::Error),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The server is stopping.
    #[error("the watch is ending")]
    Ending,
}
