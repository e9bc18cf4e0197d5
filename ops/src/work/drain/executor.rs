//! What an executor is: something that attempts one phase and says what happened.
//!
//! An executor never touches the database and never decides whether an attempt was a success; it reports,
//! with evidence, and the drain decides.

use std::fmt;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use super::milestones::Milestones;
use crate::phases::{Claim, Escalation};
use crate::tokens::estimator::Estimate;

/// One attempt to make.
#[derive(Clone, Copy)]
pub struct Order<'a> {
    /// The phase, as claimed.
    pub claim: &'a Claim,
    /// What the estimator predicts for it.
    pub estimate: &'a Estimate,
    /// Where tokens are set aside before they are spent.
    pub purse: &'a dyn Purse,
}

impl fmt::Debug for Order<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("claim", &self.claim).finish_non_exhaustive()
    }
}

/// The tokens that the run of a phase may still use, as everybody sees them who works on it.
pub trait Purse {
    /// Sets so many tokens aside for all calls of this attempt together, in place of what was set aside before.
    fn reserve(&self, tokens: u64) -> Result<(), NotReserved>;
}

/// Why no tokens were set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReserved {
    /// The cap of the run leaves only so many.
    Short(u64),
    /// The database failed, or the lease was lost.
    Failed(String),
}

/// What an executor says of an attempt that it could carry out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Whether the work was done, in the executor's own opinion.
    pub status: Status,
    /// Output tokens of the model; absent when nobody counted them.
    #[serde(default)]
    pub output_tokens: Option<u64>,
    /// Input tokens of the model.
    #[serde(default)]
    pub input_tokens: Option<u64>,
    /// Tokens of calls before the one that is reported, which were paid as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier_tokens: Option<u64>,
    /// The ceiling on output tokens that was in force.
    #[serde(default)]
    pub max_tokens: Option<u64>,
    /// Why the model stopped, in its own word.
    #[serde(default)]
    pub stop_reason: Option<String>,
    /// Which model.
    #[serde(default)]
    pub model: Option<String>,
    /// Whether the output was cut off; derived from the stop reason when absent.
    #[serde(default)]
    pub truncated: Option<bool>,
    /// What went wrong, when the status is `failed`.
    #[serde(default)]
    pub error: Option<String>,
}

/// An executor's own opinion of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The work was done.
    Success,
    /// It was not.
    Failed,
}

impl Report {
    /// Whether the output was cut off: as said, or by a stop reason that means a token limit.
    pub fn is_truncated(&self) -> bool {
        self.truncated.unwrap_or(matches!(self.stop_reason.as_deref(), Some("max_tokens" | "length")))
    }
}

/// How an attempt ended in the executor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Execution {
    /// It ran to its end. `missing` lists the deliverables of the phase for which there is no evidence.
    Reported {
        /// What it says.
        report: Report,
        /// Deliverables that were not found, or are empty.
        missing: Vec<String>,
    },
    /// It could not say anything useful.
    Broken {
        /// A stable word.
        reason: &'static str,
        /// For people.
        detail: String,
    },
    /// It took too long and was ended.
    TimedOut {
        /// For people: after how long, and where its partial output is.
        detail: String,
    },
    /// It was ended because the drain was asked to stop.
    Interrupted,
}

/// How an attempt ended, and what was recorded of it on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempted {
    /// How it ended.
    pub execution: Execution,
    /// How far it came.
    pub milestones: Milestones,
    /// Exit status of its program.
    pub exit: Option<i32>,
    /// The budget that it raised.
    pub escalation: Option<Escalation>,
    /// Tokens that no report counts, and that may have been spent: of calls whose answer did not arrive, at most.
    pub tokens_at_risk: u64,
}

impl From<Execution> for Attempted {
    fn from(execution: Execution) -> Self {
        Self { execution, milestones: Milestones::default(), exit: None, escalation: None, tokens_at_risk: 0 }
    }
}

/// Attempts phases, one at a time.
pub trait Executor: Send {
    /// The word that marks its outcomes in the database.
    fn source(&self) -> &'static str;

    /// Whether an attempt that is forgotten costs nothing and changes nothing. Else the journal is on disk before each
    /// begins, so that no power cut hides that it was made.
    fn is_repeatable(&self) -> bool {
        false
    }

    /// Attempts one phase. Returns soon after `stop` becomes true, leaving no process behind.
    fn execute(&mut self, order: Order<'_>, stop: &AtomicBool) -> Attempted;
}
