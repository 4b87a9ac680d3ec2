//! Tables that fit a width: columns are shortened, then dropped, the least important first. Widths are counted in characters.

use super::terminal::{Color, Terminal};
use crate::cli::output::one_line;

/// The spaces between columns.
const GAP: usize = 2;
/// Columns that are always shown are shortened to this width if nothing else helps.
const MIN_WIDTH: usize = 6;
/// The width of wrapped lines if there is no limit.
const MAX_NOTE_WIDTH: usize = 100;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    heading: &'static str,
    /// Numbers are aligned to the right.
    is_number: bool,
    /// The columns with the highest rank are dropped first; 0 is never dropped.
    rank: u8,
    /// The width to which texts are shortened before a column is dropped.
    shortest: Option<usize>,
}

impl Column {
    /// A column of texts. `rank` is its order of being dropped, the highest first; 0 is never dropped.
    pub(super) const fn text(heading: &'static str, rank: u8) -> Self {
        Self { heading, is_number: false, rank, shortest: None }
    }

    /// A column of numbers.
    pub(super) const fn number(heading: &'static str, rank: u8) -> Self {
        Self { is_number: true, ..Self::text(heading, rank) }
    }

    /// The column, with texts that may be shortened to `width`.
    pub(super) const fn shortened_to(self, width: usize) -> Self {
        Self { shortest: Some(width), ..self }
    }
}

/// A value in a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    text: String,
    color: Option<Color>,
}

impl Cell {
    pub(super) fn colored(text: &str, color: Color) -> Self {
        Self { text: text.to_owned(), color: Some(color) }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), color: None }
    }
}

/// A row, and texts about it that can be shown below.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
    pub(super) notes: Vec<String>,
}

/// A table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
    /// The heading of a column that is left out where notes are shown, because they contain it.
    pub(super) summary_of_notes: &'static str,
}

/// The place of a column.
struct Fit {
    column: Column,
    /// The width that all of its texts need.
    natural: usize,
    /// 0 if the column is dropped.
    width: usize,
}

impl Fit {
    fn shortest(&self) -> usize {
        self.column.shortest.map_or(self.natural, |width| width.min(self.natural))
    }
}

impl Table {
    /// The lines of the table. Notes are shown on demand, and in a terminal if all lines fit its height.
    pub(super) fn render(&self, terminal: Terminal, with_notes: bool) -> String {
        let with = self.lines(terminal, true);
        // The prompt and a message need lines too.
        let fits = terminal.height.is_some_and(|height| with.len() + 3 <= height);
        let lines = if with_notes || fits { with } else { self.lines(terminal, false) };
        lines.join("\n")
    }

    fn lines(&self, terminal: Terminal, with_notes: bool) -> Vec<String> {
        let fits = self.fit(terminal.width, with_notes);
        let headings: Vec<Cell> = self.columns.iter().map(|column| column.heading.into()).collect();
        let mut lines = vec![line(&fits, &headings, Terminal { colors: false, ..terminal })];
        for row in &self.rows {
            lines.push(line(&fits, &row.cells, terminal));
            if with_notes {
                lines.extend(row.notes.iter().flat_map(|note| wrap(note, terminal.width, 4, 6)));
            }
        }
        lines
    }

    /// The widths of the columns.
    fn fit(&self, width: Option<usize>, with_notes: bool) -> Vec<Fit> {
        let mut fits = Vec::with_capacity(self.columns.len());
        for (index, column) in self.columns.iter().enumerate() {
            let cells = self.rows.iter().filter_map(|row| row.cells.get(index));
            let content = cells.map(|cell| cell.text.chars().count()).max().unwrap_or_default();
            let is_redundant = with_notes && column.heading == self.summary_of_notes;
            let is_shown = column.rank == 0 || (content > 0 && !is_redundant);
            let natural = if is_shown { content.max(column.heading.chars().count()) } else { 0 };
            fits.push(Fit { column: *column, natural, width: natural });
        }
        if let Some(width) = width {
            shorten_columns(&mut fits, width);
        }
        fits
    }
}

