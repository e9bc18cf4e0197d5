//! A copy of a table in a schema of its own, with books of its own, in a database that somebody named for it.
//!
//! The schema says in a comment whose it is, and nothing without that comment is ever dropped. It comes first on the
//! search path of everything that works on the copy, so that no books of others are found.

use std::io::Write as _;

use ::postgres::{Client, Config, config::Host};
use secrecy::SecretString;

use super::blueprint::{Blueprint, Column, own_sequence};
use super::catalog::{quote, quoted};
use super::fault::Fault;
use super::value::write_text;
use super::{PostgresOptions, PostgresTarget, open};
use crate::db::postgres::{Access, Connection};
use crate::guard::Refusal;
use crate::target::schema::{Origin, Table, TableName};
use crate::target::scratch::{Made, Scratch};
use crate::target::{Target, TargetError};
use crate::url::{PostgresUrl, percent_decode};
use crate::value::{Row, Value};

const BOOKS: &str = include_str!("../../../../migrations/postgres/change_books.sql");

/// A copy in a schema of its own.
pub struct PostgresScratch {
    url: PostgresUrl,
    /// The database of the original; `None` where only an API of it is known.
    original: Option<PostgresUrl>,
    schema: String,
    /// What the schema says of itself.
    mark: String,
    table: Table,
    connection: Option<Connection>,
    blueprint: Blueprint,
    lacks: Vec<String>,
}

impl std::fmt::Debug for PostgresScratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresScratch")
            .field("url", &self.url)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

/// The schema of the copy that belongs to a plan.
fn schema(plan: &str) -> String {
    format!("ops_rehearsal_{}", plan.get(..12).unwrap_or(plan))
}

impl PostgresScratch {
    /// A copy of `table` for the plan of this id, in the database `url`.
    pub fn new(
        url: &PostgresUrl,
        original: Option<&PostgresUrl>,
        plan: &str,
        table: &Table,
    ) -> Result<Self, TargetError> {
        Ok(Self {
            url: url.clone(),
            original: original.cloned(),
            schema: schema(plan),
            mark: format!("clone of cargo xtask rehearse for plan {plan}"),
            table: table.clone(),
            connection: None,
            blueprint: Blueprint::default(),
            lacks: Vec::new(),
        })
    }

    fn options(&self) -> PostgresOptions {
        PostgresOptions { schema: Some(self.schema.clone()), ..PostgresOptions::default() }
    }

    /// Works on the copy's own connection, in as many transactions as the work likes.
    fn work<T>(
        &mut self,
        action: &str,
        work: impl FnOnce(&mut Client, &mut Vec<String>) -> Result<T, Fault>,
    ) -> Result<T, TargetError> {
        if self.connection.is_none() {
            let mut connection = open(&self.url, &self.options(), Access::Write)?;
            // Rows and indexes take as long as they take.
            let set = connection.client.batch_execute("SET statement_timeout = 0");
            set.map_err(|error| Fault::from(error).explain(&connection, action))?;
            self.connection = Some(connection);
        }
        let connection = self.connection.as_mut().expect("it was just opened");
        let done = work(&mut connection.client, &mut self.lacks);
        done.map_err(|fault| match fault.refused_row() {
            Some(reason) => TargetError::Rejected { reason },
            None => fault.explain(connection, action),
        })
    }

    fn name(&self) -> String {
        quoted(&self.table())
    }

    fn read_original(&self) -> Result<Blueprint, TargetError> {
        let Some(original) = &self.original else { return Ok(Blueprint::of_plan(&self.table)) };
        let mut connection = open(original, &PostgresOptions::default(), Access::Read)?;
        let read = connection.client.transaction().map_err(Fault::from);
        let read = read.and_then(|mut tx| Blueprint::of_catalogue(&mut tx, &self.table));
        read.map_err(|fault| fault.explain(&connection, "read the catalogue of the target"))
    }
}

