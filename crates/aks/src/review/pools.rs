//! Node pools: how many nodes, how they scale, their pods and disks.

use super::case::Case;
use super::pool::{Pool, at_most};
use super::rule::{Fault, Rule};
use crate::spec::given;

const LIMITS: &str = "Azure: Quotas, VM size restrictions and region availability in AKS, \
    https://learn.microsoft.com/azure/aks/quotas-skus-regions";
const SYSTEM: &str =
    "Azure: Manage system node pools, limitations, https://learn.microsoft.com/azure/aks/use-system-pools";
const SCALING: &str =
    "Azure: Use the cluster autoscaler in AKS, https://learn.microsoft.com/azure/aks/cluster-autoscaler";
const SURGE: &str = "Azure: Customize node surge upgrade, https://learn.microsoft.com/azure/aks/upgrade-aks-cluster#customize-node-surge-upgrade";
const DISKS: &str =
    "Azure: Agent pools, REST, https://learn.microsoft.com/rest/api/aks/agent-pools/create-or-update";

pub(super) const RULES: &[Rule] = &[
    Rule::error("pool-mode", "docs/contract/aks-config.md#node-pool-fields", mode),
    Rule::error("pool-count", LIMITS, count),
    Rule::error("pool-scaling", SCALING, scaling),
    Rule::error("pool-scaling-off", "docs/contract/provisioning.md#pool-differences", scaling_off),
    Rule::error("pool-limits", LIMITS, limits),
    Rule::error("pods-of-a-node", LIMITS, pods),
    Rule::error("pods-of-system-pools", SYSTEM, system_pods),
    Rule::error("pool-surge", SURGE, surge),
    Rule::error("disk-size", DISKS, disk_size),
    Rule::error("disk-type", DISKS, disk_type),
];

/// What a rule says about each pool.
fn each(case: &Case<'_>, check: impl Fn(&Pool<'_>) -> Option<Fault>) -> Vec<Fault> {
    case.pools().iter().filter_map(check).collect()
}

fn mode(case: &Case<'_>) -> Vec<Fault> {
    each(case, |pool| {
        let mode = given(pool.wanted.mode.as_ref())?;
        let known = ["System", "User"].iter().any(|it| it.eq_ignore_ascii_case(mode));
        // Azure may have made pools of other kinds.
        let unchanged = pool.current.is_some_and(|it| it.mode == pool.wanted.mode);
        (!known && !unchanged).then(|| {
            let message = format!("mode {mode:?} of node pool {} is none that Azure has", pool.name());
            Fault::new(pool.field("mode"), message, "set mode to System or User")
        })
    })
}

/// The nodes that a pool must and may have.
fn bounds(pool: &Pool<'_>) -> (i64, i64) {
    (i64::from(pool.is_system()), 1_000)
}

fn count(case: &Case<'_>) -> Vec<Fault> {
    each(case, |pool| {
        let count = pool.wanted.count.filter(|_| !pool.scales())?;
        let (least, most) = bounds(pool);
        (!(least..=most).contains(&count)).then(|| {
            let message = format!("count {count} of node pool {} is out of range", pool.name());
            let kind = if pool.is_system() { "System" } else { "User" };
            Fault::new(
                pool.field("count"),
                message,
                format!("use {least} to {most} for a pool of mode {kind}"),
            )
        })
    })
}

fn scaling(case: &Case<'_>) -> Vec<Fault> {
    each(case, |pool| {
        if !pool.scales() {
            return None;
        }
        let name = pool.name();
        // Clients send 0 for limits that are not set.
        let most = pool.wanted.max_count.filter(|most| *most != 0);
        let (floor, ceiling) = bounds(pool);
        let (Some(least), Some(most)) = (pool.wanted.min_count, most) else {
            let key = if pool.wanted.min_count.is_none() { "minCount" } else { "maxCount" };
            let message = format!("{key} of node pool {name} is not set although enableAutoScaling is on");
            let remedy = format!("set minCount and maxCount, for example {floor} and 3");
            return Some(Fault::new(pool.field(key), message, remedy));
        };
        if (floor..=ceiling).contains(&most) && (least < floor || least > most) {
            let message = format!("minCount {least} of node pool {name} is out of range");
            return Some(Fault::new(
                pool.field("minCount"),
                message,
                format!("use {floor} up to maxCount, which is {most}"),
            ));
        }
        if most < floor.max(1) || most > ceiling {
            let message = format!("maxCount {most} of node pool {name} is out of range");
            let lowest = floor.max(1);
            return Some(Fault::new(pool.field("maxCount"), message, format!("use {lowest} to {ceiling}")));
        }
        // Once the pool is there, its count is the autoscaler's.
        let count = pool.wanted.count.filter(|count| pool.is_new() && !(least..=most).contains(count))?;
        let message =
            format!("count {count} of node pool {name} is not between minCount {least} and maxCount {most}");
        Some(Fault::new(pool.field("count"), message, "use a number between the two"))
    })
}

