//! Assesses the needed operations: whether the roles of an application allow them, and on which scopes.

use super::operations::READ_SUBSCRIPTION;
use super::policies::AssignedPolicy;
use super::{Condition, Decision, Level, NO_ROLES, OPERATIONS, Operation, Purpose, Scope, decide};
use crate::arm::{Permission, Subscription};

/// Azure's data about a credential whose login succeeded. For a part that could not be read, it contains the reason.
#[derive(Clone, Debug)]
pub struct RightsInput {
    /// The client ID of the application.
    pub client_id: String,
    /// The subscription.
    pub subscription: SubscriptionState,
    /// The subscription, and then the requested resource groups.
    pub scopes: Vec<ScopeRights>,
    /// The resource providers that clusters need.
    pub providers: Vec<Registration>,
    /// The policies that apply and deny something, or whose effect is unknown.
    pub policies: Result<Vec<AssignedPolicy>, String>,
}

/// Whether the application may read the subscription, and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionState {
    /// The application may read the subscription.
    Known(Subscription),
    /// The application lacks a role for reading the subscription.
    Denied,
    /// Unknown, for this reason.
    Unknown(String),
}

impl SubscriptionState {
    pub(super) fn state(&self) -> Option<&str> {
        match self {
            Self::Known(subscription) => subscription.state.as_deref(),
            Self::Denied | Self::Unknown(_) => None,
        }
    }
}

/// The roles of the application on a scope, with those that it inherits.
#[derive(Clone, Debug)]
pub struct ScopeRights {
    /// The scope.
    pub scope: Scope,
    /// Whether the scope exists; a missing resource group has the roles of the subscription.
    pub exists: bool,
    /// The actions of each role, or the reason why they are unknown.
    pub roles: Result<Vec<Permission>, String>,
}

impl ScopeRights {
    pub(super) fn decide(&self, action: &str) -> Decision {
        match &self.roles {
            Ok(roles) => decide(roles, action),
            Err(reason) => Decision::Unknown(reason.clone()),
        }
    }

    /// The reason why the roles are unknown; `None` if they are known.
    pub(super) fn unknown_reason(&self) -> Option<&str> {
        match &self.roles {
            Ok(roles) if roles.is_empty() => Some(NO_ROLES),
            Ok(_) => None,
            Err(reason) => Some(reason),
        }
    }
}

/// The registration of a resource provider in the subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// For example `Microsoft.ContainerService`.
    pub namespace: &'static str,
    /// Azure's name of the state, such as `Registered`, or the reason why it is unknown.
    pub state: Result<String, String>,
}

impl Registration {
    /// Whether clusters can use the provider now or soon; `None` if unknown.
    pub fn is_registered(&self) -> Option<bool> {
        let is_usable = |state: &String| {
            ["Registered", "Registering"].iter().any(|usable| usable.eq_ignore_ascii_case(state))
        };
        self.state.as_ref().ok().map(is_usable)
    }
}

/// An operation on a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssessedOperation {
    /// Azure's name.
    pub action: &'static str,
    /// The purposes that need the operation.
    pub purposes: Vec<Purpose>,
    /// The condition under which the operation is needed; `None` if it always is.
    pub condition: Option<Condition>,
    /// Whether the operation is needed: always, or because its condition is met.
    pub is_needed: bool,
    /// The scope.
    pub scope: Scope,
    /// Whether the application may perform the operation.
    pub decision: Decision,
    /// The page of Azure's documentation that describes the operation.
    pub source: &'static str,
}

impl AssessedOperation {
    pub(super) fn is_denied(&self) -> bool {
        self.decision == Decision::Denied
    }
}

/// Assesses all operations: those of [`Level::Subscription`] on the subscription, and those of [`Level::ResourceGroup`] on each
/// requested group, or on the subscription if none was requested.
pub fn assess(input: &RightsInput) -> Vec<AssessedOperation> {
    let Some((subscription, groups)) = input.scopes.split_first() else { return Vec::new() };
    let mut assessed: Vec<AssessedOperation> = Vec::new();
    for operation in OPERATIONS {
        if operation.condition == Some(Condition::NewResourceGroup)
            && !groups.is_empty()
            && groups.iter().all(|group| group.exists)
        {
            continue;
        }
        let is_on_groups = operation.level == Level::ResourceGroup && !groups.is_empty();
        let scopes = if is_on_groups { groups } else { std::slice::from_ref(subscription) };
        for rights in scopes {
            let existing = assessed.iter_mut().find(|other| {
                other.action == operation.action
                    && other.condition == operation.condition
                    && other.scope == rights.scope
            });
            match existing {
                Some(existing) => existing.purposes.extend(operation.purposes),
                None => assessed.push(assessed_operation(input, operation, rights)),
            }
        }
    }
    require_admin_kubeconfig_if_user_denied(&mut assessed);
    assessed
}

/// An application that may not read the kubeconfig for users needs the one for administrators: nothing else gives access.
fn require_admin_kubeconfig_if_user_denied(assessed: &mut [AssessedOperation]) {
    let is_denied_under = |operation: &AssessedOperation, condition| {
        operation.condition == Some(condition) && operation.is_denied()
    };
    let scopes_without_user_kubeconfig: Vec<Scope> = assessed
        .iter()
        .filter(|operation| is_denied_under(operation, Condition::NoLocalAccounts))
        .map(|operation| operation.scope.clone())
        .collect();
    for operation in
        assessed.iter_mut().filter(|operation| is_denied_under(operation, Condition::LocalAccounts))
    {
        operation.is_needed = scopes_without_user_kubeconfig.contains(&operation.scope);
    }
}

fn assessed_operation(input: &RightsInput, operation: &Operation, rights: &ScopeRights) -> AssessedOperation {
    let decision = match (&input.subscription, operation.action) {
        (SubscriptionState::Known(_), READ_SUBSCRIPTION) => Decision::Allowed,
        (SubscriptionState::Denied, READ_SUBSCRIPTION) => Decision::Denied,
        (_, action) => rights.decide(action),
    };
    AssessedOperation {
        action: operation.action,
        purposes: operation.purposes.to_vec(),
        condition: operation.condition,
        is_needed: is_needed(input, operation.condition),
        scope: rights.scope.clone(),
        decision,
        source: operation.source,
    }
}

fn is_needed(input: &RightsInput, condition: Option<Condition>) -> bool {
    match condition {
        None => true,
        Some(Condition::NewResourceGroup) => input.scopes.iter().any(|rights| !rights.exists),
        Some(Condition::UnregisteredProvider(namespace)) => input
            .providers
            .iter()
            .any(|provider| provider.namespace == namespace && provider.is_registered() == Some(false)),
        Some(
            Condition::OwnNetwork
            | Condition::Monitoring
            | Condition::LocalAccounts
            | Condition::NoLocalAccounts
            | Condition::PrivateCluster,
        ) => false,
    }
}
