//! A node pool under review, and the numbers of nodes that it may gain.

use crate::spec::NodePool;
use crate::versions;

/// A node pool of the specification, and the pool with the same name in Azure and before the change.
pub(super) struct Pool<'a> {
    pub(super) index: usize,
    /// The pool, with Azure's values for unset keys.
    pub(super) spec: &'a NodePool,
    /// The pool as requested, without Azure's values.
    pub(super) requested: Option<&'a NodePool>,
    /// The pool with this name in Azure.
    pub(super) current: Option<&'a NodePool>,
    /// The pool with this name in the specification before the change.
    pub(super) stored: Option<&'a NodePool>,
    /// The version of its nodes, if Azure reports it.
    pub(super) reported_version: Option<&'a String>,
}

impl Pool<'_> {
    pub(super) fn name(&self) -> &str {
        self.spec.name.as_deref().unwrap_or_default()
    }

    /// The desired version.
    pub(super) fn version(&self) -> Option<&str> {
        self.spec.orchestrator_version.as_deref()
    }

    /// The running version of its nodes, if they exist.
    pub(super) fn running_version(&self) -> Option<&str> {
        let current = self.current?;
        self.reported_version.map(String::as_str).or(current.orchestrator_version.as_deref())
    }

    /// The path of a key, such as `nodePools[1].vmSize`.
    pub(super) fn key(&self, key: &str) -> String {
        format!("nodePools[{}].{key}", self.index)
    }

    /// The desired VM size.
    pub(super) fn size(&self) -> &str {
        self.spec.vm_size.as_deref().unwrap_or_default()
    }

    /// Whether the pool does not exist in Azure.
    pub(super) fn is_new(&self) -> bool {
        self.current.is_none()
    }

    /// Whether its nodes must change to the desired version.
    pub(super) fn needs_upgrade(&self) -> bool {
        self.version()
            .zip(self.running_version())
            .is_some_and(|(desired, running)| versions::requires_upgrade(desired, running))
    }

    pub(super) fn is_system(&self) -> bool {
        self.spec.is_system()
    }

    pub(super) fn is_autoscaled(&self) -> bool {
        self.spec.is_autoscaled()
    }

    /// The number of nodes that the change itself adds; negative if it removes some. An existing autoscaled pool only grows to
    /// its minimum, because the autoscaler controls its count within the limits.
    pub(super) fn added_nodes(&self) -> i64 {
        let clamp_count = |count: Option<i64>| count.unwrap_or_default().clamp(0, MAX_COUNT);
        let minimum = self.spec.min_count.filter(|_| self.is_autoscaled());
        let Some(current) = self.current else { return clamp_count(self.spec.count.max(minimum)) };
        let running = clamp_count(current.count);
        if self.is_autoscaled() {
            return clamp_count(minimum).saturating_sub(running).max(0);
        }
        clamp_count(self.spec.count) - running
    }

    /// The increase of the maximum number of nodes, compared with the current or the stored pool, whichever has more.
    pub(super) fn max_growth(&self) -> i64 {
        // A pool that does not exist in Azure has no nodes, even if it is in the stored specification.
        let Some(current) = self.current else { return max_nodes(self.spec) };
        max_nodes(self.spec) - max_nodes(current).max(self.stored.map_or(0, max_nodes))
    }
}

/// A limit for counts, far above the size of any pool, so that sums of unrealistic numbers cannot overflow.
const MAX_COUNT: i64 = 1_000_000;

/// The maximum number of nodes of a pool, without surge nodes.
pub(super) fn max_nodes(pool: &NodePool) -> i64 {
    let nodes = if pool.is_autoscaled() { pool.max_count.or(pool.count) } else { pool.count };
    nodes.unwrap_or_default().clamp(0, MAX_COUNT)
}

/// The number of surge nodes for an upgrade of `nodes` nodes, rounded up. The default of AKS is 10 %.
pub(crate) fn surge_nodes(pool: &NodePool, nodes: i64) -> i64 {
    let nodes = nodes.clamp(0, MAX_COUNT);
    let percent_of_nodes = |percent: i64| (nodes * percent + 99).div_euclid(100);
    match pool.max_surge.as_deref() {
        None => percent_of_nodes(10),
        Some(max_surge) => match max_surge.strip_suffix('%') {
            Some(percent) => percent_of_nodes(percent.parse::<i64>().unwrap_or(10).clamp(0, 100)),
            None => max_surge.parse::<i64>().unwrap_or(1).clamp(0, MAX_COUNT),
        },
    }
}
