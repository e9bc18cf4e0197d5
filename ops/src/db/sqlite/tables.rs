//! What a database file contains, whoever made it: tables, columns, counts.
//!
//! Knows no table by name. Virtual tables are left out, because their content lies in ordinary tables
//! beside them and their module may be missing here.

use std::collections::BTreeMap;

use rusqlite::{Connection, Result, Row};

/// The ordinary tables of the main database, by name; SQLite's own are left out.
pub(super) fn names(conn: &Connection) -> Result<Vec<String>> {
    let sql = "SELECT name FROM pragma_table_list
        WHERE schema = 'main' AND type IN ('table', 'shadow') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
        ORDER BY name";
    conn.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

/// The columns of a table in order, generated ones included; empty when there is no such table.
pub(super) fn columns(conn: &Connection, table: &str) -> Result<Vec<String>> {
    let mut statement = conn.prepare("SELECT name FROM pragma_table_xinfo(?1) ORDER BY cid")?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

/// The columns of a table that are never NULL, have no default and are not the row id.
pub(super) fn demanded(conn: &Connection, table: &str) -> Result<Vec<String>> {
    let mut statement = conn.prepare(
        "SELECT name FROM pragma_table_xinfo(?1) WHERE \"notnull\" AND dflt_value IS NULL AND hidden = 0
         AND NOT (pk = 1 AND upper(type) = 'INTEGER' AND (SELECT max(pk) FROM pragma_table_info(?1)) = 1)
         ORDER BY cid",
    )?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

/// The number of rows of every table of [`names`].
pub(super) fn row_counts(conn: &Connection) -> Result<BTreeMap<String, u64>> {
    let counted = |table: String| {
        let sql = format!("SELECT count(*) FROM {}", quote(&table));
        Ok((table, conn.query_row(&sql, [], count)?))
    };
    names(conn)?.into_iter().map(counted).collect()
}

/// The first value of a row as a count.
pub(super) fn count(row: &Row<'_>) -> Result<u64> {
    Ok(row.get::<_, i64>(0)?.unsigned_abs())
}

/// Whether the schema has an object of this kind (`table`, `index`, `trigger`, `view`) and name.
pub(super) fn exists(conn: &Connection, kind: &str, name: &str) -> Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = ?1 AND name = ?2 COLLATE NOCASE";
    Ok(conn.query_row(sql, [kind, name], count)? > 0)
}

/// A name as SQL text.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
