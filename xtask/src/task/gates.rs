//! `gates`: who let what through, and whether the record of it can be relied on.

use std::path::{Path, PathBuf};

use ops::artifacts::{self, Known};
use ops::change::gate::{self, Audit, Detail, Entry, GateError, Gates};
use ops::clock::Stamp;
use ops::report::Document;

use super::db_identity::VERSION;
use crate::exit::Code;
use crate::output::Output;
use crate::settings::Settings;
use crate::telemetry;

/// Show or audit the chain of plans, approvals, runs and rollbacks
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print the records
    Show {
        #[command(flatten)]
        file: FileArgs,
        /// Only those about this plan (its id, or the first digits of it)
        #[arg(long, value_name = "ID")]
        plan: Option<String>,
        /// Print the records as one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Check every record against the one before it, and the artifacts of a run against themselves
    ///
    /// With a folder, its plan, logs, results, summaries, soaks and health reports are read too: missing logs, totals that do
    /// not add up, clocks and rates that cannot be, and reports that no record knows. Exit 6 when something is found.
    Audit {
        /// A folder with the artifacts of a finished run
        dir: Option<PathBuf>,
        #[command(flatten)]
        file: FileArgs,
        /// When the artifacts were there at the latest, such as the time of their commit
        #[arg(long, value_name = "TIME", value_parser = time)]
        by: Option<Stamp>,
        /// When there was something that could make them, such as the time of its commit
        #[arg(long, value_name = "TIME", value_parser = time)]
        since: Option<Stamp>,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct FileArgs {
    /// The chain
    #[arg(long, value_name = "FILE", default_value = gate::DEFAULT_PATH)]
    gates: PathBuf,
}

fn time(text: &str) -> Result<Stamp, String> {
    Stamp::parse(text).ok_or_else(|| "expected a time with a zone, as 2026-01-02T03:04:05Z".to_owned())
}

/// Appends a record to a chain, and says it in the telemetry store when there is one.
pub(super) fn append(path: &Path, entry: Entry, settings: &Settings) -> Result<(), GateError> {
    let record = Gates::append(path, entry, settings.clock.now(), VERSION)?;
    telemetry::stage(settings, &record);
    Ok(())
}

/// The digests of files that records hold.
fn digests(gates: &Gates) -> Vec<String> {
    let details = gates.records().iter().flat_map(|record| record.detail.values());
    let texts = details.filter_map(|detail| match detail {
        Detail::Text(text) if text.len() == 64 => Some(text.clone()),
        _ => None,
    });
    texts.collect()
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    match &args.what {
        What::Show { file, plan, json } => {
            let output = Output::new(settings, *json);
            let gates = Gates::load(&settings.cwd.join(&file.gates))?;
            output.json(&gates.records())?;
            output.document(&gates.document(plan.as_deref()));
            Ok(Code::Done)
        }
        What::Audit { dir: None, file, json, .. } => {
            let output = Output::new(settings, *json);
            let audit = gate::audit(&settings.cwd.join(&file.gates))?;
            output.json(&audit)?;
            output.document(&audit.document());
            Ok(if audit.is_clean() { Code::Done } else { Code::GateNotMet })
        }
        What::Audit { dir: Some(dir), file, by, since, json } => {
            let output = Output::new(settings, *json);
            let path = settings.cwd.join(&file.gates);
            // A run of somebody else's may have no chain; then nothing in it is sealed.
            let chain = if path.exists() { Some(gate::audit(&path)?) } else { None };
            let is_sound = chain.as_ref().is_none_or(Audit::is_clean);
            let digests = if is_sound { digests(&Gates::load(&path)?) } else { Vec::new() };
            let known = Known { now: Some(settings.clock.now()), by: *by, since: *since, digests };
            let artifacts = artifacts::audit(&settings.cwd.join(dir), &known)?;
            output.json(&serde_json::json!({ "gates": chain, "artifacts": artifacts }))?;
            let mut document = chain.map_or_else(Document::new, |chain| chain.document());
            output.document(document.append(artifacts.document()));
            Ok(if is_sound && artifacts.is_clean() { Code::Done } else { Code::GateNotMet })
        }
    }
}
