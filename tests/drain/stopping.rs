//! Programs that do not end, drains that are stopped or killed: no process and no phase may be left behind.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::world::{GOOD, World, assert_gone, eventually};

/// After the lease of a drain with the default timeout has expired.
const LATER: [(&str, &str); 2] = [("OPS_NOW", "2026-01-02T03:21:00Z"), ("OPS_SEED", "2")];

#[test]
fn a_timeout_ends_the_whole_group() {
    let stubborn =
        "echo partial; sh -c 'trap \"\" TERM; echo $$ >> pids; sleep 1000' & echo $! >> pids; wait";
    let deaf = "trap '' TERM; echo partial; echo $$ >> pids; sleep 1000 & echo $! >> pids; wait; sleep 1000";
    for script in [stubborn, deaf] {
        let world = World::new(1);
        let began = Instant::now();
        let drained = world.drain(&["--timeout", "1", "--attempts-max", "1"], script);
        // One second, two of grace, and what a busy machine takes.
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        assert_eq!(drained.code, 5, "{drained:?}");
        assert_eq!(drained.report["attempts"]["ended"], json!({"timed_out": 1}));
        assert_eq!(drained.report["events"]["ended"], json!({"output_tokens_unknown": 1}));
        let place = world.attempts("p1").join("1");
        assert_gone(&world.read(place.join("workspace/pids")));
        assert_eq!(world.read(place.join("stdout.txt")), "partial\n");
        let failed = world.rows("SELECT state, last_failure_reason FROM phases");
        assert!(failed.starts_with("QUEUED | TIMEOUT: no end after 1 s; partial output in `"), "{failed}");
    }
}

#[test]
fn what_a_program_leaves_in_the_background_ends_with_it() {
    let world = World::new(1);
    let script =
        format!("sleep 1000 & echo $! > pids; (trap '' TERM HUP; sleep 1000) & echo $! >> pids; {GOOD}");
    assert_eq!(world.drain(&[], &script).code, 0);
    assert_gone(&world.read(world.attempts("p1").join("1/workspace/pids")));
    assert_eq!(world.rows("SELECT state FROM phases"), "COMPLETE");
}

/// Writes its processes down and waits for `go`; then delivers.
fn waiting(world: &World) -> String {
    let root = world.root();
    let slow = "sleep 1000 & echo $$ $! > pids; mv pids started; wait";
    format!("if [ -e {root}/go ]; then {GOOD}; else {slow}; fi")
}

#[test]
fn stopping_leaves_the_phase_as_it_was() {
    for signal in ["INT", "TERM"] {
        let world = World::new(3);
        world.sql("UPDATE phases SET started_at = '2025-12-01 00:00:00.000000' WHERE phase_id = 'p1'");
        let state = "SELECT phase_id, state, builder_attempts, retry_attempt, tokens_used, started_at,
                     completed_at, last_attempt_timestamp, last_failure_reason FROM phases";
        let before = world.rows(state);
        let script = waiting(&world);
        let running = world.start(&[], &script, &[]);
        let pids = world.wait_for(world.attempts("p1").join("1/workspace/started"));
        assert_eq!(world.rows("SELECT state FROM phases WHERE phase_id = 'p1'"), "EXECUTING");
        running.signal(signal);
        let drained = running.end();
        assert_eq!(drained.code, 130, "{drained:?}");
        assert_gone(&pids);
        assert_eq!(drained.report["stopped"], "interrupted");
        assert_eq!(drained.report["attempts"]["total"], 0);
        assert_eq!(drained.report["left_waiting"], 3);
        assert_eq!(world.rows(state), before);
        assert_eq!(world.rows("SELECT owner, fencing_token FROM phase_leases"), "null | 1");
        assert_eq!(world.one::<i64>("SELECT count(*) FROM phase_attempts"), 0);

        world.touch("go");
        assert_eq!(world.drain(&[], &script).code, 0);
        assert_eq!(world.rows("SELECT DISTINCT state, builder_attempts FROM phases"), "COMPLETE | 1");
        assert_eq!(
            world.rows("SELECT max(fencing_token), max(attempt), count(*) FROM phase_attempts"),
            "2 | 1 | 3"
        );
    }
}

#[test]
fn a_stop_between_attempts_of_a_program_that_will_not_listen_is_bounded() {
    let world = World::new(1);
    let script = "trap '' TERM INT; sleep 1000 & echo $$ $! > pids; mv pids started; wait; sleep 1000";
    let running = world.start(&[], script, &[]);
    let pids = world.wait_for(world.attempts("p1").join("1/workspace/started"));
    let began = Instant::now();
    running.signal("INT");
    assert_eq!(running.end().code, 130);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_gone(&pids);
    assert_eq!(world.rows("SELECT state FROM phases"), "QUEUED");
}

