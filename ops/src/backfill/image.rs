//! The rows of one candidate: read as they are, compared with what they were, kept as JSON.
//!
//! A row is what can be written of it: all columns but computed ones. Rows of a table are told apart by a key. What
//! changed between two readings is what a run answers for.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::BackfillError;
use super::plan::{Has, Touched};
use super::settings::Scalar;
use crate::guard::Refusal;
use crate::target::schema::{Table, TableName};
use crate::target::{Target, TargetError};
use crate::value::{Row, Value, parse_json, same_row, write_json};

/// A table that may be touched, and how its rows lie.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// The table as it is now.
    pub(super) table: Table,
    /// Its columns that can be written, as indices into the table: what rows hold.
    pub(super) columns: Vec<usize>,
    /// The key, as indices into the table.
    pub(super) key: Vec<usize>,
    /// The key, as positions in rows.
    key_places: Vec<usize>,
    /// The column that holds the candidate, as an index into the table.
    link: usize,
    /// What a current row holds, by position.
    stamp: Vec<(usize, Scalar)>,
}

/// The rows of a candidate, by table.
pub(super) type Images = Vec<Vec<Row>>;

/// One row before and after.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RowChange {
    /// Which of the tables.
    pub(super) table: usize,
    /// `None` where the row is new.
    pub(super) before: Option<Row>,
    /// `None` where it is gone.
    pub(super) after: Option<Row>,
}

impl Shape {
    /// Looks a table up, and refuses one that is not what the plan saw.
    pub(super) fn open(target: &mut dyn Target, touched: &Touched) -> Result<Self, BackfillError> {
        let name = TableName::parse(&touched.result.table);
        let name =
            name.ok_or_else(|| Refusal::new("no table has this name", "a name", &touched.result.table))?;
        let table = target.table(&name)?;
        let found = table.digest();
        if found != touched.schema {
            let short = |digest: &str| format!("schema {}", digest.get(..12).unwrap_or(digest));
            let what = format!("the table {name} changed since the plan was made");
            return Err(Refusal::new(what, short(&touched.schema), short(&found))
                .next("make the plan again")
                .into());
        }
        let columns = table.writable();
        let index = |name: &String| {
            table
                .column(name)
                .ok_or_else(|| Refusal::new(format!("{} has no column `{name}`", table.name), "it", "none"))
        };
        let place = |name: &String| {
            let index = index(name)?;
            let place = columns.iter().position(|column| *column == index);
            place.ok_or_else(|| {
                Refusal::new(format!("`{name}` is computed"), "a column that can be written", "none")
            })
        };
        let key = touched.row_key.iter().map(index).collect::<Result<_, _>>()?;
        let key_places = touched.row_key.iter().map(place).collect::<Result<_, _>>()?;
        let link = index(&touched.result.link)?;
        let stamp = touched.result.stamp.iter();
        let stamp =
            stamp.map(|(name, value)| Ok((place(name)?, value.clone()))).collect::<Result<_, Refusal>>()?;
        Ok(Self { table, columns, key, key_places, link, stamp })
    }

    /// The rows of a candidate as they are now.
    pub(super) fn read(&self, target: &mut dyn Target, id: &Value) -> Result<Vec<Row>, TargetError> {
        let rows = target.related(&self.table, self.link, id)?;
        Ok(rows.into_iter().map(|row| self.project(row)).collect())
    }

    fn project(&self, mut row: Row) -> Row {
        if self.columns.len() == row.len() {
            return row;
        }
        self.columns.iter().map(|column| std::mem::replace(&mut row[*column], Value::Null)).collect()
    }

    /// The rows with these keys as they are now.
    pub(super) fn read_many(
        &self,
        target: &mut dyn Target,
        keys: &[Row],
    ) -> Result<Vec<Option<Row>>, TargetError> {
        let found = target.read(&self.table, &self.key, keys)?;
        Ok(found.into_iter().map(|row| row.map(|row| self.project(row))).collect())
    }

    /// The key of a row.
    pub(super) fn key_of(&self, row: &Row) -> Row {
        self.key_places.iter().map(|place| row[*place].clone()).collect()
    }

    fn same_key(&self, a: &Row, b: &Row) -> bool {
        self.key_places.iter().all(|place| a[*place].as_ref().same(b[*place].as_ref()))
    }

    /// Whether a row is a current result.
    pub(super) fn is_current(&self, row: &Row) -> bool {
        self.stamp.iter().all(|(place, value)| value.matches(row[*place].as_ref()))
    }

    /// What the candidate has of this result.
    pub(super) fn has(&self, rows: &[Row]) -> Has {
        match rows {
            [] => Has::Missing,
            rows if rows.iter().any(|row| self.is_current(row)) => Has::Current,
            _ => Has::Other,
        }
    }

    /// The column that holds the candidate, as an index into the table.
    pub(super) fn link_column(&self) -> usize {
        self.link
    }

    /// What a current row holds, by position in rows.
    pub(super) fn stamp_places(&self) -> impl Iterator<Item = (usize, &Scalar)> {
        self.stamp.iter().map(|(place, value)| (*place, value))
    }

    /// The names of the columns that rows hold.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| self.table.columns[*column].name.as_str())
    }
}

