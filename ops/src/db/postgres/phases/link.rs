//! A connection of a worker: prepared statements, transactions, and another connection when this one is lost.
//!
//! What is tried again must be something that may happen twice, or that can tell whether it happened.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use ::postgres::fallible_iterator::FallibleIterator;
use ::postgres::types::ToSql;
use ::postgres::{Row, Statement};

use super::super::{Access, Cause, ConnectOptions, Connection};
use crate::db::DbError;
use crate::phases::StoreError;
use crate::url::PostgresUrl;

/// How long a server that is away, or too busy, is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long before it is asked again.
const PAUSE: Duration = Duration::from_millis(100);
/// A transaction here takes milliseconds. One that stands still belongs to a worker that is suspended or gone; the server
/// ends it, so that nobody waits for its locks.
const SETTINGS: &str = "-c lock_timeout=30000 -c idle_in_transaction_session_timeout=5000";

/// What can go wrong inside a transaction.
pub(super) enum Failure {
    /// The server said no, or nothing.
    Server(Cause),
    /// The tables do not allow it.
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Failure {
    fn into_error(self, what: &str) -> StoreError {
        match self {
            Self::Server(cause) => DbError::new(what, cause).into(),
            Self::Store(error) => error,
        }
    }

    /// Whether trying again may help, and whether it takes a new connection.
    fn passing(&self) -> Option<bool> {
        let Self::Server(cause) = self else { return None };
        if cause.is_lost() {
            return Some(true);
        }
        match cause.code() {
            // Ended by the server: for standing still, for a restart, by hand.
            Some("25P03" | "57P01" | "57P02" | "57P03" | "57P05") => Some(true),
            Some(code) if code.starts_with("08") => Some(true),
            // Serialization, a deadlock, a lock that was not had in time, too many connections.
            Some("40001" | "40P01" | "55P03" | "53300") => Some(false),
            _ => None,
        }
    }
}

/// A connection and what is prepared on it.
pub(super) struct Link {
    connection: Connection,
    statements: HashMap<&'static str, Statement>,
}

impl Link {
    /// What went wrong, without credentials and without what rows hold.
    pub(super) fn failure(&self, error: &::postgres::Error) -> Failure {
        Failure::Server(self.connection.cause(error))
    }

    /// Runs text without parameters.
    pub(super) fn run(&mut self, sql: &str) -> Result<(), Failure> {
        let done = self.connection.client.batch_execute(sql);
        done.map_err(|error| self.failure(&error))
    }

    /// Prepares a statement once.
    pub(super) fn prepare(&mut self, sql: &'static str) -> Result<Statement, Failure> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.connection.client.prepare(sql).map_err(|error| self.failure(&error))?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    /// All rows of a query.
    pub(super) fn all(
        &mut self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        let statement = self.prepare(sql)?;
        let rows = self.connection.client.query(&statement, values);
        rows.map_err(|error| self.failure(&error))
    }

    /// Hands out the rows of a query one by one, without holding more than the network has sent.
    pub(super) fn each(
        &mut self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
        mut each: impl FnMut(&Row),
    ) -> Result<(), Failure> {
        let statement = self.prepare(sql)?;
        let rows = self.connection.client.query_raw(&statement, values.iter().copied());
        let done = rows.and_then(|mut rows| {
            while let Some(row) = rows.next()? {
                each(&row);
            }
            Ok(())
        });
        done.map_err(|error| self.failure(&error))
    }

    /// The row of a query that has one or none.
    pub(super) fn maybe(
        &mut self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Failure> {
        let statement = self.prepare(sql)?;
        let row = self.connection.client.query_opt(&statement, values);
        row.map_err(|error| self.failure(&error))
    }

    /// The row of a query that has one.
    pub(super) fn one(&mut self, sql: &'static str, values: &[&(dyn ToSql + Sync)]) -> Result<Row, Failure> {
        let statement = self.prepare(sql)?;
        let row = self.connection.client.query_one(&statement, values);
        row.map_err(|error| self.failure(&error))
    }

    /// Changes rows; how many.
    pub(super) fn execute(
        &mut self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Failure> {
        let statement = self.prepare(sql)?;
        let changed = self.connection.client.execute(&statement, values);
        changed.map_err(|error| self.failure(&error))
    }

    /// A statement that may fail within a transaction that goes on: it is undone, and the driver's error comes back.
    pub(super) fn attempt(
        &mut self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Result<Row, ::postgres::Error>, Failure> {
        self.run("SAVEPOINT attempt")?;
        let client = &mut self.connection.client;
        let done = match self.statements.get(sql) {
            Some(statement) => client.query_one(statement, values),
            None => client.prepare(sql).and_then(|statement| {
                let row = client.query_one(&statement, values);
                self.statements.insert(sql, statement);
                row
            }),
        };
        if done.is_err() {
            self.statements.remove(sql);
            self.run("ROLLBACK TO SAVEPOINT attempt")?;
        }
        self.run("RELEASE SAVEPOINT attempt")?;
        Ok(done)
    }
}

/// A connection that is made anew when it is lost.
pub(super) struct Patient {
    url: PostgresUrl,
    link: Option<Link>,
}

impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patient").field("connected", &self.link.is_some()).finish_non_exhaustive()
    }
}

impl Patient {
    pub(super) fn new(url: PostgresUrl) -> Self {
        Self { url, link: None }
    }

    /// Connects, if there is no connection.
    pub(super) fn connect(&mut self) -> Result<&mut Link, Cause> {
        let link = match self.link.take() {
            Some(link) => link,
            None => Link { connection: connect(&self.url)?, statements: HashMap::new() },
        };
        Ok(self.link.insert(link))
    }

    /// Runs `work` outside a transaction, once.
    pub(super) fn once<T>(
        &mut self,
        what: &str,
        work: impl FnOnce(&mut Link) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let done = self.connect().map_err(Failure::Server).and_then(work);
        done.map_err(|failure| {
            self.link = None;
            failure.into_error(what)
        })
    }

    /// Runs `work`, which reads, outside a transaction.
    pub(super) fn read<T>(
        &mut self,
        what: &str,
        work: impl Fn(&mut Link) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        self.persist(what, |link, _| work(link))
    }

    /// Runs `work` in one transaction. It is told whether it is a repetition.
    pub(super) fn write<T>(
        &mut self,
        what: &str,
        work: impl Fn(&mut Link, bool) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        self.persist(what, |link, is_again| {
            link.run("BEGIN")?;
            match work(link, is_again) {
                Ok(value) => link.run("COMMIT").map(|()| value),
                Err(failure) => {
                    // When this fails too, the connection is lost; the first error says why.
                    let _ = link.run("ROLLBACK");
                    Err(failure)
                }
            }
        })
    }

    fn persist<T>(
        &mut self,
        what: &str,
        work: impl Fn(&mut Link, bool) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let deadline = Instant::now() + PATIENCE;
        let mut is_again = false;
        loop {
            let done = self.connect().map_err(Failure::Server).and_then(|link| work(link, is_again));
            let failure = match done {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            match failure.passing() {
                Some(is_lost) if Instant::now() < deadline => {
                    if is_lost {
                        self.link = None;
                    }
                    is_again = true;
                    std::thread::sleep(PAUSE);
                }
                _ => return Err(failure.into_error(what)),
            }
        }
    }
}

/// A connection for work.
pub(super) fn connect(url: &PostgresUrl) -> Result<Connection, Cause> {
    let options = ConnectOptions {
        connect_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_mins(5),
        application_name: "cargo xtask drain".to_owned(),
    };
    Connection::open(url, &options, Access::Write, SETTINGS)
}
