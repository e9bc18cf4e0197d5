//! PostgreSQL as a target: read in snapshots, written one transaction a batch.
//!
//! Two connections. One reads, each question in a `REPEATABLE READ READ ONLY` transaction of its own, so that each sees
//! one moment and none keeps the server from cleaning up. The other writes; it is opened when a run begins. On both,
//! `row_security` is off: a statement of which policies would hide rows fails instead. The search path is the role's
//! own, because triggers that are woken by a change may rest on it.

mod apply;
mod blueprint;
mod books;
mod catalog;
mod fault;
mod related;
mod rows;
mod scan;
mod scratch;
mod sql;
mod value;
mod wire;

use std::time::Duration;

use ::postgres::{IsolationLevel, Transaction};

use self::apply::{Applier, Part, Statements, Stop};
use self::catalog::{Facts, Triggers};
use self::fault::{Fault, explain};
use self::related::Related;
pub use self::scratch::{PostgresScratch, psql_variables};
use self::sql::Shape;
use super::schema::{Table, TableName};
use super::{
    Batch, Batches, Capabilities, Outcome, RecordedBatch, RunId, RunState, ScanProof, Target, TargetError,
    TargetIdentity,
};
use crate::clock::Stamp;
use crate::db::postgres::{Access, ConnectOptions, Connection};
use crate::identity;
use crate::url::PostgresUrl;
use crate::value::{Row, Value, ValueRef};

/// How the server is used.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// How connections are made, and the longest run of one statement; a scan takes as long as it takes.
    pub connect: ConnectOptions,
    /// Longest wait for a lock that another transaction holds.
    pub lock_timeout: Duration,
    /// A schema that comes first on the search path, and has books of its own.
    pub schema: Option<String>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            connect: ConnectOptions {
                connect_timeout: Duration::from_secs(10),
                statement_timeout: Duration::from_mins(1),
                application_name: "ops".to_owned(),
            },
            lock_timeout: Duration::from_secs(10),
            schema: None,
        }
    }
}

/// Tries of a batch that is in the way of other transactions, before the caller hears of it.
const CONFLICTS: u32 = 4;

/// Batches after which statements are prepared anew. The server keeps the plan that it made for a table as it was then;
/// one that was nearly empty is read from end to end.
const BATCHES: u32 = 256;

/// A database, read and written.
pub struct PostgresTarget {
    url: PostgresUrl,
    options: PostgresOptions,
    reader: Option<Connection>,
    /// What the connection that reads knows of questions that come again.
    related: Vec<Related>,
    writer: Option<Writer>,
    /// The run whose table is held, and under which owner.
    lease: Option<(RunId, String)>,
}

impl std::fmt::Debug for PostgresTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresTarget").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The connection that writes, and what it has learned.
struct Writer {
    connection: Connection,
    statements: Statements,
    known: Option<Known>,
    batches: u32,
    /// Whether another connection is needed.
    is_lost: bool,
}

/// A table as the statements need to know it.
struct Known {
    table: Table,
    columns: Vec<Facts>,
    triggers: Triggers,
}

impl PostgresTarget {
    /// Connects for reading.
    pub fn connect(url: &PostgresUrl, options: PostgresOptions) -> Result<Self, TargetError> {
        let reader = Some(open(url, &options, Access::Read)?);
        Ok(Self { url: url.clone(), options, reader, related: Vec::new(), writer: None, lease: None })
    }

    /// The connection that reads, made again when it was lost since it was last used.
    fn reader(&mut self) -> Result<&mut Connection, TargetError> {
        let is_usable = |reader: &mut Connection| reader.client.batch_execute("").is_ok();
        if !self.reader.as_mut().is_some_and(is_usable) {
            self.related.clear();
            self.reader = Some(open(&self.url, &self.options, Access::Read)?);
        }
        Ok(self.reader.as_mut().expect("it was just opened"))
    }

