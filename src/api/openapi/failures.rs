//! The ways to fail that operations share. Each is one component of the document, so that it is told once and
//! generated clients have one type for it. What makes these answers is in `meta::error`, `norman::error`, `auth`
//! and `edge`.

mod norman;
mod sets;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::IntoResponses;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use self::sets::ALL;
pub(in crate::api) use self::sets::{AUDIT, CHANGE, CHECK, FOLLOW, META, PLAN, POST, READ, REVIEW};
use super::headers;

/// One way to fail.
pub(in crate::api) struct Failure {
    name: &'static str,
    status: u16,
    description: &'static str,
    /// The component that describes the body.
    body: &'static str,
    passes: bool,
    examples: fn() -> Vec<(&'static str, &'static str, Value)>,
}

/// References to them, by status.
pub(in crate::api) fn references(failures: &[&Failure]) -> BTreeMap<String, RefOr<Response>> {
    let reference = |failure: &&Failure| {
        let response = Ref::from_response_name(failure.name);
        (failure.status.to_string(), response.into())
    };
    failures.iter().map(reference).collect()
}

/// Declares a type for `#[utoipa::path]` that stands for a set of errors.
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
    AuditFailures = AUDIT
}

/// All of them, by name.
pub(super) fn components() -> BTreeMap<String, RefOr<Response>> {
    ALL.iter()
        .copied()
        .flatten()
        .map(|failure| (failure.name.to_owned(), failure.response().into()))
        .collect()
}

impl Failure {
    fn response(&self) -> Response {
        let examples = (self.examples)().into_iter().map(|(name, summary, value)| {
            (name, ExampleBuilder::new().summary(summary).value(Some(value)).build())
        });
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(self.body)))
            .examples_from_iter(examples)
            .build();
        let mut response = ResponseBuilder::new()
            .description(self.description)
            .content("application/json", content)
            .header_ref(headers::REQUEST_ID, headers::reference(headers::REQUEST_ID));
        if self.passes {
            response = response.header_ref(headers::RETRY_AFTER, headers::reference(headers::RETRY_AFTER));
        }
        response.build()
    }
}

const META_BODY: &str = "MetaError";
const NORMAN_BODY: &str = "NormanError";
const ID: &str = "01a209ff-44e3-774a-94cd-94100ad0b89b";

static BAD_REQUEST: Failure = Failure {
    name: "MetaBadRequest",
    status: 400,
    description: "A mistake in the question, or a refusal of Azure that somebody must mend",
    body: META_BODY,
    passes: false,
    examples: || {
        vec![
            (
                "question",
                "A mistake in the question",
                json!({
                    "error": "region is required",
                    "hint": "send region, for example eastus; aksLocations lists those of the subscription",
                    "requestId": ID,
                }),
            ),
            (
                "azure",
                "A refusal of Azure",
                json!({
                    "error": "unexpected response from Get Subscription: <nil>",
                    "code": "SubscriptionNotFound",
                    "upstreamStatus": 404,
                    "hint": "the subscription does not exist for this login: check subscriptionId, that it \
                             belongs to the tenant, and environment",
                    "requestId": ID,
                }),
            ),
        ]
    },
};

static UNAUTHORIZED: Failure = Failure {
    name: "Unauthorized",
    status: 401,
    description: "No valid token",
    body: "UnauthorizedError",
    passes: false,
    examples: || vec![("token", "No valid token", unauthorized())],
};

static REFUSED: Failure = Failure {
    name: "CredentialRefused",
    status: 401,
    description: "Azure refuses the credential, or the request has no valid token",
    body: "CheckRefusal",
    passes: false,
    examples: || {
        let refused = json!({
            "error": "invalid credentials: ClientSecretCredential authentication failed. Response body: \
                      {\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: Invalid client secret.\"}\n\
                      POST https://login.microsoftonline.com/5b0c1c9e-7a44-4d0e-9f3a-3f6a1d2e8c01/oauth2/v2.0/token",
            "code": "AADSTS7000215",
            "upstreamStatus": 401,
            "hint": "the client secret is wrong: use the value of the secret, not its id, and update the cloud \
                     credential",
            "requestId": ID,
        });
        vec![("azure", "Azure refuses the credential", refused), ("token", "No valid token", unauthorized())]
    },
};

fn unauthorized() -> Value {
    json!({"type": "error", "status": "401", "message": "Unauthorized 401: must authenticate"})
}

fn meta(error: &str) -> Value {
    json!({"error": error, "requestId": ID})
}

static FORBIDDEN: Failure = Failure {
    name: "MetaForbidden",
    status: 403,
    description: "A page of another site asked",
    body: META_BODY,
    passes: false,
    examples: || {
        let error = "requests from pages of other sites are refused; the server's setting cors-origins names those \
                     that may ask";
        vec![("site", "Another site", meta(error))]
    },
};

static UNUSABLE_CREDENTIAL: Failure = Failure {
    name: "MetaUnprocessable",
    status: 422,
    description: "The stored credential does not exist for this caller, or cannot be used",
    body: META_BODY,
    passes: false,
    examples: || vec![("missing", "No such credential", meta("cloud credential not found"))],
};

static THROTTLED: Failure = Failure {
    name: "MetaThrottled",
    status: 429,
    description: "Azure throttles; Retry-After tells when to try again",
    body: META_BODY,
    passes: true,
    examples: || {
        let body = json!({
            "error": "GET https://management.azure.com/subscriptions/9d1f3c52-0d2b-4e6a-8c1e-000000000001/locations\n\
                      RESPONSE 429: 429 Too Many Requests\nERROR CODE: TooManyRequests",
            "code": "TooManyRequests",
            "upstreamStatus": 429,
            "hint": "Azure throttles this subscription or application: wait as long as Retry-After says",
            "requestId": ID,
        });
        vec![("throttled", "Too many requests to Azure", body)]
    },
};

static FAILED: Failure = Failure {
    name: "MetaFailed",
    status: 500,
    description: "The server failed; its log has the cause under the id of the request",
    body: META_BODY,
    passes: false,
    examples: || vec![("failed", "The server failed", meta("the server failed; its log has the cause"))],
};

static UNAVAILABLE: Failure = Failure {
    name: "MetaUnavailable",
    status: 503,
    description: "Azure, or the server's database, does not answer, or too much is asked at once; Retry-After tells when to try again",
    body: META_BODY,
    passes: true,
    examples: || vec![("database", "No database", meta("the server's database does not answer; try again"))],
};

static TIMED_OUT: Failure = Failure {
    name: "MetaTimedOut",
    status: 504,
    description: "Azure did not answer in time; Retry-After tells when to try again",
    body: META_BODY,
    passes: true,
    examples: || {
        let error = "context deadline exceeded: Azure did not answer within 55 s";
        let body = json!({"error": error, "hint": "try again in a moment", "requestId": ID});
        vec![("slow", "Azure is slow", body)]
    },
};
