//! The one write to a database that is otherwise only read: the row that names its lineage.
//!
//! A stamp is never changed here. Whoever comes second is told what is there.

use ::postgres::{Client, IsolationLevel};

use super::cause::Cause;
use super::{ConnectOptions, Session, connect};
use crate::db::{DbError, LINEAGE_DDL, Lineage, WriteLineage};
use crate::url::PostgresUrl;

/// Held to the end of the transaction, so that of two stampers the second waits and then sees the row. Any
/// number that no other program uses as an advisory lock will do: these are the letters `ops_line`.
const LOCK: i64 = i64::from_be_bytes(*b"ops_line");

impl Session {
    /// Stamps the database in a transaction of its own that can write; the table is created when missing.
    /// Safe against another stamper at the same time: exactly one writes.
    pub fn write_lineage(
        url: &PostgresUrl,
        options: &ConnectOptions,
        lineage: &Lineage,
        tool_version: &str,
    ) -> Result<WriteLineage, DbError> {
        let (mut client, secrets, _) =
            connect::open(url, options, "", "").map_err(|e| DbError::new("connect to PostgreSQL", e))?;
        stamp(&mut client, lineage, tool_version)
            .map_err(|e| DbError::new("stamp the database", Cause::driver(&e, &secrets)))
    }
}

/// `READ COMMITTED`, because the statement after the lock must see what its previous holder wrote.
fn stamp(
    client: &mut Client,
    lineage: &Lineage,
    tool_version: &str,
) -> Result<WriteLineage, ::postgres::Error> {
    let mut transaction =
        client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).read_only(false).start()?;
    transaction.execute("SELECT pg_catalog.pg_advisory_xact_lock($1)", &[&LOCK])?;
    let missing = transaction.query_one("SELECT pg_catalog.to_regclass('ops_lineage') IS NULL", &[])?;
    if missing.get(0) {
        transaction.batch_execute(LINEAGE_DDL)?;
    }
    let written = transaction.execute(
        "INSERT INTO ops_lineage (singleton, lineage, purpose, stamped_at, tool_version) \
         VALUES (1, $1, $2, $3, $4) ON CONFLICT (singleton) DO NOTHING",
        &[&lineage.id, &lineage.purpose, &lineage.stamped_at, &tool_version],
    )?;
    if written == 1 {
        transaction.commit()?;
        return Ok(WriteLineage::Written);
    }
    let row = transaction.query_one("SELECT lineage, purpose, stamped_at FROM ops_lineage", &[])?;
    let found = Lineage { id: row.get(0), purpose: row.get(1), stamped_at: row.get(2) };
    Ok(WriteLineage::AlreadyStamped(found))
}
