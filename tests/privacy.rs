//! Everything that a run of telemetry writes, searched for what was planted in everything that it was given.
//!
//! Databases and their logs, spill files, event files, reports, exports, stdout and stderr are searched byte by byte, in any
//! case of letters; of Parquet, which is packed, every text that is read back. Forms of tokens are put together here, so that no scanner takes them for real ones.

#![expect(clippy::unwrap_used, reason = "a test may")]

#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use ops::clock::{Clock, Stamp};
use ops::parquet::{Cell, Layout, Rows};
use ops::telemetry::events::{Event, Events, Fields, Snippets, Stored};
use ops::telemetry::producers::discovery::{Discovered, DiscoveryOutcome, HttpAnswer, MethodTry};
use ops::telemetry::producers::{
    Article, Byline, BylineResult, BylineSource, BylineStep, Cleaning, CleaningTerms, Detection, Extraction,
    ExtractionOutcome, Found, JobRun, Locality, MethodEnd, Operation, Outcome, Proxy, Segment, Stage, TABLES,
    WireEvent,
};
use ops::telemetry::store::{Full, Job, Store, StoreOptions, Value};
use ops::url::{DbUrl, SqliteUrl};
use serde_json::json;
use support::command::xtask;

/// What must be found nowhere, and a text that it comes in.
fn planted() -> Vec<(String, String)> {
    let plain = |secret: &str| (secret.to_owned(), secret.to_owned());
    let within = |secret: &str, text: &str| (secret.to_owned(), text.replace("{}", secret));
    vec![
        plain("jane.roe@plant.example.org"),
        plain("Bob+Tag@Mail.Plant.Example"),
        plain("+1 573 555 0142"),
        plain("(573) 555-0143"),
        within("5735550144", "phone: {}"),
        plain(concat!("s", "k-ant-api03-plantedplanted01234")),
        plain(concat!("gh", "p_plantedPLANTEDplanted0123456789ABCDE")),
        plain(concat!("AK", "IAPLANTEDPLANTED42")),
        plain(concat!("sb_sec", "ret_plantedplanted012345")),
        plain("eyJhbGciOiJIUzI1NiJ9.eyJwbGFudGVkIjoiMTIzNCJ9.cGxhbnRlZHBsYW50ZWRwbGFudGVk"),
        within("plantedBearer0123456789", "Authorization: Bearer {}"),
        within("hunter2planted", "password={}"),
        within("plantedapikey0123", "https://api.example/x?api_key={}&page=2"),
        within("planteduser:plantedpass", "https://{}@host.example/path"),
    ]
}

/// All of it in one text, as users and servers write.
fn text() -> String {
    let parts: Vec<String> = planted().into_iter().map(|(_, text)| text).collect();
    format!("Something went wrong: {} .", parts.join(" ; "))
}

/// Where a planted string is in these bytes.
fn found(bytes: &[u8]) -> Vec<String> {
    let lower = bytes.to_ascii_lowercase();
    let is_there = |secret: &str| {
        let secret = secret.to_ascii_lowercase();
        lower.windows(secret.len()).any(|window| window == secret.as_bytes())
    };
    planted().into_iter().map(|(secret, _)| secret).filter(|secret| is_there(secret)).collect()
}

/// The texts of a Parquet file.
fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let layout = Layout::read(&mut Cursor::new(bytes)).unwrap();
    let columns: Vec<usize> = (0..layout.columns.len()).collect();
    let mut texts = Vec::new();
    for group in 0..layout.group_rows().count() {
        let mut rows = Rows::open(&layout, group, &columns, Cursor::new(bytes)).unwrap();
        loop {
            let count = rows.advance().unwrap();
            if count == 0 {
                break;
            }
            for (row, column) in (0..count).flat_map(|row| columns.iter().map(move |column| (row, *column))) {
                if let Cell::Text(text) = rows.cell(column, row) {
                    texts.extend_from_slice(text.as_bytes());
                    texts.push(b'\n');
                }
            }
        }
    }
    texts
}

