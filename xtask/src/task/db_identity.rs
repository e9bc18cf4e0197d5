//! `db-identity`: which database is this?

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use ops::db::postgres::{ConnectOptions, Session};
use ops::db::{Lineage, WriteLineage};
use ops::guard::Refusal;
use ops::identity::{self, Expectation, Identity, PURPOSES};
use ops::text::bytes;
use ops::url::DbUrl;

use crate::exit::Code;
use crate::output::{self, Output};
use crate::settings::Settings;

/// Say which database this is, without changing it
///
/// Prints where the database is, where it comes from (its lineage), what schema and migrations it has and
/// what it holds. Opens it read-only: a wrong path creates nothing. Exits 3 when it is not the expected one
/// or when it is empty, which most often means that it is the wrong one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The database: a path, sqlite:///path or postgres://host/name
    #[arg(long, value_name = "URL")]
    db: Option<String>,
    /// Refuse (exit 3) unless the database has this lineage id or this purpose
    #[arg(long, value_name = "LINEAGE|PURPOSE", value_parser = Expectation::parse)]
    expect: Option<Expectation>,
    /// Write a lineage with this purpose into the database, once and for all
    #[arg(long, value_name = "PURPOSE", value_parser = PURPOSES)]
    stamp: Option<String>,
    /// Accept a database without runs and phases
    #[arg(long)]
    allow_empty: bool,
    /// Print one JSON document instead of the banner
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let url = settings.database(args.db.as_deref())?;
    let mut identity = read(&url, settings)?;
    if let Some(expectation) = &args.expect {
        identity::expect(&identity, expectation)?;
    }
    if let Some(purpose) = &args.stamp {
        stamp(&url, &identity, purpose, settings)?;
        identity = read(&url, settings)?;
    }
    output.json(&identity)?;
    output.document(&identity.document());
    identity::require_contents(&identity, args.allow_empty || args.stamp.is_some())?;
    Ok(Code::Done)
}

/// Reads the identity of a database of either kind.
pub(crate) fn read(url: &DbUrl, settings: &Settings) -> anyhow::Result<Identity> {
    if let DbUrl::Sqlite(sqlite) = url {
        announce(sqlite.path());
    }
    match url {
        DbUrl::Sqlite(sqlite) => identity::of_sqlite(sqlite, &settings.scratch).map_err(|error| {
            // Three slashes are relative, which is easily got wrong: name the file that was meant.
            match sqlite.absolute_reading().filter(|path| path.is_file()) {
                Some(path) => anyhow::Error::new(error).context(format!(
                    "three slashes are relative; for the file that exists write sqlite:///{}",
                    path.display()
                )),
                None => error.into(),
            }
        }),
        DbUrl::Postgres(postgres) => identity::of_postgres(postgres, &connect_options())
            .with_context(|| format!("no identity can be read from {url}")),
        DbUrl::PostgRest(_) => Err(not_through_rest(url).into()),
    }
}

/// What identifies a database is in its catalogues, which a REST API does not show.
fn not_through_rest(url: &DbUrl) -> Refusal {
    Refusal::new(
        "a REST API does not show what identifies a database",
        "a SQLite file or PostgreSQL",
        url.to_string(),
    )
    .next("name the database behind it with a postgres: URL")
}

/// Counting a large file and checking its keys takes long enough to look like a hang: says so first.
fn announce(path: &Path) {
    const LARGE: u64 = 256 * 1024 * 1024;
    let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if size > LARGE {
        output::stderr(&format!("counting the rows and checking the keys of {} …\n", bytes(size)));
    }
}

fn connect_options() -> ConnectOptions {
    ConnectOptions {
        connect_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_mins(1),
        application_name: "cargo xtask db-identity".to_owned(),
    }
}

fn stamp(url: &DbUrl, identity: &Identity, purpose: &str, settings: &Settings) -> anyhow::Result<()> {
    let lineage = Lineage {
        id: settings.ids().hex("lineage", 8),
        purpose: purpose.to_owned(),
        stamped_at: settings.clock.now().iso(),
    };
    let written = match (&identity.lineage, url) {
        (Some(found), _) => WriteLineage::AlreadyStamped(found.clone()),
        (None, DbUrl::Sqlite(url)) => ops::db::sqlite::write_lineage(url.path(), &lineage, VERSION)?,
        (None, DbUrl::Postgres(url)) => Session::write_lineage(url, &connect_options(), &lineage, VERSION)?,
        (None, DbUrl::PostgRest(_)) => return Err(not_through_rest(url).into()),
    };
    match written {
        WriteLineage::Written => Ok(()),
        WriteLineage::AlreadyStamped(found) => Err(Refusal::new(
            "the database is stamped already; a lineage is written once",
            format!("a database without a lineage, to stamp `{purpose}`"),
            format!("lineage {} `{}`, stamped {}", found.id, found.purpose, found.stamped_at),
        )
        .into()),
    }
}

/// Version of the tool as it is recorded in databases.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
