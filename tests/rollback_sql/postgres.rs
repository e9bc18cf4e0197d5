//! The scripts for PostgreSQL in psql.

use std::process::Output;

use ops::change::plan::Layout;
use ops::target::Change;
use ops::target::schema::Origin;
use ops::value::{Kind, Row, Value};

use super::support::postgres::cluster;
use super::{layout, run, script, shown, small_changes, strange_texts, text};

struct Database {
    name: String,
    url: String,
}

impl Database {
    fn new(sql: &str) -> Option<Self> {
        let cluster = cluster()?;
        let name = cluster.database();
        cluster.sql(&name, sql);
        Some(Self { url: cluster.url(&name), name })
    }

    fn execute(&self, sql: &str) {
        cluster().unwrap().sql(&self.name, sql);
    }

    /// The rows as psql prints them under settings that lose nothing.
    fn dump(&self) -> String {
        let settings = "SET TimeZone = 'UTC'; SET IntervalStyle = 'iso_8601'; SET extra_float_digits = 1;";
        let sql = format!("{settings} COPY (SELECT * FROM s.\"T\" ORDER BY 1, 2) TO STDOUT");
        cluster().unwrap().sql(&self.name, &sql)
    }

    /// The rows of a query as the driver reads them: every value as text, with its kind.
    fn rows(&self, layout: &Layout, filter: &str) -> Vec<Row> {
        let mut client = postgres::Client::connect(&self.url, postgres::NoTls).unwrap();
        client
            .batch_execute(
                "SET TimeZone = 'UTC'; SET IntervalStyle = 'iso_8601'; SET bytea_output = 'hex'; SET extra_float_digits = 1",
            )
            .unwrap();
        let columns: Vec<String> = layout
            .table
            .columns
            .iter()
            .map(|c| format!("\"{}\"::text", c.name.replace('"', "\"\"")))
            .collect();
        let sql = format!("SELECT {} FROM s.\"T\" WHERE {filter} ORDER BY \"T\".k", columns.join(", "));
        let value = |text: Option<String>, kind: Kind| match (text, kind) {
            (None, _) => Value::Null,
            (Some(t), Kind::Bool) => Value::Bool(t == "true"),
            (Some(t), Kind::Int) => Value::Int(t.parse().unwrap()),
            (Some(t), Kind::Real) => Value::Real(t.parse().unwrap()),
            (Some(t), Kind::Number) => Value::Number(t),
            (Some(t), Kind::Json) => Value::Json(t),
            (Some(t), Kind::Bytes) => Value::Bytes(ops::ids::unhex(&t[2..]).unwrap()),
            (Some(t), _) => Value::Text(t),
        };
        let rows = client.query(&sql, &[]).unwrap();
        rows.iter()
            .map(|row| {
                layout.table.columns.iter().enumerate().map(|(i, c)| value(row.get(i), c.kind)).collect()
            })
            .collect()
    }

    fn psql(&self, script: &str, stop: bool) -> Output {
        let flags: &[&str] = if stop { &["-v", "ON_ERROR_STOP=1"] } else { &[] };
        run("psql", &[&["-X", "-q", "-A", "-t", "-d", &self.url], flags].concat(), script)
            .expect("psql is there")
    }
}

const EVERY_TYPE: &str = r#"
    CREATE SCHEMA s; CREATE TYPE s.mood AS ENUM ('so so', 'it''s');
    CREATE TABLE s."T" (
        k uuid PRIMARY KEY, n bigint GENERATED ALWAYS AS IDENTITY, num numeric, num2 numeric(30,5), f8 float8, f4 float4,
        t text, v varchar(4000), c char(5), b bytea, j json, jb jsonb, ok boolean, ts timestamptz, tsn timestamp,
        d date, tm time, i interval, a text[], aa int[][], m s.mood, r int4range, ip inet, "odd ""name$ops$" smallint,
        twice int GENERATED ALWAYS AS ("odd ""name$ops$" * 2) STORED, x bit(3), mny money);
"#;

fn every_type() -> Layout {
    use Kind::{Bool, Bytes, Date, Int, Json, Number, Other, Real, Text, Timestamp, TimestampTz, Uuid};
    let kinds = [
        ("k", Uuid),
        ("n", Int),
        ("num", Number),
        ("num2", Number),
        ("f8", Real),
        ("f4", Real),
        ("t", Text),
        ("v", Text),
        ("c", Text),
        ("b", Bytes),
        ("j", Json),
        ("jb", Json),
        ("ok", Bool),
        ("ts", TimestampTz),
        ("tsn", Timestamp),
        ("d", Date),
        ("tm", Other),
        ("i", Other),
        ("a", Other),
        ("aa", Other),
        ("m", Other),
        ("r", Other),
        ("ip", Other),
        ("odd \"name$ops$", Int),
        ("x", Other),
        ("mny", Other),
    ];
    let columns: Vec<(&str, Kind, Origin)> = kinds
        .iter()
        .map(|(name, kind)| {
            (*name, *kind, if *name == "n" { Origin::AlwaysNumbered } else { Origin::Written })
        })
        .collect();
    layout(Some("s"), "T", &columns, &[0])
}