/// Every file of a folder that holds what was planted.
fn search(dir: &Path) -> Vec<(String, Vec<String>)> {
    let files = support::files_below(dir).into_iter();
    let read = |file: String| {
        let mut bytes = fs::read(dir.join(&file)).unwrap();
        if Path::new(&file).extension().is_some_and(|end| end == "parquet") {
            bytes = unpacked(&bytes);
        }
        let found = found(&bytes);
        (!found.is_empty()).then_some((file, found))
    };
    files.filter_map(read).collect()
}

fn at() -> Stamp {
    Stamp::parse("2026-01-02T03:00:00Z").unwrap()
}

struct Said(String);

impl Event for Said {
    fn name(&self) -> &'static str {
        "said"
    }

    fn fields(&self, snippets: Snippets) -> Fields {
        vec![("input_snippet", snippets.show(&self.0)), ("input_digest", snippets.digest(&self.0))]
    }
}

fn extract(store: &Store) {
    let (text, now) = (text(), at());
    for (_, part) in planted() {
        let url = format!("https://user:plantedpass@site.example/story?q={part}");
        let mut extraction = Extraction::begin("op", "art", &url, Some("Site"), now);
        extraction.start_method("one", now);
        let end = MethodEnd { error: Some(&text), http_status: Some(403), ..MethodEnd::default() };
        extraction.end_method("one", &end, now);
        extraction.set_proxy(Proxy { is_used: true, status: Some("failed"), error: Some(&text) });
        extraction.add_alternative("one", "author", &part, &text);
        extraction.fail("http", &text);
        extraction.finish(Found { author: Some(&part), ..Found::default() }, &[], now);
        extraction.record(store).unwrap();
    }
    let outcome = ExtractionOutcome {
        operation_id: "op",
        article_id: "art",
        url: "https://planteduser:plantedpass@host.example/path?api_key=plantedapikey0123",
        publisher: None,
        outcome: Outcome::HttpError,
        article: Article { title: Some(&text), author: Some(&text), ..Article::default() },
        elapsed_ms: None,
        http_status: Some(500),
        response_bytes: None,
        error: Some(("http", &text)),
        at: now,
    };
    outcome.record(store).unwrap();
}

fn clean(store: &Store) {
    let (text, now) = (text(), at());
    let source =
        BylineSource { source_name: Some(&text), article_id: Some(&text), ..BylineSource::default() };
    let mut byline = Byline::begin("b", &text, "rules", source, now);
    byline.step(
        &BylineStep {
            name: "email_removal",
            input: &text,
            output: &text,
            kind: "removal",
            removed: Some(&text),
            added: Some(&text),
            confidence_delta: 0.1,
            notes: Some(&text),
        },
        now,
    );
    byline.error("x", &text, now);
    byline.warning("x", &text, now);
    byline.finish(&BylineResult { authors: &[&text], ..BylineResult::default() }, now, store).unwrap();
    let terms = CleaningTerms {
        session_id: "s",
        domain: "site.example",
        articles: 2,
        min_occurrences: 3,
        min_boundary_score: 0.3,
    };
    let mut session = Cleaning::begin("c", terms, now);
    session.segment(
        &Segment {
            text: &text,
            pattern: "footer",
            boundary_score: 0.9,
            occurrences: 3,
            position_consistency: None,
            article_ids: &["a"],
            removed: Some(&text),
        },
        now,
    );
    let note = json!({"note": text, "password": "hunter2planted"});
    session.wire(
        &WireEvent {
            provider: "AP",
            method: "x",
            pattern: Some(&text),
            metadata: Some(&note),
            ..WireEvent::default()
        },
        now,
    );
    let locality = Locality {
        provider: "AP",
        method: "x",
        article_id: None,
        is_local: true,
        confidence: None,
        raw_score: None,
        threshold: None,
        signals: &note,
        locality: &note,
    };
    session.locality(&locality, now);
    session.finish(1, 100, now, store).unwrap();
}

