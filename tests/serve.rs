//! `serve` and `drain --api-url` from outside: identities are exchanged, the wrong server is refused, the page shows what
//! is going on.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may")]

#[expect(dead_code, reason = "each test binary uses a part of the support")]
#[path = "support/http.rs"]
mod http;
#[path = "serve/page.rs"]
mod page;
#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;
#[expect(dead_code, reason = "each test binary uses a part of the support")]
#[path = "drain/world.rs"]
mod world;

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use http::send;
use serde_json::{Value, json};
use support::command::xtask_std;
use world::{GOOD, World, eventually};

const TOKEN: &str = "a token that is long enough";

/// A server of the database of a world.
pub(crate) struct Server {
    child: Child,
    pub(crate) origin: String,
}

impl Server {
    pub(crate) fn start(world: &World, listen: &str, token: Option<&str>) -> Self {
        let mut child = xtask_std(world.path())
            .args(["serve", "--db", "x.db", "--listen", listen])
            .envs(token.map(|token| ("OPS_API_TOKEN", token)))
            .env_remove("OPS_NOW")
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines.map_while(Result::ok).find_map(|line| {
            line.strip_prefix("Listening on ").map(|origin| origin.replace("0.0.0.0", "127.0.0.1"))
        });
        Self { origin: said.expect("it listens"), child }
    }

