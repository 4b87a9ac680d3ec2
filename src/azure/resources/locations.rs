//! `subscriptions/locations`: the regions that a subscription sees.

use crate::azure::{Arm, Error};
use crate::domain::arm::Location;

/// The two versions of the list that are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiVersion {
    /// 2016-06-01: names only.
    Plain2016,
    /// 2022-12-01: with the mapping of zones and with logical regions.
    Zones2022,
}

/// All regions.
pub async fn list(_arm: &Arm, _version: ApiVersion) -> Result<Vec<Location>, Error> {
    unimplemented!("comes with the calls")
}
