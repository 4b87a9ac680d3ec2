//! Norman's error body, and the table of statuses and codes for errors of services. Causes are logged here; clients get only
//! those of Azure errors.

use std::error::Error as StdError;
use std::fmt;

use aks::mask::mask;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, Method, StatusCode};
use serde::Serialize;

use super::json;
use super::schemas::Schema;
use crate::api::request;
use crate::api::surface::SurfaceError;
use crate::service::{self, Invalid};

/// The `Retry-After` of transient errors without one from Azure.
const RETRY_SECONDS: u64 = 5;

/// The message if the database is unavailable.
pub(in crate::api) const DATABASE_UNAVAILABLE: &str =
    "the server's database does not respond; try again in a few seconds";

/// The message if the disk of the database is full.
pub(in crate::api) const DISK_FULL: &str = "the disk of the server's database is full, and nothing was saved; free space on it, then repeat the request";

/// The `Retry-After` if the disk of the database is full.
pub(in crate::api) const DISK_FULL_RETRY_SECONDS: u64 = 30;

/// An error in Norman's format (`docs/contract/norman-api.md#errors`).
#[derive(Debug)]
pub struct Error {
    status: StatusCode,
    code: &'static str,
    field: Option<String>,
    message: String,
    retry_seconds: Option<u64>,
}

impl Error {
    /// An error without a field.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, field: None, message: message.into(), retry_seconds: None }
    }

    /// No such object, or the caller may not see it.
    pub fn not_found(id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", format!("{} not found", mask(id)))
    }

    /// The type has no such action.
    pub fn unknown_action(action: &str, schema: &Schema) -> Self {
        let names: Vec<_> = schema.actions.iter().map(|(name, _)| *name).collect();
        let message = if names.is_empty() {
            format!("type {} has no actions", schema.id)
        } else {
            format!("type {} has no action {:?}; use {}", schema.id, mask(action), names.join(", "))
        };
        Self::new(StatusCode::NOT_FOUND, "ActionNotAvailable", message)
    }

    /// The path does not support the method.
    pub fn method_not_allowed(method: &Method) -> Self {
        // Rancher's spelling of the code.
        let message = format!("Method {method} not supported");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllow", message)
    }

    /// A transient error.
    pub fn transient(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        retry_seconds: u64,
    ) -> Self {
        Self { retry_seconds: Some(retry_seconds), ..Self::new(status, code, message) }
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self {
            field: invalid.field,
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, invalid.code, invalid.message)
        }
    }
}

impl From<service::Error> for Error {
    fn from(error: service::Error) -> Self {
        use service::Error as E;
        match error {
            E::NotFound { id } => Self::not_found(&id),
            E::ReferenceNotFound { .. } => {
                Self::new(StatusCode::NOT_FOUND, "NotFound", mask(&error.to_string()))
            }
            E::NoCredential => Self {
                field: Some("aksConfig.azureCredentialSecret".to_owned()),
                ..Self::new(StatusCode::NOT_FOUND, "NotFound", error.to_string())
            },
            E::Forbidden(_) => Self::new(StatusCode::FORBIDDEN, "PermissionDenied", error.to_string()),
            E::Invalid(invalid) => invalid.into(),
            E::Conflict { .. } => Self::new(StatusCode::CONFLICT, "Conflict", error.to_string()),
            E::Exists { .. } => Self::new(StatusCode::CONFLICT, "AlreadyExists", error.to_string()),
            E::Rejected(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "InvalidState", error.to_string()),
            E::TooManyEventStreams => Self::transient(
                StatusCode::TOO_MANY_REQUESTS,
                "TooManyRequests",
                error.to_string(),
                RETRY_SECONDS,
            ),
            E::TimedOut { .. } => {
                Self::transient(StatusCode::GATEWAY_TIMEOUT, "ServerError", error.to_string(), RETRY_SECONDS)
            }
            E::Azure { ref source, .. } if source.is_throttled() => {
                let seconds = source.retry_after().map_or(RETRY_SECONDS, |wait| wait.as_secs().max(1));
                log(&error);
                let message = Chain(&error).to_string();
                Self::transient(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message, seconds)
            }
            E::Azure { ref source, .. } if source.is_transient() => {
                let seconds = source.retry_after().map_or(RETRY_SECONDS, |wait| wait.as_secs().max(1));
                log(&error);
                let message = "Azure does not respond at the moment; try again later";
                Self::transient(StatusCode::SERVICE_UNAVAILABLE, "ServerError", message, seconds)
            }
            E::Azure { .. } => {
                log(&error);
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "InvalidState", Chain(&error).to_string())
            }
            E::Store(ref source) if source.is_full() => {
                log(&error);
                Self::transient(
                    StatusCode::INSUFFICIENT_STORAGE,
                    "InsufficientStorage",
                    DISK_FULL,
                    DISK_FULL_RETRY_SECONDS,
                )
            }
            E::Store(ref source) if source.is_unavailable() => {
                log(&error);
                Self::transient(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "ServerError",
                    DATABASE_UNAVAILABLE,
                    RETRY_SECONDS,
                )
            }
            E::Store(_) | E::Vault(_) | E::Corrupt { .. } => {
                log(&error);
                let message = "the request failed inside the server; its log has the cause";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "ServerError", message)
            }
        }
    }
}

