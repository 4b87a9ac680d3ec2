//! The reasons for the verdict about a credential.

use super::assess::{AssessedOperation, RightsInput, SubscriptionState};
use super::check::{RoleAssignment, Unchecked};
use super::operations::{AKS, LOG_ANALYTICS};
use super::policies::{AssignedPolicy, PolicyEffect};
use super::{Condition, Decision, Purpose, Scope, ScopeRights};
use crate::catalog::{Reason, Verdict};
use crate::shell;

const ROLES: &str = "Azure: Assign Azure roles using Azure CLI, \
    https://learn.microsoft.com/azure/role-based-access-control/role-assignments-cli";
const STATES: &str = "Azure: Azure subscription states, \
    https://learn.microsoft.com/azure/cost-management-billing/manage/subscription-states";
const PROVIDERS: &str = "Azure: Azure resource providers and types, register resource provider, \
    https://learn.microsoft.com/azure/azure-resource-manager/management/resource-providers-and-types";
const POLICIES: &str = "Azure: Azure Policy definitions deny effect, \
    https://learn.microsoft.com/azure/governance/policy/concepts/effect-deny";
const PERMISSIONS: &str = "Azure: Permissions, List, REST, \
    https://learn.microsoft.com/rest/api/authorization/permissions/list-for-resource-group";

/// The providers that this server registers itself when a cluster needs them.
const REGISTERED_ON_DEMAND: [&str; 2] = [AKS, LOG_ANALYTICS];

/// The providers that only clusters with monitoring need.
const FOR_MONITORING: [&str; 2] = [LOG_ANALYTICS, "Microsoft.OperationsManagement"];

/// Added where Azure needs some minutes.
const SOON: &str = "a new role takes a few minutes to work";

/// The reason for a subscription in which Azure writes nothing.
pub(super) fn of_subscription(subscription: &SubscriptionState) -> Vec<Reason> {
    let SubscriptionState::Known(subscription) = subscription else { return Vec::new() };
    let reason = subscription.read_only_state().map(|state| Reason {
        code: "subscriptionReadOnly",
        message: format!(
            "the subscription is in the state {state}, in which Azure creates and changes nothing"
        ),
        remedy: "enable the subscription in the Azure portal (often a billing problem), or use another one"
            .to_owned(),
        source: STATES,
        verdict: Verdict::Unusable,
    });
    reason.into_iter().collect()
}

/// The reason for an application that Azure denies everything.
pub(super) fn no_role(assignments: &[RoleAssignment]) -> Reason {
    let always = assignments.iter().filter(|assignment| assignment.condition.is_none());
    Reason {
        code: "noRole",
        message: "the application may not read the subscription, and Azure lists no role of it".to_owned(),
        remedy: remedy(always),
        source: ROLES,
        verdict: Verdict::Unusable,
    }
}

/// The reasons for denied operations: one for each purpose, and one for each case, on each scope.
pub(super) fn of_operations(
    input: &RightsInput,
    operations: &[AssessedOperation],
    assignments: &[RoleAssignment],
) -> Vec<Reason> {
    let is_unusable = !input.scopes.iter().any(|rights| {
        let is_possible = |purpose| is_possible(operations, rights, purpose);
        is_target(input, rights) && (is_possible(Purpose::Create) || is_possible(Purpose::Import))
    });
    let mut reasons = Vec::new();
    for ScopeRights { scope, .. } in &input.scopes {
        let denied: Vec<&AssessedOperation> = operations
            .iter()
            .filter(|operation| operation.scope == *scope && operation.is_denied() && !is_register(operation))
            .collect();
        for purpose in Purpose::ALL {
            let actions = denied
                .iter()
                .filter(|operation| operation.is_needed && operation.purposes.contains(&purpose));
            let actions: Vec<&str> = actions.map(|operation| operation.action).collect();
            if !actions.is_empty() {
                let blocks = is_unusable && matches!(purpose, Purpose::Create | Purpose::Import);
                let verdict = if blocks { Verdict::Unusable } else { Verdict::Limited };
                reasons.push(denial(code(purpose), describe(purpose), scope, &actions, assignments, verdict));
            }
        }
        let is_denied = |purpose: &Purpose| {
            denied.iter().any(|operation| operation.is_needed && operation.purposes.contains(purpose))
        };
        for condition in CASES {
            let cases = denied.iter().filter(|operation| {
                operation.condition == Some(condition)
                    && !operation.is_needed
                    && !operation.purposes.iter().all(is_denied)
            });
            let actions: Vec<&str> = cases.map(|operation| operation.action).collect();
            if !actions.is_empty() {
                let (code, what) = (case_code(condition), condition.describe());
                reasons.push(denial(code, what, scope, &actions, assignments, Verdict::Limited));
            }
        }
    }
    reasons
}

