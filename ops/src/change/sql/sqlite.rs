//! The frame of a script for SQLite.
//!
//! The sqlite3 shell goes on after an error, so no statement of the script may change rows on the strength of one
//! before it. All of the guard, the way back and the proof is therefore the body of one trigger: the single
//! statement that fires it happens as a whole or not at all, whatever became of the others.

use std::fmt::Write as _;

use super::literal::Dialect;
use super::script::{Conditions, Loaded, kinds, list, quoted, restored_words, sides, undo_table};
use crate::change::plan::{Layout, Op};

/// The transaction, and empty temporary tables whose columns take every value as it is.
pub(super) fn opening(layout: &Layout, is_for_clone: bool) -> String {
    let enforced = if is_for_clone { "OFF" } else { "ON" };
    let mut out = format!("PRAGMA foreign_keys = {enforced};\nBEGIN IMMEDIATE;\n");
    for op in Op::ALL {
        let (written, before) = sides(op);
        let mut columns = vec!["n INTEGER PRIMARY KEY".to_owned()];
        for (side, is_there) in [('w', written), ('b', before)] {
            columns.extend((0..layout.width()).filter(|_| is_there).map(|at| format!("{side}{at}")));
        }
        if op == Op::Insert {
            columns.push("given".to_owned());
        }
        let _ = writeln!(out, "CREATE TEMPORARY TABLE {} ({});", undo_table(op), columns.join(", "));
    }
    out.push_str("CREATE TEMPORARY TABLE ops_undo_now (now);\n");
    out
}

/// What drifted, the trigger, the statement that fires it, and the verification.
pub(super) fn closing(layout: &Layout, loaded: &Loaded) -> String {
    let table = format!("main.{}", quoted(&layout.table.name.name));
    let conditions = Conditions { layout, dialect: Dialect::Sqlite, table: &table };
    let mut out = String::new();
    for op in kinds(loaded) {
        let rows = conditions.drifted(op, loaded);
        let words = match op {
            Op::Insert => "inserted rows that are not what was written",
            Op::Update => "updated rows that are not what was written",
            Op::Delete => "deleted rows that are there again",
        };
        count(&mut out, words, 0, &rows);
    }
    out.push_str("CREATE TEMPORARY TRIGGER ops_undo_all BEFORE INSERT ON ops_undo_now BEGIN\n");
    for op in kinds(loaded) {
        let expected = loaded.rows.of(op);
        let query = format!("SELECT 1 WHERE (SELECT count(*) FROM {}) <> {expected}", undo_table(op));
        refuse(&mut out, "rows of this script are missing; nothing was changed", &query);
    }
    for op in kinds(loaded) {
        let message = "rows are not what was written; nothing was changed";
        refuse(&mut out, message, &conditions.drifted(op, loaded));
    }
    for op in kinds(loaded) {
        out.push_str(&restore(layout, loaded, op));
    }
    for op in kinds(loaded) {
        let message = "rows would not become what they were (a trigger?); nothing was changed";
        refuse(&mut out, message, &conditions.restored(op, false));
    }
    // A trigger needs a statement, even when there is nothing to take back.
    out.push_str("    SELECT 1;\nEND;\nINSERT INTO temp.ops_undo_now VALUES (1);\nCOMMIT;\n");
    for op in kinds(loaded) {
        count(&mut out, restored_words(op), loaded.rows.of(op), &conditions.restored(op, true));
    }
    for op in Op::ALL {
        let _ = writeln!(out, "DROP TABLE IF EXISTS temp.{};", undo_table(op));
    }
    out.push_str("DROP TABLE IF EXISTS temp.ops_undo_now;\n");
    out
}

fn count(out: &mut String, words: &str, expected: u64, rows: &str) {
    let _ = writeln!(
        out,
        "SELECT '{words}', 'expected ' || {expected}, 'found ' || count(*) FROM (\n        {rows});"
    );
}

fn refuse(out: &mut String, message: &str, query: &str) {
    let _ = writeln!(out, "    SELECT RAISE(ABORT, '{message}') WHERE EXISTS (\n        {query});");
}

/// The statement that takes back one kind of change. The name of a changed table cannot be qualified in a trigger;
/// that of a column must be, because SQLite takes an unknown name in double quotes for a text.
fn restore(layout: &Layout, loaded: &Loaded, op: Op) -> String {
    let table = quoted(&layout.table.name.name);
    let name = |at: usize| quoted(&layout.column(at).name);
    let from = undo_table(op);
    let key = layout.key_at();
    match op {
        Op::Insert => {
            let columns = list(key.iter().copied(), |at| format!("{table}.{}", name(at)));
            let values = list(key.iter().copied(), |at| format!("u.w{at}"));
            format!("    DELETE FROM {table} WHERE ({columns}) IN (SELECT {values} FROM temp.{from} AS u);\n")
        }
        Op::Update => {
            let changed = (0..layout.width()).filter(|at| loaded.changed[*at]);
            let set = list(changed, |at| format!("{} = u.b{at}", name(at)));
            if set.is_empty() {
                return String::new();
            }
            let keys = key.iter().map(|at| format!("{table}.{} = u.b{at}", name(*at)));
            let keys = keys.collect::<Vec<_>>().join(" AND ");
            format!("    UPDATE {table} SET {set}\n        FROM temp.{from} AS u WHERE {keys};\n")
        }
        Op::Delete => {
            let columns = list(0..layout.width(), name);
            let values = list(0..layout.width(), |at| format!("u.b{at}"));
            format!("    INSERT INTO {table} ({columns}) SELECT {values} FROM temp.{from} AS u;\n")
        }
    }
}
