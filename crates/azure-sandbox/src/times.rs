//! How long things take: shorter than in Azure, and adjustable while the sandbox runs.

use serde::{Deserialize, Serialize};

use super::holdings::Deed;

/// How long the long operations take, in milliseconds, and what clients are told about waiting. A change holds for
/// operations that are under way too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Times {
    /// All times below are multiplied by this; 0: done at the next look.
    pub scale: f64,
    /// Seconds in the `Retry-After` of what is under way; none: the header is not sent, as Azure often does.
    pub retry_after: Option<u32>,
    /// A new cluster with its pools.
    pub create_cluster: u64,
    /// A changed cluster.
    pub update_cluster: u64,
    /// Another Kubernetes version for a cluster.
    pub upgrade_cluster: u64,
    /// Other tags on a cluster.
    pub tag_cluster: u64,
    /// The end of a cluster.
    pub delete_cluster: u64,
    /// Starting or stopping a cluster.
    pub power: u64,
    /// A new pool.
    pub create_pool: u64,
    /// A changed pool; more or fewer nodes, too.
    pub update_pool: u64,
    /// Another Kubernetes version for a pool.
    pub upgrade_pool: u64,
    /// The end of a pool.
    pub delete_pool: u64,
    /// The end of a resource group with everything in it.
    pub delete_group: u64,
    /// A new workspace.
    pub create_workspace: u64,
    /// Anything with networks and subnets.
    pub network: u64,
    /// The registration of a resource provider.
    pub register: u64,
}

impl Default for Times {
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
        }
    }
}

impl Times {
    /// How long `deed` takes before the scale.
    pub(crate) fn of(&self, deed: Deed) -> u64 {
        match deed {
            Deed::CreateCluster => self.create_cluster,
            Deed::UpdateCluster => self.update_cluster,
            Deed::UpgradeCluster => self.upgrade_cluster,
            Deed::TagCluster => self.tag_cluster,
            Deed::DeleteCluster => self.delete_cluster,
            Deed::StartCluster | Deed::StopCluster | Deed::AbortCluster => self.power,
            Deed::CreatePool => self.create_pool,
            Deed::UpdatePool | Deed::ScalePool => self.update_pool,
            Deed::UpgradePool => self.upgrade_pool,
            Deed::DeletePool => self.delete_pool,
            Deed::DeleteGroup => self.delete_group,
            Deed::CreateWorkspace => self.create_workspace,
            Deed::WriteNetwork | Deed::DeleteNetwork | Deed::WriteSubnet | Deed::DeleteSubnet => self.network,
            Deed::RegisterProvider => self.register,
        }
    }

    /// Whether the scale is one that time can be multiplied by.
    pub(crate) fn is_possible(&self) -> bool {
        self.scale.is_finite() && self.scale >= 0.0
    }
}
