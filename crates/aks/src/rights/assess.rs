//! Which of the needed operations the roles of an application allow, and on which scopes.

use super::operations::READ_SUBSCRIPTION;
use super::policies::AssignedPolicy;
use super::{Condition, Decision, Level, NO_ROLES, OPERATIONS, Operation, Purpose, Scope, decide};
use crate::arm::{Permission, Subscription};

/// What Azure says about a credential whose login succeeded. A part that could not be read has the reason instead.
#[derive(Clone, Debug)]
pub struct RightsInput {
    /// The client ID of the application.
    pub client_id: String,
    /// The subscription.
    pub subscription: SubscriptionState,
    /// The subscription, and then the resource groups that were asked for.
    pub scopes: Vec<ScopeRights>,
    /// The resource providers that clusters need.
    pub providers: Vec<Registration>,
    /// The policies that apply and deny something, or whose effect is unknown.
    pub policies: Result<Vec<AssignedPolicy>, String>,
}

/// Whether the application may read the subscription, and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionState {
    /// It may.
    Known(Subscription),
    /// Azure denies it for lack of a role.
    Denied,
    /// Not known, for this reason.
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
    /// Whether it exists; a missing resource group has the roles of the subscription.
    pub exists: bool,
    /// The actions of each role, or why they are not known.
    pub roles: Result<Vec<Permission>, String>,
}

impl ScopeRights {
    pub(super) fn decide(&self, action: &str) -> Decision {
        match &self.roles {
            Ok(roles) => decide(roles, action),
            Err(reason) => Decision::Unknown(reason.clone()),
        }
    }

    /// Why nothing is known about the roles; `None` if they are.
    pub(super) fn unknown(&self) -> Option<&str> {
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
    /// Azure's word, such as `Registered`, or why it is not known.
    pub state: Result<String, String>,
}

impl Registration {
    /// Whether clusters can use it now or soon; `None` if unknown.
    pub fn is_registered(&self) -> Option<bool> {
        let is = |word: &str, state: &str| state.eq_ignore_ascii_case(word);
        self.state.as_ref().ok().map(|state| is("Registered", state) || is("Registering", state))
    }
}

/// An operation on a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssessedOperation {
    /// Azure's name.
    pub action: &'static str,
    /// The uses that need it.
    pub purposes: Vec<Purpose>,
    /// The case in which it is needed; `None`: always.
    pub condition: Option<Condition>,
    /// Whether it is needed as things are: always, or because the case of its condition is there.
    pub is_needed: bool,
    /// The scope.
    pub scope: Scope,
    /// Whether the application may perform it.
    pub decision: Decision,
    /// The page of Azure's documentation that describes it.
    pub source: &'static str,
}

impl AssessedOperation {
    pub(super) fn is_denied(&self) -> bool {
        self.decision == Decision::Denied
    }
}

/// Assesses all operations: those of the subscription on it, and those of resource groups on each group, or on the
/// subscription if there is none.
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
        let on_groups = operation.level == Level::ResourceGroup && !groups.is_empty();
        let scopes = if on_groups { groups } else { std::slice::from_ref(subscription) };
        for rights in scopes {
            let same = assessed.iter_mut().find(|other| {
                other.action == operation.action
                    && other.condition == operation.condition
                    && other.scope == rights.scope
            });
            match same {
                Some(other) => other.purposes.extend(operation.purposes),
                None => assessed.push(assessed_operation(input, operation, rights)),
            }
        }
    }
    require_a_kubeconfig(&mut assessed);
    assessed
}

/// A cluster without local accounts can be accessed with the kubeconfig for users. If that is denied too, nothing replaces the one
/// for administrators.
fn require_a_kubeconfig(assessed: &mut [AssessedOperation]) {
    let is = |operation: &AssessedOperation, condition| {
        operation.condition == Some(condition) && operation.is_denied()
    };
    let without: Vec<Scope> = assessed
        .iter()
        .filter(|operation| is(operation, Condition::NoLocalAccounts))
        .map(|operation| operation.scope.clone())
        .collect();
    for operation in assessed.iter_mut().filter(|operation| is(operation, Condition::LocalAccounts)) {
        operation.is_needed = without.contains(&operation.scope);
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
