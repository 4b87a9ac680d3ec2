//! `Microsoft.Compute/locations/<region>/vmSizes`.

use crate::azure::page::read_all;
use crate::azure::{Arm, Error};
use crate::domain::arm::VmSize;

/// All sizes that Azure knows in a region, in its order. [`Error::EmptyRegion`] without a region.
pub async fn list(arm: &Arm, region: &str) -> Result<Vec<VmSize>, Error> {
    if region.is_empty() {
        return Err(Error::EmptyRegion);
    }
    let path = ["providers", "Microsoft.Compute", "locations", region, "vmSizes"];
    let url = arm.address(&path, &[("api-version", "2024-03-01")])?;
    read_all(arm, "vmSizes", url).await
}
