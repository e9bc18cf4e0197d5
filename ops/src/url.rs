//! Which database a text names: one parser for every task, so that no two tools can read one text
//! differently.
//!
//! Parsing touches no file. A relative SQLite path is taken against the working directory that the caller
//! passes and is always kept absolute. A secret in a URL can be used to connect but not printed.

mod postgrest;

use std::fmt;
use std::path::{Component, Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

pub use postgrest::PostgrestUrl;

/// A database that a user named.
#[derive(Debug, Clone)]
pub enum DbUrl {
    /// A SQLite file.
    Sqlite(SqliteUrl),
    /// A PostgreSQL database.
    Postgres(PostgresUrl),
    /// A Supabase project or another PostgREST server.
    PostgRest(PostgrestUrl),
}

/// A SQLite file, by absolute path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteUrl {
    path: PathBuf,
    hint: Option<PathBuf>,
}

impl SqliteUrl {
    /// A file by its path, which must be absolute already.
    pub fn from_path(path: PathBuf) -> Self {
        Self { path, hint: None }
    }

    /// The absolute path; nothing says that it exists.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `sqlite:///tmp/x.db` is relative; when it does not exist, this is the absolute path that may have
    /// been meant.
    pub fn absolute_reading(&self) -> Option<&Path> {
        self.hint.as_deref()
    }
}

/// A PostgreSQL URL whose credentials cannot be printed.
#[derive(Clone)]
pub struct PostgresUrl {
    raw: SecretString,
    shown: String,
}

impl PostgresUrl {
    /// The URL with its credentials, for the driver only.
    pub fn expose(&self) -> &str {
        self.raw.expose_secret()
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresUrl").field(&self.shown).finish()
    }
}

impl fmt::Display for DbUrl {
    /// The URL without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(url) => write!(f, "sqlite:///{}", url.path.display()),
            Self::Postgres(url) => f.write_str(&url.shown),
            Self::PostgRest(url) => url.fmt(f),
        }
    }
}

/// Why a text does not name a database that can be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Nothing but white space.
    #[error("the database URL is empty")]
    Empty,
    /// `:memory:` and its spellings.
    #[error(
        "an in-memory database has no identity: it is empty when it is opened and gone when it is closed"
    )]
    InMemory,
    /// `sqlite://name`, which tools read in two ways.
    #[error(
        "`{0}` is read differently by different tools; write sqlite:///relative.db, sqlite:////absolute.db or a path"
    )]
    AmbiguousSlashes(String),
    /// `?key=value` that changes what is opened.
    #[error("parameter `{0}` is not supported in a SQLite URL")]
    Parameter(String),
    /// A URL that cannot be a PostgreSQL one.
    #[error("not a PostgreSQL URL: {0}; expected postgres://user@host:port/database")]
    Postgres(&'static str),
    /// A URL that cannot be the base of a PostgREST server.
    #[error(
        "not the URL of a PostgREST server: {0}; expected https://host, such as https://<ref>.supabase.co"
    )]
    Postgrest(&'static str),
    /// Any other scheme; only the scheme is shown, the rest may hold a secret.
    #[error("no driver for `{0}:` URLs; expected sqlite:, postgres:, https: or a path")]
    Scheme(String),
    /// A bad percent escape or a NUL byte.
    #[error("the path in the URL is not valid: {0}")]
    Path(&'static str),
}

impl DbUrl {
    /// Reads a URL or a path. `cwd` is the working directory, absolute.
    ///
    /// `sqlite:///a` is relative and `sqlite:////a` absolute, as SQLAlchemy has it; `sqlite:a` and `file:a`
    /// take the path as written. A driver suffix (`sqlite+pysqlite:`, `postgresql+psycopg:`) is dropped.
    /// Escapes such as `%20` are decoded in URLs and left alone in plain paths.
    pub fn parse(text: &str, cwd: &Path) -> Result<Self, UrlError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(UrlError::Empty);
        }
        if text.contains('\0') {
            return Err(UrlError::Path("it contains a NUL byte"));
        }
        if text.starts_with(":memory:") {
            return Err(UrlError::InMemory);
        }
        let Some((scheme, rest)) = split_scheme(text) else {
            return Ok(Self::Sqlite(SqliteUrl::from_path(absolute(Path::new(text), cwd))));
        };
        match scheme.split('+').next().unwrap_or_default() {
            "sqlite" | "sqlite3" | "file" => sqlite(rest, cwd).map(Self::Sqlite),
            "postgres" | "postgresql" => postgres(rest).map(Self::Postgres),
            scheme @ ("http" | "https") => PostgrestUrl::parse(scheme, rest).map(Self::PostgRest),
            other => Err(UrlError::Scheme(other.to_owned())),
        }
    }
}

