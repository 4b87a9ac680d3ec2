//! `Microsoft.ContainerService/locations/<region>/kubernetesVersions`.

use aks::arm::KubernetesVersion;

use crate::arm::Arm;
use crate::error::Error;
use crate::page::read_all;
use crate::request_name::RequestName;

/// Lists the minor versions of AKS in a region, in Azure's order (REST: Managed Clusters - List Kubernetes Versions).
/// [`Error::EmptyRegion`] if the region is empty.
pub async fn list(arm: &Arm, region: &str) -> Result<Vec<KubernetesVersion>, Error> {
    let url = arm.regional_url("Microsoft.ContainerService", region, "kubernetesVersions", "2024-02-01")?;
    read_all(arm, RequestName::ListKubernetesVersions, url).await
}
