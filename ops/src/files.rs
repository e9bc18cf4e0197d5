//! Writing artifacts so that a crash leaves either the old file or the new one, never half of it.
//!
//! Everything the toolkit leaves on disk goes through here; `std::fs::write` is banned by lint.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Why a file could not be written; the cause is the operating system's own error.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} `{path}`")]
pub struct FileError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl FileError {
    /// An error of doing `action` (a verb: "read", "create directory") to `path`.
    pub fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self { action, path: path.to_path_buf(), source }
    }
}

/// Reads a whole UTF-8 text file.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(|e| FileError::new("read", path, e))
}

/// Creates a directory and its parents; an existing one is fine.
pub fn create_dir(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(|e| FileError::new("create directory", path, e))
}

/// Writes `bytes` beside `path`, flushes them to disk and renames them into place. Parents are created.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    if let Some(parent) = path.parent() {
        create_dir(parent)?;
    }
    let partial = partial_name(path);
    let written = (|| {
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()
    })();
    if let Err(error) = written {
        let _ = fs::remove_file(&partial);
        return Err(FileError::new("write", path, error));
    }
    rename(&partial, path)
}

/// A file that is written in pieces, beside its name, and is there only when it is complete.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    /// `None` once it is in place.
    file: Option<BufWriter<File>>,
}

impl AtomicFile {
    /// Begins a file that will be `path`. Parents are created.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        if let Some(parent) = path.parent() {
            create_dir(parent)?;
        }
        let file = File::create(partial_name(path)).map_err(|e| FileError::new("write", path, e))?;
        Ok(Self { path: path.to_path_buf(), file: Some(BufWriter::with_capacity(1 << 16, file)) })
    }

    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let file = self.file.as_mut().expect("it is not in place yet");
        file.write_all(bytes).map_err(|e| FileError::new("write", &self.path, e))
    }

    /// Flushes it to disk and puts it in place of what is there.
    pub fn commit(mut self) -> Result<(), FileError> {
        let file = self.file.as_mut().expect("it is not in place yet");
        let flushed = file.flush().and_then(|()| file.get_ref().sync_all());
        flushed.map_err(|e| FileError::new("write", &self.path, e))?;
        self.file = None;
        rename(&partial_name(&self.path), &self.path)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(partial_name(&self.path));
        }
    }
}

/// Renames and flushes the directory, so that the new name survives a power cut.
pub fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(|e| FileError::new("rename a finished file to", to, e))?;
    sync_parent(to)
}

/// The name under which a file is written before it is complete.
pub fn partial_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".partial");
    PathBuf::from(name)
}

/// Flushes the directory of `path`. Only Unix can open a directory; elsewhere renames are journaled.
pub fn sync_parent(path: &Path) -> Result<(), FileError> {
    if cfg!(unix)
        && let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty())
    {
        let synced = File::open(parent).and_then(|dir| dir.sync_all());
        return synced.map_err(|e| FileError::new("flush directory", parent, e));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_files_and_leaves_no_partial() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.txt");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(read_text(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_in_pieces_is_there_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.txt");
        write_atomic(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write(b"ne").unwrap();
        assert_eq!(read_text(&path).unwrap(), "old");
        drop(file);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "given up without a trace");
        let mut file = AtomicFile::create(&path).unwrap();
        file.write(b"ne").unwrap();
        file.write(b"w").unwrap();
        file.commit().unwrap();
        assert_eq!(read_text(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn says_which_file() {
        let dir = tempfile::tempdir().unwrap();
        let error = write_atomic(dir.path(), b"x").unwrap_err();
        assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
    }
}
