//! Parsing of URLs of Resource Manager. The properties of routes are in [`super::route_properties`].

use crate::recordings::Operation;

/// The target of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The subscription ID, in the client's spelling.
    pub(crate) subscription: String,
    /// The resource group in the URL, in the client's spelling.
    pub(crate) group: Option<String>,
    pub(crate) route: Route,
}

/// A route below a subscription. Names have the client's spelling, regions are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Subscription,
    Locations,
    Provider {
        namespace: String,
    },
    RegisterProvider {
        namespace: String,
    },
    /// The permissions of the caller.
    Permissions,
    PolicyAssignments,
    /// A policy definition of the subscription.
    PolicyDefinition {
        name: String,
    },
    /// An initiative of the subscription.
    PolicySetDefinition {
        name: String,
    },
    ResourceGroups,
    ResourceGroup,
    VmSizes {
        location: String,
    },
    Skus,
    Usages {
        location: String,
    },
    KubernetesVersions {
        location: String,
    },
    VirtualNetworks,
    VirtualNetwork {
        name: String,
    },
    Subnets {
        network: String,
    },
    Subnet {
        network: String,
        name: String,
    },
    Workspaces,
    Workspace {
        name: String,
    },
    ManagedClusters,
    ManagedCluster {
        name: String,
    },
    ClusterAction {
        name: String,
        action: ClusterAction,
    },
    CommandResult {
        cluster: String,
        id: String,
    },
    UpgradeProfile {
        name: String,
    },
    AgentPools {
        cluster: String,
    },
    AgentPool {
        cluster: String,
        name: String,
    },
    PoolUpgradeProfile {
        cluster: String,
        name: String,
    },
    /// The status of a long-running operation.
    OperationStatus {
        provider: Provider,
        id: String,
    },
    /// The result of a long-running operation.
    OperationResult {
        provider: Provider,
        id: String,
    },
    /// An unknown resource type, with its provider if there is one.
    Unknown {
        namespace: Option<String>,
        resource_type: String,
    },
}

/// An action on a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClusterAction {
    AdminCredential,
    UserCredential,
    /// The older form of the administrator's credential.
    AdminProfile,
    /// The older form of the user's credential.
    UserProfile,
    Start,
    Stop,
    Abort,
    RunCommand,
}

/// The provider of a long-running operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    ContainerService,
    Network,
    /// Resource Manager itself.
    Resources,
}

/// Parses a path, whose fixed segments are case-insensitive; `None` if it is not below `/subscriptions/`.
pub(crate) fn parse(segments: &[String]) -> Option<Target> {
    let (first, rest) = segments.split_first()?;
    let (subscription, rest) = rest.split_first().filter(|_| first.eq_ignore_ascii_case("subscriptions"))?;
    let (group, rest) = match rest {
        [word, group, rest @ ..] if word.eq_ignore_ascii_case("resourceGroups") => {
            (Some(group.clone()), rest)
        }
        _ => (None, rest),
    };
    let lower_case: Vec<String> = rest.iter().map(|segment| segment.to_ascii_lowercase()).collect();
    let words: Vec<&str> = lower_case.iter().map(String::as_str).collect();
    let route = match (group.is_some(), words.as_slice()) {
        (has_group, ["providers", "microsoft.containerservice", path @ ..]) => {
            parse_aks(has_group, path, rest.get(2..).unwrap_or_default())
        }
        (has_group, ["providers", "microsoft.network", path @ ..]) => {
            parse_network(has_group, path, rest.get(2..).unwrap_or_default())
        }
        (has_group, path) => parse_other(has_group, path, rest),
    };
    let route = route.unwrap_or_else(|| unknown_route(rest));
    Some(Target { subscription: subscription.clone(), group, route })
}

/// The name in the path of a built-in policy definition, which belongs to no subscription.
pub(crate) fn built_in_policy(segments: &[String]) -> Option<&str> {
    match segments {
        [providers, namespace, resource_type, name]
            if providers.eq_ignore_ascii_case("providers")
                && namespace.eq_ignore_ascii_case("Microsoft.Authorization")
                && resource_type.eq_ignore_ascii_case("policyDefinitions") =>
        {
            Some(name)
        }
        _ => None,
    }
}

/// The operation of a request with this path.
pub(crate) fn operation(segments: &[String]) -> Operation {
    if built_in_policy(segments).is_some() {
        return Operation::PolicyDefinition;
    }
    parse(segments).map_or(Operation::Unknown, |target| target.route.operation())
}

fn unknown_route(rest: &[String]) -> Route {
    match rest {
        [providers, namespace, resource_type @ ..] if providers.eq_ignore_ascii_case("providers") => {
            Route::Unknown { namespace: Some(namespace.clone()), resource_type: resource_type.join("/") }
        }
        _ => Route::Unknown { namespace: None, resource_type: rest.join("/") },
    }
}

