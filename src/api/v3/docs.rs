//! What the operations below `/v3` have in common in the API document.

use utoipa::{IntoParams, IntoResponses};

use crate::api::docs::UnauthorizedError;
use crate::api::norman::error::ErrorBody;

/// How reading can fail.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the failures, which norman::error makes")]
pub(super) enum ReadFailures {
    /// No valid token
    #[response(status = 401)]
    Unauthorized(#[to_schema] UnauthorizedError),
    /// Nothing of that id exists, as far as this caller may know
    #[response(status = 404)]
    NotFound(#[to_schema] ErrorBody<'static>),
    /// A value in the query is not what it must be
    #[response(status = 422)]
    Unprocessable(#[to_schema] ErrorBody<'static>),
    /// The server failed; its log has the cause under the id of the request
    #[response(status = 500)]
    Internal(#[to_schema] ErrorBody<'static>),
    /// The database does not answer; Retry-After tells when to try again
    #[response(status = 503)]
    Unavailable(#[to_schema] ErrorBody<'static>),
}

/// How changing can fail. Nothing was changed then.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the failures, which norman::error makes")]
pub(super) enum ChangeFailures {
    /// No valid token
    #[response(status = 401)]
    Unauthorized(#[to_schema] UnauthorizedError),
    /// Nothing of that id exists, as far as this caller may know; or what the body names does not
    #[response(status = 404)]
    NotFound(#[to_schema] ErrorBody<'static>),
    /// The object was changed by somebody else all the time
    #[response(status = 409)]
    Conflict(#[to_schema] ErrorBody<'static>),
    /// The body is too large
    #[response(status = 413)]
    TooLarge(#[to_schema] ErrorBody<'static>),
    /// The input breaks a rule; `code`, `fieldName` and `message` say which
    #[response(status = 422)]
    Unprocessable(#[to_schema] ErrorBody<'static>),
    /// The server failed; its log has the cause under the id of the request
    #[response(status = 500)]
    Internal(#[to_schema] ErrorBody<'static>),
    /// The database does not answer; Retry-After tells when to try again
    #[response(status = 503)]
    Unavailable(#[to_schema] ErrorBody<'static>),
}

/// Which part of a list is wanted. Every plain field of the type filters too: `?<field>=<value>`, or
/// `?<field>_<modifier>=<value>` with `ne`, `in`, `notin`, `null` or `notnull`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which norman::filters reads")]
pub(super) struct ListQuery {
    /// Only objects of this name.
    #[param(example = "my azure")]
    name: Option<String>,
    /// Objects of a page: 1,000 unless told, at most 10,000.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<u32>,
    /// The id of the last object of the page before.
    marker: Option<String>,
    /// The field to sort by; the id unless told.
    sort: Option<String>,
    /// `asc` or `desc`.
    order: Option<String>,
}

/// How a change is meant.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which the handlers read")]
pub(super) struct ChangeQuery {
    /// `true`: what the body does not name is cleared. Otherwise it stays.
    #[param(rename = "_replace")]
    replace: Option<bool>,
}

/// An action of an object, or another method for clients that can only POST.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which the handlers read")]
pub(super) struct ActionQuery {
    /// The action, as the object's `actions` names it.
    action: Option<String>,
    /// `PUT` or `DELETE`.
    #[param(rename = "_method")]
    method: Option<String>,
}
