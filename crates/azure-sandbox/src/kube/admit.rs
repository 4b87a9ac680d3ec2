//! Admission: validation and defaulting of new and changed objects.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::pods::is_terminating;
use super::resources::{
    CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS, RBAC, ROLE_BINDINGS,
    ROLES, Resource, SECRETS, SERVICE_ACCOUNTS,
};
use super::select::LabelSelector;
use super::status::{Cause, StatusError};
use super::storage::State;
use super::value::{Now, at, at_mut, elements_mut, list, number, set, set_default, text};
use super::{podspec, rules};

/// The type of secrets that receive a service account's token.
pub(crate) const TOKEN_SECRET_TYPE: &str = "kubernetes.io/service-account-token";
/// The annotation with the name of the service account.
pub(crate) const ACCOUNT_NAME_ANNOTATION: &str = "kubernetes.io/service-account.name";

/// Validates the name of an object.
pub(crate) fn check_name(resource: &Resource, object: &Value) -> Result<(), StatusError> {
    let name = text(object, "/metadata/name");
    if name.is_empty() {
        let cause = Cause::required("metadata.name", "name or generateName is required");
        return Err(StatusError::invalid(resource, "", vec![cause]));
    }
    let why = if resource.group == RBAC {
        let is_invalid = [".", ".."].contains(&name) || name.contains(['/', '%']);
        is_invalid.then_some("may not be '.' or '..' or contain '/' or '%'")
    } else if resource.is(&NAMESPACES) {
        (!is_label(name) || name.len() > 63).then_some(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
             end with an alphanumeric character",
        )
    } else {
        (!name.split('.').all(is_label) || name.len() > 253).then_some(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character",
        )
    };
    match why {
        None => Ok(()),
        Some(why) => {
            let cause = Cause::invalid("metadata.name", &name.into(), why);
            Err(StatusError::invalid(resource, name, vec![cause]))
        }
    }
}

fn is_label(part: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !part.is_empty() && part.chars().all(is_allowed) && !part.starts_with('-') && !part.ends_with('-')
}

/// Defaults and validates an object; `old` is its stored version.
pub(crate) fn admit(
    state: &State,
    resource: &Resource,
    old: Option<&Value>,
    object: &mut Value,
    now: &Now,
) -> Result<(), StatusError> {
    let is = |other: &Resource| resource.is(other);
    let causes = if is(&NAMESPACES) {
        apply_namespace_defaults(object);
        Vec::new()
    } else if is(&SECRETS) {
        admit_secret(old, object)?
    } else if is(&CONFIG_MAPS) {
        check_immutable(old, object, &["data", "binaryData"])
    } else if is(&PODS) {
        let causes = podspec::admit_pod(old, object, now);
        if old.is_none() {
            check_service_account(state, object)?;
        }
        causes
    } else if is(&DEPLOYMENTS) {
        admit_deployment(old, object)
    } else if is(&ROLE_BINDINGS) || is(&CLUSTER_ROLE_BINDINGS) {
        apply_binding_defaults(object);
        rules::validate(resource, old, object)
    } else if is(&ROLES) || is(&CLUSTER_ROLES) {
        rules::validate(resource, old, object)
    } else {
        Vec::new()
    };
    let causes: Vec<_> = check_labels(object).into_iter().chain(causes).collect();
    if causes.is_empty() {
        return Ok(());
    }
    Err(StatusError::invalid(resource, text(object, "/metadata/name"), causes))
}

/// Validates labels and annotations.
fn check_labels(object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for map in ["labels", "annotations"] {
        for (key, value) in at(object, &["metadata", map]).as_object().into_iter().flatten() {
            let field = format!("metadata.{map}");
            if !value.is_string() {
                causes.push(Cause::invalid(&field, value, &format!("the value of {key:?} must be a string")));
            } else if map == "labels" && value.as_str().is_some_and(|value| value.len() > 63) {
                causes.push(Cause::invalid(&field, value, "must be no more than 63 bytes"));
            }
        }
    }
    causes
}

/// Checks that the service account of a pod exists.
fn check_service_account(state: &State, pod: &Value) -> Result<(), StatusError> {
    let (namespace, account) = (text(pod, "/metadata/namespace"), text(pod, "/spec/serviceAccountName"));
    if state.get(&SERVICE_ACCOUNTS, namespace, account).is_some() {
        return Ok(());
    }
    let why = format!(
        "error looking up service account {namespace}/{account}: serviceaccount {account:?} not found"
    );
    Err(StatusError::forbidden(&PODS, text(pod, "/metadata/name"), &why))
}

