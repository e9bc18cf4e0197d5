//! Adopting a database of an older tool: every cell is kept, also when the migration is killed.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may")]

#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::types::Value;
use support::command::{without_place, xtask, xtask_std};
use support::golden::assert_golden;

/// The shape of the older tool, with its mess: broken keys, mixed types, an unknown table and column.
const OLD: &str = include_str!("../fixtures/migrate/legacy/legacy.sql");

fn legacy(path: &Path, copies: u32) {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch(OLD).unwrap();
    for copy in 1..copies {
        conn.execute_batch(&format!(
            "INSERT INTO llm_usage_events (provider, model, role, prompt_tokens, completion_tokens, created_at)
             SELECT provider, model || '-{copy}', role, prompt_tokens + {copy}, completion_tokens, created_at
             FROM llm_usage_events WHERE id <= 3"
        ))
        .unwrap();
    }
}

/// Every cell of every column that the old form had, as SQL literals in row order.
fn cells(path: &Path) -> Vec<String> {
    let old = Connection::open_in_memory().unwrap();
    old.execute_batch(OLD).unwrap();
    let names = |conn: &Connection, sql: &str| -> Vec<String> {
        conn.prepare(sql).unwrap().query_map([], |r| r.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let conn = Connection::open(path).unwrap();
    let mut found = Vec::new();
    for table in names(
        &old,
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1",
    ) {
        let columns = names(&old, &format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid"));
        let quoted: Vec<String> =
            columns.iter().map(|c| format!("typeof(\"{c}\") || ':' || quote(\"{c}\")")).collect();
        let sql =
            format!("SELECT rowid || '|' || {} FROM \"{table}\" ORDER BY rowid", quoted.join(" || '|' || "));
        found.extend(names(&conn, &sql).into_iter().map(|row| format!("{table}|{row}")));
    }
    found
}

/// The whole schema and all rows of the toolkit's own books but their times.
fn end_state(path: &Path) -> Vec<Vec<Value>> {
    let conn = Connection::open(path).unwrap();
    let rows = |sql: &str| -> Vec<Vec<Value>> {
        let mut statement = conn.prepare(sql).unwrap();
        let width = statement.column_count();
        let rows = statement.query_map([], |r| (0..width).map(|i| r.get(i)).collect()).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let mut state = rows("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name");
    state.extend(rows("SELECT version, name, checksum FROM ops_migrations ORDER BY version"));
    state.extend(rows("SELECT name, seq FROM sqlite_sequence ORDER BY name"));
    state.extend(rows("PRAGMA integrity_check"));
    state
}

fn migrate(dir: &Path, expected: i32) -> String {
    let output = xtask(dir).args(["migrate", "--db", "legacy.db"]).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(expected), "{text}");
    text
}

#[test]
fn every_old_cell_is_equal_and_a_second_run_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("legacy.db");
    legacy(&path, 1);
    let before = cells(&path);
    let bytes_before = fs::read(&path).unwrap();
    let check = xtask(dir.path()).args(["migrate", "--db", "legacy.db", "--check"]).output().unwrap();
    assert_eq!(check.status.code(), Some(4));
    assert_eq!(fs::read(&path).unwrap(), bytes_before);

    let text = migrate(dir.path(), 0);
    assert!(text.contains("4 violations before, 4 after"), "{text}");
    assert_eq!(cells(&path), before);
    let backups: Vec<_> =
        fs::read_dir(dir.path().join(".ops/backups")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(backups.len(), 1, "{backups:?}");
    assert_eq!(cells(&backups[0]), before);

    let bytes = fs::read(&path).unwrap();
    assert!(migrate(dir.path(), 0).contains("Nothing to do"));
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(fs::read_dir(dir.path().join(".ops/backups")).unwrap().count(), 1);
    let check = xtask(dir.path()).args(["migrate", "--db", "legacy.db", "--check"]).output().unwrap();
    assert_eq!(check.status.code(), Some(0));
}

/// The banner, the report and both as JSON, before and after.
#[test]
fn what_people_and_programs_are_told() {
    let dir = tempfile::tempdir().unwrap();
    legacy(&dir.path().join("legacy.db"), 1);
    let run = |args: &[&str], expected: i32| {
        let output = xtask(dir.path()).args(args).args(["--db", "legacy.db"]).output().unwrap();
        assert_eq!(output.status.code(), Some(expected), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let identity =
        || -> serde_json::Value { serde_json::from_str(&run(&["db-identity", "--json"], 0)).unwrap() };
    let before = identity();
    let fixed = |text: &str, identity: &serde_json::Value| without_place(dir.path(), text, identity);
    assert_golden("db-identity/legacy/expected/stdout.txt", &fixed(&run(&["db-identity"], 0), &before));
    let json = serde_json::to_string_pretty(&before).unwrap() + "\n";
    assert_golden("db-identity/legacy/expected/identity.json", &fixed(&json, &before));
    assert_golden("migrate/legacy/expected/check.txt", &fixed(&run(&["migrate", "--check"], 4), &before));
    assert_golden("migrate/legacy/expected/stdout.txt", &fixed(&run(&["migrate"], 0), &before));
    let after = identity();
    let json = serde_json::to_string_pretty(&after).unwrap() + "\n";
    assert_golden("migrate/legacy/expected/identity.json", &fixed(&json, &after));
    assert_golden("migrate/legacy/expected/again.txt", &fixed(&run(&["migrate"], 0), &after));
    assert_golden("migrate/legacy/expected/again.json", &run(&["migrate", "--json"], 0));
}

/// Kills at fifty moments spread over the time that one migration takes, random but the same in every run.
#[test]
fn a_killed_migration_can_be_run_again_to_the_same_end() {
    let reference = tempfile::tempdir().unwrap();
    let reference_path = reference.path().join("legacy.db");
    legacy(&reference_path, 4000);
    let before = cells(&reference_path);
    let began = Instant::now();
    let original = fs::read(&reference_path).unwrap();
    migrate(reference.path(), 0);
    let whole = began.elapsed();
    let expected = end_state(&reference_path);

    let mut killed = 0;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..50 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let moment = whole.mul_f64((state >> 11) as f64 / (1_u64 << 53) as f64);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("legacy.db");
        fs::write(&path, &original).unwrap();
        killed += u32::from(kill_after(dir.path(), moment));
        migrate(dir.path(), 0);
        assert_eq!(cells(&path), before, "killed after {moment:?}");
        assert_eq!(end_state(&path), expected, "killed after {moment:?}");
        let left: Vec<_> =
            fs::read_dir(dir.path().join(".ops/backups")).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(left.iter().all(|p| p.extension().is_some_and(|e| e == "db")), "{left:?}");
    }
    assert!(killed >= 10, "only {killed} of 50 migrations were still running when they were to be killed");
}

/// Starts a migration and kills it; whether it was still running.
fn kill_after(dir: &Path, moment: Duration) -> bool {
    let mut child = xtask_std(dir)
        .args(["migrate", "--db", "legacy.db"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + moment;
    while Instant::now() < deadline {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap().code().is_none()
}
