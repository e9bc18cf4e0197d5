//! The functions for targets behind PostgREST: installed as people do it, closed to everybody but the service role, and
//! of one mind with the driver.

use std::path::{Path, PathBuf};
use std::sync::Once;

use ops::target::{Change, Outcome, Target};
use ops::value::{Value, ValueRef};
use postgres::{Client, NoTls};
use serde_json::{Value as Json, json};

use crate::server::{Cluster, cluster};
use crate::{apply, begin, connect, name};

fn script(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/postgres").join(file)
}

/// The roles of Supabase, where everything in a new schema is everybody's. Roles belong to the whole cluster, which the
/// tests of this program share, so they are made once; every test has a database of its own.
fn supabase(cluster: &Cluster) -> String {
    static ROLES: Once = Once::new();
    let database = cluster.database();
    ROLES.call_once(|| {
        cluster.sql(
            &database,
            "CREATE ROLE anon NOLOGIN NOINHERIT; CREATE ROLE authenticated NOLOGIN NOINHERIT;
             CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS",
        );
    });
    cluster.sql(
        &database,
        "CREATE SCHEMA api; GRANT USAGE ON SCHEMA api TO anon, authenticated, service_role;
         ALTER DEFAULT PRIVILEGES IN SCHEMA api GRANT ALL ON TABLES TO anon, authenticated, service_role;
         ALTER DEFAULT PRIVILEGES IN SCHEMA api GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role",
    );
    database
}

#[test]
fn they_are_installed_twice_and_verified() {
    let Some(cluster) = cluster() else { return };
    let database = supabase(cluster);
    for _ in 0..2 {
        for file in ["change_functions.sql", "change_functions.verify.sql"] {
            cluster.script(&database, &script(file), &["schema=api"]).unwrap();
        }
    }
    // The proof can fail: each of these is what it looks for.
    for (spoil, found) in [
        ("GRANT EXECUTE ON FUNCTION api.ops_change_version() TO anon", "anon may execute ops_change_version"),
        (
            "GRANT SELECT ON api.ops_change_batches TO authenticated",
            "authenticated may SELECT ops_change_batches",
        ),
        ("ALTER FUNCTION api.ops_change_version() RESET ALL", "pinned search path: ops_change_version"),
        ("DROP FUNCTION api.ops_change_renew", "missing functions: renew"),
    ] {
        cluster.sql(&database, spoil);
        let error =
            cluster.script(&database, &script("change_functions.verify.sql"), &["schema=api"]).unwrap_err();
        assert!(error.contains(found), "{error}");
        cluster.script(&database, &script("change_functions.sql"), &["schema=api"]).unwrap();
    }
}

#[test]
fn only_the_service_role_may_call_them() {
    let Some(cluster) = cluster() else { return };
    let database = supabase(cluster);
    cluster.script(&database, &script("change_functions.sql"), &["schema=api"]).unwrap();
    cluster.sql(&database, "CREATE TABLE api.t (id integer PRIMARY KEY, v text)");
    let mut client = Client::connect(&cluster.url(&database), NoTls).unwrap();
    let calls = "SELECT api.ops_change_describe('t'), api.ops_change_begin('p', 'apply', 'o', 't', 'api', now(), now()),
         api.ops_change_apply('p', 'apply', 'o', 't', 'api', '{id}', '{id,v}', 0, '[[\"i\", null, [\"1\", null]]]', now()),
         api.ops_change_recorded('p', 'apply', 0), api.ops_change_renew('p', 'apply', 'o', now()),
         api.ops_change_close('p', 'apply', 'o', true)";
    for role in ["anon", "authenticated"] {
        client.batch_execute(&format!("SET ROLE {role}")).unwrap();
        let error = client.simple_query(calls).unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42501", "{role}");
        assert!(client.simple_query("TABLE api.ops_change_batches").is_err(), "{role}");
        client.batch_execute("RESET ROLE").unwrap();
    }
    client.batch_execute("SET ROLE service_role").unwrap();
    client.simple_query(calls).unwrap();
    assert_eq!(cluster.sql(&database, "SELECT count(*) FROM api.t"), "1");
}

/// A role that policies hide rows from gets an error and not a part.
#[test]
fn they_do_not_work_on_a_part_of_the_rows() {
    let Some(cluster) = cluster() else { return };
    let database = cluster.database();
    cluster.script(&database, &script("change_functions.sql"), &[]).unwrap();
    cluster.sql(
        &database,
        "CREATE TABLE t (id integer PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'hidden');
         ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY none ON t USING (v <> 'hidden');
         CREATE ROLE partly LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO partly;
         GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO partly",
    );
    let mut client = Client::connect(&cluster.url_as("partly", &database), NoTls).unwrap();
    let refusal: Option<String> =
        client.query_one("SELECT ops_change_describe('t')->'refusal'->>'found'", &[]).unwrap().get(0);
    assert_eq!(refusal.as_deref(), Some("row-level security is active for this role"));
    client
        .simple_query("SELECT ops_change_begin('p', 'apply', 'o', 't', 'public', now(), now() + '1 min')")
        .unwrap();
    let error = client
        .simple_query(
            "SELECT ops_change_apply('p', 'apply', 'o', 't', 'public', '{id}', '{id,v}', 0,
                 '[[\"d\", [\"1\", \"hidden\"], null]]', now())",
        )
        .unwrap_err();
    assert_eq!(error.code().unwrap().code(), "42501");
}

