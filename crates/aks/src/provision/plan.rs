//! Decides the next step for a cluster from the desired and the observed state, one step at a time, without I/O
//! (`docs/contract/provisioning.md#phases`). After each step, Azure is read again.

use std::borrow::Cow;

use serde_json::Value;

pub use super::situation::{Observed, Phase, Situation};

use super::situation::{failed_pools, failed_state, is_deleting, is_ours, is_stopped, running_operation};
use super::{difference, message};
use crate::spec::AksConfig;

/// One step. [`Step::Wait`] ends the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Register the resource provider `Microsoft.ContainerService`.
    RegisterProvider,
    /// Create the resource group.
    CreateResourceGroup,
    /// Find or create the Log Analytics workspace.
    EnsureWorkspace,
    /// Create the cluster.
    CreateCluster,
    /// Wait; contains a description of what for.
    Wait(String),
    /// Write the tags.
    UpdateTags,
    /// Update the cluster itself; contains the keys that differ.
    UpdateCluster(Vec<&'static str>),
    /// Create or update a pool.
    PutPool(String),
    /// Delete a pool of this server.
    DeletePool(String),
    /// Azure matches the desired state: connect to the cluster and mark it active.
    Finish,
    /// Delete the cluster in Azure.
    DeleteCluster,
    /// Delete the object, because nothing of this server is left in Azure.
    Forget,
    /// Delete the object but not the cluster in Azure, which is not ours; contains the reason.
    Leave(String),
    /// Stop, because an operation of Azure failed; contains the message.
    GaveUp(String),
    /// Stop until the user changes something; contains the message.
    Refuse(String),
}

/// The maximum number of writes of a part for one specification, if Azure accepts each one but still returns another state.
const MAX_WRITES: u32 = 3;

/// The part of the cluster that a step writes. The key of [`Tried::written`](crate::status::Tried::written).
pub fn part(step: &Step) -> Option<String> {
    match step {
        Step::CreateCluster | Step::UpdateCluster(_) => Some("cluster".to_owned()),
        Step::UpdateTags => Some("tags".to_owned()),
        Step::PutPool(pool) | Step::DeletePool(pool) => Some(format!("pool {pool}")),
        _ => None,
    }
}

/// The part of a specification that is applied. For an import, clients send empty values for unset keys; these must not change a
/// cluster that was never observed. Address ranges that the user no longer sets are removed from a managed cluster.
pub fn stated<'a>(spec: &'a AksConfig, applied: Option<&AksConfig>) -> Cow<'a, AksConfig> {
    if !spec.is_import() {
        let before = applied.and_then(|applied| applied.authorized_ip_ranges.as_ref());
        if spec.authorized_ip_ranges.is_none() && before.is_some_and(|ranges| !ranges.is_empty()) {
            return Cow::Owned(AksConfig { authorized_ip_ranges: Some(Vec::new()), ..spec.clone() });
        }
        return Cow::Borrowed(spec);
    }
    if applied.is_some() {
        return Cow::Borrowed(spec);
    }
    let mut spec = spec.clone();
    spec.tags = spec.tags.filter(|tags| !tags.is_empty());
    spec.authorized_ip_ranges = spec.authorized_ip_ranges.filter(|ranges| !ranges.is_empty());
    spec.http_application_routing = spec.http_application_routing.filter(|on| *on);
    spec.monitoring = spec.monitoring.filter(|on| *on);
    Cow::Owned(spec)
}

/// Decides the next step.
pub fn plan(situation: &Situation<'_>) -> Step {
    let Situation { spec, phase, observed, .. } = *situation;
    let is_foreign = |cluster| !spec.is_import() && !is_ours(situation, cluster);
    match (phase, &observed.cluster) {
        (Phase::Removing, found) => remove(situation, found.as_ref()),
        (Phase::Active, None) => Step::Refuse(message::missing(spec)),
        (_, None) if spec.is_import() => Step::Refuse(message::not_importable(spec)),
        (_, None) => create(situation),
        (Phase::Active, Some(cluster)) if is_foreign(cluster) => Step::Refuse(message::foreign(spec)),
        (_, Some(cluster)) if is_foreign(cluster) => Step::Refuse(message::taken(spec)),
        (_, Some(cluster)) => update(situation, cluster),
    }
}

fn create(situation: &Situation<'_>) -> Step {
    let (spec, observed) = (situation.spec, situation.observed);
    if observed.provider_registered == Some(false) {
        return Step::RegisterProvider;
    }
    if observed.resource_group == Some(false) {
        return Step::CreateResourceGroup;
    }
    if spec.monitoring == Some(true) && observed.workspace_id.is_none() {
        return Step::EnsureWorkspace;
    }
    Step::CreateCluster
}

