//! Changing rows through PostgREST, the REST API of Supabase: for whoever has no connection to the database itself.
//!
//! Reading sends GET and HEAD and nothing else. Nothing rests on `Prefer: tx=rollback`, which commits on most servers, on
//! the length of a page, or on a status alone. With the functions of `migrations/postgres/change_functions.sql` a batch is
//! one transaction with its books; without them each row is compared and changed by requests of its own, and
//! there are no books: that a plan is applied once then rests on the journal of whoever applies it.

mod call;
mod edge;
mod fault;
mod functions;
mod http;
mod key;
mod openapi;
mod query;
mod question;
mod rows;
mod scan;
mod wire;
mod write;

use std::fmt;

use fault::{Class, Fault};
use http::{Http, Request};
use rows::View;
use write::Made;

pub use call::{Called, Caller};
pub use edge::EdgeFunctions;
pub use http::PostgrestOptions;
pub(crate) use http::{innermost, tls};
pub use key::ApiKey;
pub use question::Asked;

use super::schema::{Column, Table, TableName};
use super::{
    Batch, Capabilities, Change, Outcome, RecordedBatch, RunId, RunState, ScanProof, Target, TargetError,
    TargetIdentity,
};
use crate::clock::Stamp;
use crate::db::{LINEAGE_TABLE, Lineage};
use crate::guard::Refusal;
use crate::ids::sha256;
use crate::text::alike;
use crate::url::PostgrestUrl;
use crate::value::{Row, Value, ValueRef};

/// A Supabase project or another PostgREST server.
pub struct Postgrest {
    http: Http,
    url: String,
    project: Option<String>,
    has_functions: bool,
    /// Who began the run, and the table that it is about.
    run: Option<(String, Table)>,
    made: Made,
}

impl fmt::Debug for Postgrest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgrest").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Postgrest {
    /// Finds the API below `url` and whether the database has the functions. Sends one or two GETs.
    pub fn open(url: &PostgrestUrl, key: &ApiKey, options: &PostgrestOptions) -> Result<Self, TargetError> {
        let action = format!("find the API of {url}");
        let mut missing = None;
        for root in url.roots() {
            let http = Http::new(root, key, options).map_err(|fault| fault.during(&action))?;
            let has_functions = match http.knock(&functions::question("ops_change_version", &[])) {
                Ok(answer) => require_version(&answer.body)?,
                Err(fault) if fault.code == "PGRST202" => false,
                Err(fault) if fault.status == 404 => {
                    missing = Some(fault);
                    continue;
                }
                Err(fault) => return Err(fault.during(&action)),
            };
            let project = url.project().or_else(|| key.project()).map(str::to_owned);
            let (run, made) = (None, Made::default());
            return Ok(Self { http, url: url.to_string(), project, has_functions, run, made });
        }
        Err(missing.unwrap_or_else(|| Fault::failed("there is no address to try")).during(&action))
    }

    fn lineage(&self) -> Result<Option<Lineage>, TargetError> {
        let request = Request {
            path: query::path_of(LINEAGE_TABLE),
            query: "&select=lineage,purpose,stamped_at&limit=2".to_owned(),
            ..Request::default()
        };
        let action = "read the lineage";
        let answer = match self.http.read(&request) {
            // Not there, not exposed, or not granted.
            Err(Fault { class: Class::Stale, .. }) => return Ok(None),
            Err(fault) if fault.code == "42501" || fault.status == 404 => return Ok(None),
            answer => answer.map_err(|fault| fault.during(action))?,
        };
        let mut rows: Vec<LineageRow> = serde_json::from_slice(&answer.body)
            .map_err(|_| Fault::failed("its table is not the one of these tools").during(action))?;
        let LineageRow { lineage: id, purpose, stamped_at } = match (rows.pop(), rows.is_empty()) {
            (Some(row), true) => row,
            (None, _) => return Ok(None),
            (Some(_), false) => return Err(Fault::failed("it has more than one row").during(action)),
        };
        Ok(Some(Lineage { id, purpose, stamped_at }))
    }

    /// The table as the API describes it, if it is one.
    fn described(&self, name: &TableName) -> Result<Table, TargetError> {
        let action = format!("read what {name} looks like");
        let request = Request {
            path: "/".to_owned(),
            accept: "application/openapi+json",
            schema: name.schema.as_deref(),
            ..Request::default()
        };
        let answer = self.http.read(&request).map_err(|fault| fault.during(&action))?;
        let description = openapi::Description::read(&answer.body).map_err(|fault| fault.during(&action))?;
        let table = match description.find(name) {
            openapi::Found::Table(table) => table,
            openapi::Found::ReadOnly => {
                return Err(not_a_table(name, "a view that cannot be written to").into());
            }
            openapi::Found::Missing(names) => return Err(unknown(name, &names).into()),
        };
        let view = View { http: &self.http, table: &table, columns: &[] };
        let request = Request { query: rows::version_probe(), ..view.request() };
        match self.http.read(&request) {
            Ok(_) => Ok(table),
            Err(fault) if fault.code == "42703" => Err(not_a_table(name, "a view").into()),
            Err(fault) => Err(fault.during(&action)),
        }
    }
}

