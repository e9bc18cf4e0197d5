//! `soak run`: opens the target at every look, keeps the evidence, writes the reports anew after each, and puts the
//! verdict into the chain of gates.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ops::change::gate::{self, Gates, Stage, Subject};
use ops::clock::Clock;
use ops::config::Config;
use ops::files::write_atomic;
use ops::guard::Refusal;
use ops::identity::Source;
use ops::pace::{Pace, RealPace, VirtualPace};
use ops::probe::{Patience, Probe};
use ops::soak::settings::{Settings as SoakSettings, Span};
use ops::soak::{self, Asking, Ended, Evidence, Log, PlanFacts, Public, Verdict};
use ops::target::postgrest::{Caller, PostgrestOptions};
use ops::url::DbUrl;

use super::database::shown;
use super::watched::{self, Planned};
use crate::exit::Code;
use crate::output::{Output, pretty};
use crate::settings::Settings;
use crate::signal::stop_flag;

/// Watch a database for the whole window, and judge after every look
///
/// Reads only: one snapshot that cannot write, or GET requests whose rows are counted. The evidence is on the disk before the
/// next look; a watch that was stopped or killed goes on with the same command and does not begin again. A NO-GO ends
/// it at once. With --plan it needs an application of that plan that passed, leaves out what the run touched, and
/// puts its verdict into the gates. Exit 0 on GO, 6 on everything else, 130 when it was stopped before the window was over.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Which section `[soaks.NAME]` of ops.toml
    #[arg(long, value_name = "NAME")]
    soak: String,
    /// The database: a path, sqlite:///path, postgres://… or the https URL of an API. Without it DATABASE_URL_FILE,
    /// DATABASE_URL or SUPABASE_URL. Keys come from SUPABASE_SERVICE_ROLE_KEY; tokens are tried with SUPABASE_ANON_KEY
    #[arg(long, value_name = "URL")]
    db: Option<String>,
    /// How long to watch, in place of the window of the section
    #[arg(long, value_name = "HOURS", value_parser = hours)]
    hours: Option<Span>,
    /// From look to look, in place of that of the section: 90s, 5m
    #[arg(long, value_name = "SPAN")]
    every: Option<Span>,
    /// The plan whose run is watched: its folder, or its id when it is below .ops/backfills
    #[arg(long, value_name = "PLAN")]
    plan: Option<PathBuf>,
    /// The chain of gates, with --plan
    #[arg(long, value_name = "FILE", default_value = gate::DEFAULT_PATH)]
    gates: PathBuf,
    /// The run whose rows the statements leave out, as `{run}`
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    /// The settings; without it, ops.toml here, or the shipped ones
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the evidence and the reports go; without it, .ops/soaks/NAME, or .ops/soaks/NAME-PLAN
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write the state after each look to this file, for the textfile collector of Prometheus
    #[arg(long, value_name = "FILE")]
    prometheus: Option<PathBuf>,
    /// Print the judgement as one JSON document
    #[arg(long)]
    json: bool,
}

/// A year of hours.
const HOURS_MAX: f64 = 8784.0;

fn hours(text: &str) -> Result<Span, String> {
    let hours = text.parse().ok().filter(|hours: &f64| *hours > 0.0 && *hours <= HOURS_MAX);
    let seconds = hours.map(|hours| Duration::from_secs_f64((hours * 3600.0).round().max(1.0)).as_secs());
    seconds.map(Span).ok_or_else(|| "expected hours, a number above 0".to_owned())
}

pub(crate) fn run(args: &RunArgs, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let described = described(args, settings)?;
    let planned = args.plan.as_ref().map(|dir| watched::plan(dir, settings)).transpose()?;
    let url = settings.watched(args.db.as_deref())?;
    let mut probe = watched::open(&url, "cargo xtask soak", settings)?;
    let identity = probe.identity().clone();
    output.line(&format!("watching {identity}"));
    let public = public(&described, &url, settings)?;
    let files = Files::of(args, planned.as_ref(), settings);
    let subject = planned.as_ref().map(|planned| subject(planned, &identity));
    let let_through = match &subject {
        Some(subject) => Some(Gates::load(&files.gates)?.require_before(Stage::Soak, subject)?.at.clone()),
        None => None,
    };
    let mut terms =
        described.terms(&args.soak, identity.to_string(), args.run.clone(), settings.clock.now().iso());
    terms.plan = planned.as_ref().map(|planned| PlanFacts::new(&planned.id, &planned.candidates));
    let (mut evidence, mut log) = Evidence::open(&files.out.join("evidence.ndjson"), terms)?;
    if let Some(at) = let_through.filter(|at| log.soak.started < *at) {
        return Err(too_early(&log, &at, &files).into());
    }
    let none = BTreeSet::new();
    let asking = Asking {
        metrics: &described.metrics,
        left_out: planned.as_ref().map_or(&none, |planned| &planned.candidates),
        public: public.as_ref().map(|public| public as &dyn Public),
    };
    let ended = watch(&mut evidence, &mut log, &asking, &mut probe, &files, (settings, &output))?;
    let judgement = soak::judge(&log);
    files.write(&log, &judgement)?;
    if let Some(subject) = subject.filter(|_| ended != Ended::Stopped) {
        watched::record_soak(&files.gates, &subject, &files.out, (&log, judgement.verdict), settings)?;
    }
    output.json(&judgement)?;
    output.document(&judgement.document(&log));
    output.line(&format!("evidence and reports: {}", shown(&files.out, settings)));
    Ok(match (ended, judgement.verdict) {
        (Ended::Stopped, _) => Code::Interrupted,
        (_, Verdict::Go) => Code::Done,
        (_, Verdict::NoGo | Verdict::Insufficient | Verdict::Invalid) => Code::GateNotMet,
    })
}

