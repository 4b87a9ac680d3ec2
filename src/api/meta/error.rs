//! Errors of the nine actions: Rancher's status and `error` text, with additional keys for users and scripts.

use std::time::Duration;

use aks::mask::mask;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::norman::error::{DATABASE_UNAVAILABLE, DISK_FULL, DISK_FULL_RETRY_SECONDS};
use crate::api::norman::json;
use crate::api::rejection::Rejection;
use crate::api::request;
use crate::api::surface::SurfaceError;
use crate::service::credentials::AccessError;
use crate::service::{self, explain};

/// An error of an action.
#[derive(Debug)]
pub(crate) struct Error {
    status: StatusCode,
    text: String,
    code: Option<String>,
    upstream_status: Option<u16>,
    hint: Option<String>,
    retry_after: Option<Duration>,
    /// Whether the response did not come from Azure and therefore says nothing about the credential.
    is_foreign: bool,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The body of every failure of `/meta/aks…`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MetaError<'a> {
    /// The error, in Rancher's words; the text of an Azure error has several lines.
    #[schema(example = "region is required")]
    error: &'a str,
    /// Azure's own code, for example `AuthorizationFailed` or `AADSTS7000215`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    code: Option<&'a str>,
    /// The HTTP status of Azure's error.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    upstream_status: Option<u16>,
    /// The remedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    hint: Option<&'a str>,
    /// The request ID, under which the server logs the cause.
    request_id: &'a str,
}

impl Error {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            code: None,
            upstream_status: None,
            hint: None,
            retry_after: None,
            is_foreign: false,
            cause: None,
        }
    }

    /// An invalid request: 400.
    pub(crate) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// The server is temporarily unavailable: 503.
    pub(crate) fn unavailable(text: impl Into<String>) -> Self {
        Self { retry_after: Some(Duration::from_secs(2)), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, text) }
    }

    /// Sets the status of `aksCheckCredentials` for permanent errors of Azure. Other errors, and responses that did not come
    /// from Azure, keep their status.
    pub(crate) fn with_permanent_status(mut self, status: StatusCode) -> Self {
        if self.status == StatusCode::BAD_REQUEST && self.cause.is_some() && !self.is_foreign {
            self.status = status;
        }
        self
    }

    /// The error of `aksCheckCredentials`, which has its own text if the tenant cannot be found
    /// (`docs/contract/azure.md#texts-of-tenant-discovery`).
    pub(crate) fn from_credential_check(error: AccessError) -> Self {
        match error {
            AccessError::TenantDiscovery { cloud, unknown, error } => {
                let prefix = format!("could not find tenant ID for Azure environment {cloud}: ");
                Self::from_explanation(&prefix, explain::check_discovery_error(&error))
                    .caused_by(error)
                    .with_unknown_environment(Some(cloud.as_str()).filter(|_| unknown))
            }
            error => error.into(),
        }
    }

    /// Whether the request was rejected or denied, as opposed to a failure.
    pub(super) fn is_rejection(&self) -> bool {
        self.status.is_client_error() && self.retry_after.is_none()
    }

    /// Adds a hint about an unknown `environment`, which may be the cause of an error of Azure.
    pub(super) fn with_unknown_environment(mut self, unknown_environment: Option<&str>) -> Self {
        if let Some(environment) = unknown_environment.filter(|_| self.cause.is_some()) {
            let environment = mask(environment);
            let mut hint = format!(
                "environment {environment} is unknown, so AzurePublicCloud was used; \
                 the others are AzureChinaCloud and AzureUSGovernmentCloud"
            );
            if let Some(previous_hint) = &self.hint {
                hint.push_str("; ");
                hint.push_str(previous_hint);
            }
            self.hint = Some(hint);
        }
        self
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn from_explanation(prefix: &str, explained: explain::Explained) -> Self {
        let status = StatusCode::from_u16(explained.status).unwrap_or(StatusCode::BAD_REQUEST);
        Self {
            code: explained.code,
            upstream_status: explained.upstream_status,
            hint: explained.hint,
            retry_after: explained.retry_after,
            is_foreign: explained.is_foreign,
            ..Self::new(status, format!("{prefix}{}", explained.text))
        }
    }

    pub(super) fn caused_by(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }
}

