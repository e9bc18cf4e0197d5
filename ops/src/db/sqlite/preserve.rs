//! The proof that a migration lost nothing: the content of every table before, looked for again after.
//!
//! It runs inside the migration's transaction, so a migration that fails the proof has not happened. What
//! a migration adds is of no interest here.

use std::collections::BTreeMap;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::migrator::MigrateError;
use super::tables;

/// What a migration would have lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// A table is gone.
    #[error("table `{table}` would be lost")]
    Table {
        /// Its name.
        table: String,
    },
    /// A column is gone.
    #[error("column `{table}.{column}` would be lost")]
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A table has another number of rows.
    #[error("table `{table}` would have {after} rows instead of {before}")]
    Rows {
        /// The table.
        table: String,
        /// Rows before the migration.
        before: u64,
        /// Rows after it.
        after: u64,
    },
    /// A column holds other values or values of another type.
    #[error("values of column `{table}.{column}` would change")]
    Values {
        /// The table.
        table: String,
        /// The first such column.
        column: String,
    },
    /// Every column holds the same values, but in other combinations.
    #[error("values of table `{table}` would change places between its rows")]
    Places {
        /// The table.
        table: String,
    },
    /// A table that never gives an id out twice would.
    #[error("table `{table}` would give out ids from {after} again, it had reached {before}")]
    Sequence {
        /// The table.
        table: String,
        /// The highest id ever given out.
        before: i64,
        /// What the migration made of it.
        after: i64,
    },
}

/// The content of a database at one moment, as digests.
#[derive(Debug)]
pub(super) struct Snapshot {
    tables: BTreeMap<String, Content>,
    sequences: BTreeMap<String, i64>,
}

#[derive(Debug)]
struct Content {
    columns: Vec<String>,
    rows: u64,
    /// Sum over the rows of the XXH3-128 of a row: the order of rows has no part in it.
    digest: u128,
    /// The same for each column by itself, to name the one that changed.
    by_column: Vec<u64>,
}

impl Snapshot {
    /// Reads every row of every table.
    pub(super) fn take(conn: &Connection) -> Result<Self> {
        let content = |table: String| {
            let content = Content::read(conn, &table, tables::columns(conn, &table)?)?;
            Ok((table, content))
        };
        let tables = tables::names(conn)?.into_iter().map(content).collect::<Result<_>>()?;
        Ok(Self { tables, sequences: sequences(conn)? })
    }

    /// Looks for everything of this snapshot in the database as it is now; gives the number of rows.
    pub(super) fn compare(&self, conn: &Connection) -> Result<u64, MigrateError> {
        let read = |e| MigrateError::db("compare the content before and after", e);
        let mut rows = 0;
        for (table, before) in &self.tables {
            let columns = tables::columns(conn, table).map_err(read)?;
            if columns.is_empty() {
                return Err(Loss::Table { table: table.clone() }.into());
            }
            let gone = before.columns.iter().find(|c| !columns.iter().any(|now| now.eq_ignore_ascii_case(c)));
            if let Some(column) = gone {
                return Err(Loss::Column { table: table.clone(), column: column.clone() }.into());
            }
            let after = Content::read(conn, table, before.columns.clone()).map_err(read)?;
            before.same(table, &after)?;
            rows += after.rows;
        }
        let now = sequences(conn).map_err(read)?;
        for (table, &before) in &self.sequences {
            let after = now.get(table).copied().unwrap_or(0);
            if after < before {
                return Err(Loss::Sequence { table: table.clone(), before, after }.into());
            }
        }
        Ok(rows)
    }
}

impl Content {
    fn read(conn: &Connection, table: &str, columns: Vec<String>) -> Result<Self> {
        let list: Vec<String> = columns.iter().map(|column| tables::quote(column)).collect();
        let sql = format!("SELECT {} FROM {}", list.join(", "), tables::quote(table));
        let mut statement = conn.prepare(&sql)?;
        let mut found = statement.query([])?;
        let mut content = Self { rows: 0, digest: 0, by_column: vec![0; columns.len()], columns };
        let mut bytes = Vec::new();
        while let Some(row) = found.next()? {
            bytes.clear();
            for (i, sum) in content.by_column.iter_mut().enumerate() {
                let start = bytes.len();
                encode(row.get_ref(i)?, &mut bytes);
                *sum = sum.wrapping_add(xxh3_64(&bytes[start..]));
            }
            content.rows += 1;
            content.digest = content.digest.wrapping_add(xxh3_128(&bytes));
        }
        Ok(content)
    }

