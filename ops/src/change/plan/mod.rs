//! The plan as an artifact: a sealed folder that holds every change, the way back, and what a person reviews.
//!
//! A plan is written once, in a folder that gets its name when it is complete, and never changed. Reading one
//! proves that it is what was written. Nothing here decides what to change, and nothing here writes to a target.

mod check;
pub mod commands;
mod convert;
mod dir;
mod draft;
mod elide;
mod invert;
mod keys;
mod layout;
mod line;
mod manifest;
mod review;
mod risk;
mod row;
mod seal;
mod select;
mod sheet;
mod survey;

pub use check::{CheckError, DriftedRow, Freshness, Standing, check, standing};
pub use dir::{Changes, PlanDir};
pub(crate) use dir::{INDEX_LINES, Index};
pub use draft::{Findings, PlanDraft, PlanWriter, Subject};
pub use invert::invert;
pub use keys::{KeySet, key_json, key_text};
pub(crate) use layout::changed;
pub use layout::{Layout, Op};
pub(crate) use line::{parse_line, write_line};
pub use manifest::{
    BackupFacts, CapabilityFacts, ColumnFacts, CountFacts, Derived, FORMAT, Facts, FileSeal, InputFacts,
    LineageFacts, Manifest, PlanKind, RiskFacts, State, TableFacts, TargetFacts,
};
pub(crate) use seal::{SealedWriter, seal_of};
pub use select::{Selection, select};

use crate::files::FileError;
use crate::guard::Refusal;

/// The names of the files of a plan.
pub mod names {
    /// The sealed facts.
    pub const PLAN: &str = "plan.json";
    /// Every change, one a line, in the order of the key.
    pub const CHANGES: &str = "changes.ndjson";
    /// Insertions, for a spreadsheet.
    pub const INSERTS: &str = "inserts.csv";
    /// New values of updated rows, for a spreadsheet.
    pub const UPDATES: &str = "updates.csv";
    /// What a person reviews.
    pub const REVIEW: &str = "plan.md";
    /// The way back for psql or the sqlite3 shell.
    pub const ROLLBACK: &str = "rollback.sql";
    /// The folder with the complete copy of the table.
    pub const BACKUP: &str = "backup";
}

/// Why a plan could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A guard stopped: the plan is not what it was, or cannot be made from what was given.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The file system failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line of a sealed file does not say what it should.
    #[error("`{file}` line {line}: {what}")]
    Line {
        /// The file's name in the plan directory.
        file: &'static str,
        /// Its line, from 1.
        line: u64,
        /// What is wrong, without contents of rows.
        what: String,
    },
    /// The planner handed out changes that no plan can hold: a defect, not a state of the data.
    #[error("these changes make no plan: {0}")]
    Invalid(String),
}

#[cfg(test)]
pub(crate) mod tests;
