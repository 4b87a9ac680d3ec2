//! The plan of an upgrade: the hops from where a cluster is to a version, what blocks each of them, and the change of `aksConfig`
//! that makes it. The review of the same change passes a hop without blocks, and rejects one that versions or quotas block; the
//! worker waits for, or rejects, what the state of the cluster blocks.

mod block;
mod change;
mod pools;

pub use block::{Block, Code, present, rejected_access};
pub use pools::{PoolState, pool_states};

use std::collections::BTreeMap;

use serde_json::Value;

use super::arm::{KubernetesVersion, Usage, VmSku};
use super::spec::Object;
use super::upgrade_path;
use super::upgrades::{self, Start, Unavailable};
use super::versions::{self, Version, canonical, is_same, is_too_old};
use change::Change;

/// What a plan is made from. Azure's data may be missing: the plan then has fewer blocks.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput<'a> {
    /// Where the cluster is.
    pub start: Start<'a>,
    /// The requested version; `None` for the newest stable one that the cluster can have.
    pub wanted: Option<&'a str>,
    /// The region of the cluster.
    pub region: &'a str,
    /// The versions of the region.
    pub offered: Option<&'a [KubernetesVersion]>,
    /// The node pools in Azure.
    pub pools: &'a [PoolState],
    /// The upgrades that Azure names for the pools, by name.
    pub pool_targets: &'a BTreeMap<String, Vec<String>>,
    /// The VM sizes of the region, at least those of the pools.
    pub sizes: Option<&'a [VmSku]>,
    /// The quotas of the region.
    pub usages: Option<&'a [Usage]>,
    /// `nodePools` of the stored `aksConfig`, as its user wrote them.
    pub stated_pools: &'a [Value],
    /// What blocks any change at the moment ([`present`], [`rejected_access`]).
    pub present: &'a [Block],
}

/// The way to a version.
#[derive(Clone, Debug, PartialEq)]
pub struct UpgradePlan {
    /// The running version of the control plane.
    pub from: String,
    /// The requested version; the running one if none was requested and Azure offers no newer one.
    pub to: String,
    /// In the order in which they have to be made; none if everything runs the version.
    pub hops: Vec<Hop>,
}

/// One change on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Hop {
    /// The part of the cluster that is upgraded.
    pub part: Part,
    /// The version before.
    pub from: String,
    /// The version after; a minor version alone if Azure chooses the patch.
    pub to: String,
    /// The nodes that are added while the upgrade of a pool lasts.
    pub surge: Option<Surge>,
    /// What blocks it; empty if nothing is known to.
    pub blocked_by: Vec<Block>,
    /// The change of `aksConfig`; it contains those of the hops before as far as lists are replaced as a whole.
    pub change: Object,
}

/// A part of a cluster with a version.
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
    /// Their vCPUs; `None` if the size is unknown.
    pub vcpus: Option<i64>,
}

/// The most minor versions of a plan without Azure's list.
const MAX_UNLISTED_MINORS: u32 = 10;

/// Plans an upgrade.
pub fn plan(input: &PlanInput<'_>) -> UpgradePlan {
    let from = canonical(input.start.running);
    let to = target(input, &from);
    let mut work = Work { input, plane: from.clone(), pools: input.pools.to_vec(), hops: Vec::new() };
    let mut change = Change::new(input.stated_pools);
    for stop in stops(input, &from, &to) {
        work.upgrade_plane(&stop, &from, &mut change);
    }
    if !work.is_dead_end() {
        work.upgrade_pools(&mut change, |_| true, &from);
    }
    if let Some(first) = work.hops.first_mut() {
        first.blocked_by.extend_from_slice(input.present);
    }
    UpgradePlan { from, to, hops: work.hops }
}

/// The requested version, else the newest stable one.
fn target(input: &PlanInput<'_>, from: &str) -> String {
    let newest = || input.offered.and_then(|offered| upgrade_path::newest_stable(&input.start, offered));
    input.wanted.map(canonical).or_else(newest).unwrap_or_else(|| from.to_owned())
}

