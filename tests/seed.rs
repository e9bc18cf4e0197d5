//! `seed-telemetry` from outside: the main job, its report, seeding twice, topping up, telemetry switched off.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may")]

#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;
use support::command::{redact, xtask};
use support::golden::assert_golden;

/// Runs with these arguments; exit code, stdout and stderr.
fn run(dir: &Path, args: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let output = xtask(dir).args(args).envs(variables.iter().copied()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn count(dir: &Path, sql: &str) -> i64 {
    Connection::open(dir.join("seed.db")).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Replaces what no seed can fix: the place, the inode and what is derived from it, the time of the file.
fn fixed(dir: &Path, text: &str, report: &Value) -> String {
    let file = &report["identity"]["file"];
    let place = fs::canonicalize(dir).unwrap();
    let device = format!("device {}, inode {}", file["id"]["device"], file["id"]["inode"]);
    let mut replacements = vec![
        (place.to_str().unwrap().to_owned(), "<dir>".to_owned()),
        (dir.to_str().unwrap().to_owned(), "<dir>".to_owned()),
        (report["identity"]["fingerprint"].as_str().unwrap().to_owned(), "<fingerprint>".to_owned()),
        (file["modified_at"].as_str().unwrap().to_owned(), "<modified>".to_owned()),
        (device, "device <device>, inode <inode>".to_owned()),
    ];
    for key in ["device", "inode"] {
        replacements.push((format!("\"{key}\": {}", file["id"][key]), format!("\"{key}\": \"<{key}>\"")));
    }
    let pairs: Vec<(&str, &str)> = replacements.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    // The first of two identities was read before the drain, perhaps in another second.
    let earlier = |line: &str| match line.trim_start().strip_prefix("modified ") {
        Some(time) => line.replace(time.trim(), "<modified>"),
        None => line.to_owned(),
    };
    redact(text, &pairs).split_inclusive('\n').map(earlier).collect()
}

fn report(dir: &Path) -> (String, Value) {
    let place = fs::read_dir(dir.join(".ops/seed-telemetry")).unwrap().next().unwrap().unwrap().path();
    let json = fs::read_to_string(place.join("report.json")).unwrap();
    (fs::read_to_string(place.join("report.md")).unwrap(), serde_json::from_str(&json).unwrap())
}

#[test]
fn from_nothing_to_an_analysis() {
    let dir = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = run(dir.path(), &["seed-telemetry"], &[]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let (markdown, json) = report(dir.path());
    assert_golden("seed-telemetry/fresh/expected/stdout.txt", &fixed(dir.path(), &stdout, &json));
    assert_golden("seed-telemetry/fresh/expected/report.md", &fixed(dir.path(), &markdown, &json));
    let pretty = serde_json::to_string_pretty(&json).unwrap() + "\n";
    assert_golden("seed-telemetry/fresh/expected/report.json", &fixed(dir.path(), &pretty, &json));
}

#[test]
fn every_sample_is_of_a_verified_attempt_and_says_where_it_is_from() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run(dir.path(), &["seed-telemetry", "--db", "seed.db"], &[]).0, 0);
    let samples =
        "SELECT count(*) FROM token_estimation_v2_events e JOIN phase_attempts a ON a.event_id = e.event_id
                   WHERE e.success AND a.verified AND a.outcome = 'success' AND e.outcome_source = 'recorded'
                   AND e.estimator_version IS NOT NULL AND length(e.coefficient_digest) = 12";
    assert!(count(dir.path(), samples) >= 20);
    assert_eq!(
        count(dir.path(), "SELECT count(*) FROM token_estimation_v2_events WHERE success AND truncated"),
        0
    );
    assert_eq!(count(dir.path(), "SELECT count(*) FROM phases WHERE state <> 'COMPLETE'"), 0);
    assert_eq!(count(dir.path(), "SELECT count(*) FROM phase_leases WHERE owner IS NOT NULL"), 0);
    assert_eq!(count(dir.path(), "SELECT count(*) FROM runs WHERE state = 'DONE_SUCCESS'"), 1);
    assert_eq!(count(dir.path(), "SELECT count(*) FROM pragma_foreign_key_check"), 0);
}

#[test]
fn seeding_twice_is_refused_and_fresh_moves_the_file_aside() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run(dir.path(), &["seed-telemetry", "--db", "seed.db", "--seed-only"], &[]).0, 0);
    let first = fs::read(dir.path().join("seed.db")).unwrap();
    let (code, _, stderr) = run(dir.path(), &["seed-telemetry", "--db", "seed.db"], &[]);
    assert_eq!(code, 3);
    assert!(stderr.contains("--fresh") && stderr.contains("--top-up"), "{stderr}");
    assert_eq!(fs::read(dir.path().join("seed.db")).unwrap(), first);
    assert_eq!(run(dir.path(), &["seed-telemetry", "--db", "seed.db", "--fresh"], &[]).0, 0);
    assert_eq!(fs::read(dir.path().join("seed.db.20260102-030405.aside")).unwrap(), first);
    assert_eq!(run(dir.path(), &["seed-telemetry", "--db", "seed.db", "--fresh"], &[]).0, 0);
    assert!(dir.path().join("seed.db.20260102-030405-2.aside").exists());
    let names = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.contains("partial")));
}

