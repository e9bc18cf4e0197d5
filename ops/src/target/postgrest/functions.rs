//! The functions of `migrations/postgres/change_functions.sql`, called through the API.
//!
//! With them a batch is one request and one transaction, compared and changed in bulk, with its outcomes in the books
//! of the same transaction. A batch that is in the books already is not applied again, so a request whose answer was
//! lost is sent again. Values travel as the text that PostgreSQL prints.

use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};

use super::fault::Fault;
use super::http::{Http, Request};
use super::{query, wire};
use crate::clock::Stamp;
use crate::guard::Refusal;
use crate::target::schema::{Column, Origin, Table, TableName};
use crate::target::{Batch, Change, Outcome, RecordedBatch, RunId, RunState, TargetError};
use crate::value::{Kind, Row, Value, ValueRef};

/// The version of the functions that this driver speaks.
pub(super) const VERSION: u64 = 1;

/// Batches that are asked for at once.
const RECORDED_MAX: usize = 200;

/// A question to a function that reads. Arguments go into the address, so it is a GET.
pub(super) fn question(function: &str, arguments: &[(&str, &str)]) -> Request<'static> {
    let query = arguments.iter().map(|(name, value)| query::parameter(name, value)).collect();
    Request { path: format!("/rpc/{function}"), query, ..Request::default() }
}

fn call(function: &str, arguments: &Json) -> Request<'static> {
    let body = arguments.to_string().into_bytes();
    Request { method: Method::POST, path: format!("/rpc/{function}"), body, ..Request::default() }
}

fn read<T: DeserializeOwned>(body: &[u8], function: &str) -> Result<T, Fault> {
    serde_json::from_slice(body)
        .map_err(|_| Fault::failed(format!("`{function}` answered in a form that is not known here")))
}

/// What every function that changes the books may say instead.
#[derive(Deserialize)]
#[serde(untagged)]
enum Held<T> {
    Lost { lost: String },
    Yes(T),
}

