//! A run in processes of its own that die at exactly one of their writes, on a real target.
//!
//! The process is this test binary again, told by its environment to be nothing but that: a test that calls [`be_one`]
//! is its entry. It uses the drivers as they are, with nothing but the moment of death added.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

use ops::change::apply::{AGE_MAX, Context, End, Order, RunReport, Settings, Start, apply};
use ops::change::error::RunError;
use ops::change::pace::RealPace;
use ops::change::plan::PlanDir;
use ops::change::rehearse::{Deadly, Death, Errand};
use ops::change::rollback::{RollbackOrder, rollback};
use ops::clock::{Clock, Stamp};
use ops::ids::Ids;
use ops::target::Target;

/// The plan's folder.
const PLAN: &str = "OPS_TEST_PLAN";
/// What to run and when to die.
const ERRAND: &str = "OPS_TEST_ERRAND";

/// Rows in a batch.
pub(crate) const BATCH: usize = 2;

/// Does what the environment says and never comes back from it; does nothing where it says nothing. `open` opens the target
/// from the environment, too.
pub(crate) fn be_one(open: impl FnOnce() -> Box<dyn Target>) {
    let (Some(plan), Some(errand)) = (variable(PLAN), variable(ERRAND)) else { return };
    let plan = PlanDir::open(Path::new(&plan)).expect("the plan is whole");
    let errand: Errand = errand.parse().expect("the errand was written by a test");
    let report = run(&plan, errand, open().as_mut()).expect("the run comes to an end");
    assert_eq!(report.end, End::Done, "{}", report.why);
}

fn run(plan: &PlanDir, errand: Errand, target: &mut dyn Target) -> Result<RunReport, RunError> {
    let die = &mut || std::process::abort();
    let mut target = Deadly::new(target, errand.death, die);
    let mut settings = Settings::default();
    settings.batch.rows = NonZeroUsize::new(BATCH).expect("it is not zero");
    settings.retry.first = std::time::Duration::from_millis(1);
    let clock = Clock::Fixed(Stamp::parse("2026-01-02T03:04:05Z").expect("it is a time"));
    let mut context = Context {
        target: &mut target,
        pace: &mut RealPace::new(clock),
        ids: &mut Ids::Os,
        stop: &AtomicBool::new(false),
        progress: &mut |_| (),
    };
    if errand.is_rollback {
        let order = RollbackOrder { keys: None, in_batches: true, gate: &mut |_, _| Ok(()) };
        rollback(plan, &settings, order, &mut context)
    } else {
        let (start, gate) = (Start::Either, &mut |_: &PlanDir, _: &_| Ok(()));
        apply(plan, &settings, Order { start, age_max: AGE_MAX, gate, plan_again: None }, &mut context)
    }
}

/// Processes on one plan.
pub(crate) struct Processes<'a> {
    /// The name of the test that calls [`be_one`].
    pub(crate) entry: &'a str,
    pub(crate) plan: &'a Path,
    pub(crate) variables: &'a [(&'a str, &'a str)],
}

impl Processes<'_> {
    /// Runs one; whether it died.
    fn start(&self, errand: Errand) -> bool {
        let program = std::env::current_exe().expect("a test binary has a path");
        #[expect(clippy::disallowed_methods, reason = "a process that is to die must be one of its own")]
        let mut command = Command::new(program);
        command.args(["--exact", self.entry, "--nocapture"]).envs(self.variables.iter().copied());
        command.env(PLAN, self.plan).env(ERRAND, errand.to_string());
        let output = command.stdin(Stdio::null()).output().expect("it starts");
        let said = [output.stdout, output.stderr].concat();
        match output.status.code() {
            Some(0) => false,
            None => true,
            code => panic!("{errand}: {code:?}: {}", String::from_utf8_lossy(&said)),
        }
    }

    /// A whole run of `writes` writes, in which every one of them is met by each of these deaths; how often it died.
    pub(crate) fn run(&self, is_rollback: bool, writes: u64, deaths: &[Death]) -> u64 {
        let mut died = 0;
        for _ in 0..writes {
            for death in deaths {
                died += u64::from(self.start(Errand { is_rollback, death: Some((0, *death)) }));
            }
        }
        assert!(!self.start(Errand { is_rollback, death: None }), "it comes to its end");
        died
    }
}

#[expect(clippy::disallowed_methods, reason = "the process is told by its environment what to be")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Goes there and back undisturbed, then with processes killed before and after every write, then with every answer lost,
/// each time on a plan that `plan` makes anew, of `changes` changes; `state` is the table as somebody else sees it.
/// Every way must lead to the same table, and the books must balance. Returns how many processes died.
pub(crate) fn there_and_back(
    entry: &str,
    variables: &[(&str, &str)],
    changes: u64,
    plan: &mut dyn FnMut() -> std::path::PathBuf,
    state: &dyn Fn() -> String,
) -> u64 {
    let before = state();
    let writes = changes.div_ceil(BATCH as u64) + 1;
    let (mut after, mut died) = (None, 0);
    for deaths in [&[][..], &[Death::Before, Death::After], &[Death::AnswerLost]] {
        let plan = plan();
        let processes = Processes { entry, plan: &plan, variables };
        let killed = processes.run(false, writes, deaths);
        assert_eq!(killed, writes * deaths.len() as u64, "{deaths:?}");
        let found = state();
        assert_eq!(*after.get_or_insert(found.clone()), found, "{deaths:?}");
        balances(&plan.join("apply/report.json"), changes);
        died += killed + processes.run(true, writes, deaths);
        assert_eq!(state(), before, "taken back, {deaths:?}");
        balances(&plan.join("rollback/report.json"), changes);
    }
    assert_ne!(after, Some(before));
    died
}

fn balances(report: &Path, changes: u64) {
    let text = ops::files::read_text(report).expect("a run leaves a report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(report["ledger"]["total"], changes, "{text}");
    assert_eq!(report["ledger"]["ended"]["applied"], changes, "{text}");
}
