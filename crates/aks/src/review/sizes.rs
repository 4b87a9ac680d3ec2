//! Sizes of machines, their zones and the quota for them, as Azure offers them to the subscription.

use std::collections::BTreeMap;

use super::azure::{Block, list};
use super::case::Case;
use super::pool::Pool;
use super::rule::{Fault, Rule};
use crate::arm::VmOffer;
use crate::spec::given;

const SKUS: &str =
    "Azure: List resource SKUs, https://learn.microsoft.com/rest/api/compute/resource-skus/list";
const RESTRICTED: &str = "Azure: Quotas, VM size restrictions and region availability in AKS, \
    https://learn.microsoft.com/azure/aks/quotas-skus-regions";
const SYSTEM: &str =
    "Azure: Manage system node pools, limitations, https://learn.microsoft.com/azure/aks/use-system-pools";
const EPHEMERAL: &str = "Azure: Ephemeral OS disks in AKS, https://learn.microsoft.com/azure/aks/concepts-storage#ephemeral-os-disk";
const ZONES: &str =
    "Azure: Availability zones in AKS, https://learn.microsoft.com/azure/aks/availability-zones";
const QUOTAS: &str = "Azure: vCPU quotas, https://learn.microsoft.com/azure/virtual-machines/quotas";

/// The rule about nodes for which the quota is too small.
pub(super) const QUOTA: &str = "quota";

pub(super) const RULES: &[Rule] = &[
    Rule::error("zone-form", ZONES, zone_form),
    Rule::error("size-exists", SKUS, exists).needs(&[Block::Sizes]),
    Rule::error("size-usable", SKUS, usable).needs(&[Block::Sizes]),
    Rule::error("size-of-nodes", RESTRICTED, of_nodes).needs(&[Block::Sizes]),
    Rule::error("size-of-system-nodes", SYSTEM, of_system_nodes).needs(&[Block::Sizes]),
    Rule::error("ephemeral-disk-fits", EPHEMERAL, ephemeral_disk).needs(&[Block::Sizes]),
    Rule::error("zone-offered", ZONES, zones).needs(&[Block::Sizes]),
    Rule::error(QUOTA, QUOTAS, quota).needs(&[Block::Sizes, Block::Usages]),
    Rule::error("quota-of-autoscaling", QUOTAS, quota_of_autoscaling)
        .needs(&[Block::Sizes, Block::Usages])
        .warning(),
];

/// What Azure offers for the size of a pool.
pub(super) fn offer<'a>(case: &'a Case<'_>, pool: &Pool<'_>) -> Option<&'a VmOffer> {
    let size = given(pool.wanted.vm_size.as_ref())?;
    let named = |it: &&VmOffer| it.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(size));
    list(&case.azure.sizes).iter().find(named)
}

fn size<'a>(pool: &'a Pool<'_>) -> &'a str {
    pool.wanted.vm_size.as_deref().unwrap_or_default()
}

/// What a rule says about each pool that is to be made, with what Azure offers for its size.
fn each(case: &Case<'_>, check: impl Fn(&Pool<'_>, &VmOffer) -> Option<Fault>) -> Vec<Fault> {
    let pools = case.pools();
    let new = pools.iter().filter(|pool| pool.is_new());
    new.filter_map(|pool| check(pool, offer(case, pool)?)).collect()
}

fn zone_form(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    let wrong = pools.iter().filter_map(|pool| {
        let zones = pool.wanted.availability_zones.as_ref()?;
        let of_form = |zone: &String| zone.len() == 1 && zone.bytes().all(|it| (b'1'..=b'9').contains(&it));
        let twice = zones.iter().enumerate().any(|(at, zone)| zones.iter().take(at).any(|it| it == zone));
        if zones.iter().all(of_form) && !twice {
            return None;
        }
        let message = format!("availabilityZones {zones:?} of node pool {} are no zones", pool.name());
        Some(Fault::new(
            pool.field("availabilityZones"),
            message,
            "use the numbers of zones, each once, for example 1, 2, 3",
        ))
    });
    wrong.collect()
}

fn exists(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    let unknown =
        pools.iter().filter(|pool| pool.is_new() && !size(pool).is_empty() && offer(case, pool).is_none());
    unknown
        .map(|pool| {
            let message = format!(
                "vmSize {} of node pool {} is not offered in {}",
                size(pool),
                pool.name(),
                case.region()
            );
            Fault::new(pool.field("vmSize"), message, "use a size that aksVMSizes lists for the region")
        })
        .collect()
}

fn usable(case: &Case<'_>) -> Vec<Fault> {
    each(case, |pool, offer| {
        offer.restricted.then(|| {
            let message = format!(
                "vmSize {} of node pool {} may not be used by this subscription in {}",
                size(pool),
                pool.name(),
                case.region()
            );
            Fault::new(
                pool.field("vmSize"),
                message,
                "use another size or region, or ask Azure to allow the size",
            )
        })
    })
}

fn of_nodes(case: &Case<'_>) -> Vec<Fault> {
    each(case, |pool, offer| {
        let basic = size(pool).to_ascii_lowercase().starts_with("basic_");
        let small = offer.vcpus.is_some_and(|vcpus| vcpus < 2);
        (basic || small).then(|| {
            let message = format!("vmSize {} of node pool {} is too small for AKS", size(pool), pool.name());
            Fault::new(pool.field("vmSize"), message, "use a size with at least 2 vCPUs")
        })
    })
}

