//! Azure's built-in roles that can grant the needed operations, and the choice among them.
//!
//! The definitions are those of <https://learn.microsoft.com/azure/role-based-access-control/built-in-roles>, one page for
//! each category. Only actions of Resource Manager are listed; permissions on data are irrelevant.

use crate::arm::Permission;

/// A built-in role.
#[derive(Debug, PartialEq, Eq)]
pub struct BuiltInRole {
    /// The name.
    pub name: &'static str,
    /// The actions that the role grants.
    pub actions: &'static [&'static str],
    /// Exceptions from `actions`.
    pub not_actions: &'static [&'static str],
    /// The page of Azure's documentation with the definition of the role.
    pub source: &'static str,
}

/// The roles, from the narrowest to the broadest: first those that only read, then those that manage one kind of resource,
/// then those that manage everything.
pub(super) static BUILT_IN_ROLES: [BuiltInRole; 7] = [
    BuiltInRole {
        name: "Reader",
        actions: &["*/read"],
        not_actions: &[],
        source: "https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/general#reader",
    },
    BuiltInRole {
        name: "Azure Kubernetes Service Cluster User Role",
        actions: &[
            "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action",
            "Microsoft.ContainerService/managedClusters/read",
        ],
        not_actions: &[],
        source: "https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/containers#azure-kubernetes-service-cluster-user-role",
    },
    BuiltInRole {
        name: "Azure Kubernetes Service Cluster Admin Role",
        actions: &[
            "Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action",
            "Microsoft.ContainerService/managedClusters/accessProfiles/listCredential/action",
            "Microsoft.ContainerService/managedClusters/read",
            "Microsoft.ContainerService/managedClusters/runcommand/action",
        ],
        not_actions: &[],
        source: "https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/containers#azure-kubernetes-service-cluster-admin-role",
    },
    BuiltInRole {
        name: "Azure Kubernetes Service Contributor Role",
        actions: &[
            "Microsoft.Authorization/*/read",
            "Microsoft.ContainerService/locations/*",
            "Microsoft.ContainerService/managedClusters/*",
            "Microsoft.ContainerService/managedclustersnapshots/*",
            "Microsoft.ContainerService/snapshots/*",
            "Microsoft.Insights/alertRules/*",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
        ],
        not_actions: &[],
        source: "https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/containers#azure-kubernetes-service-contributor-role",
    },
    BuiltInRole {
        name: "Network Contributor",
        actions: &[
            "Microsoft.Authorization/*/read",
            "Microsoft.Insights/alertRules/*",
            "Microsoft.Network/*",
            "Microsoft.ResourceHealth/availabilityStatuses/read",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Support/*",
        ],
        not_actions: &[],
        source: "https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/networking#network-contributor",
    },
    BuiltInRole {
        name: "Log Analytics Contributor",
        actions: &[
            "*/read",
            "Microsoft.ClassicCompute/virtualMachines/extensions/*",
            "Microsoft.ClassicStorage/storageAccounts/listKeys/action",
            "Microsoft.Compute/virtualMachines/extensions/*",
            "Microsoft.HybridCompute/machines/extensions/write",
            "Microsoft.Insights/alertRules/*",
            "Microsoft.Insights/diagnosticSettings/*",
            "Microsoft.OperationalInsights/*",
            "Microsoft.OperationsManagement/*",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Resources/subscriptions/resourcegroups/deployments/*",
            "Microsoft.Storage/storageAccounts/listKeys/action",
            "Microsoft.Support/*",
        ],
        not_actions: &[],
        source: "https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/monitor#log-analytics-contributor",
    },
    BuiltInRole {
        name: "Contributor",
        actions: &["*"],
        not_actions: &[
            "Microsoft.Authorization/*/Delete",
            "Microsoft.Authorization/*/Write",
            "Microsoft.Authorization/elevateAccess/Action",
            "Microsoft.Blueprint/blueprintAssignments/write",
            "Microsoft.Blueprint/blueprintAssignments/delete",
            "Microsoft.Compute/galleries/share/action",
            "Microsoft.Purview/consents/write",
            "Microsoft.Purview/consents/delete",
            "Microsoft.Resources/deploymentStacks/manageDenySetting/action",
            "Microsoft.Subscription/cancel/action",
            "Microsoft.Subscription/enable/action",
        ],
        source: "https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/privileged#contributor",
    },
];

