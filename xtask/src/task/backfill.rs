//! `backfill`: compute what rows lack, one candidate at a time; take it back; say where it stands.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use ops::backfill::artifacts::RESULTS;
use ops::backfill::gate as rules;
use ops::backfill::plan::{BackfillDir, Plan, REVIEW};
use ops::backfill::report::{Report, preview};
use ops::backfill::rollback::rollback;
use ops::backfill::run::{self as engine, Context, Order, Settings as RunSettings};
use ops::backfill::seed_plan::{self, SeedPlan};
use ops::backfill::select::{self, FileRef, Planned, Request};
use ops::backfill::settings::Settings as Described;
use ops::change::apply::End;
use ops::change::gate::{self, Decision, Entry, GateError, Gates, Stage};
use ops::change::pace::RealPace;
use ops::change::throttle::{Limits, QueryLimit};
use ops::config::Config;
use ops::guard::Refusal;
use ops::ids::sha256;
use ops::target::calls::{Functions, Lost, Reply};
use ops::target::postgrest::{EdgeFunctions, PostgrestOptions};
use ops::target::{Target, TargetIdentity};
use ops::text::thousands;
use ops::url::DbUrl;

use super::database::shown;
use super::db_identity::VERSION;
use super::run;
use super::target::{self, TargetArgs};
use super::watched;
use crate::exit::Code;
use crate::output::{Output, Progress};
use crate::settings::Settings;
use crate::signal::stop_flag;

/// Compute what rows lack, one candidate at a time, and so that it can be taken back
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Plan(MakeArgs),
    Apply(ApplyArgs),
    Rollback(BackArgs),
    Status(StatusArgs),
}

/// Freeze which rows lack a result, and what will be done to each
///
/// Reads every table completely and writes nothing into the database. The list is sealed: what is approved later is
/// exactly this one.
#[derive(Debug, clap::Args)]
struct MakeArgs {
    /// The backfill of ops.toml; the only one there is without it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A plan file of the original pipeline, or of a health check, that says which sessions
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Another file than ops.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    functions: FunctionArgs,
    /// The first so many candidates alone
    #[arg(long, value_name = "N", conflicts_with = "from")]
    limit: Option<NonZeroU64>,
    /// Where the plan goes
    #[arg(long, value_name = "DIR", default_value = DEFAULT_OUT)]
    out: PathBuf,
    /// The chain of approvals and runs
    #[arg(long, value_name = "FILE", default_value = gate::DEFAULT_PATH)]
    gates: PathBuf,
    /// Print plan.json
    #[arg(long)]
    json: bool,
}

/// Where plans of backfills are kept unless a person says otherwise.
const DEFAULT_OUT: &str = ".ops/backfills";

#[derive(Debug, clap::Args)]
struct FunctionArgs {
    /// Base URL of the project whose edge functions are called, where the target itself is none. Its key comes from
    /// SUPABASE_SERVICE_ROLE_KEY or SUPABASE_KEY only
    #[arg(long, value_name = "URL")]
    functions: Option<String>,
}

#[derive(Debug, clap::Args)]
struct PlanArgs {
    /// The plan's folder, or its id when it is below .ops/backfills
    #[arg(long, value_name = "PLAN")]
    plan: PathBuf,
}

#[derive(Debug, clap::Args)]
struct GateArgs {
    /// Approve exactly this plan: its id, or the first 12 digits of it
    #[arg(long, value_name = "ID")]
    approve: Option<String>,
    /// The lineage of the database, which a production database demands
    #[arg(long, value_name = "LINEAGE")]
    lineage: Option<String>,
    /// The chain of approvals and runs
    #[arg(long, value_name = "FILE", default_value = gate::DEFAULT_PATH)]
    gates: PathBuf,
}

