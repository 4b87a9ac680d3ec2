//! What Resource Manager (or whoever steers the sandbox) says about a cluster.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A cluster whose Kubernetes API is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Declared {
    /// The host name of the API, by which the cluster is known; the private one of private clusters.
    pub fqdn: String,
    /// The version of the control plane, such as `1.32.7`.
    pub kubernetes_version: String,
    /// The node pools.
    pub pools: Vec<DeclaredPool>,
    /// Whether the administrator's certificate and token are accepted.
    pub local_accounts: bool,
    /// Entra guards the cluster: its tokens are accepted.
    pub entra: Option<Entra>,
    /// The host name is not found from here.
    pub private: bool,
    /// Whether the API answers at all.
    pub running: bool,
}

/// A pool of nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeclaredPool {
    /// Its name.
    pub name: String,
    /// How many nodes it has.
    pub count: u32,
    /// The size of its machines, such as `Standard_D4s_v5`.
    pub vm_size: String,
    /// `System` or `User`.
    pub mode: String,
    /// The Kubernetes version of its nodes.
    pub version: String,
    /// Labels of its nodes.
    pub labels: BTreeMap<String, String>,
    /// Taints of its nodes, `key=value:Effect`.
    pub taints: Vec<String>,
    /// The zones over which its nodes are spread.
    pub zones: Vec<String>,
    /// The disk of a node, GiB; 0 for what Azure takes by itself.
    pub os_disk_gb: u32,
}

/// How Entra guards a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entra {
    /// The application for which tokens have to be.
    pub server_app_id: String,
    /// The tenant from which they have to be.
    pub tenant_id: String,
}

impl Default for Declared {
    fn default() -> Self {
        Self {
            fqdn: String::new(),
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
    /// The version of the nodes; that of the control plane when nothing else is said.
    pub(crate) fn version<'a>(&'a self, cluster: &'a str) -> &'a str {
        if self.version.is_empty() { cluster } else { &self.version }
    }
}
