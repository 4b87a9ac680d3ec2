//! Reviews, which report the caller's identity and rights and are not stored.

use super::value::FieldAccess as _;
use serde_json::{Value, json};

use super::authz::{Attributes, Decision, decide, held_rules};
use super::resources::{Resource, SELF_RULES_REVIEWS, SELF_SUBJECT_REVIEWS};
use super::rules::full_access_rules;
use super::status::{Cause, StatusError};
use super::storage::State;
use super::user::User;
use super::value::{set, text};

/// The review with its result in `status`.
pub(crate) fn respond(
    state: &State,
    resource: &Resource,
    user: &User,
    mut review: Value,
) -> Result<Value, StatusError> {
    let status = if resource.is(&SELF_SUBJECT_REVIEWS) {
        json!({"userInfo": user.info()})
    } else if resource.is(&SELF_RULES_REVIEWS) {
        rules_status(state, user, text(&review, "/spec/namespace"))?
    } else {
        let Decision { allowed, reason } = decide(state, user, &attributes(resource, &review)?);
        let mut status = json!({"allowed": allowed});
        if !reason.is_empty() {
            *status.field_mut("reason") = reason.into();
        }
        status
    };
    set(&mut review, &["status"], status);
    if review.field("metadata").is_null() {
        set(&mut review, &["metadata", "creationTimestamp"], Value::Null);
    }
    Ok(review)
}

fn attributes<'a>(resource: &Resource, review: &'a Value) -> Result<Attributes<'a>, StatusError> {
    let spec = &review["spec"];
    match (spec["resourceAttributes"].is_object(), spec["nonResourceAttributes"].is_object()) {
        (true, false) => {
            let attribute = |pointer| text(spec, pointer);
            Ok(Attributes {
                verb: attribute("/resourceAttributes/verb"),
                group: attribute("/resourceAttributes/group"),
                resource: attribute("/resourceAttributes/resource"),
                subresource: attribute("/resourceAttributes/subresource"),
                namespace: attribute("/resourceAttributes/namespace"),
                name: attribute("/resourceAttributes/name"),
                path: None,
            })
        }
        (false, true) => Ok(Attributes {
            verb: text(spec, "/nonResourceAttributes/verb"),
            path: Some(text(spec, "/nonResourceAttributes/path")),
            ..Attributes::default()
        }),
        _ => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            let cause = Cause::invalid("spec.resourceAttributes", &Value::Null, why);
            Err(StatusError::invalid(resource, "", vec![cause]))
        }
    }
}

/// The status of a rules review: the user's rules in a namespace.
fn rules_status(state: &State, user: &User, namespace: &str) -> Result<Value, StatusError> {
    if namespace.is_empty() {
        return Err(StatusError::bad_request("no namespace on request"));
    }
    let (mut resource_rules, mut path_rules) = (Vec::new(), Vec::new());
    let mut rules = held_rules(state, user, namespace);
    // Full access may come from a group or an Azure role instead of a rule.
    if decide(state, user, &Attributes { verb: "*", group: "*", resource: "*", ..Attributes::default() })
        .allowed
    {
        rules.extend(full_access_rules());
    }
    for rule in rules {
        let mut entry = json!({"verbs": rule.field("verbs")});
        let is_path_rule = rule.field("nonResourceURLs").is_array();
        let keys: &[&str] =
            if is_path_rule { &["nonResourceURLs"] } else { &["apiGroups", "resources", "resourceNames"] };
        for key in keys.iter().filter(|key| rule.field(key).is_array()) {
            *entry.field_mut(key) = rule.field(key).clone();
        }
        let entries = if is_path_rule { &mut path_rules } else { &mut resource_rules };
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    Ok(json!({"incomplete": false, "resourceRules": resource_rules, "nonResourceRules": path_rules}))
}
