//! Answers below `/v3`: JSON, and Norman's headers on every one of them, whoever made it.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, EXPIRES};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use super::json as writer;
use crate::api::state::AppState;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A date in the past, as Norman spells it (contract, section 11).
const LONG_AGO: HeaderValue = HeaderValue::from_static("Wed 24 Feb 1982 18:42:00 GMT");

const X_API_SCHEMAS: HeaderName = HeaderName::from_static("x-api-schemas");

/// `value` as the body, with Go's escapes and a newline at the end.
pub fn json(status: StatusCode, value: &(impl Serialize + ?Sized)) -> Response {
    let mut response = (status, Body::from(writer::to_bytes_line(value))).into_response();
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// Puts `Expires` and `X-Api-Schemas` on every answer below `/v3`; a layer for the whole router, so that
/// answers of other layers have them too.
pub async fn headers(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path != "/v3" && !path.starts_with("/v3/") {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let schemas = format!("{}/v3/schemas", state.base_url(&parts));
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let headers = response.headers_mut();
    headers.insert(EXPIRES, LONG_AGO);
    if let Ok(schemas) = HeaderValue::try_from(schemas) {
        headers.insert(X_API_SCHEMAS, schemas);
    }
    response
}
