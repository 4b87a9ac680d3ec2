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

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(json: &str) -> Vec<KubernetesVersion> {
        serde_json::from_str(json).unwrap()
    }

    fn shown(current: &str, json: &str) -> Vec<String> {
        let mark =
            |upgrade: Upgrade| format!("{}{}", upgrade.version, if upgrade.reachable { "+" } else { "" });
        targets(current, &offered(json)).into_iter().map(mark).collect()
    }

    const OFFERED: &str = r#"[
        {"version":"1.32","capabilities":{"supportPlan":["AKSLongTermSupport"]},"patchVersions":{"1.32.1":{"upgrades":[]}}},
        {"version":"1.31","patchVersions":{"1.31.10":{},"1.31.9":{"upgrades":["1.31.10","1.32.1","1.40.0"]}}},
        {"version":"1.30","patchVersions":{"1.30.5":{"upgrades":["1.31.9"]},"1.30.4":null}},
        null,
        {"patchVersions":null}]"#;

    #[test]
    fn only_targets_that_azure_names_are_reachable() {
        for (current, expected) in [
            ("1.31.9", vec!["1.31.10+", "1.32.1+"]),
            ("1.30.5", vec!["1.31.9+", "1.31.10", "1.32.1"]),
            ("1.30.4", vec!["1.30.5", "1.31.9", "1.31.10", "1.32.1"]),
            ("1.32.1", vec![]),
            // Retired: nothing leads away from it in one step that Azure names.
            ("1.30.1", vec!["1.30.4", "1.30.5", "1.31.9", "1.31.10", "1.32.1"]),
            ("1.32", vec!["1.32.1"]),
        ] {
            let json = OFFERED.replace("\n        null,", "");
            assert_eq!(shown(current, &json), expected, "{current}");
        }
    }

    #[test]
    fn a_minor_alone_equals_its_first_patch_in_weight_but_not_in_text() {
        let json = r#"[{"patchVersions":{"1.31.0":{"upgrades":["1.31.1"]},"1.31.1":{}}}]"#;
        assert_eq!(shown("1.31", json), ["1.31.0", "1.31.1"]);
    }
}
