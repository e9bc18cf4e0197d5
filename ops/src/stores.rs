//! Telemetry stores by the name of their database: which driver, and who shares one.
//!
//! The store knows no driver and a driver knows no other, so this is where they meet. A shared store is looked up by
//! the identity of its database; asking for another database never gives the first one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use crate::db::postgres::PostgresTelemetry;
use crate::db::sqlite::SqliteTelemetry;
use crate::telemetry::store::{self, Driver, Inner, OpenError, SinkError, Store, StoreOptions};
use crate::url::DbUrl;

/// The stores that somebody holds. They are only found here, never kept alive: a store that a static held would not be
/// closed at the end of the program.
static SHARED: LazyLock<Mutex<HashMap<String, Weak<Inner>>>> = LazyLock::new(Mutex::default);

impl Store {
    /// Opens a store of the database that `url` names. A SQLite file is made when it is missing; its folder is not.
    pub fn open(url: &DbUrl, options: StoreOptions) -> Result<Self, OpenError> {
        let Some(driver) = driver(url, &options) else {
            let text = "telemetry is written to SQLite or PostgreSQL, not through a REST API";
            return Err(OpenError::new(SinkError::Rejected(text.to_owned())));
        };
        Self::with_driver(driver, options)
    }

    /// A store in memory: every job is written at once, and only the store itself can read it.
    pub fn in_memory(options: StoreOptions) -> Result<Self, OpenError> {
        Self::with_driver(Arc::new(SqliteTelemetry::memory()), options)
    }

    /// The store of this database that this process has, or a new one. One that was closed is not given out again.
    /// `options` are those of a new one; who comes later gets the store as it is.
    pub fn shared(url: &DbUrl, options: StoreOptions) -> Result<Self, OpenError> {
        let identity = identity(url);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = shared.get(&identity).and_then(Self::upgrade) {
            return Ok(store);
        }
        let store = Self::open(url, options)?;
        shared.retain(|_, weak| weak.strong_count() > 0);
        shared.insert(identity, store.downgrade());
        Ok(store)
    }
}

/// How a database is written to; `None` where it is not.
fn driver(url: &DbUrl, options: &StoreOptions) -> Option<Arc<dyn Driver>> {
    let StoreOptions { durability, lock_timeout, .. } = *options;
    match url {
        DbUrl::Sqlite(url) => {
            Some(Arc::new(SqliteTelemetry::file(&real(url.path()), durability, lock_timeout)))
        }
        DbUrl::Postgres(url) => Some(Arc::new(PostgresTelemetry::new(url.clone(), durability))),
        DbUrl::PostgRest(_) => None,
    }
}

/// The spill files beside a database, with their sizes. Those of a server are where its writers run.
pub fn spill_files(url: &DbUrl) -> Vec<(String, u64)> {
    let place = driver(url, &StoreOptions::default()).map(|driver| driver.spill_place());
    match place {
        Some((Some(dir), prefix)) => store::spill_files(&dir, &prefix),
        _ => Vec::new(),
    }
}

/// What makes two URLs the same database: the real path of a file, whichever links lead there; the whole URL of a
/// server, with its user, because what one may write another may not. Only a digest of that is kept.
fn identity(url: &DbUrl) -> String {
    match url {
        DbUrl::Sqlite(url) => real(url.path()).display().to_string(),
        DbUrl::Postgres(url) => crate::ids::sha256(url.expose().as_bytes()),
        DbUrl::PostgRest(_) => url.to_string(),
    }
}

/// The path without links, also of a file that is not there yet.
fn real(path: &Path) -> PathBuf {
    let of_folder = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(of_folder).unwrap_or_else(|| path.to_path_buf())
}
