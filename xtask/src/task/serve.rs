//! `serve`: let drains on other machines share the phases of a database, and show how it stands.

use std::net::SocketAddr;

use ops::db::DbError;
use ops::db::sqlite::WriteAhead;
use ops::guard::Refusal;
use ops::identity::{self, Identity, Lineage};
use ops::url::DbUrl;
use ops::work::serve::{Health, Limits, ServeError, Served, Server};

use super::database::{DatabaseArgs, open_phases};
use crate::exit::Code;
use crate::output::Output;
use crate::settings::Settings;
use crate::signal;

/// Serve the phases of a database to drains, and a page that shows how they stand
///
/// `drain --api-url` claims and accounts through it, after both have compared which database it is. It listens on this
/// machine only; another address needs a token of at least 16 characters in OPS_API_TOKEN, which drains and people
/// then must know. It does not encrypt: across a network that others can listen to, put a proxy with TLS before it.
///
/// The page at / shows runs, phases, sessions at work and telemetry, and can change nothing. ^C ends the server when what
/// is being answered is answered.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8787")]
    listen: SocketAddr,
    /// Connections at a time; one more is turned away
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Accept a database without runs and phases
    #[arg(long)]
    allow_empty: bool,
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, false);
    let url = settings.database(args.database.db.as_deref())?;
    let identity = args.database.identify_any(&url, settings, &output)?;
    identity::require_contents(&identity, args.allow_empty)?;
    let lineage = require_lineage(&identity)?;
    // What refuses, refuses before anybody connects.
    drop(open_phases(&url, &identity)?);
    let log = match &url {
        DbUrl::Sqlite(url) => Some(WriteAhead::begin(url.path())),
        _ => None,
    };
    let health = Health {
        service: "ops".to_owned(),
        format: 1,
        url: identity.url.clone(),
        fingerprint: identity.fingerprint.clone(),
        lineage,
    };
    let open = Box::new(move || {
        let opened = open_phases(&url, &identity);
        opened.map_err(|error| DbError::new("open the database", error).into())
    });
    let offer = Served { health, open, token: settings.api_token().cloned(), clock: settings.clock };
    let limits = Limits { connections: usize::from(args.connections), ..Limits::default() };
    let server = Server::bind(args.listen, offer, limits).map_err(|error| refused(error, args.listen))?;
    output.line(&format!("Listening on http://{}", server.address()?));
    server.run(signal::stop_flag()?)?;
    if let Some(log) = log {
        log.end();
    }
    Ok(Code::Interrupted)
}

/// Drains compare the lineage; a database without one cannot be told from another.
fn require_lineage(identity: &Identity) -> Result<Lineage, Refusal> {
    identity.lineage.clone().ok_or_else(|| {
        let found = format!("{} without a lineage", identity.url);
        Refusal::new("drains ask which database is served", "a database with a lineage", found)
            .next(format!("cargo xtask db-identity --db '{}' --stamp PURPOSE", identity.url))
    })
}

fn refused(error: ServeError, address: SocketAddr) -> anyhow::Error {
    let expected = "a token of at least 16 characters in OPS_API_TOKEN";
    let found = match &error {
        ServeError::TokenMissing => format!("no token, and {address}"),
        ServeError::TokenShort => "a shorter one".to_owned(),
        _ => return error.into(),
    };
    Refusal::new(error.to_string(), expected, found).next("--listen 127.0.0.1:8787 needs none").into()
}
