//! The condition of a policy rule, as far as the type of a resource decides it
//! (<https://learn.microsoft.com/azure/governance/policy/concepts/definition-structure-policy-rule>).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::arm::PolicyValue;

/// The values of parameters, by name in lower case.
pub(super) type Values = BTreeMap<String, PolicyValue>;

/// Whether a condition holds for every resource of a type (true) or for none (false); `None` if other properties decide.
pub(super) fn holds(condition: &Value, resource_type: &str, values: &Values) -> Option<bool> {
    let list = |key| condition.get(key).and_then(Value::as_array);
    if let Some(all) = list("allOf") {
        return combine(all, true, |part| holds(part, resource_type, values));
    }
    if let Some(any) = list("anyOf") {
        return combine(any, false, |part| holds(part, resource_type, values));
    }
    if let Some(inner) = condition.get("not") {
        return holds(inner, resource_type, values).map(|held| !held);
    }
    if is_about_type(condition) { compare_type(condition, resource_type, values) } else { None }
}

/// Combines the parts of `allOf` (`neutral` is true) or `anyOf` (false): `!neutral` if any part is `!neutral`, `neutral` if all
/// parts are `neutral`, else `None`.
fn combine(parts: &[Value], neutral: bool, holds: impl Fn(&Value) -> Option<bool>) -> Option<bool> {
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
    let has = |key, expected: &str| {
        condition.get(key).and_then(Value::as_str).is_some_and(|value| value.eq_ignore_ascii_case(expected))
    };
    has("field", "type") || has("value", "[field('type')]")
}

fn compare_type(condition: &Value, resource_type: &str, values: &Values) -> Option<bool> {
    let operand = |key| condition.get(key).map(|operand| operand_strings(operand, values));
    let is_equal =
        |strings: Vec<Option<&str>>| any_matches(&strings, |text| text.eq_ignore_ascii_case(resource_type));
    let is_like =
        |strings: Vec<Option<&str>>| any_matches(&strings, |pattern| is_like(resource_type, pattern));
    if let Some(strings) = operand("equals").or_else(|| operand("in")) {
        is_equal(strings)
    } else if let Some(strings) = operand("notEquals").or_else(|| operand("notIn")) {
        is_equal(strings).map(|held| !held)
    } else if let Some(strings) = operand("like") {
        is_like(strings)
    } else if let Some(strings) = operand("notLike") {
        is_like(strings).map(|held| !held)
    } else {
        match condition.get("exists")? {
            Value::Bool(exists) => Some(*exists),
            Value::String(exists) => exists.to_ascii_lowercase().parse().ok(),
            _ => None,
        }
    }
}

/// The strings of an operand; `None` for an unknown one, such as an expression.
fn operand_strings<'a>(operand: &'a Value, values: &'a Values) -> Vec<Option<&'a str>> {
    match operand {
        Value::String(text) => match parse_parameter_reference(text).and_then(|name| values.get(&name)) {
            Some(PolicyValue::Text(text)) => vec![parse_literal(text)],
            Some(PolicyValue::List(list)) => list.iter().map(|text| parse_literal(text)).collect(),
            None => vec![parse_literal(text)],
        },
        Value::Array(list) => list.iter().map(|text| text.as_str().and_then(parse_literal)).collect(),
        _ => vec![None],
    }
}

/// Whether one of the strings matches; `None` if none matches and some are unknown.
fn any_matches(strings: &[Option<&str>], is_match: impl Fn(&str) -> bool) -> Option<bool> {
    if strings.iter().flatten().any(|text| is_match(text)) {
        return Some(true);
    }
    strings.iter().all(Option::is_some).then_some(false)
}

/// Whether a string matches a pattern, in which one `*` matches any string.
fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern) = (text.to_ascii_lowercase(), pattern.to_ascii_lowercase());
    match pattern.split_once('*') {
        Some((start, end)) => {
            text.strip_prefix(start).is_some_and(|tail| tail.ends_with(end)) && !end.contains('*')
        }
        None => text == pattern,
    }
}

/// The string, unless it is an expression.
pub(super) fn parse_literal(text: &str) -> Option<&str> {
    (!text.starts_with('[')).then_some(text)
}

/// The name in a reference `[parameters('name')]`, in lower case.
pub(super) fn parse_parameter_reference(text: &str) -> Option<String> {
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
        let is_type = |text: &str| json!({"field": "type", "equals": text});
        let undecided = json!({"field": "location", "equals": "eastus"});
        for (condition, expected) in [
            (is_type("Microsoft.Network/A"), Some(true)),
            (is_type("Microsoft.Network/b"), Some(false)),
            (is_type("[parameters('type')]"), Some(true)),
            (is_type("[parameters('other')]"), None),
            (is_type("[concat('a', 'b')]"), None),
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
            (undecided.clone(), None),
            (json!({"allOf": [is_type("microsoft.network/a"), undecided]}), None),
            (json!({"allOf": [is_type("microsoft.network/b"), undecided]}), Some(false)),
            (json!({"anyOf": [is_type("microsoft.network/a"), undecided]}), Some(true)),
            (json!({"anyOf": [is_type("microsoft.network/b"), undecided]}), None),
            (json!({"not": {"anyOf": [is_type("microsoft.network/b"), is_type("x")]}}), Some(true)),
            (json!({"not": undecided}), None),
        ] {
            assert_eq!(holds(&condition, "microsoft.network/a", &values), expected, "{condition}");
        }
    }
}