#[test]
fn a_killed_drain_is_recovered_after_its_lease_and_not_before() {
    let world = World::new(1);
    let root = world.root();
    // Goes on after its drain was killed, and delivers late.
    let orphan = format!(
        "echo $$ > pid; mv pid started
         while [ -d {root} ] && [ ! -e {root}/late ]; do sleep 0.05; done
         echo orphan > out.txt; echo '{{}}'"
    );
    let running = world.start(&[], &orphan, &[]);
    let pid = world.wait_for(world.attempts("p1").join("1/workspace/started"));
    running.signal("KILL");
    assert_eq!(running.end().code, -1);
    let held = "SELECT state, owner IS NOT NULL, fencing_token, builder_attempts
                FROM phases p JOIN phase_leases l ON l.phase_pk = p.id";
    assert_eq!(world.rows(held), "EXECUTING | 1 | 1 | 0");

    let early = world.drain(&[], GOOD);
    assert_eq!(early.code, 0, "{early:?}");
    assert_eq!(early.report["recovered"], json!([]));
    assert_eq!((&early.report["attempts"]["total"], &early.report["left_executing"]), (&json!(0), &json!(1)));
    assert_eq!(world.rows(held), "EXECUTING | 1 | 1 | 0");

    let late = world.start(&[], GOOD, &LATER).end();
    assert_eq!(late.code, 0, "{late:?}");
    assert_eq!(late.report["recovered"], json!([{"run_id": "r", "phase_id": "p1"}]));
    assert_eq!(world.rows(held), "COMPLETE | 0 | 2 | 1");
    let after = world.rows("SELECT * FROM phases");
    world.touch("late");
    assert_gone(&pid);
    assert_eq!(world.read(world.attempts("p1").join("1/workspace/out.txt")), "orphan\n");
    assert_eq!(world.read(world.attempts("p1").join("1-2/workspace/out.txt")), "text\n");
    assert_eq!(world.rows("SELECT * FROM phases"), after);
}

#[test]
fn a_drain_that_lost_its_lease_says_so_and_changes_nothing() {
    let world = World::new(2);
    let root = world.root();
    let slow = format!(
        "echo $$ > pid; mv pid started
         while [ -d {root} ] && [ ! -e {root}/late ]; do sleep 0.05; done; {GOOD}"
    );
    let suspended = world.start(&[], &slow, &[]);
    world.wait_for(world.attempts("p1").join("1/workspace/started"));
    let other = world.start(&[], GOOD, &LATER).end();
    assert_eq!((other.code, &other.report["attempts"]["ended"]), (0, &json!({"success": 2})));
    let tables = ["runs", "phases", "phase_attempts", "phase_leases", "token_estimation_v2_events"];
    let all = || tables.map(|table| world.rows(&format!("SELECT * FROM {table}")));
    let before = all();
    world.touch("late");
    let lost = suspended.end();
    assert_eq!(lost.code, 0, "{lost:?}");
    assert_eq!(lost.report["attempts"]["ended"], json!({"lease_lost": 1}));
    assert_eq!(lost.report["events"]["ended"], json!({"lease_lost": 1}));
    assert!(lost.report["warnings"][0].as_str().unwrap().starts_with("r/p1: the lease was lost"), "{lost:?}");
    assert_eq!(all(), before);
}

#[test]
fn two_drains_share_the_phases() {
    let world = World::new(20);
    let root = world.root();
    // Each program waits until both drains have a claim, and fails if its phase is attempted a second time.
    let script = format!(
        "{who}: > {root}/drain.$PPID
         while [ -d {root} ] && [ $(ls {root} | grep -c '^drain\\.') -lt 2 ]; do sleep 0.02; done
         mkdir {root}/attempted.$phase || exit 9
         sleep 0.02; {GOOD}",
        who = crate::world::WHO
    );
    let flags = ["--timeout", "60"];
    let one = world.start(&flags, &script, &[("OPS_SEED", "1")]);
    let two = world.start(&flags, &script, &[("OPS_SEED", "2")]);
    let (one, two) = (one.end(), two.end());
    assert_eq!((one.code, two.code), (0, 0), "{one:?} {two:?}");
    let total = |drained: &crate::world::Drained| drained.report["attempts"]["total"].as_u64().unwrap();
    assert!(total(&one) > 0 && total(&two) > 0);
    assert_eq!(total(&one) + total(&two), 20);
    let counts = "SELECT count(*), count(DISTINCT phase_id), sum(outcome = 'success'), count(DISTINCT owner),
                  count(DISTINCT event_id) FROM phase_attempts";
    assert_eq!(world.rows(counts), "20 | 20 | 20 | 2 | 20");
    assert_eq!(world.rows("SELECT DISTINCT state, builder_attempts FROM phases"), "COMPLETE | 1");
    assert_eq!(world.rows("SELECT state, tokens_used FROM runs"), format!("DONE_SUCCESS | {}", 20 * 3036));
    eventually("every lease is free", || {
        world.one::<i64>("SELECT count(*) FROM phase_leases WHERE owner IS NOT NULL") == 0
    });
}
