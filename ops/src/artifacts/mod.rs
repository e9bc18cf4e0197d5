//! Artifacts of a finished run, and what in them cannot be true.
//!
//! A report says what somebody wrote. Logs that are missing, totals that do not add up, clocks that run backwards and
//! rates that no throttle allows show that it was not written by the run that it describes. Files are read as data,
//! whoever wrote them; nothing in them is believed, and nothing is changed. What is not found here may still be untrue.

mod claims;
mod documents;
mod folder;
mod run;
mod sealed;
mod soaks;

use std::path::Path;

use serde::Serialize;

use crate::clock::Stamp;
use crate::files::FileError;
use crate::report::{Align, Document, Table};
use crate::text::{one_line, plural};

use folder::Folder;

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Something that a run writes is not there.
    Missing,
    /// Numbers that do not add up.
    Totals,
    /// Times that cannot be.
    Clock,
    /// Faster than the throttle, or than the calls themselves.
    Rate,
    /// Two artifacts say different things.
    Contradiction,
    /// Nothing shows that it is what was written.
    Unsealed,
    /// It is not what was written.
    Edited,
    /// It cannot be read.
    Unreadable,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Totals => "totals",
            Self::Clock => "clock",
            Self::Rate => "rate",
            Self::Contradiction => "contradiction",
            Self::Unsealed => "unsealed",
            Self::Edited => "edited",
            Self::Unreadable => "unreadable",
        }
    }
}

/// One thing that cannot be true.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The file, below the folder.
    pub file: String,
    /// What it is about.
    pub kind: Kind,
    /// In words.
    pub what: String,
}

/// What is known besides the folder.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Nothing can have happened later than this.
    pub now: Option<Stamp>,
    /// The artifacts were there by then: the time of a commit or of an upload.
    pub by: Option<Stamp>,
    /// What made them was not there before: the time of its commit.
    pub since: Option<Stamp>,
    /// SHA-256 digests of files that records of a chain hold.
    pub digests: Vec<String>,
}

/// What an audit of a folder saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArtifactAudit {
    /// Version of this JSON document.
    pub format: u32,
    /// Files that were read.
    pub files: u64,
    /// What cannot be true, by file.
    pub findings: Vec<Finding>,
}

/// Examines every artifact below a folder.
pub fn audit(dir: &Path, known: &Known) -> Result<ArtifactAudit, FileError> {
    let folder = Folder::read(dir)?;
    let mut findings = folder.unreadable.clone();
    let run = run::Run::of(&folder);
    findings.extend(run.findings());
    findings.extend(documents::findings(&folder, &run));
    findings.extend(soaks::findings(&folder));
    findings.extend(claims::findings(&folder, &run, known));
    findings.extend(sealed::findings(&folder, known));
    findings.sort();
    findings.dedup();
    Ok(ArtifactAudit { format: 1, files: folder.files.len() as u64, findings })
}

impl ArtifactAudit {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.files > 0
    }

    /// What `gates audit` prints.
    pub fn document(&self) -> Document {
        let mut document = Document::new();
        document.heading(1, "Audit of the artifacts").facts([("files", self.files.to_string())]);
        if self.files == 0 {
            document.text("There is nothing to audit.");
            return document;
        }
        if self.findings.is_empty() {
            document.text("Nothing was found that cannot be true.");
            return document;
        }
        let mut table = Table::new([("file", Align::Left), ("finding", Align::Left), ("what", Align::Left)]);
        for finding in &self.findings {
            table.row([finding.file.clone(), finding.kind.as_str().to_owned(), one_line(&finding.what)]);
        }
        document.table(table).text(format!("{}.", plural(self.findings.len() as u64, "finding")));
        document
    }
}

/// Collects findings about one file.
struct Notes<'a> {
    file: &'a str,
    found: Vec<Finding>,
}

impl<'a> Notes<'a> {
    fn new(file: &'a str) -> Self {
        Self { file, found: Vec::new() }
    }

    fn add(&mut self, kind: Kind, what: impl Into<String>) {
        self.found.push(Finding { file: self.file.to_owned(), kind, what: what.into() });
    }
}

#[cfg(test)]
mod tests;
