//! The result of checking a credential: the verdict with its reasons, and the role assignments that add missing rights.

use super::assess::{AssessedOperation, RightsInput, SubscriptionState, assess};
use super::gaps::{Part, RoleAssignment, Unchecked};
use super::operations::READ_SUBSCRIPTION;
use super::policies::AssignedPolicy;
use super::reasons;
use super::{Condition, Decision, Registration, Scope, built_in_roles, smallest_roles};
use crate::catalog::{Reason, Verdict, verdict};
use crate::shell;

/// The result of checking a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialCheck {
    /// `Usable` if the credential can do everything; `Unusable` if Azure rejects it, if it can neither create nor import
    /// clusters, or if a policy denies all new ones.
    pub verdict: Verdict,
    /// The reasons, the worst first.
    pub reasons: Vec<Reason>,
    /// Azure's name of the subscription's state, such as `Enabled`; `None` if unknown.
    pub subscription_state: Option<String>,
    /// The needed operations.
    pub operations: Vec<AssessedOperation>,
    /// The smallest role assignments that allow the denied operations.
    pub assignments: Vec<RoleAssignment>,
    /// The resource providers that clusters need.
    pub providers: Vec<Registration>,
    /// The policies that deny, and those whose effect is unknown.
    pub policies: Vec<AssignedPolicy>,
    /// The parts that could not be read.
    pub unchecked: Vec<Unchecked>,
}

/// The result for a credential that Azure rejects, or that could not be tried.
pub fn rejected(reason: Reason) -> CredentialCheck {
    CredentialCheck {
        verdict: reason.verdict,
        reasons: vec![reason],
        subscription_state: None,
        operations: Vec::new(),
        assignments: Vec::new(),
        providers: Vec::new(),
        policies: Vec::new(),
        unchecked: Vec::new(),
    }
}

/// Checks a credential whose login succeeded.
pub fn check(input: RightsInput) -> CredentialCheck {
    let operations = assess(&input);
    let has_no_role = has_no_role(&input, &operations);
    let is_missing = |operation: &AssessedOperation| operation.is_denied() || has_no_role;
    let assignments = smallest_assignments(&input, &operations, is_missing);
    let mut unchecked = unchecked_parts(&input);
    let mut reasons = reasons::of_subscription(&input.subscription);
    if has_no_role {
        // These parts are denied for the same reason.
        unchecked.clear();
        reasons.push(reasons::no_role(&assignments));
    } else {
        reasons.extend(reasons::of_operations(&input, &operations, &assignments));
        reasons.extend(reasons::of_unchecked(&unchecked));
    }
    reasons.extend(reasons::of_providers(&input));
    let policies = input.policies.unwrap_or_default();
    reasons.extend(reasons::of_policies(&policies));
    // The sort is stable, so reasons with the same verdict keep their order.
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.verdict));
    CredentialCheck {
        verdict: verdict(&reasons),
        reasons,
        subscription_state: input.subscription.state().map(str::to_owned),
        operations,
        assignments,
        providers: input.providers,
        policies,
        unchecked,
    }
}

/// Whether the application may not even read the subscription, and Azure lists no role of it on any scope.
fn has_no_role(input: &RightsInput, operations: &[AssessedOperation]) -> bool {
    let is_unknown = |operation: &AssessedOperation| matches!(operation.decision, Decision::Unknown(_));
    input.subscription == SubscriptionState::Denied
        && operations.iter().all(|operation| is_unknown(operation) || operation.action == READ_SUBSCRIPTION)
}

