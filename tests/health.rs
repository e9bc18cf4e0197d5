//! `health` from outside: what lacks a result, what is never healthy, and the plan that comes of it.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic as tests do")]

#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;

use std::path::Path;

use ops::backfill::seed_plan;
use support::command::{redact, xtask};
use support::gated::{Stage, chain, decision, plan_dir};
use support::golden::assert_golden;

fn id(n: u64) -> String {
    format!("0a0a0a0a-0000-4000-8000-{n:012x}")
}

fn run(dir: &Path, more: &[&str]) -> (i32, String, String) {
    let output = xtask(dir).args(["health", "--target", "app.db"]).args(more).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Four sessions: one without a profile, one without a score, one without either, and one that has both; one that is not
/// completed, and one that is without an answer.
fn world() -> (tempfile::TempDir, rusqlite::Connection) {
    let dir = tempfile::tempdir().unwrap();
    let database = rusqlite::Connection::open(dir.path().join("app.db")).unwrap();
    database
        .execute_batch(
            "CREATE TABLE assessment_sessions (id TEXT PRIMARY KEY, status TEXT, created_at TEXT, completed_questions INTEGER);
             CREATE TABLE profiles (session_id TEXT PRIMARY KEY, results_version TEXT);
             CREATE TABLE fc_scores (session_id TEXT NOT NULL, version TEXT NOT NULL, fc_kind TEXT NOT NULL,
                                     PRIMARY KEY (session_id, version, fc_kind))",
        )
        .unwrap();
    for (n, status, profile, score) in [
        (1, "completed", false, true),
        (2, "completed", true, false),
        (3, "completed", false, false),
        (4, "completed", true, true),
        (5, "started", false, false),
        (6, "completed", false, false),
    ] {
        let sql = "INSERT INTO assessment_sessions VALUES (?1, ?2, '2025-09-01T00:00:00Z', ?3)";
        database.execute(sql, (id(n), status, if n == 6 { 0 } else { 248 })).unwrap();
        if profile {
            database.execute("INSERT INTO profiles VALUES (?1, 'v1.2.1')", [id(n)]).unwrap();
        }
        if score {
            database.execute("INSERT INTO fc_scores VALUES (?1, 'v1.2', 'functions')", [id(n)]).unwrap();
        }
    }
    (dir, database)
}

fn file(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(".ops/health").join(name)).unwrap()
}

/// A text without what no seed can fix.
fn placed(dir: &Path, text: &str) -> String {
    let url = ops::url::SqliteUrl::from_path(dir.join("app.db"));
    let source = ops::identity::source_of_sqlite(&url, dir).unwrap();
    redact(text, &[(&dir.display().to_string(), "<dir>"), (&source.fingerprint, "<fingerprint>")])
}

#[test]
fn what_lacks_a_result_is_counted_and_planned() {
    let (dir, _database) = world();
    let before = std::fs::read(dir.path().join("app.db")).unwrap();
    let (code, stdout, stderr) = run(dir.path(), &[]);
    assert_eq!((code, stderr.as_str()), (6, ""), "{stdout}");
    assert_golden("health/lacking/expected/stdout.txt", &placed(dir.path(), &stdout));
    assert_golden(
        "health/lacking/expected/prod_health_check.md",
        &placed(dir.path(), &file(dir.path(), "prod_health_check.md")),
    );
    assert_golden(
        "health/lacking/expected/prod_health_check.json",
        &placed(dir.path(), &file(dir.path(), "prod_health_check.json")),
    );
    let mini = file(dir.path(), "prod_mini_backfill_plan.json");
    assert_golden("health/lacking/expected/prod_mini_backfill_plan.json", &mini);
    let plan = seed_plan::parse(mini.as_bytes()).unwrap();
    assert_eq!(plan.batches[0].sessions.as_deref(), Some(&[id(1), id(2), id(3)][..]));
    assert_eq!(
        (plan.expected_changes["profiles"].new_rows, plan.expected_changes["fc_scores"].new_rows),
        (2, 2)
    );
    assert_eq!(plan.backfill_plan.expected_runtime_minutes, Some(1));
    // `backfill plan` takes it as it is.
    let mini = [".ops/health", "prod_mini_backfill_plan.json"].join("/");
    let args = [
        "backfill",
        "plan",
        "--from",
        &mini,
        "--target",
        "app.db",
        "--functions",
        "http://127.0.0.1:9",
        "--json",
    ];
    let output = xtask(dir.path()).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let planned: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!((output.status.code(), &planned["plan"]["candidates"]), (Some(0), &3.into()), "{said}");
    assert_eq!(std::fs::read(dir.path().join("app.db")).unwrap(), before, "nothing was written");
}

