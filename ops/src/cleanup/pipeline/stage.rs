//! The files of a run as one set: written beside the set that is there, and put in its place only when all are complete.
//!
//! A run that fails or is killed leaves the previous files as they were. Names cannot be exchanged all at once, so the
//! exchange itself is made sure: once everything is on disk a mark says so, and whoever comes next finishes what a
//! killed run had begun to exchange. Nothing here knows what the files hold.
//!
//! Files are not forced to the disk one by one: they are as large as the input, can be made again from it, and that
//! takes longer than everything else together. So a power failure within seconds of a run may damage the new set, which
//! its seals then show; a run that fails or is killed cannot.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::{self, FileError};
use crate::guard::Refusal;
use crate::hash::Hasher;
use crate::long::LongFile;

use super::CleanupError;

/// The folder in which a set is made.
const FOLDER: &str = ".cleanup";
/// Held while a set is made.
const LOCK: &str = ".cleanup.lock";
/// Says that the set is complete and may be put in place.
const MARK: &str = "complete";
/// A folder in it for files that are no part of the set.
const SCRATCH: &str = "scratch";

/// A file of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its name in the folder.
    pub file: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256, as `sha256sum` prints it.
    pub sha256: String,
}

/// A set that is being made.
#[derive(Debug)]
pub(super) struct Stage {
    out: PathBuf,
    folder: PathBuf,
    /// The folders that were made for the set, the innermost first.
    made: Vec<PathBuf>,
    _lock: File,
}

impl Stage {
    /// Begins a set in the folder `out`, after finishing or clearing away what a killed run left there.
    pub(super) fn begin(out: &Path) -> Result<Self, CleanupError> {
        let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let made = out.ancestors().take_while(is_missing).map(Path::to_path_buf).collect();
        let lock = lock(out)?;
        let folder = out.join(FOLDER);
        if folder.join(MARK).exists() {
            exchange(&folder, out)?;
        } else if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|e| FileError::new("clear away", &folder, e))?;
        }
        files::create_dir(&folder.join(SCRATCH))?;
        Ok(Self { out: out.to_path_buf(), folder, made, _lock: lock })
    }

    /// Begins a file of the set.
    pub(super) fn file(&self, name: &str) -> Result<StageFile, FileError> {
        let path = self.folder.join(name);
        let file = File::create(&path).map_err(|e| FileError::new("write", &path, e))?;
        let waiting = Vec::with_capacity(BUFFER);
        let digest = Hasher::default();
        Ok(StageFile { name: name.to_owned(), path, file: LongFile::new(file), waiting, digest })
    }

    /// Writes a whole file of the set.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<Artifact, FileError> {
        let mut file = self.file(name)?;
        file.write(bytes)?;
        file.seal()
    }

    /// A folder on the disk of the set for files that are no part of it.
    pub(super) fn scratch_folder(&self) -> PathBuf {
        self.folder.join(SCRATCH)
    }

    /// A file on the disk of the set that goes away when it is dropped, for what does not fit into memory.
    pub(super) fn scratch(&self) -> Result<File, FileError> {
        tempfile::tempfile_in(self.scratch_folder())
            .map_err(|e| FileError::new("create a temporary file in", &self.folder, e))
    }

    /// Puts the set in place of the one that was there.
    pub(super) fn commit(self) -> Result<(), FileError> {
        files::write_atomic(&self.folder.join(MARK), b"")?;
        exchange(&self.folder, &self.out)
    }

    /// Removes what is left of a set that was given up, with the folders that were made for it.
    fn give_up(&self) {
        let _ = fs::remove_dir_all(&self.folder);
        if self.made.is_empty() {
            return;
        }
        let _ = fs::remove_file(self.out.join(LOCK));
        // A folder that somebody else uses by now is not empty and stays.
        let _ = self.made.iter().try_for_each(fs::remove_dir);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Without the mark it is a set that was given up.
        if self.folder.exists() && !self.folder.join(MARK).exists() {
            self.give_up();
        }
    }
}

fn lock(out: &Path) -> Result<File, CleanupError> {
    files::create_dir(out)?;
    let path = out.join(LOCK);
    let opened = File::options().create(true).truncate(false).write(true).open(&path);
    let file = opened.map_err(|e| FileError::new("open", &path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Refusal::new(
            "another cleanup writes into this folder",
            "nobody else in it",
            format!("`{}` is locked", out.display()),
        )
        .next("wait until it has ended, or choose another --out")
        .into()),
        Err(TryLockError::Error(error)) => Err(FileError::new("lock", &path, error).into()),
    }
}

