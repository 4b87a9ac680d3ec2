//! The error responses in the API document, from `errors.json`. Each is a component, so that generated clients have one type
//! for it. The code that sends them is in `meta::error`, `norman::error`, `auth` and `middleware`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoResponses;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use super::headers;

/// The error statuses of every operation.
const COMMON_STATUSES: [u16; 4] = [401, 500, 503, 504];

/// The additional error statuses of reads below `/v3`.
pub(in crate::api) const READ_STATUSES: &[u16] = &[403, 404, 422];

/// The additional error statuses of changes below `/v3`.
pub(in crate::api) const CHANGE_STATUSES: &[u16] = &[403, 404, 409, 413, 422, 507];

/// The additional error statuses of a POST to an object below `/v3`.
pub(in crate::api) const POST_STATUSES: &[u16] = &[403, 404, 405, 409, 413, 422, 507];

/// Declares types for sets of error responses, for use in `#[utoipa::path]`.
macro_rules! response_sets {
    ($($name:ident = $responses:expr),*) => {
        $(
            pub(in crate::api) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    $responses
                }
            }
        )*
    };
}

response_sets! {
    ReadFailures = norman(READ_STATUSES),
    ChangeFailures = norman(CHANGE_STATUSES),
    CheckFailures = credential_check(),
    ReviewFailures = norman(&[403, 404, 413, 422]),
    FollowFailures = norman(&[404, 422, 429]),
    PlanFailures = norman(&[404]),
    UpgradePlanFailures = norman(&[404, 422]),
    AuditFailures = norman(&[403, 422]),
    CatalogFailures = norman(&[403, 404, 422, 429])
}

/// An error response.
#[derive(Deserialize)]
struct Failure {
    status: u16,
    description: String,
    /// The component of the body.
    body: String,
    examples: BTreeMap<String, Example>,
}

#[derive(Deserialize)]
struct Example {
    summary: String,
    value: Value,
}

static FAILURES: LazyLock<BTreeMap<String, Failure>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("errors.json")).unwrap_or_else(|error| {
        tracing::error!(%error, "cannot parse the errors of the API document");
        BTreeMap::new()
    })
});

/// The errors of actions of `/meta`.
pub(in crate::api) fn meta() -> BTreeMap<String, RefOr<Response>> {
    references(|name, _| name == "Unauthorized" || name.starts_with("Meta"))
}

/// The errors of aksCheckCredentials.
fn credential_check() -> BTreeMap<String, RefOr<Response>> {
    references(|name, status| name == "CredentialRefused" || (name.starts_with("Meta") && status != 422))
}

/// The errors in Norman's format with the statuses of every operation and the additional `statuses`.
pub(in crate::api) fn norman(statuses: &[u16]) -> BTreeMap<String, RefOr<Response>> {
    references(|name, status| {
        let is_included = COMMON_STATUSES.contains(&status) || statuses.contains(&status);
        is_included && (name == "Unauthorized" || name.starts_with("Norman"))
    })
}

/// References to the components that `includes` selects by name and status. The keys are statuses.
fn references(includes: impl Fn(&str, u16) -> bool) -> BTreeMap<String, RefOr<Response>> {
    let failures = FAILURES.iter().filter(|(name, failure)| includes(name, failure.status));
    failures
        .map(|(name, failure)| (failure.status.to_string(), Ref::from_response_name(name).into()))
        .collect()
}

/// All components, by name.
pub(super) fn components() -> BTreeMap<String, RefOr<Response>> {
    FAILURES.iter().map(|(name, failure)| (name.clone(), failure.response().into())).collect()
}

impl Failure {
    fn response(&self) -> Response {
        let examples = self.examples.iter().map(|(name, Example { summary, value })| {
            (name, ExampleBuilder::new().summary(summary).value(Some(value.clone())).build())
        });
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(&self.body)))
            .examples_from_iter(examples)
            .build();
        let response = ResponseBuilder::new()
            .description(&self.description)
            .content("application/json", content)
            .header_ref(headers::REQUEST_ID, headers::reference(headers::REQUEST_ID));
        let is_transient = matches!(self.status, 429 | 503 | 504 | 507);
        let retry_after = is_transient.then(|| headers::reference(headers::RETRY_AFTER));
        retry_after
            .into_iter()
            .fold(response, |response, header| response.header_ref(headers::RETRY_AFTER, header))
            .build()
    }
}
