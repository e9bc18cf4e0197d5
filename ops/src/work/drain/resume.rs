//! Taking up a session whose process is gone.
//!
//! The journal says what was claimed, the database what was accounted for. A claim without an account was an attempt that
//! counts for nothing: its phase goes back. An account that the journal does not know is added to it.

use std::collections::HashSet;

use super::journal::{Ended, Event, History, Journal, Line};
use super::session::Session;
use super::{DrainError, Policy, Settings};
use crate::clock::Clock;
use crate::phases::{AccountedAttempt, PhaseKey, PhaseState, Store};

/// Begins a session, or frees what its earlier processes hold; says which phases were put back.
pub(super) fn take_up(
    control: &mut dyn Store,
    session: &mut Session,
    policy: &Policy,
    journal: Option<&mut Journal>,
    history: &History,
    clock: Clock,
    source: &str,
) -> Result<Vec<PhaseKey>, DrainError> {
    let now = clock.now();
    let mut recovered = Vec::new();
    if history.lines.is_empty() {
        if let Some(journal) = journal {
            let opened = Event::Opened {
                format: 1,
                session_id: policy.session_id.clone(),
                owner: policy.owner.clone(),
                database: policy.database.clone(),
                executor: source.to_owned(),
                settings: Box::new(policy.settings.clone()),
            };
            journal.append(now, 0, &opened)?;
            journal.sync()?;
        }
    } else {
        for owner in owners(&history.lines) {
            recovered.append(&mut control.recover_from(owner, now)?);
        }
        session.expect(&history.lines);
    }
    recovered.append(&mut control.recover_stale(now)?);
    Ok(recovered)
}

/// Adds what the journal misses and gives up what nobody will account for; then the session goes on.
pub(super) fn settle(
    session: &mut Session,
    policy: &Policy,
    journal: Option<&mut Journal>,
    history: &History,
    accounted: &[AccountedAttempt],
    clock: Clock,
) -> Result<(), DrainError> {
    let Some(journal) = journal.filter(|_| !history.lines.is_empty()) else { return Ok(()) };
    let known: HashSet<(i64, u64)> = history.lines.iter().filter_map(account).collect();
    let unknown = accounted.iter().filter(|attempt| !known.contains(&(attempt.phase_pk, attempt.attempt)));
    let mut events: Vec<Event> = unknown.map(|attempt| Event::Ended(Box::new(ended(attempt)))).collect();
    let accounted: HashSet<i64> = events.iter().filter_map(row).collect();
    let mut dangling: Vec<i64> =
        session.in_flight.keys().copied().filter(|pk| !accounted.contains(pk)).collect();
    dangling.sort_unstable();
    events.extend(dangling.into_iter().map(|pk| Event::Released { pk }));
    events.push(Event::Resumed { settings: Box::new(policy.settings.clone()), owner: policy.owner.clone() });
    for event in events {
        journal.append(clock.now(), session.worked_ms, &event)?;
        session.apply(&event);
    }
    Ok(journal.sync()?)
}

/// What the session was allowed when it began; what it is allowed now follows in its journal.
pub(super) fn settings(policy: &Policy, history: &History) -> Settings {
    match history.lines.first().map(|line| &line.event) {
        Some(Event::Opened { settings, .. }) => (**settings).clone(),
        _ => policy.settings.clone(),
    }
}

/// How often a session was taken up.
pub(super) fn count(history: &History) -> u64 {
    let resumed =
        history.lines.iter().filter(|line| matches!(line.event, Event::Resumed { .. })).count() as u64;
    resumed + u64::from(!history.lines.is_empty())
}

/// Who held leases for the session, oldest first.
fn owners(lines: &[Line]) -> impl Iterator<Item = &str> {
    lines.iter().filter_map(|line| match &line.event {
        Event::Opened { owner, .. } | Event::Resumed { owner, .. } => Some(owner.as_str()),
        _ => None,
    })
}

fn account(line: &Line) -> Option<(i64, u64)> {
    match &line.event {
        Event::Ended(ended) => Some((ended.pk, ended.attempt)),
        _ => None,
    }
}

fn row(event: &Event) -> Option<i64> {
    match event {
        Event::Ended(ended) => Some(ended.pk),
        _ => None,
    }
}

/// The event of an attempt that only the database knows.
fn ended(attempt: &AccountedAttempt) -> Ended {
    Ended {
        pk: attempt.phase_pk,
        run_id: attempt.key.run_id.clone(),
        phase_id: attempt.key.phase_id.clone(),
        attempt: attempt.attempt,
        outcome: attempt.outcome.clone(),
        reason: attempt.reason.clone(),
        detail: attempt.detail.clone(),
        state: attempt.state.unwrap_or(PhaseState::Queued),
        telemetry: attempt.telemetry.clone(),
        zero_yield: attempt.zero_yield.clone(),
        asked_model: attempt.milestones.as_deref().and_then(super::attempt::asked_model),
        stage: attempt.milestones.as_deref().map_or_else(String::new, super::attempt::stage),
        fingerprint: attempt.fingerprint.as_ref().map(|(id, ..)| id.clone()),
        template: attempt.fingerprint.as_ref().map(|(_, template, _)| template.clone()),
        is_systemic: attempt.fingerprint.as_ref().is_some_and(|(.., is_systemic)| *is_systemic),
        took_ms: attempt.took_ms,
        // The account does not say; unknown tokens are not added up.
        tokens: 0,
        warning: None,
    }
}
