//! Draining: choose a phase, claim it, attempt it, account for it, until nothing is left or a limit is reached.
//!
//! Every attempt ends in exactly one outcome and its event either in the database or under a reason; both
//! ledgers must balance. A telemetry error never stops a drain. Being stopped leaves the phases in work as if they had
//! not been claimed.

mod attempt;
mod classify;
mod command;
mod escalation;
mod executor;
mod http;
mod hub;
pub mod journal;
mod limits;
mod milestones;
mod models;
mod queue;
mod recorded;
mod rekey;
mod report;
mod resume;
mod session;
pub mod simulate;
mod tally;
mod triage;
mod worker;
mod zero_yield;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub use classify::{Verdict, classify};
pub use command::CommandExecutor;
pub use executor::{Attempted, Execution, Executor, NotReserved, Order, Purse, Report, Status};
pub use http::{HttpExecutor, HttpOptions};
pub use journal::{History, Journal, JournalError};
pub use limits::{Limits, Settings};
pub use milestones::{Milestone, Milestones};
pub use models::{Api, ModelExecutor, ModelOptions};
pub use recorded::{Delivered, Recorded, Recording, Recordings};
pub use rekey::rekey;
pub use report::{DrainReport, HoldOut, SkippedRun};
pub use tally::{Failure, RunAccount};
pub use triage::TriagePolicy;
pub use worker::Worker;
pub use zero_yield::ZeroYield;

use crate::clock::Clock;
use crate::phases::{Store, StoreError};
use crate::telemetry::Flag;
use crate::tokens::estimator::Coefficients;
use hub::Hub;
use session::Session;

/// What a drain may do, and under which names.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Which phases, and how much of everything.
    pub settings: Settings,
    /// How long a lease lasts without being renewed.
    pub lease: Duration,
    /// Whether events are written.
    pub telemetry: Flag,
    /// Whether an event that the database refuses ends the session at once instead of being counted.
    pub telemetry_debug: bool,
    /// The name of this session in the database.
    pub session_id: String,
    /// Who holds the leases.
    pub owner: String,
    /// Which database, for the journal.
    pub database: String,
    /// A file that asks the session to stop when it appears.
    pub stop_file: Option<PathBuf>,
    /// What predictions are made with.
    pub coefficients: Coefficients,
}

/// Why a drain ended without an account.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The tables failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The database refused an event, and the session was told not to go on then. The attempt is accounted for.
    #[error("failed to write the event of {phase}: {why}")]
    Telemetry {
        /// Its run and phase.
        phase: String,
        /// What the database has against it.
        why: String,
    },
}

/// What a session is told and what it tells while it works.
pub struct Surroundings<'a> {
    /// What time it is.
    pub clock: Clock,
    /// Ends the session as soon as possible.
    pub stop: &'a AtomicBool,
    /// Is told after each claim how many attempts are done, how many there may be, and the phase.
    pub progress: &'a mut (dyn FnMut(u64, u64, &str) + Send),
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// Works off phases until nothing waits, a limit is reached or it is stopped. `control` sees to leases while the
/// workers attempt. With a journal every transition is on disk before the next attempt begins; `history` is what an
/// earlier process of the same session wrote there.
pub fn drain(
    control: &mut dyn Store,
    workers: Vec<Worker>,
    policy: &Policy,
    mut journal: Option<Journal>,
    history: &History,
    surroundings: Surroundings<'_>,
) -> Result<DrainReport, DrainError> {
    let Surroundings { clock, stop, progress } = surroundings;
    let source = workers.first().map_or("none", |worker| worker.executor.source());
    let mut report = DrainReport::new(policy, source, clock.now());
    report.cut.clone_from(&history.cut);
    report.resumed = resume::count(history);
    let mut session = Session::new(resume::settings(policy, history));
    let accounted =
        if history.lines.is_empty() { Vec::new() } else { control.session_attempts(&policy.session_id)? };
    report.recovered =
        resume::take_up(control, &mut session, policy, journal.as_mut(), history, clock, source)?;
    for attempt in &accounted {
        session.expect_row(attempt.phase_pk);
    }
    control.candidates(&policy.settings.selection, &mut |candidate| session.fill(&candidate))?;
    session.queue.settle();
    session.replay(&history.lines, &accounted);
    resume::settle(&mut session, policy, journal.as_mut(), history, &accounted, clock)?;
    let hub = Hub::new(session, journal, clock, progress);
    worker::run_all(control, workers, policy, clock, &hub, stop);
    let outcome = hub.finish()?;
    control.settle_runs(clock.now())?;
    report.left_waiting = control.waiting(&policy.settings.selection)?;
    report.left_executing = control.executing(&policy.settings.selection)?;
    report.finished_at = clock.now();
    report.close(outcome);
    Ok(report)
}