fn of_system_nodes(case: &Case<'_>) -> Vec<Fault> {
    const LEAST_MIB: i64 = 4 * 1_024;
    each(case, |pool, offer| {
        let memory = offer.memory_mib.filter(|memory| pool.is_system() && *memory < LEAST_MIB)?;
        let message = format!(
            "vmSize {} of node pool {} has {memory} MiB of memory, which is too little for a pool of mode System",
            size(pool),
            pool.name()
        );
        Some(Fault::new(pool.field("vmSize"), message, "use a size with at least 4 GiB of memory"))
    })
}

fn ephemeral_disk(case: &Case<'_>) -> Vec<Fault> {
    each(case, |pool, offer| {
        given(pool.wanted.os_disk_type.as_ref()).filter(|kind| kind.eq_ignore_ascii_case("Ephemeral"))?;
        if !offer.ephemeral_disk {
            let message = format!(
                "osDiskType Ephemeral of node pool {} is not possible with vmSize {}",
                pool.name(),
                size(pool)
            );
            return Some(Fault::new(
                pool.field("osDiskType"),
                message,
                "use osDiskType Managed, or another size",
            ));
        }
        let wanted = pool.wanted.os_disk_size_gb.filter(|wanted| *wanted > offer.ephemeral_gib)?;
        let message = format!(
            "osDiskSizeGB {wanted} of node pool {} is more than the {} GiB that vmSize {} has for an ephemeral disk",
            pool.name(),
            offer.ephemeral_gib,
            size(pool)
        );
        Some(Fault::new(
            pool.field("osDiskSizeGB"),
            message,
            "use a smaller disk, a larger size, or osDiskType Managed",
        ))
    })
}

fn zones(case: &Case<'_>) -> Vec<Fault> {
    each(case, |pool, offer| {
        let wanted = pool.wanted.availability_zones.as_ref()?;
        let has: Vec<&String> =
            offer.zones.iter().filter(|zone| !offer.restricted_zones.contains(zone)).collect();
        let missing: Vec<&str> =
            wanted.iter().filter(|zone| !has.contains(zone)).map(String::as_str).collect();
        if missing.is_empty() {
            return None;
        }
        let message = format!(
            "availabilityZones of node pool {} have {}, where this subscription cannot have vmSize {} in {}",
            pool.name(),
            missing.join(", "),
            size(pool),
            case.region()
        );
        let mut has: Vec<&str> = has.into_iter().map(String::as_str).collect();
        has.sort_unstable();
        let remedy = if has.is_empty() {
            "leave availabilityZones out, or use another size or region".to_owned()
        } else {
            format!("use {}, or another size", has.join(", "))
        };
        Some(Fault::new(pool.field("availabilityZones"), message, remedy))
    })
}

/// The nodes that this request adds.
fn quota(case: &Case<'_>) -> Vec<Fault> {
    short(case, added)
        .into_iter()
        .map(|Short { need, shown, left }| {
            let message = format!(
                "nodePools need {need} more vCPUs of the quota {shown} in {}, of which {left} are left",
                case.region()
            );
            Fault::new("aksConfig.nodePools", message, REMEDY)
        })
        .collect()
}

/// The nodes that autoscaling may add later.
fn quota_of_autoscaling(case: &Case<'_>) -> Vec<Fault> {
    if !short(case, added).is_empty() {
        return Vec::new();
    }
    short(case, growth)
        .into_iter()
        .map(|Short { need, shown, left }| {
            let message = format!(
                "nodePools may come to need {need} more vCPUs of the quota {shown} in {}, of which {left} are left",
                case.region()
            );
            Fault::new("aksConfig.nodePools", message, REMEDY)
        })
        .collect()
}

const REMEDY: &str = "ask Azure for more quota, or use fewer or smaller nodes";

// As functions of their own they are for pools of every lifetime.
fn added(pool: &Pool<'_>) -> i64 {
    pool.added()
}

fn growth(pool: &Pool<'_>) -> i64 {
    pool.growth()
}

/// A quota that is too small.
struct Short<'a> {
    need: i64,
    shown: &'a str,
    left: i64,
}

/// The quotas, of the whole region and of each family of sizes, that are too small for so many more nodes of each pool.
fn short<'a>(case: &'a Case<'_>, nodes: impl Fn(&Pool<'_>) -> i64) -> Vec<Short<'a>> {
    let mut needs: BTreeMap<String, i64> = BTreeMap::new();
    for pool in case.pools() {
        let Some(offer) = offer(case, &pool) else { continue };
        let more = offer.vcpus.unwrap_or_default() * nodes(&pool);
        for name in [Some("cores"), offer.family.as_deref()].into_iter().flatten() {
            *needs.entry(name.to_ascii_lowercase()).or_default() += more;
        }
    }
    let short = list(&case.azure.usages).iter().filter_map(|usage| {
        let name = usage.name.as_ref()?;
        let need = *needs.get(&name.value.as_ref()?.to_ascii_lowercase())?;
        let left = usage.limit?.saturating_sub(usage.current_value.unwrap_or_default()).max(0);
        let shown = name.localized_value.as_deref().or(name.value.as_deref()).unwrap_or_default();
        (need > left).then_some(Short { need, shown, left })
    });
    short.collect()
}
