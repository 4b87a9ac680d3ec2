//! Pages of other origins: those that the setting `cors-origins` names may call, nobody else's.
//!
//! Not tower-http's layer, because that answers every OPTIONS itself; here an OPTIONS that is no preflight is an
//! ordinary request, which the nine actions answer like any other.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, Method, StatusCode};

use super::state::AppState;

/// What the page of another origin is told.
#[derive(Debug)]
pub(super) struct OtherOrigin {
    origin: HeaderValue,
    allowed: bool,
    preflight: bool,
}

impl OtherOrigin {
    /// What a request says of the page that it comes from; `None` when it says nothing.
    pub(super) fn of(state: &AppState, request: &Request) -> Option<Self> {
        let origin = request.headers().get(ORIGIN)?.clone();
        let allowed = state.allows_origin(&origin);
        let preflight = request.method() == Method::OPTIONS
            && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        Some(Self { origin, allowed, preflight })
    }

    /// The answer to a preflight, given before anybody is asked for a token; `None` for any other request.
    pub(super) fn preflight(&self) -> Option<Response> {
        self.preflight.then(|| preflight_answer(self.allowed))
    }

    /// Marks the answer.
    pub(super) fn put(self, headers: &mut HeaderMap) {
        headers.append(VARY, HeaderValue::from_static("Origin"));
        if self.allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.origin);
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            let exposed = HeaderValue::from_static(
                "X-Request-Id, X-API-Cattle-Auth, X-Norman-Aks-Cache, Age, Retry-After, Warning, X-Api-Schemas",
            );
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}

fn preflight_answer(allowed: bool) -> Response {
    if !allowed {
        return StatusCode::NO_CONTENT.into_response();
    }
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, DELETE"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, Cache-Control, X-API-CSRF"),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}
