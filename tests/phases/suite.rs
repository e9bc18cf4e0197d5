//! What a store of phases promises, in cases that hold for each: who may write, what is given back, what is counted.

use std::sync::Mutex;
use std::time::Duration;

use ops::fingerprint::{Evidence, Fingerprint};
use ops::phases::{
    AttemptRecord, Claim, Escalation, EventWrite, LeaseKey, PhaseKey, PhaseState, Selection, Store,
    StoreError,
};
use ops::telemetry::{Draft, EventRow, Rejection};
use ops::work::drain::rekey;

use super::world::{LEASE, World, all, claim, claim_for, new_run, now, waiting};

/// What accounts say of attempts without an event.
pub(crate) fn why(_: &Rejection) -> &'static str {
    "count_unknown"
}

pub(crate) fn record(state: PhaseState) -> AttemptRecord {
    AttemptRecord {
        session_id: "s".to_owned(),
        outcome: "success".into(),
        reason: None,
        detail: None,
        outcome_source: "command".into(),
        verified: true,
        state,
        tokens_used: 100,
        milestones: "{}".to_owned(),
        fingerprint: None,
        escalation: None,
        started_at: now(),
        finished_at: now(),
    }
}

pub(crate) fn event(claim: &Claim) -> EventRow {
    EventRow::new(&Draft {
        run_id: &claim.key.run_id,
        phase_id: &claim.key.phase_id,
        category: &claim.category,
        complexity: &claim.complexity,
        deliverables: &claim.scope.deliverables,
        predicted: 100,
        actual: Some(120),
        selected_budget: 4096,
        actual_max_tokens: None,
        success: true,
        truncated: false,
        stop_reason: None,
        model: "m",
        estimator_version: "v",
        features: "{}",
        coefficient_digest: "d",
        attempt: claim.attempt,
        input_tokens: None,
        outcome_source: "command",
        at: now(),
    })
    .unwrap()
}

/// Everything that a write could have changed, as text.
fn dump(world: &World) -> String {
    [
        "SELECT * FROM runs ORDER BY id",
        "SELECT * FROM phases ORDER BY id",
        "SELECT * FROM phase_leases ORDER BY phase_pk",
        "SELECT * FROM phase_attempts ORDER BY attempt_id",
        "SELECT count(*) FROM token_estimation_v2_events",
    ]
    .map(|sql| world.sql(sql))
    .join("\n")
}

/// Neither ending is possible, and neither attempt at it leaves a trace.
#[track_caller]
fn assert_lost(world: &World, store: &mut dyn Store, claim: &Claim) {
    let before = dump(world);
    let row = event(claim);
    let finished = store.finish(claim, &record(PhaseState::Complete), Ok(&row), &why);
    assert!(matches!(finished, Err(StoreError::LeaseLost(key)) if key == claim.key));
    let released = store.release(claim, now());
    assert!(matches!(released, Err(StoreError::LeaseLost(key)) if key == claim.key));
    assert_eq!(dump(world), before);
}

pub(crate) fn only_the_holder_of_the_lease_can_end_a_claim(world: &World) {
    let mut store = world.with(&["p"]);
    let store = store.as_mut();
    let held = claim(store);
    assert_lost(world, store, &Claim { owner: "someone else".to_owned(), ..held.clone() });
    assert_lost(world, store, &Claim { fencing_token: held.fencing_token + 1, ..held.clone() });
    for state in ["QUEUED", "COMPLETE", "GATE"] {
        world.sql(&format!("UPDATE phases SET state = '{state}'"));
        assert_lost(world, store, &held);
    }
    world.sql("UPDATE phases SET state = 'EXECUTING'");
    store.release(&held, now()).unwrap();
    assert_lost(world, store, &held);
    let again = claim(store);
    assert_lost(world, store, &held);
    store.finish(&again, &record(PhaseState::Complete), Ok(&event(&again)), &why).unwrap();
    assert_lost(world, store, &again);
}

