//! What tasks that change rows share: naming a target, opening it, and saying which one it is before anything else.

use ops::change::plan::PlanDir;
use ops::report::Document;
use ops::target::postgres::{PostgresOptions, PostgresTarget};
use ops::target::postgrest::{Postgrest, PostgrestOptions};
use ops::target::sqlite::{SqliteOptions, SqliteTarget, Synchronous};
use ops::target::{Target, TargetIdentity};
use ops::url::DbUrl;

use crate::output::Output;
use crate::settings::Settings;

/// Which database.
#[derive(Debug, clap::Args)]
pub(crate) struct TargetArgs {
    /// The database: a path, sqlite:///path, postgres://host/name, the https URL of a Supabase project or another PostgREST
    /// server. Without it SUPABASE_URL, DATABASE_URL_FILE or DATABASE_URL, which also keep a password out of the list of
    /// processes. Keys come from SUPABASE_SERVICE_ROLE_KEY or SUPABASE_KEY only
    #[arg(long, value_name = "URL")]
    pub(crate) target: Option<String>,
    /// Let the operating system decide when a SQLite batch reaches the disk: faster, but a power failure may undo
    /// the last batches
    #[arg(long)]
    pub(crate) sqlite_normal: bool,
}

impl TargetArgs {
    /// Opens what was named.
    pub(crate) fn open(&self, settings: &Settings) -> anyhow::Result<Box<dyn Target>> {
        self.open_url(&settings.target(self.target.as_deref())?, settings)
    }

    /// Opens what was named, or else the target of the plan as far as the plan can name it: without credentials.
    pub(crate) fn open_for(&self, plan: &PlanDir, settings: &Settings) -> anyhow::Result<Box<dyn Target>> {
        self.open_url(&self.url_for(plan, settings)?, settings)
    }

    /// What [`TargetArgs::open_for`] opens.
    pub(crate) fn url_for(&self, plan: &PlanDir, settings: &Settings) -> anyhow::Result<DbUrl> {
        self.url_of(&plan.target(), settings)
    }

    /// Opens what was named, or else this database as far as a plan can name it.
    pub(crate) fn open_planned(
        &self,
        planned: &TargetIdentity,
        settings: &Settings,
    ) -> anyhow::Result<Box<dyn Target>> {
        self.open_url(&self.url_of(planned, settings)?, settings)
    }

    fn url_of(&self, planned: &TargetIdentity, settings: &Settings) -> anyhow::Result<DbUrl> {
        // A plan does not know the password of its target: that comes from a person or a variable.
        if self.target.is_some() || planned.url.contains("***") {
            return settings.target(self.target.as_deref());
        }
        settings.target(Some(&absolute(planned)))
    }

    fn open_url(&self, url: &DbUrl, settings: &Settings) -> anyhow::Result<Box<dyn Target>> {
        match url {
            DbUrl::Sqlite(url) => {
                let synchronous = if self.sqlite_normal { Synchronous::Normal } else { Synchronous::Full };
                let options = SqliteOptions { synchronous, ..SqliteOptions::default() };
                Ok(Box::new(SqliteTarget::open(url, &settings.scratch, options)?))
            }
            DbUrl::Postgres(url) => Ok(Box::new(PostgresTarget::connect(url, PostgresOptions::default())?)),
            DbUrl::PostgRest(url) => {
                let key = settings.api_key(url)?;
                Ok(Box::new(Postgrest::open(url, &key, &PostgrestOptions::default())?))
            }
        }
    }
}

/// A shown SQLite URL has three slashes before an absolute path, where the parser wants four: take the path.
fn absolute(identity: &TargetIdentity) -> String {
    match identity.url.strip_prefix("sqlite:///") {
        Some(path) => path.to_owned(),
        None => identity.url.clone(),
    }
}

/// Reads the identity and prints it before anything else is done.
pub(crate) fn identify(target: &mut dyn Target, output: &Output) -> anyhow::Result<TargetIdentity> {
    let identity = target.identity()?;
    let mut document = Document::new();
    document.facts([
        ("target", identity.url.clone()),
        ("fingerprint", identity.fingerprint.clone()),
        (
            "lineage",
            identity
                .lineage
                .as_ref()
                .map_or_else(|| "none; not stamped".to_owned(), |l| format!("{} `{}`", l.id, l.purpose)),
        ),
    ]);
    output.document(&document);
    output.line("");
    Ok(identity)
}