/// The type that a column has in the copy: its own where this database has it, else the one below it, else text.
fn type_here(client: &mut Client, column: &Column, lacks: &mut Vec<String>) -> Result<String, Fault> {
    let mut exists = |name: &str| -> Result<bool, Fault> {
        Ok(client.query_one("SELECT pg_catalog.to_regtype($1) IS NOT NULL", &[&name])?.get(0))
    };
    if exists(&column.type_name)? {
        return Ok(column.type_name.clone());
    }
    let base = if exists(&column.base)? {
        column.base.clone()
    } else if column.type_name.ends_with("[]") {
        "text[]".to_owned()
    } else {
        "text".to_owned()
    };
    lacks.push(format!("type {}, which this database does not have", column.type_name));
    Ok(base)
}

/// The table, without defaults; computed columns are computed only if `computes`.
fn create_sql(name: &str, columns: &[(&Column, String)], computes: bool) -> String {
    let lines: Vec<String> = columns
        .iter()
        .map(|(column, type_name)| {
            let mut line = format!("{} {type_name}", quote(&column.name));
            if let Some(collation) = column.collation.as_ref().filter(|_| *type_name == column.type_name) {
                line.push_str(&format!(" COLLATE {collation}"));
            }
            match (column.origin, &column.expression) {
                (Origin::Computed, Some(expression)) if computes => {
                    line.push_str(&format!(" GENERATED ALWAYS AS ({expression}) STORED"));
                }
                (Origin::AlwaysNumbered, _) => line.push_str(" GENERATED ALWAYS AS IDENTITY"),
                (Origin::Numbered, _) => line.push_str(" GENERATED BY DEFAULT AS IDENTITY"),
                _ => {}
            }
            line + if column.not_null { " NOT NULL" } else { "" }
        })
        .collect();
    format!("CREATE TABLE {name} ({})", lines.join(", "))
}

/// Runs a statement that may fail, and then is noted as lacking.
fn attempt(client: &mut Client, sql: &str, what: &str, lacks: &mut Vec<String>) -> Result<bool, Fault> {
    match client.batch_execute(sql) {
        Ok(()) => Ok(true),
        Err(error) => match error.as_db_error().map(|db| db.code().code().to_owned()) {
            Some(code) => {
                lacks.push(format!("{what}, which cannot be made here (SQLSTATE {code})"));
                Ok(false)
            }
            None => Err(error.into()),
        },
    }
}

/// Drops the schema if it is ours; refuses to touch anybody else's.
fn drop_schema(client: &mut Client, schema: &str, mark: &str) -> Result<(), Fault> {
    let sql = "SELECT pg_catalog.obj_description(oid, 'pg_namespace') FROM pg_catalog.pg_namespace WHERE nspname = $1";
    let Some(found) = client.query_opt(sql, &[&schema])? else { return Ok(()) };
    let found: Option<String> = found.get(0);
    if found.as_deref() != Some(mark) {
        let what = "the schema of the clone is there already, and not ours";
        let found = found.unwrap_or_else(|| "no comment".to_owned());
        return Err(Refusal::new(what, format!("none, or the comment `{mark}`"), found)
            .next(format!("look at the schema `{schema}`"))
            .into());
    }
    Ok(client.batch_execute(&format!("DROP SCHEMA {} CASCADE", quote(schema)))?)
}

impl Scratch for PostgresScratch {
    fn place(&self) -> String {
        format!("the schema {} of {}", self.schema, crate::url::DbUrl::Postgres(self.url.clone()))
    }

    fn table(&self) -> TableName {
        TableName { schema: Some(self.schema.clone()), name: self.table.name.name.clone() }
    }

    fn create(&mut self) -> Result<(), TargetError> {
        self.blueprint = self.read_original()?;
        self.lacks = std::mem::take(&mut self.blueprint.lacks);
        let blueprint = std::mem::take(&mut self.blueprint);
        let (name, schema, mark) = (self.name(), self.schema.clone(), self.mark.clone());
        let made = self.work("make the clone", |client, lacks| {
            drop_schema(client, &schema, &mark)?;
            let schema = quote(&schema);
            client.batch_execute(&format!(
                "BEGIN; CREATE SCHEMA {schema}; COMMENT ON SCHEMA {schema} IS '{mark}'; \
                 REVOKE ALL ON SCHEMA {schema} FROM PUBLIC; COMMIT; {BOOKS}"
            ))?;
            let mut columns = Vec::new();
            for column in &blueprint.columns {
                columns.push((column, type_here(client, column, lacks)?));
            }
            let computes = "columns that are computed";
            if !attempt(client, &create_sql(&name, &columns, true), computes, lacks)? {
                client.batch_execute(&create_sql(&name, &columns, false))?;
            }
            Ok(())
        });
        self.blueprint = blueprint;
        made
    }

