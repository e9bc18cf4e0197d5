//! What only PostgreSQL has: its types, its collations, its identity columns, and others at work in the same rows.

use std::thread;
use std::time::Duration;

use super::super::kit::{APPLIED, Kit};
use super::super::world::{NULL, Type, Verdict, World};
use ops::target::Outcome;
use ops::target::schema::Origin;
use ops::value::{Kind, Value};

/// A table `t` made by these statements, with as many columns; a sample is spelled as the column's kind prints it.
fn kit<'w>(world: &'w mut dyn World, ddl: &str, columns: usize) -> Kit<'w> {
    world.ddl(ddl);
    Kit::of(world, &vec![Type::Text; columns])
}

fn stored(row: Vec<Value>) -> Outcome {
    Outcome::Applied { stored: Some(row) }
}

fn drifted(row: Vec<Value>) -> Outcome {
    Outcome::Drifted { found: Some(row) }
}

#[track_caller]
fn assert_failed(outcome: &Outcome, names: &str) {
    let Outcome::Failed { reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains(names), "{reason}");
}

/// A type, and two values of it as `::text` prints them.
const OTHER_TYPES: &[(&str, &str, &str)] = &[
    ("int4range", "[1,10)", "empty"),
    ("tstzrange", "[\"2026-01-02 03:04:05+00\",)", "(,\"2026-01-02 00:00:00+00\"]"),
    ("int4multirange", "{[1,3),[5,7)}", "{}"),
    ("mood", "sad", "so so"),
    ("mood[]", "{sad,\"so so\"}", "{}"),
    ("interval", "P1Y2M3DT4H5M6.5S", "P-1D"),
    ("integer[]", "{1,NULL,3}", "[0:1]={1,2}"),
    ("numeric(6,2)[]", "{1.50,NaN}", "{{1.00},{2.00}}"),
    ("pair", "(1,\"a b\")", "(,)"),
    ("time", "23:59:59.999999", "24:00:00"),
    ("timetz", "01:02:03+05:30", "01:02:03-08"),
    ("inet", "10.0.0.1/8", "::1/128"),
    ("cidr", "10.0.0.0/8", "::/0"),
    ("macaddr", "08:00:2b:01:02:03", "00:00:00:00:00:00"),
    ("bit(3)", "101", "000"),
    ("bit varying", "10", ""),
    ("point", "(1.5,-2)", "(1e+300,0)"),
    ("tsvector", "'a':1A 'b':2", ""),
    ("xml", "<a>1</a>", "<b/>"),
    ("character(4)", "ab", ""),
    ("character varying(3)", "abc", ""),
    ("name", "a name", ""),
    ("oid", "4294967295", "0"),
    ("real", "0.1", "-0"),
    ("smallint", "-32768", "32767"),
    ("numeric(5,2)", "1.50", "NaN"),
    ("small_number", "9", "1"),
    ("short", "abc", "x"),
    ("pg_lsn", "16/B374D848", "0/0"),
    ("\"char\"", "x", ""),
    ("jsonpath", "$.\"a\"[*]", "$"),
];

const TYPES: &str = "CREATE TYPE mood AS ENUM ('sad', 'so so'); CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN small_number AS smallint CHECK (VALUE < 10); CREATE DOMAIN short AS character varying(3);";