/// Do the steps of a plan, candidate by candidate, and halt for review
///
/// Without --apply it shows what would be done, and sends nothing but reads. With --apply and the approval of exactly this
/// plan it writes down the rows of each candidate, does its steps, reads back, and goes on. It can be interrupted or
/// killed and resumed at any point; nothing is done twice.
#[derive(Debug, clap::Args)]
struct ApplyArgs {
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    functions: FunctionArgs,
    /// Do it; without this only reads are sent
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    gate: GateArgs,
    /// Go on with a run that stopped; what failed is tried again. With an approval also past a canary
    #[arg(long, requires = "apply")]
    resume: bool,
    /// Do the first candidates, and stop until somebody approved going on
    #[arg(long, value_name = "N", requires = "apply")]
    canary: Option<NonZeroU64>,
    /// Candidates a minute at most, where that is less than the plan says
    #[arg(long, value_name = "N")]
    per_minute: Option<NonZeroU32>,
    /// Calls a minute at most, repetitions included
    #[arg(long, value_name = "N")]
    max_calls_per_minute: Option<NonZeroU32>,
    /// Candidates at once
    #[arg(long, value_name = "N", default_value = "1")]
    concurrency: NonZeroUsize,
    /// Longest wait for one call, in place of the plan's
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Failed candidates at which the run halts, in place of the plan's
    #[arg(long, value_name = "N")]
    max_errors: Option<NonZeroU64>,
    /// The first pause before a call is made again; each further one is twice as long
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "2")]
    retry_pause: Duration,
    /// Begin nothing while this file exists
    #[arg(long, value_name = "FILE")]
    pause_file: Option<PathBuf>,
    /// Begin nothing while this query returns more than --throttle-max
    #[arg(long, value_name = "SQL", requires = "throttle_max")]
    throttle_query: Option<String>,
    /// The largest number that is fine
    #[arg(long, value_name = "NUMBER", requires = "throttle_query", allow_negative_numbers = true)]
    throttle_max: Option<f64>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Take back what a run wrote, and nothing else
///
/// Without --apply it is a rehearsal, and sends nothing but reads. Rows that the run overwrote are restored, rows that it
/// made are deleted, each only where it still is what the run left; every other row is kept and listed.
#[derive(Debug, clap::Args)]
struct BackArgs {
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// Write; without this only reads are sent
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    gate: GateArgs,
    /// Longest time that a call of a killed run may still take, in place of the plan's
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Say where the run of a plan stands
#[derive(Debug, clap::Args)]
struct StatusArgs {
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let span = text.parse().ok().filter(|n: &f64| *n > 0.0).and_then(|n| Duration::try_from_secs_f64(n).ok());
    span.ok_or_else(|| "expected seconds, a number above 0".to_owned())
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    match &args.what {
        What::Plan(args) => make(args, settings),
        What::Apply(args) => apply(args, settings),
        What::Rollback(args) => take_back(args, settings),
        What::Status(args) => status(args, settings),
    }
}

fn make(args: &MakeArgs, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let config = match &args.config {
        Some(file) => Config::read(&settings.cwd.join(file))?,
        None => Config::of(&settings.cwd)?,
    };
    let (name, described) = choose(&config, args.name.as_deref())?;
    let seed = args.from.as_ref().map(|file| seed(file, settings)).transpose()?;
    let mut target = args.target.open(settings)?;
    let identity = target::identify(target.as_mut(), &output)?;
    let functions = match &args.functions.functions {
        Some(url) => Some(settings.target(Some(url))?.to_string()),
        None if identity.driver == "postgrest" => Some(identity.url.clone()),
        None => settings.named_project()?,
    };
    let seed = seed.as_ref().map(|(plan, file, sha256)| (plan, FileRef { file, sha256 }));
    let planned = select::plan(
        target.as_mut(),
        &Request {
            name,
            settings: described,
            origin: FileRef { file: &config.origin, sha256: &config.digest },
            seed,
            functions: functions.as_deref(),
            out: &settings.cwd.join(&args.out),
            now: settings.clock.now(),
            tool: VERSION,
            limit: args.limit.map(NonZeroU64::get),
        },
    )?;
    let dir = match planned {
        Planned::Plan(dir) => dir,
        Planned::Nothing { examined } => {
            output.json(&serde_json::json!({ "candidates": 0, "examined": examined }))?;
            output.line(&format!("Nothing to do: of {} rows none lacks a result.", thousands(examined)));
            return Ok(Code::Done);
        }
    };
    let plan = dir.plan();
    let made = rules::entry(plan, Stage::Plan, Decision::Pass).with("candidates", plan.plan.candidates);
    super::gates::append(&settings.cwd.join(&args.gates), made, settings)?;
    output.json(plan)?;
    let folder = shown(dir.path(), settings);
    output.document(&dir.review());
    output.line(&format!("Review: {folder}/{REVIEW}\nNext:   cargo xtask backfill apply --plan {folder}"));
    Ok(Code::Done)
}

/// The backfill that was named, or the only one.
fn choose<'c>(config: &'c Config, name: Option<&'c str>) -> anyhow::Result<(&'c str, &'c Described)> {
    let known: Vec<&str> = config.backfills.keys().map(String::as_str).collect();
    let name = match (name, known.as_slice()) {
        (Some(name), _) => name,
        (None, [only]) => only,
        (None, _) => {
            let found = format!("{} in {}", known.len(), config.origin);
            return Err(Refusal::new("it is not clear which backfill is meant", "--name NAME", found).into());
        }
    };
    let described = config.backfills.get(name).ok_or_else(|| {
        let what = format!("there is no backfill `{name}` in {}", config.origin);
        let known = if known.is_empty() { "a section [backfills.NAME]".to_owned() } else { known.join(", ") };
        Refusal::new(what, known, format!("`{name}`"))
    })?;
    Ok((name, described))
}

