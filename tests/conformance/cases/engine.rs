//! The change engine on a real target: there and back, whatever fails and whoever else writes.

use ops::change::apply::{End, RunReport};
use ops::target::Change;
use ops::value::Row;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::super::bench::Bench;
use super::super::faulty::Fault;
use super::super::kit::Kit;
use super::super::world::{Dialect, NULL, Type, Verdict, World};

const COLUMNS: [(&str, Type, &str); 4] = [
    ("id", Type::Int, "PRIMARY KEY"),
    ("name", Type::Text, ""),
    ("amount", Type::Numeric, ""),
    ("note", Type::Text, "DEFAULT 'given'"),
];

/// Seven rows, and a plan that updates, inserts and deletes some of them.
fn bench(world: &mut dyn World) -> (Kit<'_>, Bench) {
    let mut kit = Kit::new(world, &COLUMNS, "").unwrap();
    let amount = kit.world.dialect().literal(Type::Numeric, "1.50");
    let inserts: Vec<String> = (1..=7).map(|n| format!("({n}, 'old {n}', {amount}, NULL)")).collect();
    kit.world.sql(&format!("INSERT INTO t (id, name, amount, note) VALUES {}", inserts.join(", ")));
    let old = |n: &'static str, name| [n, name, "1.50", NULL];
    let mut changes = vec![
        kit.update(&old("1", "old 1"), &["1", "it's", "2.25", ""]),
        kit.update(&old("2", "old 2"), &["2", "old 2", NULL, "x"]),
        kit.update(&old("4", "old 4"), &["4", "new", "1.50", NULL]),
        kit.delete(&old("5", "old 5")),
        kit.insert(&["8", "new", "0.10", NULL]),
        kit.insert_some(&[("id", "9"), ("name", "new")]),
    ];
    changes.push(kit.insert(&["10", "new", "1", "n"]));
    let bench = Bench::new(&mut kit, changes, 2);
    (kit, bench)
}

fn is_over(report: &RunReport) -> bool {
    report.end == End::Done || report.is_old || report.why.starts_with("all changes were reached")
}

