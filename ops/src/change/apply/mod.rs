//! Applying a list of changes to a target: guarded, in batches, journaled, resumable, and read back at the end.
//!
//! A run has no choices left: what it does is in the plan, how it goes is in [`Settings`]. It never overwrites a row
//! that is not what the plan saw; that is the target's compare-and-swap, and everything here rests on it. A
//! rollback is a run like any other, over the changes that undo another run.

mod context;
#[cfg(test)]
pub(crate) mod double;
mod feed;
mod finish;
mod past;
mod plan;
mod preview;
mod readback;
mod report;
mod runner;
pub(crate) mod seat;
mod session;
mod settings;
mod sizing;

#[cfg(test)]
pub(crate) mod tests;

use std::path::Path;

pub use self::context::{Context, Expect, Job, Progress, State, Why};
pub use self::feed::{ChangeIter, Changes};
pub use self::plan::{AGE_MAX, Gate, Order, apply, preview_plan};
pub use self::preview::Preview;
pub use self::readback::{Problem, Written};
pub use self::report::{End, Replan, RunReport, Seconds, Verification};
pub use self::session::Effort;
pub use self::settings::{BatchRows, Budget, OnDrift, Retry, Settings};

use self::feed::Feed;
pub(crate) use self::past::{JOURNAL, Past};
pub(crate) use self::plan::{APPLY, ROLLBACK, require_target, script};
pub(crate) use self::readback::{applied, standings};
use self::runner::Runner;
use self::seat::Seat;
pub(crate) use self::session::Session;
use self::sizing::Sizing;
use super::error::RunError;
use super::journal::{self, Durability, Found, Journal};
use super::lock::PlanLock;
use super::throttle::Throttle;
use crate::guard::Refusal;
use crate::target::{Outcome, RunState, Target, TargetError};

/// Whether a run may find that it was begun before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It must be the first time.
    Fresh,
    /// It must not be. `is_approved` lets it go on after a canary.
    Resume {
        /// Whether somebody approved what the canary did.
        is_approved: bool,
    },
    /// Either.
    Either,
}

/// What the caller adds to a run.
#[derive(Default)]
pub struct Hooks<'a> {
    /// The lock of the plan directory, when the caller holds it: then a lease that a killed runner of this directory
    /// left in the target is given back at once.
    pub lock: Option<&'a PlanLock>,
    /// A last look once the table is held by this run, before the first row.
    pub begun: Option<Begun<'a>>,
    /// Plans again at the end.
    pub plan_again: Option<PlanAgain<'a>>,
}

impl std::fmt::Debug for Hooks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

/// Looks at the target and may refuse to go on.
pub type Begun<'a> = &'a mut dyn FnMut(&mut dyn Target) -> Result<(), TargetError>;

/// Plans again after everything was applied, and says what is left to do.
pub type PlanAgain<'a> = &'a mut dyn FnMut(&mut dyn Target) -> Result<Replan, RunError>;

/// Runs a job to its end or to a reason to stop, and writes `outcomes.ndjson`, `report.json` and `report.md` beside
/// its journal. The guards that concern the plan come before this.
///
/// An error means that nothing was sent, or that not even the report could be written.
pub fn run(
    job: &Job<'_>,
    settings: &Settings,
    start: Start,
    context: &mut Context<'_>,
    hooks: Hooks<'_>,
) -> Result<RunReport, RunError> {
    let path = job.folder.join(JOURNAL);
    let known = journal::peek(&path, &job.header())?;
    if let Some(closed) = known.as_ref().filter(|found| found.is_closed) {
        return Ok(RunReport::already(job, closed, context.pace.now()));
    }
    check_start(start, known.as_ref(), settings, job)?;
    let started_at = context.pace.now();
    let mut session = Session::new(context, settings, job.run, job.changes.total());
    if let Some(lock) = hooks.lock {
        session.sit(Seat::of(lock), &job.layout.table).map_err(not_begun)?;
    }
    let state = session.begin(&job.layout.table).map_err(not_begun)?;
    let opened = match hooks.begun {
        Some(begun) => session.ask(begun).map_err(not_begun),
        None => Ok(()),
    }
    .and_then(|()| open(&mut session, job, start, known.is_some(), &state, &path));
    let (mut journal, found, recovered) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            if !state.is_closed {
                let _ = session.close(&job.layout.table, false);
            }
            return Err(error);
        }
    };
    let facts = finish::Facts { started_at, torn: found.torn, recovered, was_closed: state.is_closed };
    let (stopped, ran) = if state.is_closed {
        (None, Ran { before: found.next, found, seconds: 0.0 })
    } else {
        work(&mut session, job, &mut journal, start, &found)?
    };
    finish::finish(&mut session, job, journal, stopped, &ran, &facts, hooks.plan_again)
}

