//! The stack that live tests talk to: that it starts, stops and leaves nothing, whatever happens to it; that its
//! gateway misbehaves as told (`stack/gateway.rs`); and what the real server does that a client must know
//! (`stack/facts.rs`).

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may")]

#[expect(dead_code, reason = "each test binary uses a part of the support")]
#[path = "support/command.rs"]
mod command;
#[path = "stack/facts.rs"]
mod facts;
#[path = "stack/gateway.rs"]
mod gateway;
#[path = "support/http.rs"]
mod http;
#[expect(dead_code, reason = "each test binary uses a part of the support")]
#[path = "support/stack.rs"]
mod stack;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use stack::{Stack, stack};
use tempfile::TempDir;

/// A folder that the servers can enter whoever they run as, and where the stack goes in it.
fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let state = dir.path().canonicalize().unwrap().join("state");
    (dir, state)
}

/// `cargo xtask stack <args> --state <state>`: exit code, stdout, stderr.
fn run(state: &Path, args: &[&str]) -> (i32, String, String) {
    let mut xtask = command::xtask_std(state.parent().unwrap());
    let output = xtask.arg("stack").args(args).arg("--state").arg(state).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The processes whose arguments or working directory name `state`, by what `/proc` says.
fn processes(state: &Path) -> Vec<String> {
    let named = state.to_str().unwrap();
    let entries = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let of_it = |process: &PathBuf| {
        let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
        let folder = fs::read_link(process.join("cwd")).unwrap_or_default();
        let is_named = String::from_utf8_lossy(&arguments).contains(named) || folder.starts_with(state);
        (is_named && !arguments.is_empty()).then(|| String::from_utf8_lossy(&arguments).replace('\0', " "))
    };
    entries.filter_map(|process| of_it(&process)).collect()
}

/// Waits until nothing of the stack is left.
#[track_caller]
fn assert_gone(state: &Path) {
    let start = Instant::now();
    while state.exists() || !processes(state).is_empty() {
        let left = processes(state);
        assert!(start.elapsed() < Duration::from_secs(20), "`{}` or {left:#?} are left", state.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn up_status_and_down() {
    let Some(_) = stack() else { return };
    let (_dir, state) = place();
    let (code, said, stderr) = run(&state, &["up", "--json", "--max-rows", "7"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let facts: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&facts["already"], &facts["max_rows"]), (&Value::Bool(false), &Value::from(7)));
    let found = processes(&state).join("\n");
    for server in ["/postgres -D ", "/postgrest ", "/functions/main.ts", "/gateway.mjs "] {
        assert!(found.contains(server), "{server}: {found}");
    }

    let (code, again, _) = run(&state, &["up"]);
    assert_eq!((code, again.lines().next()), (0, Some("The stack was up")), "{again}");
    assert!(again.contains(facts["url"].as_str().unwrap()), "{again}");
    let (code, status, _) = run(&state, &["status"]);
    assert_eq!((code, status.matches(" runs").count()), (0, 4), "{status}");

    let (code, removed, _) = run(&state, &["down"]);
    let said = format!("4 servers stopped, `{}` removed.", state.display());
    assert_eq!((code, removed.trim_end()), (0, said.as_str()));
    assert!(!state.exists() && processes(&state).is_empty(), "{:?}", processes(&state));
    let (code, status, _) = run(&state, &["status"]);
    assert_eq!((code, status.matches("does not run").count()), (1, 4), "{status}");
    assert_eq!(run(&state, &["down"]).0, 0);
}

#[test]
fn keys_are_in_files_for_their_owner_alone() {
    let Some(_) = stack() else { return };
    let (_dir, state) = place();
    let (_, said, _) = run(&state, &["up"]);
    let facts: Value = serde_json::from_str(&fs::read_to_string(state.join("stack.json")).unwrap()).unwrap();
    let keys: Vec<&str> =
        facts["keys"].as_object().unwrap().values().map(|key| key.as_str().unwrap()).collect();
    let secrets = [keys.as_slice(), &[facts["jwt_secret"].as_str().unwrap()]].concat();
    assert_eq!(secrets.len(), 6);
    for key in &keys {
        let (url, path) = (facts["url"].as_str().unwrap(), "/rest/v1/");
        http::send(url, "GET", path, &[("apikey", key)], None).unwrap();
    }
    let shown = |text: &str| secrets.iter().filter(|secret| text.contains(**secret)).count();
    assert_eq!((shown(&said), shown(&processes(&state).join("\n"))), (0, 0));
    let mut holding = Vec::new();
    for file in
        ["", "log", "run"].map(|folder| fs::read_dir(state.join(folder)).unwrap()).into_iter().flatten()
    {
        let path = file.unwrap().path();
        if path.is_file() && shown(&fs::read_to_string(&path).unwrap()) > 0 {
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
            holding.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    holding.sort();
    assert_eq!(holding, ["env", "gateway.json", "postgrest.conf", "stack.json"]);

    let (code, said, _) = run(&state, &["up", "--show-keys"]);
    assert_eq!((code, shown(&said)), (0, 5), "{said}");
    assert_eq!(run(&state, &["down"]).0, 0);
}

/// The launcher by itself, without the program that people use.
fn launcher(state: &Path, verb: &str) -> Command {
    let mut node = Command::new("node");
    node.arg(stack::launcher()).arg(verb).arg("--state").arg(state);
    node.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    node
}

#[test]
fn a_start_that_is_killed_leaves_nothing_that_the_next_does_not_clear() {
    let Some(_) = stack() else { return };
    let (_dir, state) = place();
    for milliseconds in [50, 100, 200, 300, 400, 500, 700, 900] {
        let mut up = launcher(&state, "up").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        up.kill().unwrap();
        up.wait().unwrap();
        let (code, _, stderr) = run(&state, &["down"]);
        assert_eq!((code, stderr.as_str()), (0, ""), "killed after {milliseconds} ms");
        // Before it had a folder there was nothing to find, and nothing to remove.
        assert_gone(&state);
    }
    let mut up = launcher(&state, "up").spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    up.kill().unwrap();
    up.wait().unwrap();
    assert_eq!(run(&state, &["up"]).0, 0);
    assert_eq!(run(&state, &["status"]).0, 0);
    assert_eq!(run(&state, &["down"]).0, 0);
    assert_gone(&state);
}

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap().success());
}

/// Waits until the launcher has begun.
fn begun(state: &Path) {
    let start = Instant::now();
    while fs::read_to_string(state.join("run/launcher")).unwrap_or_default().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(20), "the launcher does not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_start_that_is_interrupted_cleans_up_by_itself() {
    let Some(_) = stack() else { return };
    for name in ["INT", "TERM", "HUP"] {
        let (_dir, state) = place();
        let up = launcher(&state, "up").spawn().unwrap();
        begun(&state);
        signal(name, up.id());
        let output = up.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(130), "{said}");
        assert!(said.contains("was interrupted while it was started"), "{said}");
        assert_gone(&state);
    }
    let (_dir, state) = place();
    let mut xtask = command::xtask_std(state.parent().unwrap());
    let mut up = xtask.args(["stack", "up", "--state"]).arg(&state).stdout(Stdio::null()).spawn().unwrap();
    begun(&state);
    signal("TERM", up.id());
    assert_eq!(up.wait().unwrap().code(), Some(130));
    assert_gone(&state);
}

#[test]
fn two_starts_at_once_are_refused() {
    let Some(_) = stack() else { return };
    let (_dir, state) = place();
    let mut up = launcher(&state, "up").spawn().unwrap();
    begun(&state);
    signal("STOP", up.id());
    let (code, _, stderr) = run(&state, &["up"]);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("no other `up` at work") && stderr.contains(&up.id().to_string()), "{stderr}");
    assert_eq!(run(&state, &["down"]).0, 0);
    up.wait().unwrap();
    assert_gone(&state);
}

#[test]
fn a_component_that_fails_takes_the_rest_down_and_is_quoted() {
    let Some(_) = stack() else { return };
    for program in ["initdb", "psql"] {
        let (dir, state) = place();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let fake = bin.join(program);
        ops::files::write_atomic(&fake, b"#!/bin/sh\necho the disk is on fire\nexit 7\n").unwrap();
        fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let output = launcher(&state, "up").env("PATH", path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("ended with 7") && said.contains("the disk is on fire"), "{said}");
        assert_gone(&state);
    }
}

#[test]
fn a_number_that_another_process_has_now_is_not_signalled() {
    let Some(_) = stack() else { return };
    let (_dir, state) = place();
    assert_eq!(run(&state, &["up"]).0, 0);
    let note = state.join("run/gateway");
    let stat = fs::read_to_string(&note).unwrap();
    let (pid, rest) = stat.split_once(' ').unwrap();
    signal("KILL", pid.parse().unwrap());
    let mut bystander = Command::new("sleep").arg("60").spawn().unwrap();
    fs::write(&note, format!("{} {rest}", bystander.id())).unwrap();

    let (code, status, _) = run(&state, &["status"]);
    assert_eq!((code, status.matches("does not run").count()), (1, 1), "{status}");
    let (_, removed, _) = run(&state, &["down"]);
    assert!(removed.starts_with("3 servers stopped"), "{removed}");
    assert_gone(&state);
    assert_eq!(bystander.try_wait().unwrap(), None, "somebody else's process was ended");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[test]
fn what_is_in_the_way_or_missing_is_refused_by_name() {
    let (dir, state) = place();
    let empty =
        command::xtask_std(dir.path()).env("PATH", dir.path()).args(["stack", "up"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&empty.stderr).into_owned();
    assert_eq!(empty.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("apt-get install nodejs npm"), "{stderr}");

    let Some(_) = stack() else { return };
    fs::create_dir(&state).unwrap();
    fs::write(state.join("thesis.txt"), "the only copy").unwrap();
    let (code, _, stderr) = run(&state, &["up"]);
    assert!(code == 3 && stderr.contains("other files in"), "{stderr}");
    assert_eq!(run(&state, &["down"]).0, 0);
    assert_eq!(fs::read_to_string(state.join("thesis.txt")).unwrap(), "the only copy");

    // Without what npm installs beside it.
    let copy = dir.path().join("stack");
    fs::create_dir(&copy).unwrap();
    for file in fs::read_dir(stack::launcher().parent().unwrap()).unwrap().flatten() {
        if file.path().is_file() {
            fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
    }
    let mut node = Command::new("node");
    node.arg(copy.join("launch.mjs")).args(["up", "--state"]).arg(dir.path().join("new"));
    let output = node.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(
        stderr.contains("the program postgrest") && stderr.contains("npm ci --ignore-scripts"),
        "{stderr}"
    );
}

#[test]
fn a_test_that_ends_takes_its_stack_with_it() {
    let Some(_) = stack() else { return };
    let own = Stack::start(&["--max-rows", "3"]).unwrap();
    let state = own.dir().to_path_buf();
    assert!(!processes(&state).is_empty());
    drop(own);
    assert_gone(&state);
}
