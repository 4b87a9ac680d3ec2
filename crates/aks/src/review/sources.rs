//! Sources of rules (documents) that several modules cite.

/// A page of Microsoft's documentation, with its title.
macro_rules! learn {
    ($title:literal, $path:literal) => {
        concat!("Azure: ", $title, ", https://learn.microsoft.com/", $path)
    };
}
pub(crate) use learn;

pub(crate) const SAVING_DOC: &str = "docs/contract/clusters.md#validation-on-save";
pub(crate) const OPERATOR_DOC: &str = "docs/contract/provisioning.md#validation-by-the-operator";
pub(crate) const FIELDS_DOC: &str = "docs/contract/aks-config.md#cluster-fields";
pub(crate) const IMPORT_DOC: &str = "docs/contract/provisioning.md#import";

pub(crate) const AGENT_POOLS_DOC: &str =
    learn!("Agent pools, REST", "rest/api/aks/agent-pools/create-or-update");
pub(crate) const AUTHORIZED_RANGES_DOC: &str =
    learn!("Use API server authorized IP address ranges in AKS", "azure/aks/api-server-authorized-ip-ranges");
pub(crate) const AUTOSCALER_DOC: &str =
    learn!("Use the cluster autoscaler in AKS", "azure/aks/cluster-autoscaler");
pub(crate) const CNI_DOC: &str = learn!("CNI networking overview", "azure/aks/concepts-network-cni-overview");
pub(crate) const CNI_PREREQUISITES_DOC: &str = learn!(
    "CNI networking overview, AKS CNI networking prerequisites",
    "azure/aks/concepts-network-cni-overview"
);
/// The page of Microsoft Entra about `AADSTS…` error codes.
pub const CODES_DOC: &str = "Microsoft Entra: Authentication and authorization error codes, \
    https://learn.microsoft.com/entra/identity-platform/reference-error-codes";
pub(crate) const CREATE_POOLS_DOC: &str =
    learn!("Create node pools, limitations", "azure/aks/create-node-pools");
pub(crate) const IDENTITIES_DOC: &str =
    learn!("Use a managed identity in AKS", "azure/aks/use-managed-identity");
pub(crate) const LIMITS_DOC: &str =
    learn!("Quotas, VM size restrictions and region availability in AKS", "azure/aks/quotas-skus-regions");
pub(crate) const MANAGED_CLUSTERS_DOC: &str =
    learn!("Managed clusters, REST", "rest/api/aks/managed-clusters/create-or-update");
pub(crate) const MONITOR_DOC: &str = learn!("Monitor AKS", "azure/aks/monitor-aks");
pub(crate) const NODE_GROUP_DOC: &str = learn!("AKS FAQ, node resource group", "azure/aks/faq");
pub(crate) const OUTBOUND_DOC: &str =
    learn!("Customize cluster egress with outbound types", "azure/aks/egress-outboundtype");
pub(crate) const PLANNING_DOC: &str =
    learn!("CNI networking, IP address planning", "azure/aks/concepts-network-ip-address-planning");
pub(crate) const PRIVATE_CLUSTERS_DOC: &str =
    learn!("Create a private AKS cluster", "azure/aks/private-clusters");
pub(crate) const PROVIDERS_DOC: &str = learn!(
    "Azure resource providers and types, register resource provider",
    "azure/azure-resource-manager/management/resource-providers-and-types"
);
pub(crate) const ROLES_DOC: &str = learn!(
    "Troubleshoot Azure RBAC, role assignment changes are not being detected",
    "azure/role-based-access-control/troubleshooting"
);
pub(crate) const SERVICE_OVERLAP_DOC: &str = learn!(
    "ServiceCidrOverlapExistingSubnetsCidr",
    "troubleshoot/azure/azure-kubernetes/error-code-servicecidroverlapexistingsubnetscidr"
);
pub(crate) const SSH_DOC: &str = learn!("Manage SSH access", "azure/aks/manage-ssh-node-access");
pub(crate) const STATES_DOC: &str =
    learn!("Azure subscription states", "azure/cost-management-billing/manage/subscription-states");
pub(crate) const SUPPORTED_DOC: &str =
    learn!("Supported Kubernetes versions in AKS", "azure/aks/supported-kubernetes-versions");
pub(crate) const SYSTEM_POOLS_DOC: &str =
    learn!("Manage system node pools, limitations", "azure/aks/use-system-pools");
pub(crate) const UPGRADE_DOC: &str = learn!(
    "Upgrade the AKS control plane, Kubernetes version upgrade rules",
    "azure/aks/upgrade-aks-control-plane"
);
pub(crate) const ZONES_DOC: &str = learn!("Availability zones in AKS", "azure/aks/availability-zones");
