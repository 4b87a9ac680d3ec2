//! `aksConfig` and its node pools (`docs/contract/aks-config.md#cluster-fields`). `aksStatus.upstreamSpec` has the same fields.
//!
//! Every field may be missing; an unset field is not managed. `""` is read as unset. Other keys that clients send (`type`, and
//! `_id`, `_isNewOrUnprovisioned`, `_validation` of the dashboard's forms) are ignored.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{regions, versions};

/// A type of field values.
trait FieldValue {
    /// Whether the value means that the field is unset, as `""` does.
    fn is_unset(&self) -> bool {
        false
    }
}

impl FieldValue for String {
    fn is_unset(&self) -> bool {
        self.is_empty()
    }
}

impl FieldValue for bool {}
impl FieldValue for i64 {}
impl<T> FieldValue for Vec<T> {}
impl FieldValue for BTreeMap<String, String> {}

/// For `#[serde(deserialize_with)]`: `null` and `""` become `None`.
fn deserialize_if_set<'de, D: Deserializer<'de>, T: Deserialize<'de> + FieldValue>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.filter(|value| !value.is_unset()))
}

/// Declares a struct of optional fields together with the list of its keys.
macro_rules! spec {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $key:literal $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $($(#[$field_doc])* #[serde(rename = $key, skip_serializing_if = "Option::is_none", deserialize_with = "deserialize_if_set")] pub $field: Option<$kind>,)*
        }

        impl $name {
            /// The keys in JSON.
            pub const KEYS: &[&str] = &[$($key),*];
        }
    };
}

spec! {
    /// The desired state of an AKS cluster.
    AksConfig {
        /// Address ranges that may reach the API server.
        "authorizedIpRanges" authorized_ip_ranges: Vec<String>,
        /// No effect.
        "authBaseUrl" auth_base_url: String,
        /// The ID of the cloud credential, `cattle-global-data:cc-xxxxx`.
        "azureCredentialSecret" azure_credential_secret: String,
        /// No effect.
        "baseUrl" base_url: String,
        /// The name in AKS.
        "clusterName" cluster_name: String,
        /// An address within `serviceCidr`.
        "dnsServiceIp" dns_service_ip: String,
        /// The first part of the cluster's host name.
        "dnsPrefix" dns_prefix: String,
        /// No effect.
        "dockerBridgeCidr" docker_bridge_cidr: String,
        /// Whether the add-on with this name is on.
        "httpApplicationRouting" http_application_routing: bool,
        /// Registers an existing cluster, which is never deleted in Azure.
        "imported" imported: bool,
        /// The version of the control plane, for example `1.31.8`.
        "kubernetesVersion" kubernetes_version: String,
        /// Has an effect only together with `sshPublicKey`.
        "linuxAdminUsername" linux_admin_username: String,
        /// `Standard` or `Basic`, in any case.
        "loadBalancerSku" load_balancer_sku: String,
        /// The resource group of the workspace for `monitoring`.
        "logAnalyticsWorkspaceGroup" log_analytics_workspace_group: String,
        /// The name of the workspace for `monitoring`.
        "logAnalyticsWorkspaceName" log_analytics_workspace_name: String,
        /// Whether the cluster has a managed identity.
        "managedIdentity" managed_identity: bool,
        /// Whether the add-on with this name is on.
        "monitoring" monitoring: bool,
        /// `azure` or `kubenet`.
        "networkPlugin" network_plugin: String,
        /// `azure` or `calico`.
        "networkPolicy" network_policy: String,
        /// The node pools, in the user's order.
        "nodePools" node_pools: Vec<NodePool>,
        /// The resource group of the nodes.
        "nodeResourceGroup" node_resource_group: String,
        /// `loadBalancer`, `userDefinedRouting`, `managedNATGateway` or `userAssignedNATGateway`, in any case.
        "outboundType" outbound_type: String,
        /// The address range of pods.
        "podCidr" pod_cidr: String,
        /// Whether the API server has only a private address.
        "privateCluster" private_cluster: bool,
        /// `system`, `none` or a resource ID; only with `privateCluster`.
        "privateDnsZone" private_dns_zone: String,
        /// The resource group of the cluster.
        "resourceGroup" resource_group: String,
        /// The region.
        "resourceLocation" resource_location: String,
        /// The address range of services.
        "serviceCidr" service_cidr: String,
        /// Has an effect only together with `linuxAdminUsername`.
        "sshPublicKey" ssh_public_key: String,
        /// An existing subnet of `virtualNetwork`.
        "subnet" subnet: String,
        /// Tags of the cluster resource.
        "tags" tags: BTreeMap<String, String>,
        /// A resource ID; only with `managedIdentity`.
        "userAssignedIdentity" user_assigned_identity: String,
        /// An existing network.
        "virtualNetwork" virtual_network: String,
        /// The resource group of `virtualNetwork`.
        "virtualNetworkResourceGroup" virtual_network_resource_group: String,
    }
}