    /// Reads in one snapshot.
    fn look<T>(
        &mut self,
        action: &str,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, TargetError> {
        let reader = self.reader()?;
        let snapshot = reader.client.build_transaction();
        let snapshot = snapshot.isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let found = snapshot.start().map_err(Fault::from).and_then(|mut tx| work(&mut tx));
        found.map_err(|fault| fault.explain(reader, action))
    }

    fn writer(&mut self) -> Result<&mut Writer, TargetError> {
        if self.writer.as_ref().is_none_or(|writer| writer.is_lost || writer.connection.client.is_closed()) {
            let connection = open(&self.url, &self.options, Access::Write)?;
            let statements = Statements::new();
            self.writer = Some(Writer { connection, statements, known: None, batches: 0, is_lost: false });
        }
        Ok(self.writer.as_mut().expect("it was just opened"))
    }

    /// Runs statements of the books on the writing connection.
    fn keep<T>(
        &mut self,
        action: &str,
        work: impl FnOnce(&mut ::postgres::Client) -> Result<T, Fault>,
    ) -> Result<T, TargetError> {
        let writer = self.writer()?;
        let kept = work(&mut writer.connection.client);
        writer.is_lost = kept.as_ref().is_err_and(Fault::is_broken);
        kept.map_err(|fault| fault.explain(&writer.connection, action))
    }

    /// Learns what the statements of a batch need to know of its table.
    fn learn(&mut self, table: &Table) -> Result<(), TargetError> {
        let writer = self.writer()?;
        if writer.batches.is_multiple_of(BATCHES) {
            writer.statements.clear();
            writer.known = None;
        }
        if writer.known.as_ref().is_none_or(|known| known.table != *table) {
            let (columns, triggers) = self.look("read the catalogue", |tx| {
                Ok((catalog::columns(tx, table)?, catalog::triggers(tx, &table.name)?))
            })?;
            self.writer()?.known = Some(Known { table: table.clone(), columns, triggers });
        }
        Ok(())
    }

    /// Applies batches in one transaction, which stays open.
    fn parts(&mut self, batches: &mut dyn Batches, is_begun: &mut bool) -> Result<(), TargetError> {
        while let Some(batch) = batches.take_next()? {
            let Some((_, owner)) = self.lease.clone().filter(|(run, _)| run == batch.run) else {
                return Err(books::lost());
            };
            self.learn(batch.table)?;
            let part = Part { is_first: !*is_begun, is_last: false };
            *is_begun = true;
            let outcomes = self.writer()?.apply_part(&owner, &batch, part)?;
            batches.came_to(outcomes)?;
        }
        Ok(())
    }
}

fn open(url: &PostgresUrl, options: &PostgresOptions, access: Access) -> Result<Connection, TargetError> {
    let mut settings = format!("-c lock_timeout={}", options.lock_timeout.as_millis().max(1));
    if let Some(schema) = &options.schema {
        settings.push_str(&format!(" -c search_path={schema},public"));
    }
    Connection::open(url, &options.connect, access, &settings)
        .map_err(|cause| explain(cause, "connect to PostgreSQL"))
}

impl Writer {
    /// Applies a batch, again when it was only in the way of other transactions.
    fn apply(&mut self, owner: &str, batch: &Batch<'_>) -> Result<Vec<Outcome>, TargetError> {
        const ACTION: &str = "apply a batch";
        let Some(known) = &self.known else { unreachable!("the table was learned") };
        let shape = Shape::of(batch, &known.columns, known.triggers.before)
            .ok_or_else(|| TargetError::failed(ACTION, "the key is not among the columns of the batch"))?;
        self.batches = self.batches.wrapping_add(1);
        let mut tries = 0;
        loop {
            tries += 1;
            let (client, statements) = (&mut self.connection.client, &mut self.statements);
            let triggers = known.triggers;
            let part = Part::ALL;
            let result = Applier { client, statements, shape: &shape, triggers, owner, batch, part }.run();
            let (fault, was_sent) = match result {
                Ok(outcomes) => return Ok(outcomes),
                Err(Stop::Working(fault)) => (fault, false),
                Err(Stop::Committing(fault)) => (fault, true),
            };
            if was_sent && fault.is_broken() {
                self.is_lost = true;
                return Err(TargetError::InDoubt { reason: fault.reason(&self.connection) });
            }
            // Where there is no way back the connection is lost, and the transaction with it.
            self.is_lost = self.connection.client.batch_execute("ROLLBACK").is_err();
            if !fault.is_conflict() || tries == CONFLICTS {
                return Err(fault.explain(&self.connection, ACTION));
            }
            std::thread::sleep(Duration::from_millis(10 << tries));
        }
    }
}

impl Writer {
    /// Applies one of several batches that are one transaction. Not tried again: the transaction is over with its
    /// first error.
    fn apply_part(
        &mut self,
        owner: &str,
        batch: &Batch<'_>,
        part: Part,
    ) -> Result<Vec<Outcome>, TargetError> {
        const ACTION: &str = "apply batches";
        let Some(known) = &self.known else { unreachable!("the table was learned") };
        let shape = Shape::of(batch, &known.columns, known.triggers.before)
            .ok_or_else(|| TargetError::failed(ACTION, "the key is not among the columns of the batch"))?;
        self.batches = self.batches.wrapping_add(1);
        let (client, statements) = (&mut self.connection.client, &mut self.statements);
        let triggers = known.triggers;
        let mut applier = Applier { client, statements, shape: &shape, triggers, owner, batch, part };
        let fault = match applier.slowly() {
            Ok(outcomes) => return Ok(outcomes),
            Err(Stop::Working(fault) | Stop::Committing(fault)) => fault,
        };
        self.is_lost = self.connection.client.batch_execute("ROLLBACK").is_err();
        Err(fault.explain(&self.connection, ACTION))
    }