    fn stop(mut self) -> i32 {
        let id = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lineage(world: &World) -> String {
    let output = xtask_std(world.path()).args(["db-identity", "--db", "x.db", "--json"]).output().unwrap();
    let identity: Value = serde_json::from_slice(&output.stdout).unwrap();
    identity["lineage"]["id"].as_str().unwrap().to_owned()
}

/// A drain in a folder of its own, as on another machine.
fn drain(dir: &std::path::Path, flags: &[&str], token: Option<&str>, script: &str) -> Child {
    xtask_std(dir)
        .args(["drain", "--executor", "command", "--json"])
        .args(flags)
        .args(["--", "sh", "-c", script])
        // Ids of their own, as two processes have.
        .env_remove("OPS_SEED")
        .env("TELEMETRY_DB_ENABLED", "1")
        .envs(token.map(|token| ("OPS_API_TOKEN", token)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Exit code, report and what was said.
fn end(child: Child) -> (i32, Value, String) {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap_or_default(), said)
}

#[test]
fn two_controllers_share_a_backlog_through_an_api() {
    let world = World::new(8);
    let server = Server::start(&world, "127.0.0.1:0", None);
    let id = lineage(&world);
    let flags = ["--api-url", &server.origin, "--expect", &id, "--workers", "2"];
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    // Neither takes all: each holds two until both have begun.
    let script = format!("touch {}/begun-$$; sleep 0.2; {GOOD}", world.root());
    let drains = folders.each_ref().map(|folder| drain(folder.path(), &flags, None, &script));
    let reports = drains.map(end);
    let mut total = 0;
    for (code, report, said) in &reports {
        assert_eq!(*code, 0, "{said}");
        assert_eq!(report["database"], json!(format!("lineage {id}")));
        total += report["attempts"]["ended"]["success"].as_u64().unwrap_or(0);
        assert_eq!(report["events"]["ended"].get("written"), report["attempts"]["ended"].get("success"));
    }
    assert_eq!(total, 8, "{reports:?}");
    assert_eq!(world.rows("SELECT DISTINCT state, builder_attempts FROM phases"), "COMPLETE | 1");
    let accounts = "SELECT count(*), count(DISTINCT event_id), count(DISTINCT owner) FROM phase_attempts";
    assert_eq!(world.rows(accounts), "8 | 8 | 2");
    assert_eq!(server.stop(), 130);
    let mode = world.rows("PRAGMA journal_mode");
    assert_eq!(mode, "delete", "the file is as it was before it was served");
}

#[test]
fn another_database_is_refused_before_the_first_phase() {
    let (world, other) = (World::new(1), World::new(1));
    // Both were stamped from the same seed.
    other.sql("UPDATE ops_lineage SET lineage = 'fedcba9876543210'");
    let (here, there) = (lineage(&other), lineage(&world));
    assert_ne!(here, there);
    let server = Server::start(&world, "127.0.0.1:0", None);
    let api = ["--api-url", server.origin.as_str()];
    std::fs::copy(world.path().join("x.db"), other.path().join("copy.db")).unwrap();
    for (flags, says) in [
        (&["--db", "x.db"][..], "the server has another database"),
        (&["--expect", &here], "not the expected database"),
        (&["--expect", "production"], "not the expected database"),
        (&["--db", "copy.db"], "another copy of the database"),
        (&[], "nothing says which database"),
    ] {
        let (code, _, said) = end(drain(other.path(), &[&api[..], flags].concat(), None, "touch ran"));
        assert_eq!(code, 3, "{said}");
        assert!(said.contains(says), "{said}");
        if flags.contains(&"x.db") {
            assert!(said.contains(&here) && said.contains(&there), "both are named: {said}");
        }
    }
    let states = "SELECT state, builder_attempts FROM phases";
    assert_eq!((world.rows(states), other.rows(states)), ("QUEUED | 0".to_owned(), "QUEUED | 0".to_owned()));
    assert!(!other.path().join(".ops/attempts").exists());
    // The same database by its own name is the right one.
    let flags = ["--api-url", &server.origin, "--db", "x.db"];
    let (code, _, said) = end(drain(world.path(), &flags, None, GOOD));
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_server_that_comes_back_with_another_database_serves_nothing() {
    let (world, other) = (World::new(2), World::new(2));
    other.sql("UPDATE ops_lineage SET lineage = 'fedcba9876543210'");
    let server = Server::start(&world, "127.0.0.1:0", None);
    let listen = server.origin.strip_prefix("http://").unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--api-url", &server.origin, "--expect", &lineage(&world)];
    let script = format!("touch {0}/begun; until test -e {0}/go; do sleep 0.02; done; {GOOD}", world.root());
    let drain = drain(folder.path(), &flags, None, &script);
    eventually("the first phase is attempted", || world.path().join("begun").exists());
    drop(server);
    let _server = Server::start(&other, &listen, None);
    world.touch("go");
    let (code, _, said) = end(drain);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("has the database of lineage fedcba9876543210, not of"), "{said}");
    assert_eq!(other.rows("SELECT DISTINCT state, builder_attempts FROM phases"), "QUEUED | 0");
}

#[test]
fn who_can_be_reached_from_elsewhere_asks_for_a_token() {
    let world = World::new(1);
    let serve = |token: Option<&str>| {
        let mut command = xtask_std(world.path());
        command.args(["serve", "--db", "x.db", "--listen", "0.0.0.0:0"]);
        command.envs(token.map(|token| ("OPS_API_TOKEN", token))).output().unwrap()
    };
    for (token, says) in [(None, "needs a token"), (Some("short"), "at least 16 characters")] {
        let output = serve(token);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(says) && said.contains("OPS_API_TOKEN"), "{said}");
    }
    let server = Server::start(&world, "0.0.0.0:0", Some(TOKEN));
    let ask = |path: &str, token: &str| {
        let token = format!("Bearer {token}");
        let headers = [("Authorization", token.as_str())];
        let reply =
            send(&server.origin, "GET", path, &headers[..usize::from(token.len() > 7)], None).unwrap();
        assert!(!reply.body.contains(TOKEN));
        reply.status
    };
    for path in ["/health", "/v1/state", "/v1/claim"] {
        for wrong in ["", "x", &TOKEN[1..], &format!("{TOKEN}x")] {
            assert_eq!(ask(path, wrong), 401, "{path} {wrong}");
        }
    }
    assert_eq!((ask("/health", TOKEN), ask("/v1/state", TOKEN)), (200, 200));
    assert_eq!(ask("/", ""), 200, "the page itself holds nothing");
    let id = lineage(&world);
    let flags = ["--api-url", &server.origin, "--expect", &id];
    for (token, code) in [(None, 1), (Some("another token, as long"), 1), (Some(TOKEN), 0)] {
        let folder = tempfile::tempdir().unwrap();
        let (ended, _, said) = end(drain(folder.path(), &flags, token, GOOD));
        assert_eq!(ended, code, "{said}");
        assert!(code == 0 || said.contains("401"), "{said}");
        for file in support::files_below(folder.path()) {
            let bytes = std::fs::read(folder.path().join(&file)).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains(TOKEN), "{file}");
        }
    }
}

#[test]
fn a_database_that_cannot_be_told_from_others_is_not_served() {
    let world = World::new(1);
    world.sql("DELETE FROM ops_lineage");
    let output = xtask_std(world.path()).args(["serve", "--db", "x.db"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("without a lineage") && said.contains("--stamp"), "{said}");
}

#[test]
fn a_session_goes_on_through_an_api_after_its_process_was_killed() {
    let world = World::new(3);
    let server = Server::start(&world, "127.0.0.1:0", None);
    let folder = tempfile::tempdir().unwrap();
    let id = lineage(&world);
    let flags = ["--api-url", &server.origin, "--expect", &id];
    let script = format!("touch {}/begun; sleep 1000", world.root());
    let mut first = drain(folder.path(), &flags, None, &script);
    eventually("a phase is attempted", || world.path().join("begun").exists());
    first.kill().unwrap();
    first.wait().unwrap();
    let flags = [&flags[..], &["--resume"]].concat();
    let (code, report, said) = end(drain(folder.path(), &flags, None, GOOD));
    assert_eq!(code, 0, "{said}");
    assert_eq!(report["attempts"], json!({"total": 3, "ended": {"success": 3}}));
    assert_eq!(world.rows("SELECT DISTINCT state, builder_attempts FROM phases"), "COMPLETE | 1");
}
