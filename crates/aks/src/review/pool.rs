//! One node pool of the specification beside the same pool in Azure and before the change.

use crate::spec::{NodePool, given};

/// A node pool of the specification.
pub(super) struct Pool<'a> {
    pub(super) index: usize,
    /// As it will count.
    pub(super) wanted: &'a NodePool,
    /// As the user says it.
    pub(super) said: Option<&'a NodePool>,
    /// The pool of that name in Azure.
    pub(super) current: Option<&'a NodePool>,
    /// The pool of that name before the change.
    pub(super) stored: Option<&'a NodePool>,
    /// The version of its nodes, where Azure says it.
    pub(super) reported_version: Option<&'a String>,
}

impl Pool<'_> {
    pub(super) fn name(&self) -> &str {
        self.wanted.name.as_deref().unwrap_or_default()
    }

    /// The version that is wanted, when one is.
    pub(super) fn version(&self) -> Option<&str> {
        given(self.wanted.orchestrator_version.as_ref())
    }

    /// The version that its nodes run, once they are there.
    pub(super) fn running(&self) -> Option<&str> {
        let current = self.current?;
        self.reported_version.map(String::as_str).or_else(|| given(current.orchestrator_version.as_ref()))
    }

    /// `aksConfig.nodePools[1].vmSize`
    pub(super) fn field(&self, key: &str) -> String {
        format!("aksConfig.nodePools[{}].{key}", self.index)
    }

    /// Whether it is still to be made.
    pub(super) fn is_new(&self) -> bool {
        self.current.is_none()
    }

    pub(super) fn is_system(&self) -> bool {
        is_system(self.wanted)
    }

    pub(super) fn scales(&self) -> bool {
        self.wanted.enable_auto_scaling == Some(true)
    }

    /// Nodes that Azure has to add at once; negative when it removes some. The count of a pool that scales by itself is the
    /// autoscaler's, within its limits.
    pub(super) fn added(&self) -> i64 {
        let clamped = |count: i64| count.clamp(0, MANY);
        let wanted = self.wanted.count.unwrap_or_default();
        let Some(current) = self.current else {
            let least = self.wanted.min_count.filter(|_| self.scales()).unwrap_or_default();
            return clamped(wanted.max(least));
        };
        let has = clamped(current.count.unwrap_or_default());
        if self.scales() {
            return clamped(self.wanted.min_count.unwrap_or_default()).saturating_sub(has).max(0);
        }
        clamped(wanted) - has
    }

    /// Machines that it may come to have more than it has or was to have.
    pub(super) fn growth(&self) -> i64 {
        let before =
            self.current.map_or(0, at_most).max(self.stored.filter(|_| !self.is_new()).map_or(0, at_most));
        at_most(self.wanted) - before
    }
}

pub(super) fn is_system(pool: &NodePool) -> bool {
    given(pool.mode.as_ref()).is_some_and(|mode| mode.eq_ignore_ascii_case("System"))
}

/// No pool comes near it; keeps sums of senseless numbers in bounds.
const MANY: i64 = 1_000_000;

/// The most machines that a pool comes to have while nothing is replaced.
pub(super) fn at_most(pool: &NodePool) -> i64 {
    let nodes =
        if pool.enable_auto_scaling == Some(true) { pool.max_count.or(pool.count) } else { pool.count };
    nodes.unwrap_or_default().clamp(0, MANY)
}

/// The machines that are added to so many while they are replaced, rounded up. AKS adds a tenth when nothing is said.
pub(super) fn surge(pool: &NodePool, nodes: i64) -> i64 {
    let share = |percent: i64| (nodes * percent).div_euclid(100) + i64::from((nodes * percent) % 100 != 0);
    match given(pool.max_surge.as_ref()) {
        None => share(10),
        Some(text) => match text.strip_suffix('%') {
            Some(percent) => share(percent.parse::<i64>().unwrap_or(10).clamp(0, 100)),
            None => text.parse::<i64>().unwrap_or(1).clamp(0, MANY),
        },
    }
}
