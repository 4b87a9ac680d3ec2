//! Validation of roles and bindings, privilege escalation checks, and aggregated roles.

use serde_json::{Value, json};

use super::authz::{Attributes, allows, decide, held_rules};
use super::resources::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, RBAC, ROLE_BINDINGS, ROLES, Resource};
use super::select::LabelSelector;
use super::status::{Cause, StatusError};
use super::storage::State;
use super::user::{MASTERS, User};
use super::value::{at, list, remove, set, text, texts};

/// Rejects a role or binding that grants more than `user` has.
pub(crate) fn check_escalation(
    state: &State,
    user: &User,
    resource: &Resource,
    old: Option<&Value>,
    object: &Value,
) -> Result<(), StatusError> {
    let is_role = [&CLUSTER_ROLES, &ROLES].into_iter().any(|role_type| resource.is(role_type));
    let is_binding =
        [&CLUSTER_ROLE_BINDINGS, &ROLE_BINDINGS].into_iter().any(|binding_type| resource.is(binding_type));
    if !is_role && !is_binding || user.is_in(MASTERS) || user.has_azure_role == Some(true) {
        return Ok(());
    }
    if old.is_some_and(|old| is_garbage_collector_update(old, object)) {
        return Ok(());
    }
    let (namespace, name) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
    let has_aggregation =
        |role: &Value| role.get("aggregationRule").is_some_and(|aggregation| !aggregation.is_null());
    let is_aggregated = is_role && (has_aggregation(object) || old.is_some_and(has_aggregation));
    let (verb, (plural, role_name), mut rules) = if is_role {
        ("escalate", (resource.plural, name), list(object, "/rules").to_vec())
    } else {
        let role = text(object, "/roleRef/name");
        let (role_type, role_namespace) = match text(object, "/roleRef/kind") {
            "ClusterRole" => (&CLUSTER_ROLES, ""),
            _ => (&ROLES, namespace),
        };
        let bound_role = state
            .get(role_type, role_namespace, role)
            .ok_or_else(|| StatusError::not_found(role_type, role))?;
        ("bind", (role_type.plural, role), list(bound_role, "/rules").to_vec())
    };
    if is_aggregated {
        // The aggregation may add any rule.
        rules.extend(full_access_rules());
    }
    let permission = Attributes {
        verb,
        group: RBAC,
        resource: plural,
        namespace,
        name: role_name,
        ..Attributes::default()
    };
    if decide(state, user, &permission).allowed {
        return Ok(());
    }
    let own_rules = held_rules(state, user, namespace);
    let missing: Vec<String> = rules.iter().filter(|rule| !covers(&own_rules, rule)).map(describe).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if is_aggregated {
        let why = "must have cluster-admin privileges to use an aggregationRule";
        return Err(StatusError::forbidden(resource, name, why));
    }
    let why = format!(
        "user {:?} (groups={:?}) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        user.groups,
        missing.join("\n")
    );
    Err(StatusError::forbidden(resource, name, &why))
}

/// Whether an update changes only owner references and finalizers, as the garbage collector does.
fn is_garbage_collector_update(old: &Value, new: &Value) -> bool {
    let without_ownership = |object: &Value| {
        let mut object = object.clone();
        for key in ["ownerReferences", "finalizers", "managedFields", "resourceVersion", "generation"] {
            remove(&mut object, "/metadata", key);
        }
        object
    };
    without_ownership(old) == without_ownership(new)
}

/// Rules that allow everything.
pub(crate) fn full_access_rules() -> [Value; 2] {
    [
        json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}),
        json!({"verbs": ["*"], "nonResourceURLs": ["*"]}),
    ]
}

/// Whether the user's rules allow everything that `rule` allows. Only a wildcard covers a wildcard.
fn covers(own_rules: &[Value], rule: &Value) -> bool {
    let is_allowed =
        |attributes: Attributes<'_>| own_rules.iter().any(|own_rule| allows(own_rule, &attributes));
    texts(rule, "/verbs").all(|verb| {
        let covers_paths = texts(rule, "/nonResourceURLs")
            .all(|path| is_allowed(Attributes { verb, path: Some(path), ..Attributes::default() }));
        let covers_resources = texts(rule, "/apiGroups").all(|group| {
            texts(rule, "/resources").all(|resource| {
                let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
                let allowed = |name| {
                    is_allowed(Attributes {
                        verb,
                        group,
                        resource,
                        subresource,
                        name,
                        ..Attributes::default()
                    })
                };
                let mut names = texts(rule, "/resourceNames").peekable();
                if names.peek().is_none() { allowed("") } else { names.all(allowed) }
            })
        });
        covers_paths && covers_resources
    })
}

/// A rule as Kubernetes prints it in errors.
fn describe(rule: &Value) -> String {
    let parts = [
        ("APIGroups", "/apiGroups"),
        ("Resources", "/resources"),
        ("ResourceNames", "/resourceNames"),
        ("NonResourceURLs", "/nonResourceURLs"),
        ("Verbs", "/verbs"),
    ];
    let parts = parts.into_iter().filter(|(_, pointer)| !list(rule, pointer).is_empty());
    let part = |(name, pointer)| format!("{name}:{:?}", texts(rule, pointer).collect::<Vec<_>>());
    format!("{{{}}}", parts.map(part).collect::<Vec<_>>().join(", "))
}

