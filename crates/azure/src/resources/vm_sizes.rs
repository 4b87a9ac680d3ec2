//! `Microsoft.Compute/locations/<region>/vmSizes`.

use aks::arm::VmSize;

use crate::page::read_all;
use crate::{Arm, Error};

/// All sizes that Azure knows in a region, in its order. [`Error::EmptyRegion`] without a region.
pub async fn list(arm: &Arm, region: &str) -> Result<Vec<VmSize>, Error> {
    if region.is_empty() {
        return Err(Error::EmptyRegion);
    }
    let path = ["providers", "Microsoft.Compute", "locations", region, "vmSizes"];
    let url = arm.address(&path, &[("api-version", "2024-03-01")])?;
    read_all(arm, "vmSizes", url).await
}
