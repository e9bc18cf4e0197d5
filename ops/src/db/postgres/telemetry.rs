//! PostgreSQL under the telemetry store: prepared statements, several rows in one, and errors told apart.
//!
//! A commit whose answer is lost may have happened; the store finds out with the mark that it leaves in each group.

use std::collections::HashMap;
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use ::postgres::Statement;
use ::postgres::types::private::BytesMut;
use ::postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::{Access, ConnectOptions, Connection, Session};
use crate::db::{DbError, Reader};
use crate::ids;
use crate::telemetry::store::{Dialect, Driver, Durability, Row, Sink, SinkError, Value, widen};
use crate::url::{DbUrl, PostgresUrl};

/// One transaction that changes the schema at a time: two that make the same table would fail otherwise.
const SCHEMA_LOCK: &str = "SELECT pg_advisory_xact_lock(7236452891047215)";
/// Rows of one statement; each is a trip to the server and back.
const ROWS: usize = 64;
/// The protocol counts parameters in two bytes.
const PARAMETERS_MAX: usize = 60_000;
/// Statements that stay prepared.
const STATEMENTS_MAX: usize = 256;

/// A PostgreSQL database that telemetry is written to.
#[derive(Debug)]
pub struct PostgresTelemetry {
    url: PostgresUrl,
    durability: Durability,
}

impl PostgresTelemetry {
    /// The database that `url` names.
    pub fn new(url: PostgresUrl, durability: Durability) -> Self {
        Self { url, durability }
    }

    fn options() -> ConnectOptions {
        ConnectOptions {
            connect_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(10),
            application_name: "ops telemetry".to_owned(),
        }
    }
}

impl Driver for PostgresTelemetry {
    fn connect(&self) -> Result<Box<dyn Sink>, SinkError> {
        // A lock is waited for in slices, as SQLite's are, so that the writer can see to its queue.
        let opened = Connection::open(&self.url, &Self::options(), Access::Write, "-c lock_timeout=500");
        let connection = opened.map_err(|cause| {
            let is_down = cause.is_lost() || cause.code().is_some_and(|code| class(code).is_some());
            let text = cause.to_string();
            if is_down { SinkError::Unavailable { text, is_lost: true } } else { SinkError::Rejected(text) }
        })?;
        let is_durable = self.durability == Durability::Power;
        Ok(Box::new(PostgresSink { connection, is_durable, statements: HashMap::new() }))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, DbError> {
        Ok(Box::new(Session::connect(&self.url, &Self::options())?))
    }

    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn spill_place(&self) -> (Option<PathBuf>, String) {
        let shown = DbUrl::Postgres(self.url.clone()).to_string();
        (None, format!("telemetry-{}", &ids::sha256(shown.as_bytes())[..16]))
    }
}

struct PostgresSink {
    connection: Connection,
    is_durable: bool,
    /// By their text, each with its number of parameters.
    statements: HashMap<String, Statement>,
}

impl PostgresSink {
    fn run(&mut self, sql: &str) -> Result<(), SinkError> {
        let done = self.connection.client.batch_execute(sql);
        done.map_err(|error| classify(&self.connection, &error))
    }

    fn prepare(&mut self, sql: &str) -> Result<Statement, SinkError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let prepared = self.connection.client.prepare(sql);
        let statement = prepared.map_err(|error| classify(&self.connection, &error))?;
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// The names of the columns of a table for which `which` is true.
    fn attributes(&mut self, table: &str, which: &str) -> Result<Vec<String>, SinkError> {
        let sql = format!(
            "SELECT attname::text FROM pg_catalog.pg_attribute WHERE attrelid = pg_catalog.to_regclass($1::text) \
             AND attnum > 0 AND NOT attisdropped AND {which} ORDER BY attnum"
        );
        let rows = self.connection.client.query(&sql, &[&table]);
        let rows = rows.map_err(|error| classify(&self.connection, &error))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Runs a statement with these values for its parameters.
    fn execute(&mut self, statement: &Statement, values: &[Parameter<'_>]) -> Result<(), SinkError> {
        if values.len() != statement.params().len() {
            let text = "the statement has another number of parameters than the job has values".to_owned();
            return Err(SinkError::Rejected(text));
        }
        let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|v| v as &(dyn ToSql + Sync)).collect();
        let done = self.connection.client.execute(statement, &parameters);
        done.map(drop).map_err(|error| classify(&self.connection, &error))
    }
}

impl Sink for PostgresSink {
    fn begin(&mut self, is_durable: bool) -> Result<(), SinkError> {
        let is_durable = is_durable || self.is_durable;
        self.run(if is_durable { "BEGIN; SET LOCAL synchronous_commit = on" } else { "BEGIN" })
    }

    fn commit(&mut self) -> Result<(), SinkError> {
        self.run("COMMIT")
    }

    fn rollback(&mut self) {
        // When this fails the connection is lost, and the next statement says so.
        let _ = self.run("ROLLBACK");
    }

    fn savepoint(&mut self) -> Result<(), SinkError> {
        self.run("SAVEPOINT job")
    }

    fn release(&mut self) -> Result<(), SinkError> {
        self.run("RELEASE SAVEPOINT job")
    }

    fn undo(&mut self) -> Result<(), SinkError> {
        self.run("ROLLBACK TO SAVEPOINT job; RELEASE SAVEPOINT job")
    }

