//! The frame of a script for PostgreSQL.
//!
//! An exception in the one block that changes rows undoes all of it, with or without `ON_ERROR_STOP`: after an
//! error the server takes nothing but the end of the transaction.

use std::fmt::Write as _;

use super::literal::Dialect;
use super::script::{Conditions, Loaded, kinds, list, quoted, restored_words, sides, undo_table};
use crate::change::plan::{Layout, Op};
use crate::target::schema::Origin;

/// The session that values are read and compared in; the driver pins the same.
const SETTINGS: &str = "\
BEGIN;
SET LOCAL client_encoding = 'UTF8';
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO';
SET LOCAL IntervalStyle = 'iso_8601';
SET LOCAL bytea_output = 'hex';
SET LOCAL extra_float_digits = 1;
";

/// Settings, the lock, and empty temporary tables whose columns have the types of the table.
pub(super) fn opening(layout: &Layout) -> String {
    let table = table(layout);
    let mut out = format!("{SETTINGS}LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE;\n");
    for op in Op::ALL {
        let (written, before) = sides(op);
        let mut columns = vec!["0::bigint AS n".to_owned()];
        for (side, is_there) in [('w', written), ('b', before)] {
            let each = (0..layout.width()).filter(|_| is_there);
            columns.extend(each.map(|at| format!("t.{} AS {side}{at}", quoted(&layout.column(at).name))));
        }
        if op == Op::Insert {
            columns.push("''::text AS given".to_owned());
        }
        let columns = columns.join(", ");
        let name = undo_table(op);
        let _ = writeln!(
            out,
            "CREATE TEMPORARY TABLE {name} AS SELECT {columns} FROM {table} AS t WITH NO DATA;"
        );
    }
    out
}

/// The guard, the way back, the proof, and the verification after the end of the transaction.
pub(super) fn closing(layout: &Layout, loaded: &Loaded) -> String {
    let table = table(layout);
    let conditions = Conditions { layout, dialect: Dialect::Postgres, table: &table };
    let mut out = String::new();
    for op in kinds(loaded) {
        let _ = writeln!(out, "ANALYZE pg_temp.{};", undo_table(op));
    }
    let block = block(&conditions, loaded);
    let mut tag = "$ops$".to_owned();
    while block.contains(&tag) {
        tag.insert(4, 's');
    }
    let _ = write!(out, "DO {tag}\n{block}{tag};\nCOMMIT;\n");
    for op in kinds(loaded) {
        let rows = conditions.restored(op, true);
        let (words, expected) = (restored_words(op), loaded.rows.of(op));
        let _ = writeln!(
            out,
            "SELECT '{words}' AS verification, {expected} AS expected, count(*) AS found FROM (\n        {rows}) AS v;"
        );
    }
    for op in Op::ALL {
        let _ = writeln!(out, "DROP TABLE IF EXISTS pg_temp.{};", undo_table(op));
    }
    out
}

fn block(conditions: &Conditions<'_>, loaded: &Loaded) -> String {
    let mut out = "DECLARE\n    bad bigint;\n    examples text;\nBEGIN\n".to_owned();
    for op in kinds(loaded) {
        let _ = write!(
            out,
            "    IF (SELECT count(*) FROM pg_temp.{}) <> {} THEN\n        \
             RAISE EXCEPTION 'rows of this script are missing; nothing was changed';\n    END IF;\n",
            undo_table(op),
            loaded.rows.of(op)
        );
    }
    refuse(
        &mut out,
        kinds(loaded).map(|op| conditions.drifted(op, loaded)),
        "% row(s) are not what was written; nothing was changed",
        "cargo xtask rollback takes back the other rows and leaves these alone",
    );
    for op in kinds(loaded) {
        out.push_str(&restore(conditions, loaded, op));
    }
    refuse(
        &mut out,
        kinds(loaded).map(|op| conditions.restored(op, false)),
        "% row(s) would not become what they were; nothing was changed",
        "a trigger may change what is written",
    );
    out.push_str("END\n");
    out
}

/// Raises an exception when one of the queries finds rows.
fn refuse(out: &mut String, queries: impl Iterator<Item = String>, message: &str, hint: &str) {
    let queries = queries.collect::<Vec<_>>().join("\n        UNION ALL\n        ");
    if queries.is_empty() {
        return;
    }
    let _ = write!(
        out,
        "    SELECT count(*), string_agg(r.key, '; ' ORDER BY r.n) FILTER (WHERE r.i <= 10) INTO bad, examples FROM (\n        \
         SELECT f.n, f.key, row_number() OVER (ORDER BY f.n) AS i FROM (\n        {queries}) AS f) AS r;\n    \
         IF bad > 0 THEN\n        RAISE EXCEPTION '{message}', bad\n            \
         USING DETAIL = 'the first of them: ' || examples, HINT = '{hint}';\n    END IF;\n"
    );
}

/// The statement that takes back one kind of change.
fn restore(conditions: &Conditions<'_>, loaded: &Loaded, op: Op) -> String {
    let Conditions { layout, table, .. } = conditions;
    let name = |at: usize| quoted(&layout.column(at).name);
    let from = undo_table(op);
    match op {
        Op::Insert => {
            format!(
                "    DELETE FROM {table} AS t USING pg_temp.{from} AS u WHERE {};\n",
                conditions.same_key('w')
            )
        }
        Op::Update => {
            let changed = (0..layout.width()).filter(|at| loaded.changed[*at]);
            let set = list(changed, |at| format!("{} = u.b{at}", name(at)));
            if set.is_empty() {
                return String::new();
            }
            let key = conditions.same_key('b');
            format!("    UPDATE {table} AS t SET {set}\n        FROM pg_temp.{from} AS u WHERE {key};\n")
        }
        Op::Delete => {
            let columns = list(0..layout.width(), name);
            let values = list(0..layout.width(), |at| format!("u.b{at}"));
            let is_numbered = layout.each_column().any(|column| column.origin == Origin::AlwaysNumbered);
            let overriding = if is_numbered { " OVERRIDING SYSTEM VALUE" } else { "" };
            format!(
                "    INSERT INTO {table} ({columns}){overriding}\n        SELECT {values} FROM pg_temp.{from} AS u;\n"
            )
        }
    }
}

fn table(layout: &Layout) -> String {
    let name = &layout.table.name;
    let schema = name.schema.as_ref().map(|schema| format!("{}.", quoted(schema)));
    format!("{}{}", schema.unwrap_or_default(), quoted(&name.name))
}
