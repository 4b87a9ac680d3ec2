//! JSON responses.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::json as writer;

/// A response with `value` as the body, with Go's escapes and a final newline.
pub fn json(status: StatusCode, value: &(impl Serialize + ?Sized)) -> Response {
    let mut response = (status, Body::from(writer::to_bytes_line(value))).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
