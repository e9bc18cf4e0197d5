//! Area `reports`: every report over a year of telemetry, ten million events as the producers write them.
//!
//! The year is made once, through the store and its producers, and kept. A peer asks the events themselves for what the
//! scorecards say, as a dashboard without counts of days has to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use ops::clock::Stamp;
use ops::random::Random;
use ops::telemetry::producers::{
    Byline, BylineResult, BylineSource, BylineStep, Cleaning, CleaningTerms, Extraction, Found, MethodEnd,
    Segment, TABLES,
};
use ops::telemetry::store::{Job, Refused, Store, StoreOptions};
use ops::url::{DbUrl, SqliteUrl};

use super::peers;
use super::race::{self, Contender};
use super::{Bench, Comparison, Measured, Missing};
use crate::output;

/// Events of the full size: extractions, bylines and cleaning sessions together.
const EVENTS: u64 = 10_000_000;
/// Grows when the year is made in another way.
const RECIPE: u32 = 2;
/// The last moment of the year.
const NOW: &str = "2026-01-01T00:00:00Z";
const DAYS: u64 = 365;
/// A report may take so many seconds.
const SECONDS_MAX: f64 = 10.0;
/// And so many megabytes.
const MEGABYTES_MAX: f64 = 200.0;

const REPORTS: [&str; 6] = ["publishers", "http-errors", "methods", "bylines", "cleaning", "store"];

/// What the scorecards say, asked of the events.
const SHELL: &str = "SELECT publisher, count(*), sum(is_success), avg(total_duration_ms) FROM extraction_telemetry_v2 \
                     WHERE created_at >= '2025-01-01' GROUP BY publisher ORDER BY 2 DESC";

pub(super) fn run(bench: &Bench) -> anyhow::Result<Measured> {
    let events = if bench.quick { EVENTS / 100 } else { EVENTS };
    let data = data(bench, events)?;
    let file = data.display().to_string();
    let program = bench.program.display().to_string();
    let (sh, folder) = (&bench.cargo.sh, &bench.folder);
    let mut results = Vec::new();
    let mut scorecards = None;
    for report in REPORTS {
        let mut command = vec![&*program, "analyze", report, "--db", &file, "--json"];
        if report != "store" {
            command.extend(["--since", "2025-01-01"]);
        }
        let mut contender = Contender::new(report, &command);
        contender.env.push(("OPS_NOW", NOW.to_owned()));
        let (mut seconds, mut megabytes) = (Vec::new(), Vec::new());
        for _ in 0..bench.pairs {
            let sample = race::sample(sh, folder, &contender)?;
            seconds.push(sample.seconds);
            megabytes.push(sample.peak_bytes / 1e6);
        }
        let median = |values: &mut Vec<f64>| ops::stats::median(values).expect("it ran");
        let (seconds, megabytes) = (median(&mut seconds), median(&mut megabytes));
        output::stderr(&format!("{report}: {seconds:.2} s, {megabytes:.0} MB\n"));
        if report == "publishers" {
            scorecards = Some(seconds);
        }
        let name = |what: &str| format!("{report}, {what} against the limit");
        results.push(Comparison::less(name("time"), seconds, SECONDS_MAX, "s", Some(1.0)));
        results.push(Comparison::less(name("peak memory"), megabytes, MEGABYTES_MAX, "MB", Some(1.0)));
    }
    let mut missing = Vec::new();
    let peer = "the sqlite3 shell over the events";
    match peers::sqlite3(sh) {
        Ok(shell) => {
            let sample =
                race::sample(sh, folder, &Contender::new(peer, &[shell, "-readonly", &file, SHELL]))?;
            let ours = scorecards.context("the scorecards were not measured")?;
            results.push(Comparison::less(
                format!("publishers, time against {peer}"),
                ours,
                sample.seconds,
                "s",
                None,
            ));
        }
        Err(why) => missing.push(Missing { peer, why }),
    }
    Ok(Measured { format: 1, area: "reports", size: events, pairs: bench.pairs, results, missing })
}

/// The database of the year, made unless it is there.
fn data(bench: &Bench, events: u64) -> anyhow::Result<PathBuf> {
    let file = bench.folder.join(format!("reports-{RECIPE}-{events}.db"));
    if file.exists() {
        return Ok(file);
    }
    output::stderr(&format!("making {events} events\n"));
    let partial = ops::files::partial_name(&file);
    for suffix in ["", "-wal", "-shm"] {
        // What an interrupted run left.
        let _ = std::fs::remove_file(partial.with_file_name(format!(
            "{}{suffix}",
            partial.file_name().unwrap_or_default().to_string_lossy()
        )));
    }
    make(&partial, events)?;
    ops::files::rename(&partial, &file)?;
    Ok(file)
}

