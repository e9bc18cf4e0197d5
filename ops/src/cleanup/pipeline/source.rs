//! The input as batches of records, from its start, as often as it takes.

use super::{CleanupError, Request, Surroundings};
use crate::records::{Batch, Identity, InputFacts, Records};

/// An open input.
#[derive(Debug)]
pub(super) struct Source {
    records: Records,
}

impl Source {
    /// Opens what was asked for, at its start.
    pub(super) fn open(request: &Request<'_>, around: &Surroundings<'_>) -> Result<Self, CleanupError> {
        Ok(Self { records: Records::open_with(request.source, around.scratch, request.reading)? })
    }

    /// Opens it once more.
    pub(super) fn open_again(request: &Request<'_>, around: &Surroundings<'_>) -> Result<Self, CleanupError> {
        Ok(Self { records: Records::open_again(request.source, around.scratch, request.reading)? })
    }

    /// Fills a batch; false at the end.
    pub(super) fn fill(&mut self, batch: &mut Batch) -> Result<bool, CleanupError> {
        Ok(self.records.fill(batch)?)
    }

    /// Records so far, rejected ones counted.
    pub(super) fn records(&self) -> u64 {
        self.records.count()
    }

    /// By what it is known again; `None` before its end.
    pub(super) fn identity(&self) -> Option<Identity> {
        self.records.identity()
    }

    /// What the input was; `None` before its end, and where it was opened again.
    pub(super) fn facts(&self) -> Option<InputFacts> {
        self.records.facts()
    }
}
