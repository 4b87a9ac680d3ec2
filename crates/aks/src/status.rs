//! The status of a cluster, stored beside its specification (`docs/contract/clusters.md#status-of-a-cluster`), and its
//! state.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cluster_details::ClusterDetails;
use super::provision::imported::Named;
use super::spec::AksConfig;

/// The known facts; each may be missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClusterStatus {
    /// What Azure says the cluster is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_spec: Option<AksConfig>,
    /// What Azure says beside that, for decisions.
    #[serde(skip_serializing_if = "ClusterDetails::is_empty")]
    pub details: ClusterDetails,
    /// Whether only an agent can reach it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_requires_tunnel: Option<bool>,
    /// Whether it checks rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rbac_enabled: Option<bool>,
    /// `https://<host>[:port]` of its Kubernetes API, as Azure named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_endpoint: Option<String>,
    /// The certificate authority of its Kubernetes API: PEM in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_cert: Option<String>,
    /// What its Kubernetes API says at `/version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Value>,
    /// Nodes that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_count: Option<i64>,
    /// In the order in which they first came up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The way of the cluster, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// What is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Why the last step failed, for people; gone with the next one that succeeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The generation of the specification that the failure belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_generation: Option<i64>,
    /// What was asked of Azure for the specification that is worked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tried: Option<Tried>,
    /// Names of node pools that this server made, or began to make, since everything was last as it was wanted.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub made_pools: BTreeSet<String>,
    /// Entries of lists and maps of an import that its user named.
    #[serde(skip_serializing_if = "Named::is_empty")]
    pub named: Named,
}

/// What was asked of Azure for one specification, so that nothing is asked for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// The generation of the specification.
    pub generation: i64,
    /// How often Azure took a change of a part.
    pub written: BTreeMap<String, u32>,
    /// What Azure said when it gave up, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// The part that was changed last, unless the last change was of something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// When anything was last changed, in milliseconds since 1970.
    #[serde(default)]
    pub last_ms: i64,
    /// The parts whose last change Azure took and then gave up.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub failed: BTreeSet<String>,
}

/// One of Rancher's conditions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Provisioned`, `Ready` and so on.
    pub r#type: String,
    /// Whether it holds.
    pub status: Truth,
    /// For people; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// One word; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When anything about it changed last: RFC 3339, UTC.
    pub last_update_time: String,
    /// When `status` changed last: RFC 3339, UTC.
    pub last_transition_time: String,
}

/// Whether a condition holds, in Kubernetes' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Truth {
    /// It does.
    True,
    /// It does not.
    False,
    /// It is on its way, or not known.
    Unknown,
}

/// One of the steps to an active cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Which one, for programs: `credentials`, `resourceGroup` and so on.
    pub name: String,
    /// How far it is.
    pub state: Progress,
    /// For people; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Since when it is in that state, in milliseconds since 1970.
    pub since_ms: i64,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Progress {
    /// Not begun.
    Pending,
    /// Being done.
    Running,
    /// Done.
    Done,
    /// Failed; it is tried again, or waits for a change by the user.
    Failed,
}

/// Something that is waited for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// For people: `Azure: the cluster is Creating`.
    pub what: String,
    /// Milliseconds since 1970.
    pub since_ms: i64,
    /// From 0 to 100, where Azure says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
}

/// The conditions that tell of the work towards the specification.
const WORK_CONDITIONS: [&str; 2] = ["Provisioned", "Updated"];

