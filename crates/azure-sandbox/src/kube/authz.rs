//! Role-based access control with the roles and bindings of the cluster.

use serde_json::Value;

use super::request::{KubeRequest, Target};
use super::resources::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, RBAC, ROLE_BINDINGS, ROLES, qualified};
use super::status::StatusError;
use super::storage::State;
use super::user::{MASTERS, User};
use super::value::{list, text, texts};

/// The attributes of a request that are authorized.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attributes<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// Set for non-resource paths; all other fields except `verb` are then empty.
    pub(crate) path: Option<&'a str>,
}

/// A decision, with the reason that a review reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) allowed: bool,
    pub(crate) reason: String,
}

impl<'a> Attributes<'a> {
    pub(crate) fn from_request(request: &'a KubeRequest) -> Self {
        match &request.target {
            Target::Path => Self { verb: request.verb, path: Some(&request.path), ..Self::default() },
            Target::Objects(objects) => Self {
                verb: request.verb,
                group: &objects.group,
                resource: &objects.plural,
                subresource: &objects.subresource,
                namespace: &objects.namespace,
                name: &objects.name,
                path: None,
            },
        }
    }

    /// The resource with its subresource: `pods`, `pods/log`.
    fn full_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// Authorizes a request; the error has Kubernetes' message.
pub(crate) fn authorize(state: &State, user: &User, attributes: &Attributes<'_>) -> Result<(), StatusError> {
    let decision = decide(state, user, attributes);
    if decision.allowed {
        return Ok(());
    }
    let name = &user.name;
    let verb = attributes.verb;
    let reason = if decision.reason.is_empty() { String::new() } else { format!(": {}", decision.reason) };
    if let Some(path) = attributes.path {
        let message = format!("forbidden: User {name:?} cannot {verb} path {path:?}{reason}");
        return Err(StatusError::new(403, "Forbidden", message));
    }
    let scope = if attributes.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {:?}", attributes.namespace)
    };
    let Attributes { group, resource, .. } = attributes;
    let qualified = qualified(resource, group);
    let object =
        if attributes.name.is_empty() { qualified } else { format!("{qualified} {:?}", attributes.name) };
    let message = format!(
        "{object} is forbidden: User {name:?} cannot {verb} resource {:?} in API group {group:?} {scope}{reason}",
        attributes.full_resource()
    );
    Err(StatusError::new(403, "Forbidden", message).with_details(group, resource, attributes.name))
}

pub(crate) fn decide(state: &State, user: &User, attributes: &Attributes<'_>) -> Decision {
    if user.is_in(MASTERS) || user.has_azure_role == Some(true) {
        return Decision { allowed: true, reason: String::new() };
    }
    let mut missing_roles = Vec::new();
    for grant in grants(state, user, attributes.namespace) {
        let Grant { reason, rules } = grant;
        match rules {
            Ok(rules) if rules.iter().any(|rule| allows(rule, attributes)) => {
                return Decision { allowed: true, reason };
            }
            Ok(_) => {}
            Err(role) => missing_roles.push(role),
        }
    }
    let mut reason =
        if missing_roles.is_empty() { String::new() } else { format!("RBAC: {}", missing_roles.join(", ")) };
    if user.has_azure_role == Some(false) {
        "User does not have access to the resource in Azure. Update role assignment to allow access."
            .clone_into(&mut reason);
    }
    Decision { allowed: false, reason }
}

/// The rules that a binding grants to a user.
pub(crate) struct Grant {
    /// The reason in [`Decision`] if this binding allows a request.
    reason: String,
    /// The rules, or the error that the role does not exist.
    pub(crate) rules: Result<Vec<Value>, String>,
}

