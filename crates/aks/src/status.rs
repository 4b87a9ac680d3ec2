//! [`ClusterStatus`], which is stored next to the specification of a cluster (`docs/contract/clusters.md#status-of-a-cluster`),
//! and [`State`], which is shown to clients.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cluster_details::ClusterDetails;
use super::provision::agent::Deployment;
use super::provision::imported::UserEntries;
use super::spec::AksConfig;

/// The status of a cluster; each field may be missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClusterStatus {
    /// The observed specification: `aksConfig` as read from Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_spec: Option<AksConfig>,
    /// Observed properties that `aksConfig` has no field for, such as running versions. Not displayed.
    #[serde(skip_serializing_if = "ClusterDetails::is_empty")]
    pub details: ClusterDetails,
    /// Whether the Kubernetes API of the cluster is reachable only through an agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_requires_tunnel: Option<bool>,
    /// Whether Kubernetes RBAC is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rbac_enabled: Option<bool>,
    /// `https://<host>[:port]` of the Kubernetes API, from Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_endpoint: Option<String>,
    /// The CA certificate of the Kubernetes API: PEM in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_cert: Option<String>,
    /// The response of the Kubernetes API to `/version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Value>,
    /// The number of nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_count: Option<i64>,
    /// The conditions, in the order of their first occurrence.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The progress of the creation, in order, for display.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<ProgressStep>,
    /// The operation that the worker waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// The error of the last reconcile step; cleared when a step succeeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The generation of the specification for which `failure` was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_generation: Option<i64>,
    /// The changes that Azure accepted for the current specification.
    // Rows in existing databases use the names in `rename`.
    #[serde(rename = "tried", skip_serializing_if = "Option::is_none")]
    pub attempts: Option<UpdateAttempts>,
    /// Names of node pools that this server creates, or has created since the specification was last fully applied. Saved before
    /// the request is sent.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub made_pools: BTreeSet<String>,
    /// The entries of lists and maps of an imported cluster that its user manages.
    #[serde(rename = "named", skip_serializing_if = "UserEntries::is_empty")]
    pub user_entries: UserEntries,
    /// The deployment of the cluster agent. Not displayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<Deployment>,
}

/// The changes that Azure accepted for one specification. They are counted, so that no change is repeated indefinitely.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateAttempts {
    /// The generation of the specification.
    pub generation: i64,
    /// The number of accepted changes by part: `cluster`, `tags` or `pool <name>` (see `plan::written_part`).
    #[serde(rename = "written")]
    pub accepted_writes: BTreeMap<String, u32>,
    /// The error message of the last change that failed in Azure.
    #[serde(rename = "said", default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The part of the last accepted change; `None` if the step of that change writes no part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// The time of the last change, in milliseconds since 1970.
    #[serde(default)]
    pub last_ms: i64,
    /// The parts whose last change Azure accepted but failed to apply.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub failed: BTreeSet<String>,
}

/// One of Rancher's conditions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// For example `Provisioned` or `Ready`.
    pub r#type: String,
    /// Whether the condition is met.
    pub status: ConditionStatus,
    /// The message; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// A single word; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The time of the last change: RFC 3339, UTC.
    pub last_update_time: String,
    /// The time of the last change of `status`: RFC 3339, UTC.
    pub last_transition_time: String,
}

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// The condition is met.
    True,
    /// The condition is not met.
    False,
    /// Unknown, or in progress.
    Unknown,
}

/// One entry in the progress of a cluster's creation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgressStep {
    /// The identifier, for example `credentials` or `resourceGroup`.
    pub name: String,
    /// The progress.
    pub state: Progress,
    /// The message; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The time of the last change of `state`, in milliseconds since 1970.
    pub since_ms: i64,
}

/// The progress of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Progress {
    /// Not started.
    Pending,
    /// In progress.
    Running,
    /// Done.
    Done,
    /// Failed; retried, or waiting for a change by the user.
    Failed,
}

/// The operation that the worker waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// A description: `Azure: the cluster is in state Creating`.
    pub what: String,
    /// The start time, in milliseconds since 1970.
    pub since_ms: i64,
    /// From 0 to 100, if Azure reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
}

/// The conditions that report whether the specification is applied.
const APPLY_CONDITIONS: [&str; 2] = ["Provisioned", "Updated"];

impl ClusterStatus {
    /// Parses the output of [`ClusterStatus::to_json`].
    pub fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// Serializes the status to JSON for storage.
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// Records the failure of a step for a generation of the specification.
    pub fn record_failure(&mut self, message: &str, generation: i64) {
        self.failure = Some(message.to_owned());
        self.failed_generation = Some(generation);
    }

    /// Clears the failure.
    pub fn clear_failure(&mut self) {
        self.failure = None;
        self.failed_generation = None;
    }

