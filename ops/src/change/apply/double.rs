//! A target in memory that can fail in every way, and that counts what was done to each row.
//!
//! It is stricter than a database: a batch that its books already have, or that comes without a lease, is a bug in
//! the runner and ends the test.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::change::pace::{Pace, VirtualPace};
use crate::clock::Stamp;
use crate::guard::Refusal;
use crate::target::schema::{Column, Origin, Table, TableName};
use crate::target::{
    Batch, Capabilities, Change, Outcome, RecordedBatch, RunId, RunState, ScanProof, Target, TargetError,
    TargetIdentity,
};
use crate::value::{Kind, Row, Value, ValueRef, order_key, same_row};

/// What goes wrong at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Refused for now, asking for a wait of so many seconds.
    Transient(Option<u64>),
    TooSlow,
    /// The answer is lost; nothing was done.
    LostBefore,
    /// The answer is lost; everything was done.
    LostAfter,
    /// The answer is lost; half of the rows were done. Everything where batches are transactions.
    LostHalf,
    /// The answer is lost, and everything is done only when the next batch comes.
    LostLate,
    /// The process dies before or after anything was done.
    CrashBefore,
    CrashAfter,
    /// Somebody took the table.
    Taken,
    /// An error that is not worth another try.
    Broken,
}

/// What a crash unwinds with: no destructor of the runner may depend on more than its own fields.
#[derive(Debug)]
pub(crate) struct Crash;

/// What a change does to the row.
#[derive(Debug)]
enum Written {
    Nothing,
    Row(Row),
    Gone,
}

/// What the target's books hold about a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct BookRun {
    pub(crate) batches: Vec<RecordedBatch>,
    pub(crate) is_closed: bool,
}

impl BookRun {
    /// The first position behind the books.
    fn next(&self) -> u64 {
        self.batches.last().map_or(0, |batch| batch.first + batch.outcomes.len() as u64)
    }
}

