//! `analyze export` from outside: what other programs read of what was written.
//!
//! `promtool` (Debian package `prometheus`) judges the metrics; DuckDB and pyarrow from PyPI read the Parquet. Where they
//! cannot be had, the tests say that they are skipped; with `OPS_REQUIRE_LIVE=1` they fail.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr, reason = "a test may")]

#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rusqlite::Connection;
use serde_json::{Value, json};
use support::command::xtask;
use tempfile::TempDir;

/// Runs `analyze export`; exit code, stdout and stderr.
fn export(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let output = xtask(dir).args(["analyze", "export", "--db", "seed.db"]).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A seeded database, with a table of everything beside the others.
fn seeded() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let seeded = xtask(dir.path()).args(["seed-telemetry", "--db", "seed.db"]).output().unwrap();
    assert_eq!(seeded.status.code(), Some(0));
    let conn = Connection::open(dir.path().join("seed.db")).unwrap();
    conn.execute_batch(
        "CREATE TABLE odd (id INTEGER PRIMARY KEY, ok BOOLEAN, x REAL, any, \"a \"\"b\"\",\" TEXT, none TEXT);
         INSERT INTO odd VALUES (1, 1, 1.5, 7, 'line\none, \"quoted\"', NULL), (2, NULL, 2, 'né', '', NULL),
             (9223372036854775807, 0, NULL, x'00ff', NULL, NULL), (-3, 1, 0.1, 8, '👩‍💻', NULL)",
    )
    .unwrap();
    dir
}

