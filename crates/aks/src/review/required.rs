//! Required fields, in Rancher's order and with its messages (`docs/contract/provisioning.md#validation-by-the-operator`). The
//! rules of `docs/contract/clusters.md#validation-on-save` reject a request before its review ([`crate::spec::rules`]); they
//! are repeated here so that a separate review is complete.

use std::collections::BTreeSet;

use super::case::Case;
use super::rule::{Faults, Rule, Scope};
use super::sources::{CREATE_POOLS, OPERATOR, SAVING, learn};
use crate::spec::NodePool;
use crate::spec::rules::{Violation, enforces_policies, pool_violations};

const POLICIES: &str =
    learn!("Secure traffic with network policies, network policy options", "azure/aks/use-network-policies");

/// The name of the rule about fields without which a cluster cannot be found in Azure.
pub(super) const FIELDS: &str = "fields-given";

pub(super) const RULES: &[Rule] = &[
    Rule::error("network-isolation", POLICIES, network_isolation),
    Rule::error("region-given", SAVING, region).scope(Scope::Any),
    Rule::error(FIELDS, OPERATOR, fields).scope(Scope::Any),
    Rule::error("version-given", OPERATOR, version),
    Rule::error("dns-prefix-given", OPERATOR, dns_prefix),
    Rule::error("pools-given", SAVING, pools),
    Rule::error("pool-name-given", SAVING, pool_names),
    Rule::error("pool-names-unique", OPERATOR, unique_pool_names),
    Rule::error("pool-fields-given", OPERATOR, pool_fields),
    Rule::error("linux-pools", CREATE_POOLS, linux_pools),
    Rule::error("system-pool", OPERATOR, system_pool),
];

fn network_isolation(case: &Case<'_>, faults: &mut Faults) {
    if case.isolation && case.spec.network_policy.as_deref().is_some_and(|policy| !enforces_policies(policy))
    {
        faults.add_violation(&Violation::NoNetworkPolicy);
    }
}

fn region(case: &Case<'_>, faults: &mut Faults) {
    if case.region().is_empty() {
        faults.add_violation(&Violation::NoRegion);
    }
}

/// `field [x] must be provided …`
fn require(case: &Case<'_>, faults: &mut Faults, key: &str, is_set: bool) {
    if !is_set {
        let message = format!("field [{key}] must be provided for cluster [{}] config", case.display_name());
        faults.add(key, message, format!("set {key}"));
    }
}

fn fields(case: &Case<'_>, faults: &mut Faults) {
    require(case, faults, "resourceGroup", case.spec.resource_group.is_some());
    require(case, faults, "clusterName", case.spec.cluster_name.is_some());
    // The credential is unknown to Azure, so only the request can set it.
    let credential = case.facts.credential_sent_along || case.requested.azure_credential_secret.is_some();
    require(case, faults, "azureCredentialSecret", credential);
}

fn version(case: &Case<'_>, faults: &mut Faults) {
    require(case, faults, "kubernetesVersion", case.spec.kubernetes_version.is_some());
}

fn dns_prefix(case: &Case<'_>, faults: &mut Faults) {
    require(case, faults, "dnsPrefix", case.spec.dns_prefix.is_some());
}

/// Adds those violations of the save rules about node pools that `is_selected` accepts.
fn add_save_violations(case: &Case<'_>, faults: &mut Faults, is_selected: fn(&Violation) -> bool) {
    let existing = case.current.map_or(&[][..], |current| current.pools());
    for violation in pool_violations(case.spec.node_pools.as_deref(), existing).filter(is_selected) {
        faults.add_violation(&violation);
    }
}

fn pools(case: &Case<'_>, faults: &mut Faults) {
    add_save_violations(case, faults, |violation| matches!(violation, Violation::NoNodePool));
}

fn pool_names(case: &Case<'_>, faults: &mut Faults) {
    add_save_violations(case, faults, |violation| matches!(violation, Violation::UnnamedNodePool { .. }));
}

fn unique_pool_names(case: &Case<'_>, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for pool in case.pools() {
        let Some(name) = pool.spec.name.as_deref().filter(|name| !seen.insert(*name)) else { continue };
        let message = format!(
            "nodePool names must be unique within the [{}] cluster to avoid duplication",
            case.display_name()
        );
        faults.add(pool.key("name"), message, format!("give one of the pools {name} another name"));
    }
}

/// A key of a pool, its name in Rancher's messages, and whether it is set.
type PoolKey = (&'static str, &'static str, fn(&NodePool) -> bool);

const POOL_KEYS: [PoolKey; 7] = [
    ("count", "Count", |pool| pool.count.is_some()),
    ("maxPods", "MaxPods", |pool| pool.max_pods.is_some()),
    ("vmSize", "VMSize", |pool| pool.vm_size.is_some()),
    ("osDiskSizeGB", "OsDiskSizeGB", |pool| pool.os_disk_size_gb.is_some()),
    ("osDiskType", "OSDiskType", |pool| pool.os_disk_type.is_some()),
    ("mode", "Mode", |pool| pool.mode.is_some()),
    ("osType", "OsType", |pool| pool.os_type.is_some()),
];

fn pool_fields(case: &Case<'_>, faults: &mut Faults) {
    for pool in case.pools() {
        for (key, name, is_set) in POOL_KEYS {
            if !is_set(pool.spec) {
                let cluster = case.display_name();
                let message =
                    format!("field [NodePool.{name}] must be provided for cluster [{cluster}] config");
                faults.add(pool.key(key), message, format!("set {key} of node pool {}", pool.name()));
            }
        }
    }
}

fn linux_pools(case: &Case<'_>, faults: &mut Faults) {
    add_save_violations(case, faults, |violation| matches!(violation, Violation::WindowsNodePool { .. }));
    for pool in case.pools().iter().filter(|pool| pool.is_new()) {
        let Some(os) = pool.spec.os_type.as_deref() else { continue };
        // `add_save_violations` reports Windows, with and without surrounding whitespace.
        let is_windows = os.trim().eq_ignore_ascii_case("Windows");
        if !is_windows && !os.eq_ignore_ascii_case("Linux") {
            let message = format!("osType {os:?} of node pool {} is not supported", pool.name());
            faults.add(pool.key("osType"), message, "set osType to Linux");
        }
    }
}

fn system_pool(case: &Case<'_>, faults: &mut Faults) {
    // An empty list is reported by `pools-given`; a missing one is not.
    let is_empty = case.spec.node_pools.as_ref().is_some_and(Vec::is_empty);
    if !is_empty && !case.spec.pools().iter().any(NodePool::is_system) {
        let message = "at least one NodePool with mode System is required";
        faults.add("nodePools", message, "set mode of one of the node pools to System");
    }
}