pub(crate) fn a_released_claim_leaves_the_phase_as_it_was(world: &World) {
    let mut store = world.with(&["p"]);
    let store = store.as_mut();
    let phase =
        || world.sql("SELECT state, builder_attempts, started_at, last_attempt_timestamp FROM phases");
    let release = |store: &mut dyn Store| {
        let before = phase();
        let held = claim(store);
        assert!(phase().starts_with("EXECUTING"));
        store.release(&held, now()).unwrap();
        assert_eq!(phase(), before);
        assert_eq!(store.executing(&all()).unwrap(), 0);
    };
    release(store);
    // Rows of earlier programs may have been started without an attempt that was counted.
    world.sql("UPDATE phases SET started_at = '2025-12-01 00:00:00.000000'");
    release(store);
    let held = claim(store);
    store.finish(&held, &record(PhaseState::Queued), Ok(&event(&held)), &why).unwrap();
    release(store);
}

/// A lease that is over when the test has slept [`OVER`].
const BRIEF: Duration = Duration::from_millis(300);
const OVER: Duration = Duration::from_millis(600);

pub(crate) fn fencing_tokens_only_grow(world: &World) {
    let mut store = world.with(&["p"]);
    let store = store.as_mut();
    let mut last = 0;
    for round in 0..4 {
        let held = claim_for(store, "me", BRIEF).unwrap();
        assert!(held.fencing_token > last, "round {round}: {} after {last}", held.fencing_token);
        last = held.fencing_token;
        match round {
            0 => store.release(&held, now()).unwrap(),
            1 => drop(store.finish(&held, &record(PhaseState::Queued), Ok(&event(&held)), &why).unwrap()),
            _ => {
                std::thread::sleep(OVER);
                assert_eq!(store.recover_stale(now()).unwrap(), [held.key]);
            }
        }
    }
}

pub(crate) fn a_lease_is_recovered_only_after_it_has_expired(world: &World) {
    let mut store = world.with(&["p", "q", "s"]);
    let store = store.as_mut();
    let brief = claim_for(store, "me", BRIEF).unwrap();
    let long = claim(store);
    // In work by a program that knows no leases: not ours to touch.
    world.sql("UPDATE phases SET state = 'EXECUTING' WHERE phase_id = 's'");
    assert_eq!(store.recover_stale(now()).unwrap(), []);
    assert_eq!(store.executing(&all()).unwrap(), 3);
    assert_eq!(claim_for(store, "other", LEASE), None);
    std::thread::sleep(OVER);
    assert_eq!(store.recover_stale(now()).unwrap(), std::slice::from_ref(&brief.key));
    assert_eq!(store.recover_stale(now()).unwrap(), []);
    assert_eq!((store.waiting(&all()).unwrap(), store.executing(&all()).unwrap()), (1, 2));
    assert_eq!(store.live_owners(now()).unwrap(), ["me"]);
    assert_lost(world, store, &brief);
    store.release(&long, now()).unwrap();
}

pub(crate) fn what_could_be_claimed_is_claimed_only_as_it_was_seen(world: &World) {
    let mut store = world.with(&["c", "a"]);
    let store = store.as_mut();
    world.insert(&new_run("later", &["z", "a"]));
    world.sql(
        "UPDATE phases SET state = 'FAILED', last_failure_reason = 'X', builder_attempts = 2 WHERE phase_id = 'z'",
    );
    let both = Selection { states: vec![PhaseState::Failed, PhaseState::Queued], ..all() };
    let seen: Vec<String> = waiting(store, &both)
        .into_iter()
        .map(|(_, (state, attempts), about)| format!("{} {attempts} {about}", state.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            "QUEUED 0 r 0 0 None",
            "QUEUED 0 r 0 1 None",
            "FAILED 2 later 0 0 Some(\"X\")",
            "QUEUED 0 later 0 1 None"
        ]
    );
    assert_eq!(waiting(store, &all()).len(), 3);
    let only = Selection { run_ids: vec!["later".to_owned(), "none".to_owned()], ..both.clone() };
    assert_eq!((waiting(store, &only).len(), store.waiting(&only).unwrap()), (2, 2));
    let without = Selection { skip_prefixes: vec!["lat".to_owned()], ..both.clone() };
    assert_eq!((waiting(store, &without).len(), store.waiting(&without).unwrap()), (2, 2));
    let pk = waiting(store, &both)[2].0;
    for seen in [(PhaseState::Queued, 2), (PhaseState::Failed, 1), (PhaseState::Complete, 2)] {
        assert_eq!(store.claim(pk, seen, "me", now(), LEASE).unwrap(), None, "{seen:?}");
    }
    let failed = (PhaseState::Failed, 2);
    let claimed = store.claim(pk, failed, "me", now(), LEASE).unwrap().unwrap();
    assert_eq!(claimed.key, PhaseKey { run_id: "later".to_owned(), phase_id: "z".to_owned() });
    assert_eq!(store.claim(pk, failed, "you", now(), LEASE).unwrap(), None);
    // A claim that is given back leaves the state that it found, whoever gives it back.
    store.release(&claimed, now()).unwrap();
    assert_eq!(waiting(store, &both).len(), 4);
    store.claim(pk, failed, "me", now(), BRIEF).unwrap().unwrap();
    assert_eq!(store.recover_from("you", now()).unwrap(), []);
    assert_eq!(store.recover_from("me", now()).unwrap(), [claimed.key]);
    store.claim(pk, failed, "me", now(), BRIEF).unwrap().unwrap();
    std::thread::sleep(OVER);
    assert_eq!(store.recover_stale(now()).unwrap().len(), 1);
    assert!(store.claim(pk, failed, "me", now(), LEASE).unwrap().is_some());
}

