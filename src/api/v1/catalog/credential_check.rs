//! `GET /api/v1/credentials/{id}/check` and `POST /api/v1/credentials/check`: what a credential can do, before anything is
//! created.

use std::sync::Arc;

use aks::ids::CREDENTIAL_NAMESPACE;
use aks::rights::{
    AssessedOperation, AssignedPolicy, Condition, Decision, PolicyEffect, Purpose, Registration,
    RoleAssignment, Unchecked,
};
use axum::extract::{FromRef, Path, Request, State};
use axum::response::Response;
use azure::Discovery;
use http::{StatusCode, Uri};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::{CatalogCaller, CatalogRejection, authorize, rejected};
use super::parameters::Parameters;
use super::{CatalogReason, CatalogVerdict};
use crate::api::auth::AuthError;
use crate::api::meta::{AuditContext, MetaState};
use crate::api::methods::reject_others_of;
use crate::api::norman::body::Body;
use crate::api::norman::error::Error;
use crate::api::norman::input::{self, InputFor, Object};
use crate::api::norman::openapi::{Form, documented};
use crate::api::norman::reply;
use crate::api::norman::schemas::{Field, Kind, Schema};
use crate::api::openapi::failures::CatalogFailures;
use crate::api::request::RequestContext;
use crate::service::Invalid;
use crate::service::azure_access::{AccessError, AzureAccess, InlineCredential};
use crate::service::catalog::credential_check::{CredentialReport, Login, deadline};
use crate::service::events::Outcome;

/// The most resource groups in a request.
const MAX_GROUPS: usize = 10;

/// The longest name of a resource group in characters, from "Naming rules and restrictions for Azure resources",
/// <https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules>.
const MAX_GROUP_LEN: usize = 90;

/// A credential in a body.
static CREDENTIAL: Schema = Schema::nested(
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
            "`AzurePublicCloud` (also meant by anything else), `AzureChinaCloud` or `AzureUSGovernmentCloud`.",
        ),
        Field::new("subscriptionId", Kind::Text, "The subscription.").required(),
        Field::new("tenantId", Kind::Text, "Its directory; found by the subscription when left out."),
    ],
);

documented!(CredentialCheckRequest, &CREDENTIAL, Form::Input);

/// What a credential can do.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CredentialCheckResult {
    verdict: CatalogVerdict,
    /// The reasons, the worst first.
    reasons: Vec<CatalogReason>,
    /// The subscription; missing if the credential cannot be tried.
    subscription_id: Option<String>,
    /// The application; missing if the credential cannot be tried.
    client_id: Option<String>,
    login: CheckedLogin,
    /// The state of the subscription in Azure's words; missing if unknown.
    #[schema(example = "Enabled")]
    subscription_state: Option<String>,
    /// The operations that this server performs in Azure.
    operations: Vec<CheckedOperation>,
    /// The smallest role assignments that allow what is denied.
    assignments: Vec<ProposedAssignment>,
    /// The resource providers that clusters need.
    providers: Vec<CheckedProvider>,
    /// The policies that deny, and those whose effect is unknown.
    policies: Vec<CheckedPolicy>,
    /// The parts that could not be read.
    unchecked: Vec<UncheckedPart>,
}

/// A login with a new token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CheckedLogin {
    status: LoginStatus,
    /// The numbers behind `AADSTS` of Microsoft Entra's errors.
    #[schema(example = json!([7_000_222]))]
    aadsts: Vec<u64>,
}

/// `unknown`: the login service was not reached, or not tried.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum LoginStatus {
    Accepted,
    Rejected,
    Unknown,
}

/// An operation of Azure.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CheckedOperation {
    /// Azure's name.
    #[schema(example = "Microsoft.ContainerService/managedClusters/write")]
    action: &'static str,
    /// The uses that need it: `list`, `create`, `change`, `import` and `delete`.
    #[schema(example = json!(["create", "change"]))]
    purposes: Vec<&'static str>,
    /// The case in which it is needed: `newResourceGroup`, `unregisteredProvider`, `ownNetwork`, `monitoring`,
    /// `localAccountsDisabled` or `privateCluster`; missing if it is always needed.
    condition: Option<&'static str>,
    /// Whether it is needed as things are.
    needed: bool,
    /// The resource ID of the subscription or resource group.
    #[schema(example = "/subscriptions/9d1f3c52-0d2b-4e6a-8c1e-000000000001/resourceGroups/rancher")]
    scope: String,
    status: OperationStatus,
    /// Why it is unknown.
    reason: Option<String>,
    /// The page of Azure's documentation that describes it.
    source: &'static str,
}

/// Whether a role of the application grants an operation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum OperationStatus {
    Allowed,
    Denied,
    Unknown,
}

