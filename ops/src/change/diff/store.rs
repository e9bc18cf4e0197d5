//! Where live rows are kept between being read and being compared: whole in the backup, or only their keys when no
//! backup was asked for.

use std::ops::Range;
use std::path::PathBuf;

use super::{DiffError, Job};
use crate::change::snapshot::{
    BackupError, BackupWriter, Certificate, Contents, Facts, FrameWriter, Lines, RowReader, WrittenBackup,
};
use crate::target::Target;
use crate::target::schema::Table;
use crate::value::{Digest128, Row, Value, ValueRef};

/// Keys that one read asks a target for, at most.
const KEYS_PER_READ: usize = 500;

/// Takes live rows.
#[derive(Debug)]
pub(super) enum Store {
    Backup(Box<BackupWriter>),
    Keys { path: PathBuf, lines: Lines, frames: FrameWriter },
}

impl Store {
    pub(super) fn create(job: &Job<'_>) -> Result<Self, DiffError> {
        let (table, key) = (job.options.table, job.options.key);
        if let Some(dir) = job.options.backup {
            let writer = BackupWriter::create(dir, table, job.options.clock.now())?;
            return Ok(Self::Backup(Box::new(writer)));
        }
        let path = job.dir.join("keys");
        Ok(Self::Keys { lines: Lines::new(table, key), frames: FrameWriter::create(&path)?, path })
    }

    /// Keeps a row and says where. `digest` gives its digest over all columns.
    pub(super) fn push(
        &mut self,
        row: &[ValueRef<'_>],
        digest: impl FnOnce() -> Digest128,
    ) -> Result<u64, DiffError> {
        Ok(match self {
            Self::Backup(writer) => writer.push(row, digest())?,
            Self::Keys { lines, frames, .. } => frames.line(|out| lines.write(row, out))?,
        })
    }

    /// Flushes everything to disk.
    pub(super) fn finish(self) -> Result<Stored, DiffError> {
        Ok(match self {
            Self::Backup(writer) => Stored::Backup(Box::new(writer.finish()?)),
            Self::Keys { path, frames, .. } => Stored::Keys { path, contents: frames.finish()? },
        })
    }
}

/// What was kept, on disk.
#[derive(Debug)]
pub(super) enum Stored {
    Backup(Box<WrittenBackup>),
    Keys { path: PathBuf, contents: Contents },
}

impl Stored {
    /// Reads the backup back and compares it with what was written; keys need no proof.
    pub(super) fn verify(&self, job: &Job<'_>) -> Result<(), DiffError> {
        match self {
            Self::Backup(written) => match written.verify(&|| job.is_stopped()) {
                Err(BackupError::Stopped) => Err(DiffError::Stopped),
                result => Ok(result?),
            },
            Self::Keys { .. } => Ok(()),
        }
    }

    /// Makes the backup one, by its certificate.
    pub(super) fn certify(self, facts: Facts<'_>) -> Result<Option<Certificate>, DiffError> {
        match self {
            Self::Backup(written) => Ok(Some(written.certify(facts)?)),
            Self::Keys { .. } => Ok(None),
        }
    }
}

/// Gives live rows back by their places.
pub(super) struct LiveRows<'a> {
    table: &'a Table,
    key: &'a [usize],
    rows: RowReader,
    whole: Lines,
    /// How the lines are to be read when they are keys, and whom to ask for the rows.
    keys: Option<(Lines, &'a mut dyn Target)>,
}

impl<'a> LiveRows<'a> {
    pub(super) fn open(
        job: &Job<'a>,
        stored: &Stored,
        target: &'a mut dyn Target,
    ) -> Result<Self, DiffError> {
        let (table, key) = (job.options.table, job.options.key);
        let (rows, keys) = match stored {
            Stored::Backup(written) => (written.reader()?, None),
            Stored::Keys { path, contents } => {
                (RowReader::open(path, contents.frames.clone())?, Some((Lines::new(table, key), target)))
            }
        };
        Ok(Self { table, key, rows, whole: Lines::whole(table), keys })
    }

    /// How lines of whole rows are read.
    pub(super) fn lines(&self) -> Lines {
        self.whole.clone()
    }

    /// The key of the row at a place.
    pub(super) fn key_at(&mut self, at: u64) -> Result<Row, DiffError> {
        let line = self.rows.line(at)?;
        let key = match &self.keys {
            Some((lines, _)) => lines.row(line),
            None => self.whole.row(line).map(|row| self.key.iter().map(|i| row[*i].clone()).collect()),
        };
        Ok(key.ok_or_else(|| no_row(at))?)
    }

    /// Adds the row at a place to a batch, or that there is none.
    pub(super) fn add(&mut self, at: Option<u64>, batch: &mut Batch) -> Result<(), DiffError> {
        let row = match (at, &self.keys) {
            (None, _) => None,
            (Some(at), None) => Some(batch.append(|out| {
                out.extend_from_slice(self.rows.line(at)?.as_bytes());
                Ok(())
            })?),
            (Some(at), Some((lines, _))) => {
                batch.keys.push(lines.row(self.rows.line(at)?).ok_or_else(|| no_row(at))?);
                batch.waiting.push(batch.rows.len());
                None
            }
        };
        batch.rows.push(row);
        Ok(())
    }

    /// Reads the rows of a batch of which only the keys are known.
    pub(super) fn complete(&mut self, batch: &mut Batch) -> Result<(), DiffError> {
        let Some((_, target)) = self.keys.as_mut().filter(|_| !batch.keys.is_empty()) else { return Ok(()) };
        let rows = target.read(self.table, self.key, &batch.keys)?;
        for (number, row) in std::mem::take(&mut batch.waiting).into_iter().zip(rows) {
            let Some(row) = row else { continue };
            let values: Vec<ValueRef<'_>> = row.iter().map(Value::as_ref).collect();
            let line = batch.append(|out| {
                self.whole.write(&values, out);
                out.pop(); // the line feed
                Ok(())
            })?;
            batch.rows[number] = Some(line);
        }
        Ok(())
    }
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

    fn append(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), BackupError>,
    ) -> Result<Range<usize>, BackupError> {
        let from = self.lines.len();
        write(&mut self.lines)?;
        Ok(from..self.lines.len())
    }

    /// The line of a row; `None` when the batch has none.
    pub(super) fn line(&self, number: usize) -> Result<Option<&str>, DiffError> {
        let Some(range) = self.rows[number].clone() else { return Ok(None) };
        let line = std::str::from_utf8(&self.lines[range]);
        Ok(Some(line.map_err(|_| BackupError::Damaged("a row is no text".to_owned()))?))
    }
}
