//! Where live rows are kept between being read and being compared: whole in the backup, or only their keys when no
//! backup was asked for.

use std::fs::File;
use std::ops::Range;

use super::keys::{KeyReader, KeyWriter};
use super::{DiffError, Job};
use crate::change::snapshot::{
    BackupError, BackupWriter, Certificate, Facts, Lines, RowReader, WrittenBackup,
};
use crate::target::Target;
use crate::value::{Digest128, Row, Value, ValueRef};

/// Keys that one read asks a target for, at most.
const KEYS_PER_READ: usize = 500;

/// Takes live rows.
#[derive(Debug)]
pub(super) enum Store {
    Backup(Box<BackupWriter>),
    Keys { lines: Lines, keys: KeyWriter },
}

impl Store {
    pub(super) fn create(job: &Job<'_>) -> Result<Self, DiffError> {
        let (table, key) = (job.options.table, job.options.key);
        if let Some(dir) = job.options.backup {
            let writer = BackupWriter::create(dir, table, job.options.clock.now())?;
            return Ok(Self::Backup(Box::new(writer)));
        }
        let keys = job.scratch(KeyWriter::create(job.dir))?;
        Ok(Self::Keys { lines: Lines::new(table, key), keys })
    }

    /// Keeps a row and says where. `digest` gives its digest over all columns.
    pub(super) fn push(
        &mut self,
        job: &Job<'_>,
        row: &[ValueRef<'_>],
        digest: impl FnOnce() -> Digest128,
    ) -> Result<u64, DiffError> {
        Ok(match self {
            Self::Backup(writer) => writer.push(row, digest())?,
            Self::Keys { lines, keys } => job.scratch(keys.line(|out| lines.write(row, out)))?,
        })
    }

    /// Writes what is left; a backup is on the disk then.
    pub(super) fn finish(self, job: &Job<'_>) -> Result<Stored, DiffError> {
        Ok(match self {
            Self::Backup(writer) => Stored::Backup(Box::new(writer.finish()?)),
            Self::Keys { keys, .. } => Stored::Keys(job.scratch(keys.finish())?),
        })
    }
}

/// What was kept.
#[derive(Debug)]
pub(super) enum Stored {
    Backup(Box<WrittenBackup>),
    Keys(File),
}

impl Stored {
    /// Reads the backup back and compares it with what was written; keys need no proof.
    pub(super) fn verify(&self, job: &Job<'_>) -> Result<(), DiffError> {
        match self {
            Self::Backup(written) => match written.verify(&|| job.is_stopped()) {
                Err(BackupError::Stopped) => Err(DiffError::Stopped),
                result => Ok(result?),
            },
            Self::Keys(_) => Ok(()),
        }
    }

    /// Makes the backup one, by its certificate.
    pub(super) fn certify(self, facts: Facts<'_>) -> Result<Option<Certificate>, DiffError> {
        match self {
            Self::Backup(written) => Ok(Some(written.certify(facts)?)),
            Self::Keys(_) => Ok(None),
        }
    }
}

/// Gives live rows back by their places.
pub(super) struct LiveRows<'a> {
    job: &'a Job<'a>,
    whole: Lines,
    kept: Kept<'a>,
}

/// Where they come from.
enum Kept<'a> {
    Backup(RowReader),
    /// Keys, how their lines are read, and whom to ask for the rows.
    Keys(KeyReader, Lines, &'a mut dyn Target),
}

impl<'a> LiveRows<'a> {
    pub(super) fn open(
        job: &'a Job<'a>,
        stored: &Stored,
        target: &'a mut dyn Target,
    ) -> Result<Self, DiffError> {
        let (table, key) = (job.options.table, job.options.key);
        let kept = match stored {
            Stored::Backup(written) => Kept::Backup(written.reader()?),
            Stored::Keys(file) => {
                Kept::Keys(KeyReader::new(job.scratch(file.try_clone())?), Lines::new(table, key), target)
            }
        };
        Ok(Self { job, whole: Lines::whole(table), kept })
    }

