//! `aksVMSizes` (`docs/contract/meta-actions.md#aksvmsizes`).

use aks::arm::VmSize;
use bytes::Bytes;

use super::action::ListingAction;
use super::call::AzureCall;
use super::docs::{ActionDocs, LIST_DESCRIPTION, Scope, list_of_names};
use super::error::Error;
use crate::api::norman::json;
use crate::api::source::MetaState;
use crate::service::listings::ListingResponse;

/// The action `aksVMSizes`.
pub(super) struct AksVmSizes;

impl ListingAction for AksVmSizes {
    const NAME: &'static str = "aksVMSizes";
    const DOCS: ActionDocs = ActionDocs {
        summary: "The names of the VM sizes of a region.",
        description: "Includes sizes that the subscription cannot use.",
        scope: Scope::Region,
        response: LIST_DESCRIPTION,
        schema: list_of_names,
    };

    async fn load(state: &MetaState, call: &AzureCall) -> Result<ListingResponse, Error> {
        Ok(state.listings().vm_sizes(call.listing_request(), call.required_region()?, render).await?)
    }
}

fn render(sizes: &[VmSize]) -> Bytes {
    let names: Vec<&str> = sizes.iter().map(|size| size.name.as_deref().unwrap_or_default()).collect();
    json::to_bytes(&names)
}
