//! From a file to a changed table and back, as a person does it: plan, look, approve, apply, take back.
//!
//! What targets, plans and runs owe is tested where they are; here it is that the tasks join them in the right order,
//! with the right exit codes, and that what people see does not change by accident.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may")]

#[cfg(unix)]
#[path = "support/errand.rs"]
mod errand;
#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use support::command::{redact, xtask};
use support::golden::assert_golden;
use support::kill::{Moments, until_done};
use tempfile::TempDir;

const TABLE: &str = "CREATE TABLE glyphs (id TEXT PRIMARY KEY, name TEXT NOT NULL, depth INTEGER, meta TEXT);
    INSERT INTO glyphs VALUES ('a', 'Quiet harbor', 1, NULL), ('b', 'Salt lantern', 2, '{\"n\":1}'),
        ('c', 'Stone; tide''s', 3, ''), ('e', 'Über river', 5, 'x');";

const DESIRED: &str = r#"{"id":"a","name":"Quiet harbor","depth":1}
{"id":"b","name":"Salt lantern, lit","depth":20}
{"id":"d","name":"New willow","depth":4}
{"id":"e","name":"Über river","depth":null}
"#;

/// A folder with a database and a file of desired rows.
struct World {
    dir: TempDir,
}

/// What a command came to.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Connection::open(dir.path().join("live.db")).unwrap().execute_batch(TABLE).unwrap();
        fs::write(dir.path().join("desired.ndjson"), DESIRED).unwrap();
        Self { dir }
    }

    fn run(&self, line: &str) -> Ran {
        let output = xtask(self.dir.path()).args(line.split(' ')).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs a command that must end with `code`.
    fn ends(&self, code: i32, line: &str) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.code, code, "{line}\n{}{}", ran.stdout, ran.stderr);
        ran
    }

    /// Makes the plan; its short id.
    fn plan(&self) -> String {
        self.ends(0, PLAN);
        let names = fs::read_dir(self.path(".ops/plans")).unwrap().map(|entry| entry.unwrap().file_name());
        let ids: Vec<String> = names
            .filter_map(|name| name.into_string().unwrap().strip_prefix("plan-").map(str::to_owned))
            .collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        ids[0].clone()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn sql(&self, sql: &str) {
        Connection::open(self.path("live.db")).unwrap().execute_batch(sql).unwrap();
    }

    /// Every row of the table, with the types of its values.
    fn rows(&self) -> String {
        let connection = Connection::open(self.path("live.db")).unwrap();
        let sql = "SELECT quote(id) || quote(name) || quote(depth) || quote(meta) FROM glyphs ORDER BY id";
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.map(Result::unwrap).collect::<Vec<_>>().join("\n")
    }

    /// Without what no seed can fix: the place, the file's number in the fingerprint, and what follows from it.
    fn stable(&self, text: &str, id: &str) -> String {
        let plan = fs::read_to_string(self.path(&format!(".ops/plans/plan-{id}/plan.json"))).unwrap();
        let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
        let fingerprint = plan["plan"]["target"]["fingerprint"].as_str().unwrap();
        let place = fs::canonicalize(self.dir.path()).unwrap();
        let replacements = [
            (place.to_str().unwrap(), "<dir>"),
            (self.dir.path().to_str().unwrap(), "<dir>"),
            (fingerprint, "<finger>"),
            (id, "<id>"),
        ];
        redact(text, &replacements)
    }
}

const PLAN: &str = "backup-plan --target live.db --table glyphs --key id --desired desired.ndjson";

#[test]
fn a_plan_is_made_shown_applied_and_taken_back() {
    let world = World::new();
    let before = world.rows();
    let file = fs::read(world.path("live.db")).unwrap();
    let made = world.ends(0, PLAN);
    let id = fs::read_dir(world.path(".ops/plans")).unwrap().next().unwrap().unwrap().file_name();
    let id = id.to_str().unwrap().strip_prefix("plan-").unwrap().to_owned();
    assert_golden("change/sqlite/expected/backup-plan.txt", &world.stable(&made.stdout, &id));

    let dry = world.ends(0, &format!("upsert --plan {id}"));
    assert_golden("change/sqlite/expected/dry-run.txt", &world.stable(&dry.stdout, &id));
    world.ends(0, &format!("plan show --plan {id}"));
    world.ends(0, &format!("plan check --plan {id}"));
    assert_eq!(fs::read(world.path("live.db")).unwrap(), file, "looking changed the file");

    let applied =
        world.ends(0, &format!("upsert --plan {id} --apply --approve {id} --desired desired.ndjson"));
    assert_golden("change/sqlite/expected/upsert.txt", &world.stable(&applied.stdout, &id));
    assert_eq!(
        world.rows(),
        "'a''Quiet harbor'1NULL\n'b''Salt lantern, lit'20'{\"n\":1}'\n'c''Stone; tide''s'3''\n\
         'd''New willow'4NULL\n'e''Über river'NULL'x'"
    );
    let again = world.ends(0, &format!("upsert --plan {id} --apply --approve {id}"));
    assert!(again.stdout.contains("was done before; nothing was written"), "{}", again.stdout);

    let back = world.ends(0, &format!("rollback --plan {id} --apply --approve {id}"));
    assert_golden("change/sqlite/expected/rollback.txt", &world.stable(&back.stdout, &id));
    assert_eq!(world.rows(), before);
    world.ends(0, &format!("rollback --plan {id} --apply --approve {id}"));
    world.ends(3, &format!("upsert --plan {id} --apply --approve {id}"));
    let audit = world.ends(0, "gates audit");
    assert!(audit.stdout.contains("The chain holds"), "{}", audit.stdout);
}

