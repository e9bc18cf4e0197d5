//! The journal of a session: a line for every transition, appended at once and never rewritten.
//!
//! A kill loses nothing. Against a power cut the lines are on disk before what depends on them: the beginning before the
//! first claim, a claim before an attempt that costs something, the end before the session is reported done. In between
//! they are at most a tenth of a second behind, and what such a cut then takes, the database tells.
//!
//! Whoever reads it back gets the lines that are whole, in order and numbered without a gap; what follows the first that
//! is not is cut off and said. The database is the truth about attempts; the journal is the truth about the session.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::limits::Settings;
use crate::clock::Stamp;
use crate::files::{self, FileError};
use crate::phases::PhaseState;

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The session began.
    Opened {
        /// Version of the journal: 1.
        format: u32,
        /// Name of the session in the database.
        session_id: String,
        /// Who holds its leases.
        owner: String,
        /// Which database, as its lineage or path.
        database: String,
        /// Which executor.
        executor: String,
        /// What the session may do.
        settings: Box<Settings>,
    },
    /// It was taken up again, with what it may do now.
    Resumed {
        /// What the session may do from here on.
        settings: Box<Settings>,
        /// Who holds its leases from here on.
        owner: String,
    },
    /// A phase is ours.
    Claimed(Box<Claimed>),
    /// An attempt is accounted for.
    Ended(Box<Ended>),
    /// A claim was given back.
    Released {
        /// Row of the phase.
        pk: i64,
    },
    /// A claim was lost to somebody else.
    Lost {
        /// Row of the phase.
        pk: i64,
        /// Its key, for people.
        phase: String,
    },
    /// The session stopped, and why; `drained` when nothing is left to attempt.
    Stopped {
        /// A stable word.
        reason: String,
    },
}

impl Event {
    /// The phase whose event the database refused, and why; `None` when it was written, or not to be.
    pub(super) fn refused(&self) -> Option<(String, String)> {
        let Self::Ended(ended) = self else { return None };
        let is_refused = ended.telemetry == "database_error" || ended.telemetry.starts_with("rejected:");
        let why = || ended.warning.as_ref().unwrap_or(&ended.telemetry).clone();
        is_refused.then(|| (format!("{}/{}", ended.run_id, ended.phase_id), why()))
    }
}

/// A claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claimed {
    /// Row of the phase.
    pub pk: i64,
    /// Its run.
    pub run_id: String,
    /// Its id within the run.
    pub phase_id: String,
    /// The state that it was claimed from.
    pub prior: PhaseState,
    /// Attempts that its row counted.
    pub attempts: u64,
    /// Attempts of this session before.
    pub tries: u32,
    /// Kind of its last failure before the session.
    pub bucket: u8,
    /// Its place in the run.
    pub index: i64,
    /// Place of its tier.
    pub tier: i64,
    /// Number of the attempt at the phase.
    pub attempt: u64,
    /// Token of the lease.
    pub fencing_token: i64,
    /// Whether it is attempted though its run is stopped.
    pub held_out: bool,
}

/// An attempt that is accounted for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Row of the phase that was attempted.
    pub pk: i64,
    /// Its run.
    pub run_id: String,
    /// Its id within the run.
    pub phase_id: String,
    /// Number of the attempt at the phase.
    pub attempt: u64,
    /// How it ended.
    pub outcome: String,
    /// Why, as a stable word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Where the phase stands now.
    pub state: PhaseState,
    /// `written`, or why its event was not.
    pub telemetry: String,
    /// Why it yielded no event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zero_yield: Option<String>,
    /// Whether a model was asked; `None` when nothing was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_model: Option<bool>,
    /// The last milestone.
    pub stage: String,
    /// Fingerprint of the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// What the fingerprint is made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Whether it can be systemic.
    pub is_systemic: bool,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Tokens, input and output.
    pub tokens: u64,
    /// A warning about its data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// From 1, without a gap.
    pub seq: u64,
    /// When it was written.
    pub at: String,
    /// How long the session has worked, over all its processes, in milliseconds.
    pub worked_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// A line on its way to the file.
