//! Why there is no access to a cluster.

use crate::service::credentials::AccessError;
use crate::service::secrets;
use crate::store;

/// The right in Azure to read the admin kubeconfig, and the built-in role that has it.
const ADMIN_ACTION: &str = "Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action";
const ADMIN_ROLE: &str = "Azure Kubernetes Service Cluster Admin Role";

/// The built-in role with every right inside a cluster.
const INSIDE_ROLE: &str = "Azure Kubernetes Service RBAC Cluster Admin";

/// Why there is no access to a cluster. Holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster has none yet, or only an agent could reach it; the text says which.
    #[error("{0}")]
    NotConnected(&'static str),
    /// The credential of the cluster cannot be used.
    #[error("the cloud credential of the cluster cannot be used")]
    Credential(#[source] AccessError),
    /// Azure failed, or denied something else than a kubeconfig.
    #[error("Azure gives no access to the cluster")]
    Azure(#[source] azure::Error),
    /// The application may read neither kubeconfig.
    #[error(
        "the application {application} is denied the admin kubeconfig of the cluster: it lacks the action {ADMIN_ACTION}; \
         give it the role {ADMIN_ROLE} on the cluster"
    )]
    KubeconfigDenied {
        /// The client ID.
        application: String,
        /// What Azure says of the admin kubeconfig.
        #[source]
        source: azure::Error,
    },
    /// The kubeconfig cannot be used.
    #[error(transparent)]
    Kubeconfig(cluster_access::Error),
    /// The cluster cannot be reached, or does not accept what Azure gives.
    #[error(transparent)]
    Cluster(cluster_access::Error),
    /// The cluster accepts the application, and grants it too little.
    #[error(
        "{source}; give the application {application} the role {INSIDE_ROLE} on the cluster, or, where the cluster does not \
         use Azure RBAC, put it into one of the cluster's admin groups{}",
        hint(*admin_denied)
    )]
    NoRights {
        /// The client ID.
        application: String,
        /// Whether Azure denied the admin kubeconfig before.
        admin_denied: bool,
        /// What the cluster says.
        source: cluster_access::Error,
    },
    /// The cluster rejects what Azure gives, and Azure gives nothing else.
    #[error("the cluster rejects the credentials that Azure gives for it")]
    StillRejected,
    /// A stored secret cannot be read or kept.
    #[error(transparent)]
    Secret(#[from] secrets::Error),
    /// The database failed.
    #[error("the database cannot be used")]
    Store(#[from] store::Error),
    /// The renewal ended in a panic.
    #[error("the renewal of the access was interrupted")]
    Interrupted,
}

impl Error {
    /// Whether the cluster does not answer, for instance because its agent is away. Then other access would not help.
    pub(super) fn is_unreached(&self) -> bool {
        matches!(self, Self::Cluster(error) if error.is_name_unknown() || error.is_unanswered())
    }
}

fn hint(admin_denied: bool) -> String {
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
    fn unreached_cluster_is_not_one_that_rejects_access() {
        let host = || "one.privatelink.eastus.azmk8s.io".to_owned();
        for (error, expected) in [
            (cluster_access::Error::NameUnknown { host: host() }, true),
            (cluster_access::Error::Unreachable { host: host(), reason: "no route".to_owned() }, true),
            (cluster_access::Error::Tls { host: host(), reason: "expired".to_owned() }, false),
        ] {
            assert_eq!(Error::Cluster(error).is_unreached(), expected);
        }
        assert!(!Error::StillRejected.is_unreached());
    }
}
