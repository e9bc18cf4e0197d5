//! Changing rows: compare, plan, gate, apply, verify, roll back. Every task that changes rows goes through here.
//!
//! Planning is pure: inputs in, a plan out. Applying has no choices left. Nothing here knows a concrete driver;
//! everything goes through [`crate::target::Target`].

pub mod apply;
pub mod coerce;
pub mod compare;
mod decimal;
pub mod desired;
pub mod diff;
pub mod error;
pub mod gate;
pub mod journal;
pub mod lock;
pub use crate::pace;
pub mod plan;
pub mod planner;
pub mod rehearse;
pub mod rollback;
pub mod snapshot;
pub mod sql;
#[cfg(test)]
mod testing;
pub mod throttle;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How the desired rows and the live rows differ, in counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows in the desired input.
    pub desired: u64,
    /// Rows in the live table.
    pub live: u64,
    /// Only desired.
    pub insert: u64,
    /// In both, and different.
    pub update: u64,
    /// Only live, and to be deleted: zero unless the plan is of the kind that deletes.
    pub delete: u64,
    /// In both, and the same.
    pub unchanged: u64,
    /// Only live, and left alone.
    pub only_live: u64,
    /// Cells that updates change, by column.
    pub cells_changed: BTreeMap<String, u64>,
    /// Differences that a comparator took for none, by column.
    pub suppressed: BTreeMap<String, u64>,
}

impl Counts {
    /// Whether both sides add up: every row is counted exactly once.
    pub fn balance(&self) -> bool {
        self.desired == self.insert + self.update + self.unchanged
            && self.live == self.update + self.unchanged + self.delete + self.only_live
    }

    /// Changes that a plan with these counts holds.
    pub fn changes(&self) -> u64 {
        self.insert + self.update + self.delete
    }
}