/// Parses routes of Resource Manager itself and of the other providers. `words` are the segments below the subscription or
/// resource group in lower case, `rest` the same segments in the client's spelling.
fn parse_other(has_group: bool, words: &[&str], rest: &[String]) -> Option<Route> {
    let name = |index: usize| rest.get(index).cloned().unwrap_or_default();
    Some(match (has_group, words) {
        (false, []) => Route::Subscription,
        (true, []) => Route::ResourceGroup,
        (false, ["locations"]) => Route::Locations,
        (false, ["resourcegroups"]) => Route::ResourceGroups,
        (false, ["operationresults", _]) => {
            Route::OperationResult { provider: Provider::Resources, id: name(1) }
        }
        (_, ["providers", "microsoft.authorization", "permissions"]) => Route::Permissions,
        (_, ["providers", "microsoft.authorization", "policyassignments"]) => Route::PolicyAssignments,
        (false, ["providers", "microsoft.authorization", "policydefinitions", _]) => {
            Route::PolicyDefinition { name: name(3) }
        }
        (false, ["providers", "microsoft.authorization", "policysetdefinitions", _]) => {
            Route::PolicySetDefinition { name: name(3) }
        }
        (false, ["providers", _]) => Route::Provider { namespace: name(1) },
        (false, ["providers", _, "register"]) => Route::RegisterProvider { namespace: name(1) },
        (false, ["providers", "microsoft.compute", "locations", location, "vmsizes"]) => {
            Route::VmSizes { location: (*location).to_owned() }
        }
        (false, ["providers", "microsoft.compute", "locations", location, "usages"]) => {
            Route::Usages { location: (*location).to_owned() }
        }
        (false, ["providers", "microsoft.compute", "skus"]) => Route::Skus,
        (_, ["providers", "microsoft.operationalinsights", "workspaces"]) => Route::Workspaces,
        (true, ["providers", "microsoft.operationalinsights", "workspaces", _]) => {
            Route::Workspace { name: name(3) }
        }
        _ => return None,
    })
}

/// Parses routes below `providers/Microsoft.Network`; see [`parse_other`] for `words` and `rest`.
fn parse_network(has_group: bool, words: &[&str], rest: &[String]) -> Option<Route> {
    let name = |index: usize| rest.get(index).cloned().unwrap_or_default();
    let provider = Provider::Network;
    Some(match (has_group, words) {
        (false, []) => Route::Provider { namespace: "Microsoft.Network".to_owned() },
        (false, ["register"]) => Route::RegisterProvider { namespace: "Microsoft.Network".to_owned() },
        (_, ["virtualnetworks"]) => Route::VirtualNetworks,
        (true, ["virtualnetworks", _]) => Route::VirtualNetwork { name: name(1) },
        (true, ["virtualnetworks", _, "subnets"]) => Route::Subnets { network: name(1) },
        (true, ["virtualnetworks", _, "subnets", _]) => Route::Subnet { network: name(1), name: name(3) },
        (false, ["locations", _, "operations", _]) => Route::OperationStatus { provider, id: name(3) },
        (false, ["locations", _, "operationresults", _]) => Route::OperationResult { provider, id: name(3) },
        _ => return None,
    })
}

