//! `seed-telemetry`: a fresh telemetry database, from nothing to an analysis, in one command.

use std::path::{Path, PathBuf};

use anyhow::Context;
use ops::clock::Clock;
use ops::db::sqlite::{self, SqliteStore};
use ops::files;
use ops::guard::Refusal;
use ops::identity::{self, Expectation, Identity};
use ops::phases::{NewRun, Selection, Store};
use ops::report::Document;
use ops::telemetry::Flag;
use ops::tokens::analysis::{Analysis, Options};
use ops::url::{DbUrl, SqliteUrl};
use ops::work::drain::{DrainReport, History, Worker};
use ops::work::seed::{self, Deficit, SEED_RUN_ID, SeedReport};

use super::database::{DatabaseArgs, only_sqlite, open_store, shown};
use super::executor::{ExecutorArgs, Kind, require_purpose};
use super::{db_identity, drain, fresh};
use crate::exit::Code;
use crate::output::{self, Output};
use crate::settings::Settings;

/// Make a telemetry database: create, migrate, stamp, seed, drain and analyse it
///
/// Without --db a new database is made under .ops/. The seeded run has ten small phases; each is attempted
/// until it has enough verified samples, by replaying recorded outcomes (offline) or by your own program.
/// The report, with the success criteria as a checklist, is written beside the database. Exits 6 when a
/// criterion is not met.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The database: a path or sqlite:///path [default: a new file under .ops/]
    #[arg(long, value_name = "URL")]
    db: Option<String>,
    /// Refuse (exit 3) to top up a database unless it has this lineage id
    #[arg(long, value_name = "LINEAGE", requires = "top_up", value_parser = Expectation::parse)]
    expect: Option<Expectation>,
    /// Move an existing file aside and start anew; nothing is ever deleted
    #[arg(long, conflicts_with = "top_up")]
    fresh: bool,
    /// Seed an existing seed database with just the phases whose strata still lack samples
    #[arg(long)]
    top_up: bool,
    /// How many samples a stratum should have, for --top-up
    #[arg(long, value_name = "N", default_value_t = 5, requires = "top_up", value_parser = clap::value_parser!(u64).range(1..=1000))]
    samples_per_stratum: u64,
    /// Collect what a calibration lacks: the needs.json that `analyze calibrate` wrote
    #[arg(long, value_name = "FILE", requires = "top_up", conflicts_with = "samples_per_stratum")]
    needs: Option<PathBuf>,
    /// How many verified samples to collect from each phase
    #[arg(long, value_name = "N", default_value_t = 2, conflicts_with = "top_up", value_parser = clap::value_parser!(u64).range(1..=1000))]
    samples_per_phase: u64,
    /// Id of the seeded run
    #[arg(long, value_name = "ID", default_value = SEED_RUN_ID)]
    run_id: String,
    /// Stop after seeding: nothing is drained or analysed
    #[arg(long)]
    seed_only: bool,
    /// What attempts the phases
    #[arg(long, value_enum, default_value = "recorded")]
    executor: Kind,
    /// Go on after a phase has failed for good
    #[arg(long)]
    keep_going: bool,
    /// Where databases and reports go
    #[arg(long, value_name = "DIR", default_value = ".ops")]
    out: PathBuf,
    /// Print one JSON document instead of the report
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    how: ExecutorArgs,
}

