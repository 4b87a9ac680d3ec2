//! Kubernetes versions: that they exist, which way they may change, and pools against the control plane.

use super::azure::{Block, list};
use super::case::{Case, Pool};
use super::rule::{Fault, Rule, Scope};
use crate::domain::arm::KubernetesVersion;
use crate::domain::spec::given;
use crate::domain::versions;

const SUPPORTED: &str = "Azure: Supported Kubernetes versions in AKS, \
    https://learn.microsoft.com/azure/aks/supported-kubernetes-versions";
const UPGRADE: &str =
    "Azure: Upgrade an AKS cluster, https://learn.microsoft.com/azure/aks/upgrade-aks-cluster";
const POOLS: &str = "Azure: Upgrade node pools, validation rules for upgrades, \
    https://learn.microsoft.com/azure/aks/manage-node-pools";

pub(super) const RULES: &[Rule] = &[
    Rule::error("version-form", SUPPORTED, form),
    Rule::error("version-not-lowered", UPGRADE, not_lowered).about(Scope::Existing),
    Rule::error("version-one-minor", UPGRADE, one_minor).about(Scope::Existing),
    Rule::error("pool-version-skew", POOLS, skew),
    Rule::error("pool-version-not-lowered", POOLS, pool_not_lowered).about(Scope::Existing),
    Rule::error("version-offered", SUPPORTED, offered).needs(&[Block::Versions]),
    Rule::error("version-reachable", UPGRADE, reachable).needs(&[Block::Versions]).about(Scope::Existing),
    Rule::error("pool-version-offered", SUPPORTED, pool_offered).needs(&[Block::Versions]),
    Rule::error("version-preview", SUPPORTED, preview).needs(&[Block::Versions]).warning(),
];

/// `1.32.7`, or `1.32` for its newest patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    major: u32,
    minor: u32,
    patch: Option<u32>,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let numbers: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
        match numbers?.as_slice() {
            [major, minor] => Some(Self { major: *major, minor: *minor, patch: None }),
            [major, minor, patch] => Some(Self { major: *major, minor: *minor, patch: Some(*patch) }),
            _ => None,
        }
    }

    /// Whether it is certainly lower; without a patch only the minor counts.
    fn is_lower_than(self, other: Self) -> bool {
        let minors = (self.major, self.minor).cmp(&(other.major, other.minor));
        let patches = self.patch.zip(other.patch).is_some_and(|(this, that)| this < that);
        minors.then(if patches { std::cmp::Ordering::Less } else { std::cmp::Ordering::Equal }).is_lt()
    }
}

fn wanted<'a>(case: &'a Case<'_>) -> Option<&'a str> {
    given(case.spec.kubernetes_version.as_ref())
}

/// The version of the cluster in Azure.
fn current<'a>(case: &Case<'a>) -> Option<&'a str> {
    case.current.and_then(|it| given(it.kubernetes_version.as_ref()))
}

fn pool_version<'a>(pool: &'a Pool<'_>) -> Option<&'a str> {
    given(pool.wanted.orchestrator_version.as_ref())
}

/// Wanted and current version, when the one is to become the other.
fn change<'a>(case: &'a Case<'_>) -> Option<(&'a str, &'a str)> {
    let (wanted, current) = (wanted(case)?, current(case)?);
    (wanted != current).then_some((wanted, current))
}

const FIELD: &str = "aksConfig.kubernetesVersion";

fn form(case: &Case<'_>) -> Vec<Fault> {
    let remedy = "write it as aksVersions lists it, for example 1.32.7";
    let cluster = wanted(case).filter(|text| Version::parse(text).is_none()).map(|text| {
        Fault::new(FIELD, format!("kubernetesVersion {text:?} is no version of Kubernetes"), remedy)
    });
    let pools = case.pools();
    let wrong = pools.iter().filter_map(|pool| {
        let text = pool_version(pool).filter(|text| Version::parse(text).is_none())?;
        let message =
            format!("orchestratorVersion {text:?} of node pool {} is no version of Kubernetes", pool.name());
        Some(Fault::new(pool.field("orchestratorVersion"), message, remedy))
    });
    cluster.into_iter().chain(wrong).collect()
}

