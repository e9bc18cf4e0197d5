//! Writing a lineage into a SQLite file: the one change that `db-identity` can make, and only once.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use crate::db::{DbError, LINEAGE_DDL, Lineage, WriteLineage};

/// Stamps the database at `path` unless it is stamped already. The file must exist.
pub fn write_lineage(path: &Path, lineage: &Lineage, tool_version: &str) -> Result<WriteLineage, DbError> {
    let run = || -> Result<WriteLineage, rusqlite::Error> {
        let mut conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        conn.busy_timeout(Duration::from_secs(5))?;
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(LINEAGE_DDL)?;
        let found = tx
            .query_row("SELECT lineage, purpose, stamped_at FROM ops_lineage", [], |row| {
                Ok(Lineage { id: row.get(0)?, purpose: row.get(1)?, stamped_at: row.get(2)? })
            })
            .optional()?;
        if let Some(found) = found {
            return Ok(WriteLineage::AlreadyStamped(found));
        }
        tx.execute(
            "INSERT INTO ops_lineage (singleton, lineage, purpose, stamped_at, tool_version) VALUES (1, ?1, ?2, ?3, ?4)",
            (&lineage.id, &lineage.purpose, &lineage.stamped_at, tool_version),
        )?;
        tx.commit()?;
        Ok(WriteLineage::Written)
    };
    run().map_err(|e| DbError::new(format!("write the lineage into `{}`", path.display()), e))
}
