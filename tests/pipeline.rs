//! The way of a backfill through its gates, as the tasks tell it: what passed, what comes next, and what is refused.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic as tests do")]

#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;

use std::path::Path;

use ops::files::write_atomic;
use support::command::xtask;
use support::gated::{Decision, PLAN, Stage, chain, decision};
use support::golden::assert_golden;

const GATES: &str = ".ops/gates.ndjson";

fn run(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let output = xtask(dir).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn world() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let database = rusqlite::Connection::open(dir.path().join("app.db")).unwrap();
    database.execute_batch("CREATE TABLE assessment_sessions (id TEXT PRIMARY KEY)").unwrap();
    dir
}

fn way(words: &[(&str, &str)]) -> Vec<(Stage, Decision)> {
    let stage = |word: &str| serde_json::from_value(word.into()).unwrap();
    words.iter().map(|(name, word)| (stage(name), decision(word))).collect()
}

const APPLIED: [(&str, &str); 4] =
    [("plan", "pass"), ("approve", "pass"), ("apply", "begun"), ("apply", "pass")];

fn lines(dir: &Path) -> Vec<String> {
    std::fs::read_to_string(dir.join(GATES)).unwrap().lines().map(str::to_owned).collect()
}

fn put(dir: &Path, lines: &[String]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    write_atomic(&dir.join(GATES), text.as_bytes()).unwrap();
}

