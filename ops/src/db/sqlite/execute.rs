//! Runs the statements of one script, the two borrowed spellings included.
//!
//! Opens no transaction and keeps no ledger: the caller does. A script that rebuilds a table drops the
//! indexes and triggers on it; those it does not name come back as they were.

use std::collections::BTreeSet;

use rusqlite::{Connection, Result};

use super::migrator::MigrateError;
use super::tables;
use crate::migrate::script::{self, Located, Script, Statement};
use crate::text;

/// Runs `sql`, the text of `file`.
pub(super) fn run(conn: &Connection, file: &str, sql: &str) -> Result<(), MigrateError> {
    let statements = statements(file, sql)?;
    let attached = attached(conn).map_err(|e| MigrateError::db("read the schema", e))?;
    let mut dropped = BTreeSet::new();
    for located in &statements {
        one(conn, &located.statement).map_err(|e| failed(file, located, e))?;
        if let Statement::Sql(sql) = &located.statement {
            dropped.extend(script::dropped(sql));
        }
    }
    for object in attached {
        if !dropped.contains(&object.name) {
            object.restore(conn).map_err(|e| {
                MigrateError::db(format!("keep {} `{}` of `{}`", object.kind, object.name, object.table), e)
            })?;
        }
    }
    Ok(())
}

/// Runs the queries of a verification; each row they give is a problem.
pub(super) fn verify(conn: &Connection, file: &str, sql: &str) -> Result<(), MigrateError> {
    let mut problems = Vec::new();
    for located in statements(file, sql)? {
        let Statement::Sql(query) = &located.statement else { continue };
        let found = conn.prepare(query).and_then(|mut statement| {
            statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>>>()
        });
        problems.extend(found.map_err(|e| failed(file, &located, e))?);
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(MigrateError::NotAsIntended { file: file.to_owned(), problems })
}

fn statements(file: &str, sql: &str) -> Result<Vec<Located>, MigrateError> {
    Script::parse(sql)
        .and_then(|script| script.statements())
        .map_err(|source| MigrateError::Script { file: file.to_owned(), source })
}

fn failed(file: &str, located: &Located, source: rusqlite::Error) -> MigrateError {
    let sql = match &located.statement {
        Statement::Sql(sql) => sql.clone(),
        Statement::AddColumnIfMissing { sql_without_if_not_exists, .. } => sql_without_if_not_exists.clone(),
        Statement::CopyByName { into, from } => format!("INSERT INTO {into} BY NAME SELECT * FROM {from}"),
    };
    MigrateError::Statement {
        file: file.to_owned(),
        line: located.line,
        statement: text::ellipsis(&text::one_line(&sql), 80),
        source: Box::new(source),
    }
}

fn one(conn: &Connection, statement: &Statement) -> Result<()> {
    match statement {
        Statement::Sql(sql) => conn.execute_batch(sql),
        Statement::AddColumnIfMissing { table, column, sql_without_if_not_exists } => {
            let present = tables::columns(conn, table)?;
            if present.iter().any(|name| name.eq_ignore_ascii_case(column)) {
                return Ok(());
            }
            conn.execute_batch(sql_without_if_not_exists)
        }
        Statement::CopyByName { into, from } => copy_by_name(conn, into, from),
    }
}

/// Copies all rows of `from`; a column that only `from` has is added to `into` with its type and default.
fn copy_by_name(conn: &Connection, into: &str, from: &str) -> Result<()> {
    let known = tables::columns(conn, into)?;
    let mut statement =
        conn.prepare("SELECT name, type, \"notnull\", dflt_value FROM pragma_table_info(?1) ORDER BY cid")?;
    let mut rows = statement.query([from])?;
    let mut shared = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        if !known.iter().any(|column| column.eq_ignore_ascii_case(&name)) {
            let mut definition = format!("{} {}", tables::quote(&name), row.get::<_, String>(1)?);
            if row.get(2)? {
                definition.push_str(" NOT NULL");
            }
            if let Some(default) = row.get::<_, Option<String>>(3)? {
                definition.push_str(&format!(" DEFAULT ({default})"));
            }
            conn.execute_batch(&format!("ALTER TABLE {} ADD COLUMN {definition}", tables::quote(into)))?;
        }
        shared.push(tables::quote(&name));
    }
    let columns = shared.join(", ");
    conn.execute_batch(&format!(
        "INSERT INTO {} ({columns}) SELECT {columns} FROM {}",
        tables::quote(into),
        tables::quote(from)
    ))
}

/// An index or a trigger, which disappears with its table.
struct Attached {
    kind: String,
    name: String,
    table: String,
    sql: String,
}

impl Attached {
    /// Creates it again if it is gone while its table is there.
    fn restore(&self, conn: &Connection) -> Result<()> {
        if tables::exists(conn, &self.kind, &self.name)? || !tables::exists(conn, "table", &self.table)? {
            return Ok(());
        }
        conn.execute_batch(&self.sql)
    }
}

fn attached(conn: &Connection) -> Result<Vec<Attached>> {
    let sql = "SELECT type, name, tbl_name, sql FROM sqlite_schema
        WHERE type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY rowid";
    let read = |row: &rusqlite::Row| {
        Ok(Attached { kind: row.get(0)?, name: row.get(1)?, table: row.get(2)?, sql: row.get(3)? })
    };
    conn.prepare(sql)?.query_map([], read)?.collect()
}
