//! One step towards the desired spec: polls the running operation, or reads Azure, decides, and makes one change.

use aks::provision::manifest;
use aks::provision::plan::{Phase, Step, written_part};
use aks::provision::upstream;
use aks::provision::usable::unusable;
use aks::status::{ConditionStatus, Progress, UpdateAttempts};
use azure::resources::{agent_pools, managed_clusters};
use tokio::time::Instant;

use super::activate;
use super::agent;
use super::claim;
use super::context::{self, Change, NOTHING_CREATED, POLL_INTERVAL, StepContext};
use super::error::StepError;
use super::operation;
use super::refresh;
use super::task::{Next, Task};
use crate::service::clusters::REMOVED;
use crate::service::core::Core;
use crate::service::observation::{self, AKS_PROVIDER};

/// Azure's codes for a change of an immutable property.
const IMMUTABLE_CODES: [&str; 2] = ["PropertyChangeNotAllowed", "InvalidResourceLocation"];

pub(super) async fn advance(core: &Core, task: &mut Task, deadline: Instant) -> Result<Next, StepError> {
    if task.phase == Phase::Removing {
        if task.work.phase != "removing" {
            task.add_event("step", "the cluster is being removed");
            task.set_phase(Phase::Removing);
        }
        if context::has_nothing_to_delete(task) {
            if let Some(next) = agent::remove(core, task).await {
                return Ok(next);
            }
            return Ok(delete_object(task, NOTHING_CREATED));
        }
    } else if task.status.steps.is_empty() {
        set_initial_conditions(task);
    } else if task.was_active()
        && task.status.condition("Updated").is_some_and(|condition| condition.status == ConditionStatus::True)
    {
        task.set_condition("Updated", ConditionStatus::Unknown, "");
    }
    task.set_step("credentials", Progress::Running, "");
    let Some(id) = task.row.credential_id.clone() else { return Err(StepError::no_credential()) };
    let access = core.credentials.for_cluster(&id).await?;
    let arm = context::arm(core, &access, deadline, StepError::CLIENT_PREFIX)?;
    context::check_subscription(task, &access)?;
    task.set_step("azure", Progress::Running, "");
    if let Some(next) = operation::poll_and_record(task, &access, &arm).await? {
        return Ok(next);
    }
    let observed = context::observe(task, &access, &arm, task.phase).await?;
    if !claim::claim_identity(core, task, &access).await? {
        return Ok(Next::Now);
    }
    let step = context::decide(task, &observed);
    if task.was_active() && task.phase == Phase::Active {
        let unusable = unusable(&context::plan_input(task, &UpdateAttempts::default(), &observed));
        refresh::record_unusable(task, unusable.as_ref());
    }
    tracing::debug!(cluster = task.row.id, ?step, "decided");
    StepContext { core, access: &access, arm: &arm, observed: &observed }.run(task, step).await
}

/// The conditions of a new cluster.
fn set_initial_conditions(task: &mut Task) {
    for condition in [
        "BackingNamespaceCreated",
        "DefaultProjectCreated",
        "SystemProjectCreated",
        "InitialRolesPopulated",
        "CreatorMadeOwner",
    ] {
        task.set_condition(condition, ConditionStatus::True, "");
    }
    if task.is_import() {
        task.set_condition("Pending", ConditionStatus::Unknown, "");
    }
    task.set_condition("Provisioned", ConditionStatus::Unknown, "");
    task.add_event("step", "the cluster object was created");
}

fn delete_object(task: &mut Task, reason: &str) -> Next {
    task.add_event(REMOVED, format!("the cluster object was deleted: {reason}"));
    Next::Delete
}

/// Records that Azure accepted a change.
fn record_accepted_change(task: &mut Task, part: Option<String>) {
    let now_ms = task.now_ms;
    let attempts = task.attempts();
    attempts.last_ms = now_ms;
    attempts.last.clone_from(&part);
    if let Some(part) = part {
        attempts.failed.remove(&part);
        *attempts.accepted_writes.entry(part).or_default() += 1;
    }
}

