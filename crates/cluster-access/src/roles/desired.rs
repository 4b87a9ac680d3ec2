//! The desired objects that grant callers their rights in a cluster, and the changes for a cluster that differs. Pure.

use std::collections::BTreeSet;

use aks::role::Role;
use aks::system_namespaces::SystemNamespaces;
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, RoleBinding, RoleRef, Subject,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::rules;

/// The API group of roles and bindings.
pub(super) const RBAC: &str = "rbac.authorization.k8s.io";
/// Kubernetes' role for administrators.
pub(super) const ADMINISTRATOR: &str = "cluster-admin";
/// The name of the members' role in the whole cluster, and of its binding.
pub(super) const MEMBER: &str = "norman-aks-member";
/// The name of the members' role in opened namespaces, and of its binding in each of them.
pub(super) const NAMESPACE_EDIT: &str = "norman-aks-namespace-edit";
/// The name of the binding of earlier versions, which let members edit in all namespaces.
pub(super) const FORMER_MEMBER_BINDING: &str = "norman-aks-cluster-member";
const FORMER_MEMBER_ROLE: &str = "edit";

const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "norman-aks");

/// The names of the roles that are maintained.
pub(super) const CLUSTER_ROLES: [&str; 3] = [ADMINISTRATOR, MEMBER, NAMESPACE_EDIT];

/// The name of the cluster role binding of a role.
fn cluster_binding_name(role: Role) -> &'static str {
    match role {
        Role::Owner => "norman-aks-cluster-owner",
        Role::Member => MEMBER,
        Role::ReadOnly => "norman-aks-read-only",
    }
}

/// The name of the ClusterRole that a role grants.
fn cluster_role_name(role: Role) -> &'static str {
    match role {
        Role::Owner => ADMINISTRATOR,
        Role::Member => MEMBER,
        Role::ReadOnly => "view",
    }
}

/// Whether a cluster role binding is one of ours, by its name.
pub(super) fn is_own_cluster_binding(name: &str) -> bool {
    name == FORMER_MEMBER_BINDING || Role::ALL.into_iter().any(|role| cluster_binding_name(role) == name)
}

/// The objects in a cluster that grant rights.
#[derive(Clone, Debug, Default)]
pub(super) struct CurrentObjects {
    /// The existing roles of [`CLUSTER_ROLES`].
    pub(super) cluster_roles: Vec<ClusterRole>,
    /// The existing bindings for which [`is_own_cluster_binding`] is true.
    pub(super) cluster_bindings: Vec<ClusterRoleBinding>,
    /// The bindings named [`NAMESPACE_EDIT`] in all namespaces.
    pub(super) namespace_bindings: Vec<RoleBinding>,
    /// Namespaces that an owner labeled for members, except those that are being deleted.
    pub(super) labeled_namespaces: Vec<String>,
}

/// An object to create or correct.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Object {
    ClusterRole(ClusterRole),
    ClusterBinding(ClusterRoleBinding),
    NamespaceBinding(RoleBinding),
}

/// An object to delete, as it was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Removal {
    pub(super) kind: ObjectKind,
    pub(super) meta: ObjectMeta,
}

/// The kind of an object to delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObjectKind {
    ClusterRole,
    ClusterBinding,
    NamespaceBinding,
}

/// The changes to a cluster: first all removals, then the objects in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) removals: Vec<Removal>,
    pub(super) objects: Vec<Object>,
    /// Namespaces whose binding for members is created or corrected.
    pub(super) opened: Vec<String>,
    /// Namespaces whose binding for members is deleted, because they must not be open.
    pub(super) closed: Vec<String>,
    /// Whether members lose `edit` in all namespaces, which earlier versions granted.
    pub(super) ends_edit_everywhere: bool,
}

/// Compares the current objects with the desired ones.
pub(super) fn plan(current: &CurrentObjects, system: &SystemNamespaces) -> Plan {
    let mut plan = Plan::default();
    if let Some(former) = current.cluster_bindings.iter().find(|binding| is_former_member_binding(binding)) {
        plan.ends_edit_everywhere = former.role_ref.name == FORMER_MEMBER_ROLE;
        plan.remove(ObjectKind::ClusterBinding, &former.metadata);
    }
    plan.add_namespace_bindings(current, system);
    plan.add_cluster_roles(current);
    for role in Role::ALL {
        let desired = cluster_binding(role);
        let name = desired.metadata.name.as_deref();
        let existing =
            current.cluster_bindings.iter().find(|existing| existing.metadata.name.as_deref() == name);
        match existing {
            Some(existing) if is_same_binding(existing, &desired) => continue,
            // The role of a binding is immutable.
            Some(existing) if !is_same_role(&existing.role_ref, &desired.role_ref) => {
                plan.remove(ObjectKind::ClusterBinding, &existing.metadata);
            }
            _ => {}
        }
        plan.objects.push(Object::ClusterBinding(desired));
    }
    // Roles are created before their bindings, and cluster bindings before namespace bindings.
    plan.objects.sort_by_key(|object| match object {
        Object::ClusterRole(_) => 0,
        Object::ClusterBinding(_) => 1,
        Object::NamespaceBinding(_) => 2,
    });
    plan
}

