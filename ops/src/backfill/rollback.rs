//! Taking a run back: rows that it overwrote become what they were, rows that it made are removed, nothing else is touched.
//!
//! A row that is no longer what the run left is somebody else's by now: it is kept and listed. Where the target can, all of
//! it is one transaction. Afterwards every row is read again and compared with what was before the run. Without an order
//! it is a rehearsal: the same reading and the same counts, and nothing is written. How rows are taken back is in `undo`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::BackfillError;
use super::image::{RowChange, Shape, chained, differences};
use super::journal::{self, Past, Prior};
use super::plan::{BackfillDir, Candidate};
use super::report::Listed;
use super::run::{Context, journal_path, require_target, shapes};
use super::undo::{Changed, Tally, Undoing};
use crate::change::apply::End;
use crate::change::apply::seat::Seat;
use crate::change::gate::GateError;
use crate::change::lock::PlanLock;
use crate::clock::Stamp;
use crate::files;
use crate::guard::Refusal;
use crate::report::{Align, Document, Table};
use crate::target::TargetIdentity;
use crate::text::{plural, thousands};

/// The report of a rollback, below the folder of the plan.
const REPORT: &str = "rollback/report.json";
/// Written before the first row is; while it is there the plan cannot be applied again.
const BEGUN: &str = "rollback/begun";

/// What a rollback came to, or would come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RollbackReport {
    /// Version of this JSON document.
    pub format: u32,
    /// Full id of the plan.
    pub plan: String,
    /// Id of the run that is taken back.
    pub run: String,
    /// Whether rows were written; otherwise it is a rehearsal.
    pub is_applied: bool,
    /// How it ended.
    pub end: End,
    /// By table.
    pub tables: Vec<Undone>,
    /// How many rows changed since the run and were kept.
    pub kept_rows: u64,
    /// The first of them.
    pub kept: Vec<KeptRow>,
    /// The file in the folder of the plan that has all of them.
    pub kept_file: Option<String>,
    /// Rows that read back as they were before the run.
    pub verified: u64,
    /// Rows that do not, although they were taken back.
    pub different: u64,
    /// Whether all of it was one transaction.
    pub one_transaction: bool,
}

/// What was taken back in a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Undone {
    /// Its name.
    pub table: String,
    /// Overwritten rows that were restored.
    pub restored: u64,
    /// Rows of the run that were removed.
    pub deleted: u64,
    /// Removed rows that were put back.
    pub reinserted: u64,
    /// Rows that were as before already.
    pub already: u64,
    /// Rows that changed since, and were kept.
    pub kept: u64,
}

/// A row that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptRow {
    /// Its table.
    pub table: String,
    /// Whose it is.
    pub id: String,
    /// Why.
    pub why: String,
}

/// Asked before anything is written.
pub type Gate<'a> = &'a mut dyn FnMut(&BackfillDir, &TargetIdentity) -> Result<(), GateError>;

/// Takes the run of a plan back; without a gate it is rehearsed.
pub fn rollback(
    dir: &BackfillDir,
    timeout: Option<Duration>,
    gate: Option<Gate<'_>>,
    context: &mut Context<'_>,
) -> Result<RollbackReport, BackfillError> {
    let facts = dir.facts();
    let identity = context.target.identity()?;
    require_target(facts, &identity)?;
    let lock = PlanLock::take(dir.path())?;
    let shapes = shapes(context.target, facts)?;
    let path = journal_path(dir);
    let Some(past) = journal::read(&path, &shapes, facts.candidates)? else {
        return Err(Refusal::new("this plan was never applied", "the books of a run", "none").into());
    };
    let timeout = timeout.unwrap_or(Duration::from_secs(facts.timeout_seconds));
    let doubtful = doubtful(dir, &shapes, &past, timeout, context)?;
    let capabilities = context.target.capabilities();
    let mut changed = Changed::open(&path, facts.candidates, &shapes, doubtful, capabilities.batch_rows_max)?;
    let report = empty(dir, &shapes, past.header.run, capabilities.atomic_rollback);
    let list = Listed::read(dir)?;
    let place = if gate.is_some() { "rollback" } else { "rehearsal" };
    let (kept, rows) = (format!("{place}/kept.ndjson"), changed.count()?);
    let mut tally = Tally::new(report, &shapes, &list, dir.path(), &kept, rows);
    let mut undoing = Undoing { dir, shapes: &shapes, changed: &mut changed, tally: &mut tally, context };
    let Some(gate) = gate else {
        undoing.rehearse()?;
        return tally.finish();
    };
    gate(dir, &identity)?;
    let begun = Begun::note(dir, undoing.context.pace.now())?;
    if let Err(error) = undoing.apply(&Seat::of(&lock)) {
        // In one transaction nothing was written, unless it is not known.
        if capabilities.atomic_rollback && !is_in_doubt(&error) {
            begun.forget();
        }
        return Err(error);
    }
    let report = tally.finish()?;
    if report.end == End::Interrupted && capabilities.atomic_rollback {
        begun.forget();
        return Ok(report);
    }
    let json = serde_json::to_string_pretty(&report).expect("texts and numbers are JSON") + "\n";
    files::write_atomic(&dir.path().join(REPORT), json.as_bytes())?;
    files::write_atomic(&dir.path().join("rollback/report.md"), report.document().markdown().as_bytes())?;
    Ok(report)
}

/// Whether a plan was taken back, or may have been in part.
pub(super) fn was_begun(dir: &BackfillDir) -> bool {
    [BEGUN, REPORT].iter().any(|name| dir.path().join(name).exists())
}

