//! The context of a step: access to Azure, the observed state, and the next step.

use std::time::Duration;

use aks::provision::manifest::Context;
use aks::provision::plan::{Observed, Phase, PlanInput, Step, plan};
use aks::spec::identity;
use aks::status::UpdateAttempts;
use azure::{Arm, WriteResponse};
use tokio::time::Instant;

use super::error::StepError;
use super::operation;
use super::task::{Next, Task};
use crate::service::core::Core;
use crate::service::credentials::AzureAccess;
use crate::service::observation;

/// The poll interval while an operation of Azure is in progress, unless Azure specifies one.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// The time after which a failed change is retried without a new specification: a quota may have been raised or a lock removed.
const RETRY_FAILED_AFTER_MS: i64 = 30 * 60 * 1000;
/// The longest delay between two attempts of a request. If Azure requests a longer one, a later step tries again.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(3);

/// The reason why an object can be deleted immediately.
pub(super) const NOTHING_CREATED: &str = "this server created nothing for it in Azure";

/// The context of a step that may change something.
pub(super) struct StepContext<'a> {
    pub(super) core: &'a Core,
    pub(super) access: &'a AzureAccess,
    pub(super) arm: &'a Arm,
    pub(super) observed: &'a Observed,
}

/// A change that is sent to Azure, with texts for users.
pub(super) struct Change<'a> {
    /// Rancher's prefix of the error message.
    pub(super) error_prefix: &'a str,
    /// The change that was sent.
    pub(super) done: String,
    /// The operation in progress.
    pub(super) in_progress: String,
    /// Whether the cluster is deleted.
    pub(super) deletes_cluster: bool,
}

impl StepContext<'_> {
    pub(super) fn manifest_context<'a>(&'a self, task: &'a Task) -> Context<'a> {
        Context {
            subscription_id: &self.access.credential().subscription_id,
            owner: &task.owner_tag,
            workspace_id: self.observed.workspace_id.as_deref(),
            cluster: self.observed.cluster.as_ref(),
        }
    }
}

impl Change<'_> {
    /// Records whether Azure accepted the change. A response of `None` means that the object to be deleted does not exist.
    pub(super) fn record(
        self,
        task: &mut Task,
        outcome: Result<Option<WriteResponse>, azure::Error>,
    ) -> Result<Next, StepError> {
        let response = outcome.map_err(|error| StepError::from_azure(self.error_prefix, error))?;
        task.add_event("step", self.done);
        let Some(response) = response else { return Ok(Next::Now) };
        Ok(operation::record_start(
            task,
            &response,
            &self.in_progress,
            self.error_prefix,
            self.deletes_cluster,
        ))
    }
}

/// A Resource Manager client for one step; `error_prefix` is Rancher's prefix of the error message.
pub(super) fn arm(
    core: &Core,
    access: &AzureAccess,
    deadline: Instant,
    error_prefix: &str,
) -> Result<Arm, StepError> {
    let arm = core.azure.arm(access.credential(), deadline);
    Ok(arm.map_err(|error| StepError::from_azure(error_prefix, error))?.with_max_delay(MAX_RETRY_DELAY))
}

/// Reads the cluster and its prerequisites from Azure.
pub(super) async fn observe(
    task: &Task,
    access: &AzureAccess,
    arm: &Arm,
    phase: Phase,
) -> Result<Observed, StepError> {
    observation::observe(arm, access, task.aks(), phase)
        .await
        .map_err(|error| StepError::from_azure("", error))
}

/// Decides on the next step.
pub(super) fn decide(task: &mut Task, observed: &Observed) -> Step {
    task.merge_upstream(observed);
    let attempts = task.attempts().clone();
    plan(&plan_input(task, &attempts, observed))
}

/// The input of [`plan`].
pub(super) fn plan_input<'a>(
    task: &'a Task,
    attempts: &'a UpdateAttempts,
    observed: &'a Observed,
) -> PlanInput<'a> {
    PlanInput {
        spec: &task.desired,
        user_spec: &task.user_spec,
        applied: task.applied.as_ref(),
        phase: task.phase,
        creation_recorded: task.work.claimed,
        owner: &task.owner_tag,
        endpoint: task.status.api_endpoint.as_deref(),
        attempts,
        may_retry: task.now_ms - attempts.last_ms >= RETRY_FAILED_AFTER_MS,
        created_pools: &task.status.made_pools,
        observed,
    }
}

/// Whether the cluster is being deleted and nothing was created for it in Azure.
pub(super) fn has_nothing_to_delete(task: &Task) -> bool {
    task.phase == Phase::Removing && (task.is_import() || !task.work.claimed)
}

/// Fails if the credential is for another subscription. Such a credential cannot see the cluster, which must not be mistaken
/// for its absence.
pub(super) fn check_subscription(task: &Task, access: &AzureAccess) -> Result<(), StepError> {
    let stored_identity = task.row.aks_identity.as_ref().filter(|_| task.work.claimed || task.was_active());
    let subscription = access.credential().subscription_id.as_str();
    match (stored_identity, identity(Some(subscription), task.aks())) {
        (Some(stored), Some(identity)) if identity != *stored => {
            Err(StepError::other_subscription(subscription))
        }
        _ => Ok(()),
    }
}
