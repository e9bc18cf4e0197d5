//! The way from a file to a changed table and back on real servers: killed, looked at from outside, read by others.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may")]

mod support {
    #[expect(dead_code, reason = "each test binary uses a part of the support")]
    pub(crate) mod command;
    pub(crate) mod kill;
    #[expect(dead_code, reason = "each test binary uses a part of the support")]
    pub(crate) mod postgres;
}
#[path = "support/http.rs"]
mod http;
#[expect(dead_code, reason = "each test binary uses a part of the support")]
#[path = "support/stack.rs"]
mod stack;

use std::fs;
use std::path::Path;

use support::command::xtask;
use support::kill::{Moments, until_done};
use support::postgres::cluster;

const TABLE: &str =
    "(id text PRIMARY KEY, name text NOT NULL, price numeric(10,2), meta jsonb, at timestamptz)";
const ROWS: &str = "SELECT 'k' || lpad(i::text, 5, '0'), 'name ' || i, i * 1.10, jsonb_build_object('n', i),
    '2026-01-01T00:00:00Z' FROM generate_series(1, 1000) i";
const DIGEST: &str = "SELECT md5(string_agg(t::text, '|' ORDER BY id)) FROM things t";

/// Of 1,000 rows 750 stay and change, 750 are new.
fn desired(dir: &Path) {
    let row =
        |i: u32| format!("{{\"id\":\"k{i:05}\",\"name\":\"new {i}\",\"meta\":{{\"b\":1,\"a\":[{i}]}}}}\n");
    fs::write(dir.join("desired.ndjson"), (251..1751).map(row).collect::<String>()).unwrap();
}

/// Runs a command that must succeed.
fn ends(dir: &Path, variables: &[(&str, &str)], line: &str) -> String {
    let output = xtask(dir).args(line.split(' ')).envs(variables.iter().copied()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{line}\n{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Makes the plan; its short id.
fn plan(dir: &Path, target: &str, variables: &[(&str, &str)]) -> String {
    let target = if target.is_empty() { String::new() } else { format!(" --target {target}") };
    let line = format!("backup-plan{target} --table things --key id --desired desired.ndjson --json");
    let manifest: serde_json::Value = serde_json::from_str(&ends(dir, variables, &line)).unwrap();
    manifest["short"].as_str().unwrap().to_owned()
}

/// Applies and takes back under fire; `sql` asks the server without our code.
fn there_and_back(target: &str, variables: &[(&str, &str)], sql: &dyn Fn(&str) -> String) {
    let before = sql(DIGEST);
    let mut moments = Moments(11);
    let named = if target.is_empty() { String::new() } else { format!(" --target {target}") };
    let (mut kills, mut after) = (0, None);
    while kills < 20 {
        let dir = tempfile::tempdir().unwrap();
        desired(dir.path());
        let id = plan(dir.path(), target, variables);
        let line = format!("upsert --plan {id}{named} --apply --approve {id} --batch-size 10");
        kills += until_done(dir.path(), variables, &line, " --resume", &mut moments);
        let report = fs::read(dir.path().join(format!(".ops/plans/plan-{id}/apply/report.json"))).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(report["ledger"]["ended"]["applied"], 1500, "{report}");
        let digest = sql(DIGEST);
        assert_eq!(*after.get_or_insert(digest.clone()), digest, "after {kills} kills");
        assert_eq!(sql("SELECT count(*) FROM things WHERE name = 'new ' || ltrim(id, 'k0')"), "1500");
        let line = format!("rollback --plan {id}{named} --apply --approve {id} --in-batches --batch-size 10");
        kills += until_done(dir.path(), variables, &line, "", &mut moments);
        assert_eq!(sql(DIGEST), before, "taken back, after {kills} kills");
    }
}

#[test]
fn killed_on_postgres_it_ends_as_if_it_had_not_been() {
    let Some(cluster) = cluster() else { return };
    let database = cluster.database();
    cluster.sql(&database, &format!("CREATE TABLE things {TABLE}; INSERT INTO things {ROWS}"));
    there_and_back(&cluster.url(&database), &[], &|sql| cluster.sql(&database, sql).trim().to_owned());
}

#[test]
fn planning_and_looking_move_no_counter_of_postgres() {
    let Some(cluster) = cluster() else { return };
    let database = cluster.database();
    cluster.sql(&database, &format!("CREATE TABLE things {TABLE}; INSERT INTO things {ROWS}"));
    let counters = || {
        let sql = "SELECT pg_stat_force_next_flush(); SELECT pg_stat_clear_snapshot();
            SELECT sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del), count(*) FROM pg_stat_user_tables";
        cluster.sql(&database, sql).trim().to_owned()
    };
    let (dir, url) = (tempfile::tempdir().unwrap(), cluster.url(&database));
    desired(dir.path());
    let before = counters();
    let id = plan(dir.path(), &url, &[]);
    ends(dir.path(), &[], &format!("upsert --plan {id} --target {url}"));
    ends(dir.path(), &[], &format!("plan check --plan {id} --target {url}"));
    assert_eq!(counters(), before);
    ends(dir.path(), &[], &format!("upsert --plan {id} --target {url} --apply --approve {id}"));
    assert_ne!(counters(), before, "the counters count");
}

#[test]
fn killed_behind_postgrest_it_ends_as_if_it_had_not_been() {
    let Some(stack) = stack::own(&[]) else { return };
    stack.sql(&format!("CREATE TABLE things {TABLE}; INSERT INTO things {ROWS}"));
    stack.install(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/postgres/change_functions.sql"));
    stack.reload();
    let variables = [("SUPABASE_URL", stack.url()), ("SUPABASE_SERVICE_ROLE_KEY", stack.key("service_role"))];
    there_and_back("", &variables, &|sql| stack.sql(sql).trim().to_owned());
}