fn not_lowered(case: &Case<'_>) -> Vec<Fault> {
    let Some((wanted, current)) = change(case) else { return Vec::new() };
    let (Some(to), Some(from)) = (Version::parse(wanted), Version::parse(current)) else { return Vec::new() };
    if !to.is_lower_than(from) {
        return Vec::new();
    }
    vec![Fault::new(
        FIELD,
        format!("kubernetesVersion cannot go from {current} down to {wanted}"),
        format!("leave it at {current}, or choose a higher version"),
    )]
}

/// The targets that Azure names for a version; `None` where it does not list the version.
fn targets<'a>(offered: &'a [KubernetesVersion], version: &str) -> Option<&'a [String]> {
    offered.iter().find_map(|minor| minor.patch_versions.get(version)).map(|patch| patch.upgrades.as_slice())
}

/// Whether `wanted` is among the targets, itself or, without a patch, by its minor.
fn is_target(targets: &[String], wanted: &str) -> bool {
    let minor = format!("{wanted}.");
    let alone = Version::parse(wanted).is_some_and(|version| version.patch.is_none());
    targets.iter().any(|target| target == wanted || (alone && target.starts_with(&minor)))
}

fn one_minor(case: &Case<'_>) -> Vec<Fault> {
    let Some((wanted, current)) = change(case) else { return Vec::new() };
    let (Some(to), Some(from)) = (Version::parse(wanted), Version::parse(current)) else { return Vec::new() };
    // With long-term support Azure names targets further away.
    let named =
        targets(list(&case.azure.versions), current).is_some_and(|targets| is_target(targets, wanted));
    if named || to.major < from.major || (to.major == from.major && to.minor <= from.minor.saturating_add(1))
    {
        return Vec::new();
    }
    vec![Fault::new(
        FIELD,
        format!(
            "kubernetesVersion cannot go from {current} to {wanted} at once, because minor versions cannot be skipped"
        ),
        format!("upgrade to {}.{} first", from.major, from.minor.saturating_add(1)),
    )]
}

fn skew(case: &Case<'_>) -> Vec<Fault> {
    let Some((text, plane)) = wanted(case).and_then(|text| Some((text, Version::parse(text)?))) else {
        return Vec::new();
    };
    // From 1.28 on nodes may be three minor versions behind.
    let allowed = if plane.minor >= 28 { 3 } else { 2 };
    let pools = case.pools();
    let apart = pools.iter().filter_map(|pool| {
        let own = pool_version(pool)?;
        let version = Version::parse(own)?;
        let (problem, remedy) = if plane.is_lower_than(version) {
            (
                "is newer than",
                "upgrade the control plane first, or set orchestratorVersion to its version".to_owned(),
            )
        } else if version.major == plane.major && version.minor.saturating_add(allowed) < plane.minor {
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
        let wanted = pool_version(pool)?;
        let current = given(pool.current?.orchestrator_version.as_ref())?;
        Version::parse(wanted)?.is_lower_than(Version::parse(current)?).then(|| {
            let message = format!(
                "orchestratorVersion of node pool {} cannot go from {current} down to {wanted}",
                pool.name()
            );
            Fault::new(
                pool.field("orchestratorVersion"),
                message,
                format!("leave it at {current}, or choose a higher version"),
            )
        })
    });
    lowered.collect()
}

/// What Azure says about a version.
enum Offer<'a> {
    /// The minor version that it belongs to.
    Of(&'a KubernetesVersion),
    Unknown,
}

fn find<'a>(offered: &'a [KubernetesVersion], text: &str) -> Offer<'a> {
    let found = offered
        .iter()
        .find(|minor| minor.patch_versions.contains_key(text) || minor.version.as_deref() == Some(text));
    found.map_or(Offer::Unknown, Offer::Of)
}

