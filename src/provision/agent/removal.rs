//! Removes the agent from an import whose object is deleted: the cluster is left as it was found.

use std::time::Duration;

use aks::provision::agent::{Deployment, RunningCommand};
use aks::registration::{INSTALLATION, NAMESPACE, installation, objects_to_delete};
use azure::run_command::Status;
use serde_json::Value;

use super::command::{Client, Polled};
use crate::provision::connection;
use crate::provision::task::{Next, Task};
use crate::service::core::Core;

/// The removal of the object waits for that of the agent at most this long.
const LIMIT_MS: i64 = 10 * 60_000;
const RETRY_INTERVAL: Duration = Duration::from_secs(15);

/// Removes the agent, one step at a time; `None` when there is none left, or it was given up.
pub(in crate::provision) async fn remove(core: &Core, task: &mut Task) -> Option<Next> {
    let deployment = task.status.agent.clone().filter(Deployment::may_have_objects)?;
    let since_ms = task.row.removing_ms.unwrap_or(task.now_ms);
    if task.now_ms - since_ms >= LIMIT_MS {
        let message = "the cluster agent could not be removed and is left in the cluster; delete it: kubectl --namespace \
                       cattle-system delete deployment,networkpolicy/cattle-cluster-agent";
        task.add_event("agentLeft", message);
        task.status.agent = None;
        return None;
    }
    task.set_step("connection", aks::status::Progress::Running, "");
    let (running, next) = match deployment.running.clone() {
        Some(running) => poll(core, task, running).await,
        None => delete(core, task, &deployment).await,
    }?;
    task.status.agent = Some(Deployment { running, ..deployment });
    task.wait("the cluster agent is being removed from the cluster", None);
    Some(Next::In(next))
}

type Step = Option<(Option<RunningCommand>, Duration)>;

/// Polls the command. One that was started to apply the manifest must end before the agent is deleted.
async fn poll(core: &Core, task: &mut Task, running: RunningCommand) -> Step {
    let polled = match Client::new(core, task).await {
        Ok(client) => client.poll(task, &running).await,
        Err(error) => Polled::Failed(error.message),
    };
    match polled {
        Polled::Running(running, next) => Some((Some(running), next)),
        Polled::Succeeded if running.removes => removed(task),
        Polled::Succeeded | Polled::Foreign => Some((None, Duration::ZERO)),
        Polled::Failed(reason) => {
            tracing::warn!(cluster = task.row.id, reason, "cannot remove the cluster agent by a run command");
            Some((None, RETRY_INTERVAL))
        }
    }
}

async fn delete(core: &Core, task: &mut Task, deployment: &Deployment) -> Step {
    let secrets = deployment.old_secrets.iter().chain([&deployment.secret]);
    let install_uuid = core.settings.value("install-uuid").await;
    let objects =
        objects_to_delete(&install_uuid, secrets.map(String::as_str).filter(|name| !name.is_empty()));
    if delete_directly(core, task, &objects).await {
        return removed(task);
    }
    let started = async {
        let client = Client::new(core, task).await?;
        let cluster = client.cluster(task).await?;
        client.start(core, task, cluster.as_ref(), (&delete_command(&install_uuid), &[])).await
    };
    match started.await {
        Ok(Status::Running(pending)) => {
            let next = pending.retry_after();
            let running = RunningCommand {
                result: pending.to_text(),
                revision: String::new(),
                secret: String::new(),
                started_ms: task.now_ms,
                removes: true,
            };
            Some((Some(running), next))
        }
        Ok(ended) => match Polled::from_ended(ended) {
            Polled::Succeeded => removed(task),
            Polled::Failed(_) | Polled::Foreign | Polled::Running(..) => Some((None, RETRY_INTERVAL)),
        },
        Err(error) => {
            error.log(&task.row.id);
            Some((None, RETRY_INTERVAL))
        }
    }
}

/// Deletes only objects with the label of this server.
fn delete_command(install_uuid: &str) -> String {
    let installation = installation(install_uuid);
    format!(
        "kubectl delete deployments,secrets,networkpolicies,serviceaccounts --namespace {NAMESPACE} --selector \
         {INSTALLATION}={installation} --ignore-not-found --wait=false"
    )
}

async fn delete_directly(core: &Core, task: &Task, objects: &[Value]) -> bool {
    let Ok(Some(known)) = core.access.known(connection::target(task)).await else { return false };
    match core.cluster_access.delete_manifest(&known.access, objects).await {
        Ok(()) => true,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                cluster = task.row.id,
                error,
                "cannot remove the cluster agent by the Kubernetes API"
            );
            false
        }
    }
}

fn removed(task: &mut Task) -> Step {
    task.add_event("agentRemoved", "removed the cluster agent from the cluster");
    task.status.agent = None;
    None
}
