//! The types of objects, with their properties in discovery.

/// A type of object, or a review.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are properties in discovery")]
pub(crate) struct Resource {
    /// Empty for the core group.
    pub(crate) group: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) singular: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) short_names: &'static [&'static str],
    pub(crate) namespaced: bool,
    /// Whether objects are stored; reviews are not.
    pub(crate) stored: bool,
    /// Whether the type has a `status` subresource.
    pub(crate) has_status: bool,
    /// Whether the type has a `scale` subresource.
    pub(crate) has_scale: bool,
    /// Whether the type belongs to the category `all`.
    pub(crate) in_category_all: bool,
}

/// The subresource of pods for debug containers.
pub(crate) const EPHEMERAL_CONTAINERS: &str = "ephemeralcontainers";

/// The version of all groups.
pub(crate) const VERSION: &str = "v1";

pub(crate) const RBAC: &str = "rbac.authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const NETWORKING: &str = "networking.k8s.io";
const POLICY: &str = "policy";

/// The verbs of stored types.
pub(crate) const VERBS: [&str; 8] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

const DEFAULTS: Resource = Resource {
    group: "",
    plural: "",
    singular: "",
    kind: "",
    short_names: &[],
    namespaced: true,
    stored: true,
    has_status: false,
    has_scale: false,
    in_category_all: false,
};

pub(crate) static CONFIG_MAPS: Resource = Resource {
    plural: "configmaps",
    singular: "configmap",
    kind: "ConfigMap",
    short_names: &["cm"],
    ..DEFAULTS
};
pub(crate) static EVENTS: Resource =
    Resource { plural: "events", singular: "event", kind: "Event", short_names: &["ev"], ..DEFAULTS };
pub(crate) static NAMESPACES: Resource = Resource {
    plural: "namespaces",
    singular: "namespace",
    kind: "Namespace",
    short_names: &["ns"],
    namespaced: false,
    has_status: true,
    ..DEFAULTS
};
pub(crate) static NODES: Resource = Resource {
    plural: "nodes",
    singular: "node",
    kind: "Node",
    short_names: &["no"],
    namespaced: false,
    has_status: true,
    ..DEFAULTS
};
pub(crate) static PODS: Resource = Resource {
    plural: "pods",
    singular: "pod",
    kind: "Pod",
    short_names: &["po"],
    has_status: true,
    in_category_all: true,
    ..DEFAULTS
};
pub(crate) static SECRETS: Resource =
    Resource { plural: "secrets", singular: "secret", kind: "Secret", ..DEFAULTS };
pub(crate) static SERVICE_ACCOUNTS: Resource = Resource {
    plural: "serviceaccounts",
    singular: "serviceaccount",
    kind: "ServiceAccount",
    short_names: &["sa"],
    ..DEFAULTS
};
pub(crate) static DEPLOYMENTS: Resource = Resource {
    group: "apps",
    plural: "deployments",
    singular: "deployment",
    kind: "Deployment",
    short_names: &["deploy"],
    has_status: true,
    has_scale: true,
    in_category_all: true,
    ..DEFAULTS
};
pub(crate) static NETWORK_POLICIES: Resource = Resource {
    group: NETWORKING,
    plural: "networkpolicies",
    singular: "networkpolicy",
    kind: "NetworkPolicy",
    short_names: &["netpol"],
    ..DEFAULTS
};
pub(crate) static DISRUPTION_BUDGETS: Resource = Resource {
    group: POLICY,
    plural: "poddisruptionbudgets",
    singular: "poddisruptionbudget",
    kind: "PodDisruptionBudget",
    short_names: &["pdb"],
    has_status: true,
    ..DEFAULTS
};
pub(crate) static CLUSTER_ROLES: Resource = Resource {
    group: RBAC,
    plural: "clusterroles",
    singular: "clusterrole",
    kind: "ClusterRole",
    namespaced: false,
    ..DEFAULTS
};
pub(crate) static CLUSTER_ROLE_BINDINGS: Resource = Resource {
    group: RBAC,
    plural: "clusterrolebindings",
    singular: "clusterrolebinding",
    kind: "ClusterRoleBinding",
    namespaced: false,
    ..DEFAULTS
};
pub(crate) static ROLES: Resource =
    Resource { group: RBAC, plural: "roles", singular: "role", kind: "Role", ..DEFAULTS };
pub(crate) static ROLE_BINDINGS: Resource = Resource {
    group: RBAC,
    plural: "rolebindings",
    singular: "rolebinding",
    kind: "RoleBinding",
    ..DEFAULTS
};

const REVIEW: Resource = Resource { namespaced: false, stored: false, ..DEFAULTS };

