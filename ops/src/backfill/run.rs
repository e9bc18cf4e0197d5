//! A run over a plan: behind its gate, under its locks, from where the books stand to an end that is stated.
//!
//! What happens to one candidate is in `flight`. Here is when the next one may go, when to stop, and what is left
//! behind. Everything that waits looks at the stop flag and keeps the lease.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::BackfillError;
use super::flight::{Flight, Turn};
use super::image::{Images, Shape, read_all};
use super::journal::{self, Ended, Header, Journal, Past};
use super::plan::{BackfillDir, Candidate, Candidates, Effect, Facts};
use super::pool::Pool;
use super::rate::Rate;
use super::report::Report;
use super::script::{Script, free_name};
use crate::change::apply::End;
use crate::change::apply::seat::{Holder, Seat};
use crate::change::gate::GateError;
use crate::change::lock::PlanLock;
use crate::change::pace::Pace;
use crate::change::throttle::{Limits, Throttle};
use crate::clock::Stamp;
use crate::files;
use crate::guard::Refusal;
use crate::ids::Ids;
use crate::target::calls::Functions;
use crate::target::{RunId, Target, TargetError, TargetIdentity};

/// The books of a run, below the folder of its plan.
pub(super) const JOURNAL: &str = "apply/journal.ndjson";
/// Where the seed's artifacts go, below the folder of the plan.
pub const LOGS: &str = "backfill_logs";

/// How long the table is held without a sign of life.
pub(super) const LEASE: Duration = Duration::from_mins(10);
/// The longest wait before everything is looked at again.
const SLICE: Duration = Duration::from_secs(1);
/// Tries of a reading that the target is not available for.
const READS: u32 = 6;

/// How a run goes. What the plan says can be made slower here, never faster.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Candidates a minute, where that is less than the plan says.
    pub per_minute: Option<u32>,
    /// Calls a minute, where that is less than the plan says.
    pub calls_per_minute: Option<u32>,
    /// Candidates at once.
    pub concurrency: usize,
    /// Longest wait for one call, where it is not that of the plan.
    pub timeout: Option<Duration>,
    /// Failed candidates at which the run halts, where it is not that of the plan.
    pub errors_max: Option<u64>,
    /// Stop after so many candidates until somebody approved going on.
    pub canary: Option<u64>,
    /// What else may hold the run: a file, a query.
    pub limits: Limits,
    /// The first pause before a step is tried again; each further one is twice as long.
    pub pause: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            per_minute: None,
            calls_per_minute: None,
            concurrency: 1,
            timeout: None,
            errors_max: None,
            canary: None,
            limits: Limits::default(),
            pause: Duration::from_secs(2),
        }
    }
}

/// What a run works with.
pub struct Context<'a> {
    /// Where the rows are.
    pub target: &'a mut dyn Target,
    /// Where functions are called; a plan may call none.
    pub functions: &'a dyn Functions,
    /// Time.
    pub pace: &'a mut dyn Pace,
    /// Where ids and chance come from.
    pub ids: &'a mut Ids,
    /// Set when somebody wants the run to end.
    pub stop: &'a AtomicBool,
    /// Hears how it goes.
    pub progress: &'a mut dyn FnMut(&Progress),
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("pace", &self.pace).finish_non_exhaustive()
    }
}

impl Context<'_> {
    /// Reads, and reads again while the target is not available.
    pub(super) fn ask<T>(
        &mut self,
        mut ask: impl FnMut(&mut dyn Target) -> Result<T, TargetError>,
    ) -> Result<T, TargetError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match ask(self.target) {
                Err(TargetError::Transient { retry_after, .. }) if tries < READS => {
                    let pause = Duration::from_millis(100 << tries);
                    self.pace.sleep(retry_after.unwrap_or_default().max(pause).min(Duration::from_secs(30)));
                }
                answer => return answer,
            }
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn images(&mut self, shapes: &[Shape], candidate: &Candidate) -> Result<Images, TargetError> {
        self.ask(|target| read_all(target, shapes, &candidate.id))
    }
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Candidates that ended.
    pub done: u64,
    /// Candidates in all.
    pub total: u64,
    /// Candidates a minute since this process began; `None` before the first one ended.
    pub per_minute: Option<f64>,
    /// How long the rest takes at that pace.
    pub eta: Option<Duration>,
    /// Failed candidates.
    pub failed: u64,
    /// What it does: `working`, or why it waits.
    pub state: String,
}

