//! Norman's lenient conversion of request bodies by the fields of a schema
//! (`docs/contract/norman-api.md#input-conversion`).
//!
//! Bodies are JSON objects. Their size is limited by their reader, their depth by the parser (128).

use aks::input;
use serde_json::{Map, Number, Value};

use super::schemas::{Field, Kind, Schema};
use crate::service::Invalid;

/// A JSON object, its keys in alphabetical order.
pub type Object = Map<String, Value>;

/// The use of the input, which determines the accepted fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputFor {
    /// A new object.
    Create,
    /// An update of an existing object; required fields may be absent.
    Update,
}

/// Parses a body. Anything except a single JSON object is `InvalidBodyContent`.
pub fn parse(body: &[u8]) -> Result<Object, Invalid> {
    let invalid_body = |reason: &str| {
        Invalid::new("InvalidBodyContent", format!("Failed to parse body: {reason}; send one JSON object"))
    };
    let body = input::strip_bom(body)
        .map_err(|utf16| Invalid::new("InvalidBodyContent", format!("Failed to parse body: {utf16}")))?;
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(invalid_body(&format!("it is {}", type_name(&other)))),
        Err(_) if body.is_empty() => Err(invalid_body("it is empty")),
        Err(error) => Err(invalid_body(&error.to_string())),
    }
}

/// Extracts the fields of `schema` that `input_for` accepts, converted to their kinds. `null` is preserved in an update, where
/// it clears the field; in a new object it is the same as an absent field.
///
/// # Errors
/// `InvalidFormat`, `InvalidCharacters`, `NotNullable`, `MissingRequired`, each with the field.
pub fn convert(schema: &Schema, mut body: Object, input_for: InputFor) -> Result<Object, Invalid> {
    let mut converted = Object::new();
    for field in schema.fields {
        let is_accepted = match input_for {
            InputFor::Create => field.create,
            InputFor::Update => field.update,
        };
        if !is_accepted {
            continue;
        }
        match body.remove(field.name) {
            None if field.required && input_for == InputFor::Create => {
                // Rancher's message is empty in this case.
                let message = format!("set {}; it is required", field.name);
                return Err(Invalid::field("MissingRequired", field.name, message));
            }
            None => {}
            Some(Value::Null) if input_for == InputFor::Create && !field.required => {}
            Some(value) => {
                converted.insert(field.name.to_owned(), convert_value(field, &field.kind, value, input_for)?);
            }
        }
    }
    Ok(converted)
}

/// A key that is not in its schema; [`convert`] drops it.
#[derive(Debug)]
pub struct UnknownKey<'a> {
    /// The path of the object that has the key.
    pub parent: String,
    /// The key as the caller wrote it.
    pub key: &'a str,
    /// The schema of the object.
    pub schema: &'static Schema,
}

/// The keys of an object and its nested objects that are not in their schemas; `path` is the path of the object. Ignores keys
/// whose value is `null`, and keys with a leading underscore, which clients use internally.
pub fn unknown_keys<'a>(schema: &'static Schema, object: &'a Object, path: &str) -> Vec<UnknownKey<'a>> {
    let mut unknown = Vec::new();
    for (key, value) in object.iter().filter(|(key, value)| !value.is_null() && !key.starts_with('_')) {
        let Some(field) = schema.field(key) else {
            unknown.push(UnknownKey { parent: path.to_owned(), key, schema });
            continue;
        };
        let path = format!("{path}.{key}");
        match (&field.kind, value) {
            (Kind::Object(schema), Value::Object(object)) => {
                unknown.extend(unknown_keys(schema, object, &path));
            }
            (Kind::List(Kind::Object(schema)), Value::Array(values)) => {
                let objects = values.iter().map(Value::as_object).enumerate();
                for (index, object) in objects.filter_map(|(index, object)| Some((index, object?))) {
                    unknown.extend(unknown_keys(schema, object, &format!("{path}[{index}]")));
                }
            }
            _ => {}
        }
    }
    unknown
}

/// Removes a string from converted input; `None` if it is absent or empty, because clients send `""` for unset fields.
pub fn take_text(input: &mut Object, key: &str) -> Option<String> {
    match input.remove(key) {
        Some(Value::String(text)) => Some(text).filter(|text| !text.is_empty()),
        _ => None,
    }
}

