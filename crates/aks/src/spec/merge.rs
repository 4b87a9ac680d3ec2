//! Merges a change into a stored specification (`docs/contract/norman-api.md#updates`,
//! `docs/contract/terraform.md#removed-values`).

use serde_json::Value;

use super::{AKS_CONFIG, Object};

/// The treatment of keys that a change does not contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Keep the stored values.
    Merge,
    /// Remove the keys (`?_replace=true`), except those that can never change.
    Replace,
}

/// Typed objects, which are merged key by key. Lists and maps are replaced as a whole.
const OBJECTS: [&str; 3] = [AKS_CONFIG, "importedConfig", "localClusterAuthEndpoint"];

/// Maps whose system entries are not affected by users' changes.
const PROTECTED: [&str; 2] = ["annotations", "labels"];

/// Keys that identify the AKS cluster and never change.
const FIXED: [&str; 4] = ["clusterName", "imported", "resourceGroup", "resourceLocation"];

/// A client that sends all of these keys sends the complete configuration, as the Terraform provider does ...
const STATEMENT: [&str; 8] = [
    "azureCredentialSecret",
    "clusterName",
    "dnsPrefix",
    "kubernetesVersion",
    "networkPlugin",
    "outboundType",
    "resourceGroup",
    "resourceLocation",
];

/// ... and unsets these keys by omitting them, because it has no other way.
const REMOVED_BY_STATEMENT: [&str; 3] = ["authBaseUrl", "authorizedIpRanges", "baseUrl"];

/// The stored body after the change. `null` in the change clears a key; the result contains no `null`.
pub fn changed(stored: &Object, change: Object, mode: Mode) -> Object {
    let mut result = match mode {
        Mode::Merge => stored.clone(),
        Mode::Replace => Object::new(),
    };
    for (key, value) in change {
        let value = match value {
            Value::Object(new) if OBJECTS.contains(&key.as_str()) => {
                Value::Object(merged(object(&result, &key), new, &key))
            }
            other => other,
        };
        put(&mut result, key, value);
    }
    for key in PROTECTED {
        keep_protected(stored, &mut result, key);
    }
    keep_fixed(stored, &mut result);
    result
}

fn merged(stored: Option<&Object>, change: Object, key: &str) -> Object {
    let mut result = stored.cloned().unwrap_or_default();
    if key == AKS_CONFIG && STATEMENT.iter().all(|key| change.get(*key).is_some_and(|value| !value.is_null()))
    {
        result.retain(|key, _| !REMOVED_BY_STATEMENT.contains(&key.as_str()));
    }
    for (key, value) in change {
        put(&mut result, key, value);
    }
    result
}

fn put(object: &mut Object, key: String, value: Value) {
    if value.is_null() {
        object.remove(&key);
    } else {
        object.insert(key, value);
    }
}

fn object<'a>(parent: &'a Object, key: &str) -> Option<&'a Object> {
    parent.get(key).and_then(Value::as_object)
}

/// Whether a label or annotation belongs to the system (`cattle.io`).
pub fn is_protected(key: &str) -> bool {
    key.contains("cattle.io/")
}