#[test]
fn the_pipeline_says_where_it_stands_and_starts_nothing() {
    let dir = world();
    let (code, _, stderr) = run(dir.path(), &["pipeline", "status"]);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("no record is about this plan"), "{stderr}");
    chain(dir.path(), PLAN, &way(&APPLIED));
    let before = lines(dir.path());
    let (code, stdout, stderr) = run(dir.path(), &["pipeline", "status"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_golden("pipeline/applied/expected/stdout.txt", &stdout);
    let (_, json, _) = run(dir.path(), &["pipeline", "status", "--plan", &PLAN[..12], "--json"]);
    assert_golden("pipeline/applied/expected/walk.json", &json);
    assert_eq!(lines(dir.path()), before, "looking adds nothing");
    assert_eq!(std::fs::read_dir(dir.path().join(".ops")).unwrap().count(), 1, "and makes nothing");
}

#[test]
fn a_stage_that_did_not_pass_stops_the_pipeline() {
    let dir = world();
    chain(dir.path(), PLAN, &way(&APPLIED));
    chain(dir.path(), PLAN, &way(&[("soak", "fail")]));
    let (code, stdout, _) = run(dir.path(), &["pipeline", "status"]);
    assert_eq!(code, 6, "{stdout}");
    assert_golden("pipeline/stopped/expected/stdout.txt", &stdout);
    let (code, _, stderr) = run(dir.path(), &["pipeline", "require", "health"]);
    assert_eq!(code, 6, "{stderr}");
    assert!(stderr.contains("`soak` comes next (record 5: fail)"), "{stderr}");
    chain(dir.path(), PLAN, &way(&[("soak", "pass"), ("health", "pass")]));
    let (code, stdout, _) = run(dir.path(), &["pipeline", "status"]);
    assert!(code == 0 && stdout.contains("Every stage passed."), "{stdout}");
    chain(dir.path(), PLAN, &way(&[("rollback", "pass")]));
    let (_, stdout, _) = run(dir.path(), &["pipeline", "status"]);
    assert!(stdout.contains("Record 8 took the plan back. Nothing comes next."), "{stdout}");
}

#[test]
fn stages_out_of_their_order_are_refused() {
    let dir = world();
    for (records, stage, why) in [
        (&APPLIED[..1], "soak", "`approve` comes next"),
        (&APPLIED[1..2], "health", "`apply` comes next"),
        (&APPLIED[2..3], "soak", "`apply` comes next"),
        (&APPLIED[3..], "apply", "`soak` comes next"),
    ] {
        chain(dir.path(), PLAN, &way(records));
        let (code, stdout, stderr) = run(dir.path(), &["pipeline", "require", stage]);
        assert_eq!((code, stdout.as_str()), (6, ""), "{stderr}");
        assert!(stderr.contains("gate not met") && stderr.contains(why), "{stderr}");
    }
    let (code, stdout, _) = run(dir.path(), &["pipeline", "require", "soak"]);
    assert_eq!((code, stdout.as_str()), (0, "`soak` comes next\n"));
    // A health check that came before the soak does not count, and the audit says so.
    chain(dir.path(), PLAN, &way(&[("health", "pass"), ("soak", "pass")]));
    let (code, _, stderr) = run(dir.path(), &["pipeline", "require", "soak"]);
    assert!(code == 6 && stderr.contains("`health` comes next (record 5 does not count"), "{stderr}");
    let (code, stdout, _) = run(dir.path(), &["gates", "audit"]);
    assert!(
        code == 6 && stdout.contains("health of plan 1111aaaa2222; the last soak is of plan none"),
        "{stdout}"
    );
}

#[test]
fn tampered_chains_are_refused_with_the_reason_by_every_task() {
    type Tamper = fn(&mut Vec<String>);
    let tampered: [(Tamper, &str); 5] = [
        (|lines| lines[3] = lines[3].replace("\"pass\"", "\"fail\""), "line 4: edited"),
        (|lines| _ = lines.remove(1), "line 2: missing"),
        (|lines| lines.push(lines[3].clone()), "line 5: replayed: record 4 again"),
        (|lines| lines.swap(2, 3), "line 3: missing"),
        (|lines| lines[3].truncate(40), "line 4: edited"),
    ];
    for (tamper, why) in tampered {
        let dir = world();
        chain(dir.path(), PLAN, &way(&APPLIED));
        let mut records = lines(dir.path());
        tamper(&mut records);
        put(dir.path(), &records);
        for args in [&["pipeline", "status"][..], &["pipeline", "require", "soak"], &["gates", "show"]] {
            let (code, _, stderr) = run(dir.path(), args);
            assert_eq!(code, 3, "{stderr}");
            assert!(stderr.contains("cannot be relied on") && stderr.contains(why), "{why}\n{stderr}");
        }
        assert_eq!(run(dir.path(), &["gates", "audit"]).0, 6);
    }
}

#[test]
fn a_record_of_another_chain_is_refused_wherever_it_stands() {
    let (dir, other) = (world(), world());
    chain(dir.path(), PLAN, &way(&APPLIED));
    chain(other.path(), PLAN, &way(&APPLIED[..2]));
    chain(other.path(), PLAN, &way(&[("plan", "pass"), ("apply", "begun"), ("soak", "pass")]));
    let foreign = lines(other.path());
    let mut records = lines(dir.path());
    records.push(foreign[4].clone());
    put(dir.path(), &records);
    let (code, _, stderr) = run(dir.path(), &["pipeline", "status"]);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("line 5: replayed") && stderr.contains("of another chain"), "{stderr}");
}

#[test]
fn a_pass_of_another_plan_lets_nothing_through() {
    let dir = world();
    let other = PLAN.replace('1', "9");
    chain(dir.path(), &other, &way(&APPLIED));
    chain(dir.path(), &other, &way(&[("soak", "pass")]));
    chain(dir.path(), PLAN, &way(&APPLIED));
    let (code, _, stderr) = run(dir.path(), &["pipeline", "require", "health", "--plan", &PLAN[..12]]);
    assert!(code == 6 && stderr.contains("`soak` comes next"), "{stderr}");
    let (code, stdout, _) = run(dir.path(), &["pipeline", "require", "health", "--plan", &other[..12]]);
    assert_eq!((code, stdout.as_str()), (0, "`health` comes next\n"));
}

