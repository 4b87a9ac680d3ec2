//! One step towards Azure: follow what runs there, or look, decide, and do one thing.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Parts;
use super::finish;
use super::follow;
use super::task::{Next, Running, Task};
use super::trouble::Trouble;
use crate::azure::resources::{agent_pools, managed_clusters, providers, resource_groups, workspaces};
use crate::azure::{Arm, Written};
use crate::domain::provision::manifest::{self, Context};
use crate::domain::provision::plan::{Observed, Phase, Situation, Step, part, plan};
use crate::domain::provision::{upstream, workspace};
use crate::domain::spec::{given, identity};
use crate::domain::status::{Progress, Truth};
use crate::service::cluster_events::REMOVED;
use crate::service::credentials::AzureAccess;
use crate::service::observation::{self, PROVIDER, WORKSPACES, is_unregistered};

/// How often Azure is looked at while it works and names no time.
const LOOK: Duration = Duration::from_secs(5);
/// How long Azure is left alone with a change that it says to have made: what it shows may be older.
const SETTLES: Duration = Duration::from_secs(1);
/// A step waits no longer than that between two attempts of a request: what takes longer is for a later step.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// A cluster cannot be looked at without a credential.
pub(super) const NO_CREDENTIAL: &str = "error getting Azure clients: error getting credentials: secret name not provided; \
     set aksConfig.azureCredentialSecret";

/// Why an object may go at once.
pub(super) const NOTHING_MADE: &str = "nothing of it was made in Azure by this server";

pub(super) async fn step(parts: &Parts, task: &mut Task, deadline: Instant) -> Result<Next, Trouble> {
    if task.phase == Phase::Removing {
        if task.work.phase != "removing" {
            task.tell("step", "the cluster is being removed");
            task.set_phase(Phase::Removing);
        }
        if leaves_nothing(task) {
            return Ok(forget(task, NOTHING_MADE));
        }
    } else if task.status.steps.is_empty() {
        begin(task);
    } else if task.was_active() && task.status.condition("Updated").is_some_and(|it| it.status == Truth::True)
    {
        task.condition("Updated", Truth::Unknown, "");
    }
    task.at_step("credentials", Progress::Running, "");
    let Some(id) = task.row.credential_id.clone() else {
        return Err(Trouble::new(NO_CREDENTIAL));
    };
    let access = parts.credentials.for_cluster(&id).await?;
    let arm = arm(parts, &access, deadline)?;
    same_subscription(task, &access)?;
    task.at_step("azure", Progress::Running, "");
    if let Some(next) = follow::follow(task, &access, &arm).await? {
        return Ok(next);
    }
    let observed = observation::observe(&arm, &access, task.aks(), task.phase)
        .await
        .map_err(|error| Trouble::azure("", error))?;
    let decided = decide(task, &observed);
    tracing::debug!(cluster = task.row.id, step = ?decided, "decided");
    let changes =
        !matches!(decided, Step::Wait(_) | Step::Finish | Step::Forget | Step::GaveUp(_) | Step::Refuse(_));
    let part = part(&decided);
    if changes {
        // Whoever lost the claim in the meantime must not change anything any more.
        task.record(parts).await?;
    }
    let outcome = Work { parts, access: &access, arm: &arm, observed: &observed, deadline };
    let next = outcome.act(task, decided).await;
    if let (Some(part), Ok(_)) = (part, &next) {
        *task.tried().written.entry(part).or_default() += 1;
    }
    if changes {
        parts.listings.forget_changed(&access);
    }
    next
}

/// Whether a removal has nothing to do in Azure: what was never asked of it, or only looked at, leaves nothing behind there.
pub(super) fn leaves_nothing(task: &Task) -> bool {
    task.phase == Phase::Removing && (task.is_import() || !task.work.claimed)
}

/// The way to Azure for one step.
pub(super) fn arm(parts: &Parts, access: &AzureAccess, deadline: Instant) -> Result<Arm, Trouble> {
    let arm = parts.azure.arm(access.credential(), deadline).map_err(|error| {
        Trouble::azure("error getting Azure clients: error creating client secret credential: ", error)
    })?;
    Ok(arm.with_patience(PATIENCE))
}

