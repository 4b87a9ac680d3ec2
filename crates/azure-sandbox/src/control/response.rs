//! Responses and errors of the control API over HTTP.

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::response::SandboxResponse;

pub(super) struct ControlError(StatusCode, String);

impl ControlError {
    pub(super) fn bad_request(error: impl ToString) -> Self {
        Self(StatusCode::BAD_REQUEST, error.to_string())
    }

    pub(super) fn no_cluster(fqdn: &str) -> Self {
        Self(StatusCode::NOT_FOUND, format!("cluster '{fqdn}' not found"))
    }
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        json_response(self.0, &serde_json::json!({ "error": self.1 }))
    }
}

pub(super) fn error_response(status: StatusCode, text: &str) -> Response {
    ControlError(status, text.to_owned()).into_response()
}

pub(super) fn json_response(status: StatusCode, body: &impl Serialize) -> Response {
    SandboxResponse::json(status, body).into_response(Body::from)
}

pub(super) fn parse_json<T: DeserializeOwned>(body: &Bytes) -> Result<T, ControlError> {
    serde_json::from_slice(body).map_err(ControlError::bad_request)
}
