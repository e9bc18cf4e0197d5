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
    /// Values of any content: on the left, and in Markdown as code.
    Code,
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

    /// The columns with their sides.
    pub(super) fn columns(&self) -> &[(String, Align)] {
        &self.columns
    }

    /// The rows.
    pub(super) fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// The table in the syntax of Markdown.
    pub(super) fn markdown(&self) -> String {
        let escape = |cell: &String| cell.replace('|', "\\|").replace('\n', " ");
        let cells = |row: &[String]| -> Vec<String> {
            let columns = row.iter().zip(&self.columns);
            columns
                .map(|(cell, (_, align))| match align {
                    Align::Code => super::markdown::code_span(cell),
                    Align::Left | Align::Right => cell.clone(),
                })
                .collect()
        };
        let head: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let rows: Vec<Vec<String>> = self.rows.iter().map(|row| cells(row)).collect();
        let widths = widths(&head, &rows);
        let mut out = String::new();
        let line = |out: &mut String, cells: &[String]| {
            for ((cell, (_, align)), width) in cells.iter().zip(&self.columns).zip(&widths) {
                out.push_str("| ");
                out.push_str(&pad(&escape(cell), *width, *align));
                out.push(' ');
            }
            out.push_str("|\n");
        };
        line(&mut out, &head);
        for ((_, align), width) in self.columns.iter().zip(&widths) {
            let dashes = "-".repeat(width + 1);
            out.push_str(&match align {
                Align::Left | Align::Code => format!("|:{dashes}"),
                Align::Right => format!("|{dashes}:"),
            });
        }
        out.push_str("|\n");
        for row in &rows {
            line(&mut out, row);
        }
        out
    }

    /// The table as lines for a terminal, each indented by two spaces; the first is the head.
    pub(super) fn lines(&self) -> Vec<String> {
        let head: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let widths = widths(&head, &self.rows);
        let line = |cells: &[String]| {
            let padded: Vec<String> = cells
                .iter()
                .zip(&self.columns)
                .zip(&widths)
                .map(|((cell, (_, align)), width)| pad(cell, *width, *align))
                .collect();
            format!("  {}", padded.join("  ")).trim_end().to_owned()
        };
        let mut lines = vec![line(&head)];
        lines.push(line(&widths.iter().map(|w| "-".repeat(*w)).collect::<Vec<_>>()));
        lines.extend(self.rows.iter().map(|row| line(row)));
        lines
    }
}

fn widths(head: &[String], rows: &[Vec<String>]) -> Vec<usize> {
    let column = |i: usize| {
        let cells = rows.iter().map(|row| &row[i]).chain([&head[i]]);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    (0..head.len()).map(column).collect()
}

/// The cell widened to `width` characters.
pub(super) fn pad(cell: &str, width: usize, align: Align) -> String {
    let fill = " ".repeat(width.saturating_sub(cell.chars().count()));
    match align {
        Align::Left | Align::Code => format!("{cell}{fill}"),
        Align::Right => format!("{fill}{cell}"),
    }
}
