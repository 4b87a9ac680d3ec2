//! The path of a control plane to a version, along the upgrades that Azure lists: one minor version at a time if possible, with
//! the newest patch at each stop. Used by upgrade plans and the remedies of the review.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

use super::arm::KubernetesVersion;
use super::upgrades::{self, Unavailable, UpgradeStart};
use super::versions::{self, Version, canonical, is_preview};

/// The versions at which a path may stop, in addition to generally available ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Previews.
    pub previews: bool,
    /// Versions that need long-term support.
    pub long_term: bool,
}

impl Allowed {
    /// In order of preference: Azure does not support previews, and rejects versions that need long-term support if the cluster
    /// does not have it.
    const TIERS: [Self; 4] = [
        Self { previews: false, long_term: false },
        Self { previews: true, long_term: false },
        Self { previews: false, long_term: true },
        Self { previews: true, long_term: true },
    ];
}

/// The versions after the running one on the path to `requested`. The last one is `requested` or, if that is a minor version, its
/// newest reachable patch. If Azure lists no path, the result ends before `requested` or is empty.
pub fn path(start: &UpgradeStart<'_>, offered: &[KubernetesVersion], requested: &str) -> Vec<String> {
    let targets = candidates(start, offered, requested);
    for allowed in Allowed::TIERS {
        if let Some(stops) = targets.iter().find_map(|target| best_path(start, offered, target, allowed)) {
            return stops;
        }
    }
    let requested_version = Version::parse(requested);
    let closest = requested_version.and_then(|version| newest_stable_below(start, offered, Some(version)));
    closest.and_then(|version| best_path(start, offered, &version, Allowed::default())).unwrap_or_default()
}

/// The newest stable version to which the cluster can be upgraded in any number of steps; `None` if there is none.
pub fn newest_stable(start: &UpgradeStart<'_>, offered: &[KubernetesVersion]) -> Option<String> {
    newest_stable_below(start, offered, None)
}

/// The first of several upgrades to `requested`; `None` if one is enough, or Azure lists no path that this cluster may use.
pub fn first_step(
    start: &UpgradeStart<'_>,
    offered: &[KubernetesVersion],
    requested: &str,
) -> Option<String> {
    let targets = candidates(start, offered, requested);
    let stops = targets.iter().find_map(|target| best_path(start, offered, target, Allowed::default()))?;
    let [first, _, ..] = stops.as_slice() else { return None };
    Some(first.clone())
}

/// The full versions that match `requested`, newest first.
fn candidates(start: &UpgradeStart<'_>, offered: &[KubernetesVersion], requested: &str) -> Vec<String> {
    let Some(version) = Version::parse(requested) else { return Vec::new() };
    if version.patch.is_some() {
        return vec![canonical(requested)];
    }
    let listed = offered.iter().flat_map(|minor| minor.patch_versions.keys()).chain(start.own_targets);
    let mut patches: Vec<String> =
        listed.filter(|patch| versions::is_same(patch, requested)).cloned().collect();
    versions::sort(&mut patches);
    patches.reverse();
    patches
}

/// The versions to which one upgrade on a path can lead: `target`, and the stops that `allowed` permits.
fn next_stops(
    start: &UpgradeStart<'_>,
    offered: &[KubernetesVersion],
    target: Option<&str>,
    allowed: Allowed,
) -> BTreeSet<String> {
    let start = UpgradeStart { long_term: start.long_term || allowed.long_term, ..*start };
    let mut next_stops = if upgrades::has_targets(&start, offered) {
        upgrades::reachable(&start, offered)
    } else {
        assumed_upgrades(&start, offered)
    };
    // The cluster's own targets replace the region's list, which may contain more if long-term support is allowed.
    if allowed.long_term && !start.own_targets.is_empty() {
        next_stops.extend(upgrades::reachable(&UpgradeStart { own_targets: &[], ..start }, offered));
    }
    let may_stop = |version: &String| {
        target == Some(version.as_str()) || allowed.previews || !is_preview(offered, version)
    };
    next_stops.into_iter().filter(|version| may_stop(version)).collect()
}

/// The upgrades that are assumed for a retired version, for which Azure lists none: those within its minor version and to the
/// next one. The review accepts them too.
fn assumed_upgrades(start: &UpgradeStart<'_>, offered: &[KubernetesVersion]) -> Vec<String> {
    let Some(from) = Version::parse(start.running) else { return Vec::new() };
    let is_near = |version: &&String| {
        Version::parse(version).is_some_and(|to| {
            from.is_lower_than(to) && to.major == from.major && to.minor <= from.minor.saturating_add(1)
        })
    };
    let is_in_support_plan = |version: &&String| {
        upgrades::unavailable(start, offered, version) != Some(Unavailable::NeedsLongTermSupport)
    };
    let listed = offered.iter().flat_map(|minor| minor.patch_versions.keys());
    listed.filter(is_near).filter(is_in_support_plan).cloned().collect()
}

