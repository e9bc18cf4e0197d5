//! Where rows are changed: one trait over SQLite, PostgreSQL and PostgREST, and one conformance suite for all.
//!
//! A target reads completely or says that it could not; it applies a batch as a whole or not at all, and says
//! for each row what became of it. It knows nothing of plans, gates, journals on disk or throttles: those are
//! above. A driver must never overwrite a row that is not what the batch says it was.

pub mod calls;
pub mod outcomes;
pub mod postgres;
pub mod postgrest;
pub mod schema;
pub mod scratch;
pub mod sqlite;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::schema::{Table, TableName};
use crate::clock::Stamp;
use crate::db::Lineage;
use crate::guard::Refusal;
use crate::value::{Row, Value, ValueRef};

/// Which database a target is, as far as it can be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetIdentity {
    /// `sqlite`, `postgres` or `postgrest`.
    pub driver: String,
    /// The URL without secrets.
    pub url: String,
    /// 12 hexadecimal digits of what stays the same while the database is used (see `identity`); for PostgREST of
    /// the base URL and, where it is known, the project reference.
    pub fingerprint: String,
    /// Where the database comes from, if it was ever stamped.
    pub lineage: Option<Lineage>,
}

/// What a driver can promise, and what it cannot. Printed in plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// A scan sees one moment; otherwise rows that change while it runs may be seen before or after.
    pub snapshot: bool,
    /// A batch, its outcomes and the run's books are one transaction in the target.
    pub books_in_target: bool,
    /// A batch of updates is one transaction; otherwise each row is one.
    pub atomic_batches: bool,
    /// A rollback of a whole plan can be one transaction.
    pub atomic_rollback: bool,
    /// Largest batch that makes sense, in rows.
    pub batch_rows_max: usize,
    /// What this target cannot do, in sentences for people.
    pub limits: Vec<String>,
}

/// Proof that a scan read every row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanProof {
    /// Rows handed out.
    pub rows: u64,
    /// Rows that the target itself counted before reading.
    pub count_before: u64,
    /// Rows that the target itself counted after reading; in one snapshot the same count.
    pub count_after: u64,
    /// Requests or statements that it took.
    pub pages: u64,
    /// Whether all of it is one snapshot.
    pub snapshot: bool,
}

/// One change of one row. Rows hold a value for each index in [`Batch::columns`].
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The row must not exist. Columns that are `None` are left to their defaults.
    Insert {
        /// The row to make.
        after: Vec<Option<Value>>,
    },
    /// The row must be exactly `before`.
    Update {
        /// The whole row as it was seen.
        before: Row,
        /// The whole row as it shall be. Its key is that of `before`.
        after: Row,
    },
    /// The row must be exactly `before`.
    Delete {
        /// The whole row as it was seen.
        before: Row,
    },
}

/// Changes of one table that are applied together.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The table, as read at the start of the run.
    pub table: &'a Table,
    /// Which columns the rows of `changes` hold, as indices into the table; never a computed one.
    pub columns: &'a [usize],
    /// The key by which rows are found, as indices into the table; all of them are in `columns`.
    pub key: &'a [usize],
    /// Whose books the outcomes go into.
    pub run: &'a RunId,
    /// Position in the plan of the first change.
    pub first: u64,
    /// The changes, no key twice.
    pub changes: &'a [Change],
    /// The time to write into the books.
    pub now: Stamp,
}

/// One run over a plan in one direction, as the target's books know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunId {
    /// The plan's full digest.
    pub plan: String,
    /// `apply` or `rollback`, or `rollback-2` for the second one after a re-apply; stable words chosen by the runner.
    pub direction: String,
}

/// What became of one change.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Done by this batch. `stored` is the row as it is now, over [`Batch::columns`], when that is not exactly what
    /// was sent (defaults, triggers, rounding); `None` when it is.
    Applied {
        /// The row as stored, where it differs.
        stored: Option<Row>,
    },
    /// Nothing to do: the row already was as it shall be (for a deletion: already gone).
    Already,
    /// The row is neither what was seen nor what is wanted; it was left alone.
    Drifted {
        /// What is there instead; `None` when the row is gone.
        found: Option<Row>,
    },
    /// The database refused this row (a constraint, a type, a trigger). Only given where other rows of the batch
    /// could still be applied.
    Failed {
        /// A short reason without row contents: SQLSTATE or SQLite's name, and the constraint.
        reason: String,
    },
}

/// How a target failed, by what the caller should do about it.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// A guard stopped before anything was sent.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// Nothing was changed; trying again later may work (busy, 429, 503, connection refused).
    #[error("the target is not available for now: {reason}")]
    Transient {
        /// What it said, without secrets.
        reason: String,
        /// How long it asked to wait.
        retry_after: Option<Duration>,
    },
    /// Nothing was changed, because the statement took too long (57014, statement timeout): a smaller batch may work.
    #[error("the target gave up: {reason}")]
    TooSlow {
        /// What it said, without secrets.
        reason: String,
    },
    /// The answer was lost: the batch may or may not have been committed. Ask [`Target::recorded`] or read the rows.
    #[error("the answer was lost, it is not known whether the batch was committed: {reason}")]
    InDoubt {
        /// What happened, without secrets.
        reason: String,
    },
    /// Nothing was changed, because the database refused at least one row of the batch; a batch of one names it.
    #[error("the database refused a row: {reason}")]
    Rejected {
        /// SQLSTATE or SQLite's name, and the constraint; without row contents.
        reason: String,
    },
    /// Another runner holds the table, or took over.
    #[error("{0}")]
    Lost(String),
    /// Anything else: not retried.
    #[error("failed to {action}")]
    Failed {
        /// What was tried, a verb phrase without credentials.
        action: String,
        /// The driver's own error, without secrets or row contents.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl TargetError {
    /// A failure of trying `action`.
    pub fn failed(
        action: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Failed { action: action.into(), source: source.into() }
    }
}

