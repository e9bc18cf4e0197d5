//! How fast a drain goes when attempts cost nothing, and what a long queue costs. `OPS_DRAIN_LONG=1` takes the full size
//! and holds it to its targets.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use ops::clock::{Clock, Stamp};
use ops::db::sqlite::{MigrateOptions, SqliteStore, WriteAhead, create, migrate};
use ops::phases::{Candidate, PhaseState, Selection, Store};
use ops::telemetry::Flag;
use ops::work::drain::{
    Attempted, DrainReport, Execution, Executor, History, Journal, Limits, Order, Policy, Report, Settings,
    Status, Surroundings, TriagePolicy, Worker, drain,
};
use rusqlite::Connection;

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

fn is_long() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a test asks which size it has")]
    std::env::var("OPS_DRAIN_LONG").is_ok_and(|value| value == "1")
}

/// A migrated database of `phases` QUEUED phases in `runs` runs.
fn backlog(path: &Path, runs: u64, phases: u64) {
    create(path).unwrap();
    let options = MigrateOptions {
        backup_dir: path.parent().unwrap().to_path_buf(),
        clock: Clock::Fixed(Stamp::parse("2026-01-02T03:04:05Z").unwrap()),
        busy_timeout: Duration::ZERO,
        tool_version: "0",
    };
    migrate(path, &options, &mut |_| {}).unwrap();
    let conn = Connection::open(path).unwrap();
    let now = "'2026-01-02 03:04:05.000000'";
    conn.execute_batch(&format!(
        "PRAGMA synchronous = OFF;
         BEGIN;
         WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {runs} - 1)
         INSERT INTO runs (id, state, created_at, updated_at, safety_profile, run_scope, token_cap, max_phases,
             max_duration_minutes, tokens_used, ci_runs_used, minor_issues_count, major_issues_count,
             promotion_eligible_to_main)
         SELECT printf('run-%06d', i), 'RUN_CREATED', {now}, {now}, 'normal', 'multi_tier', 1, 1, 1, 0, 0, 0, 0, 'false' FROM n;
         INSERT INTO tiers (id, tier_id, run_id, tier_index, name, state, max_major_issues_tolerated, tokens_used,
             ci_runs_used, minor_issues_count, major_issues_count, cleanliness, created_at, updated_at)
         SELECT rowid, 'T1', id, 0, 'tier', 'PENDING', 0, 0, 0, 0, 0, 'clean', {now}, {now} FROM runs;
         WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {phases} - 1)
         INSERT INTO phases (phase_id, run_id, tier_id, phase_index, name, state, task_category, complexity,
             builder_attempts, auditor_attempts, tokens_used, minor_issues_count, major_issues_count, issue_state,
             quality_blocked, created_at, updated_at)
         SELECT printf('p%07d', i), printf('run-%06d', i % {runs}), 1 + i % {runs}, i / {runs}, 'phase', 'QUEUED', 'docs', 'low',
             0, 0, 0, 0, 0, 'none', 0, {now}, {now} FROM n;
         COMMIT;"
    ))
    .unwrap();
}

fn run(path: &Path, workers: usize, attempts: u64) -> (DrainReport, Duration) {
    let policy = Policy {
        settings: Settings {
            selection: Selection::default(),
            limits: Limits { attempts: Some(attempts), ..Limits::default() },
            triage: TriagePolicy::default(),
        },
        lease: Duration::from_mins(1),
        telemetry: Flag::On,
        telemetry_debug: false,
        session_id: "s".to_owned(),
        owner: "o".to_owned(),
        database: "d".to_owned(),
        stop_file: None,
        coefficients: ops::tokens::estimator::Coefficients::default(),
    };
    let _log = WriteAhead::begin(path);
    let mut control = SqliteStore::open(path).unwrap();
    let worker = |_| Worker { store: Box::new(SqliteStore::open(path).unwrap()), executor: Box::new(Idle) };
    let journal = Journal::create(&path.parent().unwrap().join("session")).unwrap();
    let mut progress = |_: u64, _: u64, _: &str| {};
    let surroundings =
        Surroundings { clock: Clock::System, stop: &AtomicBool::new(false), progress: &mut progress };
    let began = Instant::now();
    let workers = (0..workers).map(worker).collect();
    let report =
        drain(&mut control, workers, &policy, Some(journal), &History::default(), surroundings).unwrap();
    (report, began.elapsed())
}

/// Most memory that this process has held, in KiB, where the system says.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

#[test]
fn attempts_that_cost_nothing_are_drained_at_the_pace_of_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    let phases = if is_long() { 20_000 } else { 300 };
    backlog(&path, 100, phases);
    let (report, took) = run(&path, 1, u64::MAX);
    assert!(report.balances(), "{report:?}");
    assert_eq!((report.phases_completed, report.left_waiting), (phases, 0));
    let pace = phases as f64 / took.as_secs_f64();
    println!("{phases} phases in {:.2} s: {pace:.0} a second", took.as_secs_f64());
    assert!(!is_long() || pace >= 2000.0, "{pace:.0} phases a second");
}

#[test]
fn a_long_queue_is_sampled_without_reading_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    let (runs, phases) = if is_long() { (5000, 1_000_000) } else { (200, 10_000) };
    backlog(&path, runs, phases);
    let mut count = 0;
    let mut count_all = |candidate: Candidate<'_>| count += u64::from(candidate.state == PhaseState::Queued);
    SqliteStore::open(&path).unwrap().candidates(&Selection::default(), &mut count_all).unwrap();
    assert_eq!(count, phases);
    let before = peak_kib();
    let (report, took) = run(&path, 1, 50);
    assert_eq!((report.attempts.total, report.run_count), (50, 50));
    assert_eq!((report.stopped, report.left_waiting), (Some("attempt_limit"), phases - 50));
    let grown = peak_kib().zip(before).map(|(after, before)| after.saturating_sub(before) / 1024);
    println!("{phases} phases selected and 50 sampled in {:.2} s, {grown:?} MiB more", took.as_secs_f64());
    assert!(grown.is_none_or(|mib| mib < 256), "{grown:?} MiB");
}

#[test]
fn workers_share_the_phases_of_a_session() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    backlog(&path, 10, 200);
    let (report, _) = run(&path, 4, u64::MAX);
    assert!(report.balances(), "{report:?}");
    assert_eq!((report.phases_completed, report.attempts.count("success")), (200, 200));
    let conn = Connection::open(&path).unwrap();
    let counts: (u64, u64, u64) = conn
        .query_row(
            "SELECT count(*), count(DISTINCT run_id || '/' || phase_id), max(attempt) FROM phase_attempts",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .unwrap();
    assert_eq!(counts, (200, 200, 1));
}
