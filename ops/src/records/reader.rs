//! Reads records one after the other, and again by their offsets.

use std::path::Path;
use std::sync::Arc;

use super::error::Fault;
use super::input::{Input, Window};
use super::names::{Known, Names};
use super::parser::Parser;
use super::sql::Refused;
use super::{Cells, Format, Identity, InputFacts, ReadError, Record, Step};

/// Bytes that are read at once to find a record by its offset.
const JUMP_BYTES: usize = 16 * 1024;

/// Bytes between marks: 16 bytes of memory for each of these.
const MARK_BYTES: u64 = 16 * 1024;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// What becomes of bytes that are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// They are an error of their record.
    #[default]
    Strict,
    /// Each run of them becomes one U+FFFD, and is counted.
    Replace,
}

/// How a file is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// What it holds; otherwise its name says so.
    pub format: Option<Format>,
    /// The table to read of a dump, with or without its schema; otherwise the only one with rows.
    pub table: Option<String>,
    /// What becomes of bytes that are not UTF-8.
    pub encoding: Encoding,
    /// How many times its size on disk a compressed file may become, once it is past 256 MiB.
    pub ratio_max: u64,
    /// Largest record that is read, in bytes; a larger one is damage.
    pub record_bytes_max: usize,
    /// Bytes that are read at once.
    pub read_bytes: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            format: None,
            table: None,
            encoding: Encoding::Strict,
            ratio_max: 250,
            record_bytes_max: 64 * 1024 * 1024,
            read_bytes: 256 * 1024,
        }
    }
}

/// An open file of records.
#[derive(Debug)]
pub struct Records {
    pub(super) input: Input,
    pub(super) format: Format,
    pub(super) encoding: Encoding,
    pub(super) record_bytes_max: usize,
    pub(super) parser: Parser,
    /// Whether the file starts as those in UTF-16 do.
    is_utf16: bool,
    /// Goes through the file once.
    pub(super) forward: Window,
    /// Goes where it is told.
    jumping: Window,
    /// The line at which `forward` is, from 1.
    pub(super) line: u64,
    /// Records found so far; with [`Records::fill`] also those that were rejected.
    pub(super) rows: u64,
    pub(super) is_over: bool,
    /// Some records with their lines, in order, so that lines are known after a jump.
    marks: Vec<Mark>,
    /// Where the last jump went.
    jumped: Mark,
    known: Known,
    pub(super) cells: Cells,
    header: Option<Arc<Names>>,
    current: Current,
}

/// An offset and its line.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: u64,
    line: u64,
}

impl Mark {
    const START: Self = Self { at: 0, line: 1 };
}

/// The record that was found last.
#[derive(Debug)]
struct Current {
    /// Its text, and behind that what was made of parts of it.
    text: String,
    names: Arc<Names>,
    at: u64,
    line: u64,
}

/// What is found going forward, with offsets into what is in memory.
#[derive(Debug)]
pub(super) enum Found {
    /// A record, and where the next begins.
    Record { from: usize, to: usize, end: usize },
    /// Something wrong.
    Wrong(Fault),
    /// A record that is too large, or whose end is missing.
    TooLarge,
    /// The end of the file.
    End,
}

impl Records {
    /// Opens a file; its name says what it holds unless `format` does. Compressed files and pipes are copied once,
    /// decompressed, into a nameless file in the folder `scratch`.
    pub fn open(path: &Path, format: Option<Format>, scratch: &Path) -> Result<Self, ReadError> {
        Self::open_with(path, scratch, &ReadOptions { format, ..ReadOptions::default() })
    }

    /// [`Records::open`] with all that can be said about reading.
    pub fn open_with(path: &Path, scratch: &Path, options: &ReadOptions) -> Result<Self, ReadError> {
        Self::start(path, scratch, options, true)
    }

    /// Opens a file that was read before. It has no [`Records::facts`]; that it is the same, its identity says.
    pub fn open_again(path: &Path, scratch: &Path, options: &ReadOptions) -> Result<Self, ReadError> {
        Self::start(path, scratch, options, false)
    }

