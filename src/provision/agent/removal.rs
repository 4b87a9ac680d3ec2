//! Removes the agent, roles and bindings of this server from an import whose object is deleted. The cluster is left in its
//! original state, except for the namespace of the agent.

use std::time::Duration;

use aks::provision::agent::{Deployment, RunningCommand};
use aks::registration::{INSTALLATION_LABEL, NAMESPACE, installation};
use azure::run_command::Status;
use cluster_access::MANAGED_LABEL;

use super::command::{CommandClient, PollResult};
use crate::provision::connection;
use crate::provision::task::{Next, Task};
use crate::service::core::Core;

/// The maximum time that the deletion of the cluster object waits for the removal of the agent. The time is shorter if only
/// roles are left, because they affect only requests of this server.
const AGENT_REMOVAL_TIMEOUT_MS: i64 = 10 * 60_000;
const ROLES_REMOVAL_TIMEOUT_MS: i64 = 60_000;
const RETRY_INTERVAL: Duration = Duration::from_secs(15);

/// Removes the objects of this server, one step at a time; `None` if none are left, or the removal was abandoned.
pub(in crate::provision) async fn remove(core: &Core, task: &mut Task) -> Option<Next> {
    let deployment = task.status.agent.clone().unwrap_or_default();
    let may_have_agent = may_have_agent(&deployment);
    if !may_have_agent && !task.was_active() {
        return None;
    }
    let install_uuid = core.settings.value("install-uuid").await;
    let removing_ms = task.row.removing_ms.unwrap_or(task.now_ms);
    let timeout_ms = if may_have_agent { AGENT_REMOVAL_TIMEOUT_MS } else { ROLES_REMOVAL_TIMEOUT_MS };
    if task.now_ms - removing_ms >= timeout_ms {
        if may_have_agent {
            let message = format!(
                "the cluster agent could not be removed and is left in the cluster; delete it: {}",
                delete_agent_command(&installation(&install_uuid))
            );
            task.add_event("agentLeft", message);
        } else {
            tracing::warn!(cluster = task.row.id, "roles left in the cluster");
        }
        task.status.agent = None;
        return None;
    }
    task.set_step("connection", aks::status::Progress::Running, "");
    let pending = match deployment.running.clone() {
        Some(running) => poll(core, task, running).await,
        None => delete_objects(core, task, &installation(&install_uuid)).await,
    };
    let Some(Pending { running, next_step_in }) = pending else {
        if may_have_agent {
            task.add_event("agentRemoved", "removed the cluster agent from the cluster");
        }
        task.status.agent = None;
        return None;
    };
    task.status.agent = Some(Deployment { running, ..deployment });
    task.set_waiting("the objects of this server are being removed from the cluster", None);
    Some(Next::In(next_step_in))
}

/// Whether the cluster may contain an agent. A running removal does not count, because it may remove only roles.
fn may_have_agent(deployment: &Deployment) -> bool {
    let running = deployment.running.clone().filter(|running| !running.removes);
    Deployment { running, ..deployment.clone() }.may_have_objects()
}

/// A removal that is not complete.
struct Pending {
    /// The command to poll next; `None` to start the deletion again.
    running: Option<RunningCommand>,
    next_step_in: Duration,
}

impl Pending {
    fn start_again(next_step_in: Duration) -> Self {
        Self { running: None, next_step_in }
    }
}

/// Polls the command. A command that applies the manifest must end before the agent is deleted.
async fn poll(core: &Core, task: &mut Task, running: RunningCommand) -> Option<Pending> {
    let result = match CommandClient::new(core, task).await {
        Ok(client) => client.poll(task, &running).await,
        Err(error) => PollResult::Failed(error.message),
    };
    match result {
        PollResult::Running(running, delay) => Some(Pending { running: Some(running), next_step_in: delay }),
        PollResult::Succeeded if running.removes => None,
        PollResult::Succeeded | PollResult::Foreign => Some(Pending::start_again(Duration::ZERO)),
        PollResult::Failed(reason) => {
            tracing::warn!(cluster = task.row.id, reason, "cannot remove objects with a run command");
            Some(Pending::start_again(RETRY_INTERVAL))
        }
    }
}

/// Deletes the objects, directly or with a command; `None` if none are left.
async fn delete_objects(core: &Core, task: &mut Task, installation: &str) -> Option<Pending> {
    if delete_directly(core, task, installation).await {
        return None;
    }
    let start = async {
        let client = CommandClient::new(core, task).await?;
        // The objects were deleted together with the cluster.
        let Some(cluster) = client.read_cluster(task).await? else { return Ok(None) };
        client.start(core, task, Some(&cluster), &delete_all_command(installation), &[]).await.map(Some)
    };
    match start.await {
        Ok(None) => None,
        Ok(Some(Status::Running(pending))) => {
            let next_step_in = pending.retry_after();
            let running = RunningCommand {
                result: pending.to_text(),
                revision: String::new(),
                secret: String::new(),
                started_ms: task.now_ms,
                removes: true,
            };
            Some(Pending { running: Some(running), next_step_in })
        }
        Ok(Some(status)) => match PollResult::from_status(status) {
            PollResult::Succeeded => None,
            PollResult::Failed(_) | PollResult::Foreign | PollResult::Running(..) => {
                Some(Pending::start_again(RETRY_INTERVAL))
            }
        },
        Err(error) => {
            error.log(&task.row.id);
            Some(Pending::start_again(RETRY_INTERVAL))
        }
    }
}

/// The command that deletes all objects with the labels of this server, and no others.
fn delete_all_command(installation: &str) -> String {
    let agent = delete_agent_command(installation);
    let options = "--ignore-not-found --wait=false";
    let roles = format!("--selector {MANAGED_LABEL} {options}");
    format!(
        "{agent} {options} && kubectl delete rolebindings --all-namespaces {roles} && \
         kubectl delete clusterrolebindings,clusterroles {roles}"
    )
}

/// The command that deletes only the agent.
fn delete_agent_command(installation: &str) -> String {
    format!(
        "kubectl delete deployments,secrets,networkpolicies,serviceaccounts --namespace {NAMESPACE} --selector \
         {INSTALLATION_LABEL}={installation}"
    )
}

/// Deletes the objects through the Kubernetes API; false if that failed.
async fn delete_directly(core: &Core, task: &Task, installation: &str) -> bool {
    let Ok(Some(current)) = core.server_access.current(connection::target(task)).await else { return false };
    match core.cluster_access.remove_objects(&current.access, installation).await {
        Ok(()) => true,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(cluster = task.row.id, error, "cannot remove objects by the Kubernetes API");
            false
        }
    }
}
