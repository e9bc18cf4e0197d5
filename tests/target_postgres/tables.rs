//! What the catalogue says: which tables can be changed, by which keys, with which warnings; and that what is read is
//! exact and whole.

use ops::identity;
use ops::target::schema::{Origin, Table};
use ops::target::{Target, TargetError};
use ops::value::ValueRef;

use crate::server::{Cluster, cluster};
use crate::{PostgresTarget, apply, begin, connect, insert, name, url, with_table};

fn table(target: &mut PostgresTarget, text: &str) -> Table {
    target.table(&name(text)).unwrap()
}

#[track_caller]
fn refusal(target: &mut PostgresTarget, text: &str) -> String {
    let error = target.table(&name(text)).unwrap_err();
    assert!(matches!(error, TargetError::Refused(_)), "{error:?}");
    error.to_string()
}

fn database(cluster: &Cluster, sql: &str) -> (String, PostgresTarget) {
    let database = cluster.database();
    cluster.sql(&database, sql);
    let target = connect(&cluster.url(&database));
    (database, target)
}

#[test]
fn what_is_no_table_is_refused_by_what_it_is() {
    let Some(cluster) = cluster() else { return };
    let (_, mut target) = database(
        cluster,
        "CREATE TABLE t (id integer PRIMARY KEY); CREATE VIEW v AS TABLE t; CREATE MATERIALIZED VIEW m AS TABLE t;
         CREATE SEQUENCE s; CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w;
         CREATE FOREIGN TABLE f (id integer) SERVER far;
         CREATE TABLE parent (id integer PRIMARY KEY); CREATE TABLE child () INHERITS (parent);
         CREATE TABLE ruled (id integer PRIMARY KEY);
         CREATE RULE quiet AS ON DELETE TO ruled DO INSTEAD NOTHING; CREATE TABLE bare ()",
    );
    for (table, found) in [
        ("v", "a view"),
        ("m", "a materialised view"),
        ("s", "a sequence"),
        ("t_pkey", "an index"),
        ("f", "a foreign table"),
        ("parent", "child"),
        ("ruled", "quiet"),
        ("bare", "none"),
        ("pg_catalog.pg_class", "of the system"),
    ] {
        let error = refusal(&mut target, table);
        assert!(error.contains(found), "{error}");
    }
    assert_eq!(table(&mut target, "child").columns.len(), 1);
    assert!(refusal(&mut target, "T").contains("`t`"));
}

#[test]
fn a_role_that_sees_only_a_part_is_refused() {
    let Some(cluster) = cluster() else { return };
    let (database, mut owner) = database(
        cluster,
        "CREATE TABLE t (id integer PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'mine'), (2, 'theirs');
         CREATE TABLE secret (id integer PRIMARY KEY, hidden text); CREATE TABLE closed (id integer PRIMARY KEY);
         CREATE SCHEMA inner_room; CREATE TABLE inner_room.t (id integer PRIMARY KEY);
         GRANT ALL ON inner_room.t TO PUBLIC;
         ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY part ON t USING (v = 'mine');
         CREATE ROLE reader LOGIN; GRANT SELECT ON t TO reader; GRANT SELECT (id) ON secret TO reader",
    );
    let notes = table(&mut owner, "t").notes;
    assert_eq!(notes, ["row-level security is on, but does not apply to this role"]);

    let mut target = connect(&cluster.url_as("reader", &database));
    assert!(refusal(&mut target, "t").contains("row-level security is active"));
    assert!(refusal(&mut target, "secret").contains("SELECT hidden"));
    assert!(refusal(&mut target, "closed").contains("SELECT id"));
    let error = target.table(&name("inner_room.t")).unwrap_err();
    assert!(format!("{error:?}").contains("permission denied for schema inner_room"), "{error:?}");
    cluster.sql(&database, "DROP POLICY part ON t; ALTER TABLE t DISABLE ROW LEVEL SECURITY");
    let seen = table(&mut target, "t");
    assert_eq!(
        seen.notes,
        ["this role may not DELETE", "this role may not INSERT", "this role may not UPDATE"]
    );

    // Turned on after the table was looked at, it still cannot make a scan shorter.
    cluster.sql(
        &database,
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY part ON t USING (v = 'mine')",
    );
    let error = target.scan(&seen, &mut |_| Ok(())).unwrap_err();
    assert!(format!("{error:?}").contains("row-level security"), "{error:?}");
    let error = target.read(&seen, &[0], &[vec![ops::value::Value::Int(2)]]).unwrap_err();
    assert!(format!("{error:?}").contains("row-level security"), "{error:?}");
}

