//! `Microsoft.Compute/locations/vmSizes`.

use crate::azure::{Arm, Error};
use crate::domain::arm::VmSize;

/// The whole list.
pub async fn list(_arm: &Arm, _region: &str) -> Result<Vec<VmSize>, Error> {
    unimplemented!("comes with the calls")
}
