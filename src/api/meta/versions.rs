//! `aksVersions` (`docs/contract/meta-actions.md#aksversions`).

use bytes::Bytes;

use super::action::ListingAction;
use super::call::AzureCall;
use super::docs::{ActionDocs, LIST_DESCRIPTION, Scope, list_of_names};
use super::error::Error;
use crate::api::norman::json;
use crate::api::source::MetaState;
use crate::service::listings::ListingResponse;

/// The action `aksVersions`.
pub(super) struct AksVersions;

impl ListingAction for AksVersions {
    const NAME: &'static str = "aksVersions";
    const DOCS: ActionDocs = ActionDocs {
        summary: "The Kubernetes versions that a region offers for new clusters.",
        description: "In ascending order, without versions that have only long-term support.",
        scope: Scope::Region,
        response: LIST_DESCRIPTION,
        schema: list_of_names,
    };

    async fn load(state: &MetaState, call: &AzureCall) -> Result<ListingResponse, Error> {
        let versions = state
            .listings()
            .non_empty_versions(call.listing_request(), call.required_region()?, render)
            .await?;
        Ok(versions.action_response()?)
    }
}

pub(super) fn render(versions: &[String]) -> Bytes {
    json::to_bytes(versions)
}