    fn load(&mut self, rows: &[Row]) -> Result<(), TargetError> {
        let columns = self.table.writable();
        let names: Vec<String> = columns.iter().map(|i| quote(&self.table.columns[*i].name)).collect();
        let sql = format!("COPY {} ({}) FROM STDIN", self.name(), names.join(", "));
        self.work("load the clone", |client, _| {
            let mut copy = client.copy_in(&sql)?;
            let (mut line, mut cell) = (Vec::new(), Vec::new());
            for row in rows {
                line.clear();
                for (n, column) in columns.iter().enumerate() {
                    if n > 0 {
                        line.push(b'\t');
                    }
                    write_cell(&row[*column], &mut cell, &mut line);
                }
                line.push(b'\n');
                copy.write_all(&line).map_err(|e| Fault::failed("load the clone", e.to_string()))?;
            }
            copy.finish()?;
            Ok(())
        })
    }

    fn finish(&mut self) -> Result<Made, TargetError> {
        let blueprint = std::mem::take(&mut self.blueprint);
        let (name, schema) = (self.name(), quote(&self.schema));
        self.work("finish the clone", |client, lacks| {
            for rule in &blueprint.rules {
                let sql = format!("{}{name}{}", rule.sql.0, rule.sql.1);
                attempt(client, &sql, &rule.name, lacks)?;
            }
            for (n, column) in blueprint.columns.iter().enumerate() {
                number(client, &name, &schema, (n, column), lacks)?;
            }
            client.batch_execute(&format!("ANALYZE {name}"))?;
            Ok(())
        })?;
        Ok(Made { lacks: std::mem::take(&mut self.lacks) })
    }

    fn open(&self) -> Result<Box<dyn Target>, TargetError> {
        Ok(Box::new(PostgresTarget::connect(&self.url, self.options())?))
    }

    fn forget(&mut self) -> Result<(), TargetError> {
        let schema = quote(&self.schema);
        let sql = format!("TRUNCATE {schema}.ops_change_runs, {schema}.ops_change_batches");
        self.work("remove the books of the clone", |client, _| Ok(client.batch_execute(&sql)?))
    }

    fn remove(&mut self) -> Result<(), TargetError> {
        let (schema, mark) = (self.schema.clone(), self.mark.clone());
        self.work("remove the clone", |client, _| drop_schema(client, &schema, &mark))?;
        self.connection = None;
        Ok(())
    }
}

/// Gives a column its default, with a sequence of its own that goes on where the original's is.
fn number(
    client: &mut Client,
    table: &str,
    schema: &str,
    (n, column): (usize, &Column),
    lacks: &mut Vec<String>,
) -> Result<(), Fault> {
    let name = quote(&column.name);
    let what = format!("the default of `{}`", column.name);
    let sequence = match (column.origin, &column.expression) {
        (Origin::Written, Some(expression)) => {
            let sequence = format!("{schema}.ops_sequence_{n}");
            let own = format!("nextval('{sequence}'::regclass)");
            let Some(made) = own_sequence(expression, &own) else {
                lacks.push(format!("{what}, which takes numbers from a sequence that is not the clone's"));
                return Ok(());
            };
            let has_sequence = made != *expression;
            if has_sequence {
                client.batch_execute(&format!("CREATE SEQUENCE {sequence}"))?;
            }
            attempt(
                client,
                &format!("ALTER TABLE {table} ALTER COLUMN {name} SET DEFAULT {made}"),
                &what,
                lacks,
            )?;
            if !has_sequence {
                return Ok(());
            }
            sequence
        }
        (Origin::Numbered | Origin::AlwaysNumbered, _) => {
            let sql = "SELECT pg_catalog.pg_get_serial_sequence($1, $2)";
            match client.query_one(sql, &[&table, &column.name])?.get::<_, Option<String>>(0) {
                Some(sequence) => sequence,
                None => return Ok(()),
            }
        }
        _ => return Ok(()),
    };
    let last = match column.last {
        Some(0) => return Ok(()),
        Some(last) => last.to_string(),
        None => format!("(SELECT max({name})::bigint FROM {table})"),
    };
    let set = format!("SELECT setval('{}', {last})", sequence.replace('\'', "''"));
    attempt(client, &set, &format!("the numbers of `{}`", column.name), lacks)?;
    Ok(())
}

