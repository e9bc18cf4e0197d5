//! What comes back and what does not: whole and half runs, rows that others changed, twice, and with everything
//! failing.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use proptest::prelude::*;

use crate::change::apply::double::{Crash, Fault, row};
use crate::change::apply::tests::plans::PlanRig;
use crate::change::apply::tests::{Rig, refused, tally};
use crate::change::apply::{End, OnDrift, RunReport, Start};
use crate::change::error::RunError;
use crate::change::journal::Tally;
use crate::target::Change;
use crate::value::{Row, Value};

/// Five rows to insert, five to update, one to delete, in batches of four.
fn rig(has_books: bool) -> PlanRig {
    let mut rig = Rig::new(10, has_books);
    rig.plan.push(Change::Delete { before: row(10, "old") });
    rig.target.set(&row(10, "old"));
    rig.batches_of(4);
    PlanRig::of(rig)
}

fn applied(has_books: bool) -> (PlanRig, Vec<Row>) {
    let mut rig = rig(has_books);
    let before = rig.target.all();
    assert_eq!(rig.apply().unwrap().end, End::Done);
    (rig, before)
}

fn problems(report: &RunReport) -> Vec<(&str, &str, &str)> {
    report.problems.iter().map(|p| (&*p.key, p.what, &*p.detail)).collect()
}

