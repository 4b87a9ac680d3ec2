//! The types of resources that clusters consist of: those that this server writes, and those that AKS creates in the node
//! resource group. Azure applies policies to all of them
//! (<https://learn.microsoft.com/azure/aks/faq>, "Why are two resource groups created with AKS?").

/// A type of resource.
#[derive(Debug)]
pub(super) struct ResourceType {
    /// Azure's name, in lower case.
    pub(super) name: &'static str,
    /// The resources in a sentence, and which clusters need them.
    pub(super) description: &'static str,
    pub(super) scope: CreationScope,
    /// Whether every cluster needs such a resource.
    pub(super) is_essential: bool,
    /// Whether the resources are deleted with a cluster or a node pool.
    pub(super) is_deleted: bool,
    /// Whether policies of the mode `Indexed` apply, which affect only types with tags and a location
    /// (<https://learn.microsoft.com/azure/governance/policy/concepts/definition-structure-basics#resource-manager-modes>).
    pub(super) is_indexed: bool,
}

/// The scope in which resources are created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CreationScope {
    Subscription,
    /// The resource group of the cluster.
    ClusterGroup,
    /// The node resource group, which AKS creates.
    NodeGroup,
}

const MONITORING: &str = "Log Analytics workspaces and solutions (clusters with monitoring)";
const GROUPS: &str = "resource groups (every cluster has one for its nodes)";
const PRIVATE_NETWORKING: &str =
    "private endpoints, their network interfaces and private DNS zones (private clusters)";

pub(super) const TYPES: [ResourceType; 19] = [
    ResourceType {
        is_essential: true,
        ..in_cluster_group("microsoft.containerservice/managedclusters", "clusters")
    },
    ResourceType {
        is_indexed: false,
        ..in_cluster_group("microsoft.containerservice/managedclusters/agentpools", "node pools")
    },
    ResourceType {
        is_deleted: false,
        ..in_cluster_group("microsoft.operationalinsights/workspaces", MONITORING)
    },
    ResourceType {
        is_deleted: false,
        ..in_cluster_group("microsoft.operationsmanagement/solutions", MONITORING)
    },
    resource_group("microsoft.resources/subscriptions/resourcegroups"),
    resource_group("microsoft.resources/resourcegroups"),
    ResourceType {
        is_essential: true,
        ..in_node_group(
            "microsoft.compute/virtualmachinescalesets",
            "virtual machine scale sets (node pools)",
        )
    },
    in_node_group("microsoft.compute/disks", "disks (clusters with persistent volumes)"),
    in_node_group(
        "microsoft.network/loadbalancers",
        "load balancers (clusters with the outbound type loadBalancer, and services of this type)",
    ),
    in_node_group(
        "microsoft.network/publicipaddresses",
        "public IP addresses (clusters with the outbound type loadBalancer, public services and public nodes)",
    ),
    in_node_group(
        "microsoft.network/natgateways",
        "NAT gateways (clusters with the outbound type managedNATGateway)",
    ),
    in_node_group(
        "microsoft.network/networksecuritygroups",
        "network security groups (all clusters by default)",
    ),
    in_node_group("microsoft.network/routetables", "route tables (clusters with kubenet)"),
    in_node_group(
        "microsoft.network/virtualnetworks",
        "virtual networks (clusters without one of their own)",
    ),
    in_node_group(
        "microsoft.managedidentity/userassignedidentities",
        "user-assigned identities (clusters with a managed identity)",
    ),
    in_node_group("microsoft.network/privateendpoints", PRIVATE_NETWORKING),
    in_node_group("microsoft.network/networkinterfaces", PRIVATE_NETWORKING),
    in_node_group("microsoft.network/privatednszones", PRIVATE_NETWORKING),
    in_node_group("microsoft.network/privatednszones/virtualnetworklinks", PRIVATE_NETWORKING),
];

const fn in_cluster_group(name: &'static str, description: &'static str) -> ResourceType {
    ResourceType {
        name,
        description,
        scope: CreationScope::ClusterGroup,
        is_essential: false,
        is_deleted: true,
        is_indexed: true,
    }
}

const fn in_node_group(name: &'static str, description: &'static str) -> ResourceType {
    ResourceType { scope: CreationScope::NodeGroup, ..in_cluster_group(name, description) }
}

const fn resource_group(name: &'static str) -> ResourceType {
    ResourceType { scope: CreationScope::Subscription, is_indexed: false, ..in_cluster_group(name, GROUPS) }
}
