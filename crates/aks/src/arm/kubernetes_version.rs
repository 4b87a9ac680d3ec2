//! A minor version of `Microsoft.ContainerService/locations/<region>/kubernetesVersions`.

use std::collections::BTreeMap;

use super::lenient::objects;

objects! {
    /// A minor version of Kubernetes with its patches.
    KubernetesVersion {
        /// For example `1.31`.
        version: Option<String>,
        /// Azure does not vouch for previews.
        is_preview: Option<bool>,
        /// What Azure takes when nobody says a version; not every region names one.
        is_default: Option<bool>,
        /// Under which support plans the minor version is offered.
        capabilities: Option<Capabilities>,
        /// The patches by full version, for example `1.31.5`, in no useful order.
        patch_versions: BTreeMap<String, PatchVersion>,
    }

    /// What a minor version comes with.
    Capabilities {
        /// `KubernetesOfficial`, `AKSLongTermSupport` or both.
        support_plan: Vec<String>,
    }

    /// A patch version.
    PatchVersion {
        /// The full versions that a cluster of this version may go to.
        upgrades: Vec<String>,
    }
}
