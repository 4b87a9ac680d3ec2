//! A node pool of an AKS cluster, on its own or within the cluster.

use std::collections::BTreeMap;

use super::lenient::objects;

objects! {
    /// A node pool as `managedClusters/<cluster>/agentPools` shows it.
    AgentPool {
        /// The resource id.
        id: Option<String>,
        /// The pool's name.
        name: Option<String>,
        /// Everything else.
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
        /// Nodes wanted, or found there by the autoscaler.
        count: Option<i64>,
        /// Whether Azure decides about the number of nodes.
        enable_auto_scaling: Option<bool>,
        /// The fewest nodes of an autoscaled pool.
        min_count: Option<i64>,
        /// The most nodes of an autoscaled pool.
        max_count: Option<i64>,
        /// The most pods of a node.
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
        /// The version that was asked for.
        orchestrator_version: Option<String>,
        /// The version that the nodes have.
        current_orchestrator_version: Option<String>,
        /// The zones; `None` where Azure names none.
        availability_zones: Option<Vec<String>>,
        /// The resource id of the subnet of the nodes.
        #[serde(rename = "vnetSubnetID")]
        vnet_subnet_id: Option<String>,
        /// The labels of the nodes.
        node_labels: BTreeMap<String, String>,
        /// The taints of the nodes, in the form `key=value:effect`.
        node_taints: Vec<String>,
        /// How nodes are replaced.
        upgrade_settings: Option<UpgradeSettings>,
    }

    /// How nodes are replaced.
    UpgradeSettings {
        /// A number of nodes, or a share of them such as `33%`.
        max_surge: Option<String>,
    }

    /// Whether it is switched on.
    PowerState {
        /// `Running` or `Stopped`.
        code: Option<String>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_read_with_azures_own_spelling_of_the_keys() {
        let json = r#"{"id":"/x","name":"pool1","properties":{"count":1,"vmSize":"standard_d2s_v3",
            "osDiskSizeGB":128,"osDiskType":"Managed","maxPods":110,"enableAutoScaling":true,"minCount":1,
            "maxCount":5,"provisioningState":"Updating","powerState":{"code":"Running"},"mode":"User",
            "orchestratorVersion":"1.31","currentOrchestratorVersion":"1.30.9","osType":"Linux",
            "availabilityZones":["1","3"],"vnetSubnetID":"/subnet","nodeLabels":{"a":"b"},
            "nodeTaints":["k=v:NoSchedule"],"upgradeSettings":{"maxSurge":"33%"},"unknown":{}}}"#;
        let pool: AgentPool = serde_json::from_str(json).unwrap();
        let it = pool.properties.unwrap();
        assert_eq!(pool.name.as_deref(), Some("pool1"));
        assert_eq!((it.count, it.min_count, it.max_count), (Some(1), Some(1), Some(5)));
        assert_eq!((it.os_disk_size_gb, it.max_pods), (Some(128), Some(110)));
        assert_eq!(it.enable_auto_scaling, Some(true));
        assert_eq!(it.vm_size.as_deref(), Some("standard_d2s_v3"));
        assert_eq!(it.os_disk_type.as_deref(), Some("Managed"));
        assert_eq!((it.os_type.as_deref(), it.mode.as_deref()), (Some("Linux"), Some("User")));
        assert_eq!(it.orchestrator_version.as_deref(), Some("1.31"));
        assert_eq!(it.current_orchestrator_version.as_deref(), Some("1.30.9"));
        assert_eq!(it.availability_zones.unwrap(), ["1", "3"]);
        assert_eq!(it.vnet_subnet_id.as_deref(), Some("/subnet"));
        assert_eq!(it.node_labels["a"], "b");
        assert_eq!(it.node_taints, ["k=v:NoSchedule"]);
        assert_eq!(it.upgrade_settings.unwrap().max_surge.as_deref(), Some("33%"));
        assert_eq!(it.provisioning_state.as_deref(), Some("Updating"));
        assert_eq!(it.power_state.unwrap().code.as_deref(), Some("Running"));
    }
}