fn change<T: DeserializeOwned>(http: &Http, function: &str, arguments: &Json) -> Result<T, TargetError> {
    let action = format!("call `{function}`");
    // Beginning, renewing and closing twice is the same as once.
    let answer = http.write_again(&call(function, arguments)).map_err(|fault| fault.during(&action))?;
    match read(&answer.body, function).map_err(|fault| fault.during(&action))? {
        Held::Lost { lost } => Err(TargetError::Lost(lost)),
        Held::Yes(answer) => Ok(answer),
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Described {
    Missing {
        #[expect(dead_code, reason = "it is what tells this form from the other")]
        missing: bool,
        tables: Vec<String>,
    },
    Table {
        schema: String,
        name: String,
        columns: Vec<DescribedColumn>,
        primary_key: Vec<String>,
        unique: Vec<Vec<String>>,
        notes: Vec<String>,
        refusal: Option<Objection>,
    },
}

#[derive(Deserialize)]
struct DescribedColumn {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
    kind: Kind,
    nullable: bool,
    default: Option<String>,
    origin: Origin,
}

#[derive(Deserialize)]
struct Objection {
    expected: String,
    found: String,
}

/// The table as the catalogue has it.
pub(super) fn describe(http: &Http, name: &TableName) -> Result<Table, TargetError> {
    const FUNCTION: &str = "ops_change_describe";
    let mut arguments = vec![("table_name", name.name.as_str())];
    arguments.extend(name.schema.as_deref().map(|schema| ("schema_name", schema)));
    let action = format!("read what {name} looks like");
    let answer = http.read(&question(FUNCTION, &arguments)).map_err(|fault| fault.during(&action))?;
    match read(&answer.body, FUNCTION).map_err(|fault| fault.during(&action))? {
        Described::Missing { tables, .. } => Err(super::unknown(name, &tables).into()),
        Described::Table { refusal: Some(Objection { expected, found }), .. } => {
            Err(Refusal::new(format!("{name} cannot be changed"), expected, found).into())
        }
        Described::Table { schema, name, columns, primary_key, unique, notes, .. } => {
            let columns: Vec<Column> = columns.into_iter().map(DescribedColumn::into_column).collect();
            let place = |name: &String| {
                columns.iter().position(|column| column.name == *name).ok_or_else(|| {
                    TargetError::failed(action.as_str(), "a key has a column that is not there".to_owned())
                })
            };
            let places = |names: &Vec<String>| names.iter().map(place).collect::<Result<Vec<_>, _>>();
            let (primary_key, unique) =
                (places(&primary_key)?, unique.iter().map(places).collect::<Result<_, _>>()?);
            let name = TableName { schema: Some(schema), name };
            Ok(Table { name, columns, primary_key, unique, notes })
        }
    }
}

impl DescribedColumn {
    fn into_column(self) -> Column {
        let Self { name, type_name, kind, nullable, default, origin } = self;
        Column { name, type_name, kind, nullable, default, origin }
    }
}

#[derive(Deserialize)]
struct Begun {
    next: u64,
    closed: bool,
}

/// Takes the table for a run.
pub(super) fn begin(
    http: &Http,
    table: &Table,
    run: &RunId,
    owner: &str,
    now: Stamp,
    expires: Stamp,
) -> Result<RunState, TargetError> {
    let arguments = json!({
        "plan": run.plan, "direction": run.direction, "owner": owner, "table_name": table.name.name,
        "schema_name": table.name.schema, "at": now.iso(), "expires": expires.iso(),
    });
    let Begun { next, closed } = change(http, "ops_change_begin", &arguments)?;
    Ok(RunState { next, is_closed: closed })
}

/// Moves the end of the lease.
pub(super) fn renew(http: &Http, run: &RunId, owner: &str, expires: Stamp) -> Result<(), TargetError> {
    let arguments = json!({
        "plan": run.plan, "direction": run.direction, "owner": owner, "expires": expires.iso(),
    });
    change::<Map<String, Json>>(http, "ops_change_renew", &arguments).map(drop)
}

/// Gives the table back.
pub(super) fn close(http: &Http, run: &RunId, owner: &str, is_done: bool) -> Result<(), TargetError> {
    let arguments =
        json!({ "plan": run.plan, "direction": run.direction, "owner": owner, "is_done": is_done });
    change::<Map<String, Json>>(http, "ops_change_close", &arguments).map(drop)
}

#[derive(Deserialize)]
struct Applied {
    rows: u64,
    outcomes: Vec<Noted>,
}

/// An outcome that is not "applied as sent".
#[derive(Deserialize)]
struct Noted {
    at: usize,
    is: String,
    row: Option<Vec<Option<String>>>,
    reason: Option<String>,
}

/// Applies a batch in one request.
pub(super) fn apply(http: &Http, batch: &Batch<'_>, owner: &str) -> Result<Vec<Outcome>, TargetError> {
    const FUNCTION: &str = "ops_change_apply";
    // Told so, PostgREST does not read the whole body to find out.
    const ARGUMENTS: &str =
        "plan,direction,owner,table_name,schema_name,key_columns,columns,first,at,changes";
    let action = format!("change rows of {}", batch.table.name);
    let request = Request {
        method: Method::POST,
        path: format!("/rpc/{FUNCTION}"),
        query: format!("&columns={ARGUMENTS}"),
        body: body_of(batch, owner),
        ..Request::default()
    };
    let answer = http.write_again(&request).map_err(|fault| fault.during(&action))?;
    let Applied { rows, outcomes } = match read(&answer.body, FUNCTION) {
        Ok(Held::Lost { lost }) => return Err(TargetError::Lost(lost)),
        Ok(Held::Yes(applied)) => applied,
        Err(fault) => return Err(fault.during(&action)),
    };
    let columns: Vec<&Column> = batch.columns.iter().map(|i| &batch.table.columns[*i]).collect();
    let outcomes = expand(rows, outcomes, &columns).map_err(|fault| fault.during(&action))?;
    if outcomes.len() != batch.changes.len() {
        return Err(TargetError::failed(action, format!("{} outcomes came back", outcomes.len())));
    }
    Ok(outcomes)
}

/// The arguments, with the changes written out by hand: they are nearly all of it.
fn body_of(batch: &Batch<'_>, owner: &str) -> Vec<u8> {
    let names = |columns: &[usize]| -> Vec<&str> {
        columns.iter().map(|i| batch.table.columns[*i].name.as_str()).collect()
    };
    let arguments = json!({
        "plan": batch.run.plan, "direction": batch.run.direction, "owner": owner,
        "table_name": batch.table.name.name, "schema_name": batch.table.name.schema,
        "key_columns": names(batch.key), "columns": names(batch.columns), "first": batch.first,
        "at": batch.now.iso(),
    });
    let mut out = arguments.to_string().into_bytes();
    out.pop();
    out.extend_from_slice(b",\"changes\":[");
    for (n, change) in batch.changes.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        let (before, after) = match change {
            Change::Insert { .. } => (None, None),
            Change::Update { before, after } => (Some(before), Some(after)),
            Change::Delete { before } => (Some(before), None),
        };
        out.extend_from_slice(match change {
            Change::Insert { .. } => b"[\"i\",",
            Change::Update { .. } => b"[\"u\",",
            Change::Delete { .. } => b"[\"d\",",
        });
        write_row(before.map(|row| row.iter().map(Some)), &mut out);
        out.push(b',');
        match change {
            Change::Insert { after } => write_row(Some(after.iter().map(Option::as_ref)), &mut out),
            _ => write_row(after.map(|row| row.iter().map(Some)), &mut out),
        }
        out.push(b']');
    }
    out.extend_from_slice(b"]}");
    out
}

/// A row as an array of texts, `false` for a default; `null` for no row.
fn write_row<'v>(row: Option<impl Iterator<Item = Option<&'v Value>>>, out: &mut Vec<u8>) {
    let Some(row) = row else { return out.extend_from_slice(b"null") };
    out.push(b'[');
    for (n, value) in row.enumerate() {
        if n > 0 {
            out.push(b',');
        }
        match value {
            Some(value) => wire::write_text(value, out),
            None => out.extend_from_slice(b"false"),
        }
    }
    out.push(b']');
}