/// Fills the table with rows whose values are hard to spell.
fn fill(database: &Database) {
    let mut client = postgres::Client::connect(&database.url, postgres::NoTls).unwrap();
    let sql = r#"INSERT INTO s."T" (k, num, num2, f8, f4, t, v, c, b, j, jb, ok, ts, tsn, d, tm, i, a, aa, m, r, ip,
            "odd ""name$ops$", x, mny)
        SELECT ('00000000-0000-4000-8000-' || lpad($1::bigint::text, 12, '0'))::uuid, num, num::numeric(30,5), f8, f4, $2::text, $2::text, 'ab', $3::bytea,
            to_json($2::text), jsonb_build_object('a', $2::text, 'n', num::text), true, ts, ts AT TIME ZONE 'UTC',
            DATE '2026-01-02', '03:04:05.000001', i, ARRAY[$2::text, NULL, 'a,b', ''], '{{1,2},{3,NULL}}', 'it''s', '[1,5)', '10.0.0.1/8',
            -5, B'101', 12.34
        FROM (VALUES (0, 12345678901234567890.10, 0.1::float8, 0.1::float4, '2026-01-02 03:04:05.123456+02'::timestamptz, interval '1 year -2 days 3.5s'),
            (1, -0.000, 'NaN', 'Infinity', 'infinity', interval '0'), (2, 1e-20, -0.0, 3e38, '0044-03-15 BC', interval '-1 mon 1 day'),
            (3, 9.99, 5e-324, 1e-45, '99999-12-31', interval '100000 hours')) AS v (at, num, f8, f4, ts, i)
        WHERE at = $1::bigint % 4"#;
    for (n, text) in (0_i64..).zip(strange_texts()) {
        let text = if text.len() > 4000 { "long".to_owned() } else { text };
        client.execute(sql, &[&n, &text, &text.as_bytes()]).unwrap();
    }
    client.execute("INSERT INTO s.\"T\" (k) VALUES ('00000000-0000-4000-8000-999999999999')", &[]).unwrap();
}

#[test]
fn psql_restores_every_type_of_postgres() {
    let Some(database) = Database::new(EVERY_TYPE) else { return };
    fill(&database);
    let layout = every_type();
    let before_dump = database.dump();
    let before = database.rows(&layout, "true");
    let sizes = before.len() / 3;
    database.execute(
        "UPDATE s.\"T\" SET t = 'other', b = NULL, f8 = 1, a = '{}', j = '1', i = '1 day', \"odd \"\"name$ops$\" = NULL, mny = 1 WHERE k IN (SELECT k FROM s.\"T\" ORDER BY k LIMIT 5);
         DELETE FROM s.\"T\" WHERE k NOT IN (SELECT k FROM s.\"T\" ORDER BY k LIMIT 9);
         INSERT INTO s.\"T\" (k, t, f8) VALUES ('11111111-0000-4000-8000-000000000000', 'new', 'NaN')",
    );
    assert!(sizes > 2);
    let after = database.rows(&layout, "true");
    let mut changes = Vec::new();
    for row in &before {
        match after.iter().find(|other| other[0] == row[0]) {
            None => changes.push((Change::Delete { before: row.clone() }, None)),
            Some(other) => {
                let change = Change::Update { before: row.clone(), after: other.clone() };
                if format!("{row:?}") != format!("{other:?}") {
                    changes.push((change, None));
                }
            }
        }
    }
    let mut made: Vec<Option<Value>> = vec![None; layout.width()];
    made[0] = Some(text("11111111-0000-4000-8000-000000000000"));
    made[6] = Some(text("new"));
    made[4] = Some(Value::Real(f64::NAN));
    changes.push((Change::Insert { after: made }, None));
    let script = script("postgres", &layout, &changes);
    let output = database.psql(&script, true);
    let (out, error) = shown(&output);
    assert!(output.status.success(), "{out}\n{error}");
    assert!(out.contains("updated rows that are as they were|5|5"), "{out}");
    assert!(out.contains("inserted rows that are gone|1|1"), "{out}");
    assert_eq!(database.dump(), before_dump);
    let again = database.psql(&script, true);
    assert!(!again.status.success());
    let (_, error) = shown(&again);
    assert!(error.contains("are not what was written; nothing was changed"), "{error}");
    assert!(error.contains("the first of them: "), "{error}");
    assert_eq!(database.dump(), before_dump);
}