impl StepContext<'_> {
    async fn run(&self, task: &mut Task, step: Step) -> Result<Next, StepError> {
        let changes_azure = !matches!(
            step,
            Step::Wait(_) | Step::Finish | Step::Forget | Step::Leave(_) | Step::GaveUp(_) | Step::Refuse(_)
        );
        if !changes_azure {
            return self.conclude(task, step).await;
        }
        // A server that lost the lease must not change anything.
        task.save(self.core).await?;
        let part = written_part(&step);
        let next = self.change(task, step).await;
        if next.is_ok() {
            record_accepted_change(task, part);
        }
        self.core.listings.evict_changed(self.access);
        next
    }

    /// Executes a step that changes nothing in Azure.
    async fn conclude(&self, task: &mut Task, step: Step) -> Result<Next, StepError> {
        match step {
            Step::Refuse(reason) => {
                self.publish_upstream(task);
                Err(StepError::new(reason))
            }
            // Azure's message is more informative than the remaining state.
            Step::GaveUp(what) => Err(StepError::new(task.attempts().error_message.clone().unwrap_or(what))),
            Step::Wait(what) => {
                if task.phase != Phase::Removing {
                    self.publish_upstream(task);
                }
                task.set_waiting(&what, None);
                Ok(Next::In(POLL_INTERVAL))
            }
            Step::Leave(reason) => Ok(delete_object(task, &reason)),
            Step::Finish => activate::activate(self.core, task, self.observed).await,
            Step::Forget => {
                Ok(delete_object(task, "nothing that this server created for it is left in Azure"))
            }
            // `run` passes these to `change`. No `_`, because a new step must never be treated as `Forget`.
            Step::RegisterProvider
            | Step::CreateResourceGroup
            | Step::EnsureWorkspace
            | Step::CreateCluster
            | Step::UpdateTags
            | Step::UpdateCluster(_)
            | Step::PutPool(_)
            | Step::DeletePool(_)
            | Step::DeleteCluster => Ok(Next::In(POLL_INTERVAL)),
        }
    }

    async fn change(&self, task: &mut Task, step: Step) -> Result<Next, StepError> {
        match step {
            Step::RegisterProvider => self.register_provider(task, AKS_PROVIDER).await,
            Step::CreateResourceGroup => self.create_group(task).await,
            Step::EnsureWorkspace => self.ensure_workspace(task).await,
            Step::CreateCluster => self.create_cluster(task).await,
            Step::UpdateTags => self.update_tags(task).await,
            Step::UpdateCluster(keys) => self.update_cluster(task, &keys).await,
            Step::PutPool(name) => self.put_pool(task, &name).await,
            Step::DeletePool(name) => self.delete_pool(task, &name).await,
            Step::DeleteCluster => self.delete_cluster(task).await,
            other => self.conclude(task, other).await,
        }
    }

    /// Publishes Azure's state while Azure is working (`docs/contract/provisioning.md#conditions-while-provisioning`).
    fn publish_upstream(&self, task: &mut Task) {
        if let Some(upstream) = &self.observed.upstream {
            task.status.upstream_spec = Some(upstream.clone());
        }
    }

    async fn create_cluster(&self, task: &mut Task) -> Result<Next, StepError> {
        let body = self.creation_body(task).await?;
        // The intent is saved first, so that the cluster is recognized as ours even if the response is lost.
        task.work.claimed = true;
        task.set_phase(Phase::Creating);
        let pools = task.aks().node_pools.iter().flatten().filter_map(|pool| pool.name.clone());
        let pools: Vec<String> = pools.collect();
        task.status.made_pools.extend(pools);
        task.save(self.core).await?;
        let (group, name) = task.group_and_name();
        let outcome = managed_clusters::put(self.arm, &group, &name, &body).await;
        if let Err(error) = &outcome
            && self.observed.cluster.is_some()
            && error.code().is_some_and(|code| IMMUTABLE_CODES.contains(&code))
        {
            // The incomplete cluster of a failed creation is replaced.
            let message =
                "the cluster of a failed creation cannot be changed to the desired spec, and is deleted";
            task.add_event("step", message);
            return self.delete_cluster(task).await;
        }
        if let Ok(response) = &outcome {
            let resource = response.resource.as_ref();
            task.status.upstream_spec =
                resource.and_then(|resource| observation::read_spec(self.access, task.aks(), resource));
        }
        let change = Change {
            error_prefix: "error failed to create cluster: ",
            done: format!("Azure is creating the cluster {name}"),
            in_progress: format!("creating cluster {name}"),
            deletes_cluster: false,
        };
        change.record(task, outcome.map(Some))
    }

    async fn update_tags(&self, task: &mut Task) -> Result<Next, StepError> {
        let (group, name) = task.group_and_name();
        // An imported cluster keeps its owner tag.
        let current_owner = self.observed.cluster.as_ref().and_then(upstream::owner);
        let owner = if task.is_import() { current_owner } else { Some(task.owner_tag.clone()) };
        let tags = manifest::tags(&task.desired, owner.as_deref());
        let pairs = tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let outcome = managed_clusters::patch_tags(self.arm, &group, &name, pairs).await;
        let change = Change {
            error_prefix: &format!("failed to update tags for cluster [{name}]: "),
            done: "changed the tags".to_owned(),
            in_progress: "the tags are being changed".to_owned(),
            deletes_cluster: false,
        };
        change.record(task, outcome.map(Some))
    }

    async fn update_cluster(&self, task: &mut Task, keys: &[&str]) -> Result<Next, StepError> {
        let (group, name) = task.group_and_name();
        let current = self.observed.cluster.clone().unwrap_or_default();
        let body = manifest::update(&current, &task.desired, self.manifest_context(task));
        let outcome = managed_clusters::put(self.arm, &group, &name, &body).await;
        let (done, in_progress) = if keys.is_empty() {
            ("requested the repair of the cluster".to_owned(), "the cluster is being repaired".to_owned())
        } else {
            let keys = keys.join(", ");
            (format!("changed {keys}"), format!("the cluster is being changed ({keys})"))
        };
        let remedy = match &outcome {
            Err(error) if keys.contains(&"kubernetesVersion") => self.upgrade_remedy(task, error).await,
            _ => None,
        };
        let error_prefix = "failed to update cluster: ";
        let change = Change { error_prefix, done, in_progress, deletes_cluster: false };
        change.record(task, outcome.map(Some)).map_err(|error| error.with_remedy(remedy.as_deref()))
    }

    async fn put_pool(&self, task: &mut Task, pool: &str) -> Result<Next, StepError> {
        let (group, name) = task.group_and_name();
        let error_prefix = format!("failed to update cluster [{name}]: node pool {pool}: ");
        let pools = task.desired.node_pools.iter().flatten();
        let desired = pools.clone().find(|desired| desired.name.as_deref() == Some(pool));
        let Some(desired) = desired.cloned() else { return Ok(Next::Now) };
        let current = agent_pools::get(self.arm, &group, &name, pool)
            .await
            .map_err(|error| StepError::from_azure(&error_prefix, error))?;
        if current.is_none() {
            // The intent is saved first, as for the cluster.
            task.status.made_pools.insert(pool.to_owned());
            task.save(self.core).await?;
        }
        let properties = current.as_ref().and_then(|current| current.raw.get("properties"));
        let body = manifest::pool(&desired, properties, task.aks(), self.manifest_context(task));
        let outcome = agent_pools::put(self.arm, &group, &name, pool, &body).await;
        let verb = if current.is_some() { "changed" } else { "created" };
        let change = Change {
            error_prefix: &error_prefix,
            done: format!("{verb} the node pool {pool}"),
            in_progress: format!("the node pool {pool} is being {verb}"),
            deletes_cluster: false,
        };
        change.record(task, outcome.map(Some))
    }

    async fn delete_pool(&self, task: &mut Task, pool: &str) -> Result<Next, StepError> {
        let (group, name) = task.group_and_name();
        let outcome = agent_pools::delete(self.arm, &group, &name, pool).await;
        let change = Change {
            error_prefix: "failed to remove node pool: ",
            done: format!("deleted the node pool {pool}"),
            in_progress: format!("the node pool {pool} is being deleted"),
            deletes_cluster: false,
        };
        change.record(task, outcome)
    }

    async fn delete_cluster(&self, task: &mut Task) -> Result<Next, StepError> {
        let (group, name) = task.group_and_name();
        let outcome = managed_clusters::delete(self.arm, &group, &name).await;
        let change = Change {
            error_prefix: &format!("error removing cluster [{name}] message "),
            done: format!("Azure is deleting the cluster {name}"),
            in_progress: format!("the cluster {name} is being deleted"),
            deletes_cluster: true,
        };
        change.record(task, outcome)
    }
}
