//! `GET /api/v1/credentials/{id}/check` and `POST /api/v1/credentials/check`: whether a credential has the rights that clusters
//! need, before anything is created.

mod result;

use aks::ids::CREDENTIAL_NAMESPACE;
use aks::resource_group;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use azure::DiscoveryPurpose;
use http::header::{CACHE_CONTROL, HeaderValue};
use http::{StatusCode, Uri};
use secrecy::SecretString;
use utoipa::IntoParams;

use self::result::CredentialCheckResult;
use super::call::{CatalogCaller, authorize, unusable_credential};
use crate::api::auth::AuthError;
use crate::api::meta::AuditContext;
use crate::api::norman::body::Body;
use crate::api::norman::error::Error;
use crate::api::norman::filters::Query;
use crate::api::norman::input::{self, InputFor, Object};
use crate::api::norman::json;
use crate::api::norman::openapi::{Form, documented};
use crate::api::norman::schemas::{Field, Kind, Schema};
use crate::api::openapi::failures::CatalogFailures;
use crate::api::rejection::Rejection;
use crate::api::request::RequestContext;
use crate::api::source::MetaState;
use crate::service::Invalid;
use crate::service::audit::Outcome;
use crate::service::azure_access::{AccessError, AzureAccess, InlineCredential};
use crate::service::catalog::credential_check::{CheckRequest, CredentialReport, Login, deadline};

/// The maximum number of resource groups in a request.
const MAX_RESOURCE_GROUPS: usize = 10;

/// The schema of the request body.
static CREDENTIAL_CHECK_REQUEST: Schema = Schema::nested(
    "credentialCheckRequest",
    "CredentialCheckRequest",
    "A credential that is checked and not stored.",
    "credentialCheckRequests",
    &[
        Field::new("clientId", Kind::Text, "The application (client) ID.").required(),
        Field::new("clientSecret", Kind::Password, "Its secret.").required(),
        Field::new(
            "environment",
            Kind::Text,
            "`AzurePublicCloud` (also for any other value), `AzureChinaCloud` or `AzureUSGovernmentCloud`.",
        ),
        Field::new("subscriptionId", Kind::Text, "The subscription.").required(),
        Field::new("tenantId", Kind::Text, "Its directory; found from the subscription if it is missing."),
    ],
);

documented!(CredentialCheckRequest, &CREDENTIAL_CHECK_REQUEST, Form::Input);

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query, which `resource_groups` reads")]
struct CheckQuery {
    /// A resource group for clusters; up to ten. Without it, rights are checked on the subscription.
    #[param(rename = "resourceGroup", example = json!(["rancher"]))]
    resource_group: Option<Vec<String>>,
}

