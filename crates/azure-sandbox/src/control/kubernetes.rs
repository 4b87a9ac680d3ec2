//! Control of the Kubernetes APIs of clusters.

use serde::Serialize;

use super::Control;
use crate::faults::Fault;
use crate::kube::declared::Declared;
use crate::kube::kubeconfig::{self, UserFormat};
use crate::log::RecordedRequest;

/// A cluster in the control API.
#[derive(Serialize)]
pub(crate) struct ClusterView {
    #[serde(flatten)]
    declared: Declared,
    /// Whether the host name resolves.
    found: bool,
}

impl Control {
    /// Creates or updates the Kubernetes API of a cluster that Resource Manager does not know.
    pub fn declare_kubernetes(&self, cluster: Declared) {
        self.sandbox.kube.declare(cluster);
    }

    /// Deletes the Kubernetes API of a cluster.
    pub fn forget_kubernetes(&self, fqdn: &str) {
        self.sandbox.kube.remove(fqdn);
    }

    /// The clusters with a Kubernetes API.
    pub fn kubernetes(&self) -> Vec<Declared> {
        self.sandbox.kube.clusters().iter().map(|cluster| cluster.state().declared.clone()).collect()
    }

    pub(crate) fn cluster_views(&self) -> Vec<ClusterView> {
        let clusters = self.sandbox.kube.clusters();
        clusters
            .iter()
            .map(|cluster| {
                let found = cluster.is_resolvable();
                ClusterView { declared: cluster.state().declared.clone(), found }
            })
            .collect()
    }

    /// Sets whether the host name of a cluster resolves, as if a network were connected to a private cluster. `false` if
    /// the cluster does not exist.
    pub fn make_reachable(&self, fqdn: &str, reachable: bool) -> bool {
        let Some(cluster) = self.sandbox.kube.cluster(fqdn) else { return false };
        cluster.state().reachable = Some(reachable);
        cluster.mark_changed();
        true
    }

    /// Replaces all certificates, tokens and the authority of a cluster, as `az aks rotate-certs` does. `false` if the
    /// cluster does not exist.
    pub fn rotate_certificates(&self, fqdn: &str) -> bool {
        let (kube, now) = (&self.sandbox.kube, self.sandbox.kube.now());
        kube.cluster(fqdn).is_some_and(|cluster| is_issued(fqdn, cluster.rotate(&now)))
    }

    /// Issues another client certificate for the administrator of a cluster, as AKS does before one expires; the old one
    /// stays valid. `false` if the cluster does not exist.
    pub fn renew_client_certificate(&self, fqdn: &str, days: u32) -> bool {
        self.sandbox.kube.cluster(fqdn).is_some_and(|cluster| is_issued(fqdn, cluster.renew_client(days)))
    }

    /// The administrator's kubeconfig of a cluster, with the address of the sandbox as its server: for programs that
    /// cannot override name resolution, such as kubectl.
    pub fn kubeconfig(&self, fqdn: &str) -> Option<String> {
        let cluster = self.sandbox.kube.cluster(fqdn)?;
        let name = fqdn.split('.').next().unwrap_or_default();
        Some(kubeconfig::direct(&cluster, *self.sandbox.kubernetes_address.get()?, name))
    }

    /// Azure's kubeconfig for administrators of a cluster with this `name`.
    pub fn admin_kubeconfig(&self, fqdn: &str, name: &str) -> Option<String> {
        self.sandbox.kube.admin_kubeconfig(fqdn, name)
    }

    /// Azure's kubeconfig for users of a cluster with this `name`.
    pub fn user_kubeconfig(&self, fqdn: &str, name: &str, format: UserFormat) -> Option<String> {
        self.sandbox.kube.user_kubeconfig(fqdn, name, format)
    }

    /// Adds a fault for requests to Kubernetes after the active ones. [`Fault::host`] is that of a cluster.
    pub fn add_kubernetes_fault(&self, fault: Fault) {
        self.sandbox.kube.traffic().faults.add(fault);
    }

    /// The active faults for requests to Kubernetes.
    pub fn kubernetes_faults(&self) -> Vec<Fault> {
        self.sandbox.kube.traffic().faults.all().to_vec()
    }

    /// Deletes all faults for requests to Kubernetes.
    pub fn clear_kubernetes_faults(&self) {
        self.sandbox.kube.traffic().faults.clear();
    }

    /// The last 10,000 requests to Kubernetes, oldest first.
    pub fn kubernetes_requests(&self) -> Vec<RecordedRequest> {
        self.sandbox.kube.traffic().log.all()
    }

    /// Deletes the recorded requests to Kubernetes.
    pub fn clear_kubernetes_requests(&self) {
        self.sandbox.kube.traffic().log.clear();
    }
}

fn is_issued(fqdn: &str, result: Result<(), crate::authority::Error>) -> bool {
    if let Err(error) = &result {
        tracing::error!(fqdn, error = error as &dyn std::error::Error, "cannot issue certificates");
    }
    result.is_ok()
}
