//! Decodes Kubernetes' protobuf to JSON. kubectl sends protobuf for objects that it creates itself, for example in
//! `kubectl create`; responses are always JSON.
//!
//! The names of the fields are in `data/kubernetes-fields.txt`, taken from the tags of Kubernetes' Go types.

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::value::{micro_timestamp, timestamp};

pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// The prefix of every body.
const MAGIC: &[u8] = b"k8s\0";
const FIELDS: &str = include_str!("../data/kubernetes-fields.txt");

/// The fields of each message: by the name of the message, then by field number.
static MESSAGES: LazyLock<HashMap<&str, HashMap<u64, Field>>> = LazyLock::new(|| {
    FIELDS.lines().filter(|line| !line.starts_with('#')).filter_map(parse_message).collect()
});

#[derive(Clone, Copy, Debug)]
struct Field {
    /// The name in JSON; `<` if the fields of the value belong to the enclosing object (`inline` in Go).
    name: &'static str,
    cardinality: Cardinality,
    /// Whether the field is a pointer in Go: JSON contains it even if the value is zero or empty.
    optional: bool,
    /// The type: `s` (string), `b` (boolean), `i` (integer), `y` (bytes), or the name of a message.
    value_type: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cardinality {
    One,
    List,
    Map,
}

fn parse_message(line: &'static str) -> Option<(&'static str, HashMap<u64, Field>)> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let fields = words.filter_map(|word| {
        let mut parts = word.split(':');
        let (name, number, value_type) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        let (cardinality, value_type) = match (value_type.strip_prefix("[]"), value_type.strip_prefix("{}")) {
            (Some(value_type), _) => (Cardinality::List, value_type),
            (_, Some(value_type)) => (Cardinality::Map, value_type),
            _ => (Cardinality::One, value_type),
        };
        let optional = value_type.starts_with('*');
        Some((number, Field { name, cardinality, optional, value_type: value_type.trim_start_matches('*') }))
    });
    Some((name, fields.collect()))
}

/// Parses a body: an envelope with the type (field 1) and the object (field 2).
pub(crate) fn decode(body: &[u8]) -> Result<Value, String> {
    let envelope =
        body.strip_prefix(MAGIC).ok_or("the body does not start with the prefix of Kubernetes' protobuf")?;
    let truncated = || "the body ends too early".to_owned();
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for (number, value) in decode_fields(envelope).ok_or_else(truncated)? {
        match (number, value) {
            (1, Wire::Bytes(meta)) => {
                for (number, value) in decode_fields(meta).ok_or_else(truncated)? {
                    match number {
                        1 => api_version = value.text(),
                        2 => kind = value.text(),
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let fields =
        MESSAGES.get(kind.as_str()).ok_or_else(|| format!("the message {kind:?} is not supported"))?;
    let mut object = decode_message(fields, raw).ok_or_else(truncated)?;
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(object))
}

/// A value in the wire format.
#[derive(Clone, Copy, Debug)]
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl Wire<'_> {
    fn text(self) -> String {
        match self {
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Number(number) => number.to_string(),
        }
    }

    fn number(self) -> i64 {
        match self {
            Self::Number(number) => number.cast_signed(),
            Self::Bytes(_) => 0,
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(_) => &[],
        }
    }
}

/// The field numbers and values of a message; `None` if it is malformed.
fn decode_fields(mut bytes: &[u8]) -> Option<Vec<(u64, Wire<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = read_varint(&mut bytes)?;
        let value = match tag & 7 {
            0 => Wire::Number(read_varint(&mut bytes)?),
            1 => Wire::Bytes(take(&mut bytes, 8)?),
            2 => {
                let length = usize::try_from(read_varint(&mut bytes)?).ok()?;
                Wire::Bytes(take(&mut bytes, length)?)
            }
            5 => Wire::Bytes(take(&mut bytes, 4)?),
            _ => return None,
        };
        fields.push((tag >> 3, value));
    }
    Some(fields)
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *take(bytes, 1)?.first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn decode_message(fields: &HashMap<u64, Field>, bytes: &[u8]) -> Option<Map<String, Value>> {
    let mut object = Map::new();
    for (number, wire) in decode_fields(bytes)? {
        // Unknown fields are ignored, as by an older server.
        let Some(field) = fields.get(&number) else { continue };
        if field.cardinality == Cardinality::Map {
            let (mut key, mut inner) = (String::new(), Wire::Bytes(&[]));
            for (number, value) in decode_fields(wire.bytes())? {
                if number == 1 {
                    key = value.text();
                } else {
                    inner = value;
                }
            }
            let inner = decode_value(field.value_type, inner)?;
            super::value::set(object.entry(field.name).or_insert(json!({})), &[&key], inner);
            continue;
        }
        let value = decode_value(field.value_type, wire)?;
        match (field.cardinality, field.name, value) {
            (Cardinality::List, name, value) => {
                if let Value::Array(list) = object.entry(name).or_insert(json!([])) {
                    list.push(value);
                }
            }
            (_, "<", Value::Object(inner)) => object.extend(inner),
            (_, name, value) if field.optional || !is_zero(&value) => {
                object.insert(name.to_owned(), value);
            }
            _ => {}
        }
    }
    Some(object)
}

/// Whether a value is zero or empty in Go, which also sends unset fields.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
    }
}

fn decode_value(value_type: &str, wire: Wire<'_>) -> Option<Value> {
    let inner = |field_number: u64| -> Option<Wire<'_>> {
        let Wire::Bytes(bytes) = wire else { return None };
        decode_fields(bytes)?
            .into_iter()
            .rev()
            .find(|(number, _)| *number == field_number)
            .map(|(_, value)| value)
    };
    let number = |field_number: u64| inner(field_number).map(Wire::number).unwrap_or_default();
    let ms = || number(1) * 1_000 + number(2) / 1_000_000;
    Some(match value_type {
        "s" => wire.text().into(),
        "b" => (wire.number() != 0).into(),
        "i" => wire.number().into(),
        "y" => BASE64_STANDARD.encode(wire.bytes()).into(),
        // An unset time is zero.
        "Time" | "MicroTime" if ms() == 0 => Value::Null,
        "Time" => timestamp(ms()).into(),
        "MicroTime" => micro_timestamp(ms()).into(),
        "Quantity" => inner(1).map(Wire::text).unwrap_or_default().into(),
        "IntOrString" if number(1) == 0 => number(2).into(),
        "IntOrString" => inner(3).map(Wire::text).unwrap_or_default().into(),
        "FieldsV1" => serde_json::from_str(&inner(1).map(Wire::text).unwrap_or_default()).ok()?,
        "ExtraValue" => decode_fields(wire.bytes())?.into_iter().map(|(_, value)| value.text()).collect(),
        _ => Value::Object(decode_message(MESSAGES.get(value_type)?, wire.bytes())?),
    })
}

