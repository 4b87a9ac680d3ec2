//! The context of a request: the middleware creates it, and handlers, log lines and error responses read it.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use super::surface::Surface;

tokio::task_local! {
    static CURRENT_ID: Arc<str>;
}

/// The context of a request.
#[derive(Clone, Debug)]
pub(super) struct RequestContext {
    /// The ID in the header `X-Request-Id` of the response.
    pub(super) id: Arc<str>,
    pub(super) client_ip: IpAddr,
    pub(super) surface: &'static Surface,
    pub(super) auth_outcome: AuthOutcome,
}

/// Whether the token of a request is valid for its surface. The authentication sets the value, and the middleware reads it.
#[derive(Clone, Debug, Default)]
pub(super) struct AuthOutcome(Arc<OnceLock<bool>>);

impl AuthOutcome {
    pub(super) fn set(&self, is_valid: bool) {
        // A request has only one token, so the first result is final.
        let _ = self.0.set(is_valid);
    }

    /// `None` if no handler checked the token, or it could not be checked.
    pub(super) fn get(&self) -> Option<bool> {
        self.0.get().copied()
    }
}

/// The error of a route without the middleware, which is a bug in the composition of the routers.
#[derive(Debug)]
pub(super) struct MissingContext;

impl IntoResponse for MissingContext {
    fn into_response(self) -> Response {
        tracing::error!("route has no request context");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

impl RequestContext {
    /// The context of the request with these parts.
    pub(super) fn from_parts(parts: &Parts) -> Result<&Self, MissingContext> {
        parts.extensions.get().ok_or(MissingContext)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestContext {
    type Rejection = MissingContext;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingContext> {
        Self::from_parts(parts).cloned()
    }
}

/// Runs a handler so that [`current_id`] returns the ID of its request.
pub(super) async fn with_current_id<F: Future>(id: Arc<str>, handler: F) -> F::Output {
    CURRENT_ID.scope(id, handler).await
}

/// The ID of the current request, for code that has no [`RequestContext`]; empty outside of requests.
pub(crate) fn current_id() -> Arc<str> {
    CURRENT_ID.try_with(Arc::clone).unwrap_or_default()
}
