//! Shows callers the next step of the reconcile worker for a cluster. The worker implements [`Planner`], so that the same code
//! decides the plan and the step.

use std::pin::Pin;
use std::sync::Arc;

use aks::provision::preview::{Azure, Preview};
use aks::role::Role;
use clock::Clock;

use super::Result;
use super::actor::Actor;
use super::audit::{Action, AuditLog};
use super::clusters::{Cluster, Clusters};
use super::core::Core;
use super::credentials::{AzureAccess, Credentials};
use super::plan_access::{NoAccess, resolve_access};
use crate::store::ClusterRow;

/// The future of a preview that sends requests to Azure.
pub type PreviewFuture<'a> = Pin<Box<dyn Future<Output = Result<Preview>> + Send + 'a>>;

/// Previews the next step of a cluster, without changes.
pub trait Planner: Send + Sync {
    /// The next step if it does not depend on Azure, else `None`.
    fn preview_offline(&self, row: &ClusterRow) -> Result<Option<Preview>>;

    /// The next step for the observed state.
    fn preview_with_azure(&self, row: ClusterRow, access: Arc<AzureAccess>) -> PreviewFuture<'_>;

    /// A preview without the observed state, with the reason why it was not read from Azure.
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
    audit_log: AuditLog,
    clock: Clock,
    planner: Box<dyn Planner>,
}

impl Plans {
    /// Plans that `planner` previews.
    pub fn new(core: &Core, planner: impl Planner + 'static) -> Self {
        let Core { clusters, credentials, audit_log, clock, .. } = core.clone();
        let planner = Box::new(planner);
        Self { inner: Arc::new(Inner { clusters, credentials, audit_log, clock, planner }) }
    }

    /// The plan for a cluster that the caller may see. It includes the observed state if the caller may use the cluster's
    /// credential.
    pub async fn get(&self, by: &Actor, id: &str) -> Result<Plan> {
        let (row, role) = self.inner.clusters.row_and_role(&by.caller, id).await?;
        let preview = self.preview(by, &row, role).await?;
        let at_ms = self.inner.clock.now_ms();
        Ok(Plan {
            preview,
            phase: if row.removing_ms.is_some() { "removing".to_owned() } else { row.work.phase.clone() },
            generation: row.generation,
            // 0 means "now"; see `store::clusters::wake`.
            next_run_ms: row.work.next_run_ms.map(|next_ms| if next_ms == 0 { at_ms } else { next_ms }),
            at_ms,
            cluster: row.try_into()?,
        })
    }

    async fn preview(&self, by: &Actor, row: &ClusterRow, role: Role) -> Result<Preview> {
        let planner = &self.inner.planner;
        if let Some(preview) = planner.preview_offline(row)? {
            return Ok(preview);
        }
        let access = resolve_access(
            &self.inner.credentials,
            &self.inner.audit_log,
            by,
            row,
            role,
            Action::Call("plan"),
        )
        .await?;
        match access {
            Ok(access) => planner.preview_with_azure(row.clone(), access).await,
            Err(NoAccess { reason, .. }) => planner.preview_without_azure(row, reason),
        }
    }
}