/// A role assignment that adds missing rights.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProposedAssignment {
    /// A built-in role of Azure.
    #[schema(example = "Azure Kubernetes Service Contributor Role")]
    role: &'static str,
    /// The resource ID of the scope.
    scope: String,
    /// The missing actions that it grants.
    actions: Vec<&'static str>,
    /// The case in which they are needed, as in `operations`; missing if always.
    condition: Option<&'static str>,
    /// The command that creates it, for a POSIX shell.
    #[schema(
        example = "az role assignment create --assignee c0ffee00-0012-4000-8000-000000000012 --role Reader --scope /subscriptions/9d1f3c52-0d2b-4e6a-8c1e-000000000001"
    )]
    command: String,
    /// The page of Azure's documentation with the definition of the role.
    source: &'static str,
}

/// A resource provider.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CheckedProvider {
    #[schema(example = "Microsoft.ContainerService")]
    namespace: &'static str,
    /// Whether clusters can use it now or soon; missing if unknown.
    registered: Option<bool>,
    /// Azure's word; missing if unknown.
    #[schema(example = "Registered")]
    state: Option<String>,
    /// Why it is unknown.
    reason: Option<String>,
}

/// A policy.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CheckedPolicy {
    /// The name of the assignment.
    name: String,
    display_name: String,
    /// The resource ID of the scope of the assignment.
    scope: String,
    effect: PolicyEffectName,
    /// Why it is unknown.
    reason: Option<String>,
}

/// The effect of a policy.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum PolicyEffectName {
    Deny,
    Unknown,
}

/// A part that could not be read.
#[derive(Serialize, ToSchema)]
struct UncheckedPart {
    /// `subscription`, `permissions`, `providers` or `policies`.
    #[schema(example = "permissions")]
    part: &'static str,
    /// What could not be read: a resource ID or a namespace.
    subject: String,
    /// Why not.
    reason: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "only the document is made of it; `groups` reads the values")]
struct CheckQuery {
    /// A resource group for clusters; up to ten. Without it, rights are checked on the subscription.
    #[param(rename = "resourceGroup", example = json!(["rancher"]))]
    resource_group: Option<Vec<String>>,
}

pub(super) fn router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    MetaState: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(reject_others_of::<CatalogCaller, _>(routes!(check_stored_credential)))
        .routes(reject_others_of::<CatalogCaller, _>(routes!(check_credential)))
}

/// What a stored credential can do: its login, the subscription, the rights that this server needs, resource providers and policies.
///
/// Azure is always asked, with a new token, for at most ten seconds. A rejected credential is a verdict, not an error.
#[utoipa::path(
    get,
    path = "/api/v1/credentials/{id}/check",
    operation_id = "checkStoredCredential",
    tag = "Catalog",
    params(
        ("id" = String, Path, description = "The ID of the cloud credential, with or without its namespace", example = "cattle-global-data:cc-q2w4x"),
        CheckQuery,
    ),
    responses((status = 200, description = "What it can do", body = CredentialCheckResult), CatalogFailures),
)]
async fn check_stored_credential(
    State(state): State<MetaState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, CatalogRejection> {
    let deadline = deadline();
    let (mut parts, _) = request.into_parts();
    let audit = AuditContext::new("checkCredential", RequestContext::of(&parts).map_err(AuthError::from)?);
    let id = if id.contains(':') { id } else { format!("{CREDENTIAL_NAMESPACE}:{id}") };
    let authorized = authorize(&mut parts, &state, &audit, Ok(&id)).await?;
    let groups = groups(&parts.uri)?;
    let (caller, access) = match authorized {
        Ok(authorized) => authorized,
        Err(error) => return Ok(respond(None, of_access(error, &id)?)),
    };
    let report = state.listings().check_rights(&access, &groups, deadline).await;
    let outcome = if report.login == Login::Accepted { Outcome::Done } else { Outcome::Failed };
    audit.record_outcome(state.events(), &caller, &id, outcome).await;
    Ok(respond(Some(&access), report))
}

/// The same for a credential in the body, which is not stored.
#[utoipa::path(
    post,
    path = "/api/v1/credentials/check",
    operation_id = "checkCredential",
    tag = "Catalog",
    params(CheckQuery),
    request_body = CredentialCheckRequest,
    responses((status = 200, description = "What it can do", body = CredentialCheckResult), CatalogFailures),
)]
async fn check_credential(
    _: CatalogCaller,
    State(state): State<MetaState>,
    uri: Uri,
    Body(body): Body,
) -> Result<Response, Error> {
    let deadline = deadline();
    let groups = groups(&uri)?;
    let access = state.resolver().resolve(inline_credential(body)?, None, Discovery::Check).await;
    match access {
        Ok(access) => {
            let report = state.listings().check_rights(&access, &groups, deadline).await;
            Ok(respond(Some(&access), report))
        }
        Err(tenant) => Ok(respond(None, of_access(tenant.into(), "")?)),
    }
}

