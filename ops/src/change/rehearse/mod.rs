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

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use self::crash::{Deadly, Death, Errand};
pub use self::crashes::{CrashAt, Fate};
use self::expect::{Seen, look};
pub use self::report::{Crashes, Digests, Rehearsal, Shell};
use self::stand_in::StandIn;
use super::apply::{
    self, APPLY, Context, Order, PlanAgain, Progress, ROLLBACK, Retry, RunReport, Settings, Start, State,
    apply,
};
use super::error::RunError;
use super::lock::PlanLock;
use super::pace::RealPace;
use super::plan::{self, CheckError, Layout, PlanDir, names};
use super::rollback::{RollbackOrder, rollback};
use super::snapshot::{BackupError, BackupReader};
use crate::clock::Clock;
use crate::files::{self, FileError};
use crate::ids::Ids;
use crate::report::Check;
use crate::target::scratch::{Made, Scratch};
use crate::target::{Target, TargetError};
use crate::text::thousands;
use crate::value::Row;

/// The folder of a plan's rehearsal, beside its runs.
const FOLDER: &str = "rehearsal";
/// What it needs while it goes on, inside that folder.
const WORK: &str = "work";
/// The report for programs, and for people.
pub const REPORT_JSON: &str = "rehearsal.json";
/// See [`REPORT_JSON`].
pub const REPORT_MD: &str = "rehearsal.md";
/// Rows that are loaded at once.
const LOAD_ROWS: usize = 1000;

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

/// What a run did, and the first row that it did not do.
fn summary(report: &RunReport) -> String {
    let ended = report.ledger.ended.iter().filter(|(_, rows)| **rows > 0);
    let ended: Vec<String> = ended.map(|(how, rows)| format!("{} {how}", thousands(*rows))).collect();
    let summary = ended.join(", ").replace('_', " ");
    match (report.end, report.problems.first()) {
        (apply::End::Done, _) => summary,
        (_, Some(first)) => format!("{summary}; the first to look at {}: {}", first.what, first.detail),
        (_, None) => format!("{summary}; {}", report.why),
    }
}

struct Rehearsing<'a, 'w, 't> {
    /// The plan, whose runs go into `work`.
    plan: &'a PlanDir,
    scratch: &'a mut dyn Scratch,
    ways: Ways<'w>,
    tools: Tools<'t>,
    work: &'a Path,
    report: Rehearsal,
}