fn scaling_off(case: &Case<'_>) -> Vec<Fault> {
    each(case, |pool| {
        let said = pool.said?;
        let pinned = said.min_count.is_some() && said.max_count.is_some();
        (said.enable_auto_scaling == Some(false) && pinned).then(|| {
            let message = format!(
                "min and max node count must be nil for node pool [{}] for cluster [{}], because autoscaling is disabled",
                pool.name(),
                case.named()
            );
            Fault::new(pool.field("minCount"), message, "leave minCount and maxCount out, or switch enableAutoScaling on")
        })
    })
}

fn limits(case: &Case<'_>) -> Vec<Fault> {
    const MOST_POOLS: usize = 100;
    const MOST_NODES: i64 = 5_000;
    let pools = case.pools();
    let nodes: i64 = pools.iter().map(|pool| at_most(pool.wanted)).sum();
    let many = (pools.len() > MOST_POOLS)
        .then(|| format!("nodePools has {} pools, and a cluster can have {MOST_POOLS}", pools.len()));
    let large = (nodes > MOST_NODES)
        .then(|| format!("nodePools may come to have {nodes} nodes, and a cluster can have {MOST_NODES}"));
    many.into_iter()
        .chain(large)
        .map(|message| Fault::new("aksConfig.nodePools", message, "make another cluster for the rest"))
        .collect()
}

fn pods(case: &Case<'_>) -> Vec<Fault> {
    each(case, |pool| {
        let pods = pool.wanted.max_pods.filter(|pods| !(10..=250).contains(pods))?;
        let message = format!("maxPods {pods} of node pool {} is out of range", pool.name());
        Some(Fault::new(pool.field("maxPods"), message, "use 10 to 250"))
    })
}

fn system_pods(case: &Case<'_>) -> Vec<Fault> {
    const LEAST: i64 = 30;
    each(case, |pool| {
        let pods = pool.wanted.max_pods.filter(|_| pool.is_system() && pool.is_new())?;
        let nodes = if pool.scales() { pool.wanted.min_count } else { pool.wanted.count }?.clamp(0, 1_000);
        (pods > 0 && nodes > 0 && pods.saturating_mul(nodes) < LEAST).then(|| {
            let message = format!(
                "maxPods {pods} of node pool {} leaves room for {} pods, and a pool of mode System needs room for {LEAST}",
                pool.name(),
                pods.saturating_mul(nodes)
            );
            Fault::new(pool.field("maxPods"), message, format!("set maxPods to {LEAST} or more"))
        })
    })
}

fn surge(case: &Case<'_>) -> Vec<Fault> {
    each(case, |pool| {
        let text = given(pool.wanted.max_surge.as_ref())?;
        let fits = match text.strip_suffix('%') {
            Some(percent) => percent.parse().is_ok_and(|percent: u32| (1..=100).contains(&percent)),
            None => text.parse().is_ok_and(|nodes: u32| nodes <= 1_000),
        };
        (!fits).then(|| {
            let message =
                format!("maxSurge {text:?} of node pool {} is neither a number nor a share", pool.name());
            Fault::new(
                pool.field("maxSurge"),
                message,
                "use a number of nodes such as 1, or a share such as 33%",
            )
        })
    })
}

fn disk_size(case: &Case<'_>) -> Vec<Fault> {
    each(case, |pool| {
        let size = pool.wanted.os_disk_size_gb.filter(|size| *size != 0 && !(30..=2_048).contains(size))?;
        let message = format!("osDiskSizeGB {size} of node pool {} is out of range", pool.name());
        Some(Fault::new(
            pool.field("osDiskSizeGB"),
            message,
            "use 30 to 2048, or 0 for what Azure takes for the size",
        ))
    })
}

fn disk_type(case: &Case<'_>) -> Vec<Fault> {
    each(case, |pool| {
        let kind = given(pool.wanted.os_disk_type.as_ref())?;
        let known = ["Managed", "Ephemeral"].iter().any(|it| it.eq_ignore_ascii_case(kind));
        (!known).then(|| {
            let message = format!("osDiskType {kind:?} of node pool {} is none that Azure has", pool.name());
            Fault::new(pool.field("osDiskType"), message, "set osDiskType to Managed or Ephemeral")
        })
    })
}
