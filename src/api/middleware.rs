//! The middleware of all requests: ID, concurrency limit, timeout, log line, metrics, CORS and panics. It is a single layer,
//! because each layer adds to the time of every request.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use futures_util::FutureExt as _;
use http::header::{HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tower::{Layer, Service};
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

/// Routes behind their middleware. Implements `Service`, because `axum::middleware::from_fn` would copy each request several
/// times and box its handler two more times.
#[derive(Clone)]
pub(super) struct WithMiddleware<S> {
    middleware: Middleware,
    routes: S,
}

impl<S> Layer<S> for Middleware {
    type Service = WithMiddleware<S>;

    fn layer(&self, routes: S) -> WithMiddleware<S> {
        WithMiddleware { middleware: self.clone(), routes }
    }
}

impl<S> Service<Request> for WithMiddleware<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.routes.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let in_flight = InFlight::start(&self.middleware, &parts);
        match in_flight.admit(&mut parts) {
            ControlFlow::Break(response) => Box::pin(async move { Ok(in_flight.finish(response)) }),
            ControlFlow::Continue(()) => {
                let handler = self.routes.call(Request::from_parts(parts, body));
                Box::pin(async move {
                    let response = in_flight.respond(handler).await;
                    Ok(in_flight.finish(response))
                })
            }
        }
    }
}

/// A request in progress. Dropping it writes its log line and metrics, so that disconnected clients are recorded too.
struct InFlight {
    http: HttpState,
    surface: &'static Surface,
    request_id: Arc<str>,
    method: Method,
    path: String,
    route: Option<MatchedPath>,
    has_token: bool,
    auth_outcome: AuthOutcome,
    cross_origin: Option<CrossOrigin>,
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
            "{}", if self.status.is_some() { "responded" } else { "client disconnected" }
        );
        let route = self.route.as_ref().map_or("unmatched", MatchedPath::as_str);
        self.http.request_metrics().in_flight.decrement(1.0);
        self.http.request_metrics().record(&self.method, route, status, duration);
    }
}

impl InFlight {
    fn start(middleware: &Middleware, parts: &Parts) -> Self {
        let Middleware { http, surface, is_fallback } = middleware;
        http.request_metrics().in_flight.increment(1.0);
        Self {
            surface,
            request_id: request_id(surface, &parts.headers),
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            route: parts.extensions.get::<MatchedPath>().filter(|_| !is_fallback).cloned(),
            has_token: has_token(&parts.headers),
            auth_outcome: AuthOutcome::default(),
            cross_origin: CrossOrigin::from_parts(http, parts),
            started: Instant::now(),
            status: None,
            http: http.clone(),
        }
    }

    /// Adds the context for the handler, or responds without calling the handler.
    fn admit(&self, parts: &mut Parts) -> ControlFlow<Response> {
        let Some(client_ip) = self.http.forwarded.client_ip(parts) else {
            tracing::error!(request_id = %self.request_id, "request has no peer address");
            return ControlFlow::Break(self.error(StatusCode::INTERNAL_SERVER_ERROR));
        };
        if let Some(response) = self.cross_origin.as_ref().and_then(CrossOrigin::preflight_response) {
            return ControlFlow::Break(response);
        }
        let rejects_impersonation = self.surface.impersonation == Impersonation::Rejected;
        if rejects_impersonation && impersonation::is_requested(&parts.headers) {
            return ControlFlow::Break(self.error(StatusCode::FORBIDDEN));
        }
        parts.extensions.insert(RequestContext {
            id: Arc::clone(&self.request_id),
            client_ip,
            surface: self.surface,
            auth_outcome: self.auth_outcome.clone(),
        });
        ControlFlow::Continue(())
    }

    /// The response of the handler, or an error.
    async fn respond<F>(&self, handler: F) -> Response
    where
        F: Future<Output = Result<Response, Infallible>> + Send + 'static,
    {
        let Self { http, surface, request_id, .. } = self;
        let permit = if surface.needs_permit {
            let Some(permit) = acquire_permit(http).await else {
                return self.error(StatusCode::SERVICE_UNAVAILABLE);
            };
            Some(permit)
        } else {
            None
        };
        let caught = AssertUnwindSafe(with_current_id(Arc::clone(request_id), handler)).catch_unwind();
        let timeout = surface.timeout.unwrap_or(Duration::MAX);
        let limited = async move {
            let result = tokio::time::timeout(timeout, caught).await;
            drop(permit);
            result
        };
        let result = if surface.completes_changes && is_change(&self.method) {
            tokio::spawn(limited).await.unwrap_or_else(|error| Ok(Err(Box::new(error))))
        } else {
            limited.await
        };
        let path = || (surface.redact_path)(&self.path);
        // The nested results, from the outside: the timeout, a panic, and the handler, which cannot fail.
        match result {
            Ok(Ok(Ok(response))) => response,
            Ok(Err(_)) => {
                // The panic hook logs the panic; this line associates it with the request.
                tracing::error!(%request_id, path = &*path(), "request panicked");
                self.error(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Err(_) => {
                let limit = REQUEST_TIMEOUT.as_secs();
                tracing::error!(%request_id, path = &*path(), "request timed out after {limit} s");
                self.error(StatusCode::GATEWAY_TIMEOUT)
            }
        }
    }

    /// Adds the headers that all responses have, and sets the status. Dropping `self` writes the log line and the metrics.
    fn finish(mut self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // Omitted if the request has a token that no handler checked. Rancher's responses already have the header.
        if let Some(is_valid) = self.auth_outcome.get().or((!self.has_token).then_some(false))
            && !headers.contains_key(CATTLE_AUTH)
        {
            headers.insert(CATTLE_AUTH, HeaderValue::from_static(if is_valid { "true" } else { "false" }));
        }
        if let Some(cross_origin) = self.cross_origin.take() {
            cross_origin.add_headers(headers);
        }
        if let Ok(id) = HeaderValue::from_str(&self.request_id) {
            headers.insert(REQUEST_ID, id);
        }
        self.status = Some(response.status());
        response
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
                ("ServerError", "too many concurrent requests; try again in a moment")
            }
            StatusCode::GATEWAY_TIMEOUT => ("ServerError", "the request timed out after 60 s"),
            _ => ("ServerError", "the server failed; its log has the cause under the ID of this request"),
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
    let client_id = headers.get(REQUEST_ID).filter(|_| surface.accepts_request_ids);
    client_id.and_then(|id| id.to_str().ok()).filter(is_well_formed).map_or_else(
        || Uuid::now_v7().hyphenated().encode_lower(&mut Uuid::encode_buffer()).into(),
        Arc::from,
    )
}
