//! Cached lists as typed values, from which responses other than those of an action are computed.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use aks::arm::{KubernetesVersion, Location, Usage, VmSku};
use aks::versions;
use azure::resources::{kubernetes_versions, locations, providers, skus, usages};
use bytes::Bytes;

use super::cache::{Freshness, LookupResult};
use super::encoded::Encoded;
use super::kind::Kind;
use super::loaded::{Loaded, TypedList};
use super::{
    ListingRequest, ListingResponse, Listings, VM_SIZES_ERROR_PREFIX, body_response, normalize_region,
    to_response,
};
use crate::service::Result;
use crate::service::error::Rejection;
use crate::service::observation::AKS_PROVIDER;

/// A cached list from which a page is computed.
#[derive(Clone, Copy, Debug)]
pub struct PageSource<'a>(pub(super) &'a Arc<Loaded>);

/// A list in the cache.
#[derive(Debug)]
pub struct CachedList<T> {
    lookup: LookupResult,
    select: fn(&TypedList) -> Option<&[T]>,
}

impl<T> CachedList<T> {
    fn new(lookup: LookupResult, select: fn(&TypedList) -> Option<&[T]>) -> Self {
        Self { lookup, select }
    }

    /// Whether the list came from the cache.
    pub fn freshness(&self) -> Freshness {
        self.lookup.freshness
    }

    /// The time since the list was read from Azure.
    pub fn age(&self) -> Duration {
        self.lookup.age
    }

    /// The response of the action that returns the list.
    pub fn action_response(&self) -> Result<ListingResponse> {
        body_response(&self.lookup)
    }

    /// The list as a source of pages.
    pub fn source(&self) -> PageSource<'_> {
        PageSource(&self.lookup.loaded)
    }

    /// A response that was computed from this list.
    pub fn response(&self, body: Bytes) -> ListingResponse {
        to_response(Arc::new(Encoded::for_request(body)), &self.lookup)
    }
}

impl<T> Deref for CachedList<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &*self.lookup.loaded {
            Loaded::Body { list, .. } => (self.select)(list).unwrap_or_default(),
            _ => &[],
        }
    }
}

impl Listings {
    /// The regions with their zones, by name. `render` formats the response of aksRegions, which is cached too.
    pub async fn region_list(
        &self,
        request: ListingRequest<'_>,
        render: fn(&[Location]) -> Bytes,
    ) -> Result<CachedList<Location>> {
        let prefix = "failed to get regions: ";
        let lookup = self.find(request, Kind::Regions, Arc::default(), prefix, move |arm| async move {
            let list = locations::list(&arm, locations::ApiVersion::Zones2022).await?;
            Ok(Loaded::body(render(&list), TypedList::Regions(list)))
        });
        Ok(CachedList::new(lookup.await?, |list| match list {
            TypedList::Regions(list) => Some(list),
            _ => None,
        }))
    }

    /// The normalized names of the regions that have AKS.
    pub async fn aks_regions(&self, request: ListingRequest<'_>) -> Result<CachedList<String>> {
        let prefix = "failed to get the regions of AKS: ";
        let lookup = self.find(request, Kind::AksRegions, Arc::default(), prefix, move |arm| async move {
            let provider = providers::get(&arm, AKS_PROVIDER).await?;
            let regions = provider.regions_of("managedClusters");
            Ok(Loaded::body(Bytes::new(), TypedList::AksRegions(regions)))
        });
        Ok(CachedList::new(lookup.await?, |list| match list {
            TypedList::AksRegions(list) => Some(list),
            _ => None,
        }))
    }

    /// The VM sizes of a region, in Azure's order. `render` formats the response of aksVMSizesV2, which is cached too.
    pub async fn vm_skus(
        &self,
        request: ListingRequest<'_>,
        region: &str,
        render: fn(&[VmSku]) -> Bytes,
    ) -> Result<CachedList<VmSku>> {
        let region = normalize_region(region)?;
        let scope = Arc::clone(&region);
        let lookup =
            self.find(request, Kind::VmSizesV2, scope, VM_SIZES_ERROR_PREFIX, move |arm| async move {
                let list = skus::list(&arm, &region).await?;
                Ok(Loaded::body(render(&list), TypedList::VmSizes(list)))
            });
        Ok(CachedList::new(lookup.await?, |list| match list {
            TypedList::VmSizes(list) => Some(list),
            _ => None,
        }))
    }

    /// The Kubernetes versions of a region, in Azure's order. `render` formats the response of aksVersions, which is cached too.
    pub async fn version_list(
        &self,
        request: ListingRequest<'_>,
        region: &str,
        render: fn(&[String]) -> Bytes,
    ) -> Result<CachedList<KubernetesVersion>> {
        let prefix = "failed to get Kubernetes versions: ";
        if region.is_empty() {
            return Err(Rejection::EmptyParameter { prefix, parameter: "location" }.into());
        }
        let region = normalize_region(region)?;
        let lookup = self.find(request, Kind::Versions, Arc::clone(&region), prefix, move |arm| async move {
            let list = kubernetes_versions::list(&arm, &region).await?;
            let body = render(&versions::supported(&list));
            Ok(Loaded::body(body, TypedList::Versions(list)))
        });
        Ok(CachedList::new(lookup.await?, |list| match list {
            TypedList::Versions(list) => Some(list),
            _ => None,
        }))
    }

    /// The Kubernetes versions of a region as [`Self::version_list`] returns them, or an error if there are none.
    pub async fn non_empty_versions(
        &self,
        request: ListingRequest<'_>,
        region: &str,
        render: fn(&[String]) -> Bytes,
    ) -> Result<CachedList<KubernetesVersion>> {
        let versions = self.version_list(request, region, render).await?;
        if versions.is_empty() { Err(Rejection::NoVersions.into()) } else { Ok(versions) }
    }

    /// The quotas of a region and their use.
    pub async fn usages(&self, request: ListingRequest<'_>, region: &str) -> Result<CachedList<Usage>> {
        let region = normalize_region(region)?;
        let prefix = "failed to get quotas: ";
        let lookup = self.find(request, Kind::Usages, Arc::clone(&region), prefix, move |arm| async move {
            let list = usages::list(&arm, &region).await?;
            Ok(Loaded::body(Bytes::new(), TypedList::Usages(list)))
        });
        Ok(CachedList::new(lookup.await?, |list| match list {
            TypedList::Usages(list) => Some(list),
            _ => None,
        }))
    }
}
