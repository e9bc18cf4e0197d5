//! Reading some columns of the rows that pass filters, completely, without knowing the table: for watching.
//!
//! Pages follow the key. The server counts before and after, and a reading stands when both counts are the number of rows
//! and no key came twice; otherwise it is made again, because rows come while one reads, and after three times
//! it is refused. Every value is asked for as text, so none loses a digit.

use std::collections::HashSet;

use super::fault::{Class, Fault};
use super::http::Request;
use super::{Postgrest, query, wire};
use crate::guard::Refusal;
use crate::target::TargetError;
use crate::target::schema::{Column, Origin, Table, TableName};
use crate::value::{Kind, Value};

/// The text of each column; `None` is NULL.
type Line = Vec<Option<String>>;

/// Readings that are tried while rows come and go.
const READINGS: usize = 3;
/// Rows that a page is asked for; the server may have a lower limit of its own.
const PAGE_ROWS: usize = 1000;

/// Which rows, and what of them.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The table or view.
    pub table: &'a TableName,
    /// Columns of the answer, those of the key first.
    pub columns: &'a [&'a str],
    /// How many of them are the key.
    pub key: usize,
    /// A column and what PostgREST calls a filter: `gte.5`.
    pub filters: &'a [(String, String)],
}

impl Postgrest {
    /// All rows that pass the filters: the text of each column, `None` for NULL. Sends GET and HEAD only.
    pub fn read_all(&self, asked: &Asked<'_>) -> Result<Vec<Line>, TargetError> {
        let question = Question::new(self, asked);
        let mut seen = String::new();
        for _ in 0..READINGS {
            let before = question.count()?;
            let (rows, is_again) = question.walk()?;
            let after = question.count()?;
            let count = rows.len() as u64;
            if (before, after, is_again) == (count, count, false) {
                return Ok(rows);
            }
            let again = if is_again { ", one key twice" } else { "" };
            seen = format!("{count} rows{again}, counted {before} before and {after} after");
        }
        let what = format!("the rows of {} cannot be shown to be complete", asked.table);
        Err(Refusal::new(what, format!("one reading of {READINGS} that the counts agree with"), seen).into())
    }
}

/// A question made ready: the table is only as known as it was asked for.
struct Question<'a> {
    api: &'a Postgrest,
    table: Table,
    key: Vec<usize>,
    filters: String,
}

impl<'a> Question<'a> {
    fn new(api: &'a Postgrest, asked: &Asked<'_>) -> Self {
        let column = |name: &&str| Column {
            name: (*name).to_owned(),
            // Not known, so that it is read as text.
            type_name: String::new(),
            kind: Kind::Text,
            nullable: true,
            default: None,
            origin: Origin::Written,
        };
        let columns = asked.columns.iter().map(column).collect();
        let table = Table {
            name: asked.table.clone(),
            columns,
            primary_key: Vec::new(),
            unique: Vec::new(),
            notes: Vec::new(),
        };
        let filters = asked.filters.iter().map(|(column, filter)| query::parameter(column, filter)).collect();
        Self { api, table, key: (0..asked.key).collect(), filters }
    }

    fn request(&self, query: String, prefer: &'a str) -> Request<'_> {
        let schema = self.table.name.schema.as_deref();
        Request { path: query::path(&self.table), query, schema, prefer, ..Request::default() }
    }

    fn count(&self) -> Result<u64, TargetError> {
        let query = format!("{}{}&limit=0", query::select(&self.table, &[0]), self.filters);
        let request = Request { method: reqwest::Method::HEAD, ..self.request(query, "count=exact") };
        let action = format!("count rows of {}", self.table.name);
        let answer = self.api.http.read(&request).map_err(|fault| fault.during(&action))?;
        let refusal = || {
            let found = format!("`{}`", answer.range);
            Refusal::new("the server does not say how many rows there are", "an exact count", found)
        };
        Ok(answer.total().ok_or_else(refusal)?)
    }

    /// All rows, page by page, and whether it ended because a key came again.
    fn walk(&self) -> Result<(Vec<Line>, bool), TargetError> {
        let action = format!("read rows of {}", self.table.name);
        let all: Vec<usize> = (0..self.table.columns.len()).collect();
        let names: Vec<&str> = self.table.columns.iter().map(|column| column.name.as_str()).collect();
        let fixed = query::select(&self.table, &all) + &self.filters + &query::order(&self.table, &self.key);
        let (mut limit, mut start) = (PAGE_ROWS, String::new());
        let (mut rows, mut keys): (Vec<Line>, _) = (Vec::new(), HashSet::new());
        loop {
            let request = self.request(format!("{fixed}&limit={limit}{start}"), "timezone=UTC");
            let answer = match self.api.http.read(&request) {
                Err(fault) if fault.class == Class::TooSlow && limit > 1 => {
                    limit /= 2;
                    continue;
                }
                answer => answer.map_err(|fault| fault.during(&action))?,
            };
            let count = wire::rows::<Fault>(&answer.body, &names, &mut |cells, _| {
                let text = |raw: &&serde_json::value::RawValue| serde_json::from_str(raw.get());
                let row = cells.iter().map(text).collect::<Result<Line, _>>();
                rows.push(row.map_err(|_| Fault::failed("a value is not the text that was asked for"))?);
                Ok(())
            });
            let count = count.map_err(|fault| fault.during(&action))?;
            let page = &rows[rows.len() - count..];
            // A server that gives the same page for ever would be followed for ever.
            let is_again = !page.iter().all(|row| keys.insert(row[..self.key.len()].to_vec()));
            if count == 0 || is_again {
                return Ok((rows, is_again));
            }
            let last = rows.last().map(|row| &row[..self.key.len()]).unwrap_or_default();
            let last: Option<Vec<Value>> = last.iter().cloned().map(|text| text.map(Value::Text)).collect();
            let Some(last) = last else {
                let what = format!("a row of {} has no key", self.table.name);
                return Err(Refusal::new(what, "columns without NULL", "NULL").into());
            };
            start = query::after(&self.table, &self.key, &last);
        }
    }
}
