//! `analyze export`: tables as files for other programs, and metrics for Prometheus.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use ops::analytics::StoreReport;
use ops::db::Reader;
use ops::db::sqlite::{self, Snapshot, TableRows};
use ops::export::{self, FileOut, Format, Written, prometheus};
use ops::guard::Refusal;
use ops::identity;
use ops::report::{Align, Document, Table};
use ops::text::{alike, thousands};
use ops::tokens::analysis::{Analysis, Options};
use ops::url::SqliteUrl;
use serde::Serialize;

use super::super::database::{DatabaseArgs, only_sqlite};
use super::reports;
use crate::exit::Code;
use crate::output::{self, Output};
use crate::settings::Settings;

/// The table that is exported when none is named.
const EVENTS: &str = "token_estimation_v2_events";

/// Write tables as CSV, JSON Lines or Parquet, or metrics for Prometheus
///
/// Every value is written as it is stored. Parquet has one type for each column, taken from the values: a column of
/// several types becomes two, and both are counted. Files are complete or not there. Metrics are those of the token events and
/// of the health of the telemetry store, as far as the database has them.
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// How to write
    #[arg(long, value_enum)]
    format: FormatArg,
    /// Tables by name; the token events when none is named
    #[arg(long = "table", value_name = "NAME")]
    tables: Vec<String>,
    /// The file to write, or the folder when there are several tables; stdout when it is left out
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Print one JSON document about what was written
    #[arg(long, requires = "out")]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FormatArg {
    Ndjson,
    Csv,
    Parquet,
    Prometheus,
}

/// The JSON document.
#[derive(Debug, Serialize)]
struct Report {
    format: u32,
    source: String,
    files: Vec<FileReport>,
}

#[derive(Debug, Serialize)]
struct FileReport {
    table: String,
    file: String,
    #[serde(flatten)]
    written: Written,
}

pub(super) fn run(args: &ExportArgs, settings: &Settings) -> anyhow::Result<Code> {
    let url = only_sqlite(settings.database(args.database.db.as_deref())?)?;
    let source = identity::source_of_sqlite(&url, &settings.scratch)?;
    if let Some(expectation) = &args.database.expect {
        identity::expect_lineage(source.lineage.as_ref(), &source.url, expectation)?;
    }
    let source = source.to_string();
    let format = match args.format {
        FormatArg::Ndjson => Format::Ndjson,
        FormatArg::Csv => Format::Csv,
        FormatArg::Parquet => Format::Parquet,
        FormatArg::Prometheus => return metrics(args, settings, &url, source),
    };
    let default = [EVENTS.to_owned()];
    let tables = if args.tables.is_empty() { &default[..] } else { &args.tables };
    let Some(out) = args.out.as_ref().map(|out| settings.cwd.join(out)) else {
        return to_stdout(format, tables, settings, &url);
    };
    let mut files = Vec::new();
    for name in tables {
        let path = if tables.len() == 1 { out.clone() } else { out.join(file_name(name, args.format)) };
        let mut rows = open(&url, settings, name)?;
        let mut file = FileOut::create(&path)?;
        let written = export::write(format, &mut rows, &mut file).with_context(|| failed(name))?;
        file.commit()?;
        files.push(FileReport { table: name.clone(), file: path.display().to_string(), written });
    }
    report(args, settings, &Report { format: 1, source, files })
}

fn failed(table: &str) -> String {
    format!("failed to export `{table}`")
}

fn to_stdout(
    format: Format,
    tables: &[String],
    settings: &Settings,
    url: &SqliteUrl,
) -> anyhow::Result<Code> {
    let [name] = tables else {
        let refusal = Refusal::new("several tables have no place on stdout", "--out FOLDER", "no --out");
        return Err(refusal.next("name a folder with --out").into());
    };
    if format == Format::Parquet {
        let refusal = Refusal::new("Parquet is not text", "--out FILE", "no --out");
        return Err(refusal.next("name a file with --out").into());
    }
    let mut rows = open(url, settings, name)?;
    let mut out = output::Stream::new();
    export::write(format, &mut rows, &mut out).with_context(|| failed(name))?;
    out.flush()?;
    Ok(Code::Done)
}

