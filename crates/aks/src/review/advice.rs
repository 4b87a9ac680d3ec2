//! What works and could be better. Nothing here ever stands in the way.

use super::azure::Block;
use super::case::Case;
use super::rule::{Fault, Rule, Scope};
use super::sizes::offer;
use crate::spec::given;

const CNI: &str =
    "Azure: CNI networking overview, https://learn.microsoft.com/azure/aks/concepts-network-cni-overview";
const ACCESS: &str = "Azure: Use API server authorized IP address ranges in AKS, \
    https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges";
const POOLS: &str = "Azure: Manage system node pools, https://learn.microsoft.com/azure/aks/use-system-pools";
const SCALING: &str =
    "Azure: Use the cluster autoscaler in AKS, https://learn.microsoft.com/azure/aks/cluster-autoscaler";
const ZONES: &str =
    "Azure: Availability zones in AKS, https://learn.microsoft.com/azure/aks/availability-zones";
const IDENTITY: &str =
    "Azure: Use a managed identity in AKS, https://learn.microsoft.com/azure/aks/use-managed-identity";
const MONITORING: &str = "Azure: Monitor AKS, https://learn.microsoft.com/azure/aks/monitor-aks";
const SPOT: &str = "Azure: Add a spot node pool, https://learn.microsoft.com/azure/aks/spot-node-pool";
const SECRETS: &str = "Azure: Application credentials, https://learn.microsoft.com/entra/identity-platform/howto-create-service-principal-portal";
const KEYS: &str = "Azure: Manage SSH access, https://learn.microsoft.com/azure/aks/manage-ssh-node-access";

pub(super) const RULES: &[Rule] = &[
    Rule::error("advice-azure-cni", CNI, azure_cni).advice(),
    Rule::error("advice-api-access", ACCESS, api_access).advice(),
    Rule::error("advice-separate-pools", POOLS, separate_pools).advice(),
    Rule::error("advice-autoscaling", SCALING, autoscaling).advice(),
    Rule::error("advice-zones", ZONES, zones).needs(&[Block::Sizes]).advice(),
    Rule::error("advice-managed-identity", IDENTITY, managed_identity).advice(),
    Rule::error("advice-monitoring", MONITORING, monitoring).advice(),
    Rule::error("advice-size", POOLS, system_size).needs(&[Block::Sizes]).advice(),
    Rule::error("advice-spot", SPOT, spot).needs(&[Block::Sizes]).advice(),
    Rule::error("advice-secret-age", SECRETS, secret_age).about(Scope::Any).advice(),
    Rule::error("advice-ssh-key-age", KEYS, ssh_key_age).advice(),
];

fn one(applies: bool, fault: impl FnOnce() -> Fault) -> Vec<Fault> {
    applies.then(fault).into_iter().collect()
}

fn azure_cni(case: &Case<'_>) -> Vec<Fault> {
    one(case.plugin() == "kubenet", || {
        Fault::new(
            "aksConfig.networkPlugin",
            "networkPlugin kubenet is retired by Azure on 31 March 2028",
            "use networkPlugin azure for new clusters",
        )
    })
}

fn api_access(case: &Case<'_>) -> Vec<Fault> {
    let limited = case.spec.private_cluster == Some(true)
        || case.spec.authorized_ip_ranges.as_ref().is_some_and(|ranges| !ranges.is_empty());
    one(!limited, || {
        Fault::new(
            "aksConfig.authorizedIpRanges",
            "authorizedIpRanges is not set, so that the API server can be reached from everywhere",
            "set authorizedIpRanges to the addresses of its users and of this server, or set privateCluster",
        )
    })
}

fn separate_pools(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    one(!pools.is_empty() && pools.iter().all(super::pool::Pool::is_system), || {
        Fault::new(
            "aksConfig.nodePools",
            "nodePools has only pools of mode System, so that applications share nodes with what the cluster itself needs",
            "add a pool of mode User, and give the other the taint CriticalAddonsOnly=true:NoSchedule",
        )
    })
}

fn autoscaling(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    one(!pools.is_empty() && !pools.iter().any(super::pool::Pool::scales), || {
        Fault::new(
            "aksConfig.nodePools",
            "nodePools has no pool with enableAutoScaling, so that nobody adds nodes when pods find no place",
            "switch enableAutoScaling on for one of them, with minCount and maxCount",
        )
    })
}

