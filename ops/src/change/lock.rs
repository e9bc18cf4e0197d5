//! One runner a plan directory: a lock of the operating system on a file in it.
//!
//! The system lets go of it when the process ends, however it ends, so a killed runner leaves no lock behind. It
//! says nothing about other machines: those are kept away by the lease in the target.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::error::RunError;
use crate::files::FileError;
use crate::guard::Refusal;

/// Name of the file in the plan directory.
const FILE: &str = ".lock";

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct PlanLock {
    _file: File,
    directory: PathBuf,
}

impl PlanLock {
    /// Takes the lock of `directory`, which must exist, at once, or says that another runner works there.
    pub fn take(directory: &Path) -> Result<Self, RunError> {
        let path = directory.join(FILE);
        let opened = File::options().create(true).truncate(false).write(true).open(&path);
        let file = opened.map_err(|e| FileError::new("open", &path, e))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file, directory: directory.to_path_buf() }),
            Err(TryLockError::WouldBlock) => Err(busy(directory).into()),
            Err(TryLockError::Error(error)) => Err(FileError::new("lock", &path, error).into()),
        }
    }

    /// What it locks.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

fn busy(directory: &Path) -> Refusal {
    Refusal::new(
        "another runner works on this plan",
        "nobody else in the plan directory",
        format!("`{}` is locked", directory.display()),
    )
    .next("wait until it has ended, then look at its report; a killed runner leaves no lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_runner_is_refused_until_the_first_has_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = PlanLock::take(dir.path()).unwrap();
        let second = PlanLock::take(dir.path()).unwrap_err();
        assert!(second.to_string().contains("another runner works on this plan"), "{second}");
        drop(first);
        PlanLock::take(dir.path()).unwrap();
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_and_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let error = PlanLock::take(&dir.path().join("nowhere")).unwrap_err();
        assert!(matches!(error, RunError::File(_)), "{error}");
    }
}
