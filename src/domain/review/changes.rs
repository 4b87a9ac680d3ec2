//! What cannot be changed in a cluster that exists: because Azure cannot, or because it is not managed here. Only what
//! both sides set, and what differs after letter case is put aside, counts.

use std::collections::BTreeSet;

use super::case::{Case, Pool};
use super::rule::{Fault, Rule, Scope};
use crate::domain::provision::difference::Refused;
use crate::domain::spec::{AksConfig, NodePool, given};

const AZURE: &str = "Rancher contract, section 14 (Azure-fixed)";
const UPDATE: &str = "Rancher contract, section 20";

pub(super) const RULES: &[Rule] = &[
    Rule::error("fixed-in-azure", AZURE, fixed).about(Scope::Existing),
    Rule::error("fixed-in-azure-pool", AZURE, fixed_pool).about(Scope::Existing),
    Rule::error("fixed-zones", UPDATE, fixed_zones).about(Scope::Existing),
    Rule::error("not-managed", AZURE, not_managed).about(Scope::Existing),
    Rule::error("set-too-late", AZURE, too_late).about(Scope::Existing).warning(),
    Rule::error("fixed-identity", "Rancher contract, section 14", identity).about(Scope::Any),
];

type Text = fn(&AksConfig) -> Option<&String>;

/// What Azure cannot change.
const FIXED: [(&str, Text); 10] = [
    ("dnsPrefix", |it| it.dns_prefix.as_ref()),
    ("dnsServiceIp", |it| it.dns_service_ip.as_ref()),
    ("dockerBridgeCidr", |it| it.docker_bridge_cidr.as_ref()),
    ("networkPlugin", |it| it.network_plugin.as_ref()),
    ("nodeResourceGroup", |it| it.node_resource_group.as_ref()),
    ("podCidr", |it| it.pod_cidr.as_ref()),
    ("serviceCidr", |it| it.service_cidr.as_ref()),
    ("subnet", |it| it.subnet.as_ref()),
    ("virtualNetwork", |it| it.virtual_network.as_ref()),
    ("virtualNetworkResourceGroup", |it| it.virtual_network_resource_group.as_ref()),
];

/// What Azure could change, and Rancher does not.
const NOT_MANAGED: [(&str, Text); 7] = [
    ("linuxAdminUsername", |it| it.linux_admin_username.as_ref()),
    ("loadBalancerSku", |it| it.load_balancer_sku.as_ref()),
    ("networkPolicy", |it| it.network_policy.as_ref()),
    ("outboundType", |it| it.outbound_type.as_ref()),
    ("privateDnsZone", |it| it.private_dns_zone.as_ref()),
    ("sshPublicKey", |it| it.ssh_public_key.as_ref()),
    ("userAssignedIdentity", |it| it.user_assigned_identity.as_ref()),
];

/// The cluster before the change, once it is there: what its user said, else what Azure says.
fn before<'a, T>(case: &Case<'a>, read: impl Fn(&'a AksConfig) -> Option<T>) -> Option<T> {
    let current = case.current?;
    case.stored().and_then(&read).or_else(|| read(current))
}

/// Old and new value of a text that changes.
fn changed<'a>(case: &Case<'a>, read: Text) -> Option<(&'a str, &'a str)> {
    let old = before(case, |it| given(read(it)))?;
    let new = given(read(case.said))?;
    (old.to_lowercase() != new.to_lowercase()).then_some((old, new))
}

/// The same for a switch. Clients send `false` for what is not set.
fn switched(case: &Case<'_>, read: fn(&AksConfig) -> Option<bool>) -> Option<(bool, bool)> {
    let stored = case.stored().and_then(read);
    let (old, new) = (before(case, read)?, read(case.said)?);
    (old != new && (new || stored == Some(true))).then_some((old, new))
}

fn cannot(key: &str, old: &dyn std::fmt::Debug, new: &dyn std::fmt::Debug) -> Fault {
    Fault::new(
        format!("aksConfig.{key}"),
        format!(
            "{key} is {old:?} and cannot become {new:?}, because Azure cannot change it in a cluster that exists"
        ),
        format!("leave {key} as it is, or make another cluster"),
    )
}