    fn columns(&mut self, table: &str) -> Result<Vec<String>, SinkError> {
        self.attributes(table, "true")
    }

    fn demanded(&mut self, table: &str) -> Result<Vec<String>, SinkError> {
        self.attributes(table, "attnotnull AND NOT atthasdef AND attidentity = ''")
    }

    fn ensure_sql(&mut self, sql: &str) -> Result<(), SinkError> {
        self.run(SCHEMA_LOCK)?;
        // Preparing holds the text to one statement.
        let prepared = self.connection.client.prepare(sql);
        let done = prepared.and_then(|statement| self.connection.client.execute(&statement, &[]));
        done.map(drop).map_err(|error| classify(&self.connection, &error))
    }

    fn rows(&mut self, sql: &str, rows: &mut dyn Iterator<Item = Row<'_>>) -> Result<(), SinkError> {
        let narrow = self.prepare(sql)?;
        let width = narrow.params().len();
        let together = ROWS.min(PARAMETERS_MAX / width.max(1));
        let wide = widen(sql, width, together);
        let (mut waiting, mut values) = (Vec::new(), Vec::new());
        loop {
            waiting.clear();
            waiting.extend(rows.take(together));
            let is_full = waiting.len() == together;
            if let Some(wide) = wide.as_deref().filter(|_| is_full) {
                values.clear();
                for row in &waiting {
                    let before = values.len();
                    values.extend(row.values().map(Parameter));
                    if values.len() - before != width {
                        return self.execute(&narrow, &[]);
                    }
                }
                let wide = self.prepare(wide)?;
                self.execute(&wide, &values)?;
            } else {
                for row in &waiting {
                    values.clear();
                    values.extend(row.values().map(Parameter));
                    self.execute(&narrow, &values)?;
                }
            }
            if !is_full {
                return Ok(());
            }
        }
    }

    fn number(&mut self, sql: &str, key: &str) -> Result<Option<i64>, SinkError> {
        let found = self.connection.client.query_opt(sql, &[&key]);
        let found = found.map_err(|error| classify(&self.connection, &error))?;
        found.map(|row| row.try_get(0)).transpose().map_err(|error| classify(&self.connection, &error))
    }

    fn is_current(&mut self) -> bool {
        !self.connection.client.is_closed()
    }

    fn has_certain_commits(&self) -> bool {
        false
    }

    fn as_reader(&mut self) -> Option<&mut dyn Reader> {
        None
    }
}

/// A value as a parameter of whatever type the server wants.
#[derive(Debug)]
struct Parameter<'a>(Value<'a>);

impl ToSql for Parameter<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match (self.0, ty) {
            (Value::Null, _) => Ok(IsNull::Yes),
            (Value::Bool(b), _) if *ty == Type::BOOL => b.to_sql(ty, out),
            (Value::Bool(b), _) => Self(Value::Int(b.into())).to_sql(ty, out),
            (Value::Int(n), _) if *ty == Type::INT2 => i16::try_from(n)?.to_sql(ty, out),
            (Value::Int(n), _) if *ty == Type::INT4 => i32::try_from(n)?.to_sql(ty, out),
            (Value::Int(n), _) if *ty == Type::INT8 => n.to_sql(ty, out),
            #[expect(clippy::cast_precision_loss, reason = "the column is a float, and the caller's choice")]
            (Value::Int(n), _) if *ty == Type::FLOAT8 => (n as f64).to_sql(ty, out),
            (Value::Real(x), _) if *ty == Type::FLOAT8 => x.to_sql(ty, out),
            (Value::Text(text), _) if <&str as ToSql>::accepts(ty) => text.to_sql(ty, out),
            (Value::Text(text), _) if *ty == Type::JSON => {
                out.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            }
            (Value::Text(text), _) if *ty == Type::JSONB => {
                out.extend_from_slice(&[1]);
                out.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            }
            (Value::Bytes(bytes), _) if *ty == Type::BYTEA => bytes.to_sql(ty, out),
            _ => Err(format!("a value of the job does not fit a parameter of type {ty}").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Whether an SQLSTATE says that the database is not available, and then whether the connection is lost.
fn class(code: &str) -> Option<bool> {
    match &code[..2] {
        // Connection failures, the server shutting down or starting, system errors.
        "08" | "58" | "XX" => Some(true),
        "57" => Some(code != "57014"),
        // Serialization, resources, locks.
        "40" | "53" | "55" => Some(false),
        "25" => (code == "25006").then_some(true),
        _ => None,
    }
}

fn classify(connection: &Connection, error: &::postgres::Error) -> SinkError {
    let cause = connection.cause(error);
    let mut text = cause.to_string();
    if let Some(is_lost) = cause.code().map_or(cause.is_lost().then_some(true), class) {
        return SinkError::Unavailable { text, is_lost };
    }
    // Names, not values.
    let db = error.as_db_error();
    for (what, name) in
        [("constraint", db.and_then(|db| db.constraint())), ("column", db.and_then(|db| db.column()))]
    {
        if let Some(name) = name {
            text.push_str(&format!("; {what} `{name}`"));
        }
    }
    SinkError::Rejected(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        let seen = ["57014", "57P01", "40001", "55P03", "53100", "23505", "42P01", "25P02"].map(class);
        let not_lost = Some(false);
        assert_eq!(seen, [not_lost, Some(true), not_lost, not_lost, not_lost, None, None, None]);
    }
}
