//! Group commit: many jobs in one transaction, and still one job's failure is its own.
//!
//! A group is tried without savepoints, which is what makes it fast. When a job of it fails, the transaction is undone
//! and made again with a savepoint for each job, so that exactly the failing ones are left out and counted. Tables count
//! as made only after the commit in which they were.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::job::{Op, Ops, ROW};
use super::schema;
use super::sink::{Sink, SinkError};
use super::table::{Dialect, Table};
use super::value::{Row, take_content};

/// A group that takes longer is committed before it is full, so that nobody waits long for a lock or for closing.
const GROUP_TIME_MAX: Duration = Duration::from_millis(50);

/// What remembers how far a source of jobs was written, in the database itself.
pub(super) const MARKS: &str = "CREATE TABLE IF NOT EXISTS ops_telemetry_marks (id TEXT PRIMARY KEY, position BIGINT \
                                NOT NULL)";
const SET_MARK: &str = "INSERT INTO ops_telemetry_marks (id, position) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET \
                        position = excluded.position";
const GET_MARK: &str = "SELECT position FROM ops_telemetry_marks WHERE id = $1";

/// A table as the writer uses it.
#[derive(Debug, Default, Clone)]
pub(super) struct Shape {
    /// Its declaration; a table from a spill file has none.
    pub(super) table: Option<&'static Table>,
    pub(super) insert: String,
    /// What makes it.
    pub(super) make: Vec<String>,
}

impl Shape {
    pub(super) fn of(table: &'static Table, dialect: Dialect) -> Self {
        let make = std::iter::once(table.create(dialect)).chain(table.create_indexes()).collect();
        Self { table: Some(table), insert: table.insert(), make }
    }
}

/// Jobs, each with its length in four bytes before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jobs<'a> {
    pub(super) bytes: &'a [u8],
}

impl<'a> Jobs<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn peek(&self) -> Option<(&'a [u8], &'a [u8])> {
        take_content(self.bytes)
    }

    /// The next job, when it is one row and nothing else.
    fn peek_row(&self) -> Option<(u16, Row<'a>, &'a [u8])> {
        let (job, rest) = self.peek()?;
        if job.first() != Some(&ROW) {
            return None;
        }
        let table = u16::from_le_bytes([*job.get(1)?, *job.get(2)?]);
        let (values, after) = take_content(job.get(3..)?)?;
        after.is_empty().then_some((table, Row::new(values), rest))
    }

    /// Takes the next job off.
    pub(super) fn take_job(&mut self) -> Option<Ops<'a>> {
        let (job, rest) = self.peek()?;
        self.bytes = rest;
        Some(Ops(job))
    }

    pub(super) fn count(mut self) -> u64 {
        let mut jobs = 0;
        while self.take_job().is_some() {
            jobs += 1;
        }
        jobs
    }
}

/// The rows of one table that follow each other.
struct Run<'a, 'r> {
    jobs: &'r mut Jobs<'a>,
    table: u16,
    left: &'r mut u64,
}

impl<'a> Iterator for Run<'a, '_> {
    type Item = Row<'a>;

    fn next(&mut self) -> Option<Row<'a>> {
        if *self.left == 0 {
            return None;
        }
        let (table, row, rest) = self.jobs.peek_row()?;
        if table != self.table {
            return None;
        }
        self.jobs.bytes = rest;
        *self.left -= 1;
        Some(row)
    }
}

/// What came of a group.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) written: u64,
    pub(super) sql_errors: u64,
    pub(super) ddl_errors: u64,
    pub(super) last_error: Option<String>,
    /// Bytes of the jobs that are settled.
    pub(super) bytes: usize,
}

impl Outcome {
    pub(super) fn failed(&self) -> u64 {
        self.sql_errors + self.ddl_errors
    }
}

/// How far a source is, to be remembered in the transaction that brings it there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark<'a> {
    pub(super) id: &'a str,
    pub(super) position: u64,
}

/// How a group is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) jobs_max: u64,
    pub(super) is_durable: bool,
    pub(super) mark: Option<Mark<'a>>,
    /// Whether all jobs belong together, so that the group must not end before them.
    pub(super) is_whole: bool,
    pub(super) dialect: Dialect,
}

/// What is known to be in the schema.
#[derive(Debug, Default)]
pub(super) struct Ensured {
    tables: HashSet<usize>,
    sql: HashSet<String>,
    /// What the open transaction has made.
    new_tables: Vec<usize>,
    new_sql: Vec<String>,
}

