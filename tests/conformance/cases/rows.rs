//! What becomes of changes: done, already so, drifted, refused; and what is left alone.

use super::super::kit::{APPLIED, Kit};
use super::super::world::{NULL, Type, Verdict, World};
use ops::target::{Change, Outcome, TargetError};
use ops::value::Value;

pub(crate) fn defaults(world: &mut dyn World) -> Verdict {
    let columns = [
        ("id", Type::Int, "PRIMARY KEY"),
        ("a", Type::Text, "NOT NULL DEFAULT 'given'"),
        ("b", Type::Int, "DEFAULT 7"),
        ("c", Type::Text, ""),
    ];
    let mut kit = Kit::new(world, &columns, "").unwrap();
    let changes = [kit.insert_some(&[("id", "1")]), kit.insert_some(&[("id", "2"), ("b", NULL), ("c", "x")])];
    let stored = |row| Outcome::Applied { stored: Some(row) };
    let expected = [kit.row(&["1", "given", "7", NULL]), kit.row(&["2", "given", NULL, "x"])];
    assert_eq!(kit.apply(&changes), expected.clone().map(stored));
    assert_eq!(kit.scan().0, expected);
    assert_eq!(kit.foreign("b", "id"), [Some("7".into()), None]);
    Verdict::Held
}

fn numbered_table(world: &mut dyn World) -> Kit<'_> {
    let key = world.dialect().numbered_key();
    world.ddl(&format!("CREATE TABLE t (id {key}, v TEXT NOT NULL UNIQUE)"));
    Kit::of(world, &[Type::BigInt, Type::Text])
}

pub(crate) fn numbered(world: &mut dyn World) -> Verdict {
    let mut kit = numbered_table(world);
    if !kit.world.shows_catalogue() {
        return super::NOT_SHOWN;
    }
    assert_eq!(kit.table.columns[0].origin, ops::target::schema::Origin::Numbered);
    kit.key = vec![1];
    let inserts = [kit.insert_some(&[("v", "a")]), kit.insert_some(&[("v", "b")])];
    for outcome in kit.apply(&inserts) {
        let Outcome::Applied { stored: Some(row) } = outcome else { panic!("{outcome:?}") };
        let key = [row[1].clone()].to_vec();
        assert_eq!(kit.target.read(&kit.table, &kit.key, &[key]).unwrap(), [Some(row)]);
    }
    assert_eq!(kit.number("SELECT count(DISTINCT id) FROM t"), 2);
    let again = kit.insert_some(&[("v", "a")]);
    let outcome = kit.apply_one(again);
    assert_eq!(outcome, Outcome::Already, "what was not given cannot differ");
    Verdict::Held
}

pub(crate) fn given_number(world: &mut dyn World) -> Verdict {
    let mut kit = numbered_table(world);
    let insert = kit.insert(&["9007199254740993", "a"]);
    assert_eq!(kit.apply_one(insert), APPLIED);
    assert_eq!(kit.foreign("id", "id"), [Some("9007199254740993".into())]);
    Verdict::Held
}

/// A deleted row comes back under its old number.
pub(crate) fn always_numbered(world: &mut dyn World) -> Verdict {
    let Some(key) = world.dialect().always_numbered_key() else {
        return Verdict::NotApplicable("no such column");
    };
    world.ddl(&format!("CREATE TABLE t (id {key}, v TEXT)"));
    let mut kit = Kit::of(world, &[Type::BigInt, Type::Text]);
    let insert = kit.insert(&["9007199254740993", "a"]);
    match kit.apply_one(insert) {
        APPLIED => assert_eq!(kit.foreign("id", "t.id"), [Some("9007199254740993".into())]),
        Outcome::Failed { .. } => return Verdict::NotApplicable("it cannot give such a number"),
        other => panic!("{other:?}"),
    }
    Verdict::Held
}

pub(crate) fn rounded(world: &mut dyn World) -> Verdict {
    let column = world.dialect().rounding_column();
    world.ddl(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, v {column})"));
    let mut kit = Kit::of(world, &[Type::Int, Type::Numeric]);
    let long = "123456789.123456789123456789";
    let insert = kit.insert(&["1", long]);
    let Outcome::Applied { stored: Some(first) } = kit.apply_one(insert) else { panic!("it was rounded") };
    assert_eq!(kit.read(&["1"]).as_ref(), Some(&first));
    assert_ne!(first, kit.row(&["1", long]));
    let after = kit.row(&["1", "-0.999999999999999999999"]);
    let update = Change::Update { before: first, after: after.clone() };
    let Outcome::Applied { stored: Some(second) } = kit.apply_one(update) else { panic!("it was rounded") };
    assert_eq!(kit.read(&["1"]).as_ref(), Some(&second));
    assert_ne!(second, after);
    Verdict::Held
}

