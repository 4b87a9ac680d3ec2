//! Azure's run command for the agent. One step of the cluster starts the command, later steps poll it.

use std::time::Duration;

use aks::provision::agent::{ApplyMethod, Deployment, RunningCommand, token_tenant};
use aks::registration::{AGENT_NAME, NAMESPACE};
use aks::status::ConditionStatus;
use azure::run_command::{
    self, Command, Outcome, PendingResult, RESULT_ACTION, RUN_ACTION, SERVER_APPLICATION, Status,
};
use azure::{Arm, managed_clusters};
use secrecy::SecretString;
use serde_json::Value;
use tokio::time::Instant;

use super::{AgentContext, AgentProgress, WAITING_MESSAGE, set_condition};
use crate::provision::context;
use crate::provision::error::StepError;
use crate::provision::task::Task;
use crate::service::core::Core;
use crate::service::credentials::AzureAccess;

/// The first file contains only the deployment, with the immutable selector of this installation. If the cluster has the agent
/// of another server, applying that file fails, and nothing is changed. The field manager is the same as for manifests applied
/// through the Kubernetes API, so that fields omitted by a later manifest are removed.
const APPLY_COMMAND: &str = "kubectl apply --server-side --force-conflicts --field-manager=norman-aks -f deployment.yaml && \
                     kubectl apply --server-side --force-conflicts --field-manager=norman-aks -f agent.yaml";
const DEPLOYMENT_FILE: &str = "deployment.yaml";
const MANIFEST_FILE: &str = "agent.yaml";

/// Parts of Kubernetes' error for a deployment with another selector.
const FOREIGN_SELECTOR_ERROR: [&str; 2] = ["spec.selector", "field is immutable"];

/// The time limit of the requests of a [`CommandClient`], and that of a request for a token.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(40);
/// The minimum delay after a poll that returned no new URL or interval, for example because it failed.
const POLL_RETRY_DELAY: Duration = Duration::from_secs(10);
/// The time after which a command without a result is considered failed.
pub(super) const RESULT_TIMEOUT_MS: i64 = 15 * 60_000;
/// The maximum number of characters that are quoted from the output of a failed command: the last ones.
const MAX_LOGS_LEN: usize = 500;

/// Sends Azure's run commands for one step.
pub(super) struct CommandClient {
    access: std::sync::Arc<AzureAccess>,
    arm: Arm,
}

/// The result of a poll.
pub(super) enum PollResult {
    /// Poll again after the delay.
    Running(RunningCommand, Duration),
    /// The command succeeded.
    Succeeded,
    /// The command failed, with the reason.
    Failed(String),
    /// The cluster has the agent of another server.
    Foreign,
}

impl CommandClient {
    pub(super) async fn new(core: &Core, task: &Task) -> Result<Self, StepError> {
        let Some(id) = task.row.credential_id.clone() else { return Err(StepError::no_credential()) };
        let access = core.credentials.for_cluster(&id).await?;
        context::check_subscription(task, &access)?;
        let arm = context::arm(core, &access, Instant::now() + REQUEST_TIMEOUT, StepError::CLIENT_PREFIX)?;
        Ok(Self { access, arm })
    }

    /// The cluster as Azure returns it; `None` if it does not exist.
    pub(super) async fn read_cluster(&self, task: &Task) -> Result<Option<Value>, StepError> {
        let (group, name) = task.group_and_name();
        let cluster = managed_clusters::get(&self.arm, &group, &name).await;
        Ok(cluster.map_err(|error| StepError::from_azure("", error))?.map(|cluster| cluster.raw))
    }

