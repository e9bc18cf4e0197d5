//! The input as batches of records, from its start, as often as it takes.

use std::path::Path;

use super::batch::{BadRow, Batch};
use super::layout::Layout;
use super::{CleanupError, Request, Surroundings};
use crate::records::{InputFacts, Records};

/// An open input.
#[derive(Debug)]
pub(super) struct Source {
    records: Records,
    ordinal: u64,
}

impl Source {
    /// Opens what was asked for, at its start.
    pub(super) fn open(request: &Request<'_>, around: &Surroundings<'_>) -> Result<Self, CleanupError> {
        let path: &Path = request.source;
        let records = Records::open(path, request.format, around.scratch)?;
        Ok(Self { records, ordinal: 0 })
    }

    /// Fills an empty batch; what cannot be read goes to `rejects`. The batch stays empty at the end of the input.
    pub(super) fn fill(
        &mut self,
        batch: &mut Batch,
        layout: &mut Layout,
        _rejects: &mut Vec<BadRow>,
    ) -> Result<(), CleanupError> {
        batch.clear();
        while !batch.is_full() {
            let Some(record) = self.records.next()? else { break };
            batch.push(self.ordinal, record, layout)?;
            self.ordinal += 1;
        }
        Ok(())
    }

    /// Records so far, rejected ones counted.
    pub(super) fn records(&self) -> u64 {
        self.ordinal
    }

    /// What the input was; `None` before its end.
    pub(super) fn facts(&self) -> Option<InputFacts> {
        self.records.facts()
    }
}
