//! Merging the body of a PUT into the stored cluster or pool, so that unknown properties are preserved.

use serde_json::{Map, Value, json};

use crate::arm::call::Call;
use crate::json;

/// The JSON pointer to the pools of a cluster.
pub(crate) const POOLS: &str = "/properties/agentPoolProfiles";

/// The stored cluster `old`, updated with the body of a PUT: pools are merged by name, add-ons by name in any letter case, and
/// tags are replaced.
pub(crate) fn merge_cluster(old: &Value, body: &Value) -> Value {
    let mut new = old.clone();
    let mut changes = body.clone();
    json::remove(&mut changes, "/location");
    json::remove(&mut changes, "/properties/servicePrincipalProfile");
    let tags = changes.get("tags").cloned();
    let pools: Vec<Value> = json::list(&changes, POOLS).to_vec();
    json::remove(&mut changes, POOLS);
    let addons = changes.pointer("/properties/addonProfiles").and_then(Value::as_object).cloned();
    json::remove(&mut changes, "/properties/addonProfiles");
    if json::text(&changes, "/properties/networkProfile/loadBalancerSku").is_some() {
        let path = "/properties/networkProfile/loadBalancerSku";
        let sku = json::text(&changes, path).unwrap_or_default().to_ascii_lowercase();
        json::set(&mut changes, path, sku);
    }
    json::overlay(&mut new, &changes);
    match Call::tags(&json!({ "tags": tags })) {
        Some(tags) => json::set(&mut new, "/tags", tags),
        None => json::remove(&mut new, "/tags"),
    }
    if let Some(addons) = addons {
        merge_addons(&mut new, addons);
    }
    json::set_default(&mut new, POOLS, json!([]));
    for pool in pools {
        let stored_pools = new.pointer_mut(POOLS).and_then(Value::as_array_mut);
        let Some(stored_pools) = stored_pools else { break };
        match stored_pools.iter_mut().find(|stored| stored.get("name") == pool.get("name")) {
            Some(stored) => merge_pool(stored, &pool),
            None => stored_pools.push(pool),
        }
    }
    new
}

fn merge_addons(new: &mut Value, addons: Map<String, Value>) {
    json::set_default(new, "/properties/addonProfiles", json!({}));
    let stored = new.pointer_mut("/properties/addonProfiles").and_then(Value::as_object_mut);
    let Some(stored) = stored else { return };
    for (key, addon) in addons {
        let existing_key = stored.keys().find(|stored_key| stored_key.eq_ignore_ascii_case(&key)).cloned();
        // A disabled add-on loses its configuration.
        if json::is_true(&addon, "/enabled") {
            json::overlay(stored.entry(existing_key.unwrap_or(key)).or_insert_with(|| json!({})), &addon);
        } else {
            stored.insert(existing_key.unwrap_or(key), json!({"enabled": false, "config": null}));
        }
    }
}

/// Updates the profile of a pool; labels, tags, taints and zones are replaced.
pub(crate) fn merge_pool(pool: &mut Value, changes: &Value) {
    let mut changes = changes.clone();
    if json::number(&changes, "/osDiskSizeGB") == Some(0) {
        json::remove(&mut changes, "/osDiskSizeGB");
    }
    if json::text(&changes, "/orchestratorVersion").is_none() {
        json::remove(&mut changes, "/orchestratorVersion");
    }
    for key in ["nodeLabels", "tags"] {
        if changes.get(key).is_some_and(Value::is_object) {
            json::remove(pool, &format!("/{key}"));
        }
    }
    json::overlay(pool, &changes);
    if !json::is_true(pool, "/enableAutoScaling") {
        // Limits in the request are kept, so that validation rejects them; stored limits are removed with the autoscaler.
        for key in ["minCount", "maxCount"] {
            if changes.get(key).is_none_or(Value::is_null) {
                json::remove(pool, &format!("/{key}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn put_merges_pools_and_addons_and_replaces_tags() {
        let old = json!({
            "tags": {"a": "1"},
            "properties": {
                "unknown": {"kept": 1},
                "addonProfiles": {"omsagent": {"enabled": true, "config": {"id": 1}, "identity": {"x": 1}}, "other": {"enabled": true}},
                "agentPoolProfiles": [
                    {"name": "a", "count": 1, "nodeLabels": {"x": "1"}, "enableAutoScaling": true, "minCount": 1, "maxCount": 3, "future": 1},
                    {"name": "b", "count": 2},
                ],
            },
        });
        let new = merge_cluster(
            &old,
            &json!({
                "location": "eastus",
                "tags": {"b": "2"},
                "properties": {
                    "more": true,
                    "servicePrincipalProfile": {"clientId": "x", "secret": "s"},
                    "addonProfiles": {"omsAgent": {"enabled": false}},
                    "agentPoolProfiles": [
                        {"name": "a", "count": 3, "nodeLabels": {"y": "2"}, "enableAutoScaling": false},
                        {"name": "c", "count": 1},
                    ],
                },
            }),
        );
        assert_eq!(
            new,
            json!({
                "tags": {"b": "2"},
                "properties": {
                    "unknown": {"kept": 1},
                    "more": true,
                    "addonProfiles": {"omsagent": {"enabled": false, "config": null}, "other": {"enabled": true}},
                    "agentPoolProfiles": [
                        {"name": "a", "count": 3, "nodeLabels": {"y": "2"}, "enableAutoScaling": false, "future": 1},
                        {"name": "b", "count": 2},
                        {"name": "c", "count": 1},
                    ],
                },
            })
        );
        let without_tags = merge_cluster(&old, &json!({"properties": {}}));
        assert!(without_tags.get("tags").is_none(), "a PUT without tags leaves none");
    }
}