/// The cases with reasons of their own.
const CASES: [Condition; 6] = [
    Condition::NewResourceGroup,
    Condition::OwnNetwork,
    Condition::Monitoring,
    Condition::LocalAccounts,
    Condition::NoLocalAccounts,
    Condition::PrivateCluster,
];

fn is_register(operation: &AssessedOperation) -> bool {
    matches!(operation.condition, Some(Condition::UnregisteredProvider(_)))
}

/// Whether clusters are created on the scope: in the resource groups if there are any, else anywhere.
fn is_target(input: &RightsInput, rights: &ScopeRights) -> bool {
    rights.scope.group.is_some() || input.scopes.len() == 1
}

/// Whether nothing that a purpose needs on the scope is denied.
fn is_possible(operations: &[AssessedOperation], rights: &ScopeRights, purpose: Purpose) -> bool {
    !operations.iter().any(|operation| {
        let is_here = match operation.condition {
            Some(Condition::NewResourceGroup) => !rights.exists,
            Some(Condition::UnregisteredProvider(namespace)) => namespace == AKS,
            _ => operation.scope == rights.scope,
        };
        is_here && operation.purposes.contains(&purpose) && operation.is_needed && operation.is_denied()
    })
}

fn code(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::List => "listDenied",
        Purpose::Create => "createDenied",
        Purpose::Change => "changeDenied",
        Purpose::Import => "importDenied",
        Purpose::Delete => "deleteDenied",
    }
}

fn describe(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::List => "list all that clusters are made of",
        Purpose::Create => "create clusters",
        Purpose::Change => "change clusters",
        Purpose::Import => "import clusters",
        Purpose::Delete => "delete clusters",
    }
}

fn case_code(condition: Condition) -> &'static str {
    match condition {
        Condition::NewResourceGroup => "newResourceGroupDenied",
        Condition::UnregisteredProvider(_) => "registrationDenied",
        Condition::OwnNetwork => "ownNetworkDenied",
        Condition::Monitoring => "monitoringDenied",
        Condition::LocalAccounts => "localAccountsDenied",
        Condition::NoLocalAccounts => "noLocalAccountsDenied",
        Condition::PrivateCluster => "privateClusterDenied",
    }
}

fn denial(
    code: &'static str,
    what: &str,
    scope: &Scope,
    actions: &[&str],
    assignments: &[RoleAssignment],
    verdict: Verdict,
) -> Reason {
    let fixes = assignments.iter().filter(|assignment| {
        (assignment.scope == *scope || assignment.scope.group.is_none())
            && assignment.actions.iter().any(|action| actions.contains(action))
    });
    Reason {
        code,
        message: format!(
            "the application may not {what} in {}: it lacks {}",
            scope.describe(),
            actions.join(", ")
        ),
        remedy: remedy(fixes),
        source: ROLES,
        verdict,
    }
}

