//! `soak`: whether a release that was watched for hours is good, and how well that can be known.

use std::path::PathBuf;

use anyhow::{Context, bail};
use ops::soak::settings::Span;
use ops::soak::{self, Log, Metric, Rule, Scenario, Soak, Verdict};

use super::soak_run;
use crate::exit::Code;
use crate::output::Output;
use crate::settings::Settings;

/// Watch a release for hours and say GO or NO-GO with a known error rate
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Run(soak_run::RunArgs),
    Power(PowerArgs),
    Replay(ReplayArgs),
}

/// How often a soak would come out GO and NO-GO, for a range of true rates
///
/// Simulates whole soaks through the code that judges. Run it before the soak: it says which drop can be found with the
/// traffic that there is, and what a bare threshold would have cried.
#[derive(Debug, clap::Args)]
struct PowerArgs {
    /// The rate that must hold, 0 to 1
    #[arg(long, value_name = "RATE", default_value_t = 0.85)]
    baseline: f64,
    /// How far below the rate GO must exclude
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    margin: f64,
    /// Units (say, sessions) that come by within the window
    #[arg(long, value_name = "UNITS", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    n: u64,
    /// Length of the soak: 90s, 5m, 6h, 2d
    #[arg(long, value_name = "SPAN", default_value = "6h", value_parser = seconds)]
    window: u64,
    /// From look to look
    #[arg(long, value_name = "SPAN", default_value = "5m", value_parser = seconds)]
    every: u64,
    /// The stated chance of a false NO-GO
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    error_rate: f64,
    /// True rates to try; without it, some around the baseline
    #[arg(long = "true", value_name = "RATE,…", value_delimiter = ',')]
    truths: Vec<f64>,
    /// Simulated soaks for each
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    soaks: u64,
    /// Another seed gives other simulated soaks
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Judge the evidence of a soak again
///
/// Reads nothing but the log and gives the same bytes each time. Exit 0 on GO, otherwise 6.
#[derive(Debug, clap::Args)]
struct ReplayArgs {
    /// The log of a soak
    evidence: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<u64, String> {
    text.parse().map(|Span(seconds)| seconds)
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    match &args.what {
        What::Run(args) => soak_run::run(args, settings),
        What::Power(args) => power(args, settings),
        What::Replay(args) => replay(args, settings),
    }
}

fn power(args: &PowerArgs, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let rule = Rule::AtLeast { rate: args.baseline, margin: args.margin };
    let terms = Soak {
        started: "2000-01-01T00:00:00Z".to_owned(),
        window_s: args.window,
        every_s: args.every,
        gap_max_s: args.every.saturating_mul(3),
        error_rate: args.error_rate,
        ..Soak::new("power", vec![Metric::new("rate", "units", rule)])
    };
    if let Err(what) = terms.check() {
        bail!("this soak cannot be: {what}");
    }
    let truths =
        if args.truths.is_empty() { around(args.baseline, args.margin) } else { args.truths.clone() };
    if let Some(wrong) = truths.iter().find(|rate| !(0.0..=1.0).contains(*rate)) {
        bail!("a true rate is between 0 and 1, not {wrong}");
    }
    let outcomes: Vec<_> = truths
        .iter()
        .map(|&rate| {
            soak::power(&terms, args.baseline, Scenario { rate, units: args.n }, args.soaks, args.seed)
        })
        .collect();
    output.json(&serde_json::json!({ "terms": terms, "outcomes": outcomes }))?;
    output.document(&soak::power_document(&terms, &outcomes));
    Ok(Code::Done)
}

/// True rates that tell most about a baseline: clearly better, a little better, the same, and worse by steps.
fn around(baseline: f64, margin: f64) -> Vec<f64> {
    let better = [0.6, 0.2].map(|share| baseline + (1.0 - baseline) * share);
    let worse = [0.0, 0.5, 1.0, 2.0, 3.0].map(|steps| baseline - margin * steps);
    better.into_iter().chain(worse).filter(|rate| *rate > 0.0).collect()
}

fn replay(args: &ReplayArgs, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let path = settings.cwd.join(&args.evidence);
    let shown = args.evidence.display();
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{shown}`"))?;
    let log = Log::read(&text).with_context(|| format!("`{shown}` is not the log of a soak"))?;
    let judgement = soak::judge(&log);
    output.json(&judgement)?;
    output.document(&judgement.document(&log));
    Ok(if judgement.verdict == Verdict::Go { Code::Done } else { Code::GateNotMet })
}
