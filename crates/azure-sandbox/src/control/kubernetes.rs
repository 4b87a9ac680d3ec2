//! Control of the Kubernetes APIs of clusters.

use std::net::SocketAddr;

use serde::Serialize;

use super::Control;
use crate::faults::Fault;
use crate::kube::declared::Declared;
use crate::kube::kubeconfig;
use crate::log::RecordedRequest;

/// A cluster in the control API.
#[derive(Serialize)]
pub(crate) struct ClusterView {
    #[serde(flatten)]
    declared: Declared,
    /// Whether the host name resolves.
    found: bool,
    /// The loopback address that serves the host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<SocketAddr>,
}

/// The network of the pods that run programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PodNetwork {
    /// The number of open connections.
    pub connections: usize,
    /// The maximum number of bytes per second that each connection reads.
    pub read_bytes_per_second: Option<u64>,
}

impl Control {
    /// Creates or updates the Kubernetes API of a cluster that does not exist in Resource Manager.
    pub fn declare_kubernetes(&self, cluster: Declared) {
        self.sandbox.kube.declare(cluster);
    }

    /// Deletes the Kubernetes API of a cluster.
    pub fn forget_kubernetes(&self, fqdn: &str) {
        self.sandbox.kube.remove(fqdn);
    }

    /// The clusters with a Kubernetes API.
    pub fn kubernetes(&self) -> Vec<Declared> {
        self.sandbox.kube.declared().into_iter().map(|(declared, _)| declared).collect()
    }

    pub(crate) fn cluster_views(&self) -> Vec<ClusterView> {
        let address = self.sandbox.kube.runtime().network.kubernetes_address();
        let view = |(declared, found)| ClusterView { declared, found, address };
        self.sandbox.kube.declared().into_iter().map(view).collect()
    }

    /// Sets whether the host name of a cluster resolves while it is running: `true` is like a connection to the network of a
    /// private cluster. Returns `false` if the cluster does not exist.
    pub fn set_reachable(&self, fqdn: &str, reachable: bool) -> bool {
        let Some(cluster) = self.sandbox.kube.cluster(fqdn) else { return false };
        cluster.state().reachable = Some(reachable);
        cluster.request_save();
        true
    }

    /// Replaces all certificates, tokens and the authority of a cluster, as `az aks rotate-certs` does. Returns `false` if the
    /// cluster does not exist, or if new certificates cannot be issued.
    pub fn rotate_certificates(&self, fqdn: &str) -> bool {
        let (kube, now) = (&self.sandbox.kube, self.sandbox.kube.now());
        kube.cluster(fqdn).is_some_and(|cluster| issued_or_logged(fqdn, cluster.rotate(&now)))
    }

    /// Issues another client certificate for the administrator of a cluster, as AKS does before the old one expires. The old
    /// certificate stays valid. Returns `false` if the cluster does not exist, or if the new certificate cannot be issued.
    pub fn renew_client_certificate(&self, fqdn: &str, days: u32) -> bool {
        self.sandbox
            .kube
            .cluster(fqdn)
            .is_some_and(|cluster| issued_or_logged(fqdn, cluster.renew_client(days)))
    }

    /// The administrator's kubeconfig of a cluster, with the address of the sandbox as its server: for programs that
    /// cannot override name resolution, such as kubectl.
    pub fn kubeconfig(&self, fqdn: &str) -> Option<String> {
        let cluster = self.sandbox.kube.cluster(fqdn)?;
        let name = fqdn.split('.').next().unwrap_or_default();
        Some(kubeconfig::admin_by_address(
            &cluster,
            self.sandbox.kube.runtime().network.kubernetes_address()?,
            name,
        ))
    }

    /// Azure's kubeconfig for administrators of a cluster with this `name`.
    pub fn admin_kubeconfig(&self, fqdn: &str, name: &str) -> Option<String> {
        self.sandbox.kube.admin_kubeconfig(fqdn, name)
    }

    /// Whether the programs of [`crate::Options::images`] run.
    pub fn agents_enabled(&self) -> bool {
        self.sandbox.kube.runtime().is_enabled()
    }

    /// Stops the programs in pods, or starts them again. While they are stopped, their pods exist but are not ready, so that
    /// programs outside of the sandbox can replace them.
    pub fn enable_agents(&self, enabled: bool) {
        self.sandbox.kube.runtime().set_enabled(enabled);
    }

    /// The images that new pods cannot pull.
    pub fn unpullable_images(&self) -> Vec<String> {
        self.sandbox.kube.runtime().unpullable()
    }

    /// Sets the images that new pods cannot pull: repositories without a registry, optionally with a tag; `*` for every image.
    /// Pods that wait for an image start once the image is removed from the list.
    pub fn set_unpullable_images(&self, images: Vec<String>) {
        self.sandbox.kube.runtime().set_unpullable(images);
        self.sandbox.kube.signals().controllers_due.notify_one();
    }

    /// The current state of the network of the pods that run programs.
    pub fn pod_network(&self) -> PodNetwork {
        let network = &self.sandbox.kube.runtime().network;
        PodNetwork { connections: network.connections(), read_bytes_per_second: network.read_rate() }
    }

    /// Limits the bytes per second that each connection of a pod reads; `None` removes the limit. A change also
    /// applies to open connections.
    pub fn limit_pod_reads(&self, bytes_per_second: Option<u64>) {
        self.sandbox.kube.runtime().network.set_read_rate(bytes_per_second);
    }

    /// Resets the open connections of pods. New connections are possible immediately.
    pub fn cut_pod_connections(&self) {
        self.sandbox.kube.runtime().network.cut();
    }

    /// Adds a fault for requests to Kubernetes after the active ones. [`Fault::host`] is the host name of a cluster.
    pub fn add_kubernetes_fault(&self, fault: Fault) {
        self.sandbox.kube.traffic().faults.add(fault);
    }

    /// The active faults for requests to Kubernetes.
    pub fn kubernetes_faults(&self) -> Vec<Fault> {
        self.sandbox.kube.traffic().faults.all().to_vec()
    }

    /// Deletes all faults for requests to Kubernetes, and sends delayed responses immediately.
    pub fn clear_kubernetes_faults(&self) {
        let mut traffic = self.sandbox.kube.traffic();
        traffic.faults.clear();
        traffic.faults_cleared.send_replace(());
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

/// Returns whether certificates were issued, and otherwise logs the error.
fn issued_or_logged(fqdn: &str, result: Result<(), crate::authority::Error>) -> bool {
    if let Err(error) = &result {
        tracing::error!(fqdn, error = error as &dyn std::error::Error, "cannot issue certificates");
    }
    result.is_ok()
}
