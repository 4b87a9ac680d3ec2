//! VM sizes, their zones and quotas, as offered to the subscription. [`vm_size`] checks a single size.

use std::collections::BTreeMap;

use super::azure::{DataPart, items_or_empty};
use super::input::RuleInput;
use super::pool::{Pool, surge_nodes};
use super::rule::{FieldFindings, Rule, Scope};
use super::sources::{LIMITS_DOC, SYSTEM_POOLS_DOC, ZONES_DOC};
use crate::arm::VmSku;
use crate::vm_size::{
    self, ARM_DOC, EPHEMERAL_DOC, Obstacle, QUOTA_REMEDY, QUOTAS_DOC, Quota, REGIONAL_QUOTA, RETIREMENT_DOC,
    Requirements, SKUS_DOC, SURGE_REMEDY, Shortage,
};

/// The name of the rule about nodes that exceed the quota.
pub(super) const QUOTA: &str = "quota";

/// The name of the rule about surge nodes of upgrades that exceed the quota.
pub(super) const QUOTA_OF_UPGRADE: &str = "quota-of-upgrade";

pub(super) const RULES: &[Rule] = &[
    Rule::error("zone-form", ZONES_DOC, zone_form),
    Rule::error("size-exists", SKUS_DOC, size_exists).needs(&[DataPart::Sizes]),
    Rule::error("size-usable", SKUS_DOC, size_usable).needs(&[DataPart::Sizes]),
    Rule::error("size-of-nodes", LIMITS_DOC, node_size).needs(&[DataPart::Sizes]),
    Rule::error("size-of-system-nodes", SYSTEM_POOLS_DOC, system_node_size).needs(&[DataPart::Sizes]),
    Rule::error("ephemeral-disk-fits", EPHEMERAL_DOC, ephemeral_disk).needs(&[DataPart::Sizes]),
    Rule::error("zone-offered", ZONES_DOC, offered_zones).needs(&[DataPart::Sizes]),
    Rule::error("size-architecture", ARM_DOC, architecture).needs(&[DataPart::Sizes]),
    Rule::error("size-retired", RETIREMENT_DOC, retired_size).needs(&[DataPart::Sizes]),
    Rule::warning("size-retires", RETIREMENT_DOC, retiring_size).needs(&[DataPart::Sizes]),
    Rule::error(QUOTA, QUOTAS_DOC, quota).needs(&[DataPart::Sizes, DataPart::Usages]),
    Rule::error(QUOTA_OF_UPGRADE, QUOTAS_DOC, quota_of_upgrade)
        .needs(&[DataPart::Sizes, DataPart::Usages])
        .scope(Scope::Existing),
    Rule::warning("quota-of-autoscaling", QUOTAS_DOC, quota_of_autoscaling)
        .needs(&[DataPart::Sizes, DataPart::Usages]),
];

/// Azure's offer for the size of a pool.
pub(super) fn find_offer<'a>(input: &'a RuleInput<'_>, pool: &Pool<'_>) -> Option<&'a VmSku> {
    let size = pool.spec.vm_size.as_deref()?;
    items_or_empty(&input.azure.sizes).iter().find(|offer| offer.is_named(size))
}

/// Calls `check` for each new pool, with Azure's offer for its size and `vmSize <size> of node pool <name>`.
pub(super) fn for_each_new_pool(input: &RuleInput<'_>, mut check: impl FnMut(&Pool<'_>, &VmSku, &str)) {
    for pool in input.pools().iter().filter(|pool| pool.is_new()) {
        if let Some(offer) = find_offer(input, pool) {
            check(pool, offer, &describe_size(pool));
        }
    }
}

fn describe_size(pool: &Pool<'_>) -> String {
    format!("vmSize {} of node pool {}", pool.size(), pool.name())
}

fn zone_form(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for pool in input.pools() {
        let Some(zones) = pool.spec.zones() else { continue };
        let is_zone =
            |zone: &String| zone.len() == 1 && zone.bytes().all(|byte| (b'1'..=b'9').contains(&byte));
        let distinct: std::collections::BTreeSet<_> = zones.iter().collect();
        if distinct.len() < zones.len() || !zones.iter().all(is_zone) {
            let message = format!("availabilityZones {zones:?} of node pool {} are not valid", pool.name());
            findings.add(
                pool.key("availabilityZones"),
                message,
                "use the numbers of zones, each once, for example 1, 2, 3",
            );
        }
    }
}

fn size_exists(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for pool in input.pools() {
        if pool.is_new() && pool.spec.vm_size.is_some() && find_offer(input, &pool).is_none() {
            add_obstacle(input, findings, &pool, &Obstacle::NotInRegion);
        }
    }
}

fn add_obstacle(input: &RuleInput<'_>, findings: &mut FieldFindings, pool: &Pool<'_>, obstacle: &Obstacle) {
    let message = obstacle.message(&describe_size(pool), input.region());
    findings.add(pool.key(obstacle.key()), message, obstacle.remedy());
}

