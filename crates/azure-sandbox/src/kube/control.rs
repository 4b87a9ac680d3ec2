//! The part of the control that is about the insides of clusters, in process and over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post, put};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Declared, UserFormat, kubeconfig};
use crate::control::{Control, Refused, parsed, sent};
use crate::faults::Fault;
use crate::log::Seen;

/// A cluster as the control shows it.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    declared: Declared,
    /// Whether its host name is found from here.
    found: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reachable {
    reachable: bool,
}

impl Control {
    /// Makes or updates a cluster by hand, without Resource Manager knowing of it.
    pub fn declare_kubernetes(&self, cluster: Declared) {
        self.world.kubes.declare(cluster);
    }

    /// Ends the Kubernetes API of a cluster.
    pub fn forget_kubernetes(&self, fqdn: &str) {
        self.world.kubes.forget(fqdn);
    }

    /// The clusters with a Kubernetes API.
    pub fn kubernetes(&self) -> Vec<Declared> {
        self.world.kubes.clusters().iter().map(|cluster| cluster.state().declared.clone()).collect()
    }

    /// Lets the host name of a cluster be found from here, or not: as when a network is opened to a private cluster, or
    /// closed. `false` when there is no such cluster.
    pub fn make_reachable(&self, fqdn: &str, reachable: bool) -> bool {
        let Some(cluster) = self.world.kubes.cluster(fqdn) else { return false };
        cluster.state().reachable = Some(reachable);
        cluster.touch();
        true
    }

    /// Replaces every certificate, token and authority of a cluster, as `az aks rotate-certs` does. `false` when there is no
    /// such cluster.
    pub fn rotate_certificates(&self, fqdn: &str) -> bool {
        let (kubes, now) = (&self.world.kubes, self.world.kubes.now());
        kubes.cluster(fqdn).is_some_and(|cluster| certified(fqdn, cluster.rotate(&now)))
    }

    /// Issues another client certificate for the administrator of a cluster, as AKS does some time before one ends; the
    /// one before stays good. `false` when there is no such cluster.
    pub fn renew_client_certificate(&self, fqdn: &str, days: u32) -> bool {
        self.world.kubes.cluster(fqdn).is_some_and(|cluster| certified(fqdn, cluster.renew_client(days)))
    }

    /// The administrator's kubeconfig of a cluster, whose server is the sandbox's own address: for programs that cannot
    /// be told where host names lead to, such as kubectl.
    pub fn kubeconfig(&self, fqdn: &str) -> Option<String> {
        let cluster = self.world.kubes.cluster(fqdn)?;
        let name = fqdn.split('.').next().unwrap_or_default();
        Some(kubeconfig::direct(&cluster, *self.world.kubernetes_address.get()?, name))
    }

    /// The kubeconfig that Azure gives to administrators of a cluster that it calls `name`.
    pub fn admin_kubeconfig(&self, fqdn: &str, name: &str) -> Option<String> {
        self.world.kubes.admin_kubeconfig(fqdn, name)
    }

    /// The kubeconfig that Azure gives to users of a cluster that it calls `name`.
    pub fn user_kubeconfig(&self, fqdn: &str, name: &str, format: UserFormat) -> Option<String> {
        self.world.kubes.user_kubeconfig(fqdn, name, format)
    }

    /// Adds a fault for requests to Kubernetes, behind those that are in force. [`Fault::host`] is a cluster's.
    pub fn add_kubernetes_fault(&self, fault: Fault) {
        self.world.kubes.traffic().faults.add(fault);
    }

    /// The faults for requests to Kubernetes.
    pub fn kubernetes_faults(&self) -> Vec<Fault> {
        self.world.kubes.traffic().faults.all()
    }

    /// Ends all trouble with Kubernetes.
    pub fn clear_kubernetes_faults(&self) {
        self.world.kubes.traffic().faults.clear();
    }

    /// The last 10,000 requests to Kubernetes, oldest first.
    pub fn kubernetes_requests(&self) -> Vec<Seen> {
        self.world.kubes.traffic().log.all()
    }

