//! The keys of a specification that are updated from Azure: those that are set and have a different meaning in Azure
//! (`docs/contract/provisioning.md#refresh`). Spelling, the order of zones and the counts of autoscaled pools are ignored.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::difference::{canonical_ranges, tags_differ};
use super::imported::without_foreign_entries;
use crate::spec::{AksConfig, NodePool, Object};
use crate::versions;

/// Keys that identify the cluster, its credential or its cloud. They are never updated from Azure.
const EXCLUDED_KEYS: [&str; 7] = [
    "azureCredentialSecret",
    "authBaseUrl",
    "baseUrl",
    "clusterName",
    "imported",
    "resourceGroup",
    "resourceLocation",
];

/// The keys of `aksConfig` to overwrite, with their new values. Versions in `azure` are the running ones.
pub fn changes_from_azure(desired: &AksConfig, azure: &AksConfig) -> Map<String, Value> {
    let azure_without_foreign_entries =
        (desired.is_import()).then(|| without_foreign_entries(desired, azure));
    let azure = azure_without_foreign_entries.as_ref().unwrap_or(azure);
    let (desired_keys, azure_keys) = (json!(desired), json!(azure));
    let mut changes = Map::new();
    let (Some(desired_keys), Some(azure_keys)) = (desired_keys.as_object(), azure_keys.as_object()) else {
        return changes;
    };
    for (key, value) in desired_keys {
        let key = key.as_str();
        // Every cluster has an identity.
        let is_default_identity = key == "managedIdentity" && *value == false;
        let is_unavailable_addon = key == "httpApplicationRouting" && desired.http_routing().is_none();
        if EXCLUDED_KEYS.contains(&key)
            || key == "nodePools"
            || is_default_identity
            || is_unavailable_addon
            || is_unset(value)
        {
            continue;
        }
        let is_equal = |azure_value: &Value| match key {
            "tags" => !tags_differ(desired.tags.as_ref(), azure.tags.as_ref()),
            "authorizedIpRanges" => {
                desired.authorized_ip_ranges.as_deref().map(canonical_ranges)
                    == azure.authorized_ip_ranges.as_deref().map(canonical_ranges)
            }
            _ => is_equivalent(key, value, azure_value),
        };
        // An add-on that is missing in Azure's response is off.
        let disabled = Value::Bool(false);
        let is_addon = matches!(key, "httpApplicationRouting" | "monitoring");
        let azure_value = azure_keys.get(key).or(Some(&disabled).filter(|_| is_addon));
        if let Some(azure_value) = azure_value.filter(|azure_value| !is_equal(azure_value)) {
            changes.insert(key.to_owned(), azure_value.clone());
        }
    }
    if let (Some(desired), Some(azure)) = (&desired.node_pools, &azure.node_pools) {
        let pools = updated_pools(desired, azure);
        // Every cluster has a pool, so a response without pools is incomplete.
        if !azure.is_empty() && !desired.is_empty() && pools != *desired {
            changes.insert("nodePools".to_owned(), json!(pools));
        }
    }
    changes
}

