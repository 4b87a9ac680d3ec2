//! The last steps of a cluster to `active`: its upstream state, access to its API, and a first response from it
//! (`docs/contract/provisioning.md#conditions-while-provisioning`).

use std::sync::Arc;
use std::time::Duration;

use aks::cluster_details::ClusterDetails;
use aks::provision::plan::{Observed, Phase};
use aks::status::{Progress, Truth};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cluster_access::{Access, SERVICE_ACCOUNT};
use serde_json::Value;

use super::Parts;
use super::refresh;
use super::roles;
use super::task::{Next, Task};
use super::trouble::Trouble;
use crate::service::server_access::{Error as AccessError, Known, Retired, Target};

/// What is shown while only an agent inside could reach the cluster.
const WAITS_FOR_AGENT: &str = "waiting for cluster agent to be deployed: this server cannot reach the private cluster, and \
     this version has no agent yet; connect the server to the network of the cluster";

/// How often it is tried again whether such a cluster can be reached by now.
const AGENT_LOOK: Duration = Duration::from_secs(30);

pub(super) async fn finish(parts: &Parts, task: &mut Task, observed: &Observed) -> Result<Next, Trouble> {
    task.at_step("status", Progress::Running, "");
    note_status(task, observed);
    if task.is_import() {
        task.condition("Pending", Truth::True, "");
    }
    if !task.was_active() {
        task.condition("Provisioned", Truth::True, "");
    }
    if task.phase != Phase::Active {
        task.set_phase(Phase::Active);
    }
    task.at_step("connection", Progress::Running, "");
    let needs_agent = task.status.private_requires_tunnel == Some(true);
    if !task.was_active() && task.status.failure.is_none() && !needs_agent {
        // The attempt may take a minute, and is shown while it lasts.
        let what = waits_for_api(task);
        task.wait(&what, None);
        task.record(parts).await?;
        parts.bell.ring(&task.row.id);
    }
    if !connect(parts, task, observed).await? && !task.was_active() {
        task.wait(WAITS_FOR_AGENT, None);
        task.condition("Waiting", Truth::Unknown, "waiting for cluster agent to be deployed");
        return Ok(Next::In(AGENT_LOOK));
    }
    // What an import says counts from now on, so that it must not say less than is there.
    if task.is_import() && !task.was_active() && !refresh::take_over(parts, task).await? {
        return Ok(Next::Now);
    }
    activate(task);
    // Clients list the nodes as soon as the cluster is active.
    if let Ok(Some(known)) = parts.access.known(target(task)).await {
        parts.nodes.refresh(&task.row.id, known.access);
    }
    Ok(Next::In(refresh::interval(parts).await))
}

/// What is waited for while the Kubernetes API of a new cluster is tried.
fn waits_for_api(task: &Task) -> String {
    let what = "waiting for the Kubernetes API of the cluster to answer";
    match open_ranges(task) {
        Some(ranges) => format!("{what}; authorizedIpRanges lets in {ranges} only"),
        None => what.to_owned(),
    }
}

/// The addresses that may reach the cluster's API, when they are limited.
fn open_ranges(task: &Task) -> Option<String> {
    let ranges = task.status.upstream_spec.as_ref()?.authorized_ip_ranges.as_ref()?;
    (!ranges.is_empty()).then(|| ranges.join(", "))
}

/// Azure's view of the cluster, as it is shown.
pub(super) fn note_status(task: &mut Task, observed: &Observed) {
    task.status.upstream_spec.clone_from(&observed.upstream);
    task.status.details = observed.cluster.as_ref().map(ClusterDetails::read).unwrap_or_default();
    let properties = observed.cluster.as_ref().and_then(|cluster| cluster.get("properties"));
    let rbac = properties.and_then(|properties| properties.get("enableRBAC")).and_then(Value::as_bool);
    task.status.rbac_enabled = Some(rbac.unwrap_or(false));
    task.work.refreshed_ms = Some(task.now_ms);
}

