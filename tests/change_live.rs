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
#[path = "support/errand.rs"]
mod errand;
#[path = "support/http.rs"]
mod http;
#[expect(dead_code, reason = "each test binary uses a part of the support")]
#[path = "support/stack.rs"]
mod stack;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ops::target::Target;
use ops::url::DbUrl;
use serde_json::Value;
use support::command::xtask;
use support::kill::{Moments, until_done};
use support::postgres::{SCRAM_PASSWORD, SCRAM_USER, cluster};

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

/// Every byte below a folder.
fn everything(dir: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        all.extend(if path.is_dir() { everything(&path) } else { fs::read(&path).unwrap() });
    }
    all
}

/// Plans, applies, is refused and takes back, with the secret in the environment alone; nothing that was written or
/// printed has it.
fn keeps_the_secret(variables: &[(&str, &str)], secret: &str) {
    let dir = tempfile::tempdir().unwrap();
    desired(dir.path());
    let id = plan(dir.path(), "", variables);
    let mut said = Vec::new();
    for line in [
        format!("plan check --plan {id}"),
        format!("upsert --plan {id}"),
        format!("upsert --plan {id} --apply --approve 000000000000"),
        format!("upsert --plan {id} --apply --approve {id} --desired desired.ndjson --json"),
        format!("upsert --plan {id} --apply --approve {id}"),
        "backup-plan --table nothing --key id --desired desired.ndjson".to_owned(),
        format!("rollback --plan {id} --apply --approve {id}"),
        format!("rehearse --plan {id} --in-target --crash-at 1"),
        "gates audit".to_owned(),
    ] {
        let ran = xtask(dir.path()).args(line.split(' ')).envs(variables.iter().copied()).output().unwrap();
        let is_rehearsed =
            !line.starts_with("rehearse") || variables[0].0 != "DATABASE_URL" || ran.status.success();
        assert!(is_rehearsed, "{}", String::from_utf8_lossy(&ran.stderr));
        said.extend([ran.stdout, ran.stderr].concat());
    }
    said.extend(everything(dir.path()));
    // The plan with its before-images and the journal are among what is looked through.
    assert!(said.len() > 500_000, "only {} bytes were written", said.len());
    for part in [secret, &secret[..secret.len() / 2], &secret[secret.len() / 2..]] {
        let found = said.windows(part.len()).any(|window| window == part.as_bytes());
        assert!(!found, "a part of the secret was written");
    }
}

#[test]
fn no_secret_is_written_anywhere() {
    if let Some(cluster) = cluster() {
        let database = cluster.database();
        cluster.sql(
            &database,
            &format!(
                "CREATE TABLE things {TABLE}; INSERT INTO things {ROWS}; GRANT ALL ON things TO {SCRAM_USER};
                 GRANT ALL ON SCHEMA public TO {SCRAM_USER}; GRANT CREATE ON DATABASE {database} TO {SCRAM_USER}"
            ),
        );
        let login = format!("{SCRAM_USER}:{SCRAM_PASSWORD}");
        keeps_the_secret(&[("DATABASE_URL", &cluster.url_as(&login, &database))], SCRAM_PASSWORD);
    }
    if let Some(stack) = stack::own(&[]) {
        stack.sql(&format!("CREATE TABLE things {TABLE}; INSERT INTO things {ROWS}"));
        stack.reload();
        for key in ["service_role", "secret"] {
            let variables = [("SUPABASE_URL", stack.url()), ("SUPABASE_KEY", stack.key(key))];
            keeps_the_secret(&variables, stack.key(key));
        }
        let log = fs::read(stack.fact("requests")).unwrap();
        let has_key = |key: &str| log.windows(key.len()).any(|window| window == key.as_bytes());
        assert!(!log.is_empty() && !has_key(stack.key("secret")));
    }
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

/// The process that tests of exact kills start again and again.
#[test]
fn errand_on_a_server() {
    errand::be_one(|| -> Box<dyn Target> {
        let variable = |name| errand::variable(name).unwrap();
        match DbUrl::parse(&variable("OPS_TEST_TARGET"), Path::new("/")).unwrap() {
            DbUrl::Postgres(url) => {
                let options = ops::target::postgres::PostgresOptions::default();
                Box::new(ops::target::postgres::PostgresTarget::connect(&url, options).unwrap())
            }
            DbUrl::PostgRest(url) => {
                use ops::target::postgrest::{ApiKey, Postgrest, PostgrestOptions};
                let key = secrecy::SecretString::from(variable("OPS_TEST_KEY"));
                let now = ops::clock::Clock::System.now();
                let key = ApiKey::check(&key, &url, now).unwrap();
                Box::new(Postgrest::open(&url, &key, &PostgrestOptions::default()).unwrap())
            }
            DbUrl::Sqlite(_) => panic!("that is no server"),
        }
    });
}

/// Plans over 12 rows of which 8 change, and 8 new ones; each is another plan of the same changes.
fn small_plans<'a>(
    dir: &'a Path,
    target: &'a str,
    variables: &'a [(&'a str, &'a str)],
) -> impl FnMut() -> PathBuf + 'a {
    let mut round = 0;
    move || {
        round += 1;
        let row = |i: u32| {
            format!("{{\"id\":\"k{i:05}\",\"name\":\"new {i}\",\"meta\":{{\"b\":1,\"a\":[{i}]}}}}\n")
        };
        let rows = (5..21).map(row).collect::<String>() + &"\n".repeat(round);
        fs::write(dir.join("desired.ndjson"), rows).unwrap();
        dir.join(format!(".ops/plans/plan-{}", plan(dir, target, variables)))
    }
}