fn discover(store: &Store) {
    let (text, now) = (text(), at());
    let url = "https://planteduser:plantedpass@host.example/path?api_key=plantedapikey0123";
    let answer = HttpAnswer {
        operation_id: None,
        source_id: "s",
        source_url: url,
        method: "rss_feed",
        url,
        status: None,
        elapsed_ms: None,
        bytes: None,
        error: Some(&text),
        at: now,
    };
    store.record(&answer).unwrap();
    let (status, notes) = ("timeout", Some(&*text));
    store
        .record(&MethodTry {
            source_id: "s",
            method: "rss_feed",
            status,
            articles: 0,
            elapsed_ms: None,
            notes,
            at: now,
        })
        .unwrap();
    let outcome = DiscoveryOutcome {
        operation_id: "op",
        source_id: "s",
        outcome: Discovered::HttpError,
        articles: [0; 4],
        methods: &["rss_feed"],
        method_used: None,
        error: Some(&text),
        http_status: None,
        elapsed_ms: None,
        at: now,
    };
    outcome.record(store).unwrap();
    let failed =
        Operation::track(store, Clock::Fixed(now), "op", "load_sources", |_| Err::<(), _>(text.clone()));
    assert_eq!(failed, Err(text.clone()), "the caller gets its error as it was");
    let events = Events::new("run", Clock::Fixed(now), Snippets::Masked, Stored::new(store.clone()));
    events.set_enabled(true);
    events.emit(&Said(text));
    for (_, part) in planted() {
        events.emit(&Said(part));
    }
    assert_eq!(events.stats().dropped, 0);
}

fn detect_and_run(store: &Store) {
    let (text, now) = (text(), at());
    let json = json!({"why": &text});
    let detection = Detection {
        operation_id: "op",
        article_id: "a",
        url: "https://planteduser:plantedpass@host.example/path?api_key=plantedapikey0123",
        publisher: None,
        detected_type: "opinion",
        method: "rules",
        confidence: None,
        score: None,
        reason: Some(&text),
        evidence: &json,
        version: None,
        at: now,
    };
    store.record(&detection).unwrap();
    let (object, artifacts) = (Some(&json), [text.as_str()]);
    let (log, began) = (Some(text.as_str()), JobRun::begin("j", "extract", now));
    let run = JobRun { params: object, environment: object, artifacts: &artifacts, log, ..began };
    store.record(&run).unwrap();
    let stage = Stage {
        digest: "d",
        at: "2026-01-02 03:04:05.000000",
        sequence: 1,
        stage: "plan",
        decision: "pass",
        plan: "p",
        target: "t",
        lineage: None,
        detail: &json.to_string(),
        tool: "1",
    };
    store.record(&stage).unwrap();
}

fn write(dir: &Path, file: &str, close_timeout: Duration) -> Store {
    let url = DbUrl::Sqlite(SqliteUrl::from_path(dir.join(file)));
    let linger = if close_timeout.is_zero() { Duration::from_mins(1) } else { Duration::from_millis(2) };
    let options = StoreOptions {
        tables: TABLES.to_vec(),
        full: Full::DropNewest,
        close_timeout,
        linger,
        ..StoreOptions::default()
    };
    let store = Store::open(&url, options).unwrap();
    extract(&store);
    clean(&store);
    discover(&store);
    detect_and_run(&store);
    store
}