#[test]
fn nothing_is_written_without_the_approval_of_exactly_this_plan() {
    let world = World::new();
    let id = world.plan();
    let before = world.rows();
    let none = world.ends(6, &format!("upsert --plan {id} --apply"));
    assert!(none.stderr.starts_with(&format!("gate not met: plan {id} is not approved")), "{}", none.stderr);
    world.ends(3, &format!("upsert --plan {id} --apply --approve 000000000000"));
    world.ends(3, &format!("upsert --plan {id} --apply --approve-delete {id}"));
    world.ends(3, &format!("upsert --plan {id} --apply --approve {id} --lineage 0123456789abcdef"));
    world.ends(6, &format!("upsert --plan {id} --apply --approve {id} --require-rehearsal"));
    world.ends(3, &format!("rollback --plan {id}"));
    world.ends(3, "upsert --plan 000000000000");
    assert_eq!(world.rows(), before);
}

#[test]
fn a_row_that_somebody_changed_is_left_alone_in_both_directions() {
    let world = World::new();
    let id = world.plan();
    world.sql("UPDATE glyphs SET name = 'theirs' WHERE id = 'b'");
    world.ends(4, &format!("plan check --plan {id}"));
    world.ends(5, &format!("upsert --plan {id} --apply --approve {id} --on-drift skip"));
    assert!(world.rows().contains("'b''theirs'2"), "{}", world.rows());
    world.sql("UPDATE glyphs SET name = 'theirs too' WHERE id = 'd'");
    world.ends(5, &format!("rollback --plan {id} --apply --approve {id}"));
    let rows = world.rows();
    assert!(rows.contains("'d''theirs too'") && rows.contains("'e''Über river'5"), "{rows}");
}

#[test]
fn an_edited_plan_and_another_database_are_refused() {
    let world = World::new();
    let id = world.plan();
    fs::copy(world.path("live.db"), world.path("copy.db")).unwrap();
    let other = world.ends(3, &format!("upsert --plan {id} --target copy.db --apply --approve {id}"));
    assert!(other.stderr.contains("another database"), "{}", other.stderr);
    let changes = world.path(&format!(".ops/plans/plan-{id}/changes.ndjson"));
    let edited = fs::read_to_string(&changes).unwrap().replace("lit", "out");
    fs::write(&changes, edited).unwrap();
    let ran = world.ends(3, &format!("upsert --plan {id} --apply --approve {id}"));
    assert!(ran.stderr.contains("changes.ndjson"), "{}", ran.stderr);
}

#[test]
fn bad_input_makes_no_plan_and_says_where() {
    let world = World::new();
    let cases: [(&str, i32, &str); 8] = [
        ("{\"id\":\"a\",\"nome\":\"x\"}\n", 1, "`nome` (line 1)"),
        ("{\"id\":\"a\",\"depth\":1}\n{\"id\":\"a\",\"depth\":2}\n", 1, "does not tell the rows apart"),
        ("{\"id\":null,\"name\":\"x\"}\n", 1, "does not tell the rows apart"),
        ("{\"id\":\"a\"\n", 1, "line 1"),
        ("", 1, "empty"),
        ("{\"id\":\"x\",\"name\":null}\n", 1, "line 1, `name`"),
        ("[{\"id\":\"a\"}]", 1, ""),
        ("{\"name\":\"x\"}\n", 1, "id"),
    ];
    for (text, code, said) in cases {
        fs::write(world.path("desired.ndjson"), text).unwrap();
        let ran = world.ends(code, PLAN);
        assert!(ran.stderr.contains(said), "{text:?}: {}", ran.stderr);
    }
    fs::remove_file(world.path("desired.ndjson")).unwrap();
    let ran = world.ends(1, PLAN);
    assert!(ran.stderr.contains("desired.ndjson"), "{}", ran.stderr);
    fs::write(world.path("desired.ndjson"), DESIRED).unwrap();
    world.ends(3, &PLAN.replace("--key id", "--key name"));
    world.ends(3, &PLAN.replace("glyphs", "glyph"));
    world.ends(3, &format!("{PLAN} --expect-empty"));
    world.ends(1, &PLAN.replace("live.db", "none.db"));
    world.sql("DELETE FROM glyphs");
    let ran = world.ends(3, PLAN);
    assert!(ran.stderr.contains("--expect-empty"), "{}", ran.stderr);
    let left = |name: &str| fs::read_dir(world.path(name)).map_or(0, Iterator::count);
    assert_eq!(left(".ops/plans"), 0, "a plan was left behind");
    assert!(!Path::new(&world.path("none.db")).exists());
    world.ends(0, &format!("{PLAN} --expect-empty"));
}

