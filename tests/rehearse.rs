//! Trying plans on clones: a plan that works passes, one that cannot fails with the reason, the target is not touched,
//! and nothing is left behind.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may")]

#[path = "support/http.rs"]
mod http;
#[expect(dead_code, reason = "each test binary uses a part of the support")]
#[path = "support/postgres.rs"]
mod server;
#[expect(dead_code, reason = "each test binary uses a part of the support")]
#[path = "support/stack.rs"]
mod stack;
#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;
use support::command::{redact, xtask, xtask_std};
use support::golden::assert_golden;
use tempfile::TempDir;

const TABLE: &str = "CREATE TABLE glyphs (id TEXT PRIMARY KEY, name TEXT NOT NULL, depth INTEGER, meta TEXT);
    INSERT INTO glyphs VALUES ('a', 'Quiet harbor', 1, NULL), ('b', 'Salt lantern', 2, '{\"n\":1}'),
        ('c', 'Stone; tide''s', 3, ''), ('e', 'Über river', 5, 'x');";

const DESIRED: &str = r#"{"id":"a","name":"Quiet harbor","depth":1}
{"id":"b","name":"Salt lantern, lit","depth":20}
{"id":"d","name":"New willow","depth":4}
{"id":"e","name":"Über river","depth":null}
"#;

