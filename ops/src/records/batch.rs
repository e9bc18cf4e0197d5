//! Some thousand records at once, to be given to another thread: text, places and what was rejected.
//!
//! A batch owns everything that is in it and is filled again when it was used. Lines of NDJSON are only cut by the
//! reader; they are parsed where the batch is looked at.

use std::sync::Arc;

use super::cells::{Cells, Span};
use super::error::Fault;
use super::json;
use super::names::{Known, Names};
use super::reader::{Encoding, Found, Records};
use super::{Format, ReadError, Record};

/// Bytes of text in a batch, about.
const BATCH_BYTES: usize = 512 * 1024;
/// Records in a batch.
const BATCH_RECORDS: usize = 4096;
/// Bytes of text in a batch that is filled with whole records only: it shall be in the cache still when they are looked at.
const WHOLE_BYTES: usize = 128 * 1024;
/// Characters that are shown of what was rejected.
const SNIPPET_CHARS: usize = 120;

const TOO_LARGE: &str = "a record that is too large; is its end missing?";

/// A part of a file that is no record, or a damaged one. Reading went on behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Its place among the records of the file, from 0.
    pub ordinal: u64,
    /// Where it starts: offset in the decompressed file, in bytes.
    pub at: u64,
    /// Bytes that were passed over.
    pub length: u64,
    /// The line where it starts, from 1.
    pub line: u64,
    /// Offset in the decompressed file of what is wrong.
    pub wrong_at: u64,
    /// What is wrong, in a few words without contents of the record.
    pub reason: String,
    /// How it starts: at most 120 characters on one line.
    pub snippet: String,
}

/// What stands at one place of a file.
#[derive(Debug, Clone, Copy)]
pub enum Entry<'a> {
    /// A record.
    Record {
        /// Its place among the records of the file, from 0, rejected ones counted.
        ordinal: u64,
        /// The record.
        record: Record<'a>,
    },
    /// No record.
    Reject(&'a Reject),
}

/// Records and rejects in the order of the file. See [`Records::fill`].
#[derive(Debug, Default)]
pub struct Batch {
    text: String,
    spans: Vec<Span>,
    items: Vec<Item>,
    names: Vec<Arc<Names>>,
    rejects: Vec<Reject>,
    replaced: u64,
    /// Lines that are not parsed yet.
    lines: Option<Lines>,
    cells: Cells,
    known: Known,
}

#[derive(Debug, Clone, Copy)]
enum Item {
    Record { ordinal: u64, at: u64, line: u64, text: (usize, usize), spans: (usize, usize), names: usize },
    Reject(usize),
}

/// Where the first line of NDJSON stands in the file, and how they are read.
#[derive(Debug)]
struct Lines {
    /// The lines, if they are not the text of the batch because some are none.
    raw: Option<Vec<u8>>,
    ordinal: u64,
    at: u64,
    line: u64,
    encoding: Encoding,
}