/// What may be begun.
pub struct Order<'a> {
    /// Whether it goes on with a run that stopped.
    pub resume: bool,
    /// Whether going on after a canary was approved.
    pub is_approved: bool,
    /// Asked before anything is written.
    pub gate: &'a mut dyn FnMut(&BackfillDir, &TargetIdentity) -> Result<(), GateError>,
}

impl std::fmt::Debug for Order<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Order").field("resume", &self.resume).finish_non_exhaustive()
    }
}

/// Where the books of a plan are.
pub(super) fn journal_path(dir: &BackfillDir) -> PathBuf {
    dir.path().join(JOURNAL)
}

/// Refuses another database than that of the plan.
pub(super) fn require_target(facts: &Facts, found: &TargetIdentity) -> Result<(), Refusal> {
    let show = |identity: &TargetIdentity| {
        let lineage = identity.lineage.as_ref().map_or("no lineage", |lineage| lineage.id.as_str());
        format!("{} ({}, {lineage})", identity.url, identity.fingerprint)
    };
    let planned = &facts.target;
    let lineage = |identity: &TargetIdentity| identity.lineage.as_ref().map(|lineage| lineage.id.clone());
    if planned.fingerprint == found.fingerprint && lineage(planned) == lineage(found) {
        return Ok(());
    }
    Err(Refusal::new("the plan is for another database", show(planned), show(found))
        .next("name the right one"))
}

pub(super) fn shapes(target: &mut dyn Target, facts: &Facts) -> Result<Vec<Shape>, BackfillError> {
    facts.results.iter().map(|touched| Shape::open(target, touched)).collect()
}

/// Takes the table against other runners, giving back what a killed one left.
pub(super) fn take(
    target: &mut dyn Target,
    seat: &Seat,
    shape: &Shape,
    run: &RunId,
    (owner, now): (&str, Stamp),
) -> Result<crate::target::RunState, BackfillError> {
    let until = now.plus(LEASE);
    if target.capabilities().books_in_target
        && let Some(Holder { run, owner }) = seat.left_behind()
        && let Ok(state) = target.begin(&shape.table, &run, &owner, now, until)
        && !state.is_closed
    {
        target.close(&run, &owner, false)?;
    }
    seat.take(Holder { run: run.clone(), owner: owner.to_owned() })?;
    Ok(target.begin(&shape.table, run, owner, now, until)?)
}

