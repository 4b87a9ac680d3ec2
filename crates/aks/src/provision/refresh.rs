//! The keys of a specification that are updated from Azure: those that are set and have a different meaning in Azure
//! (`docs/contract/provisioning.md#refresh`). Spelling, the order of zones and the counts of autoscaled pools are ignored.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::difference::{ranges, tags_differ};
use super::imported::own_part;
use crate::spec::{AksConfig, NodePool, Object};
use crate::versions;

/// Keys that identify the cluster. Their observed values are copied from the specification.
const OURS: [&str; 7] = [
    "azureCredentialSecret",
    "authBaseUrl",
    "baseUrl",
    "clusterName",
    "imported",
    "resourceGroup",
    "resourceLocation",
];

/// The keys of `aksConfig` to overwrite, with their new values. Versions in `azure` are the running ones.
pub fn taken_over(wanted: &AksConfig, azure: &AksConfig) -> Map<String, Value> {
    let part = (wanted.is_import()).then(|| own_part(wanted, azure));
    let azure = part.as_ref().unwrap_or(azure);
    let (wanted_keys, azure_keys) = (json!(wanted), json!(azure));
    let mut changes = Map::new();
    let (Some(wanted_keys), Some(azure_keys)) = (wanted_keys.as_object(), azure_keys.as_object()) else {
        return changes;
    };
    for (key, value) in wanted_keys {
        let key = key.as_str();
        // Every cluster has an identity.
        let identity = key == "managedIdentity" && *value == false;
        let no_addon = key == "httpApplicationRouting" && wanted.http_routing().is_none();
        if OURS.contains(&key) || key == "nodePools" || identity || no_addon || is_unset(value) {
            continue;
        }
        let same = |found: &Value| match key {
            "tags" => !tags_differ(wanted.tags.as_ref(), azure.tags.as_ref()),
            "authorizedIpRanges" => {
                wanted.authorized_ip_ranges.as_deref().map(ranges)
                    == azure.authorized_ip_ranges.as_deref().map(ranges)
            }
            _ => means_the_same(key, value, found),
        };
        // An add-on that is missing in Azure's response is off.
        let off = Value::Bool(false);
        let addon = matches!(key, "httpApplicationRouting" | "monitoring");
        let found = azure_keys.get(key).or(Some(&off).filter(|_| addon));
        if let Some(found) = found.filter(|found| !same(found)) {
            changes.insert(key.to_owned(), found.clone());
        }
    }
    if let (Some(wanted), Some(azure)) = (&wanted.node_pools, &azure.node_pools) {
        let pools = pools(wanted, azure);
        // Every cluster has a pool, so this response does not contain the pools.
        if !azure.is_empty() && !wanted.is_empty() && pools != *wanted {
            changes.insert("nodePools".to_owned(), json!(pools));
        }
    }
    changes
}

