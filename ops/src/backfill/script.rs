//! `rollback_YYYY-MM-DD.sql`: the way back for psql or the sqlite3 shell, whole at every moment of a run.
//!
//! Each statement restores one row, and only where it still is exactly what the run left. What a candidate under way may
//! still write is not known yet: its rows are guarded by the stamp instead, and these statements are replaced when it
//! ended. They stand with the end of the transaction in a tail, which is written anew behind the statements that are
//! final. The books are what counts: from them the script is made again when a run is resumed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::BackfillError;
use super::image::{Images, RowChange, Shape};
use super::plan::{Plan, name_of};
use crate::change::sql::{Dialect, identifier, literal};
use crate::files::FileError;
use crate::target::schema::{Column, Table, TableName};
use crate::text::one_line;
use crate::value::{Kind, Row, Value, ValueRef};

/// A script that grows.
#[derive(Debug)]
pub(super) struct Script {
    path: PathBuf,
    file: File,
    dialect: Dialect,
    /// Where the statements that are final end.
    tail_at: u64,
    /// What may still be written, by candidate.
    pending: BTreeMap<u64, Vec<u8>>,
}

/// The name of a script of this day that is not taken in `dir`.
pub(super) fn free_name(dir: &Path, day: &str) -> String {
    let names = (1_u32..).map(|n| match n {
        1 => format!("rollback_{day}.sql"),
        n => format!("rollback_{day}-{n}.sql"),
    });
    names.into_iter().find(|name| !dir.join(name).exists()).expect("there are more numbers than files")
}

impl Script {
    /// Begins a script anew; what is there under its name is of the same run.
    pub(super) fn create(path: &Path, plan: &Plan, run: &str, at: &str) -> Result<Self, BackfillError> {
        let failed = |e| FileError::new("write", path, e);
        let mut file = File::create(path).map_err(failed)?;
        let dialect = Dialect::of(&plan.plan.target.driver);
        let head = head(plan, run, at, dialect);
        file.write_all(head.as_bytes()).map_err(failed)?;
        let tail_at = head.len() as u64;
        let mut script = Self { path: path.to_path_buf(), file, dialect, tail_at, pending: BTreeMap::new() };
        script.tail(&[], &[])?;
        Ok(script)
    }

    /// A candidate is begun: what it may write is taken back by its stamp.
    pub(super) fn begun(
        &mut self,
        n: u64,
        id: &Value,
        shapes: &[Shape],
        before: &Images,
    ) -> Result<(), BackfillError> {
        let mut text = format!("-- {}: under way when this was written\n", name_of(id)).into_bytes();
        for (shape, rows) in shapes.iter().zip(before) {
            shape.in_doubt(id, rows, self.dialect, &mut text);
        }
        self.pending.insert(n, text);
        self.tail(&[], shapes)
    }

    /// A candidate ended: what it wrote is known.
    pub(super) fn ended(
        &mut self,
        n: u64,
        shapes: &[Shape],
        changes: &[RowChange],
    ) -> Result<(), BackfillError> {
        self.pending.remove(&n);
        let mut text = Vec::new();
        for change in changes {
            shapes[change.table].restore(change, self.dialect, &mut text);
        }
        self.tail(&text, shapes)
    }

    /// Adds what an earlier process did, without the tail.
    pub(super) fn add(&mut self, shapes: &[Shape], changes: &[RowChange]) -> Result<(), BackfillError> {
        let mut text = Vec::new();
        for change in changes {
            shapes[change.table].restore(change, self.dialect, &mut text);
        }
        let written = self.file.seek(SeekFrom::Start(self.tail_at)).and_then(|_| self.file.write_all(&text));
        written.map_err(|e| FileError::new("write", &self.path, e))?;
        self.tail_at += text.len() as u64;
        Ok(())
    }

    /// Writes the tail behind what was added.
    pub(super) fn finish(&mut self, shapes: &[Shape]) -> Result<(), BackfillError> {
        self.tail(&[], shapes)
    }

    /// Writes final statements, then the tail.
    fn tail(&mut self, done: &[u8], shapes: &[Shape]) -> Result<(), BackfillError> {
        let mut text = done.to_vec();
        for pending in self.pending.values() {
            text.extend_from_slice(pending);
        }
        text.extend_from_slice(b"COMMIT;\n");
        for shape in shapes {
            shape.verification(self.dialect, &mut text);
        }
        let written = (|| {
            self.file.seek(SeekFrom::Start(self.tail_at))?;
            self.file.write_all(&text)?;
            self.file.set_len(self.tail_at + text.len() as u64)
        })();
        written.map_err(|e| FileError::new("write", &self.path, e))?;
        self.tail_at += done.len() as u64;
        Ok(())
    }

