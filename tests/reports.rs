//! The reports on collected telemetry, from outside: the same numbers over both databases, in every form.

#![expect(clippy::unwrap_used, reason = "a test may")]

#[expect(dead_code, reason = "each test binary uses a part of the support")]
#[path = "support/postgres.rs"]
mod postgres;
#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use ops::clock::Stamp;
use ops::telemetry::producers::{
    Byline, BylineResult, BylineSource, BylineStep, Cleaning, CleaningTerms, Extraction, Found, MethodEnd,
    Segment, TABLES,
};
use ops::telemetry::store::{Full, Store, StoreOptions};
use ops::url::{DbUrl, SqliteUrl};
use serde_json::Value;
use support::command::{redact, xtask};
use support::golden::assert_golden;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_mins(1);
/// What `OPS_NOW` says in these tests.
const NOW: &str = "2026-01-02T03:04:05Z";

fn now() -> Stamp {
    Stamp::parse(NOW).unwrap()
}

fn days_ago(days: i64) -> Stamp {
    Stamp::from_unix(now().unix() - days * 86_400).unwrap()
}

fn open(url: &DbUrl, dir: &Path) -> Store {
    let options = StoreOptions {
        tables: TABLES.to_vec(),
        spill_dir: Some(dir.to_path_buf()),
        ..StoreOptions::default()
    };
    Store::open(url, options).unwrap()
}

/// One extraction by one method.
fn extract(store: &Store, site: &str, method: &str, status: u16, ms: u64, at: Stamp) {
    let url = format!("https://{site}.example/story");
    let mut extraction = Extraction::begin("op", "art", &url, Some(site), at);
    extraction.start_method(method, at);
    let is_success = status == 200;
    let found = Found { title: is_success.then_some("Headline"), ..Found::default() };
    let end = MethodEnd { is_success, error: None, found, http_status: Some(status) };
    let done = at.plus(Duration::from_millis(ms));
    extraction.end_method(method, &end, done);
    extraction.start_method("left open", at);
    extraction.finish(found, &[], done);
    extraction.record(store).unwrap();
}

/// Two good extractions, three failures, and one of each from before the window.
fn collect(store: &Store) {
    extract(store, "good-site", "newspaper4k", 200, 2500, days_ago(0));
    extract(store, "good-site", "beautifulsoup", 200, 3200, days_ago(1));
    extract(store, "blocked-site", "newspaper4k", 403, 100, days_ago(1));
    extract(store, "blocked-site", "newspaper4k", 403, 200, days_ago(6));
    extract(store, "error-site", "newspaper4k", 500, 300, days_ago(6));
    extract(store, "good-site", "newspaper4k", 404, 50, days_ago(7));
    extract(store, "blocked-site", "newspaper4k", 200, 70, days_ago(7));
    for (n, source) in ["Example News", "Example News", "Other Paper"].into_iter().enumerate() {
        let source = BylineSource { source_name: Some(source), ..BylineSource::default() };
        let at = days_ago(2);
        let mut byline = Byline::begin(&format!("b{n}"), "By Jane Doe", "rules", source, at);
        let step = BylineStep { name: "prefix", confidence_delta: 0.5, ..BylineStep::default() };
        byline.step(&step, at.plus(Duration::from_millis(2)));
        let is_noise = n == 1;
        let result = BylineResult {
            authors: if is_noise { &[] } else { &["Jane Doe"] },
            is_valid: Some(!is_noise),
            is_noise: Some(is_noise),
            needs_review: (n == 2).then_some(true),
        };
        byline.finish(&result, at.plus(Duration::from_millis(4)), store).unwrap();
    }
    for (n, domain) in ["good.example", "good.example", "other.example"].into_iter().enumerate() {
        let at = days_ago(3);
        let terms = CleaningTerms {
            session_id: "s",
            domain,
            articles: 10,
            min_occurrences: 3,
            min_boundary_score: 0.3,
        };
        let mut session = Cleaning::begin(&format!("c{n}"), terms, at);
        for (pattern, removed) in [("navigation", Some("repeats")), ("trending", None)] {
            let segment = Segment {
                text: "Home News Sports",
                pattern,
                boundary_score: 0.75,
                occurrences: 5,
                position_consistency: None,
                article_ids: &["a", "b"],
                removed,
            };
            session.segment(&segment, at);
        }
        session.finish(4, 800, at.plus(Duration::from_millis(8)), store).unwrap();
    }
}

