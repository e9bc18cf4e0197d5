//! The telemetry store: one suite for both databases, and what happens when processes die, lock and fill disks.
//!
//! Children are this program itself with a variable that says what to be. Sizes and times are those of a check that
//! ends soon; the constants in `store/crash.rs` say what a long one would be.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout, reason = "a test may")]

#[expect(dead_code, reason = "each test binary uses a part of the support")]
#[path = "support/postgres.rs"]
mod postgres;

mod store {
    pub(crate) mod conformance;
    pub(crate) mod crash;
    pub(crate) mod faults;
    pub(crate) mod kit;
    pub(crate) mod model;
}