#[derive(Debug)]
pub(crate) struct MemoryTarget {
    pub(crate) table: Table,
    pub(crate) rows: BTreeMap<Vec<u8>, Row>,
    pub(crate) capabilities: Capabilities,
    pub(crate) pace: VirtualPace,
    /// Books by plan and direction; unused without `books_in_target`.
    pub(crate) books: BTreeMap<(String, String), BookRun>,
    /// Who holds the table and until when.
    pub(crate) lease: Option<(String, Stamp)>,
    pub(crate) owner: String,
    /// The batch that came late.
    arrived: Option<(RunId, u64)>,
    /// A batch that is on its way, of a run and an owner.
    late: Option<(RunId, String, u64, Vec<Change>)>,
    /// Faults by number of the operation, from 0 on. Reading and writing are operations alike.
    pub(crate) faults: BTreeMap<u64, Fault>,
    /// Every operation fails like this from now on.
    pub(crate) always: Option<Fault>,
    /// What other sessions do right before an operation: a row, or none to delete it.
    pub(crate) foreign: BTreeMap<u64, Vec<(i64, Option<Row>)>>,
    /// Another runner puts a batch into the books of a direction right before an operation.
    pub(crate) sneak: Option<(u64, String)>,
    pub(crate) operations: u64,
    /// The operations, by name and rows.
    pub(crate) log: Vec<(&'static str, usize)>,
    /// How often a run has written each row.
    pub(crate) writes: BTreeMap<Vec<u8>, u64>,
    /// Keys that the database refuses.
    pub(crate) poison: BTreeSet<i64>,
    /// The database gives up on batches that are larger.
    pub(crate) rows_in_time: usize,
    /// A trigger that counts writes in column `touched`.
    pub(crate) has_trigger: bool,
    /// What a row costs.
    pub(crate) row_time: Duration,
    /// What the throttle query says; `None` where there are no queries.
    pub(crate) measured: Option<f64>,
    pub(crate) identity: TargetIdentity,
    pub(crate) ran_sql: u64,
}

pub(crate) fn start() -> Stamp {
    Stamp::parse("2026-01-02T03:04:05Z").unwrap()
}

pub(crate) fn identity() -> TargetIdentity {
    TargetIdentity {
        driver: "memory".into(),
        url: "memory:test".into(),
        fingerprint: "0123456789ab".into(),
        lineage: None,
    }
}

/// A table of `id`, `name`, `note` (with a default) and `touched`, and a column that is computed.
pub(crate) fn table() -> Table {
    let column = |name: &str, kind, origin, default: Option<&str>| Column {
        name: name.into(),
        type_name: "any".into(),
        kind,
        nullable: name != "id",
        default: default.map(str::to_owned),
        origin,
    };
    Table {
        name: TableName::parse("public.t").unwrap(),
        columns: vec![
            column("twice", Kind::Int, Origin::Computed, None),
            column("id", Kind::Int, Origin::Written, None),
            column("name", Kind::Text, Origin::Written, None),
            column("note", Kind::Text, Origin::Written, Some("'none'")),
            column("touched", Kind::Int, Origin::Written, Some("0")),
        ],
        primary_key: vec![1],
        unique: vec![],
        notes: vec![],
    }
}

/// The columns that changes of [`table`] hold.
pub(crate) const COLUMNS: [usize; 4] = [1, 2, 3, 4];
pub(crate) const KEY: [usize; 1] = [1];

/// A row over [`COLUMNS`].
pub(crate) fn row(id: i64, name: &str) -> Row {
    vec![Value::Int(id), Value::Text(name.into()), Value::Text("n".into()), Value::Int(0)]
}

/// A key as the map has it.
pub(crate) fn key(id: i64) -> Vec<u8> {
    let mut key = Vec::new();
    order_key(&[Value::Int(id)], &mut key);
    key
}

impl MemoryTarget {
    pub(crate) fn new(pace: &VirtualPace, has_books: bool) -> Self {
        let capabilities = Capabilities {
            snapshot: true,
            books_in_target: has_books,
            atomic_batches: has_books,
            atomic_rollback: has_books,
            batch_rows_max: 1000,
            limits: vec![],
        };
        Self {
            table: table(),
            rows: BTreeMap::new(),
            capabilities,
            pace: pace.clone(),
            books: BTreeMap::new(),
            lease: None,
            owner: String::new(),
            late: None,
            arrived: None,
            faults: BTreeMap::new(),
            always: None,
            foreign: BTreeMap::new(),
            sneak: None,
            operations: 0,
            log: Vec::new(),
            writes: BTreeMap::new(),
            poison: BTreeSet::new(),
            rows_in_time: usize::MAX,
            has_trigger: false,
            row_time: Duration::ZERO,
            measured: Some(0.0),
            identity: identity(),
            ran_sql: 0,
        }
    }

    /// Sets a row over [`COLUMNS`], as somebody else does.
    pub(crate) fn set(&mut self, row: &[Value]) {
        let Value::Int(id) = row[0] else { panic!("ids are integers") };
        self.rows.insert(key(id), whole(row));
    }

    /// A row over [`COLUMNS`].
    pub(crate) fn get(&self, id: i64) -> Option<Row> {
        self.rows.get(&key(id)).map(|row| row[1..].to_vec())
    }

    /// All rows over [`COLUMNS`].
    pub(crate) fn all(&self) -> Vec<Row> {
        self.rows.values().map(|row| row[1..].to_vec()).collect()
    }

