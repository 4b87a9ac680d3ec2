//! A set of fields of an object, in the form in which `managedFields` keeps it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::shape::{List, is_whole, list};

/// A set of fields. Objects and keyed lists are not in it themselves, only what is in them; elements of keyed
/// lists and of sets are, and so is what is empty or in one piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    /// Whether the place itself belongs to the set.
    here: bool,
    below: BTreeMap<Step, Fields>,
}

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Field(String),
    /// An element of a keyed list: its keys as JSON, in order.
    Element(String),
    /// An element of a set, as JSON.
    Value(String),
}

/// What never belongs to anybody: it says which object it is, or is the server's own.
const NOBODYS: [&str; 10] = [
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "resourceVersion",
    "selfLink",
    "managedFields",
];

impl Fields {
    /// The fields of `new` that are other ones in `old` or are not there; all of them without an `old`.
    pub(crate) fn changed(old: Option<&Value>, new: &Value) -> Self {
        let mut fields = Self::default();
        let Some(new) = new.as_object() else { return fields };
        for (key, value) in new.iter().filter(|(key, _)| !["apiVersion", "kind"].contains(&key.as_str())) {
            let old = old.and_then(|old| old.get(key));
            let below = if key == "metadata" {
                let mut own = value.clone();
                if let Some(own) = own.as_object_mut() {
                    own.retain(|key, _| !NOBODYS.contains(&key.as_str()));
                    if own.is_empty() {
                        continue;
                    }
                }
                Self::differing(old, &own, &mut vec!["metadata"])
            } else {
                Self::differing(old, value, &mut vec![key])
            };
            fields.add(Step::Field(key.clone()), below);
        }
        fields
    }

    /// All fields of an object.
    pub(crate) fn of(object: &Value) -> Self {
        Self::changed(None, object)
    }

    fn differing<'a>(old: Option<&Value>, new: &'a Value, path: &mut Vec<&'a str>) -> Self {
        let mut fields = Self::default();
        match new {
            Value::Object(object) if !object.is_empty() && !is_whole(path) => {
                for (key, value) in object {
                    path.push(key);
                    let below = Self::differing(old.and_then(|old| old.get(key)), value, path);
                    path.pop();
                    fields.add(Step::Field(key.clone()), below);
                }
            }
            Value::Array(elements) if !elements.is_empty() && list(path) != List::Atomic => {
                let before = old.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                for element in elements {
                    let step = Step::of(list(path), element);
                    let old = before.iter().find(|old| Step::of(list(path), old) == step);
                    let mut below = Self::default();
                    if matches!(step, Step::Element(_)) {
                        below = Self::differing(old, element, path);
                    }
                    below.here = old.is_none();
                    fields.add(step, below);
                }
            }
            _ => fields.here = old != Some(new),
        }
        fields
    }

    fn add(&mut self, step: Step, below: Self) {
        if !below.is_empty() {
            self.below.insert(step, below);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.here && self.below.is_empty()
    }

    #[must_use]
    pub(crate) fn with(mut self, other: &Self) -> Self {
        self.here |= other.here;
        for (step, theirs) in &other.below {
            let own = self.below.remove(step).unwrap_or_default();
            self.below.insert(step.clone(), own.with(theirs));
        }
        self
    }

    #[must_use]
    pub(crate) fn without(&self, other: &Self) -> Self {
        let mut left = Self { here: self.here && !other.here, below: BTreeMap::new() };
        for (step, own) in &self.below {
            let own = other.below.get(step).map_or_else(|| own.clone(), |theirs| own.without(theirs));
            left.add(step.clone(), own);
        }
        left
    }

    /// What is in both.
    #[must_use]
    pub(crate) fn shared(&self, other: &Self) -> Self {
        let mut both = Self { here: self.here && other.here, below: BTreeMap::new() };
        for (step, own) in &self.below {
            if let Some(theirs) = other.below.get(step) {
                both.add(step.clone(), own.shared(theirs));
            }
        }
        both
    }

    /// Takes the fields out of an object. Elements of which somebody else (`kept`) has a part stay, with their keys.
    pub(crate) fn take_from(&self, value: &mut Value, kept: &Self) {
        self.take(value, kept, &mut Vec::new());
    }

    fn take<'a>(&'a self, value: &mut Value, kept: &Self, path: &mut Vec<&'a str>) {
        let none = Self::default();
        for (step, below) in &self.below {
            let kept = kept.below.get(step).unwrap_or(&none);
            match (step, &mut *value) {
                (Step::Field(key), Value::Object(object)) => {
                    path.push(key);
                    let mut empty = below.here;
                    if let Some(inner) = object.get_mut(key).filter(|_| !below.below.is_empty()) {
                        below.take(inner, kept, path);
                        let nothing = inner.as_object().is_some_and(Map::is_empty)
                            || inner.as_array().is_some_and(Vec::is_empty);
                        empty |= nothing;
                    }
                    if empty && kept.is_empty() {
                        object.remove(key);
                    }
                    path.pop();
                }
                (Step::Element(_) | Step::Value(_), Value::Array(elements)) => {
                    let kind = list(path);
                    if below.here && kept.is_empty() {
                        elements.retain(|element| Step::of(kind, element) != *step);
                    } else if let Some(element) =
                        elements.iter_mut().find(|element| Step::of(kind, element) == *step)
                    {
                        below.without_keys(kind).take(element, kept, &mut path.clone());
                    }
                }
                _ => {}
            }
        }
    }

    /// Without the fields by which an element is known.
    fn without_keys(&self, kind: List) -> Self {
        let mut rest = self.clone();
        if let List::Keyed(keys) = kind {
            rest.below.retain(|step, _| !keys.iter().any(|(key, _)| *step == Step::Field((*key).to_owned())));
        }
        rest
    }

    /// Each field as refusals write it: `.spec.containers[name="x"].image`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, path: &str, paths: &mut Vec<String>) {
        if self.here {
            paths.push(path.to_owned());
        }
        for (step, below) in &self.below {
            let name = match step {
                Step::Field(name) => format!(".{name}"),
                Step::Value(value) => format!("[={value}]"),
                Step::Element(keys) => {
                    let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                    let keys: Vec<_> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                    format!("[{}]", keys.join(","))
                }
            };
            below.collect(&format!("{path}{name}"), paths);
        }
    }

    /// As `fieldsV1`.
    pub(crate) fn write(&self) -> Value {
        let mut object = Map::new();
        if self.here && !self.below.is_empty() {
            object.insert(".".to_owned(), json!({}));
        }
        for (step, below) in &self.below {
            let key = match step {
                Step::Field(name) => format!("f:{name}"),
                Step::Element(keys) => format!("k:{keys}"),
                Step::Value(value) => format!("v:{value}"),
            };
            object.insert(key, below.write());
        }
        Value::Object(object)
    }

    pub(crate) fn read(value: &Value) -> Self {
        let mut fields = Self::default();
        for (key, value) in value.as_object().into_iter().flatten() {
            let step = match key.split_once(':') {
                Some(("f", name)) => Step::Field(name.to_owned()),
                Some(("k", keys)) => Step::Element(keys.to_owned()),
                Some(("v", value)) => Step::Value(value.to_owned()),
                _ => {
                    fields.here |= key == ".";
                    continue;
                }
            };
            let mut below = Self::read(value);
            below.here |= below.below.is_empty();
            fields.below.insert(step, below);
        }
        fields
    }
}