pub(crate) fn computed(world: &mut dyn World) -> Verdict {
    let columns = [
        ("id", Type::Int, "PRIMARY KEY"),
        ("twice", Type::Int, "GENERATED ALWAYS AS (v * 2) STORED"),
        ("v", Type::Int, ""),
    ];
    let mut kit = Kit::new(world, &columns, "").unwrap();
    if !kit.world.shows_catalogue() {
        return super::NOT_SHOWN;
    }
    assert_eq!(kit.columns(), [0, 2]);
    let insert = kit.insert(&["1", "5"]);
    assert_eq!(kit.apply_one(insert), APPLIED);
    let update = kit.update(&["1", "5"], &["1", "6"]);
    assert_eq!(kit.apply_one(update), APPLIED);
    let whole = [1, 12, 6].map(Value::Int).to_vec();
    assert_eq!(kit.read(&["1"]), Some(whole.clone()));
    assert_eq!(kit.scan().0, [whole]);
    let delete = kit.delete(&["1", "6"]);
    assert_eq!(kit.apply_one(delete), APPLIED);
    Verdict::Held
}

pub(crate) fn insert(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Text, Type::Text).unwrap();
    let insert = kit.insert(&["a", NULL]);
    assert_eq!(kit.apply_one(insert.clone()), APPLIED);
    assert_eq!(kit.apply_one(insert), Outcome::Already);
    assert_eq!(kit.number("SELECT count(*) FROM t"), 1);
    Verdict::Held
}

pub(crate) fn insert_drifted(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Text, Type::Text).unwrap();
    kit.world.sql("INSERT INTO t VALUES ('a', 'theirs')");
    let insert = kit.insert(&["a", "ours"]);
    let found = Some(kit.row(&["a", "theirs"]));
    assert_eq!(kit.apply_one(insert), Outcome::Drifted { found });
    assert_eq!(kit.foreign("v", "id"), [Some("theirs".into())]);
    Verdict::Held
}

pub(crate) fn update(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Text, Type::Text).unwrap();
    kit.world.sql("INSERT INTO t VALUES ('a', 'old')");
    let update = kit.update(&["a", "old"], &["a", "new"]);
    assert_eq!(kit.apply_one(update.clone()), APPLIED);
    assert_eq!(kit.apply_one(update), Outcome::Already);
    assert_eq!(kit.foreign("v", "id"), [Some("new".into())]);
    Verdict::Held
}

pub(crate) fn update_drifted(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Text, Type::Text).unwrap();
    kit.world.sql("INSERT INTO t VALUES ('a', 'theirs')");
    let update = kit.update(&["a", "old"], &["a", "new"]);
    let found = Some(kit.row(&["a", "theirs"]));
    assert_eq!(kit.apply_one(update), Outcome::Drifted { found });
    assert_eq!(kit.foreign("v", "id"), [Some("theirs".into())]);
    Verdict::Held
}

pub(crate) fn update_gone(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Text, Type::Text).unwrap();
    let update = kit.update(&["a", "old"], &["a", "new"]);
    assert_eq!(kit.apply_one(update), Outcome::Drifted { found: None });
    assert_eq!(kit.number("SELECT count(*) FROM t"), 0);
    Verdict::Held
}

pub(crate) fn update_null(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Int, Type::Text).unwrap();
    kit.world.sql("INSERT INTO t VALUES (1, NULL), (2, ''), (3, NULL), (4, '')");
    let changes = [
        kit.update(&["1", ""], &["1", "x"]),
        kit.update(&["2", NULL], &["2", "x"]),
        kit.update(&["3", NULL], &["3", ""]),
        kit.update(&["4", ""], &["4", NULL]),
    ];
    let drifted = |row| Outcome::Drifted { found: Some(row) };
    let expected = [drifted(kit.row(&["1", NULL])), drifted(kit.row(&["2", ""])), APPLIED, APPLIED];
    assert_eq!(kit.apply(&changes), expected);
    assert_eq!(kit.foreign("v", "id"), [None, Some(String::new()), Some(String::new()), None]);
    Verdict::Held
}

