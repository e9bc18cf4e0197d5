//! The run's own books on disk: what was about to be sent, and what became of it, one line each, in order.
//!
//! Only appended to. A line that a crash cut off is cut away and reported; a line that is wrong anywhere else, a gap,
//! or a journal of another plan stops the run. Where the target keeps books of its own the journal repeats them and
//! is flushed to disk once a second; where it does not, the journal is all there is, and every line is flushed
//! before the next thing is sent.

mod line;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::line::Line;
use super::error::RunError;
use crate::clock::Stamp;
use crate::files::{self, FileError};
use crate::guard::Refusal;
use crate::target::Outcome;

/// Version of the lines.
const FORMAT: u32 = 1;

/// How long a line may stay in the system's memory where the target has books.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// The first line: which run this is. A journal is continued only by a run that says the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The plan's full digest.
    pub plan: String,
    /// `apply`, `rollback`, …
    pub direction: String,
    /// The table.
    pub table: String,
    /// The columns that the rows hold.
    pub columns: Vec<String>,
    /// How many changes the run has.
    pub total: u64,
    /// SHA-256 of the changes where they are not those of the plan itself.
    pub changes: Option<String>,
    /// The keys that a person named, where the run is about those only.
    pub keys: Option<Vec<String>>,
}

/// What the journal is all there is of, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The target has books: flush once a second.
    Relaxed,
    /// It has none: flush every line.
    Strict,
}

/// What the first rows of a run, applied on their own, looked like when read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// How many rows.
    pub rows: u64,
    /// How many of them read back as they were written.
    pub verified: u64,
    /// How many did not.
    pub altered: u64,
}

/// A batch that was about to be sent, from the first position without an outcome on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// How many rows.
    pub rows: u64,
    /// Positions of rows that already were as wanted before.
    pub already: Vec<u64>,
}

/// Where a run stands according to its journal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The first position without an outcome.
    pub next: u64,
    /// The first position after the last row that the database did not refuse: what the target's books must know.
    pub accepted: u64,
    /// The outcomes so far.
    pub tally: Tally,
    /// A batch that was about to be sent and has no outcome.
    pub in_doubt: Option<Doubt>,
    /// The canary, once it was read back.
    pub canary: Option<Canary>,
    /// Whether somebody approved going on after the canary.
    pub is_approved: bool,
    /// Whether the run is over for good.
    pub is_closed: bool,
    /// Bytes of a line that was cut off, and cut away.
    pub torn: u64,
}

/// How many rows ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Written by the run.
    pub applied: u64,
    /// Were already as they shall be.
    pub already: u64,
    /// Were left alone.
    pub drifted: u64,
    /// Were refused by the database.
    pub failed: u64,
}

impl Tally {
    /// Counts one row.
    pub fn count(&mut self, outcome: &Outcome) {
        *match outcome {
            Outcome::Applied { .. } => &mut self.applied,
            Outcome::Already => &mut self.already,
            Outcome::Drifted { .. } => &mut self.drifted,
            Outcome::Failed { .. } => &mut self.failed,
        } += 1;
    }
}

/// A journal that is written to.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    durability: Durability,
    flushed_at: Duration,
}

impl Journal {
    /// Begins a journal, or continues the one that is there; [`Found`] says where it stands, `None` that it is new.
    pub fn open(
        path: &Path,
        header: &Header,
        durability: Durability,
    ) -> Result<(Self, Option<Found>), RunError> {
        let found = read(path, header)?;
        let keep = found.as_ref().map_or(0, |(_, length)| *length);
        if let Some(parent) = path.parent() {
            files::create_dir(parent)?;
        }
        let opened = (|| {
            let file = File::options().create(true).truncate(false).append(true).open(path)?;
            file.set_len(keep)?;
            Ok(file)
        })();
        let file = opened.map_err(|e| FileError::new("open", path, e))?;
        let flushed_at = Duration::ZERO;
        let buffer = Vec::new();
        let mut journal = Self { path: path.to_path_buf(), file, buffer, durability, flushed_at };
        if found.is_none() {
            journal.put(&Line::Run { format: FORMAT, header: header.clone() })?;
            journal.flush(Duration::ZERO)?;
            files::sync_parent(path)?;
        }
        Ok((journal, found.map(|(found, _)| found)))
    }

