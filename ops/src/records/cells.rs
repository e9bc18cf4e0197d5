//! What a parser finds of a record: where its fields stand, and how they become text.

use std::sync::Arc;

use super::error::Fault;
use super::names::{Known, Names};
use super::reader::Encoding;
use super::{scan, sql};

/// Where a field stands in the text of its record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    /// A JSON text without escapes.
    Plain,
    Cell,
    /// A bare cell that ends where the file does: there may have been more of it.
    Open,
    Quoted,
    /// Quoted, with quotes inside that stand twice.
    Doubled,
    /// JSON that does not stand in the file but was made of what does.
    MadeJson,
    /// Text that was made of what stands in the file.
    MadeText,
    /// Not given at all: the column's default.
    Absent,
}

impl Form {
    pub(super) fn is_made(self) -> bool {
        matches!(self, Self::MadeJson | Self::MadeText)
    }
}

/// What a parser finds of a record; reused from record to record.
#[derive(Debug, Default)]
pub(super) struct Cells {
    /// Names that the next object probably has, with their quotes, and their set.
    pub(super) known: Vec<Box<[u8]>>,
    set: Option<Arc<Names>>,
    /// Which list of names `set` is, for formats that have lists.
    list: Option<(usize, usize)>,
    pub(super) members: scan::Members,
    pub(super) spans: Vec<Span>,
    pub(super) sql: sql::Values,
}

fn offset(n: usize) -> u32 {
    u32::try_from(n).expect("a record is smaller than 2 GiB")
}

impl Cells {
    /// Appends the record whose bytes these are to `text`; its spans are then relative to where it begins there.
    /// Gives how many bytes that are no text were replaced.
    pub(super) fn keep(
        &mut self,
        bytes: &[u8],
        is_sql: bool,
        encoding: Encoding,
        text: &mut String,
    ) -> Result<u64, Fault> {
        let start = text.len();
        let mut replaced = 0;
        match crate::text::utf8(bytes) {
            Ok(record) => text.push_str(record),
            // Bytes of SQL may stand as they are between quotes and are no text then.
            Err(_) if is_sql || encoding == Encoding::Replace => {
                replaced += self.keep_apart(bytes, encoding, text, start)?;
            }
            Err(error) => return Err(Fault::new(error.valid_up_to(), NOT_TEXT)),
        }
        for span in &mut self.spans {
            let (from, to) = (span.from as usize, span.to as usize);
            let begin = text.len();
            match span.form {
                Form::Doubled => undouble(text, start + from, start + to),
                Form::MadeJson | Form::MadeText => {
                    replaced += push(&self.sql.made[from..to], encoding, text).map_err(|_| {
                        Fault::new(0, "a text whose escapes make something that is not UTF-8")
                    })?;
                }
                _ => continue,
            }
            (span.from, span.to) = (offset(begin - start), offset(text.len() - start));
        }
        Ok(replaced)
    }

    /// Keeps only the fields.
    fn keep_apart(
        &mut self,
        bytes: &[u8],
        encoding: Encoding,
        text: &mut String,
        start: usize,
    ) -> Result<u64, Fault> {
        let mut replaced = 0;
        for span in self.spans.iter_mut().filter(|span| !span.form.is_made()) {
            let begin = text.len();
            let (from, to) = (span.from as usize, span.to as usize);
            replaced +=
                push(&bytes[from..to], encoding, text).map_err(|at| Fault::new(from + at, NOT_TEXT))?;
            (span.from, span.to) = (offset(begin - start), offset(text.len() - start));
        }
        Ok(replaced)
    }

    /// The names of an object; those of the record before, most of the time.
    pub(super) fn object_names(&mut self, bytes: &[u8], known: &mut Known) -> Result<Arc<Names>, Fault> {
        let Self { known: expected, members, .. } = self;
        let raw = |&(from, to): &(u32, u32)| &bytes[from as usize..to as usize];
        if let Some(set) = self.set.as_ref().filter(|_| members.is_expected) {
            return Ok(Arc::clone(set));
        }
        let set = known.of_object(bytes, &members.names).map_err(|what| Fault::new(0, what))?;
        expected.clear();
        expected.extend(members.names.iter().map(|range| raw(range).into()));
        self.set = Some(Arc::clone(&set));
        Ok(set)
    }

    /// Whether the object that was scanned has the names of the one before it, if there was one.
    pub(super) fn is_like_before(&self, bytes: &[u8]) -> bool {
        let names = self.members.names.iter().map(|&(from, to)| &bytes[from as usize..to as usize]);
        self.set.is_none() || names.eq(self.known.iter().map(|name| &**name))
    }

    /// The names of a row of a dump.
    pub(super) fn row_names(&mut self, sql: &sql::Sql, known: &mut Known) -> Result<Arc<Names>, Fault> {
        let list = sql.names_key(&self.spans);
        if let Some(set) = self.set.as_ref().filter(|_| list.is_some() && self.list == list) {
            return Ok(Arc::clone(set));
        }
        let set = known.of_list(sql.names(&mut self.spans)).map_err(|what| Fault::new(0, what))?;
        (self.list, self.set) = (list, Some(Arc::clone(&set)));
        Ok(set)
    }
}

const NOT_TEXT: &str = "not UTF-8";

/// Appends bytes as text; `Err` is the offset of the first that is none, if those are not to be replaced.
fn push(bytes: &[u8], encoding: Encoding, text: &mut String) -> Result<u64, usize> {
    if let Ok(valid) = crate::text::utf8(bytes) {
        text.push_str(valid);
        return Ok(0);
    }
    let mut replaced = 0;
    let start = text.len();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            if encoding == Encoding::Strict {
                return Err(text.len() - start);
            }
            text.push(char::REPLACEMENT_CHARACTER);
            replaced += 1;
        }
    }
    Ok(replaced)
}

/// Appends a part of the text, with its doubled quotes as single ones.
fn undouble(text: &mut String, mut from: usize, to: usize) {
    text.reserve(to - from);
    while let Some(length) = memchr::memmem::find(&text.as_bytes()[from..to], b"\"\"") {
        text.extend_from_within(from..=from + length);
        from += length + 2;
    }
    text.extend_from_within(from..to);
}
