//! What only SQLite has: affinities, collations, conflict clauses, triggers that end transactions, locks.

use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::target::schema::Origin::{Computed, Numbered, Written};
use crate::target::{Change, Outcome};
use crate::value::{Kind, Value};

const APPLIED: Outcome = Outcome::Applied { stored: None };

/// A file with a table `t`, another connection to it, and the driver after `begin`.
struct Fixture {
    dir: TempDir,
    other: Connection,
    target: SqliteTarget,
    table: Table,
    next: u64,
}

fn now() -> Stamp {
    Stamp::parse("2026-01-02T03:04:05Z").unwrap()
}

fn run() -> RunId {
    RunId { plan: "a".repeat(64), direction: "apply".to_owned() }
}

fn name(text: &str) -> TableName {
    TableName::parse(text).unwrap()
}

impl Fixture {
    fn new(ddl: &str) -> Self {
        Self::with(ddl, SqliteOptions { busy_timeout: Duration::from_millis(50), ..SqliteOptions::default() })
    }

    fn with(ddl: &str, options: SqliteOptions) -> Self {
        let dir = TempDir::new().unwrap();
        let other = Connection::open(dir.path().join("live.db")).unwrap();
        other.execute_batch(ddl).unwrap();
        let url = SqliteUrl::from_path(dir.path().join("live.db"));
        let mut target = SqliteTarget::open(&url, dir.path(), options).unwrap();
        let table = target.table(&name("t")).unwrap();
        target.begin(&table, &run(), "owner", now(), now().plus(Duration::from_mins(1))).unwrap();
        Self { dir, other, target, table, next: 0 }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("live.db")
    }

    fn try_apply(&mut self, key: &[usize], changes: &[Change]) -> Result<Vec<Outcome>, TargetError> {
        let (columns, run) = (self.table.writable(), run());
        let (table, first) = (&self.table, self.next);
        let batch = Batch { table, columns: &columns, key, run: &run, first, changes, now: now() };
        let outcomes = self.target.apply(&batch)?;
        self.next += changes.len() as u64;
        Ok(outcomes)
    }

    fn apply(&mut self, changes: &[Change]) -> Vec<Outcome> {
        self.try_apply(&self.table.primary_key.clone(), changes).unwrap()
    }

    fn one(&mut self, change: Change) -> Outcome {
        self.apply(&[change]).remove(0)
    }

