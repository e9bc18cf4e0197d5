//! Trying a plan on a clone of its table before anybody approves it: applied, looked at, taken back, by the very engine
//! that will do it in earnest.
//!
//! The clone is filled from the plan's own backup, which thereby is proven to be one, and never from the live table.
//! Nothing here writes to the plan's target. What a clone cannot show (other tables, other clients, rights) is said
//! in the report.

mod crash;
mod crashes;
mod expect;
mod report;
mod stand_in;
mod steps;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub use self::crash::{Deadly, Death, Errand};
pub use self::crashes::{CrashAt, Fate};
pub use self::report::{Crashes, Digests, Rehearsal, Shell};
use self::stand_in::StandIn;
use self::steps::Rehearsing;
use super::apply::{self, APPLY, Context, Order, PlanAgain, Retry, RunReport, Settings, Start, apply};
use super::error::RunError;
use super::lock::PlanLock;
use super::pace::RealPace;
use super::plan::PlanDir;
use super::rollback::{RollbackOrder, rollback};
use super::snapshot::BackupError;
use crate::clock::Clock;
use crate::files::{self, FileError};
use crate::ids::Ids;
use crate::target::scratch::Scratch;
use crate::target::{Target, TargetError};

/// The folder of a plan's rehearsal, beside its runs.
const FOLDER: &str = "rehearsal";
/// What it needs while it goes on, inside that folder.
const WORK: &str = "work";
/// The report for programs, and for people.
pub const REPORT_JSON: &str = "rehearsal.json";
/// See [`REPORT_JSON`].
pub const REPORT_MD: &str = "rehearsal.md";

/// Where the rehearsal of a plan writes its report.
pub fn folder(plan: &PlanDir) -> PathBuf {
    plan.path().join(FOLDER)
}

/// Where it keeps what it removes at its end, a clone in a file among it.
pub fn work(plan: &PlanDir) -> PathBuf {
    folder(plan).join(WORK)
}

/// Why a rehearsal did not come to an end. That a plan does not work is not among it: that is a result.
#[derive(Debug, thiserror::Error)]
pub enum RehearseError {
    /// A run, or a guard before it.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The backup could not be read.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// A process of the rehearsal could not be started, or ended in a way that it must not.
    #[error("a process of the rehearsal {0}")]
    Process(String),
    /// Somebody stopped it.
    #[error("the rehearsal was stopped; nothing of it is left but its report, if there was one before")]
    Stopped,
}

impl From<TargetError> for RehearseError {
    fn from(error: TargetError) -> Self {
        Self::Run(error.into())
    }
}

impl From<FileError> for RehearseError {
    fn from(error: FileError) -> Self {
        Self::Run(error.into())
    }
}

/// How it goes.
pub struct Ways<'a> {
    /// Rows in a batch, as for the run in earnest.
    pub settings: Settings,
    /// Plans again from the desired rows.
    pub plan_again: Option<PlanAgain<'a>>,
    /// Runs a script on the clone with psql or the sqlite3 shell.
    pub shell: &'a mut dyn FnMut(&Path) -> Shell,
    /// At which writes processes are killed.
    pub crash_at: CrashAt,
    /// Runs one process that calls [`errand`].
    pub process: &'a mut dyn FnMut(&Errand) -> Result<Fate, String>,
}

impl std::fmt::Debug for Ways<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ways").field("crash_at", &self.crash_at).finish_non_exhaustive()
    }
}

/// What it works with.
pub struct Tools<'a> {
    /// The time.
    pub clock: Clock,
    /// Where ids come from.
    pub ids: &'a mut Ids,
    /// Set when somebody wants it to end.
    pub stop: &'a AtomicBool,
    /// Hears what it does: a step in words, how much of it is done, and of how much.
    pub progress: &'a mut dyn FnMut(&str, u64, u64),
}

