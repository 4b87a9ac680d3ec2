//! The input of the plan: the desired and the observed state of one cluster.

use std::collections::BTreeSet;

use serde_json::Value;

use super::upstream::{is_busy, owner, profiles, string_at};
use crate::cluster_details::ClusterDetails;
use crate::spec::AksConfig;
use crate::status::UpdateAttempts;

/// The phase of a cluster, stored in its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// No request was sent to Azure yet.
    #[default]
    New,
    /// Its creation was requested.
    Creating,
    /// It exists in Azure and was active at least once.
    Active,
    /// Its user is deleting it.
    Removing,
}

/// The observed state. Contains only what was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The cluster in Azure's response; `None` for 404. Statuses other than 200 and 404 are errors.
    pub cluster: Option<Value>,
    /// Whether the resource group exists.
    pub resource_group: Option<bool>,
    /// Whether `Microsoft.ContainerService` is registered in the subscription.
    pub provider_registered: Option<bool>,
    /// The ID of the Log Analytics workspace, if it exists.
    pub workspace_id: Option<String>,
    /// The cluster with the keys of `aksConfig`.
    pub upstream: Option<AksConfig>,
}

impl Observed {
    /// The cluster with the keys of `aksConfig` and the running versions, for comparison with the desired state. If an operation
    /// failed, the requested version is used, because the failure is reported separately.
    pub fn comparable_upstream(&self) -> Option<AksConfig> {
        let (upstream, cluster) = (self.upstream.clone()?, self.cluster.as_ref()?);
        let mut details = ClusterDetails::read(cluster);
        if failed_state(cluster).is_some() {
            details.running_version = None;
        }
        for pool in failed_pools(cluster) {
            details.pool_versions.remove(&pool);
        }
        Some(details.with_running_versions(upstream))
    }
}

/// The input of the decision about the next step.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput<'a> {
    /// The desired state: the user's specification, and for an import also entries that were set in Azure.
    pub spec: &'a AksConfig,
    /// The user's specification.
    pub user_spec: &'a AksConfig,
    /// The last fully applied specification.
    pub applied: Option<&'a AksConfig>,
    /// The phase of the cluster.
    pub phase: Phase,
    /// Whether a PUT was recorded in the row before it was sent to Azure. An existing cluster may then be ours.
    pub creation_recorded: bool,
    /// The tag of our clusters, `<instance>/<cluster id>`.
    pub owner: &'a str,
    /// `https://<host>` of the Kubernetes API, if known. Azure generates a new host for each cluster.
    pub endpoint: Option<&'a str>,
    /// The changes of this specification that Azure accepted, by [`written_part`](super::plan::written_part).
    pub attempts: &'a UpdateAttempts,
    /// Whether enough time has passed since the last accepted change to retry a failed one.
    pub may_retry: bool,
    /// The pools whose creation was requested since the specification was last fully applied.
    pub created_pools: &'a BTreeSet<String>,
    /// The observed state.
    pub observed: &'a Observed,
}

/// Whether the cluster in Azure is ours: its creation was recorded, and it has our tag. The tag alone may be a copy, and the
/// record alone may be older than a foreign cluster with this name. If the tags were replaced in Azure, the host of its API
/// identifies it.
pub(super) fn is_ours(input: &PlanInput<'_>, cluster: &Value) -> bool {
    let has_known_host = || {
        let host = input.endpoint?.strip_prefix("https://")?.split([':', '/']).next()?;
        let hosts =
            ["fqdn", "privateFQDN"].into_iter().filter_map(|key| string_at(cluster, &["properties", key]));
        Some(hosts.into_iter().any(|other| other.eq_ignore_ascii_case(host)))
    };
    input.creation_recorded
        && match owner(cluster) {
            Some(owner) => owner == input.owner,
            None => has_known_host() == Some(true),
        }
}

fn is_one_of(state: &str, states: &[&str]) -> bool {
    states.iter().any(|other| other.eq_ignore_ascii_case(state))
}

/// The state of a cluster whose last operation failed.
pub(super) fn failed_state(cluster: &Value) -> Option<String> {
    string_at(cluster, &["properties", "provisioningState"])
        .filter(|state| is_one_of(state, &["Failed", "Canceled"]))
}

/// The pools whose last operation failed.
pub(super) fn failed_pools(cluster: &Value) -> Vec<String> {
    let has_failed = |pool: &&Value| {
        string_at(pool, &["provisioningState"])
            .is_some_and(|state| is_one_of(&state, &["Failed", "Canceled"]))
    };
    profiles(cluster).filter(has_failed).filter_map(|pool| string_at(pool, &["name"])).collect()
}

/// The state of a cluster while an operation is in progress.
pub(crate) fn busy_state(cluster: &Value) -> Option<String> {
    string_at(cluster, &["properties", "provisioningState"]).filter(|state| is_busy(state))
}

/// The pools with an operation in progress, and their states.
pub(crate) fn busy_pools(cluster: &Value) -> Vec<(String, String)> {
    let busy = profiles(cluster).filter_map(|pool| {
        let state = string_at(pool, &["provisioningState"]).filter(|state| is_busy(state))?;
        Some((string_at(pool, &["name"]).unwrap_or_default(), state))
    });
    busy.collect()
}

/// A description of Azure's running operation.
pub(super) fn running_operation(cluster: &Value) -> Option<String> {
    if let Some(state) = busy_state(cluster) {
        return Some(format!("Azure: the cluster is in state {state}"));
    }
    let (pool, state) = busy_pools(cluster).into_iter().next()?;
    Some(format!("Azure: node pool {pool} is in state {state}"))
}

/// Whether Azure is deleting the cluster.
pub(super) fn is_deleting(cluster: &Value) -> bool {
    string_at(cluster, &["properties", "provisioningState"])
        .is_some_and(|state| is_one_of(&state, &["Deleting"]))
}

/// Whether the control plane and the nodes are stopped (`az aks stop`).
pub(crate) fn is_stopped(cluster: &Value) -> bool {
    string_at(cluster, &["properties", "powerState", "code"])
        .is_some_and(|code| is_one_of(&code, &["Stopped"]))
}

/// The pools whose nodes are stopped.
pub(crate) fn stopped_pools(cluster: &Value) -> Vec<String> {
    let is_stopped = |pool: &&Value| {
        string_at(pool, &["powerState", "code"]).is_some_and(|code| is_one_of(&code, &["Stopped"]))
    };
    profiles(cluster).filter(is_stopped).filter_map(|pool| string_at(pool, &["name"])).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::cases;

    #[test]
    fn only_the_power_state_shows_that_a_cluster_is_stopped() {
        for (properties, expected) in cases! {
            {"powerState": {"code": "Stopped"}} => true;
            {"powerState": {"code": "stopped"}, "provisioningState": "Succeeded"} => true;
            {"powerState": {"code": "Running"}} => false;
            {"provisioningState": "Stopped"} => false;
            {"powerState": null} => false;
            {"powerState": "Stopped"} => false;
            {} => false;
        } {
            assert_eq!(is_stopped(&json!({"properties": properties})), expected, "{properties}");
        }
    }
}
