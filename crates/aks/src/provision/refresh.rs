//! The keys of a specification that follow Azure: those that are set and mean something else there
//! (`docs/contract/provisioning.md#refresh`). Spelling, order of zones and counts of pools that scale by themselves
//! mean nothing.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::difference::{ranges, tags_differ};
use super::imported::own_part;
use crate::spec::{AksConfig, NodePool};
use crate::versions;

/// Keys whose values say where and what the cluster is; Azure's answer has them from us.
const OURS: [&str; 7] = [
    "azureCredentialSecret",
    "authBaseUrl",
    "baseUrl",
    "clusterName",
    "imported",
    "resourceGroup",
    "resourceLocation",
];

/// The keys to overwrite, with their new values, in the shape of `aksConfig`. In `azure` versions are those that run.
pub fn taken_over(wanted: &AksConfig, azure: &AksConfig) -> Map<String, Value> {
    let part = (wanted.imported == Some(true)).then(|| own_part(wanted, azure));
    let azure = part.as_ref().unwrap_or(azure);
    let (wanted_keys, azure_keys) = (json!(wanted), json!(azure));
    let mut changes = Map::new();
    let (Some(wanted_keys), Some(azure_keys)) = (wanted_keys.as_object(), azure_keys.as_object()) else {
        return changes;
    };
    for (key, value) in wanted_keys {
        let key = key.as_str();
        // Every cluster has an identity, whoever manages it.
        let identity = key == "managedIdentity" && *value == false;
        let nowhere = key == "httpApplicationRouting" && wanted.http_routing().is_none();
        if OURS.contains(&key) || key == "nodePools" || identity || nowhere || is_unset(value) {
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
        // An add-on that Azure does not name is off.
        let off = Value::Bool(false);
        let addon = matches!(key, "httpApplicationRouting" | "monitoring");
        let found = azure_keys.get(key).or(Some(&off).filter(|_| addon));
        if let Some(found) = found.filter(|found| !same(found)) {
            changes.insert(key.to_owned(), found.clone());
        }
    }
    if let (Some(wanted), Some(azure)) = (&wanted.node_pools, &azure.node_pools) {
        let pools = pools(wanted, azure);
        // No cluster is without a pool: such an answer says nothing about them.
        if !azure.is_empty() && !wanted.is_empty() && pools != *wanted {
            changes.insert("nodePools".to_owned(), json!(pools));
        }
    }
    changes
}

/// Clients send these for what is not set.
fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
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
        // What is off may as well be left out.
        (Value::Bool(false), Value::Null) => true,
        _ => wanted == azure,
    }
}

fn texts(list: &[Value]) -> BTreeSet<String> {
    list.iter().map(|value| value.as_str().unwrap_or_default().to_ascii_lowercase()).collect()
}

