//! Every kind of value, written and read back by the driver and by another client.

use super::super::kit::{APPLIED, Kit};
use super::super::world::{Dialect, NULL, Type, Verdict, World};
use ops::target::Outcome;
use ops::value::{Row, Value, same_row};

pub(crate) fn booleans(world: &mut dyn World) -> Verdict {
    round_trip(world, Type::Bool)
}

pub(crate) fn integers(world: &mut dyn World) -> Verdict {
    round_trip(world, Type::Int)
}

pub(crate) fn big_integers(world: &mut dyn World) -> Verdict {
    round_trip(world, Type::BigInt)
}

pub(crate) fn numbers(world: &mut dyn World) -> Verdict {
    round_trip(world, Type::Numeric)
}

pub(crate) fn floats(world: &mut dyn World) -> Verdict {
    round_trip(world, Type::Real)
}

pub(crate) fn texts(world: &mut dyn World) -> Verdict {
    round_trip(world, Type::Text)
}

pub(crate) fn bytes(world: &mut dyn World) -> Verdict {
    round_trip(world, Type::Bytes)
}

pub(crate) fn json(world: &mut dyn World) -> Verdict {
    round_trip(world, Type::Json)
}

pub(crate) fn jsonb(world: &mut dyn World) -> Verdict {
    round_trip(world, Type::Jsonb)
}

pub(crate) fn uuids(world: &mut dyn World) -> Verdict {
    round_trip(world, Type::Uuid)
}

pub(crate) fn times_with_zone(world: &mut dyn World) -> Verdict {
    round_trip(world, Type::TimestampTz)
}

pub(crate) fn times(world: &mut dyn World) -> Verdict {
    round_trip(world, Type::Timestamp)
}

pub(crate) fn days(world: &mut dyn World) -> Verdict {
    round_trip(world, Type::Date)
}

pub(crate) fn arrays(world: &mut dyn World) -> Verdict {
    round_trip(world, Type::TextArray)
}

/// Inserts every sample, replaces each by the next, and deletes them; foreign rows are read as well.
fn round_trip(world: &mut dyn World, ty: Type) -> Verdict {
    let Some(mut kit) = Kit::pair(world, Type::Int, ty) else {
        return Verdict::NotApplicable("no such type");
    };
    let mut samples = [ty.samples(), &[NULL]].concat();
    samples.retain(|text| kit.world.can_write(ty, text));
    let ids: Vec<String> = (0..samples.len()).map(|i| i.to_string()).collect();
    let rows = |shift: usize| -> Vec<[&str; 2]> {
        let value = |i: usize| samples[(i + shift) % samples.len()];
        ids.iter().enumerate().map(|(i, id)| [id.as_str(), value(i)]).collect()
    };

    let inserts: Vec<_> = rows(0).iter().map(|row| kit.insert(row)).collect();
    let first = kit.apply(&inserts);
    assert!(first.iter().all(|o| *o == APPLIED), "{first:?}");
    check(&mut kit, ty, &rows(0));

    let updates: Vec<_> =
        rows(0).iter().zip(rows(1)).map(|(before, after)| kit.update(before, &after)).collect();
    let second = kit.apply(&updates);
    assert!(second.iter().all(|o| *o == APPLIED), "{second:?}");
    check(&mut kit, ty, &rows(1));

    let deletes: Vec<_> = rows(1).iter().map(|row| kit.delete(row)).collect();
    let third = kit.apply(&deletes);
    assert!(third.iter().all(|o| *o == APPLIED), "{third:?}");
    check(&mut kit, ty, &[]);

    for [id, text] in rows(0) {
        let literal = kit.world.dialect().literal(ty, text);
        kit.world.sql(&format!("INSERT INTO t (id, v) VALUES ({id}, {literal})"));
    }
    check(&mut kit, ty, &rows(0));
    Verdict::Held
}

