//! Rows by a column that links them, asked for again and again: what that takes is learned once.
//!
//! Each question still looks whether the table is the one that was learned; only how its columns are read and what the
//! server made of the query is kept. Two requests a question, on a connection that can only read.

use ::postgres::{Client, GenericClient, IsolationLevel, Statement};

use super::catalog::{self, Facts, quoted};
use super::fault::Fault;
use super::rows::{by_key_sql, find};
use super::value::Cells;
use crate::target::schema::Table;
use crate::value::{Row, Value};

/// Questions after which a statement is prepared anew: the server keeps the plan that it made for a table as it was then.
const QUESTIONS: u32 = 256;

/// What a table is, in one text: which one, and its columns.
const SHAPE: &str = "SELECT pg_catalog.concat_ws(' ', c.oid, (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', a.attnum, \
                     a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attgenerated, a.attidentity), ',' ORDER BY a.attnum) \
                     FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)) \
                     FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass($1)";

/// A question that was asked before.
pub(super) struct Related {
    table: Table,
    column: usize,
    columns: Vec<Facts>,
    shape: Option<String>,
    shaped: Statement,
    rows: Statement,
    questions: u32,
}

impl Related {
    fn learn(client: &mut Client, table: &Table, column: usize) -> Result<Self, Fault> {
        let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
        let mut tx = snapshot.read_only(true).start()?;
        let columns = catalog::columns(&mut tx, table)?;
        let all: Vec<&Facts> = columns.iter().collect();
        let rows = tx.prepare(&by_key_sql(table, &[&columns[column]], &all, false))?;
        let shaped = tx.prepare(SHAPE)?;
        let shape = shape(&mut tx, &shaped, table)?;
        Ok(Self { table: table.clone(), column, columns, shape, shaped, rows, questions: 0 })
    }
}

fn shape(
    client: &mut impl GenericClient,
    shaped: &Statement,
    table: &Table,
) -> Result<Option<String>, Fault> {
    Ok(client.query_opt(shaped, &[&quoted(&table.name)])?.map(|row| row.get(0)))
}

/// The rows in which a column holds exactly this value, all columns.
pub(super) fn related(
    client: &mut Client,
    known: &mut Vec<Related>,
    table: &Table,
    column: usize,
    value: &Value,
) -> Result<Vec<Row>, Fault> {
    let place = known.iter().position(|one| one.column == column && one.table == *table);
    let mut one = match place {
        Some(place) => known.swap_remove(place),
        None => Related::learn(client, table, column)?,
    };
    if one.questions >= QUESTIONS || shape(client, &one.shaped, table)? != one.shape {
        one = Related::learn(client, table, column)?;
    }
    one.questions += 1;
    let all: Vec<&Facts> = one.columns.iter().collect();
    let cells = [Cells::of(std::iter::once(Some(value)))];
    let found = find(client, &one.rows, &cells, &all)?.into_iter().map(|(_, row)| row);
    let rows = found.filter(|row| row[column].as_ref().same(value.as_ref())).collect();
    known.push(one);
    Ok(rows)
}
