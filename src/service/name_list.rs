//! Lists of names in messages.

/// The first `max` names, separated by commas, and the number of the others.
pub(crate) fn join(names: &[String], max: usize) -> String {
    let first = names.get(..max).unwrap_or(names).join(", ");
    match names.len().saturating_sub(max) {
        0 => first,
        others => format!("{first} and {others} more"),
    }
}