    /// Flushes it to disk.
    pub(super) fn sync(&mut self) -> Result<(), BackfillError> {
        Ok(self.file.sync_data().map_err(|e| FileError::new("flush", &self.path, e))?)
    }
}

fn head(plan: &Plan, run: &str, at: &str, dialect: Dialect) -> String {
    let facts = &plan.plan;
    let target = &facts.target;
    let how = match dialect {
        Dialect::Sqlite => "sqlite3 -bail DATABASE < FILE",
        Dialect::Postgres => "psql -X -v ON_ERROR_STOP=1 -f FILE DATABASE",
    };
    let settings = match dialect {
        Dialect::Sqlite => "",
        Dialect::Postgres => {
            "SET LOCAL TimeZone = 'UTC';\nSET LOCAL DateStyle = 'ISO';\nSET LOCAL IntervalStyle = 'iso_8601';\n\
             SET LOCAL extra_float_digits = 1;\nSET LOCAL bytea_output = 'hex';\n"
        }
    };
    format!(
        "-- Rollback of backfill {} (plan {})\n\
         --   run          {run}, begun {at}\n\
         --   target       {} ({})\n\
         --   environment  {}\n\
         --   how          {how}\n\
         -- One transaction. A row is restored, or a new one deleted, only where it still is what the run left.\n\
         CREATE TEMPORARY TABLE ops_backfill (\"table\" text, id text);\n\
         BEGIN;\n{settings}",
        one_line(&facts.name),
        plan.short,
        one_line(&target.url),
        target.fingerprint,
        one_line(facts.environment.as_deref().unwrap_or("not stated")),
    )
}

fn name(table: &TableName, out: &mut Vec<u8>) {
    if let Some(schema) = &table.schema {
        identifier(schema, out);
        out.push(b'.');
    }
    identifier(&table.name, out);
}

/// `"column"` holds exactly `value`.
fn holds(column: &Column, value: &Value, dialect: Dialect, out: &mut Vec<u8>) {
    identifier(&column.name, out);
    match dialect {
        Dialect::Sqlite => {
            out.extend_from_slice(b" IS ");
            literal(value.as_ref(), dialect, out);
        }
        Dialect::Postgres => {
            // Types without an order of their own are compared as they are printed.
            if matches!(column.kind, Kind::Json | Kind::Other | Kind::Any) {
                out.extend_from_slice(b"::text");
            }
            out.extend_from_slice(b" IS NOT DISTINCT FROM ");
            literal(value.as_ref(), dialect, out);
        }
    }
}

impl Shape {
    fn column(&self, place: usize) -> &Column {
        &self.table.columns[self.columns[place]]
    }

    fn is_key(&self, place: usize) -> bool {
        self.key.contains(&self.columns[place])
    }

    /// ` WHERE` the row is exactly this.
    fn exactly(&self, row: &Row, dialect: Dialect, out: &mut Vec<u8>) {
        let places =
            (0..row.len()).filter(|i| self.is_key(*i)).chain((0..row.len()).filter(|i| !self.is_key(*i)));
        for (n, place) in places.enumerate() {
            out.extend_from_slice(if n == 0 { b" WHERE " } else { b" AND " });
            holds(self.column(place), &row[place], dialect, out);
        }
    }

    /// ` SET` the columns in which the rows differ; all but the key where it is not known what is there.
    fn set(&self, to: &Row, from: Option<&Row>, dialect: Dialect, out: &mut Vec<u8>) {
        let differs = |i: &usize| match from {
            Some(from) => !to[*i].as_ref().same(from[*i].as_ref()),
            None => !self.is_key(*i),
        };
        for (n, place) in (0..to.len()).filter(differs).enumerate() {
            out.extend_from_slice(if n == 0 { b" SET " } else { b", " });
            identifier(&self.column(place).name, out);
            out.extend_from_slice(b" = ");
            literal(to[place].as_ref(), dialect, out);
        }
    }

