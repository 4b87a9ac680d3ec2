//! Deploys the cluster agent and keeps it up to date: through the Kubernetes API if it is reachable, else with Azure's run
//! command, else by instructions to an owner (`docs/contract/registration.md#agent`). `aks::provision::agent` chooses the step.

mod command;
mod removal;

use std::time::Duration;

use aks::provision::agent::{ApplyMethod, Deployment, Input, Mode, Step, has_run_command};
use aks::provision::plan::Observed;
use aks::registration::{Manifest, ca_checksum};
use aks::status::ConditionStatus;

pub(super) use self::removal::remove;
use super::connection::{self, AGENT_DEPLOYED, Reached};
use super::error::StepError;
use super::task::Task;
use crate::service::core::Core;
use crate::service::registration::ManifestError;
use crate::store;

/// Rancher's messages, which clients look for.
pub(super) const WAITING_MESSAGE: &str = "waiting for cluster agent to be deployed";
const FAILED_MESSAGE: &str = "Error while applying agent YAML, it will be retried automatically";

/// The retry interval for a cluster that waits for its agent.
pub(super) const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// The maximum number of clusters whose agent is deployed or replaced concurrently.
const MAX_ROLLOUTS: i64 = 5;
/// The time for which a rollout counts against [`MAX_ROLLOUTS`] if its end is not observed.
const ROLLOUT_TIMEOUT_MS: i64 = command::RESULT_TIMEOUT_MS + 5 * 60_000;
/// The time for which a replacement still counts after its manifest was applied, because the new pod is starting.
const REPLACEMENT_SETTLE_MS: i64 = 60_000;

/// The progress of an agent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AgentProgress {
    /// The reason, for users, why a cluster that is reachable only through its agent is waiting; may be empty.
    pub(super) message: String,
    /// The time until the next step; `None` if there is none.
    pub(super) next_step_in: Option<Duration>,
}

/// Deploys or replaces the agent of a cluster, one step at a time. A failure is recorded and retried; it does not fail the
/// reconcile step of the cluster.
///
/// # Errors
/// Stored data cannot be read or written, the access to the cluster cannot be loaded, or the lease was lost.
pub(super) async fn maintain(
    core: &Core,
    task: &mut Task,
    observed: &Observed,
    reached: Reached,
) -> Result<AgentProgress, StepError> {
    let mode = Mode::new(task.spec.body(), &core.settings.value("agent").await);
    let mut deployment = task.status.agent.clone().unwrap_or_default();
    let is_deployed = deployment.is_deployed();
    // An outage of a public cluster does not require an agent.
    let needs_tunnel = reached != Reached::Directly && task.status.private_requires_tunnel == Some(true);
    if !mode.wants_agent(needs_tunnel, is_deployed) {
        clear_failure(task);
        return Ok(progress_without_agent(mode));
    }
    // Whether an agent that this server did not deploy serves the cluster. If no manifest is available, that agent is kept.
    let has_unmanaged_agent = mode == Mode::Auto && reached == Reached::ThroughAgent && !is_deployed;
    let manifest = core.registration.manifest_to_deploy(&task.row.id, task.spec.body(), &task.status).await;
    let manifest = match manifest {
        Ok(manifest) => manifest,
        Err(ManifestError::Other(error)) => return Err(StepError::from_registration(error)),
        Err(_) if has_unmanaged_agent => {
            clear_failure(task);
            return Ok(progress_without_agent(mode));
        }
        Err(error) => {
            let next_step_in = (reached == Reached::No).then_some(RETRY_INTERVAL);
            return Ok(record_blocked(task, &error.to_string(), next_step_in));
        }
    };
    let input = Input {
        revision: manifest.revision(),
        now_ms: task.now_ms,
        is_reached: reached != Reached::No,
        has_run_command: observed.cluster.as_ref().is_some_and(has_run_command),
    };
    let step = deployment.next(&input);
    let context = AgentContext {
        core,
        observed,
        manifest: &manifest,
        is_reached: input.is_reached,
        has_unmanaged_agent,
    };
    let progress = context.run(task, &mut deployment, step).await?;
    // A deployment that was never started leaves no state.
    task.status.agent = (is_deployed || deployment != Deployment::default()).then_some(deployment);
    // A current manifest needs no further step once the cluster is reached.
    Ok(AgentProgress {
        message: progress.message,
        next_step_in: progress.next_step_in.filter(|_| step != Step::Keep || reached == Reached::No),
    })
}

