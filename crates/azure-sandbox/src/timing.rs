//! Durations of long-running operations: shorter than in Azure, and adjustable while the sandbox runs.

use serde::{Deserialize, Serialize};

use crate::operation::OperationKind;

/// Durations of long-running operations in milliseconds, and the polling interval in responses. Changes of the scale also
/// apply to running operations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timing {
    /// Factor for all durations below; with 0, operations are due immediately.
    pub scale: f64,
    /// Seconds in the `Retry-After` of running operations; if unset, the header is omitted, as Azure often does.
    pub retry_after: Option<u32>,
    /// Creation of a cluster with its pools.
    pub create_cluster: u64,
    /// Change of a cluster.
    pub update_cluster: u64,
    /// Upgrade of a cluster.
    pub upgrade_cluster: u64,
    /// Change of the tags of a cluster.
    pub tag_cluster: u64,
    /// Deletion of a cluster.
    pub delete_cluster: u64,
    /// Start, stop or abort of a cluster.
    pub power: u64,
    /// Creation of a pool.
    pub create_pool: u64,
    /// Change of a pool, including its number of nodes.
    pub update_pool: u64,
    /// Upgrade of a pool.
    pub upgrade_pool: u64,
    /// Deletion of a pool.
    pub delete_pool: u64,
    /// Deletion of a resource group with everything in it.
    pub delete_group: u64,
    /// Creation of a workspace.
    pub create_workspace: u64,
    /// Changes and deletions of networks and subnets.
    pub network: u64,
    /// Registration of a resource provider.
    pub register: u64,
    /// A command in a cluster, including the start of its pod.
    pub run_command: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            scale: 1.0,
            retry_after: Some(1),
            create_cluster: 8_000,
            update_cluster: 3_500,
            upgrade_cluster: 5_000,
            tag_cluster: 1_500,
            delete_cluster: 4_000,
            power: 3_500,
            create_pool: 4_000,
            update_pool: 3_500,
            upgrade_pool: 4_500,
            delete_pool: 3_500,
            delete_group: 5_000,
            create_workspace: 2_000,
            network: 1_500,
            register: 3_000,
            run_command: 2_000,
        }
    }
}

impl Timing {
    /// The unscaled duration of an operation.
    pub(crate) fn duration_ms(&self, kind: OperationKind) -> u64 {
        match kind {
            OperationKind::CreateCluster => self.create_cluster,
            OperationKind::UpdateCluster => self.update_cluster,
            OperationKind::UpgradeCluster => self.upgrade_cluster,
            OperationKind::TagCluster => self.tag_cluster,
            OperationKind::DeleteCluster => self.delete_cluster,
            OperationKind::StartCluster | OperationKind::StopCluster | OperationKind::AbortCluster => {
                self.power
            }
            OperationKind::CreatePool => self.create_pool,
            OperationKind::UpdatePool | OperationKind::ScalePool => self.update_pool,
            OperationKind::UpgradePool => self.upgrade_pool,
            OperationKind::DeletePool => self.delete_pool,
            OperationKind::DeleteGroup => self.delete_group,
            OperationKind::CreateWorkspace => self.create_workspace,
            OperationKind::WriteNetwork
            | OperationKind::DeleteNetwork
            | OperationKind::WriteSubnet
            | OperationKind::DeleteSubnet => self.network,
            OperationKind::RegisterProvider => self.register,
            OperationKind::RunCommand => self.run_command,
        }
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.scale.is_finite() && self.scale >= 0.0
    }
}
