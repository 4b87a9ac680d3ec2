//! A node pool of the specification, and the same pool in Azure and before the change.

use crate::spec::NodePool;
use crate::versions;

/// A node pool of the specification.
pub(super) struct Pool<'a> {
    pub(super) index: usize,
    /// The pool, with Azure's values for unset keys.
    pub(super) spec: &'a NodePool,
    /// The pool as it was requested.
    pub(super) requested: Option<&'a NodePool>,
    /// The pool with this name in Azure.
    pub(super) current: Option<&'a NodePool>,
    /// The pool with this name before the change.
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

    /// `nodePools[1].vmSize`
    pub(super) fn key(&self, key: &str) -> String {
        format!("nodePools[{}].{key}", self.index)
    }

    /// The desired VM size.
    pub(super) fn size(&self) -> &str {
        self.spec.vm_size.as_deref().unwrap_or_default()
    }

    /// Whether it is being created.
    pub(super) fn is_new(&self) -> bool {
        self.current.is_none()
    }

    /// Whether its nodes must change to the desired version.
    pub(super) fn is_upgraded(&self) -> bool {
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

    /// The nodes that Azure must add immediately; negative if it removes some. The autoscaler controls the count of an autoscaled
    /// pool within its limits.
    pub(super) fn added_nodes(&self) -> i64 {
        let clamp = |count: Option<i64>| count.unwrap_or_default().clamp(0, MAX_NODES);
        let minimum = self.spec.min_count.filter(|_| self.is_autoscaled());
        let Some(current) = self.current else { return clamp(self.spec.count.max(minimum)) };
        let running = clamp(current.count);
        if self.is_autoscaled() {
            return clamp(minimum).saturating_sub(running).max(0);
        }
        clamp(self.spec.count) - running
    }

    /// The maximum number of nodes to be added, compared with the current and the stored pool.
    pub(super) fn max_growth(&self) -> i64 {
        let stored = self.stored.filter(|_| !self.is_new());
        max_nodes(self.spec) - self.current.map_or(0, max_nodes).max(stored.map_or(0, max_nodes))
    }
}

/// A limit far above the size of any pool, so that sums of unrealistic numbers cannot overflow.
const MAX_NODES: i64 = 1_000_000;

/// The maximum number of nodes of a pool, without surge nodes.
pub(super) fn max_nodes(pool: &NodePool) -> i64 {
    let nodes = if pool.is_autoscaled() { pool.max_count.or(pool.count) } else { pool.count };
    nodes.unwrap_or_default().clamp(0, MAX_NODES)
}

/// The number of surge nodes for an upgrade of `nodes` nodes, rounded up. The default of AKS is 10 %.
pub(crate) fn surge_nodes(pool: &NodePool, nodes: i64) -> i64 {
    let nodes = nodes.clamp(0, MAX_NODES);
    let percentage =
        |percent: i64| (nodes * percent).div_euclid(100) + i64::from((nodes * percent) % 100 != 0);
    match pool.max_surge.as_deref() {
        None => percentage(10),
        Some(text) => match text.strip_suffix('%') {
            Some(percent) => percentage(percent.parse::<i64>().unwrap_or(10).clamp(0, 100)),
            None => text.parse::<i64>().unwrap_or(1).clamp(0, MAX_NODES),
        },
    }
}
