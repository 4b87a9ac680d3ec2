//! Node pools: node counts, scaling, pods and disks.

use super::input::RuleInput;
use super::pool::{Pool, max_nodes};
use super::rule::{FieldFindings, Rule};
use super::sources::{AGENT_POOLS_DOC, AUTOSCALER_DOC, LIMITS_DOC, SYSTEM_POOLS_DOC, learn};
use crate::spec::rules::Violation;

const SURGE_DOC: &str =
    learn!("Customize node surge upgrade", "azure/aks/upgrade-aks-cluster#customize-node-surge-upgrade");

pub(super) const RULES: &[Rule] = &[
    Rule::error("pool-mode", "docs/contract/aks-config.md#node-pool-fields", mode),
    Rule::error("pool-count", LIMITS_DOC, count),
    Rule::error("pool-scaling", AUTOSCALER_DOC, scaling),
    Rule::error(
        "pool-scaling-off",
        "docs/contract/provisioning.md#pool-differences",
        limits_without_autoscaling,
    ),
    Rule::error("pool-limits", LIMITS_DOC, cluster_limits),
    Rule::error("pods-of-a-node", LIMITS_DOC, max_pods),
    Rule::error("pods-of-system-pools", SYSTEM_POOLS_DOC, system_pool_pods),
    Rule::error("pool-surge", SURGE_DOC, surge),
    Rule::error("disk-size", AGENT_POOLS_DOC, disk_size),
    Rule::error("disk-type", AGENT_POOLS_DOC, disk_type),
];

/// Adds the finding `<key> <value> of node pool <name> <problem>`.
fn add_problem(
    findings: &mut FieldFindings,
    pool: &Pool<'_>,
    key: &str,
    value: &str,
    problem: &str,
    remedy: impl Into<String>,
) {
    let message = format!("{key} {value} of node pool {} {problem}", pool.name());
    findings.add(pool.key(key), message, remedy);
}

const OUT_OF_RANGE: &str = "is out of range";

fn is_one_of_ignoring_case(value: &str, supported: [&str; 2]) -> bool {
    supported.iter().any(|name| name.eq_ignore_ascii_case(value))
}

fn mode(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for pool in input.pools() {
        let Some(mode) = pool.spec.mode.as_deref() else { continue };
        // Azure may have pools of other modes.
        let is_unchanged = pool.current.is_some_and(|current| current.mode == pool.spec.mode);
        if !is_one_of_ignoring_case(mode, ["System", "User"]) && !is_unchanged {
            add_problem(
                findings,
                &pool,
                "mode",
                &format!("{mode:?}"),
                "is not supported",
                "set mode to System or User",
            );
        }
    }
}

/// The minimum and maximum number of nodes of a pool.
fn count_limits(pool: &Pool<'_>) -> (i64, i64) {
    (i64::from(pool.is_system()), 1_000)
}

fn count(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for pool in input.pools() {
        let (min, max) = count_limits(&pool);
        let Some(count) = pool.spec.count.filter(|_| !pool.is_autoscaled()) else { continue };
        if !(min..=max).contains(&count) {
            let mode = if pool.is_system() { "System" } else { "User" };
            let remedy = format!("use {min} to {max} for a pool of mode {mode}");
            add_problem(findings, &pool, "count", &count.to_string(), OUT_OF_RANGE, remedy);
        }
    }
}

fn scaling(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for pool in input.pools().iter().filter(|pool| pool.is_autoscaled()) {
        let (lower_limit, upper_limit) = count_limits(pool);
        // Clients send 0 for an unset maxCount; a minCount of 0 is valid.
        let (min, max) = (pool.spec.min_count, pool.spec.max_count.filter(|max| *max != 0));
        let (Some(min), Some(max)) = (min, max) else {
            let key = if min.is_none() { "minCount" } else { "maxCount" };
            let message =
                format!("{key} of node pool {} is not set although enableAutoScaling is on", pool.name());
            findings.add(
                pool.key(key),
                message,
                format!("set minCount and maxCount, for example {lower_limit} and 3"),
            );
            continue;
        };
        let smallest_max_count = lower_limit.max(1);
        if (lower_limit..=upper_limit).contains(&max) && (min < lower_limit || min > max) {
            let remedy = format!("use {lower_limit} up to maxCount, which is {max}");
            add_problem(findings, pool, "minCount", &min.to_string(), OUT_OF_RANGE, remedy);
        } else if !(smallest_max_count..=upper_limit).contains(&max) {
            add_problem(
                findings,
                pool,
                "maxCount",
                &max.to_string(),
                OUT_OF_RANGE,
                format!("use {smallest_max_count} to {upper_limit}"),
            );
        } else if let Some(count) = pool.spec.count
            && pool.is_new()
            && !(min..=max).contains(&count)
        {
            // Only for a new pool: the autoscaler controls the count of an existing one.
            let problem = format!("is not between minCount {min} and maxCount {max}");
            add_problem(
                findings,
                pool,
                "count",
                &count.to_string(),
                &problem,
                "use a number between the two",
            );
        }
    }
}

