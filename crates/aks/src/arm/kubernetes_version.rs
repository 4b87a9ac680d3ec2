//! A minor version of `Microsoft.ContainerService/locations/<region>/kubernetesVersions`.

use std::collections::BTreeMap;

use super::lenient::lenient_structs;

lenient_structs! {
    /// A minor version of Kubernetes with its patches.
    #[derive(serde::Serialize)]
    KubernetesVersion {
        /// For example `1.31`.
        version: Option<String>,
        /// Whether it is a preview, which Azure does not support.
        is_preview: Option<bool>,
        /// Whether it is the default version of the region; not every region has one.
        is_default: Option<bool>,
        /// The support plans of the minor version.
        capabilities: Option<Capabilities>,
        /// The patches by full version, for example `1.31.5`, in any order.
        patch_versions: BTreeMap<String, PatchVersion>,
    }

    /// The support plans of a minor version.
    #[derive(serde::Serialize)]
    Capabilities {
        /// `KubernetesOfficial`, `AKSLongTermSupport` or both.
        support_plan: Vec<String>,
    }

    /// A patch version.
    #[derive(serde::Serialize)]
    PatchVersion {
        /// The full versions to which a cluster of this version can be upgraded.
        upgrades: Vec<String>,
    }
}