    /// Everything in `t`, in SQL text.
    fn rows(&self) -> String {
        let columns: Vec<String> =
            self.table.columns.iter().map(|c| format!("quote(\"{}\")", c.name)).collect();
        let sql = format!("SELECT {} FROM t ORDER BY 1", columns.join(" || ' ' || "));
        let mut statement = self.other.prepare(&sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.map(Result::unwrap).collect::<Vec<_>>().join(", ")
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn insert(row: &[Value]) -> Change {
    Change::Insert { after: row.iter().cloned().map(Some).collect() }
}

fn update(before: &[Value], after: &[Value]) -> Change {
    Change::Update { before: before.to_vec(), after: after.to_vec() }
}

fn delete(before: &[Value]) -> Change {
    Change::Delete { before: before.to_vec() }
}

fn stored(row: &[Value]) -> Outcome {
    Outcome::Applied { stored: Some(row.to_vec()) }
}

fn drifted(row: &[Value]) -> Outcome {
    Outcome::Drifted { found: Some(row.to_vec()) }
}

#[track_caller]
fn assert_failed(outcome: &Outcome, expected: &str) {
    let Outcome::Failed { reason } = outcome else { panic!("{outcome:?}") };
    assert_eq!(reason, expected);
}

#[test]
fn the_catalogue_is_read_as_it_is() {
    let mut f = Fixture::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL DEFAULT 'x', b, c AS (a || 'y'), d INT UNIQUE,
             e TEXT, f TEXT, UNIQUE (e, d));
         CREATE UNIQUE INDEX partly ON t (b) WHERE b > 1;
         CREATE UNIQUE INDEX computed ON t (lower(f));
         CREATE UNIQUE INDEX whole ON t (f COLLATE NOCASE);
         CREATE TABLE strict_one (i INT PRIMARY KEY, r REAL, t TEXT, b BLOB, a ANY) STRICT;
         CREATE TABLE pair (b TEXT, a TEXT, v, PRIMARY KEY (a, b)) WITHOUT ROWID;
         CREATE TABLE odd (id INTEGER PRIMARY KEY DESC, v);
         CREATE TABLE child (id INTEGER PRIMARY KEY, t REFERENCES t ON DELETE CASCADE ON UPDATE SET NULL);
         CREATE TRIGGER watch AFTER INSERT ON t BEGIN SELECT 1; END;",
    );
    let t = &f.table;
    assert_eq!(t.name.to_string(), "t");
    let origins: Vec<_> = t.columns.iter().map(|c| c.origin).collect();
    assert_eq!(origins, [Numbered, Written, Written, Computed, Written, Written, Written]);
    assert!(!t.columns[0].nullable && !t.columns[1].nullable && t.columns[2].nullable);
    assert_eq!(t.columns[1].default.as_deref(), Some("'x'"));
    assert!(t.columns.iter().all(|c| c.kind == Kind::Any));
    assert_eq!((&t.primary_key, &t.unique), (&vec![0], &vec![vec![4], vec![5, 4], vec![6]]));
    assert_eq!(
        t.notes,
        [
            "trigger `watch` runs when rows change",
            "deleting rows changes rows of `child` (foreign key, CASCADE)",
            "updating rows changes rows of `child` (foreign key, SET NULL)"
        ]
    );

    let strict = f.target.table(&name("strict_one")).unwrap();
    let kinds: Vec<Kind> = strict.columns.iter().map(|c| c.kind).collect();
    assert_eq!(kinds, [Kind::Int, Kind::Real, Kind::Text, Kind::Bytes, Kind::Any]);
    assert_eq!(strict.columns[0].origin, Written, "INT is not INTEGER: it has a rowid beside it");
    let pair = f.target.table(&name("main.PAIR")).unwrap();
    assert_eq!((pair.name.to_string().as_str(), &pair.primary_key), ("pair", &vec![1, 0]));
    assert!(!pair.columns[0].nullable && pair.unique.is_empty());
    let odd = f.target.table(&name("odd")).unwrap();
    assert_eq!(odd.columns[0].origin, Written, "a descending INTEGER PRIMARY KEY is no rowid");
}

#[test]
fn what_is_no_table_is_refused_by_what_it_is() {
    let mut f = Fixture::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE VIEW v AS SELECT 1;
         CREATE VIRTUAL TABLE words USING fts5(a);",
    );
    for (table, found) in [
        ("v", "a view"),
        ("words", "a virtual table"),
        ("words_data", "a table that belongs to a virtual table"),
        ("sqlite_schema", "a table of SQLite itself"),
        ("temp.t", "schema `temp`"),
        ("T2", "`T2`"),
    ] {
        let error = f.target.table(&name(table)).unwrap_err();
        assert!(matches!(error, TargetError::Refused(_)), "{error:?}");
        assert!(error.to_string().ends_with(&format!("found:    {found}")), "{error}");
    }
    assert!(f.target.table(&name("T2")).unwrap_err().to_string().contains("`t`"));
}

#[test]
fn what_a_column_makes_of_a_value_is_reported() {
    let mut f = Fixture::new("CREATE TABLE t (id TEXT PRIMARY KEY, n NUMERIC, r REAL, s TEXT, b)");
    let sent = [text("a"), text("1.50"), Value::Int(2), Value::Int(3), text("4")];
    let kept = [text("a"), Value::Real(1.5), Value::Real(2.0), text("3"), text("4")];
    assert_eq!(f.one(insert(&sent)), stored(&kept));
    assert_eq!(f.one(insert(&kept)), Outcome::Already);
    assert_eq!(f.one(insert(&sent)), drifted(&kept), "what was sent is not what is there");
    let after =
        [text("a"), text("123456789012345678901234567890"), Value::Real(-0.0), text("x"), Value::Null];
    let kept_after =
        [text("a"), Value::Real(1.234_567_890_123_456_8e29), Value::Real(0.0), text("x"), Value::Null];
    assert_eq!(f.one(update(&kept, &after)), stored(&kept_after));
    // A key that the column changes is reported too, and is the key from then on.
    assert_eq!(f.one(insert(&[Value::Int(7), Value::Null, Value::Null, Value::Null, Value::Null])), {
        stored(&[text("7"), Value::Null, Value::Null, Value::Null, Value::Null])
    });
}

