//! The roles in a cluster.

/// A role in a cluster, the least privileged first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads the cluster and its contents.
    ReadOnly,
    /// Reads cluster-wide resources, and edits in the namespaces that an owner opens for members.
    Member,
    /// Full access, including memberships.
    Owner,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::ReadOnly, Self::Member, Self::Owner];

    /// The name of the role template, as in `roleTemplateId`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Member => "cluster-member",
            Self::Owner => "cluster-owner",
        }
    }

    /// The Kubernetes group of users with this role.
    pub fn group(self) -> &'static str {
        match self {
            Self::ReadOnly => "norman-aks:read-only",
            Self::Member => "norman-aks:cluster-member",
            Self::Owner => "norman-aks:cluster-owner",
        }
    }

    /// The role with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_and_found_by_name() {
        assert!(Role::ReadOnly < Role::Member && Role::Member < Role::Owner);
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.name()), Some(role));
            assert_eq!(role.group(), format!("norman-aks:{}", role.name()));
        }
        assert_eq!(Role::from_name("owner"), None);
    }
}
