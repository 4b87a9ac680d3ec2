//! Tests of the entries of imports.

use serde_json::{Value, json};

use super::*;
use crate::testing::{cases, config as spec};

/// Azure's state after the specifications were applied one after the other.
fn apply_all(azure: Value, specifications: &[Value]) -> AksConfig {
    let (mut azure, mut user_entries) = (spec(azure), UserEntries::default());
    for desired in specifications {
        let desired = spec(desired.clone());
        user_entries.record(&desired, &azure);
        // As stored.
        user_entries = serde_json::from_value(json!(user_entries)).unwrap();
        let merged = merge_entries(&desired, &azure, &user_entries);
        if let Some(ranges) = merged.authorized_ip_ranges {
            azure.authorized_ip_ranges = Some(ranges);
        }
        if let Some(tags) = merged.tags {
            azure.tags = Some(tags);
        }
        for pool in merged.node_pools.into_iter().flatten() {
            let Some(azure_pool) =
                azure.node_pools.iter_mut().flatten().find(|azure_pool| azure_pool.name == pool.name)
            else {
                azure.node_pools.get_or_insert_default().push(pool);
                continue;
            };
            azure_pool.node_labels = pool.node_labels.or(azure_pool.node_labels.take());
            azure_pool.node_taints = pool.node_taints.or(azure_pool.node_taints.take());
        }
        user_entries.prune(&desired, &azure);
    }
    azure
}

#[test]
fn only_the_users_ranges_are_removed() {
    for (azure, specifications, expected) in cases! {
        ["192.0.2.0/24"], [["203.0.113.0/24", "198.51.100.0/24"]] => json!(["192.0.2.0/24", "203.0.113.0/24", "198.51.100.0/24"]);
        ["192.0.2.0/24"], [["203.0.113.0/24", "198.51.100.0/24"], ["203.0.113.0/24"]] => json!(["192.0.2.0/24", "203.0.113.0/24"]);
        ["192.0.2.0/24"], [["203.0.113.0/24", "198.51.100.0/24"], ["203.0.113.0/24"], []] => json!(["192.0.2.0/24"]);
        // No longer set: a range that the user removed must not remain open.
        ["192.0.2.0/24"], [["203.0.113.7"], null] => json!(["192.0.2.0/24"]);
        // Sent with Azure's value, so it does not belong to the user.
        ["192.0.2.7/32"], [["192.0.2.7", "203.0.113.7"], []] => json!(["192.0.2.7/32"]);
        [], [["203.0.113.7"], ["203.0.113.7/32"], []] => json!([]);
        ["192.0.2.0/24"], [[]] => json!(["192.0.2.0/24"]);
        // Removed and sent again.
        [], [["203.0.113.7"], [], ["203.0.113.7"]] => json!(["203.0.113.7"]);
    } {
        let specifications = specifications.as_array().unwrap().iter();
        let specifications: Vec<Value> =
            specifications.map(|list| json!({"authorizedIpRanges": list})).collect();
        let azure_after =
            apply_all(json!({"authorizedIpRanges": azure}), &specifications).authorized_ip_ranges;
        assert_eq!(json!(azure_after), expected, "{specifications:?}");
    }
}

#[test]
fn only_the_users_tags_are_removed() {
    for (specifications, expected) in cases! {
        [{"a": "1", "b": "2"}, {"a": "1"}] => json!({"Team": "x", "a": "1"});
        [{"a": "1", "b": "2"}, {}] => json!({"Team": "x"});
        [{"a": "1"}, null] => json!({"Team": "x", "a": "1"});
        [{"a": "1"}, null, {}] => json!({"Team": "x"});
        [{}] => json!({"Team": "x"});
        // Azure ignores letter case in the names of tags.
        [{"team": "x"}, {}] => json!({"team": "x"});
        [{"team": "y"}] => json!({"team": "y"});
        [{"team": "y"}, {}] => json!({});
    } {
        let specifications: Vec<Value> =
            specifications.as_array().unwrap().iter().map(|tags| json!({"tags": tags})).collect();
        let azure_after = apply_all(json!({"tags": {"Team": "x"}}), &specifications).tags;
        assert_eq!(json!(azure_after), expected, "{specifications:?}");
    }
}

