//! Every operation fails in every way, and every process dies at every point: the end is the same.

use proptest::prelude::*;

use super::super::double::key;
use super::*;

const FAULTS: [Fault; 10] = [
    Fault::Transient(None),
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

/// A small plan of everything: updates, insertions with and without defaults, deletions, and a row that is already
/// as wanted.
fn rig(has_books: bool) -> Rig {
    let mut rig = Rig::new(13, has_books);
    rig.batches_of(4);
    rig.plan[5] =
        Change::Insert { after: vec![Some(Value::Int(5)), Some(Value::Text("new".into())), None, None] };
    rig.plan.push(Change::Delete { before: row(13, "old") });
    rig.target.set(&row(13, "old"));
    rig.target.set(&row(8, "new"));
    rig
}

fn assert_same_end(disturbed: &Rig, report: &RunReport, undisturbed: &Rig, expected: &RunReport, what: &str) {
    assert_eq!(disturbed.target.all(), undisturbed.target.all(), "{what}");
    assert_eq!(report.ledger, expected.ledger, "{what}");
    assert!(report.ledger.balances(), "{what}");
    assert_eq!(disturbed.target.writes, undisturbed.target.writes, "{what}: no row is written twice");
    assert_eq!(disturbed.outcomes(), undisturbed.outcomes(), "{what}");
}

#[test]
fn every_operation_may_fail_in_every_way() {
    for has_books in [true, false] {
        let mut undisturbed = rig(has_books);
        let expected = undisturbed.run_to_the_end();
        assert_eq!(expected.end, End::Done);
        for fault in FAULTS.into_iter().chain(has_books.then_some(Fault::Taken)) {
            for k in 0..undisturbed.target.operations {
                let mut disturbed = rig(has_books);
                disturbed.target.faults.insert(k, fault);
                let report = disturbed.run_to_the_end();
                let what = format!("{fault:?} at {k}, books: {has_books}");
                assert!(disturbed.target.faults.is_empty(), "{what}: it never came to it");
                assert_same_end(&disturbed, &report, &undisturbed, &expected, &what);
            }
        }
    }
}

#[test]
fn two_faults_may_follow_each_other() {
    for has_books in [true, false] {
        let mut undisturbed = rig(has_books);
        let expected = undisturbed.run_to_the_end();
        for first in FAULTS {
            for second in FAULTS {
                for k in 0..undisturbed.target.operations {
                    let mut disturbed = rig(has_books);
                    disturbed.target.faults.extend([(k, first), (k + 1, second)]);
                    let report = disturbed.run_to_the_end();
                    let what = format!("{first:?} and {second:?} at {k}, books: {has_books}");
                    assert_same_end(&disturbed, &report, &undisturbed, &expected, &what);
                }
            }
        }
    }
}

/// Where a journal may end after a power cut: with books anywhere, without only in the middle of its last line, and
/// not even there when that was flushed before a batch went out.
fn cuts(journal: &[u8], has_books: bool) -> Vec<usize> {
    let mut cuts = Vec::new();
    let mut start = 0;
    for line in journal.split_inclusive(|b| *b == b'\n') {
        cuts.extend([start, start + 1, start + line.len() / 2]);
        start += line.len();
    }
    let last = cuts.len() - 3;
    let is_intent = journal[cuts[last]..].starts_with(b"{\"intent\"");
    match has_books {
        true => cuts,
        false if is_intent => Vec::new(),
        false => cuts.split_off(last),
    }
}

#[test]
fn a_power_cut_may_take_the_end_of_the_journal() {
    for has_books in [true, false] {
        let mut undisturbed = rig(has_books);
        let expected = undisturbed.run_to_the_end();
        let crash = |k| {
            let mut crashed = rig(has_books);
            crashed.target.faults.insert(k, Fault::CrashAfter);
            assert!(crashed.run_or_die(Start::Fresh).is_none());
            crashed
        };
        for k in 0..undisturbed.target.operations {
            let Ok(journal) = std::fs::read(crash(k).folder().join("journal.ndjson")) else { continue };
            for length in cuts(&journal, has_books) {
                let mut disturbed = crash(k);
                let path = disturbed.folder().join("journal.ndjson");
                std::fs::File::options().write(true).open(&path).unwrap().set_len(length as u64).unwrap();
                let report = disturbed.run_to_the_end();
                let what = format!("crash at {k}, {length} bytes left, books: {has_books}");
                assert_same_end(&disturbed, &report, &undisturbed, &expected, &what);
            }
        }
    }
}

#[test]
fn books_that_forgot_are_not_trusted() {
    let mut rig = rig(true);
    rig.target.faults.insert(3, Fault::CrashBefore);
    assert!(rig.run_or_die(Start::Fresh).is_none());
    for book in rig.target.books.values_mut() {
        book.batches.pop();
    }
    rig.pace.advance(Duration::from_hours(1));
    let refusal = refused(rig.run(RESUME));
    assert!(refusal.starts_with("the target's books know less than the journal"), "{refusal}");
    assert!(refusal.contains("restored from a backup"), "{refusal}");
}

#[test]
fn without_books_a_lost_answer_is_looked_up_row_by_row() {
    let mut rig = Rig::new(8, false);
    // begin, look ahead, send, look up
    rig.target.faults.insert(2, Fault::LostHalf);
    rig.target.foreign.insert(3, vec![(1, Some(row(1, "theirs")))]);
    rig.settings.on_drift = OnDrift::Skip;
    let report = rig.run(Start::Fresh).unwrap();
    assert_eq!(tally(&report), Tally { applied: 7, drifted: 1, ..Tally::default() });
    assert_eq!(rig.sent(), [8, 4], "only what had not been written is sent again");
    assert_eq!(report.effort.in_doubt, 1);
}

#[test]
fn a_write_that_arrives_late_is_ours() {
    // The answer is lost, the rows are still as before when they are looked up, and then the write arrives.
    let mut rig = Rig::new(2, false);
    rig.target.faults.insert(2, Fault::LostBefore);
    rig.target.foreign.insert(4, vec![(0, Some(row(0, "new"))), (1, Some(row(1, "new")))]);
    let report = rig.run(Start::Fresh).unwrap();
    assert_eq!(tally(&report), Tally { applied: 2, ..Tally::default() }, "or a rollback would leave them");
}

/// A plan of up to 24 changes, and what is in the table besides.
fn plans() -> impl Strategy<Value = Vec<(i64, u8)>> {
    proptest::collection::vec(0..3_u8, 1..24)
        .prop_map(|ops| (0..).zip(ops).map(|(id, op): (i64, u8)| (id, op)).collect())
}

fn random_rig(plan: &[(i64, u8)], has_books: bool, batch: usize, has_trigger: bool) -> Rig {
    let mut rig = Rig::new(0, has_books);
    rig.batches_of(batch);
    rig.target.has_trigger = has_trigger;
    rig.settings.on_drift = OnDrift::Skip;
    for (id, op) in plan {
        rig.plan.push(match op {
            0 => Change::Insert { after: row(*id, "new").into_iter().map(Some).collect() },
            1 => Change::Update { before: row(*id, "old"), after: row(*id, "new") },
            _ => Change::Delete { before: row(*id, "old") },
        });
        if *op > 0 {
            rig.target.set(&row(*id, "old"));
        }
    }
    rig
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_happens_nobody_is_overwritten(
        plan in plans(),
        has_books in any::<bool>(),
        batch in 1..9_usize,
        foreign in proptest::collection::vec((0..40_u64, 0..24_i64, any::<bool>()), 0..5),
        faults in proptest::collection::vec((0..40_u64, 0..FAULTS.len()), 0..5),
    ) {
        let mut rig = random_rig(&plan, has_books, batch, false);
        let mut theirs = std::collections::BTreeMap::new();
        for (at, id, is_there) in &foreign {
            // One write a row, of a value that nobody else would write.
            if theirs.contains_key(id) { continue; }
            let written = is_there.then(|| row(*id, "theirs"));
            theirs.insert(*id, written.clone());
            rig.target.foreign.entry(*at).or_default().push((*id, written));
        }
        rig.target.faults = faults.iter().map(|(at, fault)| (*at, FAULTS[*fault])).collect();
        let report = rig.run_to_the_end();
        let pending: Vec<i64> = rig.target.foreign.values().flatten().map(|(id, _)| *id).collect();
        prop_assert!(report.ledger.balances());
        // Without books nobody can tell a row that was deleted after a lost answer from one that never came.
        let gone: Vec<_> = theirs.iter().filter(|(_, row)| row.is_none()).map(|(id, _)| key(*id)).collect();
        let may_be_two = |key| !has_books && gone.contains(key);
        prop_assert!(rig.target.writes.iter().all(|(key, n)| *n == 1 || may_be_two(key)));
        prop_assert_eq!(rig.outcomes().len(), plan.len());
        for (id, op) in &plan {
            let (id, op) = (*id, *op);
            let now = rig.target.get(id);
            match theirs.get(&id).filter(|_| !pending.contains(&id)) {
                // A deletion of theirs may come before an insertion of ours.
                Some(None) if op == 0 => prop_assert!(now.is_none() || now == Some(row(id, "new"))),
                Some(written) => prop_assert_eq!(&now, written, "row {}", id),
                None => prop_assert_eq!(now, (op < 2).then(|| row(id, "new")), "row {}", id),
            }
        }
    }
}