/// The artifacts of a run that never was, of the shape of the original pipeline's: three batches, one log missing, 39 sessions
/// in 135 seconds, and a soak of six hours in ten milliseconds.
fn never_was(dir: &Path) {
    let session = |n: usize| format!("0a0a0a0a-0000-4000-8000-{n:012x}");
    let log = |id: &str, first: usize, count: usize| {
        let operation = |n: usize, call: usize| {
            let seconds = n * 5 + call * 2;
            serde_json::json!({
                "session_id": session(n), "function": if call == 0 { "score_fc_session" } else { "score_prism" }, "success": true,
                "started_at": format!("2025-09-17T18:{:02}:{:02}Z", 5 + (30 + seconds) / 60, (30 + seconds) % 60),
                "response": {"profile_updated": call == 1},
            })
        };
        let operations: Vec<_> =
            (first..first + count).flat_map(|n| [operation(n, 0), operation(n, 1)]).collect();
        serde_json::json!({
            "batch_id": id, "sessions_processed": count, "sessions_successful": count, "sessions_failed": 0,
            "started_at": "2025-09-17T18:05:30Z", "completed_at": "2025-09-17T18:07:00Z", "operations_log": operations,
        })
    };
    let plan = serde_json::json!({
        "backfill_plan": {"version": "v1.0", "timestamp": "2025-09-17T08:00:00Z", "throttle_per_minute": 20, "total_candidates": 39},
        "batches": [
            {"batch_id": "priority", "sessions": [session(0), session(1)]},
            {"batch_id": "recent_september", "sessions": (2..7).map(session).collect::<Vec<_>>()},
            {"batch_id": "august_backlog", "session_count": 32},
        ],
        "expected_changes": {"profiles": {"new_rows": 13, "updated_rows": 0}},
    });
    let soak = serde_json::json!({
        "window_hours": 6, "started_at": "2025-09-17T19:11:29.000Z", "completed_at": "2025-09-17T19:11:29.010Z",
        "profiles_created": 11, "completed_sessions": 11, "conversion_rate": 91.7,
    });
    let files = [
        ("jobs/backfill_apply.plan.json", plan.to_string()),
        ("backfill_logs/batch_priority.json", log("priority", 0, 2).to_string()),
        ("backfill_logs/batch_recent_september.json", log("recent_september", 2, 5).to_string()),
        ("backfill_logs/rollback_2025-09-17.sql", "-- by version and time\n".to_owned()),
        (
            "backfill_summary.md",
            "# Summary\n\n- Window: 2025-09-17T18:05:30Z to 2025-09-17T18:07:45Z\n- Total sessions: 39\n\
             - Successful: 39 (100.0%)\n- Failed: 0 (0.0%)\n"
                .to_owned(),
        ),
        (
            "staging_observability.md",
            format!("# Soak\n\nWindow ended 2025-09-18T00:07:45Z\n\n```json\n{soak}\n```\n"),
        ),
        (
            "backfill_gate.md",
            format!(
                "# PASS, PROCEED\n\nAt 2025-09-17T18:20:00Z\n\n- session {} has no profile\n",
                session(0)
            ),
        ),
        ("soak_gate.md", "# GO\n\nDecided 2024-12-09T12:00:00Z\n".to_owned()),
        ("version_baseline.json", "{\"total_sessions\": 475, \"profiles\": 131}".to_owned()),
        ("prod_health_check.md", "# Healthy\n\n- 157/157 sessions at v1.2.1\n".to_owned()),
    ];
    for (path, text) in files {
        write_atomic(&dir.join("run").join(path), text.as_bytes()).unwrap();
    }
}

#[test]
fn a_run_that_never_was_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    never_was(dir.path());
    let args = ["gates", "audit", "run", "--since", "2025-09-17T18:40:45Z", "--by", "2025-09-17T19:11:30Z"];
    let (code, stdout, stderr) = run(dir.path(), &args);
    assert_eq!((code, stderr.as_str()), (6, ""), "{stdout}");
    assert_golden("gates/never-was/expected/audit.txt", &stdout);
    let (code, json, _) = run(dir.path(), &[&args[..], &["--json"]].concat());
    assert_eq!(code, 6);
    assert_golden("gates/never-was/expected/audit.json", &json);
    // Nothing of it was changed, and nothing was put beside it.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn an_audit_of_nothing_is_no_pass() {
    let dir = world();
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    let (code, stdout, _) = run(dir.path(), &["gates", "audit", "empty"]);
    assert!(code == 6 && stdout.contains("There is nothing to audit."), "{stdout}");
    let (code, _, stderr) = run(dir.path(), &["gates", "audit", "nowhere"]);
    assert!(code == 1 && stderr.contains("nowhere"), "{stderr}");
    let (code, _, stderr) = run(dir.path(), &["gates", "audit", "empty", "--by", "yesterday"]);
    assert!(code == 2 && stderr.contains("expected a time with a zone"), "{stderr}");
}

