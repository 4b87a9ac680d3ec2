//! `aksVMSizes` (`docs/contract/meta-actions.md#aksvmsizes`).

use aks::arm::VmSize;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;

use super::answer;
use super::call::AzureCall;
use super::docs::{CredentialAndRegion, Failures, Region, StoredCredential};
use super::error::Error;
use crate::api::norman::json;
use crate::api::state::AppState;

/// The names of the machine sizes that Azure knows in a region.
///
/// Whether or not the subscription may use them. With a stored credential.
#[utoipa::path(
    get,
    path = "/meta/aksVMSizes",
    operation_id = "getAksVmSizes",
    tag = "AKS actions",
    params(StoredCredential, Region),
    responses((status = 200, description = "The list; empty when there is nothing", body = Vec<String>), Failures),
)]
pub(super) async fn get(state: State<AppState>, call: AzureCall) -> Result<Response, Error> {
    list(state, call).await
}

/// The names of the machine sizes that Azure knows in a region.
///
/// Whether or not the subscription may use them. With the credential in the body.
#[utoipa::path(
    post,
    path = "/meta/aksVMSizes",
    operation_id = "postAksVmSizes",
    tag = "AKS actions",
    request_body = CredentialAndRegion,
    responses((status = 200, description = "The list; empty when there is nothing", body = Vec<String>), Failures),
)]
pub(super) async fn post(state: State<AppState>, call: AzureCall) -> Result<Response, Error> {
    list(state, call).await
}

pub(super) async fn list(State(state): State<AppState>, call: AzureCall) -> Result<Response, Error> {
    let listed = async { Ok(state.listings().vm_sizes(call.ask(), call.required_region()?, render).await?) };
    answer(&state, &call, "aksVMSizes", listed.await).await
}

fn render(sizes: &[VmSize]) -> Bytes {
    let names: Vec<&str> = sizes.iter().map(|size| size.name.as_deref().unwrap_or_default()).collect();
    json::to_bytes(&names)
}
