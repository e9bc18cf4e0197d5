//! Rows by a column that links them, asked for again and again; and batches that are one transaction.

use ops::target::schema::Table;
use ops::target::{Batch, Batches, Change, Outcome, RunId, Target, TargetError};
use ops::value::Value;

use crate::server::cluster;
use crate::{begin, connect, insert, name, now, row, run, update, with_table};

#[test]
fn rows_of_a_link_are_found_however_often_and_a_changed_table_is_refused() {
    let Some(cluster) = cluster() else { return };
    let (database, url) = with_table(cluster);
    let mut target = connect(&url);
    let table = target.table(&name("t")).unwrap();
    let (a, b) = (Value::Text("a".to_owned()), Value::Text("b".to_owned()));
    for round in 0..600 {
        assert_eq!(target.related(&table, 1, &a).unwrap(), [row(1, "a")], "round {round}");
        assert_eq!(target.related(&table, 0, &Value::Int(2)).unwrap(), [row(2, "b")]);
        assert_eq!(target.related(&table, 1, &Value::Null).unwrap(), Vec::<Vec<Value>>::new());
    }
    // Made again as it was, it is another table with the same columns.
    cluster.sql(
        &database,
        "DROP TABLE t; CREATE TABLE t (id integer PRIMARY KEY, v text); INSERT INTO t VALUES (7, 'b')",
    );
    assert_eq!(target.related(&table, 1, &b).unwrap(), [row(7, "b")]);
    for change in ["ADD COLUMN more text", "DROP COLUMN more, ALTER COLUMN v TYPE varchar(9)", "RENAME TO u"]
    {
        cluster.sql(&database, &format!("ALTER TABLE t {change}"));
        let refused = target.related(&table, 1, &b).unwrap_err();
        assert!(matches!(refused, TargetError::Refused(_)), "{change}: {refused}");
    }
    cluster.sql(&database, "ALTER TABLE u RENAME TO t; ALTER TABLE t ALTER COLUMN v TYPE text");
    assert_eq!(target.related(&table, 1, &b).unwrap(), [row(7, "b")]);
    // A lost connection is made again, and what it knew is learned again.
    cluster.sql(&database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");
    assert_eq!(target.related(&table, 1, &b).unwrap(), [row(7, "b")]);
}

/// Batches of one change each, of which one cannot be handed out.
struct Few<'t> {
    table: &'t Table,
    columns: Vec<usize>,
    run: RunId,
    changes: Vec<Change>,
    next: usize,
    breaks_at: usize,
    came_to: Vec<Outcome>,
}

impl Batches for Few<'_> {
    fn take_next(&mut self) -> Result<Option<Batch<'_>>, TargetError> {
        if self.next == self.breaks_at {
            return Err(TargetError::Lost("no more".to_owned()));
        }
        let Some(change) = self.changes.get(self.next..=self.next) else { return Ok(None) };
        let first = self.next as u64;
        self.next += 1;
        let Self { table, columns, run, .. } = self;
        Ok(Some(Batch { table, columns, key: &columns[..1], run, first, changes: change, now: now() }))
    }

    fn came_to(&mut self, outcomes: Vec<Outcome>) -> Result<(), TargetError> {
        self.came_to.extend(outcomes);
        Ok(())
    }
}

#[test]
fn several_batches_are_all_there_or_none_is() {
    let Some(cluster) = cluster() else { return };
    let (database, url) = with_table(cluster);
    let mut target = connect(&url);
    let table = target.table(&name("t")).unwrap();
    begin(&mut target, &table);
    let changes = vec![update(1, "a", "x"), insert(3, "c"), update(2, "other", "y"), insert(4, "d")];
    let few = |breaks_at: usize| Few {
        table: &table,
        columns: table.writable(),
        run: run(),
        changes: changes.clone(),
        next: 0,
        breaks_at,
        came_to: Vec::new(),
    };
    let rows = || cluster.sql(&database, "SELECT string_agg(id || v, ' ' ORDER BY id) FROM t");
    let books = || {
        cluster.sql(&database, "SELECT count(*) || ' ' || max(next) FROM ops_change_runs LEFT JOIN ops_change_batches USING (plan)")
    };
    for breaks_at in 0..4 {
        let mut batches = few(breaks_at);
        assert!(matches!(target.apply_all(&mut batches), Err(TargetError::Lost(_))), "{breaks_at}");
        assert_eq!((batches.came_to.len(), rows().trim()), (breaks_at, "1a 2b"));
        assert_eq!(books().trim(), "1 0", "the books of what was not done are empty");
    }
    let mut batches = few(usize::MAX);
    target.apply_all(&mut batches).unwrap();
    let drifted =
        matches!(&batches.came_to[2], Outcome::Drifted { found: Some(found) } if *found == row(2, "b"));
    assert!(drifted && batches.came_to.len() == 4, "{:?}", batches.came_to);
    assert_eq!((rows().trim(), books().trim()), ("1x 2b 3c 4d", "4 4"));
    // Nothing at all is no transaction.
    target.apply_all(&mut Few { changes: Vec::new(), ..few(usize::MAX) }).unwrap();
}