pub(crate) fn other_types(world: &mut dyn World) -> Verdict {
    let columns: Vec<String> =
        OTHER_TYPES.iter().enumerate().map(|(i, (ty, _, _))| format!("c{i} {ty}")).collect();
    let ddl = format!("{TYPES} CREATE TABLE t (id integer PRIMARY KEY, {})", columns.join(", "));
    let mut kit = kit(world, &ddl, 1 + OTHER_TYPES.len());
    let row = |id: &'static str, of: fn(&'static (&str, &str, &str)) -> &'static str| -> Vec<&'static str> {
        [id].into_iter().chain(OTHER_TYPES.iter().map(of)).collect()
    };
    let (first, second) = (row("1", |sample| sample.1), row("1", |sample| sample.2));
    let nothing = row("2", |_| NULL);
    let inserts = [kit.insert(&first), kit.insert(&nothing)];
    assert_eq!(kit.apply(&inserts), [APPLIED, APPLIED]);
    for (before, after) in [(&first, &second), (&second, &first)] {
        assert_eq!(kit.scan().0, [kit.row(before), kit.row(&nothing)]);
        assert_eq!(kit.read(&["1"]), Some(kit.row(before)));
        let update = kit.update(before, after);
        assert_eq!(kit.apply_one(update), APPLIED);
    }
    // Another client takes the same values for the same.
    for (i, (ty, text, _)) in OTHER_TYPES.iter().enumerate() {
        let sql = format!(
            "SET intervalstyle = iso_8601; SELECT c{i}::text, '{}'::{ty}::text FROM t WHERE id = 1",
            text.replace('\'', "''")
        );
        let found = kit.world.sql(&sql).remove(0);
        assert_eq!(found[0], found[1], "{ty}");
        assert_eq!(found[0].as_deref(), Some(*text), "{ty}");
    }
    let mut seen = first.clone();
    seen[1] = "[1,11)";
    let update = kit.update(&seen, &second);
    assert_eq!(kit.apply_one(update), drifted(kit.row(&first)));
    let deletes = [kit.delete(&first), kit.delete(&nothing)];
    assert_eq!(kit.apply(&deletes), [APPLIED, APPLIED]);
    Verdict::Held
}

pub(crate) fn kinds(world: &mut dyn World) -> Verdict {
    let ddl =
        format!("{TYPES} CREATE TABLE t (id small_number PRIMARY KEY, a real, b short, c numeric, d mood)");
    let kit = kit(world, &ddl, 5);
    let kinds: Vec<Kind> = kit.table.columns.iter().map(|c| c.kind).collect();
    assert_eq!(kinds, [Kind::Int, Kind::Real, Kind::Text, Kind::Number, Kind::Other]);
    if !kit.world.shows_catalogue() {
        return super::NOT_SHOWN;
    }
    let types: Vec<&str> = kit.table.columns.iter().map(|c| c.type_name.as_str()).collect();
    assert_eq!(types, ["public.small_number", "real", "public.short", "numeric", "public.mood"]);
    Verdict::Held
}

/// What a column cannot hold is refused and not cut to fit.
pub(crate) fn nothing_is_cut(world: &mut dyn World) -> Verdict {
    let ddl = format!(
        "{TYPES} CREATE TABLE t (id integer PRIMARY KEY, a character varying(3), b character(3), c short,
         d small_number, e bit(3), f character varying(3)[], g smallint, h tsquery, i mood)"
    );
    let mut kit = kit(world, &ddl, 10);
    let good = ["1", "abc", "abc", "abc", "9", "101", "{abc}", "7", "'a'", "sad"];
    let insert = kit.insert(&good);
    assert_eq!(kit.apply_one(insert), APPLIED);
    for (column, bad) in
        [(1, "abcd"), (2, "abcd"), (3, "abcd"), (4, "10"), (5, "1011"), (6, "{abcd}"), (7, "40000")]
    {
        let mut after = good;
        after[column] = bad;
        let mut other = after;
        other[0] = "2";
        let changes = [kit.insert(&other), kit.update(&good, &after)];
        for outcome in kit.apply(&changes) {
            assert_failed(&outcome, "SQLSTATE");
        }
    }
    assert_eq!(kit.scan().0, [kit.row(&good)]);
    Verdict::Held
}

