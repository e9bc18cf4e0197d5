//! What each call does to a store. `now` is the server's: whoever calls, one clock decides what has expired.

use std::time::Duration;

use super::wire::{Completed, Heartbeat, Nothing, OfRun, OfSession, Recover, Reserve, Wanted, Which};
use crate::clock::Stamp;
use crate::phases::{
    AccountedAttempt, Claim, Distribution, EventWrite, PhaseKey, Store, StoreError, StratumCount,
};
use crate::telemetry::Rejection;
use crate::work::drain::ZeroYield;

type Answer<T> = Result<T, StoreError>;

/// The longest lease that is granted: what is lost with its worker must come back.
const LEASE_MAX: Duration = Duration::from_hours(24);

pub(super) fn runs(store: &mut dyn Store, _: &Nothing, _: Stamp) -> Answer<Vec<String>> {
    store.run_ids()
}

pub(super) fn recover(store: &mut dyn Store, gone: &Recover, now: Stamp) -> Answer<Vec<PhaseKey>> {
    match &gone.owner {
        Some(owner) => store.recover_from(owner, now),
        None => store.recover_stale(now),
    }
}

pub(super) fn waiting(store: &mut dyn Store, which: &Which, _: Stamp) -> Answer<u64> {
    store.waiting(&which.selection)
}

pub(super) fn executing(store: &mut dyn Store, which: &Which, _: Stamp) -> Answer<u64> {
    store.executing(&which.selection)
}

pub(super) fn owners(store: &mut dyn Store, _: &Nothing, now: Stamp) -> Answer<Vec<String>> {
    store.live_owners(now)
}

pub(super) fn claim(store: &mut dyn Store, wanted: &Wanted, now: Stamp) -> Answer<Option<Claim>> {
    let lease = Duration::from_millis(wanted.lease_ms).min(LEASE_MAX);
    store.claim(wanted.phase_pk, (wanted.state, wanted.attempts), &wanted.owner, now, lease)
}

pub(super) fn heartbeat(store: &mut dyn Store, beat: &Heartbeat, now: Stamp) -> Answer<()> {
    store.renew(&beat.lease, now, Duration::from_millis(beat.span_ms).min(LEASE_MAX))
}

pub(super) fn reserve(store: &mut dyn Store, reserve: &Reserve, _: Stamp) -> Answer<Option<u64>> {
    store.reserve(&reserve.lease, reserve.tokens)
}

pub(super) fn release(store: &mut dyn Store, claim: &Claim, now: Stamp) -> Answer<()> {
    store.release(claim, now)
}

pub(super) fn complete(store: &mut dyn Store, ended: &Completed, _: Stamp) -> Answer<EventWrite> {
    let attempts = word(&ended.zero_yield);
    // What the database has against an event decides for itself; anything else the attempt did.
    let why = |rejection: &Rejection| match rejection {
        Rejection::TableMissing(_) => ZeroYield::TablesMissing.as_str(),
        Rejection::Constraint(_) => ZeroYield::RejectedByConstraint.as_str(),
        Rejection::Database(_) => ZeroYield::NotFlushed.as_str(),
        _ => attempts,
    };
    let event = ended.event.as_ref().map_err(Clone::clone);
    store.finish(&ended.claim, &ended.record, event, &why)
}

pub(super) fn events(store: &mut dyn Store, session: &OfSession, _: Stamp) -> Answer<Vec<AccountedAttempt>> {
    store.session_attempts(&session.session_id)
}

pub(super) fn settle(store: &mut dyn Store, _: &Nothing, now: Stamp) -> Answer<()> {
    store.settle_runs(now)
}

pub(super) fn distribution(store: &mut dyn Store, of: &OfRun, _: Stamp) -> Answer<Distribution> {
    store.distribution(of.run_id.as_deref())
}

pub(super) fn samples(store: &mut dyn Store, _: &Nothing, _: Stamp) -> Answer<Vec<StratumCount>> {
    store.sample_counts()
}

/// A word of the closed list, and none that somebody made up.
fn word(said: &str) -> &'static str {
    let mut known = ZeroYield::ALL.into_iter().map(ZeroYield::as_str);
    known.find(|known| *known == said).unwrap_or(ZeroYield::CountUnknown.as_str())
}
