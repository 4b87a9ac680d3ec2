//! One step towards Azure: follow what runs there, or look, decide, and do one thing.

use std::time::Duration;

use aks::provision::manifest::{self, Context};
use aks::provision::plan::{Observed, Phase, Situation, Step, part, plan};
use aks::provision::upstream;
use aks::provision::usable::unusable;
use aks::spec::identity;
use aks::status::{Progress, Tried, Truth};
use azure::Arm;
use azure::resources::{agent_pools, managed_clusters};
use tokio::time::Instant;

use super::Parts;
use super::claim;
use super::follow::{self, taken};
use super::task::{Next, Task};
use super::trouble::Trouble;
use super::{finish, refresh};
use crate::service::cluster_events::REMOVED;
use crate::service::credentials::AzureAccess;
use crate::service::observation::{self, PROVIDER};

/// How often Azure is looked at while it works and names no time.
pub(super) const LOOK: Duration = Duration::from_secs(5);
/// After so long without a change Azure may be able to do what it could not: a quota was raised, a lock taken away.
const REST_MS: i64 = 30 * 60 * 1000;
/// Azure's words for a change of what is fixed.
const FIXED: [&str; 2] = ["PropertyChangeNotAllowed", "InvalidResourceLocation"];
/// A step waits no longer than that between two attempts of a request: what takes longer is for a later step.
const PATIENCE: Duration = Duration::from_secs(3);

/// A cluster cannot be looked at without a credential.
pub(super) const NO_CREDENTIAL: &str = "error getting Azure clients: error getting credentials: secret name not provided; \
     set aksConfig.azureCredentialSecret";

/// Before the reason why a step has no way to Azure.
pub(super) const NO_CLIENT: &str = "error getting Azure clients: error creating client secret credential: ";

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
    let arm = arm(parts, &access, deadline, NO_CLIENT)?;
    same_subscription(task, &access)?;
    task.at_step("azure", Progress::Running, "");
    if let Some(next) = follow::follow(task, &access, &arm).await? {
        return Ok(next);
    }
    let observed = observation::observe(&arm, &access, task.aks(), task.phase)
        .await
        .map_err(|error| Trouble::azure("", error))?;
    if !claim::claim(parts, task, &access).await? {
        return Ok(Next::Now);
    }
    let decided = decide(task, &observed);
    if task.was_active() && task.phase == Phase::Active {
        let unusable = unusable(&situation(task, &Tried::default(), &observed));
        refresh::note_unusable(task, unusable.as_ref());
    }
    tracing::debug!(cluster = task.row.id, step = ?decided, "decided");
    let changes = !matches!(
        decided,
        Step::Wait(_) | Step::Finish | Step::Forget | Step::Leave(_) | Step::GaveUp(_) | Step::Refuse(_)
    );
    let part = part(&decided);
    if changes {
        // Whoever lost the claim in the meantime must not change anything any more.
        task.record(parts).await?;
    }
    let outcome = Work { parts, access: &access, arm: &arm, observed: &observed };
    let next = outcome.act(task, decided).await;
    if changes {
        if next.is_ok() {
            note_change(task, part);
        }
        parts.listings.forget_changed(&access);
    }
    next
}

pub(super) fn decide(task: &mut Task, observed: &Observed) -> Step {
    task.merge(observed);
    let tried = task.tried().clone();
    plan(&situation(task, &tried, observed))
}

/// Azure took a change.
fn note_change(task: &mut Task, part: Option<String>) {
    let now_ms = task.now_ms;
    let tried = task.tried();
    tried.last_ms = now_ms;
    tried.last.clone_from(&part);
    if let Some(part) = part {
        tried.failed.remove(&part);
        *tried.written.entry(part).or_default() += 1;
    }
}

/// Whether a removal has nothing to do in Azure: what was never asked of it, or only looked at, leaves nothing behind there.
pub(super) fn leaves_nothing(task: &Task) -> bool {
    task.phase == Phase::Removing && (task.is_import() || !task.work.claimed)
}

