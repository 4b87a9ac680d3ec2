//! Options that cannot be changed in a cluster that exists: because Azure cannot, or because it is not managed here.
//!
//! A request is refused when it gives a key another value than the stored one, unless that is the value that Azure has. A
//! stored value without effect only warns. Clients send `""`, `[]`, `0` and `false` for what is not set. What Azure says about
//! each key is the source of the finding.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::case::Case;
use super::identity::identity;
use super::pool::Pool;
use super::rule::{Fault, Rule, Scope};
use crate::provision::difference::Refused;
use crate::spec::{AksConfig, NodePool, given};

pub(super) const CLUSTERS: &str = "Azure: Managed clusters, REST, https://learn.microsoft.com/rest/api/aks/managed-clusters/create-or-update";
const ZONES: &str = "Azure: Availability zones in AKS, https://learn.microsoft.com/azure/aks/reliability-availability-zones-configure";
const POOLS: &str =
    "Azure: Create node pools, limitations, https://learn.microsoft.com/azure/aks/create-node-pools";
const RANGES: &str =
    "Azure: Use kubenet networking in AKS, https://learn.microsoft.com/azure/aks/configure-kubenet";
const CNI: &str = "Azure: Update Azure CNI IPAM mode, https://learn.microsoft.com/azure/aks/update-azure-cni";
const FAQ: &str = "Azure: AKS FAQ, node resource group, https://learn.microsoft.com/azure/aks/faq";
const PRIVATE: &str =
    "Azure: Create a private AKS cluster, https://learn.microsoft.com/azure/aks/private-clusters";
const BALANCER: &str = "Azure: Use a public standard load balancer in AKS, limitations, https://learn.microsoft.com/azure/aks/load-balancer-standard";
const POLICY: &str =
    "Azure: Secure traffic with network policies, https://learn.microsoft.com/azure/aks/use-network-policies";
const OUTBOUND: &str = "Azure: Customize cluster egress with outbound types, https://learn.microsoft.com/azure/aks/egress-outboundtype";
const SSH: &str = "Azure: Manage SSH access, https://learn.microsoft.com/azure/aks/manage-ssh-node-access";
const IDENTITY: &str = "Azure: Use a user-assigned managed identity in AKS, https://learn.microsoft.com/azure/aks/user-assigned-managed-identity";
const MONITORING: &str = "Azure: Monitor AKS, https://learn.microsoft.com/azure/aks/monitor-aks";

pub(super) const RULES: &[Rule] = &[
    Rule::error("fixed-in-azure", CLUSTERS, fixed).about(Scope::Existing),
    Rule::error("fixed-in-azure-pool", POOLS, fixed_pool).about(Scope::Existing),
    Rule::error("fixed-zones", ZONES, fixed_zones).about(Scope::Existing),
    Rule::error("not-managed", CLUSTERS, not_managed).about(Scope::Existing),
    Rule::error("set-too-late", CLUSTERS, set_too_late).about(Scope::Existing),
    Rule::error("without-effect", CLUSTERS, without_effect).about(Scope::Existing).warning(),
    Rule::error("fixed-identity", "docs/contract/aks-config.md#kinds-of-fields", identity).about(Scope::Any),
];

pub(super) type Text = fn(&AksConfig) -> Option<&String>;

/// A key that stays as it was when the cluster was made.
struct Key {
    name: &'static str,
    read: Text,
    /// Where Azure could change it, and this server does not: how it is done there.
    in_azure: Option<&'static str>,
    source: &'static str,
}

const fn fixed_key(name: &'static str, source: &'static str, read: Text) -> Key {
    Key { name, read, in_azure: None, source }
}

const fn unmanaged_key(name: &'static str, source: &'static str, how: &'static str, read: Text) -> Key {
    Key { name, read, in_azure: Some(how), source }
}

const KEYS: [Key; 16] = [
    fixed_key("dnsPrefix", CLUSTERS, |it| it.dns_prefix.as_ref()),
    fixed_key("dnsServiceIp", RANGES, |it| it.dns_service_ip.as_ref()),
    fixed_key("networkPlugin", CNI, |it| it.network_plugin.as_ref()),
    fixed_key("nodeResourceGroup", FAQ, |it| it.node_resource_group.as_ref()),
    fixed_key("podCidr", RANGES, |it| it.pod_cidr.as_ref()),
    fixed_key("serviceCidr", RANGES, |it| it.service_cidr.as_ref()),
    fixed_key("subnet", POOLS, |it| it.subnet.as_ref()),
    fixed_key("virtualNetwork", POOLS, |it| it.virtual_network.as_ref()),
    fixed_key("virtualNetworkResourceGroup", POOLS, |it| it.virtual_network_resource_group.as_ref()),
    fixed_key("linuxAdminUsername", CLUSTERS, |it| it.linux_admin_username.as_ref()),
    unmanaged_key("loadBalancerSku", BALANCER, "with az aks update --load-balancer-sku", |it| {
        it.load_balancer_sku.as_ref()
    }),
    unmanaged_key("networkPolicy", POLICY, "with az aks update --network-policy", |it| {
        it.network_policy.as_ref()
    }),
    unmanaged_key("outboundType", OUTBOUND, "with az aks update --outbound-type", |it| {
        it.outbound_type.as_ref()
    }),
    unmanaged_key("privateDnsZone", PRIVATE, "with az aks update --private-dns-zone", |it| {
        it.private_dns_zone.as_ref()
    }),
    unmanaged_key("sshPublicKey", SSH, "with az aks update --ssh-key-value", |it| it.ssh_public_key.as_ref()),
    unmanaged_key("userAssignedIdentity", IDENTITY, "with az aks update --assign-identity", |it| {
        it.user_assigned_identity.as_ref()
    }),
];