fn sqlite() -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let url = DbUrl::Sqlite(SqliteUrl::from_path(dir.path().join("t.db")));
    let store = open(&url, dir.path());
    collect(&store);
    let ledger = store.shutdown();
    assert!(ledger.is_all_written(), "{} {:?}", ledger.equation(), store.stats());
    (dir, "t.db".to_owned())
}

fn run(dir: &Path, db: &str, args: &[&str]) -> (i32, String, String) {
    let output = xtask(dir).arg("analyze").args(args).args(["--db", db]).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn json(dir: &Path, db: &str, args: &[&str]) -> Value {
    let (code, stdout, stderr) = run(dir, db, &[args, &["--json"]].concat());
    assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
    let mut document: Value = serde_json::from_str(&stdout).unwrap();
    document["report"].take()
}

const REPORTS: [&[&str]; 5] =
    [&["publishers", "--min-attempts", "1"], &["http-errors"], &["methods"], &["bylines"], &["cleaning"]];

#[test]
fn every_report_in_every_form() {
    let (dir, db) = sqlite();
    let place = fs::canonicalize(dir.path()).unwrap().display().to_string();
    let plain = |text: &str| redact(text, &[(&place, "<dir>"), (&dir.path().display().to_string(), "<dir>")]);
    for args in REPORTS {
        let name = args[0];
        let (code, stdout, stderr) = run(dir.path(), &db, &[args, &["--html", "report.html"]].concat());
        assert_eq!((code, stderr.as_str()), (0, ""), "{name}");
        assert_golden(&format!("analyze/{name}/expected/stdout.txt"), &plain(&stdout));
        let html = fs::read_to_string(dir.path().join("report.html")).unwrap();
        assert_golden(&format!("analyze/{name}/expected/report.html"), &plain(&html));
        let (_, markdown, _) = run(dir.path(), &db, &[args, &["--markdown"]].concat());
        assert_golden(&format!("analyze/{name}/expected/report.md"), &plain(&markdown));
        let (_, json, _) = run(dir.path(), &db, &[args, &["--json"]].concat());
        assert_golden(&format!("analyze/{name}/expected/report.json"), &plain(&json));
    }
}

#[test]
fn a_window_holds_what_happened_in_it_and_nothing_else() {
    let (dir, db) = sqlite();
    let report = json(dir.path(), &db, &["publishers", "--min-attempts", "1"]);
    assert_eq!(
        (&report["attempts"], &report["successes"], &report["success_rate"]),
        (&5.into(), &2.into(), &40.0.into())
    );
    let card = |name: &str| {
        let cards = report["publishers"].as_array().unwrap();
        let card = cards.iter().find(|card| card["publisher"] == name).unwrap();
        (card["attempts"].clone(), card["success_rate"].clone(), card["grade"].clone())
    };
    assert_eq!(card("good-site"), (2.into(), 100.0.into(), "good".into()));
    assert_eq!(card("blocked-site"), (2.into(), 0.0.into(), "pause".into()));
    let errors = |args: &[&str]| json(dir.path(), &db, &[&["http-errors"], args].concat())["count"].clone();
    assert_eq!(
        [errors(&[]), errors(&["--host", "blocked-site.example"]), errors(&["--status", "500"])],
        [3, 2, 1]
    );
    assert_eq!([errors(&["--days", "2"]), errors(&["--days", "6"]), errors(&["--days", "8"])], [1, 1, 4]);
    assert_eq!([errors(&["--since", "2025-12-26"]), errors(&["--since", "2025-12-27T23:00:00Z"])], [4, 3]);
    let hostile = errors(&["--host", "x' OR '1' = '1"]);
    assert_eq!(hostile, 0, "a name is a value");
    let methods = json(dir.path(), &db, &["methods", "--publisher", "error-site"]);
    assert_eq!(methods["methods"].as_array().unwrap().len(), 2);
    let open = &methods["methods"][0];
    assert_eq!(
        (&open["method"], &open["duration"]["timed"], &open["duration"]["average_ms"]),
        (&"left open".into(), &0.into(), &Value::Null)
    );
}

/// Without the counts of days the events are counted, and a report says so; the numbers are the same.
fn same_from_events(dir: &Path, db: &str, execute: impl Fn(&str)) {
    let read = |args: &[&str]| {
        let mut report = json(dir, db, args);
        let basis = report["basis"].take();
        (basis, report)
    };
    let before: Vec<(Value, Value)> = REPORTS.map(read).into();
    assert!(before.iter().all(|(basis, _)| basis == "days"), "{before:?}");
    for table in ["extraction_days", "http_error_summary", "byline_days", "content_cleaning_days"] {
        execute(&format!("DELETE FROM {table} WHERE day = (SELECT max(day) FROM {table})"));
    }
    for (args, (_, expected)) in REPORTS.iter().zip(&before) {
        // The first and the last time of a host's error are of the end of the extraction in both.
        assert_eq!((Value::from("events"), expected.clone()), read(args), "{args:?}");
    }
    // One that another program made knows no days.
    execute("DROP TABLE http_error_summary");
    execute(
        "CREATE TABLE http_error_summary (host TEXT NOT NULL, status_code INTEGER NOT NULL, error_type TEXT NOT NULL, \
         count INTEGER DEFAULT 1, first_seen TEXT, last_seen TEXT, UNIQUE (host, status_code))",
    );
    assert_eq!((Value::from("events"), before[1].1.clone()), read(&["http-errors"]));
}

#[test]
fn where_days_are_lacking_the_events_are_counted() {
    let (dir, db) = sqlite();
    let path = dir.path().join(&db);
    same_from_events(dir.path(), &db, |sql| {
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    });
}

#[test]
fn counts_of_days_outlive_the_events() {
    let (dir, db) = sqlite();
    let before = REPORTS.map(|args| json(dir.path(), &db, args));
    let conn = rusqlite::Connection::open(dir.path().join(&db)).unwrap();
    for table in ["extraction_telemetry_v2", "byline_cleaning_telemetry", "content_cleaning_sessions"] {
        conn.execute(&format!("DELETE FROM {table} WHERE created_at < '2026-01-02'"), []).unwrap();
    }
    assert_eq!(REPORTS.map(|args| json(dir.path(), &db, args)), before);
}

#[test]
fn postgres_says_the_same() {
    let Some(cluster) = postgres::cluster() else { return };
    let (dir, db) = sqlite();
    let database = cluster.database();
    let url = cluster.url(&database);
    let store = open(&DbUrl::parse(&url, Path::new("/")).unwrap(), dir.path());
    collect(&store);
    let ledger = store.shutdown();
    assert!(ledger.is_all_written(), "{} {:?}", ledger.equation(), store.stats());
    for args in REPORTS {
        assert_eq!(json(dir.path(), &url, args), json(dir.path(), &db, args), "{args:?}");
    }
    let health = json(dir.path(), &url, &["store"]);
    assert_eq!(
        (&health["writers"][0]["state"], &health["writers"][0]["written"]),
        (&"closed".into(), &13.into())
    );
    same_from_events(dir.path(), &url, |sql| {
        cluster.sql(&database, sql);
    });
}

#[test]
fn an_empty_window_has_no_rates_and_an_empty_database_no_report() {
    let (dir, db) = sqlite();
    for args in REPORTS {
        let mut command = xtask(dir.path());
        let output =
            command.env("OPS_NOW", "2030-01-01T00:00:00Z").arg("analyze").args(args).args(["--db", &db]);
        let output = output.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!String::from_utf8(output.stdout).unwrap().contains("NaN"), "{args:?}");
    }
    rusqlite::Connection::open(dir.path().join("empty.db"))
        .unwrap()
        .execute_batch("CREATE TABLE x (a)")
        .unwrap();
    for args in [&["store"] as &[&str]].iter().chain(&REPORTS) {
        let (code, _, stderr) = run(dir.path(), "empty.db", args);
        assert_eq!(code, 3, "{args:?}: {stderr}");
        assert!(stderr.contains("this database has no telemetry of"), "{stderr}");
    }
    let (code, _, _) = run(dir.path(), "missing.db", &["publishers"]);
    assert!(code != 0 && !dir.path().join("missing.db").exists());
}

