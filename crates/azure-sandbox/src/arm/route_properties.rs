//! Properties of routes: operation, resource type, required action and methods.

use http::Method;

use super::route::{ClusterAction, Provider, Route, Target};
use crate::recordings::Operation;

impl Route {
    /// The operation by which faults and recordings select this request.
    pub(crate) fn operation(&self) -> Operation {
        match self {
            Self::Subscription => Operation::Subscription,
            Self::Locations => Operation::Locations,
            Self::Provider { .. } => Operation::Provider,
            Self::RegisterProvider { .. } => Operation::RegisterProvider,
            Self::Permissions => Operation::Permissions,
            Self::PolicyAssignments => Operation::PolicyAssignments,
            Self::PolicyDefinition { .. } => Operation::PolicyDefinition,
            Self::PolicySetDefinition { .. } => Operation::PolicySetDefinition,
            Self::ResourceGroups => Operation::ResourceGroups,
            Self::ResourceGroup => Operation::ResourceGroup,
            Self::VmSizes { .. } => Operation::VmSizes,
            Self::Skus => Operation::Skus,
            Self::Usages { .. } => Operation::Usages,
            Self::KubernetesVersions { .. } => Operation::KubernetesVersions,
            Self::VirtualNetworks => Operation::VirtualNetworks,
            Self::VirtualNetwork { .. } => Operation::VirtualNetwork,
            Self::Subnets { .. } => Operation::Subnets,
            Self::Subnet { .. } => Operation::Subnet,
            Self::Workspaces => Operation::Workspaces,
            Self::Workspace { .. } => Operation::Workspace,
            Self::ManagedClusters => Operation::ManagedClusters,
            Self::ManagedCluster { .. } => Operation::ManagedCluster,
            Self::ClusterAction { action, .. } => match action {
                ClusterAction::AdminCredential | ClusterAction::AdminProfile => Operation::AdminCredential,
                ClusterAction::UserCredential | ClusterAction::UserProfile => Operation::UserCredential,
                ClusterAction::Start | ClusterAction::Stop | ClusterAction::Abort => Operation::ClusterAction,
                ClusterAction::RunCommand => Operation::RunCommand,
            },
            Self::CommandResult { .. } => Operation::CommandResult,
            Self::UpgradeProfile { .. } | Self::PoolUpgradeProfile { .. } => Operation::UpgradeProfile,
            Self::AgentPools { .. } => Operation::AgentPools,
            Self::AgentPool { .. } => Operation::AgentPool,
            Self::OperationStatus { .. } => Operation::LongOperation,
            Self::OperationResult { .. } => Operation::OperationResult,
            Self::Unknown { .. } => Operation::Unknown,
        }
    }

