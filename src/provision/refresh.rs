//! Refreshes active clusters: reads Azure's state, publishes it in the status, and adopts it for keys that the user manages
//! (`docs/contract/provisioning.md#refresh`).

use std::collections::BTreeSet;
use std::time::Duration;

use aks::provision::plan::{Observed, Phase};
use aks::provision::refresh::{changes_from_azure, write_changes};
use aks::provision::usable::{Unusable, unusable};
use aks::spec::{AKS_CONFIG, ClusterSpec};
use aks::status::{ConditionStatus, UpdateAttempts};
use azure::{Arm, Priority};
use serde_json::Value;
use tokio::time::Instant;

use super::agent;
use super::connection::{self, Reached};
use super::context;
use super::error::StepError;
use super::task::{Next, Task};
use crate::service::core::Core;
use crate::service::credentials::AzureAccess;
use crate::store;

/// The interval in seconds if the setting is empty or invalid.
const DEFAULT_INTERVAL_S: u64 = 300;

/// The interval from the setting `aks-refresh`.
pub(super) async fn interval(core: &Core) -> Duration {
    let setting = core.settings.value("aks-refresh").await;
    Duration::from_secs(
        setting.trim().parse().ok().filter(|seconds| *seconds > 0).unwrap_or(DEFAULT_INTERVAL_S),
    )
}

pub(super) async fn refresh(core: &Core, task: &mut Task, deadline: Instant) -> Result<Next, StepError> {
    let interval = interval(core).await;
    // A change of the agent's sessions only requires connecting, unless the agent's next step is due, which a refresh executes.
    if let Some(remaining) = until_next(task, interval)
        && core.agents.take_change(&task.row.id)
        && !agent::is_due(core, task).await
    {
        connection::connect(core, task, None).await?;
        return Ok(Next::In(remaining));
    }
    match read_upstream(core, task, deadline).await {
        Ok((unusable, agent_delay)) => {
            task.status.clear_failure();
            if let Some(unusable) = unusable {
                task.status.record_failure(unusable.message(), task.row.generation);
            }
            task.work.attempts = 0;
            if task
                .status
                .condition("Updated")
                .is_some_and(|condition| condition.message.contains("[Syncing error"))
            {
                task.set_condition("Updated", ConditionStatus::True, "");
            }
            Ok(Next::In(agent_delay.map_or(interval, |delay| delay.min(interval))))
        }
        Err(error) if error.is_deferred => Ok(Next::In(error.retry_delay(0).min(interval))),
        Err(error) => {
            // The cluster may be healthy; only reading it failed.
            error.log(&task.row.id);
            task.set_condition(
                "Updated",
                ConditionStatus::False,
                &format!("[Syncing error: syncing failed] {}", error.message),
            );
            task.work.attempts += 1;
            Ok(Next::In(error.retry_delay(task.work.attempts).min(interval)))
        }
    }
}

/// The time until the next refresh; `None` if it is due.
fn until_next(task: &Task, interval: Duration) -> Option<Duration> {
    let age_ms = task.now_ms - task.work.refreshed_ms?;
    interval
        .checked_sub(Duration::from_millis(u64::try_from(age_ms).ok()?))
        .filter(|remaining| !remaining.is_zero())
}

/// Reads Azure's state. Returns the reason if the cluster is unusable, and the time until the next step of its agent.
async fn read_upstream(
    core: &Core,
    task: &mut Task,
    deadline: Instant,
) -> Result<(Option<Unusable>, Option<Duration>), StepError> {
    let Some(id) = task.row.credential_id.clone() else {
        return Err(StepError::new("error getting credentials secret: secret name not provided"));
    };
    let access = core.credentials.for_cluster(&id).await?;
    let arm = context::arm(core, &access, deadline, "error creating client secret credential: ")?;
    let arm = arm.with_priority(Priority::Speculative);
    let (observed, unusable) = observe(task, &access, &arm).await?;
    record_unusable(task, unusable.as_ref());
    let unusable = match unusable {
        Some(gone @ Unusable::Gone(_)) => {
            task.status.record_failure(gone.message(), task.row.generation);
            return Err(StepError::new(gone.message()));
        }
        Some(Unusable::Unreadable(message)) => return Err(StepError::new(message)),
        // The state of a stopped cluster can be read from Azure.
        unusable => unusable,
    };
    task.set_upstream(&observed);
    adopt_upstream(core, task).await?;
    task.prune_user_entries();
    if unusable.is_some() {
        return Ok((unusable, None));
    }
    let reached = Reached::from_path(connection::connect(core, task, Some(&observed)).await?);
    let agent_progress = agent::maintain(core, task, &observed, reached).await?;
    Ok((None, agent_progress.next_step_in))
}

/// Records that a cluster is unusable because it does not exist in Azure or is stopped.
pub(super) fn record_unusable(task: &mut Task, unusable: Option<&Unusable>) {
    if let Some(Unusable::Gone(message) | Unusable::Stopped(message)) = unusable {
        task.set_condition("Connected", ConditionStatus::False, message);
        task.set_condition("Ready", ConditionStatus::False, message);
    }
}

/// Azure's state of an active cluster, and the reason if it is unusable.
pub(super) async fn observe(
    task: &Task,
    access: &AzureAccess,
    arm: &Arm,
) -> Result<(Observed, Option<Unusable>), StepError> {
    // The phase of a deletion, because the prerequisites of the cluster need not be read.
    let observed = context::observe(task, access, arm, Phase::Removing).await?;
    let unusable = unusable(&context::plan_input(task, &UpdateAttempts::default(), &observed));
    Ok((observed, unusable))
}

/// Adopts Azure's values of managed keys if their meaning differs. False if the user changed the specification concurrently;
/// nothing is adopted then.
pub(super) async fn adopt_upstream(core: &Core, task: &mut Task) -> Result<bool, StepError> {
    let Some(upstream) = task.status.upstream_spec.clone() else { return Ok(true) };
    let upstream = task.status.details.with_running_versions(upstream);
    let mut body = task.spec.body().clone();
    let Some(config) = body.get_mut(AKS_CONFIG).and_then(Value::as_object_mut) else { return Ok(true) };
    let changes = changes_from_azure(task.aks(), &upstream);
    if changes.is_empty() {
        return Ok(true);
    }
    let keys: BTreeSet<String> = changes.keys().cloned().collect();
    write_changes(config, changes);
    let Ok(spec) = ClusterSpec::new(body) else { return Ok(true) };
    let (id, fence) = (task.row.id.clone(), task.work.fence);
    let written =
        store::clusters::refresh_spec(&core.store, &id, fence, task.row.version, &spec.to_text()).await?;
    if written {
        task.row.version += 1;
        task.work.applied_spec = serde_json::to_string(spec.aks()).ok();
        task.replace_spec(spec);
        let keys: Vec<String> = keys.into_iter().collect();
        task.add_event("refreshed", format!("adopted from Azure: {}", keys.join(", ")));
    }
    Ok(written)
}
