//! Rows by their keys, and one number.

use ::postgres::types::ToSql;
use ::postgres::{Row as SqlRow, SimpleQueryMessage, Statement, Transaction};

use super::catalog::{self, Facts, quote, quoted};
use super::fault::Fault;
use super::value::{Cells, read_text};
use crate::guard::Refusal;
use crate::target::TargetError;
use crate::target::schema::Table;
use crate::value::{Row, Value};

/// Keys that are asked for in one statement.
const KEYS: usize = 1_000;

/// The rows with exactly these keys, all columns.
pub(super) fn read(
    tx: &mut Transaction<'_>,
    table: &Table,
    key: &[usize],
    keys: &[Row],
) -> Result<Vec<Option<Row>>, Fault> {
    let columns = catalog::columns(tx, table)?;
    let by_key: Vec<&Facts> = key.iter().map(|i| &columns[*i]).collect();
    let all: Vec<&Facts> = columns.iter().collect();
    let statement = tx.prepare(&by_key_sql(table, &by_key, &all, false))?;
    let mut found = vec![None; keys.len()];
    for (chunk, found) in keys.chunks(KEYS).zip(found.chunks_mut(KEYS)) {
        let cells: Vec<Cells> =
            (0..key.len()).map(|i| Cells::of(chunk.iter().map(|key| key.get(i)))).collect();
        for (n, row) in find(tx, &statement, &cells, &all)? {
            // Where a collation takes two spellings for one, the key that was asked for is the one of this spelling.
            let is_wanted = key.iter().zip(&chunk[n]).all(|(i, value)| row[*i].as_ref().same(value.as_ref()));
            if is_wanted {
                found[n] = Some(row);
            }
        }
    }
    Ok(found)
}

/// A query for the rows of which the keys are given as one array a column. The given texts are cast to the types of the
/// columns, and not the other way round, so that the key's index is used.
pub(super) fn by_key_sql(table: &Table, key: &[&Facts], columns: &[&Facts], locks: bool) -> String {
    let list = |items: &mut dyn Iterator<Item = String>, by: &str| items.collect::<Vec<_>>().join(by);
    let arrays = list(&mut (1..=key.len()).map(|n| format!("unnest(${n}::text[])")), ", ");
    let names = list(&mut (0..key.len()).map(|n| format!("k{n}")), ", ");
    let same = list(
        &mut key
            .iter()
            .enumerate()
            .map(|(n, facts)| format!("t.{} = u.k{n}::{}", quote(&facts.column.name), facts.base)),
        " AND ",
    );
    let cells = list(&mut columns.iter().map(|facts| format!("t.{}::text", quote(&facts.column.name))), ", ");
    format!(
        "SELECT u.n, {cells} FROM ROWS FROM ({arrays}) WITH ORDINALITY AS u ({names}, n) \
         JOIN {} AS t ON {same}{}",
        quoted(&table.name),
        if locks { " FOR UPDATE OF t" } else { "" }
    )
}

/// Runs a query of [`by_key_sql`]: each row with the position of its key.
pub(super) fn find(
    client: &mut impl ::postgres::GenericClient,
    statement: &Statement,
    cells: &[Cells],
    columns: &[&Facts],
) -> Result<Vec<(usize, Row)>, Fault> {
    let parameters: Vec<&(dyn ToSql + Sync)> = cells.iter().map(|c| c as &(dyn ToSql + Sync)).collect();
    let rows = client.query(statement, &parameters)?;
    rows.iter().map(|row| Ok((place(row), values(row, columns)?))).collect()
}

/// The position that a row of an answer is about; the server counts from 1.
pub(super) fn place(row: &SqlRow) -> usize {
    usize::try_from(row.get::<_, i64>(0) - 1).expect("the server numbers what it was sent")
}

fn values(row: &SqlRow, columns: &[&Facts]) -> Result<Row, Fault> {
    let cell = |(i, facts): (usize, &&Facts)| match row.try_get::<_, Option<&str>>(i + 1)? {
        None => Ok(Value::Null),
        Some(text) => typed(facts, text),
    };
    columns.iter().enumerate().map(cell).collect()
}

/// The value of a column that is printed as `text`.
pub(super) fn typed(facts: &Facts, text: &str) -> Result<Value, Fault> {
    read_text(facts.column.kind, text).ok_or_else(|| {
        let what = format!("column `{}` cannot be read exactly", facts.column.name);
        Refusal::new(what, format!("a value of type {}", facts.column.type_name), "another text").into()
    })
}

/// The one number that a query returns. That it is one statement and a query is seen before it runs.
pub(super) fn measure(tx: &mut Transaction<'_>, sql: &str) -> Result<f64, Fault> {
    let refused = |found: &str| -> Fault {
        TargetError::Refused(Refusal::new("the query is no measurement", "one row with one number", found))
            .into()
    };
    match tx.prepare(sql)?.columns() {
        [_] => {}
        [] => return Err(refused("a statement without columns")),
        _ => return Err(refused("more than one column")),
    }
    // As text every type of number looks alike.
    let mut number = None;
    for message in tx.simple_query(sql)? {
        let SimpleQueryMessage::Row(row) = message else { continue };
        let found = row.get(0).ok_or_else(|| refused("NULL"))?.parse::<f64>();
        let found = found.ok().filter(|x| x.is_finite()).ok_or_else(|| refused("something else"))?;
        if number.replace(found).is_some() {
            return Err(refused("more than one row"));
        }
    }
    number.ok_or_else(|| refused("no row"))
}