    /// How lines of whole rows are read.
    pub(super) fn lines(&self) -> Lines {
        self.whole.clone()
    }

    /// The key of the row at a place.
    pub(super) fn key_at(&mut self, at: u64) -> Result<Row, DiffError> {
        let key = self.job.options.key;
        match &mut self.kept {
            Kept::Backup(rows) => {
                let row = self.whole.row(rows.line(at)?).ok_or_else(|| no_row(at))?;
                Ok(key.iter().map(|i| row[*i].clone()).collect())
            }
            Kept::Keys(keys, lines, _) => key_of(self.job, keys, lines, at),
        }
    }

    /// Adds the row at a place to a batch, or that there is none.
    pub(super) fn add(&mut self, at: Option<u64>, batch: &mut Batch) -> Result<(), DiffError> {
        let row = match (at, &mut self.kept) {
            (None, _) => None,
            (Some(at), Kept::Backup(rows)) => Some(batch.append(rows.line(at)?.as_bytes())),
            (Some(at), Kept::Keys(keys, lines, _)) => {
                batch.keys.push(key_of(self.job, keys, lines, at)?);
                batch.waiting.push(batch.rows.len());
                None
            }
        };
        batch.rows.push(row);
        Ok(())
    }

    /// Reads the rows of a batch of which only the keys are known.
    pub(super) fn complete(&mut self, batch: &mut Batch) -> Result<(), DiffError> {
        let Kept::Keys(_, _, target) = &mut self.kept else { return Ok(()) };
        if batch.keys.is_empty() {
            return Ok(());
        }
        let rows = target.read(self.job.options.table, self.job.options.key, &batch.keys)?;
        let mut line = Vec::new();
        for (number, row) in std::mem::take(&mut batch.waiting).into_iter().zip(rows) {
            let Some(row) = row else { continue };
            let values: Vec<ValueRef<'_>> = row.iter().map(Value::as_ref).collect();
            line.clear();
            self.whole.write(&values, &mut line);
            line.pop(); // the line feed
            batch.rows[number] = Some(batch.append(&line));
        }
        Ok(())
    }
}

/// The key at a place among the keys.
fn key_of(job: &Job<'_>, keys: &mut KeyReader, lines: &Lines, at: u64) -> Result<Row, DiffError> {
    let line = job.scratch(keys.line(at))?;
    Ok(line.and_then(|line| lines.row(line)).ok_or_else(|| no_row(at))?)
}

fn no_row(at: u64) -> BackupError {
    BackupError::Damaged(format!("what is at {at} is no row"))
}

/// Live rows that are compared together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    lines: Vec<u8>,
    rows: Vec<Option<Range<usize>>>,
    /// Keys to read, and which rows they are of.
    keys: Vec<Row>,
    waiting: Vec<usize>,
}

impl Batch {
    pub(super) fn clear(&mut self) {
        self.lines.clear();
        self.rows.clear();
        self.keys.clear();
        self.waiting.clear();
    }

    pub(super) fn is_full(&self, job: &Job<'_>) -> bool {
        self.rows.len() >= job.limits.batch_rows
            || self.lines.len() >= job.limits.batch_bytes
            || self.keys.len() >= KEYS_PER_READ
    }

    fn append(&mut self, line: &[u8]) -> Range<usize> {
        let from = self.lines.len();
        self.lines.extend_from_slice(line);
        from..self.lines.len()
    }

    /// The line of a row; `None` when the batch has none.
    pub(super) fn line(&self, number: usize) -> Result<Option<&str>, DiffError> {
        let Some(range) = self.rows[number].clone() else { return Ok(None) };
        let line = std::str::from_utf8(&self.lines[range]);
        Ok(Some(line.map_err(|_| BackupError::Damaged("a row is no text".to_owned()))?))
    }
}