#[test]
fn storage_classes_are_differences() {
    let mut f = Fixture::new("CREATE TABLE t (id PRIMARY KEY, v)");
    f.other.execute_batch("INSERT INTO t VALUES (1, 1), ('1', 1.0), (x'31', '1')").unwrap();
    for (id, v, seen) in [
        (Value::Int(1), Value::Int(1), Value::Real(1.0)),
        (text("1"), Value::Real(1.0), Value::Int(1)),
        (Value::Bytes(b"1".to_vec()), text("1"), Value::Bytes(b"1".to_vec())),
    ] {
        let found = f.target.read(&f.table, &[0], &[vec![id.clone()]]).unwrap();
        assert_eq!(found, [Some(vec![id.clone(), v.clone()])]);
        assert_eq!(
            f.one(update(&[id.clone(), seen], &[id.clone(), Value::Null])),
            drifted(&[id.clone(), v.clone()])
        );
        assert_eq!(f.one(update(&[id.clone(), v], &[id.clone(), text("new")])), APPLIED);
    }
    assert_eq!(f.target.read(&f.table, &[0], &[vec![Value::Real(1.0)]]).unwrap(), [None]);
    assert_eq!(f.one(delete(&[Value::Real(1.0), text("new")])), Outcome::Already, "1.0 is not there, 1 is");
}

#[test]
fn a_collation_makes_no_two_keys_one() {
    let mut f = Fixture::new(
        "CREATE TABLE t (id TEXT COLLATE NOCASE PRIMARY KEY, v);
         CREATE TABLE u (id TEXT COLLATE NOCASE NOT NULL, v); CREATE UNIQUE INDEX exact ON u (id COLLATE BINARY);",
    );
    f.other
        .execute_batch("INSERT INTO t VALUES ('abc', 1); INSERT INTO u VALUES ('abc', 1), ('ABC', 2)")
        .unwrap();
    let other = [text("ABC"), Value::Int(1)];
    assert_eq!(f.target.read(&f.table, &[0], &[vec![text("ABC")]]).unwrap(), [None]);
    assert_eq!(f.one(update(&other, &[text("ABC"), Value::Int(2)])), Outcome::Drifted { found: None });
    assert_eq!(f.one(delete(&other)), Outcome::Already);
    // There is no room for it beside the one that is there.
    assert_eq!(f.one(insert(&other)), drifted(&[text("abc"), Value::Int(1)]));
    assert_eq!(f.rows(), "'abc' 1");

    let table = f.target.table(&name("u")).unwrap();
    for (key, v) in [("abc", 1), ("ABC", 2)] {
        let found = f.target.read(&table, &[0], &[vec![text(key)]]).unwrap();
        assert_eq!(found, [Some(vec![text(key), Value::Int(v)])]);
    }
}

#[test]
fn keys_are_found_by_their_index() {
    let f = Fixture::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE, b, UNIQUE (a, b));
         CREATE TABLE w (a, b, c, PRIMARY KEY (b, a)) WITHOUT ROWID;
         CREATE UNIQUE INDEX exact ON t (b COLLATE RTRIM);",
    );
    for (table, key) in [("t", vec![0]), ("t", vec![2, 1]), ("t", vec![2]), ("w", vec![0, 1])] {
        let table = catalog::table(&f.other, &name(table)).unwrap();
        let condition = catalog::key_condition(&f.other, &table, &key).unwrap();
        let sql = format!("EXPLAIN QUERY PLAN SELECT * FROM {} WHERE {condition}", table.name);
        let parameters = vec![1; key.len()];
        let plan: String =
            f.other.query_row(&sql, rusqlite::params_from_iter(parameters), |row| row.get("detail")).unwrap();
        assert!(plan.starts_with("SEARCH"), "{condition}: {plan}");
        assert_eq!(plan.matches('?').count(), key.len(), "{condition}: {plan}");
    }
}

