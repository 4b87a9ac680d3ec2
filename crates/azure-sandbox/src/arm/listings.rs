//! The answers that no request changes: the subscription, the long lists of regions, sizes and versions; and how lists
//! are cut into pages.

use std::fmt::Write as _;
use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;

use super::refused::Refused;
use super::route::{Route, Target};
use crate::answer::Answer;
use crate::data::Region;
use crate::play::Page;
use crate::request::Asked;
use crate::skus::{self, Listing};
use crate::world::{Subscription, World};

/// What the lock had to be held for.
pub(crate) struct Found {
    id: String,
    display_name: String,
    tenant: String,
    state: String,
    page_size: usize,
}

impl Found {
    pub(crate) fn of(subscription: &Subscription, page_size: Option<usize>) -> Self {
        Self {
            id: subscription.id.clone(),
            display_name: subscription.display_name.clone(),
            tenant: subscription.tenant.clone(),
            state: subscription.state.clone(),
            page_size: page_size.unwrap_or(usize::MAX),
        }
    }
}

/// Whether the answer is one of those here.
pub(crate) fn is_fixed(route: &Route) -> bool {
    matches!(
        route,
        Route::Subscription
            | Route::Locations
            | Route::VmSizes { .. }
            | Route::Skus
            | Route::KubernetesVersions { .. }
    )
}

/// The recorded page that the request asks for.
pub(crate) fn played(pages: &[Page], asked: &Asked) -> Result<Answer, Refused> {
    let start = asked.page_start().ok_or_else(bad_page)?;
    let page = pages.get(start).ok_or_else(bad_page)?;
    let next = (start + 1 < pages.len()).then(|| asked.next_link(start + 1));
    Ok(page.answer(next.as_deref()))
}

pub(crate) fn answer(
    world: &World,
    asked: &Asked,
    target: &Target,
    version: &str,
    found: &Found,
) -> Result<Answer, Refused> {
    match &target.route {
        Route::Subscription => Ok(subscription(found, version)),
        Route::Locations => Ok(locations(world, asked, found, version)),
        Route::VmSizes { location } => {
            let listing =
                world.skus(asked.cloud, location).ok_or_else(|| no_region(target, location, version))?;
            Ok(value([&*listing.vm_sizes], None))
        }
        Route::Skus => skus(world, asked, found.page_size),
        Route::KubernetesVersions { location } => {
            world
                .catalog
                .region(asked.cloud, location)
                .ok_or_else(|| no_region(target, location, version))?;
            Ok(kubernetes_versions(world, asked))
        }
        other => {
            let text = format!("There is no '{}'.", other.kind());
            Err(Refused::new(StatusCode::NOT_FOUND, "InvalidResourceType", text))
        }
    }
}

pub(crate) fn no_region(target: &Target, location: &str, version: &str) -> Refused {
    let kind = target.route.kind();
    let kind = kind.split_once('/').map_or(kind, |(_, kind)| kind);
    let text = format!(
        "No registered resource provider found for location '{location}' and API version '{version}' for type \
         '{kind}'. The supported api-versions and locations are those of the resource provider."
    );
    Refused::new(StatusCode::BAD_REQUEST, "NoRegisteredProviderFound", text)
}

fn bad_page() -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, "InvalidSkipToken", "The skip token of the request is invalid.")
}

/// `{"value":[…],"nextLink":…}` around pieces of JSON.
fn value<'a>(items: impl IntoIterator<Item = &'a [u8]>, next: Option<&str>) -> Answer {
    let mut body = b"{\"value\":[".to_vec();
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(item);
    }
    body.push(b']');
    if let Some(next) = next {
        body.extend_from_slice(b",\"nextLink\":");
        body.extend_from_slice(&serde_json::to_vec(next).unwrap_or_default());
    }
    body.push(b'}');
    Answer::text(StatusCode::OK, body)
}

/// One page of `items`.
pub(crate) fn paged(items: &[&[u8]], asked: &Asked, size: usize) -> Result<Answer, Refused> {
    let start = asked.page_start().ok_or_else(bad_page)?;
    let rest = items.get(start..).ok_or_else(bad_page)?;
    let page = rest.get(..size).unwrap_or(rest);
    let next = (page.len() < rest.len()).then(|| asked.next_link(start + page.len()));
    Ok(value(page.iter().copied(), next.as_deref()))
}

fn subscription(found: &Found, version: &str) -> Answer {
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
    // Older versions of the interface do not tell the tenant.
    let newer = version >= "2019-06-01";
    Answer::json(
        StatusCode::OK,
        &Body {
            id: format!("/subscriptions/{}", found.id),
            authorization_source: "RoleBased",
            managed_by_tenants: newer.then_some([]),
            subscription_id: &found.id,
            tenant_id: newer.then_some(&found.tenant),
            display_name: &found.display_name,
            state: &found.state,
            subscription_policies: Policies {
                location_placement_id: "Public_2014-09-01",
                quota_id: "PayAsYouGo_2014-09-01",
                spending_limit: "Off",
            },
        },
    )
}

