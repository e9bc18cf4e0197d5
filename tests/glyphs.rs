//! `analyze glyphs` from outside: the answer, its reasons, and the events with and without what was typed.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may")]

#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::command::xtask;
use support::golden::assert_golden;
use tempfile::TempDir;

fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in ["cleaned_glyphs.json", "corrections.json"] {
        fs::copy(support::root().join("fixtures/analyze/glyphs").join(file), dir.path().join(file)).unwrap();
    }
    dir
}

/// Runs a probe with `SAORI_TELEMETRY` as it is given; exit code, stdout and stderr.
fn probe(dir: &Path, flag: Option<&str>, sentence: &str, args: &[&str]) -> (i32, String, String) {
    let mut command = xtask(dir);
    if let Some(flag) = flag {
        command.env("SAORI_TELEMETRY", flag);
    }
    let common = ["analyze", "glyphs", "--probe", sentence];
    let output = command.args(common).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The events of a text, in order.
fn events(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn names(lines: &str) -> Vec<String> {
    events(lines).iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

const SENTENCE: &str = "I feel overwhelmed";
const NORMAL: [&str; 5] = [
    "select_best_start",
    "generate_contextual_start",
    "generate_contextual_composed",
    "select_best_done",
    "parse_input_summary",
];

#[test]
fn a_sentence_finds_its_glyph() {
    let dir = folder();
    let (code, stdout, stderr) = probe(dir.path(), None, SENTENCE, &[]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_golden("analyze/glyphs/expected/stdout.txt", &stdout);
    // The set of another folder, such as the one before a cleanup, gives an answer of its own.
    fs::rename(dir.path().join("cleaned_glyphs.json"), dir.path().join("before.json")).unwrap();
    let (code, json, _) = probe(dir.path(), None, SENTENCE, &["--json", "--glyphs", "before.json"]);
    assert_eq!(code, 0);
    assert_golden("analyze/glyphs/expected/probe.json", &json);
    let (code, _, stderr) = probe(dir.path(), None, SENTENCE, &[]);
    assert!(code == 1 && stderr.contains("cleaned_glyphs.json"), "{stderr}");
}

#[test]
fn events_are_json_lines_when_they_are_asked_for() {
    let dir = folder();
    let now = ["--now", "2026-02-03T04:05:06.5Z"];
    let (_, quiet, _) = probe(dir.path(), None, SENTENCE, &now);
    let (code, stdout, stderr) = probe(dir.path(), Some("YES"), SENTENCE, &now);
    assert_eq!(code, 0);
    assert_golden("analyze/glyphs/expected/events.ndjson", &stderr);
    assert_eq!(names(&stderr), NORMAL);
    let line =
        |text: &str| text.lines().find(|line| line.trim_start().starts_with("events")).unwrap().to_owned();
    assert!(line(&stdout).ends_with("on: 5 written"), "{stdout}");
    assert!(line(&quiet).ends_with("off: SAORI_TELEMETRY is not set"), "{quiet}");
}

#[test]
fn a_misspelt_switch_is_a_reason_and_not_silence() {
    let dir = folder();
    for (flag, reason) in [
        ("0", "off: SAORI_TELEMETRY=0"),
        ("", "off: SAORI_TELEMETRY is not set"),
        ("ture", "`ture` is neither on"),
    ] {
        let (code, stdout, stderr) = probe(dir.path(), Some(flag), SENTENCE, &["--events", "events.ndjson"]);
        assert_eq!((code, stderr.as_str()), (0, ""));
        assert!(stdout.contains(reason), "{flag}: {stdout}");
        assert!(!dir.path().join("events.ndjson").exists(), "nothing is written, so nothing is made");
    }
}

#[test]
fn every_way_out_emits_a_summary() {
    let dir = folder();
    let of = |sentence: &str| events(&probe(dir.path(), Some("1"), sentence, &[]).2);
    for (sentence, source) in [("Hello!", "greeting"), ("  ", "empty")] {
        let found = of(sentence);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (&found[0]["event"], &found[0]["response_source"]),
            (&"parse_input_summary".into(), &source.into())
        );
    }
    let none = probe(dir.path(), Some("1"), "xylophone", &[]);
    assert_eq!(names(&none.2), ["select_best_start", "select_best_done", "parse_input_summary"]);
    let done = &events(&none.2)[1];
    assert!(done["best_glyph"].is_null() && done["selected_count"] == 0, "{done}");
    assert!(none.1.contains("best glyph           none"), "{}", none.1);
}

#[test]
fn feedback_and_past_corrections_have_events_of_their_own() {
    let dir = folder();
    let (_, stdout, stderr) = probe(dir.path(), Some("1"), "This grief is not mine", &[]);
    assert_eq!(names(&stderr)[2], "generate_contextual_feedback");
    assert_eq!(events(&stderr)[2]["type"], "attribution_boundary");
    assert!(stdout.contains("feedback"), "{stdout}");
    let args = ["--corrections", "corrections.json", "--json"];
    let (_, json, stderr) = probe(dir.path(), Some("1"), "I feel overwhelmed at work", &args);
    let last = events(&stderr).pop().unwrap();
    assert_eq!((&last["event"], &last["record_id"]), (&"clarification_applied".into(), &"c-2".into()));
    assert!(last["trigger"].is_null(), "what users typed is hidden: {last}");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["probe"]["best"]["name"], "Quiet Anger");
}

#[test]
fn what_was_typed_is_hidden_or_masked_and_cut() {
    let dir = folder();
    let sentence =
        format!("overwhelmed: mail bob@example.org or +1 555 123 4567 {}", "👩\u{200d}💻".repeat(80));
    let (_, _, hidden) = probe(dir.path(), Some("1"), &sentence, &[]);
    assert!(events(&hidden)[0]["input_snippet"].is_null(), "{hidden}");
    let args = ["--snippets", "--events", "logs/events.ndjson"];
    let (_, _, stderr) = probe(dir.path(), Some("1"), &sentence, &args);
    assert_eq!(stderr, "");
    let masked = fs::read_to_string(dir.path().join("logs/events.ndjson")).unwrap();
    let snippet = events(&masked)[0]["input_snippet"].as_str().unwrap().to_owned();
    assert!(
        snippet.starts_with("overwhelmed: mail [redacted-email] or [redacted-phone] 👩\u{200d}💻"),
        "{snippet}"
    );
    assert!(snippet.chars().count() <= 160 && snippet.ends_with("💻"), "{snippet}");
    for text in [&hidden, &masked] {
        assert!(!text.contains("bob") && !text.contains("555"), "{text}");
    }
}

#[test]
fn a_file_that_holds_no_glyphs_is_an_error_that_says_which() {
    let dir = folder();
    for (content, says) in [("{}", "neither a JSON array"), ("[1]", "row 1"), ("[", "not JSON")] {
        fs::write(dir.path().join("cleaned_glyphs.json"), content).unwrap();
        let (code, _, stderr) = probe(dir.path(), None, SENTENCE, &[]);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains(says) && stderr.contains("cleaned_glyphs.json"), "{stderr}");
    }
}

/// Runs a probe whose events go into a store, with `TELEMETRY_DEBUG` as it is given.
fn probe_into_store(dir: &Path, debug: Option<&str>) -> (i32, String, String) {
    let mut command = xtask(dir);
    command.env("SAORI_TELEMETRY", "1");
    if let Some(debug) = debug {
        command.env("TELEMETRY_DEBUG", debug);
    }
    let args =
        ["analyze", "glyphs", "--glyphs", "cleaned_glyphs.json", "--probe", SENTENCE, "--store", "t.db"];
    let output = command.args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn events_may_go_into_the_store() {
    let dir = folder();
    for (debug, rows) in [(None, 5_i64), (Some("1"), 10)] {
        let (code, stdout, stderr) = probe_into_store(dir.path(), debug);
        assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
        assert!(stdout.contains("on: 5 written; store: 5 = 5 written"), "{stdout}");
        let conn = rusqlite::Connection::open(dir.path().join("t.db")).unwrap();
        let sql = "SELECT count(*), count(DISTINCT sequence), min(event), max(json_extract(body, '$.sequence') = sequence) \
                   FROM telemetry_events";
        let found: (i64, i64, String, i64) =
            conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
        assert_eq!(found, (rows, 5, "generate_contextual_composed".to_owned(), 1));
    }
}

#[test]
fn an_event_that_cannot_be_stored_is_a_count_or_under_debug_an_error() {
    let dir = folder();
    let conn = rusqlite::Connection::open(dir.path().join("t.db")).unwrap();
    conn.execute_batch(
        "CREATE TABLE telemetry_events (id INTEGER PRIMARY KEY, at TEXT CHECK (at = 'never'))",
    )
    .unwrap();
    let (code, stdout, _) = probe_into_store(dir.path(), None);
    assert_eq!(code, 0, "telemetry does not stop the caller");
    assert!(stdout.contains("5 = 0 written + 5 dropped: sql_error (CHECK constraint failed"), "{stdout}");
    let (code, _, stderr) = probe_into_store(dir.path(), Some("1"));
    assert_eq!(code, 1);
    assert!(stderr.contains("5 of 5 events could not be written"), "{stderr}");
    assert!(stderr.contains("CHECK constraint failed"), "{stderr}");
    let (code, _, stderr) = probe_into_store(dir.path(), Some("ture"));
    assert_eq!(code, 1);
    assert!(stderr.contains("TELEMETRY_DEBUG=`ture` is neither on"), "{stderr}");
}
