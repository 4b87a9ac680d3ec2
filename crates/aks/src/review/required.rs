//! Required fields, in Rancher's order and with its messages (`docs/contract/provisioning.md#validation-by-the-operator`). The
//! rules of `docs/contract/clusters.md#validation-on-save` reject a request before its review ([`crate::spec::rules`]); they
//! are repeated here so that a separate review is complete.

use std::collections::BTreeSet;

use super::input::RuleInput;
use super::rule::{FieldFindings, Rule, Scope};
use super::sources::{CREATE_POOLS_DOC, OPERATOR_DOC, SAVING_DOC, learn};
use crate::spec::NodePool;
use crate::spec::rules::{Violation, enforces_policies, pool_violations};

const POLICIES_DOC: &str =
    learn!("Secure traffic with network policies, network policy options", "azure/aks/use-network-policies");

/// The name of the rule about fields without which a cluster cannot be found in Azure.
pub(super) const FIELDS: &str = "fields-given";

pub(super) const RULES: &[Rule] = &[
    Rule::error("network-isolation", POLICIES_DOC, network_isolation),
    Rule::error("region-given", SAVING_DOC, region).scope(Scope::Any),
    Rule::error(FIELDS, OPERATOR_DOC, fields).scope(Scope::Any),
    Rule::error("version-given", OPERATOR_DOC, version),
    Rule::error("dns-prefix-given", OPERATOR_DOC, dns_prefix),
    Rule::error("pools-given", SAVING_DOC, pools),
    Rule::error("pool-name-given", SAVING_DOC, pool_names),
    Rule::error("pool-names-unique", OPERATOR_DOC, unique_pool_names),
    Rule::error("pool-fields-given", OPERATOR_DOC, pool_fields),
    Rule::error("linux-pools", CREATE_POOLS_DOC, linux_pools),
    Rule::error("system-pool", OPERATOR_DOC, system_pool),
];

fn network_isolation(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if input.isolation
        && input.spec.network_policy.as_deref().is_some_and(|policy| !enforces_policies(policy))
    {
        findings.add_violation(&Violation::NoNetworkPolicy);
    }
}

fn region(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if input.region().is_empty() {
        findings.add_violation(&Violation::NoRegion);
    }
}

/// Adds Rancher's finding `field [x] must be provided …` unless the key is set.
fn require(input: &RuleInput<'_>, findings: &mut FieldFindings, key: &str, is_set: bool) {
    if !is_set {
        let message = format!("field [{key}] must be provided for cluster [{}] config", input.display_name());
        findings.add(key, message, format!("set {key}"));
    }
}

fn fields(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    require(input, findings, "resourceGroup", input.spec.resource_group.is_some());
    require(input, findings, "clusterName", input.spec.cluster_name.is_some());
    // Azure does not store the credential's ID, so only the requested specification can contain it.
    let has_credential =
        input.facts.credential_sent_along || input.requested.azure_credential_secret.is_some();
    require(input, findings, "azureCredentialSecret", has_credential);
}

fn version(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    require(input, findings, "kubernetesVersion", input.spec.kubernetes_version.is_some());
}

fn dns_prefix(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    require(input, findings, "dnsPrefix", input.spec.dns_prefix.is_some());
}

/// Adds those violations of the save rules about node pools that `is_selected` accepts.
fn add_save_violations(
    input: &RuleInput<'_>,
    findings: &mut FieldFindings,
    is_selected: fn(&Violation) -> bool,
) {
    let existing = input.current.map_or(&[][..], |current| current.pools());
    for violation in pool_violations(input.spec.node_pools.as_deref(), existing).filter(is_selected) {
        findings.add_violation(&violation);
    }
}

fn pools(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    add_save_violations(input, findings, |violation| matches!(violation, Violation::NoNodePool));
}

fn pool_names(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    add_save_violations(input, findings, |violation| matches!(violation, Violation::UnnamedNodePool { .. }));
}

fn unique_pool_names(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let mut seen = BTreeSet::new();
    for pool in input.pools() {
        let Some(name) = pool.spec.name.as_deref().filter(|name| !seen.insert(*name)) else { continue };
        let message = format!(
            "nodePool names must be unique within the [{}] cluster to avoid duplication",
            input.display_name()
        );
        findings.add(pool.key("name"), message, format!("give one of the pools {name} another name"));
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

fn pool_fields(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for pool in input.pools() {
        for (key, name, is_set) in POOL_KEYS {
            if !is_set(pool.spec) {
                let cluster = input.display_name();
                let message =
                    format!("field [NodePool.{name}] must be provided for cluster [{cluster}] config");
                findings.add(pool.key(key), message, format!("set {key} of node pool {}", pool.name()));
            }
        }
    }
}

fn linux_pools(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    add_save_violations(input, findings, |violation| matches!(violation, Violation::WindowsNodePool { .. }));
    for pool in input.pools().iter().filter(|pool| pool.is_new()) {
        let Some(os) = pool.spec.os_type.as_deref() else { continue };
        // `add_save_violations` reports Windows, with and without surrounding whitespace.
        let is_windows = os.trim().eq_ignore_ascii_case("Windows");
        if !is_windows && !os.eq_ignore_ascii_case("Linux") {
            let message = format!("osType {os:?} of node pool {} is not supported", pool.name());
            findings.add(pool.key("osType"), message, "set osType to Linux");
        }
    }
}

fn system_pool(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    // An empty list is reported by `pools-given`; a missing one is not.
    let is_empty = input.spec.node_pools.as_ref().is_some_and(Vec::is_empty);
    if !is_empty && !input.spec.pools().iter().any(NodePool::is_system) {
        let message = "at least one NodePool with mode System is required";
        findings.add("nodePools", message, "set mode of one of the node pools to System");
    }
}
