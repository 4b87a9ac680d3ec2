//! The shared state of handlers: services and settings. Handlers use the services, not the store and clients below them.

use std::ops::Deref;
use std::sync::Arc;

use http::HeaderValue;
use http::request::Parts;
use tokio::sync::Semaphore;

use super::forwarded::ForwardedConfig;
use super::request_metrics::RequestMetrics;
use crate::service::core::Core;
use crate::service::login_failures::LoginFailures;
use crate::service::plans::Plans;

/// The services, shared by all requests.
#[derive(Clone)]
pub struct AppState(Arc<Inner>);

/// The settings that all requests need.
pub struct HttpOptions {
    pub forwarded: ForwardedConfig,
    /// Origins whose pages may send requests, in lower case.
    pub cors_origins: Vec<String>,
    /// The maximum size of a request's body in bytes.
    pub body_limit: usize,
    /// The maximum number of concurrent requests.
    pub request_limit: usize,
}

/// The state of the middleware. Clones share everything.
#[derive(Clone)]
pub(super) struct HttpState(Arc<HttpInner>);

struct HttpInner {
    options: HttpOptions,
    permits: Arc<Semaphore>,
    request_metrics: RequestMetrics,
}

impl Deref for HttpState {
    type Target = HttpOptions;

    fn deref(&self) -> &HttpOptions {
        &self.0.options
    }
}

impl HttpState {
    pub(super) fn new(options: HttpOptions) -> Self {
        let permits = options.request_limit.clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(HttpInner {
            permits: Arc::new(Semaphore::new(permits)),
            request_metrics: RequestMetrics::new(),
            options,
        }))
    }

    /// The permits of the concurrency limit.
    pub(super) fn permits(&self) -> &Arc<Semaphore> {
        &self.0.permits
    }

    pub(super) fn request_metrics(&self) -> &RequestMetrics {
        &self.0.request_metrics
    }

    /// Whether pages of this origin may send requests.
    pub(super) fn allows_origin(&self, origin: &HeaderValue) -> bool {
        origin
            .to_str()
            .is_ok_and(|origin| self.cors_origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)))
    }
}

struct Inner {
    core: Core,
    plans: Plans,
    http: HttpState,
    login_failures: LoginFailures,
}

impl Deref for AppState {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.0.core
    }
}

impl AppState {
    /// Shares the services. `core` has all except `plans`, which need the planner of the worker.
    pub fn new(core: Core, plans: Plans, http: HttpOptions) -> Self {
        let login_failures = LoginFailures::new(http.request_limit);
        Self(Arc::new(Inner { core, plans, http: HttpState::new(http), login_failures }))
    }

    /// The settings and limits of HTTP.
    pub(super) fn http(&self) -> &HttpState {
        &self.0.http
    }

    /// Previews of the worker's next steps.
    pub(super) fn plans(&self) -> &Plans {
        &self.0.plans
    }

    pub(super) fn login_failures(&self) -> &LoginFailures {
        &self.0.login_failures
    }

    /// `https://host[:port]`, the start of every link in the response to this request.
    pub(super) fn base_url(&self, request: &Parts) -> String {
        self.http().forwarded.base_url(request)
    }

    /// Updates the gauges of the services.
    pub(crate) fn set_gauges(&self) {
        self.listings.set_gauges();
        self.agents.set_gauges();
        let in_flight = u32::try_from(self.kubernetes.in_flight()).unwrap_or(u32::MAX);
        metrics::gauge!("norman_aks_kubernetes_requests_in_flight").set(f64::from(in_flight));
    }
}
