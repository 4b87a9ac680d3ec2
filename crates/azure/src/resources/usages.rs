//! `Microsoft.Compute/locations/<region>/usages`: quotas for virtual machines and their usage.

use aks::arm::Usage;

use crate::arm::Arm;
use crate::error::Error;
use crate::page::read_all;
use crate::request_name::RequestName;

/// Lists the subscription's quotas in a region, in Azure's order (REST: Usage - List). [`Error::EmptyRegion`] if the region
/// is empty.
pub async fn list(arm: &Arm, region: &str) -> Result<Vec<Usage>, Error> {
    let url = arm.regional_url("Microsoft.Compute", region, "usages", "2024-03-01")?;
    read_all(arm, RequestName::ListUsages, url).await
}