fn update(situation: &Situation<'_>, cluster: &Value) -> Step {
    let Situation { spec, phase, observed, applied, tried, .. } = *situation;
    if let Some(what) = running_operation(cluster) {
        return Step::Wait(what);
    }
    if is_stopped(cluster) {
        return Step::Refuse(message::stopped(spec));
    }
    if let (Some(state), Phase::New | Phase::Creating, false) =
        (failed_state(cluster), phase, spec.is_import())
    {
        // A changed specification is a new attempt.
        let is_tried = tried.written.contains_key("cluster");
        return if is_tried {
            Step::GaveUp(message::creation_failed(spec, &state))
        } else {
            create(situation)
        };
    }
    let Some(upstream) = &observed.compared() else { return Step::Refuse(message::unreadable(spec)) };
    // Every cluster has a pool, so this response does not contain the pools.
    if !spec.pools().is_empty() && upstream.pools().is_empty() {
        return Step::Wait("Azure to tell of the node pools".to_owned());
    }
    let found = match difference::between(spec, upstream, applied, situation.made) {
        Err(violation) => return Step::Refuse(violation.to_string()),
        Ok(found) => found,
    };
    // If an Azure policy requires other tags, they are not written again.
    if found.tags && (!tried.written.contains_key("tags") || tried.failed.contains("tags")) {
        return bounded(Step::UpdateTags, situation);
    }
    if !found.cluster.is_empty() {
        let needs_workspace = found.cluster.contains(&"monitoring") && spec.monitoring == Some(true);
        if needs_workspace && observed.workspace_id.is_none() {
            return Step::EnsureWorkspace;
        }
        return bounded(Step::UpdateCluster(found.cluster), situation);
    }
    if let Some(step) = repair_cluster(situation, cluster) {
        return step;
    }
    if let Some(pool) = found.pools.into_iter().next() {
        return bounded(Step::PutPool(pool), situation);
    }
    if let Some(step) = repair_pool(situation, cluster) {
        return step;
    }
    match found.removed.into_iter().next() {
        Some(pool) => bounded(Step::DeletePool(pool), situation),
        None => Step::Finish,
    }
}

/// Whether the user changed the specification. Otherwise others started the failed operation, and it is not repaired.
fn has_changes(situation: &Situation<'_>) -> bool {
    let is_unmanaged = situation.spec.is_import() && situation.applied.is_none();
    situation.applied != Some(situation.stated) && !is_unmanaged
}

/// The step for a cluster whose last operation failed.
fn repair_cluster(situation: &Situation<'_>, cluster: &Value) -> Option<Step> {
    let state = failed_state(cluster).filter(|_| has_changes(situation))?;
    let tried = situation.tried;
    let is_tried = tried.written.contains_key("cluster") || tried.failed.contains("tags");
    if is_tried && !situation.rested {
        return Some(Step::GaveUp(message::update_failed(situation.spec, &state)));
    }
    Some(Step::UpdateCluster(Vec::new()))
}

/// The step for node pools whose last operation failed.
fn repair_pool(situation: &Situation<'_>, cluster: &Value) -> Option<Step> {
    let spec = situation.spec;
    let failed = failed_pools(cluster).into_iter().filter(|pool| spec.pool(pool).is_some());
    let failed: Vec<String> = failed.filter(|_| has_changes(situation)).collect();
    let is_tried = |pool: &String| {
        let part = part(&Step::PutPool(pool.clone()));
        part.is_some_and(|part| situation.tried.written.contains_key(&part))
    };
    if let Some(pool) = failed.iter().find(|pool| situation.rested || !is_tried(pool)) {
        return Some(Step::PutPool(pool.clone()));
    }
    failed.first().map(|pool| Step::GaveUp(message::pool_failed(spec, pool)))
}

/// The step, unless Azure accepted it too often without applying it; it is then repeated only after a delay.
fn bounded(step: Step, situation: &Situation<'_>) -> Step {
    let part = part(&step).unwrap_or_default();
    match situation.tried.written.get(&part) {
        Some(times) if *times >= MAX_WRITES && !situation.rested => {
            Step::GaveUp(message::not_applied(&part, *times))
        }
        _ => step,
    }
}

fn remove(situation: &Situation<'_>, found: Option<&Value>) -> Step {
    match found {
        // An imported cluster remains in Azure.
        Some(_) if situation.spec.is_import() => Step::Forget,
        None => Step::Forget,
        Some(cluster) if !is_ours(situation, cluster) => Step::Leave(message::foreign(situation.spec)),
        Some(cluster) if is_deleting(cluster) => Step::Wait("Azure: the cluster is Deleting".to_owned()),
        Some(_) => Step::DeleteCluster,
    }
}

#[cfg(test)]
mod tests;