#[test]
fn a_database_that_lacks_nothing_is_healthy_and_keeps_no_plan() {
    let (dir, database) = world();
    assert_eq!(run(dir.path(), &[]).0, 6);
    for n in 1..=3 {
        database.execute("INSERT OR IGNORE INTO profiles VALUES (?1, 'v1.2.1')", [id(n)]).unwrap();
        database
            .execute("INSERT OR IGNORE INTO fc_scores VALUES (?1, 'v1.2', 'functions')", [id(n)])
            .unwrap();
    }
    let (code, stdout, stderr) = run(dir.path(), &[]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("Health of prism: HEALTHY"), "{stdout}");
    let plan = dir.path().join(".ops/health/prod_mini_backfill_plan.json");
    assert!(!plan.exists(), "an earlier plan says what was, not what is");
    // A plan of somebody else's stays.
    ops::files::write_atomic(&plan, b"{\"mine\": true}").unwrap();
    assert_eq!(run(dir.path(), &[]).0, 0);
    assert!(plan.exists());
}

#[test]
fn other_versions_and_null_are_no_current_results() {
    let (dir, database) = world();
    let set = |version: Option<&str>| {
        database
            .execute("UPDATE profiles SET results_version = ?1 WHERE session_id = ?2", (version, id(4)))
            .unwrap();
        let (code, stdout, _) = run(dir.path(), &[]);
        assert_eq!(code, 6, "{stdout}");
        stdout
    };
    let stdout = set(None);
    assert!(stdout.contains("profiles: 1 without a version (NULL)"), "{stdout}");
    // Later as a text, earlier as a version: only what is said counts.
    for version in ["v1.2.0", "v1.10.0", ""] {
        let stdout = set(Some(version));
        assert!(
            stdout.contains(&format!("profiles: 1 of another version: {version}").trim_end().to_owned()),
            "{stdout}"
        );
    }
    database.execute("UPDATE fc_scores SET fc_kind = 'types' WHERE session_id = ?1", [id(1)]).unwrap();
    let (_, stdout, _) = run(dir.path(), &[]);
    assert!(stdout.contains("fc_scores: 1 of another version: types, v1.2"), "{stdout}");
    let plan = seed_plan::parse(file(dir.path(), "prod_mini_backfill_plan.json").as_bytes()).unwrap();
    // A profile is overwritten; a score of another kind stays beside the new one.
    assert_eq!(plan.expected_changes["profiles"].updated_rows, Some(1));
    assert_eq!(
        (plan.expected_changes["fc_scores"].new_rows, plan.expected_changes["fc_scores"].updated_rows),
        (3, Some(0))
    );
}

