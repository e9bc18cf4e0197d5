//! What SQLite's catalogue says of a table, for readers (its columns and keys) and for writers (how it stores).

use rusqlite::{Connection, OptionalExtension};

use super::cell::Affinity;
use super::error::failed;
use crate::guard::Refusal;
use crate::target::TargetError;
use crate::target::schema::{Column, Origin, Table, TableName};
use crate::text::{alike, plural};
use crate::value::Kind;

/// What the list of tables says of one.
struct Entry {
    name: String,
    kind: String,
    has_rowid: bool,
    is_strict: bool,
}

/// The table as it is now.
pub(super) fn table(conn: &Connection, name: &TableName) -> Result<Table, TargetError> {
    let not_read = |e| failed(format!("read the schema of `{name}`"), e);
    if let Some(schema) = name.schema.as_deref().filter(|schema| !schema.eq_ignore_ascii_case("main")) {
        let found = format!("schema `{schema}`");
        return Err(Refusal::new("a SQLite file has one schema", "`main`, or no schema", found).into());
    }
    let Some(entry) = entry(conn, &name.name).map_err(not_read)? else {
        return Err(unknown(conn, &name.name).map_err(not_read)?.into());
    };
    if entry.kind != "table" || entry.name.starts_with("sqlite_") {
        let found = match entry.kind.as_str() {
            "view" => "a view",
            "virtual" => "a virtual table",
            "shadow" => "a table that belongs to a virtual table",
            _ => "a table of SQLite itself",
        };
        let what = format!("`{}` cannot be changed by a plan", entry.name);
        return Err(Refusal::new(what, "an ordinary table", found).into());
    }
    describe(conn, &entry).map_err(not_read)
}

fn entry(conn: &Connection, name: &str) -> rusqlite::Result<Option<Entry>> {
    let sql = "SELECT name, type, NOT wr, strict FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE";
    conn.query_row(sql, [name], |row| {
        Ok(Entry { name: row.get(0)?, kind: row.get(1)?, has_rowid: row.get(2)?, is_strict: row.get(3)? })
    })
    .optional()
}

fn unknown(conn: &Connection, name: &str) -> rusqlite::Result<Refusal> {
    let sql = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'
        AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'ops\\_%' ESCAPE '\\' ORDER BY name";
    let names: Vec<String> = conn.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let alike = alike(name, names.iter().map(String::as_str));
    let expected = match alike.as_slice() {
        [] => plural(names.len() as u64, "table"),
        alike => alike.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    };
    let expected = format!("one of those that are there: {expected}");
    Ok(Refusal::new("there is no such table", expected, format!("`{name}`")))
}

/// A unique index that holds for every row: its columns, and the collation by which it compares each.
struct Unique {
    is_primary: bool,
    columns: Vec<usize>,
    collations: Vec<String>,
}

fn describe(conn: &Connection, entry: &Entry) -> rusqlite::Result<Table> {
    let uniques = uniques(conn, &entry.name)?;
    let (columns, primary_key) = columns(conn, entry, uniques.iter().any(|index| index.is_primary))?;
    let mut unique: Vec<Vec<usize>> = uniques
        .into_iter()
        .filter(|index| !index.is_primary && index.columns != primary_key)
        .map(|index| index.columns)
        .collect();
    unique.sort_unstable();
    unique.dedup();
    let notes = notes(conn, &entry.name)?;
    let name = TableName { schema: None, name: entry.name.clone() };
    Ok(Table { name, columns, primary_key, unique, notes })
}

fn columns(
    conn: &Connection,
    entry: &Entry,
    has_key_index: bool,
) -> rusqlite::Result<(Vec<Column>, Vec<usize>)> {
    let sql = "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1, 'main') ORDER BY cid";
    let mut key: Vec<(usize, usize)> = Vec::new();
    let mut columns = Vec::new();
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([&entry.name])?;
    while let Some(row) = rows.next()? {
        let type_name: String = row.get(1)?;
        let place: usize = row.get(4)?;
        if place > 0 {
            key.push((place, columns.len()));
        }
        // An INTEGER PRIMARY KEY is the rowid itself unless it needed an index of its own.
        let is_rowid =
            place > 0 && entry.has_rowid && !has_key_index && type_name.eq_ignore_ascii_case("INTEGER");
        let origin = match row.get::<_, i64>(5)? {
            2 | 3 => Origin::Computed,
            _ if is_rowid => Origin::Numbered,
            _ => Origin::Written,
        };
        columns.push(Column {
            name: row.get(0)?,
            kind: kind(&type_name, entry.is_strict),
            type_name,
            nullable: !row.get::<_, bool>(2)? && !is_rowid,
            default: row.get(3)?,
            origin,
        });
    }
    key.sort_unstable();
    Ok((columns, key.into_iter().map(|(_, column)| column).collect()))
}

/// Only a STRICT table promises what its columns hold.
fn kind(type_name: &str, is_strict: bool) -> Kind {
    match type_name.to_ascii_uppercase().as_str() {
        _ if !is_strict => Kind::Any,
        "INT" | "INTEGER" => Kind::Int,
        "REAL" => Kind::Real,
        "TEXT" => Kind::Text,
        "BLOB" => Kind::Bytes,
        _ => Kind::Any,
    }
}

