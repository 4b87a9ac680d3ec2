//! The upgrade profile of a cluster, `managedClusters/<cluster>/upgradeProfiles/default`: the upgrades that
//! Azure offers to this cluster.

use std::collections::BTreeMap;

use super::lenient::lenient_structs;

lenient_structs! {
    /// The upgrades of a cluster.
    UpgradeProfile {
        /// The profiles.
        properties: Option<UpgradeProfileProperties>,
    }

    /// The profiles of the parts of a cluster.
    UpgradeProfileProperties {
        /// The profile of the control plane.
        control_plane_profile: Option<ControlPlaneUpgrades>,
        /// The profiles of the node pools; Azure may omit their names.
        agent_pool_profiles: Vec<PoolUpgrades>,
    }

    /// The upgrades of a node pool.
    PoolUpgrades {
        /// The name of the pool.
        name: Option<String>,
        /// In Azure's order; empty if there are none.
        upgrades: Vec<UpgradeTarget>,
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
    /// The versions to which the control plane can be upgraded, in Azure's order.
    pub fn control_plane_targets(&self) -> Vec<String> {
        let control_plane =
            self.properties.as_ref().and_then(|properties| properties.control_plane_profile.as_ref());
        versions(control_plane.map_or(&[], |plane| &plane.upgrades))
    }

    /// The versions to which each node pool can be upgraded, in Azure's order, by the pool's name. Pools without a name are
    /// left out.
    pub fn pool_targets(&self) -> BTreeMap<String, Vec<String>> {
        let pools = self.properties.iter().flat_map(|properties| &properties.agent_pool_profiles);
        pools.filter_map(|pool| Some((pool.name.clone()?, versions(&pool.upgrades)))).collect()
    }
}

fn versions(targets: &[UpgradeTarget]) -> Vec<String> {
    targets.iter().filter_map(|target| target.kubernetes_version.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_control_plane_and_pools_are_read() {
        // Elements that are not objects are ignored.
        let json = r#"{"properties":{"controlPlaneProfile":{"kubernetesVersion":"1.32.7","upgrades":[
            {"kubernetesVersion":"1.33.6"},{"kubernetesVersion":"1.32.9","isPreview":null},null,"1.33.1"]},
            "agentPoolProfiles":[{"name":"a","upgrades":[{"kubernetesVersion":"1.32.9"}]},{"name":"b","upgrades":null},
            {"upgrades":[{"kubernetesVersion":"1.33.0"}]}]}}"#;
        let profile: UpgradeProfile = serde_json::from_str(json).unwrap();
        assert_eq!(profile.control_plane_targets(), ["1.33.6", "1.32.9"]);
        let pools =
            BTreeMap::from([("a".to_owned(), vec!["1.32.9".to_owned()]), ("b".to_owned(), Vec::new())]);
        assert_eq!(profile.pool_targets(), pools);
        assert_eq!(UpgradeProfile::default().control_plane_targets(), [""; 0]);
    }
}
