//! The fields of an AKS cluster (`Microsoft.ContainerService/managedClusters`) that name it and describe its state and access.
//! The rest of its configuration is read from the JSON, [`Resource::raw`](super::Resource::raw).

use std::collections::BTreeMap;

use super::agent_pool::{AgentPoolProperties, PowerState};
use super::lenient::lenient_structs;

lenient_structs! {
    /// An AKS cluster.
    ManagedCluster {
        /// The resource ID; ARM often writes `resourcegroups` in it in lower case.
        id: Option<String>,
        /// The cluster's name.
        name: Option<String>,
        /// The region, for example `eastus`.
        location: Option<String>,
        /// The tags; a tag without a value has an empty one.
        tags: BTreeMap<String, String>,
        /// The other properties.
        properties: Option<ManagedClusterProperties>,
    }

    /// The properties of an AKS cluster.
    ManagedClusterProperties {
        /// Whether Kubernetes RBAC is on.
        #[serde(rename = "enableRBAC")]
        enable_rbac: Option<bool>,
        /// The requested version, for example `1.31` or `1.31.5`.
        kubernetes_version: Option<String>,
        /// The running version, for example `1.31.5`; older than the requested one during an upgrade.
        current_kubernetes_version: Option<String>,
        /// For example `Succeeded`, `Creating`, `Failed`.
        provisioning_state: Option<String>,
        /// Whether it is running. A stopped cluster is in the provisioning state `Succeeded` too, but cannot be changed.
        power_state: Option<PowerState>,
        /// The host name of the Kubernetes API; private clusters may have none.
        fqdn: Option<String>,
        /// The host name of the Kubernetes API inside the network of a private cluster.
        #[serde(rename = "privateFQDN")]
        private_fqdn: Option<String>,
        /// The resource group that Azure creates for the nodes.
        node_resource_group: Option<String>,
        /// Whether local accounts are disabled, so that Azure provides no static credentials for the cluster.
        disable_local_accounts: Option<bool>,
        /// The access of Microsoft Entra users; `None` if they have none.
        aad_profile: Option<AadProfile>,
        /// The network access to the Kubernetes API.
        api_server_access_profile: Option<ApiServerAccessProfile>,
        /// The pools, in Azure's order.
        agent_pool_profiles: Vec<AgentPoolProperties>,
    }

    /// The access of Microsoft Entra users.
    AadProfile {
        /// Whether Azure roles authorize users.
        #[serde(rename = "enableAzureRBAC")]
        enable_azure_rbac: Option<bool>,
        /// The tenant ID.
        #[serde(rename = "tenantID")]
        tenant_id: Option<String>,
    }

    /// The network access to the Kubernetes API.
    ApiServerAccessProfile {
        /// Whether the Kubernetes API has no public address.
        enable_private_cluster: Option<bool>,
        /// The allowed ranges in CIDR notation; empty if all are allowed.
        #[serde(rename = "authorizedIPRanges")]
        authorized_ip_ranges: Vec<String>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_cluster_with_entra_users_is_read() {
        let json = r#"{"name":"n","tags":{"a":"1","b":null},"identity":{"type":"SystemAssigned"},"properties":{
            "provisioningState":"Succeeded","powerState":{"code":"Running"},"kubernetesVersion":"1.31",
            "currentKubernetesVersion":"1.31.5","privateFQDN":"n-1.privatelink.eastus.azmk8s.io",
            "disableLocalAccounts":true,"aadProfile":{"enableAzureRBAC":false,"tenantID":"t","adminUsers":null},
            "apiServerAccessProfile":{"enablePrivateCluster":true,"authorizedIPRanges":["10.0.0.0/8"]},
            "agentPoolProfiles":[{"name":"p","count":3,"provisioningState":"Scaling"},null]}}"#;
        let cluster: ManagedCluster = serde_json::from_str(json).unwrap();
        assert_eq!(cluster.tags.get("a").map(String::as_str), Some("1"));
        assert_eq!(cluster.tags.get("b").map(String::as_str), Some(""));
        let properties = cluster.properties.unwrap();
        assert_eq!(properties.power_state.unwrap().code.as_deref(), Some("Running"));
        assert_eq!(properties.current_kubernetes_version.as_deref(), Some("1.31.5"));
        assert_eq!(
            (properties.fqdn, properties.private_fqdn.as_deref()),
            (None, Some("n-1.privatelink.eastus.azmk8s.io"))
        );
        assert_eq!(properties.disable_local_accounts, Some(true));
        let entra = properties.aad_profile.unwrap();
        assert_eq!((entra.enable_azure_rbac, entra.tenant_id.as_deref()), (Some(false), Some("t")));
        let access = properties.api_server_access_profile.unwrap();
        assert_eq!(access.enable_private_cluster, Some(true));
        assert_eq!(access.authorized_ip_ranges, ["10.0.0.0/8"]);
        let [pool] = properties.agent_pool_profiles.as_slice() else { panic!("one pool") };
        assert_eq!((pool.name.as_deref(), pool.count), (Some("p"), Some(3)));
    }
}
