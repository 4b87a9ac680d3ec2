//! The reasons for the verdict about a credential.

use super::assess::{AssessedOperation, RightsInput, SubscriptionState};
use super::gaps::{Part, RoleAssignment, Unchecked};
use super::operations::{AKS, LOG_ANALYTICS};
use super::policies::{AssignedPolicy, Denied, PolicyEffect, Resources};
use super::{Condition, Decision, Purpose, Scope, ScopeRights};
use crate::catalog::{Reason, Verdict};
use crate::review::sources::{PROVIDERS_DOC, STATES_DOC, learn};
use crate::shell;

const ROLES_DOC: &str =
    learn!("Assign Azure roles using Azure CLI", "azure/role-based-access-control/role-assignments-cli");
const DENY_DOC: &str =
    learn!("Azure Policy definitions deny effect", "azure/governance/policy/concepts/effect-deny");
const DENY_ACTION_DOC: &str = learn!(
    "Azure Policy definitions denyAction effect",
    "azure/governance/policy/concepts/effect-deny-action"
);
const POLICIES_DOC: &str =
    learn!("Azure Policy assignment structure", "azure/governance/policy/concepts/assignment-structure");
const PERMISSIONS_DOC: &str =
    learn!("Permissions, List, REST", "rest/api/authorization/permissions/list-for-resource-group");

/// The providers that this server registers itself when a cluster needs them.
const REGISTERED_ON_DEMAND: [&str; 2] = [AKS, LOG_ANALYTICS];

/// The providers that only clusters with monitoring need.
const FOR_MONITORING: [&str; 2] = [LOG_ANALYTICS, "Microsoft.OperationsManagement"];

/// Ends each remedy that proposes a role assignment.
const ROLE_DELAY: &str = "a new role takes effect after a few minutes";

/// The reason for a subscription that is read-only.
pub(super) fn of_subscription(subscription: &SubscriptionState) -> Vec<Reason> {
    let SubscriptionState::Known(subscription) = subscription else { return Vec::new() };
    let reason = subscription.read_only_state().map(|state| Reason {
        code: "subscriptionReadOnly",
        message: format!(
            "the subscription is in the state {state}, in which resources cannot be created or changed"
        ),
        remedy: "enable the subscription in the Azure portal (often a billing problem), or use another one"
            .to_owned(),
        source: STATES_DOC,
        verdict: Verdict::Unusable,
    });
    reason.into_iter().collect()
}

/// The reason for an application without any role.
pub(super) fn no_role(assignments: &[RoleAssignment]) -> Reason {
    let always_needed = assignments.iter().filter(|assignment| assignment.condition.is_none());
    Reason {
        code: "noRole",
        message: "the application may not read the subscription, and Azure lists no roles of the application"
            .to_owned(),
        remedy: assignment_remedy(always_needed),
        source: ROLES_DOC,
        verdict: Verdict::Unusable,
    }
}

/// The reasons for denied operations on each scope: one for each purpose, and one for each condition.
pub(super) fn of_operations(
    input: &RightsInput,
    operations: &[AssessedOperation],
    assignments: &[RoleAssignment],
) -> Vec<Reason> {
    let is_unusable = !input.scopes.iter().any(|rights| {
        let allows = |purpose| is_allowed(operations, rights, purpose);
        is_target(input, rights) && (allows(Purpose::Create) || allows(Purpose::Import))
    });
    let mut reasons = Vec::new();
    for ScopeRights { scope, .. } in &input.scopes {
        let denied: Vec<&AssessedOperation> = operations
            .iter()
            .filter(|operation| {
                operation.scope == *scope && operation.is_denied() && !is_registration(operation)
            })
            .collect();
        for purpose in Purpose::ALL {
            let actions = denied
                .iter()
                .filter(|operation| operation.is_needed && operation.purposes.contains(&purpose));
            let actions: Vec<&str> = actions.map(|operation| operation.action).collect();
            if !actions.is_empty() {
                let is_blocking = is_unusable && matches!(purpose, Purpose::Create | Purpose::Import);
                let verdict = if is_blocking { Verdict::Unusable } else { Verdict::Limited };
                reasons.push(missing_actions_reason(
                    purpose_code(purpose),
                    describe_purpose(purpose),
                    scope,
                    &actions,
                    assignments,
                    verdict,
                ));
            }
        }
        let is_denied = |purpose: &Purpose| {
            denied.iter().any(|operation| operation.is_needed && operation.purposes.contains(purpose))
        };
        // Skip operations all of whose purposes are denied anyway: the reasons above cover them.
        for (condition, code) in CONDITION_CODES {
            let conditional = denied.iter().filter(|operation| {
                operation.condition == Some(condition)
                    && !operation.is_needed
                    && !operation.purposes.iter().all(is_denied)
            });
            let actions: Vec<&str> = conditional.map(|operation| operation.action).collect();
            if !actions.is_empty() {
                reasons.push(missing_actions_reason(
                    code,
                    condition.describe(),
                    scope,
                    &actions,
                    assignments,
                    Verdict::Limited,
                ));
            }
        }
    }
    reasons
}

