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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::store::RowWriter;

    fn refuse(error: &Error) -> SinkError {
        SinkError::Rejected(error.to_string())
    }

    fn insert(conn: &Connection, sql: &str, rows: &[Vec<Value<'_>>]) -> Result<(), SinkError> {
        let encode = |values: &Vec<Value<'_>>| {
            let mut bytes = Vec::new();
            let mut row = RowWriter::new(&mut bytes);
            for value in values {
                row.put(*value);
            }
            bytes
        };
        let bytes: Vec<Vec<u8>> = rows.iter().map(encode).collect();
        let mut rows = bytes.iter().map(|bytes| Row::new(bytes));
        super::rows(conn, &mut Known::new(), sql, &mut rows, refuse)
    }

    fn table() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE t (n INTEGER, word TEXT, x, CHECK (n <> 77))").unwrap();
        conn
    }

    const SQL: &str = "INSERT INTO t (n, word, x) VALUES ($1, $2, $3)";

    /// A row whose values are now those of the row before, now others of the same or of another length and kind.
    fn row(n: usize) -> Vec<Value<'static>> {
        let word = ["same", "same", "else", "of another length", ""][n / 3 % 5];
        let x = match n % 7 {
            0..3 => Value::Null,
            3 => Value::Real(1.5),
            4 => Value::Bytes(b"same"),
            5 => Value::Bool(true),
            _ => Value::Text("same"),
        };
        vec![Value::Int(i64::try_from(n / 2).unwrap()), Value::Text(word), x]
    }

    #[test]
    fn rows_are_what_was_given_however_many_there_are() {
        for count in [0, 1, ROWS - 1, ROWS, ROWS + 1, 4 * ROWS, 5 * ROWS + 3] {
            let conn = table();
            let rows: Vec<_> = (0..count).map(row).collect();
            insert(&conn, SQL, &rows).unwrap();
            let one_by_one = table();
            for row in &rows {
                insert(&one_by_one, SQL, std::slice::from_ref(row)).unwrap();
            }
            let read = |conn: &Connection| -> Vec<String> {
                let mut all =
                    conn.prepare("SELECT rowid, n, quote(word), quote(x) FROM t ORDER BY 1").unwrap();
                let line = |row: &rusqlite::Row<'_>| {
                    let (id, n): (i64, i64) = (row.get(0)?, row.get(1)?);
                    Ok(format!("{id} {n} {} {}", row.get::<_, String>(2)?, row.get::<_, String>(3)?))
                };
                all.query_map([], line).unwrap().map(Result::unwrap).collect()
            };
            assert_eq!(read(&conn).len(), count);
            assert_eq!(read(&conn), read(&one_by_one));
        }
    }

    #[test]
    fn parameters_may_stand_in_any_order() {
        let conn = table();
        let rows: Vec<_> = (0..2 * ROWS).map(row).collect();
        insert(&conn, "INSERT INTO t (x, word, n) VALUES ($3, $2, $1)", &rows).unwrap();
        let sum: i64 = conn.query_row("SELECT sum(n) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(sum, (0..2 * ROWS).map(|n| i64::try_from(n / 2).unwrap()).sum::<i64>());
    }

    #[test]
    fn a_row_that_does_not_fit_is_refused() {
        for bad in [vec![Value::Int(1)], vec![Value::Null; 4], vec![Value::Int(77), Value::Null, Value::Null]]
        {
            for at in [0, ROWS / 2, ROWS + 1] {
                let mut rows: Vec<_> = (0..ROWS + 2).map(row).collect();
                rows[at].clone_from(&bad);
                assert!(insert(&table(), SQL, &rows).is_err(), "{bad:?} at {at}");
            }
        }
    }
}