/// What the seeding steps leave for the rest.
struct Seeded {
    url: SqliteUrl,
    /// Where reports and attempts go.
    place: PathBuf,
    mode: &'static str,
    run_id: Option<String>,
    deficits: Vec<Deficit>,
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let flag = telemetry(settings);
    // Whatever is wrong with the executor is said before a database exists.
    let place = place(args, settings);
    let executors = args.how.executors(args.executor, &place.join("attempts"), settings, None, 1)?;
    let seeded = if args.top_up {
        top_up(args, settings, &output)?
    } else {
        from_nothing(args, place, settings, &output)?
    };
    let mut identity = identify(&seeded.url, settings)?;
    require_purpose(args.executor, identity.lineage.as_ref())?;
    let mut store = open_store(&seeded.url, &identity)?;
    let distribution = store.distribution(seeded.run_id.as_deref())?;
    output.document(&seed::distribution_document(&distribution));
    output.line("");
    output.document(&identity.document());
    output.line("");
    let mut report = SeedReport {
        format: 1,
        generated_at: settings.clock.now(),
        mode: seeded.mode,
        run_id: seeded.run_id.clone(),
        deficits: seeded.deficits,
        distribution,
        drain: None,
        identity: identity.clone(),
        analysis: None,
        criteria: Vec::new(),
        met: true,
    };
    if !args.seed_only {
        let selection = Selection { run_ids: seeded.run_id.into_iter().collect(), ..Selection::default() };
        let mut policy = drain::policy(settings, selection, &args.how)?;
        policy.telemetry = flag;
        policy.settings.limits.stop_on_failure = !args.keep_going;
        let worker = |executor| Ok(Worker { store: Box::new(open_store(&seeded.url, &identity)?), executor });
        let workers = executors.into_iter().map(worker).collect::<anyhow::Result<_>>()?;
        let none = History::default();
        let drained = drain::work(&mut store, workers, &policy, None, &none, settings, &output)?;
        output.document(&drained.document());
        output.line("");
        identity = identify(&seeded.url, settings)?;
        output.document(&identity.document());
        output.line("");
        measure(&mut report, &mut store, &seeded.url, identity, drained, settings)?;
        if let Some(analysis) = &report.analysis {
            output.document(&analysis.document(&report.identity.url));
            output.line("");
        }
        output.document(&report.verdict());
    }
    drop(store);
    write_report(&report, &seeded.place, settings, &output)?;
    output.json(&report)?;
    Ok(code(&report))
}

/// Collecting telemetry is what this task is for: the flag is on unless it was switched off.
fn telemetry(settings: &Settings) -> Flag {
    match Flag::parse(settings.telemetry_flag.as_deref()) {
        Flag::NotSet => Flag::On,
        set => set,
    }
}

/// A directory of this seeding's own.
fn place(args: &Args, settings: &Settings) -> PathBuf {
    let name = format!("{}-{}", settings.clock.now().compact(), settings.ids().hex("place", 3));
    settings.cwd.join(&args.out).join("seed-telemetry").join(name)
}

fn identify(url: &SqliteUrl, settings: &Settings) -> anyhow::Result<Identity> {
    db_identity::read(&DbUrl::Sqlite(url.clone()), settings)
}

/// Creates the database with the seed run in it; at its final path it appears only when it is complete.
fn from_nothing(args: &Args, place: PathBuf, settings: &Settings, output: &Output) -> anyhow::Result<Seeded> {
    let named = settings.named_database(args.db.as_deref())?.map(only_sqlite).transpose()?;
    let url = named.unwrap_or_else(|| SqliteUrl::from_path(place.join("telemetry.db")));
    let run = seed::seed_run(&args.run_id, args.samples_per_phase);
    let made = fresh::make(url.path(), &run, args.fresh, settings)?;
    let mut document = Document::new();
    document.heading(1, "Seeding telemetry");
    let mut facts = vec![("create", format!("{} (new file)", shown(url.path(), settings)))];
    if let Some(aside) = &made.moved_aside {
        facts.push(("moved", format!("the earlier file is now {}", shown(aside, settings))));
    }
    facts.push(("migrate", format!("{} applied", ops::text::plural(made.migrations, "migration"))));
    facts.push(("stamp", format!("purpose `seed`, lineage {}", made.lineage.id)));
    facts.push((
        "seed",
        format!("run {}, {}", run.run_id, ops::text::plural(run.phases.len() as u64, "phase")),
    ));
    document.facts(facts);
    output.document(&document);
    output.line("");
    Ok(Seeded { url, place, mode: "fresh", run_id: Some(run.run_id), deficits: Vec::new() })
}

