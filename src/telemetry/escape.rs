//! Values of log lines without anything that could end a line, control a terminal or turn the direction of the text:
//! such characters are written as Rust writes them in a literal (`\n`, `\u{1b}`), in JSON as JSON does.

use std::fmt::{self, Write};
use std::io;

use serde_json::ser::Formatter;

/// Whether the character can be written as it is. Quotes and backslashes can, although `escape_debug` escapes them.
fn is_plain(character: char) -> bool {
    matches!(character, ' '..='~') || character.escape_debug().eq([character])
}

/// Passes text on with every other character escaped.
pub(super) struct Escaped<W>(pub(super) W);

impl<W: Write> Write for Escaped<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|character| !is_plain(character)) {
            let (plain, others) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut others = others.chars();
            if let Some(character) = others.next() {
                write!(self.0, "{}", character.escape_debug())?;
            }
            rest = others.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Compact JSON whose strings have no such character either. JSON itself escapes only those below U+0020.
pub(super) struct EscapedJson;

impl Formatter for EscapedJson {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut rest = fragment;
        while let Some(at) = rest.find(|character| !is_plain(character)) {
            let (plain, others) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut others = others.chars();
            for unit in others.next().into_iter().flat_map(|character| {
                let mut utf16 = [0; 2];
                character.encode_utf16(&mut utf16).to_vec()
            }) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = others.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize as _;

    use super::*;

    const FORGED: &str = "a\nb\r\u{1b}[31m\u{7f}\u{85}\u{9b}\u{2028}\u{202e}c";

    #[test]
    fn every_character_that_is_not_plain_is_escaped() {
        let mut text = String::new();
        write!(Escaped(&mut text), "{FORGED} \"q\" \\ ü 🦀 {}", 1).unwrap();
        assert_eq!(text, r#"a\nb\r\u{1b}[31m\u{7f}\u{85}\u{9b}\u{2028}\u{202e}c "q" \ ü 🦀 1"#);
    }

    #[test]
    fn json_strings_have_no_such_character_and_read_the_same() {
        let value = serde_json::json!({ FORGED: [FORGED, "ü 🦀 \u{e0001}"] });
        let mut line = Vec::new();
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut line, EscapedJson)).unwrap();
        let line = String::from_utf8(line).unwrap();
        assert!(line.chars().all(is_plain), "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), value);
    }
}