/// The grants of all cluster role bindings for `user`, and of the role bindings in `namespace` unless it is empty.
pub(crate) fn grants(state: &State, user: &User, namespace: &str) -> Vec<Grant> {
    let cluster_bindings = state.list(&CLUSTER_ROLE_BINDINGS, None, None);
    let namespace_bindings =
        state.list(&ROLE_BINDINGS, Some(namespace), None).filter(|_| !namespace.is_empty());
    let mut granted = Vec::new();
    for binding in cluster_bindings.chain(namespace_bindings) {
        let binding_namespace = text(binding, "/metadata/namespace");
        let subject =
            list(binding, "/subjects").iter().find(|subject| is_subject(user, subject, binding_namespace));
        let Some(subject) = subject else { continue };
        let (kind, role) = (text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"));
        let (role_object, error) = if kind == "ClusterRole" {
            (state.get(&CLUSTER_ROLES, "", role), format!("clusterrole.{RBAC} {role:?} not found"))
        } else {
            (state.get(&ROLES, binding_namespace, role), format!("role.{RBAC} {role:?} not found"))
        };
        let subject_name = format!("{}/{}", text(subject, "/kind"), text(subject, "/name"));
        let name = text(binding, "/metadata/name");
        granted.push(Grant {
            reason: format!(
                "RBAC: allowed by {} {name:?} of {kind} {role:?} to {subject_name:?}",
                text(binding, "/kind")
            ),
            rules: role_object.map(|role| list(role, "/rules").to_vec()).ok_or(error),
        });
    }
    granted
}

/// The rules that a user has in a namespace, including cluster-wide ones.
pub(crate) fn held_rules(state: &State, user: &User, namespace: &str) -> Vec<Value> {
    grants(state, user, namespace).into_iter().filter_map(|granted| granted.rules.ok()).flatten().collect()
}

fn is_subject(user: &User, subject: &Value, binding_namespace: &str) -> bool {
    let name = text(subject, "/name");
    match text(subject, "/kind") {
        "User" => user.name == name,
        "Group" => user.is_in(name),
        "ServiceAccount" => {
            let namespace = match text(subject, "/namespace") {
                "" => binding_namespace,
                namespace => namespace,
            };
            user.name == super::user::service_account_name(namespace, name)
        }
        _ => false,
    }
}

/// Whether a rule allows a request.
pub(crate) fn allows(rule: &Value, attributes: &Attributes<'_>) -> bool {
    let contains =
        |pointer: &str, value: &str| texts(rule, pointer).any(|allowed| allowed == "*" || allowed == value);
    if !contains("/verbs", attributes.verb) {
        return false;
    }
    if let Some(path) = attributes.path {
        return texts(rule, "/nonResourceURLs").any(|allowed| {
            allowed == path || allowed.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
        });
    }
    let matches_resource = texts(rule, "/resources").any(|allowed| {
        allowed == "*"
            || (attributes.subresource.is_empty() && allowed == attributes.resource)
            || (!attributes.subresource.is_empty()
                && allowed.split_once('/').is_some_and(|(resource, subresource)| {
                    (resource == "*" || resource == attributes.resource)
                        && subresource == attributes.subresource
                }))
    });
    let names = list(rule, "/resourceNames");
    matches_resource
        && contains("/apiGroups", attributes.group)
        && (names.is_empty() || names.iter().any(|name| name == attributes.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kube::declared::Declared;

    fn rule(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Value {
        json!({"verbs": verbs, "apiGroups": groups, "resources": resources})
    }

    fn attributes<'a>(
        verb: &'a str,
        group: &'a str,
        resource: &'a str,
        subresource: &'a str,
    ) -> Attributes<'a> {
        Attributes { verb, group, resource, subresource, name: "x", ..Attributes::default() }
    }

    #[test]
    fn rules_allow_only_what_they_name() {
        let reader = rule(&["get", "list"], &[""], &["pods"]);
        for (rule, attributes, expected) in [
            (&reader, attributes("get", "", "pods", ""), true),
            (&reader, attributes("watch", "", "pods", ""), false),
            (&reader, attributes("get", "apps", "pods", ""), false),
            (&reader, attributes("get", "", "pods", "log"), false),
            (&rule(&["get"], &[""], &["pods/log"]), attributes("get", "", "pods", "log"), true),
            (&rule(&["get"], &[""], &["*/log"]), attributes("get", "", "pods", "log"), true),
            (&rule(&["*"], &["*"], &["*"]), attributes("delete", "apps", "deployments", "scale"), true),
        ] {
            assert_eq!(allows(rule, &attributes), expected, "{rule} {attributes:?}");
        }
        let mut named = reader.clone();
        named["resourceNames"] = json!(["x"]);
        assert!(allows(&named, &attributes("get", "", "pods", "")));
        assert!(!allows(&named, &Attributes { name: "", ..attributes("get", "", "pods", "") }));
        let paths = json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/api/*"]});
        for (path, expected) in
            [("/healthz", true), ("/healthz/x", false), ("/api/v1", true), ("/apis", false)]
        {
            let attributes = Attributes { verb: "get", path: Some(path), ..Attributes::default() };
            assert_eq!(allows(&paths, &attributes), expected, "{path}");
        }
    }

    fn user(name: &str, groups: &[&str]) -> User {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        User { name: name.to_owned(), groups, ..User::default() }
    }

    #[test]
    fn bindings_apply_within_their_scope() {
        let mut state = State::new(Declared::default());
        let bind = |kind: &str, namespace: &str, role: (&str, &str), subject: Value| {
            json!({"kind": kind, "metadata": {"name": "b", "namespace": namespace}, "subjects": [subject],
                "roleRef": {"kind": role.0, "name": role.1}})
        };
        let pods = json!({"metadata": {"name": "pods"}, "rules": [rule(&["get"], &[""], &["pods"])]});
        state.put(&CLUSTER_ROLES, pods);
        let account = json!({"kind": "ServiceAccount", "name": "a"});
        state.put(&ROLE_BINDINGS, bind("RoleBinding", "n", ("ClusterRole", "pods"), account));
        let group = json!({"kind": "Group", "name": "devs"});
        state.put(&CLUSTER_ROLE_BINDINGS, bind("ClusterRoleBinding", "", ("ClusterRole", "pods"), group));
        let in_namespace = |namespace| Attributes { namespace, ..attributes("get", "", "pods", "") };
        let account = user("system:serviceaccount:n:a", &[]);
        let allowed = |user: &User, namespace| decide(&state, user, &in_namespace(namespace)).allowed;
        assert!(allowed(&account, "n") && !allowed(&account, "m") && !allowed(&account, ""));
        let dev = user("eve", &["devs"]);
        assert!(allowed(&dev, "n") && allowed(&dev, ""));
        assert!(allowed(&user("x", &[MASTERS]), "n") && !allowed(&user("x", &[]), "n"));
        let error = authorize(&state, &account, &in_namespace("m")).unwrap_err();
        assert_eq!(
            error.message,
            "pods \"x\" is forbidden: User \"system:serviceaccount:n:a\" cannot get resource \"pods\" in API group \"\" \
             in the namespace \"m\""
        );
    }

    #[test]
    fn entra_user_without_a_role_gets_azures_message() {
        let state = State::new(Declared::default());
        let entra_user = |role| User { has_azure_role: Some(role), ..user("object", &[]) };
        assert!(authorize(&state, &entra_user(true), &attributes("get", "", "pods", "")).is_ok());
        let error = authorize(&state, &entra_user(false), &attributes("get", "", "pods", "")).unwrap_err();
        assert!(error.message.ends_with("Update role assignment to allow access."), "{}", error.message);
    }
}