/// The versions of the control plane on the way; the last one is `to`, even if it cannot be reached.
fn stops(input: &PlanInput<'_>, from: &str, to: &str) -> Vec<String> {
    if is_same(to, from) {
        return Vec::new();
    }
    let is_lowered = !versions::differs(to, from);
    let Some(offered) = input.offered else {
        return if is_lowered { vec![to.to_owned()] } else { unlisted_stops(from, to) };
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

/// The minor versions between two versions, whose patches Azure chooses, and the last version.
fn unlisted_stops(from: &str, to: &str) -> Vec<String> {
    let between = Version::parse(from).zip(Version::parse(to)).filter(|(from, to)| is_near(*from, *to));
    let minors = between.into_iter().flat_map(|(from, to)| {
        (from.minor.saturating_add(1)..to.minor).map(move |minor| Version { minor, patch: None, ..from })
    });
    minors.map(|minor| minor.to_string()).chain([to.to_owned()]).collect()
}

fn is_near(from: Version, to: Version) -> bool {
    from.major == to.major && to.minor.saturating_sub(from.minor) <= MAX_UNLISTED_MINORS
}

/// The cluster while the plan is made.
struct Work<'a> {
    input: &'a PlanInput<'a>,
    /// The version of the control plane after the hops.
    plane: String,
    pools: Vec<PoolState>,
    hops: Vec<Hop>,
}

impl Work<'_> {
    /// Upgrades the control plane, after the pools that would be too old for it.
    fn upgrade_plane(&mut self, to: &str, running: &str, change: &mut Change) {
        let next = Version::parse(to);
        let is_left_behind = |pool: Version| next.is_some_and(|next| is_too_old(pool, next));
        let mut blocked_by = self.plane_blocks(to, running);
        if blocked_by.iter().all(|block| block.code == Code::PreviewOnly) {
            self.upgrade_pools(change, is_left_behind, running);
            let old = self.pools.iter().filter(|pool| pool.parsed().is_some_and(is_left_behind));
            blocked_by.extend(old.map(|pool| block::pool_too_old(pool, to)));
        }
        self.hops.push(Hop {
            part: Part::ControlPlane,
            from: self.plane.clone(),
            to: to.to_owned(),
            surge: None,
            blocked_by,
            change: change::of_control_plane(to),
        });
        to.clone_into(&mut self.plane);
    }

    /// Whether Azure has no way to the version, so that nothing follows.
    fn is_dead_end(&self) -> bool {
        let dead_ends = [Code::Downgrade, Code::VersionNotOffered, Code::UpgradeNotOffered];
        self.hops.iter().flat_map(|hop| &hop.blocked_by).any(|block| dead_ends.contains(&block.code))
    }

    /// What blocks the next hop of the control plane, by the rules of the review.
    fn plane_blocks(&self, to: &str, running: &str) -> Vec<Block> {
        let is_first = self.plane == running;
        let own = if is_first { self.input.start.own } else { &[] };
        let start = Start { running: &self.plane, own, ..self.input.start };
        block::control_plane(&start, self.input.offered, to, self.input.region)
    }

    /// Upgrades the pools that `which` selects by their version to that of the control plane.
    fn upgrade_pools(&mut self, change: &mut Change, which: impl Fn(Version) -> bool, running: &str) {
        let is_selected = |pool: &PoolState| pool.parsed().is_some_and(&which);
        let (input, plane) = (self.input, self.plane.clone());
        for pool in self.pools.iter_mut().filter(|pool| is_selected(pool)) {
            let Some(from) = pool.version.clone().filter(|from| versions::differs(&plane, from)) else {
                continue;
            };
            let to = if plane == running { pools::target(pool, &plane, input) } else { plane.clone() };
            let surge = pools::surge_of(pool, input);
            let blocked_by = pools::blocks(pool, surge, input);
            let change = change.of_pool(pool.name(), &to);
            let part = Part::NodePool(pool.name().to_owned());
            pool.version = Some(to.clone());
            self.hops.push(Hop { part, from, to, surge, blocked_by, change });
        }
    }
}

#[cfg(test)]
mod tests;