/// The unique indexes without a condition and without expressions.
fn uniques(conn: &Connection, table: &str) -> rusqlite::Result<Vec<Unique>> {
    let mut found = Vec::new();
    let mut list = conn
        .prepare("SELECT name, origin FROM pragma_index_list(?1, 'main') WHERE \"unique\" AND NOT partial")?;
    let mut indexes = list.query([table])?;
    while let Some(index) = indexes.next()? {
        let name: String = index.get(0)?;
        let parts = conn
            .prepare("SELECT cid, coll FROM pragma_index_xinfo(?1, 'main') WHERE key ORDER BY seqno")?
            .query_map([&name], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        // Negative numbers are the rowid and expressions.
        let columns: Option<Vec<usize>> = parts.iter().map(|(cid, _)| usize::try_from(*cid).ok()).collect();
        if let Some(columns) = columns {
            let collations = parts.into_iter().map(|(_, collation)| collation).collect();
            found.push(Unique { is_primary: index.get::<_, String>(1)? == "pk", columns, collations });
        }
    }
    Ok(found)
}

/// What else happens when a row of the table changes.
fn notes(conn: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut notes: Vec<String> = conn
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE ORDER BY name")?
        .query_map([table], |row| Ok(format!("trigger `{}` runs when rows change", row.get::<_, String>(0)?)))?
        .collect::<Result<_, _>>()?;
    let sql = "SELECT DISTINCT m.name, f.on_delete, f.on_update FROM sqlite_schema m, pragma_foreign_key_list(m.name, 'main') f
        WHERE m.type = 'table' AND f.\"table\" = ?1 COLLATE NOCASE ORDER BY 1, 2, 3";
    let mut statement = conn.prepare(sql)?;
    let mut keys = statement.query([table])?;
    while let Some(row) = keys.next()? {
        let child: String = row.get(0)?;
        for (event, action) in [("deleting", row.get::<_, String>(1)?), ("updating", row.get(2)?)] {
            if ["CASCADE", "SET NULL", "SET DEFAULT"].contains(&action.as_str()) {
                notes.push(format!("{event} rows changes rows of `{child}` (foreign key, {action})"));
            }
        }
    }
    Ok(notes)
}

/// How values of a key are compared with `=`: an expression a column, which the index on the key can answer. It
/// may find rows that are not exactly the same; it finds all that are.
pub(super) fn key_condition(conn: &Connection, table: &Table, key: &[usize]) -> Result<String, TargetError> {
    let uniques = uniques(conn, &table.name.name).map_err(|e| failed("read the indexes of the table", e))?;
    let place = |index: &Unique, column: usize| index.columns.iter().position(|c| *c == column);
    let index = uniques.iter().find(|index| {
        index.columns.len() == key.len() && key.iter().all(|column| place(index, *column).is_some())
    });
    let mut conditions = Vec::new();
    for (number, column) in key.iter().enumerate() {
        let name = quote(&table.columns[*column].name);
        let collation = index.and_then(|index| Some(&index.collations[place(index, *column)?]));
        let collate = collation.map_or(String::new(), |name| format!(" COLLATE {}", quote(name)));
        conditions.push(format!("{name}{collate} = ?{}", number + 1));
    }
    Ok(conditions.join(" AND "))
}

/// What writing into a table needs to know, valid for one version of the schema.
#[derive(Debug)]
pub(super) struct Facts {
    version: i64,
    /// The table that these facts are of.
    digest: String,
    key: Vec<usize>,
    /// See [`key_condition`].
    pub(super) condition: String,
    /// One a column of the table.
    pub(super) affinities: Vec<Affinity>,
    /// The text of its triggers.
    pub(super) triggers: String,
    /// Whether triggers or foreign keys may change a row behind a statement that wrote it.
    pub(super) has_echo: bool,
}

impl Facts {
    /// The facts of `table` and of finding rows by `key`, read anew when the schema changed; refused when the table
    /// did.
    pub(super) fn refresh<'a>(
        facts: &'a mut Option<Self>,
        conn: &Connection,
        table: &Table,
        key: &[usize],
    ) -> Result<&'a Self, TargetError> {
        let not_read = |e| failed("read the schema of the table", e);
        let version: i64 =
            conn.pragma_query_value(None, "schema_version", |row| row.get(0)).map_err(not_read)?;
        let digest = table.digest();
        let is_valid = |facts: &Self| facts.version == version && facts.digest == digest && facts.key == key;
        if !facts.as_ref().is_some_and(is_valid) {
            let now = self::table(conn, &table.name)?;
            if now.digest() != digest {
                let what = format!("the table `{}` changed since the run began", table.name);
                let short = |digest: &str| format!("schema {}", &digest[..12]);
                return Err(Refusal::new(what, short(&digest), short(&now.digest())).into());
            }
            let condition = key_condition(conn, table, key)?;
            let (affinities, triggers) = Self::storage(conn, table).map_err(not_read)?;
            // A cascade can come back to the table over others and their triggers.
            let has_echo = !now.notes.is_empty();
            let key = key.to_vec();
            *facts = Some(Self { version, digest, key, condition, affinities, triggers, has_echo });
        }
        Ok(facts.as_ref().expect("they were just read"))
    }

    fn storage(conn: &Connection, table: &Table) -> rusqlite::Result<(Vec<Affinity>, String)> {
        let name = &table.name.name;
        let is_strict = entry(conn, name)?.is_some_and(|entry| entry.is_strict);
        let affinities = table.columns.iter().map(|column| Affinity::of(column, is_strict)).collect();
        let sql = "SELECT coalesce(group_concat(sql, ';'), '') FROM sqlite_schema
            WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE";
        Ok((affinities, conn.query_row(sql, [name], |row| row.get(0))?))
    }
}

/// A name as SQL text.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The table's name as SQL text, with its schema: a temporary table of the same name cannot stand in for it.
pub(super) fn quoted(table: &Table) -> String {
    format!("main.{}", quote(&table.name.name))
}