#[test]
fn tables_without_rowid_and_with_hidden_ones_are_changed() {
    for ddl in [
        "CREATE TABLE t (b TEXT, a INTEGER, v, PRIMARY KEY (a, b)) WITHOUT ROWID",
        "CREATE TABLE t (b TEXT NOT NULL, a INTEGER NOT NULL, v, PRIMARY KEY (a, b), UNIQUE (v))",
    ] {
        let mut f = Fixture::new(ddl);
        let row = |b: &str, a: i64, v: &str| vec![text(b), Value::Int(a), text(v)];
        let inserts = [insert(&row("x", 1, "p")), insert(&row("x", 2, "q")), insert(&row("y", 1, "r"))];
        assert_eq!(f.apply(&inserts), [APPLIED, APPLIED, APPLIED]);
        let changes = [update(&row("x", 2, "q"), &row("x", 2, "s")), delete(&row("y", 1, "r"))];
        assert_eq!(f.apply(&changes), [APPLIED, APPLIED]);
        assert_eq!(f.rows(), "'x' 1 'p', 'x' 2 's'");
    }
    let mut f = Fixture::new("CREATE TABLE t (rowid TEXT PRIMARY KEY, oid, _rowid_)");
    f.apply(&[insert(&[text("a"), text("b"), text("c")])]);
    f.apply(&[update(&[text("a"), text("b"), text("c")], &[text("a"), text("b"), text("d")])]);
    assert_eq!(f.rows(), "'a' 'b' 'd'");
}

#[test]
fn a_conflict_clause_in_the_schema_replaces_nothing() {
    for clause in ["REPLACE", "IGNORE", "ROLLBACK", "FAIL"] {
        let mut f = Fixture::new(&format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY ON CONFLICT {clause}, v UNIQUE ON CONFLICT {clause},
                 n NOT NULL ON CONFLICT {clause} DEFAULT 5);
             INSERT INTO t VALUES (1, 'a', 0), (2, 'b', 0)"
        ));
        let row = |id: i64, v: &str| vec![Value::Int(id), text(v), Value::Int(0)];
        let changes = [
            insert(&row(3, "a")),
            insert(&row(1, "x")),
            update(&row(2, "b"), &row(2, "a")),
            insert(&[Value::Int(4), text("d"), Value::Null]),
            insert(&row(5, "e")),
        ];
        let outcomes = f.apply(&changes);
        assert_failed(&outcomes[0], "SQLITE_CONSTRAINT_UNIQUE: UNIQUE constraint failed: t.v");
        assert_eq!(outcomes[1], drifted(&row(1, "a")));
        assert_failed(&outcomes[2], "SQLITE_CONSTRAINT_UNIQUE: UNIQUE constraint failed: t.v");
        assert_failed(&outcomes[3], "SQLITE_CONSTRAINT_NOTNULL: NOT NULL constraint failed: t.n");
        assert_eq!(outcomes[4], APPLIED);
        assert_eq!(f.rows(), "1 'a' 0, 2 'b' 0, 5 'e' 0", "{clause}");
    }
}

#[test]
fn triggers_can_refuse_a_row_and_leave_nothing_of_it_behind() {
    let schema = |raise: &str| {
        format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE log (id);
             CREATE TRIGGER guard AFTER INSERT ON t WHEN NEW.v = 'bad' BEGIN
                 INSERT INTO log VALUES (NEW.id); SELECT RAISE({raise}); END;
             INSERT INTO t VALUES (1, 'a')"
        )
    };
    let changes = [
        insert(&[Value::Int(2), text("good")]),
        insert(&[Value::Int(3), text("bad")]),
        insert(&[Value::Int(4), text("good")]),
    ];
    for raise in ["ABORT, 'v is bad'", "FAIL, 'v is bad'"] {
        let mut f = Fixture::new(&schema(raise));
        let outcomes = f.apply(&changes);
        assert_eq!((&outcomes[0], &outcomes[2]), (&APPLIED, &APPLIED));
        assert_failed(&outcomes[1], "SQLITE_CONSTRAINT_TRIGGER: v is bad");
        assert_eq!(f.rows(), "1 'a', 2 'good', 4 'good'");
        let logged: i64 = f.other.query_row("SELECT count(*) FROM log", [], |row| row.get(0)).unwrap();
        assert_eq!(logged, 0, "{raise}");
    }
    let mut f = Fixture::new(&schema("ROLLBACK, 'v is bad'"));
    let error = f.try_apply(&[0], &changes).unwrap_err();
    assert!(matches!(&error, TargetError::Rejected { reason } if reason.ends_with("v is bad")), "{error:?}");
    assert_eq!(f.rows(), "1 'a'");
    assert!(f.target.recorded(&run(), 0).unwrap().is_empty());
    assert_eq!(f.one(changes[0].clone()), APPLIED, "the target is of use after a rollback");
}