fn is_official(minor: &KubernetesVersion) -> bool {
    let plans = minor.capabilities.iter().flat_map(|it| &it.support_plan);
    plans.into_iter().any(|plan| plan == "KubernetesOfficial")
}

/// The newest patches that everybody may have, newest first.
fn examples(offered: &[KubernetesVersion]) -> String {
    let newest = |minor: &KubernetesVersion| {
        let mut patches: Vec<String> = minor.patch_versions.keys().cloned().collect();
        versions::sort(&mut patches);
        patches.pop()
    };
    let official = offered.iter().filter(|minor| is_official(minor) && minor.is_preview != Some(true));
    let mut newest: Vec<String> = official.filter_map(newest).collect();
    versions::sort(&mut newest);
    newest.reverse();
    if newest.is_empty() { "one that aksVersions lists".to_owned() } else { newest.join(", ") }
}

/// Why a version cannot be had.
fn refusal(case: &Case<'_>, text: &str) -> Option<String> {
    match find(list(&case.azure.versions), text) {
        Offer::Unknown => Some(format!("is not offered in {}", case.region())),
        Offer::Of(minor) if !is_official(minor) => Some(format!(
            "is offered in {} only with long-term support, which is not managed here",
            case.region()
        )),
        Offer::Of(_) => None,
    }
}

fn offered(case: &Case<'_>) -> Vec<Fault> {
    let Some(text) =
        wanted(case).filter(|text| current(case) != Some(*text) && Version::parse(text).is_some())
    else {
        return Vec::new();
    };
    let fault = refusal(case, text).map(|why| {
        let remedy = format!("use {}", examples(list(&case.azure.versions)));
        Fault::new(FIELD, format!("kubernetesVersion {text} {why}"), remedy)
    });
    fault.into_iter().collect()
}

fn reachable(case: &Case<'_>) -> Vec<Fault> {
    let Some((wanted, current)) = change(case) else { return Vec::new() };
    let Some(targets) = targets(list(&case.azure.versions), current) else { return Vec::new() };
    let higher = Version::parse(wanted)
        .zip(Version::parse(current))
        .is_some_and(|(to, from)| from.is_lower_than(to) || (to.major, to.minor) > (from.major, from.minor));
    if !higher || is_target(targets, wanted) {
        return Vec::new();
    }
    let mut names = targets.to_vec();
    versions::sort(&mut names);
    let remedy = if names.is_empty() {
        "Azure names none at the moment".to_owned()
    } else {
        format!("choose one of {}", names.join(", "))
    };
    vec![Fault::new(
        FIELD,
        format!(
            "kubernetesVersion cannot go from {current} to {wanted}, which is no upgrade that Azure offers"
        ),
        remedy,
    )]
}

fn pool_offered(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    let plane = [wanted(case), current(case)];
    let unknown = pools.iter().filter_map(|pool| {
        let text = pool_version(pool).filter(|text| Version::parse(text).is_some())?;
        let has = pool.current.and_then(|it| given(it.orchestrator_version.as_ref()));
        if has == Some(text) || plane.contains(&Some(text)) {
            return None;
        }
        let why = refusal(case, text)?;
        let message = format!("orchestratorVersion {text} of node pool {} {why}", pool.name());
        let remedy = format!("use {}", examples(list(&case.azure.versions)));
        Some(Fault::new(pool.field("orchestratorVersion"), message, remedy))
    });
    unknown.collect()
}

fn preview(case: &Case<'_>) -> Vec<Fault> {
    let Some(text) = wanted(case) else { return Vec::new() };
    match find(list(&case.azure.versions), text) {
        Offer::Of(minor) if minor.is_preview == Some(true) => vec![Fault::new(
            FIELD,
            format!(
                "kubernetesVersion {text} is a preview in {}, for which Azure gives no support",
                case.region()
            ),
            format!("use {}", examples(list(&case.azure.versions))),
        )],
        _ => Vec::new(),
    }
}