    /// Ends the transaction of several batches.
    fn commit(&mut self) -> Result<(), TargetError> {
        let Err(error) = self.connection.client.batch_execute("COMMIT") else { return Ok(()) };
        let fault = Fault::from(error);
        self.is_lost = fault.is_broken();
        if self.is_lost {
            return Err(TargetError::InDoubt { reason: fault.reason(&self.connection) });
        }
        Err(fault.explain(&self.connection, "commit batches"))
    }
}

impl Target for PostgresTarget {
    fn identity(&mut self) -> Result<TargetIdentity, TargetError> {
        let source = identity::source_of_postgres(&self.url, &self.options.connect)
            .map_err(|e| TargetError::failed("read the identity of the database", e))?;
        Ok(TargetIdentity {
            driver: "postgres".to_owned(),
            url: source.url,
            fingerprint: source.fingerprint,
            lineage: source.lineage,
        })
    }

    fn capabilities(&self) -> Capabilities {
        let limits = [
            "triggers are woken as for any other client; what they make of a row is reported, what they do to other rows is not in the backup",
            "foreign keys that cascade change rows of other tables, which are not in the backup",
            "rows of a plan cannot exchange values that must be unique, unless that is deferrable; they are reported as refused",
            "sequences are not moved when their columns are given: the next number of others may be taken",
            "the connection must be a session of its own: no pooler that shares it between transactions",
            "on a distributed table (Citus) the key must hold the distribution column, which cannot be changed",
        ];
        Capabilities {
            snapshot: true,
            books_in_target: true,
            atomic_batches: true,
            atomic_rollback: true,
            batch_rows_max: 10_000,
            limits: limits.map(str::to_owned).to_vec(),
        }
    }

    fn table(&mut self, name: &TableName) -> Result<Table, TargetError> {
        self.look("read the catalogue", |tx| catalog::table(tx, name))
    }

    fn scan(
        &mut self,
        table: &Table,
        row: &mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), TargetError>,
    ) -> Result<ScanProof, TargetError> {
        let canceller = self.reader()?.canceller();
        let mut is_stopped = false;
        let found = self.look(&format!("read the table `{}`", table.name), |tx| {
            scan::scan(tx, table, row).inspect_err(|fault| {
                // Rows that nobody wants any more would have to be read to their end before anything else.
                is_stopped = !fault.is_sql();
                if is_stopped {
                    canceller.cancel();
                }
            })
        });
        if is_stopped {
            // The server may be late with it, and must not end what comes next.
            self.reader = None;
        }
        found
    }

