//! `analyze tokens` from outside: an export with everything that exports have had wrong, exit codes, and the
//! same events from a file and from a database.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may")]

#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;
use support::command::xtask;
use support::golden::assert_golden;
use tempfile::TempDir;

/// Runs `analyze tokens`; exit code, stdout and stderr.
fn analyze(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let output = xtask(dir).args(["analyze", "tokens"]).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn json(dir: &Path, args: &[&str]) -> Value {
    let (_, stdout, stderr) = analyze(dir, &[args, &["--json"]].concat());
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"))
}

/// A folder with the export of the fixtures.
fn export() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let fixture = support::root().join("fixtures/analyze/ndjson/events.ndjson");
    fs::copy(fixture, dir.path().join("events.ndjson")).unwrap();
    dir
}

const FROM: [&str; 2] = ["--from", "events.ndjson"];

/// One line that nothing is wrong with.
fn line(phase: &str) -> String {
    format!(
        "{{\"run_id\": \"r\", \"phase_id\": \"{phase}\", \"timestamp\": \"2026-01-02\", \"category\": \"docs\", \
         \"complexity\": \"low\", \"deliverable_count\": 1, \"predicted_output_tokens\": 1000, \
         \"actual_output_tokens\": 800, \"success\": true, \"truncated\": false}}\n"
    )
}

#[test]
fn an_export_with_everything_that_can_be_wrong() {
    let dir = export();
    let (code, stdout, stderr) = analyze(dir.path(), &FROM);
    assert_golden("analyze/ndjson/expected/stdout.txt", &stdout);
    assert_eq!(code, 6);
    for said in ["truncation", "underestimation", "6 lines rejected"] {
        assert!(stderr.contains(&format!("gate not met: {said}")), "{stderr}");
    }
    let (code, markdown, _) = analyze(dir.path(), &[&FROM[..], &["--markdown"]].concat());
    assert_golden("analyze/ndjson/expected/report.md", &markdown);
    assert_eq!(code, 6);
    let (code, json, _) = analyze(dir.path(), &[&FROM[..], &["--json"]].concat());
    assert_golden("analyze/ndjson/expected/report.json", &json);
    assert_eq!(code, 6);
}

#[test]
fn the_exit_code_is_a_verdict_unless_none_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let junk = format!("Exported 1 event\n{}", line("p"));
    for (content, code, says) in [
        (line("p") + &line("q"), 0, ""),
        (junk, 6, "gate not met: 1 line rejected (exit 6)\n"),
        (
            line("p").replace("800", "1001"),
            6,
            "gate not met: underestimation 100.0 %, at most 5 % (exit 6)\n",
        ),
        (
            String::new(),
            6,
            "gate not met: truncation not measured for every attempt, or there is none, at most 2 % (exit 6)\n",
        ),
    ] {
        fs::write(dir.path().join("events.ndjson"), &content).unwrap();
        let (found, stdout, stderr) = analyze(dir.path(), &FROM);
        assert_eq!(found, code, "{content}: {stdout}{stderr}");
        assert!(if code == 0 { stderr.is_empty() } else { stderr.contains(says) }, "{content}: {stderr}");
        // The report is the same, whether or not it decides anything.
        let silenced = analyze(dir.path(), &[&FROM[..], &["--no-gate"]].concat());
        assert_eq!(silenced, (0, stdout, String::new()), "{content}");
    }
}

#[test]
fn asking_for_successes_only_hides_no_gate() {
    let dir = export();
    let all = json(dir.path(), &FROM);
    let successes = json(dir.path(), &[&FROM[..], &["--success-only"]].concat());
    for same in ["attempts", "gates", "lower_bounds", "mismatches", "hazards"] {
        assert_eq!(successes["analysis"][same], all["analysis"][same], "{same}");
    }
    assert_eq!(all["analysis"]["gates"][0]["name"], "truncation");
    assert_eq!(all["analysis"]["gates"][0]["verdict"], "not_met");
    assert!(successes["analysis"]["cost"]["rows"].as_u64() < all["analysis"]["cost"]["rows"].as_u64());
    assert_eq!(analyze(dir.path(), &[&FROM[..], &["--success-only"]].concat()).0, 6);
}