/// What a column stores otherwise than it was sent is reported; a decimal of another scale is the same decimal.
pub(crate) fn rounding(world: &mut dyn World) -> Verdict {
    let ddl =
        "CREATE TABLE t (id integer PRIMARY KEY, a numeric(6,2), b timestamptz(0), c jsonb, d real, e json,
        f character varying(3))";
    let mut kit = kit(world, ddl, 7);
    let rounded =
        ["1", "1.51", "2026-01-02 03:04:06+00", r#"{"a": 1, "b": 2}"#, "0.1", r#"{"b":2, "a":1}"#, "ab "];
    let sent =
        ["1", "1.506", "2026-01-02 03:04:05.7+00", r#"{"b":2, "a":1}"#, "0.1", r#"{"b":2, "a":1}"#, "ab   "];
    let insert = kit.insert(&sent);
    assert_eq!(kit.apply_one(insert), stored(kit.row(&rounded)));
    assert_eq!(kit.read(&["1"]), Some(kit.row(&rounded)));
    let mut seen = rounded;
    seen[1] = "1.510";
    let mut other = seen;
    other[1] = "2.5";
    let update = kit.update(&seen, &other);
    assert_eq!(kit.apply_one(update), APPLIED, "2.50 is 2.5");
    let again = kit.update(&seen, &other);
    assert_eq!(kit.apply_one(again), Outcome::Already);
    let (before, mut blanks) = (other, other);
    blanks[6] = "c    ";
    let mut cut = other;
    (cut[1], cut[6]) = ("2.50", "c  ");
    let update = kit.update(&before, &blanks);
    assert_eq!(kit.apply_one(update), stored(kit.row(&cut)), "blanks beyond the length are cut off");
    Verdict::Held
}

pub(crate) fn always_numbered(world: &mut dyn World) -> Verdict {
    let ddl = "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY, slug text PRIMARY KEY, v text)";
    let mut kit = kit(world, ddl, 3);
    if !kit.world.shows_catalogue() {
        return super::NOT_SHOWN;
    }
    assert_eq!(kit.table.columns[0].origin, Origin::AlwaysNumbered);
    let changes = [kit.insert(&["77", "a", "x"]), kit.insert_some(&[("slug", "b"), ("v", "x")])];
    let outcomes = kit.apply(&changes);
    assert_eq!(outcomes, [APPLIED, stored(kit.row(&["1", "b", "x"]))]);
    let update = kit.update(&["77", "a", "x"], &["77", "a", "y"]);
    assert_eq!(kit.apply_one(update), APPLIED);
    // The server lets nobody change such a number.
    let changes =
        [kit.update(&["77", "a", "y"], &["78", "a", "z"]), kit.update(&["1", "b", "x"], &["1", "b", "y"])];
    let outcomes = kit.apply(&changes);
    assert!(matches!(outcomes[0], Outcome::Failed { .. }), "{outcomes:?}");
    assert_eq!(outcomes[1], APPLIED);
    let delete = kit.delete(&["77", "a", "y"]);
    assert_eq!(kit.apply_one(delete), APPLIED);
    Verdict::Held
}

/// A collation may take two spellings for one key; a change means the one that it was made for.
pub(crate) fn spellings(world: &mut dyn World) -> Verdict {
    let ddl = "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE TABLE t (id text COLLATE ci PRIMARY KEY, v text)";
    let mut kit = kit(world, ddl, 2);
    kit.world.sql("INSERT INTO t VALUES ('ABC', 'theirs')");
    let theirs = kit.row(&["ABC", "theirs"]);
    let changes = [kit.insert(&["abc", "ours"])];
    assert_eq!(kit.apply(&changes), [drifted(theirs.clone())]);
    let changes = [kit.update(&["abc", "theirs"], &["abc", "ours"])];
    assert_eq!(kit.apply(&changes), [drifted(theirs.clone())]);
    let changes = [kit.delete(&["abc", "theirs"])];
    assert_eq!(kit.apply(&changes), [drifted(theirs.clone())]);
    assert_eq!(kit.read(&["abc"]), None);
    assert_eq!(kit.read(&["ABC"]), Some(theirs));
    let update = kit.update(&["ABC", "theirs"], &["ABC", "ours"]);
    assert_eq!(kit.apply_one(update), APPLIED);
    Verdict::Held
}

pub(crate) fn partitions(world: &mut dyn World) -> Verdict {
    let ddl = "CREATE TABLE t (id integer PRIMARY KEY, v text) PARTITION BY RANGE (id);
        CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (0) TO (100);
        CREATE TABLE t_high PARTITION OF t FOR VALUES FROM (100) TO (200)";
    let mut kit = kit(world, ddl, 2);
    let changes = [kit.insert(&["1", "a"]), kit.insert(&["150", "b"]), kit.insert(&["300", "c"])];
    let outcomes = kit.apply(&changes);
    assert_eq!(outcomes[..2], [APPLIED, APPLIED]);
    assert_failed(&outcomes[2], "23514");
    let changes = [kit.update(&["150", "b"], &["150", "B"]), kit.delete(&["1", "a"])];
    assert_eq!(kit.apply(&changes), [APPLIED, APPLIED]);
    assert_eq!(kit.scan().0, [kit.row(&["150", "B"])]);
    assert_eq!(kit.number("SELECT count(*) FROM t_high"), 1);
    Verdict::Held
}

/// A parent and its child may come in one batch, in any order; a child without a parent is named.
pub(crate) fn deferred(world: &mut dyn World) -> Verdict {
    let ddl = "CREATE TABLE t (id integer PRIMARY KEY,
        parent integer CONSTRAINT has_parent REFERENCES t DEFERRABLE INITIALLY DEFERRED)";
    let mut kit = kit(world, ddl, 2);
    let changes =
        [kit.insert(&["1", "2"]), kit.insert(&["2", NULL]), kit.insert(&["3", "9"]), kit.insert(&["4", "1"])];
    let outcomes = kit.apply(&changes);
    assert_failed(&outcomes[2], "has_parent");
    assert_eq!((&outcomes[0], &outcomes[1], &outcomes[3]), (&APPLIED, &APPLIED, &APPLIED));
    Verdict::Held
}

