//! Requests to Resource Manager: which statuses are successes, and which requests may be repeated.

use std::ops::RangeInclusive;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method};
use reqwest::{Request, Url};
use serde_json::Value;
use uuid::Uuid;

use crate::request_name::RequestName;

/// A request to Resource Manager.
#[derive(Debug)]
pub(super) struct ArmRequest<'a> {
    name: RequestName,
    method: Method,
    url: &'a Url,
    body: Option<Bytes>,
    success_statuses: RangeInclusive<u16>,
    changes_nothing: bool,
}

impl<'a> ArmRequest<'a> {
    pub(super) fn get(name: RequestName, url: &'a Url) -> Self {
        Self::read(name, Method::GET, url)
    }

    /// A request that changes nothing and succeeds with 200. It may be repeated after any transient failure.
    pub(super) fn read(name: RequestName, method: Method, url: &'a Url) -> Self {
        Self { name, method, url, body: None, success_statuses: 200..=200, changes_nothing: true }
    }

    /// A request that changes something; any 2xx is a success. It is repeated only if Azure cannot have accepted it. The
    /// transport's own retries follow the same rule: refused streams, and connections that were closed before use.
    pub(super) fn write(name: RequestName, method: Method, url: &'a Url, body: Option<&Value>) -> Self {
        let body = body.map(|body| Bytes::from(body.to_string()));
        Self { name, method, url, body, success_statuses: 200..=299, changes_nothing: false }
    }

    /// Accepts any 2xx as a success.
    pub(super) fn any_success(self) -> Self {
        Self { success_statuses: 200..=299, ..self }
    }

    pub(super) fn name(&self) -> RequestName {
        self.name
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    pub(super) fn url(&self) -> &Url {
        self.url
    }

    pub(super) fn changes_nothing(&self) -> bool {
        self.changes_nothing
    }

    pub(super) fn is_success(&self, status: u16) -> bool {
        self.success_statuses.contains(&status)
    }

    pub(super) fn to_http(&self) -> Request {
        let mut request = new_request(self.method.clone(), self.url);
        if let Some(body) = &self.body {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.clone().into());
        } else if self.method == Method::POST {
            // Servers reject a POST without a length.
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        request
    }
}

/// A request with the headers common to all requests to Resource Manager.
pub(super) fn new_request(method: Method, url: &Url) -> Request {
    let mut request = Request::new(method, url.clone());
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Ok(id) = HeaderValue::try_from(Uuid::new_v4().to_string()) {
        headers.insert(HeaderName::from_static("x-ms-client-request-id"), id);
    }
    request
}

/// Whether Azure's Go libraries retry after this status (`docs/contract/azure.md#retries`).
pub(super) fn is_retryable_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}