/// The values of a row of texts.
fn typed(row: &[Option<String>], columns: &[&Column]) -> Result<Row, Fault> {
    if row.len() != columns.len() {
        return Err(Fault::failed("a row of another length came back"));
    }
    let mut bytes = Vec::new();
    row.iter()
        .zip(columns)
        .map(|(text, column)| match text {
            None => Ok(Value::Null),
            Some(text) => wire::from_text(text, column, &mut bytes).map(ValueRef::to_value),
        })
        .collect()
}

/// One outcome for each of `rows` changes.
fn expand(rows: u64, noted: Vec<Noted>, columns: &[&Column]) -> Result<Vec<Outcome>, Fault> {
    let strange = || Fault::failed("outcomes came back in a form that is not known here");
    let rows = usize::try_from(rows).map_err(|_| strange())?;
    let mut outcomes = vec![Outcome::Applied { stored: None }; rows];
    for Noted { at, is, row, reason } in noted {
        let outcome = match (is.as_str(), row, reason) {
            ("applied", Some(row), _) => Outcome::Applied { stored: Some(typed(&row, columns)?) },
            ("already", ..) => Outcome::Already,
            ("drifted", row, _) => {
                Outcome::Drifted { found: row.as_deref().map(|row| typed(row, columns)).transpose()? }
            }
            ("failed", _, Some(reason)) => Outcome::Failed { reason },
            _ => return Err(strange()),
        };
        *outcomes.get_mut(at).ok_or_else(strange)? = outcome;
    }
    Ok(outcomes)
}

#[derive(Deserialize)]
struct Recorded {
    first: u64,
    rows: u64,
    outcomes: Vec<Noted>,
}

/// The batches of a run from position `from` on. Their rows are over the columns of the table that can be written.
pub(super) fn recorded(
    http: &Http,
    run: &RunId,
    from: u64,
    columns: &[&Column],
) -> Result<Vec<RecordedBatch>, TargetError> {
    const FUNCTION: &str = "ops_change_recorded";
    let action = "read the books";
    let mut batches: Vec<RecordedBatch> = Vec::new();
    let mut position = from;
    loop {
        let arguments = [
            ("plan", run.plan.as_str()),
            ("direction", &run.direction),
            ("position", &position.to_string()),
            ("batches_max", &RECORDED_MAX.to_string()),
        ];
        let answer = http.read(&question(FUNCTION, &arguments)).map_err(|fault| fault.during(action))?;
        let page: Vec<Recorded> = read(&answer.body, FUNCTION).map_err(|fault| fault.during(action))?;
        let is_last = page.len() < RECORDED_MAX;
        for Recorded { first, rows, outcomes } in page {
            position = first + rows.max(1);
            let outcomes = expand(rows, outcomes, columns).map_err(|f| f.during(action))?;
            batches.push(RecordedBatch { first, outcomes });
        }
        if is_last {
            return Ok(batches);
        }
    }
}

