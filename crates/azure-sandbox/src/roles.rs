//! Roles of applications: which actions they grant, as in Azure's role definitions.

use serde::{Deserialize, Serialize};

/// A role of an application, on a subscription or on one of its resource groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RoleAssignment {
    /// The resource group; the whole subscription without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_group: Option<String>,
    /// Granted actions; `*` matches any text.
    pub actions: Vec<String>,
    /// Exceptions from `actions`.
    #[serde(default)]
    pub not_actions: Vec<String>,
}

/// The role of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Nothing is allowed.
    None,
    /// Reading is allowed.
    Reader,
    /// Everything about clusters is allowed: Azure Kubernetes Service Contributor Role.
    Kubernetes,
    /// Everything is allowed except reading admin kubeconfigs; inside Entra-enabled clusters, nothing is.
    Operator,
    /// Everything is allowed except reading the results of commands; inside Entra-enabled clusters, nothing is.
    Starter,
    /// Everything is allowed except changes in `Microsoft.Authorization`.
    #[default]
    Contributor,
}

impl Role {
    /// The assignment of the role on a resource group, or on the subscription; `None` for [`Role::None`].
    pub(crate) fn assign(self, resource_group: Option<&str>) -> Option<RoleAssignment> {
        let (actions, not_actions): (&[&str], &[&str]) = match self {
            Self::None => return None,
            Self::Reader => (&["*/read"], &[]),
            Self::Kubernetes => (
                &[
                    "Microsoft.Authorization/*/read",
                    "Microsoft.ContainerService/locations/*",
                    "Microsoft.ContainerService/managedClusters/*",
                    "Microsoft.ContainerService/managedclustersnapshots/*",
                    "Microsoft.ContainerService/snapshots/*",
                    "Microsoft.Insights/alertRules/*",
                    "Microsoft.Resources/deployments/*",
                    "Microsoft.Resources/subscriptions/resourceGroups/read",
                ],
                &[],
            ),
            Self::Operator => (
                &["*"],
                &[
                    "Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action",
                    "Microsoft.ContainerService/managedClusters/accessProfiles/listCredential/action",
                ],
            ),
            Self::Starter => (&["*"], &["Microsoft.ContainerService/managedClusters/commandResults/read"]),
            Self::Contributor => (
                &["*"],
                &[
                    "Microsoft.Authorization/*/Delete",
                    "Microsoft.Authorization/*/Write",
                    "Microsoft.Authorization/elevateAccess/Action",
                ],
            ),
        };
        let to_owned = |list: &[&str]| list.iter().map(|action| (*action).to_owned()).collect();
        Some(RoleAssignment {
            resource_group: resource_group.map(str::to_owned),
            actions: to_owned(actions),
            not_actions: to_owned(not_actions),
        })
    }
}

impl RoleAssignment {
    /// Whether the role applies in the resource group, or in the whole subscription if `group` is `None`.
    pub(crate) fn holds_in(&self, group: Option<&str>) -> bool {
        self.resource_group
            .as_deref()
            .is_none_or(|own| group.is_some_and(|group| own.eq_ignore_ascii_case(group)))
    }

    /// Whether it grants the action.
    pub(crate) fn grants(&self, action: &str) -> bool {
        let action = action.to_ascii_lowercase();
        let covers = |patterns: &[String]| {
            patterns.iter().any(|pattern| matches(pattern.to_ascii_lowercase().as_bytes(), action.as_bytes()))
        };
        covers(&self.actions) && !covers(&self.not_actions)
    }
}

/// Whether a pattern with `*` covers a text. After a mismatch, the last `*` takes one more character.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern_index, mut text_index) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(text_index) {
        match pattern.get(pattern_index) {
            Some(b'*') => {
                last_star = Some((pattern_index, text_index));
                pattern_index += 1;
            }
            Some(expected) if expected == byte => {
                (pattern_index, text_index) = (pattern_index + 1, text_index + 1);
            }
            _ => {
                let Some((star_index, covered_end)) = last_star else { return false };
                last_star = Some((star_index, covered_end + 1));
                (pattern_index, text_index) = (star_index + 1, covered_end + 1);
            }
        }
    }
    pattern.get(pattern_index..).is_none_or(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_grant_by_pattern() {
        const AKS: &str = "Microsoft.ContainerService/managedClusters";
        for (role, action, expected) in [
            (Role::Reader, "/read", true),
            (Role::Reader, "/commandResults/read", true),
            (Role::Reader, "/write", false),
            (Role::Kubernetes, "/agentPools/delete", true),
            (Role::Operator, "/listClusterAdminCredential/action", false),
            (Role::Operator, "/accessProfiles/listCredential/action", false),
            (Role::Operator, "/listClusterUserCredential/action", true),
            (Role::Starter, "/runCommand/action", true),
            (Role::Starter, "/commandResults/read", false),
            (Role::Contributor, "/delete", true),
        ] {
            let assignment = role.assign(None).unwrap();
            assert_eq!(assignment.grants(&format!("{AKS}{action}")), expected, "{role:?} {action}");
        }
        assert_eq!(Role::None.assign(None), None);
        let contributor = Role::Contributor.assign(None).unwrap();
        assert!(!contributor.grants("Microsoft.Authorization/roleAssignments/write"));
        assert!(!Role::Kubernetes.assign(None).unwrap().grants("Microsoft.Compute/skus/read"));
    }

    #[test]
    fn patterns_match_whole_actions() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*a", "a", false),
            ("a*a", "aba", true),
            ("*ab", "aab", true),
            ("*ab*b", "abab", true),
            ("a", "ab", false),
            ("", "a", false),
            ("a**", "a", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn role_on_a_group_holds_only_there() {
        let assignment = Role::Reader.assign(Some("Shop")).unwrap();
        assert!(assignment.holds_in(Some("shop")));
        assert!(!assignment.holds_in(Some("other")) && !assignment.holds_in(None));
        let everywhere = Role::Reader.assign(None).unwrap();
        assert!(everywhere.holds_in(Some("shop")) && everywhere.holds_in(None));
    }
}
