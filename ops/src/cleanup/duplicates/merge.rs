//! Fills the row that stays from those that go, and says for each cell where it came from.

use std::borrow::Cow;
use std::collections::HashSet;

use super::super::{Cell, Column, Dataset, Kind, Policy};

/// A row that stands for several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged<'a> {
    /// In the order of the dataset's columns.
    pub cells: Vec<Cell<'a>>,
    /// For each cell the rows it came from, by their places in what was merged; the survivor alone where nothing was
    /// added, and nothing where no row has a value.
    pub from: Vec<Vec<usize>>,
}

/// Merges rows as the dataset declares: `survivor` is the place of the row that stays, the others fill it in their
/// order. Nothing it has is replaced. A list keeps its own words first and gets the words of the others behind them.
pub fn merge<'a>(dataset: &Dataset, rows: &[&[Cell<'a>]], survivor: usize) -> Merged<'a> {
    let order = || std::iter::once(survivor).chain((0..rows.len()).filter(move |at| *at != survivor));
    let cell = |row: usize, column: usize| rows[row].get(column).cloned().unwrap_or_default();
    let mut merged = Merged { cells: Vec::new(), from: Vec::new() };
    for (at, column) in dataset.columns.iter().enumerate() {
        let fills = dataset.duplicates.policy == Policy::FillGaps;
        let mut from: Vec<usize> = order()
            .take(if fills { usize::MAX } else { 1 })
            .filter(|row| has_value(column, &cell(*row, at)))
            .collect();
        let lists: Vec<(usize, Cell<'a>)> = from.iter().map(|row| (*row, cell(*row, at))).collect();
        let joined = (column.kind == Kind::List && lists.len() > 1).then(|| join(&lists)).flatten();
        let value = if let Some((value, added)) = joined {
            from = added;
            value
        } else {
            from.truncate(1);
            from.first().map_or_else(|| cell(survivor, at), |row| cell(*row, at))
        };
        merged.cells.push(value);
        merged.from.push(from);
    }
    merged
}

/// Whether a cell says something: it is there, not blank and no placeholder of its column.
fn has_value(column: &Column, cell: &Cell<'_>) -> bool {
    match cell {
        Cell::Absent | Cell::Null => false,
        Cell::Json(json) => !matches!(&**json, "[]" | "{}" | "null"),
        Cell::Text(text) => {
            let text = text.trim().to_lowercase();
            let is_placeholder =
                column.placeholders.iter().map(|p| p.trim().to_lowercase()).any(|placeholder| {
                    match placeholder.strip_suffix('*') {
                        Some(start) => text.starts_with(start),
                        None => text == placeholder,
                    }
                });
            !text.is_empty() && text != "[]" && !is_placeholder
        }
    }
}

/// The words of JSON arrays, each once, and the rows that gave any; `None` when one is no array.
fn join<'a>(lists: &[(usize, Cell<'a>)]) -> Option<(Cell<'a>, Vec<usize>)> {
    let mut words: Vec<serde_json::Value> = Vec::new();
    let mut known: HashSet<String> = HashSet::new();
    let mut from = Vec::new();
    for (row, list) in lists {
        let (Cell::Text(json) | Cell::Json(json)) = list else { return None };
        let list: Vec<serde_json::Value> = serde_json::from_str(json).ok()?;
        let before = words.len();
        for word in list {
            if known.insert(word.to_string()) {
                words.push(word);
            }
        }
        if words.len() > before {
            from.push(*row);
        }
    }
    let (_, own) = lists.first()?;
    if from.len() < 2 {
        return Some((own.clone(), from));
    }
    let json = Cow::Owned(serde_json::Value::Array(words).to_string());
    Some((if matches!(own, Cell::Json(_)) { Cell::Json(json) } else { Cell::Text(json) }, from))
}