pub(crate) fn a_lease_that_is_renewed_is_not_recovered_and_only_its_holder_renews_it(world: &World) {
    let mut store = world.with(&["p"]);
    let store = store.as_mut();
    let held = claim_for(store, "me", BRIEF).unwrap();
    store.renew(&held.lease(), now(), LEASE).unwrap();
    // A shorter one does not shorten it.
    store.renew(&held.lease(), now(), Duration::ZERO).unwrap();
    std::thread::sleep(OVER);
    assert_eq!(store.recover_stale(now()).unwrap(), []);
    let other = LeaseKey { owner: "you".to_owned(), ..held.lease() };
    let newer = LeaseKey { fencing_token: held.fencing_token + 1, ..held.lease() };
    for lease in [other, newer] {
        assert!(matches!(store.renew(&lease, now(), LEASE), Err(StoreError::LeaseLost(_))));
    }
    assert_eq!(store.recover_from("me", now()).unwrap(), std::slice::from_ref(&held.key));
    assert!(matches!(store.renew(&held.lease(), now(), LEASE), Err(StoreError::LeaseLost(_))));
    assert_eq!(store.live_owners(now()).unwrap(), Vec::<String>::new());
}

pub(crate) fn an_event_that_is_refused_keeps_its_attempt(world: &World) {
    drop(world.with(&["p"]));
    let unique = if world.is_server() {
        "rejected:unique:u"
    } else {
        "rejected:unique:token_estimation_v2_events.model"
    };
    let drop = if world.is_server() {
        "DROP TABLE token_estimation_v2_events CASCADE"
    } else {
        "DROP TABLE token_estimation_v2_events"
    };
    for (sql, code) in [
        ("CREATE UNIQUE INDEX u ON token_estimation_v2_events (model)", "written"),
        ("SELECT 1", unique),
        (drop, "database_error"),
    ] {
        world.sql(sql);
        // Whether keys are held is decided when a file is opened.
        let mut store = world.open();
        let store = store.as_mut();
        let held = claim(store);
        let written = store.finish(&held, &record(PhaseState::Queued), Ok(&event(&held)), &why).unwrap();
        let sql =
            "SELECT telemetry, event_id, (SELECT state FROM phases), (SELECT builder_attempts FROM phases)
                   FROM phase_attempts ORDER BY attempt DESC LIMIT 1";
        let id = match &written {
            EventWrite::Written(id) => id.to_string(),
            EventWrite::NotWritten(rejection) => {
                assert_eq!(rejection.code(), code);
                String::new()
            }
        };
        assert_eq!(world.sql(sql), format!("{code}|{id}|QUEUED|{}", held.attempt), "{sql}");
    }
}

