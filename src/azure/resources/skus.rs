//! `Microsoft.Compute/skus`.

use crate::azure::{Arm, Error};
use crate::domain::arm::VmSku;

/// The whole list.
pub async fn list(_arm: &Arm, _region: &str) -> Result<Vec<VmSku>, Error> {
    unimplemented!("comes with the calls")
}
