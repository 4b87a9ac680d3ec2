//! Label and field selectors in queries and objects.

use serde_json::Value;

use super::resources::{self, Resource};
use super::status::StatusError;
use super::value::{at, list, text, texts};

/// A label selector.
#[derive(Clone, Debug, Default)]
pub(crate) struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug)]
struct Requirement {
    key: String,
    condition: Condition,
}

#[derive(Clone, Debug)]
enum Condition {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
}

/// A field selector.
#[derive(Clone, Debug, Default)]
pub(crate) struct FieldSelector(Vec<FieldRequirement>);

#[derive(Clone, Debug)]
struct FieldRequirement {
    pointer: String,
    value: String,
    /// Whether the field must equal the value; otherwise, it must differ.
    must_equal: bool,
}

impl LabelSelector {
    /// Parses a selector such as `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
    pub(crate) fn parse(selector: &str) -> Result<Self, StatusError> {
        let requirements = split_requirements(selector).map_err(|()| unparseable(selector))?;
        let requirements = requirements.into_iter().filter(|part| !part.trim().is_empty());
        requirements
            .map(|part| parse_requirement(part.trim()).ok_or_else(|| unparseable(selector)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// A `LabelSelector`: `matchLabels` and `matchExpressions`.
    pub(crate) fn from_json(selector: &Value) -> Self {
        let mut requirements = Self::from_labels(&selector["matchLabels"]).0;
        for expression in list(selector, "/matchExpressions") {
            let values = || texts(expression, "/values").map(str::to_owned).collect();
            let condition = match text(expression, "/operator") {
                "In" => Condition::In(values()),
                "NotIn" => Condition::NotIn(values()),
                "Exists" => Condition::Exists,
                _ => Condition::Missing,
            };
            requirements.push(Requirement { key: text(expression, "/key").to_owned(), condition });
        }
        Self(requirements)
    }

    /// A selector that requires each of `labels` with its value.
    pub(crate) fn from_labels(labels: &Value) -> Self {
        let labels = labels.as_object().into_iter().flatten();
        let requirement = |(key, value): (&String, &Value)| Requirement {
            key: key.clone(),
            condition: Condition::In(vec![value.as_str().unwrap_or_default().to_owned()]),
        };
        Self(labels.map(requirement).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the labels of `object` match.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.matches_labels(at(object, &["metadata", "labels"]))
    }

    pub(crate) fn matches_labels(&self, labels: &Value) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels[requirement.key.as_str()].as_str();
            match &requirement.condition {
                Condition::Exists => value.is_some(),
                Condition::Missing => value.is_none(),
                Condition::In(values) => {
                    value.is_some_and(|value| values.iter().any(|wanted| wanted == value))
                }
                Condition::NotIn(values) => {
                    value.is_none_or(|value| values.iter().all(|unwanted| unwanted != value))
                }
            }
        })
    }
}

/// Splits at commas outside parentheses.
fn split_requirements(selector: &str) -> Result<Vec<&str>, ()> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (index, c) in selector.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(selector.get(start..index).unwrap_or_default());
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(selector.get(start..).unwrap_or_default());
    if depth == 0 { Ok(parts) } else { Err(()) }
}

fn parse_requirement(part: &str) -> Option<Requirement> {
    let single = |value: &str| vec![value.trim().to_owned()];
    let (key, condition) = if let Some(key) = part.strip_prefix('!') {
        (key, Condition::Missing)
    } else if let Some((key, value)) = part.split_once("!=") {
        (key, Condition::NotIn(single(value)))
    } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        (key, Condition::In(single(value)))
    } else if let Some((key, values)) = part.split_once('(') {
        let values = values.strip_suffix(')')?.split(',').map(|value| value.trim().to_owned()).collect();
        let (key, operator) = key.trim().rsplit_once(' ')?;
        match operator {
            "in" => (key, Condition::In(values)),
            "notin" => (key, Condition::NotIn(values)),
            _ => return None,
        }
    } else {
        (part, Condition::Exists)
    };
    let key = key.trim();
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    (!key.is_empty() && key.chars().all(is_allowed)).then(|| Requirement { key: key.to_owned(), condition })
}

fn unparseable(selector: &str) -> StatusError {
    StatusError::bad_request(format!(
        "unable to parse requirement: found '{selector}', expected a label selector"
    ))
}