const PG_SMALL: &str =
    "CREATE SCHEMA s; CREATE TABLE s.\"T\" (k int PRIMARY KEY, a text, b numeric UNIQUE, c int DEFAULT 7);
    INSERT INTO s.\"T\" VALUES (1, 'one', 1, 7), (2, 'two', 2, 7), (3, 'three', 3, 7)";
const PG_SMALL_APPLIED: &str =
    "UPDATE s.\"T\" SET a = 'ONE', b = 10 WHERE k = 1; DELETE FROM s.\"T\" WHERE k = 2;
    INSERT INTO s.\"T\" (k, a, b) VALUES (4, 'four', 1)";

/// A decimal with another zero at its end is the same number.
const HARMLESS: &str = "UPDATE s.\"T\" SET b = 10.0 WHERE k = 1";

fn pg_small() -> (Layout, Vec<(Change, Option<Row>)>) {
    let kinds = [("k", Kind::Int), ("a", Kind::Text), ("b", Kind::Number), ("c", Kind::Int)];
    let columns: Vec<_> = kinds.iter().map(|(name, kind)| (*name, *kind, Origin::Written)).collect();
    let mut changes = small_changes();
    for (change, _) in &mut changes {
        let rows: Vec<&mut Value> = match change {
            Change::Insert { after } => after.iter_mut().flatten().collect(),
            Change::Update { before, after } => before.iter_mut().chain(after).collect(),
            Change::Delete { before } => before.iter_mut().collect(),
        };
        for (at, value) in rows.into_iter().enumerate() {
            if at % 4 == 2
                && let Value::Int(n) = value
            {
                *value = Value::Number(n.to_string());
            }
        }
    }
    (layout(Some("s"), "T", &columns, &[0]), changes)
}

#[test]
fn psql_changes_nothing_after_a_foreign_change() {
    let (layout, changes) = pg_small();
    for foreign in [
        HARMLESS,
        "UPDATE s.\"T\" SET b = 10.01 WHERE k = 1",
        "UPDATE s.\"T\" SET a = NULL WHERE k = 4",
        "DELETE FROM s.\"T\" WHERE k = 1",
        "DELETE FROM s.\"T\" WHERE k = 4",
        "INSERT INTO s.\"T\" VALUES (2, 'again', 22, 7)",
        "INSERT INTO s.\"T\" VALUES (5, 'five', 2, 7)",
        "CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.c = 8; RETURN NEW; END';
         CREATE TRIGGER f BEFORE UPDATE ON s.\"T\" FOR EACH ROW EXECUTE FUNCTION s.f()",
        "ALTER TABLE s.\"T\" RENAME COLUMN a TO aa",
    ] {
        for stop in [true, false] {
            let Some(database) = Database::new(PG_SMALL) else { return };
            let before = database.dump();
            database.execute(PG_SMALL_APPLIED);
            database.execute(foreign);
            let drifted = database.dump();
            let output = database.psql(&script("postgrest", &layout, &changes), stop);
            let (out, error) = shown(&output);
            if foreign == HARMLESS {
                assert_eq!(error, "");
                assert_eq!(database.dump(), before);
                continue;
            }
            assert!(!stop || !output.status.success(), "{foreign}: {out}");
            assert!(error.contains("ERROR"), "{foreign}: {error}");
            assert_eq!(database.dump(), drifted, "{foreign}: {out}\n{error}");
        }
    }
}

#[test]
fn many_rows_in_postgres() {
    let rows = 60_000;
    let Some(database) = Database::new(&format!(
        "CREATE SCHEMA s; CREATE TABLE s.\"T\" (k int PRIMARY KEY, a text);
         INSERT INTO s.\"T\" SELECT n, 'before ' || n FROM generate_series(1, {rows}) AS n"
    )) else {
        return;
    };
    let before = database.dump();
    database.execute("UPDATE s.\"T\" SET a = 'after ' || k");
    let layout = layout(
        Some("s"),
        "T",
        &[("k", Kind::Int, Origin::Written), ("a", Kind::Text, Origin::Written)],
        &[0],
    );
    let row = |n: i64, word: &str| vec![Value::Int(n), text(&format!("{word} {n}"))];
    let changes: Vec<_> = (1..=rows)
        .map(|n| (Change::Update { before: row(n, "before"), after: row(n, "after") }, None))
        .collect();
    let started = std::time::Instant::now();
    let output = database.psql(&script("postgres", &layout, &changes), true);
    assert!(output.status.success(), "{:?}", shown(&output));
    assert_eq!(database.dump(), before);
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}