fn limits_without_autoscaling(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for pool in input.pools() {
        let Some(requested) = pool.requested else { continue };
        let has_limits = requested.min_count.is_some() && requested.max_count.is_some();
        if requested.enable_auto_scaling == Some(false) && has_limits {
            let (cluster, pool_name) = (input.display_name(), pool.name().to_owned());
            let violation = Violation::CountsWithoutAutoscaling { cluster, pool: pool_name };
            findings.add(pool.key("minCount"), violation.to_string(), violation.remedy());
        }
    }
}

fn cluster_limits(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    const MAX_POOLS: usize = 100;
    const MAX_NODES: i64 = 5_000;
    let pools = input.spec.pools();
    let nodes: i64 = pools.iter().map(max_nodes).sum();
    let remedy = "create another cluster for the rest";
    if pools.len() > MAX_POOLS {
        let message =
            format!("nodePools has {} pools, but a cluster can have at most {MAX_POOLS}", pools.len());
        findings.add("nodePools", message, remedy);
    }
    if nodes > MAX_NODES {
        let message =
            format!("nodePools may have up to {nodes} nodes, but a cluster can have at most {MAX_NODES}");
        findings.add("nodePools", message, remedy);
    }
}

fn max_pods(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for pool in input.pools() {
        if let Some(pods) = pool.spec.max_pods.filter(|pods| !(10..=250).contains(pods)) {
            add_problem(findings, &pool, "maxPods", &pods.to_string(), OUT_OF_RANGE, "use 10 to 250");
        }
    }
}

fn system_pool_pods(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    const MIN_PODS: i64 = 30;
    for pool in input.pools().iter().filter(|pool| pool.is_system() && pool.is_new()) {
        let nodes = if pool.is_autoscaled() { pool.spec.min_count } else { pool.spec.count };
        let (Some(pods), Some(nodes)) = (pool.spec.max_pods, nodes) else { continue };
        let total = pods.saturating_mul(nodes.clamp(0, 1_000));
        if pods > 0 && nodes > 0 && total < MIN_PODS {
            let problem = format!("allows {total} pods, but a pool of mode System needs room for {MIN_PODS}");
            let remedy = format!("set maxPods to {MIN_PODS} or more");
            add_problem(findings, pool, "maxPods", &pods.to_string(), &problem, remedy);
        }
    }
}

fn surge(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for pool in input.pools() {
        let Some(max_surge) = pool.spec.max_surge.as_deref() else { continue };
        let is_valid = match max_surge.strip_suffix('%') {
            Some(percent) => percent.parse().is_ok_and(|percent: u32| (1..=100).contains(&percent)),
            None => max_surge.parse().is_ok_and(|nodes: u32| nodes <= 1_000),
        };
        if !is_valid {
            let problem = "is not a valid number or percentage";
            let remedy = "use a number of nodes such as 1, or a percentage such as 33%";
            add_problem(findings, &pool, "maxSurge", &format!("{max_surge:?}"), problem, remedy);
        }
    }
}

fn disk_size(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for pool in input.pools() {
        let size = pool.spec.os_disk_size_gb.filter(|size| *size != 0 && !(30..=2_048).contains(size));
        if let Some(size) = size {
            let remedy = "use 30 to 2048, or 0 for the default of the VM size";
            add_problem(findings, &pool, "osDiskSizeGB", &size.to_string(), OUT_OF_RANGE, remedy);
        }
    }
}

fn disk_type(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for pool in input.pools() {
        let Some(disk_type) = pool.spec.os_disk_type.as_deref() else { continue };
        if !is_one_of_ignoring_case(disk_type, ["Managed", "Ephemeral"]) {
            let remedy = "set osDiskType to Managed or Ephemeral";
            add_problem(findings, &pool, "osDiskType", &format!("{disk_type:?}"), "is not supported", remedy);
        }
    }
}
