//! A run in which everything can be true, and one thing after the other that cannot.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::files::write_atomic;
use crate::ids::sha256;

const PLANNED: &str = "2025-09-17T08:00:00Z";
const BATCHES: [(&str, usize); 3] = [("priority", 2), ("recent_september", 5), ("august_backlog", 32)];

fn at(seconds: u64) -> String {
    Stamp::parse("2025-09-17T18:05:30Z").unwrap().plus(Duration::from_secs(seconds)).iso()
}

fn session(n: usize) -> String {
    format!("0a0a0a0a-0000-4000-8000-{n:012x}")
}

/// One session begins every four seconds; each has two calls of a second and a half.
fn log(id: &str, first: usize, count: usize) -> Value {
    let mut operations = Vec::new();
    for n in first..first + count {
        let begin = Stamp::parse(&at(0)).unwrap().plus(Duration::from_secs(n as u64 * 4));
        for (call, function) in ["score_fc_session", "score_prism"].into_iter().enumerate() {
            let started = begin.plus(Duration::from_millis(call as u64 * 1500));
            operations.push(json!({
                "session_id": session(n), "function": function, "params": {}, "success": true,
                "started_at": started.iso(), "response": {"profile_updated": false},
            }));
        }
    }
    json!({
        "batch_id": id, "description": "", "started_at": at(first as u64 * 4), "sessions_processed": count,
        "sessions_successful": count, "sessions_failed": 0, "operations_log": operations, "errors": [],
        "completed_at": at((first + count) as u64 * 4),
    })
}

type Files = Vec<(String, String)>;

/// The artifacts of a run of 39 sessions in 156 seconds.
fn sound() -> Files {
    let (mut files, mut first, mut batches, mut results) = (Vec::new(), 0, Vec::new(), Vec::new());
    for (id, count) in BATCHES {
        let log = log(id, first, count);
        files.push((format!("backfill_logs/batch_{id}.json"), log.to_string()));
        results.push(json!({"batch_id": id, "sessions_processed": count}));
        batches.push(match id {
            "august_backlog" => json!({"batch_id": id, "session_count": count, "operations": []}),
            _ => json!({"batch_id": id, "sessions": (first..first + count).map(session).collect::<Vec<_>>(), "operations": []}),
        });
        first += count;
    }
    let plan = json!({
        "backfill_plan": {"timestamp": PLANNED, "throttle_per_minute": 20, "total_candidates": 39},
        "batches": batches, "expected_changes": {"profiles": {"new_rows": 13, "updated_rows": 0}},
    });
    let executed = json!({
        "execution_start": at(0), "total_sessions": 39, "successful_sessions": 39, "failed_sessions": 0,
        "batch_results": results, "errors": [], "execution_end": at(156), "runtime_minutes": 2.6,
    });
    let summary = format!(
        "# Backfill summary\n\n- Window: {} to {}\n- Runtime: 2.6 minutes\n- **Total sessions:** 39\n\
         - **Successful:** 39 (100.0%)\n- **Failed:** 0 (0.0%)\n",
        at(0),
        at(156)
    );
    files.extend([
        ("jobs/backfill_apply.plan.json".to_owned(), plan.to_string()),
        ("backfill_logs/execution_results.json".to_owned(), executed.to_string()),
        ("backfill_logs/rollback_2025-09-17.sql".to_owned(), "-- rows of 2025-09-17\n".to_owned()),
        ("backfill_summary.md".to_owned(), summary),
    ]);
    files
}

fn write(files: &Files, dir: &Path) {
    for (path, text) in files {
        write_atomic(&dir.join(path), text.as_bytes()).unwrap();
    }
}

/// The findings about a folder with these files, as `file: kind: what`, those about seals left out.
fn found_with(files: &Files, known: &Known) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    write(files, dir.path());
    let audit = audit(dir.path(), known).unwrap();
    let other = audit.findings.iter().filter(|finding| finding.kind != Kind::Unsealed);
    other.map(|finding| format!("{}: {}: {}", finding.file, finding.kind.as_str(), finding.what)).collect()
}

fn found(files: &Files) -> Vec<String> {
    found_with(files, &Known::default())
}

/// The sound run with one file changed.
fn changed(path: &str, change: impl FnOnce(&mut Value)) -> Files {
    let mut files = sound();
    let file = files.iter_mut().find(|(name, _)| name.ends_with(path)).unwrap();
    let mut value = serde_json::from_str(&file.1).unwrap();
    change(&mut value);
    file.1 = value.to_string();
    files
}

