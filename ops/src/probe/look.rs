//! Opening a database for one look after the other, and asking it.

use std::path::PathBuf;
use std::time::Duration;

use super::rows::{Line, Question};
use crate::db::postgres::{ConnectOptions, Session};
use crate::db::sqlite::Snapshot;
use crate::db::{Cell, Reader};
use crate::identity::{self, Source};
use crate::target::postgrest::{ApiKey, Asked, Postgrest, PostgrestOptions};
use crate::target::{Target, TargetError};
use crate::url::DbUrl;

/// Values in one statement, and in one address.
const WITHIN_SQL: usize = 500;
const WITHIN_API: usize = 50;

/// What can be asked during one look.
pub trait Answers {
    /// Rows of a statement. A REST API takes none.
    fn sql(&mut self, sql: &str) -> Result<Vec<Vec<Cell>>, String>;

    /// All rows that a question is about, or why they could not be read.
    fn rows(&mut self, question: &Question<'_>) -> Result<Vec<Line>, String>;
}

/// How long a database is waited for, and where private copies may be made.
#[derive(Debug, Clone)]
pub struct Patience {
    /// Longest wait for a connection.
    pub connect: Duration,
    /// Longest wait for one answer.
    pub statement: Duration,
    /// What this program calls itself.
    pub name: String,
    /// For files that must be copied to be read.
    pub scratch: PathBuf,
}

impl Patience {
    /// Ten seconds for a connection and a minute for an answer.
    pub fn new(name: &str, scratch: PathBuf) -> Self {
        let (connect, statement) = (Duration::from_secs(10), Duration::from_mins(1));
        Self { connect, statement, name: name.to_owned(), scratch }
    }
}

/// A database that must stay the one that it was when it was first looked at.
#[derive(Debug)]
pub struct Probe {
    url: DbUrl,
    identity: Source,
    api: Option<Postgrest>,
    patience: Patience,
}

impl Probe {
    /// Finds out which database `url` names. `key` is for a REST API only.
    pub fn open(url: &DbUrl, key: Option<&ApiKey>, patience: Patience) -> Result<Self, TargetError> {
        let mut api = None;
        let identity = match (url, key) {
            (DbUrl::PostgRest(url), Some(key)) => {
                let options = PostgrestOptions {
                    connect_timeout: patience.connect,
                    request_timeout: patience.statement,
                    deadline: patience.statement,
                    ..PostgrestOptions::default()
                };
                let mut opened = Postgrest::open(url, key, &options)?;
                let identity = source_of_api(&mut opened)?;
                api = Some(opened);
                identity
            }
            _ => identify(url, &patience).map_err(|why| TargetError::failed("look at the database", why))?.0,
        };
        Ok(Self { url: url.clone(), identity, api, patience })
    }

    /// Which database it is.
    pub fn identity(&self) -> &Source {
        &self.identity
    }

    /// Opens it for one look: one snapshot where the database has them.
    pub fn look(&mut self) -> Result<Box<dyn Answers + '_>, String> {
        let Some(api) = &mut self.api else {
            let (found, reader) = identify(&self.url, &self.patience)?;
            require_same(&self.identity, &found)?;
            return Ok(Box::new(InSql(reader)));
        };
        let found = source_of_api(api).map_err(|error| whole(&error))?;
        require_same(&self.identity, &found)?;
        Ok(Box::new(OverHttp(api)))
    }
}

fn require_same(expected: &Source, found: &Source) -> Result<(), String> {
    if found.fingerprint == expected.fingerprint && found.lineage == expected.lineage {
        return Ok(());
    }
    Err(format!("another database is there: {found}"))
}

fn source_of_api(api: &mut Postgrest) -> Result<Source, TargetError> {
    let found = api.identity()?;
    Ok(Source { url: found.url, fingerprint: found.fingerprint, lineage: found.lineage })
}

/// Which database it is, and a snapshot of it.
fn identify(url: &DbUrl, patience: &Patience) -> Result<(Source, Box<dyn Reader>), String> {
    match url {
        DbUrl::Sqlite(url) => {
            let mut snapshot =
                Snapshot::open(url.path(), &patience.scratch).map_err(|error| whole(&error))?;
            let found = identity::source_of_reader(url, &mut snapshot).map_err(|error| whole(&error))?;
            Ok((found, Box::new(snapshot)))
        }
        DbUrl::Postgres(postgres) => {
            let options = ConnectOptions {
                connect_timeout: patience.connect,
                statement_timeout: patience.statement,
                application_name: patience.name.clone(),
            };
            let found = identity::source_of_postgres(postgres, &options).map_err(|error| whole(&error))?;
            let session = Session::connect_unrestricted(postgres, &options).map_err(|error| whole(&error))?;
            Ok((found, Box::new(session)))
        }
        DbUrl::PostgRest(url) => Err(format!("{url} needs an API key")),
    }
}

/// An error with its causes, in one line.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    crate::text::one_line(&text)
}

/// A snapshot of SQLite or PostgreSQL.
struct InSql(Box<dyn Reader>);

impl Answers for InSql {
    fn sql(&mut self, sql: &str) -> Result<Vec<Vec<Cell>>, String> {
        self.0.rows(sql).map_err(|error| {
            // The action of the error is the statement itself, which the settings have.
            std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
        })
    }

    fn rows(&mut self, question: &Question<'_>) -> Result<Vec<Line>, String> {
        let shown = |cell: &Cell| (*cell != Cell::Null).then(|| cell.show());
        in_parts(question, WITHIN_SQL, &mut |part| {
            let rows = self.sql(&part.sql())?;
            Ok(rows.iter().map(|row| row.iter().map(shown).collect()).collect())
        })
    }
}

/// A REST API, with GET and HEAD.
struct OverHttp<'a>(&'a Postgrest);

impl Answers for OverHttp<'_> {
    fn sql(&mut self, _: &str) -> Result<Vec<Vec<Cell>>, String> {
        Err("a REST API takes no statements: describe the rows, or name the database behind it".to_owned())
    }

    fn rows(&mut self, question: &Question<'_>) -> Result<Vec<Line>, String> {
        let table = question.rows.name().ok_or_else(|| format!("`{}` is no table", question.rows.table))?;
        in_parts(question, WITHIN_API, &mut |part| {
            let (columns, filters) = (part.selected(), part.filters());
            let key = part.rows.key.len();
            let asked = Asked { table: &table, columns: &columns, key, filters: &filters };
            self.0.read_all(&asked).map_err(|error| whole(&error))
        })
    }
}

/// Asks for as many values at once as fit, and puts the answers together.
fn in_parts(
    question: &Question<'_>,
    most: usize,
    ask: &mut dyn FnMut(&Question<'_>) -> Result<Vec<Line>, String>,
) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    match question.within {
        None => lines = ask(question)?,
        Some((column, values)) => {
            for values in values.chunks(most) {
                lines.append(&mut ask(&Question { within: Some((column, values)), ..*question })?);
            }
        }
    }
    question.require_keys(&lines)?;
    Ok(lines)
}
