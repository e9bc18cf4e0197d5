//! What a run has done: its changes and their outcomes, side by side, from the plan and the journal.

use std::path::Path;

use super::feed::{ChangeIter, Changes};
use crate::change::error::RunError;
use crate::change::journal::Outcomes;
use crate::change::plan::PlanError;
use crate::target::{Change, Outcome};

/// The journal of a run, in its folder.
pub(crate) const JOURNAL: &str = "journal.ndjson";

/// One change that has an outcome.
#[derive(Debug)]
pub(crate) struct Done {
    /// Its position.
    pub(crate) position: u64,
    pub(crate) change: Change,
    pub(crate) outcome: Outcome,
}

/// The changes of a run that have outcomes, in order.
pub(crate) struct Past<'a> {
    changes: ChangeIter<'a>,
    outcomes: Outcomes,
    position: u64,
    reached: u64,
}

impl<'a> Past<'a> {
    /// The first `reached` changes, whose outcomes the journal in `folder` has.
    pub(crate) fn open(changes: &'a dyn Changes, folder: &Path, reached: u64) -> Result<Self, RunError> {
        let outcomes = Outcomes::open(&folder.join(JOURNAL))?;
        Ok(Self { changes: changes.read(0)?, outcomes, position: 0, reached })
    }

    fn step(&mut self) -> Result<Done, RunError> {
        let position = self.position;
        let missing = |what: &str| PlanError::Invalid(format!("{what} before change {position}"));
        let change = self.changes.next().ok_or_else(|| missing("the plan ends"))??;
        let outcome = self.outcomes.next_outcome()?.ok_or_else(|| missing("the journal ends"))?;
        self.position += 1;
        Ok(Done { position, change, outcome })
    }
}

impl Iterator for Past<'_> {
    type Item = Result<Done, RunError>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.position < self.reached).then(|| self.step())
    }
}
