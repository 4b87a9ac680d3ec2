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
    routes: RwLock<HashMap<String, Vec<ResponseMetrics>>>,
}

/// The metrics of the responses with one status to requests with one method, on one route.
struct ResponseMetrics {
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
        let method = method_label(method);
        let matches = |entry: &&ResponseMetrics| entry.status == status && entry.method == method;
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = routes.get(route).and_then(|entries| entries.iter().find(matches)) {
            return entry.record(duration);
        }
        drop(routes);
        let entry = ResponseMetrics {
            method,
            status,
            seconds: metrics::histogram!("norman_aks_http_request_seconds", "method" => method, "route" => route.to_owned()),
            requests: metrics::counter!("norman_aks_http_requests_total", "method" => method, "route" => route.to_owned(), "status" => status.to_string()),
        };
        entry.record(duration);
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let entries = routes.entry(route.to_owned()).or_default();
        // Another request may have added an equal entry in the meantime.
        if entries.iter().all(|entry| !matches(&entry)) {
            entries.push(entry);
        }
    }
}

impl ResponseMetrics {
    fn record(&self, duration: Duration) {
        self.requests.increment(1);
        self.seconds.record(duration);
    }
}

/// The label of a method. Clients can invent methods, and labels are never removed.
fn method_label(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|name| *name == method.as_str()).unwrap_or("other")
}
