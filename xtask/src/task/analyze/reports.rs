//! `analyze publishers|http-errors|methods|bylines|cleaning|store`: what the telemetry store has collected.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use ops::analytics::{self, ReportError, Source, Waiting, Window};
use ops::clock::Stamp;
use ops::db::postgres::{ConnectOptions, Session};
use ops::db::sqlite::Snapshot;
use ops::guard::Refusal;
use ops::identity::{self, Expectation};
use ops::report::Document;
use ops::telemetry::store::Dialect;
use ops::url::{DbUrl, SqliteUrl};
use serde::Serialize;

use crate::exit::Code;
use crate::output::{self, Output};
use crate::settings::Settings;

/// Which database, and what the report becomes.
#[derive(Debug, clap::Args)]
pub(super) struct StoreArgs {
    /// The database: a path, sqlite:///path or postgres://host/name
    #[arg(long, value_name = "URL")]
    db: Option<String>,
    /// Refuse (exit 3) unless the database has this lineage id or this purpose
    #[arg(long, value_name = "LINEAGE|PURPOSE", value_parser = Expectation::parse)]
    expect: Option<Expectation>,
    /// Print Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Write an HTML page with charts to this file too
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// The same, and the days.
#[derive(Debug, clap::Args)]
struct WindowArgs {
    #[command(flatten)]
    common: StoreArgs,
    /// The last N days in UTC: today and those before
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=36_525))]
    days: u32,
    /// From this day (YYYY-MM-DD or RFC 3339) to today instead
    #[arg(long, value_name = "DAY", conflicts_with = "days", value_parser = parse_day)]
    since: Option<Stamp>,
}

fn parse_day(text: &str) -> Result<Stamp, &'static str> {
    let whole = if text.len() == 10 { format!("{text} 00:00:00") } else { text.to_owned() };
    Stamp::parse_db(&whole).ok_or("neither YYYY-MM-DD nor an RFC 3339 time")
}

/// Scorecards of publishers: how well extraction works, for whom, and who should be paused
///
/// A publisher is graded good above 80 %, poor below 50 % and to be paused below 25 % of successful extractions.
#[derive(Debug, clap::Args)]
pub(super) struct PublishersArgs {
    #[command(flatten)]
    window: WindowArgs,
    /// Do not grade publishers with fewer extractions
    #[arg(long, value_name = "N", default_value_t = 5)]
    min_attempts: u64,
}

/// HTTP errors by host and status, counted within the window
#[derive(Debug, clap::Args)]
pub(super) struct HttpErrorsArgs {
    #[command(flatten)]
    window: WindowArgs,
    /// Only this host
    #[arg(long)]
    host: Option<String>,
    /// Only this status
    #[arg(long, value_name = "CODE")]
    status: Option<u16>,
}

/// Methods of extraction: how often each is tried, succeeds, and how long it takes
#[derive(Debug, clap::Args)]
pub(super) struct MethodsArgs {
    #[command(flatten)]
    window: WindowArgs,
    /// Only this publisher
    #[arg(long)]
    publisher: Option<String>,
}

/// Bylines: how many became authors, how many were noise, on which sources
#[derive(Debug, clap::Args)]
pub(super) struct BylinesArgs {
    #[command(flatten)]
    window: WindowArgs,
}

/// Content cleaning: how much of each site is boilerplate, and what the library of patterns knows
#[derive(Debug, clap::Args)]
pub(super) struct CleaningArgs {
    #[command(flatten)]
    window: WindowArgs,
    /// Only this site
    #[arg(long)]
    domain: Option<String>,
}

/// Health of the telemetry store: writers, depth, losses, last errors, spill files
///
/// Exits 6 when a job was dropped, a writer ended without its jobs, or a spill file waits.
#[derive(Debug, clap::Args)]
pub(super) struct HealthArgs {
    #[command(flatten)]
    common: StoreArgs,
}

/// The JSON document.
#[derive(Debug, Serialize)]
struct Json<'a, T> {
    format: u32,
    source: &'a str,
    report: &'a T,
}

pub(super) fn publishers(args: &PublishersArgs, settings: &Settings) -> anyhow::Result<Code> {
    args.window.report(
        settings,
        |source| analytics::publishers(source, args.min_attempts),
        analytics::PublisherReport::document,
    )
}

pub(super) fn http_errors(args: &HttpErrorsArgs, settings: &Settings) -> anyhow::Result<Code> {
    args.window.report(
        settings,
        |source| analytics::http_errors(source, args.host.as_deref(), args.status),
        analytics::HttpErrorReport::document,
    )
}

pub(super) fn methods(args: &MethodsArgs, settings: &Settings) -> anyhow::Result<Code> {
    args.window.report(
        settings,
        |source| analytics::methods(source, args.publisher.as_deref()),
        analytics::MethodReport::document,
    )
}

