//! Lines on standard output, for the user who started the program.

use std::io::{self, Write as _};

/// Prints a line. Write errors are ignored.
pub(super) fn print_line(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}
