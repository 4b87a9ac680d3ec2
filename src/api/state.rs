//! What handlers can reach: services and settings, never a pool, a client or a key.

use std::sync::Arc;

use http::HeaderValue;
use http::request::Parts as RequestParts;

use super::edge::Edge;
use super::origin::Origin;
use crate::service::attempts::Attempts;
use crate::service::cluster_events::ClusterEvents;
use crate::service::clusters::Clusters;
use crate::service::credentials::Credentials;
use crate::service::events::Events;
use crate::service::kubeconfigs::Kubeconfigs;
use crate::service::kubernetes::Kubernetes;
use crate::service::listings::Listings;
use crate::service::members::Members;
use crate::service::nodes::Nodes;
use crate::service::own_tokens::OwnTokens;
use crate::service::plans::Plans;
use crate::service::readiness::Readiness;
use crate::service::registration::Registration;
use crate::service::settings::Settings;
use crate::service::tokens::Tokens;
use crate::service::users::Users;

/// The parts, shared by every request.
#[derive(Clone)]
pub struct AppState(Arc<Inner>);

/// What the server is made of, as `app` hands it over.
pub struct Parts {
    /// Who calls.
    pub tokens: Tokens,
    /// Stored and inline credentials.
    pub credentials: Credentials,
    /// Cluster objects.
    pub clusters: Clusters,
    /// Kubeconfigs for clusters.
    pub kubeconfigs: Kubeconfigs,
    /// The way into clusters.
    pub kubernetes: Kubernetes,
    /// The nodes of clusters.
    pub nodes: Nodes,
    /// What happens to clusters.
    pub cluster_events: ClusterEvents,
    /// What comes next for clusters.
    pub plans: Plans,
    /// Who has a part in which cluster.
    pub members: Members,
    /// How clusters are registered.
    pub registration: Registration,
    /// The callers' own tokens.
    pub own_tokens: OwnTokens,
    /// Who there is.
    pub users: Users,
    /// Named settings.
    pub settings: Settings,
    /// The listing actions.
    pub listings: Listings,
    /// The audit.
    pub events: Events,
    /// Whether the server can work.
    pub readiness: Readiness,
    /// How the server knows its own address and its callers'.
    pub origin: Origin,
    /// Origins whose pages may call, lower case.
    pub cors_origins: Vec<String>,
    /// Bytes of a request's body.
    pub body_limit: usize,
    /// Requests worked on at once.
    pub request_limit: usize,
}

struct Inner {
    parts: Parts,
    edge: Edge,
    attempts: Attempts,
}

impl AppState {
    /// Shares the parts.
    pub fn new(parts: Parts) -> Self {
        let edge = Edge::new(parts.request_limit);
        let attempts = Attempts::new(parts.request_limit);
        Self(Arc::new(Inner { parts, edge, attempts }))
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.0.parts.tokens
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.0.parts.credentials
    }

    pub(crate) fn clusters(&self) -> &Clusters {
        &self.0.parts.clusters
    }

    pub(crate) fn kubeconfigs(&self) -> &Kubeconfigs {
        &self.0.parts.kubeconfigs
    }

    pub(crate) fn kubernetes(&self) -> &Kubernetes {
        &self.0.parts.kubernetes
    }

    pub(crate) fn nodes(&self) -> &Nodes {
        &self.0.parts.nodes
    }

    pub(crate) fn cluster_events(&self) -> &ClusterEvents {
        &self.0.parts.cluster_events
    }

    pub(crate) fn plans(&self) -> &Plans {
        &self.0.parts.plans
    }

    pub(crate) fn members(&self) -> &Members {
        &self.0.parts.members
    }

    pub(crate) fn registration(&self) -> &Registration {
        &self.0.parts.registration
    }

    pub(crate) fn own_tokens(&self) -> &OwnTokens {
        &self.0.parts.own_tokens
    }

    pub(crate) fn users(&self) -> &Users {
        &self.0.parts.users
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.parts.settings
    }

    pub(crate) fn listings(&self) -> &Listings {
        &self.0.parts.listings
    }

    pub(crate) fn events(&self) -> &Events {
        &self.0.parts.events
    }

    pub(crate) fn readiness(&self) -> &Readiness {
        &self.0.parts.readiness
    }

    pub(crate) fn attempts(&self) -> &Attempts {
        &self.0.attempts
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.0.parts.origin
    }

    pub(crate) fn edge(&self) -> &Edge {
        &self.0.edge
    }

    pub(crate) fn body_limit(&self) -> usize {
        self.0.parts.body_limit
    }

    /// `https://host[:port]`, the start of every link in an answer to this request.
    pub(crate) fn base_url(&self, request: &RequestParts) -> String {
        self.0.parts.origin.base_url(request)
    }

    /// Sets the gauges of what the services hold.
    pub(crate) fn set_gauges(&self) {
        #[expect(clippy::cast_precision_loss, reason = "a memory of 2^53 bytes does not exist")]
        metrics::gauge!("norman_aks_cache_bytes").set(self.listings().remembered_bytes() as f64);
        let inside = u32::try_from(self.kubernetes().inside()).unwrap_or(u32::MAX);
        metrics::gauge!("norman_aks_kubernetes_requests_in_flight").set(f64::from(inside));
    }

    /// Whether pages of this origin may call.
    pub(crate) fn allows_origin(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|origin| {
            self.0.parts.cors_origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
        })
    }
}