/// Whether Azure is executing a run command for the agent.
pub(super) fn is_polling(task: &Task) -> bool {
    task.status.agent.as_ref().is_some_and(|agent| agent.running.is_some())
}

/// Whether a run command must be polled, or the manifest of a deployed agent has changed.
pub(super) async fn is_due(core: &Core, task: &Task) -> bool {
    if is_polling(task) {
        return true;
    }
    let Some(agent) = task.status.agent.as_ref().filter(|agent| agent.is_deployed()) else { return false };
    let manifest = core.registration.manifest_to_deploy(&task.row.id, task.spec.body(), &task.status).await;
    manifest.is_ok_and(|manifest| manifest.revision() != agent.revision) && agent.retry_ms <= task.now_ms
}

/// The progress of a cluster that gets no agent.
fn progress_without_agent(mode: Mode) -> AgentProgress {
    let message = match mode {
        Mode::Never => format!(
            "{WAITING_MESSAGE}: this server cannot reach the API of the cluster, and does not deploy an agent, because the setting agent \
             or the annotation norman-aks.io/agent is never; change it, or connect the server to the network of the cluster"
        ),
        Mode::Auto | Mode::Always => String::new(),
    };
    AgentProgress { message, next_step_in: None }
}

/// Records the reason why the agent is not being deployed.
fn record_blocked(task: &mut Task, reason: &str, next_step_in: Option<Duration>) -> AgentProgress {
    set_condition(task, ConditionStatus::False, &format!("{FAILED_MESSAGE}: {reason}"));
    AgentProgress { message: format!("{WAITING_MESSAGE}: {reason}"), next_step_in }
}

/// Clears the message of an earlier failure.
fn clear_failure(task: &mut Task) {
    if task.status.condition(AGENT_DEPLOYED).is_some_and(|condition| !condition.message.is_empty()) {
        set_condition(task, ConditionStatus::Unknown, "");
    }
}

/// Sets the condition `AgentDeployed`. Once an agent has connected, the condition stays true, and only its message changes.
fn set_condition(task: &mut Task, status: ConditionStatus, message: &str) {
    let current = task.status.condition(AGENT_DEPLOYED).map(|condition| condition.status);
    let status = if current == Some(ConditionStatus::True) { ConditionStatus::True } else { status };
    task.set_condition(AGENT_DEPLOYED, status, message);
}

/// The context of one step of the deployment.
struct AgentContext<'a> {
    core: &'a Core,
    observed: &'a Observed,
    manifest: &'a Manifest,
    is_reached: bool,
    /// Whether an agent that this server did not deploy serves the cluster.
    has_unmanaged_agent: bool,
}

