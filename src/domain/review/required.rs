//! What must be there at all, in Rancher's order and words (contract, sections 15 and 18). What section 15 demands is
//! refused before a review when a cluster is saved; it is here so that a review tells the whole.

use std::collections::BTreeSet;

use super::case::Case;
use super::rule::{Fault, Rule, Scope};
use crate::domain::spec::rules::Violation;
use crate::domain::spec::{NodePool, given};

pub(super) const SAVING: &str = "Rancher contract, section 15";
const OPERATOR: &str = "Rancher contract, section 18";

pub(super) const RULES: &[Rule] = &[
    Rule::error("network-isolation", SAVING, network_isolation),
    Rule::error("region-given", SAVING, region).about(Scope::Any),
    Rule::error("fields-given", OPERATOR, fields).about(Scope::Any),
    Rule::error("version-given", OPERATOR, version),
    Rule::error("dns-prefix-given", OPERATOR, dns_prefix),
    Rule::error("pools-given", SAVING, pools),
    Rule::error("pool-name-given", SAVING, pool_names),
    Rule::error("pool-names-unique", OPERATOR, unique_pool_names),
    Rule::error("pool-fields-given", OPERATOR, pool_fields),
    Rule::error("linux-pools", SAVING, linux_pools),
    Rule::error("system-pool", OPERATOR, system_pool),
];

fn network_isolation(case: &Case<'_>) -> Vec<Fault> {
    let policy = given(case.spec.network_policy.as_ref());
    if !case.isolation || policy.is_none_or(|policy| matches!(policy, "azure" | "calico")) {
        return Vec::new();
    }
    vec![Fault::new(
        "aksConfig.networkPolicy",
        Violation::NoNetworkPolicy.to_string(),
        "set networkPolicy to azure or calico, or leave enableNetworkPolicy off",
    )]
}

fn region(case: &Case<'_>) -> Vec<Fault> {
    if !case.region().is_empty() {
        return Vec::new();
    }
    vec![Fault::new(
        "aksConfig.resourceLocation",
        Violation::NoRegion.to_string(),
        "set resourceLocation to the name of a region, for example eastus",
    )]
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
            case.facts.credential_sent_along || given(spec.azure_credential_secret.as_ref()).is_some(),
        ),
    ];
    keys.into_iter().filter(|(_, given)| !given).map(|(key, _)| missing(case, key)).collect()
}

fn version(case: &Case<'_>) -> Vec<Fault> {
    let fault = match case.spec.kubernetes_version.as_deref() {
        None => missing(case, "kubernetesVersion"),
        Some("") => Fault::new(
            "aksConfig.kubernetesVersion",
            Violation::EmptyVersion.to_string(),
            "set it to a version that aksVersions lists",
        ),
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
        Some(pools) if pools.is_empty() => vec![Fault::new(
            "aksConfig.nodePools",
            Violation::NoNodePool.to_string(),
            "give at least one pool, with mode System",
        )],
        _ => Vec::new(),
    }
}

fn pool_names(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    let nameless = pools.iter().filter(|pool| pool.name().is_empty());
    nameless
        .map(|pool| {
            Fault::new(pool.field("name"), Violation::UnnamedNodePool.to_string(), "give the pool a name")
        })
        .collect()
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
    let others = pools.iter().filter_map(|pool| {
        let system = given(pool.wanted.os_type.as_ref()).filter(|it| !it.eq_ignore_ascii_case("Linux"))?;
        let message = match system {
            "Windows" => Violation::WindowsNodePool.to_string(),
            _ if system.eq_ignore_ascii_case("Windows") => {
                "windows node pools are not currently supported".to_owned()
            }
            _ => format!(
                "osType of node pool {} is {system:?}, which is no operating system of AKS",
                pool.name()
            ),
        };
        Some(Fault::new(pool.field("osType"), message, "set osType to Linux"))
    });
    others.collect()
}

fn system_pool(case: &Case<'_>) -> Vec<Fault> {
    // An empty list is another rule's; a list that is missing is not.
    let pools = case.pools();
    if pools.iter().any(super::case::Pool::is_system)
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
