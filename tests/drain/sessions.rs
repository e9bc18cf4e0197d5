//! Sessions from outside: limits, resuming, stopping, what is reported, and what FAILED phases return to.

use std::fs;

use serde_json::json;

use crate::support::command::xtask;
use crate::world::{GOOD, WHO, World};

/// What `drain status` says, as JSON.
fn status(world: &World) -> serde_json::Value {
    let output = xtask(world.path()).args(["drain", "status", "--json"]).output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_session_stopped_by_a_limit_goes_on_with_its_limits() {
    let world = World::new(6);
    let first = world.drain(&["--batch-size", "2", "--max-attempts-per-phase", "2"], GOOD);
    assert_eq!((first.code, &first.report["stopped"]), (5, &json!("attempt_limit")), "{first:?}");
    let same = world.drain(&["--resume"], GOOD);
    assert_eq!((same.code, &same.report["attempts"]["total"]), (5, &json!(2)), "{same:?}");
    let more = world.drain(&["--resume", "--attempts-max", "5"], GOOD);
    assert_eq!(
        (more.code, &more.report["attempts"]["total"], &more.report["resumed"]),
        (5, &json!(5), &json!(2))
    );
    assert_eq!(more.report["settings"]["limits"]["attempts_per_phase"], 2);
    let rest = world.drain(&["--resume", "--attempts-max", "100"], GOOD);
    assert_eq!((rest.code, &rest.report["attempts"]["ended"]), (0, &json!({"success": 6})), "{rest:?}");
    assert_eq!(world.one::<i64>("SELECT count(DISTINCT session_id) FROM phase_attempts"), 1);
    let done = world.drain(&["--resume"], GOOD);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(done.stderr.contains("there is nothing to resume"), "{done:?}");
    let sessions = status(&world);
    assert_eq!(
        (&sessions[0]["state"], &sessions[0]["attempts"], &sessions[0]["in_work"]),
        (&json!("drained"), &json!(6), &json!(0))
    );
    for name in ["report.md", "report.html", "report.json"] {
        let report = world.read(format!(".ops/drain/{}/{name}", sessions[0]["id"].as_str().unwrap()));
        assert!(report.contains("6 success") || name.ends_with("json"), "{name}");
    }
}

#[test]
fn a_session_is_not_resumed_on_another_database_or_while_it_works() {
    let world = World::new(2);
    assert_eq!(world.drain(&["--attempts-max", "1"], GOOD).code, 5);
    let id = status(&world)[0]["id"].as_str().unwrap().to_owned();
    let other = World::new(2);
    other.sql("UPDATE ops_lineage SET lineage = '0123456789abcdef'");
    fs::copy(other.path().join("x.db"), world.path().join("y.db")).unwrap();
    let output = xtask(world.path())
        .args(["drain", "--db", "y.db", "--executor", "command", "--resume", &id, "--", "true"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("another database") && said.contains("lineage 0123456789abcdef"), "{said}");

    let slow = waiting(&world);
    let running = world.start(&["--resume", "--attempts-max", "9"], &slow, &[]);
    world.wait_for(world.attempts("p2").join("1/workspace/started"));
    assert_eq!(status(&world)[0]["state"], "working");
    let second = world.drain(&["--resume", &id], GOOD);
    assert_eq!(second.code, 3, "{second:?}");
    assert!(second.stderr.contains("a process works on the session"), "{second:?}");
    let alone = world.drain(&["--exclusive"], GOOD);
    assert_eq!(alone.code, 3, "{alone:?}");
    assert!(alone.stderr.contains("another drain works on this database"), "{alone:?}");
    world.touch("go");
    assert_eq!(running.end().code, 0);
}

/// Says that it has started, waits for `go`, and delivers.
fn waiting(world: &World) -> String {
    let root = world.root();
    format!("echo x > started; while [ -d {root} ] && [ ! -e {root}/go ]; do sleep 0.02; done; {GOOD}")
}

#[test]
fn a_session_that_is_asked_to_stop_ends_with_its_running_attempts() {
    let world = World::new(3);
    let running = world.start(&[], &waiting(&world), &[]);
    world.wait_for(world.attempts("p1").join("1/workspace/started"));
    let stop = || xtask(world.path()).args(["drain", "stop"]).output().unwrap().status.code();
    assert_eq!(stop(), Some(0));
    // The session looks for the request fifty times a second.
    std::thread::sleep(std::time::Duration::from_secs(1));
    world.touch("go");
    let stopped = running.end();
    assert_eq!((stopped.code, &stopped.report["stopped"]), (5, &json!("stop_requested")), "{stopped:?}");
    assert_eq!(stopped.report["attempts"]["ended"], json!({"success": 1}));
    assert_eq!(stop(), Some(3));
    let rest = world.drain(&["--resume"], GOOD);
    assert_eq!((rest.code, &rest.report["attempts"]["total"]), (0, &json!(3)), "{rest:?}");
}

#[test]
fn a_torn_journal_is_cut_and_what_it_lost_comes_from_the_database() {
    let world = World::new(4);
    assert_eq!(world.drain(&["--attempts-max", "3"], GOOD).code, 5);
    let id = status(&world)[0]["id"].as_str().unwrap().to_owned();
    let path = world.path().join(".ops/drain").join(&id).join("journal.ndjson");
    let whole = world.read(&path);
    let lines: Vec<&str> = whole.lines().collect();
    let torn = format!("{}\n{}", lines[..4].join("\n"), &lines[4][..20]);
    fs::write(&path, torn).unwrap();
    assert_eq!(status(&world)[0]["torn_bytes"], 20);
    let rest = world.drain(&["--resume", "--attempts-max", "9"], GOOD);
    assert_eq!((rest.code, &rest.report["attempts"]["total"]), (0, &json!(4)), "{rest:?}");
    assert_eq!(rest.report["cut"], json!({"bytes": 20, "line": 5}));
    assert_eq!(world.rows("SELECT count(*), max(attempt) FROM phase_attempts"), "4 | 1");
}

#[test]
fn who_resumes_a_killed_session_takes_its_write_ahead_log_back() {
    let world = World::new(2);
    let mode = || world.one::<String>("PRAGMA journal_mode");
    assert_eq!(mode(), "delete");
    let running = world.start(&["--lease", "1"], &waiting(&world), &[]);
    world.wait_for(world.attempts("p1").join("1/workspace/started"));
    assert_eq!(mode(), "wal");
    running.signal("KILL");
    assert_eq!(running.end().code, -1);
    assert_eq!(mode(), "wal");
    world.touch("go");
    let rest = world.drain(&["--resume"], GOOD);
    assert_eq!((rest.code, &rest.report["attempts"]["ended"]), (0, &json!({"success": 2})), "{rest:?}");
    assert_eq!(mode(), "delete");
}

#[test]
fn failures_of_an_earlier_normaliser_are_keyed_anew_with_a_mapping() {
    let world = World::new(2);
    let drained = world.drain(&["--keep-going"], "echo 'ValueError: in a.py line 7' >&2; exit 3");
    assert_eq!(drained.code, 1, "{drained:?}");
    let ids = "SELECT DISTINCT fingerprint, fingerprint_version FROM phase_attempts";
    let now = world.rows(ids);
    assert_eq!(now.lines().count(), 1, "{now}");
    world.sql("UPDATE phase_attempts SET fingerprint = 'old-' || phase_id, fingerprint_version = 1");
    let rekey = || {
        let output = xtask(world.path()).args(["drain", "rekey", "--db", "x.db", "--json"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let report = rekey();
    assert_eq!((&report["version"], &report["merged"], &report["split"]), (&json!(2), &json!(1), &json!(0)));
    assert_eq!(report["mappings"].as_array().unwrap().len(), 2, "{report}");
    // The exit status is part of what identifies a failure, and is not lost.
    assert_eq!(world.rows(ids), now);
    assert_eq!(rekey()["mappings"], json!([]));
}

#[test]
fn failed_phases_return_to_where_they_were() {
    let world = World::new(3);
    world.sql("UPDATE phases SET state = 'FAILED', last_failure_reason = 'patch' WHERE phase_id <> 'p3'");
    let script = format!("{WHO} [ $phase = p1 ] || exit 3; {GOOD}");
    let drained = world.drain(&["--state", "failed"], &script);
    assert_eq!(drained.code, 1, "{drained:?}");
    assert_eq!(drained.report["attempts"]["ended"], json!({"success": 1, "failed": 1}));
    assert_eq!(world.rows("SELECT state FROM phases ORDER BY phase_index"), "COMPLETE\nFAILED\nQUEUED");

    let slow = waiting(&world);
    let running = world.start(&["--state", "failed"], &slow, &[]);
    world.wait_for(world.attempts("p2").join("2/workspace/started"));
    let before = "SELECT state, builder_attempts, last_failure_reason FROM phases WHERE phase_id = 'p2'";
    assert!(world.rows(before).starts_with("EXECUTING | 1"));
    running.signal("INT");
    assert_eq!(running.end().code, 130);
    assert_eq!(world.rows(before), "FAILED | 1 | EXIT_STATUS: exit status 3");
}

#[test]
fn an_attempt_that_yields_nothing_says_how_far_it_came() {
    for (script, code, why, stage) in [
        ("exit 1", 1, "count_unknown", "claimed"),
        ("echo import_failed >> $m; exit 1", 1, "import_failed", "import_failed"),
        (
            "echo preflight_ok >> $m; echo model_call_started >> $m; exit 1",
            1,
            "model_failed",
            "model_call_started",
        ),
        (
            "echo preflight_ok >> $m; echo model_call_started >> $m; sleep 100",
            1,
            "timed_out_in_model_call",
            "model_call_started",
        ),
        (
            "echo preflight_ok >> $m; echo x > out.txt; echo '{\"status\": \"success\"}'",
            0,
            "succeeded_without_model_calls",
            "preflight_ok",
        ),
    ] {
        let world = World::new(1);
        world.sql("UPDATE phases SET max_builder_attempts = 1");
        let drained = world.drain(&["--timeout", "1"], &format!("m=../milestones.txt; {script}"));
        assert_eq!(drained.code, code, "{script}: {drained:?}");
        assert_eq!(drained.report["zero_yield"], json!({"total": 1, "ended": {why: 1}}), "{script}");
        let row = world.rows("SELECT zero_yield, milestones, fingerprint IS NULL FROM phase_attempts");
        assert!(row.starts_with(why), "{row}");
        assert!(stage == "claimed" || row.contains(stage), "{row}");
    }
}

#[test]
fn timeouts_of_a_run_and_prefixes_are_reasons_to_skip() {
    let world = World::new(3);
    world.sql("UPDATE phases SET max_builder_attempts = 1");
    let flags = ["--timeout", "1", "--keep-going", "--max-timeouts-per-run", "2"];
    let drained = world.drain(&flags, "sleep 100");
    assert_eq!(drained.report["attempts"]["ended"], json!({"timed_out": 2}), "{drained:?}");
    assert_eq!(drained.report["skipped"], json!({"timeouts": 1}));
    assert_eq!(drained.report["skipped_runs"], json!([{"run_id": "r", "reason": "timeouts", "phases": 1}]));
    let nothing = world.drain(&["--skip-run-prefix", "r"], GOOD);
    assert_eq!((nothing.code, &nothing.report["attempts"]["total"]), (0, &json!(0)), "{nothing:?}");
    let strict = world.drain(&["--preset", "strict"], GOOD);
    let limits = json!({
        "attempts": 50, "seconds": 3600, "attempts_per_phase": 1, "timeouts_per_run": 1, "fingerprint_repeats": 2,
        "zero_yield_streak": 10, "stop_on_failure": true
    });
    assert_eq!((strict.code, &strict.report["settings"]["limits"]), (0, &limits), "{strict:?}");
}
