//! The scripts for SQLite in the sqlite3 shell.

use std::path::{Path, PathBuf};
use std::process::Output;

use ops::change::plan::Layout;
use ops::target::Change;
use ops::target::schema::Origin;
use ops::value::{Kind, Row, Value};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::{layout, run, script, shown, small_changes, strange_texts, text};

struct File {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl File {
    fn new(sql: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        Self { _dir: dir, path }
    }

    fn open(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }

    fn execute(&self, sql: &str) {
        self.open().execute_batch(sql).unwrap();
    }

    /// Every cell with its storage class, floats by their bits.
    fn dump(&self, table: &str) -> Vec<Vec<String>> {
        let conn = self.open();
        let mut statement = conn.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let width = statement.column_count();
        let cell = |value: ValueRef<'_>| match value {
            ValueRef::Real(x) => format!("real {:x}", x.to_bits()),
            other => format!("{other:?}"),
        };
        let rows = statement
            .query_map([], |row| (0..width).map(|i| row.get_ref(i).map(cell)).collect::<Result<Vec<_>, _>>());
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// The rows of a table as values.
    fn rows(&self, table: &str) -> Vec<Row> {
        let conn = self.open();
        let mut statement = conn.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let width = statement.column_count();
        let cell = |value: ValueRef<'_>| match value {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(n) => Value::Int(n),
            ValueRef::Real(x) => Value::Real(x),
            ValueRef::Text(bytes) => Value::Text(String::from_utf8(bytes.to_vec()).unwrap()),
            ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
        };
        let rows = statement
            .query_map([], |row| (0..width).map(|i| row.get_ref(i).map(cell)).collect::<Result<Vec<_>, _>>());
        rows.unwrap().map(Result::unwrap).collect()
    }

    fn shell(&self, script: &str) -> Option<Output> {
        run("sqlite3", &[self.path.to_str().unwrap()], script)
    }
}

const ANY: (Kind, Origin) = (Kind::Any, Origin::Written);

fn sqlite_layout(names: &[&str], key: &[usize]) -> Layout {
    let columns: Vec<(&str, Kind, Origin)> = names.iter().map(|name| (*name, ANY.0, ANY.1)).collect();
    layout(None, "t \"x\"", &columns, key)
}

/// Values whose literals are hard to get right.
fn sqlite_values() -> Vec<Value> {
    let mut values: Vec<Value> = strange_texts().iter().map(|t| text(t)).collect();
    values.push(text("a\0b\0"));
    values.extend([Value::Null, Value::Bytes(vec![]), Value::Bytes((0..=255).collect())]);
    values.extend([i64::MIN, -1, 0, 1, i64::MAX].map(Value::Int));
    values.extend(
        [
            0.0,
            1.0,
            -1.5,
            0.1,
            1e15,
            1e16,
            9_007_199_254_740_993.0,
            1e-300,
            1e300,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            f64::INFINITY,
            f64::NEG_INFINITY,
            123.456,
            -2.225e-308,
            0.1 + 0.2,
        ]
        .map(Value::Real),
    );
    let mut bits = 0x0123_4567_89ab_cdef_u64;
    for _ in 0..300 {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let x = f64::from_bits(bits);
        if x.is_finite() {
            values.push(Value::Real(x));
            values.push(Value::Real(f64::from_bits(bits >> 12 | 0x3ff0_0000_0000_0000)));
        }
    }
    values
}

fn insert(conn: &Connection, table: &str, row: &[Value]) {
    let places = vec!["?"; row.len()].join(",");
    let cells = row.iter().map(|value| match value {
        Value::Null => rusqlite::types::Value::Null,
        Value::Int(n) => (*n).into(),
        Value::Real(x) => (*x).into(),
        Value::Text(t) => t.clone().into(),
        Value::Bytes(b) => b.clone().into(),
        other => panic!("{other:?} is not of SQLite"),
    });
    let sql = format!("INSERT INTO {table} VALUES ({places})");
    conn.execute(&sql, rusqlite::params_from_iter(cells)).unwrap();
}