/// Validates a role or binding.
pub(crate) fn validate(resource: &Resource, old: Option<&Value>, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if resource.is(&CLUSTER_ROLES) || resource.is(&ROLES) {
        for (index, rule) in list(object, "/rules").iter().enumerate() {
            if list(rule, "/verbs").is_empty() {
                let field = format!("rules[{index}].verbs");
                causes.push(Cause::required(&field, "verbs must contain at least one value"));
            }
            if list(rule, "/nonResourceURLs").is_empty() && list(rule, "/resources").is_empty() {
                let field = format!("rules[{index}].resources");
                causes.push(Cause::required(&field, "resource rules must supply at least one resource"));
            }
        }
        return causes;
    }
    if old.is_some_and(|old| old["roleRef"] != object["roleRef"]) {
        causes.push(Cause::invalid("roleRef", &object["roleRef"], "cannot change roleRef"));
    }
    if text(object, "/roleRef/name").is_empty() {
        causes.push(Cause::required("roleRef.name", ""));
    }
    let kinds: &[&str] =
        if resource.is(&ROLE_BINDINGS) { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    let kind = text(object, "/roleRef/kind");
    if !kinds.contains(&kind) {
        let why = format!("supported values: {kinds:?}");
        causes.push(Cause::invalid("roleRef.kind", at(object, &["roleRef", "kind"]), &why));
    }
    for (index, subject) in list(object, "/subjects").iter().enumerate() {
        if text(subject, "/name").is_empty() {
            causes.push(Cause::required(&format!("subjects[{index}].name"), ""));
        }
        let is_service_account = text(subject, "/kind") == "ServiceAccount";
        if is_service_account && resource.is(&CLUSTER_ROLE_BINDINGS) && text(subject, "/namespace").is_empty()
        {
            causes.push(Cause::required(&format!("subjects[{index}].namespace"), ""));
        }
    }
    causes
}

/// Updates the rules of aggregated roles.
pub(crate) fn aggregate(state: &mut State) {
    for role in state.all(&CLUSTER_ROLES) {
        let selectors = list(&role, "/aggregationRule/clusterRoleSelectors");
        if selectors.is_empty() {
            continue;
        }
        let selectors: Vec<_> = selectors.iter().map(LabelSelector::from_json).collect();
        let mut rules: Vec<Value> = Vec::new();
        for source in state.list(&CLUSTER_ROLES, None, None) {
            let is_selected = selectors.iter().any(|selector| selector.matches(source));
            if is_selected && text(source, "/metadata/name") != text(&role, "/metadata/name") {
                for rule in list(source, "/rules") {
                    if !rules.contains(rule) {
                        rules.push(rule.clone());
                    }
                }
            }
        }
        if *list(&role, "/rules") != *rules {
            let mut role = (*role).clone();
            set(&mut role, &["rules"], rules);
            state.put(&CLUSTER_ROLES, role);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::declared::Declared;

    #[test]
    fn rule_is_covered_only_by_equal_or_wider_rules() {
        let own_rules = [
            json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]}),
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]}),
        ];
        for (rule, expected) in [
            (json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "pods/log"]}), true),
            (json!({"verbs": ["get", "watch"], "apiGroups": [""], "resources": ["pods"]}), false),
            (json!({"verbs": ["*"], "apiGroups": [""], "resources": ["pods"]}), false),
            (json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}), false),
            (
                json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]}),
                true,
            ),
        ] {
            assert_eq!(covers(&own_rules, &rule), expected, "{rule}");
        }
    }

    #[test]
    fn aggregated_and_stronger_roles_are_rejected() {
        let mut state = State::new(Declared::default());
        let role = |rules: Value| json!({"metadata": {"name": "own"}, "rules": rules});
        let strong_rules = json!([{"verbs": ["*"], "apiGroups": [RBAC], "resources": ["clusterroles"],
            "resourceNames": []}]);
        state
            .put(&CLUSTER_ROLES, role(json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}])));
        state.put(
            &CLUSTER_ROLE_BINDINGS,
            json!({"kind": "ClusterRoleBinding", "metadata": {"name": "b"},
                "roleRef": {"kind": "ClusterRole", "name": "own"}, "subjects": [{"kind": "User", "name": "eve"}]}),
        );
        let eve = User { name: "eve".to_owned(), ..User::default() };
        let may_write = |old: Option<&Value>, new: &Value| {
            check_escalation(&state, &eve, &CLUSTER_ROLES, old, new).is_ok()
        };
        let pods = role(json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]));
        assert!(may_write(None, &pods));
        let mut aggregated = pods.clone();
        aggregated["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]});
        assert!(!may_write(None, &aggregated), "it may aggregate anything");
        assert!(!may_write(Some(&aggregated), &pods), "aggregated rules would remain");
        // A stronger role cannot be changed, not even labeled for an aggregation.
        let strong = role(strong_rules);
        let mut labeled = strong.clone();
        labeled["metadata"]["labels"] = json!({"a": "b"});
        assert!(!may_write(Some(&strong), &labeled));
        let mut with_finalizer = strong.clone();
        with_finalizer["metadata"]["finalizers"] = json!(["a/b"]);
        assert!(may_write(Some(&strong), &with_finalizer));
    }

    #[test]
    fn roles_and_bindings_are_validated() {
        let role = json!({"rules": [{"verbs": [], "resources": ["pods"]}]});
        assert_eq!(validate(&ROLES, None, &role)[0].field, "rules[0].verbs");
        let binding = |role: &str| json!({"roleRef": {"kind": "ClusterRole", "name": role}, "subjects": []});
        assert!(validate(&ROLE_BINDINGS, None, &binding("a")).is_empty());
        assert_eq!(validate(&ROLE_BINDINGS, Some(&binding("a")), &binding("b"))[0].field, "roleRef");
        let account = json!({"roleRef": {"kind": "ClusterRole", "name": "a"},
            "subjects": [{"kind": "ServiceAccount", "name": "x"}]});
        assert_eq!(validate(&CLUSTER_ROLE_BINDINGS, None, &account)[0].field, "subjects[0].namespace");
    }
}