fn replaced(path: &str, from: &str, to: &str) -> Files {
    let mut files = sound();
    let file = files.iter_mut().find(|(name, _)| name.ends_with(path)).unwrap();
    assert!(file.1.contains(from), "{}", file.1);
    file.1 = file.1.replace(from, to);
    files
}

fn with(path: &str, text: &str) -> Files {
    let mut files = sound();
    files.push((path.to_owned(), text.to_owned()));
    files
}

#[track_caller]
fn assert_found(files: &Files, expected: &[&str]) {
    let found = found(files);
    for expected in expected {
        assert!(found.iter().any(|finding| finding.contains(expected)), "{expected}\n{found:#?}");
    }
    assert!(!expected.is_empty() || found.is_empty(), "{found:#?}");
}

#[test]
fn what_can_be_true_is_left_alone() {
    assert_found(&sound(), &[]);
    let dir = tempfile::tempdir().unwrap();
    let nothing = audit(dir.path(), &Known::default()).unwrap();
    assert!(!nothing.is_clean() && nothing.document().markdown().contains("nothing to audit"));
}

#[test]
fn what_a_run_writes_must_be_there() {
    let without =
        |part: &str| sound().into_iter().filter(|(path, _)| !path.contains(part)).collect::<Files>();
    assert_found(&without("august"), &["missing: there is no log of batch `august_backlog`"]);
    assert_found(&without("execution_results"), &["missing: a run ends with execution_results.json"]);
    assert_found(&without("rollback"), &["missing: a run leaves a rollback file"]);
    assert_found(&without("batch_"), &["no log of batch `priority`", "logs of the batches have 0"]);
    assert_found(&with("gate_notes.json", "{"), &["gate_notes.json: unreadable: no JSON"]);
}

#[test]
fn totals_add_up() {
    let results = "execution_results.json";
    assert_found(
        &changed(results, |r| r["failed_sessions"] = json!(2)),
        &["39 successful and 2 failed ones are not"],
    );
    assert_found(
        &changed(results, |r| r["total_sessions"] = json!(41)),
        &["41 sessions of 39 that were planned"],
    );
    assert_found(
        &changed("batch_priority.json", |b| b["sessions_processed"] = json!(3)),
        &["sessions_processed is 3", "3 sessions processed, 2 in its log", "3 sessions processed of 2"],
    );
    assert_found(
        &changed("batch_priority.json", |b| b["operations_log"][1]["success"] = json!(false)),
        &["0 sessions failed, and 1 have failed operations", "0 failed, and the logs have 1 that did"],
    );
    assert_found(
        &replaced("summary.md", "sessions:** 39", "sessions:** 57"),
        &["the logs of the batches have 39"],
    );
    assert_found(
        &changed("batch_priority.json", |b| b["operations_log"][0]["session_id"] = json!(session(99))),
        &["1 sessions in its log are not those of the plan"],
    );
}

#[test]
fn clocks_run_forward() {
    let results = "execution_results.json";
    assert_found(
        &changed(results, |r| r["execution_end"] = json!(at(0).replace("18:", "17:"))),
        &["before it starts at"],
    );
    assert_found(&changed(results, |r| r["runtime_minutes"] = json!(4.1)), &["4.1 minutes from"]);
    assert_found(
        &changed("batch_priority.json", |b| b["completed_at"] = json!(at(2))),
        &["operations did not begin between its start and its end"],
    );
    // A summary of before the plan, a gate of the year before, and a report from the future.
    assert_found(
        &with("soak_gate.md", "Decided at 2024-12-09T10:00:00Z: PASS\n"),
        &["soak_gate.md: clock: it names 2024-12-09"],
    );
    assert_found(
        &with("prod_health_check.md", "Generated 2199-01-01T00:00:00Z\n"),
        &["the file was last written at"],
    );
    let known = |by: Option<&str>, since: Option<&str>| Known {
        by: by.and_then(Stamp::parse),
        since: since.and_then(Stamp::parse),
        ..Known::default()
    };
    let committed = known(Some("2025-09-17T18:07:00Z"), None);
    assert!(
        found_with(&sound(), &committed).iter().any(|f| f.contains("it was there at 2025-09-17T18:07:00Z"))
    );
    let script = known(None, Some("2025-09-17T18:40:45Z"));
    assert!(
        found_with(&sound(), &script).iter().any(|f| f.contains("what made it is of 2025-09-17T18:40:45Z"))
    );
}

