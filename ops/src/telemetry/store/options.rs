//! How a store behaves. Every bound that it promises is here.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::ledger::Stats;
use super::table::Table;
use crate::clock::Clock;
use crate::ids::Ids;

/// What happens to a job when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The caller waits until there is room.
    Block,
    /// The job is refused and counted.
    DropNewest,
}

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process in any way; after a power cut the last commits may be missing (SQLite: WAL, NORMAL).
    Process,
    /// A power cut too (SQLite: WAL, FULL).
    Power,
}

/// Is told how a store ended.
pub type OnClose = Box<dyn FnOnce(&Stats) + Send>;

/// Options of a store.
pub struct StoreOptions {
    /// Memory of the queue in bytes, what is being written included. A job may take up to half of it.
    pub queue_bytes: usize,
    /// What happens when it is full.
    pub full: Full,
    /// At most this many jobs are one transaction.
    pub group_jobs: u32,
    /// How long the writer waits for more before it writes less than a group.
    pub linger: Duration,
    /// What a commit survives.
    pub durability: Durability,
    /// How long reading, and writing in a store without a queue, waits for a lock that another process holds.
    pub lock_timeout: Duration,
    /// After this long without a database, waiting jobs go to the spill file; sooner when the queue is half full.
    pub spill_after: Duration,
    /// Where the spill file is made; `None`: beside a SQLite file, and nowhere for a server.
    pub spill_dir: Option<PathBuf>,
    /// How large it may become, in bytes; beyond that jobs wait in the queue.
    pub spill_bytes_max: u64,
    /// How long closing may take before what is left goes to the spill file.
    pub close_timeout: Duration,
    /// How often the writer says in the database how it is doing, once it has written something.
    pub heartbeat: Duration,
    /// What time it says.
    pub clock: Clock,
    /// Write each job at once in the thread that submits it, and give it the error.
    pub debug: bool,
    /// Tables that are made and checked when the store is opened, so that a wrong one is an error of opening.
    pub tables: Vec<&'static Table>,
    /// Names this store among the writers of its database; random.
    pub id: String,
    /// Is told once, when the store is closed or dropped, how it ended.
    pub on_close: Option<OnClose>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            queue_bytes: 32 << 20,
            full: Full::Block,
            group_jobs: 1000,
            linger: Duration::from_millis(2),
            durability: Durability::Process,
            lock_timeout: Duration::from_secs(30),
            spill_after: Duration::from_secs(2),
            spill_dir: None,
            spill_bytes_max: 4 << 30,
            close_timeout: Duration::from_secs(5),
            heartbeat: Duration::from_secs(10),
            clock: Clock::System,
            debug: false,
            tables: Vec::new(),
            id: Ids::Os.hex("telemetry store", 8),
            on_close: None,
        }
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("queue_bytes", &self.queue_bytes)
            .field("full", &self.full)
            .field("durability", &self.durability)
            .field("debug", &self.debug)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
