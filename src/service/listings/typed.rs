//! Cached lists as typed values, from which responses other than those of an action are computed.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use aks::arm::{KubernetesVersion, Location, Usage, VmSku};
use azure::resources::{providers, usages};
use bytes::Bytes;

use super::cache::{Freshness, LookupResult};
use super::encoded::Encoded;
use super::kind::Kind;
use super::loaded::{Loaded, TypedList};
use super::{ListingRequest, ListingResponse, Listings, normalize_region};
use crate::service::Result;
use crate::service::observation::PROVIDER;

/// A cached list from which a page is computed.
#[derive(Clone, Copy, Debug)]
pub struct PageSource<'a>(pub(super) &'a Arc<Loaded>);

/// A list in the cache.
#[derive(Debug)]
pub struct CachedList<T> {
    loaded: Arc<Loaded>,
    select: fn(&TypedList) -> Option<&[T]>,
    /// Whether it came from the cache.
    pub freshness: Freshness,
    /// The time since it was read from Azure.
    pub age: Duration,
}

impl<T> CachedList<T> {
    fn new(lookup: LookupResult, select: fn(&TypedList) -> Option<&[T]>) -> Self {
        Self { loaded: lookup.loaded, select, freshness: lookup.freshness, age: lookup.age }
    }

    /// The list, as what a page was computed from.
    pub fn source(&self) -> PageSource<'_> {
        PageSource(&self.loaded)
    }

    /// A response that was computed from this list.
    pub fn response(&self, body: Bytes) -> ListingResponse {
        let body = Arc::new(Encoded::for_request(body));
        ListingResponse { body, freshness: self.freshness, age: self.age }
    }
}

impl<T> Deref for CachedList<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &*self.loaded {
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
        let lookup = self.find_regions(request, render).await?;
        Ok(CachedList::new(lookup, |list| match list {
            TypedList::Regions(list) => Some(list),
            _ => None,
        }))
    }

    /// The normalized names of the regions that have AKS.
    pub async fn aks_regions(&self, request: ListingRequest<'_>) -> Result<CachedList<String>> {
        let prefix = "failed to get the regions of AKS: ";
        let lookup = self.find(request, Kind::AksRegions, Arc::default(), prefix, move |arm| async move {
            let provider = providers::get(&arm, PROVIDER).await?;
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
        let lookup = self.find_vm_skus(request, region, render).await?;
        Ok(CachedList::new(lookup, |list| match list {
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
        let lookup = self.find_versions(request, region, render).await?;
        Ok(CachedList::new(lookup, |list| match list {
            TypedList::Versions(list) => Some(list),
            _ => None,
        }))
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