impl BuiltInRole {
    /// The role in the form in which Azure lists permissions.
    pub fn permission(&self) -> Permission {
        let strings = |list: &[&str]| list.iter().map(|action| (*action).to_owned()).collect();
        Permission { actions: strings(self.actions), not_actions: strings(self.not_actions) }
    }
}

/// The role with this name.
pub(super) fn find(name: &str) -> Option<&'static BuiltInRole> {
    BUILT_IN_ROLES.iter().find(|role| role.name == name)
}

/// The built-in roles that together grant all actions with the fewest other rights: the set whose broadest role is the
/// narrowest possible, then the second broadest, and so on. Empty without actions, or if no role grants one of them.
pub fn smallest_roles(actions: &[&str]) -> Vec<&'static BuiltInRole> {
    let granted: Vec<Vec<bool>> = BUILT_IN_ROLES
        .iter()
        .map(|role| {
            let permission = role.permission();
            actions.iter().map(|action| permission.grants(action)).collect()
        })
        .collect();
    // Bit n of a set is role n. In ascending order, sets are sorted by their broadest role, then by the second broadest.
    let contains = |set: u32, role: usize| set & (1 << role) != 0;
    let covers = |set: &u32| {
        (0..actions.len()).all(|action| {
            granted.iter().enumerate().any(|(role, granted_by_role)| {
                contains(*set, role) && granted_by_role.get(action) == Some(&true)
            })
        })
    };
    let smallest_set = (0..1_u32 << BUILT_IN_ROLES.len()).find(covers).unwrap_or_default();
    BUILT_IN_ROLES
        .iter()
        .enumerate()
        .filter(|(role, _)| contains(smallest_set, *role))
        .map(|(_, role)| role)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rights::OPERATIONS;

    #[test]
    fn narrowest_roles_are_chosen() {
        const AKS: &str = "Azure Kubernetes Service Contributor Role";
        for (actions, expected) in [
            (&[][..], &[][..]),
            (&["Microsoft.Compute/skus/read"], &["Reader"]),
            (&["Microsoft.Network/virtualNetworks/read", "Microsoft.Compute/skus/read"], &["Reader"]),
            (&["Microsoft.ContainerService/managedClusters/write"], &[AKS]),
            (
                &[
                    "Microsoft.ContainerService/managedClusters/read",
                    "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action",
                ],
                &["Azure Kubernetes Service Cluster User Role"],
            ),
            (
                &[
                    "Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action",
                    "Microsoft.ContainerService/managedClusters/runCommand/action",
                ],
                &["Azure Kubernetes Service Cluster Admin Role"],
            ),
            (
                &["Microsoft.ContainerService/managedClusters/delete", "Microsoft.Compute/skus/read"],
                &["Reader", AKS],
            ),
            (
                &[
                    "Microsoft.ContainerService/managedClusters/write",
                    "Microsoft.Network/virtualNetworks/subnets/join/action",
                ],
                &[AKS, "Network Contributor"],
            ),
            (
                &["Microsoft.OperationalInsights/workspaces/write", "Microsoft.Compute/skus/read"],
                &["Log Analytics Contributor"],
            ),
            (
                &[
                    "Microsoft.ContainerService/managedClusters/write",
                    "Microsoft.Resources/subscriptions/resourceGroups/write",
                ],
                &["Contributor"],
            ),
            (&["Microsoft.Authorization/roleAssignments/write"], &[]),
        ] {
            let chosen: Vec<&str> = smallest_roles(actions).iter().map(|role| role.name).collect();
            assert_eq!(chosen, expected, "{actions:?}");
        }
    }

    #[test]
    fn every_operation_is_granted_by_a_role() {
        for operation in OPERATIONS {
            assert!(!smallest_roles(&[operation.action]).is_empty(), "{}", operation.action);
        }
    }

    proptest::proptest! {
        #[test]
        fn chosen_roles_cover_all_actions_and_none_is_superfluous(selected: u64) {
            let actions: Vec<&str> = OPERATIONS
                .iter()
                .enumerate()
                .filter(|(index, _)| selected & (1 << index) != 0)
                .map(|(_, operation)| operation.action)
                .collect();
            let chosen = smallest_roles(&actions);
            let covers = |without: Option<usize>| {
                actions.iter().all(|action| {
                    let mut others = chosen.iter().enumerate().filter(|(index, _)| Some(*index) != without);
                    others.any(|(_, role)| role.permission().grants(action))
                })
            };
            proptest::prop_assert!(covers(None));
            for (index, role) in chosen.iter().enumerate() {
                proptest::prop_assert!(!covers(Some(index)), "{} is superfluous", role.name);
            }
        }
    }
}