impl Batch {
    /// An empty batch, to be filled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records and rejects in the order of the file. Lines of NDJSON are parsed here the first time.
    pub fn entries(&mut self) -> impl Iterator<Item = Entry<'_>> {
        self.parse();
        let batch = &*self;
        batch.items.iter().map(move |item| batch.entry(item))
    }

    /// How many runs of bytes that are no text were replaced by U+FFFD; known once [`Batch::entries`] was asked for.
    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    /// How many records and rejects there are, after [`Records::fill_whole`].
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// A record by its place in a batch of whole ones.
    pub(super) fn record(&self, index: usize) -> Record<'_> {
        match self.entry(&self.items[index]) {
            Entry::Record { record, .. } => record,
            Entry::Reject(_) => unreachable!("a batch of whole records has no rejects"),
        }
    }

    fn entry(&self, item: &Item) -> Entry<'_> {
        match *item {
            Item::Reject(index) => Entry::Reject(&self.rejects[index]),
            Item::Record { ordinal, at, line, text: (from, to), spans: (first, last), names } => {
                let (text, spans) = (&self.text[from..to], &self.spans[first..last]);
                Entry::Record { ordinal, record: Record { at, line, names: &self.names[names], text, spans } }
            }
        }
    }

    fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
        self.items.clear();
        self.names.clear();
        self.rejects.clear();
        self.replaced = 0;
        self.lines = None;
    }

    fn is_full(&self) -> bool {
        self.items.len() >= BATCH_RECORDS || self.text.len() >= BATCH_BYTES
    }

    /// The index of names, which most of the time are those of the record before.
    fn names(&mut self, names: Arc<Names>) -> usize {
        if self.names.last().is_none_or(|last| !Arc::ptr_eq(last, &names)) {
            self.names.push(names);
        }
        self.names.len() - 1
    }

    fn push_reject(&mut self, reject: Reject) {
        self.items.push(Item::Reject(self.rejects.len()));
        self.rejects.push(reject);
    }

    fn parse(&mut self) {
        let Some(Lines { raw, ordinal, at, line, encoding }) = self.lines.take() else { return };
        let (place, mut text) = ((ordinal, at, line), std::mem::take(&mut self.text));
        match raw {
            None => self.lines(text.as_bytes(), place, encoding, None),
            Some(bytes) => self.lines(&bytes, place, encoding, Some(&mut text)),
        }
        self.text = text;
    }

    /// Takes lines. Without `kept` they stay where they are.
    fn lines(
        &mut self,
        bytes: &[u8],
        (mut ordinal, at, mut line): (u64, u64, u64),
        encoding: Encoding,
        mut kept: Option<&mut String>,
    ) {
        let mut from = 0;
        while from < bytes.len() {
            let end = memchr::memchr(b'\n', &bytes[from..]).map_or(bytes.len(), |length| from + length + 1);
            let place = (ordinal, at + from as u64, line);
            ordinal += u64::from(self.line(&bytes[from..end], from, place, encoding, kept.as_deref_mut()));
            line += 1;
            from = end;
        }
    }

    /// Takes one line with its line end; whether there is anything on it. Without `kept` it stays where it is, at `from`.
    fn line(
        &mut self,
        bytes: &[u8],
        from: usize,
        (ordinal, at, line): (u64, u64, u64),
        encoding: Encoding,
        kept: Option<&mut String>,
    ) -> bool {
        let inner = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let found = json::on_line(inner, 0, inner.len() == bytes.len(), &mut self.cells);
        let (start, end) = match &found {
            Ok(Some(place)) => *place,
            Ok(None) => return false,
            Err(_) => (0, bytes.len()),
        };
        let taken = found.and_then(|_| {
            let text = match kept {
                None => (from + start, from + end),
                Some(text) => {
                    let begin = text.len();
                    self.replaced += self.cells.keep(&bytes[start..end], false, encoding, text)?;
                    (begin, text.len())
                }
            };
            Ok((self.cells.object_names(&bytes[start..end], &mut self.known)?, text))
        });
        match taken {
            Ok((names, text)) => {
                let first = self.spans.len();
                self.spans.extend_from_slice(&self.cells.spans);
                let (names, spans) = (self.names(names), (first, self.spans.len()));
                self.items.push(Item::Record { ordinal, at: at + start as u64, line, text, spans, names });
            }
            Err(fault) => self.push_reject(reject(bytes, (ordinal, at, line), 0, &fault)),
        }
        true
    }
}

/// What to say of bytes that are rejected as a whole. Bytes that are no text explain a fault behind them, if they are
/// not before `text_from`.
pub(super) fn reject(
    bytes: &[u8],
    (ordinal, at, line): (u64, u64, u64),
    text_from: usize,
    fault: &Fault,
) -> Reject {
    let base = text_from.min(bytes.len());
    let not_text = std::str::from_utf8(&bytes[base..]).err().map(|error| base + error.valid_up_to());
    let (wrong_at, reason) = match not_text.filter(|bad| *bad <= fault.at) {
        Some(bad) => (bad, "not UTF-8".to_owned()),
        None => (fault.at, fault.what.clone()),
    };
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * SNIPPET_CHARS)]);
    let snippet = crate::text::ellipsis(&crate::text::one_line(&start), SNIPPET_CHARS);
    let length = bytes.len() as u64;
    Reject { ordinal, at, length, line, wrong_at: at + wrong_at as u64, reason, snippet }
}

impl Records {
    /// Fills a batch with the next records; false when there are none left. What is damaged does not end the
    /// reading here but becomes a [`Reject`] in its place, and reading goes on behind it: at the next line, element
    /// of the array, row of the dump or statement. The frame itself (a header, the array, one table of a dump) must
    /// be there all the same.
    pub fn fill(&mut self, batch: &mut Batch) -> Result<bool, ReadError> {
        batch.clear();
        if self.is_over {
            return Ok(false);
        }
        if self.format == Format::Ndjson {
            return self.fill_lines(batch);
        }
        while !batch.is_full() {
            match self.seek()? {
                Found::Record { from, to, end } => {
                    if let Err(fault) = self.push(batch, from, to) {
                        let (at, line) = self.place(from);
                        let fault = Fault { at: fault.at - from, ..fault };
                        let bytes = &self.forward.rest()[from..to];
                        let text_from = self.parser.text_from(&fault);
                        let found = reject(bytes, (self.rows, at, line), text_from, &fault);
                        batch.push_reject(Reject { length: (end - from) as u64, ..found });
                        self.mark(at, line);
                    }
                    self.rows += 1;
                    self.leave(end);
                }
                Found::Wrong(fault) => {
                    let reject = self.resume(fault)?;
                    batch.push_reject(reject);
                }
                Found::TooLarge => {
                    let reject = self.resume(Fault::new(0, TOO_LARGE))?;
                    batch.push_reject(reject);
                }
                Found::End => {
                    self.end()?;
                    break;
                }
            }
        }
        Ok(!batch.items.is_empty())
    }