#[test]
fn labels_and_taints_are_merged_in_each_pool() {
    let pool = |name: &str, labels: Value, taints: Value| {
        let mut pool = json!({"name": name});
        for (key, value) in [("nodeLabels", labels), ("nodeTaints", taints)] {
            if !value.is_null() {
                pool[key] = value;
            }
        }
        pool
    };
    let azure = json!({"nodePools": [
        pool("a", json!({"theirs": "1"}), json!(["theirs=1:NoSchedule"])),
        pool("b", json!({"x": "1"}), Value::Null),
    ]});
    let all_entries = pool("a", json!({"x": "1", "y": "2"}), json!(["x=1:NoSchedule", "y=1:NoExecute"]));
    let fewer_entries = pool("a", json!({"x": "1"}), json!(["x=2:NoSchedule"]));
    for (specifications, labels, taints) in [
        (
            vec![all_entries.clone()],
            json!({"theirs": "1", "x": "1", "y": "2"}),
            json!(["theirs=1:NoSchedule", "x=1:NoSchedule", "y=1:NoExecute"]),
        ),
        (
            vec![all_entries.clone(), fewer_entries],
            json!({"theirs": "1", "x": "1"}),
            json!(["theirs=1:NoSchedule", "x=2:NoSchedule"]),
        ),
        (
            vec![all_entries.clone(), pool("a", json!({}), json!([]))],
            json!({"theirs": "1"}),
            json!(["theirs=1:NoSchedule"]),
        ),
        (
            vec![all_entries, pool("a", Value::Null, Value::Null)],
            json!({"theirs": "1", "x": "1", "y": "2"}),
            json!(["theirs=1:NoSchedule", "x=1:NoSchedule", "y=1:NoExecute"]),
        ),
    ] {
        let specifications: Vec<Value> =
            specifications.into_iter().map(|pool| json!({"nodePools": [pool]})).collect();
        let azure_after = apply_all(azure.clone(), &specifications);
        let pools = azure_after.node_pools.unwrap();
        assert_eq!((json!(pools[0].node_labels), json!(pools[0].node_taints)), (labels, taints));
        assert_eq!(json!(pools[1].node_labels), json!({"x": "1"}), "another pool");
    }
}

#[test]
fn all_entries_of_a_created_pool_belong_to_the_user() {
    let created =
        json!({"nodePools": [{"name": "new", "nodeLabels": {"x": "1"}, "nodeTaints": ["x=1:NoSchedule"]}]});
    let empty = json!({"nodePools": [{"name": "new", "nodeLabels": {}, "nodeTaints": []}]});
    let pools = apply_all(json!({}), &[created, empty]).node_pools.unwrap();
    assert_eq!((json!(pools[0].node_labels), json!(pools[0].node_taints)), (json!({}), json!([])));
}

#[test]
fn entries_of_others_are_excluded() {
    let desired = spec(json!({"authorizedIpRanges": ["1.1.1.1"], "tags": {"a": "1", "b": "2"},
        "nodePools": [{"name": "p", "nodeLabels": {"x": "1"}, "nodeTaints": ["k=v:NoSchedule"]}]}));
    let azure = spec(
        json!({"authorizedIpRanges": ["9.9.9.9/32", "1.1.1.1/32"], "tags": {"A": "1", "c": "3"},
        "nodePools": [{"name": "p", "nodeLabels": {"x": "2", "y": "3"}, "nodeTaints": ["other=v:NoSchedule"]}]}),
    );
    let expected = spec(json!({"authorizedIpRanges": ["1.1.1.1/32"], "tags": {"A": "1"},
        "nodePools": [{"name": "p", "nodeLabels": {"x": "2"}, "nodeTaints": []}]}));
    assert_eq!(without_foreign_entries(&desired, &azure), expected);
}

#[test]
fn remaining_entries_are_reported_for_set_keys() {
    let azure = spec(json!({"authorizedIpRanges": ["9.9.9.9/32", "1.1.1.1/32"], "tags": {"Team": "x"},
        "nodePools": [{"name": "p", "nodeLabels": {"y": "3"}, "nodeTaints": ["other=v:NoSchedule"]}]}));
    let remaining = |desired: Value, user_entries: &UserEntries| -> Vec<String> {
        let entries = remaining_entries(&spec(desired), &azure, user_entries);
        entries
            .into_iter()
            .map(|remaining| format!("{} {}", remaining.field, remaining.entries.join(",")))
            .collect()
    };
    assert_eq!(remaining(json!({}), &UserEntries::default()), [""; 0]);
    let all = json!({"authorizedIpRanges": ["1.1.1.1"], "tags": {},
        "nodePools": [{"name": "p", "nodeLabels": {}, "nodeTaints": []}, {"name": "new", "nodeLabels": {}}]});
    assert_eq!(
        remaining(all.clone(), &UserEntries::default()),
        [
            "aksConfig.authorizedIpRanges 9.9.9.9/32",
            "aksConfig.tags Team",
            "aksConfig.nodePools[0].nodeLabels y",
            "aksConfig.nodePools[0].nodeTaints other=v:NoSchedule",
        ]
    );
    let mut user_entries = UserEntries::default();
    user_entries.record(&azure, &AksConfig::default());
    assert_eq!(remaining(all, &user_entries), [""; 0]);
}
