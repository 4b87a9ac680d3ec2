//! `Microsoft.Compute/skus`, the newer list of VM sizes. It is by far the largest response.

use aks::arm::VmSku;
use reqwest::Url;

use crate::arm::Arm;
use crate::error::Error;
use crate::page::read_all;
use crate::request_name::RequestName;
use crate::url::odata_string;

/// Lists the VM sizes of a region in Azure's order, without other resources (REST: Resource Skus - List). Azure ignores the
/// letter case of the region. [`Error::EmptyRegion`] if the region is empty.
pub async fn list(arm: &Arm, region: &str) -> Result<Vec<VmSku>, Error> {
    read_all(arm, RequestName::ListSkus, url(arm, region)?).await
}

fn url(arm: &Arm, region: &str) -> Result<Url, Error> {
    if region.is_empty() {
        return Err(Error::EmptyRegion);
    }
    let filter = format!("location eq {}", odata_string(region));
    let path = ["providers", "Microsoft.Compute", "skus"];
    arm.url(&path, &[("$filter", &filter), ("api-version", "2021-07-01")])
}