/// Seeds the phases whose strata lack samples into an existing seed database.
fn top_up(args: &Args, settings: &Settings, output: &Output) -> anyhow::Result<Seeded> {
    let database = DatabaseArgs { db: args.db.clone(), expect: args.expect.clone() };
    let url = database.sqlite(settings)?;
    let identity = database.identify(&url, settings, output)?;
    identity::expect(&identity, &Expectation::Purpose("seed".to_owned()))?;
    let mut store = open_store(&url, &identity)?;
    if store.waiting(&Selection::default())? > 0 {
        let refusal = Refusal::new(
            "what is lacking is not known while phases wait",
            "no QUEUED phase",
            format!("{} in {}", store.waiting(&Selection::default())?, identity.url),
        );
        let drain = format!("cargo xtask drain --db '{}' --executor recorded", url.path().display());
        return Err(refusal.next(drain).into());
    }
    let deficits = match &args.needs {
        None => seed::deficits(&store.sample_counts()?, args.samples_per_stratum),
        Some(file) => needed(&settings.cwd.join(file), output)?,
    };
    let plan = if args.needs.is_some() { seed::needed_run } else { seed::top_up_run };
    let run = plan(&args.run_id, &store.run_ids()?, &deficits);
    let run_id = run.as_ref().map(|run| run.run_id.clone());
    if let Some(run) = &run {
        insert(&mut store, run, settings.clock)?;
    }
    let place = place(args, settings);
    Ok(Seeded { url, place, mode: "top_up", run_id, deficits })
}

/// The strata of a list of needs that the catalogue has phases for; those that it has none for are said.
fn needed(file: &Path, output: &Output) -> anyhow::Result<Vec<Deficit>> {
    let needs: seed::Needs = serde_json::from_str(&files::read_text(file)?)
        .with_context(|| format!("`{}` is not a list of needs", file.display()))?;
    let (known, unknown) = needs.by_catalogue();
    for lack in &unknown {
        let (category, complexity) = (ops::text::one_line(&lack.category), lack.complexity.as_str());
        output.line(&format!(
            "The catalogue has no phase of {category}, {complexity}; {} lacking stay so.",
            lack.need
        ));
    }
    Ok(known)
}

/// Inserts a run that must not exist yet.
pub(super) fn insert(store: &mut SqliteStore, run: &NewRun, clock: Clock) -> anyhow::Result<()> {
    if store.insert_run(run, clock.now())? {
        return Ok(());
    }
    let refusal = Refusal::new("the run exists already", "a new run id", format!("`{}`", run.run_id));
    Err(refusal.next("--run-id ID names another").into())
}

/// Measures the criteria in the database.
fn measure(
    report: &mut SeedReport,
    store: &mut SqliteStore,
    url: &SqliteUrl,
    identity: Identity,
    drained: DrainReport,
    settings: &Settings,
) -> anyhow::Result<()> {
    let options = Options { success_only: false };
    let summary = sqlite::analyse_events(url.path(), &settings.scratch, || Analysis::new(options))?.finish();
    report.criteria = seed::criteria(
        identity.runs.unwrap_or(0),
        &store.distribution(None)?,
        &store.sample_counts()?,
        summary.attempts.attempts,
        summary.attempts.truncated,
    );
    report.met = report.criteria.iter().all(|check| check.met);
    report.analysis = Some(summary);
    report.drain = Some(drained);
    report.identity = identity;
    Ok(())
}

fn write_report(
    report: &SeedReport,
    place: &Path,
    settings: &Settings,
    output: &Output,
) -> anyhow::Result<()> {
    let write = |name: &str, text: &str| files::write_atomic(&place.join(name), text.as_bytes());
    write("report.md", &report.document().markdown())
        .context("the database is complete, its report is not")?;
    write("report.json", &output::pretty(report)?)?;
    output.line("");
    output.line(&format!("Report    {}", shown(&place.join("report.md"), settings)));
    if let Some(file) = &report.identity.file {
        let database = shown(&file.path, settings);
        output.line(&format!("Database  {database}"));
        output.line(&format!("Next      cargo xtask analyze tokens --db {database}"));
    }
    Ok(())
}

fn code(report: &SeedReport) -> Code {
    match report.drain.as_ref().map(drain::code) {
        Some(Code::Done) | None if report.met => Code::Done,
        Some(Code::Done) | None => Code::GateNotMet,
        Some(code) => code,
    }
}
