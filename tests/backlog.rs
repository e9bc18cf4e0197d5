//! A backlog with the shape of a real one (70 runs, 456 phases, indexes that are not unique), drained by a program that
//! fails in the ways such programs do; and the same drain killed again and again.
//!
//! `OPS_DRAIN_LONG=1` kills fifty times and lets four processes share ten thousand phases. `OPS_DRAIN_BACKLOG=FILE` drains
//! a copy of that SQLite database instead, brought up to date first.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may")]

#[path = "backlog/many.rs"]
mod many;
#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;
#[expect(dead_code, reason = "each test binary uses a part of the world")]
#[path = "drain/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::command::xtask_std;
use world::World;

/// Fails or delivers by a checksum of the phase's name, and writes down whom it was asked for.
const AGENT: &str = r#"#!/bin/sh
while IFS= read -r line; do
    case $line in
        *'"run_id": '*) run=${line#*: \"}; run=${run%\",} ;;
        *'"phase_id": '*) phase=${line#*: \"}; phase=${phase%\",} ;;
        *'"milestones": '*) milestones=${line#*: \"}; milestones=${milestones%\",} ;;
    esac
done
echo "$run/$phase" > id
sum=$(echo "$phase" | cksum)
number=$((${sum%% *} % 11))
case $number in
    0|1) echo "Traceback: MAX_ATTEMPTS_EXHAUSTED after $number tries in $run" >&2; exit 1 ;;
    2) echo preflight_ok > "$milestones"; echo "PATCH_FAILED: hunk $number of 7 does not apply" >&2; exit 2 ;;
    3) echo api_not_found > "$milestones"; echo '{"status": "failed", "error": "FAILED"}' ;;
    4) echo model_call_started > "$milestones"; echo '{"status": "failed"}' ;;
    5) echo '{"status": "success", "output_tokens": 12}' ;;
    *) echo text > out.txt; echo '{"status": "success", "output_tokens": 1832, "model": "m"}' ;;
esac
"#;

pub(crate) fn is_long() -> bool {
    std::env::var("OPS_DRAIN_LONG").is_ok_and(|value| value == "1")
}

/// A made-up backlog, or a copy of the real one that is named.
fn backlog() -> World {
    let world = World::new(1);
    match std::env::var_os("OPS_DRAIN_BACKLOG") {
        Some(file) => {
            fs::copy(file, world.path().join("x.db")).unwrap();
            let migrated = xtask_std(world.path()).args(["migrate", "--db", "x.db"]).output().unwrap();
            assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        }
        None => make_up(&world),
    }
    let agent = world.path().join("agent.sh");
    fs::write(&agent, AGENT).unwrap();
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
    let shape = "SELECT state, count(*) FROM phases GROUP BY 1 ORDER BY 1";
    assert_eq!(world.rows(shape), "COMPLETE | 141\nFAILED | 207\nGATE | 1\nQUEUED | 107");
    world
}

/// 70 runs and 456 phases: 207 FAILED in 50 runs, 107 QUEUED in 26, 141 COMPLETE, one GATE; duplicate indexes in 21.
fn make_up(world: &World) {
    let mut sql = String::from("CREATE TEMP TABLE t AS SELECT * FROM phases; DELETE FROM phases;");
    let mut number = 0;
    let mut add = |sql: &mut String, run: usize, state: &str, index: usize, reason: &str| {
        number += 1;
        sql.push_str(&format!(
            "UPDATE t SET id = {number}, run_id = 'run-{run:02}', phase_id = 'phase-{number:03}', state = '{state}',
                 phase_index = {index}, last_failure_reason = {reason}, max_builder_attempts = 2, builder_attempts = 0,
                 scope = '{{\"deliverables\": [\"out.txt\"]}}';
             INSERT INTO phases SELECT * FROM t;"
        ));
    };
    for run in 0..70 {
        sql.push_str(&format!(
            "INSERT INTO runs SELECT 'run-{run:02}', state, created_at, updated_at, started_at, completed_at, safety_profile,
                 run_scope, token_cap, max_phases, max_duration_minutes, max_minor_issues_total, tokens_used,
                 ci_runs_used, minor_issues_count, major_issues_count, promotion_eligible_to_main, debt_status,
                 failure_reason, goal_anchor FROM runs WHERE id = 'r';"
        ));
        // Runs whose phases all have one of three indexes.
        let place = |n: usize| if run < 21 { n % 3 } else { n };
        let share = |total: usize, runs: usize, run: usize| total / runs + usize::from(run < total % runs);
        if run < 50 {
            for n in 0..share(207, 50, run) {
                let reason = match (run, n) {
                    (0..25, 0) => "'MAX_ATTEMPTS_EXHAUSTED'",
                    (25 | 26, 0) => "'FAILED'",
                    (27, 0) => "'PATCH_FAILED'",
                    _ => "NULL",
                };
                add(&mut sql, run, "FAILED", place(n), reason);
            }
        }
        if run >= 44 {
            for n in 0..share(107, 26, run - 44) {
                add(&mut sql, run, "QUEUED", place(n + 2), "NULL");
            }
        }
        for n in 0..share(141, 70, run) {
            add(&mut sql, run, "COMPLETE", place(n + 1), "NULL");
        }
        if run == 69 {
            add(&mut sql, run, "GATE", 0, "NULL");
        }
    }
    sql.push_str("DELETE FROM runs WHERE id = 'r'");
    world.sql(&sql);
}