fn locations(world: &World, asked: &Asked, found: &Found, version: &str) -> Answer {
    let regions = world.catalog.regions.iter().filter(|region| region.cloud == asked.cloud);
    let id = |name: &str| format!("/subscriptions/{}/locations/{name}", found.id);
    // The interface got `metadata`, and with it the logical regions, in 2019; types and zones in 2022.
    let (metadata, zones) = (version >= "2019-11-01", version >= "2022-12-01");
    let entries: Vec<serde_json::Value> = regions
        .filter(|region| metadata || !region.logical)
        .map(|region| {
            if metadata {
                location(region, &id, zones)
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
    Answer::json(StatusCode::OK, &serde_json::json!({"value": entries}))
}

fn location(region: &Region, id: &impl Fn(&str) -> String, zones: bool) -> serde_json::Value {
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
    let regional = if region.logical {
        region.display_name.clone()
    } else {
        format!("({}) {}", region.group, region.display_name)
    };
    let mut entry = json!({
        "id": id(&region.name),
        "name": region.name,
        "displayName": region.display_name,
        "regionalDisplayName": regional,
        "metadata": metadata,
    });
    if let Some(entry) = entry.as_object_mut().filter(|_| zones) {
        entry.insert("type".to_owned(), json!("Region"));
        // The numbers that a subscription sees are not those of the buildings.
        let mappings: Vec<_> = (1..=region.zones)
            .map(|zone| {
                let building = region.zones - zone + 1;
                json!({"logicalZone": zone.to_string(), "physicalZone": format!("{}-az{building}", region.name)})
            })
            .collect();
        if !mappings.is_empty() {
            entry.insert("availabilityZoneMappings".to_owned(), json!(mappings));
        }
    }
    entry
}

/// Without a filter: every region of the cloud. An unknown region in the filter: nothing, as in Azure.
fn skus(world: &World, asked: &Asked, size: usize) -> Result<Answer, Refused> {
    let listings: Vec<Arc<Listing>> = match asked.parameter("$filter") {
        // Some 70 MB that nobody needs twice: not kept.
        None => {
            let families = &world.catalog.families;
            world
                .catalog
                .places(asked.cloud)
                .map(|region| Arc::new(skus::listing(families, region)))
                .collect()
        }
        Some(filter) => {
            let location = filtered_location(&filter).ok_or_else(|| {
                let text = format!("The filter '{filter}' is not supported: only \"location eq '…'\" is.");
                Refused::new(StatusCode::BAD_REQUEST, "InvalidFilterInQueryString", text)
            })?;
            // Unlike in paths, a name with spaces is none here.
            let spelt = world.catalog.places(asked.cloud).any(|region| region.name == location);
            spelt.then(|| world.skus(asked.cloud, &location)).flatten().into_iter().collect()
        }
    };
    // All on one page, which is all but always: the list is only copied.
    if size == usize::MAX && asked.page_start() == Some(0) {
        return Ok(value(listings.iter().map(|listing| &*listing.skus), None));
    }
    let items: Vec<&[u8]> = listings
        .iter()
        .flat_map(|listing| listing.places.iter().filter_map(|place| listing.skus.get(place.clone())))
        .collect();
    paged(&items, asked, size)
}

/// `location eq '<name>'`: the name in lower case, doubled quotes undone.
fn filtered_location(filter: &str) -> Option<String> {
    let mut words = filter.trim().splitn(3, ' ');
    let (field, operator, text) = (words.next()?, words.next()?, words.next()?);
    if !field.eq_ignore_ascii_case("location") || !operator.eq_ignore_ascii_case("eq") {
        return None;
    }
    let text = text.trim().strip_prefix('\'')?.strip_suffix('\'')?.replace("''", "\u{0}");
    let alone = !text.contains('\'');
    alone.then(|| text.replace('\u{0}', "'").to_ascii_lowercase())
}

fn kubernetes_versions(world: &World, asked: &Asked) -> Answer {
    use crate::clouds::Cloud;
    let versions = match asked.cloud {
        Cloud::Public => &world.catalog.versions.public,
        Cloud::China | Cloud::UsGovernment => &world.catalog.versions.national,
    };
    let mut body = "{\"values\":[".to_owned();
    for (index, minor) in versions.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(body, "{}{}", if index > 0 { "," } else { "" }, minor.get());
    }
    body.push_str("]}");
    Answer::text(StatusCode::OK, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_form_of_filter_is_understood() {
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