/// Everything is as it is wanted.
fn activate(task: &mut Task) {
    task.settle_named();
    task.work.applied_generation = task.row.generation;
    task.work.applied_spec = serde_json::to_string(task.aks()).ok();
    task.status.waiting = None;
    task.status.recover();
    task.status.made_pools.clear();
    task.work.attempts = 0;
    if task.work.activated_ms.is_none() {
        task.work.activated_ms = Some(task.now_ms);
    }
    if task.status.condition("Waiting").is_some() {
        task.condition("Waiting", Truth::True, "");
    }
    task.condition("Provisioned", Truth::True, "");
    task.condition("Updated", Truth::True, "");
    task.at_step("active", Progress::Done, "");
    task.tell("active", "everything is as it is wanted");
}

/// Makes sure of the way into the cluster; false when it cannot be reached. What is wanted of Azure is there whatever the
/// inside says, so that trouble with an active cluster's way in is told by `Ready`, and ends nothing.
pub(super) async fn connect(parts: &Parts, task: &mut Task, observed: &Observed) -> Result<bool, Trouble> {
    match way_in(parts, task, observed).await {
        Err(trouble) if task.was_active() => {
            trouble.log(&task.row.id);
            task.condition("Connected", Truth::False, &trouble.message);
            task.condition("Ready", Truth::False, &trouble.message);
            Ok(false)
        }
        outcome => outcome,
    }
}

async fn way_in(parts: &Parts, task: &mut Task, observed: &Observed) -> Result<bool, Trouble> {
    let known = parts.access.known(target(task)).await.map_err(|error| Trouble::access(&error))?;
    let (mut access, mut refused) = match known {
        Some(Known { access, is_service_account: false }) => (access, None),
        known => match acquire(parts, task, observed).await {
            Ok(access) => (access, None),
            Err(error) => match known {
                Some(account) => (account.access, Some(error)),
                None => return not_acquired(task, observed, error),
            },
        },
    };
    let mut facts = parts.downstream.facts(&access).await;
    if let Err(rejected) = &facts
        && rejected.is_access_rejected()
    {
        match parts.access.renew(target(task), &access).await {
            Ok(renewed) => {
                facts = parts.downstream.facts(&renewed).await;
                (access, refused) = (renewed, None);
            }
            Err(error) if matches!(*error, AccessError::StillRejected) => {}
            Err(error) => return Err(Trouble::access(&error)),
        }
    }
    note_place(task, &access.endpoint, &access.ca);
    let facts = match facts {
        Ok(facts) => facts,
        Err(error) => return unreached(task, observed, error),
    };
    if task.status.condition(CONNECTED_ONCE).is_none_or(|condition| condition.status != Truth::True) {
        // From then on they are kept by the server that watches the cluster.
        let system = roles::system_namespaces(parts).await;
        match Box::pin(roles::correct(parts, &task.row.id, &access, &system)).await {
            Ok(_) => {}
            Err(roles::Error::Cluster(error)) => return unreached(task, observed, error),
            Err(error) => return Err(Trouble::roles(error)),
        }
    }
    match refused {
        Some(refused) => keep_account(task, &refused),
        None => retire_account(parts, task, &access).await,
    }
    Ok(reached(task, &facts))
}

/// The cluster, for whoever gives access to it.
fn target(task: &Task) -> Target<'_> {
    Target { id: &task.row.id, spec: task.aks(), status: &task.status }
}

/// First access to a cluster, or access in place of its service account.
async fn acquire(parts: &Parts, task: &mut Task, observed: &Observed) -> Result<Arc<Access>, AccessError> {
    let properties = observed.cluster.as_ref().and_then(|cluster| cluster.get("properties"));
    let disabled = properties.and_then(|properties| properties.get("disableLocalAccounts"));
    let local_accounts = disabled.and_then(Value::as_bool) != Some(true);
    let fetched = parts.access.fetch(target(task), local_accounts).await?;
    note_place(task, &fetched.kubeconfig.endpoint, &fetched.kubeconfig.ca);
    parts.access.adopt(target(task), &fetched).await
}

