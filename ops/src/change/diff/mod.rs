//! Compares a live table with the rows that are desired, whatever the size of either.
//!
//! Both sides are read once, at the same time, in whatever order they come. A live row goes into the backup, and
//! of every row on either side remain two 128-bit digests, of its key and of its compared columns, and its place.
//! These are partitioned by key on disk and joined partition by partition. Equal digests are the same row; all
//! other pairs are read again by their places and compared cell by cell. What differs is sorted by key.
//!
//! **What rests on digests alone.** Two rows of one key whose row digests are equal are taken for the same without
//! another look, and rows whose key digests differ for different keys. Rows that are read again must have the key
//! that they had, or the comparison fails. xxh3 makes collisions of 128 bits a matter of 1 in 10^38 a pair by accident; it
//! does not resist somebody who constructs them.
//!
//! **What is compared.** The columns that the first desired row gives, without computed ones. A later row that gives
//! others is compared cell by cell, over those.
//!
//! Memory does not grow with the tables: partitions, sorted runs and hits are on disk beyond fixed sizes. Nothing
//! here knows files of desired rows, plans or drivers.

mod faults;
mod join;
mod keys;
mod read;
mod resolve;
mod source;
mod spill;
mod store;
mod wire;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

pub use faults::{Duplicate, Duplicates, KeyFaults};
pub use source::{Comparators, Desired, DesiredRow, Exact, Same, SourceError};

use self::spill::Shape;
use self::store::{LiveRows, Store};
use super::Counts;
use super::snapshot::{BackupError, Certificate, Facts};
use crate::clock::Clock;
use crate::files::FileError;
use crate::guard::Refusal;
use crate::sort::Sorted;
use crate::target::schema::{Origin, Table};
use crate::target::{Change, ScanProof, Target, TargetError};
use crate::value::Row;

/// How a comparison is made.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The table, as the target has it now.
    pub table: &'a Table,
    /// The key by which rows are told apart, as indices into the table; none of them computed.
    pub key: &'a [usize],
    /// Which differences count.
    pub comparators: &'a dyn Comparators,
    /// Whether rows that are only live are to be deleted.
    pub allow_delete: bool,
    /// The folder for the backup. Without one, rows that differ are read again from the target: one that changed
    /// meanwhile is judged by what it is then, and one that went away does not count as live.
    pub backup: Option<&'a Path>,
    /// An existing folder for what does not fit into memory, about 100 bytes a row; it is left as it was.
    pub scratch: &'a Path,
    /// For the times in the certificate.
    pub clock: Clock,
    /// Ends the comparison soon after it becomes true.
    pub stop: &'a AtomicBool,
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("table", &self.table.name).finish_non_exhaustive()
    }
}

/// Why there is no comparison. What a backup had written so far stays where it is, without a certificate.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// The live side could not be read.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The desired side could not be read.
    #[error("failed to read the desired rows")]
    Desired(#[source] SourceError),
    /// A guard stopped.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// Keys do not tell the rows apart.
    #[error("the key does not tell the rows apart: {0}")]
    Keys(Box<KeyFaults>),
    /// The backup could not be written, or is not what was written.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The scratch folder failed.
    #[error(transparent)]
    Scratch(#[from] FileError),
    /// A row does not have the key that it had when it was read first.
    #[error(
        "a row that was read again has another key: the desired rows changed, or two keys have one digest"
    )]
    OtherKey,
    /// The two sides do not add up, which is a defect of this program.
    #[error("the comparison does not balance: {0:?}")]
    Unbalanced(Box<Counts>),
    /// Stopped on request.
    #[error("stopped")]
    Stopped,
}

/// How much memory is used; tests take very little.
#[derive(Debug, Clone, Copy)]
struct Limits {
    partitions: Shape,
    /// Entries of both sides that are joined in memory; larger partitions are split again.
    entries_max: usize,
    /// Bytes that are sorted in memory.
    sort_bytes: usize,
    /// Pairs that are compared together.
    batch_rows: usize,
    /// Bytes of live rows after which a batch ends.
    batch_bytes: usize,
    /// Keys of rows that are only live.
    sample_rows: usize,
}

impl Limits {
    const USUAL: Self = Self {
        partitions: Shape { bits: 8, block_bytes: 16 << 10 },
        entries_max: 400_000,
        sort_bytes: 8 << 20,
        batch_rows: 4096,
        batch_bytes: 1 << 20,
        sample_rows: 20,
    };
}

/// What all parts of one comparison share.
struct Job<'a> {
    options: &'a Options<'a>,
    limits: Limits,
    dir: &'a Path,
    /// A part failed, so that the others need not go on.
    has_failed: AtomicBool,
}