pub(super) fn decide(task: &mut Task, observed: &Observed) -> Step {
    let written = task.tried().written.clone();
    plan(&situation(task, &written, observed))
}

/// Everything that is known about the cluster.
pub(super) fn situation<'a>(
    task: &'a Task,
    written: &'a BTreeMap<String, u32>,
    observed: &'a Observed,
) -> Situation<'a> {
    Situation {
        spec: &task.wanted,
        applied: task.applied.as_ref(),
        phase: task.phase,
        claimed: task.work.claimed,
        owner: &task.owner,
        endpoint: task.status.api_endpoint.as_deref(),
        written,
        observed,
    }
}

/// A credential of another subscription finds nothing of the cluster there, which must not be taken for its end.
pub(super) fn same_subscription(task: &Task, access: &AzureAccess) -> Result<(), Trouble> {
    let Some(known) = task.row.aks_identity.as_ref().filter(|_| task.work.claimed || task.was_active())
    else {
        return Ok(());
    };
    let subscription = access.credential().subscription_id.as_str();
    if identity(Some(subscription), task.aks()).is_none_or(|identity| identity == *known) {
        return Ok(());
    }
    Err(Trouble::new(format!(
        "error getting Azure clients: error getting credentials: the cloud credential is for the subscription \
         {subscription} by now, and the cluster is in another one; correct its subscriptionId"
    )))
}

/// The first look at a new cluster.
fn begin(task: &mut Task) {
    for made in [
        "BackingNamespaceCreated",
        "DefaultProjectCreated",
        "SystemProjectCreated",
        "InitialRolesPopulated",
        "CreatorMadeOwner",
    ] {
        task.condition(made, Truth::True, "");
    }
    if task.is_import() {
        task.condition("Pending", Truth::Unknown, "");
    }
    task.condition("Provisioned", Truth::Unknown, "");
    task.tell("step", "the cluster object was made");
}

fn forget(task: &mut Task, why: &str) -> Next {
    task.tell(REMOVED, format!("the cluster object is gone: {why}"));
    Next::Forget
}

/// What a step is done with.
pub(super) struct Work<'a> {
    pub(super) parts: &'a Parts,
    pub(super) access: &'a AzureAccess,
    pub(super) arm: &'a Arm,
    pub(super) observed: &'a Observed,
    pub(super) deadline: Instant,
}

