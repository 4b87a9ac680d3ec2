//! Tests of the entries of imports.

use serde_json::{Value, json};

use super::*;
use crate::testing::{cases, config as spec};

/// Azure's state after these specifications, one after the other.
fn after(azure: Value, statements: &[Value]) -> AksConfig {
    let (mut azure, mut named) = (spec(azure), Named::default());
    for stated in statements {
        let stated = spec(stated.clone());
        named.note(&stated, &azure);
        // As stored.
        named = serde_json::from_value(json!(named)).unwrap();
        let wanted = merged(&stated, &azure, &named);
        if let Some(ranges) = wanted.authorized_ip_ranges {
            azure.authorized_ip_ranges = Some(ranges);
        }
        if let Some(tags) = wanted.tags {
            azure.tags = Some(tags);
        }
        for pool in wanted.node_pools.into_iter().flatten() {
            let Some(theirs) = azure.node_pools.iter_mut().flatten().find(|it| it.name == pool.name) else {
                azure.node_pools.get_or_insert_default().push(pool);
                continue;
            };
            theirs.node_labels = pool.node_labels.or(theirs.node_labels.take());
            theirs.node_taints = pool.node_taints.or(theirs.node_taints.take());
        }
        named.settle(&stated, &azure);
    }
    azure
}

#[test]
fn only_the_users_ranges_are_removed() {
    for (azure, statements, expected) in cases! {
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
        let statements = statements.as_array().unwrap().iter();
        let statements: Vec<Value> = statements.map(|list| json!({"authorizedIpRanges": list})).collect();
        let found = after(json!({"authorizedIpRanges": azure}), &statements).authorized_ip_ranges;
        assert_eq!(json!(found), expected, "{statements:?}");
    }
}

#[test]
fn only_the_users_tags_are_removed() {
    for (statements, expected) in cases! {
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
        let statements: Vec<Value> =
            statements.as_array().unwrap().iter().map(|tags| json!({"tags": tags})).collect();
        let found = after(json!({"tags": {"Team": "x"}}), &statements).tags;
        assert_eq!(json!(found), expected, "{statements:?}");
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
    let named = pool("a", json!({"x": "1", "y": "2"}), json!(["x=1:NoSchedule", "y=1:NoExecute"]));
    let fewer = pool("a", json!({"x": "1"}), json!(["x=2:NoSchedule"]));
    for (statements, labels, taints) in [
        (
            vec![named.clone()],
            json!({"theirs": "1", "x": "1", "y": "2"}),
            json!(["theirs=1:NoSchedule", "x=1:NoSchedule", "y=1:NoExecute"]),
        ),
        (
            vec![named.clone(), fewer],
            json!({"theirs": "1", "x": "1"}),
            json!(["theirs=1:NoSchedule", "x=2:NoSchedule"]),
        ),
        (
            vec![named.clone(), pool("a", json!({}), json!([]))],
            json!({"theirs": "1"}),
            json!(["theirs=1:NoSchedule"]),
        ),
        (
            vec![named, pool("a", Value::Null, Value::Null)],
            json!({"theirs": "1", "x": "1", "y": "2"}),
            json!(["theirs=1:NoSchedule", "x=1:NoSchedule", "y=1:NoExecute"]),
        ),
    ] {
        let statements: Vec<Value> =
            statements.into_iter().map(|pool| json!({"nodePools": [pool]})).collect();
        let found = after(azure.clone(), &statements);
        let pools = found.node_pools.unwrap();
        assert_eq!((json!(pools[0].node_labels), json!(pools[0].node_taints)), (labels, taints));
        assert_eq!(json!(pools[1].node_labels), json!({"x": "1"}), "another pool");
    }
}

#[test]
fn all_entries_of_a_created_pool_belong_to_the_user() {
    let made =
        json!({"nodePools": [{"name": "new", "nodeLabels": {"x": "1"}, "nodeTaints": ["x=1:NoSchedule"]}]});
    let empty = json!({"nodePools": [{"name": "new", "nodeLabels": {}, "nodeTaints": []}]});
    let pools = after(json!({}), &[made, empty]).node_pools.unwrap();
    assert_eq!((json!(pools[0].node_labels), json!(pools[0].node_taints)), (json!({}), json!([])));
}

#[test]
fn own_part_excludes_entries_of_others() {
    let stated = spec(json!({"authorizedIpRanges": ["1.1.1.1"], "tags": {"a": "1", "b": "2"},
        "nodePools": [{"name": "p", "nodeLabels": {"x": "1"}, "nodeTaints": ["k=v:NoSchedule"]}]}));
    let azure = spec(
        json!({"authorizedIpRanges": ["9.9.9.9/32", "1.1.1.1/32"], "tags": {"A": "1", "c": "3"},
        "nodePools": [{"name": "p", "nodeLabels": {"x": "2", "y": "3"}, "nodeTaints": ["other=v:NoSchedule"]}]}),
    );
    let expected = spec(json!({"authorizedIpRanges": ["1.1.1.1/32"], "tags": {"A": "1"},
        "nodePools": [{"name": "p", "nodeLabels": {"x": "2"}, "nodeTaints": []}]}));
    assert_eq!(own_part(&stated, &azure), expected);
}

#[test]
fn kept_entries_are_reported_for_stated_keys() {
    let azure = spec(json!({"authorizedIpRanges": ["9.9.9.9/32", "1.1.1.1/32"], "tags": {"Team": "x"},
        "nodePools": [{"name": "p", "nodeLabels": {"y": "3"}, "nodeTaints": ["other=v:NoSchedule"]}]}));
    let shown = |stated: Value, named: &Named| -> Vec<String> {
        let kept = kept(&spec(stated), &azure, named);
        kept.into_iter().map(|it| format!("{} {}", it.field, it.entries.join(","))).collect()
    };
    assert_eq!(shown(json!({}), &Named::default()), [""; 0]);
    let all = json!({"authorizedIpRanges": ["1.1.1.1"], "tags": {},
        "nodePools": [{"name": "p", "nodeLabels": {}, "nodeTaints": []}, {"name": "new", "nodeLabels": {}}]});
    assert_eq!(
        shown(all.clone(), &Named::default()),
        [
            "aksConfig.authorizedIpRanges 9.9.9.9/32",
            "aksConfig.tags Team",
            "aksConfig.nodePools[0].nodeLabels y",
            "aksConfig.nodePools[0].nodeTaints other=v:NoSchedule",
        ]
    );
    let mut named = Named::default();
    named.note(&azure, &AksConfig::default());
    assert_eq!(shown(all, &named), [""; 0]);
}
