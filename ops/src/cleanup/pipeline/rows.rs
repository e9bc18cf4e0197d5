//! Records of a batch as rows: the same cells whatever format they were read from.

use std::borrow::Cow;

use super::columns::Columns;
use crate::cleanup::{Cell, Row};
use crate::records::{Batch, Entry, Field, Record, Reject};

/// Gives every record of a batch as a row to `each`, in order; what is no row goes to `bad`.
pub(super) fn rows(
    batch: &mut Batch,
    columns: &mut Columns,
    mut each: impl for<'a> FnMut(&mut Row<'a>, usize),
    mut bad: impl FnMut(Reject),
) {
    let mut row = Row { ordinal: 0, at: 0, line: 0, open: None, cells: Vec::new() };
    for entry in batch.entries() {
        let (ordinal, record) = match entry {
            Entry::Record { ordinal, record } => (ordinal, record),
            Entry::Reject(reject) => {
                bad(reject.clone());
                continue;
            }
        };
        let places = columns.of_record(record.names(), ordinal);
        row.cells.clear();
        row.cells.resize(columns.names.len(), Cell::Absent);
        (row.ordinal, row.at, row.line) = (ordinal, record.at, record.line);
        row.open = places.last().filter(|_| record.is_open()).map(|place| *place as usize);
        match fill(record, &places, &mut row.cells) {
            Ok(()) => each(&mut row, columns.names.len()),
            Err(reason) => bad(Reject {
                ordinal,
                at: record.at,
                length: 0,
                line: record.line,
                wrong_at: record.at,
                reason,
                snippet: String::new(),
            }),
        }
    }
}

fn fill<'a>(record: Record<'a>, places: &[u32], cells: &mut [Cell<'a>]) -> Result<(), String> {
    for (index, place) in places.iter().enumerate() {
        cells[*place as usize] = match record.field(index) {
            Field::Json(text) => json(text)?,
            Field::Cell("") => Cell::Null,
            Field::Cell(text) | Field::Quoted(text) => Cell::Text(Cow::Borrowed(text)),
        };
    }
    Ok(())
}

/// A JSON value as a cell.
pub(super) fn json(text: &str) -> Result<Cell<'_>, String> {
    Ok(match text.as_bytes() {
        [b'"', ..] => Cell::Text(unquoted(text)?),
        b"null" => Cell::Null,
        _ => Cell::Json(Cow::Borrowed(text)),
    })
}

/// A JSON string without quotes and escapes; copied only if it has escapes.
fn unquoted(text: &str) -> Result<Cow<'_, str>, String> {
    let inner = &text[1..text.len() - 1];
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(inner));
    }
    let text = serde_json::from_str(text).map_err(|_| "a text with half of a surrogate pair".to_owned())?;
    Ok(Cow::Owned(text))
}
