//! The patient side of a run: waiting, trying again, keeping the lease, and noticing that the run shall end.
//!
//! Everything that asks the target goes through here, so that no request is repeated without a pause, without a
//! limit, or past the deadline.

use std::time::Duration;

use serde::Serialize;

use super::context::{Context, Progress, State, Why};
use super::seat::{Holder, Seat};
use super::settings::Settings;
use crate::clock::Stamp;
use crate::target::schema::Table;
use crate::target::{RunId, RunState, Target, TargetError};

/// A wait looks up this often: at the stop flag, at the deadline, at the lease.
const SLICE: Duration = Duration::from_secs(1);

/// What a run took, besides rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Effort {
    /// Batches that were sent and went through.
    pub batches: u64,
    /// Rows of the largest of them.
    pub rows_max: u64,
    /// Requests that were repeated because the target was not available.
    pub retries: u64,
    /// Batches that were cut in two.
    pub splits: u64,
    /// Answers that were lost.
    pub in_doubt: u64,
    /// Milliseconds that it waited on purpose.
    pub throttled_ms: u64,
}

/// A run's hold on its target.
#[derive(Debug)]
pub(crate) struct Session<'r, 'c> {
    pub(crate) context: &'r mut Context<'c>,
    pub(crate) settings: &'r Settings,
    pub(crate) effort: Effort,
    run: &'r RunId,
    owner: String,
    /// Where it is noted that this runner holds the table.
    seat: Option<Seat>,
    /// Until when the table is ours; `None` while it is not.
    lease_until: Option<Stamp>,
    began: Duration,
    total: u64,
    done: u64,
    /// Rows that were done before this process began.
    before: u64,
}

impl<'r, 'c> Session<'r, 'c> {
    pub(crate) fn new(
        context: &'r mut Context<'c>,
        settings: &'r Settings,
        run: &'r RunId,
        total: u64,
    ) -> Self {
        let owner = context.ids.hex("owner", 8);
        let (lease_until, began) = (None, context.pace.elapsed());
        let effort = Effort::default();
        let (seat, done, before) = (None, 0, 0);
        Self { context, settings, effort, run, owner, seat, lease_until, began, total, done, before }
    }

    /// Notes that this runner is about to take the table, and gives back what a killed runner of the same plan directory
    /// still holds. From then on that runner's owner means nothing to the target, should a request of it be late.
    pub(crate) fn sit(&mut self, seat: Seat, table: &Table) -> Result<(), Why> {
        if !self.context.target.capabilities().books_in_target {
            return Ok(());
        }
        if let Some(Holder { run, owner }) = seat.left_behind() {
            let now = self.context.pace.now();
            let until = now.plus(self.settings.lease);
            let freed = match self.ask(|target| target.begin(table, &run, &owner, now, until)) {
                Ok(RunState { is_closed: false, .. }) => self.ask(|target| target.close(&run, &owner, false)),
                other => other.map(drop),
            };
            match freed {
                // Somebody else has the table by now, or the first answer was lost: taking it will tell.
                Ok(()) | Err(Why::Lost(_)) => {}
                Err(why) => return Err(why),
            }
        }
        seat.take(Holder { run: self.run.clone(), owner: self.owner.clone() })?;
        self.seat = Some(seat);
        Ok(())
    }

    /// Takes the table.
    pub(crate) fn begin(&mut self, table: &Table) -> Result<RunState, Why> {
        let (run, owner) = (self.run, self.owner.clone());
        let now = self.context.pace.now();
        let until = now.plus(self.settings.lease);
        let state = self.ask(|target| target.begin(table, run, &owner, now, until))?;
        self.lease_until = (!state.is_closed).then_some(until);
        Ok(state)
    }

    /// Gives the table back; `is_done` closes the run for good. When the first answer was lost, a second try finds
    /// nothing to give back: then the books are asked.
    pub(crate) fn close(&mut self, table: &Table, is_done: bool) -> Result<(), Why> {
        let (run, owner) = (self.run, self.owner.clone());
        self.lease_until = None;
        let mut tries = 0;
        let closed = self.ask(|target| {
            tries += 1;
            target.close(run, &owner, is_done)
        });
        let closed = match closed {
            Err(Why::Lost(who)) if tries > 1 && is_done => match self.begin(table)? {
                RunState { is_closed: true, .. } => Ok(()),
                RunState { .. } => Err(Why::Lost(who)),
            },
            other => other,
        };
        if let (Ok(()), Some(seat)) = (&closed, &self.seat) {
            seat.leave();
        }
        closed
    }