#[test]
fn a_plan_without_a_backup_and_an_old_one_are_not_applied() {
    let world = World::new();
    world.ends(0, &format!("{PLAN} --no-backup"));
    let entry = fs::read_dir(world.path(".ops/plans")).unwrap().next().unwrap().unwrap().file_name();
    let id = entry.to_str().unwrap().strip_prefix("plan-").unwrap().to_owned();
    let ran = world.ends(3, &format!("upsert --plan {id} --apply --approve {id}"));
    assert!(ran.stderr.contains("backup"), "{}", ran.stderr);
    fs::remove_dir_all(world.path(".ops")).unwrap();
    let id = world.plan();
    let line = format!("upsert --plan {id} --apply --approve {id}");
    let mut late = xtask(world.dir.path());
    let output = late.env("OPS_NOW", "2026-01-03T03:04:06Z").args(line.split(' ')).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("too old"));
}

#[test]
fn a_canary_stops_until_somebody_approves_going_on() {
    let world = World::new();
    let id = world.plan();
    world.ends(5, &format!("upsert --plan {id} --apply --approve {id} --canary 1"));
    assert!(world.rows().contains("'b''Salt lantern, lit'") && !world.rows().contains("New willow"));
    world.ends(3, &format!("upsert --plan {id} --apply --approve {id}"));
    world.ends(0, &format!("upsert --plan {id} --apply --approve {id} --resume"));
    assert!(world.rows().contains("New willow"));
}

#[test]
fn rows_that_only_the_table_has_are_deleted_by_a_plan_of_its_own_kind() {
    let world = World::new();
    let before = world.rows();
    world.ends(0, &format!("{PLAN} --allow-delete"));
    let entry = fs::read_dir(world.path(".ops/plans")).unwrap().next().unwrap().unwrap().file_name();
    let id = entry.to_str().unwrap().strip_prefix("plan-").unwrap().to_owned();
    world.ends(3, &format!("upsert --plan {id} --apply --approve {id}"));
    world.ends(0, &format!("upsert --plan {id} --apply --approve-delete {id}"));
    assert!(!world.rows().contains("'c'"), "{}", world.rows());
    world.ends(0, &format!("rollback --plan {id} --apply --approve-delete {id}"));
    assert_eq!(world.rows(), before);
}

/// A plan of 3,000 changes, so that a run takes long enough to be killed in the middle of it.
fn large() -> (World, String) {
    let world = World::new();
    world.sql(
        "DELETE FROM glyphs; INSERT INTO glyphs WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
         SELECT printf('k%05d', i), 'name ' || i, i, NULL FROM n",
    );
    let row = |i: u32| format!("{{\"id\":\"k{i:05}\",\"name\":\"new {i}\",\"depth\":{i}}}\n");
    fs::write(world.path("desired.ndjson"), (501..3501).map(row).collect::<String>()).unwrap();
    let id = world.plan();
    (world, id)
}

#[cfg(unix)]
#[test]
fn killed_at_any_moment_it_ends_as_if_it_had_not_been() {
    let mut moments = Moments(7);
    let mut kills = 0;
    let (undisturbed, id) = large();
    let before = undisturbed.rows();
    undisturbed.ends(0, &format!("upsert --plan {id} --apply --approve {id} --batch-size 10"));
    let after = undisturbed.rows();
    while kills < 50 {
        let (world, id) = large();
        assert_eq!(world.rows(), before);
        let line = format!("upsert --plan {id} --apply --approve {id} --batch-size 10");
        kills += until_done(world.dir.path(), &[], &line, " --resume", &mut moments);
        assert_eq!(world.rows(), after, "after {kills} kills");
        let report =
            fs::read_to_string(world.path(&format!(".ops/plans/plan-{id}/apply/report.json"))).unwrap();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["ledger"]["ended"]["applied"], 3000, "{report}");
        let line = format!("rollback --plan {id} --apply --approve {id} --in-batches --batch-size 10");
        kills += until_done(world.dir.path(), &[], &line, "", &mut moments);
        assert_eq!(world.rows(), before, "taken back, after {kills} kills");
    }
}

