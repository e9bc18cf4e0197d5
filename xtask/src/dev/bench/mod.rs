//! `bench`: our tasks against the best other ways to do the same job, alternately and in one run.
//!
//! Seconds drift with the machine, so only ratios within one run are compared with a target. No time is
//! believed before every contender has given the same answer, and a peer that cannot be had is named.

mod analyze;
mod backfill;
mod change;
mod cleanup;
mod drain;
mod peers;
mod race;
mod reports;
mod store;
mod triage;

use std::path::PathBuf;

use ops::report::{Align, Document, Table, number};
use serde::Serialize;

use super::Cargo;
use crate::exit::Code;
use crate::output::{self, Output};
use crate::settings::Settings;

/// Measure a task against its peers, all in one run
///
/// Peers come from PyPI (into a virtual environment under the target folder) or from the system. Needs Python 3,
/// which also reads the peak memory that the operating system accounts to each process (Linux and macOS).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    area: Area,
    /// A tenth of the size
    #[arg(long, global = true)]
    quick: bool,
    /// Print the result as JSON
    #[arg(long, global = true)]
    json: bool,
    /// How often each contender runs
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(5..), global = true)]
    pairs: u64,
}

#[derive(Debug, clap::Subcommand)]
enum Area {
    /// Token analysis of 10 million events in SQLite and in Parquet, against DuckDB, polars, pandas and the sqlite3 shell
    Analyze,
    /// What a backfill costs beyond its calls, and 100,000 candidates in bounded memory
    Backfill,
    Change(change::Args),
    Cleanup(cleanup::Args),
    /// Phases a second through a drain whose attempts do nothing, and a queue of a million phases selected and sampled
    Drain,
    /// Every report over a year of telemetry, ten million events
    Reports,
    /// Events through the telemetry store, against SQLite alone, Python and tracing-appender
    Store,
    /// Tokens saved and yield lost by triage, against draining everything, on simulated backlogs
    Triage,
}

/// What an area needs to run.
#[derive(Debug)]
struct Bench {
    cargo: Cargo,
    /// Data, answers and the virtual environment.
    folder: PathBuf,
    /// Our program, optimised as for release.
    program: PathBuf,
    quick: bool,
    pairs: u64,
}

/// What an area measured. A versioned artifact.
#[derive(Debug, Serialize)]
struct Measured {
    format: u32,
    area: &'static str,
    size: u64,
    pairs: u64,
    results: Vec<Comparison>,
    /// Peers that could not be had, each with the reason.
    missing: Vec<Missing>,
}

/// One measure of ours and of a peer, both medians.
#[derive(Debug, Serialize)]
struct Comparison {
    name: String,
    ours: f64,
    peer: f64,
    unit: &'static str,
    /// How many times better than the peer we are: how many times less we need, or more we do.
    ratio: f64,
    /// The smallest ratio that is good enough; `None` where none is set.
    target: Option<f64>,
    met: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Missing {
    peer: &'static str,
    why: String,
}

impl Comparison {
    /// Of what less is better.
    fn less(name: String, ours: f64, peer: f64, unit: &'static str, target: Option<f64>) -> Self {
        let ratio = peer / ours;
        Self { name, ours, peer, unit, ratio, target, met: target.map(|target| ratio >= target) }
    }

    /// Of what more is better.
    fn more(name: String, ours: f64, peer: f64, unit: &'static str, target: Option<f64>) -> Self {
        Self { ours, peer, ..Self::less(name, peer, ours, unit, target) }
    }
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    if matches!(args.area, Area::Triage) {
        return triage::run(args.quick, &output);
    }
    let cargo = Cargo::new(settings)?;
    // The store is measured in a program of its own.
    if !matches!(args.area, Area::Store) {
        output::stderr("building the release program\n");
        cargo.command(&["build", "--release", "--locked", "--package", "xtask"]).run()?;
    }
    let target = peers::target_folder(&cargo)?;
    let program = target.join("release").join(format!("xtask{}", std::env::consts::EXE_SUFFIX));
    let bench = Bench { cargo, folder: target.join("bench"), program, quick: args.quick, pairs: args.pairs };
    ops::files::create_dir(&bench.folder)?;
    let measured = match &args.area {
        Area::Analyze => analyze::run(&bench)?,
        Area::Backfill => backfill::run(&bench)?,
        Area::Change(args) => change::run(&bench, args)?,
        Area::Cleanup(args) => cleanup::run(&bench, args)?,
        Area::Drain => drain::run(&bench)?,
        Area::Reports => reports::run(&bench)?,
        Area::Store => store::run(&bench, &target)?,
        Area::Triage => unreachable!("it needs no program and has returned"),
    };
    for Missing { peer, why } in &measured.missing {
        output::stderr(&format!("MISSING: {peer}: {why}\n"));
    }
    output.document(&document(&measured));
    output.json(&measured)?;
    let is_missed = measured.results.iter().any(|result| result.met == Some(false));
    Ok(if is_missed { Code::GateNotMet } else { Code::Done })
}

fn document(measured: &Measured) -> Document {
    let mut table = Table::new([
        ("measure", Align::Left),
        ("ours", Align::Right),
        ("peer", Align::Right),
        ("unit", Align::Left),
        ("ratio", Align::Right),
        ("target", Align::Right),
        ("", Align::Left),
    ]);
    for result in &measured.results {
        let verdict = result.met.map_or("", |met| if met { "met" } else { "NOT MET" });
        table.row([
            result.name.clone(),
            number(Some(result.ours), 2),
            number(Some(result.peer), 2),
            result.unit.to_owned(),
            number(Some(result.ratio), 2),
            number(result.target, 2),
            verdict.to_owned(),
        ]);
    }
    let mut document = Document::new();
    let title = format!("{} at {}, medians of {} runs each", measured.area, measured.size, measured.pairs);
    document.heading(1, title).table(table);
    document
        .facts(measured.missing.iter().map(|missing| (format!("missing: {}", missing.peer), &missing.why)));
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_says_how_many_times_better_we_are() {
        let met = |target| Comparison::less("time".to_owned(), 2.0, 5.0, "s", target).met;
        assert_eq!([met(None), met(Some(2.5)), met(Some(2.6))], [None, Some(true), Some(false)]);
        let rate = Comparison::more("rate".to_owned(), 6.0, 10.0, "rows/s", Some(0.6));
        assert_eq!((rate.ours, rate.peer, rate.met), (6.0, 10.0, Some(true)));
    }
}