    /// The resource type in Azure's spelling.
    pub(crate) fn resource_type(&self) -> &'static str {
        match self {
            Self::Subscription => "subscriptions",
            Self::Locations => "subscriptions/locations",
            Self::Provider { .. } | Self::RegisterProvider { .. } => "subscriptions/providers",
            Self::Permissions => "Microsoft.Authorization/permissions",
            Self::PolicyAssignments => "Microsoft.Authorization/policyAssignments",
            Self::PolicyDefinition { .. } => "Microsoft.Authorization/policyDefinitions",
            Self::PolicySetDefinition { .. } => "Microsoft.Authorization/policySetDefinitions",
            Self::ResourceGroups | Self::ResourceGroup => "subscriptions/resourceGroups",
            Self::VmSizes { .. } => "Microsoft.Compute/locations/vmSizes",
            Self::Skus => "Microsoft.Compute/skus",
            Self::Usages { .. } => "Microsoft.Compute/locations/usages",
            Self::KubernetesVersions { .. } => "Microsoft.ContainerService/locations/kubernetesVersions",
            Self::VirtualNetworks | Self::VirtualNetwork { .. } => "Microsoft.Network/virtualNetworks",
            Self::Subnets { .. } | Self::Subnet { .. } => "Microsoft.Network/virtualNetworks/subnets",
            Self::Workspaces | Self::Workspace { .. } => "Microsoft.OperationalInsights/workspaces",
            Self::ManagedClusters
            | Self::ManagedCluster { .. }
            | Self::ClusterAction { .. }
            | Self::CommandResult { .. }
            | Self::UpgradeProfile { .. } => "Microsoft.ContainerService/managedClusters",
            Self::AgentPools { .. } | Self::AgentPool { .. } | Self::PoolUpgradeProfile { .. } => {
                "Microsoft.ContainerService/managedClusters/agentPools"
            }
            Self::OperationStatus { provider, .. } => match provider {
                Provider::ContainerService => "Microsoft.ContainerService/locations/operations",
                Provider::Network => "Microsoft.Network/locations/operations",
                Provider::Resources => "subscriptions/operationresults",
            },
            Self::OperationResult { provider, .. } => match provider {
                Provider::ContainerService => "Microsoft.ContainerService/locations/operationresults",
                Provider::Network => "Microsoft.Network/locations/operationResults",
                Provider::Resources => "subscriptions/operationresults",
            },
            Self::Unknown { .. } => "",
        }
    }

    /// The resource provider, if there is one.
    pub(crate) fn provider(&self) -> Option<&'static str> {
        self.resource_type().split_once('/').map(|(provider, _)| provider).filter(|name| name.contains('.'))
    }

    /// The action that a role must allow.
    pub(crate) fn required_action(&self, method: &Method) -> String {
        let prefix = if self.provider().is_none() { "Microsoft.Resources/" } else { "" };
        if let Self::RegisterProvider { namespace } = self {
            return format!("{namespace}/register/action");
        }
        let (suffix, verb) = match (self, method.as_str()) {
            (Self::ClusterAction { action, .. }, _) => (action.path(), "action"),
            (Self::CommandResult { .. }, _) => ("/commandResults", "read"),
            (Self::UpgradeProfile { .. } | Self::PoolUpgradeProfile { .. }, _) => {
                ("/upgradeProfiles", "read")
            }
            (_, "PUT" | "PATCH") => ("", "write"),
            (_, "DELETE") => ("", "delete"),
            (_, "POST") => ("", "action"),
            _ => ("", "read"),
        };
        format!("{prefix}{}{suffix}/{verb}", self.resource_type())
    }

    /// Whether the route supports the method.
    pub(crate) fn supports(&self, method: &Method) -> bool {
        let methods: &[&str] = match self {
            Self::ResourceGroup => &["GET", "HEAD", "PUT", "DELETE"],
            Self::ManagedCluster { .. } => &["GET", "PUT", "PATCH", "DELETE"],
            Self::VirtualNetwork { .. }
            | Self::Subnet { .. }
            | Self::Workspace { .. }
            | Self::AgentPool { .. } => &["GET", "PUT", "DELETE"],
            Self::RegisterProvider { .. } => &["POST"],
            Self::ClusterAction { action, .. } => match action {
                ClusterAction::AdminProfile | ClusterAction::UserProfile => &["GET", "POST"],
                _ => &["POST"],
            },
            _ => &["GET"],
        };
        methods.contains(&method.as_str())
    }
}

impl ClusterAction {
    fn path(self) -> &'static str {
        match self {
            Self::AdminCredential => "/listClusterAdminCredential",
            Self::UserCredential => "/listClusterUserCredential",
            Self::AdminProfile | Self::UserProfile => "/accessProfiles/listCredential",
            Self::Start => "/start",
            Self::Stop => "/stop",
            Self::Abort => "/abort",
            Self::RunCommand => "/runCommand",
        }
    }
}