fn not_acquired(task: &mut Task, observed: &Observed, error: AccessError) -> Result<bool, Trouble> {
    match error {
        AccessError::Cluster(error) => unreached(task, observed, error),
        error => Err(Trouble::access(&error)),
    }
}

/// Where the cluster is, as clients see it.
fn note_place(task: &mut Task, endpoint: &url::Url, ca: &[u8]) {
    task.status.api_endpoint = Some(endpoint.as_str().trim_end_matches('/').to_owned());
    task.status.ca_cert = Some(STANDARD.encode(ca));
}

/// Rancher's condition, which clients wait for; no account is made any more.
const CONNECTED_ONCE: &str = "SystemAccountCreated";

/// The condition of clusters that an earlier version connected.
const ACCOUNT_REMOVED: &str = "ServiceAccountRemoved";

/// The service account of an earlier version is still in use; tells why.
fn keep_account(task: &mut Task, error: &AccessError) {
    let why = Trouble::access(error).message;
    let message = format!("the cluster is still entered by the service account {SERVICE_ACCOUNT}: {why}");
    task.condition(ACCOUNT_REMOVED, Truth::False, &message);
}

/// Removes the service account of an earlier version, now that other access works.
async fn retire_account(parts: &Parts, task: &mut Task, access: &Access) {
    let message = format!("removed the service account {SERVICE_ACCOUNT}, which is no longer needed");
    let event = task.event("serviceAccountRemoved", message);
    match parts.access.retire_service_account(&task.row.id, access, &event).await {
        Ok(Retired::Absent) => {}
        Ok(Retired::StillUsed(replica)) => {
            let message = format!(
                "the service account {SERVICE_ACCOUNT} is still needed by the server {replica}, which is of an earlier \
                 version; it is removed when that has stopped"
            );
            task.condition(ACCOUNT_REMOVED, Truth::Unknown, &message);
        }
        Ok(Retired::Removed) => {
            tracing::info!(cluster = task.row.id, "service account of an earlier version removed");
            task.condition(ACCOUNT_REMOVED, Truth::True, "");
        }
        Err(error) => {
            let cause: &dyn std::error::Error = &error;
            tracing::warn!(cluster = task.row.id, error = cause, "cannot remove the service account");
            let message = format!("the service account {SERVICE_ACCOUNT} cannot be removed: {error}");
            task.condition(ACCOUNT_REMOVED, Truth::False, &message);
        }
    }
}

fn reached(task: &mut Task, facts: &cluster_access::Facts) -> bool {
    task.status.version = Some(facts.version.clone());
    task.status.node_count = Some(facts.node_count);
    task.status.private_requires_tunnel = is_private(task).then_some(false);
    task.condition(CONNECTED_ONCE, Truth::True, "");
    task.condition("Connected", Truth::True, "");
    task.condition("Ready", Truth::True, "");
    true
}

fn is_private(task: &Task) -> bool {
    task.status.upstream_spec.as_ref().is_some_and(|upstream| upstream.private_cluster == Some(true))
}

/// The cluster was not reached. That is how a private one looks from outside; every other one should be reachable.
fn unreached(task: &mut Task, observed: &Observed, error: cluster_access::Error) -> Result<bool, Trouble> {
    // A cluster that limits who may ask leaves everybody else without an answer.
    let remedy = open_ranges(task).filter(|_| error.is_unanswered()).map(|ranges| {
        format!("; if the address of this server is not in authorizedIpRanges ({ranges}), add it there")
    });
    let remedy = remedy.unwrap_or_default();
    let message = format!("{error}{remedy}");
    task.condition("Connected", Truth::False, &message);
    task.condition("Ready", Truth::False, &message);
    let private = observed.upstream.as_ref().is_some_and(|upstream| upstream.private_cluster == Some(true));
    if private && (error.is_name_unknown() || error.is_timeout()) {
        task.status.private_requires_tunnel = Some(true);
        return Ok(false);
    }
    if task.was_active() {
        // What is wanted of Azure is there; that the cluster does not answer is told by `Ready`.
        return Ok(false);
    }
    let mut trouble = Trouble::inside(error);
    trouble.message.push_str(&remedy);
    Err(trouble)
}
