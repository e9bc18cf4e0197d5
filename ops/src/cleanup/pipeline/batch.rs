//! Some records on their way from the reader to a worker: their fields as they stand in the file, in one piece of
//! memory that is used again and again.

use std::borrow::Cow;

use super::layout::{Layout, Places};
use crate::cleanup::{Cell, Row};
use crate::guard::Refusal;
use crate::records::{Field, Record};

/// Bytes of fields after which a batch is full.
const BYTES: usize = 256 * 1024;
/// Records after which a batch is full.
const ROWS: usize = 4096;

/// Records of one stretch of the input.
#[derive(Debug, Default)]
pub(super) struct Batch {
    text: String,
    fields: Vec<FieldAt>,
    records: Vec<RecordAt>,
}

#[derive(Debug)]
struct FieldAt {
    to: u32,
    form: Form,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Json,
    Cell,
    Quoted,
}

#[derive(Debug)]
struct RecordAt {
    ordinal: u64,
    at: u64,
    line: u64,
    places: Places,
    /// Where its first field begins, in the text and in the list.
    text: u32,
    field: u32,
}

/// Why a record that could be read is no row all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadRow {
    pub(super) ordinal: u64,
    pub(super) at: u64,
    pub(super) line: u64,
    pub(super) reason: String,
}

impl Batch {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
        self.records.clear();
        // A giant record must not stay in memory for ever.
        self.text.shrink_to(4 * BYTES);
    }

    pub(super) fn is_full(&self) -> bool {
        self.text.len() >= BYTES || self.records.len() >= ROWS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Copies a record.
    pub(super) fn push(&mut self, ordinal: u64, record: Record<'_>, layout: &mut Layout) -> Result<(), Refusal> {
        let places = layout.places(record.names())?;
        let offset = |n: usize| u32::try_from(n).expect("a batch is smaller than 4 GiB");
        self.records.push(RecordAt {
            ordinal,
            at: record.at,
            line: record.line,
            text: offset(self.text.len()),
            field: offset(self.fields.len()),
            places,
        });
        for index in 0..record.names().len() {
            let (text, form) = match record.field(index) {
                Field::Json(text) => (text, Form::Json),
                Field::Cell(text) => (text, Form::Cell),
                Field::Quoted(text) => (text, Form::Quoted),
            };
            self.text.push_str(text);
            self.fields.push(FieldAt { to: offset(self.text.len()), form });
        }
        Ok(())
    }

    /// Gives every record as a row of `width` cells to `each`; what is no row goes to `bad`.
    pub(super) fn rows<'a>(&'a self, width: usize, mut each: impl FnMut(&mut Row<'a>), mut bad: impl FnMut(BadRow)) {
        let mut row = Row { ordinal: 0, at: 0, line: 0, cells: Vec::with_capacity(width) };
        for record in &self.records {
            row.cells.clear();
            row.cells.resize(width.max(row.cells.len()), Cell::Absent);
            (row.ordinal, row.at, row.line) = (record.ordinal, record.at, record.line);
            match self.fill(record, &mut row.cells) {
                Ok(()) => each(&mut row),
                Err(reason) => {
                    bad(BadRow { ordinal: record.ordinal, at: record.at, line: record.line, reason });
                }
            }
        }
    }

    fn fill<'a>(&'a self, record: &RecordAt, cells: &mut [Cell<'a>]) -> Result<(), String> {
        let mut from = record.text as usize;
        let fields = &self.fields[record.field as usize..];
        for (field, place) in fields.iter().zip(record.places.iter()) {
            let text = &self.text[from..field.to as usize];
            from = field.to as usize;
            cells[*place as usize] = cell(text, field.form)?;
        }
        Ok(())
    }
}

/// What a field says, without the spelling of its format.
fn cell(text: &str, form: Form) -> Result<Cell<'_>, String> {
    Ok(match (form, text.as_bytes()) {
        (Form::Json, [b'"', ..]) => Cell::Text(unquoted(text)?),
        (Form::Json, b"null") | (Form::Cell, []) => Cell::Null,
        (Form::Json, _) => Cell::Json(Cow::Borrowed(text)),
        (Form::Cell | Form::Quoted, _) => Cell::Text(Cow::Borrowed(text)),
    })
}

/// A JSON string without quotes and escapes; copied only if it has escapes.
pub(super) fn unquoted(text: &str) -> Result<Cow<'_, str>, String> {
    let inner = &text[1..text.len() - 1];
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(inner));
    }
    let text = serde_json::from_str(text).map_err(|_| "a text with half of a surrogate pair".to_owned())?;
    Ok(Cow::Owned(text))
}