    /// Whatever should go wrong with the next operation; counts it.
    fn operation(&mut self, name: &'static str, rows: usize) -> Result<Option<Fault>, TargetError> {
        let number = self.operations;
        self.operations += 1;
        self.log.push((name, rows));
        for (id, row) in self.foreign.remove(&number).unwrap_or_default() {
            match row {
                Some(row) => self.set(&row),
                None => drop(self.rows.remove(&key(id))),
            }
        }
        if let Some((_, direction)) = self.sneak.take_if(|(at, _)| *at == number) {
            let books = self.books.iter_mut().filter(|((_, other), _)| *other == direction);
            for (_, book) in books {
                let next = book.next();
                book.batches.push(RecordedBatch { first: next, outcomes: vec![Outcome::Already] });
            }
        }
        let fault = self.always.or_else(|| self.faults.remove(&number));
        let reason = || format!("fault at operation {number}");
        match fault {
            Some(Fault::Transient(seconds)) => {
                let retry_after = seconds.map(Duration::from_secs);
                Err(TargetError::Transient { reason: reason(), retry_after })
            }
            Some(Fault::TooSlow) => Err(TargetError::TooSlow { reason: reason() }),
            Some(Fault::LostBefore) => Err(TargetError::InDoubt { reason: reason() }),
            Some(Fault::Taken) => {
                self.lease = Some(("somebody else".into(), self.pace.now().plus(Duration::from_hours(1))));
                Err(TargetError::Lost("somebody else holds it".into()))
            }
            Some(Fault::Broken) => Err(TargetError::failed("do it", "it broke")),
            Some(Fault::CrashBefore) => std::panic::resume_unwind(Box::new(Crash)),
            other => Ok(other),
        }
    }

    /// What an operation ends with that has done its work.
    fn after(fault: Option<Fault>) -> Result<(), TargetError> {
        match fault {
            Some(Fault::LostAfter | Fault::LostHalf | Fault::LostLate) => {
                Err(TargetError::InDoubt { reason: "the answer was lost".into() })
            }
            Some(Fault::CrashAfter) => std::panic::resume_unwind(Box::new(Crash)),
            _ => Ok(()),
        }
    }

    fn check_lease(&self, owner: &str) -> Result<(), TargetError> {
        match &self.lease {
            _ if !self.capabilities.books_in_target => Ok(()),
            Some((holder, _)) if holder == owner => Ok(()),
            other => Err(TargetError::Lost(format!("held by {other:?}"))),
        }
    }

    /// What one change would do: its outcome, and what it writes.
    fn one(&self, change: &Change) -> Result<(Outcome, Written), String> {
        let id = match change {
            Change::Insert { after } => after[0].clone().unwrap(),
            Change::Update { before, .. } | Change::Delete { before } => before[0].clone(),
        };
        let Value::Int(id) = id else { panic!("ids are integers") };
        let found = self.get(id);
        if let Some(stands) = stands(change, found.as_ref()) {
            return Ok((stands, Written::Nothing));
        }
        if self.poison.contains(&id) {
            return Err("23514 t_check".to_owned());
        }
        let Some((sent, is_whole)) = sent(change) else {
            return Ok((Outcome::Applied { stored: None }, Written::Gone));
        };
        let mut stored = sent;
        if self.has_trigger {
            let Value::Int(touched) = stored[3] else { panic!("touched is an integer") };
            stored[3] = Value::Int(touched + 1);
        }
        let is_other = self.has_trigger || !is_whole;
        Ok((Outcome::Applied { stored: is_other.then(|| stored.clone()) }, Written::Row(stored)))
    }

    fn write(&mut self, change: &Change, written: Written) {
        let Value::Int(id) = (match change {
            Change::Insert { after } => after[0].clone().unwrap(),
            Change::Update { before, .. } | Change::Delete { before } => before[0].clone(),
        }) else {
            panic!("ids are integers")
        };
        match written {
            Written::Nothing => return,
            Written::Row(row) => self.set(&row),
            Written::Gone => drop(self.rows.remove(&key(id))),
        }
        *self.writes.entry(key(id)).or_default() += 1;
    }

