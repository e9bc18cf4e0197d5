//! The ways in which a run can go and end.

use super::super::preview::preview;
use super::*;
use crate::change::throttle::{Limits, QueryLimit};
use crate::target::TargetError;

#[test]
fn four_hundred_and_fifty_rows_go_in_three_batches() {
    for has_books in [true, false] {
        let mut rig = Rig::new(450, has_books);
        let report = rig.run(Start::Fresh).unwrap();
        assert_eq!(rig.sent(), [200, 200, 50]);
        assert_eq!(report.end, End::Done, "{report:?}");
        assert_eq!(report.why, "every change has its outcome and reads back");
        assert_eq!(
            report.ledger.equation(),
            "450 = 0 already + 450 applied + 0 drifted + 0 failed + 0 not_reached"
        );
        assert_eq!(report.verification, Some(Verification { verified: 450, altered: 0 }));
        assert_eq!(rig.names(), vec!["new"; 450]);
        assert_eq!(rig.outcomes().len(), 450);
        assert_eq!(
            rig.outcomes()[1],
            r#"{"n":1,"key":[1],"op":"insert","outcome":"applied","reads_back":true}"#
        );
        let json = std::fs::read_to_string(rig.folder().join("report.json")).unwrap();
        assert!(
            json.contains("\"artifact\": \"change-run\"") && json.contains("\"end\": \"done\""),
            "{json}"
        );
        let text = std::fs::read_to_string(rig.folder().join("report.md")).unwrap();
        assert!(text.starts_with("# Plan abababababab: apply\n"), "{text}");
        assert!(rig.target.lease.is_none(), "the table is given back");
    }
}

#[test]
fn a_plan_is_applied_once() {
    for has_books in [true, false] {
        let mut rig = Rig::new(10, has_books);
        rig.run(Start::Fresh).unwrap();
        let operations = rig.target.operations;
        for start in [Start::Fresh, RESUME, Start::Either] {
            let report = rig.run(start).unwrap();
            assert_eq!(report.end, End::Done);
            assert_eq!(report.why, "the apply of this plan was done before; nothing was written");
            assert_eq!(tally(&report).applied, 10);
        }
        assert_eq!(rig.target.operations, operations, "the target was not even asked");
    }
}

#[test]
fn the_books_know_a_plan_whose_folder_is_lost() {
    let mut rig = Rig::new(10, true);
    rig.target.poison.insert(9);
    rig.settings.budget.rows_max = 1;
    rig.run(Start::Fresh).unwrap();
    std::fs::remove_dir_all(rig.folder()).unwrap();
    let sent = rig.sent();
    let refusal = refused(rig.run(Start::Fresh));
    assert!(refusal.starts_with("this apply was begun before"), "{refusal}");
    let report = rig.run(RESUME).unwrap();
    assert_eq!(report.why, "the apply of this plan was done before; nothing was written");
    assert_eq!(report.journal_recovered, 10);
    assert_eq!(tally(&report), Tally { applied: 9, failed: 1, ..Tally::default() });
    assert_eq!(rig.sent(), sent, "nothing was sent again");
    assert!(rig.outcomes()[9].contains("the reason is lost with the journal"));
}

