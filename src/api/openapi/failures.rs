//! The error responses of operations, from `errors.json`. Each is a component of the document, so that generated clients have one
//! type for it. The responses are built in `meta::error`, `norman::error`, `auth` and `middleware`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoResponses;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use super::headers;

/// Actions of `/meta`.
pub(in crate::api) const META: &[&str] = &[
    "MetaBadRequest",
    "Unauthorized",
    "MetaForbidden",
    "MetaUnprocessable",
    "MetaThrottled",
    "MetaFailed",
    "MetaUnavailable",
    "MetaTimedOut",
];

/// aksCheckCredentials.
pub(in crate::api) const CHECK: &[&str] = &[
    "MetaBadRequest",
    "CredentialRefused",
    "MetaForbidden",
    "MetaThrottled",
    "MetaFailed",
    "MetaUnavailable",
    "MetaTimedOut",
];

/// Reads below `/v3`.
pub(in crate::api) const READ: &[&str] = &[
    "Unauthorized",
    "NormanForbidden",
    "NormanNotFound",
    "NormanInvalid",
    "NormanFailed",
    "NormanUnavailable",
    "NormanTimedOut",
];

/// Changes below `/v3`.
pub(in crate::api) const CHANGE: &[&str] = &[
    "Unauthorized",
    "NormanForbidden",
    "NormanNotFound",
    "NormanConflict",
    "NormanTooLarge",
    "NormanInvalid",
    "NormanFailed",
    "NormanUnavailable",
    "NormanTimedOut",
    "NormanFull",
];

/// The POST of an object.
pub(in crate::api) const POST: &[&str] = &[
    "Unauthorized",
    "NormanForbidden",
    "NormanNotFound",
    "NormanMethodNotAllowed",
    "NormanConflict",
    "NormanTooLarge",
    "NormanInvalid",
    "NormanFailed",
    "NormanUnavailable",
    "NormanTimedOut",
    "NormanFull",
];

/// Reviews.
pub(in crate::api) const REVIEW: &[&str] = &[
    "Unauthorized",
    "NormanForbidden",
    "NormanNotFound",
    "NormanTooLarge",
    "NormanInvalid",
    "NormanFailed",
    "NormanUnavailable",
    "NormanTimedOut",
];

/// Event streams, before they start.
pub(in crate::api) const FOLLOW: &[&str] = &[
    "Unauthorized",
    "NormanNotFound",
    "NormanInvalid",
    "NormanTooManyRequests",
    "NormanFailed",
    "NormanUnavailable",
    "NormanTimedOut",
];

/// Plans.
pub(in crate::api) const PLAN: &[&str] =
    &["Unauthorized", "NormanNotFound", "NormanFailed", "NormanUnavailable", "NormanTimedOut"];

/// Plans of upgrades.
pub(in crate::api) const UPGRADE_PLAN: &[&str] = &[
    "Unauthorized",
    "NormanNotFound",
    "NormanInvalid",
    "NormanFailed",
    "NormanUnavailable",
    "NormanTimedOut",
];

/// The catalog.
pub(in crate::api) const CATALOG: &[&str] = &[
    "Unauthorized",
    "NormanForbidden",
    "NormanNotFound",
    "NormanInvalid",
    "NormanTooManyRequests",
    "NormanFailed",
    "NormanUnavailable",
    "NormanTimedOut",
];

/// The audit log.
pub(in crate::api) const AUDIT: &[&str] = &[
    "Unauthorized",
    "NormanForbidden",
    "NormanInvalid",
    "NormanFailed",
    "NormanUnavailable",
    "NormanTimedOut",
];

/// Declares a type that stands for a set of errors in `#[utoipa::path]`.
macro_rules! response_sets {
    ($($name:ident = $set:ident),*) => {
        $(
            pub(in crate::api) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    references($set)
                }
            }
        )*
    };
}

response_sets! {
    ReadFailures = READ,
    ChangeFailures = CHANGE,
    CheckFailures = CHECK,
    ReviewFailures = REVIEW,
    FollowFailures = FOLLOW,
    PlanFailures = PLAN,
    UpgradePlanFailures = UPGRADE_PLAN,
    AuditFailures = AUDIT,
    CatalogFailures = CATALOG
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

/// References to the components of a set, by status.
pub(in crate::api) fn references(set: &[&str]) -> BTreeMap<String, RefOr<Response>> {
    let failures = set.iter().filter_map(|name| Some((name, FAILURES.get(*name)?)));
    failures
        .map(|(name, failure)| (failure.status.to_string(), Ref::from_response_name(*name).into()))
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