#[derive(Serialize)]
struct Written<'a> {
    seq: u64,
    at: String,
    worked_ms: u64,
    #[serde(flatten)]
    event: &'a Event,
}

/// What was cut off a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Bytes that were not understood, or followed what was not.
    pub bytes: u64,
    /// The line that they begin in.
    pub line: u64,
}

/// What a journal holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// The lines that are whole.
    pub lines: Vec<Line>,
    /// What was not.
    pub cut: Option<Cut>,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process works on the session.
    #[error("another drain works on this session; its journal is `{0}`")]
    InUse(PathBuf),
    /// It has no first line, or one of another format.
    #[error("`{0}` is not the journal of a session")]
    NoSession(PathBuf),
}

/// A journal that this process alone appends to.
#[derive(Debug)]
pub struct Journal {
    file: Arc<File>,
    path: PathBuf,
    seq: u64,
    /// Written and not yet flushed.
    is_dirty: bool,
    buffer: Vec<u8>,
}

impl Journal {
    /// The journal in a session's folder.
    pub fn path_in(folder: &Path) -> PathBuf {
        folder.join("journal.ndjson")
    }

    /// Begins the journal of a new session.
    pub fn create(folder: &Path) -> Result<Self, JournalError> {
        files::create_dir(folder)?;
        let path = Self::path_in(folder);
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        let file = file.map_err(|e| FileError::new("create", &path, e))?;
        lock(&file, &path)?;
        files::sync_parent(&path)?;
        Ok(Self { file: Arc::new(file), path, seq: 0, is_dirty: false, buffer: Vec::new() })
    }

    /// Takes up the journal of a session whose process is gone; what is not whole at its end is cut off.
    pub fn resume(folder: &Path) -> Result<(Self, History), JournalError> {
        let path = Self::path_in(folder);
        let file = OpenOptions::new().append(true).read(true).open(&path);
        let file = file.map_err(|e| FileError::new("open", &path, e))?;
        lock(&file, &path)?;
        let (history, length) = read(&path)?;
        if !matches!(history.lines.first().map(|line| &line.event), Some(Event::Opened { format: 1, .. })) {
            return Err(JournalError::NoSession(path));
        }
        if history.cut.is_some() {
            let cut = || file.set_len(length).and_then(|()| file.sync_all());
            cut().map_err(|e| FileError::new("cut", &path, e))?;
        }
        let seq = history.lines.len() as u64;
        Ok((Self { file: Arc::new(file), path, seq, is_dirty: false, buffer: Vec::new() }, history))
    }

    /// Reads the journal of a session, whoever works on it, and changes nothing.
    pub fn read(folder: &Path) -> Result<History, JournalError> {
        Ok(read(&Self::path_in(folder))?.0)
    }

    /// Whether a process works on the session.
    pub fn is_live(folder: &Path) -> bool {
        let file = OpenOptions::new().append(true).open(Self::path_in(folder));
        file.is_ok_and(|file| file.try_lock().is_err())
    }

    /// Appends a line; [`Self::sync`] brings it to disk.
    pub fn append(&mut self, at: Stamp, worked_ms: u64, event: &Event) -> Result<(), JournalError> {
        self.seq += 1;
        let line = Written { seq: self.seq, at: at.iso(), worked_ms, event };
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, &line).expect("a line is plain data");
        self.buffer.push(b'\n');
        self.file.as_ref().write_all(&self.buffer).map_err(|e| FileError::new("append to", &self.path, e))?;
        self.is_dirty = true;
        Ok(())
    }

    /// What was appended since it was last asked for: whoever asks brings it to disk.
    pub(super) fn unflushed(&mut self) -> Option<Unflushed> {
        std::mem::take(&mut self.is_dirty).then(|| self.written())
    }

    /// Everything that was appended so far. What another is bringing to disk just now is waited for.
    pub(super) fn written(&mut self) -> Unflushed {
        self.is_dirty = false;
        Unflushed { file: Arc::clone(&self.file), path: self.path.clone() }
    }

    /// Brings what was appended to disk.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        if std::mem::take(&mut self.is_dirty) {
            self.file.sync_data().map_err(|e| FileError::new("flush", &self.path, e))?;
        }
        Ok(())
    }
}

