//! A surface is a group of routes (for example `/v3`, `/meta`, `/k8s`) with the same limits, cross-site rules and error format.
//! [`Surface`] has its rules, which are defined next to the routes; the middleware passes them on in the
//! [`RequestContext`](super::request::RequestContext).

use std::borrow::Cow;
use std::time::Duration;

use axum::response::Response;
use http::StatusCode;

/// The time limit of most surfaces: longer than the timeouts of their handlers, so that the handlers' timeouts expire first.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// The rules that the middleware and the authentication apply to the requests of one surface.
#[derive(Clone, Copy, Debug)]
pub struct Surface {
    /// Whether requests take a permit of the server's concurrency limit.
    pub(super) needs_permit: bool,
    /// The time limit of a response; `None` if the handlers have their own.
    pub(super) timeout: Option<Duration>,
    /// Whether the middleware completes a change, with its audit record, after its client disconnects. `false` if the handlers
    /// do that themselves, or change nothing.
    pub(super) completes_changes: bool,
    /// Whether clients may choose the ID of a request.
    pub(super) accepts_request_ids: bool,
    pub(super) cross_site: CrossSite,
    pub(super) impersonation: Impersonation,
    /// Formats an error that no handler returned.
    pub(super) format_error: fn(&SurfaceError<'_>) -> Response,
    /// Redacts secrets in a path for log lines and error messages.
    pub(super) redact_path: fn(&str) -> Cow<'_, str>,
}

/// The cross-site requests of browsers that are rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CrossSite {
    /// Only changes. A change with a cookie also needs a CSRF token.
    RejectChanges,
    /// All requests, because even a GET uses stored secrets.
    RejectAll,
}

/// The handling of requests with `Impersonate-*` headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Impersonation {
    /// The middleware rejects them.
    Rejected,
    /// The handlers process them.
    Handled,
}

/// An error that is formatted by [`Surface::format_error`]: of the middleware, of the authentication, or for an unknown path.
#[derive(Debug)]
pub(super) struct SurfaceError<'a> {
    pub(super) status: StatusCode,
    /// The `code` in Norman's error format, for example `PermissionDenied`. Other formats ignore it.
    pub(super) code: &'static str,
    pub(super) message: &'a str,
    /// The request ID in the body of a Norman error, for searching the log; only errors of the middleware have it. `/meta`
    /// always writes one, other formats ignore it.
    pub(super) request_id: Option<&'a str>,
    pub(super) retry_seconds: Option<u64>,
}
