//! Access to Azure for plans of a cluster, with the credential of the cluster if the caller may use it.

use std::sync::Arc;

use aks::provision::preview::Azure;
use aks::review::Denial;
use aks::role::Role;

use super::actor::Actor;
use super::audit::{Action, AuditLog};
use super::credentials::{AccessError, AzureAccess, CredentialSource, Credentials, OBJECT_TYPE, full_id};
use super::reviews::denial;
use super::{Result, explain};
use crate::store::ClusterRow;

/// There is no access to Azure: the caller cannot use the credential of the cluster.
pub(super) struct NoAccess {
    /// The reason.
    pub(super) reason: Azure,
    /// Azure's error, if Azure rejects the credential.
    pub(super) denial: Option<Denial>,
}

/// The access to Azure with the credential of a cluster, if the caller may use it. Its use is recorded.
pub(super) async fn resolve_access(
    credentials: &Credentials,
    audit_log: &AuditLog,
    by: &Actor,
    row: &ClusterRow,
    role: Role,
    action: Action,
) -> Result<Result<Arc<AzureAccess>, NoAccess>> {
    let id = full_id(row.credential_id.as_deref().unwrap_or_default());
    let source = CredentialSource::OfCluster { id: &id, cluster_id: &row.id };
    match credentials.resolve(&by.caller, source).await {
        Ok(access) => {
            // Record the use before the request to Azure, so that a caller that disconnects during the request is recorded too.
            audit_log.record(by.event(action, OBJECT_TYPE, &id, &Ok(()))).await;
            Ok(Ok(access))
        }
        Err(AccessError::Other(error)) => Err(error),
        Err(AccessError::NotFound) if role != Role::Owner => {
            let reason = format!(
                "the state in Azure is shown only to callers who may use the cluster's credential; your role in {} is {}",
                row.id,
                role.name()
            );
            Ok(Err(NoAccess { reason: Azure::NotAllowed(reason), denial: None }))
        }
        Err(error) => Ok(Err(NoAccess {
            denial: denial::from_access_error(&error),
            reason: Azure::Failed(unusable_reason(&error)),
        })),
    }
}

/// The reason why a credential cannot be used, with Azure's error message if there is one.
fn unusable_reason(error: &AccessError) -> String {
    match error {
        AccessError::TenantDiscovery { error, .. } => explain::stored_discovery_error(error).text,
        error => error.to_string(),
    }
}
