//! `gates.ndjson`: who let what through, in a chain of records that shows when it was tampered with.
//!
//! Every record names the digest of the line before it and its own. Records are only appended, under a lock and
//! flushed to disk. What the chain cannot show is that its last records were cut off: note the head that an audit
//! prints somewhere else. Nothing here decides what to let through but the rules of [`Gates::require_approval`]
//! and its neighbours.

mod audit;
mod chain;
mod require;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use audit::{Audit, Finding, FindingKind, audit};
pub use require::{Typed, approve};
#[cfg(test)]
use tests::now as tests_now;
pub use walk::{Standing, Step, Subject, WAY, Walk};

use crate::change::plan::Manifest;
use crate::files::FileError;
use crate::guard::Refusal;
use crate::report::{Align, Document, Table};
use crate::text::one_line;

/// Where the records are kept unless a person says otherwise.
pub const DEFAULT_PATH: &str = ".ops/gates.ndjson";

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// A plan was made.
    Plan,
    /// A person approved it, or took the approval back.
    Approve,
    /// It was tried on a copy.
    Rehearse,
    /// Its first rows were applied and looked at.
    Canary,
    /// It was applied.
    Apply,
    /// It was taken back.
    Rollback,
    /// The target was watched afterwards.
    Soak,
    /// The target was examined.
    Health,
}

impl Stage {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Approve => "approve",
            Self::Rehearse => "rehearse",
            Self::Canary => "canary",
            Self::Apply => "apply",
            Self::Rollback => "rollback",
            Self::Soak => "soak",
            Self::Health => "health",
        }
    }
}

/// What a stage came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It began; another record says how it ended.
    Begun,
    /// Good.
    Pass,
    /// Not good.
    Fail,
    /// Too little was seen to say.
    Insufficient,
    /// What was seen says nothing.
    Invalid,
}

impl Decision {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Insufficient => "insufficient",
            Self::Invalid => "invalid",
        }
    }
}

/// One value of a record's detail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Detail {
    /// A count.
    Count(u64),
    /// A measured number.
    Number(f64),
    /// Words.
    Text(String),
}

impl From<u64> for Detail {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<&str> for Detail {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Detail {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<f64> for Detail {
    /// JSON has no word for what is not finite; it becomes text. A whole number stays a number with a point.
    fn from(number: f64) -> Self {
        if number.is_finite() { Self::Number(number) } else { Self::Text(number.to_string()) }
    }
}

/// What is to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What it is about.
    pub stage: Stage,
    /// Full id of the plan.
    pub plan: String,
    /// Fingerprint of the target.
    pub target: String,
    /// Lineage of the target, if it was ever stamped.
    pub lineage: Option<String>,
    /// What it came to.
    pub decision: Decision,
    /// What else is worth keeping; never contents of rows.
    pub detail: BTreeMap<String, Detail>,
}

impl Entry {
    /// An entry about a plan and its target.
    pub fn about(manifest: &Manifest, stage: Stage, decision: Decision) -> Self {
        let target = &manifest.plan.target;
        Self {
            stage,
            plan: manifest.id.clone(),
            target: target.fingerprint.clone(),
            lineage: target.lineage.as_ref().map(|lineage| lineage.id.clone()),
            decision,
            detail: BTreeMap::new(),
        }
    }

    /// Adds a detail.
    #[must_use]
    pub fn with(mut self, name: &str, detail: impl Into<Detail>) -> Self {
        self.detail.insert(name.to_owned(), detail.into());
        self
    }
}

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its number, from 1 without gaps.
    pub seq: u64,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// SHA-256 of the line before it without its line feed; zeros in the first.
    pub prev: String,
    /// See [`Entry`].
    pub stage: Stage,
    /// See [`Entry`].
    pub plan: String,
    /// See [`Entry`].
    pub target: String,
    /// See [`Entry`].
    pub lineage: Option<String>,
    /// See [`Entry`].
    pub decision: Decision,
    /// See [`Entry`].
    pub detail: BTreeMap<String, Detail>,
    /// Version of the toolkit.
    pub tool: String,
    /// SHA-256 of this record with this field empty.
    pub digest: String,
}

impl Record {
    /// A text of the detail.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.detail.get(name) {
            Some(Detail::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The first 12 digits of the plan's id.
    pub fn short(&self) -> &str {
        self.plan.get(..12).unwrap_or(&self.plan)
    }
}

/// Why gates could not be read, written or passed.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A gate is not met: exit code 6.
    #[error("{0}")]
    NotMet(#[source] Refusal),
    /// The records are not what was written, or cannot be added to: exit code 3.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The file system failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The records of a file whose chain holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Gates {
    path: PathBuf,
    records: Vec<Record>,
}

impl Gates {
    /// Where they were read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All records, in order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The last record of a stage about a plan.
    pub fn last(&self, stage: Stage, plan: &str) -> Option<&Record> {
        self.records.iter().rev().find(|record| record.stage == stage && record.plan == plan)
    }

    /// What `gates show` prints; `plan` leaves out what is about others, and may be the first digits of an id.
    pub fn document(&self, plan: Option<&str>) -> Document {
        let mut table = Table::new([
            ("seq", Align::Right),
            ("at", Align::Left),
            ("stage", Align::Left),
            ("decision", Align::Left),
            ("plan", Align::Left),
            ("target", Align::Left),
            ("lineage", Align::Left),
            ("detail", Align::Left),
        ]);
        let is_shown = |record: &&Record| plan.is_none_or(|plan| record.plan.starts_with(plan));
        for record in self.records.iter().filter(is_shown) {
            let detail = record.detail.iter().map(|(name, detail)| {
                let value = match detail {
                    Detail::Text(text) if text.len() == 64 => text[..12].to_owned(),
                    Detail::Text(text) => text.clone(),
                    Detail::Count(n) => n.to_string(),
                    Detail::Number(x) => x.to_string(),
                };
                format!("{name} {value}")
            });
            table.row([
                record.seq.to_string(),
                record.at.clone(),
                record.stage.as_str().to_owned(),
                record.decision.as_str().to_owned(),
                record.short().to_owned(),
                one_line(&record.target),
                record.lineage.clone().unwrap_or_else(|| "–".to_owned()),
                one_line(&detail.collect::<Vec<_>>().join(", ")),
            ]);
        }
        let mut document = Document::new();
        document.heading(1, "Gates");
        if table.is_empty() {
            document.text("No records.");
        } else {
            document.table(table);
        }
        document
    }
}
