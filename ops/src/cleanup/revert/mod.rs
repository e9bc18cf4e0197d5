//! The way back: cleaned rows with all changes undone, or with some, from the list of changes and nothing else.
//!
//! Undoing everything gives the rows of the input again, those included that were merged or put in quarantine. The files
//! of the set are read and never written; one that is not what the manifest says is refused.

mod changes;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::pipeline::{CleanupError, Manifest};
use crate::files::{self, AtomicFile, FileError};
use crate::guard::Refusal;
use crate::ids::hex;

use rows::undo;

/// What is to be undone.
#[derive(Debug, Clone, Default)]
pub struct RevertRequest {
    /// The folder of the set.
    pub out: PathBuf,
    /// The file of the rows that come out; `reverted_<dataset>.json` beside the cleaned ones if nothing is named.
    pub to: Option<PathBuf>,
    /// Only changes by these rules, by id; empty: all.
    pub rules: BTreeSet<String>,
    /// Only changes of these rows, by place in the input; empty: all.
    pub rows: BTreeSet<u64>,
}

impl RevertRequest {
    fn is_whole(&self) -> bool {
        self.rules.is_empty() && self.rows.is_empty()
    }

    /// Whether a change of this row by this rule (`id@version`) is to be undone.
    fn is_wanted(&self, row: u64, rule: &str) -> bool {
        let id = rule.split_once('@').map_or(rule, |(id, _)| id);
        (self.rows.is_empty() || self.rows.contains(&row))
            && (self.rules.is_empty() || self.rules.contains(id) || self.rules.contains(rule))
    }
}

/// What was undone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Reverted {
    /// Rows that came out.
    pub rows: u64,
    /// Rows with an undone change.
    pub changed_rows: u64,
    /// Rows that are there again: they had been merged or put in quarantine.
    pub restored_rows: u64,
    /// Undone changes by rule.
    pub undone: BTreeMap<String, u64>,
    /// Changes that were not asked for and had to be undone because they rest on one that was.
    pub undone_with_others: u64,
    /// Whether the rows are those of the input.
    pub is_input: bool,
    /// The file, against the folder of the set.
    pub file: PathBuf,
}

/// Undoes changes.
pub fn revert(request: &RevertRequest) -> Result<Reverted, CleanupError> {
    let manifest = manifest(&request.out)?;
    for artifact in &manifest.artifacts {
        check_seal(&request.out, &artifact.file, &artifact.sha256)?;
    }
    let file =
        request.to.clone().unwrap_or_else(|| PathBuf::from(format!("reverted_{}.json", manifest.dataset)));
    let mut reverted = undo(request, &manifest, &request.out.join(&file))?;
    reverted.file = file;
    reverted.is_input = request.is_whole();
    let books = &manifest.ledger;
    if reverted.is_input && reverted.rows != books.rows_in - books.rejected {
        return Err(CleanupError::Unbalanced(*books));
    }
    Ok(reverted)
}

fn manifest(out: &Path) -> Result<Manifest, CleanupError> {
    let path = out.join("cleanup.json");
    if !path.exists() {
        let refusal = Refusal::new(
            "there is nothing to undo",
            "the folder of a cleanup, with its cleanup.json",
            format!("`{}`", out.display()),
        );
        return Err(refusal.next("name the folder with --out").into());
    }
    let text = files::read_text(&path)?;
    serde_json::from_str(&text).map_err(|error| {
        Refusal::new(
            "the manifest of the set cannot be read",
            "cleanup.json as it was written",
            error.to_string(),
        )
        .next("clean again")
        .into()
    })
}

/// Refuses a file that is not the one that was written.
fn check_seal(out: &Path, name: &str, expected: &str) -> Result<(), CleanupError> {
    let path = out.join(name);
    let fail = |error| FileError::new("read", &path, error);
    let mut file = File::open(&path).map_err(fail)?;
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 1 << 18]);
    loop {
        let length = file.read(&mut buffer).map_err(fail)?;
        if length == 0 {
            break;
        }
        digest.update(&buffer[..length]);
    }
    let found = hex(&digest.finalize());
    if found == expected {
        return Ok(());
    }
    Err(Refusal::new(
        format!("`{name}` is not the file that was written"),
        format!("sha256 {expected}"),
        format!("sha256 {found}"),
    )
    .next("clean again, or put the file back")
    .into())
}

/// Writes rows as an array.
struct RowFile {
    file: AtomicFile,
    rows: u64,
}

impl RowFile {
    fn create(path: &Path) -> Result<Self, FileError> {
        Ok(Self { file: AtomicFile::create(path)?, rows: 0 })
    }

    fn push(&mut self, row: &[u8]) -> Result<(), FileError> {
        self.file.write(if self.rows == 0 { b"[\n" } else { b",\n" })?;
        self.rows += 1;
        self.file.write(row)
    }

    fn end(mut self) -> Result<u64, FileError> {
        self.file.write(if self.rows == 0 { b"[]" } else { b"\n]" })?;
        self.file.commit()?;
        Ok(self.rows)
    }
}
