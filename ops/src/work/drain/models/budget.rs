//! The tokens that the runs may still use, as the workers of one process know them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// What is left of the cap of every run, and what calls under way may take of it.
#[derive(Debug, Default)]
pub struct Budgets {
    runs: Mutex<HashMap<String, Left>>,
}

#[derive(Debug, Clone, Copy)]
struct Left {
    tokens: u64,
    reserved: u64,
}

impl Budgets {
    /// Sets `need` tokens aside; the error is what is left. `known` is what the database said when the phase was
    /// claimed: later calls of this process are taken off it here, and no count is taken twice. A run without a cap
    /// has no limit.
    pub(super) fn reserve(&self, run: &str, known: Option<u64>, need: u64) -> Result<(), u64> {
        let Some(known) = known else { return Ok(()) };
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let left = runs.entry(run.to_owned()).or_insert(Left { tokens: known, reserved: 0 });
        left.tokens = left.tokens.min(known);
        let free = left.tokens.saturating_sub(left.reserved);
        if need > free {
            return Err(free);
        }
        left.reserved += need;
        Ok(())
    }

    /// A call has ended that had set `need` aside and took `spent`.
    pub(super) fn settle(&self, run: &str, need: u64, spent: u64) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = runs.get_mut(run) {
            left.reserved = left.reserved.saturating_sub(need);
            left.tokens = left.tokens.saturating_sub(spent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_under_way_count_and_no_token_counts_twice() {
        let budgets = Budgets::default();
        assert_eq!(budgets.reserve("r", Some(1000), 700), Ok(()));
        assert_eq!(budgets.reserve("r", Some(1000), 400), Err(300));
        budgets.settle("r", 700, 200);
        // What the database said before the first call ended, and after.
        assert_eq!(budgets.reserve("r", Some(1000), 801), Err(800));
        assert_eq!(budgets.reserve("r", Some(800), 800), Ok(()));
        assert_eq!(budgets.reserve("s", Some(10), 11), Err(10));
        assert_eq!(budgets.reserve("none", None, u64::MAX), Ok(()));
    }
}
