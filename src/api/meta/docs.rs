//! What the nine actions have in common in the API document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use crate::api::openapi::failures;

/// The stored credential to ask Azure with.
#[derive(IntoParams, Deserialize)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query, which is read by call.rs")]
pub(super) struct StoredCredential {
    /// The id of a stored cloud credential.
    #[param(example = "cattle-global-data:cc-q2w4x", required = true)]
    cloud_credential_id: Option<String>,
    /// A cluster that the caller may update and that uses the credential: gives the right to use it to those who do
    /// not own it.
    cluster_id: Option<String>,
}

/// The stored credential to ask Azure with, and the cluster that is asked about.
#[derive(IntoParams, Deserialize)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query, which is read by call.rs")]
pub(super) struct StoredCredentialAndCluster {
    /// The id of a stored cloud credential.
    #[param(example = "cattle-global-data:cc-q2w4x", required = true)]
    cloud_credential_id: Option<String>,
    /// The Rancher id of the cluster. It also gives the right to use its credential to those who may update it and
    /// do not own the credential.
    #[param(example = "c-x7k9z", required = true)]
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
    "subscriptionId": "9d1f3c52-0d2b-4e6a-8c1e-000000000001",
    "clientId": "c0ffee00-0001-4000-8000-000000000001",
    "clientSecret": "Sandbox~first~secret~of~the~ready~app~0001",
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

/// How a listing action can fail.
pub(super) struct Failures;

impl IntoResponses for Failures {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        failures::references(failures::META)
    }
}

/// How aksCheckCredentials can fail.
pub(super) struct CheckFailures;

impl IntoResponses for CheckFailures {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        failures::references(failures::CHECK)
    }
}
