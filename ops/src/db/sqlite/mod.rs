//! SQLite: the embedded default of everything.
//!
//! This folder is the only user of rusqlite.

pub mod events;
