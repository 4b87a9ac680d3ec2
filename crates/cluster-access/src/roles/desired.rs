//! The objects that give callers their rights in a cluster, and what has to change where a cluster differs. Pure.

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
/// Kubernetes' own role of administrators.
pub(super) const ADMINISTRATOR: &str = "cluster-admin";
/// The role that members have everywhere, and its binding.
pub(super) const MEMBER: &str = "norman-aks-member";
/// The role that members have in opened namespaces, and its binding in each of them.
pub(super) const NAMESPACE_EDIT: &str = "norman-aks-namespace-edit";
/// The binding of earlier versions, which let members edit in all namespaces.
pub(super) const FORMER_MEMBER: &str = "norman-aks-cluster-member";
const FORMER_ROLE: &str = "edit";

const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "norman-aks");

/// The roles in a cluster that matter here, by name.
pub(super) const CLUSTER_ROLES: [&str; 3] = [ADMINISTRATOR, MEMBER, NAMESPACE_EDIT];

/// The binding of a role in the whole cluster.
fn cluster_binding_name(role: Role) -> &'static str {
    match role {
        Role::Owner => "norman-aks-cluster-owner",
        Role::Member => MEMBER,
        Role::ReadOnly => "norman-aks-read-only",
    }
}

/// The ClusterRole that goes with a role in the whole cluster.
fn cluster_role_name(role: Role) -> &'static str {
    match role {
        Role::Owner => ADMINISTRATOR,
        Role::Member => MEMBER,
        Role::ReadOnly => "view",
    }
}

/// Whether a binding in the whole cluster is one of ours, by its name.
pub(super) fn is_cluster_binding(name: &str) -> bool {
    name == FORMER_MEMBER || Role::ALL.into_iter().any(|role| cluster_binding_name(role) == name)
}

/// The objects of a cluster that the rights come from.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// Those of [`CLUSTER_ROLES`] that there are.
    pub(super) cluster_roles: Vec<ClusterRole>,
    /// Those of [`is_cluster_binding`] that there are.
    pub(super) cluster_bindings: Vec<ClusterRoleBinding>,
    /// The bindings named [`NAMESPACE_EDIT`], of all namespaces.
    pub(super) namespace_bindings: Vec<RoleBinding>,
    /// Namespaces that an owner labelled for members and that are not being deleted.
    pub(super) labelled: Vec<String>,
}

/// An object that has to be there.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Object {
    ClusterRole(ClusterRole),
    ClusterBinding(ClusterRoleBinding),
    Binding(RoleBinding),
}

/// An object that has to go, as it was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Removal {
    pub(super) kind: Kind,
    pub(super) meta: ObjectMeta,
}

/// The kinds of objects that are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ClusterRole,
    ClusterBinding,
    Binding,
}

/// What has to change in a cluster: first all removals, then the objects, in this order.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) removals: Vec<Removal>,
    pub(super) objects: Vec<Object>,
    /// Namespaces that members edit from now on, and no longer.
    pub(super) opened: Vec<String>,
    pub(super) closed: Vec<String>,
    /// Whether members lose the rights of earlier versions.
    pub(super) ends_edit_everywhere: bool,
}

/// Compares what is found with what has to be there.
pub(super) fn plan(found: &Found, system: &SystemNamespaces) -> Plan {
    let mut plan = Plan::default();
    if let Some(former) = found.cluster_bindings.iter().find(|binding| is_former(binding)) {
        plan.ends_edit_everywhere = former.role_ref.name == FORMER_ROLE;
        plan.remove(Kind::ClusterBinding, &former.metadata);
    }
    plan.namespaces(found, system);
    plan.cluster_roles(found);
    for role in Role::ALL {
        let wanted = cluster_binding(role);
        let name = wanted.metadata.name.as_deref();
        let known = found.cluster_bindings.iter().find(|known| known.metadata.name.as_deref() == name);
        match known {
            Some(known) if same_binding(known, &wanted) => continue,
            // The role of a binding cannot be changed.
            Some(known) if !same_role(&known.role_ref, &wanted.role_ref) => {
                plan.remove(Kind::ClusterBinding, &known.metadata);
            }
            _ => {}
        }
        plan.objects.push(Object::ClusterBinding(wanted));
    }
    // Roles come before their bindings, and what is bound everywhere before single namespaces.
    plan.objects.sort_by_key(|object| match object {
        Object::ClusterRole(_) => 0,
        Object::ClusterBinding(_) => 1,
        Object::Binding(_) => 2,
    });
    plan
}

impl Plan {
    /// Whether the cluster is as it has to be.
    pub(super) fn is_empty(&self) -> bool {
        self.removals.is_empty() && self.objects.is_empty()
    }

    fn remove(&mut self, kind: Kind, meta: &ObjectMeta) {
        self.removals.push(Removal { kind, meta: meta.clone() });
    }