/// A drain of everything that is not done.
fn start(world: &World, flags: &[&str]) -> Child {
    xtask_std(world.path())
        .args(["drain", "--db", "x.db", "--executor", "command", "--json", "--state", "failed,queued"])
        .args(["--keep-going", "--systemic-runs", "5", "--hold-out", "0.25"])
        .args(flags)
        .args(["--", "./agent.sh"])
        .env("TELEMETRY_DB_ENABLED", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn finish(child: Child) -> Value {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

const ACCOUNTS: &str =
    "SELECT run_id, phase_id, attempt, outcome, reason, detail, telemetry, zero_yield, fingerprint,
    session_id FROM phase_attempts ORDER BY run_id, phase_id, attempt";
const PHASES: &str =
    "SELECT run_id, phase_id, state, builder_attempts, last_failure_reason FROM phases ORDER BY 1, 2";

/// The lines of the only session's journal.
fn journal(world: &World) -> Vec<Value> {
    let folders: Vec<PathBuf> =
        fs::read_dir(world.path().join(".ops/drain")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    let text = fs::read_to_string(folders[0].join("journal.ndjson")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every attempt of the journal ended under the claim that it began with, and its program was asked for that phase.
fn assert_executed_as_claimed(world: &World) {
    let mut claims: BTreeMap<i64, Value> = BTreeMap::new();
    let mut ended = 0;
    for line in journal(world) {
        let pk = line["pk"].as_i64().unwrap_or_default();
        match line["event"].as_str().unwrap() {
            "claimed" => assert!(claims.insert(pk, line).is_none(), "claimed twice: {pk}"),
            "ended" => {
                let claim = claims.remove(&pk).unwrap_or_else(|| panic!("{line}: never claimed"));
                for field in ["run_id", "phase_id", "attempt"] {
                    assert_eq!(claim[field], line[field]);
                }
                ended += 1;
            }
            "released" => drop(claims.remove(&pk)),
            _ => {}
        }
    }
    assert!(claims.is_empty(), "{claims:?}");
    assert_eq!(world.one::<i64>("SELECT count(*) FROM phase_attempts"), ended);
    // A phase whose scope cannot be read has an account, and no program was asked.
    let asked =
        "SELECT run_id || '/' || phase_id, attempt FROM phase_attempts WHERE reason IS NOT 'scope_invalid'";
    for line in world.rows(asked).lines() {
        let (key, attempt) = line.split_once(" | ").unwrap();
        assert_eq!(world.read(format!(".ops/attempts/{key}/{attempt}/workspace/id")).trim(), key);
    }
}

/// A phase that was in a wanted state has an account or a reason why it was skipped, and ends in one state.
fn assert_accounted(world: &World, report: &Value) {
    let attempted = world.one::<i64>("SELECT count(DISTINCT run_id || '/' || phase_id) FROM phase_attempts");
    let skipped: i64 = report["skipped"].as_object().unwrap().values().map(|n| n.as_i64().unwrap()).sum();
    assert_eq!(attempted + skipped, 207 + 107, "{:?}", report["skipped"]);
    assert_eq!(world.one::<i64>("SELECT count(*) FROM phases WHERE state = 'EXECUTING'"), 0);
    let unexplained =
        "SELECT count(*) FROM phase_attempts WHERE (event_id IS NULL) <> (zero_yield IS NOT NULL)";
    assert_eq!(world.one::<i64>(unexplained), 0);
    assert_eq!(world.rows("SELECT state, count(*) FROM phases WHERE state = 'GATE'"), "GATE | 1");
}

#[test]
fn a_drain_that_is_killed_again_and_again_ends_as_one_that_was_not() {
    let whole = backlog();
    let expected = finish(start(&whole, &[]));
    assert_accounted(&whole, &expected);
    assert_executed_as_claimed(&whole);
    // The failure that many runs share names its run: a number here, which is the same template, and words in a real one.
    let is_made_up = std::env::var_os("OPS_DRAIN_BACKLOG").is_none();
    let is_stopped = expected["skipped"].as_object().unwrap().contains_key("systemic");
    assert_eq!(is_stopped, is_made_up, "{}", expected["skipped"]);

    let world = backlog();
    let mut moments = support::kill::Moments(42);
    let wanted = if is_long() { 50 } else { 10 };
    let mut kills = 0;
    let report = loop {
        let begun = world.path().join(".ops/drain").exists();
        let mut child = start(&world, if begun { &["--resume"] } else { &[] });
        if kills == wanted {
            break finish(child);
        }
        std::thread::sleep(Duration::from_millis(80) + moments.next(300));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            None => kills += 1,
            // It came to its end before it could be killed.
            Some(1) => break serde_json::from_slice(&output.stdout).unwrap(),
            // Killed before its journal had a first line.
            Some(3) if said.contains("nothing to resume") => {
                fs::remove_dir_all(world.path().join(".ops/drain")).unwrap();
            }
            code => panic!("{code:?}: {said}"),
        }
    };
    assert!(kills >= 10, "{kills} kills");
    assert_eq!(world.rows(ACCOUNTS), whole.rows(ACCOUNTS));
    assert_eq!(world.rows(PHASES), whole.rows(PHASES));
    for part in [
        "attempts",
        "events",
        "zero_yield",
        "asked_model",
        "skipped",
        "cut_short",
        "skipped_runs",
        "hold_out",
        "runs",
    ] {
        assert_eq!(report[part], expected[part], "{part}");
    }
    for part in ["phases_completed", "phases_failed", "left_waiting", "fingerprints", "reopened", "stopped"] {
        assert_eq!(report[part], expected[part], "{part}");
    }
    assert_accounted(&world, &report);
    let lines = journal(&world);
    assert!(lines.iter().any(|line| line["event"] == "resumed"));
}
