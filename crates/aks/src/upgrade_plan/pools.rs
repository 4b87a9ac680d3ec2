//! Node pools in upgrades: their versions, and the nodes that are added during an upgrade.

use serde_json::Value;

use super::blocker::{Blocker, Code};
use super::{Surge, UpgradePlanInput};
use crate::arm::VmSku;
use crate::cluster_details::ClusterDetails;
use crate::provision::plan_input::stopped_pools;
use crate::review::{self, sources::UPGRADE_DOC};
use crate::spec::{AksConfig, NodePool};
use crate::upgrades::{self, UpgradeStart};
use crate::versions::{self, Version, is_preview};
use crate::vm_size::{self, QUOTAS_DOC, SURGE_REMEDY};

/// A node pool in Azure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolState {
    /// The pool as `aksConfig` describes it.
    pub spec: NodePool,
    /// The running version of the nodes, if known.
    pub version: Option<String>,
    /// Whether the nodes are stopped.
    pub stopped: bool,
}

impl PoolState {
    /// The name.
    pub fn name(&self) -> &str {
        self.spec.name.as_deref().unwrap_or_default()
    }

    pub(super) fn parsed_version(&self) -> Option<Version> {
        self.version.as_deref().and_then(Version::parse)
    }

    fn find_size<'a>(&self, sizes: &'a [VmSku]) -> Option<&'a VmSku> {
        let size = self.spec.vm_size.as_deref()?;
        sizes.iter().find(|sku| sku.is_named(size))
    }
}

/// The pools of an observed cluster, in Azure's order; `cluster` is Azure's response, if it was requested.
pub fn pool_states(
    upstream: &AksConfig,
    details: &ClusterDetails,
    cluster: Option<&Value>,
) -> Vec<PoolState> {
    let stopped = cluster.map(stopped_pools).unwrap_or_default();
    let state = |pool: &NodePool| {
        let name = pool.name.as_ref()?;
        let running = details.pool_versions.get(name).or(pool.orchestrator_version.as_ref());
        Some(PoolState { spec: pool.clone(), version: running.cloned(), stopped: stopped.contains(name) })
    };
    upstream.pools().iter().filter_map(state).collect()
}

/// The blocker for a pool that is too old for the control plane even after its own upgrade.
pub(super) fn pool_too_old(pool: &PoolState, to: &str) -> Blocker {
    let (name, version) = (pool.name(), pool.version.as_deref().unwrap_or_default());
    let message = format!("node pool {name} has {version}, which is too far behind kubernetesVersion {to}");
    Blocker::new(
        Code::PoolTooOld,
        UPGRADE_DOC,
        message,
        "replace the pool with one that runs a newer version",
    )
}

/// The target of a pool while the control plane runs its current version, `control_plane`: the newest version up to it that
/// Azure lists for this pool, or `control_plane` if there is none.
pub(super) fn target(pool: &PoolState, control_plane: &str, input: &UpgradePlanInput<'_>) -> String {
    let listed = input.pool_targets.get(pool.name()).map_or(&[][..], Vec::as_slice);
    let offered = input.offered.unwrap_or_default();
    // The cluster's own targets are upgrades of the control plane.
    let start = UpgradeStart { own_targets: &[], ..input.start };
    let is_allowed = |version: &&String| {
        let versions = Version::parse(version).zip(Version::parse(control_plane)).zip(pool.parsed_version());
        versions.is_some_and(|((version, control_plane), from)| {
            from.is_lower_than(version) && !control_plane.is_lower_than(version)
        }) && !is_preview(offered, version)
            && upgrades::unavailable(&start, offered, version).is_none()
    };
    let newest = listed.iter().filter(is_allowed).max_by(|one, other| versions::compare(one, other));
    if listed.iter().any(|version| version == control_plane) {
        control_plane
    } else {
        newest.map_or(control_plane, String::as_str)
    }
    .to_owned()
}

/// The nodes that an upgrade of the pool adds; `None` if the pool has no running nodes.
pub(super) fn surge_nodes(pool: &PoolState, input: &UpgradePlanInput<'_>) -> Option<Surge> {
    let nodes = pool.spec.count.filter(|count| *count > 0 && !pool.stopped)?;
    let nodes = review::surge_nodes(&pool.spec, nodes);
    let vcpus = input.sizes.and_then(|sizes| pool.find_size(sizes)?.capabilities.quota_vcpus);
    Some(Surge { nodes, vcpus: vcpus.map(|vcpus| vcpus.saturating_mul(nodes)) })
}

/// The blockers for quotas that are too small for the surge nodes.
pub(super) fn quota_blockers(
    pool: &PoolState,
    surge: Option<Surge>,
    input: &UpgradePlanInput<'_>,
) -> Vec<Blocker> {
    let sku = input.sizes.and_then(|sizes| pool.find_size(sizes));
    let (Some(surge), Some(sku), Some(usages)) = (surge, sku, input.usages) else { return Vec::new() };
    let messages = vm_size::surge_shortage_messages(pool.name(), sku, surge.nodes, usages, input.region);
    let blocker = |message| Blocker::new(Code::QuotaShort, QUOTAS_DOC, message, SURGE_REMEDY);
    messages.into_iter().map(blocker).collect()
}