impl Work<'_> {
    async fn act(&self, task: &mut Task, step: Step) -> Result<Next, Trouble> {
        match step {
            Step::Refuse(reason) => Err(Trouble::new(reason)),
            // Azure's own words tell more than the state that is left.
            Step::GaveUp(what) => Err(Trouble::new(task.tried().said.clone().unwrap_or(what))),
            Step::Wait(what) => {
                if task.phase != Phase::Removing {
                    self.note_upstream(task);
                }
                task.wait(&what, None);
                Ok(Next::In(LOOK))
            }
            Step::Forget => Ok(forget(task, "Azure has nothing left of it that this server made")),
            Step::Finish => {
                finish::finish(self.parts, task, self.access, self.arm, self.observed, self.deadline).await
            }
            Step::RegisterProvider => self.register(task, PROVIDER).await,
            Step::CreateResourceGroup => self.create_group(task).await,
            Step::EnsureWorkspace => self.ensure_workspace(task).await,
            Step::CreateCluster => self.create_cluster(task).await,
            Step::UpdateTags => self.update_tags(task).await,
            Step::UpdateCluster(keys) => self.update_cluster(task, &keys).await,
            Step::PutPool(name) => self.put_pool(task, &name).await,
            Step::DeletePool(name) => self.delete_pool(task, &name).await,
            Step::DeleteCluster => self.delete_cluster(task).await,
        }
    }

    /// While Azure works, what it says already is shown (contract, section 17).
    fn note_upstream(&self, task: &mut Task) {
        if let Some(upstream) = &self.observed.upstream {
            task.status.upstream_spec = Some(upstream.clone());
        }
    }

    pub(super) fn context<'a>(&'a self, task: &'a Task) -> Context<'a> {
        Context {
            subscription_id: &self.access.credential().subscription_id,
            owner: &task.owner,
            workspace_id: self.observed.workspace_id.as_deref(),
        }
    }

    async fn register(&self, task: &mut Task, provider: &str) -> Result<Next, Trouble> {
        let doing = format!("error registering the resource provider {provider}: ");
        let failed = |error| Trouble::azure(&doing, error);
        if !providers::get(self.arm, provider).await.map_err(failed)?.is_registering() {
            providers::register(self.arm, provider).await.map_err(failed)?;
            task.tell("step", format!("asked Azure to register the resource provider {provider}"));
        }
        task.wait(&format!("Azure: the resource provider {provider} is being registered"), None);
        Ok(Next::In(LOOK))
    }

    async fn create_group(&self, task: &mut Task) -> Result<Next, Trouble> {
        let group = group(task).to_owned();
        let location = given(task.aks().resource_location.as_ref()).unwrap_or_default();
        let doing = format!("error creating resource group [{group}] with message ");
        let written = resource_groups::put(self.arm, &group, location)
            .await
            .map_err(|error| Trouble::azure(&doing, error))?;
        task.tell("step", format!("made the resource group {group}"));
        Ok(taken(task, &written, &format!("the resource group {group} is being made"), &doing, false))
    }

    async fn ensure_workspace(&self, task: &mut Task) -> Result<Next, Trouble> {
        let place = workspace::place(task.aks());
        let doing = "error failed to create cluster: error creating log analytics workspace: ";
        let failed = |error| Trouble::azure(doing, error);
        let found = match workspaces::get(self.arm, &place.group, &place.name).await {
            Err(error) if is_unregistered(&error) => return self.register(task, WORKSPACES).await,
            found => found.map_err(failed)?,
        };
        if found.is_some() {
            task.wait(&format!("Azure: the Log Analytics workspace {} is being made", place.name), None);
            return Ok(Next::In(LOOK));
        }
        let written =
            workspaces::put(self.arm, &place.group, &place.name, &place.region).await.map_err(failed)?;
        task.tell("step", format!("made the Log Analytics workspace {}", place.name));
        let what = format!("the Log Analytics workspace {} is being made", place.name);
        Ok(taken(task, &written, &what, doing, false))
    }

    async fn create_cluster(&self, task: &mut Task) -> Result<Next, Trouble> {
        let doing = "error failed to create cluster: ";
        let body = self.creation(task).await?;
        // The intent comes first: if the answer is lost, what is found then is known as ours.
        task.work.claimed = true;
        task.set_phase(Phase::Creating);
        task.record(self.parts).await?;
        let (group, name) = (group(task).to_owned(), name(task).to_owned());
        let written = managed_clusters::put(self.arm, &group, &name, &body)
            .await
            .map_err(|error| Trouble::azure(doing, error))?;
        let shown = written.resource.as_ref();
        task.status.upstream_spec = shown.and_then(|shown| observation::read(self.access, task.aks(), shown));
        task.tell("step", format!("Azure makes the cluster {name}"));
        Ok(taken(task, &written, &format!("the cluster {name} is being made"), doing, false))
    }

    async fn update_tags(&self, task: &mut Task) -> Result<Next, Trouble> {
        let (group, name) = (group(task).to_owned(), name(task).to_owned());
        let doing = format!("failed to update tags for cluster [{name}]: ");
        // Whose an imported cluster is stays as it was said.
        let found = self.observed.cluster.as_ref().and_then(upstream::owner);
        let owner = if task.is_import() { found } else { Some(task.owner.clone()) };
        let tags = manifest::tags(&task.wanted, owner.as_deref());
        let pairs = tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let written = managed_clusters::patch_tags(self.arm, &group, &name, pairs)
            .await
            .map_err(|error| Trouble::azure(&doing, error))?;
        task.tell("step", "changed the tags");
        Ok(taken(task, &written, "the tags are being changed", &doing, false))
    }

    async fn update_cluster(&self, task: &mut Task, keys: &[&str]) -> Result<Next, Trouble> {
        let (group, name) = (group(task).to_owned(), name(task).to_owned());
        let doing = "failed to update cluster: ";
        let current = self.observed.cluster.clone().unwrap_or_default();
        let body = manifest::update(&current, &task.wanted, self.context(task));
        let written = managed_clusters::put(self.arm, &group, &name, &body)
            .await
            .map_err(|error| Trouble::azure(doing, error))?;
        let (done, what) = if keys.is_empty() {
            (
                "asked Azure to bring the cluster to its state again".to_owned(),
                "the cluster is being repaired".to_owned(),
            )
        } else {
            let keys = keys.join(", ");
            (format!("changed {keys}"), format!("the cluster is being changed ({keys})"))
        };
        task.tell("step", done);
        Ok(taken(task, &written, &what, doing, false))
    }

    async fn put_pool(&self, task: &mut Task, pool: &str) -> Result<Next, Trouble> {
        let (group, name) = (group(task).to_owned(), name(task).to_owned());
        let doing = format!("failed to update cluster [{name}]: node pool {pool}: ");
        let wanted = task.aks().node_pools.iter().flatten().find(|it| it.name.as_deref() == Some(pool));
        let Some(wanted) = wanted else { return Ok(Next::Now) };
        let current = agent_pools::get(self.arm, &group, &name, pool)
            .await
            .map_err(|error| Trouble::azure(&doing, error))?;
        let properties = current.as_ref().and_then(|current| current.raw.get("properties"));
        let body = manifest::pool(wanted, properties, task.aks(), self.context(task));
        let written = agent_pools::put(self.arm, &group, &name, pool, &body)
            .await
            .map_err(|error| Trouble::azure(&doing, error))?;
        let verb = if current.is_some() { "changed" } else { "made" };
        task.tell("step", format!("{verb} the node pool {pool}"));
        Ok(taken(task, &written, &format!("the node pool {pool} is being {verb}"), &doing, false))
    }

    async fn delete_pool(&self, task: &mut Task, pool: &str) -> Result<Next, Trouble> {
        let (group, name) = (group(task).to_owned(), name(task).to_owned());
        let doing = "failed to remove node pool: ";
        let written = agent_pools::delete(self.arm, &group, &name, pool)
            .await
            .map_err(|error| Trouble::azure(doing, error))?;
        task.tell("step", format!("removed the node pool {pool}"));
        let what = format!("the node pool {pool} is being removed");
        Ok(written.map_or(Next::Now, |written| taken(task, &written, &what, doing, false)))
    }

    async fn delete_cluster(&self, task: &mut Task) -> Result<Next, Trouble> {
        let (group, name) = (group(task).to_owned(), name(task).to_owned());
        let doing = format!("error removing cluster [{name}] message ");
        let written = managed_clusters::delete(self.arm, &group, &name)
            .await
            .map_err(|error| Trouble::azure(&doing, error))?;
        task.tell("step", format!("Azure removes the cluster {name}"));
        let what = format!("the cluster {name} is being removed");
        Ok(written.map_or(Next::Now, |written| taken(task, &written, &what, &doing, true)))
    }
}

pub(super) fn group(task: &Task) -> &str {
    given(task.aks().resource_group.as_ref()).unwrap_or_default()
}

fn name(task: &Task) -> &str {
    given(task.aks().cluster_name.as_ref()).unwrap_or_default()
}

/// Azure took a change: it is followed, or looked at right away.
fn taken(task: &mut Task, written: &Written, what: &str, doing: &str, removes: bool) -> Next {
    metrics::counter!("norman_aks_provision_steps_total", "outcome" => "done").increment(1);
    let Some(operation) = &written.operation else {
        task.recovered();
        return Next::In(SETTLES);
    };
    let running = Running {
        operation: operation.to_text(),
        what: format!("Azure: {what}"),
        doing: doing.to_owned(),
        removes,
    };
    task.wait(&running.what, None);
    task.follow(Some(&running));
    Next::In(operation.retry_after())
}
