//! Compares upgrade plans with the review: the review accepts each hop without blocks, and rejects the first blocked one.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::situation::Situation;
use crate::arm::KubernetesVersion;
use crate::review::{Read, Severity, needs_own_upgrades};
use crate::spec::merge::{self, Mode};
use crate::spec::{AKS_CONFIG, AksConfig, Object};
use crate::testing::read;
use crate::upgrade_plan::{Code, Hop, Part, PlanInput, UpgradePlan, plan, pool_states};
use crate::upgrades::Start;
use crate::versions::{self, Version};

/// A region, a cluster in it, and the requested version.
#[derive(Clone, Debug)]
struct World {
    offered: Vec<KubernetesVersion>,
    running: String,
    long_term: bool,
    own: Vec<String>,
    pools: [String; 2],
    vcpus_left: i64,
    wanted: String,
}

impl World {
    fn situation(&self) -> Situation {
        let mut situation = Situation::update();
        for scope in ["spec", "before"] {
            situation.set(json!({format!("{scope}:kubernetesVersion"): self.running}));
            for (index, version) in self.pools.iter().enumerate() {
                situation.set(json!({format!("{scope}:[{index}].orchestratorVersion"): version}));
            }
        }
        situation.details.running_version = Some(self.running.clone());
        situation.details.long_term = self.long_term;
        situation.azure.versions = Read::Known(self.offered.clone());
        let usages = json!([{"name": {"value": "cores"}, "currentValue": 10, "limit": 10 + self.vcpus_left}]);
        situation.azure.usages = Read::Known(read(usages));
        situation
    }

    fn plan(&self, situation: &Situation) -> UpgradePlan {
        let upstream: AksConfig = read(situation.upstream.clone().unwrap());
        let pools = pool_states(&upstream, &situation.details, None);
        plan(&PlanInput {
            start: Start { running: &self.running, long_term: self.long_term, own: &self.own },
            wanted: Some(&self.wanted),
            region: "eastus",
            offered: Some(&self.offered),
            pools: &pools,
            pool_targets: &BTreeMap::new(),
            sizes: situation.azure.sizes.known().map(Vec::as_slice),
            usages: situation.azure.usages.known().map(Vec::as_slice),
            stated_pools: situation.spec["nodePools"].as_array().unwrap(),
            present: &[],
        })
    }
}

/// The specification after a PUT.
fn put(stored: &Value, change: Object) -> Value {
    let body = |config: Value| Object::from_iter([(AKS_CONFIG.to_owned(), config)]);
    let mut changed = merge::changed(&body(stored.clone()), body(change.into()), Mode::Merge);
    changed.remove(AKS_CONFIG).unwrap()
}

/// Simulates a hop in Azure.
fn apply(situation: &mut Situation, hop: &Hop) {
    situation.stored = Some(situation.spec.clone());
    let upstream = situation.upstream.as_mut().unwrap();
    match &hop.part {
        Part::ControlPlane => {
            upstream["kubernetesVersion"] = json!(hop.to);
            situation.details.running_version = Some(hop.to.clone());
        }
        Part::NodePool(name) => {
            let pools = upstream["nodePools"].as_array_mut().unwrap();
            let pool = pools.iter_mut().find(|pool| pool["name"] == json!(name)).unwrap();
            pool["orchestratorVersion"] = json!(hop.to);
        }
    }
}