/// The pools in the user's order: each as he said it, except what means something else in Azure. Pools that are gone in
/// Azure go, and pools that were made there are left to Azure.
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
                // So many mean that Azure chooses.
                || (key == "osDiskSizeGB" && *value == 0)
                || is_unset(value);
            match theirs.get(key) {
                Some(found) if !ignored && !means_the_same(key, value, found) => {
                    result.insert(key.clone(), found.clone());
                }
                _ => {}
            }
        }
        // The limits come and go with the autoscaler.
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

    fn spec(value: Value) -> AksConfig {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_what_is_managed_and_means_something_else_follows_azure() {
        for (wanted, azure, expected) in [
            (json!({}), json!({"kubernetesVersion": "1.32.1", "tags": {"a": "b"}}), json!({})),
            (
                json!({"kubernetesVersion": "1.31.8"}),
                json!({"kubernetesVersion": "1.32.1"}),
                json!({"kubernetesVersion": "1.32.1"}),
            ),
            (json!({"kubernetesVersion": "1.32"}), json!({"kubernetesVersion": "1.32.1"}), json!({})),
            (json!({"kubernetesVersion": " v1.32.1"}), json!({"kubernetesVersion": "1.32.1"}), json!({})),
            (
                json!({"loadBalancerSku": "Standard", "outboundType": "LoadBalancer"}),
                json!({"loadBalancerSku": "standard", "outboundType": "loadBalancer"}),
                json!({}),
            ),
            (json!({"tags": {"a": "b"}}), json!({"tags": {"a": "c"}}), json!({"tags": {"a": "c"}})),
            (json!({"tags": {"Team": "b"}}), json!({"tags": {"team": "b"}}), json!({})),
            (
                json!({"authorizedIpRanges": ["1.1.1.1", "10.0.0.0/8"]}),
                json!({"authorizedIpRanges": ["10.0.0.0/8", "1.1.1.1/32"]}),
                json!({}),
            ),
            (
                json!({"authorizedIpRanges": ["1.1.1.1"]}),
                json!({"authorizedIpRanges": []}),
                json!({"authorizedIpRanges": []}),
            ),
            (json!({"monitoring": true}), json!({"monitoring": false}), json!({"monitoring": false})),
            (json!({"monitoring": false}), json!({}), json!({})),
            (
                json!({"monitoring": true, "httpApplicationRouting": true, "managedIdentity": true}),
                json!({}),
                json!({"monitoring": false, "httpApplicationRouting": false}),
            ),
            (
                json!({"httpApplicationRouting": true, "resourceLocation": "chinaeast2"}),
                json!({"httpApplicationRouting": false}),
                json!({}),
            ),
            (json!({"nodePools": [{"name": "a"}]}), json!({"nodePools": []}), json!({})),
            (json!({"managedIdentity": false}), json!({"managedIdentity": true}), json!({})),
            (
                json!({"networkPolicy": "", "authorizedIpRanges": []}),
                json!({"networkPolicy": "azure", "authorizedIpRanges": ["1.1.1.1/32"]}),
                json!({}),
            ),
            (
                json!({"resourceGroup": "G", "clusterName": "N"}),
                json!({"resourceGroup": "x", "clusterName": "y"}),
                json!({}),
            ),
            (json!({"nodePools": []}), json!({"nodePools": [{"name": "a"}]}), json!({})),
            // In an import, entries of others are no difference.
            (
                json!({"imported": true, "tags": {"a": "1"}, "authorizedIpRanges": ["1.1.1.1"]}),
                json!({"tags": {"a": "1", "b": "2"}, "authorizedIpRanges": ["9.9.9.9/32", "1.1.1.1/32"]}),
                json!({}),
            ),
            (
                json!({"imported": true, "tags": {"a": "1", "b": "2"}, "authorizedIpRanges": ["1.1.1.1"]}),
                json!({"tags": {"a": "3", "c": "4"}, "authorizedIpRanges": ["9.9.9.9/32"]}),
                json!({"tags": {"a": "3"}, "authorizedIpRanges": []}),
            ),
        ] {
            assert_eq!(Value::Object(taken_over(&spec(wanted.clone()), &spec(azure))), expected, "{wanted}");
        }
    }

    #[test]
    fn pools_keep_the_users_order_and_spelling() {
        let wanted = json!({"nodePools": [
            {"name": "b", "count": 2, "mode": "system", "availabilityZones": ["2", "1"], "orchestratorVersion": ""},
            {"name": "a", "count": 1, "enableAutoScaling": true, "minCount": 1, "maxCount": 3},
            {"name": "gone", "count": 1},
        ]});
        let same = json!({"nodePools": [
            {"name": "a", "count": 3, "enableAutoScaling": true, "minCount": 1, "maxCount": 3, "vmSize": "x"},
            {"name": "made-in-azure", "count": 1},
            {"name": "b", "count": 2, "mode": "System", "availabilityZones": ["1", "2"], "orchestratorVersion": "1.31.8"},
            {"name": "gone", "count": 1},
        ]});
        assert!(taken_over(&spec(wanted.clone()), &spec(same)).is_empty());
        let zero = json!({"nodePools": [{"name": "a", "osDiskSizeGB": 0}]});
        let chosen = json!({"nodePools": [{"name": "a", "osDiskSizeGB": 128}]});
        assert!(taken_over(&spec(zero), &spec(chosen)).is_empty());
        let other = json!({"nodePools": [
            {"name": "a", "count": 3, "enableAutoScaling": true, "minCount": 1, "maxCount": 5},
            {"name": "b", "count": 4, "mode": "System", "availabilityZones": ["1", "2"]},
        ]});
        let pools = &taken_over(&spec(wanted), &spec(other))["nodePools"];
        let shown: Vec<_> = pools
            .as_array()
            .unwrap()
            .iter()
            .map(|pool| (&pool["name"], &pool["count"], &pool["maxCount"]))
            .collect();
        assert_eq!(json!(shown), json!([["b", 4, null], ["a", 1, 5]]));
    }

    #[test]
    fn the_limits_of_a_pool_come_and_go_with_the_autoscaler() {
        let on = json!({"name": "a", "count": 2, "enableAutoScaling": true, "minCount": 1, "maxCount": 5});
        let off = json!({"name": "a", "count": 2, "enableAutoScaling": false});
        for (mine, azure) in [(&on, &off), (&off, &on)] {
            let changes =
                taken_over(&spec(json!({"nodePools": [mine]})), &spec(json!({"nodePools": [azure]})));
            assert_eq!(changes["nodePools"], json!([azure]));
        }
    }
}
