//! VM sizes, their zones and quotas, as Azure offers them to the subscription.

use std::collections::BTreeMap;

use super::azure::{Block, list};
use super::case::Case;
use super::pool::Pool;
use super::rule::{Faults, Rule};
use super::sources::{LIMITS, SYSTEM_POOLS, ZONES, learn};
use crate::arm::VmOffer;

const SKUS: &str = learn!("List resource SKUs", "rest/api/compute/resource-skus/list");
const EPHEMERAL: &str = learn!("Ephemeral OS disks in AKS", "azure/aks/concepts-storage#ephemeral-os-disk");
const QUOTAS: &str = learn!("vCPU quotas", "azure/virtual-machines/quotas");

/// The rule about nodes for which the quota is too small.
pub(super) const QUOTA: &str = "quota";

pub(super) const RULES: &[Rule] = &[
    Rule::error("zone-form", ZONES, zone_form),
    Rule::error("size-exists", SKUS, exists).needs(&[Block::Sizes]),
    Rule::error("size-usable", SKUS, usable).needs(&[Block::Sizes]),
    Rule::error("size-of-nodes", LIMITS, of_nodes).needs(&[Block::Sizes]),
    Rule::error("size-of-system-nodes", SYSTEM_POOLS, of_system_nodes).needs(&[Block::Sizes]),
    Rule::error("ephemeral-disk-fits", EPHEMERAL, ephemeral_disk).needs(&[Block::Sizes]),
    Rule::error("zone-offered", ZONES, zones).needs(&[Block::Sizes]),
    Rule::error(QUOTA, QUOTAS, quota).needs(&[Block::Sizes, Block::Usages]),
    Rule::warning("quota-of-autoscaling", QUOTAS, quota_of_autoscaling).needs(&[Block::Sizes, Block::Usages]),
];

/// Azure's offer for the size of a pool.
pub(super) fn offer<'a>(case: &'a Case<'_>, pool: &Pool<'_>) -> Option<&'a VmOffer> {
    let size = pool.spec.vm_size.as_deref()?;
    let has_name =
        |offer: &&VmOffer| offer.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(size));
    list(&case.azure.sizes).iter().find(has_name)
}

/// Calls `check` for each pool to be created, with Azure's offer for its size and `vmSize <size> of node pool <name>`.
pub(super) fn each_new(case: &Case<'_>, mut check: impl FnMut(&Pool<'_>, &VmOffer, &str)) {
    for pool in case.pools().iter().filter(|pool| pool.is_new()) {
        if let Some(offer) = offer(case, pool) {
            check(pool, offer, &format!("vmSize {} of node pool {}", pool.size(), pool.name()));
        }
    }
}

fn zone_form(case: &Case<'_>, faults: &mut Faults) {
    for pool in case.pools() {
        let Some(zones) = pool.spec.zones() else { continue };
        let is_zone =
            |zone: &String| zone.len() == 1 && zone.bytes().all(|byte| (b'1'..=b'9').contains(&byte));
        let distinct: std::collections::BTreeSet<_> = zones.iter().collect();
        if distinct.len() < zones.len() || !zones.iter().all(is_zone) {
            let message = format!("availabilityZones {zones:?} of node pool {} are not valid", pool.name());
            faults.add(
                pool.key("availabilityZones"),
                message,
                "use the numbers of zones, each once, for example 1, 2, 3",
            );
        }
    }
}

fn exists(case: &Case<'_>, faults: &mut Faults) {
    for pool in case.pools() {
        if pool.is_new() && pool.spec.vm_size.is_some() && offer(case, &pool).is_none() {
            let (size, name, region) = (pool.size(), pool.name(), case.region());
            let message = format!("vmSize {size} of node pool {name} is not offered in {region}");
            faults.add(pool.key("vmSize"), message, "use a size that aksVMSizes lists for the region");
        }
    }
}

fn usable(case: &Case<'_>, faults: &mut Faults) {
    each_new(case, |pool, offer, size| {
        if offer.restricted {
            let message = format!("{size} may not be used by this subscription in {}", case.region());
            let remedy = "use another size or region, or ask Azure to allow the size";
            faults.add(pool.key("vmSize"), message, remedy);
        }
    });
}

fn of_nodes(case: &Case<'_>, faults: &mut Faults) {
    each_new(case, |pool, offer, size| {
        let is_basic = pool.size().to_ascii_lowercase().starts_with("basic_");
        if is_basic || offer.vcpus.is_some_and(|vcpus| vcpus < 2) {
            let message = format!("{size} is too small for AKS");
            faults.add(pool.key("vmSize"), message, "use a size with at least 2 vCPUs");
        }
    });
}