/// What triggers do after a row was stored is part of what was stored; what they prevent has failed.
pub(crate) fn later_triggers(world: &mut dyn World) -> Verdict {
    let ddl = "CREATE TABLE t (id integer PRIMARY KEY, v text);
        CREATE FUNCTION echo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF pg_trigger_depth() = 1 THEN UPDATE t SET v = upper(NEW.v) WHERE id = NEW.id; END IF; RETURN NULL; END $$;
        CREATE TRIGGER echo AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION echo();
        CREATE FUNCTION veto() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF coalesce(NEW.v, OLD.v) = 'NO' THEN RETURN NULL; END IF; RETURN coalesce(NEW, OLD); END $$;
        CREATE TRIGGER veto BEFORE INSERT OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION veto()";
    let mut kit = kit(world, ddl, 2);
    let changes = [kit.insert(&["1", "soft"]), kit.insert(&["2", "LOUD"]), kit.insert(&["3", "NO"])];
    let outcomes = kit.apply(&changes);
    assert_eq!(outcomes[..2], [stored(kit.row(&["1", "SOFT"])), APPLIED]);
    assert_failed(&outcomes[2], "trigger");
    let changes = [kit.update(&["1", "SOFT"], &["1", "no"])];
    assert_eq!(kit.apply(&changes), [stored(kit.row(&["1", "NO"]))]);
    let changes = [kit.delete(&["1", "NO"]), kit.delete(&["2", "LOUD"])];
    let outcomes = kit.apply(&changes);
    assert_failed(&outcomes[0], "trigger");
    assert_eq!(outcomes[1], APPLIED);
    Verdict::Held
}

pub(crate) fn another_key_by_trigger(world: &mut dyn World) -> Verdict {
    let ddl = "CREATE TABLE t (id integer PRIMARY KEY, v text);
        CREATE FUNCTION move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.v = 'move' THEN NEW.id := NEW.id + 100; END IF; RETURN NEW; END $$;
        CREATE TRIGGER move BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION move()";
    let mut kit = kit(world, ddl, 2);
    let changes = [kit.insert(&["1", "stay"]), kit.insert(&["2", "move"]), kit.insert(&["3", "stay"])];
    let outcomes = kit.apply(&changes);
    assert!(matches!(outcomes[1], Outcome::Failed { .. }), "{outcomes:?}");
    assert_eq!((&outcomes[0], &outcomes[2]), (&APPLIED, &APPLIED));
    if !kit.can().atomic_batches {
        return Verdict::NotApplicable("what is done cannot be undone");
    }
    assert_eq!(kit.number("SELECT sum(id) FROM t"), 4);
    Verdict::Held
}