/// What a run found in the target's books when it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunState {
    /// Changes whose outcome is in the books: the first position that is not.
    pub next: u64,
    /// Whether the run was closed: everything is done.
    pub is_closed: bool,
}

/// One batch in the target's books, as [`Target::recorded`] gives it back.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedBatch {
    /// Position of its first change.
    pub first: u64,
    /// One outcome a change, in order.
    pub outcomes: Vec<Outcome>,
}

/// A database whose rows can be changed.
///
/// Reading methods never write, not even books; a driver must make that so (read-only transactions, GET only).
/// Only `begin`, `apply`, `renew` and `close` write. Errors carry no secrets and no contents of rows.
pub trait Target: Send {
    /// Which database this is.
    fn identity(&mut self) -> Result<TargetIdentity, TargetError>;

    /// What this driver can promise.
    fn capabilities(&self) -> Capabilities;

    /// The table as the catalogue has it now. Refuses views, tables that this role sees only in part (row-level
    /// security), and unknown tables (naming those that are there and look alike).
    fn table(&mut self, name: &TableName) -> Result<Table, TargetError>;

    /// Hands out every row, all columns in the table's order, in any order of rows. A read that cannot be shown to
    /// be complete is refused. An error of `row` ends the scan and is given back.
    fn scan(
        &mut self,
        table: &Table,
        row: &mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), TargetError>,
    ) -> Result<ScanProof, TargetError>;

    /// The rows with these keys, all columns, one entry a key in order. `key` are indices into the table.
    fn read(&mut self, table: &Table, key: &[usize], keys: &[Row]) -> Result<Vec<Option<Row>>, TargetError>;

    /// Takes the table for a run: a lease against other runners until `expires`, and the entry that makes a plan
    /// single-use. `owner` is a random id of this process; the same owner may begin again. A lease that ran out is
    /// taken over. [`TargetError::Lost`] when another runner holds the table.
    fn begin(
        &mut self,
        table: &Table,
        run: &RunId,
        owner: &str,
        now: Stamp,
        expires: Stamp,
    ) -> Result<RunState, TargetError>;

    /// Applies a batch by compare-and-swap per row, with its outcomes in the books in the same transaction where
    /// the target has books. One outcome a change, in order. Everything or nothing, except where
    /// [`Capabilities::atomic_batches`] is false. [`TargetError::Lost`] when the lease is no longer ours.
    fn apply(&mut self, batch: &Batch<'_>) -> Result<Vec<Outcome>, TargetError>;

    /// The batches of a run that the books have from position `from` on, in order; empty without books.
    fn recorded(&mut self, run: &RunId, from: u64) -> Result<Vec<RecordedBatch>, TargetError>;

    /// Moves the end of the lease, during pauses.
    fn renew(&mut self, run: &RunId, owner: &str, expires: Stamp) -> Result<(), TargetError>;

    /// Gives the table back; `is_done` closes the run for good.
    fn close(&mut self, run: &RunId, owner: &str, is_done: bool) -> Result<(), TargetError>;

    /// The one number that a read-only query returns: for throttles and gates. PostgREST has none and refuses.
    fn measure(&mut self, sql: &str) -> Result<f64, TargetError>;

    /// Every row in which `column` holds exactly `value`, all columns, in any order of rows; none for NULL. Complete, or
    /// an error.
    fn related(&mut self, table: &Table, column: usize, value: &Value) -> Result<Vec<Row>, TargetError> {
        let asked = format!("rows by `{}`, which holds {}", table.columns[column].name, kind_of(value));
        Err(Refusal::new(
            "this target finds rows by their keys only",
            "a target that also finds others",
            asked,
        )
        .into())
    }

    /// Runs one statement in a transaction of its own; how many rows it changed. PostgREST refuses.
    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, TargetError> {
        let asked = format!("a statement of {} bytes with {} parameters", sql.len(), parameters.len());
        let refusal =
            Refusal::new("this target runs no statements", "a SQLite file or a PostgreSQL server", asked);
        Err(refusal.next("name the database itself as the target").into())
    }

    /// Applies batches of one run, in order and with positions that follow each other: in one transaction where
    /// [`Capabilities::atomic_rollback`] is true. They are asked for one after the other and never held together.
    fn apply_all(&mut self, batches: &mut dyn Batches) -> Result<(), TargetError> {
        while let Some(batch) = batches.take_next()? {
            let outcomes = self.apply(&batch)?;
            batches.came_to(outcomes)?;
        }
        Ok(())
    }
}

/// Batches that are handed out one after the other.
pub trait Batches {
    /// The next one, with at least one change; `None` behind the last. An error ends the transaction, and is given back.
    fn take_next(&mut self) -> Result<Option<Batch<'_>>, TargetError>;

    /// What became of the one that was handed out last, if the transaction comes to its end. An error ends it.
    fn came_to(&mut self, outcomes: Vec<Outcome>) -> Result<(), TargetError>;
}

/// What a value is, without showing it.
fn kind_of(value: &Value) -> &'static str {
    if value.is_null() { "NULL" } else { "a value" }
}
