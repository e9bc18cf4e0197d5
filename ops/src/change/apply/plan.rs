//! Applying a plan: every guard that can stop it before the first row, and the run.

use std::path::Path;
use std::time::Duration;

use super::context::{Context, Expect, Job};
use super::feed::{ChangeIter, Changes};
use super::past::Past;
use super::preview::{Preview, preview};
use super::report::RunReport;
use super::session::Session;
use super::settings::Settings;
use super::{Hooks, PlanAgain, Start, not_begun, run};
use crate::change::error::RunError;
use crate::change::gate::GateError;
use crate::change::journal;
use crate::change::lock::PlanLock;
use crate::change::plan::{Layout, PlanDir, names};
use crate::change::sql::{self, About, Undone};
use crate::clock::Stamp;
use crate::files::AtomicFile;
use crate::guard::Refusal;
use crate::target::schema::{Column, Table};
use crate::target::{Outcome, RunId, TargetIdentity};

/// The direction of a run that applies, and the name of its folder.
pub(crate) const APPLY: &str = "apply";
/// The direction of the first run that rolls back; further ones are `rollback-2`, `rollback-3`, …
pub(crate) const ROLLBACK: &str = "rollback";

/// Decides whether an approval is there; asked after everything about plan and target was found right.
pub type Gate<'a> = &'a mut dyn FnMut(&PlanDir, &TargetIdentity) -> Result<(), GateError>;

/// What a person ordered.
pub struct Order<'a> {
    /// Whether it is the first time.
    pub start: Start,
    /// How old the plan may be when it is applied for the first time.
    pub age_max: Duration,
    /// Whether it is approved.
    pub gate: Gate<'a>,
    /// Plans again at the end.
    pub plan_again: Option<PlanAgain<'a>>,
}

impl std::fmt::Debug for Order<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Order").field("start", &self.start).finish_non_exhaustive()
    }
}

/// The default of [`Order::age_max`].
pub const AGE_MAX: Duration = Duration::from_hours(24);

impl Changes for PlanDir {
    fn total(&self) -> u64 {
        self.len()
    }

    fn read(&self, position: u64) -> Result<ChangeIter<'_>, RunError> {
        Ok(Box::new(self.changes_from(position)?.map(|change| change.map_err(RunError::from))))
    }
}