fn remedy<'a>(assignments: impl Iterator<Item = &'a RoleAssignment>) -> String {
    let assign = assignments.map(|assignment| {
        format!("{} on {} ({})", assignment.role, assignment.scope.describe(), assignment.command)
    });
    let assign = assign.collect::<Vec<_>>().join(", and ");
    if assign.is_empty() {
        return "ask an administrator of the subscription for a role that allows this".to_owned();
    }
    format!("give it the role {assign}; {SOON}")
}

/// The reasons for providers that are not registered, except those that this server can register itself.
pub(super) fn of_providers(input: &RightsInput) -> Vec<Reason> {
    let Some(subscription) = input.scopes.first() else { return Vec::new() };
    let unregistered = input.providers.iter().filter(|provider| provider.is_registered() == Some(false));
    let reasons = unregistered.filter_map(|provider| {
        let decision = subscription.decide(&format!("{}/register/action", provider.namespace));
        let is_on_demand = REGISTERED_ON_DEMAND.contains(&provider.namespace);
        let works = is_on_demand && decision == Decision::Allowed;
        (!works).then(|| unregistered_provider(provider.namespace, &decision, &subscription.scope))
    });
    reasons.collect()
}

fn unregistered_provider(namespace: &str, decision: &Decision, scope: &Scope) -> Reason {
    let only = if FOR_MONITORING.contains(&namespace) { ", which clusters with monitoring need" } else { "" };
    let is_denied = *decision == Decision::Denied;
    let lacks = if is_denied {
        format!("; the application may not register it: it lacks {namespace}/register/action")
    } else {
        String::new()
    };
    let words =
        ["az", "provider", "register", "--namespace", namespace, "--subscription", &scope.subscription];
    Reason {
        code: "providerUnregistered",
        message: format!("the subscription is not registered to use {namespace}{only}{lacks}"),
        remedy: format!("register it ({})", shell::command(&words)),
        source: PROVIDERS,
        verdict: if is_denied && namespace == AKS { Verdict::Unusable } else { Verdict::Limited },
    }
}

/// The reason for a policy that denies.
pub(super) fn of_policy(policy: &AssignedPolicy) -> Option<Reason> {
    if policy.effect != PolicyEffect::Denies {
        return None;
    }
    let AssignedPolicy { name, display_name, scope, .. } = policy;
    let words = ["az", "policy", "assignment", "show", "--name", name, "--scope", scope];
    Some(Reason {
        code: "policyDenies",
        message: format!("the policy {display_name} denies some requests, and clusters may be among them"),
        remedy: format!(
            "compare the clusters with its rule ({}), or ask its owner for an exemption",
            shell::command(&words)
        ),
        source: POLICIES,
        verdict: Verdict::Limited,
    })
}

/// The reasons for parts that could not be read: one for all of a kind with the same cause.
pub(super) fn of_unchecked(parts: &[Unchecked]) -> Vec<Reason> {
    let mut causes: Vec<(&str, &str)> = Vec::new();
    for Unchecked { part, reason, .. } in parts {
        if !causes.contains(&(part, reason)) {
            causes.push((part, reason));
        }
    }
    let reasons = causes.into_iter().map(|(part, cause)| {
        let same = parts.iter().filter(|other| other.part == part && other.reason == cause);
        let subjects: Vec<&str> = same.map(|other| other.subject.as_str()).collect();
        unchecked(part, &subjects.join(", "), cause)
    });
    reasons.collect()
}

fn unchecked(part: &str, subjects: &str, cause: &str) -> Reason {
    let what = match part {
        "permissions" => "what the application may do on",
        "providers" => "the registration of",
        "policies" => "which policies apply to",
        _ => "the state of",
    };
    Reason {
        code: "notChecked",
        message: format!("{what} {subjects} is unknown: {cause}"),
        remedy: "try again; if it stays unknown, give the application the role Reader on the subscription"
            .to_owned(),
        source: PERMISSIONS,
        verdict: Verdict::Limited,
    }
}
