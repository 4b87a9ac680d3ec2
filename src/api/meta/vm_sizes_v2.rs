//! `aksVMSizesV2` (`docs/contract/meta-actions.md#aksvmsizesv2`).

use aks::arm::VmSku;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer;
use super::call::AzureCall;
use super::docs::{CredentialAndRegion, Failures, Region, StoredCredential};
use super::error::Error;
use crate::api::norman::json;
use crate::api::state::AppState;

/// The machine sizes of a region with accelerated networking and availability zones.
///
/// With a stored credential.
#[utoipa::path(
    get,
    path = "/meta/aksVMSizesV2",
    operation_id = "getAksVmSizesV2",
    tag = "AKS actions",
    params(StoredCredential, Region),
    responses((status = 200, description = "The list; empty when there is nothing", body = Vec<AksVmSize<'static>>), Failures),
)]
pub(super) async fn get(state: State<AppState>, call: AzureCall) -> Result<Response, Error> {
    list(state, call).await
}

/// The machine sizes of a region with accelerated networking and availability zones.
///
/// With the credential in the body.
#[utoipa::path(
    post,
    path = "/meta/aksVMSizesV2",
    operation_id = "postAksVmSizesV2",
    tag = "AKS actions",
    request_body = CredentialAndRegion,
    responses((status = 200, description = "The list; empty when there is nothing", body = Vec<AksVmSize<'static>>), Failures),
)]
pub(super) async fn post(state: State<AppState>, call: AzureCall) -> Result<Response, Error> {
    list(state, call).await
}

pub(super) async fn list(State(state): State<AppState>, call: AzureCall) -> Result<Response, Error> {
    let listed =
        async { Ok(state.listings().vm_sizes_v2(call.ask(), call.required_region()?, render).await?) };
    answer(&state, &call, "aksVMSizesV2", listed.await).await
}

/// A machine size.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AksVmSize<'a> {
    /// Its name.
    #[schema(example = "Standard_D2s_v5")]
    name: &'a str,
    /// Whether its network card can pass by the host.
    accelerated_networking_supported: bool,
    /// The zones of the region that have it, in Azure's order.
    #[schema(example = json!(["1", "3", "2"]))]
    availability_zones: &'a [String],
}

fn render(sizes: &[VmSku]) -> Bytes {
    let shown: Vec<_> = sizes
        .iter()
        .map(|size| AksVmSize {
            name: size.name.as_deref().unwrap_or_default(),
            accelerated_networking_supported: size.accelerated_networking,
            availability_zones: &size.zones,
        })
        .collect();
    json::to_bytes(&shown)
}