const FEW: &str = "SELECT 'k' || lpad(i::text, 5, '0'), 'name ' || i, i * 1.10, jsonb_build_object('n', i),
    '2026-01-01T00:00:00Z' FROM generate_series(1, 12) i";

#[test]
fn killed_at_exactly_every_write_on_postgres() {
    let Some(cluster) = cluster() else { return };
    let (database, dir) = (cluster.database(), tempfile::tempdir().unwrap());
    cluster.sql(&database, &format!("CREATE TABLE things {TABLE}; INSERT INTO things {FEW}"));
    let url = cluster.url(&database);
    let mut plans = small_plans(dir.path(), &url, &[]);
    let state = || cluster.sql(&database, DIGEST);
    let variables = [("OPS_TEST_TARGET", url.as_str())];
    let died = errand::there_and_back("errand_on_a_server", &variables, 16, &mut plans, &state);
    assert_eq!(died, 54, "eight batches and the end, in three ways, there and back");
}

#[test]
fn killed_at_exactly_every_write_behind_postgrest() {
    let Some(stack) = stack::own(&[]) else { return };
    stack.sql(&format!("CREATE TABLE things {TABLE}; INSERT INTO things {FEW}"));
    stack.reload();
    let named = [("SUPABASE_URL", stack.url()), ("SUPABASE_SERVICE_ROLE_KEY", stack.key("service_role"))];
    let variables = [("OPS_TEST_TARGET", stack.url()), ("OPS_TEST_KEY", stack.key("service_role"))];
    let state = || stack.sql(DIGEST);
    // First row by row, with no books but the journal, then with the functions.
    for has_functions in [false, true] {
        if has_functions {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            stack.install(&root.join("../migrations/postgres/change_functions.sql"));
            stack.reload();
        }
        let dir = tempfile::tempdir().unwrap();
        let mut plans = small_plans(dir.path(), "", &named);
        let died = errand::there_and_back("errand_on_a_server", &variables, 16, &mut plans, &state);
        assert_eq!(died, 54, "with functions: {has_functions}");
    }
}

#[test]
fn what_the_ledger_says_is_what_supabase_js_and_psql_read() {
    let Some(stack) = stack::own(&[]) else { return };
    stack.sql(&format!("CREATE TABLE things {TABLE}; INSERT INTO things {FEW}"));
    stack.install(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/postgres/change_functions.sql"));
    stack.reload();
    let dir = tempfile::tempdir().unwrap();
    let named = [("SUPABASE_URL", stack.url()), ("SUPABASE_SERVICE_ROLE_KEY", stack.key("service_role"))];
    let folder = small_plans(dir.path(), "", &named)();
    let id = folder.file_name().unwrap().to_str().unwrap().strip_prefix("plan-").unwrap().to_owned();
    stack.sql("UPDATE things SET name = 'theirs', price = 1e7 + 0.01 WHERE id IN ('k00006', 'k00007')");
    let read = || -> BTreeMap<String, Value> {
        let columns = "id,name,price::text,meta::text,at::text";
        let by_client = rows_by_id(&stack.read_by_supabase_js("things", "id", columns));
        let sql = "SELECT json_build_object('id', id, 'name', name, 'price', price::text, 'meta', meta::text, 'at', at::text)
            FROM things";
        assert_eq!(by_client, rows_by_id(&stack.sql(sql)), "the client and psql read the same");
        by_client
    };
    let before = read();
    let run = |line: &str, code: i32| -> Value {
        let output = xtask(dir.path()).args(line.split(' ')).envs(named).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let line = format!("--plan {id} --apply --approve {id} --batch-size 3 --json");
    let report = run(&format!("upsert {line} --on-drift skip"), 5);
    let after = read();
    let ended = &report["ledger"]["ended"];
    assert_eq!((&ended["applied"], &ended["drifted"]), (&14.into(), &2.into()), "{report}");
    let outcomes = fs::read_to_string(folder.join("apply/outcomes.ndjson")).unwrap();
    let (mut applied, mut inserted) = (0, 0);
    for line in outcomes.lines() {
        let outcome: Value = serde_json::from_str(line).unwrap();
        let key = outcome["key"][0].as_str().unwrap();
        let row = &after[key];
        if outcome["outcome"] == "drifted" {
            assert_eq!((row, &row["name"]), (&before[key], &"theirs".into()), "{line}");
            continue;
        }
        let n: u64 = key[1..].parse().unwrap();
        assert_eq!(row["name"], format!("new {n}"), "{line}");
        assert_eq!(row["meta"], format!("{{\"a\": [{n}], \"b\": 1}}"), "{line}");
        if outcome["op"] == "update" {
            assert_eq!((&row["price"], &row["at"]), (&before[key]["price"], &before[key]["at"]), "{line}");
        }
        applied += 1;
        inserted += u64::from(outcome["op"] == "insert");
    }
    assert_eq!(ended["applied"], applied);
    assert_eq!(report["written"]["insert"], inserted);
    assert_eq!(after.len() - before.len(), 8);
    // Rows that the run does not speak of are as they were.
    let changed = after.iter().filter(|(key, row)| before.get(*key) != Some(*row)).count();
    assert_eq!(ended["applied"], changed);
    let report = run(&format!("rollback {line}"), 0);
    assert_eq!(report["ledger"]["ended"]["applied"], 14);
    assert_eq!(read(), before, "taken back, and what others wrote is still there");
}

fn rows_by_id(lines: &str) -> BTreeMap<String, Value> {
    let row = |line| -> Value { serde_json::from_str(line).unwrap() };
    lines.lines().map(row).map(|row| (row["id"].as_str().unwrap().to_owned(), row)).collect()
}
