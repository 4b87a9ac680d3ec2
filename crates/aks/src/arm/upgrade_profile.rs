//! The upgrade profile of a cluster, `managedClusters/<cluster>/upgradeProfiles/default`: the upgrades that
//! Azure offers to this cluster.

use super::lenient::objects;

objects! {
    /// The upgrades of a cluster.
    UpgradeProfile {
        /// The profiles.
        properties: Option<UpgradeProfileProperties>,
    }

    /// The profiles of the parts of a cluster.
    UpgradeProfileProperties {
        /// The profile of the control plane.
        control_plane_profile: Option<ControlPlaneUpgrades>,
    }

    /// The upgrades of the control plane.
    ControlPlaneUpgrades {
        /// In Azure's order; empty if there are none.
        upgrades: Vec<UpgradeTarget>,
    }

    /// A version to upgrade to.
    UpgradeTarget {
        /// The full version, `1.33.5`.
        kubernetes_version: Option<String>,
    }
}

impl UpgradeProfile {
    /// The versions that the control plane can be upgraded to, in Azure's order.
    pub fn targets(self) -> Vec<String> {
        let control_plane = self.properties.and_then(|properties| properties.control_plane_profile);
        let targets = control_plane.into_iter().flat_map(|plane| plane.upgrades);
        targets.filter_map(|target| target.kubernetes_version).collect()
    }
}
