//! Goes on behind a damaged record, at a place that is sound for the format.
//!
//! How far is looked ahead has a bound, so that one quote without its partner costs the records near it and not
//! the rest of the file.

use super::ReadError;
use super::batch::{Reject, reject};
use super::error::Fault;
use super::reader::Records;

/// How far is looked ahead at once, in bytes.
const REACH: usize = 256 * 1024;

impl Records {
    /// Passes over a damaged record and says what it was.
    pub(super) fn resume(&mut self, fault: Fault) -> Result<Reject, ReadError> {
        if !self.parser.can_resume() {
            return Err(self.wrong(&fault));
        }
        let rest = self.forward.rest();
        let start = self.parser.gap(&rest[..fault.at.min(rest.len())]);
        let (at, line) = self.place(start);
        let shown = rest.len().min(fault.at.max(start).saturating_add(400));
        let relative = Fault { at: fault.at.max(start) - start, ..fault };
        let mut found = reject(&rest[start..shown], (self.rows, at, line), &relative);
        match fault.end {
            Some(end) => self.leave(end),
            None => self.look_ahead(start, fault.at)?,
        }
        found.length = self.forward.at().saturating_sub(at);
        self.mark(at, line);
        self.rows += 1;
        Ok(found)
    }

    fn look_ahead(&mut self, mut start: usize, wrong_at: usize) -> Result<(), ReadError> {
        let mut is_lost = false;
        let mut reach = wrong_at + REACH;
        loop {
            while self.forward.rest().len() < reach && !self.forward.is_end {
                self.forward.fill(&mut self.input)?;
            }
            let (rest, is_end) = (self.forward.rest(), self.forward.is_end);
            // What begins in the second half is looked at again, with as much behind it.
            let limit = if is_end { rest.len() } else { rest.len() - REACH / 2 };
            if let Some(next) = self.parser.resume(rest, start, limit, is_lost, &mut self.cells) {
                self.leave(next);
                return Ok(());
            }
            self.leave(limit);
            if is_end {
                self.parser.finish();
                return Ok(());
            }
            (start, is_lost, reach) = (0, true, REACH);
        }
    }
}
