//! `Microsoft.ContainerService/locations/kubernetesVersions`.

use crate::azure::{Arm, Error};
use crate::domain::arm::KubernetesVersion;

/// The whole list.
pub async fn list(_arm: &Arm, _region: &str) -> Result<Vec<KubernetesVersion>, Error> {
    unimplemented!("comes with the calls")
}
