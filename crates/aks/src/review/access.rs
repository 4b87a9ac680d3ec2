//! The credential: whether it logs in, and what it may do. What fails here fails for everything, so that a request is refused
//! although the cause may be older than the request.

use super::azure::{Block, Denial, DenialKind};
use super::case::Case;
use super::rule::{Fault, Rule, Scope};
use crate::arm::Permission;
use crate::shell;

const CODES: &str = "Microsoft Entra: Authentication and authorization error codes, \
    https://learn.microsoft.com/entra/identity-platform/reference-error-codes";
const STATES: &str = "Azure: Azure subscription states, \
    https://learn.microsoft.com/azure/cost-management-billing/manage/subscription-states";
const ROLES: &str = "Azure: Troubleshoot Azure RBAC, role assignment changes are not being detected, \
    https://learn.microsoft.com/azure/role-based-access-control/troubleshooting";
const PROVIDERS: &str = "Azure: Azure resource providers and types, register resource provider, \
    https://learn.microsoft.com/azure/azure-resource-manager/management/resource-providers-and-types";

const FIELD: &str = "aksConfig.azureCredentialSecret";

pub(super) const CREDENTIAL: &str = "credential-refused";
pub(super) const SUBSCRIPTION: &str = "subscription-usable";
pub(super) const ROLE: &str = "role-assigned";
pub(super) const PROVIDER: &str = "provider-registered";

pub(super) const RULES: &[Rule] = &[
    Rule::error(CREDENTIAL, CODES, credential).about(Scope::Any).resting_on_azure(),
    Rule::error(SUBSCRIPTION, STATES, subscription).about(Scope::Any).resting_on_azure(),
    Rule::error(ROLE, ROLES, role).about(Scope::Any).resting_on_azure(),
    Rule::error(PROVIDER, PROVIDERS, provider).about(Scope::New).needs(&[Block::Provider]),
];

/// Said where Azure needs some minutes to know what was created.
const RECENT: &str = "if it was created a few minutes ago, apply again";

const CREATE_CLUSTER: &str = "Microsoft.ContainerService/managedClusters/write";
const CREATE_GROUP: &str = "Microsoft.Resources/subscriptions/resourceGroups/write";
const REGISTER: &str = "Microsoft.ContainerService/register/action";

/// The denial of that kind.
fn denied(case: &Case<'_>, kind: DenialKind, what: &str) -> Option<Fault> {
    let denial = case.azure.denial.as_ref().filter(|denial| denial.kind == kind)?;
    let Denial { message, remedy, may_be_recent, .. } = denial;
    let remedy = if *may_be_recent { format!("{remedy}; {RECENT}") } else { remedy.clone() };
    Some(Fault::new(FIELD, format!("{what}: {message}"), remedy))
}

fn credential(case: &Case<'_>) -> Vec<Fault> {
    let what = "the cloud credential of azureCredentialSecret is rejected";
    denied(case, DenialKind::Credential, what).into_iter().collect()
}

fn subscription(case: &Case<'_>) -> Vec<Fault> {
    let what = "the subscription of azureCredentialSecret cannot be used";
    let denied = denied(case, DenialKind::Subscription, what);
    let state = || {
        let state = case.azure.subscription.known()?.read_only_state()?;
        let message = format!(
            "the subscription of azureCredentialSecret is in the state {state}, in which Azure creates and changes nothing"
        );
        let remedy =
            "enable the subscription in the Azure portal (often a matter of billing), or use another one";
        Some(Fault::new(FIELD, message, remedy))
    };
    denied.or_else(state).into_iter().collect()
}

fn role(case: &Case<'_>) -> Vec<Fault> {
    let what = "the application of azureCredentialSecret may not do this in Azure";
    denied(case, DenialKind::Role, what).or_else(|| missing_right(case)).into_iter().collect()
}

/// What the application may not do where the cluster is to be created.
fn missing_right(case: &Case<'_>) -> Option<Fault> {
    let permissions = case.azure.permissions.known()?;
    let mut needed = vec![CREATE_CLUSTER];
    if !permissions.group_exists {
        needed.push(CREATE_GROUP);
    }
    let missing = needed.into_iter().find(|action| lacks(&permissions.roles, action))?;
    let (scope, client) = (&permissions.scope, &permissions.client_id);
    let command = [
        "az",
        "role",
        "assignment",
        "create",
        "--assignee",
        client,
        "--role",
        "Contributor",
        "--scope",
        scope,
    ];
    Some(Fault::new(
        FIELD,
        format!("the application of azureCredentialSecret lacks the right {missing} on {scope}"),
        format!("give it the role Contributor there ({}); {RECENT}", shell::command(&command)),
    ))
}

/// Whether Azure lists roles and none of them grants the action. An empty list is no statement: who has no role at all may not
/// read it.
fn lacks(roles: &[Permission], action: &str) -> bool {
    !roles.is_empty() && !roles.iter().any(|role| role.grants(action))
}

fn provider(case: &Case<'_>) -> Vec<Fault> {
    let Some(provider) = case.azure.provider.known() else { return Vec::new() };
    let roles = provider.subscription_roles.as_deref().unwrap_or_default();
    if provider.registered || !lacks(roles, REGISTER) {
        return Vec::new();
    }
    let namespace = "Microsoft.ContainerService";
    let command = shell::command(&["az", "provider", "register", "--namespace", namespace]);
    vec![Fault::new(
        FIELD,
        format!(
            "the subscription of azureCredentialSecret is not registered to use {namespace}, and the application lacks the right \
             {REGISTER}"
        ),
        format!("register it ({command}), or give the application the role Contributor on the subscription"),
    )]
}

/// Whether the error may be gone a little later without anybody doing anything.
pub(super) fn may_pass(case: &Case<'_>) -> bool {
    case.azure.denial.as_ref().map_or_else(|| missing_right(case).is_some(), |denial| denial.may_be_recent)
}
