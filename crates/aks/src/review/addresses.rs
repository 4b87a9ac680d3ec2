//! Whether there are enough addresses for all nodes and pods.

use super::azure::Block;
use super::case::Case;
use super::cidr;
use super::pool::{at_most, surge};
use super::rule::{Fault, Rule};
use super::subnets::{Place, places, prefixes};
use crate::spec::{AksConfig, NodePool, given};

const PLANNING: &str = "Azure: CNI networking, IP address planning, \
    https://learn.microsoft.com/azure/aks/concepts-network-ip-address-planning";
const KUBENET: &str = "Azure: Use kubenet networking in AKS, limitations, https://learn.microsoft.com/azure/aks/configure-kubenet";

pub(super) const RULES: &[Rule] = &[
    Rule::error("subnet-fits", PLANNING, subnet_fits).needs(&[Block::Networks]),
    Rule::error("pod-range-fits", KUBENET, pod_range_fits).warning(),
];

/// Azure keeps so many addresses of every subnet.
const KEPT: i64 = 5;

/// Pods of a node when nothing is said.
const PODS: i64 = 30;

/// The most nodes of a pool while its nodes are replaced.
fn nodes(pool: &NodePool) -> i64 {
    let nodes = at_most(pool);
    nodes + surge(pool, nodes)
}

/// The addresses of the subnet that a pool may come to need: one for each node, and one for each of its pods where those are
/// in the same subnet.
fn addresses(case: &Case<'_>, pool: &NodePool) -> i64 {
    let pods = pool.max_pods.unwrap_or(PODS).clamp(0, 1_000);
    nodes(pool) * if case.pods_in_node_subnet(pool) { pods + 1 } else { 1 }
}

/// The addresses that pools of a specification need in the subnet of `place`.
fn needs_of(case: &Case<'_>, place: &Place<'_>, spec: Option<&AksConfig>) -> i64 {
    let pools = spec.iter().flat_map(|it| it.node_pools.iter().flatten());
    let here = pools.filter(|pool| case.subnet_of(pool).as_ref() == Some(&place.subnet));
    here.map(|pool| addresses(case, pool)).sum()
}

fn subnet_fits(case: &Case<'_>) -> Vec<Fault> {
    let full = places(case).into_iter().filter_map(|place| {
        let subnet = place.found()?.properties.as_ref()?;
        let whole: i64 = prefixes(subnet).into_iter().filter_map(cidr::v4).map(cidr::size).sum();
        if whole == 0 {
            return None;
        }
        let need: i64 = place.pools.iter().map(|pool| addresses(case, pool.wanted)).sum();
        // What is in use holds what the cluster has already, which it does not need once more.
        let own = needs_of(case, &place, case.current);
        if case.current.is_some() && need <= own {
            return None;
        }
        let used = i64::try_from(subnet.used_addresses).unwrap_or(i64::MAX).saturating_sub(own).max(0);
        let left = whole.saturating_sub(used).saturating_sub(KEPT).max(0);
        if need <= left {
            return None;
        }
        let pools: Vec<&str> = place.pools.iter().map(super::pool::Pool::name).collect();
        let flat = place.pools.iter().any(|pool| case.pods_in_node_subnet(pool.wanted));
        let each = if flat { "nodes at most and surge, times maxPods + 1" } else { "nodes at most and surge" };
        Some(Fault::new(
            place.field(),
            format!(
                "the subnet {} has {left} addresses left, and the node pools {} may come to need {need} ({each})",
                place.shown(),
                pools.join(", ")
            ),
            "use a larger subnet, or lower count, maxCount, maxSurge or maxPods",
        ))
    });
    full.collect()
}

/// Kubenet and Azure CNI Overlay give each node 256 addresses for pods; kubenet routes to at most 400 nodes.
fn pod_range_fits(case: &Case<'_>) -> Vec<Fault> {
    let most = match case.plugin().as_str() {
        "kubenet" => 400,
        "azure" if case.overlay() => 5_000,
        _ => return Vec::new(),
    };
    let text = given(case.spec.pod_cidr.as_ref()).unwrap_or("10.244.0.0/16");
    let Some(range) = cidr::v4(text) else { return Vec::new() };
    let room = (cidr::size(range) / 256).min(most);
    let need: i64 = case.pools().iter().map(|pool| nodes(pool.wanted)).sum();
    if need <= room {
        return Vec::new();
    }
    vec![Fault::new(
        "aksConfig.podCidr",
        format!("podCidr {range} has room for {room} nodes, and the node pools may come to have {need}"),
        "use a larger range or fewer nodes",
    )]
}