/// What Azure has for a key.
enum InAzure<'a> {
    /// It is not read, or not known yet.
    Unknown,
    /// The cluster was made without.
    Nothing,
    /// One of these: node pools may be in several subnets. Never empty.
    Values(Vec<Cow<'a, str>>),
}

impl InAzure<'_> {
    fn has(&self, value: &str) -> bool {
        matches!(self, Self::Values(values) if values.iter().any(|it| same(it, value)))
    }
}

fn same(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

/// The word with which Azure, and some users, say that there is no network policy.
const NO_POLICY: &str = "none";

/// What Azure has for a key of the cluster.
fn in_azure<'a>(case: &'a Case<'_>, key: &Key) -> InAzure<'a> {
    let Some(current) = case.current else { return InAzure::Unknown };
    let is_none = |value: &str| key.name == "networkPolicy" && same(value, NO_POLICY);
    if let Some(value) = given((key.read)(current)).filter(|value| !is_none(value)) {
        return InAzure::Values(vec![value.into()]);
    }
    let pools = current.node_pools.iter().flatten();
    let subnets: Vec<_> = pools.clone().filter_map(|pool| case.subnet_of(pool)).collect();
    let values: Vec<Cow<'a, str>> = match key.name {
        "nodeResourceGroup" => match case.node_resource_group() {
            Some(group) => vec![group.into()],
            None => return InAzure::Unknown,
        },
        "virtualNetwork" => subnets.into_iter().map(|it| it.network.name.into()).collect(),
        "virtualNetworkResourceGroup" => subnets.into_iter().map(|it| it.network.group.into()).collect(),
        "subnet" => subnets.into_iter().map(|it| it.subnet.into()).collect(),
        _ => Vec::new(),
    };
    if values.is_empty() { InAzure::Nothing } else { InAzure::Values(values) }
}

/// What a request does to a key that cannot be changed.
enum Change<'a> {
    /// It has another value.
    From(Cow<'a, str>),
    /// There was no value.
    FromNothing,
    /// The request repeats a stored value that Azure does not have; holds what Azure has.
    Repeated(Option<Cow<'a, str>>),
}

/// Judges a value that is said against the stored one and Azure's.
fn change<'a>(said: &str, stored: Option<&'a str>, azure: InAzure<'a>) -> Option<Change<'a>> {
    if azure.has(said) {
        return None;
    }
    let first = |azure: InAzure<'a>| match azure {
        InAzure::Values(values) => values.into_iter().next(),
        InAzure::Unknown | InAzure::Nothing => None,
    };
    match stored {
        Some(stored) if same(stored, said) => match azure {
            InAzure::Unknown => None,
            azure => Some(Change::Repeated(first(azure))),
        },
        Some(stored) => Some(Change::From(stored.into())),
        None => match azure {
            InAzure::Values(_) => first(azure).map(Change::From),
            InAzure::Nothing | InAzure::Unknown => Some(Change::FromNothing),
        },
    }
}

/// The keys of the cluster that the request changes or repeats without effect, with their values.
fn changes<'a>(case: &'a Case<'_>) -> impl Iterator<Item = (&'static Key, &'a str, Change<'a>)> {
    KEYS.iter().filter_map(|key| {
        let said = given((key.read)(case.said))?;
        let stored = case.stored().and_then(|stored| given((key.read)(stored)));
        let azure = in_azure(case, key);
        let is_none = key.name == "networkPolicy" && same(said, NO_POLICY);
        if is_none && matches!(azure, InAzure::Nothing) {
            return None;
        }
        Some((key, said, change(said, stored, azure)?))
    })
}

fn field(key: &str) -> String {
    format!("aksConfig.{key}")
}

fn cannot(key: &str, old: &dyn std::fmt::Debug, new: &dyn std::fmt::Debug) -> Fault {
    Fault::new(
        field(key),
        format!(
            "{key} is {old:?} and cannot become {new:?}, because Azure cannot change it in a cluster that exists"
        ),
        format!("leave {key} as it is, or make another cluster"),
    )
}

