//! Which Kubernetes versions a cluster may go to (contract, section 8.5).

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};

use super::arm::KubernetesVersion;
use super::versions;

/// A version above the current one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// As Azure names it.
    pub version: String,
    /// Whether Azure upgrades to it from the current version in one step.
    pub reachable: bool,
}

/// Every version that is not lower than `current`, ascending; those that Azure names as targets of `current` are
/// reachable. Support plans do not matter here: versions with long-term support are targets too.
pub fn targets(current: &str, offered: &[KubernetesVersion]) -> Vec<Upgrade> {
    let mut reachable: HashSet<&str> = HashSet::new();
    let mut above: BTreeSet<&str> = BTreeSet::new();
    for (version, patch) in offered.iter().flat_map(|minor| &minor.patch_versions) {
        if version == current {
            reachable.extend(patch.upgrades.iter().map(String::as_str));
        } else if versions::compare(version, current) != Ordering::Less {
            above.insert(version);
        }
    }
    let mut targets: Vec<Upgrade> = above
        .into_iter()
        .map(|version| Upgrade { version: version.to_owned(), reachable: reachable.contains(version) })
        .collect();
    targets.sort_by(|a, b| versions::compare(&a.version, &b.version).then_with(|| a.version.cmp(&b.version)));
    targets
}
