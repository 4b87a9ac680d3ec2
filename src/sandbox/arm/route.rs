//! What an address of Resource Manager means: the subscription, the kind of thing, and its name.

use crate::sandbox::play::Operation;

/// Where a request goes below a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) struct Target {
    /// As the client spelt it.
    pub(in crate::sandbox) subscription: String,
    /// As the client spelt it, when the address names one.
    pub(in crate::sandbox) group: Option<String>,
    pub(in crate::sandbox) route: Route,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Route {
    Subscription,
    Locations,
    VmSizes {
        location: String,
    },
    Skus,
    KubernetesVersions {
        location: String,
    },
    VirtualNetworks,
    ManagedClusters,
    ManagedCluster {
        name: String,
    },
    /// The provider, when one is named, and the rest.
    Unknown {
        namespace: Option<String>,
        kind: String,
    },
}

/// `None` for anything that is not below `/subscriptions/`. Fixed words are compared in any letter case.
pub(in crate::sandbox) fn parse(segments: &[String]) -> Option<Target> {
    let (first, rest) = segments.split_first()?;
    let (subscription, rest) = rest.split_first().filter(|_| first.eq_ignore_ascii_case("subscriptions"))?;
    let (group, rest) = match rest {
        [word, group, rest @ ..] if word.eq_ignore_ascii_case("resourceGroups") => {
            (Some(group.clone()), rest)
        }
        _ => (None, rest),
    };
    let lower: Vec<String> = rest.iter().map(|part| part.to_ascii_lowercase()).collect();
    let words: Vec<&str> = lower.iter().map(String::as_str).collect();
    let route = match (group.is_some(), words.as_slice()) {
        (false, []) => Route::Subscription,
        (false, ["locations"]) => Route::Locations,
        (false, ["providers", "microsoft.compute", "locations", location, "vmsizes"]) => {
            Route::VmSizes { location: (*location).to_owned() }
        }
        (false, ["providers", "microsoft.compute", "skus"]) => Route::Skus,
        (false, ["providers", "microsoft.containerservice", "locations", location, "kubernetesversions"]) => {
            Route::KubernetesVersions { location: (*location).to_owned() }
        }
        (_, ["providers", "microsoft.network", "virtualnetworks"]) => Route::VirtualNetworks,
        (_, ["providers", "microsoft.containerservice", "managedclusters"]) => Route::ManagedClusters,
        (true, ["providers", "microsoft.containerservice", "managedclusters", _]) => {
            Route::ManagedCluster { name: rest.last().cloned().unwrap_or_default() }
        }
        (_, ["providers", _, ..]) => Route::Unknown {
            namespace: rest.get(1).cloned(),
            kind: rest.get(2..).unwrap_or_default().join("/"),
        },
        _ => Route::Unknown { namespace: None, kind: rest.join("/") },
    };
    Some(Target { subscription: subscription.clone(), group, route })
}

impl Route {
    pub(in crate::sandbox) fn operation(&self) -> Operation {
        match self {
            Self::Subscription => Operation::Subscription,
            Self::Locations => Operation::Locations,
            Self::VmSizes { .. } => Operation::VmSizes,
            Self::Skus => Operation::Skus,
            Self::KubernetesVersions { .. } => Operation::KubernetesVersions,
            Self::VirtualNetworks => Operation::VirtualNetworks,
            Self::ManagedClusters => Operation::ManagedClusters,
            Self::ManagedCluster { .. } => Operation::ManagedCluster,
            Self::Unknown { .. } => Operation::Unknown,
        }
    }

    /// The resource type, as Azure writes it.
    pub(in crate::sandbox) fn kind(&self) -> &'static str {
        match self {
            Self::Subscription => "subscriptions",
            Self::Locations => "subscriptions/locations",
            Self::VmSizes { .. } => "Microsoft.Compute/locations/vmSizes",
            Self::Skus => "Microsoft.Compute/skus",
            Self::KubernetesVersions { .. } => "Microsoft.ContainerService/locations/kubernetesVersions",
            Self::VirtualNetworks => "Microsoft.Network/virtualNetworks",
            Self::ManagedClusters | Self::ManagedCluster { .. } => {
                "Microsoft.ContainerService/managedClusters"
            }
            Self::Unknown { .. } => "",
        }
    }

    /// The resource provider, for what belongs to one.
    pub(in crate::sandbox) fn provider(&self) -> Option<&'static str> {
        self.kind().split_once('/').map(|(provider, _)| provider).filter(|name| name.contains('.'))
    }

    /// What a role has to allow.
    pub(in crate::sandbox) fn action(&self) -> String {
        let resources = if self.provider().is_none() { "Microsoft.Resources/" } else { "" };
        format!("{resources}{}/read", self.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood_in_any_letter_case() {
        let of = |path: &str| {
            let segments: Vec<String> = path.split('/').skip(1).map(str::to_owned).collect();
            parse(&segments).map(|target| (target.group, target.route))
        };
        let location = || "eastus".to_owned();
        let unknown = |namespace: Option<&str>, kind: &str| Route::Unknown {
            namespace: namespace.map(str::to_owned),
            kind: kind.to_owned(),
        };
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
                "/subscriptions/s/resourcegroups/G/providers/Microsoft.Network/virtualNetworks",
                Some("G"),
                Route::VirtualNetworks,
            ),
            (
                "/subscriptions/s/resourceGroups/G/providers/Microsoft.ContainerService/managedClusters/Mine",
                Some("G"),
                Route::ManagedCluster { name: "Mine".to_owned() },
            ),
            (
                "/subscriptions/s/providers/Microsoft.Compute/disks/x",
                None,
                unknown(Some("Microsoft.Compute"), "disks/x"),
            ),
            ("/subscriptions/s/resourceGroups/G", Some("G"), unknown(None, "")),
        ] {
            assert_eq!(of(path), Some((group.map(str::to_owned), route)), "{path}");
        }
        assert_eq!(of("/tenants"), None);
        assert_eq!(of("/subscriptions"), None);
    }

    #[test]
    fn actions_name_the_provider() {
        assert_eq!(Route::Locations.action(), "Microsoft.Resources/subscriptions/locations/read");
        assert_eq!(Route::Skus.action(), "Microsoft.Compute/skus/read");
        assert_eq!(Route::Subscription.provider(), None);
        assert_eq!(Route::ManagedClusters.provider(), Some("Microsoft.ContainerService"));
    }
}
