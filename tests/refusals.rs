//! Ways to point at a wrong, missing, broken or unwritable database: each gets a clear answer and creates nothing.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may")]

#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use support::command::xtask;

/// Everything below a directory, by path and content; what cannot be read counts by its name.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let is_dir = fs::symlink_metadata(&path).unwrap().is_dir();
        if is_dir {
            found.extend(tree(&path));
        }
        let is_file = fs::symlink_metadata(&path).unwrap().is_file();
        found.insert(path.clone(), is_file.then(|| fs::read(&path).ok()).flatten());
    }
    found
}

/// A directory with one good database and many that are not.
fn world() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let conn = Connection::open(at("good.db")).unwrap();
    conn.execute_batch(
        "CREATE TABLE runs (id TEXT PRIMARY KEY); CREATE TABLE phases (id INTEGER, state TEXT);
         INSERT INTO runs VALUES ('r'); INSERT INTO phases VALUES (1, 'QUEUED')",
    )
    .unwrap();
    drop(conn);
    Connection::open(at("bare.db")).unwrap().execute_batch("CREATE TABLE other (id)").unwrap();
    let good = fs::read(at("good.db")).unwrap();
    fs::create_dir(at("folder.db")).unwrap();
    fs::write(at("empty.db"), b"").unwrap();
    fs::write(at("text.db"), b"-- a dump\nCREATE TABLE runs (id);\n").unwrap();
    fs::write(at("head.db"), &good[..64]).unwrap();
    fs::write(at("cut.db"), &good[..good.len() - 1000]).unwrap();
    let random: Vec<u8> =
        (0..8192_u32).map(|i| i.wrapping_mul(2_654_435_761).rotate_left(13).to_be_bytes()[0]).collect();
    fs::write(at("encrypted.db"), random).unwrap();
    let mut damaged = good.clone();
    damaged[100..400].fill(0xee);
    fs::write(at("damaged.db"), damaged).unwrap();
    fs::write(at("url.txt"), "sqlite:///nowhere.db\n").unwrap();
    fs::write(at("blank.txt"), "\n").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", at("dangling.db")).unwrap();
    dir
}

/// Arguments, variables, and what the answer must say.
type Case = (&'static [&'static str], &'static [(&'static str, &'static str)], &'static str);

const CASES: &[Case] = &[
    (&["db-identity"], &[], "no database was named"),
    (&["db-identity", "--db", ""], &[], "the database URL is empty"),
    (&["db-identity", "--db", "missing.db"], &[], "the file does not exist"),
    (&["db-identity", "--db", "no/such/folder/x.db"], &[], "/no` does not exist"),
    (&["db-identity", "--db", "folder.db"], &[], "is a directory, not a database file"),
    (&["db-identity", "--db", "empty.db"], &[], "is an empty file (0 bytes)"),
    (&["db-identity", "--db", "text.db"], &[], "it is text, starting with `-- a dump"),
    (&["db-identity", "--db", "head.db"], &[], "ends within its header"),
    (
        &["db-identity", "--db", "cut.db"],
        &[],
        "is truncated: its header promises 16384 bytes, the file has 15384",
    ),
    (&["db-identity", "--db", "encrypted.db"], &[], "probably encrypted"),
    (&["db-identity", "--db", "damaged.db"], &[], "is damaged"),
    (&["db-identity", "--db", ":memory:"], &[], "in-memory database"),
    (&["db-identity", "--db", "sqlite://good.db"], &[], "read differently by different tools"),
    (&["db-identity", "--db", "mysql://u:secret@h/d"], &[], "no driver for `mysql:`"),
    (&["db-identity", "--db", "https://abc.supabase.co"], &[], "a REST API does not show"),
    (&["db-identity", "--db", "https://u:secret@abc.supabase.co"], &[], "must not hold a user or a password"),
    (&["migrate", "--db", "https://abc.supabase.co"], &[], "this task works on SQLite files"),
    (&["db-identity", "--db", "postgres://u:secret@127.0.0.1:1/d"], &[], "postgres://***@127.0.0.1:1/d"),
    (
        &["db-identity", "--db", "good.db", "--expect", "production"],
        &[],
        "expected: a database stamped `production`",
    ),
    (&["db-identity", "--db", "bare.db"], &[], "has no runs and no phases"),
    (&["db-identity"], &[("DATABASE_URL_FILE", "gone.txt")], "DATABASE_URL_FILE cannot be used"),
    (&["db-identity"], &[("DATABASE_URL_FILE", "blank.txt")], "the database URL is empty"),
    (&["db-identity"], &[("DATABASE_URL_FILE", "url.txt")], "nowhere.db"),
    (
        &["db-identity"],
        &[("DATABASE_URL_FILE", "url.txt"), ("DATABASE_URL", "good.db")],
        "DATABASE_URL_FILE and DATABASE_URL name different databases",
    ),
    (&["migrate", "--db", "missing.db"], &[], "the file does not exist"),
    (&["drain", "--executor", "recorded", "--db", "missing.db"], &[], "the file does not exist"),
    (
        &["drain", "--executor", "recorded", "--db", "good.db"],
        &[],
        "may only be replayed into a seed database",
    ),
    (&["drain", "--executor", "command", "--db", "good.db", "--", "true"], &[], "lacks 0001_core"),
    (&["analyze", "tokens", "--db", "missing.db"], &[], "the file does not exist"),
    (&["analyze", "tokens", "--from", "missing.ndjson"], &[], "failed to open"),
    (&["seed-telemetry", "--db", "good.db"], &[], "something at this path already"),
    (&["seed-telemetry", "--db", "folder.db", "--fresh"], &[], "only a file can be moved aside"),
    (&["seed-telemetry", "--db", "text.db/x.db"], &[], "failed to create directory"),
    (&["seed-telemetry", "--db", "good.db", "--top-up"], &[], "expected: a database stamped `seed`"),
    (&["seed-telemetry", "--db", "postgres://u:secret@h/d"], &[], "this task works on SQLite files"),
];

