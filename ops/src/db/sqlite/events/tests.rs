//! Scans of small databases in every shape that histories have.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::tokens::analysis::Options;
use crate::tokens::summary::{Summary, Verdict};

const SCHEMA: &str = "CREATE TABLE token_estimation_v2_events (
    event_id INTEGER PRIMARY KEY, run_id TEXT, category TEXT, complexity TEXT, deliverable_count INTEGER,
    deliverables_json TEXT, predicted_output_tokens INTEGER, actual_output_tokens INTEGER,
    selected_budget INTEGER, success BOOLEAN, truncated BOOLEAN, smape_percent REAL, waste_ratio REAL,
    underestimated BOOLEAN);";

fn make() -> Analysis {
    Analysis::new(Options::default())
}

fn open(path: &std::path::Path) -> Connection {
    Connection::open(path).unwrap()
}

fn memory(sql: &str) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(&format!("{SCHEMA}{sql}")).unwrap();
    connection
}

fn summary(connection: Connection) -> Summary {
    scan(vec![connection], make).unwrap().finish()
}

/// `n` events in a file, with gaps between the ids.
fn database(n: u32) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let connection = open(&dir.path().join("x.db"));
    connection.execute_batch(SCHEMA).unwrap();
    connection
        .execute(
            "WITH RECURSIVE e(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM e WHERE i < ?1)
             INSERT INTO token_estimation_v2_events
             SELECT i * 7 - 50, 'r',
                    CASE i % 3 WHEN 0 THEN 'docs' WHEN 1 THEN 'Testing' ELSE 'x' || i % 40 END,
                    CASE i % 4 WHEN 0 THEN 'HIGH' ELSE 'low' END, i % 20, '[]', 1000 + i * 37 % 900,
                    500 + i * 101 % 1700, 2000, i % 5 > 0, i % 11 = 0, 12.5, NULL, 0 FROM e",
            [n],
        )
        .unwrap();
    dir
}