pub(crate) fn an_attempt_is_accounted_for_once_and_read_back(world: &World) {
    let mut store = world.with(&["p"]);
    let store = store.as_mut();
    let held = claim(store);
    let raw = "ValueError in src/a.py line 7\0";
    let evidence =
        Evidence { state: "FAILED", exit: Some(1), stage: None, timed_out: false, raw, known: &[] };
    let failed = AttemptRecord {
        outcome: "failed".into(),
        reason: Some("exit_status".into()),
        detail: Some(raw.to_owned()),
        verified: false,
        milestones: "{\"reached\":[],\"not_understood\":0}".to_owned(),
        fingerprint: Some(Fingerprint::of(&evidence)),
        finished_at: now().plus(Duration::from_millis(1500)),
        ..record(PhaseState::Queued)
    };
    let none = Err(Rejection::OutputTokensUnknown);
    store.finish(&held, &failed, none, &why).unwrap();
    let again = claim(store);
    assert_eq!((again.attempt, again.failures, again.successes), (2, 1, 0));
    store.finish(&again, &record(PhaseState::Queued), Ok(&event(&again)), &why).unwrap();
    let accounts = store.session_attempts("s").unwrap();
    assert_eq!(accounts.len(), 2);
    let first = &accounts[0];
    assert_eq!(
        (first.attempt, first.outcome.as_str(), first.telemetry.as_str()),
        (1, "failed", "output_tokens_unknown")
    );
    assert_eq!((first.zero_yield.as_deref(), first.state), (Some("count_unknown"), Some(PhaseState::Queued)));
    let (id, template, is_systemic) = first.fingerprint.clone().unwrap();
    let expected = Fingerprint::of(&evidence);
    assert_eq!((id, template, is_systemic), (expected.id, expected.template, expected.is_systemic));
    assert!(first.took_ms >= 1400, "{}", first.took_ms);
    assert_eq!(accounts[1].telemetry, "written");
    assert!(store.session_attempts("t").unwrap().is_empty());
    let reason = world.sql("SELECT last_failure_reason FROM phases");
    assert!(reason.starts_with("EXIT_STATUS: ValueError"), "{reason}");
    assert_eq!(world.sql("SELECT tokens_used FROM runs"), "200");
}

pub(crate) fn failures_of_an_earlier_normaliser_are_keyed_anew(world: &World) {
    let mut store = world.with(&["p"]);
    let store = store.as_mut();
    for (line, raw) in
        [(1, "ValueError in src/a.py line 7"), (2, "ValueError in src/a.py line 9"), (3, "disk full")]
    {
        let held = claim(store);
        let evidence =
            Evidence { state: "FAILED", exit: Some(3), stage: None, timed_out: false, raw, known: &[] };
        let failed = AttemptRecord {
            outcome: "failed".into(),
            reason: Some("exit_status".into()),
            detail: Some(raw.to_owned()),
            fingerprint: Some(Fingerprint::of(&evidence)),
            ..record(PhaseState::Queued)
        };
        store.finish(&held, &failed, Err(Rejection::OutputTokensUnknown), &why).unwrap();
        // An earlier version told two of them apart, and had no name for the third.
        world.sql(&format!(
            "UPDATE phase_attempts SET fingerprint = 'old-{line}', fingerprint_version = {} WHERE attempt = {line}",
            if line == 3 { "NULL" } else { "1" }
        ));
    }
    let rekeyed = rekey(store).unwrap();
    assert_eq!((rekeyed.mappings.len(), rekeyed.split, rekeyed.merged), (3, 0, 1), "{rekeyed:?}");
    let expected = |raw| {
        let evidence =
            Evidence { state: "FAILED", exit: Some(3), stage: None, timed_out: false, raw, known: &[] };
        Fingerprint::of(&evidence).id
    };
    let line = expected("ValueError in src/a.py line 8");
    let is = world.sql("SELECT fingerprint FROM phase_attempts ORDER BY attempt");
    assert_eq!(is, [line.as_str(), &line, &expected("disk full")].join("\n"));
    let kept = world.sql("SELECT fingerprint_detail FROM phase_attempts WHERE attempt = 2");
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["was"], serde_json::json!({"fingerprint": "old-2", "version": 1}));
    assert!(rekey(store).unwrap().mappings.is_empty());
}