pub(super) fn bylines(args: &BylinesArgs, settings: &Settings) -> anyhow::Result<Code> {
    args.window.report(settings, analytics::bylines, analytics::BylineReport::document)
}

pub(super) fn cleaning(args: &CleaningArgs, settings: &Settings) -> anyhow::Result<Code> {
    args.window.report(
        settings,
        |source| analytics::cleaning(source, args.domain.as_deref()),
        analytics::CleaningReport::document,
    )
}

pub(super) fn health(args: &HealthArgs, settings: &Settings) -> anyhow::Result<Code> {
    let now = settings.clock.now();
    let read = |source: &mut Source<'_>, url: &DbUrl| analytics::store(source, waiting(url), now);
    let (source, report) = args.common.read(settings, Window::last(1, now), read)?;
    args.common.show(settings, &source, &report, &report.document(&source))?;
    Ok(if report.is_healthy() { Code::Done } else { Code::GateNotMet })
}

/// The health of the store in a file that is open.
pub(super) fn health_of(
    url: &SqliteUrl,
    snapshot: &mut Snapshot,
    settings: &Settings,
) -> Result<analytics::StoreReport, ReportError> {
    let now = settings.clock.now();
    let mut source = Source::new(snapshot, Dialect::Sqlite, Window::last(1, now));
    analytics::store(&mut source, waiting(&DbUrl::Sqlite(url.clone())), now)
}

fn waiting(url: &DbUrl) -> Vec<Waiting> {
    let files = ops::stores::spill_files(url);
    files.into_iter().map(|(file, bytes)| Waiting { file, bytes }).collect()
}

impl WindowArgs {
    /// Reads a report and shows it.
    fn report<T: Serialize>(
        &self,
        settings: &Settings,
        read: impl FnOnce(&mut Source<'_>) -> Result<T, ReportError>,
        document: impl FnOnce(&T, &str) -> Document,
    ) -> anyhow::Result<Code> {
        let now = settings.clock.now();
        let window =
            self.since.map_or_else(|| Window::last(self.days, now), |since| Window::since(since, now));
        let (source, report) = self.common.read(settings, window, |source, _| read(source))?;
        let document = document(&report, &source);
        self.common.show(settings, &source, &report, &document)?;
        Ok(Code::Done)
    }
}

impl StoreArgs {
    /// Opens the database so that it cannot be changed, and reads; the name of the database and what was read.
    fn read<T>(
        &self,
        settings: &Settings,
        window: Window,
        read: impl FnOnce(&mut Source<'_>, &DbUrl) -> Result<T, ReportError>,
    ) -> anyhow::Result<(String, T)> {
        let url = settings.database(self.db.as_deref())?;
        let expect = |source: &identity::Source| match &self.expect {
            Some(expectation) => identity::expect_lineage(source.lineage.as_ref(), &source.url, expectation),
            None => Ok(()),
        };
        match &url {
            DbUrl::Sqlite(file) => {
                let mut snapshot = Snapshot::open(file.path(), &settings.scratch)?;
                let source = identity::source_of_reader(file, &mut snapshot)?;
                expect(&source)?;
                let read = read(&mut Source::new(&mut snapshot, Dialect::Sqlite, window), &url)?;
                snapshot.require_unchanged()?;
                Ok((source.to_string(), read))
            }
            DbUrl::Postgres(server) => {
                let options = ConnectOptions {
                    connect_timeout: Duration::from_secs(10),
                    statement_timeout: Duration::from_mins(10),
                    application_name: "cargo xtask analyze".to_owned(),
                };
                let source = identity::source_of_postgres(server, &options)
                    .with_context(|| format!("nothing can be read from {url}"))?;
                expect(&source)?;
                let mut session = Session::connect(server, &options)?;
                let read = read(&mut Source::new(&mut session, Dialect::Postgres, window), &url)?;
                Ok((source.to_string(), read))
            }
            DbUrl::PostgRest(_) => {
                let expected = "a SQLite file or PostgreSQL";
                let refusal =
                    Refusal::new("telemetry is not read through a REST API", expected, url.to_string());
                Err(refusal.next("name the database behind it with a postgres: URL").into())
            }
        }
    }

    fn show<T: Serialize>(
        &self,
        settings: &Settings,
        source: &str,
        report: &T,
        document: &Document,
    ) -> anyhow::Result<()> {
        if let Some(file) = &self.html {
            ops::files::write_atomic(&settings.cwd.join(file), document.html().as_bytes())?;
        }
        let output = Output::new(settings, self.json);
        output.json(&Json { format: 1, source, report })?;
        if self.markdown {
            output::stdout(&document.markdown());
        } else {
            output.document(document);
        }
        Ok(())
    }
}