/// Case, blanks at the end and forms of accents are differences, whatever a collation says.
pub(crate) fn update_one_character(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Int, Type::Text).unwrap();
    let pairs = [("a", "A"), ("a", "a "), ("\u{e9}", "e\u{301}"), ("1", "1.0"), ("a", "a\u{200b}")];
    for (i, (theirs, seen)) in pairs.iter().enumerate() {
        let id = i.to_string();
        kit.world.sql(&format!("INSERT INTO t VALUES ({id}, '{theirs}')"));
        let update = kit.update(&[&id, seen], &[&id, "new"]);
        let found = Some(kit.row(&[&id, theirs]));
        assert_eq!(kit.apply_one(update), Outcome::Drifted { found }, "{theirs:?} {seen:?}");
    }
    assert_eq!(kit.number("SELECT count(*) FROM t WHERE v = 'new'"), 0);
    Verdict::Held
}

pub(crate) fn delete(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Text, Type::Text).unwrap();
    kit.world.sql("INSERT INTO t VALUES ('a', NULL), ('b', NULL)");
    let delete = kit.delete(&["a", NULL]);
    assert_eq!(kit.apply_one(delete.clone()), APPLIED);
    assert_eq!(kit.apply_one(delete), Outcome::Already);
    assert_eq!(kit.foreign("id", "id"), [Some("b".into())]);
    Verdict::Held
}

pub(crate) fn delete_drifted(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Text, Type::Text).unwrap();
    kit.world.sql("INSERT INTO t VALUES ('a', 'theirs')");
    let delete = kit.delete(&["a", NULL]);
    let found = Some(kit.row(&["a", "theirs"]));
    assert_eq!(kit.apply_one(delete), Outcome::Drifted { found });
    assert_eq!(kit.number("SELECT count(*) FROM t"), 1);
    Verdict::Held
}

pub(crate) fn update_is_narrow(world: &mut dyn World) -> Verdict {
    let columns = [
        ("id", Type::Int, "PRIMARY KEY"),
        ("a", Type::Text, ""),
        ("b", Type::BigInt, ""),
        ("c", Type::Real, ""),
    ];
    let mut kit = Kit::new(world, &columns, "").unwrap();
    kit.world.sql("INSERT INTO t VALUES (1, 'x', 9007199254740993, 0.5), (2, 'x', 9007199254740993, 0.5)");
    let before = ["1", "x", "9007199254740993", "0.5"];
    let after = ["1", "y", "9007199254740993", "0.5"];
    let update = kit.update(&before, &after);
    assert_eq!(kit.apply_one(update), APPLIED);
    let expected = [kit.row(&after), kit.row(&["2", "x", "9007199254740993", "0.5"])];
    assert_eq!(kit.scan().0, expected);
    Verdict::Held
}

fn with_slug(world: &mut dyn World) -> Kit<'_> {
    let columns = [("id", Type::Int, "PRIMARY KEY"), ("slug", Type::Text, "UNIQUE")];
    Kit::new(world, &columns, "").unwrap()
}

#[track_caller]
fn assert_failed(outcome: &Outcome, names: &str) {
    let Outcome::Failed { reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains(names), "{reason}");
}

pub(crate) fn second_unique_key(world: &mut dyn World) -> Verdict {
    let mut kit = with_slug(world);
    kit.world.sql("INSERT INTO t VALUES (1, 'theirs'), (2, 'mine')");
    let changes = [
        kit.insert(&["3", "theirs"]),
        kit.update(&["2", "mine"], &["2", "theirs"]),
        kit.insert(&["4", "free"]),
    ];
    let outcomes = kit.apply(&changes);
    assert_failed(&outcomes[0], "slug");
    assert_failed(&outcomes[1], "slug");
    assert_eq!(outcomes[2], APPLIED);
    let rows = [kit.row(&["1", "theirs"]), kit.row(&["2", "mine"]), kit.row(&["4", "free"])];
    assert_eq!(kit.scan().0, rows);
    Verdict::Held
}

/// A row takes what another gives up in the same batch, whichever comes first.
pub(crate) fn hand_over(world: &mut dyn World) -> Verdict {
    let mut kit = with_slug(world);
    kit.world.sql("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')");
    let changes = [
        kit.update(&["1", "a"], &["1", "b"]),
        kit.update(&["2", "b"], &["2", "z"]),
        kit.delete(&["3", "c"]),
        kit.insert(&["4", "c"]),
    ];
    match kit.try_apply(&changes) {
        Ok(outcomes) => assert!(outcomes.iter().all(|o| *o == APPLIED), "{outcomes:?}"),
        Err(TargetError::Rejected { .. }) => {
            assert_eq!(kit.number("SELECT count(*) FROM t WHERE slug IN ('a', 'b', 'c')"), 3);
            return Verdict::NotApplicable("the batch is rejected as a whole");
        }
        Err(error) => panic!("{error}"),
    }
    assert_eq!(kit.foreign("slug", "id"), ["b", "z", "c"].map(|slug| Some(slug.to_owned())));
    Verdict::Held
}

