//! Escapes characters in values of log lines that could end a line, control a terminal or change the direction of text:
//! as in Rust literals (`\n`, `\u{1b}`), or as in JSON.

use std::fmt::{self, Write};
use std::io;

use serde_json::ser::Formatter;

/// Whether the character is written unchanged. This includes quotes and backslashes, although `escape_debug` escapes them.
fn is_plain(character: char) -> bool {
    matches!(character, ' '..='~') || character.escape_debug().eq([character])
}

/// The text before the first character that must be escaped, that character, and the text after it.
fn split_at_escape(text: &str) -> Option<(&str, char, &str)> {
    // Most text is plain. Checking all bytes is faster than searching for the first character that must be escaped.
    if text.bytes().fold(true, |all_plain, byte| all_plain & matches!(byte, b' '..=b'~')) {
        return None;
    }
    let (plain, rest) = text.split_at(text.find(|character| !is_plain(character))?);
    let mut rest = rest.chars();
    Some((plain, rest.next()?, rest.as_str()))
}

/// Writes text and escapes every character that is not plain.
pub(super) struct Escaped<W>(pub(super) W);

impl<W: Write> Write for Escaped<W> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        while let Some((plain, character, rest)) = split_at_escape(text) {
            write!(self.0, "{plain}{}", character.escape_debug())?;
            text = rest;
        }
        self.0.write_str(text)
    }
}

/// Compact JSON in which every character that is not plain is escaped; `serde_json` escapes only those below U+0020.
pub(super) struct EscapedJson;

impl Formatter for EscapedJson {
    fn write_string_fragment<W>(&mut self, writer: &mut W, mut fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        while let Some((plain, character, rest)) = split_at_escape(fragment) {
            writer.write_all(plain.as_bytes())?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            fragment = rest;
        }
        writer.write_all(fragment.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize as _;

    use super::*;

    const FORGED: &str = "a\nb\r\u{1b}[31m\u{7f}\u{85}\u{9b}\u{2028}\u{202e}c";

    #[test]
    fn characters_that_are_not_plain_are_escaped() {
        let mut text = String::new();
        write!(Escaped(&mut text), "{FORGED} \"q\" \\ ü 🦀 {}", 1).unwrap();
        assert_eq!(text, r#"a\nb\r\u{1b}[31m\u{7f}\u{85}\u{9b}\u{2028}\u{202e}c "q" \ ü 🦀 1"#);
    }

    #[test]
    fn json_strings_are_escaped_and_parse_to_the_same_value() {
        let value = serde_json::json!({ FORGED: [FORGED, "ü 🦀 \u{e0001}"] });
        let mut line = Vec::new();
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut line, EscapedJson)).unwrap();
        let line = String::from_utf8(line).unwrap();
        assert!(line.chars().all(is_plain), "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), value);
    }
}