/// The resource groups of the query, each once.
fn groups(uri: &Uri) -> Result<Vec<String>, Invalid> {
    let parameters = Parameters::of(uri);
    parameters.reject_unknown(&["resourceGroup"])?;
    let mut groups: Vec<String> = Vec::new();
    for name in parameters.all("resourceGroup") {
        let is_valid = name.chars().count() <= MAX_GROUP_LEN
            && !name.contains(['/', '\\'])
            && !name.contains(char::is_control);
        if !is_valid {
            let message =
                format!("resourceGroup is a name of at most {MAX_GROUP_LEN} characters without slashes");
            return Err(Invalid::field("InvalidFormat", "resourceGroup", message));
        }
        if !groups.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            groups.push(name.to_owned());
        }
    }
    if groups.len() > MAX_GROUPS {
        let message = format!("at most {MAX_GROUPS} resource groups are checked at once; send more requests");
        return Err(Invalid::field("InvalidOption", "resourceGroup", message));
    }
    Ok(groups)
}

fn inline_credential(body: Object) -> Result<InlineCredential, Invalid> {
    let mut body = input::convert(&CREDENTIAL, body, InputFor::Create)?;
    let mut text = |key: &str| match body.remove(key) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    Ok(InlineCredential {
        tenant_id: text("tenantId"),
        subscription_id: text("subscriptionId"),
        client_id: text("clientId"),
        client_secret: SecretString::from(text("clientSecret")),
        environment: text("environment"),
    })
}

/// The report about a credential that cannot be tried; an error if it is not about the credential.
fn of_access(error: AccessError, id: &str) -> Result<CredentialReport, Error> {
    CredentialReport::of_access(error).map_err(|error| match error {
        AccessError::InvalidId(_) => Error::not_found(id),
        error => rejected(error, id),
    })
}

fn respond(access: Option<&Arc<AzureAccess>>, report: CredentialReport) -> Response {
    let CredentialReport { login, check } = report;
    let credential = access.map(|access| access.credential());
    let (status, aadsts) = match login {
        Login::Accepted => (LoginStatus::Accepted, Vec::new()),
        Login::Rejected(aadsts) => (LoginStatus::Rejected, aadsts),
        Login::Unknown => (LoginStatus::Unknown, Vec::new()),
    };
    let result = CredentialCheckResult {
        verdict: check.verdict.into(),
        reasons: check.reasons.into_iter().map(CatalogReason::from).collect(),
        subscription_id: credential.map(|credential| credential.subscription_id.clone()),
        client_id: credential.map(|credential| credential.client_id.clone()),
        login: CheckedLogin { status, aadsts },
        subscription_state: check.subscription_state,
        operations: check.operations.into_iter().map(CheckedOperation::from).collect(),
        assignments: check.assignments.into_iter().map(ProposedAssignment::from).collect(),
        providers: check.providers.into_iter().map(CheckedProvider::from).collect(),
        policies: check.policies.into_iter().map(CheckedPolicy::from).collect(),
        unchecked: check.unchecked.into_iter().map(UncheckedPart::from).collect(),
    };
    reply::json(StatusCode::OK, &result)
}

impl From<AssessedOperation> for CheckedOperation {
    fn from(operation: AssessedOperation) -> Self {
        let (status, reason) = match operation.decision {
            Decision::Allowed => (OperationStatus::Allowed, None),
            Decision::Denied => (OperationStatus::Denied, None),
            Decision::Unknown(reason) => (OperationStatus::Unknown, Some(reason)),
        };
        Self {
            action: operation.action,
            purposes: operation.purposes.into_iter().map(Purpose::as_str).collect(),
            condition: operation.condition.map(Condition::as_str),
            needed: operation.is_needed,
            scope: operation.scope.resource_id(),
            status,
            reason,
            source: operation.source,
        }
    }
}

impl From<RoleAssignment> for ProposedAssignment {
    fn from(assignment: RoleAssignment) -> Self {
        Self {
            role: assignment.role,
            scope: assignment.scope.resource_id(),
            actions: assignment.actions,
            condition: assignment.condition.map(Condition::as_str),
            command: assignment.command,
            source: assignment.source,
        }
    }
}

impl From<Registration> for CheckedProvider {
    fn from(provider: Registration) -> Self {
        let registered = provider.is_registered();
        let (state, reason) = match provider.state {
            Ok(state) => (Some(state), None),
            Err(reason) => (None, Some(reason)),
        };
        Self { namespace: provider.namespace, registered, state, reason }
    }
}

impl From<AssignedPolicy> for CheckedPolicy {
    fn from(policy: AssignedPolicy) -> Self {
        let AssignedPolicy { name, display_name, scope, effect } = policy;
        let (effect, reason) = match effect {
            PolicyEffect::Unknown(reason) => (PolicyEffectName::Unknown, Some(reason)),
            PolicyEffect::Denies | PolicyEffect::Harmless => (PolicyEffectName::Deny, None),
        };
        Self { name, display_name, scope, effect, reason }
    }
}

impl From<Unchecked> for UncheckedPart {
    fn from(unchecked: Unchecked) -> Self {
        let Unchecked { part, subject, reason } = unchecked;
        Self { part, subject, reason }
    }
}