impl AgentContext<'_> {
    async fn run(
        &self,
        task: &mut Task,
        deployment: &mut Deployment,
        step: Step,
    ) -> Result<AgentProgress, StepError> {
        match step {
            Step::Keep => {
                self.delete_old_secrets(task, deployment).await;
                Ok(progress_until_connected(deployment))
            }
            Step::Wait => self.report_retry(task, deployment).await,
            Step::AskOwner => {
                let reason = "this server cannot reach the API of the cluster, and disableRunCommand prevents Azure from \
                              executing commands in it";
                Ok(self.ask_owner(task, reason).await)
            }
            Step::LeaveForeign => Ok(self.report_foreign(task, deployment).await),
            Step::Poll => command::poll(self, task, deployment).await,
            Step::Apply(method) => self.deploy(task, deployment, method).await,
        }
    }

    async fn deploy(
        &self,
        task: &mut Task,
        deployment: &mut Deployment,
        method: ApplyMethod,
    ) -> Result<AgentProgress, StepError> {
        let (id, fence, until_ms) = (&task.row.id, task.work.fence, task.now_ms + ROLLOUT_TIMEOUT_MS);
        let store = &self.core.store;
        if !store::clusters::begin_rollout(store, id, fence, task.now_ms, until_ms, MAX_ROLLOUTS).await? {
            let message =
                format!("{WAITING_MESSAGE}: the agents of {MAX_ROLLOUTS} other clusters are being deployed");
            return Ok(AgentProgress { message, next_step_in: (!self.is_reached).then_some(RETRY_INTERVAL) });
        }
        // The attempt is saved first, so that its objects can be removed even if its result is never observed, and because a
        // server that lost the lease must not change anything.
        deployment.record_attempt(self.manifest.secret_name());
        task.status.agent = Some(deployment.clone());
        task.save(self.core).await?;
        match method {
            ApplyMethod::Api => self.apply_through_api(task, deployment).await,
            ApplyMethod::RunCommand => command::start(self, task, deployment).await,
        }
    }

    async fn apply_through_api(
        &self,
        task: &mut Task,
        deployment: &mut Deployment,
    ) -> Result<AgentProgress, StepError> {
        let current = self.core.server_access.current(connection::target(task)).await;
        let current = current.map_err(StepError::from_access)?;
        let Some(current) = current else {
            return self
                .record_failure(task, deployment, ApplyMethod::Api, "the cluster is not connected yet")
                .await;
        };
        match self.core.cluster_access.apply_manifest(&current.access, self.manifest.objects()).await {
            Ok(()) => {
                let (revision, secret) = (self.manifest.revision(), self.manifest.secret_name());
                self.record_success(task, deployment, ApplyMethod::Api, revision, secret).await
            }
            Err(error @ cluster_access::Error::ForeignObject { .. }) => {
                self.record_foreign(task, deployment, ApplyMethod::Api, &error.to_string()).await
            }
            Err(error) => {
                let message = self.manifest.redact(&error.to_string());
                self.record_failure(task, deployment, ApplyMethod::Api, &message).await
            }
        }
    }

    /// Records that a manifest was applied.
    async fn record_success(
        &self,
        task: &mut Task,
        deployment: &mut Deployment,
        method: ApplyMethod,
        revision: &str,
        secret: &str,
    ) -> Result<AgentProgress, StepError> {
        let is_replacement = !deployment.revision.is_empty();
        deployment.succeed(revision, secret, method, task.now_ms);
        let verb = if is_replacement { "replaced" } else { "deployed" };
        let message = format!("{verb} the cluster agent by {} (manifest {revision})", method.as_str());
        task.add_event("agentManifestApplied", message);
        set_condition(task, ConditionStatus::Unknown, "");
        let until_ms = is_replacement.then(|| task.now_ms + REPLACEMENT_SETTLE_MS);
        store::clusters::end_rollout(&self.core.store, &task.row.id, task.work.fence, until_ms).await?;
        Ok(progress_until_connected(deployment))
    }

    /// Records that an attempt failed.
    async fn record_failure(
        &self,
        task: &mut Task,
        deployment: &mut Deployment,
        method: ApplyMethod,
        reason: &str,
    ) -> Result<AgentProgress, StepError> {
        let message = format!("{} failed: {reason}", method.as_str());
        if deployment.failure.as_deref() != Some(&message) {
            task.add_event("agentManifestFailed", &message);
        }
        tracing::warn!(cluster = task.row.id, "cannot deploy the cluster agent: {message}");
        deployment.fail(&message, method, task.now_ms);
        store::clusters::end_rollout(&self.core.store, &task.row.id, task.work.fence, None).await?;
        self.report_retry(task, deployment).await
    }

    /// Records that the cluster has the agent of another server.
    async fn record_foreign(
        &self,
        task: &mut Task,
        deployment: &mut Deployment,
        method: ApplyMethod,
        reason: &str,
    ) -> Result<AgentProgress, StepError> {
        if !self.has_unmanaged_agent && deployment.failure.as_deref() != Some(reason) {
            task.add_event("agentManifestFailed", reason);
        }
        tracing::info!(cluster = task.row.id, "agent of another server left unchanged: {reason}");
        deployment.leave_foreign(reason, method, task.now_ms);
        store::clusters::end_rollout(&self.core.store, &task.row.id, task.work.fence, None).await?;
        Ok(self.report_foreign(task, deployment).await)
    }

    /// Sets the condition and progress of a cluster with the agent of another server.
    async fn report_foreign(&self, task: &mut Task, deployment: &Deployment) -> AgentProgress {
        if self.has_unmanaged_agent {
            clear_failure(task);
            return AgentProgress { message: String::new(), next_step_in: None };
        }
        let reason = deployment.failure.as_deref().unwrap_or_default();
        let mut message = format!(
            "{reason}; if it is still in use, set the annotation norman-aks.io/agent of the cluster to never, otherwise delete \
             it: kubectl --namespace cattle-system delete deployment/cattle-cluster-agent"
        );
        if !self.is_reached {
            message = format!(
                "{message}; then deploy this server's agent from the network of the cluster: {}",
                self.owner_command(task).await
            );
        }
        record_blocked(task, &message, (!self.is_reached).then_some(RETRY_INTERVAL))
    }

    /// Sets the condition and progress of a deployment that will be retried.
    async fn report_retry(
        &self,
        task: &mut Task,
        deployment: &Deployment,
    ) -> Result<AgentProgress, StepError> {
        let failure = deployment.failure.as_deref().unwrap_or_default();
        let seconds = (deployment.retry_ms - task.now_ms).max(0) / 1_000;
        let reason = format!("{failure}; next attempt at {}", format_time_of_day(deployment.retry_ms));
        let AgentProgress { message, .. } = self.ask_owner(task, &reason).await;
        let next_step_in = Some(Duration::from_secs(u64::try_from(seconds).unwrap_or_default() + 1));
        Ok(AgentProgress { message, next_step_in })
    }

    /// Sets the condition and progress, with instructions for an owner to deploy the agent.
    async fn ask_owner(&self, task: &mut Task, reason: &str) -> AgentProgress {
        let message = format!(
            "{reason}; an owner can also deploy it from the network of the cluster: {}",
            self.owner_command(task).await
        );
        record_blocked(task, &message, Some(RETRY_INTERVAL))
    }

    /// The command with which an owner deploys the agent. It has a placeholder for the registration token, because it is shown
    /// to members who may not see the token.
    async fn owner_command(&self, task: &Task) -> String {
        let id = &task.row.id;
        let server = self.core.public_address.agent_url().await.unwrap_or_default();
        let manifest_url = format!("{server}/v3/import/<token>_{id}.yaml");
        let tokens_url = format!("{server}/v3/clusterregistrationtokens?clusterId={id}");
        match ca_checksum(&self.core.public_address.authorities().await).as_str() {
            "" => format!("kubectl apply -f {manifest_url}, with the token from {tokens_url}"),
            // kubectl does not trust a private authority.
            checksum => format!(
                "curl --insecure -sfL {manifest_url} | kubectl apply -f -, with the token from {tokens_url}; the SHA-256 \
                 checksum of the server's authority is {checksum}"
            ),
        }
    }

    /// Deletes secrets of earlier manifests. A failure is only logged, because the secrets are harmless.
    async fn delete_old_secrets(&self, task: &Task, deployment: &mut Deployment) {
        let names = deployment.disposable_secrets(task.now_ms);
        if names.is_empty() || !self.is_reached {
            return;
        }
        let Ok(Some(current)) = self.core.server_access.current(connection::target(task)).await else {
            return;
        };
        match self.core.cluster_access.delete_agent_secrets(&current.access, &names).await {
            Ok(()) => deployment.old_secrets.clear(),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    cluster = task.row.id,
                    error,
                    "cannot delete old secrets of the cluster agent"
                );
            }
        }
    }
}

/// The progress of an agent that has not connected yet.
fn progress_until_connected(deployment: &Deployment) -> AgentProgress {
    let applied_by = deployment.method.map_or("an owner", ApplyMethod::as_str);
    let message = format!(
        "{WAITING_MESSAGE}: its manifest was applied by {applied_by}, and the agent has not connected yet; if it does not, \
         see kubectl --namespace cattle-system describe pods, and logs deployment/cattle-cluster-agent"
    );
    AgentProgress { message, next_step_in: Some(RETRY_INTERVAL) }
}

/// A time as `12:34:56 UTC`.
fn format_time_of_day(at_ms: i64) -> String {
    let seconds = at_ms.div_euclid(1_000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02} UTC", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}
