//! The steps of a rehearsal, one after the other on the same clone, each with what it has shown.

use std::path::Path;
use std::sync::atomic::Ordering;

use super::expect::{self, Seen, look};
use super::report::{Rehearsal, Shell};
use super::{CrashAt, RehearseError, Tools, Ways, clear, go, impatient, stand_in, take_back};
use crate::change::apply::{self, APPLY, Context, PlanAgain, Progress, ROLLBACK, RunReport, Settings, State};
use crate::change::error::RunError;
use crate::change::pace::RealPace;
use crate::change::plan::{self, CheckError, Layout, PlanDir, names};
use crate::change::snapshot::BackupReader;
use crate::report::Check;
use crate::target::scratch::{Made, Scratch};
use crate::text::thousands;
use crate::value::Row;

/// Rows that are loaded at once.
const LOAD_ROWS: usize = 1000;

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

/// A rehearsal that goes on.
pub(super) struct Rehearsing<'a, 'w, 't> {
    /// The plan, whose runs go into `work`.
    pub(super) plan: &'a PlanDir,
    pub(super) scratch: &'a mut dyn Scratch,
    pub(super) ways: Ways<'w>,
    pub(super) tools: Tools<'t>,
    pub(super) work: &'a Path,
    pub(super) report: Rehearsal,
}

impl Rehearsing<'_, '_, '_> {
    /// All of it, until something does not hold.
    pub(super) fn steps(&mut self) -> Result<(), RehearseError> {
        let before = self.fill()?;
        if !self.report.is_met() {
            return Ok(());
        }
        let is_good = self.apply_once(before)?;
        if is_good {
            self.script(before)?;
        }
        self.roll_back(before)?;
        if self.ways.crash_at != CrashAt::None && self.plan.is_empty() {
            self.report.not_tried.push("crashes: the plan writes nothing".to_owned());
        } else if self.ways.crash_at != CrashAt::None && self.report.is_met() {
            self.crashes(before)?;
        }
        Ok(())
    }

    pub(super) fn check(&mut self, claim: &str, met: bool, measured: impl Into<String>) {
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
    pub(super) fn live(&self) -> Result<(), RehearseError> {
        if self.tools.stop.load(Ordering::Relaxed) { Err(RehearseError::Stopped) } else { Ok(()) }
    }

    pub(super) fn look(&mut self) -> Result<Seen, RehearseError> {
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
    pub(super) fn again(&mut self) -> Result<(), RehearseError> {
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
