//! The plan of an upgrade: the single upgrades (hops) that take a cluster to a version, each with the change of `aksConfig` that
//! starts it and the reasons that block it. The review accepts the change of a hop without blockers and rejects one that
//! versions or quotas block; it only warns of previews. If the state of the cluster blocks a hop, the worker waits or rejects
//! the change.

mod blocker;
mod change;
mod pools;

pub use blocker::{Blocker, Code, access_blocker, state_blockers};
pub use pools::{PoolState, pool_states};

use std::collections::BTreeMap;

use serde_json::Value;

use super::arm::{KubernetesVersion, Usage, VmSku};
use super::spec::Object;
use super::upgrade_path;
use super::upgrades::{self, Unavailable, UpgradeStart};
use super::versions::{self, Version, canonical, is_same, is_too_old};
use change::PlannedPools;

/// The input of a plan. Azure's data may be missing: the plan then has fewer blockers.
#[derive(Clone, Copy, Debug)]
pub struct UpgradePlanInput<'a> {
    /// The current state of the cluster.
    pub start: UpgradeStart<'a>,
    /// The requested version; `None` for the newest stable one that the cluster can be upgraded to.
    pub requested: Option<&'a str>,
    /// The region of the cluster.
    pub region: &'a str,
    /// The versions of the region.
    pub offered: Option<&'a [KubernetesVersion]>,
    /// The node pools in Azure.
    pub pools: &'a [PoolState],
    /// The upgrades that Azure lists for the pools, by the pool's name.
    pub pool_targets: &'a BTreeMap<String, Vec<String>>,
    /// The VM sizes of the region, at least those of the pools.
    pub sizes: Option<&'a [VmSku]>,
    /// The quotas of the region.
    pub usages: Option<&'a [Usage]>,
    /// `nodePools` of the stored `aksConfig`, as the user wrote them.
    pub stored_pools: &'a [Value],
    /// The blockers that apply to any change now ([`state_blockers`], [`access_blocker`]).
    pub current_blockers: &'a [Blocker],
}

/// The plan of an upgrade to a version.
#[derive(Clone, Debug, PartialEq)]
pub struct UpgradePlan {
    /// The running version of the control plane.
    pub from: String,
    /// The requested version. If none was requested, the newest stable one, or the running one if Azure offers no newer one.
    pub to: String,
    /// The upgrades in the required order; empty if the control plane and all pools run the version.
    pub hops: Vec<Hop>,
}

/// One upgrade of the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Hop {
    /// The part of the cluster that is upgraded.
    pub part: Part,
    /// The version before.
    pub from: String,
    /// The version after; a minor version alone if Azure chooses the patch.
    pub to: String,
    /// The nodes that are added during the upgrade of a pool.
    pub surge: Option<Surge>,
    /// The known reasons that block the upgrade.
    pub blocked_by: Vec<Blocker>,
    /// The change of `aksConfig`. Lists are replaced as a whole, so they contain the changes of the earlier hops.
    pub change: Object,
}

/// A part of a cluster that has its own version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The control plane.
    ControlPlane,
    /// The node pool with this name.
    NodePool(String),
}

/// The nodes that an upgrade adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surge {
    /// The number of nodes.
    pub nodes: i64,
    /// The vCPUs of these nodes; `None` if the size is unknown.
    pub vcpus: Option<i64>,
}

/// The maximum difference of minor versions up to which a plan without Azure's list upgrades to each minor version in turn.
const MAX_MINORS_WITHOUT_LIST: u32 = 10;

/// Plans an upgrade.
pub fn plan(input: &UpgradePlanInput<'_>) -> UpgradePlan {
    let from = canonical(input.start.running);
    let to = target(input, &from);
    let mut planner =
        Planner { input, control_plane_version: from.clone(), pools: input.pools.to_vec(), hops: Vec::new() };
    let mut planned_pools = PlannedPools::new(input.stored_pools);
    for version in control_plane_versions(input, &from, &to) {
        planner.upgrade_control_plane(&version, &from, &mut planned_pools);
    }
    if !planner.is_dead_end() {
        planner.upgrade_pools(&mut planned_pools, |_| true, &from);
    }
    if let Some(first) = planner.hops.first_mut() {
        first.blocked_by.extend_from_slice(input.current_blockers);
    }
    UpgradePlan { from, to, hops: planner.hops }
}

/// The requested version, else the newest stable one.
fn target(input: &UpgradePlanInput<'_>, from: &str) -> String {
    let newest = || input.offered.and_then(|offered| upgrade_path::newest_stable(&input.start, offered));
    input.requested.map(canonical).or_else(newest).unwrap_or_else(|| from.to_owned())
}

