//! Validation against the region and the subscription: sizes, zones, quotas, networks, workspaces.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::Value;

use super::network;
use crate::arm::call::Call;
use crate::arm::error::ArmError;
use crate::arm::usages;
use crate::json;
use crate::skus::{Listing, SizeOffer};
use crate::subscription::find;

/// Checks that the region and the subscription permit a cluster with this body. `before` is its current body: sizes and
/// zones are checked for new pools only, and quotas for the additional vCPUs.
pub(crate) fn check_availability(
    call: &Call<'_>,
    body: &Value,
    before: Option<&Value>,
    region: &str,
) -> Result<(), ArmError> {
    let Some(listing) = call.sandbox.skus(call.request.cloud, region) else {
        let why = format!("the region '{region}' does not exist");
        return Err(ArmError::invalid("location", &why));
    };
    let old_pool = |name: &str| {
        let pools =
            before.map(|before| json::list(before, "/properties/agentPoolProfiles")).unwrap_or_default();
        pools.iter().find(|pool| json::text(pool, "/name") == Some(name))
    };
    for pool in json::list(body, "/properties/agentPoolProfiles") {
        if old_pool(json::text(pool, "/name").unwrap_or_default()).is_none() {
            let offer = check_size(call, pool, region, &listing)?;
            check_zones(pool, region, offer)?;
        }
    }
    check_quotas(call, body, before, region, &listing)?;
    network::check_subnets(call, body, region, before.is_none())?;
    check_workspace(call, body)
}

fn check_size<'a>(
    call: &Call<'_>,
    pool: &Value,
    region: &str,
    listing: &'a Listing,
) -> Result<&'a SizeOffer, ArmError> {
    let size = json::text(pool, "/vmSize").unwrap_or_default();
    let offer = listing.offers.get(&size.to_ascii_lowercase());
    if let Some(offer) = offer.filter(|offer| offer.is_for_nodes()) {
        return Ok(offer);
    }
    let available: Vec<&str> = listing
        .offers
        .iter()
        .filter(|(_, offer)| offer.is_for_nodes())
        .map(|(name, _)| name.as_str())
        .collect();
    let (code, problem) = if offer.is_some_and(|offer| offer.restricted) {
        (
            "BadRequest",
            format!("The VM size of {size} is not allowed in your subscription in location '{region}'."),
        )
    } else {
        let subscription = call.subscription;
        (
            "VMSizeNotSupported",
            format!(
                "Virtual Machine size: '{size}' is not supported for subscription {subscription} in location '{region}'."
            ),
        )
    };
    let text = format!(
        "{problem} The available VM sizes are '{}'. For more details, please visit https://aka.ms/aks/quotas-skus-regions",
        available.join(",")
    );
    Err(ArmError::bad_property(code, text, "agentPoolProfile.vmSize"))
}

fn check_zones(pool: &Value, region: &str, offer: &SizeOffer) -> Result<(), ArmError> {
    let requested = json::texts(pool, "/availabilityZones");
    let missing: Vec<&str> =
        requested.iter().filter(|zone| !offer.zones.contains(zone)).map(String::as_str).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut supported = offer.zones.clone();
    supported.sort();
    let text = format!(
        "The zone(s) '{}' for resource '{}' is not supported. The supported zones for location '{region}' are '{}'",
        missing.join(","),
        json::text(pool, "/name").unwrap_or_default(),
        supported.join(",")
    );
    Err(ArmError::bad_property("AvailabilityZoneNotSupported", text, "agentPoolProfile.availabilityZones"))
}

fn check_quotas(
    call: &Call<'_>,
    body: &Value,
    before: Option<&Value>,
    region: &str,
    listing: &Listing,
) -> Result<(), ArmError> {
    let usage_of = |body: Option<&Value>| {
        let mut usage = BTreeMap::new();
        for pool in body.map(|body| json::list(body, "/properties/agentPoolProfiles")).unwrap_or_default() {
            usages::add_usage(pool, listing, &mut usage);
        }
        usage
    };
    let used = usages::current_usage(&call.resources.clusters, region, listing);
    let (old, new) = (usage_of(before), usage_of(Some(body)));
    // The quota of `virtualMachines` is not enforced.
    for (name, requested) in new.iter().filter(|(name, _)| *name != "virtualMachines") {
        let additional = requested.saturating_sub(old.get(name).copied().unwrap_or_default());
        let limit = usages::limit(call.resources, region, name);
        let remaining = limit.saturating_sub(used.get(name).copied().unwrap_or_default());
        if additional <= remaining {
            continue;
        }
        let text = if name == "cores" {
            format!(
                "Insufficient regional vcpu quota left for location {region}. left regional vcpu quota {remaining}, \
                 requested quota {additional}"
            )
        } else {
            format!(
                "Insufficient vcpu quota requested {additional}, remaining {remaining} for family {name} for region {region}."
            )
        };
        return Err(ArmError::from_aks(StatusCode::BAD_REQUEST, "ErrCode_InsufficientVCPUQuota", text));
    }
    Ok(())
}

/// Checks the workspace of the monitoring add-on, if it is in this subscription.
fn check_workspace(call: &Call<'_>, body: &Value) -> Result<(), ArmError> {
    let addons = body.pointer("/properties/addonProfiles").and_then(Value::as_object);
    let monitoring = addons
        .into_iter()
        .flatten()
        .find(|(key, addon)| key.eq_ignore_ascii_case("omsagent") && json::is_true(addon, "/enabled"));
    let Some((_, addon)) = monitoring else { return Ok(()) };
    let target = "addonProfiles.omsagent.config.logAnalyticsWorkspaceResourceID";
    let config = addon.get("config").and_then(Value::as_object);
    let id = config.into_iter().flatten().find_map(|(key, value)| {
        key.eq_ignore_ascii_case("logAnalyticsWorkspaceResourceID").then(|| value.as_str()).flatten()
    });
    let Some(id) = id else { return Err(ArmError::invalid(target, "it is missing")) };
    let segments: Vec<&str> = id.trim_start_matches('/').split('/').collect();
    let [_, subscription, _, group, _, _, _, name] = segments.as_slice() else {
        return Err(ArmError::invalid(target, &format!("'{id}' is not the id of a workspace")));
    };
    let is_in_subscription = subscription.eq_ignore_ascii_case(call.subscription);
    if is_in_subscription && find(&call.resources.workspaces, group, name).is_none() {
        return Err(ArmError::invalid(target, &format!("the workspace '{id}' does not exist")));
    }
    Ok(())
}