#[test]
fn a_row_that_changed_stops_the_run_or_is_skipped() {
    for has_books in [true, false] {
        let mut rig = Rig::new(10, has_books);
        rig.batches_of(4);
        rig.target.set(&row(2, "theirs"));
        rig.target.set(&row(5, "theirs"));
        rig.target.set(&row(7, "new"));
        let report = rig.run(Start::Fresh).unwrap();
        assert_eq!(report.end, End::Partly);
        assert!(report.why.starts_with("a row is not what the plan saw"), "{}", report.why);
        let expected = "10 = 0 already + 3 applied + 1 drifted + 0 failed + 6 not_reached";
        assert_eq!(report.ledger.equation(), expected);
        assert_eq!(report.verification, None);
        rig.settings.on_drift = OnDrift::Skip;
        let report = rig.run(RESUME).unwrap();
        let expected = "10 = 1 already + 7 applied + 2 drifted + 0 failed + 0 not_reached";
        assert_eq!(report.ledger.equation(), expected);
        assert_eq!(report.end, End::Partly, "rows were left alone: that is not done");
        assert!(report.why.contains("2 drifted, 0 failed"), "{}", report.why);
        assert_eq!(rig.target.get(2).unwrap(), row(2, "theirs"), "nobody is overwritten");
        let problems: Vec<_> = report.problems.iter().map(|p| (p.key.as_str(), p.detail.as_str())).collect();
        assert_eq!(problems, [("[2]", "changed: name"), ("[5]", "changed: name")]);
        assert!(rig.outcomes()[2].ends_with(r#""outcome":"drifted","detail":"changed: name"}"#));
    }
}

#[test]
fn a_poisoned_row_is_named_and_its_neighbours_go_through() {
    for has_books in [true, false] {
        let mut rig = Rig::new(20, has_books);
        rig.batches_of(8);
        rig.target.poison.insert(3);
        let report = rig.run(Start::Fresh).unwrap();
        assert_eq!(report.end, End::Partly);
        assert!(report.why.starts_with("the database refused more than 0 rows"), "{}", report.why);
        assert_eq!(tally(&report), Tally { applied: 7, failed: 1, ..Tally::default() });
        assert_eq!(rig.names().iter().filter(|n| *n == "new").count(), 7);
        assert_eq!((&*report.problems[0].key, &*report.problems[0].detail), ("[3]", "23514 t_check"));
        if has_books {
            assert_eq!(rig.sent(), [8, 4, 2, 2, 1, 1, 4]);
        }
        let refusal = refused(rig.run(RESUME));
        assert!(refusal.starts_with("the error budget is used up"), "{refusal}");
        rig.settings.budget.rows_max = 1;
        let report = rig.run(RESUME).unwrap();
        assert_eq!(tally(&report), Tally { applied: 19, failed: 1, ..Tally::default() });
    }
}

#[test]
fn a_database_that_refuses_everything_is_not_asked_about_every_row() {
    let mut rig = Rig::new(1000, true);
    rig.batches_of(1000);
    rig.target.poison.extend(0..1000);
    let report = rig.run(Start::Fresh).unwrap();
    assert_eq!(tally(&report), Tally { failed: 21, ..Tally::default() });
    assert!(rig.sent().len() < 60, "{:?}", rig.sent());
}

#[test]
fn a_batch_that_takes_too_long_is_halved_and_grows_back() {
    let mut rig = Rig::new(450, true);
    rig.target.rows_in_time = 60;
    let report = rig.run(Start::Fresh).unwrap();
    assert_eq!(report.end, End::Done);
    assert_eq!(rig.sent(), [200, 100, 50, 50, 100, 50, 50, 72, 36, 36, 51, 57, 57, 13]);
    assert!(rig.target.writes.values().all(|n| *n == 1));
}

#[test]
fn one_row_that_always_takes_too_long_stops_the_run_or_fails() {
    let mut rig = Rig::new(3, true);
    rig.target.rows_in_time = 0;
    let report = rig.run(Start::Fresh).unwrap();
    assert!(report.why.starts_with("the target was not available, tried 8 times"), "{}", report.why);
    assert_eq!(report.ledger.count("not_reached"), 3, "it may go through another time");
    rig.settings.budget.rows_max = 1;
    let report = rig.run(RESUME).unwrap();
    assert_eq!(tally(&report).failed, 1);
    rig.target.rows_in_time = 200;
    assert_eq!(tally(&rig.run(RESUME).unwrap()), Tally { applied: 2, failed: 1, ..Tally::default() });
}

#[test]
fn patience_ends() {
    for has_books in [true, false] {
        let mut rig = Rig::new(10, has_books);
        rig.target.faults = (1..9).map(|k| (k, Fault::Transient(Some(0)))).collect();
        let report = rig.run(Start::Fresh).unwrap();
        assert_eq!(report.end, End::Partly);
        assert!(report.why.contains("tried 8 times: fault at operation 8"), "{}", report.why);
        assert_eq!(report.effort.retries, 7);
        let waited = rig.pace.elapsed().as_secs_f64();
        assert!((31.0..64.0).contains(&waited), "Retry-After: 0 is no reason to hammer: {waited} s");
        assert!(rig.states.iter().any(|s| s.starts_with("retrying: fault at operation 1 (try 2 of 8 in 0.")));
        assert_eq!(rig.run(RESUME).unwrap().end, End::Done);
    }
}

#[test]
fn a_server_that_asks_for_time_gets_it() {
    let mut rig = Rig::new(10, true);
    rig.target.faults.insert(1, Fault::Transient(Some(600)));
    rig.run(Start::Fresh).unwrap();
    assert!((600..620).contains(&rig.pace.elapsed().as_secs()));
    assert!(rig.target.log.iter().any(|(name, _)| *name == "renew"), "the lease is kept meanwhile");
}

#[test]
fn nothing_waits_past_the_deadline() {
    for fault in [Fault::Transient(Some(100_000)), Fault::Transient(None), Fault::LostBefore, Fault::TooSlow]
    {
        for has_books in [true, false] {
            let mut rig = Rig::new(10, has_books);
            rig.settings.deadline = Duration::from_hours(1);
            rig.settings.retry.tries_max = u32::MAX;
            rig.run_with(Start::Fresh, None, |_, _| ()).unwrap();
            let mut rig = Rig { settings: rig.settings.clone(), ..Rig::new(10, has_books) };
            rig.batches_of(2);
            rig.target.faults = (3..100_000).map(|k| (k, fault)).collect();
            let report = rig.run(Start::Fresh);
            assert!(rig.pace.elapsed() <= Duration::from_hours(1), "{fault:?}");
            let report = report.unwrap();
            assert_eq!(report.end, End::Partly, "{fault:?} {report:?}");
            assert!(report.why.starts_with("the deadline of the run is over"), "{}", report.why);
        }
    }
}

#[test]
fn a_file_left_behind_does_not_pause_for_ever() {
    let mut rig = Rig::new(10, true);
    let file = rig.dir.path().join("pause");
    crate::files::write_atomic(&file, b"").unwrap();
    rig.settings.limits = Limits { pause_file: Some(file.clone()), ..Limits::default() };
    let report = rig.run(Start::Fresh).unwrap();
    assert!(report.why.starts_with("the deadline"), "{}", report.why);
    assert_eq!(rig.pace.elapsed(), Duration::from_hours(24));
    assert_eq!(rig.states, [format!("throttled: pause file `{}` exists", file.display())]);
    let renewed = rig.target.log.iter().filter(|(name, _)| *name == "renew").count();
    assert!(renewed > 24 * 30, "the lease is kept all the time: {renewed}");
    assert_eq!(rig.sent(), [0; 0]);
    std::fs::remove_file(file).unwrap();
    assert_eq!(rig.run(RESUME).unwrap().end, End::Done);
}

#[test]
fn a_limit_of_rows_a_second_is_kept() {
    let mut rig = Rig::new(1000, true);
    rig.settings.limits = Limits { rows_per_second: Some(50.0), ..Limits::default() };
    let report = rig.run(Start::Fresh).unwrap();
    assert_eq!(rig.sent(), [50; 20], "no more at once than a second's");
    assert_eq!(rig.pace.elapsed(), Duration::from_secs(19));
    assert_eq!(report.effort.throttled_ms, 19_000);
}

#[test]
fn the_throttle_query_is_asked_of_the_target() {
    let mut rig = Rig::new(10, true);
    rig.target.measured = Some(11.0);
    let query = QueryLimit { sql: "SELECT lag".into(), most: 10.0 };
    rig.settings.limits = Limits { query: Some(query), ..Limits::default() };
    rig.settings.deadline = Duration::from_mins(1);
    let report = rig.run(Start::Fresh).unwrap();
    assert!(report.why.starts_with("the deadline"), "{}", report.why);
    assert_eq!(rig.states, ["throttled: the throttle query says 11, at most 10"]);
    assert_eq!(rig.target.ran_sql, 61);
    rig.target.measured = Some(10.0);
    assert_eq!(rig.run(RESUME).unwrap().end, End::Done);
}

#[test]
fn a_wish_to_stop_is_heard_after_the_batch() {
    let mut rig = Rig::new(30, true);
    rig.batches_of(10);
    let report = rig
        .run_with(Start::Fresh, None, |progress, stop| stop.store(progress.done >= 10, Ordering::Relaxed))
        .unwrap();
    assert_eq!(report.end, End::Interrupted);
    assert_eq!(tally(&report).applied, 10);
    assert!(rig.target.lease.is_none(), "the table is given back");
    rig.stop.store(false, Ordering::Relaxed);
    let report = rig.run(RESUME).unwrap();
    assert_eq!((report.end, report.before), (End::Done, 10));
    assert_eq!(rig.sent(), [10, 10, 10]);
}

#[test]
fn the_canary_goes_alone_and_waits_for_an_approval() {
    for has_books in [true, false] {
        let mut rig = Rig::new(30, has_books);
        rig.settings.canary = NonZeroU64::new(7);
        rig.batches_of(5);
        let report = rig.run(Start::Fresh).unwrap();
        assert_eq!(rig.sent(), [5, 2]);
        assert_eq!(report.end, End::Partly);
        assert!(report.why.contains("7 rows, 7 read back as written, 0 altered"), "{}", report.why);
        let refusal = refused(rig.run(RESUME));
        assert!(refusal.starts_with("the canary is not approved"), "{refusal}");
        let report = rig.run(Start::Resume { is_approved: true }).unwrap();
        assert_eq!(report.end, End::Done, "{report:?}");
        assert_eq!(rig.sent()[2..], [5, 5, 5, 5, 3]);
        assert_eq!(report.canary.unwrap().rows, 7);
    }
}

#[test]
fn a_canary_that_does_not_read_back_says_so() {
    let mut rig = Rig::new(30, true);
    rig.settings.canary = NonZeroU64::new(3);
    // begin, apply, and then the read.
    rig.target.foreign.insert(2, vec![(1, None), (2, Some(row(2, "theirs")))]);
    let report = rig.run(Start::Fresh).unwrap();
    assert!(report.why.contains("3 rows, 1 read back as written, 2 altered"), "{}", report.why);
}

#[test]
fn a_canary_larger_than_the_plan_is_the_plan() {
    let mut rig = Rig::new(5, true);
    rig.settings.canary = NonZeroU64::new(50);
    assert_eq!(rig.run(Start::Fresh).unwrap().end, End::Done);
}

#[test]
fn two_runners_do_not_share_a_table() {
    let mut rig = Rig::new(30, true);
    rig.target.lease = Some(("somebody".into(), rig.pace.now().plus(Duration::from_mins(1))));
    let refusal = refused(rig.run(Start::Fresh));
    assert!(refusal.starts_with("another runner holds the table"), "{refusal}");
    assert!(rig.sent().is_empty());
    rig.pace.advance(Duration::from_secs(61));
    rig.batches_of(10);
    rig.target.faults.insert(rig.target.operations + 2, Fault::Taken);
    let report = rig.run(Start::Fresh).unwrap();
    assert!(report.why.starts_with("the table is no longer held by this run"), "{}", report.why);
    assert_eq!((report.end, tally(&report).applied), (End::Partly, 10));
    assert_eq!(rig.target.lease.as_ref().unwrap().0, "somebody else", "theirs is not given back");
    rig.pace.advance(Duration::from_hours(2));
    assert_eq!(rig.run(RESUME).unwrap().end, End::Done);
}

#[test]
fn a_start_must_be_what_it_says() {
    let mut rig = Rig::new(30, true);
    let refusal = refused(rig.run(RESUME));
    assert!(refusal.starts_with("there is nothing to resume"), "{refusal}");
    assert!(rig.target.lease.is_none());
    rig.batches_of(10);
    rig.target.faults.insert(rig.target.operations + 2, Fault::Broken);
    let report = rig.run(Start::Fresh).unwrap();
    assert_eq!((report.end, &*report.why), (End::Partly, "failed to do it: it broke"));
    let refusal = refused(rig.run(Start::Fresh));
    assert!(refusal.contains("10 of 30 changes have an outcome"), "{refusal}");
    assert!(refusal.contains("--resume"), "{refusal}");
}

#[test]
fn what_fails_before_the_first_row_is_a_failure() {
    let mut rig = Rig::new(30, true);
    rig.target.faults.insert(1, Fault::Broken);
    let report = rig.run(Start::Fresh).unwrap();
    assert_eq!((report.end, tally(&report).applied), (End::Failed, 0));
    rig.target.faults.insert(rig.target.operations, Fault::Broken);
    assert!(matches!(rig.run(RESUME), Err(RunError::Target(TargetError::Failed { .. }))));
}

#[test]
fn a_row_that_changes_after_it_was_written_is_seen() {
    let mut rig = Rig::new(5, true);
    rig.plan.push(Change::Delete { before: row(8, "old") });
    rig.target.set(&row(8, "old"));
    let theirs = vec![(2, Some(row(2, "theirs"))), (3, None), (8, Some(row(8, "back")))];
    rig.target.foreign.insert(2, theirs);
    let report = rig.run(Start::Fresh).unwrap();
    assert_eq!(report.end, End::Partly);
    assert_eq!(report.verification, Some(Verification { verified: 3, altered: 3 }));
    let problems: Vec<_> = report.problems.iter().map(|p| (p.what, p.detail.as_str())).collect();
    let expected = ["changed: name", "the row is gone", "the row is there again"];
    assert_eq!(problems, expected.map(|detail| ("altered", detail)));
    assert!(report.why.contains("3 as written, 3 not"), "{}", report.why);
    assert!(rig.outcomes()[3].ends_with(r#""reads_back":false}"#));
}

#[test]
fn what_the_database_stored_is_what_must_read_back() {
    let mut rig = Rig::new(4, true);
    rig.target.has_trigger = true;
    rig.plan[1] =
        Change::Insert { after: vec![Some(Value::Int(1)), Some(Value::Text("new".into())), None, None] };
    let report = rig.run(Start::Fresh).unwrap();
    assert_eq!(report.end, End::Done, "{report:?}");
    let journal = std::fs::read_to_string(rig.folder().join("journal.ndjson")).unwrap();
    assert!(journal.contains(r#"{"stored":[1,"new","none",1]}"#), "{journal}");
}

#[test]
fn a_new_plan_must_be_empty_when_there_is_one() {
    let left = |insert| Replan::Left { insert, update: 0, delete: 0 };
    for (replan, end) in [
        (left(0), End::Done),
        (left(1), End::Partly),
        (Replan::NotPlanned { reason: "the desired file is gone".into() }, End::Done),
    ] {
        let mut rig = Rig::new(4, true);
        let expected = replan.clone();
        let report = rig
            .run_with(Start::Fresh, Some(&mut |_: &mut dyn Target| Ok(replan.clone())), |_, _| ())
            .unwrap();
        assert_eq!((report.end, report.replan.as_ref()), (end, Some(&expected)));
    }
}

#[test]
fn a_plan_that_ends_early_is_not_done() {
    struct Short(Vec<Change>);
    impl Changes for Short {
        fn total(&self) -> u64 {
            self.0.len() as u64 + 1
        }
        fn read(&self, position: u64) -> Result<ChangeIter<'_>, RunError> {
            self.0.read(position)
        }
    }
    let mut rig = Rig::new(4, true);
    let desk = Desk::new(rig.folder());
    let short = Short(rig.plan.clone());
    let job = desk.job(&short);
    let mut context = Context {
        target: &mut rig.target,
        pace: &mut rig.pace,
        ids: &mut Ids::seeded(1),
        stop: &rig.stop,
        progress: &mut |_| (),
    };
    let report = run(&job, &Settings::default(), Start::Fresh, &mut context, Hooks::default()).unwrap();
    assert_eq!(report.end, End::Partly);
    assert!(report.why.contains("the plan counts 5"), "{}", report.why);
}

#[test]
fn a_preview_reads_and_writes_nothing() {
    let mut rig = Rig::new(10, true);
    rig.batches_of(4);
    rig.target.set(&row(2, "theirs"));
    rig.target.set(&row(7, "new"));
    let before = rig.target.all();
    let desk = Desk::new(rig.folder());
    let job = desk.job(&rig.plan);
    let mut context = Context {
        target: &mut rig.target,
        pace: &mut rig.pace,
        ids: &mut Ids::seeded(1),
        stop: &rig.stop,
        progress: &mut |_| (),
    };
    let seen = preview(&job, &rig.settings, &mut context, 2).unwrap();
    assert_eq!(seen.expected, Tally { applied: 8, already: 1, drifted: 1, failed: 0 });
    let batches: Vec<_> = seen.batches.iter().map(|b| (b.first, b.insert, b.update)).collect();
    assert_eq!(batches, [(0, 2, 2), (4, 2, 2), (8, 1, 1)]);
    assert_eq!(seen.rows[0].cells, [r#"name = "new""#]);
    assert_eq!(seen.rows[1].cells.len(), 4);
    assert!(seen.document().markdown().contains("|     4 |      2 |"), "{}", seen.document().markdown());
    assert!(rig.target.log.iter().all(|(name, _)| *name == "read"), "{:?}", rig.target.log);
    assert_eq!(rig.target.all(), before);
    assert!(!rig.folder().exists(), "not even a folder");
}
