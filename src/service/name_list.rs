//! Lists of names, and counts, in messages.

use std::fmt::Display;

/// The first `max` names, separated by commas, and the number of the others.
pub(crate) fn join(names: &[String], max: usize) -> String {
    let first = names.get(..max).unwrap_or(names).join(", ");
    match names.len().saturating_sub(max) {
        0 => first,
        others => format!("{first} and {others} more"),
    }
}

/// A number with its noun, such as `1 token` or `2 tokens`.
pub(crate) fn format_count(number: impl Display + PartialEq + From<u8>, noun: &str) -> String {
    let suffix = if number == 1.into() { "" } else { "s" };
    format!("{number} {noun}{suffix}")
}
