//! `analyze calibrate`: propose other coefficients, and change ops.toml by an approved proposal.

use std::path::{Path, PathBuf};

use anyhow::bail;
use ops::change::gate::DEFAULT_PATH;
use ops::config::{Config, FILE, SHIPPED};
use ops::files;
use ops::tokens::analysis::Options;
use ops::tokens::calibration::{Accept, Calibration, Patch};
use serde::Serialize;

use super::apply;
use super::rendered::Rendered;
use super::source::SourceArgs;
use crate::exit::Code;
use crate::output::{self, pretty};
use crate::settings::Settings;

/// Propose other coefficients by verified attempts, or say what is missing
///
/// Coefficients are fitted to the earlier runs and judged by the latest, by the rules in ops.toml. The report, the patch of
/// ops.toml with its inverse and the list of what is lacking (for `seed-telemetry --top-up --needs`) go to a folder. Refuses
/// (exit 3) what is no sample; exits 6 when nothing can move or the judging runs do not bear it out. Nothing is changed
/// until the patch is applied by its id.
#[derive(Debug, clap::Args)]
pub(super) struct CalibrateArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Where the report and the patch go [default: .ops/calibrations/ID]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Also take outcomes that were replayed from recordings, for a trial that cannot be applied
    #[arg(long)]
    accept_recorded: bool,
    /// Also take outcomes that nobody verified, for a trial that cannot be applied
    #[arg(long)]
    accept_unverified: bool,
    /// Change ops.toml by this patch
    #[arg(long, value_name = "FILE", requires = "approve", conflicts_with_all = ["db", "from", "log", "out", "accept_recorded", "accept_unverified"])]
    apply: Option<PathBuf>,
    /// The id of the patch: whoever gives it has read the report
    #[arg(long, value_name = "ID", requires = "apply")]
    approve: Option<String>,
    /// The chain of proposals, approvals and changes
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    gates: PathBuf,
    #[command(flatten)]
    rendered: Rendered,
}

/// The JSON document.
#[derive(Debug, Serialize)]
struct Report<'a> {
    format: u32,
    source: &'a str,
    calibration: &'a Calibration,
    patch: Option<&'a Patch>,
    folder: String,
}

pub(super) fn run(args: &CalibrateArgs, settings: &Settings) -> anyhow::Result<Code> {
    if let (Some(file), Some(id)) = (&args.apply, &args.approve) {
        let gates = settings.cwd.join(&args.gates);
        return apply::run(file, id, &gates, args.rendered.json, settings);
    }
    let (text, config) = present(settings)?;
    let read = args.source.read(Options::default(), settings)?;
    let accept = Accept { recorded: args.accept_recorded, unverified: args.accept_unverified };
    let calibration =
        Calibration::of(&read.samples, &config.estimator, accept).map_err(|refusal| *refusal)?;
    let (changes, digest) = (calibration.changes(), &calibration.evidence_digest);
    let made = calibration.is_proposal().then(|| Patch::new(&text, &changes, digest, accept.is_trial()));
    let patch = made.transpose()?;
    let id = patch.as_ref().map_or_else(|| calibration.evidence_digest[..12].to_owned(), |p| p.id.clone());
    let folder = args.out.clone().unwrap_or_else(|| Path::new(".ops/calibrations").join(&id));
    let place = settings.cwd.join(&folder);
    let mut document = calibration.document(&read.source);
    let report = Report {
        format: 1,
        source: &read.source,
        calibration: &calibration,
        patch: patch.as_ref(),
        folder: folder.display().to_string(),
    };
    let write = |name: &str, text: &str| files::write_atomic(&place.join(name), text.as_bytes());
    files::create_dir(&place)?;
    write("needs.json", &pretty(&calibration.needs())?)?;
    if let Some(patch) = &patch {
        let after = patch.apply(&text)?;
        let config = Config::parse(&after, FILE)?;
        if config.estimator.coefficients.digest() != calibration.proposed_digest {
            bail!(
                "{FILE} spells coefficients in a way that a patch cannot change: write them as the shipped ops.toml does"
            );
        }
        let inverse = patch.inverse(&text)?;
        write("patch.json", &pretty(patch)?)?;
        write("inverse.json", &pretty(&inverse)?)?;
        write("ops.toml.patch", &unified(&text, &after))?;
        document.heading(2, "Patch").code(unified(&text, &after));
        if !accept.is_trial() {
            apply::note(patch, &inverse, &settings.cwd.join(&args.gates), settings)?;
            let file = folder.join("patch.json").display().to_string();
            document.code(format!("cargo xtask analyze calibrate --apply {file} --approve {}\n", patch.id));
        }
    }
    write("report.md", &document.markdown())?;
    write("report.html", &document.html())?;
    write("report.json", &pretty(&report)?)?;
    args.rendered.print(&document, &report, settings)?;
    if patch.is_none() {
        output::stderr("gate not met: no proposal (exit 6)\n");
    }
    Ok(if patch.is_some() { Code::Done } else { Code::GateNotMet })
}

/// The settings of the repository with their text; the shipped ones where it has none.
pub(super) fn present(settings: &Settings) -> anyhow::Result<(String, Config)> {
    let path = settings.cwd.join(FILE);
    let text = if path.exists() { files::read_text(&path)? } else { SHIPPED.to_owned() };
    let config = Config::parse(&text, if path.exists() { FILE } else { "shipped ops.toml" })?;
    Ok((text, config))
}

/// The change as `git apply` and `patch` read it.
fn unified(before: &str, after: &str) -> String {
    let diff = similar::TextDiff::from_lines(before, after);
    diff.unified_diff().header("a/ops.toml", "b/ops.toml").to_string()
}
