//! Rows behind `COPY … FROM stdin` with `FORMAT csv`: what the options say, and where the cells of a row stand.
//!
//! Quotes hold anywhere in a cell, as in PostgreSQL, and what is quoted is never NULL. A line with `\.` alone ends the
//! rows; inside of quotes it is text.

use super::super::scan::Stop;
use super::super::{Form, Span};
use super::head::Reader;
use super::lex::{self, fault};
use super::value::Values;

/// Bytes of the longest spelling of NULL that is read.
const NULL_MAX: usize = 15;

/// How a sheet is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Sheet {
    delimiter: u8,
    quote: u8,
    escape: u8,
    null: ([u8; NULL_MAX], usize),
}

/// Options of a COPY, as far as they were given.
#[derive(Debug, Default)]
struct Options {
    is_csv: bool,
    has_header: bool,
    delimiter: Option<u8>,
    quote: Option<u8>,
    escape: Option<u8>,
    null: Option<Vec<u8>>,
}

const OTHER: &str = "a COPY in a form that is not read: dump as text, or as csv with the options DELIMITER, NULL, QUOTE, \
    ESCAPE and HEADER only";

/// Reads what stands between `FROM stdin` and its `;`. `None` is PostgreSQL's text; with it whether a line of names
/// comes first.
pub(super) fn options(reader: &mut Reader<'_>) -> Result<Option<(Sheet, bool)>, Stop> {
    let mut options = Options::default();
    reader.word(b"with")?;
    if reader.is(b'(')? {
        loop {
            options.named(reader)?;
            if reader.is(b')')? {
                break;
            }
            reader.expect_byte(b',', OTHER)?;
        }
    }
    while reader.peek()? != b';' {
        options.worded(reader)?;
    }
    options.sheet(reader.at)
}

impl Options {
    /// An option of the list in parentheses.
    fn named(&mut self, reader: &mut Reader<'_>) -> Result<(), Stop> {
        if reader.word(b"format")? {
            self.is_csv = reader.word(b"csv")?;
            return if self.is_csv { Ok(()) } else { reader.expect(b"text", OTHER) };
        }
        if reader.word(b"header")? {
            let is_off = reader.word(b"false")? || reader.word(b"off")? || reader.is(b'0')?;
            let words: [&[u8]; 3] = [b"true", b"on", b"match"];
            for word in words {
                reader.word(word)?;
            }
            self.has_header = !is_off;
            let _ = reader.is(b'1')?;
            return Ok(());
        }
        self.spelled(reader)
    }

    /// An option as it was given before there was a list: `CSV HEADER NULL AS 'x'`.
    fn worded(&mut self, reader: &mut Reader<'_>) -> Result<(), Stop> {
        if reader.word(b"csv")? {
            self.is_csv = true;
            return Ok(());
        }
        if reader.word(b"header")? {
            self.has_header = true;
            return Ok(());
        }
        self.spelled(reader)
    }

    /// An option with a text behind it.
    fn spelled(&mut self, reader: &mut Reader<'_>) -> Result<(), Stop> {
        let place = if reader.word(b"null")? {
            reader.word(b"as")?;
            self.null = Some(reader.text(OTHER)?);
            return Ok(());
        } else if reader.word(b"delimiter")? || reader.word(b"delimiters")? {
            &mut self.delimiter
        } else if reader.word(b"quote")? {
            &mut self.quote
        } else if reader.word(b"escape")? {
            &mut self.escape
        } else {
            return fault(reader.at, OTHER);
        };
        reader.word(b"as")?;
        let text = reader.text(OTHER)?;
        let [byte] = text[..] else { return fault(reader.at, OTHER) };
        *place = Some(byte);
        Ok(())
    }

