//! `Microsoft.ContainerService/managedClusters`.

use crate::azure::{Arm, Error};
use crate::domain::arm::ManagedCluster;

/// The whole list.
pub async fn list(_arm: &Arm) -> Result<Vec<ManagedCluster>, Error> {
    unimplemented!("comes with the calls")
}
