//! JSON rows: an array of objects, or one object a line.

use super::error::Fault;
use super::scan::{self, Stop, blanks, object};
use super::{Cells, Step};

/// Where in the file the parser is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the array.
    Start,
    /// Behind `[`.
    First,
    /// Behind a row.
    Between,
    /// Behind the array.
    Done,
}

/// Parses an array of objects.
#[derive(Debug)]
pub(super) struct Array {
    place: Place,
}

impl Array {
    pub(super) fn new() -> Self {
        Self { place: Place::Start }
    }

    pub(super) fn step(&mut self, bytes: &[u8], is_end: bool, cells: &mut Cells) -> Result<Step, Fault> {
        let mut from = 0;
        self.next(bytes, &mut from, is_end, cells).map_err(|fault| Fault { from, ..fault })
    }

    fn next(
        &mut self,
        bytes: &[u8],
        from: &mut usize,
        is_end: bool,
        cells: &mut Cells,
    ) -> Result<Step, Fault> {
        loop {
            let Ok(at) = blanks(bytes, *from) else { return self.out_of_bytes(bytes.len(), is_end) };
            match (self.place, bytes[at]) {
                (Place::Start, b'[') => (self.place, *from) = (Place::First, at + 1),
                (Place::Start, b'{') => return Err(Fault::new(at, ONE_OBJECT)),
                (Place::Start, _) => {
                    return Err(Fault::new(at, "expected `[`: rows in JSON are an array of objects"));
                }
                (Place::First | Place::Between, b']') => (self.place, *from) = (Place::Done, at + 1),
                (Place::First, _) => return self.row(bytes, at, at, is_end, cells),
                (Place::Between, b',') => match blanks(bytes, at + 1) {
                    Ok(next) if bytes[next] == b']' => {
                        return Err(Fault::new(at, "a comma before the end of the array"));
                    }
                    Ok(next) => return self.row(bytes, next, at, is_end, cells),
                    Err(_) => return self.out_of_bytes(at, is_end),
                },
                (Place::Between, _) => return Err(Fault::new(at, "expected `,` or `]` after a row")),
                (Place::Done, _) => return Err(Fault::new(at, "something follows the end of the array")),
            }
        }
    }

    /// Whether the array was seen whole.
    pub(super) fn is_done(&self) -> bool {
        self.place == Place::Done
    }

    /// Whether reading can go on behind a fault.
    pub(super) fn can_resume(&self) -> bool {
        self.place != Place::Start
    }

    /// Accepts that the file is over.
    pub(super) fn finish(&mut self) {
        self.place = Place::Done;
    }

    /// The offset behind the element at `from`, if its brackets and quotes say where that is.
    pub(super) fn behind(&mut self, bytes: &[u8], from: usize) -> Option<usize> {
        let end = element(bytes, from).filter(|end| self.place != Place::Done && is_followed(bytes, *end))?;
        self.place = Place::Between;
        Some(end)
    }

    /// Where a whole object stands between commas, which has the names of the row before (one that has not may
    /// stand inside a row), no further than `limit`.
    pub(super) fn resume(
        &mut self,
        bytes: &[u8],
        from: usize,
        limit: usize,
        cells: &mut Cells,
    ) -> Option<usize> {
        if self.place == Place::Done {
            return None;
        }
        for at in memchr::memchr_iter(b'{', bytes.get(from + 1..limit)?).map(|at| from + 1 + at) {
            let before = bytes[from..at].trim_ascii_end().strip_suffix(b",").map(<[u8]>::trim_ascii_end);
            if !before.is_some_and(|before| before.ends_with(b"}")) {
                continue;
            }
            let is_whole = object(bytes, at, &[], &mut cells.members)
                .is_ok_and(|end| is_followed(bytes, end))
                && cells.is_like_before(bytes);
            if is_whole {
                self.place = Place::First;
                return Some(at);
            }
        }
        None
    }

    /// The row at `at`; what comes from `keep` on is needed again if it does not end here.
    fn row(
        &mut self,
        bytes: &[u8],
        at: usize,
        keep: usize,
        is_end: bool,
        cells: &mut Cells,
    ) -> Result<Step, Fault> {
        let step = row(bytes, at, is_end, cells)?;
        if matches!(step, Step::Record { .. }) {
            self.place = Place::Between;
            return Ok(step);
        }
        Ok(Step::More { consumed: keep })
    }

