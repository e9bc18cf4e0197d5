//! The first half of a comparison: both sides are read once, at the same time, and become digests and places.

use super::faults::LISTED_MAX;
use super::source::{Desired, DesiredRow};
use super::spill::{Entry, Partitions};
use super::store::Store;
use super::{DiffError, Job, both};
use crate::target::{ScanProof, Target, TargetError};
use crate::value::{Digest128, Row, ValueRef, digest_row};

/// Rows after which a side asks whether it shall stop: a power of two.
const ROWS_PER_ASK: u64 = 256;

/// The digest of a desired row that must be looked at cell by cell. A row whose digest happens to be this one is
/// looked at too, which costs a moment and changes nothing.
pub(super) const LOOK: Digest128 = 0;

/// Both sides.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) live: Side<Row>,
    /// Rows without a key by their lines.
    pub(super) desired: Side<u64>,
    pub(super) scan: ScanProof,
}

/// What reading one side found.
#[derive(Debug)]
pub(super) struct Side<T> {
    pub(super) partitions: Partitions,
    pub(super) rows: u64,
    pub(super) unkeyed: u64,
    /// The first rows without a key.
    pub(super) unkeyed_first: Vec<T>,
}

impl<T> Side<T> {
    fn new(job: &Job<'_>) -> Self {
        let partitions = Partitions::new(job.dir, job.limits.partitions, 0);
        Self { partitions, rows: 0, unkeyed: 0, unkeyed_first: Vec::new() }
    }

    fn count(&mut self, job: &Job<'_>) -> Result<(), DiffError> {
        self.rows += 1;
        if self.rows.is_multiple_of(ROWS_PER_ASK) { job.check() } else { Ok(()) }
    }

    fn add_unkeyed(&mut self, row: impl FnOnce() -> T) {
        self.unkeyed += 1;
        if self.unkeyed_first.len() < LISTED_MAX {
            self.unkeyed_first.push(row());
        }
    }
}

/// Reads both sides, the desired one on a thread of its own, and keeps live rows in `store`.
pub(super) fn both_sides(
    job: &Job<'_>,
    target: &mut dyn Target,
    desired: &mut dyn Desired,
    store: &mut Store,
) -> Result<Read, DiffError> {
    let mut reader = DesiredReader::new(job);
    // The first desired row decides what is compared, so it comes before the first live one.
    reader.next(desired)?;
    let compared = reader.compared.clone();
    let ((live, scan), desired) = std::thread::scope(|scope| {
        let desired = scope.spawn(move || job.part(|| reader.rest(desired)));
        let live = job.part(|| read_live(job, target, &compared, store));
        both(live, desired.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    Ok(Read { live, desired, scan })
}

fn read_live(
    job: &Job<'_>,
    target: &mut dyn Target,
    compared: &[usize],
    store: &mut Store,
) -> Result<(Side<Row>, ScanProof), DiffError> {
    let (table, key) = (job.options.table, job.options.key);
    let is_whole = compared.len() == table.columns.len();
    let mut side = Side::new(job);
    let mut scratch = Vec::new();
    let mut take = |row: &[ValueRef<'_>]| {
        side.count(job)?;
        let digest = digest_row(compared.iter().map(|i| row[*i]), &mut scratch);
        let at = store.push(job, row, || {
            if is_whole { digest } else { digest_row(row.iter().copied(), &mut scratch) }
        })?;
        if key.iter().any(|i| row[*i] == ValueRef::Null) {
            side.add_unkeyed(|| key.iter().map(|i| row[*i].to_value()).collect());
            return Ok(());
        }
        let key = digest_row(key.iter().map(|i| row[*i]), &mut scratch);
        job.scratch(side.partitions.push(Entry { key, row: digest, at }))
    };
    let mut failure = None;
    let scan = target.scan(table, &mut |row| {
        take(row).map_err(|e| {
            failure = Some(e);
            TargetError::Lost("the rows could not be taken".to_owned())
        })
    });
    match (failure, scan) {
        (Some(e), _) => Err(e),
        (None, scan) => Ok((side, scan?)),
    }
}

/// Reads the desired side.
struct DesiredReader<'a> {
    job: &'a Job<'a>,
    side: Side<u64>,
    /// The columns that the first row gives, without computed ones, as indices.
    compared: Vec<usize>,
    /// The same by column.
    is_compared: Vec<bool>,
    writable: Vec<usize>,
    scratch: Vec<u8>,
}

impl<'a> DesiredReader<'a> {
    fn new(job: &'a Job<'a>) -> Self {
        let table = job.options.table;
        let is_compared = vec![false; table.columns.len()];
        let writable = table.writable();
        Self { job, side: Side::new(job), compared: vec![], is_compared, writable, scratch: vec![] }
    }

    fn next(&mut self, desired: &mut dyn Desired) -> Result<bool, DiffError> {
        let Some(row) = desired.next().map_err(DiffError::Desired)? else { return Ok(false) };
        if self.side.rows == 0 {
            self.compared = self.writable.iter().copied().filter(|i| row.values[*i].is_some()).collect();
            self.compared.iter().for_each(|i| self.is_compared[*i] = true);
        }
        self.take(&row)?;
        Ok(true)
    }

    fn rest(mut self, desired: &mut dyn Desired) -> Result<Side<u64>, DiffError> {
        if self.side.rows > 0 {
            while self.next(desired)? {}
        }
        Ok(self.side)
    }

    fn take(&mut self, row: &DesiredRow<'_>) -> Result<(), DiffError> {
        self.side.count(self.job)?;
        let value = |i: &usize| row.values[*i].unwrap_or(ValueRef::Null);
        let key = self.job.options.key;
        if key.iter().any(|i| value(i) == ValueRef::Null) {
            self.side.add_unkeyed(|| row.line);
            return Ok(());
        }
        let is_usual = self.writable.iter().all(|i| row.values[*i].is_some() == self.is_compared[*i]);
        let digest =
            if is_usual { digest_row(self.compared.iter().map(value), &mut self.scratch) } else { LOOK };
        let key = digest_row(key.iter().map(value), &mut self.scratch);
        self.job.scratch(self.side.partitions.push(Entry { key, row: digest, at: row.at }))
    }
}
