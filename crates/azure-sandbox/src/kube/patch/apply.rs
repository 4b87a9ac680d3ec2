//! Server-side apply: somebody says all that he wants of an object; what he wanted before and does not any more goes,
//! and what others have he gets only by force.

use serde_json::{Map, Value};

use super::fields::Fields;
use super::owners::{self, Entry, Writer};
use super::shape::{List, is_whole, list};
use crate::kube::status::{Cause, StatusError};

/// Fields that others have: who, and which.
#[derive(Debug)]
pub(crate) struct Conflicts(Vec<(String, String)>);

impl Conflicts {
    pub(crate) fn refused(self) -> StatusError {
        let all = &self.0;
        let message = if let [(who, field)] = all.as_slice() {
            format!("Apply failed with 1 conflict: conflict with {who}: {field}")
        } else {
            let mut lines = Vec::new();
            let mut last = "";
            for (who, field) in all {
                if who != last {
                    lines.push(format!("conflicts with {who}:"));
                    last = who;
                }
                lines.push(format!("- {field}"));
            }
            format!("Apply failed with {} conflicts: {}", all.len(), lines.join("\n"))
        };
        let cause = |(who, field): &(String, String)| Cause {
            reason: "FieldManagerConflict",
            message: format!("conflict with {who}"),
            field: field.clone(),
        };
        StatusError::new(409, "Conflict", message).because(all.iter().map(cause).collect())
    }
}

/// What `live` becomes when `writer` applies `wanted`; without a `live`, what is made.
pub(crate) fn apply(
    live: Option<&Value>,
    wanted: &Value,
    writer: &Writer,
    force: bool,
) -> Result<Value, Conflicts> {
    let mut entries = live.map(owners::read).unwrap_or_default();
    let before = entries.iter().position(|entry| entry.is(writer, true)).map(|at| entries.remove(at));
    let owned = Fields::of(wanted);
    let differing = owned.shared(&Fields::changed(live, wanted));
    let mut conflicts = Vec::new();
    for entry in &mut entries {
        let taken = entry.fields.shared(&differing);
        if taken.is_empty() {
            continue;
        }
        if force {
            entry.fields = entry.fields.without(&taken);
        } else {
            let who = entry.described();
            conflicts.extend(taken.paths().into_iter().map(|path| (who.clone(), path)));
        }
    }
    if !conflicts.is_empty() {
        return Err(Conflicts(conflicts));
    }
    let mut result = live.cloned().unwrap_or_else(|| wanted.clone());
    if live.is_some() {
        merged(&mut result, wanted, &mut Vec::new());
    }
    let others = entries.iter().fold(Fields::default(), |all, entry| all.with(&entry.fields));
    if let Some(before) = &before {
        let kept = owned.clone().with(&others);
        before.fields.without(&kept).take_from(&mut result, &kept);
    }
    let there = Fields::of(&result);
    for entry in &mut entries {
        entry.fields = entry.fields.shared(&there);
    }
    let unchanged = before.as_ref().filter(|before| before.fields == owned && differing.is_empty());
    let time = unchanged.map_or_else(|| writer.time.clone(), |before| before.time.clone());
    entries.push(Entry::new(&Writer { time, ..writer.clone() }, true, owned));
    owners::write(&mut result, entries);
    Ok(result)
}

