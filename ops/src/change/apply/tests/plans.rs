//! A plan in a folder, and a target in memory: for the guards, and for rollbacks.

use std::collections::BTreeMap;

use super::*;
use crate::change::Counts;
use crate::change::plan::{BackupFacts, Findings, InputFacts, KeySet, Op, PlanDir, PlanDraft, Subject};
use crate::change::rollback::{RollbackOrder, rollback};
use crate::files;

/// What a plan's folder holds, what it is for, and where runs go.
pub(crate) struct PlanRig {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) plan: PlanDir,
    pub(crate) target: MemoryTarget,
    pub(crate) pace: VirtualPace,
    pub(crate) settings: Settings,
    pub(crate) start: Start,
    pub(crate) age_max: Duration,
    pub(crate) gate: Result<(), Refusal>,
    pub(crate) keys: Option<Vec<String>>,
    pub(crate) in_batches: bool,
    pub(crate) seed: u64,
}

pub(crate) fn subject(target: &MemoryTarget) -> Subject {
    Subject {
        target: identity(),
        capabilities: target.capabilities.clone(),
        table: table(),
        key: KEY.to_vec(),
        columns: COLUMNS.to_vec(),
    }
}

fn findings(changes: &[Change], has_backup: bool) -> Findings {
    let of = |op| changes.iter().filter(|change| Op::of(change) == op).count() as u64;
    let (insert, update, delete) = (of(Op::Insert), of(Op::Update), of(Op::Delete));
    let mut cells_changed = BTreeMap::new();
    for change in changes {
        if let Change::Update { before, after } = change {
            for (at, name) in ["id", "name", "note", "touched"].into_iter().enumerate() {
                if before[at] != after[at] {
                    *cells_changed.entry(name.to_owned()).or_insert(0) += 1;
                }
            }
        }
    }
    let sha256 = "00".repeat(32);
    let (desired, live) = (insert + update, update + delete);
    let backup = BackupFacts {
        rows: live,
        distinct_keys: live,
        count_before: live,
        count_after: live,
        pages: 1,
        snapshot: true,
        digest: sha256.clone(),
        started_at: start().iso(),
        finished_at: start().iso(),
        files: vec![],
    };
    Findings {
        created_at: start(),
        tool_version: "0.1.0".into(),
        desired: InputFacts { file: "d.json".into(), format: "json".into(), bytes: 1, sha256, rows: desired },
        comparators: BTreeMap::new(),
        ignored_columns: vec![],
        columns_not_given: vec![],
        counts: Counts { desired, live, insert, update, delete, cells_changed, ..Counts::default() },
        only_live: vec![],
        backup: has_backup.then_some(backup),
        incomplete: vec![],
        errors: vec![],
        derived_from: None,
    }
}

pub(crate) fn plan_of(out: &Path, target: &MemoryTarget, changes: &[Change], has_backup: bool) -> PlanDir {
    let mut writer = PlanDraft::create(out).unwrap().begin(subject(target)).unwrap();
    for change in changes {
        writer.push(change).unwrap();
    }
    let written = writer.finish(findings(changes, has_backup)).unwrap();
    PlanDir::open(written.path()).unwrap()
}

impl PlanRig {
    /// The plan and the target of a [`Rig`].
    pub(crate) fn of(rig: Rig) -> Self {
        let plan = plan_of(rig.dir.path(), &rig.target, &rig.plan, true);
        let Rig { dir, pace, target, settings, .. } = rig;
        Self {
            dir,
            plan,
            target,
            pace,
            settings,
            start: Start::Fresh,
            age_max: AGE_MAX,
            gate: Ok(()),
            keys: None,
            in_batches: true,
            seed: 1,
        }
    }

    pub(crate) fn new(rows: i64, has_books: bool) -> Self {
        Self::of(Rig::new(rows, has_books))
    }

