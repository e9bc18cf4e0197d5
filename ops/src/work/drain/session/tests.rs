//! A session without a database: phases that end as a script says, limits, triage, and taking up again.

use super::*;
use crate::work::drain::limits::Limits;
use crate::work::drain::triage::TriagePolicy;

fn settings(limits: Limits, triage: TriagePolicy) -> Settings {
    Settings { limits, triage, ..Settings::default() }
}

/// A session over runs of FAILED phases, numbered on.
fn session(settings: Settings, runs: &[(&str, i64)]) -> Session {
    let mut session = Session::new(Settings {
        selection: crate::phases::Selection {
            states: vec![PhaseState::Failed, PhaseState::Queued],
            ..Default::default()
        },
        ..settings
    });
    let mut pk = 0;
    for (run_id, phases) in runs {
        for phase_index in 0..*phases {
            pk += 1;
            session.fill(&Candidate {
                phase_pk: pk,
                run_id,
                state: PhaseState::Failed,
                tier_index: 0,
                phase_index,
                attempts: 0,
                last_failure: None,
            });
        }
    }
    session.queue.settle();
    session
}

fn claim(session: &mut Session, run: usize, phase: Waiting) -> Event {
    session.taken();
    let event = Event::Claimed(Box::new(Claimed {
        pk: phase.pk,
        run_id: session.queue.runs[run].id.clone(),
        phase_id: format!("p{}", phase.pk),
        prior: phase.state,
        attempts: phase.attempts,
        tries: phase.tries,
        bucket: phase.bucket,
        index: phase.index,
        tier: phase.tier,
        attempt: 1,
        fencing_token: 1,
        held_out: session.is_held_out(run),
    }));
    session.apply(&event);
    event
}

fn end(run_id: &str, pk: i64, outcome: &str, fingerprint: Option<&str>) -> Event {
    let failed = outcome != "success";
    Event::Ended(Box::new(Ended {
        pk,
        run_id: run_id.to_owned(),
        phase_id: format!("p{pk}"),
        attempt: 1,
        outcome: outcome.to_owned(),
        reason: failed.then(|| "exit_status".to_owned()),
        detail: None,
        state: if failed { PhaseState::Failed } else { PhaseState::Complete },
        telemetry: if failed { "output_tokens_unknown" } else { "written" }.to_owned(),
        zero_yield: failed.then(|| "count_unknown".to_owned()),
        asked_model: None,
        stage: String::new(),
        fingerprint: fingerprint.map(str::to_owned),
        template: fingerprint.map(str::to_owned),
        is_systemic: outcome == "failed",
        took_ms: 1,
        tokens: 0,
        warning: None,
    }))
}

/// Drains with one worker; how each attempt ends is said by run and row. The rows in order, the events, and the end.
fn drain(
    session: &mut Session,
    script: impl Fn(&str, i64) -> (&'static str, Option<&'static str>),
) -> (Vec<i64>, Vec<Event>, Next) {
    let (mut rows, mut events) = (Vec::new(), Vec::new());
    loop {
        match session.next() {
            Next::Phase(run, phase) => {
                rows.push(phase.pk);
                events.push(claim(session, run, phase));
                let run_id = session.queue.runs[run].id.clone();
                let (outcome, fingerprint) = script(&run_id, phase.pk);
                let ended = end(&run_id, phase.pk, outcome, fingerprint);
                session.apply(&ended);
                events.push(ended);
            }
            Next::Wait => panic!("one worker waits for nobody"),
            over => return (rows, events, over),
        }
    }
}

/// What the database knows of these events.
fn accounted(events: &[Event]) -> Vec<AccountedAttempt> {
    let account = |event: &Event| match event {
        Event::Ended(ended) => Some(AccountedAttempt {
            phase_pk: ended.pk,
            key: crate::phases::PhaseKey { run_id: ended.run_id.clone(), phase_id: ended.phase_id.clone() },
            attempt: ended.attempt,
            outcome: ended.outcome.clone(),
            reason: None,
            detail: None,
            telemetry: ended.telemetry.clone(),
            zero_yield: None,
            milestones: None,
            fingerprint: None,
            state: None,
            took_ms: 0,
        }),
        _ => None,
    };
    events.iter().filter_map(account).collect()
}

fn none() -> TriagePolicy {
    TriagePolicy::off()
}

#[test]
fn every_phase_is_attempted_once_and_runs_are_sampled_first() {
    let mut session = session(settings(Limits::default(), none()), &[("a", 3), ("b", 1), ("c", 2)]);
    let (rows, _, over) = drain(&mut session, |_, _| ("failed", Some("f")));
    assert_eq!((rows, over), (vec![4, 5, 1, 6, 2, 3], Next::Drained));
    assert_eq!(session.tally.attempts.total, 6);
}

#[test]
fn a_systemic_failure_costs_as_many_attempts_as_it_takes_to_see_it() {
    let triage = TriagePolicy { hold_out: 0.0, systemic_runs: 3, ..TriagePolicy::default() };
    let runs = [("a", 2), ("b", 2), ("c", 2), ("d", 2)];
    let mut session = session(settings(Limits::default(), triage), &runs);
    let (rows, _, over) = drain(&mut session, |_, _| ("failed", Some("f")));
    assert_eq!((rows.len(), over), (3, Next::Drained));
    assert_eq!(session.skips(), [("presumed_systemic", 2), ("systemic", 3)].into());
}