/// The way to Azure for one step; `doing` are Rancher's words before the reason, where there is none.
pub(super) fn arm(
    parts: &Parts,
    access: &AzureAccess,
    deadline: Instant,
    doing: &str,
) -> Result<Arm, Trouble> {
    let arm = parts.azure.arm(access.credential(), deadline);
    Ok(arm.map_err(|error| Trouble::azure(doing, error))?.with_patience(PATIENCE))
}

/// Everything that is known about the cluster.
pub(super) fn situation<'a>(task: &'a Task, tried: &'a Tried, observed: &'a Observed) -> Situation<'a> {
    Situation {
        spec: &task.wanted,
        stated: &task.stated,
        applied: task.applied.as_ref(),
        phase: task.phase,
        claimed: task.work.claimed,
        owner: &task.owner,
        endpoint: task.status.api_endpoint.as_deref(),
        tried,
        rested: task.now_ms - tried.last_ms >= REST_MS,
        made: &task.status.made_pools,
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
}

impl Work<'_> {
    async fn act(&self, task: &mut Task, step: Step) -> Result<Next, Trouble> {
        match step {
            Step::Refuse(reason) => {
                self.note_upstream(task);
                Err(Trouble::new(reason))
            }
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
            Step::Leave(why) => Ok(forget(task, &why)),
            Step::Finish => finish::finish(self.parts, task, self.observed).await,
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

    /// Shows what Azure reports while it still works (`docs/contract/provisioning.md#conditions-while-provisioning`).
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
            cluster: self.observed.cluster.as_ref(),
        }
    }

    async fn create_cluster(&self, task: &mut Task) -> Result<Next, Trouble> {
        let doing = "error failed to create cluster: ";
        let body = self.creation(task).await?;
        // The intent comes first: if the answer is lost, what is found then is known as ours.
        task.work.claimed = true;
        task.set_phase(Phase::Creating);
        let pools = task.aks().node_pools.iter().flatten().filter_map(|pool| pool.name.clone());
        let pools: Vec<String> = pools.collect();
        task.status.made_pools.extend(pools);
        task.record(self.parts).await?;
        let (group, name) = (group(task).to_owned(), name(task).to_owned());
        let written = match managed_clusters::put(self.arm, &group, &name, &body).await {
            Err(error)
                if self.observed.cluster.is_some()
                    && error.code().is_some_and(|code| FIXED.contains(&code)) =>
            {
                return self.clear(task).await;
            }
            written => written.map_err(|error| Trouble::azure(doing, error))?,
        };
        let shown = written.resource.as_ref();
        task.status.upstream_spec = shown.and_then(|shown| observation::read(self.access, task.aks(), shown));
        task.tell("step", format!("Azure makes the cluster {name}"));
        Ok(taken(task, &written, &format!("the cluster {name} is being made"), doing, false))
    }

    /// What is left of a creation that failed cannot become what is wanted by now. Nobody ever had it complete, so that it
    /// makes room.
    async fn clear(&self, task: &mut Task) -> Result<Next, Trouble> {
        task.tell("step", "what is left of the creation that failed cannot be changed to what is wanted now");
        self.delete_cluster(task).await
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
        let wanted = task.wanted.node_pools.iter().flatten().find(|it| it.name.as_deref() == Some(pool));
        let Some(wanted) = wanted.cloned() else { return Ok(Next::Now) };
        let current = agent_pools::get(self.arm, &group, &name, pool)
            .await
            .map_err(|error| Trouble::azure(&doing, error))?;
        if current.is_none() {
            // The intent comes first, as with the cluster.
            task.status.made_pools.insert(pool.to_owned());
            task.record(self.parts).await?;
        }
        let properties = current.as_ref().and_then(|current| current.raw.get("properties"));
        let body = manifest::pool(&wanted, properties, task.aks(), self.context(task));
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
    task.aks().resource_group.as_deref().unwrap_or_default()
}

fn name(task: &Task) -> &str {
    task.aks().cluster_name.as_deref().unwrap_or_default()
}