/// What a run has come to when it ends.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) found: Found,
    /// Rows that had an outcome before.
    pub(crate) before: u64,
    /// Seconds that batches took.
    pub(crate) seconds: f64,
}

/// Sends what is left.
fn work(
    session: &mut Session<'_, '_>,
    job: &Job<'_>,
    journal: &mut Journal,
    start: Start,
    found: &Found,
) -> Result<(Option<Why>, Ran), RunError> {
    let settings = session.settings;
    let capabilities = session.context.target.capabilities();
    if found.canary.is_some() && !found.is_approved && matches!(start, Start::Resume { is_approved: true }) {
        journal.approved(session.context.pace.now())?;
    }
    session.start_at(found.next);
    let mut runner = Runner {
        job,
        journal,
        sizing: Sizing::new(settings.batch, capabilities.batch_rows_max),
        throttle: Throttle::new(settings.limits.clone()),
        tally: found.tally,
        next: found.next,
        canary: settings.canary.map(std::num::NonZero::get).filter(|_| found.canary.is_none()),
        has_books: capabilities.books_in_target,
        already: Vec::new(),
        session,
    };
    let stopped = std::thread::scope(|scope| {
        let mut feed = Feed::start(scope, job.changes.read(found.next)?);
        runner.run(&mut feed, found.in_doubt.clone())
    });
    let after = Found { next: runner.next, tally: runner.tally, ..found.clone() };
    let ran = Ran { found: after, before: found.next, seconds: session.seconds() };
    Ok((stopped.err(), ran))
}

/// What a table that could not be taken means: nothing has happened yet.
pub(crate) fn not_begun(why: Why) -> RunError {
    match why {
        Why::Error(error) => error,
        Why::Lost(who) => Refusal::new("another runner holds the table", "nobody else at work on it", who)
            .next("wait until it has ended; the lease of a runner that was killed runs out by itself, and is given back at once by a runner on the same plan directory")
            .into(),
        other => TargetError::failed("begin the run", other.to_string()).into(),
    }
}

fn check_start(
    start: Start,
    known: Option<&Found>,
    settings: &Settings,
    job: &Job<'_>,
) -> Result<(), Refusal> {
    let Some(found) = known else { return Ok(()) };
    let is_begun = found.next > 0 || found.in_doubt.is_some();
    let direction = &job.run.direction;
    if start == Start::Fresh && is_begun {
        return Err(begun(direction, found.next, job.changes.total()));
    }
    let may_fail = settings.budget.rows(job.changes.total());
    if found.tally.failed > may_fail {
        let found = format!("{} failed", found.tally.failed);
        return Err(Refusal::new("the error budget is used up", format!("at most {may_fail} failed"), found)
            .next("raise the error budget to go on past the rows that failed"));
    }
    let is_approved = found.is_approved || matches!(start, Start::Resume { is_approved: true });
    match found.canary {
        Some(canary) if !is_approved => Err(Refusal::new(
            "the canary is not approved",
            "an approval to go on",
            format!(
                "{} rows applied, {} read back as written, {} altered",
                canary.rows, canary.verified, canary.altered
            ),
        )
        .next("look at those rows, then resume with the approval")),
        _ => Ok(()),
    }
}

