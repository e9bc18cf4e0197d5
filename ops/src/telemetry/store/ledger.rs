//! What became of every job: counts that add up at any moment, because they change under one lock.

use serde::Serialize;

/// `submitted = written + dropped + spilled + pending`, in jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Handed to the store, refused ones included.
    pub submitted: u64,
    /// Committed in the database.
    pub written: u64,
    /// In the spill file, flushed to disk, and not yet in the database.
    pub spilled: u64,
    /// Accepted and not yet any of the others.
    pub pending: u64,
    /// Given up, by reason.
    pub dropped: Dropped,
    /// What earlier stores had left in spill files, which is no part of the equation.
    pub recovered: Recovered,
}

/// Jobs that were given up, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// The queue had no room, or the job is larger than the queue.
    pub queue_full: u64,
    /// The store was closed.
    pub closed: u64,
    /// The database refused the job.
    pub sql_error: u64,
    /// The database refused the table that the job needs.
    pub ddl_error: u64,
    /// Neither the database nor the spill file took it before the store had to close, or the file was damaged.
    pub spill_lost: u64,
}

/// What was found in spill files of stores that are gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Recovered {
    /// Jobs that are in the database now.
    pub written: u64,
    /// Jobs that the database refused.
    pub failed: u64,
    /// Records whose checksum was wrong.
    pub damaged: u64,
    /// Files that ended within a record; what was cut off had not been acknowledged.
    pub torn_tails: u64,
}

impl Dropped {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.queue_full + self.closed + self.sql_error + self.ddl_error + self.spill_lost
    }
}

impl Ledger {
    /// Whether both sides of the equation are equal.
    pub fn balances(&self) -> bool {
        self.submitted == self.written + self.dropped.total() + self.spilled + self.pending
    }

    /// Whether every job is in the database.
    pub fn is_all_written(&self) -> bool {
        self.submitted == self.written
    }

    /// The equation in words, parts that are zero left out.
    pub fn equation(&self) -> String {
        let Dropped { queue_full, closed, sql_error, ddl_error, spill_lost } = self.dropped;
        let parts = [
            ("dropped: queue_full", queue_full),
            ("dropped: closed", closed),
            ("dropped: sql_error", sql_error),
            ("dropped: ddl_error", ddl_error),
            ("dropped: spill_lost", spill_lost),
            ("spilled", self.spilled),
            ("pending", self.pending),
        ];
        let mut text = format!("{} {} {} written", self.submitted, self.sign(), self.written);
        for (name, count) in parts.iter().filter(|(_, count)| *count > 0) {
            text.push_str(&format!(" + {count} {name}"));
        }
        text
    }

    fn sign(&self) -> char {
        if self.balances() { '=' } else { '≠' }
    }
}

/// What a flush found. Counts are of the whole life of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlushReport {
    /// Jobs committed in the database.
    pub written: u64,
    /// Jobs that the database refused or that were lost.
    pub failed: u64,
    /// Jobs that are in the spill file, flushed to disk.
    pub spilled: u64,
    /// Jobs submitted before the call that are none of these yet: the time was up.
    pub pending: u64,
    /// Whether spill files of earlier stores still wait to be written into the database.
    pub recovering: bool,
    /// The latest error, of a job or of the database.
    pub last_error: Option<String>,
}

impl FlushReport {
    /// Whether everything submitted before the call is acknowledged: in the database, or on disk in the spill file.
    pub fn is_acknowledged(&self) -> bool {
        self.pending == 0 && self.failed == 0
    }
}

/// How the store is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// The books.
    pub ledger: Ledger,
    /// Jobs waiting or being written.
    pub depth: u64,
    /// Bytes of the queue that are in use, those being written left out.
    pub queue_bytes: usize,
    /// Groups that had to be tried again because the database was not available.
    pub retries: u64,
    /// Groups that were committed.
    pub groups: u64,
    /// The latest error, of a job or of the database.
    pub last_error: Option<String>,
    /// Whether jobs go into the spill file now.
    pub is_spilling: bool,
    /// Whether the writer lives.
    pub is_writer_alive: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_equation_shows_what_is_not_zero() {
        let dropped = Dropped { sql_error: 1, ..Dropped::default() };
        let ledger = Ledger { submitted: 10, written: 9, dropped, ..Ledger::default() };
        assert_eq!(ledger.equation(), "10 = 9 written + 1 dropped: sql_error");
        assert_eq!(Ledger { written: 8, ..ledger }.equation(), "10 ≠ 8 written + 1 dropped: sql_error");
        assert!(!ledger.is_all_written());
    }
}
