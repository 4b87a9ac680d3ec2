//! `Microsoft.Network/virtualNetworks`.

use crate::azure::page::read_all;
use crate::azure::{Arm, Error};
use crate::domain::arm::VirtualNetwork;

/// The networks of the whole subscription, in Azure's order.
pub async fn list(arm: &Arm) -> Result<Vec<VirtualNetwork>, Error> {
    let path = ["providers", "Microsoft.Network", "virtualNetworks"];
    let url = arm.address(&path, &[("api-version", "2023-11-01")])?;
    read_all(arm, "virtualNetworks", url).await
}