fn of_system_nodes(case: &Case<'_>, faults: &mut Faults) {
    const MIN_MIB: i64 = 4 * 1_024;
    each_new(case, |pool, offer, size| {
        if let Some(memory) = offer.memory_mib.filter(|memory| pool.is_system() && *memory < MIN_MIB) {
            let message =
                format!("{size} has {memory} MiB of memory, which is too little for a pool of mode System");
            faults.add(pool.key("vmSize"), message, "use a size with at least 4 GiB of memory");
        }
    });
}

fn ephemeral_disk(case: &Case<'_>, faults: &mut Faults) {
    each_new(case, |pool, offer, _| {
        if !pool.spec.os_disk_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("Ephemeral")) {
            return;
        }
        let (size, name, available) = (pool.size(), pool.name(), offer.ephemeral_gib);
        if !offer.ephemeral_disk {
            let message =
                format!("osDiskType Ephemeral of node pool {name} is not possible with vmSize {size}");
            faults.add(pool.key("osDiskType"), message, "use osDiskType Managed, or another size");
        } else if let Some(disk) = pool.spec.os_disk_size_gb.filter(|disk| *disk > available) {
            let message = format!(
                "osDiskSizeGB {disk} of node pool {name} exceeds the {available} GiB that vmSize {size} has for an ephemeral disk"
            );
            let remedy = "use a smaller disk, a larger size, or osDiskType Managed";
            faults.add(pool.key("osDiskSizeGB"), message, remedy);
        }
    });
}

fn zones(case: &Case<'_>, faults: &mut Faults) {
    each_new(case, |pool, offer, size| {
        let mut offered: Vec<&str> = offer.usable_zones().map(String::as_str).collect();
        offered.sort_unstable();
        let wanted = pool.spec.zones().unwrap_or_default().iter().map(String::as_str);
        let missing: Vec<&str> = wanted.filter(|zone| !offered.contains(zone)).collect();
        if missing.is_empty() {
            return;
        }
        let (zones, region) = (missing.join(", "), case.region());
        let message = format!("{size} is not available to this subscription in zone {zones} of {region}");
        let remedy = if offered.is_empty() {
            "leave availabilityZones out, or use another size or region".to_owned()
        } else {
            format!("use {}, or another size", offered.join(", "))
        };
        faults.add(pool.key("availabilityZones"), message, remedy);
    });
}

/// The nodes that this request adds.
fn quota(case: &Case<'_>, faults: &mut Faults) {
    for shortage in shortages(case, added) {
        shortage.add(case, faults, "need");
    }
}

/// The nodes that autoscaling may add later.
fn quota_of_autoscaling(case: &Case<'_>, faults: &mut Faults) {
    if shortages(case, added).is_empty() {
        for shortage in shortages(case, growth) {
            shortage.add(case, faults, "may need");
        }
    }
}

// Methods are not general over the lifetime of a pool.
fn added(pool: &Pool<'_>) -> i64 {
    pool.added()
}

fn growth(pool: &Pool<'_>) -> i64 {
    pool.growth()
}

/// A quota that is too small.
struct Shortage<'a> {
    need: i64,
    name: &'a str,
    left: i64,
}

impl Shortage<'_> {
    fn add(&self, case: &Case<'_>, faults: &mut Faults, verb: &str) {
        let (Self { need, name, left }, region) = (self, case.region());
        let message = format!(
            "nodePools {verb} {need} more vCPUs of the quota {name} in {region}, of which {left} are left"
        );
        faults.add("nodePools", message, "ask Azure for more quota, or use fewer or smaller nodes");
    }
}

/// The quotas, of the region and of each family of sizes, that are too small for so many more nodes of each pool.
fn shortages<'a>(case: &'a Case<'_>, nodes: fn(&Pool<'_>) -> i64) -> Vec<Shortage<'a>> {
    let mut needs: BTreeMap<String, i64> = BTreeMap::new();
    for pool in case.pools() {
        let Some(offer) = offer(case, &pool) else { continue };
        let more = offer.vcpus.unwrap_or_default() * nodes(&pool);
        for name in [Some("cores"), offer.family.as_deref()].into_iter().flatten() {
            *needs.entry(name.to_ascii_lowercase()).or_default() += more;
        }
    }
    let usages = list(&case.azure.usages).iter().filter_map(|usage| {
        let name = usage.name.as_ref()?;
        let value = name.value.as_deref()?;
        let need = *needs.get(&value.to_ascii_lowercase())?;
        let left = usage.limit?.saturating_sub(usage.current_value.unwrap_or_default()).max(0);
        let name = name.localized_value.as_deref().unwrap_or(value);
        (need > left).then_some(Shortage { need, name, left })
    });
    usages.collect()
}
