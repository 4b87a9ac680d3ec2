//! Compares upgrade plans with the review: the review accepts each hop without blockers, and rejects the first blocked one.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::review_input::ReviewInput;
use crate::arm::KubernetesVersion;
use crate::review::{Read, Severity, needs_own_targets};
use crate::spec::merge::{self, Mode};
use crate::spec::{AKS_CONFIG, AksConfig, Object};
use crate::testing::from_json;
use crate::upgrade_plan::{Code, Hop, Part, UpgradePlan, UpgradePlanInput, plan, pool_states};
use crate::upgrades::UpgradeStart;
use crate::versions::{self, Version};

/// A region, a cluster in it, and the requested version of an upgrade.
#[derive(Clone, Debug)]
struct UpgradeCase {
    offered: Vec<KubernetesVersion>,
    running: String,
    long_term: bool,
    own_targets: Vec<String>,
    pool_versions: [String; 2],
    vcpus_left: i64,
    requested: String,
}

impl UpgradeCase {
    fn input(&self) -> ReviewInput {
        let mut input = ReviewInput::update();
        for scope in ["spec", "before"] {
            input.set(json!({format!("{scope}:kubernetesVersion"): self.running}));
            for (index, version) in self.pool_versions.iter().enumerate() {
                input.set(json!({format!("{scope}:[{index}].orchestratorVersion"): version}));
            }
        }
        input.details.running_version = Some(self.running.clone());
        input.details.long_term = self.long_term;
        input.azure.versions = Read::Known(self.offered.clone());
        let usages = json!([{"name": {"value": "cores"}, "currentValue": 10, "limit": 10 + self.vcpus_left}]);
        input.azure.usages = Read::Known(from_json(usages));
        input
    }

    fn plan(&self, input: &ReviewInput) -> UpgradePlan {
        let upstream: AksConfig = from_json(input.upstream.clone().unwrap());
        let pools = pool_states(&upstream, &input.details, None);
        plan(&UpgradePlanInput {
            start: UpgradeStart {
                running: &self.running,
                long_term: self.long_term,
                own_targets: &self.own_targets,
            },
            requested: Some(&self.requested),
            region: "eastus",
            offered: Some(&self.offered),
            pools: &pools,
            pool_targets: &BTreeMap::new(),
            sizes: input.azure.sizes.known().map(Vec::as_slice),
            usages: input.azure.usages.known().map(Vec::as_slice),
            stored_pools: input.spec["nodePools"].as_array().unwrap(),
            current_blockers: &[],
        })
    }
}

/// The specification after a PUT.
fn spec_after_put(stored: &Value, change: Object) -> Value {
    let body = |config: Value| Object::from_iter([(AKS_CONFIG.to_owned(), config)]);
    let mut changed = merge::apply_change(&body(stored.clone()), body(change.into()), Mode::Merge);
    changed.remove(AKS_CONFIG).unwrap()
}

/// Simulates a hop in Azure.
fn apply_hop(input: &mut ReviewInput, hop: &Hop) {
    input.stored = Some(input.spec.clone());
    let upstream = input.upstream.as_mut().unwrap();
    match &hop.part {
        Part::ControlPlane => {
            upstream["kubernetesVersion"] = json!(hop.to);
            input.details.running_version = Some(hop.to.clone());
        }
        Part::NodePool(name) => {
            let pools = upstream["nodePools"].as_array_mut().unwrap();
            let pool = pools.iter_mut().find(|pool| pool["name"] == json!(name)).unwrap();
            pool["orchestratorVersion"] = json!(hop.to);
        }
    }
}

/// The rules that reject a hop with this blocker.
fn rejecting_rules(code: Code) -> &'static [&'static str] {
    match code {
        Code::Downgrade => &["version-not-lowered"],
        Code::VersionNotOffered | Code::NeedsLongTermSupport => &["version-offered"],
        Code::UpgradeNotOffered => &["version-one-minor", "version-reachable"],
        Code::PreviewOnly => &["version-preview"],
        Code::PoolTooOld => &["pool-version-skew"],
        Code::QuotaShort => &["quota-of-upgrade"],
        _ => &[],
    }
}

fn check_hops(case: &UpgradeCase) -> Result<(), TestCaseError> {
    let mut input = case.input();
    let plan = case.plan(&input);
    let (mut control_plane, mut is_initial_version) = (case.running.clone(), true);
    for hop in &plan.hops {
        input.spec = spec_after_put(&input.spec, hop.change.clone());
        let reads_own_targets = is_initial_version && input.with_subject(needs_own_targets);
        input.azure.own_targets = if reads_own_targets { case.own_targets.clone() } else { Vec::new() };
        let review = input.review();
        for blocker in &hop.blocked_by {
            let severity = match blocker.code {
                Code::PreviewOnly => Severity::Warning,
                _ => Severity::Error,
            };
            let is_reported = review.findings.iter().any(|finding| {
                rejecting_rules(blocker.code).contains(&finding.rule.as_str()) && finding.severity == severity
            });
            prop_assert!(is_reported, "{blocker:?} of {hop:?} is not in {review:#?}");
        }
        if hop.blocked_by.iter().any(|blocker| blocker.code != Code::PreviewOnly) {
            return Ok(());
        }
        prop_assert!(review.first_error().is_none(), "{hop:?} is rejected: {:#?}", review.first_error());
        if hop.part == Part::ControlPlane {
            let (from, to) = (Version::parse(&control_plane).unwrap(), Version::parse(&hop.to).unwrap());
            let listed_upgrades = if is_initial_version && !case.own_targets.is_empty() {
                case.own_targets.clone()
            } else {
                let minor = versions::find(&case.offered, &control_plane);
                minor
                    .and_then(|minor| minor.patch_versions.get(&control_plane))
                    .map_or_else(Vec::new, |patch| patch.upgrades.clone())
            };
            let skips_minor = to.minor > from.minor + 1;
            prop_assert!(!skips_minor || listed_upgrades.contains(&hop.to), "{hop:?} skips a minor version");
            (control_plane, is_initial_version) = (hop.to.clone(), false);
        }
        apply_hop(&mut input, hop);
    }
    // Nothing was blocked, so all parts run the requested version.
    prop_assert!(versions::is_same(&control_plane, &case.requested), "{plan:?}");
    for pool in input.upstream.unwrap()["nodePools"].as_array().unwrap() {
        prop_assert!(
            !versions::requires_upgrade(&control_plane, pool["orchestratorVersion"].as_str().unwrap()),
            "{plan:?}"
        );
    }
    Ok(())
}