/// Ids rise with time and indexes are made at the end: ten million events go into a file in minutes, not in half an hour.
fn make(path: &Path, events: u64) -> anyhow::Result<()> {
    let url = DbUrl::Sqlite(SqliteUrl::from_path(path.to_path_buf()));
    let options = || StoreOptions { tables: TABLES.to_vec(), group_jobs: 10_000, ..StoreOptions::default() };
    let store = Store::open(&url, options())?;
    let end = Stamp::parse(NOW).context("a constant time")?.unix();
    let mut random = Random::seeded(RECIPE.into());
    let begin = end - i64::try_from(DAYS * 86_400)?;
    for n in 0..events {
        // In order of time, as they would come, and never on the day of `NOW` itself.
        let second = begin + i64::try_from(u128::from(n) * u128::from(DAYS * 86_400) / u128::from(events))?;
        let at = Stamp::from_unix(second).context("a time of the year")?;
        match n % 20 {
            0 => clean(&store, n, at, &mut random),
            1..4 => trace(&store, n, at, &mut random),
            _ => extract(&store, n, at, &mut random),
        }?;
        // By then every table was used and will not be made again.
        if n == EVENTS / 1000 {
            drop_indexes(&store)?;
        }
        if n % 1_000_000 == 999_999 {
            output::stderr(&format!("{} of {events}\n", n + 1));
        }
    }
    let report = store.flush(Duration::from_mins(10));
    let ledger = store.shutdown();
    anyhow::ensure!(report.is_acknowledged() && ledger.is_all_written(), "{}", ledger.equation());
    // Opening makes what is missing.
    Store::open(&url, options())?.shutdown();
    Ok(())
}

fn drop_indexes(store: &Store) -> anyhow::Result<()> {
    let mut job = Job::new();
    for sql in TABLES.iter().flat_map(|table| table.create_indexes()) {
        let name = sql.split_whitespace().nth(5).context("CREATE INDEX IF NOT EXISTS name")?;
        job.add_statement(&format!("DROP INDEX {name}"), &[]);
    }
    let before = store.flush(Duration::from_mins(1));
    store.submit(&job)?;
    let after = store.flush(Duration::from_mins(1));
    anyhow::ensure!(after.is_acknowledged() && before.is_acknowledged(), "{after:?}");
    Ok(())
}

/// 500 publishers; every tenth blocks, and the others are about as good as their number says.
fn extract(store: &Store, n: u64, at: Stamp, random: &mut Random) -> Result<(), Refused> {
    const METHODS: [&str; 3] = ["newspaper4k", "beautifulsoup", "selenium"];
    let site = random.below(500).min(random.below(500));
    let (name, url) = (format!("Paper {site}"), format!("https://paper-{site}.example/2025/story-{n}"));
    let mut extraction = Extraction::begin("year", &format!("article-{n:08}"), &url, Some(&name), at);
    let is_blocked = site % 10 == 9;
    let first = usize::from(random.below(10) > 6);
    for method in &METHODS[first..] {
        let done = at.plus(Duration::from_millis(50 + random.below(3000)));
        let is_success = random.below(100) < if is_blocked { 8 } else { 60 + site % 35 };
        let error = [403, 404, 429, 500, 503][usize::try_from(random.below(5)).unwrap_or(0)];
        let status = if is_success { 200 } else { error };
        let found = Found {
            title: is_success.then_some("Council approves budget"),
            author: is_success.then_some("A. Writer"),
            ..Found::default()
        };
        extraction.start_method(method, at);
        extraction.end_method(
            method,
            &MethodEnd { is_success, error: None, found, http_status: Some(status) },
            done,
        );
        if is_success || random.below(3) == 0 {
            extraction.finish(found, &[("title", method)], done);
            return extraction.record(store);
        }
    }
    extraction.finish(Found::default(), &[], at.plus(Duration::from_secs(4)));
    extraction.record(store)
}

fn trace(store: &Store, n: u64, at: Stamp, random: &mut Random) -> Result<(), Refused> {
    let source = format!("Paper {}", random.below(500));
    let source = BylineSource { source_name: Some(&source), ..BylineSource::default() };
    let mut byline = Byline::begin(&format!("byline-{n:08}"), "By Jane Doe", "rules", source, at);
    let step = BylineStep {
        name: "prefix_removal",
        input: "By Jane Doe",
        output: "Jane Doe",
        kind: "removal",
        confidence_delta: 0.7,
        ..BylineStep::default()
    };
    byline.step(&step, at.plus(Duration::from_millis(random.below(5))));
    let is_noise = random.below(10) == 0;
    let result = BylineResult {
        authors: if is_noise { &[] } else { &["Jane Doe"] },
        is_valid: Some(!is_noise),
        is_noise: Some(is_noise),
        needs_review: Some(random.below(20) == 0),
    };
    byline.finish(&result, at.plus(Duration::from_millis(6)), store)
}

fn clean(store: &Store, n: u64, at: Stamp, random: &mut Random) -> Result<(), Refused> {
    const PATTERNS: [&str; 4] = ["navigation", "footer", "trending", "dynamic"];
    let domain = format!("paper-{}.example", random.below(500));
    let terms = CleaningTerms {
        session_id: "year",
        domain: &domain,
        articles: 20,
        min_occurrences: 3,
        min_boundary_score: 0.3,
    };
    let mut session = Cleaning::begin(&format!("session-{n:08}"), terms, at);
    for pattern in PATTERNS.iter().take(1 + usize::try_from(random.below(4)).unwrap_or(0)) {
        let segment = Segment {
            text: &format!("{pattern} of {domain}"),
            pattern,
            boundary_score: 0.3 + random.below(70) as f64 / 100.0,
            occurrences: 3 + random.below(20),
            position_consistency: Some(0.9),
            article_ids: &["a-1", "a-2", "a-3"],
            removed: (random.below(3) > 0).then_some("repeats"),
        };
        session.segment(&segment, at);
    }
    session.finish(12, 60_000, at.plus(Duration::from_millis(random.below(400))), store)
}