#[test]
fn a_message_that_a_trigger_makes_of_a_row_is_not_shown() {
    let mut f = Fixture::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v);
         CREATE TRIGGER guard BEFORE INSERT ON t BEGIN SELECT RAISE(ABORT, 'no ' || NEW.v); END;",
    );
    assert_failed(&f.one(insert(&[Value::Int(1), text("confidential")])), "SQLITE_CONSTRAINT_TRIGGER");
}

#[test]
fn a_trigger_that_ignores_a_change_is_named() {
    let mut f = Fixture::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 'a');
         CREATE TRIGGER i BEFORE INSERT ON t BEGIN SELECT RAISE(IGNORE); END;
         CREATE TRIGGER u BEFORE UPDATE ON t BEGIN SELECT RAISE(IGNORE); END;
         CREATE TRIGGER d BEFORE DELETE ON t BEGIN SELECT RAISE(IGNORE); END;",
    );
    let row = |id: i64, v: &str| [Value::Int(id), text(v)];
    let changes = [insert(&row(2, "b")), update(&row(1, "a"), &row(1, "b")), delete(&row(1, "a"))];
    let outcomes = f.apply(&changes);
    for (outcome, verb) in outcomes.iter().zip(["insert", "update", "delete"]) {
        assert_failed(outcome, &format!("a trigger ignored the {verb}"));
    }
    assert_eq!(f.rows(), "1 'a'");
}

#[test]
fn what_triggers_do_to_other_rows_of_a_batch_is_reported() {
    let mut f = Fixture::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v, n INTEGER);
         CREATE TRIGGER total AFTER INSERT ON t WHEN NEW.id > 0 BEGIN
             UPDATE t SET n = n + 1 WHERE id = 1; DELETE FROM t WHERE v = 'brief'; END;",
    );
    let row = |id: i64, v: &str, n: i64| vec![Value::Int(id), text(v), Value::Int(n)];
    let changes = [insert(&row(1, "a", 0)), insert(&row(2, "b", 0)), insert(&row(3, "brief", 0))];
    let expected = [stored(&row(1, "a", 3)), APPLIED, Outcome::Drifted { found: None }];
    assert_eq!(f.apply(&changes), expected);
    assert_eq!(f.rows(), "1 'a' 3, 2 'b' 0");
}

const TREE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES t";

#[test]
fn foreign_keys_hold_whatever_the_order_of_a_batch() {
    let mut f = Fixture::new(&format!("{TREE}); INSERT INTO t VALUES (7, NULL), (8, 7)"));
    let row = |id: i64, parent: i64| vec![Value::Int(id), Value::Int(parent)];
    let root = vec![Value::Int(9), Value::Null];
    let changes = [
        insert(&row(1, 2)),
        insert(&row(2, 9)),
        delete(&[Value::Int(7), Value::Null]),
        delete(&row(8, 7)),
        insert(&root),
        insert(&row(3, 99)),
    ];
    let outcomes = f.apply(&changes);
    assert!(outcomes[..5].iter().all(|o| *o == APPLIED), "{outcomes:?}");
    assert_failed(&outcomes[5], "SQLITE_CONSTRAINT_FOREIGNKEY: FOREIGN KEY constraint failed");
    assert_eq!(f.rows(), "1 2, 2 9, 9 NULL");
}

