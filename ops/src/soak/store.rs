//! The log on disk: one writer, a line at a time, on the disk before anybody waits for the next look.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::evidence::{Log, LogError, Soak};
use crate::files::{self, FileError};
use crate::guard::Refusal;

/// The file of a soak, locked until it is dropped.
#[derive(Debug)]
pub struct Evidence {
    file: File,
    path: PathBuf,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// A guard stopped.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not the log of a soak, or not as it was written.
    #[error("`{path}` cannot be relied on")]
    Log {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: LogError,
    },
}

impl Evidence {
    /// Opens the log of a soak, and begins it on these terms where there is none. A line that a crash cut off is cut
    /// away; [`Log::torn_bytes`] tells. A log with other terms is refused: evidence for one question is none for
    /// another.
    pub fn open(path: &Path, terms: Soak) -> Result<(Self, Log), EvidenceError> {
        if let Some(folder) = path.parent() {
            files::create_dir(folder)?;
        }
        let opened = File::options().create(true).truncate(false).read(true).write(true).open(path);
        let file = opened.map_err(|e| FileError::new("open", path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy(path).into()),
            Err(TryLockError::Error(error)) => return Err(FileError::new("lock", path, error).into()),
        }
        let mut evidence = Self { file, path: path.to_path_buf() };
        let mut text = String::new();
        evidence.file.read_to_string(&mut text).map_err(|e| FileError::new("read", path, e))?;
        let log = match Log::read(&text) {
            Err(LogError::Empty) => {
                evidence.cut(0)?;
                let (log, line) = Log::begin(terms);
                evidence.append(&line)?;
                files::sync_parent(path)?;
                return Ok((evidence, log));
            }
            Err(source) => return Err(EvidenceError::Log { path: path.to_path_buf(), source }),
            Ok(log) => log,
        };
        let terms = Soak { started: log.soak.started.clone(), ..terms };
        if terms != log.soak {
            return Err(other_terms(path, &log.soak, &terms).into());
        }
        evidence.cut(log.sound_bytes)?;
        Ok((evidence, log))
    }

    fn cut(&mut self, bytes: usize) -> Result<(), FileError> {
        let bytes = bytes as u64;
        let cut = |file: &mut File| {
            file.set_len(bytes)?;
            file.seek(SeekFrom::Start(bytes)).map(drop)
        };
        cut(&mut self.file).map_err(|e| FileError::new("cut", &self.path, e))
    }

    /// Adds a line; it is on the disk when this returns.
    pub fn append(&mut self, line: &str) -> Result<(), FileError> {
        let write = |file: &mut File| {
            file.write_all(line.as_bytes())?;
            file.sync_data()
        };
        write(&mut self.file).map_err(|e| FileError::new("append to", &self.path, e))
    }
}

fn busy(path: &Path) -> Refusal {
    Refusal::new(
        "another process watches",
        "nobody else with this log",
        format!("`{}` is locked", path.display()),
    )
    .next("wait until it has ended, or watch with another --out")
}

/// Names the first thing that differs.
fn other_terms(path: &Path, log: &Soak, terms: &Soak) -> Refusal {
    let what = if log.target != terms.target {
        format!("the log is about {}, not {}", log.target, terms.target)
    } else if log.run != terms.run || log.plan != terms.plan {
        "the log is about another run or plan".to_owned()
    } else if (log.window_s, log.every_s) != (terms.window_s, terms.every_s) {
        format!("the log is for {} s, every {} s", log.window_s, log.every_s)
    } else {
        "the log has other metrics or limits".to_owned()
    };
    Refusal::new(
        "a soak goes on only on the terms on which it began",
        format!("those of `{}`", path.display()),
        what,
    )
    .next("judge what there is with `soak replay`, or begin anew with another --out")
}

#[cfg(test)]
mod tests {
    use super::super::evidence::Rule;
    use super::super::evidence::tests::{counted, look, metric, soak};
    use super::*;

    type Change = fn(&mut Soak);

    fn terms() -> Soak {
        soak(vec![metric("m", Rule::Never { hidden_max: 0.1 })])
    }

    #[test]
    fn a_log_goes_on_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("soak/evidence.ndjson");
        let (mut evidence, mut log) = Evidence::open(&path, terms()).unwrap();
        evidence.append(&log.add(look(0, vec![counted(1, 1)]))).unwrap();
        let second = Evidence::open(&path, terms()).unwrap_err();
        assert!(second.to_string().contains("another process watches"), "{second}");
        // A crash in the middle of a line.
        evidence.append("{\"digest\":\"12").unwrap();
        drop(evidence);
        let later = Soak { started: "2026-01-02T09:00:00Z".to_owned(), ..terms() };
        let (mut evidence, read) = Evidence::open(&path, later).unwrap();
        assert_eq!((read.looks.clone(), read.torn_bytes), (log.looks.clone(), 13));
        evidence.append(&log.add(look(300, vec![counted(2, 2)]))).unwrap();
        drop(evidence);
        let (_, read) = Evidence::open(&path, terms()).unwrap();
        assert_eq!((read.looks, read.torn_bytes), (log.looks, 0));
    }

    #[test]
    fn other_terms_and_other_files_are_refused_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("evidence.ndjson");
        drop(Evidence::open(&path, terms()).unwrap());
        let before = files::read_text(&path).unwrap();
        let others: [(Change, &str); 4] = [
            (|soak| soak.target = "sqlite:///b.db".to_owned(), "is about postgres://db.internal/app"),
            (|soak| soak.run = Some("r".to_owned()), "another run or plan"),
            (|soak| soak.every_s = 60, "every 300 s"),
            (|soak| soak.metrics[0].rule = Rule::Never { hidden_max: 0.5 }, "other metrics"),
        ];
        for (change, expected) in others {
            let mut other = terms();
            change(&mut other);
            let error = Evidence::open(&path, other).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(files::read_text(&path).unwrap(), before);
        let path = dir.path().join("notes.txt");
        files::write_atomic(&path, b"something else\n").unwrap();
        assert!(matches!(Evidence::open(&path, terms()), Err(EvidenceError::Log { .. })));
        assert_eq!(files::read_text(&path).unwrap(), "something else\n");
    }
}
