//! The kinds of lists that are cached, and the key of a cached list.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use azure::{Cloud, Fingerprint};

/// The time after the end of its TTL for which an entry may be served, if Azure fails or is slow.
pub(super) const MAX_STALENESS: Duration = Duration::from_hours(24);

/// A kind of list. Versions, VM sizes and usages depend on a region, and an upgrade profile on a cluster, which is the scope of
/// the entry's [`Key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// The regions that have AKS.
    AksRegions,
    Clusters,
    /// The regions, by name only.
    Locations,
    Networks,
    /// A page of the catalog, computed from other lists.
    Page,
    /// The regions with their zones.
    Regions,
    UpgradeProfile,
    Usages,
    Versions,
    VmSizes,
    VmSizesV2,
}

impl Kind {
    /// All kinds, in the order of their declaration, so that `kind as usize` is the index of a kind.
    pub(super) const ALL: [Self; 11] = [
        Self::AksRegions,
        Self::Clusters,
        Self::Locations,
        Self::Networks,
        Self::Page,
        Self::Regions,
        Self::UpgradeProfile,
        Self::Usages,
        Self::Versions,
        Self::VmSizes,
        Self::VmSizesV2,
    ];

    /// The value of the label `kind` in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AksRegions => "aks_regions",
            Self::Clusters => "clusters",
            Self::Locations => "locations",
            Self::Networks => "virtual_networks",
            Self::Page => "catalog_page",
            Self::Regions => "regions",
            Self::UpgradeProfile => "upgrade_profile",
            Self::Usages => "usages",
            Self::Versions => "kubernetes_versions",
            Self::VmSizes => "vm_sizes",
            Self::VmSizesV2 => "vm_sizes_v2",
        }
    }

    /// The age up to which an entry is fresh.
    pub(super) fn time_to_live(self) -> Duration {
        Duration::from_secs(match self {
            Self::AksRegions | Self::Locations | Self::Regions => 24 * 3600,
            Self::VmSizes | Self::VmSizesV2 | Self::Page => 3600,
            Self::Versions | Self::UpgradeProfile => 15 * 60,
            Self::Usages => 60,
            Self::Networks | Self::Clusters => 30,
        })
    }

    /// The age up to which an entry may be served at all.
    pub(super) fn max_age(self) -> Duration {
        self.time_to_live() + MAX_STALENESS
    }

    /// Whether entries are saved for the next process. Only lists of what Azure offers are; objects that users create or change
    /// may be different after a restart.
    pub(super) fn is_saved(self) -> bool {
        matches!(
            self,
            Self::AksRegions
                | Self::Locations
                | Self::Regions
                | Self::Versions
                | Self::VmSizes
                | Self::VmSizesV2
        )
    }

    /// The kind with this name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether a stale entry is served while a load is in progress. False for lists of objects that users create, which would
    /// lack new objects, and for the quotas that those objects use.
    pub(super) fn is_served_while_loading(self) -> bool {
        !matches!(self, Self::Networks | Self::Clusters | Self::Usages)
    }
}

/// The key of a cached list. Two credentials never share an entry, not even two secrets of one application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) cloud: Cloud,
    /// Lower case.
    pub(super) subscription: String,
    pub(super) fingerprint: Fingerprint,
    pub(super) kind: Kind,
    /// The normalized region; `<resource group>/<cluster>` in lower case; or the URL of a page. Empty for other kinds.
    pub(super) scope: Arc<str>,
}

impl Hash for Key {
    /// Omits the cloud, because it is part of the fingerprint.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.fingerprint, &self.subscription, self.kind, &self.scope).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_listed_in_the_order_of_their_declaration() {
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index, "{kind:?}");
        }
    }
}
