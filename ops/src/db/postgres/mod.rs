//! PostgreSQL: reading in one snapshot that cannot write, and the one write that names a database.
//!
//! This folder is the only user of the postgres crate. A [`Session`] must never write: the connection, the
//! transaction and the way statements are sent each rule it out. No error that leaves this folder may hold a
//! user name or a password.

mod cause;
mod connect;
mod connection;
mod facts;
mod lineage;
pub mod phases;
mod telemetry;
mod tls;

use std::fmt;
use std::time::Duration;

use ::postgres::types::{Kind, Type};
use ::postgres::{Client, SimpleQueryMessage};

pub(crate) use self::cause::Cause;
use self::cause::Secrets;
pub(crate) use self::connection::{Access, Connection};
pub use self::facts::{Place, ServerFacts};
pub use self::phases::PostgresStore;
pub use self::telemetry::PostgresTelemetry;
use super::{Cell, DbError, Reader};
use crate::url::PostgresUrl;

/// How long a session waits, and how it introduces itself to the server.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Longest wait for a usable session: name lookup, TCP, TLS and login together. A `connect_timeout` in
    /// the URL takes precedence.
    pub connect_timeout: Duration,
    /// Longest run of one statement, waits for locks included; kept by the server.
    pub statement_timeout: Duration,
    /// What `pg_stat_activity` shows. An `application_name` in the URL takes precedence.
    pub application_name: String,
}

/// A connection that reads: one `REPEATABLE READ` transaction, `READ ONLY`, from connecting to dropping.
pub struct Session {
    client: Client,
    secrets: Secrets,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// `SELECT` takes the snapshot, so that it dates from here and the access mode is settled. Going back to the
/// savepoint undoes a failed statement without giving up the snapshot.
const BEGIN: &str =
    "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1; SAVEPOINT reading";
const RETURN_TO_SAVEPOINT: &str = "ROLLBACK TO SAVEPOINT reading";

impl Session {
    /// Connects and takes the snapshot that everything after this reads.
    ///
    /// The URL's `sslmode` is `disable`, `prefer` (the default), `require`, `verify-ca` or `verify-full`, with
    /// `sslrootcert=/absolute/file.pem` or the system's roots. A parameter that is not known is refused before
    /// anything is sent.
    pub fn connect(url: &PostgresUrl, options: &ConnectOptions) -> Result<Self, DbError> {
        Self::open(url, options, "-c default_transaction_read_only=on")
    }

    /// As [`Session::connect`], but a statement that row-level security would make incomplete fails.
    pub fn connect_unrestricted(url: &PostgresUrl, options: &ConnectOptions) -> Result<Self, DbError> {
        Self::open(url, options, "-c default_transaction_read_only=on -c row_security=off")
    }

    fn open(url: &PostgresUrl, options: &ConnectOptions, settings: &str) -> Result<Self, DbError> {
        connect::open(url, options, settings, BEGIN)
            .map(|(client, secrets, _)| Self { client, secrets })
            .map_err(|cause| DbError::new("connect to PostgreSQL", cause))
    }

    /// Rows of one statement. A failed one leaves the session usable.
    fn read(&mut self, sql: &str) -> Result<Vec<Vec<Cell>>, Cause> {
        self.attempt(|client, secrets| read(client, secrets, sql))
    }

    fn attempt<T>(
        &mut self,
        statement: impl FnOnce(&mut Client, &Secrets) -> Result<T, Cause>,
    ) -> Result<T, Cause> {
        let result = statement(&mut self.client, &self.secrets);
        if result.is_err() {
            // When this fails too, the connection is lost; the first error says why.
            let _ = self.client.batch_execute(RETURN_TO_SAVEPOINT);
        }
        result
    }
}

/// Prepares for the column types, which also holds the text to a single statement, and then asks for the
/// values as text, which the server prints exactly for every type it has.
fn read(client: &mut Client, secrets: &Secrets, sql: &str) -> Result<Vec<Vec<Cell>>, Cause> {
    let statement = client.prepare(sql).map_err(|e| Cause::driver(&e, secrets))?;
    if statement.columns().is_empty() {
        // COMMIT and SET would come through here: nothing that ends the transaction returns columns.
        return Err(Cause::new("the statement is not a query: it returns no columns"));
    }
    let messages = client.simple_query(sql).map_err(|e| Cause::driver(&e, secrets))?;
    let mut rows = Vec::new();
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            let columns = statement.columns().iter().enumerate();
            rows.push(columns.map(|(i, column)| cell(column.type_(), row.get(i))).collect::<Result<_, _>>()?);
        }
    }
    Ok(rows)
}

fn cell(kind: &Type, text: Option<&str>) -> Result<Cell, Cause> {
    let Some(text) = text else { return Ok(Cell::Null) };
    let strange = || Cause::new(format!("the server sent `{text}` as a value of type {kind}"));
    match *kind {
        Type::INT2 | Type::INT4 | Type::INT8 => text.parse().map(Cell::Int).map_err(|_| strange()),
        Type::BOOL => Ok(Cell::Int(i64::from(text == "t"))),
        Type::FLOAT4 | Type::FLOAT8 => text.parse().map(Cell::Real).map_err(|_| strange()),
        _ => match kind.kind() {
            Kind::Domain(base) => cell(base, Some(text)),
            _ => Ok(Cell::Text(text.to_owned())),
        },
    }
}

impl Reader for Session {
    /// The table is looked up by its exact name along the search path.
    fn columns(&mut self, table: &str) -> Result<Vec<String>, DbError> {
        const SQL: &str = "SELECT a.attname::text FROM pg_catalog.pg_attribute a \
             JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
             WHERE a.attrelid = pg_catalog.to_regclass(pg_catalog.quote_ident($1)) \
             AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
        self.attempt(|client, secrets| client.query(SQL, &[&table]).map_err(|e| Cause::driver(&e, secrets)))
            .map(|rows| rows.iter().map(|row| row.get(0)).collect())
            .map_err(|cause| DbError::new(format!("read the columns of `{table}`"), cause))
    }

    fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Cell>>, DbError> {
        self.read(sql).map_err(|cause| DbError::new("read rows from PostgreSQL", cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_the_cell_of_its_type() {
        let cells = [
            (Type::INT8, Some("-9223372036854775808"), Cell::Int(i64::MIN)),
            (Type::BOOL, Some("t"), Cell::Int(1)),
            (Type::BOOL, Some("f"), Cell::Int(0)),
            (Type::FLOAT8, Some("-Infinity"), Cell::Real(f64::NEG_INFINITY)),
            (Type::NUMERIC, Some("0.10"), Cell::Text("0.10".into())),
            (Type::INT4, None, Cell::Null),
        ];
        for (kind, text, expected) in cells {
            assert_eq!(cell(&kind, text).unwrap(), expected, "{kind} {text:?}");
        }
        assert!(cell(&Type::INT4, Some("1.5")).is_err());
    }
}
