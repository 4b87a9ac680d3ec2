//! `aksClusters` (`docs/contract/meta-actions.md#aksclusters`).

use aks::listed_clusters::ListedCluster;
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

/// The AKS clusters of the subscription.
///
/// With a stored credential.
#[utoipa::path(
    get,
    path = "/meta/aksClusters",
    operation_id = "getAksClusters",
    tag = "AKS actions",
    params(StoredCredential),
    responses((status = 200, description = "The list; empty when there is nothing", body = Vec<AksCluster<'static>>), Failures),
)]
pub(super) async fn get(state: State<AppState>, call: AzureCall) -> Result<Response, Error> {
    list(state, call).await
}

/// The AKS clusters of the subscription.
///
/// With the credential in the body.
#[utoipa::path(
    post,
    path = "/meta/aksClusters",
    operation_id = "postAksClusters",
    tag = "AKS actions",
    request_body = CredentialBody,
    responses((status = 200, description = "The list; empty when there is nothing", body = Vec<AksCluster<'static>>), Failures),
)]
pub(super) async fn post(state: State<AppState>, call: AzureCall) -> Result<Response, Error> {
    list(state, call).await
}

pub(super) async fn list(State(state): State<AppState>, call: AzureCall) -> Result<Response, Error> {
    let listed = async { Ok(state.listings().clusters(call.ask(), render).await?) };
    answer(&state, &call, "aksClusters", listed.await).await
}

/// A cluster that can be imported.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AksCluster<'a> {
    /// The resource group that holds it; empty when Azure does not say.
    #[schema(example = "production")]
    resource_group: &'a str,
    /// Its name in Azure.
    #[schema(example = "shop")]
    cluster_name: &'a str,
    /// Whether Kubernetes checks rights by role.
    rbac_enabled: bool,
    /// Its region.
    #[schema(example = "eastus")]
    location: &'a str,
}

fn render(clusters: &[ListedCluster<'_>]) -> Bytes {
    let shown: Vec<_> = clusters
        .iter()
        .map(|cluster| AksCluster {
            resource_group: cluster.resource_group,
            cluster_name: cluster.name,
            rbac_enabled: cluster.rbac_enabled,
            location: cluster.location,
        })
        .collect();
    json::to_bytes(&shown)
}
