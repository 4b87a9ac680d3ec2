//! A node pool of an AKS cluster, on its own or within the cluster.

use std::collections::BTreeMap;

use super::lenient::lenient_structs;

lenient_structs! {
    /// A node pool as `managedClusters/<cluster>/agentPools` shows it.
    AgentPool {
        /// The resource ID.
        id: Option<String>,
        /// The pool's name.
        name: Option<String>,
        /// The other properties.
        properties: Option<AgentPoolProperties>,
    }

    /// The properties of a node pool; within `agentPoolProfiles` of a cluster the name is among them.
    AgentPoolProperties {
        /// The pool's name, only within a cluster.
        name: Option<String>,
        /// For example `Succeeded`, `Creating`, `Scaling`, `Upgrading`, `Deleting`, `Failed`.
        provisioning_state: Option<String>,
        /// `Running` or `Stopped`.
        power_state: Option<PowerState>,
        /// The desired number of nodes; in an autoscaled pool, the current number.
        count: Option<i64>,
        /// Whether the autoscaler sets the number of nodes.
        enable_auto_scaling: Option<bool>,
        /// The minimum number of nodes of an autoscaled pool.
        min_count: Option<i64>,
        /// The maximum number of nodes of an autoscaled pool.
        max_count: Option<i64>,
        /// The maximum number of pods of a node.
        max_pods: Option<i64>,
        /// For example `Standard_D2s_v5`, in any letter case.
        vm_size: Option<String>,
        /// In GB.
        #[serde(rename = "osDiskSizeGB")]
        os_disk_size_gb: Option<i64>,
        /// `Managed` or `Ephemeral`.
        os_disk_type: Option<String>,
        /// `Linux` or `Windows`.
        os_type: Option<String>,
        /// `System`, `User` or `Gateway`.
        mode: Option<String>,
        /// The requested version.
        orchestrator_version: Option<String>,
        /// The running version.
        current_orchestrator_version: Option<String>,
        /// The zones, if there are any.
        availability_zones: Option<Vec<String>>,
        /// The resource ID of the subnet of the nodes.
        #[serde(rename = "vnetSubnetID")]
        vnet_subnet_id: Option<String>,
        /// The labels of the nodes.
        node_labels: BTreeMap<String, String>,
        /// The taints of the nodes, in the form `key=value:effect`.
        node_taints: Vec<String>,
        /// The settings of upgrades.
        upgrade_settings: Option<UpgradeSettings>,
    }

    /// The settings of upgrades.
    UpgradeSettings {
        /// A number of nodes, or a percentage such as `33%`.
        max_surge: Option<String>,
    }

    /// The power state.
    PowerState {
        /// `Running` or `Stopped`.
        code: Option<String>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pool_is_read_with_azures_keys() {
        let json = r#"{"id":"/x","name":"pool1","properties":{"count":1,"vmSize":"standard_d2s_v3",
            "osDiskSizeGB":128,"osDiskType":"Managed","maxPods":110,"enableAutoScaling":true,"minCount":1,
            "maxCount":5,"provisioningState":"Updating","powerState":{"code":"Running"},"mode":"User",
            "orchestratorVersion":"1.31","currentOrchestratorVersion":"1.30.9","osType":"Linux",
            "availabilityZones":["1","3"],"vnetSubnetID":"/subnet","nodeLabels":{"a":"b"},
            "nodeTaints":["k=v:NoSchedule"],"upgradeSettings":{"maxSurge":"33%"},"unknown":{}}}"#;
        let pool: AgentPool = serde_json::from_str(json).unwrap();
        let properties = pool.properties.unwrap();
        assert_eq!(pool.name.as_deref(), Some("pool1"));
        assert_eq!(
            (properties.count, properties.min_count, properties.max_count),
            (Some(1), Some(1), Some(5))
        );
        assert_eq!((properties.os_disk_size_gb, properties.max_pods), (Some(128), Some(110)));
        assert_eq!(properties.enable_auto_scaling, Some(true));
        assert_eq!(properties.vm_size.as_deref(), Some("standard_d2s_v3"));
        assert_eq!(properties.os_disk_type.as_deref(), Some("Managed"));
        assert_eq!(
            (properties.os_type.as_deref(), properties.mode.as_deref()),
            (Some("Linux"), Some("User"))
        );
        assert_eq!(properties.orchestrator_version.as_deref(), Some("1.31"));
        assert_eq!(properties.current_orchestrator_version.as_deref(), Some("1.30.9"));
        assert_eq!(properties.availability_zones.unwrap(), ["1", "3"]);
        assert_eq!(properties.vnet_subnet_id.as_deref(), Some("/subnet"));
        assert_eq!(properties.node_labels["a"], "b");
        assert_eq!(properties.node_taints, ["k=v:NoSchedule"]);
        assert_eq!(properties.upgrade_settings.unwrap().max_surge.as_deref(), Some("33%"));
        assert_eq!(properties.provisioning_state.as_deref(), Some("Updating"));
        assert_eq!(properties.power_state.unwrap().code.as_deref(), Some("Running"));
    }
}
