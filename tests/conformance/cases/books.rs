//! Leases and books: one runner a table, and every outcome written with its rows.

use super::super::kit::{APPLIED, Kit, LEASE, now, run};
use super::super::world::{NULL, Type, Verdict, World};
use ops::clock::Stamp;
use ops::target::schema::TableName;
use ops::target::{Outcome, RunState, Target, TargetError};

const NO_BOOKS: Verdict = Verdict::NotApplicable("no books in the target");

/// A table with room for everything, where the target keeps books.
fn kit(world: &mut dyn World) -> Option<Kit<'_>> {
    let kit = Kit::pair(world, Type::Int, Type::Text).unwrap();
    kit.can().books_in_target.then_some(kit)
}

/// Later than every lease of the suite.
fn later() -> Stamp {
    now().plus(LEASE * 2)
}

fn begin(
    target: &mut dyn Target,
    kit: &Kit<'_>,
    plan: u32,
    owner: &str,
    at: Stamp,
) -> Result<RunState, TargetError> {
    target.begin(&kit.table, &run(plan), owner, at, at.plus(LEASE))
}

#[track_caller]
fn assert_lost<T: std::fmt::Debug>(result: &Result<T, TargetError>) {
    assert!(matches!(result, Err(TargetError::Lost(_))), "{result:?}");
}

pub(crate) fn begins(world: &mut dyn World) -> Verdict {
    let Some(mut kit) = kit(world) else { return NO_BOOKS };
    kit.begin();
    assert_eq!(kit.next, 0);
    let changes = [kit.insert(&["1", "a"]), kit.insert(&["2", "b"])];
    kit.apply(&changes);
    let one = kit.insert(&["3", "c"]);
    kit.apply_one(one);
    kit.target.close(&kit.run, &kit.owner, false).unwrap();
    kit.reopen();
    kit.begin();
    assert_eq!(kit.next, 3);
    Verdict::Held
}

pub(crate) fn twice(world: &mut dyn World) -> Verdict {
    let Some(mut kit) = kit(world) else { return NO_BOOKS };
    kit.begin();
    let insert = kit.insert(&["1", "a"]);
    kit.apply_one(insert);
    kit.reopen();
    kit.begin();
    assert_eq!(kit.next, 1);
    let insert = kit.insert(&["2", "b"]);
    assert_eq!(kit.apply_one(insert), APPLIED);
    Verdict::Held
}

pub(crate) fn taken(world: &mut dyn World) -> Verdict {
    let Some(mut kit) = kit(world) else { return NO_BOOKS };
    kit.begin();
    let mut other = kit.world.open();
    assert_lost(&begin(other.as_mut(), &kit, 1, "owner-2", now()));
    assert_lost(&begin(other.as_mut(), &kit, 2, "owner-2", now()));
    let insert = kit.insert(&["1", "a"]);
    assert_eq!(kit.apply_one(insert), APPLIED);
    Verdict::Held
}

pub(crate) fn other_table(world: &mut dyn World) -> Verdict {
    let Some(mut kit) = kit(world) else { return NO_BOOKS };
    kit.begin();
    kit.world.ddl("CREATE TABLE u (id INTEGER PRIMARY KEY)");
    let mut other = kit.world.open();
    let table = other.table(&TableName::parse("u").unwrap()).unwrap();
    other.begin(&table, &run(2), "owner-2", now(), now().plus(LEASE)).unwrap();
    Verdict::Held
}

pub(crate) fn taken_over(world: &mut dyn World) -> Verdict {
    let Some(mut kit) = kit(world) else { return NO_BOOKS };
    let insert = kit.insert(&["1", "a"]);
    kit.apply_one(insert);
    let mut other = kit.world.open();
    let state = begin(other.as_mut(), &kit, 1, "owner-2", later()).unwrap();
    assert_eq!(state, RunState { next: 1, is_closed: false });
    let insert = kit.insert(&["2", "b"]);
    assert_lost(&kit.try_apply(&[insert]));
    assert_lost(&kit.target.renew(&kit.run, &kit.owner, later()));
    assert_lost(&kit.target.close(&kit.run, &kit.owner, true));
    assert_eq!(kit.number("SELECT count(*) FROM t"), 1);
    // Another plan takes the table from both.
    let mut third = kit.world.open();
    begin(third.as_mut(), &kit, 2, "owner-3", later().plus(LEASE * 2)).unwrap();
    assert_lost(&other.renew(&kit.run, "owner-2", later().plus(LEASE * 9)));
    Verdict::Held
}