pub(crate) fn a_run_is_inserted_once_and_counted(world: &World) {
    let mut store = world.with(&["p", "q"]);
    let store = store.as_mut();
    let before = dump(world);
    assert!(!store.insert_run(&new_run("r", &["p", "q", "x"]), now()).unwrap());
    assert_eq!(dump(world), before);
    // A run whose second phase cannot be inserted leaves nothing of itself.
    store.insert_run(&new_run("s", &["p", "p"]), now()).unwrap_err();
    assert_eq!(dump(world), before);
    assert_eq!(store.run_ids().unwrap(), ["r"]);
    let held = claim(store);
    store.finish(&held, &record(PhaseState::Complete), Ok(&event(&held)), &why).unwrap();
    let split = store.distribution(Some("r")).unwrap();
    assert_eq!(split, store.distribution(None).unwrap());
    assert_eq!(
        (split.phases, &split.by_state),
        (2, &[("COMPLETE".to_owned(), 1), ("QUEUED".to_owned(), 1)].into())
    );
    assert_eq!(split.by_stratum, [("docs/low".to_owned(), 2)].into());
    assert_eq!(split.by_deliverables, [(1, 2)].into());
    assert_eq!(store.distribution(Some("none")).unwrap().phases, 0);
    let samples = store.sample_counts().unwrap();
    assert_eq!(samples.len(), 1);
    assert_eq!((samples[0].category.as_str(), samples[0].deliverables, samples[0].samples), ("docs", 1, 1));
}

pub(crate) fn a_run_that_has_ended_is_marked(world: &World) {
    let mut store = world.with(&["p", "q"]);
    let store = store.as_mut();
    let state = || world.sql("SELECT state FROM runs");
    assert_eq!(state(), "RUN_CREATED");
    for (end, expected) in
        [(PhaseState::Complete, "PHASE_EXECUTION"), (PhaseState::Failed, "DONE_FAILED_REQUIRES_HUMAN_REVIEW")]
    {
        let held = claim(store);
        assert_eq!(state(), "PHASE_EXECUTION");
        store.finish(&held, &record(end), Ok(&event(&held)), &why).unwrap();
        store.settle_runs(now()).unwrap();
        assert_eq!(state(), expected);
    }
}

pub(crate) fn a_run_says_what_it_may_still_use(world: &World) {
    let mut store = world.with(&["p"]);
    let store = store.as_mut();
    let held = claim(store);
    assert_eq!(held.tokens_left, Some(1000));
    store.finish(&held, &record(PhaseState::Queued), Ok(&event(&held)), &why).unwrap();
    assert_eq!(claim(store).tokens_left, Some(900));
    store.recover_from("me", now()).unwrap();
    world.sql("UPDATE runs SET tokens_used = 5000");
    assert_eq!(claim(store).tokens_left, Some(0));
}

pub(crate) fn what_is_set_aside_counts_for_everybody(world: &World) {
    let mut store = world.with(&["p", "q"]);
    let mut other = world.open();
    let (mine, theirs) = (claim(store.as_mut()), claim_for(other.as_mut(), "other", LEASE).unwrap());
    // The cap of the run is 1,000.
    assert_eq!(store.reserve(&mine.lease(), 700).unwrap(), None);
    assert_eq!(other.reserve(&theirs.lease(), 301).unwrap(), Some(300));
    assert_eq!(other.reserve(&theirs.lease(), 300).unwrap(), None);
    // In place of what was set aside before.
    assert_eq!(store.reserve(&mine.lease(), 701).unwrap(), Some(700));
    assert_eq!(store.reserve(&mine.lease(), 600).unwrap(), None);
    // What was used counts instead when the attempt has ended.
    store.finish(&mine, &record(PhaseState::Complete), Ok(&event(&mine)), &why).unwrap();
    assert_eq!(other.reserve(&theirs.lease(), 901).unwrap(), Some(900));
    assert_eq!(other.reserve(&theirs.lease(), 900).unwrap(), None);
    assert!(matches!(store.reserve(&mine.lease(), 1), Err(StoreError::LeaseLost(_))));
    // Given back, nothing was used; taken away, all of it may have been.
    other.release(&theirs, now()).unwrap();
    assert_eq!(world.sql("SELECT tokens_used FROM runs"), "100");
    let held = claim(store.as_mut());
    assert_eq!(store.reserve(&held.lease(), 250).unwrap(), None);
    store.recover_from("me", now()).unwrap();
    assert_eq!(world.sql("SELECT tokens_used FROM runs"), "350");
    // A claim begins with nothing set aside.
    claim(store.as_mut());
    assert_eq!(world.sql("SELECT sum(tokens_reserved) FROM phase_leases WHERE owner IS NOT NULL"), "0");
}