/// The number of minor versions that an upgrade skips.
fn skipped_minors(from: &str, to: &str) -> u32 {
    let minors = Version::parse(from).zip(Version::parse(to));
    minors.map_or(0, |(from, to)| to.minor.saturating_sub(from.minor).saturating_sub(1))
}

/// Whether a version is higher than `from` and, if `to` is set, lower than `to`.
fn is_between(version: &str, from: &str, to: Option<Version>) -> bool {
    Version::parse(version).zip(Version::parse(from)).is_some_and(|(version, from)| {
        from.is_lower_than(version) && to.is_none_or(|to| version.is_lower_than(to))
    })
}

/// The rest of a path, from one of its stops to the target.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RemainingPath {
    /// The number of skipped minor versions.
    skipped: u32,
    /// The number of upgrades.
    hops: u32,
    /// The next version; `None` at the target.
    next: Option<String>,
}

/// The best path to exactly `target`: the one that skips the fewest minor versions, then the shortest, then the one with the
/// newest patches; `None` if there is none.
fn best_path(
    start: &UpgradeStart<'_>,
    offered: &[KubernetesVersion],
    target: &str,
    allowed: Allowed,
) -> Option<Vec<String>> {
    let target_version = Version::parse(target)?;
    let listed = offered.iter().flat_map(|minor| minor.patch_versions.keys()).chain(start.own_targets);
    let mut stops: Vec<String> =
        listed.filter(|version| is_between(version, start.running, Some(target_version))).cloned().collect();
    versions::sort(&mut stops);
    let mut best_by_stop =
        BTreeMap::from([(target.to_owned(), RemainingPath { skipped: 0, hops: 0, next: None })]);
    let best_from = |from: &UpgradeStart<'_>, best_by_stop: &BTreeMap<String, RemainingPath>| {
        let paths = next_stops(from, offered, Some(target), allowed).into_iter().filter_map(|next| {
            let remaining = best_by_stop.get(&next)?;
            let skipped = remaining.skipped.saturating_add(skipped_minors(from.running, &next));
            Some(RemainingPath { skipped, hops: remaining.hops.saturating_add(1), next: Some(next) })
        });
        paths.min_by(compare_paths)
    };
    // Each upgrade leads to a higher version, so the highest stops are processed first.
    for stop in stops.iter().rev() {
        let from = UpgradeStart { running: stop, own_targets: &[], ..*start };
        if let Some(remaining) = best_from(&from, &best_by_stop) {
            best_by_stop.insert(stop.clone(), remaining);
        }
    }
    let mut next = best_from(start, &best_by_stop)?.next;
    let mut path = Vec::new();
    while let Some(stop) = next {
        next = best_by_stop.get(&stop).and_then(|remaining| remaining.next.clone());
        path.push(stop);
    }
    Some(path)
}

fn compare_paths(one: &RemainingPath, other: &RemainingPath) -> Ordering {
    let version = |path: &RemainingPath| Reverse(path.next.as_deref().and_then(Version::parse));
    (one.skipped, one.hops, version(one)).cmp(&(other.skipped, other.hops, version(other)))
}

