//! Access to JSON by pointer, for bodies with unknown keys.

use serde_json::{Map, Value};

/// The string at a JSON pointer; `None` if it is missing or empty.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
}

/// The number at a JSON pointer.
pub(crate) fn number(value: &Value, pointer: &str) -> Option<u32> {
    value.pointer(pointer)?.as_u64().and_then(|number| u32::try_from(number).ok())
}

/// Whether the value at a JSON pointer is `true`.
pub(crate) fn is_true(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool) == Some(true)
}

/// The list at a JSON pointer; empty if it is missing.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The strings in the list at a JSON pointer.
pub(crate) fn texts(value: &Value, pointer: &str) -> Vec<String> {
    list(value, pointer).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Sets the value at a path such as `/a/b`. Parents that are missing or not objects become objects.
pub(crate) fn set(value: &mut Value, path: &str, new: impl Into<Value>) {
    let mut target = value;
    for key in path.split('/').skip(1) {
        if !target.is_object() {
            *target = Value::Object(Map::new());
        }
        let Some(object) = target.as_object_mut() else { return };
        target = object.entry(key).or_insert(Value::Null);
    }
    *target = new.into();
}

/// Sets the value at a path if it is missing or null.
pub(crate) fn set_default(value: &mut Value, path: &str, new: impl Into<Value>) {
    if value.pointer(path).is_none_or(Value::is_null) {
        set(value, path, new);
    }
}

/// Removes the value at a path.
pub(crate) fn remove(value: &mut Value, path: &str) {
    let Some((parent, key)) = path.rsplit_once('/') else { return };
    if let Some(object) = value.pointer_mut(parent).and_then(Value::as_object_mut) {
        object.remove(key);
    }
}

/// Merges `new` into `old`: null removes a key, objects are merged, other values are replaced.
pub(crate) fn overlay(old: &mut Value, new: &Value) {
    let (Some(target), Some(source)) = (old.as_object_mut(), new.as_object()) else {
        *old = new.clone();
        return;
    };
    for (key, value) in source {
        if value.is_null() {
            target.remove(key);
        } else if value.is_object() {
            overlay(target.entry(key).or_insert_with(|| Value::Object(Map::new())), value);
        } else {
            target.insert(key.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_are_created_set_and_removed() {
        let mut value = json!({"a": {"b": null}});
        set(&mut value, "/a/c/d", 1);
        set_default(&mut value, "/a/b", "x");
        set_default(&mut value, "/a/c/d", 2);
        assert_eq!(value, json!({"a": {"b": "x", "c": {"d": 1}}}));
        remove(&mut value, "/a/c/d");
        remove(&mut value, "/no/such");
        assert_eq!(value, json!({"a": {"b": "x", "c": {}}}));
    }

    #[test]
    fn overlay_merges_objects_and_removes_nulls() {
        let mut old = json!({"kept": 1, "list": [1, 2], "inner": {"kept": true, "gone": 1, "changed": 1}});
        overlay(&mut old, &json!({"list": [3], "inner": {"gone": null, "changed": 2, "new": {"deep": 1}}}));
        assert_eq!(
            old,
            json!({"kept": 1, "list": [3], "inner": {"kept": true, "changed": 2, "new": {"deep": 1}}})
        );
    }
}
