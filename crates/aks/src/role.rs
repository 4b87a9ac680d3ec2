//! What somebody is to a cluster, in Rancher's words.

/// A part in a cluster, the smallest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Sees it, and what is inside.
    ReadOnly,
    /// Reads what is outside of namespaces, and edits in the namespaces that an owner opens for members.
    Member,
    /// May do everything, and says who else may.
    Owner,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::ReadOnly, Self::Member, Self::Owner];

    /// The name of the role template, as `roleTemplateId` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Member => "cluster-member",
            Self::Owner => "cluster-owner",
        }
    }

    /// The group that people of this role belong to inside a cluster.
    pub fn group(self) -> &'static str {
        match self {
            Self::ReadOnly => "norman-aks:read-only",
            Self::Member => "norman-aks:cluster-member",
            Self::Owner => "norman-aks:cluster-owner",
        }
    }

    /// The role of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_grow_and_are_found_by_their_names() {
        assert!(Role::ReadOnly < Role::Member && Role::Member < Role::Owner);
        for role in Role::ALL {
            assert_eq!(Role::of(role.name()), Some(role));
            assert_eq!(role.group(), format!("norman-aks:{}", role.name()));
        }
        assert_eq!(Role::of("owner"), None);
    }
}
