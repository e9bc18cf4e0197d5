//! One suite for every driver of `ops::target::Target`: what a driver promises, it keeps on a real database.
//!
//! A driver joins with a `World`: how to make an empty database, how another client writes into it, and how
//! the driver is opened. The cases are the same for all; a driver that cannot do something is shown by name.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic as tests do")]

mod conformance {
    pub(crate) mod cases;
    pub(crate) mod kit;
    pub(crate) mod samples;
    pub(crate) mod sqlite;
    pub(crate) mod suite;
    pub(crate) mod world;
}

use conformance::sqlite::{Journal, SqliteWorld};
use conformance::suite;

#[test]
fn sqlite_keeps_its_promises() {
    suite::run(&mut SqliteWorld::new(Journal::Rollback));
}

#[test]
fn sqlite_in_wal_mode_keeps_its_promises() {
    suite::run(&mut SqliteWorld::new(Journal::Wal));
}