    /// Starts a command with these files, each a name and its content.
    pub(super) async fn start(
        &self,
        core: &Core,
        task: &Task,
        cluster: Option<&Value>,
        command: &str,
        files: &[(&str, &str)],
    ) -> Result<Status, StepError> {
        let token = self.cluster_token(core, cluster).await?;
        let context = if files.is_empty() { SecretString::default() } else { run_command::archive(files) };
        let (group, name) = task.group_and_name();
        let command = Command { command, context: &context, cluster_token: token.as_ref() };
        let status = run_command::start(&self.arm, &group, &name, &command).await;
        status.map_err(|error| explain_denied(error, "start it", RUN_ACTION))
    }

    /// The token that a cluster with Microsoft Entra requires.
    async fn cluster_token(
        &self,
        core: &Core,
        cluster: Option<&Value>,
    ) -> Result<Option<SecretString>, StepError> {
        let Some(tenant) = cluster.and_then(token_tenant) else { return Ok(None) };
        let credential = self.access.credential();
        let tenant = if tenant.is_empty() { &credential.tenant_id } else { tenant };
        let scope = format!("{SERVER_APPLICATION}/.default");
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        let token = core.azure.entra_token(credential, tenant, &scope, None, deadline).await;
        token.map(Some).map_err(|error| StepError::from_azure("no token for the cluster: ", error))
    }

    /// Polls a command. After a transient error, the command is considered running.
    pub(super) async fn poll(&self, task: &Task, running: &RunningCommand) -> PollResult {
        let Ok(pending) = PendingResult::from_text(self.access.credential().cloud, &running.result) else {
            return PollResult::Failed("the stored URL of the command's result is invalid".to_owned());
        };
        let status = match run_command::poll(&self.arm, &pending).await {
            Ok(status) => status,
            Err(error) if is_permanent(&error) => {
                return PollResult::Failed(explain_denied(error, "read its result", RESULT_ACTION).message);
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(cluster = task.row.id, error, "cannot read the result of a run command");
                Status::Running(pending)
            }
        };
        let is_late = task.now_ms - running.started_ms >= RESULT_TIMEOUT_MS;
        match status {
            Status::Running(_) if is_late => {
                PollResult::Failed("the command did not finish within 15 min".to_owned())
            }
            Status::Running(pending) => {
                let delay = pending.retry_after().max(if pending.to_text() == running.result {
                    POLL_RETRY_DELAY
                } else {
                    Duration::ZERO
                });
                PollResult::Running(RunningCommand { result: pending.to_text(), ..running.clone() }, delay)
            }
            status => PollResult::from_status(status),
        }
    }
}

impl PollResult {
    pub(super) fn from_status(status: Status) -> Self {
        match status {
            Status::Finished(Outcome::Succeeded) => Self::Succeeded,
            Status::Finished(Outcome::Exited { logs, .. })
                if FOREIGN_SELECTOR_ERROR.iter().all(|part| logs.contains(part)) =>
            {
                Self::Foreign
            }
            Status::Finished(Outcome::Exited { code, logs }) => {
                Self::Failed(format!("kubectl exited with code {code}: {}", tail(&logs)))
            }
            Status::Finished(Outcome::Failed { reason }) => Self::Failed(match tail(&reason).as_str() {
                "" => "Azure returned no reason".to_owned(),
                reason => reason.to_owned(),
            }),
            Status::Running(_) | Status::Unknown => {
                Self::Failed("Azure no longer has the result of the command".to_owned())
            }
        }
    }
}

/// Starts the command that applies the manifest.
pub(super) async fn start(
    agent: &AgentContext<'_>,
    task: &mut Task,
    deployment: &mut Deployment,
) -> Result<AgentProgress, StepError> {
    let manifest = agent.manifest;
    let start = async {
        let client = CommandClient::new(agent.core, task).await?;
        let (guard_yaml, manifest_yaml) = (manifest.guard_yaml(), manifest.to_yaml());
        let files = [(DEPLOYMENT_FILE, guard_yaml.as_str()), (MANIFEST_FILE, manifest_yaml.as_str())];
        client.start(agent.core, task, agent.observed.cluster.as_ref(), APPLY_COMMAND, &files).await
    };
    match start.await {
        Ok(Status::Running(pending)) => {
            let delay = pending.retry_after();
            deployment.start(RunningCommand {
                result: pending.to_text(),
                revision: manifest.revision().to_owned(),
                secret: manifest.secret_name().to_owned(),
                started_ms: task.now_ms,
                removes: false,
            });
            Ok(record_in_progress(task, delay))
        }
        Ok(status) => {
            let result = PollResult::from_status(status);
            finish(agent, task, deployment, result, manifest.revision(), manifest.secret_name()).await
        }
        Err(error) => {
            error.log(&task.row.id);
            agent
                .record_failure(task, deployment, ApplyMethod::RunCommand, &manifest.redact(&error.message))
                .await
        }
    }
}

