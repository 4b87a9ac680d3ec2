//! Fields that cannot be changed in an existing cluster, because Azure or this server does not support it.
//!
//! A request is rejected if it sets a key to another value than the stored one, unless the new value is Azure's. A stored value
//! that Azure does not have is only a warning. Clients send `""`, `[]`, `0` and `false` for unset fields. Each key has its own
//! source.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Debug;

use super::input::RuleInput;
use super::pool::Pool;
use super::rule::{FieldFindings, Rule, Scope};
use super::sources::{
    AGENT_POOLS_DOC, CREATE_POOLS_DOC, MANAGED_CLUSTERS_DOC, MONITOR_DOC, NODE_GROUP_DOC, OUTBOUND_DOC,
    PRIVATE_CLUSTERS_DOC, SSH_DOC, learn,
};
use crate::spec::rules::{RegionMutability, Violation, fixed_violations};
use crate::spec::{AksConfig, NodePool};

const ZONES_DOC: &str =
    learn!("Availability zones in AKS", "azure/aks/reliability-availability-zones-configure");
const RANGES_DOC: &str = learn!("Use kubenet networking in AKS", "azure/aks/configure-kubenet");
const IPAM_DOC: &str = learn!("Update Azure CNI IPAM mode", "azure/aks/update-azure-cni");
const BALANCER_DOC: &str =
    learn!("Use a public standard load balancer in AKS, limitations", "azure/aks/load-balancer-standard");
const POLICY_DOC: &str = learn!("Secure traffic with network policies", "azure/aks/use-network-policies");
const IDENTITY_DOC: &str =
    learn!("Use a user-assigned managed identity in AKS", "azure/aks/user-assigned-managed-identity");

pub(super) const RULES: &[Rule] = &[
    Rule::error("fixed-in-azure", MANAGED_CLUSTERS_DOC, fixed).scope(Scope::Existing),
    Rule::error("fixed-in-azure-pool", CREATE_POOLS_DOC, fixed_pool).scope(Scope::Existing),
    Rule::error("fixed-zones", ZONES_DOC, fixed_zones).scope(Scope::Existing),
    Rule::error("not-managed", MANAGED_CLUSTERS_DOC, not_managed).scope(Scope::Existing),
    Rule::error("set-too-late", MANAGED_CLUSTERS_DOC, set_too_late).scope(Scope::Existing),
    Rule::warning("without-effect", MANAGED_CLUSTERS_DOC, without_effect).scope(Scope::Existing),
    Rule::error("fixed-identity", "docs/contract/aks-config.md#kinds-of-fields", identifying_keys)
        .scope(Scope::Any),
];

type ReadString = fn(&AksConfig) -> Option<&String>;

/// A key whose value is fixed when the cluster is created.
struct FixedKey {
    name: &'static str,
    source: &'static str,
    /// The option of `az aks update` that changes it, if there is one. This server does not support it.
    az_option: Option<&'static str>,
    read: ReadString,
}

const fn fixed_key(
    name: &'static str,
    source: &'static str,
    az_option: Option<&'static str>,
    read: ReadString,
) -> FixedKey {
    FixedKey { name, source, az_option, read }
}

#[rustfmt::skip]
const FIXED_KEYS: [FixedKey; 16] = [
    fixed_key("dnsPrefix", MANAGED_CLUSTERS_DOC, None, |spec| spec.dns_prefix.as_ref()),
    fixed_key("dnsServiceIp", RANGES_DOC, None, |spec| spec.dns_service_ip.as_ref()),
    fixed_key("networkPlugin", IPAM_DOC, None, |spec| spec.network_plugin.as_ref()),
    fixed_key("nodeResourceGroup", NODE_GROUP_DOC, None, |spec| spec.node_resource_group.as_ref()),
    fixed_key("podCidr", RANGES_DOC, None, |spec| spec.pod_cidr.as_ref()),
    fixed_key("serviceCidr", RANGES_DOC, None, |spec| spec.service_cidr.as_ref()),
    fixed_key("subnet", CREATE_POOLS_DOC, None, |spec| spec.subnet.as_ref()),
    fixed_key("virtualNetwork", CREATE_POOLS_DOC, None, |spec| spec.virtual_network.as_ref()),
    fixed_key("virtualNetworkResourceGroup", CREATE_POOLS_DOC, None, |spec| spec.virtual_network_resource_group.as_ref()),
    fixed_key("linuxAdminUsername", MANAGED_CLUSTERS_DOC, None, |spec| spec.linux_admin_username.as_ref()),
    fixed_key("loadBalancerSku", BALANCER_DOC, Some("--load-balancer-sku"), |spec| spec.load_balancer_sku.as_ref()),
    fixed_key("networkPolicy", POLICY_DOC, Some("--network-policy"), |spec| spec.network_policy.as_ref()),
    fixed_key("outboundType", OUTBOUND_DOC, Some("--outbound-type"), |spec| spec.outbound_type.as_ref()),
    fixed_key("privateDnsZone", PRIVATE_CLUSTERS_DOC, Some("--private-dns-zone"), |spec| spec.private_dns_zone.as_ref()),
    fixed_key("sshPublicKey", SSH_DOC, Some("--ssh-key-value"), |spec| spec.ssh_public_key.as_ref()),
    fixed_key("userAssignedIdentity", IDENTITY_DOC, Some("--assign-identity"), |spec| spec.user_assigned_identity.as_ref()),
];

