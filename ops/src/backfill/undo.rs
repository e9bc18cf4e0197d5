//! Taking rows back, some at a time: what a run changed is read from its books each time that it is needed, and never held.
//!
//! The order follows from the books alone: one table after the other, and in each as the candidates ended. Nothing here
//! decides whether a run may be taken back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::BackfillError;
use super::image::{RowChange, Shape};
use super::journal::Ends;
use super::plan::BackfillDir;
use super::report::Listed;
use super::rollback::{KeptRow, RollbackReport, Undone};
use super::run::{Context, LEASE, Progress, take};
use crate::change::apply::End;
use crate::change::apply::seat::Seat;
use crate::clock::Stamp;
use crate::files::AtomicFile;
use crate::target::{Batch, Batches, Change, Outcome, RunId, TargetError};
use crate::text::one_line;
use crate::value::{Row, same_row};

/// Rows that are taken back together, and how long they may be in the books.
const CHUNK_ROWS: usize = 2000;
const CHUNK_BYTES: usize = 4 << 20;
/// Kept rows that a report has itself.
const KEPT: usize = 1000;

/// One row to take back, and whose it is.
pub(super) struct Item {
    n: u64,
    change: RowChange,
}

/// Some rows of one table.
#[derive(Default)]
pub(super) struct Chunk {
    table: usize,
    items: Vec<Item>,
}

impl Chunk {
    fn add(&mut self, n: u64, changes: Vec<RowChange>) {
        let own = changes.into_iter().filter(|change| change.table == self.table);
        self.items.extend(own.map(|change| Item { n, change }));
    }
}

/// Every row that a run changed.
pub(super) struct Changed<'s> {
    shapes: &'s [Shape],
    /// `None` where the books have nothing.
    ends: Option<Ends>,
    /// What is known better than from the books.
    doubtful: BTreeMap<u64, Vec<RowChange>>,
    rows_max: usize,
    table: usize,
}

impl<'s> Changed<'s> {
    /// What the books at `path` have, but for `doubtful` candidates.
    pub(super) fn open(
        path: &Path,
        total: u64,
        shapes: &'s [Shape],
        doubtful: BTreeMap<u64, Vec<RowChange>>,
        rows_max: usize,
    ) -> Result<Self, BackfillError> {
        let rows_max = rows_max.clamp(1, CHUNK_ROWS);
        Ok(Self { shapes, ends: Ends::open(path, total)?, doubtful, rows_max, table: 0 })
    }

    /// How many rows there are.
    pub(super) fn count(&mut self) -> Result<u64, BackfillError> {
        let mut rows = 0;
        while let Some(chunk) = self.take_next()? {
            rows += chunk.items.len() as u64;
        }
        self.rewind()?;
        Ok(rows)
    }

    /// Begins anew.
    fn rewind(&mut self) -> Result<(), BackfillError> {
        self.table = 0;
        Ok(self.ends.as_mut().map_or(Ok(()), Ends::rewind)?)
    }

    /// The next rows; `None` behind the last.
    fn take_next(&mut self) -> Result<Option<Chunk>, BackfillError> {
        while self.table < self.shapes.len() {
            let mut chunk = Chunk { table: self.table, items: Vec::new() };
            let mut bytes = 0;
            while chunk.items.len() < self.rows_max && bytes < CHUNK_BYTES {
                let record = self.ends.as_mut().map_or(Ok(None), |ends| ends.take_next(self.shapes))?;
                let Some(record) = record else {
                    self.doubtful.iter().for_each(|(n, changes)| chunk.add(*n, changes.clone()));
                    self.table += 1;
                    self.ends.as_mut().map_or(Ok(()), Ends::rewind)?;
                    break;
                };
                if !self.doubtful.contains_key(&record.n) {
                    bytes += record.bytes;
                    chunk.add(record.n, record.changes);
                }
            }
            if !chunk.items.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }
}

/// What a row would become.
fn inverse(change: &RowChange) -> Change {
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => Change::Update { before: after.clone(), after: before.clone() },
        (None, Some(after)) => Change::Delete { before: after.clone() },
        (before, None) => Change::Insert { after: before.iter().flatten().cloned().map(Some).collect() },
    }
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

/// What it came to so far.
pub(super) struct Tally<'t> {
    report: RollbackReport,
    shapes: &'t [Shape],
    list: &'t Listed,
    kept: Option<AtomicFile>,
    folder: &'t Path,
    kept_name: String,
    /// Of each row, in order: whether it was taken back, or was as before already.
    undone: Vec<bool>,
    /// Rows in all.
    rows: u64,
}

