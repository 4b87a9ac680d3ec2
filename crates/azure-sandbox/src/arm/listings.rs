//! Responses that do not depend on resources: the subscription, and the lists of regions, sizes and versions.

use std::fmt::Write as _;
use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;

use super::error::ArmError;
use super::pages;
use super::route::{Route, Target};
use crate::data::Region;
use crate::request::AzureRequest;
use crate::response::SandboxResponse;
use crate::skus::{self, Listing};
use crate::state::{SandboxState, Subscription};

/// The settings of a subscription that these responses need, copied so that they are built without the lock.
pub(crate) struct SubscriptionInfo {
    id: String,
    display_name: String,
    tenant: String,
    state: String,
    page_size: usize,
}

impl SubscriptionInfo {
    pub(crate) fn new(subscription: &Subscription, page_size: Option<usize>) -> Self {
        Self {
            id: subscription.id.clone(),
            display_name: subscription.display_name.clone(),
            tenant: subscription.tenant.clone(),
            state: subscription.state.clone(),
            page_size: page_size.unwrap_or(usize::MAX),
        }
    }
}

/// Whether this module responds to the route.
pub(crate) fn handles(route: &Route) -> bool {
    matches!(
        route,
        Route::Subscription
            | Route::Locations
            | Route::VmSizes { .. }
            | Route::Skus
            | Route::KubernetesVersions { .. }
    )
}

pub(crate) fn respond(
    sandbox: &SandboxState,
    request: &AzureRequest,
    target: &Target,
    api_version: &str,
    info: &SubscriptionInfo,
) -> Result<SandboxResponse, ArmError> {
    match &target.route {
        Route::Subscription => Ok(subscription(info, api_version)),
        Route::Locations => Ok(locations(sandbox, request, info, api_version)),
        Route::VmSizes { location } => {
            let listing = sandbox
                .skus(request.cloud, location)
                .ok_or_else(|| unknown_region(target, location, api_version))?;
            Ok(pages::list_response([&*listing.vm_sizes], None))
        }
        Route::Skus => skus(sandbox, request, info.page_size),
        Route::KubernetesVersions { location } => {
            sandbox
                .catalog
                .region(request.cloud, location)
                .ok_or_else(|| unknown_region(target, location, api_version))?;
            Ok(kubernetes_versions(sandbox, request))
        }
        other => {
            let text = format!("The sandbox does not support '{}'.", other.resource_type());
            Err(ArmError::new(StatusCode::NOT_FOUND, "InvalidResourceType", text))
        }
    }
}

pub(crate) fn unknown_region(target: &Target, location: &str, api_version: &str) -> ArmError {
    let resource_type = target.route.resource_type();
    let resource_type = resource_type.split_once('/').map_or(resource_type, |(_, short_type)| short_type);
    let text = format!(
        "No registered resource provider found for location '{location}' and API version '{api_version}' for type \
         '{resource_type}'. The supported api-versions and locations are those of the resource provider."
    );
    ArmError::new(StatusCode::BAD_REQUEST, "NoRegisteredProviderFound", text)
}

fn subscription(info: &SubscriptionInfo, api_version: &str) -> SandboxResponse {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        id: String,
        authorization_source: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        managed_by_tenants: Option<[String; 0]>,
        subscription_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        tenant_id: Option<&'a str>,
        display_name: &'a str,
        state: &'a str,
        subscription_policies: Policies<'a>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Policies<'a> {
        location_placement_id: &'a str,
        quota_id: &'a str,
        spending_limit: &'a str,
    }
    // Older api-versions omit the tenant.
    let has_tenant = api_version >= "2019-06-01";
    SandboxResponse::json(
        StatusCode::OK,
        &Body {
            id: format!("/subscriptions/{}", info.id),
            authorization_source: "RoleBased",
            managed_by_tenants: has_tenant.then_some([]),
            subscription_id: &info.id,
            tenant_id: has_tenant.then_some(&info.tenant),
            display_name: &info.display_name,
            state: &info.state,
            subscription_policies: Policies {
                location_placement_id: "Public_2014-09-01",
                quota_id: "PayAsYouGo_2014-09-01",
                spending_limit: "Off",
            },
        },
    )
}

fn locations(
    sandbox: &SandboxState,
    request: &AzureRequest,
    info: &SubscriptionInfo,
    api_version: &str,
) -> SandboxResponse {
    let regions = sandbox.catalog.regions.iter().filter(|region| region.cloud == request.cloud);
    let id = |name: &str| format!("/subscriptions/{}/locations/{name}", info.id);
    // `metadata` and logical regions were added in 2019, `type` and zones in 2022.
    let (has_metadata, has_zones) = (api_version >= "2019-11-01", api_version >= "2022-12-01");
    let entries: Vec<serde_json::Value> = regions
        .filter(|region| has_metadata || !region.logical)
        .map(|region| {
            if has_metadata {
                location_entry(region, &id, has_zones)
            } else {
                serde_json::json!({
                    "id": id(&region.name),
                    "name": region.name,
                    "displayName": region.display_name,
                    "longitude": region.longitude,
                    "latitude": region.latitude,
                })
            }
        })
        .collect();
    SandboxResponse::json(StatusCode::OK, &serde_json::json!({"value": entries}))
}

