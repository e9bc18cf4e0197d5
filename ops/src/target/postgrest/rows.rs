//! Rows of one table, read by pages and by keys.

use std::collections::{HashMap, HashSet};

use serde_json::value::RawValue;

use super::fault::{Class, Fault};
use super::http::{Answer, Http, Request};
use super::{query, wire};
use crate::guard::Refusal;
use crate::target::TargetError;
use crate::target::schema::{Column, Table};
use crate::value::{Digest128, Kind, Row, Value, ValueRef, digest_key, digest_row};

/// Rows that a page is asked for; the server may have a lower limit of its own.
const PAGE_ROWS: usize = 1000;

/// What every question about rows wishes for: times in UTC, whatever the role's time zone is.
const UTC: &str = "timezone=UTC";
/// The same, and how many rows there are whatever the server cuts off.
const UTC_COUNTED: &str = "timezone=UTC, count=exact";

/// The system column that tells one version of a row from the next.
const VERSION: &str = "xmin";

/// A row that was found by its key.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Over the columns that were asked for.
    pub(super) row: Row,
    /// Changes whenever the row is written; empty when it is not known.
    pub(super) version: String,
}

/// Some columns of one table.
pub(super) struct View<'a> {
    pub(super) http: &'a Http,
    pub(super) table: &'a Table,
    /// Which columns rows have, as indices into the table.
    pub(super) columns: &'a [usize],
}