    fn namespaces(&mut self, found: &Found, system: &SystemNamespaces) {
        let open: BTreeSet<&str> =
            found.labelled.iter().map(String::as_str).filter(|name| !system.contains(name)).collect();
        let mut bound = BTreeSet::new();
        for binding in &found.namespace_bindings {
            let namespace = binding.metadata.namespace.as_deref().unwrap_or_default();
            let wanted = namespace_binding(namespace);
            if !open.contains(namespace) {
                self.remove(Kind::Binding, &binding.metadata);
                self.closed.push(namespace.to_owned());
            } else if same_subjects(binding.subjects.as_deref(), wanted.subjects.as_deref())
                && same_role(&binding.role_ref, &wanted.role_ref)
                && is_labelled(&binding.metadata)
            {
                bound.insert(namespace);
            } else if !same_role(&binding.role_ref, &wanted.role_ref) {
                self.remove(Kind::Binding, &binding.metadata);
            }
        }
        for namespace in open.difference(&bound) {
            self.objects.push(Object::Binding(namespace_binding(namespace)));
            self.opened.push((*namespace).to_owned());
        }
    }

    fn cluster_roles(&mut self, found: &Found) {
        let known =
            |name: &str| found.cluster_roles.iter().find(|role| role.metadata.name.as_deref() == Some(name));
        // Where Kubernetes' own role is, it is left as it is.
        if known(ADMINISTRATOR).is_none() {
            self.objects.push(Object::ClusterRole(administrator()));
        }
        for wanted in
            [cluster_role(MEMBER, rules::cluster()), cluster_role(NAMESPACE_EDIT, rules::namespace())]
        {
            match known(wanted.metadata.name.as_deref().unwrap_or_default()) {
                Some(known) if known.aggregation_rule.is_some() => {
                    // Rules of an aggregated role are overwritten by a controller.
                    self.remove(Kind::ClusterRole, &known.metadata);
                }
                Some(known) if known.rules == wanted.rules && is_labelled(&known.metadata) => continue,
                _ => {}
            }
            self.objects.push(Object::ClusterRole(wanted));
        }
    }
}

fn is_former(binding: &ClusterRoleBinding) -> bool {
    let ours = || {
        let group = Role::Member.group();
        binding.subjects.iter().flatten().any(|subject| subject.kind == "Group" && subject.name == group)
    };
    binding.metadata.name.as_deref() == Some(FORMER_MEMBER)
        && (binding.role_ref.name == FORMER_ROLE || ours())
}

fn same_binding(known: &ClusterRoleBinding, wanted: &ClusterRoleBinding) -> bool {
    same_role(&known.role_ref, &wanted.role_ref)
        && same_subjects(known.subjects.as_deref(), wanted.subjects.as_deref())
        && is_labelled(&known.metadata)
}

fn same_role(one: &RoleRef, other: &RoleRef) -> bool {
    one.kind == other.kind && one.name == other.name
}

fn same_subjects(one: Option<&[Subject]>, other: Option<&[Subject]>) -> bool {
    let plain = |subjects: Option<&[Subject]>| -> Vec<(String, String, Option<String>)> {
        let subjects = subjects.unwrap_or_default().iter();
        subjects
            .map(|subject| (subject.kind.clone(), subject.name.clone(), subject.namespace.clone()))
            .collect()
    };
    plain(one) == plain(other)
}

fn is_labelled(meta: &ObjectMeta) -> bool {
    let (key, value) = MANAGED_BY;
    meta.labels.as_ref().and_then(|labels| labels.get(key)).is_some_and(|known| known == value)
}

