//! Kubernetes versions: whether they exist, how they may change, and skew between pools and the control plane. Changes are
//! compared with the running version and with the available upgrades, as determined by [`crate::upgrades`], which aksUpgrades
//! uses too.

use super::azure::{DataPart, items_or_empty};
use super::input::RuleInput;
use super::pool::Pool;
use super::rule::{FieldFindings, Rule, Scope};
use super::sources::{SUPPORTED_DOC, UPGRADE_DOC};
use crate::arm::KubernetesVersion;
use crate::upgrade_path;
use crate::upgrades::{self, UpgradeStart};
use crate::versions::{self, Version, allowed_skew, canonical, is_official, is_preview, is_same, is_too_old};

pub(super) const RULES: &[Rule] = &[
    Rule::error("version-form", SUPPORTED_DOC, version_format),
    Rule::error("version-not-lowered", UPGRADE_DOC, version_not_lowered).scope(Scope::Existing),
    Rule::error("version-one-minor", UPGRADE_DOC, no_minor_skipped)
        .needs(&[DataPart::Versions])
        .scope(Scope::Existing),
    Rule::error("pool-version-skew", UPGRADE_DOC, pool_version_skew),
    Rule::error("pool-version-not-lowered", UPGRADE_DOC, pool_version_not_lowered).scope(Scope::Existing),
    Rule::error("version-offered", SUPPORTED_DOC, version_offered).needs(&[DataPart::Versions]),
    Rule::error("version-reachable", UPGRADE_DOC, version_reachable)
        .needs(&[DataPart::Versions])
        .scope(Scope::Existing),
    Rule::error("pool-version-offered", SUPPORTED_DOC, pool_version_offered).needs(&[DataPart::Versions]),
    Rule::warning("version-preview", SUPPORTED_DOC, version_preview).needs(&[DataPart::Versions]),
];

const KEY: &str = "kubernetesVersion";

fn desired_version<'a>(input: &'a RuleInput<'_>) -> Option<&'a str> {
    input.spec.kubernetes_version.as_deref()
}

/// The desired and the running version, if they differ.
fn version_change<'a>(input: &'a RuleInput<'_>) -> Option<(&'a str, &'a str)> {
    let (desired, running) = (desired_version(input)?, input.running_version()?);
    (!is_same(desired, running)).then_some((desired, running))
}

/// Parses the versions of a change; `None` if one is invalid.
fn parse_change(change: (&str, &str)) -> Option<(Version, Version)> {
    Version::parse(change.0).zip(Version::parse(change.1))
}

/// Whether a version is the running one.
fn is_running(running: Option<&str>, version: &str) -> bool {
    running.is_some_and(|running| is_same(version, running))
}

/// Whether the cluster's own upgrade profile is needed: the control plane's version changes, or a pool's version changes and
/// the profile may differ from the region's list ([`upgrades::needs_own_targets`]).
pub(super) fn needs_own_targets(input: &RuleInput<'_>) -> bool {
    version_change(input).is_some()
        || input.running_version().filter(|_| input.has_version_change()).is_some_and(|running| {
            let offered = input.azure.versions.known();
            offered.is_some_and(|offered| {
                upgrades::needs_own_targets(&canonical(running), input.long_term(), offered)
            })
        })
}

/// The start of an upgrade: the current state of the control plane.
fn upgrade_start<'a>(input: &'a RuleInput<'_>, running: &'a str) -> UpgradeStart<'a> {
    UpgradeStart { running, long_term: input.long_term(), own_targets: &input.azure.own_targets }
}

