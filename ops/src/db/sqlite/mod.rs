//! SQLite: the embedded default of everything.
//!
//! This folder is the only user of rusqlite.

mod account;
mod analyse;
mod backup;
mod events;
mod execute;
mod export;
mod header;
mod insert;
mod lineage;
mod migrator;
mod open;
mod overview;
mod preserve;
mod reader;
mod samples;
mod seed;
mod settle;
mod store;
mod tables;
mod telemetry;

pub use analyse::{AnalyseError, analyse_events};
pub use export::TableRows;
pub use header::Header;
pub use lineage::write_lineage;
pub use migrator::{MigrateError, MigrateOptions, Outcome as MigrateOutcome, Step, create, migrate};
pub use open::{OpenError, Snapshot};
pub use samples::{PhaseTask, find_phases, read_samples};
pub use settle::{WriteAhead, settle};
pub use store::SqliteStore;
pub use telemetry::SqliteTelemetry;