pub(crate) fn a_budget_that_was_raised_is_a_row_and_the_next_attempt_has_it(world: &World) {
    let mut store = world.with(&["p"]);
    let store = store.as_mut();
    let held = claim(store);
    assert_eq!(held.raised_budget, None);
    let escalation = Escalation {
        was_truncated: true,
        selected_budget: 4096,
        actual_max_tokens: Some(8192),
        tokens_used: Some(8192),
        base_value: 8192,
        base_source: "actual_max_tokens".into(),
        retry_max_tokens: 10_240,
    };
    let raised = AttemptRecord { escalation: Some(escalation), ..record(PhaseState::Queued) };
    store.finish(&held, &raised, Err(Rejection::OutputTokensUnknown), &why).unwrap();
    let row = "SELECT run_id, phase_id, attempt_index, reason, output_utilization, escalation_factor, base_value,
        base_source, retry_max_tokens, selected_budget, actual_max_tokens, tokens_used FROM token_budget_escalation_events";
    assert_eq!(world.sql(row), "r|p|1|truncation|100|1.25|8192|actual_max_tokens|10240|4096|8192|8192");
    assert_eq!(claim(store).raised_budget, Some(10_240));
}

pub(crate) fn many_workers_claim_every_phase_once(world: &World) {
    const PHASES: usize = 60;
    let names: Vec<String> = (0..PHASES).map(|i| format!("p{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    drop(world.with(&names));
    let claimed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for worker in 0..6 {
            let claimed = &claimed;
            scope.spawn(move || {
                let mut store = world.open();
                let owner = format!("worker-{worker}");
                for (pk, seen, _) in waiting(store.as_mut(), &all()) {
                    let Some(held) = store.claim(pk, seen, &owner, now(), LEASE).unwrap() else { continue };
                    claimed.lock().unwrap().push(pk);
                    store.finish(&held, &record(PhaseState::Complete), Ok(&event(&held)), &why).unwrap();
                }
            });
        }
    });
    let mut claimed = claimed.into_inner().unwrap();
    claimed.sort_unstable();
    let count = claimed.len();
    claimed.dedup();
    assert_eq!((count, claimed.len()), (PHASES, PHASES));
    assert_eq!(world.sql("SELECT count(*), max(attempt), max(fencing_token) FROM phase_attempts"), "60|1|1");
    assert_eq!(world.sql("SELECT tokens_used FROM runs"), "6000");
}

pub(crate) fn a_backlog_is_counted_for_who_watches(world: &World) {
    let mut store = world.with(&["p", "q", "s"]);
    let store = store.as_mut();
    world.insert(&new_run("other", &["x"]));
    let held = claim(store);
    store.finish(&held, &record(PhaseState::Complete), Ok(&event(&held)), &why).unwrap();
    let held = claim(store);
    store.finish(&held, &record(PhaseState::Failed), Err(Rejection::OutputTokensUnknown), &why).unwrap();
    claim(store);
    // A lease that has expired holds nothing.
    claim_for(store, "gone", Duration::ZERO).unwrap();
    std::thread::sleep(Duration::from_millis(5));
    let seen = store.overview(now()).unwrap();
    let counts = |counts: &[(&str, u64)]| counts.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
    assert_eq!(seen.run_count, 2);
    let all: std::collections::BTreeMap<String, u64> =
        counts(&[("COMPLETE", 1), ("EXECUTING", 2), ("FAILED", 1)]);
    assert_eq!(seen.by_state, all);
    let run = seen.runs.iter().find(|run| run.run_id == "r").unwrap();
    assert_eq!(run.state, "PHASE_EXECUTION");
    assert_eq!(run.by_state, counts(&[("COMPLETE", 1), ("EXECUTING", 1), ("FAILED", 1)]));
    assert_eq!(seen.telemetry, counts(&[("output_tokens_unknown", 1), ("written", 1)]));
    let [session] = &seen.sessions[..] else { panic!("{seen:?}") };
    assert_eq!((session.owner.as_str(), session.session_id.as_deref()), ("me", Some("s")));
    assert_eq!((session.in_work, session.attempts, session.events), (1, 2, 1));
}
