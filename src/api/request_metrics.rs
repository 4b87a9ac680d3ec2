//! The metrics of requests. Handles are cached by route, because a lookup in the recorder takes longer than the rest of the
//! middleware.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use http::Method;
use metrics::{Counter, Gauge, Histogram};

/// The metrics of all requests.
pub(super) struct RequestMetrics {
    pub(super) in_flight: Gauge,
    routes: RwLock<HashMap<String, Vec<Responses>>>,
}

/// The metrics of the responses with one status to requests with one method, on one route.
struct Responses {
    method: &'static str,
    status: u16,
    requests: Counter,
    seconds: Histogram,
}

impl RequestMetrics {
    pub(super) fn new() -> Self {
        Self { in_flight: metrics::gauge!("norman_aks_http_requests_in_flight"), routes: RwLock::default() }
    }

    /// Counts a response.
    pub(super) fn record(&self, method: &Method, route: &str, status: u16, duration: Duration) {
        let method = label(method);
        let matches = |responses: &&Responses| responses.status == status && responses.method == method;
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(responses) = routes.get(route).and_then(|route| route.iter().find(matches)) {
            return responses.record(duration);
        }
        drop(routes);
        let responses = Responses {
            method,
            status,
            seconds: metrics::histogram!("norman_aks_http_request_seconds", "method" => method, "route" => route.to_owned()),
            requests: metrics::counter!("norman_aks_http_requests_total", "method" => method, "route" => route.to_owned(), "status" => status.to_string()),
        };
        responses.record(duration);
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let route = routes.entry(route.to_owned()).or_default();
        // Another request may have added this entry in the meantime.
        if route.iter().all(|responses| !matches(&responses)) {
            route.push(responses);
        }
    }
}

impl Responses {
    fn record(&self, duration: Duration) {
        self.requests.increment(1);
        self.seconds.record(duration);
    }
}

/// The label of a method. Clients can invent methods, and labels are never removed.
fn label(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|name| *name == method.as_str()).unwrap_or("other")
}
