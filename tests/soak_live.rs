//! Soaks and health checks on the real stack: PostgreSQL, PostgREST behind a gateway, and every way in which an answer can
//! be missing, short or a lie.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic as tests do")]

#[expect(dead_code, reason = "each test binary uses a part of the support")]
#[path = "support/command.rs"]
mod command;
#[path = "support/http.rs"]
mod http;
#[expect(dead_code, reason = "each test binary uses a part of the support")]
#[path = "support/stack.rs"]
mod stack;

use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use ops::files::write_atomic;
use serde_json::{Value, json};
use stack::{Stack, stack};

/// The tables have the names of the shipped settings, so one test after the other has them.
static TABLES: Mutex<()> = Mutex::new(());

const WORLD: &str = "
    DROP TABLE IF EXISTS assessment_sessions, profiles, fc_scores CASCADE;
    CREATE TABLE assessment_sessions (id uuid PRIMARY KEY, status text, share_token text, created_at timestamptz,
        completed_at timestamptz, completed_questions int);
    CREATE TABLE profiles (session_id uuid PRIMARY KEY, results_version text, created_at timestamptz);
    CREATE TABLE fc_scores (session_id uuid, version text, fc_kind text, created_at timestamptz,
        PRIMARY KEY (session_id, version, fc_kind));
    CREATE FUNCTION pg_temp.sid(n int) RETURNS uuid LANGUAGE sql AS
        $$ SELECT ('0a0a0a0a-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
    INSERT INTO assessment_sessions SELECT pg_temp.sid(n), 'completed', md5(n::text), t, t, 248
        FROM (SELECT n, timestamptz '2026-01-02T03:04:10Z' + n * interval '20 s' t FROM generate_series(0, 189) n) s;
    INSERT INTO profiles SELECT id, 'v1.2.1', completed_at FROM assessment_sessions
        WHERE right(id::text, 1) <> '7';
    INSERT INTO fc_scores SELECT id, 'v1.2', 'functions', completed_at FROM assessment_sessions;
    ALTER TABLE assessment_sessions ENABLE ROW LEVEL SECURITY;
    ALTER TABLE profiles ENABLE ROW LEVEL SECURITY;
    CREATE OR REPLACE FUNCTION get_profile_by_session(p_session_id uuid, p_share_token text) RETURNS SETOF profiles
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
        SELECT p.* FROM profiles p JOIN assessment_sessions s ON s.id = p.session_id
        WHERE s.id = p_session_id AND s.share_token = p_share_token $$;
    DROP ROLE IF EXISTS watcher_in_part;
    CREATE ROLE watcher_in_part LOGIN;
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO watcher_in_part;
";

/// The stack with fresh tables.
fn world() -> Option<(&'static Stack, MutexGuard<'static, ()>)> {
    let stack = stack()?;
    let guard = TABLES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    stack.sql(&format!(
        "DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'watcher_in_part') THEN \
        DROP OWNED BY watcher_in_part; END IF; END $$; {WORLD}"
    ));
    stack.reload();
    Some((stack, guard))
}

/// A folder with the shipped settings, whose soak lasts an hour.
fn folder() -> tempfile::TempDir {
    lasting("1h")
}

fn lasting(window: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let settings = ops::config::SHIPPED.replace("window = \"6h\"", &format!("window = \"{window}\""));
    write_atomic(&dir.path().join("ops.toml"), settings.as_bytes()).unwrap();
    dir
}

fn run(stack: &Stack, dir: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = command::xtask(dir);
    command.args(args).env("SUPABASE_URL", stack.url());
    command.env("SUPABASE_SERVICE_ROLE_KEY", stack.key("secret"));
    command.env("SUPABASE_ANON_KEY", stack.key("publishable"));
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn soak(stack: &Stack, dir: &Path, db: &str) -> (i32, Value, String) {
    let (code, stdout, stderr) = run(stack, dir, &["soak", "run", "--soak", "staging", "--db", db, "--json"]);
    (code, serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}")), stderr)
}

fn verdicts(judgement: &Value) -> Vec<String> {
    let metrics = judgement["metrics"].as_array().unwrap();
    metrics
        .iter()
        .map(|metric| format!("{} {}", metric["name"], metric["verdict"]).replace('"', ""))
        .collect()
}

/// Everything that was written below a folder, as one text.
fn written(dir: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => text.push_str(&written(&path)),
            path => text.push_str(&String::from_utf8_lossy(&std::fs::read(path).unwrap())),
        }
    }
    text
}