/// A folder with a file of desired rows, and perhaps a database.
struct World {
    dir: TempDir,
    variables: Vec<(String, String)>,
}

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl World {
    fn of(desired: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("desired.ndjson"), desired).unwrap();
        Self { dir, variables: Vec::new() }
    }

    fn sqlite(schema: &str, desired: &str) -> Self {
        let world = Self::of(desired);
        world.open().execute_batch(schema).unwrap();
        world
    }

    fn open(&self) -> Connection {
        Connection::open(self.path("live.db")).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a command that must end with `code`.
    fn ends(&self, code: i32, line: &str) -> Ran {
        let mut command = xtask(self.dir.path());
        let variables = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let output = command.envs(variables).args(line.split(' ')).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ran = Ran {
            code: output.status.code().unwrap(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        assert_eq!(ran.code, code, "{line}\n{}{}", ran.stdout, ran.stderr);
        ran
    }

    /// Makes a plan; its short id.
    fn plan(&self, target: &str, table: &str) -> String {
        let target = if target.is_empty() { String::new() } else { format!(" --target {target}") };
        let line = format!("backup-plan{target} --table {table} --key id --desired desired.ndjson --json");
        let manifest: Value = serde_json::from_str(&self.ends(0, &line).stdout).unwrap();
        manifest["short"].as_str().unwrap().to_owned()
    }

    fn rehearsal(&self, id: &str) -> Value {
        let path = self.path(&format!(".ops/plans/plan-{id}/rehearsal/rehearsal.json"));
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    }

    /// What is left in the folder of a rehearsal.
    fn left(&self, id: &str) -> Vec<String> {
        let folder = self.path(&format!(".ops/plans/plan-{id}/rehearsal"));
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// The claims of a report that do not hold, each with what was measured.
fn unmet(report: &Value) -> Vec<String> {
    let checks = report["checks"].as_array().unwrap().iter().filter(|check| check["met"] == false);
    checks.map(|c| format!("{}: {}", c["claim"].as_str().unwrap(), c["measured"].as_str().unwrap())).collect()
}

#[test]
fn a_plan_that_works_passes_and_leaves_the_target_as_it_was() {
    let world = World::sqlite(TABLE, DESIRED);
    let id = world.plan("live.db", "glyphs");
    let file = fs::read(world.path("live.db")).unwrap();
    let ran = world
        .ends(0, &format!("rehearse --plan {id} --desired desired.ndjson --batch-size 1 --crash-at all"));
    assert_eq!(fs::read(world.path("live.db")).unwrap(), file, "the target was changed");
    assert_eq!(world.left(&id), [".lock", "rehearsal.json", "rehearsal.md"]);

    let plan = fs::read_to_string(world.path(&format!(".ops/plans/plan-{id}/plan.json"))).unwrap();
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let place = fs::canonicalize(world.dir.path()).unwrap();
    let text_of = |value: &Value| value.as_str().unwrap().to_owned();
    let (finger, seal, full) =
        (text_of(&plan["plan"]["target"]["fingerprint"]), text_of(&plan["seal"]), text_of(&plan["id"]));
    let stable = |text: &str| {
        let places = [(place.to_str().unwrap(), "<dir>"), (world.dir.path().to_str().unwrap(), "<dir>")];
        let ids = [(&*finger, "<finger>"), (&*seal, "<seal>"), (&*full, "<plan>"), (&*id, "<id>")];
        redact(text, &[&places[..], &ids[..]].concat())
    };
    assert_golden("rehearse/sqlite/expected/stdout.txt", &stable(&ran.stdout));
    let folder = world.path(&format!(".ops/plans/plan-{id}/rehearsal"));
    for name in ["rehearsal.json", "rehearsal.md"] {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        assert_golden(&format!("rehearse/sqlite/expected/{name}"), &stable(&text));
    }
}

#[test]
fn the_gate_takes_a_rehearsal_of_exactly_this_plan() {
    let world = World::sqlite(TABLE, DESIRED);
    let id = world.plan("live.db", "glyphs");
    let apply = format!("upsert --plan {id} --apply --approve {id} --require-rehearsal");
    world.ends(6, &apply);
    fs::write(world.path("desired.ndjson"), DESIRED.replace("lit", "dim")).unwrap();
    let other = world.plan("live.db", "glyphs");
    world.ends(0, &format!("rehearse --plan {other}"));
    let ran = world.ends(6, &apply);
    assert!(ran.stderr.contains(&format!("the last one is of plan {other}")), "{}", ran.stderr);
    world.ends(0, &format!("rehearse --plan {id}"));
    world.ends(0, &apply);
    world.ends(0, "gates audit");
}

#[test]
fn a_plan_that_cannot_work_fails_with_the_reason_and_is_not_let_through() {
    let check = TABLE.replace("depth INTEGER", "depth INTEGER CHECK (depth < 10)");
    let mangles = format!(
        "{TABLE} CREATE TRIGGER shout AFTER UPDATE ON glyphs WHEN NEW.name <> upper(NEW.name)
         BEGIN UPDATE glyphs SET name = upper(NEW.name) WHERE id = NEW.id; END;"
    );
    let unique = TABLE.replace("name TEXT NOT NULL", "name TEXT UNIQUE");
    let exchange = "{\"id\":\"a\",\"name\":\"Salt lantern\"}\n{\"id\":\"b\",\"name\":\"Quiet harbor\"}\n";
    let cases = [
        (check, DESIRED, "SQLITE_CONSTRAINT_CHECK", "every change was applied"),
        (mangles, DESIRED, "`name` in 2 rows", "the table is what the plan wants"),
        (unique, exchange, "SQLITE_CONSTRAINT_UNIQUE", "every change was applied"),
    ];
    for (schema, desired, reason, claim) in cases {
        let world = World::sqlite(&schema, desired);
        let id = world.plan("live.db", "glyphs");
        let file = fs::read(world.path("live.db")).unwrap();
        let ran = world.ends(1, &format!("rehearse --plan {id} --crash-at all"));
        assert!(ran.stdout.contains(reason), "{}", ran.stdout);
        let unmet = unmet(&world.rehearsal(&id));
        assert!(unmet.iter().any(|found| found.contains(claim)), "{unmet:?}");
        assert_eq!(fs::read(world.path("live.db")).unwrap(), file, "the target was changed");
        assert_eq!(world.left(&id), [".lock", "rehearsal.json", "rehearsal.md"]);
        let ran = world.ends(6, &format!("upsert --plan {id} --apply --approve {id} --require-rehearsal"));
        assert!(ran.stderr.contains("fail"), "{}", ran.stderr);
    }
}

#[test]
fn killed_at_every_write_the_run_on_the_clone_ends_as_if_nobody_had() {
    let world = World::sqlite(TABLE, DESIRED);
    let id = world.plan("live.db", "glyphs");
    world.ends(0, &format!("rehearse --plan {id} --batch-size 1 --crash-at all"));
    let report = world.rehearsal(&id);
    // Three batches and the end of the run, in three ways, there and back.
    let crashes = &report["crashes"];
    assert_eq!(
        (&crashes["writes"], &crashes["killed"], &crashes["recovered"]),
        (&4.into(), &24.into(), &24.into())
    );
    world.ends(0, &format!("rehearse --plan {id} --batch-size 1 --crash-at 2"));
    assert_eq!(world.rehearsal(&id)["crashes"]["killed"], 12);
    world.ends(2, &format!("rehearse --plan {id} --crash-at 0"));
}

#[test]
fn a_clone_has_what_acts_on_the_rows_of_the_original() {
    let schema = "PRAGMA encoding = 'UTF-16le'; PRAGMA page_size = 1024;
        CREATE TABLE kinds (k TEXT PRIMARY KEY);
        CREATE TABLE log (n INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT);
        CREATE TABLE \"odd-name\" (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT REFERENCES kinds (k),
            amount NUMERIC, twice AS (amount * 2) STORED, at TEXT DEFAULT CURRENT_TIMESTAMP, raw BLOB, UNIQUE (kind, amount));
        CREATE UNIQUE INDEX few ON \"odd-name\" (raw) WHERE raw IS NOT NULL;
        INSERT INTO kinds VALUES ('x');
        INSERT INTO \"odd-name\" (id, kind, amount, at, raw)
            VALUES (1, 'x', 1.5, 'then', x'00ff'), (2, 'x', 'many', NULL, NULL), (9, NULL, 9e99, 'é', 7);
        DELETE FROM \"odd-name\" WHERE id = 9;
        CREATE VIEW seen AS SELECT * FROM \"odd-name\";
        CREATE TRIGGER noted AFTER INSERT ON \"odd-name\" BEGIN INSERT INTO log (what) VALUES (NEW.id); END;
        CREATE VIRTUAL TABLE words USING fts5(w);";
    let world = World::sqlite(
        schema,
        "{\"id\":1,\"amount\":2}\n{\"id\":2,\"kind\":\"nobody's\"}\n{\"id\":3,\"amount\":7}\n",
    );
    let id = world.plan("live.db", "odd-name");
    let ran = world.ends(0, &format!("rehearse --plan {id} --batch-size 2 --crash-at all"));
    assert!(ran.stdout.contains("foreign keys are therefore not enforced"), "{}", ran.stdout);
}

#[test]
fn what_a_killed_rehearsal_left_is_removed_and_two_at_once_are_refused() {
    let world = World::sqlite(TABLE, DESIRED);
    let id = world.plan("live.db", "glyphs");
    let work = world.path(&format!(".ops/plans/plan-{id}/rehearsal/work"));
    fs::create_dir_all(work.join("apply")).unwrap();
    fs::write(work.join("clone.db"), "half a file").unwrap();
    fs::write(work.join("apply/journal.ndjson"), "{\"run\"").unwrap();
    let lock = fs::File::create(work.with_file_name(".lock")).unwrap();
    lock.lock().unwrap();
    let ran = world.ends(3, &format!("rehearse --plan {id}"));
    assert!(ran.stderr.contains("another runner"), "{}", ran.stderr);
    drop(lock);
    world.ends(0, &format!("rehearse --plan {id}"));
    assert!(!work.exists());
}

#[test]
fn what_cannot_be_rehearsed_is_refused() {
    let world = World::sqlite(TABLE, DESIRED);
    let id = world.plan("live.db", "glyphs");
    world.ends(3, &format!("rehearse --plan {id} --in-target"));
    world.ends(3, &format!("rehearse --plan {id} --scratch postgres://127.0.0.1:1/x"));
    world.open().execute_batch("ALTER TABLE glyphs ADD COLUMN more TEXT").unwrap();
    let ran = world.ends(3, &format!("rehearse --plan {id}"));
    assert!(ran.stderr.contains("is not what it was"), "{}", ran.stderr);
    let world = World::sqlite(TABLE, DESIRED);
    let id = world.plan("live.db", "glyphs");
    fs::remove_file(world.path(&format!(".ops/plans/plan-{id}/backup/rows.ndjson.zst"))).unwrap();
    world.ends(3, &format!("rehearse --plan {id}"));
}

#[test]
fn plans_of_every_kind_are_rehearsed() {
    let world = World::sqlite(TABLE, DESIRED);
    let id = world.plan("live.db", "glyphs");
    fs::write(world.path("keys.txt"), "b\nd\n").unwrap();
    let selected = world.ends(0, &format!("plan select --plan {id} --keys keys.txt --json"));
    let selected: Value = serde_json::from_str(&selected.stdout).unwrap();
    world.ends(0, &format!("rehearse --plan {} --crash-at all", selected["short"].as_str().unwrap()));

    let line = "backup-plan --target live.db --table glyphs --key id --desired desired.ndjson --json";
    let deleting: Value =
        serde_json::from_str(&world.ends(0, &format!("{line} --allow-delete")).stdout).unwrap();
    let ran =
        world.ends(0, &format!("rehearse --plan {} --crash-at all", deleting["short"].as_str().unwrap()));
    assert!(ran.stdout.contains("--approve-delete"), "{}", ran.stdout);

    fs::write(world.path("desired.ndjson"), DESIRED.lines().next().unwrap()).unwrap();
    let empty = world.plan("live.db", "glyphs");
    let ran = world.ends(0, &format!("rehearse --plan {empty} --crash-at all"));
    assert!(ran.stdout.contains("the plan writes nothing"), "{}", ran.stdout);

    world.open().execute_batch("DELETE FROM glyphs").unwrap();
    fs::write(world.path("desired.ndjson"), DESIRED).unwrap();
    let from_nothing: Value =
        serde_json::from_str(&world.ends(0, &format!("{line} --expect-empty")).stdout).unwrap();
    world.ends(0, &format!("rehearse --plan {} --crash-at all", from_nothing["short"].as_str().unwrap()));
}

#[test]
fn asked_to_stop_it_leaves_nothing() {
    let world = World::sqlite(TABLE, DESIRED);
    let row = |i: u32| format!("{{\"id\":\"k{i}\",\"name\":\"new\"}}\n");
    fs::write(world.path("desired.ndjson"), (0..300).map(row).collect::<String>()).unwrap();
    let id = world.plan("live.db", "glyphs");
    let line = format!("rehearse --plan {id} --batch-size 1 --crash-at all");
    let mut command = xtask_std(world.dir.path());
    command.args(line.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let applied = world.path(&format!(".ops/plans/plan-{id}/rehearsal/work/apply/journal.ndjson"));
    let began = Instant::now();
    while !applied.exists() {
        assert!(began.elapsed() < Duration::from_mins(1), "it does not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(world.left(&id), [".lock"]);
}

/// A table with everything that a clone must have, or say that it has not.
const THINGS: &str = r#"
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE DOMAIN cents AS numeric(12,2) CHECK (VALUE >= 0);
    CREATE TABLE kinds (k text PRIMARY KEY);
    INSERT INTO kinds VALUES ('x');
    CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := upper(NEW.name); RETURN NEW; END';
    CREATE TABLE "Things" (
        id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
        n serial,
        name text COLLATE "C" NOT NULL,
        "Price" cents,
        feeling mood DEFAULT 'ok',
        tags text[] DEFAULT '{}',
        meta jsonb,
        raw bytea,
        at timestamptz DEFAULT now(),
        twice numeric GENERATED ALWAYS AS (depth * 2) STORED,
        depth numeric CHECK (depth < 1000),
        kind text REFERENCES kinds (k),
        CONSTRAINT "one name" UNIQUE (name, kind)
    );
    CREATE UNIQUE INDEX " USING odd" ON "Things" (lower(name)) WHERE depth > 0;
    CREATE TRIGGER loud BEFORE UPDATE OF raw ON "Things" FOR EACH ROW EXECUTE FUNCTION shout();
    INSERT INTO "Things" (name, "Price", tags, meta, raw, at, depth, kind)
        SELECT 'name ' || i, i * 1.10, ARRAY['a"b', NULL, i::text], '{"b":1, "a":[1.50]}', '\x00ff',
            '2026-01-01T00:00:00.123456Z', i, 'x' FROM generate_series(1, 40) i;"#;

fn things() -> String {
    let row =
        |i: u32| format!("{{\"id\":{i},\"name\":\"new\\t{i}\\\\\",\"depth\":{}.50,\"kind\":\"x\"}}\n", i * 2);
    (21..=60).map(row).collect()
}

#[test]
fn a_postgres_plan_is_rehearsed_in_another_database() {
    let Some(cluster) = server::cluster() else { return };
    let (live, scratch) = (cluster.database(), cluster.database());
    cluster.sql(&live, THINGS);
    let world = World::of(&things());
    let id = world.plan(&cluster.url(&live), "Things");
    let state = || {
        let sql = "SELECT pg_stat_force_next_flush(); SELECT pg_stat_clear_snapshot();
            SELECT sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del), count(*) FROM pg_stat_user_tables;
            SELECT string_agg(last_value::text, ',' ORDER BY sequencename) FROM pg_sequences";
        cluster.sql(&live, sql)
    };
    let before = state();
    let target = format!("--plan {id} --target {}", cluster.url(&live));
    let rehearse = format!("rehearse {target} --scratch {}", cluster.url(&scratch));
    let ran = world.ends(0, &format!("{rehearse} --batch-size 5 --crash-at 3"));
    assert_eq!(state(), before, "the target was written to");
    for lack in ["trigger loud", "foreign key \"Things_kind_fkey\"", "public.mood", "public.cents"] {
        let lack = lack.replace('"', "");
        assert!(ran.stdout.replace('"', "").contains(&lack), "{lack}: {}", ran.stdout);
    }
    assert_eq!(world.rehearsal(&id)["crashes"]["recovered"], 18);
    assert!(ran.stdout.contains("rollback.sql by psql"), "{}", ran.stdout);
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'ops_%'";
    assert_eq!(cluster.sql(&scratch, schemas), "0");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(cluster.sql(&scratch, tables), "0", "books were left in the scratch database");

    // With the types there, the clone has them.
    cluster.sql(&scratch, "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN cents AS numeric(12,2)");
    let ran = world.ends(0, &rehearse);
    assert!(!ran.stdout.contains("public.mood"), "{}", ran.stdout);

    // Somebody else's schema is not dropped, and that of a killed rehearsal is.
    cluster.sql(&scratch, &format!("CREATE SCHEMA ops_rehearsal_{id}"));
    let refused = world.ends(3, &rehearse);
    assert!(refused.stderr.contains("not ours"), "{}", refused.stderr);
    let mark = world.rehearsal(&id)["plan"].as_str().unwrap().to_owned();
    cluster.sql(
        &scratch,
        &format!(
            "COMMENT ON SCHEMA ops_rehearsal_{id} IS 'clone of cargo xtask rehearse for plan {mark}';
             CREATE TABLE ops_rehearsal_{id}.\"Things\" (x int)"
        ),
    );
    world.ends(0, &rehearse);
    assert_eq!(cluster.sql(&scratch, schemas), "0");
}

#[test]
fn the_target_itself_is_a_place_for_the_clone_only_when_somebody_says_so() {
    let Some(cluster) = server::cluster() else { return };
    let live = cluster.database();
    cluster.sql(&live, THINGS);
    let world = World::of(&things());
    let url = cluster.url(&live);
    let id = world.plan(&url, "Things");
    let plan = format!("--plan {id} --target {url}");
    let ran = world.ends(3, &format!("rehearse {plan}"));
    assert!(ran.stderr.contains("there is no place for the clone"), "{}", ran.stderr);
    let ran = world.ends(3, &format!("rehearse {plan} --scratch {url}"));
    assert!(ran.stderr.contains("is the target of the plan"), "{}", ran.stderr);
    let sequences = "SELECT string_agg(last_value::text, ',' ORDER BY sequencename) FROM pg_sequences";
    let before = cluster.sql(&live, sequences);
    world.ends(0, &format!("rehearse {plan} --in-target --batch-size 20 --crash-at all"));
    assert_eq!(cluster.sql(&live, sequences), before);
    let tables = "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relname LIKE 'ops_%'";
    assert_eq!(cluster.sql(&live, tables), "", "something was left in the target");
    // The rehearsal is no run: the plan is applied for the first time.
    world.ends(0, &format!("upsert {plan} --apply --approve {id} --require-rehearsal"));
}

#[test]
fn a_postgres_plan_that_a_check_refuses_fails() {
    let Some(cluster) = server::cluster() else { return };
    let (live, scratch) = (cluster.database(), cluster.database());
    cluster.sql(&live, THINGS);
    let world = World::of("{\"id\":1,\"name\":\"a\",\"depth\":5000}\n{\"id\":2,\"name\":\"name 3\"}\n");
    let id = world.plan(&cluster.url(&live), "Things");
    let target = format!("--plan {id} --target {}", cluster.url(&live));
    let ran = world.ends(1, &format!("rehearse {target} --scratch {}", cluster.url(&scratch)));
    assert!(ran.stdout.contains("SQLSTATE 23514, constraint Things_depth_check"), "{}", ran.stdout);
    assert_eq!(cluster.sql(&scratch, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'ops_%'"), "0");
}

#[test]
fn rows_exchange_unique_values_on_postgres_where_that_is_deferrable() {
    let Some(cluster) = server::cluster() else { return };
    for (deferrable, code) in [("", 1), ("DEFERRABLE", 0)] {
        let (live, scratch) = (cluster.database(), cluster.database());
        let table = format!(
            "CREATE TABLE t (id int PRIMARY KEY, name text, CONSTRAINT own UNIQUE (name) {deferrable})"
        );
        cluster.sql(&live, &format!("{table}; INSERT INTO t VALUES (1, 'a'), (2, 'b')"));
        let world = World::of("{\"id\":1,\"name\":\"b\"}\n{\"id\":2,\"name\":\"a\"}\n");
        let id = world.plan(&cluster.url(&live), "t");
        let target = format!("--plan {id} --target {}", cluster.url(&live));
        let ran = world.ends(code, &format!("rehearse {target} --scratch {}", cluster.url(&scratch)));
        assert_eq!(ran.stdout.contains("SQLSTATE 23505, constraint own"), code == 1, "{}", ran.stdout);
    }
}

#[test]
fn a_plan_behind_an_api_is_rehearsed_on_postgres() {
    let Some(stack) = stack::own(&[]) else { return };
    stack.sql(
        "CREATE TABLE words (id text PRIMARY KEY, name text NOT NULL UNIQUE, price numeric(10,2), meta jsonb, n serial,
            at timestamptz DEFAULT now());
         INSERT INTO words (id, name, price, meta) SELECT 'k' || i, 'name ' || i, i * 1.10, '{}' FROM generate_series(1, 30) i",
    );
    stack.sql("CREATE DATABASE elsewhere");
    stack.reload();
    let row = |i: u32| format!("{{\"id\":\"k{i}\",\"name\":\"new {i}\"}}\n");
    let mut world = World::of(&(11..41).map(row).collect::<String>());
    let key = stack.key("service_role").to_owned();
    world.variables = vec![
        ("SUPABASE_URL".to_owned(), stack.url().to_owned()),
        ("SUPABASE_SERVICE_ROLE_KEY".to_owned(), key),
    ];
    let id = world.plan("", "words");
    let requests = stack.requests("words").len();
    let ran = world.ends(3, &format!("rehearse --plan {id}"));
    assert!(ran.stderr.contains("there is no place for the clone"), "{}", ran.stderr);
    let database = stack.fact("database_url");
    let (server, _) = database.rsplit_once('/').unwrap();
    // The rehearsal needs no key, for it asks the API nothing.
    world.variables = vec![("SCRATCH_DATABASE_URL".to_owned(), format!("{server}/elsewhere"))];
    let ran = world.ends(0, &format!("rehearse --plan {id} --batch-size 20 --crash-at 2"));
    assert!(ran.stdout.contains("what an API does not show"), "{}", ran.stdout);
    assert_eq!(stack.requests("words").len(), requests, "the target was asked");
}