#[test]
fn what_cannot_be_read_is_unknown_and_replaces_an_older_report() {
    type Spoil = fn(&rusqlite::Connection);
    let spoils: [(Spoil, &str); 4] = [
        (
            |db| db.execute_batch("ALTER TABLE assessment_sessions RENAME TO sessions").unwrap(),
            "assessment_sessions",
        ),
        (|db| db.execute_batch("DROP TABLE fc_scores").unwrap(), "fc_scores"),
        (
            |db| db.execute_batch("ALTER TABLE profiles RENAME COLUMN results_version TO version").unwrap(),
            "results_version",
        ),
        (
            |db| {
                db.execute_batch("DROP TABLE profiles; CREATE VIEW profiles AS SELECT id AS session_id, 'v1.2.1' AS results_version FROM assessment_sessions").unwrap();
            },
            "profiles",
        ),
    ];
    for (spoil, why) in spoils {
        let (dir, database) = world();
        assert_eq!(run(dir.path(), &[]).0, 6);
        spoil(&database);
        let (code, stdout, stderr) = run(dir.path(), &[]);
        assert_eq!(code, 1, "{stdout}{stderr}");
        assert!(
            stdout.contains("UNKNOWN") && stderr.contains("verdict UNKNOWN") && stderr.contains(why),
            "{stdout}{stderr}"
        );
        let report = file(dir.path(), "prod_health_check.md");
        assert!(
            report.contains("# Health of prism: UNKNOWN") && report.contains("not a healthy one"),
            "{report}"
        );
        assert!(file(dir.path(), "prod_health_check.json").contains("\"verdict\": \"UNKNOWN\""));
        assert!(!dir.path().join(".ops/health/prod_mini_backfill_plan.json").exists());
    }
    let dir = tempfile::tempdir().unwrap();
    let (code, stdout, _) = run(dir.path(), &[]);
    assert_eq!(code, 1);
    assert!(stdout.contains("UNKNOWN") && stdout.contains("no database at"), "{stdout}");
    assert!(!dir.path().join("app.db").exists());
}

#[test]
fn nothing_to_examine_is_not_healthy() {
    let (dir, database) = world();
    database.execute_batch("DELETE FROM assessment_sessions").unwrap();
    let (code, stdout, _) = run(dir.path(), &[]);
    assert_eq!(code, 6);
    assert!(stdout.contains("INSUFFICIENT"), "{stdout}");
}

#[test]
fn a_health_check_of_a_plan_needs_its_soak_and_goes_into_the_gates() {
    let (dir, _database) = world();
    let plan = plan_dir(dir.path(), "prism", &[&id(1)]);
    let pass = decision("pass");
    let applied = [
        (Stage::Plan, pass),
        (Stage::Approve, pass),
        (Stage::Apply, decision("begun")),
        (Stage::Apply, pass),
    ];
    chain(dir.path(), &plan.id, &applied);
    for (soak, why) in [
        ("insufficient", "record 5: insufficient"),
        ("fail", "record 6: fail"),
        ("invalid", "record 7: invalid"),
    ] {
        chain(dir.path(), &plan.id, &[(Stage::Soak, decision(soak))]);
        let (code, _, stderr) = run(dir.path(), &["--plan", &plan.dir]);
        assert_eq!(code, 6, "{stderr}");
        assert!(stderr.contains("gate not met") && stderr.contains(why), "{stderr}");
        assert!(!dir.path().join(".ops/health").exists(), "nothing was looked at");
    }
    chain(dir.path(), &plan.id, &[(Stage::Soak, pass)]);
    assert_eq!(run(dir.path(), &["--plan", &plan.dir]).0, 6);
    let gates = || std::fs::read_to_string(dir.path().join(".ops/gates.ndjson")).unwrap();
    let last = gates().lines().last().unwrap().to_owned();
    assert!(last.contains("\"stage\":\"health\"") && last.contains("\"decision\":\"fail\""), "{last}");
    assert!(last.contains("\"lacking\":3"), "{last}");
    let audit = xtask(dir.path()).args(["gates", "audit", ".ops"]).output().unwrap();
    assert_eq!(audit.status.code(), Some(0), "{}", String::from_utf8_lossy(&audit.stdout));
    // A report that was made prettier is not the one that was recorded.
    let path = dir.path().join(".ops/health/prod_health_check.md");
    let text = std::fs::read_to_string(&path).unwrap().replace("NEEDS-BACKFILL", "HEALTHY");
    ops::files::write_atomic(&path, text.as_bytes()).unwrap();
    let audit = xtask(dir.path()).args(["gates", "audit", ".ops"]).output().unwrap();
    let said = String::from_utf8(audit.stdout).unwrap();
    assert!(
        audit.status.code() == Some(6) && said.contains("no record of the gates holds its digest"),
        "{said}"
    );
}