/// The conditions that have a reason of their own, with its code.
const CONDITION_CODES: [(Condition, &str); 6] = [
    (Condition::NewResourceGroup, "newResourceGroupDenied"),
    (Condition::OwnNetwork, "ownNetworkDenied"),
    (Condition::Monitoring, "monitoringDenied"),
    (Condition::LocalAccounts, "localAccountsDenied"),
    (Condition::NoLocalAccounts, "noLocalAccountsDenied"),
    (Condition::PrivateCluster, "privateClusterDenied"),
];

fn is_registration(operation: &AssessedOperation) -> bool {
    matches!(operation.condition, Some(Condition::UnregisteredProvider(_)))
}

/// Whether clusters would be created in this scope: a requested resource group or, if none was requested, the subscription.
fn is_target(input: &RightsInput, rights: &ScopeRights) -> bool {
    rights.scope.group.is_some() || input.scopes.len() == 1
}

/// Whether the application may perform every operation that a purpose needs on the scope; unknown decisions are treated as
/// allowed.
fn is_allowed(operations: &[AssessedOperation], rights: &ScopeRights, purpose: Purpose) -> bool {
    !operations.iter().any(|operation| {
        let applies_here = match operation.condition {
            Some(Condition::NewResourceGroup) => !rights.exists,
            Some(Condition::UnregisteredProvider(namespace)) => namespace == AKS,
            _ => operation.scope == rights.scope,
        };
        applies_here && operation.purposes.contains(&purpose) && operation.is_needed && operation.is_denied()
    })
}

fn purpose_code(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::List => "listDenied",
        Purpose::Create => "createDenied",
        Purpose::Change => "changeDenied",
        Purpose::Import => "importDenied",
        Purpose::Delete => "deleteDenied",
    }
}

fn describe_purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::List => "list regions, VM sizes, quotas, Kubernetes versions, networks and clusters",
        Purpose::Create => "create clusters",
        Purpose::Change => "change clusters",
        Purpose::Import => "import clusters",
        Purpose::Delete => "delete clusters",
    }
}

fn missing_actions_reason(
    code: &'static str,
    task: &str,
    scope: &Scope,
    actions: &[&str],
    assignments: &[RoleAssignment],
    verdict: Verdict,
) -> Reason {
    let matching_assignments = assignments.iter().filter(|assignment| {
        (assignment.scope == *scope || assignment.scope.group.is_none())
            && assignment.actions.iter().any(|action| actions.contains(action))
    });
    Reason {
        code,
        message: format!(
            "the application may not {task} in {}: it lacks {}",
            scope.describe(),
            actions.join(", ")
        ),
        remedy: assignment_remedy(matching_assignments),
        source: ROLES_DOC,
        verdict,
    }
}

fn assignment_remedy<'a>(assignments: impl Iterator<Item = &'a RoleAssignment>) -> String {
    let roles = assignments.map(|assignment| {
        format!("{} on {} ({})", assignment.role, assignment.scope.describe(), assignment.command)
    });
    let roles = roles.collect::<Vec<_>>().join(", and ");
    if roles.is_empty() {
        return "ask an administrator of the subscription for a role that allows this".to_owned();
    }
    format!("give it the role {roles}; {ROLE_DELAY}")
}

/// The reasons for providers that are not registered, except those that this server can register itself.
pub(super) fn of_providers(input: &RightsInput) -> Vec<Reason> {
    let Some(subscription) = input.scopes.first() else { return Vec::new() };
    let unregistered = input.providers.iter().filter(|provider| provider.is_registered() == Some(false));
    let reasons = unregistered.filter_map(|provider| {
        let decision = subscription.decide(&format!("{}/register/action", provider.namespace));
        let is_on_demand = REGISTERED_ON_DEMAND.contains(&provider.namespace);
        let is_registered_on_demand = is_on_demand && decision == Decision::Allowed;
        (!is_registered_on_demand)
            .then(|| unregistered_provider_reason(provider.namespace, &decision, &subscription.scope))
    });
    reasons.collect()
}

fn unregistered_provider_reason(namespace: &str, decision: &Decision, scope: &Scope) -> Reason {
    let monitoring_note =
        if FOR_MONITORING.contains(&namespace) { ", which clusters with monitoring need" } else { "" };
    let is_denied = *decision == Decision::Denied;
    let denial_note = if is_denied {
        format!("; the application may not register it: it lacks {namespace}/register/action")
    } else {
        String::new()
    };
    let command =
        ["az", "provider", "register", "--namespace", namespace, "--subscription", &scope.subscription];
    Reason {
        code: "providerUnregistered",
        message: format!(
            "the subscription is not registered to use {namespace}{monitoring_note}{denial_note}"
        ),
        remedy: format!("register it ({})", shell::command(&command)),
        source: PROVIDERS_DOC,
        verdict: if is_denied && namespace == AKS { Verdict::Unusable } else { Verdict::Limited },
    }
}

