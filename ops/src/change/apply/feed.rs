//! The changes of a plan, read ahead of the runner: while one batch is applied, the next is already parsed.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

use crate::change::error::RunError;
use crate::target::Change;

/// Changes that are handed over at once.
const CHUNK: usize = 256;
/// Chunks that wait at most.
const CHUNKS: usize = 4;

/// A plan's changes in order. They can be read more than once and from any position.
pub trait Changes: Sync {
    /// How many there are.
    fn total(&self) -> u64;

    /// Reads from `position` on, to the end.
    fn read(&self, position: u64) -> Result<ChangeIter<'_>, RunError>;
}

/// Changes in order.
pub type ChangeIter<'a> = Box<dyn Iterator<Item = Result<Change, RunError>> + Send + 'a>;

impl Changes for Vec<Change> {
    fn total(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, position: u64) -> Result<ChangeIter<'_>, RunError> {
        let skip = usize::try_from(position).unwrap_or(usize::MAX);
        Ok(Box::new(self.iter().skip(skip).cloned().map(Ok)))
    }
}

/// Changes that a thread of its own reads ahead.
#[derive(Debug)]
pub(crate) struct Feed {
    chunks: Receiver<Vec<Result<Change, RunError>>>,
    waiting: VecDeque<Result<Change, RunError>>,
}

impl Feed {
    /// Begins to read. The thread ends with the changes, or when the feed is dropped.
    pub(crate) fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        mut changes: ChangeIter<'env>,
    ) -> Self {
        let (sender, chunks) = sync_channel(CHUNKS);
        scope.spawn(move || {
            loop {
                let chunk: Vec<_> = changes.by_ref().take(CHUNK).collect();
                if chunk.is_empty() || sender.send(chunk).is_err() {
                    return;
                }
            }
        });
        Self { chunks, waiting: VecDeque::new() }
    }

    /// Replaces the contents of `batch` by the next changes, at most `rows`; none at the end.
    pub(crate) fn next(&mut self, rows: usize, batch: &mut Vec<Change>) -> Result<(), RunError> {
        batch.clear();
        while batch.len() < rows {
            if let Some(change) = self.waiting.pop_front() {
                batch.push(change?);
            } else if let Ok(chunk) = self.chunks.recv() {
                self.waiting.extend(chunk);
            } else {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    fn changes(n: i64) -> Vec<Change> {
        (0..n).map(|i| Change::Delete { before: vec![Value::Int(i)] }).collect()
    }

    #[test]
    fn hands_out_everything_once_and_in_order() {
        let plan = changes(5000);
        let mut seen = Vec::new();
        std::thread::scope(|scope| {
            let mut feed = Feed::start(scope, plan.read(3).unwrap());
            let mut batch = Vec::new();
            for size in (1..).step_by(7) {
                feed.next(size, &mut batch).unwrap();
                if batch.is_empty() {
                    break;
                }
                seen.append(&mut batch);
            }
        });
        assert_eq!(seen, plan[3..]);
    }

    #[test]
    fn a_feed_that_is_dropped_early_ends_its_thread() {
        let plan = changes(100_000);
        std::thread::scope(|scope| {
            let mut feed = Feed::start(scope, plan.read(0).unwrap());
            feed.next(1, &mut Vec::new()).unwrap();
        });
    }
}
