//! What a database holds, in plain counts that no schema can break.
//!
//! A table or column is asked for before it is counted; nothing here is coupled to a column it does not need.

use std::collections::BTreeMap;

use super::{Breakdown, Identity, Migrations, Schema, Telemetry};
use crate::db::{DbError, Lineage, Reader};
use crate::ids;

/// Fills in everything that both kinds of database answer in the same SQL. `available` are the names of the
/// migrations of this kind, in order; `schema` its canonical definition lines and table names.
pub(super) fn fill(
    identity: &mut Identity,
    reader: &mut dyn Reader,
    available: Option<&[String]>,
    schema: (Vec<String>, Vec<String>),
) -> Result<(), DbError> {
    let (lines, tables) = schema;
    identity.schema = Schema { digest: ids::sha256(lines.join("\n").as_bytes())[..12].to_owned(), tables };
    identity.lineage = lineage(reader)?;
    identity.migrations = migrations(reader, available)?;
    identity.runs = count(reader, "runs")?;
    identity.phases = phases(reader, &mut identity.notes)?;
    identity.telemetry = telemetry(reader, &mut identity.notes)?;
    note_schema(identity, available.is_some());
    Ok(())
}

fn note_schema(identity: &mut Identity, migratable: bool) {
    let known = [
        ("runs", identity.runs.is_some()),
        ("phases", identity.phases.is_some()),
        ("token_estimation_v2_events", identity.telemetry.is_some()),
    ];
    let missing: Vec<&str> = known.iter().filter(|(_, there)| !there).map(|(table, _)| *table).collect();
    if !missing.is_empty() {
        let all = if missing.len() == known.len() { "the schema is not one this tool knows: " } else { "" };
        identity.notes.push(format!("{all}no table {}", missing.join(", ")));
    }
    if migratable && !identity.migrations.ledger && missing.len() < known.len() {
        identity
            .notes
            .push("no migration ledger: an older schema, made by another tool; `migrate` adopts it".into());
    }
    if !identity.migrations.unknown.is_empty() {
        identity
            .notes
            .push("it has migrations that this build does not know: made by a newer version".into());
    }
}

pub(super) fn lineage(reader: &mut dyn Reader) -> Result<Option<Lineage>, DbError> {
    if reader.columns("ops_lineage")?.is_empty() {
        return Ok(None);
    }
    let rows = reader.rows("SELECT lineage, purpose, stamped_at FROM ops_lineage")?;
    Ok(rows.first().map(|row| Lineage {
        id: row[0].show(),
        purpose: row[1].show(),
        stamped_at: row[2].show(),
    }))
}

fn migrations(reader: &mut dyn Reader, available: Option<&[String]>) -> Result<Migrations, DbError> {
    let ledger = !reader.columns("ops_migrations")?.is_empty();
    let applied: Vec<String> = if ledger {
        let rows = reader.rows("SELECT name FROM ops_migrations ORDER BY version")?;
        rows.iter().map(|row| row[0].show()).collect()
    } else {
        Vec::new()
    };
    let Some(available) = available else {
        return Ok(Migrations { ledger, applied, ..Migrations::default() });
    };
    let pending = available.iter().filter(|name| !applied.contains(name)).cloned().collect();
    let unknown = applied.iter().filter(|name| !available.contains(name)).cloned().collect();
    Ok(Migrations { ledger, applied, pending, unknown })
}

fn count(reader: &mut dyn Reader, table: &str) -> Result<Option<u64>, DbError> {
    if reader.columns(table)?.is_empty() {
        return Ok(None);
    }
    let rows = reader.rows(&format!("SELECT count(*) FROM {table}"))?;
    Ok(rows.first().and_then(|row| row[0].count()))
}

fn phases(reader: &mut dyn Reader, notes: &mut Vec<String>) -> Result<Option<Breakdown>, DbError> {
    let Some(total) = count(reader, "phases")? else { return Ok(None) };
    let by = split(reader, "phases", "state")?;
    if by.is_none() {
        notes.push("phases has no column `state`".to_owned());
    }
    Ok(Some(Breakdown { total, by: by.unwrap_or_default() }))
}

fn telemetry(reader: &mut dyn Reader, notes: &mut Vec<String>) -> Result<Option<Telemetry>, DbError> {
    const TABLE: &str = "token_estimation_v2_events";
    let Some(total) = count(reader, TABLE)? else { return Ok(None) };
    let mut part = |column: &str| -> Result<Option<BTreeMap<String, u64>>, DbError> {
        let by = split(reader, TABLE, column)?;
        if by.is_none() {
            notes.push(format!("{TABLE} has no column `{column}`"));
        }
        Ok(by)
    };
    Ok(Some(Telemetry {
        total,
        by_category: part("category")?,
        by_complexity: part("complexity")?,
        by_success: part("success")?.map(words),
        by_truncation: part("truncated")?.map(words),
    }))
}

/// Rows by value of a column; `None` when there is no such column.
fn split(
    reader: &mut dyn Reader,
    table: &str,
    column: &str,
) -> Result<Option<BTreeMap<String, u64>>, DbError> {
    if !reader.columns(table)?.iter().any(|name| name == column) {
        return Ok(None);
    }
    let rows = reader.rows(&format!("SELECT {column}, count(*) FROM {table} GROUP BY {column}"))?;
    let mut by = BTreeMap::new();
    for row in rows {
        *by.entry(row[0].show()).or_insert(0) += row[1].count().unwrap_or(0);
    }
    Ok(Some(by))
}

/// Booleans are stored as 0 and 1; people read no and yes.
fn words(by: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let word = |value: String| match value.as_str() {
        "0" => "no".to_owned(),
        "1" => "yes".to_owned(),
        _ => value,
    };
    by.into_iter().map(|(value, n)| (word(value), n)).collect()
}