impl Rehearsing<'_, '_, '_> {
    fn steps(&mut self) -> Result<(), RehearseError> {
        let before = self.fill()?;
        if !self.report.is_met() {
            return Ok(());
        }
        let is_good = self.apply_once(before)?;
        if is_good {
            self.script(before)?;
        }
        self.roll_back(before)?;
        if self.report.is_met() && self.ways.crash_at != CrashAt::None {
            self.crashes(before)?;
        }
        Ok(())
    }

    fn check(&mut self, claim: &str, met: bool, measured: impl Into<String>) {
        self.report.checks.push(Check { claim: claim.to_owned(), met, measured: measured.into() });
    }

    /// Clones the table from the backup.
    fn fill(&mut self) -> Result<Seen, RehearseError> {
        let mut backup = BackupReader::open(&self.plan.path().join(names::BACKUP))?;
        let (certified, rows) = (backup.certificate().rows_digest.clone(), backup.certificate().rows);
        self.scratch.create()?;
        let mut chunk: Vec<Row> = Vec::with_capacity(LOAD_ROWS);
        let mut loaded = 0;
        for row in backup.rows() {
            chunk.push(row?.1);
            if chunk.len() == LOAD_ROWS {
                self.load(&mut chunk, &mut loaded, rows)?;
            }
        }
        self.load(&mut chunk, &mut loaded, rows)?;
        let Made { lacks } = self.scratch.finish()?;
        let clone = stand_in(self.plan, self.scratch)?;
        self.report.clone.rows = loaded;
        self.report.clone.lacks = lacks;
        self.report.clone.lacks.extend(clone.differences());
        let seen = self.look()?;
        self.report.digests.certificate.clone_from(&certified);
        self.report.digests.loaded = seen.whole.to_string();
        let met = self.report.digests.loaded == certified;
        self.check(
            "the clone holds what the backup's certificate says",
            met,
            format!("{} rows loaded from the backup", thousands(loaded)),
        );
        Ok(seen)
    }

    fn load(&mut self, chunk: &mut Vec<Row>, loaded: &mut u64, rows: u64) -> Result<(), RehearseError> {
        self.live()?;
        if !chunk.is_empty() {
            self.scratch.load(chunk)?;
            *loaded += chunk.len() as u64;
            chunk.clear();
        }
        (self.tools.progress)("cloning", *loaded, rows);
        Ok(())
    }

    /// Whether it shall go on.
    fn live(&self) -> Result<(), RehearseError> {
        if self.tools.stop.load(Ordering::Relaxed) { Err(RehearseError::Stopped) } else { Ok(()) }
    }

    fn look(&mut self) -> Result<Seen, RehearseError> {
        self.live()?;
        let mut clone = stand_in(self.plan, self.scratch)?;
        Ok(look(&mut clone, self.plan.layout())?)
    }

    /// Runs something on the clone.
    fn run<T>(
        &mut self,
        step: &'static str,
        work: impl FnOnce(&PlanDir, &Settings, Option<PlanAgain<'_>>, &mut Context<'_>) -> Result<T, RunError>,
    ) -> Result<T, RehearseError> {
        self.live()?;
        let mut clone = stand_in(self.plan, self.scratch)?;
        let Tools { clock, ids, stop, progress } = &mut self.tools;
        let mut context = Context {
            target: &mut clone,
            pace: &mut RealPace::new(*clock),
            ids,
            stop,
            progress: &mut |Progress { done, total, state, .. }| {
                let step = if *state == State::Verifying { "reading back" } else { step };
                progress(step, *done, *total);
            },
        };
        let again = self.ways.plan_again.as_mut().map(|again| &mut **again as PlanAgain<'_>);
        let done = work(self.plan, &impatient(&self.ways.settings), again, &mut context)?;
        self.live()?;
        Ok(done)
    }

    /// Applies and compares with what the plan wants; whether all is well.
    fn apply_once(&mut self, before: Seen) -> Result<bool, RehearseError> {
        let report = self.run("applying", go)?;
        self.check(
            "every change was applied and reads back",
            report.end == apply::End::Done,
            summary(&report),
        );
        self.report.problems.clone_from(&report.problems);
        let seen = self.look()?;
        let reached = report.ledger.total - report.ledger.count("not_reached");
        let desired = expect::desired(self.plan, before.planned, &self.work.join(APPLY), reached)?;
        self.report.digests.desired = desired.digest.to_string();
        self.report.digests.applied = seen.planned.to_string();
        let otherwise =
            desired.otherwise.iter().map(|(name, rows)| format!("`{name}` in {} rows", thousands(*rows)));
        let measured = match otherwise.collect::<Vec<_>>() {
            none if none.is_empty() => format!("{} rows", thousands(seen.planned.rows())),
            some => format!("the database stored something else: {}", some.join(", ")),
        };
        self.check("the table is what the plan wants", desired.digest == seen.planned, measured);
        self.report.ledger = report.ledger;
        self.nothing_left()?;
        Ok(self.report.is_met())
    }

    /// Asks of every change again whether there is something to do.
    fn nothing_left(&mut self) -> Result<(), RehearseError> {
        let mut clone = stand_in(self.plan, self.scratch)?;
        let found = plan::check(self.plan, &mut clone).map_err(|error| match error {
            CheckError::Plan(error) => RunError::from(error),
            CheckError::Target(error) => error.into(),
            CheckError::Refused(refusal) => refusal.into(),
        })?;
        let measured = format!(
            "of {} changes {} are done, {} are to do, {} drifted",
            thousands(found.changes),
            thousands(found.already),
            thousands(found.fresh),
            thousands(found.drifted)
        );
        self.check("planned again, there is nothing left to do", found.already == found.changes, measured);
        Ok(())
    }

    /// Takes everything back with the script, as somebody would who has nothing but psql or the sqlite3 shell, and
    /// applies again.
    fn script(&mut self, before: Seen) -> Result<(), RehearseError> {
        const CLAIM: &str = "the script takes it back, and it can be applied again";
        (self.tools.progress)("taking back by script", 0, self.plan.len());
        let clone = stand_in(self.plan, self.scratch)?;
        let plan = self.plan.layout();
        let layout = Layout::new(clone.real.clone(), plan.columns.clone(), plan.key.clone());
        let layout = layout.expect("the clone has the columns of the plan");
        drop(clone);
        let path = self.work.join(names::ROLLBACK);
        apply::script(self.plan, &layout, &self.work.join(APPLY), self.plan.len(), true, &path)?;
        let shell = (self.ways.shell)(&path);
        let program = match &shell {
            Shell::Missing(program) => {
                self.report.not_tried.push(format!("rollback.sql: there is no {program} here"));
                return Ok(());
            }
            Shell::Failed { program, said } => {
                self.check(CLAIM, false, format!("{program}: {said}"));
                return Ok(());
            }
            Shell::Done(program) => program.clone(),
        };
        let seen = self.look()?;
        self.report.digests.by_script = Some(seen.whole.to_string());
        self.again()?;
        let report =
            self.run("applying again", |plan, settings, _, context| go(plan, settings, None, context))?;
        let desired = expect::desired(self.plan, before.planned, &self.work.join(APPLY), self.plan.len())?;
        let applied = self.look()?;
        let is_met = seen == before && report.end == apply::End::Done && applied.planned == desired.digest;
        self.check(CLAIM, is_met, format!("rollback.sql by {program}"));
        Ok(())
    }

    /// Forgets the runs so far.
    fn again(&mut self) -> Result<(), RehearseError> {
        self.scratch.forget()?;
        clear(&self.work.join(APPLY))?;
        clear(&self.work.join(ROLLBACK))
    }

    fn roll_back(&mut self, before: Seen) -> Result<(), RehearseError> {
        let report =
            self.run("taking back", |plan, settings, _, context| take_back(plan, settings, false, context))?;
        let seen = self.look()?;
        self.report.digests.rolled_back = Some(seen.whole.to_string());
        let is_met = report.end == apply::End::Done && seen == before;
        let measured = if report.end == apply::End::Done {
            format!("{} rows taken back", thousands(report.ledger.count("applied")))
        } else {
            let measured = summary(&report);
            self.report.problems.extend(report.problems);
            measured
        };
        self.check("rolled back, the table is what it was", is_met, measured);
        Ok(())
    }
}
