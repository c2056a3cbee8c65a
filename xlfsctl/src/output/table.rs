//! Tables of aligned columns that fit the terminal: where it is too narrow, the
//! elastic columns give way. Without a terminal nothing is cut, for the sake of
//! scripts.

use super::text::{cut, plain, width};

/// Blanks between columns.
const GAP: usize = 2;
/// An elastic column is never made narrower than this.
const LEAST: usize = 6;

/// A colour of the sixteen that every console has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Green,
    Yellow,
    Red,
    Dim,
}

impl Colour {
    pub(crate) fn paint(self, text: &str) -> String {
        let code = match self {
            Colour::Green => "32",
            Colour::Yellow => "33",
            Colour::Red => "31",
            Colour::Dim => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// How a column is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    /// For numbers.
    Right,
    /// Left, and cut when the terminal is too narrow.
    Elastic,
}

/// A cell: its text and, on a terminal, its colour.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    colour: Option<Colour>,
}

impl Cell {
    pub(crate) fn coloured(text: impl Into<String>, colour: Option<Colour>) -> Cell {
        Cell { text: plain(&text.into()), colour }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::coloured(text, None)
    }
}

/// A table under construction.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, with a cell for each column.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        debug_assert_eq!(N, self.columns.len());
        self.rows.push(cells.into());
    }

    /// The table as lines of at most `limit` columns.
    pub(crate) fn render(&self, limit: Option<usize>, colour: bool) -> String {
        let widths = self.widths(limit);
        let header = self.columns.iter().map(|(name, _)| Cell::from(*name)).collect();
        let mut out = String::new();
        for row in std::iter::once(&header).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, width), (_, align)) in row.iter().zip(&widths).zip(&self.columns) {
                if !line.is_empty() {
                    line.push_str(&" ".repeat(GAP));
                }
                line.push_str(&lay_out(cell, *width, *align, colour));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    /// The width of each column: as wide as its widest cell, then the widest
    /// elastic one narrower until all fit.
    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|(name, _)| width(name)).collect();
        for row in &self.rows {
            for (column, cell) in widths.iter_mut().zip(row) {
                *column = (*column).max(width(&cell.text));
            }
        }
        let Some(limit) = limit else { return widths };
        loop {
            let total = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
            let elastic = (0..widths.len()).filter(|at| self.columns[*at].1 == Align::Elastic);
            let Some(widest) = elastic.max_by_key(|at| widths[*at]) else { return widths };
            if total <= limit || widths[widest] <= LEAST {
                return widths;
            }
            widths[widest] -= 1;
        }
    }
}

fn lay_out(cell: &Cell, limit: usize, align: Align, colour: bool) -> String {
    let text = cut(&cell.text, limit);
    let pad = " ".repeat(limit.saturating_sub(width(&text)));
    let shown = match cell.colour {
        Some(paint) if colour => paint.paint(&text),
        _ => text,
    };
    match align {
        Align::Right => pad + &shown,
        Align::Left | Align::Elastic => shown + &pad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&[("NAME", Align::Elastic), ("MIB", Align::Right)]);
        table.row(["web".into(), "256".into()]);
        table.row(["a-very-long-name-of-a-guest".into(), "16384".into()]);
        table
    }

    #[test]
    fn columns_are_aligned() {
        let text = sample().render(None, false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "NAME                           MIB");
        assert_eq!(lines[1], "web                            256");
        assert_eq!(lines[2], "a-very-long-name-of-a-guest  16384");
    }

    #[test]
    fn elastic_columns_give_way() {
        let text = sample().render(Some(20), false);
        assert_eq!(text.lines().nth(2), Some("a-very-long..  16384"));
        assert!(text.lines().all(|line| width(line) <= 20), "{text}");
    }

    #[test]
    fn colour_does_not_count() {
        let mut table = Table::new(&[("A", Align::Left), ("B", Align::Left)]);
        table.row([Cell::coloured("x", Some(Colour::Red)), "y".into()]);
        assert_eq!(table.render(None, true).lines().nth(1), Some("\x1b[31mx\x1b[0m  y"));
        assert_eq!(table.render(None, false).lines().nth(1), Some("x  y"));
    }
}
