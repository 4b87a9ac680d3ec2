//! Recorded strings, such as IDs, and what replaces them in a replay.

use serde_json::Value;

#[derive(Default)]
pub(super) struct Replacements(Vec<(String, String)>);

impl Replacements {
    /// Adds a pair, unless the recorded string has a replacement.
    pub(super) fn add(&mut self, recorded: &str, ours: &str) {
        if !self.0.iter().any(|(existing, _)| existing == recorded) {
            self.0.push((recorded.to_owned(), ours.to_owned()));
        }
    }

    pub(super) fn in_text(&self, recorded: &str) -> String {
        self.0.iter().fold(recorded.to_owned(), |text, (recorded, ours)| text.replace(recorded, ours))
    }

    pub(super) fn in_json(&self, recorded: &Value) -> Value {
        serde_json::from_str(&self.in_text(&recorded.to_string())).unwrap()
    }
}