/// A trigger finds the tables that it finds otherwise.
#[test]
fn triggers_have_their_search_path() {
    let Some(cluster) = cluster() else { return };
    let database = supabase(cluster);
    cluster.script(&database, &script("change_functions.sql"), &["schema=api"]).unwrap();
    cluster.sql(
        &database,
        "CREATE TABLE api.t (id integer PRIMARY KEY, v text); CREATE TABLE public.log (v text);
         CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN INSERT INTO log VALUES (NEW.v); RETURN NEW; END';
         CREATE TRIGGER note BEFORE INSERT ON api.t FOR EACH ROW EXECUTE FUNCTION public.note();
         SELECT api.ops_change_begin('p', 'apply', 'o', 't', 'api', now(), now() + '1 min');
         SELECT api.ops_change_apply('p', 'apply', 'o', 't', 'api', '{id}', '{id,v}', 0,
             '[[\"i\", null, [\"1\", \"seen\"]]]', now())",
    );
    assert_eq!(cluster.sql(&database, "TABLE log"), "seen");
}

const TABLE: &str =
    "(id integer PRIMARY KEY, slug text UNIQUE, n numeric(6,2) CHECK (n <> 99), f double precision,
     b boolean DEFAULT false, j jsonb, ts timestamptz(0), c character(3))";

const ROWS: &str = "(1, 'one', 1.5, 0.1, true, '{\"a\": 1}', '2026-01-02 03:04:05+00', 'x'),
     (2, 'two', 'NaN', '-0', NULL, NULL, NULL, NULL), (3, 'three', 3, 3, false, '[]', 'infinity', 'abc'),
     (4, 'four', 4, 4, false, 'null', NULL, ''), (5, 'five', NULL, 'NaN', true, NULL, NULL, 'y')";

/// Cells as the functions take them.
fn cells(row: &[Option<&Value>]) -> Json {
    row.iter()
        .map(|cell| match cell.map(Value::as_ref) {
            None => json!(false),
            Some(ValueRef::Null) => Json::Null,
            Some(ValueRef::Bool(b)) => json!(b.to_string()),
            Some(ValueRef::Int(n)) => json!(n.to_string()),
            Some(ValueRef::Real(x)) => json!(format!("{x:?}")),
            Some(ValueRef::Number(text) | ValueRef::Text(text) | ValueRef::Json(text)) => json!(text),
            Some(ValueRef::Bytes(_)) => panic!("no such column"),
        })
        .collect()
}

fn sent(change: &Change) -> Json {
    let whole = |row: &[Value]| cells(&row.iter().map(Some).collect::<Vec<_>>());
    match change {
        Change::Insert { after } => {
            json!(["i", null, cells(&after.iter().map(Option::as_ref).collect::<Vec<_>>())])
        }
        Change::Update { before, after } => json!(["u", whole(before), whole(after)]),
        Change::Delete { before } => json!(["d", whole(before), null]),
    }
}

/// An outcome in the words of the functions.
fn told(at: usize, outcome: &Outcome) -> Option<(usize, &'static str, Option<String>)> {
    match outcome {
        Outcome::Applied { stored: None } => None,
        Outcome::Applied { stored: Some(_) } => Some((at, "applied", None)),
        Outcome::Already => Some((at, "already", None)),
        Outcome::Drifted { .. } => Some((at, "drifted", None)),
        Outcome::Failed { reason } => Some((at, "failed", Some(reason.clone()))),
    }
}

