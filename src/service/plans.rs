//! What the worker would do next for a cluster, told to those who may see it. How the worker finds out is its own; it is
//! passed in ([`Foresight`]), so that what is told and what is done are decided in one place.

use std::pin::Pin;
use std::sync::Arc;

use aks::provision::preview::{Azure, Preview};
use aks::role::Role;
use clock::Clock;

use super::actor::Actor;
use super::clusters::{Cluster, Clusters};
use super::core::Core;
use super::credentials::{AccessError, AzureAccess, Credentials, Via, full_id};
use super::events::{Action, Events};
use super::{Result, explain};
use crate::store::ClusterRow;

/// The kind of object that a used credential is in the audit.
const CREDENTIAL: &str = "cloudCredential";

/// A preview on its way.
pub type Looking<'a> = Pin<Box<dyn Future<Output = Result<Preview>> + Send + 'a>>;

/// Somebody who knows what he would do next, and changes nothing by telling.
pub trait Foresight: Send + Sync {
    /// What is decided without Azure; `None` when it depends on Azure.
    fn alone(&self, row: &ClusterRow) -> Result<Option<Preview>>;

    /// What would be done, by what Azure has now.
    fn looking(&self, row: ClusterRow, access: Arc<AzureAccess>) -> Looking<'_>;

    /// What can be said when Azure is not asked; holds why it is not.
    fn blind(&self, row: &ClusterRow, why: Azure) -> Result<Preview>;
}

/// The next step of a cluster.
#[derive(Debug)]
pub struct Plan {
    /// The cluster.
    pub cluster: Cluster,
    /// What would be done.
    pub preview: Preview,
    /// How far the worker is: `new`, `creating`, `active` or `removing`.
    pub phase: String,
    /// Which change of the specification is worked on.
    pub generation: i64,
    /// When the worker looks next, in milliseconds since 1970.
    pub next_run_ms: Option<i64>,
    /// Now, in milliseconds since 1970.
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
    foresight: Box<dyn Foresight>,
}

impl Plans {
    /// The plans that `foresight` has for the clusters of `clusters`.
    pub fn new(core: &Core, foresight: impl Foresight + 'static) -> Self {
        let Core { clusters, credentials, events, clock, .. } = core.clone();
        let foresight = Box::new(foresight);
        Self { inner: Arc::new(Inner { clusters, credentials, events, clock, foresight }) }
    }

    /// What comes next for a cluster that the caller may see. Azure is asked when the caller may use the cluster's
    /// credential.
    pub async fn tell(&self, by: &Actor, id: &str) -> Result<Plan> {
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
        let foresight = &self.inner.foresight;
        if let Some(preview) = foresight.alone(row)? {
            return Ok(preview);
        }
        let id = full_id(row.credential_id.as_deref().unwrap_or_default());
        let via = Via::OfCluster { id: &id, cluster_id: &row.id };
        match self.inner.credentials.resolve(&by.caller, via).await {
            Ok(access) => {
                // Before Azure is asked: whoever does not wait for the answer has used the credential, too.
                let used = by.event(Action::Call("plan"), CREDENTIAL, &id, &Ok(()));
                self.inner.events.record(used).await;
                foresight.looking(row.clone(), access).await
            }
            Err(AccessError::Other(error)) => Err(error),
            Err(AccessError::NotFound) if role != Role::Owner => {
                let why = format!(
                    "Azure is asked only for those who may use the cluster's credential; you are {} of {}",
                    role.name(),
                    row.id
                );
                foresight.blind(row, Azure::NotAllowed(why))
            }
            Err(error) => foresight.blind(row, Azure::Failed(unusable(&error))),
        }
    }
}

/// Why a credential cannot be used, with the text of Azure where there is one.
fn unusable(error: &AccessError) -> String {
    match error {
        AccessError::TenantDiscovery { error, .. } => explain::stored_discovery(error).text,
        error => error.to_string(),
    }
}