/// The value of a key in Azure.
enum AzureValue<'a> {
    /// Not read, or unknown.
    Unknown,
    /// The cluster was created without it.
    Unset,
    /// Any of these, because node pools may be in several subnets. Never empty.
    Values(Vec<Cow<'a, str>>),
}

fn eq_trimmed_ignoring_case(a: &str, b: &str) -> bool {
    a.trim().to_lowercase() == b.trim().to_lowercase()
}

/// Whether a value means that there is no network policy, as Azure and some users write it.
fn is_no_policy(key: &FixedKey, value: &str) -> bool {
    key.name == "networkPolicy" && eq_trimmed_ignoring_case(value, "none")
}

/// The value of a key of the cluster in Azure.
fn azure_value<'a>(input: &'a RuleInput<'_>, key: &FixedKey) -> AzureValue<'a> {
    let Some(current) = input.current else { return AzureValue::Unknown };
    if let Some(value) = (key.read)(current).filter(|value| !is_no_policy(key, value)) {
        return AzureValue::Values(vec![value.into()]);
    }
    let subnets = || current.pools().iter().filter_map(|pool| input.subnet_of(pool));
    let values: Vec<Cow<'a, str>> = match key.name {
        "nodeResourceGroup" => match input.node_resource_group() {
            Some(group) => vec![group.into()],
            None => return AzureValue::Unknown,
        },
        "virtualNetwork" => subnets().map(|subnet| subnet.network.name.into()).collect(),
        "virtualNetworkResourceGroup" => subnets().map(|subnet| subnet.network.group.into()).collect(),
        "subnet" => subnets().map(|subnet| subnet.subnet.into()).collect(),
        _ => Vec::new(),
    };
    if values.is_empty() { AzureValue::Unset } else { AzureValue::Values(values) }
}

/// The effect of a request on a key that cannot be changed.
enum Change<'a> {
    /// The request replaces this value.
    From(Cow<'a, str>),
    /// The request sets a value although there was none.
    FromUnset,
    /// The request repeats a stored value that Azure does not have; contains Azure's value.
    Repeated(Option<Cow<'a, str>>),
}

/// Compares a requested value with the stored one and with Azure's.
fn compare<'a>(requested: &str, stored: Option<&'a str>, azure: AzureValue<'a>) -> Option<Change<'a>> {
    let (azure_value, is_azure_known) = match azure {
        AzureValue::Values(values)
            if values.iter().any(|value| eq_trimmed_ignoring_case(value, requested)) =>
        {
            return None;
        }
        AzureValue::Values(values) => (values.into_iter().next(), true),
        AzureValue::Unset => (None, true),
        AzureValue::Unknown => (None, false),
    };
    match stored {
        Some(stored) if eq_trimmed_ignoring_case(stored, requested) => {
            is_azure_known.then_some(Change::Repeated(azure_value))
        }
        Some(stored) => Some(Change::From(stored.into())),
        None => Some(azure_value.map_or(Change::FromUnset, Change::From)),
    }
}

/// The keys of the cluster that the request changes, or repeats without effect, with their values.
fn changes<'a>(input: &'a RuleInput<'_>) -> impl Iterator<Item = (&'static FixedKey, &'a str, Change<'a>)> {
    FIXED_KEYS.iter().filter_map(|key| {
        let requested = (key.read)(input.requested)?;
        let stored = input.stored().and_then(key.read).map(String::as_str);
        let azure = azure_value(input, key);
        if is_no_policy(key, requested) && matches!(azure, AzureValue::Unset) {
            return None;
        }
        Some((key, requested.as_str(), compare(requested, stored, azure)?))
    })
}

