//! `aksVirtualNetworks` (`docs/contract/meta-actions.md#aksvirtualnetworks`).

use aks::networks::{Network, Subnet};
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer;
use super::call::AzureCall;
use super::docs::{CredentialAndRegion, Failures, OptionalRegion, StoredCredential};
use super::error::Error;
use crate::api::norman::json;
use crate::api::state::AppState;

/// The virtual networks of the subscription with their subnets.
///
/// With a region, those that lie there. With a stored credential.
#[utoipa::path(
    get,
    path = "/meta/aksVirtualNetworks",
    operation_id = "getAksVirtualNetworks",
    tag = "AKS actions",
    params(StoredCredential, OptionalRegion),
    responses((status = 200, description = "The list; empty when there is nothing", body = Vec<AksVirtualNetwork<'static>>), Failures),
)]
pub(super) async fn get(state: State<AppState>, call: AzureCall) -> Result<Response, Error> {
    list(state, call).await
}

/// The virtual networks of the subscription with their subnets.
///
/// With a region, those that lie there. With the credential in the body.
#[utoipa::path(
    post,
    path = "/meta/aksVirtualNetworks",
    operation_id = "postAksVirtualNetworks",
    tag = "AKS actions",
    request_body = CredentialAndRegion,
    responses((status = 200, description = "The list; empty when there is nothing", body = Vec<AksVirtualNetwork<'static>>), Failures),
)]
pub(super) async fn post(state: State<AppState>, call: AzureCall) -> Result<Response, Error> {
    list(state, call).await
}

pub(super) async fn list(State(state): State<AppState>, call: AzureCall) -> Result<Response, Error> {
    let listed = async { Ok(state.listings().networks(call.ask(), call.region(), render).await?) };
    answer(&state, &call, "aksVirtualNetworks", listed.await).await
}

/// A virtual network.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AksVirtualNetwork<'a> {
    /// Its name.
    #[schema(example = "hub")]
    name: &'a str,
    /// The resource group that holds it.
    #[schema(example = "network")]
    resource_group: &'a str,
    /// Its subnets; null when there is none.
    subnets: Option<Vec<AksSubnet<'a>>>,
    /// Its region.
    #[schema(example = "eastus")]
    location: &'a str,
}

/// A subnet of a virtual network.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AksSubnet<'a> {
    /// Its name.
    #[schema(example = "nodes")]
    name: &'a str,
    /// Its first address range in CIDR notation; empty when Azure names none.
    #[schema(example = "10.1.0.0/16")]
    address_range: &'a str,
}

fn render(network: &Network<'_>) -> Bytes {
    let shown = |list: &Vec<_>| {
        list.iter().map(|s: &Subnet<'_>| AksSubnet { name: s.name, address_range: s.address_range }).collect()
    };
    json::to_bytes(&AksVirtualNetwork {
        name: network.name,
        resource_group: network.resource_group,
        subnets: network.subnets.as_ref().map(shown),
        location: network.location,
    })
}