pub(crate) fn renewed(world: &mut dyn World) -> Verdict {
    let Some(mut kit) = kit(world) else { return NO_BOOKS };
    kit.begin();
    kit.target.renew(&kit.run, &kit.owner, later().plus(LEASE)).unwrap();
    let mut other = kit.world.open();
    assert_lost(&begin(other.as_mut(), &kit, 1, "owner-2", later()));
    assert_lost(&other.renew(&kit.run, "owner-2", later()));
    Verdict::Held
}

pub(crate) fn given_back(world: &mut dyn World) -> Verdict {
    let Some(mut kit) = kit(world) else { return NO_BOOKS };
    kit.begin();
    kit.target.close(&kit.run, &kit.owner, false).unwrap();
    let mut other = kit.world.open();
    let state = begin(other.as_mut(), &kit, 2, "owner-2", now()).unwrap();
    assert_eq!(state, RunState { next: 0, is_closed: false });
    let insert = kit.insert(&["1", "a"]);
    assert_lost(&kit.try_apply(&[insert]));
    Verdict::Held
}

pub(crate) fn closed(world: &mut dyn World) -> Verdict {
    let Some(mut kit) = kit(world) else { return NO_BOOKS };
    let insert = kit.insert(&["1", "a"]);
    kit.apply_one(insert);
    kit.target.close(&kit.run, &kit.owner, true).unwrap();
    kit.reopen();
    let mut other = kit.world.open();
    let state = begin(other.as_mut(), &kit, 1, "owner-2", now()).unwrap();
    assert_eq!(state, RunState { next: 1, is_closed: true });
    let mut third = kit.world.open();
    let state = begin(third.as_mut(), &kit, 2, "owner-3", now()).unwrap();
    assert_eq!(
        state,
        RunState { next: 0, is_closed: false },
        "a closed run holds no table, and closes no other"
    );
    Verdict::Held
}

pub(crate) fn unleased(world: &mut dyn World) -> Verdict {
    let Some(mut kit) = kit(world) else { return NO_BOOKS };
    kit.begin();
    kit.target.close(&kit.run, &kit.owner, true).unwrap();
    let insert = kit.insert(&["1", "a"]);
    assert_lost(&kit.try_apply(&[insert]));
    assert_eq!(kit.number("SELECT count(*) FROM t"), 0);
    Verdict::Held
}

pub(crate) fn recorded(world: &mut dyn World) -> Verdict {
    let Some(mut kit) = kit(world) else { return NO_BOOKS };
    kit.world.sql("INSERT INTO t VALUES (1, 'a'), (2, 'theirs'), (4, 'd')");
    let first = [kit.update(&["1", "a"], &["1", "A"]), kit.update(&["2", "b"], &["2", "B"])];
    let second = [kit.delete(&["3", "c"]), kit.update(&["5", "e"], &["5", "E"]), kit.delete(&["4", "d"])];
    let outcomes = [kit.apply(&first), kit.apply(&second)];
    // A process that was killed after the commit finds them.
    let mut other = kit.world.open();
    let all = other.recorded(&kit.run, 0).unwrap();
    let found: Vec<_> = all.iter().map(|batch| (batch.first, &batch.outcomes)).collect();
    assert_eq!(found, [(0, &outcomes[0]), (2, &outcomes[1])]);
    assert_eq!(other.recorded(&kit.run, 2).unwrap(), all[1..]);
    assert_eq!(other.recorded(&kit.run, 5).unwrap(), []);
    assert_eq!(other.recorded(&run(2), 0).unwrap(), []);
    Verdict::Held
}

