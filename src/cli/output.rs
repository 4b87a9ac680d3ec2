//! Output of the commands: results on standard output, messages on standard error.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use aks::plain_text;
use clock::rfc3339;

use super::error::Error;

/// Prints a result, ending with a line break.
pub(super) fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") })
        .and_then(|()| out.flush())
        .map_err(Error::Output)
}

/// Replaces characters that break a line or control terminals with spaces, for text from other programs.
pub(super) fn one_line(text: &str) -> String {
    text.replace(plain_text::is_forbidden, " ")
}

/// Escapes the control characters in JSON that `serde_json` does not escape (DEL and C1), which terminals interpret.
pub(super) fn escape_controls(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() && c != '\n' {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text
}

/// Prints a message to standard error. Write errors are ignored.
pub(super) fn eprint_message(text: &str) {
    let _ = writeln!(io::stderr(), "norman-aks: {text}");
}

/// Formats aligned columns, separated by two spaces. Control characters become spaces, so that each row is one line.
pub(super) fn columns<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<_> = rows.map(|row| row.map(|cell| one_line(&cell))).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// [`columns`] below a heading.
pub(super) fn table<const N: usize>(heading: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    columns(std::iter::once(heading.map(str::to_owned)).chain(rows))
}

/// A timestamp in UTC with seconds; `never` for `None`.
pub(super) fn format_time(timestamp_ms: Option<i64>) -> String {
    timestamp_ms.map_or_else(|| "never".to_owned(), rfc3339)
}

pub(super) fn yes_or_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}
