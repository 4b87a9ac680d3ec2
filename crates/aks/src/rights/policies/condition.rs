//! The condition of a policy rule, as far as the type of a resource decides it
//! (<https://learn.microsoft.com/azure/governance/policy/concepts/definition-structure-policy-rule>).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::arm::PolicyValue;

/// The values of parameters, by name in lower case.
pub(super) type Values = BTreeMap<String, PolicyValue>;

/// Whether a condition holds for every resource of a type, or for none; `None` if other properties decide.
pub(super) fn holds(condition: &Value, kind: &str, values: &Values) -> Option<bool> {
    let list = |key| condition.get(key).and_then(Value::as_array);
    if let Some(all) = list("allOf") {
        return all_hold(all, true, |part| holds(part, kind, values));
    }
    if let Some(any) = list("anyOf") {
        return all_hold(any, false, |part| holds(part, kind, values));
    }
    if let Some(inner) = condition.get("not") {
        return holds(inner, kind, values).map(|held| !held);
    }
    if is_about_type(condition) { compare(condition, kind, values) } else { None }
}

/// `neutral` if all parts have this value, and the opposite if one has that.
fn all_hold(parts: &[Value], neutral: bool, holds: impl Fn(&Value) -> Option<bool>) -> Option<bool> {
    let mut result = Some(neutral);
    for held in parts.iter().map(holds) {
        match held {
            Some(held) if held != neutral => return Some(!neutral),
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

fn is_about_type(condition: &Value) -> bool {
    let is = |key, text: &str| {
        condition.get(key).and_then(Value::as_str).is_some_and(|found| found.eq_ignore_ascii_case(text))
    };
    is("field", "type") || is("value", "[field('type')]")
}

fn compare(condition: &Value, kind: &str, values: &Values) -> Option<bool> {
    let operand = |key| condition.get(key).map(|operand| texts(operand, values));
    let is_equal = |texts: Vec<Option<&str>>| contains(&texts, |text| text.eq_ignore_ascii_case(kind));
    let is_like = |texts: Vec<Option<&str>>| contains(&texts, |pattern| is_like(kind, pattern));
    if let Some(texts) = operand("equals").or_else(|| operand("in")) {
        is_equal(texts)
    } else if let Some(texts) = operand("notEquals").or_else(|| operand("notIn")) {
        is_equal(texts).map(|held| !held)
    } else if let Some(texts) = operand("like") {
        is_like(texts)
    } else if let Some(texts) = operand("notLike") {
        is_like(texts).map(|held| !held)
    } else {
        match condition.get("exists")? {
            Value::Bool(exists) => Some(*exists),
            Value::String(exists) => exists.to_ascii_lowercase().parse().ok(),
            _ => None,
        }
    }
}

/// The texts of an operand; `None` for one that is not known, such as an expression.
fn texts<'a>(operand: &'a Value, values: &'a Values) -> Vec<Option<&'a str>> {
    match operand {
        Value::String(text) => match parameter(text).and_then(|name| values.get(&name)) {
            Some(PolicyValue::Text(text)) => vec![literal(text)],
            Some(PolicyValue::List(list)) => list.iter().map(|text| literal(text)).collect(),
            None => vec![literal(text)],
        },
        Value::Array(list) => list.iter().map(|text| text.as_str().and_then(literal)).collect(),
        _ => vec![None],
    }
}

fn contains(texts: &[Option<&str>], is_match: impl Fn(&str) -> bool) -> Option<bool> {
    if texts.iter().flatten().any(|text| is_match(text)) {
        return Some(true);
    }
    texts.iter().all(Option::is_some).then_some(false)
}

/// Whether a text matches a pattern, in which `*` is any text.
fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern) = (text.to_ascii_lowercase(), pattern.to_ascii_lowercase());
    match pattern.split_once('*') {
        Some((start, end)) => {
            text.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)) && !end.contains('*')
        }
        None => text == pattern,
    }
}

/// A text that is not an expression.
pub(super) fn literal(text: &str) -> Option<&str> {
    (!text.starts_with('[')).then_some(text)
}

/// The name in `[parameters('name')]`, in lower case.
pub(super) fn parameter(text: &str) -> Option<String> {
    let name = text.strip_prefix("[parameters('")?.strip_suffix("')]")?;
    Some(name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn condition_is_decided_by_the_type_if_possible() {
        let list =
            PolicyValue::List(vec!["Microsoft.Sql/servers".to_owned(), "Microsoft.Network/A".to_owned()]);
        let values = Values::from([
            ("types".to_owned(), list),
            ("type".to_owned(), PolicyValue::Text("microsoft.network/a".to_owned())),
        ]);
        let is = |text: &str| json!({"field": "type", "equals": text});
        let open = json!({"field": "location", "equals": "eastus"});
        for (condition, expected) in [
            (is("Microsoft.Network/A"), Some(true)),
            (is("Microsoft.Network/b"), Some(false)),
            (is("[parameters('type')]"), Some(true)),
            (is("[parameters('other')]"), None),
            (is("[concat('a', 'b')]"), None),
            (json!({"field": "TYPE", "notEquals": "microsoft.network/b"}), Some(true)),
            (json!({"field": "type", "in": ["x", "microsoft.network/a"]}), Some(true)),
            (json!({"field": "type", "in": ["x", "[parameters('other')]"]}), None),
            (json!({"field": "type", "in": "[parameters('types')]"}), Some(true)),
            (json!({"field": "type", "notIn": "[parameters('Types')]"}), Some(false)),
            (json!({"value": "[field('type')]", "in": "[parameters('types')]"}), Some(true)),
            (json!({"value": "[field('type')]", "exists": true}), Some(true)),
            (json!({"field": "type", "exists": "False"}), Some(false)),
            (json!({"field": "type", "like": "Microsoft.Network/*"}), Some(true)),
            (json!({"field": "type", "notLike": "Microsoft.Sql*"}), Some(true)),
            (json!({"field": "type", "like": "Microsoft.*/b"}), Some(false)),
            (json!({"field": "type", "contains": "Network"}), None),
            (open.clone(), None),
            (json!({"allOf": [is("microsoft.network/a"), open]}), None),
            (json!({"allOf": [is("microsoft.network/b"), open]}), Some(false)),
            (json!({"anyOf": [is("microsoft.network/a"), open]}), Some(true)),
            (json!({"anyOf": [is("microsoft.network/b"), open]}), None),
            (json!({"not": {"anyOf": [is("microsoft.network/b"), is("x")]}}), Some(true)),
            (json!({"not": open}), None),
        ] {
            assert_eq!(holds(&condition, "microsoft.network/a", &values), expected, "{condition}");
        }
    }
}