/// Rows in the books are what a rollback rests on.
pub(crate) fn exact(world: &mut dyn World) -> Verdict {
    let types =
        [Type::Int, Type::BigInt, Type::Numeric, Type::Real, Type::Text, Type::Bytes, Type::Json, Type::Bool];
    let names = ["id", "a", "b", "c", "d", "e", "f", "g"];
    let columns: Vec<_> = names.iter().zip(types).map(|(name, ty)| (*name, ty, "")).collect();
    let mut kit = Kit::new(world, &columns, "PRIMARY KEY (id)").unwrap();
    if !kit.can().books_in_target {
        return NO_BOOKS;
    }
    let theirs = [
        ["1", "9007199254740993", "1.10", "0.1", "it's \"é\"\n", "00ff", "{\"b\": 1,  \"a\":[]}", "true"],
        ["2", NULL, NULL, NULL, NULL, NULL, NULL, NULL],
        ["3", "-1", "1", "1", "1", "", "1", "false"],
    ];
    let inserts: Vec<_> = theirs.iter().map(|row| kit.insert(row)).collect();
    kit.apply(&inserts);
    let mut changes = Vec::new();
    for row in &theirs {
        let mut seen = *row;
        seen[1] = "77";
        let mut after = seen;
        after[4] = "ours";
        changes.push(kit.update(&seen, &after));
    }
    let outcomes = kit.apply(&changes);
    let drifted: Vec<_> = theirs.iter().map(|row| Outcome::Drifted { found: Some(kit.row(row)) }).collect();
    assert_eq!(outcomes, drifted);
    let books = kit.world.open().recorded(&kit.run, 3).unwrap();
    assert_eq!(books[0].outcomes, drifted);
    Verdict::Held
}

pub(crate) fn once(world: &mut dyn World) -> Verdict {
    let Some(mut kit) = kit(world) else { return NO_BOOKS };
    let insert = kit.insert(&["1", "a"]);
    let outcome = kit.apply_one(insert.clone());
    kit.next = 0;
    // A driver that sends a batch again when its answer was lost is told what became of it the first time.
    if let Ok(outcomes) = kit.try_apply(&[insert]) {
        assert_eq!(outcomes, [outcome]);
        let update = kit.update(&["1", "a"], &["1", "b"]);
        assert_eq!(kit.apply_one(update), APPLIED);
        kit.next = 0;
        let other = kit.update(&["1", "b"], &["1", "c"]);
        let _ = kit.try_apply(&[other]);
        assert_eq!(kit.foreign("v", "id"), [Some("b".into())]);
        return Verdict::Held;
    }
    assert_eq!(kit.target.recorded(&kit.run, 0).unwrap().len(), 1);
    Verdict::Held
}

/// A batch that cannot be applied as a whole leaves neither rows nor books behind.
pub(crate) fn all_or_nothing(world: &mut dyn World) -> Verdict {
    let Some(mut kit) = kit(world) else { return NO_BOOKS };
    let insert = kit.insert(&["1", "a"]);
    kit.apply_one(insert);
    kit.world.ddl("ALTER TABLE t RENAME COLUMN v TO w");
    let changes = [kit.insert(&["2", "b"]), kit.delete(&["1", "a"])];
    let error = kit.try_apply(&changes).unwrap_err();
    assert!(matches!(error, TargetError::Refused(_) | TargetError::Failed { .. }), "{error:?}");
    assert_eq!(kit.world.sql("SELECT id, w FROM t"), [[Some("1".to_owned()), Some("a".to_owned())]]);
    assert_eq!(kit.target.recorded(&kit.run, 0).unwrap().len(), 1);
    Verdict::Held
}

pub(crate) fn or_nothing(world: &mut dyn World) -> Verdict {
    let Some(mut kit) = kit(world) else { return NO_BOOKS };
    kit.begin();
    kit.world.ddl("ALTER TABLE ops_change_batches RENAME TO elsewhere");
    let insert = kit.insert(&["1", "a"]);
    assert!(kit.try_apply(std::slice::from_ref(&insert)).is_err());
    assert_eq!(kit.number("SELECT count(*) FROM t"), 0);
    kit.world.ddl("ALTER TABLE elsewhere RENAME TO ops_change_batches");
    assert_eq!(kit.apply_one(insert), APPLIED);
    assert_eq!(kit.target.recorded(&kit.run, 0).unwrap().len(), 1);
    Verdict::Held
}
