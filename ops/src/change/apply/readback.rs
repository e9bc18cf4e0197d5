//! Reading rows back: what a lost answer has done, whether written rows are as they were written, and the list of
//! outcomes that says so.
//!
//! Only reads. The list is made from the journal and the plan whenever a run ends, so a crash can at worst leave the
//! old list or none.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use super::context::{Expect, Job, State, Why};
use super::feed::ChangeIter;
use super::session::Session;
use crate::change::error::RunError;
use crate::change::journal::Outcomes;
use crate::change::outcome::{RowOutcome, Standing};
use crate::files::{self, FileError};
use crate::target::{Change, TargetError};
use crate::value::{Row, Value, write_json};

/// Rows that are read at once.
const READ_ROWS: usize = 500;
/// Rows with a problem that a report lists; all are counted, and all are in the list of outcomes.
const LISTED_MAX: usize = 100;

/// The list of outcomes, one line a row.
pub(crate) const OUTCOMES: &str = "outcomes.ndjson";
/// The journal.
pub(crate) const JOURNAL: &str = "journal.ndjson";

/// What reading back has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Rows that are as they were written.
    pub(crate) verified: u64,
    /// Rows that are not.
    pub(crate) altered: u64,
    /// The first rows that drifted, failed or are not as written.
    pub(crate) problems: Vec<Problem>,
}

/// One row that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Its position in the plan.
    pub position: u64,
    /// Its key, as JSON.
    pub key: String,
    /// `insert`, `update` or `delete`.
    pub op: &'static str,
    /// `drifted`, `failed`, or `altered` when it does not read back as written.
    pub what: &'static str,
    /// More.
    pub detail: String,
}

/// Where each of these changes, which follow each other from `at` on, stands now.
pub(crate) fn standings(
    session: &mut Session<'_, '_>,
    job: &Job<'_>,
    at: u64,
    changes: &[Change],
) -> Result<Vec<Standing>, Why> {
    let keys: Result<Vec<Row>, RunError> =
        (at..).zip(changes).map(|(n, change)| job.shape.key(change, n)).collect();
    let found = read(session, job, &keys?)?;
    let standing = |(change, found): (&Change, Option<Row>)| job.shape.standing(change, found);
    Ok(changes.iter().zip(found).map(standing).collect())
}

/// Rows by key, over the run's columns.
fn read(session: &mut Session<'_, '_>, job: &Job<'_>, keys: &[Row]) -> Result<Vec<Option<Row>>, Why> {
    let mut all = Vec::with_capacity(keys.len());
    for keys in keys.chunks(READ_ROWS) {
        let rows = session.ask(|target| target.read(job.table, &job.shape.key, keys))?;
        if rows.len() != keys.len() {
            let said = format!("{} rows for {} keys", rows.len(), keys.len());
            return Err(TargetError::failed("read rows by key", said).into());
        }
        all.extend(rows.into_iter().map(|row| row.map(|row| job.shape.pick(&row))));
    }
    Ok(all)
}

/// Reads back the first `rows` rows of a run.
pub(crate) fn canary(session: &mut Session<'_, '_>, job: &Job<'_>, rows: u64) -> Result<Checked, Why> {
    let mut checked = Checked::default();
    let mut past = Past::open(job)?;
    while past.position < rows {
        let chunk = past.chunk(rows)?;
        check(session, job, &chunk, true, &mut checked, None)?;
    }
    Ok(checked)
}

/// Makes the list of outcomes of every row that has one, and reads the written ones back where `verify` says so.
pub(crate) fn list(
    session: &mut Session<'_, '_>,
    job: &Job<'_>,
    reached: u64,
    verify: bool,
) -> Result<Checked, Why> {
    let path = job.folder.join(OUTCOMES);
    let partial = files::partial_name(&path);
    let file = File::create(&partial).map_err(|e| file_error(&partial, e))?;
    let mut out = BufWriter::with_capacity(1 << 16, file);
    let mut checked = Checked::default();
    let mut past = Past::open(job)?;
    while past.position < reached {
        if verify {
            session.check()?;
            session.keep()?;
        }
        let chunk = past.chunk(reached)?;
        check(session, job, &chunk, verify, &mut checked, Some((&mut out, &partial)))?;
        if verify {
            session.done(past.position, State::Verifying);
        }
    }
    let synced = out.into_inner().map_err(std::io::IntoInnerError::into_error).and_then(|f| f.sync_all());
    synced.map_err(|e| file_error(&partial, e))?;
    files::rename(&partial, &path).map_err(RunError::from)?;
    Ok(checked)
}

fn file_error(path: &Path, error: std::io::Error) -> RunError {
    FileError::new("write", path, error).into()
}

/// A row of a run that has an outcome.
struct Done {
    position: u64,
    key: Row,
    change: Change,
    outcome: RowOutcome,
}

/// The rows of a run that have outcomes, from the plan and the journal side by side.
struct Past<'a> {
    job: &'a Job<'a>,
    changes: ChangeIter<'a>,
    outcomes: Outcomes,
    position: u64,
}

impl<'a> Past<'a> {
    fn open(job: &'a Job<'a>) -> Result<Self, RunError> {
        let outcomes = Outcomes::open(&job.folder.join(JOURNAL), &job.kinds())?;
        Ok(Self { job, changes: job.changes.read(0)?, outcomes, position: 0 })
    }

