//! CORS for pages of the origins in the setting `cors-origins`.
//!
//! The `CorsLayer` of tower-http would respond to every OPTIONS itself. Here, an OPTIONS that is not a preflight is an ordinary
//! request, because the nine actions accept every method.

use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};

use super::state::HttpState;

/// A request with the header `Origin`.
#[derive(Debug)]
pub(super) struct CrossOrigin {
    origin: HeaderValue,
    is_allowed: bool,
    is_preflight: bool,
}

impl CrossOrigin {
    /// `None` for a request without `Origin`.
    pub(super) fn from_parts(http: &HttpState, request: &Parts) -> Option<Self> {
        let origin = request.headers.get(ORIGIN)?.clone();
        let is_allowed = http.allows_origin(&origin);
        let is_preflight =
            request.method == Method::OPTIONS && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        Some(Self { origin, is_allowed, is_preflight })
    }

    /// The response to a preflight, which requires no token; `None` for any other request.
    pub(super) fn preflight_response(&self) -> Option<Response> {
        self.is_preflight.then(|| respond_to_preflight(self.is_allowed))
    }

    /// Adds the CORS headers to a response.
    pub(super) fn add_headers(self, headers: &mut HeaderMap) {
        headers.append(VARY, HeaderValue::from_static("Origin"));
        if self.is_allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.origin);
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            let exposed = HeaderValue::from_static(
                "X-Request-Id, X-API-Cattle-Auth, X-Norman-Aks-Cache, Age, ETag, Retry-After, Warning, X-Api-Schemas",
            );
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}

fn respond_to_preflight(is_allowed: bool) -> Response {
    if !is_allowed {
        return StatusCode::NO_CONTENT.into_response();
    }
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, DELETE"),
        (
            ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type, Cache-Control, If-None-Match, X-API-CSRF",
        ),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}