/// A cell in the text form of COPY.
fn write_cell(value: &Value, cell: &mut Vec<u8>, out: &mut Vec<u8>) {
    if value.is_null() {
        out.extend_from_slice(b"\\N");
        return;
    }
    cell.clear();
    write_text(value, cell);
    for byte in cell.iter() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            byte => out.push(*byte),
        }
    }
}

/// What psql must find in its environment to connect to where the URL leads: nothing of it belongs into arguments.
pub fn psql_variables(url: &PostgresUrl) -> Vec<(&'static str, SecretString)> {
    let (location, query) = url.expose().split_once('?').unwrap_or((url.expose(), ""));
    let mut variables = Vec::new();
    let mut kept = Vec::new();
    for parameter in query.split('&') {
        match parameter.split_once('=') {
            Some((name @ ("sslmode" | "sslrootcert"), value)) => {
                let name = if name == "sslmode" { "PGSSLMODE" } else { "PGSSLROOTCERT" };
                variables.extend(percent_decode(value).map(|value| (name, SecretString::from(value))));
            }
            Some(_) => kept.push(parameter),
            None => {}
        }
    }
    let Ok(config) = format!("{location}?{}", kept.join("&")).parse::<Config>() else { return variables };
    let host = config.get_hosts().first().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    });
    let password = config.get_password().map(|password| String::from_utf8_lossy(password).into_owned());
    for (name, value) in [
        ("PGHOST", host),
        ("PGPORT", config.get_ports().first().map(ToString::to_string)),
        ("PGUSER", config.get_user().map(str::to_owned)),
        ("PGPASSWORD", password),
        ("PGDATABASE", config.get_dbname().map(str::to_owned)),
        ("PGOPTIONS", config.get_options().map(str::to_owned)),
    ] {
        variables.extend(value.map(|value| (name, SecretString::from(value))));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url::DbUrl;
    use secrecy::ExposeSecret;

    #[test]
    fn a_cell_survives_copy() {
        let cell = |value: &Value| {
            let mut out = Vec::new();
            write_cell(value, &mut Vec::new(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(cell(&Value::Null), "\\N");
        assert_eq!(cell(&Value::Text("\\N".into())), "\\\\N");
        assert_eq!(cell(&Value::Text("a\tb\nc\rd\\".into())), "a\\tb\\nc\\rd\\\\");
        assert_eq!(cell(&Value::Bytes(vec![0, 255])), "\\\\x00ff");
        assert_eq!(cell(&Value::Bool(true)), "true");
    }

    #[test]
    fn psql_gets_the_password_in_its_environment() {
        let text = "postgres://ann:s3cr%40t@db.example:5433/app?sslmode=verify-full&sslrootcert=/a%20b.pem";
        let DbUrl::Postgres(url) = DbUrl::parse(text, std::path::Path::new("/")).unwrap() else { panic!() };
        let found: Vec<String> = psql_variables(&url)
            .iter()
            .map(|(name, value)| format!("{name}={}", value.expose_secret()))
            .collect();
        assert_eq!(
            found,
            [
                "PGSSLMODE=verify-full",
                "PGSSLROOTCERT=/a b.pem",
                "PGHOST=db.example",
                "PGPORT=5433",
                "PGUSER=ann",
                "PGPASSWORD=s3cr@t",
                "PGDATABASE=app"
            ]
        );
    }
}
