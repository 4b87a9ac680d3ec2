//! `Microsoft.Compute/skus`, the newer list of sizes: by far the largest answer of them all.

use aks::arm::{VmOffer, VmSku};
use reqwest::Url;

use crate::page::read_all;
use crate::url::quoted;
use crate::{Arm, Error};

/// The virtual machine sizes of a region, in Azure's order; other kinds of resources in the list are left out.
/// Azure compares the region without regard to letter case. [`Error::EmptyRegion`] without a region.
pub async fn list(arm: &Arm, region: &str) -> Result<Vec<VmSku>, Error> {
    read_all(arm, "skus", address(arm, region)?).await
}

/// The same list with what the subscription may use of each size.
pub async fn offers(arm: &Arm, region: &str) -> Result<Vec<VmOffer>, Error> {
    read_all(arm, "skus", address(arm, region)?).await
}

fn address(arm: &Arm, region: &str) -> Result<Url, Error> {
    if region.is_empty() {
        return Err(Error::EmptyRegion);
    }
    let filter = format!("location eq {}", quoted(region));
    let path = ["providers", "Microsoft.Compute", "skus"];
    arm.address(&path, &[("$filter", &filter), ("api-version", "2021-07-01")])
}
