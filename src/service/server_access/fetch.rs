//! Fetches access to a cluster from Azure: its kubeconfigs, and tokens of Entra.

use std::time::Duration;

use azure::Arm;
use azure::managed_clusters::{self, UserFormat};
use cluster_access::Kubeconfig;
use secrecy::SecretString;
use tokio::time::Instant;

use super::{Error, Inner, OwnedTarget};
use crate::service::credentials::AzureAccess;

/// The time limit of the requests to Resource Manager for one fetch, and of a request for a token.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// The maximum wait before a request is repeated.
const MAX_INLINE_WAIT: Duration = Duration::from_secs(3);

/// Access to a cluster as fetched from Azure.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The kubeconfig.
    pub kubeconfig: Kubeconfig,
    /// The client ID of the application that fetched it.
    pub(super) application: String,
    /// Whether this is the user kubeconfig because the admin kubeconfig was denied.
    pub(super) admin_denied: bool,
}

impl Fetched {
    /// The error for a failed check of the rights of this access.
    pub(super) fn to_error(&self, error: cluster_access::Error) -> Error {
        if !error.is_forbidden() {
            return Error::Cluster(error);
        }
        let (application, admin_denied) = (self.application.clone(), self.admin_denied);
        Error::NoRights { application, admin_denied, source: error }
    }
}

impl Inner {
    /// The admin kubeconfig, or the user kubeconfig if local accounts are disabled or the admin kubeconfig is denied.
    pub(super) async fn fetch(
        &self,
        cluster: &OwnedTarget,
        has_local_accounts: bool,
    ) -> Result<Fetched, Error> {
        let access = self.azure_access(cluster).await?;
        let arm = self.arm(&access)?;
        let (group, name) = (cluster.group.as_str(), cluster.name.as_str());
        let admin_error = if has_local_accounts {
            match managed_clusters::list_admin_credential(&arm, group, name).await {
                Ok(kubeconfig) => return to_fetched(&kubeconfig, &access, false),
                // Azure responds with 400 if local accounts are disabled.
                Err(error) if matches!(error.upstream_status(), Some(400 | 403)) => Some(error),
                Err(error) => return Err(Error::Azure(error)),
            }
        } else {
            None
        };
        let admin_error = admin_error.filter(is_denied);
        match managed_clusters::list_user_credential(&arm, group, name, UserFormat::Azure).await {
            Ok(kubeconfig) => to_fetched(&kubeconfig, &access, admin_error.is_some()),
            Err(error) => Err(match admin_error {
                Some(source) => Error::KubeconfigDenied { application: client_id(&access), source },
                None => Error::Azure(error),
            }),
        }
    }

    /// A token of Entra other than `rejected`.
    pub(super) async fn entra_token(
        &self,
        cluster: &OwnedTarget,
        server_id: &str,
        tenant_id: &str,
        rejected: Option<&SecretString>,
    ) -> Result<SecretString, Error> {
        let access = self.azure_access(cluster).await?;
        let scope = format!("{server_id}/.default");
        let deadline = Instant::now() + FETCH_TIMEOUT;
        let token = self.azure.entra_token(access.credential(), tenant_id, &scope, rejected, deadline).await;
        token.map_err(Error::Azure)
    }

    async fn azure_access(&self, cluster: &OwnedTarget) -> Result<std::sync::Arc<AzureAccess>, Error> {
        let id = cluster.credential_id.as_deref().unwrap_or_default();
        self.credentials.for_cluster(id).await.map_err(Error::Credential)
    }

    fn arm(&self, access: &AzureAccess) -> Result<Arm, Error> {
        let arm = self.azure.arm(access.credential(), Instant::now() + FETCH_TIMEOUT);
        Ok(arm.map_err(Error::Azure)?.with_max_delay(MAX_INLINE_WAIT))
    }
}

fn to_fetched(kubeconfig: &SecretString, access: &AzureAccess, admin_denied: bool) -> Result<Fetched, Error> {
    let kubeconfig = Kubeconfig::parse(kubeconfig).map_err(Error::Kubeconfig)?;
    Ok(Fetched { kubeconfig, application: client_id(access), admin_denied })
}

fn client_id(access: &AzureAccess) -> String {
    access.credential().client_id.clone()
}

fn is_denied(error: &azure::Error) -> bool {
    error.upstream_status() == Some(403)
}