/// The newest stable version that can be reached; if `limit` is set, only versions below it.
fn newest_stable_below(
    start: &UpgradeStart<'_>,
    offered: &[KubernetesVersion],
    limit: Option<Version>,
) -> Option<String> {
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut unvisited = vec![start.running.to_owned()];
    while let Some(version) = unvisited.pop() {
        let own_targets = if version == start.running { start.own_targets } else { &[] };
        let from = UpgradeStart { running: &version, own_targets, ..*start };
        for next in next_stops(&from, offered, None, Allowed::default()) {
            if is_between(&next, &version, limit) && reached.insert(next.clone()) {
                unvisited.push(next);
            }
        }
    }
    reached.into_iter().max_by(|one, other| versions::compare(one, other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered() -> Vec<KubernetesVersion> {
        let all_plans = r#""capabilities":{"supportPlan":["KubernetesOfficial","AKSLongTermSupport"]}"#;
        let long_term_plan = r#""capabilities":{"supportPlan":["AKSLongTermSupport"]}"#;
        let json = format!(
            r#"[
            {{"version":"1.35","isPreview":true,{all_plans},"patchVersions":{{"1.35.0":{{"upgrades":[]}}}}}},
            {{"version":"1.34",{all_plans},"patchVersions":{{"1.34.1":{{"upgrades":["1.35.0"]}}}}}},
            {{"version":"1.33",{all_plans},"patchVersions":{{"1.33.3":{{"upgrades":["1.33.6","1.34.1"]}},"1.33.6":{{"upgrades":["1.34.1"]}},
                "1.33.9":{{"upgrades":[]}}}}}},
            {{"version":"1.32",{all_plans},"patchVersions":{{"1.32.7":{{"upgrades":["1.32.9","1.33.3"]}},"1.32.9":{{"upgrades":["1.33.3","1.33.6","1.33.9"]}}}}}},
            {{"version":"1.31",{long_term_plan},"patchVersions":{{"1.31.9":{{"upgrades":["1.32.7","1.32.9","1.33.3"]}}}}}},
            {{"version":"1.30",{long_term_plan},"patchVersions":{{"1.30.5":{{"upgrades":["1.31.9","1.32.7","1.33.3"]}}}}}}]"#
        );
        serde_json::from_str(&json).unwrap()
    }

    fn path_from(running: &str, long_term: bool, own: &[&str], requested: &str) -> String {
        let own_targets: Vec<String> = own.iter().map(|version| (*version).to_owned()).collect();
        path(&UpgradeStart { running, long_term, own_targets: &own_targets }, &offered(), requested).join(" ")
    }

    #[test]
    fn path_follows_azures_upgrades_one_minor_at_a_time() {
        for (running, long_term, own, requested, expected) in [
            ("1.32.9", false, &[][..], "1.33.6", "1.33.6"),
            // The newest patch of the next minor version from which the target is reachable.
            ("1.32.9", false, &[], "1.34.1", "1.33.6 1.34.1"),
            // 1.33.6 requires 1.32.9 first, which would be an additional stop.
            ("1.32.7", false, &[], "1.34.1", "1.33.3 1.34.1"),
            ("1.32.7", false, &[], "1.33.6", "1.33.3 1.33.6"),
            // For a minor version, its newest reachable patch.
            ("1.32.7", false, &[], "1.33", "1.32.9 1.33.9"),
            ("1.32.7", false, &[], "1.34", "1.33.3 1.34.1"),
            // With long-term support, one minor version at a time where Azure lists them.
            ("1.30.5", true, &[], "1.33.6", "1.31.9 1.32.9 1.33.6"),
            ("1.30.5", true, &["1.32.7"], "1.33.6", "1.32.7 1.33.3 1.33.6"),
            // Without long-term support, a path stops at versions that need it only if there is no other path.
            ("1.30.5", false, &[], "1.33.6", "1.32.7 1.33.3 1.33.6"),
            ("1.30.5", false, &[], "1.31.9", "1.31.9"),
            // The cluster's own profile replaces the list.
            ("1.32.9", false, &["1.33.3"], "1.33.6", "1.33.3 1.33.6"),
            ("1.32.9", false, &["1.34.1"], "1.34.1", "1.34.1"),
            // The running version is retired, and the cluster's profile is unknown.
            ("1.31.1", false, &[], "1.33.3", "1.32.9 1.33.3"),
            ("1.29.1", false, &[], "1.33.3", "1.30.5 1.31.9 1.32.9 1.33.3"),
            // No path to the target: the path ends before it, or is empty.
            ("1.32.9", false, &[], "1.34.99", "1.33.6 1.34.1"),
            ("1.33.9", false, &[], "1.34.1", ""),
            ("1.28.1", true, &[], "1.33.3", ""),
            ("1.33.6", false, &[], "nonsense", ""),
            // Only the target may be a preview.
            ("1.34.1", false, &[], "1.35.0", "1.35.0"),
            ("1.33.6", false, &[], "1.35", "1.34.1 1.35.0"),
        ] {
            assert_eq!(
                path_from(running, long_term, own, requested),
                expected,
                "{running} {own:?} {requested}"
            );
        }
    }

    fn start(running: &str) -> UpgradeStart<'_> {
        UpgradeStart { running, long_term: false, own_targets: &[] }
    }

    #[test]
    fn first_step_exists_only_on_longer_paths() {
        for (running, requested, expected) in [
            ("1.32.9", "1.34.1", Some("1.33.6")),
            ("1.32.9", "1.33.6", None),
            ("1.32.9", "1.36.0", None),
            ("1.33.9", "1.34.1", None),
        ] {
            assert_eq!(first_step(&start(running), &offered(), requested).as_deref(), expected, "{running}");
        }
    }

    #[test]
    fn newest_stable_version_needs_no_direct_upgrade() {
        for (running, expected) in
            [("1.32.7", Some("1.34.1")), ("1.34.1", None), ("1.33.9", None), ("1.31.1", Some("1.34.1"))]
        {
            assert_eq!(newest_stable(&start(running), &offered()).as_deref(), expected, "{running}");
        }
    }
}
