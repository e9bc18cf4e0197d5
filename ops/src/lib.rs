//! The work behind `cargo xtask`: every task is a thin shell over this library.
//!
//! The library must not print, read the environment, ask for the time or end the process; time, ids,
//! paths and settings are arguments. `tests/tidy.rs` reads the sources and holds it to that.

pub mod analytics;
pub mod artifacts;
pub mod backfill;
pub mod change;
pub mod cleanup;
pub mod clock;
pub mod config;
pub mod db;
pub mod export;
pub mod files;
pub mod fingerprint;
pub mod glyphs;
pub mod guard;
mod hash;
pub mod health;
pub mod identity;
pub mod ids;
pub mod ledger;
mod long;
pub mod migrate;
pub mod os;
pub mod pace;
pub mod parquet;
pub mod phases;
pub mod probe;
pub mod random;
pub mod records;
pub mod redact;
pub mod report;
pub mod soak;
pub mod sort;
pub mod stats;
pub mod stores;
mod swar;
pub mod target;
pub mod telemetry;
pub mod text;
pub mod tokens;
pub mod url;
pub mod value;
pub mod work;