impl<'a> View<'a> {
    /// A request about this table.
    pub(super) fn request(&self) -> Request<'a> {
        let schema = self.table.name.schema.as_deref();
        Request { path: query::path(self.table), schema, prefer: UTC, ..Request::default() }
    }

    pub(super) fn column(&self, position: usize) -> &'a Column {
        &self.table.columns[self.columns[position]]
    }

    fn names(&self) -> Vec<&'a str> {
        self.columns.iter().map(|i| self.table.columns[*i].name.as_str()).collect()
    }

    /// `select` for the columns of this view and the version.
    pub(super) fn select(&self) -> String {
        format!("{},{VERSION}", query::select(self.table, self.columns))
    }

    /// The rows of an answer; to [`View::select`] if they have versions.
    pub(super) fn found(&self, body: &[u8], have_versions: bool) -> Result<Vec<Found>, Fault> {
        let mut names = self.names();
        names.extend(have_versions.then_some(VERSION));
        let mut found = Vec::new();
        wire::rows::<Fault>(body, &names, &mut |cells, _| {
            let (cells, version) = cells.split_at(self.columns.len());
            let version = version.first().map(|version| version.get().trim_matches('"').to_owned());
            found.push(Found { row: self.row(cells)?, version: version.unwrap_or_default() });
            Ok(())
        })?;
        Ok(found)
    }

    fn row(&self, cells: &[&RawValue]) -> Result<Row, Fault> {
        let mut scratch = wire::Scratch::default();
        let cells = cells.iter().enumerate();
        cells.map(|(i, raw)| wire::cell(raw, self.column(i), &mut scratch).map(ValueRef::to_value)).collect()
    }

    /// How many rows the server says that the table has.
    pub(super) fn count(&self) -> Result<u64, TargetError> {
        let action = format!("count the rows of {}", self.table.name);
        let request = Request {
            method: reqwest::Method::HEAD,
            query: format!("{}&limit=0", query::select(self.table, &self.columns[..1])),
            prefer: "count=exact",
            ..self.request()
        };
        let answer = self.http.read(&request).map_err(|fault| fault.during(&action))?;
        let refusal = || {
            let found = format!("`{}`", answer.range);
            Refusal::new("the server does not say how many rows there are", "an exact count", found)
        };
        Ok(answer.total().ok_or_else(refusal)?)
    }

    /// Hands out every row in the order of `key`, page by page, each page beginning behind the last row of the one
    /// before, until a page is empty. How long a page is decides the server. Gives back the number of pages.
    pub(super) fn walk(
        &self,
        key: &[usize],
        row: &mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), TargetError>,
    ) -> Result<u64, TargetError> {
        let action = format!("read the rows of {}", self.table.name);
        let fixed = query::select(self.table, self.columns) + &query::order(self.table, key);
        let places: Vec<usize> = key.iter().map(|k| self.position(*k)).collect();
        let names = self.names();
        let mut scratch: Vec<wire::Scratch> = names.iter().map(|_| wire::Scratch::default()).collect();
        let (mut limit, mut pages, mut start) = (PAGE_ROWS, 0, String::new());
        loop {
            let request = Request { query: format!("{fixed}&limit={limit}{start}"), ..self.request() };
            let answer = match self.http.read(&request) {
                // Rows can be so wide that a page of them takes longer than the role's statement timeout.
                Err(fault) if fault.class == Class::TooSlow && limit > 1 => {
                    limit /= 2;
                    continue;
                }
                answer => answer.map_err(|fault| fault.during(&action))?,
            };
            if pages == 0 {
                self.require_utc(&answer)?;
            }
            pages += 1;
            let mut last: Row = Vec::new();
            let count = wire::rows::<TargetError>(&answer.body, &names, &mut |cells, is_last| {
                let each = cells.iter().zip(&mut scratch).enumerate();
                let values = each
                    .map(|(i, (raw, scratch))| wire::cell(raw, self.column(i), scratch))
                    .collect::<Result<Vec<_>, Fault>>()
                    .map_err(|fault| fault.during(&action))?;
                if is_last {
                    last.extend(places.iter().map(|i| values[*i].to_value()));
                }
                row(&values)
            })?;
            if count == 0 {
                return Ok(pages);
            }
            start = query::after(self.table, key, &last);
        }
    }

    /// Where a column of the table is among those of this view.
    pub(super) fn position(&self, column: usize) -> usize {
        self.columns.iter().position(|i| *i == column).expect("the key is among the columns")
    }

    /// Refuses columns whose text depends on the time zone when the server did not take ours.
    fn require_utc(&self, answer: &Answer) -> Result<(), TargetError> {
        let depends = |column: &&Column| {
            let name = &column.type_name;
            column.kind == Kind::TimestampTz
                || column.kind == Kind::Other && (name.contains("with time zone") || name.contains("tstz"))
        };
        let column = self.columns.iter().map(|i| &self.table.columns[*i]).find(depends);
        match column.filter(|_| !answer.applied.contains(UTC)) {
            None => Ok(()),
            Some(column) => Err(Refusal::new(
                format!("the times in column `{}` would be read in the role's own time zone", column.name),
                "a server that takes `Prefer: timezone=UTC`, such as PostgREST 12",
                "one that does not",
            )
            .into()),
        }
    }

    /// The rows with these keys, one entry a key. A NULL in a key finds nothing.
    pub(super) fn find(&self, key: &[usize], keys: &[Row]) -> Result<Vec<Option<Found>>, TargetError> {
        let places: Vec<usize> = key.iter().map(|k| self.position(*k)).collect();
        let whole: Vec<&Row> = keys.iter().filter(|key| !key.iter().any(Value::is_null)).collect();
        let mut found: HashMap<Digest128, Found> = HashMap::with_capacity(whole.len());
        let mut scratch = Vec::new();
        self.find_any(key, &whole, &mut |one| {
            let digest = digest_row(places.iter().map(|i| one.row[*i].as_ref()), &mut scratch);
            found.insert(digest, one);
        })?;
        let digests: Vec<Digest128> = keys.iter().map(|key| digest_key(key)).collect();
        let wanted: HashSet<&Digest128> = digests.iter().collect();
        let is_strange = found.keys().any(|digest| !wanted.contains(digest));
        let mut by_key: Vec<Option<Found>> =
            digests.iter().map(|digest| found.get(digest).cloned()).collect();
        // The database may take for equal what is spelled in two ways: then each key that is left is asked for alone.
        let is_left =
            |(one, key): &(&mut Option<Found>, &Row)| one.is_none() && !key.iter().any(Value::is_null);
        for (one, row) in by_key.iter_mut().zip(keys).filter(|pair| is_strange && is_left(pair)) {
            let filter = query::is_key(self.table, key, &row.iter().collect::<Vec<_>>());
            let (mut rows, _) = self.fetch(&filter)?;
            *one = rows.pop().filter(|_| rows.is_empty());
        }
        Ok(by_key)
    }

    /// The rows in which a column holds this value, all of them.
    pub(super) fn related(&self, column: usize, value: &Value) -> Result<Vec<Row>, TargetError> {
        if value.is_null() {
            return Ok(Vec::new());
        }
        let (rows, total) = self.fetch(&query::is_key(self.table, &[column], &[value]))?;
        if total != rows.len() as u64 {
            let found = format!("{} rows of {total}", rows.len());
            let name = &self.table.columns[column].name;
            return Err(Refusal::new(
                "the server leaves rows out",
                format!("every row of one `{name}`"),
                found,
            )
            .into());
        }
        let place = self.position(column);
        let rows = rows.into_iter().map(|found| found.row);
        Ok(rows.filter(|row| row[place].as_ref().same(value.as_ref())).collect())
    }

    /// Hands out the rows with any of these keys. Where the server cuts an answer, half as many are asked for.
    fn find_any(&self, key: &[usize], keys: &[&Row], each: &mut dyn FnMut(Found)) -> Result<(), TargetError> {
        for (filter, keys) in query::any_of(self.table, key, keys) {
            let (rows, total) = self.fetch(&filter)?;
            if total == rows.len() as u64 {
                rows.into_iter().for_each(&mut *each);
            } else if keys.len() > 1 {
                let (left, right) = keys.split_at(keys.len() / 2);
                self.find_any(key, left, each)?;
                self.find_any(key, right, each)?;
            } else {
                let found = format!("{} rows of {total}", rows.len());
                return Err(Refusal::new("the server leaves rows out", "one row a key", found).into());
            }
        }
        Ok(())
    }

    /// The rows that pass a filter, and how many the server says that there are.
    fn fetch(&self, filter: &str) -> Result<(Vec<Found>, u64), TargetError> {
        let action = format!("read rows of {}", self.table.name);
        let query = self.select() + filter;
        let answer = self.http.read(&Request { query, prefer: UTC_COUNTED, ..self.request() });
        let answer = answer.map_err(|fault| fault.during(&action))?;
        self.require_utc(&answer)?;
        let found = self.found(&answer.body, true).map_err(|fault| fault.during(&action))?;
        let total = answer.total().unwrap_or(u64::MAX);
        Ok((found, total))
    }
}

/// A filter on the version of a row, to go beside its key.
pub(super) fn is_version(version: &str) -> String {
    query::parameter(VERSION, &format!("eq.{version}"))
}

/// The query that only a table can answer: a view has no versions.
pub(super) fn version_probe() -> String {
    format!("&select={VERSION}&limit=0")
}