/// The rows of a candidate in all tables.
pub(super) fn read_all(target: &mut dyn Target, shapes: &[Shape], id: &Value) -> Result<Images, TargetError> {
    shapes.iter().map(|shape| shape.read(target, id)).collect()
}

/// Whether both readings found the same rows, in any order.
pub(super) fn same_rows(a: &[Row], b: &[Row]) -> bool {
    a.len() == b.len() && a.iter().all(|a| b.iter().any(|b| same_row(a, b)))
}

/// What changed from one reading to the next.
pub(super) fn differences(shapes: &[Shape], before: &Images, after: &Images) -> Vec<RowChange> {
    let mut changes = Vec::new();
    for (table, shape) in shapes.iter().enumerate() {
        for old in &before[table] {
            let new = after[table].iter().find(|new| shape.same_key(old, new));
            if new.is_none_or(|new| !same_row(old, new)) {
                changes.push(RowChange { table, before: Some(old.clone()), after: new.cloned() });
            }
        }
        for new in &after[table] {
            if !before[table].iter().any(|old| shape.same_key(old, new)) {
                changes.push(RowChange { table, before: None, after: Some(new.clone()) });
            }
        }
    }
    changes
}

/// Changes of an earlier attempt and of a later one as one: from what was before the first to what is after the last. A
/// row that somebody else wrote in between is restored to what they made of it.
pub(super) fn chained(shapes: &[Shape], earlier: Vec<RowChange>, later: Vec<RowChange>) -> Vec<RowChange> {
    let same = |a: &Option<Row>, b: &Option<Row>| match (a, b) {
        (Some(a), Some(b)) => same_row(a, b),
        (None, None) => true,
        _ => false,
    };
    let row = |change: &RowChange| change.before.clone().or_else(|| change.after.clone()).unwrap_or_default();
    let mut all = earlier;
    for new in later {
        let shape = &shapes[new.table];
        let old = all.iter_mut().find(|old| old.table == new.table && shape.same_key(&row(old), &row(&new)));
        match old {
            Some(old) if same(&old.after, &new.before) => old.after = new.after,
            Some(old) => *old = new,
            None => all.push(new),
        }
    }
    all.retain(|change| !same(&change.before, &change.after));
    all
}

fn write_row(row: &Row, out: &mut Vec<u8>) {
    out.push(b'[');
    for (i, value) in row.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_json(value.as_ref(), out);
    }
    out.push(b']');
}

fn read_row(shape: &Shape, raw: &RawValue) -> Option<Row> {
    let cells: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
    if cells.len() != shape.columns.len() {
        return None;
    }
    let kinds = shape.columns.iter().map(|column| shape.table.columns[*column].kind);
    cells.iter().zip(kinds).map(|(cell, kind)| parse_json(cell.get(), kind).ok()).collect()
}

/// Rows by table as JSON: `[[row, …], …]`.
pub(super) fn write_images(images: &Images, out: &mut Vec<u8>) {
    let list = |rows: &Vec<Row>, out: &mut Vec<u8>| separated(rows, out, write_row);
    separated(images, out, list);
}

fn separated<T>(items: &[T], out: &mut Vec<u8>, mut write: impl FnMut(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

/// Reads back what [`write_images`] wrote.
pub(super) fn read_images(shapes: &[Shape], raw: &RawValue) -> Option<Images> {
    let tables: Vec<Vec<&RawValue>> = serde_json::from_str(raw.get()).ok()?;
    if tables.len() != shapes.len() {
        return None;
    }
    let rows =
        |(shape, rows): (&Shape, Vec<&RawValue>)| rows.iter().map(|row| read_row(shape, row)).collect();
    shapes.iter().zip(tables).map(rows).collect()
}

/// Changes as JSON: `[[table, before, after], …]`.
pub(super) fn write_changes(changes: &[RowChange], out: &mut Vec<u8>) {
    separated(changes, out, |change, out| {
        out.extend_from_slice(format!("[{}", change.table).as_bytes());
        for row in [&change.before, &change.after] {
            out.push(b',');
            match row {
                Some(row) => write_row(row, out),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.push(b']');
    });
}

/// Reads back what [`write_changes`] wrote.
pub(super) fn read_changes(shapes: &[Shape], raw: &RawValue) -> Option<Vec<RowChange>> {
    let changes: Vec<(usize, &RawValue, &RawValue)> = serde_json::from_str(raw.get()).ok()?;
    let row = |shape: &Shape, raw: &RawValue| match raw.get() {
        "null" => Some(None),
        _ => read_row(shape, raw).map(Some),
    };
    let change = |(table, before, after): (usize, &RawValue, &RawValue)| {
        let shape = shapes.get(table)?;
        Some(RowChange { table, before: row(shape, before)?, after: row(shape, after)? })
    };
    changes.into_iter().map(change).collect()
}

/// How many rows a set of changes makes new, overwrites and removes, by table.
pub(super) type Counts = HashMap<usize, (u64, u64, u64)>;

/// Counts changes.
pub(super) fn count(changes: &[RowChange], counts: &mut Counts) {
    for change in changes {
        let (new, updated, gone) = counts.entry(change.table).or_default();
        match (&change.before, &change.after) {
            (None, Some(_)) => *new += 1,
            (Some(_), Some(_)) => *updated += 1,
            (Some(_), None) => *gone += 1,
            (None, None) => {}
        }
    }
}
