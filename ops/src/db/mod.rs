//! Databases as the toolkit sees its own tables: one small reading trait, a driver per folder.
//!
//! Only `db/sqlite` may use rusqlite and only `db/postgres` the postgres crate. Nothing here knows what
//! the tables mean; see `identity`, `work` and `telemetry` for that.

pub mod postgres;
pub mod sqlite;

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// SQL NULL.
    Null,
    /// An integer; booleans are 0 and 1.
    Int(i64),
    /// A floating-point number.
    Real(f64),
    /// Text, or a value of another type as the database prints it.
    Text(String),
}

impl Cell {
    /// The value as a count; `None` for anything but an integer that is not negative.
    pub fn count(&self) -> Option<u64> {
        match self {
            Self::Int(n) => u64::try_from(*n).ok(),
            _ => None,
        }
    }

    /// The value as people read it; NULL is `null`.
    pub fn show(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Int(n) => n.to_string(),
            Self::Real(x) => x.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// A failed database operation. The message names what was tried; the cause is the driver's own error.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action}")]
pub struct DbError {
    action: String,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl DbError {
    /// An error of trying `action` (a verb phrase, without credentials).
    pub fn new(
        action: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { action: action.into(), source: source.into() }
    }
}

/// Reading in one consistent snapshot, in the SQL that SQLite and PostgreSQL share.
pub trait Reader {
    /// The columns of a table in order; empty when there is no such table.
    fn columns(&mut self, table: &str) -> Result<Vec<String>, DbError>;

    /// All rows of a query. For small results: counts, ledgers, catalogues.
    fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Cell>>, DbError>;
}

/// Where a database comes from and what it is for. Written once, never changed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Lineage {
    /// 16 hexadecimal digits, random at the time of stamping; copies of a database share it.
    pub id: String,
    /// `seed`, `legacy`, `staging` or `production`.
    pub purpose: String,
    /// When it was stamped, RFC 3339 in UTC.
    pub stamped_at: String,
}

/// What came of writing a lineage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteLineage {
    /// It was written.
    Written,
    /// The database already had one; nothing was changed.
    AlreadyStamped(Lineage),
}

/// The table that holds the lineage.
pub const LINEAGE_TABLE: &str = "ops_lineage";

/// How it is made, in the SQL that SQLite and PostgreSQL share.
pub(crate) const LINEAGE_DDL: &str = "CREATE TABLE IF NOT EXISTS ops_lineage (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    lineage TEXT NOT NULL,
    purpose TEXT NOT NULL,
    stamped_at TEXT NOT NULL,
    tool_version TEXT NOT NULL
)";
