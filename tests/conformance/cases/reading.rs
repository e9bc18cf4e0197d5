//! Reading is complete or refused, says what is there, and changes nothing.

use super::super::kit::Kit;
use super::super::world::{Type, Verdict, World};
use ops::target::TargetError;
use ops::target::schema::TableName;

fn name(text: &str) -> TableName {
    TableName::parse(text).unwrap()
}

pub(crate) fn identity(world: &mut dyn World) -> Verdict {
    let first = world.open().identity().unwrap();
    assert_eq!(first, world.open().identity().unwrap());
    assert_eq!(first.fingerprint.len(), 12);
    assert!(first.fingerprint.bytes().all(|b| b.is_ascii_hexdigit()));
    assert!(first.url.starts_with(|c: char| c.is_ascii_alphabetic()) && !first.driver.is_empty());
    Verdict::Held
}

pub(crate) fn described(world: &mut dyn World) -> Verdict {
    let columns =
        [("a", Type::Text, "NOT NULL"), ("b", Type::Int, "DEFAULT 3"), ("c", Type::Uuid, "NOT NULL UNIQUE")];
    let kit = Kit::new(world, &columns, "PRIMARY KEY (a), UNIQUE (b, a)").unwrap();
    let table = kit.table.clone();
    assert_eq!(table, kit.world.open().table(&name("t")).unwrap());
    let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let nullable: Vec<bool> = table.columns.iter().map(|c| c.nullable).collect();
    assert_eq!(nullable, [false, true, false]);
    assert_eq!(table.columns[1].default.as_deref(), Some("3"));
    assert_eq!(table.primary_key, [0]);
    if !kit.world.shows_catalogue() {
        return super::NOT_SHOWN;
    }
    assert_eq!(table.unique.len(), 2);
    assert!(table.is_key(&[0]) && table.is_key(&[2]) && !table.is_key(&[1]));
    Verdict::Held
}

pub(crate) fn schema_changes(world: &mut dyn World) -> Verdict {
    let kit = Kit::pair(world, Type::Int, Type::Text).unwrap();
    let before = kit.table.digest();
    kit.world.ddl("ALTER TABLE t ADD COLUMN w TEXT");
    let after = kit.world.open().table(&name("t")).unwrap();
    assert_ne!(after.digest(), before);
    Verdict::Held
}

pub(crate) fn view(world: &mut dyn World) -> Verdict {
    world.ddl("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    world.ddl("CREATE VIEW glance AS SELECT id FROM t");
    let error = world.open().table(&name("glance")).unwrap_err();
    assert!(matches!(error, TargetError::Refused(_)), "{error:?}");
    assert!(error.to_string().contains("view"), "{error}");
    Verdict::Held
}

pub(crate) fn unknown(world: &mut dyn World) -> Verdict {
    world.ddl("CREATE TABLE glyphs (id INTEGER PRIMARY KEY)");
    let error = world.open().table(&name("glyps")).unwrap_err();
    assert!(matches!(error, TargetError::Refused(_)), "{error:?}");
    assert!(error.to_string().contains("glyphs"), "{error}");
    Verdict::Held
}

pub(crate) fn empty(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Int, Type::Text).unwrap();
    let (rows, proof) = kit.scan();
    assert!(rows.is_empty());
    assert_eq!((proof.rows, proof.count_before, proof.count_after), (0, 0, 0));
    Verdict::Held
}

pub(crate) fn many(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Int, Type::Text).unwrap();
    kit.world.sql(
        "INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 19999)
         SELECT i, 'value ' || i FROM n",
    );
    let (rows, proof) = kit.scan();
    assert_eq!((proof.rows, proof.count_before, proof.count_after), (20_000, 20_000, 20_000));
    assert_eq!(proof.snapshot, kit.can().snapshot);
    assert!(proof.pages > 0);
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(*row, kit.row(&[&i.to_string(), &format!("value {i}")]));
    }
    Verdict::Held
}

