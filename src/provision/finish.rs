//! From "Azure has it as it is wanted" to "active": what Azure says it is, the way into it, and that it answers (contract,
//! sections 17, 23 and 25).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde_json::Value;
use tokio::time::Instant;

use super::Parts;
use super::refresh;
use super::task::{Next, Task};
use super::trouble::Trouble;
use crate::azure::Arm;
use crate::azure::managed_clusters::{self, UserFormat};
use crate::domain::provision::plan::{Observed, Phase};
use crate::domain::spec::given;
use crate::domain::status::{Progress, Truth};
use crate::downstream::{Access, Identity, Kubeconfig, SignIn};
use crate::service::credentials::AzureAccess;
use crate::service::secrets::SERVICE_ACCOUNT_TOKEN;

/// What is shown while only an agent inside could reach the cluster.
const WAITS_FOR_AGENT: &str = "waiting for cluster agent to be deployed: this server cannot reach the private cluster, and \
     this version has no agent yet; connect the server to the network of the cluster";

/// How often it is tried again whether such a cluster can be reached by now.
const AGENT_LOOK: Duration = Duration::from_secs(30);

pub(super) async fn finish(
    parts: &Parts,
    task: &mut Task,
    access: &AzureAccess,
    arm: &Arm,
    observed: &Observed,
    deadline: Instant,
) -> Result<Next, Trouble> {
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
    if !connect(parts, task, access, arm, observed, deadline).await? && !task.was_active() {
        task.wait(WAITS_FOR_AGENT, None);
        task.condition("Waiting", Truth::Unknown, "waiting for cluster agent to be deployed");
        return Ok(Next::In(AGENT_LOOK));
    }
    // What an import says counts from now on, so that it must not say less than is there.
    if task.is_import() && !task.was_active() && !refresh::take_over(parts, task).await? {
        return Ok(Next::Now);
    }
    activate(task);
    Ok(Next::In(refresh::interval(parts).await))
}

/// Azure's view of the cluster, as it is shown.
pub(super) fn note_status(task: &mut Task, observed: &Observed) {
    task.status.upstream_spec.clone_from(&observed.upstream);
    let properties = observed.cluster.as_ref().and_then(|cluster| cluster.get("properties"));
    let rbac = properties.and_then(|properties| properties.get("enableRBAC")).and_then(Value::as_bool);
    task.status.rbac_enabled = Some(rbac.unwrap_or(false));
    task.work.refreshed_ms = Some(task.now_ms);
}