#[test]
fn a_success_in_the_hold_out_opens_everything_again() {
    let triage = TriagePolicy { hold_out: 0.3, seed: 1, systemic_runs: 3, ..TriagePolicy::default() };
    let runs = [("a", 10), ("b", 10), ("c", 10), ("d", 10)];
    let mut session = session(settings(Limits::default(), triage), &runs);
    let (rows, ..) =
        drain(
            &mut session,
            |_, pk| if matches!(pk % 7, 5 | 6) { ("success", None) } else { ("failed", Some("f")) },
        );
    assert!(session.tally.reopened > 0 && session.tally.held_out.1 > 0, "{:?}", session.tally);
    assert!(rows.len() > 20, "{rows:?}");
    let mut once = rows.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), rows.len());
}

#[test]
fn timeouts_of_a_run_stop_it_and_say_why() {
    let limits = Limits { timeouts_per_run: Some(2), ..Limits::default() };
    let mut session = session(settings(limits, none()), &[("a", 3)]);
    let (rows, ..) = drain(&mut session, |_, _| ("timed_out", Some("t")));
    assert_eq!((rows.len(), session.skips()), (2, [("timeouts", 1)].into()));
}

#[test]
fn a_fingerprint_that_repeats_stops_the_run_that_shows_it() {
    let limits = Limits { fingerprint_repeats: Some(3), ..Limits::default() };
    let mut session = session(settings(limits, none()), &[("a", 4), ("b", 4)]);
    let (rows, ..) = drain(&mut session, |_, _| ("failed", Some("f")));
    assert_eq!((rows.len(), session.tally.repeat_hits), (4, 2));
    assert_eq!(session.skips(), [("fingerprint_repeats", 4)].into());
}

#[test]
fn attempts_time_and_barren_attempts_end_the_session() {
    let few = Limits { attempts: Some(2), ..Limits::default() };
    let mut limited = session(settings(few, none()), &[("a", 3)]);
    assert_eq!(drain(&mut limited, |_, _| ("failed", None)).2, Next::Limit("attempt_limit"));
    let barren = Limits { zero_yield_streak: Some(2), ..Limits::default() };
    let mut limited = session(settings(barren, none()), &[("a", 9)]);
    let (rows, _, over) =
        drain(&mut limited, |_, pk| if pk == 2 { ("success", None) } else { ("failed", None) });
    assert_eq!((rows, over), (vec![1, 2, 3, 4], Next::Limit("zero_yield_streak")));
    let brief = Limits { seconds: Some(60), ..Limits::default() };
    let mut limited = session(settings(brief, none()), &[("a", 3)]);
    limited.worked_ms = 60_000;
    assert_eq!(drain(&mut limited, |_, _| ("failed", None)).2, Next::Limit("time_limit"));
}

#[test]
fn more_attempts_at_a_phase_come_after_the_first_of_all() {
    let twice = Limits { attempts_per_phase: Some(2), ..Limits::default() };
    let mut session = session(settings(twice, none()), &[("a", 2), ("b", 1)]);
    let (rows, ..) = drain(&mut session, |_, _| ("failed", None));
    assert_eq!(rows, [3, 1, 2, 3, 1, 2]);
}

#[test]
fn a_journal_replayed_to_any_point_goes_on_as_if_nothing_had_happened() {
    let runs = [("a", 6), ("b", 5), ("c", 4), ("d", 3)];
    let policy = TriagePolicy { hold_out: 0.4, seed: 3, systemic_runs: 3, ..TriagePolicy::default() };
    let limits = Limits { timeouts_per_run: Some(2), ..Limits::default() };
    let script = |run: &str, pk: i64| match (run, pk % 5) {
        ("a" | "b", 0) => ("success", None),
        ("c", 1) => ("timed_out", Some("t")),
        _ => ("failed", Some("f")),
    };
    let mut whole = session(settings(limits.clone(), policy.clone()), &runs);
    let (rows, events, _) = drain(&mut whole, script);
    for cut in 0..=events.len() {
        let mut seq = 0;
        let lines: Vec<Line> = events[..cut]
            .iter()
            .map(|event| {
                seq += 1;
                Line { seq, at: String::new(), worked_ms: 0, event: event.clone() }
            })
            .collect();
        // What the database shows then: everything but what was completed.
        let done = |pk: i64| {
            events[..cut].iter().any(|event| {
                matches!(event, Event::Ended(ended) if ended.pk == pk && ended.state == PhaseState::Complete)
            })
        };
        let mut again = Session::new(whole.settings.clone());
        again.expect(&lines);
        let mut pk = 0;
        for (run_id, phases) in runs {
            for phase_index in 0..phases {
                pk += 1;
                if !done(pk) {
                    again.fill(&Candidate {
                        phase_pk: pk,
                        run_id,
                        state: PhaseState::Failed,
                        tier_index: 0,
                        phase_index,
                        attempts: 0,
                        last_failure: Some("changed since"),
                    });
                }
            }
        }
        again.queue.settle();
        again.replay(&lines, &accounted(&events[..cut]));
        for pk in again.in_flight.keys().copied().collect::<Vec<_>>() {
            again.apply(&Event::Released { pk });
        }
        let (rest, ..) = drain(&mut again, script);
        assert_eq!(rest, rows[cut / 2..], "cut after {cut} events");
        assert_eq!((again.skips(), again.tally.attempts), (whole.skips(), whole.tally.attempts.clone()));
    }
}
