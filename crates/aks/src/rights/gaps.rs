//! The gaps of a credential: missing role assignments, and parts that could not be read.

use super::{Condition, Scope};

/// A part that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unchecked {
    /// The part.
    pub part: Part,
    /// The resource ID or the name of what could not be read.
    pub subject: String,
    /// The reason why it could not be read.
    pub reason: String,
}

/// A part of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The state of the subscription.
    Subscription,
    /// The roles of the application.
    Permissions,
    /// The registration of resource providers.
    Providers,
    /// The assigned policies.
    Policies,
}

impl Part {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subscription => "subscription",
            Self::Permissions => "permissions",
            Self::Providers => "providers",
            Self::Policies => "policies",
        }
    }
}

/// A role assignment that adds missing rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleAssignment {
    /// The name of a built-in role.
    pub role: &'static str,
    /// The scope.
    pub scope: Scope,
    /// The missing actions that the role grants.
    pub actions: Vec<&'static str>,
    /// The condition under which the actions are needed; `None` if they always are.
    pub condition: Option<Condition>,
    /// The command that creates the assignment, for a POSIX shell.
    pub command: String,
    /// The page of Azure's documentation with the definition of the role.
    pub source: &'static str,
}