fn apply_namespace_defaults(object: &mut Value) {
    let name = text(object, "/metadata/name").to_owned();
    set(object, &["metadata", "labels", "kubernetes.io/metadata.name"], name);
    if !is_terminating(object) {
        set_default(object, &["spec", "finalizers"], json!(["kubernetes"]));
    }
    set_default(object, &["status", "phase"], "Active");
}

fn admit_secret(old: Option<&Value>, object: &mut Value) -> Result<Vec<Cause>, StatusError> {
    if let Some(string_data) = object.as_object_mut().and_then(|object| object.remove("stringData")) {
        for (key, value) in string_data.as_object().into_iter().flatten() {
            let encoded = BASE64_STANDARD.encode(value.as_str().unwrap_or_default());
            set(object, &["data", key], encoded);
        }
    }
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        if value.as_str().is_none_or(|value| BASE64_STANDARD.decode(value).is_err()) {
            let text = format!(
                "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data in field data.{key}"
            );
            return Err(StatusError::bad_request(text));
        }
    }
    set_default(object, &["type"], "Opaque");
    let mut causes = check_immutable(old, object, &["data"]);
    if old.is_some_and(|old| old["type"] != object["type"]) {
        causes.push(Cause::invalid("type", &object["type"], "field is immutable"));
    }
    let required_key = match text(object, "/type") {
        "kubernetes.io/dockerconfigjson" => Some(".dockerconfigjson"),
        "kubernetes.io/tls" if at(object, &["data", "tls.crt"]).is_null() => Some("tls.crt"),
        "kubernetes.io/tls" => Some("tls.key"),
        _ => None,
    };
    if let Some(key) = required_key.filter(|key| at(object, &["data", *key]).is_null()) {
        causes.push(Cause::required(&format!("data[{key}]"), ""));
    }
    let account =
        at(object, &["metadata", "annotations", ACCOUNT_NAME_ANNOTATION]).as_str().unwrap_or_default();
    if text(object, "/type") == TOKEN_SECRET_TYPE && account.is_empty() {
        causes.push(Cause::required(&format!("metadata.annotations[{ACCOUNT_NAME_ANNOTATION}]"), ""));
    }
    Ok(causes)
}

/// Checks that `keys` are unchanged if the object has been marked as immutable.
fn check_immutable(old: Option<&Value>, object: &Value, keys: &[&str]) -> Vec<Cause> {
    let Some(old) = old.filter(|old| old["immutable"] == true) else { return Vec::new() };
    let why = "field is immutable when `immutable` is set";
    let mut changed_keys: Vec<&str> = keys.iter().copied().filter(|key| old[*key] != object[*key]).collect();
    if object["immutable"] != true {
        changed_keys.push("immutable");
    }
    changed_keys
        .into_iter()
        .map(|key| Cause {
            reason: "FieldValueForbidden",
            message: format!("Forbidden: {why}"),
            field: key.to_owned(),
        })
        .collect()
}

fn apply_binding_defaults(object: &mut Value) {
    set_default(object, &["roleRef", "apiGroup"], RBAC);
    for subject in elements_mut(object, "/subjects") {
        let group = if text(subject, "/kind") == "ServiceAccount" { "" } else { RBAC };
        if !group.is_empty() {
            set_default(subject, &["apiGroup"], group);
        }
    }
}

