//! Rules about address ranges that are too small for all nodes and pods.

use super::azure::DataPart;
use super::cidr;
use super::input::RuleInput;
use super::pool::{Pool, max_nodes, surge_nodes};
use super::rule::{FieldFindings, Rule};
use super::sources::{PLANNING_DOC, learn};
use super::subnets::{prefixes, used_subnets};
use crate::spec::NodePool;

const KUBENET_DOC: &str = learn!("Use kubenet networking in AKS, limitations", "azure/aks/configure-kubenet");

pub(super) const RULES: &[Rule] = &[
    Rule::error("subnet-fits", PLANNING_DOC, subnet_fits).needs(&[DataPart::Networks]),
    Rule::warning("pod-range-fits", KUBENET_DOC, pod_range_fits),
];

/// The number of addresses that Azure reserves in every subnet.
const RESERVED_ADDRESSES: i64 = 5;

/// Azure's default of `maxPods`.
const DEFAULT_MAX_PODS: i64 = 30;

/// The maximum number of nodes of a pool during an upgrade.
fn max_nodes_in_upgrade(pool: &NodePool) -> i64 {
    let nodes = max_nodes(pool);
    nodes + surge_nodes(pool, nodes)
}

/// The addresses of the subnet that a pool may need: one for each node, and one for each pod if pods use the same subnet.
fn needed_addresses(input: &RuleInput<'_>, pool: &NodePool) -> i64 {
    let pods = pool.max_pods.unwrap_or(DEFAULT_MAX_PODS).clamp(0, 1_000);
    max_nodes_in_upgrade(pool) * if input.pods_in_node_subnet(pool) { pods + 1 } else { 1 }
}

fn subnet_fits(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for used in used_subnets(input) {
        let Some(subnet) = used.properties() else { continue };
        let size: i64 =
            prefixes(subnet).into_iter().filter_map(cidr::parse_v4).map(cidr::address_count).sum();
        let needed: i64 = used.pools.iter().map(|pool| needed_addresses(input, pool.spec)).sum();
        // The used addresses include those of the cluster's existing nodes.
        let is_in_subnet = |pool: &&NodePool| input.subnet_of(pool).as_ref() == Some(&used.subnet);
        let used_by_cluster: i64 =
            input.current_pools().iter().filter(is_in_subnet).map(|pool| needed_addresses(input, pool)).sum();
        let used_by_others =
            i64::try_from(subnet.used_addresses).unwrap_or(i64::MAX).saturating_sub(used_by_cluster).max(0);
        let left = size.saturating_sub(used_by_others).saturating_sub(RESERVED_ADDRESSES).max(0);
        if size == 0 || (input.current.is_some() && needed <= used_by_cluster) || needed <= left {
            continue;
        }
        let pools: Vec<&str> = used.pools.iter().map(Pool::name).collect();
        let has_pods = used.pools.iter().any(|pool| input.pods_in_node_subnet(pool.spec));
        let formula =
            if has_pods { "maximum nodes and surge, times maxPods + 1" } else { "maximum nodes and surge" };
        let message = format!(
            "the subnet {used} has {left} addresses left, but the node pools {} may need {needed} ({formula})",
            pools.join(", ")
        );
        findings.add(
            used.key(),
            message,
            "use a larger subnet, or lower count, maxCount, maxSurge or maxPods",
        );
    }
}

/// Kubenet and Azure CNI Overlay give each node 256 addresses for pods. Kubenet has routes for at most 400 nodes, and a cluster
/// has at most 5,000.
fn pod_range_fits(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let node_limit = match input.network_plugin().as_str() {
        "kubenet" => 400,
        "azure" if input.is_overlay() => 5_000,
        _ => return,
    };
    let pod_cidr = input.spec.pod_cidr.as_deref().unwrap_or("10.244.0.0/16");
    let Some(range) = cidr::parse_v4(pod_cidr) else { return };
    let capacity = (cidr::address_count(range) / 256).min(node_limit);
    let needed: i64 = input.spec.pools().iter().map(max_nodes_in_upgrade).sum();
    if needed > capacity {
        let message = format!(
            "podCidr {range} has addresses for {capacity} nodes, but the node pools may have {needed}"
        );
        findings.add("podCidr", message, "use a larger range or fewer nodes");
    }
}
