//! Size and colors of the terminal that a table is written to.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};

use rustix::termios::tcgetwinsize;

/// The size and colors that are available to a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Terminal {
    /// The width in columns; `None` if it is not limited.
    pub(super) width: Option<usize>,
    /// The height in lines; `None` if standard output is not a terminal.
    pub(super) height: Option<usize>,
    pub(super) colors: bool,
}

/// Colors of verdicts, with their numbers in escape sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Color {
    Red = 31,
    Green = 32,
    Yellow = 33,
}

impl Terminal {
    /// The terminal of standard output.
    pub(super) fn stdout(env: &BTreeMap<String, String>) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let size = tcgetwinsize(io::stdout()).ok().filter(|_| is_terminal);
        Self::new(env, size.map(|size| (size.ws_col.into(), size.ws_row.into())))
    }

    /// `size` has the columns and rows of a terminal, 0 if unknown. The variable `COLUMNS` overrides the columns.
    fn new(env: &BTreeMap<String, String>, size: Option<(usize, usize)>) -> Self {
        let is_set = |name: &str| env.get(name).is_some_and(|value| !value.is_empty());
        let columns = env.get("COLUMNS").and_then(|columns| columns.parse().ok());
        let is_dumb = env.get("TERM").is_some_and(|term| term == "dumb");
        let is_known = |number: &usize| *number > 0;
        Self {
            width: columns.or(size.map(|(columns, _)| columns)).filter(is_known),
            height: size.map(|(_, rows)| rows).filter(is_known),
            colors: size.is_some() && !is_set("NO_COLOR") && !is_dumb,
        }
    }

    /// Adds a color to a text, if colors are available.
    pub(super) fn paint(self, color: Option<Color>, text: &str) -> String {
        match color.filter(|_| self.colors) {
            Some(color) => format!("\u{1b}[{}m{text}\u{1b}[0m", color as u8),
            None => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_and_colors_follow_terminal_and_environment() {
        let terminal = |width, height, colors| Terminal { width, height, colors };
        for (env, size, expected) in [
            (&[][..], None, terminal(None, None, false)),
            (&[], Some((80, 24)), terminal(Some(80), Some(24), true)),
            (&[("COLUMNS", "40")], Some((80, 24)), terminal(Some(40), Some(24), true)),
            (&[("COLUMNS", "40")], None, terminal(Some(40), None, false)),
            (&[("COLUMNS", "many")], Some((80, 24)), terminal(Some(80), Some(24), true)),
            (&[("NO_COLOR", "1")], Some((80, 24)), terminal(Some(80), Some(24), false)),
            (&[("NO_COLOR", "")], Some((80, 24)), terminal(Some(80), Some(24), true)),
            (&[("TERM", "dumb")], Some((0, 0)), terminal(None, None, false)),
        ] {
            let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert_eq!(Terminal::new(&env, size), expected, "{env:?} {size:?}");
        }
        assert_eq!(terminal(None, None, true).paint(Some(Color::Red), "x"), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!(terminal(None, None, false).paint(Some(Color::Red), "x"), "x");
    }
}
