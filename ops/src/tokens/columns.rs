//! Token events from a Parquet file, as this toolkit, `DuckDB`, pandas and polars write it.
//!
//! A column of another type than the events have refuses the file by its name; a row that is no event is counted and
//! named by its number, and never stops the rest. A file of more rows than single ones are looked at is read by two
//! threads, each some of its row groups; merged in their order, so that the result is that of one.

use std::borrow::Cow;
use std::io::{Read, Seek};
use std::ops::Range;
use std::thread;

use super::analysis::Analysis;
use super::event::TokenEvent;
use super::input::Input;
use super::ndjson::{Row, Value};
use super::sample::{SAMPLES_MAX, Samples};
use crate::clock::Stamp;
use crate::parquet::{Cell, Kind, Layout, ParquetError, Rows};

/// Why a file gives no events.
#[derive(Debug, thiserror::Error)]
pub enum ColumnsError {
    /// It cannot be read.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    /// It is about something else.
    #[error("these are no token events: there is no column {0}")]
    Missing(String),
    /// A column is of another type.
    #[error("column `{column}` holds {found}, not {expected}")]
    Kind {
        /// The column.
        column: &'static str,
        /// What it holds.
        found: &'static str,
        /// What the events hold.
        expected: &'static str,
    },
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    Text,
    Count,
    Real,
    Flag,
    Time,
}

/// Columns by what they are read as, those that every event has first.
const FIELDS: [(&str, Want); 22] = [
    ("category", Want::Text),
    ("complexity", Want::Text),
    ("deliverable_count", Want::Count),
    ("predicted_output_tokens", Want::Count),
    ("actual_output_tokens", Want::Count),
    ("success", Want::Flag),
    ("truncated", Want::Flag),
    ("event_id", Want::Count),
    ("selected_budget", Want::Count),
    ("smape_percent", Want::Real),
    ("waste_ratio", Want::Real),
    ("underestimated", Want::Flag),
    ("run_id", Want::Text),
    ("phase_id", Want::Text),
    ("timestamp", Want::Time),
    ("is_truncated_output", Want::Flag),
    ("outcome_source", Want::Text),
    ("verified", Want::Flag),
    ("estimator_version", Want::Text),
    ("coefficient_digest", Want::Text),
    ("features_json", Want::Text),
    ("deliverables_json", Want::Text),
];
/// How many of the fields every event has.
const NEEDED: usize = 6;
/// Which old tables do not have: what they do not record is not the same as false.
const TRUNCATED: usize = 6;
/// How many of the fields an analysis reads; the others are of single attempts.
const ANALYSED: usize = 12;

/// The columns of a file that are read: for each field, which of them.
#[derive(Debug, Default)]
struct Asked {
    columns: Vec<usize>,
    places: [Option<usize>; FIELDS.len()],
}

impl Asked {
    /// The first `fields` of the fields, as far as the file has them.
    fn of(layout: &Layout, fields: usize) -> Result<Self, ColumnsError> {
        let missing: Vec<String> = FIELDS[..NEEDED]
            .iter()
            .filter(|(name, _)| layout.find(name).is_none())
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        if !missing.is_empty() {
            return Err(ColumnsError::Missing(missing.join(", ")));
        }
        let mut asked = Self::default();
        for (field, (name, want)) in FIELDS.iter().enumerate().take(fields) {
            let Some(column) = layout.find(name) else { continue };
            check(name, *want, layout.columns[column].kind)?;
            asked.places[field] = Some(asked.columns.len());
            asked.columns.push(column);
        }
        Ok(asked)
    }
}

/// Refuses a column whose type no field of this kind can be read from.
fn check(column: &'static str, want: Want, kind: Kind) -> Result<(), ColumnsError> {
    let fits = match (want, kind) {
        // What is of no type that is read is refused by its reader, with the reason.
        (_, Kind::Other(_)) => true,
        (Want::Text, kind) => kind == Kind::Text,
        // Programs for which whole numbers have no NULL write floating-point ones.
        (Want::Count | Want::Real, kind) => matches!(kind, Kind::Int { .. } | Kind::Real { .. }),
        (Want::Flag, kind) => matches!(kind, Kind::Flag | Kind::Int { .. } | Kind::Real { .. }),
        (Want::Time, kind) => matches!(kind, Kind::Text | Kind::Time { .. }),
    };
    let found = match kind {
        Kind::Flag => "truth values",
        Kind::Int { .. } => "whole numbers",
        Kind::Real { .. } => "floating-point numbers",
        Kind::Time { .. } => "points in time",
        Kind::Text => "texts",
        Kind::Other(what) => what,
    };
    let expected = match want {
        Want::Text => "texts",
        Want::Count => "whole numbers",
        Want::Real => "numbers",
        Want::Flag => "truth values",
        Want::Time => "points in time",
    };
    if fits { Ok(()) } else { Err(ColumnsError::Kind { column, found, expected }) }
}

