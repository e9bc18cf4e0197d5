//! The threads of a session: workers that attempt, and a watch that keeps their leases and hears who asks to stop.
//!
//! A worker has its own connection and its own executor. What it does with a phase is fenced by its lease, which the
//! watch renews; a worker whose lease is gone is told to stop and can write nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::attempt::Attempts;
use super::executor::Executor;
use super::hub::Hub;
use super::journal::Event;
use super::{DrainError, Policy};
use crate::clock::Clock;
use crate::phases::{LeaseKey, Store, StoreError};

/// How long the journal may be behind on disk while attempts are made that can be repeated.
const FLUSH: Duration = Duration::from_millis(100);
/// How often the watch looks.
const TICK: Duration = Duration::from_millis(20);

/// What a thread of a session works with.
pub struct Worker {
    /// Its connection.
    pub store: Box<dyn Store>,
    /// What attempts its phases.
    pub executor: Box<dyn Executor>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("executor", &self.executor.source()).finish_non_exhaustive()
    }
}

/// What the watch knows of a worker.
#[derive(Default)]
struct Post {
    lease: Mutex<Option<LeaseKey>>,
    cancel: AtomicBool,
}

impl Post {
    fn hold(&self, lease: Option<LeaseKey>) {
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = lease;
    }

    fn held(&self) -> Option<LeaseKey> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Runs the workers to the end of the session.
pub(super) fn run_all(
    control: &mut dyn Store,
    workers: Vec<Worker>,
    policy: &Policy,
    clock: Clock,
    hub: &Hub<'_>,
    stop: &AtomicBool,
) {
    let posts: Vec<Post> = workers.iter().map(|_| Post::default()).collect();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| watch(control, policy, clock, hub, &posts, stop, &is_over));
        let threads: Vec<_> = workers
            .into_iter()
            .zip(&posts)
            .map(|(worker, post)| scope.spawn(move || work(worker, policy, clock, hub, post, stop)))
            .collect();
        let panicked = threads.into_iter().filter_map(|thread| thread.join().err()).last();
        is_over.store(true, Ordering::Relaxed);
        watch.thread().unpark();
        let watched = watch.join();
        if let Some(panic) = panicked.or(watched.err()) {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Attempts one phase after the other.
fn work(mut worker: Worker, policy: &Policy, clock: Clock, hub: &Hub<'_>, post: &Post, stop: &AtomicBool) {
    let attempts = Attempts::new(policy, clock);
    loop {
        if stop.load(Ordering::Relaxed) {
            hub.stop("interrupted");
        }
        let Some(pick) = hub.next(worker.store.as_mut()) else { return };
        if let Err(error) = attempt(&mut worker, &attempts, policy, clock, hub, post, stop, &pick) {
            hub.fail(error);
            return;
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "what a worker has, taken apart for the borrow checker")]
fn attempt(
    worker: &mut Worker,
    attempts: &Attempts<'_>,
    policy: &Policy,
    clock: Clock,
    hub: &Hub<'_>,
    post: &Post,
    stop: &AtomicBool,
    pick: &super::hub::Pick,
) -> Result<(), DrainError> {
    let seen = (pick.phase.state, pick.phase.attempts);
    let began = Instant::now();
    let claim = worker.store.claim(pick.phase.pk, seen, &policy.owner, clock.now(), policy.lease)?;
    let Some(claim) = claim else {
        hub.overtaken(pick);
        return Ok(());
    };
    hub.claimed(pick, &claim)?;
    if !worker.executor.is_repeatable() {
        hub.settle_journal()?;
    }
    post.cancel.store(stop.load(Ordering::Relaxed), Ordering::Relaxed);
    // Who was suspended since the claim may have lost it, and must not begin.
    if began.elapsed() > policy.lease / 2
        && let Err(error) = worker.store.renew(&claim.lease(), clock.now(), policy.lease)
    {
        return match error {
            StoreError::LeaseLost(key) => {
                hub.ended(&Event::Lost { pk: claim.phase_pk, phase: key.to_string() })
            }
            error @ StoreError::Db(_) => Err(error.into()),
        };
    }
    post.hold(Some(claim.lease()));
    let event = attempts.make(worker.store.as_mut(), worker.executor.as_mut(), &claim, &post.cancel);
    post.hold(None);
    let event = event?;
    hub.ended(&event)?;
    match event.refused() {
        Some((phase, why)) if policy.telemetry_debug => Err(DrainError::Telemetry { phase, why }),
        _ => Ok(()),
    }
}

/// Renews leases, gives back those that others let expire, and passes on who asks to stop.
fn watch(
    control: &mut dyn Store,
    policy: &Policy,
    clock: Clock,
    hub: &Hub<'_>,
    posts: &[Post],
    stop: &AtomicBool,
    is_over: &AtomicBool,
) {
    let period = policy.lease / 3;
    let (mut renewed, mut flushed) = (Instant::now(), Instant::now());
    while !is_over.load(Ordering::Relaxed) {
        if stop.load(Ordering::Relaxed) {
            hub.stop("interrupted");
            for post in posts {
                post.cancel.store(true, Ordering::Relaxed);
            }
        }
        if policy.stop_file.as_ref().is_some_and(|path| path.exists()) {
            hub.stop("stop_requested");
        }
        if renewed.elapsed() >= period {
            renewed = Instant::now();
            if let Err(error) = renew(control, policy, clock, posts) {
                hub.fail(error.into());
                return;
            }
        }
        if flushed.elapsed() >= FLUSH {
            if let Err(error) = hub.flush() {
                hub.fail(error);
                return;
            }
            flushed = Instant::now();
        }
        std::thread::park_timeout(TICK);
    }
}

fn renew(control: &mut dyn Store, policy: &Policy, clock: Clock, posts: &[Post]) -> Result<(), StoreError> {
    let now = clock.now();
    for post in posts {
        let Some(lease) = post.held() else { continue };
        match control.renew(&lease, now, policy.lease) {
            Ok(()) => {}
            // Its attempt may just have ended.
            Err(StoreError::LeaseLost(_)) if post.held().as_ref() != Some(&lease) => {}
            Err(StoreError::LeaseLost(_)) => post.cancel.store(true, Ordering::Relaxed),
            Err(error) => return Err(error),
        }
    }
    control.recover_stale(clock.now()).map(drop)
}
