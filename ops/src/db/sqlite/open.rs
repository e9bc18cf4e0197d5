//! Opening a SQLite file to look at it: nothing is created and nothing is changed, not even `-wal` or `-shm`.
//!
//! SQLite itself would create an empty file for a wrong path and write beside a WAL database, so the ways
//! in are chosen here, from the header and the neighbours of the file. Header bytes are read before SQLite
//! opens the file and never while it is open: closing a second descriptor would drop SQLite's own locks.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tempfile::TempDir;

use super::header::Header;
use super::settle::beside;
use crate::files::FileError;

/// How long to wait for another process that holds the file before saying that it is locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// One consistent view of a database file that cannot change it.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) conn: Connection,
    header: Header,
    size: u64,
    note: Option<&'static str>,
    /// Where the file is read without its locks: what it was before.
    unlocked: Option<Unlocked>,
    /// Keeps the private copy alive, where one was needed.
    copy: Option<TempDir>,
}

/// Why a file is not a database that can be read. Each message says what was found.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No such file.
    #[error("no database at `{path}`: {found}")]
    Missing {
        /// The absolute path.
        path: PathBuf,
        /// What is there instead.
        found: String,
    },
    /// A directory, pipe, socket or device.
    #[error("`{path}` is {what}, not a database file")]
    NotAFile {
        /// The absolute path.
        path: PathBuf,
        /// With its article.
        what: &'static str,
    },
    /// A file of no bytes, which SQLite would take for an empty database.
    #[error("`{0}` is an empty file (0 bytes), not a database")]
    EmptyFile(PathBuf),
    /// Some other kind of file.
    #[error("`{path}` is not a SQLite database: {found}")]
    NotSqlite {
        /// The absolute path.
        path: PathBuf,
        /// What its first bytes look like.
        found: String,
    },
    /// The file ends before the database does.
    #[error("`{path}` is truncated: its header promises {promised} bytes, the file has {found}")]
    Truncated {
        /// The absolute path.
        path: PathBuf,
        /// Pages times page size.
        promised: u64,
        /// Size of the file in bytes.
        found: u64,
    },
    /// Another process holds it.
    #[error("`{0}` is locked by another process; waited {secs} s for it", secs = BUSY_TIMEOUT.as_secs())]
    Locked(PathBuf),
    /// It was written while it was read without its locks.
    #[error("`{0}` was opened and written by another process while it was read")]
    Changed(PathBuf),
    /// Damaged inside.
    #[error("`{path}` is damaged")]
    Corrupt {
        /// The absolute path.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Anything else that SQLite says.
    #[error("failed to open `{path}`")]
    Sqlite {
        /// The absolute path.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
}

/// A file that nobody had open, as it was before it was read.
#[derive(Debug)]
struct Unlocked {
    path: PathBuf,
    size: u64,
    modified: Option<SystemTime>,
}

impl Unlocked {
    fn of(path: &Path) -> Result<Self, OpenError> {
        let metadata = fs::metadata(path).map_err(|e| FileError::new("look at", path, e))?;
        Ok(Self { path: path.to_path_buf(), size: metadata.len(), modified: metadata.modified().ok() })
    }
}

/// Refuses a file that ends within its last page, which SQLite would read as zeros; gives its size. Asked
/// under the read lock, so that no writer is half-way.
fn require_whole(conn: &Connection, path: &Path) -> Result<u64, OpenError> {
    let pragma = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    let promised = || -> Result<u64, rusqlite::Error> { Ok(pragma("page_count")? * pragma("page_size")?) };
    let promised = promised().map_err(|source| OpenError::Sqlite { path: path.to_path_buf(), source })?;
    let found = fs::metadata(path).map_err(|e| FileError::new("look at", path, e))?.len();
    if promised > found {
        return Err(OpenError::Truncated { path: path.to_path_buf(), promised, found });
    }
    Ok(found)
}

/// How the file can be read without touching it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Rollback mode: a plain read-only open takes a shared lock and writes nothing.
    Plain,
    /// WAL mode without a log: nobody has it open, so its bytes are the database.
    Immutable,
    /// WAL mode with a log and its index: read both, write neither.
    SharedLog,
    /// A log or journal that only a writer may replay: replay it in a private copy.
    Copy,
}

impl Snapshot {
    /// Opens the database at an absolute path. `scratch` is where a private copy may be made when the last
    /// writer was killed: replaying its journal in place would change the file.
    pub fn open(path: &Path, scratch: &Path) -> Result<Self, OpenError> {
        let (header, size) = inspect(path)?;
        let as_it_was = Unlocked::of(path)?;
        let way = choose(path, header.wal);
        let opened = match way {
            Way::Copy => Err(None),
            way => connect(path, way).map_err(Some),
        };
        match opened {
            Ok(conn) if way != Way::SharedLog => {
                let size = require_whole(&conn, path)?;
                let unlocked = (way == Way::Immutable).then_some(as_it_was);
                Ok(Self { conn, header, size, note: None, unlocked, copy: None })
            }
            Ok(conn) => Ok(Self { conn, header, size, note: None, unlocked: None, copy: None }),
            Err(Some(error)) if !needs_replay(&error) => Err(explain(path, &header, size, error)),
            Err(_) => Self::open_copy(path, scratch, header, size),
        }
    }