impl<'t> Tally<'t> {
    /// Nothing so far. Kept rows go into the file `kept_name` of `folder`, when there are any.
    pub(super) fn new(
        report: RollbackReport,
        shapes: &'t [Shape],
        list: &'t Listed,
        folder: &'t Path,
        kept_name: &str,
        rows: u64,
    ) -> Self {
        let kept_name = kept_name.to_owned();
        Self { report, shapes, list, kept: None, folder, kept_name, undone: Vec::new(), rows }
    }

    fn keep(&mut self, item: &Item, why: &str) -> Result<(), BackfillError> {
        let table = item.change.table;
        self.report.tables[table].kept += 1;
        self.report.kept_rows += 1;
        let row = KeptRow {
            table: self.shapes[table].table.name.to_string(),
            id: self.list.id(item.n)?,
            why: why.to_owned(),
        };
        if self.kept.is_none() {
            self.kept = Some(AtomicFile::create(&self.folder.join(&self.kept_name))?);
        }
        if let Some(file) = &mut self.kept {
            let line = serde_json::to_string(&row).expect("texts are JSON") + "\n";
            file.write(line.as_bytes())?;
        }
        if self.report.kept.len() < KEPT {
            self.report.kept.push(row);
        }
        Ok(())
    }

    /// What became of some rows.
    fn note(&mut self, chunk: &Chunk, outcomes: Vec<Outcome>) -> Result<(), BackfillError> {
        for (item, outcome) in chunk.items.iter().zip(outcomes) {
            let undone = &mut self.report.tables[chunk.table];
            self.undone.push(matches!(outcome, Outcome::Applied { .. } | Outcome::Already));
            match outcome {
                Outcome::Applied { .. } => undone.count(&item.change),
                Outcome::Already => undone.already += 1,
                Outcome::Drifted { found } => self.keep(item, changed_since(found.as_ref()))?,
                Outcome::Failed { reason } => self.keep(item, &format!("refused: {}", one_line(&reason)))?,
            }
        }
        Ok(())
    }

    /// The transaction was interrupted: nothing of it is so.
    fn forget(&mut self) {
        let tables = self.report.tables.iter_mut();
        tables.for_each(|undone| {
            *undone = Undone { table: std::mem::take(&mut undone.table), ..Undone::default() }
        });
        self.report.kept.clear();
        self.undone.clear();
        (self.kept, self.report.kept_rows, self.report.end) = (None, 0, End::Interrupted);
    }

    /// The report, when everything was done.
    pub(super) fn finish(mut self) -> Result<RollbackReport, BackfillError> {
        if let Some(file) = self.kept.take() {
            file.commit()?;
            self.report.kept_file = Some(self.kept_name);
        }
        self.report.end = match (self.report.end, self.report.different, self.report.kept_rows) {
            (End::Interrupted, ..) => End::Interrupted,
            (_, 0, 0) => End::Done,
            (_, 0, _) => End::Partly,
            _ => End::Failed,
        };
        Ok(self.report)
    }
}