pub(crate) fn refused_rows(world: &mut dyn World) -> Verdict {
    let columns = [
        ("id", Type::Int, "PRIMARY KEY"),
        ("v", Type::Int, "NOT NULL CONSTRAINT v_is_small CHECK (v < 100)"),
    ];
    let mut kit = Kit::new(world, &columns, "").unwrap();
    kit.world.sql("INSERT INTO t VALUES (1, 1)");
    let changes = [
        kit.insert(&["2", "2"]),
        kit.insert(&["3", "300"]),
        kit.insert(&["4", NULL]),
        kit.update(&["1", "1"], &["1", "100"]),
        kit.insert(&["5", "5"]),
    ];
    let outcomes = kit.apply(&changes);
    assert_eq!((&outcomes[0], &outcomes[4]), (&APPLIED, &APPLIED));
    assert_failed(&outcomes[1], "v_is_small");
    assert_failed(&outcomes[2], "v");
    assert_failed(&outcomes[3], "v_is_small");
    assert_eq!(kit.scan().0, [kit.row(&["1", "1"]), kit.row(&["2", "2"]), kit.row(&["5", "5"])]);
    Verdict::Held
}

pub(crate) fn trigger(world: &mut dyn World) -> Verdict {
    let shout = world.dialect().shouting_trigger("t", "v");
    world.ddl("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)");
    world.ddl(&shout);
    let mut kit = Kit::of(world, &[Type::Int, Type::Text]);
    let is_noted = kit.table.notes.iter().any(|note| note.contains("shout"));
    assert_eq!(is_noted, kit.world.shows_catalogue(), "{:?}", kit.table.notes);
    let changes = [kit.insert(&["1", "loud"]), kit.insert(&["2", "LOUD"])];
    let stored = Outcome::Applied { stored: Some(kit.row(&["1", "LOUD"])) };
    assert_eq!(kit.apply(&changes), [stored, APPLIED]);
    let update = kit.update(&["2", "LOUD"], &["2", "soft"]);
    let stored = Outcome::Applied { stored: Some(kit.row(&["2", "SOFT"])) };
    assert_eq!(kit.apply_one(update), stored);
    assert_eq!(kit.foreign("v", "id"), [Some("LOUD".into()), Some("SOFT".into())]);
    Verdict::Held
}

pub(crate) fn key_is_kept(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Int, Type::Text).unwrap();
    kit.world.sql("INSERT INTO t VALUES (1, 'a')");
    let update = kit.update(&["1", "a"], &["2", "a"]);
    match kit.try_apply(&[update]) {
        Ok(outcomes) => assert!(matches!(outcomes[0], Outcome::Failed { .. }), "{outcomes:?}"),
        Err(error) => assert!(matches!(error, TargetError::Refused(_)), "{error}"),
    }
    assert_eq!(kit.foreign("id", "id"), [Some("1".into())]);
    Verdict::Held
}

pub(crate) fn mixed(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Int, Type::Text).unwrap();
    kit.world.sql("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'new'), (5, 'e')");
    let changes = [
        kit.update(&["1", "a"], &["1", "A"]),
        kit.update(&["2", "x"], &["2", "B"]),
        kit.delete(&["3", "c"]),
        kit.update(&["4", "d"], &["4", "new"]),
        kit.insert(&["5", "mine"]),
        kit.insert(&["6", "f"]),
        kit.delete(&["7", "gone"]),
        kit.update(&["8", "gone"], &["8", "x"]),
    ];
    let drifted = |row| Outcome::Drifted { found: row };
    let expected = [
        APPLIED,
        drifted(Some(kit.row(&["2", "b"]))),
        APPLIED,
        Outcome::Already,
        drifted(Some(kit.row(&["5", "e"]))),
        APPLIED,
        Outcome::Already,
        drifted(None),
    ];
    assert_eq!(kit.apply(&changes), expected);
    let foreign = kit.world.sql("SELECT v FROM t ORDER BY id");
    let values: Vec<&str> = foreign.iter().map(|row| row[0].as_deref().unwrap()).collect();
    assert_eq!(values, ["A", "b", "new", "e", "f"]);
    Verdict::Held
}

pub(crate) fn empty(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Int, Type::Text).unwrap();
    assert_eq!(kit.apply(&[]), []);
    let insert = kit.insert(&["1", "a"]);
    assert_eq!(kit.apply_one(insert), APPLIED);
    assert_eq!(kit.apply(&[]), []);
    Verdict::Held
}

