//! Rejects characters that do not belong in names and other strings: they break lines of logs and tables, control terminals, or
//! make a string look different from its content. Strings are checked when they are saved; stored ones are not changed.

use std::collections::BTreeSet;

use serde_json::Value;

/// Whether the character ends a line, controls a terminal or changes the direction of the surrounding text.
pub fn is_forbidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// Whether a string may have several lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// A name, ID, label or description.
    One,
    /// A document, such as a certificate in PEM: line breaks and tabs are allowed.
    Many,
}

/// A character that a field must not contain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} contains the character U+{:04X}, which is not allowed there; remove it", u32::from(*character))]
pub struct ForbiddenCharacter {
    /// The field, as the caller wrote it.
    pub field: String,
    /// The character.
    pub character: char,
}

/// Checks a string.
///
/// # Errors
/// The first forbidden character.
pub fn check(field: &str, text: &str, lines: Lines) -> Result<(), ForbiddenCharacter> {
    let is_allowed = |character| lines == Lines::Many && matches!(character, '\n' | '\r' | '\t');
    match text.chars().find(|character| is_forbidden(*character) && !is_allowed(*character)) {
        Some(character) => Err(ForbiddenCharacter { field: field.to_owned(), character }),
        None => Ok(()),
    }
}

/// Checks the strings of an object that is about to be saved. Strings that are already stored are accepted, so that objects of
/// older versions can still be updated.
#[derive(Debug, Default)]
pub struct TextCheck {
    stored: BTreeSet<String>,
    document_prefixes: &'static [&'static str],
}

impl TextCheck {
    /// A check in which fields that start with one of `document_prefixes` (`annotations.`) may have several lines.
    pub fn new(document_prefixes: &'static [&'static str]) -> Self {
        Self { stored: BTreeSet::new(), document_prefixes }
    }

    /// Accepts a string that is already stored.
    pub fn allow_stored(&mut self, text: &str) {
        if text.contains(is_forbidden) {
            self.stored.insert(text.to_owned());
        }
    }

    /// Accepts all strings and keys in a stored JSON value.
    pub fn allow_stored_value(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.allow_stored(text),
            Value::Array(values) => values.iter().for_each(|value| self.allow_stored_value(value)),
            Value::Object(object) => {
                for (key, value) in object {
                    self.allow_stored(key);
                    self.allow_stored_value(value);
                }
            }
            _ => {}
        }
    }

    /// Checks the string of a field.
    ///
    /// # Errors
    /// The first forbidden character.
    pub fn text(&self, field: &str, text: &str) -> Result<(), ForbiddenCharacter> {
        let is_document = self.document_prefixes.iter().any(|prefix| field.starts_with(prefix));
        let lines = if is_document { Lines::Many } else { Lines::One };
        check(field, text, lines).or_else(|error| self.accept_if_stored(text, error))
    }

    /// Checks the keys and strings of a map.
    ///
    /// # Errors
    /// The first forbidden character.
    pub fn map<'m>(
        &self,
        field: &str,
        entries: impl IntoIterator<Item = (&'m String, &'m String)>,
    ) -> Result<(), ForbiddenCharacter> {
        entries.into_iter().try_for_each(|(key, text)| {
            self.check_key(field, key)?;
            self.text(&format!("{field}.{key}"), text)
        })
    }

    /// Checks all keys and strings in a JSON value.
    ///
    /// # Errors
    /// The first forbidden character, with its field: `aksConfig.nodePools[0].name`.
    pub fn value(&self, field: &str, value: &Value) -> Result<(), ForbiddenCharacter> {
        match value {
            Value::String(text) => self.text(field, text),
            Value::Array(values) => values
                .iter()
                .enumerate()
                .try_for_each(|(index, value)| self.value(&format!("{field}[{index}]"), value)),
            Value::Object(object) => object.iter().try_for_each(|(key, value)| {
                self.check_key(field, key)?;
                let inner_field = if field.is_empty() { key.clone() } else { format!("{field}.{key}") };
                self.value(&inner_field, value)
            }),
            _ => Ok(()),
        }
    }

    fn check_key(&self, field: &str, key: &str) -> Result<(), ForbiddenCharacter> {
        check(field, key, Lines::One).or_else(|error| self.accept_if_stored(key, error))
    }

    fn accept_if_stored(&self, text: &str, error: ForbiddenCharacter) -> Result<(), ForbiddenCharacter> {
        if self.stored.contains(text) { Ok(()) } else { Err(error) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn controls_line_ends_and_bidi_marks_are_forbidden() {
        for character in [
            '\0', '\n', '\r', '\t', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '\u{61c}', '\u{200e}',
            '\u{200f}', '\u{2028}', '\u{2029}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}',
        ] {
            assert!(is_forbidden(character), "{character:?}");
            let error = check("name", &format!("a{character}b"), Lines::One).unwrap_err();
            assert_eq!((error.field.as_str(), error.character), ("name", character));
        }
        for text in ["", "a b", "ü 🦀 \u{200d}", "{}\"'\\<>", "\u{a0}"] {
            assert!(check("name", text, Lines::One).is_ok(), "{text:?}");
        }
        let error = check("name", "a\nb", Lines::One).unwrap_err().to_string();
        assert_eq!(error, "name contains the character U+000A, which is not allowed there; remove it");
    }

    #[test]
    fn documents_may_have_line_breaks_but_no_other_controls() {
        assert!(check("cacerts", "a\r\n\tb", Lines::Many).is_ok());
        assert!(check("cacerts", "a\u{1b}[2J", Lines::Many).is_err());
        let text_check = TextCheck::new(&["annotations."]);
        assert!(text_check.value("annotations.a", &json!("x\ny")).is_ok());
        let error = text_check.value("annotations", &json!({"a\n": "x"})).unwrap_err();
        assert_eq!(error.field, "annotations", "keys are names");
    }

    #[test]
    fn errors_name_nested_fields() {
        let text_check = TextCheck::default();
        for (value, field) in [
            (json!({"a": {"b": [{"c": "x"}, {"c": "\n"}]}}), "a.b[1].c"),
            (json!({"tags": {"\u{202e}": "x"}}), "tags"),
            (json!({"tags": {"k": "\u{2028}"}}), "tags.k"),
            (json!(["", "\0"]), "[1]"),
        ] {
            assert_eq!(text_check.value("", &value).unwrap_err().field, field, "{value}");
        }
        assert!(text_check.value("", &json!({"a": [1, null, true, "b"]})).is_ok());
    }

    #[test]
    fn stored_strings_are_accepted() {
        let mut text_check = TextCheck::default();
        text_check.allow_stored_value(&json!({"tags": {"old\nkey": "old\tvalue"}, "fine": "fine"}));
        assert!(text_check.value("", &json!({"tags": {"old\nkey": "old\tvalue"}})).is_ok());
        assert!(text_check.value("", &json!({"tags": {"old\nkey": "new\tvalue"}})).is_err());
        assert_eq!(text_check.stored.len(), 2);
    }
}
