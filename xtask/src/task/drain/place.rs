//! Where the phases of a drain are: in a database that this process opens, or behind the API of one that has it open.

use std::time::Duration;

use ops::guard::Refusal;
use ops::identity::{self, Identity, Lineage};
use ops::phases::Store;
use ops::url::DbUrl;
use ops::work::serve::{ApiOptions, ApiStore, Health, health};

use super::super::database::{DatabaseArgs, open_phases};
use super::super::db_identity;
use super::super::executor::origin;
use crate::output::Output;
use crate::settings::Settings;

/// How long a server that is away is waited for while a drain works.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) enum Place {
    Database { url: DbUrl, identity: Box<Identity> },
    Api { options: ApiOptions, health: Health },
}

impl Place {
    /// Finds the database, shows which it is, and refuses the wrong one.
    pub(super) fn find(
        database: &DatabaseArgs,
        api: Option<&str>,
        allow_empty: bool,
        settings: &Settings,
        output: &Output,
    ) -> anyhow::Result<Self> {
        if let Some(api) = api {
            return Self::behind(api, database, allow_empty, settings, output);
        }
        let url = settings.database(database.db.as_deref())?;
        let identity = database.identify_any(&url, settings, output)?;
        identity::require_contents(&identity, allow_empty)?;
        Ok(Self::Database { url, identity: Box::new(identity) })
    }

    /// Exchanges identities with the server before anything else is asked of it.
    fn behind(
        api: &str,
        database: &DatabaseArgs,
        allow_empty: bool,
        settings: &Settings,
        output: &Output,
    ) -> anyhow::Result<Self> {
        let origin = origin(api)?;
        let own = settings.named_database(database.db.as_deref())?;
        if own.is_none() && database.expect.is_none() {
            let expected = "--expect LINEAGE, or the database by --db or DATABASE_URL";
            let refusal = Refusal::new(
                "nothing says which database the server must have opened",
                expected,
                "neither of them",
            );
            return Err(refusal.next("cargo xtask db-identity shows the lineage of a database").into());
        }
        let own = own.map(|url| db_identity::read(&url, settings)).transpose()?;
        let options = ApiOptions { origin, token: settings.api_token().cloned(), patience: PATIENCE };
        let health = health(&options)?;
        let Health { url, lineage, .. } = &health;
        output
            .line(&format!("The server at {api} has {url}, lineage {} `{}`\n", lineage.id, lineage.purpose));
        if let Some(own) = &own {
            require_same(own, &health)?;
        }
        if let Some(expectation) = &database.expect {
            identity::expect_lineage(Some(lineage), url, expectation)?;
        }
        let mut place = ApiStore::new(&options, &lineage.id)?;
        if !allow_empty && place.run_ids()?.is_empty() {
            let refusal =
                Refusal::new("the database is empty", "a database with runs", format!("{url} has none"));
            return Err(refusal.next("--allow-empty if it is meant to be empty").into());
        }
        Ok(Self::Api { options, health })
    }

    /// Opens it once more.
    pub(super) fn open(&self) -> anyhow::Result<Box<dyn Store>> {
        match self {
            Self::Database { url, identity } => open_phases(url, identity),
            Self::Api { options, health } => Ok(Box::new(ApiStore::new(options, &health.lineage.id)?)),
        }
    }

    /// The database itself, where this process opens it.
    pub(super) fn url(&self) -> Option<&DbUrl> {
        match self {
            Self::Database { url, .. } => Some(url),
            Self::Api { .. } => None,
        }
    }

    pub(super) fn lineage(&self) -> Option<&Lineage> {
        match self {
            Self::Database { identity, .. } => identity.lineage.as_ref(),
            Self::Api { health, .. } => Some(&health.lineage),
        }
    }

    /// What a resumed session must find again: the lineage, or the file when it was never stamped.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Database { identity, .. } if identity.lineage.is_none() => identity.url.clone(),
            _ => self.lineage().map(|lineage| format!("lineage {}", lineage.id)).unwrap_or_default(),
        }
    }
}

/// Refuses a server that has opened another database than the one that was named here, or another copy of it.
fn require_same(own: &Identity, server: &Health) -> Result<(), Refusal> {
    let shown = |url: &str, lineage: Option<&Lineage>, fingerprint: &str| match lineage {
        Some(lineage) => format!("{url} of lineage {} ({fingerprint})", lineage.id),
        None => format!("{url} without a lineage ({fingerprint})"),
    };
    if own.fingerprint == server.fingerprint {
        return Ok(());
    }
    let is_copy = own.lineage.as_ref().is_some_and(|own| own.id == server.lineage.id);
    let what = if is_copy {
        "the server has another copy of the database"
    } else {
        "the server has another database"
    };
    let expected = shown(&own.url, own.lineage.as_ref(), &own.fingerprint);
    let found = shown(&server.url, Some(&server.lineage), &server.fingerprint);
    Err(Refusal::new(what, expected, found)
        .next("start the server on the right one: cargo xtask serve --db URL")
        .next("or name only the lineage, with --expect, where the database cannot be seen from here"))
}