    /// Forgets the requests to Kubernetes so far.
    pub fn clear_kubernetes_requests(&self) {
        self.world.kubes.traffic().log.clear();
    }
}

/// The part of the control API below `/kubernetes`.
pub(crate) fn router() -> Router<Control> {
    Router::new()
        .route("/kubernetes/clusters", get(clusters))
        .route("/kubernetes/clusters/{fqdn}", put(declare).delete(forget))
        .route("/kubernetes/clusters/{fqdn}/kubeconfig", get(config))
        .route("/kubernetes/clusters/{fqdn}/reachable", put(reach))
        .route("/kubernetes/clusters/{fqdn}/certificates", post(certify))
        .route("/kubernetes/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/kubernetes/requests", get(requests).delete(clear_requests))
}

/// What is to become of a cluster's certificates.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Certificates {
    /// How long another client certificate is to be good; without it, everything is replaced.
    #[serde(default)]
    client_days: Option<u32>,
}

fn certified(fqdn: &str, outcome: Result<(), crate::authority::Error>) -> bool {
    if let Err(error) = &outcome {
        tracing::error!(fqdn, error = error as &dyn std::error::Error, "cannot issue certificates");
    }
    outcome.is_ok()
}

fn unknown(fqdn: &str) -> Refused {
    Refused(StatusCode::NOT_FOUND, format!("there is no cluster '{fqdn}'"))
}

async fn clusters(State(control): State<Control>) -> Response {
    let shown = |cluster: &Arc<super::Cluster>| {
        let found = cluster.is_found();
        Shown { declared: cluster.state().declared.clone(), found }
    };
    let clusters: Vec<_> = control.world.kubes.clusters().iter().map(shown).collect();
    sent(StatusCode::OK, &clusters)
}

async fn declare(
    State(control): State<Control>,
    Path(fqdn): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refused> {
    let cluster: Declared = parsed(&body)?;
    control.declare_kubernetes(Declared { fqdn, ..cluster });
    control.world.kubes.saved().await;
    Ok(StatusCode::NO_CONTENT)
}

async fn forget(State(control): State<Control>, Path(fqdn): Path<String>) -> StatusCode {
    control.forget_kubernetes(&fqdn);
    StatusCode::NO_CONTENT
}

async fn config(State(control): State<Control>, Path(fqdn): Path<String>) -> Result<String, Refused> {
    control.kubeconfig(&fqdn).ok_or_else(|| unknown(&fqdn))
}

async fn reach(
    State(control): State<Control>,
    Path(fqdn): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refused> {
    let Reachable { reachable } = parsed(&body)?;
    if !control.make_reachable(&fqdn, reachable) {
        return Err(unknown(&fqdn));
    }
    control.world.kubes.saved().await;
    Ok(StatusCode::NO_CONTENT)
}

async fn certify(
    State(control): State<Control>,
    Path(fqdn): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refused> {
    let Certificates { client_days } = parsed(&body)?;
    let done = match client_days {
        Some(days) => control.renew_client_certificate(&fqdn, days),
        None => control.rotate_certificates(&fqdn),
    };
    if !done {
        return Err(unknown(&fqdn));
    }
    control.world.kubes.saved().await;
    Ok(StatusCode::NO_CONTENT)
}

async fn faults(State(control): State<Control>) -> Response {
    sent(StatusCode::OK, &control.kubernetes_faults())
}

async fn add_fault(State(control): State<Control>, body: Bytes) -> Result<Response, Refused> {
    let fault: Fault = parsed(&body)?;
    control.add_kubernetes_fault(fault.clone());
    Ok(sent(StatusCode::CREATED, &fault))
}

async fn clear_faults(State(control): State<Control>) -> StatusCode {
    control.clear_kubernetes_faults();
    StatusCode::NO_CONTENT
}

async fn requests(State(control): State<Control>) -> Response {
    sent(StatusCode::OK, &control.kubernetes_requests())
}

async fn clear_requests(State(control): State<Control>) -> StatusCode {
    control.clear_kubernetes_requests();
    StatusCode::NO_CONTENT
}
