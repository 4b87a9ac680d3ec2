//! The regions of a subscription, each with the reasons why the requested cluster cannot run there.

use std::sync::Arc;

use aks::arm::Location;
use aks::catalog::regions::{AssessedRegion, RegionDemand, RegionFacts, assess, can_have_clusters};
use futures_util::StreamExt as _;
use futures_util::stream::{self, Stream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::{Part, Renderers, to_part};
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
    pub bypasses_cache: bool,
    /// The caller.
    pub caller: Arc<Caller>,
    /// The cluster to find a region for.
    pub demand: RegionDemand,
    /// The renderers of the actions' responses.
    pub renderers: Renderers,
}

impl RegionSearch {
    /// The regions that can have clusters; if `only` is not empty, only those with these (normalized) names.
    pub async fn regions(&self, only: &[String]) -> Result<Vec<Location>> {
        let list = self.listings.region_list(self.request(), self.renderers.regions).await?;
        let is_wanted = |location: &&Location| {
            let name = location.name.as_deref().map(aks::regions::normalize).unwrap_or_default();
            can_have_clusters(location) && (only.is_empty() || only.contains(&name))
        };
        Ok(list.iter().filter(is_wanted).cloned().collect())
    }

    /// Assesses regions until `deadline`, [`CONCURRENT_LISTS`] at a time, in order of completion. A slow reader does not slow
    /// the search.
    pub fn assess(
        self,
        regions: Vec<Location>,
        deadline: Instant,
    ) -> impl Stream<Item = AssessedRegion> + Send + 'static {
        let (sender, receiver) = mpsc::channel(regions.len().max(1));
        tokio::spawn(async move {
            let search = Arc::new(self);
            let aks_regions = Arc::new(to_part(search.listings.aks_regions(search.request()).await));
            let assessments = stream::iter(regions).map(|region| {
                let (search, aks_regions) = (Arc::clone(&search), Arc::clone(&aks_regions));
                async move { search.assess_region(&region, &aks_regions).await }
            });
            let mut assessments = assessments.buffer_unordered(CONCURRENT_LISTS);
            while let Ok(Some(region)) = timeout_at(deadline, assessments.next()).await {
                // Fails once the client has disconnected.
                if sender.send(region).await.is_err() {
                    break;
                }
            }
        });
        stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)))
    }

    async fn assess_region(
        &self,
        location: &Location,
        aks_regions: &Part<CachedList<String>>,
    ) -> AssessedRegion {
        let region = location.name.as_deref().unwrap_or_default();
        let (request, renderers) = (self.request(), self.renderers);
        // Lists that the demand does not need stay `None`.
        let (mut sizes, mut usages, mut versions) = (None, None, None);
        if self.demand.vm_size.is_some() {
            sizes = Some(to_part(self.listings.vm_skus(request, region, renderers.vm_sizes).await));
            usages = Some(to_part(self.listings.usages(request, region).await));
        }
        if self.demand.version.is_some() {
            versions = Some(to_part(self.listings.version_list(request, region, renderers.versions).await));
        }
        let facts = RegionFacts {
            location,
            aks_regions: to_slice(Some(aks_regions)),
            sizes: to_slice(sizes.as_ref()),
            usages: to_slice(usages.as_ref()),
            versions: to_slice(versions.as_ref()),
        };
        assess(&facts, &self.demand, self.listings.now_ms())
    }

    fn request(&self) -> ListingRequest<'_> {
        ListingRequest {
            access: &self.access,
            caller: &self.caller,
            bypasses_cache: self.bypasses_cache,
            is_one_of_many: true,
        }
    }
}

/// The elements of a list; none if it was not needed.
fn to_slice<T>(part: Option<&Part<CachedList<T>>>) -> Result<&[T], &str> {
    match part {
        None => Ok(&[]),
        Some(Ok(list)) => Ok(list),
        Some(Err(reason)) => Err(reason),
    }
}