pub(crate) fn wide(world: &mut dyn World) -> Verdict {
    let columns: Vec<String> = (0..250).map(|i| format!("c{i} integer")).collect();
    let ddl = format!("CREATE TABLE t (id integer PRIMARY KEY, {})", columns.join(", "));
    let mut kit = kit(world, &ddl, 251);
    let (before, mut after) = (vec!["7"; 251], vec!["8"; 251]);
    after[0] = "7";
    let insert = kit.insert(&before);
    assert_eq!(kit.apply_one(insert), APPLIED);
    let update = kit.update(&before, &after);
    assert_eq!(kit.apply_one(update), APPLIED);
    assert_eq!(kit.scan().0, [kit.row(&after)]);
    Verdict::Held
}

/// Waits until a session waits for a lock.
fn until_blocked(world: &mut dyn World) {
    for _ in 0..200 {
        if world.sql("SELECT count(*) FROM pg_locks WHERE NOT granted")[0][0].as_deref() != Some("0") {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("nobody waits");
}

/// Another client has rows of the batch in a transaction of its own, and ends it while the batch waits.
fn beside(world: &mut dyn World, theirs: &str, end: &str) -> Vec<Outcome> {
    let mut kit = kit(world, "CREATE TABLE t (id integer PRIMARY KEY, v text)", 2);
    kit.world.sql("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')");
    kit.begin();
    kit.world.sql(&format!("BEGIN; {theirs}"));
    let changes = [
        kit.update(&["1", "a"], &["1", "ours"]),
        kit.update(&["2", "b"], &["2", "ours"]),
        kit.delete(&["3", "c"]),
        kit.insert(&["4", "ours"]),
    ];
    let (columns, world, target) = (kit.table.writable(), &mut kit.world, &mut kit.target);
    let batch = ops::target::Batch {
        table: &kit.table,
        columns: &columns,
        key: &kit.key,
        run: &kit.run,
        first: 0,
        changes: &changes,
        now: super::super::kit::now(),
    };
    thread::scope(|scope| {
        let applied = scope.spawn(|| target.apply(&batch).unwrap());
        until_blocked(*world);
        world.sql(end);
        applied.join().unwrap()
    })
}

pub(crate) fn racing_update(world: &mut dyn World) -> Verdict {
    let outcomes = beside(world, "UPDATE t SET v = 'theirs' WHERE id = 2", "COMMIT");
    let theirs = vec![Value::Int(2), Value::Text("theirs".into())];
    assert_eq!(outcomes, [APPLIED, drifted(theirs), APPLIED, APPLIED]);
    assert_eq!(world.sql("SELECT v FROM t WHERE id = 2")[0][0].as_deref(), Some("theirs"));
    Verdict::Held
}

pub(crate) fn racing_update_undone(world: &mut dyn World) -> Verdict {
    let outcomes = beside(world, "UPDATE t SET v = 'theirs' WHERE id = 2", "ROLLBACK");
    assert_eq!(outcomes, [APPLIED, APPLIED, APPLIED, APPLIED]);
    Verdict::Held
}

pub(crate) fn racing_delete(world: &mut dyn World) -> Verdict {
    let outcomes = beside(world, "DELETE FROM t WHERE id IN (2, 3)", "COMMIT");
    assert_eq!(outcomes, [APPLIED, Outcome::Drifted { found: None }, Outcome::Already, APPLIED]);
    Verdict::Held
}

pub(crate) fn racing_insert(world: &mut dyn World) -> Verdict {
    let outcomes = beside(world, "INSERT INTO t VALUES (4, 'theirs')", "COMMIT");
    let theirs = vec![Value::Int(4), Value::Text("theirs".into())];
    assert_eq!(outcomes, [APPLIED, APPLIED, APPLIED, drifted(theirs)]);
    Verdict::Held
}

/// The other client wants what the batch has, while the batch wants what it has: one of them is sent back by the server.
/// When that is the batch it is tried again.
pub(crate) fn deadlock(world: &mut dyn World) -> Verdict {
    world.sql("SET deadlock_timeout = '60s'");
    let outcomes = beside(
        world,
        "SELECT FROM t WHERE id = 2 FOR UPDATE",
        "SELECT FROM t WHERE id = 1 FOR UPDATE; COMMIT",
    );
    world.sql("RESET deadlock_timeout");
    assert_eq!(outcomes, [APPLIED, APPLIED, APPLIED, APPLIED]);
    Verdict::Held
}