#[test]
fn only_keys_that_always_hold_are_keys() {
    let Some(cluster) = cluster() else { return };
    let (_, mut target) = database(
        cluster,
        "CREATE TABLE t (a integer, b integer NOT NULL, c integer NOT NULL, d integer NOT NULL, e integer NOT NULL,
            PRIMARY KEY (b, a) INCLUDE (c), UNIQUE (c) DEFERRABLE);
         CREATE UNIQUE INDEX ON t (d) WHERE d > 0; CREATE UNIQUE INDEX ON t (abs(e)); CREATE UNIQUE INDEX ON t (e, d);
         CREATE TABLE later (id integer PRIMARY KEY DEFERRABLE)",
    );
    let found = table(&mut target, "t");
    assert_eq!((found.primary_key, found.unique), (vec![1, 0], vec![vec![4, 3]]));
    let found = table(&mut target, "later");
    assert!(found.primary_key.is_empty());
    assert!(found.notes[0].contains("deferrable"), "{:?}", found.notes);
}

#[test]
fn what_a_reader_of_a_plan_should_know() {
    let Some(cluster) = cluster() else { return };
    let (_, mut target) = database(
        cluster,
        "CREATE TABLE t (id serial PRIMARY KEY, twice integer GENERATED ALWAYS AS (id * 2) STORED) PARTITION BY RANGE (id);
         CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10);
         CREATE TABLE child (id integer REFERENCES t ON DELETE CASCADE ON UPDATE SET NULL);
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER look AFTER INSERT OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION f();
         CREATE TRIGGER idle AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE t DISABLE TRIGGER idle",
    );
    let found = table(&mut target, "t");
    assert_eq!(
        found.notes,
        [
            "foreign key child_id_fkey of public.child: its rows follow when a row here is deleted or given another key",
            "partitioned by RANGE (id)",
            "trigger look: after insert or delete for each row",
        ]
    );
    let origins: Vec<Origin> = found.columns.iter().map(|c| c.origin).collect();
    assert_eq!(origins, [Origin::Numbered, Origin::Computed]);
    assert_eq!(found.columns[0].default.as_deref(), Some("nextval('public.t_id_seq'::regclass)"));
    assert_eq!(table(&mut target, "t1").notes[0], "a partition of public.t");
}

#[test]
fn a_table_is_found_along_the_search_path_and_described_without_it() {
    let Some(cluster) = cluster() else { return };
    let (database, mut target) = database(
        cluster,
        "CREATE SCHEMA \"Other one\"; CREATE TYPE \"Other one\".mood AS ENUM ('sad');
         CREATE TABLE \"Other one\".t (id integer PRIMARY KEY, v \"Other one\".mood DEFAULT 'sad')",
    );
    assert!(refusal(&mut target, "t").contains("`Other one.t`"));
    let found = table(&mut target, "Other one.t");
    cluster.sql(&database, &format!("ALTER DATABASE {database} SET search_path = \"Other one\""));
    let mut target = connect(&cluster.url(&database));
    assert_eq!(table(&mut target, "t"), found);
    assert_eq!(found.columns[1].type_name, "\"Other one\".mood");
    begin(&mut target, &found);
    let outcomes = apply(&mut target, &found, 0, &[insert(1, "sad")]).unwrap();
    assert_eq!(outcomes.len(), 1);
    // The books are where the role's own tables are.
    let books = "SELECT count(*) FROM pg_class WHERE relname LIKE 'ops_change%' AND relkind = 'r'
         AND relnamespace::regnamespace::text = '\"Other one\"'";
    assert_eq!(cluster.sql(&database, books), "2");
}

#[test]
fn an_identity_is_that_of_the_database() {
    let Some(cluster) = cluster() else { return };
    let (_, text) = with_table(cluster);
    let mut target = connect(&text);
    let connect = crate::PostgresOptions::default().connect;
    let whole = identity::of_postgres(&url(&text), &connect).unwrap();
    let found = target.identity().unwrap();
    assert_eq!((found.fingerprint, found.url), (whole.fingerprint, whole.url));
    assert_eq!((found.driver.as_str(), found.lineage), ("postgres", None));
}

