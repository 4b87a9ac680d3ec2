//! A minor version of `Microsoft.ContainerService/locations/<region>/kubernetesVersions`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::lenient::{maybe, or_default, read_from_object};

/// A minor version of Kubernetes with its patches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KubernetesVersion {
    /// For example `1.31`.
    #[serde(deserialize_with = "maybe")]
    pub version: Option<String>,
    /// Azure does not vouch for previews.
    #[serde(deserialize_with = "maybe")]
    pub is_preview: Option<bool>,
    /// What Azure takes when nobody says a version; not every region names one.
    #[serde(deserialize_with = "maybe")]
    pub is_default: Option<bool>,
    /// Under which support plans the minor version is offered.
    #[serde(deserialize_with = "maybe")]
    pub capabilities: Option<Capabilities>,
    /// The patches by full version, for example `1.31.5`, in no useful order.
    #[serde(deserialize_with = "or_default")]
    pub patch_versions: BTreeMap<String, PatchVersion>,
}

/// What a minor version comes with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Capabilities {
    /// `KubernetesOfficial`, `AKSLongTermSupport` or both.
    #[serde(deserialize_with = "or_default")]
    pub support_plan: Vec<String>,
}

/// A patch version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PatchVersion {
    /// The full versions that a cluster of this version may go to.
    #[serde(deserialize_with = "or_default")]
    pub upgrades: Vec<String>,
}

read_from_object!(KubernetesVersion, Capabilities, PatchVersion);
