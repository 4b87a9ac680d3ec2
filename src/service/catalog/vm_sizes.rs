//! The VM sizes of a region and their quotas.

use std::time::Duration;

use aks::arm::{Usage, VmSku};
use aks::catalog::vm_sizes::{AssessedSize, Demand, assess};

use super::{Part, Renderers, part_within_timeout};
use crate::service::Result;
use crate::service::error::Rejection;
use crate::service::listings::{CachedList, Freshness, ListingRequest, Listings, PageSource};

/// The VM sizes of a region, with the quotas if they can be read.
pub struct RegionSizes {
    sizes: CachedList<VmSku>,
    usages: Part<CachedList<Usage>>,
    region: String,
    now_ms: i64,
}

impl RegionSizes {
    /// Loads both lists at once.
    ///
    /// # Errors
    /// If the sizes cannot be read. Quotas that cannot be read are unknown.
    pub async fn load(
        listings: &Listings,
        request: ListingRequest<'_>,
        region: &str,
        renderers: Renderers,
    ) -> Result<Self> {
        let (sizes, usages) = tokio::join!(
            listings.vm_skus(request, region, renderers.vm_sizes),
            part_within_timeout(listings.usages(request, region)),
        );
        let (sizes, region) = (sizes?, aks::regions::normalize(region));
        if sizes.is_empty() {
            return Err(Rejection::NoVmSizes(region).into());
        }
        Ok(Self { sizes, usages, region, now_ms: listings.now_ms() })
    }

    /// The sizes that `admits` selects, with their verdicts.
    pub fn assess(&self, demand: &Demand, admits: impl Fn(&VmSku) -> bool) -> Vec<AssessedSize<'_>> {
        let usages = match &self.usages {
            Ok(usages) => Ok(&**usages),
            Err(reason) => Err(reason.as_str()),
        };
        let admitted = self.sizes.iter().filter(|size| size.name.is_some() && admits(size));
        admitted.map(|size| assess(size, usages, demand, &self.region, self.now_ms)).collect()
    }

    /// The lists from which pages are computed; `None` while the quotas are unknown, because pages must not be cached then.
    pub fn sources(&self) -> Option<[PageSource<'_>; 2]> {
        Some([self.sizes.source(), self.usages.as_ref().ok()?.source()])
    }

    /// The freshness of the staler list.
    pub fn freshness(&self) -> Freshness {
        let usages = self.usages.as_ref().map_or(self.sizes.freshness(), CachedList::freshness);
        usages.max(self.sizes.freshness())
    }

    /// The age of the older list.
    pub fn age(&self) -> Duration {
        self.usages.as_ref().map_or(self.sizes.age(), |usages| usages.age().max(self.sizes.age()))
    }
}