/// Moves every file of a complete set to its place; done again after a crash, it goes on where it was.
fn exchange(folder: &Path, out: &Path) -> Result<(), FileError> {
    let list = || -> std::io::Result<Vec<_>> {
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
    };
    let mut names = list().map_err(|e| FileError::new("list", folder, e))?;
    names.retain(|name| name != MARK && name != SCRATCH);
    names.sort();
    for name in names {
        let (from, to) = (folder.join(&name), out.join(&name));
        // Without forcing the folder to the disk, which would force the files.
        fs::rename(&from, &to).map_err(|e| FileError::new("rename a finished file to", &to, e))?;
    }
    fs::remove_dir_all(folder).map_err(|e| FileError::new("clear away", folder, e))
}

/// Bytes that are written at once.
const BUFFER: usize = 1 << 18;

/// A file of a set while it is written. What is written goes to the digest in the same large pieces as to the file.
#[derive(Debug)]
pub(super) struct StageFile {
    name: String,
    path: PathBuf,
    file: LongFile,
    waiting: Vec<u8>,
    digest: Hasher,
}

impl StageFile {
    /// Appends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        if self.waiting.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        if bytes.len() >= BUFFER {
            return self.put(bytes);
        }
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends what `write` appends to what waits already.
    pub(super) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), FileError> {
        write(&mut self.waiting);
        if self.waiting.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), FileError> {
        let waiting = std::mem::take(&mut self.waiting);
        let written = self.file.write_all(&waiting);
        self.waiting = self.digest.take(waiting);
        written.map_err(|e| FileError::new("write", &self.path, e))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.digest.update(bytes);
        self.file.write_all(bytes).map_err(|e| FileError::new("write", &self.path, e))
    }

    /// Bytes written so far.
    pub(super) fn bytes(&self) -> u64 {
        self.digest.bytes() + self.waiting.len() as u64
    }

    /// Ends writing.
    pub(super) fn seal(mut self) -> Result<Artifact, FileError> {
        self.flush()?;
        self.digest.end();
        Ok(Artifact { file: self.name, bytes: self.digest.bytes(), sha256: self.digest.hex() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(out: &Path) -> Vec<(String, String)> {
        let mut found: Vec<_> = fs::read_dir(out)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_name() != LOCK)
            .map(|entry| {
                (
                    entry.file_name().into_string().unwrap(),
                    fs::read_to_string(entry.path()).unwrap_or_default(),
                )
            })
            .collect();
        found.sort();
        found
    }

    fn set(out: &Path, text: &str) -> Stage {
        let stage = Stage::begin(out).unwrap();
        for name in ["a", "b"] {
            assert_eq!(
                stage.write(name, text.as_bytes()).unwrap().sha256,
                crate::ids::sha256(text.as_bytes())
            );
        }
        stage
    }

    fn both(text: &str) -> Vec<(String, String)> {
        ["a", "b"].map(|name| (name.to_owned(), text.to_owned())).to_vec()
    }

    #[test]
    fn a_set_replaces_the_one_before_and_a_failed_one_leaves_it() {
        let dir = tempfile::tempdir().unwrap();
        set(dir.path(), "one").commit().unwrap();
        assert_eq!(texts(dir.path()), both("one"));
        drop(set(dir.path(), "given up"));
        assert_eq!(texts(dir.path()), both("one"));
        drop(set(&dir.path().join("new/inner"), "given up"));
        assert!(!dir.path().join("new").exists(), "folders that were made for it are gone");
        set(dir.path(), "two").commit().unwrap();
        assert_eq!(texts(dir.path()), both("two"));
    }

    #[test]
    fn a_killed_run_is_cleared_away_before_the_mark_and_finished_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        set(dir.path(), "one").commit().unwrap();
        let folder = dir.path().join(FOLDER);
        let leave = |is_complete: bool| {
            fs::create_dir(&folder).unwrap();
            files::write_atomic(&folder.join("b"), b"two").unwrap();
            if is_complete {
                files::write_atomic(&folder.join(MARK), b"").unwrap();
            }
        };
        leave(false);
        drop(Stage::begin(dir.path()).unwrap());
        assert_eq!(texts(dir.path()), both("one"));
        // It was killed between the two files: the first is in place already.
        leave(true);
        files::write_atomic(&dir.path().join("a"), b"two").unwrap();
        drop(Stage::begin(dir.path()).unwrap());
        assert_eq!(texts(dir.path()), both("two"));
    }

    #[test]
    fn two_runs_do_not_share_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let first = Stage::begin(dir.path()).unwrap();
        let error = Stage::begin(dir.path()).unwrap_err();
        assert!(matches!(error, CleanupError::Refused(_)), "{error}");
        drop(first);
        Stage::begin(dir.path()).unwrap();
    }
}
