//! What tasks that work on a database share: naming it, showing it, refusing the wrong one.

use std::path::Path;

use ops::db::postgres::PostgresStore;
use ops::db::postgres::phases::pending;
use ops::db::sqlite::SqliteStore;
use ops::guard::Refusal;
use ops::identity::{self, Expectation, Identity};
use ops::phases::Store;
use ops::url::{DbUrl, SqliteUrl};

use super::db_identity;
use crate::output::Output;
use crate::settings::Settings;

/// Which database, and what it must be.
#[derive(Debug, clap::Args)]
pub(crate) struct DatabaseArgs {
    /// The database: a path, sqlite:///path or, for drain and migrate, postgres://host/name
    #[arg(long, value_name = "URL")]
    pub(crate) db: Option<String>,
    /// Refuse (exit 3) unless the database has this lineage id or this purpose
    #[arg(long, value_name = "LINEAGE|PURPOSE", value_parser = Expectation::parse)]
    pub(crate) expect: Option<Expectation>,
}

impl DatabaseArgs {
    /// The SQLite file that was named.
    pub(crate) fn sqlite(&self, settings: &Settings) -> anyhow::Result<SqliteUrl> {
        only_sqlite(settings.database(self.db.as_deref())?)
    }

    /// Reads the identity, prints it, and refuses a database that is not the expected one.
    pub(crate) fn identify(
        &self,
        url: &SqliteUrl,
        settings: &Settings,
        output: &Output,
    ) -> anyhow::Result<Identity> {
        self.identify_any(&DbUrl::Sqlite(url.clone()), settings, output)
    }

    /// As [`Self::identify`], for a database of either kind.
    pub(crate) fn identify_any(
        &self,
        url: &DbUrl,
        settings: &Settings,
        output: &Output,
    ) -> anyhow::Result<Identity> {
        let identity = db_identity::read(url, settings)?;
        output.document(&identity.document());
        output.line("");
        if let Some(expectation) = &self.expect {
            identity::expect(&identity, expectation)?;
        }
        Ok(identity)
    }
}

/// Phases live in SQLite files.
pub(crate) fn only_sqlite(url: DbUrl) -> anyhow::Result<SqliteUrl> {
    match url {
        DbUrl::Sqlite(url) => Ok(url),
        other => Err(Refusal::new(
            "this task works on SQLite files",
            "a path or a sqlite: URL",
            format!("{other}"),
        )
        .next("db-identity reads PostgreSQL databases")
        .into()),
    }
}

/// Opens the tables for work; refuses a database that lacks migrations or has unknown ones.
pub(crate) fn open_store(url: &SqliteUrl, identity: &Identity) -> anyhow::Result<SqliteStore> {
    let migrations = &identity.migrations;
    if !migrations.pending.is_empty() || !migrations.unknown.is_empty() {
        let found = match migrations.unknown.first() {
            Some(unknown) => format!("{} has `{unknown}`, which this build does not know", identity.url),
            None => format!("{} lacks {}", identity.url, migrations.pending.join(", ")),
        };
        let refusal =
            Refusal::new("the schema is not the one this task works on", "all migrations applied", found);
        return Err(refusal.next(format!("cargo xtask migrate --db '{}'", url.path().display())).into());
    }
    Ok(SqliteStore::open(url.path())?)
}

/// Opens the tables of a database of either kind for work; refuses one that lacks migrations or has unknown ones.
pub(crate) fn open_phases(url: &DbUrl, identity: &Identity) -> anyhow::Result<Box<dyn Store>> {
    match url {
        DbUrl::Sqlite(url) => Ok(Box::new(open_store(url, identity)?)),
        DbUrl::Postgres(server) => {
            let pending = pending(server)?;
            if !pending.is_empty() {
                let found = format!("{url} lacks {}", pending.join(", "));
                let refusal = Refusal::new(
                    "the schema is not the one this task works on",
                    "all migrations applied",
                    found,
                );
                return Err(refusal.next(format!("cargo xtask migrate --db '{url}'")).into());
            }
            Ok(Box::new(PostgresStore::open(server)?))
        }
        DbUrl::PostgRest(_) => Err(Refusal::new(
            "phases cannot be claimed through a REST API",
            "a SQLite file or PostgreSQL",
            url.to_string(),
        )
        .into()),
    }
}

/// A path as people read it: relative to the working directory when it is below it.
pub(crate) fn shown(path: &Path, settings: &Settings) -> String {
    path.strip_prefix(&settings.cwd).unwrap_or(path).display().to_string()
}
