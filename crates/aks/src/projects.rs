//! The two projects that every cluster has in Rancher. Namespaces and members of projects are not supported.

/// A project of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// `p-xxxxx`; stable while the cluster exists.
    pub name: String,
    /// The display name.
    pub title: &'static str,
    /// The description.
    pub description: &'static str,
    /// The label by which clients recognize the project; its value is `true`.
    pub label: &'static str,
}

/// The projects of the cluster with this UUID, the default project first. Their names are derived from the UUID and need not be
/// stored.
pub fn projects_of_cluster(uuid: &str) -> [Project; 2] {
    let name = |skipped_digits: usize| {
        // FNV-1a over the digits of the UUID, which are random. The second name skips the first digit.
        let digits = uuid.bytes().skip(skipped_digits).filter(u8::is_ascii_hexdigit);
        let hash = digits.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let bytes = hash.to_be_bytes();
        super::ids::generate_name(
            "p-",
            std::array::from_fn(|index| bytes.get(index).copied().unwrap_or_default()),
        )
    };
    [
        Project {
            name: name(0),
            title: "Default",
            description: "Default project created for the cluster",
            label: "authz.management.cattle.io/default-project",
        },
        Project {
            name: name(1),
            title: "System",
            description: "System project created for the cluster",
            label: "authz.management.cattle.io/system-project",
        },
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn projects_keep_their_names_and_differ_between_clusters() {
        let mut names = BTreeSet::new();
        for number in 0..200_u32 {
            let uuid = format!("{number:08x}-67a6-42db-9817-af77f10a5762");
            let projects = projects_of_cluster(&uuid);
            assert_eq!(projects_of_cluster(&uuid), projects);
            names.extend(projects.map(|project| project.name));
        }
        assert_eq!(names.len(), 400);
        assert!(names.iter().all(|name| name.len() == 7 && name.starts_with("p-")), "{names:?}");
    }
}
