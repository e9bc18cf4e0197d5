//! `backup-plan`: what would have to change, with a complete backup and the way back, and nothing changed.

use std::path::{Path, PathBuf};

use ops::change::gate::{self, Decision, Entry, Stage};
use ops::change::plan::PlanDir;
use ops::change::planner::{self, Request, Surroundings};
use ops::records::Format;
use ops::report::Document;
use ops::target::schema::TableName;
use ops::text::{plural, thousands};

use super::database::shown;
use super::db_identity::VERSION;
use super::plan::DEFAULT_OUT;
use super::target::{self, TargetArgs};
use crate::exit::Code;
use crate::output::Output;
use crate::settings::Settings;
use crate::signal::stop_flag;

/// Plan how a table becomes what a file says, with a verified backup
///
/// Reads the whole table once into a backup, compares it with the desired rows, and writes a sealed folder: every
/// change with its before-image, sheets for a spreadsheet, a page to review, and the SQL that undoes it. Changes
/// nothing. Rows that are only live are never deleted unless --allow-delete makes a plan of its own kind.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: TargetArgs,
    /// The table: name or schema.name
    #[arg(long, value_name = "TABLE", value_parser = table_name)]
    table: TableName,
    /// The columns that tell rows apart: the primary key or a unique key without NULLs
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',', required = true)]
    key: Vec<String>,
    /// The rows as they shall be: JSON, NDJSON, CSV, TSV, or an SQL dump that has the table, also as .gz or .zst
    #[arg(long, value_name = "FILE")]
    desired: PathBuf,
    /// The format of the file, where its name does not say
    #[arg(long, value_name = "FORMAT", value_parser = Format::NAMES)]
    format: Option<String>,
    /// The cell of a CSV or TSV file that means NULL; without it, an empty one
    #[arg(long, value_name = "TEXT")]
    null: Option<String>,
    /// Columns of the file to leave out
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    ignore_columns: Vec<String>,
    /// When values of a column count as equal: exact, ignore, numeric:abs=0.01, numeric:rel=1e-9, time:s, time:ms,
    /// json, set, text:trim, text:fold
    #[arg(long, value_name = "COLUMN=RULE")]
    compare: Vec<String>,
    /// Delete rows that the file does not have; such a plan needs an approval of its own
    #[arg(long)]
    allow_delete: bool,
    /// The table must be empty: without this an empty table is refused, because it may not be the one that was meant
    #[arg(long)]
    expect_empty: bool,
    /// Only compare; such a plan cannot be applied
    #[arg(long)]
    no_backup: bool,
    /// Where the plan goes
    #[arg(long, value_name = "DIR", default_value = DEFAULT_OUT)]
    out: PathBuf,
    /// The chain of approvals and runs
    #[arg(long, value_name = "FILE", default_value = gate::DEFAULT_PATH)]
    gates: PathBuf,
    /// Print plan.json instead of a summary
    #[arg(long)]
    json: bool,
}

fn table_name(text: &str) -> Result<TableName, String> {
    TableName::parse(text).ok_or_else(|| "expected name or schema.name".to_owned())
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let mut target = args.target.open(settings)?;
    let identity = target::identify(target.as_mut(), &output)?;
    let request = Request {
        table: args.table.clone(),
        key: args.key.clone(),
        desired: settings.cwd.join(&args.desired),
        format: args.format.as_deref().and_then(Format::parse),
        null: args.null.clone().unwrap_or_default(),
        ignore_columns: args.ignore_columns.iter().cloned().collect(),
        compare: args.compare.clone(),
        allow_delete: args.allow_delete,
        expect_empty: args.expect_empty,
    };
    let around = surroundings(settings)?;
    let out = settings.cwd.join(&args.out);
    let plan = planner::plan(target.as_mut(), identity, &request, &out, !args.no_backup, &around)?;
    record(&plan, &settings.cwd.join(&args.gates), settings)?;
    show(&plan, &output, settings)?;
    Ok(Code::Done)
}

/// What surrounds every planning of this program.
pub(crate) fn surroundings(settings: &Settings) -> anyhow::Result<Surroundings<'_>> {
    Ok(Surroundings {
        scratch: &settings.scratch,
        clock: settings.clock,
        stop: stop_flag()?,
        tool_version: VERSION,
    })
}

/// Notes in the chain that the plan was made.
pub(crate) fn record(plan: &PlanDir, gates: &Path, settings: &Settings) -> anyhow::Result<()> {
    let counts = plan.counts();
    let entry = Entry::about(plan.manifest(), Stage::Plan, Decision::Pass)
        .with("insert", counts.insert)
        .with("update", counts.update)
        .with("delete", counts.delete);
    Ok(super::gates::append(gates, entry, settings)?)
}

pub(crate) fn show(plan: &PlanDir, output: &Output, settings: &Settings) -> anyhow::Result<()> {
    output.json(plan.manifest())?;
    let (facts, folder) = (plan.facts(), shown(plan.path(), settings));
    let counts = &facts.counts;
    let mut document = Document::new();
    document.heading(1, format!("Plan {}", plan.short()));
    let list = |n: u64, what: &str| format!("{} {what}", thousands(n));
    document.facts([
        ("table", plan.layout().table.name.to_string()),
        ("desired", format!("{} in {}", plural(counts.desired, "row"), facts.desired.file)),
        ("live", plural(counts.live, "row")),
        (
            "changes",
            [
                list(counts.insert, "to insert"),
                list(counts.update, "to update"),
                list(counts.delete, "to delete"),
            ]
            .join(", "),
        ),
        ("unchanged", thousands(counts.unchanged)),
        ("only live", format!("{}, left alone", thousands(counts.only_live))),
        (
            "backup",
            facts.backup.as_ref().map_or_else(
                || "none: this plan cannot be applied".to_owned(),
                |backup| format!("{}, verified", plural(backup.rows, "row")),
            ),
        ),
        ("folder", folder.clone()),
    ]);
    if plan.is_empty() {
        document.text("Nothing to change.");
    } else {
        document.facts([
            ("review", format!("{folder}/plan.md")),
            ("next", format!("cargo xtask upsert --plan {folder}")),
        ]);
    }
    output.document(&document);
    Ok(())
}
