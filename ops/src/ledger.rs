//! Books that must balance: what went in equals what came out, by reason.
//!
//! A ledger never drops a count to make itself balance; the task that owns it turns an unbalanced
//! ledger into a failure.

use std::collections::BTreeMap;

use serde::Serialize;

/// Counts of one total split by outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// How many items were taken on.
    pub total: u64,
    /// How many ended in each way; the keys are stable words.
    pub ended: BTreeMap<String, u64>,
}

impl Ledger {
    /// Takes on one item.
    pub fn take(&mut self) {
        self.total += 1;
    }

    /// Books one item under `how`.
    pub fn end(&mut self, how: &str) {
        *self.ended.entry(how.to_owned()).or_insert(0) += 1;
    }

    /// How many ended as `how`.
    pub fn count(&self, how: &str) -> u64 {
        self.ended.get(how).copied().unwrap_or(0)
    }

    /// Whether every item taken on has ended in exactly one way.
    pub fn balances(&self) -> bool {
        self.total == self.ended.values().sum::<u64>()
    }

    /// `12 = 10 success + 2 truncated`, in the order of the keys.
    pub fn equation(&self) -> String {
        let parts: Vec<String> = self.ended.iter().map(|(how, n)| format!("{n} {how}")).collect();
        let right = if parts.is_empty() { "0".to_owned() } else { parts.join(" + ") };
        format!("{} {} {right}", self.total, if self.balances() { "=" } else { "≠" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_without_an_end_unbalances() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.equation(), "0 = 0");
        ledger.take();
        assert!(!ledger.balances());
        assert_eq!(ledger.equation(), "1 ≠ 0");
        ledger.end("success");
        assert!(ledger.balances());
        assert_eq!(ledger.equation(), "1 = 1 success");
    }
}