/// Does something until it is over, as a person would.
fn insist(
    kit: &mut Kit<'_>,
    bench: &mut Bench,
    what: fn(&mut Bench, &mut Kit<'_>) -> Option<Result<RunReport, ops::change::error::RunError>>,
) -> RunReport {
    for _ in 0..5 {
        match what(bench, kit) {
            Some(Ok(report)) if is_over(&report) => return report,
            Some(Err(error)) => panic!("{error}"),
            Some(Ok(_)) | None => {}
        }
    }
    panic!("this never ends");
}

pub(crate) fn there_and_back(world: &mut dyn World) -> Verdict {
    let (mut kit, mut bench) = bench(world);
    let before = kit.scan().0;
    let report = bench.apply(&mut kit).unwrap().unwrap();
    assert_eq!(report.end, End::Done, "{}", report.why);
    assert_eq!(report.verification.unwrap().verified, 7);
    let names = kit.foreign("name", "id");
    let expected = ["it's", "old 2", "old 3", "new", "old 6", "old 7", "new", "new", "new"];
    assert_eq!(names, expected.map(|name| Some(name.to_owned())));
    assert_eq!(kit.foreign("note", "id")[7].as_deref(), Some("given"));
    let after = kit.scan().0;

    let again = bench.apply(&mut kit).unwrap().unwrap();
    assert!(again.is_old && again.end == End::Done && bench.calls == 0, "an id is applied once");
    assert_eq!(kit.scan().0, after);

    let report = bench.rollback(&mut kit).unwrap().unwrap();
    assert_eq!(report.end, End::Done, "{}", report.why);
    assert_eq!(kit.scan().0, before);
    let again = bench.rollback(&mut kit).unwrap().unwrap();
    assert_eq!((again.end, again.ledger.total, bench.calls), (End::Done, 0, 0), "twice is once");
    Verdict::Held
}

/// Every call that writes fails in every way, applying and rolling back.
pub(crate) fn whatever_fails(world: &mut dyn World) -> Verdict {
    let (mut kit, mut calm) = bench(world);
    let before = kit.scan().0;
    let expected = insist(&mut kit, &mut calm, Bench::apply);
    let (after, applying) = (kit.scan().0, calm.calls);
    insist(&mut kit, &mut calm, Bench::rollback);
    let rolling_back = calm.calls;
    drop(kit);
    for fault in Fault::ALL {
        for k in 0..applying.max(rolling_back) {
            world.fresh();
            let (mut kit, mut bench) = bench(world);
            bench.fault = Some((k, fault));
            let report = insist(&mut kit, &mut bench, Bench::apply);
            assert_eq!(kit.scan().0, after, "{fault:?} at call {k}");
            assert_eq!(report.ledger, expected.ledger, "{fault:?} at call {k}");
            bench.fault = Some((k, fault));
            let report = insist(&mut kit, &mut bench, Bench::rollback);
            assert_eq!(kit.scan().0, before, "{fault:?} at call {k} of the rollback");
            assert_eq!(report.ledger.count("applied"), 7, "{fault:?} at call {k} of the rollback");
        }
    }
    Verdict::Held
}

/// What somebody else wrote before or after a run is neither overwritten nor rolled back.
pub(crate) fn others_are_left_alone(world: &mut dyn World) -> Verdict {
    let (mut kit, mut bench) = bench(world);
    kit.world.sql("UPDATE t SET note = 'theirs' WHERE id = 1");
    kit.world.sql("INSERT INTO t (id, name) VALUES (8, 'theirs')");
    kit.world.sql("DELETE FROM t WHERE id = 5");
    let report = bench.apply(&mut kit).unwrap().unwrap();
    let expected = "7 = 1 already + 4 applied + 2 drifted + 0 failed + 0 not_reached";
    assert_eq!((report.end, report.ledger.equation().as_str()), (End::Partly, expected));
    kit.world.sql("UPDATE t SET note = 'theirs' WHERE id = 4");
    kit.world.sql("UPDATE t SET name = 'theirs' WHERE id = 10");
    let report = bench.rollback(&mut kit).unwrap().unwrap();
    let expected = "4 = 0 already + 2 applied + 2 drifted + 0 failed + 0 not_reached";
    assert_eq!((report.end, report.ledger.equation().as_str()), (End::Partly, expected));
    let ids: Vec<_> = kit.foreign("id", "id").into_iter().flatten().collect();
    assert_eq!(ids, ["1", "2", "3", "4", "6", "7", "8", "10"]);
    let names = ["old 1", "old 2", "old 3", "new", "old 6", "old 7", "theirs", "theirs"];
    assert_eq!(kit.foreign("name", "id"), names.map(|name| Some(name.to_owned())));
    let notes = [Some("theirs"), None, None, Some("theirs"), None, None];
    assert_eq!(kit.foreign("note", "id")[..6], notes.map(|note| note.map(str::to_owned)));
    Verdict::Held
}

/// A table of random types and rows, a random plan, and what others do before and after it.
#[derive(Debug, Clone)]
struct Tale {
    types: Vec<Type>,
    /// By row: the samples it has, and what the plan does (0 nothing, 1 update, 2 delete, 3 insert).
    rows: Vec<(Vec<usize>, Vec<usize>, u8)>,
    /// Rows that somebody else changes before the plan is applied, and after.
    early: Vec<usize>,
    late: Vec<usize>,
    batch: usize,
    fault: (usize, usize),
}

fn tale(dialect: Dialect) -> impl Strategy<Value = Tale> {
    let types = [
        Type::Bool,
        Type::BigInt,
        Type::Numeric,
        Type::Text,
        Type::Bytes,
        Type::Jsonb,
        Type::Uuid,
        Type::TimestampTz,
        Type::Date,
        Type::TextArray,
    ];
    let types: Vec<Type> = types.into_iter().filter(|ty| dialect.column_type(*ty).is_some()).collect();
    let row = || proptest::collection::vec(0..64_usize, 4);
    (
        proptest::sample::subsequence(types, 1..5),
        proptest::collection::vec((row(), row(), 0..4_u8), 1..14),
        proptest::collection::vec(0..14_usize, 0..3),
        proptest::collection::vec(0..14_usize, 0..3),
        1..6_usize,
        (0..8_usize, 0..Fault::ALL.len()),
    )
        .prop_map(|(types, rows, early, late, batch, fault)| Tale {
            types,
            rows,
            early,
            late,
            batch,
            fault,
        })
}

/// The samples of a type that every database of the suite stores as they are spelled.
fn sample(kit: &Kit<'_>, ty: Type, n: usize) -> &'static str {
    let can = |text: &&&str| kit.world.can_write(ty, text) && !text.contains("NaN") && text.len() < 1000;
    let samples: Vec<_> = ty.samples().iter().filter(can).collect();
    if n.is_multiple_of(7) { NULL } else { samples[n % samples.len()] }
}

/// The table of a tale with its rows, and the changes of the plan.
fn told<'w>(world: &'w mut dyn World, tale: &Tale) -> (Kit<'w>, Vec<Change>) {
    let names = ["a", "b", "c", "d"];
    let mut columns = vec![("id", Type::Int, "PRIMARY KEY"), ("mark", Type::Text, "")];
    columns.extend(tale.types.iter().zip(names).map(|(ty, name)| (name, *ty, "")));
    let kit = Kit::new(world, &columns, "").unwrap();
    let dialect = kit.world.dialect();
    let mut changes = Vec::new();
    for (n, (before, after, op)) in tale.rows.iter().enumerate() {
        let id = n.to_string();
        let cells = |samples: &[usize], mark: &'static str| -> Vec<String> {
            let cells = tale.types.iter().zip(samples).map(|(ty, n)| sample(&kit, *ty, *n).to_owned());
            [id.clone(), mark.to_owned()].into_iter().chain(cells).collect()
        };
        let (before, after) = (cells(before, "old"), cells(after, "new"));
        changes.extend(match op {
            0 => None,
            1 => Some(kit.update(&spelled(&before), &spelled(&after))),
            2 => Some(kit.delete(&spelled(&before))),
            _ => Some(kit.insert(&spelled(&after))),
        });
        if *op < 3 {
            let values: Vec<String> =
                columns.iter().zip(&before).map(|((_, ty, _), text)| dialect.literal(*ty, text)).collect();
            let names: Vec<&str> = columns.iter().map(|(name, ..)| *name).collect();
            kit.world.sql(&format!("INSERT INTO t ({}) VALUES ({})", names.join(", "), values.join(", ")));
        }
    }
    (kit, changes)
}