spec! {
    /// The desired state of a node pool.
    NodePool {
        /// The zones of the nodes: `1`, `2`, `3`.
        "availabilityZones" availability_zones: Vec<String>,
        /// Number of nodes; with autoscaling, only the initial number.
        "count" count: i64,
        /// Whether the autoscaler sets the number of nodes.
        "enableAutoScaling" enable_auto_scaling: bool,
        /// Maximum number of nodes; only with autoscaling.
        "maxCount" max_count: i64,
        /// Pods per node.
        "maxPods" max_pods: i64,
        /// Nodes that are added during an upgrade, for example `1` or `33%`.
        "maxSurge" max_surge: String,
        /// Minimum number of nodes; only with autoscaling.
        "minCount" min_count: i64,
        /// `System` or `User`.
        "mode" mode: String,
        /// Identifies the pool.
        "name" name: String,
        /// Labels of the nodes.
        "nodeLabels" node_labels: BTreeMap<String, String>,
        /// Taints of the nodes: `key=value:Effect`.
        "nodeTaints" node_taints: Vec<String>,
        /// The Kubernetes version of the pool.
        "orchestratorVersion" orchestrator_version: String,
        /// Size of the OS disk in GiB.
        "osDiskSizeGB" os_disk_size_gb: i64,
        /// `Managed` or `Ephemeral`.
        "osDiskType" os_disk_type: String,
        /// `Linux`; `Windows` only for pools that already exist in Azure.
        "osType" os_type: String,
        /// The VM size of the nodes, for example `Standard_D2d_v4`.
        "vmSize" vm_size: String,
        /// The resource ID of the subnet; if unset, this server or Azure chooses it.
        "vnetSubnetID" vnet_subnet_id: String,
    }
}

impl AksConfig {
    /// The configuration with the region (`East US`) and Kubernetes versions (`v1.33.5`) in their canonical form.
    #[must_use]
    pub fn normalized(mut self) -> Self {
        let non_empty = |text: String| Some(text).filter(|text| !text.is_empty());
        self.resource_location =
            self.resource_location.and_then(|region| non_empty(regions::normalize(&region)));
        self.kubernetes_version =
            self.kubernetes_version.and_then(|version| non_empty(versions::canonical(&version)));
        for pool in self.node_pools.iter_mut().flatten() {
            let version = pool.orchestrator_version.take();
            pool.orchestrator_version = version.and_then(|version| non_empty(versions::canonical(&version)));
        }
        self
    }

    /// The node pools; empty if they are not managed.
    pub fn pools(&self) -> &[NodePool] {
        self.node_pools.as_deref().unwrap_or_default()
    }

    /// The node pool with this name.
    pub fn pool(&self, name: &str) -> Option<&NodePool> {
        self.pools().iter().find(|pool| pool.name.as_deref() == Some(name))
    }

