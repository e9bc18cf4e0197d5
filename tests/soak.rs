//! `soak` from outside: what it can find out, and a log that is judged again to the same bytes.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic as tests do")]

#[path = "soak/shipped.rs"]
mod shipped;
#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;

use std::path::Path;
use std::time::Duration;

use ops::clock::Stamp;
use ops::files::write_atomic;
use ops::soak::{Log, Look, Metric, Reading, Rule, Soak};
use support::command::xtask;
use support::golden::assert_golden;

const STARTED: &str = "2026-01-02T03:00:00Z";

fn run(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let output = xtask(dir).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Six hours of a release whose conversion is `good_of_20` of 20; one look in the middle could not read it.
fn evidence(good_of_20: u64) -> String {
    let never =
        Metric::new("version_overrides", "profiles and their version", Rule::Never { hidden_max: 0.02 });
    let rate = Rule::AtLeast { rate: 0.85, margin: 0.05 };
    let conversion = Metric::new("conversion", "completed sessions and their profile", rate);
    let (mut log, mut text) = Log::begin(Soak {
        target: "postgres://db.internal/app".to_owned(),
        run: Some("3f1c0a9be210".to_owned()),
        started: STARTED.to_owned(),
        ..Soak::new("staging", vec![never, conversion])
    });
    for number in 0..=72_u64 {
        let at = Stamp::parse(STARTED).unwrap().plus(Duration::from_secs(number * 300));
        let units = number * 4;
        let counted = |good| Reading::Counted { units, good, bad: Vec::new() };
        let failed = || Reading::Failed("canceling statement due to statement timeout".to_owned());
        let conversion = if number == 30 { failed() } else { counted(units * good_of_20 / 20) };
        text.push_str(&log.add(Look {
            at: at.iso(),
            process: "7c2e".to_owned(),
            up_ms: number * 300_000,
            readings: vec![counted(units), conversion],
        }));
    }
    text
}

#[test]
fn power_is_printed_from_the_code_that_judges() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["soak", "power", "--n", "288", "--soaks", "500"];
    let (code, stdout, stderr) = run(dir.path(), &args);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_golden("soak/power/expected/stdout.txt", &stdout);
    assert_eq!(run(dir.path(), &args).1, stdout);
}

#[test]
fn evidence_gives_the_same_bytes_each_time() {
    let dir = tempfile::tempdir().unwrap();
    for (name, good_of_20, expected) in [("go", 19, 0), ("no-go", 14, 6), ("insufficient", 17, 6)] {
        let file = format!("{name}.ndjson");
        write_atomic(&dir.path().join(&file), evidence(good_of_20).as_bytes()).unwrap();
        let (code, stdout, stderr) = run(dir.path(), &["soak", "replay", &file]);
        assert_eq!((code, stderr.as_str()), (expected, ""), "{stdout}");
        assert_golden(&format!("soak/{name}/expected/stdout.txt"), &stdout);
        let (_, json, _) = run(dir.path(), &["soak", "replay", &file, "--json"]);
        assert_golden(&format!("soak/{name}/expected/judgement.json"), &json);
    }
}