    fn out_of_bytes(&self, consumed: usize, is_end: bool) -> Result<Step, Fault> {
        match self.place {
            _ if !is_end => Ok(Step::More { consumed }),
            Place::Start | Place::Done => Ok(Step::End),
            Place::First | Place::Between => {
                Err(Fault::new(consumed, "the file ends inside the array of rows"))
            }
        }
    }
}

/// Whether a comma or the end of the array is next.
fn is_followed(bytes: &[u8], at: usize) -> bool {
    blanks(bytes, at).is_ok_and(|next| matches!(bytes[next], b',' | b']'))
}

/// The offset behind the element at `from`, whatever it is, by its brackets and quotes.
fn element(bytes: &[u8], from: usize) -> Option<usize> {
    let (mut at, mut depth) = (from, 0_usize);
    loop {
        let is_stop = |b: &u8| matches!(b, b'"' | b',' | b'{' | b'}' | b'[' | b']');
        at += bytes.get(at..)?.iter().position(is_stop)?;
        match bytes[at] {
            b'"' => {
                at = scan::lenient_string(bytes, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b',' | b']' if depth == 0 => return Some(at),
            b'}' if depth == 0 => {}
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
}

const ONE_OBJECT: &str = "an object where an array of rows was expected: if this is one object a line, give the \
    format ndjson; if the rows are inside it, as in {\"rows\": [...]}, take the array out first";

/// The object at `at`, whatever comes behind it.
pub(super) fn row(bytes: &[u8], at: usize, is_end: bool, cells: &mut Cells) -> Result<Step, Fault> {
    match members(bytes, at, cells) {
        Ok(end) => Ok(Step::Record { from: at, to: end, end }),
        Err(Stop::Fault(fault)) => Err(fault),
        Err(Stop::End) if is_end => Err(Fault::new(bytes.len(), "the file ends inside a row")),
        Err(Stop::End) => Ok(Step::More { consumed: 0 }),
    }
}

/// One object a line. Lines of blanks are passed over.
pub(super) fn line(bytes: &[u8], is_end: bool, cells: &mut Cells) -> Result<Step, Fault> {
    let mut from = 0;
    loop {
        let (to, next) = match memchr::memchr(b'\n', &bytes[from..]) {
            Some(length) => (from + length, from + length + 1),
            None if is_end => (bytes.len(), bytes.len()),
            None => return Ok(Step::More { consumed: from }),
        };
        if let Some((at, end)) = on_line(&bytes[..to], from, next == to, cells)? {
            return Ok(Step::Record { from: at, to: end, end: next });
        }
        if next == to {
            return Ok(Step::End);
        }
        from = next;
    }
}

/// Where the object of the line stands that goes from `from` to the end of `line`, without its line end; `None` where
/// there are but blanks.
pub(super) fn on_line(
    line: &[u8],
    from: usize,
    is_last: bool,
    cells: &mut Cells,
) -> Result<Option<(usize, usize)>, Fault> {
    let Ok(at) = blanks(line, from) else { return Ok(None) };
    let end = members(line, at, cells).map_err(|stop| match stop {
        Stop::Fault(fault) => fault,
        Stop::End if is_last => Fault::new(line.len(), "the file ends inside a row"),
        Stop::End => {
            Fault::new(line.len(), "the line ends inside a row: in this format each row is one line")
        }
    })?;
    match blanks(line, end) {
        Err(_) => Ok(Some((at, end))),
        Ok(rest) => Err(Fault::new(rest, "something follows the row on its line")),
    }
}

fn members(bytes: &[u8], at: usize, cells: &mut Cells) -> Result<usize, Stop> {
    if bytes[at] != b'{' {
        let found = match bytes[at] {
            b'[' => "an array",
            b'"' => "a text",
            b'-' | b'0'..=b'9' => "a number",
            b't' | b'f' => "true or false",
            b'n' => "null",
            _ => "something else",
        };
        return Err(Stop::Fault(Fault::new(
            at,
            format!("a row is an object with named fields, found {found}"),
        )));
    }
    let end = object(&bytes[at..], 0, &cells.known, &mut cells.members).map_err(|stop| match stop {
        Stop::End => Stop::End,
        Stop::Fault(fault) => Stop::Fault(Fault::new(fault.at + at, fault.what)),
    })?;
    std::mem::swap(&mut cells.spans, &mut cells.members.values);
    Ok(at + end)
}
