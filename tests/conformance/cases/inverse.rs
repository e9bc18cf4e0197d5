//! What was applied can be taken back from what the driver said it did.

use super::super::kit::{APPLIED, Kit};
use super::super::world::{NULL, Type, Verdict, World};
use ops::target::{Change, Outcome, RunId};
use ops::value::{Row, same_row};

/// The change that takes another one back.
fn inverse(change: &Change, outcome: &Outcome) -> Option<Change> {
    let Outcome::Applied { stored } = outcome else { return None };
    Some(match change {
        Change::Insert { after } => {
            let sent = || after.iter().cloned().map(Option::unwrap).collect();
            Change::Delete { before: stored.clone().unwrap_or_else(sent) }
        }
        Change::Update { before, after } => {
            Change::Update { before: stored.clone().unwrap_or_else(|| after.clone()), after: before.clone() }
        }
        Change::Delete { before } => Change::Insert { after: before.iter().cloned().map(Some).collect() },
    })
}

const COLUMNS: [(&str, Type, &str); 7] = [
    ("id", Type::Uuid, "PRIMARY KEY"),
    ("a", Type::Text, "DEFAULT 'given'"),
    ("b", Type::Numeric, ""),
    ("c", Type::Json, ""),
    ("d", Type::Bytes, ""),
    ("e", Type::TimestampTz, ""),
    ("f", Type::Real, ""),
];

fn id(n: usize) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

/// A table of five rows, changed in every way; and what brings it back.
fn changed(world: &mut dyn World) -> (Kit<'_>, Vec<Row>, Vec<Change>) {
    let null = if world.can_write(Type::Json, "null") { "null" } else { "{}" };
    let mut kit = Kit::new(world, &COLUMNS, "").unwrap();
    let rows = [
        ["it's", "1.10", "{\"b\":1,  \"a\":2}", "00ff", "2026-01-02 03:04:05.123456+00", "0.1"],
        [NULL, NULL, NULL, NULL, NULL, NULL],
        ["", "0", null, "", "0001-01-01 00:00:00+00", "0"],
        ["same", "123456789012345678901234567890", "[]", "5c", "infinity", "-2.5"],
        ["gone", "-1", "\"x\"", "01", "1969-12-31 23:59:59+00", "5e-324"],
    ];
    let ids: Vec<String> = (0..=rows.len()).map(id).collect();
    let row = |n: usize| [&[ids[n].as_str()][..], &rows[n]].concat();
    let originals: Vec<Change> = (0..rows.len()).map(|n| kit.insert(&row(n))).collect();
    assert!(kit.apply(&originals).iter().all(|o| *o == APPLIED));
    let before = kit.scan().0;

    let swapped = |n: usize, from: usize| [&[ids[n].as_str()][..], &rows[from]].concat();
    let changes = [
        kit.update(&row(0), &swapped(0, 1)),
        kit.update(&row(1), &swapped(1, 0)),
        kit.update(&row(2), &swapped(2, 3)),
        kit.delete(&row(4)),
        kit.insert_some(&[("id", &ids[5]), ("b", "7.0")]),
    ];
    let outcomes = kit.apply(&changes);
    assert!(outcomes.iter().all(|o| matches!(o, Outcome::Applied { .. })), "{outcomes:?}");
    let back: Vec<Change> =
        changes.iter().zip(&outcomes).rev().filter_map(|(change, o)| inverse(change, o)).collect();
    assert_eq!(back.len(), changes.len());
    (kit, before, back)
}

/// Goes on with another direction of the same plan, as a rollback does.
fn turn_round(kit: &mut Kit<'_>) {
    kit.target.close(&kit.run, &kit.owner, true).unwrap();
    kit.run = RunId { plan: kit.run.plan.clone(), direction: "rollback".to_owned() };
    kit.reopen();
    kit.begin();
    assert_eq!(kit.next, 0, "a rollback has books of its own");
}

fn assert_rows(found: &[Row], expected: &[Row]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(same_row(found, expected), "{found:?} instead of {expected:?}");
    }
}

pub(crate) fn whole(world: &mut dyn World) -> Verdict {
    let (mut kit, before, back) = changed(world);
    turn_round(&mut kit);
    let outcomes = kit.apply(&back);
    assert!(outcomes.iter().all(|o| *o == APPLIED), "{outcomes:?}");
    assert_rows(&kit.scan().0, &before);
    let again = kit.apply(&back);
    assert!(again.iter().all(|o| *o == Outcome::Already), "{again:?}");
    Verdict::Held
}

pub(crate) fn spares_others(world: &mut dyn World) -> Verdict {
    let (mut kit, mut expected, back) = changed(world);
    kit.world.sql(&format!("UPDATE t SET a = 'theirs' WHERE id IN ('{}', '{}')", id(0), id(5)));
    let theirs = [kit.read(&[&id(0)]).unwrap(), kit.read(&[&id(5)]).unwrap()];
    turn_round(&mut kit);
    let outcomes = kit.apply(&back);
    let drifted = outcomes.iter().filter(|o| matches!(o, Outcome::Drifted { found: Some(_) })).count();
    assert_eq!(drifted, 2, "{outcomes:?}");
    expected[0].clone_from(&theirs[0]);
    expected.push(theirs[1].clone());
    assert_rows(&kit.scan().0, &expected);
    Verdict::Held
}