fn keep_protected(stored: &Object, result: &mut Object, key: &str) {
    let kept: Vec<_> =
        object(stored, key).into_iter().flatten().filter(|(name, _)| is_protected(name)).collect();
    if kept.is_empty() {
        return;
    }
    let map = result.entry(key).or_insert_with(|| Value::Object(Object::new()));
    if let Value::Object(map) = map {
        for (name, value) in kept {
            map.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

fn keep_fixed(stored: &Object, result: &mut Object) {
    let Some(stored) = object(stored, AKS_CONFIG) else { return };
    if let Some(Value::Object(config)) = result.get_mut(AKS_CONFIG) {
        for key in FIXED {
            let is_unset = config.get(key).is_none_or(|value| value == "");
            if let (true, Some(value)) = (is_unset, stored.get(key)) {
                config.insert(key.to_owned(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn after(stored: Value, change: Value, mode: Mode) -> Value {
        let (Value::Object(stored), Value::Object(change)) = (stored, change) else { panic!("two objects") };
        Value::Object(changed(&stored, change, mode))
    }

    #[test]
    fn objects_merge_and_lists_and_maps_are_replaced() {
        let stored = json!({
            "description": "old",
            "dockerRootDir": "/d",
            "aksConfig": {"clusterName": "n", "tags": {"a": "1", "b": "2"}, "nodePools": [{"name": "p", "count": 1}],
                "monitoring": true, "subnet": "s"},
            "importedConfig": {"privateRegistryURL": "u"},
        });
        let change = json!({
            "description": "new",
            "aksConfig": {"tags": {"b": "3"}, "nodePools": [{"name": "q"}], "subnet": null},
            "importedConfig": {"privateRegistryPullSecrets": ["x"]},
        });
        let expected = json!({
            "description": "new",
            "dockerRootDir": "/d",
            "aksConfig": {"clusterName": "n", "tags": {"b": "3"}, "nodePools": [{"name": "q"}], "monitoring": true},
            "importedConfig": {"privateRegistryURL": "u", "privateRegistryPullSecrets": ["x"]},
        });
        assert_eq!(after(stored, change, Mode::Merge), expected);
    }

    #[test]
    fn change_without_pools_keeps_them() {
        let stored = json!({"aksConfig": {"nodePools": [{"name": "p"}]}});
        assert_eq!(after(stored.clone(), json!({"aksConfig": {}}), Mode::Merge), stored);
        assert_eq!(after(stored.clone(), json!({}), Mode::Merge), stored);
    }

    fn statement() -> Object {
        STATEMENT.iter().map(|key| ((*key).to_owned(), json!(""))).collect()
    }

    #[test]
    fn full_configuration_unsets_missing_keys() {
        let stored = json!({"aksConfig": {"authorizedIpRanges": ["1.1.1.1/32"], "authBaseUrl": "a", "baseUrl": "b",
            "managedIdentity": true, "tags": {"a": "1"}}});
        let full = after(stored.clone(), json!({"aksConfig": statement()}), Mode::Merge);
        let keys: Vec<_> = full["aksConfig"].as_object().unwrap().keys().collect();
        let mut expected = STATEMENT.to_vec();
        expected.extend(["managedIdentity", "tags"]);
        expected.sort_unstable();
        assert_eq!(keys, expected);

        let mut with_ranges = statement();
        with_ranges.insert("authorizedIpRanges".to_owned(), json!(["2.2.2.2/32"]));
        let full = after(stored.clone(), json!({"aksConfig": with_ranges}), Mode::Merge);
        assert_eq!(full["aksConfig"]["authorizedIpRanges"], json!(["2.2.2.2/32"]));

        for missing in STATEMENT {
            let mut partial = statement();
            partial.remove(missing);
            let merged = after(stored.clone(), json!({"aksConfig": partial}), Mode::Merge);
            assert_eq!(merged["aksConfig"]["baseUrl"], "b", "{missing}");
        }
    }

    #[test]
    fn system_labels_survive_replacement() {
        let stored =
            json!({"labels": {"cattle.io/creator": "norman", "mine": "1"}, "annotations": {"a": "1"}});
        let change = json!({"labels": {"yours": "2"}, "annotations": {}});
        let expected = json!({"labels": {"cattle.io/creator": "norman", "yours": "2"}, "annotations": {}});
        assert_eq!(after(stored.clone(), change, Mode::Merge), expected);
        let cleared = after(stored.clone(), json!({"labels": null}), Mode::Merge);
        assert_eq!(cleared["labels"], json!({"cattle.io/creator": "norman"}));
        let replaced = after(stored, json!({}), Mode::Replace);
        assert_eq!(replaced, json!({"labels": {"cattle.io/creator": "norman"}}));
    }

    #[test]
    fn empty_string_keeps_identifying_keys() {
        let stored = json!({"aksConfig": {"clusterName": "n", "dnsPrefix": "d"}});
        let change = json!({"aksConfig": {"clusterName": "", "dnsPrefix": "", "resourceGroup": null}});
        let expected = json!({"aksConfig": {"clusterName": "n", "dnsPrefix": ""}});
        assert_eq!(after(stored, change, Mode::Merge), expected);
    }

    #[test]
    fn replace_removes_missing_keys_except_identifying_ones() {
        let stored = json!({"description": "d", "aksConfig": {"clusterName": "n", "resourceGroup": "g",
            "resourceLocation": "l", "imported": true, "monitoring": true}});
        let expected = json!({"aksConfig": {"clusterName": "n", "resourceGroup": "g", "resourceLocation": "l",
            "imported": true, "tags": {}}});
        assert_eq!(
            after(stored, json!({"aksConfig": {"tags": {}, "subnet": null}}), Mode::Replace),
            expected
        );
    }

    proptest! {
        #[test]
        fn change_is_idempotent(
            keys in prop::collection::btree_map("description|labels|aksConfig|importedConfig|tags", 0..5_u8, 0..4),
        ) {
            let stored = json!({"labels": {"cattle.io/a": "1", "b": "2"}, "aksConfig": {"clusterName": "n", "subnet": "s"}});
            let change: Object = keys.into_iter().map(|(key, choice)| (key, match choice {
                0 => Value::Null,
                1 => json!({"clusterName": "n", "subnet": null}),
                2 => json!({"x": "y"}),
                3 => json!(["z"]),
                _ => json!("text"),
            })).collect();
            for mode in [Mode::Merge, Mode::Replace] {
                let once = after(stored.clone(), Value::Object(change.clone()), mode);
                let twice = after(once.clone(), Value::Object(change.clone()), mode);
                prop_assert_eq!(&once, &twice);
                prop_assert!(once.as_object().unwrap().values().all(|value| !value.is_null()));
            }
        }
    }
}