#[test]
fn token_events_as_lines_and_as_csv() {
    let dir = seeded();
    let (code, lines, stderr) = export(dir.path(), &["--format", "ndjson"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let conn = Connection::open(dir.path().join("seed.db")).unwrap();
    let count: usize =
        conn.query_row("SELECT count(*) FROM token_estimation_v2_events", [], |row| row.get(0)).unwrap();
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(count > 0 && rows.len() == count);
    let sum =
        |rows: &[Value]| rows.iter().map(|row| row["actual_output_tokens"].as_u64().unwrap()).sum::<u64>();
    let stored: u64 = conn
        .query_row("SELECT sum(actual_output_tokens) FROM token_estimation_v2_events", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sum(&rows), stored);
    let (code, csv, _) = export(dir.path(), &["--format", "csv", "--table", "odd"]);
    assert_eq!(code, 0);
    assert_eq!(
        csv,
        "id,ok,x,any,\"a \"\"b\"\",\",none\n-3,1,0.1,8,👩\u{200d}💻,\n1,1,1.5,7,\"line\none, \"\"quoted\"\"\",\n\
         2,,2.0,né,\"\",\n9223372036854775807,0,,\\x00ff,,\n"
    );
}

#[test]
fn files_are_reported_and_what_cannot_be_is_refused() {
    let dir = seeded();
    let args = ["--format", "parquet", "--table", "odd", "--table", "phases", "--out", "out", "--json"];
    let (code, stdout, stderr) = export(dir.path(), &args);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let mixed = json!([{"column": "any", "raw_column": "any_raw", "typed": 2, "raw": 2}]);
    assert_eq!(report["files"][0]["mixed"], mixed, "{stdout}");
    let mut names: Vec<_> =
        fs::read_dir(dir.path().join("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["odd.parquet", "phases.parquet"]);
    for (args, says) in [
        (&["--format", "csv", "--table", "od"][..], "there is no table `od`"),
        (&["--format", "csv", "--table", "odd", "--table", "phases"], "no place on stdout"),
        (&["--format", "parquet"], "Parquet is not text"),
        (&["--format", "prometheus", "--table", "odd"], "only the token events have metrics"),
    ] {
        let (code, _, stderr) = export(dir.path(), args);
        assert_eq!(code, 3, "{args:?}: {stderr}");
        assert!(stderr.contains(says), "{args:?}: {stderr}");
    }
}

/// Says that a test is skipped, or fails where nothing may be missing.
fn missing(test: &str, what: &str) {
    let is_required = std::env::var("OPS_REQUIRE_LIVE").is_ok_and(|value| value == "1");
    assert!(!is_required, "{test} needs {what}");
    eprintln!("SKIPPED {test}: {what} cannot be had");
}

/// What `promtool check metrics` says of a text; `None` where there is no promtool.
fn promtool(text: &str) -> Option<(bool, String)> {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.ok()?;
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Some((output.status.success(), said))
}

#[test]
fn prometheus_accepts_the_metrics() {
    let dir = seeded();
    let conn = Connection::open(dir.path().join("seed.db")).unwrap();
    // A category of any content becomes the value of a label.
    let hostile = "UPDATE token_estimation_v2_events SET category = 'a\"b\\cd' WHERE event_id = 1";
    conn.execute_batch(hostile).unwrap();
    let (code, stdout, stderr) = export(dir.path(), &["--format", "prometheus", "--out", "node/ops.prom"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("ops.prom"), "{stdout}");
    let text = fs::read_to_string(dir.path().join("node/ops.prom")).unwrap();
    assert_eq!(fs::read_dir(dir.path().join("node")).unwrap().count(), 1, "written beside and renamed");
    assert!(text.contains("ops_token_attempts_total{category=\"a\\\"b\\\\cd\","), "{text}");
    let Some((accepted, said)) = promtool(&text) else {
        return missing("prometheus_accepts_the_metrics", "promtool");
    };
    assert!(accepted && said.trim().is_empty(), "{said}\n{text}");
    let (accepted, _) = promtool("ops_x{ 1\n").unwrap();
    assert!(!accepted, "promtool refuses what is wrong");
}

#[test]
fn prometheus_accepts_the_health_of_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let variables = [("TELEMETRY_DB_ENABLED", "1"), ("TELEMETRY_DATABASE_URL", "seed.db")];
    for _ in 0..2 {
        let told = xtask(dir.path()).args(["pipeline", "status"]).envs(variables).output().unwrap();
        assert_eq!(told.status.code(), Some(3));
    }
    fs::write(dir.path().join("seed.db-telemetry-0011223344556677.0.spill"), "1234567").unwrap();
    let (code, text, stderr) = export(dir.path(), &["--format", "prometheus"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    for line in [
        "ops_telemetry_writers{state=\"closed\"} 2",
        "ops_telemetry_jobs_submitted_total 4",
        "ops_telemetry_jobs_written_total 4",
        "ops_telemetry_jobs_dropped_total{reason=\"queue full\"} 0",
        "ops_telemetry_queue_jobs 0",
        "ops_telemetry_spill_file_bytes 7",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(!text.contains("ops_token_"), "there are no token events: {text}");
    match promtool(&text) {
        Some((accepted, said)) => assert!(accepted && said.trim().is_empty(), "{said}\n{text}"),
        None => missing("prometheus_accepts_the_health_of_a_store", "promtool"),
    }
}

/// A python that has DuckDB and pyarrow, made once; `None` where that cannot be.
fn python() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("parquet-readers");
    let python = venv.join("bin/python");
    let has_both = || {
        let imported = Command::new(&python).args(["-c", "import duckdb, pyarrow"]).output();
        imported.is_ok_and(|output| output.status.success())
    };
    if has_both() {
        return Some(python);
    }
    let run = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let made = run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
    let packages = ["-m", "pip", "install", "--quiet", "duckdb==1.4.1", "pyarrow==21.0.0"];
    (made && run(Command::new(&python).args(packages)) && has_both()).then_some(python)
}

#[test]
fn others_read_the_parquet_row_for_row() {
    let dir = seeded();
    let conn = Connection::open(dir.path().join("seed.db")).unwrap();
    conn.execute_batch(
        "CREATE TABLE many (n INTEGER PRIMARY KEY, flag BOOLEAN, word TEXT, none TEXT);
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300000)
         INSERT INTO many SELECT n, nullif(n % 3, 0) = 1, CAST(n AS TEXT), NULL FROM c",
    )
    .unwrap();
    for table in ["odd", "many", "token_estimation_v2_events"] {
        let file = format!("{table}.parquet");
        let (code, _, stderr) =
            export(dir.path(), &["--format", "parquet", "--table", table, "--out", &file]);
        assert_eq!(code, 0, "{stderr}");
    }
    let Some(python) = python() else {
        return missing("others_read_the_parquet_row_for_row", "python3 with duckdb and pyarrow");
    };
    let read = |file: &str| -> Value {
        let script = support::root().join("tests/export/read_parquet.py");
        let output = Command::new(&python).arg(script).arg(dir.path().join(file)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let odd = read("odd.parquet");
    let quoted = "a \"b\",";
    let types = json!({"id": "int64", "ok": "bool", "x": "double", "any": "int64", "any_raw": "string", quoted: "string", "none": "string"});
    assert_eq!(odd["types"], types);
    assert_eq!(
        odd["rows"],
        json!([
            {"id": -3, "ok": true, "x": 0.1, "any": 8, "any_raw": null, quoted: "👩\u{200d}💻", "none": null},
            {"id": 1, "ok": true, "x": 1.5, "any": 7, "any_raw": null, quoted: "line\none, \"quoted\"", "none": null},
            {"id": 2, "ok": null, "x": 2.0, "any": null, "any_raw": "né", quoted: "", "none": null},
            {"id": 9_223_372_036_854_775_807_i64, "ok": false, "x": null, "any": null, "any_raw": "\\x00ff", quoted: null, "none": null},
        ])
    );
    let (_, lines, _) = export(dir.path(), &["--format", "ndjson"]);
    let many = Command::new(&python)
        .arg(support::root().join("tests/export/read_parquet.py"))
        .arg(dir.path().join("many.parquet"))
        .arg("SELECT count(*), sum(n), count(flag), sum(flag::int), sum(length(word)), count(none) FROM file")
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&many.stdout).trim(),
        "3 groups: (300000, 45000150000, 200000, 100000, 1688895, 0)"
    );
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events = read("token_estimation_v2_events.parquet");
    let rows = events["rows"].as_array().unwrap();
    assert_eq!(rows.len(), lines.len());
    for (row, line) in rows.iter().zip(&lines) {
        for (name, value) in line.as_object().unwrap() {
            // What is declared BOOLEAN is 0 and 1 in SQLite and a truth value in Parquet.
            let same = row[name].as_bool().map_or(row[name].clone(), |b| Value::from(u8::from(b)));
            assert_eq!(&same, value, "{name}");
        }
    }
}