#[test]
fn the_shipped_soak_says_the_same_through_the_api_and_in_sql() {
    let Some((stack, _guard)) = world() else { return };
    let before = stack.requests("/").len();
    let (dir, direct) = (folder(), folder());
    let (code, over_http, stderr) = soak(stack, dir.path(), stack.url());
    assert_eq!(code, 0, "{over_http:#}{stderr}");
    let requests = stack.requests("/").split_off(before);
    let methods = |entry: &Value| ["GET", "HEAD"].contains(&entry["method"].as_str().unwrap());
    assert!(requests.len() > 200 && requests.iter().all(methods), "only questions are sent");
    let (code, in_sql, stderr) = soak(stack, direct.path(), stack.fact("database_url"));
    assert_eq!(code, 0, "{in_sql:#}{stderr}");
    assert_eq!(over_http["metrics"], in_sql["metrics"]);
    let text = written(dir.path()) + &written(direct.path());
    for secret in [stack.key("secret"), stack.key("publishable"), stack.sql("SELECT md5('3')").as_str()] {
        assert!(!text.contains(secret), "a secret was written");
    }
}

#[test]
fn one_bad_row_in_the_database_is_no_go_through_the_api_too() {
    for (sql, metric) in [
        ("UPDATE profiles SET results_version = NULL WHERE session_id::text LIKE '%3'", "version_overrides NO-GO"),
        ("UPDATE fc_scores SET fc_kind = 'types' WHERE session_id::text LIKE '%a1'", "fc_kind NO-GO"),
        ("DELETE FROM profiles WHERE right(session_id::text, 1) IN ('1', '2', '3', '4', '5')", "conversion NO-GO"),
        (
            "CREATE OR REPLACE FUNCTION get_profile_by_session(p_session_id uuid, p_share_token text) RETURNS SETOF profiles
             LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS
             'SELECT * FROM profiles WHERE session_id = p_session_id'",
            "tokenised_access NO-GO",
        ),
    ] {
        let Some((stack, _guard)) = world() else { return };
        stack.sql(sql);
        let (code, judgement, stderr) = soak(stack, folder().path(), stack.url());
        assert_eq!(code, 6, "{judgement:#}{stderr}");
        assert!(verdicts(&judgement).contains(&metric.to_owned()), "{:?}", verdicts(&judgement));
        if metric.starts_with("fc_kind") {
            assert_eq!(judgement["metrics"][1]["bad"].as_array().unwrap().len(), 1, "{judgement:#}");
        }
    }
}

#[test]
fn answers_that_are_short_twisted_or_missing_never_come_to_go() {
    let fault =
        |path: &str, action: Value| json!([{"match": {"path": path}, "times": 100_000, "action": action}]);
    let timeout =
        json!({"do": "answer", "status": 500, "body": {"code": "57014", "message": "canceling statement"}});
    let refused = json!({"do": "answer", "status": 401, "body": {"message": "Invalid API key"}});
    for (path, action, metric) in [
        ("/profiles\\?.*order", json!({"do": "rows", "keep": 0}), "version_overrides INVALID"),
        ("/fc_scores\\?.*limit=0", json!({"do": "range", "range": "*/7"}), "fc_kind INVALID"),
        ("/fc_scores\\?.*limit=0", json!({"do": "range", "range": "*/*"}), "fc_kind INVALID"),
        ("/fc_scores\\?.*order", timeout, "fc_kind INVALID"),
        (
            "/assessment_sessions\\?.*order",
            json!({"do": "answer", "status": 200, "body": []}),
            "conversion INVALID",
        ),
        (
            "/assessment_sessions\\?.*order",
            json!({"do": "answer", "status": 200, "body": "<html>ok</html>"}),
            "conversion INVALID",
        ),
        ("/rpc/get_profile", refused, "tokenised_access INVALID"),
        (
            "/rpc/get_profile",
            json!({"do": "answer", "status": 200, "body": "<html>ok</html>"}),
            "tokenised_access INVALID",
        ),
    ] {
        let Some((stack, _guard)) = world() else { return };
        let faults = stack.misbehave(&fault(path, action.clone()));
        let (code, judgement, stderr) = soak(stack, lasting("15m").path(), stack.url());
        assert!(faults.fired()[0] > 0, "{path} {action}");
        assert_eq!(code, 6, "{path} {action}: {judgement:#}{stderr}");
        assert!(
            verdicts(&judgement).contains(&metric.to_owned()),
            "{path} {action}: {:?}",
            verdicts(&judgement)
        );
        assert_ne!(judgement["verdict"], "GO");
    }
}

