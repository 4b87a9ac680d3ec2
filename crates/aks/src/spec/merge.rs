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

/// Objects that are merged key by key. Lists and maps are replaced as a whole.
const MERGED_OBJECTS: [&str; 3] = [AKS_CONFIG, "importedConfig", "localClusterAuthEndpoint"];

/// Maps whose system entries are not affected by users' changes.
const PROTECTED_MAPS: [&str; 2] = ["annotations", "labels"];

/// Keys of `aksConfig` that identify the AKS cluster and never change.
const IDENTIFYING_KEYS: [&str; 4] = ["clusterName", "imported", "resourceGroup", "resourceLocation"];

/// A change with all these keys is the complete configuration, as the Terraform provider sends it.
const COMPLETE_CONFIGURATION_KEYS: [&str; 8] = [
    "azureCredentialSecret",
    "clusterName",
    "dnsPrefix",
    "kubernetesVersion",
    "networkPlugin",
    "outboundType",
    "resourceGroup",
    "resourceLocation",
];

/// Keys that are unset if the complete configuration omits them, because its client cannot unset them in another way.
const UNSET_BY_OMISSION: [&str; 3] = ["authBaseUrl", "authorizedIpRanges", "baseUrl"];

/// Applies a change to a stored body. `null` in the change clears a key; the result contains no `null`.
pub fn apply_change(stored: &Object, change: Object, mode: Mode) -> Object {
    let mut result = match mode {
        Mode::Merge => stored.clone(),
        Mode::Replace => Object::new(),
    };
    for (key, value) in change {
        let value = match value {
            Value::Object(object) if MERGED_OBJECTS.contains(&key.as_str()) => {
                Value::Object(merge_object(object_at(&result, &key), object, &key))
            }
            other => other,
        };
        set_or_remove(&mut result, key, value);
    }
    for key in PROTECTED_MAPS {
        restore_protected_entries(stored, &mut result, key);
    }
    restore_identifying_keys(stored, &mut result);
    result
}

fn merge_object(stored: Option<&Object>, change: Object, key: &str) -> Object {
    let mut result = stored.cloned().unwrap_or_default();
    if key == AKS_CONFIG
        && COMPLETE_CONFIGURATION_KEYS
            .iter()
            .all(|key| change.get(*key).is_some_and(|value| !value.is_null()))
    {
        result.retain(|key, _| !UNSET_BY_OMISSION.contains(&key.as_str()));
    }
    for (key, value) in change {
        set_or_remove(&mut result, key, value);
    }
    result
}

fn set_or_remove(object: &mut Object, key: String, value: Value) {
    if value.is_null() {
        object.remove(&key);
    } else {
        object.insert(key, value);
    }
}

fn object_at<'a>(parent: &'a Object, key: &str) -> Option<&'a Object> {
    parent.get(key).and_then(Value::as_object)
}

/// Whether a label or annotation belongs to the system (`cattle.io`).
pub fn is_protected(key: &str) -> bool {
    key.contains("cattle.io/")
}