/// The versions to which the control plane is upgraded in turn; empty if it runs `to`. The last one is `to`, even if it cannot
/// be reached.
fn control_plane_versions(input: &UpgradePlanInput<'_>, from: &str, to: &str) -> Vec<String> {
    if is_same(to, from) {
        return Vec::new();
    }
    let is_lowered = !versions::requires_upgrade(to, from);
    let Some(offered) = input.offered else {
        return if is_lowered { vec![to.to_owned()] } else { versions_without_list(from, to) };
    };
    if is_lowered || upgrades::unavailable(&input.start, offered, to) == Some(Unavailable::NotOffered) {
        return vec![to.to_owned()];
    }
    let mut path = upgrade_path::path(&input.start, offered, to);
    if path.last().is_none_or(|last| !is_same(last, to)) {
        path.push(to.to_owned());
    }
    path
}

/// The versions to upgrade to in turn if Azure's list is unknown: each minor version between `from` and `to`, whose patch Azure
/// chooses, then `to`. Only `to` if there are too many between.
fn versions_without_list(from: &str, to: &str) -> Vec<String> {
    let bounds = Version::parse(from).zip(Version::parse(to)).filter(|(from, to)| is_near(*from, *to));
    let between = bounds.into_iter().flat_map(|(from, to)| {
        (from.minor.saturating_add(1)..to.minor).map(move |minor| Version { minor, patch: None, ..from })
    });
    between.map(|version| version.to_string()).chain([to.to_owned()]).collect()
}

/// Whether the minor versions differ by at most [`MAX_MINORS_WITHOUT_LIST`].
fn is_near(from: Version, to: Version) -> bool {
    from.major == to.major && to.minor.saturating_sub(from.minor) <= MAX_MINORS_WITHOUT_LIST
}

/// Builds the hops of a plan.
struct Planner<'a> {
    input: &'a UpgradePlanInput<'a>,
    /// The version of the control plane after the hops so far.
    control_plane_version: String,
    /// The node pools after the hops so far.
    pools: Vec<PoolState>,
    hops: Vec<Hop>,
}

impl Planner<'_> {
    /// Upgrades the control plane, after the pools that would be too old for it.
    fn upgrade_control_plane(&mut self, to: &str, running: &str, planned_pools: &mut PlannedPools) {
        let next = Version::parse(to);
        let becomes_too_old = |pool: Version| next.is_some_and(|next| is_too_old(pool, next));
        let mut blocked_by = self.control_plane_blockers(to, running);
        // Pools are upgraded first only for a hop that the review accepts.
        if blocked_by.iter().all(|blocker| blocker.code == Code::PreviewOnly) {
            self.upgrade_pools(planned_pools, becomes_too_old, running);
            // Pools that remain too old block the hop.
            let too_old = self.pools.iter().filter(|pool| pool.parsed_version().is_some_and(becomes_too_old));
            blocked_by.extend(too_old.map(|pool| pools::pool_too_old(pool, to)));
        }
        self.hops.push(Hop {
            part: Part::ControlPlane,
            from: self.control_plane_version.clone(),
            to: to.to_owned(),
            surge: None,
            blocked_by,
            change: change::control_plane_change(to),
        });
        to.clone_into(&mut self.control_plane_version);
    }

    /// Whether Azure has no path to the version, so that no hop follows.
    fn is_dead_end(&self) -> bool {
        let dead_ends = [Code::Downgrade, Code::VersionNotOffered, Code::UpgradeNotOffered];
        self.hops.iter().flat_map(|hop| &hop.blocked_by).any(|blocker| dead_ends.contains(&blocker.code))
    }

    /// The blockers of the next hop of the control plane, by the rules of the review.
    fn control_plane_blockers(&self, to: &str, running: &str) -> Vec<Blocker> {
        let is_first_hop = self.control_plane_version == running;
        let own_targets = if is_first_hop { self.input.start.own_targets } else { &[] };
        let start = UpgradeStart { running: &self.control_plane_version, own_targets, ..self.input.start };
        blocker::control_plane_blockers(&start, self.input.offered, to, self.input.region)
    }

    /// Upgrades the pools whose version `is_selected` accepts to the version of the control plane.
    fn upgrade_pools(
        &mut self,
        planned_pools: &mut PlannedPools,
        is_selected: impl Fn(Version) -> bool,
        running: &str,
    ) {
        let (input, control_plane) = (self.input, self.control_plane_version.clone());
        for pool in self.pools.iter_mut().filter(|pool| pool.parsed_version().is_some_and(&is_selected)) {
            let Some(from) =
                pool.version.clone().filter(|from| versions::requires_upgrade(&control_plane, from))
            else {
                continue;
            };
            // Azure lists the upgrades of a pool for the current version of the control plane only.
            let to = if control_plane == running {
                pools::target(pool, &control_plane, input)
            } else {
                control_plane.clone()
            };
            let surge = pools::surge_nodes(pool, input);
            let blocked_by = pools::quota_blockers(pool, surge, input);
            let change = planned_pools.upgrade_pool(pool.name(), &to);
            let part = Part::NodePool(pool.name().to_owned());
            pool.version = Some(to.clone());
            self.hops.push(Hop { part, from, to, surge, blocked_by, change });
        }
    }
}

#[cfg(test)]
mod tests;
