//! A job: what a producer hands to the store, as data that every driver can run, all of it or nothing.
//!
//! A job is bytes from the moment it is made. The queue copies them, the writer borrows from them, a spill file keeps
//! them. A table is named by its place in a list beside the bytes.

use super::table::Table;
use super::value::{Row, RowWriter, Value, length, take_content};

/// An event of a known table.
pub trait Event {
    /// The table that it is a row of.
    const TABLE: &'static Table;

    /// Puts the values in the order of [`Table::written`].
    fn values(&self, row: &mut RowWriter<'_>);
}

pub(super) const ROW: u8 = 0;
const STATEMENT: u8 = 1;
const ENSURE_TABLE: u8 = 2;
const ENSURE_SQL: u8 = 3;

/// Statements that are run together or not at all.
#[derive(Debug, Default, Clone)]
pub struct Job {
    pub(super) bytes: Vec<u8>,
    pub(super) tables: Vec<&'static Table>,
    /// Where in `bytes` a table is named.
    pub(super) names: Vec<usize>,
}

impl Job {
    /// A job that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A job of one statement. Parameters are `$1`, `$2`, …, in SQLite as in PostgreSQL.
    pub fn statement(sql: &str, values: &[Value<'_>]) -> Self {
        let mut job = Self::new();
        job.add_statement(sql, values);
        job
    }

    /// Adds a row; its table is made when it is missing.
    pub fn add<E: Event>(&mut self, event: &E) -> &mut Self {
        self.bytes.push(ROW);
        self.name_table(E::TABLE);
        let at = self.reserve_length();
        event.values(&mut RowWriter::new(&mut self.bytes));
        self.fill_length(at);
        self
    }

    /// Adds a statement.
    pub fn add_statement(&mut self, sql: &str, values: &[Value<'_>]) -> &mut Self {
        self.bytes.push(STATEMENT);
        self.text(sql);
        let at = self.reserve_length();
        let mut row = RowWriter::new(&mut self.bytes);
        for value in values {
            row.put(*value);
        }
        self.fill_length(at);
        self
    }

    /// Sees to it that the table is there before what follows.
    pub fn ensure_table(&mut self, table: &'static Table) -> &mut Self {
        self.bytes.push(ENSURE_TABLE);
        self.name_table(table);
        self
    }

    /// Runs a statement of the schema before what follows, unless this store has done so before. It must be harmless
    /// when another process has done so.
    pub fn ensure(&mut self, ddl: &str) -> &mut Self {
        self.bytes.push(ENSURE_SQL);
        self.text(ddl);
        self
    }

    fn name_table(&mut self, table: &'static Table) {
        let known = self.tables.iter().position(|other| std::ptr::eq(*other, table));
        let index = known.unwrap_or_else(|| {
            self.tables.push(table);
            self.tables.len() - 1
        });
        self.names.push(self.bytes.len());
        self.bytes.extend_from_slice(&table_index(index));
    }

    fn text(&mut self, text: &str) {
        self.bytes.extend_from_slice(&length(text.len()));
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn reserve_length(&mut self) -> usize {
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.len()
    }

    fn fill_length(&mut self, at: usize) {
        let long = length(self.bytes.len() - at);
        self.bytes[at - 4..at].copy_from_slice(&long);
    }
}

/// The name of a table in the bytes of a job.
pub(super) fn table_index(index: usize) -> [u8; 2] {
    u16::try_from(index).expect("a program has few tables").to_le_bytes()
}

/// One part of a job.
#[derive(Debug, Clone, Copy)]
pub(super) enum Op<'a> {
    Row(u16, Row<'a>),
    Statement(&'a str, Row<'a>),
    EnsureTable(u16),
    EnsureSql(&'a str),
}

/// The parts of a job.
#[derive(Debug, Clone)]
pub(super) struct Ops<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Ops<'a> {
    type Item = Op<'a>;

    fn next(&mut self) -> Option<Op<'a>> {
        let (tag, rest) = self.0.split_first()?;
        let table = || rest.split_first_chunk().map(|(index, rest)| (u16::from_le_bytes(*index), rest));
        let (op, rest) = match *tag {
            ROW => {
                let (index, rest) = table()?;
                let (values, rest) = take_content(rest)?;
                (Op::Row(index, Row::new(values)), rest)
            }
            STATEMENT => {
                let (sql, rest) = take_content(rest)?;
                let (values, rest) = take_content(rest)?;
                (Op::Statement(std::str::from_utf8(sql).ok()?, Row::new(values)), rest)
            }
            ENSURE_TABLE => {
                let (index, rest) = table()?;
                (Op::EnsureTable(index), rest)
            }
            ENSURE_SQL => {
                let (sql, rest) = take_content(rest)?;
                (Op::EnsureSql(std::str::from_utf8(sql).ok()?), rest)
            }
            _ => return None,
        };
        self.0 = rest;
        Some(op)
    }
}
