//! `migrate`: bring a database to the schema that the other tasks work on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ops::db::postgres::phases;
use ops::db::sqlite::{MigrateOptions, MigrateOutcome, migrate};
use ops::report::Document;
use ops::text::plural;
use ops::url::{DbUrl, PostgresUrl};
use serde::Serialize;

use super::database::{DatabaseArgs, only_sqlite, shown};
use super::db_identity::VERSION;
use crate::exit::Code;
use crate::output::Output;
use crate::settings::Settings;

/// Bring a database to the current schema, without losing a cell
///
/// Adopts databases of older tools. Before the first change a verified backup is made; each migration is one
/// transaction, in which every old cell is compared before and after. Rows that violate foreign keys are
/// reported and kept. A second run changes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Change nothing; exit 4 when migrations are pending
    #[arg(long)]
    check: bool,
    /// Where the backup goes
    #[arg(long, value_name = "DIR", default_value = ".ops/backups")]
    backup_dir: PathBuf,
    /// How long to wait for another process that is writing, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    wait: u64,
    /// Print one JSON document instead of the report
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let url = match settings.database(args.database.db.as_deref())? {
        DbUrl::Postgres(url) => return migrate_server(args, &url, settings, &output),
        other => only_sqlite(other)?,
    };
    let identity = args.database.identify(&url, settings, &output)?;
    if args.check {
        let pending = &identity.migrations.pending;
        output.json(&identity.migrations)?;
        if pending.is_empty() {
            output.line("No migration is pending.");
            return Ok(Code::Done);
        }
        output.line(&format!(
            "{} pending: {}.",
            plural(pending.len() as u64, "migration"),
            pending.join(", ")
        ));
        return Ok(Code::Pending);
    }
    let options = MigrateOptions {
        backup_dir: settings.cwd.join(&args.backup_dir),
        clock: settings.clock,
        busy_timeout: Duration::from_secs(args.wait),
        tool_version: VERSION,
    };
    let outcome = migrate(url.path(), &options, &mut |_| {})?;
    output.json(&MigrateReport::new(&outcome))?;
    output.document(&document(&outcome, settings));
    Ok(Code::Done)
}

/// A server takes back a transaction whole: what is pending is applied in one, and there is nothing to back up first.
fn migrate_server(
    args: &Args,
    url: &PostgresUrl,
    settings: &Settings,
    output: &Output,
) -> anyhow::Result<Code> {
    let any = DbUrl::Postgres(url.clone());
    args.database.identify_any(&any, settings, output)?;
    if args.check {
        let pending = phases::pending(url)?;
        output.json(&serde_json::json!({ "format": 1, "pending": pending }))?;
        if pending.is_empty() {
            output.line("No migration is pending.");
            return Ok(Code::Done);
        }
        output.line(&format!(
            "{} pending: {}.",
            plural(pending.len() as u64, "migration"),
            pending.join(", ")
        ));
        return Ok(Code::Pending);
    }
    let outcome = phases::migrate(url, settings.clock.now(), VERSION)?;
    output.json(&serde_json::json!({
        "format": 1, "applied": outcome.applied, "already_applied": outcome.already,
    }))?;
    let mut document = Document::new();
    document.heading(2, "Migrate");
    if outcome.applied.is_empty() {
        document.text(format!("Nothing to do: {} already applied.", plural(outcome.already, "migration")));
    } else {
        document.facts([("applied", outcome.applied.join(", "))]);
    }
    output.document(&document);
    Ok(Code::Done)
}

/// The JSON document.
#[derive(Debug, Serialize)]
struct MigrateReport<'a> {
    format: u32,
    applied: Vec<&'static str>,
    already_applied: u64,
    backup: Option<&'a Path>,
    backup_rows: &'a BTreeMap<String, u64>,
    rows_compared: u64,
    foreign_key_violations_before: u64,
    foreign_key_violations_after: u64,
}

impl<'a> MigrateReport<'a> {
    fn new(outcome: &'a MigrateOutcome) -> Self {
        Self {
            format: 1,
            applied: names(outcome),
            already_applied: outcome.already,
            backup: outcome.backup.as_deref(),
            backup_rows: &outcome.backup_rows,
            rows_compared: outcome.rows_compared,
            foreign_key_violations_before: outcome.foreign_keys_before.violations,
            foreign_key_violations_after: outcome.foreign_keys_after.violations,
        }
    }
}

fn names(outcome: &MigrateOutcome) -> Vec<&'static str> {
    outcome.applied.iter().map(|(_, name)| *name).collect()
}

fn document(outcome: &MigrateOutcome, settings: &Settings) -> Document {
    let mut document = Document::new();
    document.heading(2, "Migrate");
    if outcome.applied.is_empty() {
        document.text(format!("Nothing to do: {} already applied.", plural(outcome.already, "migration")));
        return document;
    }
    let backup = outcome.backup.as_ref().map_or_else(
        || "none needed: the database was empty".to_owned(),
        |path| {
            let rows = outcome.backup_rows.values().sum();
            format!("{}, verified: {}", shown(path, settings), plural(rows, "row"))
        },
    );
    document.facts([
        ("applied", names(outcome).join(", ")),
        ("backup", backup),
        (
            "compared",
            format!("{} before and after, every old cell equal", plural(outcome.rows_compared, "row")),
        ),
        (
            "foreign keys",
            format!(
                "{} before, {} after",
                plural(outcome.foreign_keys_before.violations, "violation"),
                outcome.foreign_keys_after.violations
            ),
        ),
    ]);
    document
}
