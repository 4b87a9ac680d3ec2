//! The upgrade profile of a cluster, `managedClusters/<cluster>/upgradeProfiles/default`: what Azure upgrades this very cluster
//! to.

use serde::Deserialize;

use super::lenient::{maybe, or_default, read_from_object};

/// Where a cluster can be upgraded to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct UpgradeProfile {
    /// Everything of interest.
    #[serde(deserialize_with = "maybe")]
    pub properties: Option<UpgradeProfileProperties>,
}

/// The profiles of the parts of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UpgradeProfileProperties {
    /// Of the control plane.
    #[serde(deserialize_with = "maybe")]
    pub control_plane_profile: Option<ControlPlaneUpgrades>,
}

/// Where the control plane can be upgraded to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ControlPlaneUpgrades {
    /// In Azure's order; `None` and `[]` mean nowhere.
    #[serde(deserialize_with = "or_default")]
    pub upgrades: Vec<UpgradeTarget>,
}

/// A version to upgrade to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UpgradeTarget {
    /// The full version, `1.33.5`.
    #[serde(deserialize_with = "maybe")]
    pub kubernetes_version: Option<String>,
}

read_from_object!(UpgradeProfile, UpgradeProfileProperties, ControlPlaneUpgrades, UpgradeTarget);

impl UpgradeProfile {
    /// The versions that the control plane can be upgraded to, in Azure's order.
    pub fn targets(self) -> Vec<String> {
        let control_plane = self.properties.and_then(|properties| properties.control_plane_profile);
        let targets = control_plane.into_iter().flat_map(|plane| plane.upgrades);
        targets.filter_map(|target| target.kubernetes_version).collect()
    }
}
