//! Reading rows back: what a lost answer has done, whether written rows are as they were written, and the list of
//! outcomes that says so.
//!
//! Only reads. The list is made from the journal and the plan whenever a run ends, so a crash can at worst leave the
//! old list or none.

use serde::Serialize;

use super::context::{Expect, Job, State, Why};
use super::past::{Done, Past};
use super::session::Session;
use crate::change::error::RunError;
use crate::change::plan::{Layout, Op, Standing, key_json, standing};
use crate::files::AtomicFile;
use crate::target::{Change, Outcome, TargetError};
use crate::value::{Row, Value};

/// Rows that are read at once.
const READ_ROWS: usize = 500;
/// Rows that a report lists; all are counted, and all are in the list of outcomes.
const LISTED_MAX: usize = 100;

/// The list of outcomes, one line a row.
const OUTCOMES: &str = "outcomes.ndjson";

/// What reading back has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Rows that are as they were written.
    pub(crate) verified: u64,
    /// Rows that are not.
    pub(crate) altered: u64,
    /// The first rows that drifted, failed or are not as written.
    pub(crate) problems: Vec<Problem>,
    /// Rows that this run has written.
    pub(crate) written: Written,
}

/// Rows that a run has written, by what it did to them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Rows that it inserted.
    pub insert: u64,
    /// Rows that it updated.
    pub update: u64,
    /// Rows that it deleted.
    pub delete: u64,
}

/// One row that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Its position in the run.
    pub position: u64,
    /// Its key, as JSON.
    pub key: String,
    /// `insert`, `update` or `delete`.
    pub op: &'static str,
    /// `drifted`, `failed`, `altered` when it does not read back as written; `left_out` when it was named and there
    /// is nothing to do, `unknown` when nobody knows what to do.
    pub what: &'static str,
    /// More.
    pub detail: String,
}

/// Where the row of a change stands, and the row.
pub(crate) type Found = (Standing, Option<Row>);

/// Where each of these changes stands now.
pub(crate) fn standings(
    session: &mut Session<'_, '_>,
    job: &Job<'_>,
    changes: &[Change],
) -> Result<Vec<Found>, Why> {
    let keys: Vec<Row> = changes.iter().map(|change| job.layout.key_of(change)).collect();
    let found = read(session, job, &keys)?;
    let stands = |(change, found): (&Change, Option<Row>)| (standing(change, found.as_deref()), found);
    Ok(changes.iter().zip(found).map(stands).collect())
}

/// Rows by key, over the layout's columns.
fn read(session: &mut Session<'_, '_>, job: &Job<'_>, keys: &[Row]) -> Result<Vec<Option<Row>>, Why> {
    let layout = job.layout;
    let mut all = Vec::with_capacity(keys.len());
    for keys in keys.chunks(READ_ROWS) {
        let rows = session.ask(|target| target.read(&layout.table, &layout.key, keys))?;
        if rows.len() != keys.len() {
            let said = format!("{} rows for {} keys", rows.len(), keys.len());
            return Err(TargetError::failed("read rows by key", said).into());
        }
        all.extend(rows.into_iter().map(|row| row.map(|row| layout.project(&row))));
    }
    Ok(all)
}

/// Reads back the first `rows` rows of a run.
pub(crate) fn canary(session: &mut Session<'_, '_>, job: &Job<'_>, rows: u64) -> Result<Checked, Why> {
    let mut checked = Checked::default();
    let mut past = Past::open(job.changes, job.folder, rows)?;
    while let Some(chunk) = chunk(&mut past)? {
        check(session, job, &chunk, true, &mut checked, None)?;
    }
    Ok(checked)
}

/// Makes the list of outcomes of the first `reached` rows, and reads the written ones back where `verify` says so.
pub(crate) fn list(
    session: &mut Session<'_, '_>,
    job: &Job<'_>,
    reached: u64,
    verify: bool,
) -> Result<Checked, Why> {
    let mut out = AtomicFile::create(&job.folder.join(OUTCOMES))?;
    let mut checked = Checked::default();
    let mut past = Past::open(job.changes, job.folder, reached)?;
    let mut done = 0;
    while let Some(chunk) = chunk(&mut past)? {
        if verify {
            session.check()?;
            session.keep()?;
        }
        check(session, job, &chunk, verify, &mut checked, Some(&mut out))?;
        done += chunk.len() as u64;
        if verify {
            session.done(done, State::Verifying);
        }
    }
    out.commit()?;
    Ok(checked)
}

fn chunk(past: &mut Past<'_>) -> Result<Option<Vec<Done>>, RunError> {
    let chunk: Vec<Done> = past.take(READ_ROWS).collect::<Result<_, _>>()?;
    Ok((!chunk.is_empty()).then_some(chunk))
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
    mut list: Option<&mut AtomicFile>,
) -> Result<(), Why> {
    let is_read = |done: &Done| verify && matches!(done.outcome, Outcome::Applied { .. } | Outcome::Already);
    let keys: Vec<Row> = chunk.iter().filter(|d| is_read(d)).map(|d| job.layout.key_of(&d.change)).collect();
    let mut found = read(session, job, &keys)?.into_iter();
    for done in chunk {
        let back =
            if is_read(done) { read_back(job, done, found.next().flatten()) } else { ReadBack::Skipped };
        let row = describe(job, done);
        if let Some(list) = &mut list {
            list.write(line(&row, &back).as_bytes())?;
        }
        note(checked, done, row, back);
    }
    Ok(())
}

