//! `aksRegions` (`docs/contract/meta-actions.md#aksregions`).

use aks::arm::Location;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::action::ListingAction;
use super::call::AzureCall;
use super::docs::{ActionDocs, LIST_DESCRIPTION, Scope, list_of};
use super::error::Error;
use crate::api::norman::json;
use crate::api::source::MetaState;
use crate::service::listings::ListingResponse;

/// The action `aksRegions`.
pub(super) struct AksRegions;

impl ListingAction for AksRegions {
    const NAME: &'static str = "aksRegions";
    const DOCS: ActionDocs = ActionDocs {
        summary: "The regions of the subscription, and whether they have availability zones.",
        description: "",
        scope: Scope::Subscription,
        response: LIST_DESCRIPTION,
        schema: list_of::<AksRegion<'static>>,
    };

    async fn load(state: &MetaState, call: &AzureCall) -> Result<ListingResponse, Error> {
        let regions = state.listings().region_list(call.listing_request(), render).await?;
        Ok(regions.action_response()?)
    }
}

/// A region and its features.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AksRegion<'a> {
    /// The name that other actions take as `region`.
    #[schema(example = "eastus")]
    name: &'a str,
    /// The display name.
    #[schema(example = "East US")]
    display_name: &'a str,
    /// Whether the region has availability zones.
    availability_zones: bool,
}

pub(super) fn render(locations: &[Location]) -> Bytes {
    let aks_regions: Vec<_> = locations
        .iter()
        .map(|location| AksRegion {
            name: location.name.as_deref().unwrap_or_default(),
            display_name: location.display_name.as_deref().unwrap_or_default(),
            availability_zones: !location.availability_zone_mappings.is_empty(),
        })
        .collect();
    json::to_bytes(&aks_regions)
}
