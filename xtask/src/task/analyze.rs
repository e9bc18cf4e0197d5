//! `analyze`: what the collected data says.

mod export;
mod fingerprint;
mod glyphs;
mod reports;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::Context;
use ops::db::sqlite;
use ops::identity;
use ops::report::{Align, Check, Document, Table, percentage};
use ops::text::{plural, thousands};
use ops::tokens::analysis::{Analysis, Options};
use ops::tokens::ndjson::{self, NdjsonReport};
use ops::tokens::summary::{Summary, Verdict};
use serde::Serialize;

use super::database::{DatabaseArgs, only_sqlite};
use crate::exit::Code;
use crate::output::{self, Output};
use crate::settings::Settings;

/// Analyse what was collected
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Tokens(TokensArgs),
    Glyphs(glyphs::GlyphsArgs),
    Export(export::ExportArgs),
    Publishers(reports::PublishersArgs),
    HttpErrors(reports::HttpErrorsArgs),
    Methods(reports::MethodsArgs),
    Bylines(reports::BylinesArgs),
    Cleaning(reports::CleaningArgs),
    Store(reports::HealthArgs),
    Fingerprint(fingerprint::FingerprintArgs),
}

/// Compare predicted with actual output tokens, by stratum
///
/// Reads a database or exported NDJSON and recomputes every metric; stored values that differ are listed.
/// The gates (truncation at most 2 %, underestimation at most 5 %) are measured over all attempts, whatever
/// is asked of the cost metrics; exit 6 when one is not met.
#[derive(Debug, clap::Args)]
struct TokensArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Read exported events instead of a database; lines that cannot be read are listed by number
    #[arg(long, value_name = "FILE", conflicts_with_all = ["db", "expect"])]
    from: Option<PathBuf>,
    /// Cost metrics over successful attempts only; the gates still count all
    #[arg(long)]
    success_only: bool,
    /// Report the gates but do not let them decide the exit code
    #[arg(long)]
    no_gate: bool,
    /// Print Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// The JSON document.
#[derive(Debug, Serialize)]
struct TokensReport<'a> {
    format: u32,
    source: &'a str,
    input: Option<&'a NdjsonReport>,
    analysis: &'a Summary,
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    match &args.what {
        What::Tokens(args) => tokens(args, settings),
        What::Glyphs(args) => glyphs::run(args, settings),
        What::Export(args) => export::run(args, settings),
        What::Publishers(args) => reports::publishers(args, settings),
        What::HttpErrors(args) => reports::http_errors(args, settings),
        What::Methods(args) => reports::methods(args, settings),
        What::Bylines(args) => reports::bylines(args, settings),
        What::Cleaning(args) => reports::cleaning(args, settings),
        What::Store(args) => reports::health(args, settings),
        What::Fingerprint(args) => fingerprint::run(args, settings),
    }
}

fn tokens(args: &TokensArgs, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let options = Options { success_only: args.success_only };
    let (source, input, analysis) = if let Some(file) = &args.from {
        let (input, analysis) = read_file(&settings.cwd.join(file), options)?;
        (file.display().to_string(), Some(input), analysis)
    } else {
        let (source, analysis) = read_database(&args.database, options, settings)?;
        (source, None, analysis)
    };
    let summary = analysis.finish();
    let mut document = summary.document(&source);
    if let Some(input) = &input {
        document.append(input_document(input));
    }
    output.json(&TokensReport { format: 1, source: &source, input: input.as_ref(), analysis: &summary })?;
    if args.markdown {
        output::stdout(&document.markdown());
    } else {
        output.document(&document);
    }
    if !args.no_gate {
        explain(&summary, input.as_ref());
    }
    let met = summary.gates_met() && input.as_ref().is_none_or(|input| input.reject_count == 0);
    Ok(if met || args.no_gate { Code::Done } else { Code::GateNotMet })
}

/// Says on stderr which gate decides the exit code, so that a script's log has it too.
fn explain(summary: &Summary, input: Option<&NdjsonReport>) {
    for gate in summary.gates.iter().filter(|gate| gate.verdict != Verdict::Met) {
        let measured = match gate.verdict {
            Verdict::Insufficient => "not measured for every attempt, or there is none".to_owned(),
            _ => percentage(gate.percent),
        };
        let (name, limit) = (gate.name, gate.limit_percent);
        output::stderr(&format!("gate not met: {name} {measured}, at most {limit} % (exit 6)\n"));
    }
    if summary.unreadable.rows > 0 {
        let rows = plural(summary.unreadable.rows, "row");
        output::stderr(&format!("gate not met: {rows} could not be read (exit 6)\n"));
    }
    if let Some(input) = input.filter(|input| input.reject_count > 0) {
        output::stderr(&format!("gate not met: {} rejected (exit 6)\n", plural(input.reject_count, "line")));
    }
}

fn read_file(path: &Path, options: Options) -> anyhow::Result<(NdjsonReport, Analysis)> {
    let file = File::open(path).with_context(|| format!("failed to open `{}`", path.display()))?;
    let mut analysis = Analysis::new(options);
    let report = ndjson::read_ndjson(BufReader::with_capacity(1 << 16, file), &mut analysis)
        .with_context(|| format!("failed to read `{}`", path.display()))?;
    Ok((report, analysis))
}

/// Reads the events of a database; the source names it by URL and lineage.
fn read_database(
    args: &DatabaseArgs,
    options: Options,
    settings: &Settings,
) -> anyhow::Result<(String, Analysis)> {
    let url = only_sqlite(settings.database(args.db.as_deref())?)?;
    let source = identity::source_of_sqlite(&url, &settings.scratch)?;
    if let Some(expectation) = &args.expect {
        identity::expect_lineage(source.lineage.as_ref(), &source.url, expectation)?;
    }
    let analysis = sqlite::analyse_events(url.path(), &settings.scratch, || Analysis::new(options))?;
    Ok((source.to_string(), analysis))
}

/// What was read from a file, and every line that could not be.
fn input_document(input: &NdjsonReport) -> Document {
    let mut document = Document::new();
    document.heading(2, "Input").facts([
        ("accepted", plural(input.accepted, "event")),
        ("duplicates", format!("{} skipped", input.duplicates)),
    ]);
    document.checks(vec![Check {
        claim: "every line is an event".to_owned(),
        met: input.reject_count == 0,
        measured: format!("{} rejected", thousands(input.reject_count)),
    }]);
    let mut table = Table::new([("line", Align::Right), ("why", Align::Left)]);
    for reject in &input.rejects {
        table.row([reject.line.to_string(), reject.reason.clone()]);
    }
    if !table.is_empty() {
        document.table(table);
    }
    document
}
