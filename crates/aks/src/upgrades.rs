//! The Kubernetes versions to which a cluster can be upgraded. Used by aksUpgrades, the review and upgrade plans.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::arm::KubernetesVersion;
use super::versions::{self, Version};

/// A version higher than the current one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The version in Azure's format.
    pub version: String,
    /// Whether Azure can upgrade to it from the current version in one step.
    pub reachable: bool,
}

/// The current state of a cluster, as far as upgrades depend on it.
#[derive(Clone, Copy, Debug)]
pub struct UpgradeStart<'a> {
    /// The running version.
    pub running: &'a str,
    /// Whether the cluster has long-term support (`supportPlan` is `AKSLongTermSupport`).
    pub long_term: bool,
    /// The targets in the cluster's own upgrade profile, if it was read. They replace those of the region's list.
    pub own_targets: &'a [String],
}

/// The reason why a version is unavailable to a cluster, in one step or in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The version is not offered in the region.
    NotOffered,
    /// The version is offered only with long-term support.
    NeedsLongTermSupport,
}

/// Whether the cluster's own upgrade profile is needed, because its targets may differ from the region's list: the list does
/// not contain the running version, the cluster has long-term support, or its version requires long-term support.
pub fn needs_own_targets(running: &str, long_term: bool, offered: &[KubernetesVersion]) -> bool {
    let minor = versions::find(offered, running);
    let is_listed = minor.is_some_and(|minor| minor.patch_versions.contains_key(running));
    long_term || !is_listed || !minor.is_some_and(versions::is_official)
}

/// The versions to which Azure can upgrade in one step: those of the cluster's own profile, else those of the region's list
/// that the cluster's support plan allows. Ascending.
pub fn reachable(start: &UpgradeStart<'_>, offered: &[KubernetesVersion]) -> Vec<String> {
    let mut reachable: Vec<String> = if start.own_targets.is_empty() {
        let listed = offered.iter().find_map(|minor| minor.patch_versions.get(start.running));
        let is_in_support_plan = |version: &&String| {
            unavailable(start, offered, version) != Some(Unavailable::NeedsLongTermSupport)
        };
        listed.into_iter().flat_map(|patch| &patch.upgrades).filter(is_in_support_plan).cloned().collect()
    } else {
        start.own_targets.to_vec()
    };
    versions::sort(&mut reachable);
    reachable
}

/// Whether Azure lists upgrades of the running version. For a retired version, only the cluster's own profile may list some.
pub fn has_targets(start: &UpgradeStart<'_>, offered: &[KubernetesVersion]) -> bool {
    let is_listed = || offered.iter().any(|minor| minor.patch_versions.contains_key(start.running));
    !start.own_targets.is_empty() || is_listed()
}

/// Whether the targets contain `requested`, or one of its patches if it is a minor version.
pub fn is_target(targets: &[String], requested: &str) -> bool {
    targets.iter().any(|target| versions::is_same(target, requested))
}

/// The reason why a version is unavailable; `None` if it is available, or is in the cluster's own profile.
pub fn unavailable(
    start: &UpgradeStart<'_>,
    offered: &[KubernetesVersion],
    version: &str,
) -> Option<Unavailable> {
    match versions::find(offered, version) {
        _ if is_target(start.own_targets, version) => None,
        None => Some(Unavailable::NotOffered),
        Some(minor) if !versions::is_official(minor) && !start.long_term => {
            Some(Unavailable::NeedsLongTermSupport)
        }
        Some(_) => None,
    }
}

/// The minor version after the running one, if `requested` skips it and Azure does not list that upgrade. With long-term support,
/// and from retired versions, Azure offers more distant targets.
pub fn skipped_minor(
    start: &UpgradeStart<'_>,
    offered: &[KubernetesVersion],
    requested: &str,
) -> Option<String> {
    let (to, from) = Version::parse(requested).zip(Version::parse(start.running))?;
    let next = from.minor.saturating_add(1);
    let is_skipped =
        to.major == from.major && to.minor > next && !is_target(&reachable(start, offered), requested);
    is_skipped.then(|| format!("{}.{next}", from.major))
}

/// Whether `requested` is not lower than the running version, and Azure lists upgrades, but not to `requested`.
pub fn is_unreachable(start: &UpgradeStart<'_>, offered: &[KubernetesVersion], requested: &str) -> bool {
    let is_not_lower = Version::parse(requested)
        .zip(Version::parse(start.running))
        .is_some_and(|(to, from)| !to.is_lower_than(from));
    is_not_lower && has_targets(start, offered) && !is_target(&reachable(start, offered), requested)
}

/// All versions higher than the running one, ascending, each with whether it is reachable. As in Rancher, versions that require
/// long-term support are included. If only the minor version of the cluster is known, all patches of that minor version are
/// included, and only the targets of the cluster's own profile are reachable.
pub fn targets(start: &UpgradeStart<'_>, offered: &[KubernetesVersion]) -> Vec<Upgrade> {
    let reachable = reachable(start, offered);
    let offered_versions: HashSet<&str> =
        offered.iter().flat_map(|minor| minor.patch_versions.keys()).map(String::as_str).collect();
    let reachable_versions = reachable.iter().map(String::as_str).filter(|version| {
        offered_versions.contains(version) || start.own_targets.iter().any(|target| target == version)
    });
    let reachable_versions: HashSet<&str> = reachable_versions.collect();
    let higher = offered_versions.union(&reachable_versions).copied().filter(|version| {
        *version != start.running && versions::compare(version, start.running) != Ordering::Less
    });
    let mut targets: Vec<Upgrade> = higher
        .map(|version| Upgrade {
            version: version.to_owned(),
            reachable: reachable_versions.contains(version),
        })
        .collect();
    targets.sort_by(|a, b| versions::compare(&a.version, &b.version).then_with(|| a.version.cmp(&b.version)));
    targets
}

