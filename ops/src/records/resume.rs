//! Goes on behind a damaged record, at a place that is sound for the format.
//!
//! How far is looked ahead has a bound, so that one quote without its partner costs the records near it and not
//! the rest of the file.

use super::ReadError;
use super::batch::{Reject, reject};
use super::error::Fault;
use super::reader::Records;

/// How far is looked ahead at once, in bytes.
const REACH: usize = 64 * 1024;
/// Bytes behind what is wrong that may be shown.
const SHOWN_BYTES: usize = 400;

impl Records {
    /// Passes over a damaged record and says what it was.
    pub(super) fn resume(&mut self, fault: Fault) -> Result<Reject, ReadError> {
        if !self.parser.can_resume() {
            return Err(self.wrong(&fault));
        }
        // What is said of it must not depend on how much of it happens to be in memory.
        while self.forward.rest().len() < fault.at.saturating_add(SHOWN_BYTES) && !self.forward.is_end {
            self.forward.fill(&mut self.input)?;
        }
        let rest = self.forward.rest();
        let start = fault.from + self.parser.gap(&rest[fault.from..]);
        let (at, line) = self.place(start);
        let shown = rest.len().min(fault.at.max(start).saturating_add(SHOWN_BYTES));
        let relative = Fault { at: fault.at.max(start) - start, from: 0, ..fault };
        let text_from = self.parser.text_from(&relative);
        let mut found = reject(&rest[start..shown], (self.rows, at, line), text_from, &relative);
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
        let mut reach = wrong_at + REACH;
        let mut is_near = true;
        loop {
            // Most damage ends where it seems to, and that is in memory already.
            if is_near {
                let (rest, is_end) = (self.forward.rest(), self.forward.is_end);
                if let Some(next) = self.parser.behind(rest, start, is_end).filter(|next| *next > 0) {
                    self.leave(next);
                    return Ok(());
                }
            }
            if self.forward.rest().len() < reach && !self.forward.is_end {
                self.forward.fill(&mut self.input)?;
                continue;
            }
            let (rest, is_end) = (self.forward.rest(), self.forward.is_end);
            // What begins in the second half is looked at again, with as much behind it.
            let limit = if is_end { rest.len() } else { rest.len() - REACH / 2 };
            if let Some(next) = self.parser.resume(rest, start, limit, &mut self.cells) {
                self.leave(next);
                return Ok(());
            }
            self.leave(limit);
            if is_end {
                self.parser.finish();
                return Ok(());
            }
            (start, reach, is_near) = (0, REACH, false);
        }
    }
}