#[cfg(test)]
mod tests {
    use super::super::resources;
    use super::*;

    /// A length-delimited field.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut field = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        field.extend_from_slice(bytes);
        field
    }

    fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &meta), field(2, raw), field(3, b""), field(4, b"")].concat()
    }

    #[test]
    fn every_referenced_message_exists() {
        let special =
            ["s", "b", "i", "y", "Time", "MicroTime", "Quantity", "IntOrString", "FieldsV1", "ExtraValue"];
        for (name, fields) in MESSAGES.iter() {
            for field in fields.values() {
                let is_known = special.contains(&field.value_type) || MESSAGES.contains_key(field.value_type);
                assert!(is_known, "{name}.{}: {}", field.name, field.value_type);
            }
        }
        for resource in resources::ALL {
            assert!(MESSAGES.contains_key(resource.kind), "{}", resource.kind);
        }
    }

    #[test]
    fn unset_fields_are_omitted_unless_optional() {
        // Zero replicas (a pointer in Go), paused unset, one label.
        let labels = [field(1, b"a"), field(2, b"b")].concat();
        let meta = [field(1, b"web"), field(2, b""), field(11, &labels), vec![7 << 3, 0]].concat();
        let surge = field(2, &[1 << 3, 1, 2 << 3, 0, 3 << 3 | 2, 3, b'2', b'5', b'%']);
        let strategy = [field(1, b"RollingUpdate"), field(2, &surge)].concat();
        let spec = [vec![1 << 3, 0], field(4, &strategy), vec![7 << 3, 0]].concat();
        let raw = [field(1, &meta), field(2, &spec), field(3, b"")].concat();
        assert_eq!(
            decode(&body("apps/v1", "Deployment", &raw)).unwrap(),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"a": "b"}},
                "spec": {"replicas": 0, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}}}})
        );
    }

    #[test]
    fn secrets_volumes_and_times_are_decoded() {
        let data = [field(1, b"k"), field(2, b"v")].concat();
        let meta = [field(1, b"x"), field(8, &[1 << 3, 1])].concat();
        let secret = decode(&body("v1", "Secret", &[field(1, &meta), field(2, &data)].concat())).unwrap();
        assert_eq!(secret["data"], json!({"k": "dg=="}));
        assert_eq!(secret["metadata"]["creationTimestamp"], "1970-01-01T00:00:01Z");
        let volume = [field(1, b"v"), field(2, &field(2, b""))].concat();
        let pod = decode(&body("v1", "Pod", &field(2, &field(1, &volume)))).unwrap();
        assert_eq!(pod["spec"]["volumes"], json!([{"name": "v", "emptyDir": {}}]));
    }

    #[test]
    fn truncated_or_unknown_messages_are_rejected() {
        let message = body("v1", "Secret", &field(3, b"type"));
        // Cuts within the first and the second field, but not between them.
        for end in (MAGIC.len() + 1..18).chain(19..26) {
            assert!(decode(&message[..end]).is_err(), "{end}");
        }
        assert!(decode(&message).is_ok());
        assert!(decode(b"{}").is_err());
        assert!(decode(&body("v1", "Unheard", b"")).is_err());
    }
}