fn read_back(job: &Job<'_>, done: &Done, found: Option<Row>) -> ReadBack {
    let expected: Vec<_> = match (&done.change, &done.outcome) {
        (Change::Delete { .. }, _) if found.is_none() => return ReadBack::AsWritten,
        (Change::Delete { .. }, _) => return ReadBack::Altered("the row is there again".to_owned()),
        (_, Outcome::Applied { stored: Some(row) }) if job.expect == Expect::Stored => {
            row.iter().map(Some).collect()
        }
        (Change::Update { after, .. }, _) => after.iter().map(Some).collect(),
        (Change::Insert { after }, _) => after.iter().map(Option::as_ref).collect(),
    };
    let Some(found) = found else { return ReadBack::Altered("the row is gone".to_owned()) };
    let columns = differing(job.layout, &expected, &found);
    if columns.is_empty() {
        ReadBack::AsWritten
    } else {
        ReadBack::Altered(format!("changed: {}", columns.join(", ")))
    }
}

/// Names of the columns in which `found` is not as expected; any value is where none is expected.
fn differing<'l>(layout: &'l Layout, expected: &[Option<&Value>], found: &[Value]) -> Vec<&'l str> {
    let is =
        |expected: Option<&Value>, found: &Value| expected.is_none_or(|e| e.as_ref().same(found.as_ref()));
    let pairs = layout.each_column().zip(expected.iter().zip(found));
    pairs.filter(|(_, (expected, found))| !is(**expected, found)).map(|(column, _)| &*column.name).collect()
}

/// What the plan saw of a row; an insertion is compared with what it wants.
fn seen(change: &Change) -> Vec<Option<&Value>> {
    match change {
        Change::Insert { after } => after.iter().map(Option::as_ref).collect(),
        Change::Update { before, .. } | Change::Delete { before } => before.iter().map(Some).collect(),
    }
}

/// What a lost answer has done to a row that is as wanted: with the row, where defaults made it.
pub(crate) fn applied(change: &Change, found: Option<Row>) -> Outcome {
    let is_open = matches!(change, Change::Insert { after } if after.iter().any(Option::is_none));
    Outcome::Applied { stored: found.filter(|_| is_open) }
}

/// A row as lists show it, `what` being its outcome.
fn describe(job: &Job<'_>, done: &Done) -> Problem {
    let change = &done.change;
    let (what, detail) = match &done.outcome {
        Outcome::Applied { .. } => ("applied", String::new()),
        Outcome::Already => ("already", String::new()),
        Outcome::Drifted { found: None } => ("drifted", "the row is gone".to_owned()),
        Outcome::Drifted { found: Some(found) } => {
            let columns = differing(job.layout, &seen(change), found);
            ("drifted", format!("changed: {}", columns.join(", ")))
        }
        Outcome::Failed { reason } => ("failed", reason.clone()),
    };
    let (key, op) = (key_json(&job.layout.key_of(change)), Op::of(change).as_str());
    Problem { position: done.position, key, op, what, detail }
}

fn note(checked: &mut Checked, done: &Done, row: Problem, back: ReadBack) {
    if matches!(done.outcome, Outcome::Applied { .. }) {
        *match Op::of(&done.change) {
            Op::Insert => &mut checked.written.insert,
            Op::Update => &mut checked.written.update,
            Op::Delete => &mut checked.written.delete,
        } += 1;
    }
    let problem = match back {
        ReadBack::AsWritten => {
            checked.verified += 1;
            return;
        }
        ReadBack::Altered(detail) => {
            checked.altered += 1;
            Problem { what: "altered", detail, ..row }
        }
        ReadBack::Skipped if row.detail.is_empty() => return,
        ReadBack::Skipped => row,
    };
    if checked.problems.len() < LISTED_MAX {
        checked.problems.push(problem);
    }
}

/// `{"n":4,"key":[17],"op":"update","outcome":"drifted","detail":"changed: name"}`, with `"reads_back"` where the
/// row was read back.
fn line(row: &Problem, back: &ReadBack) -> String {
    let Problem { position, key, op, what, detail } = row;
    let mut line = format!(r#"{{"n":{position},"key":{key},"op":"{op}","outcome":"{what}""#);
    if !detail.is_empty() {
        line.push_str(",\"detail\":");
        line.push_str(&serde_json::to_string(detail).expect("a text is JSON"));
    }
    line.push_str(match back {
        ReadBack::Skipped => "}\n",
        ReadBack::AsWritten => ",\"reads_back\":true}\n",
        ReadBack::Altered(_) => ",\"reads_back\":false}\n",
    });
    line
}
