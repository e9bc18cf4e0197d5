//! Reading rows: all of them with proof, some of them by key, one number.

use rusqlite::{Connection, ErrorCode};

use super::catalog::{key_condition, quote, quoted};
use super::cell::{Bound, borrow, is_exactly};
use super::error::failed;
use crate::guard::Refusal;
use crate::target::schema::Table;
use crate::target::{ScanProof, TargetError};
use crate::value::{Row, Value, ValueRef};

/// All columns of a table as SQL text.
fn columns(table: &Table) -> String {
    table.columns.iter().map(|column| quote(&column.name)).collect::<Vec<_>>().join(", ")
}

/// Hands out every row of the table as the transaction of `conn` sees it.
pub(super) fn scan(
    conn: &Connection,
    table: &Table,
    each: &mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), TargetError>,
) -> Result<ScanProof, TargetError> {
    let not_read = |e| failed(format!("read the table `{}`", table.name), e);
    // Once: the transaction sees one state of the table, before and after.
    let sql = format!("SELECT count(*) FROM {}", quoted(table));
    let count = conn.query_row(&sql, [], |row| row.get::<_, u64>(0)).map_err(not_read)?;
    // The table itself, not an index that happens to cover it: the counts come from an index, so a damaged one
    // shows.
    let sql = format!("SELECT {} FROM {} NOT INDEXED", columns(table), quoted(table));
    let mut statement = conn.prepare(&sql).map_err(not_read)?;
    let mut found = statement.query([]).map_err(not_read)?;
    let width = table.columns.len();
    let mut spare = Vec::with_capacity(width);
    let mut rows = 0;
    while let Some(row) = found.next().map_err(not_read)? {
        let mut values = reuse(spare);
        for i in 0..width {
            let stored = row.get_ref(i).map_err(not_read)?;
            values.push(borrow(stored).ok_or_else(|| not_utf8(conn, table, i, rows))?);
        }
        each(&values)?;
        rows += 1;
        spare = reuse(values);
    }
    if rows != count {
        let what = format!("the table `{}` cannot be read completely", table.name);
        let expected = format!("{count} rows, as its smallest index counts them");
        let refusal = Refusal::new(what, expected, format!("{rows} rows in the table itself"));
        return Err(refusal.next("sqlite3 FILE 'PRAGMA integrity_check'").into());
    }
    Ok(ScanProof { rows, count_before: count, count_after: count, pages: 2, snapshot: true })
}

/// An empty vector in the memory of another: values of one row cannot outlive it, their memory can.
fn reuse<'to>(mut values: Vec<ValueRef<'_>>) -> Vec<ValueRef<'to>> {
    values.clear();
    values.into_iter().map(|_| ValueRef::Null).collect()
}

/// Says where the text is that is none. `rows` were read before it.
fn not_utf8(conn: &Connection, table: &Table, column: usize, rows: u64) -> TargetError {
    let rowid = ["rowid", "_rowid_", "oid"].into_iter().find(|name| table.column(name).is_none());
    let place = rowid.and_then(|rowid| {
        let sql = format!("SELECT {rowid} FROM {} NOT INDEXED LIMIT 1 OFFSET {rows}", quoted(table));
        conn.query_row(&sql, [], |row| row.get::<_, i64>(0)).ok()
    });
    let place =
        place.map_or_else(|| format!("row {} of the scan", rows + 1), |rowid| format!("rowid {rowid}"));
    let what = format!("the table `{}` cannot be read exactly", table.name);
    let found = format!("other bytes in column `{}`, {place}", table.columns[column].name);
    Refusal::new(what, "text in UTF-8", found).next("repair the text, or store it as a BLOB").into()
}