    /// Fills a batch with the next records; false when there are none behind them. What is damaged is an error, and
    /// what stands before it is in the batch.
    pub(super) fn fill_whole(&mut self, batch: &mut Batch) -> Result<bool, ReadError> {
        batch.clear();
        while !batch.is_full() && batch.text.len() < WHOLE_BYTES {
            match self.seek()? {
                Found::Record { from, to, end } => {
                    self.push(batch, from, to).map_err(|fault| self.wrong(&fault))?;
                    self.rows += 1;
                    self.leave(end);
                }
                Found::End => return self.end().map(|()| false),
                Found::Wrong(fault) => return Err(self.wrong(&fault)),
                Found::TooLarge => return Err(self.too_large()),
            }
        }
        Ok(true)
    }

    /// Appends a record that was found to a batch, or nothing of it.
    fn push(&mut self, batch: &mut Batch, from: usize, to: usize) -> Result<(), Fault> {
        let start = batch.text.len();
        let taken = self.take(from, to, &mut batch.text);
        let (names, replaced) = taken.inspect_err(|_| batch.text.truncate(start))?;
        let (at, line) = self.place(from);
        self.mark(at, line);
        let (first, names) = (batch.spans.len(), batch.names(names));
        batch.spans.extend_from_slice(&self.cells.spans);
        batch.replaced += replaced;
        let (text, spans) = ((start, batch.text.len()), (first, batch.spans.len()));
        batch.items.push(Item::Record { ordinal: self.rows, at, line, text, spans, names });
        Ok(())
    }

    /// Cuts lines.
    fn fill_lines(&mut self, batch: &mut Batch) -> Result<bool, ReadError> {
        let (ordinal, line, at) = (self.rows, self.line, self.forward.at());
        self.mark(at, line);
        let mut raw: Option<Vec<u8>> = None;
        loop {
            let length = raw.as_ref().map_or(batch.text.len(), Vec::len);
            if length >= BATCH_BYTES {
                break;
            }
            let (rest, is_end) = (self.forward.rest(), self.forward.is_end);
            let whole = if is_end { rest.len() } else { memchr::memrchr(b'\n', rest).map_or(0, |at| at + 1) };
            if whole > 0 {
                let (lines, records) = count(&rest[..whole]);
                match (&mut raw, crate::text::utf8(&rest[..whole])) {
                    (None, Ok(text)) => batch.text.push_str(text),
                    (raw, _) => {
                        let bytes = raw.get_or_insert_with(|| std::mem::take(&mut batch.text).into_bytes());
                        bytes.extend_from_slice(&rest[..whole]);
                    }
                }
                self.line += lines;
                self.rows += records;
                self.forward.consume(whole);
            } else if is_end {
                self.end()?;
                break;
            } else if rest.len() >= self.record_bytes_max {
                if length == 0 {
                    let reject = self.resume(Fault::new(0, TOO_LARGE))?;
                    batch.push_reject(reject);
                    return Ok(true);
                }
                break;
            } else {
                self.forward.fill(&mut self.input)?;
            }
        }
        let is_any = raw.is_some() || !batch.text.is_empty();
        batch.lines = Some(Lines { raw, ordinal, at, line, encoding: self.encoding });
        Ok(is_any)
    }
}

/// How many line ends there are, and how many lines with anything on them.
fn count(bytes: &[u8]) -> (u64, u64) {
    let (mut lines, mut records, mut from) = (0, 0, 0);
    while from < bytes.len() {
        let end = memchr::memchr(b'\n', &bytes[from..]).map(|length| from + length);
        let to = end.unwrap_or(bytes.len());
        lines += u64::from(end.is_some());
        records += u64::from(bytes[from..to].iter().any(|b| !matches!(b, b' ' | b'\t' | b'\r')));
        from = to + 1;
    }
    (lines, records)
}