/// The old and new value of a boolean that the request changes. Clients send `false` for an unset boolean.
fn changed_flag(input: &RuleInput<'_>, read: fn(&AksConfig) -> Option<bool>) -> Option<(bool, bool)> {
    let stored = input.stored().and_then(read);
    let azure = read(input.current?);
    let new = read(input.requested).filter(|new| Some(*new) != azure)?;
    let old = stored.or(azure)?;
    (old != new && (new || stored == Some(true))).then_some((old, new))
}

fn fixed(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let mut add = |key: &str, source, old: &dyn Debug, new: &dyn Debug| {
        let message = format!(
            "{key} is {old:?} and cannot become {new:?}, because Azure cannot change it in an existing cluster"
        );
        findings
            .add(key, message, format!("leave {key} as it is, or create another cluster"))
            .set_source(source);
    };
    for (key, requested, change) in changes(input) {
        if let (Change::From(old), None) = (change, key.az_option) {
            add(key.name, key.source, &old, &requested);
        }
    }
    if let Some((old, new)) = changed_flag(input, |spec| spec.private_cluster) {
        add("privateCluster", PRIVATE_CLUSTERS_DOC, &old, &new);
    }
}

fn not_managed(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let mut add = |key: &str, source, old: &dyn Debug, new: &dyn Debug, method: &str| {
        let message = format!(
            "{key} is {old:?} and will not become {new:?}: changing it is not supported by this server"
        );
        let remedy = format!("leave {key} as it is, or change it in Azure {method}");
        findings.add(key, message, remedy).set_source(source);
    };
    for (key, requested, change) in changes(input) {
        if let (Change::From(old), Some(option)) = (change, key.az_option) {
            add(key.name, key.source, &old, &requested, &format!("with az aks update {option}"));
        }
    }
    if let Some((old, new)) = changed_flag(input, |spec| spec.managed_identity) {
        add("managedIdentity", IDENTITY_DOC, &old, &new, "with az aks update --enable-managed-identity");
    }
    // The workspace is used only when monitoring is turned on.
    let monitoring = input
        .stored()
        .and_then(|spec| spec.monitoring)
        .or(input.current.and_then(|current| current.monitoring));
    if monitoring != Some(true) || input.requested.monitoring != Some(true) {
        return;
    }
    let workspace_keys: [(&str, ReadString); 2] = [
        ("logAnalyticsWorkspaceGroup", |spec| spec.log_analytics_workspace_group.as_ref()),
        ("logAnalyticsWorkspaceName", |spec| spec.log_analytics_workspace_name.as_ref()),
    ];
    for (key, read) in workspace_keys {
        let old = input.stored().and_then(read).or(input.current.and_then(read));
        if let (Some(old), Some(new)) = (old, read(input.requested))
            && !eq_trimmed_ignoring_case(old, new)
        {
            add(key, MONITOR_DOC, old, new, "by switching monitoring off and on again");
        }
    }
}

/// The value of a key of a pool, as a string.
type ReadPoolValue = fn(&NodePool) -> Option<String>;

const FIXED_POOL_KEYS: [(&str, &str, ReadPoolValue); 7] = [
    ("maxPods", CREATE_POOLS_DOC, |pool| pool.max_pods.map(|pods| pods.to_string())),
    ("osDiskSizeGB", AGENT_POOLS_DOC, |pool| {
        pool.os_disk_size_gb.filter(|size| *size != 0).map(|size| size.to_string())
    }),
    ("osDiskType", AGENT_POOLS_DOC, |pool| pool.os_disk_type.clone()),
    ("osType", AGENT_POOLS_DOC, |pool| pool.os_type.clone()),
    ("vmSize", CREATE_POOLS_DOC, |pool| pool.vm_size.clone()),
    ("vnetSubnetID", AGENT_POOLS_DOC, |pool| pool.vnet_subnet_id.clone()),
    ("availabilityZones", ZONES_DOC, |pool| {
        let zones: BTreeSet<&str> = pool.zones()?.iter().map(String::as_str).collect();
        Some(zones.into_iter().collect::<Vec<_>>().join(", "))
    }),
];

/// The requested value of a key of an existing pool, and the effect of the request on the key.
fn pool_change(pool: &Pool<'_>, read: ReadPoolValue) -> Option<(String, Change<'static>)> {
    let (current, requested) = (pool.current?, read(pool.requested?)?);
    let azure = read(current).map_or(AzureValue::Unset, |value| AzureValue::Values(vec![value.into()]));
    let stored = pool.stored.and_then(read);
    let change = match compare(&requested, stored.as_deref(), azure)? {
        Change::From(old) => Change::From(old.into_owned().into()),
        Change::FromUnset => Change::FromUnset,
        Change::Repeated(azure) => Change::Repeated(azure.map(|value| value.into_owned().into())),
    };
    Some((requested, change))
}