/// Plans the removal of all objects with the `managed-by` label of this server.
pub(super) fn removal_plan(current: &CurrentObjects) -> Plan {
    let mut plan = Plan::default();
    let bindings =
        current.namespace_bindings.iter().map(|binding| (ObjectKind::NamespaceBinding, &binding.metadata));
    let cluster_bindings =
        current.cluster_bindings.iter().map(|binding| (ObjectKind::ClusterBinding, &binding.metadata));
    let roles = current.cluster_roles.iter().map(|role| (ObjectKind::ClusterRole, &role.metadata));
    for (kind, meta) in bindings.chain(cluster_bindings).chain(roles).filter(|(_, meta)| is_managed(meta)) {
        plan.remove(kind, meta);
    }
    plan
}

impl Plan {
    /// Whether nothing has to change.
    pub(super) fn is_empty(&self) -> bool {
        self.removals.is_empty() && self.objects.is_empty()
    }

    fn remove(&mut self, kind: ObjectKind, meta: &ObjectMeta) {
        self.removals.push(Removal { kind, meta: meta.clone() });
    }

    fn add_namespace_bindings(&mut self, current: &CurrentObjects, system: &SystemNamespaces) {
        let to_open: BTreeSet<&str> = current
            .labeled_namespaces
            .iter()
            .map(String::as_str)
            .filter(|name| !system.contains(name))
            .collect();
        let mut correct_namespaces = BTreeSet::new();
        for binding in &current.namespace_bindings {
            let namespace = binding.metadata.namespace.as_deref().unwrap_or_default();
            let desired = namespace_binding(namespace);
            if !to_open.contains(namespace) {
                self.remove(ObjectKind::NamespaceBinding, &binding.metadata);
                self.closed.push(namespace.to_owned());
            } else if are_same_subjects(binding.subjects.as_deref(), desired.subjects.as_deref())
                && is_same_role(&binding.role_ref, &desired.role_ref)
                && is_managed(&binding.metadata)
            {
                correct_namespaces.insert(namespace);
            } else if !is_same_role(&binding.role_ref, &desired.role_ref) {
                self.remove(ObjectKind::NamespaceBinding, &binding.metadata);
            }
        }
        for namespace in to_open.difference(&correct_namespaces) {
            self.objects.push(Object::NamespaceBinding(namespace_binding(namespace)));
            self.opened.push((*namespace).to_owned());
        }
    }

    fn add_cluster_roles(&mut self, current: &CurrentObjects) {
        let find_role = |name: &str| {
            current.cluster_roles.iter().find(|role| role.metadata.name.as_deref() == Some(name))
        };
        // `cluster-admin` belongs to Kubernetes: an existing one is never changed.
        if find_role(ADMINISTRATOR).is_none() {
            self.objects.push(Object::ClusterRole(administrator_role()));
        }
        for desired in [
            cluster_role(MEMBER, rules::cluster_rules()),
            cluster_role(NAMESPACE_EDIT, rules::namespace_rules()),
        ] {
            match find_role(desired.metadata.name.as_deref().unwrap_or_default()) {
                Some(existing) if existing.aggregation_rule.is_some() => {
                    // A controller overwrites the rules of an aggregated role.
                    self.remove(ObjectKind::ClusterRole, &existing.metadata);
                }
                Some(existing) if existing.rules == desired.rules && is_managed(&existing.metadata) => {
                    continue;
                }
                _ => {}
            }
            self.objects.push(Object::ClusterRole(desired));
        }
    }
}

fn is_former_member_binding(binding: &ClusterRoleBinding) -> bool {
    let is_for_members = || {
        let group = Role::Member.group();
        binding.subjects.iter().flatten().any(|subject| subject.kind == "Group" && subject.name == group)
    };
    binding.metadata.name.as_deref() == Some(FORMER_MEMBER_BINDING)
        && (binding.role_ref.name == FORMER_MEMBER_ROLE || is_for_members())
}

fn is_same_binding(existing: &ClusterRoleBinding, desired: &ClusterRoleBinding) -> bool {
    is_same_role(&existing.role_ref, &desired.role_ref)
        && are_same_subjects(existing.subjects.as_deref(), desired.subjects.as_deref())
        && is_managed(&existing.metadata)
}

fn is_same_role(left: &RoleRef, right: &RoleRef) -> bool {
    left.kind == right.kind && left.name == right.name
}