/// Minor versions from 1.28, each with its patches; a patch has some of the higher versions as upgrades.
fn region_versions() -> impl Strategy<Value = Vec<KubernetesVersion>> {
    let minor = (1..4_u32, 0..4_u8, prop::collection::vec(any::<u32>(), 4));
    prop::collection::vec(minor, 2..7).prop_map(|minors| {
        let all: Vec<(u32, u32)> = minors
            .iter()
            .zip(28..)
            .flat_map(|((patches, ..), minor)| (0..*patches).map(move |patch| (minor, patch)))
            .collect();
        let count = minors.len();
        let minors = minors.iter().zip(28_u32..).enumerate().map(
            |(index, ((patches, plan_choice, random_bits), minor))| {
                let patch = |patch: u32| {
                    let bits = random_bits[patch as usize];
                    let is_upgrade = |to: &&(u32, u32)| {
                        let is_near = to.0 <= minor + 1 || (bits >> (8 + to.0 % 16)) & 1 == 1;
                        **to > (minor, patch) && is_near && (bits >> (to.1 % 4)) & 3 != 0
                    };
                    let upgrades: Vec<String> = all
                        .iter()
                        .filter(is_upgrade)
                        .map(|(minor, patch)| format!("1.{minor}.{patch}"))
                        .collect();
                    (format!("1.{minor}.{patch}"), json!({"upgrades": upgrades}))
                };
                let plans = if *plan_choice == 0 {
                    json!(["AKSLongTermSupport"])
                } else {
                    json!(["KubernetesOfficial", "AKSLongTermSupport"])
                };
                let patches: serde_json::Map<String, Value> = (0..*patches).map(patch).collect();
                json!({"version": format!("1.{minor}"), "isPreview": index + 1 == count && *plan_choice == 3,
                "capabilities": {"supportPlan": plans}, "patchVersions": patches})
            },
        );
        from_json(minors.collect::<Vec<_>>().into())
    })
}

/// A version: any, or one that the region offers, by its position among all offered versions.
#[derive(Clone, Debug)]
enum Choice {
    Any(u32, Option<u32>),
    Offered(prop::sample::Index),
}

impl Choice {
    fn version(&self, offered: &[KubernetesVersion]) -> String {
        let all_patches: Vec<&String> =
            offered.iter().flat_map(|minor| minor.patch_versions.keys()).collect();
        match self {
            Self::Any(minor, Some(patch)) => format!("1.{minor}.{patch}"),
            Self::Any(minor, None) => format!("1.{minor}"),
            Self::Offered(index) => (*index.get(&all_patches)).clone(),
        }
    }
}

fn upgrade_cases() -> impl Strategy<Value = UpgradeCase> {
    let offered = || any::<prop::sample::Index>().prop_map(Choice::Offered);
    let running = prop_oneof![4 => offered(), 1 => (27..36_u32, 0..4_u32).prop_map(|(minor, patch)| Choice::Any(minor, Some(patch)))];
    let requested = prop_oneof![4 => offered(), 1 => (28..36_u32, prop::option::of(0..4_u32)).prop_map(|(minor, patch)| Choice::Any(minor, patch))];
    let own_targets = prop::option::weighted(0.3, prop::collection::vec((28..36_u32, 0..4_u32), 1..4));
    let pool_lag = (0..4_u32, 0..4_u32);
    (
        region_versions(),
        running,
        any::<bool>(),
        own_targets,
        [pool_lag.clone(), pool_lag],
        0..40_i64,
        requested,
    )
        .prop_map(|(offered, running, long_term, own_targets, pool_lag, vcpus_left, requested)| {
            let (first, second) = (running.version(&offered), requested.version(&offered));
            // `vcpus_left` is random, so most downgrades, but not all, become upgrades.
            let is_swapped =
                Version::parse(&first).unwrap() > Version::parse(&second).unwrap() && vcpus_left % 8 != 0;
            let (running, requested) = if is_swapped { (second, first) } else { (first, second) };
            let from = Version::parse(&running).unwrap();
            let running = Version { patch: from.patch.or(Some(0)), ..from };
            let (minor, patch) = (running.minor, running.patch.unwrap());
            let version_string = |(minor, patch): (u32, u32)| format!("1.{minor}.{patch}");
            UpgradeCase {
                offered,
                running: running.to_string(),
                long_term,
                own_targets: own_targets
                    .into_iter()
                    .flatten()
                    .filter(|to| *to > (minor, patch))
                    .map(version_string)
                    .collect(),
                pool_versions: pool_lag.map(|(skew, pool_patch)| match skew {
                    0 => version_string((minor, patch.min(pool_patch))),
                    _ => version_string((minor - skew, pool_patch)),
                }),
                vcpus_left,
                requested,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn review_agrees_with_each_hop(case in upgrade_cases()) {
        check_hops(&case)?;
    }
}