#[test]
fn the_health_of_a_store_says_what_was_lost_and_who_is_gone() {
    let (dir, db) = sqlite();
    let (code, stdout, _) = run(dir.path(), &db, &["store"]);
    assert_eq!(code, 0, "{stdout}");
    let conn = rusqlite::Connection::open(dir.path().join(&db)).unwrap();
    // The writer of this test had the clock of the machine, an id and a process of its own.
    conn.execute_batch(
        "DELETE FROM ops_telemetry_writers;
         INSERT INTO ops_telemetry_writers VALUES
         ('aa', 7, '2026-01-02 03:00:00.000000', '2026-01-02 03:04:00.000000', NULL, 100, 90, 0, 10, 512, 0, 0, 0, 0, 0, 0, 0, 9, NULL),
         ('bb', 8, '2026-01-01 00:00:00.000000', '2026-01-01 00:10:00.000000', NULL, 50, 40, 0, 4, 96, 0, 0, 6, 0, 0, 0, 3, 5,
          'CHECK constraint failed: n >= 0'),
         ('cc', 9, '2026-01-01 00:00:00.000000', '2026-01-01 00:09:00.000000', '2026-01-01 00:09:00.000000', 1000, 1000, 0, 0, 0,
          0, 0, 0, 0, 0, 20, 0, 2, NULL)",
    )
    .unwrap();
    drop(conn);
    let place = fs::canonicalize(dir.path()).unwrap().display().to_string();
    let plain = |text: &str| redact(text, &[(&place, "<dir>"), (&dir.path().display().to_string(), "<dir>")]);
    let (code, stdout, _) = run(dir.path(), &db, &["store", "--html", "report.html"]);
    assert_eq!(code, 6, "something was lost");
    assert_golden("analyze/store/expected/stdout.txt", &plain(&stdout));
    let html = fs::read_to_string(dir.path().join("report.html")).unwrap();
    assert_golden("analyze/store/expected/report.html", &plain(&html));
    let (_, json, _) = run(dir.path(), &db, &["store", "--json"]);
    assert_golden("analyze/store/expected/report.json", &plain(&json));
}

#[test]
fn a_spill_file_that_waits_is_not_healthy() {
    let dir = tempfile::tempdir().unwrap();
    let url = DbUrl::Sqlite(SqliteUrl::from_path(dir.path().join("t.db")));
    drop(open(&url, dir.path()));
    let options = StoreOptions {
        close_timeout: Duration::ZERO,
        linger: PATIENCE,
        full: Full::DropNewest,
        ..StoreOptions::default()
    };
    let store = Store::open(&url, options).unwrap();
    for _ in 0..50 {
        extract(&store, "good-site", "newspaper4k", 200, 1, now());
    }
    assert!(store.shutdown().spilled > 0);
    let (code, stdout, _) = run(dir.path(), "t.db", &["store"]);
    assert_eq!(code, 6, "{stdout}");
    assert!(stdout.contains("not met  no spill file waits: 1 file"), "{stdout}");
}