/// Adds all events of a file; `open` opens it, once for each reader. One of several files is compared with the others, so
/// that an event in two of them counts once; so are the rows of a small file with each other.
pub fn read_parquet<S: Read + Seek>(
    open: impl Fn() -> std::io::Result<S> + Sync,
    one_of_several: bool,
    input: &mut Input,
    analysis: &mut Analysis,
    samples: &mut Samples,
) -> Result<(), ColumnsError> {
    let layout = Layout::read(&mut open().map_err(ParquetError::from)?)?;
    if one_of_several || layout.rows <= SAMPLES_MAX as u64 {
        let asked = Asked::of(&layout, FIELDS.len())?;
        let reader = Reader { open: &open, layout: &layout, asked: &asked };
        return reader.singly(input, analysis, samples);
    }
    let asked = Asked::of(&layout, ANALYSED)?;
    let reader = Reader { open: &open, layout: &layout, asked: &asked };
    let [first, second] = halves(&layout.group_rows().collect::<Vec<_>>());
    let make = || (input.part(), Analysis::new(analysis.options));
    let (ours, theirs) = (make(), make());
    let read = |part: (Input, Analysis), range: Range<usize>| reader.counted(range, part);
    let (ours, theirs) = thread::scope(|scope| {
        let theirs = scope.spawn(|| read(theirs, second));
        (read(ours, first), theirs.join())
    });
    let theirs = theirs.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    for (part, of_part) in [ours?, theirs?] {
        samples.left_out += part.accepted;
        input.merge(part);
        *analysis = std::mem::take(analysis).merge(of_part);
    }
    input.unchecked += layout.rows;
    Ok(())
}

/// The row groups in two ranges with about as many rows each.
fn halves(rows: &[u64]) -> [Range<usize>; 2] {
    let all: u128 = rows.iter().map(|rows| u128::from(*rows)).sum();
    let mut before = 0;
    let first = rows.iter().map(|rows| u128::from(*rows)).take_while(|rows| {
        let is_more_in_first = before * 2 + rows <= all;
        before += rows;
        is_more_in_first
    });
    let middle = first.count();
    [0..middle, middle..rows.len()]
}

struct Reader<'r, O> {
    open: &'r O,
    layout: &'r Layout,
    asked: &'r Asked,
}

impl<S: Read + Seek, O: Fn() -> std::io::Result<S>> Reader<'_, O> {
    /// Adds the events of some row groups to an analysis.
    fn counted(
        &self,
        groups: Range<usize>,
        (mut input, mut analysis): (Input, Analysis),
    ) -> Result<(Input, Analysis), ColumnsError> {
        let mut source = (self.open)().map_err(ParquetError::from)?;
        let mut line: u64 = self.layout.group_rows().take(groups.start).sum();
        for group in groups {
            let mut rows = Rows::open(self.layout, group, &self.asked.columns, &mut source)?;
            loop {
                let count = rows.advance()?;
                if count == 0 {
                    break;
                }
                let fields = Fields { rows: &rows, places: &self.asked.places };
                for row in 0..count {
                    line += 1;
                    match fields.event(row, line) {
                        Ok(event) => {
                            input.accepted += 1;
                            analysis.push(&event);
                        }
                        Err(reason) => input.reject(line, reason),
                    }
                }
            }
        }
        Ok((input, analysis))
    }

    /// Adds the events with everything that is recorded of them, each once.
    fn singly(
        &self,
        input: &mut Input,
        analysis: &mut Analysis,
        samples: &mut Samples,
    ) -> Result<(), ColumnsError> {
        let mut source = (self.open)().map_err(ParquetError::from)?;
        let mut line = 0;
        for group in 0..self.layout.group_rows().count() {
            let mut rows = Rows::open(self.layout, group, &self.asked.columns, &mut source)?;
            loop {
                let count = rows.advance()?;
                if count == 0 {
                    break;
                }
                let fields = Fields { rows: &rows, places: &self.asked.places };
                for row in 0..count {
                    line += 1;
                    let whole = fields.row(row);
                    match fields.event(row, line) {
                        Err(reason) => input.reject(line, reason),
                        Ok(_) if whole.key().is_some_and(|key| input.is_repeated(key)) => {}
                        Ok(event) => {
                            input.accepted += 1;
                            analysis.push(&event);
                            samples.push(|| whole.sample(&event));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// The present rows by their fields.
struct Fields<'a, S> {
    rows: &'a Rows<'a, S>,
    places: &'a [Option<usize>; FIELDS.len()],
}

impl<'a, S: Read + Seek> Fields<'a, S> {
    fn cell(&self, field: usize, row: usize) -> Cell<'a> {
        self.places[field].map_or(Cell::Null, |place| self.rows.cell(place, row))
    }

    fn value(&self, field: usize, row: usize) -> Value<'a> {
        value(self.cell(field, row))
    }

    fn text(&self, field: usize, row: usize) -> Result<&'a str, String> {
        match self.cell(field, row) {
            Cell::Text(text) => Ok(text),
            Cell::Null => Err(format!("`{}` is missing", FIELDS[field].0)),
            _ => Err(format!("`{}` is not text", FIELDS[field].0)),
        }
    }

    fn event(&self, row: usize, line: u64) -> Result<TokenEvent<'a>, String> {
        // What nearly every cell is comes first: ten million rows have a hundred million of them.
        let count = |field: usize| match self.cell(field, row) {
            Cell::Int(n) if n >= 0 => Ok(n.unsigned_abs()),
            cell => value(cell).count(FIELDS[field].0),
        };
        let flag = |field: usize| match self.cell(field, row) {
            Cell::Flag(flag) => Ok(flag),
            cell => value(cell).flag(FIELDS[field].0),
        };
        let real = |field: usize| match self.cell(field, row) {
            Cell::Real(x) if x > 0.0 && x < f64::INFINITY => Ok(Some(x)),
            cell => value(cell).optional(Value::real, FIELDS[field].0),
        };
        let id = if let Cell::Int(id) = self.cell(7, row) { Some(id) } else { None };
        Ok(TokenEvent {
            id: id.or_else(|| i64::try_from(line).ok()).unwrap_or(i64::MAX),
            category: self.text(0, row)?,
            complexity: self.text(1, row)?,
            deliverable_count: count(2)?,
            predicted: count(3)?,
            actual: count(4)?,
            success: flag(5)?,
            truncated: self.places[TRUNCATED].map(|_| flag(TRUNCATED)).transpose()?,
            selected_budget: self.value(8, row).optional(Value::count, FIELDS[8].0)?,
            smape_percent: real(9)?,
            waste_ratio: real(10)?,
            underestimated: self.value(11, row).optional(Value::flag, FIELDS[11].0)?,
        })
    }

    /// What else is recorded of an event.
    fn row(&self, row: usize) -> Row<'a> {
        let of = |field: usize| self.value(field, row);
        Row {
            predicted_output_tokens: of(3),
            actual_output_tokens: of(4),
            run_id: of(12),
            phase_id: of(13),
            timestamp: of(14),
            is_truncated_output: of(15),
            outcome_source: of(16),
            verified: of(17),
            estimator_version: of(18),
            coefficient_digest: of(19),
            features_json: of(20),
            deliverables_json: of(21),
            ..Row::default()
        }
    }
}