    fn same(&self, table: &str, after: &Self) -> Result<(), Loss> {
        let table = table.to_owned();
        if self.rows != after.rows {
            return Err(Loss::Rows { table, before: self.rows, after: after.rows });
        }
        if self.digest == after.digest {
            return Ok(());
        }
        let changed = self.by_column.iter().zip(&after.by_column).position(|(before, after)| before != after);
        Err(match changed {
            Some(i) => Loss::Values { table, column: self.columns[i].clone() },
            None => Loss::Places { table },
        })
    }
}

/// Type, length and bytes: the number 1, the text `1` and the float 1.0 are three values.
fn encode(value: ValueRef<'_>, bytes: &mut Vec<u8>) {
    let mut sized = |tag: u8, content: &[u8]| {
        bytes.push(tag);
        bytes.extend_from_slice(&content.len().to_le_bytes());
        bytes.extend_from_slice(content);
    };
    match value {
        ValueRef::Null => sized(0, &[]),
        ValueRef::Integer(n) => sized(1, &n.to_le_bytes()),
        ValueRef::Real(x) => sized(2, &x.to_bits().to_le_bytes()),
        ValueRef::Text(text) => sized(3, text),
        ValueRef::Blob(blob) => sized(4, blob),
    }
}

/// The highest id that each AUTOINCREMENT table has given out.
fn sequences(conn: &Connection) -> Result<BTreeMap<String, i64>> {
    if !tables::exists(conn, "table", "sqlite_sequence")? {
        return Ok(BTreeMap::new());
    }
    let mut statement = conn.prepare("SELECT name, seq FROM sqlite_sequence")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(before: &str, change: &str) -> Option<Loss> {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(before).unwrap();
        let snapshot = Snapshot::take(&conn).unwrap();
        conn.execute_batch(change).unwrap();
        match snapshot.compare(&conn) {
            Ok(_) => None,
            Err(MigrateError::Lost(loss)) => Some(loss),
            Err(other) => panic!("{other}"),
        }
    }

    const TABLE: &str = "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (NULL, x'00')";

    #[test]
    fn additions_and_the_order_of_rows_are_no_loss() {
        assert_eq!(loss(TABLE, "ALTER TABLE t ADD COLUMN c DEFAULT 1; CREATE TABLE u (a)"), None);
        let rewritten = "CREATE TABLE n (b, A); INSERT INTO n SELECT b, a FROM t ORDER BY a DESC;
            DROP TABLE t; ALTER TABLE n RENAME TO t";
        assert_eq!(loss(TABLE, rewritten), None);
    }

    #[test]
    fn every_loss_is_named() {
        let table = || "t".to_owned();
        let column = |name: &str| name.to_owned();
        let values = |name| Some(Loss::Values { table: table(), column: column(name) });
        assert_eq!(loss(TABLE, "DROP TABLE t"), Some(Loss::Table { table: table() }));
        let without = Some(Loss::Column { table: table(), column: column("b") });
        assert_eq!(loss(TABLE, "ALTER TABLE t DROP COLUMN b"), without);
        let fewer = Some(Loss::Rows { table: table(), before: 3, after: 2 });
        assert_eq!(loss(TABLE, "DELETE FROM t WHERE a = 2"), fewer);
        assert_eq!(loss(TABLE, "UPDATE t SET b = 'z' WHERE a = 2"), values("b"));
        assert_eq!(loss(TABLE, "UPDATE t SET a = '1' WHERE a = 1"), values("a"));
        assert_eq!(loss(TABLE, "UPDATE t SET a = 1.0 WHERE a = 1"), values("a"));
        assert_eq!(loss(TABLE, "UPDATE t SET a = '' WHERE a IS NULL"), values("a"));
        let swapped = "UPDATE t SET b = CASE b WHEN 'x' THEN 'y' ELSE 'x' END WHERE a IS NOT NULL";
        assert_eq!(loss(TABLE, swapped), Some(Loss::Places { table: table() }));
    }

    #[test]
    fn ids_are_not_given_out_again() {
        let before = "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT, b);
            INSERT INTO t (b) VALUES (1), (2), (3); DELETE FROM t WHERE a = 3";
        let rebuilt = "CREATE TABLE n (a INTEGER PRIMARY KEY AUTOINCREMENT, b);
            INSERT INTO n SELECT * FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t";
        let expected = Loss::Sequence { table: "t".to_owned(), before: 3, after: 2 };
        assert_eq!(loss(before, rebuilt), Some(expected));
    }
}