/// The rows with exactly these keys.
pub(super) fn read(
    conn: &Connection,
    table: &Table,
    key: &[usize],
    keys: &[Row],
) -> Result<Vec<Option<Row>>, TargetError> {
    let not_read = |e| failed(format!("read rows of `{}`", table.name), e);
    let condition = key_condition(conn, table, key)?;
    let sql = format!("SELECT {} FROM {} WHERE {condition}", columns(table), quoted(table));
    let mut statement = conn.prepare(&sql).map_err(not_read)?;
    let mut all = Vec::with_capacity(keys.len());
    for wanted in keys {
        for (i, value) in wanted.iter().enumerate() {
            statement.raw_bind_parameter(i + 1, Bound(value)).map_err(not_read)?;
        }
        let mut found = statement.raw_query();
        let mut exact = None;
        while let Some(row) = found.next().map_err(not_read)? {
            let cell = |i: usize| row.get_ref(i).map_err(not_read);
            let mut is_wanted = true;
            for (column, value) in key.iter().zip(wanted) {
                is_wanted &= !value.is_null() && is_exactly(cell(*column)?, value);
            }
            if is_wanted {
                let mut values = Row::with_capacity(table.columns.len());
                for i in 0..table.columns.len() {
                    let value = borrow(cell(i)?).ok_or_else(|| not_utf8_by_key(table, i))?;
                    values.push(value.to_value());
                }
                exact = Some(values);
                break;
            }
        }
        all.push(exact);
    }
    Ok(all)
}

/// The rows in which a column holds exactly this value.
pub(super) fn related(
    conn: &Connection,
    table: &Table,
    column: usize,
    value: &Value,
) -> Result<Vec<Row>, TargetError> {
    let not_read = |e| failed(format!("read rows of `{}`", table.name), e);
    let name = quote(&table.columns[column].name);
    let sql = format!("SELECT {} FROM {} WHERE {name} = ?1", columns(table), quoted(table));
    let mut statement = conn.prepare_cached(&sql).map_err(not_read)?;
    statement.raw_bind_parameter(1, Bound(value)).map_err(not_read)?;
    let mut found = statement.raw_query();
    let mut rows = Vec::new();
    while let Some(row) = found.next().map_err(not_read)? {
        // A collation may take another spelling for the same value.
        if !is_exactly(row.get_ref(column).map_err(not_read)?, value) {
            continue;
        }
        let mut values = Row::with_capacity(table.columns.len());
        for i in 0..table.columns.len() {
            let cell = borrow(row.get_ref(i).map_err(not_read)?).ok_or_else(|| not_utf8_by_key(table, i))?;
            values.push(cell.to_value());
        }
        rows.push(values);
    }
    Ok(rows)
}

fn not_utf8_by_key(table: &Table, column: usize) -> TargetError {
    let what = format!("a row of `{}` cannot be read exactly", table.name);
    let found = format!("other bytes in column `{}`", table.columns[column].name);
    Refusal::new(what, "text in UTF-8", found).into()
}

/// The one number of a query.
pub(super) fn measure(conn: &Connection, sql: &str) -> Result<f64, TargetError> {
    let refuse = |found: &str| {
        Err(Refusal::new("the query measures nothing", "a SELECT that gives one number", found).into())
    };
    let first = sql.split_whitespace().next().unwrap_or_default();
    if !["SELECT", "WITH", "VALUES"].iter().any(|word| first.eq_ignore_ascii_case(word)) {
        return refuse("another statement");
    }
    let not_run = |e: rusqlite::Error| match e.sqlite_error_code() {
        Some(ErrorCode::ReadOnly) => TargetError::from(Refusal::new(
            "the query measures nothing",
            "a SELECT that gives one number",
            "a statement that writes",
        )),
        _ => failed("measure", e),
    };
    let mut statement = conn.prepare(sql).map_err(not_run)?;
    if !statement.readonly() {
        return refuse("a statement that writes");
    }
    if statement.column_count() != 1 {
        return refuse("another number of columns");
    }
    let mut rows = statement.query([]).map_err(not_run)?;
    let mut number = None;
    while let Some(row) = rows.next().map_err(not_run)? {
        if number.is_some() {
            return refuse("more than one row");
        }
        number = Some(match row.get_ref(0).map_err(not_run)? {
            rusqlite::types::ValueRef::Integer(n) => n as f64,
            rusqlite::types::ValueRef::Real(x) => x,
            _ => return refuse("something that is no number"),
        });
    }
    number.map_or_else(|| refuse("no row"), Ok)
}
