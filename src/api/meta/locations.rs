//! `aksLocations` (`docs/contract/meta-actions.md#akslocations`).

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

/// The action `aksLocations`.
pub(super) struct AksLocations;

impl ListingAction for AksLocations {
    const NAME: &'static str = "aksLocations";
    const DOCS: ActionDocs = ActionDocs {
        summary: "The regions of the subscription.",
        description: "",
        scope: Scope::Subscription,
        response: LIST_DESCRIPTION,
        schema: list_of::<AksLocation<'static>>,
    };

    async fn load(state: &MetaState, call: &AzureCall) -> Result<ListingResponse, Error> {
        Ok(state.listings().locations(call.listing_request(), render).await?)
    }
}

/// A region.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AksLocation<'a> {
    /// The name that other actions take as `region`.
    #[schema(example = "eastus")]
    name: &'a str,
    /// The display name.
    #[schema(example = "East US")]
    display_name: &'a str,
}

fn render(locations: &[Location]) -> Bytes {
    let aks_locations: Vec<_> = locations
        .iter()
        .map(|location| AksLocation {
            name: location.name.as_deref().unwrap_or_default(),
            display_name: location.display_name.as_deref().unwrap_or_default(),
        })
        .collect();
    json::to_bytes(&aks_locations)
}