/// Everything is as it is wanted.
fn activate(task: &mut Task) {
    task.work.applied_generation = task.row.generation;
    task.work.applied_spec = serde_json::to_string(task.aks()).ok();
    task.status.waiting = None;
    task.status.failure = None;
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
pub(super) async fn connect(
    parts: &Parts,
    task: &mut Task,
    access: &AzureAccess,
    arm: &Arm,
    observed: &Observed,
    deadline: Instant,
) -> Result<bool, Trouble> {
    match way_in(parts, task, access, arm, observed, deadline).await {
        Err(trouble) if task.was_active() => {
            trouble.log(&task.row.id);
            task.condition("Connected", Truth::False, &trouble.message);
            task.condition("Ready", Truth::False, &trouble.message);
            Ok(false)
        }
        outcome => outcome,
    }
}

async fn way_in(
    parts: &Parts,
    task: &mut Task,
    access: &AzureAccess,
    arm: &Arm,
    observed: &Observed,
    deadline: Instant,
) -> Result<bool, Trouble> {
    let kept = parts.secrets.of_cluster(&task.row.id, SERVICE_ACCOUNT_TOKEN).await?;
    let mut lost = None;
    if let (Some(token), Some(known)) = (kept, known_access(task)) {
        let ours = Access { identity: Identity::Token(token), ..known };
        match parts.downstream.facts(&ours).await {
            Ok(facts) => return Ok(reached(task, &facts)),
            // The service account was removed: made anew.
            Err(error) if error.is_unauthorized() => {}
            // The cluster may have another authority or another name by now.
            Err(error) if error.is_untrusted() || error.is_name_unknown() => lost = Some((ours, error)),
            Err(error) => return unreached(task, observed, error),
        }
    }
    let kubeconfig = kubeconfig(task, arm, observed).await?;
    if let Some((known, error)) = lost
        && (known.endpoint == kubeconfig.endpoint && known.ca == kubeconfig.ca)
    {
        return unreached(task, observed, error);
    }
    task.status.api_endpoint = Some(kubeconfig.endpoint.as_str().trim_end_matches('/').to_owned());
    task.status.ca_cert = Some(STANDARD.encode(&kubeconfig.ca));
    let identity = match &kubeconfig.sign_in {
        SignIn::Identity(identity) => identity.clone(),
        SignIn::Entra { server_id, tenant_id } => {
            let scope = format!("{server_id}/.default");
            let token = parts.azure.entra_token(access.credential(), tenant_id, &scope, None, deadline).await;
            Identity::Token(token.map_err(|error| {
                Trouble::azure("failed to communicate with cluster: error getting kube config: ", error)
            })?)
        }
    };
    let way = kubeconfig.access(identity);
    let token = match parts.downstream.make_service_account(&way).await {
        Ok(token) => token,
        Err(error) if error.is_forbidden() => {
            return Err(Trouble::new(format!(
                "failed to communicate with cluster: error generating service account token: {error}; give the \
                 application of the credential the role Azure Kubernetes Service RBAC Cluster Admin on the cluster"
            )));
        }
        Err(error) => return unreached(task, observed, error),
    };
    keep_token(parts, task, &token).await?;
    let ours = Access { identity: Identity::Token(token), ..way };
    match parts.downstream.facts(&ours).await {
        Ok(facts) => Ok(reached(task, &facts)),
        Err(error) => unreached(task, observed, error),
    }
}

async fn keep_token(parts: &Parts, task: &mut Task, token: &SecretString) -> Result<(), Trouble> {
    parts.secrets.keep_for_cluster(&task.row.id, SERVICE_ACCOUNT_TOKEN, token).await?;
    task.condition("SystemAccountCreated", Truth::True, "");
    task.tell("step", "made the service account of this server inside the cluster");
    Ok(())
}

fn known_access(task: &Task) -> Option<Access> {
    let endpoint = url::Url::parse(task.status.api_endpoint.as_deref()?).ok()?;
    let ca = STANDARD.decode(task.status.ca_cert.as_deref()?).ok()?;
    Some(Access { endpoint, ca, identity: Identity::Token(SecretString::default()) })
}

/// The administrator's kubeconfig; where local accounts are disabled, the one of users, which names where to sign in.
async fn kubeconfig(task: &Task, arm: &Arm, observed: &Observed) -> Result<Kubeconfig, Trouble> {
    let group = given(task.aks().resource_group.as_ref()).unwrap_or_default();
    let name = given(task.aks().cluster_name.as_ref()).unwrap_or_default();
    let properties = observed.cluster.as_ref().and_then(|cluster| cluster.get("properties"));
    let disabled = properties
        .and_then(|properties| properties.get("disableLocalAccounts"))
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let text = if disabled {
        managed_clusters::list_user_credential(arm, group, name, UserFormat::Azure).await
    } else {
        managed_clusters::list_admin_credential(arm, group, name).await
    };
    let doing = "failed to communicate with cluster: error getting kube config: ";
    let text = text.map_err(|error| Trouble::azure(doing, error))?;
    Kubeconfig::parse(&text).map_err(|error| Trouble::new(format!("{doing}{error}")))
}

fn reached(task: &mut Task, facts: &crate::downstream::Facts) -> bool {
    task.status.version = Some(facts.version.clone());
    task.status.node_count = Some(facts.node_count);
    task.status.private_requires_tunnel = is_private(task).then_some(false);
    task.condition("Connected", Truth::True, "");
    task.condition("Ready", Truth::True, "");
    true
}

fn is_private(task: &Task) -> bool {
    task.status.upstream_spec.as_ref().is_some_and(|upstream| upstream.private_cluster == Some(true))
}

/// The cluster was not reached. That is how a private one looks from outside; every other one should be reachable.
fn unreached(task: &mut Task, observed: &Observed, error: crate::downstream::Error) -> Result<bool, Trouble> {
    let message = error.to_string();
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
    Err(Trouble::inside(error))
}
