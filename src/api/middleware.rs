//! The middleware of all requests: ID, concurrency limit, timeout, log line, metrics, CORS and panics. It is a single layer,
//! because each layer adds to the time of every request.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt as _;
use http::header::{HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use uuid::Uuid;

use super::auth::has_token;
use super::cors::CrossOrigin;
use super::impersonation;
use super::request::{AuthOutcome, RequestContext, with_current_id};
use super::state::HttpState;
use super::surface::{Impersonation, REQUEST_TIMEOUT, Surface, SurfaceError};

/// The maximum time that a request waits for a permit.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(2);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Whether the token of the request is valid. On `false`, the dashboard logs its user out.
const CATTLE_AUTH: HeaderName = HeaderName::from_static("x-api-cattle-auth");

/// The middleware of one surface.
#[derive(Clone)]
pub(super) struct Middleware {
    pub(super) http: HttpState,
    pub(super) surface: &'static Surface,
    /// Whether the routes are the surface's fallback. Metrics label them `unmatched`.
    pub(super) is_fallback: bool,
}

/// A request in progress. Dropping it writes its log line and metrics, so that disconnected clients are recorded too.
struct InFlight {
    http: HttpState,
    surface: &'static Surface,
    request_id: Arc<str>,
    method: Method,
    path: String,
    route: Option<MatchedPath>,
    started: Instant,
    /// `None` until there is a response.
    status: Option<StatusCode>,
}

/// The status for clients that disconnect, as in nginx.
const CLIENT_GONE: u16 = 499;

impl Drop for InFlight {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        let status = self.status.map_or(CLIENT_GONE, |status| status.as_u16());
        // Queries are omitted, because clients may put secrets there.
        tracing::info!(
            target: "norman_aks::request",
            request_id = %self.request_id,
            method = %self.method,
            path = &*(self.surface.redact_path)(&self.path),
            status,
            duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            "{}", if self.status.is_some() { "answered" } else { "the client went away" }
        );
        let route = self.route.as_ref().map_or("unmatched", MatchedPath::as_str);
        self.http.request_metrics().in_flight.decrement(1.0);
        self.http.request_metrics().record(&self.method, route, status, duration);
    }
}

/// Handles a request.
pub(super) async fn serve(State(layer): State<Middleware>, request: Request, next: Next) -> Response {
    let Middleware { http, surface, is_fallback } = layer;
    let (mut parts, body) = request.into_parts();
    let cross_origin = CrossOrigin::from_parts(&http, &parts);
    let request_id = request_id(surface, &parts.headers);
    http.request_metrics().in_flight.increment(1.0);
    let mut in_flight = InFlight {
        surface,
        request_id: Arc::clone(&request_id),
        method: parts.method.clone(),
        path: parts.uri.path().to_owned(),
        route: parts.extensions.get::<MatchedPath>().filter(|_| !is_fallback).cloned(),
        started: Instant::now(),
        status: None,
        http,
    };
    let (auth_outcome, has_token) = (AuthOutcome::default(), has_token(&parts.headers));
    let client_ip = in_flight.http.forwarded.client_ip(&parts);
    let mut response = if let Some(client_ip) = client_ip {
        let auth_outcome = auth_outcome.clone();
        let context = RequestContext { id: Arc::clone(&request_id), client_ip, surface, auth_outcome };
        parts.extensions.insert(context);
        respond(&in_flight, cross_origin.as_ref(), Request::from_parts(parts, body), next).await
    } else {
        tracing::error!(%request_id, "request has no peer address");
        in_flight.error(StatusCode::INTERNAL_SERVER_ERROR)
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Omitted if no handler checked the token. Rancher's responses already have the header.
    if let Some(is_valid) = auth_outcome.get().or((!has_token).then_some(false))
        && !headers.contains_key(CATTLE_AUTH)
    {
        headers.insert(CATTLE_AUTH, HeaderValue::from_static(if is_valid { "true" } else { "false" }));
    }
    if let Some(cross_origin) = cross_origin {
        cross_origin.add_headers(headers);
    }
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID, id);
    }
    in_flight.status = Some(response.status());
    response
}

