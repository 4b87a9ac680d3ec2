//! The credential: whether its login succeeds, and its permissions. These errors affect every request to Azure, so they block
//! even if the change did not cause them.

use super::azure::{DataPart, DenialKind};
use super::input::RuleInput;
use super::rule::{FieldFindings, Rule, Scope};
use super::sources::{CODES_DOC, PROVIDERS_DOC, ROLES_DOC, STATES_DOC};
use crate::rights::lacks;
use crate::shell;

const CREDENTIAL_KEY: &str = "azureCredentialSecret";

pub(super) const RULES: &[Rule] = &[
    Rule::error("credential-refused", CODES_DOC, credential).scope(Scope::Any).resting_on_azure(),
    Rule::error("subscription-usable", STATES_DOC, subscription).scope(Scope::Any).resting_on_azure(),
    Rule::error("role-assigned", ROLES_DOC, role).scope(Scope::Any).resting_on_azure(),
    Rule::error("provider-registered", PROVIDERS_DOC, provider)
        .scope(Scope::New)
        .needs(&[DataPart::Provider]),
];

/// Appended to a remedy if Azure may need some minutes to replicate new objects.
const RETRY_NOTE: &str = "if it was created a few minutes ago, apply again";

const CLUSTER_WRITE_ACTION: &str = "Microsoft.ContainerService/managedClusters/write";
const GROUP_WRITE_ACTION: &str = "Microsoft.Resources/subscriptions/resourceGroups/write";
const REGISTER_ACTION: &str = "Microsoft.ContainerService/register/action";

/// Adds a finding for Azure's denial if it is of this kind. Returns whether it is.
fn add_denial(input: &RuleInput<'_>, findings: &mut FieldFindings, kind: DenialKind, summary: &str) -> bool {
    let Some(denial) = input.azure.denial.as_ref().filter(|denial| denial.kind == kind) else { return false };
    let retry_note = if denial.may_be_recent { format!("; {RETRY_NOTE}") } else { String::new() };
    findings.add(
        CREDENTIAL_KEY,
        format!("{summary}: {}", denial.message),
        format!("{}{retry_note}", denial.remedy),
    );
    true
}

fn credential(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let summary = "the cloud credential of azureCredentialSecret is rejected";
    add_denial(input, findings, DenialKind::Credential, summary);
}

fn subscription(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let summary = "the subscription of azureCredentialSecret cannot be used";
    if add_denial(input, findings, DenialKind::Subscription, summary) {
        return;
    }
    if let Some(state) =
        input.azure.subscription.known().and_then(|subscription| subscription.read_only_state())
    {
        let message = format!(
            "the subscription of azureCredentialSecret is in the state {state}, in which resources cannot be created or changed"
        );
        let remedy =
            "enable the subscription in the Azure portal (often a billing problem), or use another one";
        findings.add(CREDENTIAL_KEY, message, remedy);
    }
}

fn role(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let summary = "the application of azureCredentialSecret lacks a permission in Azure";
    if add_denial(input, findings, DenialKind::Role, summary) {
        return;
    }
    if let (Some(action), Some(permissions)) = (missing_permission(input), input.azure.permissions.known()) {
        let (scope, client) = (permissions.scope.as_str(), permissions.client_id.as_str());
        let assign =
            ["az", "role", "assignment", "create", "--assignee", client, "--role", "Contributor", "--scope"];
        let command = shell::command(&[&assign[..], &[scope]].concat());
        findings.add(
            CREDENTIAL_KEY,
            format!("the application of azureCredentialSecret lacks the right {action} on {scope}"),
            format!("give it the role Contributor there ({command}); {RETRY_NOTE}"),
        );
    }
}

/// The first required action that the application may not perform in the scope in which the cluster is created.
fn missing_permission(input: &RuleInput<'_>) -> Option<&'static str> {
    let permissions = input.azure.permissions.known()?;
    let group_action = (!permissions.group_exists).then_some(GROUP_WRITE_ACTION);
    [CLUSTER_WRITE_ACTION].into_iter().chain(group_action).find(|action| lacks(&permissions.roles, action))
}

fn provider(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let Some(provider) = input.azure.provider.known() else { return };
    let roles = provider.subscription_roles.as_deref().unwrap_or_default();
    if provider.registered || !lacks(roles, REGISTER_ACTION) {
        return;
    }
    let namespace = "Microsoft.ContainerService";
    let command = shell::command(&["az", "provider", "register", "--namespace", namespace]);
    findings.add(
        CREDENTIAL_KEY,
        format!(
            "the subscription of azureCredentialSecret is not registered to use {namespace}, and the application lacks the right \
             {REGISTER_ACTION}"
        ),
        format!("register it ({command}), or give the application the role Contributor on the subscription"),
    );
}

/// Whether the error may disappear after some minutes.
pub(super) fn may_be_transient(input: &RuleInput<'_>) -> bool {
    input
        .azure
        .denial
        .as_ref()
        .map_or_else(|| missing_permission(input).is_some(), |denial| denial.may_be_recent)
}