fn convert_value(field: &Field, kind: &Kind, value: Value, input_for: InputFor) -> Result<Value, Invalid> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    match kind {
        Kind::Text | Kind::Password | Kind::Date => convert_text(field, value).map(Value::String),
        Kind::Int => convert_int(field, value).map(Value::Number),
        Kind::Bool => convert_bool(field, value).map(Value::Bool),
        Kind::Json => Ok(value),
        Kind::TextMap => convert_text_map(field, value).map(Value::Object),
        Kind::List(element) => convert_list(field, element, value, input_for).map(Value::Array),
        Kind::Object(schema) => match unwrap_single(value) {
            Value::Object(object) => convert(schema, object, input_for).map(Value::Object),
            other => Err(wrong_type(field, "an object", &other)),
        },
    }
}

fn convert_text(field: &Field, value: Value) -> Result<String, Invalid> {
    match unwrap_single(value) {
        // PostgreSQL cannot store NUL, and no valid value contains it.
        Value::String(text) if text.contains('\0') => {
            let message = format!("{} must not contain the character NUL", field.name);
            Err(Invalid::field("InvalidCharacters", field.name, message))
        }
        Value::String(text) => Ok(trim(text)),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Null => Ok(String::new()),
        other => Err(wrong_type(field, "a string", &other)),
    }
}

fn convert_int(field: &Field, value: Value) -> Result<Number, Invalid> {
    let value = unwrap_single(value);
    let number = match &value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(truncate)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| text.parse().ok().and_then(truncate))
        }
        _ => None,
    };
    number.map(Number::from).ok_or_else(|| wrong_type(field, "a whole number", &value))
}

/// Truncates a fraction; `None` if the result is not a 64-bit number.
#[expect(clippy::cast_possible_truncation, reason = "truncation is intended, and the range is checked first")]
fn truncate(number: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0; // 2^63
    (-LIMIT..LIMIT).contains(&number).then_some(number as i64)
}

fn convert_bool(field: &Field, value: Value) -> Result<bool, Invalid> {
    match unwrap_single(value) {
        Value::Bool(value) => Ok(value),
        Value::String(text) => {
            let text = text.trim();
            Ok(["true", "t", "yes", "y"].iter().any(|word| word.eq_ignore_ascii_case(text)))
        }
        Value::Number(_) | Value::Null => Ok(false),
        other => Err(wrong_type(field, "true or false", &other)),
    }
}

/// Drops keys with the value `null`, which Kubernetes does not allow in labels and tags.
fn convert_text_map(field: &Field, value: Value) -> Result<Object, Invalid> {
    match unwrap_single(value) {
        Value::Object(object) => object
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| {
                Ok((convert_text(field, Value::String(key))?, Value::String(convert_text(field, value)?)))
            })
            .collect(),
        other => Err(wrong_type(field, "an object of strings", &other)),
    }
}

fn convert_list(
    field: &Field,
    element: &Kind,
    value: Value,
    input_for: InputFor,
) -> Result<Vec<Value>, Invalid> {
    let Value::Array(values) = value else {
        return Err(wrong_type(field, "a list", &value));
    };
    values
        .into_iter()
        .map(|value| match value {
            Value::Null => {
                let message =
                    format!("Individual array values can not be null: leave null out of {}", field.name);
                Err(Invalid::field("NotNullable", field.name, message))
            }
            value => convert_value(field, element, value, input_for),
        })
        .collect()
}

/// The element of a list with one element, as in Norman; any other value unchanged.
fn unwrap_single(value: Value) -> Value {
    match value {
        Value::Array(mut values) if values.len() == 1 => values.pop().unwrap_or(Value::Null),
        value => value,
    }
}

/// Trims whitespace and invisible characters.
fn trim(text: String) -> String {
    let trimmed = input::trim(&text);
    if trimmed.len() == text.len() { text } else { trimmed.to_owned() }
}

fn wrong_type(field: &Field, expected: &str, actual: &Value) -> Invalid {
    Invalid::field(
        "InvalidFormat",
        field.name,
        format!("{} must be {expected}, but it is {}", field.name, type_name(actual)),
    )
}