    /// Says that `rows` changes from `first` on are about to be sent, and which positions (others are left out)
    /// already were as wanted. Says nothing where the target has books.
    pub fn intent(&mut self, first: u64, rows: usize, already: &[u64]) -> Result<(), RunError> {
        if self.durability == Durability::Relaxed {
            return Ok(());
        }
        let rows = rows as u64;
        let already = already.iter().copied().filter(|n| (first..first + rows).contains(n)).collect();
        self.put(&Line::Intent { first, rows, already })?;
        self.sync()
    }

    /// Says what became of the changes from `first` on. `elapsed` is the time of the run's pace.
    pub fn done(
        &mut self,
        first: u64,
        outcomes: &[Outcome],
        at: Stamp,
        elapsed: Duration,
    ) -> Result<(), RunError> {
        self.buffer.clear();
        line::write_done(first, outcomes, at, &mut self.buffer);
        self.append()?;
        if self.durability == Durability::Strict || elapsed.saturating_sub(self.flushed_at) >= FLUSH_EVERY {
            self.flush(elapsed)?;
        }
        Ok(())
    }

    /// Says what the canary looked like when read back.
    pub fn canary(&mut self, canary: Canary, at: Stamp) -> Result<(), RunError> {
        self.put(&Line::Canary { canary, at: at.iso() })?;
        self.sync()
    }

    /// Says that somebody approved going on after the canary.
    pub fn approved(&mut self, at: Stamp) -> Result<(), RunError> {
        self.put(&Line::Approved { at: at.iso() })?;
        self.sync()
    }

    /// Says that the run is over for good.
    pub fn closed(&mut self, at: Stamp) -> Result<(), RunError> {
        self.put(&Line::Closed { at: at.iso() })?;
        self.sync()
    }

    /// Flushes to disk what was written.
    pub fn flush(&mut self, elapsed: Duration) -> Result<(), RunError> {
        self.flushed_at = elapsed;
        self.sync()
    }

    fn put(&mut self, line: &Line) -> Result<(), RunError> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, line).expect("names and numbers are JSON");
        self.buffer.push(b'\n');
        self.append()
    }

    fn append(&mut self) -> Result<(), RunError> {
        Ok(self.file.write_all(&self.buffer).map_err(|e| FileError::new("write", &self.path, e))?)
    }

    fn sync(&mut self) -> Result<(), RunError> {
        Ok(self.file.sync_data().map_err(|e| FileError::new("flush", &self.path, e))?)
    }
}

/// Where the run of a journal stands, without touching the journal; `None` when there is none.
pub fn peek(path: &Path, header: &Header) -> Result<Option<Found>, RunError> {
    Ok(read(path, header)?.map(|(found, _)| found))
}

/// The header of a journal; `None` when there is no journal or its first line was cut off.
pub fn header(path: &Path) -> Result<Option<Header>, RunError> {
    let Some(mut lines) = Lines::open(path)? else { return Ok(None) };
    let Some(bytes) = lines.next_line()? else { return Ok(None) };
    match serde_json::from_slice(bytes) {
        Ok(Line::Run { format: FORMAT, header }) => Ok(Some(header)),
        _ => Err(damaged(path, lines.number).into()),
    }
}

/// What the journal says, and how many of its bytes are whole lines; `None` when it has not even a whole first line.
fn read(path: &Path, header: &Header) -> Result<Option<(Found, u64)>, RunError> {
    match self::header(path)? {
        None => return Ok(None),
        Some(found) if found == *header => {}
        Some(found) => return Err(foreign(path, header, &found).into()),
    }
    let mut lines = Lines::open(path)?.ok_or_else(|| damaged(path, 1))?;
    lines.next_line()?;
    let mut found = Found::default();
    let mut whole = lines.end;
    while let Some(bytes) = lines.next_line()? {
        let line = match serde_json::from_slice(bytes) {
            Ok(line) => line,
            // A line that made it to disk by name but not by content, as after a power cut: only the last can be.
            Err(_) if lines.is_last()? => break,
            Err(_) => return Err(damaged(path, lines.number).into()),
        };
        note(&mut found, &line).ok_or_else(|| damaged(path, lines.number))?;
        whole = lines.end;
    }
    found.torn = lines.length - whole;
    Ok(Some((found, whole)))
}