fn location_entry(region: &Region, id: &impl Fn(&str) -> String, has_zones: bool) -> serde_json::Value {
    use serde_json::json;
    let metadata = if region.logical {
        json!({"regionType": "Logical", "regionCategory": "Other"})
    } else {
        json!({
            "regionType": "Physical",
            "regionCategory": if region.recommended { "Recommended" } else { "Other" },
            "geography": region.geography,
            "geographyGroup": region.group,
            "longitude": region.longitude,
            "latitude": region.latitude,
            "physicalLocation": region.place,
            "pairedRegion": region.paired.iter().map(|name| json!({"name": name, "id": id(name)})).collect::<Vec<_>>(),
        })
    };
    let regional_name = if region.logical {
        region.display_name.clone()
    } else {
        format!("({}) {}", region.group, region.display_name)
    };
    let mut entry = json!({
        "id": id(&region.name),
        "name": region.name,
        "displayName": region.display_name,
        "regionalDisplayName": regional_name,
        "metadata": metadata,
    });
    if let Some(entry) = entry.as_object_mut().filter(|_| has_zones) {
        entry.insert("type".to_owned(), json!("Region"));
        // Logical zones of a subscription differ from physical ones.
        let mappings: Vec<_> = (1..=region.zones)
            .map(|zone| {
                let physical_zone = region.zones - zone + 1;
                json!({"logicalZone": zone.to_string(), "physicalZone": format!("{}-az{physical_zone}", region.name)})
            })
            .collect();
        if !mappings.is_empty() {
            entry.insert("availabilityZoneMappings".to_owned(), json!(mappings));
        }
    }
    entry
}

/// The SKUs of the region in the filter, or of all regions. As in Azure, an unknown region has none.
fn skus(
    sandbox: &SandboxState,
    request: &AzureRequest,
    page_size: usize,
) -> Result<SandboxResponse, ArmError> {
    let listings: Vec<Arc<Listing>> = match request.parameter("$filter") {
        // The SKUs of all regions are about 70 MB, and are not cached.
        None => {
            let families = &sandbox.catalog.families;
            sandbox
                .catalog
                .physical_regions(request.cloud)
                .map(|region| Arc::new(skus::listing(families, region)))
                .collect()
        }
        Some(filter) => {
            let location = filtered_location(&filter).ok_or_else(|| {
                let text = format!("The filter '{filter}' is not supported: only \"location eq '…'\" is.");
                ArmError::new(StatusCode::BAD_REQUEST, "InvalidFilterInQueryString", text)
            })?;
            // Unlike in paths, the name must not contain spaces.
            let is_region =
                sandbox.catalog.physical_regions(request.cloud).any(|region| region.name == location);
            is_region.then(|| sandbox.skus(request.cloud, &location)).flatten().into_iter().collect()
        }
    };
    // Without paging, copy the lists as a whole.
    if page_size == usize::MAX && request.skip_index() == Some(0) {
        return Ok(pages::list_response(listings.iter().map(|listing| &*listing.skus), None));
    }
    let items: Vec<&[u8]> = listings
        .iter()
        .flat_map(|listing| listing.ranges.iter().filter_map(|range| listing.skus.get(range.clone())))
        .collect();
    pages::page(&items, request, page_size)
}

/// The lower-case name in a filter `location eq '<name>'`.
fn filtered_location(filter: &str) -> Option<String> {
    let mut words = filter.trim().splitn(3, ' ');
    let (field, operator, literal) = (words.next()?, words.next()?, words.next()?);
    if !field.eq_ignore_ascii_case("location") || !operator.eq_ignore_ascii_case("eq") {
        return None;
    }
    let literal = literal.trim().strip_prefix('\'')?.strip_suffix('\'')?.replace("''", "\u{0}");
    let is_single_literal = !literal.contains('\'');
    is_single_literal.then(|| literal.replace('\u{0}', "'").to_ascii_lowercase())
}

fn kubernetes_versions(sandbox: &SandboxState, request: &AzureRequest) -> SandboxResponse {
    use crate::clouds::Cloud;
    let versions = match request.cloud {
        Cloud::Public => &sandbox.catalog.versions.public,
        Cloud::China | Cloud::UsGovernment => &sandbox.catalog.versions.national,
    };
    let mut body = "{\"values\":[".to_owned();
    for (index, minor) in versions.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(body, "{}{}", if index > 0 { "," } else { "" }, minor.get());
    }
    body.push_str("]}");
    SandboxResponse::new(StatusCode::OK, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsupported_filters_are_rejected() {
        for (filter, expected) in [
            ("location eq 'eastus'", Some("eastus")),
            ("Location EQ 'EastUS'", Some("eastus")),
            ("location eq 'east''us'", Some("east'us")),
            ("location eq 'a' or location eq 'b'", None),
            ("location eq eastus", None),
            ("name eq 'eastus'", None),
            ("location ne 'eastus'", None),
            ("", None),
        ] {
            assert_eq!(filtered_location(filter).as_deref(), expected, "{filter}");
        }
    }
}
