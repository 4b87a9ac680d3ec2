//! Answers below `/v3`: JSON, and Norman's headers on every one of them, whoever made it.

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, EXPIRES};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use super::json as writer;
use crate::api::state::AppState;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A date in the past, as Norman spells it (`docs/contract/norman-api.md#response-headers`).
const LONG_AGO: HeaderValue = HeaderValue::from_static("Wed 24 Feb 1982 18:42:00 GMT");

const X_API_SCHEMAS: HeaderName = HeaderName::from_static("x-api-schemas");

/// `value` as the body, with Go's escapes and a newline at the end.
pub fn json(status: StatusCode, value: &(impl Serialize + ?Sized)) -> Response {
    let mut response = (status, Body::from(writer::to_bytes_line(value))).into_response();
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// The headers of every answer below `/v3`, whoever makes it.
#[derive(Debug)]
pub(crate) struct Marks {
    schemas: HeaderValue,
}

impl Marks {
    /// The headers for the answer to this request; `None` elsewhere.
    pub(crate) fn of(state: &AppState, request: Request) -> (Request, Option<Self>) {
        let path = request.uri().path();
        if path != "/v3" && !path.starts_with("/v3/") {
            return (request, None);
        }
        let (parts, body) = request.into_parts();
        let schemas = HeaderValue::try_from(format!("{}/v3/schemas", state.base_url(&parts))).ok();
        (Request::from_parts(parts, body), schemas.map(|schemas| Self { schemas }))
    }

    /// Puts them on the answer.
    pub(crate) fn put(self, headers: &mut HeaderMap) {
        headers.insert(EXPIRES, LONG_AGO);
        headers.insert(X_API_SCHEMAS, self.schemas);
    }
}