/// Applies a plan, or goes on with it.
pub fn apply(
    dir: &BackfillDir,
    settings: &Settings,
    order: &mut Order<'_>,
    context: &mut Context<'_>,
) -> Result<Report, BackfillError> {
    let facts = dir.facts();
    let identity = context.target.identity()?;
    require_target(facts, &identity)?;
    if settings.limits.query.is_some() && identity.driver == "postgrest" {
        // A query that cannot be answered holds the run, and this one never could be.
        let refusal = Refusal::new("a REST API measures nothing", "a pause file", "a throttle query");
        return Err(refusal.next("name the database itself as --target, or use --pause-file").into());
    }
    let lock = PlanLock::take(dir.path())?;
    let shapes = shapes(context.target, facts)?;
    let path = journal_path(dir);
    let past = journal::read(&path, &shapes, facts.candidates)?;
    require_not_taken_back(dir)?;
    if past.as_ref().is_some_and(|past| past.is_closed) {
        return Report::finished(dir, &shapes);
    }
    may_begin(dir, past.as_ref(), order)?;
    (order.gate)(dir, &identity)?;
    let seat = Seat::of(&lock);
    let run = RunId { plan: dir.plan().id.clone(), direction: "backfill".to_owned() };
    let owner = context.ids.hex("owner", 8);
    let now = context.pace.now();
    let state = take(context.target, &seat, &shapes[0], &run, (&owner, now))?;
    if state.is_closed {
        let refusal =
            Refusal::new("the database knows this plan as applied", "its books in the folder", "none");
        return Err(refusal.next("restore the folder of the plan, or make a new plan").into());
    }
    let mut runner = Runner::open(dir, &shapes, settings, past, order.is_approved, context)?;
    runner.lease = Some(Lease { run, owner, until: now.plus(LEASE), position: state.next });
    let result = std::thread::scope(|scope| {
        let mut pool = Pool::new(scope, runner.context.functions, settings.concurrency);
        runner.drive(&mut pool)
    });
    let closed = runner.close(&result, &seat);
    let flushing = runner.flushing;
    let (end, why) = result?;
    closed?;
    Ok(Report { flushing, ..Report::write(dir, &shapes, end, &why, context)? })
}

/// A plan is applied once: what it wrote and took back is no longer what it froze.
fn require_not_taken_back(dir: &BackfillDir) -> Result<(), BackfillError> {
    if super::rollback::was_begun(dir) {
        let refusal =
            Refusal::new("this plan was taken back", "a plan that was not", "the books of a rollback");
        return Err(refusal.next("cargo xtask backfill plan makes a new one").into());
    }
    Ok(())
}

/// Whether the books allow what was ordered.
fn may_begin(dir: &BackfillDir, past: Option<&Past>, order: &Order<'_>) -> Result<(), BackfillError> {
    let next =
        |option: &str| format!("cargo xtask backfill apply --plan {} --apply {option}", dir.plan().short);
    match past {
        None if order.resume => Err(Refusal::new("there is nothing to resume", "a run that stopped", "none")
            .next(next(&format!("--approve {}", dir.plan().short)))
            .into()),
        Some(_) if !order.resume => {
            Err(Refusal::new("this plan was begun before", "a first run", "its books")
                .next(next("--resume"))
                .into())
        }
        Some(Past { canary: Some(_), is_approved: false, .. }) if !order.is_approved => {
            Err(BackfillError::NotMet(
                Refusal::new("the canary waits for approval", "somebody who looked at its rows", "nobody")
                    .next(next(&format!("--resume --approve {}", dir.plan().short))),
            ))
        }
        _ => Ok(()),
    }
}

/// The hold on the table.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) run: RunId,
    owner: String,
    until: Stamp,
    /// Where the next batch of a `set` step goes in the target's books.
    pub(super) position: u64,
}

/// A run that is under way.
pub(super) struct Runner<'r, 'c> {
    pub(super) dir: &'r BackfillDir,
    pub(super) shapes: &'r [Shape],
    pub(super) settings: &'r Settings,
    pub(super) context: &'r mut Context<'c>,
    pub(super) journal: Journal,
    pub(super) script: Script,
    pub(super) past: Past,
    pub(super) lease: Option<Lease>,
    pub(super) calls: Option<Rate>,
    pub(super) sessions: Rate,
    throttle: Throttle,
    list: Candidates,
    flights: Vec<Flight>,
    /// A candidate that was read and must wait.
    waiting: Option<Candidate>,
    /// Candidates that ended in this process.
    ended_now: u64,
    done: u64,
    failed: u64,
    began: Duration,
    /// Why nothing goes right now.
    holds: String,
    /// How long the books took to be on disk.
    flushing: Duration,
}

/// How a run ended, and why.
pub(super) type Ending = (End, String);