impl std::fmt::Debug for Tools<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tools").field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// Rehearses a plan on a clone, which is removed again however this ends, and writes the report. That the plan is
/// for a target that still looks as it did is for the caller to find out with [`require_target`], where it can.
pub fn rehearse(
    plan: &PlanDir,
    scratch: &mut dyn Scratch,
    ways: Ways<'_>,
    tools: Tools<'_>,
) -> Result<Rehearsal, RehearseError> {
    plan.require_applyable().map_err(RunError::from)?;
    let folder = folder(plan);
    files::create_dir(&folder)?;
    let _lock = PlanLock::take(&folder)?;
    let work = work(plan);
    clear(&work)?;
    files::create_dir(&work)?;
    let report = Rehearsal::new(plan, &scratch.place(), tools.clock.now());
    let plan = plan.clone().with_runs_in(&work);
    let mut rehearsing = Rehearsing { plan: &plan, scratch, ways, tools, work: &work, report };
    let went = rehearsing.steps();
    let removed = rehearsing.scratch.remove().map_err(RehearseError::from).and_then(|()| clear(&work));
    let mut report = rehearsing.report;
    went?;
    removed?;
    report.conclude(rehearsing.tools.clock.now());
    report.write(&folder)?;
    Ok(report)
}

/// Refuses when `target` is not the plan's, or its table is not as it was.
pub fn require_target(
    plan: &PlanDir,
    target: &mut dyn Target,
    clock: Clock,
    ids: &mut Ids,
    stop: &AtomicBool,
) -> Result<(), RunError> {
    let run = crate::target::RunId { plan: plan.id().to_owned(), direction: APPLY.to_owned() };
    let (settings, pace) = (Settings::default(), &mut RealPace::new(clock));
    let mut context = Context { target, pace, ids, stop, progress: &mut |_| () };
    apply::require_target(plan, &mut apply::Session::new(&mut context, &settings, &run, plan.len())).map(drop)
}

/// One process of a rehearsal: goes on with a run on the clone, and lets `die` end it where the errand says so.
pub fn errand(
    plan: &PlanDir,
    scratch: &dyn Scratch,
    errand: Errand,
    settings: &Settings,
    tools: Tools<'_>,
    die: &mut (dyn FnMut() + Send),
) -> Result<RunReport, RunError> {
    let plan = plan.clone().with_runs_in(&work(plan));
    let mut clone = stand_in(&plan, scratch)?;
    let mut target = Deadly::new(&mut clone, errand.death, die);
    let pace = &mut RealPace::new(tools.clock);
    let (ids, stop) = (tools.ids, tools.stop);
    let mut context = Context { target: &mut target, pace, ids, stop, progress: &mut |_| () };
    let settings = impatient(settings);
    if errand.is_rollback {
        take_back(&plan, &settings, true, &mut context)
    } else {
        go(&plan, &settings, None, &mut context)
    }
}

/// A clone is on this machine or beside it: there is nothing to wait for.
fn impatient(settings: &Settings) -> Settings {
    let first = Duration::from_millis(1);
    Settings { retry: Retry { first, ..settings.retry }, ..settings.clone() }
}

fn stand_in(plan: &PlanDir, scratch: &dyn Scratch) -> Result<StandIn, TargetError> {
    StandIn::new(scratch.open()?, &scratch.table(), plan.target(), plan.layout().table.clone())
}

fn go(
    plan: &PlanDir,
    settings: &Settings,
    plan_again: Option<PlanAgain<'_>>,
    context: &mut Context<'_>,
) -> Result<RunReport, RunError> {
    let plan_again = plan_again.map(|again| again as PlanAgain<'_>);
    let order = Order { start: Start::Either, age_max: Duration::MAX, gate: &mut |_, _| Ok(()), plan_again };
    apply(plan, settings, order, context)
}

fn take_back(
    plan: &PlanDir,
    settings: &Settings,
    in_batches: bool,
    context: &mut Context<'_>,
) -> Result<RunReport, RunError> {
    let order = RollbackOrder { keys: None, in_batches, gate: &mut |_, _| Ok(()) };
    rollback(plan, settings, order, context)
}

/// Removes a folder with everything in it; one that is not there is fine.
fn clear(folder: &Path) -> Result<(), RehearseError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError::new("remove", folder, error).into())
        }
        _ => Ok(()),
    }
}
