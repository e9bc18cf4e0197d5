//! Files and their digests: taken while writing, and taken again while reading.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::manifest::FileSeal;
use crate::files::FileError;
use crate::ids::hex;

const BUFFER_BYTES: usize = 256 * 1024;

/// A file that is digested as it is written.
#[derive(Debug)]
pub(crate) struct SealedWriter {
    file: BufWriter<Digesting<File>>,
    path: PathBuf,
    name: &'static str,
}

impl SealedWriter {
    /// A new file `name` in the folder `dir`.
    pub(crate) fn create(dir: &Path, name: &'static str) -> Result<Self, FileError> {
        let path = dir.join(name);
        let file = File::create_new(&path).map_err(|e| FileError::new("create", &path, e))?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, Digesting::new(file));
        Ok(Self { file, path, name })
    }

    /// Appends bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all(bytes).map_err(|e| FileError::new("write", &self.path, e))
    }

    /// Flushes the file to disk and gives its seal.
    pub(crate) fn finish(self) -> Result<FileSeal, FileError> {
        let Self { file, path, name } = self;
        let flushed = file.into_inner().map_err(io::IntoInnerError::into_error);
        let finished = flushed.and_then(|file| file.inner.sync_all().map(|()| file));
        let file = finished.map_err(|e| FileError::new("write", &path, e))?;
        Ok(file.seal(name))
    }
}

/// A reader or a writer that digests what passes.
#[derive(Debug)]
struct Digesting<F> {
    inner: F,
    sha256: Sha256,
    bytes: u64,
}

impl<F> Digesting<F> {
    fn new(inner: F) -> Self {
        Self { inner, sha256: Sha256::new(), bytes: 0 }
    }

    fn seal(self, path: &str) -> FileSeal {
        FileSeal { path: path.to_owned(), bytes: self.bytes, sha256: hex(&self.sha256.finalize()) }
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.sha256.update(&buf[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The seal that the file `name` in `dir` has now. `seen` gets its bytes in order, piece by piece.
pub(crate) fn seal_of(dir: &Path, name: &str, mut seen: impl FnMut(&[u8])) -> Result<FileSeal, FileError> {
    let path = dir.join(name);
    let failed = |e| FileError::new("read", &path, e);
    let mut file = Digesting::new(File::open(&path).map_err(failed)?);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let n = match file.inner.read(&mut buffer) {
            Ok(0) => return Ok(file.seal(name)),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        file.sha256.update(&buffer[..n]);
        file.bytes += n as u64;
        seen(&buffer[..n]);
    }
}
