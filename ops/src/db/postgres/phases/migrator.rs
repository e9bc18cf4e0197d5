//! Bringing a PostgreSQL database to the schema that a drain works on.
//!
//! All pending migrations are one transaction, which the server takes back whole when anything fails; of two migrators at
//! the same time the second waits and finds nothing to do.

use ::postgres::{Client, SimpleQueryMessage};

use super::super::Connection;
use super::link;
use crate::clock::Stamp;
use crate::db::DbError;
use crate::db::postgres::Cause;
use crate::ids;
use crate::migrate::Migration;
use crate::migrate::embedded::POSTGRES;
use crate::url::PostgresUrl;

/// Held to the end of the transaction; the letters `ops_migr`.
const LOCK: i64 = i64::from_be_bytes(*b"ops_migr");

const LEDGER: &str = "CREATE TABLE IF NOT EXISTS ops_migrations (
    version bigint PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    canonical_sql text NOT NULL,
    applied_at text NOT NULL,
    tool_version text NOT NULL
)";

/// What a run of the migrations did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresMigrated {
    /// Names of those that were applied, in order.
    pub applied: Vec<&'static str>,
    /// How many had been applied before.
    pub already: u64,
}

/// Why a database was left as it was.
#[derive(Debug, thiserror::Error)]
pub enum PostgresMigrateError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// It has a migration that this build does not know, or knows otherwise.
    #[error("the database has migration `{0}`, which this build does not have in that form")]
    Unknown(String),
    /// A migration did not bring about what it should.
    #[error("migration `{name}` was taken back: {problem}")]
    NotVerified {
        /// Which migration.
        name: &'static str,
        /// The first problem that its verification found.
        problem: String,
    },
}

/// Names of the migrations that this database lacks.
pub fn pending(url: &PostgresUrl) -> Result<Vec<&'static str>, PostgresMigrateError> {
    let mut connection = open(url)?;
    let applied = connection.applied()?;
    Ok(POSTGRES.iter().skip(applied).map(|migration| migration.name).collect())
}

/// Applies what is pending.
pub fn migrate(
    url: &PostgresUrl,
    now: Stamp,
    tool_version: &str,
) -> Result<PostgresMigrated, PostgresMigrateError> {
    let mut connection = open(url)?;
    connection.run(&format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK}); {LEDGER}"))?;
    let already = connection.applied()?;
    let mut applied = Vec::new();
    for migration in &POSTGRES[already..] {
        connection.run(migration.sql)?;
        if let Some(problem) = connection.first(migration.verify)? {
            return Err(PostgresMigrateError::NotVerified { name: migration.name, problem });
        }
        connection.note(migration, &now.db(), tool_version)?;
        applied.push(migration.name);
    }
    connection.run("COMMIT")?;
    Ok(PostgresMigrated { applied, already: already as u64 })
}

fn open(url: &PostgresUrl) -> Result<Migrating, DbError> {
    let connection = link::connect(url).map_err(|cause| DbError::new("connect to PostgreSQL", cause))?;
    Ok(Migrating(connection))
}

/// A connection whose transaction, when it is dropped without a commit, was nothing.
struct Migrating(Connection);

impl Migrating {
    fn try_to<T>(
        &mut self,
        what: &str,
        work: impl FnOnce(&mut Client) -> Result<T, ::postgres::Error>,
    ) -> Result<T, DbError> {
        let done = work(&mut self.0.client);
        done.map_err(|error| {
            let cause: Cause = self.0.cause(&error);
            DbError::new(what, cause)
        })
    }

    fn run(&mut self, sql: &str) -> Result<(), DbError> {
        self.try_to("migrate", |client| client.batch_execute(sql))
    }

    /// The first column of the first row of any of these queries.
    fn first(&mut self, queries: &str) -> Result<Option<String>, DbError> {
        let messages = self.try_to("verify a migration", |client| client.simple_query(queries))?;
        Ok(messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        }))
    }

    /// How many migrations were applied; they are the first of ours, each as it is now.
    fn applied(&mut self) -> Result<usize, PostgresMigrateError> {
        let exists = "SELECT to_regclass('ops_migrations') IS NOT NULL";
        let exists =
            self.try_to("look for the ledger of migrations", |client| client.query_one(exists, &[]))?;
        if !exists.get::<_, bool>(0) {
            return Ok(0);
        }
        let sql = "SELECT name::text, checksum::text FROM ops_migrations ORDER BY version";
        let rows = self.try_to("read the ledger of migrations", |client| client.query(sql, &[]))?;
        for (index, row) in rows.iter().enumerate() {
            let (name, checksum): (&str, &str) = (row.get(0), row.get(1));
            let is_ours = POSTGRES.get(index).is_some_and(|m| m.name == name && digest(m) == checksum);
            if !is_ours {
                return Err(PostgresMigrateError::Unknown(name.to_owned()));
            }
        }
        Ok(rows.len())
    }

    fn note(&mut self, migration: &Migration, at: &str, tool_version: &str) -> Result<(), DbError> {
        let sql =
            "INSERT INTO ops_migrations (version, name, checksum, canonical_sql, applied_at, tool_version)
             VALUES ($1, $2, $3, $4, $5, $6)";
        let version = i64::from(migration.version);
        let digest = digest(migration);
        self.try_to("write the ledger of migrations", |client| {
            client.execute(sql, &[&version, &migration.name, &digest, &migration.sql, &at, &tool_version])
        })?;
        Ok(())
    }
}

fn digest(migration: &Migration) -> String {
    ids::sha256(migration.sql.replace("\r\n", "\n").as_bytes())
}
