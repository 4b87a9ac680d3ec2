//! `Microsoft.Network/virtualNetworks`.

use crate::azure::{Arm, Error};
use crate::domain::arm::VirtualNetwork;

/// The whole list.
pub async fn list(_arm: &Arm) -> Result<Vec<VirtualNetwork>, Error> {
    unimplemented!("comes with the calls")
}
