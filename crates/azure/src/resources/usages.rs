//! `Microsoft.Compute/locations/<region>/usages`: how much of the quota for virtual machines is used.

use aks::arm::Usage;

use crate::page::read_all;
use crate::{Arm, Error};

/// The quotas of the subscription in a region, in Azure's order. [`Error::EmptyRegion`] without a region.
pub async fn list(arm: &Arm, region: &str) -> Result<Vec<Usage>, Error> {
    if region.is_empty() {
        return Err(Error::EmptyRegion);
    }
    let path = ["providers", "Microsoft.Compute", "locations", region, "usages"];
    let url = arm.address(&path, &[("api-version", "2024-03-01")])?;
    read_all(arm, "usages", url).await
}
