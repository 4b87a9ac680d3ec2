//! The rights of an application in Azure: the operations that this server needs, which of them its roles allow, and the
//! smallest role assignments that add the missing ones. The server reads the roles from Azure.
//!
//! Only role assignments are evaluated, as `Microsoft.Authorization/permissions` lists them. Deny assignments and conditions
//! of role assignments are not part of that list.

mod assess;
mod built_in_roles;
mod check;
mod gaps;
mod operations;
mod policies;
mod reasons;

pub use assess::{AssessedOperation, Registration, RightsInput, ScopeRights, SubscriptionState, assess};
pub use built_in_roles::{BuiltInRole, smallest_roles};
pub use check::{CredentialCheck, check, rejected};
pub use gaps::{Part, RoleAssignment, Unchecked};
pub use operations::{Condition, Level, OPERATIONS, Operation, Purpose};
pub use policies::{AssignedPolicy, Denied, PolicyDefinitions, PolicyEffect, Resources};

use crate::arm::Permission;

/// Whether roles allow an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A role grants the action.
    Allowed,
    /// Azure lists roles, and none of them grants the action.
    Denied,
    /// Unknown, for this reason.
    Unknown(String),
}

/// The reason for [`Decision::Unknown`] if Azure lists no roles.
const NO_ROLES: &str = "Azure lists no roles of the application here";

/// Whether one of the roles grants the action. Each role is evaluated by itself: an exception (`notActions`) of one does not
/// restrict another. An empty list proves nothing, because an application without any role may not read its roles.
pub fn decide(roles: &[Permission], action: &str) -> Decision {
    if roles.is_empty() {
        Decision::Unknown(NO_ROLES.to_owned())
    } else if roles.iter().any(|role| role.grants(action)) {
        Decision::Allowed
    } else {
        Decision::Denied
    }
}

/// Whether Azure lists roles and none of them grants the action.
pub fn lacks(roles: &[Permission], action: &str) -> bool {
    decide(roles, action) == Decision::Denied
}

/// A scope of role assignments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The subscription ID.
    pub subscription: String,
    /// The name of a resource group; `None` for the whole subscription.
    pub group: Option<String>,
}

impl Scope {
    /// The resource ID, for example `/subscriptions/…/resourceGroups/shop`.
    pub fn resource_id(&self) -> String {
        match &self.group {
            Some(group) => format!("/subscriptions/{}/resourceGroups/{group}", self.subscription),
            None => format!("/subscriptions/{}", self.subscription),
        }
    }

    /// The scope in a sentence, after "in".
    fn describe(&self) -> String {
        match &self.group {
            Some(group) => format!("the resource group {group}"),
            None => "the subscription".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(actions: &[&str], not_actions: &[&str]) -> Permission {
        let strings = |list: &[&str]| list.iter().map(|action| (*action).to_owned()).collect();
        Permission { actions: strings(actions), not_actions: strings(not_actions) }
    }

    #[test]
    fn exceptions_of_one_role_do_not_limit_another() {
        const DELETE: &str = "Microsoft.ContainerService/managedClusters/delete";
        let unknown = Decision::Unknown(NO_ROLES.to_owned());
        for (roles, expected) in [
            (vec![], unknown),
            (vec![role(&[], &[])], Decision::Denied),
            (vec![role(&["*/read"], &[])], Decision::Denied),
            (vec![role(&["*"], &["*/delete"])], Decision::Denied),
            (vec![role(&["*"], &["*/delete"]), role(&["*/read"], &[])], Decision::Denied),
            (
                vec![role(&["*"], &["*/delete"]), role(&["Microsoft.ContainerService/*"], &[])],
                Decision::Allowed,
            ),
            (vec![role(&["*/read"], &[]), role(&["*"], &[])], Decision::Allowed),
        ] {
            assert_eq!(decide(&roles, DELETE), expected, "{roles:?}");
            assert_eq!(lacks(&roles, DELETE), expected == Decision::Denied, "{roles:?}");
        }
    }
}
