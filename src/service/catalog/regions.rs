//! The regions of a subscription, each with what it lacks for a cluster that someone wants.

use std::sync::Arc;

use aks::arm::Location;
use aks::catalog::regions::{AssessedRegion, RegionDemand, RegionFacts, assess, is_physical};
use futures_util::StreamExt as _;
use futures_util::stream::{self, Stream};

use super::{Renderers, reason};
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

    /// Assesses regions as their lists become known, some at a time.
    pub fn assess(self, regions: Vec<Location>) -> impl Stream<Item = AssessedRegion> + Send + 'static {
        let search = Arc::new(self);
        let assessments = stream::iter(regions).map(move |region| {
            let search = Arc::clone(&search);
            async move { search.assess_one(&region).await }
        });
        assessments.buffer_unordered(CONCURRENT_LISTS)
    }

    async fn assess_one(&self, location: &Location) -> AssessedRegion {
        let region = location.name.as_deref().unwrap_or_default();
        let (mut sizes, mut usages, mut versions) = (None, None, None);
        if self.demand.vm_size.is_some() {
            sizes =
                Some(self.part(self.listings.vm_skus(self.request(), region, self.renderers.vm_sizes)).await);
            usages = Some(self.part(self.listings.usages(self.request(), region)).await);
        }
        if self.demand.version.is_some() {
            let list = self.listings.version_list(self.request(), region, self.renderers.versions);
            versions = Some(self.part(list).await);
        }
        let facts = RegionFacts {
            location,
            sizes: known(sizes.as_ref()),
            usages: known(usages.as_ref()),
            versions: known(versions.as_ref()),
        };
        assess(&facts, &self.demand, self.listings.now_ms())
    }

    /// Reads a list, one of a few of this caller at the same time.
    async fn part<T>(&self, list: impl Future<Output = Result<CachedList<T>>>) -> Part<T> {
        let _permit = self.listings.permit(&self.caller).await;
        list.await.map_err(|error| reason(&error))
    }

    fn request(&self) -> ListingRequest<'_> {
        ListingRequest { access: &self.access, caller: &self.caller, fresh: self.fresh }
    }
}

/// A list, or the reason why it is unknown.
type Part<T> = Result<CachedList<T>, String>;

fn known<T>(part: Option<&Part<T>>) -> Result<&[T], &str> {
    match part {
        None => Ok(&[]),
        Some(Ok(list)) => Ok(list),
        Some(Err(reason)) => Err(reason),
    }
}
