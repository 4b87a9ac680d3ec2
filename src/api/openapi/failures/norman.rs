//! The ways to fail below `/v3` and `/api/v1`, in Norman's form.

use serde_json::{Value, json};

use super::{Failure, NORMAN_BODY};
use crate::api::norman::error::DISK_FULL;

fn norman(status: u16, code: &str, message: &str) -> Value {
    json!({"baseType": "error", "code": code, "message": message, "status": status, "type": "error"})
}

pub(super) static NORMAN_NOT_FOUND: Failure = Failure {
    name: "NormanNotFound",
    status: 404,
    description: "Nothing of that id exists, as far as this caller may know; or what the body names does not",
    body: NORMAN_BODY,
    passes: false,
    examples: || vec![("missing", "No such object", norman(404, "NotFound", "c-x7k9z not found"))],
};

pub(super) static NORMAN_FORBIDDEN: Failure = Failure {
    name: "NormanForbidden",
    status: 403,
    description: "The caller may see the object, but not do this to it; or a page of another site made the browser ask",
    body: NORMAN_BODY,
    passes: false,
    examples: || {
        let message = "forbidden: clusters are changed by their owners; you are read-only of c-x7k9z";
        vec![("role", "A part that does not allow it", norman(403, "PermissionDenied", message))]
    },
};

pub(super) static NORMAN_METHOD: Failure = Failure {
    name: "NormanMethodNotAllowed",
    status: 405,
    description: "The query names neither an action nor a method",
    body: NORMAN_BODY,
    passes: false,
    examples: || vec![("post", "A plain POST", norman(405, "MethodNotAllow", "Method POST not supported"))],
};

pub(super) static NORMAN_CONFLICT: Failure = Failure {
    name: "NormanConflict",
    status: 409,
    description: "The object was changed by somebody else all the time",
    body: NORMAN_BODY,
    passes: false,
    examples: || {
        let message = "c-x7k9z was modified concurrently; read it again and repeat the change";
        vec![("changed", "Changed by somebody else", norman(409, "Conflict", message))]
    },
};

pub(super) static NORMAN_TOO_LARGE: Failure = Failure {
    name: "NormanTooLarge",
    status: 413,
    description: "The body is too large",
    body: NORMAN_BODY,
    passes: false,
    examples: || {
        let message = "Failed to parse body: it is larger than 1048576 bytes";
        vec![("large", "More than 1 MiB", norman(413, "InvalidBodyContent", message))]
    },
};

pub(super) static NORMAN_INVALID: Failure = Failure {
    name: "NormanInvalid",
    status: 422,
    description: "The query or the body breaks a rule; `code`, `fieldName` and `message` say which",
    body: NORMAN_BODY,
    passes: false,
    examples: || {
        let mut body = norman(422, "InvalidFormat", "limit must be a whole number between 1 and 10000");
        if let Some(body) = body.as_object_mut() {
            body.insert("fieldName".to_owned(), json!("limit"));
        }
        vec![("query", "A value in the query", body)]
    },
};

pub(super) static NORMAN_BUSY: Failure = Failure {
    name: "NormanTooManyRequests",
    status: 429,
    description: "The caller, or all callers together, have too much of this kind open; Retry-After tells when to try again",
    body: NORMAN_BODY,
    passes: true,
    examples: || {
        let message = "too many follow events at once; close some, or try again in a moment";
        vec![("streams", "Too many streams", norman(429, "TooManyRequests", message))]
    },
};

pub(super) static NORMAN_FAILED: Failure = Failure {
    name: "NormanFailed",
    status: 500,
    description: "The server failed; its log has the cause under the id of the request",
    body: NORMAN_BODY,
    passes: false,
    examples: || {
        let message = "the request failed inside the server; its log has the cause";
        vec![("failed", "The server failed", norman(500, "ServerError", message))]
    },
};

pub(super) static NORMAN_UNAVAILABLE: Failure = Failure {
    name: "NormanUnavailable",
    status: 503,
    description: "The database does not answer, or too much is asked at once; Retry-After tells when to try again",
    body: NORMAN_BODY,
    passes: true,
    examples: || {
        let message = "the database cannot be reached at the moment; try again in a few seconds";
        vec![("database", "No database", norman(503, "ServerError", message))]
    },
};

pub(super) static NORMAN_FULL: Failure = Failure {
    name: "NormanFull",
    status: 507,
    description: "The disk of the database is full, and nothing was saved; Retry-After tells when to try again",
    body: NORMAN_BODY,
    passes: true,
    examples: || vec![("full", "No space left", norman(507, "InsufficientStorage", DISK_FULL))],
};

pub(super) static NORMAN_TIMED_OUT: Failure = Failure {
    name: "NormanTimedOut",
    status: 504,
    description: "The request took too long and was given up; Retry-After tells when to try again",
    body: NORMAN_BODY,
    passes: true,
    examples: || {
        let message = "the request took longer than 60 s and was given up";
        vec![("slow", "Given up", norman(504, "ServerError", message))]
    },
};