/// The type of a value, for messages. They omit the value itself, which may be a secret in the wrong field.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    static INNER: Schema = Schema::nested(
        "inner",
        "Inner",
        "",
        "inners",
        &[Field::new("count", Kind::Int, ""), Field::new("type", Kind::Text, "").read_only()],
    );
    static OUTER: Schema = Schema::nested(
        "outer",
        "Outer",
        "",
        "outers",
        &[
            Field::new("any", Kind::Json, ""),
            Field::new("fixed", Kind::Text, "").immutable(),
            Field::new("inner", Kind::Object(&INNER), ""),
            Field::new("inners", Kind::List(&Kind::Object(&INNER)), ""),
            Field::new("map", Kind::TextMap, ""),
            Field::new("name", Kind::Text, "").required(),
            Field::new("secret", Kind::Password, ""),
            Field::new("seen", Kind::Text, "").read_only(),
            Field::new("flag", Kind::Bool, ""),
            Field::new("words", Kind::List(&Kind::Text), ""),
        ],
    );

    fn convert_outer(body: Value, input_for: InputFor) -> Result<Value, Invalid> {
        convert(&OUTER, body.as_object().unwrap().clone(), input_for).map(Value::Object)
    }

    fn convert_update(body: Value) -> Value {
        convert_outer(body, InputFor::Update).unwrap()
    }

    #[test]
    fn body_must_be_one_object() {
        assert_eq!(parse(b" {\"a\":1} ").unwrap().len(), 1);
        assert_eq!(parse(b"\xef\xbb\xbf{\"a\":1}").unwrap().len(), 1, "after a byte order mark");
        for body in [&b"\xff\xfe{\0}\0"[..], b"\xfe\xff\0{\0}", b"{\0}\0"] {
            let error = parse(body).unwrap_err();
            assert_eq!(error.code, "InvalidBodyContent");
            assert!(
                error.message.starts_with("Failed to parse body: the body is UTF-16; "),
                "{}",
                error.message
            );
        }
        for (body, reason) in [
            (&b""[..], "it is empty"),
            (b"null", "it is null"),
            (b"[]", "it is a list"),
            (b"\"x\"", "it is a string"),
            (b"{\"a\":", "EOF while parsing a value at line 1 column 5"),
            (b"{} x", "trailing characters at line 1 column 4"),
            (b"\xff", "expected value at line 1 column 1"),
        ] {
            let error = parse(body).unwrap_err();
            assert_eq!(error.code, "InvalidBodyContent");
            assert_eq!(error.message, format!("Failed to parse body: {reason}; send one JSON object"));
        }
        let deep = "[".repeat(1_000) + &"]".repeat(1_000);
        assert!(parse(deep.as_bytes()).unwrap_err().message.contains("recursion limit"));
    }

    #[test]
    fn values_are_converted_to_their_kind() {
        for (input, expected) in [
            (json!({"name": "  a b \n"}), json!({"name": "a b"})),
            (json!({"name": "\u{feff}a b\u{a0}\u{200b}"}), json!({"name": "a b"})),
            (json!({"name": 1.5}), json!({"name": "1.5"})),
            (json!({"name": true}), json!({"name": "true"})),
            (json!({"name": ["x"]}), json!({"name": "x"})),
            (json!({"inner": {"count": "12"}}), json!({"inner": {"count": 12}})),
            (json!({"inner": {"count": " -3.9 "}}), json!({"inner": {"count": -3}})),
            (json!({"inner": {"count": 7.0}}), json!({"inner": {"count": 7}})),
            (json!({"inner": {"count": [4]}}), json!({"inner": {"count": 4}})),
            (json!({"flag": "YES"}), json!({"flag": true})),
            (json!({"flag": "t "}), json!({"flag": true})),
            (json!({"flag": "on"}), json!({"flag": false})),
            (json!({"flag": 1}), json!({"flag": false})),
            (json!({"map": {"a": 1, "b": " x ", "c": null}}), json!({"map": {"a": "1", "b": "x"}})),
            (json!({"words": ["a", 1, false]}), json!({"words": ["a", "1", "false"]})),
            (json!({"words": []}), json!({"words": []})),
            (json!({"inners": [{"count": "1", "_id": 3}]}), json!({"inners": [{"count": 1}]})),
            (json!({"any": {"x": [null]}}), json!({"any": {"x": [null]}})),
        ] {
            assert_eq!(convert_update(input.clone()), expected, "{input}");
        }
    }

    #[test]
    fn errors_name_the_field_but_not_the_value() {
        for (input, field) in [
            (json!({"inner": {"count": "many-secret"}}), "count"),
            (json!({"inner": {"count": true}}), "count"),
            (json!({"inner": {"count": 1e300}}), "count"),
            (json!({"inner": "x-secret"}), "inner"),
            (json!({"inner": [1, 2]}), "inner"),
            (json!({"map": "x-secret"}), "map"),
            (json!({"map": {"a": {"b": "x-secret"}}}), "map"),
            (json!({"name": {"x": "x-secret"}}), "name"),
            (json!({"name": ["a", "b"]}), "name"),
            (json!({"words": "x-secret"}), "words"),
            (json!({"flag": {}}), "flag"),
            (json!({"inners": ["x-secret"]}), "inners"),
        ] {
            let error = convert_outer(input.clone(), InputFor::Update).unwrap_err();
            assert_eq!((error.code, error.field.as_deref()), ("InvalidFormat", Some(field)), "{input}");
            assert!(!error.message.contains("secret"), "{}", error.message);
        }
    }

    #[test]
    fn nul_is_rejected_everywhere() {
        for input in [json!({"name": "a\0"}), json!({"map": {"\0": "x"}}), json!({"words": ["\0"]})] {
            assert_eq!(convert_outer(input, InputFor::Update).unwrap_err().code, "InvalidCharacters");
        }
    }

    #[test]
    fn null_in_a_list_is_rejected() {
        for (input, key) in [(json!({"words": ["a", null]}), "words"), (json!({"inners": [null]}), "inners")]
        {
            let error = convert_outer(input, InputFor::Update).unwrap_err();
            assert_eq!(error.code, "NotNullable");
            assert_eq!(error.field.as_deref(), Some(key));
            assert_eq!(
                error.message,
                format!("Individual array values can not be null: leave null out of {key}")
            );
        }
    }

    #[test]
    fn null_is_preserved_in_updates_and_dropped_in_creates() {
        let input = json!({"name": "n", "flag": null, "inner": null, "words": null});
        assert_eq!(convert_update(input.clone()), input);
        assert_eq!(convert_outer(input, InputFor::Create).unwrap(), json!({"name": "n"}));
    }

    #[test]
    fn read_only_and_unknown_fields_are_dropped() {
        let input = json!({"name": "n", "fixed": "f", "seen": "s", "unknown": 1, "inner": {"type": "t"}});
        assert_eq!(
            convert_outer(input.clone(), InputFor::Create).unwrap(),
            json!({"name": "n", "fixed": "f", "inner": {}})
        );
        assert_eq!(convert_update(input), json!({"name": "n", "inner": {}}));
    }

    #[test]
    fn missing_required_field_is_rejected_only_in_creates() {
        let error = convert_outer(json!({}), InputFor::Create).unwrap_err();
        assert_eq!((error.code, error.field.as_deref()), ("MissingRequired", Some("name")));
        assert_eq!(error.message, "set name; it is required");
        assert_eq!(convert_update(json!({})), json!({}));
    }

    #[test]
    fn unknown_keys_are_found_at_any_depth() {
        let input = json!({
            "name": "n", "nmae": "x", "seen": 1, "nothing": null, "_id": 7, "map": {"any": "key"}, "any": {"x": 1},
            "inner": {"cuont": 1, "count": 2}, "inners": [{"count": 1}, {"Count": 1}, "text"],
        });
        let object = input.as_object().unwrap();
        let unknown = unknown_keys(&OUTER, object, "outer");
        let unknown: Vec<_> =
            unknown.iter().map(|key| (key.parent.as_str(), key.key, key.schema.id)).collect();
        assert_eq!(
            unknown,
            [
                ("outer.inner", "cuont", INNER.id),
                ("outer.inners[1]", "Count", INNER.id),
                ("outer", "nmae", OUTER.id)
            ]
        );
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let key = prop_oneof!["name|map|words|inner|inners|flag|count|any|fixed", ".{0,4}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..4).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn conversion_is_idempotent(body in any_json()) {
            if let Value::Object(object) = body
                && let Ok(once) = convert(&OUTER, object, InputFor::Update)
            {
                prop_assert!(once.keys().all(|key| OUTER.field(key).is_some_and(|field| field.update)));
                let twice = convert(&OUTER, once.clone(), InputFor::Update);
                prop_assert_eq!(twice, Ok(once));
            }
        }
    }
}
