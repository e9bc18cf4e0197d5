//! Reads records one after the other, and again by their offsets.

use std::path::Path;

use super::delimited::Delimited;
use super::error::Fault;
use super::input::{Input, Window};
use super::names::Known;
use super::{Cells, Form, Format, InputFacts, ReadError, Record, Span, Step, json};

/// Largest record that is read, in bytes.
const RECORD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes that are read at once to find a record by its offset.
const JUMP_BYTES: usize = 16 * 1024;

/// Bytes between marks: 16 bytes of memory for each of these.
const MARK_BYTES: u64 = 16 * 1024;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// An open file of records.
#[derive(Debug)]
pub struct Records {
    input: Input,
    format: Format,
    parser: Parser,
    /// Goes through the file once.
    forward: Window,
    /// Goes where it is told.
    jumping: Window,
    /// The line at which `forward` is, from 1.
    line: u64,
    rows: u64,
    is_over: bool,
    /// Some records with their lines, in order, so that lines are known after a jump.
    marks: Vec<Mark>,
    /// Where the last jump went.
    jumped: Mark,
    known: Known,
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
#[derive(Debug, Default)]
struct Current {
    cells: Cells,
    /// Its text, and behind that the cells whose quotes were taken out.
    text: String,
    names: usize,
    at: u64,
    line: u64,
}

#[derive(Debug)]
enum Parser {
    Array(json::Array),
    Lines,
    Delimited(Delimited, Option<usize>),
}

impl Parser {
    fn new(format: Format) -> Self {
        match format {
            Format::Json => Self::Array(json::Array::new()),
            Format::Ndjson => Self::Lines,
            Format::Csv => Self::Delimited(Delimited::new(b','), None),
            Format::Tsv => Self::Delimited(Delimited::new(b'\t'), None),
        }
    }

    fn step(&mut self, bytes: &[u8], is_end: bool, cells: &mut Cells) -> Result<Step, Fault> {
        match self {
            Self::Array(array) => array.step(bytes, is_end, cells),
            Self::Lines => json::line(bytes, is_end, cells),
            Self::Delimited(delimited, width) => delimited.step(bytes, is_end, *width, cells),
        }
    }

    /// The record at the start of `bytes`, wherever in the file that is.
    fn record(&self, bytes: &[u8], is_end: bool, cells: &mut Cells) -> Result<Step, Fault> {
        match self {
            Self::Array(_) if bytes.is_empty() => Ok(Step::More { consumed: 0 }),
            Self::Array(_) => json::row(bytes, 0, is_end, cells),
            Self::Lines => json::line(bytes, is_end, cells),
            Self::Delimited(delimited, width) => delimited.step(bytes, is_end, *width, cells),
        }
    }

    /// Whether a file that ends here without a row says that it has none.
    fn is_framed(&self) -> bool {
        match self {
            Self::Array(array) => array.is_done(),
            Self::Lines => false,
            Self::Delimited(_, width) => width.is_some(),
        }
    }
}

impl Records {
    /// Opens a file; its name says what it holds unless `format` does. Compressed files and pipes are copied once,
    /// decompressed, into a nameless file in the folder `scratch`.
    pub fn open(path: &Path, format: Option<Format>, scratch: &Path) -> Result<Self, ReadError> {
        let Some(format) = format.or_else(|| Format::of_name(path)) else {
            return Err(ReadError::UnknownFormat { path: path.to_path_buf() });
        };
        let mut records = Self {
            input: Input::open(path, scratch)?,
            format,
            parser: Parser::new(format),
            forward: Window::forward(),
            jumping: Window::jumping(JUMP_BYTES),
            line: 1,
            rows: 0,
            is_over: false,
            marks: vec![Mark::START],
            jumped: Mark::START,
            known: Known::default(),
            current: Current::default(),
        };
        records.forward.fill(&mut records.input)?;
        if records.forward.rest().starts_with(BOM) {
            records.forward.consume(BOM.len());
        }
        if matches!(records.parser, Parser::Delimited(..)) {
            records.read_header()?;
        }
        Ok(records)
    }

    fn read_header(&mut self) -> Result<(), ReadError> {
        if !self.find()? {
            return Err(ReadError::Empty { path: self.input.path.clone(), format: self.format });
        }
        let Current { cells, text, line, at, .. } = &self.current;
        let name = |span: &Span| text[span.from as usize..span.to as usize].to_owned();
        let names: Vec<String> = cells.spans.iter().map(name).collect();
        let (line, at, path) = (*line, *at, self.input.path.clone());
        if let Some(place) = names.iter().position(String::is_empty) {
            let what = format!("column {} of the header has no name", place + 1);
            return Err(ReadError::Syntax { path, line, at, what });
        }
        let width = names.len();
        match self.known.header(names) {
            Ok(set) => self.current.names = set,
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
    pub fn header(&self) -> Option<&super::Names> {
        matches!(self.parser, Parser::Delimited(..)).then(|| self.known.get(self.current.names))
    }

    /// The next record; `None` after the last.
    #[expect(
        clippy::should_implement_trait,
        reason = "records borrow from the reader, which iterators cannot say"
    )]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        Ok(if self.advance()? { Some(self.record()) } else { None })
    }

    /// Goes to the next record, which [`Records::record`] then gives; false after the last.
    pub fn advance(&mut self) -> Result<bool, ReadError> {
        if self.is_over {
            return Ok(false);
        }
        if self.find()? {
            self.rows += 1;
            let Current { at, line, .. } = self.current;
            if self.marks.last().is_none_or(|last| at - last.at >= MARK_BYTES) {
                self.marks.push(Mark { at, line });
            }
            return Ok(true);
        }
        if self.rows == 0 && !self.parser.is_framed() {
            return Err(ReadError::Empty { path: self.input.path.clone(), format: self.format });
        }
        self.is_over = true;
        Ok(false)
    }

