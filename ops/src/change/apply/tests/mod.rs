//! A runner against a target in memory: what it does when all goes well, when rows are in the way, and when
//! everything fails.

mod faults;
pub(crate) mod plans;
mod ways;

use std::num::{NonZeroU64, NonZeroUsize};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::double::{COLUMNS, Crash, Fault, KEY, MemoryTarget, identity, row, start, table};
use super::*;
use crate::change::gate::GateError;
use crate::change::journal::Tally;
use crate::change::pace::{Pace, VirtualPace};
use crate::change::plan::Layout;
use crate::ids::Ids;
use crate::target::{Change, RunId, TargetIdentity};
use crate::value::Value;

/// A plan, a target, a folder and a time.
pub(crate) struct Rig {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) pace: VirtualPace,
    pub(crate) target: MemoryTarget,
    pub(crate) plan: Vec<Change>,
    pub(crate) settings: Settings,
    pub(crate) stop: AtomicBool,
    pub(crate) states: Vec<String>,
    pub(crate) seed: u64,
}

/// A folder in memory where the system has one: what is tested here dies by the process, never by the power.
fn scratch() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// Updates of even ids and insertions of odd ones; the target holds the even ones.
pub(crate) fn half_and_half(rows: i64) -> Vec<Change> {
    (0..rows)
        .map(|id| match id % 2 {
            0 => Change::Update { before: row(id, "old"), after: row(id, "new") },
            _ => Change::Insert { after: row(id, "new").into_iter().map(Some).collect() },
        })
        .collect()
}

/// What a job borrows.
pub(crate) struct Desk {
    layout: Layout,
    run: RunId,
    identity: TargetIdentity,
    folder: PathBuf,
}

impl Desk {
    pub(crate) fn new(folder: PathBuf) -> Self {
        let layout = Layout::new(table(), COLUMNS.to_vec(), KEY.to_vec()).unwrap();
        let run = RunId { plan: "ab".repeat(32), direction: "apply".into() };
        Self { layout, run, identity: identity(), folder }
    }

    pub(crate) fn job<'a>(&'a self, changes: &'a dyn Changes) -> Job<'a> {
        Job {
            layout: &self.layout,
            run: &self.run,
            changes,
            identity: &self.identity,
            digest: None,
            keys: None,
            left_out: &[],
            is_whole: false,
            folder: &self.folder,
            expect: Expect::Stored,
        }
    }
}

impl Rig {
    pub(crate) fn new(rows: i64, has_books: bool) -> Self {
        let pace = VirtualPace::new(start());
        let mut target = MemoryTarget::new(&pace, has_books);
        (0..rows).step_by(2).for_each(|id| target.set(&row(id, "old")));
        Self {
            dir: scratch(),
            pace,
            target,
            plan: half_and_half(rows),
            settings: Settings::default(),
            stop: AtomicBool::new(false),
            states: Vec::new(),
            seed: 1,
        }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.path().join("apply")
    }

    pub(crate) fn batches_of(&mut self, rows: usize) -> &mut Self {
        self.settings.batch.rows = NonZeroUsize::new(rows).unwrap();
        self
    }

    pub(crate) fn run(&mut self, start: Start) -> Result<RunReport, RunError> {
        self.run_with(start, None, |_, _| ())
    }

    /// Runs; `seen` hears the progress and can set the stop flag.
    pub(crate) fn run_with(
        &mut self,
        start: Start,
        plan_again: Option<PlanAgain<'_>>,
        mut seen: impl FnMut(&Progress, &AtomicBool),
    ) -> Result<RunReport, RunError> {
        let desk = Desk::new(self.folder());
        let job = desk.job(&self.plan);
        self.seed += 1;
        let (states, stop) = (&mut self.states, &self.stop);
        let mut context = Context {
            target: &mut self.target,
            pace: &mut self.pace,
            ids: &mut Ids::seeded(self.seed),
            stop,
            progress: &mut |progress| {
                let state = progress.state.to_string();
                if states.last() != Some(&state) {
                    states.push(state);
                }
                seen(progress, stop);
            },
        };
        let hooks = Hooks { plan_again, ..Hooks::default() };
        run(&job, &self.settings, start, &mut context, hooks)
    }

    /// Runs, and gives back `None` when the process died.
    pub(crate) fn run_or_die(&mut self, start: Start) -> Option<Result<RunReport, RunError>> {
        match catch_unwind(AssertUnwindSafe(|| self.run(start))) {
            Ok(result) => Some(result),
            Err(panic) if panic.is::<Crash>() => None,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Runs again until there is nothing more to do, as a person would.
    pub(crate) fn run_to_the_end(&mut self) -> RunReport {
        for _ in 0..20 {
            match self.run_or_die(Start::Either) {
                Some(Ok(report)) if report.ledger.count("not_reached") == 0 && self.is_closed() => {
                    return report;
                }
                // Somebody else's lease, or our own from before the crash, runs out.
                _ => self.pace.advance(Duration::from_hours(2)),
            }
        }
        panic!("this run never ends");
    }

    fn is_closed(&self) -> bool {
        let journal = std::fs::read_to_string(self.folder().join("journal.ndjson"));
        journal.is_ok_and(|journal| journal.contains("{\"closed\":"))
    }

    /// The names of all rows, in order of id.
    pub(crate) fn names(&self) -> Vec<String> {
        let name = |row: &Vec<Value>| match &row[1] {
            Value::Text(name) => name.clone(),
            other => panic!("{other:?}"),
        };
        self.target.all().iter().map(name).collect()
    }

    /// The sizes of the batches that were sent.
    pub(crate) fn sent(&self) -> Vec<usize> {
        self.target.log.iter().filter(|(name, _)| *name == "apply").map(|(_, rows)| *rows).collect()
    }

    pub(crate) fn outcomes(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder().join("outcomes.ndjson")).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

pub(crate) fn tally(report: &RunReport) -> Tally {
    let count = |how| report.ledger.count(how);
    Tally {
        applied: count("applied"),
        already: count("already"),
        drifted: count("drifted"),
        failed: count("failed"),
    }
}

pub(crate) fn refused(result: Result<RunReport, RunError>) -> String {
    match result {
        Err(RunError::Refused(refusal)) => refusal.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

const RESUME: Start = Start::Resume { is_approved: false };
