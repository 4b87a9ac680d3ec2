//! Long-running operations: their kind, target, start and result.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::json;
use crate::run_command::Command;

/// The kind of a long-running operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OperationKind {
    /// Creates a cluster.
    CreateCluster,
    /// Changes a cluster.
    UpdateCluster,
    /// Upgrades the Kubernetes version of a cluster.
    UpgradeCluster,
    /// Replaces the tags of a cluster.
    TagCluster,
    /// Deletes a cluster.
    DeleteCluster,
    /// Starts a stopped cluster.
    StartCluster,
    /// Stops a cluster.
    StopCluster,
    /// Aborts the running operation of a cluster.
    AbortCluster,
    /// Creates a pool.
    CreatePool,
    /// Changes a pool.
    UpdatePool,
    /// Changes the number of nodes of a pool.
    ScalePool,
    /// Upgrades the Kubernetes version of a pool.
    UpgradePool,
    /// Deletes a pool.
    DeletePool,
    /// Deletes a resource group with everything in it.
    DeleteGroup,
    /// Creates a workspace.
    CreateWorkspace,
    /// Creates or changes a network.
    WriteNetwork,
    /// Deletes a network.
    DeleteNetwork,
    /// Creates or changes a subnet.
    WriteSubnet,
    /// Deletes a subnet.
    DeleteSubnet,
    /// Registers a resource provider.
    RegisterProvider,
    /// Runs a command in a cluster.
    RunCommand,
}

/// The final status of a long-running operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FinalStatus {
    /// It succeeded.
    Succeeded,
    /// It failed.
    #[default]
    Failed,
    /// It was canceled.
    Canceled,
}

impl FinalStatus {
    /// The `provisioningState` of a resource after an operation with this status.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Canceled => "Canceled",
        }
    }
}

/// The object of an operation: a provider, a resource group, a resource, or a child of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    /// Empty for providers.
    group: String,
    /// The namespace of a provider, or the name of a resource; empty for groups. In older state files, a group repeats its name
    /// here, and is read as a resource of that name in the group.
    name: String,
    /// A pool of a cluster, or a subnet of a network.
    #[serde(rename = "part", default)]
    child: Option<String>,
}

impl Target {
    pub(crate) fn provider(namespace: &str) -> Self {
        Self::resource("", namespace)
    }

    pub(crate) fn group(name: &str) -> Self {
        Self::resource(name, "")
    }

    pub(crate) fn resource(group: &str, name: &str) -> Self {
        Self { group: group.to_owned(), name: name.to_owned(), child: None }
    }

    pub(crate) fn child(group: &str, parent: &str, name: &str) -> Self {
        Self { child: Some(name.to_owned()), ..Self::resource(group, parent) }
    }

    /// The name of the resource group, if the target is one or in one.
    pub(crate) fn group_name(&self) -> Option<&str> {
        Some(self.group.as_str()).filter(|group| !group.is_empty())
    }

    /// The name of the resource that is the target or contains it.
    pub(crate) fn resource_name(&self) -> Option<&str> {
        self.group_name()?;
        Some(self.name.as_str()).filter(|name| !name.is_empty())
    }

    pub(crate) fn child_name(&self) -> Option<&str> {
        self.child.as_deref()
    }

    /// The name of the target itself.
    pub(crate) fn name(&self) -> &str {
        match &self.child {
            Some(child) => child,
            None if self.name.is_empty() => &self.group,
            None => &self.name,
        }
    }

    pub(crate) fn is_in_group(&self, group: &str) -> bool {
        self.group_name().is_some_and(|target_name| target_name.eq_ignore_ascii_case(group))
    }

    /// Whether the target is the resource, or a child of it.
    pub(crate) fn is_within(&self, group: &str, name: &str) -> bool {
        self.is_in_group(group)
            && self.resource_name().is_some_and(|target_name| target_name.eq_ignore_ascii_case(name))
    }
}

/// The Kubernetes versions that an operation upgrades to. In the state file, the cluster's version has an empty key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub(crate) struct TargetVersions {
    pub(crate) cluster: Option<String>,
    pub(crate) pools: BTreeMap<String, String>,
}

impl From<BTreeMap<String, String>> for TargetVersions {
    fn from(mut pools: BTreeMap<String, String>) -> Self {
        Self { cluster: pools.remove(""), pools }
    }
}

impl From<TargetVersions> for BTreeMap<String, String> {
    fn from(TargetVersions { cluster, mut pools }: TargetVersions) -> Self {
        pools.extend(cluster.map(|version| (String::new(), version)));
        pools
    }
}

/// A long-running operation. Names of fields in the state file are those of earlier versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LongOperation {
    /// A UUID.
    pub(crate) id: String,
    #[serde(rename = "deed")]
    pub(crate) kind: OperationKind,
    #[serde(flatten)]
    pub(crate) target: Target,
    pub(crate) region: String,
    pub(crate) started_ms: i64,
    /// The duration before scaling.
    #[serde(rename = "lasts_ms")]
    pub(crate) duration_ms: u64,
    /// The result, unless the operation simply succeeds.
    #[serde(rename = "wanted", default)]
    pub(crate) outcome: Option<Outcome>,
    #[serde(default)]
    pub(crate) ended_ms: Option<i64>,
    #[serde(default)]
    pub(crate) versions: TargetVersions,
    /// The signature in the operation URLs.
    pub(crate) signature: String,
    /// The command to run in a cluster, or its output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<Command>,
}

