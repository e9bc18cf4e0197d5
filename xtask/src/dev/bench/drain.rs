//! Area `drain`: what a drain costs beyond its attempts, and what a queue of a million phases costs to select and sample.
//!
//! The attempts of the first do nothing and happen in this process; the second is our program, whose attempts run `true`.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use ops::clock::Clock;
use ops::db::sqlite::{MigrateOptions, SqliteStore, WriteAhead, create, migrate};
use ops::phases::{NewPhase, NewRun, Scope, Selection, Store};
use ops::stats;
use ops::telemetry::Flag;
use ops::tokens::estimator::Coefficients;
use ops::work::drain::{
    Attempted, Execution, Executor, History, Journal, Limits, Order, Policy, Report, Settings, Status,
    Surroundings, TriagePolicy, Worker, drain,
};

use super::race::{self, Contender};
use super::{Bench, Comparison, Measured};
use crate::output;

/// Phases of the pace, in runs of [`PHASES_PER_RUN`].
const PHASES: u64 = 20_000;
/// Phases a second that one worker must reach.
const PACE_MIN: f64 = 2000.0;
/// Phases of the long queue.
const QUEUE: u64 = 1_000_000;
const PHASES_PER_RUN: u64 = 200;
/// How many phases of the long queue are attempted.
const SAMPLED: &str = "50";
/// Selecting and sampling the long queue may take so many megabytes.
const MEGABYTES_MAX: f64 = 256.0;
/// And so many seconds.
const SECONDS_MAX: f64 = 30.0;

/// Delivers at once what every phase asks for: nothing.
struct Idle;

impl Executor for Idle {
    fn source(&self) -> &'static str {
        "command"
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    fn execute(&mut self, _: Order<'_>, _: &AtomicBool) -> Attempted {
        let report = Report {
            status: Status::Success,
            output_tokens: Some(100),
            input_tokens: None,
            earlier_tokens: None,
            max_tokens: None,
            stop_reason: None,
            model: None,
            truncated: None,
            error: None,
        };
        Execution::Reported { report, missing: Vec::new() }.into()
    }
}

pub(super) fn run(bench: &Bench) -> anyhow::Result<Measured> {
    let folder = bench.folder.join("drain");
    bench.cargo.sh.remove_path(&folder)?;
    ops::files::create_dir(&folder)?;
    let (phases, queue) = if bench.quick { (PHASES / 10, QUEUE / 10) } else { (PHASES, QUEUE) };
    let mut paces = Vec::new();
    for pair in 0..bench.pairs {
        let scene = folder.join(format!("pace-{pair}"));
        ops::files::create_dir(&scene)?;
        let pace = phases as f64 / paced(&backlog(&scene, phases)?, &scene, phases)?.as_secs_f64();
        output::stderr(&format!("{pace:.0} phases a second\n"));
        paces.push(pace);
        bench.cargo.sh.remove_path(&scene)?;
    }
    let pace = stats::median(&mut paces).unwrap_or_default();
    let name = "no-op phases a second on one worker, against the target".to_owned();
    let mut results = vec![Comparison::more(name, pace, PACE_MIN, "1/s", Some(1.0))];
    results.extend(sampled(bench, &folder, queue)?);
    Ok(Measured { format: 1, area: "drain", size: queue, pairs: bench.pairs, results, missing: Vec::new() })
}

/// A migrated database of waiting phases.
fn backlog(folder: &Path, phases: u64) -> anyhow::Result<PathBuf> {
    let path = folder.join("backlog.db");
    create(&path)?;
    let options = MigrateOptions {
        backup_dir: folder.to_path_buf(),
        clock: Clock::System,
        busy_timeout: Duration::ZERO,
        tool_version: env!("CARGO_PKG_VERSION"),
    };
    migrate(&path, &options, &mut |_| {})?;
    let log = WriteAhead::begin(&path);
    let mut store = SqliteStore::open(&path)?;
    let phase = |n: u64| NewPhase {
        phase_id: format!("phase-{n:07}"),
        name: format!("Phase {n}"),
        description: "Nothing is to be done".to_owned(),
        category: "docs".to_owned(),
        complexity: "low".to_owned(),
        scope: Scope::default(),
        samples_target: 1,
    };
    for run in 0..phases / PHASES_PER_RUN {
        let of_run = run * PHASES_PER_RUN..(run + 1) * PHASES_PER_RUN;
        let run = NewRun {
            run_id: format!("run-{run:05}"),
            goal: "bench".to_owned(),
            token_cap: u64::from(u32::MAX),
            phases_max: PHASES_PER_RUN,
            duration_minutes_max: 1,
            tier_name: "tier".to_owned(),
            phases: of_run.map(phase).collect(),
        };
        store.insert_run(&run, Clock::System.now())?;
    }
    drop(store);
    log.end();
    Ok(path)
}

/// How long a drain of all phases takes.
fn paced(path: &Path, folder: &Path, phases: u64) -> anyhow::Result<Duration> {
    let policy = Policy {
        settings: Settings {
            selection: Selection::default(),
            limits: Limits::default(),
            triage: TriagePolicy::default(),
        },
        lease: Duration::from_mins(1),
        telemetry: Flag::On,
        telemetry_debug: false,
        session_id: "bench".to_owned(),
        owner: "bench".to_owned(),
        database: "bench".to_owned(),
        stop_file: None,
        coefficients: Coefficients::default(),
    };
    let began = Instant::now();
    let log = WriteAhead::begin(path);
    let mut control = SqliteStore::open(path)?;
    let workers = vec![Worker { store: Box::new(SqliteStore::open(path)?), executor: Box::new(Idle) }];
    let journal = Journal::create(&folder.join("session"))?;
    let surroundings =
        Surroundings { clock: Clock::System, stop: &AtomicBool::new(false), progress: &mut |_, _, _| {} };
    let report = drain(&mut control, workers, &policy, Some(journal), &History::default(), surroundings)?;
    drop(control);
    log.end();
    let took = began.elapsed();
    anyhow::ensure!(report.balances() && report.phases_completed == phases, "{}", report.phases_completed);
    Ok(took)
}

/// Time and memory of our program that samples a long queue.
fn sampled(bench: &Bench, folder: &Path, queue: u64) -> anyhow::Result<Vec<Comparison>> {
    output::stderr(&format!("making {queue} phases\n"));
    let path = backlog(folder, queue)?.display().to_string();
    let program = bench.program.display().to_string();
    let out = folder.join("out").display().to_string();
    let line = [
        &*program,
        "drain",
        "--db",
        &path,
        "--out",
        &out,
        "--attempts-max",
        SAMPLED,
        "--executor",
        "command",
        "--",
        "true",
    ];
    let mut contender = Contender::new("sampling", &line);
    // A limit ends it: there is more to do.
    contender.status = 5;
    let (mut seconds, mut megabytes) = (Vec::new(), Vec::new());
    for _ in 0..bench.pairs {
        let sample = race::sample(&bench.cargo.sh, folder, &contender)?;
        seconds.push(sample.seconds);
        megabytes.push(sample.peak_bytes / 1e6);
    }
    let median = |values: &mut Vec<f64>| stats::median(values).unwrap_or_default();
    let name =
        |what: &str| format!("{queue} phases selected and {SAMPLED} sampled, {what} against the limit");
    Ok(vec![
        Comparison::less(name("time"), median(&mut seconds), SECONDS_MAX, "s", Some(1.0)),
        Comparison::less(name("peak memory"), median(&mut megabytes), MEGABYTES_MAX, "MB", Some(1.0)),
    ])
}
