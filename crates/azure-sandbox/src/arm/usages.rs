//! `Microsoft.Compute/locations/<region>/usages`: the quotas, and their usage by nodes.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

use super::call::Call;
use super::error::ArmError;
use super::listings;
use crate::json;
use crate::response::SandboxResponse;
use crate::skus::Listing;
use crate::subscription::{Resource, SubscriptionState};

/// The default limit of the vCPUs of a VM family, and of low-priority vCPUs.
const DEFAULT_LIMIT: u32 = 100;
/// The default limit of the vCPUs of a region.
pub(crate) const DEFAULT_CORES_LIMIT: u32 = 350;

pub(crate) fn list(call: &Call<'_>, location: &str) -> Result<SandboxResponse, ArmError> {
    let cloud = call.request.cloud;
    let region = call.sandbox.catalog.region(cloud, location);
    let region = region.ok_or_else(|| listings::unknown_region(call.target, location, call.api_version))?;
    let listing = call.sandbox.skus(cloud, location);
    let listing = listing.ok_or_else(|| listings::unknown_region(call.target, location, call.api_version))?;
    let used = current_usage(&call.resources.clusters, &region.name, &listing);
    let entry = |name: &str, title: &str, current: u32, limit: u32| {
        json!({
            "limit": limit, "unit": "Count", "currentValue": current,
            "name": {"value": name, "localizedValue": title},
        })
    };
    let machines = used.get("virtualMachines").copied().unwrap_or_default();
    let cores = used.get("cores").copied().unwrap_or_default();
    let mut quotas = vec![
        entry("availabilitySets", "Availability Sets", 0, 2_500),
        entry("cores", "Total Regional vCPUs", cores, limit(call.resources, &region.name, "cores")),
        entry("virtualMachines", "Virtual Machines", machines, 25_000),
        entry("virtualMachineScaleSets", "Virtual Machine Scale Sets", 0, 2_500),
        entry("lowPriorityCores", "Total Regional Low-priority vCPUs", 0, DEFAULT_LIMIT),
    ];
    let families: std::collections::BTreeSet<&str> =
        listing.offers.values().map(|offer| offer.family.as_str()).collect();
    quotas.extend(families.into_iter().map(|family| {
        let current = used.get(family).copied().unwrap_or_default();
        entry(family, &quota_display_name(family), current, limit(call.resources, &region.name, family))
    }));
    Ok(SandboxResponse::json(StatusCode::OK, &json!({"value": quotas})))
}

/// The display name of a quota: `Standard DSv5 Family vCPUs` for `standardDSv5Family`.
fn quota_display_name(family: &str) -> String {
    let lower = family.to_ascii_lowercase();
    let tier = ["standard", "basic"].into_iter().find(|tier| lower.starts_with(tier)).unwrap_or_default();
    let series = family.get(tier.len()..).unwrap_or_default();
    let series = series.strip_suffix("Family").unwrap_or(series).trim();
    let tier = if tier == "basic" { "Basic" } else { "Standard" };
    format!("{tier} {series} Family vCPUs")
}

pub(crate) fn limit(resources: &SubscriptionState, region: &str, quota: &str) -> u32 {
    let configured = resources.quotas.get(region).and_then(|quotas| quotas.get(quota)).copied();
    configured.unwrap_or(if quota == "cores" { DEFAULT_CORES_LIMIT } else { DEFAULT_LIMIT })
}

/// The usage by quota in a region, of clusters that are not stopped: `cores`, `virtualMachines` and the VM families.
pub(crate) fn current_usage(clusters: &[Resource], region: &str, listing: &Listing) -> BTreeMap<String, u32> {
    let mut used = BTreeMap::new();
    let running = clusters.iter().filter(|cluster| {
        cluster.location() == region
            && json::text(&cluster.body, "/properties/powerState/code") != Some("Stopped")
    });
    for pool in running.flat_map(Resource::pools) {
        add_usage(pool, listing, &mut used);
    }
    used
}

/// Adds the usage of a pool to `used`; pools of unknown VM sizes add nothing.
pub(crate) fn add_usage(pool: &Value, listing: &Listing, used: &mut BTreeMap<String, u32>) {
    let count = json::number(pool, "/count").unwrap_or_default();
    let size = json::text(pool, "/vmSize").unwrap_or_default().to_ascii_lowercase();
    let Some(offer) = listing.offers.get(&size) else { return };
    for (name, amount) in
        [("cores", count * offer.cores), (&*offer.family, count * offer.cores), ("virtualMachines", count)]
    {
        *used.entry(name.to_owned()).or_default() += amount;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_have_display_names() {
        for (family, expected) in [
            ("standardDSv5Family", "Standard DSv5 Family vCPUs"),
            ("StandardDadsv6Family", "Standard Dadsv6 Family vCPUs"),
            ("basicAFamily", "Basic A Family vCPUs"),
            ("Standard NCASv3_T4 Family", "Standard NCASv3_T4 Family vCPUs"),
        ] {
            assert_eq!(quota_display_name(family), expected, "{family}");
        }
    }
}
