//! `aksVersions` (`docs/contract/meta-actions.md#aksversions`).

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;

use super::answer;
use super::call::AzureCall;
use super::docs::{CredentialAndRegion, Failures, Region, StoredCredential};
use super::error::Error;
use crate::api::norman::json;
use crate::api::state::AppState;

/// The Kubernetes versions that a region offers for new clusters.
///
/// Ascending; versions with long-term support only are left out. With a stored credential.
#[utoipa::path(
    get,
    path = "/meta/aksVersions",
    operation_id = "getAksVersions",
    tag = "AKS actions",
    params(StoredCredential, Region),
    responses((status = 200, description = "The list; empty when there is nothing", body = Vec<String>), Failures),
)]
pub(super) async fn get(state: State<AppState>, call: AzureCall) -> Result<Response, Error> {
    list(state, call).await
}

/// The Kubernetes versions that a region offers for new clusters.
///
/// Ascending; versions with long-term support only are left out. With the credential in the body.
#[utoipa::path(
    post,
    path = "/meta/aksVersions",
    operation_id = "postAksVersions",
    tag = "AKS actions",
    request_body = CredentialAndRegion,
    responses((status = 200, description = "The list; empty when there is nothing", body = Vec<String>), Failures),
)]
pub(super) async fn post(state: State<AppState>, call: AzureCall) -> Result<Response, Error> {
    list(state, call).await
}

pub(super) async fn list(State(state): State<AppState>, call: AzureCall) -> Result<Response, Error> {
    let listed = async { Ok(state.listings().versions(call.ask(), call.required_region()?, render).await?) };
    answer(&state, &call, "aksVersions", listed.await).await
}

pub(super) fn render(versions: &[String]) -> Bytes {
    json::to_bytes(versions)
}
