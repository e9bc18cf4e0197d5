//! A workbench for plans: makes one for the table of a kit, applies it and takes it back, with a process that can
//! be killed and time that passes at will.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ops::change::Counts;
use ops::change::apply::{AGE_MAX, Context, OnDrift, Order, RunReport, Settings, Start, apply};
use ops::change::error::RunError;
use ops::change::pace::VirtualPace;
use ops::change::plan::{BackupFacts, Findings, InputFacts, Op, PlanDir, PlanDraft, Subject};
use ops::change::rollback::{RollbackOrder, rollback};
use ops::ids::Ids;
use ops::target::Change;
use ops::value::{Value, order_key};
use tempfile::TempDir;

use super::faulty::{Fault, Faulty, Killed};
use super::kit::{Kit, now};

/// A plan and what it takes to run it.
pub(crate) struct Bench {
    _dir: TempDir,
    pub(crate) plan: PlanDir,
    pub(crate) pace: VirtualPace,
    pub(crate) settings: Settings,
    seed: u64,
    /// The call that goes wrong next.
    pub(crate) fault: Option<(usize, Fault)>,
    /// Calls that could write, in the last process.
    pub(crate) calls: usize,
}

impl Bench {
    /// A plan of these changes, which are brought into the order of their keys.
    pub(crate) fn new(kit: &mut Kit<'_>, changes: Vec<Change>, batch: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plan = plan(kit, dir.path(), changes);
        let mut settings = Settings { on_drift: OnDrift::Skip, ..Settings::default() };
        settings.batch.rows = NonZeroUsize::new(batch).unwrap();
        settings.budget.rows_max = u64::MAX;
        let pace = VirtualPace::new(now());
        Self { _dir: dir, plan, pace, settings, seed: 0, fault: None, calls: 0 }
    }

    /// What a process does that applies the plan.
    pub(crate) fn apply(&mut self, kit: &mut Kit<'_>) -> Option<Result<RunReport, RunError>> {
        let (plan, settings) = (self.plan.clone(), self.settings.clone());
        self.process(kit, |context| {
            let start = Start::Either;
            let order = Order { start, age_max: AGE_MAX, gate: &mut |_, _| Ok(()), plan_again: None };
            apply(&plan, &settings, order, context)
        })
    }

    /// What a process does that takes it back.
    pub(crate) fn rollback(&mut self, kit: &mut Kit<'_>) -> Option<Result<RunReport, RunError>> {
        let (plan, settings) = (self.plan.clone(), self.settings.clone());
        self.process(kit, |context| {
            let order = RollbackOrder { keys: None, in_batches: true, gate: &mut |_, _| Ok(()) };
            rollback(&plan, &settings, order, context)
        })
    }

    /// Runs a process with a driver of its own; `None` when it was killed.
    fn process<T>(&mut self, kit: &mut Kit<'_>, work: impl FnOnce(&mut Context<'_>) -> T) -> Option<T> {
        self.seed += 1;
        let mut target = Faulty::new(kit.world.open(), self.fault.take());
        let mut context = Context {
            target: &mut target,
            pace: &mut self.pace,
            ids: &mut Ids::seeded(self.seed),
            stop: &AtomicBool::new(false),
            progress: &mut |_| (),
        };
        let ended = catch_unwind(AssertUnwindSafe(|| work(&mut context)));
        self.calls = target.calls;
        match ended {
            Ok(result) => Some(result),
            Err(panic) if panic.is::<Killed>() => {
                // The lease of the dead runs out.
                self.pace.advance(Duration::from_hours(1));
                None
            }
            Err(panic) => resume_unwind(panic),
        }
    }
}

fn plan(kit: &mut Kit<'_>, out: &Path, mut changes: Vec<Change>) -> PlanDir {
    let subject = Subject {
        target: kit.target.identity().unwrap(),
        capabilities: kit.can(),
        table: kit.table.clone(),
        key: kit.key.clone(),
        columns: kit.columns(),
    };
    let places: Vec<usize> =
        kit.key.iter().map(|k| kit.columns().iter().position(|c| c == k).unwrap()).collect();
    changes.sort_by_key(|change| {
        let value = |at: &usize| match change {
            Change::Insert { after } => after[*at].clone().unwrap(),
            Change::Update { before, .. } | Change::Delete { before } => before[*at].clone(),
        };
        let mut bytes = Vec::new();
        order_key(&places.iter().map(value).collect::<Vec<Value>>(), &mut bytes);
        bytes
    });
    let findings = findings(kit, &changes);
    let mut writer = PlanDraft::create(out).unwrap().begin(subject).unwrap();
    for change in &changes {
        writer.push(change).unwrap();
    }
    let written = writer.finish(findings).unwrap();
    PlanDir::open(written.path()).unwrap()
}

fn findings(kit: &Kit<'_>, changes: &[Change]) -> Findings {
    let of = |op| changes.iter().filter(|change| Op::of(change) == op).count() as u64;
    let (insert, update, delete) = (of(Op::Insert), of(Op::Update), of(Op::Delete));
    let mut cells_changed = BTreeMap::new();
    for change in changes {
        let Change::Update { before, after } = change else { continue };
        for (column, (before, after)) in kit.columns().iter().zip(before.iter().zip(after)) {
            if !before.as_ref().same(after.as_ref()) {
                *cells_changed.entry(kit.table.columns[*column].name.clone()).or_insert(0) += 1;
            }
        }
    }
    let (desired, live) = (insert + update, update + delete);
    let digest = "00".repeat(32);
    let backup = BackupFacts {
        rows: live,
        distinct_keys: live,
        count_before: live,
        count_after: live,
        pages: 1,
        snapshot: false,
        digest: digest.clone(),
        started_at: now().iso(),
        finished_at: now().iso(),
        files: vec![],
    };
    Findings {
        created_at: now(),
        tool_version: "0.1.0".into(),
        desired: InputFacts {
            file: "d.json".into(),
            format: "json".into(),
            bytes: 1,
            sha256: digest,
            rows: desired,
        },
        comparators: BTreeMap::new(),
        ignored_columns: vec![],
        columns_not_given: vec![],
        counts: Counts { desired, live, insert, update, delete, cells_changed, ..Counts::default() },
        only_live: vec![],
        backup: Some(backup),
        incomplete: vec![],
        errors: vec![],
        derived_from: None,
    }
}