/// The rows of the table, in the eyes of the driver (scan and read) and of the other client.
fn check(kit: &mut Kit<'_>, ty: Type, expected: &[[&str; 2]]) {
    let rows: Vec<Row> = expected.iter().map(|row| kit.row(row)).collect();
    let (scanned, proof) = kit.scan();
    assert_eq!(proof.rows, rows.len() as u64);
    for (found, row) in scanned.iter().zip(&rows) {
        assert!(same_row(found, row), "scanned {found:?} instead of {row:?}");
    }
    let keys: Vec<Row> = rows.iter().map(|row| vec![row[0].clone()]).collect();
    let read = kit.target.read(&kit.table, &kit.key, &keys).unwrap();
    for (found, row) in read.iter().zip(&rows) {
        assert!(
            found.as_ref().is_some_and(|found| same_row(found, row)),
            "read {found:?} instead of {row:?}"
        );
    }
    let foreign = kit.foreign("v", "id");
    assert_eq!(foreign.len(), expected.len());
    for (found, [_, text]) in foreign.iter().zip(expected) {
        let found = found.as_deref().unwrap_or(NULL);
        assert!(ty.same_text(found, text), "another client reads `{found}` instead of `{text}`");
    }
}

/// What a database cannot store it may change or refuse, but not in silence.
pub(crate) fn odd_floats(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Int, Type::Real).unwrap();
    for (id, text) in [("1", "-0.0"), ("2", "NaN")] {
        let insert = kit.insert(&[id, text]);
        let sent = kit.row(&[id, text]);
        match kit.apply_one(insert) {
            Outcome::Applied { stored } => {
                let found = kit.read(&[id]).unwrap();
                let claimed = stored.as_ref().unwrap_or(&sent);
                let nan = |row: &Row| matches!(row[1], Value::Real(x) if x.is_nan());
                assert!(
                    same_row(&found, claimed) || (nan(&found) && nan(claimed)),
                    "{found:?}, not {claimed:?}"
                );
                let other = if stored.is_some() { !same_row(&found, &sent) } else { true };
                assert!(other, "{found:?} is what was sent");
            }
            Outcome::Failed { .. } => assert_eq!(kit.read(&[id]), None),
            other => panic!("{other:?}"),
        }
    }
    Verdict::Held
}

pub(crate) fn long_text(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Int, Type::Text).unwrap();
    let long = "0123456789abcdeé".repeat(60_000);
    let insert = kit.insert(&["1", &long]);
    assert_eq!(kit.apply_one(insert), APPLIED);
    let expected = kit.row(&["1", &long]);
    assert!(kit.read(&["1"]).unwrap() == expected);
    assert!(kit.foreign("v", "id")[0].as_deref() == Some(long.as_str()));
    Verdict::Held
}

pub(crate) fn nul(world: &mut dyn World) -> Verdict {
    let dialect = world.dialect();
    let mut kit = Kit::pair(world, Type::Int, Type::Text).unwrap();
    let insert = kit.insert(&["1", "a\0b"]);
    match dialect {
        Dialect::Sqlite => {
            assert_eq!(kit.apply_one(insert), APPLIED);
            assert_eq!(kit.read(&["1"]), Some(kit.row(&["1", "a\0b"])));
            assert_eq!(kit.number("SELECT length(CAST(v AS BLOB)) FROM t"), 3);
        }
        // PostgreSQL has no such text.
        Dialect::Postgres => {
            let outcome = kit.try_apply(&[insert]);
            let is_refused = match &outcome {
                Ok(outcomes) => matches!(outcomes[0], Outcome::Failed { .. }),
                Err(_) => true,
            };
            assert!(is_refused, "{outcome:?}");
            assert_eq!(kit.number("SELECT count(*) FROM t"), 0);
        }
    }
    Verdict::Held
}

pub(crate) fn null_is_not_empty(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Int, Type::Text).unwrap();
    let inserts = [kit.insert(&["1", NULL]), kit.insert(&["2", ""])];
    assert_eq!(kit.apply(&inserts), [APPLIED, APPLIED]);
    assert_eq!(kit.read(&["1"]).unwrap()[1], Value::Null);
    assert_eq!(kit.read(&["2"]).unwrap()[1], Value::Text(String::new()));
    assert_eq!(kit.number("SELECT count(*) FROM t WHERE v IS NULL"), 1);
    assert_eq!(kit.number("SELECT count(*) FROM t WHERE v = ''"), 1);
    Verdict::Held
}
