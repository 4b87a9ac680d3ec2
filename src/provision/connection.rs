//! Connects to the Kubernetes API of a cluster, and records its state.

use std::sync::Arc;

use aks::provision::plan::Observed;
use aks::status::ConditionStatus;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cluster_access::{Access, ClusterInfo, Path, SERVICE_ACCOUNT};
use serde_json::Value;

use super::error::StepError;
use super::roles;
use super::task::Task;
use crate::service::core::Core;
use crate::service::server_access::{CurrentAccess, Error as AccessError, Retired, Target};

/// Rancher's condition, for which clients wait. The account itself is no longer created.
const CONNECTED_ONCE: &str = "SystemAccountCreated";

/// Rancher's condition; true once an agent of the cluster has connected.
pub(super) const AGENT_DEPLOYED: &str = "AgentDeployed";

/// Rancher's message for a cluster that is reachable only through an agent.
const DISCONNECTED_MESSAGE: &str = "Cluster agent is not connected";

/// The condition of clusters that an earlier version connected with a service account.
const ACCOUNT_REMOVED: &str = "ServiceAccountRemoved";

/// Whether and how the Kubernetes API of a cluster is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// Without an agent.
    Directly,
    /// Through the tunnel of an agent.
    ThroughAgent,
    /// Unreachable.
    No,
}

impl Reached {
    pub(super) fn from_path(path: Option<Path>) -> Self {
        match path {
            Some(Path::Direct) => Self::Directly,
            Some(Path::Tunnel) => Self::ThroughAgent,
            None => Self::No,
        }
    }
}

/// Connects to the cluster; `None` if it is unreachable. For an active cluster, a failure only sets `Connected` and `Ready`,
/// because Azure still matches the specification. `observed` is Azure's state if it was just read.
pub(super) async fn connect(
    core: &Core,
    task: &mut Task,
    observed: Option<&Observed>,
) -> Result<Option<Path>, StepError> {
    core.agents.take_change(&task.row.id);
    let was_agent_deployed = task
        .status
        .condition(AGENT_DEPLOYED)
        .is_some_and(|condition| condition.status == ConditionStatus::True);
    if !was_agent_deployed && core.agents.sessions().has_usable(&task.row.id) {
        task.set_condition(AGENT_DEPLOYED, ConditionStatus::True, "");
    }
    match open_connection(core, task, observed).await {
        Err(error) if task.was_active() => {
            error.log(&task.row.id);
            set_connected(task, ConditionStatus::False, &error.message);
            Ok(None)
        }
        outcome => outcome,
    }
}

async fn open_connection(
    core: &Core,
    task: &mut Task,
    observed: Option<&Observed>,
) -> Result<Option<Path>, StepError> {
    let current = core.server_access.current(target(task)).await.map_err(StepError::from_access)?;
    let (mut access, mut acquisition_error) = match current {
        Some(CurrentAccess { access, is_service_account: false }) => (access, None),
        current => match acquire(core, task, observed).await {
            Ok(access) => (access, None),
            Err(error) => match current {
                Some(account) => (account.access, Some(error)),
                None => return record_acquisition_error(core, task, error),
            },
        },
    };
    let mut info = core.cluster_access.info(&access).await;
    if let Err(error) = &info
        && error.is_access_outdated()
    {
        match core.server_access.renew(target(task), &access).await {
            Ok(renewed) => {
                info = core.cluster_access.info(&renewed).await;
                (access, acquisition_error) = (renewed, None);
            }
            Err(error) if matches!(*error, AccessError::StillRejected) => {}
            Err(error) => return Err(StepError::from_access(error)),
        }
    }
    set_endpoint(task, &access.endpoint, &access.ca);
    let info = match info {
        Ok(info) => info,
        Err(error) => return set_unreachable(core, task, error),
    };
    if let Err(error) = create_roles(core, task, &access).await? {
        return set_unreachable(core, task, error);
    }
    match acquisition_error {
        Some(error) => record_account_kept(task, error),
        None => retire_account(core, task, &access).await,
    }
    // A concurrent request that failed may have reset the path.
    let needed_tunnel = task.status.private_requires_tunnel == Some(true);
    let last_path = if needed_tunnel { Path::Tunnel } else { Path::Direct };
    let path = core.cluster_access.path(&access).unwrap_or(last_path);
    set_reachable(task, &info, path);
    Ok(Some(path))
}

/// Creates the roles in a cluster that was never connected. Later, the server that watches the cluster maintains them. The
/// inner error is an error of the cluster.
async fn create_roles(
    core: &Core,
    task: &Task,
    access: &Access,
) -> Result<Result<(), cluster_access::Error>, StepError> {
    if task
        .status
        .condition(CONNECTED_ONCE)
        .is_some_and(|condition| condition.status == ConditionStatus::True)
    {
        return Ok(Ok(()));
    }
    let namespaces = roles::system_namespaces(core).await;
    match Box::pin(roles::correct(core, &task.row.id, access, &namespaces)).await {
        Ok(_) => Ok(Ok(())),
        Err(roles::error::Error::Cluster(error)) => Ok(Err(error)),
        Err(error) => Err(StepError::from_roles(error)),
    }
}

/// The cluster as a target of access.
pub(super) fn target(task: &Task) -> Target<'_> {
    Target { id: &task.row.id, spec: task.aks(), status: &task.status }
}