fn are_same_subjects(left: Option<&[Subject]>, right: Option<&[Subject]>) -> bool {
    let identities = |subjects: Option<&[Subject]>| -> Vec<(String, String, Option<String>)> {
        let subjects = subjects.unwrap_or_default().iter();
        subjects
            .map(|subject| (subject.kind.clone(), subject.name.clone(), subject.namespace.clone()))
            .collect()
    };
    identities(left) == identities(right)
}

fn is_managed(meta: &ObjectMeta) -> bool {
    let (key, value) = MANAGED_BY;
    meta.labels.as_ref().and_then(|labels| labels.get(key)).is_some_and(|actual| actual == value)
}

fn managed_meta(name: &str, namespace: Option<&str>) -> ObjectMeta {
    let (key, value) = MANAGED_BY;
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: namespace.map(str::to_owned),
        labels: Some([(key.to_owned(), value.to_owned())].into()),
        ..ObjectMeta::default()
    }
}

fn role_ref(name: &str) -> RoleRef {
    RoleRef { api_group: RBAC.to_owned(), kind: "ClusterRole".to_owned(), name: name.to_owned() }
}

fn group_subjects(role: Role) -> Vec<Subject> {
    vec![Subject {
        api_group: Some(RBAC.to_owned()),
        kind: "Group".to_owned(),
        name: role.group().to_owned(),
        namespace: None,
    }]
}

fn cluster_binding(role: Role) -> ClusterRoleBinding {
    ClusterRoleBinding {
        metadata: managed_meta(cluster_binding_name(role), None),
        role_ref: role_ref(cluster_role_name(role)),
        subjects: Some(group_subjects(role)),
    }
}

fn namespace_binding(namespace: &str) -> RoleBinding {
    RoleBinding {
        metadata: managed_meta(NAMESPACE_EDIT, Some(namespace)),
        role_ref: role_ref(NAMESPACE_EDIT),
        subjects: Some(group_subjects(Role::Member)),
    }
}

fn cluster_role(name: &str, rules: Vec<PolicyRule>) -> ClusterRole {
    ClusterRole { metadata: managed_meta(name, None), rules: Some(rules), aggregation_rule: None }
}