fn seed(file: &Path, settings: &Settings) -> anyhow::Result<(SeedPlan, String, String)> {
    let shown = file.display().to_string();
    let bytes = std::fs::read(settings.cwd.join(file)).with_context(|| format!("cannot read `{shown}`"))?;
    let plan = seed_plan::parse(&bytes).map_err(|error| {
        Refusal::new(format!("`{shown}` cannot be a plan"), "a plan whose parts agree", error.to_string())
    })?;
    let name = file.file_name().map_or(shown, |name| name.to_string_lossy().into_owned());
    Ok((plan, name, sha256(&bytes)))
}

impl PlanArgs {
    fn open(&self, settings: &Settings) -> anyhow::Result<BackfillDir> {
        open(&self.plan, settings)
    }
}

/// Opens a plan by its folder or its id, which proves that nobody has edited it.
pub(super) fn open(plan: &Path, settings: &Settings) -> anyhow::Result<BackfillDir> {
    let usual = settings.cwd.join(DEFAULT_OUT);
    let mut by_id = std::ffi::OsString::from("backfill-");
    by_id.push(plan.as_os_str());
    let places = [settings.cwd.join(plan), usual.join(plan), usual.join(by_id)];
    let Some(found) = places.iter().find(|place| place.is_dir()) else {
        let expected = "the folder of a plan, or an id below .ops/backfills";
        let refusal = Refusal::new("there is no such plan", expected, plan.display().to_string());
        return Err(refusal.next("cargo xtask backfill plan makes one").into());
    };
    Ok(BackfillDir::open(found)?)
}

impl GateArgs {
    fn path(&self, settings: &Settings) -> PathBuf {
        settings.cwd.join(&self.gates)
    }

    fn append(&self, entry: Entry, settings: &Settings) -> Result<(), GateError> {
        super::gates::append(&self.path(settings), entry, settings)
    }

    /// Takes the approval that was typed into the chain; without one, the chain must have it already.
    fn pass(&self, plan: &Plan, stage: Stage, settings: &Settings) -> Result<(), GateError> {
        match &self.approve {
            Some(id) => self.append(rules::approve(plan, id, self.lineage.as_deref())?, settings)?,
            None => drop(rules::require_approval(&Gates::load(&self.path(settings))?, plan)?),
        }
        self.append(rules::entry(plan, stage, Decision::Begun), settings)
    }
}