    fn read(&mut self, table: &Table, key: &[usize], keys: &[Row]) -> Result<Vec<Option<Row>>, TargetError> {
        self.look(&format!("read rows of `{}`", table.name), |tx| rows::read(tx, table, key, keys))
    }

    fn begin(
        &mut self,
        table: &Table,
        run: &RunId,
        owner: &str,
        now: Stamp,
        expires: Stamp,
    ) -> Result<RunState, TargetError> {
        let state = self.keep("begin a run in the books", |client| {
            books::begin(client, &table.name, run, owner, now, expires)
        })?;
        self.lease = (!state.is_closed).then(|| (run.clone(), owner.to_owned()));
        Ok(state)
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<Vec<Outcome>, TargetError> {
        if batch.changes.is_empty() {
            return Ok(Vec::new());
        }
        let Some((_, owner)) = self.lease.clone().filter(|(run, _)| run == batch.run) else {
            return Err(books::lost());
        };
        self.learn(batch.table)?;
        self.writer()?.apply(&owner, batch)
    }

    fn recorded(&mut self, run: &RunId, from: u64) -> Result<Vec<RecordedBatch>, TargetError> {
        self.look("read the books", |tx| books::recorded(tx, run, from))
    }

    fn renew(&mut self, run: &RunId, owner: &str, expires: Stamp) -> Result<(), TargetError> {
        self.keep("renew the lease", |client| books::renew(client, run, owner, expires))
    }

    fn close(&mut self, run: &RunId, owner: &str, is_done: bool) -> Result<(), TargetError> {
        self.keep("close the run in the books", |client| books::close(client, run, owner, is_done))?;
        self.lease = None;
        Ok(())
    }

    fn measure(&mut self, sql: &str) -> Result<f64, TargetError> {
        self.look("measure", |tx| rows::measure(tx, sql))
    }

    fn related(&mut self, table: &Table, column: usize, value: &Value) -> Result<Vec<Row>, TargetError> {
        let action = format!("read rows of `{}`", table.name);
        let mut tries = 0;
        loop {
            tries += 1;
            // Asked for so often that the way to the server counts: one that was lost shows in the question itself.
            if self.reader.as_ref().is_none_or(|reader| reader.client.is_closed()) {
                self.reader()?;
            }
            let Self { reader: Some(reader), related, .. } = self else { unreachable!("it was just opened") };
            let error = match related::related(&mut reader.client, related, table, column, value) {
                Ok(rows) => return Ok(rows),
                Err(fault) => fault,
            };
            related.clear();
            if !error.is_broken() || tries > 1 {
                return Err(error.explain(reader, &action));
            }
            self.reader = None;
        }
    }

    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, TargetError> {
        const ACTION: &str = "run the statement of a step";
        let writer = self.writer()?;
        let result = apply::execute(&mut writer.connection.client, sql, parameters);
        writer.is_lost = result.as_ref().is_err_and(Fault::is_broken);
        result.map_err(|fault| match (fault.refused_row(), fault.is_broken()) {
            (Some(reason), _) => TargetError::Rejected { reason },
            (None, true) => TargetError::InDoubt { reason: fault.reason(&writer.connection) },
            (None, false) => fault.explain(&writer.connection, ACTION),
        })
    }

    fn apply_all(&mut self, batches: &mut dyn Batches) -> Result<(), TargetError> {
        let mut is_begun = false;
        let applied = self.parts(batches, &mut is_begun);
        let Some(writer) = self.writer.as_mut().filter(|_| is_begun) else { return applied };
        match applied {
            Ok(()) => writer.commit(),
            Err(error) => {
                writer.is_lost |= writer.connection.client.batch_execute("ROLLBACK").is_err();
                Err(error)
            }
        }
    }
}
