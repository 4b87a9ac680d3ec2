//! Kubernetes versions: whether they exist, how they may change, and skew between pools and the control plane. Changes are
//! compared with the running version and with Azure's upgrades ([`crate::upgrades`], as for aksUpgrades).

use super::azure::{Block, list};
use super::case::Case;
use super::pool::Pool;
use super::rule::{Faults, Rule, Scope};
use super::sources::{SUPPORTED, UPGRADE};
use crate::arm::KubernetesVersion;
use crate::upgrade_path;
use crate::upgrades::{self, Start};
use crate::versions::{self, Version, allowed_skew, canonical, is_official, is_preview, is_same, is_too_old};

pub(super) const RULES: &[Rule] = &[
    Rule::error("version-form", SUPPORTED, form),
    Rule::error("version-not-lowered", UPGRADE, not_lowered).about(Scope::Existing),
    Rule::error("version-one-minor", UPGRADE, one_minor).needs(&[Block::Versions]).about(Scope::Existing),
    Rule::error("pool-version-skew", UPGRADE, skew),
    Rule::error("pool-version-not-lowered", UPGRADE, pool_not_lowered).about(Scope::Existing),
    Rule::error("version-offered", SUPPORTED, offered).needs(&[Block::Versions]),
    Rule::error("version-reachable", UPGRADE, reachable).needs(&[Block::Versions]).about(Scope::Existing),
    Rule::error("pool-version-offered", SUPPORTED, pool_offered).needs(&[Block::Versions]),
    Rule::warning("version-preview", SUPPORTED, preview).needs(&[Block::Versions]),
];

const KEY: &str = "kubernetesVersion";

fn wanted<'a>(case: &'a Case<'_>) -> Option<&'a str> {
    case.spec.kubernetes_version.as_deref()
}

/// The desired and the running version, if they differ.
fn change<'a>(case: &'a Case<'_>) -> Option<(&'a str, &'a str)> {
    let (wanted, running) = (wanted(case)?, case.running()?);
    (!is_same(wanted, running)).then_some((wanted, running))
}

/// The parsed versions of a change; `None` if one is invalid.
fn parsed(change: (&str, &str)) -> Option<(Version, Version)> {
    Version::parse(change.0).zip(Version::parse(change.1))
}

/// Whether a version is the running one.
fn runs(running: Option<&str>, version: &str) -> bool {
    running.is_some_and(|running| is_same(version, running))
}

/// Whether the cluster's own upgrade profile is needed to check the control plane.
pub(super) fn needs_own_upgrades(case: &Case<'_>) -> bool {
    change(case).is_some()
        || case.running().filter(|_| case.versions_change()).is_some_and(|running| {
            let offered = case.azure.versions.known();
            offered.is_some_and(|offered| {
                upgrades::needs_own_targets(&canonical(running), case.long_term(), offered)
            })
        })
}

/// The start of an upgrade of the control plane.
fn start<'a>(case: &'a Case<'_>, running: &'a str) -> Start<'a> {
    Start { running, long_term: case.long_term(), own: &case.azure.own_upgrades }
}

/// Calls `call` with the start of an upgrade and the versions of the region.
fn with_start<T>(case: &Case<'_>, call: impl FnOnce(&Start<'_>, &[KubernetesVersion]) -> T) -> T {
    let running = case.running().map(canonical).unwrap_or_default();
    call(&start(case, &running), list(&case.azure.versions))
}

/// A remedy with only versions that are available to this cluster.
fn use_reachable(case: &Case<'_>) -> String {
    if case.running().is_none() {
        return format!("use {}", examples(list(&case.azure.versions)));
    }
    with_start(case, upgrades::use_reachable)
}

/// The remedy for a version that requires several upgrades: the first one of [`upgrade_path`].
fn upgrade_first(case: &Case<'_>, wanted: &str) -> Option<String> {
    let first = with_start(case, |start, offered| upgrade_path::first_step(start, offered, wanted))?;
    Some(format!("upgrade to {first} first"))
}

fn form(case: &Case<'_>, faults: &mut Faults) {
    let remedy = "write it as aksVersions lists it, for example 1.32.7";
    let is_invalid = |text: &&str| Version::parse(text).is_none();
    if let Some(text) = wanted(case).filter(is_invalid) {
        faults.add(KEY, format!("kubernetesVersion {text:?} is not a version of Kubernetes"), remedy);
    }
    for pool in case.pools() {
        if let Some(text) = pool.version().filter(is_invalid) {
            let name = pool.name();
            let message =
                format!("orchestratorVersion {text:?} of node pool {name} is not a version of Kubernetes");
            faults.add(pool.key("orchestratorVersion"), message, remedy);
        }
    }
}

fn not_lowered(case: &Case<'_>, faults: &mut Faults) {
    let Some((wanted, running)) = change(case) else { return };
    if parsed((wanted, running)).is_some_and(|(to, from)| to.is_lower_than(from)) {
        faults.add(
            KEY,
            upgrades::lowered(running, wanted),
            format!("leave it at {running}, or choose a higher version"),
        );
    }
}

