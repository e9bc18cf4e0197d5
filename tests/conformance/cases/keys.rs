//! Rows are found by their key and by nothing else, whatever the key is made of.

use super::super::kit::{APPLIED, Kit};
use super::super::world::{NULL, Type, Verdict, World};
use ops::target::Outcome;

pub(crate) fn texts(world: &mut dyn World) -> Verdict {
    single(world, Type::Text)
}

pub(crate) fn big_integers(world: &mut dyn World) -> Verdict {
    single(world, Type::BigInt)
}

pub(crate) fn numbers(world: &mut dyn World) -> Verdict {
    single(world, Type::Numeric)
}

pub(crate) fn uuids(world: &mut dyn World) -> Verdict {
    single(world, Type::Uuid)
}

pub(crate) fn times(world: &mut dyn World) -> Verdict {
    single(world, Type::TimestampTz)
}

/// Rows with these keys are inserted, read in reverse, changed and removed one by one, and each leaves the others alone.
fn single(world: &mut dyn World, ty: Type) -> Verdict {
    let Some(mut kit) = Kit::pair(world, ty, Type::Int) else {
        return Verdict::NotApplicable("no such type");
    };
    let keys = ty.samples();
    let inserts: Vec<_> = keys.iter().map(|key| kit.insert(&[key, "1"])).collect();
    assert!(kit.apply(&inserts).iter().all(|o| *o == APPLIED));
    let wanted: Vec<_> = keys.iter().rev().map(|key| kit.key_of(&[key])).collect();
    let read = kit.target.read(&kit.table, &kit.key, &wanted).unwrap();
    let expected: Vec<_> = keys.iter().rev().map(|key| Some(kit.row(&[key, "1"]))).collect();
    assert_eq!(read, expected);
    for (i, key) in keys.iter().enumerate() {
        let update = kit.update(&[key, "1"], &[key, "2"]);
        assert_eq!(kit.apply_one(update), APPLIED, "{key}");
        assert_eq!(kit.number("SELECT count(*) FROM t WHERE v = 2"), 1, "{key}");
        assert_eq!(kit.read(&[key]), Some(kit.row(&[key, "2"])));
        let delete = kit.delete(&[key, "2"]);
        assert_eq!(kit.apply_one(delete), APPLIED, "{key}");
        assert_eq!(
            kit.number("SELECT count(*) FROM t WHERE v = 1"),
            i64::try_from(keys.len() - i - 1).unwrap()
        );
    }
    Verdict::Held
}

pub(crate) fn alike(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Text, Type::Int).unwrap();
    let keys = ["a", "A", "a ", " a", "\u{e9}", "e\u{301}", "ｅ", "a%", "_"];
    for (i, key) in keys.iter().enumerate() {
        let insert = kit.insert(&[key, &i.to_string()]);
        assert_eq!(kit.apply_one(insert), APPLIED, "{key}");
    }
    for (i, key) in keys.iter().enumerate() {
        assert_eq!(kit.read(&[key]), Some(kit.row(&[key, &i.to_string()])));
    }
    assert_eq!(kit.read(&["E\u{301}"]), None);
    Verdict::Held
}

pub(crate) fn composite(world: &mut dyn World) -> Verdict {
    let columns = [("a", Type::Text, "NOT NULL"), ("v", Type::Int, ""), ("b", Type::BigInt, "NOT NULL")];
    let mut kit = Kit::new(world, &columns, "PRIMARY KEY (b, a)").unwrap();
    let named: Vec<&str> = kit.key.iter().map(|i| kit.table.columns[*i].name.as_str()).collect();
    if kit.world.shows_catalogue() {
        assert_eq!(named, ["b", "a"]);
    }
    kit.key = vec![2, 0];
    let rows = [["x", "1", "1"], ["x", "2", "2"], ["y", "3", "1"], ["1", "4", "9007199254740993"]];
    let inserts: Vec<_> = rows.iter().map(|row| kit.insert(row)).collect();
    assert!(kit.apply(&inserts).iter().all(|o| *o == APPLIED));
    for [a, v, b] in rows {
        assert_eq!(kit.read(&[b, a]), Some(kit.row(&[a, v, b])));
    }
    assert_eq!(kit.read(&["2", "y"]), None);
    let changes = [kit.update(&rows[1], &["x", "20", "2"]), kit.delete(&rows[2])];
    assert_eq!(kit.apply(&changes), [APPLIED, APPLIED]);
    assert_eq!(kit.foreign("v", "t.v"), [Some("1".into()), Some("4".into()), Some("20".into())]);
    Verdict::Held
}