#[derive(serde::Deserialize)]
struct LineageRow {
    lineage: String,
    purpose: String,
    stamped_at: String,
}

/// The key that pages follow.
fn paging_key(table: &Table) -> Result<&[usize], TargetError> {
    let unique = table.unique.iter().find(|key| table.is_key(key));
    let key = Some(&table.primary_key).filter(|key| !key.is_empty()).or(unique);
    let refusal = || {
        let what = format!("{} cannot be read completely through the API", table.name);
        Refusal::new(what, "a primary key, or a unique key without NULLs, to page by", "none")
    };
    Ok(key.ok_or_else(refusal)?)
}

/// Functions of another version would be given what they do not understand.
fn require_version(body: &[u8]) -> Result<bool, TargetError> {
    let found: Option<u64> = serde_json::from_slice(body).ok();
    if found == Some(functions::VERSION) {
        return Ok(true);
    }
    let found = found.map_or_else(|| "something else".to_owned(), |version| format!("version {version}"));
    let expected = format!("version {}", functions::VERSION);
    Err(Refusal::new("the functions in the database are not those of this program", expected, found)
        .next("install migrations/postgres/change_functions.sql again")
        .into())
}

/// A row that gets another key would be a row that was not looked at.
fn require_same_keys(batch: &Batch<'_>) -> Result<(), Refusal> {
    let place = |key: &usize| batch.columns.iter().position(|column| column == key);
    let places: Option<Vec<usize>> = batch.key.iter().map(place).collect();
    let Some(places) = places.filter(|places| !places.is_empty()) else {
        return Err(Refusal::new("a batch cannot be applied", "its key among its columns", "another key"));
    };
    for (at, change) in batch.changes.iter().enumerate() {
        let Change::Update { before, after } = change else { continue };
        if places.iter().any(|i| !before[*i].as_ref().same(after[*i].as_ref())) {
            let found = format!("another key in change {}", batch.first + at as u64);
            return Err(Refusal::new("an update must keep its key", "the key of the row as it was", found));
        }
    }
    Ok(())
}

fn not_a_table(name: &TableName, found: &str) -> Refusal {
    Refusal::new(format!("{name} cannot be changed"), "a table", found)
}

/// A table that is not there, and those that look like it.
fn unknown(name: &TableName, tables: &[String]) -> Refusal {
    // With and without their schemas, as they were asked for.
    let wanted = name.to_string();
    let alike = alike(
        &wanted,
        tables.iter().map(|table| match name.schema {
            Some(_) => table.as_str(),
            None => table.rsplit('.').next().unwrap_or_default(),
        }),
    );
    let expected = match alike.as_slice() {
        [] => "a table that the API shows".to_owned(),
        alike => alike.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    };
    Refusal::new("there is no such table", expected, format!("`{name}`"))
        .next("if it was made just now: NOTIFY pgrst, 'reload schema'")
}

impl Target for Postgrest {
    fn identity(&mut self) -> Result<TargetIdentity, TargetError> {
        let mut facts = format!("postgrest {}", self.url);
        if let Some(project) = &self.project {
            facts.push_str(&format!(" {project}"));
        }
        Ok(TargetIdentity {
            driver: "postgrest".to_owned(),
            url: self.url.clone(),
            fingerprint: sha256(facts.as_bytes())[..12].to_owned(),
            lineage: self.lineage()?,
        })
    }

