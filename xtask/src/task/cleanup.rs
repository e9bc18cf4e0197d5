//! `cleanup`: a damaged export becomes clean rows, with a reason for every change and a way back.

mod table;

use std::path::PathBuf;

use anyhow::Context;
use ops::change::gate;
use ops::change::planner::{self, Request as PlanRequest};
use ops::cleanup::pipeline::{self, CleanupError, Outcome, Request, Surroundings};
use ops::cleanup::revert::{self, RevertRequest};
use ops::cleanup::{Dataset, Problem, Rules};
use ops::clock::Stamp;
use ops::config::Config;
use ops::guard::Refusal;
use ops::records::{Encoding, Format, ReadOptions};
use ops::report::Document;
use ops::target::schema::TableName;
use ops::text::{plural, thousands};

use super::backup_plan;
use super::database::shown;
use super::db_identity::VERSION;
use super::plan::DEFAULT_OUT;
use super::target::{self, TargetArgs};
use crate::exit::Code;
use crate::output::{self, Output};
use crate::settings::Settings;
use crate::signal::stop_flag;

/// Where cleaned rows go unless a person says otherwise.
const OUT: &str = ".ops/cleanup";

/// Threads that clean, at least and at most: more than the disk keeps up with only need memory.
const THREADS: (usize, usize) = (2, 8);

/// Clean an export: repair, score, find fragments and duplicates, and write why
///
/// Repairs only what can be proved to be damaged, flags the rest, and never deletes or renames a row: rows in = rows
/// out + merged + quarantined + rejected. Writes cleaned rows, sheets, reports and the list of all changes into --out,
/// all of them or none. No database is touched without --apply --target, which makes a plan for `upsert`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    clean: CleanArgs,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Revert(RevertArgs),
}