const TABLE: &str = "\"t \"\"x\"\"\"";

#[test]
fn the_shell_restores_every_value_of_sqlite() {
    for encoding in ["UTF-8", "UTF-16le"] {
        let file = File::new(&format!(
            "PRAGMA encoding = '{encoding}'; CREATE TABLE {TABLE} (\"k e\" INTEGER PRIMARY KEY, \"v\"\"\")"
        ));
        let conn = file.open();
        let values = sqlite_values();
        let count = i64::try_from(values.len()).unwrap();
        conn.execute_batch("BEGIN").unwrap();
        for (n, value) in (0..).zip(&values) {
            // One row to be updated from this value, one to it, and one to be deleted.
            insert(&conn, TABLE, &[Value::Int(n), value.clone()]);
            insert(&conn, TABLE, &[Value::Int(n + count), text("before")]);
            insert(&conn, TABLE, &[Value::Int(n + 2 * count), value.clone()]);
        }
        conn.execute_batch("COMMIT").unwrap();
        let before = file.dump(TABLE);
        conn.execute_batch("BEGIN").unwrap();
        let mut changes = Vec::new();
        for (n, value) in (0..).zip(&values) {
            let row = |n: i64, value: &Value| vec![Value::Int(n), value.clone()];
            let update = |n, before: &Value, after: &Value| Change::Update {
                before: row(n, before),
                after: row(n, after),
            };
            changes.push((update(n, value, &text("after")), None));
            changes.push((update(n + count, &text("before"), value), None));
            changes.push((Change::Delete { before: row(n + 2 * count, value) }, None));
            let made = row(n + 3 * count, value);
            changes.push((Change::Insert { after: made.iter().cloned().map(Some).collect() }, None));
        }
        apply(&conn, &changes);
        conn.execute_batch("COMMIT").unwrap();
        drop(conn);
        assert_ne!(file.dump(TABLE), before);
        let layout = sqlite_layout(&["k e", "v\""], &[0]);
        let Some(output) = file.shell(&script("sqlite", &layout, &changes)) else { return };
        let (out, error) = shown(&output);
        assert!(output.status.success(), "{out}\n{error}");
        assert_eq!(error, "");
        assert!(
            out.contains(&format!("updated rows that are as they were|expected {0}|found {0}", 2 * count)),
            "{out}"
        );
        assert!(out.contains(&format!("deleted rows that are back|expected {count}|found {count}")), "{out}");
        assert_eq!(file.dump(TABLE), before, "{encoding}");
    }
}

/// Applies changes to a table whose first column is the key.
fn apply(conn: &Connection, changes: &[(Change, Option<Row>)]) {
    let delete = |row: &Row| {
        let Value::Int(key) = row[0] else { panic!("the key is an integer") };
        assert_eq!(conn.execute(&format!("DELETE FROM {TABLE} WHERE \"k e\" = ?"), [key]).unwrap(), 1);
    };
    for (change, _) in changes {
        match change {
            Change::Insert { after } => {
                insert(conn, TABLE, &after.iter().cloned().map(Option::unwrap).collect::<Row>());
            }
            Change::Update { before, after } => {
                delete(before);
                insert(conn, TABLE, after);
            }
            Change::Delete { before } => delete(before),
        }
    }
}

const SMALL: &str = "CREATE TABLE \"t \"\"x\"\"\" (\"k e\" INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE, b UNIQUE, c DEFAULT 7);
    INSERT INTO \"t \"\"x\"\"\" VALUES (1, 'one', 1, 7), (2, 'two', 2, 7), (3, 'three', 3, 7)";