    /// The record that was found last.
    pub fn record(&self) -> Record<'_> {
        let Current { cells, text, names, at, line } = &self.current;
        Record { at: *at, line: *line, names: self.known.get(*names), text, spans: &cells.spans }
    }

    /// Finds a record again by [`Record::at`]. A file that was changed meanwhile is noticed only where no record is
    /// found; whether it is the same record must be seen from what it holds. Going forward is fastest.
    pub fn record_at(&mut self, at: u64) -> Result<Record<'_>, ReadError> {
        let line = self.line_at(at)?;
        loop {
            let rest = self.jumping.rest();
            match self.parser.record(rest, self.jumping.is_end, &mut self.current.cells) {
                Ok(Step::Record { from: 0, to, .. }) => {
                    let taken = self.current.take(&rest[..to], &mut self.known, self.format);
                    taken.map_err(|_| self.moved(at))?;
                    (self.current.at, self.current.line) = (at, line);
                    return Ok(self.record());
                }
                Ok(Step::More { consumed: 0 }) if !self.jumping.is_end && rest.len() < RECORD_BYTES_MAX => {
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

    /// What the file was; `None` before its end was read.
    pub fn facts(&self) -> Option<InputFacts> {
        let (sha256, bytes) = self.is_over.then(|| self.input.facts())?;
        let (rows, format, compression) = (self.rows, self.format, self.input.compression);
        Some(InputFacts { sha256, bytes, rows, format, compression })
    }

    /// Goes forward to the next record.
    fn find(&mut self) -> Result<bool, ReadError> {
        loop {
            let rest = self.forward.rest();
            match self.parser.step(rest, self.forward.is_end, &mut self.current.cells) {
                Ok(Step::Record { from, to, end }) => {
                    if to - from > RECORD_BYTES_MAX {
                        return Err(self.too_large());
                    }
                    self.current.line = self.line + newlines(&rest[..from]);
                    self.current.at = self.forward.at() + from as u64;
                    let taken = self.current.take(&rest[from..to], &mut self.known, self.format);
                    taken.map_err(|fault| self.wrong(Fault::new(from + fault.at, fault.what)))?;
                    self.leave(end);
                    return Ok(true);
                }
                Ok(Step::More { consumed }) => {
                    self.leave(consumed);
                    if self.forward.rest().len() >= RECORD_BYTES_MAX {
                        return Err(self.too_large());
                    }
                    self.forward.fill(&mut self.input)?;
                }
                Ok(Step::End) => return Ok(false),
                Err(fault) => return Err(self.wrong(fault)),
            }
        }
    }

    fn leave(&mut self, length: usize) {
        self.line += newlines(&self.forward.rest()[..length]);
        self.forward.consume(length);
    }

    fn too_large(&self) -> ReadError {
        let (path, limit) = (self.input.path.clone(), RECORD_BYTES_MAX as u64);
        ReadError::TooLarge { path, line: self.line, limit }
    }

    /// A fault with its place; bytes before it that are no text at all explain it better.
    fn wrong(&self, fault: Fault) -> ReadError {
        let (path, rest) = (self.input.path.clone(), self.forward.rest());
        let place = |at: usize| (self.line + newlines(&rest[..at]), self.forward.at() + at as u64);
        let is_certain = |e: &std::str::Utf8Error| e.error_len().is_some() || self.forward.is_end;
        let not_text = std::str::from_utf8(rest).err().filter(is_certain).map(|e| e.valid_up_to());
        if let Some(bad) = not_text.filter(|bad| *bad <= fault.at) {
            let (line, at) = place(bad);
            let is_utf16 = at == 0 && (rest.starts_with(&[0xff, 0xfe]) || rest.starts_with(&[0xfe, 0xff]));
            return ReadError::NotUtf8 { path, line, at, is_utf16 };
        }
        let (line, at) = place(fault.at.min(rest.len()));
        ReadError::Syntax { path, line, at, what: fault.what }
    }
}

impl Current {
    /// Keeps the record whose bytes these are, its cells being found.
    fn take(&mut self, bytes: &[u8], known: &mut Known, format: Format) -> Result<(), Fault> {
        let text = std::str::from_utf8(bytes).map_err(|e| Fault::new(e.valid_up_to(), "not UTF-8"))?;
        self.text.clear();
        self.text.push_str(text);
        if matches!(format, Format::Json | Format::Ndjson) {
            return self.name(bytes, known);
        }
        for span in self.cells.spans.iter_mut().filter(|span| span.form == Form::Doubled) {
            let start = self.text.len();
            let mut parts = text[span.from as usize..span.to as usize].split("\"\"");
            self.text.push_str(parts.next().unwrap_or_default());
            for part in parts {
                self.text.push('"');
                self.text.push_str(part);
            }
            let offset = |n: usize| u32::try_from(n).expect("a record is smaller than 2 GiB");
            (span.from, span.to) = (offset(start), offset(self.text.len()));
        }
        Ok(())
    }

    /// Finds the set of names of an object; that of the record before, most of the time.
    fn name(&mut self, bytes: &[u8], known: &mut Known) -> Result<(), Fault> {
        let Cells { known: expected, members, .. } = &mut self.cells;
        let raw = |&(from, to): &(u32, u32)| &bytes[from as usize..to as usize];
        let is_expected = !expected.is_empty()
            && expected.len() == members.names.len()
            && members.names.iter().map(raw).eq(expected.iter().map(|name| &**name));
        if is_expected {
            return Ok(());
        }
        self.names = known.of_object(bytes, &members.names).map_err(|what| Fault::new(0, what))?;
        expected.clear();
        expected.extend(members.names.iter().map(|range| raw(range).into()));
        Ok(())
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
