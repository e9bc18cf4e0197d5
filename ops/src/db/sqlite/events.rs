//! Reads millions of token events: one thread per connection, each over its range of row ids.
//!
//! Only the columns of the analysis are decoded and no row allocates. A row that cannot be read is counted,
//! never skipped in silence; all threads read one and the same state of the database, or one thread reads
//! alone.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rusqlite::Connection;
use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::{Null, ValueRef};

use crate::db::DbError;
use crate::tokens::analysis::Analysis;
use crate::tokens::event::TokenEvent;

const TABLE: &str = "token_estimation_v2_events";

/// How often the connections try to see the same state while others write.
const SNAPSHOT_ATTEMPTS: u32 = 8;

/// Folds every token event into one analysis. The connections are to one database and outside a transaction.
/// `make` gives each thread an empty analysis; they are merged in the order of the row ids, so that the result
/// does not depend on the number of connections. Ids of events are row ids. Old schemas without the columns
/// `truncated`, `selected_budget`, `smape_percent`, `waste_ratio` or `underestimated` are read as not
/// recording them.
pub(super) fn scan(
    connections: Vec<Connection>,
    make: impl Fn() -> Analysis + Sync,
) -> Result<Analysis, DbError> {
    scan_all(connections, make).map_err(|e| DbError::new(format!("read the events in `{TABLE}`"), e))
}

/// What can go wrong in a scan beneath the name of the table.
#[derive(Debug, thiserror::Error)]
enum ScanError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("no connection to read with")]
    NoConnection,
    #[error("the table is missing or has no column `{0}`")]
    NoColumn(&'static str),
}

fn scan_all(
    mut connections: Vec<Connection>,
    make: impl Fn() -> Analysis + Sync,
) -> Result<Analysis, ScanError> {
    if !share_snapshot(&connections)? {
        connections.truncate(1);
    }
    let first = connections.first().ok_or(ScanError::NoConnection)?;
    let columns = columns(first)?;
    let ranges = ranges(first, connections.len())?;
    let (columns, make) = (&columns, &make);
    // A connection may move to another thread but not be shared, so each thread takes its own.
    let parts: Vec<Result<Analysis, ScanError>> = thread::scope(|scope| {
        let threads: Vec<_> = connections
            .into_iter()
            .zip(ranges)
            .map(|(connection, range)| scope.spawn(move || scan_range(&connection, columns, range, make())))
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    });
    let mut merged: Option<Analysis> = None;
    for part in parts {
        let part = part?;
        merged = Some(match merged {
            None => part,
            Some(earlier) => earlier.merge(part),
        });
    }
    Ok(merged.unwrap_or_else(make))
}

/// Opens a read transaction on every connection, all on the same state of the database; `false` when others
/// wrote in between each time. The data version of a connection changes with every commit of another one, so
/// if it is the same before and after, nobody committed while the transactions were opened.
fn share_snapshot(connections: &[Connection]) -> Result<bool, rusqlite::Error> {
    let Some((first, others)) = connections.split_first() else { return Ok(true) };
    if others.is_empty() {
        begin(first)?;
        return Ok(true);
    }
    let data_version = || first.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0));
    for _ in 0..SNAPSHOT_ATTEMPTS {
        let before = data_version()?;
        for connection in others.iter().chain([first]) {
            begin(connection)?;
        }
        if data_version()? == before {
            return Ok(true);
        }
        for connection in connections {
            connection.execute_batch("ROLLBACK")?;
        }
    }
    begin(first)?;
    Ok(false)
}

/// Begins a read transaction; the read fixes the state it sees.
fn begin(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.execute_batch("BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1;")
}

/// The range of row ids in as many equal parts as there are readers; none for an empty table.
fn ranges(connection: &Connection, parts: usize) -> Result<Vec<RangeInclusive<i64>>, rusqlite::Error> {
    // One after the other: the two together would read the whole table.
    let end =
        |which| connection.query_row(&format!("SELECT {which}(rowid) FROM {TABLE}"), [], |row| row.get(0));
    let (first, last): (Option<i64>, Option<i64>) = (end("min")?, end("max")?);
    let (Some(first), Some(last)) = (first, last) else { return Ok(Vec::new()) };
    let (first, last) = (i128::from(first), i128::from(last));
    let size = (last - first) / parts as i128 + 1;
    let clamp = |id: i128| i64::try_from(id).unwrap_or(i64::MAX);
    Ok((0..parts as i128)
        .map(|i| (first + i * size, (first + (i + 1) * size - 1).min(last)))
        .filter(|(from, to)| from <= to)
        .map(|(from, to)| clamp(from)..=clamp(to))
        .collect())
}

/// The arguments of the fold: the row id, then columns of the table, in the order of [`event`].
const COLUMNS: [&str; 12] = [
    "rowid",
    "category",
    "complexity",
    "deliverable_count",
    "predicted_output_tokens",
    "actual_output_tokens",
    "success",
    "truncated",
    "selected_budget",
    "smape_percent",
    "waste_ratio",
    "underestimated",
];
const TRUNCATED: usize = 7;

