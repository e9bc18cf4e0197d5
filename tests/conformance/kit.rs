//! What most cases do: make a table, open the driver, apply changes, look at the rows from both sides.

use std::time::Duration;

use ops::clock::Stamp;
use ops::target::schema::{Table, TableName};
use ops::target::{Batch, Capabilities, Change, Outcome, RunId, ScanProof, Target, TargetError};
use ops::value::{Row, Value, order_key};

use super::world::{Type, World};

/// How long a lease of the suite lasts.
pub(crate) const LEASE: Duration = Duration::from_mins(1);

/// The time at which every case plays.
pub(crate) fn now() -> Stamp {
    Stamp::parse("2026-01-02T03:04:05Z").unwrap()
}

/// A run by the number of its plan.
pub(crate) fn run(plan: u32) -> RunId {
    RunId { plan: format!("{plan:064x}"), direction: "apply".to_owned() }
}

/// One table `t` in an empty database, and a driver that looks at it.
pub(crate) struct Kit<'w> {
    pub(crate) world: &'w mut dyn World,
    pub(crate) target: Box<dyn Target>,
    pub(crate) table: Table,
    /// As indices into the table.
    pub(crate) key: Vec<usize>,
    pub(crate) run: RunId,
    pub(crate) owner: String,
    /// The position of the next change.
    pub(crate) next: u64,
    types: Vec<Type>,
    is_begun: bool,
}

impl<'w> Kit<'w> {
    /// A table with these columns (name, type, constraints) and the table constraints `rest`; `None` when the
    /// database has no such type. The key is the primary key.
    pub(crate) fn new(world: &'w mut dyn World, columns: &[(&str, Type, &str)], rest: &str) -> Option<Self> {
        let dialect = world.dialect();
        let mut lines = Vec::new();
        for (name, ty, constraints) in columns {
            lines.push(format!("\"{name}\" {} {constraints}", dialect.column_type(*ty)?));
        }
        lines.extend((!rest.is_empty()).then(|| rest.to_owned()));
        world.ddl(&format!("CREATE TABLE t ({})", lines.join(", ")));
        Some(Self::of(world, &columns.iter().map(|(_, ty, _)| *ty).collect::<Vec<_>>()))
    }

    /// The table `t` that is there, whose columns have these types.
    pub(crate) fn of(world: &'w mut dyn World, types: &[Type]) -> Self {
        Self::named(world, "t", types)
    }

    /// A table that is there.
    pub(crate) fn named(world: &'w mut dyn World, name: &str, types: &[Type]) -> Self {
        let mut target = world.open();
        let table = target.table(&TableName::parse(name).unwrap()).unwrap();
        assert_eq!(table.columns.len(), types.len());
        let key = table.primary_key.clone();
        let (run, owner) = (run(1), "owner-1".to_owned());
        Self { world, target, table, key, run, owner, next: 0, types: types.to_vec(), is_begun: false }
    }

    /// A key column `id` and a value column `v` that may be NULL.
    pub(crate) fn pair(world: &'w mut dyn World, id: Type, v: Type) -> Option<Self> {
        Self::new(world, &[("id", id, "PRIMARY KEY"), ("v", v, "")], "")
    }

    pub(crate) fn can(&self) -> Capabilities {
        self.target.capabilities()
    }

    /// The columns that changes hold.
    pub(crate) fn columns(&self) -> Vec<usize> {
        self.table.writable()
    }

    /// The value of a column from its spelling.
    pub(crate) fn value(&self, column: usize, text: &str) -> Value {
        self.types[column].value(self.table.columns[column].kind, text)
    }

    /// A row over the columns that changes hold.
    pub(crate) fn row(&self, cells: &[&str]) -> Row {
        let columns = self.columns();
        assert_eq!(cells.len(), columns.len());
        columns.iter().zip(cells).map(|(column, text)| self.value(*column, text)).collect()
    }

    /// A key from its spelling.
    pub(crate) fn key_of(&self, cells: &[&str]) -> Row {
        self.key.iter().zip(cells).map(|(column, text)| self.value(*column, text)).collect()
    }

    /// An insert that gives every column.
    pub(crate) fn insert(&self, cells: &[&str]) -> Change {
        Change::Insert { after: self.row(cells).into_iter().map(Some).collect() }
    }