#[test]
fn pages_that_are_cut_are_followed_to_the_end() {
    let Some((stack, _guard)) = world() else { return };
    let cut = json!({"do": "rows", "keep": 50});
    let faults =
        stack.misbehave(&json!([{"match": {"path": "/fc_scores\\?.*order"}, "times": 8, "action": cut}]));
    let (_, judgement, stderr) = soak(stack, folder().path(), stack.url());
    assert_eq!(faults.fired(), [8]);
    assert_eq!(
        (judgement["metrics"][1]["units"].as_u64(), &judgement["metrics"][1]["failed"]),
        (Some(190), &json!(0)),
        "{stderr}"
    );
}

#[test]
fn an_outage_of_a_moment_is_asked_over_and_costs_nothing() {
    let Some((stack, _guard)) = world() else { return };
    let busy =
        json!({"do": "answer", "status": 503, "headers": {"retry-after": "0"}, "body": {"code": "PGRST002"}});
    let faults = stack.misbehave(&json!([{"match": {"path": "/profiles"}, "times": 2, "action": busy}]));
    let (code, judgement, stderr) = soak(stack, folder().path(), stack.url());
    assert_eq!((code, faults.fired()), (0, vec![2]), "{judgement:#}{stderr}");
}

#[test]
fn a_role_that_sees_only_a_part_is_no_witness() {
    let Some((stack, _guard)) = world() else { return };
    // Row-level security hides every row from it, without an error.
    let url = stack.fact("database_url").to_owned();
    let rest = url.split_once('@').map_or_else(|| url.split_once("://").unwrap().1, |(_, rest)| rest);
    let partial = format!("postgres://watcher_in_part@{rest}");
    let (code, judgement, stderr) = soak(stack, folder().path(), &partial);
    assert_eq!(code, 6, "{judgement:#}{stderr}");
    assert!(
        verdicts(&judgement).contains(&"version_overrides INVALID".to_owned()),
        "{:?}",
        verdicts(&judgement)
    );
    let dir = folder();
    let (code, stdout, stderr) = run(stack, dir.path(), &["health", "--target", &partial]);
    assert_eq!(code, 1, "{stdout}{stderr}");
    assert!(stdout.contains("UNKNOWN") && stderr.contains("row-level security"), "{stdout}{stderr}");
}

#[test]
fn health_says_the_same_through_the_api_and_in_sql_and_short_reads_are_unknown() {
    let Some((stack, _guard)) = world() else { return };
    stack.sql("UPDATE profiles SET results_version = NULL WHERE session_id::text LIKE '%13'");
    stack.sql("DELETE FROM fc_scores WHERE session_id::text LIKE '%2a'");
    let health = |target: &str| {
        let dir = folder();
        let (code, stdout, stderr) = run(stack, dir.path(), &["health", "--target", target, "--json"]);
        let plan = std::fs::read_to_string(dir.path().join(".ops/health/prod_mini_backfill_plan.json"));
        let health: Value = serde_json::from_str(&stdout).unwrap_or(Value::Null);
        (code, health, plan.unwrap_or_default(), stderr)
    };
    let (code, over_http, plan, stderr) = health(stack.url());
    assert_eq!(code, 6, "{over_http:#}{stderr}");
    let (_, in_sql, same_plan, _) = health(stack.fact("database_url"));
    assert_eq!(over_http["found"]["lacking"], in_sql["found"]["lacking"]);
    assert_eq!(plan, same_plan);
    // Judged by SQL that does not use this code.
    let lacking = stack.sql(
        "SELECT count(*) FROM assessment_sessions s WHERE status = 'completed' AND NOT (EXISTS (SELECT FROM profiles p
         WHERE p.session_id = s.id AND p.results_version = 'v1.2.1') AND EXISTS (SELECT FROM fc_scores f
         WHERE f.session_id = s.id AND f.version = 'v1.2' AND f.fc_kind = 'functions'))",
    );
    assert_eq!(over_http["found"]["lacking"].as_array().unwrap().len().to_string(), lacking);
    for (path, action) in [
        ("/profiles\\?.*order", json!({"do": "rows", "keep": 0})),
        ("/fc_scores\\?.*order", json!({"do": "answer", "status": 400, "body": {"code": "42P01"}})),
        ("/assessment_sessions\\?.*limit=0", json!({"do": "range", "range": "*/7"})),
    ] {
        let _faults =
            stack.misbehave(&json!([{"match": {"path": path}, "times": 100_000, "action": action}]));
        let (code, health, plan, stderr) = health(stack.url());
        assert_eq!((code, plan.as_str()), (1, ""), "{path}: {health:#}{stderr}");
        assert_eq!(health["verdict"], "UNKNOWN");
    }
}