fn fixed(case: &Case<'_>) -> Vec<Fault> {
    let texts = FIXED.into_iter().filter_map(|(key, read)| {
        let (old, new) = changed(case, read)?;
        Some(cannot(key, &old, &new))
    });
    let switch = switched(case, |it| it.private_cluster);
    texts.chain(switch.map(|(old, new)| cannot("privateCluster", &old, &new))).collect()
}

fn not_managed(case: &Case<'_>) -> Vec<Fault> {
    let fault = |key: &str, old: &dyn std::fmt::Debug, new: &dyn std::fmt::Debug| {
        Fault::new(
            format!("aksConfig.{key}"),
            format!("{key} is {old:?} and would not become {new:?}: changing it is not managed here"),
            format!("leave {key} as it is, or change it in Azure"),
        )
    };
    let mut faults: Vec<Fault> = NOT_MANAGED
        .into_iter()
        .filter_map(|(key, read)| {
            let (old, new) = changed(case, read)?;
            Some(fault(key, &old, &new))
        })
        .collect();
    faults.extend(
        switched(case, |it| it.managed_identity).map(|(old, new)| fault("managedIdentity", &old, &new)),
    );
    // A workspace counts when monitoring is switched on, and only then.
    let monitored = before(case, |it| it.monitoring) == Some(true) && case.said.monitoring == Some(true);
    let workspace: [(&str, Text); 2] = [
        ("logAnalyticsWorkspaceGroup", |it| it.log_analytics_workspace_group.as_ref()),
        ("logAnalyticsWorkspaceName", |it| it.log_analytics_workspace_name.as_ref()),
    ];
    let moved = workspace.into_iter().filter(|_| monitored).filter_map(|(key, read)| {
        let (old, new) = changed(case, read)?;
        Some(fault(key, &old, &new))
    });
    faults.extend(moved);
    faults
}

/// Old and new value of something in a pool that exists, as texts.
fn pool_values(pool: &Pool<'_>, read: fn(&NodePool) -> Option<String>) -> Option<(String, String)> {
    let current = pool.current?;
    let old = pool.stored.and_then(read).or_else(|| read(current))?;
    let new = read(pool.said?)?;
    (old.to_lowercase() != new.to_lowercase()).then_some((old, new))
}

/// What is said for the first time of a cluster that was made here without it. It is kept, and nothing comes of it.
fn too_late(case: &Case<'_>) -> Vec<Fault> {
    if case.said.imported == Some(true) {
        return Vec::new();
    }
    let fault = |key: &str, remedy: &str| {
        Fault::new(
            format!("aksConfig.{key}"),
            format!(
                "the cluster was made without {key}, and a cluster that exists cannot get it, so it has no effect"
            ),
            format!("leave {key} out, or {remedy}"),
        )
    };
    let is_new =
        |read: Text| before(case, |it| given(read(it))).is_none() && given(read(case.said)).is_some();
    let of = |table: &[(&str, Text)], remedy: &str| -> Vec<Fault> {
        table.iter().filter(|(_, read)| is_new(*read)).map(|(key, _)| fault(key, remedy)).collect()
    };
    let mut faults = of(&FIXED, "make another cluster with it");
    faults.extend(of(&NOT_MANAGED, "set it in Azure"));
    let identity =
        before(case, |it| it.managed_identity).is_none() && case.said.managed_identity == Some(true);
    faults.extend(identity.then(|| fault("managedIdentity", "set it in Azure")));
    for pool in case.pools() {
        faults.extend(too_late_for_pool(&pool));
    }
    faults
}