pub(crate) static SELF_SUBJECT_REVIEWS: Resource = Resource {
    group: AUTHENTICATION,
    plural: "selfsubjectreviews",
    singular: "selfsubjectreview",
    kind: "SelfSubjectReview",
    ..REVIEW
};
pub(crate) static SELF_ACCESS_REVIEWS: Resource = Resource {
    group: AUTHORIZATION,
    plural: "selfsubjectaccessreviews",
    singular: "selfsubjectaccessreview",
    kind: "SelfSubjectAccessReview",
    ..REVIEW
};
pub(crate) static SELF_RULES_REVIEWS: Resource = Resource {
    group: AUTHORIZATION,
    plural: "selfsubjectrulesreviews",
    singular: "selfsubjectrulesreview",
    kind: "SelfSubjectRulesReview",
    ..REVIEW
};
/// All types by group, in the order of discovery.
pub(crate) static ALL: [&Resource; 17] = [
    &CONFIG_MAPS,
    &EVENTS,
    &NAMESPACES,
    &NODES,
    &PODS,
    &SECRETS,
    &SERVICE_ACCOUNTS,
    &DEPLOYMENTS,
    &SELF_SUBJECT_REVIEWS,
    &SELF_ACCESS_REVIEWS,
    &SELF_RULES_REVIEWS,
    &NETWORK_POLICIES,
    &DISRUPTION_BUDGETS,
    &CLUSTER_ROLE_BINDINGS,
    &CLUSTER_ROLES,
    &ROLE_BINDINGS,
    &ROLES,
];

/// A subresource of a type, as discovery lists it; requests may use only its verbs.
#[derive(Debug)]
pub(crate) struct Subresource {
    pub(crate) name: &'static str,
    /// Group, version and kind of its content.
    pub(crate) gvk: (&'static str, &'static str, &'static str),
    pub(crate) verbs: &'static [&'static str],
}

pub(crate) fn find(group: &str, plural: &str) -> Option<&'static Resource> {
    ALL.into_iter().find(|resource| resource.group == group && resource.plural == plural)
}

/// The type of an object by its `apiVersion` and `kind`.
pub(crate) fn for_object(object: &serde_json::Value) -> Option<&'static Resource> {
    let (version, kind) = (super::value::text(object, "/apiVersion"), super::value::text(object, "/kind"));
    ALL.into_iter().find(|resource| resource.kind == kind && resource.api_version() == version)
}

/// The groups other than the core, in the order of discovery.
pub(crate) fn groups() -> Vec<&'static str> {
    let mut groups: Vec<_> = ALL.into_iter().map(|resource| resource.group).collect();
    groups.dedup();
    groups.retain(|group| !group.is_empty());
    groups
}

/// The types of a group.
pub(crate) fn in_group(group: &str) -> impl Iterator<Item = &'static Resource> {
    ALL.into_iter().filter(move |resource| resource.group == group)
}

impl Resource {
    /// `v1`, `apps/v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { VERSION.to_owned() } else { format!("{}/{VERSION}", self.group) }
    }

    /// `pods`, `deployments.apps`.
    pub(crate) fn qualified(&self) -> String {
        qualified(self.plural, self.group)
    }

    /// `pod`, `deployment.apps`.
    pub(crate) fn qualified_singular(&self) -> String {
        qualified(self.singular, self.group)
    }

    /// `Pod`, `Deployment.apps`.
    pub(crate) fn qualified_kind(&self) -> String {
        qualified(self.kind, self.group)
    }

    pub(crate) fn verbs(&self) -> &'static [&'static str] {
        if self.stored { &VERBS } else { &["create"] }
    }

    /// A new object of this type, with metadata only.
    pub(crate) fn new_object(
        &self,
        namespace: &str,
        name: &str,
        now: &super::value::Now,
    ) -> serde_json::Value {
        let mut object = serde_json::json!({
            "apiVersion": self.api_version(),
            "kind": self.kind,
            "metadata": {
                "name": name,
                "uid": uuid::Uuid::new_v4().to_string(),
                "creationTimestamp": now.text,
            },
        });
        if self.namespaced {
            super::value::set(&mut object, &["metadata", "namespace"], namespace);
        }
        object
    }

    pub(crate) fn is(&self, other: &Resource) -> bool {
        self.group == other.group && self.plural == other.plural
    }

    pub(crate) fn subresources(&self) -> Vec<Subresource> {
        let mut subresources = Vec::new();
        let gvk = (self.group, VERSION, self.kind);
        if self.is(&NAMESPACES) {
            subresources.push(Subresource { name: "finalize", gvk, verbs: &["update"] });
        }
        if self.is(&PODS) {
            let verbs = &["get", "patch", "update"];
            subresources.push(Subresource { name: EPHEMERAL_CONTAINERS, gvk, verbs });
            subresources.push(Subresource { name: "log", gvk, verbs: &["get"] });
        }
        if self.has_scale {
            let gvk = ("autoscaling", "v1", "Scale");
            subresources.push(Subresource { name: "scale", gvk, verbs: &["get", "patch", "update"] });
        }
        if self.has_status {
            subresources.push(Subresource { name: "status", gvk, verbs: &["get", "patch", "update"] });
        }
        subresources
    }
}

/// The name of a type, followed by its group unless that is the core group.
pub(crate) fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_found_by_path_and_kind() {
        for resource in ALL {
            assert!(find(resource.group, resource.plural).unwrap().is(resource));
            let object = serde_json::json!({"apiVersion": resource.api_version(), "kind": resource.kind});
            assert!(for_object(&object).unwrap().is(resource));
        }
        assert!(find("apps", "pods").is_none());
        assert_eq!(groups().len(), 6);
    }

    #[test]
    fn core_group_is_omitted_from_names() {
        assert_eq!((&*PODS.qualified(), &*PODS.api_version()), ("pods", "v1"));
        assert_eq!((&*DEPLOYMENTS.qualified(), &*DEPLOYMENTS.api_version()), ("deployments.apps", "apps/v1"));
        assert_eq!(DEPLOYMENTS.qualified_kind(), "Deployment.apps");
    }
}
