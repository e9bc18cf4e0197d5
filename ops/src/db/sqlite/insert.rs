//! Rows through prepared statements, as fast as SQLite takes them: several rows of one table with one statement, and of
//! each row only the values that the statement does not hold already.
//!
//! To start and end a statement costs as much as the values of a row do, and most values of telemetry (the run, the model,
//! the category) are those of a row before. What fails fails as a whole: the caller has a transaction to undo.

use std::collections::HashMap;

use rusqlite::types::Null;
use rusqlite::{CachedStatement, Connection, Error};

use crate::telemetry::store::{Row, SinkError, Value, widen};

/// Rows of one statement. More make the statement no faster, and what is left over is written row by row.
const ROWS: usize = 25;
/// SQLite takes so many parameters.
const PARAMETERS_MAX: usize = 32_766;
/// Of so many statements it is known what they are. A program has few, unless it writes values into their text.
const KNOWN_MAX: usize = 256;

/// What is known of statements, by their text.
pub(super) type Known = HashMap<String, Form>;

/// What is known of a statement.
#[derive(Debug, Clone)]
pub(super) struct Form {
    /// Which value each parameter takes, from 0; `None` when they stand in order, as in every insert of a table.
    order: Option<Vec<usize>>,
    /// The same for [`ROWS`] rows, where that is possible.
    wide: Option<String>,
}

impl Form {
    fn of(statement: &CachedStatement<'_>, sql: &str) -> Self {
        let width = statement.parameter_count();
        let order = order(statement);
        let can_widen = order.is_none() && width * ROWS <= PARAMETERS_MAX;
        Self { wide: if can_widen { widen(sql, width, ROWS) } else { None }, order }
    }
}

/// Runs the statement `sql` for every row.
pub(super) fn rows<'a>(
    conn: &Connection,
    known: &mut Known,
    sql: &str,
    rows: &mut dyn Iterator<Item = Row<'a>>,
    classify: fn(&Error) -> SinkError,
) -> Result<(), SinkError> {
    let prepare = |sql: &str| conn.prepare_cached(sql).map_err(|error| classify(&error));
    let narrow = prepare(sql)?;
    if known.len() == KNOWN_MAX && !known.contains_key(sql) {
        known.clear();
    }
    let form = match known.get(sql) {
        Some(form) => form,
        None => known.entry(sql.to_owned()).or_insert(Form::of(&narrow, sql)),
    };
    let mut waiting: Vec<Row<'a>> = Vec::new();
    if let Some(wide) = &form.wide {
        waiting.extend(rows.take(ROWS));
        if waiting.len() == ROWS {
            let mut wide = Rows::of(prepare(wide)?, ROWS, None, classify);
            while waiting.len() == ROWS {
                wide.write(&waiting)?;
                waiting.clear();
                waiting.extend(rows.take(ROWS));
            }
        }
    }
    let mut narrow = Rows::of(narrow, 1, form.order.as_deref(), classify);
    waiting.into_iter().chain(rows).try_for_each(|row| narrow.write(&[row]))
}

/// A statement, and the rows that its parameters hold.
struct Rows<'c, 'k, 'a> {
    statement: CachedStatement<'c>,
    /// Parameters of one row.
    width: usize,
    held: Vec<Row<'a>>,
    order: Option<&'k [usize]>,
    classify: fn(&Error) -> SinkError,
}

impl<'c, 'k, 'a> Rows<'c, 'k, 'a> {
    fn of(
        statement: CachedStatement<'c>,
        rows: usize,
        order: Option<&'k [usize]>,
        classify: fn(&Error) -> SinkError,
    ) -> Self {
        let width = statement.parameter_count() / rows;
        Self { statement, width, held: vec![Row::default(); rows], order, classify }
    }

    /// Runs the statement for as many rows as it takes.
    fn write(&mut self, rows: &[Row<'a>]) -> Result<(), SinkError> {
        for (place, row) in rows.iter().enumerate() {
            let bound = match self.order {
                None => self.bind(place, *row),
                Some(order) => bind_ordered(&mut self.statement, order, *row),
            };
            if !bound.map_err(|error| (self.classify)(&error))? {
                let text = "the statement has another number of parameters than the job has values";
                return Err(SinkError::Rejected(text.to_owned()));
            }
        }
        self.statement.raw_execute().map_err(|error| (self.classify)(&error))?;
        Ok(())
    }

    /// Binds what is not there yet; `false` when there are more or fewer values than parameters.
    fn bind(&mut self, place: usize, row: Row<'a>) -> Result<bool, Error> {
        let mut count = 0;
        for change in row.changes(self.held[place]) {
            count += 1;
            if count > self.width {
                return Ok(false);
            }
            if let Some(value) = change {
                bind(&mut self.statement, place * self.width + count, value)?;
            }
        }
        self.held[place] = row;
        Ok(count == self.width)
    }
}

fn order(statement: &CachedStatement<'_>) -> Option<Vec<usize>> {
    let place = |index: usize| {
        let name = statement.parameter_name(index).unwrap_or_default();
        let number = name.get(1..).and_then(|digits| digits.parse::<usize>().ok());
        number.filter(|number| *number > 0).unwrap_or(index) - 1
    };
    let count = statement.parameter_count();
    let order: Vec<usize> = (1..=count).map(place).collect();
    (!order.iter().copied().eq(0..count)).then_some(order)
}

/// Binds the value that each parameter names; `false` when there is none.
fn bind_ordered(statement: &mut CachedStatement<'_>, order: &[usize], row: Row<'_>) -> Result<bool, Error> {
    let values: Vec<Value<'_>> = row.values().collect();
    for (index, place) in order.iter().enumerate() {
        let Some(value) = values.get(*place) else { return Ok(false) };
        bind(statement, index + 1, *value)?;
    }
    Ok(true)
}

fn bind(statement: &mut CachedStatement<'_>, index: usize, value: Value<'_>) -> Result<(), Error> {
    match value {
        Value::Null => statement.raw_bind_parameter(index, Null),
        Value::Int(n) => statement.raw_bind_parameter(index, n),
        Value::Real(x) => statement.raw_bind_parameter(index, x),
        Value::Bool(b) => statement.raw_bind_parameter(index, b),
        Value::Text(text) => statement.raw_bind_parameter(index, text),
        Value::Bytes(bytes) => statement.raw_bind_parameter(index, bytes),
    }
}