    pub(crate) fn apply(&mut self) -> Result<RunReport, RunError> {
        self.seed += 1;
        let mut context = Context {
            target: &mut self.target,
            pace: &mut self.pace,
            ids: &mut Ids::seeded(self.seed),
            stop: &AtomicBool::new(false),
            progress: &mut |_| (),
        };
        let gate = self.gate.clone();
        let mut gate = |_: &PlanDir, _: &TargetIdentity| gate.clone().map_err(GateError::NotMet);
        let order = Order { start: self.start, age_max: self.age_max, gate: &mut gate, plan_again: None };
        apply(&self.plan, &self.settings, order, &mut context)
    }

    pub(crate) fn rollback(&mut self) -> Result<RunReport, RunError> {
        self.seed += 1;
        let mut context = Context {
            target: &mut self.target,
            pace: &mut self.pace,
            ids: &mut Ids::seeded(self.seed),
            stop: &AtomicBool::new(false),
            progress: &mut |_| (),
        };
        let gate = self.gate.clone();
        let mut gate = |_: &PlanDir, _: &TargetIdentity| gate.clone().map_err(GateError::NotMet);
        let (keys, in_batches) = (self.keys.as_ref().map(KeySet::new), self.in_batches);
        let order = RollbackOrder { keys, in_batches, gate: &mut gate };
        rollback(&self.plan, &self.settings, order, &mut context)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        files::read_text(&self.plan.path().join(name)).unwrap()
    }
}

#[test]
fn a_plan_is_applied_and_leaves_its_way_back() {
    let mut rig = PlanRig::new(10, true);
    rig.target.has_trigger = true;
    let report = rig.apply().unwrap();
    assert_eq!(report.end, End::Done, "{report:?}");
    assert_eq!((report.written.insert, report.written.update, report.written.delete), (5, 5, 0));
    let script = rig.file("apply/rollback.sql");
    assert!(script.contains("5 inserted, 5 updated, 0 deleted"), "{script}");
    assert!(script.contains("as it was stored"), "{script}");
    PlanDir::open(rig.plan.path()).expect("runs lie beside the seal");
    std::fs::remove_file(rig.plan.path().join("apply/rollback.sql")).unwrap();
    rig.apply().unwrap();
    assert_eq!(rig.file("apply/rollback.sql"), script, "it is made again when it is missing");
}

#[test]
fn a_stopped_run_leaves_the_way_back_of_what_it_wrote() {
    let mut rig = PlanRig::new(10, true);
    rig.settings.batch.rows = NonZeroUsize::new(4).unwrap();
    rig.target.set(&row(4, "theirs"));
    let report = rig.apply().unwrap();
    assert_eq!(tally(&report), Tally { applied: 7, drifted: 1, ..Tally::default() });
    assert!(rig.file("apply/rollback.sql").contains("4 inserted, 3 updated, 0 deleted"));
}

/// Every guard refuses, and nothing was sent.
fn assert_refused(rig: &mut PlanRig, starts: &str, says: &[&str]) {
    let operations = |rig: &PlanRig| {
        rig.target.log.iter().filter(|(name, _)| !["read", "recorded"].contains(name)).count()
    };
    let before = operations(rig);
    let refusal = refused(rig.apply());
    assert!(refusal.starts_with(starts), "{refusal}");
    for word in says {
        assert!(refusal.contains(word), "{word}: {refusal}");
    }
    assert!(refusal.contains("next:"), "{refusal}");
    assert_eq!(operations(rig), before, "{starts}");
}

#[test]
fn an_edited_plan_is_refused() {
    let rig = PlanRig::new(10, true);
    let path = rig.plan.path().join("changes.ndjson");
    let edited = files::read_text(&path).unwrap().replacen("new", "neu", 1);
    files::write_atomic(&path, edited.as_bytes()).unwrap();
    let error = PlanDir::open(rig.plan.path()).unwrap_err();
    assert!(error.to_string().contains("is not what was written"), "{error}");
}

#[test]
fn a_plan_without_a_backup_is_refused() {
    let mut rig = PlanRig::new(10, true);
    rig.plan = plan_of(&rig.dir.path().join("other"), &rig.target, &half_and_half(10), false);
    let starts = format!("plan {} cannot be applied", rig.plan.short());
    assert_refused(&mut rig, &starts, &["without a backup"]);
}

