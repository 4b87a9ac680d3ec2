//! `Microsoft.ContainerService/managedClusters`.

use crate::azure::page::read_all;
use crate::azure::{Arm, Error};
use crate::domain::arm::ManagedCluster;

/// The AKS clusters of the whole subscription, in Azure's order.
pub async fn list(arm: &Arm) -> Result<Vec<ManagedCluster>, Error> {
    let path = ["providers", "Microsoft.ContainerService", "managedClusters"];
    let url = arm.address(&path, &[("api-version", "2024-02-01")])?;
    read_all(arm, "managedClusters", url).await
}
