//! Kubernetes versions: that they exist, which way they may change, and pools against the control plane. What counts is the
//! version that runs, and where Azure upgrades it to (`domain::upgrades`, as for aksUpgrades).

use super::azure::{Block, list};
use super::case::Case;
use super::pool::Pool;
use super::rule::{Fault, Rule, Scope};
use crate::arm::KubernetesVersion;
use crate::spec::given;
use crate::upgrades::{self, Start};
use crate::versions::{self, Version, canonical, is_official, is_same};

const SUPPORTED: &str = "Azure: Supported Kubernetes versions in AKS, \
    https://learn.microsoft.com/azure/aks/supported-kubernetes-versions";
const UPGRADE: &str = "Azure: Upgrade the AKS control plane, Kubernetes version upgrade rules, \
    https://learn.microsoft.com/azure/aks/upgrade-aks-control-plane";
const POOLS: &str = "Azure: Upgrade the AKS control plane, Kubernetes version upgrade rules, \
    https://learn.microsoft.com/azure/aks/upgrade-aks-control-plane";

pub(super) const RULES: &[Rule] = &[
    Rule::error("version-form", SUPPORTED, form),
    Rule::error("version-not-lowered", UPGRADE, not_lowered).about(Scope::Existing),
    Rule::error("version-one-minor", UPGRADE, one_minor).needs(&[Block::Versions]).about(Scope::Existing),
    Rule::error("pool-version-skew", POOLS, skew),
    Rule::error("pool-version-not-lowered", POOLS, pool_not_lowered).about(Scope::Existing),
    Rule::error("version-offered", SUPPORTED, offered).needs(&[Block::Versions]),
    Rule::error("version-reachable", UPGRADE, reachable).needs(&[Block::Versions]).about(Scope::Existing),
    Rule::error("pool-version-offered", SUPPORTED, pool_offered).needs(&[Block::Versions]),
    Rule::error("version-preview", SUPPORTED, preview).needs(&[Block::Versions]).warning(),
];

const FIELD: &str = "aksConfig.kubernetesVersion";

fn wanted<'a>(case: &'a Case<'_>) -> Option<&'a str> {
    given(case.spec.kubernetes_version.as_ref())
}

/// Wanted and running version, when the one is to become the other.
fn change<'a>(case: &'a Case<'_>) -> Option<(&'a str, &'a str)> {
    let (wanted, running) = (wanted(case)?, case.running()?);
    (!is_same(wanted, running)).then_some((wanted, running))
}

/// The same, read; `None` for texts that are no versions.
fn parsed(change: (&str, &str)) -> Option<(Version, Version)> {
    Version::parse(change.0).zip(Version::parse(change.1))
}

fn start<'a>(case: &'a Case<'_>, running: &'a str) -> Start<'a> {
    Start { running, long_term: case.long_term(), own: &case.azure.own_upgrades }
}

/// Whether the list of the region does not say where the cluster can go.
pub(super) fn needs_own_upgrades(case: &Case<'_>) -> bool {
    let Some(running) = case.running().filter(|_| case.versions_change()) else { return false };
    let offered = case.azure.versions.known();
    offered.is_some_and(|offered| upgrades::needs_own_targets(&canonical(running), case.long_term(), offered))
}

/// The versions that the cluster can be upgraded to, ascending.
fn targets(case: &Case<'_>) -> Vec<String> {
    let running = case.running().map(canonical).unwrap_or_default();
    upgrades::reachable(&start(case, &running), list(&case.azure.versions))
}

/// Whether Azure says where a cluster of the running version can go; of a retired version only its own profile may.
fn has_targets(case: &Case<'_>) -> bool {
    let running = case.running().map(canonical).unwrap_or_default();
    let listed = list(&case.azure.versions).iter().any(|minor| minor.patch_versions.contains_key(&running));
    listed || !case.azure.own_upgrades.is_empty()
}

/// Whether `wanted` is among the targets, itself or, as a minor version alone, by one of its patches.
fn is_target(targets: &[String], wanted: &str) -> bool {
    targets.iter().any(|target| is_same(target, wanted))
}

/// A remedy that names only what this cluster can become.
fn use_reachable(case: &Case<'_>) -> String {
    let Some(running) = case.running() else {
        return format!("use {}", examples(list(&case.azure.versions)));
    };
    let offered = list(&case.azure.versions);
    let is_preview = |version: &String| {
        versions::find(offered, version).is_some_and(|minor| minor.is_preview == Some(true))
    };
    let all = targets(case);
    let stable: Vec<String> = all.iter().filter(|version| !is_preview(version)).cloned().collect();
    let named = if stable.is_empty() { all } else { stable };
    if named.is_empty() {
        return format!("leave it at {running}, from which Azure offers no upgrade at the moment");
    }
    format!("use one of {}", named.join(", "))
}