/// Puts what is wanted into `target`, as deep as the types go.
fn merged<'a>(target: &mut Value, wanted: &'a Value, path: &mut Vec<&'a str>) {
    match wanted {
        Value::Object(wanted) if !is_whole(path) => {
            if !target.is_object() {
                *target = Value::Object(Map::new());
            }
            for (key, value) in wanted {
                path.push(key);
                merged(&mut target[key], value, path);
                path.pop();
            }
        }
        Value::Array(wanted) if target.is_array() && list(path) != List::Atomic => {
            let Some(elements) = target.as_array_mut() else { return };
            for element in wanted {
                let found = match list(path) {
                    List::Keyed(keys) => elements.iter_mut().find(|own| {
                        keys.iter().all(|(key, default)| {
                            let of =
                                |value: &Value| value.get(*key).cloned().or_else(|| default.map(Value::from));
                            of(own) == of(element)
                        })
                    }),
                    _ => elements.iter_mut().find(|own| *own == element),
                };
                match found {
                    Some(own) => merged(own, element, path),
                    None => elements.push(element.clone()),
                }
            }
        }
        other => *target = other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn writer(manager: &str) -> Writer {
        Writer {
            manager: manager.to_owned(),
            api_version: "v1".to_owned(),
            subresource: String::new(),
            time: "2026-11-22T12:00:00Z".to_owned(),
        }
    }

    fn map(data: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data})
    }

    fn applied(live: Option<&Value>, manager: &str, data: Value) -> Result<Value, Conflicts> {
        apply(live, &map(data), &writer(manager), false)
    }

    #[test]
    fn what_is_not_wanted_any_more_goes_and_what_others_have_stays() {
        let first = applied(None, "a", json!({"x": "1", "y": "1"})).unwrap();
        let both = applied(Some(&first), "b", json!({"y": "1", "z": "1"})).unwrap();
        let left = applied(Some(&both), "a", json!({"x": "2"})).unwrap();
        assert_eq!(left["data"], json!({"x": "2", "y": "1", "z": "1"}));
        let left = applied(Some(&left), "b", json!({"z": "1"})).unwrap();
        assert_eq!(left["data"], json!({"x": "2", "z": "1"}));
        let same = applied(Some(&left), "b", json!({"z": "1"})).unwrap();
        assert_eq!(same, left, "nothing changes");
    }

    #[test]
    fn a_field_of_somebody_else_is_a_conflict_unless_it_is_the_same_or_forced() {
        let first = applied(None, "a", json!({"x": "1", "y": "1"})).unwrap();
        assert!(applied(Some(&first), "b", json!({"x": "1"})).is_ok(), "both have it");
        let refused = applied(Some(&first), "b", json!({"x": "2"})).unwrap_err().refused();
        assert_eq!(refused.message, "Apply failed with 1 conflict: conflict with \"a\": .data.x");
        assert_eq!(refused.details["causes"][0]["field"], ".data.x");
        let two = applied(Some(&first), "b", json!({"x": "2", "y": "2"})).unwrap_err().refused();
        let text = "Apply failed with 2 conflicts: conflicts with \"a\":\n- .data.x\n- .data.y";
        assert_eq!(two.message, text);
        let forced = apply(Some(&first), &map(json!({"x": "2"})), &writer("b"), true).unwrap();
        assert_eq!(forced["data"], json!({"x": "2", "y": "1"}));
        let back = applied(Some(&forced), "a", json!({"x": "1", "y": "1"})).unwrap_err().refused();
        assert!(back.message.contains("conflict with \"b\""), "{}", back.message);
    }

    #[test]
    fn who_wrote_in_another_way_has_his_fields_too() {
        let mut live = map(json!({"x": "1"}));
        owners::written(None, &mut live, &writer("kubectl-edit"));
        let refused = applied(Some(&live), "a", json!({"x": "2"})).unwrap_err().refused();
        assert_eq!(
            refused.message,
            "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using v1 at 2026-11-22T12:00:00Z: .data.x"
        );
        let mut changed = applied(None, "a", json!({"x": "1"})).unwrap();
        let before = changed.clone();
        changed["data"]["x"] = "2".into();
        owners::written(Some(&before), &mut changed, &writer("kubectl-edit"));
        assert!(applied(Some(&changed), "a", json!({"x": "3"})).is_err(), "it went to the one who edited it");
        changed["metadata"]["managedFields"] = json!([{}]);
        let before = changed.clone();
        owners::written(Some(&before), &mut changed, &writer("reset"));
        assert!(applied(Some(&changed), "a", json!({"x": "3"})).is_ok(), "nobody has it");
    }

    #[test]
    fn containers_are_merged_by_name_and_ports_by_number_and_protocol() {
        let pod = |containers: Value| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"},
            "spec": {"containers": containers}})
        };
        let first = pod(json!([{"name": "a", "image": "1", "ports": [{"containerPort": 80}]}]));
        let first = apply(None, &first, &writer("a"), false).unwrap();
        let second =
            pod(json!([{"name": "a", "ports": [{"containerPort": 80, "protocol": "UDP"}]}, {"name": "b"}]));
        let both = apply(Some(&first), &second, &writer("b"), false).unwrap();
        assert_eq!(
            both["spec"]["containers"],
            json!([
            {"name": "a", "image": "1", "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]},
            {"name": "b"}])
        );
        let gone = apply(Some(&both), &pod(json!([{"name": "b"}])), &writer("b"), false).unwrap();
        assert_eq!(
            gone["spec"]["containers"],
            json!([
            {"name": "a", "image": "1", "ports": [{"containerPort": 80}]}, {"name": "b"}])
        );
    }
}
