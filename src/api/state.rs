//! What handlers can reach: services and settings, never a pool, a client or a key.

use std::sync::Arc;

use http::HeaderValue;
use http::request::Parts as RequestParts;

use super::edge::Edge;
use super::origin::Origin;
use crate::service::attempts::Attempts;
use crate::service::cluster_events::ClusterEvents;
use crate::service::clusters::Clusters;
use crate::service::core::Core;
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

/// How requests are received, as the settings say.
pub struct Options {
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
    core: Core,
    plans: Plans,
    options: Options,
    edge: Edge,
    attempts: Attempts,
}

impl AppState {
    /// Shares the parts.
    pub fn new(core: Core, plans: Plans, options: Options) -> Self {
        let edge = Edge::new(options.request_limit);
        let attempts = Attempts::new(options.request_limit);
        Self(Arc::new(Inner { core, plans, options, edge, attempts }))
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.0.core.tokens
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.0.core.credentials
    }

    pub(crate) fn clusters(&self) -> &Clusters {
        &self.0.core.clusters
    }

    pub(crate) fn kubeconfigs(&self) -> &Kubeconfigs {
        &self.0.core.kubeconfigs
    }

    pub(crate) fn kubernetes(&self) -> &Kubernetes {
        &self.0.core.kubernetes
    }

    pub(crate) fn nodes(&self) -> &Nodes {
        &self.0.core.nodes
    }

    pub(crate) fn cluster_events(&self) -> &ClusterEvents {
        &self.0.core.cluster_events
    }

    pub(crate) fn plans(&self) -> &Plans {
        &self.0.plans
    }

    pub(crate) fn members(&self) -> &Members {
        &self.0.core.members
    }

    pub(crate) fn registration(&self) -> &Registration {
        &self.0.core.registration
    }

    pub(crate) fn own_tokens(&self) -> &OwnTokens {
        &self.0.core.own_tokens
    }

    pub(crate) fn users(&self) -> &Users {
        &self.0.core.users
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.core.settings
    }

    pub(crate) fn listings(&self) -> &Listings {
        &self.0.core.listings
    }

    pub(crate) fn events(&self) -> &Events {
        &self.0.core.events
    }

    pub(crate) fn readiness(&self) -> &Readiness {
        &self.0.core.readiness
    }

    pub(crate) fn attempts(&self) -> &Attempts {
        &self.0.attempts
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.0.options.origin
    }

    pub(crate) fn edge(&self) -> &Edge {
        &self.0.edge
    }

    pub(crate) fn body_limit(&self) -> usize {
        self.0.options.body_limit
    }

    /// `https://host[:port]`, the start of every link in an answer to this request.
    pub(crate) fn base_url(&self, request: &RequestParts) -> String {
        self.0.options.origin.base_url(request)
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
            self.0.options.cors_origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
        })
    }
}
