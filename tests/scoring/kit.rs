//! Rows by column name, and what the steps make of them.

use std::borrow::Cow;

use ops::cleanup::score::{Score, assess};
use ops::cleanup::titles::Learned;
use ops::cleanup::{Cell, Note, Row, Rules, Scratch, fields};
use ops::config::Config;

pub(crate) fn rules(dataset: &str) -> Rules {
    Rules::new(Config::shipped().unwrap().datasets.remove(dataset).unwrap()).unwrap()
}

/// A row with these cells; all others are NULL.
pub(crate) fn row<'a>(rules: &Rules, cells: &[(&str, &'a str)]) -> Row<'a> {
    let mut row = Row {
        ordinal: 0,
        at: 0,
        line: 1,
        open: None,
        cells: vec![Cell::Null; rules.dataset().columns.len()],
    };
    for (column, text) in cells {
        row.cells[rules.dataset().column(column).unwrap()] = Cell::Text(Cow::Borrowed(text));
    }
    row
}

/// Lines of JSON as rows.
pub(crate) fn read(rules: &Rules, lines: &str) -> Vec<Row<'static>> {
    let rows = lines.lines().enumerate().map(|(i, line)| {
        let record: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        let cells = rules.dataset().columns.iter().map(|column| match record.get(&column.name) {
            None => Cell::Absent,
            Some(serde_json::Value::Null) => Cell::Null,
            Some(serde_json::Value::String(text)) => Cell::Text(Cow::Owned(text.clone())),
            Some(other) => Cell::Json(Cow::Owned(other.to_string())),
        });
        Row { ordinal: i as u64, at: 0, line: 1 + i as u64, open: None, cells: cells.collect() }
    });
    rows.collect()
}

pub(crate) fn fixture(path: &str) -> String {
    std::fs::read_to_string(crate::support::root().join("fixtures").join(path)).unwrap()
}

pub(crate) fn score(rules: &Rules, cells: &[(&str, &str)]) -> Score {
    assess(rules, &row(rules, cells), &mut Scratch::default())
}

/// What the fields step makes of a row.
pub(crate) struct Cleaned<'a> {
    pub(crate) row: Row<'a>,
    pub(crate) notes: Vec<Note>,
}

impl Cleaned<'_> {
    /// A cell as text or JSON; `null` where there is none.
    pub(crate) fn cell(&self, rules: &Rules, column: &str) -> &str {
        match &self.row.cells[rules.dataset().column(column).unwrap()] {
            Cell::Absent | Cell::Null => "null",
            Cell::Text(text) | Cell::Json(text) => text,
        }
    }

    /// Ids of the rules that flagged something, with candidates.
    pub(crate) fn flags(&self) -> Vec<(&str, Option<&str>)> {
        self.notes
            .iter()
            .filter_map(|note| match note {
                Note::Finding(_, finding) => Some((finding.rule.id, finding.candidate.as_deref())),
                Note::Edit(..) => None,
            })
            .collect()
    }
}

pub(crate) fn cleaned<'a>(rules: &Rules, cells: &[(&str, &'a str)]) -> Cleaned<'a> {
    let mut row = row(rules, cells);
    let mut notes = Vec::new();
    fields::apply(rules, &Learned::default(), &mut row, &mut notes, &mut Scratch::default());
    Cleaned { row, notes }
}