/// The reasons for policies: those of each policy that denies, and one for all policies whose effect is unknown.
pub(super) fn of_policies(policies: &[AssignedPolicy]) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut unknown = Vec::new();
    for policy in policies {
        match &policy.effect {
            PolicyEffect::Denies(denied) => reasons.extend(policy_reasons(policy, denied)),
            PolicyEffect::Unknown(reason) => unknown.push((policy, reason.as_str())),
        }
    }
    reasons.extend(unknown_policies_reason(&unknown));
    reasons
}

fn policy_reasons(policy: &AssignedPolicy, denied: &Denied) -> impl Iterator<Item = Reason> {
    let name = &policy.display_name;
    let remedy = format!(
        "compare the clusters with its rule ({}), or ask its owner for an exemption",
        show_command(policy)
    );
    let write_reason = denied.writes.as_ref().map(|resources| Reason {
        code: "policyDenies",
        message: match resources {
            _ if !denied.essentials.is_empty() => {
                format!("the policy {name} denies what every cluster needs: {}", denied.essentials.join("; "))
            }
            Resources::All => {
                format!("the policy {name} denies some requests, and clusters may be among them")
            }
            Resources::Some(descriptions) => {
                format!("the policy {name} denies some requests, perhaps for {}", descriptions.join("; "))
            }
        },
        remedy: remedy.clone(),
        source: DENY_DOC,
        verdict: if denied.essentials.is_empty() { Verdict::Limited } else { Verdict::Unusable },
    });
    let delete_reason = denied.deletes.as_ref().map(|resources| Reason {
        code: "policyDeniesDelete",
        message: match resources {
            Resources::All => {
                format!("the policy {name} may deny deleting clusters and their resources")
            }
            Resources::Some(descriptions) => {
                format!("the policy {name} may deny deleting {}", descriptions.join("; "))
            }
        },
        remedy,
        source: DENY_ACTION_DOC,
        verdict: Verdict::Limited,
    });
    write_reason.into_iter().chain(delete_reason)
}

/// The command that shows a policy assignment.
fn show_command(policy: &AssignedPolicy) -> String {
    let AssignedPolicy { name, scope, .. } = policy;
    shell::command(&["az", "policy", "assignment", "show", "--name", name, "--scope", scope])
}

/// The maximum number of policies that a reason lists.
const MAX_LISTED_POLICIES: usize = 3;

fn unknown_policies_reason(unknown: &[(&AssignedPolicy, &str)]) -> Option<Reason> {
    let (first, _) = unknown.first()?;
    let listed = unknown.iter().take(MAX_LISTED_POLICIES);
    let listed = listed.map(|(policy, reason)| format!("{} ({reason})", policy.display_name));
    let listed = listed.collect::<Vec<_>>().join(", ");
    let others = unknown.len().saturating_sub(MAX_LISTED_POLICIES);
    let others = if others > 0 { format!(" and {others} more") } else { String::new() };
    Some(Reason {
        code: "policyUnknown",
        message: format!("policies may deny clusters, but their effect is unknown: {listed}{others}"),
        remedy: format!(
            "check their definitions ({}), or give the application the role Reader where they are defined",
            show_command(first)
        ),
        source: POLICIES_DOC,
        verdict: Verdict::Limited,
    })
}

/// The reasons for the parts of the check that could not be read: one for each part and cause.
pub(super) fn of_unchecked(parts: &[Unchecked]) -> Vec<Reason> {
    let mut causes: Vec<(Part, &str)> = Vec::new();
    for Unchecked { part, reason, .. } in parts {
        if !causes.contains(&(*part, reason)) {
            causes.push((*part, reason));
        }
    }
    let reasons = causes.into_iter().map(|(part, cause)| {
        let with_cause = parts.iter().filter(|other| other.part == part && other.reason == cause);
        let subjects: Vec<&str> = with_cause.map(|other| other.subject.as_str()).collect();
        unchecked_reason(part, &subjects.join(", "), cause)
    });
    reasons.collect()
}

fn unchecked_reason(part: Part, subjects: &str, cause: &str) -> Reason {
    let (property, verb) = match part {
        Part::Subscription => ("the state of", "is"),
        Part::Permissions => ("the permissions of the application on", "are"),
        Part::Providers => ("the registration of", "is"),
        Part::Policies => ("the policies that apply to", "are"),
    };
    Reason {
        code: "notChecked",
        message: format!("{property} {subjects} {verb} unknown: {cause}"),
        remedy: "try again; if it stays unknown, give the application the role Reader on the subscription"
            .to_owned(),
        source: PERMISSIONS_DOC,
        verdict: Verdict::Limited,
    }
}