    /// An insert that gives only these columns.
    pub(crate) fn insert_some(&self, cells: &[(&str, &str)]) -> Change {
        let of = |column: &usize| {
            let name = &self.table.columns[*column].name;
            cells.iter().find(|(given, _)| given == name).map(|(_, text)| self.value(*column, text))
        };
        Change::Insert { after: self.columns().iter().map(of).collect() }
    }

    pub(crate) fn update(&self, before: &[&str], after: &[&str]) -> Change {
        Change::Update { before: self.row(before), after: self.row(after) }
    }

    pub(crate) fn delete(&self, before: &[&str]) -> Change {
        Change::Delete { before: self.row(before) }
    }

    /// Takes the table, once.
    pub(crate) fn begin(&mut self) {
        if !self.is_begun {
            let state = self.target.begin(&self.table, &self.run, &self.owner, now(), now().plus(LEASE));
            self.next = state.unwrap().next;
            self.is_begun = true;
        }
    }

    /// Applies the changes as one batch after those before it.
    pub(crate) fn try_apply(&mut self, changes: &[Change]) -> Result<Vec<Outcome>, TargetError> {
        self.begin();
        let batch = Batch {
            table: &self.table,
            columns: &self.table.writable(),
            key: &self.key,
            run: &self.run,
            first: self.next,
            changes,
            now: now(),
        };
        let outcomes = self.target.apply(&batch)?;
        assert_eq!(outcomes.len(), changes.len());
        self.next += changes.len() as u64;
        Ok(outcomes)
    }

    /// Applies the changes as a runner does: a batch that is rejected as a whole goes row by row, and a row that
    /// is rejected alone has failed.
    pub(crate) fn apply(&mut self, changes: &[Change]) -> Vec<Outcome> {
        match (self.try_apply(changes), changes) {
            (Err(TargetError::Rejected { reason }), [_]) => {
                self.next += 1;
                vec![Outcome::Failed { reason }]
            }
            (Err(TargetError::Rejected { .. }), _) => {
                changes.iter().flat_map(|change| self.apply(std::slice::from_ref(change))).collect()
            }
            (outcomes, _) => outcomes.unwrap(),
        }
    }

    /// Applies one change.
    pub(crate) fn apply_one(&mut self, change: Change) -> Outcome {
        self.apply(&[change]).remove(0)
    }

    /// Every row as the driver reads it, all columns, sorted; and the proof.
    pub(crate) fn scan(&mut self) -> (Vec<Row>, ScanProof) {
        let mut rows: Vec<Row> = Vec::new();
        let proof = self
            .target
            .scan(&self.table, &mut |row| {
                rows.push(row.iter().map(|value| value.to_value()).collect());
                Ok(())
            })
            .unwrap();
        let sorting = |row: &Row| {
            let mut bytes = Vec::new();
            order_key(row, &mut bytes);
            bytes
        };
        rows.sort_by_key(sorting);
        (rows, proof)
    }

    /// One row by its key, as the driver reads it.
    pub(crate) fn read(&mut self, key: &[&str]) -> Option<Row> {
        let key = self.key_of(key);
        let mut rows = self.target.read(&self.table, &self.key, &[key]).unwrap();
        assert_eq!(rows.len(), 1);
        rows.remove(0)
    }

    /// A column of `t` as the foreign client prints it, in the order of an expression.
    pub(crate) fn foreign(&mut self, column: &str, order: &str) -> Vec<Option<String>> {
        let at = self.table.column(column).unwrap();
        let text = self.world.dialect().text_of(self.types[at], column);
        let rows = self.world.sql(&format!("SELECT {text} AS shown FROM t ORDER BY {order}"));
        rows.into_iter().map(|mut row| row.remove(0)).collect()
    }

    /// The only number of a query by the foreign client.
    pub(crate) fn number(&mut self, sql: &str) -> i64 {
        self.world.sql(sql)[0][0].as_ref().unwrap().parse().unwrap()
    }

    /// Gives the driver up, as a process that was killed does, and opens another.
    pub(crate) fn reopen(&mut self) {
        self.target = self.world.open();
        self.is_begun = false;
    }
}

/// The outcome of a change that was made exactly as sent.
pub(crate) const APPLIED: Outcome = Outcome::Applied { stored: None };
