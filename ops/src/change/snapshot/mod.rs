//! A complete copy of a table on disk, with a certificate that says what it is a copy of.
//!
//! `rows.ndjson.zst` holds one row a line, exactly as [`crate::value`] writes values; `index.json` says where its
//! frames start; `certificate.json` ties both to the table, to the proof that every row was read, and to digests.
//! The certificate is written last, after everything was read back from the file: files without one are no backup.
//!
//! Nothing here reads a database, and nothing is ever overwritten.

mod certificate;
mod digest;
mod frames;
mod line;
mod reader;
mod verify;

use std::path::{Path, PathBuf};

pub use certificate::{Certificate, FORMAT};
pub use digest::TableDigest;
pub(super) use frames::{Contents, FrameWriter};
pub(super) use line::{Cell, Lines};
pub use reader::BackupReader;
pub(super) use reader::RowReader;
pub use verify::verify;

use crate::clock::Stamp;
use crate::files::{self, FileError};
use crate::target::ScanProof;
use crate::target::schema::Table;
use crate::value::{Digest128, ValueRef};

/// Name of the file of rows in the folder of a backup.
pub const ROWS_FILE: &str = "rows.ndjson.zst";
/// Name of the index.
pub const INDEX_FILE: &str = "index.json";
/// Name of the certificate.
pub const CERTIFICATE_FILE: &str = "certificate.json";

/// Why a backup could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file system said no.
    #[error(transparent)]
    File(#[from] FileError),
    /// The files are there and do not hold what they should.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// Stopped on request.
    #[error("stopped")]
    Stopped,
}

/// Writes the rows of a table into a new backup.
#[derive(Debug)]
pub struct BackupWriter {
    dir: PathBuf,
    table: Table,
    lines: Lines,
    frames: FrameWriter,
    digest: TableDigest,
    started_at: Stamp,
}

impl BackupWriter {
    /// Starts a backup of `table` in the folder `dir`, which may exist and must not hold rows already.
    pub fn create(dir: &Path, table: &Table, started_at: Stamp) -> Result<Self, BackupError> {
        files::create_dir(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            table: table.clone(),
            lines: Lines::whole(table),
            frames: FrameWriter::create(&dir.join(ROWS_FILE))?,
            digest: TableDigest::default(),
            started_at,
        })
    }

    /// Adds a row: all columns in the order of the table, and [`crate::value::digest_row`] over all of them.
    /// Gives back its offset, by which a reader finds it.
    pub fn push(&mut self, row: &[ValueRef<'_>], digest: Digest128) -> Result<u64, BackupError> {
        self.digest.add(digest);
        self.frames.line(|out| self.lines.write(row, out))
    }

    /// Flushes everything to disk. It is no backup before it was verified and certified.
    pub fn finish(self) -> Result<WrittenBackup, BackupError> {
        let contents = self.frames.finish()?;
        Ok(WrittenBackup {
            dir: self.dir,
            table: self.table,
            contents,
            digest: self.digest,
            started_at: self.started_at,
        })
    }
}

/// Rows on disk that wait for their certificate.
#[derive(Debug)]
pub struct WrittenBackup {
    dir: PathBuf,
    table: Table,
    contents: Contents,
    digest: TableDigest,
    started_at: Stamp,
}

/// What a certificate says beyond what is in the file of rows.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The key, as indices into the table.
    pub key: &'a [usize],
    /// Different keys; as many as rows, or it is not a key.
    pub distinct_keys: u64,
    /// The target's proof that every row was read.
    pub scan: ScanProof,
    /// When the last row had been written.
    pub finished_at: Stamp,
}

impl WrittenBackup {
    /// Reads everything back from the file and compares it with what was written, to the last bit of every value.
    pub fn verify(&self, is_stopped: &(dyn Fn() -> bool + Sync)) -> Result<(), BackupError> {
        let path = self.dir.join(ROWS_FILE);
        let found = verify::read_back(&path, &self.contents.frames, &Lines::whole(&self.table), is_stopped)?;
        found.expect(&self.contents.lines_sha256, &self.contents.file_sha256, &self.digest.to_string())
    }

    /// A reader of the rows, before there is a certificate.
    pub(super) fn reader(&self) -> Result<RowReader, BackupError> {
        RowReader::open(&self.dir.join(ROWS_FILE), self.contents.frames.clone())
    }

    /// Writes the index and, last, the certificate. To be called after [`Self::verify`].
    pub fn certify(self, facts: Facts<'_>) -> Result<Certificate, BackupError> {
        let index = certificate::index_bytes(&self.contents.frames);
        files::write_atomic(&self.dir.join(INDEX_FILE), &index)?;
        let certificate =
            Certificate::new(self.table, &self.contents, self.digest, self.started_at, &index, facts);
        files::write_atomic(&self.dir.join(CERTIFICATE_FILE), &certificate.to_bytes())?;
        Ok(certificate)
    }
}

#[cfg(test)]
mod tests;
