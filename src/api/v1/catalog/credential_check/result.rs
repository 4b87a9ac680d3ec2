//! The response to a check of a credential.

use aks::rights::{
    AssessedOperation, AssignedPolicy, Condition, Decision, PolicyEffect, Purpose, Registration,
    RoleAssignment, Unchecked,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::reason::{CatalogReason, CatalogVerdict};
use crate::service::azure_access::AzureAccess;
use crate::service::catalog::credential_check::{CredentialReport, Login};

/// The rights of a credential, and the rights that it lacks for clusters.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CredentialCheckResult {
    verdict: CatalogVerdict,
    /// The reasons, the worst first.
    reasons: Vec<CatalogReason>,
    /// The subscription; `null` if the credential cannot be tried.
    subscription_id: Option<String>,
    /// The application; `null` if the credential cannot be tried.
    client_id: Option<String>,
    login: CheckedLogin,
    /// The state of the subscription in Azure's words; `null` if unknown.
    #[schema(example = "Enabled")]
    subscription_state: Option<String>,
    /// The operations that this server performs in Azure.
    operations: Vec<CheckedOperation>,
    /// The smallest role assignments that allow what is denied.
    assignments: Vec<ProposedAssignment>,
    /// The resource providers that clusters need.
    providers: Vec<CheckedProvider>,
    /// The policies that deny requests which may concern clusters, and those whose effect is unknown.
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
    /// `localAccounts`, `localAccountsDisabled` or `privateCluster`; `null` if it is always needed.
    condition: Option<&'static str>,
    /// Whether it is needed in the current state.
    needed: bool,
    /// The resource ID of the subscription or resource group.
    #[schema(example = "/subscriptions/9d1f3c52-0d2b-4e6a-8c1e-000000000001/resourceGroups/rancher")]
    scope: String,
    status: OperationStatus,
    /// The reason if it is unknown.
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
    /// The case in which they are needed, as in `operations`; `null` if always.
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
    /// Whether clusters can use it now or soon; `null` if unknown.
    registered: Option<bool>,
    /// Azure's word; `null` if unknown.
    #[schema(example = "Registered")]
    state: Option<String>,
    /// The reason if it is unknown.
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
    /// The reason if it is unknown.
    reason: Option<String>,
}

/// The effect of a policy. `deny`: it denies creating or changing, and perhaps deleting; `denyAction`: it denies deleting.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum PolicyEffectName {
    Deny,
    DenyAction,
    Unknown,
}

/// A part that could not be read.
#[derive(Serialize, ToSchema)]
struct UncheckedPart {
    /// `subscription`, `permissions`, `providers` or `policies`.
    #[schema(example = "permissions")]
    part: &'static str,
    /// The resource ID or namespace that could not be read.
    subject: String,
    /// The reason.
    reason: String,
}

impl CredentialCheckResult {
    /// The result of a check. `access` is `None` if the credential could not be resolved.
    pub(super) fn new(access: Option<&AzureAccess>, report: CredentialReport) -> Self {
        let CredentialReport { login, check } = report;
        let credential = access.map(AzureAccess::credential);
        Self {
            verdict: check.verdict.into(),
            reasons: check.reasons.into_iter().map(CatalogReason::from).collect(),
            subscription_id: credential.map(|credential| credential.subscription_id.clone()),
            client_id: credential.map(|credential| credential.client_id.clone()),
            login: login.into(),
            subscription_state: check.subscription_state,
            operations: check.operations.into_iter().map(CheckedOperation::from).collect(),
            assignments: check.assignments.into_iter().map(ProposedAssignment::from).collect(),
            providers: check.providers.into_iter().map(CheckedProvider::from).collect(),
            policies: check.policies.into_iter().map(CheckedPolicy::from).collect(),
            unchecked: check.unchecked.into_iter().map(UncheckedPart::from).collect(),
        }
    }
}

impl From<Login> for CheckedLogin {
    fn from(login: Login) -> Self {
        match login {
            Login::Accepted => Self { status: LoginStatus::Accepted, aadsts: Vec::new() },
            Login::Rejected(aadsts) => Self { status: LoginStatus::Rejected, aadsts },
            Login::Unknown => Self { status: LoginStatus::Unknown, aadsts: Vec::new() },
        }
    }
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
            PolicyEffect::Denies(denied) if denied.writes.is_none() => (PolicyEffectName::DenyAction, None),
            PolicyEffect::Denies(_) => (PolicyEffectName::Deny, None),
        };
        Self { name, display_name, scope, effect, reason }
    }
}

impl From<Unchecked> for UncheckedPart {
    fn from(unchecked: Unchecked) -> Self {
        let Unchecked { part, subject, reason } = unchecked;
        Self { part: part.as_str(), subject, reason }
    }
}
