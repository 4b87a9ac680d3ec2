//! An AKS cluster of `Microsoft.ContainerService/managedClusters`, as far as the listing needs it.

use serde::Deserialize;

use super::lenient::{maybe, read_from_object};

/// An AKS cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ManagedCluster {
    /// The resource id; ARM often writes `resourcegroups` in it in lower case.
    #[serde(deserialize_with = "maybe")]
    pub id: Option<String>,
    /// The cluster's name.
    #[serde(deserialize_with = "maybe")]
    pub name: Option<String>,
    /// The region, for example `eastus`.
    #[serde(deserialize_with = "maybe")]
    pub location: Option<String>,
    /// Everything else.
    #[serde(deserialize_with = "maybe")]
    pub properties: Option<ManagedClusterProperties>,
}

/// The properties of an AKS cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ManagedClusterProperties {
    /// Whether Kubernetes RBAC is on.
    #[serde(rename = "enableRBAC", deserialize_with = "maybe")]
    pub enable_rbac: Option<bool>,
    /// The version that was asked for, for example `1.31` or `1.31.5`.
    #[serde(deserialize_with = "maybe")]
    pub kubernetes_version: Option<String>,
    /// For example `Succeeded`, `Creating`, `Failed`.
    #[serde(deserialize_with = "maybe")]
    pub provisioning_state: Option<String>,
}

read_from_object!(ManagedCluster, ManagedClusterProperties);
