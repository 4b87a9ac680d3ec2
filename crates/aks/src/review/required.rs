//! Required fields, in Rancher's order and texts (`docs/contract/provisioning.md#validation-by-the-operator`). Those of
//! `docs/contract/clusters.md#validation-on-save` are rejected before the review when a cluster is saved; they are here
//! so that a review is complete.

use std::collections::BTreeSet;

use super::case::Case;
use super::rule::{Fault, Rule, Scope};
use crate::spec::rules::{Violation, enforces_policies};
use crate::spec::{NodePool, given};

pub(super) const SAVING: &str = "docs/contract/clusters.md#validation-on-save";
const OPERATOR: &str = "docs/contract/provisioning.md#validation-by-the-operator";
const POLICIES: &str = "Azure: Secure traffic with network policies, network policy options, \
    https://learn.microsoft.com/azure/aks/use-network-policies";
const WINDOWS: &str =
    "Azure: Create node pools, limitations, https://learn.microsoft.com/azure/aks/create-node-pools";

/// The rule about fields without which a cluster of any kind can never be looked at.
pub(super) const FIELDS: &str = "fields-given";

pub(super) const RULES: &[Rule] = &[
    Rule::error("network-isolation", POLICIES, network_isolation),
    Rule::error("region-given", SAVING, region).about(Scope::Any),
    Rule::error(FIELDS, OPERATOR, fields).about(Scope::Any),
    Rule::error("version-given", OPERATOR, version),
    Rule::error("dns-prefix-given", OPERATOR, dns_prefix),
    Rule::error("pools-given", SAVING, pools),
    Rule::error("pool-name-given", SAVING, pool_names),
    Rule::error("pool-names-unique", OPERATOR, unique_pool_names),
    Rule::error("pool-fields-given", OPERATOR, pool_fields),
    Rule::error("linux-pools", WINDOWS, linux_pools),
    Rule::error("system-pool", OPERATOR, system_pool),
];

fn network_isolation(case: &Case<'_>) -> Vec<Fault> {
    let policy = given(case.spec.network_policy.as_ref());
    if !case.isolation || policy.is_none_or(enforces_policies) {
        return Vec::new();
    }
    vec![fault_of(&Violation::NoNetworkPolicy)]
}

/// A rule of saving as a finding.
fn fault_of(violation: &Violation) -> Fault {
    Fault::new(violation.field(), violation.to_string(), violation.remedy())
}

fn region(case: &Case<'_>) -> Vec<Fault> {
    if !case.region().is_empty() {
        return Vec::new();
    }
    vec![fault_of(&Violation::NoRegion)]
}

/// `field [x] must be provided …`
fn missing(case: &Case<'_>, key: &str) -> Fault {
    let message = format!("field [{key}] must be provided for cluster [{}] config", case.named());
    Fault::new(format!("aksConfig.{key}"), message, format!("set {key}"))
}

fn fields(case: &Case<'_>) -> Vec<Fault> {
    let spec = &case.spec;
    let keys = [
        ("resourceGroup", given(spec.resource_group.as_ref()).is_some()),
        ("clusterName", given(spec.cluster_name.as_ref()).is_some()),
        (
            "azureCredentialSecret",
            // What Azure has tells nothing about it, so that only what is said counts.
            case.facts.credential_sent_along || given(case.said.azure_credential_secret.as_ref()).is_some(),
        ),
    ];
    keys.into_iter().filter(|(_, given)| !given).map(|(key, _)| missing(case, key)).collect()
}

fn version(case: &Case<'_>) -> Vec<Fault> {
    let fault = match case.spec.kubernetes_version.as_deref() {
        None => missing(case, "kubernetesVersion"),
        Some("") => fault_of(&Violation::EmptyVersion),
        Some(_) => return Vec::new(),
    };
    vec![fault]
}

fn dns_prefix(case: &Case<'_>) -> Vec<Fault> {
    match given(case.spec.dns_prefix.as_ref()) {
        None => vec![missing(case, "dnsPrefix")],
        Some(_) => Vec::new(),
    }
}

fn pools(case: &Case<'_>) -> Vec<Fault> {
    match &case.spec.node_pools {
        Some(pools) if pools.is_empty() => vec![fault_of(&Violation::NoNodePool)],
        _ => Vec::new(),
    }
}

fn pool_names(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    let nameless = pools.iter().filter(|pool| pool.name().is_empty());
    nameless.map(|pool| fault_of(&Violation::UnnamedNodePool { index: pool.index })).collect()
}

fn unique_pool_names(case: &Case<'_>) -> Vec<Fault> {
    let mut seen = BTreeSet::new();
    let pools = case.pools();
    let again = pools.iter().filter(|pool| !pool.name().is_empty() && !seen.insert(pool.name()));
    again
        .map(|pool| {
            let message = format!(
                "nodePool names must be unique within the [{}] cluster to avoid duplication",
                case.named()
            );
            Fault::new(
                pool.field("name"),
                message,
                format!("give one of the pools {} another name", pool.name()),
            )
        })
        .collect()
}

/// A key of a pool as it is written, as Rancher's messages name it, and whether it is there.
type PoolKey = (&'static str, &'static str, fn(&NodePool) -> bool);

const POOL_KEYS: [PoolKey; 7] = [
    ("count", "Count", |pool| pool.count.is_some()),
    ("maxPods", "MaxPods", |pool| pool.max_pods.is_some()),
    ("vmSize", "VMSize", |pool| given(pool.vm_size.as_ref()).is_some()),
    ("osDiskSizeGB", "OsDiskSizeGB", |pool| pool.os_disk_size_gb.is_some()),
    ("osDiskType", "OSDiskType", |pool| given(pool.os_disk_type.as_ref()).is_some()),
    ("mode", "Mode", |pool| given(pool.mode.as_ref()).is_some()),
    ("osType", "OsType", |pool| given(pool.os_type.as_ref()).is_some()),
];

fn pool_fields(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    let missing = pools.iter().flat_map(|pool| {
        let keys = POOL_KEYS.iter().filter(|(_, _, is_given)| !is_given(pool.wanted));
        keys.map(move |(key, name, _)| (pool, *key, *name))
    });
    missing
        .map(|(pool, key, name)| {
            let message =
                format!("field [NodePool.{name}] must be provided for cluster [{}] config", case.named());
            Fault::new(pool.field(key), message, format!("set {key} of node pool {}", pool.name()))
        })
        .collect()
}

fn linux_pools(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    // A pool that is there is no new one: Azure runs it, and only its changes come from here.
    let others = pools.iter().filter(|pool| pool.is_new()).filter_map(|pool| {
        let system = given(pool.wanted.os_type.as_ref()).filter(|it| !it.eq_ignore_ascii_case("Linux"))?;
        if system.eq_ignore_ascii_case("Windows") {
            return Some(fault_of(&Violation::WindowsNodePool { index: pool.index }));
        }
        let message =
            format!("osType of node pool {} is {system:?}, which is no operating system of AKS", pool.name());
        Some(Fault::new(pool.field("osType"), message, "set osType to Linux"))
    });
    others.collect()
}

fn system_pool(case: &Case<'_>) -> Vec<Fault> {
    // An empty list is another rule's; a list that is missing is not.
    let pools = case.pools();
    if pools.iter().any(super::pool::Pool::is_system)
        || matches!(&case.spec.node_pools, Some(list) if list.is_empty())
    {
        return Vec::new();
    }
    vec![Fault::new(
        "aksConfig.nodePools",
        "at least one NodePool with mode System is required",
        "set mode of one of the node pools to System",
    )]
}
