//! Taking a run back: rows that it overwrote become what they were, rows that it made are removed, nothing else is touched.
//!
//! A row that is no longer what the run left is somebody else's by now: it is kept and listed. Where the target can, all of
//! it is one transaction. Afterwards every row is read again and compared with what was before the run. Without an order
//! it is a rehearsal: the same reading and the same counts, and nothing is written.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;

use super::BackfillError;
use super::image::{RowChange, Shape, chained, differences};
use super::journal::{self, Past, Prior};
use super::plan::{BackfillDir, Candidate};
use super::report::Listed;
use super::run::{Context, journal_path, require_target, shapes, take};
use crate::change::apply::End;
use crate::change::apply::seat::Seat;
use crate::change::gate::GateError;
use crate::change::lock::PlanLock;
use crate::clock::Stamp;
use crate::files;
use crate::guard::Refusal;
use crate::report::{Align, Document, Table};
use crate::target::{Batch, Change, Outcome, RunId, TargetIdentity};
use crate::text::{one_line, plural, thousands};
use crate::value::{Row, same_row};

/// The report of a rollback, below the folder of the plan. While it is there the plan cannot be applied again.
pub(super) const JOURNAL: &str = "rollback/report.json";

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
    /// Rows that changed since the run and were kept.
    pub kept: Vec<KeptRow>,
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

/// One row to take back, and whose it is.
struct Item {
    n: u64,
    change: RowChange,
}

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
    let past = journal::read(&journal_path(dir), &shapes, facts.candidates)?;
    let Some(past) = past else {
        return Err(Refusal::new("this plan was never applied", "the books of a run", "none").into());
    };
    let timeout = timeout.unwrap_or(Duration::from_secs(facts.timeout_seconds));
    let items = gather(dir, &shapes, &past, timeout, context)?;
    let list = Listed::read(dir)?;
    let mut undoing = Undoing { shapes: &shapes, items: &items, list: &list, context };
    let Some(gate) = gate else {
        let mut report = undoing.rehearse(dir)?;
        report.run = past.header.run;
        return Ok(report);
    };
    gate(dir, &identity)?;
    let seat = Seat::of(&lock);
    let mut report = undoing.apply(dir, &seat)?;
    report.run = past.header.run;
    let json = serde_json::to_string_pretty(&report).expect("texts and numbers are JSON") + "\n";
    files::write_atomic(&dir.path().join(JOURNAL), json.as_bytes())?;
    files::write_atomic(&dir.path().join("rollback/report.md"), report.document().markdown().as_bytes())?;
    Ok(report)
}

/// Every row that the run changed: from the books, and of candidates in doubt from the database.
fn gather(
    dir: &BackfillDir,
    shapes: &[Shape],
    past: &Past,
    timeout: Duration,
    context: &mut Context<'_>,
) -> Result<Vec<Item>, BackfillError> {
    let mut by_candidate: HashMap<u64, Vec<RowChange>> = HashMap::new();
    journal::each_end(&journal_path(dir), shapes, dir.facts().candidates, &mut |record| {
        if !record.changes.is_empty() {
            by_candidate.insert(record.n, record.changes);
        }
        Ok(())
    })?;
    let open = |n: u64| past.open.get(&n).filter(|prior| prior.before.is_some() && prior.called.is_some());
    if past.open.keys().any(|n| open(*n).is_some()) {
        let mut candidates = dir.candidates()?;
        while let Some(candidate) = candidates.take_next()? {
            if let Some(prior) = open(candidate.n) {
                let changes = in_doubt(shapes, prior, &candidate, timeout, context)?;
                by_candidate.insert(candidate.n, changes);
            }
        }
    }
    let mut items: Vec<Item> = by_candidate
        .into_iter()
        .flat_map(|(n, changes)| changes.into_iter().map(move |change| Item { n, change }))
        .collect();
    items.sort_by_key(|item| (item.change.table, item.n));
    Ok(items)
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

struct Undoing<'u, 'c> {
    shapes: &'u [Shape],
    items: &'u [Item],
    list: &'u Listed,
    context: &'u mut Context<'c>,
}

/// What a row would become.
fn inverse(change: &RowChange) -> Change {
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => Change::Update { before: after.clone(), after: before.clone() },
        (None, Some(after)) => Change::Delete { before: after.clone() },
        (before, None) => Change::Insert { after: before.iter().flatten().cloned().map(Some).collect() },
    }
}

impl Undoing<'_, '_> {
    fn report(&self, dir: &BackfillDir) -> RollbackReport {
        let table = |shape: &Shape| Undone { table: shape.table.name.to_string(), ..Undone::default() };
        RollbackReport {
            format: 1,
            plan: dir.plan().id.clone(),
            run: String::new(),
            is_applied: false,
            end: End::Done,
            tables: self.shapes.iter().map(table).collect(),
            kept: Vec::new(),
            verified: 0,
            different: 0,
            one_transaction: self.context.target.capabilities().atomic_rollback,
        }
    }

    fn read(&mut self, item: &Item) -> Result<Option<Row>, BackfillError> {
        let row = item.change.after.as_ref().or(item.change.before.as_ref()).expect("a change has a row");
        let shape = &self.shapes[item.change.table];
        Ok(self.context.ask(|target| shape.read_one(target, row))?)
    }

    fn keep(&self, report: &mut RollbackReport, item: &Item, why: &str) {
        report.tables[item.change.table].kept += 1;
        report.kept.push(KeptRow {
            table: self.shapes[item.change.table].table.name.to_string(),
            id: self.list.id(item.n),
            why: why.to_owned(),
        });
    }