/// The table of statuses of `/meta`.
impl From<service::Error> for Error {
    fn from(error: service::Error) -> Self {
        match error {
            service::Error::Azure { prefix, source } => {
                Self::from_explanation(prefix, explain::request_error(&source)).caused_by(source)
            }
            service::Error::Rejected(rejection) => Self::bad_request(rejection.to_string()),
            service::Error::Invalid(invalid) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, invalid.to_string())
            }
            service::Error::TimedOut { limit } => {
                let text =
                    format!("context deadline exceeded: Azure did not respond within {} s", limit.as_secs());
                let error = Self::new(StatusCode::GATEWAY_TIMEOUT, text).with_hint("try again in a moment");
                Self { retry_after: Some(Duration::from_secs(5)), ..error }
            }
            service::Error::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            service::Error::Forbidden(_) => Self::new(StatusCode::FORBIDDEN, error.to_string()),
            service::Error::Conflict { .. } | service::Error::Exists { .. } => {
                Self::new(StatusCode::CONFLICT, error.to_string())
            }
            error if error.is_full() => Self {
                retry_after: Some(Duration::from_secs(DISK_FULL_RETRY_SECONDS)),
                ..Self::new(StatusCode::INSUFFICIENT_STORAGE, DISK_FULL)
            }
            .caused_by(error),
            error if error.is_unavailable() => Self::unavailable(DATABASE_UNAVAILABLE).caused_by(error),
            error => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed; its log has the cause")
                .caused_by(error),
        }
    }
}

impl From<AccessError> for Error {
    fn from(error: AccessError) -> Self {
        let unprocessable = |text: &str| Self::new(StatusCode::UNPROCESSABLE_ENTITY, text);
        match error {
            AccessError::InvalidId(id) => Self::bad_request(format!("invalid cloud credential ID {id}"))
                .with_hint("write it as cattle-global-data:cc-…; /v3/cloudcredentials lists the IDs"),
            AccessError::NotFound => unprocessable("cloud credential not found").with_hint(
                "the credential does not exist, or it is another user's: use one of your own, or name a cluster that you may update with clusterId",
            ),
            AccessError::Unusable { id } => unprocessable(&format!("error accessing cloud credential {id}")),
            AccessError::TenantDiscovery { cloud, unknown, error } => {
                Self::from_explanation("", explain::stored_discovery_error(&error))
                    .caused_by(error)
                    .with_unknown_environment(Some(cloud.as_str()).filter(|_| unknown))
            }
            AccessError::Other(error) => error.into(),
        }
    }
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::new(error)
    }
}

impl IntoResponse for Error {
    /// Writes the body, and logs the cause once.
    fn into_response(self) -> Response {
        let request_id = &*request::current_id();
        if let Some(cause) = &self.cause {
            let cause: &(dyn std::error::Error + 'static) = &**cause;
            tracing::warn!(%request_id, status = self.status.as_u16(), error = cause, "action failed");
        }
        let body = MetaError {
            error: &self.text,
            code: self.code.as_deref(),
            upstream_status: self.upstream_status,
            hint: self.hint.as_deref(),
            request_id,
        };
        respond(self.status, &body, self.retry_after.map(|after| after.as_secs().max(1)))
    }
}

/// Formats a [`SurfaceError`].
pub(super) fn format(error: &SurfaceError<'_>) -> Response {
    let current_id = request::current_id();
    let request_id = error.request_id.unwrap_or(&current_id);
    let body = MetaError { error: error.message, code: None, upstream_status: None, hint: None, request_id };
    respond(error.status, &body, error.retry_seconds)
}

fn respond(status: StatusCode, body: &MetaError<'_>, retry_seconds: Option<u64>) -> Response {
    let headers = [(CONTENT_TYPE, "application/json")];
    let mut response = (status, headers, json::to_bytes(body)).into_response();
    if let Some(seconds) = retry_seconds {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
