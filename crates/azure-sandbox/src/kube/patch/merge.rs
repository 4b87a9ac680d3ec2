//! JSON merge patch (RFC 7386) and Kubernetes' strategic merge patch.

use serde_json::{Map, Value};

/// Applies a merge patch: null removes a field, objects are merged, other values are replaced.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().and_then(|target| target.remove(key));
        } else {
            merge(&mut target[key], value);
        }
    }
}

/// Applies a strategic merge patch: like [`merge`], but keyed lists are merged by element. Supports `$patch`,
/// `$retainKeys`, `$deleteFromPrimitiveList/…` and `$setElementOrder/…`.
pub(crate) fn strategic_merge(target: &mut Value, patch: &Value) {
    merge_object(target, patch, &mut Vec::new());
}

/// Applies a strategic merge patch to the value at `field_path`.
fn merge_object<'a>(target: &mut Value, patch: &'a Value, field_path: &mut Vec<&'a str>) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() || patch.get("$patch").is_some_and(|directive| directive == "replace") {
        *target = Value::Object(Map::new());
    }
    for (key, value) in patch {
        if let Some(list_name) = key.strip_prefix("$deleteFromPrimitiveList/") {
            let removed = value.as_array().map(Vec::as_slice).unwrap_or_default();
            if let Some(elements) = target.get_mut(list_name).and_then(Value::as_array_mut) {
                elements.retain(|element| !removed.contains(element));
            }
        }
        if key.starts_with('$') {
            continue;
        }
        field_path.push(key);
        match value {
            Value::Null => drop(target.as_object_mut().and_then(|target| target.remove(key))),
            Value::Object(inner) if inner.get("$patch").is_some_and(|directive| directive == "delete") => {
                target.as_object_mut().and_then(|target| target.remove(key));
            }
            Value::Object(_) => merge_object(&mut target[key], value, field_path),
            Value::Array(elements) => merge_elements(&mut target[key], elements, field_path),
            _ => target[key] = value.clone(),
        }
        field_path.pop();
    }
    for (key, order) in patch {
        if let (Some(name), Some(order)) = (key.strip_prefix("$setElementOrder/"), order.as_array()) {
            field_path.push(name);
            sort_elements(target.get_mut(name), order, field_path);
            field_path.pop();
        }
    }
    if let Some(retained) = patch.get("$retainKeys").and_then(Value::as_array)
        && let Some(target) = target.as_object_mut()
    {
        target.retain(|key, _| retained.iter().any(|retained| retained == key));
    }
}

fn merge_elements<'a>(target: &mut Value, patch: &'a [Value], field_path: &mut Vec<&'a str>) {
    let Some(key) = merge_key(field_path) else {
        let patch_value = Value::Array(patch.to_vec());
        match (is_string_set(field_path), target.as_array_mut()) {
            (true, Some(existing)) => {
                for element in patch {
                    if !existing.contains(element) {
                        existing.push(element.clone());
                    }
                }
            }
            _ => *target = patch_value,
        }
        return;
    };
    let replaces_list = patch.iter().any(|element| {
        element["$patch"] == "replace" && element.as_object().is_some_and(|element| element.len() == 1)
    });
    if replaces_list || !target.is_array() {
        *target = Value::Array(Vec::new());
    }
    let Some(target) = target.as_array_mut() else { return };
    for element in patch.iter().filter(|element| !(element["$patch"] == "replace" && element[key].is_null()))
    {
        let has_same_key = |existing: &Value| existing[key] == element[key];
        if element["$patch"] == "delete" {
            target.retain(|existing| !has_same_key(existing));
            continue;
        }
        if let Some(existing) = target.iter_mut().find(|existing| has_same_key(existing)) {
            merge_object(existing, element, field_path);
        } else {
            let mut new = Value::Null;
            merge_object(&mut new, element, field_path);
            target.push(new);
        }
    }
}

/// Extends a strategic merge patch that sets the fields of `after`, so that it also removes the fields that only `before` has.
pub(crate) fn removals(before: &Value, after: &Value, patch: &mut Value) {
    add_removals(before, after, patch, &mut Vec::new());
}

fn add_removals<'a>(before: &'a Value, after: &Value, patch: &mut Value, field_path: &mut Vec<&'a str>) {
    for (key, old) in before.as_object().into_iter().flatten() {
        let Some(new) = after.get(key) else {
            patch[key] = Value::Null;
            continue;
        };
        field_path.push(key);
        match (old.as_array(), new.as_array()) {
            (Some(old), Some(new)) => add_element_removals(old, new, &mut patch[key], field_path),
            _ if old.is_object() && new.is_object() => add_removals(old, new, &mut patch[key], field_path),
            _ => {}
        }
        field_path.pop();
    }
}

fn add_element_removals<'a>(
    before: &'a [Value],
    after: &[Value],
    patch: &mut Value,
    field_path: &mut Vec<&'a str>,
) {
    let (Some(key), Some(patch)) = (merge_key(field_path), patch.as_array_mut()) else { return };
    for old in before {
        let has_same_key = |element: &&Value| element[key] == old[key];
        match (after.iter().find(has_same_key), patch.iter_mut().find(|element| element[key] == old[key])) {
            (Some(new), Some(element)) => add_removals(old, new, element, field_path),
            _ => patch.push(serde_json::json!({"$patch": "delete", key: old[key]})),
        }
    }
}

