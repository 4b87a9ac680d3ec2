//! The names of the requests of this client.

/// The name of a request to Azure in metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestName {
    /// Any request that checks whether a service can be reached.
    Reach,
    /// Subscriptions - Get without a token, to discover the tenant.
    DiscoverTenant,
    /// A token of Microsoft Entra.
    Token,
    /// Subscriptions - Get.
    GetSubscription,
    /// Subscriptions - List Locations.
    ListLocations,
    /// Permissions - List For Resource Group, and the same for a subscription.
    ListPermissions,
    /// Policy Assignments - List, and the same for a resource group.
    ListPolicyAssignments,
    /// Policy Definitions - Get, Get Built In, and Get At Management Group.
    GetPolicyDefinition,
    /// Policy Set Definitions - Get, Get Built In, and Get At Management Group.
    GetPolicySetDefinition,
    /// Providers - Get.
    GetProvider,
    /// Providers - Register.
    RegisterProvider,
    /// Resource Groups - Check Existence.
    CheckResourceGroup,
    /// Resource Groups - Create Or Update.
    PutResourceGroup,
    /// Managed Clusters - List.
    ListManagedClusters,
    /// Managed Clusters - Get.
    GetManagedCluster,
    /// Managed Clusters - Create Or Update.
    PutManagedCluster,
    /// Managed Clusters - Update Tags.
    PatchManagedCluster,
    /// Managed Clusters - Delete.
    DeleteManagedCluster,
    /// Managed Clusters - Get Upgrade Profile.
    GetUpgradeProfile,
    /// Managed Clusters - List Cluster Admin Credentials.
    ListAdminCredentials,
    /// Managed Clusters - List Cluster User Credentials.
    ListUserCredentials,
    /// Managed Clusters - Run Command.
    RunCommand,
    /// Managed Clusters - Get Command Result.
    CommandResult,
    /// Managed Clusters - List Kubernetes Versions.
    ListKubernetesVersions,
    /// Agent Pools - List.
    ListAgentPools,
    /// Agent Pools - Get.
    GetAgentPool,
    /// Agent Pools - Create Or Update.
    PutAgentPool,
    /// Agent Pools - Delete.
    DeleteAgentPool,
    /// Virtual Machine Sizes - List.
    ListVmSizes,
    /// Resource Skus - List.
    ListSkus,
    /// Usage - List.
    ListUsages,
    /// Virtual Networks - List All.
    ListVirtualNetworks,
    /// Virtual Networks - Get.
    GetVirtualNetwork,
    /// Subnets - Get.
    GetSubnet,
    /// Workspaces - Get.
    GetWorkspace,
    /// Workspaces - Create Or Update.
    PutWorkspace,
    /// The status of a long-running operation.
    PollOperation,
}

impl RequestName {
    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reach => "reach",
            Self::DiscoverTenant => "tenant",
            Self::Token => "token",
            Self::GetSubscription => "subscription",
            Self::ListLocations => "locations",
            Self::ListPermissions => "permissions",
            Self::ListPolicyAssignments => "policyAssignments",
            Self::GetPolicyDefinition => "policyDefinition",
            Self::GetPolicySetDefinition => "policySetDefinition",
            Self::GetProvider => "provider",
            Self::RegisterProvider => "provider register",
            Self::CheckResourceGroup => "resourceGroup",
            Self::PutResourceGroup => "resourceGroup put",
            Self::ListManagedClusters => "managedClusters",
            Self::GetManagedCluster => "managedCluster",
            Self::PutManagedCluster => "managedCluster put",
            Self::PatchManagedCluster => "managedCluster patch",
            Self::DeleteManagedCluster => "managedCluster delete",
            Self::GetUpgradeProfile => "upgradeProfile",
            Self::ListAdminCredentials => "admin credential",
            Self::ListUserCredentials => "user credential",
            Self::RunCommand => "run command",
            Self::CommandResult => "command result",
            Self::ListKubernetesVersions => "kubernetesVersions",
            Self::ListAgentPools => "agentPools",
            Self::GetAgentPool => "agentPool",
            Self::PutAgentPool => "agentPool put",
            Self::DeleteAgentPool => "agentPool delete",
            Self::ListVmSizes => "vmSizes",
            Self::ListSkus => "skus",
            Self::ListUsages => "usages",
            Self::ListVirtualNetworks => "virtualNetworks",
            Self::GetVirtualNetwork => "virtualNetwork",
            Self::GetSubnet => "subnet",
            Self::GetWorkspace => "workspace",
            Self::PutWorkspace => "workspace put",
            Self::PollOperation => "operation",
        }
    }
}
