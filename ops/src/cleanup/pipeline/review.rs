//! The short line about a row that a person reads in a spreadsheet: what names it, how much evidence it has, and the
//! beginning of what it says.

use super::cells;
use super::layout::SCORE;
use super::render;
use crate::cleanup::{Cell, Dataset, Part};

/// Characters of a long text that are shown.
const SHORT: usize = 200;

/// Which columns such a line has.
#[derive(Debug)]
pub(super) struct Review {
    columns: Vec<(String, Shown)>,
}

/// How a column is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Whole,
    /// Its beginning, on one line.
    Short,
}

impl Review {
    pub(super) fn new(dataset: &Dataset) -> Self {
        let mut columns: Vec<(String, Shown)> = Vec::new();
        let mut add = |name: &str, shown| {
            if !columns.iter().any(|(known, _)| known == name) {
                columns.push((name.to_owned(), shown));
            }
        };
        for name in &dataset.key {
            add(name, Shown::Whole);
        }
        for column in dataset.columns.iter().filter(|column| is_title(column)) {
            add(&column.name, Shown::Whole);
        }
        if let Some(slug) = &dataset.slug {
            add(&slug.to, Shown::Whole);
        }
        add(SCORE, Shown::Whole);
        for part in &dataset.score.parts {
            if let Part::Steps { column, .. } = part {
                add(column, Shown::Short);
            }
        }
        for part in &dataset.score.parts {
            if let Part::Count { column, .. } = part {
                add(column, Shown::Whole);
            }
        }
        Self { columns }
    }

    /// The first line.
    pub(super) fn header(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let name = |(name, shown): &(String, Shown)| match shown {
            Shown::Whole => name.clone(),
            Shown::Short => format!("{name}_short"),
        };
        render::csv_line(&mut out, self.columns.iter().map(name), |out, name| {
            render::csv_text(out, name.as_bytes());
        });
        out
    }

    /// The line of a row that is given as an element of the array.
    pub(super) fn line(&self, json: &[u8]) -> Vec<u8> {
        let members = cells::members(json).expect("a row that was just written");
        let mut out = Vec::new();
        render::csv_line(&mut out, self.columns.iter(), |out, (name, shown)| {
            let cell = members.iter().find(|(known, _)| known == name).map(|(_, cell)| cell);
            match (cell, shown) {
                (Some(Cell::Text(text)), Shown::Short) => render::csv_text(out, short(text).as_bytes()),
                (cell, _) => render::csv_cell(out, cell.unwrap_or(&Cell::Null)),
            }
        });
        out
    }
}

/// The beginning of a text on one line.
pub(super) fn short(text: &str) -> String {
    text.chars().take(SHORT).map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }).collect()
}

fn is_title(column: &crate::cleanup::Column) -> bool {
    column.title.is_some()
}
