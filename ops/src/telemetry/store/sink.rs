//! What a database must be able to do for the store: transactions, savepoints, rows.
//!
//! A driver knows nothing of queues, groups or retries, and the store knows nothing of a driver. What a driver must get
//! right is the class of an error: whether the job is at fault, or the database is not available.

use std::path::PathBuf;

use super::table::Dialect;
use super::value::Row;
use crate::db::{DbError, Reader};

/// Why a database did not do what was asked. The text holds no credentials and no values of rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// The job is at fault; trying again would fail again.
    #[error("{0}")]
    Rejected(String),
    /// The database is locked, full or broken; the same job may do later.
    #[error("{text}")]
    Unavailable {
        /// What happened.
        text: String,
        /// Whether the connection is of no use any more.
        is_lost: bool,
    },
}

/// Opens connections to one database.
pub trait Driver: Send + Sync {
    /// A connection to write with. Waits for no lock longer than a fraction of a second.
    fn connect(&self) -> Result<Box<dyn Sink>, SinkError>;

    /// A connection that reads and cannot write.
    fn reader(&self) -> Result<Box<dyn Reader>, DbError>;

    /// How this database spells what differs.
    fn dialect(&self) -> Dialect;

    /// Where spill files go unless the options say otherwise, and how their names begin: the same for every store of
    /// this database, and for no other database.
    fn spill_place(&self) -> (Option<PathBuf>, String);
}

/// A connection that writes.
pub trait Sink: Send {
    /// Begins a transaction that can write; a durable one is on disk when it is committed, whatever the options say.
    fn begin(&mut self, is_durable: bool) -> Result<(), SinkError>;

    /// Commits.
    fn commit(&mut self) -> Result<(), SinkError>;

    /// Undoes the transaction. A connection that cannot must not be used any more; the next `begin` says so.
    fn rollback(&mut self);

    /// Sets a savepoint within the transaction.
    fn savepoint(&mut self) -> Result<(), SinkError>;

    /// Keeps what was done since the savepoint.
    fn release(&mut self) -> Result<(), SinkError>;

    /// Undoes what was done since the savepoint.
    fn undo(&mut self) -> Result<(), SinkError>;

    /// The columns of a table; none when there is no such table.
    fn columns(&mut self, table: &str) -> Result<Vec<String>, SinkError>;

    /// The columns of a table that are never NULL and that nothing fills in when a row does not name them.
    fn demanded(&mut self, table: &str) -> Result<Vec<String>, SinkError>;

    /// Runs a statement of the schema. No other process changes the schema at the same time.
    fn ensure_sql(&mut self, sql: &str) -> Result<(), SinkError>;

    /// Runs one statement, prepared once, for every row.
    fn rows(&mut self, sql: &str, rows: &mut dyn Iterator<Item = Row<'_>>) -> Result<(), SinkError>;

    /// The first value of the first row of a query with one text parameter; `None` when there is no row.
    fn number(&mut self, sql: &str, key: &str) -> Result<Option<i64>, SinkError>;

    /// Whether the connection still is to the database that its place names now; a file may have been replaced.
    fn is_current(&mut self) -> bool;

    /// Whether a commit that fails has certainly not happened. Over a network nobody knows.
    fn has_certain_commits(&self) -> bool;

    /// Reading through this connection, for a database that only it can see.
    fn as_reader(&mut self) -> Option<&mut dyn Reader>;
}

/// An insert of one row of `width` values as one of `count` rows; `None` for any other statement.
pub(crate) fn widen(sql: &str, width: usize, count: usize) -> Option<String> {
    let places: Vec<String> = (1..=width).map(|i| format!("${i}")).collect();
    let head = sql.strip_prefix("INSERT INTO ")?.strip_suffix(&format!(" VALUES ({})", places.join(", ")))?;
    if count < 2 || width == 0 || head.contains('$') {
        return None;
    }
    let row = |row: usize| {
        let places: Vec<String> = (1..=width).map(|i| format!("${}", row * width + i)).collect();
        format!("({})", places.join(", "))
    };
    let rows: Vec<String> = (0..count).map(row).collect();
    Some(format!("INSERT INTO {head} VALUES {}", rows.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_insert_is_widened() {
        let wide = widen("INSERT INTO t (a, b) VALUES ($1, $2)", 2, 2);
        assert_eq!(wide.as_deref(), Some("INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4)"));
        for sql in [
            "INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            "INSERT INTO t (a, b) VALUES ($1, $2), ($1, $2)",
            "UPDATE t SET a = $1 WHERE b = $2",
        ] {
            assert_eq!(widen(sql, 2, 2), None, "{sql}");
        }
    }
}