#[test]
fn every_wrong_database_gets_a_clear_answer_and_nothing_is_created() {
    let dir = world();
    let before = tree(dir.path());
    for (args, variables, says) in CASES {
        let output = xtask(dir.path()).args(*args).envs(variables.iter().copied()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            matches!(output.status.code(), Some(1 | 3)),
            "{args:?} {variables:?}: {:?}\n{stderr}",
            output.status
        );
        assert!(stderr.contains(says), "{args:?} {variables:?} does not say `{says}`:\n{stderr}");
        assert!(!stderr.contains("secret"), "{args:?} shows a secret:\n{stderr}");
        assert!(tree(dir.path()) == before, "{args:?} {variables:?} left something behind");
    }
}

#[test]
fn a_dangling_link_a_pipe_and_three_slashes() {
    let dir = world();
    let refuse = |db: &str, says: &str| {
        let output = xtask(dir.path()).args(["db-identity", "--db", db]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(says), "{stderr}");
    };
    let absolute = dir.path().join("good.db");
    // Three slashes are relative: the file that was meant is named.
    refuse(&format!("sqlite://{}", absolute.display()), "for the file that exists write sqlite:////");
    if cfg!(unix) {
        refuse("dangling.db", "a symbolic link that leads nowhere");
        refuse("/dev/null", "a pipe, socket or device");
    }
}

#[test]
fn a_stamp_is_written_once() {
    let dir = world();
    let run = |args: &[&str]| {
        xtask(dir.path()).args(["db-identity", "--db", "good.db"]).args(args).output().unwrap()
    };
    assert_eq!(run(&["--stamp", "legacy"]).status.code(), Some(0));
    let before = fs::read(dir.path().join("good.db")).unwrap();
    let again = run(&["--stamp", "production"]);
    assert_eq!(again.status.code(), Some(3));
    let stderr = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        stderr.contains("expected: a database without a lineage") && stderr.contains("`legacy`"),
        "{stderr}"
    );
    assert_eq!(fs::read(dir.path().join("good.db")).unwrap(), before);
    assert_eq!(run(&["--expect", "legacy"]).status.code(), Some(0));
    let wrong = run(&["--expect", "0123456789abcdef"]);
    assert_eq!(wrong.status.code(), Some(3));
    let stderr = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(stderr.contains("expected: the database of lineage 0123456789abcdef"), "{stderr}");
    assert!(stderr.contains("found:    sqlite:///") && stderr.contains("`legacy`"), "{stderr}");
}

/// Another process has the database open in WAL mode: what is committed is seen, and not a byte changes,
/// not even of the shared index.
#[test]
fn looking_at_a_database_in_use_changes_nothing() {
    let dir = world();
    let conn = Connection::open(dir.path().join("good.db")).unwrap();
    conn.query_row("PRAGMA journal_mode = wal", [], |_| Ok(())).unwrap();
    conn.execute_batch("INSERT INTO phases VALUES (2, 'QUEUED')").unwrap();
    conn.execute_batch("BEGIN IMMEDIATE; INSERT INTO phases VALUES (3, 'QUEUED')").unwrap();
    let before = tree(dir.path());
    assert!(before.contains_key(&dir.path().join("good.db-wal")));
    let output = xtask(dir.path()).args(["db-identity", "--db", "good.db", "--json"]).output().unwrap();
    assert!(tree(dir.path()) == before, "looking changed something");
    let identity: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(identity["phases"]["total"], 2, "{identity}");
    conn.execute_batch("ROLLBACK").unwrap();
}