    /// Takes one change back.
    fn restore(&self, change: &RowChange, dialect: Dialect, out: &mut Vec<u8>) {
        match (&change.before, &change.after) {
            (Some(before), Some(after)) => {
                self.noted(after, dialect, out);
                out.extend_from_slice(b"UPDATE ");
                name(&self.table.name, out);
                self.set(before, Some(after), dialect, out);
                self.exactly(after, dialect, out);
            }
            (None, Some(after)) => {
                self.noted(after, dialect, out);
                out.extend_from_slice(b"DELETE FROM ");
                name(&self.table.name, out);
                self.exactly(after, dialect, out);
            }
            (Some(before), None) => self.insert(before, dialect, out),
            (None, None) => return,
        }
        out.extend_from_slice(b";\n");
    }

    fn insert(&self, row: &Row, dialect: Dialect, out: &mut Vec<u8>) {
        out.extend_from_slice(b"INSERT INTO ");
        name(&self.table.name, out);
        out.extend_from_slice(b" (");
        for place in 0..row.len() {
            out.extend_from_slice(if place == 0 { b"" } else { b", " });
            identifier(&self.column(place).name, out);
        }
        out.extend_from_slice(b") VALUES (");
        for (place, value) in row.iter().enumerate() {
            out.extend_from_slice(if place == 0 { b"" } else { b", " });
            literal(value.as_ref(), dialect, out);
        }
        out.extend_from_slice(b") ON CONFLICT DO NOTHING");
    }

    /// Notes whose row is about to be restored, for the count at the end.
    fn noted(&self, row: &Row, dialect: Dialect, out: &mut Vec<u8>) {
        let link = self.columns.iter().position(|column| *column == self.link_column());
        let id = link.map_or(Value::Null, |place| row[place].clone());
        out.extend_from_slice(b"INSERT INTO ops_backfill VALUES (");
        literal(ValueRef::Text(&self.table.name.to_string()), dialect, out);
        out.extend_from_slice(b", ");
        literal(ValueRef::Text(&name_of(&id)), dialect, out);
        out.extend_from_slice(b");\n");
    }

    /// Takes back what a candidate under way may have written: rows with the stamp that it did not have before.
    fn in_doubt(&self, id: &Value, before: &[Row], dialect: Dialect, out: &mut Vec<u8>) {
        if before.iter().any(|row| self.is_current(row)) {
            return;
        }
        for row in before {
            out.extend_from_slice(b"UPDATE ");
            name(&self.table.name, out);
            self.set(row, None, dialect, out);
            for (n, place) in (0..row.len()).filter(|i| self.is_key(*i)).enumerate() {
                out.extend_from_slice(if n == 0 { b" WHERE " } else { b" AND " });
                holds(self.column(place), &row[place], dialect, out);
            }
            out.extend_from_slice(b" AND ");
            self.stamped(dialect, out);
            out.extend_from_slice(b";\n");
        }
        // What carries the stamp now and is none of the rows above is new.
        out.extend_from_slice(b"DELETE FROM ");
        name(&self.table.name, out);
        out.extend_from_slice(b" WHERE ");
        holds(&self.table.columns[self.link_column()], id, dialect, out);
        out.extend_from_slice(b" AND ");
        self.stamped(dialect, out);
        out.extend_from_slice(b";\n");
    }

    fn stamped(&self, dialect: Dialect, out: &mut Vec<u8>) {
        for (n, (place, value)) in self.stamp_places().enumerate() {
            out.extend_from_slice(if n == 0 { b"" } else { b" AND " });
            holds(self.column(place), &value.as_value().to_value(), dialect, out);
        }
    }

    /// A count of the rows that still are results of the run, which is 0 unless rows changed since and were kept.
    fn verification(&self, dialect: Dialect, out: &mut Vec<u8>) {
        let Table { name: table, columns, .. } = &self.table;
        out.extend_from_slice(
            b"-- Expected: 0, but for rows that changed since the run and were kept.\nSELECT count(*) FROM ",
        );
        name(table, out);
        out.extend_from_slice(b" WHERE ");
        self.stamped(dialect, out);
        out.extend_from_slice(b" AND CAST(");
        identifier(&columns[self.link_column()].name, out);
        out.extend_from_slice(b" AS text) IN (SELECT id FROM ops_backfill WHERE \"table\" = ");
        literal(ValueRef::Text(&table.to_string()), dialect, out);
        out.extend_from_slice(b");\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_of_the_same_day_is_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["rollback_2026-01-02.sql", "rollback_2026-01-02-2.sql", "rollback_2026-01-02-3.sql"] {
            assert_eq!(free_name(dir.path(), "2026-01-02"), name);
            crate::files::write_atomic(&dir.path().join(name), b"").unwrap();
        }
    }
}
