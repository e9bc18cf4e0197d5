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