    fn sheet(self, at: usize) -> Result<Option<(Sheet, bool)>, Stop> {
        let Self { is_csv, has_header, delimiter, quote, escape, null } = self;
        if !is_csv {
            let is_usual = delimiter.is_none_or(|byte| byte == b'\t')
                && null.is_none_or(|null| null == b"\\N")
                && quote.or(escape).is_none()
                && !has_header;
            return if is_usual { Ok(None) } else { fault(at, OTHER) };
        }
        let null = null.unwrap_or_default();
        let (delimiter, quote) = (delimiter.unwrap_or(b','), quote.unwrap_or(b'"'));
        let has_line = [delimiter, quote].iter().chain(&null).any(|byte| matches!(byte, b'\n' | b'\r'));
        if null.len() > NULL_MAX || delimiter == quote || has_line {
            return fault(at, OTHER);
        }
        let mut bytes = [0; NULL_MAX];
        bytes[..null.len()].copy_from_slice(&null);
        let sheet = Sheet { delimiter, quote, escape: escape.unwrap_or(quote), null: (bytes, null.len()) };
        Ok(Some((sheet, has_header)))
    }
}

impl Sheet {
    fn is_null(&self, cell: &[u8]) -> bool {
        let (bytes, length) = &self.null;
        cell == &bytes[..*length]
    }

    /// The cells of the row at `from`, relative to it; gives its end without and with its line end.
    pub(super) fn row(&self, bytes: &[u8], from: usize, values: &mut Values) -> Result<(usize, usize), Stop> {
        values.clear();
        let mut at = from;
        loop {
            let end = self.cell(bytes, from, at, values)?;
            if bytes[end] == self.delimiter {
                at = end + 1;
                continue;
            }
            let is_wide = end > from && bytes[end - 1] == b'\r';
            return Ok((end - usize::from(is_wide), end + 1));
        }
    }

    /// Takes the cell at `start`; gives the offset of the delimiter or line end behind it.
    fn cell(&self, bytes: &[u8], from: usize, start: usize, values: &mut Values) -> Result<usize, Stop> {
        let offset = |n: usize| u32::try_from(n).expect("a record is smaller than 4 GiB");
        let next =
            |at: usize| memchr::memchr3(self.delimiter, b'\n', self.quote, &bytes[at..]).map(|n| at + n);
        let cut = |end: usize, from: usize| {
            let is_wide = bytes[end] == b'\n' && end > from && bytes[end - 1] == b'\r';
            end - usize::from(is_wide)
        };
        let mut at = next(start).ok_or(Stop::End)?;
        if bytes[at] != self.quote {
            let to = cut(at, start);
            if self.is_null(&bytes[start..to]) {
                values.push_null();
            } else {
                let (from, to) = (offset(start - from), offset(to - from));
                values.spans.push(Span { from, to, form: Form::Quoted });
            }
            return Ok(at);
        }
        let begin = values.made.len();
        let mut plain = start;
        while bytes[at] == self.quote {
            values.made.extend_from_slice(&bytes[plain..at]);
            plain = self.quoted(bytes, at + 1, values)?;
            at = next(plain).ok_or(Stop::End)?;
        }
        values.made.extend_from_slice(&bytes[plain..cut(at, plain)]);
        let to = offset(values.made.len());
        values.spans.push(Span { from: offset(begin), to, form: Form::MadeText });
        Ok(at)
    }

    /// Takes what stands from `at` on inside of quotes; gives the offset behind the closing one.
    fn quoted(&self, bytes: &[u8], mut at: usize, values: &mut Values) -> Result<usize, Stop> {
        loop {
            let end = at + memchr::memchr2(self.quote, self.escape, &bytes[at..]).ok_or(Stop::End)?;
            values.made.extend_from_slice(&bytes[at..end]);
            let behind = lex::byte(bytes, end + 1)?;
            let is_escaped = bytes[end] == self.escape && (behind == self.quote || behind == self.escape);
            if is_escaped {
                values.made.push(behind);
                at = end + 2;
            } else if bytes[end] == self.quote {
                return Ok(end + 1);
            } else {
                values.made.push(bytes[end]);
                at = end + 1;
            }
        }
    }
}

/// Whether the line at `from` ends the rows.
pub(super) fn is_end(bytes: &[u8], from: usize) -> Result<bool, Stop> {
    if lex::byte(bytes, from)? != b'\\' || lex::byte(bytes, from + 1)? != b'.' {
        return Ok(false);
    }
    Ok(match lex::byte(bytes, from + 2)? {
        b'\n' => true,
        b'\r' => lex::byte(bytes, from + 3)? == b'\n',
        _ => false,
    })
}
