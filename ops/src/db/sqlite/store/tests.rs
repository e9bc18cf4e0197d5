//! The store against a fresh file: leases that are lost, fencing, order of claims, events that are refused.

use tempfile::TempDir;

use super::*;
use crate::clock::Clock;
use crate::db::sqlite::{MigrateOptions, create, migrate};
use crate::phases::{NewPhase, PhaseState};
use crate::telemetry::Draft;

const LEASE: Duration = Duration::from_mins(1);

fn now() -> Stamp {
    Stamp::parse("2026-01-02T03:04:05Z").unwrap()
}

fn new_run(run_id: &str, phases: &[&str]) -> NewRun {
    let phase = |phase_id: &&str| NewPhase {
        phase_id: (*phase_id).to_owned(),
        name: format!("Phase {phase_id}"),
        description: "Write it".to_owned(),
        category: "docs".to_owned(),
        complexity: "low".to_owned(),
        scope: Scope { deliverables: vec!["a.md".to_owned()], ..Scope::default() },
        samples_target: 2,
    };
    NewRun {
        run_id: run_id.to_owned(),
        goal: "test".to_owned(),
        token_cap: 1,
        phases_max: 9,
        duration_minutes_max: 1,
        tier_name: "tier".to_owned(),
        phases: phases.iter().map(phase).collect(),
    }
}

/// A migrated file with the phases of one run.
fn store(phases: &[&str]) -> (TempDir, SqliteStore) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    create(&path).unwrap();
    let options = MigrateOptions {
        backup_dir: dir.path().to_path_buf(),
        clock: Clock::Fixed(now()),
        busy_timeout: Duration::ZERO,
        tool_version: "0",
    };
    migrate(&path, &options, &mut |_| {}).unwrap();
    let mut store = SqliteStore::open(&path).unwrap();
    assert!(store.insert_run(&new_run("r", phases), now()).unwrap());
    (dir, store)
}

fn all() -> Selection {
    Selection::default()
}

/// What could be claimed, by row: state, attempts, run, tier, place, last failure.
fn waiting(store: &mut SqliteStore, selection: &Selection) -> Vec<(i64, (PhaseState, u64), String)> {
    let mut found = Vec::new();
    let mut each = |c: Candidate<'_>| {
        let about = format!("{} {} {} {:?}", c.run_id, c.tier_index, c.phase_index, c.last_failure);
        found.push((c.phase_pk, (c.state, c.attempts), about));
    };
    store.candidates(selection, &mut each).unwrap();
    found.sort_by_key(|(pk, ..)| *pk);
    found
}

fn claim_as(store: &mut SqliteStore, owner: &str, at: Stamp) -> Option<Claim> {
    let (pk, seen, _) = waiting(store, &all()).into_iter().next()?;
    store.claim(pk, seen, owner, at, LEASE).unwrap()
}

fn claim(store: &mut SqliteStore) -> Claim {
    claim_as(store, "me", now()).expect("a phase waits")
}

/// What accounts say of attempts without an event.
fn why(_: &Rejection) -> &'static str {
    "count_unknown"
}