/// Checks a stored credential: its login, the subscription, the rights that this server needs, resource providers and policies.
///
/// Always sends requests to Azure, with a new token, for at most ten seconds, and at most four at once for one caller. A
/// rejected credential is a verdict, not an error.
#[utoipa::path(
    get,
    path = "/api/v1/credentials/{id}/check",
    operation_id = "checkStoredCredential",
    tag = "Catalog",
    params(
        ("id" = String, Path, description = "The ID of the cloud credential, with or without its namespace", example = "cattle-global-data:cc-q2w4x"),
        CheckQuery,
    ),
    responses((status = 200, description = "The result of the check", body = CredentialCheckResult), CatalogFailures),
)]
pub(super) async fn check_stored_credential(
    State(state): State<MetaState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Rejection> {
    let deadline = deadline();
    let (mut parts, _) = request.into_parts();
    let audit =
        AuditContext::new("checkCredential", RequestContext::from_parts(&parts).map_err(AuthError::from)?);
    let id = if id.contains(':') { id } else { format!("{CREDENTIAL_NAMESPACE}:{id}") };
    let (groups, id_or_error) = match resource_groups(&parts.uri) {
        Ok(groups) => (groups, Ok(&*id)),
        // Returned by `authorize`, so that callers without a token get a 401 instead.
        Err(invalid) => (Vec::new(), Err(invalid.into())),
    };
    let (caller, access) = match authorize(&mut parts, &state, &audit, id_or_error).await? {
        Ok(authorized) => authorized,
        Err(error) => return Ok(respond(None, report_unusable(error, &id)?)),
    };
    let request = CheckRequest { access: &access, caller: &caller, groups: &groups, deadline };
    let report = CredentialReport::load(state.listings(), request).await;
    let outcome = if report.login == Login::Accepted { Outcome::Done } else { Outcome::Failed };
    audit.record_outcome(state.audit_log(), &caller, &id, outcome).await;
    Ok(respond(Some(&access), report))
}

/// Checks the credential in the body in the same way, without storing it.
#[utoipa::path(
    post,
    path = "/api/v1/credentials/check",
    operation_id = "checkCredential",
    tag = "Catalog",
    params(CheckQuery),
    request_body = CredentialCheckRequest,
    responses((status = 200, description = "The result of the check", body = CredentialCheckResult), CatalogFailures),
)]
pub(super) async fn check_credential(
    CatalogCaller(caller): CatalogCaller,
    State(state): State<MetaState>,
    uri: Uri,
    Body(body): Body,
) -> Result<Response, Error> {
    let deadline = deadline();
    let groups = resource_groups(&uri)?;
    let access = state.resolver().resolve(inline_credential(body)?, None, DiscoveryPurpose::Check).await;
    match access {
        Ok(access) => {
            let request = CheckRequest { access: &access, caller: &caller, groups: &groups, deadline };
            let report = CredentialReport::load(state.listings(), request).await;
            Ok(respond(Some(&access), report))
        }
        Err(error) => Ok(respond(None, report_unusable(error.into(), "")?)),
    }
}

/// The resource groups of the query, without duplicates.
fn resource_groups(uri: &Uri) -> Result<Vec<String>, Invalid> {
    let parameters = Query::from_uri(uri);
    parameters.reject_unknown(&["resourceGroup"])?;
    if parameters.all_trimmed("resourceGroup").nth(MAX_RESOURCE_GROUPS).is_some() {
        let message = format!(
            "a request checks at most {MAX_RESOURCE_GROUPS} resource groups; split them over several requests"
        );
        return Err(Invalid::field("InvalidOption", "resourceGroup", message));
    }
    let mut groups: Vec<String> = Vec::new();
    for name in parameters.all_trimmed("resourceGroup") {
        if !resource_group::is_valid_name(name) {
            let message = format!(
                "resourceGroup {name:?} is not a valid name in Azure; use 1 to {} {}",
                resource_group::MAX_NAME_LEN,
                resource_group::ALLOWED_CHARACTERS
            );
            return Err(Invalid::field("InvalidFormat", "resourceGroup", message));
        }
        if !groups.iter().any(|group| group.eq_ignore_ascii_case(name)) {
            groups.push(name.to_owned());
        }
    }
    Ok(groups)
}

fn inline_credential(body: Object) -> Result<InlineCredential, Invalid> {
    let mut body = input::convert(&CREDENTIAL_CHECK_REQUEST, body, InputFor::Create)?;
    let mut take = |key: &str| input::take_text(&mut body, key).unwrap_or_default();
    Ok(InlineCredential {
        tenant_id: take("tenantId"),
        subscription_id: take("subscriptionId"),
        client_id: take("clientId"),
        client_secret: SecretString::from(take("clientSecret")),
        environment: take("environment"),
    })
}

/// The report on a credential that cannot be resolved; an error if the cause is not the credential.
fn report_unusable(error: AccessError, id: &str) -> Result<CredentialReport, Error> {
    CredentialReport::from_access_error(error).map_err(|error| match error {
        AccessError::InvalidId(_) => Error::not_found(id),
        error => unusable_credential(error, id),
    })
}

fn respond(access: Option<&AzureAccess>, report: CredentialReport) -> Response {
    let mut response = json::respond(StatusCode::OK, &CredentialCheckResult::new(access, report));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