/// The rules that reject a hop with this block.
fn rules(code: Code) -> &'static [&'static str] {
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

fn compare(world: &World) -> Result<(), TestCaseError> {
    let mut situation = world.situation();
    let plan = world.plan(&situation);
    let (mut plane, mut is_first) = (world.running.clone(), true);
    for hop in &plan.hops {
        situation.spec = put(&situation.spec, hop.change.clone());
        let asks = situation.subject(needs_own_upgrades);
        situation.azure.own_upgrades = if asks && is_first { world.own.clone() } else { Vec::new() };
        let review = situation.review();
        for block in &hop.blocked_by {
            let severity = match block.code {
                Code::PreviewOnly => Severity::Warning,
                _ => Severity::Error,
            };
            let rejects = review.findings.iter().any(|finding| {
                rules(block.code).contains(&finding.rule.as_str()) && finding.severity == severity
            });
            prop_assert!(rejects, "{block:?} of {hop:?} is not in {review:#?}");
        }
        if hop.blocked_by.iter().any(|block| block.code != Code::PreviewOnly) {
            return Ok(());
        }
        prop_assert!(review.first_error().is_none(), "{hop:?} is rejected: {:#?}", review.first_error());
        if hop.part == Part::ControlPlane {
            let (from, to) = (Version::parse(&plane).unwrap(), Version::parse(&hop.to).unwrap());
            let listed = if is_first && !world.own.is_empty() {
                world.own.clone()
            } else {
                let minor = versions::find(&world.offered, &plane);
                minor
                    .and_then(|minor| minor.patch_versions.get(&plane))
                    .map_or_else(Vec::new, |it| it.upgrades.clone())
            };
            let skips = to.minor > from.minor + 1;
            prop_assert!(!skips || listed.contains(&hop.to), "{hop:?} skips a minor version");
            (plane, is_first) = (hop.to.clone(), false);
        }
        apply(&mut situation, hop);
    }
    // Nothing was blocked, so all parts run the version.
    prop_assert!(versions::is_same(&plane, &world.wanted), "{plan:?}");
    for pool in situation.upstream.unwrap()["nodePools"].as_array().unwrap() {
        prop_assert!(!versions::differs(&plane, pool["orchestratorVersion"].as_str().unwrap()), "{plan:?}");
    }
    Ok(())
}

/// Minor versions from 1.28, each with its patches; a patch has some of the higher versions as upgrades.
fn regions() -> impl Strategy<Value = Vec<KubernetesVersion>> {
    let minor = (1..4_u32, 0..4_u8, prop::collection::vec(any::<u32>(), 4));
    prop::collection::vec(minor, 2..7).prop_map(|minors| {
        let all: Vec<(u32, u32)> = minors
            .iter()
            .zip(28..)
            .flat_map(|((patches, ..), minor)| (0..*patches).map(move |patch| (minor, patch)))
            .collect();
        let count = minors.len();
        let minors =
            minors.iter().zip(28_u32..).enumerate().map(|(index, ((patches, plan, bits), minor))| {
                let patch = |patch: u32| {
                    let bits = bits[patch as usize];
                    let is_upgrade = |to: &&(u32, u32)| {
                        let near = to.0 <= minor + 1 || (bits >> (8 + to.0 % 16)) & 1 == 1;
                        **to > (minor, patch) && near && (bits >> (to.1 % 4)) & 3 != 0
                    };
                    let upgrades: Vec<String> = all
                        .iter()
                        .filter(is_upgrade)
                        .map(|(minor, patch)| format!("1.{minor}.{patch}"))
                        .collect();
                    (format!("1.{minor}.{patch}"), json!({"upgrades": upgrades}))
                };
                let plans = if *plan == 0 {
                    json!(["AKSLongTermSupport"])
                } else {
                    json!(["KubernetesOfficial", "AKSLongTermSupport"])
                };
                let patches: serde_json::Map<String, Value> = (0..*patches).map(patch).collect();
                json!({"version": format!("1.{minor}"), "isPreview": index + 1 == count && *plan == 3,
                "capabilities": {"supportPlan": plans}, "patchVersions": patches})
            });
        read(minors.collect::<Vec<_>>().into())
    })
}

/// Any version, or one of the region's by its position among all of them.
#[derive(Clone, Debug)]
enum Choice {
    Any(u32, Option<u32>),
    Offered(prop::sample::Index),
}

impl Choice {
    fn version(&self, offered: &[KubernetesVersion]) -> String {
        let known: Vec<&String> = offered.iter().flat_map(|minor| minor.patch_versions.keys()).collect();
        match self {
            Self::Any(minor, Some(patch)) => format!("1.{minor}.{patch}"),
            Self::Any(minor, None) => format!("1.{minor}"),
            Self::Offered(index) => (*index.get(&known)).clone(),
        }
    }
}

fn worlds() -> impl Strategy<Value = World> {
    let offered = || any::<prop::sample::Index>().prop_map(Choice::Offered);
    let running = prop_oneof![4 => offered(), 1 => (27..36_u32, 0..4_u32).prop_map(|(minor, patch)| Choice::Any(minor, Some(patch)))];
    let wanted = prop_oneof![4 => offered(), 1 => (28..36_u32, prop::option::of(0..4_u32)).prop_map(|(minor, patch)| Choice::Any(minor, patch))];
    let own = prop::option::weighted(0.3, prop::collection::vec((28..36_u32, 0..4_u32), 1..4));
    let back = (0..4_u32, 0..4_u32);
    (regions(), running, any::<bool>(), own, [back.clone(), back], 0..40_i64, wanted).prop_map(
        |(offered, running, long_term, own, back, vcpus_left, wanted)| {
            let (one, other) = (running.version(&offered), wanted.version(&offered));
            let swap = Version::parse(&one).unwrap() > Version::parse(&other).unwrap() && vcpus_left % 8 != 0;
            let (running, wanted) = if swap { (other, one) } else { (one, other) };
            let from = Version::parse(&running).unwrap();
            let running = Version { patch: from.patch.or(Some(0)), ..from };
            let (minor, patch) = (running.minor, running.patch.unwrap());
            let text = |(minor, patch): (u32, u32)| format!("1.{minor}.{patch}");
            World {
                offered,
                running: running.to_string(),
                long_term,
                own: own.into_iter().flatten().filter(|to| *to > (minor, patch)).map(text).collect(),
                pools: back.map(|(minors, own)| match minors {
                    0 => text((minor, patch.min(own))),
                    _ => text((minor - minors, own)),
                }),
                vcpus_left,
                wanted,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn review_agrees_with_each_hop(world in worlds()) {
        compare(&world)?;
    }
}