/// For plans that call nothing.
#[derive(Debug)]
struct NoFunctions;

impl Functions for NoFunctions {
    fn call(&self, _: &str, _: &str, _: Duration) -> Reply {
        Reply::lost(Lost::NotSent)
    }
}

/// Where the functions of a plan are called; another place than the plan's is refused.
fn functions(plan: &Plan, flag: Option<&str>, settings: &Settings) -> anyhow::Result<Box<dyn Functions>> {
    let Some(planned) = plan.plan.functions.as_deref() else { return Ok(Box::new(NoFunctions)) };
    let url = settings.target(Some(flag.unwrap_or(planned)))?;
    let DbUrl::PostgRest(url) = &url else {
        return Err(Refusal::new("edge functions have a web address", planned, url.to_string()).into());
    };
    if url.to_string() != planned {
        let what = "the plan is for the functions of another project";
        return Err(Refusal::new(what, planned, url.to_string()).next("make the plan again").into());
    }
    let key = settings.api_key(url)?;
    Ok(Box::new(EdgeFunctions::new(url, &key, &PostgrestOptions::default())?))
}

impl ApplyArgs {
    fn run_settings(&self, settings: &Settings) -> RunSettings {
        let query = self.throttle_query.clone().zip(self.throttle_max);
        RunSettings {
            per_minute: self.per_minute.map(NonZeroU32::get),
            calls_per_minute: self.max_calls_per_minute.map(NonZeroU32::get),
            concurrency: self.concurrency.get(),
            timeout: self.timeout,
            errors_max: self.max_errors.map(NonZeroU64::get),
            canary: self.canary.map(NonZeroU64::get),
            limits: Limits {
                rows_per_second: None,
                pause_file: self.pause_file.as_ref().map(|file| settings.cwd.join(file)),
                query: query.map(|(sql, most)| QueryLimit { sql, most }),
            },
            pause: self.retry_pause,
        }
    }
}

fn apply(args: &ApplyArgs, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let dir = args.plan.open(settings)?;
    let plan = dir.plan();
    let mut target = args.target.open_planned(&plan.plan.target, settings)?;
    target::identify(target.as_mut(), &output)?;
    let functions: Box<dyn Functions> = if args.apply {
        functions(plan, args.functions.functions.as_deref(), settings)?
    } else {
        Box::new(NoFunctions)
    };
    let (mut pace, mut ids) = (RealPace::new(settings.clock), settings.ids());
    let mut bar = output.progress(plan.plan.candidates, "candidates");
    let mut context = Context {
        target: target.as_mut(),
        functions: functions.as_ref(),
        pace: &mut pace,
        ids: &mut ids,
        stop: stop_flag()?,
        progress: &mut |progress| show(&mut bar, progress),
    };
    if !args.apply {
        let preview = preview(&dir, &mut context)?;
        output.json(&preview)?;
        output.document(&preview.document());
        let next = format!("cargo xtask backfill apply --plan {} --apply", shown(dir.path(), settings));
        output.line(&format!("Nothing was sent but reads. To apply: {next} {}", rules::option(plan)));
        return Ok(Code::Done);
    }
    let mut gate = |dir: &BackfillDir, _: &TargetIdentity| args.gate.pass(dir.plan(), Stage::Apply, settings);
    let mut order = Order { resume: args.resume, is_approved: args.gate.approve.is_some(), gate: &mut gate };
    let result = engine::apply(&dir, &args.run_settings(settings), &mut order, &mut context);
    drop(bar);
    let report = result?;
    let is_canary = args.canary.is_some() && report.not_reached > 0 && report.end == End::Partly;
    if !report.was_done {
        let stage = if is_canary { Stage::Canary } else { Stage::Apply };
        // The digests let an audit tell these artifacts from others of the same name.
        let results = watched::digest(&dir.path().join(engine::LOGS).join(RESULTS))?;
        args.gate.append(rules::outcome(plan, stage, &report).with("results_sha256", results), settings)?;
    }
    output.json(&report)?;
    output.document(&report.document());
    let approval = if is_canary { format!(" {}", rules::option(plan)) } else { String::new() };
    output.line(&halt(&report, &shown(dir.path(), settings), &approval));
    Ok(run::code(report.end))
}