fn form(case: &Case<'_>) -> Vec<Fault> {
    let remedy = "write it as aksVersions lists it, for example 1.32.7";
    let cluster = wanted(case).filter(|text| Version::parse(text).is_none()).map(|text| {
        Fault::new(FIELD, format!("kubernetesVersion {text:?} is no version of Kubernetes"), remedy)
    });
    let pools = case.pools();
    let wrong = pools.iter().filter_map(|pool| {
        let text = pool.version().filter(|text| Version::parse(text).is_none())?;
        let message =
            format!("orchestratorVersion {text:?} of node pool {} is no version of Kubernetes", pool.name());
        Some(Fault::new(pool.field("orchestratorVersion"), message, remedy))
    });
    cluster.into_iter().chain(wrong).collect()
}

fn not_lowered(case: &Case<'_>) -> Vec<Fault> {
    let Some((wanted, running)) = change(case) else { return Vec::new() };
    if !parsed((wanted, running)).is_some_and(|(to, from)| to.is_lower_than(from)) {
        return Vec::new();
    }
    vec![Fault::new(
        FIELD,
        format!("kubernetesVersion cannot go from {running} down to {wanted}"),
        format!("leave it at {running}, or choose a higher version"),
    )]
}

fn one_minor(case: &Case<'_>) -> Vec<Fault> {
    let Some((wanted, running)) = change(case) else { return Vec::new() };
    let Some((to, from)) = parsed((wanted, running)) else { return Vec::new() };
    let next = from.minor.saturating_add(1);
    let skips = to.major == from.major && to.minor > next;
    // With long-term support, and from versions that are retired, Azure names targets further away.
    if !skips || is_target(&targets(case), wanted) {
        return Vec::new();
    }
    let remedy = if targets(case).is_empty() {
        format!("upgrade to {}.{next} first", from.major)
    } else {
        use_reachable(case)
    };
    let message = format!(
        "kubernetesVersion cannot go from {running} to {wanted} at once, because minor versions cannot be skipped"
    );
    vec![Fault::new(FIELD, message, remedy)]
}

/// The version that the control plane will have: its full version where it stays.
fn plane(case: &Case<'_>) -> Option<Version> {
    let wanted = wanted(case)?;
    let stays = case.running().filter(|running| is_same(wanted, running));
    Version::parse(stays.unwrap_or(wanted))
}

/// By how many minor versions nodes may be behind the control plane.
fn allowed_skew(plane: Version) -> u32 {
    if plane.minor >= 28 { 3 } else { 2 }
}

fn is_too_old(pool: Version, plane: Version) -> bool {
    pool.major == plane.major && pool.minor.saturating_add(allowed_skew(plane)) < plane.minor
}

fn skew(case: &Case<'_>) -> Vec<Fault> {
    let Some((text, plane)) = wanted(case).zip(plane(case)) else { return Vec::new() };
    let pools = case.pools();
    let apart = pools.iter().filter_map(|pool| {
        let own = pool.version()?;
        let stays = pool.running().filter(|running| is_same(own, running));
        let version = Version::parse(stays.unwrap_or(own))?;
        let (problem, remedy) = if plane.is_lower_than(version) {
            (
                "is newer than",
                "upgrade the control plane first, or set orchestratorVersion to its version".to_owned(),
            )
        } else if is_too_old(version, plane) {
            let allowed = allowed_skew(plane);
            let remedy = format!("upgrade the pool first: it may be at most {allowed} minor versions behind");
            ("is too far behind", remedy)
        } else {
            return None;
        };
        let message = format!(
            "orchestratorVersion {own} of node pool {} {problem} kubernetesVersion {text}",
            pool.name()
        );
        Some(Fault::new(pool.field("orchestratorVersion"), message, remedy))
    });
    apart.collect()
}

fn pool_not_lowered(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    let lowered = pools.iter().filter_map(|pool| {
        let (wanted, running) = (pool.version()?, pool.running()?);
        Version::parse(wanted)?.is_lower_than(Version::parse(running)?).then(|| {
            let message = format!(
                "orchestratorVersion of node pool {} cannot go from {running} down to {wanted}",
                pool.name()
            );
            Fault::new(
                pool.field("orchestratorVersion"),
                message,
                format!("leave it at {running}, or choose a higher version up to that of the control plane"),
            )
        })
    });
    lowered.collect()
}

