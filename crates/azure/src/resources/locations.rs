//! `subscriptions/locations`: the regions of a subscription.

use aks::arm::Location;

use crate::arm::Arm;
use crate::error::Error;
use crate::page::read_all;
use crate::request_name::RequestName;

/// Versions of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApiVersion {
    /// 2016-06-01: names only.
    Plain2016,
    /// 2022-12-01: with zone mappings and logical regions.
    Zones2022,
}

/// Lists all regions, in Azure's order (REST: Subscriptions - List Locations).
pub async fn list(arm: &Arm, version: ApiVersion) -> Result<Vec<Location>, Error> {
    let version = match version {
        ApiVersion::Plain2016 => "2016-06-01",
        ApiVersion::Zones2022 => "2022-12-01",
    };
    let url = arm.url(&["locations"], &[("api-version", version)])?;
    read_all(arm, RequestName::ListLocations, url).await
}
