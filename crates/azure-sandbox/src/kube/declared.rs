//! Declarations of clusters, from Resource Manager or the control API.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A cluster with a Kubernetes API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Declared {
    /// The host name of the API, which identifies the cluster; in a private cluster, the private host name.
    pub fqdn: String,
    /// The name of the managed cluster; empty if it does not exist in Resource Manager.
    pub name: String,
    /// The version of the control plane, such as `1.32.7`.
    pub kubernetes_version: String,
    /// The node pools.
    pub pools: Vec<DeclaredPool>,
    /// Whether the administrator's certificate and token are accepted.
    pub local_accounts: bool,
    /// Set if the cluster accepts Entra tokens.
    pub entra: Option<Entra>,
    /// Whether the cluster is private, so that its host name does not resolve.
    pub private: bool,
    /// Whether the cluster is running.
    pub running: bool,
}

impl Declared {
    /// Whether the host name resolves; `reachable` is the value that the control API has set.
    pub(crate) fn is_resolvable(&self, reachable: Option<bool>) -> bool {
        self.running && reachable.unwrap_or(!self.private)
    }
}

/// A pool of nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeclaredPool {
    /// Its name.
    pub name: String,
    /// The number of nodes.
    pub count: u32,
    /// The VM size, such as `Standard_D4s_v5`.
    pub vm_size: String,
    /// `System` or `User`.
    pub mode: String,
    /// The Kubernetes version of its nodes.
    pub version: String,
    /// Labels of its nodes.
    pub labels: BTreeMap<String, String>,
    /// Taints of its nodes, `key=value:Effect`.
    pub taints: Vec<String>,
    /// The availability zones of its nodes.
    pub zones: Vec<String>,
    /// The OS disk of a node in GiB; 0 for the default.
    pub os_disk_gb: u32,
}

/// The Entra settings of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entra {
    /// The required audience of tokens.
    pub server_app_id: String,
    /// The required tenant of tokens.
    pub tenant_id: String,
}

impl Default for Declared {
    fn default() -> Self {
        Self {
            fqdn: String::new(),
            name: String::new(),
            kubernetes_version: "1.32.7".to_owned(),
            pools: Vec::new(),
            local_accounts: true,
            entra: None,
            private: false,
            running: true,
        }
    }
}

impl Default for DeclaredPool {
    fn default() -> Self {
        Self {
            name: "nodepool1".to_owned(),
            count: 1,
            vm_size: "Standard_D2s_v3".to_owned(),
            mode: "System".to_owned(),
            version: String::new(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            zones: Vec::new(),
            os_disk_gb: 0,
        }
    }
}

impl DeclaredPool {
    /// The version of the nodes; defaults to that of the control plane.
    pub(crate) fn version<'a>(&'a self, cluster_version: &'a str) -> &'a str {
        if self.version.is_empty() { cluster_version } else { &self.version }
    }
}