    fn start(path: &Path, scratch: &Path, options: &ReadOptions, is_sealed: bool) -> Result<Self, ReadError> {
        let Some(format) = options.format.or_else(|| Format::of_name(path)) else {
            return Err(ReadError::UnknownFormat { path: path.to_path_buf() });
        };
        let mut input = Input::open(path, scratch, options.ratio_max, is_sealed)?;
        let mut forward = Window::forward(options.read_bytes.max(16));
        forward.fill(&mut input)?;
        if forward.rest().starts_with(BOM) {
            forward.consume(BOM.len());
        }
        let mut records = Self {
            parser: Parser::new(format, options.table.as_deref()),
            is_utf16: [&[0xff, 0xfe], &[0xfe, 0xff]].iter().any(|mark| forward.rest().starts_with(*mark)),
            input,
            format,
            encoding: options.encoding,
            record_bytes_max: options.record_bytes_max,
            forward,
            jumping: Window::jumping(JUMP_BYTES),
            line: 1,
            rows: 0,
            is_over: false,
            marks: vec![Mark::START],
            jumped: Mark::START,
            known: Known::default(),
            cells: Cells::default(),
            header: None,
            current: Current { text: String::new(), names: Names::none(), at: 0, line: 1 },
        };
        if matches!(records.parser, Parser::Delimited(..)) {
            records.read_header()?;
        }
        Ok(records)
    }

    fn read_header(&mut self) -> Result<(), ReadError> {
        if !self.find()? {
            return Err(self.empty());
        }
        let Current { text, line, at, .. } = &self.current;
        let name = |span: &super::Span| text[span.from as usize..span.to as usize].to_owned();
        let names: Vec<String> = self.cells.spans.iter().map(name).collect();
        let (line, at, path) = (*line, *at, self.input.path.clone());
        if let Some(place) = names.iter().position(String::is_empty) {
            let what = format!("column {} of the header has no name", place + 1);
            return Err(ReadError::Syntax { path, line, at, what });
        }
        let width = names.len();
        match self.known.of_list(names) {
            Ok(names) => (self.header, self.current.names) = (Some(Arc::clone(&names)), names),
            Err(what) => return Err(ReadError::Syntax { path, line, at, what }),
        }
        if let Parser::Delimited(_, expected) = &mut self.parser {
            *expected = Some(width);
        }
        Ok(())
    }

    /// What the file holds.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The names of all columns where the format has a header.
    pub fn header(&self) -> Option<&Names> {
        self.header.as_deref()
    }

    pub(super) fn shared_header(&self) -> Option<Arc<Names>> {
        self.header.clone()
    }

