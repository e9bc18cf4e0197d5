//! `health`: what a database lacks, and a small plan of what could be done.

use std::path::{Path, PathBuf};

use ops::backfill::seed_plan;
use ops::backfill::settings::Settings as Described;
use ops::change::gate::{self, Decision, Gates, Stage, Subject};
use ops::config::Config;
use ops::files::{FileError, write_atomic};
use ops::guard::Refusal;
use ops::health::{self, Health, Mini, Verdict, mini_plan};
use ops::target::TargetIdentity;

use super::database::shown;
use super::target::{TargetArgs, identify};
use super::watched;
use crate::exit::Code;
use crate::output::{self, Output, pretty};
use crate::settings::Settings;

/// The small plan.
const PLAN: &str = "prod_mini_backfill_plan.json";

/// Which rows lack a current result, and a small plan for them
///
/// Reads every table of `[backfills.NAME]` completely and writes nothing to the database. A version of NULL is no current one. A
/// read that fails or is short is not healthy: the verdict is UNKNOWN, exit 1. Exit 0 when every row has every
/// result, 6 when some lack one or none was there. With --plan it needs a soak of that plan that passed, and puts its verdict into the
/// gates.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which section `[backfills.NAME]` of ops.toml; not needed where there is one only
    name: Option<String>,
    #[command(flatten)]
    target: TargetArgs,
    /// The plan whose run was watched: its folder, or its id when it is below .ops/backfills
    #[arg(long, value_name = "PLAN")]
    plan: Option<PathBuf>,
    /// The chain of gates, with --plan
    #[arg(long, value_name = "FILE", default_value = gate::DEFAULT_PATH)]
    gates: PathBuf,
    /// The settings; without it, ops.toml here, or the shipped ones
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the report and the small plan go
    #[arg(long, value_name = "DIR", default_value = ".ops/health")]
    out: PathBuf,
    /// Print the result as one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let (name, described) = described(args, settings)?;
    let planned = args.plan.as_ref().map(|dir| watched::plan(dir, settings)).transpose()?;
    let gates = settings.cwd.join(&args.gates);
    if let Some(planned) = &planned {
        let subject = Subject { plan: &planned.id, target: "", lineage: None };
        Gates::load(&gates)?.require_before(Stage::Health, &subject)?;
    }
    let out = settings.cwd.join(&args.out);
    let (health, error) = examine(args, &name, &described, settings, &output);
    let mini = mini_plan(&health, &described);
    let plan = write_plan(&out, &mini)?;
    let shown_plan = plan.as_ref().map(|path| shown(path, settings));
    let document = health.document(match (&mini, &shown_plan) {
        (Mini::Unsayable(why), _) => Err(why.as_str()),
        (_, Some(path)) => Ok(path.as_str()),
        (_, None) => Err("nothing needs one"),
    });
    let (json, md) = (out.join("prod_health_check.json"), out.join("prod_health_check.md"));
    write_atomic(&json, pretty(&health)?.as_bytes())?;
    write_atomic(&md, document.markdown().as_bytes())?;
    if let Some(planned) = &planned {
        let digests = [("json_sha256", watched::digest(&json)?), ("md_sha256", watched::digest(&md)?)];
        record(&gates, &planned.id, &health, digests, settings)?;
    }
    output.json(&health)?;
    output.document(&document);
    output.line(&format!("reports: {}", shown(&out, settings)));
    if let Some(error) = error {
        output::stderr(&format!("verdict UNKNOWN: {error:#}\n"));
    }
    Ok(match health.verdict {
        Verdict::Healthy => Code::Done,
        Verdict::NeedsBackfill | Verdict::Insufficient => Code::GateNotMet,
        Verdict::Unknown => Code::Failed,
    })
}

/// What the database says; whatever goes wrong is a verdict too, so that no older report stands for this one.
fn examine(
    args: &Args,
    name: &str,
    described: &Described,
    settings: &Settings,
    output: &Output,
) -> (Health, Option<anyhow::Error>) {
    let now = settings.clock.now();
    let mut known: Option<TargetIdentity> = None;
    let mut look = || -> anyhow::Result<Health> {
        let mut target = args.target.open(settings)?;
        let identity = identify(target.as_mut(), output)?;
        known = Some(identity.clone());
        let found = health::check(target.as_mut(), described)?;
        Ok(Health::of(name, identity, found, now))
    };
    match look() {
        Ok(health) => (health, None),
        Err(error) => {
            let why = ops::text::one_line(&format!("{error:#}"));
            (Health::unknown(name, known, Some(why), now), Some(error))
        }
    }
}

/// The section that was named, or the only one.
fn described(args: &Args, settings: &Settings) -> anyhow::Result<(String, Described)> {
    let config = match &args.config {
        Some(file) => Config::read(&settings.cwd.join(file))?,
        None => Config::of(&settings.cwd)?,
    };
    let known = config.backfills.keys().cloned().collect::<Vec<_>>().join(", ");
    let name = match (&args.name, config.backfills.keys().next()) {
        (Some(name), _) => name.clone(),
        (None, Some(only)) if config.backfills.len() == 1 => only.clone(),
        (None, _) => {
            let what = format!("it is not clear which backfill of {} is meant", config.origin);
            let expected = if known.is_empty() { "a section [backfills.NAME]".to_owned() } else { known };
            return Err(Refusal::new(what, expected, "no name").into());
        }
    };
    let described = config.backfills.get(&name).cloned();
    let described = described.ok_or_else(|| {
        let what = format!("there is no backfill `{name}` in {}", config.origin);
        Refusal::new(what, known, format!("`{name}`"))
    })?;
    Ok((name, described))
}

/// Writes the small plan, or takes away one that an earlier check left: it says what was, not what is.
fn write_plan(out: &Path, mini: &Mini) -> anyhow::Result<Option<PathBuf>> {
    let path = out.join(PLAN);
    if let Mini::Plan(plan) = mini {
        write_atomic(&path, plan.to_json().as_bytes())?;
        return Ok(Some(path));
    }
    let is_ours = ops::files::read_text(&path).ok().is_some_and(|text| {
        let plan = seed_plan::parse(text.as_bytes());
        plan.is_ok_and(|plan| plan.backfill_plan.discovery_source.as_deref() == Some(health::SOURCE))
    });
    if is_ours {
        std::fs::remove_file(&path).map_err(|error| FileError::new("remove", &path, error))?;
    }
    Ok(None)
}

fn record(
    gates: &Path,
    plan: &str,
    health: &Health,
    digests: [(&str, String); 2],
    settings: &Settings,
) -> anyhow::Result<()> {
    let decision = match health.verdict {
        Verdict::Healthy => Decision::Pass,
        Verdict::NeedsBackfill => Decision::Fail,
        Verdict::Insufficient => Decision::Insufficient,
        Verdict::Unknown => Decision::Invalid,
    };
    let target = health.target.as_ref();
    let subject = Subject {
        plan,
        target: target.map_or("unknown", |target| target.fingerprint.as_str()),
        lineage: target.and_then(|target| target.lineage.as_ref()).map(|lineage| lineage.id.as_str()),
    };
    let mut entry =
        watched::entry(&subject, Stage::Health, decision).with("verdict", health.verdict.to_string());
    if let Some(found) = &health.found {
        entry = entry.with("examined", found.examined).with("lacking", found.lacking.len() as u64);
    }
    for (name, digest) in digests {
        entry = entry.with(name, digest);
    }
    watched::record(gates, entry, "json_sha256", settings)
}
