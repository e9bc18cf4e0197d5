//! SQLite: the embedded default of everything.
//!
//! This folder is the only user of rusqlite.

mod header;
mod lineage;
mod open;
mod reader;

pub use header::Header;
pub use lineage::write_lineage;
pub use open::{OpenError, Snapshot};
