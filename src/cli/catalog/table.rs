//! Tables of a limited width: columns are shortened, then dropped, the least important first. Widths are numbers of
//! characters.

use super::terminal::{Color, Terminal};
use crate::cli::output::one_line;

/// The spaces between columns.
const GAP: usize = 2;
/// The minimum width of the columns that remain after all others were dropped.
const MIN_WIDTH: usize = 6;
/// The maximum width of notes if the width is not limited.
const MAX_NOTE_WIDTH: usize = 100;

#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    heading: &'static str,
    /// Whether the cells are aligned to the right.
    is_number: bool,
    /// Columns with the highest rank are dropped first. A column with rank 0 is never dropped.
    rank: u8,
    /// The width to which texts may be shortened before a column is dropped.
    min_width: Option<usize>,
}

impl Column {
    /// A column of texts. Columns with the highest `rank` are dropped first; 0 is never dropped.
    pub(super) const fn text(heading: &'static str, rank: u8) -> Self {
        Self { heading, is_number: false, rank, min_width: None }
    }

    /// A column of numbers.
    pub(super) const fn number(heading: &'static str, rank: u8) -> Self {
        Self { is_number: true, ..Self::text(heading, rank) }
    }

    /// Allows texts to be shortened to `width`.
    pub(super) const fn shortened_to(self, width: usize) -> Self {
        Self { min_width: Some(width), ..self }
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

/// A row, and notes about it that can be shown below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
    pub(super) notes: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
    /// The heading of a column that is omitted if notes are shown, because they contain its text.
    pub(super) column_replaced_by_notes: &'static str,
}

/// The layout of a column.
struct ColumnLayout {
    column: Column,
    /// The width of the longest text in the column, including the heading; 0 if the column is not shown.
    natural_width: usize,
    /// The width in the table; 0 if the column is dropped.
    width: usize,
}

impl ColumnLayout {
    fn min_width(&self) -> usize {
        self.column.min_width.map_or(self.natural_width, |width| width.min(self.natural_width))
    }
}

impl Table {
    /// Formats the table. Notes are shown if `with_notes`, or if all lines fit the height of the terminal.
    pub(super) fn render(&self, terminal: Terminal, with_notes: bool) -> String {
        let lines_with_notes = self.render_lines(terminal, true);
        // Three lines are reserved for messages and the prompt.
        let fits_height = terminal.height.is_some_and(|height| lines_with_notes.len() + 3 <= height);
        let lines =
            if with_notes || fits_height { lines_with_notes } else { self.render_lines(terminal, false) };
        lines.join("\n")
    }

    fn render_lines(&self, terminal: Terminal, with_notes: bool) -> Vec<String> {
        let layouts = self.layout(terminal.width, with_notes);
        let headings: Vec<Cell> = self.columns.iter().map(|column| column.heading.into()).collect();
        let mut lines = vec![render_row(&layouts, &headings, Terminal { colors: false, ..terminal })];
        for row in &self.rows {
            lines.push(render_row(&layouts, &row.cells, terminal));
            if with_notes {
                lines.extend(row.notes.iter().flat_map(|note| wrap(note, terminal.width, 4, 6)));
            }
        }
        lines
    }

