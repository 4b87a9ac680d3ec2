//! Decides the next step for a cluster from the desired and the observed state, one step at a time, without I/O
//! (`docs/contract/provisioning.md#phases`). After each step, Azure is read again.

use std::borrow::Cow;

use serde_json::Value;

pub use super::plan_input::{Observed, Phase, PlanInput};

use super::plan_input::{failed_pools, failed_state, is_deleting, is_ours, is_stopped, running_operation};
use super::{difference, message};
use crate::spec::AksConfig;

/// One step.
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
    /// Wait; contains a description of the awaited event.
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

/// The number of accepted writes of a part of the cluster after which the plan gives up if Azure still returns another state.
const MAX_WRITES: u32 = 3;

/// The part of the cluster that a step writes: a key of
/// [`UpdateAttempts::accepted_writes`](crate::status::UpdateAttempts::accepted_writes).
pub fn written_part(step: &Step) -> Option<String> {
    match step {
        Step::CreateCluster | Step::UpdateCluster(_) => Some("cluster".to_owned()),
        Step::UpdateTags => Some("tags".to_owned()),
        Step::PutPool(pool) | Step::DeletePool(pool) => Some(format!("pool {pool}")),
        _ => None,
    }
}

/// The user's specification in the form that is compared with Azure. In a cluster of this server, address ranges that the user
/// no longer sets become an empty list, so that they are removed. In an import whose specification was never fully applied,
/// empty values are ignored, because clients send them for unset keys.
pub fn user_spec<'a>(spec: &'a AksConfig, applied: Option<&AksConfig>) -> Cow<'a, AksConfig> {
    if !spec.is_import() {
        let applied_ranges = applied.and_then(|applied| applied.authorized_ip_ranges.as_ref());
        if spec.authorized_ip_ranges.is_none() && applied_ranges.is_some_and(|ranges| !ranges.is_empty()) {
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
pub fn plan(input: &PlanInput<'_>) -> Step {
    let PlanInput { spec, phase, observed, .. } = *input;
    let is_foreign = |cluster| !spec.is_import() && !is_ours(input, cluster);
    match (phase, &observed.cluster) {
        (Phase::Removing, cluster) => removal_step(input, cluster.as_ref()),
        (Phase::Active, None) => Step::Refuse(message::missing_cluster(spec)),
        (_, None) if spec.is_import() => Step::Refuse(message::not_importable(spec)),
        (_, None) => creation_step(input),
        (Phase::Active, Some(cluster)) if is_foreign(cluster) => Step::Refuse(message::foreign_cluster(spec)),
        (_, Some(cluster)) if is_foreign(cluster) => Step::Refuse(message::name_taken(spec)),
        (_, Some(cluster)) => update_step(input, cluster),
    }
}

fn creation_step(input: &PlanInput<'_>) -> Step {
    let (spec, observed) = (input.spec, input.observed);
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

fn update_step(input: &PlanInput<'_>, cluster: &Value) -> Step {
    let PlanInput { spec, phase, observed, applied, attempts, .. } = *input;
    if let Some(operation) = running_operation(cluster) {
        return Step::Wait(operation);
    }
    if is_stopped(cluster) {
        return Step::Refuse(message::stopped(spec));
    }
    if let (Some(state), Phase::New | Phase::Creating, false) =
        (failed_state(cluster), phase, spec.is_import())
    {
        // The accepted writes are those of this specification, so a changed one is tried again.
        let is_attempted = attempts.accepted_writes.contains_key("cluster");
        return if is_attempted {
            Step::GaveUp(message::creation_failed(spec, &state))
        } else {
            creation_step(input)
        };
    }
    let Some(upstream) = &observed.comparable_upstream() else {
        return Step::Refuse(message::incomplete_cluster(spec));
    };
    // Every cluster has a pool, so a response without pools is incomplete.
    if !spec.pools().is_empty() && upstream.pools().is_empty() {
        return Step::Wait("Azure to report the node pools".to_owned());
    }
    let differences = match difference::between(spec, upstream, applied, input.created_pools) {
        Err(violation) => return Step::Refuse(violation.to_string()),
        Ok(differences) => differences,
    };
    // Accepted tags are not written again, because an Azure policy may require others.
    if differences.tags
        && (!attempts.accepted_writes.contains_key("tags") || attempts.failed.contains("tags"))
    {
        return unless_repeated_too_often(Step::UpdateTags, input);
    }
    if !differences.cluster.is_empty() {
        let needs_workspace = differences.cluster.contains(&"monitoring") && spec.monitoring == Some(true);
        if needs_workspace && observed.workspace_id.is_none() {
            return Step::EnsureWorkspace;
        }
        return unless_repeated_too_often(Step::UpdateCluster(differences.cluster), input);
    }
    if let Some(step) = cluster_repair_step(input, cluster) {
        return step;
    }
    if let Some(pool) = differences.pools.into_iter().next() {
        return unless_repeated_too_often(Step::PutPool(pool), input);
    }
    if let Some(step) = pool_repair_step(input, cluster) {
        return step;
    }
    match differences.deleted_pools.into_iter().next() {
        Some(pool) => unless_repeated_too_often(Step::DeletePool(pool), input),
        None => Step::Finish,
    }
}

/// Whether the user changed the specification since it was last applied. If not, the failed operation is not repaired, because
/// others started it. The specification of an import that was never applied is not a change.
fn has_unapplied_changes(input: &PlanInput<'_>) -> bool {
    let is_unmanaged = input.spec.is_import() && input.applied.is_none();
    input.applied != Some(input.user_spec) && !is_unmanaged
}

/// The step for a cluster whose last operation failed.
fn cluster_repair_step(input: &PlanInput<'_>, cluster: &Value) -> Option<Step> {
    let state = failed_state(cluster).filter(|_| has_unapplied_changes(input))?;
    let attempts = input.attempts;
    let is_attempted = attempts.accepted_writes.contains_key("cluster") || attempts.failed.contains("tags");
    if is_attempted && !input.may_retry {
        return Some(Step::GaveUp(message::update_failed(input.spec, &state)));
    }
    Some(Step::UpdateCluster(Vec::new()))
}

/// The step for node pools whose last operation failed.
fn pool_repair_step(input: &PlanInput<'_>, cluster: &Value) -> Option<Step> {
    let spec = input.spec;
    let failed = failed_pools(cluster).into_iter().filter(|pool| spec.pool(pool).is_some());
    let failed: Vec<String> = failed.filter(|_| has_unapplied_changes(input)).collect();
    let is_attempted = |pool: &String| {
        let part = written_part(&Step::PutPool(pool.clone()));
        part.is_some_and(|part| input.attempts.accepted_writes.contains_key(&part))
    };
    if let Some(pool) = failed.iter().find(|pool| input.may_retry || !is_attempted(pool)) {
        return Some(Step::PutPool(pool.clone()));
    }
    failed.first().map(|pool| Step::GaveUp(message::pool_failed(spec, pool)))
}

/// The step, unless Azure accepted it too often without applying it; it is then repeated only after a delay.
fn unless_repeated_too_often(step: Step, input: &PlanInput<'_>) -> Step {
    let part = written_part(&step).unwrap_or_default();
    match input.attempts.accepted_writes.get(&part) {
        Some(times) if *times >= MAX_WRITES && !input.may_retry => {
            Step::GaveUp(message::not_applied(&part, *times))
        }
        _ => step,
    }
}

fn removal_step(input: &PlanInput<'_>, cluster: Option<&Value>) -> Step {
    match cluster {
        // An imported cluster remains in Azure.
        Some(_) if input.spec.is_import() => Step::Forget,
        None => Step::Forget,
        Some(cluster) if !is_ours(input, cluster) => Step::Leave(message::foreign_cluster(input.spec)),
        Some(cluster) if is_deleting(cluster) => {
            Step::Wait("Azure: the cluster is in state Deleting".to_owned())
        }
        Some(_) => Step::DeleteCluster,
    }
}

#[cfg(test)]
mod tests;
