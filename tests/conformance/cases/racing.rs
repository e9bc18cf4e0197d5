//! Two clients at once: nothing is lost, and nothing is seen twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::super::kit::{APPLIED, Kit, now};
use super::super::world::{Type, Verdict, World};
use ops::target::schema::Table;
use ops::target::{Batch, Change, Outcome, ScanProof, Target, TargetError};
use ops::value::Value;

/// Of a client between two statements: without it, the other one may never come to its turn.
const PAUSE: Duration = Duration::from_millis(1);

/// One client adds to a column while the driver sets another one in the same rows: every addition is still there.
pub(crate) fn updates(world: &mut dyn World) -> Verdict {
    const ROWS: usize = 300;
    let columns = [("id", Type::Int, "PRIMARY KEY"), ("ours", Type::Int, ""), ("theirs", Type::Int, "")];
    let mut kit = Kit::new(world, &columns, "").unwrap();
    fill(&mut kit, ROWS, "i, 0, 0");
    let ids: Vec<String> = (0..ROWS).map(|i| i.to_string()).collect();
    let changes: Vec<Change> = ids.iter().map(|id| kit.update(&[id, "0", "0"], &[id, "1", "0"])).collect();
    kit.begin();

    let (table, columns, key, run) = (&kit.table, kit.table.writable(), &kit.key, &kit.run);
    let (target, world) = (&mut kit.target, &mut *kit.world);
    let is_over = AtomicBool::new(false);
    let (outcomes, added) = thread::scope(|scope| {
        let applying = scope.spawn(|| {
            let mut outcomes = Vec::new();
            for (number, changes) in changes.chunks(10).enumerate() {
                let first = number as u64 * 10;
                let batch = Batch { table, columns: &columns, key, run, first, changes, now: now() };
                outcomes.extend(patiently(target.as_mut(), &batch));
            }
            is_over.store(true, Ordering::Relaxed);
            outcomes
        });
        let mut added = 0;
        for id in ids.iter().rev().cycle().take(ROWS * 2) {
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            world.sql(&format!("UPDATE t SET theirs = theirs + 1 WHERE id = {id}"));
            added += 1;
            thread::sleep(PAUSE);
        }
        (applying.join().unwrap(), added)
    });

    let applied = outcomes.iter().filter(|o| **o == APPLIED).count();
    for outcome in outcomes.iter().filter(|o| **o != APPLIED) {
        let Outcome::Drifted { found: Some(row) } = outcome else { panic!("{outcome:?}") };
        assert!(row[1] == Value::Int(0) && row[2] != Value::Int(0), "{row:?}");
    }
    assert_eq!(kit.number("SELECT sum(ours) FROM t"), i64::try_from(applied).unwrap());
    assert_eq!(kit.number("SELECT sum(theirs) FROM t"), added);
    Verdict::Held
}

/// Applies a batch, however long the other client is in the way.
fn patiently(target: &mut dyn Target, batch: &Batch<'_>) -> Vec<Outcome> {
    loop {
        match target.apply(batch) {
            Err(TargetError::Transient { .. }) => thread::sleep(PAUSE * 5),
            outcomes => return outcomes.unwrap(),
        }
    }
}

/// One client moves amounts from row to row while the driver reads them all.
pub(crate) fn scan(world: &mut dyn World) -> Verdict {
    const ROWS: usize = 3_000;
    let mut kit = Kit::pair(world, Type::Int, Type::Int).unwrap();
    fill(&mut kit, ROWS, "i, 100");
    let is_snapshot = kit.can().snapshot;

    let (table, target, world) = (&kit.table, &mut kit.target, &mut *kit.world);
    let is_over = AtomicBool::new(false);
    let (rows, proof) = thread::scope(|scope| {
        let scanning = scope.spawn(|| {
            let found = patient_scan(target.as_mut(), table);
            is_over.store(true, Ordering::Relaxed);
            found
        });
        for id in 0..ROWS {
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            let other = ROWS - 1 - id;
            world.sql(&format!(
                "UPDATE t SET v = v + CASE id WHEN {id} THEN 1 ELSE -1 END WHERE id IN ({id}, {other})"
            ));
            thread::sleep(PAUSE);
        }
        scanning.join().unwrap()
    });

    let int = |value: &Value| if let Value::Int(n) = value { *n } else { panic!("{value:?}") };
    let mut ids: Vec<i64> = rows.iter().map(|row| int(&row[0])).collect();
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(0..i64::try_from(ROWS).unwrap()), "a row is missing or was read twice");
    assert_eq!((proof.rows, proof.count_before, proof.count_after), (3_000, 3_000, 3_000));
    assert_eq!(proof.snapshot, is_snapshot);
    if is_snapshot {
        assert_eq!(rows.iter().map(|row| int(&row[1])).sum::<i64>(), 300_000, "two moments were mixed");
    }
    Verdict::Held
}

/// Reads all rows, slowly, from the start again when the other client is in the way.
fn patient_scan(target: &mut dyn Target, table: &Table) -> (Vec<[Value; 2]>, ScanProof) {
    loop {
        let mut rows = Vec::new();
        let scanned = target.scan(table, &mut |row| {
            if rows.len() % 100 == 0 {
                thread::sleep(PAUSE);
            }
            rows.push([row[0].to_value(), row[1].to_value()]);
            Ok(())
        });
        match scanned {
            Err(TargetError::Transient { .. }) => thread::sleep(PAUSE),
            proof => return (rows, proof.unwrap()),
        }
    }
}

/// Rows by another client; `columns` are expressions of `i`.
fn fill(kit: &mut Kit<'_>, rows: usize, columns: &str) {
    kit.world.sql(&format!(
        "INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {})
         SELECT {columns} FROM n",
        rows - 1
    ));
}