/// The width of all columns that are shown.
fn total(fits: &[Fit]) -> usize {
    let widths = fits.iter().map(|fit| fit.width).filter(|width| *width > 0);
    let (sum, count) = widths.fold((0, 0), |(sum, count), width| (sum + width, count + 1));
    sum + GAP * usize::saturating_sub(count, 1)
}

fn shorten_columns(fits: &mut [Fit], width: usize) {
    if total(fits) <= width {
        return;
    }
    for fit in fits.iter_mut() {
        fit.width = fit.shortest();
    }
    while total(fits) > width {
        let droppable = fits.iter_mut().filter(|fit| fit.width > 0 && fit.column.rank > 0);
        let Some(dropped) = droppable.max_by_key(|fit| fit.column.rank) else { break };
        dropped.width = 0;
    }
    while total(fits) > width {
        let Some(widest) = fits.iter_mut().max_by_key(|fit| fit.width) else { break };
        if widest.width <= MIN_WIDTH {
            break;
        }
        widest.width -= 1;
    }
    // The rest of the place, to the most important columns first.
    let mut spare = width.saturating_sub(total(fits));
    let mut growing: Vec<&mut Fit> = fits.iter_mut().filter(|fit| fit.width > 0).collect();
    growing.sort_by_key(|fit| fit.column.rank);
    for fit in growing {
        let more = fit.natural.saturating_sub(fit.width).min(spare);
        fit.width += more;
        spare -= more;
    }
}

fn line(fits: &[Fit], cells: &[Cell], terminal: Terminal) -> String {
    let mut line = String::new();
    let mut pending = 0;
    for (fit, cell) in fits.iter().zip(cells).filter(|(fit, _)| fit.width > 0) {
        let text = shorten(&cell.text, fit.width);
        let missing = fit.width - text.chars().count();
        let (before, after) = if fit.column.is_number { (missing, 0) } else { (0, missing) };
        if text.is_empty() {
            pending += missing + GAP;
            continue;
        }
        // Spaces come before the next text, so that no line ends with them.
        line.push_str(&" ".repeat(pending + before));
        line.push_str(&terminal.paint(cell.color, &text));
        pending = after + GAP;
    }
    line
}