/// Taking back, or looking what that would do.
pub(super) struct Undoing<'u, 's, 'c> {
    pub(super) dir: &'u BackfillDir,
    pub(super) shapes: &'s [Shape],
    pub(super) changed: &'u mut Changed<'s>,
    pub(super) tally: &'u mut Tally<'s>,
    pub(super) context: &'u mut Context<'c>,
}

impl Undoing<'_, '_, '_> {
    /// The rows as they are now.
    fn read(&mut self, chunk: &Chunk) -> Result<Vec<Option<Row>>, BackfillError> {
        let shape = &self.shapes[chunk.table];
        let row = |item: &Item| {
            let row = item.change.after.as_ref().or(item.change.before.as_ref());
            shape.key_of(row.expect("a change has a row"))
        };
        let keys: Vec<Row> = chunk.items.iter().map(row).collect();
        Ok(self.context.ask(|target| shape.read_many(target, &keys))?)
    }

    /// Says what would be done.
    pub(super) fn rehearse(&mut self) -> Result<(), BackfillError> {
        while let Some(chunk) = self.changed.take_next()? {
            let found = self.read(&chunk)?;
            for (item, found) in chunk.items.iter().zip(found) {
                let undone = &mut self.tally.report.tables[chunk.table];
                if same(found.as_ref(), item.change.before.as_ref()) {
                    undone.already += 1;
                } else if same(found.as_ref(), item.change.after.as_ref()) {
                    undone.count(&item.change);
                } else {
                    self.tally.keep(item, changed_since(found.as_ref()))?;
                }
            }
        }
        Ok(())
    }

    /// Takes every row back, and reads it again.
    pub(super) fn apply(&mut self, seat: &Seat) -> Result<(), BackfillError> {
        self.tally.report.is_applied = true;
        if self.tally.report.one_transaction {
            self.together(seat)?;
        } else {
            self.one_by_one(seat)?;
        }
        self.changed.rewind()?;
        let mut at = 0;
        while let Some(chunk) = self.changed.take_next()? {
            let undone = self.tally.undone.get(at..).unwrap_or_default();
            let undone: Vec<bool> = undone.iter().copied().take(chunk.items.len()).collect();
            at += chunk.items.len();
            if undone.is_empty() {
                break;
            }
            let found = self.read(&chunk)?;
            let all = chunk.items.iter().zip(found).zip(undone);
            for ((item, found), _) in all.filter(|(_, undone)| *undone) {
                let is_as_before = same(found.as_ref(), item.change.before.as_ref());
                let report = &mut self.tally.report;
                *(if is_as_before { &mut report.verified } else { &mut report.different }) += 1;
            }
        }
        Ok(())
    }

    fn hold(&mut self, seat: &Seat, direction: String, table: usize) -> Result<Held, BackfillError> {
        let run = RunId { plan: self.dir.plan().id.clone(), direction };
        let owner = self.context.ids.hex("owner", 8);
        let now = self.context.pace.now();
        let state = take(self.context.target, seat, &self.shapes[table], &run, (&owner, now))?;
        Ok(Held { table, run, owner, until: now.plus(LEASE), position: state.next })
    }

    fn release(&mut self, held: &Held, seat: &Seat) -> Result<(), BackfillError> {
        self.context.target.close(&held.run, &held.owner, false)?;
        seat.leave();
        Ok(())
    }

    /// All tables in one transaction.
    fn together(&mut self, seat: &Seat) -> Result<(), BackfillError> {
        let held = self.hold(seat, "rollback".to_owned(), 0)?;
        let now = self.context.pace.now();
        let Context { target, stop, progress, .. } = &mut *self.context;
        let mut feed = Feed {
            changed: &mut *self.changed,
            tally: &mut *self.tally,
            held: &held,
            now,
            position: held.position,
            stop,
            progress: &mut **progress,
            chunk: Chunk::default(),
            changes: Vec::new(),
            is_stopped: false,
        };
        let result = target.apply_all(&mut feed);
        let is_stopped = feed.is_stopped;
        self.release(&held, seat)?;
        if is_stopped {
            self.tally.forget();
            return Ok(());
        }
        Ok(result?)
    }

    /// One table after the other, some rows at a time.
    fn one_by_one(&mut self, seat: &Seat) -> Result<(), BackfillError> {
        let mut held: Option<Held> = None;
        while let Some(chunk) = self.changed.take_next()? {
            if self.context.is_stopped() {
                self.tally.report.end = End::Interrupted;
                break;
            }
            let mut own = match held.take() {
                Some(own) if own.table == chunk.table => own,
                other => {
                    if let Some(other) = other {
                        self.release(&other, seat)?;
                    }
                    let name = &self.shapes[chunk.table].table.name;
                    self.hold(seat, format!("rollback {name}"), chunk.table)?
                }
            };
            let now = self.context.pace.now();
            if own.until.since(now) < LEASE / 2 {
                own.until = now.plus(LEASE);
                self.context.target.renew(&own.run, &own.owner, own.until)?;
            }
            let changes: Vec<Change> = chunk.items.iter().map(|item| inverse(&item.change)).collect();
            let shape = &self.shapes[chunk.table];
            let outcomes = self.context.target.apply(&batch(shape, &changes, &own.run, own.position, now))?;
            own.position += changes.len() as u64;
            self.tally.note(&chunk, outcomes)?;
            tell(&mut *self.context.progress, self.tally);
            held = Some(own);
        }
        held.map_or(Ok(()), |held| self.release(&held, seat))
    }
}