impl Job<'_> {
    fn is_stopped(&self) -> bool {
        self.options.stop.load(Ordering::Relaxed) || self.has_failed.load(Ordering::Relaxed)
    }

    fn check(&self) -> Result<(), DiffError> {
        if self.is_stopped() { Err(DiffError::Stopped) } else { Ok(()) }
    }

    /// Runs a part and tells the others when it fails.
    fn part<T>(&self, part: impl FnOnce() -> Result<T, DiffError>) -> Result<T, DiffError> {
        let result = part();
        if result.is_err() {
            self.has_failed.store(true, Ordering::Relaxed);
        }
        result
    }

    fn scratch<T>(&self, result: io::Result<T>) -> Result<T, DiffError> {
        result.map_err(|e| FileError::new("use the scratch folder", self.dir, e).into())
    }
}

/// The results of two parts, or the error that made the other one stop.
fn both<A, B>(a: Result<A, DiffError>, b: Result<B, DiffError>) -> Result<(A, B), DiffError> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(DiffError::Stopped) | Ok(_), Err(e)) | (Err(e), _) => Err(e),
    }
}

/// A finished comparison: counts, and changes in the order of their keys.
#[derive(Debug)]
pub struct Comparison {
    /// Both sides in counts; they balance.
    pub counts: Counts,
    /// The keys of some rows that are only live and stay: all of them when they are few, else an arbitrary choice
    /// that does not depend on the order of rows.
    pub only_live: Vec<Row>,
    /// The target's proof that every row was read.
    pub scan: ScanProof,
    /// The certificate of the backup.
    pub certificate: Option<Certificate>,
    changes: Sorted,
    /// Positions of the key in the rows of changes.
    key: Vec<usize>,
    /// Columns of the rows of changes.
    columns: usize,
    scratch: TempDir,
}

impl Iterator for Comparison {
    type Item = Result<(Row, Change), DiffError>;

    /// The next change with its key, in the order of [`crate::value::order_key`].
    fn next(&mut self) -> Option<Self::Item> {
        let change = match self.changes.next() {
            Ok(found) => wire::change(found?.1, self.columns),
            Err(e) => Err(e),
        };
        let failed = |e| FileError::new("read changes in", self.scratch.path(), e).into();
        Some(change.map(|change| (key_of(&change, &self.key), change)).map_err(failed))
    }
}

/// The key of a change whose rows have it at `positions`.
fn key_of(change: &Change, positions: &[usize]) -> Row {
    let value = |i: &usize| match change {
        Change::Insert { after } => after[*i].clone().expect("a key is always given"),
        Change::Update { before, .. } | Change::Delete { before } => before[*i].clone(),
    };
    positions.iter().map(value).collect()
}

/// Compares the live table with the desired rows, with a verified backup where one is asked for.
pub fn compare(
    target: &mut dyn Target,
    desired: &mut dyn Desired,
    options: &Options<'_>,
) -> Result<Comparison, DiffError> {
    compare_within(target, desired, options, Limits::USUAL)
}

fn compare_within(
    target: &mut dyn Target,
    desired: &mut dyn Desired,
    options: &Options<'_>,
    limits: Limits,
) -> Result<Comparison, DiffError> {
    let table = options.table;
    if options.key.is_empty() || options.key.iter().any(|i| table.columns[*i].origin == Origin::Computed) {
        let found = if options.key.is_empty() { "no column" } else { "a computed column" };
        return Err(Refusal::new("the rows cannot be told apart", "a key of written columns", found).into());
    }
    let scratch = tempfile::tempdir_in(options.scratch)
        .map_err(|e| FileError::new("create a scratch folder in", options.scratch, e))?;
    let job = Job { options, limits, dir: scratch.path(), has_failed: AtomicBool::new(false) };
    let mut store = Store::create(&job)?;
    let read = read::both_sides(&job, target, desired, &mut store)?;
    let (scan, live) = (read.scan.clone(), read.live.rows);
    if scan.rows != live {
        let expected = format!("{} rows, as the target says", scan.rows);
        return Err(Refusal::new("the read is not complete", expected, format!("{live} rows")).into());
    }
    let stored = store.finish(&job)?;
    let finished_at = options.clock.now();
    let rows = LiveRows::open(&job, &stored, target)?;
    let (found, ()) = std::thread::scope(|scope| {
        let verification = scope.spawn(|| job.part(|| stored.verify(&job)));
        let found = job.part(|| resolve::resolve(&job, join::join(&job, read)?, rows, desired));
        both(found, verification.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    let facts = Facts { key: options.key, distinct_keys: live, scan: scan.clone(), finished_at };
    let certificate = stored.certify(facts)?;
    let writable = table.writable();
    let position = |i: &usize| writable.iter().position(|w| w == i).expect("a key is written");
    Ok(Comparison {
        counts: found.counts,
        only_live: found.only_live,
        scan,
        certificate,
        changes: found.changes,
        key: options.key.iter().map(position).collect(),
        columns: writable.len(),
        scratch,
    })
}

#[cfg(test)]
mod tests;