/// The same for a switch. Clients send `false` for what is not set.
fn switched(case: &Case<'_>, read: fn(&AksConfig) -> Option<bool>) -> Option<(bool, bool)> {
    let stored = case.stored().and_then(read);
    let azure = read(case.current?);
    let new = read(case.said).filter(|new| Some(*new) != azure)?;
    let old = stored.or(azure)?;
    (old != new && (new || stored == Some(true))).then_some((old, new))
}

fn fixed(case: &Case<'_>) -> Vec<Fault> {
    let texts = changes(case).filter_map(|(key, said, change)| match change {
        Change::From(old) if key.in_azure.is_none() => {
            Some(cannot(key.name, &old, &said).sourced(key.source))
        }
        _ => None,
    });
    let switch = switched(case, |it| it.private_cluster);
    texts.chain(switch.map(|(old, new)| cannot("privateCluster", &old, &new).sourced(PRIVATE))).collect()
}

fn not_managed(case: &Case<'_>) -> Vec<Fault> {
    let fault = |key: &str, old: &dyn std::fmt::Debug, new: &dyn std::fmt::Debug, how: &str| {
        Fault::new(
            field(key),
            format!("{key} is {old:?} and would not become {new:?}: changing it is not managed here"),
            format!("leave {key} as it is, or change it in Azure {how}"),
        )
    };
    let mut faults: Vec<Fault> = changes(case)
        .filter_map(|(key, said, change)| match (change, key.in_azure) {
            (Change::From(old), Some(how)) => Some(fault(key.name, &old, &said, how).sourced(key.source)),
            _ => None,
        })
        .collect();
    let how = "with az aks update --enable-managed-identity";
    let identity = switched(case, |it| it.managed_identity);
    faults.extend(identity.map(|(old, new)| fault("managedIdentity", &old, &new, how).sourced(IDENTITY)));
    // A workspace counts when monitoring is switched on, and only then.
    let before =
        |read: fn(&AksConfig) -> Option<bool>| case.stored().and_then(read).or_else(|| read(case.current?));
    let monitored = before(|it| it.monitoring) == Some(true) && case.said.monitoring == Some(true);
    let workspace: [(&str, Text); 2] = [
        ("logAnalyticsWorkspaceGroup", |it| it.log_analytics_workspace_group.as_ref()),
        ("logAnalyticsWorkspaceName", |it| it.log_analytics_workspace_name.as_ref()),
    ];
    let moved = workspace.into_iter().filter(|_| monitored).filter_map(|(key, read)| {
        let old = case.stored().and_then(|it| given(read(it))).or_else(|| given(read(case.current?)))?;
        let new = given(read(case.said)).filter(|new| !same(old, new))?;
        Some(fault(key, &old, &new, "by switching monitoring off and on again").sourced(MONITORING))
    });
    faults.extend(moved);
    faults
}

/// The value of a key of a pool, as text.
type PoolText = fn(&NodePool) -> Option<String>;

fn text(text: Option<&String>) -> Option<String> {
    given(text).map(str::to_owned)
}

const DISKS: &str =
    "Azure: Agent pools, REST, https://learn.microsoft.com/rest/api/aks/agent-pools/create-or-update";

const POOL_KEYS: [(&str, &str, PoolText); 6] = [
    ("maxPods", POOLS, |it| it.max_pods.map(|pods| pods.to_string())),
    ("osDiskSizeGB", DISKS, |it| it.os_disk_size_gb.filter(|size| *size != 0).map(|size| size.to_string())),
    ("osDiskType", DISKS, |it| text(it.os_disk_type.as_ref())),
    ("osType", DISKS, |it| text(it.os_type.as_ref())),
    ("vmSize", POOLS, |it| text(it.vm_size.as_ref())),
    ("vnetSubnetID", DISKS, |it| text(it.vnet_subnet_id.as_ref())),
];

/// What a request does to a key of a pool that exists.
fn pool_change(pool: &Pool<'_>, read: PoolText) -> Option<(String, Change<'static>)> {
    let (current, said) = (pool.current?, read(pool.said?)?);
    let azure = match read(current) {
        Some(value) => InAzure::Values(vec![value.into()]),
        None => InAzure::Nothing,
    };
    let stored = pool.stored.and_then(read);
    let change = match change(&said, stored.as_deref(), azure)? {
        Change::From(old) => Change::From(old.into_owned().into()),
        Change::FromNothing => Change::FromNothing,
        Change::Repeated(azure) => Change::Repeated(azure.map(|value| value.into_owned().into())),
    };
    Some((said, change))
}

