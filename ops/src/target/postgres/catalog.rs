//! What the catalogue says of a table, by the very queries that `migrations/postgres/change_functions.sql` installs for
//! targets behind PostgREST.

use ::postgres::Transaction;
use serde::Deserialize;

use super::fault::Fault;
use crate::guard::Refusal;
use crate::target::schema::{Column, Origin, Table, TableName};
use crate::text::{alike, plural};
use crate::value::Kind;

const FUNCTIONS: &str = include_str!("../../../../migrations/postgres/change_functions.sql");

/// The body of the function that is quoted with `$tag$`.
fn body(tag: &str) -> &'static str {
    FUNCTIONS.split(&format!("${tag}$")).nth(1).expect("the functions are part of this program")
}

/// The name of a thing, as SQL text.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table with its schema, as SQL text.
pub(super) fn quoted(name: &TableName) -> String {
    let schema = name.schema.iter().map(|schema| quote(schema) + ".");
    schema.chain([quote(&name.name)]).collect()
}

#[derive(Deserialize)]
struct Catalogue {
    schema: String,
    name: String,
    primary_key: Vec<String>,
    unique: Vec<Vec<String>>,
    notes: Vec<String>,
    refusal: Option<WhyNot>,
}

#[derive(Deserialize)]
struct WhyNot {
    expected: String,
    found: String,
}

/// The table of that name, as this transaction sees it.
pub(super) fn table(tx: &mut Transaction<'_>, name: &TableName) -> Result<Table, Fault> {
    let Some(oid) = find(tx, name)? else { return Err(unknown(tx, name)?.into()) };
    let (columns, found) = describe(tx, oid)?;
    let name = TableName { schema: Some(found.schema), name: found.name };
    if let Some(why) = found.refusal {
        return Err(Refusal::new(format!("`{name}` cannot be changed"), why.expected, why.found).into());
    }
    let mut table = Table {
        name,
        columns: columns.into_iter().map(|c| c.column).collect(),
        primary_key: Vec::new(),
        unique: Vec::new(),
        notes: found.notes,
    };
    let places = |names: &[String]| names.iter().filter_map(|name| table.column(name)).collect::<Vec<_>>();
    (table.primary_key, table.unique) =
        (places(&found.primary_key), found.unique.iter().map(|key| places(key)).collect());
    Ok(table)
}

/// The relation, looked up along the search path of the session when no schema is given.
fn find(tx: &mut Transaction<'_>, name: &TableName) -> Result<Option<u32>, Fault> {
    let row = tx.query_one(
        "SELECT pg_catalog.to_regclass(pg_catalog.concat_ws('.', pg_catalog.quote_ident($1), \
         pg_catalog.quote_ident($2)))::oid",
        &[&name.schema, &name.name],
    )?;
    Ok(row.get(0))
}

/// With nothing but the catalogue on the search path every other type is printed with its schema, whatever path the
/// role has.
fn describe(tx: &mut Transaction<'_>, oid: u32) -> Result<(Vec<Facts>, Catalogue), Fault> {
    let mut tx = tx.transaction()?;
    tx.batch_execute("SET LOCAL search_path = pg_catalog, pg_temp")?;
    let columns = tx.query(body("columns"), &[&oid])?.iter().map(facts).collect::<Result<_, _>>()?;
    let found: String = tx.query_one(&format!("SELECT ({})::text", body("catalogue")), &[&oid])?.get(0);
    let found =
        serde_json::from_str(&found).map_err(|e| Fault::failed("read the catalogue", e.to_string()))?;
    tx.rollback()?;
    Ok((columns, found))
}

