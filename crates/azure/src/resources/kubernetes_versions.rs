//! `Microsoft.ContainerService/locations/<region>/kubernetesVersions`.

use aks::arm::KubernetesVersion;

use crate::page::read_all;
use crate::{Arm, Error};

/// The minor versions that AKS offers in a region, in Azure's order. [`Error::EmptyRegion`] without a region.
pub async fn list(arm: &Arm, region: &str) -> Result<Vec<KubernetesVersion>, Error> {
    if region.is_empty() {
        return Err(Error::EmptyRegion);
    }
    let path = ["providers", "Microsoft.ContainerService", "locations", region, "kubernetesVersions"];
    let url = arm.address(&path, &[("api-version", "2024-02-01")])?;
    read_all(arm, "kubernetesVersions", url).await
}