impl Ensured {
    fn keep(&mut self) {
        self.tables.extend(self.new_tables.drain(..));
        self.sql.extend(self.new_sql.drain(..));
    }

    fn forget(&mut self, tables: usize, sql: usize) {
        self.new_tables.truncate(tables);
        self.new_sql.truncate(sql);
    }
}

/// Why a job failed: its own statements, or what it needs in the schema.
enum Failure {
    Sql(SinkError),
    Ddl(SinkError),
}

impl Failure {
    fn error(self) -> SinkError {
        match self {
            Self::Sql(error) | Self::Ddl(error) => error,
        }
    }
}

/// Writes the first jobs of `jobs` in one transaction. An error leaves nothing written, unless the connection was lost
/// while the group was committed: then `doubt` holds what was to be.
pub(super) fn write(
    sink: &mut dyn Sink,
    jobs: Jobs<'_>,
    shapes: &[Shape],
    ensured: &mut Ensured,
    terms: Terms<'_>,
    doubt: &mut Option<Outcome>,
) -> Result<Outcome, SinkError> {
    let done = attempt(sink, jobs, shapes, ensured, terms, doubt);
    ensured.forget(0, 0);
    match done {
        Ok(outcome) => return Ok(outcome),
        Err(SinkError::Rejected(_)) => sink.rollback(),
        Err(error) => {
            sink.rollback();
            return Err(error);
        }
    }
    // A table may have been dropped since it was made, so what is known of the schema is learnt anew.
    *ensured = Ensured::default();
    let done = one_by_one(sink, jobs, shapes, ensured, terms, doubt);
    ensured.forget(0, 0);
    done.inspect_err(|_| sink.rollback())
}

/// All jobs of the group without savepoints.
fn attempt(
    sink: &mut dyn Sink,
    jobs: Jobs<'_>,
    shapes: &[Shape],
    ensured: &mut Ensured,
    terms: Terms<'_>,
    doubt: &mut Option<Outcome>,
) -> Result<Outcome, SinkError> {
    *doubt = None;
    sink.begin(terms.is_durable)?;
    let began = Instant::now();
    let mut rest = jobs;
    let mut left = terms.jobs_max;
    while left > 0 && !rest.is_empty() && (terms.is_whole || began.elapsed() < GROUP_TIME_MAX) {
        let mut worker = Worker { sink, shapes, dialect: terms.dialect, ensured };
        if let Some((table, ..)) = rest.peek_row() {
            let insert = worker.table(table).map_err(Failure::error)?;
            sink.rows(insert, &mut Run { jobs: &mut rest, table, left: &mut left })?;
        } else if let Some(job) = rest.take_job() {
            worker.job(job).map_err(Failure::error)?;
            left -= 1;
        } else {
            break;
        }
    }
    let written = terms.jobs_max - left;
    let outcome = Outcome { written, bytes: jobs.bytes.len() - rest.bytes.len(), ..Outcome::default() };
    commit(sink, ensured, terms, outcome, doubt)
}

/// The same jobs with a savepoint each.
fn one_by_one(
    sink: &mut dyn Sink,
    jobs: Jobs<'_>,
    shapes: &[Shape],
    ensured: &mut Ensured,
    terms: Terms<'_>,
    doubt: &mut Option<Outcome>,
) -> Result<Outcome, SinkError> {
    *doubt = None;
    sink.begin(terms.is_durable)?;
    let began = Instant::now();
    let mut rest = jobs;
    let mut outcome = Outcome::default();
    for _ in 0..terms.jobs_max {
        if !terms.is_whole && began.elapsed() >= GROUP_TIME_MAX {
            break;
        }
        let Some(job) = rest.take_job() else { break };
        let (tables, sql) = (ensured.new_tables.len(), ensured.new_sql.len());
        sink.savepoint()?;
        let done = Worker { sink, shapes, dialect: terms.dialect, ensured }.job(job);
        let (count, text) = match done {
            Ok(()) => {
                sink.release()?;
                outcome.written += 1;
                continue;
            }
            Err(Failure::Sql(SinkError::Rejected(text))) => (&mut outcome.sql_errors, text),
            Err(Failure::Ddl(SinkError::Rejected(text))) => (&mut outcome.ddl_errors, text),
            Err(failure) => return Err(failure.error()),
        };
        *count += 1;
        outcome.last_error = Some(text);
        sink.undo()?;
        ensured.forget(tables, sql);
    }
    outcome.bytes = jobs.bytes.len() - rest.bytes.len();
    commit(sink, ensured, terms, outcome, doubt)
}