    fn rehearse(&mut self, dir: &BackfillDir) -> Result<RollbackReport, BackfillError> {
        let mut report = self.report(dir);
        for item in self.items {
            let found = self.read(item)?;
            let undone = &mut report.tables[item.change.table];
            if same(found.as_ref(), item.change.before.as_ref()) {
                undone.already += 1;
            } else if same(found.as_ref(), item.change.after.as_ref()) {
                undone.count(&item.change);
            } else {
                self.keep(&mut report, item, changed_since(found.as_ref()));
            }
        }
        if !report.kept.is_empty() {
            report.end = End::Partly;
        }
        Ok(report)
    }

    fn apply(&mut self, dir: &BackfillDir, seat: &Seat) -> Result<RollbackReport, BackfillError> {
        let mut report = self.report(dir);
        report.is_applied = true;
        let outcomes =
            if report.one_transaction { self.together(dir, seat)? } else { self.table_by_table(dir, seat)? };
        for (item, outcome) in self.items.iter().zip(&outcomes) {
            match outcome {
                Outcome::Applied { .. } => report.tables[item.change.table].count(&item.change),
                Outcome::Already => report.tables[item.change.table].already += 1,
                Outcome::Drifted { found } => self.keep(&mut report, item, changed_since(found.as_ref())),
                Outcome::Failed { reason } => {
                    self.keep(&mut report, item, &format!("refused: {}", one_line(reason)));
                }
            }
        }
        for (item, outcome) in self.items.iter().zip(&outcomes) {
            if matches!(outcome, Outcome::Applied { .. } | Outcome::Already) {
                let found = self.read(item)?;
                let is_as_before = same(found.as_ref(), item.change.before.as_ref());
                *(if is_as_before { &mut report.verified } else { &mut report.different }) += 1;
            }
        }
        report.end = match (report.different, report.kept.is_empty()) {
            (0, true) => End::Done,
            (0, false) => End::Partly,
            _ => End::Failed,
        };
        Ok(report)
    }

    /// All tables in one transaction.
    fn together(&mut self, dir: &BackfillDir, seat: &Seat) -> Result<Vec<Outcome>, BackfillError> {
        let run = RunId { plan: dir.plan().id.clone(), direction: "rollback".to_owned() };
        let owner = self.context.ids.hex("owner", 8);
        let now = self.context.pace.now();
        let state = take(self.context.target, seat, &self.shapes[0], &run, (&owner, now))?;
        let mut position = state.next;
        let changes: Vec<(usize, Vec<Change>)> = self.by_table();
        let mut batches = Vec::new();
        for (table, changes) in &changes {
            batches.push(batch(&self.shapes[*table], changes, &run, position, now));
            position += changes.len() as u64;
        }
        let result = self.context.target.apply_all(&batches);
        self.context.target.close(&run, &owner, false)?;
        seat.leave();
        Ok(result?.into_iter().flatten().collect())
    }

    /// One table after the other, in batches of what the target takes.
    fn table_by_table(&mut self, dir: &BackfillDir, seat: &Seat) -> Result<Vec<Outcome>, BackfillError> {
        let rows = self.context.target.capabilities().batch_rows_max.max(1);
        let mut all = Vec::new();
        for (table, changes) in self.by_table() {
            let name = &self.shapes[table].table.name;
            let run = RunId { plan: dir.plan().id.clone(), direction: format!("rollback {name}") };
            let owner = self.context.ids.hex("owner", 8);
            let now = self.context.pace.now();
            let state = take(self.context.target, seat, &self.shapes[table], &run, (&owner, now))?;
            let mut position = state.next;
            for chunk in changes.chunks(rows) {
                let batch = batch(&self.shapes[table], chunk, &run, position, now);
                all.extend(self.context.target.apply(&batch)?);
                position += chunk.len() as u64;
            }
            self.context.target.close(&run, &owner, false)?;
            seat.leave();
        }
        Ok(all)
    }

    fn by_table(&self) -> Vec<(usize, Vec<Change>)> {
        let of = |table: usize| self.items.iter().filter(move |item| item.change.table == table);
        let changes = |table: usize| (table, of(table).map(|item| inverse(&item.change)).collect::<Vec<_>>());
        (0..self.shapes.len()).map(changes).filter(|(_, changes)| !changes.is_empty()).collect()
    }
}

fn batch<'b>(shape: &'b Shape, changes: &'b [Change], run: &'b RunId, first: u64, now: Stamp) -> Batch<'b> {
    let Shape { table, columns, key, .. } = shape;
    Batch { table, columns, key, run, first, changes, now }
}

fn same(a: Option<&Row>, b: Option<&Row>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same_row(a, b),
        (None, None) => true,
        _ => false,
    }
}

fn changed_since(found: Option<&Row>) -> &'static str {
    if found.is_some() { "it changed since the run" } else { "it was removed since the run" }
}

impl Undone {
    fn count(&mut self, change: &RowChange) {
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
            (true, End::Failed) => {
                format!("{} differ from what was before the run: FAIL", plural(self.different, "row"))
            }
            (true, _) => format!("{} of {} read back as before the run", self.verified, plural(rows, "row")),
        };
        document.facts([
            ("run", self.run.clone()),
            ("state", state),
            ("kept", format!("{} that changed since", plural(self.kept.len() as u64, "row"))),
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
            if self.kept.len() > LISTED {
                document.text(format!("{} more are in the report.", self.kept.len() - LISTED));
            }
        }
        document
    }
}
