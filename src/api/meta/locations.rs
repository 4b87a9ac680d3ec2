//! `aksLocations` (`docs/contract/meta-actions.md#akslocations`).

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

/// The regions that the subscription may name.
///
/// With a stored credential.
#[utoipa::path(
    get,
    path = "/meta/aksLocations",
    operation_id = "getAksLocations",
    tag = "AKS actions",
    params(StoredCredential),
    responses((status = 200, description = "The list; empty when there is nothing", body = Vec<AksLocation<'static>>), Failures),
)]
pub(super) async fn get(state: State<AppState>, call: AzureCall) -> Result<Response, Error> {
    list(state, call).await
}

/// The regions that the subscription may name.
///
/// With the credential in the body.
#[utoipa::path(
    post,
    path = "/meta/aksLocations",
    operation_id = "postAksLocations",
    tag = "AKS actions",
    request_body = CredentialBody,
    responses((status = 200, description = "The list; empty when there is nothing", body = Vec<AksLocation<'static>>), Failures),
)]
pub(super) async fn post(state: State<AppState>, call: AzureCall) -> Result<Response, Error> {
    list(state, call).await
}

pub(super) async fn list(State(state): State<AppState>, call: AzureCall) -> Result<Response, Error> {
    let listed = async { Ok(state.listings().locations(call.ask(), render).await?) };
    answer(&state, &call, "aksLocations", listed.await).await
}

/// A region.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AksLocation<'a> {
    /// The name that other actions take as `region`.
    #[schema(example = "eastus")]
    name: &'a str,
    /// The name for people.
    #[schema(example = "East US")]
    display_name: &'a str,
}

fn render(locations: &[Location]) -> Bytes {
    let shown: Vec<_> = locations
        .iter()
        .map(|location| AksLocation {
            name: location.name.as_deref().unwrap_or_default(),
            display_name: location.display_name.as_deref().unwrap_or_default(),
        })
        .collect();
    json::to_bytes(&shown)
}