impl<'r, 'c> Runner<'r, 'c> {
    fn open(
        dir: &'r BackfillDir,
        shapes: &'r [Shape],
        settings: &'r Settings,
        past: Option<Past>,
        is_approved: bool,
        context: &'r mut Context<'c>,
    ) -> Result<Self, BackfillError> {
        let facts = dir.facts();
        let now = context.pace.now();
        let logs = dir.path().join(LOGS);
        files::create_dir(&logs)?;
        let header = past.as_ref().map(|past| past.header.clone());
        let header = header.unwrap_or_else(|| Header {
            plan: dir.plan().id.clone(),
            run: context.ids.hex("backfill", 8),
            at: now.db(),
            script: free_name(&logs, &now.db()[..10]),
            columns: shapes.iter().map(|shape| shape.names().map(str::to_owned).collect()).collect(),
        });
        if header.plan != dir.plan().id {
            return Err(Refusal::new("the books are of another plan", &dir.plan().short, &header.plan).into());
        }
        let path = journal_path(dir);
        let mut journal = Journal::open(&path, &header, past.as_ref(), now)?;
        let script = rebuilt(&logs.join(&header.script), dir, shapes, &header, &path)?;
        let begun_at = past.as_ref().and_then(|past| past.begun_at.clone());
        let past = match past {
            Some(past) => past,
            None => journal::read(&path, shapes, facts.candidates)?.ok_or_else(|| {
                Refusal::new("the books cannot be read back", "their first line", "nothing")
            })?,
        };
        if is_approved && past.canary.is_some() && !past.is_approved {
            journal.put(&journal::Line::Approved { at: now.db() });
            journal.commit()?;
        }
        let slower = |plan: u32, asked: Option<u32>| asked.map_or(plan, |asked| asked.min(plan));
        let mut sessions = Rate::new(slower(facts.per_minute, settings.per_minute));
        if let Some(at) = begun_at.as_deref().and_then(Stamp::parse_db) {
            sessions.went_before(context.pace, now.since(at));
        }
        let planned = facts.calls_per_minute.or(settings.calls_per_minute);
        let calls = planned.map(|plan| slower(plan, settings.calls_per_minute));
        // What failed before is tried again, and is not counted against this run.
        let good: u64 = Ended::ALL.iter().filter(|end| end.is_good()).map(|end| past.count(*end)).sum();
        Ok(Self {
            dir,
            shapes,
            settings,
            journal,
            script,
            past,
            lease: None,
            calls: calls.map(Rate::new),
            sessions,
            throttle: Throttle::new(settings.limits.clone()),
            list: dir.candidates()?,
            flights: Vec::new(),
            waiting: None,
            ended_now: 0,
            done: good,
            failed: 0,
            began: context.pace.elapsed(),
            holds: String::new(),
            flushing: Duration::ZERO,
            context,
        })
    }