    /// Calculates the widths of the columns.
    fn layout(&self, width: Option<usize>, with_notes: bool) -> Vec<ColumnLayout> {
        let mut layouts = Vec::with_capacity(self.columns.len());
        for (index, column) in self.columns.iter().enumerate() {
            let cells = self.rows.iter().filter_map(|row| row.cells.get(index));
            let content_width = cells.map(|cell| cell.text.chars().count()).max().unwrap_or_default();
            let is_redundant = with_notes && column.heading == self.column_replaced_by_notes;
            let is_shown = column.rank == 0 || (content_width > 0 && !is_redundant);
            let natural_width = if is_shown { content_width.max(column.heading.chars().count()) } else { 0 };
            layouts.push(ColumnLayout { column: *column, natural_width, width: natural_width });
        }
        if let Some(width) = width {
            shorten_columns(&mut layouts, width);
        }
        layouts
    }
}

/// The total width of all columns that are shown.
fn total_width(layouts: &[ColumnLayout]) -> usize {
    let widths = layouts.iter().map(|layout| layout.width).filter(|width| *width > 0);
    let (sum, count) = widths.fold((0, 0), |(sum, count), width| (sum + width, count + 1));
    sum + GAP * usize::saturating_sub(count, 1)
}

/// Shortens columns to their minimum widths, drops columns, and shortens the remaining ones, until the table fits `width`.
fn shorten_columns(layouts: &mut [ColumnLayout], width: usize) {
    if total_width(layouts) <= width {
        return;
    }
    for layout in layouts.iter_mut() {
        layout.width = layout.min_width();
    }
    while total_width(layouts) > width {
        let droppable = layouts.iter_mut().filter(|layout| layout.width > 0 && layout.column.rank > 0);
        let Some(dropped) = droppable.max_by_key(|layout| layout.column.rank) else { break };
        dropped.width = 0;
    }
    while total_width(layouts) > width {
        let Some(widest) = layouts.iter_mut().max_by_key(|layout| layout.width) else { break };
        if widest.width <= MIN_WIDTH {
            break;
        }
        widest.width -= 1;
    }
    // The remaining width is given to the most important columns first.
    let mut spare = width.saturating_sub(total_width(layouts));
    let mut growing: Vec<&mut ColumnLayout> = layouts.iter_mut().filter(|layout| layout.width > 0).collect();
    growing.sort_by_key(|layout| layout.column.rank);
    for layout in growing {
        let added = layout.natural_width.saturating_sub(layout.width).min(spare);
        layout.width += added;
        spare -= added;
    }
}

fn render_row(layouts: &[ColumnLayout], cells: &[Cell], terminal: Terminal) -> String {
    let mut line = String::new();
    let mut pending_spaces = 0;
    for (layout, cell) in layouts.iter().zip(cells).filter(|(layout, _)| layout.width > 0) {
        let text = shorten(&cell.text, layout.width);
        let padding = layout.width - text.chars().count();
        let (padding_before, padding_after) =
            if layout.column.is_number { (padding, 0) } else { (0, padding) };
        if text.is_empty() {
            pending_spaces += padding + GAP;
            continue;
        }
        // Spaces are only written before a text, so that no line ends with them.
        line.push_str(&" ".repeat(pending_spaces + padding_before));
        line.push_str(&terminal.paint(cell.color, &text));
        pending_spaces = padding_after + GAP;
    }
    line
}

/// The text on one line. If it is too long, it ends with an ellipsis.
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

/// Wraps a text into lines, the first indented by `first_indent` spaces and the others by `next_indent`. A word that is
/// longer than a line is not split, so that it can be copied.
pub(super) fn wrap(text: &str, width: Option<usize>, first_indent: usize, next_indent: usize) -> Vec<String> {
    let width = width.unwrap_or(MAX_NOTE_WIDTH);
    let plain = one_line(text);
    let mut lines = Vec::new();
    let mut line = " ".repeat(first_indent);
    let mut length = first_indent;
    for word in plain.split_whitespace() {
        let word_length = word.chars().count();
        let is_empty = line.trim_start().is_empty();
        if !is_empty && length + 1 + word_length > width {
            lines.push(line);
            line = " ".repeat(next_indent) + word;
            length = next_indent + word_length;
        } else {
            let gap = usize::from(!is_empty);
            line.push_str(if is_empty { "" } else { " " });
            line.push_str(word);
            length += gap + word_length;
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
        Table { columns: COLUMNS.to_vec(), rows, column_replaced_by_notes: "REASON" }
    }

    fn render_at(width: usize) -> String {
        table().render(Terminal { width: Some(width), ..Terminal::default() }, false)
    }

    #[test]
    fn columns_are_shortened_then_dropped_by_rank() {
        let unshortened = "NAME              VCPUS  ZONES  VERDICT   REASON\n\
                    Standard_D2s_v5       2  1 2 3  usable\n\
                    Standard_D96s_v5     96         unusable  the quota is too short";
        assert_eq!(table().render(Terminal::default(), false), unshortened);
        for (width, expected) in [
            (64, unshortened),
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
            assert_eq!(render_at(width), expected, "{width}");
        }
    }

    #[test]
    fn no_line_exceeds_the_width() {
        for width in 16..80 {
            for line in render_at(width).lines() {
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
        // In a terminal that is high enough, notes are shown without `--reasons`, too.
        assert_eq!(table().render(Terminal { height: Some(8), ..terminal }, false), expected);
        let in_low_terminal = table().render(Terminal { height: Some(7), ..terminal }, false);
        assert!(!in_low_terminal.contains("quotaShort"), "{in_low_terminal}");
    }

    #[test]
    fn colors_do_not_change_the_layout() {
        let text = table().render(Terminal { width: Some(30), height: None, colors: true }, false);
        assert!(text.contains("Standard_D2s_v5   \u{1b}[31musable\u{1b}[0m\n"), "{text:?}");
        assert!(!text.lines().next().unwrap().contains('\u{1b}'), "{text:?}");
        let plain = text.replace("\u{1b}[31m", "").replace("\u{1b}[0m", "");
        assert_eq!(plain, render_at(30));
    }

    #[test]
    fn empty_columns_are_omitted_unless_rank_is_0() {
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
        let table = Table {
            columns: COLUMNS.to_vec(),
            rows: vec![row([hostile; 5], hostile)],
            column_replaced_by_notes: "",
        };
        let text = table.render(Terminal::default(), true);
        assert_eq!(text.lines().count(), 3, "{text:?}");
        assert!(!text.replace('\n', "").contains(plain_text::is_forbidden), "{text:?}");
    }

    #[test]
    fn long_words_are_not_split() {
        let lines = wrap("run az role assignment create --scope /subscriptions/9d1f3c52", Some(20), 2, 4);
        assert_eq!(
            lines,
            ["  run az role", "    assignment", "    create --scope", "    /subscriptions/9d1f3c52"]
        );
        assert_eq!(wrap("", Some(20), 2, 4), ["  "]);
    }
}