pub(crate) fn unique(world: &mut dyn World) -> Verdict {
    let columns =
        [("id", Type::Int, "PRIMARY KEY"), ("slug", Type::Text, "NOT NULL UNIQUE"), ("v", Type::Int, "")];
    let mut kit = Kit::new(world, &columns, "").unwrap();
    if !kit.world.shows_catalogue() {
        return super::NOT_SHOWN;
    }
    assert_eq!(kit.table.unique, [vec![1]]);
    assert!(kit.table.is_key(&[1]));
    kit.key = vec![1];
    let inserts = [kit.insert(&["1", "one", "1"]), kit.insert(&["2", "two", "2"])];
    assert_eq!(kit.apply(&inserts), [APPLIED, APPLIED]);
    assert_eq!(kit.read(&["two"]), Some(kit.row(&["2", "two", "2"])));
    // By this key, the primary key is a column like others.
    let update = kit.update(&["2", "two", "2"], &["3", "two", "2"]);
    assert_eq!(kit.apply_one(update), APPLIED);
    assert_eq!(kit.read(&["two"]), Some(kit.row(&["3", "two", "2"])));
    let insert = kit.insert(&["9", "one", "9"]);
    let found = Some(kit.row(&["1", "one", "1"]));
    assert_eq!(kit.apply_one(insert), Outcome::Drifted { found });
    Verdict::Held
}

pub(crate) fn quoted_names(world: &mut dyn World) -> Verdict {
    let columns =
        [("Order", Type::Int, "PRIMARY KEY"), ("from it's", Type::Text, ""), ("größe", Type::Int, "")];
    let mut kit = Kit::new(world, &columns, "").unwrap();
    let insert = kit.insert(&["1", "a", "2"]);
    assert_eq!(kit.apply_one(insert), APPLIED);
    let update = kit.update(&["1", "a", "2"], &["1", "b", "3"]);
    assert_eq!(kit.apply_one(update), APPLIED);
    assert_eq!(kit.read(&["1"]), Some(kit.row(&["1", "b", "3"])));
    assert_eq!(kit.scan().0, [kit.row(&["1", "b", "3"])]);
    Verdict::Held
}

pub(crate) fn quoted_table(world: &mut dyn World) -> Verdict {
    world.ddl("CREATE TABLE \"Order Items, größer & kleiner?\" (id INTEGER PRIMARY KEY, v TEXT)");
    let mut kit = Kit::named(world, "Order Items, größer & kleiner?", &[Type::Int, Type::Text]);
    let inserts = [kit.insert(&["1", "a"]), kit.insert(&["2", "b"])];
    assert_eq!(kit.apply(&inserts), [APPLIED, APPLIED]);
    let changes = [kit.update(&["1", "a"], &["1", "c"]), kit.delete(&["2", "b"])];
    assert_eq!(kit.apply(&changes), [APPLIED, APPLIED]);
    assert_eq!(kit.scan().0, [kit.row(&["1", "c"])]);
    assert_eq!(kit.read(&["1"]), Some(kit.row(&["1", "c"])));
    Verdict::Held
}

pub(crate) fn missing(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Int, Type::Text).unwrap();
    kit.world.sql("INSERT INTO t VALUES (1, 'a'), (3, 'c')");
    let keys: Vec<_> = ["3", "2", "1", "3"].iter().map(|key| kit.key_of(&[key])).collect();
    let found = kit.target.read(&kit.table, &kit.key, &keys).unwrap();
    let (one, three) = (Some(kit.row(&["1", "a"])), Some(kit.row(&["3", "c"])));
    assert_eq!(found, [three.clone(), None, one, three]);
    assert_eq!(kit.target.read(&kit.table, &kit.key, &[]).unwrap(), []);
    let many: Vec<_> = (0..2_500).map(|i: i32| kit.key_of(&[&i.to_string()])).collect();
    let found = kit.target.read(&kit.table, &kit.key, &many).unwrap();
    assert_eq!(found.len(), 2_500);
    assert_eq!(found.iter().flatten().count(), 2);
    Verdict::Held
}

pub(crate) fn null(world: &mut dyn World) -> Verdict {
    let columns = [("id", Type::Int, "PRIMARY KEY"), ("slug", Type::Text, "UNIQUE"), ("v", Type::Int, "")];
    let mut kit = Kit::new(world, &columns, "").unwrap();
    assert!(!kit.table.is_key(&[1]), "a key that may be NULL finds no row");
    kit.world.sql("INSERT INTO t VALUES (1, NULL, 1), (2, NULL, 2)");
    let key = vec![1];
    let found = kit.target.read(&kit.table, &key, &[vec![kit.value(1, NULL)]]).unwrap();
    assert_eq!(found, [None]);
    Verdict::Held
}