fn admit_deployment(old: Option<&Value>, object: &mut Value) -> Vec<Cause> {
    set_default(object, &["spec", "replicas"], 1);
    set_default(object, &["spec", "revisionHistoryLimit"], 10);
    set_default(object, &["spec", "progressDeadlineSeconds"], 600);
    set_default(object, &["spec", "strategy", "type"], "RollingUpdate");
    if text(object, "/spec/strategy/type") == "RollingUpdate" {
        set_default(object, &["spec", "strategy", "rollingUpdate", "maxSurge"], "25%");
        set_default(object, &["spec", "strategy", "rollingUpdate", "maxUnavailable"], "25%");
    }
    let mut causes = Vec::new();
    if number(object, "/spec/replicas").is_some_and(|count| count < 0) {
        let why = "must be greater than or equal to 0";
        causes.push(Cause::invalid("spec.replicas", at(object, &["spec", "replicas"]), why));
    }
    let selector = at(object, &["spec", "selector"]);
    let labels = LabelSelector::from_json(selector);
    if labels.is_empty() {
        causes.push(Cause::required("spec.selector", ""));
    } else if !labels.matches(at(object, &["spec", "template"])) {
        let template_labels = at(object, &["spec", "template", "metadata", "labels"]);
        let why = "`selector` does not match template `labels`";
        causes.push(Cause::invalid("spec.template.metadata.labels", template_labels, why));
    }
    if old.is_some_and(|old| at(old, &["spec", "selector"]) != selector) {
        causes.push(Cause::invalid("spec.selector", selector, "field is immutable"));
    }
    if list(object, "/spec/template/spec/containers").is_empty() {
        causes.push(Cause::required("spec.template.spec.containers", ""));
    }
    causes.extend(podspec::admit(at_mut(object, &["spec", "template", "spec"]), "spec.template.spec"));
    causes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::declared::Declared;

    fn admit_object(
        resource: &'static Resource,
        old: Option<&Value>,
        mut object: Value,
    ) -> Result<Value, StatusError> {
        let now = Now { ms: 0, text: String::new() };
        admit(&State::new(Declared::default()), resource, old, &mut object, &now).map(|()| object)
    }

    #[test]
    fn names_are_validated_by_type() {
        let is_valid =
            |resource, name: &str| super::check_name(resource, &json!({"metadata": {"name": name}})).is_ok();
        for (resource, name, expected) in [
            (&PODS, "a.b-c", true),
            (&PODS, "A", false),
            (&PODS, "", false),
            (&PODS, "-a", false),
            (&NAMESPACES, "a.b", false),
            (&CLUSTER_ROLES, "system:node", true),
            (&CLUSTER_ROLES, "a/b", false),
        ] {
            assert_eq!(is_valid(resource, name), expected, "{} {name}", resource.kind);
        }
    }

    #[test]
    fn secrets_are_encoded_and_their_type_is_immutable() {
        let secret = admit_object(&SECRETS, None, json!({"stringData": {"a": "b"}})).unwrap();
        assert_eq!(secret, json!({"data": {"a": "Yg=="}, "type": "Opaque"}));
        let other = json!({"type": "other", "data": {}});
        assert_eq!(admit_object(&SECRETS, Some(&secret), other).unwrap_err().code, 422);
        assert_eq!(admit_object(&SECRETS, None, json!({"data": {"a": "?"}})).unwrap_err().code, 400);
        let error = admit_object(&SECRETS, None, json!({"type": TOKEN_SECRET_TYPE})).unwrap_err();
        assert!(error.message.contains("metadata.annotations[kubernetes.io/service-account.name]"));
    }

    #[test]
    fn immutable_objects_reject_changes() {
        let old = json!({"data": {"a": "1"}, "immutable": true});
        assert!(admit_object(&CONFIG_MAPS, Some(&old), old.clone()).is_ok());
        for new in [json!({"data": {"a": "2"}, "immutable": true}), json!({"data": {"a": "1"}})] {
            assert_eq!(admit_object(&CONFIG_MAPS, Some(&old), new).unwrap_err().code, 422);
        }
    }

    #[test]
    fn deployment_selector_must_match_and_defaults_are_set() {
        let deployment = |labels: Value| {
            json!({"spec": {"selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
        };
        let valid = admit_object(&DEPLOYMENTS, None, deployment(json!({"a": "b"}))).unwrap();
        assert_eq!(valid["spec"]["replicas"], 1);
        assert_eq!(valid["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"], "Always");
        let error = admit_object(&DEPLOYMENTS, None, deployment(json!({"a": "c"}))).unwrap_err();
        assert!(error.message.contains("does not match template"), "{}", error.message);
        let mut other = valid.clone();
        other["spec"]["selector"] = json!({"matchLabels": {"x": "y"}});
        other["spec"]["template"]["metadata"]["labels"] = json!({"x": "y"});
        assert!(admit_object(&DEPLOYMENTS, Some(&valid), other).unwrap_err().message.contains("immutable"));
    }
}
