//! The properties of a cluster in Azure that have no key in `aksConfig` but are needed for decisions: the running versions, the
//! support plan, the pod network, the region. They are stored with `upstreamSpec`, but not displayed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::provision::upstream::{profiles, string_at};
use super::regions;
use super::spec::AksConfig;

/// `supportPlan` of a cluster with long-term support.
const LONG_TERM_SUPPORT_PLAN: &str = "AKSLongTermSupport";

/// Properties of a cluster in Azure. Each may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClusterDetails {
    /// The full running version of the control plane, `1.33.6`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_version: Option<String>,
    /// The full versions of the nodes, by node pool.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pool_versions: BTreeMap<String, String>,
    /// Whether the cluster has long-term support.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub long_term: bool,
    /// Whether pods have addresses from their own range instead of the subnet's (`networkPluginMode` is `overlay`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub overlay: bool,
    /// The node pools whose pods have their own subnet (`podSubnetID`).
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub pod_subnet_pools: BTreeSet<String>,
    /// The normalized region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The resource group of the nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_resource_group: Option<String>,
}

impl ClusterDetails {
    /// Whether no property is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads Azure's response to a GET of the cluster.
    pub fn read(cluster: &Value) -> Self {
        let property = |key: &'static str| string_at(cluster, &["properties", key]);
        let equals_ignoring_case = |value: Option<String>, expected: &str| {
            value.is_some_and(|value| value.eq_ignore_ascii_case(expected))
        };
        let pool_values = |key: &'static str| {
            profiles(cluster)
                .filter_map(move |pool| Some((string_at(pool, &["name"])?, string_at(pool, &[key])?)))
        };
        Self {
            running_version: property("currentKubernetesVersion"),
            pool_versions: pool_values("currentOrchestratorVersion").collect(),
            long_term: equals_ignoring_case(property("supportPlan"), LONG_TERM_SUPPORT_PLAN),
            overlay: equals_ignoring_case(
                string_at(cluster, &["properties", "networkProfile", "networkPluginMode"]),
                "overlay",
            ),
            pod_subnet_pools: pool_values("podSubnetID").map(|(name, _)| name).collect(),
            region: string_at(cluster, &["location"]).map(|region| regions::normalize(&region)),
            node_resource_group: property("nodeResourceGroup"),
        }
    }

    /// The configuration with the running versions instead of the requested ones.
    #[must_use]
    pub fn with_running_versions(&self, mut config: AksConfig) -> AksConfig {
        if let Some(version) = &self.running_version {
            config.kubernetes_version = Some(version.clone());
        }
        for pool in config.node_pools.iter_mut().flatten() {
            if let Some(version) = pool.name.as_ref().and_then(|name| self.pool_versions.get(name)) {
                pool.orchestrator_version = Some(version.clone());
            }
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn details_are_read_and_missing_ones_stay_unset() {
        let cluster = json!({"location": "East US", "properties": {
            "kubernetesVersion": "1.33", "currentKubernetesVersion": "1.33.6", "supportPlan": "AKSLongTermSupport",
            "networkProfile": {"networkPluginMode": "Overlay"}, "nodeResourceGroup": "MC_g_n_eastus",
            "agentPoolProfiles": [{"name": "a", "orchestratorVersion": "1.33", "currentOrchestratorVersion": "1.33.5"},
                {"name": "b", "podSubnetID": "/pods"}, null]}});
        let details = ClusterDetails::read(&cluster);
        assert_eq!(details.running_version.as_deref(), Some("1.33.6"));
        assert!(details.long_term && details.overlay);
        assert_eq!((details.region.as_deref(), details.pod_subnet_pools.len()), (Some("eastus"), 1));
        let config = json!({"kubernetesVersion": "1.33", "nodePools": [{"name": "a"}, {"name": "b", "orchestratorVersion": "1.32.1"}]});
        let config = details.with_running_versions(serde_json::from_value(config).unwrap());
        let pools: Vec<_> =
            config.node_pools.unwrap().into_iter().map(|pool| pool.orchestrator_version).collect();
        assert_eq!(config.kubernetes_version.as_deref(), Some("1.33.6"));
        assert_eq!(pools, [Some("1.33.5".to_owned()), Some("1.32.1".to_owned())]);
        for empty in [json!({}), json!({"properties": {"agentPoolProfiles": 1}})] {
            assert_eq!(ClusterDetails::read(&empty), ClusterDetails::default());
        }
        assert_eq!(json!(ClusterDetails::default()), json!({}));
    }
}