/// The JSON pointer of a field that a selector of the type may use.
fn selectable_pointer(resource: &Resource, path: &str) -> Option<&'static str> {
    let extra_fields: &[(&str, &str)] = if resource.is(&resources::PODS) {
        &[("spec.nodeName", "/spec/nodeName"), ("status.phase", "/status/phase")]
    } else if resource.is(&resources::EVENTS) {
        &[
            ("involvedObject.kind", "/involvedObject/kind"),
            ("involvedObject.namespace", "/involvedObject/namespace"),
            ("involvedObject.name", "/involvedObject/name"),
            ("involvedObject.uid", "/involvedObject/uid"),
            ("involvedObject.fieldPath", "/involvedObject/fieldPath"),
            ("reason", "/reason"),
            ("type", "/type"),
        ]
    } else if resource.is(&resources::SECRETS) {
        &[("type", "/type")]
    } else if resource.is(&resources::NAMESPACES) {
        &[("status.phase", "/status/phase")]
    } else if resource.is(&resources::NODES) {
        &[("spec.unschedulable", "/spec/unschedulable")]
    } else {
        &[]
    };
    match path {
        "metadata.name" => Some("/metadata/name"),
        "metadata.namespace" => Some("/metadata/namespace"),
        _ => extra_fields.iter().find(|(name, _)| *name == path).map(|(_, pointer)| *pointer),
    }
}

impl FieldSelector {
    /// Parses a selector such as `metadata.name=x,status.phase!=Failed`.
    pub(crate) fn parse(resource: &Resource, selector: &str) -> Result<Self, StatusError> {
        let mut requirements = Vec::new();
        for part in selector.split(',').filter(|part| !part.is_empty()) {
            let (path, value, must_equal) = if let Some((path, value)) = part.split_once("!=") {
                (path, value, false)
            } else if let Some((path, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (path, value, true)
            } else {
                let text = format!("invalid selector: '{selector}'; can't understand '{part}'");
                return Err(StatusError::bad_request(text));
            };
            let pointer = selectable_pointer(resource, path)
                .ok_or_else(|| StatusError::bad_request(format!("field label not supported: {path}")))?;
            requirements.push(FieldRequirement {
                pointer: pointer.to_owned(),
                value: value.to_owned(),
                must_equal,
            });
        }
        Ok(Self(requirements))
    }

    /// The name in a selector for `metadata.name`.
    pub(crate) fn name(selector: &str) -> Option<&str> {
        selector
            .split(',')
            .find_map(|part| part.strip_prefix("metadata.name=").map(|name| name.trim_start_matches('=')))
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|FieldRequirement { pointer, value, must_equal }| {
            let actual = match object.pointer(pointer) {
                Some(Value::String(text)) => text.clone(),
                None | Some(Value::Null) if pointer == "/spec/unschedulable" => "false".to_owned(),
                None | Some(Value::Null) => String::new(),
                Some(other) => other.to_string(),
            };
            (actual == *value) == *must_equal
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn label_selectors_match() {
        let object = json!({"metadata": {"labels": {"app": "web", "tier": "front", "example.com/x": ""}}});
        for (selector, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier=front", true),
            ("app=api", false),
            ("app!=api", true),
            ("missing!=x", true),
            ("app in (api, web)", true),
            ("app notin (api,web)", false),
            ("missing notin (x)", true),
            ("tier,!missing", true),
            ("!app", false),
            ("example.com/x=", true),
            ("app in (web),tier in (back)", false),
        ] {
            assert_eq!(LabelSelector::parse(selector).unwrap().matches(&object), expected, "{selector}");
        }
        for invalid in ["app in (web", "a b", "=x", "app of (x)"] {
            assert_eq!(LabelSelector::parse(invalid).unwrap_err().code, 400, "{invalid}");
        }
    }

    #[test]
    fn json_label_selectors_match() {
        let selector = json!({"matchLabels": {"app": "web"}, "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["front"]}, {"key": "old", "operator": "DoesNotExist"}]});
        let labels = LabelSelector::from_json(&selector);
        assert!(labels.matches_labels(&json!({"app": "web", "tier": "front"})));
        assert!(!labels.matches_labels(&json!({"app": "web", "tier": "front", "old": ""})));
        assert!(!labels.matches_labels(&json!({"app": "web"})));
    }

    #[test]
    fn field_selectors_match_supported_fields_only() {
        let pod = json!({"metadata": {"name": "a", "namespace": "n"}, "status": {"phase": "Running"}});
        for (selector, expected) in [
            ("metadata.name=a", true),
            ("metadata.name!=a", false),
            ("metadata.namespace==n,status.phase!=Failed", true),
            ("spec.nodeName=", true),
        ] {
            assert_eq!(
                FieldSelector::parse(&resources::PODS, selector).unwrap().matches(&pod),
                expected,
                "{selector}"
            );
        }
        assert!(
            FieldSelector::parse(&resources::SECRETS, "status.phase=x")
                .unwrap_err()
                .message
                .contains("not supported")
        );
        assert_eq!(FieldSelector::parse(&resources::PODS, "metadata.name").unwrap_err().code, 400);
        assert_eq!(FieldSelector::name("status.phase=x,metadata.name=y"), Some("y"));
    }
}
