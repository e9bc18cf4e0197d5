//! `analyze`: what the collected data says.

mod apply;
mod calibrate;
mod compare;
mod estimate;
mod export;
mod fingerprint;
mod glyphs;
mod rendered;
mod replay;
mod reports;
mod source;

use std::path::Path;

use ops::config::Config;
use ops::report::percentage;
use ops::text::plural;
use ops::tokens::analysis::Options;
use ops::tokens::input::Input;
use ops::tokens::study::Study;
use ops::tokens::summary::{Summary, Verdict};
use serde::Serialize;

use self::rendered::Rendered;
use self::source::{SourceArgs, input_document};
use crate::exit::Code;
use crate::output;
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
    Compare(compare::CompareArgs),
    Estimate(estimate::EstimateArgs),
    Replay(replay::ReplayArgs),
    Calibrate(calibrate::CalibrateArgs),
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
/// Reads a database, exported NDJSON or raw logs and recomputes every metric; stored values that differ are listed.
/// The gates (truncation at most 2 %, underestimation at most 5 %) are measured over all attempts, whatever
/// is asked of the cost metrics; exit 6 when one is not met. Intervals count attempts at one phase as one task, and
/// outputs that were cut are bounds.
#[derive(Debug, clap::Args)]
struct TokensArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Cost metrics over successful attempts only; the gates still count all
    #[arg(long)]
    success_only: bool,
    /// Report the gates but do not let them decide the exit code
    #[arg(long)]
    no_gate: bool,
    #[command(flatten)]
    rendered: Rendered,
}

/// The JSON document.
#[derive(Debug, Serialize)]
struct TokensReport<'a> {
    format: u32,
    source: &'a str,
    input: Option<&'a Input>,
    analysis: &'a Summary,
    /// None when there are more attempts than single ones are looked at.
    study: Option<&'a Study>,
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    match &args.what {
        What::Tokens(args) => tokens(args, settings),
        What::Compare(args) => compare::run(args, settings),
        What::Estimate(args) => estimate::run(args, settings),
        What::Replay(args) => replay::run(args, settings),
        What::Calibrate(args) => calibrate::run(args, settings),
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

/// The settings of a file, or those of the repository.
fn settings_of(file: Option<&Path>, settings: &Settings) -> anyhow::Result<Config> {
    Ok(match file {
        Some(file) => {
            let config = Config::read(&settings.cwd.join(file))?;
            Config { origin: file.display().to_string(), ..config }
        }
        None => Config::of(&settings.cwd)?,
    })
}

fn tokens(args: &TokensArgs, settings: &Settings) -> anyhow::Result<Code> {
    let rules = Config::of(&settings.cwd)?.estimator.calibration;
    let read = args.source.read(Options { success_only: args.success_only }, settings)?;
    let summary = read.analysis.finish();
    let study = (!read.samples.list.is_empty()).then(|| Study::of(&read.samples, &rules));
    let mut document = summary.document(&read.source);
    if let Some(study) = &study {
        document.append(study.document());
    } else if read.samples.left_out > 0 {
        document.heading(2, "What single attempts say").text(format!(
            "{} are too many to look at one by one: there are no intervals, no quantiles of cut outputs and no charts.",
            plural(read.samples.left_out, "attempt")
        ));
    }
    let input = read.input.as_ref();
    if let Some(input) = input {
        document.append(input_document(input));
    }
    let report =
        TokensReport { format: 2, source: &read.source, input, analysis: &summary, study: study.as_ref() };
    args.rendered.print_only(&document, &report, settings)?;
    if let Some(study) = &study {
        document.append(study.charts(&read.samples));
    }
    args.rendered.write_html(&document, settings)?;
    if !args.no_gate {
        explain(&summary, input);
    }
    let met = summary.gates_met() && input.is_none_or(|input| input.reject_count == 0);
    Ok(if met || args.no_gate { Code::Done } else { Code::GateNotMet })
}

/// Says on stderr which gate decides the exit code, so that a script's log has it too.
fn explain(summary: &Summary, input: Option<&Input>) {
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