#[test]
fn any_number_of_connections_gives_the_same_bytes() {
    let dir = database(1000);
    let run = |readers: usize| {
        let connections = (0..readers).map(|_| open(&dir.path().join("x.db"))).collect();
        serde_json::to_string(&scan(connections, make).unwrap().finish()).unwrap()
    };
    let one = run(1);
    assert!(one.contains(r#""attempts":1000,"#), "{one}");
    assert_eq!(run(2), one);
    assert_eq!(run(7), one);
}

#[test]
fn more_readers_than_rows() {
    let dir = database(2);
    let connections = (0..40).map(|_| open(&dir.path().join("x.db"))).collect();
    assert_eq!(scan(connections, make).unwrap().finish().attempts.attempts, 2);
}

#[test]
fn an_empty_table_is_insufficient() {
    let empty = summary(memory(""));
    assert!(empty.gates.iter().all(|gate| gate.verdict == Verdict::Insufficient));
    assert!(!empty.gates_met());
}

#[test]
fn the_extremes_of_row_ids_are_one_range() {
    let row = "'r', 'docs', 'low', 1, '[]', 10, 10, 20, 1, 0, 0.0, 1.0, 0";
    let found = summary(memory(&format!(
        "INSERT INTO token_estimation_v2_events VALUES ({}, {row}), (-9223372036854775808, {row});",
        i64::MAX
    )));
    assert_eq!((found.attempts.attempts, found.mismatches.rows, found.gates_met()), (2, 0, true));
}

#[test]
fn rows_that_cannot_be_read_are_counted_and_named() {
    let found = summary(memory(
        "INSERT INTO token_estimation_v2_events VALUES
         (1, 'r', 'docs', 'low', 1, '[]', 10, 10, 20, 1, 0, 0.0, 1.0, 0),
         (2, 'r', 'docs', 'low', 1, '[]', NULL, 10, 20, 1, 0, 0.0, 1.0, 0),
         (3, 'r', 'docs', 'low', 1, '[]', 10, 'many', 20, 1, 0, 0.0, 1.0, 0),
         (4, 'r', 'docs', 'low', -1, '[]', 10, 10, 20, 1, 0, 0.0, 1.0, 0),
         (5, 'r', 'docs', 'low', 1, '[]', 10, 10, 20, 2, 0, 0.0, 1.0, 0),
         (6, 'r', 'docs', 'low', 1, '[]', 10, 10, 20, 1, NULL, 0.0, 1.0, 0),
         (7, 'r', 'docs', 'low', 1, '[]', 10, 10, 20, 1, 0, 'x', 1.0, 0),
         (8, 'r', NULL, 'low', 1, '[]', 10, 10, 20, 1, 0, 0.0, 1.0, 0),
         (9, 'r', CAST(x'ff' AS TEXT), 'low', 1, '[]', 10, 10, 20, 1, 0, 0.0, 1.0, 0),
         (10, 'r', 'docs', 'low', 1, '[]', 10.5, 10, 20, 1, 0, 0.0, 1.0, 0),
         (11, 'r', 'docs', 'low', 1, '[]', 10, 4294967296, 20, 1, 0, NULL, NULL, NULL),
         (12, 'r', 'docs', 'low', 1, '[]', 10, 10, NULL, 1, 0, NULL, NULL, NULL);",
    ));
    let named: Vec<(i64, &str)> =
        found.unreadable.first.iter().map(|row| (row.id, row.column.as_str())).collect();
    assert_eq!(
        named,
        [
            (2, "predicted_output_tokens"),
            (3, "actual_output_tokens"),
            (4, "deliverable_count"),
            (5, "success"),
            (6, "truncated"),
            (7, "smape_percent"),
            (8, "category"),
            (9, "category"),
            (10, "predicted_output_tokens"),
            (11, "actual_output_tokens"),
        ]
    );
    assert_eq!((found.unreadable.rows, found.attempts.attempts, found.gates_met()), (10, 2, false));
}

#[test]
fn an_old_schema_is_not_taken_for_one_without_truncation() {
    let connection = Connection::open_in_memory().unwrap();
    connection
        .execute_batch(
            "CREATE TABLE token_estimation_v2_events (event_id INTEGER PRIMARY KEY, success INTEGER,
                 actual_output_tokens INTEGER, predicted_output_tokens INTEGER, complexity TEXT,
                 category TEXT, deliverable_count INTEGER);
             INSERT INTO token_estimation_v2_events VALUES (1, 1, 100, 200, 'low', 'docs', 1);",
        )
        .unwrap();
    let found = summary(connection);
    assert_eq!((found.attempts.truncation_unrecorded, found.cost.waste_ratio_max), (1, Some(2.0)));
    assert_eq!(
        found.gates.iter().map(|g| g.verdict).collect::<Vec<_>>(),
        [Verdict::Insufficient, Verdict::Met]
    );
}

#[test]
fn a_missing_table_is_an_error() {
    let error = scan(vec![Connection::open_in_memory().unwrap()], make).unwrap_err();
    assert_eq!(error.to_string(), "failed to read the events in `token_estimation_v2_events`");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "the table is missing or has no column `category`");
    assert!(scan(Vec::new(), make).is_err());
}

#[test]
fn all_readers_see_the_same_state_while_others_write() {
    let dir = database(100);
    let path = dir.path().join("x.db");
    open(&path).pragma_update(None, "journal_mode", "wal").unwrap();
    let count = |connection: &Connection| -> i64 {
        let sql = "SELECT count(*) FROM token_estimation_v2_events";
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let writer = open(&path);
            writer.pragma_update(None, "synchronous", "off").unwrap();
            while !done.load(Ordering::Relaxed) {
                let sql = "INSERT INTO token_estimation_v2_events (category) VALUES ('docs')";
                writer.execute(sql, []).unwrap();
            }
        });
        let connections: Vec<Connection> = (0..3).map(|_| open(&path)).collect();
        let mut seen = 0;
        // Rounds count only as far as something was written during them.
        while seen < 1000 {
            let shared = share_snapshot(&connections).unwrap();
            let readers = if shared { &connections[..] } else { &connections[..1] };
            let counts: Vec<i64> = readers.iter().map(count).collect();
            let again: Vec<i64> = readers.iter().map(count).collect();
            for reader in readers {
                reader.execute_batch("ROLLBACK").unwrap();
            }
            if counts != again || counts.windows(2).any(|pair| pair[0] != pair[1]) {
                done.store(true, Ordering::Relaxed);
                panic!("readers see {counts:?}, then {again:?}");
            }
            seen = counts[0];
        }
        done.store(true, Ordering::Relaxed);
    });
}
