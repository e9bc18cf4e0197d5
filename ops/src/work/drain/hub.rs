//! What the workers of a session share: its state, its journal, and what comes next.
//!
//! Everything happens under one lock, which is held for microseconds: never while a phase is attempted or a claim made.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::DrainError;
use super::journal::{Claimed, Event, Journal, Unflushed};
use super::queue::Waiting;
use super::session::{Next, Session};
use crate::clock::{Clock, Stamp};
use crate::phases::{Claim, Store};

/// How long a worker waits for others before it looks again.
const PATIENCE: Duration = Duration::from_millis(50);

pub(super) struct Hub<'a> {
    inner: Mutex<Inner<'a>>,
    changed: Condvar,
}

struct Inner<'a> {
    session: Session,
    journal: Option<Journal>,
    clock: Clock,
    began: Stamp,
    /// What earlier processes of the session have worked.
    base_ms: u64,
    progress: &'a mut (dyn FnMut(u64, u64, &str) + Send),
    /// Why no worker begins anything any more.
    stopped: Option<&'static str>,
    error: Option<DrainError>,
}

/// What is left when all workers have ended.
pub(super) struct Outcome {
    pub(super) session: Session,
    pub(super) stopped: Option<&'static str>,
}

/// A phase to attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pick {
    pub(super) run: usize,
    pub(super) phase: Waiting,
    pub(super) held_out: bool,
}

impl<'a> Hub<'a> {
    pub(super) fn new(
        session: Session,
        journal: Option<Journal>,
        clock: Clock,
        progress: &'a mut (dyn FnMut(u64, u64, &str) + Send),
    ) -> Self {
        let base_ms = session.worked_ms;
        let inner = Inner {
            session,
            journal,
            clock,
            began: clock.now(),
            base_ms,
            progress,
            stopped: None,
            error: None,
        };
        Self { inner: Mutex::new(inner), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<'a>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next phase; waits while others may bring phases back. `None` when it is over.
    pub(super) fn next(&self, store: &mut dyn Store) -> Option<Pick> {
        let mut inner = self.lock();
        loop {
            if inner.stopped.is_some() {
                return None;
            }
            inner.session.worked_ms = inner.worked_ms();
            match inner.session.next() {
                Next::Phase(run, phase) => {
                    let held_out = inner.session.is_held_out(run);
                    return Some(Pick { run, phase, held_out });
                }
                Next::Wait => {
                    let waited = self.changed.wait_timeout(inner, PATIENCE);
                    inner = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                Next::Limit(reason) => {
                    inner.stopped = Some(reason);
                    self.changed.notify_all();
                }
                Next::Drained => match inner.refill(store) {
                    Ok(0) => {
                        inner.stopped = Some("drained");
                        self.changed.notify_all();
                    }
                    Ok(_) => {}
                    Err(error) => {
                        drop(inner);
                        self.fail(error);
                        return None;
                    }
                },
            }
        }
    }

    /// Somebody else was faster.
    pub(super) fn overtaken(&self, pick: &Pick) {
        self.lock().session.overtaken(pick.run, pick.phase);
        self.changed.notify_all();
    }

    /// Notes a claim.
    pub(super) fn claimed(&self, pick: &Pick, claim: &Claim) -> Result<(), DrainError> {
        let mut inner = self.lock();
        inner.session.taken();
        let phase = pick.phase;
        inner.record(&Event::Claimed(Box::new(Claimed {
            pk: claim.phase_pk,
            run_id: claim.key.run_id.clone(),
            phase_id: claim.key.phase_id.clone(),
            prior: claim.prior,
            attempts: phase.attempts,
            tries: phase.tries,
            bucket: phase.bucket,
            index: phase.index,
            tier: phase.tier,
            attempt: claim.attempt,
            fencing_token: claim.fencing_token,
            held_out: pick.held_out,
        })))?;
        let done = inner.session.tally.attempts.total;
        let total = done + inner.session.queue.len() + inner.session.in_flight.len() as u64;
        (inner.progress)(done, total, &claim.key.phase_id);
        Ok(())
    }

    /// Brings the journal to disk, unless somebody does so already; nobody waits for it.
    pub(super) fn flush(&self) -> Result<(), DrainError> {
        let unflushed = self.lock().journal.as_mut().and_then(Journal::unflushed);
        Ok(unflushed.map_or(Ok(()), Unflushed::sync)?)
    }

    /// Returns when everything that was noted so far is on disk. Workers that wait at the same time share what the disk
    /// does; nobody waits who has nothing to bring there.
    pub(super) fn settle_journal(&self) -> Result<(), DrainError> {
        let all = self.lock().journal.as_mut().map(Journal::written);
        Ok(all.map_or(Ok(()), Unflushed::sync)?)
    }

    /// Notes what became of a claim.
    pub(super) fn ended(&self, event: &Event) -> Result<(), DrainError> {
        let recorded = self.lock().record(event);
        self.changed.notify_all();
        recorded
    }

    /// No worker begins another attempt. The first reason stays.
    pub(super) fn stop(&self, reason: &'static str) {
        self.lock().stopped.get_or_insert(reason);
        self.changed.notify_all();
    }

    /// Ends the session with an error. The first stays.
    pub(super) fn fail(&self, error: DrainError) {
        let mut inner = self.lock();
        inner.stopped.get_or_insert("error");
        inner.error.get_or_insert(error);
        self.changed.notify_all();
    }

    /// Closes the journal and hands out what the session came to.
    pub(super) fn finish(self) -> Result<Outcome, DrainError> {
        let mut inner = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = inner.error.take() {
            return Err(error);
        }
        let stopped = inner.stopped.unwrap_or("drained");
        inner.record(&Event::Stopped { reason: stopped.to_owned() })?;
        if let Some(journal) = &mut inner.journal {
            journal.sync()?;
        }
        inner.session.worked_ms = inner.worked_ms();
        Ok(Outcome { session: inner.session, stopped: (stopped != "drained").then_some(stopped) })
    }
}

impl Inner<'_> {
    fn worked_ms(&self) -> u64 {
        let here = self.clock.now().since(self.began).as_millis();
        self.base_ms.saturating_add(u64::try_from(here).unwrap_or(u64::MAX))
    }

    fn record(&mut self, event: &Event) -> Result<(), DrainError> {
        let worked_ms = self.worked_ms();
        if let Some(journal) = &mut self.journal {
            journal.append(self.clock.now(), worked_ms, event)?;
        }
        self.session.apply(event);
        Ok(())
    }

    /// Looks for phases that have come or come back since.
    fn refill(&mut self, store: &mut dyn Store) -> Result<u64, DrainError> {
        let parked: HashSet<i64> = self.session.queue.parked().collect();
        let selection = self.session.settings.selection.clone();
        let mut found = 0;
        let session = &mut self.session;
        store.candidates(&selection, &mut |candidate| {
            found += u64::from(session.refill(&candidate, &parked));
        })?;
        Ok(found)
    }
}