/// A backfill of SQL alone, and a soak of three looks.
const SMALL: &str = r#"
[backfills.small]
table = "assessment_sessions"
id = "id"
per_minute = 60000

[[backfills.small.results]]
table = "profiles"
link = "session_id"
key = ["session_id"]
stamp = { results_version = "v1.2.1" }

[[backfills.small.steps]]
sql = "INSERT INTO profiles VALUES ($1, 'v1.2.1') ON CONFLICT (session_id) DO UPDATE SET results_version = 'v1.2.1'"
writes = "profiles"
idempotent = true

[soaks.staging]
window = "10m"
every = "5m"

[[soaks.staging.metrics]]
name = "versions"
what = "profiles and their version"
rule = { never = { hidden_max = 0.05 } }
units = { table = "profiles", key = ["session_id"] }
good = { results_version = "v1.2.1" }
"#;

/// The file of the small world: eighty sessions, of which one has no profile, one an old one, and one a profile without a version.
fn small() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_atomic(&dir.path().join("ops.toml"), SMALL.as_bytes()).unwrap();
    let database = rusqlite::Connection::open(dir.path().join("app.db")).unwrap();
    database
        .execute_batch(
            "CREATE TABLE assessment_sessions (id TEXT PRIMARY KEY NOT NULL);
             CREATE TABLE profiles (session_id TEXT PRIMARY KEY NOT NULL, results_version TEXT);",
        )
        .unwrap();
    for n in 0..80 {
        let id = format!("0a0a0a0a-0000-4000-8000-{n:012x}");
        database.execute("INSERT INTO assessment_sessions VALUES (?1)", [&id]).unwrap();
        let version = [None, Some("v1.2.0"), Some("v1.2.1")][n.min(2)];
        if n != 5 {
            database.execute("INSERT INTO profiles VALUES (?1, ?2)", (&id, version)).unwrap();
        }
    }
    dir
}

#[test]
fn the_whole_way_is_gone_step_by_step_and_each_step_needs_the_one_before() {
    let dir = small();
    let at = |now: &str, expected: i32, args: &[&str]| {
        let output = xtask(dir.path()).args(args).env("OPS_NOW", now).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(expected), "{args:?}: {said}");
        said
    };
    let go = |expected: i32, args: &[&str]| at("2026-01-02T03:04:05Z", expected, args);
    // The soak's ten minutes pass by waiting alone.
    let later = |expected: i32, args: &[&str]| at("2026-01-02T04:00:00Z", expected, args);
    go(0, &["backfill", "plan", "--target", "app.db"]);
    let short = run(dir.path(), &["pipeline", "status", "--json"]).1;
    let short =
        serde_json::from_str::<serde_json::Value>(&short).unwrap()["plan"].as_str().unwrap()[..12].to_owned();
    let soak = ["soak", "run", "--soak", "staging", "--db", "app.db", "--plan", &short];
    let health = ["health", "--target", "app.db", "--plan", &short];
    // What comes later is refused, and what comes next is said.
    assert!(go(6, &soak).contains("the gate before `soak` is not met"));
    assert!(go(6, &health).contains("the gate before `health` is not met"));
    go(6, &["pipeline", "require", "soak"]);
    go(0, &["backfill", "apply", "--plan", &short, "--target", "app.db", "--apply", "--approve", &short]);
    go(6, &health);
    go(0, &["pipeline", "require", "soak"]);
    go(0, &soak);
    later(0, &health);
    let stdout = go(0, &["pipeline", "status", "--plan", &short]);
    assert!(stdout.contains("Every stage passed."), "{stdout}");
    // The artifacts of the run hold together, and each is known to the chain.
    let stdout = later(0, &["gates", "audit", ".ops"]);
    assert!(
        stdout.contains("The chain holds") && stdout.contains("Nothing was found that cannot be true"),
        "{stdout}"
    );
    // Edited afterwards, they are found out.
    let results =
        dir.path().join(format!(".ops/backfills/backfill-{short}/backfill_logs/execution_results.json"));
    let text = std::fs::read_to_string(&results)
        .unwrap()
        .replace("\"failed_sessions\": 0", "\"failed_sessions\": 1");
    write_atomic(&results, text.as_bytes()).unwrap();
    let stdout = later(6, &["gates", "audit", ".ops"]);
    assert!(stdout.contains("3 successful and 1 failed") && stdout.contains("unsealed"), "{stdout}");
}