/// Commits a group that came out as `outcome`, which stays in `doubt` when the answer is lost.
fn commit(
    sink: &mut dyn Sink,
    ensured: &mut Ensured,
    terms: Terms<'_>,
    outcome: Outcome,
    doubt: &mut Option<Outcome>,
) -> Result<Outcome, SinkError> {
    if let Some(mark) = terms.mark {
        set_mark(sink, ensured, mark)?;
    }
    *doubt = Some(outcome);
    sink.commit()?;
    ensured.keep();
    Ok(doubt.take().unwrap_or_default())
}

fn set_mark(sink: &mut dyn Sink, ensured: &mut Ensured, mark: Mark<'_>) -> Result<(), SinkError> {
    let mut bytes = Vec::new();
    super::value::RowWriter::new(&mut bytes).put(mark.id).put(mark.position);
    let unavailable = |error| match error {
        SinkError::Rejected(text) => SinkError::Unavailable { text, is_lost: false },
        error @ SinkError::Unavailable { .. } => error,
    };
    if !ensured.sql.contains(MARKS) {
        sink.ensure_sql(MARKS).map_err(unavailable)?;
        ensured.new_sql.push(MARKS.to_owned());
    }
    sink.rows(SET_MARK, &mut std::iter::once(Row::new(&bytes))).map_err(unavailable)
}

/// How far a source was written.
pub(super) fn mark(sink: &mut dyn Sink, id: &str) -> Result<u64, SinkError> {
    sink.begin(false)?;
    let read = sink.ensure_sql(MARKS).and_then(|()| sink.number(GET_MARK, id));
    let read = read.and_then(|position| sink.commit().map(|()| position));
    if read.is_err() {
        sink.rollback();
    }
    Ok(read?.map_or(0, |position| u64::try_from(position).unwrap_or(0)))
}

/// Runs jobs within the open transaction.
struct Worker<'s, 'a> {
    sink: &'a mut dyn Sink,
    shapes: &'s [Shape],
    dialect: Dialect,
    ensured: &'a mut Ensured,
}

impl<'s> Worker<'s, '_> {
    fn job(&mut self, ops: Ops<'_>) -> Result<(), Failure> {
        for op in ops {
            match op {
                Op::Row(table, row) => {
                    let insert = self.table(table)?;
                    self.sink.rows(insert, &mut std::iter::once(row)).map_err(Failure::Sql)?;
                }
                Op::Statement(sql, row) => {
                    schema::require_harmless(sql).map_err(Failure::Sql)?;
                    self.sink.rows(sql, &mut std::iter::once(row)).map_err(Failure::Sql)?;
                }
                Op::EnsureTable(table) => drop(self.table(table)?),
                Op::EnsureSql(sql) => self.sql(sql)?,
            }
        }
        Ok(())
    }

    /// Sees to it that a table is there; its insert.
    fn table(&mut self, index: u16) -> Result<&'s str, Failure> {
        let index = usize::from(index);
        let shape = self.shapes.get(index).filter(|shape| !shape.insert.is_empty());
        let lost = || Failure::Ddl(SinkError::Rejected("the table of the job is not known".to_owned()));
        let shape = shape.ok_or_else(lost)?;
        if !self.ensured.tables.contains(&index) && !self.ensured.new_tables.contains(&index) {
            match shape.table {
                Some(table) => schema::ensure(self.sink, table, self.dialect).map_err(Failure::Ddl)?,
                None => {
                    for sql in &shape.make {
                        self.sink.ensure_sql(sql).map_err(Failure::Ddl)?;
                    }
                }
            }
            self.ensured.new_tables.push(index);
        }
        Ok(&shape.insert)
    }

    fn sql(&mut self, sql: &str) -> Result<(), Failure> {
        if !self.ensured.sql.contains(sql) && !self.ensured.new_sql.iter().any(|known| known == sql) {
            schema::require_harmless(sql).map_err(Failure::Ddl)?;
            self.sink.ensure_sql(sql).map_err(Failure::Ddl)?;
            self.ensured.new_sql.push(sql.to_owned());
        }
        Ok(())
    }
}
