//! Runs, phases and attempts as workflows see them: the [`Store`] that a driver implements.
//!
//! A *run* owns *tiers*, a tier owns *phases*; a phase is one unit of work that an executor attempts.
//! A phase is claimed by key with a lease (owner, expiry, fencing token). Only the holder of the lease can
//! finish or release it; everybody else gets [`StoreError::LeaseLost`] and changes nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Stamp;
use crate::db::DbError;
use crate::telemetry::{EventRow, Rejection};

/// Names one phase.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PhaseKey {
    /// The run.
    pub run_id: String,
    /// The phase within the run.
    pub phase_id: String,
}

impl fmt::Display for PhaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.run_id, self.phase_id)
    }
}

/// What a phase may touch and must deliver; the JSON column `scope`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Directories and files that it may write.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Files that it may read.
    #[serde(default)]
    pub read_only_context: Vec<String>,
    /// Files that it must write, relative to its workspace.
    #[serde(default)]
    pub deliverables: Vec<String>,
    /// The catalogue entry that it was seeded from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// Which phases a drain may claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only phases of this run.
    pub run_id: Option<String>,
}

/// A phase that this process holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Which phase.
    pub key: PhaseKey,
    /// Its row.
    pub phase_pk: i64,
    /// Grows with every claim of the phase; a write with an older token is refused.
    pub fencing_token: i64,
    /// Who holds it.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// What to do.
    pub description: String,
    /// Category as stored.
    pub category: String,
    /// Complexity as stored.
    pub complexity: String,
    /// What it may touch and must deliver.
    pub scope: Scope,
    /// Why `scope` could not be read, and is empty; such a phase cannot be attempted in earnest.
    pub scope_error: Option<String>,
    /// Number of this attempt, from 1.
    pub attempt: u64,
    /// Attempts that ended well so far.
    pub successes: u64,
    /// Attempts that did not.
    pub failures: u64,
    /// Attempts of any phase of the same template so far, this one not counted.
    pub template_attempts: u64,
    /// How many attempts must end well before the phase is complete.
    pub samples_target: u64,
    /// How many attempts may fail before the phase has failed.
    pub failures_max: u64,
}

/// Where a phase stands after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PhaseState {
    /// Waits for its next attempt.
    Queued,
    /// Done.
    Complete,
    /// Given up.
    Failed,
}

impl PhaseState {
    /// As the column spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Complete => "COMPLETE",
            Self::Failed => "FAILED",
        }
    }
}

/// The one account of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    /// The drain that made it.
    pub session_id: String,
    /// How it ended: `success`, `failed`, `truncated` or `timed_out`.
    pub outcome: &'static str,
    /// Why, as a stable word; `None` for success.
    pub reason: Option<&'static str>,
    /// Why, for people.
    pub detail: Option<String>,
    /// Which executor.
    pub outcome_source: &'static str,
    /// Whether the deliverables were verified.
    pub verified: bool,
    /// Where the phase stands now.
    pub state: PhaseState,
    /// Tokens that the attempt used, input and output.
    pub tokens_used: u64,
    /// When it began.
    pub started_at: Stamp,
    /// When it ended.
    pub finished_at: Stamp,
}

/// What became of the attempt's event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventWrite {
    /// It is in the database, under this number.
    Written(i64),
    /// It is not, and why.
    NotWritten(Rejection),
}

/// A run to seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// Its id.
    pub run_id: String,
    /// What it is for.
    pub goal: String,
    /// Tokens it may use.
    pub token_cap: u64,
    /// Phases it may have.
    pub phases_max: u64,
    /// Minutes it may take.
    pub duration_minutes_max: u64,
    /// Name of its one tier.
    pub tier_name: String,
    /// Its phases, in order.
    pub phases: Vec<NewPhase>,
}

/// A phase to seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPhase {
    /// Its id within the run.
    pub phase_id: String,
    /// Its name.
    pub name: String,
    /// What to do.
    pub description: String,
    /// Category as the catalogue spells it.
    pub category: String,
    /// Complexity as the catalogue spells it.
    pub complexity: String,
    /// What it may touch and must deliver.
    pub scope: Scope,
    /// How many attempts must end well.
    pub samples_target: u64,
}

/// How the phases of a run split, as counted in the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Distribution {
    /// All phases.
    pub phases: u64,
    /// By category.
    pub by_category: BTreeMap<String, u64>,
    /// By complexity.
    pub by_complexity: BTreeMap<String, u64>,
    /// By `category/complexity`.
    pub by_stratum: BTreeMap<String, u64>,
    /// By number of deliverables.
    pub by_deliverables: BTreeMap<u64, u64>,
    /// By state.
    pub by_state: BTreeMap<String, u64>,
}

/// Usable samples of one stratum: successful, verified, not truncated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StratumCount {
    /// Category as stored.
    pub category: String,
    /// Complexity as stored.
    pub complexity: String,
    /// Number of deliverables.
    pub deliverables: u64,
    /// How many samples.
    pub samples: u64,
}

/// Why the tables could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another owner has the phase by now, or it left the state EXECUTING.
    #[error("the lease on {0} was lost; nothing was written")]
    LeaseLost(PhaseKey),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The tables of runs, phases, leases, attempts and events.
pub trait Store {
    /// Puts phases whose lease has expired back to QUEUED and says which.
    fn recover_stale(&mut self, now: Stamp) -> Result<Vec<PhaseKey>, StoreError>;

    /// How many phases wait.
    fn queued(&mut self, selection: &Selection) -> Result<u64, StoreError>;

    /// How many phases are being worked on, by anyone.
    fn executing(&mut self, selection: &Selection) -> Result<u64, StoreError>;

    /// Claims the next waiting phase: fewest attempts first, then by tier, index and age.
    fn claim_next(
        &mut self,
        selection: &Selection,
        owner: &str,
        now: Stamp,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError>;

    /// Gives a claim back as if it had not been made.
    fn release(&mut self, claim: &Claim, now: Stamp) -> Result<(), StoreError>;

    /// Ends an attempt: its account, its event and the state of the phase in one transaction. An event that
    /// the database rejects is not an error; the reason comes back.
    fn finish(
        &mut self,
        claim: &Claim,
        record: &AttemptRecord,
        event: Result<&EventRow, Rejection>,
    ) -> Result<EventWrite, StoreError>;

    /// Marks the runs whose phases have all ended.
    fn settle_runs(&mut self, now: Stamp) -> Result<(), StoreError>;

    /// Inserts a run with its tier and phases, or nothing; `false` when the run exists already.
    fn insert_run(&mut self, run: &NewRun, now: Stamp) -> Result<bool, StoreError>;

    /// The ids of all runs, sorted.
    fn run_ids(&mut self) -> Result<Vec<String>, StoreError>;

    /// How the phases split: of one run, or of all.
    fn distribution(&mut self, run_id: Option<&str>) -> Result<Distribution, StoreError>;

    /// Usable samples by stratum.
    fn sample_counts(&mut self) -> Result<Vec<StratumCount>, StoreError>;
}