fn meta(name: &str, namespace: Option<&str>) -> ObjectMeta {
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

fn group(role: Role) -> Vec<Subject> {
    vec![Subject {
        api_group: Some(RBAC.to_owned()),
        kind: "Group".to_owned(),
        name: role.group().to_owned(),
        namespace: None,
    }]
}

fn cluster_binding(role: Role) -> ClusterRoleBinding {
    ClusterRoleBinding {
        metadata: meta(cluster_binding_name(role), None),
        role_ref: role_ref(cluster_role_name(role)),
        subjects: Some(group(role)),
    }
}

fn namespace_binding(namespace: &str) -> RoleBinding {
    RoleBinding {
        metadata: meta(NAMESPACE_EDIT, Some(namespace)),
        role_ref: role_ref(NAMESPACE_EDIT),
        subjects: Some(group(Role::Member)),
    }
}

fn cluster_role(name: &str, rules: Vec<PolicyRule>) -> ClusterRole {
    ClusterRole { metadata: meta(name, None), rules: Some(rules), aggregation_rule: None }
}

/// Kubernetes' role of administrators, for a cluster that lost it.
fn administrator() -> ClusterRole {
    let all = || vec!["*".to_owned()];
    let everything =
        PolicyRule { api_groups: Some(all()), resources: Some(all()), verbs: all(), ..PolicyRule::default() };
    let paths = PolicyRule { non_resource_urls: Some(all()), verbs: all(), ..PolicyRule::default() };
    ClusterRole {
        metadata: ObjectMeta { name: Some(ADMINISTRATOR.to_owned()), ..ObjectMeta::default() },
        rules: Some(vec![everything, paths]),
        aggregation_rule: None,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::rbac::v1::AggregationRule;

    use super::*;

    fn system() -> SystemNamespaces {
        SystemNamespaces::parse("")
    }

    fn names(objects: &[Object]) -> Vec<String> {
        let of = |kind: &str, meta: &ObjectMeta| {
            format!(
                "{kind} {}{}",
                meta.namespace.as_ref().map(|it| format!("{it}/")).unwrap_or_default(),
                meta.name.clone().unwrap()
            )
        };
        objects
            .iter()
            .map(|object| match object {
                Object::ClusterRole(role) => of("role", &role.metadata),
                Object::ClusterBinding(binding) => of("binding", &binding.metadata),
                Object::Binding(binding) => of("binding", &binding.metadata),
            })
            .collect()
    }

    fn removed(plan: &Plan) -> Vec<String> {
        let name = |meta: &ObjectMeta| {
            format!(
                "{}{}",
                meta.namespace.as_ref().map(|it| format!("{it}/")).unwrap_or_default(),
                meta.name.clone().unwrap()
            )
        };
        plan.removals.iter().map(|removal| name(&removal.meta)).collect()
    }

    /// A cluster that is as it has to be, with one namespace that is open.
    fn correct() -> Found {
        let empty = Found { labelled: vec!["shop".to_owned()], ..Found::default() };
        let mut found = empty.clone();
        for object in plan(&empty, &system()).objects {
            match object {
                Object::ClusterRole(role) => found.cluster_roles.push(role),
                Object::ClusterBinding(binding) => found.cluster_bindings.push(binding),
                Object::Binding(binding) => found.namespace_bindings.push(binding),
            }
        }
        found
    }

    fn former() -> ClusterRoleBinding {
        ClusterRoleBinding {
            metadata: ObjectMeta { name: Some(FORMER_MEMBER.to_owned()), ..ObjectMeta::default() },
            role_ref: role_ref(FORMER_ROLE),
            subjects: Some(group(Role::Member)),
        }
    }

    #[test]
    fn new_cluster_gets_roles_before_their_bindings() {
        let plan = plan(&Found { labelled: vec!["shop".to_owned()], ..Found::default() }, &system());
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
    fn correct_cluster_needs_no_change() {
        assert!(plan(&correct(), &system()).is_empty());
    }

    #[test]
    fn binding_of_earlier_versions_is_removed() {
        let mut found = correct();
        found.cluster_bindings.push(former());
        let plan = plan(&found, &system());
        assert_eq!((removed(&plan), plan.objects.len()), (vec![FORMER_MEMBER.to_owned()], 0));
        assert!(plan.ends_edit_everywhere);
    }

    #[test]
    fn foreign_binding_with_the_former_name_stays() {
        let mut found = correct();
        let other = ClusterRoleBinding { role_ref: role_ref("view"), subjects: None, ..former() };
        found.cluster_bindings.push(other);
        assert!(plan(&found, &system()).is_empty());
    }

    #[test]
    fn namespace_without_label_is_closed() {
        let mut found = correct();
        found.labelled.clear();
        let plan = plan(&found, &system());
        assert_eq!(removed(&plan), ["shop/norman-aks-namespace-edit"]);
        assert_eq!((plan.closed.as_slice(), plan.objects.len()), (["shop".to_owned()].as_slice(), 0));
    }

    #[test]
    fn system_namespace_is_never_open() {
        let mut found = correct();
        found.labelled.push("kube-system".to_owned());
        assert!(plan(&found, &system()).is_empty());
        let plan = plan(&found, &SystemNamespaces::parse("shop"));
        assert_eq!(removed(&plan), ["shop/norman-aks-namespace-edit"]);
        assert!(plan.objects.is_empty());
    }

    #[test]
    fn binding_to_another_role_is_replaced() {
        let mut found = correct();
        found.cluster_bindings[0].role_ref.name = "edit".to_owned();
        found.namespace_bindings[0].role_ref.name = "admin".to_owned();
        let plan = plan(&found, &system());
        assert_eq!(removed(&plan), ["shop/norman-aks-namespace-edit", "norman-aks-read-only"]);
        assert_eq!(
            names(&plan.objects),
            ["binding norman-aks-read-only", "binding shop/norman-aks-namespace-edit"]
        );
    }

    #[test]
    fn changed_subjects_rules_and_labels_are_corrected() {
        let mut found = correct();
        found.cluster_bindings[1].subjects.as_mut().unwrap().push(group(Role::ReadOnly).remove(0));
        found.cluster_roles[1].rules.as_mut().unwrap()[0].verbs.push("delete".to_owned());
        found.cluster_roles[2].metadata.labels = None;
        let plan = plan(&found, &system());
        assert!(plan.removals.is_empty());
        assert_eq!(
            names(&plan.objects),
            ["role norman-aks-member", "role norman-aks-namespace-edit", "binding norman-aks-member"]
        );
    }

    #[test]
    fn aggregated_role_is_made_anew() {
        let mut found = correct();
        found.cluster_roles[2].aggregation_rule = Some(AggregationRule::default());
        let plan = plan(&found, &system());
        assert_eq!(removed(&plan), [NAMESPACE_EDIT]);
        assert_eq!(names(&plan.objects), ["role norman-aks-namespace-edit"]);
    }
}
