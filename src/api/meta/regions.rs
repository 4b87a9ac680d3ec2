//! `aksRegions` (`docs/contract/meta-actions.md#aksregions`).

use aks::arm::Location;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer;
use super::call::AzureCall;
use super::docs::{CredentialBody, Failures, StoredCredential};
use super::error::Error;
use crate::api::norman::json;
use crate::api::state::AppState;

/// The regions that the subscription may name, and whether they have availability zones.
///
/// With a stored credential.
#[utoipa::path(
    get,
    path = "/meta/aksRegions",
    operation_id = "getAksRegions",
    tag = "AKS actions",
    params(StoredCredential),
    responses((status = 200, description = "The list; empty when there is nothing", body = Vec<AksRegion<'static>>), Failures),
)]
pub(super) async fn get(state: State<AppState>, call: AzureCall) -> Result<Response, Error> {
    list(state, call).await
}

/// The regions that the subscription may name, and whether they have availability zones.
///
/// With the credential in the body.
#[utoipa::path(
    post,
    path = "/meta/aksRegions",
    operation_id = "postAksRegions",
    tag = "AKS actions",
    request_body = CredentialBody,
    responses((status = 200, description = "The list; empty when there is nothing", body = Vec<AksRegion<'static>>), Failures),
)]
pub(super) async fn post(state: State<AppState>, call: AzureCall) -> Result<Response, Error> {
    list(state, call).await
}

pub(super) async fn list(State(state): State<AppState>, call: AzureCall) -> Result<Response, Error> {
    let listed = async { Ok(state.listings().regions(call.ask(), render).await?) };
    answer(&state, &call, "aksRegions", listed.await).await
}

/// A region with what it offers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AksRegion<'a> {
    /// The name that other actions take as `region`.
    #[schema(example = "eastus")]
    name: &'a str,
    /// The name for people.
    #[schema(example = "East US")]
    display_name: &'a str,
    /// Whether nodes can be spread over zones there.
    availability_zones: bool,
}

fn render(locations: &[Location]) -> Bytes {
    let shown: Vec<_> = locations
        .iter()
        .map(|location| AksRegion {
            name: location.name.as_deref().unwrap_or_default(),
            display_name: location.display_name.as_deref().unwrap_or_default(),
            availability_zones: !location.availability_zone_mappings.is_empty(),
        })
        .collect();
    json::to_bytes(&shown)
}