#[test]
fn a_deferred_foreign_key_rejects_the_batch_as_a_whole() {
    let mut f = Fixture::new(&format!("{TREE} DEFERRABLE INITIALLY DEFERRED)"));
    let row = |id: i64, parent: i64| vec![Value::Int(id), Value::Int(parent)];
    let error = f.try_apply(&[0], &[insert(&row(1, 1)), insert(&row(2, 99))]).unwrap_err();
    assert!(matches!(&error, TargetError::Rejected { reason } if reason.contains("FOREIGNKEY")), "{error:?}");
    assert_eq!(f.rows(), "");
    assert_eq!(f.one(insert(&row(1, 1))), APPLIED);
}

#[test]
fn foreign_keys_are_an_option() {
    let options = SqliteOptions { foreign_keys: false, ..SqliteOptions::default() };
    let mut f = Fixture::with(&format!("{TREE})"), options);
    assert_eq!(f.one(insert(&[Value::Int(1), Value::Int(99)])), APPLIED);
    assert!(f.target.capabilities().limits[0].contains("not enforced"));
}

#[test]
fn a_key_that_is_null_or_no_key_is_refused() {
    let mut f = Fixture::new("CREATE TABLE t (id TEXT PRIMARY KEY, v); INSERT INTO t VALUES (NULL, 'a')");
    let row = [Value::Null, text("a")];
    for change in [insert(&row), update(&row, &[Value::Null, text("b")]), delete(&row)] {
        assert_failed(&f.one(change), "the key is NULL");
    }
    let error = f.try_apply(&[1], &[insert(&[text("x"), text("y")])]).unwrap_err();
    assert!(matches!(error, TargetError::Refused(_)) && error.to_string().contains("columns v"), "{error}");
    assert_eq!(f.rows(), "NULL 'a'");
}

#[test]
fn text_that_is_none_is_never_read_as_something_else() {
    let mut f = Fixture::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);
         INSERT INTO t VALUES (5, 'fine'), (7, CAST(x'66ff' AS TEXT))",
    );
    let found = "other bytes in column `v`, rowid 7";
    let error = f.target.scan(&f.table, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(error, TargetError::Refused(_)) && error.to_string().contains(found), "{error}");
    assert!(f.target.read(&f.table, &[0], &[vec![Value::Int(5)]]).is_ok());
    assert!(f.target.read(&f.table, &[0], &[vec![Value::Int(7)]]).is_err());
    let seen = [Value::Int(7), text("f")];
    let outcome = f.one(update(&seen, &[Value::Int(7), text("g")]));
    assert_failed(&outcome, "column `v` holds text that is not UTF-8");
}

#[test]
fn a_damaged_index_is_not_a_complete_read() {
    let f = Fixture::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER, w TEXT AS (v || 'w'), x TEXT AS (v || 'x'));
         CREATE INDEX by_v ON t (v); INSERT INTO t (id) VALUES (1), (2), (3);
         CREATE TABLE spare (x); CREATE INDEX by_x ON spare (x); INSERT INTO spare VALUES (1);
         PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'by_x') WHERE name = 'by_v';
         PRAGMA writable_schema = RESET;",
    );
    let error = rows::scan(&f.other, &f.table, &mut |_| Ok(())).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("1 rows, as its smallest index") && text.contains("3 rows in the table"), "{text}");
}

#[test]
fn a_locked_file_is_a_reason_to_wait() {
    let mut f = Fixture::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v)");
    f.other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let change = insert(&[Value::Int(1), text("a")]);
    let error = f.try_apply(&[0], std::slice::from_ref(&change)).unwrap_err();
    assert!(matches!(error, TargetError::Transient { .. }), "{error:?}");
    f.other.execute_batch("COMMIT").unwrap();
    // Somebody who only reads keeps a rollback journal from being committed.
    f.other.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
    let error = f.try_apply(&[0], std::slice::from_ref(&change)).unwrap_err();
    assert!(matches!(error, TargetError::Transient { .. }), "{error:?}");
    f.other.execute_batch("COMMIT").unwrap();
    assert_eq!(f.one(change), APPLIED);
    assert_eq!(f.rows(), "1 'a'");
}