/// Writes the changes to a stored `aksConfig`. Keys of node pools with empty strings are preserved, as the user sent them.
pub fn write_changes(config: &mut Object, mut changes: Object) {
    let stored = config.get("nodePools").and_then(Value::as_array).cloned().unwrap_or_default();
    let pools = changes.get_mut("nodePools").and_then(Value::as_array_mut).into_iter().flatten();
    for pool in pools.filter_map(Value::as_object_mut) {
        let known = stored.iter().find(|known| known.get("name") == pool.get("name"));
        let known = known.and_then(Value::as_object).into_iter().flatten();
        for (key, value) in known.filter(|(_, value)| **value == "") {
            pool.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    config.extend(changes);
}

/// Whether the value is an empty list, which clients send for an unset key.
fn is_unset(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

fn means_the_same(key: &str, wanted: &Value, azure: &Value) -> bool {
    match (wanted, azure) {
        (Value::String(wanted), Value::String(azure))
            if matches!(key, "kubernetesVersion" | "orchestratorVersion") =>
        {
            versions::is_same(wanted, azure)
        }
        (Value::String(wanted), Value::String(azure)) => wanted.trim().eq_ignore_ascii_case(azure.trim()),
        (Value::Array(wanted), Value::Array(azure)) => texts(wanted) == texts(azure),
        // Off and unset are equal.
        (Value::Bool(false), Value::Null) => true,
        _ => wanted == azure,
    }
}

fn texts(list: &[Value]) -> BTreeSet<String> {
    list.iter().map(|value| value.as_str().unwrap_or_default().to_ascii_lowercase()).collect()
}

/// The pools in the user's order and spelling, except keys with a different meaning in Azure. Pools that Azure no longer has are
/// removed, and pools that others created in Azure are not added.
fn pools(wanted: &[NodePool], azure: &[NodePool]) -> Vec<NodePool> {
    wanted
        .iter()
        .filter_map(|pool| {
            let found = azure.iter().find(|found| found.name == pool.name)?;
            Some(merged(pool, found))
        })
        .collect()
}

fn merged(pool: &NodePool, azure: &NodePool) -> NodePool {
    let scales = azure.enable_auto_scaling == Some(true);
    let (mine, theirs) = (json!(pool), json!(azure));
    let mut result = mine.clone();
    if let (Some(result), Some(mine), Some(theirs)) =
        (result.as_object_mut(), mine.as_object(), theirs.as_object())
    {
        for (key, value) in mine {
            let ignored = matches!(key.as_str(), "name" | "vnetSubnetID")
                || (key == "count" && scales)
                || (matches!(key.as_str(), "minCount" | "maxCount") && !scales)
                // Azure chooses the size.
                || (key == "osDiskSizeGB" && *value == 0)
                || is_unset(value);
            match theirs.get(key) {
                Some(found) if !ignored && !means_the_same(key, value, found) => {
                    result.insert(key.clone(), found.clone());
                }
                _ => {}
            }
        }
        // The limits are set only if the autoscaler is on.
        let switched = pool.enable_auto_scaling.is_some_and(|mine| mine != scales);
        for key in ["minCount", "maxCount"].into_iter().filter(|_| switched) {
            match theirs.get(key).filter(|_| scales) {
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
        for (wanted, azure, expected) in cases! {
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
            assert_eq!(json!(taken_over(&config(wanted.clone()), &config(azure))), expected, "{wanted}");
        }
    }

    #[test]
    fn pools_keep_the_users_order_and_spelling() {
        let pools = |pools: Value| config(json!({"nodePools": pools}));
        let wanted = json!([
            {"name": "b", "count": 2, "mode": "system", "availabilityZones": ["2", "1"], "orchestratorVersion": ""},
            {"name": "a", "count": 1, "enableAutoScaling": true, "minCount": 1, "maxCount": 3},
            {"name": "gone", "count": 1},
        ]);
        let same = json!([
            {"name": "a", "count": 3, "enableAutoScaling": true, "minCount": 1, "maxCount": 3, "vmSize": "x"},
            {"name": "made-in-azure", "count": 1},
            {"name": "b", "count": 2, "mode": "System", "availabilityZones": ["1", "2"], "orchestratorVersion": "1.31.8"},
            {"name": "gone", "count": 1},
        ]);
        assert!(taken_over(&pools(wanted.clone()), &pools(same)).is_empty());
        let (zero, chosen) =
            (json!([{"name": "a", "osDiskSizeGB": 0}]), json!([{"name": "a", "osDiskSizeGB": 128}]));
        assert!(taken_over(&pools(zero), &pools(chosen)).is_empty());
        let other = json!([
            {"name": "a", "count": 3, "enableAutoScaling": true, "minCount": 1, "maxCount": 5},
            {"name": "b", "count": 4, "mode": "System", "availabilityZones": ["1", "2"]},
        ]);
        let mut stored = object(json!({"nodePools": wanted}));
        write_changes(&mut stored, taken_over(&pools(wanted), &pools(other)));
        let expected = json!([
            {"name": "b", "count": 4, "mode": "system", "availabilityZones": ["2", "1"], "orchestratorVersion": ""},
            {"name": "a", "count": 1, "enableAutoScaling": true, "minCount": 1, "maxCount": 5},
        ]);
        assert_eq!(stored["nodePools"], expected);
    }

    #[test]
    fn limits_of_a_pool_follow_the_autoscaler() {
        let on = json!({"nodePools": [{"name": "a", "count": 2, "enableAutoScaling": true, "minCount": 1, "maxCount": 5}]});
        let off = json!({"nodePools": [{"name": "a", "count": 2, "enableAutoScaling": false}]});
        for (mine, azure) in [(&on, &off), (&off, &on)] {
            assert_eq!(json!(taken_over(&config(mine.clone()), &config(azure.clone()))), *azure);
        }
    }
}