#[test]
fn a_database_and_its_export_say_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let seeded = xtask(dir.path()).args(["seed-telemetry", "--db", "seed.db"]).output().unwrap();
    assert_eq!(seeded.status.code(), Some(0));
    let conn = Connection::open(dir.path().join("seed.db")).unwrap();
    conn.execute_batch(
        "UPDATE token_estimation_v2_events SET truncated = 1, success = 0 WHERE event_id % 7 = 0;
         UPDATE token_estimation_v2_events SET smape_percent = 99.5, underestimated = 1 WHERE event_id % 5 = 0;
         UPDATE token_estimation_v2_events SET smape_percent = 1, waste_ratio = 0.5 WHERE event_id IN (2, 11);
         UPDATE token_estimation_v2_events SET category = 'Testing', deliverable_count = 0 WHERE event_id % 3 = 0;
         UPDATE token_estimation_v2_events SET actual_output_tokens = 9 * selected_budget WHERE event_id % 11 = 0;
         UPDATE token_estimation_v2_events SET predicted_output_tokens = 0 WHERE event_id = 2",
    )
    .unwrap();
    let lines: Vec<String> = conn
        .prepare(
            "SELECT json_object('event_id', event_id, 'run_id', run_id, 'phase_id', phase_id, 'timestamp', timestamp,
                 'category', category, 'complexity', complexity, 'deliverable_count', deliverable_count,
                 'predicted_output_tokens', predicted_output_tokens, 'actual_output_tokens', actual_output_tokens,
                 'selected_budget', selected_budget, 'success', success, 'truncated', truncated,
                 'smape_percent', smape_percent, 'waste_ratio', waste_ratio, 'underestimated', underestimated)
             FROM token_estimation_v2_events ORDER BY event_id",
        )
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert!(lines.len() >= 20);
    fs::write(dir.path().join("events.ndjson"), lines.join("\n")).unwrap();
    for extra in [&[][..], &["--success-only"]] {
        let database = json(dir.path(), &[&["--db", "seed.db"], extra].concat());
        let file = json(dir.path(), &[&FROM[..], extra].concat());
        assert_eq!(file["input"]["accepted"].as_u64(), Some(lines.len() as u64));
        assert_eq!(database["analysis"], file["analysis"]);
        assert!(database["analysis"]["mismatches"]["rows"].as_u64() > Some(0));
    }
}

/// The events of the fixture in the file that `name` wrote, and in NDJSON.
fn parquet(names: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in names.iter().copied().chain(["events.ndjson"]) {
        let fixture = support::root().join("fixtures/analyze/parquet").join(name);
        fs::copy(fixture, dir.path().join(name)).unwrap();
    }
    dir
}

#[test]
fn parquet_of_every_program_says_what_ndjson_says() {
    let names =
        ["duckdb.parquet", "pandas.parquet", "polars.parquet", "pyarrow-1.parquet", "pyarrow-2.parquet"];
    let dir = parquet(&names);
    let expected = json(dir.path(), &FROM);
    assert_eq!(expected["input"]["accepted"], 200);
    assert!(expected["analysis"]["mismatches"]["rows"].as_u64() > Some(5));
    for name in names {
        let found = json(dir.path(), &["--from", name]);
        for part in ["input", "analysis", "study"] {
            assert_eq!(found[part], expected[part], "{name}: {part}");
        }
        // What is in two files counts once, whatever their formats.
        let both = json(dir.path(), &[&FROM[..], &["--from", name]].concat());
        assert_eq!(
            (&both["input"]["accepted"], &both["input"]["duplicates"]),
            (&200.into(), &200.into()),
            "{name}"
        );
        assert_eq!(both["analysis"], expected["analysis"], "{name}");
    }
}