impl ClusterStatus {
    /// Reads it back from the text that [`ClusterStatus::to_text`] made.
    pub fn from_text(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// As JSON, for keeping.
    pub fn to_text(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// Records why a step for that generation of the specification failed.
    pub fn fail(&mut self, message: &str, generation: i64) {
        self.failure = Some(message.to_owned());
        self.failed_generation = Some(generation);
    }

    /// Clears the failure.
    pub fn recover(&mut self) {
        self.failure = None;
        self.failed_generation = None;
    }

    /// The status as it is shown for a generation of the specification: the failure of an earlier one is over, because a
    /// later one is a new attempt.
    #[must_use]
    pub fn as_of(mut self, generation: i64) -> Self {
        if self.failed_generation.is_none_or(|failed| failed == generation) {
            return self;
        }
        self.recover();
        for condition in &mut self.conditions {
            let of_work = WORK_CONDITIONS.contains(&condition.r#type.as_str());
            if of_work && condition.status == Truth::False {
                condition.status = Truth::Unknown;
                condition.message.clear();
            }
        }
        for step in self.steps.iter_mut().filter(|step| step.state == Progress::Failed) {
            step.state = Progress::Pending;
            step.message.clear();
        }
        self
    }

    /// The condition of that type.
    pub fn condition(&self, r#type: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.r#type == r#type)
    }

    /// Sets a condition; `now` is RFC 3339. One that says the same already keeps its times.
    pub fn set_condition(&mut self, r#type: &str, status: Truth, reason: &str, message: &str, now: &str) {
        let position = self.conditions.iter().position(|condition| condition.r#type == r#type);
        let Some(known) = position.and_then(|position| self.conditions.get_mut(position)) else {
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
        if (known.status, known.reason.as_str(), known.message.as_str()) == (status, reason, message) {
            return;
        }
        if known.status != status {
            now.clone_into(&mut known.last_transition_time);
        }
        known.status = status;
        reason.clone_into(&mut known.reason);
        message.clone_into(&mut known.message);
        now.clone_into(&mut known.last_update_time);
    }
}

/// The state of a cluster, in the words that clients wait for (`docs/contract/terraform.md#states`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Until it is active for the first time.
    Provisioning,
    /// Everything is as the user wants it.
    Active,
    /// From the answer to a change on, until all of it is done.
    Updating,
    /// From the answer to a DELETE on.
    Removing,
}

impl State {
    /// The state that follows from what was asked for and what was done.
    pub fn of(removing: bool, was_active: bool, generation: i64, applied_generation: i64) -> Self {
        if removing {
            Self::Removing
        } else if !was_active {
            Self::Provisioning
        } else if generation == applied_generation {
            Self::Active
        } else {
            Self::Updating
        }
    }

    /// The word on the wire.
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
    fn a_status_comes_back_as_it_was() {
        let upstream_spec =
            Some(AksConfig { kubernetes_version: Some("1.31.8".to_owned()), ..Default::default() });
        let mut status =
            ClusterStatus { upstream_spec, rbac_enabled: Some(true), ..ClusterStatus::default() };
        status.set_condition("Ready", Truth::True, "", "", "2026-11-22T12:00:00Z");
        status.waiting = Some(Waiting { what: "w".to_owned(), since_ms: 7, percent: Some(12.5) });
        assert_eq!(ClusterStatus::from_text(&status.to_text()).unwrap(), status);
        assert_eq!(ClusterStatus::default().to_text(), "{}");
    }

    #[test]
    fn a_failure_is_shown_only_for_its_own_generation() {
        let mut status = ClusterStatus::default();
        status.set_condition("Updated", Truth::False, "", "old words", "1");
        status.set_condition("Ready", Truth::False, "", "no answer", "1");
        let step = |state, message: &str| Step {
            name: "azure".to_owned(),
            state,
            message: message.to_owned(),
            since_ms: 0,
        };
        status.steps = vec![step(Progress::Failed, "old words")];
        status.fail("old words", 3);
        assert_eq!(status.clone().as_of(3), status);
        let later = status.clone().as_of(4);
        assert!(!later.to_text().contains("old words"), "{}", later.to_text());
        assert_eq!(later.condition("Updated").unwrap().status, Truth::Unknown);
        assert_eq!(later.condition("Ready").unwrap().message, "no answer", "no word about the work");
        assert_eq!(later.steps, [step(Progress::Pending, "")]);
        // A row that an older version wrote does not name the generation.
        status.failed_generation = None;
        assert_eq!(status.clone().as_of(4), status);
    }

    #[test]
    fn a_condition_keeps_its_times_until_something_about_it_changes() {
        let mut status = ClusterStatus::default();
        let times = |status: &ClusterStatus| {
            let condition = status.condition("Updated").unwrap();
            (condition.last_update_time.clone(), condition.last_transition_time.clone())
        };
        status.set_condition("Updated", Truth::Unknown, "", "", "1");
        status.set_condition("Updated", Truth::Unknown, "", "", "2");
        assert_eq!(times(&status), ("1".to_owned(), "1".to_owned()));
        status.set_condition("Updated", Truth::Unknown, "", "why", "3");
        assert_eq!(times(&status), ("3".to_owned(), "1".to_owned()));
        status.set_condition("Updated", Truth::True, "", "", "4");
        assert_eq!(times(&status), ("4".to_owned(), "4".to_owned()));
        assert_eq!(status.conditions.len(), 1);
    }

    #[test]
    fn the_state_is_what_clients_wait_for() {
        for (removing, was_active, generation, applied, expected) in [
            (false, false, 1, 0, "provisioning"),
            (false, false, 2, 0, "provisioning"),
            (false, true, 1, 1, "active"),
            (false, true, 2, 1, "updating"),
            (true, false, 1, 0, "removing"),
            (true, true, 2, 1, "removing"),
        ] {
            assert_eq!(State::of(removing, was_active, generation, applied).name(), expected);
        }
    }
}