/// Kubernetes' role for administrators, for a cluster that lacks it.
fn administrator_role() -> ClusterRole {
    let wildcard = || vec!["*".to_owned()];
    let resources_rule = PolicyRule {
        api_groups: Some(wildcard()),
        resources: Some(wildcard()),
        verbs: wildcard(),
        ..PolicyRule::default()
    };
    let paths_rule =
        PolicyRule { non_resource_urls: Some(wildcard()), verbs: wildcard(), ..PolicyRule::default() };
    ClusterRole {
        metadata: ObjectMeta { name: Some(ADMINISTRATOR.to_owned()), ..ObjectMeta::default() },
        rules: Some(vec![resources_rule, paths_rule]),
        aggregation_rule: None,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::rbac::v1::AggregationRule;

    use super::*;

    fn default_system_namespaces() -> SystemNamespaces {
        SystemNamespaces::parse("")
    }

    fn full_name(meta: &ObjectMeta) -> String {
        let name = meta.name.as_deref().unwrap();
        meta.namespace.as_ref().map_or(name.to_owned(), |namespace| format!("{namespace}/{name}"))
    }

    fn names(objects: &[Object]) -> Vec<String> {
        let name = |object: &Object| match object {
            Object::ClusterRole(role) => format!("role {}", full_name(&role.metadata)),
            Object::ClusterBinding(binding) => format!("binding {}", full_name(&binding.metadata)),
            Object::NamespaceBinding(binding) => format!("binding {}", full_name(&binding.metadata)),
        };
        objects.iter().map(name).collect()
    }

    fn removed_names(plan: &Plan) -> Vec<String> {
        plan.removals.iter().map(|removal| full_name(&removal.meta)).collect()
    }

    /// A correct cluster with one opened namespace.
    fn correct_objects() -> CurrentObjects {
        let empty =
            CurrentObjects { labeled_namespaces: vec!["shop".to_owned()], ..CurrentObjects::default() };
        let mut current = empty.clone();
        for object in plan(&empty, &default_system_namespaces()).objects {
            match object {
                Object::ClusterRole(role) => current.cluster_roles.push(role),
                Object::ClusterBinding(binding) => current.cluster_bindings.push(binding),
                Object::NamespaceBinding(binding) => current.namespace_bindings.push(binding),
            }
        }
        current
    }

    fn former_member_binding() -> ClusterRoleBinding {
        ClusterRoleBinding {
            metadata: ObjectMeta { name: Some(FORMER_MEMBER_BINDING.to_owned()), ..ObjectMeta::default() },
            role_ref: role_ref(FORMER_MEMBER_ROLE),
            subjects: Some(group_subjects(Role::Member)),
        }
    }

    #[test]
    fn roles_precede_their_bindings() {
        let plan = plan(
            &CurrentObjects { labeled_namespaces: vec!["shop".to_owned()], ..CurrentObjects::default() },
            &default_system_namespaces(),
        );
        assert_eq!(
            names(&plan.objects),
            [
                "role cluster-admin",
                "role norman-aks-member",
                "role norman-aks-namespace-edit",
                "binding norman-aks-read-only",
                "binding norman-aks-member",
                "binding norman-aks-cluster-owner",
                "binding shop/norman-aks-namespace-edit",
            ]
        );
        assert!(plan.removals.is_empty() && !plan.ends_edit_everywhere);
        assert_eq!(plan.opened, ["shop"]);
    }

    #[test]
    fn correct_cluster_has_no_changes() {
        assert!(plan(&correct_objects(), &default_system_namespaces()).is_empty());
    }

    #[test]
    fn binding_of_earlier_versions_is_removed() {
        let mut current = correct_objects();
        current.cluster_bindings.push(former_member_binding());
        let plan = plan(&current, &default_system_namespaces());
        assert_eq!((removed_names(&plan), plan.objects.len()), (vec![FORMER_MEMBER_BINDING.to_owned()], 0));
        assert!(plan.ends_edit_everywhere);
    }

    #[test]
    fn foreign_binding_with_the_former_name_is_kept() {
        let mut current = correct_objects();
        let foreign =
            ClusterRoleBinding { role_ref: role_ref("view"), subjects: None, ..former_member_binding() };
        current.cluster_bindings.push(foreign);
        assert!(plan(&current, &default_system_namespaces()).is_empty());
    }

    #[test]
    fn only_objects_with_the_label_are_removed() {
        let mut current = correct_objects();
        current.cluster_bindings.push(former_member_binding());
        current.cluster_roles[2].metadata.labels = None;
        let plan = removal_plan(&current);
        assert_eq!(
            removed_names(&plan),
            [
                "shop/norman-aks-namespace-edit",
                "norman-aks-read-only",
                "norman-aks-member",
                "norman-aks-cluster-owner",
                "norman-aks-member",
            ]
        );
        assert!(plan.objects.is_empty());
    }

    #[test]
    fn namespace_without_label_is_closed() {
        let mut current = correct_objects();
        current.labeled_namespaces.clear();
        let plan = plan(&current, &default_system_namespaces());
        assert_eq!(removed_names(&plan), ["shop/norman-aks-namespace-edit"]);
        assert_eq!((plan.closed.as_slice(), plan.objects.len()), (["shop".to_owned()].as_slice(), 0));
    }

    #[test]
    fn system_namespace_is_never_open() {
        let mut current = correct_objects();
        current.labeled_namespaces.push("kube-system".to_owned());
        assert!(plan(&current, &default_system_namespaces()).is_empty());
        let plan = plan(&current, &SystemNamespaces::parse("shop"));
        assert_eq!(removed_names(&plan), ["shop/norman-aks-namespace-edit"]);
        assert!(plan.objects.is_empty());
    }

    #[test]
    fn binding_to_another_role_is_replaced() {
        let mut current = correct_objects();
        current.cluster_bindings[0].role_ref.name = "edit".to_owned();
        current.namespace_bindings[0].role_ref.name = "admin".to_owned();
        let plan = plan(&current, &default_system_namespaces());
        assert_eq!(removed_names(&plan), ["shop/norman-aks-namespace-edit", "norman-aks-read-only"]);
        assert_eq!(
            names(&plan.objects),
            ["binding norman-aks-read-only", "binding shop/norman-aks-namespace-edit"]
        );
    }

    #[test]
    fn changed_subjects_rules_and_labels_are_corrected() {
        let mut current = correct_objects();
        current.cluster_bindings[1].subjects.as_mut().unwrap().push(group_subjects(Role::ReadOnly).remove(0));
        current.cluster_roles[1].rules.as_mut().unwrap()[0].verbs.push("delete".to_owned());
        current.cluster_roles[2].metadata.labels = None;
        let plan = plan(&current, &default_system_namespaces());
        assert!(plan.removals.is_empty());
        assert_eq!(
            names(&plan.objects),
            ["role norman-aks-member", "role norman-aks-namespace-edit", "binding norman-aks-member"]
        );
    }

    #[test]
    fn aggregated_role_is_recreated() {
        let mut current = correct_objects();
        current.cluster_roles[2].aggregation_rule = Some(AggregationRule::default());
        let plan = plan(&current, &default_system_namespaces());
        assert_eq!(removed_names(&plan), [NAMESPACE_EDIT]);
        assert_eq!(names(&plan.objects), ["role norman-aks-namespace-edit"]);
    }
}