const SMALL_APPLIED: &str = "UPDATE \"t \"\"x\"\"\" SET a = 'ONE', b = 10 WHERE \"k e\" = 1;
    DELETE FROM \"t \"\"x\"\"\" WHERE \"k e\" = 2; INSERT INTO \"t \"\"x\"\"\" (\"k e\", a, b) VALUES (4, 'four', 1)";

fn small_layout() -> Layout {
    sqlite_layout(&["k e", "a", "b", "c"], &[0])
}

#[test]
fn a_unique_value_that_moved_between_rows_goes_back() {
    let file = File::new(SMALL);
    let before = file.dump(TABLE);
    file.execute(SMALL_APPLIED);
    let Some(output) = file.shell(&script("sqlite", &small_layout(), &small_changes())) else { return };
    assert!(output.status.success(), "{:?}", shown(&output));
    assert_eq!(file.dump(TABLE), before);
}

#[test]
fn the_shell_changes_nothing_after_a_foreign_change() {
    for foreign in [
        // A value that the column's own collation takes for the same.
        "UPDATE \"t \"\"x\"\"\" SET a = 'One' WHERE \"k e\" = 1",
        // Another storage class of an equal number.
        "UPDATE \"t \"\"x\"\"\" SET b = 10.0 WHERE \"k e\" = 1",
        "UPDATE \"t \"\"x\"\"\" SET a = NULL WHERE \"k e\" = 4",
        "DELETE FROM \"t \"\"x\"\"\" WHERE \"k e\" = 1",
        "DELETE FROM \"t \"\"x\"\"\" WHERE \"k e\" = 4",
        "INSERT INTO \"t \"\"x\"\"\" VALUES (2, 'again', 22, 7)",
        // The old value of row 1 is taken: putting it back would break the unique key.
        "INSERT INTO \"t \"\"x\"\"\" VALUES (5, 'five', 2, 7)",
        // The database would make something else of what is put back.
        "CREATE TRIGGER other AFTER UPDATE ON \"t \"\"x\"\"\" BEGIN UPDATE \"t \"\"x\"\"\" SET c = 8 WHERE \"k e\" = new.\"k e\"; END",
        "CREATE TRIGGER refuses BEFORE DELETE ON \"t \"\"x\"\"\" BEGIN SELECT RAISE(ABORT, 'never'); END",
        "ALTER TABLE \"t \"\"x\"\"\" RENAME COLUMN a TO aa",
        "ALTER TABLE \"t \"\"x\"\"\" RENAME TO moved; CREATE VIEW \"t \"\"x\"\"\" AS SELECT 1 AS \"k e\"",
    ] {
        let file = File::new(SMALL);
        file.execute(SMALL_APPLIED);
        file.execute(foreign);
        let bytes = std::fs::read(&file.path).unwrap();
        let Some(output) = file.shell(&script("sqlite", &small_layout(), &small_changes())) else { return };
        let (out, error) = shown(&output);
        assert!(!output.status.success(), "{foreign}: {out}");
        assert!(!error.is_empty(), "{foreign}");
        assert_eq!(contents(&file.path), contents_of(&bytes), "{foreign}: {out}\n{error}");
    }
}

/// Everything in a database file, as its own dump has it.
fn contents(path: &Path) -> String {
    contents_of(&std::fs::read(path).unwrap())
}

fn contents_of(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy.db");
    ops::files::write_atomic(&copy, bytes).unwrap();
    let dump = run("sqlite3", &[copy.to_str().unwrap(), ".dump"], "").unwrap();
    shown(&dump).0
}

