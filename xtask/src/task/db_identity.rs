//! `db-identity`: which database is this?

use crate::exit::Code;
use crate::settings::Settings;

/// Say which database this is, without changing it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The database: a path, sqlite:///path or postgres://host/name
    #[arg(long, value_name = "URL")]
    db: Option<String>,
}

pub(crate) fn run(args: Args, settings: &Settings) -> anyhow::Result<Code> {
    let _ = settings.database(args.db.as_deref())?;
    Ok(Code::Done)
}
