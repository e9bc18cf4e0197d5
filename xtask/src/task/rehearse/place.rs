//! Where the clone of a rehearsal is made.

use std::path::Path;

use ops::change::plan::PlanDir;
use ops::change::rehearse::{self, Shell};
use ops::guard::Refusal;
use ops::target::Target;
use ops::target::postgres::{PostgresOptions, PostgresScratch, PostgresTarget};
use ops::target::scratch::Scratch;
use ops::target::sqlite::SqliteScratch;
use ops::url::{DbUrl, PostgresUrl, SqliteUrl};

use super::{Args, shell};
use crate::settings::Settings;

/// The file of a clone, where it is a file.
const FILE: &str = "clone.db";

/// A place for a clone.
pub(super) enum Place {
    /// A file beside the plan, made like this one.
    File { original: SqliteUrl },
    /// A schema in this database, made like a table of the other one, where there is another.
    Schema { scratch: PostgresUrl, original: Option<PostgresUrl> },
}

/// Whether what the plan's table looks like can be read from its target.
pub(super) fn has_catalogue(plan: &PlanDir) -> bool {
    plan.target().driver != "postgrest"
}

/// The place that the arguments name. What a child process is told is what its parent was told.
pub(super) fn find(args: &Args, plan: &PlanDir, settings: &Settings) -> anyhow::Result<Place> {
    let scratch = settings.scratch_database(args.scratch.as_deref())?;
    let original = if has_catalogue(plan) { Some(args.target_args().url_for(plan, settings)?) } else { None };
    let original = match original {
        Some(DbUrl::Sqlite(original)) if args.scratch.is_none() && !args.in_target => {
            return Ok(Place::File { original });
        }
        Some(DbUrl::Sqlite(_)) => {
            let found = "--scratch or --in-target";
            let refusal =
                Refusal::new("a SQLite table is cloned into a file beside the plan", "neither option", found);
            return Err(refusal.next("leave it out").into());
        }
        Some(DbUrl::Postgres(original)) => Some(original),
        Some(DbUrl::PostgRest(_)) | None => None,
    };
    let scratch = match (scratch, &original) {
        (Some(DbUrl::Postgres(scratch)), _) => scratch,
        (None, Some(original)) if args.in_target => original.clone(),
        (Some(other), _) => return Err(nowhere(&other.to_string()).into()),
        (None, _) => return Err(nowhere("none").into()),
    };
    if args.errand.is_none() && !args.in_target {
        require_another(&scratch, plan)?;
    }
    Ok(Place::Schema { scratch, original })
}

fn nowhere(found: &str) -> Refusal {
    Refusal::new(
        "there is no place for the clone",
        "a PostgreSQL database in which a schema may be made for a while, in --scratch or SCRATCH_DATABASE_URL",
        found,
    )
    .next("--scratch postgres://host/another-database of the same server")
    .next("--in-target makes the schema in the target's own database, and removes it again")
}

/// Refuses the target's own database, in which nobody has allowed to make anything.
fn require_another(scratch: &PostgresUrl, plan: &PlanDir) -> anyhow::Result<()> {
    let mut database = PostgresTarget::connect(scratch, PostgresOptions::default())?;
    let (planned, found) = (plan.target(), database.identity()?);
    if planned.driver != "postgres" || planned.fingerprint != found.fingerprint {
        return Ok(());
    }
    let refusal = Refusal::new(
        "the place for the clone is the target of the plan",
        "another database, so that nothing is written to the target",
        found.url,
    );
    Err(refusal
        .next("--scratch postgres://host/another-database of the same server")
        .next("--in-target makes a schema in it all the same, and removes it again")
        .into())
}

impl Place {
    /// The clone that is to be made there, or is there.
    pub(super) fn scratch(&self, plan: &PlanDir, settings: &Settings) -> anyhow::Result<Box<dyn Scratch>> {
        let table = &plan.layout().table;
        Ok(match self {
            Self::File { original } => {
                let path = rehearse::work(plan).join(FILE);
                Box::new(SqliteScratch::new(&path, original, &settings.scratch, table))
            }
            Self::Schema { scratch, original } => {
                Box::new(PostgresScratch::new(scratch, original.as_ref(), plan.id(), table)?)
            }
        })
    }

    /// Runs a script on the clone as a person would.
    pub(super) fn run_script(&self, plan: &PlanDir, script: &Path) -> Shell {
        match self {
            Self::File { .. } => shell::sqlite3(&rehearse::work(plan).join(FILE), script),
            Self::Schema { scratch, .. } => shell::psql(scratch, script),
        }
    }
}
