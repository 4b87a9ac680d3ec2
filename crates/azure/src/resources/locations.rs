//! `subscriptions/locations`: the regions that a subscription sees.

use aks::arm::Location;

use crate::page::read_all;
use crate::{Arm, Error};

/// The two versions of the list that are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApiVersion {
    /// 2016-06-01: names only.
    Plain2016,
    /// 2022-12-01: with the mapping of zones and with logical regions.
    Zones2022,
}

/// All regions, in Azure's order.
pub async fn list(arm: &Arm, version: ApiVersion) -> Result<Vec<Location>, Error> {
    let version = match version {
        ApiVersion::Plain2016 => "2016-06-01",
        ApiVersion::Zones2022 => "2022-12-01",
    };
    let url = arm.address(&["locations"], &[("api-version", version)])?;
    read_all(arm, "locations", url).await
}