fn zones(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    let single = pools.iter().filter(|pool| {
        let some = pool.wanted.availability_zones.as_ref().is_some_and(|zones| !zones.is_empty());
        let offered = offer(case, pool)
            .is_some_and(|offer| offer.zones.iter().any(|zone| !offer.restricted_zones.contains(zone)));
        pool.is_new() && !some && offered
    });
    single
        .map(|pool| {
            let message = format!(
                "availabilityZones of node pool {} is not set, so that its nodes may all be in one building",
                pool.name()
            );
            Fault::new(
                pool.field("availabilityZones"),
                message,
                "spread the pool over the zones of the region",
            )
        })
        .collect()
}

fn managed_identity(case: &Case<'_>) -> Vec<Fault> {
    one(case.spec.managed_identity != Some(true), || {
        Fault::new(
            "aksConfig.managedIdentity",
            "managedIdentity is not set: Azure gives the cluster an identity of its own all the same, which goes with the cluster",
            "set managedIdentity, and userAssignedIdentity for an identity whose rights outlive the cluster",
        )
    })
}

fn monitoring(case: &Case<'_>) -> Vec<Fault> {
    one(case.spec.monitoring != Some(true), || {
        Fault::new(
            "aksConfig.monitoring",
            "monitoring is off, so that Azure keeps no logs and figures of the containers",
            "switch monitoring on, or watch the cluster by other means",
        )
    })
}

fn system_size(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    let weak = pools.iter().filter_map(|pool| {
        let offer = offer(case, pool).filter(|_| pool.is_system() && pool.is_new())?;
        let burstable = offer
            .family
            .as_deref()
            .is_some_and(|family| family.to_ascii_lowercase().starts_with("standardb"));
        let few = offer.vcpus.is_some_and(|vcpus| vcpus < 4);
        (burstable || few).then(|| {
            let why = if burstable { "may be slowed down" } else { "has fewer than 4 vCPUs" };
            let size = pool.wanted.vm_size.as_deref().unwrap_or_default();
            let message = format!("vmSize {size} of node pool {}, a pool of mode System, {why}", pool.name());
            Fault::new(
                pool.field("vmSize"),
                message,
                "use a size with at least 4 vCPUs that is not of the B series",
            )
        })
    });
    weak.collect()
}

fn spot(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    // Work that comes and goes by itself is the kind that may be interrupted.
    let elastic = pools.iter().filter(|pool| {
        let from_nothing = pool.scales() && pool.wanted.min_count == Some(0);
        !pool.is_system()
            && pool.is_new()
            && from_nothing
            && offer(case, pool).is_some_and(|offer| offer.spot)
    });
    elastic
        .map(|pool| {
            let size = pool.wanted.vm_size.as_deref().unwrap_or_default();
            let message = format!(
                "vmSize {size} of node pool {}, which grows from nothing, is sold for much less as spot capacity",
                pool.name()
            );
            let remedy = "if its work may be interrupted, make a spot pool in Azure beside it: pools that are made there are left alone";
            Fault::new(pool.field("vmSize"), message, remedy)
        })
        .collect()
}

const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// Whole days since a moment, when they are more than so many.
fn days_over(case: &Case<'_>, since_ms: Option<i64>, limit: i64) -> Option<i64> {
    let days = case.facts.now_ms.saturating_sub(since_ms?) / DAY_MS;
    (days > limit).then_some(days)
}

fn secret_age(case: &Case<'_>) -> Vec<Fault> {
    const MOST_DAYS: i64 = 180;
    let old = days_over(case, case.facts.credential_changed_ms, MOST_DAYS).map(|days| {
        Fault::new(
            "aksConfig.azureCredentialSecret",
            format!("the cloud credential of azureCredentialSecret was last changed {days} days ago"),
            "give the application a new secret, and remove the old one when the credential has it",
        )
    });
    old.into_iter().collect()
}

fn ssh_key_age(case: &Case<'_>) -> Vec<Fault> {
    const MOST_DAYS: i64 = 365;
    if given(case.spec.ssh_public_key.as_ref()).is_none() {
        return Vec::new();
    }
    let old = days_over(case, case.facts.cluster_created_ms, MOST_DAYS).map(|days| {
        Fault::new(
            "aksConfig.sshPublicKey",
            format!("sshPublicKey has been the key of the machines for {days} days"),
            "replace the key in Azure from time to time",
        )
    });
    old.into_iter().collect()
}