    /// The next rows before position `end`.
    fn chunk(&mut self, end: u64) -> Result<Vec<Done>, RunError> {
        let mut chunk = Vec::with_capacity(READ_ROWS);
        while self.position < end && chunk.len() < READ_ROWS {
            let position = self.position;
            let missing = |what: &str| RunError::Change { position, source: what.into() };
            let change = self.changes.next().ok_or_else(|| missing("the plan ends before it"))??;
            let outcome = self.outcomes.next_outcome()?;
            let outcome = outcome.ok_or_else(|| missing("the journal ends before it"))?;
            let key = self.job.shape.key(&change, position)?;
            chunk.push(Done { position, key, change, outcome });
            self.position += 1;
        }
        Ok(chunk)
    }
}

/// What reading a row back has shown.
enum ReadBack {
    /// It was not read: it was not written, or this is not the time.
    Skipped,
    AsWritten,
    Altered(String),
}

fn check(
    session: &mut Session<'_, '_>,
    job: &Job<'_>,
    chunk: &[Done],
    verify: bool,
    checked: &mut Checked,
    mut list: Option<(&mut dyn Write, &Path)>,
) -> Result<(), Why> {
    let is_read =
        |done: &Done| verify && matches!(done.outcome, RowOutcome::Applied { .. } | RowOutcome::Already);
    let keys: Vec<Row> = chunk.iter().filter(|d| is_read(d)).map(|d| d.key.clone()).collect();
    let mut found = read(session, job, &keys)?.into_iter();
    let mut line = Vec::new();
    for done in chunk {
        let back =
            if is_read(done) { read_back(job, done, found.next().flatten()) } else { ReadBack::Skipped };
        note(checked, done, &back);
        if let Some((out, path)) = &mut list {
            line.clear();
            write_line(done, &back, &mut line);
            out.write_all(&line).map_err(|e| file_error(path, e))?;
        }
    }
    Ok(())
}

fn read_back(job: &Job<'_>, done: &Done, found: Option<Row>) -> ReadBack {
    let expected: Vec<_> = match (&done.change, &done.outcome) {
        (Change::Delete { .. }, _) if found.is_none() => return ReadBack::AsWritten,
        (Change::Delete { .. }, _) => return ReadBack::Altered("the row is there again".to_owned()),
        (_, RowOutcome::Applied { stored: Some(row) }) if job.expect == Expect::Stored => {
            row.iter().map(Some).collect()
        }
        (Change::Update { after, .. }, _) => after.iter().map(Some).collect(),
        (Change::Insert { after }, _) => after.iter().map(Option::as_ref).collect(),
    };
    let Some(found) = found else { return ReadBack::Altered("the row is gone".to_owned()) };
    let columns = job.shape.differing(expected.into_iter(), &found);
    if columns.is_empty() {
        ReadBack::AsWritten
    } else {
        ReadBack::Altered(format!("changed: {}", columns.join(", ")))
    }
}

fn note(checked: &mut Checked, done: &Done, back: &ReadBack) {
    let (what, detail) = match (back, done.outcome.detail()) {
        (ReadBack::AsWritten, _) => {
            checked.verified += 1;
            return;
        }
        (ReadBack::Altered(detail), _) => {
            checked.altered += 1;
            ("altered", detail.clone())
        }
        (ReadBack::Skipped, Some(detail)) => (done.outcome.word(), detail),
        (ReadBack::Skipped, None) => return,
    };
    if checked.problems.len() < LISTED_MAX {
        let (position, key, op) = (done.position, key_json(&done.key), op(&done.change));
        checked.problems.push(Problem { position, key, op, what, detail });
    }
}

/// The stable word for what a change does.
pub(crate) fn op(change: &Change) -> &'static str {
    match change {
        Change::Insert { .. } => "insert",
        Change::Update { .. } => "update",
        Change::Delete { .. } => "delete",
    }
}

/// A key as JSON.
pub(crate) fn key_json(key: &[Value]) -> String {
    let mut out = Vec::new();
    write_key(key, &mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}

fn write_key(key: &[Value], out: &mut Vec<u8>) {
    out.push(b'[');
    for (i, value) in key.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_json(value.as_ref(), out);
    }
    out.push(b']');
}

/// `{"n":4,"key":[17],"op":"update","outcome":"drifted","detail":"changed: name"}`, with `"reads_back"` where the
/// row was read back.
fn write_line(done: &Done, back: &ReadBack, out: &mut Vec<u8>) {
    out.extend_from_slice(format!(r#"{{"n":{},"key":"#, done.position).as_bytes());
    write_key(&done.key, out);
    let words = format!(r#","op":"{}","outcome":"{}""#, op(&done.change), done.outcome.word());
    out.extend_from_slice(words.as_bytes());
    if let Some(detail) = done.outcome.detail() {
        out.extend_from_slice(b",\"detail\":");
        serde_json::to_writer(&mut *out, &detail).expect("a text is JSON");
    }
    match back {
        ReadBack::Skipped => {}
        ReadBack::AsWritten => out.extend_from_slice(b",\"reads_back\":true"),
        ReadBack::Altered(_) => out.extend_from_slice(b",\"reads_back\":false"),
    }
    out.extend_from_slice(b"}\n");
}
