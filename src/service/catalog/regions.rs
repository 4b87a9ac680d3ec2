//! The regions of a subscription, each with what it lacks for a cluster that someone wants.

use std::sync::Arc;

use aks::arm::Location;
use aks::catalog::regions::{AssessedRegion, RegionDemand, RegionFacts, assess, is_physical};
use futures_util::StreamExt as _;
use futures_util::stream::{self, Stream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::{Part, Renderers, part};
use crate::service::azure_access::AzureAccess;
use crate::service::listings::{CONCURRENT_LISTS, CachedList, ListingRequest, Listings};
use crate::service::{Caller, Result};

/// A search through the regions of a subscription.
#[derive(Clone)]
pub struct RegionSearch {
    /// The lists of Azure.
    pub listings: Listings,
    /// The credential.
    pub access: Arc<AzureAccess>,
    /// Whether to bypass the cache.
    pub fresh: bool,
    /// Who asks.
    pub caller: Arc<Caller>,
    /// The cluster that someone wants.
    pub demand: RegionDemand,
    /// The formats of the actions' responses.
    pub renderers: Renderers,
}

impl RegionSearch {
    /// The regions that can have clusters. If `only` has names (normalized), those of them that exist.
    pub async fn regions(&self, only: &[String]) -> Result<Vec<Location>> {
        let list = self.listings.region_list(self.request(), self.renderers.regions).await?;
        let is_wanted = |location: &&Location| {
            let name = location.name.as_deref().map(aks::regions::normalised).unwrap_or_default();
            is_physical(location) && (only.is_empty() || only.contains(&name))
        };
        Ok(list.iter().filter(is_wanted).cloned().collect())
    }

    /// Assesses regions as their lists become known, some at a time, until `deadline`. A slow reader does not slow the search.
    pub fn assess(
        self,
        regions: Vec<Location>,
        deadline: Instant,
    ) -> impl Stream<Item = AssessedRegion> + Send + 'static {
        let (found, stream) = mpsc::channel(regions.len().max(1));
        tokio::spawn(async move {
            let search = Arc::new(self);
            let aks_regions = Arc::new(part(search.listings.aks_regions(search.request()).await));
            let assessments = stream::iter(regions).map(|region| {
                let (search, aks_regions) = (Arc::clone(&search), Arc::clone(&aks_regions));
                async move { search.assess_one(&region, &aks_regions).await }
            });
            let mut assessments = assessments.buffer_unordered(CONCURRENT_LISTS);
            while let Ok(Some(region)) = timeout_at(deadline, assessments.next()).await {
                // The client is gone.
                if found.send(region).await.is_err() {
                    break;
                }
            }
        });
        stream::unfold(stream, async |mut stream| Some((stream.recv().await?, stream)))
    }

    async fn assess_one(
        &self,
        location: &Location,
        aks_regions: &Part<CachedList<String>>,
    ) -> AssessedRegion {
        let region = location.name.as_deref().unwrap_or_default();
        let (request, renderers) = (self.request(), self.renderers);
        let (mut sizes, mut usages, mut versions) = (None, None, None);
        if self.demand.vm_size.is_some() {
            sizes = Some(part(self.listings.vm_skus(request, region, renderers.vm_sizes).await));
            usages = Some(part(self.listings.usages(request, region).await));
        }
        if self.demand.version.is_some() {
            versions = Some(part(self.listings.version_list(request, region, renderers.versions).await));
        }
        let facts = RegionFacts {
            location,
            aks_regions: known(Some(aks_regions)),
            sizes: known(sizes.as_ref()),
            usages: known(usages.as_ref()),
            versions: known(versions.as_ref()),
        };
        assess(&facts, &self.demand, self.listings.now_ms())
    }

    fn request(&self) -> ListingRequest<'_> {
        ListingRequest { access: &self.access, caller: &self.caller, fresh: self.fresh, is_one_of_many: true }
    }
}

fn known<T>(part: Option<&Part<CachedList<T>>>) -> Result<&[T], &str> {
    match part {
        None => Ok(&[]),
        Some(Ok(list)) => Ok(list),
        Some(Err(reason)) => Err(reason),
    }
}
