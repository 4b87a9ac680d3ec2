//! Sources of rules (documents) that several modules cite.

/// A page of Microsoft's documentation, with its title.
macro_rules! learn {
    ($title:literal, $path:literal) => {
        concat!("Azure: ", $title, ", https://learn.microsoft.com/", $path)
    };
}
pub(crate) use learn;

pub(crate) const SAVING: &str = "docs/contract/clusters.md#validation-on-save";
pub(crate) const OPERATOR: &str = "docs/contract/provisioning.md#validation-by-the-operator";
pub(crate) const FIELDS: &str = "docs/contract/aks-config.md#cluster-fields";
pub(crate) const IMPORT: &str = "docs/contract/provisioning.md#import";

pub(crate) const AGENT_POOLS: &str = learn!("Agent pools, REST", "rest/api/aks/agent-pools/create-or-update");
pub(crate) const AUTHORIZED_RANGES: &str =
    learn!("Use API server authorized IP address ranges in AKS", "azure/aks/api-server-authorized-ip-ranges");
pub(crate) const AUTOSCALER: &str =
    learn!("Use the cluster autoscaler in AKS", "azure/aks/cluster-autoscaler");
pub(crate) const CNI: &str = learn!("CNI networking overview", "azure/aks/concepts-network-cni-overview");
pub(crate) const CNI_PREREQUISITES: &str = learn!(
    "CNI networking overview, AKS CNI networking prerequisites",
    "azure/aks/concepts-network-cni-overview"
);
/// The page of Microsoft Entra about `AADSTS…` error codes.
pub const CODES: &str = "Microsoft Entra: Authentication and authorization error codes, \
    https://learn.microsoft.com/entra/identity-platform/reference-error-codes";
pub(crate) const CREATE_POOLS: &str = learn!("Create node pools, limitations", "azure/aks/create-node-pools");
pub(crate) const IDENTITIES: &str = learn!("Use a managed identity in AKS", "azure/aks/use-managed-identity");
pub(crate) const LIMITS: &str =
    learn!("Quotas, VM size restrictions and region availability in AKS", "azure/aks/quotas-skus-regions");
pub(crate) const MANAGED_CLUSTERS: &str =
    learn!("Managed clusters, REST", "rest/api/aks/managed-clusters/create-or-update");
pub(crate) const MONITOR: &str = learn!("Monitor AKS", "azure/aks/monitor-aks");
pub(crate) const NODE_GROUP: &str = learn!("AKS FAQ, node resource group", "azure/aks/faq");
pub(crate) const OUTBOUND: &str =
    learn!("Customize cluster egress with outbound types", "azure/aks/egress-outboundtype");
pub(crate) const PLANNING: &str =
    learn!("CNI networking, IP address planning", "azure/aks/concepts-network-ip-address-planning");
pub(crate) const PRIVATE_CLUSTERS: &str =
    learn!("Create a private AKS cluster", "azure/aks/private-clusters");
pub(crate) const PROVIDERS: &str = learn!(
    "Azure resource providers and types, register resource provider",
    "azure/azure-resource-manager/management/resource-providers-and-types"
);
pub(crate) const ROLES: &str = learn!(
    "Troubleshoot Azure RBAC, role assignment changes are not being detected",
    "azure/role-based-access-control/troubleshooting"
);
pub(crate) const SERVICE_OVERLAP: &str = learn!(
    "ServiceCidrOverlapExistingSubnetsCidr",
    "troubleshoot/azure/azure-kubernetes/error-code-servicecidroverlapexistingsubnetscidr"
);
pub(crate) const SSH: &str = learn!("Manage SSH access", "azure/aks/manage-ssh-node-access");
pub(crate) const STATES: &str =
    learn!("Azure subscription states", "azure/cost-management-billing/manage/subscription-states");
pub(crate) const SUPPORTED: &str =
    learn!("Supported Kubernetes versions in AKS", "azure/aks/supported-kubernetes-versions");
pub(crate) const SYSTEM_POOLS: &str =
    learn!("Manage system node pools, limitations", "azure/aks/use-system-pools");
pub(crate) const UPGRADE: &str = learn!(
    "Upgrade the AKS control plane, Kubernetes version upgrade rules",
    "azure/aks/upgrade-aks-control-plane"
);
pub(crate) const ZONES: &str = learn!("Availability zones in AKS", "azure/aks/availability-zones");
