//! What is done to one row: characters, then fields, then evidence. The one place where the steps meet.

use super::render::Verdict;
use crate::cleanup::{Dataset, Note, Row};

#[derive(Debug, Default, Clone)]
pub(super) struct Vote;
impl Vote {
    pub(super) fn observe(&mut self, _column: usize, _text: &str) {}
    pub(super) fn absorb(&mut self, _other: Self) {}
    pub(super) fn decide(self) -> Decisions {
        Decisions
    }
}
#[derive(Debug, Clone)]
pub(super) struct Decisions;

/// The evidence of a row.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    pub(super) verdict: Verdict,
    /// Name, from 0 to 1, and weight.
    pub(super) parts: Vec<(String, f64, f64)>,
    pub(super) advice: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Steps;

impl Steps {
    pub(super) fn new(_dataset: &Dataset, _decisions: &Decisions) -> Self {
        Self
    }

    /// Cleans a row; what was done and noticed is appended to `notes`.
    pub(super) fn clean(&mut self, _row: &mut Row<'_>, _notes: &mut Vec<Note>) -> Evidence {
        Evidence { verdict: Verdict { score: 10_000, is_fragment: false }, parts: Vec::new(), advice: Vec::new() }
    }
}