/// The table, or a refusal with the names that may have been meant.
fn open(url: &SqliteUrl, settings: &Settings, name: &str) -> anyhow::Result<TableRows> {
    TableRows::open(url.path(), &settings.scratch, name)?.map_err(|names| {
        let near = alike(name, names.iter().map(String::as_str));
        let found = if near.is_empty() { format!("{} others", names.len()) } else { near.join(", ") };
        let refusal = Refusal::new(format!("there is no table `{name}`"), "a table of the database", found);
        refusal.next("cargo xtask db-identity lists the tables").into()
    })
}

/// A table's name as the name of a file, whatever it contains.
fn file_name(table: &str, format: FormatArg) -> String {
    let safe = |c: char| if c.is_alphanumeric() || "-_".contains(c) { c } else { '_' };
    let extension = match format {
        FormatArg::Ndjson => "ndjson",
        FormatArg::Csv => "csv",
        FormatArg::Parquet => "parquet",
        FormatArg::Prometheus => "prom",
    };
    format!("{}.{extension}", table.chars().map(safe).collect::<String>())
}

fn metrics(args: &ExportArgs, settings: &Settings, url: &SqliteUrl, source: String) -> anyhow::Result<Code> {
    if let [name, ..] = args.tables.as_slice()
        && (name != EVENTS || args.tables.len() > 1)
    {
        let refusal = Refusal::new("only the token events have metrics", EVENTS, args.tables.join(", "));
        return Err(refusal.next("leave --table out").into());
    }
    let (has_events, health) = store_health(settings, url)?;
    let (mut families, mut read) = (Vec::new(), Vec::new());
    if has_events || health.is_none() {
        let all = || Analysis::new(Options { success_only: false });
        let summary = sqlite::analyse_events(url.path(), &settings.scratch, all)?.finish();
        families.extend(summary.metrics());
        read.push((EVENTS, summary.attempts.attempts));
    }
    if let Some(health) = health {
        families.extend(health.metrics());
        read.push(("ops_telemetry_writers", health.writers.len() as u64));
    }
    let text = prometheus::render(&families)?;
    let Some(out) = &args.out else {
        output::stdout(&text);
        return Ok(Code::Done);
    };
    let path = settings.cwd.join(out);
    ops::files::write_atomic(&path, text.as_bytes())?;
    let file = |(table, rows): (&str, u64)| FileReport {
        table: table.to_owned(),
        file: path.display().to_string(),
        written: Written { rows, ..Written::default() },
    };
    let files = read.into_iter().map(file).collect();
    report(args, settings, &Report { format: 1, source, files })
}

/// Whether there are token events, and the health of the store that writes to the file, if one does.
fn store_health(settings: &Settings, url: &SqliteUrl) -> anyhow::Result<(bool, Option<StoreReport>)> {
    let mut snapshot = Snapshot::open(url.path(), &settings.scratch)?;
    let has_events = !snapshot.columns(EVENTS)?.is_empty();
    let has_store = !snapshot.columns("ops_telemetry_tables")?.is_empty();
    let health = has_store.then(|| reports::health_of(url, &mut snapshot, settings)).transpose()?;
    snapshot.require_unchanged()?;
    Ok((has_events, health))
}

fn report(args: &ExportArgs, settings: &Settings, report: &Report) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let mut document = Document::new();
    document.heading(1, "Export").facts([("source", report.source.clone())]);
    let mut table = Table::new([("table", Align::Code), ("rows", Align::Right), ("file", Align::Left)]);
    for file in &report.files {
        table.row([file.table.clone(), thousands(file.written.rows), file.file.clone()]);
    }
    document.table(table);
    let mixed: Vec<String> = report
        .files
        .iter()
        .flat_map(|file| file.written.mixed.iter().map(move |mixed| (&file.table, mixed)))
        .map(|(table, m)| {
            let (typed, raw) = (thousands(m.typed), thousands(m.raw));
            format!(
                "{table}: `{}` holds {typed} values of its main type, `{}` the other {raw}",
                m.column, m.raw_column
            )
        })
        .collect();
    if !mixed.is_empty() {
        document.heading(2, "Columns of several types").list(mixed);
    }
    output.document(&document);
    output.json(report)?;
    Ok(Code::Done)
}
