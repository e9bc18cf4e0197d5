//! Reading counts and catalogues through the trait that all drivers share.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::open::Snapshot;
use crate::db::{Cell, DbError, Reader};

impl Reader for Snapshot {
    fn columns(&mut self, table: &str) -> Result<Vec<String>, DbError> {
        (&self.conn).columns(table)
    }

    fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Cell>>, DbError> {
        (&self.conn).rows(sql)
    }
}

impl Reader for &Connection {
    fn columns(&mut self, table: &str) -> Result<Vec<String>, DbError> {
        let mut statement = self
            .prepare_cached("SELECT name FROM pragma_table_xinfo(?1) ORDER BY cid")
            .map_err(|e| DbError::new("read the schema", e))?;
        let names = statement.query_map([table], |row| row.get(0)).and_then(Iterator::collect);
        names.map_err(|e| DbError::new(format!("read the columns of `{table}`"), e))
    }

    fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Cell>>, DbError> {
        let run = || -> Result<Vec<Vec<Cell>>, rusqlite::Error> {
            let mut statement = self.prepare(sql)?;
            let width = statement.column_count();
            let rows = statement.query_map([], |row| {
                (0..width).map(|i| Ok(cell(row.get_ref(i)?))).collect::<Result<Vec<Cell>, rusqlite::Error>>()
            })?;
            rows.collect()
        };
        run().map_err(|e| DbError::new(format!("run `{sql}`"), e))
    }
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(n) => Cell::Int(n),
        ValueRef::Real(x) => Cell::Real(x),
        ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Cell::Text(format!("x'{}'", crate::ids::hex(bytes))),
    }
}
