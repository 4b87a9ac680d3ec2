//! Errors as Kubernetes' `Status` object, and the table of statuses and reasons.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::api::norman::error::{DATABASE_UNAVAILABLE, DISK_FULL};
use crate::api::request;
use crate::api::surface::SurfaceError;
use crate::service::kubernetes::ProxyError;

/// The `Retry-After` of transient errors.
const RETRY_SECONDS: u64 = 5;

/// The content security policy of every response: browsers must not run content of a cluster in this server's origin.
pub(super) const CSP_SANDBOX: HeaderValue = HeaderValue::from_static("sandbox");

/// An error as a `Status` object.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Status {
    code: StatusCode,
    reason: &'static str,
    message: String,
    retry_seconds: Option<u64>,
}

impl Status {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), retry_seconds: None }
    }

    /// The token is missing or invalid.
    pub(super) fn unauthorized() -> Self {
        let message = "Unauthorized: send a token of this server as Authorization: Bearer <token>";
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", message)
    }

    /// The request is invalid.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// A transient error, with `Retry-After`.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        let status = Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message);
        Self { retry_seconds: Some(RETRY_SECONDS), ..status }
    }

    /// The cluster is unreachable. Omits `Retry-After`, because kubectl would retry for minutes without printing the message.
    fn unreachable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    }

    /// An internal error, which is logged.
    pub(super) fn internal_error() -> Self {
        let message = "the request failed inside the server; its log has the cause";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    /// An API of Rancher that this server does not implement.
    pub(super) fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
    }

    /// The cluster did not respond in time.
    pub(super) fn timed_out(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message)
    }

    pub(super) fn into_response(self) -> Response {
        let Self { code, reason, message, retry_seconds } = self;
        let mut body = to_object(code, reason, &message);
        if let (Some(seconds), Some(body)) = (retry_seconds, body.as_object_mut()) {
            body.insert("details".to_owned(), json!({"retryAfterSeconds": seconds}));
        }
        let mut response = (code, Body::from(body.to_string())).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_SECURITY_POLICY, CSP_SANDBOX);
        if let Some(seconds) = retry_seconds {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if code == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The `Status` object of a failure.
pub(super) fn to_object(code: StatusCode, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code.as_u16(),
    })
}

impl From<ProxyError> for Status {
    fn from(error: ProxyError) -> Self {
        let message = error.to_string();
        match error {
            ProxyError::OtherCluster(_) => Self::new(StatusCode::FORBIDDEN, "Forbidden", message),
            ProxyError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "NotFound", message),
            ProxyError::NotReady(_) => Self::unreachable(message),
            ProxyError::Ended | ProxyError::Renewed => Self::unavailable(message),
            ProxyError::Busy => {
                let status = Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message);
                Self { retry_seconds: Some(1), ..status }
            }
            ProxyError::TooLarge => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
            }
            ProxyError::TimedOut(ref source) => {
                log(source);
                Self::timed_out(message)
            }
            ProxyError::Unreachable(ref source) => {
                log(source);
                Self::unreachable(message)
            }
            ProxyError::Server(ref source) if source.is_full() => {
                log(source);
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "InsufficientStorage", DISK_FULL)
            }
            ProxyError::Server(ref source) if source.is_unavailable() => {
                log(source);
                Self::unavailable(DATABASE_UNAVAILABLE)
            }
            ProxyError::NoAccess(_) | ProxyError::Rejected { .. } => {
                log(&error);
                Self::unreachable(message)
            }
            ProxyError::Server(_) => {
                log(&error);
                Self::internal_error()
            }
        }
    }
}

fn log(error: &(dyn std::error::Error + 'static)) {
    let request_id = request::current_id();
    tracing::warn!(%request_id, error, "proxied request failed");
}

/// Formats a [`SurfaceError`].
pub(super) fn format(error: &SurfaceError<'_>) -> Response {
    let reason = match error.status {
        StatusCode::FORBIDDEN => "Forbidden",
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
        StatusCode::GATEWAY_TIMEOUT => "Timeout",
        _ => "InternalError",
    };
    Status::new(error.status, reason, error.message).into_response()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn errors_are_kubernetes_status_objects() {
        let response = Status::from(ProxyError::NotReady("it is not there yet")).into_response();
        assert!(!response.headers().contains_key(RETRY_AFTER));
        let response = Status::unavailable("it is not there yet").into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "5");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&body).unwrap(),
            json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "it is not there yet", "reason": "ServiceUnavailable", "code": 503,
                "details": {"retryAfterSeconds": 5},
            })
        );
    }

    #[test]
    fn proxy_errors_map_to_statuses_and_reasons() {
        for (error, code, reason) in [
            (ProxyError::OtherCluster("c-1".to_owned()), 403, "Forbidden"),
            (ProxyError::NotFound("c-1".to_owned()), 404, "NotFound"),
            (ProxyError::Busy, 429, "TooManyRequests"),
            (ProxyError::TooLarge, 413, "RequestEntityTooLarge"),
        ] {
            let status = Status::from(error);
            assert_eq!((status.code.as_u16(), status.reason), (code, reason));
        }
    }
}