pub(crate) fn stopped(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Int, Type::Text).unwrap();
    kit.world.sql("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')");
    let mut rows = 0;
    let scanned = kit.target.scan(&kit.table, &mut |_| {
        rows += 1;
        if rows == 2 { Err(TargetError::Lost("enough".to_owned())) } else { Ok(()) }
    });
    assert!(matches!(scanned, Err(TargetError::Lost(why)) if why == "enough"));
    assert_eq!(rows, 2);
    assert_eq!(kit.scan().1.rows, 3);
    Verdict::Held
}

pub(crate) fn keyless(world: &mut dyn World) -> Verdict {
    let columns = [("a", Type::Int, ""), ("b", Type::Text, "")];
    let mut kit = Kit::new(world, &columns, "").unwrap();
    assert!(kit.table.primary_key.is_empty() && kit.table.unique.is_empty());
    kit.world.sql("INSERT INTO t VALUES (1, 'a'), (1, 'a'), (NULL, NULL)");
    // A driver that reads page by page has nothing to read them by.
    let mut rows = 0;
    let scanned = kit.target.scan(&kit.table, &mut |_| {
        rows += 1;
        Ok(())
    });
    match scanned {
        Ok(proof) => assert_eq!((proof.rows, rows), (3, 3)),
        Err(TargetError::Refused(_)) => return Verdict::NotApplicable("it reads by key only, and refuses"),
        Err(error) => panic!("{error}"),
    }
    Verdict::Held
}

pub(crate) fn no_trace(world: &mut dyn World) -> Verdict {
    let kit = Kit::pair(world, Type::Int, Type::Text).unwrap();
    kit.world.sql("INSERT INTO t VALUES (1, 'a'), (2, 'b')");
    let before = kit.world.trace();
    let run = kit.run.clone();
    let mut target = kit.world.open();
    target.identity().unwrap();
    target.table(&name("t")).unwrap();
    target.table(&name("nothing")).unwrap_err();
    target.scan(&kit.table, &mut |_| Ok(())).unwrap();
    target.read(&kit.table, &kit.key, &[kit.key_of(&["1"]), kit.key_of(&["9"])]).unwrap();
    assert!(target.recorded(&run, 0).unwrap().is_empty());
    let _ = target.measure("SELECT count(*) FROM t");
    drop(target);
    assert_eq!(kit.world.trace(), before);
    Verdict::Held
}

pub(crate) fn measure(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Int, Type::Text).unwrap();
    kit.world.sql("INSERT INTO t VALUES (1, 'a'), (2, 'b')");
    match kit.target.measure("SELECT count(*) FROM t") {
        Err(TargetError::Refused(_)) => return Verdict::NotApplicable("it runs no SQL, and refuses"),
        result => assert_eq!(result.unwrap().to_bits(), 2.0_f64.to_bits()),
    }
    let half = kit.target.measure("SELECT 0.5").unwrap();
    assert_eq!(half.to_bits(), 0.5_f64.to_bits());
    for bad in [
        "SELECT 1, 2",
        "SELECT 1 UNION ALL SELECT 2",
        "SELECT id FROM t WHERE id = 9",
        "SELECT NULL",
        "SELECT 'many'",
        "SELEC 1",
        "",
    ] {
        assert!(kit.target.measure(bad).is_err(), "{bad}");
    }
    Verdict::Held
}

pub(crate) fn measure_is_read_only(world: &mut dyn World) -> Verdict {
    let mut kit = Kit::pair(world, Type::Int, Type::Text).unwrap();
    kit.world.sql("INSERT INTO t VALUES (1, 'a')");
    kit.begin();
    for bad in [
        "DELETE FROM t",
        "DELETE FROM t RETURNING id",
        "INSERT INTO t VALUES (2, 'b') RETURNING id",
        "CREATE TABLE u (id INTEGER)",
        "SELECT 1; DELETE FROM t",
        "COMMIT; DELETE FROM t",
        "DROP TABLE t",
    ] {
        assert!(kit.target.measure(bad).is_err(), "{bad}");
    }
    assert_eq!(kit.number("SELECT count(*) FROM t"), 1);
    let insert = kit.insert(&["3", "c"]);
    assert_eq!(kit.apply_one(insert), super::super::kit::APPLIED);
    Verdict::Held
}