/// Looks until the window is over, a NO-GO or a stop.
fn watch(
    evidence: &mut Evidence,
    log: &mut Log,
    asking: &Asking<'_>,
    probe: &mut Probe,
    files: &Files,
    (settings, output): (&Settings, &Output),
) -> anyhow::Result<Ended> {
    if soak::judge(log).verdict == Verdict::NoGo {
        return Ok(Ended::Enough);
    }
    // Where the time is given, it passes by waiting alone: otherwise no look would ever be due.
    let mut pace: Box<dyn Pace> = match settings.clock {
        Clock::System => Box::new(RealPace::new(settings.clock)),
        Clock::Fixed(start) => Box::new(VirtualPace::new(start)),
    };
    let process = settings.ids().hex("soak-process", 4);
    let expected = log.soak.looks_expected(Duration::from_secs(log.soak.window_s));
    let mut progress = output.progress(expected, "looks");
    let keep = |log: &Log, line: &str| -> anyhow::Result<bool> {
        evidence.append(line)?;
        let judgement = soak::judge(log);
        files.write(log, &judgement)?;
        progress.at(log.looks.len() as u64, expected, &judgement.verdict.to_string());
        Ok(judgement.verdict != Verdict::NoGo)
    };
    soak::watch(log, asking, probe, pace.as_mut(), &process, stop_flag()?, keep)
}

/// The settings of the soak that was named.
fn described(args: &RunArgs, settings: &Settings) -> anyhow::Result<SoakSettings> {
    let config = match &args.config {
        Some(file) => Config::read(&settings.cwd.join(file))?,
        None => Config::of(&settings.cwd)?,
    };
    let described = config.soaks.get(&args.soak).cloned().ok_or_else(|| {
        let known: Vec<&str> = config.soaks.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "a section [soaks.NAME]".to_owned() } else { known.join(", ") };
        let what = format!("there is no soak `{}` in {}", args.soak, config.origin);
        Refusal::new(what, known, format!("`{}`", args.soak))
    })?;
    let window = args.hours.unwrap_or(described.window);
    let every = args.every.unwrap_or(described.every);
    let described = SoakSettings { window, every, ..described };
    described
        .check()
        .map_err(|what| Refusal::new("there can be no such soak", "looks within the window", what))?;
    Ok(described)
}

/// Somebody of the public, where tokens are tried; refuses metrics that this kind of database cannot answer.
fn public(described: &SoakSettings, url: &DbUrl, settings: &Settings) -> anyhow::Result<Option<Caller>> {
    if let (DbUrl::PostgRest(url), Some(metric)) = (url, described.needs_sql()) {
        let what = format!("metric `{metric}` is a statement, which a REST API does not take");
        return Err(Refusal::new(
            what,
            "`units` instead of `sql`, or a SQLite file or PostgreSQL",
            url.to_string(),
        )
        .next("name the database behind it with a postgres: URL")
        .into());
    }
    if !described.has_tokens() {
        return Ok(None);
    }
    let (url, key) = settings.public(url)?;
    let patience = Patience::new("", PathBuf::new());
    let options = PostgrestOptions {
        connect_timeout: patience.connect,
        request_timeout: patience.connect,
        deadline: patience.connect,
        ..PostgrestOptions::default()
    };
    Ok(Some(Caller::new(&url, &key, &options)?))
}

fn subject<'a>(planned: &'a Planned, identity: &'a Source) -> Subject<'a> {
    let lineage = identity.lineage.as_ref().map(|lineage| lineage.id.as_str());
    Subject { plan: &planned.id, target: &identity.fingerprint, lineage }
}

fn too_early(log: &Log, applied: &str, files: &Files) -> Refusal {
    let what = "the soak began before the plan was applied: it says nothing of what came then";
    Refusal::new(what, format!("a start at {applied} or later"), log.soak.started.clone())
        .next(format!("begin anew with another --out than {}", files.out.display()))
}

/// Where everything goes.
struct Files {
    out: PathBuf,
    gates: PathBuf,
    prometheus: Option<PathBuf>,
}

impl Files {
    fn of(args: &RunArgs, planned: Option<&Planned>, settings: &Settings) -> Self {
        let short = planned.map(|planned| format!("-{}", planned.short)).unwrap_or_default();
        let out =
            args.out.clone().unwrap_or_else(|| Path::new(".ops/soaks").join(format!("{}{short}", args.soak)));
        Self {
            out: settings.cwd.join(out),
            gates: settings.cwd.join(&args.gates),
            prometheus: args.prometheus.as_ref().map(|file| settings.cwd.join(file)),
        }
    }

    /// The reports for people and for programs, each whole or not at all.
    fn write(&self, log: &Log, judgement: &soak::Judgement) -> anyhow::Result<()> {
        let document = judgement.document(log);
        let file = |ending: &str| self.out.join(format!("{}_observability.{ending}", log.soak.name));
        write_atomic(&file("md"), document.markdown().as_bytes())?;
        write_atomic(&file("html"), document.html().as_bytes())?;
        write_atomic(&file("json"), pretty(judgement)?.as_bytes())?;
        if let Some(path) = &self.prometheus {
            write_atomic(path, soak::state(log, judgement)?.as_bytes())?;
        }
        Ok(())
    }
}
