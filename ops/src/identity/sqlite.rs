//! Identity of a SQLite file.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use super::{FileFacts, ForeignKeys, Identity, contents};
use crate::clock::Stamp;
use crate::db::sqlite::{OpenError, Snapshot};
use crate::db::{DbError, Lineage, Reader};
use crate::files::FileError;
use crate::migrate::embedded;
use crate::url::{DbUrl, SqliteUrl};
use crate::{ids, os};

/// Why an identity could not be read.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file is not a database that can be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database stopped answering.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Reads the identity of the file that `url` names, without changing it. `scratch` is a directory for a
/// private copy, needed only when the last writer was killed.
pub fn of_sqlite(url: &SqliteUrl, scratch: &Path) -> Result<Identity, IdentityError> {
    let mut snapshot = Snapshot::open(url.path(), scratch)?;
    let Place { path, metadata } = place(url.path())?;
    let modified = metadata.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    let stamp = modified.and_then(|age| Stamp::from_unix(i64::try_from(age.as_secs()).ok()?));
    let header = snapshot.header().clone();
    let file = FileFacts {
        path: path.clone(),
        id: os::file_id(&metadata),
        size_bytes: snapshot.size(),
        modified_at: stamp.map(Stamp::iso),
        application_id: header.application_id,
        user_version: header.user_version,
        journal: if header.wal { "wal" } else { "rollback" },
    };
    let mut identity = Identity {
        format: 1,
        url: DbUrl::Sqlite(url.clone()).to_string(),
        fingerprint: String::new(),
        file: None,
        server: None,
        lineage: None,
        migrations: super::Migrations::default(),
        schema: super::Schema::default(),
        runs: None,
        phases: None,
        telemetry: None,
        foreign_keys: None,
        notes: snapshot.note().map(str::to_owned).into_iter().collect(),
    };
    let schema = schema(&mut snapshot)?;
    let available: Vec<String> = embedded::SQLITE.iter().map(|migration| migration.name.to_owned()).collect();
    contents::fill(&mut identity, &mut snapshot, Some(&available), schema)?;
    identity.foreign_keys = match foreign_keys(&mut snapshot) {
        Ok(keys) => Some(keys),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            identity.notes.push(format!("foreign keys could not be checked: {cause}"));
            None
        }
    };
    identity.fingerprint = fingerprint(identity.lineage.as_ref(), &Place { path, metadata });
    identity.file = Some(file);
    Ok(identity)
}

/// Where a file really is.
pub(super) struct Place {
    /// Absolute, symbolic links resolved.
    path: PathBuf,
    metadata: Metadata,
}

pub(super) fn place(path: &Path) -> Result<Place, IdentityError> {
    let canonical =
        fs::canonicalize(path).map_err(|e| OpenError::from(FileError::new("resolve", path, e)))?;
    let metadata =
        fs::metadata(&canonical).map_err(|e| OpenError::from(FileError::new("look at", path, e)))?;
    Ok(Place { path: canonical, metadata })
}

pub(super) fn fingerprint(lineage: Option<&Lineage>, place: &Place) -> String {
    let lineage = lineage.map_or("-", |lineage| lineage.id.as_str());
    // The path only where there is no inode: a renamed file is the same database.
    let place = match os::file_id(&place.metadata) {
        Some(id) => format!("{}:{}", id.device, id.inode),
        None => place.path.display().to_string(),
    };
    ids::sha256(format!("sqlite\n{lineage}\n{place}").as_bytes())[..12].to_owned()
}

/// Canonical definition lines and table names. The toolkit's own books are left out, so that stamping or
/// adopting a database does not change what its schema is called.
fn schema(snapshot: &mut Snapshot) -> Result<(Vec<String>, Vec<String>), DbError> {
    let rows = snapshot.rows(
        "SELECT type, name, coalesce(sql, '') FROM sqlite_schema \
         WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND tbl_name NOT LIKE 'ops\\_%' ESCAPE '\\' \
         ORDER BY type, name",
    )?;
    let mut lines = Vec::new();
    let mut tables = Vec::new();
    for row in rows {
        let (kind, name, sql) = (row[0].show(), row[1].show(), row[2].show());
        lines.push(format!("{kind} {name} {}", sql.split_whitespace().collect::<Vec<_>>().join(" ")));
        if kind == "table" {
            tables.push(name);
        }
    }
    Ok((lines, tables))
}

fn foreign_keys(snapshot: &mut Snapshot) -> Result<ForeignKeys, DbError> {
    let rows = snapshot.rows(
        "SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check GROUP BY \"table\", parent",
    )?;
    let mut by_reference = BTreeMap::new();
    for row in rows {
        by_reference.insert(format!("{} -> {}", row[0].show(), row[1].show()), row[2].count().unwrap_or(0));
    }
    Ok(ForeignKeys { violations: by_reference.values().sum(), by_reference })
}
