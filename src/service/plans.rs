//! The next step of the reconcile worker for a cluster, for callers that may see the cluster. The worker implements
//! [`Planner`], so that the plan and the step are decided by the same code.

use std::pin::Pin;
use std::sync::Arc;

use aks::provision::preview::{Azure, Preview};
use aks::review::Denial;
use aks::role::Role;
use clock::Clock;

use super::actor::Actor;
use super::clusters::{Cluster, Clusters};
use super::core::Core;
use super::credentials::{AccessError, AzureAccess, CredentialSource, Credentials, full_id};
use super::events::{Action, Events};
use super::reviews::denial;
use super::{Result, explain};
use crate::store::ClusterRow;

/// The type of a credential in the audit log.
const CREDENTIAL: &str = "cloudCredential";

/// A preview that sends requests to Azure.
pub type PreviewFuture<'a> = Pin<Box<dyn Future<Output = Result<Preview>> + Send + 'a>>;

/// Previews the next step of a cluster, without changes.
pub trait Planner: Send + Sync {
    /// The next step if it does not depend on Azure, else `None`.
    fn preview_offline(&self, row: &ClusterRow) -> Result<Option<Preview>>;

    /// The next step for the observed state.
    fn preview_with_azure(&self, row: ClusterRow, access: Arc<AzureAccess>) -> PreviewFuture<'_>;

    /// A preview without the observed state, with the reason why no request was sent to Azure.
    fn preview_without_azure(&self, row: &ClusterRow, reason: Azure) -> Result<Preview>;
}

/// The next step of a cluster.
#[derive(Debug)]
pub struct Plan {
    /// The cluster.
    pub cluster: Cluster,
    /// The preview of the step.
    pub preview: Preview,
    /// The phase: `new`, `creating`, `active` or `removing`.
    pub phase: String,
    /// The generation of the specification.
    pub generation: i64,
    /// The next run of the worker, in milliseconds since 1970.
    pub next_run_ms: Option<i64>,
    /// The current time, in milliseconds since 1970.
    pub at_ms: i64,
}

/// The plans. Clones share everything.
#[derive(Clone)]
pub struct Plans {
    inner: Arc<Inner>,
}

struct Inner {
    clusters: Clusters,
    credentials: Credentials,
    events: Events,
    clock: Clock,
    planner: Box<dyn Planner>,
}

impl Plans {
    /// The plans of `planner` for all clusters.
    pub fn new(core: &Core, planner: impl Planner + 'static) -> Self {
        let Core { clusters, credentials, events, clock, .. } = core.clone();
        let planner = Box::new(planner);
        Self { inner: Arc::new(Inner { clusters, credentials, events, clock, planner }) }
    }

    /// The plan for a cluster that the caller may see. It includes the observed state if the caller may use the cluster's
    /// credential.
    pub async fn get(&self, by: &Actor, id: &str) -> Result<Plan> {
        let (row, role) = self.inner.clusters.row_and_role(&by.caller, id).await?;
        let preview = self.preview(by, &row, role).await?;
        Ok(Plan {
            preview,
            phase: if row.removing_ms.is_some() { "removing".to_owned() } else { row.work.phase.clone() },
            generation: row.generation,
            next_run_ms: row.work.next_run_ms,
            at_ms: self.inner.clock.now_ms(),
            cluster: row.try_into()?,
        })
    }

    async fn preview(&self, by: &Actor, row: &ClusterRow, role: Role) -> Result<Preview> {
        let planner = &self.inner.planner;
        if let Some(preview) = planner.preview_offline(row)? {
            return Ok(preview);
        }
        let access =
            resolve_access(&self.inner.credentials, &self.inner.events, by, row, role, Action::Call("plan"))
                .await?;
        match access {
            Ok(access) => planner.preview_with_azure(row.clone(), access).await,
            Err(NoAccess { reason, .. }) => planner.preview_without_azure(row, reason),
        }
    }
}

/// The credential of a cluster cannot be used by the caller.
pub(super) struct NoAccess {
    /// The reason.
    pub(super) reason: Azure,
    /// The error of Azure, if Azure rejects it.
    pub(super) denial: Option<Denial>,
}

/// The access to Azure with the credential of a cluster, if the caller may use it. Its use is recorded.
pub(super) async fn resolve_access(
    credentials: &Credentials,
    events: &Events,
    by: &Actor,
    row: &ClusterRow,
    role: Role,
    action: Action,
) -> Result<Result<Arc<AzureAccess>, NoAccess>> {
    let id = full_id(row.credential_id.as_deref().unwrap_or_default());
    let source = CredentialSource::OfCluster { id: &id, cluster_id: &row.id };
    match credentials.resolve(&by.caller, source).await {
        Ok(access) => {
            // Before the request to Azure, because a caller that disconnects has used the credential, too.
            events.record(by.event(action, CREDENTIAL, &id, &Ok(()))).await;
            Ok(Ok(access))
        }
        Err(AccessError::Other(error)) => Err(error),
        Err(AccessError::NotFound) if role != Role::Owner => {
            let reason = format!(
                "the state in Azure is shown only to callers who may use the cluster's credential; you are {} of {}",
                role.name(),
                row.id
            );
            Ok(Err(NoAccess { reason: Azure::NotAllowed(reason), denial: None }))
        }
        Err(error) => Ok(Err(NoAccess {
            denial: denial::from_access_error(&error),
            reason: Azure::Failed(unusable_reason(&error)),
        })),
    }
}

/// The reason why a credential cannot be used, with Azure's text if there is one.
fn unusable_reason(error: &AccessError) -> String {
    match error {
        AccessError::TenantDiscovery { error, .. } => explain::stored_discovery_error(error).text,
        error => error.to_string(),
    }
}
