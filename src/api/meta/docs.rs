//! What the nine actions have in common in the API document.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::error::MetaError;

/// The stored credential to ask Azure with.
#[derive(IntoParams, Deserialize)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query, which is read by call.rs")]
pub(super) struct StoredCredential {
    /// The id of a stored cloud credential. Without it only POST can bring a credential, in its body.
    #[param(example = "cattle-global-data:cc-q2w4x")]
    cloud_credential_id: Option<String>,
    /// A cluster that the caller may update and that uses the credential: gives the right to use it to those who do
    /// not own it.
    #[param(example = "c-x7k9z")]
    cluster_id: Option<String>,
}

/// The region that is asked about.
#[derive(IntoParams, Deserialize)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which is read by call.rs")]
pub(super) struct Region {
    /// The region, in any spelling.
    #[param(example = "eastus", required = true)]
    region: Option<String>,
}

/// The region that is asked about; all regions without it.
#[derive(IntoParams, Deserialize)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which is read by call.rs")]
pub(super) struct OptionalRegion {
    /// The region, in any spelling; without it there is no choice by region.
    #[param(example = "eastus")]
    region: Option<String>,
}

/// An Azure credential in the body of a request.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "subscriptionId": "5f2b8c1e-7d3a-4e6f-9a10-2b3c4d5e6f70",
    "clientId": "0c9d8e7f-6a5b-4c3d-2e1f-0a9b8c7d6e5f",
    "clientSecret": "the value of the secret",
}))]
pub(super) struct CredentialBody {
    /// The subscription.
    subscription_id: String,
    /// The application (client) id of the service principal.
    client_id: String,
    /// The value of its secret.
    #[schema(format = "password")]
    client_secret: String,
    /// The directory (tenant) id or a domain of it; found by the subscription when it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    tenant_id: Option<String>,
    /// `AzurePublicCloud` (the default), `AzureChinaCloud` or `AzureUSGovernmentCloud`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    environment: Option<String>,
}

/// An Azure credential and a region in the body of a request.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CredentialAndRegion {
    #[serde(flatten)]
    credential: CredentialBody,
    /// The region, in any spelling.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "eastus")]
    region: Option<String>,
    /// The Rancher id of a cluster; only aksUpgrades looks at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "c-x7k9z")]
    cluster_id: Option<String>,
}

/// How every action can fail.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the failures, which are made by error.rs")]
pub(super) enum Failures {
    /// A mistake in the question, or a refusal of Azure that somebody must mend
    #[response(status = 400)]
    BadRequest(#[to_schema] MetaError<'static>),
    /// No valid token
    #[response(status = 401)]
    Unauthorized(#[to_schema] crate::api::docs::UnauthorizedError),
    /// A page of another site asked
    #[response(status = 403)]
    Forbidden(#[to_schema] MetaError<'static>),
    /// The stored credential does not exist for this caller, or cannot be used
    #[response(status = 422)]
    Unprocessable(#[to_schema] MetaError<'static>),
    /// Azure throttles; Retry-After tells when to try again
    #[response(status = 429)]
    TooManyRequests(#[to_schema] MetaError<'static>),
    /// The server failed; its log has the cause under the id of the request
    #[response(status = 500)]
    Internal(#[to_schema] MetaError<'static>),
    /// Azure, or the server's database, does not answer; Retry-After tells when to try again
    #[response(status = 503)]
    Unavailable(#[to_schema] MetaError<'static>),
    /// Azure did not answer in time; Retry-After tells when to try again
    #[response(status = 504)]
    TimedOut(#[to_schema] MetaError<'static>),
}