/// The scripted result of an operation, or the result of an operation that was interrupted or whose command did not run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) status: FinalStatus,
    #[serde(rename = "trouble")]
    pub(crate) error: OperationError,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OperationError {
    pub(crate) code: String,
    pub(crate) message: String,
}

impl OperationKind {
    /// The resource provider of the operation.
    pub(crate) fn provider(self) -> &'static str {
        match self {
            Self::DeleteGroup | Self::RegisterProvider => "Microsoft.Resources",
            Self::CreateWorkspace => "Microsoft.OperationalInsights",
            Self::WriteNetwork | Self::DeleteNetwork | Self::WriteSubnet | Self::DeleteSubnet => {
                "Microsoft.Network"
            }
            _ => "Microsoft.ContainerService",
        }
    }

    /// Whether the target is a cluster or a pool.
    pub(crate) fn is_on_cluster(self) -> bool {
        self.provider() == "Microsoft.ContainerService"
    }
}

impl LongOperation {
    pub(crate) fn new(kind: OperationKind, target: Target, region: &str) -> Self {
        Self {
            id: Uuid::new_v4().to_string(),
            kind,
            target,
            region: region.to_owned(),
            started_ms: 0,
            duration_ms: 0,
            outcome: None,
            ended_ms: None,
            versions: TargetVersions::default(),
            signature: format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()),
            command: None,
        }
    }

    /// The scheduled completion time.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "durations are far below 2^53 ms"
    )]
    pub(crate) fn due_ms(&self, scale: f64) -> i64 {
        self.started_ms.saturating_add((self.duration_ms as f64 * scale) as i64)
    }

    /// The final status; `None` while the operation is running.
    pub(crate) fn final_status(&self) -> Option<FinalStatus> {
        self.ended_ms?;
        Some(self.outcome.as_ref().map_or(FinalStatus::Succeeded, |outcome| outcome.status))
    }

    /// Ends a running operation early.
    pub(crate) fn interrupt(&mut self, now_ms: i64, status: FinalStatus, code: &str, message: &str) {
        let error = OperationError { code: code.to_owned(), message: message.to_owned() };
        self.outcome = Some(Outcome { status, error });
        self.ended_ms = Some(now_ms);
    }

    /// The response to a poll.
    pub(crate) fn status_body(&self) -> Value {
        let mut body = json!({"status": self.final_status().map_or("InProgress", FinalStatus::as_str)});
        // Microsoft.Network omits name and times.
        if self.kind.provider() != "Microsoft.Network" {
            // AKS writes the ID of an operation in mixed-endian (GUID) byte order.
            let id = Uuid::try_parse(&self.id).unwrap_or_default();
            json::set(&mut body, "/name", Uuid::from_bytes_le(*id.as_bytes()).to_string());
            json::set(&mut body, "/startTime", format_rfc3339(self.started_ms));
            if let Some(ended) = self.ended_ms {
                json::set(&mut body, "/endTime", format_rfc3339(ended));
            }
        }
        if let Some(error) = self.error() {
            json::set(&mut body, "/error", error);
        }
        body
    }

    /// The error object, if any. While the operation is running, an error is hidden unless the operation will succeed anyway.
    pub(crate) fn error(&self) -> Option<Value> {
        let Outcome { status, error: OperationError { code, message } } = self.outcome.as_ref()?;
        let is_visible = self.ended_ms.is_some() || *status == FinalStatus::Succeeded;
        (is_visible && !code.is_empty()).then(|| json!({"code": code, "message": message}))
    }
}

/// An RFC 3339 timestamp.
pub(crate) fn format_rfc3339(timestamp_ms: i64) -> String {
    clock::from_ms(timestamp_ms).format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_of_earlier_state_files_are_read_and_written_back() {
        let stored = |group: &str, name: &str, part: Option<&str>| {
            json!({"id": "1", "deed": "upgradeCluster", "group": group, "name": name, "part": part,
                "region": "eastus", "started_ms": 1, "lasts_ms": 2, "ended_ms": 3,
                "wanted": {"status": "Failed", "trouble": {"code": "c", "message": "m"}},
                "versions": {"": "1.33.3", "system": "1.32.7"}, "signature": "s"})
        };
        for (stored, target) in [
            (stored("g", "c", Some("p")), Target::child("g", "c", "p")),
            (stored("g", "c", None), Target::resource("g", "c")),
            (stored("", "Microsoft.Network", None), Target::provider("Microsoft.Network")),
            (stored("g", "", None), Target::group("g")),
        ] {
            let operation: LongOperation = serde_json::from_value(stored.clone()).unwrap();
            assert_eq!(operation.target, target);
            assert_eq!(operation.versions.cluster.as_deref(), Some("1.33.3"));
            assert_eq!(serde_json::to_value(&operation).unwrap(), stored);
        }
    }
}