/// The lower-case scheme and what follows its colon. One letter is a Windows drive, not a scheme.
fn split_scheme(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    is_scheme.then(|| (scheme.to_ascii_lowercase(), rest))
}

/// SQLite parameters that say how to open, not what: the toolkit opens as it needs to anyway.
const HARMLESS: [&str; 5] = ["mode=ro", "immutable", "timeout", "check_same_thread", "cache"];

fn sqlite(rest: &str, cwd: &Path) -> Result<SqliteUrl, UrlError> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if query.split('&').any(|p| p == "mode=memory") {
        return Err(UrlError::InMemory);
    }
    let strange = query.split('&').find(|p| !p.is_empty() && !HARMLESS.iter().any(|h| p.starts_with(h)));
    if let Some(parameter) = strange {
        return Err(UrlError::Parameter(parameter.to_owned()));
    }
    let path = percent_decode(path.split('#').next().unwrap_or_default())?;
    let (path, hint) = match path.strip_prefix("///") {
        // Three slashes: relative. A Windows drive after them is absolute.
        Some(path) if !path.starts_with('/') => (path.to_owned(), Some(format!("/{path}"))),
        Some(path) => (path.to_owned(), None),
        None if path.starts_with("//") => return Err(UrlError::AmbiguousSlashes(format!("sqlite:{path}"))),
        None => (path, None),
    };
    match path.as_str() {
        "" => Err(UrlError::Empty),
        ":memory:" => Err(UrlError::InMemory),
        path => Ok(SqliteUrl { path: absolute(Path::new(path), cwd), hint: hint.map(PathBuf::from) }),
    }
}

fn postgres(rest: &str) -> Result<PostgresUrl, UrlError> {
    let rest = rest.strip_prefix("//").ok_or(UrlError::Postgres("no `//` after the scheme"))?;
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    // An unescaped `@`, `/` or `?` in a password would shift every part after it, into what is shown.
    if rest.matches('@').count() > 1 || rest.find('@') > rest.find(['/', '?', '#']).or(Some(rest.len())) {
        return Err(UrlError::Postgres("`@`, `/`, `?` and `#` in a user name or password must be escaped"));
    }
    let (authority, database) = location.split_once('/').unwrap_or((location, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let secret = authority.len() > host.len();
    let public: Vec<&str> = query.split('&').filter(|p| is_public(p)).collect();
    if host.is_empty() && !public.iter().any(|p| p.starts_with("host=")) {
        return Err(UrlError::Postgres("no host"));
    }
    let mut shown = format!("postgres://{}{host}/{database}", if secret { "***@" } else { "" });
    if !public.is_empty() {
        shown.push('?');
        shown.push_str(&public.join("&"));
    }
    Ok(PostgresUrl { raw: SecretString::from(format!("postgres://{rest}")), shown })
}

/// Whether a URL parameter can be shown: a list of what is harmless, so that an unknown one is hidden.
fn is_public(parameter: &str) -> bool {
    ["host=", "port=", "sslmode=", "connect_timeout=", "application_name="]
        .iter()
        .any(|p| parameter.starts_with(p))
}

/// Absolute without asking the file system: `.` and `..` are resolved as text, so that a path that does
/// not exist can be printed too.
pub fn absolute(path: &Path, cwd: &Path) -> PathBuf {
    let mut full = PathBuf::new();
    for part in cwd.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                full.pop();
            }
            part => full.push(part),
        }
    }
    full
}

