//! `analyze compare`: two runs, two estimator versions or two sets of coefficients side by side.

use ops::config::Config;
use ops::guard::Refusal;
use ops::tokens::analysis::Options;
use ops::tokens::sample::Sample;
use ops::tokens::study::Comparison;
use serde::Serialize;

use super::rendered::Rendered;
use super::source::SourceArgs;
use crate::exit::Code;
use crate::settings::Settings;

/// Compare the attempts of two runs, estimator versions or sets of coefficients
#[derive(Debug, clap::Args)]
pub(super) struct CompareArgs {
    /// The first
    #[arg(value_name = "FIRST")]
    first: String,
    /// The second
    #[arg(value_name = "SECOND")]
    second: String,
    /// What the two names are
    #[arg(long, value_enum, default_value = "run")]
    by: By,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    rendered: Rendered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum By {
    /// Ids of runs
    Run,
    /// Versions of the formulas
    Version,
    /// Digests of coefficients
    Coefficients,
}

/// The JSON document.
#[derive(Debug, Serialize)]
struct Report<'a> {
    format: u32,
    source: &'a str,
    comparison: &'a Comparison,
}

pub(super) fn run(args: &CompareArgs, settings: &Settings) -> anyhow::Result<Code> {
    let rules = Config::of(&settings.cwd)?.estimator.calibration;
    let read = args.source.read(Options::default(), settings)?;
    let of = |sample: &Sample| match args.by {
        By::Run => Some(sample.run.clone()),
        By::Version => sample.version.clone(),
        By::Coefficients => sample.digest.clone(),
    };
    let by = match args.by {
        By::Run => "run",
        By::Version => "version",
        By::Coefficients => "coefficient set",
    };
    let samples = &read.samples.list;
    let side = |name: &str| -> Result<Vec<&Sample>, Refusal> {
        let found: Vec<&Sample> = samples.iter().filter(|s| of(s).as_deref() == Some(name)).collect();
        if !found.is_empty() {
            return Ok(found);
        }
        let names: std::collections::BTreeSet<String> = samples.iter().filter_map(of).collect();
        let some: Vec<String> = names.into_iter().take(5).collect();
        let expected = if some.is_empty() { "none is recorded".to_owned() } else { some.join(", ") };
        Err(Refusal::new(format!("no attempt is of this {by}"), expected, format!("`{name}`")))
    };
    let (first, second) = (side(&args.first)?, side(&args.second)?);
    let names = [args.first.as_str(), args.second.as_str()];
    let comparison = Comparison::of(by, names, [&first, &second], rules.quantile, rules.seed);
    let report = Report { format: 1, source: &read.source, comparison: &comparison };
    args.rendered.print(&comparison.document(&read.source), &report, settings)?;
    Ok(Code::Done)
}
