//! The spelling of one line of a journal.
//!
//! Outcomes are spelled as the books in a target spell them: a batch in which nothing special happened takes some
//! dozen bytes, a stored row is there in full, because only it says what a rollback must find.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Canary, Header};
use crate::clock::Stamp;
use crate::target::{Outcome, outcomes};

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Run {
        format: u32,
        #[serde(flatten)]
        header: Header,
    },
    Intent {
        first: u64,
        rows: u64,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        already: Vec<u64>,
    },
    Done(DoneLine),
    Canary {
        #[serde(flatten)]
        canary: Canary,
        at: String,
    },
    Approved {
        at: String,
    },
    Closed {
        at: String,
    },
}

/// The outcomes of changes that follow each other.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DoneLine {
    pub(super) first: u64,
    at: String,
    outcomes: Box<RawValue>,
}

impl DoneLine {
    /// The outcomes, one a change; `None` when they cannot be read.
    pub(super) fn outcomes(&self) -> Option<Vec<Outcome>> {
        outcomes::decode(self.outcomes.get()).ok()
    }
}

/// Appends a `done` line with its line feed.
pub(super) fn write_done(first: u64, outcomes: &[Outcome], at: Stamp, out: &mut Vec<u8>) {
    let start = format!(r#"{{"done":{{"first":{first},"at":"{}","outcomes":"#, at.iso());
    out.extend_from_slice(start.as_bytes());
    out.extend_from_slice(outcomes::encode(outcomes).as_bytes());
    out.extend_from_slice(b"}}\n");
}
