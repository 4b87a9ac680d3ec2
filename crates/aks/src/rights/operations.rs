//! The operations that this server performs with a credential, by purpose.
//!
//! The names are those of Azure's lists of permissions, one page for each category of resource providers
//! (<https://learn.microsoft.com/azure/role-based-access-control/resource-provider-operations>). Operations whose denial the
//! server tolerates are not listed, such as reading a resource provider. Neither is polling a long-running operation, because
//! Azure allows it to the principal that started the operation. The right to use a user-assigned identity is not listed either,
//! because it is needed on the identity, which may be in any resource group.

/// A purpose for which a credential is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// Listing regions, sizes, versions, networks and clusters.
    List,
    /// Creating clusters.
    Create,
    /// Changing and upgrading clusters and node pools.
    Change,
    /// Importing existing clusters.
    Import,
    /// Deleting clusters.
    Delete,
}

impl Purpose {
    /// All purposes, in the order of the report.
    pub const ALL: [Self; 5] = [Self::List, Self::Create, Self::Change, Self::Import, Self::Delete];

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Create => "create",
            Self::Change => "change",
            Self::Import => "import",
            Self::Delete => "delete",
        }
    }
}

/// A condition under which an operation is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Condition {
    /// The resource group does not exist yet.
    NewResourceGroup,
    /// This resource provider is not registered in the subscription.
    UnregisteredProvider(&'static str),
    /// The nodes are in an existing virtual network.
    OwnNetwork,
    /// Monitoring with Log Analytics is enabled.
    Monitoring,
    /// Local accounts are enabled, as they are by default.
    LocalAccounts,
    /// Local accounts are disabled.
    NoLocalAccounts,
    /// The API is private, and the agent is deployed with a run command.
    PrivateCluster,
}

impl Condition {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NewResourceGroup => "newResourceGroup",
            Self::UnregisteredProvider(_) => "unregisteredProvider",
            Self::OwnNetwork => "ownNetwork",
            Self::Monitoring => "monitoring",
            Self::LocalAccounts => "localAccounts",
            Self::NoLocalAccounts => "localAccountsDisabled",
            Self::PrivateCluster => "privateCluster",
        }
    }

    /// The task that requires the operations with this condition, as an infinitive.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::NewResourceGroup => "create resource groups for clusters",
            Self::UnregisteredProvider(_) => "register resource providers",
            Self::OwnNetwork => "create nodes in existing virtual networks",
            Self::Monitoring => "create clusters with monitoring",
            Self::LocalAccounts => "access clusters through local accounts",
            Self::NoLocalAccounts => "access clusters without local accounts",
            Self::PrivateCluster => "connect private clusters with a run command",
        }
    }
}

/// The scope on which an operation is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The subscription.
    Subscription,
    /// The resource group of the cluster, or of the resource that it uses.
    ResourceGroup,
}

/// An operation of Azure that this server performs.
#[derive(Debug, PartialEq, Eq)]
pub struct Operation {
    /// Azure's name, for example `Microsoft.ContainerService/managedClusters/write`.
    pub action: &'static str,
    /// The purposes that need the operation.
    pub purposes: &'static [Purpose],
    /// The condition under which the operation is needed; `None` if it always is.
    pub condition: Option<Condition>,
    /// The scope on which the operation is needed.
    pub level: Level,
    /// The page of Azure's documentation that describes the operation.
    pub source: &'static str,
}

impl Operation {
    const fn new(
        action: &'static str,
        purposes: &'static [Purpose],
        level: Level,
        source: &'static str,
    ) -> Self {
        Self { action, purposes, condition: None, level, source }
    }

    /// Sets the condition under which the operation is needed.
    const fn needed_if(mut self, condition: Condition) -> Self {
        self.condition = Some(condition);
        self
    }
}

const CONTAINERS: &str = "https://learn.microsoft.com/azure/role-based-access-control/permissions/containers";
const COMPUTE: &str = "https://learn.microsoft.com/azure/role-based-access-control/permissions/compute";
const NETWORKING: &str = "https://learn.microsoft.com/azure/role-based-access-control/permissions/networking";
const MONITOR: &str = "https://learn.microsoft.com/azure/role-based-access-control/permissions/monitor";
const MANAGEMENT: &str =
    "https://learn.microsoft.com/azure/role-based-access-control/permissions/management-and-governance";