fn spelled(row: &[String]) -> Vec<&str> {
    row.iter().map(String::as_str).collect()
}

/// Somebody else marks rows, whether they are there or not, and gives back which of them are marked now.
fn mark(kit: &mut Kit<'_>, rows: &[usize]) -> Vec<usize> {
    let mut marked = rows.to_vec();
    for n in rows {
        kit.world.sql(&format!("UPDATE t SET mark = 'theirs' WHERE id = {n}"));
    }
    let ids = kit.world.sql("SELECT id FROM t");
    let ids: Vec<usize> = ids.iter().map(|row| row[0].as_ref().unwrap().parse().unwrap()).collect();
    marked.retain(|n| ids.contains(n));
    marked
}

fn by_id(kit: &mut Kit<'_>) -> Vec<(usize, Row)> {
    let id = |row: &Row| match row[0] {
        ops::value::Value::Int(id) => usize::try_from(id).unwrap(),
        ref other => panic!("{other:?}"),
    };
    kit.scan().0.into_iter().map(|row| (id(&row), row)).collect()
}

/// Nobody's rows are as before after a rollback, and everybody else's as they left them.
fn holds(world: &mut dyn World, tale: &Tale) -> Result<(), TestCaseError> {
    world.fresh();
    let (mut kit, changes) = told(world, tale);
    if changes.is_empty() {
        return Ok(());
    }
    let planned: Vec<usize> =
        tale.rows.iter().enumerate().filter(|(_, (.., op))| *op > 0).map(|(n, _)| n).collect();
    let before = by_id(&mut kit);
    let mut bench = Bench::new(&mut kit, changes, tale.batch);
    let early = mark(&mut kit, &tale.early);
    bench.fault = Some((tale.fault.0, Fault::ALL[tale.fault.1]));
    let report = insist(&mut kit, &mut bench, Bench::apply);
    let drifted = early.iter().collect::<std::collections::BTreeSet<_>>();
    let drifted = drifted.into_iter().filter(|n| planned.contains(n)).count() as u64;
    prop_assert!(report.ledger.balances());
    prop_assert_eq!(report.ledger.count("drifted"), drifted, "{}", report.ledger.equation());
    prop_assert_eq!(report.ledger.count("applied"), planned.len() as u64 - drifted);
    prop_assert_eq!(report.verification.unwrap().altered, 0);
    let late = mark(&mut kit, &tale.late);
    let theirs = by_id(&mut kit);
    bench.fault = Some((tale.fault.0, Fault::ALL[tale.fault.1]));
    let report = insist(&mut kit, &mut bench, Bench::rollback);
    prop_assert!(report.ledger.balances());
    let after = by_id(&mut kit);
    for n in 0..tale.rows.len() {
        let row = |rows: &[(usize, Row)]| rows.iter().find(|(id, _)| *id == n).map(|(_, row)| row.clone());
        let expected = if early.contains(&n) || late.contains(&n) { row(&theirs) } else { row(&before) };
        prop_assert_eq!(row(&after), expected, "row {}", n);
    }
    Ok(())
}

pub(crate) fn random_plans(world: &mut dyn World) -> Verdict {
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let world = std::cell::RefCell::new(world);
    let tales = tale(world.borrow().dialect());
    runner.run(&tales, |tale| holds(&mut **world.borrow_mut(), &tale)).unwrap_or_else(|e| panic!("{e}"));
    Verdict::Held
}