#[test]
fn a_database_and_its_own_parquet_say_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| xtask(dir.path()).args(args).output().unwrap().status.code();
    assert_eq!(run(&["seed-telemetry", "--db", "seed.db"]), Some(0));
    let conn = Connection::open(dir.path().join("seed.db")).unwrap();
    // More rows than single ones are looked at, in more than one row group.
    conn.execute_batch(
        "PRAGMA foreign_keys = off;
         INSERT INTO token_estimation_v2_events (run_id, phase_id, timestamp, category, complexity, deliverable_count,
             deliverables_json, predicted_output_tokens, actual_output_tokens, selected_budget, success, truncated,
             smape_percent, waste_ratio, model)
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 210000)
         SELECT 'r', 'p' || n, '2026-01-02', iif(n % 2, 'docs', 'Testing'), iif(n % 3, 'low', 'high'), n % 20, '[]',
             1000 + n * 37 % 900, 500 + n * 101 % 1700, iif(n % 5, 4096, 900), n % 7 > 0, n % 11 = 0, 12.5, NULL, 'm' FROM c",
    )
    .unwrap();
    assert_eq!(
        run(&["analyze", "export", "--db", "seed.db", "--format", "parquet", "--out", "x.parquet"]),
        Some(0)
    );
    let (database, file) =
        (json(dir.path(), &["--db", "seed.db"]), json(dir.path(), &["--from", "x.parquet"]));
    assert_eq!(file["analysis"], database["analysis"]);
    let rows = database["analysis"]["attempts"]["attempts"].as_u64().unwrap();
    assert_eq!((&file["input"]["accepted"], &file["input"]["unchecked"]), (&rows.into(), &rows.into()));
    assert!(file["study"].is_null() && database["study"].is_null());
}

#[test]
fn parquet_that_holds_no_events_is_refused_by_file_and_column() {
    let dir = parquet(&["pyarrow-1.parquet"]);
    let run = |args: &[&str]| xtask(dir.path()).args(args).output().unwrap().status.code();
    assert_eq!(run(&["seed-telemetry", "--db", "seed.db"]), Some(0));
    let conn = Connection::open(dir.path().join("seed.db")).unwrap();
    conn.execute_batch(
        "CREATE TABLE wrong AS SELECT category, complexity, deliverable_count, 'many' AS predicted_output_tokens,
             actual_output_tokens, success, truncated FROM token_estimation_v2_events;
         CREATE TABLE dirty AS SELECT category, iif(rowid = 3, NULL, complexity) AS complexity,
             iif(rowid = 4, -1, deliverable_count) AS deliverable_count, predicted_output_tokens,
             iif(rowid = 5, 5000000000, actual_output_tokens) AS actual_output_tokens, success, truncated
             FROM token_estimation_v2_events",
    )
    .unwrap();
    for table in ["phases", "wrong", "dirty"] {
        let out = format!("{table}.parquet");
        let args =
            ["analyze", "export", "--db", "seed.db", "--format", "parquet", "--table", table, "--out", &out];
        assert_eq!(run(&args), Some(0));
    }
    let whole = fs::read(dir.path().join("pyarrow-1.parquet")).unwrap();
    fs::write(dir.path().join("cut.parquet"), &whole[..whole.len() - 9]).unwrap();
    fs::write(dir.path().join("text.parquet"), line("p").repeat(3)).unwrap();
    for (file, says) in [
        ("phases.parquet", "there is no column `category`, `deliverable_count`"),
        ("wrong.parquet", "column `predicted_output_tokens` holds texts, not whole numbers"),
        ("cut.parquet", "is cut: its end is missing"),
        ("text.parquet", "this is not a Parquet file"),
        ("absent.parquet", "the file cannot be read"),
    ] {
        let (code, stdout, stderr) = analyze(dir.path(), &["--from", file]);
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        assert!(stderr.contains(says) && stderr.contains(&format!("failed to read `{file}`")), "{stderr}");
    }
    // A row that is no event is counted, and named by its number.
    let (code, _, _) = analyze(dir.path(), &["--from", "dirty.parquet"]);
    let found = json(dir.path(), &["--from", "dirty.parquet"]);
    assert_eq!(code, 6);
    let rejects = serde_json::json!([
        {"line": 3, "reason": "`complexity` is missing"},
        {"line": 4, "reason": "`deliverable_count` is negative"},
    ]);
    assert_eq!(found["input"]["rejects"], rejects);
    assert_eq!(found["analysis"]["unreadable"]["first"][0]["column"], "actual_output_tokens");
}