#[test]
fn a_full_disk_changes_nothing_and_is_not_retried() {
    let mut f = Fixture::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v)");
    let pages: i64 = f.other.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    f.target
        .writer()
        .unwrap()
        .pragma_update_and_check(None, "max_page_count", pages + 2, |_| Ok(()))
        .unwrap();
    let small = insert(&[Value::Int(1), text("a")]);
    let large = insert(&[Value::Int(2), text(&"x".repeat(100_000))]);
    let error = f.try_apply(&[0], &[small.clone(), large]).unwrap_err();
    assert!(matches!(error, TargetError::Failed { .. }), "{error:?}");
    assert_eq!(f.rows(), "");
    assert_eq!(f.one(small), APPLIED);
}

#[test]
fn the_journal_mode_stays_as_it_is_and_no_file_is_left() {
    for (mode, options) in [
        ("wal", SqliteOptions::default()),
        ("delete", SqliteOptions::default()),
        ("wal", SqliteOptions { synchronous: Synchronous::Normal, ..SqliteOptions::default() }),
    ] {
        let mut f = Fixture::with(
            &format!("PRAGMA journal_mode = {mode}; CREATE TABLE t (id INTEGER PRIMARY KEY)"),
            options,
        );
        f.one(insert(&[Value::Int(1)]));
        f.target.close(&run(), "owner", true).unwrap();
        let found: String = f.other.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(found, mode);
        let path = f.path();
        drop(f.other);
        let left: Vec<_> = std::fs::read_dir(f.dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(left, [path], "{mode}");
    }
}

#[test]
fn reading_while_writing_is_done_by_the_writer_and_cannot_write() {
    let mut f = Fixture::new("PRAGMA journal_mode = wal; CREATE TABLE t (id INTEGER PRIMARY KEY)");
    f.one(insert(&[Value::Int(1)]));
    assert!(f.target.writer.is_some());
    assert_eq!(f.target.scan(&f.table, &mut |_| Ok(())).unwrap().rows, 1);
    let refused = f.target.look(|conn| conn.execute("DELETE FROM t", []).map_err(|e| failed("delete", e)));
    assert!(refused.is_err());
    assert_eq!(f.one(insert(&[Value::Int(2)])), APPLIED, "it can write again");
    assert_eq!(f.rows(), "1, 2");
}

#[test]
fn a_read_without_locks_notices_a_writer() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("live.db");
    let write = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    write(
        "PRAGMA journal_mode = wal; CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (2)",
    );
    let url = SqliteUrl::from_path(path.clone());
    let mut target = SqliteTarget::open(&url, dir.path(), SqliteOptions::default()).unwrap();
    let table = target.table(&name("t")).unwrap();
    let mut rows = 0;
    let error = target
        .scan(&table, &mut |_| {
            rows += 1;
            if rows == 1 {
                write("INSERT INTO t VALUES (3)");
            }
            Ok(())
        })
        .unwrap_err();
    assert!(matches!(error, TargetError::Transient { .. }), "{error:?}");
    assert_eq!(target.scan(&table, &mut |_| Ok(())).unwrap().rows, 3);
}

#[test]
fn a_table_that_changed_since_the_run_began_is_left_alone() {
    let mut f = Fixture::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v)");
    f.one(insert(&[Value::Int(1), text("a")]));
    f.other.execute_batch("CREATE TABLE else_where (id); CREATE INDEX by_v ON t (v)").unwrap();
    assert_eq!(f.one(insert(&[Value::Int(2), text("b")])), APPLIED, "the table is as it was");
    f.other.execute_batch("ALTER TABLE t ADD COLUMN w DEFAULT 'x'").unwrap();
    let error = f.try_apply(&[0], &[insert(&[Value::Int(3), text("c")])]).unwrap_err();
    assert!(matches!(error, TargetError::Refused(_)), "{error:?}");
    assert!(error.to_string().starts_with("the table `t` changed since the run began"), "{error}");
    assert_eq!(f.rows(), "1 'a', 2 'b'");
}