fn unknown(tx: &mut Transaction<'_>, name: &TableName) -> Result<Refusal, Fault> {
    let rows = tx.query(
        "SELECT n.nspname::text, c.relname::text, pg_catalog.pg_table_is_visible(c.oid) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'",
        &[],
    )?;
    let all: Vec<(String, TableName)> = rows
        .iter()
        .map(|row| {
            let is_visible: bool = row.get(2);
            let schema: String = row.get(0);
            let table = TableName { schema: (!is_visible).then_some(schema), name: row.get(1) };
            (table.name.clone(), table)
        })
        .collect();
    let near = alike(&name.name, all.iter().map(|(name, _)| name.as_str()));
    let shown = |table: &TableName| format!("`{table}`");
    let near: Vec<String> =
        all.iter().filter(|(name, _)| near.contains(&name.as_str())).map(|(_, t)| shown(t)).take(5).collect();
    let expected = match near.as_slice() {
        [] => format!("one of {}", plural(all.len() as u64, "table")),
        near => near.join(", "),
    };
    Ok(Refusal::new("there is no such table", expected, shown(name)))
}

/// A column, with what statements need to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) column: Column,
    /// The type below all domains, without a modifier: a cast to it neither cuts nor rounds.
    pub(super) base: String,
}

fn facts(row: &::postgres::Row) -> Result<Facts, Fault> {
    // These words are spelled in SQL as the library spells them.
    fn word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Fault> {
        serde_json::from_value(serde_json::Value::from(text))
            .map_err(|e| Fault::failed("read the catalogue", e.to_string()))
    }
    let column = Column {
        name: row.get(0),
        type_name: row.get(1),
        kind: word::<Kind>(row.get(3))?,
        nullable: row.get(4),
        default: row.get(5),
        origin: word::<Origin>(row.get(6))?,
    };
    Ok(Facts { column, base: row.get(2) })
}

/// The columns of a table that was read before. Refuses one that has changed since.
pub(super) fn columns(tx: &mut Transaction<'_>, table: &Table) -> Result<Vec<Facts>, Fault> {
    let found = match find(tx, &table.name)? {
        Some(oid) => describe(tx, oid)?.0,
        None => Vec::new(),
    };
    let as_before = found.iter().map(|facts| &facts.column).eq(&table.columns);
    if !as_before {
        let what = format!("the table `{}` is not as it was", table.name);
        let show = |columns: &mut dyn Iterator<Item = &Column>| {
            columns.map(|c| format!("{} {}", c.name, c.type_name)).collect::<Vec<_>>().join(", ")
        };
        let now = show(&mut found.iter().map(|facts| &facts.column));
        let now = if found.is_empty() { "no such table".to_owned() } else { now };
        return Err(Refusal::new(what, show(&mut table.columns.iter()), now).next("make a new plan").into());
    }
    Ok(found)
}

/// What triggers of a table may do to rows that are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Triggers {
    /// There are some that run before a row is stored.
    pub(super) before: bool,
    /// There are some that run after it.
    pub(super) after: bool,
}

/// The triggers of a table and of its partitions, but for those that hold foreign keys.
pub(super) fn triggers(tx: &mut Transaction<'_>, table: &TableName) -> Result<Triggers, Fault> {
    let row = tx.query_one(
        "SELECT coalesce(bool_or(g.tgtype & 2 > 0), false), coalesce(bool_or(g.tgtype & 2 = 0), false) \
         FROM pg_catalog.pg_trigger g, (SELECT $1::text::pg_catalog.regclass AS oid) t \
         WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' \
         AND (g.tgrelid = t.oid OR g.tgrelid IN (SELECT relid FROM pg_catalog.pg_partition_tree(t.oid)))",
        &[&quoted(table)],
    )?;
    Ok(Triggers { before: row.get(0), after: row.get(1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queries_are_those_of_the_functions() {
        for (tag, piece) in [("columns", "format_type(b.oid, -1)"), ("catalogue", "'primary_key'")] {
            assert!(
                body(tag).contains(piece) && body(tag).contains("$1") && !body(tag).contains(';'),
                "{tag}"
            );
        }
    }

    #[test]
    fn names_are_quoted() {
        let name = TableName { schema: Some("a\"b".into()), name: "T".into() };
        assert_eq!(quoted(&name), "\"a\"\"b\".\"T\"");
    }
}
