//! Upserts into a SQLite file.

use std::time::Instant;

use rusqlite::Connection;

use crate::data::Item;
use crate::{Failure, UPDATES};

fn open(path: &str, synchronous: &str) -> Result<Connection, Failure> {
    let connection = Connection::open(path)?;
    connection.execute_batch(&format!("PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}"))?;
    connection.execute_batch("PRAGMA wal_autocheckpoint = 20000; PRAGMA cache_size = -64000")?;
    Ok(connection)
}

fn sql() -> String {
    format!(
        "INSERT INTO items VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO UPDATE SET {UPDATES}"
    )
}

/// A prepared statement a row, a transaction a batch.
pub(crate) fn batches(path: &str, synchronous: &str, batch: usize, items: &[Item]) -> Result<f64, Failure> {
    let mut connection = open(path, synchronous)?;
    let sql = sql();
    let start = Instant::now();
    for batch in items.chunks(batch) {
        let transaction = connection.transaction()?;
        let mut statement = transaction.prepare_cached(&sql)?;
        for i in batch {
            let row = (&i.id, &i.name, &i.description, &i.tone, i.depth, i.weight, &i.updated_at, &i.meta);
            statement.execute(row)?;
        }
        drop(statement);
        transaction.commit()?;
    }
    Ok(start.elapsed().as_secs_f64())
}

/// A transaction a row.
pub(crate) fn rows(path: &str, items: &[Item]) -> Result<f64, Failure> {
    batches(path, "FULL", 1, items)
}

/// What tells two tables apart, whatever the order of their rows.
pub(crate) fn digest(path: &str) -> Result<String, Failure> {
    let sql = "SELECT count(*) || ' ' || sum(depth) || ' ' || sum(length(description)) || ' ' || sum(weight) || ' ' ||
        sum(length(meta)) || ' ' || sum(unicode(substr(id, 1 + depth)) * length(name)) FROM items";
    Ok(Connection::open(path)?.query_row(sql, [], |row| row.get(0))?)
}
