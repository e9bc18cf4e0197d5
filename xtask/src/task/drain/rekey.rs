//! `drain rekey`: give failures of an earlier normaliser their fingerprint of now.

use ops::fingerprint::VERSION;
use ops::report::{Align, Document, Table};
use ops::text::plural;
use ops::work::drain::rekey;
use serde::Serialize;

use super::super::database::{DatabaseArgs, open_phases};
use crate::exit::Code;
use crate::output::Output;
use crate::settings::Settings;

/// Fingerprint the failures of earlier versions anew, and say which fingerprints became which
///
/// The raw texts are normalised again. Every account keeps the fingerprint that it had beside the new one; a second run
/// changes nothing.
#[derive(Debug, clap::Args)]
pub(super) struct RekeyArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// The JSON document.
#[derive(Debug, Serialize)]
struct Report {
    format: u32,
    version: u32,
    #[serde(flatten)]
    rekeyed: ops::fingerprint::Rekeyed,
}

pub(super) fn run(args: &RekeyArgs, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let url = settings.database(args.database.db.as_deref())?;
    let identity = args.database.identify_any(&url, settings, &output)?;
    let mut store = open_phases(&url, &identity)?;
    let report = Report { format: 1, version: VERSION, rekeyed: rekey(store.as_mut())? };
    output.json(&report)?;
    output.document(&document(&report));
    Ok(Code::Done)
}

fn document(report: &Report) -> Document {
    let rekeyed = &report.rekeyed;
    let mut document = Document::new();
    document.heading(2, format!("Fingerprints of normaliser {}", report.version));
    let failures = rekeyed.mappings.iter().map(|mapping| mapping.failures).sum();
    document.text(format!(
        "{} keyed anew; {} split, {} merged.",
        plural(failures, "failure"),
        plural(rekeyed.split, "cluster"),
        plural(rekeyed.merged, "cluster")
    ));
    if !rekeyed.mappings.is_empty() {
        let mut table = Table::new([("was", Align::Left), ("is", Align::Left), ("failures", Align::Right)]);
        for mapping in &rekeyed.mappings {
            table.row([mapping.from.clone(), mapping.to.clone(), mapping.failures.to_string()]);
        }
        document.table(table);
    }
    document
}