/// Of these, how many from the start every schema has.
const REQUIRED: usize = 7;

/// The columns of this table, NULL in place of those that an old schema lacks.
fn columns(connection: &Connection) -> Result<[&'static str; COLUMNS.len()], ScanError> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let present =
        statement.query_map([TABLE], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    let has = |column: &str| column == "rowid" || present.iter().any(|name| name == column);
    match COLUMNS[..REQUIRED].iter().find(|column| !has(column)) {
        Some(missing) => Err(ScanError::NoColumn(missing)),
        None => Ok(COLUMNS.map(|column| if has(column) { column } else { "NULL" })),
    }
}

fn scan_range(
    connection: &Connection,
    columns: &[&str; COLUMNS.len()],
    range: RangeInclusive<i64>,
    analysis: Analysis,
) -> Result<Analysis, ScanError> {
    let analysis = Arc::new(Mutex::new(analysis));
    let fold = Fold { analysis: Arc::clone(&analysis), records_truncation: columns[TRUNCATED] != "NULL" };
    connection.create_aggregate_function("fold", -1, FunctionFlags::SQLITE_UTF8, fold)?;
    // A scan comes to no leaf twice: a small cache keeps nothing useless in memory and stays in the processor's own.
    connection.execute_batch("PRAGMA cache_size = 16")?;
    let columns = columns.join(", ");
    connection.query_row(
        &format!("SELECT fold({columns}) FROM {TABLE} WHERE rowid BETWEEN ?1 AND ?2"),
        [range.start(), range.end()],
        |_| Ok(()),
    )?;
    let mut analysis = analysis.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *analysis))
}

/// Feeds an analysis from within SQLite. As an aggregate function it is handed the values of a row at once;
/// stepping through the rows from outside takes half as much time again.
struct Fold {
    /// Where the analysis waits before the first row and after the last.
    analysis: Arc<Mutex<Analysis>>,
    records_truncation: bool,
}

impl Fold {
    fn exchange(&self, analysis: Analysis) -> Analysis {
        let mut slot = self.analysis.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut slot, analysis)
    }
}

impl Aggregate<Analysis, Null> for Fold {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Analysis> {
        Ok(self.exchange(Analysis::default()))
    }

    fn step(&self, values: &mut Context<'_>, analysis: &mut Analysis) -> rusqlite::Result<()> {
        let id = values.get(0)?;
        match event(values, id, self.records_truncation) {
            Ok(event) => analysis.push(&event),
            Err(column) => analysis.push_unreadable(id, COLUMNS[column]),
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, analysis: Option<Analysis>) -> rusqlite::Result<Null> {
        if let Some(analysis) = analysis {
            self.exchange(analysis);
        }
        Ok(Null)
    }
}

/// The event of a row, or the index of the first column that holds no usable value.
fn event<'row>(
    values: &'row Context<'_>,
    id: i64,
    records_truncation: bool,
) -> Result<TokenEvent<'row>, usize> {
    Ok(TokenEvent {
        id,
        category: required(values, 1, text)?,
        complexity: required(values, 2, text)?,
        deliverable_count: required(values, 3, count)?,
        predicted: required(values, 4, count)?,
        actual: required(values, 5, count)?,
        success: required(values, 6, flag)?,
        truncated: if records_truncation { Some(required(values, TRUNCATED, flag)?) } else { None },
        selected_budget: nullable(values, 8, count)?,
        smape_percent: nullable(values, 9, real)?,
        waste_ratio: nullable(values, 10, real)?,
        underestimated: nullable(values, 11, flag)?,
    })
}

fn required<'row, T>(
    values: &'row Context<'_>,
    column: usize,
    read: impl Fn(ValueRef<'row>) -> Option<T>,
) -> Result<T, usize> {
    read(values.get_raw(column)).ok_or(column)
}

fn nullable<'row, T>(
    values: &'row Context<'_>,
    column: usize,
    read: impl Fn(ValueRef<'row>) -> Option<T>,
) -> Result<Option<T>, usize> {
    match values.get_raw(column) {
        ValueRef::Null => Ok(None),
        value => read(value).map(Some).ok_or(column),
    }
}

fn text(value: ValueRef<'_>) -> Option<&str> {
    match value {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

fn count(value: ValueRef<'_>) -> Option<u64> {
    match value {
        ValueRef::Integer(n) => u64::try_from(n).ok(),
        _ => None,
    }
}

fn flag(value: ValueRef<'_>) -> Option<bool> {
    match value {
        ValueRef::Integer(0) => Some(false),
        ValueRef::Integer(1) => Some(true),
        _ => None,
    }
}

fn real(value: ValueRef<'_>) -> Option<f64> {
    match value {
        ValueRef::Real(x) => Some(x),
        ValueRef::Integer(n) => Some(n as f64),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
