//! The Kubernetes versions of a region.

use aks::arm::KubernetesVersion;

use super::Renderers;
use crate::service::Result;
use crate::service::error::Rejection;
use crate::service::listings::{CachedList, ListingRequest, Listings};

/// Loads the versions of a region, in Azure's order.
///
/// # Errors
/// If they cannot be read, or there are none.
pub async fn load(
    listings: &Listings,
    request: ListingRequest<'_>,
    region: &str,
    renderers: Renderers,
) -> Result<CachedList<KubernetesVersion>> {
    let versions = listings.version_list(request, region, renderers.versions).await?;
    if versions.is_empty() { Err(Rejection::NoVersions.into()) } else { Ok(versions) }
}
