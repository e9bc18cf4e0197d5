//! What became of the lines of files: how many were events, repeated ones, or neither.
//!
//! One bad line never stops the rest, and none is dropped without a count and, for the first hundred, a reason. Several
//! files are one input: an event that is in two of them counts once.

use std::collections::HashSet;

use serde::Serialize;
use xxhash_rust::xxh3::Xxh3Default;

/// How many rejects are listed; all are counted.
const LISTED: usize = 100;

/// What became of the lines. Blank lines are in no count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Input {
    /// Lines that became events.
    pub accepted: u64,
    /// Lines that repeat the run, phase, time and token counts of an earlier one.
    pub duplicates: u64,
    /// Rows of a table that is too long to look for repeated ones: as with a database, each of its rows counts.
    #[serde(skip_serializing_if = "is_zero")]
    pub unchecked: u64,
    /// Lines that are no event.
    pub reject_count: u64,
    /// The first of these.
    pub rejects: Vec<Reject>,
    /// The file that is read, where there are several.
    #[serde(skip)]
    pub file: Option<String>,
    #[serde(skip)]
    seen: HashSet<u128>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A line that is no event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reject {
    /// The file, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line number, from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
}

impl Input {
    /// Counts a line that is no event.
    pub(super) fn reject(&mut self, line: u64, reason: String) {
        self.reject_count += 1;
        if self.rejects.len() < LISTED {
            self.rejects.push(Reject { file: self.file.clone(), line, reason });
        }
    }

    /// Whether an event was there before, which counts it.
    pub(super) fn is_repeated(&mut self, key: u128) -> bool {
        let repeated = !self.seen.insert(key);
        self.duplicates += u64::from(repeated);
        repeated
    }

    /// The account of a part of the same file.
    pub(super) fn part(&self) -> Self {
        Self { file: self.file.clone(), ..Self::default() }
    }

    /// Adds what became of later lines of the same file.
    pub(super) fn merge(&mut self, later: Self) {
        self.accepted += later.accepted;
        self.duplicates += later.duplicates;
        self.reject_count += later.reject_count;
        self.rejects.extend(later.rejects);
        self.rejects.truncate(LISTED);
    }

    /// What makes two lines the same event, of texts and counts.
    pub(super) fn key(texts: &[&str], counts: [u64; 2]) -> u128 {
        let mut hash = Xxh3Default::new();
        for text in texts {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        for count in counts {
            hash.update(&count.to_le_bytes());
        }
        hash.digest128()
    }
}