/// The table "Identity creating and operating the cluster permissions".
const AKS_SERVICE: &str = "https://learn.microsoft.com/azure/aks/concepts-identity#aks-service-permissions";

const LIST: &[Purpose] = &[Purpose::List];
const CREATE: &[Purpose] = &[Purpose::Create];
const CHANGE: &[Purpose] = &[Purpose::Change];
const DELETE: &[Purpose] = &[Purpose::Delete];
const CREATE_OR_CHANGE: &[Purpose] = &[Purpose::Create, Purpose::Change];
const CREATE_OR_IMPORT: &[Purpose] = &[Purpose::Create, Purpose::Import];
const ALL_IN_GROUP: &[Purpose] = &[Purpose::Create, Purpose::Change, Purpose::Import, Purpose::Delete];

use Level::{ResourceGroup, Subscription};

/// The resource provider of AKS.
pub(super) const AKS: &str = "Microsoft.ContainerService";

/// The resource provider of Log Analytics workspaces.
pub(super) const LOG_ANALYTICS: &str = "Microsoft.OperationalInsights";

/// The action whose decision follows from whether the subscription could be read.
pub(super) const READ_SUBSCRIPTION: &str = "Microsoft.Resources/subscriptions/read";

/// All operations.
pub const OPERATIONS: &[Operation] = &[
    Operation::new(READ_SUBSCRIPTION, LIST, Subscription, MANAGEMENT),
    Operation::new("Microsoft.Resources/subscriptions/locations/read", LIST, Subscription, MANAGEMENT),
    Operation::new("Microsoft.Compute/skus/read", LIST, Subscription, COMPUTE),
    Operation::new("Microsoft.Compute/locations/vmSizes/read", LIST, Subscription, COMPUTE),
    Operation::new("Microsoft.Compute/locations/usages/read", LIST, Subscription, COMPUTE),
    Operation::new(
        "Microsoft.ContainerService/locations/kubernetesVersions/read",
        LIST,
        Subscription,
        CONTAINERS,
    ),
    Operation::new("Microsoft.ContainerService/managedClusters/read", LIST, Subscription, CONTAINERS),
    Operation::new("Microsoft.Network/virtualNetworks/read", LIST, Subscription, NETWORKING),
    Operation::new(
        "Microsoft.Resources/subscriptions/resourceGroups/read",
        CREATE,
        ResourceGroup,
        MANAGEMENT,
    ),
    Operation::new(
        "Microsoft.ContainerService/managedClusters/read",
        ALL_IN_GROUP,
        ResourceGroup,
        CONTAINERS,
    ),
    Operation::new(
        "Microsoft.ContainerService/managedClusters/write",
        CREATE_OR_CHANGE,
        ResourceGroup,
        CONTAINERS,
    ),
    Operation::new("Microsoft.ContainerService/managedClusters/delete", DELETE, ResourceGroup, CONTAINERS),
    Operation::new(
        "Microsoft.ContainerService/managedClusters/upgradeProfiles/read",
        CHANGE,
        ResourceGroup,
        CONTAINERS,
    ),
    Operation::new(
        "Microsoft.ContainerService/managedClusters/agentPools/read",
        CHANGE,
        ResourceGroup,
        CONTAINERS,
    ),
    Operation::new(
        "Microsoft.ContainerService/managedClusters/agentPools/write",
        CHANGE,
        ResourceGroup,
        CONTAINERS,
    ),
    Operation::new(
        "Microsoft.ContainerService/managedClusters/agentPools/delete",
        CHANGE,
        ResourceGroup,
        CONTAINERS,
    ),
    Operation::new(
        "Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action",
        CREATE_OR_IMPORT,
        ResourceGroup,
        CONTAINERS,
    )
    .needed_if(Condition::LocalAccounts),
    Operation::new(
        "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action",
        CREATE_OR_IMPORT,
        ResourceGroup,
        CONTAINERS,
    )
    .needed_if(Condition::NoLocalAccounts),
    Operation::new(
        "Microsoft.ContainerService/managedClusters/runCommand/action",
        CREATE_OR_IMPORT,
        ResourceGroup,
        CONTAINERS,
    )
    .needed_if(Condition::PrivateCluster),
    Operation::new(
        "Microsoft.ContainerService/managedClusters/commandResults/read",
        CREATE_OR_IMPORT,
        ResourceGroup,
        CONTAINERS,
    )
    .needed_if(Condition::PrivateCluster),
    Operation::new(
        "Microsoft.Resources/subscriptions/resourceGroups/write",
        CREATE,
        Subscription,
        MANAGEMENT,
    )
    .needed_if(Condition::NewResourceGroup),
    Operation::new("Microsoft.ContainerService/register/action", CREATE_OR_IMPORT, Subscription, CONTAINERS)
        .needed_if(Condition::UnregisteredProvider(AKS)),
    Operation::new("Microsoft.OperationalInsights/register/action", CREATE, Subscription, MONITOR)
        .needed_if(Condition::UnregisteredProvider(LOG_ANALYTICS)),
    Operation::new("Microsoft.Network/virtualNetworks/read", CREATE, ResourceGroup, NETWORKING)
        .needed_if(Condition::OwnNetwork),
    Operation::new("Microsoft.Network/virtualNetworks/subnets/read", CREATE, ResourceGroup, NETWORKING)
        .needed_if(Condition::OwnNetwork),
    Operation::new(
        "Microsoft.Network/virtualNetworks/subnets/join/action",
        CREATE_OR_CHANGE,
        ResourceGroup,
        AKS_SERVICE,
    )
    .needed_if(Condition::OwnNetwork),
    Operation::new(
        "Microsoft.OperationalInsights/workspaces/read",
        CREATE_OR_CHANGE,
        ResourceGroup,
        AKS_SERVICE,
    )
    .needed_if(Condition::Monitoring),
    Operation::new(
        "Microsoft.OperationalInsights/workspaces/write",
        CREATE_OR_CHANGE,
        ResourceGroup,
        MONITOR,
    )
    .needed_if(Condition::Monitoring),
    Operation::new(
        "Microsoft.OperationalInsights/workspaces/sharedKeys/read",
        CREATE_OR_CHANGE,
        ResourceGroup,
        AKS_SERVICE,
    )
    .needed_if(Condition::Monitoring),
    Operation::new(
        "Microsoft.OperationsManagement/solutions/read",
        CREATE_OR_CHANGE,
        ResourceGroup,
        AKS_SERVICE,
    )
    .needed_if(Condition::Monitoring),
    Operation::new(
        "Microsoft.OperationsManagement/solutions/write",
        CREATE_OR_CHANGE,
        ResourceGroup,
        AKS_SERVICE,
    )
    .needed_if(Condition::Monitoring),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn operations_are_listed_once_and_have_azures_form() {
        let mut seen = HashSet::new();
        for operation in OPERATIONS {
            let Operation { action, purposes, condition, level, source } = operation;
            assert!(seen.insert((*action, *condition, *level == Subscription)), "{action}");
            let (provider, path) = action.split_once('/').unwrap();
            assert!(provider.starts_with("Microsoft."), "{action}");
            let verb = path.rsplit('/').next().unwrap();
            assert!(["read", "write", "delete", "action"].contains(&verb), "{action}");
            assert!(!purposes.is_empty() && source.starts_with("https://learn.microsoft.com/"), "{action}");
            if let Some(Condition::UnregisteredProvider(namespace)) = condition {
                assert_eq!(*action, format!("{namespace}/register/action"));
            }
        }
        for purpose in Purpose::ALL {
            let is_always_needed = |operation: &&Operation| {
                operation.condition.is_none() && operation.purposes.contains(&purpose)
            };
            assert!(OPERATIONS.iter().any(|operation| is_always_needed(&operation)), "{purpose:?}");
        }
    }
}