/// The keys of existing pools that the request changes or repeats without effect.
fn pool_changes<'p>(
    pools: &'p [Pool<'p>],
) -> impl Iterator<Item = (&'p Pool<'p>, &'static str, &'static str, String, Change<'static>)> {
    let keys = |pool| FIXED_POOL_KEYS.into_iter().map(move |(key, source, read)| (pool, key, source, read));
    pools.iter().flat_map(keys).filter_map(|(pool, key, source, read)| {
        let (requested, change) = pool_change(pool, read)?;
        Some((pool, key, source, requested, change))
    })
}

fn fixed_pool(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for (pool, key, source, new, change) in pool_changes(&input.pools()) {
        let Change::From(old) = change else { continue };
        if key != "availabilityZones" {
            let message = format!(
                "{key} of node pool {} is {old} and cannot become {new}, because Azure cannot change it in an existing pool",
                pool.name()
            );
            findings.add(pool.key(key), message, REPLACE_POOL).set_source(source);
        }
    }
}

const REPLACE_POOL: &str = "add a pool with another name and remove this one";

fn fixed_zones(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for (pool, key, _, _, change) in pool_changes(&input.pools()) {
        if key == "availabilityZones" && matches!(change, Change::From(_)) {
            let cluster = input.spec.cluster_name.clone().unwrap_or_default();
            let violation = Violation::ZonesChanged { cluster, pool: pool.name().to_owned() };
            findings.add(pool.key(key), violation.to_string(), REPLACE_POOL);
        }
    }
}

/// Reports values for keys that the cluster, or the pool, was created without.
fn set_too_late(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let mut add = |key: &str, source, option: Option<&str>| {
        let message =
            format!("the cluster was created without {key}, which this server cannot set afterwards");
        let remedy = match option {
            None => format!("leave {key} out, or create another cluster with it"),
            Some(option) => format!("leave {key} out, or set it in Azure with az aks update {option}"),
        };
        findings.add(key, message, remedy).set_source(source);
    };
    for (key, _, change) in changes(input) {
        if matches!(change, Change::FromUnset) {
            add(key.name, key.source, key.az_option);
        }
    }
    let identity = |spec: &AksConfig| spec.managed_identity;
    let identity_before = input.stored().and_then(identity).or(input.current.and_then(identity));
    if identity_before.is_none() && input.requested.managed_identity == Some(true) {
        add("managedIdentity", IDENTITY_DOC, Some("--enable-managed-identity"));
    }
    for (pool, key, source, _, change) in pool_changes(&input.pools()) {
        if matches!(change, Change::FromUnset) {
            let name = pool.name();
            let message =
                format!("node pool {name} was created without {key}, which cannot be set afterwards");
            let remedy =
                format!("leave {key} out, or add a pool with another name that has it and remove this one");
            findings.add(pool.key(key), message, remedy).set_source(source);
        }
    }
}

/// Reports stored values that Azure does not have.
fn without_effect(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let mut add = |path: String, key: &str, source, value: &str, azure: Option<Cow<'_, str>>| {
        let azure = azure.map_or_else(|| "has no value".to_owned(), |value| format!("has {value}"));
        let message =
            format!("{value} has no effect: it cannot be changed after creation, and Azure {azure}");
        findings
            .add(path, message, format!("leave {key} out, or set it to Azure's value"))
            .set_source(source);
    };
    for (key, value, change) in changes(input) {
        if let Change::Repeated(azure) = change {
            add(key.name.to_owned(), key.name, key.source, &format!("{} {value}", key.name), azure);
        }
    }
    for (pool, key, source, value, change) in pool_changes(&input.pools()) {
        if let Change::Repeated(azure) = change {
            add(pool.key(key), key, source, &format!("{key} {value} of node pool {}", pool.name()), azure);
        }
    }
    // Azure has removed this setting, and this server does not send it.
    if let Some(bridge) = &input.requested.docker_bridge_cidr
        && input.stored().and_then(|stored| stored.docker_bridge_cidr.as_ref()) != Some(bridge)
    {
        let message = format!("dockerBridgeCidr {bridge} has no effect: Azure has removed this setting");
        findings.add("dockerBridgeCidr", message, "leave dockerBridgeCidr out");
    }
}

fn identifying_keys(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let Some(stored) = input.stored() else { return };
    let region = match input.current {
        None => RegionMutability::Mutable,
        Some(_) => RegionMutability::Immutable(input.azure_region()),
    };
    for violation in fixed_violations(stored, input.requested, region) {
        findings.add_violation(&violation);
    }
}
