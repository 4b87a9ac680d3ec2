//! Complete responses of the sandbox.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

/// Azure's content type for JSON.
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

#[derive(Clone, Debug)]
pub(crate) struct SandboxResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The delay before it is sent.
    pub(crate) delay: Duration,
}

impl SandboxResponse {
    /// A response with a serialized body, as JSON unless another content type is set.
    pub(crate) fn new(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, JSON)]);
        Self { status, headers, body: body.into(), delay: Duration::ZERO }
    }

    /// A response with a value as JSON.
    pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Self {
        // Serialization fails only for maps with keys other than strings.
        Self::new(status, serde_json::to_vec(body).unwrap_or_default())
    }

    /// A response of Kubernetes, whose content type has no charset.
    pub(crate) fn kubernetes_json(status: StatusCode, body: &Value) -> Self {
        Self::json(status, body).with("content-type", "application/json")
    }

    /// An error in the envelope of Resource Manager.
    pub(crate) fn arm_error(status: StatusCode, code: &str, message: &str) -> Self {
        Self::json(status, &json!({"error": {"code": code, "message": message}}))
    }

    /// A response without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new(), delay: Duration::ZERO }
    }

    /// Sets a header; an invalid value is ignored.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.headers.insert(name, value);
        }
    }

    /// Whether the response simulates one of a proxy: its content type is not JSON.
    pub(crate) fn simulates_proxy(&self) -> bool {
        let content_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        content_type
            .is_some_and(|content_type| !content_type.to_ascii_lowercase().starts_with("application/json"))
    }

    pub(crate) fn into_response<B>(self, body: impl FnOnce(Bytes) -> B) -> Response<B> {
        let mut response = Response::new(body(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}