/// Lines that may not be on disk yet.
pub(super) struct Unflushed {
    file: Arc<File>,
    path: PathBuf,
}

impl Unflushed {
    /// Brings them there.
    pub(super) fn sync(self) -> Result<(), JournalError> {
        Ok(self.file.sync_data().map_err(|e| FileError::new("flush", &self.path, e))?)
    }
}

fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(fs::TryLockError::WouldBlock) => Err(JournalError::InUse(path.to_path_buf())),
        Err(fs::TryLockError::Error(error)) => Err(FileError::new("lock", path, error).into()),
    }
}

/// The whole lines of a journal and where they end.
fn read(path: &Path) -> Result<(History, u64), FileError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|e| FileError::new("read", path, e))?;
    let mut history = History::default();
    let mut at = 0;
    while let Some(end) = bytes[at..].iter().position(|byte| *byte == b'\n') {
        let Ok(line) = serde_json::from_slice::<Line>(&bytes[at..at + end]) else { break };
        if line.seq != history.lines.len() as u64 + 1 {
            break;
        }
        history.lines.push(line);
        at += end + 1;
    }
    if at < bytes.len() {
        let line = history.lines.len() as u64 + 1;
        history.cut = Some(Cut { bytes: (bytes.len() - at) as u64, line });
    }
    Ok((history, at as u64))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test may tear a file")]
mod tests {
    use super::*;

    fn opened() -> Event {
        Event::Opened {
            format: 1,
            session_id: "s".into(),
            owner: "o".into(),
            database: "d".into(),
            executor: "command".into(),
            settings: Box::default(),
        }
    }

    fn now() -> Stamp {
        Stamp::parse("2026-01-02T03:04:05Z").unwrap()
    }

    #[test]
    fn a_torn_tail_is_cut_and_said_and_the_rest_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("s");
        let mut journal = Journal::create(&folder).unwrap();
        journal.append(now(), 0, &opened()).unwrap();
        for pk in 0..3 {
            journal.append(now(), 5, &Event::Released { pk }).unwrap();
        }
        journal.sync().unwrap();
        assert!(matches!(Journal::resume(&folder), Err(JournalError::InUse(_))));
        assert!(Journal::is_live(&folder));
        drop(journal);
        assert!(!Journal::is_live(&folder));
        let path = Journal::path_in(&folder);
        let whole = fs::read(&path).unwrap();
        let third = whole.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(2).unwrap().0 + 1;
        for (torn, lines, cut) in [
            (whole.clone(), 4, None),
            (whole[..whole.len() - 1].to_vec(), 3, Some(4)),
            (whole[..=third].to_vec(), 3, Some(4)),
            (
                [
                    &whole[..third],
                    b"{\"seq\":9,\"at\":\"\",\"worked_ms\":0,\"event\":\"released\",\"pk\":1}\n",
                ]
                .concat(),
                3,
                Some(4),
            ),
            ([&whole[..], b"\0\0\0\0"].concat(), 4, Some(5)),
        ] {
            fs::write(&path, &torn).unwrap();
            let (mut journal, history) = Journal::resume(&folder).unwrap();
            assert_eq!((history.lines.len(), history.cut.map(|cut| cut.line)), (lines, cut));
            journal.append(now(), 9, &Event::Stopped { reason: "x".into() }).unwrap();
            drop(journal);
            let again = Journal::read(&folder).unwrap();
            assert_eq!((again.lines.len(), again.cut), (lines + 1, None));
        }
    }

    #[test]
    fn what_is_no_journal_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(Journal::path_in(dir.path()), "hello\n").unwrap();
        assert!(matches!(Journal::resume(dir.path()), Err(JournalError::NoSession(_))));
        assert_eq!(fs::read_to_string(Journal::path_in(dir.path())).unwrap(), "hello\n");
        assert!(Journal::create(dir.path()).is_err());
    }
}
