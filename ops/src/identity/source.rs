//! The short identity: which database a report was made from, without counting anything in it.

use std::fmt;
use std::path::Path;

use super::contents::lineage;
use super::sqlite::{IdentityError, fingerprint, place};
use crate::db::sqlite::Snapshot;
use crate::db::{Lineage, Reader};
use crate::url::{DbUrl, SqliteUrl};

/// Where data came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The URL without credentials.
    pub url: String,
    /// As in [`super::Identity::fingerprint`].
    pub fingerprint: String,
    /// The lineage, where there is one.
    pub lineage: Option<Lineage>,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.lineage {
            Some(lineage) => write!(f, "{} (lineage {}, `{}`)", self.url, lineage.id, lineage.purpose),
            None => write!(f, "{} (never stamped)", self.url),
        }
    }
}

/// Names a SQLite file by URL and lineage, without changing it.
pub fn source_of_sqlite(url: &SqliteUrl, scratch: &Path) -> Result<Source, IdentityError> {
    source_of_reader(url, &mut Snapshot::open(url.path(), scratch)?)
}

/// Names a SQLite file that `reader` has open.
pub fn source_of_reader(url: &SqliteUrl, reader: &mut dyn Reader) -> Result<Source, IdentityError> {
    let lineage = lineage(reader)?;
    let fingerprint = fingerprint(lineage.as_ref(), &place(url.path())?);
    Ok(Source { url: DbUrl::Sqlite(url.clone()).to_string(), fingerprint, lineage })
}