/// Applies a plan, whose seal was checked when it was opened. Writes `apply/rollback.sql` from what was really
/// stored, whatever the end.
pub fn apply(
    plan: &PlanDir,
    settings: &Settings,
    order: Order<'_>,
    context: &mut Context<'_>,
) -> Result<RunReport, RunError> {
    let folder = plan.run_dir(APPLY);
    let run_id = RunId { plan: plan.id().to_owned(), direction: APPLY.to_owned() };
    plan.require_applyable()?;
    if order.start == Start::Fresh {
        require_fresh(plan, order.age_max, context.pace.now())?;
    }
    let identity = {
        let mut session = Session::new(context, settings, &run_id, plan.len());
        require_target(plan, &mut session)?
    };
    (order.gate)(plan, &identity)?;
    let lock = PlanLock::take(plan.runs())?;
    require_not_rolled_back(plan)?;
    let job = job(plan, &run_id, &identity, &folder);
    if plan.is_empty() {
        return Ok(RunReport::nothing(&job, "the plan changes nothing", context.pace.now()));
    }
    {
        let mut session = Session::new(context, settings, &run_id, plan.len());
        require_throttle_query(settings, &mut session)?;
        require_no_rollback_in_books(plan, &mut session)?;
    }
    let plan_again = order.plan_again.map(|again| again as PlanAgain<'_>);
    let hooks = Hooks { lock: Some(&lock), plan_again, begun: None };
    let report = run(&job, settings, order.start, context, hooks)?;
    write_script(plan, &job, &report)?;
    Ok(report)
}

/// Shows exactly what [`apply`] would send now, with reads alone: counts for every batch, the first `rows` rows whole.
pub fn preview_plan(
    plan: &PlanDir,
    settings: &Settings,
    context: &mut Context<'_>,
    rows: usize,
) -> Result<Preview, RunError> {
    let run_id = RunId { plan: plan.id().to_owned(), direction: APPLY.to_owned() };
    let identity = {
        let mut session = Session::new(context, settings, &run_id, plan.len());
        require_target(plan, &mut session)?
    };
    let folder = plan.run_dir(APPLY);
    preview(&job(plan, &run_id, &identity, &folder), settings, context, rows)
}

fn job<'a>(plan: &'a PlanDir, run: &'a RunId, identity: &'a TargetIdentity, folder: &'a Path) -> Job<'a> {
    Job {
        layout: plan.layout(),
        run,
        changes: plan,
        identity,
        digest: None,
        keys: None,
        left_out: &[],
        is_whole: false,
        folder,
        expect: Expect::Stored,
    }
}

/// Writes the way back from what is written, unless nothing was and it is there.
fn write_script(plan: &PlanDir, job: &Job<'_>, report: &RunReport) -> Result<(), RunError> {
    let path = job.folder.join(names::ROLLBACK);
    if report.is_old && path.exists() {
        return Ok(());
    }
    let reached = report.ledger.total - report.ledger.count("not_reached");
    script(plan, job.layout, job.folder, reached, false, &path)
}

/// The way back from what a run in `folder` has written, as a script for the table of `layout`.
pub(crate) fn script(
    plan: &PlanDir,
    layout: &Layout,
    folder: &Path,
    reached: u64,
    is_for_clone: bool,
    path: &Path,
) -> Result<(), RunError> {
    let target = plan.target();
    let about = About {
        plan: plan.id(),
        created_at: &plan.facts().created_at,
        target: &target,
        what: "It takes back what a run has really written, as it was stored.",
        is_for_clone,
    };
    let written = |done: Result<super::past::Done, RunError>| match done {
        Ok(done) => match done.outcome {
            Outcome::Applied { stored } => Some(Ok((done.change, stored))),
            _ => None,
        },
        Err(error) => Some(Err(error)),
    };
    let mut counts = Undone::default();
    for done in Past::open(plan, folder, reached)? {
        if let Some(change) = written(done) {
            counts.count(&change?.0);
        }
    }
    let mut file = AtomicFile::create(path)?;
    let changes = Past::open(plan, folder, reached)?.filter_map(written);
    sql::rollback(&about, layout, counts, changes, &mut |piece| Ok(file.write(piece)?))?;
    Ok(file.commit()?)
}

fn require_fresh(plan: &PlanDir, age_max: Duration, now: Stamp) -> Result<(), Refusal> {
    let created_at = &plan.facts().created_at;
    let age = Stamp::parse(created_at).map(|created| now.since(created));
    if age.is_some_and(|age| age <= age_max) {
        return Ok(());
    }
    let hours = |span: Duration| format!("{:.1} hours", span.as_secs_f64() / 3600.0);
    Err(Refusal::new(
        format!("plan {} is too old", plan.short()),
        format!("at most {} old", hours(age_max)),
        age.map_or_else(|| format!("made at `{created_at}`"), hours),
    )
    .next("make a new plan, or check this one with `cargo xtask plan check` and allow it a larger age"))
}

/// The target is the plan's: the same database, and a table that looks as it did.
pub(crate) fn require_target(
    plan: &PlanDir,
    session: &mut Session<'_, '_>,
) -> Result<TargetIdentity, RunError> {
    let live = session.ask(|target| target.identity()).map_err(not_begun)?;
    let planned = plan.target();
    let facts = |t: &TargetIdentity| {
        let lineage = t.lineage.as_ref().map(|lineage| (lineage.id.clone(), lineage.purpose.clone()));
        (t.driver.clone(), t.fingerprint.clone(), lineage)
    };
    if facts(&live) != facts(&planned) {
        let what = format!("plan {} is for another database", plan.short());
        return Err(Refusal::new(what, show(&planned), show(&live))
            .next("name the database of the plan, or make a plan for this one")
            .into());
    }
    let expected = &plan.layout().table;
    let name = &expected.name;
    let found = session.ask(|target| target.table(name)).map_err(not_begun)?;
    if found.digest() != expected.digest() {
        let (expected, found) = difference(expected, &found);
        let what = format!("table {name} is not what it was when plan {} was made", plan.short());
        return Err(Refusal::new(what, expected, found).next("make a new plan").into());
    }
    Ok(live)
}

fn show(target: &TargetIdentity) -> String {
    let lineage = target.lineage.as_ref().map_or_else(
        || "no lineage".to_owned(),
        |lineage| format!("lineage {} ({})", lineage.id, lineage.purpose),
    );
    format!("{} {}, fingerprint {}, {lineage}", target.driver, target.url, target.fingerprint)
}

/// The first thing in which two tables differ.
fn difference(expected: &Table, found: &Table) -> (String, String) {
    let columns = expected.columns.len().max(found.columns.len());
    for at in 0..columns {
        let (expected, found) = (expected.columns.get(at), found.columns.get(at));
        if expected != found {
            return (describe(at, expected), describe(at, found));
        }
    }
    let names = |table: &Table, key: &[usize]| {
        let names: Vec<&str> = key.iter().map(|i| &*table.columns[*i].name).collect();
        format!("({})", names.join(", "))
    };
    if expected.primary_key != found.primary_key {
        let show = |table: &Table| format!("primary key {}", names(table, &table.primary_key));
        return (show(expected), show(found));
    }
    let show = |table: &Table| {
        let keys: Vec<String> = table.unique.iter().map(|key| names(table, key)).collect();
        format!("{}, unique keys {}", table.name, keys.join(" "))
    };
    (show(expected), show(found))
}

fn describe(at: usize, column: Option<&Column>) -> String {
    let Some(column) = column else { return format!("no column {}", at + 1) };
    let null = if column.nullable { "" } else { " NOT NULL" };
    let default = column.default.as_ref().map(|d| format!(" DEFAULT {d}")).unwrap_or_default();
    format!("column {} `{}` {}{null}{default}, {:?}", at + 1, column.name, column.type_name, column.origin)
}

fn rolled_back(plan: &PlanDir) -> Refusal {
    Refusal::new(
        format!("plan {} was rolled back", plan.short()),
        "a plan that was not",
        "a rollback has changed rows",
    )
    .next("make a new plan: an id is applied once")
}

fn require_not_rolled_back(plan: &PlanDir) -> Result<(), RunError> {
    let path = plan.run_dir(ROLLBACK).join(super::past::JOURNAL);
    let Some(header) = journal::header(&path)? else { return Ok(()) };
    match journal::peek(&path, &header)? {
        Some(found) if found.next > 0 || found.in_doubt.is_some() => Err(rolled_back(plan).into()),
        _ => Ok(()),
    }
}

fn require_no_rollback_in_books(plan: &PlanDir, session: &mut Session<'_, '_>) -> Result<(), RunError> {
    let run = RunId { plan: plan.id().to_owned(), direction: ROLLBACK.to_owned() };
    let books = session.ask(|target| target.recorded(&run, 0)).map_err(not_begun)?;
    if books.is_empty() { Ok(()) } else { Err(rolled_back(plan).into()) }
}

/// A query that this target cannot answer would hold the run for ever.
fn require_throttle_query(settings: &Settings, session: &mut Session<'_, '_>) -> Result<(), RunError> {
    if let Some(query) = &settings.limits.query {
        session.ask(|target| target.measure(&query.sql)).map_err(not_begun)?;
    }
    Ok(())
}
