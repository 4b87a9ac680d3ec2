//! Validates responses against the API document, with the part of JSON Schema that the document uses.

use serde_json::{Map, Value};

/// The API document.
pub(crate) struct Document(Value);

impl Document {
    pub(crate) fn new(document: Value) -> Self {
        Self(document)
    }

    /// The operations of a method, with their paths.
    pub(crate) fn operations<'a>(&'a self, method: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let paths = self.0["paths"].as_object().unwrap().iter();
        paths.filter_map(move |(path, methods)| Some((path.as_str(), methods.get(method)?)))
    }

    /// The problems of a response to an operation.
    pub(crate) fn problems(&self, path: &str, method: &str, status: u16, body: &Value) -> Vec<String> {
        let responses = &self.0["paths"][path][method]["responses"];
        let Some(response) = responses.get(status.to_string()) else {
            return vec![format!("{method} {path} does not document status {status}")];
        };
        let schema = &self.resolve(response)["content"]["application/json"]["schema"];
        if schema.is_null() {
            return vec![format!("{method} {path} has no schema for status {status}")];
        }
        let mut problems = Vec::new();
        self.compare(schema, body, "", &mut problems);
        problems
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(reference) => {
                let target = self.0.pointer(reference.strip_prefix('#').unwrap());
                self.resolve(target.unwrap_or_else(|| panic!("{reference} leads nowhere")))
            }
            None => value,
        }
    }

    fn compare(&self, schema: &Value, value: &Value, location: &str, problems: &mut Vec<String>) {
        let schema = self.resolve(schema);
        let Some(keywords) = schema.as_object() else { return };
        for part in keywords.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.compare(part, value, location, problems);
        }
        for choices in ["oneOf", "anyOf"].iter().filter_map(|name| keywords.get(*name)?.as_array()) {
            let fits = |schema: &Value| {
                let mut problems = Vec::new();
                self.compare(schema, value, location, &mut problems);
                problems.is_empty()
            };
            let matches = choices.iter().filter(|schema| fits(schema)).count();
            if matches == 0 || matches > 1 && keywords.contains_key("oneOf") {
                problems.push(format!("{location}: {matches} of the choices fit {value}"));
            }
        }
        if let Some(types) = keywords.get("type") {
            let types = types.as_array().map_or_else(|| vec![types], |types| types.iter().collect());
            if !types.iter().any(|name| has_type(value, name.as_str().unwrap())) {
                problems.push(format!("{location}: {value} is not of type {types:?}"));
                return;
            }
        }
        if let Some(allowed) = keywords.get("enum").and_then(Value::as_array)
            && !allowed.contains(value)
        {
            problems.push(format!("{location}: {value} is none of {allowed:?}"));
        }
        if let (Some(minimum), Some(number)) =
            (keywords.get("minimum").and_then(Value::as_f64), value.as_f64())
            && number < minimum
        {
            problems.push(format!("{location}: {number} is below {minimum}"));
        }
        let is_date = keywords.get("format").is_some_and(|format| format == "date-time");
        if let Some(text) = value.as_str().filter(|_| is_date)
            && time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).is_err()
        {
            problems.push(format!("{location}: {text:?} is not a date"));
        }
        match value {
            Value::Object(object) => self.compare_object(keywords, object, location, problems),
            Value::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    let location = format!("{location}[{index}]");
                    self.compare(keywords.get("items").unwrap_or(&Value::Null), element, &location, problems);
                }
            }
            _ => {}
        }
    }

    fn compare_object(
        &self,
        keywords: &Map<String, Value>,
        object: &Map<String, Value>,
        location: &str,
        problems: &mut Vec<String>,
    ) {
        for name in keywords.get("required").and_then(Value::as_array).into_iter().flatten() {
            if !object.contains_key(name.as_str().unwrap()) {
                problems.push(format!("{location}: {name} is missing"));
            }
        }
        let properties = keywords.get("properties").and_then(Value::as_object);
        let additional = keywords.get("additionalProperties");
        for (name, value) in object {
            let location = format!("{location}.{name}");
            match (properties.and_then(|properties| properties.get(name)), additional) {
                (Some(schema), _) => {
                    if self.resolve(schema)["writeOnly"] == true {
                        problems.push(format!("{location} must not be in a response"));
                    }
                    self.compare(schema, value, &location, problems);
                }
                (None, Some(Value::Object(_))) => {
                    self.compare(&additional.cloned().unwrap_or_default(), value, &location, problems);
                }
                (None, Some(Value::Bool(true))) => {}
                // Every property must be documented.
                (None, _) if properties.is_some() => {
                    problems.push(format!("{location} is not in the document"));
                }
                (None, _) => {}
            }
        }
    }
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        // Go clients reject 1.0 as an integer.
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        other => panic!("the document has a type {other}"),
    }
}

#[test]
fn problems_finds_differences_from_the_document() {
    let document = Document::new(serde_json::json!({
        "components": {
            "schemas": {
                "Thing": {
                    "type": "object",
                    "required": ["id"],
                    "properties": {
                        "at": {"type": "string", "format": "date-time"},
                        "id": {"type": "string"},
                        "kind": {"type": "string", "enum": ["a", "b"]},
                        "map": {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
                        "many": {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}},
                        "maybe": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Thing"}]},
                        "secret": {"type": "string", "writeOnly": true},
                        "size": {"type": "integer", "minimum": 0},
                    },
                },
            },
            "responses": {"Ok": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}}},
        },
        "paths": {"/things": {"get": {"responses": {"200": {"$ref": "#/components/responses/Ok"}}}}},
    }));
    let problems = |response: &str| {
        document.problems("/things", "get", 200, &serde_json::from_str(response).unwrap()).join("; ")
    };
    for good in [
        r#"{"id": "x"}"#,
        r#"{"id": "x", "at": "2026-11-22T12:00:00Z", "kind": "a", "map": {"a": null, "b": "c"}, "size": 0}"#,
        r#"{"id": "x", "many": [{"id": "y"}], "maybe": null}"#,
        r#"{"id": "x", "maybe": {"id": "y"}}"#,
    ] {
        assert_eq!(problems(good), "", "{good}");
    }
    for (bad, expected) in [
        ("{}", "\"id\" is missing"),
        (r#"{"id": 1}"#, ".id: 1 is not"),
        (r#"{"id": null}"#, ".id: null is not"),
        (r#"{"id": "x", "other": 1}"#, ".other is not in the document"),
        (r#"{"id": "x", "secret": "s"}"#, ".secret must not be"),
        (r#"{"id": "x", "size": 1.0}"#, ".size: 1.0 is not"),
        (r#"{"id": "x", "size": -1}"#, ".size: -1 is below"),
        (r#"{"id": "x", "kind": "c"}"#, ".kind: \"c\" is none of"),
        (r#"{"id": "x", "at": "today"}"#, ".at: \"today\" is not a date"),
        (r#"{"id": "x", "map": {"a": 1}}"#, ".map.a: 1 is not"),
        (r#"{"id": "x", "many": [{"id": "y"}, {}]}"#, ".many[1]: \"id\" is missing"),
        (r#"{"id": "x", "maybe": {}}"#, ".maybe: 0 of the choices fit"),
        ("[]", ": [] is not"),
    ] {
        assert!(problems(bad).contains(expected), "{bad}: {}", problems(bad));
    }
    assert!(document.problems("/things", "get", 404, &Value::Null)[0].contains("404"));
}