/// What to do now: nothing goes on by itself.
fn halt(report: &Report, folder: &str, approval: &str) -> String {
    let review = format!("Halted for review: {folder}/{}", ops::backfill::artifacts::SUMMARY);
    match report.end {
        End::Done if report.was_done => "Already applied: nothing was done.".to_owned(),
        End::Failed => format!("{review}\nThe way back: cargo xtask backfill rollback --plan {folder}"),
        End::Done => format!("{review}\nWhen it is as it should be: cargo xtask pipeline status"),
        _ => format!(
            "{review}\nTo go on: cargo xtask backfill apply --plan {folder} --apply --resume{approval}"
        ),
    }
}

fn take_back(args: &BackArgs, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let dir = args.plan.open(settings)?;
    let plan = dir.plan();
    let mut target = args.target.open_planned(&plan.plan.target, settings)?;
    target::identify(target.as_mut(), &output)?;
    let (mut pace, mut ids) = (RealPace::new(settings.clock), settings.ids());
    let mut bar = output.progress(plan.plan.candidates, "rows");
    let mut context = Context {
        target: target.as_mut(),
        functions: &NoFunctions,
        pace: &mut pace,
        ids: &mut ids,
        stop: stop_flag()?,
        progress: &mut |progress| show(&mut bar, progress),
    };
    let mut gate =
        |dir: &BackfillDir, _: &TargetIdentity| args.gate.pass(dir.plan(), Stage::Rollback, settings);
    let result = rollback(&dir, args.timeout, args.apply.then_some(&mut gate), &mut context);
    drop(bar);
    let report = result?;
    if report.is_applied {
        let is_pass = matches!(report.end, End::Done | End::Partly);
        let decision = if is_pass { Decision::Pass } else { Decision::Fail };
        let entry = rules::entry(plan, Stage::Rollback, decision).with("run", report.run.as_str());
        args.gate.append(entry.with("kept", report.kept_rows).with("verified", report.verified), settings)?;
    }
    output.json(&report)?;
    output.document(&report.document());
    if !report.is_applied {
        let next = format!("cargo xtask backfill rollback --plan {} --apply", shown(dir.path(), settings));
        output.line(&format!("Nothing was written. To take it back: {next} {}", rules::option(plan)));
        return Ok(Code::Done);
    }
    Ok(run::code(report.end))
}

fn status(args: &StatusArgs, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let dir = args.plan.open(settings)?;
    let mut target: Box<dyn Target> = args.target.open_planned(&dir.plan().plan.target, settings)?;
    target::identify(target.as_mut(), &output)?;
    if let Some(report) = Report::of(&dir, target.as_mut(), settings.clock.now())? {
        output.json(&report)?;
        output.document(&report.document());
    } else {
        output.json(&serde_json::json!({ "plan": dir.plan().id, "state": "not begun" }))?;
        output.line("Not begun.");
    }
    Ok(Code::Done)
}

/// Shows how far a run is, how fast, and why it waits.
fn show(bar: &mut Progress, progress: &engine::Progress) {
    let rate = progress.per_minute.map_or(String::new(), |rate| format!("{rate:.1}/min  "));
    let eta = progress.eta.map_or(String::new(), |eta| format!("ETA {} s  ", eta.as_secs()));
    let failed = if progress.failed > 0 { format!("{} failed  ", progress.failed) } else { String::new() };
    bar.at(progress.done, progress.total, &format!("{rate}{eta}{failed}{}", progress.state));
}