/// The zones, in one order.
const ZONES_OF: PoolText = |it| {
    let zones: BTreeSet<&String> = it.availability_zones.iter().flatten().collect();
    (!zones.is_empty()).then(|| zones.into_iter().map(String::as_str).collect::<Vec<_>>().join(", "))
};

const REPLACE: &str = "add a pool of another name, and remove this one";

fn fixed_pool(case: &Case<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for pool in case.pools() {
        for (key, source, read) in POOL_KEYS {
            let Some((new, Change::From(old))) = pool_change(&pool, read) else { continue };
            let name = pool.name();
            let message = format!(
                "{key} of node pool {name} is {old} and cannot become {new}, because Azure cannot change it in a pool that exists"
            );
            faults.push(Fault::new(pool.field(key), message, REPLACE).sourced(source));
        }
    }
    faults
}

fn fixed_zones(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    let moved = pools.iter().filter(|pool| matches!(pool_change(pool, ZONES_OF), Some((_, Change::From(_)))));
    moved
        .map(|pool| {
            let cluster = case.spec.cluster_name.clone().unwrap_or_default();
            let refused = Refused::Zones { cluster, pool: pool.name().to_owned() };
            Fault::new(pool.field("availabilityZones"), refused.to_string(), REPLACE)
        })
        .collect()
}

/// The keys of a pool that stay as they were made.
fn fixed_pool_keys() -> impl Iterator<Item = (&'static str, &'static str, PoolText)> {
    POOL_KEYS.into_iter().chain([("availabilityZones", ZONES, ZONES_OF)])
}

/// What is said for the first time of a cluster, or a pool, that was made without it.
fn set_too_late(case: &Case<'_>) -> Vec<Fault> {
    let mut faults: Vec<Fault> = changes(case)
        .filter_map(|(key, _, change)| {
            let name = key.name;
            let remedy = match key.in_azure {
                None => format!("leave {name} out, or make another cluster with it"),
                Some(how) => format!("leave {name} out, or set it in Azure {how}"),
            };
            let message = format!(
                "the cluster was made without {name}, and a cluster that exists cannot get it from here"
            );
            matches!(change, Change::FromNothing)
                .then(|| Fault::new(field(name), message, remedy).sourced(key.source))
        })
        .collect();
    let had = case.stored().and_then(|it| it.managed_identity).or_else(|| case.current?.managed_identity);
    if had.is_none() && case.said.managed_identity == Some(true) {
        let message =
            "the cluster was made without managedIdentity, and a cluster that exists cannot get it from here";
        let remedy =
            "leave managedIdentity out, or set it in Azure with az aks update --enable-managed-identity";
        faults.push(Fault::new(field("managedIdentity"), message, remedy).sourced(IDENTITY));
    }
    for pool in case.pools() {
        for (key, source, read) in fixed_pool_keys() {
            let Some((_, Change::FromNothing)) = pool_change(&pool, read) else { continue };
            let name = pool.name();
            let message =
                format!("node pool {name} was made without {key}, and a pool that exists cannot get it");
            let remedy =
                format!("leave {key} out, or add a pool of another name with it and remove this one");
            faults.push(Fault::new(pool.field(key), message, remedy).sourced(source));
        }
    }
    faults
}

/// Values that are stored, and that Azure does not have.
fn without_effect(case: &Case<'_>) -> Vec<Fault> {
    let fault = |field: String, what: String, azure: Option<Cow<'_, str>>, key: &str| {
        let has = azure.map_or_else(|| "nothing for it".to_owned(), Cow::into_owned);
        let message =
            format!("{what} has no effect, because it cannot be changed in what exists: Azure has {has}");
        Fault::new(field, message, format!("leave {key} out, or set it to what Azure has"))
    };
    let mut faults: Vec<Fault> = changes(case)
        .filter_map(|(key, said, change)| {
            let Change::Repeated(azure) = change else { return None };
            Some(fault(field(key.name), format!("{} {said}", key.name), azure, key.name).sourced(key.source))
        })
        .collect();
    for pool in case.pools() {
        for (key, source, read) in fixed_pool_keys() {
            let Some((said, Change::Repeated(azure))) = pool_change(&pool, read) else { continue };
            let what = format!("{key} {said} of node pool {}", pool.name());
            faults.push(fault(pool.field(key), what, azure, key).sourced(source));
        }
    }
    // Azure has no such setting any more, and this server never sends it.
    let bridge = given(case.said.docker_bridge_cidr.as_ref());
    let is_new = bridge != case.stored().and_then(|it| given(it.docker_bridge_cidr.as_ref()));
    faults.extend(bridge.filter(|_| is_new).map(|bridge| {
        let message =
            format!("dockerBridgeCidr {bridge} has no effect, because Azure has no such setting any more");
        Fault::new(field("dockerBridgeCidr"), message, "leave dockerBridgeCidr out").sourced(CLUSTERS)
    }));
    faults
}
