//! Moves what is in the write-ahead log into the database in a thread of its own, while the writer goes on.
//!
//! A checkpoint reads, writes and flushes as much as the writer has written; in the writer's thread everybody would wait
//! for it. This one never waits for anybody and nobody for it: what it cannot move the next one does, and beyond the
//! limit of the log the writer moves it as ever.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, OpenFlags};

/// After so many bytes of rows it is worth the flush.
const BYTES: usize = 8 << 20;

/// A thread that moves the log of one database.
#[derive(Debug)]
pub(super) struct Checkpointer {
    path: PathBuf,
    /// Bytes written since the last time.
    bytes: usize,
    /// Begins with the first work, so that a store of a few events has none.
    running: Option<(SyncSender<()>, JoinHandle<()>)>,
}

impl Checkpointer {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), bytes: 0, running: None }
    }

    /// So many bytes were written.
    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// A transaction has been committed.
    pub(super) fn committed(&mut self) {
        if self.bytes < BYTES {
            return;
        }
        self.bytes = 0;
        let path = &self.path;
        let (work, _) = self.running.get_or_insert_with(|| {
            let (work, told) = sync_channel(1);
            let path = path.clone();
            (work, thread::spawn(move || run(&path, &told)))
        });
        // One that is at it will be told once more at most.
        let _ = work.try_send(());
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        if let Some((work, thread)) = self.running.take() {
            drop(work);
            let _ = thread.join();
        }
    }
}

/// What goes wrong here is left to the writer, which meets it too.
fn run(path: &Path, told: &Receiver<()>) {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(conn) = Connection::open_with_flags(path, flags) else { return };
    while told.recv().is_ok() {
        let _ = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_moved_beside_an_open_connection() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch("PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (a)")
            .unwrap();
        conn.execute("INSERT INTO t VALUES (zeroblob(1000000))", []).unwrap();
        let size = || std::fs::metadata(&path).unwrap().len();
        let before = size();
        let mut checkpointer = Checkpointer::new(&path);
        checkpointer.add(BYTES - 1);
        checkpointer.committed();
        assert!(checkpointer.running.is_none(), "not for a little");
        checkpointer.add(1);
        checkpointer.committed();
        drop(checkpointer);
        assert!(before < 100_000 && size() > 1_000_000, "{before} {}", size());
    }
}