#[test]
fn another_database_is_refused() {
    for change in [
        |t: &mut TargetIdentity| t.fingerprint = "ffffffffffff".into(),
        |t: &mut TargetIdentity| t.driver = "sqlite".into(),
        |t: &mut TargetIdentity| {
            t.lineage = Some(crate::db::Lineage {
                id: "0011223344556677".into(),
                purpose: "production".into(),
                stamped_at: String::new(),
            });
        },
    ] {
        let mut rig = PlanRig::new(10, true);
        change(&mut rig.target.identity);
        let starts = format!("plan {} is for another database", rig.plan.short());
        assert_refused(&mut rig, &starts, &["memory:test"]);
        assert!(rig.rollback().unwrap_err().to_string().starts_with(&starts));
    }
}

#[test]
fn a_table_that_changed_is_refused_with_the_first_difference() {
    type Edit = fn(&mut crate::target::schema::Table);
    let cases: [(Edit, &str); 5] = [
        (|t| t.columns[2].nullable = false, "column 3 `name` any NOT NULL"),
        (|t| t.columns[3].default = None, "column 4 `note` any, Written"),
        (|t| drop(t.columns.pop()), "no column 5"),
        (|t| t.primary_key = vec![], "primary key ()"),
        (|t| t.unique = vec![vec![2]], "unique keys (name)"),
    ];
    for (edit, found) in cases {
        let mut rig = PlanRig::new(10, true);
        edit(&mut rig.target.table);
        assert_refused(&mut rig, "table public.t is not what it was", &[found, "make a new plan"]);
    }
}

#[test]
fn an_old_plan_is_refused_but_its_run_can_be_resumed() {
    let mut rig = PlanRig::new(10, true);
    rig.pace.advance(Duration::from_hours(25));
    let starts = format!("plan {} is too old", rig.plan.short());
    assert_refused(&mut rig, &starts, &["24.0 hours", "25.0 hours"]);
    rig.age_max = Duration::from_hours(48);
    rig.target.faults.insert(rig.target.operations + 2, Fault::Broken);
    assert_eq!(rig.apply().unwrap().end, End::Failed);
    rig.pace.advance(Duration::from_hours(48));
    rig.start = RESUME;
    assert_eq!(rig.apply().unwrap().end, End::Done);
}

#[test]
fn a_gate_that_is_not_met_is_said_so() {
    let mut rig = PlanRig::new(10, true);
    rig.gate = Err(Refusal::new("plan is not approved", "an approval", "none"));
    assert!(matches!(rig.apply(), Err(RunError::NotMet(_))));
    assert!(matches!(rig.rollback(), Err(RunError::NotMet(_))));
    assert_eq!(rig.target.log, []);
}

#[test]
fn a_second_runner_on_the_plan_is_refused() {
    let mut rig = PlanRig::new(10, true);
    let lock = crate::change::lock::PlanLock::take(rig.plan.path()).unwrap();
    assert_refused(&mut rig, "another runner works on this plan", &[]);
    assert!(rig.rollback().unwrap_err().to_string().starts_with("another runner works on this plan"));
    drop(lock);
    assert_eq!(rig.apply().unwrap().end, End::Done);
}

#[test]
fn a_throttle_query_that_cannot_be_asked_is_refused_before_the_first_row() {
    let mut rig = PlanRig::new(10, true);
    rig.target.measured = None;
    let query = crate::change::throttle::QueryLimit { sql: "SELECT lag".into(), most: 1.0 };
    rig.settings.limits.query = Some(query);
    assert_refused(&mut rig, "no queries here", &[]);
}

#[test]
fn an_empty_plan_touches_nothing() {
    let mut rig = Rig::new(4, true);
    rig.plan.clear();
    let mut rig = PlanRig::of(rig);
    let report = rig.apply().unwrap();
    assert_eq!((report.end, &*report.why), (End::Done, "the plan changes nothing"));
    assert_eq!(rig.target.log, []);
}