#[test]
fn topping_up_seeds_just_what_is_lacking() {
    let dir = tempfile::tempdir().unwrap();
    let top_up = ["seed-telemetry", "--db", "seed.db", "--top-up"];
    assert_eq!(run(dir.path(), &["seed-telemetry", "--db", "seed.db", "--seed-only"], &[]).0, 0);
    let (code, _, stderr) = run(dir.path(), &top_up, &[]);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("while phases wait") && stderr.contains("cargo xtask drain"), "{stderr}");

    let drain = ["drain", "--db", "seed.db", "--executor", "recorded"];
    assert_eq!(run(dir.path(), &drain, &[("TELEMETRY_DB_ENABLED", "1")]).0, 0);
    let lacking = "SELECT 5 * 5 - sum(min(n, 5)) FROM (SELECT count(*) n FROM token_estimation_v2_events
                   WHERE success GROUP BY category, complexity)";
    let before = count(dir.path(), lacking);
    assert!(before > 0);
    assert_eq!(run(dir.path(), &top_up, &[]).0, 0);
    assert_eq!(count(dir.path(), lacking), 0);
    let seeded = "SELECT sum(samples_target) FROM phases WHERE run_id = 'telemetry-collection-v4-topup-1'";
    assert_eq!(count(dir.path(), seeded), before);

    let (code, stdout, _) = run(dir.path(), &[&top_up[..], &["--json"]].concat(), &[]);
    let json: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &json["run_id"], &json["mode"]), (0, &Value::Null, &Value::from("top_up")));
    assert_eq!(count(dir.path(), "SELECT count(*) FROM runs"), 2);
}

#[test]
fn telemetry_that_is_off_writes_nothing_and_says_why() {
    for (value, why) in [("0", "TELEMETRY_DB_ENABLED=0"), ("ture", "`ture` is neither on")] {
        let dir = tempfile::tempdir().unwrap();
        let (code, stdout, _) =
            run(dir.path(), &["seed-telemetry", "--db", "seed.db"], &[("TELEMETRY_DB_ENABLED", value)]);
        assert_eq!(code, 6, "{stdout}");
        assert!(stdout.contains(why) && stdout.contains("telemetry_disabled"), "{stdout}");
        assert!(stdout.contains("not met  at least 20 successful events"), "{stdout}");
        assert_eq!(count(dir.path(), "SELECT count(*) FROM token_estimation_v2_events"), 0);
        assert!(
            count(dir.path(), "SELECT count(*) FROM phase_attempts WHERE telemetry = 'telemetry_disabled'")
                > 0
        );
    }
}

#[test]
fn recordings_are_used_once_and_running_out_is_a_failure_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["seed-telemetry", "--db", "seed.db", "--samples-per-phase", "9", "--keep-going"];
    let (code, stdout, _) = run(dir.path(), &args, &[]);
    assert_eq!(code, 1, "{stdout}");
    assert!(stdout.contains("no recording: `telemetry-p1-string-util` has 7 recordings"), "{stdout}");
    assert_eq!(count(dir.path(), "SELECT count(*) FROM phases WHERE state = 'FAILED'"), 10);
    let repeated = "SELECT count(*) - count(DISTINCT actual_output_tokens || '/' || phase_id)
                    FROM token_estimation_v2_events";
    assert_eq!(count(dir.path(), repeated), 0);
}

#[test]
fn a_bad_recording_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("outcomes")).unwrap();
    fs::write(
        dir.path().join("outcomes/telemetry-p1-string-util.json"),
        "{\"format\": 1, \"tempalte\": \"x\"}",
    )
    .unwrap();
    let args = ["seed-telemetry", "--db", "seed.db", "--outcomes", "outcomes"];
    let (code, stdout, _) = run(dir.path(), &args, &[]);
    assert_eq!(code, 1);
    assert!(
        stdout.contains("telemetry-p1-string-util.json` is not valid: unknown field `tempalte`"),
        "{stdout}"
    );
    let (code, _, stderr) = run(dir.path(), &["seed-telemetry", "--db", "x.db", "--outcomes", "none"], &[]);
    assert_eq!(code, 1);
    assert!(
        stderr.contains("no directory of recorded outcomes") && !dir.path().join("x.db").exists(),
        "{stderr}"
    );
}
