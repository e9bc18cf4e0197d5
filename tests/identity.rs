//! Looking at a database changes nothing: not the file, not its neighbours, whatever state it is in.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ops::identity::{Identity, IdentityError, of_sqlite};
use ops::url::SqliteUrl;
use rusqlite::Connection;
use tempfile::TempDir;

/// A directory and everything in it, by name and content.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .map(|p| (p.clone(), fs::read(&p).unwrap()))
        .collect()
}

/// Reads an identity and asserts that nothing in the directory changed.
#[track_caller]
fn look(path: &Path) -> Result<Identity, IdentityError> {
    let dir = path.parent().unwrap();
    let scratch = TempDir::new().unwrap();
    let before = files(dir);
    let identity = of_sqlite(&SqliteUrl::from_path(path.to_path_buf()), scratch.path());
    assert!(files(dir) == before, "looking changed {:?}", files(dir).keys());
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "a private copy was left behind");
    identity
}

const SCHEMA: &str = "
    CREATE TABLE runs (id TEXT PRIMARY KEY);
    CREATE TABLE phases (id INTEGER PRIMARY KEY, run_id TEXT REFERENCES runs (id), state TEXT);
    INSERT INTO runs VALUES ('r1');
    INSERT INTO phases (run_id, state) VALUES ('r1', 'QUEUED'), ('r1', 'GATE'), ('r1', NULL), ('gone', 'QUEUED');";

fn database(dir: &Path, name: &str, journal: &str) -> (PathBuf, Connection) {
    let path = dir.join(name);
    let conn = Connection::open(&path).unwrap();
    conn.query_row(&format!("PRAGMA journal_mode = {journal}"), [], |_| Ok(())).unwrap();
    conn.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    conn.execute_batch(SCHEMA).unwrap();
    (path, conn)
}

#[track_caller]
fn assert_contents(identity: &Identity, queued: u64) {
    let phases = identity.phases.as_ref().unwrap();
    assert_eq!(identity.runs, Some(1));
    assert_eq!(phases.by.values().sum::<u64>(), phases.total);
    assert_eq!(phases.by["QUEUED"], queued);
}

#[test]
fn every_state_is_shown_and_an_old_schema_is_described() {
    let dir = TempDir::new().unwrap();
    let (path, conn) = database(dir.path(), "a b ü.db", "delete");
    drop(conn);
    let identity = look(&path).unwrap();
    assert_contents(&identity, 2);
    assert_eq!(
        identity.phases.unwrap().by,
        BTreeMap::from([("GATE".into(), 1), ("QUEUED".into(), 2), ("null".into(), 1)])
    );
    assert_eq!(identity.foreign_keys.unwrap().by_reference, BTreeMap::from([("phases -> runs".into(), 1)]));
    assert_eq!(identity.telemetry, None);
    assert!(
        identity.notes.iter().any(|n| n == "no table token_estimation_v2_events"),
        "{:?}",
        identity.notes
    );
    assert!(identity.notes.iter().any(|n| n.starts_with("no migration ledger")), "{:?}", identity.notes);
    let file = identity.file.unwrap();
    assert_eq!(file.path, fs::canonicalize(&path).unwrap());
    assert_eq!(file.journal, "rollback");
}

#[test]
fn a_wal_database_that_nobody_uses() {
    let dir = TempDir::new().unwrap();
    let (path, conn) = database(dir.path(), "x.db", "wal");
    drop(conn);
    assert_eq!(files(dir.path()).len(), 1);
    let identity = look(&path).unwrap();
    assert_contents(&identity, 2);
    assert_eq!(identity.file.unwrap().journal, "wal");
}

#[test]
fn a_killed_wal_writer_with_and_without_its_index() {
    let dir = TempDir::new().unwrap();
    let (path, conn) = database(dir.path(), "x.db", "wal");
    conn.execute_batch("INSERT INTO phases (run_id, state) VALUES ('r1', 'QUEUED')").unwrap();
    for suffixes in [&["", "-wal"][..], &["", "-wal", "-shm"][..]] {
        let killed = TempDir::new().unwrap();
        for suffix in suffixes {
            let name = format!("x.db{suffix}");
            fs::copy(dir.path().join(&name), killed.path().join(&name)).unwrap();
        }
        let identity = look(&killed.path().join("x.db")).unwrap();
        assert_contents(&identity, 3);
    }
    drop((path, conn));
}

#[test]
fn a_killed_rollback_writer_is_rolled_back_in_a_private_copy() {
    let dir = TempDir::new().unwrap();
    let (path, conn) = database(dir.path(), "x.db", "delete");
    conn.execute_batch(
        "PRAGMA cache_size = 1; CREATE TABLE bulk (x); BEGIN; UPDATE phases SET state = 'QUEUED'",
    )
    .unwrap();
    for _ in 0..2000 {
        conn.execute("INSERT INTO bulk VALUES (randomblob(500))", []).unwrap();
    }
    let killed = TempDir::new().unwrap();
    for name in ["x.db", "x.db-journal"] {
        fs::copy(dir.path().join(name), killed.path().join(name)).unwrap();
    }
    let identity = look(&killed.path().join("x.db")).unwrap();
    assert_contents(&identity, 2);
    assert!(identity.notes.iter().any(|n| n.contains("private copy")), "{:?}", identity.notes);
    drop((path, conn));
}

#[test]
fn identity_is_of_the_file_and_not_of_its_name_or_contents() {
    let dir = TempDir::new().unwrap();
    let (path, conn) = database(dir.path(), "x.db", "delete");
    let first = look(&path).unwrap();
    conn.execute_batch("DELETE FROM phases").unwrap();
    drop(conn);
    let renamed = dir.path().join("y.db");
    fs::rename(&path, &renamed).unwrap();
    let same = look(&renamed).unwrap();
    assert_eq!(same.fingerprint, first.fingerprint);
    assert_eq!(same.schema, first.schema);
    fs::copy(&renamed, &path).unwrap();
    assert_ne!(look(&path).unwrap().fingerprint, first.fingerprint);
    assert!(first.fingerprint.len() == 12 && first.fingerprint.bytes().all(|b| b.is_ascii_hexdigit()));
}

#[test]
fn what_is_not_a_database_is_said_and_not_touched() {
    let dir = TempDir::new().unwrap();
    let (path, conn) = database(dir.path(), "x.db", "delete");
    drop(conn);
    let whole = fs::read(&path).unwrap();
    let error = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        look(&path).unwrap_err().to_string()
    };
    assert!(error("empty.db", b"").contains("empty file (0 bytes)"));
    assert!(error("text.db", b"CREATE TABLE runs (id);\n").contains("it is text"));
    assert!(error("head.db", &whole[..60]).contains("ends within its header"));
    for missing in [1, 1000, 4096] {
        assert!(
            error("cut.db", &whole[..whole.len() - missing]).contains("is truncated: its header promises")
        );
    }
    let mut damaged = whole.clone();
    damaged[100..200].fill(0xff);
    assert!(error("damaged.db", &damaged).contains("is damaged"));
    let missing = look(&dir.path().join("x")).unwrap_err().to_string();
    assert!(missing.contains("there is `x.db` beside it"), "{missing}");
}

#[test]
fn a_locked_database_is_not_waited_for_for_ever() {
    let dir = TempDir::new().unwrap();
    let (path, conn) = database(dir.path(), "x.db", "delete");
    conn.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = look(&path).unwrap_err().to_string();
    assert!(error.contains("is locked by another process"), "{error}");
}
