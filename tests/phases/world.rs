//! An empty database of either kind, how it is opened, and questions to it in the SQL that both share.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ops::clock::{Clock, Stamp};
use ops::db::postgres::PostgresStore;
use ops::db::postgres::phases::migrate as migrate_server;
use ops::db::sqlite::{MigrateOptions, SqliteStore, create, migrate};
use ops::identity::Lineage;
use ops::phases::{Candidate, Claim, NewPhase, NewRun, PhaseState, Scope, Selection, Store};
use ops::url::{DbUrl, PostgresUrl};
use ops::work::serve::{ApiOptions, ApiStore, Health, Limits, Served, Server};
use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;

use crate::postgres::{Cluster, cluster};

/// A lease that outlasts every test.
pub(crate) const LEASE: Duration = Duration::from_mins(10);

pub(crate) enum World {
    Sqlite { dir: TempDir },
    Postgres { cluster: &'static Cluster, database: String, dir: TempDir },
    Api { behind: Box<World>, server: Serving },
}

/// The lineage that is served.
pub(crate) const LINEAGE: &str = "0123456789abcdef";

/// A server on a thread of its own.
pub(crate) struct Serving {
    pub(crate) origin: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// Serves the database at `url`, within these limits.
    pub(crate) fn start(url: &str, limits: Limits) -> Self {
        let lineage = Lineage {
            id: LINEAGE.to_owned(),
            purpose: "seed".to_owned(),
            stamped_at: "2026-01-02T03:04:05Z".to_owned(),
        };
        let health = Health {
            service: "ops".to_owned(),
            format: 1,
            url: "sqlite:///x.db".to_owned(),
            fingerprint: "f".to_owned(),
            lineage,
        };
        let url = url.to_owned();
        let offer =
            Served { health, open: Box::new(move || Ok(open(&url))), token: None, clock: Clock::System };
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), offer, limits).unwrap();
        let origin = format!("http://{}", server.address().unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || server.run(&seen).unwrap());
        Self { origin, stop, thread: Some(thread) }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

/// What was seen of a phase.
pub(crate) type Seen = (i64, (PhaseState, u64), String);

impl World {
    pub(crate) fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        create(&path).unwrap();
        let options = MigrateOptions {
            backup_dir: dir.path().to_path_buf(),
            clock: Clock::System,
            busy_timeout: Duration::ZERO,
            tool_version: "0",
        };
        migrate(&path, &options, &mut |_| {}).unwrap();
        Self::Sqlite { dir }
    }

    /// `None` where there is no server, which was said.
    pub(crate) fn postgres() -> Option<Self> {
        let cluster = cluster()?;
        let world =
            Self::Postgres { cluster, database: cluster.database(), dir: tempfile::tempdir().unwrap() };
        migrate_server(&server(&world.url()), now(), "0").unwrap();
        Some(world)
    }

    /// A file behind an API.
    pub(crate) fn api() -> Self {
        Self::sqlite().served()
    }

    /// This database behind an API.
    pub(crate) fn served(self) -> Self {
        let server = Serving::start(&self.url(), Limits::default());
        Self::Api { behind: Box::new(self), server }
    }

    pub(crate) fn is_server(&self) -> bool {
        match self {
            Self::Sqlite { .. } => false,
            Self::Postgres { .. } => true,
            Self::Api { behind, .. } => behind.is_server(),
        }
    }

    /// A folder of this world.
    pub(crate) fn folder(&self) -> PathBuf {
        match self {
            Self::Sqlite { dir } | Self::Postgres { dir, .. } => dir.path().to_path_buf(),
            Self::Api { behind, .. } => behind.folder(),
        }
    }

    /// Names the database: a path, or the URL of a server or of an API.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite { dir } => dir.path().join("x.db").to_str().unwrap().to_owned(),
            Self::Postgres { cluster, database, .. } => cluster.url(database),
            Self::Api { server, .. } => server.origin.clone(),
        }
    }

    pub(crate) fn open(&self) -> Box<dyn Store> {
        open(&self.url())
    }

    /// Runs SQL; its rows, columns joined by `|`.
    pub(crate) fn sql(&self, sql: &str) -> String {
        match self {
            Self::Sqlite { .. } => in_file(&self.url(), sql),
            Self::Postgres { cluster, database, .. } => cluster.sql(database, sql),
            Self::Api { behind, .. } => behind.sql(sql),
        }
    }

    /// Inserts a run, where the database is.
    pub(crate) fn insert(&self, run: &NewRun) {
        match self {
            Self::Api { behind, .. } => behind.insert(run),
            _ => assert!(self.open().insert_run(run, now()).unwrap()),
        }
    }

    /// A store with the phases of the run `r`.
    pub(crate) fn with(&self, phases: &[&str]) -> Box<dyn Store> {
        self.insert(&new_run("r", phases));
        self.open()
    }
}