/// Notes what a line says; `None` when it cannot follow what came before.
fn note(found: &mut Found, line: &Line) -> Option<()> {
    match line {
        Line::Run { .. } => return None,
        Line::Intent { first, rows, already } => {
            (*first == found.next).then_some(())?;
            found.in_doubt = Some(Doubt { rows: *rows, already: already.clone() });
        }
        Line::Done(done) => {
            (done.first == found.next).then_some(())?;
            let before = found.next;
            for outcome in done.outcomes()? {
                found.tally.count(&outcome);
                found.next += 1;
                if !matches!(outcome, Outcome::Failed { .. }) {
                    found.accepted = found.next;
                }
            }
            let left = |doubt: Doubt| doubt.rows.checked_sub(found.next - before).filter(|rows| *rows > 0);
            found.in_doubt = found.in_doubt.take().and_then(|doubt| {
                let already = doubt.already.clone();
                Some(Doubt { rows: left(doubt)?, already })
            });
        }
        Line::Canary { canary, .. } => found.canary = Some(*canary),
        Line::Approved { .. } => found.is_approved = true,
        Line::Closed { .. } => found.is_closed = true,
    }
    Some(())
}

fn foreign(path: &Path, expected: &Header, found: &Header) -> Refusal {
    let show = |h: &Header| {
        format!(
            "plan {}, {}, table {}, {} changes of {}",
            h.plan,
            h.direction,
            h.table,
            h.total,
            h.columns.join(", ")
        )
    };
    Refusal::new("the journal is of another run", show(expected), show(found))
        .next(format!("look at `{}`; it belongs to another plan directory", path.display()))
}

fn damaged(path: &Path, line: u64) -> Refusal {
    Refusal::new(
        "the journal is damaged",
        "whole lines that follow each other; only the last may be cut off",
        format!("line {line} of `{}` cannot be read or does not follow", path.display()),
    )
    .next("restore the plan directory; where the target has books, the journal can also be moved away")
}

/// The outcomes that a journal holds, in order of position from 0 on.
#[derive(Debug)]
pub struct Outcomes {
    lines: Option<Lines>,
    path: PathBuf,
    batch: std::vec::IntoIter<Outcome>,
}

impl Outcomes {
    /// Reads the outcomes of the journal at `path`, which was opened before and so is whole.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        let lines = Lines::open(path)?;
        Ok(Self { lines, path: path.to_path_buf(), batch: Vec::new().into_iter() })
    }

    /// The next outcome.
    pub fn next_outcome(&mut self) -> Result<Option<Outcome>, RunError> {
        loop {
            if let Some(outcome) = self.batch.next() {
                return Ok(Some(outcome));
            }
            let Some(lines) = &mut self.lines else { return Ok(None) };
            let Some(bytes) = lines.next_line()? else { return Ok(None) };
            if let Ok(Line::Done(done)) = serde_json::from_slice::<Line>(bytes) {
                let outcomes = done.outcomes().ok_or_else(|| damaged(&self.path, lines.number))?;
                self.batch = outcomes.into_iter();
            }
        }
    }
}

/// Whole lines of a file.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    buffer: Vec<u8>,
    number: u64,
    /// Where the last line ended.
    end: u64,
    /// How long the file is.
    length: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Option<Self>, FileError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(FileError::new("open", path, e)),
        };
        let length = file.metadata().map_err(|e| FileError::new("read", path, e))?.len();
        let reader = BufReader::with_capacity(1 << 16, file);
        let path = path.to_path_buf();
        Ok(Some(Self { path, reader, buffer: Vec::new(), number: 0, end: 0, length }))
    }

    /// The next line that ends in a line feed.
    fn next_line(&mut self) -> Result<Option<&[u8]>, FileError> {
        self.buffer.clear();
        let read = self.reader.read_until(b'\n', &mut self.buffer);
        let read = read.map_err(|e| FileError::new("read", &self.path, e))?;
        if self.buffer.pop() != Some(b'\n') {
            return Ok(None);
        }
        self.number += 1;
        self.end += read as u64;
        Ok(Some(&self.buffer))
    }

    fn is_last(&mut self) -> Result<bool, FileError> {
        let rest = self.reader.fill_buf().map_err(|e| FileError::new("read", &self.path, e))?;
        Ok(!rest.contains(&b'\n'))
    }
}

#[cfg(test)]
mod tests;