/// Evaluates a function of the upgrade start and the versions of the region. The running version of a new cluster is empty.
fn with_upgrade_start<T>(
    input: &RuleInput<'_>,
    evaluate: impl FnOnce(&UpgradeStart<'_>, &[KubernetesVersion]) -> T,
) -> T {
    let running = input.running_version().map(canonical).unwrap_or_default();
    evaluate(&upgrade_start(input, &running), items_or_empty(&input.azure.versions))
}

/// A remedy that names only versions that are reachable in one step; for a new cluster, those that the region offers.
fn reachable_remedy(input: &RuleInput<'_>) -> String {
    if input.running_version().is_none() {
        return format!("use {}", example_versions(items_or_empty(&input.azure.versions)));
    }
    with_upgrade_start(input, upgrades::reachable_remedy)
}

/// The remedy for a version that requires several upgrades: the first upgrade on the path ([`upgrade_path`]).
fn first_upgrade_remedy(input: &RuleInput<'_>, desired: &str) -> Option<String> {
    let first =
        with_upgrade_start(input, |start, offered| upgrade_path::first_step(start, offered, desired))?;
    Some(format!("upgrade to {first} first"))
}

fn version_format(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let remedy = "write it as aksVersions lists it, for example 1.32.7";
    let is_invalid = |text: &&str| Version::parse(text).is_none();
    if let Some(text) = desired_version(input).filter(is_invalid) {
        findings.add(KEY, format!("kubernetesVersion {text:?} is not a version of Kubernetes"), remedy);
    }
    for pool in input.pools() {
        if let Some(text) = pool.version().filter(is_invalid) {
            let name = pool.name();
            let message =
                format!("orchestratorVersion {text:?} of node pool {name} is not a version of Kubernetes");
            findings.add(pool.key("orchestratorVersion"), message, remedy);
        }
    }
}

fn version_not_lowered(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let Some((desired, running)) = version_change(input) else { return };
    if parse_change((desired, running)).is_some_and(|(to, from)| to.is_lower_than(from)) {
        findings.add(
            KEY,
            upgrades::downgrade_message(running, desired),
            format!("leave it at {running}, or choose a higher version"),
        );
    }
}

/// The minor version after the running one, if the desired version skips it and Azure does not list that upgrade.
fn skipped_minor(input: &RuleInput<'_>) -> Option<String> {
    let (desired, _) = version_change(input)?;
    with_upgrade_start(input, |start, offered| upgrades::skipped_minor(start, offered, desired))
}

fn no_minor_skipped(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let (Some(next), Some((desired, running))) = (skipped_minor(input), version_change(input)) else {
        return;
    };
    let remedy = first_upgrade_remedy(input, desired).unwrap_or_else(|| {
        let has_no_target = with_upgrade_start(input, upgrades::reachable).is_empty();
        if has_no_target { format!("upgrade to {next} first") } else { reachable_remedy(input) }
    });
    findings.add(KEY, upgrades::skipped_minor_message(running, desired), remedy);
}

/// The version of the control plane after the change. If the desired version matches the running one, returns the running one,
/// because it includes the patch.
fn control_plane_version(input: &RuleInput<'_>) -> Option<Version> {
    let desired = desired_version(input)?;
    Version::parse(input.running_version().filter(|running| is_same(desired, running)).unwrap_or(desired))
}

fn pool_version_skew(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let Some((desired, control_plane)) = desired_version(input).zip(control_plane_version(input)) else {
        return;
    };
    for pool in input.pools() {
        let Some(pool_version) = pool.version() else { continue };
        let full_running_version = pool.running_version().filter(|running| is_same(pool_version, running));
        let Some(version) = Version::parse(full_running_version.unwrap_or(pool_version)) else { continue };
        let (problem, remedy) = if control_plane.is_lower_than(version) {
            let remedy = "upgrade the control plane first, or set orchestratorVersion to its version";
            ("is newer than", remedy.to_owned())
        } else if is_too_old(version, control_plane) {
            let allowed = allowed_skew(control_plane);
            let remedy = format!("upgrade the pool first: it may be at most {allowed} minor versions behind");
            ("is too far behind", remedy)
        } else {
            continue;
        };
        let name = pool.name();
        let message = format!(
            "orchestratorVersion {pool_version} of node pool {name} {problem} kubernetesVersion {desired}"
        );
        findings.add(pool.key("orchestratorVersion"), message, remedy);
    }
}

fn pool_version_not_lowered(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for pool in input.pools() {
        let Some((desired, running)) = pool.version().zip(pool.running_version()) else { continue };
        if parse_change((desired, running)).is_some_and(|(to, from)| to.is_lower_than(from)) {
            let name = pool.name();
            let message = format!(
                "orchestratorVersion of node pool {name} cannot be downgraded from {running} to {desired}"
            );
            let remedy =
                format!("leave it at {running}, or choose a higher version up to that of the control plane");
            findings.add(pool.key("orchestratorVersion"), message, remedy);
        }
    }
}

/// The newest patch of each minor version that `is_allowed` accepts, newest first.
fn newest_patches(
    offered: &[KubernetesVersion],
    is_allowed: impl Fn(&KubernetesVersion, &str) -> bool,
) -> Vec<String> {
    let newest_patch = |minor: &KubernetesVersion| {
        let patches = minor.patch_versions.keys().filter(|patch| is_allowed(minor, patch));
        let mut patches: Vec<String> = patches.cloned().collect();
        versions::sort(&mut patches);
        patches.pop()
    };
    let mut newest: Vec<String> = offered.iter().filter_map(newest_patch).collect();
    versions::sort(&mut newest);
    newest.reverse();
    newest
}

/// The newest patches that are available to any new cluster.
fn example_versions(offered: &[KubernetesVersion]) -> String {
    let newest = newest_patches(offered, |minor, _| is_official(minor) && minor.is_preview != Some(true));
    if newest.is_empty() { "one that aksVersions lists".to_owned() } else { newest.join(", ") }
}

/// A remedy with only versions that are available to the pool.
fn pool_version_remedy(input: &RuleInput<'_>, pool: &Pool<'_>) -> String {
    let control_plane = control_plane_version(input);
    let running = pool.running_version().and_then(Version::parse);
    let is_allowed = |minor: &KubernetesVersion, patch: &str| {
        let Some(version) = Version::parse(patch) else { return false };
        let is_within_skew = control_plane.is_none_or(|control_plane| {
            !control_plane.is_lower_than(version) && !is_too_old(version, control_plane)
        });
        let is_not_lower = running.is_none_or(|running| !version.is_lower_than(running));
        let is_stable = minor.is_preview != Some(true);
        (is_official(minor) || input.long_term()) && is_stable && is_within_skew && is_not_lower
    };
    let newest = newest_patches(items_or_empty(&input.azure.versions), is_allowed);
    if newest.is_empty() {
        return "leave orchestratorVersion out: the pool then has the version of the control plane"
            .to_owned();
    }
    format!("use {}", newest.join(", "))
}

/// The reason why a version is not available.
fn unavailable_reason(input: &RuleInput<'_>, version: &str) -> Option<String> {
    let reason = with_upgrade_start(input, |start, offered| upgrades::unavailable(start, offered, version))?;
    Some(reason.describe(input.region(), input.current.is_some()))
}

fn version_offered(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let is_valid_change =
        |desired: &&str| !is_running(input.running_version(), desired) && Version::parse(desired).is_some();
    let Some(desired) = desired_version(input).filter(is_valid_change) else { return };
    if let Some(reason) = unavailable_reason(input, desired) {
        findings.add(KEY, format!("kubernetesVersion {desired} {reason}"), reachable_remedy(input));
    }
}

fn version_reachable(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let Some((desired, running)) = version_change(input) else { return };
    let is_unreachable =
        with_upgrade_start(input, |start, offered| upgrades::is_unreachable(start, offered, desired));
    // Another rule reports a skipped minor version.
    if is_unreachable && skipped_minor(input).is_none() {
        let remedy = first_upgrade_remedy(input, desired).unwrap_or_else(|| reachable_remedy(input));
        findings.add(KEY, upgrades::unreachable_message(running, desired), remedy);
    }
}

fn pool_version_offered(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let control_plane_versions =
        [desired_version(input), input.running_version()].map(|version| version.map(canonical));
    for pool in input.pools() {
        let Some(desired) = pool.version().filter(|desired| Version::parse(desired).is_some()) else {
            continue;
        };
        if is_running(pool.running_version(), desired)
            || control_plane_versions.contains(&Some(canonical(desired)))
        {
            continue;
        }
        if let Some(reason) = unavailable_reason(input, desired) {
            let message = format!("orchestratorVersion {desired} of node pool {} {reason}", pool.name());
            findings.add(pool.key("orchestratorVersion"), message, pool_version_remedy(input, &pool));
        }
    }
}

fn version_preview(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let Some(desired) =
        desired_version(input).filter(|desired| !is_running(input.running_version(), desired))
    else {
        return;
    };
    if is_preview(items_or_empty(&input.azure.versions), desired) {
        findings.add(KEY, upgrades::preview_message(desired, input.region()), reachable_remedy(input));
    }
}