#[derive(Debug, clap::Args)]
struct CleanArgs {
    /// The rows: a dump in SQL, JSON, NDJSON, CSV or TSV, also as .gz or .zst, or a database with the dataset's table:
    /// sqlite:path, postgres://host/name, the https URL of a Supabase project
    #[arg(long, value_name = "FILE|URL", required = true)]
    source: Option<PathBuf>,
    /// What the rows are: a section [datasets.NAME] of ops.toml
    #[arg(long, value_name = "NAME", required = true)]
    dataset: Option<String>,
    /// The settings, instead of ops.toml here or else the shipped ones
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The format of the source, where its name does not say
    #[arg(long, value_name = "FORMAT", value_parser = Format::NAMES)]
    format: Option<String>,
    /// The table to read of a dump that has several, or of a database
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,
    /// What becomes of bytes that are no UTF-8: their record is rejected, or each run of them becomes U+FFFD
    #[arg(long, value_enum, default_value_t)]
    encoding_errors: EncodingErrors,
    /// Where the files go
    #[arg(long, value_name = "DIR", default_value = OUT)]
    out: PathBuf,
    /// How many records may be rejected before the exit code is 5
    #[arg(long, value_name = "N", default_value_t = 0)]
    allow_rejects: u64,
    /// A row with a lower score is a fragment, instead of the dataset's threshold
    #[arg(long, value_name = "SCORE", value_parser = share)]
    threshold: Option<f64>,
    /// Plant known faults into copies of the rows and say how many are found, and how much else
    #[arg(long)]
    grade: bool,
    /// Rows shown in the report
    #[arg(long, value_name = "N", default_value_t = 20)]
    sample: usize,
    /// The time that the reports carry, in RFC 3339; rows never get it
    #[arg(long, value_name = "TIME", value_parser = stamp)]
    now: Option<Stamp>,
    /// Make a plan that brings the cleaned rows into the dataset's table of --target
    #[arg(long, requires = "target")]
    apply: bool,
    /// The database whose table the plan is for; see `backup-plan`
    #[arg(long, value_name = "URL", requires = "apply")]
    target: Option<String>,
    /// The table must be empty: without this an empty table is refused
    #[arg(long, requires = "apply")]
    expect_empty: bool,
    /// Print cleanup_report.json instead of a summary
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum EncodingErrors {
    #[default]
    Strict,
    Replace,
}

impl From<EncodingErrors> for Encoding {
    fn from(errors: EncodingErrors) -> Self {
        match errors {
            EncodingErrors::Strict => Self::Strict,
            EncodingErrors::Replace => Self::Replace,
        }
    }
}

/// Undo all changes of a cleanup, or some
///
/// Without a choice the rows come out as they were in the input, those included that were merged or put in
/// quarantine. With --rule or --row only such changes are undone, with those that rest on them.
#[derive(Debug, clap::Args)]
struct RevertArgs {
    /// The folder of the cleanup
    #[arg(long, value_name = "DIR", default_value = OUT)]
    out: PathBuf,
    /// Where the rows go; without it, into a new file beside the cleaned ones
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Only changes by these rules, as the report spells them, with or without @version
    #[arg(long = "rule", value_name = "RULE")]
    rules: Vec<String>,
    /// Only changes of these rows, by their numbers in changes.ndjson
    #[arg(long = "row", value_name = "N")]
    rows: Vec<u64>,
    /// Print what was undone as JSON
    #[arg(long)]
    json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|value| (0.0..=1.0).contains(value));
    value.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

fn stamp(text: &str) -> Result<Stamp, String> {
    Stamp::parse(text).ok_or_else(|| "expected a time such as 2026-01-02T03:04:05Z".to_owned())
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    match &args.what {
        Some(What::Revert(args)) => undo(args, settings),
        None => clean(&args.clean, settings),
    }
}

fn clean(args: &CleanArgs, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let (Some(source), Some(name)) = (&args.source, &args.dataset) else {
        unreachable!("the parser requires both");
    };
    let rules = rules(name, args, settings)?;
    let dataset = rules.dataset();
    let out = settings.cwd.join(&args.out);
    let is_database = table::is_database(source, settings);
    let copy = is_database
        .then(|| table::copy(source, args.table.as_deref(), dataset, settings, &output))
        .transpose()?;
    let source = copy.as_ref().map_or_else(|| settings.cwd.join(source), |copy| copy.file.clone());
    let reading = ReadOptions {
        format: args.format.as_deref().and_then(Format::parse).filter(|_| !is_database),
        table: args.table.clone(),
        encoding: args.encoding_errors.into(),
        ..ReadOptions::default()
    };
    let request = Request {
        source: &source,
        reading: &reading,
        rules: &rules,
        out: &out,
        sample: args.sample,
        grade: args.grade,
    };
    let outcome = match with_progress(&request, args, settings, &output) {
        Err(CleanupError::Interrupted) => return Ok(Code::Interrupted),
        other => other?,
    };
    output.json(&outcome.summary)?;
    output.document(&outcome.document());
    let folder = shown(&out, settings);
    let rejected = outcome.summary.ledger.rejected;
    if rejected > args.allow_rejects {
        let list = format!("{folder}/rejects.ndjson");
        output::stderr(&format!(
            "{} rejected, see {list}; --allow-rejects {rejected} accepts them (exit 5)\n",
            plural(rejected, "record")
        ));
        return Ok(Code::Partly);
    }
    if args.apply {
        return plan(args, dataset, &outcome, settings, &output);
    }
    output.document(&next(&folder, dataset));
    Ok(Code::Done)
}

fn with_progress(
    request: &Request<'_>,
    args: &CleanArgs,
    settings: &Settings,
    output: &Output,
) -> Result<Outcome, CleanupError> {
    let mut bar = output.progress(0, "records");
    let mut read = 0;
    let mut progress = |what: &'static str, records: u64| {
        read = records.max(read);
        bar.at(records, read, what);
    };
    let mut around = Surroundings {
        scratch: &settings.scratch,
        now: args.now.unwrap_or_else(|| settings.clock.now()),
        stop: stop_flag().map_err(|_| CleanupError::Interrupted)?,
        tool_version: VERSION,
        threads: std::thread::available_parallelism()
            .map_or(THREADS.0, |n| n.get().clamp(THREADS.0, THREADS.1)),
        progress: &mut progress,
    };
    pipeline::run(request, &mut around)
}