pub(crate) fn percent_decode(text: &str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = tail.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        let value = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
        let Some(value) = value.filter(|v| *v != 0) else {
            return Err(UrlError::Path("`%` must be followed by two hexadecimal digits, and not 00"));
        };
        bytes.push(value);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| UrlError::Path("its escapes are not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(text: &str) -> String {
        match DbUrl::parse(text, Path::new("/srv/dir")).unwrap() {
            DbUrl::Sqlite(url) => url.path().display().to_string(),
            other => panic!("{text} is {other}"),
        }
    }

    fn error_of(text: &str) -> UrlError {
        DbUrl::parse(text, Path::new("/srv/dir")).unwrap_err()
    }

    #[test]
    fn sqlite_spellings() {
        for (text, expected) in [
            ("x.db", "/srv/dir/x.db"),
            ("../x.db", "/srv/x.db"),
            ("./a/./b.db", "/srv/dir/a/b.db"),
            ("/abs/x.db", "/abs/x.db"),
            ("100%25.db", "/srv/dir/100%25.db"),
            ("sqlite:x.db", "/srv/dir/x.db"),
            ("sqlite:/abs/x.db", "/abs/x.db"),
            ("sqlite:///data/test.db", "/srv/dir/data/test.db"),
            ("sqlite:////abs/x.db", "/abs/x.db"),
            ("SQLite:///a%20b.db", "/srv/dir/a b.db"),
            ("sqlite:///ü ß.db", "/srv/dir/ü ß.db"),
            ("sqlite+pysqlite:///x.db?check_same_thread=false", "/srv/dir/x.db"),
            ("file:x.db?mode=ro", "/srv/dir/x.db"),
            ("  x.db\n", "/srv/dir/x.db"),
        ] {
            assert_eq!(path_of(text), expected, "{text}");
        }
    }

    #[test]
    fn refused_spellings() {
        assert_eq!(error_of("  "), UrlError::Empty);
        assert_eq!(error_of("sqlite:"), UrlError::Empty);
        assert_eq!(error_of("sqlite:///"), UrlError::Empty);
        for memory in [":memory:", "sqlite::memory:", "sqlite:///:memory:", "file:x?mode=memory"] {
            assert_eq!(error_of(memory), UrlError::InMemory, "{memory}");
        }
        assert!(matches!(error_of("sqlite://x.db"), UrlError::AmbiguousSlashes(_)));
        assert_eq!(error_of("sqlite:x.db?vfs=unix-none"), UrlError::Parameter("vfs=unix-none".into()));
        assert_eq!(error_of("mysql://u:p@h/d"), UrlError::Scheme("mysql".into()));
        assert!(matches!(error_of("sqlite:a%zz.db"), UrlError::Path(_)));
        assert!(matches!(error_of("sqlite:a%00.db"), UrlError::Path(_)));
        assert!(matches!(error_of("postgres:db"), UrlError::Postgres(_)));
        assert!(matches!(error_of("postgres:///db"), UrlError::Postgres(_)));
        for unescaped in ["u:qz/ss@h/db", "u:qz?ss@h/db", "u:qz#ss@h/db", "u:qz@ss@h/db"] {
            let error = error_of(&format!("postgres://{unescaped}"));
            assert!(matches!(error, UrlError::Postgres(_)) && !error.to_string().contains("qz"), "{error}");
        }
    }

    #[test]
    fn credentials_never_show() {
        let text = "postgresql+psycopg2://ann:s3cr%40t@db.example:5432/app?sslmode=require&password=s3cret&options=x";
        let url = DbUrl::parse(text, Path::new("/")).unwrap();
        assert_eq!(url.to_string(), "postgres://***@db.example:5432/app?sslmode=require");
        for shown in [format!("{url}"), format!("{url:?}")] {
            assert!(!shown.contains("s3cr") && !shown.contains("ann"), "{shown}");
        }
        let DbUrl::Postgres(url) = url else { panic!() };
        assert!(url.expose().contains("ann:s3cr%40t@"));
    }

    #[test]
    fn three_slashes_remember_the_other_reading() {
        let DbUrl::Sqlite(url) = DbUrl::parse("sqlite:///tmp/x.db", Path::new("/srv")).unwrap() else {
            panic!()
        };
        assert_eq!(url.path(), Path::new("/srv/tmp/x.db"));
        assert_eq!(url.absolute_reading(), Some(Path::new("/tmp/x.db")));
    }
}
