//! JSON patch (RFC 6902).

use serde_json::Value;

/// Applies all operations to `target`, or none; the error describes the failed one.
pub(crate) fn json_patch(target: &mut Value, patch: &Value) -> Result<(), String> {
    let operations = patch.as_array().ok_or("a JSON patch is a list of operations")?;
    let mut changed = target.clone();
    for operation in operations {
        apply(&mut changed, operation)?;
    }
    *target = changed;
    Ok(())
}

fn apply(target: &mut Value, operation: &Value) -> Result<(), String> {
    let string_field =
        |key: &str| operation[key].as_str().ok_or_else(|| format!("an operation lacks {key:?}: {operation}"));
    let (op, path) = (string_field("op")?, string_field("path")?);
    let value = || {
        operation.get("value").cloned().ok_or_else(|| format!("an operation lacks \"value\": {operation}"))
    };
    let missing = |path: &str| format!("{op} operation does not apply: there is nothing at {path:?}");
    match op {
        "add" => add(target, path, value()?),
        "remove" => remove(target, path).map(drop).ok_or_else(|| missing(path)),
        "replace" => {
            let value = value()?;
            *target.pointer_mut(path).ok_or_else(|| missing(path))? = value;
            Ok(())
        }
        "move" => {
            let from = string_field("from")?;
            if path.strip_prefix(from).is_some_and(|rest| rest.starts_with('/')) {
                return Err("move operation does not apply: the target is inside the source".to_owned());
            }
            let value = remove(target, from).ok_or_else(|| missing(from))?;
            add(target, path, value)
        }
        "copy" => {
            let from = string_field("from")?;
            let value = target.pointer(from).cloned().ok_or_else(|| missing(from))?;
            add(target, path, value)
        }
        "test" => {
            let (actual, expected) = (target.pointer(path).cloned(), value()?);
            // A missing value equals null.
            if actual.unwrap_or_default() == expected {
                Ok(())
            } else {
                Err(format!("testing value {path} failed"))
            }
        }
        _ => Err(format!("the operation {op:?} is not supported")),
    }
}

/// Splits a JSON pointer into the path of the parent and the unescaped last name.
fn split_pointer(path: &str) -> Option<(&str, String)> {
    let (parent, name) = path.rsplit_once('/')?;
    Some((parent, name.replace("~1", "/").replace("~0", "~")))
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.is_empty() {
        *target = value;
        return Ok(());
    }
    let missing =
        || format!("add operation does not apply: the parent or the index of {path:?} does not exist");
    let (parent, name) = split_pointer(path).ok_or_else(missing)?;
    match target.pointer_mut(parent) {
        Some(Value::Object(object)) => {
            object.insert(name, value);
        }
        Some(Value::Array(list)) => {
            let index = if name == "-" { list.len() } else { name.parse().map_err(|_| missing())? };
            if index > list.len() {
                return Err(missing());
            }
            list.insert(index, value);
        }
        _ => return Err(missing()),
    }
    Ok(())
}

fn remove(target: &mut Value, path: &str) -> Option<Value> {
    let (parent, name) = split_pointer(path)?;
    match target.pointer_mut(parent)? {
        Value::Object(object) => object.remove(&name),
        Value::Array(list) => {
            let index: usize = name.parse().ok()?;
            (index < list.len()).then(|| list.remove(index))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_patch_operations_follow_the_standard() {
        let target = json!({"a": {"b/c": 1}, "list": [1, 2, 3]});
        for (patch, expected) in [
            (
                json!([{"op": "add", "path": "/a/x", "value": 2}]),
                json!({"a": {"b/c": 1, "x": 2}, "list": [1, 2, 3]}),
            ),
            (
                json!([{"op": "add", "path": "/list/1", "value": 9}]),
                json!({"a": {"b/c": 1}, "list": [1, 9, 2, 3]}),
            ),
            (
                json!([{"op": "add", "path": "/list/-", "value": 9}]),
                json!({"a": {"b/c": 1}, "list": [1, 2, 3, 9]}),
            ),
            (json!([{"op": "remove", "path": "/a/b~1c"}]), json!({"a": {}, "list": [1, 2, 3]})),
            (
                json!([{"op": "replace", "path": "/list/0", "value": 7}]),
                json!({"a": {"b/c": 1}, "list": [7, 2, 3]}),
            ),
            (
                json!([{"op": "move", "from": "/list/0", "path": "/a/y"}]),
                json!({"a": {"b/c": 1, "y": 1}, "list": [2, 3]}),
            ),
            (
                json!([{"op": "copy", "from": "/a", "path": "/d"}]),
                json!({"a": {"b/c": 1}, "d": {"b/c": 1}, "list": [1, 2, 3]}),
            ),
            (json!([{"op": "test", "path": "/a/b~1c", "value": 1}]), target.clone()),
        ] {
            let mut changed = target.clone();
            json_patch(&mut changed, &patch).unwrap();
            assert_eq!(changed, expected, "{patch}");
        }
    }

    #[test]
    fn failed_operation_undoes_previous_ones() {
        let target = json!({"a": 1, "list": [1]});
        for operation in [
            json!({"op": "test", "path": "/a", "value": 2}),
            json!({"op": "remove", "path": "/b"}),
            json!({"op": "replace", "path": "/b", "value": 1}),
            json!({"op": "add", "path": "/b/c", "value": 1}),
            json!({"op": "add", "path": "/list/5", "value": 1}),
            json!({"op": "move", "from": "/a", "path": "/a/b"}),
            json!({"op": "spin", "path": "/a"}),
            json!({"path": "/a"}),
        ] {
            let mut changed = target.clone();
            let patch = json!([{"op": "add", "path": "/x", "value": 1}, operation]);
            assert!(json_patch(&mut changed, &patch).is_err(), "{patch}");
            assert_eq!(changed, target);
        }
        assert!(json_patch(&mut json!({}), &json!({})).is_err());
    }
}