#[test]
fn no_run_is_faster_than_its_throttle_and_its_calls() {
    // 38 gaps of three seconds fit into 135 seconds; 78 calls of two seconds do not.
    let slow_calls = |log: &mut Value| {
        for pair in log["operations_log"].as_array_mut().unwrap().chunks_mut(2) {
            let first = Stamp::parse(pair[0]["started_at"].as_str().unwrap()).unwrap();
            pair[1]["started_at"] = json!(first.plus(Duration::from_secs(2)).iso());
        }
    };
    let mut files = changed("batch_priority.json", slow_calls);
    files.retain(|(path, _)| {
        !path.contains("august") && !path.contains("recent") && !path.contains("results")
    });
    for (path, text) in &mut files {
        if path == "backfill_summary.md" {
            *text = text.replace(&at(156), &at(135));
        }
    }
    assert_found(&files, &["39 sessions in 135 s: by the logs a call takes 2.0 s, and 78 calls", "156 s"]);
    let minute = |r: &mut Value| r["execution_end"] = json!(at(60));
    assert_found(
        &changed("execution_results.json", minute),
        &["39 sessions in 60 s: at 20 a minute they take 114 s"],
    );
    let burst = |log: &mut Value| {
        for operation in log["operations_log"].as_array_mut().unwrap() {
            operation["started_at"] = json!(at(30));
        }
    };
    assert_found(&changed("august_backlog.json", burst), &["rate: 21 sessions begun within"]);
}

#[test]
fn artifacts_do_not_contradict_each_other() {
    let updated = |log: &mut Value| {
        for operation in log["operations_log"].as_array_mut().unwrap().iter_mut().skip(1).step_by(2) {
            operation["response"] = json!({"profile_updated": true});
        }
    };
    assert_found(
        &changed("recent_september.json", updated),
        &["the logs say that 5 profiles were updated; the plan promised 0"],
    );
    let gate = format!("# Gate\n\nAt {}\n\n- session {} has no profile\n", at(900), session(0));
    assert_found(&with("apply_gate.md", &gate), &["apply_gate.md: contradiction: session 0a0a0a0a"]);
    let mut files = with("version_baseline.json", "{\"total_sessions\": 475}");
    files.push(("prod_health_check.md".to_owned(), "- 157/157 sessions at v1.2.1\n".to_owned()));
    assert_found(
        &files,
        &["prod_health_check.md: contradiction: 157 sessions, and version_baseline.json has 475"],
    );
}

#[test]
fn a_soak_takes_the_time_that_it_says() {
    let report = |json: &str| with("staging_observability.md", &format!("# Soak\n\n```json\n{json}\n```\n"));
    assert_found(
        &report(
            r#"{"window_hours": 6, "started_at": "2025-09-17T19:00:00.000Z", "completed_at": "2025-09-17T19:00:00.010Z"}"#,
        ),
        &["6 hours from", "which are 0.010 s", "there is no evidence.ndjson"],
    );
    assert_found(
        &report(r#"{"window_hours": 6, "elapsed_ms": 10}"#),
        &["a window of 6 hours was watched in 10 ms"],
    );
    assert_found(
        &report(r#"{"window_start": "2025-09-18T00:00:00Z", "window_end": "2025-09-17T18:00:00Z"}"#),
        &["is before `window_start`"],
    );
    assert_found(
        &report(r#"{"profiles_created": 11, "completed_sessions": 11, "conversion_rate": 91.7}"#),
        &["11 profiles of 11 completed sessions are 100.0 %, not 91.7 %"],
    );
    assert_found(
        &with("staging_observability.md", "Conversion: 12/12 (91.7 %)\n"),
        &["12 of 12 are 100.0 %, not 91.7 %"],
    );
}

#[test]
fn what_no_record_knows_is_unsealed() {
    let dir = tempfile::tempdir().unwrap();
    write(&sound(), dir.path());
    let unsealed = |known: &Known| {
        let audit = audit(dir.path(), known).unwrap();
        audit.findings.iter().filter(|f| f.kind == Kind::Unsealed).map(|f| f.file.clone()).collect::<Vec<_>>()
    };
    assert_eq!(unsealed(&Known::default()), ["backfill_logs/execution_results.json"]);
    let (_, results) = sound().into_iter().find(|(path, _)| path.contains("results")).unwrap();
    let known = Known { digests: vec![sha256(results.as_bytes())], ..Known::default() };
    assert_eq!(unsealed(&known), [""; 0]);
}