/// The newest patch of each minor version that passes, newest first.
fn newest(offered: &[KubernetesVersion], passes: impl Fn(&KubernetesVersion, &str) -> bool) -> Vec<String> {
    let newest = |minor: &KubernetesVersion| {
        let patches = minor.patch_versions.keys().filter(|patch| passes(minor, patch));
        let mut patches: Vec<String> = patches.cloned().collect();
        versions::sort(&mut patches);
        patches.pop()
    };
    let mut newest: Vec<String> = offered.iter().filter_map(newest).collect();
    versions::sort(&mut newest);
    newest.reverse();
    newest
}

/// The newest patches that every new cluster may have.
fn examples(offered: &[KubernetesVersion]) -> String {
    let newest = newest(offered, |minor, _| is_official(minor) && minor.is_preview != Some(true));
    if newest.is_empty() { "one that aksVersions lists".to_owned() } else { newest.join(", ") }
}

/// A remedy that names only versions that the pool can have in this cluster.
fn use_pool_versions(case: &Case<'_>, pool: &Pool<'_>) -> String {
    let plane = plane(case);
    let running = pool.running().and_then(Version::parse);
    let fits = |minor: &KubernetesVersion, patch: &str| {
        let Some(version) = Version::parse(patch) else { return false };
        let bounded = plane.is_none_or(|plane| !plane.is_lower_than(version) && !is_too_old(version, plane));
        let higher = running.is_none_or(|running| !version.is_lower_than(running));
        let stable = minor.is_preview != Some(true);
        (is_official(minor) || case.long_term()) && stable && bounded && higher
    };
    let newest = newest(list(&case.azure.versions), fits);
    if newest.is_empty() {
        return "leave orchestratorVersion out: the pool then has the version of the control plane"
            .to_owned();
    }
    format!("use {}", newest.join(", "))
}

/// Why a version cannot be had.
fn refusal(case: &Case<'_>, text: &str) -> Option<String> {
    let region = case.region();
    match versions::find(list(&case.azure.versions), text) {
        _ if is_target(&case.azure.own_upgrades, text) => None,
        None => Some(format!("is not offered in {region}")),
        Some(minor) if !is_official(minor) && !case.long_term() => {
            let why = if case.current.is_some() {
                "which the cluster does not have"
            } else {
                "which is not managed here"
            };
            Some(format!("is offered in {region} only with long-term support, {why}"))
        }
        Some(_) => None,
    }
}

fn offered(case: &Case<'_>) -> Vec<Fault> {
    let runs = |text: &str| case.running().is_some_and(|running| is_same(text, running));
    let Some(text) = wanted(case).filter(|text| !runs(text) && Version::parse(text).is_some()) else {
        return Vec::new();
    };
    let fault = refusal(case, text)
        .map(|why| Fault::new(FIELD, format!("kubernetesVersion {text} {why}"), use_reachable(case)));
    fault.into_iter().collect()
}

fn reachable(case: &Case<'_>) -> Vec<Fault> {
    let Some((wanted, running)) = change(case).filter(|_| has_targets(case)) else { return Vec::new() };
    let higher = parsed((wanted, running)).is_some_and(|(to, from)| !to.is_lower_than(from));
    // A skipped minor version is reported by its own rule.
    if !higher || is_target(&targets(case), wanted) || !one_minor(case).is_empty() {
        return Vec::new();
    }
    let message = format!(
        "kubernetesVersion cannot go from {running} to {wanted}, which is no upgrade that Azure offers"
    );
    vec![Fault::new(FIELD, message, use_reachable(case))]
}

fn pool_offered(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    let plane = [wanted(case), case.running()].map(|version| version.map(canonical));
    let unknown = pools.iter().filter_map(|pool| {
        let text = pool.version().filter(|text| Version::parse(text).is_some())?;
        let runs = pool.running().is_some_and(|running| is_same(text, running));
        if runs || plane.contains(&Some(canonical(text))) {
            return None;
        }
        let why = refusal(case, text)?;
        let message = format!("orchestratorVersion {text} of node pool {} {why}", pool.name());
        Some(Fault::new(pool.field("orchestratorVersion"), message, use_pool_versions(case, pool)))
    });
    unknown.collect()
}

fn preview(case: &Case<'_>) -> Vec<Fault> {
    let runs = |text: &str| case.running().is_some_and(|running| is_same(text, running));
    let Some(text) = wanted(case).filter(|text| !runs(text)) else { return Vec::new() };
    match versions::find(list(&case.azure.versions), text) {
        Some(minor) if minor.is_preview == Some(true) => vec![Fault::new(
            FIELD,
            format!(
                "kubernetesVersion {text} is a preview in {}, for which Azure gives no support",
                case.region()
            ),
            use_reachable(case),
        )],
        _ => Vec::new(),
    }
}