fn restore_protected_entries(stored: &Object, result: &mut Object, key: &str) {
    let protected: Vec<_> =
        object_at(stored, key).into_iter().flatten().filter(|(name, _)| is_protected(name)).collect();
    if protected.is_empty() {
        return;
    }
    let map = result.entry(key).or_insert_with(|| Value::Object(Object::new()));
    if let Value::Object(map) = map {
        for (name, value) in protected {
            map.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

fn restore_identifying_keys(stored: &Object, result: &mut Object) {
    let Some(stored) = object_at(stored, AKS_CONFIG) else { return };
    if let Some(Value::Object(config)) = result.get_mut(AKS_CONFIG) {
        for key in IDENTIFYING_KEYS {
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

    fn apply(stored: Value, change: Value, mode: Mode) -> Value {
        let (Value::Object(stored), Value::Object(change)) = (stored, change) else {
            panic!("expected two objects")
        };
        Value::Object(apply_change(&stored, change, mode))
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
        assert_eq!(apply(stored, change, Mode::Merge), expected);
    }

    #[test]
    fn change_without_pools_keeps_the_stored_ones() {
        let stored = json!({"aksConfig": {"nodePools": [{"name": "p"}]}});
        assert_eq!(apply(stored.clone(), json!({"aksConfig": {}}), Mode::Merge), stored);
        assert_eq!(apply(stored.clone(), json!({}), Mode::Merge), stored);
    }

    fn complete_configuration() -> Object {
        COMPLETE_CONFIGURATION_KEYS.iter().map(|key| ((*key).to_owned(), json!(""))).collect()
    }

    #[test]
    fn complete_configuration_unsets_only_certain_missing_keys() {
        let stored = json!({"aksConfig": {"authorizedIpRanges": ["1.1.1.1/32"], "authBaseUrl": "a", "baseUrl": "b",
            "managedIdentity": true, "tags": {"a": "1"}}});
        let merged = apply(stored.clone(), json!({"aksConfig": complete_configuration()}), Mode::Merge);
        let keys: Vec<_> = merged["aksConfig"].as_object().unwrap().keys().collect();
        let mut expected = COMPLETE_CONFIGURATION_KEYS.to_vec();
        expected.extend(["managedIdentity", "tags"]);
        expected.sort_unstable();
        assert_eq!(keys, expected);

        let mut with_ranges = complete_configuration();
        with_ranges.insert("authorizedIpRanges".to_owned(), json!(["2.2.2.2/32"]));
        let merged = apply(stored.clone(), json!({"aksConfig": with_ranges}), Mode::Merge);
        assert_eq!(merged["aksConfig"]["authorizedIpRanges"], json!(["2.2.2.2/32"]));

        for missing in COMPLETE_CONFIGURATION_KEYS {
            let mut partial = complete_configuration();
            partial.remove(missing);
            let merged = apply(stored.clone(), json!({"aksConfig": partial}), Mode::Merge);
            assert_eq!(merged["aksConfig"]["baseUrl"], "b", "{missing}");
        }
    }

    #[test]
    fn system_labels_survive_replacement() {
        let stored =
            json!({"labels": {"cattle.io/creator": "norman", "mine": "1"}, "annotations": {"a": "1"}});
        let change = json!({"labels": {"yours": "2"}, "annotations": {}});
        let expected = json!({"labels": {"cattle.io/creator": "norman", "yours": "2"}, "annotations": {}});
        assert_eq!(apply(stored.clone(), change, Mode::Merge), expected);
        let cleared = apply(stored.clone(), json!({"labels": null}), Mode::Merge);
        assert_eq!(cleared["labels"], json!({"cattle.io/creator": "norman"}));
        let replaced = apply(stored, json!({}), Mode::Replace);
        assert_eq!(replaced, json!({"labels": {"cattle.io/creator": "norman"}}));
    }

    #[test]
    fn empty_string_keeps_identifying_keys() {
        let stored = json!({"aksConfig": {"clusterName": "n", "dnsPrefix": "d"}});
        let change = json!({"aksConfig": {"clusterName": "", "dnsPrefix": "", "resourceGroup": null}});
        let expected = json!({"aksConfig": {"clusterName": "n", "dnsPrefix": ""}});
        assert_eq!(apply(stored, change, Mode::Merge), expected);
    }

    #[test]
    fn replace_removes_missing_keys_except_identifying_ones() {
        let stored = json!({"description": "d", "aksConfig": {"clusterName": "n", "resourceGroup": "g",
            "resourceLocation": "l", "imported": true, "monitoring": true}});
        let expected = json!({"aksConfig": {"clusterName": "n", "resourceGroup": "g", "resourceLocation": "l",
            "imported": true, "tags": {}}});
        assert_eq!(
            apply(stored, json!({"aksConfig": {"tags": {}, "subnet": null}}), Mode::Replace),
            expected
        );
    }

    proptest! {
        #[test]
        fn change_is_idempotent_and_leaves_no_null(
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
                let once = apply(stored.clone(), Value::Object(change.clone()), mode);
                let twice = apply(once.clone(), Value::Object(change.clone()), mode);
                prop_assert_eq!(&once, &twice);
                prop_assert!(once.as_object().unwrap().values().all(|value| !value.is_null()));
            }
        }
    }
}
