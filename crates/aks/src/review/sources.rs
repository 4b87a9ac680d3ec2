//! Sources that several rules share.

/// A page of Microsoft's documentation, with its title.
macro_rules! learn {
    ($title:literal, $path:literal) => {
        concat!("Azure: ", $title, ", https://learn.microsoft.com/", $path)
    };
}
pub(super) use learn;

pub(super) const SAVING: &str = "docs/contract/clusters.md#validation-on-save";
pub(super) const OPERATOR: &str = "docs/contract/provisioning.md#validation-by-the-operator";
pub(super) const FIELDS: &str = "docs/contract/aks-config.md#cluster-fields";
pub(super) const IMPORT: &str = "docs/contract/provisioning.md#import";

pub(super) const AGENT_POOLS: &str = learn!("Agent pools, REST", "rest/api/aks/agent-pools/create-or-update");
pub(super) const AUTHORIZED_RANGES: &str =
    learn!("Use API server authorized IP address ranges in AKS", "azure/aks/api-server-authorized-ip-ranges");
pub(super) const AUTOSCALER: &str =
    learn!("Use the cluster autoscaler in AKS", "azure/aks/cluster-autoscaler");
pub(super) const CNI: &str = learn!("CNI networking overview", "azure/aks/concepts-network-cni-overview");
pub(super) const CNI_PREREQUISITES: &str = learn!(
    "CNI networking overview, AKS CNI networking prerequisites",
    "azure/aks/concepts-network-cni-overview"
);
pub(super) const CREATE_POOLS: &str = learn!("Create node pools, limitations", "azure/aks/create-node-pools");
pub(super) const IDENTITIES: &str = learn!("Use a managed identity in AKS", "azure/aks/use-managed-identity");
pub(super) const LIMITS: &str =
    learn!("Quotas, VM size restrictions and region availability in AKS", "azure/aks/quotas-skus-regions");
pub(super) const MANAGED_CLUSTERS: &str =
    learn!("Managed clusters, REST", "rest/api/aks/managed-clusters/create-or-update");
pub(super) const MONITOR: &str = learn!("Monitor AKS", "azure/aks/monitor-aks");
pub(super) const NODE_GROUP: &str = learn!("AKS FAQ, node resource group", "azure/aks/faq");
pub(super) const OUTBOUND: &str =
    learn!("Customize cluster egress with outbound types", "azure/aks/egress-outboundtype");
pub(super) const PLANNING: &str =
    learn!("CNI networking, IP address planning", "azure/aks/concepts-network-ip-address-planning");
pub(super) const PRIVATE_CLUSTERS: &str =
    learn!("Create a private AKS cluster", "azure/aks/private-clusters");
pub(super) const SERVICE_OVERLAP: &str = learn!(
    "ServiceCidrOverlapExistingSubnetsCidr",
    "troubleshoot/azure/azure-kubernetes/error-code-servicecidroverlapexistingsubnetscidr"
);
pub(super) const SSH: &str = learn!("Manage SSH access", "azure/aks/manage-ssh-node-access");
pub(super) const SYSTEM_POOLS: &str =
    learn!("Manage system node pools, limitations", "azure/aks/use-system-pools");
pub(super) const ZONES: &str = learn!("Availability zones in AKS", "azure/aks/availability-zones");