#[test]
fn what_is_no_evidence_is_refused_by_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let edited = evidence(14).replacen("\"good\":2}", "\"good\":4}", 1);
    write_atomic(&dir.path().join("edited.ndjson"), edited.as_bytes()).unwrap();
    let (code, _, stderr) = run(dir.path(), &["soak", "replay", "edited.ndjson"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("line 3: was changed, or does not follow the line before"), "{stderr}");
    let (code, _, stderr) = run(dir.path(), &["soak", "replay", "none.ndjson"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("cannot read `none.ndjson`"), "{stderr}");
    let (code, _, stderr) = run(dir.path(), &["soak", "power", "--n", "10", "--baseline", "1.5"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("between 0 and 1"), "{stderr}");
}

/// A soak of three seconds over a SQLite file that the test writes.
const SETTINGS: &str = r#"
[soaks.short]
window = "3s"
every = "1s"

[[soaks.short.metrics]]
name = "version_overrides"
what = "profiles and their version"
rule = { never = { hidden_max = 0.05 } }
sql = "SELECT count(*), count(CASE WHEN version = 'v1.2.1' THEN 1 END) FROM profiles"
bad = "SELECT id FROM profiles WHERE version IS NULL OR version <> 'v1.2.1'"
"#;

fn world(version: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_atomic(&dir.path().join("ops.toml"), SETTINGS.as_bytes()).unwrap();
    let database = rusqlite::Connection::open(dir.path().join("app.db")).unwrap();
    database.execute_batch("CREATE TABLE profiles (id INTEGER PRIMARY KEY, version TEXT)").unwrap();
    for id in 0..100 {
        let version = if id == 41 { Some(version) } else { Some("v1.2.1") };
        let version = version.filter(|version| !version.is_empty());
        database.execute("INSERT INTO profiles VALUES (?1, ?2)", (id, version)).unwrap();
    }
    dir
}

const RUN: [&str; 6] = ["soak", "run", "--soak", "short", "--db", "app.db"];

#[test]
fn a_database_is_watched_for_the_whole_window_and_not_changed() {
    let dir = world("v1.2.1");
    let before = std::fs::read(dir.path().join("app.db")).unwrap();
    let (code, stdout, stderr) = run(dir.path(), &RUN);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("Soak short: GO") && stdout.contains("4 of 4, every 1 s"), "{stdout}");
    assert_eq!(std::fs::read(dir.path().join("app.db")).unwrap(), before);
    let out = dir.path().join(".ops/soaks/short");
    let report = std::fs::read_to_string(out.join("short_observability.md")).unwrap();
    assert!(report.contains("# Soak short: GO"), "{report}");
    // The window is over: another call judges and looks no more.
    let evidence = std::fs::read_to_string(out.join("evidence.ndjson")).unwrap();
    assert_eq!(run(dir.path(), &RUN).0, 0);
    assert_eq!(std::fs::read_to_string(out.join("evidence.ndjson")).unwrap(), evidence);
    let (code, replayed, _) = run(dir.path(), &["soak", "replay", ".ops/soaks/short/evidence.ndjson"]);
    assert_eq!((code, stdout.contains(&replayed)), (0, true));
}

#[test]
fn the_window_and_the_looks_of_the_command_line_are_those_that_count() {
    let dir = world("v1.2.1");
    let twice = [&RUN[..], &["--hours", "0.5", "--every", "10m"]].concat();
    let (code, stdout, stderr) = run(dir.path(), &twice);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("4 of 4, every 600 s") || stdout.contains("4 of 4, every 10 min"), "{stdout}");
    // The evidence is of that question; another one needs evidence of its own.
    assert_eq!(run(dir.path(), &RUN).0, 3);
    let (code, _, stderr) = run(dir.path(), &[&RUN[..], &["--every", "1h"]].concat());
    assert!(code == 3 && stderr.contains("`every` must be more than 0 and at most the window"), "{stderr}");
    let (code, _, stderr) = run(dir.path(), &[&RUN[..], &["--hours", "-1"]].concat());
    assert!(code == 2, "{stderr}");
}

#[test]
fn a_bad_row_ends_the_watch_at_once_also_when_its_version_is_null() {
    for version in ["v1.2.0", ""] {
        let dir = world(version);
        let (code, stdout, stderr) = run(dir.path(), &RUN);
        assert_eq!(code, 6, "{stdout}{stderr}");
        assert!(stdout.contains("Soak short: NO-GO") && stdout.contains("1 of 1, every 1 s"), "{stdout}");
        assert!(stdout.contains("bad: 41 (1 in all)"), "{stdout}");
    }
}

#[test]
fn what_cannot_be_read_is_never_good() {
    let dir = world("v1.2.1");
    let settings = SETTINGS.replace("FROM profiles\"", "FROM profile\"");
    write_atomic(&dir.path().join("ops.toml"), settings.as_bytes()).unwrap();
    let (code, stdout, stderr) = run(dir.path(), &RUN);
    assert_eq!(code, 6, "{stdout}{stderr}");
    assert!(stdout.contains("Soak short: INVALID") && stdout.contains("no such table: profile"), "{stdout}");
    // The question is another one now: the old evidence is none for it.
    write_atomic(&dir.path().join("ops.toml"), SETTINGS.replace("0.05", "0.04").as_bytes()).unwrap();
    let (code, _, stderr) = run(dir.path(), &RUN);
    assert_eq!(code, 3, "{stderr}");
    let (code, _, stderr) = run(dir.path(), &["soak", "run", "--soak", "long", "--db", "app.db"]);
    assert_eq!(code, 3);
    assert!(stderr.contains("there is no soak `long`"), "{stderr}");
}

#[test]
fn the_state_is_what_prometheus_takes() {
    let dir = world("v1.2.0");
    let file = dir.path().join("textfiles/soak.prom");
    let (code, _, stderr) = run(dir.path(), &[&RUN[..], &["--prometheus", "textfiles/soak.prom"]].concat());
    assert_eq!(code, 6, "{stderr}");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_golden("soak/prometheus/expected/state.prom", &text);
    assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "no partial file is left");
    #[expect(clippy::disallowed_methods, reason = "a test runs the checker of the format")]
    let promtool = std::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(&file).unwrap())
        .output();
    match promtool {
        Ok(checked) => {
            let said = String::from_utf8_lossy(&checked.stderr);
            assert!(checked.status.success() && said.is_empty(), "{said}");
        }
        Err(_) => eprintln!("skipped: promtool is missing; install it with: apt-get install prometheus"),
    }
}
