//! `aksVMSizesV2` (`docs/contract/meta-actions.md#aksvmsizesv2`).

use aks::arm::VmSku;
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

/// The action `aksVMSizesV2`.
pub(super) struct AksVmSizesV2;

impl ListingAction for AksVmSizesV2 {
    const NAME: &'static str = "aksVMSizesV2";
    const DOCS: ActionDocs = ActionDocs {
        summary: "The VM sizes of a region, with accelerated networking and availability zones.",
        description: "",
        scope: Scope::Region,
        response: LIST_DESCRIPTION,
        schema: list_of::<AksVmSize<'static>>,
    };

    async fn load(state: &MetaState, call: &AzureCall) -> Result<ListingResponse, Error> {
        let sizes = state.listings().vm_skus(call.listing_request(), call.required_region()?, render).await?;
        Ok(sizes.action_response()?)
    }
}

/// A VM size.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AksVmSize<'a> {
    /// Its name.
    #[schema(example = "Standard_D2s_v5")]
    name: &'a str,
    /// Whether it supports accelerated networking.
    accelerated_networking_supported: bool,
    /// The zones of the region that have it, in Azure's order.
    #[schema(example = json!(["1", "3", "2"]))]
    availability_zones: &'a [String],
}

pub(super) fn render(sizes: &[VmSku]) -> Bytes {
    let aks_sizes: Vec<_> = sizes
        .iter()
        .map(|size| AksVmSize {
            name: size.name.as_deref().unwrap_or_default(),
            accelerated_networking_supported: size.capabilities.accelerated_networking,
            availability_zones: &size.zones,
        })
        .collect();
    json::to_bytes(&aks_sizes)
}