/// The hold on the table.
struct Held {
    table: usize,
    run: RunId,
    owner: String,
    until: Stamp,
    /// Where the next batch goes in the target's books.
    position: u64,
}

/// Says how far it is.
fn tell(progress: &mut dyn FnMut(&Progress), tally: &Tally<'_>) {
    let (done, total) = (tally.undone.len() as u64, tally.rows);
    let state = format!("taking back, {} kept", tally.report.kept_rows);
    progress(&Progress { done, total, per_minute: None, eta: None, failed: 0, state });
}

fn batch<'b>(shape: &'b Shape, changes: &'b [Change], run: &'b RunId, first: u64, now: Stamp) -> Batch<'b> {
    let Shape { table, columns, key, .. } = shape;
    Batch { table, columns, key, run, first, changes, now }
}

/// The rows as batches of one transaction.
struct Feed<'f, 's> {
    changed: &'f mut Changed<'s>,
    tally: &'f mut Tally<'s>,
    held: &'f Held,
    now: Stamp,
    position: u64,
    stop: &'f AtomicBool,
    progress: &'f mut dyn FnMut(&Progress),
    chunk: Chunk,
    changes: Vec<Change>,
    is_stopped: bool,
}

fn not_read(error: BackfillError) -> TargetError {
    match error {
        BackfillError::Refused(refusal) => TargetError::Refused(refusal),
        error => TargetError::failed("read what the run changed", error),
    }
}

impl Batches for Feed<'_, '_> {
    fn take_next(&mut self) -> Result<Option<Batch<'_>>, TargetError> {
        if self.stop.load(Ordering::Relaxed) {
            self.is_stopped = true;
            return Err(TargetError::Lost("interrupted".to_owned()));
        }
        let Some(chunk) = self.changed.take_next().map_err(not_read)? else { return Ok(None) };
        self.chunk = chunk;
        self.changes = self.chunk.items.iter().map(|item| inverse(&item.change)).collect();
        let first = self.position;
        self.position += self.changes.len() as u64;
        let shape = &self.changed.shapes[self.chunk.table];
        Ok(Some(batch(shape, &self.changes, &self.held.run, first, self.now)))
    }

    fn came_to(&mut self, outcomes: Vec<Outcome>) -> Result<(), TargetError> {
        self.tally.note(&self.chunk, outcomes).map_err(not_read)?;
        tell(self.progress, self.tally);
        Ok(())
    }
}