/// Adds a finding for each obstacle of a new pool that `is_selected` accepts.
fn add_obstacles(input: &RuleInput<'_>, findings: &mut FieldFindings, is_selected: fn(&Obstacle) -> bool) {
    for_each_new_pool(input, |pool, offer, _| {
        let eq_ignoring_case = |value: &Option<String>, expected: &str| {
            value.as_deref().is_some_and(|value| value.eq_ignore_ascii_case(expected))
        };
        let required = Requirements {
            zones: pool.spec.zones().unwrap_or_default(),
            is_system: pool.is_system(),
            is_windows: eq_ignoring_case(&pool.spec.os_type, "Windows"),
            ephemeral_disk: eq_ignoring_case(&pool.spec.os_disk_type, "Ephemeral"),
            disk_gib: pool.spec.os_disk_size_gb,
            now_ms: input.facts.now_ms,
        };
        for obstacle in vm_size::obstacles(offer, &required).iter().filter(|obstacle| is_selected(obstacle)) {
            add_obstacle(input, findings, pool, obstacle);
        }
    });
}

fn size_usable(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    add_obstacles(input, findings, |obstacle| matches!(obstacle, Obstacle::NotForSubscription));
}

fn node_size(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    add_obstacles(input, findings, |obstacle| {
        matches!(obstacle, Obstacle::TooFewVcpus | Obstacle::BasicTier)
    });
}

fn system_node_size(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    add_obstacles(input, findings, |obstacle| matches!(obstacle, Obstacle::TooSmallForSystemPool(_)));
}

fn architecture(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    add_obstacles(input, findings, |obstacle| matches!(obstacle, Obstacle::Architecture));
}

fn ephemeral_disk(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    add_obstacles(input, findings, |obstacle| {
        matches!(obstacle, Obstacle::NoEphemeralDisk | Obstacle::EphemeralDiskTooLarge { .. })
    });
}

fn offered_zones(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    add_obstacles(input, findings, |obstacle| matches!(obstacle, Obstacle::Zones { .. }));
}

fn retired_size(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    add_obstacles(input, findings, |obstacle| matches!(obstacle, Obstacle::Retired(_)));
}

fn retiring_size(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    add_obstacles(input, findings, |obstacle| matches!(obstacle, Obstacle::Retires(_)));
}

/// Checks the quotas for the nodes that this request adds.
fn quota(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for shortage in shortages(input, added_nodes) {
        add_shortage(input, findings, &shortage, "need");
    }
}

/// Checks the quotas for the nodes that autoscaling may add later.
fn quota_of_autoscaling(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if shortages(input, added_nodes).is_empty() {
        for shortage in shortages(input, max_growth) {
            add_shortage(input, findings, &shortage, "may need");
        }
    }
}

// Functions, because a pointer to the method of `Pool<'_>` would be bound to a single lifetime.
fn added_nodes(pool: &Pool<'_>) -> i64 {
    pool.added_nodes()
}

fn max_growth(pool: &Pool<'_>) -> i64 {
    pool.max_growth()
}

/// Checks the quotas for surge nodes, for each pool by itself: the worker upgrades one pool after the other.
fn quota_of_upgrade(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for pool in input.pools().iter().filter(|pool| pool.needs_upgrade()) {
        let (Some(offer), Some(current)) = (find_offer(input, pool), pool.current) else { continue };
        let nodes = surge_nodes(pool.spec, current.count.unwrap_or_default());
        let usages = items_or_empty(&input.azure.usages);
        for message in vm_size::surge_shortage_messages(pool.name(), offer, nodes, usages, input.region()) {
            findings.add(pool.key("orchestratorVersion"), message, SURGE_REMEDY);
        }
    }
}

fn add_shortage(input: &RuleInput<'_>, findings: &mut FieldFindings, shortage: &Shortage, verb: &str) {
    let (Shortage { need, quota, left }, region) = (shortage, input.region());
    let message = format!(
        "nodePools {verb} {need} more vCPUs of the quota {quota} in {region}, of which {left} are left"
    );
    findings.add("nodePools", message, QUOTA_REMEDY);
}

/// The quotas, of the region and of each size family, that are too small for the `additional_nodes` of all pools together.
fn shortages(input: &RuleInput<'_>, additional_nodes: fn(&Pool<'_>) -> i64) -> Vec<Shortage> {
    let mut needed_vcpus: BTreeMap<String, i64> = BTreeMap::new();
    for pool in input.pools() {
        let Some(offer) = find_offer(input, &pool) else { continue };
        let vcpus = offer.capabilities.quota_vcpus.unwrap_or_default() * additional_nodes(&pool);
        for name in [Some(REGIONAL_QUOTA), offer.family.as_deref()].into_iter().flatten() {
            *needed_vcpus.entry(name.to_ascii_lowercase()).or_default() += vcpus;
        }
    }
    let usages = items_or_empty(&input.azure.usages);
    needed_vcpus.iter().filter_map(|(name, need)| Quota::find(usages, name)?.shortage(*need)).collect()
}
