//! The Kubernetes APIs of the sandbox's clusters, as far as Resource Manager needs them: which clusters there are.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

/// All Kubernetes APIs of the sandbox.
#[derive(Default)]
pub(in crate::sandbox) struct Kubes(Mutex<HashMap<String, Declared>>);

/// What Resource Manager says about one cluster.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "read by the Kubernetes APIs")]
pub(in crate::sandbox) struct Declared {
    pub(in crate::sandbox) fqdn: String,
    pub(in crate::sandbox) kubernetes_version: String,
    pub(in crate::sandbox) pools: Vec<DeclaredPool>,
    pub(in crate::sandbox) local_accounts: bool,
    pub(in crate::sandbox) entra: Option<Entra>,
    pub(in crate::sandbox) private: bool,
    pub(in crate::sandbox) running: bool,
}

#[derive(Clone, Debug)]
#[expect(dead_code, reason = "read by the Kubernetes APIs")]
pub(in crate::sandbox) struct DeclaredPool {
    pub(in crate::sandbox) name: String,
    pub(in crate::sandbox) count: u32,
    pub(in crate::sandbox) vm_size: String,
    pub(in crate::sandbox) mode: String,
    pub(in crate::sandbox) version: String,
    pub(in crate::sandbox) labels: BTreeMap<String, String>,
    pub(in crate::sandbox) taints: Vec<String>,
    pub(in crate::sandbox) zones: Vec<String>,
    pub(in crate::sandbox) os_disk_gb: u32,
}

#[derive(Clone, Debug)]
#[expect(dead_code, reason = "read by the Kubernetes APIs")]
pub(in crate::sandbox) struct Entra {
    pub(in crate::sandbox) server_app_id: String,
    pub(in crate::sandbox) tenant_id: String,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::sandbox) enum UserFormat {
    Azure,
    Exec,
}

impl Kubes {
    /// Makes or updates a cluster.
    pub(in crate::sandbox) fn declare(&self, cluster: Declared) {
        tracing::debug!(?cluster, "declared");
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(cluster.fqdn.clone(), cluster);
    }

    pub(in crate::sandbox) fn forget(&self, fqdn: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(fqdn);
    }

    pub(in crate::sandbox) fn admin_kubeconfig(&self, fqdn: &str, cluster_name: &str) -> Option<String> {
        self.known(fqdn, &format!("clusterAdmin_{cluster_name}"))
    }

    pub(in crate::sandbox) fn user_kubeconfig(
        &self,
        fqdn: &str,
        cluster_name: &str,
        format: UserFormat,
    ) -> Option<String> {
        self.known(fqdn, &format!("clusterUser_{cluster_name} {format:?}"))
    }

    fn known(&self, fqdn: &str, user: &str) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(fqdn);
        known.then(|| format!("apiVersion: v1\nkind: Config\n# https://{fqdn}:443 as {user}\n"))
    }
}