/// Sorts elements by `order`; elements that `order` omits follow.
fn sort_elements(target: Option<&mut Value>, order: &[Value], field_path: &[&str]) {
    let Some(elements) = target.and_then(Value::as_array_mut) else { return };
    let key = merge_key(field_path);
    let position = |element: &Value| {
        let index = order.iter().position(|ordered| match key {
            Some(key) => ordered[key] == element[key],
            None => ordered == element,
        });
        index.unwrap_or(usize::MAX)
    };
    elements.sort_by_key(position);
}

/// The key by which the elements of a list are merged; `field_path` contains the field names down to the list.
fn merge_key(field_path: &[&str]) -> Option<&'static str> {
    let (last, parents) = field_path.split_last()?;
    match (parents.last().copied().unwrap_or_default(), *last) {
        (
            _,
            "containers" | "initContainers" | "ephemeralContainers" | "volumes" | "env" | "imagePullSecrets"
            | "resourceClaims",
        )
        // The secrets of a service account.
        | ("", "secrets") => Some("name"),
        (_, "volumeMounts") => Some("mountPath"),
        (_, "volumeDevices") => Some("devicePath"),
        ("containers" | "initContainers" | "ephemeralContainers", "ports") => Some("containerPort"),
        (_, "conditions") | ("status", "addresses") => Some("type"),
        ("metadata", "ownerReferences") => Some("uid"),
        (_, "hostAliases") | ("status", "podIPs") => Some("ip"),
        (_, "topologySpreadConstraints") => Some("topologyKey"),
        ("spec", "taints") => Some("key"),
        _ => None,
    }
}

/// Whether the elements of a list are merged as a set of strings.
fn is_string_set(field_path: &[&str]) -> bool {
    matches!(field_path, [.., "metadata", "finalizers"] | [.., "spec", "podCIDRs"])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merge_patch_removes_nulls_and_replaces_lists() {
        let mut target = json!({"a": {"b": 1, "c": 2}, "list": [1, 2], "x": "y"});
        merge(&mut target, &json!({"a": {"b": null, "d": 3}, "list": [3], "x": {"z": null, "w": 1}}));
        assert_eq!(target, json!({"a": {"c": 2, "d": 3}, "list": [3], "x": {"w": 1}}));
    }

    #[test]
    fn strategic_patch_merges_containers_by_name() {
        let target = || {
            json!({"spec": {"template": {"spec": {"containers": [
                {"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}], "args": ["1"]},
                {"name": "b", "image": "b:1"}]}}}})
        };
        let containers = |patch: Value| {
            let mut target = target();
            strategic_merge(&mut target, &json!({"spec": {"template": {"spec": {"containers": patch}}}}));
            target["spec"]["template"]["spec"]["containers"].clone()
        };
        assert_eq!(
            containers(
                json!([{"name": "a", "image": "a:2", "args": ["2"], "env": [{"name": "Y", "value": "2"}]}])
            ),
            json!([
                {"name": "a", "image": "a:2", "args": ["2"],
                    "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
                {"name": "b", "image": "b:1"}])
        );
        assert_eq!(containers(json!([{"name": "b", "$patch": "delete"}])).as_array().unwrap().len(), 1);
        assert_eq!(containers(json!([{"$patch": "replace"}, {"name": "c"}])), json!([{"name": "c"}]));
        assert_eq!(containers(json!([{"name": "c", "image": null}]))[2], json!({"name": "c"}));
    }

    #[test]
    fn removals_delete_fields_and_keyed_elements() {
        let before = json!({"a": 1, "b": {"c": 1, "d": 2}, "containers": [
            {"name": "x", "env": [{"name": "A"}, {"name": "B"}]}, {"name": "y"}], "subjects": [{"name": "s"}]});
        let after =
            json!({"b": {"d": 2}, "containers": [{"name": "x", "env": [{"name": "B"}]}], "subjects": []});
        let (mut patch, mut target) = (after.clone(), before.clone());
        removals(&before, &after, &mut patch);
        strategic_merge(&mut target, &patch);
        assert_eq!(target, after);
    }

    #[test]
    fn strategic_patch_directives_apply() {
        let mut target = json!({"metadata": {"finalizers": ["a", "b"]}, "spec": {
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}, "template": {"x": 1},
            "volumes": [{"name": "a"}, {"name": "b"}]}});
        strategic_merge(
            &mut target,
            &json!({
            "metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]},
            "spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}, "template": {"$patch": "delete"},
                "$setElementOrder/volumes": [{"name": "b"}, {"name": "a"}]}}),
        );
        assert_eq!(
            target,
            json!({"metadata": {"finalizers": ["b", "c"]}, "spec": {
            "strategy": {"type": "Recreate"}, "volumes": [{"name": "b"}, {"name": "a"}]}})
        );
    }
}
