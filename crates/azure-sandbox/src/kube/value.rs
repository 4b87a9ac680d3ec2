//! Access to fields of JSON objects that may be missing or of another type, timestamps, and generated names.

use std::fmt::Write as _;

use clock::Clock;
use serde_json::Value;
use time::macros::format_description;
use uuid::Uuid;

pub(crate) use crate::json::list;
pub(crate) use crate::skus::fnv1a as hash;

/// The value at `path`; null if it is missing.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(value, |value, key| &value[*key])
}

/// The string at a JSON pointer; empty if it is missing.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The integer at a JSON pointer.
pub(crate) fn number(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

/// The strings in the list at a JSON pointer.
pub(crate) fn texts<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a str> {
    list(value, pointer).iter().filter_map(Value::as_str)
}

/// The value at `path`. Missing objects on the path are created, other types replaced.
pub(crate) fn at_mut<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Value {
    path.iter().fold(value, |value, key| {
        if !value.is_object() {
            *value = Value::Null;
        }
        // Indexing null creates an object.
        &mut value[*key]
    })
}

pub(crate) fn set(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    *at_mut(value, path) = new.into();
}

/// Sets a field that is null or missing.
pub(crate) fn set_default(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    let field = at_mut(value, path);
    if field.is_null() {
        *field = new.into();
    }
}

/// Removes a key of the object at a JSON pointer.
pub(crate) fn remove(value: &mut Value, pointer: &str, key: &str) -> Option<Value> {
    value.pointer_mut(pointer)?.as_object_mut()?.remove(key)
}

/// The mutable elements of the list at a JSON pointer; empty if it is missing.
pub(crate) fn elements_mut<'a>(value: &'a mut Value, pointer: &str) -> std::slice::IterMut<'a, Value> {
    value.pointer_mut(pointer).and_then(Value::as_array_mut).map(|list| list.iter_mut()).unwrap_or_default()
}

/// The list at `path`. A missing list is created, another type replaced.
pub(crate) fn list_mut<'a>(value: &'a mut Value, path: &[&str]) -> Option<&'a mut Vec<Value>> {
    let field = at_mut(value, path);
    if !field.is_array() {
        *field = Value::Array(Vec::new());
    }
    field.as_array_mut()
}

/// The current time, as a number and as a timestamp in objects.
#[derive(Clone, Debug)]
pub(crate) struct Now {
    /// Milliseconds since 1970.
    pub(crate) ms: i64,
    /// With a resolution of seconds.
    pub(crate) text: String,
}

impl Now {
    pub(crate) fn from_clock(clock: &Clock) -> Self {
        Self::from_ms(clock.now_ms())
    }

    pub(crate) fn from_ms(ms: i64) -> Self {
        Self { ms, text: timestamp(ms) }
    }
}

/// `2026-11-22T12:00:00Z`.
pub(crate) fn timestamp(ms: i64) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    clock::from_ms(ms).format(format).unwrap_or_default()
}

/// `2026-11-22T12:00:00.000000Z`.
pub(crate) fn micro_timestamp(ms: i64) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    clock::from_ms(ms).format(format).unwrap_or_default()
}

/// Milliseconds since 1970 of an RFC 3339 timestamp.
pub(crate) fn parse_timestamp_ms(timestamp: &str) -> Option<i64> {
    let date = time::OffsetDateTime::parse(timestamp, &time::format_description::well_known::Rfc3339).ok()?;
    i64::try_from(date.unix_timestamp_nanos() / 1_000_000).ok()
}

/// The characters of generated names, without vowels, so that they form no words.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// `count` characters derived from `seed`.
pub(crate) fn letters(mut seed: u64, count: usize) -> String {
    let mut name = String::new();
    for _ in 0..count {
        let index = usize::try_from(seed % 27).unwrap_or_default();
        name.push(LETTERS.get(index).copied().unwrap_or(b'x').into());
        seed /= 27;
    }
    name
}

/// A random suffix of five characters.
pub(crate) fn random_suffix() -> String {
    let [high, low] = [0, 64].map(|shift| {
        // One half each of two random UUIDs.
        u64::try_from((Uuid::new_v4().as_u128() >> shift) & u128::from(u64::MAX)).unwrap_or_default()
    });
    letters(high ^ low, 5)
}

/// 64 hexadecimal digits, of two random UUIDs.
pub(crate) fn random_secret() -> String {
    let mut text = String::new();
    for id in [Uuid::new_v4(), Uuid::new_v4()] {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}", id.simple());
    }
    text
}

/// Access to the fields of a JSON object without panics.
pub(crate) trait FieldAccess {
    /// The value of a key; null if it is missing.
    fn field(&self, key: &str) -> &Value;
    /// The mutable value of a key; a value that is not an object is replaced by one.
    fn field_mut(&mut self, key: &str) -> &mut Value;
}

impl FieldAccess for Value {
    fn field(&self, key: &str) -> &Value {
        self.get(key).unwrap_or(&Value::Null)
    }

    fn field_mut(&mut self, key: &str) -> &mut Value {
        if !self.is_object() {
            *self = Value::Object(serde_json::Map::new());
        }
        match self {
            Self::Object(object) => object.entry(key).or_insert(Self::Null),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn missing_parents_are_created() {
        let mut value = json!({"a": {"b": 1}, "list": "no"});
        set(&mut value, &["a", "b", "c"], "deep");
        set_default(&mut value, &["a", "b", "c"], "kept out");
        set_default(&mut value, &["x", "y"], 2);
        list_mut(&mut value, &["list"]).unwrap().push(json!(1));
        assert_eq!(value, json!({"a": {"b": {"c": "deep"}}, "x": {"y": 2}, "list": [1]}));
        assert_eq!(remove(&mut value, "/a/b", "c"), Some(json!("deep")));
        assert_eq!(remove(&mut value, "/nothing", "c"), None);
    }

    #[test]
    fn timestamps_round_trip() {
        assert_eq!(timestamp(1_795_348_800_123), "2026-11-22T12:00:00Z");
        assert_eq!(micro_timestamp(1_795_348_800_123), "2026-11-22T12:00:00.123000Z");
        assert_eq!(parse_timestamp_ms("2026-11-22T12:00:00Z"), Some(1_795_348_800_000));
        assert_eq!(parse_timestamp_ms("yesterday"), None);
    }

    #[test]
    fn generated_names_are_unique_without_vowels() {
        let names: std::collections::HashSet<_> = (0..100).map(|_| random_suffix()).collect();
        assert!(names.len() > 95);
        assert!(names.iter().all(|name| name.len() == 5 && !name.contains(['a', 'e', 'i', 'o', 'u'])));
        assert_eq!((letters(hash("x"), 9).len(), random_secret().len()), (9, 64));
    }
}