#[test]
fn a_torn_script_changes_nothing() {
    let file = File::new(SMALL);
    file.execute(SMALL_APPLIED);
    let applied = file.dump(TABLE);
    let whole = script("sqlite", &small_layout(), &small_changes());
    for end in (0..whole.len()).step_by(97) {
        if file.shell(&whole[..end]).is_none() {
            return;
        }
        if whole[..end].contains("\nINSERT INTO temp.ops_undo_now") {
            break;
        }
        assert_eq!(file.dump(TABLE), applied, "{end}");
    }
    let file = File::new(SMALL);
    file.execute(SMALL_APPLIED);
    // A script without one of its rows.
    let start = whole.find("INSERT INTO temp.ops_undo_deleted").unwrap();
    let end = start + whole[start..].find(";\n").unwrap() + 2;
    let output = file.shell(&[&whole[..start], &whole[end..]].concat()).unwrap();
    assert!(shown(&output).1.contains("rows of this script are missing"));
    assert_eq!(file.dump(TABLE), applied);
}

#[test]
fn what_was_really_stored_is_what_must_be_there() {
    let file = File::new(SMALL);
    let before = file.dump(TABLE);
    file.execute(SMALL_APPLIED);
    file.execute("UPDATE \"t \"\"x\"\"\" SET c = 9 WHERE \"k e\" IN (1, 4)");
    let rows = file.rows(TABLE);
    let mut changes = small_changes();
    let stale = script("sqlite", &small_layout(), &changes);
    changes[0].1 = Some(rows[0].clone());
    changes[2].1 = Some(rows[2].clone());
    let Some(output) = file.shell(&stale) else { return };
    assert!(!output.status.success(), "the plan knows nothing of the 9 in row 1");
    let output = file.shell(&script("sqlite", &small_layout(), &changes)).unwrap();
    assert!(output.status.success(), "{:?}", shown(&output));
    assert_eq!(file.dump(TABLE), before);
    let again = file.shell(&script("sqlite", &small_layout(), &changes)).unwrap();
    assert!(!again.status.success(), "the rows are no longer what was written");
    assert_eq!(file.dump(TABLE), before);
}

#[test]
fn composite_keys_without_rowid_and_many_rows() {
    let file =
        File::new(&format!("CREATE TABLE {TABLE} (p TEXT, q INTEGER, v, PRIMARY KEY (p, q)) WITHOUT ROWID"));
    let conn = file.open();
    conn.execute_batch("BEGIN").unwrap();
    let row = |n: i64, v: i64| vec![text(&format!("p{}", n % 7)), Value::Int(n), Value::Int(v)];
    let mut changes = Vec::new();
    for n in 0..30_000 {
        changes.push(match n % 3 {
            0 => (Change::Insert { after: row(n, n).into_iter().map(Some).collect() }, None),
            1 => (Change::Update { before: row(n, n), after: row(n, -n) }, None),
            _ => (Change::Delete { before: row(n, n) }, None),
        });
        if n % 3 > 0 {
            insert(&conn, TABLE, &row(n, n));
        }
    }
    conn.execute_batch("COMMIT").unwrap();
    let before = file.dump(TABLE);
    conn.execute_batch("BEGIN").unwrap();
    for (change, _) in &changes {
        match change {
            Change::Insert { after } => {
                insert(&conn, TABLE, &after.iter().cloned().map(Option::unwrap).collect::<Row>());
            }
            Change::Update { .. } | Change::Delete { .. } => (),
        }
    }
    conn.execute_batch(&format!(
        "UPDATE {TABLE} SET v = -v WHERE q % 3 = 1; DELETE FROM {TABLE} WHERE q % 3 = 2; COMMIT"
    ))
    .unwrap();
    let layout = sqlite_layout(&["p", "q", "v"], &[0, 1]);
    let Some(output) = file.shell(&script("sqlite", &layout, &changes)) else { return };
    assert!(output.status.success(), "{:?}", shown(&output));
    assert_eq!(file.dump(TABLE), before);
}

#[test]
fn nothing_to_take_back_is_no_error() {
    let file = File::new(SMALL);
    let before = file.dump(TABLE);
    let Some(output) = file.shell(&script("sqlite", &small_layout(), &[])) else { return };
    assert_eq!(shown(&output), (String::new(), String::new()));
    assert_eq!(file.dump(TABLE), before);
}