/// The minor version after the running one, if the desired version skips it.
fn skipped(case: &Case<'_>) -> Option<String> {
    let (wanted, _) = change(case)?;
    with_start(case, |start, offered| upgrades::skipped_minor(start, offered, wanted))
}

fn one_minor(case: &Case<'_>, faults: &mut Faults) {
    let (Some(next), Some((wanted, running))) = (skipped(case), change(case)) else { return };
    let remedy = upgrade_first(case, wanted).unwrap_or_else(|| {
        let has_none = with_start(case, upgrades::reachable).is_empty();
        if has_none { format!("upgrade to {next} first") } else { use_reachable(case) }
    });
    faults.add(KEY, upgrades::skipping(running, wanted), remedy);
}

/// The future version of the control plane: the full running version if it does not change.
fn plane(case: &Case<'_>) -> Option<Version> {
    let wanted = wanted(case)?;
    Version::parse(case.running().filter(|running| is_same(wanted, running)).unwrap_or(wanted))
}

fn skew(case: &Case<'_>, faults: &mut Faults) {
    let Some((text, plane)) = wanted(case).zip(plane(case)) else { return };
    for pool in case.pools() {
        let Some(own) = pool.version() else { continue };
        let stays = pool.running().filter(|running| is_same(own, running));
        let Some(version) = Version::parse(stays.unwrap_or(own)) else { continue };
        let (problem, remedy) = if plane.is_lower_than(version) {
            let remedy = "upgrade the control plane first, or set orchestratorVersion to its version";
            ("is newer than", remedy.to_owned())
        } else if is_too_old(version, plane) {
            let allowed = allowed_skew(plane);
            let remedy = format!("upgrade the pool first: it may be at most {allowed} minor versions behind");
            ("is too far behind", remedy)
        } else {
            continue;
        };
        let name = pool.name();
        let message =
            format!("orchestratorVersion {own} of node pool {name} {problem} kubernetesVersion {text}");
        faults.add(pool.key("orchestratorVersion"), message, remedy);
    }
}

fn pool_not_lowered(case: &Case<'_>, faults: &mut Faults) {
    for pool in case.pools() {
        let Some((wanted, running)) = pool.version().zip(pool.running()) else { continue };
        if parsed((wanted, running)).is_some_and(|(to, from)| to.is_lower_than(from)) {
            let name = pool.name();
            let message =
                format!("orchestratorVersion of node pool {name} cannot go from {running} down to {wanted}");
            let remedy =
                format!("leave it at {running}, or choose a higher version up to that of the control plane");
            faults.add(pool.key("orchestratorVersion"), message, remedy);
        }
    }
}

/// The newest patch of each minor version for which `passes` returns true, newest first.
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

/// The newest patches that are available to any new cluster.
fn examples(offered: &[KubernetesVersion]) -> String {
    let newest = newest(offered, |minor, _| is_official(minor) && minor.is_preview != Some(true));
    if newest.is_empty() { "one that aksVersions lists".to_owned() } else { newest.join(", ") }
}

/// A remedy with only versions that are available to the pool.
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

/// The reason why a version is not available.
fn unavailable(case: &Case<'_>, text: &str) -> Option<String> {
    let why = with_start(case, |start, offered| upgrades::unavailable(start, offered, text))?;
    Some(why.describe(case.region(), case.current.is_some()))
}

fn offered(case: &Case<'_>, faults: &mut Faults) {
    let is_new = |text: &&str| !runs(case.running(), text) && Version::parse(text).is_some();
    let Some(text) = wanted(case).filter(is_new) else { return };
    if let Some(why) = unavailable(case, text) {
        faults.add(KEY, format!("kubernetesVersion {text} {why}"), use_reachable(case));
    }
}

fn reachable(case: &Case<'_>, faults: &mut Faults) {
    let Some((wanted, running)) = change(case) else { return };
    let is_unlisted = with_start(case, |start, offered| upgrades::is_unlisted(start, offered, wanted));
    // Another rule reports a skipped minor version.
    if is_unlisted && skipped(case).is_none() {
        let remedy = upgrade_first(case, wanted).unwrap_or_else(|| use_reachable(case));
        faults.add(KEY, upgrades::unlisted(running, wanted), remedy);
    }
}

fn pool_offered(case: &Case<'_>, faults: &mut Faults) {
    let plane = [wanted(case), case.running()].map(|version| version.map(canonical));
    for pool in case.pools() {
        let Some(text) = pool.version().filter(|text| Version::parse(text).is_some()) else { continue };
        if runs(pool.running(), text) || plane.contains(&Some(canonical(text))) {
            continue;
        }
        if let Some(why) = unavailable(case, text) {
            let message = format!("orchestratorVersion {text} of node pool {} {why}", pool.name());
            faults.add(pool.key("orchestratorVersion"), message, use_pool_versions(case, &pool));
        }
    }
}

fn preview(case: &Case<'_>, faults: &mut Faults) {
    let Some(text) = wanted(case).filter(|text| !runs(case.running(), text)) else { return };
    if is_preview(list(&case.azure.versions), text) {
        faults.add(KEY, upgrades::preview(text, case.region()), use_reachable(case));
    }
}
