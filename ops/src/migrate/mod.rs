//! Migrations before they meet a database: the embedded scripts, their canonical form, what is pending.
//!
//! Nothing here opens a file or a database. A migration that was applied is never edited again; what it
//! looked like then is kept in the ledger of each database, so that an edit can be shown line by line.

pub mod embedded;
pub mod plan;
pub mod script;

/// One step of the schema, as it is built into this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Position in the series, from 1 without gaps.
    pub version: u32,
    /// The name of its file without the ending, such as `0001_core`.
    pub name: &'static str,
    /// The script; it may be applied twice and must lose nothing.
    pub sql: &'static str,
    /// Queries that give one row of text per problem, run before the migration is committed.
    pub verify: &'static str,
}

impl Migration {
    /// The name of the script's file, for messages.
    pub fn file(&self) -> String {
        format!("{}.sql", self.name)
    }

    /// The name of the file with the queries that verify it, for messages.
    pub fn verify_file(&self) -> String {
        format!("{}.verify.sql", self.name)
    }
}

/// A row of the ledger that every migrated database carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Position in the series.
    pub version: u32,
    /// The migration's name when it was applied.
    pub name: String,
    /// SHA-256 of the canonical script, in hexadecimal.
    pub checksum: String,
    /// The canonical script itself.
    pub canonical_sql: String,
    /// When it was committed, as [`crate::clock::Stamp::db`] spells it.
    pub applied_at: String,
    /// The version of the tool that applied it.
    pub tool_version: String,
}
