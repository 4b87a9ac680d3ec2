//! JSON in the format of Go's `encoding/json`: compact, and with `<`, `>`, `&`, U+2028 and U+2029 escaped in strings
//! (`docs/contract/meta-actions.md#json-escaping`). The caller determines the order of keys.

use std::io::{self, Write};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::ser::Formatter;

/// `value` as compact JSON with Go's escapes, without a final newline.
///
/// Writing to memory cannot fail. A value that has no representation in JSON (a map with keys that are not strings) is a bug in
/// a type of this server; it is logged and becomes `null`.
pub fn to_bytes(value: &(impl Serialize + ?Sized)) -> Bytes {
    Bytes::from(serialize(value))
}

/// Like [`to_bytes`], with a final newline, as written by Go's `Encoder`.
pub fn to_bytes_line(value: &(impl Serialize + ?Sized)) -> Bytes {
    let mut out = serialize(value);
    out.push(b'\n');
    Bytes::from(out)
}

/// A response with [`to_bytes_line`] of `value` as the body.
pub fn respond(status: StatusCode, value: &(impl Serialize + ?Sized)) -> Response {
    let mut response = (status, Body::from(to_bytes_line(value))).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn serialize(value: &(impl Serialize + ?Sized)) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    if let Err(error) = value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, GoFormat)) {
        tracing::error!(%error, "cannot serialize a value as JSON");
        out.clear();
        out.extend_from_slice(b"null");
    }
    out
}

struct GoFormat;

impl Formatter for GoFormat {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        escape(out, fragment)
    }

    // In raw JSON, the five characters that Go escapes occur only in strings.
    fn write_raw_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        escape(out, fragment)
    }

    // Go writes whole numbers without `.0`, and without an exponent if they are below 1e21.
    fn write_f64<W: ?Sized + Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        if value.fract() == 0.0 && value.abs() < 1e21 {
            write!(out, "{value:.0}")
        } else {
            serde_json::ser::CompactFormatter.write_f64(out, value)
        }
    }
}

/// Writes `text`, which already has JSON's own escapes, with Go's additional ones.
fn escape<W: ?Sized + Write>(out: &mut W, text: &str) -> io::Result<()> {
    let mut rest = text.as_bytes();
    while let Some(index) = rest.iter().position(|byte| matches!(byte, b'<' | b'>' | b'&' | 0xE2)) {
        let (before, special) = rest.split_at(index);
        out.write_all(before)?;
        let (escaped, length): (&[u8], usize) = match special {
            [b'<', ..] => (b"\\u003c", 1),
            [b'>', ..] => (b"\\u003e", 1),
            [b'&', ..] => (b"\\u0026", 1),
            [0xE2, 0x80, 0xA8, ..] => (b"\\u2028", 3),
            [0xE2, 0x80, 0xA9, ..] => (b"\\u2029", 3),
            _ => (b"\xE2", 1),
        };
        out.write_all(escaped)?;
        rest = special.get(length..).unwrap_or_default();
    }
    out.write_all(rest)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn strings_are_escaped_as_in_go() {
        for (text, expected) in [
            ("<a href=\"x\">&</a>", r#""\u003ca href=\"x\"\u003e\u0026\u003c/a\u003e""#),
            ("\u{2028}\u{2029}\u{2027}\u{20ac}â", "\"\\u2028\\u2029\u{2027}\u{20ac}â\""),
            ("\n\r\t\u{8}\u{c}\u{1}\u{1f}\\", r#""\n\r\t\b\f\u0001\u001f\\""#),
            ("\u{7f}é/", "\"\u{7f}é/\""),
            ("", "\"\""),
        ] {
            assert_eq!(to_bytes(text), expected.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn keys_and_raw_json_are_escaped_too() {
        let map = HashMap::from([("a<b", RawValue::from_string(r#"{"x":"1&2"}"#.to_owned()).unwrap())]);
        assert_eq!(to_bytes(&map), r#"{"a\u003cb":{"x":"1\u00262"}}"#.as_bytes());
    }

    #[test]
    fn whole_numbers_have_no_fraction() {
        assert_eq!(to_bytes(&(1.0, -0.5, 2e16, 7)), "[1,-0.5,20000000000000000,7]".as_bytes());
    }

    #[test]
    fn to_bytes_line_ends_with_a_newline() {
        assert_eq!(to_bytes_line(&[0; 0]), "[]\n".as_bytes());
    }

    #[test]
    fn values_without_json_form_become_null() {
        assert_eq!(to_bytes(&HashMap::from([(vec![1], 2)])), "null".as_bytes());
    }

    proptest! {
        #[test]
        fn strings_round_trip_without_markup(text in any::<String>()) {
            let bytes = to_bytes(&text);
            prop_assert_eq!(serde_json::from_slice::<String>(&bytes).unwrap(), text);
            prop_assert!(!bytes.iter().any(|byte| matches!(byte, b'<' | b'>' | b'&')));
        }
    }
}