    /// The next record; `None` after the last.
    #[expect(
        clippy::should_implement_trait,
        reason = "records borrow from the reader, which iterators cannot say"
    )]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        Ok(if self.advance()? { Some(self.record()) } else { None })
    }

    /// Goes to the next record, which [`Records::record`] then gives; false after the last. What is damaged is an
    /// error; see [`Records::fill`] for going on behind it.
    pub fn advance(&mut self) -> Result<bool, ReadError> {
        if self.is_over {
            return Ok(false);
        }
        if self.find()? {
            self.rows += 1;
            self.mark(self.current.at, self.current.line);
            return Ok(true);
        }
        self.end()?;
        Ok(false)
    }

    /// Remembers the line of a record now and then.
    pub(super) fn mark(&mut self, at: u64, line: u64) {
        if self.marks.last().is_none_or(|last| at - last.at >= MARK_BYTES) {
            self.marks.push(Mark { at, line });
        }
    }

    /// Accepts that the file is over, or says why it should not be.
    pub(super) fn end(&mut self) -> Result<(), ReadError> {
        let path = || self.input.path.clone();
        if let Parser::Sql(sql) = &self.parser {
            match sql.refused() {
                Some(Refused::Several(tables)) => {
                    return Err(ReadError::SeveralTables { path: path(), tables });
                }
                Some(Refused::Missing(table, tables)) => {
                    return Err(ReadError::NoSuchTable { path: path(), table, tables });
                }
                None => {}
            }
        }
        if self.rows == 0 && !self.parser.is_framed() {
            // In a dump of UTF-16 nothing looks like a statement.
            if self.parser.is_sql() && self.is_utf16 {
                return Err(ReadError::NotUtf8 { path: path(), line: 1, at: 0, is_utf16: true });
            }
            return Err(self.empty());
        }
        self.is_over = true;
        self.input.end();
        Ok(())
    }

    fn empty(&self) -> ReadError {
        ReadError::Empty { path: self.input.path.clone(), format: self.format }
    }

    /// The record that was found last.
    pub fn record(&self) -> Record<'_> {
        let Current { text, names, at, line } = &self.current;
        Record { at: *at, line: *line, names, text, spans: &self.cells.spans }
    }

    /// Finds a record again by [`Record::at`]. A file that was changed meanwhile is noticed only where no record is
    /// found; whether it is the same record must be seen from what it holds. Going forward is fastest.
    pub fn record_at(&mut self, at: u64) -> Result<Record<'_>, ReadError> {
        let line = self.line_at(at)?;
        loop {
            let (rest, is_end) = (self.jumping.rest(), self.jumping.is_end);
            match self.parser.record(rest, is_end, at, &mut self.cells) {
                Ok(Step::Record { from: 0, to, .. }) => {
                    let (text, encoding) = (&mut self.current.text, self.encoding);
                    text.clear();
                    let taken = take(
                        &mut self.cells,
                        &rest[..to],
                        &self.parser,
                        &mut self.known,
                        self.header.as_ref(),
                        encoding,
                        text,
                    );
                    let Ok((names, _)) = taken else { return Err(self.moved(at)) };
                    (self.current.names, self.current.at, self.current.line) = (names, at, line);
                    return Ok(self.record());
                }
                Ok(Step::More { consumed: 0 }) if !is_end && rest.len() < self.record_bytes_max => {
                    self.jumping.fill(&mut self.input)?;
                }
                _ => return Err(self.moved(at)),
            }
        }
    }

    /// Jumps to an offset and counts the lines on the way there, from the nearest place whose line is known.
    fn line_at(&mut self, at: u64) -> Result<u64, ReadError> {
        let mark = self.marks[self.marks.partition_point(|mark| mark.at <= at).saturating_sub(1)];
        let near = if (mark.at..=at).contains(&self.jumped.at) { self.jumped } else { mark };
        let mut line = near.line;
        self.jumping.jump(near.at);
        loop {
            let rest = self.jumping.rest();
            let left = usize::try_from(at - self.jumping.at()).unwrap_or(usize::MAX);
            let length = rest.len().min(left);
            line += newlines(&rest[..length]);
            self.jumping.consume(length);
            if length == left {
                self.jumped = Mark { at, line };
                return Ok(line);
            }
            if self.jumping.is_end {
                return Err(self.moved(at));
            }
            self.jumping.fill(&mut self.input)?;
        }
    }

    /// What to say when the record at `at` is not the one that was there before.
    pub fn moved(&self, at: u64) -> ReadError {
        ReadError::Moved { path: self.input.path.clone(), at }
    }

    /// Records found so far; with [`Records::fill`] also those that were rejected.
    pub fn count(&self) -> u64 {
        self.rows
    }

    /// A quick digest of the file, its size and how many records it had: the same for the same file, read the same way.
    /// `None` before its end was read.
    pub fn identity(&self) -> Option<Identity> {
        let (digest, bytes) = self.is_over.then(|| self.input.identity())?;
        Some(Identity { digest, bytes, rows: self.rows })
    }

    /// What the file was; `None` before its end was read, and where it was opened again.
    pub fn facts(&self) -> Option<InputFacts> {
        let (sha256, bytes) = self.is_over.then(|| self.input.facts())??;
        let (rows, format, compression) = (self.rows, self.format, self.input.compression);
        Some(InputFacts { sha256, bytes, rows, format, compression })
    }

    /// Goes forward to the next record, which must be whole.
    fn find(&mut self) -> Result<bool, ReadError> {
        match self.seek()? {
            Found::Record { from, to, end } => {
                self.current.text.clear();
                let mut text = std::mem::take(&mut self.current.text);
                let taken = self.take(from, to, &mut text);
                self.current.text = text;
                let (names, _) = taken.map_err(|fault| self.wrong(&fault))?;
                self.current.names = names;
                (self.current.at, self.current.line) = self.place(from);
                self.leave(end);
                Ok(true)
            }
            Found::End => Ok(false),
            Found::Wrong(fault) => Err(self.wrong(&fault)),
            Found::TooLarge => Err(self.too_large()),
        }
    }

    /// Goes forward until a record is in memory as a whole, and does not leave it behind.
    pub(super) fn seek(&mut self) -> Result<Found, ReadError> {
        loop {
            let (rest, is_end) = (self.forward.rest(), self.forward.is_end);
            let step = self.parser.step(rest, is_end, self.forward.at(), &mut self.cells);
            match step {
                Ok(Step::Record { from, to, .. }) if to - from > self.record_bytes_max => {
                    return Ok(Found::TooLarge);
                }
                Ok(Step::Record { from, to, end }) => return Ok(Found::Record { from, to, end }),
                Ok(Step::More { consumed }) => {
                    self.leave(consumed);
                    if self.forward.rest().len() >= self.record_bytes_max {
                        return Ok(Found::TooLarge);
                    }
                    self.forward.fill(&mut self.input)?;
                }
                Ok(Step::End) => return Ok(Found::End),
                Err(fault) => {
                    // Enough to tell whether a character is damaged or only cut off here.
                    while self.forward.rest().len() < fault.at + 4 && !self.forward.is_end {
                        self.forward.fill(&mut self.input)?;
                    }
                    return Ok(Found::Wrong(fault));
                }
            }
        }
    }

    /// Appends a record that was found to `text`; gives its names and how much of it was replaced.
    pub(super) fn take(
        &mut self,
        from: usize,
        to: usize,
        text: &mut String,
    ) -> Result<(Arc<Names>, u64), Fault> {
        let bytes = &self.forward.rest()[from..to];
        let header = self.header.as_ref();
        take(&mut self.cells, bytes, &self.parser, &mut self.known, header, self.encoding, text)
            .map_err(|fault| Fault { at: from + fault.at, ..fault })
    }

    /// Leaves bytes behind.
    pub(super) fn leave(&mut self, length: usize) {
        self.line += newlines(&self.forward.rest()[..length]);
        self.forward.consume(length);
    }

    /// Offset and line of a byte in memory.
    pub(super) fn place(&self, at: usize) -> (u64, u64) {
        (self.forward.at() + at as u64, self.line + newlines(&self.forward.rest()[..at]))
    }

    pub(super) fn too_large(&self) -> ReadError {
        let (path, limit) = (self.input.path.clone(), self.record_bytes_max as u64);
        ReadError::TooLarge { path, line: self.line, limit }
    }

    /// A fault with its place; bytes before it that are no text at all explain it better.
    pub(super) fn wrong(&self, fault: &Fault) -> ReadError {
        let (path, rest) = (self.input.path.clone(), self.forward.rest());
        let is_certain = |e: &std::str::Utf8Error| e.error_len().is_some() || self.forward.is_end;
        let base = self.parser.text_from(fault).min(rest.len());
        let not_text = std::str::from_utf8(&rest[base..]).err().filter(is_certain);
        if let Some(bad) = not_text.map(|e| base + e.valid_up_to()).filter(|bad| *bad <= fault.at) {
            let (at, line) = self.place(bad);
            let is_utf16 = at == 0 && self.is_utf16;
            return ReadError::NotUtf8 { path, line, at, is_utf16 };
        }
        let (at, line) = self.place(fault.at.min(rest.len()));
        ReadError::Syntax { path, line, at, what: fault.what.clone() }
    }
}

/// Appends the record whose bytes these are, its fields being found.
fn take(
    cells: &mut Cells,
    bytes: &[u8],
    parser: &Parser,
    known: &mut Known,
    header: Option<&Arc<Names>>,
    encoding: Encoding,
    text: &mut String,
) -> Result<(Arc<Names>, u64), Fault> {
    let mut keep = |cells: &mut Cells| cells.keep(bytes, parser.is_sql(), encoding, text);
    Ok(match parser {
        // Values that are left to their defaults are gone once the names are known.
        Parser::Sql(sql) => (cells.row_names(sql, known)?, keep(cells)?),
        Parser::Delimited(..) => (header.map_or_else(Names::none, Arc::clone), keep(cells)?),
        Parser::Array(_) | Parser::Lines => {
            let replaced = keep(cells)?;
            (cells.object_names(bytes, known)?, replaced)
        }
    })
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