/// The smallest assignments that add all missing operations: first those that are always needed, then those of each unmet
/// condition. Each has the narrowest scope that suffices.
fn smallest_assignments(
    input: &RightsInput,
    operations: &[AssessedOperation],
    is_missing: impl Fn(&AssessedOperation) -> bool,
) -> Vec<RoleAssignment> {
    let missing: Vec<&AssessedOperation> = operations
        .iter()
        // A provider is registered only once, so no role is proposed for that.
        .filter(|operation| !matches!(operation.condition, Some(Condition::UnregisteredProvider(_))))
        .filter(|operation| is_missing(operation))
        .collect();
    let mut unmet_conditions: Vec<Option<Condition>> =
        missing.iter().map(|operation| unmet_condition(operation)).collect();
    unmet_conditions.sort_unstable();
    unmet_conditions.dedup();
    let mut assignments: Vec<RoleAssignment> = Vec::new();
    for condition in unmet_conditions {
        for rights in &input.scopes {
            let to_grant = missing.iter().filter(|operation| {
                unmet_condition(operation) == condition
                    && assignable_scope(input, operation) == rights.scope
                    && !is_granted(&assignments, operation, &rights.scope)
            });
            let mut actions: Vec<&'static str> = to_grant.map(|operation| operation.action).collect();
            actions.sort_unstable();
            actions.dedup();
            for role in smallest_roles(&actions) {
                let granted_actions =
                    actions.iter().filter(|action| role.permission().grants(action)).copied().collect();
                assignments.push(RoleAssignment {
                    role: role.name,
                    scope: rights.scope.clone(),
                    actions: granted_actions,
                    condition,
                    command: assignment_command(&input.client_id, role.name, &rights.scope),
                    source: role.source,
                });
            }
        }
    }
    assignments
}

/// The condition of the operation, if it is not met.
fn unmet_condition(operation: &AssessedOperation) -> Option<Condition> {
    operation.condition.filter(|_| !operation.is_needed)
}

/// The scope on which a role for the operation can be assigned: the subscription if the resource group does not exist.
fn assignable_scope(input: &RightsInput, operation: &AssessedOperation) -> Scope {
    let exists = input.scopes.iter().any(|rights| rights.exists && rights.scope == operation.scope);
    if exists { operation.scope.clone() } else { Scope { group: None, ..operation.scope.clone() } }
}

/// Whether an assignment for the same condition, or one that is always needed, grants the operation on the scope.
fn is_granted(assignments: &[RoleAssignment], operation: &AssessedOperation, scope: &Scope) -> bool {
    assignments.iter().any(|assignment| {
        (assignment.scope.group.is_none() || assignment.scope == *scope)
            && (assignment.condition.is_none() || assignment.condition == unmet_condition(operation))
            && built_in_roles::find(assignment.role)
                .is_some_and(|role| role.permission().grants(operation.action))
    })
}

fn assignment_command(client_id: &str, role: &str, scope: &Scope) -> String {
    let scope = scope.resource_id();
    let words =
        ["az", "role", "assignment", "create", "--assignee", client_id, "--role", role, "--scope", &scope];
    shell::command(&words)
}

fn unchecked_parts(input: &RightsInput) -> Vec<Unchecked> {
    let unchecked = |part, subject: &str, reason: &str| Unchecked {
        part,
        subject: subject.to_owned(),
        reason: reason.to_owned(),
    };
    let mut parts = Vec::new();
    let subscription = input.scopes.first().map(|rights| rights.scope.resource_id()).unwrap_or_default();
    if let SubscriptionState::Unknown(reason) = &input.subscription {
        parts.push(unchecked(Part::Subscription, &subscription, reason));
    }
    for rights in &input.scopes {
        // A missing group has the roles of the subscription.
        if let (true, Some(reason)) = (rights.exists, rights.unknown_reason()) {
            parts.push(unchecked(Part::Permissions, &rights.scope.resource_id(), reason));
        }
    }
    for provider in &input.providers {
        if let Err(reason) = &provider.state {
            parts.push(unchecked(Part::Providers, provider.namespace, reason));
        }
    }
    if let Err(reason) = &input.policies {
        parts.push(unchecked(Part::Policies, &subscription, reason));
    }
    parts
}

#[cfg(test)]
mod tests;