fn record(state: PhaseState) -> AttemptRecord {
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

fn event(claim: &Claim) -> EventRow {
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
fn dump(store: &SqliteStore) -> String {
    let mut text = String::new();
    for table in ["runs", "phases", "phase_leases", "phase_attempts", "token_estimation_v2_events"] {
        let conn = store.conn();
        let mut statement = conn.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cells: Vec<String> = (0..columns).map(|i| format!("{:?}", row.get_ref(i).unwrap())).collect();
            text.push_str(&format!("{table} {cells:?}\n"));
        }
    }
    text
}

/// Neither ending is possible, and neither attempt at it leaves a trace.
#[track_caller]
fn assert_lost(store: &mut SqliteStore, claim: &Claim) {
    let before = dump(store);
    let row = event(claim);
    let finished = store.finish(claim, &record(PhaseState::Complete), Ok(&row), &why);
    assert!(matches!(finished, Err(StoreError::LeaseLost(key)) if key == claim.key));
    let released = store.release(claim, now());
    assert!(matches!(released, Err(StoreError::LeaseLost(key)) if key == claim.key));
    assert_eq!(dump(store), before);
}

#[test]
fn only_the_holder_of_the_lease_can_end_a_claim() {
    let (_dir, mut store) = store(&["p"]);
    let held = claim(&mut store);
    assert_lost(&mut store, &Claim { owner: "someone else".to_owned(), ..held.clone() });
    assert_lost(&mut store, &Claim { fencing_token: held.fencing_token + 1, ..held.clone() });
    for state in ["QUEUED", "COMPLETE", "GATE"] {
        store.conn().execute("UPDATE phases SET state = ?1", [state]).unwrap();
        assert_lost(&mut store, &held);
    }
    store.conn().execute("UPDATE phases SET state = 'EXECUTING'", []).unwrap();
    store.release(&held, now()).unwrap();
    assert_lost(&mut store, &held);
    let again = claim(&mut store);
    assert_lost(&mut store, &held);
    store.finish(&again, &record(PhaseState::Complete), Ok(&event(&again)), &why).unwrap();
    assert_lost(&mut store, &again);
}

#[test]
fn a_released_claim_leaves_the_phase_as_it_was() {
    let (_dir, mut store) = store(&["p"]);
    let phase = |store: &SqliteStore| -> (String, i64, Option<String>, Option<String>) {
        let sql = "SELECT state, builder_attempts, started_at, last_attempt_timestamp FROM phases";
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        store.conn().query_row(sql, [], read).unwrap()
    };
    let release = |store: &mut SqliteStore| {
        let before = phase(store);
        let held = claim(store);
        assert_eq!(phase(store).0, "EXECUTING");
        store.release(&held, now()).unwrap();
        assert_eq!(phase(store), before);
        assert_eq!(store.executing(&all()).unwrap(), 0);
    };
    release(&mut store);
    // Rows of earlier programs may have been started without an attempt that was counted.
    store.conn().execute("UPDATE phases SET started_at = '2025-12-01 00:00:00.000000'", []).unwrap();
    release(&mut store);
    let held = claim(&mut store);
    store.finish(&held, &record(PhaseState::Queued), Ok(&event(&held)), &why).unwrap();
    release(&mut store);
}

#[test]
fn fencing_tokens_only_grow() {
    let (_dir, mut store) = store(&["p"]);
    let mut last = 0;
    for round in 0..4 {
        let held = claim(&mut store);
        assert!(held.fencing_token > last, "round {round}: {} after {last}", held.fencing_token);
        last = held.fencing_token;
        match round {
            0 => store.release(&held, now()).unwrap(),
            1 => drop(store.finish(&held, &record(PhaseState::Queued), Ok(&event(&held)), &why).unwrap()),
            _ => assert_eq!(store.recover_stale(now().plus(LEASE * 2)).unwrap(), [held.key]),
        }
    }
}

#[test]
fn a_lease_is_recovered_only_after_it_has_expired() {
    let (_dir, mut store) = store(&["p", "q"]);
    let held = claim(&mut store);
    // In work by a program that knows no leases: not ours to touch.
    store.conn().execute("UPDATE phases SET state = 'EXECUTING' WHERE phase_id = 'q'", []).unwrap();
    assert_eq!(store.recover_stale(now().plus(LEASE)).unwrap(), []);
    assert_eq!(store.executing(&all()).unwrap(), 2);
    assert_eq!(claim_as(&mut store, "other", now().plus(LEASE)), None);
    let late = now().plus(LEASE + Duration::from_micros(1));
    assert_eq!(store.recover_stale(late).unwrap(), std::slice::from_ref(&held.key));
    assert_eq!(store.recover_stale(late).unwrap(), []);
    assert_eq!((store.waiting(&all()).unwrap(), store.executing(&all()).unwrap()), (1, 1));
    assert_lost(&mut store, &held);
}

#[test]
fn what_could_be_claimed_is_handed_out_and_claimed_only_as_it_was_seen() {
    let (_dir, mut store) = store(&["c", "a"]);
    store.insert_run(&new_run("later", &["z", "a"]), now()).unwrap();
    store
        .conn()
        .execute_batch(
            "PRAGMA foreign_keys = OFF;
             UPDATE phases SET state = 'FAILED', last_failure_reason = 'X', builder_attempts = 2 WHERE phase_id = 'z';
             UPDATE phases SET tier_id = 99, phase_index = 'first' WHERE phase_id = 'c'",
        )
        .unwrap();
    let about = |found: Vec<(i64, (PhaseState, u64), String)>| -> Vec<String> {
        found
            .into_iter()
            .map(|(pk, (state, attempts), about)| format!("{pk} {} {attempts} {about}", state.as_str()))
            .collect()
    };
    let states = vec![PhaseState::Failed, PhaseState::Queued];
    let both = Selection { states, ..all() };
    assert_eq!(
        about(waiting(&mut store, &both)),
        [
            "1 QUEUED 0 r 0 0 None",
            "2 QUEUED 0 r 0 1 None",
            "3 FAILED 2 later 0 0 Some(\"X\")",
            "4 QUEUED 0 later 0 1 None"
        ]
    );
    assert_eq!(waiting(&mut store, &all()).len(), 3);
    let only = Selection { run_ids: vec!["later".to_owned(), "none".to_owned()], ..both.clone() };
    assert_eq!((waiting(&mut store, &only).len(), store.waiting(&only).unwrap()), (2, 2));
    let without = Selection { skip_prefixes: vec!["lat".to_owned()], ..both.clone() };
    assert_eq!((waiting(&mut store, &without).len(), store.waiting(&without).unwrap()), (2, 2));
    for seen in [(PhaseState::Queued, 2), (PhaseState::Failed, 1), (PhaseState::Complete, 2)] {
        assert_eq!(store.claim(3, seen, "me", now(), LEASE).unwrap(), None, "{seen:?}");
    }
    let claimed = store.claim(3, (PhaseState::Failed, 2), "me", now(), LEASE).unwrap().unwrap();
    assert_eq!(claimed.key, PhaseKey { run_id: "later".to_owned(), phase_id: "z".to_owned() });
    assert_eq!(store.claim(3, (PhaseState::Failed, 2), "you", now(), LEASE).unwrap(), None);
    // A claim that is given back leaves the state that it found, whoever gives it back.
    store.release(&claimed, now()).unwrap();
    assert_eq!(waiting(&mut store, &both).len(), 4);
    let failed = (PhaseState::Failed, 2);
    store.claim(3, failed, "me", now(), LEASE).unwrap().unwrap();
    assert_eq!(store.recover_from("you", now()).unwrap(), []);
    assert_eq!(store.recover_from("me", now()).unwrap(), [claimed.key]);
    store.claim(3, failed, "me", now(), LEASE).unwrap().unwrap();
    assert_eq!(store.recover_stale(now().plus(LEASE * 2)).unwrap().len(), 1);
    assert!(store.claim(3, failed, "me", now(), LEASE).unwrap().is_some());
}

#[test]
fn a_lease_that_is_renewed_is_not_recovered_and_only_its_holder_renews_it() {
    let (_dir, mut store) = store(&["p"]);
    let held = claim(&mut store);
    assert_eq!(store.live_owners(now()).unwrap(), ["me"]);
    store.renew(&held.lease(), now(), LEASE * 5).unwrap();
    // An earlier moment does not shorten it.
    store.renew(&held.lease(), now(), Duration::ZERO).unwrap();
    assert_eq!(store.recover_stale(now().plus(LEASE * 4)).unwrap(), []);
    let other = LeaseKey { owner: "you".to_owned(), ..held.lease() };
    let newer = LeaseKey { fencing_token: held.fencing_token + 1, ..held.lease() };
    for lease in [other, newer] {
        assert!(matches!(store.renew(&lease, now(), LEASE), Err(StoreError::LeaseLost(_))));
    }
    assert_eq!(store.recover_stale(now().plus(LEASE * 6)).unwrap(), std::slice::from_ref(&held.key));
    assert!(matches!(store.renew(&held.lease(), now(), LEASE), Err(StoreError::LeaseLost(_))));
    assert_eq!(store.live_owners(now()).unwrap(), Vec::<String>::new());
}

#[test]
fn an_event_that_is_refused_keeps_its_attempt() {
    let (_dir, mut store) = store(&["p"]);
    for (sql, code) in [
        (
            "CREATE TRIGGER t BEFORE INSERT ON token_estimation_v2_events BEGIN SELECT RAISE(ABORT, 'not\n today'); END",
            "rejected:trigger:not today",
        ),
        ("DROP TRIGGER t; CREATE UNIQUE INDEX u ON token_estimation_v2_events (model)", "written"),
        ("", "rejected:unique:token_estimation_v2_events.model"),
        (
            "DROP INDEX u; ALTER TABLE token_estimation_v2_events ADD COLUMN n INTEGER CONSTRAINT one CHECK (event_id < 2)",
            "rejected:check:one",
        ),
        ("ALTER TABLE token_estimation_v2_events RENAME COLUMN model TO machine", "database_error"),
    ] {
        store.conn().execute_batch(sql).unwrap();
        let held = claim(&mut store);
        let written = store.finish(&held, &record(PhaseState::Queued), Ok(&event(&held)), &why).unwrap();
        let sql = "SELECT telemetry, event_id, (SELECT state || builder_attempts FROM phases)
                   FROM phase_attempts ORDER BY attempt DESC LIMIT 1";
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let (telemetry, id, phase): (String, Option<i64>, String) =
            store.conn().query_row(sql, [], read).unwrap();
        assert_eq!((telemetry.as_str(), phase), (code, format!("QUEUED{}", held.attempt)));
        match written {
            EventWrite::Written(event_id) => assert_eq!(id, Some(event_id)),
            EventWrite::NotWritten(rejection) => assert_eq!((id, rejection.code()), (None, code.to_owned())),
        }
    }
    let events = store.conn().query_row("SELECT count(*) FROM token_estimation_v2_events", [], |r| r.get(0));
    assert_eq!(events, Ok(1));
}

#[test]
fn a_scope_that_cannot_be_read_is_said_and_stops_nothing() {
    let (_dir, mut store) = store(&["p", "q"]);
    let scope_of_p = |store: &mut SqliteStore, scope: &str| {
        let sql = format!("UPDATE phases SET state = 'QUEUED', scope = {scope} WHERE phase_id = 'p'");
        store.conn().execute(&sql, []).unwrap();
        let claim = claim(store);
        assert_eq!(claim.key.phase_id, "p");
        claim
    };
    for nothing in ["NULL", "'null'", "' '"] {
        let claim = scope_of_p(&mut store, nothing);
        assert_eq!((claim.scope, claim.scope_error), (Scope::default(), None), "{nothing}");
    }
    for (shape, files) in [
        (r#""a.py""#, &["a.py"][..]),
        (r#"["a.py", null, "b.py"]"#, &["a.py", "b.py"]),
        (r#"{"code": ["a.py", "b.py"], "docs": "c.md", "tests": []}"#, &["a.py", "b.py", "c.md"]),
        (r#"[{"path": "a.py", "description": "what it does", "weight": 1}]"#, &["a.py"]),
        ("null", &[]),
    ] {
        let claim = scope_of_p(&mut store, &format!("'{{\"deliverables\": {shape}}}'"));
        assert_eq!(claim.scope_error, None, "{shape}");
        assert_eq!(claim.scope.deliverables, files, "{shape}");
    }
    for wrong in ["'{'", "'[]'", "42", "'\"x\"'", "'{\"deliverables\": {\"code\": [1]}}'", "x'ff'"] {
        let claim = scope_of_p(&mut store, wrong);
        assert_eq!(claim.scope, Scope::default(), "{wrong}");
        assert!(claim.scope_error.unwrap().starts_with("the column `scope` is not a scope: "), "{wrong}");
    }
    let held = scope_of_p(&mut store, "'{'");
    store.finish(&held, &record(PhaseState::Failed), Err(Rejection::Disabled), &why).unwrap();
    // Counting the attempts of a template looks into the scopes of all attempted phases.
    store
        .conn()
        .execute("UPDATE phases SET scope = '{\"template\": \"t\"}' WHERE phase_id = 'q'", [])
        .unwrap();
    assert_eq!(claim(&mut store).scope.template.as_deref(), Some("t"));
    assert_eq!(store.distribution(None).unwrap().by_deliverables, [(0, 2)].into());
}

#[test]
fn odd_limits_of_earlier_programs_are_taken_as_one() {
    let (_dir, mut store) = store(&["p"]);
    for (failures_max, samples_target, expected) in [
        ("NULL", "2", (3, 2)),
        ("5", "0", (5, 1)),
        ("0", "-1", (1, 1)),
        ("-2", "'x'", (1, 1)),
        ("'three'", "1.5", (1, 1)),
    ] {
        let sql = format!(
            "UPDATE phases SET state = 'QUEUED', max_builder_attempts = {failures_max}, samples_target = {samples_target}"
        );
        store.conn().execute(&sql, []).unwrap();
        let claim = claim(&mut store);
        assert_eq!((claim.failures_max, claim.samples_target), expected, "{sql}");
    }
}

#[test]
fn a_run_is_inserted_once() {
    let (_dir, mut store) = store(&["p"]);
    let before = dump(&store);
    assert!(!store.insert_run(&new_run("r", &["p", "q"]), now().plus(LEASE)).unwrap());
    assert_eq!(dump(&store), before);
    // A run whose second phase cannot be inserted leaves nothing of itself.
    store.insert_run(&new_run("s", &["p", "p"]), now()).unwrap_err();
    assert_eq!(dump(&store), before);
    assert_eq!(store.run_ids().unwrap(), ["r"]);
}
