//! What a session may do: which phases, how much of everything, and when it is not worth going on.

use serde::{Deserialize, Serialize};

use super::triage::TriagePolicy;
use crate::phases::Selection;

/// Limits of a session; `None` is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Attempts of the session.
    pub attempts: Option<u64>,
    /// Seconds that the session may work, over all its processes.
    pub seconds: Option<u64>,
    /// Attempts of one phase.
    pub attempts_per_phase: Option<u32>,
    /// Timeouts of one run, which then is stopped.
    pub timeouts_per_run: Option<u32>,
    /// How often a fingerprint may be seen before the run that shows it again is stopped.
    pub fingerprint_repeats: Option<u64>,
    /// Attempts without an event, one after the other, which end the session.
    pub zero_yield_streak: Option<u64>,
    /// Whether the first QUEUED phase that fails for good ends the session.
    pub stop_on_failure: bool,
}

/// What a session may do. Written into its journal, so that it survives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Settings {
    /// Which phases.
    pub selection: Selection,
    /// How much.
    pub limits: Limits,
    /// What is worth it.
    pub triage: TriagePolicy,
}
