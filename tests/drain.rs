//! `drain` from outside, with programs that do what programs do: deliver, lie, crash, hang, print nonsense.
//!
//! The programs are shell scripts, so all of this is for Unix. What stops and kills is in `drain/stopping.rs`.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may")]

#[expect(dead_code, reason = "each test binary uses a part of the support")]
#[path = "support/postgres.rs"]
mod cluster;
#[path = "drain/http.rs"]
mod http;
#[path = "drain/models.rs"]
mod models;
#[path = "drain/server.rs"]
mod server;
#[path = "drain/sessions.rs"]
mod sessions;
#[path = "drain/stopping.rs"]
mod stopping;
#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;
#[path = "drain/world.rs"]
mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use ops::tokens::estimator::ESTIMATOR_VERSION;
use serde_json::{Value, json};
use world::{GOOD, WHO, World};

#[test]
fn a_program_that_delivers() {
    let world = World::new(2);
    world.sql("UPDATE phases SET samples_target = 2 WHERE phase_id = 'p2'");
    let drained = world.drain(&[], &format!("cat > input.json; pwd -P > where.txt; {GOOD}"));
    assert_eq!((drained.code, drained.stderr.as_str()), (0, ""), "{drained:?}");
    assert_eq!(drained.report["attempts"], json!({"total": 3, "ended": {"success": 3}}));
    assert_eq!(drained.report["events"], json!({"total": 3, "ended": {"written": 3}}));
    assert_eq!(
        (&drained.report["phases_completed"], &drained.report["left_waiting"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(
        world.rows("SELECT phase_id, state, builder_attempts, tokens_used, completed_at IS NULL FROM phases"),
        "p1 | COMPLETE | 1 | 3036 | 0\np2 | COMPLETE | 2 | 6072 | 0"
    );
    let events = "SELECT e.phase_id, e.attempt, e.outcome_source, e.actual_output_tokens, e.input_tokens,
            e.actual_max_tokens, e.stop_reason, e.model, e.success, e.truncated, e.estimator_version, a.telemetry
        FROM token_estimation_v2_events e JOIN phase_attempts a USING (event_id) ORDER BY e.event_id";
    let event = |phase: &str, attempt: u8| {
        format!(
            "{phase} | {attempt} | command | 1832 | 1204 | 8192 | end_turn | builder-1 | 1 | 0 | {ESTIMATOR_VERSION} | written"
        )
    };
    assert_eq!(world.rows(events), [event("p1", 1), event("p2", 1), event("p2", 2)].join("\n"));

    let place = fs::canonicalize(world.attempts("p2")).unwrap().join("2");
    let workspace = place.join("workspace");
    assert_eq!(world.read(workspace.join("where.txt")).trim_end(), workspace.to_str().unwrap());
    let input = world.read(workspace.join("input.json"));
    assert_eq!(world.read(place.join("phase.json")), input);
    let input: Value = serde_json::from_str(&input).unwrap();
    let (name, description): (String, String) = (
        world.one("SELECT name FROM phases WHERE phase_id = 'p2'"),
        world.one("SELECT description FROM phases WHERE phase_id = 'p2'"),
    );
    let (predicted, budget): (i64, i64) = (
        world.one("SELECT predicted_output_tokens FROM token_estimation_v2_events WHERE event_id = 3"),
        world.one("SELECT selected_budget FROM token_estimation_v2_events WHERE event_id = 3"),
    );
    let expected = json!({
        "format": 1, "run_id": "r", "phase_id": "p2", "attempt": 2, "name": name, "description": description,
        "category": "implementation", "complexity": "low", "deliverables": ["out.txt"], "read_only_context": [],
        "workspace": workspace, "milestones": place.join("milestones.txt"), "predicted_output_tokens": predicted, "selected_budget": budget,
    });
    assert_eq!(input, expected);
}

/// A script, how its attempts end, why, what the detail contains, and what becomes of the events.
type Bad = (&'static str, &'static str, &'static str, &'static str, &'static str);

const BAD: &[Bad] = &[
    (
        r#"echo '{"status": "success", "output_tokens": 900}'"#,
        "failed",
        "not_verified",
        "not delivered: out.txt",
        "written",
    ),
    (
        r#": > out.txt; echo '{"status": "success", "output_tokens": 900}'"#,
        "failed",
        "not_verified",
        "not delivered: out.txt",
        "written",
    ),
    (
        r#"mkdir out.txt; echo '{"status": "success", "output_tokens": 900}'"#,
        "failed",
        "not_verified",
        "not delivered: out.txt",
        "written",
    ),
    (
        r#"ln -s ../phase.json out.txt; echo '{"status": "success", "output_tokens": 900}'"#,
        "failed",
        "not_verified",
        "not delivered: out.txt",
        "written",
    ),
    (
        r#"echo x > out.txt; echo '{"status": "success", "output_tokens": 900, "stop_reason": "max_tokens"}'"#,
        "truncated",
        "truncated",
        "stop reason max_tokens",
        "written",
    ),
    (
        r#"echo x > out.txt; echo '{"status": "failed", "output_tokens": 900, "error": "no idea"}'"#,
        "failed",
        "reported_failure",
        "no idea",
        "written",
    ),
    (
        r#"echo '{"status": "failed"}'"#,
        "failed",
        "reported_failure",
        "no error text",
        "output_tokens_unknown",
    ),
    ("echo x > out.txt", "failed", "result_invalid", "nothing was printed", "output_tokens_unknown"),
    (
        "echo x > out.txt; echo Done.",
        "failed",
        "result_invalid",
        "not a JSON object",
        "output_tokens_unknown",
    ),
    (
        r#"echo x > out.txt; echo '["success", 900]'"#,
        "failed",
        "result_invalid",
        "not a JSON object",
        "output_tokens_unknown",
    ),
    (
        r#"echo x > out.txt; echo '{"status": "success"} {"status": "success"}'"#,
        "failed",
        "result_invalid",
        "trailing characters",
        "output_tokens_unknown",
    ),
    (
        r#"echo x > out.txt; echo '{"status": "success", "tokens": 900}'"#,
        "failed",
        "result_invalid",
        "unknown field `tokens`",
        "output_tokens_unknown",
    ),
    (
        r#"echo x > out.txt; echo '{"status": "success", "output_tokens": -900}'"#,
        "failed",
        "result_invalid",
        "invalid value: integer `-900`",
        "output_tokens_unknown",
    ),
    (
        r#"echo x > out.txt; echo '{"status": "success"}'; head -c 1048576 /dev/zero | tr '\0' ' '"#,
        "failed",
        "result_invalid",
        "is longer than 1.0 MiB",
        "output_tokens_unknown",
    ),
    (
        "echo first >&2; echo boom >&2; exit 7",
        "failed",
        "exit_status",
        "exit status 7: boom",
        "output_tokens_unknown",
    ),
    (
        r#"echo x > out.txt; echo '{"status": "success"}'; exit 1"#,
        "failed",
        "exit_status",
        "exit status 1",
        "output_tokens_unknown",
    ),
    ("kill -KILL $$", "failed", "exit_status", "ended by signal 9", "output_tokens_unknown"),
    ("rm ../stdout.txt", "failed", "executor_error", "stdout.txt", "output_tokens_unknown"),
];

#[test]
fn everything_else_is_one_account_with_a_reason() {
    for (script, outcome, reason, says, event) in BAD {
        let world = World::new(1);
        assert_fails_three_times(&world, &world.drain(&[], script), (outcome, reason, says, event));
    }
    let world = World::new(1);
    let drained = world.start_program(&[], &["no-such-program"], &[]).end();
    let says = "failed to start `no-such-program`";
    assert_fails_three_times(
        &world,
        &drained,
        ("failed", "program_not_started", says, "output_tokens_unknown"),
    );
}

#[track_caller]
fn assert_fails_three_times(world: &World, drained: &world::Drained, expected: (&str, &str, &str, &str)) {
    let (outcome, reason, says, event) = expected;
    assert_eq!(drained.code, 1, "{expected:?}: {drained:?}");
    assert_eq!(drained.report["attempts"], json!({"total": 3, "ended": {outcome: 3}}), "{expected:?}");
    assert_eq!(drained.report["events"], json!({"total": 3, "ended": {event: 3}}), "{expected:?}");
    let states: Vec<&Value> =
        drained.report["failures"].as_array().unwrap().iter().map(|f| &f["state"]).collect();
    assert_eq!(states, ["QUEUED", "QUEUED", "FAILED"], "{expected:?}");
    let attempts = "SELECT attempt, outcome, reason, verified, telemetry FROM phase_attempts";
    let row = |attempt| format!("{attempt} | {outcome} | {reason} | 0 | {event}");
    assert_eq!(world.rows(attempts), [1, 2, 3].map(row).join("\n"), "{expected:?}");
    let phase = world.rows("SELECT state, builder_attempts, retry_attempt, last_failure_reason FROM phases");
    let failed = format!("FAILED | 3 | 3 | {}: ", reason.to_uppercase());
    assert!(phase.starts_with(&failed) && phase.contains(says), "{expected:?}: {phase}");
    assert_eq!(world.rows("SELECT state FROM runs"), "DONE_FAILED_REQUIRES_HUMAN_REVIEW");
    assert_eq!(world.one::<i64>("SELECT count(*) FROM token_estimation_v2_events WHERE success"), 0);
}

#[test]
fn a_deliverable_is_a_file_of_this_workspace() {
    let answer = r#"echo '{"status": "success", "output_tokens": 900}'"#;
    for (deliverable, script, code) in [
        ("docs/out.txt", "mkdir docs; echo x > docs/out.txt", 0),
        ("./docs//out.txt", "mkdir docs; echo x > docs/out.txt", 0),
        // Each of these names a file that somebody else wrote.
        ("docs/phase.json", "ln -s .. docs", 1),
        ("phase.json", "cd ..; mv workspace w; ln -s . workspace", 1),
        (".", "true", 1),
    ] {
        let world = World::new(1);
        world.sql(&format!("UPDATE phases SET scope = '{{\"deliverables\": [\"{deliverable}\"]}}'"));
        let drained = world.drain(&[], &format!("{script}; {answer}"));
        assert_eq!(drained.code, code, "{deliverable}: {drained:?}");
    }
    for deliverable in ["../out.txt", "a/../../out.txt", "/tmp/out.txt", ""] {
        let world = World::new(1);
        world.sql(&format!("UPDATE phases SET scope = '{{\"deliverables\": [\"{deliverable}\"]}}'"));
        let drained = world.drain(&[], GOOD);
        assert_eq!(drained.code, 1);
        assert_eq!(drained.report["failures"][0]["reason"], "scope_invalid", "{deliverable}");
        assert!(!world.attempts("p1").exists(), "{deliverable}: the program was started");
    }
}

#[test]
fn a_success_without_a_usable_token_count_leaves_no_event() {
    for (tokens, why) in [
        ("", "output_tokens_unknown"),
        (", \"output_tokens\": null", "output_tokens_unknown"),
        (", \"output_tokens\": 49", "below_validity_limit"),
        (", \"output_tokens\": 50", "written"),
    ] {
        let world = World::new(1);
        let drained =
            world.drain(&[], &format!("echo x > out.txt; echo '{{\"status\": \"success\"{tokens}}}'"));
        assert_eq!(drained.code, 0, "{drained:?}");
        assert_eq!(drained.report["attempts"]["ended"], json!({"success": 1}));
        assert_eq!(drained.report["events"]["ended"], json!({why: 1}));
        assert_eq!(
            world.rows("SELECT outcome, verified, telemetry FROM phase_attempts"),
            format!("success | 1 | {why}")
        );
        assert_eq!(world.rows("SELECT state FROM phases"), "COMPLETE");
    }
}

#[test]
fn one_phase_that_fails_stops_the_others_unless_told_to_go_on() {
    let script = format!("{WHO} [ $phase != p1 ] || exit 3; {GOOD}");
    let states = "SELECT group_concat(state, ' ') FROM (SELECT state FROM phases ORDER BY phase_index)";
    let world = World::new(3);
    world.sql("UPDATE phases SET max_builder_attempts = 1");
    let drained = world.drain(&[], &script);
    assert_eq!((drained.code, &drained.report["stopped"]), (1, &json!("phase_failed")), "{drained:?}");
    assert_eq!(world.rows(states), "FAILED QUEUED QUEUED");
    assert_eq!(world.rows("SELECT state FROM runs"), "PHASE_EXECUTION");
    let drained = world.drain(&[], &script);
    assert_eq!((drained.code, &drained.report["stopped"]), (0, &Value::Null), "{drained:?}");
    assert_eq!(world.rows(states), "FAILED COMPLETE COMPLETE");

    let world = World::new(3);
    let drained = world.drain(&["--keep-going"], &script);
    assert_eq!(drained.code, 1, "{drained:?}");
    assert_eq!(drained.report["attempts"]["ended"], json!({"success": 2, "failed": 3}));
    assert_eq!(world.rows(states), "FAILED COMPLETE COMPLETE");
    assert_eq!(world.rows("SELECT state FROM runs"), "DONE_FAILED_REQUIRES_HUMAN_REVIEW");
}

#[test]
fn an_event_that_the_database_refuses_is_counted_and_stops_nothing() {
    for (sql, code) in [
        (
            "ALTER TABLE token_estimation_v2_events ADD COLUMN n INTEGER CONSTRAINT no_builders CHECK (model <> 'builder-1')",
            "rejected:check:no_builders",
        ),
        (
            "CREATE TRIGGER t BEFORE INSERT ON token_estimation_v2_events
             BEGIN SELECT RAISE(ABORT, 'events are closed'); END",
            "rejected:trigger:events are closed",
        ),
        ("DROP TABLE token_estimation_v2_events", "database_error"),
    ] {
        let world = World::new(2);
        world.sql(sql);
        let drained = world.drain(&[], GOOD);
        assert_eq!(drained.code, 0, "{sql}: {drained:?}");
        assert_eq!(drained.report["attempts"], json!({"total": 2, "ended": {"success": 2}}));
        assert_eq!(drained.report["events"], json!({"total": 2, "ended": {code: 2}}));
        assert_eq!(
            world.rows("SELECT DISTINCT telemetry, event_id FROM phase_attempts"),
            format!("{code} | null")
        );
        assert_eq!(world.rows("SELECT DISTINCT state, builder_attempts FROM phases"), "COMPLETE | 1");
        let warned = drained.report["warnings"].to_string().contains("no such table");
        assert_eq!(warned, code == "database_error", "{drained:?}");
    }
}

#[test]
fn an_event_that_the_database_refuses_is_an_error_at_once_for_who_debugs() {
    let world = World::new(3);
    world.sql("ALTER TABLE token_estimation_v2_events RENAME TO elsewhere");
    let drained = world.start(&[], GOOD, &[("TELEMETRY_DEBUG", "1")]).end();
    assert_eq!(drained.code, 1, "{drained:?}");
    let said = ["failed to write the event of", "no such table"];
    assert!(said.iter().all(|words| drained.stderr.contains(words)), "{drained:?}");
    // The attempt itself is accounted for, and no other was made.
    assert_eq!(world.rows("SELECT outcome, telemetry FROM phase_attempts"), "success | database_error");
    world.sql("ALTER TABLE elsewhere RENAME TO token_estimation_v2_events");
    let resumed = world.drain(&["--resume"], GOOD);
    assert_eq!((resumed.code, world.rows("SELECT count(*) FROM phase_attempts").as_str()), (0, "3"));
    assert_eq!(world.rows("SELECT count(*) FROM token_estimation_v2_events"), "2");
}

#[test]
fn the_phase_that_is_attempted_is_the_one_that_was_claimed() {
    let world = World::new(3);
    world.sql(
        "INSERT INTO runs SELECT 's', state, created_at, updated_at, started_at, completed_at, safety_profile,
             run_scope, token_cap, max_phases, max_duration_minutes, max_minor_issues_total, tokens_used,
             ci_runs_used, minor_issues_count, major_issues_count, promotion_eligible_to_main, debt_status,
             failure_reason, goal_anchor FROM runs;
         CREATE TEMP TABLE copy AS SELECT * FROM phases;
         UPDATE copy SET id = NULL, run_id = 's';
         INSERT INTO phases SELECT * FROM copy;
         UPDATE phases SET phase_index = 0",
    );
    let answer =
        r#"{"status": "failed", "output_tokens": 900, "error": "by $run/$phase"}"#.replace('"', "\\\"");
    let script = format!(
        "{WHO} [ \"$run/$phase\" = s/p2 ] && echo \"{answer}\" && exit; echo $run/$phase > id; {GOOD}"
    );
    let drained = world.drain(&["--keep-going"], &script);
    assert_eq!(drained.code, 1, "{drained:?}");
    let states = "SELECT run_id || '/' || phase_id, state, last_failure_reason FROM phases ORDER BY 1";
    assert_eq!(
        world.rows(states),
        "r/p1 | COMPLETE | null\nr/p2 | COMPLETE | null\nr/p3 | COMPLETE | null\ns/p1 | COMPLETE | null\n\
         s/p2 | FAILED | REPORTED_FAILURE: by s/p2\ns/p3 | COMPLETE | null"
    );
    for key in ["r/p1", "r/p2", "r/p3", "s/p1", "s/p3"] {
        assert_eq!(world.read(format!(".ops/attempts/{key}/1/workspace/id")).trim_end(), key);
        let written = world.rows(&format!(
            "SELECT count(*), sum(success) FROM token_estimation_v2_events WHERE run_id || '/' || phase_id = '{key}'"
        ));
        assert_eq!(written, "1 | 1");
    }
    let unknown = world.drain(&["--run-id", "t"], GOOD);
    assert_eq!(unknown.code, 3, "{unknown:?}");
    assert!(unknown.stderr.contains("expected: one of 2 runs: r, s"), "{unknown:?}");
    let only = world.drain(&["--run-id", "s"], GOOD);
    assert_eq!((only.code, &only.report["attempts"]["total"]), (0, &json!(0)));
}

#[test]
fn rows_of_earlier_programs_are_drained_or_named() {
    let world = World::new(9);
    world.sql(
        "UPDATE phases SET task_category = NULL, complexity = NULL WHERE phase_id = 'p1';
         UPDATE phases SET complexity = 'MEDIUM-HIGH' WHERE phase_id = 'p2';
         UPDATE phases SET complexity = 'SIMPLE', description = NULL WHERE phase_id = 'p3';
         UPDATE phases SET scope = NULL WHERE phase_id = 'p4';
         UPDATE phases SET scope = 'null', max_builder_attempts = NULL WHERE phase_id = 'p5';
         UPDATE phases SET scope = '{\"deliverables\": [' WHERE phase_id = 'p6';
         UPDATE phases SET scope = '{\"deliverables\": {\"code\": [7]}}' WHERE phase_id = 'p7';
         UPDATE phases SET tier_id = 99 WHERE phase_id = 'p8';
         UPDATE phases SET run_id = 'ghost' WHERE phase_id = 'p9'",
    );
    let drained = world.drain(&["--keep-going"], GOOD);
    assert_eq!(drained.code, 1, "{drained:?}");
    assert_eq!(drained.report["attempts"], json!({"total": 13, "ended": {"success": 7, "failed": 6}}));
    let ended = json!({"written": 6, "output_tokens_unknown": 6, "rejected:foreign_key": 1});
    assert_eq!(drained.report["events"], json!({"total": 13, "ended": ended}));
    assert_eq!(
        world.rows("SELECT phase_id, last_failure_reason FROM phases WHERE state <> 'COMPLETE'"),
        "p6 | SCOPE_INVALID: the column `scope` is not a scope: EOF while parsing a list at line 1 column 18\n\
         p7 | SCOPE_INVALID: the column `scope` is not a scope: a deliverable is 7, which names no file at line 1 column 31"
    );
    assert_eq!(world.one::<i64>("SELECT count(*) FROM phases WHERE state = 'FAILED'"), 2);
    assert!(!world.attempts("p6").exists(), "the program was started without a scope");
    let events = "SELECT phase_id, category, complexity, deliverable_count FROM token_estimation_v2_events
                  WHERE phase_id IN ('p1', 'p2', 'p3', 'p4', 'p5') ORDER BY phase_id";
    assert_eq!(
        world.rows(events),
        "p1 | unknown | medium | 1\np2 | implementation | medium | 1\np3 | implementation | medium | 1\n\
         p4 | implementation | medium | 0\np5 | implementation | medium | 0"
    );
    let warnings = drained.report["warnings"].to_string();
    for said in
        ["r/p1: no complexity", "r/p2: complexity `MEDIUM-HIGH` is not known", "r/p3: complexity `SIMPLE`"]
    {
        assert!(warnings.contains(said), "{said}: {warnings}");
    }
}

#[test]
fn a_limit_leaves_the_rest_waiting() {
    let world = World::new(5);
    let drained = world.drain(&["--attempts-max", "3"], GOOD);
    assert_eq!((drained.code, &drained.report["stopped"]), (5, &json!("attempt_limit")), "{drained:?}");
    assert_eq!(
        (&drained.report["attempts"]["total"], &drained.report["left_waiting"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(world.rows("SELECT state, count(*) FROM phases GROUP BY 1"), "COMPLETE | 3\nQUEUED | 2");
    // A limit that is reached just when nothing waits any more has stopped nothing.
    let drained = world.drain(&["--attempts-max", "2"], GOOD);
    assert_eq!((drained.code, &drained.report["stopped"]), (0, &Value::Null), "{drained:?}");

    let again = support::command::xtask(world.path())
        .args(["drain", "--db", "x.db", "--executor", "command", "--", "no-such-program"])
        .output()
        .unwrap();
    let stdout = String::from_utf8(again.stdout).unwrap();
    assert_eq!(again.status.code(), Some(0), "{stdout}");
    assert!(stdout.contains("no phase is QUEUED") && stdout.contains("0 = 0"), "{stdout}");
}

#[test]
fn a_program_is_found_from_where_the_drain_was_started() {
    let world = World::new(1);
    let path = world.path().join("agent.sh");
    fs::write(&path, format!("#!/bin/sh\n{GOOD}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let drained = world.start_program(&[], &["./agent.sh"], &[]).end();
    assert_eq!(drained.code, 0, "{drained:?}");
}

#[test]
fn seeding_with_a_program() {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"sed -n '/"deliverables": \[/,/\]/p' | sed '1d;$d;s/[ ",]//g' | while read -r file; do
            mkdir -p "$(dirname "$file")" && echo text > "$file"
        done
        echo '{"status": "success", "output_tokens": 400, "stop_reason": "end_turn", "model": "m"}'"#;
    let output = support::command::xtask(dir.path())
        .args(["seed-telemetry", "--db", "seed.db", "--executor", "command", "--", "sh", "-c", script])
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    let conn = rusqlite::Connection::open(dir.path().join("seed.db")).unwrap();
    let events =
        "SELECT count(*) FROM token_estimation_v2_events WHERE success AND outcome_source = 'command'";
    assert_eq!(conn.query_row(events, [], |row| row.get::<_, i64>(0)).unwrap(), 20);
}

#[test]
fn a_budget_that_was_too_small_is_raised_once_for_the_next_attempts() {
    let world = World::new(1);
    let cut = "cat > input.json; echo x > out.txt; echo '{\"status\": \"success\", \"output_tokens\": 9000, \
        \"max_tokens\": 8192, \"stop_reason\": \"max_tokens\"}'";
    let drained = world.drain(&[], cut);
    assert_eq!(drained.report["attempts"]["ended"], json!({"truncated": 3}), "{drained:?}");
    let budget = |attempt: u64| {
        let input = world.read(world.attempts("p1").join(format!("{attempt}/workspace/input.json")));
        serde_json::from_str::<Value>(&input).unwrap()["selected_budget"].as_u64().unwrap()
    };
    // A quarter above the largest of what was chosen, allowed and used.
    assert_eq!((budget(2), budget(3)), (11_250, 11_250));
    assert!(budget(1) < 9000);
    let row = "SELECT run_id, phase_id, attempt_index, reason, base_source, base_value, retry_max_tokens, tokens_used
        FROM token_budget_escalation_events";
    assert_eq!(world.rows(row), "r | p1 | 1 | truncation | tokens_used | 9000 | 11250 | 9000");
}