fn too_late_for_pool(pool: &Pool<'_>) -> Vec<Fault> {
    let (Some(current), Some(said)) = (pool.current, pool.said) else { return Vec::new() };
    let is_new = |read: PoolValue| {
        pool.stored.and_then(read).or_else(|| read(current)).is_none() && read(said).is_some()
    };
    let late = FIXED_OF_POOLS.into_iter().chain([("availabilityZones", ZONES)]);
    late.filter(|(_, read)| is_new(*read))
        .map(|(key, _)| {
            let name = pool.name();
            let message = format!(
                "node pool {name} was made without {key}, and a pool that exists cannot get it, so it has no effect"
            );
            let remedy = format!("leave {key} out, or add a pool of another name with it and remove this one");
            Fault::new(pool.field(key), message, remedy)
        })
        .collect()
}

/// The zones, for whoever only wants to know whether there are any.
const ZONES: PoolValue = |it| zones(it).map(|zones| format!("{zones:?}"));

type PoolValue = fn(&NodePool) -> Option<String>;

fn text(text: Option<&String>) -> Option<String> {
    given(text).map(str::to_owned)
}

const FIXED_OF_POOLS: [(&str, PoolValue); 6] = [
    ("maxPods", |it| it.max_pods.map(|pods| pods.to_string())),
    ("osDiskSizeGB", |it| it.os_disk_size_gb.filter(|size| *size != 0).map(|size| size.to_string())),
    ("osDiskType", |it| text(it.os_disk_type.as_ref())),
    ("osType", |it| text(it.os_type.as_ref())),
    ("vmSize", |it| text(it.vm_size.as_ref())),
    ("vnetSubnetID", |it| text(it.vnet_subnet_id.as_ref())),
];

fn fixed_pool(case: &Case<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for pool in case.pools() {
        for (key, read) in FIXED_OF_POOLS {
            let Some((old, new)) = pool_values(&pool, read) else { continue };
            let name = pool.name();
            let message = format!(
                "{key} of node pool {name} is {old} and cannot become {new}, because Azure cannot change it in a pool that exists"
            );
            faults.push(Fault::new(
                pool.field(key),
                message,
                "add a pool of another name, and remove this one",
            ));
        }
    }
    faults
}

fn zones(pool: &NodePool) -> Option<BTreeSet<&String>> {
    let zones = pool.availability_zones.as_ref().filter(|zones| !zones.is_empty());
    zones.map(|zones| zones.iter().collect())
}

fn fixed_zones(case: &Case<'_>) -> Vec<Fault> {
    let moved = |pool: &Pool<'_>| {
        let old = pool.stored.and_then(zones).or_else(|| zones(pool.current?));
        let new = pool.said.and_then(zones);
        !pool.is_new() && old.is_some() && new.is_some() && old != new
    };
    let pools = case.pools();
    let moved = pools.iter().filter(|pool| moved(pool));
    moved
        .map(|pool| {
            let cluster = case.spec.cluster_name.clone().unwrap_or_default();
            let refused = Refused::Zones { cluster, pool: pool.name().to_owned() };
            let remedy = "add a pool of another name, and remove this one";
            Fault::new(pool.field("availabilityZones"), refused.to_string(), remedy)
        })
        .collect()
}

/// What tells one cluster from another, which nothing ever changes.
fn identity(case: &Case<'_>) -> Vec<Fault> {
    const KEYS: [(&str, Text); 3] = [
        ("clusterName", |it| it.cluster_name.as_ref()),
        ("resourceGroup", |it| it.resource_group.as_ref()),
        ("resourceLocation", |it| it.resource_location.as_ref()),
    ];
    let Some(stored) = case.stored() else { return Vec::new() };
    let fault = |key: &str, old: &str| {
        let message = format!("{key} is {old:?} and cannot be changed");
        Fault::new(format!("aksConfig.{key}"), message, "make another cluster instead")
    };
    let texts = KEYS.into_iter().filter_map(|(key, read)| {
        let (old, new) = (given(read(stored))?, given(read(case.said))?);
        (!old.eq_ignore_ascii_case(new)).then(|| fault(key, old))
    });
    let (was, is) = (stored.imported == Some(true), case.said.imported == Some(true));
    let imported = (was != is).then(|| fault("imported", if was { "true" } else { "false" }));
    texts.chain(imported).collect()
}