/// The text on one line, with an ellipsis in place of what does not fit.
fn shorten(text: &str, width: usize) -> String {
    let plain = one_line(text);
    if plain.chars().count() <= width {
        return plain;
    }
    let mut short: String = plain.chars().take(width.saturating_sub(1)).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// Lines of words with an indentation, which further lines have deeper. A word that is longer than a line stays whole, so that it can
/// be copied.
pub(super) fn wrap(text: &str, width: Option<usize>, first: usize, further: usize) -> Vec<String> {
    let width = width.unwrap_or(MAX_NOTE_WIDTH);
    let plain = one_line(text);
    let mut lines = Vec::new();
    let mut line = " ".repeat(first);
    let mut length = first;
    for word in plain.split_whitespace() {
        let added = word.chars().count();
        let is_empty = line.trim_start().is_empty();
        if !is_empty && length + 1 + added > width {
            lines.push(line);
            line = " ".repeat(further) + word;
            length = further + added;
        } else {
            let gap = usize::from(!is_empty);
            line.push_str(if is_empty { "" } else { " " });
            line.push_str(word);
            length += gap + added;
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use aks::plain_text;

    use super::*;

    const COLUMNS: [Column; 5] = [
        Column::text("NAME", 0),
        Column::number("VCPUS", 1),
        Column::text("ZONES", 3),
        Column::text("VERDICT", 0),
        Column::text("REASON", 2).shortened_to(10),
    ];

    fn row(cells: [&str; 5], note: &str) -> Row {
        let mut cells: Vec<Cell> = cells.into_iter().map(Cell::from).collect();
        cells[3].color = Some(Color::Red);
        Row { cells, notes: if note.is_empty() { Vec::new() } else { vec![note.to_owned()] } }
    }

    fn table() -> Table {
        let rows = vec![
            row(["Standard_D2s_v5", "2", "1 2 3", "usable", ""], ""),
            row(
                ["Standard_D96s_v5", "96", "", "unusable", "the quota is too short"],
                "quotaShort: too short; ask for more",
            ),
        ];
        Table { columns: COLUMNS.to_vec(), rows, summary_of_notes: "REASON" }
    }

    fn at(width: usize) -> String {
        table().render(Terminal { width: Some(width), ..Terminal::default() }, false)
    }

    #[test]
    fn columns_are_shortened_then_dropped_by_rank() {
        let full = "NAME              VCPUS  ZONES  VERDICT   REASON\n\
                    Standard_D2s_v5       2  1 2 3  usable\n\
                    Standard_D96s_v5     96         unusable  the quota is too short";
        assert_eq!(table().render(Terminal::default(), false), full);
        for (width, expected) in [
            (64, full),
            (
                56,
                "NAME              VCPUS  ZONES  VERDICT   REASON\n\
                 Standard_D2s_v5       2  1 2 3  usable\n\
                 Standard_D96s_v5     96         unusable  the quota is…",
            ),
            (
                50,
                "NAME              VCPUS  VERDICT   REASON\n\
                 Standard_D2s_v5       2  usable\n\
                 Standard_D96s_v5     96  unusable  the quota is t…",
            ),
            (
                40,
                "NAME              VCPUS  VERDICT\n\
                 Standard_D2s_v5       2  usable\n\
                 Standard_D96s_v5     96  unusable",
            ),
            (
                30,
                "NAME              VERDICT\n\
                 Standard_D2s_v5   usable\n\
                 Standard_D96s_v5  unusable",
            ),
            (
                20,
                "NAME        VERDICT\n\
                 Standard_…  usable\n\
                 Standard_…  unusable",
            ),
        ] {
            assert_eq!(at(width), expected, "{width}");
        }
    }

    #[test]
    fn no_line_exceeds_the_width() {
        for width in 16..80 {
            for line in at(width).lines() {
                assert!(line.chars().count() <= width && line == line.trim_end(), "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn notes_replace_the_column_that_summarizes_them() {
        let terminal = Terminal { width: Some(36), ..Terminal::default() };
        let expected = "NAME              VCPUS  VERDICT\n\
                        Standard_D2s_v5       2  usable\n\
                        Standard_D96s_v5     96  unusable\n\
                        \x20   quotaShort: too short; ask for\n\
                        \x20     more";
        assert_eq!(table().render(terminal, true), expected);
        // In a terminal with room for them, without being asked.
        assert_eq!(table().render(Terminal { height: Some(8), ..terminal }, false), expected);
        let low = table().render(Terminal { height: Some(7), ..terminal }, false);
        assert!(!low.contains("quotaShort"), "{low}");
    }

    #[test]
    fn colors_do_not_change_the_layout() {
        let text = table().render(Terminal { width: Some(30), height: None, colors: true }, false);
        assert!(text.contains("Standard_D2s_v5   \u{1b}[31musable\u{1b}[0m\n"), "{text:?}");
        assert!(!text.lines().next().unwrap().contains('\u{1b}'), "{text:?}");
        let plain = text.replace("\u{1b}[31m", "").replace("\u{1b}[0m", "");
        assert_eq!(plain, at(30));
    }

    #[test]
    fn empty_columns_are_left_out() {
        let mut table = table();
        for row in &mut table.rows {
            row.cells[2] = Cell::default();
        }
        assert!(!table.render(Terminal::default(), false).contains("ZONES"));
        table.rows.clear();
        assert_eq!(table.render(Terminal::default(), false), "NAME  VERDICT");
    }

    #[test]
    fn texts_cannot_control_the_terminal() {
        let hostile = "a\u{1b}[2J\nb\u{202e}c";
        let table =
            Table { columns: COLUMNS.to_vec(), rows: vec![row([hostile; 5], hostile)], summary_of_notes: "" };
        let text = table.render(Terminal::default(), true);
        assert_eq!(text.lines().count(), 3, "{text:?}");
        assert!(!text.replace('\n', "").contains(plain_text::is_forbidden), "{text:?}");
    }

    #[test]
    fn long_words_stay_whole() {
        let lines = wrap("run az role assignment create --scope /subscriptions/9d1f3c52", Some(20), 2, 4);
        assert_eq!(
            lines,
            ["  run az role", "    assignment", "    create --scope", "    /subscriptions/9d1f3c52"]
        );
        assert_eq!(wrap("", Some(20), 2, 4), ["  "]);
    }
}
