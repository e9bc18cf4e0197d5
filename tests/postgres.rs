//! `db-identity` of a PostgreSQL database, from outside, against a real server.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test may")]

mod support {
    #[expect(dead_code, reason = "each test binary uses a part of the support")]
    pub(crate) mod command;
    #[expect(dead_code, reason = "each test binary uses a part of the support")]
    pub(crate) mod postgres;
}

use std::path::Path;

use serde_json::Value;
use support::command::{redact, xtask};
use support::postgres::{SCRAM_PASSWORD, SCRAM_USER, cluster};

fn run(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let output = xtask(dir).arg("db-identity").args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

const TABLES: &str = "
    CREATE TABLE runs (id text PRIMARY KEY);
    CREATE TABLE phases (id bigint PRIMARY KEY, run_id text REFERENCES runs, state text);
    CREATE TABLE token_estimation_v2_events (event_id bigint PRIMARY KEY, category text, complexity text,
        success boolean, truncated boolean);
    INSERT INTO runs VALUES ('r');
    INSERT INTO phases VALUES (1, 'r', 'QUEUED'), (2, 'r', 'GATE'), (3, 'r', NULL), (4, 'r', 'QUEUED');
    INSERT INTO token_estimation_v2_events VALUES (1, 'docs', 'low', true, false), (2, 'docs', 'low', false, true),
        (3, 'tests', 'low', true, NULL)";

#[test]
fn what_a_database_holds() {
    let Some(cluster) = cluster() else { return };
    let dir = tempfile::tempdir().unwrap();
    let database = cluster.database();
    cluster.sql(&database, TABLES);
    let url = cluster.url(&database);
    let (code, stdout, stderr) = run(dir.path(), &["--db", &url, "--json"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let identity: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(identity["phases"]["total"], 4);
    assert_eq!(identity["phases"]["by"], serde_json::json!({"GATE": 1, "QUEUED": 2, "null": 1}));
    assert_eq!(identity["telemetry"]["by_success"], serde_json::json!({"no": 1, "yes": 2}));
    assert_eq!(identity["telemetry"]["by_truncation"], serde_json::json!({"no": 1, "null": 1, "yes": 1}));
    assert_eq!(identity["server"]["database"], database.as_str());
    assert_eq!(identity["notes"], serde_json::json!([]));

    // Another spelling of the same place is the same database; another database is not.
    let fingerprint = |url: &str| -> Value {
        serde_json::from_str::<Value>(&run(dir.path(), &["--db", url, "--json", "--allow-empty"]).1).unwrap()
            ["fingerprint"]
            .clone()
    };
    assert_eq!(fingerprint(&url.replace("postgres://", "postgresql+psycopg://")), identity["fingerprint"]);
    assert_ne!(fingerprint(&cluster.url(&cluster.database())), identity["fingerprint"]);
}

#[test]
fn guards_hold_as_for_a_file() {
    let Some(cluster) = cluster() else { return };
    let dir = tempfile::tempdir().unwrap();
    let database = cluster.database();
    let url = cluster.url(&database);
    let (code, _, stderr) = run(dir.path(), &["--db", &url]);
    assert_eq!(code, 3);
    assert!(stderr.contains("has no runs and no phases"), "{stderr}");
    cluster.sql(&database, TABLES);
    assert_eq!(run(dir.path(), &["--db", &url, "--expect", "staging"]).0, 3);
    let (code, stdout, _) = run(dir.path(), &["--db", &url, "--stamp", "staging"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("`staging`, stamped 2026-01-02T03:04:05Z"), "{stdout}");
    assert_eq!(run(dir.path(), &["--db", &url, "--expect", "staging"]).0, 0);
    let (code, _, stderr) = run(dir.path(), &["--db", &url, "--stamp", "production"]);
    assert_eq!(code, 3);
    assert!(stderr.contains("a lineage is written once") && stderr.contains("`staging`"), "{stderr}");
}

#[test]
fn a_password_is_used_and_not_shown() {
    let Some(cluster) = cluster() else { return };
    let dir = tempfile::tempdir().unwrap();
    let database = cluster.database();
    let with = |password: &str| cluster.url_as(&format!("{SCRAM_USER}:{password}"), &database);
    let (code, stdout, stderr) = run(dir.path(), &["--db", &with(SCRAM_PASSWORD), "--allow-empty"]);
    assert_eq!(code, 0, "{}", redact(&stderr, &[(SCRAM_PASSWORD, "<shown>")]));
    assert!(stdout.contains("postgres://***@127.0.0.1:"), "{stdout}");
    let (code, _, failure) = run(dir.path(), &["--db", &with("wrong-horse")]);
    assert_eq!(code, 1);
    for text in [stdout, stderr, failure] {
        assert!(!text.contains(SCRAM_PASSWORD) && !text.contains("wrong-horse"), "a password is shown");
    }
}