impl Target {
    /// The scope in authorization errors: the resource, its group or the subscription.
    pub(crate) fn scope(&self) -> String {
        let mut scope = format!("/subscriptions/{}", self.subscription);
        if let Some(group) = &self.group {
            scope = format!("{scope}/resourceGroups/{group}");
        }
        let resource_type = self.route.resource_type();
        match &self.route {
            Route::VirtualNetwork { name }
            | Route::Workspace { name }
            | Route::ManagedCluster { name }
            | Route::ClusterAction { name, .. }
            | Route::CommandResult { cluster: name, .. }
            | Route::UpgradeProfile { name } => format!("{scope}/providers/{resource_type}/{name}"),
            Route::Subnet { network: parent, name }
            | Route::AgentPool { cluster: parent, name }
            | Route::PoolUpgradeProfile { cluster: parent, name } => {
                let (parent_type, child_type) = resource_type.rsplit_once('/').unwrap_or((resource_type, ""));
                format!("{scope}/providers/{parent_type}/{parent}/{child_type}/{name}")
            }
            _ => scope,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> Target {
        let segments: Vec<String> = path.split('/').skip(1).map(str::to_owned).collect();
        super::super::parse(&segments).unwrap()
    }

    #[test]
    fn required_action_follows_from_route_and_method() {
        let aks = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/n";
        for (path, method, expected) in [
            ("/subscriptions/s", Method::GET, "Microsoft.Resources/subscriptions/read"),
            ("/subscriptions/s/locations", Method::GET, "Microsoft.Resources/subscriptions/locations/read"),
            (
                "/subscriptions/s/resourceGroups/g",
                Method::PUT,
                "Microsoft.Resources/subscriptions/resourceGroups/write",
            ),
            (aks, Method::DELETE, "Microsoft.ContainerService/managedClusters/delete"),
            (
                &*format!("{aks}/agentPools/p"),
                Method::PUT,
                "Microsoft.ContainerService/managedClusters/agentPools/write",
            ),
            (
                &*format!("{aks}/listClusterAdminCredential"),
                Method::POST,
                "Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action",
            ),
            (
                &*format!("{aks}/runCommand"),
                Method::POST,
                "Microsoft.ContainerService/managedClusters/runCommand/action",
            ),
            (
                &*format!("{aks}/commandResults/i"),
                Method::GET,
                "Microsoft.ContainerService/managedClusters/commandResults/read",
            ),
            (
                "/subscriptions/s/providers/Microsoft.ContainerService/register",
                Method::POST,
                "Microsoft.ContainerService/register/action",
            ),
        ] {
            assert_eq!(target(path).route.required_action(&method), expected, "{path}");
        }
    }

    #[test]
    fn scope_is_the_most_specific_resource() {
        let pool = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/n/agentPools/p";
        for path in [pool, "/subscriptions/s/resourceGroups/g", "/subscriptions/s"] {
            assert_eq!(target(path).scope(), path);
        }
        let list = "/subscriptions/s/providers/Microsoft.ContainerService/managedClusters";
        assert_eq!(target(list).scope(), "/subscriptions/s");
    }

    #[test]
    fn routes_reject_unsupported_methods() {
        let list = target("/subscriptions/s/providers/Microsoft.ContainerService/managedClusters").route;
        assert!(list.supports(&Method::GET) && !list.supports(&Method::PUT) && !list.supports(&Method::HEAD));
        let group = target("/subscriptions/s/resourceGroups/g").route;
        assert!(
            group.supports(&Method::HEAD)
                && group.supports(&Method::DELETE)
                && !group.supports(&Method::POST)
        );
    }

    #[test]
    fn only_types_of_resource_providers_have_a_provider() {
        let provider = |path| target(path).route.provider();
        let clusters = "/subscriptions/s/providers/Microsoft.ContainerService/managedClusters";
        assert_eq!(provider(clusters), Some("Microsoft.ContainerService"));
        assert_eq!(provider("/subscriptions/s/resourceGroups/g"), None);
    }
}
