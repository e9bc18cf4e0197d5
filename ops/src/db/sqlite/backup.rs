//! A verified copy of a database file, made while it may be in use.
//!
//! A copy appears under its final name only when it is complete, checked and on disk, and never replaces
//! another one. The caller holds the write lock, so that the copy is the state it is about to change.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use super::tables;
use crate::clock::Stamp;
use crate::db::DbError;
use crate::files::{self, FileError};
use crate::ids;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// SQLite refused.
    #[error(transparent)]
    Db(#[from] DbError),
    /// SQLite calls the copy damaged; as it is a copy, the database itself is.
    #[error("the copy is damaged, and so is the database: {0}")]
    Damaged(String),
    /// The copy lacks rows.
    #[error("the copy of table `{table}` has {copied:?} rows instead of {expected:?}")]
    Unequal {
        /// The first such table.
        table: String,
        /// Rows in the database; `None` when it has no such table.
        expected: Option<u64>,
        /// Rows in the copy; `None` when it has no such table.
        copied: Option<u64>,
    },
}

/// A finished copy.
#[derive(Debug)]
pub(super) struct Copy {
    /// Where it is.
    pub(super) path: PathBuf,
    /// How many rows each of its tables has.
    pub(super) rows: BTreeMap<String, u64>,
}

/// Copies the database at `path` to `<dir>/<stem>-<stamp>-v<user_version>.db`, or with `-2`, `-3` and so
/// on before the ending when that name is taken.
pub(super) fn copy(path: &Path, dir: &Path, stamp: Stamp) -> Result<Copy, BackupError> {
    let source = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(|e| DbError::new(format!("open `{}` for reading", path.display()), e))?;
    files::create_dir(dir)?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let partial = partial(path, dir, &stem);
    remove_leftovers(&partial)?;

    let copied = fill(&source, &partial).and_then(|(version, rows)| {
        sync(&partial)?;
        let target = free_name(dir, &format!("{stem}-{}-v{version}", stamp.compact()));
        files::rename(&partial, &target)?;
        Ok(Copy { path: target, rows })
    });
    if copied.is_err() {
        let _ = remove_leftovers(&partial);
    }
    copied
}

/// One name per database, whatever the time: what a crash has left is replaced by the next attempt.
fn partial(path: &Path, dir: &Path, stem: &str) -> PathBuf {
    let whose = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let digest = ids::sha256(whose.as_os_str().as_encoded_bytes());
    files::partial_name(&dir.join(format!("{stem}-{}.db", &digest[..12])))
}

