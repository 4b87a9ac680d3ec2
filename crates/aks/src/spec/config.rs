//! `aksConfig` and its node pools (`docs/contract/aks-config.md#cluster-fields`). `aksStatus.upstreamSpec` has the same
//! shape.
//!
//! Every field may be missing: what is not set is not managed. Whatever else clients send (`type`, and the
//! `_id`, `_isNewOrUnprovisioned`, `_validation` of the dashboard's forms) has no place here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{regions, versions};

/// Declares a struct of optional fields together with the list of its keys.
macro_rules! spec {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $key:literal $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $($(#[$field_doc])* #[serde(rename = $key, skip_serializing_if = "Option::is_none")] pub $field: Option<$kind>,)*
        }

        impl $name {
            /// The keys on the wire.
            pub const KEYS: &[&str] = &[$($key),*];
        }
    };
}

spec! {
    /// What the user wants an AKS cluster to be.
    AksConfig {
        /// The API server answers only these address ranges.
        "authorizedIpRanges" authorized_ip_ranges: Vec<String>,
        /// Without effect.
        "authBaseUrl" auth_base_url: String,
        /// The id of the cloud credential, `cattle-global-data:cc-xxxxx`.
        "azureCredentialSecret" azure_credential_secret: String,
        /// Without effect.
        "baseUrl" base_url: String,
        /// The name in AKS.
        "clusterName" cluster_name: String,
        /// An address within `serviceCidr`.
        "dnsServiceIp" dns_service_ip: String,
        /// The start of the cluster's host name.
        "dnsPrefix" dns_prefix: String,
        /// Without effect.
        "dockerBridgeCidr" docker_bridge_cidr: String,
        /// The add-on of that name.
        "httpApplicationRouting" http_application_routing: bool,
        /// The cluster exists and is only registered; it is never deleted in Azure.
        "imported" imported: bool,
        /// Of the control plane, `1.31.8`.
        "kubernetesVersion" kubernetes_version: String,
        /// Has an effect only together with `sshPublicKey`.
        "linuxAdminUsername" linux_admin_username: String,
        /// `Standard` or `Basic`, in any case.
        "loadBalancerSku" load_balancer_sku: String,
        /// For `monitoring`.
        "logAnalyticsWorkspaceGroup" log_analytics_workspace_group: String,
        /// For `monitoring`.
        "logAnalyticsWorkspaceName" log_analytics_workspace_name: String,
        /// Whether the identity is managed by Azure.
        "managedIdentity" managed_identity: bool,
        /// The add-on of that name.
        "monitoring" monitoring: bool,
        /// `azure` or `kubenet`.
        "networkPlugin" network_plugin: String,
        /// `azure` or `calico`.
        "networkPolicy" network_policy: String,
        /// In the user's order.
        "nodePools" node_pools: Vec<NodePool>,
        /// Where Azure puts the machines.
        "nodeResourceGroup" node_resource_group: String,
        /// `loadBalancer`, `userDefinedRouting`, `managedNATGateway` or `userAssignedNATGateway`, in any case.
        "outboundType" outbound_type: String,
        /// The addresses of pods.
        "podCidr" pod_cidr: String,
        /// The API server has no public address.
        "privateCluster" private_cluster: bool,
        /// `system`, `none` or a resource id; only with `privateCluster`.
        "privateDnsZone" private_dns_zone: String,
        /// The resource group of the cluster.
        "resourceGroup" resource_group: String,
        /// The region.
        "resourceLocation" resource_location: String,
        /// The addresses of services.
        "serviceCidr" service_cidr: String,
        /// Has an effect only together with `linuxAdminUsername`.
        "sshPublicKey" ssh_public_key: String,
        /// An existing subnet of `virtualNetwork`.
        "subnet" subnet: String,
        /// Tags of the cluster resource.
        "tags" tags: BTreeMap<String, String>,
        /// A resource id; only with `managedIdentity`.
        "userAssignedIdentity" user_assigned_identity: String,
        /// An existing network.
        "virtualNetwork" virtual_network: String,
        /// The resource group of that network.
        "virtualNetworkResourceGroup" virtual_network_resource_group: String,
    }
}

spec! {
    /// What the user wants a node pool to be.
    NodePool {
        /// `1`, `2`, `3`.
        "availabilityZones" availability_zones: Vec<String>,
        /// Machines; without meaning while autoscaling.
        "count" count: i64,
        /// Whether Azure chooses the number of machines.
        "enableAutoScaling" enable_auto_scaling: bool,
        /// With autoscaling.
        "maxCount" max_count: i64,
        /// Pods per machine.
        "maxPods" max_pods: i64,
        /// Machines that are added while upgrading: `1`, `33%`.
        "maxSurge" max_surge: String,
        /// With autoscaling.
        "minCount" min_count: i64,
        /// `System` or `User`.
        "mode" mode: String,
        /// The key of the pool.
        "name" name: String,
        /// Labels of the nodes.
        "nodeLabels" node_labels: BTreeMap<String, String>,
        /// `key=value:Effect`
        "nodeTaints" node_taints: Vec<String>,
        /// The Kubernetes version of the pool.
        "orchestratorVersion" orchestrator_version: String,
        /// GiB
        "osDiskSizeGB" os_disk_size_gb: i64,
        /// `Managed` or `Ephemeral`.
        "osDiskType" os_disk_type: String,
        /// `Linux`
        "osType" os_type: String,
        /// The size of the machines, `Standard_D2d_v4`.
        "vmSize" vm_size: String,
        /// The resource id of the subnet; taken from Azure.
        "vnetSubnetID" vnet_subnet_id: String,
    }
}

impl AksConfig {
    /// The same with one form of what may be written in several: the region (`East US`) and Kubernetes versions (`v1.33.5`).
    #[must_use]
    pub fn normalised(mut self) -> Self {
        self.resource_location = self.resource_location.map(|region| regions::normalised(&region));
        self.kubernetes_version = self.kubernetes_version.map(|version| versions::canonical(&version));
        for pool in self.node_pools.iter_mut().flatten() {
            pool.orchestrator_version =
                pool.orchestrator_version.take().map(|version| versions::canonical(&version));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_ranchers_and_what_is_not_set_is_not_written() {
        let text =
            json!({"dnsServiceIp": "10.0.0.10", "nodePools": [{"osDiskSizeGB": 128, "vnetSubnetID": "x"}]});
        let config: AksConfig = serde_json::from_value(text.clone()).unwrap();
        assert_eq!(config.dns_service_ip.as_deref(), Some("10.0.0.10"));
        assert_eq!(serde_json::to_value(&config).unwrap(), text);
    }

    #[test]
    fn null_and_unknown_keys_are_passed_over() {
        let text =
            json!({"type": "/v3/schemas/x", "tags": null, "nodePools": [{"_id": 1, "_validation": {}}]});
        let config: AksConfig = serde_json::from_value(text).unwrap();
        assert_eq!(config, AksConfig { node_pools: Some(vec![NodePool::default()]), ..AksConfig::default() });
    }
}