/// Writes the changes to a stored `aksConfig`. Keys of node pools whose stored value is an empty string are preserved.
pub fn write_changes(config: &mut Object, mut changes: Object) {
    let stored = config.get("nodePools").and_then(Value::as_array).cloned().unwrap_or_default();
    let pools = changes.get_mut("nodePools").and_then(Value::as_array_mut).into_iter().flatten();
    for pool in pools.filter_map(Value::as_object_mut) {
        let stored_pool = stored.iter().find(|other| other.get("name") == pool.get("name"));
        let entries = stored_pool.and_then(Value::as_object).into_iter().flatten();
        for (key, value) in entries.filter(|(_, value)| **value == "") {
            pool.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    config.extend(changes);
}

/// Whether the value is an empty list, which clients send for an unset key.
fn is_unset(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

/// Whether the values of a key have the same meaning, despite differences in spelling and order.
fn is_equivalent(key: &str, desired: &Value, azure: &Value) -> bool {
    match (desired, azure) {
        (Value::String(desired), Value::String(azure))
            if matches!(key, "kubernetesVersion" | "orchestratorVersion") =>
        {
            versions::is_same(desired, azure)
        }
        (Value::String(desired), Value::String(azure)) => desired.trim().eq_ignore_ascii_case(azure.trim()),
        (Value::Array(desired), Value::Array(azure)) => {
            lowercase_strings(desired) == lowercase_strings(azure)
        }
        // Off and unset are equal.
        (Value::Bool(false), Value::Null) => true,
        _ => desired == azure,
    }
}

fn lowercase_strings(values: &[Value]) -> BTreeSet<String> {
    values.iter().map(|value| value.as_str().unwrap_or_default().to_ascii_lowercase()).collect()
}

/// The pools in the user's order and spelling, except keys with a different meaning in Azure. Pools that Azure no longer has are
/// removed, and pools that others created in Azure are not added.
fn updated_pools(desired: &[NodePool], azure: &[NodePool]) -> Vec<NodePool> {
    desired
        .iter()
        .filter_map(|pool| {
            let azure_pool = azure.iter().find(|other| other.name == pool.name)?;
            Some(updated_pool(pool, azure_pool))
        })
        .collect()
}

fn updated_pool(pool: &NodePool, azure: &NodePool) -> NodePool {
    let is_autoscaled = azure.enable_auto_scaling == Some(true);
    let (desired, observed) = (json!(pool), json!(azure));
    let mut result = desired.clone();
    if let (Some(result), Some(desired), Some(observed)) =
        (result.as_object_mut(), desired.as_object(), observed.as_object())
    {
        for (key, value) in desired {
            let is_ignored = matches!(key.as_str(), "name" | "vnetSubnetID")
                || (key == "count" && is_autoscaled)
                || (matches!(key.as_str(), "minCount" | "maxCount") && !is_autoscaled)
                // 0 lets Azure choose the size.
                || (key == "osDiskSizeGB" && *value == 0)
                || is_unset(value);
            match observed.get(key) {
                Some(azure_value) if !is_ignored && !is_equivalent(key, value, azure_value) => {
                    result.insert(key.clone(), azure_value.clone());
                }
                _ => {}
            }
        }
        // The limits are set only if the autoscaler is on.
        let scaling_changed = pool.enable_auto_scaling.is_some_and(|desired| desired != is_autoscaled);
        for key in ["minCount", "maxCount"].into_iter().filter(|_| scaling_changed) {
            match observed.get(key).filter(|_| is_autoscaled) {
                Some(limit) => result.insert(key.to_owned(), limit.clone()),
                None => result.remove(key),
            };
        }
    }
    serde_json::from_value(result).unwrap_or_else(|_| pool.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cases, config, object};

    #[test]
    fn only_managed_keys_with_another_meaning_follow_azure() {
        for (desired, azure, expected) in cases! {
            {}, {"kubernetesVersion": "1.32.1", "tags": {"a": "b"}} => json!({});
            {"kubernetesVersion": "1.31.8"}, {"kubernetesVersion": "1.32.1"} => json!({"kubernetesVersion": "1.32.1"});
            {"kubernetesVersion": "1.32"}, {"kubernetesVersion": "1.32.1"} => json!({});
            {"kubernetesVersion": " v1.32.1"}, {"kubernetesVersion": "1.32.1"} => json!({});
            {"loadBalancerSku": "Standard", "outboundType": "LoadBalancer"},
                {"loadBalancerSku": "standard", "outboundType": "loadBalancer"} => json!({});
            {"tags": {"a": "b"}}, {"tags": {"a": "c"}} => json!({"tags": {"a": "c"}});
            {"tags": {"Team": "b"}}, {"tags": {"team": "b"}} => json!({});
            {"authorizedIpRanges": ["1.1.1.1", "10.0.0.0/8"]}, {"authorizedIpRanges": ["10.0.0.0/8", "1.1.1.1/32"]} => json!({});
            {"authorizedIpRanges": ["1.1.1.1"]}, {"authorizedIpRanges": []} => json!({"authorizedIpRanges": []});
            {"monitoring": true}, {"monitoring": false} => json!({"monitoring": false});
            {"monitoring": false}, {} => json!({});
            {"monitoring": true, "httpApplicationRouting": true, "managedIdentity": true}, {} =>
                json!({"monitoring": false, "httpApplicationRouting": false});
            {"httpApplicationRouting": true, "resourceLocation": "chinaeast2"}, {"httpApplicationRouting": false} => json!({});
            {"nodePools": [{"name": "a"}]}, {"nodePools": []} => json!({});
            {"managedIdentity": false}, {"managedIdentity": true} => json!({});
            {"networkPolicy": "", "authorizedIpRanges": []},
                {"networkPolicy": "azure", "authorizedIpRanges": ["1.1.1.1/32"]} => json!({});
            {"resourceGroup": "G", "clusterName": "N"}, {"resourceGroup": "x", "clusterName": "y"} => json!({});
            {"nodePools": []}, {"nodePools": [{"name": "a"}]} => json!({});
            // In an import, entries that others have set are ignored.
            {"imported": true, "tags": {"a": "1"}, "authorizedIpRanges": ["1.1.1.1"]},
                {"tags": {"a": "1", "b": "2"}, "authorizedIpRanges": ["9.9.9.9/32", "1.1.1.1/32"]} => json!({});
            {"imported": true, "tags": {"a": "1", "b": "2"}, "authorizedIpRanges": ["1.1.1.1"]},
                {"tags": {"a": "3", "c": "4"}, "authorizedIpRanges": ["9.9.9.9/32"]} => json!({"tags": {"a": "3"}, "authorizedIpRanges": []});
        } {
            assert_eq!(
                json!(changes_from_azure(&config(desired.clone()), &config(azure))),
                expected,
                "{desired}"
            );
        }
    }

    #[test]
    fn pools_keep_the_users_order_and_spelling() {
        let pools = |pools: Value| config(json!({"nodePools": pools}));
        let desired = json!([
            {"name": "b", "count": 2, "mode": "system", "availabilityZones": ["2", "1"], "orchestratorVersion": ""},
            {"name": "a", "count": 1, "enableAutoScaling": true, "minCount": 1, "maxCount": 3},
            {"name": "gone", "count": 1},
        ]);
        let equal_in_azure = json!([
            {"name": "a", "count": 3, "enableAutoScaling": true, "minCount": 1, "maxCount": 3, "vmSize": "x"},
            {"name": "made-in-azure", "count": 1},
            {"name": "b", "count": 2, "mode": "System", "availabilityZones": ["1", "2"], "orchestratorVersion": "1.31.8"},
            {"name": "gone", "count": 1},
        ]);
        assert!(changes_from_azure(&pools(desired.clone()), &pools(equal_in_azure)).is_empty());
        let (zero, chosen) =
            (json!([{"name": "a", "osDiskSizeGB": 0}]), json!([{"name": "a", "osDiskSizeGB": 128}]));
        assert!(changes_from_azure(&pools(zero), &pools(chosen)).is_empty());
        let changed_in_azure = json!([
            {"name": "a", "count": 3, "enableAutoScaling": true, "minCount": 1, "maxCount": 5},
            {"name": "b", "count": 4, "mode": "System", "availabilityZones": ["1", "2"]},
        ]);
        let mut stored = object(json!({"nodePools": desired}));
        write_changes(&mut stored, changes_from_azure(&pools(desired), &pools(changed_in_azure)));
        let expected = json!([
            {"name": "b", "count": 4, "mode": "system", "availabilityZones": ["2", "1"], "orchestratorVersion": ""},
            {"name": "a", "count": 1, "enableAutoScaling": true, "minCount": 1, "maxCount": 5},
        ]);
        assert_eq!(stored["nodePools"], expected);
    }

    #[test]
    fn limits_of_a_pool_follow_the_autoscaler() {
        let on = json!({"nodePools": [{"name": "a", "count": 2, "enableAutoScaling": true, "minCount": 1, "maxCount": 5}]});
        let disabled = json!({"nodePools": [{"name": "a", "count": 2, "enableAutoScaling": false}]});
        for (desired, azure) in [(&on, &disabled), (&disabled, &on)] {
            assert_eq!(json!(changes_from_azure(&config(desired.clone()), &config(azure.clone()))), *azure);
        }
    }
}
