//! The last steps to `active`: Azure's state, access to the cluster's API, and the first response of the API
//! (`docs/contract/provisioning.md#conditions-while-provisioning`).

use aks::provision::plan::{Observed, Phase};
use aks::status::{ConditionStatus, Progress};

use super::agent;
use super::connection::{self, Reached};
use super::error::StepError;
use super::refresh;
use super::task::{Next, Task};
use crate::service::core::Core;

pub(super) async fn activate(core: &Core, task: &mut Task, observed: &Observed) -> Result<Next, StepError> {
    task.set_step("status", Progress::Running, "");
    task.set_upstream(observed);
    if task.is_import() {
        task.set_condition("Pending", ConditionStatus::True, "");
    }
    if !task.was_active() {
        task.set_condition("Provisioned", ConditionStatus::True, "");
    }
    if task.phase != Phase::Active {
        task.set_phase(Phase::Active);
    }
    task.set_step("connection", Progress::Running, "");
    let needs_agent = task.status.private_requires_tunnel == Some(true);
    if !task.was_active() && task.status.failure.is_none() && !needs_agent {
        // The attempt may take a minute, so the status shows it.
        let message = api_wait_message(task);
        task.set_waiting(&message, None);
        task.save(core).await?;
        core.notifier.notify(&task.row.id);
    }
    let connected = connection::connect(core, task, Some(observed)).await;
    let reached = Reached::from_path(connected.as_ref().ok().copied().flatten());
    // A cluster that is not private may need an agent too.
    let agent_progress = agent::maintain(core, task, observed, reached).await?;
    if let Err(error) = connected {
        // A running command of the agent is polled in time, even though the connection failed.
        return Err(error.with_due_within(agent_progress.next_step_in.filter(|_| agent::is_polling(task))));
    }
    if reached == Reached::No && !task.was_active() {
        task.set_waiting(&agent_progress.message, None);
        task.set_condition("Waiting", ConditionStatus::Unknown, agent::WAITING_MESSAGE);
        return Ok(Next::In(agent_progress.next_step_in.unwrap_or(agent::RETRY_INTERVAL)));
    }
    // From its activation on, an import is managed by its specification, which must therefore contain Azure's values first.
    if task.is_import() && !task.was_active() && !refresh::adopt_upstream(core, task).await? {
        return Ok(Next::Now);
    }
    set_active(task);
    // Clients list the nodes as soon as the cluster is active.
    if let Ok(Some(current)) = core.server_access.current(connection::target(task)).await {
        core.nodes.refresh(&task.row.id, current.access);
    }
    let interval = refresh::interval(core).await;
    Ok(Next::In(agent_progress.next_step_in.map_or(interval, |delay| delay.min(interval))))
}

/// The message while the Kubernetes API of a new cluster is being tried.
fn api_wait_message(task: &Task) -> String {
    let message = "waiting for the Kubernetes API of the cluster to respond";
    match connection::authorized_ranges(task) {
        Some(ranges) => format!("{message}; authorizedIpRanges allows only {ranges}"),
        None => message.to_owned(),
    }
}

/// Records that Azure matches the specification.
fn set_active(task: &mut Task) {
    task.prune_user_entries();
    task.work.applied_generation = task.row.generation;
    task.work.applied_spec = serde_json::to_string(task.aks()).ok();
    task.status.waiting = None;
    task.status.clear_failure();
    task.status.made_pools.clear();
    task.work.attempts = 0;
    if task.work.activated_ms.is_none() {
        task.work.activated_ms = Some(task.now_ms);
    }
    if task.status.condition("Waiting").is_some() {
        task.set_condition("Waiting", ConditionStatus::True, "");
    }
    task.set_condition("Provisioned", ConditionStatus::True, "");
    task.set_condition("Updated", ConditionStatus::True, "");
    task.set_step("active", Progress::Done, "");
    task.add_event("active", "Azure matches the desired spec");
}
