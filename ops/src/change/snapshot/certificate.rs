//! What a backup claims, in a file that a person can read.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::frames::{Contents, Frame};
use super::{BackupError, CERTIFICATE_FILE, Facts, INDEX_FILE, TableDigest};
use crate::clock::Stamp;
use crate::files::FileError;
use crate::ids::sha256;
use crate::target::ScanProof;
use crate::target::schema::Table;

/// The version of the three files of a backup.
pub const FORMAT: u32 = 1;

/// The certificate of a backup. A versioned artifact: `format` grows with every change of meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Version of the format: [`FORMAT`].
    pub format: u32,
    /// The table as it was read: the columns of the rows, their types and keys.
    pub table: Table,
    /// [`Table::digest`] of it.
    pub table_digest: String,
    /// The columns of the key by which the rows were told apart.
    pub key: Vec<String>,
    /// Rows in the backup.
    pub rows: u64,
    /// Different keys among them.
    pub distinct_keys: u64,
    /// The target's proof that every row was read.
    pub scan: ScanProof,
    /// When reading began, RFC 3339 in UTC.
    pub started_at: String,
    /// When the last row was on disk.
    pub finished_at: String,
    /// [`TableDigest`] of the rows: the same for a live table with the same rows in any order.
    pub rows_digest: String,
    /// Bytes of the uncompressed lines.
    pub lines_bytes: u64,
    /// SHA-256 of the uncompressed lines, in the order of the file.
    pub lines_sha256: String,
    /// Bytes of the file of rows.
    pub file_bytes: u64,
    /// SHA-256 of the file of rows, as `sha256sum` prints it.
    pub file_sha256: String,
    /// SHA-256 of the index.
    pub index_sha256: String,
    /// SHA-256 of this certificate with this field empty.
    pub seal: String,
}

impl Certificate {
    pub(super) fn new(
        table: Table,
        contents: &Contents,
        digest: TableDigest,
        started_at: Stamp,
        index: &[u8],
        facts: Facts<'_>,
    ) -> Self {
        let certificate = Self {
            format: FORMAT,
            table_digest: table.digest(),
            key: facts.key.iter().map(|i| table.columns[*i].name.clone()).collect(),
            table,
            rows: digest.rows(),
            distinct_keys: facts.distinct_keys,
            scan: facts.scan,
            started_at: started_at.iso(),
            finished_at: facts.finished_at.iso(),
            rows_digest: digest.to_string(),
            lines_bytes: contents.lines_bytes(),
            lines_sha256: contents.lines_sha256.clone(),
            file_bytes: contents.file_bytes(),
            file_sha256: contents.file_sha256.clone(),
            index_sha256: sha256(index),
            seal: String::new(),
        };
        Self { seal: certificate.own_digest(), ..certificate }
    }

    /// The file, to the byte.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("names and numbers are JSON");
        bytes.push(b'\n');
        bytes
    }

    fn own_digest(&self) -> String {
        sha256(&Self { seal: String::new(), ..self.clone() }.to_bytes())
    }

    /// Reads the certificate in the folder of a backup. One that was touched is refused: every byte counts.
    pub fn read(dir: &Path) -> Result<Self, BackupError> {
        let bytes = read(dir, CERTIFICATE_FILE)?;
        let damaged = |what: &str| BackupError::Damaged(format!("`{CERTIFICATE_FILE}` {what}"));
        let certificate: Self =
            serde_json::from_slice(&bytes).map_err(|_| damaged("is not a certificate"))?;
        if certificate.format != FORMAT {
            return Err(damaged(&format!("has format {}, this program reads {FORMAT}", certificate.format)));
        }
        if certificate.to_bytes() != bytes || certificate.own_digest() != certificate.seal {
            return Err(damaged("was changed after it was written"));
        }
        Ok(certificate)
    }

    /// Reads the index that belongs to this certificate.
    pub(super) fn index(&self, dir: &Path) -> Result<Vec<Frame>, BackupError> {
        let bytes = read(dir, INDEX_FILE)?;
        let damaged = || BackupError::Damaged(format!("`{INDEX_FILE}` is not the one that was certified"));
        if sha256(&bytes) != self.index_sha256 {
            return Err(damaged());
        }
        serde_json::from_slice(&bytes).map_err(|_| damaged())
    }
}

/// The index as a file: one frame a line.
pub(super) fn index_bytes(frames: &[Frame]) -> Vec<u8> {
    let lines: Vec<String> =
        frames.iter().map(|frame| serde_json::to_string(frame).expect("numbers are JSON")).collect();
    format!("[\n{}\n]\n", lines.join(",\n")).into_bytes()
}

fn read(dir: &Path, name: &str) -> Result<Vec<u8>, BackupError> {
    let path = dir.join(name);
    std::fs::read(&path).map_err(|e| FileError::new("read", &path, e).into())
}
