//! `aksClusters` (`docs/contract/meta-actions.md#aksclusters`).

use aks::listed_clusters::ListedCluster;
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

/// The action `aksClusters`.
pub(super) struct AksClusters;

impl ListingAction for AksClusters {
    const NAME: &'static str = "aksClusters";
    const DOCS: ActionDocs = ActionDocs {
        summary: "The AKS clusters of the subscription.",
        description: "",
        scope: Scope::Subscription,
        response: LIST_DESCRIPTION,
        schema: list_of::<AksCluster<'static>>,
    };

    async fn load(state: &MetaState, call: &AzureCall) -> Result<ListingResponse, Error> {
        Ok(state.listings().clusters(call.listing_request(), render).await?)
    }
}

/// A cluster that can be imported.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AksCluster<'a> {
    /// The resource group of the cluster; empty if Azure does not return it.
    #[schema(example = "production")]
    resource_group: &'a str,
    /// Its name in Azure.
    #[schema(example = "shop")]
    cluster_name: &'a str,
    /// Whether Kubernetes RBAC is enabled.
    rbac_enabled: bool,
    /// Its region.
    #[schema(example = "eastus")]
    location: &'a str,
}

fn render(clusters: &[ListedCluster<'_>]) -> Bytes {
    let aks_clusters: Vec<_> = clusters
        .iter()
        .map(|cluster| AksCluster {
            resource_group: cluster.resource_group,
            cluster_name: cluster.name,
            rbac_enabled: cluster.rbac_enabled,
            location: cluster.location,
        })
        .collect();
    json::to_bytes(&aks_clusters)
}