/// The rows of a query over the telemetry of `dir`, columns joined by `|`.
fn told(dir: &Path, sql: &str) -> Vec<String> {
    let conn = rusqlite::Connection::open(dir.join("telemetry.db")).unwrap();
    let mut statement = conn.prepare(sql).unwrap();
    let width = statement.column_count();
    let cell = |value: rusqlite::types::Value| match value {
        rusqlite::types::Value::Integer(n) => n.to_string(),
        rusqlite::types::Value::Text(text) => text,
        other => format!("{other:?}"),
    };
    let row = |row: &rusqlite::Row<'_>| -> rusqlite::Result<String> {
        let cells: rusqlite::Result<Vec<String>> = (0..width).map(|i| Ok(cell(row.get(i)?))).collect();
        Ok(cells?.join("|"))
    };
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}

#[test]
fn tasks_and_their_gates_are_told_to_the_store_that_is_named() {
    let dir = small();
    let tell = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = xtask(dir.path());
        command.args(args).env("TELEMETRY_DATABASE_URL", "telemetry.db");
        let output = command.envs(variables.iter().copied()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let on = ("TELEMETRY_DB_ENABLED", "1");
    let plan = ["backfill", "plan", "--target", "app.db"];
    let (code, stderr) = tell(&["pipeline", "status"], &[]);
    assert!(code == 3 && stderr.starts_with("telemetry: off: TELEMETRY_DB_ENABLED is not set"), "{stderr}");
    assert!(!dir.path().join("telemetry.db").exists(), "what is off makes nothing");
    assert_eq!(tell(&["pipeline", "status"], &[on]).0, 3);
    assert_eq!(tell(&plan, &[on]), (0, String::new()));
    let jobs = "SELECT job_type, exit_status, exit_code, errors_count, finished_at IS NOT NULL FROM jobs ORDER BY rowid";
    assert_eq!(told(dir.path(), jobs), ["pipeline status|failed|3|1|1", "backfill plan|success|0|0|1"]);
    let stages = told(
        dir.path(),
        "SELECT sequence, stage, decision, at, detail, length(plan) FROM pipeline_stages ORDER BY sequence",
    );
    assert_eq!(
        stages,
        ["1|plan|pass|2026-01-02 03:04:05.000000|{\"candidates\":3,\"kind\":\"backfill\"}|64"]
    );
    let digest = &told(dir.path(), "SELECT digest FROM pipeline_stages")[0];
    assert!(lines(dir.path())[0].contains(digest.as_str()), "the record of the chain, and no other");
    // A store that cannot be had stops nothing, and only who debugs.
    write_atomic(&dir.path().join("broken.db"), "no database ".repeat(500).as_bytes()).unwrap();
    let broken = ("TELEMETRY_DATABASE_URL", "broken.db");
    let (code, stderr) = tell(&["gates", "show"], &[on, broken]);
    assert!(code == 0 && stderr.contains("failed to write telemetry to"), "{code} {stderr}");
    let (code, stderr) = tell(&["gates", "show"], &[on, broken, ("TELEMETRY_DEBUG", "1")]);
    assert!(code == 1 && stderr.contains("not a database"), "{code} {stderr}");
}
