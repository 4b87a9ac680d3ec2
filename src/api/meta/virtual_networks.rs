//! `aksVirtualNetworks` (`docs/contract/meta-actions.md#aksvirtualnetworks`).

use aks::networks::{Network, Subnet};
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

/// The action `aksVirtualNetworks`.
pub(super) struct AksVirtualNetworks;

impl ListingAction for AksVirtualNetworks {
    const NAME: &'static str = "aksVirtualNetworks";
    const DOCS: ActionDocs = ActionDocs {
        summary: "The virtual networks of the subscription with their subnets.",
        description: "With a region, only those in it.",
        scope: Scope::OptionalRegion,
        response: LIST_DESCRIPTION,
        schema: list_of::<AksVirtualNetwork<'static>>,
    };

    async fn load(state: &MetaState, call: &AzureCall) -> Result<ListingResponse, Error> {
        Ok(state.listings().networks(call.listing_request(), &call.region, render).await?)
    }
}

/// A virtual network.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AksVirtualNetwork<'a> {
    /// Its name.
    #[schema(example = "hub")]
    name: &'a str,
    /// The resource group of the virtual network.
    #[schema(example = "network")]
    resource_group: &'a str,
    /// Its subnets; `null` if there are none.
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
    /// Its first address range in CIDR notation; empty if Azure returns none.
    #[schema(example = "10.1.0.0/16")]
    address_range: &'a str,
}

impl<'a> From<&Subnet<'a>> for AksSubnet<'a> {
    fn from(subnet: &Subnet<'a>) -> Self {
        Self { name: subnet.name, address_range: subnet.address_range }
    }
}

fn render(network: &Network<'_>) -> Bytes {
    json::to_bytes(&AksVirtualNetwork {
        name: network.name,
        resource_group: network.resource_group,
        subnets: network.subnets.as_ref().map(|subnets| subnets.iter().map(AksSubnet::from).collect()),
        location: network.location,
    })
}