    /// Whether the cluster is an existing one that was registered, and not created by this server.
    pub fn is_import(&self) -> bool {
        self.imported == Some(true)
    }

    /// The resource group of the cluster's network. `virtualNetworkResourceGroup` applies only if `networkPlugin` is set
    /// (`docs/contract/provisioning.md#pool-body`).
    pub fn network_group(&self) -> Option<&str> {
        let explicit =
            self.virtual_network_resource_group.as_deref().filter(|_| self.network_plugin.is_some());
        explicit.or(self.resource_group.as_deref())
    }

    /// `httpApplicationRouting`; `None` in China, where Azure does not offer the add-on.
    pub fn http_routing(&self) -> Option<bool> {
        let region = regions::normalize(self.resource_location.as_deref().unwrap_or_default());
        self.http_application_routing.filter(|_| !region.starts_with("china"))
    }

    /// The user-assigned identity of the cluster; `None` without `managedIdentity`.
    pub fn user_identity(&self) -> Option<&str> {
        self.user_assigned_identity.as_deref().filter(|_| self.managed_identity == Some(true))
    }
}

impl NodePool {
    /// Whether the pool runs system pods.
    pub fn is_system(&self) -> bool {
        self.mode.as_deref().is_some_and(|mode| mode.eq_ignore_ascii_case("System"))
    }

    /// Whether the autoscaler sets the number of nodes.
    pub fn is_autoscaled(&self) -> bool {
        self.enable_auto_scaling == Some(true)
    }

    /// The availability zones; unset if the list is empty.
    pub fn zones(&self) -> Option<&[String]> {
        self.availability_zones.as_deref().filter(|zones| !zones.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::config;

    #[test]
    fn keys_are_ranchers_and_unset_fields_are_omitted() {
        let json =
            json!({"dnsServiceIp": "10.0.0.10", "nodePools": [{"osDiskSizeGB": 128, "vnetSubnetID": "x"}]});
        let config = config(json.clone());
        assert_eq!(config.dns_service_ip.as_deref(), Some("10.0.0.10"));
        assert_eq!(serde_json::to_value(&config).unwrap(), json);
    }

    #[test]
    fn null_and_empty_strings_are_unset_and_unknown_keys_ignored() {
        let request = json!({"type": "/v3/schemas/x", "tags": null, "subnet": "",
            "nodePools": [{"_id": 1, "_validation": {}, "maxSurge": ""}]});
        assert_eq!(config(request), config(json!({"nodePools": [{}]})));
        let assert_differ = |one: Value, other: Value| assert_ne!(config(one), config(other));
        // An empty map or list is managed. Tags and labels may have empty values.
        assert_differ(json!({"tags": {}}), json!({}));
        assert_differ(json!({"tags": {"a": ""}}), json!({"tags": {}}));
        assert_differ(
            json!({"nodePools": [{"nodeLabels": {"a": ""}}]}),
            json!({"nodePools": [{"nodeLabels": {}}]}),
        );
    }

    #[test]
    fn network_group_applies_only_with_a_plugin() {
        for (keys, group) in [
            (json!({"virtualNetworkResourceGroup": "n", "networkPlugin": "azure"}), "n"),
            (json!({"virtualNetworkResourceGroup": "n"}), "g"),
            (json!({"virtualNetworkResourceGroup": "", "networkPlugin": "azure"}), "g"),
        ] {
            let spec = AksConfig { resource_group: Some("g".to_owned()), ..config(keys) };
            assert_eq!(spec.network_group(), Some(group));
        }
        assert_eq!(AksConfig::default().network_group(), None);
    }

    #[test]
    fn china_has_no_http_routing() {
        for (region, expected) in
            [("chinaeast2", None), ("ChinaNorth3", None), ("eastus", Some(true)), ("", Some(true))]
        {
            let sent = json!({"httpApplicationRouting": true, "resourceLocation": region});
            assert_eq!(config(sent).http_routing(), expected, "{region}");
        }
    }
}