fn begun(direction: &str, next: u64, total: u64) -> Refusal {
    Refusal::new(
        format!("this {direction} was begun before"),
        "a first run",
        format!("{next} of {total} changes have an outcome"),
    )
    .next("go on with `--resume`")
}

/// Opens the journal and brings it in line with the target's books; gives back how many rows it got from there.
fn open(
    session: &mut Session<'_, '_>,
    job: &Job<'_>,
    start: Start,
    is_known: bool,
    state: &RunState,
    path: &Path,
) -> Result<(Journal, Found, u64), RunError> {
    let has_books = session.context.target.capabilities().books_in_target;
    let books = if has_books { state.next } else { 0 };
    if start == Start::Fresh && books > 0 {
        return Err(begun(&job.run.direction, books, job.changes.total()).into());
    }
    if matches!(start, Start::Resume { .. }) && !is_known && books == 0 && !state.is_closed {
        return Err(Refusal::new(
            "there is nothing to resume",
            "a run that was begun",
            "neither journal nor books",
        )
        .next("start it without `--resume`")
        .into());
    }
    let durability = if has_books { Durability::Relaxed } else { Durability::Strict };
    let (mut journal, found) = Journal::open(path, &job.header(), durability)?;
    let mut found = found.unwrap_or_default();
    if !has_books {
        return Ok((journal, found, 0));
    }
    if books < found.accepted {
        return Err(Refusal::new(
            "the target's books know less than the journal",
            format!("at least {} changes in the books", found.accepted),
            format!("{books} changes"),
        )
        .next("find out whether the database was restored from a backup; if so, make a new plan")
        .into());
    }
    let mut recovered = recover(session, job, &mut journal, &mut found, books)?;
    if state.is_closed {
        // The run is over: what the books do not have, the target refused.
        let left = job.changes.total().saturating_sub(found.next);
        recovered += left;
        for _ in 0..left {
            put(&mut journal, &mut found, &[lost_reason()], session)?;
        }
    }
    Ok((journal, found, recovered))
}

/// Writes into the journal what the books know beyond it.
pub(crate) fn recover(
    session: &mut Session<'_, '_>,
    job: &Job<'_>,
    journal: &mut Journal,
    found: &mut Found,
    books: u64,
) -> Result<u64, RunError> {
    let from = found.next;
    while found.next < books {
        let (run, at) = (job.run, found.next);
        let batches = session.ask(|target| target.recorded(run, at)).map_err(not_begun)?;
        let Some(last) = batches.last() else { return Err(unknown(at, books).into()) };
        if last.first + (last.outcomes.len() as u64) <= at {
            return Err(unknown(at, books).into());
        }
        for batch in batches {
            let gap = batch.first.checked_sub(found.next).ok_or_else(|| unknown(at, books))?;
            for _ in 0..gap {
                put(journal, found, &[lost_reason()], session)?;
            }
            put(journal, found, &batch.outcomes, session)?;
        }
    }
    Ok(found.next - from)
}

/// Writes outcomes into the journal that the run had before.
fn put(
    journal: &mut Journal,
    found: &mut Found,
    outcomes: &[Outcome],
    session: &Session<'_, '_>,
) -> Result<(), RunError> {
    let pace = &session.context.pace;
    journal.done(found.next, outcomes, pace.now(), pace.elapsed())?;
    for outcome in outcomes {
        found.tally.count(outcome);
    }
    found.next += outcomes.len() as u64;
    Ok(())
}

/// A change that the books leave out: the target refused it, and why was in a journal that is gone.
fn lost_reason() -> Outcome {
    Outcome::Failed { reason: "refused by the database; the reason is lost with the journal".to_owned() }
}

fn unknown(at: u64, books: u64) -> Refusal {
    Refusal::new(
        "the target's books do not add up",
        format!("the outcomes of changes {at} to {books}"),
        "others, or none",
    )
    .next("look at the table `ops_change_batches` of the target")
}