/// The remedy for an unreachable version: names only versions that are reachable in one step.
pub(crate) fn reachable_remedy(start: &UpgradeStart<'_>, offered: &[KubernetesVersion]) -> String {
    let all = reachable(start, offered);
    let stable: Vec<String> =
        all.iter().filter(|version| !versions::is_preview(offered, version)).cloned().collect();
    let suggested = if stable.is_empty() { all } else { stable };
    if suggested.is_empty() {
        return format!("leave it at {}, from which Azure offers no upgrade at the moment", start.running);
    }
    format!("use one of {}", suggested.join(", "))
}

/// The message about a version lower than the running one.
pub(crate) fn downgrade_message(from: &str, to: &str) -> String {
    format!("kubernetesVersion cannot be downgraded from {from} to {to}")
}

/// The message about a version that skips a minor version.
pub(crate) fn skipped_minor_message(from: &str, to: &str) -> String {
    format!(
        "kubernetesVersion cannot be upgraded from {from} to {to} in one step, because minor versions cannot be skipped"
    )
}

/// The message about a version that is not reachable in one step.
pub(crate) fn unreachable_message(from: &str, to: &str) -> String {
    format!(
        "kubernetesVersion cannot be upgraded from {from} to {to}, because Azure does not offer this upgrade"
    )
}

/// The message about a preview.
pub(crate) fn preview_message(version: &str, region: &str) -> String {
    format!("kubernetesVersion {version} is a preview in {region}, without support by Azure")
}

impl Unavailable {
    /// The end of a message, such as `is not offered in eastus`. `exists` is whether the cluster already exists in Azure.
    pub(crate) fn describe(self, region: &str, exists: bool) -> String {
        let plan = if exists { "which the cluster does not have" } else { "which this server cannot enable" };
        match self {
            Self::NotOffered => format!("is not offered in {region}"),
            Self::NeedsLongTermSupport => {
                format!("is offered in {region} only with long-term support, {plan}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(json: &str) -> Vec<KubernetesVersion> {
        serde_json::from_str(json).unwrap()
    }

    /// The targets of an upgrade; `+` marks reachable ones.
    fn mark_targets(current: &str, json: &str) -> Vec<String> {
        let mark =
            |upgrade: Upgrade| format!("{}{}", upgrade.version, if upgrade.reachable { "+" } else { "" });
        let start = UpgradeStart { running: current, long_term: true, own_targets: &[] };
        targets(&start, &offered(json)).into_iter().map(mark).collect()
    }

    const OFFERED: &str = r#"[
        {"version":"1.32","capabilities":{"supportPlan":["AKSLongTermSupport"]},"patchVersions":{"1.32.1":{"upgrades":[]}}},
        {"version":"1.31","patchVersions":{"1.31.10":{},"1.31.9":{"upgrades":["1.31.10","1.32.1","1.40.0"]}}},
        {"version":"1.30","patchVersions":{"1.30.5":{"upgrades":["1.31.9"]},"1.30.4":null}},
        {"patchVersions":null}]"#;

    #[test]
    fn only_targets_that_azure_lists_are_reachable() {
        for (current, expected) in [
            ("1.31.9", vec!["1.31.10+", "1.32.1+"]),
            ("1.30.5", vec!["1.31.9+", "1.31.10", "1.32.1"]),
            ("1.30.4", vec!["1.30.5", "1.31.9", "1.31.10", "1.32.1"]),
            ("1.32.1", vec![]),
            // Retired: Azure lists no upgrade in one step.
            ("1.30.1", vec!["1.30.4", "1.30.5", "1.31.9", "1.31.10", "1.32.1"]),
            ("1.32", vec!["1.32.1"]),
        ] {
            assert_eq!(mark_targets(current, OFFERED), expected, "{current}");
        }
    }

    #[test]
    fn own_targets_and_support_plan_decide_reachability() {
        let offered = offered(OFFERED_PLANS);
        let targets_from = |running, long_term, own_targets: &[&str]| {
            let own_targets: Vec<String> = own_targets.iter().map(|version| (*version).to_owned()).collect();
            let start = UpgradeStart { running, long_term, own_targets: &own_targets };
            let mark =
                |upgrade: Upgrade| format!("{}{}", upgrade.version, if upgrade.reachable { "+" } else { "" });
            targets(&start, &offered).into_iter().map(mark).collect::<Vec<_>>().join(" ")
        };
        // Retired: only the cluster's own profile lists targets, which may be newer than those of the region.
        assert_eq!(targets_from("1.31.1", false, &["1.31.9", "1.32.9"]), "1.31.9+ 1.32.0 1.32.9+");
        assert_eq!(targets_from("1.30.5", false, &[]), "1.31.9 1.32.0+");
        assert_eq!(targets_from("1.30.5", true, &[]), "1.31.9+ 1.32.0+");
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
    fn minor_version_without_patch_lists_all_its_patches() {
        let json = r#"[{"patchVersions":{"1.31.0":{"upgrades":["1.31.1"]},"1.31.1":{}}}]"#;
        assert_eq!(mark_targets("1.31", json), ["1.31.0", "1.31.1"]);
    }
}