#[test]
fn everything_comes_back_in_the_opposite_order_and_only_once() {
    for has_books in [true, false] {
        for has_trigger in [false, true] {
            let mut rig = rig(has_books);
            rig.target.has_trigger = has_trigger;
            let before = rig.target.all();
            rig.apply().unwrap();
            rig.target.has_trigger = false;
            let report = rig.rollback().unwrap();
            assert_eq!(report.end, End::Done, "{report:?}");
            assert_eq!(rig.target.all(), before);
            assert_eq!((report.written.insert, report.written.update, report.written.delete), (1, 5, 5));
            assert!(rig.file("rollback/outcomes.ndjson").starts_with(r#"{"n":0,"key":[10],"op":"insert""#));
            let operations = rig.target.operations;
            let report = rig.rollback().unwrap();
            assert_eq!(report.end, End::Done);
            assert!(report.why.starts_with("nothing that this plan has written is left"), "{}", report.why);
            let asked = &rig.target.log[usize::try_from(operations).unwrap()..];
            assert!(asked.iter().all(|(name, _)| *name == "recorded"), "{asked:?}");
            let refusal = refused(rig.apply());
            assert!(refusal.contains("was rolled back"), "{refusal}");
        }
    }
}

#[test]
fn a_trigger_that_wakes_on_the_way_back_is_reported() {
    let (mut rig, _) = applied(true);
    rig.target.has_trigger = true;
    let report = rig.rollback().unwrap();
    assert_eq!(report.end, End::Partly);
    assert_eq!(report.verification.unwrap().altered, 6, "what was restored is not what it was");
    assert_eq!(problems(&report)[0], ("[10]", "altered", "changed: touched"));
}

#[test]
fn what_somebody_did_since_is_kept_and_listed() {
    for has_books in [true, false] {
        let (mut rig, before) = applied(has_books);
        rig.target.set(&row(2, "theirs"));
        rig.target.set(&row(3, "theirs"));
        rig.target.rows.remove(&crate::change::apply::double::key(4));
        rig.target.set(&row(10, "theirs"));
        let report = rig.rollback().unwrap();
        assert_eq!(report.end, End::Partly);
        assert_eq!(tally(&report), Tally { applied: 7, drifted: 4, ..Tally::default() });
        let expected = [
            ("[10]", "drifted", "changed: name"),
            ("[4]", "drifted", "the row is gone"),
            ("[3]", "drifted", "changed: name"),
            ("[2]", "drifted", "changed: name"),
        ];
        assert_eq!(problems(&report), expected);
        let mut kept = before;
        kept.retain(|row| row[0] != Value::Int(4));
        kept[1] = row(2, "theirs");
        kept.insert(2, row(3, "theirs"));
        *kept.last_mut().unwrap() = row(10, "theirs");
        assert_eq!(rig.target.all(), kept);
        // They take it back, and so can we.
        rig.target.set(&row(2, "new"));
        let report = rig.rollback().unwrap();
        assert_eq!(report.direction, "rollback-2");
        assert_eq!(tally(&report), Tally { applied: 1, drifted: 3, ..Tally::default() });
        assert_eq!(rig.target.get(2).unwrap(), row(2, "old"));
    }
}

#[test]
fn half_a_run_is_undone_by_half() {
    for has_books in [true, false] {
        for fault in [Fault::Broken, Fault::CrashBefore, Fault::CrashAfter, Fault::LostHalf] {
            let mut rig = rig(has_books);
            let before = rig.target.all();
            // The second batch.
            rig.target.faults.insert(if has_books { 3 } else { 4 }, fault);
            rig.settings.retry.tries_max = 1;
            let _ = catch_unwind(AssertUnwindSafe(|| rig.apply().unwrap()));
            let written = rig.target.writes.len();
            assert!((4..=8).contains(&written), "{fault:?} {written}");
            rig.pace.advance(Duration::from_hours(1));
            rig.settings.retry.tries_max = 8;
            let report = rig.rollback().unwrap();
            assert_eq!(report.ledger.total, written as u64, "{fault:?}: exactly what was written");
            assert_eq!((report.end, rig.target.all()), (End::Done, before), "{fault:?}");
        }
    }
}

#[test]
fn a_plan_that_was_never_applied_has_nothing_to_undo() {
    for has_books in [true, false] {
        let report = rig(has_books).rollback().unwrap();
        assert_eq!((report.end, report.ledger.total), (End::Done, 0));
    }
}

#[test]
fn rows_that_were_not_written_are_not_undone() {
    let mut rig = rig(true);
    rig.target.set(&row(2, "new"));
    rig.target.set(&row(3, "theirs"));
    rig.target.poison.insert(5);
    rig.settings.on_drift = OnDrift::Skip;
    rig.settings.budget.rows_max = 1;
    rig.apply().unwrap();
    rig.target.poison.clear();
    rig.keys = Some(["1", "2", "3", "5"].map(str::to_owned).to_vec());
    let report = rig.rollback().unwrap();
    assert_eq!(tally(&report), Tally { applied: 1, ..Tally::default() });
    let expected = [
        ("[2]", "left_out", "not written: it already was as wanted"),
        ("[3]", "left_out", "not written: it had drifted"),
        ("[5]", "left_out", "not written: the database refused it"),
    ];
    assert_eq!(problems(&report), expected);
    assert_eq!(rig.target.get(2).unwrap(), row(2, "new"));
}

#[test]
fn single_rows_come_back_and_then_the_rest() {
    for has_books in [true, false] {
        let (mut rig, before) = applied(has_books);
        rig.keys = Some(vec!["2".into(), "[3]".into()]);
        let report = rig.rollback().unwrap();
        assert_eq!((report.end, tally(&report).applied), (End::Done, 2));
        assert_eq!((rig.target.get(2), rig.target.get(3)), (Some(row(2, "old")), None));
        let report = rig.rollback().unwrap();
        assert_eq!((report.end, report.ledger.total), (End::Done, 0), "twice is once");
        assert_eq!(problems(&report)[0], ("[2]", "left_out", "rolled back before"));
        rig.keys = Some(vec!["2".into(), "77".into(), "x".into()]);
        let refusal = refused(rig.rollback());
        assert!(
            refusal.starts_with("some keys are not in the plan") && refusal.contains("77 x"),
            "{refusal}"
        );
        rig.keys = None;
        let report = rig.rollback().unwrap();
        assert_eq!((report.end, &*report.direction, report.ledger.total), (End::Done, "rollback-2", 9));
        assert_eq!(rig.target.all(), before);
    }
}

#[test]
fn a_rollback_that_was_begun_is_finished_first() {
    let (mut rig, before) = applied(true);
    rig.keys = Some(["2", "3", "4", "5", "6"].map(str::to_owned).to_vec());
    let next = rig.target.operations;
    rig.target.faults.insert(next + 5, Fault::Broken);
    let report = rig.rollback().unwrap();
    assert_eq!((report.end, tally(&report).applied), (End::Partly, 4), "{:?}", rig.target.log);
    let keys = rig.keys.take();
    let refusal = refused(rig.rollback());
    assert!(refusal.starts_with("a rollback of other rows was begun"), "{refusal}");
    assert!(refusal.contains("2 3 4 5 6") && refusal.contains("all rows"), "{refusal}");
    rig.keys = keys;
    let path = rig.plan.path().join("rollback/changes.ndjson");
    let changes = std::fs::read_to_string(&path).unwrap();
    crate::files::write_atomic(&path, changes.replacen("old", "odd", 1).as_bytes()).unwrap();
    let refusal = refused(rig.rollback());
    assert!(refusal.starts_with("the changes of this rollback are not what was begun"), "{refusal}");
    crate::files::write_atomic(&path, changes.as_bytes()).unwrap();
    let report = rig.rollback().unwrap();
    assert_eq!((report.end, report.before, tally(&report).applied), (End::Done, 4, 5));
    rig.keys = None;
    rig.rollback().unwrap();
    assert_eq!(rig.target.all(), before);
}

#[test]
fn books_of_a_rollback_without_its_folder_are_not_guessed_at() {
    let (mut rig, _) = applied(true);
    rig.rollback().unwrap();
    std::fs::remove_dir_all(rig.plan.path().join("rollback")).unwrap();
    let refusal = refused(rig.rollback());
    assert!(
        refusal.starts_with("the target knows of a rollback that this folder does not have"),
        "{refusal}"
    );
    let refusal = refused(rig.apply());
    assert!(refusal.contains("was rolled back"), "{refusal}");
}

#[test]
fn one_transaction_where_the_target_has_them() {
    let (mut rig, before) = applied(true);
    rig.in_batches = false;
    let sent = rig.target.log.len();
    assert_eq!(rig.rollback().unwrap().end, End::Done);
    let batches: Vec<_> = rig.target.log[sent..].iter().filter(|(name, _)| *name == "apply").collect();
    assert_eq!(batches, [&("apply", 11)]);
    assert_eq!(rig.target.all(), before);
}

#[test]
fn one_transaction_that_is_refused_changes_nothing() {
    for fault in [Some(Fault::TooSlow), None] {
        let (mut rig, before) = applied(true);
        let after = rig.target.all();
        rig.in_batches = false;
        match fault {
            Some(fault) => drop(rig.target.faults.insert(rig.target.operations + 4, fault)),
            None => drop(rig.target.poison.insert(4)),
        }
        let report = rig.rollback().unwrap();
        assert_eq!((report.end, rig.target.all()), (End::Failed, after), "{:?}", rig.target.log);
        assert!(
            report.why.contains("nothing was changed") && report.why.contains("in batches"),
            "{}",
            report.why
        );
        rig.in_batches = true;
        let report = rig.rollback().unwrap();
        if fault.is_some() {
            assert_eq!((report.end, rig.target.all()), (End::Done, before));
        } else {
            assert_eq!((report.end, tally(&report).failed), (End::Partly, 1), "named, and the rest is back");
        }
    }
}

#[test]
fn a_run_that_goes_on_elsewhere_is_noticed() {
    let mut rig = rig(true);
    rig.target.faults.insert(4, Fault::Broken);
    rig.apply().unwrap();
    // Between the look at the books and the lease, somebody applies another batch.
    let operations = rig.target.operations;
    rig.target.sneak = Some((operations + 3, "apply".into()));
    let refusal = refused(rig.rollback());
    assert!(refusal.contains("was applied further while its rollback was prepared"), "{refusal}");
    assert!(rig.target.lease.is_none());
}

const FAULTS: [Fault; 9] = [
    Fault::Transient(Some(0)),
    Fault::TooSlow,
    Fault::LostBefore,
    Fault::LostAfter,
    Fault::LostHalf,
    Fault::LostLate,
    Fault::CrashBefore,
    Fault::CrashAfter,
    Fault::Broken,
];

/// Does something until it is over, as a person would.
fn insist(rig: &mut PlanRig, what: fn(&mut PlanRig) -> Result<RunReport, RunError>) -> RunReport {
    rig.start = Start::Either;
    for _ in 0..20 {
        match catch_unwind(AssertUnwindSafe(|| what(rig))) {
            Ok(Ok(report)) if matches!(report.end, End::Done) => return report,
            Ok(Ok(report)) if report.is_old || report.why.starts_with("all changes were reached") => {
                return report;
            }
            Ok(_) => {}
            Err(panic) if panic.is::<Crash>() => {}
            Err(panic) => std::panic::resume_unwind(panic),
        }
        rig.pace.advance(Duration::from_hours(2));
    }
    panic!("this never ends");
}

#[test]
fn every_operation_of_a_rollback_may_fail_in_every_way() {
    for (has_books, in_batches) in [(true, true), (true, false), (false, true)] {
        let (mut undisturbed, before) = applied(has_books);
        undisturbed.in_batches = in_batches;
        let first = undisturbed.target.operations;
        undisturbed.rollback().unwrap();
        for fault in FAULTS {
            for k in first..undisturbed.target.operations {
                let (mut rig, _) = applied(has_books);
                rig.in_batches = in_batches;
                rig.target.faults.insert(k, fault);
                let report = insist(&mut rig, PlanRig::rollback);
                let what = format!("{fault:?} at {k}, books {has_books}, in batches {in_batches}");
                assert_eq!(rig.target.all(), before, "{what}");
                assert!(report.ledger.balances(), "{what}");
                assert!(rig.target.writes.values().all(|n| *n == 2), "{what}: once there and once back");
            }
        }
    }
}

/// A plan of inserts, updates and deletions.
fn random(plan: &[u8], has_books: bool, batch: usize) -> PlanRig {
    let mut rig = Rig::new(0, has_books);
    for (id, op) in (0..).zip(plan) {
        rig.plan.push(match op {
            0 => Change::Insert { after: row(id, "new").into_iter().map(Some).collect() },
            1 => Change::Update { before: row(id, "old"), after: row(id, "new") },
            _ => Change::Delete { before: row(id, "old") },
        });
        if *op > 0 {
            rig.target.set(&row(id, "old"));
        }
    }
    rig.settings.batch.rows = NonZeroUsize::new(batch).unwrap();
    rig.settings.on_drift = OnDrift::Skip;
    PlanRig::of(rig)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn rows_that_nobody_touched_are_as_before_and_others_as_somebody_left_them(
        plan in proptest::collection::vec(0..3_u8, 1..20),
        has_books in any::<bool>(),
        in_batches in any::<bool>(),
        batch in 1..7_usize,
        early in proptest::collection::vec((0..20_u64, 0..20_i64, any::<bool>()), 0..4),
        late in proptest::collection::vec((0..20_i64, any::<bool>()), 0..4),
        faults in proptest::collection::vec((0..60_u64, 0..FAULTS.len()), 0..5),
    ) {
        let mut rig = random(&plan, has_books, batch);
        rig.in_batches = in_batches;
        let before = rig.target.rows.clone();
        let mut theirs = std::collections::BTreeMap::new();
        for (at, id, is_there) in early {
            let written = is_there.then(|| row(id, "theirs"));
            if theirs.insert(id, written.clone()).is_none() {
                rig.target.foreign.entry(at).or_default().push((id, written));
            } else {
                theirs.remove(&id);
                for writes in rig.target.foreign.values_mut() {
                    writes.retain(|(other, _)| *other != id);
                }
            }
        }
        rig.target.faults = faults.iter().map(|(at, fault)| (*at, FAULTS[*fault])).collect();
        insist(&mut rig, PlanRig::apply);
        for (id, _) in rig.target.foreign.values().flatten() {
            theirs.remove(id);
        }
        rig.target.foreign.clear();
        for (id, is_there) in late {
            if theirs.contains_key(&id) {
                continue;
            }
            let written = is_there.then(|| row(id, "later"));
            match &written {
                Some(row) => rig.target.set(row),
                None => drop(rig.target.rows.remove(&crate::change::apply::double::key(id))),
            }
            theirs.insert(id, written);
        }
        let report = insist(&mut rig, PlanRig::rollback);
        prop_assert!(report.ledger.balances());
        for id in (0..).take(plan.len()) {
            let key = crate::change::apply::double::key(id);
            let expected = match theirs.get(&id) {
                // A deletion of theirs, of a row that was not there yet or that comes back, is no trace.
                Some(None) => continue,
                Some(Some(row)) => Some(row.clone()),
                None => before.get(&key).map(|row| row[1..].to_vec()),
            };
            prop_assert_eq!(rig.target.get(id), expected, "row {}", id);
        }
        // A run whose end was refused is only closed now, and tells again what it did; nothing is written twice.
        let writes = rig.target.writes.clone();
        insist(&mut rig, PlanRig::rollback);
        prop_assert_eq!(&rig.target.writes, &writes);
    }
}