    pub(super) fn facts(&self) -> &'r Facts {
        self.dir.facts()
    }

    /// Until nothing is left, or something stops it.
    fn drive(&mut self, pool: &mut Pool<'_>) -> Result<Ending, BackfillError> {
        let mut stop: Option<Ending> = None;
        loop {
            stop = stop.or_else(|| self.wants_to_stop());
            let mut wait = self.advance(pool, stop.is_some())?;
            match stop.take() {
                Some(ending) if self.flights.is_empty() => return Ok(ending),
                Some(ending) => stop = Some(ending),
                None => match self.next(pool)? {
                    Next::Began => continue,
                    Next::Wait(span) => wait = Some(wait.map_or(span, |wait| wait.min(span))),
                    Next::None if self.flights.is_empty() => return Ok(self.complete()),
                    Next::None => {}
                },
            }
            self.pause(pool, wait)?;
        }
    }

    fn wants_to_stop(&mut self) -> Option<Ending> {
        let errors_max = self.settings.errors_max.unwrap_or(self.facts().errors_max);
        if self.context.is_stopped() {
            return Some((
                End::Interrupted,
                "interrupted; what was begun is finished or marked open".to_owned(),
            ));
        }
        if self.failed >= errors_max {
            let why = format!("{} failed, and the run halts at {errors_max}", self.failed);
            return Some((End::Partly, why));
        }
        let canary = self.settings.canary.filter(|_| self.past.canary.is_none())?;
        let enough = self.ended_now + self.flights.len() as u64 >= canary;
        enough.then(|| (End::Partly, format!("canary of {canary}: look at its rows, then approve going on")))
    }

    fn complete(&self) -> Ending {
        if self.failed > 0 {
            let why =
                format!("{} of {} failed; they can be tried again", self.failed, self.facts().candidates);
            return (End::Partly, why);
        }
        (End::Done, "every candidate has its results".to_owned())
    }

    /// Lets every candidate under way go on as far as it can; how long until one can again.
    fn advance(&mut self, pool: &mut Pool<'_>, stopping: bool) -> Result<Option<Duration>, BackfillError> {
        let mut next = None;
        let mut flights = std::mem::take(&mut self.flights);
        let mut kept = Vec::with_capacity(flights.len());
        for mut flight in flights.drain(..) {
            match self.turn(&mut flight, pool, stopping)? {
                Turn::Ended(end) => self.count(end),
                Turn::Abandoned => {}
                Turn::Waits(span) => {
                    next = Some(next.map_or(span, |next: Duration| next.min(span)));
                    kept.push(flight);
                }
                Turn::Calls => kept.push(flight),
            }
        }
        self.flights = kept;
        Ok(next)
    }

    fn count(&mut self, end: Ended) {
        self.ended_now += 1;
        if end.is_good() {
            self.done += 1;
        } else {
            self.failed += 1;
        }
        self.tell("working");
    }

    /// Begins the next candidate, if one may be.
    fn next(&mut self, pool: &mut Pool<'_>) -> Result<Next, BackfillError> {
        if self.flights.len() >= self.settings.concurrency.max(1) {
            return Ok(Next::None);
        }
        let candidate = match self.waiting.take() {
            Some(candidate) => candidate,
            None => loop {
                let Some(candidate) = self.list.take_next()? else { return Ok(Next::None) };
                let state = usize::try_from(candidate.n).ok().and_then(|n| self.past.ended.get(n));
                if !state
                    .is_some_and(|state| Ended::ALL.iter().any(|end| end.is_good() && *end as u8 == *state))
                {
                    break candidate;
                }
            },
        };
        if let Some(span) = self.held() {
            self.waiting = Some(candidate);
            return Ok(Next::Wait(span));
        }
        let images = self.context.images(self.shapes, &candidate)?;
        let prior = self.past.open.remove(&candidate.n);
        let idle = |(_, effect)| matches!(effect, Effect::Nothing | Effect::Kept);
        let has: Vec<_> = self.shapes.iter().zip(&images).map(|(shape, rows)| shape.has(rows)).collect();
        if prior.is_none() && self.facts().effects(candidate.batch, &has).all(idle) {
            let kept = self.facts().effects(candidate.batch, &has).any(|(_, effect)| effect == Effect::Kept);
            let end = if kept { Ended::Kept } else { Ended::Current };
            self.journal.end(candidate.n, self.context.pace.now(), (end, false, ""), &[]);
            self.count(end);
            return Ok(Next::Began);
        }
        self.sessions.went(self.context.pace.elapsed());
        let flight = self.begin(candidate, images, prior)?;
        self.flights.push(flight);
        self.advance(pool, false)?;
        Ok(Next::Began)
    }

    /// How long the next candidate must wait, and why.
    fn held(&mut self) -> Option<Duration> {
        let at = self.context.pace.elapsed();
        let target = &mut *self.context.target;
        if let Some(hold) = self.throttle.hold(at, &mut |sql| target.measure(sql)) {
            self.holds = hold.reason;
            return Some(hold.span);
        }
        let wait = self.sessions.wait(at)?;
        self.holds = format!("throttled to {} a minute", self.rate());
        Some(wait)
    }

    fn rate(&self) -> u32 {
        let plan = self.facts().per_minute;
        self.settings.per_minute.map_or(plan, |asked| asked.min(plan))
    }

    /// Waits for a reply, or until something can go on.
    fn pause(&mut self, pool: &mut Pool<'_>, wait: Option<Duration>) -> Result<(), BackfillError> {
        self.keep_lease()?;
        if pool.is_busy() {
            let span = wait.unwrap_or(SLICE).min(SLICE);
            if let Some((n, reply)) = pool.reply(span)
                && let Some(flight) = self.flights.iter_mut().find(|flight| flight.candidate.n == n)
            {
                flight.reply = Some(reply);
            }
            return Ok(());
        }
        if let Some(span) = wait {
            let state = if self.holds.is_empty() { "working".to_owned() } else { self.holds.clone() };
            self.tell(&state);
            self.context.pace.sleep(span.min(SLICE));
        }
        Ok(())
    }

    /// Puts the lines on disk, and counts how long that took.
    pub(super) fn commit(&mut self) -> Result<(), BackfillError> {
        let began = self.context.pace.elapsed();
        self.journal.commit()?;
        self.flushing += self.context.pace.elapsed().saturating_sub(began);
        Ok(())
    }

    fn keep_lease(&mut self) -> Result<(), BackfillError> {
        let now = self.context.pace.now();
        if let Some(lease) = &mut self.lease
            && lease.until.since(now) < LEASE / 2
        {
            lease.until = now.plus(LEASE);
            self.context.target.renew(&lease.run, &lease.owner, lease.until)?;
        }
        Ok(())
    }

    fn tell(&mut self, state: &str) {
        let minutes = self.context.pace.elapsed().saturating_sub(self.began).as_secs_f64() / 60.0;
        let (ended, total) = (self.ended_now, self.facts().candidates);
        let done = self.done + self.failed;
        // Of one candidate no rate can be known.
        let per_minute = (ended > 1 && minutes > 0.0).then(|| ended as f64 / minutes);
        let eta = per_minute.and_then(|rate| {
            Duration::try_from_secs_f64(total.saturating_sub(done) as f64 / rate * 60.0).ok()
        });
        let state = state.to_owned();
        (self.context.progress)(&Progress { done, total, per_minute, eta, failed: self.failed, state });
    }

    /// Writes the last lines, and gives the table back.
    fn close(&mut self, result: &Result<Ending, BackfillError>, seat: &Seat) -> Result<(), BackfillError> {
        let now = self.context.pace.now();
        let is_done = matches!(result, Ok((End::Done, _)));
        if let Ok((End::Partly, _)) = result
            && self.settings.canary.is_some()
            && self.past.canary.is_none()
        {
            let (candidates, failed) = (self.ended_now, self.failed);
            self.journal.put(&journal::Line::Canary { candidates, failed, at: now.db() });
        }
        if is_done {
            self.journal.put(&journal::Line::Closed { at: now.db() });
        }
        self.journal.commit()?;
        self.script.sync()?;
        if let Some(lease) = self.lease.take() {
            self.context.target.close(&lease.run, &lease.owner, is_done)?;
            seat.leave();
        }
        Ok(())
    }
}

/// What became of beginning the next candidate.
enum Next {
    Began,
    Wait(Duration),
    None,
}

/// The script as the books have it.
fn rebuilt(
    path: &Path,
    dir: &BackfillDir,
    shapes: &[Shape],
    header: &Header,
    journal: &Path,
) -> Result<Script, BackfillError> {
    let mut script = Script::create(path, dir.plan(), &header.run, &header.at)?;
    journal::each_end(journal, shapes, dir.facts().candidates, &mut |record| {
        script.add(shapes, &record.changes)
    })?;
    script.finish(shapes)?;
    Ok(script)
}