    /// A batch that was on its way is done, unless the table is somebody else's by now.
    fn arrive(&mut self, run: &RunId, owner: &str, first: u64, changes: &[Change]) {
        let has_books = self.capabilities.books_in_target;
        if has_books && (self.check_lease(owner).is_err() || self.book(run).next() > first) {
            return;
        }
        let mut outcomes = Vec::new();
        for change in changes {
            let Ok((outcome, write)) = self.one(change) else { return };
            outcomes.push(outcome);
            self.write(change, write);
        }
        if has_books {
            self.book(run).batches.push(RecordedBatch { first, outcomes });
            self.arrived = Some((run.clone(), first));
        }
    }

    /// The books of a run, which must be there.
    fn book(&mut self, run: &RunId) -> &mut BookRun {
        self.books.entry((run.plan.clone(), run.direction.clone())).or_default()
    }
}

/// The outcome of a change that changes nothing; `None` when it is to be done.
fn stands(change: &Change, found: Option<&Row>) -> Option<Outcome> {
    let is_after = match (change, found) {
        (Change::Insert { .. }, None) => return None,
        (Change::Delete { .. }, None) => true,
        (Change::Update { .. }, None) => false,
        (Change::Insert { after }, Some(row)) => {
            after.iter().zip(row).all(|(a, r)| a.as_ref().is_none_or(|a| a.as_ref().same(r.as_ref())))
        }
        (Change::Update { after, .. }, Some(row)) if same_row(after, row) => true,
        (Change::Update { before, .. } | Change::Delete { before }, Some(row)) => {
            if same_row(before, row) {
                return None;
            }
            false
        }
    };
    Some(if is_after { Outcome::Already } else { Outcome::Drifted { found: found.cloned() } })
}

/// The row that a change sends, with defaults filled in, and whether none had to be.
fn sent(change: &Change) -> Option<(Row, bool)> {
    let defaults = [Value::Null, Value::Null, Value::Text("none".into()), Value::Int(0)];
    match change {
        Change::Insert { after } => {
            let cells = after.iter().zip(defaults);
            let row = cells.map(|(cell, default)| cell.clone().unwrap_or(default)).collect();
            Some((row, after.iter().all(Option::is_some)))
        }
        Change::Update { after, .. } => Some((after.clone(), true)),
        Change::Delete { .. } => None,
    }
}

/// A row over all columns of the table.
fn whole(row: &[Value]) -> Row {
    let Value::Int(id) = row[0] else { panic!("ids are integers") };
    std::iter::once(Value::Int(2 * id)).chain(row.iter().cloned()).collect()
}

impl Target for MemoryTarget {
    fn identity(&mut self) -> Result<TargetIdentity, TargetError> {
        Ok(self.identity.clone())
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn table(&mut self, _: &TableName) -> Result<Table, TargetError> {
        Ok(self.table.clone())
    }

    fn scan(
        &mut self,
        _: &Table,
        row: &mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), TargetError>,
    ) -> Result<ScanProof, TargetError> {
        for found in self.rows.values() {
            row(&found.iter().map(Value::as_ref).collect::<Vec<_>>())?;
        }
        let rows = self.rows.len() as u64;
        Ok(ScanProof { rows, count_before: rows, count_after: rows, pages: 1, snapshot: true })
    }

    fn read(&mut self, _: &Table, _: &[usize], keys: &[Row]) -> Result<Vec<Option<Row>>, TargetError> {
        let fault = self.operation("read", keys.len())?;
        let id = |key: &Row| if let Value::Int(id) = key[0] { id } else { panic!("ids are integers") };
        let rows = keys.iter().map(|k| self.rows.get(&key(id(k))).cloned()).collect();
        Self::after(fault)?;
        Ok(rows)
    }