/// A cell as the fields of all sources are read.
fn value(cell: Cell<'_>) -> Value<'_> {
    /// Beyond it not every whole number is one of these.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    match cell {
        Cell::Null => Value::Missing,
        Cell::Flag(flag) => Value::Flag(flag),
        Cell::Int(n) => u64::try_from(n).map_or(Value::Negative, Value::Count),
        Cell::Huge(n) => Value::Count(n),
        Cell::Real(x) if x.is_nan() => Value::Missing,
        Cell::Real(x) if x < 0.0 => Value::Negative,
        Cell::Real(x) if x <= WHOLE_MAX && x.fract() == 0.0 => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole, and in range"
            )]
            let count = x as u64;
            Value::Count(count)
        }
        Cell::Real(x) => Value::Real(x),
        Cell::Time(units, per_second) => {
            let micros = units.rem_euclid(per_second) * 1_000_000 / per_second;
            match Stamp::from_unix(units.div_euclid(per_second)).map(Stamp::db) {
                Some(text) => {
                    let second = text.split('.').next().unwrap_or_default();
                    Value::Text(Cow::Owned(format!("{second}.{micros:06}")))
                }
                None => Value::Other,
            }
        }
        Cell::Text(text) => Value::Text(Cow::Borrowed(text)),
        Cell::Bytes => Value::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_groups_are_halved() {
        assert_eq!(halves(&[]), [0..0, 0..0]);
        assert_eq!(halves(&[5]), [0..1, 1..1]);
        assert_eq!(halves(&[5, 5]), [0..1, 1..2]);
        assert_eq!(halves(&[4, 4, 4]), [0..2, 2..3]);
        assert_eq!(halves(&[1, 9]), [0..1, 1..2]);
        assert_eq!(halves(&[0, 0, 7, 1, 1, 1]), [0..3, 3..6]);
        assert_eq!(halves(&[u64::MAX, 1]), [0..1, 1..2]);
    }

    #[test]
    fn numbers_are_read_as_what_they_are_worth() {
        assert!(matches!(value(Cell::Real(3.0)), Value::Count(3)));
        assert!(matches!(value(Cell::Real(f64::NAN)), Value::Missing));
        assert!(matches!(value(Cell::Real(-0.5)), Value::Negative));
        assert!(matches!(value(Cell::Real(f64::INFINITY)), Value::Real(_)));
        assert!(matches!(value(Cell::Int(-1)), Value::Negative));
        assert!(matches!(value(Cell::Huge(u64::MAX)), Value::Count(u64::MAX)));
        let time = value(Cell::Time(-1, 1_000));
        assert!(matches!(&time, Value::Text(t) if t == "1969-12-31 23:59:59.999000"), "{time:?}");
    }
}
