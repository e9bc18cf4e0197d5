//! Which database is this? Every task asks before it does anything, and refuses the wrong one.
//!
//! Reading an identity never changes the database and never fails because a schema is old or strange: what
//! is missing is said. Identity rests on what was opened (file, header, lineage, contents), never on the
//! text of a URL.

mod banner;
mod contents;
mod guards;
mod postgres;
mod source;
mod sqlite;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

pub use crate::db::Lineage;
use crate::os::FileId;
pub use guards::{Expectation, expect, expect_lineage, require_contents};
pub use postgres::{of_postgres, source_of_postgres};
pub use source::{Source, source_of_reader, source_of_sqlite};

pub use sqlite::{IdentityError, of_sqlite};

/// The purposes that a database can be stamped with.
pub const PURPOSES: [&str; 4] = ["seed", "legacy", "staging", "production"];

/// Everything that identifies one database at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Identity {
    /// Version of this JSON document.
    pub format: u32,
    /// The URL without credentials.
    pub url: String,
    /// First 12 hexadecimal digits of a SHA-256 over what stays the same while the database is used: its
    /// lineage, and the file's device and inode or the server's system and database numbers.
    pub fingerprint: String,
    /// Set for a SQLite file.
    pub file: Option<FileFacts>,
    /// Set for a PostgreSQL database.
    pub server: Option<ServerFacts>,
    /// Where the database comes from; `None` when it was never stamped.
    pub lineage: Option<Lineage>,
    /// Which migrations it has had.
    pub migrations: Migrations,
    /// What its schema looks like.
    pub schema: Schema,
    /// Number of runs; `None` without such a table.
    pub runs: Option<u64>,
    /// Phases by state; `None` without such a table.
    pub phases: Option<Breakdown>,
    /// Telemetry events; `None` without such a table.
    pub telemetry: Option<Telemetry>,
    /// Foreign keys that point nowhere; `None` when the database could not say.
    pub foreign_keys: Option<ForeignKeys>,
    /// What a reader should know: unknown schemas, missing columns, journals that were replayed.
    pub notes: Vec<String>,
}

/// What the file system and the header say of a SQLite file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileFacts {
    /// The canonical path: absolute, symbolic links resolved.
    pub path: PathBuf,
    /// Device and inode, where the system has them.
    pub id: Option<FileId>,
    /// Size in bytes.
    pub size_bytes: u64,
    /// When it was last written, RFC 3339 in UTC.
    pub modified_at: Option<String>,
    /// The number that marks a program's files; 0 is unmarked.
    pub application_id: u32,
    /// The number that versions a program's schema.
    pub user_version: u32,
    /// `wal` or `rollback`.
    pub journal: &'static str,
}

/// What a PostgreSQL server says of itself and the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerFacts {
    /// Version of the server.
    pub version: String,
    /// Name of the database.
    pub database: String,
    /// Its number on the server.
    pub database_oid: u64,
    /// The number that the cluster was initialised with, where the role may read it.
    pub system_identifier: Option<String>,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Whether the server is a replica.
    pub replica: bool,
    /// Whether this connection is encrypted.
    pub encrypted: bool,
}

/// The migrations that a database has had and still lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Migrations {
    /// Whether there is a ledger; without one the database was made by another tool.
    pub ledger: bool,
    /// `NNNN_name`, in order.
    pub applied: Vec<String>,
    /// `NNNN_name`, in order; empty when the set of this kind of database is not known.
    pub pending: Vec<String>,
    /// Applied, but unknown to this build.
    pub unknown: Vec<String>,
}

/// The shape of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Schema {
    /// First 12 hexadecimal digits of a SHA-256 over the definitions of all tables, indexes and views but
    /// the toolkit's own books (`ops_…`).
    pub digest: String,
    /// Names of the tables, sorted, the toolkit's own books left out.
    pub tables: Vec<String>,
}

/// A count and how it splits; the parts always add up, because every value is a part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Breakdown {
    /// All rows.
    pub total: u64,
    /// Rows by value; NULL is `null`.
    pub by: BTreeMap<String, u64>,
}

/// Telemetry events and how they split. A split is `None` when the schema has no such column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Telemetry {
    /// All events.
    pub total: u64,
    /// By category as stored.
    pub by_category: Option<BTreeMap<String, u64>>,
    /// By complexity as stored.
    pub by_complexity: Option<BTreeMap<String, u64>>,
    /// By whether the attempt succeeded.
    pub by_success: Option<BTreeMap<String, u64>>,
    /// By whether the output was cut off.
    pub by_truncation: Option<BTreeMap<String, u64>>,
}

/// Rows whose foreign key points nowhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ForeignKeys {
    /// All violations; a row that violates two keys counts twice.
    pub violations: u64,
    /// By `child -> parent`.
    pub by_reference: BTreeMap<String, u64>,
}

impl Identity {
    /// Whether the database holds neither runs nor phases.
    pub fn is_empty(&self) -> bool {
        self.runs.unwrap_or(0) == 0 && self.phases.as_ref().map_or(0, |p| p.total) == 0
    }
}