/// Applies, with a process that dies where the target says so.
fn dies(rig: &mut PlanRig, operation: u64, fault: Fault) {
    rig.target.faults.insert(rig.target.operations + operation, fault);
    let died = catch_unwind(AssertUnwindSafe(|| rig.apply())).unwrap_err();
    assert!(died.is::<Crash>());
}

#[test]
fn a_killed_runners_lease_is_given_back_by_the_next_one_in_the_same_directory() {
    let mut held = 0;
    for operation in 1..6 {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            let mut rig = PlanRig::new(10, true);
            rig.settings.batch.rows = NonZeroUsize::new(4).unwrap();
            dies(&mut rig, operation, fault);
            held += u64::from(rig.target.lease.is_some());
            rig.start = Start::Either;
            let report = rig.apply().unwrap();
            assert_eq!(report.end, End::Done, "killed at {operation}: {report:?}");
            assert_eq!(rig.target.lease, None);
            assert_eq!(report.ledger.count("applied"), 10);
        }
    }
    assert!(held >= 5, "only {held} were killed with the table in their hands");
}

#[test]
fn a_rollback_takes_the_table_from_the_killed_run_that_it_takes_back() {
    let mut rig = PlanRig::new(10, true);
    rig.settings.batch.rows = NonZeroUsize::new(4).unwrap();
    dies(&mut rig, 3, Fault::CrashAfter);
    assert!(rig.target.lease.is_some());
    assert_eq!(rig.rollback().unwrap().end, End::Done);
    assert_eq!(rig.target.lease, None);
}

#[test]
fn the_lease_of_another_directory_and_of_a_living_runner_is_respected() {
    let mut rig = PlanRig::new(10, true);
    rig.settings.batch.rows = NonZeroUsize::new(4).unwrap();
    dies(&mut rig, 3, Fault::CrashAfter);
    let held = rig.target.lease.clone();
    let (here, copy) = (rig.plan.path().to_path_buf(), tempfile::tempdir().unwrap());
    for entry in std::fs::read_dir(here.join("apply")).unwrap() {
        let entry = entry.unwrap();
        files::create_dir(&copy.path().join("apply")).unwrap();
        std::fs::copy(entry.path(), copy.path().join("apply").join(entry.file_name())).unwrap();
    }
    std::fs::copy(here.join(".runner.json"), copy.path().join(".runner.json")).unwrap();
    let original = rig.plan.clone();
    rig.plan = original.clone().with_runs_in(copy.path());
    rig.start = RESUME;
    assert!(refused(rig.apply()).starts_with("another runner holds the table"));
    assert_eq!(rig.target.lease, held, "a copy of the directory waits for the lease");
    rig.plan = original;
    let lock = crate::change::lock::PlanLock::take(&here).unwrap();
    assert!(refused(rig.apply()).starts_with("another runner works on this plan"));
    assert_eq!(rig.target.lease, held, "a runner that lives is not asked for its table");
    drop(lock);
    rig.target.lease = Some(("somebody else".to_owned(), rig.pace.now().plus(Duration::from_mins(1))));
    assert!(refused(rig.apply()).starts_with("another runner holds the table"));
    rig.pace.advance(Duration::from_mins(2));
    assert_eq!(rig.apply().unwrap().end, End::Done);
}

#[test]
fn what_a_killed_runner_has_sent_and_what_comes_late_is_not_done_after_its_table_was_taken() {
    let mut rig = PlanRig::new(10, true);
    rig.settings.batch.rows = NonZeroUsize::new(4).unwrap();
    dies(&mut rig, 3, Fault::CrashBefore);
    let before = rig.target.lease.clone().unwrap().0;
    rig.start = RESUME;
    rig.target.faults.insert(rig.target.operations + 9, Fault::Broken);
    rig.apply().unwrap();
    let log: Vec<&str> = rig.target.log.iter().map(|(name, _)| *name).collect();
    assert!(log.windows(3).any(|three| three == ["begin", "close", "begin"]), "{log:?}");
    assert_ne!(rig.target.owner, before, "the target knows the new runner by another name");
}