    fn capabilities(&self) -> Capabilities {
        let mut limits = vec![
            "reads are no snapshot: rows that change meanwhile are seen before or after, and found out when \
             they are changed",
            "a rollback is one transaction a batch, not one for the plan",
            "no query can be measured for a throttle",
        ];
        if !self.has_functions {
            limits[1] = "a batch is not one transaction, and neither is a rollback: each row is";
            limits.extend([
                "no books in the target: that a plan is applied once rests on the journal alone",
                "no lock in the target: nothing keeps another machine from changing the same table",
                "unique keys, foreign keys, triggers, identity and generated columns are not known; rows are found by \
                 the primary key only, and a write to such a column fails",
                "row-level security is not known: the service role is trusted to see every row",
                "a JSON null cannot be written",
                "with migrations/postgres/change_functions.sql in the database a batch is one transaction with books and \
                 locks, and the catalogue is known",
            ]);
        }
        Capabilities {
            snapshot: false,
            books_in_target: self.has_functions,
            atomic_batches: self.has_functions,
            atomic_rollback: false,
            batch_rows_max: if self.has_functions { 2000 } else { 1000 },
            limits: limits.into_iter().map(str::to_owned).collect(),
        }
    }

    fn table(&mut self, name: &TableName) -> Result<Table, TargetError> {
        if self.has_functions { functions::describe(&self.http, name) } else { self.described(name) }
    }

    fn scan(
        &mut self,
        table: &Table,
        row: &mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), TargetError>,
    ) -> Result<ScanProof, TargetError> {
        scan::scan(&self.http, table, paging_key(table)?, row)
    }

    fn read(&mut self, table: &Table, key: &[usize], keys: &[Row]) -> Result<Vec<Option<Row>>, TargetError> {
        let columns: Vec<usize> = (0..table.columns.len()).collect();
        let view = View { http: &self.http, table, columns: &columns };
        let found = view.find(key, keys)?.into_iter().zip(keys);
        // A collation may take another spelling for the same key; whoever asks means this one.
        let is_exact = |row: &Row, wanted: &Row| {
            key.iter().zip(wanted).all(|(i, value)| row[*i].as_ref().same(value.as_ref()))
        };
        let exact = |(found, wanted): (Option<rows::Found>, &Row)| {
            found.map(|found| found.row).filter(|row| is_exact(row, wanted))
        };
        Ok(found.map(exact).collect())
    }

    fn begin(
        &mut self,
        table: &Table,
        run: &RunId,
        owner: &str,
        now: Stamp,
        expires: Stamp,
    ) -> Result<RunState, TargetError> {
        self.run = Some((owner.to_owned(), table.clone()));
        if self.has_functions {
            return functions::begin(&self.http, table, run, owner, now, expires);
        }
        Ok(RunState { next: 0, is_closed: false })
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<Vec<Outcome>, TargetError> {
        if batch.changes.is_empty() {
            return Ok(Vec::new());
        }
        require_same_keys(batch)?;
        if !self.has_functions {
            return write::apply(&self.http, batch, &mut self.made);
        }
        let owner = self.run.as_ref().map_or("", |(owner, _)| owner);
        functions::apply(&self.http, batch, owner)
    }

    fn recorded(&mut self, run: &RunId, from: u64) -> Result<Vec<RecordedBatch>, TargetError> {
        if !self.has_functions {
            return Ok(Vec::new());
        }
        let table = match &self.run {
            Some((_, table)) => table.clone(),
            None => match functions::table_of(&self.http, run)? {
                Some(name) => self.table(&name)?,
                None => return Ok(Vec::new()),
            },
        };
        let columns: Vec<&Column> = table.writable().into_iter().map(|i| &table.columns[i]).collect();
        functions::recorded(&self.http, run, from, &columns)
    }

    fn renew(&mut self, run: &RunId, owner: &str, expires: Stamp) -> Result<(), TargetError> {
        if self.has_functions { functions::renew(&self.http, run, owner, expires) } else { Ok(()) }
    }

    fn close(&mut self, run: &RunId, owner: &str, is_done: bool) -> Result<(), TargetError> {
        if self.has_functions { functions::close(&self.http, run, owner, is_done) } else { Ok(()) }
    }

    fn related(&mut self, table: &Table, column: usize, value: &Value) -> Result<Vec<Row>, TargetError> {
        let columns: Vec<usize> = (0..table.columns.len()).collect();
        View { http: &self.http, table, columns: &columns }.related(column, value)
    }

    fn measure(&mut self, _sql: &str) -> Result<f64, TargetError> {
        Err(Refusal::new(
            "a REST API does not run queries",
            "a target that does, or a throttle without one",
            self.url.clone(),
        )
        .next("limit the rows per second, or watch a pause file that another program makes")
        .into())
    }
}