/// Acquires the first access to a cluster, or access that replaces its service account.
async fn acquire(
    core: &Core,
    task: &mut Task,
    observed: Option<&Observed>,
) -> Result<Arc<Access>, AccessError> {
    let cluster = observed.and_then(|observed| observed.cluster.as_ref());
    let local_accounts_disabled =
        cluster.and_then(|cluster| cluster.pointer("/properties/disableLocalAccounts"));
    let has_local_accounts = local_accounts_disabled.and_then(Value::as_bool) != Some(true);
    let fetched = core.server_access.fetch(target(task), has_local_accounts).await?;
    set_endpoint(task, &fetched.kubeconfig.endpoint, &fetched.kubeconfig.ca);
    core.server_access.adopt(target(task), &fetched).await
}

fn record_acquisition_error(
    core: &Core,
    task: &mut Task,
    error: AccessError,
) -> Result<Option<Path>, StepError> {
    match error {
        AccessError::Cluster(error) => set_unreachable(core, task, error),
        error => Err(StepError::from_access(error)),
    }
}

/// Records the endpoint and the certificate authority, which clients can see.
fn set_endpoint(task: &mut Task, endpoint: &url::Url, ca: &[u8]) {
    task.status.api_endpoint = Some(endpoint.as_str().trim_end_matches('/').to_owned());
    task.status.ca_cert = Some(STANDARD.encode(ca));
}

/// Records the reason why the service account of an earlier version is still used.
fn record_account_kept(task: &mut Task, error: AccessError) {
    let reason = StepError::from_access(error).message;
    let message = format!("this server still uses the service account {SERVICE_ACCOUNT}: {reason}");
    task.set_condition(ACCOUNT_REMOVED, ConditionStatus::False, &message);
}

/// Deletes the service account of an earlier version, after other access was verified.
async fn retire_account(core: &Core, task: &mut Task, access: &Access) {
    let message = format!("removed the service account {SERVICE_ACCOUNT}, which is no longer needed");
    let event = task.new_event("serviceAccountRemoved", message);
    match core.server_access.retire_service_account(&task.row.id, access, &event).await {
        Ok(Retired::Absent) => {}
        Ok(Retired::StillUsed(replica)) => {
            let message = format!(
                "the service account {SERVICE_ACCOUNT} is still needed by the server {replica} of an earlier version; \
                 it is removed when that server has stopped"
            );
            task.set_condition(ACCOUNT_REMOVED, ConditionStatus::Unknown, &message);
        }
        Ok(Retired::Removed) => {
            tracing::info!(cluster = task.row.id, "service account of an earlier version removed");
            task.set_condition(ACCOUNT_REMOVED, ConditionStatus::True, "");
        }
        Err(error) => {
            let cause: &dyn std::error::Error = &error;
            tracing::warn!(cluster = task.row.id, error = cause, "cannot remove the service account");
            let message = format!("the service account {SERVICE_ACCOUNT} cannot be removed: {error}");
            task.set_condition(ACCOUNT_REMOVED, ConditionStatus::False, &message);
        }
    }
}

fn set_reachable(task: &mut Task, info: &ClusterInfo, path: Path) {
    task.status.version = Some(info.version.clone());
    task.status.node_count = Some(info.node_count);
    task.status.private_requires_tunnel = is_private(task).then_some(path == Path::Tunnel);
    task.set_condition(CONNECTED_ONCE, ConditionStatus::True, "");
    set_connected(task, ConditionStatus::True, "");
}

fn is_private(task: &Task) -> bool {
    task.status.upstream_spec.as_ref().is_some_and(|upstream| upstream.private_cluster == Some(true))
}

fn set_connected(task: &mut Task, status: ConditionStatus, message: &str) {
    task.set_condition("Connected", status, message);
    task.set_condition("Ready", status, message);
}

/// The IP ranges that may reach the cluster's API, if they are limited.
pub(super) fn authorized_ranges(task: &Task) -> Option<String> {
    let ranges = task.status.upstream_spec.as_ref()?.authorized_ip_ranges.as_ref()?;
    (!ranges.is_empty()).then(|| ranges.join(", "))
}

/// Records that the cluster is unreachable. This is expected for a private cluster without an agent, and does not fail the step
/// of a cluster that was active.
fn set_unreachable(
    core: &Core,
    task: &mut Task,
    error: cluster_access::Error,
) -> Result<Option<Path>, StepError> {
    // A cluster with authorized ranges does not respond to other clients.
    let remedy = authorized_ranges(task).filter(|_| error.is_unanswered()).map(|ranges| {
        format!("; if the address of this server is not in authorizedIpRanges ({ranges}), add it there")
    });
    let remedy = remedy.unwrap_or_default();
    let has_agent = core.agents.sessions().has_usable(&task.row.id);
    let needs_agent =
        task.status.private_requires_tunnel == Some(true) && !has_agent && error.is_name_unknown();
    let message = if needs_agent { DISCONNECTED_MESSAGE.to_owned() } else { format!("{error}{remedy}") };
    set_connected(task, ConditionStatus::False, &message);
    if is_private(task) && !has_agent && (error.is_name_unknown() || error.is_timeout()) {
        task.status.private_requires_tunnel = Some(true);
        return Ok(None);
    }
    if task.was_active() {
        // Azure still matches the specification; the conditions show the failure.
        return Ok(None);
    }
    Err(StepError::from_cluster(error, &remedy))
}