/// The table that a run is about; `None` when the books do not know the run.
pub(super) fn table_of(http: &Http, run: &RunId) -> Result<Option<TableName>, TargetError> {
    #[derive(Deserialize)]
    struct Run {
        table_name: String,
    }
    let action = "read the books";
    let filter = query::parameter("plan", &format!("eq.{}", run.plan))
        + &query::parameter("direction", &format!("eq.{}", run.direction));
    let path = query::path_of("ops_change_runs");
    let request = Request { path, query: format!("&select=table_name{filter}"), ..Request::default() };
    let answer = http.read(&request).map_err(|fault| fault.during(action))?;
    let runs: Vec<Run> = read(&answer.body, "ops_change_runs").map_err(|fault| fault.during(action))?;
    Ok(runs.first().and_then(|run| TableName::parse(&run.table_name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let column = |name: &str, type_name: &str, kind| Column {
            name: name.into(),
            type_name: type_name.into(),
            kind,
            nullable: true,
            default: None,
            origin: Origin::Written,
        };
        Table {
            name: TableName::parse("public.t").unwrap(),
            columns: vec![column("id", "bigint", Kind::Int), column("b\"", "bytea", Kind::Bytes)],
            primary_key: vec![0],
            unique: vec![],
            notes: vec![],
        }
    }

    #[test]
    fn a_batch_is_written_as_the_functions_read_it() {
        let (table, run) = (table(), RunId { plan: "p".into(), direction: "apply".into() });
        let row = |byte: u8| vec![Value::Int(1), Value::Bytes(vec![byte])];
        let changes = [
            Change::Insert { after: vec![Some(Value::Int(1)), None] },
            Change::Update { before: row(1), after: vec![Value::Int(1), Value::Null] },
            Change::Delete { before: row(2) },
        ];
        let now = Stamp::parse("2026-01-02T03:04:05Z").unwrap();
        let batch =
            Batch { table: &table, columns: &[0, 1], key: &[0], run: &run, first: 7, changes: &changes, now };
        let body: Json = serde_json::from_slice(&body_of(&batch, "me")).unwrap();
        let expected = json!({
            "plan": "p", "direction": "apply", "owner": "me", "table_name": "t", "schema_name": "public",
            "key_columns": ["id"], "columns": ["id", "b\""], "first": 7, "at": "2026-01-02T03:04:05Z",
            "changes": [
                ["i", null, ["1", false]],
                ["u", ["1", "\\x01"], ["1", null]],
                ["d", ["1", "\\x02"], null],
            ],
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn outcomes_are_read_as_the_functions_write_them() {
        let table = table();
        let columns: Vec<&Column> = table.columns.iter().collect();
        let read = |noted: Json| expand(5, serde_json::from_value(noted).unwrap(), &columns);
        let outcomes = read(json!([
            { "at": 1, "is": "applied", "row": ["1", null] }, { "at": 2, "is": "already" },
            { "at": 3, "is": "drifted", "row": null }, { "at": 4, "is": "failed", "reason": "SQLSTATE 23505" },
        ]));
        let stored = Some(vec![Value::Int(1), Value::Null]);
        let expected = [
            Outcome::Applied { stored: None },
            Outcome::Applied { stored },
            Outcome::Already,
            Outcome::Drifted { found: None },
            Outcome::Failed { reason: "SQLSTATE 23505".into() },
        ];
        assert_eq!(outcomes.unwrap(), expected);
        for bad in [
            json!([{ "at": 5, "is": "already" }]),
            json!([{ "at": 0, "is": "undone" }]),
            json!([{ "at": 0, "is": "failed" }]),
            json!([{ "at": 0, "is": "applied", "row": ["1"] }]),
            json!([{ "at": 0, "is": "applied", "row": ["x", null] }]),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
