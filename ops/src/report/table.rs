//! Tables with aligned columns, for both renderers.
//!
//! Width is counted in characters; a table never wraps or cuts a cell.

/// On which side a column's cells are flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows under named columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new<N: Into<String>>(columns: impl IntoIterator<Item = (N, Align)>) -> Self {
        Self {
            columns: columns.into_iter().map(|(name, align)| (name.into(), align)).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; missing cells are empty, further ones are dropped.
    pub fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) -> &mut Self {
        let mut row: Vec<String> = cells.into_iter().map(Into::into).take(self.columns.len()).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
        self
    }

    /// Whether no row was added.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table in the syntax of Markdown.
    pub(super) fn markdown(&self) -> String {
        let escape = |cell: &String| cell.replace('|', "\\|").replace('\n', " ");
        let widths = self.widths();
        let mut out = String::new();
        let line = |out: &mut String, cells: &[String]| {
            for ((cell, (_, align)), width) in cells.iter().zip(&self.columns).zip(&widths) {
                out.push_str("| ");
                out.push_str(&pad(&escape(cell), *width, *align));
                out.push(' ');
            }
            out.push_str("|\n");
        };
        let head: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        line(&mut out, &head);
        for ((_, align), width) in self.columns.iter().zip(&widths) {
            let dashes = "-".repeat(width + 1);
            out.push_str(&match align {
                Align::Left => format!("|:{dashes}"),
                Align::Right => format!("|{dashes}:"),
            });
        }
        out.push_str("|\n");
        for row in &self.rows {
            line(&mut out, row);
        }
        out
    }

    /// The table as lines for a terminal, each indented by two spaces; the first is the head.
    pub(super) fn lines(&self) -> Vec<String> {
        let widths = self.widths();
        let line = |cells: Vec<String>| {
            let padded: Vec<String> = cells
                .iter()
                .zip(&self.columns)
                .zip(&widths)
                .map(|((cell, (_, align)), width)| pad(cell, *width, *align))
                .collect();
            format!("  {}", padded.join("  ").trim_end())
        };
        let mut lines = vec![line(self.columns.iter().map(|(name, _)| name.clone()).collect())];
        lines.push(line(widths.iter().map(|w| "-".repeat(*w)).collect()));
        lines.extend(self.rows.iter().map(|row| line(row.clone())));
        lines
    }

    fn widths(&self) -> Vec<usize> {
        let column = |i: usize| {
            let cells = self.rows.iter().map(|row| &row[i]).chain([&self.columns[i].0]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        (0..self.columns.len()).map(column).collect()
    }
}

/// The cell widened to `width` characters.
pub(super) fn pad(cell: &str, width: usize, align: Align) -> String {
    let fill = " ".repeat(width.saturating_sub(cell.chars().count()));
    match align {
        Align::Left => format!("{cell}{fill}"),
        Align::Right => format!("{fill}{cell}"),
    }
}
