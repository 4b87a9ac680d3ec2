//! `Microsoft.Compute/locations/<region>/vmSizes`.

use aks::arm::VmSize;

use crate::arm::Arm;
use crate::error::Error;
use crate::page::read_all;
use crate::request_name::RequestName;

/// Lists the VM sizes of a region, in Azure's order (REST: Virtual Machine Sizes - List). [`Error::EmptyRegion`] if the
/// region is empty.
pub async fn list(arm: &Arm, region: &str) -> Result<Vec<VmSize>, Error> {
    let url = arm.regional_url("Microsoft.Compute", region, "vmSizes", "2024-03-01")?;
    read_all(arm, RequestName::ListVmSizes, url).await
}