fn is_in_doubt(error: &BackfillError) -> bool {
    matches!(error, BackfillError::Target(crate::target::TargetError::InDoubt { .. }))
}

/// The note that a plan is being taken back.
struct Begun {
    path: PathBuf,
    is_new: bool,
}

impl Begun {
    fn note(dir: &BackfillDir, now: Stamp) -> Result<Self, BackfillError> {
        let path = dir.path().join(BEGUN);
        let is_new = !was_begun(dir);
        files::write_atomic(&path, format!("{}\n", now.db()).as_bytes())?;
        Ok(Self { path, is_new })
    }

    /// Nothing was written. What cannot be removed says too much, which does no harm.
    fn forget(self) {
        if self.is_new {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn empty(dir: &BackfillDir, shapes: &[Shape], run: String, one_transaction: bool) -> RollbackReport {
    let table = |shape: &Shape| Undone { table: shape.table.name.to_string(), ..Undone::default() };
    RollbackReport {
        format: 1,
        plan: dir.plan().id.clone(),
        run,
        is_applied: false,
        end: End::Done,
        tables: shapes.iter().map(table).collect(),
        kept_rows: 0,
        kept: Vec::new(),
        kept_file: None,
        verified: 0,
        different: 0,
        one_transaction,
    }
}

/// What candidates changed on which the books have not the last word: found out from the database.
fn doubtful(
    dir: &BackfillDir,
    shapes: &[Shape],
    past: &Past,
    timeout: Duration,
    context: &mut Context<'_>,
) -> Result<BTreeMap<u64, Vec<RowChange>>, BackfillError> {
    let mut found = BTreeMap::new();
    let open = |n: u64| past.open.get(&n).filter(|prior| prior.before.is_some() && prior.called.is_some());
    let Some(last) = past.open.keys().copied().filter(|n| open(*n).is_some()).max() else { return Ok(found) };
    let mut candidates = dir.candidates()?;
    while let Some(candidate) = candidates.take_next()?.filter(|candidate| candidate.n <= last) {
        if let Some(prior) = open(candidate.n) {
            found.insert(candidate.n, in_doubt(shapes, prior, &candidate, timeout, context)?);
        }
    }
    Ok(found)
}

/// What a candidate changed whose last call has no result: waits until that call is over in any case, then looks.
fn in_doubt(
    shapes: &[Shape],
    prior: &Prior,
    candidate: &Candidate,
    timeout: Duration,
    context: &mut Context<'_>,
) -> Result<Vec<RowChange>, BackfillError> {
    let sent = prior.called.as_deref().and_then(Stamp::parse_db);
    let since = sent.map_or(Duration::ZERO, |sent| context.pace.now().since(sent));
    if let Some(left) = timeout.checked_sub(since) {
        context.pace.sleep(left);
    }
    let now = context.images(shapes, candidate)?;
    let before = prior.before.as_ref().expect("it was asked for");
    Ok(chained(shapes, prior.changes.clone(), differences(shapes, before, &now)))
}

impl Undone {
    pub(super) fn count(&mut self, change: &RowChange) {
        match (&change.before, &change.after) {
            (Some(_), Some(_)) => self.restored += 1,
            (None, _) => self.deleted += 1,
            (Some(_), None) => self.reinserted += 1,
        }
    }
}

/// Kept rows that a document lists.
const LISTED: usize = 100;

impl RollbackReport {
    /// What a person reads.
    pub fn document(&self) -> Document {
        let mut document = Document::new();
        let what = if self.is_applied { "Rollback" } else { "Rehearsal of a rollback" };
        let plan = self.plan.get(..12).unwrap_or(&self.plan);
        document.heading(1, format!("{what} of backfill {plan}"));
        let rows: u64 = self.tables.iter().map(|t| t.restored + t.deleted + t.reinserted + t.already).sum();
        let state = match (self.is_applied, self.end) {
            (false, _) => "nothing was written".to_owned(),
            (true, End::Interrupted) => {
                format!("interrupted; {} read back as before the run", plural(self.verified, "row"))
            }
            (true, End::Failed) => {
                format!("{} differ from what was before the run: FAIL", plural(self.different, "row"))
            }
            (true, _) => format!("{} of {} read back as before the run", self.verified, plural(rows, "row")),
        };
        document.facts([
            ("run", self.run.clone()),
            ("state", state),
            ("kept", format!("{} that changed since", plural(self.kept_rows, "row"))),
            ("transaction", if self.one_transaction { "one" } else { "one a batch, or a row" }.to_owned()),
        ]);
        let names = ["table", "restored", "deleted", "put back", "already", "kept"];
        let mut table =
            Table::new(names.map(|name| (name, if name == "table" { Align::Left } else { Align::Right })));
        for undone in &self.tables {
            let numbers = [undone.restored, undone.deleted, undone.reinserted, undone.already, undone.kept];
            table.row(std::iter::once(undone.table.clone()).chain(numbers.map(thousands)));
        }
        document.table(table);
        if !self.kept.is_empty() {
            document.heading(2, "Kept");
            document.list(
                self.kept
                    .iter()
                    .take(LISTED)
                    .map(|kept| format!("{}, {}: {}", kept.table, kept.id, kept.why)),
            );
            let more = self.kept_rows.saturating_sub(LISTED as u64);
            if let Some(file) = self.kept_file.as_ref().filter(|_| more > 0) {
                document.text(format!("{} more are in `{file}`.", thousands(more)));
            }
        }
        document
    }
}