fn changes() -> Vec<Change> {
    let text = |t: &str| Value::Text(t.to_owned());
    let row =
        |id: i64, slug: &str, n: &str, f: f64, b: Option<bool>, rest: [Option<&str>; 3]| -> Vec<Value> {
            let json = rest[0].map_or(Value::Null, |j| Value::Json(j.to_owned()));
            let number = Value::Number(n.to_owned());
            let [_, ts, c] = rest.map(|cell| cell.map_or(Value::Null, text));
            vec![
                Value::Int(id),
                text(slug),
                number,
                Value::Real(f),
                b.map_or(Value::Null, Value::Bool),
                json,
                ts,
                c,
            ]
        };
    let given = |row: Vec<Value>| row.into_iter().map(Some).collect::<Vec<_>>();
    let with = |mut row: Vec<Value>, i: usize, value: Value| {
        row[i] = value;
        row
    };
    let one = row(
        1,
        "one",
        "1.50",
        0.1,
        Some(true),
        [Some("{\"a\": 1}"), Some("2026-01-02 03:04:05+00"), Some("x")],
    );
    let two = row(2, "two", "NaN", -0.0, None, [None; 3]);
    let three = row(3, "three", "3.0", 3.0, Some(false), [Some("[]"), Some("infinity"), Some("abc")]);
    let four = row(4, "four", "4", 4.0, Some(false), [Some("null"), None, Some("")]);
    let seven = row(
        7,
        "seven",
        "7.777",
        1e300,
        Some(true),
        [Some("{\"b\":1,\"a\":2}"), Some("2026-01-02 03:04:05.9+00"), Some("z")],
    );
    let mut sparse = given(row(8, "eight", "8", 8.0, None, [None; 3]));
    (sparse[4], sparse[6]) = (None, None);
    let update = |before: &Vec<Value>, after: Vec<Value>| Change::Update { before: before.clone(), after };
    vec![
        update(&one, with(with(one.clone(), 1, text("uno")), 2, Value::Number("1.005".into()))),
        update(&two, with(two.clone(), 3, Value::Real(0.0))),
        update(&with(three.clone(), 3, Value::Real(3.5)), with(three.clone(), 3, Value::Real(4.0))),
        update(&four, with(four.clone(), 1, text("one"))),
        update(&with(four.clone(), 0, Value::Int(44)), with(four.clone(), 0, Value::Int(45))),
        Change::Insert { after: given(seven.clone()) },
        Change::Insert { after: sparse },
        Change::Insert { after: given(with(seven.clone(), 0, Value::Int(5))) },
        Change::Insert {
            after: given(with(with(seven.clone(), 0, Value::Int(9)), 2, Value::Number("99".into()))),
        },
        Change::Insert { after: given(with(with(seven, 0, Value::Int(10)), 7, text("long"))) },
        Change::Delete { before: three.clone() },
        Change::Delete { before: with(three, 0, Value::Int(33)) },
    ]
}

/// The outcomes of the changes on the table `by_driver`.
fn by_driver(url: &str, changes: &[Change]) -> Vec<Outcome> {
    let mut target = connect(url);
    let table = target.table(&name("by_driver")).unwrap();
    begin(&mut target, &table);
    apply(&mut target, &table, 0, changes).unwrap()
}

/// The outcomes of the changes on the table `by_function`, as they are told.
fn by_function(url: &str, changes: &[Change]) -> Vec<Json> {
    let mut client = Client::connect(url, NoTls).unwrap();
    client
        .simple_query(
            "SELECT ops_change_begin('q', 'apply', 'o', 'by_function', 'public', now(), now() + '1 min')",
        )
        .unwrap();
    let payload = changes.iter().map(sent).collect::<Json>().to_string();
    let sql = "SELECT ops_change_apply('q', 'apply', 'o', 'by_function', 'public', '{id}', '{id,slug,n,f,b,j,ts,c}', 0,
        $1::text::jsonb, now())::text";
    let answer: String = client.query_one(sql, &[&payload]).unwrap().get(0);
    let answer: Json = serde_json::from_str(&answer).unwrap();
    answer["outcomes"].as_array().unwrap().clone()
}

/// The position that an outcome is about.
fn at(outcome: &Json) -> usize {
    usize::try_from(outcome["at"].as_u64().unwrap()).unwrap()
}

/// A row as it is told, the float as its bits: it has many spellings.
fn comparable(mut row: Json) -> Json {
    if let Some(cell) = row.get_mut(3) {
        *cell = cell.as_str().map_or(Json::Null, |text| json!(text.parse::<f64>().unwrap().to_bits()));
    }
    row
}

#[test]
fn they_decide_as_the_driver_does() {
    let Some(cluster) = cluster() else { return };
    let database = cluster.database();
    cluster.script(&database, &script("change_functions.sql"), &[]).unwrap();
    for table in ["by_driver", "by_function"] {
        cluster.sql(
            &database,
            &format!("CREATE TABLE {table} {TABLE}; SET timezone = 'UTC'; INSERT INTO {table} VALUES {ROWS}"),
        );
    }
    let (url, changes) = (cluster.url(&database), changes());
    let (ours, theirs) = (by_driver(&url, &changes), by_function(&url, &changes));

    let our_words: Vec<_> = ours.iter().enumerate().filter_map(|(at, outcome)| told(at, outcome)).collect();
    let reason = |o: &Json| o["reason"].as_str().map(|text| text.replace("by_function", "by_driver"));
    let their_words: Vec<_> = theirs.iter().map(|o| (at(o), o["is"].as_str().unwrap(), reason(o))).collect();
    assert_eq!(their_words, our_words);
    let kinds: std::collections::BTreeSet<&str> = our_words.iter().map(|word| word.1).collect();
    assert_eq!(kinds.len(), 4, "all that can become of a change: {our_words:?}");

    // The same rows are reported, and the same rows are there.
    for outcome in &theirs {
        let found = match &ours[at(outcome)] {
            Outcome::Applied { stored: row } | Outcome::Drifted { found: row } => row.as_ref(),
            _ => None,
        };
        let ours = found.map_or(Json::Null, |row| cells(&row.iter().map(Some).collect::<Vec<_>>()));
        assert_eq!(comparable(outcome["row"].clone()), comparable(ours));
    }
    let rows = |table: &str| cluster.sql(&database, &format!("SELECT t::text FROM {table} t ORDER BY id"));
    assert_eq!(rows("by_driver"), rows("by_function"));
}