    /// Asks the target for something that may be asked twice, until it answers or patience ends.
    pub(crate) fn ask<T>(
        &mut self,
        mut ask: impl FnMut(&mut dyn Target) -> Result<T, TargetError>,
    ) -> Result<T, Why> {
        let mut tries = 0;
        loop {
            let (reason, asked) = match ask(self.context.target) {
                Ok(answer) => return Ok(answer),
                Err(TargetError::Transient { reason, retry_after }) => (reason, retry_after),
                Err(TargetError::TooSlow { reason } | TargetError::InDoubt { reason }) => (reason, None),
                Err(error) => return Err(error.into()),
            };
            tries += 1;
            self.again(tries, asked, &reason)?;
        }
    }

    /// Waits before the next try, after `tries` failures of the same request.
    pub(crate) fn again(&mut self, tries: u32, asked: Option<Duration>, reason: &str) -> Result<(), Why> {
        let retry = self.settings.retry;
        if tries >= retry.tries_max {
            return Err(Why::Unavailable { tries, reason: reason.to_owned() });
        }
        let span = retry.wait(tries, asked, self.context.random());
        self.effort.retries += 1;
        let next = tries + 1;
        let seconds = span.as_secs_f64();
        let reason = format!("{reason} (try {next} of {} in {seconds:.1} s)", retry.tries_max);
        self.wait(span, &State::Retrying(reason))
    }

    /// Waits, and ends the run instead when that is wanted or would go past the deadline.
    pub(crate) fn wait(&mut self, span: Duration, state: &State) -> Result<(), Why> {
        let until = self.context.pace.elapsed().saturating_add(span);
        if until > self.began.saturating_add(self.settings.deadline) {
            return Err(Why::Deadline);
        }
        loop {
            self.check()?;
            self.tell(state.clone());
            let left = until.saturating_sub(self.context.pace.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            self.keep()?;
            self.context.pace.sleep(left.min(SLICE));
        }
    }

    /// Whether the run shall end now.
    pub(crate) fn check(&self) -> Result<(), Why> {
        if self.context.is_stopped() {
            return Err(Why::Interrupted);
        }
        if self.context.pace.elapsed().saturating_sub(self.began) > self.settings.deadline {
            return Err(Why::Deadline);
        }
        Ok(())
    }

    /// Moves the end of the lease when half of it is over. A target that cannot be asked right now is asked again
    /// later: whether the lease still holds, it says itself when a batch is applied.
    pub(crate) fn keep(&mut self) -> Result<(), Why> {
        let now = self.context.pace.now();
        if self.lease_until.is_none_or(|until| until.since(now) > self.settings.lease / 2) {
            return Ok(());
        }
        let until = now.plus(self.settings.lease);
        match self.context.target.renew(self.run, &self.owner, until) {
            Ok(()) => self.lease_until = Some(until),
            Err(
                TargetError::Transient { .. } | TargetError::TooSlow { .. } | TargetError::InDoubt { .. },
            ) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Says how many rows are done; the first time, how many were so before.
    pub(crate) fn start_at(&mut self, done: u64) {
        self.done = done;
        self.before = done;
    }

    pub(crate) fn done(&mut self, done: u64, state: State) {
        self.done = done;
        self.tell(state);
    }

    fn tell(&mut self, state: State) {
        let seconds = self.seconds();
        let rows = self.done.saturating_sub(self.before);
        let rate = (rows > 0 && seconds > 0.0).then(|| rows as f64 / seconds);
        let left = self.total.saturating_sub(self.done) as f64;
        let eta = rate.and_then(|rate| Duration::try_from_secs_f64(left / rate).ok());
        let (done, total) = (self.done, self.total);
        (self.context.progress)(&Progress { done, total, rows_per_second: rate, eta, state });
    }

    /// Seconds since the run began.
    pub(crate) fn seconds(&self) -> f64 {
        self.context.pace.elapsed().saturating_sub(self.began).as_secs_f64()
    }
}
