//! CSV and TSV: a header, then rows of exactly as many cells.
//!
//! Quoting is that of RFC 4180 with either delimiter. What it does not allow is refused and not guessed at: a
//! quote inside a bare cell, text behind a closing quote, a quote that is never closed, a lone carriage return.

use super::error::Fault;
use super::{Cells, Form, Span, Step, words};

/// Parses rows after the header.
#[derive(Debug)]
pub(super) struct Delimited {
    delimiter: u8,
}

/// Where a cell ended.
enum After {
    Delimiter,
    Line,
    End,
}

impl Delimited {
    pub(super) fn new(delimiter: u8) -> Self {
        Self { delimiter }
    }

    /// The next row, which must have `width` cells if that is known. Empty lines are passed over, except that
    /// in a file of one column each is a row of one empty cell.
    pub(super) fn step(
        &self,
        bytes: &[u8],
        is_end: bool,
        width: Option<usize>,
        cells: &mut Cells,
    ) -> Result<Step, Fault> {
        let mut from = 0;
        while width != Some(1) {
            match &bytes[from..] {
                [b'\n', ..] => from += 1,
                [b'\r', b'\n', ..] => from += 2,
                _ => break,
            }
        }
        if from == bytes.len() || (!is_end && &bytes[from..] == b"\r") {
            return Ok(if is_end { Step::End } else { Step::More { consumed: from } });
        }
        let Some((to, end)) = self.row(bytes, from, is_end, &mut cells.spans)? else {
            return Ok(Step::More { consumed: from });
        };
        let found = cells.spans.len();
        if let Some(expected) = width.filter(|expected| *expected != found) {
            let what = format!("a row of {found} cells, where the header has {expected}");
            return Err(Fault { end: Some(end), ..Fault::new(from, what) });
        }
        Ok(Step::Record { from, to, end })
    }

    /// Spans relative to `from`; where the row ends, without and with its line end. `None` without enough bytes.
    fn row(
        &self,
        bytes: &[u8],
        from: usize,
        is_end: bool,
        spans: &mut Vec<Span>,
    ) -> Result<Option<(usize, usize)>, Fault> {
        spans.clear();
        let offset = |n: usize| u32::try_from(n - from).expect("a record is smaller than 4 GiB");
        let mut at = from;
        loop {
            let (start, to, form) = match bytes.get(at) {
                Some(b'"') => match quoted(bytes, at, is_end)? {
                    Some((to, form)) => (at + 1, to, form),
                    None => return Ok(None),
                },
                _ => (at, self.bare(bytes, at)?, Form::Cell),
            };
            spans.push(Span { from: offset(start), to: offset(to), form });
            let behind = to + usize::from(form != Form::Cell);
            match self.after(bytes, behind, is_end)? {
                None => return Ok(None),
                Some((After::Delimiter, next)) => at = next,
                Some((After::Line, next)) => return Ok(Some((behind, next))),
                Some((After::End, next)) => {
                    if let Some(last) = spans.last_mut().filter(|last| last.form == Form::Cell) {
                        last.form = Form::Open;
                    }
                    return Ok(Some((behind, next)));
                }
            }
        }
    }

    /// The end of a cell without quotes.
    fn bare(&self, bytes: &[u8], from: usize) -> Result<usize, Fault> {
        let is_stop = |b: &u8| *b == self.delimiter || matches!(b, b'\n' | b'\r' | b'"');
        let stops = [self.delimiter, b'\n', b'\r', b'"'];
        let start = words::find(bytes, from, |word| words::any_of(word, stops));
        let to = bytes[start..].iter().position(is_stop).map_or(bytes.len(), |length| start + length);
        if bytes.get(to) == Some(&b'"') {
            return Err(Fault::new(to, "a quote inside a cell that does not start with one"));
        }
        Ok(to)
    }

    fn after(&self, bytes: &[u8], at: usize, is_end: bool) -> Result<Option<(After, usize)>, Fault> {
        match &bytes[at..] {
            [] => Ok(is_end.then_some((After::End, at))),
            [b'\n', ..] => Ok(Some((After::Line, at + 1))),
            [b'\r', b'\n', ..] => Ok(Some((After::Line, at + 2))),
            [b'\r'] if !is_end => Ok(None),
            [b'\r', ..] => Err(Fault::new(at, "a carriage return that ends no line; quote the cell")),
            [byte, ..] if *byte == self.delimiter => Ok(Some((After::Delimiter, at + 1))),
            _ => Err(Fault::new(at, "text behind the closing quote of a cell")),
        }
    }
}

/// The offset of the closing quote of a cell that opens at `from`, and whether there are doubled ones inside.
fn quoted(bytes: &[u8], from: usize, is_end: bool) -> Result<Option<(usize, Form)>, Fault> {
    let mut at = from + 1;
    let mut form = Form::Quoted;
    while let Some(length) = memchr::memchr(b'"', &bytes[at..]) {
        at += length;
        match bytes.get(at + 1) {
            Some(b'"') => (at, form) = (at + 2, Form::Doubled),
            None if !is_end => return Ok(None),
            _ => return Ok(Some((at, form))),
        }
    }
    if is_end { Err(Fault::new(from, "a quote that is never closed")) } else { Ok(None) }
}