/// The driver prints dates, times and UUIDs itself: over all that the types can hold it must print what the server does.
#[test]
fn what_the_driver_prints_is_what_the_server_prints() {
    let Some(cluster) = cluster() else { return };
    let (_, mut target) = database(
        cluster,
        "SELECT setseed(0.5); SET timezone = 'UTC'; SET datestyle = 'ISO';
         CREATE TABLE t AS
         SELECT i AS id, ts, ts::timestamptz AS tz, d, md5(i::text)::uuid AS u, x, y,
            ts::text AS ts_text, ts::timestamptz::text AS tz_text, d::text AS d_text, md5(i::text)::uuid::text AS u_text,
            x::text AS x_text, y::text AS y_text
         FROM generate_series(1, 20000) AS i,
            LATERAL (SELECT CASE i WHEN 1 THEN 'infinity' WHEN 2 THEN '-infinity' WHEN 3 THEN '4713-11-24 00:00:00 BC'
                WHEN 4 THEN '294276-12-31 23:59:59.999999'
                ELSE '2000-01-01'::timestamp + (random() - 0.5) * (CASE WHEN i % 2 = 0 THEN 8e9 ELSE 1.2e11 END + i * 0)
                    * '1 second'::interval + round(random() * 1e6) * '1 microsecond'::interval END::timestamp AS ts) a,
            LATERAL (SELECT CASE i WHEN 1 THEN 'infinity' WHEN 2 THEN '-infinity' WHEN 3 THEN '4713-11-24 BC'
                WHEN 4 THEN '5874897-12-31' ELSE '2000-01-01'::date + ((random() - 0.4) * 4e5 * (i % 7))::int END::date AS d) b,
            LATERAL (SELECT (random() - 0.5) * 10 ^ (i % 600 - 300) AS x,
                ((random() - 0.5) * 10 ^ (i % 70 - 35))::real AS y) c",
    );
    let found = table(&mut target, "t");
    let mut rows = 0;
    target
        .scan(&found, &mut |row| {
            rows += 1;
            for (printed, text) in [(1, 7), (2, 8), (3, 9), (4, 10)] {
                assert_eq!(row[printed], row[text]);
            }
            for (float, text) in [(5, 11), (6, 12)] {
                let ValueRef::Text(text) = row[text] else { panic!() };
                assert_eq!(row[float], ValueRef::Real(text.parse().unwrap()));
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(rows, 20_000);
}

#[test]
fn a_scan_is_one_moment_whatever_others_do() {
    let Some(cluster) = cluster() else { return };
    let (database, mut target) = database(
        cluster,
        "CREATE TABLE t (id integer PRIMARY KEY, v text);
         INSERT INTO t SELECT i, repeat('x', 40000) FROM generate_series(1, 500) AS i",
    );
    let found = table(&mut target, "t");
    let mut sum = 0;
    let proof = target
        .scan(&found, &mut |row| {
            let (ValueRef::Int(id), ValueRef::Text(text)) = (row[0], row[1]) else { panic!() };
            if sum == 0 {
                cluster.sql(
                    &database,
                    "DELETE FROM t WHERE id % 2 = 0; UPDATE t SET v = 'short'; INSERT INTO t VALUES (501)",
                );
            }
            assert_eq!(text.len(), 40_000);
            sum += id;
            Ok(())
        })
        .unwrap();
    assert_eq!((proof.rows, sum, proof.snapshot), (500, 125_250, true));
    // The next one is another moment.
    assert_eq!(target.scan(&found, &mut |_| Ok(())).unwrap().rows, 251);
}

/// Whoever stops early does not wait for rows that nobody wants.
#[test]
fn a_scan_that_is_stopped_ends() {
    let Some(cluster) = cluster() else { return };
    let (_, mut target) = database(
        cluster,
        "CREATE TABLE t (id integer PRIMARY KEY, v text); ALTER TABLE t ALTER v SET STORAGE PLAIN;
         INSERT INTO t SELECT i, repeat('x', 7000) FROM generate_series(1, 30000) AS i",
    );
    let found = table(&mut target, "t");
    let started = std::time::Instant::now();
    let whole = target.scan(&found, &mut |_| Ok(())).unwrap();
    let whole = (whole.rows, started.elapsed());
    let started = std::time::Instant::now();
    target.scan(&found, &mut |_| Err(TargetError::Lost("enough".to_owned()))).unwrap_err();
    assert!(
        started.elapsed() < whole.1,
        "{:?} to stop, {:?} to read all {} rows",
        started.elapsed(),
        whole.1,
        whole.0
    );
    assert_eq!(target.measure("SELECT 1").unwrap().to_bits(), 1_f64.to_bits());
}

#[test]
fn a_table_that_changed_is_not_read_as_it_was() {
    let Some(cluster) = cluster() else { return };
    let (database, text) = with_table(cluster);
    let mut target = connect(&text);
    let found = table(&mut target, "t");
    cluster.sql(&database, "ALTER TABLE t ALTER v TYPE varchar(9)");
    for error in
        [target.scan(&found, &mut |_| Ok(())).unwrap_err(), target.read(&found, &[0], &[]).unwrap_err()]
    {
        assert!(matches!(error, TargetError::Refused(_)), "{error:?}");
        assert!(error.to_string().contains("character varying(9)"), "{error}");
    }
}
