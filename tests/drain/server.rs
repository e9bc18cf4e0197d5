//! A backlog on a server, from outside: migrated, drained, interrupted.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::cluster::{Cluster, cluster};
use crate::support::command::{xtask, xtask_std};
use crate::world::{GOOD, World, assert_gone};

/// A migrated database of the run `r` with three phases, and its URL.
fn backlog(cluster: &Cluster, world: &World) -> (String, String) {
    let database = cluster.database();
    let url = cluster.url(&database);
    let run = |args: &[&str]| {
        let output = xtask(world.path()).args(args).args(["--db", &url]).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let too_early = xtask(world.path())
        .args(["drain", "--db", &url, "--allow-empty", "--executor", "command", "--", "true"])
        .output()
        .unwrap();
    let said = String::from_utf8(too_early.stderr).unwrap();
    assert_eq!(too_early.status.code(), Some(3), "{said}");
    assert!(said.contains("lacks 0001_drain") && said.contains("migrate --db"), "{said}");
    assert_eq!(run(&["migrate", "--check"]).0, 4);
    assert_eq!(run(&["migrate"]).0, 0);
    assert_eq!((run(&["migrate", "--check"]).0, run(&["migrate"]).0), (0, 0));
    cluster.sql(
        &database,
        "INSERT INTO runs (id, state, created_at, updated_at) VALUES ('r', 'RUN_CREATED', now(), now());
         INSERT INTO tiers (tier_id, run_id, tier_index, name, state, created_at, updated_at)
         VALUES ('T1', 'r', 0, 'tier', 'PENDING', now(), now());
         INSERT INTO phases (phase_id, run_id, tier_id, phase_index, name, description, state, task_category,
             complexity, max_builder_attempts, created_at, updated_at, scope)
         SELECT 'p' || i, 'r', 1, i, 'Phase ' || i, 'Write it', 'QUEUED', 'docs', 'low', 3, now(), now(),
             '{\"deliverables\": [\"out.txt\"]}' FROM generate_series(1, 3) i",
    );
    (database, url)
}

fn drain(dir: &Path, url: &str, script: &str) -> std::process::Command {
    let mut command = xtask_std(dir);
    command
        .args([
            "drain",
            "--db",
            url,
            "--executor",
            "command",
            "--json",
            "--workers",
            "2",
            "--",
            "sh",
            "-c",
            script,
        ])
        .env("TELEMETRY_DB_ENABLED", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
fn a_backlog_on_a_server_is_migrated_and_drained() {
    let Some(cluster) = cluster() else { return };
    let world = World::new(1);
    let (database, url) = backlog(cluster, &world);
    let output = drain(world.path(), &url, GOOD).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(report["attempts"], json!({"total": 3, "ended": {"success": 3}}));
    assert_eq!(report["events"], json!({"total": 3, "ended": {"written": 3}}));
    let phases = "SELECT DISTINCT state, builder_attempts, tokens_used FROM phases";
    assert_eq!(cluster.sql(&database, phases), "COMPLETE|1|3036");
    let all = "SELECT (SELECT state FROM runs), count(*), count(DISTINCT event_id), count(DISTINCT owner) FROM phase_attempts";
    assert_eq!(cluster.sql(&database, all), "DONE_SUCCESS|3|3|1");
}

#[test]
fn stopping_leaves_the_phases_on_a_server_as_they_were() {
    let Some(cluster) = cluster() else { return };
    let world = World::new(1);
    let (database, url) = backlog(cluster, &world);
    let state = "SELECT phase_id, state, builder_attempts, started_at, last_attempt_timestamp FROM phases ORDER BY id";
    let before = cluster.sql(&database, state);
    let slow = "sleep 1000 & echo $$ $! > pids; mv pids started; wait";
    let child = drain(world.path(), &url, slow).spawn().unwrap();
    let pids = ["p1", "p2"].map(|phase| world.wait_for(world.attempts(phase).join("1/workspace/started")));
    let working = "SELECT count(*) FROM phases WHERE state = 'EXECUTING'";
    assert_eq!(cluster.sql(&database, working), "2");
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    for pids in &pids {
        assert_gone(pids);
    }
    assert_eq!(cluster.sql(&database, state), before);
    assert_eq!(cluster.sql(&database, "SELECT count(*) FROM phase_attempts"), "0");
    assert_eq!(cluster.sql(&database, "SELECT count(*) FROM phase_leases WHERE owner IS NOT NULL"), "0");
}