/// The 25 clean samples of a published run: group, predicted, actual.
const PUBLISHED: [(&str, &str, u64, &[u64]); 6] = [
    ("implementation", "low", 5200, &[1218, 1117, 1588, 1768, 1459, 1670, 2302, 2280]),
    ("implementation", "medium", 6500, &[1673, 2571, 2051, 2466, 2225, 2952]),
    ("implementation", "medium", 7014, &[3345]),
    ("tests", "low", 4420, &[1448, 1646, 1621, 2069]),
    ("tests", "medium", 4420, &[2374, 3214, 4968]),
    ("docs", "low", 2600, &[3485, 16205, 3646]),
];

fn close(value: &Value, expected: f64, digits: f64) {
    let found = value.as_f64().unwrap_or(f64::NAN);
    assert!((found - expected).abs() <= digits, "{found} is not {expected}");
}

#[test]
fn published_figures_come_out_from_exports_and_from_logs() {
    let dir = tempfile::tempdir().unwrap();
    let (mut lines, mut log, mut second) =
        (String::new(), String::from("[drain_one_phase] Draining: r / p\n"), 0);
    for (category, complexity, predicted, actuals) in PUBLISHED {
        for actual in actuals {
            second += 1;
            let phase = format!("p{second}");
            lines += &line(&phase)
                .replace("docs", category)
                .replace("low", complexity)
                .replace("1000", &predicted.to_string())
                .replace("800", &actual.to_string());
            log += &format!(
                "[2026-01-02 00:00:{second:02}] INFO: [TOKEN_BUDGET] phase={phase} complexity={complexity} input=1 \
                 output={actual}/16384 total=1 utilization=1.0% model=m\n\
                 [2026-01-02 00:00:{second:02}] INFO: [TokenEstimationV2] predicted_output={predicted} actual_output={actual} \
                 smape=1.0% selected_budget=8192 category={category} complexity={complexity} deliverables=1 success=True \
                 stop_reason=end_turn truncated=False model=m\n"
            );
        }
    }
    fs::write(dir.path().join("events.ndjson"), &lines).unwrap();
    fs::create_dir(dir.path().join("logs")).unwrap();
    fs::write(dir.path().join("logs/a.log"), &log).unwrap();
    // A second copy of a log adds nothing.
    fs::write(dir.path().join("logs/b.log"), &log).unwrap();
    let export = json(dir.path(), &FROM);
    let logs = json(dir.path(), &["--log", "logs"]);
    assert_eq!((&logs["input"]["accepted"], &logs["input"]["duplicates"]), (&25.into(), &25.into()));
    assert_eq!(logs["study"]["all"]["phases"], 25);
    for found in [&export["analysis"], &logs["analysis"]] {
        let cost = &found["cost"];
        close(&cost["predicted_mean"], 5054.16, 1e-9);
        close(&cost["actual_mean"], 2854.44, 1e-9);
        close(&cost["smape_percent_mean"], 85.60, 0.005);
        close(&cost["smape_percent_median"], 91.46, 0.005);
        close(&cost["waste_ratio_mean"], 2.4857, 5e-5);
        close(&cost["waste_ratio_median"], 2.6358, 5e-5);
        close(&cost["waste_ratio_max"], 4.655, 5e-4);
        assert_eq!(found["attempts"]["underestimated"], 4);
    }
    // Three samples of a kind that was off by up to six times are no ground for anything.
    let docs =
        export["study"]["strata"].as_array().unwrap().iter().find(|s| s["category"] == "docs").unwrap();
    assert_eq!((docs["upper"]["need"].as_u64(), docs["upper"]["pooled"].as_str()), (Some(6), Some("all")));
    let output =
        xtask(dir.path()).args(["analyze", "calibrate", "--from", "events.ndjson"]).output().unwrap();
    let (code, stderr) = (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(code == 3 && stderr.contains("25 not verified"), "{stderr}");
}

#[test]
fn what_success_alone_would_hide_is_shown_beside_what_it_hides() {
    let dir = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    for i in 0..28 {
        let event = line(&format!("p{i}"));
        lines += &match i {
            // The stored metrics of one row are not what its counts give.
            0 => event.replace("1000", "100").replace("800", "120").replace(
                "\"success\"",
                "\"smape_percent\": 100.0, \"waste_ratio\": 0.83, \"underestimated\": true, \"success\"",
            ),
            1..14 => event,
            // Cut at the ceiling that was predicted because nothing was known: no perfect predictions.
            14..19 => event
                .replace("\"deliverable_count\": 1", "\"deliverable_count\": 0")
                .replace("1000", "8192")
                .replace("800", "8192")
                .replace("true", "false")
                .replace("\"truncated\": false", "\"truncated\": true"),
            _ => event
                .replace("800", "4096")
                .replace("true", "false")
                .replace("\"truncated\": false", "\"truncated\": true"),
        };
    }
    fs::write(dir.path().join("events.ndjson"), &lines).unwrap();
    let found = json(dir.path(), &FROM);
    let gate = &found["analysis"]["gates"][0];
    assert_eq!((gate["percent"].as_f64(), gate["percent_of_successes"].as_f64()), (Some(50.0), Some(0.0)));
    let (_, stdout, _) = analyze(dir.path(), &FROM);
    assert!(
        stdout
            .contains("truncation at most 2 %: 50.0 % (14 of 28); among successes alone it would read 0.0 %"),
        "{stdout}"
    );
    let first = found["analysis"]["mismatches"]["first"].as_array().unwrap();
    assert_eq!(
        (first[0]["column"].as_str(), first[0]["stored"].as_f64()),
        (Some("smape_percent"), Some(100.0))
    );
    close(&first[0]["recomputed"], 18.181_818, 1e-6);
    // The five are in no mean, and not among the predictions that were enough.
    assert_eq!(
        (found["analysis"]["cost"]["rows"].as_u64(), found["analysis"]["attempts"]["censored"].as_u64()),
        (Some(14), Some(5))
    );
    let none =
        found["study"]["strata"].as_array().unwrap().iter().find(|s| s["deliverables"] == "0").unwrap();
    assert_eq!(none["measures"]["smape_percent_median"], Value::Null);
    assert_eq!(none["measures"]["covered_percent"].as_f64(), Some(0.0));
    assert_eq!(none["upper"]["bound"]["basis"], "not_identifiable");
}

#[test]
fn the_html_report_stands_alone_and_has_words_for_its_charts() {
    let dir = export();
    analyze(dir.path(), &[&FROM[..], &["--html", "report.html"]].concat());
    let html = fs::read_to_string(dir.path().join("report.html")).unwrap();
    for part in [
        "Predicted against actual output tokens",
        "Truncation over time",
        "SMAPE: ",
        "Waste: ",
        "<svg",
        "<title",
        "<table",
    ] {
        assert!(html.contains(part), "{part}");
    }
    for outside in ["<script", "http://", "https://", "src="] {
        assert!(!html.replace("http://www.w3.org/2000/svg", "").contains(outside), "{outside}");
    }
}
