//! The lists of objects that users create: virtual networks and clusters.

use std::sync::Arc;

use aks::arm;
use aks::listed_clusters::ListedCluster;
use aks::networks::{self, Network};
use aks::regions;
use azure::resources::{managed_clusters, virtual_networks};
use bytes::Bytes;

use super::encoded::Encoded;
use super::kind::Kind;
use super::loaded::{Element, Loaded, TypedList};
use super::{
    CLUSTERS_ERROR_PREFIX, ListingRequest, ListingResponse, Listings, body_response, empty_list, to_response,
};
use crate::service::error::Rejection;
use crate::service::{Error, Result};

impl Listings {
    /// The virtual networks in `region`, or in all regions if it is empty.
    pub async fn networks(
        &self,
        request: ListingRequest<'_>,
        region: &str,
        render: fn(&Network<'_>) -> Bytes,
    ) -> Result<ListingResponse> {
        let lookup = self
            .find(
                request,
                Kind::Networks,
                Arc::default(),
                "failed to get networks: ",
                move |arm| async move {
                    let list = virtual_networks::list(&arm).await?;
                    Ok(Loaded::by_region(list.iter().map(|network| to_element(network, render)).collect()))
                },
            )
            .await?;
        let Loaded::ByRegion { elements, tag } = &*lookup.loaded else { return Ok(empty_list(&lookup)) };
        let region = regions::normalize(region);
        let selected = elements.iter().filter(|element| region.is_empty() || element.region == region);
        let body = Encoded::uncompressed(json_array(selected)?, &[tag, region.as_bytes()]);
        Ok(to_response(Arc::new(body), &lookup))
    }

    /// The AKS clusters of the subscription.
    pub async fn clusters(
        &self,
        request: ListingRequest<'_>,
        render: fn(&[ListedCluster<'_>]) -> Bytes,
    ) -> Result<ListingResponse> {
        let lookup = self.find(
            request,
            Kind::Clusters,
            Arc::default(),
            CLUSTERS_ERROR_PREFIX,
            move |arm| async move {
                let list = managed_clusters::list(&arm).await?;
                let clusters: Result<Vec<_>, _> = list.iter().map(ListedCluster::read).collect();
                let json = clusters.map(|clusters| render(&clusters));
                Ok(json.map_or_else(Loaded::Unusable, |json| Loaded::body(json, TypedList::Unused)))
            },
        );
        body_response(&lookup.await?)
    }
}

fn to_element(network: &arm::VirtualNetwork, render: fn(&Network<'_>) -> Bytes) -> Element {
    let region = regions::normalize(network.location.as_deref().unwrap_or_default());
    Element { region, json: networks::from_arm(network).map(|network| render(&network)) }
}

/// A JSON array of the elements; fails at the first one that could not be rendered.
fn json_array<'a>(elements: impl Iterator<Item = &'a Element>) -> Result<Bytes> {
    let mut array = vec![b'['];
    for element in elements {
        let json =
            element.json.as_ref().map_err(|reason| Error::from(Rejection::UnusableResponse(reason)))?;
        if array.len() > 1 {
            array.push(b',');
        }
        array.extend_from_slice(json);
    }
    array.push(b']');
    Ok(array.into())
}