pub(crate) fn large(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Text, Type::Text).unwrap();
    let ids: Vec<String> = (0..1_000).map(|i| format!("{i:036}")).collect();
    let half: Vec<_> = ids.iter().step_by(2).map(|id| kit.insert(&[id, "old"])).collect();
    assert!(kit.apply(&half).iter().all(|o| *o == APPLIED));
    let all: Vec<Change> = ids
        .iter()
        .enumerate()
        .map(
            |(i, id)| {
                if i % 2 == 0 { kit.update(&[id, "old"], &[id, "new"]) } else { kit.insert(&[id, "new"]) }
            },
        )
        .collect();
    assert!(kit.apply(&all).iter().all(|o| *o == APPLIED));
    assert_eq!(kit.number("SELECT count(*) FROM t WHERE v = 'new'"), 1_000);
    assert!(kit.apply(&all).iter().all(|o| *o == Outcome::Already));
    Verdict::Held
}

pub(crate) fn changed_twice(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Int, Type::Text).unwrap();
    kit.world.sql("INSERT INTO t VALUES (1, 'a'), (2, 'a')");
    for sql in
        ["UPDATE t SET v = 'b'", "UPDATE t SET v = 'a' WHERE id = 1", "UPDATE t SET v = 'c' WHERE id = 2"]
    {
        kit.world.sql(sql);
    }
    let changes = [kit.update(&["1", "a"], &["1", "new"]), kit.update(&["2", "a"], &["2", "new"])];
    let found = Some(kit.row(&["2", "c"]));
    assert_eq!(kit.apply(&changes), [APPLIED, Outcome::Drifted { found }]);
    Verdict::Held
}

pub(crate) fn foreign_writer(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Int, Type::Text).unwrap();
    kit.world.sql("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')");
    let (seen, _) = kit.scan();
    let after = |kit: &Kit<'_>, i: &str| kit.row(&[i, "ours"]);
    let changes: Vec<Change> = seen
        .iter()
        .zip(["1", "2", "3"])
        .map(|(before, id)| Change::Update { before: before.clone(), after: after(&kit, id) })
        .chain([kit.insert(&["4", "ours"])])
        .collect();
    kit.begin();
    kit.world.sql("UPDATE t SET v = 'theirs' WHERE id = 2");
    kit.world.sql("DELETE FROM t WHERE id = 3");
    kit.world.sql("INSERT INTO t VALUES (4, 'theirs')");
    let drifted = |row| Outcome::Drifted { found: row };
    let expected = [
        APPLIED,
        drifted(Some(kit.row(&["2", "theirs"]))),
        drifted(None),
        drifted(Some(kit.row(&["4", "theirs"]))),
    ];
    assert_eq!(kit.apply(&changes), expected);
    Verdict::Held
}

pub(crate) fn foreign_writer_between_batches(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Int, Type::Text).unwrap();
    kit.world.sql("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')");
    let first = kit.update(&["1", "a"], &["1", "ours"]);
    assert_eq!(kit.apply_one(first), APPLIED);
    kit.world.sql("UPDATE t SET v = 'theirs' WHERE id <> 3");
    let second = [kit.update(&["2", "b"], &["2", "ours"]), kit.update(&["3", "c"], &["3", "ours"])];
    let found = Some(kit.row(&["2", "theirs"]));
    assert_eq!(kit.apply(&second), [Outcome::Drifted { found }, APPLIED]);
    let values = ["theirs", "theirs", "ours"].map(|v| Some(v.to_owned()));
    assert_eq!(kit.foreign("v", "id"), values);
    Verdict::Held
}

/// Reasons go into logs and reports; rows hold what must not be there.
pub(crate) fn reasons_are_discreet(world: &mut dyn World) -> Verdict {
    let columns = [
        ("id", Type::Text, "PRIMARY KEY"),
        ("slug", Type::Text, "UNIQUE"),
        ("v", Type::Int, "CHECK (v < 100)"),
    ];
    let mut kit = Kit::new(world, &columns, "").unwrap();
    kit.world.sql("INSERT INTO t VALUES ('confidential-1', 'confidential-2', 1)");
    let changes = [
        kit.insert(&["confidential-3", "confidential-2", "2"]),
        kit.insert(&["confidential-4", "confidential-5", "4711"]),
    ];
    for outcome in kit.apply(&changes) {
        let Outcome::Failed { reason } = outcome else { panic!("{outcome:?}") };
        assert!(!reason.contains("confidential") && !reason.contains("4711"), "{reason}");
    }
    Verdict::Held
}