#[test]
fn another_file_or_none_is_not_opened() {
    let dir = TempDir::new().unwrap();
    let url = SqliteUrl::from_path(dir.path().join("none.db"));
    let error = SqliteTarget::open(&url, dir.path(), SqliteOptions::default()).unwrap_err();
    assert!(matches!(error, TargetError::Failed { .. }), "{error:?}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn an_identity_is_that_of_every_other_task() {
    let mut f = Fixture::new("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let lineage = crate::db::Lineage {
        id: "0123456789abcdef".to_owned(),
        purpose: "staging".to_owned(),
        stamped_at: "2026-01-02T03:04:05Z".to_owned(),
    };
    let before = f.target.identity().unwrap();
    crate::db::sqlite::write_lineage(&f.path(), &lineage, "test").unwrap();
    let writing = f.target.identity().unwrap();
    assert_ne!(before.fingerprint, writing.fingerprint);
    let url = SqliteUrl::from_path(f.path());
    let whole = identity::of_sqlite(&url, f.dir.path()).unwrap();
    let mut reading = SqliteTarget::open(&url, f.dir.path(), SqliteOptions::default()).unwrap();
    for found in [writing, reading.identity().unwrap()] {
        assert_eq!((found.driver.as_str(), &found.url), ("sqlite", &whole.url));
        assert_eq!(found.fingerprint, whole.fingerprint);
        assert_eq!(found.lineage.as_ref(), Some(&lineage));
    }
}

#[test]
fn rows_may_have_columns_of_every_number() {
    let columns: Vec<String> = (0..300).map(|i| format!("c{i}")).collect();
    let mut f = Fixture::new(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, {})", columns.join(", ")));
    let row = |v: i64| -> Row { (0..=300).map(|i| Value::Int(if i == 0 { 1 } else { v + i })).collect() };
    assert_eq!(f.one(insert(&row(0))), APPLIED);
    assert_eq!(f.one(update(&row(0), &row(7))), APPLIED);
    assert_eq!(f.target.read(&f.table, &[0], &[vec![Value::Int(1)]]).unwrap(), [Some(row(7))]);
}

/// Whatever is sent to whatever column: what the outcome claims is stored is what is there, and it can be taken back.
#[test]
fn outcomes_tell_what_is_stored() {
    let options = SqliteOptions { synchronous: Synchronous::Normal, ..SqliteOptions::default() };
    let mut f = Fixture::with(
        "PRAGMA journal_mode = wal;
         CREATE TABLE t (id INTEGER PRIMARY KEY, a, b TEXT, c NUMERIC, d REAL, e INTEGER, f DATETIME)",
        options,
    );
    let value = || {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(Value::Real),
            (-4.0..4.0_f64).prop_map(|x| Value::Real(x.round())),
            any::<String>().prop_map(Value::Text),
            "[ 0-9eE.+-]{0,8}".prop_map(Value::Text),
            any::<Vec<u8>>().prop_map(Value::Bytes),
        ]
    };
    let row = || proptest::collection::vec(value(), 6);
    let fixture = std::cell::RefCell::new(&mut f);
    let id = std::cell::Cell::new(0);
    let with_id = |mut row: Row, id: i64| {
        row.insert(0, Value::Int(id));
        row
    };
    TestRunner::new(Config { cases: 400, ..Config::default() })
        .run(&(row(), row()), |(first, second)| {
            let mut f = fixture.borrow_mut();
            id.set(id.get() + 1);
            let (first, second) = (with_id(first, id.get()), with_id(second, id.get()));
            let there = |f: &mut Fixture| {
                f.target.read(&f.table, &[0], &[vec![Value::Int(id.get())]]).unwrap().remove(0).unwrap()
            };
            let claimed = |outcome: Outcome, sent: &Row| match outcome {
                Outcome::Applied { stored } => stored.unwrap_or_else(|| sent.clone()),
                other => panic!("{other:?}"),
            };
            let inserted = claimed(f.one(insert(&first)), &first);
            prop_assert!(crate::value::same_row(&inserted, &there(&mut f)));
            let updated = match f.one(update(&inserted, &second)) {
                Outcome::Already => inserted.clone(),
                outcome => claimed(outcome, &second),
            };
            prop_assert!(crate::value::same_row(&updated, &there(&mut f)));
            match f.one(update(&updated, &inserted)) {
                APPLIED | Outcome::Already => {}
                other => panic!("{other:?}"),
            }
            prop_assert!(crate::value::same_row(&inserted, &there(&mut f)));
            Ok(())
        })
        .unwrap();
}