    fn begin(
        &mut self,
        _: &Table,
        run: &RunId,
        owner: &str,
        now: Stamp,
        expires: Stamp,
    ) -> Result<RunState, TargetError> {
        let fault = self.operation("begin", 0)?;
        owner.clone_into(&mut self.owner);
        if !self.capabilities.books_in_target {
            Self::after(fault)?;
            return Ok(RunState { next: 0, is_closed: false });
        }
        let book = self.book(run);
        let state = RunState { next: book.next(), is_closed: book.is_closed };
        if !state.is_closed {
            match &self.lease {
                Some((holder, until)) if holder != owner && *until > now => {
                    return Err(TargetError::Lost(format!("{holder} holds it until {until}")));
                }
                _ => self.lease = Some((owner.to_owned(), expires)),
            }
        }
        Self::after(fault)?;
        Ok(state)
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<Vec<Outcome>, TargetError> {
        let rows = batch.changes.len();
        let fault = self.operation("apply", rows)?;
        assert!(
            rows > 0 && rows <= self.capabilities.batch_rows_max.max(1) || batch.run.direction != "apply"
        );
        self.check_lease(&self.owner.clone())?;
        self.pace.advance(self.row_time * u32::try_from(rows).unwrap());
        if rows > self.rows_in_time {
            return Err(TargetError::TooSlow { reason: "57014".into() });
        }
        if let Some((run, owner, first, changes)) = self.late.take() {
            self.arrive(&run, &owner, first, &changes);
        }
        if fault == Some(Fault::LostLate) {
            self.late = Some((batch.run.clone(), self.owner.clone(), batch.first, batch.changes.to_vec()));
            return Err(TargetError::InDoubt { reason: "the answer was lost".into() });
        }
        let is_atomic = self.capabilities.atomic_batches;
        let done = if fault == Some(Fault::LostHalf) && !is_atomic { rows / 2 } else { rows };
        let mut outcomes = Vec::new();
        let mut writes = Vec::new();
        for change in &batch.changes[..done] {
            match self.one(change) {
                Ok((outcome, write)) => {
                    outcomes.push(outcome);
                    writes.push((change, write));
                }
                Err(reason) if is_atomic => return Err(TargetError::Rejected { reason }),
                Err(reason) => outcomes.push(Outcome::Failed { reason }),
            }
        }
        for (change, row) in writes {
            self.write(change, row);
        }
        if self.capabilities.books_in_target {
            let first = batch.first;
            let has_arrived = self.arrived.take() == Some((batch.run.clone(), first));
            let book = self.book(batch.run);
            let next = book.next();
            if has_arrived {
                let what = "the books have this batch already";
                return Err(Refusal::new(what, format!("from {next} on"), format!("from {first} on")).into());
            }
            assert!(first >= next, "batch {first} comes again: the books are at {next}");
            book.batches.push(RecordedBatch { first, outcomes: outcomes.clone() });
        }
        Self::after(fault)?;
        Ok(outcomes)
    }

    fn recorded(&mut self, run: &RunId, from: u64) -> Result<Vec<RecordedBatch>, TargetError> {
        let fault = self.operation("recorded", 0)?;
        let found = self.books.get(&(run.plan.clone(), run.direction.clone()));
        let batches = found.map(|b| b.batches.iter().filter(|b| b.first >= from).cloned().collect());
        Self::after(fault)?;
        Ok(batches.unwrap_or_default())
    }

    fn renew(&mut self, _: &RunId, owner: &str, expires: Stamp) -> Result<(), TargetError> {
        let fault = self.operation("renew", 0)?;
        self.check_lease(owner)?;
        self.lease = self.lease.take().map(|(owner, _)| (owner, expires));
        Self::after(fault)
    }

    fn close(&mut self, run: &RunId, owner: &str, is_done: bool) -> Result<(), TargetError> {
        let fault = self.operation("close", usize::from(is_done))?;
        if self.capabilities.books_in_target {
            self.check_lease(owner)?;
            self.lease = None;
            self.book(run).is_closed |= is_done;
        }
        Self::after(fault)
    }

    fn measure(&mut self, _: &str) -> Result<f64, TargetError> {
        self.ran_sql += 1;
        let refusal = || Refusal::new("no queries here", "a target with queries", "none").next("do without");
        self.measured.ok_or_else(|| TargetError::Refused(refusal()))
    }
}