/// Polls the running command.
pub(super) async fn poll(
    agent: &AgentContext<'_>,
    task: &mut Task,
    deployment: &mut Deployment,
) -> Result<AgentProgress, StepError> {
    let Some(running) = deployment.running.clone() else {
        return Ok(record_in_progress(task, POLL_RETRY_DELAY));
    };
    let result = match CommandClient::new(agent.core, task).await {
        Ok(client) => client.poll(task, &running).await,
        Err(error) => PollResult::Failed(error.message),
    };
    match result {
        PollResult::Running(running, delay) => {
            deployment.running = Some(running);
            Ok(record_in_progress(task, delay))
        }
        result => finish(agent, task, deployment, result, &running.revision, &running.secret).await,
    }
}

/// Records the result of a command that has ended.
async fn finish(
    agent: &AgentContext<'_>,
    task: &mut Task,
    deployment: &mut Deployment,
    result: PollResult,
    revision: &str,
    secret: &str,
) -> Result<AgentProgress, StepError> {
    match result {
        PollResult::Succeeded => {
            agent.record_success(task, deployment, ApplyMethod::RunCommand, revision, secret).await
        }
        PollResult::Failed(reason) => {
            agent
                .record_failure(task, deployment, ApplyMethod::RunCommand, &agent.manifest.redact(&reason))
                .await
        }
        PollResult::Foreign => {
            let reason = format!(
                "the deployment {NAMESPACE}/{AGENT_NAME} was deployed by another server and is not changed"
            );
            agent.record_foreign(task, deployment, ApplyMethod::RunCommand, &reason).await
        }
        PollResult::Running(..) => Ok(record_in_progress(task, POLL_RETRY_DELAY)),
    }
}

fn record_in_progress(task: &mut Task, next_step_in: Duration) -> AgentProgress {
    let message = "Azure's run command is applying its manifest in the cluster";
    set_condition(task, ConditionStatus::Unknown, message);
    AgentProgress { message: format!("{WAITING_MESSAGE}: {message}"), next_step_in: Some(next_step_in) }
}

/// The error of a request. If it was denied, the message names the permissions to start a command and to read its result,
/// because some roles have only the first.
fn explain_denied(error: azure::Error, purpose: &str, missing_action: &str) -> StepError {
    let is_denied = error.upstream_status() == Some(403) && error.foreign_reason().is_none();
    let mut error = StepError::from_azure("", error);
    if is_denied {
        error.message = format!(
            "{}; the application may not {purpose}: it lacks {missing_action}; give it a role on the cluster with {RUN_ACTION} \
             and {RESULT_ACTION}, such as Contributor",
            error.message
        );
    }
    error
}

/// Whether polling again would give the same error.
fn is_permanent(error: &azure::Error) -> bool {
    let is_permanent_status = |status| matches!(status, 400..=499) && !matches!(status, 401 | 408 | 429);
    error.foreign_reason().is_none() && error.upstream_status().is_some_and(is_permanent_status)
}

/// The end of a command's output, which contains the errors, as one line.
fn tail(logs: &str) -> String {
    let line: String = logs.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let skipped = line.chars().count().saturating_sub(MAX_LOGS_LEN);
    line.chars().skip(skipped).collect()
}