    /// The status for a generation of the specification. A new generation is a new attempt, so failures of earlier generations
    /// are removed.
    #[must_use]
    pub fn for_generation(mut self, generation: i64) -> Self {
        if self.failed_generation.is_none_or(|failed| failed == generation) {
            return self;
        }
        self.clear_failure();
        for condition in &mut self.conditions {
            let is_apply_condition = APPLY_CONDITIONS.contains(&condition.r#type.as_str());
            if is_apply_condition && condition.status == ConditionStatus::False {
                condition.status = ConditionStatus::Unknown;
                condition.message.clear();
            }
        }
        for step in self.steps.iter_mut().filter(|step| step.state == Progress::Failed) {
            step.state = Progress::Pending;
            step.message.clear();
        }
        self
    }

    /// The condition with this type.
    pub fn condition(&self, r#type: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.r#type == r#type)
    }

    /// Sets a condition; `now` is RFC 3339. The times of an unchanged condition are not updated.
    pub fn set_condition(
        &mut self,
        r#type: &str,
        status: ConditionStatus,
        reason: &str,
        message: &str,
        now: &str,
    ) {
        let position = self.conditions.iter().position(|condition| condition.r#type == r#type);
        let Some(condition) = position.and_then(|position| self.conditions.get_mut(position)) else {
            self.conditions.push(Condition {
                r#type: r#type.to_owned(),
                status,
                message: message.to_owned(),
                reason: reason.to_owned(),
                last_update_time: now.to_owned(),
                last_transition_time: now.to_owned(),
            });
            return;
        };
        if (condition.status, condition.reason.as_str(), condition.message.as_str())
            == (status, reason, message)
        {
            return;
        }
        if condition.status != status {
            now.clone_into(&mut condition.last_transition_time);
        }
        condition.status = status;
        reason.clone_into(&mut condition.reason);
        message.clone_into(&mut condition.message);
        now.clone_into(&mut condition.last_update_time);
    }
}

/// The state of a cluster in the API. Terraform polls until the cluster is in the expected state
/// (`docs/contract/terraform.md#states`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not yet active for the first time.
    Provisioning,
    /// The specification is fully applied.
    Active,
    /// A change was accepted and is not fully applied yet.
    Updating,
    /// A DELETE was accepted.
    Removing,
}

impl State {
    /// The state that follows from the generations of the desired and the applied specification.
    pub fn new(is_removing: bool, was_active: bool, generation: i64, applied_generation: i64) -> Self {
        if is_removing {
            Self::Removing
        } else if !was_active {
            Self::Provisioning
        } else if generation == applied_generation {
            Self::Active
        } else {
            Self::Updating
        }
    }

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Active => "active",
            Self::Updating => "updating",
            Self::Removing => "removing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_round_trips() {
        let upstream_spec =
            Some(AksConfig { kubernetes_version: Some("1.31.8".to_owned()), ..Default::default() });
        let mut status =
            ClusterStatus { upstream_spec, rbac_enabled: Some(true), ..ClusterStatus::default() };
        status.set_condition("Ready", ConditionStatus::True, "", "", "2026-11-22T12:00:00Z");
        status.waiting = Some(Waiting { what: "w".to_owned(), since_ms: 7, percent: Some(12.5) });
        assert_eq!(ClusterStatus::from_json(&status.to_json()).unwrap(), status);
        assert_eq!(ClusterStatus::default().to_json(), "{}");
    }

    #[test]
    fn new_generation_clears_the_failure() {
        let mut status = ClusterStatus::default();
        status.set_condition("Updated", ConditionStatus::False, "", "old failure", "1");
        status.set_condition("Ready", ConditionStatus::False, "", "no answer", "1");
        let step = |state, message: &str| ProgressStep {
            name: "azure".to_owned(),
            state,
            message: message.to_owned(),
            since_ms: 0,
        };
        status.steps = vec![step(Progress::Failed, "old failure")];
        status.record_failure("old failure", 3);
        assert_eq!(status.clone().for_generation(3), status);
        let later = status.clone().for_generation(4);
        assert!(!later.to_json().contains("old failure"), "{}", later.to_json());
        assert_eq!(later.condition("Updated").unwrap().status, ConditionStatus::Unknown);
        assert_eq!(
            later.condition("Ready").unwrap().message,
            "no answer",
            "Ready does not depend on the specification"
        );
        assert_eq!(later.steps, [step(Progress::Pending, "")]);
        // A row written by an older version does not contain the generation.
        status.failed_generation = None;
        assert_eq!(status.clone().for_generation(4), status);
    }

    #[test]
    fn unchanged_condition_keeps_its_times() {
        let mut status = ClusterStatus::default();
        let times = |status: &ClusterStatus| {
            let condition = status.condition("Updated").unwrap();
            (condition.last_update_time.clone(), condition.last_transition_time.clone())
        };
        status.set_condition("Updated", ConditionStatus::Unknown, "", "", "1");
        status.set_condition("Updated", ConditionStatus::Unknown, "", "", "2");
        assert_eq!(times(&status), ("1".to_owned(), "1".to_owned()));
        status.set_condition("Updated", ConditionStatus::Unknown, "", "why", "3");
        assert_eq!(times(&status), ("3".to_owned(), "1".to_owned()));
        status.set_condition("Updated", ConditionStatus::True, "", "", "4");
        assert_eq!(times(&status), ("4".to_owned(), "4".to_owned()));
        assert_eq!(status.conditions.len(), 1);
    }

    #[test]
    fn state_follows_from_generations() {
        for (removing, was_active, generation, applied, expected) in [
            (false, false, 1, 0, "provisioning"),
            (false, false, 2, 0, "provisioning"),
            (false, true, 1, 1, "active"),
            (false, true, 2, 1, "updating"),
            (true, false, 1, 0, "removing"),
            (true, true, 2, 1, "removing"),
        ] {
            assert_eq!(State::new(removing, was_active, generation, applied).name(), expected);
        }
    }
}