fn log(error: &service::Error) {
    let request_id = request::current_id();
    tracing::error!(%request_id, error = %Chain(error), "request failed");
}

/// An error with its causes, each after a colon.
struct Chain<'a>(&'a dyn StdError);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// The body of all errors below `/v3`.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NormanError)]
pub(crate) struct ErrorBody<'a> {
    /// Always `error`.
    #[schema(example = "error")]
    pub(crate) base_type: &'static str,
    /// One of Norman's codes.
    #[schema(example = "MissingRequired")]
    pub(crate) code: &'a str,
    /// The invalid field, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "name")]
    pub(crate) field_name: Option<&'a str>,
    /// The message for users.
    #[schema(example = "name is required")]
    pub(crate) message: &'a str,
    /// The ID of the request in the server's log. Not in every error, but always in the header `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) request_id: Option<&'a str>,
    /// The HTTP status.
    #[schema(example = 422)]
    pub(crate) status: u16,
    /// Always `error`.
    #[schema(example = "error")]
    pub(crate) r#type: &'static str,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        respond(self.status, self.code, self.field.as_deref(), &self.message, None, self.retry_seconds)
    }
}

/// Formats a [`SurfaceError`].
pub(in crate::api) fn format(error: &SurfaceError<'_>) -> Response {
    respond(error.status, error.code, None, error.message, error.request_id, error.retry_seconds)
}

fn respond(
    status: StatusCode,
    code: &str,
    field_name: Option<&str>,
    message: &str,
    request_id: Option<&str>,
    retry_seconds: Option<u64>,
) -> Response {
    let base_type = "error";
    let body = ErrorBody {
        base_type,
        code,
        field_name,
        message,
        request_id,
        status: status.as_u16(),
        r#type: base_type,
    };
    let mut response = json::respond(status, &body);
    if let Some(seconds) = retry_seconds {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;
    use http_body_util::BodyExt;

    use super::*;

    async fn render(error: Error) -> (u16, String) {
        let response = error.into_response();
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn error_body_matches_norman() {
        let invalid = Invalid::field("InvalidFormat", "count", "a < b");
        let (status, body) = render(invalid.into()).await;
        assert_eq!(status, 422);
        let expected = concat!(
            r#"{"baseType":"error","code":"InvalidFormat","fieldName":"count","#,
            r#""message":"a \u003c b","status":422,"type":"error"}"#,
            "\n"
        );
        assert_eq!(body, expected);
        let (_, body) = render(Error::method_not_allowed(&Method::PATCH)).await;
        let expected = concat!(
            r#"{"baseType":"error","code":"MethodNotAllow","#,
            r#""message":"Method PATCH not supported","status":405,"type":"error"}"#,
            "\n"
        );
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn internal_causes_are_not_sent() {
        let source = "row 7 is broken".into();
        let (status, body) = render(service::Error::Corrupt { id: "c-1".to_owned(), source }.into()).await;
        assert_eq!(status, 500);
        assert!(!body.contains("row 7"), "{body}");
    }

    #[tokio::test]
    async fn full_disk_is_507() {
        let full = crate::store::Error::from(sqlx::Error::Io(std::io::ErrorKind::StorageFull.into()));
        let response = Error::from(service::Error::from(full)).into_response();
        assert_eq!(
            (response.status().as_u16(), &response.headers()[RETRY_AFTER]),
            (507, &"30".parse().unwrap())
        );
    }

    #[tokio::test]
    async fn missing_objects_are_named() {
        let (status, body) = render(service::Error::NotFound { id: "x:y".to_owned() }.into()).await;
        assert_eq!(status, 404);
        assert!(body.contains(r#""code":"NotFound","message":"x:y not found""#), "{body}");
    }
}
