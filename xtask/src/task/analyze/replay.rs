//! `analyze replay`: recorded events predicted again with other coefficients.

use std::path::PathBuf;

use ops::tokens::analysis::Options;
use ops::tokens::replay::Replay;
use serde::Serialize;

use super::rendered::Rendered;
use super::settings_of;
use super::source::SourceArgs;
use crate::exit::Code;
use crate::settings::Settings;

/// Predict recorded events again with other coefficients, from the features recorded with them
///
/// Outputs that were cut are bounds: they tell which prediction is too small, never which is right. Differences have 95 %
/// intervals in which attempts at one phase count as one task.
#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Settings with the other coefficients: a file in the form of ops.toml [default: ops.toml, or the shipped one]
    #[arg(long, value_name = "FILE")]
    coefficients: Option<PathBuf>,
    #[command(flatten)]
    rendered: Rendered,
}

/// The JSON document.
#[derive(Debug, Serialize)]
struct Report<'a> {
    format: u32,
    source: &'a str,
    origin: &'a str,
    replay: &'a Replay,
}

pub(super) fn run(args: &ReplayArgs, settings: &Settings) -> anyhow::Result<Code> {
    let config = settings_of(args.coefficients.as_deref(), settings)?;
    let read = args.source.read(Options::default(), settings)?;
    let rules = &config.estimator.calibration;
    let replay = Replay::of(&read.samples, &config.estimator.coefficients, rules.quantile, rules.seed);
    let report = Report { format: 1, source: &read.source, origin: &config.origin, replay: &replay };
    let mut document = replay.document(&read.source, &config.origin);
    args.rendered.print_only(&document, &report, settings)?;
    document.append(replay.charts());
    args.rendered.write_html(&document, settings)?;
    Ok(Code::Done)
}
