//! The rows of any table of a file, for exports: in one snapshot, in the order of their row ids.

use std::path::Path;

use rusqlite::types::ValueRef as Sql;

use super::open::{OpenError, Snapshot};
use super::tables;
use crate::db::DbError;
use crate::export::{Column, ExportError, Rows};
use crate::value::ValueRef;

/// A table in a snapshot.
#[derive(Debug)]
pub struct TableRows {
    snapshot: Snapshot,
    sql: String,
    columns: Vec<Column>,
}

/// Why a table cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file is not a database that can be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The catalogue could not be read.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl TableRows {
    /// The table `name` of the database at `path`; the names of its tables when there is none of that name.
    pub fn open(path: &Path, scratch: &Path, name: &str) -> Result<Result<Self, Vec<String>>, TableError> {
        let snapshot = Snapshot::open(path, scratch)?;
        let failed = |source| DbError::new("read the catalogue of tables", source);
        let names = tables::names(snapshot.connection()).map_err(failed)?;
        if !names.iter().any(|other| other == name) {
            return Ok(Err(names));
        }
        let columns = columns(&snapshot, name).map_err(failed)?;
        let list: Vec<String> = columns.iter().map(|column| tables::quote(&column.name)).collect();
        let sql = format!("SELECT {} FROM {}", list.join(", "), tables::quote(name));
        // A table without row ids is in the order of its key as it is.
        let ordered = format!("{sql} ORDER BY rowid");
        let has_rowid = snapshot.connection().prepare(&ordered).is_ok();
        let sql = if has_rowid { ordered } else { sql };
        Ok(Ok(Self { snapshot, sql, columns }))
    }
}

fn columns(snapshot: &Snapshot, name: &str) -> rusqlite::Result<Vec<Column>> {
    let mut statement = snapshot
        .connection()
        .prepare("SELECT name, type FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid")?;
    let columns =
        statement.query_map([name], |row| Ok(Column { name: row.get(0)?, declared: row.get(1)? }))?;
    columns.collect()
}

impl Rows for TableRows {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn read(
        &mut self,
        each: &mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let failed = |error: rusqlite::Error| ExportError::Read(Box::new(error));
        let mut statement = self.snapshot.connection().prepare(&self.sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let values = (0..self.columns.len()).map(|i| row.get_ref(i).map(value).map_err(failed));
            let values: Vec<ValueRef<'_>> = values.collect::<Result<_, _>>()?;
            each(&values)?;
        }
        self.snapshot.require_unchanged().map_err(|error| ExportError::Read(Box::new(error)))
    }
}

/// A value as it is stored; text that is no UTF-8 is bytes.
fn value(value: Sql<'_>) -> ValueRef<'_> {
    match value {
        Sql::Null => ValueRef::Null,
        Sql::Integer(n) => ValueRef::Int(n),
        Sql::Real(x) => ValueRef::Real(x),
        Sql::Text(text) => std::str::from_utf8(text).map_or(ValueRef::Bytes(text), ValueRef::Text),
        Sql::Blob(bytes) => ValueRef::Bytes(bytes),
    }
}