/// Removes an unfinished copy with its journals: a journal must not be played back into another copy.
fn remove_leftovers(partial: &Path) -> Result<(), FileError> {
    for ending in ["-journal", "-wal", "-shm", ""] {
        let mut name = partial.as_os_str().to_os_string();
        name.push(ending);
        let leftover = PathBuf::from(name);
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(FileError::new("remove", &leftover, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Copies all pages and compares; returns the user version and the rows of each table.
fn fill(source: &Connection, partial: &Path) -> Result<(i64, BTreeMap<String, u64>), BackupError> {
    let failed = |e| DbError::new(format!("copy the database to `{}`", partial.display()), e);
    let mut copy = Connection::open(partial).map_err(failed)?;
    Backup::new(source, &mut copy)
        .and_then(|backup| backup.run_to_completion(i32::MAX, std::time::Duration::ZERO, None))
        .map_err(failed)?;
    // A copy in WAL mode would be three files.
    copy.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(())).map_err(failed)?;

    // The question is whether the file is whole; rows that break a CHECK are the owner's affair.
    copy.pragma_update(None, "ignore_check_constraints", true).map_err(failed)?;
    let check: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if check != "ok" {
        return Err(BackupError::Damaged(check));
    }
    let expected = tables::row_counts(source).map_err(failed)?;
    let rows = tables::row_counts(&copy).map_err(failed)?;
    if let Some(table) = expected.keys().chain(rows.keys()).find(|t| expected.get(*t) != rows.get(*t)) {
        return Err(BackupError::Unequal {
            table: table.clone(),
            expected: expected.get(table).copied(),
            copied: rows.get(table).copied(),
        });
    }
    let version = copy.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    copy.close().map_err(|(_, e)| failed(e))?;
    Ok((version, rows))
}

fn sync(path: &Path) -> Result<(), FileError> {
    let synced = OpenOptions::new().write(true).open(path).and_then(|file| file.sync_all());
    synced.map_err(|e| FileError::new("flush", path, e))
}

fn free_name(dir: &Path, stem: &str) -> PathBuf {
    let first = std::iter::once(format!("{stem}.db"));
    let names = first.chain((2_u64..).map(|n| format!("{stem}-{n}.db")));
    names.map(|name| dir.join(name)).find(|path| !path.exists()).expect("one of endless names is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(path: &Path, setup: &str) -> Connection {
        let conn = Connection::open(path).unwrap();
        conn.execute_batch(setup).unwrap();
        conn
    }

    fn stamp() -> Stamp {
        Stamp::parse("2026-01-02T03:04:05Z").unwrap()
    }

    fn listing(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    const SETUP: &str =
        "CREATE TABLE a (x); INSERT INTO a VALUES (1), (2); CREATE TABLE b (y); PRAGMA user_version = 7";

    #[test]
    fn copies_are_named_after_time_and_version_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (path, backups) = (dir.path().join("seed.db"), dir.path().join("backups"));
        drop(database(&path, SETUP));
        for _ in 0..3 {
            let copy = copy(&path, &backups, stamp()).unwrap();
            assert_eq!(copy.rows, BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 0)]));
        }
        let expected =
            ["seed-20260102-030405-v7-2.db", "seed-20260102-030405-v7-3.db", "seed-20260102-030405-v7.db"];
        assert_eq!(listing(&backups), expected);
    }

    #[test]
    fn a_wal_database_is_copied_into_one_file_while_it_is_locked() {
        let dir = tempfile::tempdir().unwrap();
        let (path, backups) = (dir.path().join("wal.db"), dir.path().join("backups"));
        let conn = database(&path, "PRAGMA journal_mode = WAL; CREATE TABLE a (x); INSERT INTO a VALUES (1)");
        conn.execute_batch("BEGIN IMMEDIATE; ").unwrap();
        let copied = copy(&path, &backups, stamp()).unwrap();
        assert_eq!(copied.rows["a"], 1);
        assert_eq!(listing(&backups), ["wal-20260102-030405-v0.db"]);
    }

    #[test]
    fn what_a_crash_left_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (path, backups) = (dir.path().join("seed.db"), dir.path().join("backups"));
        drop(database(&path, SETUP));
        fs::create_dir(&backups).unwrap();
        let partial = partial(&path, &backups, "seed");
        for ending in ["", "-journal", "-wal"] {
            let leftover = format!("{}{ending}", partial.display());
            fs::copy(dir.path().join("seed.db"), leftover).unwrap();
        }
        copy(&path, &backups, stamp()).unwrap();
        assert_eq!(listing(&backups), ["seed-20260102-030405-v7.db"]);
    }

    #[test]
    fn a_damaged_database_gives_no_backup_and_a_broken_check_does() {
        let dir = tempfile::tempdir().unwrap();
        let (path, backups) = (dir.path().join("bad.db"), dir.path().join("backups"));
        let setup = "PRAGMA ignore_check_constraints = ON; CREATE TABLE a (x CHECK (x < 'b'));
            WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 100)
            INSERT INTO a SELECT hex(zeroblob(200)) || 'c' FROM n; INSERT INTO a VALUES ('c')";
        drop(database(&path, setup));
        let sound = copy(&path, &backups, stamp()).unwrap();
        fs::remove_file(sound.path).unwrap();

        let mut bytes = fs::read(&path).unwrap();
        bytes[8192..12288].fill(0xAB);
        files::write_atomic(&path, &bytes).unwrap();
        copy(&path, &backups, stamp()).unwrap_err();
        assert_eq!(listing(&backups), Vec::<String>::new());
    }
}
