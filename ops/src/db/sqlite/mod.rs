//! SQLite: the embedded default of everything.
//!
//! This folder is the only user of rusqlite.

pub mod backup;
mod execute;
pub mod migrator;
pub mod preserve;
mod tables;