impl Step {
    fn of(kind: List, element: &Value) -> Self {
        let List::Keyed(keys) = kind else { return Self::Value(element.to_string()) };
        let mut wanted = Map::new();
        for (key, default) in keys {
            let value = element.get(*key).cloned().or_else(|| default.map(Value::from));
            if let Some(value) = value {
                wanted.insert((*key).to_owned(), value);
            }
        }
        Self::Element(Value::Object(wanted).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "uid": "1", "labels": {"a": "b"},
            "finalizers": ["f"]}, "spec": {"nodeSelector": {"os": "linux"}, "containers": [
            {"name": "c", "image": "i", "args": ["1"], "ports": [{"containerPort": 80}]}], "empty": {}}})
    }

    #[test]
    fn fields_are_written_as_kubernetes_writes_them_and_read_back() {
        let fields = Fields::of(&object());
        let expected = json!({
            "f:metadata": {"f:labels": {"f:a": {}}, "f:finalizers": {"v:\"f\"": {}}},
            "f:spec": {"f:nodeSelector": {}, "f:empty": {}, "f:containers": {"k:{\"name\":\"c\"}": {
                ".": {}, "f:name": {}, "f:image": {}, "f:args": {},
                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}},
        });
        assert_eq!(fields.write(), expected);
        assert_eq!(Fields::read(&expected), fields);
    }

    #[test]
    fn differences_are_fields_that_are_new_or_other_ones() {
        let mut new = object();
        new["spec"]["containers"][0]["image"] = "j".into();
        new["metadata"]["labels"]["c"] = "d".into();
        new["metadata"]["finalizers"] = json!(["f", "g"]);
        let changed = Fields::changed(Some(&object()), &new);
        assert_eq!(
            changed.paths(),
            [".metadata.finalizers[=\"g\"]", ".metadata.labels.c", ".spec.containers[name=\"c\"].image"]
        );
        assert!(Fields::changed(Some(&new), &new).is_empty());
    }

    #[test]
    fn what_is_taken_leaves_what_others_have() {
        let all = Fields::of(&object());
        let mut value = object();
        let theirs = Fields::of(&json!({"spec": {"containers": [{"name": "c", "image": "i"}]}}));
        all.without(&theirs).take_from(&mut value, &theirs);
        assert_eq!(value["spec"], json!({"containers": [{"name": "c", "image": "i"}]}));
        assert_eq!(value["metadata"], json!({"name": "x", "uid": "1"}));
        let mut value = object();
        all.take_from(&mut value, &Fields::default());
        assert!(value.get("spec").is_none());
    }
}