/// The process that `killed_at_exactly_every_write_it_ends_as_if_it_had_not_been` kills.
#[cfg(unix)]
#[test]
fn errand_on_sqlite() {
    errand::be_one(|| {
        let path = errand::variable("OPS_TEST_TARGET").unwrap();
        let url = ops::url::SqliteUrl::from_path(PathBuf::from(path));
        let options = ops::target::sqlite::SqliteOptions::default();
        Box::new(ops::target::sqlite::SqliteTarget::open(&url, &std::env::temp_dir(), options).unwrap())
    });
}

#[cfg(unix)]
#[test]
fn killed_at_exactly_every_write_it_ends_as_if_it_had_not_been() {
    let world = World::new();
    world.sql(
        "DELETE FROM glyphs; INSERT INTO glyphs WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12)
         SELECT printf('k%05d', i), 'name ' || i, i, NULL FROM n",
    );
    let mut round = 0;
    let mut plan = || {
        round += 1;
        let row = |i: u32| format!("{{\"id\":\"k{i:05}\",\"name\":\"new {i}\",\"depth\":{i}}}\n");
        // Empty lines make another file of the same rows, and so another plan.
        let rows = (5..21).map(row).collect::<String>() + &"\n".repeat(round);
        fs::write(world.path("desired.ndjson"), rows).unwrap();
        let ran = world.ends(0, &format!("{PLAN} --json"));
        let plan: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        world.path(&format!(".ops/plans/plan-{}", plan["short"].as_str().unwrap()))
    };
    let target = world.path("live.db");
    let variables = [("OPS_TEST_TARGET", target.to_str().unwrap())];
    let died = errand::there_and_back("errand_on_sqlite", &variables, 16, &mut plan, &|| world.rows());
    assert_eq!(died, 54, "eight batches and the end, in three ways, there and back");
}

/// Starts a command that waits for something.
fn started(world: &World, line: &str) -> std::process::Child {
    let mut command = support::command::xtask_std(world.dir.path());
    command.args(line.split('|')).stdout(std::process::Stdio::null());
    command.spawn().unwrap()
}

/// Whether it is still running and has written nothing, a second later than it would have needed.
fn is_held(child: &mut std::process::Child, world: &World, before: &str) -> bool {
    std::thread::sleep(std::time::Duration::from_secs(1));
    child.try_wait().unwrap().is_none() && world.rows() == before
}

#[test]
fn a_run_is_held_by_a_file_and_by_a_query_and_goes_on_by_itself() {
    let world = World::new();
    world.sql("CREATE TABLE load (now INTEGER); INSERT INTO load VALUES (5)");
    let (id, before) = (world.plan(), world.rows());
    fs::write(world.path("pause"), "").unwrap();
    let line = format!(
        "upsert|--plan|{id}|--apply|--approve|{id}|--pause-file|pause|--throttle-query|SELECT max(now) FROM load|--throttle-max|4"
    );
    let mut child = started(&world, &line);
    assert!(is_held(&mut child, &world, &before), "the file holds it");
    fs::remove_file(world.path("pause")).unwrap();
    assert!(is_held(&mut child, &world, &before), "the query holds it");
    world.sql("UPDATE load SET now = 4");
    assert!(child.wait().unwrap().success());
    assert!(world.rows().contains("New willow"));
    let report = fs::read_to_string(world.path(&format!(".ops/plans/plan-{id}/apply/report.json"))).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert!(report["effort"]["throttled_ms"].as_u64().unwrap() >= 2_000, "{}", report["effort"]);
}

#[test]
fn rows_go_no_faster_than_they_may() {
    let (world, id) = large();
    let begun = std::time::Instant::now();
    world.ends(0, &format!("upsert --plan {id} --apply --approve {id} --max-rows-per-second 2000"));
    assert!(begun.elapsed().as_millis() >= 1_400, "3,000 rows, the first 200 at once: {:?}", begun.elapsed());
}

#[test]
fn columns_that_the_table_lacks_are_left_out_when_that_is_said() {
    let world = World::new();
    fs::write(world.path("desired.ndjson"), r#"{"id":"a","name":"Quiet","score":0.9}"#).unwrap();
    let ran = world.ends(1, PLAN);
    assert!(ran.stderr.contains("`score` (line 1)"), "{}", ran.stderr);
    let ran = world.ends(1, &format!("{PLAN} --ignore-columns score,extra"));
    assert!(ran.stderr.contains("not in the file: `extra`"), "{}", ran.stderr);
    world.ends(0, &format!("{PLAN} --ignore-columns score"));
}
