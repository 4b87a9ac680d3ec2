//! What the operations below `/v3` have in common in the API document.

use std::collections::BTreeMap;

use utoipa::openapi::{Components, ComponentsBuilder, ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use crate::api::docs::UnauthorizedError;
use crate::api::norman::error::ErrorBody;

/// The bodies of failures. utoipa's derived `IntoResponses` would write them out at every operation, and
/// generated clients would have a type for each.
pub(super) fn components() -> Components {
    ComponentsBuilder::new().schema_from::<ErrorBody<'_>>().schema_from::<UnauthorizedError>().build()
}

/// How reading can fail.
pub(super) struct ReadFailures;

impl IntoResponses for ReadFailures {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        failures(&[
            (401, "No valid token"),
            (404, "Nothing of that id exists, as far as this caller may know"),
            (422, "A value in the query is not what it must be"),
            (500, "The server failed; its log has the cause under the id of the request"),
            (503, "The database does not answer; Retry-After tells when to try again"),
        ])
    }
}

/// How changing can fail. Nothing was changed then.
pub(super) struct ChangeFailures;

impl IntoResponses for ChangeFailures {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        failures(&[
            (401, "No valid token"),
            (
                404,
                "Nothing of that id exists, as far as this caller may know; or what the body names does not",
            ),
            (409, "The object was changed by somebody else all the time"),
            (413, "The body is too large"),
            (422, "The input breaks a rule; `code`, `fieldName` and `message` say which"),
            (500, "The server failed; its log has the cause under the id of the request"),
            (503, "The database does not answer; Retry-After tells when to try again"),
        ])
    }
}

fn failures(statuses: &[(u16, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let response = |(status, description): &(u16, &str)| {
        let body = match status {
            401 => UnauthorizedError::name(),
            _ => ErrorBody::name(),
        };
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(body))).build();
        let response = ResponseBuilder::new().description(*description).content("application/json", content);
        (status.to_string(), response.build().into())
    };
    statuses.iter().map(response).collect()
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
