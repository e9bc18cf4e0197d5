//! One parser for each format, behind one interface.

use super::cells::Cells;
use super::delimited::Delimited;
use super::error::Fault;
use super::sql::Sql;
use super::{Format, Step, json};

#[derive(Debug)]
pub(super) enum Parser {
    Array(json::Array),
    Lines,
    Delimited(Delimited, Option<usize>),
    Sql(Box<Sql>),
}

impl Parser {
    /// The parser of a file; `table` is the one to read of a dump.
    pub(super) fn new(format: Format, table: Option<&str>) -> Self {
        match format {
            Format::Json => Self::Array(json::Array::new()),
            Format::Ndjson => Self::Lines,
            Format::Csv => Self::Delimited(Delimited::new(b','), None),
            Format::Tsv => Self::Delimited(Delimited::new(b'\t'), None),
            Format::Sql => Self::Sql(Box::new(Sql::new(table))),
        }
    }

    /// The next record; `bytes` begin at the offset `origin` of the file.
    pub(super) fn step(
        &mut self,
        bytes: &[u8],
        is_end: bool,
        origin: u64,
        cells: &mut Cells,
    ) -> Result<Step, Fault> {
        match self {
            Self::Array(array) => array.step(bytes, is_end, cells),
            Self::Lines => json::line(bytes, is_end, cells),
            Self::Delimited(delimited, width) => delimited.step(bytes, is_end, *width, cells),
            Self::Sql(sql) => sql.step(bytes, is_end, origin, cells),
        }
    }

    /// The record at the start of `bytes`, wherever in the file that is.
    pub(super) fn record(
        &mut self,
        bytes: &[u8],
        is_end: bool,
        origin: u64,
        cells: &mut Cells,
    ) -> Result<Step, Fault> {
        match self {
            Self::Array(_) if bytes.is_empty() => Ok(Step::More { consumed: 0 }),
            Self::Array(_) => json::row(bytes, 0, is_end, cells),
            Self::Lines => json::line(bytes, is_end, cells),
            Self::Delimited(delimited, width) => delimited.step(bytes, is_end, *width, cells),
            Self::Sql(sql) => sql.record(bytes, origin, cells),
        }
    }

    /// Whether a file that ends here without a row says that it has none.
    pub(super) fn is_framed(&self) -> bool {
        match self {
            Self::Array(array) => array.is_done(),
            Self::Lines => false,
            Self::Delimited(_, width) => width.is_some(),
            Self::Sql(sql) => sql.is_framed(),
        }
    }

    /// Whether reading can go on behind a fault: not where the frame of the rows itself is missing.
    pub(super) fn can_resume(&self) -> bool {
        match self {
            Self::Array(array) => array.can_resume(),
            Self::Lines => true,
            Self::Delimited(_, width) => width.is_some(),
            Self::Sql(sql) => sql.can_resume(),
        }
    }

    /// Where the damage that starts at `from` ends, if lines or brackets and quotes say so.
    pub(super) fn behind(&mut self, bytes: &[u8], from: usize, is_end: bool) -> Option<usize> {
        match self {
            Self::Array(array) => array.behind(bytes, from),
            Self::Lines | Self::Delimited(..) => {
                memchr::memchr(b'\n', bytes.get(from..)?).map(|length| from + length + 1)
            }
            Self::Sql(sql) => sql.behind(bytes, from, is_end),
        }
    }

    /// Where something sound begins behind `from` and before `limit`.
    pub(super) fn resume(
        &mut self,
        bytes: &[u8],
        from: usize,
        limit: usize,
        cells: &mut Cells,
    ) -> Option<usize> {
        match self {
            Self::Array(array) => array.resume(bytes, from, limit, cells),
            Self::Lines | Self::Delimited(..) => self.behind(bytes, from, true),
            Self::Sql(sql) => sql.resume(bytes, from, limit, cells),
        }
    }

    /// Accepts that the file is over, its last part being damaged.
    pub(super) fn finish(&mut self) {
        match self {
            Self::Array(array) => array.finish(),
            Self::Sql(sql) => sql.finish(),
            Self::Lines | Self::Delimited(..) => {}
        }
    }

    /// How many of these bytes stand between records.
    pub(super) fn gap(&self, bytes: &[u8]) -> usize {
        let is_gap: fn(&u8) -> bool = match self {
            Self::Delimited(..) => |b| matches!(b, b'\n' | b'\r'),
            Self::Lines => u8::is_ascii_whitespace,
            Self::Array(_) | Self::Sql(_) => |b| b.is_ascii_whitespace() || *b == b',',
        };
        bytes.iter().take_while(|b| is_gap(b)).count()
    }

    /// From where on bytes that are no text would explain a fault. In dumps there may be such bytes.
    pub(super) fn text_from(&self, fault: &Fault) -> usize {
        if self.is_sql() { fault.at } else { fault.from }
    }

    pub(super) fn is_sql(&self) -> bool {
        matches!(self, Self::Sql(_))
    }
}