/// The response of the handler, or an error.
async fn respond(
    in_flight: &InFlight,
    cross_origin: Option<&CrossOrigin>,
    request: Request,
    next: Next,
) -> Response {
    let InFlight { http, surface, request_id, .. } = in_flight;
    if let Some(response) = cross_origin.and_then(CrossOrigin::preflight) {
        return response;
    }
    if surface.impersonation == Impersonation::Rejected && impersonation::is_requested(request.headers()) {
        return in_flight.error(StatusCode::FORBIDDEN);
    }
    let permit = if surface.needs_permit {
        let Some(permit) = acquire_permit(http).await else {
            return in_flight.error(StatusCode::SERVICE_UNAVAILABLE);
        };
        Some(permit)
    } else {
        None
    };
    let handler = AssertUnwindSafe(with_current_id(Arc::clone(request_id), next.run(request))).catch_unwind();
    let timeout = surface.timeout.unwrap_or(Duration::MAX);
    let handler = async move {
        let result = tokio::time::timeout(timeout, handler).await;
        drop(permit);
        result
    };
    let result = if surface.completes_changes && is_change(&in_flight.method) {
        tokio::spawn(handler).await.unwrap_or_else(|error| Ok(Err(Box::new(error))))
    } else {
        handler.await
    };
    let path = &*(surface.redact_path)(&in_flight.path);
    match result {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            // The panic hook logs the panic; this line associates it with the request.
            tracing::error!(%request_id, path, "a request ended in a panic");
            in_flight.error(StatusCode::INTERNAL_SERVER_ERROR)
        }
        Err(_) => {
            tracing::error!(%request_id, path, "a request took longer than {} s", REQUEST_TIMEOUT.as_secs());
            in_flight.error(StatusCode::GATEWAY_TIMEOUT)
        }
    }
}

/// Acquires a permit of the concurrency limit, with a timeout.
async fn acquire_permit(http: &HttpState) -> Option<OwnedSemaphorePermit> {
    // Does not overtake waiting requests: a permit is free only if no request is waiting.
    if let Ok(permit) = Arc::clone(http.permits()).try_acquire_owned() {
        return Some(permit);
    }
    let permit = Arc::clone(http.permits()).acquire_owned();
    tokio::time::timeout(PERMIT_TIMEOUT, permit).await.ok()?.ok()
}

impl InFlight {
    /// An error that no handler returned, in the format of the surface.
    fn error(&self, status: StatusCode) -> Response {
        let (code, message) = match status {
            StatusCode::FORBIDDEN => ("PermissionDenied", impersonation::MESSAGE),
            StatusCode::SERVICE_UNAVAILABLE => {
                ("ServerError", "too many requests at once; try again in a moment")
            }
            StatusCode::GATEWAY_TIMEOUT => {
                ("ServerError", "the request took longer than 60 s and was given up")
            }
            _ => ("ServerError", "the server failed; its log has the cause under the id of this request"),
        };
        let is_transient = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT);
        (self.surface.format_error)(&SurfaceError {
            status,
            code,
            message,
            request_id: Some(&self.request_id),
            retry_seconds: is_transient.then_some(2),
        })
    }
}

/// Whether a request may change something.
fn is_change(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE)
}

/// The ID chosen by the client or a proxy if it is well-formed, else a new one.
fn request_id(surface: &Surface, headers: &HeaderMap) -> Arc<str> {
    let is_well_formed = |id: &&str| {
        (8..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let chosen = headers.get(REQUEST_ID).filter(|_| surface.accepts_request_ids);
    chosen.and_then(|id| id.to_str().ok()).filter(is_well_formed).map_or_else(
        || Uuid::now_v7().hyphenated().encode_lower(&mut Uuid::encode_buffer()).into(),
        Arc::from,
    )
}