/// Runs the program and searches what it printed.
fn run(dir: &Path, args: &[&str], environment: &[(&str, &str)]) {
    let output = xtask(dir).args(args).envs(environment.iter().copied()).output().unwrap();
    let code = output.status.code().unwrap();
    assert!([0, 6].contains(&code), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    for stream in [&output.stdout, &output.stderr] {
        assert_eq!(found(stream), Vec::<String>::new(), "{args:?}");
    }
}

#[test]
fn nothing_that_was_planted_is_found_in_anything_that_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = write(dir.path(), "t.db", Duration::from_mins(1));
    // Once with the log of the database beside it, before it is closed.
    assert!(store.flush(Duration::from_mins(1)).is_acknowledged(), "{:?}", store.stats());
    assert_eq!(search(dir.path()), []);
    for (table, column) in [
        ("content_cleaning_wire_events", "metadata_json"),
        ("content_type_detection_telemetry", "evidence"),
        ("jobs", "params"),
        ("jobs", "artifact_paths"),
        ("pipeline_stages", "detail"),
    ] {
        let valid = format!("SELECT count(*), sum(json_valid({column})) FROM {table}");
        let counts = store.read(|reader| reader.rows(&valid)).unwrap();
        assert!(counts[0][0].count() > Some(0), "{table} has rows");
        assert_eq!(counts[0][0], counts[0][1], "what is masked is JSON still");
    }
    assert!(store.shutdown().is_all_written(), "{:?}", store.stats());
    let spilling = write(dir.path(), "spilled.db", Duration::ZERO);
    let ledger = spilling.shutdown();
    assert!(ledger.spilled > 0 && ledger.dropped.total() == 0, "{ledger:?}");
    for report in ["publishers", "http-errors", "methods", "bylines", "cleaning", "store"] {
        let (page, common) = (format!("{report}.html"), ["--db", "t.db"]);
        run(dir.path(), &[&["analyze", report, "--html", &page], &common[..]].concat(), &[]);
        run(dir.path(), &[&["analyze", report, "--json"], &common[..]].concat(), &[]);
        run(dir.path(), &[&["analyze", report, "--markdown"], &common[..]].concat(), &[]);
    }
    let tables = TABLES.iter().map(|table| table.name).chain(["telemetry_events", "ops_telemetry_writers"]);
    for table in tables {
        for format in ["csv", "ndjson", "parquet"] {
            let out = format!("exports/{table}.{format}");
            let args =
                ["analyze", "export", "--db", "t.db", "--table", table, "--format", format, "--out", &out];
            run(dir.path(), &args, &[]);
        }
    }
    let glyphs = support::root().join("fixtures/analyze/glyphs/cleaned_glyphs.json");
    fs::copy(glyphs, dir.path().join("glyphs.json")).unwrap();
    for sink in [&["--events", "events.ndjson"][..], &["--store", "t.db"], &[]] {
        for (_, part) in planted() {
            let sentence = format!("I feel overwhelmed, {part}");
            let args = [
                "analyze",
                "glyphs",
                "--glyphs",
                "glyphs.json",
                "--snippets",
                "--json",
                "--probe",
                &sentence,
            ];
            let output =
                xtask(dir.path()).env("SAORI_TELEMETRY", "1").args(args).args(sink).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(found(&output.stderr), Vec::<String>::new(), "{part}");
        }
    }
    assert_eq!(search(dir.path()), []);
    let names = support::files_below(dir.path());
    assert!(names.iter().any(|name| name.contains("spilled.db-telemetry-")) && names.len() > 50, "{names:?}");
}

/// Written past the masks, each of them is found: the search can fail.
#[test]
fn what_is_not_masked_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let url = DbUrl::Sqlite(SqliteUrl::from_path(dir.path().join("t.db")));
    let store = Store::open(&url, StoreOptions::default()).unwrap();
    let mut job = Job::new();
    job.ensure("CREATE TABLE raw (a TEXT)");
    for (_, part) in planted() {
        job.add_statement("INSERT INTO raw VALUES ($1)", &[Value::Text(&part)]);
    }
    store.submit(&job).unwrap();
    assert!(store.shutdown().is_all_written());
    let everything: Vec<String> = planted().into_iter().map(|(secret, _)| secret).collect();
    let export = "analyze export --db t.db --table raw --format parquet --out raw.parquet".split(' ');
    run(dir.path(), &export.collect::<Vec<_>>(), &[]);
    let all = |file: &str| (file.to_owned(), everything.clone());
    assert_eq!(search(dir.path()), [all("raw.parquet"), all("t.db")]);
    assert_eq!(found(text().to_uppercase().as_bytes()), everything);
}
