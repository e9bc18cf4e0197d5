//! One suite for every driver of `ops::target::Target`: what a driver promises, it keeps on a real database.
//!
//! A driver joins with a `World`: how to make an empty database, how another client writes into it, and how
//! the driver is opened. The cases are the same for all; a driver that cannot do something is shown by name.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic as tests do")]

#[cfg(unix)]
#[path = "support/http.rs"]
mod http;
#[cfg(unix)]
#[expect(dead_code, reason = "each test binary uses a part of the support")]
#[path = "support/stack.rs"]
mod stack;

mod conformance {
    pub(crate) mod bench;
    pub(crate) mod cases;
    pub(crate) mod faulty;
    pub(crate) mod kit;
    #[cfg(unix)]
    pub(crate) mod postgres;
    #[cfg(unix)]
    pub(crate) mod postgrest;
    pub(crate) mod samples;
    pub(crate) mod sqlite;
    pub(crate) mod suite;
    pub(crate) mod world;
}

#[cfg(unix)]
mod support {
    #[expect(dead_code, reason = "each test binary uses a part of the support")]
    pub(crate) mod postgres;
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

#[cfg(unix)]
#[test]
fn postgres_keeps_its_promises() {
    let Some(cluster) = support::postgres::cluster() else { return };
    suite::run(&mut conformance::postgres::PostgresWorld::new(cluster));
}

#[cfg(unix)]
#[test]
fn postgrest_with_functions_keeps_its_promises() {
    postgrest(true);
}

#[cfg(unix)]
#[test]
fn postgrest_without_functions_keeps_its_promises() {
    postgrest(false);
}

#[cfg(unix)]
fn postgrest(has_functions: bool) {
    if let Some(stack) = stack::own(&[]) {
        suite::run(&mut conformance::postgrest::PostgrestWorld::new(stack, has_functions));
    }
}
