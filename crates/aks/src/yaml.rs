//! Writes JSON values as YAML that is readable and portable: block style, with every string in double quotes and JSON's
//! escapes, so that no content can become structure.

use serde_json::Value;

/// Writes `value` as one YAML document that ends with a line break.
pub fn document(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(_) | Value::Array(_) if !is_empty(value) => write_block(value, 0, &mut out),
        scalar_or_empty => {
            out.push_str(&scalar_or_empty.to_string());
            out.push('\n');
        }
    }
    out
}

/// Writes a non-empty object or list, each line indented by `depth` levels.
fn write_block(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                indent(depth, out);
                out.push_str(&quote_key_if_needed(key));
                out.push(':');
                write_after_key(value, depth, out);
            }
        }
        Value::Array(list) => list.iter().for_each(|element| write_element(element, depth, out)),
        _ => {}
    }
}

fn write_after_key(value: &Value, depth: usize, out: &mut String) {
    if is_inline(value) {
        out.push(' ');
        out.push_str(&value.to_string());
        out.push('\n');
    } else {
        out.push('\n');
        write_block(value, depth + 1, out);
    }
}

/// Writes an element of a list. `- ` has the width of one level, so the element's first line needs no further indentation.
fn write_element(value: &Value, depth: usize, out: &mut String) {
    indent(depth, out);
    out.push_str("- ");
    if is_inline(value) {
        out.push_str(&value.to_string());
        out.push('\n');
    } else {
        let mut inner = String::new();
        write_block(value, depth + 1, &mut inner);
        out.push_str(inner.trim_start_matches(' '));
    }
}

/// Whether a value is written on the line of its key or dash.
fn is_inline(value: &Value) -> bool {
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

/// Quotes a key unless it is a plain name, as Kubernetes uses them, that YAML parses as a string.
fn quote_key_if_needed(key: &str) -> String {
    const RESERVED: [&str; 10] = ["true", "false", "yes", "no", "on", "off", "null", "nan", "inf", "y"];
    let is_plain = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/'))
        && !RESERVED.iter().any(|word| key.eq_ignore_ascii_case(word))
        && !key.eq_ignore_ascii_case("n");
    if is_plain { key.to_owned() } else { Value::from(key).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_have_block_style_and_quoted_strings() {
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
