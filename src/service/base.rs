//! The dependencies of all services: the database, the clients and the clock.

use azure::Azure;
use clock::Clock;
use cluster_access::ClusterAccess;

use super::audit::AuditLog;
use super::secrets::Secrets;
use crate::store::Store;

/// The dependencies of the services.
#[derive(Clone)]
pub struct Base {
    /// The database.
    pub store: Store,
    /// The encryption of stored secrets.
    pub secrets: Secrets,
    /// The client of Azure.
    pub azure: Azure,
    /// The client of Kubernetes APIs.
    pub cluster_access: ClusterAccess,
    /// The audit log.
    pub audit_log: AuditLog,
    /// The current time.
    pub clock: Clock,
}