/// Opens a database by its name.
pub(crate) fn open(url: &str) -> Box<dyn Store> {
    if url.starts_with("postgres:") {
        Box::new(PostgresStore::open(&server(url)).unwrap())
    } else if url.starts_with("http:") {
        Box::new(client(url))
    } else {
        Box::new(SqliteStore::open(url.as_ref()).unwrap())
    }
}

/// A client of an API, which does not wait long.
pub(crate) fn client(origin: &str) -> ApiStore {
    let options = ApiOptions { origin: origin.to_owned(), token: None, patience: Duration::from_secs(2) };
    ApiStore::new(&options, LINEAGE).unwrap()
}

fn server(url: &str) -> PostgresUrl {
    let DbUrl::Postgres(url) = DbUrl::parse(url, "/".as_ref()).unwrap() else { panic!("{url}") };
    url
}

fn in_file(path: &str, sql: &str) -> String {
    let conn = Connection::open(path).unwrap();
    conn.busy_timeout(Duration::from_mins(1)).unwrap();
    conn.pragma_update(None, "foreign_keys", false).unwrap();
    let is_query = sql.trim_start().to_uppercase().starts_with("SELECT");
    if !is_query {
        conn.execute_batch(sql).unwrap();
        return String::new();
    }
    let mut statement = conn.prepare(sql).unwrap();
    let columns = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    let mut lines = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let cell = |i| match row.get::<_, Value>(i).unwrap() {
            Value::Null => String::new(),
            Value::Integer(n) => n.to_string(),
            Value::Real(x) => x.to_string(),
            Value::Text(text) => text,
            Value::Blob(_) => "blob".to_owned(),
        };
        lines.push((0..columns).map(cell).collect::<Vec<_>>().join("|"));
    }
    lines.join("\n")
}

pub(crate) fn now() -> Stamp {
    Clock::System.now()
}

pub(crate) fn all() -> Selection {
    Selection::default()
}

pub(crate) fn new_run(run_id: &str, phases: &[&str]) -> NewRun {
    let phase = |phase_id: &&str| NewPhase {
        phase_id: (*phase_id).to_owned(),
        name: format!("Phase {phase_id}"),
        description: "Write it".to_owned(),
        category: "docs".to_owned(),
        complexity: "low".to_owned(),
        scope: Scope { deliverables: vec!["a.md".to_owned()], ..Scope::default() },
        samples_target: 2,
    };
    NewRun {
        run_id: run_id.to_owned(),
        goal: "test".to_owned(),
        token_cap: 1000,
        phases_max: 9,
        duration_minutes_max: 1,
        tier_name: "tier".to_owned(),
        phases: phases.iter().map(phase).collect(),
    }
}

/// What could be claimed, by row.
pub(crate) fn waiting(store: &mut dyn Store, selection: &Selection) -> Vec<Seen> {
    let mut found = Vec::new();
    let mut each = |c: Candidate<'_>| {
        let about = format!("{} {} {} {:?}", c.run_id, c.tier_index, c.phase_index, c.last_failure);
        found.push((c.phase_pk, (c.state, c.attempts), about));
    };
    store.candidates(selection, &mut each).unwrap();
    found.sort_by_key(|(pk, ..)| *pk);
    found
}

pub(crate) fn claim_for(store: &mut dyn Store, owner: &str, lease: Duration) -> Option<Claim> {
    let (pk, seen, _) = waiting(store, &all()).into_iter().next()?;
    store.claim(pk, seen, owner, now(), lease).unwrap()
}

pub(crate) fn claim(store: &mut dyn Store) -> Claim {
    claim_for(store, "me", LEASE).expect("a phase waits")
}
