//! JSON values as YAML that people can read and every parser takes: block style, every text in double quotes with JSON's
//! escapes, so that no content can become structure. Reading YAML is not here.

use serde_json::Value;

/// `value` as one YAML document, with a line break at the end.
pub fn document(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(_) | Value::Array(_) if !is_empty(value) => block(value, 0, &mut out),
        plain => {
            out.push_str(&plain.to_string());
            out.push('\n');
        }
    }
    out
}

/// An object or list that is not empty, each line indented by `depth` steps.
fn block(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                indent(depth, out);
                out.push_str(&key(name));
                out.push(':');
                behind_key(value, depth, out);
            }
        }
        Value::Array(list) => list.iter().for_each(|element| self::element(element, depth, out)),
        _ => {}
    }
}

fn behind_key(value: &Value, depth: usize, out: &mut String) {
    if is_plain(value) {
        out.push(' ');
        out.push_str(&value.to_string());
        out.push('\n');
    } else {
        out.push('\n');
        block(value, depth + 1, out);
    }
}

/// The dash takes the place of the last step of the indentation.
fn element(value: &Value, depth: usize, out: &mut String) {
    indent(depth, out);
    out.push_str("- ");
    if is_plain(value) {
        out.push_str(&value.to_string());
        out.push('\n');
    } else {
        let mut inner = String::new();
        block(value, depth + 1, &mut inner);
        out.push_str(inner.trim_start_matches(' '));
    }
}

/// Whether it stands on the line of its key or dash.
fn is_plain(value: &Value) -> bool {
    !matches!(value, Value::Object(_) | Value::Array(_)) || is_empty(value)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

fn indent(depth: usize, out: &mut String) {
    for _ in 0..depth {
        out.push_str("  ");
    }
}

/// Names as Kubernetes has them stand as they are, unless YAML reads a word or a number in them.
fn key(name: &str) -> String {
    const WORDS: [&str; 10] = ["true", "false", "yes", "no", "on", "off", "null", "nan", "inf", "y"];
    let tame = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/'))
        && !WORDS.iter().any(|word| name.eq_ignore_ascii_case(word))
        && !name.eq_ignore_ascii_case("n");
    if tame { name.to_owned() } else { Value::from(name).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_blocks_with_quoted_texts() {
        let value = json!({
            "kind": "Thing",
            "count": 3,
            "empty": {},
            "none": null,
            "app.kubernetes.io/name": "x",
            "no": "a: b\n- \"c\" # é",
            "list": ["a", {"k": "v", "l": [1, [2, 3], []]}, true],
        });
        let expected = r#"app.kubernetes.io/name: "x"
count: 3
empty: {}
kind: "Thing"
list:
  - "a"
  - k: "v"
    l:
      - 1
      - - 2
        - 3
      - []
  - true
"no": "a: b\n- \"c\" # é"
none: null
"#;
        assert_eq!(document(&value), expected);
        assert_eq!(document(&json!({})), "{}\n");
        assert_eq!(document(&json!("x")), "\"x\"\n");
    }
}