    fn open_copy(path: &Path, scratch: &Path, header: Header, size: u64) -> Result<Self, OpenError> {
        let copy = tempfile::tempdir_in(scratch)
            .map_err(|e| FileError::new("make a private copy in", scratch, e))?;
        let target = copy.path().join("database");
        for suffix in ["", "-wal", "-journal"] {
            let from = beside(path, suffix);
            if let Err(error) = fs::copy(&from, beside(&target, suffix))
                && (suffix.is_empty() || error.kind() != io::ErrorKind::NotFound)
            {
                return Err(FileError::new("copy", &from, error).into());
            }
        }
        let conn = Connection::open_with_flags(&target, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .and_then(begin)
            .map_err(|error| explain(path, &header, size, error))?;
        let note =
            "the last writer was killed; its journal was replayed in a private copy, the file is untouched";
        Ok(Self { conn, header, size, note: Some(note), unlocked: None, copy: Some(copy) })
    }

    /// What the file's header says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What a reader should know about how the file was read.
    pub fn note(&self) -> Option<&'static str> {
        self.note
    }

    /// Refuses what was read when the file was read without its locks and somebody wrote it meanwhile: pages of two
    /// states may be mixed. To be asked after a long read.
    pub fn require_unchanged(&self) -> Result<(), OpenError> {
        let Some(before) = &self.unlocked else { return Ok(()) };
        let now = Unlocked::of(&before.path)?;
        if (now.size, now.modified) == (before.size, before.modified) {
            return Ok(());
        }
        Err(OpenError::Changed(before.path.clone()))
    }

    /// The connection, inside its transaction.
    pub(crate) fn connection(&self) -> &Connection {
        &self.conn
    }

    /// The connection without its transaction, for a reader that opens its own; and the private copy it is
    /// on, which must outlive it.
    pub(super) fn into_connection(self, path: &Path) -> Result<(Connection, Option<TempDir>), OpenError> {
        let ended = self.conn.execute_batch("COMMIT");
        ended.map_err(|source| OpenError::Sqlite { path: path.to_path_buf(), source })?;
        Ok((self.conn, self.copy))
    }
}

/// What is at the path, before SQLite sees it.
fn inspect(path: &Path) -> Result<(Header, u64), OpenError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OpenError::Missing { path: path.to_path_buf(), found: nearby(path) });
        }
        Err(error) => return Err(FileError::new("look at", path, error).into()),
    };
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "a directory" } else { "a pipe, socket or device" };
        return Err(OpenError::NotAFile { path: path.to_path_buf(), what });
    }
    if metadata.len() == 0 {
        return Err(OpenError::EmptyFile(path.to_path_buf()));
    }
    let mut first = Vec::new();
    File::open(path)
        .and_then(|file| file.take(4096).read_to_end(&mut first))
        .map_err(|e| FileError::new("read", path, e))?;
    let header = Header::parse(&first).map_err(|found| OpenError::NotSqlite {
        path: path.to_path_buf(),
        found: found.describe(metadata.len()),
    })?;
    Ok((header, metadata.len()))
}

/// What is there when the file is not: the first directory that is missing, or a name that is close.
fn nearby(path: &Path) -> String {
    if fs::symlink_metadata(path).is_ok() {
        return "a symbolic link that leads nowhere".to_owned();
    }
    let missing = path.ancestors().skip(1).take_while(|dir| !dir.exists()).last();
    if let Some(dir) = missing {
        return format!("the directory `{}` does not exist", dir.display());
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let entries = path.parent().and_then(|dir| fs::read_dir(dir).ok());
    let mut close: Vec<String> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !stem.is_empty() && name.to_lowercase().starts_with(&stem))
        .collect();
    close.sort();
    match close.first() {
        Some(name) => format!("the file does not exist; there is `{name}` beside it"),
        None => "the file does not exist".to_owned(),
    }
}

fn choose(path: &Path, wal: bool) -> Way {
    let size = |suffix| fs::metadata(beside(path, suffix)).ok().map(|m| m.len());
    match (wal, size("-wal"), size("-shm")) {
        (false, ..) => Way::Plain,
        (true, None | Some(0), None) => Way::Immutable,
        (true, _, Some(_)) => Way::SharedLog,
        (true, Some(_), None) => Way::Copy,
    }
}

fn connect(path: &Path, way: Way) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = match way {
        Way::Plain | Way::Copy => Connection::open_with_flags(path, flags)?,
        Way::Immutable => {
            Connection::open_with_flags(uri(path, "immutable=1"), flags | OpenFlags::SQLITE_OPEN_URI)?
        }
        Way::SharedLog => {
            Connection::open_with_flags(uri(path, "readonly_shm=1"), flags | OpenFlags::SQLITE_OPEN_URI)?
        }
    };
    begin(conn)
}

/// Starts the one transaction in which everything is read, and reads once so that its view is fixed.
fn begin(conn: Connection) -> Result<Connection, rusqlite::Error> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; BEGIN")?;
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(conn)
}

/// Whether SQLite refuses to read because a writer must first replay a journal or a log.
fn needs_replay(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen))
}

fn explain(path: &Path, header: &Header, size: u64, error: rusqlite::Error) -> OpenError {
    let path = path.to_path_buf();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Locked(path),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) if header.promised_bytes() > size => {
            OpenError::Truncated { path, promised: header.promised_bytes(), found: size }
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            OpenError::Corrupt { path, source: error }
        }
        _ => OpenError::Sqlite { path, source: error },
    }
}

/// A `file:` URI with a parameter; every byte that has a meaning there is escaped.
fn uri(path: &Path, parameter: &str) -> String {
    let mut text = String::from("file:");
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("{text}?mode=ro&{parameter}")
}
