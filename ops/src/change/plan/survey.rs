//! One pass over the changes of a plan, for what a reviewer wants to see of them.
//!
//! What is kept does not grow with the plan.

use super::layout::{Layout, Op};
use super::manifest::RiskFacts;
use super::risk::{self, Risk, Rules};
use crate::target::Change;

/// Risky rows that are shown.
pub(super) const RISKY_ROWS: usize = 20;
/// Rows of each kind that are shown besides.
pub(super) const SAMPLE_ROWS: usize = 5;

/// What one pass has seen.
#[derive(Debug)]
pub(super) struct Survey {
    rules: Rules,
    risks: Vec<Risk>,
    /// Counts over all changes.
    pub(super) facts: RiskFacts,
    /// The riskiest changes, the riskiest first; of two alike the earlier one.
    pub(super) risky: Vec<Noted>,
    /// The first changes of each kind.
    pub(super) samples: [Vec<Noted>; 3],
}

/// A change that is shown.
#[derive(Debug, Clone)]
pub(super) struct Noted {
    /// Its position in the plan.
    pub(super) n: u64,
    /// The change.
    pub(super) change: Change,
    /// What the rules found in it.
    pub(super) risks: Vec<Risk>,
}

impl Survey {
    pub(super) fn new(layout: &Layout) -> Self {
        Self {
            rules: Rules::new(layout),
            risks: Vec::new(),
            facts: RiskFacts::default(),
            risky: Vec::new(),
            samples: Default::default(),
        }
    }

    /// Looks at the change at position `n`; positions only grow.
    pub(super) fn see(&mut self, n: u64, change: &Change) {
        self.rules.find(change, &mut self.risks);
        let note = || Noted { n, change: change.clone(), risks: self.risks.clone() };
        let samples = &mut self.samples[Op::of(change) as usize];
        if samples.len() < SAMPLE_ROWS {
            samples.push(note());
        }
        if self.risks.is_empty() {
            return;
        }
        risk::count(&self.risks, &mut self.facts);
        let score = risk::score(&self.risks);
        let place = self.risky.partition_point(|other| risk::score(&other.risks) >= score);
        if place < RISKY_ROWS {
            self.risky.insert(place, note());
            self.risky.truncate(RISKY_ROWS);
        }
    }
}
