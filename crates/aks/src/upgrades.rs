//! Which Kubernetes versions a cluster can be upgraded to: one answer for aksUpgrades and for the review.

use std::cmp::Ordering;
use std::collections::HashSet;

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

/// Where a cluster is, as far as its upgrades depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// The version that it runs.
    pub running: &'a str,
    /// Whether it has long-term support (`supportPlan` is `AKSLongTermSupport`).
    pub long_term: bool,
    /// The targets that Azure names for this very cluster, where it was asked.
    pub own: &'a [String],
}

/// Whether the region's list does not say enough: it does not know the version that runs, or that version has, or needs,
/// long-term support, with which Azure names other targets. Then the cluster's own upgrade profile counts.
pub fn needs_own_targets(running: &str, long_term: bool, offered: &[KubernetesVersion]) -> bool {
    let minor = versions::find(offered, running);
    let listed = minor.is_some_and(|minor| minor.patch_versions.contains_key(running));
    long_term || !listed || !minor.is_some_and(versions::is_official)
}

/// The versions that Azure upgrades to in one step: those of the region's list that the support plan of the cluster allows,
/// and those that Azure names for this very cluster. Ascending.
pub fn reachable(start: &Start<'_>, offered: &[KubernetesVersion]) -> Vec<String> {
    let listed = offered.iter().find_map(|minor| minor.patch_versions.get(start.running));
    let allowed = |version: &&String| {
        start.long_term || versions::find(offered, version).is_none_or(versions::is_official)
    };
    let listed = listed.into_iter().flat_map(|patch| &patch.upgrades).filter(allowed);
    let mut reachable: Vec<String> = listed.chain(start.own).cloned().collect();
    versions::sort(&mut reachable);
    reachable
}

/// Every version above the running one, ascending, with those that can be reached marked. What is not offered to everybody
/// is listed too, as Rancher lists it. Of a minor version alone (nothing more is known of the cluster) the first patch is
/// not known to be reached.
pub fn targets(start: &Start<'_>, offered: &[KubernetesVersion]) -> Vec<Upgrade> {
    let reachable = reachable(start, offered);
    let known: HashSet<&str> =
        offered.iter().flat_map(|minor| minor.patch_versions.keys()).map(String::as_str).collect();
    let named = reachable
        .iter()
        .map(String::as_str)
        .filter(|version| known.contains(version) || start.own.iter().any(|own| own == version));
    let named: HashSet<&str> = named.collect();
    let above = known.union(&named).copied().filter(|version| {
        *version != start.running && versions::compare(version, start.running) != Ordering::Less
    });
    let mut targets: Vec<Upgrade> = above
        .map(|version| Upgrade { version: version.to_owned(), reachable: named.contains(version) })
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
        let start = Start { running: current, long_term: true, own: &[] };
        targets(&start, &offered(json)).into_iter().map(mark).collect()
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
    fn own_targets_are_added_and_support_plans_count() {
        let offered = offered(OFFERED_PLANS);
        let to = |running, long_term, own: &[&str]| {
            let own: Vec<String> = own.iter().map(|version| (*version).to_owned()).collect();
            let start = Start { running, long_term, own: &own };
            let mark = |it: Upgrade| format!("{}{}", it.version, if it.reachable { "+" } else { "" });
            targets(&start, &offered).into_iter().map(mark).collect::<Vec<_>>().join(" ")
        };
        // Retired: only the cluster's own profile knows where it may go, perhaps past what the region lists.
        assert_eq!(to("1.31.1", false, &["1.31.9", "1.32.9"]), "1.31.9+ 1.32.0 1.32.9+");
        assert_eq!(to("1.30.5", false, &[]), "1.31.9 1.32.0+");
        assert_eq!(to("1.30.5", true, &[]), "1.31.9+ 1.32.0+");
        for (running, long_term, expected) in [
            ("1.32.0", false, false),
            ("1.32.0", true, true),
            ("1.30.5", false, true),
            ("1.31.1", false, true),
            ("1.32", false, true),
        ] {
            assert_eq!(needs_own_targets(running, long_term, &offered), expected, "{running}");
        }
    }

    const OFFERED_PLANS: &str = r#"[
        {"version":"1.32","capabilities":{"supportPlan":["KubernetesOfficial"]},"patchVersions":{"1.32.0":{"upgrades":[]}}},
        {"version":"1.31","capabilities":{"supportPlan":["AKSLongTermSupport"]},"patchVersions":{"1.31.9":{"upgrades":["1.32.0"]}}},
        {"version":"1.30","capabilities":{"supportPlan":["AKSLongTermSupport"]},"patchVersions":{"1.30.5":{"upgrades":["1.31.9","1.32.0"]}}}]"#;

    #[test]
    fn a_minor_alone_equals_its_first_patch_in_weight_but_not_in_text() {
        let json = r#"[{"patchVersions":{"1.31.0":{"upgrades":["1.31.1"]},"1.31.1":{}}}]"#;
        assert_eq!(shown("1.31", json), ["1.31.0", "1.31.1"]);
    }
}