/// Parses routes below `providers/Microsoft.ContainerService`; see [`parse_other`] for `words` and `rest`.
fn parse_aks(has_group: bool, words: &[&str], rest: &[String]) -> Option<Route> {
    let name = |index: usize| rest.get(index).cloned().unwrap_or_default();
    let provider = Provider::ContainerService;
    let action = |action| Route::ClusterAction { name: name(1), action };
    Some(match (has_group, words) {
        (false, []) => Route::Provider { namespace: "Microsoft.ContainerService".to_owned() },
        (false, ["register"]) => {
            Route::RegisterProvider { namespace: "Microsoft.ContainerService".to_owned() }
        }
        (false, ["locations", location, "kubernetesversions"]) => {
            Route::KubernetesVersions { location: (*location).to_owned() }
        }
        (false, ["locations", _, "operations", _]) => Route::OperationStatus { provider, id: name(3) },
        (false, ["locations", _, "operationresults", _]) => Route::OperationResult { provider, id: name(3) },
        (_, ["managedclusters"]) => Route::ManagedClusters,
        (true, ["managedclusters", _]) => Route::ManagedCluster { name: name(1) },
        (true, ["managedclusters", _, "listclusteradmincredential"]) => {
            action(ClusterAction::AdminCredential)
        }
        (true, ["managedclusters", _, "listclusterusercredential"]) => action(ClusterAction::UserCredential),
        (
            true,
            ["managedclusters", _, "accessprofiles", profile]
            | ["managedclusters", _, "accessprofiles", profile, "listcredential"],
        ) => match *profile {
            "clusteradmin" => action(ClusterAction::AdminProfile),
            "clusteruser" => action(ClusterAction::UserProfile),
            _ => return None,
        },
        (true, ["managedclusters", _, "start"]) => action(ClusterAction::Start),
        (true, ["managedclusters", _, "stop"]) => action(ClusterAction::Stop),
        (true, ["managedclusters", _, "abort"]) => action(ClusterAction::Abort),
        (true, ["managedclusters", _, "runcommand"]) => action(ClusterAction::RunCommand),
        (true, ["managedclusters", _, "commandresults", _]) => {
            Route::CommandResult { cluster: name(1), id: name(3) }
        }
        (true, ["managedclusters", _, "upgradeprofiles", "default"]) => {
            Route::UpgradeProfile { name: name(1) }
        }
        (true, ["managedclusters", _, "agentpools"]) => Route::AgentPools { cluster: name(1) },
        (true, ["managedclusters", _, "agentpools", _]) => {
            Route::AgentPool { cluster: name(1), name: name(3) }
        }
        (true, ["managedclusters", _, "agentpools", _, "upgradeprofiles", "default"]) => {
            Route::PoolUpgradeProfile { cluster: name(1), name: name(3) }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_ignore_letter_case() {
        let parse_path = |path: &str| {
            let segments: Vec<String> = path.split('/').skip(1).map(str::to_owned).collect();
            parse(&segments).map(|target| (target.group, target.route))
        };
        let location = || "eastus".to_owned();
        let name = || "Mine".to_owned();
        let unknown = |namespace: Option<&str>, resource_type: &str| Route::Unknown {
            namespace: namespace.map(str::to_owned),
            resource_type: resource_type.to_owned(),
        };
        let aks =
            "/subscriptions/s/resourceGroups/G/providers/Microsoft.ContainerService/managedClusters/Mine";
        for (path, group, route) in [
            ("/Subscriptions/s", None, Route::Subscription),
            ("/subscriptions/s/LOCATIONS", None, Route::Locations),
            (
                "/subscriptions/s/providers/microsoft.compute/locations/EastUS/vmsizes",
                None,
                Route::VmSizes { location: location() },
            ),
            ("/subscriptions/s/providers/Microsoft.Compute/skus", None, Route::Skus),
            (
                "/subscriptions/s/providers/Microsoft.ContainerService/locations/eastus/kubernetesVersions",
                None,
                Route::KubernetesVersions { location: location() },
            ),
            (
                "/subscriptions/s/providers/Microsoft.ContainerService/locations/eastus/operationResults/I",
                None,
                Route::OperationResult { provider: Provider::ContainerService, id: "I".to_owned() },
            ),
            (
                "/subscriptions/s/providers/Microsoft.Network/register",
                None,
                Route::RegisterProvider { namespace: "Microsoft.Network".to_owned() },
            ),
            (
                "/subscriptions/s/resourcegroups/G/providers/Microsoft.Network/virtualNetworks",
                Some("G"),
                Route::VirtualNetworks,
            ),
            (
                "/subscriptions/s/resourcegroups/G/providers/Microsoft.Network/virtualNetworks/Mine/Subnets/A",
                Some("G"),
                Route::Subnet { network: name(), name: "A".to_owned() },
            ),
            (aks, Some("G"), Route::ManagedCluster { name: name() }),
            (
                &*format!("{aks}/agentpools/P"),
                Some("G"),
                Route::AgentPool { cluster: name(), name: "P".to_owned() },
            ),
            (
                &*format!("{aks}/commandResults/I"),
                Some("G"),
                Route::CommandResult { cluster: name(), id: "I".to_owned() },
            ),
            (
                &*format!("{aks}/accessProfiles/clusterAdmin/listCredential"),
                Some("G"),
                Route::ClusterAction { name: name(), action: ClusterAction::AdminProfile },
            ),
            (
                &*format!("{aks}/detectors"),
                Some("G"),
                unknown(Some("Microsoft.ContainerService"), "managedClusters/Mine/detectors"),
            ),
            (
                "/subscriptions/s/providers/Microsoft.Compute/disks/x",
                None,
                unknown(Some("Microsoft.Compute"), "disks/x"),
            ),
            ("/subscriptions/s/resourceGroups/G", Some("G"), Route::ResourceGroup),
            ("/subscriptions/s/resourcegroups", None, Route::ResourceGroups),
            ("/subscriptions/s/nothing", None, unknown(None, "nothing")),
        ] {
            assert_eq!(parse_path(path), Some((group.map(str::to_owned), route)), "{path}");
        }
        assert_eq!(parse_path("/tenants"), None);
        assert_eq!(parse_path("/subscriptions"), None);
    }
}
