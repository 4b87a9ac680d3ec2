//! Errors of access to a cluster.

use crate::service::credentials::AccessError;
use crate::service::secrets;
use crate::store;

/// The Azure action of reading the admin kubeconfig.
const ADMIN_ACTION: &str = "Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action";
/// The built-in role with this action.
const ADMIN_ROLE: &str = "Azure Kubernetes Service Cluster Admin Role";

/// The built-in role with every right inside a cluster.
const RBAC_ADMIN_ROLE: &str = "Azure Kubernetes Service RBAC Cluster Admin";

/// Errors of access to a cluster. They contain no secrets.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster has no access yet, or can be reached only through an agent; with the reason.
    #[error("{0}")]
    NotConnected(&'static str),
    /// The credential of the cluster cannot be used.
    #[error("the cloud credential of the cluster cannot be used")]
    Credential(#[source] AccessError),
    /// A request to Azure failed, other than for a kubeconfig.
    #[error("cannot get access to the cluster from Azure")]
    Azure(#[source] azure::Error),
    /// The application may read neither kubeconfig.
    #[error(
        "the application {application} is denied the admin kubeconfig of the cluster: it lacks the action {ADMIN_ACTION}; \
         give it the role {ADMIN_ROLE} on the cluster"
    )]
    KubeconfigDenied {
        /// The client ID.
        application: String,
        /// Azure's error for the admin kubeconfig.
        #[source]
        source: azure::Error,
    },
    /// The kubeconfig cannot be used.
    #[error(transparent)]
    Kubeconfig(cluster_access::Error),
    /// The cluster cannot be reached, or rejects the access from Azure.
    #[error(transparent)]
    Cluster(cluster_access::Error),
    /// The cluster accepts the application, but grants it too few rights.
    #[error(
        "{source}; give the application {application} the role {RBAC_ADMIN_ROLE} on the cluster, or, where the cluster does not \
         use Azure RBAC, add it to one of the cluster's admin groups{}",
        admin_role_remedy(*admin_denied)
    )]
    NoRights {
        /// The client ID.
        application: String,
        /// Whether Azure denied the application the admin kubeconfig.
        admin_denied: bool,
        /// The error of the cluster.
        source: cluster_access::Error,
    },
    /// The cluster rejects the access from Azure, and Azure returns the same access again.
    #[error("the cluster rejects the credentials that Azure returns for it")]
    StillRejected,
    /// A secret cannot be read or stored.
    #[error(transparent)]
    Secret(#[from] secrets::Error),
    /// The database failed.
    #[error("the database cannot be used")]
    Store(#[from] store::Error),
    /// The task that renews access panicked, or ended at shutdown.
    #[error("the renewal of the access was aborted by an error of this server; retry")]
    Interrupted,
}

impl Error {
    /// Whether the cluster does not respond, for example because its agent is not connected. New access would not help then.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Cluster(error) if error.is_name_unknown() || error.is_unanswered())
    }
}

fn admin_role_remedy(admin_denied: bool) -> String {
    if !admin_denied {
        return String::new();
    }
    format!(
        "; or give it the role {ADMIN_ROLE}, because it lacks the action {ADMIN_ACTION} for the admin kubeconfig"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreachable_is_distinguished_from_rejected() {
        let host = || "one.privatelink.eastus.azmk8s.io".to_owned();
        for (error, expected) in [
            (cluster_access::Error::NameUnknown { host: host() }, true),
            (cluster_access::Error::Unreachable { host: host(), reason: "no route".to_owned() }, true),
            (cluster_access::Error::Tls { host: host(), reason: "expired".to_owned() }, false),
        ] {
            assert_eq!(Error::Cluster(error).is_unreachable(), expected);
        }
        assert!(!Error::StillRejected.is_unreachable());
    }
}
