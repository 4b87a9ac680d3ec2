//! Errors as Kubernetes' `Status` objects.

use super::value::FieldAccess as _;
use http::StatusCode;
use serde_json::{Value, json};

use super::resources::Resource;
use crate::response::SandboxResponse;

/// An error response.
#[derive(Clone, Debug)]
pub(crate) struct StatusError {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) details: Value,
    /// Whether the response is plain text, as for unknown paths.
    is_plain_text: bool,
}

/// An invalid field.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    pub(crate) reason: &'static str,
    /// The message after the field name.
    pub(crate) message: String,
    pub(crate) field: String,
}

impl StatusError {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Value::Null, is_plain_text: false }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "InternalError", format!("Internal error occurred: {}", message.into()))
    }

    /// The path does not exist.
    pub(crate) fn no_such_path() -> Self {
        Self { is_plain_text: true, ..Self::new(404, "NotFound", "404 page not found") }
    }

    pub(crate) fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.qualified());
        Self::new(404, "NotFound", message).with_details(resource.group, resource.plural, name)
    }

    pub(crate) fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", resource.qualified());
        Self::new(409, "AlreadyExists", message).with_details(resource.group, resource.plural, name)
    }

    /// A concurrent change, or a failed precondition.
    pub(crate) fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.qualified());
        Self::new(409, "Conflict", message).with_details(resource.group, resource.plural, name)
    }

    pub(crate) fn modified(resource: &Resource, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    pub(crate) fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("{} \"{name}\" is forbidden: {why}", resource.qualified());
        Self::new(403, "Forbidden", message).with_details(resource.group, resource.plural, name)
    }

    pub(crate) fn invalid(resource: &Resource, name: &str, causes: Vec<Cause>) -> Self {
        let messages: Vec<_> =
            causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let messages = match messages.as_slice() {
            [only] => only.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let kind = resource.qualified_kind();
        let message = format!("{kind} \"{name}\" is invalid: {messages}");
        let error = Self::new(422, "Invalid", message).with_details(resource.group, resource.kind, name);
        error.with_causes(causes)
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    pub(crate) fn expired(since: u64, oldest: u64) -> Self {
        Self::new(410, "Expired", format!("too old resource version: {since} ({oldest})"))
    }

    pub(crate) fn unsupported(accepted: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    pub(crate) fn not_acceptable(accepted: &str) -> Self {
        let message = format!("only the following media types are accepted: {accepted}");
        Self::new(406, "NotAcceptable", message)
    }

    #[must_use]
    pub(crate) fn with_details(mut self, group: &str, kind: &str, name: &str) -> Self {
        let mut details = json!({});
        for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
            if !value.is_empty() {
                *details.field_mut(key) = value.into();
            }
        }
        self.details = details;
        self
    }

    #[must_use]
    pub(crate) fn with_causes(mut self, causes: Vec<Cause>) -> Self {
        let causes: Vec<_> = causes
            .into_iter()
            .map(|cause| json!({"reason": cause.reason, "message": cause.message, "field": cause.field}))
            .collect();
        super::value::set(&mut self.details, &["causes"], causes);
        self
    }

    /// The `Status` object.
    pub(crate) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        });
        if !self.details.is_null() {
            *status.field_mut("details") = self.details.clone();
        }
        status
    }

    pub(crate) fn to_response(&self) -> SandboxResponse {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if self.is_plain_text {
            let text = format!("{}\n", self.message);
            let mut response = SandboxResponse::new(code, text);
            response.set("content-type", "text/plain; charset=utf-8");
            return response;
        }
        SandboxResponse::kubernetes_json(code, &self.status())
    }
}

impl Cause {
    pub(crate) fn required(field: &str, why: &str) -> Self {
        let message =
            if why.is_empty() { "Required value".to_owned() } else { format!("Required value: {why}") };
        Self { reason: "FieldValueRequired", message, field: field.to_owned() }
    }

    pub(crate) fn invalid(field: &str, value: &Value, why: &str) -> Self {
        let message = format!("Invalid value: {value}: {why}");
        Self { reason: "FieldValueInvalid", message, field: field.to_owned() }
    }
}