/// What the rows are, with what the command line says instead.
fn rules(name: &str, args: &CleanArgs, settings: &Settings) -> anyhow::Result<Rules> {
    let config = match &args.config {
        Some(file) => Config::read(&settings.cwd.join(file))?,
        None => Config::of(&settings.cwd)?,
    };
    let Some(dataset) = config.datasets.get(name) else {
        let known: Vec<&str> = config.datasets.keys().map(String::as_str).collect();
        let refusal = Refusal::new(
            format!("there is no dataset `{name}` in {}", config.origin),
            if known.is_empty() { "a section [datasets.NAME]".to_owned() } else { known.join(", ") },
            format!("`{name}`"),
        );
        let near = ops::text::alike(name, known.iter().copied());
        return Err(near
            .first()
            .map_or(refusal.clone(), |name| refusal.next(format!("--dataset {name}")))
            .into());
    };
    let mut dataset = dataset.clone();
    dataset.score.threshold = args.threshold.unwrap_or(dataset.score.threshold);
    Rules::new(dataset).map_err(|Problem { key, what }| anyhow::anyhow!("`{key}` of the dataset: {what}"))
}

/// Where everything is, and what comes next.
fn next(folder: &str, dataset: &Dataset) -> Document {
    let (name, table, key) = (&dataset.name, &dataset.table, dataset.key.join(","));
    let mut document = Document::new();
    document.facts([
        ("folder", folder.to_owned()),
        ("review", format!("{folder}/cleanup_report.html")),
        ("undo", format!("cargo xtask cleanup revert --out {folder}")),
        (
            "next",
            format!("cargo xtask backup-plan --table {table} --key {key} --desired {folder}/cleaned_{name}.json --target URL"),
        ),
    ]);
    document
}

/// Plans how the table becomes what the cleaned rows say. Columns that the input does not have stay as they are live.
fn plan(
    args: &CleanArgs,
    dataset: &Dataset,
    outcome: &Outcome,
    settings: &Settings,
    output: &Output,
) -> anyhow::Result<Code> {
    let target = TargetArgs { target: args.target.clone(), sqlite_normal: false };
    let mut target = target.open(settings)?;
    let identity = target::identify(target.as_mut(), output)?;
    let name = TableName::parse(&dataset.table).context("the table of the dataset is no name of a table")?;
    let table = target.table(&name)?;
    let has = |name: &str| table.columns.iter().any(|column| column.name == name);
    let slug = dataset.slug.as_ref().map(|slug| slug.to.as_str());
    let absent =
        outcome.summary.absent_columns.iter().filter(|name| Some(name.as_str()) != slug || !has(name));
    let made = outcome.made_columns.iter().filter(|name| !has(name));
    let request = PlanRequest {
        table: name,
        key: dataset.key.clone(),
        desired: settings.cwd.join(&args.out).join(format!("cleaned_{}.json", dataset.name)),
        format: Some(Format::Json),
        null: String::new(),
        ignore_columns: absent.chain(made).cloned().collect(),
        compare: Vec::new(),
        allow_delete: false,
        expect_empty: args.expect_empty,
    };
    if !request.ignore_columns.is_empty() {
        let ignored = request.ignore_columns.iter().cloned().collect::<Vec<_>>().join(", ");
        output.line(&format!("columns left as they are: {ignored}"));
    }
    let around = backup_plan::surroundings(settings)?;
    let plan =
        planner::plan(target.as_mut(), identity, &request, &settings.cwd.join(DEFAULT_OUT), true, &around)?;
    backup_plan::record(&plan, &settings.cwd.join(gate::DEFAULT_PATH), settings)?;
    // Under --json stdout has the report of the cleanup already.
    if !args.json {
        backup_plan::show(&plan, output, settings)?;
    }
    Ok(Code::Done)
}

fn undo(args: &RevertArgs, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let request = RevertRequest {
        out: settings.cwd.join(&args.out),
        to: args.to.as_ref().map(|file| settings.cwd.join(file)),
        rules: args.rules.iter().cloned().collect(),
        rows: args.rows.iter().copied().collect(),
    };
    let reverted = revert::revert(&request)?;
    output.json(&reverted)?;
    let mut document = Document::new();
    let file = shown(&settings.cwd.join(&args.out).join(&reverted.file), settings);
    document.facts([
        ("rows", thousands(reverted.rows)),
        ("with an undone change", thousands(reverted.changed_rows)),
        ("there again", thousands(reverted.restored_rows)),
        ("undone with others", thousands(reverted.undone_with_others)),
        (
            "as in the input",
            if reverted.is_input { "yes, every row" } else { "no, only what was chosen is undone" }
                .to_owned(),
        ),
        ("file", file),
    ]);
    output.document(&document);
    Ok(Code::Done)
}
