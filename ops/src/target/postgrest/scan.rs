//! Reading every row of a table, and when that counts as complete.
//!
//! There is no snapshot across requests, so other sessions may write while pages are read. Pages follow the primary
//! key; a row that is there all the time is read exactly once, wherever the pages end. A row that changes
//! meanwhile is read before or after; applying a plan finds that out by comparing. The server counts before and after:
//!
//! - Both counts and the number of rows are equal: complete.
//! - Both counts are equal and the rows are not: refused.
//! - The counts differ: rows came or went, or a count is wrong. The keys are read a second time. Rows in both readings
//!   were there when the second count was made, and nothing else was but rows in one of them, so that count must lie
//!   between the two numbers; otherwise refused. Rows of the second reading only came meanwhile (or were left out)
//!   and are fetched by their keys.
//! - A key that comes twice in one reading: refused. A short page does no harm, the next begins behind it.
//!
//! Memory: at most 40 bytes a row for the digests of keys, twice that when the counts differ.

use std::collections::HashSet;

use super::http::Http;
use super::rows::View;
use crate::guard::Refusal;
use crate::target::schema::Table;
use crate::target::{ScanProof, TargetError};
use crate::value::{Digest128, Row, Value, ValueRef, digest_row};

type Sink<'s> = &'s mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), TargetError>;

/// Hands out every row of `table`, whose pages follow `key`.
pub(super) fn scan(
    http: &Http,
    table: &Table,
    key: &[usize],
    row: Sink<'_>,
) -> Result<ScanProof, TargetError> {
    let columns: Vec<usize> = (0..table.columns.len()).collect();
    let view = View { http, table, columns: &columns };
    let count_before = view.count()?;
    let mut seen = Keys::new(table, key.to_vec());
    let mut pages = view.walk(key, &mut |values| {
        seen.insert(values)?;
        row(values)
    })?;
    let count_after = view.count()?;
    let mut rows = seen.count();
    if count_before != count_after {
        let (came, more) = second_reading(http, table, key, &seen, count_after)?;
        pages += more;
        rows += hand_out(&view, key, &came, row)?;
    } else if rows != count_before {
        return Err(incomplete(
            table,
            format!("{count_before} rows, as the server counted before and after"),
            format!("{rows} rows"),
        ));
    }
    Ok(ScanProof { rows, count_before, count_after, pages, snapshot: false })
}

/// Reads the keys again and checks the second count against what both readings have. The keys that only this one
/// has, and its pages.
fn second_reading(
    http: &Http,
    table: &Table,
    key: &[usize],
    first: &Keys<'_>,
    count: u64,
) -> Result<(Vec<Row>, u64), TargetError> {
    let view = View { http, table, columns: key };
    let mut second = Keys::new(table, (0..key.len()).collect());
    let mut came: Vec<Row> = Vec::new();
    let pages = view.walk(key, &mut |values| {
        if !first.seen.contains(&second.insert(values)?) {
            came.push(values.iter().map(|value| value.to_value()).collect());
        }
        Ok(())
    })?;
    let new = came.len() as u64;
    let (both, either) = (second.count() - new, first.count() + new);
    if (both..=either).contains(&count) {
        return Ok((came, pages));
    }
    Err(incomplete(
        table,
        format!("a count between {both} and {either}, the rows in both of two readings and in either"),
        format!("{count} rows, as the server counted between them"),
    ))
}

/// Fetches rows by their keys; those that are gone again are left out. The number of rows.
fn hand_out(view: &View<'_>, key: &[usize], keys: &[Row], row: Sink<'_>) -> Result<u64, TargetError> {
    let mut rows = 0;
    for keys in keys.chunks(1000) {
        for found in view.find(key, keys)?.into_iter().flatten() {
            row(&found.row.iter().map(Value::as_ref).collect::<Vec<_>>())?;
            rows += 1;
        }
    }
    Ok(rows)
}

/// The keys of one reading, by their digests.
struct Keys<'a> {
    table: &'a Table,
    /// Where the key is among the values.
    places: Vec<usize>,
    seen: HashSet<Digest128>,
    scratch: Vec<u8>,
}

impl<'a> Keys<'a> {
    fn new(table: &'a Table, places: Vec<usize>) -> Self {
        Self { table, places, seen: HashSet::new(), scratch: Vec::new() }
    }

    /// Notes a key that must be new.
    fn insert(&mut self, values: &[ValueRef<'_>]) -> Result<Digest128, TargetError> {
        let digest = digest_row(self.places.iter().map(|i| values[*i]), &mut self.scratch);
        if self.seen.insert(digest) {
            return Ok(digest);
        }
        let found = format!("row {} again has the key of one before", self.seen.len() + 1);
        Err(incomplete(self.table, "every key once".to_owned(), found))
    }

    fn count(&self) -> u64 {
        self.seen.len() as u64
    }
}

fn incomplete(table: &Table, expected: String, found: String) -> TargetError {
    Refusal::new(format!("the rows of {} cannot be shown to be complete", table.name), expected, found)
        .next("read again when fewer rows come and go; if it stays so, the server does not tell the truth")
        .into()
}
