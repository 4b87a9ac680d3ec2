//! A surface: a sub-router with its own limits, rules for browsers and error format. Each surface is defined next to its routes;
//! the middleware passes it on in the [`RequestContext`](super::request::RequestContext).

use std::borrow::Cow;
use std::time::Duration;

use axum::response::Response;
use http::StatusCode;

/// Longer than the timeouts of all handlers, so that those expire first.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// The rules for the requests of one sub-router.
#[derive(Clone, Copy, Debug)]
pub struct Surface {
    /// Whether requests take a permit of the server's concurrency limit.
    pub(super) needs_permit: bool,
    /// The time limit of a response; `None` if the handlers have their own.
    pub(super) timeout: Option<Duration>,
    /// Whether a change continues when its client disconnects. The completion of a change and its audit record must not depend on
    /// the client.
    pub(super) completes_changes: bool,
    /// Whether clients may choose the ID of a request.
    pub(super) accepts_request_ids: bool,
    pub(super) cross_site: CrossSite,
    pub(super) impersonation: Impersonation,
    /// Formats an error that no handler returned.
    pub(super) format_error: fn(&SurfaceError<'_>) -> Response,
    /// Hides secrets in a path that is logged or repeated.
    pub(super) redact_path: fn(&str) -> Cow<'_, str>,
}

/// The requests of other sites' pages to reject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CrossSite {
    /// Changes. A cookie authenticates a change only with a CSRF token.
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

/// An error of the middleware or of the authentication.
#[derive(Debug)]
pub(super) struct SurfaceError<'a> {
    pub(super) status: StatusCode,
    /// Norman's code.
    pub(super) code: &'static str,
    pub(super) message: &'a str,
    /// The ID of a request that failed as a whole.
    pub(super) request_id: Option<&'a str>,
    pub(super) retry_seconds: Option<u64>,
}
